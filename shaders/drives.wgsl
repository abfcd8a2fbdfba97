// How often pulses drive a layer's rows, where nobody counted it as they were sent. A thread takes a word of a pixel of
// a map.

@group(1) @binding(1) var<storage, read> pulses: array<u32>; // [chips (but of the chips' input), maps, planes, pixels, words]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // see src/engine/gpu/buffers.rs

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let size = input_pixels() * layer.words;
    let given = given_steps();
    let index = place(group, groups) * WORKGROUP + local;
    let chip = group.z;
    if (index >= run.images * layer.steps * size) {
        return;
    }
    let map = index / size;
    let step = map % layer.steps;
    let image = map / layer.steps;
    let chip_maps = select(chip * run.images * given, 0u, layer.reads_input == 1u);
    let first = (chip_maps + image * given + min(step, given - 1u)) * layer.planes * size + index % size;
    var drives = 0u;
    for (var plane = 0u; plane < layer.planes; plane++) {
        drives += drive_times(abs(unpacked(pulses[first + plane * size])));
    }
    let pixel = index % size / layer.words;
    if (drives > 0u) {
        let fan = fan_out(vec2(pixel % layer.input_width, pixel / layer.input_width));
        atomicAdd(&counts[image * run.image_counters + drives_from(chip, layer.index) + step], fan * drives);
    }
}
