// A thread copies four numbers: the adapter's memory.

@group(1) @binding(1) var<storage, read> given: array<vec4<u32>>;
@group(1) @binding(2) var<storage, read_write> results: array<vec4<u32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = place(group, groups) * WORKGROUP + local;
    if (index < arrayLength(&results)) {
        results[index] = given[index];
    }
}
