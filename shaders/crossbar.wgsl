// Column sums: a convolution of any window, or a fully connected layer as a window of a pixel on a map of 1x1. Exact in
// any order. A product of matrices, pulses [maps and pixels, rows] by weights [rows, columns], in tiles: a workgroup
// brings a chunk of rows of both into its own memory, and a thread sums PIXELS pixels by four columns in registers. A
// word of four rows without a pulse is skipped; threads side by side share their pixels, so they skip together. Inputs
// of more than one digit plane go plane by plane from the most significant, as the shift-and-add behind a crossbar
// does.

@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>; // [chips, rows, this part's columns / 4]
@group(1) @binding(1) var<storage, read> pulses: array<u32>; // [chips (but of the chips' input), maps, planes, pixels, words]
@group(1) @binding(2) var<storage, read_write> sums: array<vec4<f32>>; // [chips, maps, pixels, columns / 4]

const CHUNK = 8u; // words
const DOWN = WORKGROUP / ACROSS;
const TILE = DOWN * PIXELS;

var<workgroup> corners: array<vec3<u32>, TILE>; // first pixel of the map, x and y of the window
var<workgroup> tile: array<u32, TILE * CHUNK>;
var<workgroup> block: array<vec4<f32>, 4u * CHUNK * ACROSS>;

// The contribution of four rows to four columns.
fn product(word: u32, rows: mat4x4<f32>) -> vec4<f32> {
    if (word == 0u) {
        return vec4<f32>();
    }
    return rows * vec4<f32>(unpacked(word));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let size = pixels();
    let input_size = input_pixels();
    let all = run.images * given_steps() * size;
    let first = place(group, groups) * TILE;
    let column_tiles = (layer.part_words + ACROSS - 1u) / ACROSS;
    let chip = group.z / column_tiles;
    let part_word = group.z % column_tiles * ACROSS;
    for (var i = local; i < TILE; i += WORKGROUP) {
        let pixel = (first + i) % size;
        let map = (first + i) / size;
        let corner = vec2(pixel % layer.width, pixel / layer.width) * vec2(layer.stride_x, layer.stride_y)
            - vec2(layer.padding_x, layer.padding_y);
        // What is beyond the last map is left of any; left of or above a map wraps to far beyond it.
        corners[i] = vec3(map * layer.planes * input_size, select(vec2(0x80000000u), corner, first + i < all));
    }
    let words = layer.kernel_x * layer.kernel_y * layer.words;
    let chip_pulses = select(chip * run.images * given_steps() * input_size * layer.planes * layer.words, 0u, layer.reads_input == 1u);
    let across = local % ACROSS;
    let down = local / ACROSS;
    for (var plane = layer.planes; plane > 0u; plane--) {
        var total = array<vec4<f32>, PIXELS>();
        for (var start = 0u; start < words; start += CHUNK) {
            workgroupBarrier();
            let word = start + local % CHUNK;
            let position = word / layer.words;
            let shift = vec2(position % layer.kernel_x, position / layer.kernel_x) * vec2(layer.dilation_x, layer.dilation_y);
            for (var i = local / CHUNK; i < TILE; i += WORKGROUP / CHUNK) {
                let corner = corners[i];
                let at = corner.yz + shift;
                var n = 0u;
                if (word < words && at.x < layer.input_width && at.y < layer.input_height) {
                    let pixel = corner.x + (plane - 1u) * input_size + at.y * layer.input_width + at.x;
                    n = pulses[chip_pulses + pixel * layer.words + word % layer.words];
                }
                tile[i * CHUNK + local % CHUNK] = n;
            }
            for (var i = local; i < 4u * CHUNK * ACROSS; i += WORKGROUP) {
                let row = 4u * start + i / ACROSS;
                let column = part_word + i % ACROSS;
                var weight = vec4<f32>();
                if (row < 4u * words && column < layer.part_words) {
                    weight = weights[(chip * 4u * words + row) * layer.part_words + column];
                }
                block[i] = weight;
            }
            workgroupBarrier();
            for (var word = 0u; word < min(CHUNK, words - start); word++) {
                let at = 4u * word * ACROSS + across;
                let rows = mat4x4(block[at], block[at + ACROSS], block[at + 2u * ACROSS], block[at + 3u * ACROSS]);
                for (var i = 0u; i < PIXELS; i++) {
                    total[i] += product(tile[(i * DOWN + down) * CHUNK + word], rows);
                }
            }
        }
        for (var i = 0u; i < PIXELS; i++) {
            let row = first + i * DOWN + down;
            if (row < all && part_word + across < layer.part_words) {
                let result = (chip * all + row) * layer.column_words + layer.first_word + part_word + across;
                if (plane < layer.planes) {
                    total[i] += f32(1u << DIGIT_BITS) * sums[result];
                }
                sums[result] = total[i];
            }
        }
    }
}
