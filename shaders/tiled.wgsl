// Kernels that sum in tiles share this: a workgroup brings a chunk of rows of pulses, as floats, and of weights into
// its own memory, and a thread sums QUADS quads of pixels by EACH words of columns in registers. Lines between `repeat`
// and `end` are written out: src/engine/gpu/tiling.rs.

const DOWN = THREADS / ACROSS;
const TILE_QUADS = DOWN * QUADS;
const TILE_WORDS = ACROSS * EACH;
// Quads of pixels by words of rows, and rows by words of columns, of a chunk.
const CHUNK_QUADS = CHUNK * TILE_QUADS;
const CHUNK_WEIGHTS = 4u * CHUNK * TILE_WORDS;

var<workgroup> drives: array<vec4<f32>, 4u * CHUNK_QUADS>; // [rows, pixels / 4]
var<workgroup> block: array<vec4<f32>, CHUNK_WEIGHTS>; // [rows, columns / 4]

// The top left of a pixel's window.
fn window(pixel: u32) -> vec2<u32> {
    return vec2(pixel % layer.width, pixel / layer.width) * vec2(layer.stride_x, layer.stride_y)
        - vec2(layer.padding_x, layer.padding_y);
}

// Words of a map's pulses, all planes together.
fn map_words() -> u32 {
    return layer.planes * input_pixels() * layer.words;
}

// The first of the pulses of a pixel's map, of maps that begin at `first_map` and are `stride` words apart, and x and y
// of its window. A pixel beyond the last has a window left of any map; one left of or above its map wraps to far beyond
// it.
fn corner(row: u32, all: u32, first_map: u32, stride: u32) -> vec3<u32> {
    return vec3(first_map + row / pixels() * stride, select(vec2(0x80000000u), window(row % pixels()), row < all));
}
