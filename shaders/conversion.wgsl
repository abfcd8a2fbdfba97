// Inputs of rows, the adder behind converters, and the tally of what they limit, as converted.wgsl and columns.wgsl
// both have them: src/forward/conversion.rs.

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

@group(1) @binding(4) var<storage, read> indices: array<u32>; // of the images in their data set

fn mix(hash: u32, word: u32) -> u32 {
    let mixed = (hash ^ word) * 0x9E3779B1u;
    return mixed ^ (mixed >> 15u);
}

// The hash of a pixel of an image at a step: src/crossbar/noise.rs.
fn moment(image: u32, step: u32, pixel: u32) -> u32 {
    return mix(mix(mix(0x243F6A88u, indices[image]), step), pixel);
}

// The noise that four columns of a chip add to their sums in a conversion of a pixel: sixteen columns read numbers in a
// row. Behind the last column, where a gain is 0, there is no converter.
fn noise(moment: u32, conversion: u32, word: u32, chip: u32) -> vec4<f32> {
    let column_word = layer.first_word + word;
    let hash = mix(mix(moment, conversion), column_word / 4u) * 0x85EBCA6Bu;
    let place = ((hash ^ (hash >> 13u)) * 0xC2B2AE35u) >> 18u;
    let pools = layer.chips * layer.reads * layer.chip_words * layer.part_words;
    return arrays[pools + chip * layer.noise_words + place + column_word % 4u];
}

// The factor of a sum's noise: by the code, from the lowest, that the sum is nearest to.
fn factor(code: u32, chip: u32) -> f32 {
    let pools = layer.chips * layer.reads * layer.chip_words * layer.part_words;
    return arrays[pools + chip * layer.noise_words + POOL_WORDS + code / 4u][code % 4u];
}

// Four columns' sums, in codes between these ends, with what was drawn for them; one of a gain of 0 is no converter's.
fn noisy(exact: vec4<f32>, drawn: vec4<f32>, gain: vec4<f32>, ends: vec4<f32>, chip: u32) -> vec4<f32> {
    var more = drawn;
    if (layer.noise_by_code == 1u) {
        let code = vec4<u32>(vec4<i32>(round(clamp(exact, vec4(ends.x), vec4(ends.y)))) - vec4(i32(ends.x)));
        more = rounded(drawn * vec4(factor(code.x, chip), factor(code.y, chip), factor(code.z, chip), factor(code.w, chip)));
    }
    return rounded(exact) + select(vec4<f32>(), more, gain != vec4<f32>());
}

// The share of a binary digit of levels in a sum.
fn level_weight(digit: u32) -> f32 {
    return vec4(layer.level_0, layer.level_1, layer.level_2, layer.level_3)[digit % 4u];
}

// Sums as converters take them.
fn held_current(sums: vec4<f32>) -> vec4<f32> {
    return clamp(sums, vec4(-layer.limit), vec4(layer.limit));
}

// The number of a conversion of a pixel: of a binary digit of a plane, of a slice's side, on a tile.
fn conversion(plane: u32, digit: u32, slice: u32, side: u32, tile: u32) -> u32 {
    return (((plane * 16u + digit) * layer.slices + slice) * 2u + side) * layer.partial_sums + tile;
}

// Four columns' numbers of levels up to a sum, of which the next `half` are looked at; without so many levels as they
// were.
fn halved(met: vec4<u32>, half: u32, exact: vec4<f32>, from_level: u32) -> vec4<u32> {
    if (half + 2u > layer.converter_words) {
        return met;
    }
    let next = met + vec4(half - 1u);
    let level = vec4(
        arrays[from_level + next.x * layer.part_words].x,
        arrays[from_level + next.y * layer.part_words].y,
        arrays[from_level + next.z * layer.part_words].z,
        arrays[from_level + next.w * layer.part_words].w,
    );
    return met + select(vec4<u32>(), vec4(half), exact >= level);
}

// The codes of four columns' sums, in codes, between these ends. Codes begin half-way between their values, or where
// the levels behind a converter's gain and offset say: these rise, so their number up to a sum is found by halves.
// There is no loop: Mesa's software driver ends all loops of a thread after 65535 rounds together.
fn code(exact: vec4<f32>, ends: vec4<f32>, converter: u32) -> vec4<i32> {
    if (layer.converter_words == 2u) {
        return vec4<i32>(round(clamp(exact, vec4(ends.x), vec4(ends.y))));
    }
    let from_level = converter + 2u * layer.part_words;
    var met = halved(vec4<u32>(), 512u, exact, from_level);
    met = halved(met, 256u, exact, from_level);
    met = halved(met, 128u, exact, from_level);
    met = halved(met, 64u, exact, from_level);
    met = halved(met, 32u, exact, from_level);
    met = halved(met, 16u, exact, from_level);
    met = halved(met, 8u, exact, from_level);
    met = halved(met, 4u, exact, from_level);
    met = halved(met, 2u, exact, from_level);
    met = halved(met, 1u, exact, from_level);
    return vec4<i32>(met) + vec4(i32(ends.x));
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
