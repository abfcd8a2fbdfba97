// Channels that stand side by side with others' in a map: src/forward/pulses.rs. A thread takes four channels of a
// pixel of a map, and those of them that are this part's; the first part begins the map.

@group(1) @binding(1) var<storage, read> pulses: array<u32>; // [chips and maps, pixels, the part's channels / 4]
@group(1) @binding(2) var<storage, read_write> all: array<u32>; // [chips and maps, pixels, channels / 4]

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = place(group, groups) * WORKGROUP + local;
    if (index >= layer.chips * run.images * layer.steps * pixels() * layer.column_words) {
        return;
    }
    let pixel = index / layer.column_words;
    var lanes = vec4<i32>();
    for (var lane = 0u; lane < 4u; lane++) {
        // A channel before the part wraps to a number far beyond it.
        let channel = index % layer.column_words * 4u + lane - layer.first_channel;
        if (channel < layer.part_channels) {
            lanes[lane] = unpacked(pulses[pixel * layer.from_words + channel / 4u])[channel % 4u];
        }
    }
    all[index] = packed(lanes) | select(all[index], 0u, layer.first_channel == 0u);
}
