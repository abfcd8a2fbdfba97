//! ∂loss/∂W of fully connected layers: the rows of a product are all images and steps.

use rayon::prelude::*;

use super::InputSignal;
use super::look_up::{most_at_once, pack};
use crate::forward::patches::Patches;
use crate::kernels::digits::{Digits, LANES, RUN_BYTES, Strided};
use crate::kernels::lookup::{BitSeries, LookupScratch, Numbers, add_rows, groups};
use crate::kernels::transpose::transpose;
use crate::kernels::{Buffer, Instructions, vectorised};
use crate::monitor::stop_if_asked;
use crate::network::Layer;
use crate::train::gradient::{Currents, Precision};

/// Rows of the matrix whose sums a fully connected layer's product holds at once.
const ROWS: usize = 256;
/// Blocks of columns of one task of a fully connected layer.
const BLOCKS: usize = 2;
/// Blocks of columns of one task whose sums are made from tables.
const TABLE_BLOCKS: usize = 4;
/// Images times steps that a fully connected layer's product sums over at once: no sum of digits exceeds 31 bits.
const MOST_ROWS: usize = 1 << 16;

/// ∂loss/∂W of a fully connected layer, published order, times `unit`: of currents `[blocks, images·steps, 16]`.
pub fn fully_connected(
    plan: &Layer,
    source: InputSignal,
    steps: usize,
    currents: &Currents,
    (precision, unit): (Precision, f32),
) -> Vec<f32> {
    let size = plan.rows();
    let mut total: Vec<f32> = Vec::new();
    total.par_extend(rayon::iter::repeat_n(0.0, size * plan.columns()));
    let mut laid = Buffer::default();
    for first in (0..currents.rows).step_by(MOST_ROWS) {
        let rows = MOST_ROWS.min(currents.rows - first);
        let stride = rows.next_multiple_of(RUN_BYTES) + RUN_BYTES;
        for (part, weight) in source.parts().into_iter().enumerate() {
            let mut turned = Buffer::<u8>::zeros(size.next_multiple_of(ROWS) * stride);
            turn_rows(plan, source, part, steps, first..first + rows, stride, &mut laid, &mut turned);
            let unit = weight as f64 * f64::from(unit);
            let turned_rows = TurnedRows { turned: &turned, stride, currents, first, rows, unit };
            match source.looked_up(precision) {
                Some(bits) => turned_rows.look_up(precision, bits, size, &mut total),
                None => turned_rows.multiply(precision, size, &mut total),
            }
        }
    }
    total
}

/// Turned pulses of some images and steps, and the currents that they meet.
#[derive(Clone, Copy)]
struct TurnedRows<'a> {
    turned: &'a [u8],
    stride: usize,
    currents: &'a Currents,
    /// The first row of the currents, and how many.
    first: usize,
    rows: usize,
    /// The value of one unit of the sums.
    unit: f64,
}

impl TurnedRows<'_> {
    /// Adds products of digits to the total, `[columns, size]`.
    fn multiply(self, precision: Precision, size: usize, total: &mut [f32]) {
        let TurnedRows { turned, stride, currents, first, rows, unit } = self;
        let digits = precision.digits();
        let mut right = Digits::zeros(digits, total.len() / size, 1, rows);
        currents.to_digits(first, &mut right);
        total.par_chunks_mut(BLOCKS * LANES * size).enumerate().for_each(|(group, total)| {
            stop_if_asked();
            let blocks = total.len().div_ceil(LANES * size);
            let mut sums = Buffer::<i32>::zeros(blocks * digits * ROWS * LANES);
            for row in (0..size).step_by(ROWS) {
                let left = Strided { bytes: &turned[row * stride..], stride, rows: ROWS, runs: &[0] };
                let tile = group * BLOCKS * digits;
                right.product(Instructions::best(), left, (tile, 0), false, &mut sums);
                for (sums, total) in sums.chunks(digits * ROWS * LANES).zip(total.chunks_mut(LANES * size)) {
                    add_joined(sums, unit, row, size, total);
                }
            }
        });
    }

    /// Adds sums from tables to the total, of pulses of so many bits.
    fn look_up(self, precision: Precision, bits_of_pulse: u32, size: usize, total: &mut [f32]) {
        let TurnedRows { turned, stride, currents, first, rows, unit } = self;
        let bytes = rows.div_ceil(8);
        let series = size.next_multiple_of(ROWS);
        let mut bits = Buffer::<u8>::zeros(bits_of_pulse as usize * series * bytes);
        bits.par_chunks_mut(ROWS * bytes).enumerate().for_each(|(group, bits)| {
            let (bit, row) = (group * ROWS / series, group * ROWS % series);
            let turned = turned[row * stride..].chunks(stride);
            bits.chunks_mut(bytes).zip(turned).for_each(|(bits, pulses)| pack(pulses, rows, bit as u32, bits));
        });
        total.par_chunks_mut(TABLE_BLOCKS * LANES * size).enumerate().for_each(|(group, total)| {
            stop_if_asked();
            let blocks = total.len().div_ceil(LANES * size);
            let values = &currents.units[group * TABLE_BLOCKS * currents.rows + first..];
            let numbers = Numbers { values, row: 1, block: currents.rows };
            let mut space = LookupScratch::default();
            let mut sums = vec![0; ROWS * blocks * LANES];
            let mut joined = vec![0i64; sums.len()];
            for row in (0..size).step_by(ROWS) {
                joined.fill(0);
                for bit in 0..bits_of_pulse {
                    let bits = &bits[(bit as usize * series + row) * bytes..][..ROWS * bytes];
                    let at_once = most_at_once(precision.most() << bit);
                    for first in (0..rows).step_by(at_once) {
                        sums.fill(0);
                        let here = first..rows.min(first + at_once);
                        let series = BitSeries { bits, stride: bytes, shift: bit };
                        add_rows(numbers, here, series, blocks, &mut space, &mut sums);
                        joined.iter_mut().zip(&sums).for_each(|(joined, sum)| *joined += i64::from(*sum));
                    }
                }
                for (first, here) in groups(0..blocks) {
                    let joined = &joined[first * ROWS * LANES..][..here * ROWS * LANES];
                    for (row, lanes) in (row..size).zip(joined.chunks(here * LANES)) {
                        let columns = total.chunks_mut(size).skip(first * LANES);
                        columns.zip(lanes).for_each(|(column, sum)| column[row] += (*sum as f64 * unit) as f32);
                    }
                }
            }
        });
    }
}

/// Writes the pulses of a part, of some images and steps, turned: a published row each, `stride` bytes apart.
#[expect(clippy::too_many_arguments, reason = "a step of the function above, named for what it does")]
fn turn_rows(
    plan: &Layer,
    source: InputSignal,
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
        InputSignal::Pulses(pulses) => {
            let patches = Patches::of(plan, false);
            patches.fill(pulses, part, range.start, range.len(), laid);
            turned.par_chunks_mut(ROWS * stride).enumerate().for_each(|(i, turned)| {
                let rows = ROWS.min((plan.rows() - i * ROWS).next_multiple_of(LANES));
                transpose(&laid[i * ROWS..], patches.channels(), (range.len(), rows), turned, |row| row * stride);
            });
        }
        InputSignal::Encoded { digits, planes, given, .. } => {
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
