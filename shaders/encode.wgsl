// Poisson spikes of the images: src/network/encode.rs. A thread draws four pixels of all channels of an image at one
// step (z), and a workgroup's threads are of one image: a draw has four words, for four neighbours of a channel.
// Magnitudes are compared as the bits of their floats: the same order, and no device can flush a small one to zero.

@group(1) @binding(1) var<storage, read> images: array<u32>; // [images, index and then the bits of channels, pixels]
@group(1) @binding(2) var<storage, read_write> pulses: array<u32>; // [images, steps, pixels, words]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // see src/engine/gpu/buffers.rs

var<workgroup> fired: atomic<u32>;
var<workgroup> driven: atomic<u32>;

fn spike(value: u32, word: u32) -> i32 {
    let magnitude = value & 0x7fffffffu;
    let twice_r = bitcast<u32>(f32(word >> 8u) * 0x1p-23f);
    if (magnitude == 0u || twice_r > magnitude) {
        return 0;
    }
    return select(1, -1, magnitude != value);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    if (local == 0u) {
        atomicStore(&fired, 0u);
        atomicStore(&driven, 0u);
    }
    workgroupBarrier();
    let pixels = layer.input_pixels;
    let blocks = (pixels + 3u) / 4u;
    let words = (layer.channels + 3u) / 4u;
    let image_groups = (blocks + WORKGROUP - 1u) / WORKGROUP;
    let image = place(group, groups) / image_groups;
    let first = (place(group, groups) % image_groups * WORKGROUP + local) * 4u;
    if (image < run.images && first < pixels) {
        let values = image * (pixels * layer.channels + 1u);
        let map = (image * layer.steps + group.z) * pixels;
        var spikes = 0u;
        var drives = 0u;
        var fans = vec4<u32>();
        for (var i = 0u; i < min(4u, pixels - first); i++) {
            fans[i] = fan_out(vec2((first + i) % layer.input_width, (first + i) / layer.input_width));
        }
        for (var word = 0u; word < words; word++) {
            var pulse = array<vec4<i32>, 4>();
            for (var lane = 0u; lane < min(4u, layer.channels - 4u * word); lane++) {
                let start = (4u * word + lane) * pixels + first;
                var drawn = vec4<u32>();
                for (var i = 0u; i < min(4u, pixels - first); i++) {
                    let value = start + i;
                    // A channel of another length than a multiple of four takes its words from two draws.
                    if (i == 0u || value % 4u == 0u) {
                        let counter = vec4(value / 4u, group.z, images[values], 0u);
                        drawn = philox4x32(vec2(run.key_low, run.key_high), counter);
                    }
                    let n = spike(images[values + 1u + value], drawn[value % 4u]);
                    pulse[i][lane] = n;
                    spikes += u32(abs(n));
                    if (n != 0) {
                        drives += fans[i];
                    }
                }
            }
            for (var i = 0u; i < min(4u, pixels - first); i++) {
                pulses[(map + first + i) * words + word] = packed(pulse[i]);
            }
        }
        atomicAdd(&fired, spikes);
        atomicAdd(&driven, drives);
    }
    workgroupBarrier();
    if (local == 0u && image < run.images) {
        let counters = image * run.image_counters + group.z;
        atomicAdd(&counts[counters], atomicLoad(&fired));
        // The same for all chips.
        for (var chip = 0u; chip < layer.chips; chip++) {
            atomicAdd(&counts[counters + drives_from(chip, 0u)], atomicLoad(&driven));
        }
    }
}
