// Sums the spikes of pooling windows too large for neurons.wgsl, four channels a thread; what does not fill a window at
// the right and lower edge is left out. Sums that a byte cannot hold are written in digit planes.

@group(1) @binding(1) var<storage, read> spikes: array<u32>; // [chips and maps, pixels, columns / 4]
@group(1) @binding(2) var<storage, read_write> pulses: array<u32>; // [chips and maps, planes, windows, columns / 4]

@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // see src/engine/gpu/buffers.rs

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let height = layer.height / layer.window_height;
    let width = layer.width / layer.window_width;
    let size = height * width * layer.column_words;
    let index = place(group, groups) * WORKGROUP + local;
    if (index >= layer.chips * run.images * layer.steps * size) {
        return;
    }
    let map = index / size;
    let word = index % layer.column_words;
    let pixel = index / layer.column_words % (height * width);
    let corner = pixel / width * layer.window_height * layer.width + pixel % width * layer.window_width;
    let first = (map * pixels() + corner) * layer.column_words + word;
    var sum = vec4<i32>();
    for (var y = 0u; y < layer.window_height; y++) {
        for (var x = 0u; x < layer.window_width; x++) {
            sum += unpacked(spikes[first + (y * layer.width + x) * layer.column_words]);
        }
    }
    var drives = 0u;
    for (var plane = 0u; plane < layer.next_planes; plane++) {
        let digits = select(sum & vec4((1i << DIGIT_BITS) - 1i), sum, layer.next_planes == 1u);
        pulses[(map * layer.next_planes + plane) * size + index % size] = packed(digits);
        drives += drive_times(digits);
        sum >>= vec4(DIGIT_BITS);
    }
    if (drives > 0u && layer.counts_next == 1u) {
        let chip = map / (run.images * layer.steps);
        let counters = map / layer.steps % run.images * run.image_counters;
        let fan = next_fan_out(vec2(pixel % width, pixel / width));
        atomicAdd(&counts[counters + drives_from(chip, layer.next_index) + map % layer.steps], fan * drives);
    }
}
