// Inputs of rows, the adder behind converters, and the tally of what they limit, as converted.wgsl and columns.wgsl both have them:
// src/forward/conversion.rs.

// What the workgroup's converters clipped, and its adders saturated.
var<workgroup> clipped: atomic<u32>;
var<workgroup> saturated: atomic<u32>;

// Adds what the workgroup counted to the tally of its chip, once all of it has counted.
fn tell(local: u32, chip: u32) {
    workgroupBarrier();
    if (local == 0u) {
        let counter = drives_from(layer.chips, 0u) + 2u * (chip * (layer.layers + 1u) + layer.index);
        atomicAdd(&counts[counter], atomicLoad(&clipped));
        atomicAdd(&counts[counter + 1u], atomicLoad(&saturated));
    }
}

fn ones(flags: vec4<bool>) -> u32 {
    let bits = vec4<u32>(flags);
    return bits.x + bits.y + bits.z + bits.w;
}

// The input of a row of the matrix in published order, for the pixel whose window begins at `corner`.
fn input(row: u32, corner: vec2<u32>, plane_from: u32) -> i32 {
    let channel = row / layer.positions;
    let position = row % layer.positions;
    var at = corner;
    var word = channel / 4u;
    if (layer.flat == 1u) {
        word += position * layer.channel_words;
    } else {
        at += vec2(position % layer.kernel_x, position / layer.kernel_x) * vec2(layer.dilation_x, layer.dilation_y);
    }
    // A place left of or above the map wraps to far beyond it.
    if (at.x >= layer.input_width || at.y >= layer.input_height) {
        return 0;
    }
    let pixel = at.y * layer.input_width + at.x;
    let left = 24u - 8u * (channel % 4u);
    return bitcast<i32>(pulses[plane_from + pixel * layer.words + word] << left) >> 24u;
}

// An integer saturates at `most` and one less than its negative.
fn held(x: vec4<i32>, most: i32) -> vec4<i32> {
    return clamp(x, vec4(-most - 1), vec4(most));
}

// The adder's total in units of the weights, and how many of its sums saturated.
struct Joined {
    sum: vec4<f32>,
    limited: u32,
}

// Codes joined with the companion array's products, by way of its shifter.
fn joined(codes: vec4<i32>, products: vec4<i32>, adder: vec4<f32>) -> Joined {
    let sum_held = held(products, layer.most_sum);
    let moved = (sum_held >> vec4(u32(adder.x))) << vec4(u32(adder.y));
    let shifted = held(moved, layer.most_shifted);
    let both = codes + shifted;
    let total = held(both, layer.most);
    let limited = ones((sum_held != products) | (shifted != moved) | (total != both));
    return Joined(rounded(vec4<f32>(total) * adder.z), limited);
}
