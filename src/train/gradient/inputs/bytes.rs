//! The products with a transposed matrix as bytes: pairs of digits whose places add up to the same make one sum.

use super::{IntegerMatrix, PaddedRows, ProductRows, TransposedScratch};
use crate::forward::laid::BIAS;
use crate::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, Strided};
use crate::kernels::{Instructions, vectorised};

/// Products of digits whose places add up to the same. As many classes are kept as a gradient has digits.
struct Class {
    parts: Vec<DigitProduct>,
    /// What the bias adds to a sum of each block.
    bias: Vec<[i32; LANES]>,
}

/// Digits of the gradient, runs after runs, and the operand that they meet.
struct DigitProduct {
    left: Vec<usize>,
    right: usize,
}

/// A transposed matrix in digits.
pub(super) struct Bytes {
    operands: Vec<Digits>,
    classes: Vec<Class>,
}

impl Bytes {
    pub fn new(matrix: &IntegerMatrix) -> Self {
        let IntegerMatrix { columns, runs, flat, precision, .. } = *matrix;
        let value = |block: usize, run: usize, first: usize, group: &mut _| matrix.rows(block, run, first, group);
        let digits = Digits::apart(matrix.digits, columns, runs, value);
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
        let parts = |class: usize| -> Vec<DigitProduct> {
            match flat {
                true => pairs(class).into_iter().map(|(i, right)| DigitProduct { left: vec![i], right }).collect(),
                false => vec![DigitProduct { left: pairs(class).into_iter().map(|(i, _)| i).collect(), right: class }],
            }
        };
        let classes: Vec<_> =
            (0..precision.digits()).map(|class| Class { parts: parts(class), bias: bias(class) }).collect();
        let joined =
            |class: usize| Digits::join_runs(&pairs(class).into_iter().map(|(_, j)| &digits[j]).collect::<Vec<_>>());
        let operands = if flat { digits } else { (0..classes.len()).map(joined).collect() };
        Bytes { operands, classes }
    }

    pub fn blocks(&self) -> usize {
        self.operands[0].blocks
    }

    /// Lays out padded currents. Gives the bytes from digit to digit.
    fn lay_out(&self, padded_rows: PaddedRows, scratch: &mut TransposedScratch) -> usize {
        let (plane, lead) = padded_rows.size();
        let bytes = padded_rows.rows * padded_rows.patches.channels();
        let digits = self.classes.len();
        scratch.bytes.reserve(digits * plane);
        for (d, out) in scratch.bytes.chunks_mut(plane).take(digits).enumerate() {
            out[..lead].fill(BIAS);
            padded_rows.currents.to_bytes(d, padded_rows.from, &mut out[lead..lead + bytes]);
        }
        plane
    }

    /// Multiplies padded rows of currents: see [`super::Transposed::product`].
    pub fn product(&self, padded_rows: PaddedRows, scratch: &mut TransposedScratch, out: &mut [f32]) {
        let (flat, (maps, high)) = (padded_rows.patches.flat(), padded_rows.maps());
        let plane = self.lay_out(padded_rows, scratch);
        let TransposedScratch { bytes, sums, runs, all_runs, .. } = scratch;
        let left = padded_rows.patches.left(bytes, (0, maps), 0, high, runs);
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
        let sums = &sums[..self.classes.len() * class];
        match &self.classes[..] {
            [low, high] => join_two(sums, [&low.bias, &high.bias], padded_rows.sums(padded), padded_rows.unit, out),
            classes => {
                let bias = [0, 1, 2].map(|c| &classes[c].bias[..]);
                join_three(sums, bias, padded_rows.sums(padded), padded_rows.unit, out);
            }
        }
    }
}

/// Joins sums from `[class][block][padded row][16]` to `[map][block][pixel][16]` times `unit`: each is what its
/// classes, without their bias, amount to.
#[inline(always)]
fn join<const C: usize>(sums: &[i32], bias: [&[[i32; LANES]]; C], rows: ProductRows, unit: f32, out: &mut [f32]) {
    let (class, unit) = (sums.len() / C, f64::from(unit));
    rows.write(class / (rows.padded * LANES), out, |block, place, out| {
        let mut joined = [0.0f64; LANES];
        for (c, bias) in bias.iter().enumerate().rev() {
            let sums: &[i32; LANES] = sums[c * class + place * LANES..].first_chunk().expect("16 lanes");
            for o in 0..LANES {
                joined[o] = 256.0 * joined[o] + f64::from(sums[o].wrapping_sub(bias[block][o]));
            }
        }
        for o in 0..LANES {
            out[o] = (joined[o] * unit) as f32;
        }
    });
}

vectorised! {
    /// [`join`] of two classes.
    fn join_two(sums: &[i32], bias: [&[[i32; LANES]]; 2], rows: ProductRows, unit: f32, out: &mut [f32]) {
        join(sums, bias, rows, unit, out);
    }
}

vectorised! {
    /// [`join`] of three classes.
    fn join_three(sums: &[i32], bias: [&[[i32; LANES]]; 3], rows: ProductRows, unit: f32, out: &mut [f32]) {
        join(sums, bias, rows, unit, out);
    }
}
