//! Tables of the codes that bent converters give: one number a sum, whatever the number of codes.
//!
//! A sum, in codes, lies in a cell between one whole number and the next, at one of the [`PARTS`] of a code in which
//! transition levels ([`Levels`]) are counted. An entry for each cell of a converter holds all that its code depends
//! on:
//!
//! ```text
//! bits 31…22   codes up to the cell's begin, above the lowest
//! bits 21…11   2048 − the part at which a level lies within the cell; 0 where there is none
//! bits 10…0    the same of a second one
//! ```
//!
//! A sum's part added to either of the last two carries out of its eleven bits where the sum has met the level: the
//! first's carry goes into the codes. A level at a cell's begin is met by all of the cell, so it counts among the
//! codes up to it. Converters so bad that more than two levels meet in a cell have further tables for those, without
//! codes.

use crate::crossbar::transitions::{Levels, PARTS};
use crate::kernels::digits::LANES;
use crate::kernels::nearest::nearest;
use crate::kernels::one_by_one;
use crate::kernels::table::{HELD, Square, read, read_square};

/// Binary digits of a part's number.
const DIGITS: u32 = PARTS.ilog2();

/// The cells of a side's converters.
#[derive(Debug)]
pub struct CodeTables {
    /// An entry for each cell, `[tables][converters, cells]`, and behind each table as many as squares read beyond it.
    entries: Vec<u32>,
    /// The number of tables.
    tables: usize,
    /// Converters times cells, and those behind.
    size: usize,
    /// Where the cells of each column's converter begin, `[partial sums, columns]`.
    begins: Vec<u32>,
    /// The whole numbers at which the first cell and the last begin: all levels lie within.
    ends: [i32; 2],
    /// The lowest code.
    lowest: i32,
}

/// The tables of some columns.
#[derive(Clone, Copy, Debug)]
pub struct ColumnTables<'a> {
    tables: &'a CodeTables,
    begins: &'a [u32],
}

/// The tables of sixteen columns.
#[derive(Clone, Copy, Debug)]
pub struct BlockTables<'a> {
    tables: &'a CodeTables,
    begins: &'a [u32; LANES],
}

/// Work space for the codes of sixteen pixels in sixteen columns. All pixels of a conversion share it, sixteen after
/// sixteen, for setting so much memory to zero takes as long as reading a table.
#[derive(Debug, Default)]
pub struct CodeSpace {
    /// Where sums lie, in parts from the first cell's begin on.
    parts: Square,
    numbers: Square,
}

impl CodeTables {
    /// The tables of converters with these levels.
    pub fn new(levels: &Levels) -> Self {
        let parts = |level: f32| (level * PARTS as f32) as i32;
        let rows: Vec<Vec<i32>> =
            levels.values.chunks(levels.row_length()).map(|row| row.iter().copied().map(parts).collect()).collect();
        let all = || rows.iter().flatten().copied();
        // A sum below every level is held to the first cell's begin, where no level may lie; one above to the last
        // cell's end.
        let first = (all().min().unwrap_or(0) - 1) >> DIGITS;
        let last = all().max().unwrap_or(0) >> DIGITS;
        let cells = (last - first + 1) as usize;
        let size = rows.len() * cells + HELD;
        let mut entries = vec![0u32; size];
        for (r, row) in rows.iter().enumerate() {
            for here in 0..cells {
                let begin = (first + here as i32) << DIGITS;
                let up_to = row.partition_point(|level| *level <= begin);
                let within = row[up_to..].iter().take_while(|level| **level < begin + PARTS as i32);
                entries[r * cells + here] |= (up_to as u32) << (2 * DIGITS);
                for (i, level) in within.enumerate() {
                    entries.resize(entries.len().max((i / 2 + 1) * size), 0);
                    let not_yet = PARTS - (level - begin) as u32;
                    entries[i / 2 * size + r * cells + here] |= not_yet << (DIGITS * (1 - i as u32 % 2));
                }
            }
        }
        let begins = levels.begins.iter().map(|begin| *begin / levels.row_length() as u32 * cells as u32).collect();
        CodeTables { tables: entries.len() / size, entries, size, begins, ends: [first, last], lowest: levels.ends.0 }
    }

    /// Cells of a converter.
    #[inline(always)]
    fn cells(&self) -> usize {
        (self.ends[1] - self.ends[0] + 1) as usize
    }

    /// Each table. Most often there is one, which is found without a division.
    #[inline(always)]
    fn each(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.tables).map(|table| &self.entries[table * self.size..][..self.size])
    }

    /// The tables of the columns at some places.
    pub fn columns(&self, places: std::ops::Range<usize>) -> ColumnTables<'_> {
        ColumnTables { tables: self, begins: &self.begins[places] }
    }
}

impl<'a> ColumnTables<'a> {
    /// The tables of a block of them.
    #[inline(always)]
    pub fn of(self, block: usize) -> BlockTables<'a> {
        BlockTables { tables: self.tables, begins: &self.begins.as_chunks().0[block] }
    }
}

impl BlockTables<'_> {
    /// The codes of sums, in codes.
    #[inline(always)]
    pub fn codes(&self, sums: &[f32; LANES]) -> [i32; LANES] {
        let parts = self.parts(sums);
        let mut codes = [self.tables.lowest; LANES];
        for entries in self.tables.each() {
            let mut places = [0; LANES];
            for lane in 0..LANES {
                places[lane] = (parts[lane] >> DIGITS).wrapping_add(self.begins[lane]);
            }
            add(&read(entries, &places), &parts, &mut codes);
        }
        codes
    }

    /// Looks up where a pixel's sums, in codes, lie.
    #[inline(always)]
    pub fn place(&self, sums: &[f32; LANES], pixel: usize, space: &mut CodeSpace) {
        space.parts[pixel] = self.parts(sums);
    }

    /// Adds the codes of the sums that were [placed](Self::place), times a factor, for as many pixels as there are
    /// codes: sixteen at most.
    #[inline(always)]
    pub fn add_square(&self, space: &mut CodeSpace, factor: i32, codes: &mut [[i32; LANES]]) {
        for (table, entries) in self.tables.each().enumerate() {
            read_square::<DIGITS>(entries, self.begins, self.tables.cells(), &space.parts, &mut space.numbers);
            for ((codes, numbers), parts) in one_by_one(codes.iter_mut().zip(&space.numbers).zip(&space.parts)) {
                let mut found = if table == 0 { [self.tables.lowest; LANES] } else { [0; LANES] };
                add(numbers, parts, &mut found);
                for lane in 0..LANES {
                    codes[lane] += found[lane] * factor;
                }
            }
        }
    }

    /// Where each sum lies, in parts from the begin of its converter's first cell on.
    #[inline(always)]
    fn parts(&self, sums: &[f32; LANES]) -> [u32; LANES] {
        let [first, last] = self.tables.ends;
        let [least, most] = [first as f32, last as f32 + (1.0 - 1.0 / PARTS as f32)];
        let mut parts = [0; LANES];
        for lane in 0..LANES {
            // Held between both ends by comparisons that are vectors, as `clamp` with its check is not.
            let held = if sums[lane] > least { sums[lane] } else { least };
            let held = if held < most { held } else { most };
            // Scaled by a power of two, so exact; below 2^22, so that the nearest whole number is known.
            let scaled = held * PARTS as f32;
            let near = nearest(scaled);
            let whole = near - i32::from(near as f32 > scaled);
            parts[lane] = (whole - (first << DIGITS)) as u32;
        }
        parts
    }
}

/// Adds the codes that entries count up to some parts of their cells.
#[inline(always)]
fn add(entries: &[u32; LANES], parts: &[u32; LANES], codes: &mut [i32; LANES]) {
    for lane in 0..LANES {
        let at = parts[lane] & (PARTS - 1);
        // The first level's carry goes into the codes; what lies below takes no part.
        let met = entries[lane] + (at << DIGITS);
        let other = at + (entries[lane] & (PARTS - 1));
        codes[lane] += ((met >> (2 * DIGITS)) + (other >> DIGITS)) as i32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crossbar::adc::Converter;
    use crate::profile::{Adc, AdcKind};
    use crate::rng::Substream;

    /// The codes that tables give to sums at every eighth of a code and just beside it.
    fn agree(adc: &Adc, lowest: i32) -> CodeTables {
        let converter = Converter { step: 1.0, lowest, highest: lowest + (1 << adc.bits) - 1 };
        let stream = |number: u32| Some(Substream::new([5, 6], [number, 0, 0]));
        let levels = Levels::new(adc, converter, 0..LANES as u32, stream);
        let tables = CodeTables::new(&levels);
        let (lowest, highest) = (lowest as f32, converter.highest as f32);
        for eighth in (8.0 * (lowest - 4.0)) as i32..=(8.0 * (highest + 4.0)) as i32 {
            let exact = eighth as f32 / 8.0;
            for sum in [exact.next_down(), exact, exact.next_up()] {
                let found = tables.columns(0..LANES).of(0).codes(&[sum; LANES]);
                assert_eq!(found, std::array::from_fn(|lane| levels.code(lane, sum)), "{adc:?}, {sum}");
            }
        }
        tables
    }

    #[test]
    fn tables_give_the_codes_that_levels_say() {
        for (bits, lowest) in [(1, 0), (3, -4), (6, -32), (8, 0), (6, -50), (10, -512)] {
            let adc = Adc { bits, ..Adc::default() };
            for size in [0.001, 0.02, 0.3, 2.0] {
                agree(&Adc { kind: AdcKind::Sar, capacitor_sigma: size, ..adc.clone() }, lowest);
                agree(&Adc { kind: AdcKind::Flash, comparator_sigma: size, ..adc.clone() }, lowest);
                agree(&Adc { kind: AdcKind::Ramp, slope_sigma: size / 4.0, bow: size, ..adc.clone() }, lowest);
            }
        }
    }

    #[test]
    fn converters_that_are_any_good_take_one_number_a_sum() {
        let good = agree(&Adc { bits: 8, kind: AdcKind::Ramp, slope_sigma: 0.05, bow: 2.0, ..Adc::default() }, -128);
        assert_eq!(good.entries.len(), good.size);
        let bad = agree(&Adc { bits: 5, kind: AdcKind::Sar, capacitor_sigma: 0.6, ..Adc::default() }, -16);
        assert!(bad.entries.len() > bad.size);
    }
}
