// Leaky integrate-and-fire: src/engine/cpu/neurons.rs. A thread scans one neuron of one image over all steps with the
// membrane in a register: u = leak*u + (gain*sum + offset); a spike iff u > threshold; then u = u - threshold.

@group(0) @binding(2) var<storage, read> norms: array<vec2<f32>>; // [steps, columns] of gain, offset
@group(1) @binding(1) var<storage, read> sums: array<f32>; // [images, steps or 1, columns, pixels]
@group(1) @binding(2) var<storage, read_write> spikes: array<i32>; // [images, steps, columns, pixels]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // [input and layers, steps]

var<workgroup> fired: array<atomic<u32>, MOST_STEPS>;

// Rounds a product before it is added to: a compiler that cannot see that `fence` is zero cannot fuse the two, so that
// every device gives the CPU's bits.
fn rounded(product: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(product) ^ layer.fence);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    for (var t = local; t < layer.steps; t += WORKGROUP) {
        atomicStore(&fired[t], 0u);
    }
    workgroupBarrier();
    let size = layer.columns * pixels();
    let index = thread(group, groups, local);
    if (index < run.images * size) {
        let image = index / size;
        let neuron = index % size;
        let column = neuron / pixels();
        let given = given_steps();
        var u = 0.0;
        for (var t = 0u; t < layer.steps; t++) {
            let sum = sums[(image * given + min(t, given - 1u)) * size + neuron];
            let norm = norms[t * layer.columns + column];
            u = rounded(layer.leak * u) + (rounded(norm.x * sum) + norm.y);
            let spike = u > layer.threshold;
            if (spike) {
                u -= layer.threshold;
                atomicAdd(&fired[t], 1u);
            }
            spikes[(image * layer.steps + t) * size + neuron] = i32(spike);
        }
    }
    workgroupBarrier();
    for (var t = local; t < layer.steps; t += WORKGROUP) {
        atomicAdd(&counts[(layer.index + 1u) * layer.steps + t], atomicLoad(&fired[t]));
    }
}
