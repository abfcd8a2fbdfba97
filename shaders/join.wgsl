// A layer's sums behind its norms, as the beginning of a current (FIRST = 1) or added to it: src/forward/join.rs. A thread takes four
// channels of a pixel at a step.

@group(0) @binding(2) var<storage, read> norms: array<vec4<f32>>; // [chips, steps, columns / 4] of gain, offset
@group(1) @binding(1) var<storage, read> sums: array<vec4<f32>>; // [chips, images, steps or 1, pixels, columns / 4]
@group(1) @binding(2) var<storage, read_write> currents: array<vec4<f32>>; // [chips, images, steps, pixels, columns / 4]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let size = pixels() * layer.column_words;
    let index = place(group, groups) * WORKGROUP + local;
    let chip = group.z;
    if (index >= run.images * layer.steps * size) {
        return;
    }
    let step = index / size % layer.steps;
    let image = index / size / layer.steps;
    let given = sum_steps();
    let source = ((chip * run.images + image) * given + min(step, given - 1u)) * size + index % size;
    let norm = 2u * ((chip * layer.steps + step) * layer.column_words + index % layer.column_words);
    let at = chip * run.images * layer.steps * size + index;
    let before = select(currents[at], vec4<f32>(), FIRST == 1u);
    currents[at] = before + share(norms[norm], sums[source], norms[norm + 1u]);
}
