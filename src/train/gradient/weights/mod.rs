//! ∂loss/∂W: pulses times the gradient of the currents, summed over pixels, steps and images.
//!
//! The pulses' maps, padded, are turned so that each channel's pixels lie side by side; a kernel position is then an
//! offset into them. What begins there is first moved to cache-line boundaries: tile registers load lines, and take twice
//! as long where a row of theirs straddles two.

use rayon::prelude::*;

use super::{Currents, Precision};
use crate::forward::patches::Patches;
use crate::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, RUN_BYTES, Strided, join_wide};
use crate::kernels::transpose::transpose;
use crate::kernels::{Buffer, Instructions, vectorised};
use crate::monitor::checkpoint;
use crate::network::Layer;
use crate::network::pulses::Pulses;

/// Pixels that a product sums over at once, at least: enough to make up for reading and writing its sums.
const PIXELS: usize = 2048;
/// Rows of the matrix whose sums a fully connected layer's product holds at once.
const ROWS: usize = 256;
/// Blocks of columns of one task of a fully connected layer.
const BLOCKS: usize = 2;
/// Images times steps that a fully connected layer's product sums over at once: no sum of digits exceeds 31 bits.
const MOST_ROWS: usize = 1 << 16;

/// The sums of some images, growing.
pub struct Gradient<'a> {
    plan: &'a Layer,
    patches: Patches,
    steps: usize,
    /// Steps of a product.
    at_once: usize,
    /// Bytes of a channel of turned pulses.
    stride: usize,
    right: Digits,
    laid: Buffer<u8>,
    turned: Buffer<u8>,
    moved: Buffer<u8>,
    /// Sums of a plane and sign, `[positions][tiles][rows][16]`.
    parts: Vec<Part>,
    total: Vec<i64>,
}

struct Part {
    weight: i64,
    sums: Buffer<i32>,
    /// The largest magnitude that a sum can have reached.
    bound: u64,
}

/// What a layer takes in.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Pulses, `[images·steps]` maps.
    Pulses(&'a Pulses),
    /// The network's input.
    Encoded {
        /// Signed digits `[images, given steps, planes, pixels, channels]`.
        digits: &'a [i8],
        /// Digit planes, the least significant first.
        planes: usize,
        /// Steps that differ: 1 where all are the same.
        given: usize,
        /// The digits' base.
        base: i64,
    },
}

impl Source<'_> {
    /// The parts whose sums are kept apart: a plane's, of one sign.
    fn parts(&self) -> Vec<i64> {
        match *self {
            Source::Pulses(pulses) => (0..pulses.planes()).map(|plane| 1 << (8 * plane)).collect(),
            Source::Encoded { planes, base, .. } => {
                (0..planes as u32).flat_map(|plane| [base.pow(plane), -base.pow(plane)]).collect()
            }
        }
    }
}

impl<'a> Gradient<'a> {
    /// Of a convolution.
    pub fn new(plan: &'a Layer, source: Source, steps: usize, precision: Precision) -> Self {
        let patches = Patches::of(plan, matches!(source, Source::Encoded { .. })).unstrided();
        let at_once = PIXELS.div_ceil(patches.map()).min(steps);
        let pixels = at_once * patches.map();
        let stride = (patches.lead() + pixels).next_multiple_of(RUN_BYTES) + RUN_BYTES;
        let right = Digits::zeros(precision.digits(), plan.columns(), 1, pixels);
        let (offsets, rows) = Self::shape(&patches);
        let padded = rows.next_multiple_of(ROWS_AT_ONCE);
        let sums = offsets * right.tiles() * padded * LANES;
        let part = |weight| Part { weight, sums: Buffer::zeros(sums), bound: 0 };
        Gradient {
            plan,
            patches,
            steps,
            at_once,
            stride,
            right,
            laid: Buffer::default(),
            turned: Buffer::zeros(padded * stride + RUN_BYTES + patches.lead()),
            moved: Buffer::zeros(padded * Self::aligned(pixels)),
            parts: source.parts().into_iter().map(part).collect(),
            total: vec![0; plan.rows() * plan.columns()],
        }
    }

    /// Kernel positions that are offsets, and rows of turned pulses: thin inputs have a row for every position.
    fn shape(patches: &Patches) -> (usize, usize) {
        let positions = patches.window().positions();
        if patches.thin() { (1, positions * patches.channels()) } else { (positions, patches.channels()) }
    }

    /// Bytes from row to row of so many pixels: an odd number of cache lines, which are spread over all of the cache.
    fn aligned(pixels: usize) -> usize {
        (pixels.div_ceil(RUN_BYTES) | 1) * RUN_BYTES
    }

    /// Steps of a product, and rows of padded currents that it takes.
    pub fn at_once(&self) -> (usize, usize) {
        (self.at_once, self.at_once * self.patches.map())
    }

    /// Adds steps `[first, first + at_once)` of an image, fewer at the end, whose padded currents are given.
    pub fn add(&mut self, source: Source, image: usize, first: usize, currents: &Currents) {
        let steps = self.at_once.min(self.steps - first);
        currents.to_digits(0, &mut self.right);
        let (offsets, rows) = Self::shape(&self.patches);
        for p in 0..self.parts.len() {
            let largest = self.turn(source, p, image, first, steps);
            let added = u64::from(largest) * 128 * (steps * self.patches.map()) as u64;
            if self.parts[p].bound + added > i32::MAX as u64 {
                self.settle(p);
            }
            self.parts[p].bound += added;
            let sums = &mut self.parts[p].sums;
            let size = sums.len() / offsets;
            for (position, sums) in sums.chunks_mut(size).enumerate() {
                let offset = if offsets == 1 { 0 } else { self.patches.offset(position) };
                let pixels = self.right.run.next_multiple_of(RUN_BYTES);
                let stride = Self::aligned(pixels);
                for (moved, turned) in self.moved.chunks_mut(stride).zip(self.turned.chunks(self.stride)).take(rows) {
                    moved[..pixels].copy_from_slice(&turned[offset..offset + pixels]);
                }
                let left = Strided { bytes: &self.moved, stride, rows, runs: &[0] };
                self.right.product(Instructions::best(), left, (0, 0), true, sums);
            }
        }
    }

    /// Writes the turned pulses of a part; gives the largest.
    fn turn(&mut self, source: Source, part: usize, image: usize, first: usize, steps: usize) -> u8 {
        let (patches, stride) = (&self.patches, self.stride);
        match source {
            Source::Pulses(pulses) => {
                patches.fill(pulses, part, image * self.steps + first, steps, &mut self.laid);
                let pixels = patches.lead() + steps * patches.map();
                let size = (pixels, patches.channels());
                transpose(&self.laid, patches.channels(), size, &mut self.turned, |channel| channel * stride);
                if pulses.are_bits() { 1 } else { u8::MAX }
            }
            Source::Encoded { digits, planes, given, .. } => {
                let (plane, negative) = (part / 2, part % 2 == 1);
                let (channels, size) = (patches.channels(), patches.encoded());
                self.turned.fill(0);
                let positions = if patches.thin() { patches.window().positions() } else { 1 };
                for t in 0..steps {
                    let step = (first + t).min(given - 1);
                    let map = &digits[((image * given + step) * planes + plane) * size..][..size];
                    for (i, digit) in map.iter().enumerate().filter(|(_, d)| (**d < 0) == negative && **d != 0) {
                        let (pixel, channel) = (i / channels, i % channels);
                        let at = t * patches.map()
                            + patches.at(pixel / patches.input_width(), pixel % patches.input_width());
                        for position in 0..positions {
                            let offset = patches.offset(position);
                            let row = &mut self.turned[(position * channels + channel) * stride..][..stride];
                            if let Some(at) = at.checked_sub(offset) {
                                row[at] = digit.unsigned_abs();
                            }
                        }
                    }
                }
                16
            }
        }
    }

    /// Moves a part's sums to the total.
    fn settle(&mut self, p: usize) {
        let part = &mut self.parts[p];
        let (offsets, rows) = Self::shape(&self.patches);
        let padded = rows.next_multiple_of(ROWS_AT_ONCE);
        let (size, columns, inputs) = (self.plan.rows(), self.plan.columns(), self.plan.input.channels);
        let digits = self.right.digits;
        let positions = size / inputs;
        for (position, sums) in part.sums.chunks(part.sums.len() / offsets).enumerate() {
            for (block, sums) in sums.chunks(digits * padded * LANES).enumerate() {
                for row in 0..rows {
                    let (position, channel) = if offsets == 1 {
                        (row / self.patches.channels(), row % self.patches.channels())
                    } else {
                        (position, row)
                    };
                    if channel >= inputs {
                        continue;
                    }
                    for lane in 0..LANES.min(columns - block * LANES) {
                        let digit = |d: usize| sums[(d * padded + row) * LANES + lane];
                        let at = (block * LANES + lane) * size + channel * positions + position;
                        self.total[at] += part.weight * join_wide((0..digits).map(digit));
                    }
                }
            }
        }
        part.sums.fill(0);
        part.bound = 0;
    }

    /// The sums, in the published order `[columns, rows]`.
    pub fn total(mut self) -> Vec<i64> {
        (0..self.parts.len()).for_each(|p| self.settle(p));
        self.total
    }
}

/// ∂loss/∂W of a fully connected layer, published order, times `unit`: of currents `[blocks, images·steps, 16]`.
pub fn fully_connected(
    plan: &Layer,
    source: Source,
    steps: usize,
    currents: &Currents,
    (precision, unit): (Precision, f32),
) -> Vec<f32> {
    let (size, columns, digits) = (plan.rows(), plan.columns(), precision.digits());
    let mut total: Vec<f32> = Vec::new();
    total.par_extend(rayon::iter::repeat_n(0.0, size * columns));
    let mut laid = Buffer::default();
    for first in (0..currents.rows).step_by(MOST_ROWS) {
        let rows = MOST_ROWS.min(currents.rows - first);
        let mut right = Digits::zeros(digits, columns, 1, rows);
        currents.to_digits(first, &mut right);
        let stride = rows.next_multiple_of(RUN_BYTES) + RUN_BYTES;
        for (part, weight) in source.parts().into_iter().enumerate() {
            let mut turned = Buffer::<u8>::zeros(size.next_multiple_of(ROWS) * stride);
            turn_rows(plan, source, part, steps, first..first + rows, stride, &mut laid, &mut turned);
            total.par_chunks_mut(BLOCKS * LANES * size).enumerate().for_each(|(group, total)| {
                checkpoint();
                let blocks = total.len().div_ceil(LANES * size);
                let mut sums = Buffer::<i32>::zeros(blocks * digits * ROWS * LANES);
                for row in (0..size).step_by(ROWS) {
                    let left = Strided { bytes: &turned[row * stride..], stride, rows: ROWS, runs: &[0] };
                    let tile = group * BLOCKS * digits;
                    right.product(Instructions::best(), left, (tile, 0), false, &mut sums);
                    for (sums, total) in sums.chunks(digits * ROWS * LANES).zip(total.chunks_mut(LANES * size)) {
                        add_joined(sums, weight as f64 * f64::from(unit), row, size, total);
                    }
                }
            });
        }
    }
    total
}

/// Writes the pulses of a part, of some images and steps, turned: a published row each, `stride` bytes apart.
#[expect(clippy::too_many_arguments, reason = "a step of the function above, named for what it does")]
fn turn_rows(
    plan: &Layer,
    source: Source,
    part: usize,
    steps: usize,
    range: std::ops::Range<usize>,
    stride: usize,
    laid: &mut Buffer<u8>,
    turned: &mut [u8],
) {
    let channels = plan.input.channels;
    let pixels = plan.rows() / channels;
    match source {
        Source::Pulses(pulses) => {
            let patches = Patches::of(plan, false);
            patches.fill(pulses, part, range.start, range.len(), laid);
            turned.par_chunks_mut(ROWS * stride).enumerate().for_each(|(i, turned)| {
                let rows = ROWS.min((plan.rows() - i * ROWS).next_multiple_of(LANES));
                transpose(&laid[i * ROWS..], patches.channels(), (range.len(), rows), turned, |row| row * stride);
            });
        }
        Source::Encoded { digits, planes, given, .. } => {
            let (plane, negative) = (part / 2, part % 2 == 1);
            for (column, map) in range.enumerate() {
                let from = ((map / steps * given + (map % steps).min(given - 1)) * planes + plane) * plan.rows();
                for (i, digit) in digits[from..from + plan.rows()].iter().enumerate() {
                    if (*digit < 0) == negative {
                        turned[(i % channels * pixels + i / channels) * stride + column] = digit.unsigned_abs();
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Joins the digits of a block's sums `[digits, rows, 16]` and adds them, times `unit`, to `total[16][row..]`.
    fn add_joined(sums: &[i32], unit: f64, row: usize, size: usize, total: &mut [f32]) {
        let mut joined = [[0.0f64; LANES]; ROWS];
        for digit in sums.chunks(ROWS * LANES).rev() {
            for (joined, digit) in joined.iter_mut().zip(digit.as_chunks::<LANES>().0) {
                joined.iter_mut().zip(digit).for_each(|(sum, digit)| *sum = 256.0 * *sum + f64::from(*digit));
            }
        }
        let joined = joined.map(|row| row.map(|sum| (sum * unit) as f32));
        let here = ROWS.min(size - row);
        for (lane, total) in total.chunks_mut(size).enumerate() {
            for (total, joined) in total[row..row + here].iter_mut().zip(&joined) {
                *total += joined[lane];
            }
        }
    }
}
