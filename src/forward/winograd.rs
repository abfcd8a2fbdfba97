//! Column sums of 3x3 windows that move by a pixel, by Winograd's F(2x2, 3x3): 16 products give the sums of a square of
//! 2x2 pixels, where the definition takes 36.
//!
//! # Theory
//!
//! With `g` a column's nine weights of a channel, and `d` the 4x4 inputs that the windows of a square see,
//!
//! ```text
//! Y = Aᵀ·[Σ (G·g·Gᵀ) ⊙ (Bᵀ·d·B)]·A
//! ```
//!
//! (Lavin and Gray, arXiv:1509.09308). G has halves; 2·G has none, and four times the sums come of it, by whole numbers
//! alone. These are added modulo 2³²: what comes out is exact where four times every sum is below 2³¹, whatever stood
//! in between. It is then the same number as that of any other way, to the bit.
//!
//! # Practice
//!
//! Transformed inputs lie between −2 and 4 times the largest; a bias makes bytes of them. Transformed weights are up to
//! nine times as large as weights, so that two digits become three, and three mostly stay three. The products are those
//! of [`crate::kernels::digits`], a run for each of the sixteen places.

use std::ops::Range;

use super::laid::Band;
use super::patches::Patches;
use crate::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, RUN_BYTES, Strided, digits_of};
use crate::kernels::{Buffer, Instructions, vectorised};
use crate::network::{Input, Layer};

/// Places of a transformed square.
const PLACES: usize = 16;
/// Squares whose products are made at once: their sums stay in the second cache.
const SQUARES: usize = 96;
/// Blocks of columns whose products are made at once.
const BLOCKS: usize = 4;
/// The largest input whose transform is a byte: six times it is the range.
const MOST_INPUT: u32 = 42;
/// Fewer pixels than this do not earn the transforms.
const LEAST_PIXELS: usize = 128;

/// A whole number for every column of a block.
type Ints = [i32; LANES];

/// A layer's weights, transformed.
#[derive(Clone, Debug)]
pub struct Winograd {
    /// A run of the channels for each place.
    digits: Digits,
    /// What the bias of the inputs adds to four times the sums of a square, of each block.
    correction: Vec<[Ints; 4]>,
    bias: u8,
    /// The value of one unit of a sum.
    unit: f32,
}

/// Work space of a thread.
#[derive(Debug, Default)]
pub struct WinogradScratch {
    /// Transformed inputs `[places, squares, channels]`.
    inputs: Buffer<u8>,
    /// Sums `[places, blocks, squares, 16]`.
    sums: Buffer<i32>,
    digits: Buffer<i32>,
}

/// The bounds of a layer whose squares can be transformed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The largest input.
    input: u32,
    /// Digits of a transformed weight, at most.
    pub digits: usize,
}

impl Bounds {
    /// The bounds of a layer with such patches, whose largest weight is so many units; none where its squares cannot be
    /// transformed.
    pub fn of(layer: &Layer, patches: &Patches, input: Input, largest_weight: i32) -> Option<Self> {
        let window = patches.window();
        let is_plain = window.kernel == [3, 3] && window.stride == [1, 1] && window.dilation == [1, 1];
        let is_even = patches.height().is_multiple_of(2) && patches.width().is_multiple_of(2);
        let is_laid_so = input == Input::Pulses && !patches.flat() && !patches.thin();
        let fits = is_plain && is_even && is_laid_so && layer.largest_pulse <= MOST_INPUT;
        // A transformed weight is at most nine weights large.
        let digits = digits_of(largest_weight.checked_mul(9)?);
        fits.then_some(Bounds { input: layer.largest_pulse, digits })
    }
}

/// Whether a band consists of whole squares.
pub fn divide(band: Band) -> bool {
    band.rows.is_multiple_of(2)
}

/// Whether a band has pixels enough to earn the transforms.
pub fn earn(band: Band, width: usize) -> bool {
    band.maps * band.rows * width >= LEAST_PIXELS
}

impl Winograd {
    /// The transform of a matrix of so many channels, a run for each row of the window; `unit` is the value of one of
    /// its integers.
    pub fn new(matrix: &Digits, channels: usize, bounds: Bounds, unit: f32) -> Self {
        let mut transformed = vec![[0; LANES]; matrix.blocks * PLACES * channels];
        for (block, transformed) in transformed.chunks_mut(PLACES * channels).enumerate() {
            for channel in 0..channels {
                let window = std::array::from_fn(|row| {
                    std::array::from_fn(|column| matrix.row(block, row, column * channels + channel))
                });
                for (place, weights) in of_weights(&window).into_iter().enumerate() {
                    transformed[place * channels + channel] = weights;
                }
            }
        }
        let largest_weight = transformed.iter().flatten().fold(0, |largest, weight| largest.max(weight.abs()));
        let columns = matrix.blocks * LANES;
        let mut digits = Digits::zeros(digits_of(largest_weight), columns, PLACES, channels);
        let (line, bias) = (channels.next_multiple_of(RUN_BYTES) / 4, 2 * bounds.input as u8);
        let mut correction = Vec::new();
        for (block, transformed) in transformed.chunks(PLACES * channels).enumerate() {
            let mut biased = [[0; LANES]; PLACES];
            for ((place, weights), biased) in transformed.chunks(channels).enumerate().zip(&mut biased) {
                digits.write(block, place * line, weights);
                weights.iter().for_each(|weights| *biased = plus(biased, weights));
                *biased = biased.map(|sum| sum.wrapping_mul(i32::from(bias)));
            }
            correction.push(of_products(&biased));
        }
        Winograd { digits, correction, bias, unit }
    }

    /// The sums of some blocks over a band `[maps, blocks, pixels, 16]`, of inputs that are laid out.
    pub fn sums(
        &self,
        instructions: Instructions,
        (patches, bytes): (&Patches, &[u8]),
        band: Band,
        blocks: Range<usize>,
        WinogradScratch { inputs, sums, digits }: &mut WinogradScratch,
        out: &mut [f32],
    ) {
        let channels = patches.channels();
        let squares = Squares { band, width: patches.width(), blocks: blocks.len() };
        inputs.reserve(PLACES * SQUARES * channels + RUN_BYTES);
        sums.reserve(PLACES * BLOCKS * SQUARES * LANES);
        for first in (0..squares.count()).step_by(SQUARES) {
            let here = SQUARES.min(squares.count() - first);
            let padded = here.next_multiple_of(ROWS_AT_ONCE);
            let place = padded * channels;
            for square in 0..here {
                let (map, y, x) = squares.at(first + square);
                let pixel = map * patches.map() + y * patches.row() + x;
                let seen = Seen { bytes: &bytes[pixel * channels..], row: patches.row() * channels, channels };
                transform(seen, self.bias, &mut inputs[square * channels..], place);
            }
            for (i, block) in blocks.clone().step_by(BLOCKS).enumerate() {
                let count = BLOCKS.min(blocks.end - block);
                let size = count * padded * LANES;
                for (run, sums) in sums.chunks_mut(size).take(PLACES).enumerate() {
                    let runs = [run * place];
                    let left = Strided { bytes: inputs, stride: channels, rows: here, runs: &runs };
                    self.digits.joined(instructions, left, (block, run), digits, sums);
                }
                let products = Products { sums: &sums[..PLACES * size], padded };
                let correction = &self.correction[block..block + count];
                join(products, correction, (squares, i * BLOCKS, first..first + here), self.unit, out);
            }
        }
    }
}

/// The squares of a band.
#[derive(Clone, Copy)]
struct Squares {
    band: Band,
    /// Pixels of a row.
    width: usize,
    /// Blocks of columns of the sums.
    blocks: usize,
}

impl Squares {
    fn count(self) -> usize {
        self.band.maps * self.band.rows * self.width / 4
    }

    /// The map of a square, and its first pixel there.
    fn at(self, square: usize) -> (usize, usize, usize) {
        let (map, y, x) = self.within(square);
        (self.band.map + map, self.band.y + y, x)
    }

    /// A square's map and first pixel, counted from the band's first map and row.
    #[inline(always)]
    fn within(self, square: usize) -> (usize, usize, usize) {
        let across = self.width / 2;
        let (row, column) = (square / across, square % across);
        (row / (self.band.rows / 2), row % (self.band.rows / 2) * 2, column * 2)
    }
}

/// The inputs that a square's windows see, from their first pixel on.
#[derive(Clone, Copy)]
struct Seen<'a> {
    bytes: &'a [u8],
    /// Bytes from row to row of pixels.
    row: usize,
    channels: usize,
}

impl Seen<'_> {
    /// So many channels of a pixel.
    #[inline(always)]
    fn at<const N: usize>(&self, y: usize, x: usize, first: usize) -> &[u8; N] {
        self.bytes[y * self.row + x * self.channels + first..].first_chunk().expect("as many channels")
    }
}

/// The sums of products of some squares.
#[derive(Clone, Copy)]
struct Products<'a> {
    sums: &'a [i32],
    /// Squares, with those that pad them.
    padded: usize,
}

#[inline(always)]
fn plus(a: &Ints, b: &Ints) -> Ints {
    std::array::from_fn(|o| a[o].wrapping_add(b[o]))
}

#[inline(always)]
fn minus(a: &Ints, b: &Ints) -> Ints {
    std::array::from_fn(|o| a[o].wrapping_sub(b[o]))
}

/// 2·G·g of three.
fn of_three(g: [&Ints; 3]) -> [Ints; 4] {
    let ends = plus(g[0], g[2]);
    [plus(g[0], g[0]), plus(&ends, g[1]), minus(&ends, g[1]), plus(g[2], g[2])]
}

/// 4·G·g·Gᵀ.
fn of_weights(g: &[[Ints; 3]; 3]) -> [Ints; PLACES] {
    let columns: [[Ints; 4]; 3] = std::array::from_fn(|column| of_three([0, 1, 2].map(|row| &g[row][column])));
    let rows: [[Ints; 4]; 4] = std::array::from_fn(|row| of_three([0, 1, 2].map(|column| &columns[column][row])));
    std::array::from_fn(|place| rows[place / 4][place % 4])
}

/// Aᵀ·m of four.
#[inline(always)]
fn of_four(m: [&Ints; 4]) -> [Ints; 2] {
    [plus(&plus(m[0], m[1]), m[2]), minus(&minus(m[1], m[2]), m[3])]
}

/// Aᵀ·m·A: the sums of a square's pixels, row by row.
#[inline(always)]
fn of_products(m: &[Ints; PLACES]) -> [Ints; 4] {
    let column = |x: usize| of_four([&m[x], &m[4 + x], &m[8 + x], &m[12 + x]]);
    let [a, b, c, d] = [column(0), column(1), column(2), column(3)];
    let above = of_four([&a[0], &b[0], &c[0], &d[0]]);
    let below = of_four([&a[1], &b[1], &c[1], &d[1]]);
    [above[0], above[1], below[0], below[1]]
}

/// Bᵀ·d of four vectors of bytes.
#[inline(always)]
fn of_inputs<const N: usize>(d: [&[u8; N]; 4]) -> [[u8; N]; 4] {
    // Arrays that closures make are not made in the caller's vectors where they are so long.
    let mut out = [[0; N]; 4];
    for i in 0..N {
        out[0][i] = d[0][i].wrapping_sub(d[2][i]);
        out[1][i] = d[1][i].wrapping_add(d[2][i]);
        out[2][i] = d[2][i].wrapping_sub(d[1][i]);
        out[3][i] = d[1][i].wrapping_sub(d[3][i]);
    }
    out
}

/// Transforms so many channels of a square.
#[inline(always)]
fn transform_some<const N: usize>(seen: Seen, first: usize, bias: u8, out: &mut [u8], place: usize) {
    let mut columns = [[[0; N]; 4]; 4];
    for (x, column) in columns.iter_mut().enumerate() {
        *column = of_inputs([seen.at(0, x, first), seen.at(1, x, first), seen.at(2, x, first), seen.at(3, x, first)]);
    }
    for row in 0..4 {
        let transformed = of_inputs([&columns[0][row], &columns[1][row], &columns[2][row], &columns[3][row]]);
        for (column, transformed) in transformed.iter().enumerate() {
            let out: &mut [u8; N] =
                out[(row * 4 + column) * place + first..].first_chunk_mut().expect("as many channels");
            for i in 0..N {
                out[i] = transformed[i].wrapping_add(bias);
            }
        }
    }
}

vectorised! {
    /// Writes the transform of a square's inputs, biased, a place every `place` bytes.
    fn transform(seen: Seen, bias: u8, out: &mut [u8], place: usize) {
        let whole = seen.channels / 64 * 64;
        for first in (0..whole).step_by(64) {
            transform_some::<64>(seen, first, bias, out, place);
        }
        for first in (whole..seen.channels).step_by(LANES) {
            transform_some::<LANES>(seen, first, bias, out, place);
        }
    }
}

vectorised! {
    /// Writes the sums of some squares, of which the products of blocks from `first` of the output on are given, times
    /// `unit`.
    fn join(
        products: Products,
        correction: &[[Ints; 4]],
        to: (Squares, usize, Range<usize>),
        unit: f32,
        out: &mut [f32],
    ) {
        let (squares, first, here) = to;
        let Products { sums, padded } = products;
        let (place, width) = (sums.len() / PLACES, squares.width);
        let pixels = squares.band.rows * width;
        for (square, number) in here.enumerate() {
            let (map, y, x) = squares.within(number);
            for (block, correction) in correction.iter().enumerate() {
                let at = (block * padded + square) * LANES;
                let mut products = [[0; LANES]; PLACES];
                for (p, product) in products.iter_mut().enumerate() {
                    *product = *sums[p * place + at..].first_chunk().expect("16 lanes");
                }
                let fourfold = of_products(&products);
                let to = (map * squares.blocks + first + block) * pixels + y * width + x;
                for (pixel, (sums, correction)) in fourfold.iter().zip(correction).enumerate() {
                    let to = (to + pixel / 2 * width + pixel % 2) * LANES;
                    let out: &mut [f32; LANES] = out[to..].first_chunk_mut().expect("16 lanes");
                    let sums = minus(sums, correction);
                    *out = std::array::from_fn(|o| (sums[o] >> 2) as f32 * unit);
                }
            }
        }
    }
}
