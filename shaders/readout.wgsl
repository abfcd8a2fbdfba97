// The readout integrates without leak: its sums added up over the steps, in their order. A thread four classes of an
// image on a chip.

@group(1) @binding(1) var<storage, read> sums: array<vec4<f32>>; // [chips and images, steps, columns / 4]
@group(1) @binding(2) var<storage, read_write> readout: array<vec4<f32>>; // [chips and images, columns / 4]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = place(group, groups) * WORKGROUP + local;
    if (index >= layer.chips * run.images * layer.column_words) {
        return;
    }
    let first = index / layer.column_words * layer.steps * layer.column_words + index % layer.column_words;
    var sum = vec4<f32>();
    for (var t = 0u; t < layer.steps; t++) {
        sum += sums[first + t * layer.column_words];
    }
    readout[index] = sum;
}
