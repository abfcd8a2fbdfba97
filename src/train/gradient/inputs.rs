//! ∂loss/∂inputs: the gradient of the currents through the transposed matrix, a convolution with the kernel turned.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Currents, DIGITS, LARGEST};
use crate::crossbar::laid::BIAS;
use crate::crossbar::patches::Patches;
use crate::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, Strided, digits_of};
use crate::kernels::{Buffer, Instructions};
use crate::network::Layer;

/// Sums of equal weight that are kept: the digits of a gradient.
const CLASSES: usize = DIGITS;

/// Products of digits whose places add up to the same.
struct Class {
    right: Digits,
    /// The gradient's digits, in the order of the runs.
    left: Vec<usize>,
    /// What the bias adds to a sum of each block.
    bias: Vec<[i32; LANES]>,
}

/// A layer's matrix, transposed.
pub struct Transposed {
    patches: Patches,
    /// The digits that meet the gradient's digits in sums of each class, runs after runs.
    classes: Vec<Class>,
    /// The value of one unit of the lowest class, where a gradient's unit is 1.
    unit: f32,
}

/// Work space of a thread.
#[derive(Default)]
pub struct Scratch {
    bytes: Buffer<u8>,
    sums: Buffer<i32>,
    runs: Vec<usize>,
    all_runs: Vec<usize>,
}

impl Transposed {
    /// Of weights in published order. A column is an input channel; of a fully connected layer an input, in the
    /// published order.
    pub fn new(plan: &Layer, weights: &[f32]) -> Self {
        let kernel = plan.unrolling().kernel;
        let outputs = plan.columns().next_multiple_of(LANES);
        let patches = Patches::new(kernel, plan.output.height, plan.output.width, outputs);
        let (scale, largest) = scale(weights);
        let (size, channels) = (plan.rows(), plan.input.channels);
        let (runs, run) = patches.runs();
        let positions = kernel * kernel;
        let columns = if kernel == 1 { size } else { channels };
        let mut whole = Digits::zeros(digits_of(largest), columns, runs, run);
        whole.fill(|block, r, first, group| {
            let lanes_here = LANES.min(columns - block * LANES);
            for (i, lanes) in group.iter_mut().enumerate().take(run - first) {
                let place = r * run + first + i;
                let (position, output) = (place / outputs, place % outputs);
                if position >= positions || output >= plan.columns() {
                    continue;
                }
                let column = &weights[output * size..][block * LANES * positions + (positions - 1 - position)..];
                for (lane, weight) in lanes.iter_mut().zip(column.iter().step_by(positions)).take(lanes_here) {
                    *lane = whole_units(weight * scale);
                }
            }
        });
        let digits = whole.split();
        let class = |class: usize| {
            // Digits i of the gradient and j of the weight with i + j = class + digits − 1.
            let sum = class + digits.len() - 1;
            let pairs = (0..DIGITS).filter_map(|i| Some((i, digits.get(sum.checked_sub(i)?)?)));
            let (left, right): (Vec<usize>, Vec<&Digits>) = pairs.unzip();
            let right = Digits::join_runs(&right);
            let bias = right.tile_sums().into_iter().map(|sums| sums.map(|sum| i32::from(BIAS) * sum)).collect();
            Class { right, left, bias }
        };
        let classes = (0..CLASSES).map(class).collect();
        let unit = libm::scalbnf(1.0, 8 * (digits.len() as i32 - 1)) / scale;
        Transposed { patches, classes, unit }
    }

    /// Lays out padded currents, rows `[from, from + rows)`: whole maps, or rows of a fully connected layer. Gives the
    /// bytes from digit to digit.
    fn lay_out(&self, currents: &Currents, from: usize, rows: usize, scratch: &mut Scratch) -> usize {
        let lead = self.patches.at(0, 0) * self.patches.channels();
        let bytes = rows * self.patches.channels();
        let plane = self.patches.bytes(rows.div_ceil(self.patches.map())).next_multiple_of(64);
        scratch.bytes.reserve(DIGITS * plane);
        for (d, out) in scratch.bytes.chunks_mut(plane).take(DIGITS).enumerate() {
            out[..lead].fill(BIAS);
            currents.to_bytes(d, from, &mut out[lead..lead + bytes]);
        }
        plane
    }

    /// Maps whose product is best made at once: small ones share the reading of the matrix.
    pub fn maps_at_once(&self) -> usize {
        (ROWS_AT_ONCE * 16 / self.patches.map()).max(1)
    }

    /// ∂loss/∂inputs of rows `[from, from + rows)` of padded currents, whole maps or rows of a fully connected layer:
    /// `[maps, blocks, pixels, 16]` or `[blocks, rows, 16]`; `unit` is the value of one of the currents' units.
    pub fn product(
        &self,
        currents: &Currents,
        (from, rows): (usize, usize),
        unit: f32,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let flat = self.patches.kernel() == 1;
        let (maps, high) = if flat { (1, rows) } else { (rows / self.patches.map(), self.patches.height()) };
        let plane = self.lay_out(currents, from, rows, scratch);
        let Scratch { bytes, sums, runs, all_runs } = scratch;
        let left = self.patches.left(bytes, (0, maps), 0, high, runs);
        let padded = left.rows.next_multiple_of(ROWS_AT_ONCE);
        let class = self.blocks() * padded * LANES;
        sums.reserve(CLASSES * class);
        for (Class { right, left: digits, .. }, sums) in self.classes.iter().zip(sums.chunks_mut(class)) {
            all_runs.clear();
            all_runs.extend(digits.iter().flat_map(|d| left.runs.iter().map(move |run| d * plane + run)));
            if !flat {
                right.product(Instructions::best(), Strided { runs: all_runs, ..left }, (0, 0), false, sums);
                continue;
            }
            for (r, run) in all_runs.iter().enumerate() {
                let left = Strided { runs: std::slice::from_ref(run), ..left };
                right.product(Instructions::best(), left, (0, r), r > 0, sums);
            }
        }
        let rows = Rows { high, width: self.patches.width(), row: self.patches.row(), map: self.patches.map(), padded };
        let bias = [0, 1, 2].map(|c| &self.classes[c].bias[..]);
        join(&sums[..CLASSES * class], bias, rows, unit * self.unit, out);
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        self.classes[0].right.blocks
    }
}

/// The power of two that turns weights into integers, and the largest of these: exact where two digits hold them, else
/// just below [`LARGEST`].
fn scale(weights: &[f32]) -> (f32, i32) {
    let largest = crate::numeric::largest(weights);
    if largest == 0.0 {
        return (1.0, 0);
    }
    let scale = super::scale_for(largest);
    let fold = |weights: &[f32]| weights.iter().fold(0, |bits, w| bits | whole_units(w * scale));
    let bits = weights.par_chunks(1 << 14).map(fold).reduce(|| 0, |a, b| a | b);
    let common = bits.trailing_zeros().min(23) as i32;
    let largest = whole_units(largest * scale);
    if digits_of(largest >> common) < DIGITS {
        return (scale * libm::scalbnf(1.0, -common), largest >> common);
    }
    (scale, largest)
}

/// The nearest whole number; magnitudes stay below [`LARGEST`].
fn whole_units(x: f32) -> i32 {
    debug_assert!(x.abs() <= LARGEST);
    const WHOLE: f32 = 1.5 * (1 << 23) as f32;
    (x + WHOLE).to_bits() as i32 - WHOLE.to_bits() as i32
}

/// How the rows of a product stand.
#[derive(Clone, Copy)]
struct Rows {
    high: usize,
    width: usize,
    row: usize,
    map: usize,
    padded: usize,
}

/// From `[class][block][padded row][16]` to `[map][block][pixel][16]` times `unit`.
#[multiversion(targets("x86_64+avx512f+avx512bw+avx512dq+avx512vl", "x86_64+avx2"))]
fn join(sums: &[i32], bias: [&[[i32; LANES]]; CLASSES], rows: Rows, unit: f32, out: &mut [f32]) {
    let Rows { high, width, row, map, padded } = rows;
    let class = sums.len() / CLASSES;
    let blocks = class / (padded * LANES);
    let unit = f64::from(unit);
    for (number, out) in out.chunks_mut(blocks * high * width * LANES).enumerate() {
        for (block, out) in out.chunks_mut(high * width * LANES).enumerate() {
            let bias = bias.map(|class| class[block]);
            for (y, out) in out.chunks_mut(width * LANES).enumerate() {
                for (x, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    let at = (block * padded + number * map + y * row + x) * LANES;
                    let lanes = |c: usize| -> &[i32; LANES] { sums[c * class + at..].first_chunk().expect("16 lanes") };
                    let classes = [lanes(0), lanes(1), lanes(2)];
                    for o in 0..LANES {
                        let [low, middle, high] = [0, 1, 2].map(|c| f64::from(classes[c][o].wrapping_sub(bias[c][o])));
                        let sum = low + 256.0 * middle + 65536.0 * high;
                        out[o] = (sum * unit) as f32;
                    }
                }
            }
        }
    }
}
