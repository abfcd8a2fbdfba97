// Pulses added to those of other neurons: src/forward/pulses.rs. Sums stay below 128, so that bytes do not carry.

@group(1) @binding(1) var<storage, read> others: array<u32>; // [chips, images, steps, pixels, columns / 4]
@group(1) @binding(2) var<storage, read_write> pulses: array<u32>; // the same

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = place(group, groups) * WORKGROUP + local;
    if (index < layer.chips * run.images * layer.steps * pixels() * layer.column_words) {
        pulses[index] += others[index];
    }
}
