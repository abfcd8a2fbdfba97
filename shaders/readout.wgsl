// The readout's sums added up over the steps, in their order, and kept after each of the last kept_steps; or each
// step's by itself, for the host to read them. A thread four classes of an image on a chip.

@group(1) @binding(1) var<storage, read> sums: array<vec4<f32>>; // [chips and images, steps, columns / 4]
@group(1) @binding(2) var<storage, read_write> readout: array<vec4<f32>>; // [chips and images, kept steps, columns / 4]

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
    let image = index / layer.column_words;
    let word = index % layer.column_words;
    let skipped = layer.steps - run.kept_steps;
    var sum = vec4<f32>();
    for (var t = 0u; t < layer.steps; t++) {
        sum = select(sum, vec4<f32>(), layer.by_step == 1u) + sums[(image * layer.steps + t) * layer.column_words + word];
        if (t >= skipped) {
            readout[(image * run.kept_steps + t - skipped) * layer.column_words + word] = sum;
        }
    }
}
