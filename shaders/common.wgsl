// Bindings and indices of every kernel. Group 0 lives as long as a chip's layer, group 1 as long as the work buffers:
// each kernel reads binding 1 of group 1 and writes binding 2. Maps are channel-first; there is one an image and step.
// Above this file come the constants and the structs `Layer` and `Run`, generated from Rust.

@group(0) @binding(0) var<uniform> layer: Layer;
@group(1) @binding(0) var<uniform> run: Run;

// The number of this thread in a dispatch that is folded into two dimensions.
fn thread(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return (group.y * groups.x + group.x) * WORKGROUP + local;
}

// Steps of the layer's sums: 1 where every step sends the same.
fn given_steps() -> u32 {
    return select(layer.steps, run.first_steps, layer.index == 0u);
}

fn pixels() -> u32 {
    return layer.height * layer.width;
}
