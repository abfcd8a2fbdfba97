// Column sums on a graphics card: what crossbar.wgsl computes, every row, with a pulse or without. The next chunk of
// rows is on its way while one is summed. Sums are exact in any order.

@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>; // [chips, rows, this part's columns / 4]
@group(1) @binding(1) var<storage, read> pulses: array<u32>; // [chips (but of the chips' input), maps, planes, pixels, words]
@group(1) @binding(2) var<storage, read_write> sums: array<vec4<f32>>; // [chips, maps, pixels, columns / 4]

// insert tiled

// Rows of the matrix, in words.
fn row_words() -> u32 {
    return layer.kernel_x * layer.kernel_y * layer.words;
}

// A word of pulses.
fn brought(corner: vec3<u32>, word: u32) -> u32 {
    let position = word / layer.words;
    let shift = vec2(position % layer.kernel_x, position / layer.kernel_x) * vec2(layer.dilation_x, layer.dilation_y);
    let at = corner.yz + shift;
    if (word >= row_words() || at.x >= layer.input_width || at.y >= layer.input_height) {
        return 0u;
    }
    return pulses[corner.x + (at.y * layer.input_width + at.x) * layer.words + word % layer.words];
}

// Four columns of a row.
fn weight(chip: u32, row: u32, column: u32) -> vec4<f32> {
    if (row >= 4u * row_words() || column >= layer.part_words) {
        return vec4<f32>();
    }
    return weights[(chip * 4u * row_words() + row) * layer.part_words + column];
}

// The inputs of a channel for four pixels.
fn lane(words: vec4<u32>, at: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(words << vec4(24u - at)) >> vec4(24u));
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let all = run.images * given_steps() * pixels();
    let first = place(group, groups) * 4u * TILE_QUADS;
    let column_tiles = (layer.part_words + TILE_WORDS - 1u) / TILE_WORDS;
    let chip = group.z / column_tiles;
    let part_word = group.z % column_tiles * TILE_WORDS;
    let chip_from = select(chip * run.images * given_steps() * map_words(), 0u, layer.reads_input == 1u);
    let across = local % ACROSS;
    let down = local / ACROSS;
    // The last threads bring weights while the first bring pulses.
    let late = THREADS - 1u - local;
    for (var plane = layer.planes; plane > 0u; plane--) {
        // repeat i 4
        // repeat q QUADS
        // repeat w EACH
        var total{q}{i}{w} = vec4<f32>();
        // end
        // end
        // end
        let first_map = chip_from + (plane - 1u) * input_pixels() * layer.words;
        // repeat j QUAD_LOADS
        let quad{j} = local + {j}u * THREADS;
        var words{j} = vec4<u32>();
        // repeat i 4
        let corner{j}{i} = corner(first + 4u * (quad{j} % TILE_QUADS) + {i}u, all, first_map, map_words());
        words{j}.{i:lane} = brought(corner{j}{i}, quad{j} / TILE_QUADS);
        // end
        // end
        // repeat j WEIGHT_LOADS
        let at{j} = late + {j}u * THREADS;
        var rows{j} = weight(chip, at{j} / TILE_WORDS, part_word + at{j} % TILE_WORDS);
        // end
        for (var start = 0u; start < row_words(); start += CHUNK) {
            workgroupBarrier();
            // repeat j QUAD_LOADS
            if (quad{j} < CHUNK_QUADS) {
                let to = quad{j} / TILE_QUADS * 4u * TILE_QUADS + quad{j} % TILE_QUADS;
                // repeat i 4
                drives[to + {i}u * TILE_QUADS] = lane(words{j}, 8u * {i}u);
                // end
            }
            // end
            // repeat j WEIGHT_LOADS
            if (at{j} < CHUNK_WEIGHTS) {
                block[at{j}] = rows{j};
            }
            // end
            workgroupBarrier();
            let next = start + CHUNK;
            // repeat j QUAD_LOADS
            // repeat i 4
            words{j}.{i:lane} = brought(corner{j}{i}, next + quad{j} / TILE_QUADS);
            // end
            // end
            // repeat j WEIGHT_LOADS
            rows{j} = weight(chip, 4u * next + at{j} / TILE_WORDS, part_word + at{j} % TILE_WORDS);
            // end
            // insert chunk
        }
        // repeat q QUADS
        // repeat i 4
        // repeat w EACH
        {
            let row = first + 4u * (down * QUADS + {q}u) + {i}u;
            let word = part_word + across + {w}u * ACROSS;
            if (row < all && word < layer.part_words) {
                let result = (chip * all + row) * layer.column_words + layer.first_word + word;
                if (plane < layer.planes) {
                    total{q}{i}{w} += f32(1u << DIGIT_BITS) * sums[result];
                }
                sums[result] = total{q}{i}{w};
            }
        }
        // end
        // end
        // end
    }
}
