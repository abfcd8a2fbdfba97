// A pool over any window of pulses, the sum or the largest: src/forward/pulses.rs. A thread takes four channels of a pixel of a map.

@group(1) @binding(1) var<storage, read> pulses: array<u32>; // [chips and maps, input pixels, channels / 4]
@group(1) @binding(2) var<storage, read_write> pooled: array<u32>; // [chips and maps, pixels, channels / 4]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let size = pixels() * layer.column_words;
    let index = place(group, groups) * WORKGROUP + local;
    if (index >= layer.chips * run.images * layer.steps * size) {
        return;
    }
    let word = index % layer.column_words;
    let pixel = index / layer.column_words % pixels();
    let source = index / size * input_pixels();
    let corner = vec2(pixel % layer.width, pixel / layer.width) * vec2(layer.stride_x, layer.stride_y)
        - vec2(layer.padding_x, layer.padding_y);
    var all = vec4<i32>();
    for (var y = 0u; y < layer.kernel_y; y++) {
        for (var x = 0u; x < layer.kernel_x; x++) {
            // Left of or above the map wraps to far beyond it.
            let at = corner + vec2(x, y);
            if (at.x < layer.input_width && at.y < layer.input_height) {
                let n = unpacked(pulses[(source + at.y * layer.input_width + at.x) * layer.column_words + word]);
                all = select(all + n, max(all, n), layer.is_max == 1u);
            }
        }
    }
    pooled[index] = packed(all);
}
