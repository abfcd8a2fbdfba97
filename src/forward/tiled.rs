//! The sums of each tile's columns for many pixels at once: a dense product of bytes and digits, or from tables.
//!
//! Rows of weights stand in the order in which patches are cut ([`super::cut`]). Every sum is a whole number of the
//! weights' unit, so the way never shows.

use super::cut::CutPixels;
use super::driven::Driving;
use super::integers::Integers;
use super::ways::{Kernel, tables_win};
use crate::kernels::digits::{Digits, LANES, ROWS_AT_ONCE, Strided, digits_of, join_lanes};
use crate::kernels::lookup::{self, BitSeries, Numbers};
use crate::kernels::{Buffer, Instructions};

/// Whole weights, cut at the tiles that their rows stand on.
#[derive(Debug)]
pub struct Tiled {
    weights: TileWeights,
    /// The sums of all weights of each tile's columns, `[tiles][blocks]`, where inputs are encoded: what bytes at rest
    /// add.
    totals: Vec<[i32; LANES]>,
    /// Bytes of a tile's part of a patch.
    span: usize,
    /// The value of one integer.
    unit: f32,
}

/// The weights, as they are multiplied.
#[derive(Debug)]
enum TileWeights {
    /// By a dense product: a run for each tile.
    Dense(Digits, Instructions),
    /// Weights as tables of sums: `[tiles][span][columns]`.
    LookUp(Vec<i32>),
}

/// Whole sums of some blocks of columns for many pixels, in digits.
#[derive(Clone, Copy, Debug)]
pub struct TileSums<'a> {
    values: &'a [i32],
    /// Digits of a sum.
    pub digits: usize,
    /// Places from digit to digit.
    digit: usize,
    /// Places from block to block.
    block: usize,
    /// Places from pixel to pixel.
    pixel: usize,
    /// The surplus that bytes at rest have added, a block each.
    rest: &'a [[i32; LANES]],
    /// The value of one integer.
    pub unit: f32,
}

impl<'a> TileSums<'a> {
    /// The sums of a block.
    pub fn of(self, block: usize) -> Self {
        TileSums { values: &self.values[block * self.block..], rest: &self.rest[block..], ..self }
    }

    /// The sums of a pixel of a block, their `D` digits joined: digits that are known are joined without a loop.
    #[inline(always)]
    pub fn at<const D: usize>(&self, pixel: usize) -> [i32; LANES] {
        let digit = |d: usize| -> &'a [i32; LANES] {
            self.values[d * self.digit + pixel * self.pixel..].first_chunk().expect("16 lanes")
        };
        let joined = join_lanes(D, digit);
        std::array::from_fn(|lane| joined[lane].wrapping_sub(self.rest[0][lane]))
    }
}

impl TileSums<'_> {
    /// The sums of a pixel of a block in units of a weight times a pulse.
    #[inline(always)]
    pub fn scaled<const D: usize>(&self, pixel: usize) -> [f32; LANES] {
        let (whole, mut sums) = (self.at::<D>(pixel), [0.0; LANES]);
        for lane in 0..LANES {
            sums[lane] = whole[lane] as f32 * self.unit;
        }
        sums
    }
}

/// Calls a function of so many digits as sums have.
macro_rules! by_digits {
    ($sums:ident, $function:ident($($argument:expr),*)) => {
        match $sums.digits {
            1 => $function::<1>($sums, $($argument),*),
            2 => $function::<2>($sums, $($argument),*),
            3 => $function::<3>($sums, $($argument),*),
            _ => $function::<4>($sums, $($argument),*),
        }
    };
}
pub(super) use by_digits;

/// Work space of a thread.
#[derive(Debug, Default)]
pub struct TileSpace {
    sums: Buffer<i32>,
    rest: Vec<[i32; LANES]>,
    look_up: lookup::LookupScratch,
}

impl Tiled {
    /// The weights `[rows, columns]`, multiples of 2^-grid; none where patches are not cut, or the kernel goes event by
    /// event.
    pub fn new(driving: &Driving, weights: &[f32], columns: usize, grid: i32, kernel: Kernel) -> Option<Self> {
        let cut = driving.cut.as_ref().filter(|_| kernel != Kernel::Events)?;
        let (integers, unit) = Integers::new(weights, grid);
        let (span, tiles, begins) = (cut.span, driving.partitions, &cut.begins);
        let digits = digits_of(integers.largest);
        let instructions = match kernel {
            Kernel::Dense(instructions) => Some(instructions),
            // Tables are of counts, and plain loops multiply encoded inputs more slowly than they add events.
            Kernel::Auto | Kernel::Whole | Kernel::Winograd
                if driving.is_encoded() && Instructions::best() == Instructions::Portable =>
            {
                return None;
            }
            _ if driving.is_encoded() => Some(Instructions::best()),
            Kernel::LookUp => None,
            _ => {
                let best = Instructions::best();
                (best.join_in_registers() || !tables_win(digits, driving.most_bits())).then_some(best)
            }
        };
        let integer =
            |begin: Option<u32>, column: usize| begin.map_or(0, |at| integers.of(weights[at as usize + column]));
        let total = |tile: usize, column: usize| {
            begins[tile * span..][..span].iter().fold(0i32, |sum, begin| sum.wrapping_add(integer(*begin, column)))
        };
        let blocks = (0..if driving.is_encoded() { tiles } else { 0 })
            .flat_map(|tile| (0..columns / LANES).map(move |block| (tile, block)));
        let totals =
            blocks.map(|(tile, block)| std::array::from_fn(|lane| total(tile, block * LANES + lane))).collect();
        let weights = match instructions {
            Some(instructions) => {
                let mut matrix = Digits::zeros(digits, columns, tiles, span);
                matrix.fill(|block, tile, first, group| {
                    for (lanes, begin) in group.iter_mut().zip(&begins[tile * span + first..(tile + 1) * span]) {
                        *lanes = std::array::from_fn(|lane| integer(*begin, block * LANES + lane));
                    }
                });
                TileWeights::Dense(matrix, instructions)
            }
            None => {
                let rows = begins.iter().flat_map(|begin| (0..columns).map(move |column| integer(*begin, column)));
                TileWeights::LookUp(rows.collect())
            }
        };
        Some(Tiled { weights, totals, span, unit })
    }

    /// Whether sums are made from tables.
    pub fn looks_up(&self) -> bool {
        matches!(self.weights, TileWeights::LookUp(_))
    }

    /// Whether the sums of so many pixels, of whose inputs this share is active, should be made so and not event by
    /// event: an estimate from what both took on convolutions of VGG9 with a quarter of the inputs active. Events pass
    /// over tiles that have none.
    pub fn is_better(&self, pixels: usize, rate: f32) -> bool {
        let (fewest, least) = match self.weights {
            TileWeights::Dense(_, Instructions::Amx) => (32, 0.03),
            TileWeights::Dense(..) => (32, 0.1),
            TileWeights::LookUp(_) => (64, 0.1),
        };
        pixels >= fewest && rate >= least && rate * self.span as f32 >= 1.0
    }

    /// The sums of a tile's columns for `here` blocks from `first` on, of so many in all.
    pub fn sums<'s>(
        &self,
        cut: &mut CutPixels,
        tile: usize,
        (first, here, blocks): (usize, usize, usize),
        TileSpace { sums, rest, look_up }: &'s mut TileSpace,
    ) -> TileSums<'s> {
        let (pixels, unit) = (cut.pixels, self.unit);
        rest.clear();
        rest.resize(here, [0; LANES]);
        if !self.totals.is_empty() {
            let totals = &self.totals[tile * blocks + first..];
            let added = |total: &[i32; LANES]| total.map(|sum| sum.wrapping_mul(i32::from(cut.rest)));
            rest.iter_mut().zip(totals).for_each(|(rest, total)| *rest = added(total));
        }
        match &self.weights {
            TileWeights::Dense(matrix, instructions) => {
                let runs = [tile * self.span];
                let left = Strided { bytes: &cut.bytes, stride: cut.patch, rows: pixels, runs: &runs };
                let block = pixels.next_multiple_of(ROWS_AT_ONCE) * LANES;
                let joins = instructions.join_in_registers();
                let digits = if joins { 1 } else { matrix.digits };
                let size = here * digits * block;
                sums.reserve(size);
                if joins {
                    // Digits that are joined in registers take no space.
                    matrix.joined(*instructions, left, (first, tile), &mut Buffer::default(), &mut sums[..size]);
                } else {
                    matrix.product(*instructions, left, (first * digits, tile), false, &mut sums[..size]);
                }
                TileSums {
                    values: &sums[..size],
                    digits,
                    digit: block,
                    block: digits * block,
                    pixel: LANES,
                    rest,
                    unit,
                }
            }
            TileWeights::LookUp(rows) => {
                let size = pixels * here * LANES;
                sums.reserve(size);
                sums[..size].fill(0);
                let numbers = Numbers { values: &rows.as_chunks().0[first..], row: blocks, block: 1 };
                let (rows, stride) = (tile * self.span..(tile + 1) * self.span, cut.patch / 8);
                for (shift, bits) in (0..).zip(cut.packed()) {
                    let series = BitSeries { bits, stride, shift };
                    lookup::add_rows(numbers, rows.clone(), series, here, look_up, &mut sums[..size]);
                }
                TileSums { values: &sums[..size], digits: 1, digit: 0, block: LANES, pixel: here * LANES, rest, unit }
            }
        }
    }
}
