// Poisson spikes of the images: src/network/encode.rs. A thread draws four pixels of an image at one step (z).
// Magnitudes are compared as the bits of their floats: the same order, and no device can flush a small one to zero.

@group(1) @binding(1) var<storage, read> images: array<u32>; // [images, index and then the pixels' bits]
@group(1) @binding(2) var<storage, read_write> pulses: array<i32>; // [images, steps, pixels of all channels]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // [input and layers, steps]

var<workgroup> fired: atomic<u32>;

fn spike(pixel: u32, word: u32) -> i32 {
    let magnitude = pixel & 0x7fffffffu;
    let twice_r = bitcast<u32>(f32(word >> 8u) * 0x1p-23f);
    if (magnitude == 0u || twice_r > magnitude) {
        return 0;
    }
    return select(1, -1, magnitude != pixel);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    if (local == 0u) {
        atomicStore(&fired, 0u);
    }
    workgroupBarrier();
    let size = layer.channels * pixels();
    let blocks = (size + 3u) / 4u;
    let index = thread(group, groups, local);
    let step = group.z;
    if (index < run.images * blocks) {
        let image = index / blocks;
        let block = index % blocks;
        let source = image * (size + 1u);
        let destination = (image * layer.steps + step) * size;
        let words = philox4x32(vec2(run.key_low, run.key_high), vec4(block, step, images[source], 0u));
        for (var i = 0u; i < 4u && block * 4u + i < size; i++) {
            let pixel = block * 4u + i;
            let pulse = spike(images[source + 1u + pixel], words[i]);
            pulses[destination + pixel] = pulse;
            atomicAdd(&fired, u32(abs(pulse)));
        }
    }
    workgroupBarrier();
    if (local == 0u) {
        atomicAdd(&counts[step], atomicLoad(&fired));
    }
}
