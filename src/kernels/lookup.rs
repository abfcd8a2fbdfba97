//! Column sums of spikes from tables.
//!
//! # Theory
//!
//! Four inputs of one bit have sixteen patterns: a table holds the sum of their weights for each, in as many columns as
//! a few registers hold, and the pattern is the place of the row to add. A sum of 64 products is then one addition of a
//! register of sixteen lanes, whatever the number of digits of the weights, where a product of digits pays for each.
//! The weights are whole numbers, so no order of adding changes a bit.
//!
//! # Practice
//!
//! The loops are plain, and compilers make of them what the vectors of a processor ask for. The bytes of the left
//! operand are packed to bits, eight inputs a byte. Tables of eight groups of inputs are built at a time, which stay in
//! the first cache while all pixels pass; the sums of a pixel wait in the second.

use std::ops::Range;

use super::digits::{LANES, Strided};
use super::{Buffer, Vectors, vectorised};

/// Inputs of a group: those of a table.
const GROUP: usize = 4;
/// Patterns of a group.
const PATTERNS: usize = 1 << GROUP;
/// Groups whose tables are built at once: eight, of 64 columns, fill 32 KiB.
const GROUPS: usize = 8;
/// Bytes of packed inputs that they take.
const BYTES: usize = GROUPS * GROUP / 8;
/// Blocks of columns that are summed at once, at most.
const BLOCKS: usize = 4;
/// Pixels whose sums are held at once.
pub const PIXELS: usize = 1024;

/// Whole numbers by rows and blocks of columns.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// The numbers.
    pub values: &'a [[i32; LANES]],
    /// Places from row to row.
    pub row: usize,
    /// Places from block to block.
    pub block: usize,
}

impl<'a> Numbers<'a> {
    /// These numbers from a row on.
    fn from(self, row: usize) -> Self {
        Numbers { values: &self.values[row * self.row..], ..self }
    }

    /// So many blocks of a row.
    #[inline(always)]
    fn at<const B: usize>(&self, row: usize, first: usize) -> BlockSums<B> {
        std::array::from_fn(|b| self.values[row * self.row + (first + b) * self.block])
    }
}

/// The right operand: whole weights `[runs][rows of a run][columns]`.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The weights.
    pub numbers: Numbers<'a>,
    /// Bytes of a run, without padding; whole bytes of bits.
    pub run: usize,
    /// The value of one integer.
    pub unit: f32,
}

/// The pixels that are wanted of the rows of a left operand.
#[derive(Clone, Copy, Debug)]
pub struct Pixels {
    /// Pixels that follow one another.
    pub width: usize,
    /// Rows of the left operand from one such series to the next.
    pub row: usize,
    /// Series of a map.
    pub high: usize,
    /// Rows of the left operand from map to map.
    pub map: usize,
    /// Maps.
    pub maps: usize,
}

/// Work space of a thread.
#[derive(Debug, Default)]
pub struct LookupScratch {
    bits: Vec<u8>,
    /// Where the inputs of each pixel begin in a run, in bytes of bits.
    starts: Vec<usize>,
    tables: Buffer<i32>,
    sums: Buffer<i32>,
}

/// Whether the inputs of a pixel begin at whole bytes of bits.
pub fn fits(stride: usize, run: usize) -> bool {
    stride.is_multiple_of(8) && run.is_multiple_of(8)
}

/// `out[map][block][pixel][16]`: the sums of the weights whose byte is 1, times their unit, where all bytes are 0 or 1.
///
/// # Panics
/// Where the strides do not fit ([`fits`]), or the left operand is too short.
pub fn sums(
    weights: Weights,
    left: Strided,
    blocks: Range<usize>,
    pixels: Pixels,
    space: &mut LookupScratch,
    out: &mut [f32],
) {
    assert!(fits(left.stride, weights.run) && left.runs.iter().all(|run| run.is_multiple_of(8)), "whole bytes of bits");
    let LookupScratch { bits, starts, tables, sums } = space;
    let Some(first) = left.runs.iter().min().copied() else { return out.fill(0.0) };
    let last = left.runs.iter().max().copied().unwrap_or(first);
    let Pixels { width, row, high, map, maps } = pixels;
    let last_row = (maps - 1) * map + (high - 1) * row + width - 1;
    let bytes = &left.bytes[first..last + last_row * left.stride + weights.run];
    bits.resize(bytes.len() / 8, 0);
    pack(bytes, 0, bits);
    let bytes = left.stride / 8;
    let rows = (0..maps).flat_map(|m| (0..high).map(move |y| m * map + y * row));
    starts.clear();
    starts.extend(rows.flat_map(|row| (row..row + width).map(|row| row * bytes)));
    tables.reserve(GROUPS * PATTERNS * BLOCKS * LANES);
    sums.reserve(PIXELS.min(starts.len()) * BLOCKS * LANES);
    let size = high * width;
    for (part, starts) in starts.chunks(PIXELS).enumerate() {
        for (block, here) in groups(blocks.clone()) {
            let sums = &mut sums[..starts.len() * here * LANES];
            sums.fill(0);
            for (r, begin) in left.runs.iter().enumerate() {
                let (numbers, bits) = (weights.numbers.from(r * weights.run), &bits[(begin - first) / 8..]);
                add(here, InputRun { numbers, rows: weights.run, shift: 0, first: block, bits }, starts, tables, sums);
            }
            for (i, sums) in sums.chunks(here * LANES).enumerate() {
                let pixel = part * PIXELS + i;
                let (map, pixel) = (pixel / size, pixel % size);
                for (b, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
                    let at = ((map * blocks.len() + block - blocks.start + b) * size + pixel) * LANES;
                    let out: &mut [f32; LANES] = out[at..].first_chunk_mut().expect("a block");
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum as f32 * weights.unit);
                }
            }
        }
    }
}

/// The blocks of columns that are summed at once, each with how many they are.
pub fn groups(blocks: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let mut next = blocks.start;
    std::iter::from_fn(move || {
        let here = match blocks.end - next {
            0 => return None,
            BLOCKS.. => BLOCKS,
            2 | 3 => 2,
            _ => 1,
        };
        next += here;
        Some((next - here, here))
    })
}

/// Series of bits, one a row of the numbers, padded with zeros to whole bytes.
#[derive(Clone, Copy, Debug)]
pub struct BitSeries<'a> {
    /// The bits, whole series.
    pub bits: &'a [u8],
    /// Bytes of a series.
    pub stride: usize,
    /// The bits' place: they count 2^`shift`.
    pub shift: u32,
}

/// Adds to each series' sums the numbers of those of `rows` whose bit is 1, times what a bit counts. The sums of each
/// of the [`groups`] of blocks stand together, `[series][blocks of the group][16]`.
///
/// # Panics
/// Where the first row is none of a byte's first.
pub fn add_rows(
    numbers: Numbers,
    rows: Range<usize>,
    BitSeries { bits, stride, shift }: BitSeries,
    blocks: usize,
    space: &mut LookupScratch,
    sums: &mut [i32],
) {
    assert!(rows.start.is_multiple_of(8), "whole bytes of bits");
    let LookupScratch { starts, tables, .. } = space;
    tables.reserve(GROUPS * PATTERNS * BLOCKS * LANES);
    let (series, numbers) = (bits.len() / stride, numbers.from(rows.start));
    for (first, here) in groups(0..blocks) {
        let run = InputRun { numbers, rows: rows.len(), shift, first, bits: &bits[rows.start / 8..] };
        let sums = &mut sums[first * series * LANES..][..here * series * LANES];
        for (part, sums) in sums.chunks_mut(PIXELS * here * LANES).enumerate() {
            starts.clear();
            starts.extend((part * PIXELS..).map(|series| series * stride).take(sums.len() / (here * LANES)));
            add(here, run, starts, tables, sums);
        }
    }
}

/// A run of the inputs, and their numbers from block `first` on, times 2^`shift`.
#[derive(Clone, Copy)]
struct InputRun<'a> {
    numbers: Numbers<'a>,
    rows: usize,
    shift: u32,
    first: usize,
    bits: &'a [u8],
}

/// The sums of a pixel, or of a pattern, in some blocks of columns.
type BlockSums<const B: usize> = [[i32; LANES]; B];

/// The tables of two groups of inputs: those of a byte of bits.
type ByteTables<const B: usize> = [[BlockSums<B>; PATTERNS]; 2];

/// Adds a run's weights to the sums of `B` blocks of columns of the pixels that begin there; `pass` adds what a pixel's
/// bits find.
#[inline(always)]
fn add_run<const B: usize>(
    run: InputRun,
    starts: &[usize],
    tables: &mut [i32],
    sums: &mut [i32],
    pass: impl Fn(&[ByteTables<B>], &[u8], &mut BlockSums<B>),
) {
    let (tables, _) = tables.as_chunks_mut::<LANES>().0.as_chunks_mut::<B>();
    let (tables, _) = tables.as_chunks_mut::<PATTERNS>();
    let tables = &mut tables[..GROUPS];
    let (sums, _) = sums.as_chunks_mut::<LANES>().0.as_chunks_mut::<B>();
    for (part, first) in (0..run.rows).step_by(GROUPS * GROUP).enumerate() {
        let bytes = (run.rows - first).min(GROUPS * GROUP).div_ceil(8);
        let groups = tables[..2 * bytes].iter_mut().enumerate();
        groups.for_each(|(group, table)| build(run, first + group * GROUP, table));
        let (pairs, _) = tables[..2 * bytes].as_chunks::<2>();
        for (start, sums) in starts.iter().zip(sums.iter_mut()) {
            pass(pairs, &run.bits[start + part * BYTES..][..bytes], sums);
        }
    }
}

/// The sums of each pattern of four inputs from `first` on. The bits of inputs behind the last are 0: what stands for
/// them is of no meaning.
#[inline(always)]
fn build<const B: usize>(run: InputRun, first: usize, table: &mut [BlockSums<B>; PATTERNS]) {
    table[0] = [[0; LANES]; B];
    for i in 0..GROUP {
        let row = run.numbers.at::<B>((first + i).min(run.rows - 1), run.first);
        let weights = row.map(|lanes| lanes.map(|number| number << run.shift));
        let (without, with) = table.split_at_mut(1 << i);
        for (with, without) in with.iter_mut().zip(without.iter()) {
            for b in 0..B {
                with[b] = plus(&without[b], &weights[b]);
            }
        }
    }
}

/// Adds the rows of the tables that a pixel's bits find.
#[inline(always)]
fn add_found<const B: usize>(pairs: &[ByteTables<B>], bits: &[u8], sums: &mut BlockSums<B>) {
    let mut sum = *sums;
    for ([low, high], byte) in pairs.iter().zip(bits) {
        for row in [&low[usize::from(byte & 15)], &high[usize::from(byte >> 4)]] {
            for b in 0..B {
                sum[b] = plus(&sum[b], &row[b]);
            }
        }
    }
    *sums = sum;
}

#[inline(always)]
fn plus(a: &[i32; LANES], b: &[i32; LANES]) -> [i32; LANES] {
    std::array::from_fn(|lane| a[lane].wrapping_add(b[lane]))
}

/// [`add_run`] of so many blocks, by the widest vectors there are.
fn add(blocks: usize, run: InputRun, starts: &[usize], tables: &mut [i32], sums: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if Vectors::best() == Vectors::Avx512 {
        // SAFETY: the processor has AVX-512.
        return unsafe {
            match blocks {
                4 => add_run_avx512::<4>(run, starts, tables, sums),
                2 => add_run_avx512::<2>(run, starts, tables, sums),
                _ => add_run_avx512::<1>(run, starts, tables, sums),
            }
        };
    }
    match blocks {
        4 => add_run_of_four(run, starts, tables, sums),
        2 => add_run_of_two(run, starts, tables, sums),
        _ => add_run_of_one(run, starts, tables, sums),
    }
}

vectorised! {
    up to avx2
    fn add_run_of_four(run: InputRun, starts: &[usize], tables: &mut [i32], sums: &mut [i32]) {
        // A closure has its caller's vectors; the function by its name would have the narrowest.
        add_run::<4>(run, starts, tables, sums, |pairs, bits, sums| {
            add_found(pairs, bits, sums);
        });
    }
}

vectorised! {
    up to avx2
    fn add_run_of_two(run: InputRun, starts: &[usize], tables: &mut [i32], sums: &mut [i32]) {
        // A closure has its caller's vectors; the function by its name would have the narrowest.
        add_run::<2>(run, starts, tables, sums, |pairs, bits, sums| {
            add_found(pairs, bits, sums);
        });
    }
}

vectorised! {
    up to avx2
    fn add_run_of_one(run: InputRun, starts: &[usize], tables: &mut [i32], sums: &mut [i32]) {
        // A closure has its caller's vectors; the function by its name would have the narrowest.
        add_run::<1>(run, starts, tables, sums, |pairs, bits, sums| {
            add_found(pairs, bits, sums);
        });
    }
}

/// [`add_run`] with rows in registers that are written out: of the plain loop compilers make gathers, lane by lane,
/// many times slower.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn add_run_avx512<const B: usize>(run: InputRun, starts: &[usize], tables: &mut [i32], sums: &mut [i32]) {
    use std::arch::x86_64::*;
    add_run::<B>(run, starts, tables, sums, |pairs, bits, sums| {
        // SAFETY: each array of 16 lanes is as large as a register, and this is only run where the features are.
        unsafe {
            let mut sum = [_mm512_setzero_si512(); B];
            for b in 0..B {
                sum[b] = _mm512_loadu_si512(sums[b].as_ptr().cast());
            }
            for ([low, high], byte) in pairs.iter().zip(bits) {
                for row in [&low[usize::from(byte & 15)], &high[usize::from(byte >> 4)]] {
                    for b in 0..B {
                        sum[b] = _mm512_add_epi32(sum[b], _mm512_loadu_si512(row[b].as_ptr().cast()));
                    }
                }
            }
            for b in 0..B {
                _mm512_storeu_si512(sums[b].as_mut_ptr().cast(), sum[b]);
            }
        }
    });
}

vectorised! {
    /// Packs bit `bit` of each byte to bits, that of the first byte the lowest.
    pub fn pack(bytes: &[u8], bit: u32, bits: &mut [u8]) {
        const LOWEST: u64 = 0x0101_0101_0101_0101;
        const GATHER: u64 = 0x0102_0408_1020_4080;
        for (byte, eight) in bits.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *byte = ((u64::from_le_bytes(*eight) >> bit & LOWEST).wrapping_mul(GATHER) >> 56) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Instructions;
    use crate::kernels::digits::{Digits, ROWS_AT_ONCE, digits_of, join};
    use crate::kernels::number;

    #[test]
    fn every_way_gives_the_sums_of_the_digits() {
        for ([width, row, high, map, maps], runs, run, blocks, stride) in [
            ([1, 1, 1, 1, 1], 1, 8, 1, 8),
            ([9, 10, 4, 50, 3], 3, 48, 2, 16),
            ([32, 33, 32, 1089, 2], 3, 96, 9, 32),
            ([5, 6, 7, 42, 1], 1, 88, 3, 88),
            ([1, 1, 70, 70, 1], 2, 128, 7, 256),
        ] {
            let pixels = Pixels { width, row, high, map, maps };
            let (rows, columns) = (map * maps, blocks * LANES);
            let integer = |i: usize| (number(i) % 100_001) as i32 - 50_000;
            let mut digits = Digits::zeros(digits_of(50_000), columns, runs, run);
            digits.fill(|block, r, first, rows| {
                for (i, lanes) in rows.iter_mut().enumerate().take(run - first) {
                    let row = (r * run + first + i) * columns + block * LANES;
                    *lanes = std::array::from_fn(|lane| integer(row + lane));
                }
            });
            let values: Vec<i32> = (0..runs * run * columns).map(integer).collect();
            let numbers = Numbers { values: values.as_chunks().0, row: blocks, block: 1 };
            let weights = Weights { numbers, run, unit: 0.25 };
            let begins: Vec<usize> = (0..runs).map(|r| 8 + r * 5 * stride).collect();
            let reach = begins[runs - 1] + Strided::reach(rows, stride, run);
            let bytes: Vec<u8> = (0..reach).map(|i| (number(i + 7) % 2) as u8).collect();
            let left = Strided { bytes: &bytes, stride, rows, runs: &begins };
            let padded = rows.next_multiple_of(ROWS_AT_ONCE);
            let mut product = vec![0; digits.tiles() * padded * LANES];
            digits.product(Instructions::Portable, left, (0, 0), false, &mut product);
            let sum = |block: usize, row: usize, lane: usize| {
                let digit = |d: usize| product[((block * digits.digits + d) * padded + row) * LANES + lane];
                join((0..digits.digits).map(digit)) as f32 * 0.25
            };
            let first = blocks / 2;
            let places = (0..maps).flat_map(|m| (first..blocks).map(move |block| (m, block)));
            let places = places.flat_map(|place| (0..high * width).map(move |pixel| (place, pixel)));
            let expected: Vec<f32> = places
                .flat_map(|((m, block), pixel)| {
                    let row = m * map + pixel / width * row + pixel % width;
                    (0..LANES).map(move |lane| (block, row, lane))
                })
                .map(|(block, row, lane)| sum(block, row, lane))
                .collect();
            let mut out = vec![1.0; expected.len()];
            sums(weights, left, first..blocks, pixels, &mut LookupScratch::default(), &mut out);
            assert!(out == expected, "{rows}x{run}x{columns}");
        }
    }

    #[test]
    fn rows_add_up_where_their_bits_are_set() {
        for (rows, blocks, series, shift) in [(1, 1, 1, 0), (37, 2, 9, 0), (70, 7, 1030, 2), (96, 4, 33, 1)] {
            let values: Vec<[i32; LANES]> = (0..rows * blocks)
                .map(|i| std::array::from_fn(|o| (number(i * LANES + o) % 1001) as i32 - 500))
                .collect();
            // By blocks, then rows.
            let numbers = Numbers { values: &values, row: 1, block: rows };
            let bytes: Vec<u8> = (0..series * rows).map(|i| (number(i + 3) % 16) as u8).collect();
            let stride = rows.div_ceil(8);
            let mut bits = vec![0; series * stride];
            for (bytes, bits) in bytes.chunks(rows).zip(bits.chunks_mut(stride)) {
                let mut padded = bytes.to_vec();
                padded.resize(8 * stride, 0);
                pack(&padded, 2, bits);
            }
            let (mut sums, mut space) = (vec![1; series * blocks * LANES], LookupScratch::default());
            let half = rows / 16 * 8;
            for part in [0..half, half..rows] {
                let series = BitSeries { bits: &bits, stride, shift };
                add_rows(numbers, part, series, blocks, &mut space, &mut sums);
            }
            for (first, here) in groups(0..blocks) {
                let sums = &sums[first * series * LANES..][..here * series * LANES];
                for (s, sums) in sums.chunks(here * LANES).enumerate() {
                    for (b, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
                        let set = |row: &usize| bytes[s * rows + row] >> 2 & 1 == 1;
                        let sum = |o: usize| {
                            (0..rows).filter(set).map(|row| values[(first + b) * rows + row][o] << shift).sum::<i32>()
                        };
                        assert_eq!(*sums, std::array::from_fn(|o| 1 + sum(o)), "{rows} {blocks} {series}: {s}");
                    }
                }
            }
        }
    }
}
