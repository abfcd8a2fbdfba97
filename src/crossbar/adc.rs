//! Converters at the bit lines: what a column's partial sum becomes.
//!
//! `step = (hi − lo)/(2^b − 1)`, `z = round(−lo/step)`, `code = clip(round(x/step) + z, 0, 2^b − 1) − z`: a code of 0
//! stands for exactly 0, so that an idle column adds nothing. Rounding is half to even. Sums and steps are in units of
//! a weight times a pulse. With a step that is a power of two times the weights' unit, codes of different slices and of
//! a digital array meet by shifting; a range is then widened until its step is one, both ends in proportion: `z =
//! round((2^b − 1)·(−lo)/(hi − lo))`.
//!
//! What a range spans:
//! - `full`: every sum that the rows of a tile can give, ± rows·max|q|·largest input.
//! - `calibrated`: [`Histogram::converter`], from the partial sums of training images on the nominal chip: the range
//!   between percentiles, refined, that leaves the least mean |x − code·step|. One for each layer, the same for all its
//!   tiles, and an input of the chip ([`super::calibration`]), never of the images that are judged.

use serde::{Deserialize, Serialize};

use crate::kernels::nearest::nearest_f64;
use crate::profile::{Adc, AdcStep};

/// One converter's step and codes.
///
/// # Examples
/// ```
/// use crosspike::Converter;
///
/// // The codes of 4 bits around 0, in steps of half a weight.
/// let converter = Converter { step: 0.5, lowest: -8, highest: 7 };
/// assert_eq!(converter.code(1.3), 3);
/// assert_eq!(converter.code(0.25), 0); // Half a step goes to the even code.
/// assert_eq!(converter.code(-9.0), -8); // A sum beyond the range is cut.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Converter {
    /// What a code counts, in weights times pulses.
    pub step: f64,
    /// The smallest code, −z.
    pub lowest: i32,
    /// The largest code, 2^b − 1 − z.
    pub highest: i32,
}

/// What converters of a layer may be: their bits, and the unit that a step has to be a power of two of, where it has
/// to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolution {
    bits: u32,
    unit: Option<f64>,
}

impl Resolution {
    /// The resolution of converters behind weights of this unit, in one slice or more; a companion array's unit counts,
    /// where there is one.
    pub fn new(adc: &Adc, weight_unit: f64, sliced: bool, companion_unit: Option<f64>) -> Self {
        let shifted = Some(companion_unit.unwrap_or(weight_unit));
        let unit = match adc.step {
            Some(AdcStep::PowerOfTwo) => shifted,
            Some(AdcStep::Free) => None,
            None => shifted.filter(|_| sliced || companion_unit.is_some()),
        };
        Resolution { bits: adc.bits, unit }
    }

    fn codes(&self) -> i32 {
        (1 << self.bits) - 1
    }

    /// The converter that spans a range around 0.
    pub fn spanning(&self, lo: f64, hi: f64) -> Converter {
        let (lo, hi) = (lo.min(0.0), hi.max(0.0));
        let codes = f64::from(self.codes());
        let step = (hi - lo) / codes;
        let (step, below) = match self.unit {
            _ if step == 0.0 => (self.unit.unwrap_or(1.0), 0.0),
            None => (step, -lo / step),
            Some(unit) => (unit * libm::exp2(libm::ceil(libm::log2(step / unit))), codes * -lo / (hi - lo)),
        };
        let z = libm::rint(below).clamp(0.0, codes) as i32;
        Converter { step, lowest: -z, highest: self.codes() - z }
    }

    /// A converter that was found for other arrays of the layer, with the nearest step that suits these.
    pub fn aligned(&self, converter: Converter) -> Converter {
        let aligned = |unit: f64| unit * libm::exp2(libm::rint(libm::log2(converter.step / unit)));
        Converter { step: self.unit.map_or(converter.step, aligned), ..converter }
    }
}

impl Converter {
    /// The code of a sum.
    pub fn code(&self, sum: f64) -> i32 {
        libm::rint(sum / self.step).clamp(f64::from(self.lowest), f64::from(self.highest)) as i32
    }
}

/// How often partial sums had which value: bins of equal width over every value that they can have.
#[derive(Clone, Debug)]
pub struct Histogram {
    full: (f64, f64),
    bound: f64,
    bins: Vec<u64>,
}

/// Bins of a histogram, an odd number: the middle one holds 0.
const BINS: usize = (1 << 16) + 1;
/// Shares of the sums that may lie beyond either end of a range.
const CLIPPED: [f64; 10] = [0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];
/// What an end of the best of those is multiplied by.
const FACTORS: [f64; 11] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.35, 1.5];

impl Histogram {
    /// An empty histogram of sums between the ends that are `reached`, behind converters whose full range is `full`.
    pub fn new((lo, hi): (f64, f64), full: (f64, f64)) -> Self {
        Histogram { full, bound: hi.max(-lo), bins: vec![0; BINS] }
    }

    /// Counts a sum.
    pub fn add(&mut self, sum: f32) {
        let middle = (BINS / 2) as f64;
        // The bound is that of nominal devices.
        let place = nearest_f64((f64::from(sum) / self.bound).clamp(-1.0, 1.0) * middle) + middle;
        self.bins[place as usize] += 1;
    }

    /// Counts what another has counted.
    pub fn join(&mut self, other: &Histogram) {
        self.bins.iter_mut().zip(&other.bins).for_each(|(bin, more)| *bin += more);
    }

    /// The sums, smallest first, and how often each was.
    fn sums(&self) -> Vec<(f64, u64)> {
        let middle = (BINS / 2) as f64;
        let sum = |place: usize| (place as f64 - middle) / middle * self.bound;
        self.bins.iter().enumerate().filter(|(_, n)| **n > 0).map(|(place, n)| (sum(place), *n)).collect()
    }

    /// The converter with the least mean error of those that are tried; that of the full range where no sum but 0 was
    /// counted.
    pub fn converter(&self, resolution: Resolution) -> Converter {
        let sums = self.sums();
        let total: u64 = sums.iter().map(|(_, n)| n).sum();
        if sums.iter().all(|(sum, _)| *sum == 0.0) {
            return resolution.spanning(self.full.0, self.full.1);
        }
        let percentile = |share: f64, mut from: Box<dyn Iterator<Item = &(f64, u64)> + '_>| {
            let mut left = (share * total as f64) as u64;
            let within = from.find(|(_, n)| {
                let found = left < *n;
                left = left.saturating_sub(*n);
                found
            });
            within.map_or(0.0, |(sum, _)| *sum)
        };
        let error = |converter: &Converter| -> f64 {
            sums.iter().map(|(x, n)| *n as f64 * (x - f64::from(converter.code(*x)) * converter.step).abs()).sum()
        };
        let mut best: Option<(f64, f64, f64)> = None;
        let mut consider = |lo: f64, hi: f64| {
            let error = error(&resolution.spanning(lo, hi));
            if best.is_none_or(|(least, ..)| error < least) {
                best = Some((error, lo, hi));
            }
            best.map_or((lo, hi), |(_, lo, hi)| (lo, hi))
        };
        let (mut lo, mut hi) = (0.0, 0.0);
        for share in CLIPPED {
            (lo, hi) = consider(
                percentile(share, Box::new(sums.iter())).min(0.0),
                percentile(share, Box::new(sums.iter().rev())).max(0.0),
            );
        }
        for _ in 0..2 {
            let (start_lo, start_hi) = (lo, hi);
            for factor in FACTORS {
                consider(start_lo * factor, start_hi * factor);
                consider(start_lo * factor, start_hi);
                (lo, hi) = consider(start_lo, start_hi * factor);
            }
        }
        resolution.spanning(lo, hi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolution(bits: u32, unit: Option<f64>) -> Resolution {
        Resolution { bits, unit }
    }

    #[test]
    fn zero_is_a_code_and_the_codes_span_the_range() {
        for (bits, lo, hi) in [(1, -3.0, 3.0), (4, -64.0, 64.0), (6, -1.0, 7.0), (8, 0.0, 100.0), (8, -5.0, 0.0)] {
            let converter = resolution(bits, None).spanning(lo, hi);
            assert_eq!(converter.code(0.0), 0);
            assert_eq!(converter.highest - converter.lowest, (1 << bits) - 1);
            assert!((converter.step - (hi - lo) / f64::from((1 << bits) - 1)).abs() < 1e-12);
            // Within half a step everywhere, and half a step more at the ends, which move to make 0 exact.
            for i in 0..=1000 {
                let x = lo + (hi - lo) * f64::from(i) / 1000.0;
                let error = (f64::from(converter.code(x)) * converter.step - x).abs();
                assert!(error <= converter.step * 1.0001, "{bits} bits, {x}: {error} of {}", converter.step);
            }
            assert_eq!(converter.code(1e9), converter.highest);
            assert_eq!(converter.code(-1e9), converter.lowest);
        }
    }

    #[test]
    fn so_many_bits_make_sums_of_levels_exact() {
        // ceil(log2(rows·(2^B − 1) + 1)) bits for B-bit cells and 1-bit inputs; 64 rows of 1 bit need 7. Of either
        // sign, ceil(log2(2·rows·(2^B − 1) + 1)).
        for (rows, cell_bits, needed) in [(64, 1, 7), (64, 2, 8), (128, 1, 8), (100, 3, 10), (127, 1, 7)] {
            let largest = rows * ((1 << cell_bits) - 1);
            let exact = |bits: u32, least: i32| {
                let converter = resolution(bits, Some(1.0)).spanning(f64::from(least), f64::from(largest));
                (least..=largest).all(|x| f64::from(converter.code(f64::from(x))) * converter.step == f64::from(x))
            };
            assert!(exact(needed, 0) && !exact(needed - 1, 0), "{rows} rows of {cell_bits} bits");
            assert!(exact(needed + 1, -largest) && !exact(needed, -largest), "{rows} rows of ±{cell_bits} bits");
        }
    }

    #[test]
    fn a_step_of_a_power_of_two_is_the_smallest_that_spans_the_range() {
        let (free, shifted) = (resolution(5, None), resolution(5, Some(0.125)));
        for (lo, hi) in [(-10.0, 10.0), (-0.3, 1.7), (-100.0, 28.0)] {
            let found = shifted.spanning(lo, hi);
            // What it spans beyond the range is below and above as much as the range is.
            let middle = f64::from(found.lowest) + 31.0 * -lo / (hi - lo);
            assert!(middle.abs() <= 0.5, "{found:?}");
            let (free, shifted) = (free.spanning(lo, hi).step, found.step);
            assert!(free <= shifted && shifted < 2.0 * free, "{free} {shifted}");
            assert_eq!(libm::log2(shifted / 0.125).fract(), 0.0);
        }
    }

    #[test]
    fn a_calibrated_step_is_brought_to_a_chips_own_unit() {
        let found = resolution(6, Some(0.25)).spanning(-16.0, 15.0);
        let aligned = resolution(6, Some(0.3)).aligned(found);
        assert_eq!((aligned.lowest, aligned.highest), (found.lowest, found.highest));
        assert_eq!((found.step, aligned.step), (0.5, 0.6));
        assert_eq!(resolution(6, None).aligned(found), found, "a free step stays");
    }

    #[test]
    fn calibration_clips_rare_sums_for_finer_steps() {
        let mut histogram = Histogram::new((-128.0, 128.0), (-128.0, 128.0));
        for i in 0..10_000 {
            histogram.add((i % 101) as f32 * 0.1 - 5.0);
        }
        histogram.add(120.0);
        let found = histogram.converter(resolution(6, None));
        let spans = f64::from(found.highest) * found.step;
        assert!((3.0..8.0).contains(&spans), "{found:?}");
        let error = |converter: &Converter| {
            histogram
                .sums()
                .iter()
                .map(|(x, n)| *n as f64 * (x - f64::from(converter.code(*x)) * converter.step).abs())
                .sum::<f64>()
        };
        assert!(error(&found) <= error(&resolution(6, None).spanning(-5.0, 5.0)));
        assert!(error(&found) < 0.1 * error(&resolution(6, None).spanning(-128.0, 128.0)));
        // Nothing counted but 0: the full range.
        for full in [(-8.0, 8.0), (0.0, 8.0)] {
            let mut idle = Histogram::new((-1.0, 1.0), full);
            idle.add(0.0);
            assert_eq!(idle.converter(resolution(4, None)), resolution(4, None).spanning(full.0, full.1));
        }
    }
}
