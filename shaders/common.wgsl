// Bindings and indices of every kernel. Group 0 lives as long as a layer of the loaded chips, group 1 as long as the
// work buffers: each kernel reads binding 1 of group 1 and writes binding 2. Maps are channel-last, four channels a
// word (pulses, a signed byte each) or a vector (sums); there is a map for each chip, image and step. Above this file
// come the constants, the structs `Layer` and `Run`, and `layer` itself, generated from Rust: a constant where a shader
// is made for one layer, else the uniform at binding 0 of group 0.

@group(1) @binding(0) var<uniform> run: Run;

// The number of this workgroup in a dispatch that is folded into two dimensions.
fn place(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// Steps of the layer's inputs: 1 where every step sends the same.
fn given_steps() -> u32 {
    return select(layer.steps, run.first_steps, layer.reads_input == 1u);
}

// Steps of the layer's sums: all, also where every step sends the same, if cells are read or sums converted afresh.
fn sum_steps() -> u32 {
    return select(given_steps(), layer.steps, layer.reads > 1u || layer.noise_words > 0u);
}

fn pixels() -> u32 {
    return layer.height * layer.width;
}

fn input_pixels() -> u32 {
    return layer.input_height * layer.input_width;
}

// Places of a window, along rows or columns of an output map of so many, that hold pixel `at`.
fn holding(at: u32, outputs: u32, kernel: u32, stride: u32, padding: u32, dilation: u32) -> u32 {
    var places = 0u;
    for (var k = 0u; k < kernel; k++) {
        let place = at + padding - k * dilation;
        if (at + padding >= k * dilation && place % stride == 0u && place / stride < outputs) {
            places++;
        }
    }
    return places;
}

// Output pixels of this layer whose window holds a pixel of its input map.
fn fan_out(at: vec2<u32>) -> u32 {
    if (layer.flat == 1u) {
        return 1u;
    }
    return holding(at.x, layer.width, layer.kernel_x, layer.stride_x, layer.padding_x, layer.dilation_x)
        * holding(at.y, layer.height, layer.kernel_y, layer.stride_y, layer.padding_y, layer.dilation_y);
}

// Output pixels of the next layer whose window holds a pixel of its input map.
fn next_fan_out(at: vec2<u32>) -> u32 {
    if (layer.next_kernel_x == 0u) {
        return 1u;
    }
    return holding(at.x, layer.next_width, layer.next_kernel_x, layer.next_stride_x, layer.next_padding_x, layer.next_dilation_x)
        * holding(at.y, layer.next_height, layer.next_kernel_y, layer.next_stride_y, layer.next_padding_y, layer.next_dilation_y);
}

// How often inputs of these magnitudes drive their lines.
fn drive_times(n: vec4<i32>) -> u32 {
    let times = select(countOneBits(n), n, layer.as_pulses == 1u);
    return u32(times.x + times.y + times.z + times.w);
}

// The first counter of what drives a layer's rows, of a chip.
fn drives_from(chip: u32, index: u32) -> u32 {
    let spikes = (1u + layer.chips * layer.layers) * layer.steps;
    return spikes + (chip * (layer.layers + 1u) + index) * layer.steps;
}

// Four small integers in a word, and back.
fn packed(n: vec4<i32>) -> u32 {
    let bytes = bitcast<vec4<u32>>(n) & vec4(0xffu);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

fn unpacked(word: u32) -> vec4<i32> {
    return (vec4(bitcast<i32>(word)) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u);
}

// Rounds a product before it is added to: a compiler that cannot see that `fence` is zero cannot fuse the two, so that
// every device gives the CPU's bits.
fn rounded(product: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(product) ^ vec4(run.fence));
}

// A product to the membrane's unit.
fn to_unit(x: vec4<f32>) -> vec4<f32> {
    let units = clamp(x * layer.scale, vec4(-f32(PRODUCT)), vec4(f32(PRODUCT)));
    // A power of two, multiplied: divisions need not be exact.
    return select(round(units), floor(units), layer.floors == 1u) * layer.membrane_unit;
}

// The share that a sum has, behind a norm, in a current that several make up: src/network/lif.rs.
fn share(gain: vec4<f32>, sum: vec4<f32>, offset: vec4<f32>) -> vec4<f32> {
    let product = rounded(gain * sum);
    if (layer.fixed == 0u) {
        return product + offset;
    }
    return to_unit(product) + offset;
}
