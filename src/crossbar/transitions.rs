//! Where the codes of converters change that are not ideal: the transition levels of each, from its circuit.
//!
//! A converter is known by its transition levels: code c begins at the level T(c), ideally at c − 1/2 (in codes, 0
//! where the sum is 0). With k = 1 … 2^b − 1 counted from the lowest code, every level is `k − 1/2 + INL(k)` above the
//! lower end, and beside it by what the circuit makes of its parts:
//!
//! | `adc.type` | level k |
//! |---|---|
//! | `sar` | `2^b·Σ C_i/ΣC − 1/2`, over the capacitors of the ones of k; `C_i = 2^i + capacitor_sigma·√2^i·N(0, 1)`, one unit more in ΣC |
//! | `flash` | `k − 1/2 + N(0, comparator_sigma)`, a comparator each |
//! | `ramp` | `(k − 1/2)·(1 + N(0, slope_sigma)) + 4·bow·t·(1 − t)`, t = k/2^b, one slope for a tile |
//!
//! Levels that cross leave codes out. A flash converter counts its ones, so its levels stand in the order of their
//! heights. One of successive approximation tries a bit after the other: a code of its upper half is reached from no
//! lower than the level of that half, and so on down. Levels are whole numbers of 1/2048 of a code ([`PARTS`]), far
//! finer than any converter repeats them. Where a sum meets an ideal level exactly, it becomes the even one of both
//! codes, as it does in an ideal converter: levels of odd codes are one part higher.
//!
//! Check values: the mismatch of capacitors makes the level at the middle deviate by ½·σ·√2^b steps, for both halves of
//! the array are 2^(b−1) units, each off by σ·√2^(b−1), and the code below it by σ·√(2^b − 1).

use std::collections::BTreeMap;

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use super::adc::Converter;
use crate::profile::{Adc, AdcKind};
use crate::rng::Substream;

/// Parts of a code that levels are whole numbers of.
pub const PARTS: u32 = 1 << 11;

/// Codes from 0 beyond which no level is: twice what a bent converter has, at most.
const MOST_OFF: f64 = 2040.0;

/// The transition levels of a side's converters.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// A row for each converter that differs: the levels at which the codes above the lowest begin, rising, in codes.
    pub values: Vec<f32>,
    /// Where the row of each column's converter begins, `[partial sums, columns]`.
    pub begins: Vec<u32>,
    /// Where the row of an ideal converter begins, for places behind the last column: their code is 0.
    pub ideal: u32,
    /// The lowest code and the highest.
    pub ends: (i32, i32),
}

/// The levels of codes from the second lowest to the highest, rising, in codes; `normal` gives the parts' errors.
pub fn levels(adc: &Adc, converter: Converter, mut normal: impl FnMut() -> f64) -> Vec<f32> {
    let Converter { lowest, highest, .. } = converter;
    let count = (highest - lowest) as usize;
    let codes = (count + 1) as f64;
    let bent = inl(adc, count);
    let table = |k: usize| bent.get(k - 1).copied().unwrap_or(0.0) - 0.5;
    let mut levels: Vec<f64> = match adc.kind {
        AdcKind::Ideal => (1..=count).map(|k| k as f64 + table(k)).collect(),
        AdcKind::Flash => (1..=count).map(|k| k as f64 + table(k) + adc.comparator_sigma * normal()).collect(),
        AdcKind::Ramp => {
            let slope = 1.0 + adc.slope_sigma * normal();
            let share = |k: usize| k as f64 / codes;
            let ramp = |k: usize| (k as f64 - 0.5) * slope + 0.5 + 4.0 * adc.bow * share(k) * (1.0 - share(k));
            (1..=count).map(|k| ramp(k) + table(k)).collect()
        }
        AdcKind::Sar => {
            let mut capacitor = |units: f64| units + adc.capacitor_sigma * units.sqrt() * normal();
            let weights: Vec<f64> = (0..codes.log2() as i32).map(|bit| capacitor(libm::exp2(f64::from(bit)))).collect();
            let scale = codes / (weights.iter().fold(0.0, |sum, more| sum + more) + capacitor(1.0));
            let of = |k: usize| {
                weights.iter().enumerate().filter(|(bit, _)| k >> bit & 1 == 1).fold(0.0, |sum, (_, w)| sum + w)
            };
            let mut levels: Vec<f64> = (1..=count).map(|k| of(k) * scale + table(k)).collect();
            search(&mut levels, f64::NEG_INFINITY, f64::INFINITY);
            levels
        }
    };
    // Comparators are counted, and a counter runs until its ramp has passed: either way levels are met by height.
    levels.sort_by(f64::total_cmp);
    let nudged = |(code, level): (i32, f64)| {
        let level = (level + f64::from(lowest)).clamp(-MOST_OFF, MOST_OFF);
        let parts = libm::rint(level * f64::from(PARTS)) + f64::from(code & 1);
        (parts / f64::from(PARTS)) as f32
    };
    // Levels that were the same stay in order.
    let mut last = f32::NEG_INFINITY;
    let rising = |level: f32| {
        last = last.max(level);
        last
    };
    (lowest + 1..=highest).zip(levels).map(nudged).map(rising).collect()
}

/// The integral non-linearity of each level, as the table has it or adds up to.
fn inl(adc: &Adc, count: usize) -> Vec<f64> {
    if adc.dnl.is_empty() {
        return adc.inl.clone();
    }
    let mut sum = 0.0;
    let widths = std::iter::once(&0.0).chain(&adc.dnl).take(count);
    widths
        .map(|wider| {
            sum += wider;
            sum
        })
        .collect()
}

/// Brings levels that successive approximation compares with in turn, the middle one first, to those at which its codes
/// begin: below the middle none is met above it, nor above it one below.
fn search(levels: &mut [f64], least: f64, most: f64) {
    let half = levels.len() / 2;
    let Some(middle) = levels.get_mut(half) else { return };
    *middle = middle.clamp(least, most);
    let middle = *middle;
    search(&mut levels[..half], least, middle);
    search(&mut levels[half + 1..], middle, most);
}

impl Levels {
    /// The levels of the converters at some places; converters that are the same stand under the same number, and
    /// `stream` gives the errors of each.
    pub fn new<N: Ord + Copy>(
        adc: &Adc,
        converter: Converter,
        places: impl Iterator<Item = N>,
        stream: impl Fn(N) -> Option<Substream>,
    ) -> Self {
        let mut rows = BTreeMap::new();
        let places: Vec<N> = places.collect();
        for place in &places {
            rows.entry(*place).or_insert_with(|| {
                let mut stream = stream(*place);
                levels(adc, converter, || stream.as_mut().map_or(0.0, |stream| StandardNormal.sample(stream)))
            });
        }
        let ends = (converter.lowest, converter.highest);
        let (mut values, mut begins) = (vec![], BTreeMap::new());
        let mut push = |levels: &[f32]| {
            let begin = values.len() as u32;
            values.extend(levels);
            begin
        };
        rows.iter().for_each(|(place, levels)| _ = begins.insert(*place, push(levels)));
        let ideal = push(&levels(&Adc::default(), converter, || 0.0));
        Levels { values, begins: places.iter().map(|place| begins[place]).collect(), ideal, ends }
    }

    /// The levels of codes from the second lowest to the highest, of the converter at a place.
    pub fn of(&self, place: usize) -> &[f32] {
        self.row(self.begins[place])
    }

    /// The levels of codes from the second lowest to the highest, of the row that begins there.
    pub fn row(&self, begin: u32) -> &[f32] {
        &self.values[begin as usize..][..self.row_length()]
    }

    /// The levels of a converter: one fewer than it has codes.
    pub fn row_length(&self) -> usize {
        (self.ends.1 - self.ends.0) as usize
    }

    /// The code of a sum, in codes, of the converter at a place.
    pub fn code(&self, place: usize, sum: f32) -> i32 {
        self.ends.0 + self.of(place).iter().filter(|level| sum >= **level).count() as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: f64 = 1.0 / PARTS as f64;

    fn made(adc: &Adc, index: u32) -> Vec<f32> {
        let converter = Converter { step: 1.0, lowest: -(1 << (adc.bits - 1)), highest: (1 << (adc.bits - 1)) - 1 };
        let mut stream = Substream::new([1, 2], [index, 0, 0]);
        levels(adc, converter, || StandardNormal.sample(&mut stream))
    }

    fn deviation(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn without_errors_codes_are_those_of_an_ideal_converter() {
        for kind in [AdcKind::Ideal, AdcKind::Sar, AdcKind::Flash, AdcKind::Ramp] {
            for (bits, lowest) in [(1, 0), (4, -8), (6, -20), (6, 0), (8, -255)] {
                let adc = Adc { bits, kind, ..Adc::default() };
                let converter = Converter { step: 1.0, lowest, highest: lowest + (1 << bits) - 1 };
                let levels = Levels::new(&adc, converter, [7].into_iter(), |_| None);
                for quarter in 4 * (lowest - 3)..=4 * (converter.highest + 3) {
                    let sum = f64::from(quarter) / 4.0;
                    assert_eq!(levels.code(0, sum as f32), converter.code(sum), "{kind:?}, {bits} bits, {sum}");
                }
            }
        }
    }

    #[test]
    fn capacitors_bend_the_middle_as_both_halves_do() {
        // ½·σ·√2^b steps of the level, σ·√(2^b − 1) of the code's width.
        for (bits, sigma) in [(6, 0.02), (8, 0.01)] {
            let adc = Adc { bits, kind: AdcKind::Sar, capacitor_sigma: sigma, ..Adc::default() };
            let middle = (1usize << (bits - 1)) - 1;
            let made: Vec<Vec<f32>> = (0..4000).map(|index| made(&adc, index)).collect();
            let inl: Vec<f64> = made.iter().map(|levels| f64::from(levels[middle])).collect();
            let dnl: Vec<f64> = made.iter().map(|levels| f64::from(levels[middle] - levels[middle - 1])).collect();
            let expected = 0.5 * sigma * 2f64.powf(f64::from(bits) / 2.0);
            assert!((deviation(&inl) / expected - 1.0).abs() < 0.05, "{} {expected}", deviation(&inl));
            let expected = sigma * (2f64.powi(bits as i32) - 1.0).sqrt();
            assert!((deviation(&dnl) / expected - 1.0).abs() < 0.05, "{} {expected}", deviation(&dnl));
        }
    }

    #[test]
    fn successive_approximation_finds_the_codes_that_its_levels_say() {
        let adc = Adc { bits: 5, kind: AdcKind::Sar, capacitor_sigma: 0.3, ..Adc::default() };
        let mut left_out = 0;
        for index in 0..50 {
            let mut stream = Substream::new([1, 2], [index, 0, 0]);
            let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
            let weights: Vec<f64> =
                (0..5).map(|bit| f64::from(1 << bit)).map(|units| units + 0.3 * units.sqrt() * normal()).collect();
            let scale = 32.0 / (weights.iter().fold(0.0, |sum, more| sum + more) + 1.0 + 0.3 * normal());
            let levels = made(&adc, index);
            for eighth in -8..=8 * 33 {
                let sum = f64::from(eighth) / 8.0 + 0.01;
                // Levels are rounded to parts; beside one, either code is right.
                if levels.iter().any(|level| (f64::from(*level) + 16.0 - sum).abs() < 2.0 * PART) {
                    continue;
                }
                // Bit by bit from the greatest, as the circuit does.
                let (mut code, mut held) = (0, 0.0);
                for bit in (0..5).rev() {
                    if sum >= (held + weights[bit]) * scale - 0.5 {
                        (code, held) = (code | 1 << bit, held + weights[bit]);
                    }
                }
                let found = levels.iter().filter(|level| sum as f32 - 16.0 >= **level).count();
                assert_eq!(found, code, "converter {index}, {sum}");
            }
            left_out += levels.windows(2).filter(|pair| f64::from(pair[1] - pair[0]) < 1.5 * PART).count();
        }
        assert!(left_out > 0, "capacitors so bad leave codes out");
    }

    #[test]
    fn tables_slopes_and_bows_move_levels_as_written() {
        let ideal = Adc { bits: 4, ..Adc::default() };
        let level = |adc: &Adc, k: usize| (f64::from(made(adc, 0)[k - 1]) + 8.5 - k as f64 * 1.0).abs();
        let dnl: Vec<f64> = (0..14).map(|k| if k == 4 { 0.25 } else { 0.0 }).collect();
        let inl: Vec<f64> = (1..16).map(|k| if k > 5 { 0.25 } else { 0.0 }).collect();
        let (by_width, by_level) = (Adc { dnl, ..ideal.clone() }, Adc { inl, ..ideal.clone() });
        assert_eq!(made(&by_width, 0), made(&by_level, 0));
        let is = |found: f64, expected: f64| (found - expected).abs() < 1.5 * PART;
        assert!(is(level(&by_width, 5), 0.0) && is(level(&by_width, 6), 0.25));
        // 4·bow·t·(1 − t): all of it at the middle.
        let bowed = Adc { kind: AdcKind::Ramp, bow: 0.5, ..ideal.clone() };
        assert!(is(level(&bowed, 8), 0.5) && level(&bowed, 1) < 0.12);
        // A slope's error grows from the lower end, where the ramp starts.
        let sloped = Adc { kind: AdcKind::Ramp, slope_sigma: 0.1, ..ideal.clone() };
        assert!((level(&sloped, 15) / level(&sloped, 8) - 14.5 / 7.5).abs() < 0.01);
        let flash = Adc { kind: AdcKind::Flash, comparator_sigma: 0.4, ..ideal };
        let off: Vec<f64> = (0..3000).map(|index| f64::from(made(&flash, index)[0]) + 7.5).collect();
        assert!((deviation(&off) - 0.4).abs() < 0.04, "{}", deviation(&off));
        let sar = Adc { kind: AdcKind::Sar, capacitor_sigma: 0.4, bits: 6, ..Adc::default() };
        assert!((0..100).all(|index| made(&flash, index).is_sorted() && made(&sar, index).is_sorted()));
    }
}
