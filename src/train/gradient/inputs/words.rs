//! The products with a transposed matrix in words of 16 bits. A gradient is g = 2¹⁶·h + l, l a word with its sign, m
//! the nearest whole number to l/2⁸, and g₂ its highest digit; a weight w has as few digits as hold it. The pairs that
//! are kept are these products, each of at most 22 bits:
//!
//! | digits of g | of w | sum |
//! |---|---|---|
//! | 2 | 1 | g·w |
//! | 2 | 2 | g·w₁ + g₁·w₀ |
//! | 3 | 1 | 2⁸·(2⁸h)·w + l·w |
//! | 3 | 2 | 2⁸·h·w + l·w₁ + m·w₀ |
//! | 3 | 3 | 2⁸·h·(2⁸w₂ + w₁) + l·w₂ + m·w₁ + g₂·w₀ |
//!
//! The lower two digits of g can reach −128·257, which no word holds; h, l and m then differ from digits, and the sums
//! do not.

use super::{IntegerMatrix, PaddedRows, ProductRows, TransposedScratch};
use crate::kernels::digits::{LANES, ROWS_AT_ONCE};
use crate::kernels::vectorised;
use crate::kernels::words::{self, Words};
use crate::train::gradient::Precision;

/// A part of a whole number of up to three digits, each the nearest to what is left.
#[derive(Clone, Copy, PartialEq)]
enum DigitPart {
    Whole,
    /// The digit of 1.
    Low,
    /// The digit of 2⁸.
    Middle,
    /// The digit of 2¹⁶.
    Top,
    /// All but the digit of 1.
    Above,
    /// h.
    HighWord,
    /// 2⁸·h.
    RaisedHighWord,
    /// l.
    LowWord,
    /// m.
    AboveLowWord,
}

impl DigitPart {
    /// The function of a number that gives it.
    fn of(self) -> words::WordPart {
        match self {
            DigitPart::Whole => |n| n,
            DigitPart::Low => low,
            DigitPart::Middle => middle,
            DigitPart::Top => top,
            DigitPart::Above => above,
            DigitPart::HighWord => high_word,
            DigitPart::RaisedHighWord => raised_high_word,
            DigitPart::LowWord => low_word,
            DigitPart::AboveLowWord => above_low_word,
        }
    }
}

#[inline(always)]
fn low(n: i32) -> i32 {
    i32::from(n as i8)
}

#[inline(always)]
fn middle(n: i32) -> i32 {
    low(above(n))
}

#[inline(always)]
fn top(n: i32) -> i32 {
    (n + 0x8080) >> 16
}

#[inline(always)]
fn above(n: i32) -> i32 {
    (n + 0x80) >> 8
}

#[inline(always)]
fn high_word(n: i32) -> i32 {
    (n + 0x8000) >> 16
}

#[inline(always)]
fn raised_high_word(n: i32) -> i32 {
    high_word(n) << 8
}

#[inline(always)]
fn low_word(n: i32) -> i32 {
    i32::from(n as i16)
}

#[inline(always)]
fn above_low_word(n: i32) -> i32 {
    above(low_word(n))
}

/// The sums by what they count, each of products of a part of the gradient and one of the weight.
fn sums(of_gradient: Precision, of_weight: usize) -> &'static [(f64, &'static [(DigitPart, DigitPart)])] {
    use DigitPart::{Above, AboveLowWord, HighWord, Low, LowWord, Middle, RaisedHighWord, Top, Whole};
    match (of_gradient, of_weight) {
        (Precision::Two, 1) => &[(1.0, &[(Whole, Whole)])],
        (Precision::Two, _) => &[(1.0, &[(Whole, Above), (Above, Low)])],
        (Precision::Three, 1) => &[(256.0, &[(RaisedHighWord, Whole)]), (1.0, &[(LowWord, Whole)])],
        (Precision::Three, 2) => &[(256.0, &[(HighWord, Whole)]), (1.0, &[(LowWord, Above), (AboveLowWord, Low)])],
        (Precision::Three, _) => {
            &[(256.0, &[(HighWord, Above)]), (1.0, &[(LowWord, Top), (AboveLowWord, Middle), (Top, Low)])]
        }
    }
}

/// A transposed matrix in parts.
pub(super) struct Terms {
    /// The parts of a gradient that are laid out.
    parts: Vec<DigitPart>,
    terms: Vec<Term>,
}

/// Products that count the same.
struct Term {
    scale: f64,
    /// Parts of the gradient, by their places among those that are laid out, runs after runs.
    left: Vec<usize>,
    right: Words,
}

impl Terms {
    pub fn new(matrix: &IntegerMatrix) -> Self {
        let IntegerMatrix { columns, runs, digits, precision, .. } = *matrix;
        let mut parts = Vec::new();
        let mut place = |part: DigitPart| {
            parts.iter().position(|other| *other == part).unwrap_or_else(|| {
                parts.push(part);
                parts.len() - 1
            })
        };
        let term = |(scale, pairs): &(f64, &[(DigitPart, DigitPart)])| {
            let of_weights: Vec<words::WordPart> = pairs.iter().map(|(_, part)| part.of()).collect();
            let value = |block: usize, run: usize, first: usize, group: &mut _| matrix.rows(block, run, first, group);
            Term {
                scale: *scale,
                left: pairs.iter().map(|(part, _)| place(*part)).collect(),
                right: Words::of(&of_weights, columns, runs, value),
            }
        };
        let terms = sums(precision, digits).iter().map(term).collect();
        Terms { parts, terms }
    }

    pub fn blocks(&self) -> usize {
        self.terms[0].right.blocks
    }

    /// Multiplies padded rows of currents: see [`super::Transposed::product`].
    pub fn product(&self, padded_rows: PaddedRows, scratch: &mut TransposedScratch, out: &mut [f32]) {
        let (plane, lead) = padded_rows.size();
        let (channels, (maps, high)) = (padded_rows.patches.channels(), padded_rows.maps());
        let TransposedScratch { words, wide, runs, all_runs, .. } = scratch;
        words.reserve(self.parts.len() * plane);
        for (part, words) in self.parts.iter().zip(words.chunks_mut(plane)) {
            words[..lead].fill(0);
            let (units, rows) = (&padded_rows.currents.units, padded_rows.currents.rows);
            to_words(units, rows, *part, padded_rows.from, &mut words[lead..lead + padded_rows.rows * channels]);
        }
        let left = padded_rows.patches.left(&[], (0, maps), 0, high, runs);
        let padded = left.rows.next_multiple_of(ROWS_AT_ONCE);
        wide.reserve(self.blocks() * padded * LANES);
        let sums = &mut wide[..self.blocks() * padded * LANES];
        for (i, term) in self.terms.iter().enumerate() {
            all_runs.clear();
            all_runs.extend(term.left.iter().flat_map(|part| left.runs.iter().map(move |run| part * plane + run)));
            let left = words::LeftWords { words, stride: left.stride, rows: left.rows, runs: all_runs };
            term.right.product(left, term.scale, i > 0, sums);
        }
        take(sums, padded_rows.sums(padded), padded_rows.unit, out);
    }
}

vectorised! {
    /// Writes a part of the currents from a row on, `out[row][blocks·16]`.
    fn to_words(units: &[[i32; LANES]], rows: usize, part: DigitPart, from: usize, out: &mut [i16]) {
        let channels = units.len() / rows * LANES;
        for (block, units) in units.chunks(rows).enumerate() {
            let lanes = units[from..].iter().zip(out.chunks_mut(channels));
            let lanes = lanes.map(|(units, out)| (units, out[block * LANES..].first_chunk_mut().expect("blocks of 16")));
            match part {
                DigitPart::Whole => lanes.for_each(|(units, out)| write(units, out, |n| n)),
                DigitPart::Low => lanes.for_each(|(units, out)| write(units, out, low)),
                DigitPart::Middle => lanes.for_each(|(units, out)| write(units, out, middle)),
                DigitPart::Top => lanes.for_each(|(units, out)| write(units, out, top)),
                DigitPart::Above => lanes.for_each(|(units, out)| write(units, out, above)),
                DigitPart::HighWord => lanes.for_each(|(units, out)| write(units, out, high_word)),
                DigitPart::RaisedHighWord => lanes.for_each(|(units, out)| write(units, out, raised_high_word)),
                DigitPart::LowWord => lanes.for_each(|(units, out)| write(units, out, low_word)),
                DigitPart::AboveLowWord => lanes.for_each(|(units, out)| write(units, out, above_low_word)),
            }
        }
    }
}

#[inline(always)]
fn write(units: &[i32; LANES], out: &mut [i16; LANES], part: impl Fn(i32) -> i32) {
    out.iter_mut().zip(units).for_each(|(out, unit)| *out = part(*unit) as i16);
}

vectorised! {
    /// Takes sums from `[block][padded row][16]` to `[map][block][pixel][16]`, times `unit`.
    fn take(sums: &[f64], rows: ProductRows, unit: f32, out: &mut [f32]) {
        let unit = f64::from(unit);
        rows.write(sums.len() / (rows.padded * LANES), out, |_, place, out| {
            let sums: &[f64; LANES] = sums[place * LANES..].first_chunk().expect("16 lanes");
            for o in 0..LANES {
                out[o] = (sums[o] * unit) as f32;
            }
        });
    }
}
