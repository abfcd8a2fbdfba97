//! Sums over pixels from tables: four pixels of a spike have sixteen patterns, whose sums of the gradient are rows of a
//! table for every channel and kernel position ([`crate::kernels::lookup`]). Counts are read bit by bit.

use super::{Turned, published, shape};
use crate::forward::patches::Patches;
use crate::kernels::Buffer;
use crate::kernels::digits::LANES;
use crate::kernels::lookup::{self, BitSeries, LookupScratch, Numbers, add_rows, groups};
use crate::network::Layer;
use crate::train::gradient::{Currents, Precision};

/// Pixels of two bytes of bits of two tables each: sums are settled between whole ones of these.
const PIXELS: usize = 32;

/// Sums of whole numbers.
pub(super) struct LookUp {
    /// Bits of a pulse.
    bits_of_pulse: u32,
    blocks: usize,
    /// Pixels that are summed over at once.
    pixels: usize,
    /// The largest magnitude of a gradient.
    largest: u64,
    /// A bit of each pulse, `[positions, rows]` series.
    bits: Buffer<u8>,
    space: LookupScratch,
    /// Sums in groups of blocks, `[series][blocks of the group][16]`, and what was moved from them to the total.
    sums: Buffer<i32>,
    total: Vec<i64>,
    /// The largest magnitude that a sum can have reached.
    bound: u64,
}

impl LookUp {
    /// Sums of zero, for so many pixels at once and pulses of so many bits.
    pub fn new(patches: &Patches, plan: &Layer, pixels: usize, precision: Precision, bits_of_pulse: u32) -> Self {
        let (offsets, rows) = shape(patches);
        let (series, blocks) = (offsets * rows, plan.columns().div_ceil(LANES));
        let size = series * blocks * LANES;
        LookUp {
            bits_of_pulse,
            blocks,
            pixels,
            largest: precision.most(),
            bits: Buffer::zeros(series * pixels.div_ceil(8)),
            space: LookupScratch::default(),
            sums: Buffer::zeros(size),
            total: vec![0; size],
            bound: 0,
        }
    }

    /// Adds pulses that meet these currents.
    pub fn add(&mut self, turned: Turned, currents: &Currents) {
        let stride = self.pixels.div_ceil(8);
        let numbers = Numbers { values: &currents.units, row: 1, block: currents.rows };
        for bit in 0..self.bits_of_pulse {
            for (bits, pulses) in self.bits.chunks_mut(stride).zip(turned.rows()) {
                pack(pulses, self.pixels, bit, bits);
            }
            let at_once = most_at_once(self.largest << bit);
            for first in (0..self.pixels).step_by(at_once) {
                let rows = first..self.pixels.min(first + at_once);
                let added = rows.len() as u64 * (self.largest << bit);
                if self.bound + added > i32::MAX as u64 {
                    self.settle();
                }
                self.bound += added;
                let series = BitSeries { bits: &self.bits, stride, shift: bit };
                add_rows(numbers, rows, series, self.blocks, &mut self.space, &mut self.sums);
            }
        }
    }

    /// Moves the sums to the total.
    fn settle(&mut self) {
        self.total.iter_mut().zip(self.sums.iter()).for_each(|(total, sum)| *total += i64::from(*sum));
        self.sums.fill(0);
        self.bound = 0;
    }

    /// The sums, in the published order `[columns, rows]`.
    pub fn total(mut self, patches: &Patches, plan: &Layer) -> Vec<i64> {
        self.settle();
        // Sums and total are as large as what comes of them: the former go first.
        drop(std::mem::take(&mut self.sums));
        let mut out = vec![0; plan.rows() * plan.columns()];
        let (offsets, rows) = shape(patches);
        for (first, here) in groups(0..self.blocks) {
            let total = &self.total[first * offsets * rows * LANES..];
            for (series, blocks) in total.chunks(here * LANES).take(offsets * rows).enumerate() {
                let Some(place) = published(patches, plan, series / rows, series % rows) else { continue };
                let columns = out.chunks_mut(plan.rows()).skip(first * LANES);
                columns.zip(blocks).for_each(|(column, sum)| column[place] = *sum);
            }
        }
        out
    }
}

/// Packs a bit of so many pulses, zeros behind.
pub(super) fn pack(pulses: &[u8], pixels: usize, bit: u32, bits: &mut [u8]) {
    lookup::pack(&pulses[..8 * bits.len()], bit, bits);
    if let (Some(last), 1..) = (bits.last_mut(), pixels % 8) {
        *last &= (1 << (pixels % 8)) - 1;
    }
}

/// Numbers up to `largest` that are added to a sum of 31 bits at once.
pub(super) fn most_at_once(largest: u64) -> usize {
    i32::MAX as usize / largest as usize / PIXELS * PIXELS
}
