// Columns behind converters, or of cells that are read afresh every step: src/forward/partials.rs. A thread sums four
// columns of one pixel, tile by tile in the published order of rows, converts each tile's sums and adds up their codes;
// then it joins the companion array's products. Partial sums are exact, codes and products are integers. Inputs above 1
// go bit by bit, or as pulses at once.

@group(0) @binding(1) var<storage, read> arrays: array<vec4<f32>>; // see src/engine/gpu/model.rs
@group(1) @binding(1) var<storage, read> pulses: array<u32>; // [chips (but of the chips' input), maps, planes, pixels, words]
@group(1) @binding(2) var<storage, read_write> sums: array<vec4<f32>>; // [chips, maps, pixels, columns / 4]
@group(1) @binding(3) var<storage, read_write> counts: array<atomic<u32>>; // see src/engine/gpu/buffers.rs

const MOST_BITS = 8u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    if (local == 0u) {
        atomicStore(&clipped, 0u);
        atomicStore(&saturated, 0u);
    }
    workgroupBarrier();
    let chip = group.z;
    let size = pixels();
    let steps = sum_steps();
    let all = run.images * steps * size;
    let index = place(group, groups) * WORKGROUP + local;
    let word = index % layer.part_words;
    let row_index = index / layer.part_words;
    if (row_index < all) {
        let pixel = row_index % size;
        let corner = vec2(pixel % layer.width, pixel / layer.width) * vec2(layer.stride_x, layer.stride_y)
            - vec2(layer.padding_x, layer.padding_y);
        let step = row_index / size % steps;
        let given = given_steps();
        let input_map = row_index / size / steps * given + min(step, given - 1u);
        let chip_maps = select(chip * run.images * given, 0u, layer.reads_input == 1u);
        let map = (chip_maps + input_map) * layer.planes * input_pixels();
        // Of a chip: slices, the companion array, and a vector for the adder.
        let read = select(0u, step, layer.reads > 1u);
        let arrays_from = (chip * layer.reads + read) * layer.chip_words * layer.part_words + word;
        let products_from = arrays_from + layer.slices * layer.slice_words * layer.part_words;
        let adder = arrays[arrays_from + (layer.chip_words - 1u) * layer.part_words];
        var moment_here = 0u;
        if (layer.noise_words > 0u) {
            moment_here = moment(row_index / size / steps, step, pixel);
        }
        var sum = vec4<f32>();
        var cut = 0u;
        var limited = 0u;
        for (var plane = layer.planes; plane > 0u; plane--) {
            let plane_from = (map + (plane - 1u) * input_pixels()) * layer.words;
            let bits = select(layer.bits, min(layer.bits - (plane - 1u) * DIGIT_BITS, DIGIT_BITS), layer.planes > 1u);
            let drives = select(bits, 1u, layer.as_pulses == 1u || layer.as_levels == 1u);
            if (layer.exact == 1u) {
                var total = vec4<f32>();
                for (var row = 0u; row < layer.rows; row++) {
                    let n = input(row, corner, plane_from);
                    if (n != 0) {
                        total += f32(n) * arrays[arrays_from + row * layer.part_words];
                    }
                }
                sum = f32(1u << DIGIT_BITS) * sum + total;
                continue;
            }
            var codes = vec4<i32>();
            for (var slice = 0u; slice < layer.slices; slice++) {
                let slice_from = arrays_from + slice * layer.slice_words * layer.part_words;
                let ends = arrays[slice_from + (layer.slice_words - 1u) * layer.part_words];
                for (var side = 0u; side < layer.sides; side++) {
                    let from_side = slice_from + side * (layer.rows + layer.converter_words * layer.partial_sums) * layer.part_words;
                    let signed = select(1, -1, side == 1u);
                    for (var tile = 0u; tile < layer.partial_sums; tile++) {
                        var partial = array<vec4<f32>, MOST_BITS>();
                        let last = min(layer.rows, (tile + 1u) * layer.rows_at_once);
                        for (var row = tile * layer.rows_at_once; row < last; row++) {
                            let n = input(row, corner, plane_from);
                            if (n == 0) {
                                continue;
                            }
                            let weight = arrays[from_side + row * layer.part_words];
                            if (layer.as_pulses == 1u) {
                                partial[0] += f32(n) * weight;
                                continue;
                            }
                            for (var bit = 0u; bit < bits; bit++) {
                                if (((abs(n) >> bit) & 1) == 1) {
                                    partial[bit] += f32(sign(n)) * weight;
                                }
                            }
                        }
                        let converter = from_side + (layer.rows + layer.converter_words * tile) * layer.part_words;
                        let gain = arrays[converter];
                        let offset = arrays[converter + layer.part_words];
                        if (layer.as_levels == 1u) {
                            var level = vec4<f32>();
                            for (var bit = 0u; bit < bits; bit++) {
                                level += rounded(partial[bit] * level_weight(bit));
                            }
                            partial[0] = level;
                        }
                        for (var drive = 0u; drive < drives; drive++) {
                            let held_sum = held_current(partial[drive]);
                            var exact = rounded(held_sum * gain) + offset;
                            if (layer.noise_words > 0u) {
                                let number = conversion(plane - 1u, drive, slice, side, tile);
                                exact = noisy(exact, noise(moment_here, number, word, chip), gain, ends, chip);
                            }
                            cut += ones((held_sum != partial[drive]) | (exact < vec4(ends.x - 0.5)) | (exact > vec4(ends.y + 0.5)));
                            codes += (signed * code(exact, ends, converter)) << vec4(u32(ends.z) + drive);
                        }
                    }
                }
            }
            var products = vec4<i32>();
            for (var row = 0u; row < layer.rows * layer.has_companion; row++) {
                let n = input(row, corner, plane_from);
                if (n != 0) {
                    products += n * vec4<i32>(arrays[products_from + row * layer.part_words]);
                }
            }
            let result = joined(codes, products, adder);
            limited += result.limited;
            sum = f32(1u << DIGIT_BITS) * sum + result.sum;
        }
        sums[(chip * all + row_index) * layer.column_words + layer.first_word + word] = sum;
        if (cut > 0u) {
            atomicAdd(&clipped, cut);
        }
        if (limited > 0u) {
            atomicAdd(&saturated, limited);
        }
    }
    tell(local, chip);
}
