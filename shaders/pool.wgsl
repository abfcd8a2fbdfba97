// A pool over any window of spikes or pulses, their sum or the largest: src/forward/pulses.rs. A thread takes four
// channels of a pixel of a map. Sums that a byte cannot hold are written in digit planes.

@group(1) @binding(1) var<storage, read> spikes: array<u32>; // [chips and maps, input pixels, channels / 4]
@group(1) @binding(2) var<storage, read_write> pulses: array<u32>; // [chips and maps, planes, pixels, channels / 4]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // see src/engine/gpu/buffers.rs

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
    let map = index / size;
    let word = index % layer.column_words;
    let pixel = index / layer.column_words % pixels();
    let at = vec2(pixel % layer.width, pixel / layer.width);
    let corner = at * vec2(layer.stride_x, layer.stride_y) - vec2(layer.padding_x, layer.padding_y);
    var all = vec4<i32>();
    for (var y = 0u; y < layer.kernel_y; y++) {
        for (var x = 0u; x < layer.kernel_x; x++) {
            // Left of or above the map wraps to far beyond it.
            let source = corner + vec2(x, y);
            if (source.x < layer.input_width && source.y < layer.input_height) {
                let pixel_from = map * input_pixels() + source.y * layer.input_width + source.x;
                let n = unpacked(spikes[pixel_from * layer.column_words + word]);
                all = select(all + n, max(all, n), layer.is_max == 1u);
            }
        }
    }
    var drives = 0u;
    for (var plane = 0u; plane < layer.next_planes; plane++) {
        let digits = select(all & vec4((1i << DIGIT_BITS) - 1i), all, layer.next_planes == 1u);
        pulses[(map * layer.next_planes + plane) * size + index % size] = packed(digits);
        drives += drive_times(digits);
        all >>= vec4(DIGIT_BITS);
    }
    if (drives > 0u && layer.counts_next == 1u) {
        let chip = map / (run.images * layer.steps);
        let counters = map / layer.steps % run.images * run.image_counters;
        let fan = next_fan_out(at);
        atomicAdd(&counts[counters + drives_from(chip, layer.next_index) + map % layer.steps], fan * drives);
    }
}
