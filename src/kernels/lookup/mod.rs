//! Column sums of spikes from tables.
//!
//! # Theory
//!
//! A few inputs of one bit have few patterns: the sums of four weights make a table of sixteen, and the pattern is its
//! index. A register holds such a table, and one instruction looks up the sums of as many pixels as it has lanes. The
//! tables hold whole weights, so a sum costs the same for any number of digits, where a product of digits pays for each.
//! The weights are on a grid on which sums are exact ([`crate::numeric::grid`]): no order of adding changes a bit.
//!
//! # Practice
//!
//! The bytes of the left operand are packed to words of 32 bits, `[run][word][row]`, so that an index is a shift away;
//! tables are built for four columns at a time and serve all rows of the call. It takes about a hundred rows to earn them.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;
use std::sync::OnceLock;

use super::Buffer;
use super::digits::{LANES, Strided};

/// Ways to look sums up, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tables {
    /// No tables: the definition, weight by weight.
    Portable,
    /// AVX2: tables of three inputs, for eight pixels at once.
    Avx2,
    /// AVX-512F: tables of four inputs, for sixteen pixels at once.
    Avx512,
}

impl Tables {
    /// The fastest way there is.
    pub fn best() -> Self {
        *Self::available().last().unwrap_or(&Tables::Portable)
    }

    /// All ways there are, slowest first.
    pub fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Tables>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                let all = [Tables::Portable, Tables::Avx2, Tables::Avx512];
                return all[..2 + usize::from(is_x86_feature_detected!("avx512f"))].to_vec();
            }
            vec![Tables::Portable]
        })
    }
}

/// The right operand: weights `[runs][rows of a run][columns]`, multiples of one number whose sums are exact.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The weights.
    pub values: &'a [f32],
    /// Columns, in whole blocks.
    pub columns: usize,
    /// Bytes of a run, without padding.
    pub run: usize,
}

/// Rows of pixels in the rows of a left operand.
#[derive(Clone, Copy, Debug)]
pub struct Pixels {
    /// Pixels that are wanted of each.
    pub width: usize,
    /// Rows of the left operand from one to the next.
    pub row: usize,
}

/// Work space of a thread.
#[derive(Debug, Default)]
pub struct Space {
    words: Buffer<u32>,
    tables: Buffer<f32>,
    sums: Buffer<f32>,
}

/// `out[block][pixel][16]`: the sums of the weights whose byte is 1, where all bytes are 0 or 1.
pub fn sums(
    tables: Tables,
    weights: Weights,
    left: Strided,
    blocks: Range<usize>,
    pixels: Pixels,
    space: &mut Space,
    out: &mut [f32],
) {
    assert!(Tables::available().contains(&tables), "{tables:?} is not available");
    match tables {
        Tables::Portable => portable(weights, left, blocks, pixels, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the set is available.
        Tables::Avx2 => unsafe { x86::avx2(weights, left, blocks, pixels, space, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tables::Avx512 => unsafe { x86::avx512(weights, left, blocks, pixels, space, out) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => portable(weights, left, blocks, pixels, out),
    }
}

fn portable(weights: Weights, left: Strided, blocks: Range<usize>, pixels: Pixels, out: &mut [f32]) {
    let size = out.len() / blocks.len();
    for (block, out) in blocks.zip(out.chunks_mut(size)) {
        for (pixel, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let row = pixel / pixels.width * pixels.row + pixel % pixels.width;
            out.fill(0.0);
            for (r, begin) in left.runs.iter().enumerate() {
                let bytes = &left.bytes[begin + row * left.stride..][..weights.run];
                for (i, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 1) {
                    let at = (r * weights.run + i) * weights.columns + block * LANES;
                    out.iter_mut().zip(&weights.values[at..]).for_each(|(sum, w)| *sum += w);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Instructions;
    use crate::kernels::digits::{Digits, ROWS_AT_ONCE, digits_of, join};

    /// Deterministic numbers that look random.
    fn number(i: usize) -> u64 {
        (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20
    }

    #[test]
    fn every_way_gives_the_sums_of_the_digits() {
        for (high, pixels, runs, run, blocks, stride) in [
            (1, Pixels { width: 1, row: 1 }, 1, 1, 1, 1),
            (4, Pixels { width: 9, row: 10 }, 3, 48, 2, 16),
            (32, Pixels { width: 32, row: 33 }, 3, 96, 1, 32),
            (7, Pixels { width: 5, row: 6 }, 1, 83, 3, 83),
            (70, Pixels { width: 1, row: 1 }, 2, 128, 2, 256),
        ] {
            let (rows, columns) = (high * pixels.row, blocks * LANES);
            let integer = |i: usize| (number(i) % 100_001) as i32 - 50_000;
            let mut digits = Digits::zeros(digits_of(50_000), columns, runs, run);
            digits.fill(|block, r, first, rows| {
                for (i, lanes) in rows.iter_mut().enumerate().take(run - first) {
                    let row = (r * run + first + i) * columns + block * LANES;
                    *lanes = std::array::from_fn(|lane| integer(row + lane));
                }
            });
            let values: Vec<f32> = (0..runs * run * columns).map(|i| integer(i) as f32).collect();
            let weights = Weights { values: &values, columns, run };
            let begins: Vec<usize> = (0..runs).map(|r| r * 5 * stride).collect();
            let reach = begins[runs - 1] + Strided::reach(rows, stride, run);
            let bytes: Vec<u8> = (0..reach).map(|i| (number(i + 7) % 2) as u8).collect();
            let left = Strided { bytes: &bytes, stride, rows, runs: &begins };
            let padded = rows.next_multiple_of(ROWS_AT_ONCE);
            let mut product = vec![0; digits.tiles() * padded * LANES];
            digits.product(Instructions::Portable, left, (0, 0), false, &mut product);
            let sum = |block: usize, row: usize, lane: usize| {
                let digit = |d: usize| product[((block * digits.digits + d) * padded + row) * LANES + lane];
                join((0..digits.digits).map(digit)) as f32
            };
            let row = |pixel: usize| pixel / pixels.width * pixels.row + pixel % pixels.width;
            let first = blocks / 2;
            let values = (first * high * pixels.width * LANES..blocks * high * pixels.width * LANES).map(|i| {
                let pixel = i / LANES % (high * pixels.width);
                sum(i / LANES / (high * pixels.width), row(pixel), i % LANES)
            });
            let expected: Vec<f32> = values.collect();
            for &tables in Tables::available() {
                let mut out = vec![1.0; expected.len()];
                sums(tables, weights, left, first..blocks, pixels, &mut Space::default(), &mut out);
                assert!(out == expected, "{tables:?} {rows}x{run}x{columns}");
            }
        }
    }
}
