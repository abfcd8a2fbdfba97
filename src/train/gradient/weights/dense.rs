//! Sums over pixels as products of digits. Rows of pulses are first moved to cache-line boundaries: tile registers load
//! lines, and take twice as long where a row of theirs straddles two.

use super::{Turned, published, shape};
use crate::forward::patches::Patches;
use crate::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, RUN_BYTES, Strided, join_wide};
use crate::kernels::{Buffer, Instructions};
use crate::network::Layer;
use crate::train::gradient::{Currents, Precision};

/// Sums of digits.
pub(super) struct Dense {
    right: Digits,
    moved: Buffer<u8>,
    /// Sums of a plane and sign, `[positions][tiles][rows][16]`.
    parts: Vec<PlaneSums>,
    /// `[positions][blocks][rows][16]`.
    total: Vec<i64>,
    offsets: usize,
    rows: usize,
}

struct PlaneSums {
    weight: i64,
    sums: Buffer<i32>,
    /// The largest magnitude that a sum can have reached.
    bound: u64,
}

impl Dense {
    /// Sums of zero, for so many pixels at once and parts that count `weights`.
    pub fn new(patches: &Patches, plan: &Layer, pixels: usize, precision: Precision, weights: Vec<i64>) -> Self {
        let right = Digits::zeros(precision.digits(), plan.columns(), 1, pixels);
        let (offsets, rows) = shape(patches);
        let padded = rows.next_multiple_of(ROWS_AT_ONCE);
        let sums = offsets * right.tiles() * padded * LANES;
        let part = |weight| PlaneSums { weight, sums: Buffer::zeros(sums), bound: 0 };
        let moved = Buffer::zeros(padded * aligned(pixels));
        let total = vec![0; offsets * right.blocks * rows * LANES];
        Dense { right, moved, parts: weights.into_iter().map(part).collect(), total, offsets, rows }
    }

    /// Takes the currents that meet the pulses to come.
    pub fn take(&mut self, currents: &Currents) {
        currents.to_digits(0, &mut self.right);
    }

    /// Adds a part's pulses, whose sum of a row is at most `largest`.
    pub fn add(&mut self, part: usize, turned: Turned, largest: u64) {
        let added = largest * 128;
        if self.parts[part].bound + added > i32::MAX as u64 {
            self.settle(part);
        }
        self.parts[part].bound += added;
        let sums = &mut self.parts[part].sums;
        let size = sums.len() / self.offsets;
        let pixels = self.right.run.next_multiple_of(RUN_BYTES);
        let (stride, mut pulses) = (aligned(pixels), turned.rows());
        for sums in sums.chunks_mut(size) {
            for (moved, pulses) in self.moved.chunks_mut(stride).zip(pulses.by_ref().take(self.rows)) {
                moved[..pixels].copy_from_slice(&pulses[..pixels]);
            }
            let left = Strided { bytes: &self.moved, stride, rows: self.rows, runs: &[0] };
            self.right.product(Instructions::best(), left, (0, 0), true, sums);
        }
    }

    /// Moves a part's sums to the total.
    fn settle(&mut self, part: usize) {
        let (part, digits) = (&mut self.parts[part], self.right.digits);
        let padded = self.rows.next_multiple_of(ROWS_AT_ONCE);
        let blocks = part.sums.chunks(digits * padded * LANES).zip(self.total.chunks_mut(self.rows * LANES));
        for (sums, total) in blocks {
            for (i, total) in total.iter_mut().enumerate() {
                *total += part.weight * join_wide((0..digits).map(|d| sums[d * padded * LANES + i]));
            }
        }
        part.sums.fill(0);
        part.bound = 0;
    }

    /// The sums, in the published order `[columns, rows]`.
    pub fn total(mut self, patches: &Patches, plan: &Layer) -> Vec<i64> {
        (0..self.parts.len()).for_each(|part| self.settle(part));
        // Sums and total are as large as what comes of them: the former go first.
        drop(std::mem::take(&mut self.parts));
        let mut out = vec![0; plan.rows() * plan.columns()];
        let places = (0..self.offsets).flat_map(|position| (0..self.right.blocks).map(move |block| (position, block)));
        for ((position, block), total) in places.zip(self.total.chunks(self.rows * LANES)) {
            for (row, lanes) in total.as_chunks::<LANES>().0.iter().enumerate() {
                let Some(place) = published(patches, plan, position, row) else { continue };
                let columns = out.chunks_mut(plan.rows()).skip(block * LANES);
                columns.zip(lanes).for_each(|(column, sum)| column[place] = *sum);
            }
        }
        out
    }
}

/// Bytes from row to row of so many pixels: an odd number of cache lines, which are spread over all of the cache.
fn aligned(pixels: usize) -> usize {
    (pixels.div_ceil(RUN_BYTES) | 1) * RUN_BYTES
}
