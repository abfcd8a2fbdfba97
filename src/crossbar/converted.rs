//! A layer behind converters: where its partial sums are cut, converted, and joined by the companion array's.
//!
//! Rows that are driven together (a tile's, or `tile.rows_at_once` of them) give one partial sum a column and one code
//! ([`super::adc`]); codes add up digitally. Inputs above 1 go a binary digit at a time, each converted and shifted
//! ([`TileInputs::BitPlanes`]), as pulses whose charge is converted once ([`TileInputs::Pulses`]), or at voltages of
//! which each digit of a converter adds its share ([`TileInputs::Levels`]). Inputs of several digit planes ([`Drive`])
//! pass all of this plane by plane, and what leaves the adder is shifted and added up without limit.
//!
//! Weights wider than a cell stand on several slices, each with converters of its own, whose codes are shifted to their
//! place; a unit column, where there is one, is converted like the others and its code subtracted. The companion array
//! is a digital macro: integers `w·2^(k−1)` times integers, exact. Behind it
//!
//! ```text
//! RRAM codes  R ───────────────────────── << left ──┐
//!                                                   ├─ adder ─► total · unit
//! SRAM products ─ sum ─ >> right ── << left ─ shifter ┘
//! ```
//!
//! Each width, where it is limited, saturates; how often is counted. The unit is the finer of a code's and of a shifted
//! integer's, so that nothing is lost where both meet; with `round = "floor"` a negative shift first cuts the bits of S
//! below the array's own unit. The converter's step is a power of two times the array's unit
//! ([`super::adc::Resolution`]). What `average` halves is the unit.

use std::sync::Arc;

use super::adc::{Converter, Resolution};
use super::arrays::Arrays;
use super::noise::Noise;
use super::reading::Reading;
use super::site::Site;
use super::sram::Companion;
use super::transitions::Levels;
use crate::device::cell::TileColumns;
use crate::device::code;
use crate::device::{CellSlice, Draw, Purpose, Span, quantise};
use crate::error::{Error, Result};
use crate::network::Drive;
use crate::numeric::grid::round_to_exact_grid;
use crate::profile::{Adc, AdcKind, LEVEL_BITS, Rounding, Sram, TileInputs};
use crate::rng::Substream;
use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

/// A layer's arrays behind converters.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// The cells' slices, from the least significant.
    pub slices: Vec<Slice>,
    /// Rows that are driven and converted together.
    pub rows_at_once: usize,
    /// How inputs drive the word lines.
    pub inputs: TileInputs,
    /// The share of each binary digit of levels in a word line's voltage.
    pub level_weights: [f32; LEVEL_BITS],
    /// The companion array's integers.
    pub companion: Option<Macro>,
    /// Shifters and adder.
    pub adder: Adder,
    /// The value of one unit of the total.
    pub unit: f32,
    /// The noise that every conversion adds to its sum; none without noise.
    pub noise: Option<Noise>,
    /// The magnitude that sums are held to before they are converted, in weights times pulses; none: any.
    pub limit: Option<f32>,
}

/// One slice of the cells and its converters.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The cells' columns.
    pub columns: Side,
    /// Each column's unit column, whose codes are subtracted.
    pub reference: Option<Side>,
    /// The nominal converter, of both.
    pub converter: Converter,
    /// Places that its codes move left, to the unit of the total.
    pub left: u32,
    /// What one unit of its weights counts in the layer's.
    value: f64,
    /// The factors by which converters scale each column's sums; none: 1.
    pub gains: Arc<[f64]>,
}

/// Columns and their converters.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// Weights `[columns, rows]`, rows in published order: multiples of 2^-`grid`, of which sums are exact.
    pub weights: Vec<f32>,
    /// The negative exponent of the grid.
    pub grid: i32,
    /// Codes a unit of each converter, `[partial sums, columns]`.
    pub gain: Vec<f32>,
    /// Each converter's offset in codes, `[partial sums, columns]`.
    pub offset: Vec<f32>,
    /// Where its codes begin; none where that is half-way between them.
    pub levels: Option<Levels>,
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
    /// Places that the array's sums move left.
    pub sram_left: u32,
    /// Places that they move right before, towards minus infinity.
    pub sram_right: u32,
    /// Sums of products are within this and one less than its negative.
    pub most_sum: i32,
    /// What leaves the shifter is within this and one less than its negative.
    pub most_shifted: i32,
    /// The adder's total is within this and one less than its negative.
    pub most: i32,
}

/// The largest magnitude of which a sum is made at once: the digits of levels are summed one by one.
fn at_once(drive: Drive, inputs: TileInputs) -> u32 {
    if inputs == TileInputs::Pulses { drive.largest } else { 1 }
}

/// The largest magnitude that drives a line before a sum is converted.
fn converted_at_once(drive: Drive, inputs: TileInputs) -> u32 {
    if inputs == TileInputs::BitPlanes { 1 } else { drive.largest }
}

/// What the converters of a layer have to span, and what their steps may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConverterRange {
    /// The least and the greatest sum that rows of a tile that are driven together can give, and what a converter of
    /// the full range spans: a converter is the tile's, whatever stands on it.
    pub full: (f64, f64),
    /// The least and the largest sum that the rows of the layer can give.
    pub reached: (f64, f64),
    /// Their bits and steps.
    pub resolution: Resolution,
}

impl ConverterRange {
    /// The ranges that a layer's arrays want.
    pub fn of(site: &Site, arrays: &Arrays) -> Self {
        let Site { rram, sram, tile, adc, drive, .. } = site;
        let span = Span::of(rram, &arrays.cells.target);
        let lowest = if drive.signed { span.lowest.min(-span.highest) } else { span.lowest };
        let of_rows = |rows: usize| {
            let rows = rows as f64 * f64::from(converted_at_once(*drive, tile.inputs));
            (lowest * rows, span.highest * rows)
        };
        let sliced = arrays.cells.slices().len() > 1;
        let companion = arrays.companion.as_ref().map(|companion| companion_unit(sram, companion));
        ConverterRange {
            full: of_rows(tile.driven_rows()),
            reached: of_rows(tile.driven_rows().min(site.rows)),
            resolution: Resolution::new(adc, span.unit, sliced, companion),
        }
    }
}

fn companion_unit(sram: &Sram, companion: &Companion) -> f64 {
    quantise::unit(sram.effective_scheme(), sram.bits, &companion.weights)
}

/// The magnitude of a sum, in weights times pulses, whose current is the most that a converter takes; none: any.
fn limit(site: &Site, arrays: &Arrays) -> Option<f32> {
    let Site { adc, rram, .. } = site;
    (adc.limit_ua > 0.0).then(|| {
        let per_us = code::Code::new(rram, &arrays.cells.target).per_us();
        (adc.limit_ua / rram.read.volt * per_us) as f32
    })
}

impl Side {
    /// Columns of weights behind converters of a layer, whose references are scaled by a gain for each column, if any.
    fn new(site: &Site, weights: &[f64], errors: Errors, converter: Converter, gains: &[f64]) -> Result<Self> {
        let mut weights: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        site.resolve(&mut weights);
        let grid = round_to_exact_grid(&mut weights, site.rows, at_once(site.drive, site.tile.inputs));
        let grid = grid.ok_or_else(|| too_large(&site.name))?;
        let (mut gain, offset) = errors.drawn(converter);
        let scaled = gain.iter_mut().zip(gains.iter().cycle());
        scaled.for_each(|(gain, by)| *gain = (f64::from(*gain) * by) as f32);
        Ok(Side { weights, grid, gain, offset, levels: errors.levels(converter) })
    }
}

impl Converted {
    /// Puts slices of cells and a companion array behind converters: one a slice, those that were calibrated, else of
    /// the full range. The draw has each converter's errors; without one there are none.
    pub fn new(site: &Site, arrays: &Arrays, cells: &[CellSlice], reading: Reading) -> Result<Converted> {
        let Site { columns, tile, sram, .. } = site;
        let Reading { converters: calibrated, draw, .. } = reading;
        let ConverterRange { full: (lo, hi), resolution, .. } = ConverterRange::of(site, arrays);
        let full = resolution.spanning(lo, hi);
        let share = arrays.companion.as_ref().map_or(1.0, |_| sram.effective_combine().share());
        let (partial_sums, turns, on_tiles) = (site.partial_sums(), tile.turns(), site.on_tiles());
        let (adc, layer, columns) = (&site.adc, site.index, *columns);
        let errors = Errors { adc, draw, layer, slice: 0, unit: false, partial_sums, turns, columns, on_tiles };
        let mut slices = Vec::new();
        for (s, cells) in cells.iter().enumerate() {
            let converter = calibrated.get(s).map_or(full, |converter| resolution.aligned(*converter));
            let errors = Errors { slice: s as u32, ..errors };
            let side = |weights: &[f64], unit: bool| {
                Side::new(site, weights, Errors { unit, ..errors }, converter, &cells.gains)
            };
            let columns = side(&cells.weights, false)?;
            let reference = cells.reference.as_ref().map(|weights| side(weights, true)).transpose()?;
            let value = share * libm::exp2(f64::from(cells.places));
            slices.push(Slice { columns, reference, converter, left: 0, value, gains: cells.gains.clone() });
        }
        let companion = arrays.companion.as_ref().map(|companion| {
            let unit = companion_unit(sram, companion);
            let shifted = unit * libm::exp2(f64::from(companion.shift));
            let Some(branch) = &companion.low_rank else {
                let integer = |w: &f32| libm::rint(f64::from(*w) / unit) as i32;
                let weights = companion.weights.iter().map(integer).collect();
                return (Macro { weights, value: share * shifted }, (unit, companion.shift));
            };
            // Both are whole numbers of the finer unit, and join before the shifter.
            let finer = shifted.min(branch.unit);
            let integer = |(w, product): (&f32, &f32)| {
                libm::rint((f64::from(*w) / unit * shifted + f64::from(*product)) / finer) as i32
            };
            let weights = companion.weights.iter().zip(&branch.product).map(integer).collect();
            (Macro { weights, value: share * finer }, (finer, 0))
        });
        let (companion, digital) = companion.unzip();
        let steps: Vec<f64> = slices.iter().map(|slice| slice.converter.step * slice.value / share).collect();
        let (adder, lefts, unit) = Adder::joining(sram, &steps, digital);
        slices.iter_mut().zip(lefts).for_each(|(slice, left)| slice.left = left);
        let converted = Converted {
            slices,
            rows_at_once: tile.driven_rows(),
            inputs: tile.inputs,
            level_weights: tile.level_weights.map(|weight| weight as f32),
            companion,
            adder,
            unit: (share * unit) as f32,
            noise: draw
                .filter(|_| site.adc.is_noisy())
                .map(|draw| Noise::of_converters(draw.noise_key(site.index), adc, reading.steps)),
            limit: limit(site, arrays),
        };
        converted.check(site)?;
        Ok(converted)
    }

    /// The effective matrix `[columns, rows]` that an ideal converter would leave: what gradients go through.
    pub fn effective(&self) -> Vec<f32> {
        let mut sums = vec![0.0f64; self.slices.first().map_or(0, |slice| slice.columns.weights.len())];
        let mut add = |weights: &mut dyn Iterator<Item = f64>, value: f64, gains: &[f64]| {
            if gains.is_empty() {
                return sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += w * value);
            }
            let rows = sums.len() / gains.len();
            let gains = gains.iter().flat_map(|gain| std::iter::repeat_n(gain, rows));
            sums.iter_mut().zip(weights).zip(gains).for_each(|((sum, w), gain)| *sum += w * value * gain);
        };
        for Slice { columns, reference, value, gains, .. } in &self.slices {
            add(&mut columns.weights.iter().map(|w| f64::from(*w)), *value, gains);
            if let Some(reference) = reference {
                add(&mut reference.weights.iter().map(|w| f64::from(*w)), -value, gains);
            }
        }
        if let Some(Macro { weights, value }) = &self.companion {
            add(&mut weights.iter().map(|w| f64::from(*w)), *value, &[]);
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// An error where integers could outgrow the 31 bits that they are computed in.
    fn check(&self, site: &Site) -> Result<()> {
        let drive = site.drive;
        let shifted = |value: f64, left: u32| value * libm::exp2(f64::from(left));
        let refuse = |what: &str| Err(Error::Mismatch(format!("`{}`: {what}", site.name)));
        let drives = if self.inputs == TileInputs::BitPlanes { (1 << drive.bits_of(0)) - 1 } else { 1 };
        let codes = |slice: &Slice| {
            let sides = if slice.reference.is_some() { 2.0 } else { 1.0 };
            shifted(sides * f64::from(slice.converter.highest.max(-slice.converter.lowest)), slice.left)
        };
        let rram = self.slices.iter().map(codes).sum::<f64>() * (site.partial_sums() * drives) as f64;
        let sums = self.companion.as_ref().map_or(0.0, |Macro { weights, .. }| {
            let column = |column: &[i32]| column.iter().map(|w| f64::from(w.abs())).sum::<f64>();
            weights.chunks(site.rows).map(column).fold(0.0, f64::max) * f64::from(drive.largest)
        });
        if self.inputs == TileInputs::Levels && drive.bits_of(0) as usize > LEVEL_BITS {
            return refuse(&format!(
                "tile.inputs = \"levels\": its inputs have {} binary digits, and a driver's converter {LEVEL_BITS}; \
                 expected a smaller pooling window, or other inputs",
                drive.bits_of(0)
            ));
        }
        if sums > f64::from(1 << 24) {
            return refuse(
                "the companion array's sums need more than 24 bits; expected fewer sram.bits, or a branch of fewer \
                 sram.rank_bits",
            );
        }
        if rram + shifted(sums, self.adder.sram_left) >= f64::from(1 << 30) {
            return refuse(
                "codes and the companion array's sums need more than 31 bits where they meet; expected a shift nearer \
                 to 0 or fewer ADC bits",
            );
        }
        Ok(())
    }
}

/// The errors of converters: of the columns of a layer's slice, or of its unit columns.
#[derive(Clone, Copy)]
struct Errors<'a> {
    adc: &'a Adc,
    draw: Option<Draw>,
    layer: u32,
    slice: u32,
    unit: bool,
    partial_sums: usize,
    /// Partial sums of a tile's column, one after the other through the same converter.
    turns: usize,
    columns: usize,
    on_tiles: TileColumns,
}

impl Errors<'_> {
    /// The tile along the rows, and the column, of each place `[partial sums, columns]`.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let Errors { turns, columns, .. } = *self;
        (0..self.partial_sums).flat_map(move |sum| (0..columns).map(move |column| (sum / turns, column)))
    }

    /// Which of its layer's converters, side by side, a column has: columns of a tile that follow one another share
    /// one, and a tile's unit column has its own.
    fn number(&self, column: usize) -> usize {
        let TileColumns { per_tile, .. } = self.on_tiles;
        match self.on_tiles.tile(column) {
            tile if self.unit => tile,
            tile => tile * per_tile.div_ceil(self.adc.columns_shared) + column % per_tile / self.adc.columns_shared,
        }
    }

    /// The numbers that a converter draws, keyed by layer, slice, tile, and which of the tile's converters it is.
    fn stream(&self, purpose: Purpose, [tile, number]: [usize; 2]) -> Option<Substream> {
        let side = self.slice * 2 + u32::from(self.unit);
        let place = [tile as u32, number as u32, self.layer | side << 20];
        self.draw.map(|draw| Substream::new(draw.key(purpose), place))
    }

    /// Gains, in codes a unit, and offsets, in codes, `[partial sums, columns]`.
    fn drawn(&self, converter: Converter) -> (Vec<f32>, Vec<f32>) {
        let Adc { gain_sigma, offset_sigma, .. } = *self.adc;
        let errs = gain_sigma > 0.0 || offset_sigma > 0.0;
        let error = |(tile, column): (usize, usize)| {
            let stream = errs.then(|| self.stream(Purpose::Converters, [tile, self.number(column)])).flatten();
            stream.map_or((0.0, 0.0), |mut stream| {
                let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
                (gain_sigma * normal(), offset_sigma * normal())
            })
        };
        let errors = self.places().map(error);
        errors.map(|(gain, offset)| (((1.0 + gain) / converter.step) as f32, offset as f32)).unzip()
    }

    /// Where codes begin; none where that is half-way between them.
    fn levels(&self, converter: Converter) -> Option<Levels> {
        // One ramp is for all converters of a tile, its slices and unit columns too.
        let of_tile = self.adc.kind == AdcKind::Ramp;
        let shared = Errors { slice: 0, unit: of_tile || self.unit, ..*self };
        let stream = |place: [usize; 2]| (if of_tile { &shared } else { self }).stream(Purpose::Levels, place);
        let differ = self.draw.is_some() && self.adc.mismatch() > 0.0;
        let number = |(tile, column)| match (differ, of_tile) {
            (false, _) => [0, 0],
            (true, true) => [tile, self.on_tiles.tile(column)],
            (true, false) => [tile, self.number(column)],
        };
        let levels = || Levels::new(self.adc, converter, self.places().map(number), stream);
        self.adc.is_bent().then(levels)
    }
}

impl Adder {
    /// Codes of slices of these steps, and a companion array of this unit and shift, meet in the finest unit: gives the
    /// adder, the places that each slice's codes move left, and that unit. Without an array nothing saturates.
    fn joining(sram: &Sram, steps: &[f64], companion: Option<(f64, i32)>) -> (Adder, Vec<u32>, f64) {
        let base = companion.map_or(steps[0], |(unit, _)| unit);
        // These count the places of each step above the base.
        let places: Vec<i32> = steps.iter().map(|step| libm::rint(libm::log2(step / base)) as i32).collect();
        let least = places.iter().copied().min().unwrap_or(0);
        let most = |bits: u32| if companion.is_some() && bits > 0 { (1 << (bits - 1)) - 1 } else { i32::MAX };
        let (cut, sums) = companion.map_or((0, least), |(_, shift)| {
            let cut = if sram.round == Rounding::Floor { (-shift).max(0) } else { 0 };
            (cut, shift + cut)
        });
        let finest = least.min(sums);
        let adder = Adder {
            sram_left: (sums - finest) as u32,
            sram_right: cut as u32,
            most_sum: most(sram.sum_bits),
            most_shifted: most(sram.shifter_bits),
            most: most(sram.adder_bits),
        };
        let lefts = places.into_iter().map(|places| (places - finest) as u32).collect();
        (adder, lefts, base * libm::exp2(f64::from(finest)))
    }

    /// What leaves the adder of codes in its unit and the array's sums, and whether anything saturated on the way.
    #[inline(always)]
    pub fn total(&self, codes: i32, sums: i32) -> (i32, bool) {
        let held = |x: i32, most: i32| x.clamp(-most - 1, most);
        let sum = held(sums, self.most_sum);
        let moved = (sum >> self.sram_right) << self.sram_left;
        let shifted = held(moved, self.most_shifted);
        let exact = codes + shifted;
        let total = held(exact, self.most);
        (total, sum != sums || shifted != moved || total != exact)
    }
}

/// The error about a layer whose weights no exact grid holds.
pub fn too_large(layer: &str) -> Error {
    Error::Mismatch(format!("`{layer}` has weights that are too large or not finite once programmed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(step: f64, shift: i32, round: Rounding, adder_bits: u32) -> (Adder, Vec<u32>, f64) {
        let sram = Sram { bits: 4, shift: Some(shift), round, adder_bits, ..Sram::default() };
        Adder::joining(&sram, &[step], Some((0.125, shift)))
    }

    #[test]
    fn both_sides_meet_in_the_finer_unit() {
        // Codes of 0.5 and integers of 1/8 shifted by −2: units of 1/32.
        let (adder, lefts, unit) = joined(0.5, -2, Rounding::Exact, 0);
        assert_eq!((&lefts[..], adder.sram_left, adder.sram_right, unit), (&[4][..], 0, 0, 1.0 / 32.0));
        assert_eq!(f64::from(adder.total(3 << 4, -5).0) * unit, 3.0 * 0.5 - 5.0 / 32.0);
        // Cut at the array's own unit: −5/4 becomes −2.
        let (adder, lefts, unit) = joined(0.5, -2, Rounding::Floor, 0);
        assert_eq!((&lefts[..], adder.sram_left, adder.sram_right, unit), (&[2][..], 0, 2, 0.125));
        assert_eq!(f64::from(adder.total(3 << 2, -5).0) * unit, 3.0 * 0.5 - 2.0 * 0.125);
        // A left shift, beyond the codes' step.
        let (adder, lefts, unit) = joined(0.5, 3, Rounding::Exact, 0);
        assert_eq!((&lefts[..], adder.sram_left, adder.sram_right, unit), (&[0][..], 1, 0, 0.5));
    }

    #[test]
    fn slices_meet_in_the_least_of_their_steps() {
        let (adder, lefts, unit) = Adder::joining(&Sram::default(), &[0.5, 1.0, 8.0], None);
        assert_eq!((&lefts[..], unit), (&[0, 1, 4][..], 0.5));
        assert_eq!(adder.total(i32::MAX, 0), (i32::MAX, false));
    }

    #[test]
    fn sum_and_shifter_saturate_at_their_widths_too() {
        let sram = Sram { bits: 4, shift: Some(2), sum_bits: 5, shifter_bits: 6, ..Sram::default() };
        let (adder, ..) = Adder::joining(&sram, &[0.125], Some((0.125, 2)));
        // Sums of −16 to 15, shifted by two places to −64 to 60, held to −32 to 31.
        for (sums, expected) in
            [(7, (28, false)), (8, (31, true)), (100, (31, true)), (-8, (-32, false)), (-9, (-32, true))]
        {
            assert_eq!(adder.total(0, sums), expected, "{sums}");
        }
    }

    #[test]
    fn the_adder_saturates_at_its_width_and_says_so() {
        let (adder, ..) = joined(0.125, 0, Rounding::Exact, 6);
        for (codes, sums, expected) in
            [(20, 11, (31, false)), (20, 12, (31, true)), (-20, -12, (-32, false)), (-20, -13, (-32, true))]
        {
            assert_eq!(adder.total(codes, sums), expected);
        }
        assert_eq!(joined(0.125, 0, Rounding::Exact, 0).0.total(1 << 20, 1 << 20), (1 << 21, false));
    }
}
