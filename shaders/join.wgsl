// A layer's sums behind its norms, pooled where they are, as the beginning of a current (FIRST = 1) or added to it:
// src/forward/join.rs. A thread takes four channels of a pixel at a step.

@group(0) @binding(2) var<storage, read> norms: array<vec4<f32>>; // [chips, steps, columns / 4] of gain, offset
@group(1) @binding(1) var<storage, read> sums: array<vec4<f32>>; // [chips, images, steps or 1, pixels, columns / 4]
@group(1) @binding(2) var<storage, read_write> currents: array<vec4<f32>>; // [chips, images, steps, pixels, columns / 4]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let pools = layer.before_x > 0u;
    let map = select(vec2(layer.width, layer.height), vec2(layer.before_width, layer.before_height), pools);
    let size = map.x * map.y * layer.column_words;
    let index = place(group, groups) * WORKGROUP + local;
    let chip = group.z;
    if (index >= run.images * layer.steps * size) {
        return;
    }
    let step = index / size % layer.steps;
    let image = index / size / layer.steps;
    let word = index % layer.column_words;
    let pixel = index / layer.column_words % (map.x * map.y);
    let given = sum_steps();
    let source = ((chip * run.images + image) * given + min(step, given - 1u)) * pixels() * layer.column_words + word;
    let norm = 2u * ((chip * layer.steps + step) * layer.column_words + word);
    let at = chip * run.images * layer.steps * size + index;
    let before = select(currents[at], vec4<f32>(), FIRST == 1u);
    if (!pools) {
        currents[at] = before + share(norms[norm], sums[source + pixel * layer.column_words], norms[norm + 1u]);
        return;
    }
    let corner = vec2(pixel % map.x, pixel / map.x) * vec2(layer.before_stride_x, layer.before_stride_y)
        - vec2(layer.before_padding_x, layer.before_padding_y);
    var all = vec4<f32>();
    var is_first = true;
    for (var y = 0u; y < layer.before_y; y++) {
        for (var x = 0u; x < layer.before_x; x++) {
            // Left of or above the map wraps to far beyond it.
            let from_pixel = corner + vec2(x, y);
            if (from_pixel.x < layer.width && from_pixel.y < layer.height) {
                let sum = sums[source + (from_pixel.y * layer.width + from_pixel.x) * layer.column_words];
                let one = share(norms[norm], sum, norms[norm + 1u]);
                all = select(all + one, select(max(all, one), one, is_first), layer.is_max == 1u);
                is_first = false;
            }
        }
    }
    currents[at] = before + share(vec4(layer.before_share), all, vec4<f32>());
}
