//! Products of whole numbers of sixteen bits: the way of processors without byte products that add up in 32 bits.
//!
//! Two rows of the right operand lie side by side, so that each lane adds two products at a time; x86-64 has an
//! instruction for that (`pmaddwd`). What has added up in 32 bits moves to an f64 before it can overflow, and whole
//! numbers below 2^53 are exact there: no order of adding shows in a result.

use rayon::prelude::*;

use super::digits::GROUP;
use super::operand::{LANES, ROWS_AT_ONCE};
use super::{Buffer, Vectors};

/// Two rows of a block of columns.
type RowPair = [[i16; 2]; LANES];

/// Pairs of rows whose products add up in 32 bits: each product is below 2^22, as those of a number of sixteen bits and
/// one of eight.
const PAIRS: usize = 256;

/// The right operand: whole numbers `[runs][rows of a run][columns]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// `[blocks][runs][pairs of rows]`.
    lines: Buffer<RowPair>,
    /// Blocks of columns.
    pub blocks: usize,
    /// Runs of the left operand.
    pub runs: usize,
    /// Rows of a run, an even number.
    pub run: usize,
}

/// The left operand: row `r` of run `i` is the words from `runs[i] + r·stride`.
#[derive(Clone, Copy, Debug)]
pub struct LeftWords<'a> {
    /// The numbers.
    pub words: &'a [i16],
    /// Words from row to row.
    pub stride: usize,
    /// How many there are.
    pub rows: usize,
    /// Where each run of row 0 begins.
    pub runs: &'a [usize],
}

/// A function of a number that gives what a run of the right operand holds of it.
pub type WordPart = fn(i32) -> i32;

impl Words {
    /// Runs for each part, one part after the other; `value(block, run, first, rows)` sets the [`GROUP`] rows from
    /// `first` of a run.
    pub fn of(
        parts: &[WordPart],
        columns: usize,
        (runs, run): (usize, usize),
        value: impl Fn(usize, usize, usize, &mut [[i32; LANES]; GROUP]) + Sync,
    ) -> Self {
        assert!(run.is_multiple_of(2), "rows stand in pairs");
        let (blocks, pairs) = (columns.div_ceil(LANES), run / 2);
        let mut lines = Buffer::<RowPair>::zeros(blocks * parts.len() * runs * pairs);
        lines.par_chunks_mut(parts.len() * runs * pairs).enumerate().for_each(|(block, lines)| {
            for r in 0..runs {
                for first in (0..run).step_by(GROUP) {
                    let mut group = [[0; LANES]; GROUP];
                    value(block, r, first, &mut group);
                    for (part, lines) in parts.iter().zip(lines.chunks_mut(runs * pairs)) {
                        let lines = &mut lines[r * pairs..][first / 2..pairs.min((first + GROUP) / 2)];
                        for (line, [even, odd]) in lines.iter_mut().zip(group.as_chunks::<2>().0) {
                            *line = std::array::from_fn(|o| [part(even[o]) as i16, part(odd[o]) as i16]);
                        }
                    }
                }
            }
        });
        Words { lines, blocks, runs: parts.len() * runs, run }
    }

    /// `out[block][row][16] = left · right · scale`, added to `out` when `add`. Rows are those of `left` rounded up to
    /// [`ROWS_AT_ONCE`], and what lands in the rows beyond is of no meaning.
    pub fn product(&self, left: LeftWords, scale: f64, add: bool, out: &mut [f64]) {
        let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
        assert!(left.runs.len() == self.runs && out.len() == self.blocks * rows * LANES, "runs and sums");
        let reach = (rows - 1) * left.stride + self.run;
        assert!(left.runs.iter().all(|run| run + reach <= left.words.len()), "the left operand is too short");
        if !add {
            out.fill(0.0);
        }
        #[cfg(target_arch = "x86_64")]
        match Vectors::best() {
            Vectors::Narrow => multiply::<x86::Narrow, 2>(self, left, scale, out),
            // SAFETY: the processor has AVX2.
            Vectors::Avx2 | Vectors::Avx512 => unsafe { x86::multiply_avx2(self, left, scale, out) },
        }
        #[cfg(not(target_arch = "x86_64"))]
        multiply::<[i32; LANES], 4>(self, left, scale, out);
    }
}

/// The sums of a row in 32 bits.
trait RowSums: Copy {
    fn zero() -> Self;

    /// These sums, and the products of two rows with a pair.
    fn plus(self, pair: [i16; 2], line: &RowPair) -> Self;

    fn lanes(self) -> [i32; LANES];
}

/// `R` rows at a time, a number that divides [`ROWS_AT_ONCE`].
#[inline(always)]
fn multiply<S: RowSums, const R: usize>(right: &Words, left: LeftWords, scale: f64, out: &mut [f64]) {
    let padded = left.rows.next_multiple_of(ROWS_AT_ONCE);
    let pairs = right.run / 2;
    for (lines, out) in right.lines.chunks(right.runs * pairs).zip(out.chunks_mut(padded * LANES)) {
        for (row, out) in (0..left.rows).step_by(R).zip(out.chunks_mut(R * LANES)) {
            let (mut sums, mut added) = ([S::zero(); R], 0);
            for (begin, lines) in left.runs.iter().zip(lines.chunks(pairs)) {
                for (part, lines) in lines.chunks(PAIRS).enumerate() {
                    if added + lines.len() > PAIRS {
                        move_to(out, std::mem::replace(&mut sums, [S::zero(); R]), scale);
                        added = 0;
                    }
                    added += lines.len();
                    let words: [&[[i16; 2]]; R] = std::array::from_fn(|r| {
                        let at = begin + (row + r) * left.stride + 2 * part * PAIRS;
                        &left.words[at..].as_chunks::<2>().0[..lines.len()]
                    });
                    for (i, line) in lines.iter().enumerate() {
                        for r in 0..R {
                            sums[r] = sums[r].plus(words[r][i], line);
                        }
                    }
                }
            }
            move_to(out, sums, scale);
        }
    }
}

#[inline(always)]
fn move_to<S: RowSums, const R: usize>(out: &mut [f64], sums: [S; R], scale: f64) {
    for (out, sums) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
        let lanes = sums.lanes();
        for o in 0..LANES {
            out[o] += f64::from(lanes[o]) * scale;
        }
    }
}

impl RowSums for [i32; LANES] {
    #[inline(always)]
    fn zero() -> Self {
        [0; LANES]
    }

    #[inline(always)]
    fn plus(self, [a, b]: [i16; 2], line: &RowPair) -> Self {
        let product = |[x, y]: [i16; 2]| i32::from(a) * i32::from(x) + i32::from(b) * i32::from(y);
        std::array::from_fn(|o| self[o].wrapping_add(product(line[o])))
    }

    #[inline(always)]
    fn lanes(self) -> [i32; LANES] {
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, LeftWords, RowPair, RowSums, Words};

    /// Registers of every x86-64 processor (SSE2).
    #[derive(Clone, Copy)]
    pub struct Narrow([__m128i; 4]);

    impl RowSums for Narrow {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: every x86-64 processor has SSE2; so below.
            Narrow([unsafe { _mm_setzero_si128() }; 4])
        }

        #[inline(always)]
        fn plus(mut self, pair: [i16; 2], line: &RowPair) -> Self {
            // SAFETY: a line is as large as four registers, which need no boundary.
            unsafe {
                let pair = _mm_set1_epi32(bytemuck::cast(pair));
                let line: *const __m128i = line.as_ptr().cast();
                for (i, sum) in self.0.iter_mut().enumerate() {
                    *sum = _mm_add_epi32(*sum, _mm_madd_epi16(pair, _mm_loadu_si128(line.add(i))));
                }
            }
            self
        }

        #[inline(always)]
        fn lanes(self) -> [i32; LANES] {
            // SAFETY: four registers are sixteen lanes.
            unsafe { std::mem::transmute(self.0) }
        }
    }

    /// Registers of AVX2: the methods are only called where the processor has it.
    #[derive(Clone, Copy)]
    struct Wide([__m256i; 2]);

    impl RowSums for Wide {
        #[inline(always)]
        fn zero() -> Self {
            // SAFETY: the processor has AVX2; so below.
            Wide([unsafe { _mm256_setzero_si256() }; 2])
        }

        #[inline(always)]
        fn plus(mut self, pair: [i16; 2], line: &RowPair) -> Self {
            // SAFETY: a line is as large as two registers, which need no boundary.
            unsafe {
                let pair = _mm256_set1_epi32(bytemuck::cast(pair));
                let line: *const __m256i = line.as_ptr().cast();
                for (i, sum) in self.0.iter_mut().enumerate() {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pair, _mm256_loadu_si256(line.add(i))));
                }
            }
            self
        }

        #[inline(always)]
        fn lanes(self) -> [i32; LANES] {
            // SAFETY: two registers are sixteen lanes.
            unsafe { std::mem::transmute(self.0) }
        }
    }

    #[target_feature(enable = "avx2")]
    pub fn multiply_avx2(right: &Words, left: LeftWords, scale: f64, out: &mut [f64]) {
        super::multiply::<Wide, 4>(right, left, scale, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::number;

    #[test]
    fn products_are_those_of_the_definition() {
        let cases: [([usize; 5], bool); 3] =
            [([1, 1, 2, 1, 2], false), ([37, 3, 48, 10, 16], false), ([33, 2, 1200, 33, 64], true)];
        for ([rows, runs, run, columns, stride], extreme) in cases {
            let parts: [WordPart; 2] = [|n| n >> 8, |n| i32::from(n as i8)];
            let value = |run: usize, row: usize, column: usize| match extreme {
                true => 32639,
                false => (number((run * 2000 + row) * 1000 + column) % 65279) as i32 - 32639,
            };
            let right = Words::of(&parts, columns, (runs, run), |block, r, first, rows| {
                for (i, lanes) in rows.iter_mut().enumerate().take(run - first) {
                    let lanes = lanes.iter_mut().enumerate().take(columns - block * LANES);
                    lanes.for_each(|(lane, number)| *number = value(r, first + i, block * LANES + lane));
                }
            });
            let begins: Vec<usize> = (0..2 * runs).map(|r| r * 5 * stride).collect();
            let padded = rows.next_multiple_of(ROWS_AT_ONCE);
            let reach = begins[2 * runs - 1] + (padded - 1) * stride + run;
            let word = |i: usize| if extreme { -32639 } else { (number(i + 7) % 65279) as i32 - 32639 };
            let words: Vec<i16> = (0..reach).map(|i| word(i) as i16).collect();
            let left = LeftWords { words: &words, stride, rows, runs: &begins };
            let mut out = vec![3.0; right.blocks * padded * LANES];
            right.product(left, 2.0, false, &mut out);
            right.product(left, 0.5, true, &mut out);
            let mut plain = vec![0.0; out.len()];
            multiply::<[i32; LANES], 4>(&right, left, 2.5, &mut plain);
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let at = (column / LANES * padded + row) * LANES + column % LANES;
                let products = (0..2 * runs).flat_map(|r| (0..run).map(move |i| (r, i))).map(|(r, i)| {
                    let part = parts[r / runs](value(r % runs, i, column)) as i16;
                    i64::from(words[begins[r] + row * stride + i]) * i64::from(part)
                });
                assert_eq!(out[at], 2.5 * products.sum::<i64>() as f64, "{rows}x{run}x{columns}");
                assert_eq!(plain[at], out[at]);
            }
        }
    }
}
