//! ∂loss/∂inputs: the gradient of the currents through the transposed matrix, a convolution with the kernel turned.

use rayon::prelude::*;

use super::{Currents, Precision};
use crate::forward::laid::BIAS;
use crate::forward::patches::Patches;
use crate::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, Strided, digits_of};
use crate::kernels::{Buffer, Instructions, vectorised};
use crate::network::Layer;
use crate::numeric::Shape;
use crate::numeric::unrolling::{Unrolling, Window};

/// Products of digits whose places add up to the same. As many classes are kept as a gradient has digits.
struct Class {
    parts: Vec<Part>,
    /// What the bias adds to a sum of each block.
    bias: Vec<[i32; LANES]>,
}

/// Digits of the gradient, runs after runs, and the operand that they meet.
struct Part {
    left: Vec<usize>,
    right: usize,
}

/// A layer's matrix, transposed.
pub struct Transposed {
    patches: Patches,
    operands: Vec<Digits>,
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
    pub fn new(plan: &Layer, weights: &[f32], precision: Precision) -> Self {
        let (unrolling, outputs) = (plan.unrolling(), plan.columns().next_multiple_of(LANES));
        let (flat, patches) = (unrolling.flat, Patches::new(turned(unrolling, outputs), outputs));
        let (scale, largest) = scale(weights, precision);
        let (size, channels) = (plan.rows(), plan.input.channels);
        let (runs, run) = patches.runs();
        let positions = unrolling.window.positions();
        let columns = if flat { size } else { channels };
        let digits = Digits::apart(digits_of(largest), columns, (runs, run), |block, r, first, group| {
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
        let unit = libm::scalbnf(1.0, 8 * (digits.len() as i32 - 1)) / scale;
        // Digits i of the gradient and j of the weight with i + j = class + digits − 1.
        let pairs = |class: usize| -> Vec<(usize, usize)> {
            let sum = class + digits.len() - 1;
            (0..precision.digits())
                .filter_map(|i| Some((i, sum.checked_sub(i).filter(|j| *j < digits.len())?)))
                .collect()
        };
        let sums: Vec<_> = digits.iter().map(Digits::tile_sums).collect();
        let bias = |class: usize| {
            let lane = |block: usize, o: usize| -> i32 { pairs(class).iter().map(|(_, j)| sums[*j][block][o]).sum() };
            let block = |block: usize| std::array::from_fn(|o| i32::from(BIAS) * lane(block, o));
            (0..columns.div_ceil(LANES)).map(block).collect()
        };
        // One product a class where matrices are small; the pairs of a large one share its digits.
        let parts = |class: usize| -> Vec<Part> {
            match flat {
                true => pairs(class).into_iter().map(|(i, right)| Part { left: vec![i], right }).collect(),
                false => vec![Part { left: pairs(class).into_iter().map(|(i, _)| i).collect(), right: class }],
            }
        };
        let classes: Vec<_> =
            (0..precision.digits()).map(|class| Class { parts: parts(class), bias: bias(class) }).collect();
        let joined =
            |class: usize| Digits::join_runs(&pairs(class).into_iter().map(|(_, j)| &digits[j]).collect::<Vec<_>>());
        let operands = if flat { digits } else { (0..classes.len()).map(joined).collect() };
        Transposed { patches, operands, classes, unit }
    }

    /// Lays out padded currents, rows `[from, from + rows)`: whole maps, or rows of a fully connected layer. Gives the
    /// bytes from digit to digit.
    fn lay_out(&self, currents: &Currents, from: usize, rows: usize, scratch: &mut Scratch) -> usize {
        let lead = self.patches.at(0, 0) * self.patches.channels();
        let bytes = rows * self.patches.channels();
        let plane = self.patches.bytes(rows.div_ceil(self.patches.map())).next_multiple_of(64);
        let digits = self.classes.len();
        scratch.bytes.reserve(digits * plane);
        for (d, out) in scratch.bytes.chunks_mut(plane).take(digits).enumerate() {
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
        let flat = self.patches.flat();
        let (maps, high) = if flat { (1, rows) } else { (rows / self.patches.map(), self.patches.height()) };
        let plane = self.lay_out(currents, from, rows, scratch);
        let Scratch { bytes, sums, runs, all_runs } = scratch;
        let left = self.patches.left(bytes, (0, maps), 0, high, runs);
        let padded = left.rows.next_multiple_of(ROWS_AT_ONCE);
        let class = self.blocks() * padded * LANES;
        sums.reserve(self.classes.len() * class);
        for (Class { parts, .. }, sums) in self.classes.iter().zip(sums.chunks_mut(class)) {
            for (p, part) in parts.iter().enumerate() {
                all_runs.clear();
                all_runs.extend(part.left.iter().flat_map(|d| left.runs.iter().map(move |run| d * plane + run)));
                // The runs of a fully connected layer are long.
                let at_once = if flat { 1 } else { all_runs.len() };
                for (i, runs) in all_runs.chunks(at_once).enumerate() {
                    let (left, right) = (Strided { runs, ..left }, &self.operands[part.right]);
                    right.product(Instructions::best(), left, (0, i * at_once), p + i > 0, sums);
                }
            }
        }
        let rows = Rows { high, width: self.patches.width(), row: self.patches.row(), map: self.patches.map(), padded };
        let sums = &sums[..self.classes.len() * class];
        match &self.classes[..] {
            [low, high] => join_two(sums, [&low.bias, &high.bias], rows, unit * self.unit, out),
            classes => join_three(sums, [0, 1, 2].map(|c| &classes[c].bias[..]), rows, unit * self.unit, out),
        }
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        self.operands[0].blocks
    }
}

/// The convolution that takes the gradient of the currents to that of the inputs: over the map of a window that moves by a pixel, with
/// the window turned and a rim as wide as its reach leaves.
fn turned(unrolling: Unrolling, outputs: usize) -> Unrolling {
    let Unrolling { input, window, flat } = unrolling;
    if flat {
        return Unrolling::flat(outputs);
    }
    let window = window.unstrided();
    let [height, width] = window.output(input.height, input.width).unwrap_or_default();
    let padding = [0, 1].map(|i| window.reach()[i] - 1 - window.padding[i]);
    Unrolling::of(Shape { channels: outputs, height, width }, Window { padding, ..window })
}

/// The power of two that turns weights into integers, and the largest of these: exact where two digits hold them, else up to
/// [`Precision::largest`].
fn scale(weights: &[f32], precision: Precision) -> (f32, i32) {
    let largest = crate::numeric::largest(weights);
    if largest == 0.0 {
        return (1.0, 0);
    }
    let scale = Precision::Three.scale_for(largest);
    let fold = |weights: &[f32]| weights.iter().fold(0, |bits, w| bits | whole_units(w * scale));
    let bits = weights.par_chunks(1 << 14).map(fold).reduce(|| 0, |a, b| a | b);
    let common = bits.trailing_zeros().min(23) as i32;
    let largest = whole_units(largest * scale);
    if digits_of(largest >> common) < Precision::Three.digits() {
        return (scale * libm::scalbnf(1.0, -common), largest >> common);
    }
    let finest = precision.scale_for(crate::numeric::largest(weights));
    (finest, whole_units(crate::numeric::largest(weights) * finest))
}

/// The nearest whole number.
fn whole_units(x: f32) -> i32 {
    debug_assert!(x.abs() <= Precision::Three.largest());
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

/// From `[class][block][padded row][16]` to `[map][block][pixel][16]` times `unit`: of each sum `value` makes what its
/// classes, without their bias, amount to.
#[inline(always)]
fn join<const C: usize>(
    sums: &[i32],
    bias: [&[[i32; LANES]]; C],
    rows: Rows,
    value: impl Fn([i32; C]) -> f32,
    out: &mut [f32],
) {
    let Rows { high, width, row, map, padded } = rows;
    let class = sums.len() / C;
    let blocks = class / (padded * LANES);
    for (number, out) in out.chunks_mut(blocks * high * width * LANES).enumerate() {
        for (block, out) in out.chunks_mut(high * width * LANES).enumerate() {
            let bias = bias.map(|class| class[block]);
            for (y, out) in out.chunks_mut(width * LANES).enumerate() {
                for (x, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    let at = (block * padded + number * map + y * row + x) * LANES;
                    let classes: [&[i32; LANES]; C] =
                        std::array::from_fn(|c| sums[c * class + at..].first_chunk().expect("16 lanes"));
                    for o in 0..LANES {
                        out[o] = value(std::array::from_fn(|c| classes[c][o].wrapping_sub(bias[c][o])));
                    }
                }
            }
        }
    }
}

vectorised! {
    /// [`join`] of two classes: their joined sum is rounded as f32 goes.
    fn join_two(sums: &[i32], bias: [&[[i32; LANES]]; 2], rows: Rows, unit: f32, out: &mut [f32]) {
        join(sums, bias, rows, |[low, high]| (low as f32 + 256.0 * high as f32) * unit, out);
    }
}

vectorised! {
    /// [`join`] of three classes.
    fn join_three(sums: &[i32], bias: [&[[i32; LANES]]; 3], rows: Rows, unit: f32, out: &mut [f32]) {
        let unit = f64::from(unit);
        let value = |classes: [i32; 3]| {
            let [low, middle, high] = classes.map(f64::from);
            ((low + 256.0 * middle + 65536.0 * high) * unit) as f32
        };
        join(sums, bias, rows, value, out);
    }
}
