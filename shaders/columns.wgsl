// Columns behind converters, or of cells that are read afresh every step, on a graphics card: what converted.wgsl
// computes, every row, with a pulse or without. A workgroup goes through the rows once for each conversion: of a slice,
// of its columns or its unit columns, of a tile, of a binary digit of the inputs; then once more for the companion
// array, whose products are whole numbers that floats hold (src/engine/gpu/shaders.rs). A workgroup is of one read.

@group(0) @binding(1) var<storage, read> arrays: array<vec4<f32>>; // see src/engine/gpu/model.rs
@group(1) @binding(1) var<storage, read> pulses: array<u32>; // [chips (but of the chips' input), maps, planes, pixels, words]
@group(1) @binding(2) var<storage, read_write> sums: array<vec4<f32>>; // [chips, maps, pixels, columns / 4]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // see src/engine/gpu/buffers.rs

// insert tiled

const CHUNK_ROWS = 4u * CHUNK;

// An input drives a line as it is (WHOLE), or a binary digit of it does, with its sign.
fn driven(n: i32, digit: u32) -> f32 {
    return f32(select(sign(n) * ((abs(n) >> digit) & 1), n, digit == WHOLE));
}

const WHOLE = 31u;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    if (local == 0u) {
        atomicStore(&clipped, 0u);
        atomicStore(&saturated, 0u);
    }
    // A workgroup has the pixels of one step where cells are read afresh.
    let reads = select(1u, layer.steps, layer.reads > 1u);
    let given = given_steps();
    let all = run.images * select(given, 1u, layer.reads > 1u) * pixels();
    let first = place(group, groups) * 4u * TILE_QUADS;
    let column_tiles = (layer.part_words + TILE_WORDS - 1u) / TILE_WORDS;
    let part_word = group.z % column_tiles * TILE_WORDS;
    let read = group.z / column_tiles % reads;
    let chip = group.z / column_tiles / reads;
    let across = local % ACROSS;
    let down = local / ACROSS;
    let chip_from = select(chip * run.images * given * map_words(), 0u, layer.reads_input == 1u);
    let stride = select(1u, given, layer.reads > 1u) * map_words();
    // A chip has slices, the companion array, and a vector for the adder.
    let arrays_from = (chip * layer.reads + read) * layer.chip_words * layer.part_words;
    let products_from = arrays_from + layer.slices * layer.slice_words * layer.part_words;
    var cut = 0u;
    var limited = 0u;
    for (var plane = layer.planes; plane > 0u; plane--) {
        let first_map = chip_from + (min(read, given - 1u) * layer.planes + plane - 1u) * input_pixels() * layer.words;
        // The threads of a workgroup bring pulses of as many quads as divide it, so a thread's are always the same.
        // repeat i 4
        let corner{i} = corner(first + 4u * (local % TILE_QUADS) + {i}u, all, first_map, stride);
        // end
        let bits = select(layer.bits, min(layer.bits - (plane - 1u) * DIGIT_BITS, DIGIT_BITS), layer.planes > 1u);
        let digits = max(select(bits, 1u, layer.as_pulses == 1u), 1u);
        let conversions = layer.slices * layer.sides * layer.partial_sums * digits;
        let passes = select(conversions + layer.has_companion, 1u, layer.exact == 1u);
        // repeat i 4
        // repeat q QUADS
        // repeat w EACH
        var total{q}{i}{w} = vec4<f32>();
        var codes{q}{i}{w} = vec4<i32>();
        var level{q}{i}{w} = vec4<f32>();
        // end
        // end
        // end
        for (var number = 0u; number < passes; number++) {
            let is_converted = layer.exact == 0u && number < conversions;
            let tile = number / digits % max(layer.partial_sums, 1u);
            let side = number / (digits * max(layer.partial_sums, 1u)) % max(layer.sides, 1u);
            let slice = number / (digits * max(layer.partial_sums, 1u) * max(layer.sides, 1u));
            let slice_from = arrays_from + slice * layer.slice_words * layer.part_words;
            let side_from = slice_from + side * (layer.rows + layer.converter_words * layer.partial_sums) * layer.part_words;
            let whole_from = select(products_from, arrays_from, layer.exact == 1u);
            let weights_from = select(whole_from, side_from, is_converted);
            let digit = select(WHOLE, number % digits, is_converted && layer.as_pulses == 0u);
            let begin = select(0u, tile * layer.rows_at_once, is_converted);
            let end = select(layer.rows, min(layer.rows, begin + layer.rows_at_once), is_converted);
            // repeat i 4
            // repeat q QUADS
            // repeat w EACH
            total{q}{i}{w} = vec4<f32>();
            // end
            // end
            // end
            for (var start = begin; start < end; start += CHUNK_ROWS) {
                workgroupBarrier();
                for (var at = local; at < CHUNK_ROWS * TILE_QUADS; at += THREADS) {
                    let row = start + at / TILE_QUADS;
                    var inputs = vec4<f32>();
                    if (row < end) {
                        inputs = vec4(
                            driven(input(row, corner0.yz, corner0.x), digit),
                            driven(input(row, corner1.yz, corner1.x), digit),
                            driven(input(row, corner2.yz, corner2.x), digit),
                            driven(input(row, corner3.yz, corner3.x), digit),
                        );
                    }
                    drives[at] = inputs;
                }
                for (var at = local; at < CHUNK_WEIGHTS; at += THREADS) {
                    let row = start + at / TILE_WORDS;
                    let column = part_word + at % TILE_WORDS;
                    var weights = vec4<f32>();
                    if (row < end && column < layer.part_words) {
                        weights = arrays[weights_from + row * layer.part_words + column];
                    }
                    block[at] = weights;
                }
                workgroupBarrier();
                // insert chunk
            }
            if (!is_converted) {
                continue;
            }
            // repeat w EACH
            {
                let column = min(part_word + across + {w}u * ACROSS, layer.part_words - 1u);
                let ends = arrays[slice_from + (layer.slice_words - 1u) * layer.part_words + column];
                let converter = side_from + (layer.rows + layer.converter_words * tile) * layer.part_words + column;
                let gain = arrays[converter];
                let offset = arrays[converter + layer.part_words];
                let left = vec4(u32(ends.z) + select(number % digits, 0u, layer.as_levels == 1u));
                let signed = select(1, -1, side == 1u);
                let is_last = layer.as_levels == 0u || number % digits + 1u == digits;
                // repeat q QUADS
                // repeat i 4
                {
                    if (layer.as_levels == 1u) {
                        let before = select(level{q}{i}{w}, vec4<f32>(), number % digits == 0u);
                        level{q}{i}{w} = before + rounded(total{q}{i}{w} * level_weight(number % digits));
                    }
                    let whole = select(total{q}{i}{w}, level{q}{i}{w}, layer.as_levels == 1u);
                    let held_sum = held_current(whole);
                    var exact = rounded(held_sum * gain) + offset;
                    if (layer.noise_words > 0u) {
                        let row = first + 4u * (down * QUADS + {q}u) + {i}u;
                        let map = row / pixels();
                        let image = select(map / given, map, layer.reads > 1u);
                        let step = select(map % given, read, layer.reads > 1u);
                        let moment_here = moment(min(image, run.images - 1u), step, row % pixels());
                        let driven = select(number % digits, 0u, layer.as_pulses == 1u || layer.as_levels == 1u);
                        let number_here = conversion(plane - 1u, driven, slice, side, tile);
                        let drawn = noise(moment_here, number_here, part_word + across + {w}u * ACROSS, chip);
                        exact = noisy(exact, drawn, gain, ends, chip);
                    }
                    let beyond = ones((held_sum != whole) | (exact < vec4(ends.x - 0.5)) | (exact > vec4(ends.y + 0.5)));
                    let counts_here = first + 4u * (down * QUADS + {q}u) + {i}u < all && part_word + across + {w}u * ACROSS < layer.part_words;
                    cut += select(0u, beyond, counts_here && is_last);
                    codes{q}{i}{w} += select(vec4<i32>(), (signed * code(exact, ends, converter)) << left, is_last);
                }
                // end
                // end
            }
            // end
        }
        // repeat w EACH
        // repeat q QUADS
        // repeat i 4
        {
            let row = first + 4u * (down * QUADS + {q}u) + {i}u;
            let word = part_word + across + {w}u * ACROSS;
            if (row < all && word < layer.part_words) {
                let map = row / pixels();
                let output_map = select(map, map * reads + read, layer.reads > 1u);
                let maps = run.images * sum_steps();
                let to = ((chip * maps + output_map) * pixels() + row % pixels()) * layer.column_words + layer.first_word + word;
                var sum = total{q}{i}{w};
                if (layer.exact == 0u) {
                    let adder = arrays[arrays_from + (layer.chip_words - 1u) * layer.part_words + word];
                    let products = select(vec4<i32>(), vec4<i32>(total{q}{i}{w}), layer.has_companion == 1u);
                    let result = joined(codes{q}{i}{w}, products, adder);
                    limited += result.limited;
                    sum = result.sum;
                }
                if (plane < layer.planes) {
                    sum += f32(1u << DIGIT_BITS) * sums[to];
                }
                sums[to] = sum;
            }
        }
        // end
        // end
        // end
    }
    if (cut > 0u) {
        atomicAdd(&clipped, cut);
    }
    if (limited > 0u) {
        atomicAdd(&saturated, limited);
    }
    tell(local, chip);
}
