// The readout integrates without leak: its sums added up over the steps, in their order. A thread an image and class.

@group(1) @binding(1) var<storage, read> sums: array<f32>; // [images, steps, columns]
@group(1) @binding(2) var<storage, read_write> readout: array<f32>; // [images, columns]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = thread(group, groups, local);
    if (index >= run.images * layer.columns) {
        return;
    }
    let first = index / layer.columns * layer.steps * layer.columns + index % layer.columns;
    var sum = 0.0;
    for (var t = 0u; t < layer.steps; t++) {
        sum += sums[first + t * layer.columns];
    }
    readout[index] = sum;
}
