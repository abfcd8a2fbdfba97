//! A layer behind converters: where its partial sums are cut, converted, and joined by the companion array's.
//!
//! A tile's rows are driven together, so every `tile.rows` rows of a column give one partial sum and one code
//! ([`super::adc`]); codes add up digitally. Inputs above 1 go a binary digit at a time, each converted and shifted
//! ([`TileInputs::BitPlanes`]), or as pulses whose charge is converted once ([`TileInputs::Pulses`]). Inputs of several
//! digit planes ([`Drive`]) pass all of this plane by plane, and what leaves the adder is shifted and added up without limit.
//!
//! The companion array is a digital macro: integers `w·2^(k−1)` times integers, exact. Behind it
//!
//! ```text
//! RRAM codes  R ── << rram_left ──────────┐
//!                                         ├─ adder, saturating at its width ─► total · unit
//! SRAM sums   S ── >> right ── << sram_left┘
//! ```
//!
//! The unit is the finer of a code's and of a shifted integer's, so that nothing is lost where both meet; with
//! `round = "floor"` a negative shift first cuts the bits of S below the array's own unit. The converter's step is a power of
//! two times the array's unit ([`super::adc::Resolution`]). What `average` halves is the unit.

use super::adc::{Converter, Resolution};
use super::arrays::Arrays;
use super::sram::Companion;
use crate::device::{Draw, quantise};
use crate::error::{Error, Result};
use crate::network::{Drive, Layer};
use crate::numeric::grid::round_to_exact_grid;
use crate::profile::{Profile, Rounding, Sram, TileInputs};
use crate::rng::Substream;
use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

/// A layer's arrays behind converters.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The cells' weights, `[columns, rows]`, rows in published order, multiples of 2^-grid.
    pub weights: Vec<f32>,
    /// The weights are multiples of 2^-grid.
    pub grid: i32,
    /// Rows that are converted together.
    pub tile_rows: usize,
    /// How inputs drive the word lines.
    pub inputs: TileInputs,
    /// The largest magnitude of an input that drives a line at once.
    pub largest_drive: u32,
    /// The nominal converter.
    pub converter: Converter,
    /// Codes a unit of each converter, `[partitions, columns]`.
    pub gain: Vec<f32>,
    /// Each converter's offset in codes, `[partitions, columns]`.
    pub offset: Vec<f32>,
    /// The companion array's integers.
    pub companion: Option<Macro>,
    /// Shifters and adder.
    pub adder: Adder,
    /// The value of one unit of the total.
    pub unit: f32,
}

/// A digital array of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    /// `[columns, rows]`.
    pub weights: Vec<i32>,
    /// What one integer counts in the layer's sum: unit, shift and share.
    pub value: f64,
}

/// Shifters, and the adder where both sides meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adder {
    /// Places that RRAM codes move left.
    pub rram_left: u32,
    /// Places that the array's sums move left.
    pub sram_left: u32,
    /// Places that they move right before, towards minus infinity.
    pub sram_right: u32,
    /// The least total.
    pub lowest: i32,
    /// The greatest total.
    pub highest: i32,
}

/// The largest magnitude that drives a line at once.
fn at_once(drive: Drive, inputs: TileInputs) -> u32 {
    if inputs == TileInputs::Pulses { drive.largest } else { 1 }
}

/// Every sum that the rows of a tile can give has at most this magnitude.
pub fn full_range(profile: &Profile, plan: &Layer, target: &[f32], drive: Drive) -> f64 {
    let rows = profile.tile.rows.min(plan.rows()) as f64;
    let scheme = profile.rram_of(&plan.name).effective_scheme();
    rows * quantise::full_scale(scheme, target) * f64::from(at_once(drive, profile.tile.inputs))
}

/// What converters of a layer may be.
pub fn resolution(profile: &Profile, plan: &Layer, target: &[f32], companion: Option<&Companion>) -> Resolution {
    let (rram, sram) = (profile.rram_of(&plan.name), profile.sram_of(&plan.name));
    let unit = quantise::unit(rram.effective_scheme(), rram.weight_bits, target);
    Resolution::new(&profile.adc, unit, companion.map(|companion| companion_unit(sram, companion)))
}

fn companion_unit(sram: &Sram, companion: &Companion) -> f64 {
    quantise::unit(sram.effective_scheme(), sram.bits, &companion.weights)
}

impl Converted {
    /// Puts the arrays of layer number `index` behind converters: those of the range that was calibrated, else of the full
    /// one. `draw` has each converter's errors; without one there are none.
    pub fn new(
        profile: &Profile,
        (index, plan): (u32, &Layer),
        arrays: &Arrays,
        drive: Drive,
        calibrated: Option<Converter>,
        draw: Option<Draw>,
    ) -> Result<Converted> {
        let mut weights = arrays.cells.programmed.clone();
        let largest_drive = at_once(drive, profile.tile.inputs);
        let grid = round_to_exact_grid(&mut weights, plan.rows(), largest_drive).ok_or_else(|| too_large(plan))?;
        let converter = calibrated.unwrap_or_else(|| {
            let range = full_range(profile, plan, &arrays.cells.target, drive);
            resolution(profile, plan, &arrays.cells.target, arrays.companion.as_ref()).spanning(-range, range)
        });
        let sram = profile.sram_of(&plan.name);
        let share = arrays.companion.as_ref().map_or(1.0, |_| sram.effective_combine().share());
        let companion = arrays.companion.as_ref().map(|companion| {
            let unit = companion_unit(sram, companion);
            let integer = |w: &f32| libm::rint(f64::from(*w) / unit) as i32;
            let value = share * unit * libm::exp2(f64::from(companion.shift));
            (Macro { weights: companion.weights.iter().map(integer).collect(), value }, unit, companion.shift)
        });
        let (adder, unit) = match &companion {
            Some((_, unit, shift)) => Adder::joining(sram, converter.step, *unit, *shift),
            None => (Adder::alone(), converter.step),
        };
        let companion = companion.map(|(array, ..)| array);
        let converted = Converted {
            weights,
            grid,
            tile_rows: profile.tile.rows,
            inputs: profile.tile.inputs,
            largest_drive,
            converter,
            gain: vec![],
            offset: vec![],
            companion,
            adder,
            unit: (share * unit) as f32,
        };
        converted.check(plan, drive)?;
        Ok(converted.with_errors(profile, (index, plan), draw))
    }

    /// Partial sums of a column.
    pub fn partitions(&self, plan: &Layer) -> usize {
        plan.rows().div_ceil(self.tile_rows)
    }

    /// The effective matrix `[columns, rows]` that an ideal converter would leave: what gradients go through.
    pub fn effective(&self) -> Vec<f32> {
        let share = f64::from(self.unit) / self.converter.step * libm::exp2(f64::from(self.adder.rram_left));
        let rram = self.weights.iter().map(|w| f64::from(*w) * share);
        match &self.companion {
            None => rram.map(|w| w as f32).collect(),
            Some(Macro { weights, value }) => {
                rram.zip(weights).map(|(w, integer)| (w + f64::from(*integer) * value) as f32).collect()
            }
        }
    }

    /// An error where integers could outgrow the 31 bits that they are computed in.
    fn check(&self, plan: &Layer, drive: Drive) -> Result<()> {
        let codes = f64::from(self.converter.highest.max(-self.converter.lowest));
        let shifted = |value: f64, left: u32| value * libm::exp2(f64::from(left));
        let drives = if self.inputs == TileInputs::Pulses { 1 } else { (1 << drive.bits()) - 1 };
        let rram = shifted(codes * (self.partitions(plan) * drives) as f64, self.adder.rram_left);
        let sram = self.companion.as_ref().map_or(0.0, |Macro { weights, .. }| {
            let column = |column: &[i32]| column.iter().map(|w| f64::from(w.abs())).sum::<f64>();
            let sum = weights.chunks(plan.rows()).map(column).fold(0.0, f64::max);
            shifted(sum * f64::from(drive.largest), self.adder.sram_left)
        });
        if rram + sram >= f64::from(1 << 30) {
            return Err(Error::Mismatch(format!(
                "`{}`: codes and the companion array's sums need more than 31 bits where they meet; expected a shift \
                 nearer to 0 or fewer ADC bits",
                plan.name
            )));
        }
        Ok(())
    }

    /// Every converter's own gain and offset: keyed by its layer, partition and column.
    fn with_errors(mut self, profile: &Profile, (index, plan): (u32, &Layer), draw: Option<Draw>) -> Self {
        let adc = &profile.adc;
        let (partitions, columns) = (self.partitions(plan), plan.columns());
        let error = |partition: usize, column: usize| match draw {
            Some(draw) if adc.gain_sigma > 0.0 || adc.offset_sigma > 0.0 => {
                let place = [partition as u32, column as u32, index];
                let mut stream = Substream::new(draw.converter_key(), place);
                let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
                (adc.gain_sigma * normal(), adc.offset_sigma * normal())
            }
            _ => (0.0, 0.0),
        };
        let places = (0..partitions).flat_map(|partition| (0..columns).map(move |column| (partition, column)));
        let errors = places.map(|(partition, column)| error(partition, column));
        let values = errors.map(|(gain, offset)| (((1.0 + gain) / self.converter.step) as f32, offset as f32));
        (self.gain, self.offset) = values.unzip();
        self
    }
}

impl Adder {
    /// Without a companion array nothing moves or saturates.
    fn alone() -> Adder {
        Adder { rram_left: 0, sram_left: 0, sram_right: 0, lowest: i32::MIN, highest: i32::MAX }
    }

    /// Codes of this step and integers of this unit, shifted, meet in the finer unit, which is given too.
    fn joining(sram: &Sram, step: f64, unit: f64, shift: i32) -> (Adder, f64) {
        let places = |ratio: f64| libm::rint(libm::log2(ratio)) as i32;
        let cut = if sram.round == Rounding::Floor { (-shift).max(0) } else { 0 };
        // In places above the array's unit.
        let (codes, sums) = (places(step / unit), shift + cut);
        let finer = codes.min(sums);
        let most = if sram.adder_bits == 0 { i32::MAX } else { (1 << (sram.adder_bits - 1)) - 1 };
        let adder = Adder {
            rram_left: (codes - finer) as u32,
            sram_left: (sums - finer) as u32,
            sram_right: cut as u32,
            lowest: -most - 1,
            highest: most,
        };
        (adder, unit * libm::exp2(f64::from(finer)))
    }

    /// What leaves the adder, and whether it saturated.
    #[inline(always)]
    pub fn total(&self, codes: i32, sums: i32) -> (i32, bool) {
        let exact = (codes << self.rram_left) + ((sums >> self.sram_right) << self.sram_left);
        let total = exact.clamp(self.lowest, self.highest);
        (total, total != exact)
    }
}

/// The error about a layer whose weights no exact grid holds.
pub fn too_large(plan: &Layer) -> Error {
    Error::Mismatch(format!("`{}` has weights that are too large or not finite once programmed", plan.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sram(shift: i32, round: Rounding, adder_bits: u32) -> Sram {
        Sram { bits: 4, shift: Some(shift), round, adder_bits, ..Sram::default() }
    }

    #[test]
    fn both_sides_meet_in_the_finer_unit() {
        // Codes of 0.5 and integers of 1/8 shifted by −2: units of 1/32.
        let (adder, unit) = Adder::joining(&sram(-2, Rounding::Exact, 0), 0.5, 0.125, -2);
        assert_eq!((adder.rram_left, adder.sram_left, adder.sram_right, unit), (4, 0, 0, 1.0 / 32.0));
        assert_eq!(f64::from(adder.total(3, -5).0) * unit, 3.0 * 0.5 - 5.0 / 32.0);
        // Cut at the array's own unit: −5/4 becomes −2.
        let (adder, unit) = Adder::joining(&sram(-2, Rounding::Floor, 0), 0.5, 0.125, -2);
        assert_eq!((adder.rram_left, adder.sram_left, adder.sram_right, unit), (2, 0, 2, 0.125));
        assert_eq!(f64::from(adder.total(3, -5).0) * unit, 3.0 * 0.5 - 2.0 * 0.125);
        // A left shift, beyond the codes' step.
        let (adder, unit) = Adder::joining(&sram(3, Rounding::Exact, 0), 0.5, 0.125, 3);
        assert_eq!((adder.rram_left, adder.sram_left, adder.sram_right, unit), (0, 1, 0, 0.5));
    }

    #[test]
    fn the_adder_saturates_at_its_width_and_says_so() {
        let (adder, _) = Adder::joining(&sram(0, Rounding::Exact, 6), 0.125, 0.125, 0);
        for (codes, sums, expected) in
            [(20, 11, (31, false)), (20, 12, (31, true)), (-20, -12, (-32, false)), (-20, -13, (-32, true))]
        {
            assert_eq!(adder.total(codes, sums), expected);
        }
        let unlimited = Adder::joining(&sram(0, Rounding::Exact, 0), 0.125, 0.125, 0).0;
        assert_eq!(unlimited.total(1 << 20, 1 << 20), (1 << 21, false));
    }
}
