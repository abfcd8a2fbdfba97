// Other neurons' currents added to a current: src/forward/join.rs. A thread takes four channels of a pixel at a step.

@group(1) @binding(1) var<storage, read> others: array<vec4<f32>>; // [chips, images, steps, pixels, columns / 4]
@group(1) @binding(2) var<storage, read_write> currents: array<vec4<f32>>; // the same

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = place(group, groups) * WORKGROUP + local;
    if (index < layer.chips * run.images * layer.steps * pixels() * layer.column_words) {
        currents[index] += others[index];
    }
}
