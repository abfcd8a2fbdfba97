//! Partial sums and their codes on the CPU: every pixel's active inputs, sorted by tile ([`super::driven`]), summed event by event,
//! converted, and joined with the companion array's products ([`crate::crossbar::converted`]). Where many inputs are active, the sums
//! of many pixels are made at once ([`super::tiled`]).
//!
//! Sums are exact (weights on a grid, inputs of few digits), and codes are integers: the order in which events or tiles come
//! does not show. A code is `round(clip(x·gain + offset))`, a product and a sum of f32, rounded each: the GPU's bits.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::cut::CutPixels;
use super::driven::{Driven, Driving, Set};
use super::events;
use super::laid::Laid;
use super::sums::{Band, Kernel};
use super::tiled::{TileSpace, TileSums, Tiled, by_digits};
use crate::crossbar::adc::Histogram;
use crate::crossbar::converted::{self, Adder, Converted, Macro};
use crate::kernels::digits::LANES;
use crate::kernels::{lookup, vectorised};
use crate::monitor::checkpoint;
use crate::plan::LayerPlan;

/// A layer behind converters, ready to run.
#[derive(Debug)]
pub struct Partials {
    /// How inputs drive lines.
    pub driving: Driving,
    columns: usize,
    slices: Vec<Slice>,
    /// The companion array.
    companion: Option<Summed>,
    kernel: Kernel,
    adder: Adder,
    unit: f32,
    tally: Tally,
}

/// One slice, columns in whole blocks.
#[derive(Debug)]
struct Slice {
    columns: Side,
    /// What is subtracted.
    reference: Option<Side>,
    ends: [f32; 2],
    left: u32,
}

/// Weights, ready to be summed.
#[derive(Debug)]
struct Summed {
    /// `[rows, columns]`, for events.
    weights: Vec<f32>,
    /// The same for many pixels at once, where that may be faster.
    tiled: Option<Tiled>,
}

/// Columns and their converters.
#[derive(Debug)]
struct Side {
    summed: Summed,
    /// `[partitions, columns]`: codes a unit.
    gain: Vec<f32>,
    /// The offset in codes, likewise.
    offset: Vec<f32>,
    /// Whether a column without events has a code other than 0.
    idles: bool,
}

impl Slice {
    /// Both sides, with the sign of their codes.
    fn sides(&self) -> impl Iterator<Item = (i32, &Side)> {
        std::iter::once((1, &self.columns)).chain(self.reference.as_ref().map(|side| (-1, side)))
    }
}

/// What happened at the ends of ranges.
#[derive(Debug, Default)]
struct Tally {
    clipped: AtomicU64,
    saturated: AtomicU64,
}

/// Work space of a thread.
#[derive(Debug, Default)]
struct Scratch {
    driven: Driven,
    partial: Vec<f32>,
    codes: Vec<i32>,
    products: Vec<i32>,
    /// What drives many pixels, for each set.
    cut: Vec<CutPixels>,
    space: TileSpace,
}

/// Pixels whose sums are made at once, at most.
const PIXELS: usize = 256;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Partials {
    /// The columns of a programmed layer.
    pub fn new(plan: &LayerPlan, converted: &Converted, kernel: Kernel) -> Self {
        let columns = plan.columns().next_multiple_of(LANES);
        assert!(u32::try_from(plan.rows() * columns).is_ok(), "a model's largest layer is smaller");
        let driving =
            Driving::new(plan, (converted.tile_rows, columns), (converted.inputs, converted.companion.is_some()));
        let by_rows = |weights: &mut dyn FnMut(usize, usize) -> f32| {
            let mut turned = vec![0.0; plan.rows() * columns];
            for (row, turned) in turned.chunks_mut(columns).enumerate() {
                turned[..plan.columns()].iter_mut().enumerate().for_each(|(c, w)| *w = weights(row, c));
            }
            turned
        };
        let padded = |values: &[f32]| -> Vec<f32> {
            let mut padded = vec![0.0; values.len() / plan.columns() * columns];
            let rows = padded.chunks_mut(columns).zip(values.chunks(plan.columns()));
            rows.for_each(|(padded, values)| padded[..values.len()].copy_from_slice(values));
            padded
        };
        let summed = |weights: Vec<f32>, grid: i32| {
            let tiled = Tiled::new(&driving, &weights, columns, grid, kernel);
            Summed { weights, tiled }
        };
        let side = |side: &converted::Side| Side {
            summed: summed(by_rows(&mut |row, c| side.weights[c * plan.rows() + row]), side.grid),
            gain: padded(&side.gain),
            offset: padded(&side.offset),
            idles: side.offset.iter().any(|offset| offset.abs() >= 0.5),
        };
        let slice = |slice: &converted::Slice| Slice {
            columns: side(&slice.columns),
            reference: slice.reference.as_ref().map(side),
            ends: [slice.converter.lowest as f32, slice.converter.highest as f32],
            left: slice.left,
        };
        let companion = converted.companion.as_ref();
        let integer = |of: &Macro, row, c: usize| of.weights[c * plan.rows() + row] as f32;
        let companion = companion.map(|of| summed(by_rows(&mut |row, c| integer(of, row, c)), 0));
        Partials {
            slices: converted.slices.iter().map(slice).collect(),
            driving,
            columns,
            companion,
            kernel,
            adder: converted.adder,
            unit: converted.unit,
            tally: Tally::default(),
        }
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        self.columns / LANES
    }

    /// Sums that were clipped at the end of a converter's range, and totals at which an adder saturated, since this was
    /// last asked.
    pub fn take_tally(&self) -> (u64, u64) {
        (self.tally.clipped.swap(0, Ordering::Relaxed), self.tally.saturated.swap(0, Ordering::Relaxed))
    }

    /// Sums `[maps, blocks, pixels of the band, 16]`.
    pub fn sums(&self, laid: &Laid, band: Band, out: &mut [f32]) {
        let pixels = band.rows * self.driving.patches.width();
        out.fill(0.0);
        let first = |map: usize, pixel: usize| map * self.columns * pixels + pixel * LANES;
        self.each(laid, band, &laid.rates[band.map..band.map + band.maps], pixels * LANES, first, out);
    }

    /// Sums `[blocks, maps, 16]` of a fully connected layer, in parallel.
    pub fn connect(&self, laid: &Laid) -> Vec<f32> {
        let maps = laid.maps();
        let mut rows = vec![0.0; maps * self.columns];
        // As few as leave every thread some, and as many as earn their tables.
        let at_once = maps.div_ceil(rayon::current_num_threads()).clamp(1, PIXELS / 2);
        rows.par_chunks_mut(at_once * self.columns).enumerate().for_each(|(i, out)| {
            let (y, rows) = (i * at_once, out.len() / self.columns);
            let band = Band { map: 0, y, rows, maps: 1 };
            self.each(laid, band, &laid.rates[y..y + rows], LANES, |_, pixel| pixel * self.columns, out);
        });
        let mut sums = vec![0.0; maps * self.columns];
        for (map, row) in rows.chunks(self.columns).enumerate() {
            for (block, row) in row.chunks(LANES).enumerate() {
                sums[(block * maps + map) * LANES..][..LANES].copy_from_slice(row);
            }
        }
        sums
    }

    /// Maps of which the sums of so many rows of pixels are best made at once.
    pub fn maps_at_once(&self, rows: usize) -> usize {
        (PIXELS / (rows * self.driving.patches.width())).max(1)
    }

    /// Adds what the pixels of a band give to `out`, whose blocks are `step` apart from `first(map, pixel)` on. The rates are those of the
    /// band's maps, or of a fully connected layer's rows. Many pixels are summed at once where that is faster.
    fn each(
        &self,
        laid: &Laid,
        band: Band,
        rates: &[f32],
        step: usize,
        first: impl Fn(usize, usize) -> usize,
        out: &mut [f32],
    ) {
        let pixels = band.rows * self.driving.patches.width();
        let rate = rates.iter().sum::<f32>() / rates.len() as f32;
        let arrays = self.slices.iter().flat_map(Slice::sides).map(|(_, side)| &side.summed).chain(&self.companion);
        let is_forced = matches!(self.kernel, Kernel::Dense(_) | Kernel::LookUp);
        let is_better = |tiled: &Tiled| is_forced || tiled.is_better(pixels * band.maps, rate);
        let (clipped, saturated) = if arrays.into_iter().all(|array| array.tiled.as_ref().is_some_and(is_better)) {
            self.each_many(laid, band, step, |pixel| first(pixel / pixels, pixel % pixels), out)
        } else {
            let mut tally = (0, 0);
            for map in 0..band.maps {
                let band = Band { map: band.map + map, maps: 1, ..band };
                let more = self.each_pixel(laid, band, step, |pixel| first(map, pixel), out);
                tally = (tally.0 + more.0, tally.1 + more.1);
            }
            tally
        };
        self.tally.clipped.fetch_add(clipped, Ordering::Relaxed);
        self.tally.saturated.fetch_add(saturated, Ordering::Relaxed);
    }

    /// Counts every partial sum of a band in its slice's histogram, before it is converted.
    pub fn profile(&self, laid: &Laid, band: Band, columns: usize, histograms: &mut [Histogram]) {
        let count = |scratch: &mut Scratch, set, _| {
            for (slice, histogram) in self.slices.iter().zip(&mut *histograms) {
                for ((_, side), tile) in self.on_tiles(slice) {
                    self.partial(side, set, tile, scratch);
                    scratch.partial[..columns].iter().for_each(|sum| histogram.add(*sum));
                }
            }
        };
        self.each_drive(laid, band, count, |_, _| {});
    }

    /// A slice's sides, each on every tile.
    fn on_tiles<'s>(&self, slice: &'s Slice) -> impl Iterator<Item = ((i32, &'s Side), usize)> + use<'s> {
        let tiles = self.driving.partitions;
        slice.sides().flat_map(move |side| (0..tiles).map(move |tile| (side, tile)))
    }

    /// Every pixel of a band, plane by plane from the most significant: codes and products, joined and added to `out`, whose blocks
    /// are `step` apart from `first(pixel)` on. Gives how many sums were clipped and totals saturated.
    fn each_pixel(
        &self,
        laid: &Laid,
        band: Band,
        step: usize,
        first: impl Fn(usize) -> usize,
        out: &mut [f32],
    ) -> (u64, u64) {
        let (mut clipped, mut saturated) = (0, 0);
        let drive = |scratch: &mut Scratch, set, places: u32| {
            for slice in &self.slices {
                for ((sign, side), tile) in self.on_tiles(slice) {
                    if self.driving.of(&scratch.driven, set, tile).places.is_empty() && !side.idles {
                        continue;
                    }
                    self.partial(side, set, tile, scratch);
                    let columns = tile * self.columns..(tile + 1) * self.columns;
                    let errors = (&side.gain[columns.clone()], &side.offset[columns]);
                    let factor = sign << (slice.left + places);
                    clipped += convert(&scratch.partial, errors, slice.ends, factor, &mut scratch.codes);
                }
            }
        };
        let scales = [(1u32 << self.driving.drive.plane_bits) as f32, self.unit];
        self.each_drive(laid, band, drive, |pixel, scratch| {
            let sums = (&scratch.codes[..], &scratch.products[..]);
            saturated += join(&self.adder, sums, scales, (LANES, step), &mut out[first(pixel)..]);
        });
        (clipped, saturated)
    }

    /// Goes through a band pixel by pixel, plane by plane and drive by drive: `drive(scratch, set, places)` for what drives the
    /// RRAM's lines at once, whose codes count 2^places in the plane; then `done(pixel, scratch)`, the end of a plane.
    fn each_drive(
        &self,
        laid: &Laid,
        band: Band,
        mut drive: impl FnMut(&mut Scratch, Set, u32),
        mut done: impl FnMut(usize, &Scratch),
    ) {
        let (driving, width) = (&self.driving, self.driving.patches.width());
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.partial.resize(self.columns, 0.0);
            scratch.codes.resize(self.columns, 0);
            scratch.products.resize(self.columns, 0);
            for (y, x) in (0..band.rows).flat_map(|y| (0..width).map(move |x| (y, x))) {
                if x == 0 {
                    checkpoint();
                }
                for plane in (0..driving.drive.planes).rev() {
                    driving.find(laid, band, (y, x), plane, &mut scratch.driven);
                    scratch.codes.fill(0);
                    scratch.products.fill(0);
                    for (set, places) in driving.sets(plane) {
                        if driving.drives(set) {
                            drive(scratch, set, places);
                        }
                        if let Set::Bit(bit) = set {
                            self.multiply(scratch, bit);
                        }
                    }
                    done(y * width + x, scratch);
                }
            }
        });
    }

    /// What [`Self::each_pixel`] does, for many pixels at once, map after map.
    fn each_many(
        &self,
        laid: &Laid,
        band: Band,
        step: usize,
        first: impl Fn(usize) -> usize,
        out: &mut [f32],
    ) -> (u64, u64) {
        let driving = &self.driving;
        let all = band.maps * band.rows * driving.patches.width();
        let at_once = all.div_ceil(all.div_ceil(PIXELS));
        let scales = [(1u32 << driving.drive.plane_bits) as f32, self.unit];
        let (mut clipped, mut saturated) = (0, 0);
        SCRATCH.with_borrow_mut(|scratch| {
            let planes = |from: usize| (0..driving.drive.planes).rev().map(move |plane| (from, plane));
            for (from, plane) in (0..all).step_by(at_once).flat_map(planes) {
                checkpoint();
                let pixels = from..all.min(from + at_once);
                let sets: Vec<(Set, u32)> = driving.sets(plane).collect();
                scratch.cut.resize_with(sets.len().max(scratch.cut.len()), CutPixels::default);
                for ((set, _), cut) in sets.iter().zip(&mut scratch.cut) {
                    driving.lay_out(laid, (band, pixels.clone()), (plane, *set), cut);
                }
                for (block, here) in lookup::groups(0..self.blocks()) {
                    clipped += self.codes(&sets, (block, here), scratch);
                    let apart = (pixels.len() * LANES, step);
                    for (i, pixel) in pixels.clone().enumerate() {
                        let [codes, products] = [&scratch.codes, &scratch.products].map(|sums| &sums[i * LANES..]);
                        let out = &mut out[first(pixel) + block * step..][..(here - 1) * step + LANES];
                        saturated += join(&self.adder, (codes, products), scales, apart, out);
                    }
                }
            }
        });
        (clipped, saturated)
    }

    /// Codes and products `[here][pixels][16]` of `here` blocks of columns from `first` on, of what is laid out for each set; gives how
    /// many sums were clipped.
    fn codes(&self, sets: &[(Set, u32)], (first, here): (usize, usize), scratch: &mut Scratch) -> u64 {
        let Scratch { codes, products, cut, space, .. } = scratch;
        let size = cut[0].pixels * LANES;
        let mut clipped = 0;
        for sums in [&mut *codes, &mut *products] {
            sums.clear();
            sums.resize(here * size, 0);
        }
        let columns = (first, here, self.blocks());
        for ((set, places), cut) in sets.iter().zip(cut) {
            for slice in self.slices.iter().filter(|_| self.driving.drives(*set)) {
                for ((sign, side), tile) in self.on_tiles(slice) {
                    let Some(tiled) = &side.summed.tiled else { continue };
                    let sums = tiled.sums(cut, tile, columns, space);
                    for (b, codes) in codes.chunks_mut(size).enumerate() {
                        let at = tile * self.columns + (first + b) * LANES;
                        let errors = (&side.gain[at..][..LANES], &side.offset[at..][..LANES]);
                        clipped += convert_all(sums.of(b), errors, slice.ends, sign << (slice.left + places), codes);
                    }
                }
            }
            let companion = self.companion.as_ref().and_then(|companion| companion.tiled.as_ref());
            if let (Set::Bit(bit), Some(tiled)) = (set, companion) {
                for tile in 0..self.driving.partitions {
                    let sums = tiled.sums(cut, tile, columns, space);
                    for (b, products) in products.chunks_mut(size).enumerate() {
                        add_all(sums.of(b), *bit, products);
                    }
                }
            }
        }
        clipped
    }

    /// The partial sums of a tile's columns.
    fn partial(&self, side: &Side, set: Set, tile: usize, scratch: &mut Scratch) {
        let driven = self.driving.of(&scratch.driven, set, tile);
        events::add_rows(driven, &side.summed.weights, &mut scratch.partial, LANES);
    }

    /// Adds the companion array's products with a binary digit of the inputs.
    fn multiply(&self, scratch: &mut Scratch, bit: u32) {
        let Some(Summed { weights, .. }) = &self.companion else { return };
        let Scratch { driven, partial, products, .. } = scratch;
        for tile in 0..self.driving.partitions {
            let driven = self.driving.of(driven, Set::Bit(bit), tile);
            if !driven.places.is_empty() {
                events::add_rows(driven, weights, partial, LANES);
                products.iter_mut().zip(partial.iter()).for_each(|(sum, more)| *sum += (*more as i32) << bit);
            }
        }
    }
}

vectorised! {
    /// Joins codes and products and adds them, times their unit, behind the planes above, which count `base` times as much; `apart` is
    /// from block to block, of the sums and in `out`. Gives how many saturated.
    fn join(
        adder: &Adder,
        partials: (&[i32], &[i32]),
        units: [f32; 2],
        apart: (usize, usize),
        out: &mut [f32],
    ) -> u64 {
        let ((codes, products), [base, unit]) = (partials, units);
        let mut saturated = 0u32;
        let blocks = codes.chunks(apart.0).zip(products.chunks(apart.0));
        for ((codes, products), out) in blocks.zip(out.chunks_mut(apart.1)) {
            let lanes = out[..LANES].iter_mut().zip(&codes[..LANES]).zip(&products[..LANES]);
            for ((out, code), product) in lanes {
                let (total, cut) = adder.total(*code, *product);
                saturated += u32::from(cut);
                *out = *out * base + total as f32 * unit;
            }
        }
        u64::from(saturated)
    }
}

/// Sums below 2^22 to which 1.5·2^23 is added have no room for a fraction: their last bits are the integer, half to even.
const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;

/// What converts 16 columns.
#[derive(Clone, Copy)]
struct Conversion<'a> {
    gain: &'a [f32; LANES],
    offset: &'a [f32; LANES],
    lowest: f32,
    highest: f32,
    /// What a code counts.
    factor: i32,
}

impl Conversion<'_> {
    /// Adds the codes of sums, and counts those that lie beyond the ends: for each lane, since adding lanes up takes longer than all the
    /// rest.
    #[inline(always)]
    fn convert(&self, sums: &[f32; LANES], codes: &mut [i32; LANES], clipped: &mut [u32; LANES]) {
        for lane in 0..LANES {
            let exact = sums[lane] * self.gain[lane] + self.offset[lane];
            clipped[lane] += u32::from(exact < self.lowest - 0.5 || exact > self.highest + 0.5);
            let rounded = exact.clamp(self.lowest, self.highest) + NO_FRACTION;
            codes[lane] += (rounded.to_bits() as i32 - NO_FRACTION.to_bits() as i32) * self.factor;
        }
    }
}

vectorised! {
    /// Converts a pixel's sums on a tile and adds their codes times a factor; gives how many sums lay beyond the ends.
    fn convert(
        sums: &[f32],
        line: (&[f32], &[f32]),
        ends: [f32; 2],
        factor: i32,
        codes: &mut [i32],
    ) -> u64 {
        let ((gain, offset), [lowest, highest]) = (line, ends);
        let mut clipped = [0u32; LANES];
        let errors = gain.as_chunks().0.iter().zip(offset.as_chunks().0);
        let blocks = sums.as_chunks().0.iter().zip(codes.as_chunks_mut().0);
        for ((sums, codes), (gain, offset)) in blocks.zip(errors) {
            Conversion { gain, offset, lowest, highest, factor }.convert(sums, codes, &mut clipped);
        }
        clipped.iter().map(|clipped| u64::from(*clipped)).sum()
    }
}

vectorised! {
    /// Converts many pixels' sums of a block on a tile, as [`convert`] does a pixel's.
    fn convert_all(
        sums: TileSums,
        line: (&[f32], &[f32]),
        ends: [f32; 2],
        factor: i32,
        codes: &mut [i32],
    ) -> u64 {
        let ((gain, offset), [lowest, highest]) = (line, ends);
        let (gain, offset) = (gain.first_chunk().expect("16 lanes"), offset.first_chunk().expect("16 lanes"));
        let conversion = Conversion { gain, offset, lowest, highest, factor };
        by_digits!(sums, convert_digits(conversion, codes))
    }
}

#[inline(always)]
fn convert_digits<const D: usize>(sums: TileSums, conversion: Conversion, codes: &mut [i32]) -> u64 {
    let mut clipped = [0u32; LANES];
    for (pixel, codes) in codes.as_chunks_mut().0.iter_mut().enumerate() {
        let mut exact = [0.0; LANES];
        exact.iter_mut().zip(sums.at::<D>(pixel)).for_each(|(exact, sum)| *exact = sum as f32 * sums.unit);
        conversion.convert(&exact, codes, &mut clipped);
    }
    clipped.iter().map(|clipped| u64::from(*clipped)).sum()
}

vectorised! {
    /// Adds a block's whole sums for many pixels, times 2^`places`.
    fn add_all(sums: TileSums, places: u32, products: &mut [i32]) {
        by_digits!(sums, add_digits(places, products))
    }
}

#[inline(always)]
fn add_digits<const D: usize>(sums: TileSums, places: u32, products: &mut [i32]) {
    for (pixel, products) in products.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let whole = sums.at::<D>(pixel).map(|sum| (sum as f32 * sums.unit) as i32);
        products.iter_mut().zip(whole).for_each(|(product, sum)| *product += sum << places);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Document;
    use crate::crossbar::arrays::Arrays;
    use crate::crossbar::programmed::Programmed;
    use crate::crossbar::reading::Reading;
    use crate::crossbar::sram::Source;
    use crate::device::Draw;
    use crate::forward::patches::Patches;
    use crate::network::code::InputForm;
    use crate::network::pulses::Pulses;
    use crate::network::{Encoding, InputCode, Layer, LayerKind, Model};
    use crate::profile::{Profile, TileInputs};
    use crate::rng::philox4x32;

    /// What a layer behind converters gives for one map of inputs `[channels, rows, columns]`, as it is written down:
    /// `[pixels, columns]`; and how many sums were clipped, and totals saturated.
    fn reference(plan: &LayerPlan, converted: &Converted, map: &[i32]) -> (Vec<f32>, u64, u64) {
        let drive = plan.site.drive;
        let (unrolling, columns) = (plan.unrolling(), plan.columns());
        let (positions, pixels) = (unrolling.window.positions(), unrolling.input.height * unrolling.input.width);
        let [high, wide] = unrolling.output();
        let (mut clipped, mut saturated, mut out) = (0, 0, vec![]);
        for (y, x) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
            let at = |row: usize| -> i32 {
                let (channel, position) = (row / positions, row % positions);
                unrolling.source((y, x), position).map_or(0, |pixel| map[channel * pixels + pixel])
            };
            for column in 0..columns {
                let mut sum = 0.0;
                for plane in (0..drive.planes).rev() {
                    let digits: Vec<i32> = (0..plan.rows()).map(|row| drive.digit(at(row), plane)).collect();
                    let mut codes = 0;
                    let sides = converted.slices.iter().flat_map(|slice| {
                        let reference = slice.reference.iter().map(move |side| (slice, side, -1));
                        std::iter::once((slice, &slice.columns, 1)).chain(reference)
                    });
                    let tiles = sides.flat_map(|side| (0..plan.site.partitions()).map(move |p| (side, p)));
                    for ((slice, side, sign), partition) in tiles {
                        let weights = &side.weights[column * plan.rows()..][..plan.rows()];
                        let first = partition * converted.tile_rows;
                        let rows = first..plan.rows().min(first + converted.tile_rows);
                        let mut convert = |drive: &dyn Fn(i32) -> i32, places: u32| {
                            let driven =
                                rows.clone().map(|row| f64::from(weights[row]) * f64::from(drive(digits[row])));
                            let place = partition * columns + column;
                            let exact = driven.sum::<f64>() as f32 * side.gain[place] + side.offset[place];
                            let code = f64::from(exact).round_ties_even() as i32;
                            let kept = code.clamp(slice.converter.lowest, slice.converter.highest);
                            clipped += u64::from(kept != code);
                            codes += (sign * kept) << (slice.left + places);
                        };
                        match converted.inputs {
                            TileInputs::Pulses => convert(&|n| n, 0),
                            TileInputs::BitPlanes => {
                                (0..drive.bits_of(plane))
                                    .for_each(|bit| convert(&|n| (n.abs() >> bit & 1) * n.signum(), bit));
                            }
                        }
                    }
                    let products = converted.companion.as_ref().map_or(0, |array| {
                        let weights = &array.weights[column * plan.rows()..][..plan.rows()];
                        weights.iter().zip(&digits).map(|(w, n)| w * n).sum()
                    });
                    let (total, cut) = converted.adder.total(codes, products);
                    saturated += u64::from(cut);
                    sum = sum * (1 << drive.plane_bits) as f32 + total as f32 * converted.unit;
                }
                out.push(sum);
            }
        }
        (out, clipped, saturated)
    }

    /// Layer `index` of a model; its inputs are pulses unless they have a code.
    fn layer(input: &str, layers: &str, index: usize) -> Layer {
        let text = format!("name = \"m\"\nsteps = 1\nclasses = 4\ninput = {{channels = {input}}}\nlayers = {layers}");
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap();
        model.layers().swap_remove(index)
    }

    /// The layer on hardware.
    fn planned(layer: &Layer, code: Option<InputCode>, keys: &[&str]) -> LayerPlan {
        let base =
            ["rram.weight_bits=4", "rram.layers=all", "rram.variation.kind=gaussian", "rram.variation.sigma=0.2"];
        let keys: Vec<String> = base.iter().chain(keys).map(|key| key.to_string()).collect();
        LayerPlan::new(&Profile::ideal(&keys).unwrap(), layer.clone(), 5, code)
    }

    fn programmed(plan: &LayerPlan) -> Converted {
        let latent =
            |seed: f32| -> Vec<f32> { (0..plan.site.weights()).map(|i| (i as f32 * 0.7 + seed).sin() * 0.6).collect() };
        let companion = latent(2.0);
        let draw = Some(Draw::chip(3, 1));
        let arrays = Arrays::program(&plan.site, &latent(0.0), Source::Latent(&companion, None), draw, None).unwrap();
        let reading = Reading { converters: &[], draw, steps: 1 };
        Programmed::new(&plan.site, &arrays, reading).unwrap().converted().unwrap().clone()
    }

    /// A map of integers, half of them 0; other ones for every map.
    fn inputs(plan: &Layer, code: Option<InputCode>, map: u32) -> Vec<i32> {
        let largest = code.map_or(plan.largest_pulse, |code| code.largest().min(300_000));
        let one = |i: u32| {
            let [chance, value, sign, _] = philox4x32([9, largest], [i, map, 0, 0]);
            let n = if chance % 2 == 0 { (value % (largest + 1)) as i32 } else { 0 };
            if code.is_some_and(|code| code.signed) && sign % 2 == 0 { -n } else { n }
        };
        (0..plan.input.len() as u32).map(one).collect()
    }

    /// The maps as they are laid out for the layer.
    fn laid(plan: &Layer, patches: &Patches, code: Option<InputCode>, maps: &[Vec<i32>]) -> Laid {
        let (pixels, channels) = (plan.input.height * plan.input.width, plan.input.channels);
        let mut laid = Laid::default();
        if code.is_some() {
            let drive = plan.drive(code);
            let last = || (0..pixels).flat_map(|pixel| (0..channels).map(move |channel| channel * pixels + pixel));
            let planes = maps.iter().flat_map(|map| (0..drive.planes).map(move |plane| (map, plane)));
            let digits = planes.flat_map(|(map, plane)| last().map(move |i| drive.digit(map[i], plane) as i8));
            laid.encoded(patches, &digits.collect::<Vec<_>>(), drive.planes as usize);
            return laid;
        }
        let mut pulses = Pulses::new(maps.len(), pixels, channels, plan.largest_pulse);
        let places = (0..pixels).flat_map(|p| (0..channels.div_ceil(LANES)).map(move |b| (p, b)));
        for ((number, map), (pixel, block)) in
            maps.iter().enumerate().flat_map(|map| places.clone().map(move |place| (map, place)))
        {
            let channel = |lane| Some(block * LANES + lane).filter(|channel| *channel < channels);
            let count = |lane| channel(lane).map_or(0, |channel| map[channel * pixels + pixel] as u16);
            pulses.put(number, pixel, block, &std::array::from_fn(count));
        }
        laid.pulses(patches, &pulses, 0, maps.len());
        laid
    }

    /// Sums `[maps, pixels, columns]` of a convolution's whole maps, made in bands as they are asked for; of a fully connected layer,
    /// all at once.
    fn found(partials: &Partials, plan: &LayerPlan, laid: &Laid, (first, maps): (usize, usize)) -> Vec<f32> {
        let ([height, width], columns) = ([plan.output.height, plan.output.width], plan.columns());
        if plan.kind != LayerKind::Conv {
            let sums = partials.connect(laid);
            let at = |map: usize, column: usize| (column / LANES * laid.maps() + map) * LANES + column % LANES;
            return (first..first + maps)
                .flat_map(|map| (0..columns).map(move |c| (map, c)))
                .map(|(m, c)| sums[at(m, c)])
                .collect();
        }
        let bands = [(0, 1), (1, height - 1)].map(|(y, rows)| {
            let mut sums = vec![0.0; maps * partials.blocks() * rows * width * LANES];
            if rows > 0 {
                partials.sums(laid, Band { map: first, y, rows, maps }, &mut sums);
            }
            (y, rows, sums)
        });
        let places =
            (0..maps).flat_map(|m| (0..height * width).flat_map(move |p| (0..columns).map(move |c| (m, p, c))));
        let sum = |(map, pixel, column): (usize, usize, usize)| {
            let (y, rows, sums) = &bands[usize::from(pixel >= width)];
            let block = map * partials.blocks() + column / LANES;
            sums[(block * rows * width + pixel - y * width) * LANES + column % LANES]
        };
        places.map(sum).collect()
    }

    #[test]
    fn sums_are_those_that_are_written_down() {
        let settings: [&[&str]; 14] = [
            &["adc.bits=7", "rram.model=cell", "rram.cell.g_max_us=50", "rram.cell.bits=1", "tile.rows=11"],
            &["adc.bits=5", "rram.model=cell", "rram.cell.g_max_us=50", "rram.cell.mapping=offset", "tile.cols=3"],
            &[
                "adc.bits=6",
                "rram.model=cell",
                "rram.cell.g_max_us=50",
                "rram.cell.on_off_ratio=10",
                "rram.cell.mapping=offset",
                "rram.cell.bits=2",
                "sram.bits=3",
                "sram.adder_bits=10",
                "adc.offset_sigma=0.4",
                "tile.cols=20",
            ],
            // Enough rows a tile for many pixels to be laid out at once, and more than one tile of them.
            &[
                "adc.bits=6",
                "rram.model=cell",
                "rram.cell.g_max_us=50",
                "rram.cell.mapping=offset",
                "rram.cell.bits=2",
                "sram.bits=3",
                "adc.offset_sigma=0.8",
                "tile.rows=40",
                "tile.cols=20",
            ],
            &["adc.bits=5", "tile.rows=36", "tile.inputs=pulses", "sram.bits=2", "sram.adder_bits=8"],
            &["adc.bits=6"],
            &["adc.bits=4", "tile.rows=7"],
            &["adc.bits=3", "tile.rows=16", "tile.inputs=pulses"],
            &["adc.bits=5", "tile.rows=10", "adc.gain_sigma=0.1", "adc.offset_sigma=0.7"],
            &["adc.bits=3", "tile.rows=1", "adc.offset_sigma=3"],
            &["adc.bits=5", "sram.bits=4", "sram.shift=-2", "sram.adder_bits=9"],
            &["adc.bits=5", "sram.bits=3", "sram.shift=1", "sram.shifter_bits=4", "tile.rows=9", "adc.offset_sigma=1"],
            &[
                "adc.bits=6",
                "sram.bits=4",
                "sram.shift=-3",
                "sram.round=floor",
                "sram.scheme=integer",
                "sram.sum_bits=5",
            ],
            &["adc.bits=6", "sram.bits=2", "sram.scheme=ternary", "tile.inputs=pulses", "sram.adder_bits=7"],
        ];
        let narrow = |bits, signed| {
            Some(InputCode { encoding: Encoding::Frames, form: InputForm::Whole, bits, unit: 1.0, signed })
        };
        let plans = [
            (layer("3, height = 5, width = 4", "[{conv=9}]", 0), Some(Encoding::Poisson.into())),
            (layer("2, height = 3, width = 3", "[{conv=4}]", 0), Some(Encoding::Direct.into())),
            (layer("2, height = 4, width = 5", "[{conv=5}]", 0), narrow(1, false)),
            (layer("2, height = 4, width = 5", "[{conv=5}]", 0), narrow(3, true)),
            // Two digits of the second plane are in use.
            (layer("3, height = 3, width = 3", "[{fc=6}]", 0), narrow(6, true)),
            (layer("2, height = 6, width = 7", "[{conv=17}, {conv=5}]", 1), None),
            (
                layer("2, height = 6, width = 7", "[{conv={channels=17, kernel=5, stride=2}}, {conv=5}]", 0),
                narrow(3, true),
            ),
            (
                layer(
                    "2, height = 6, width = 7",
                    "[{conv=17}, {conv={channels=5, kernel=[2,3], stride=[3,2], dilation=[2,1]}}]",
                    1,
                ),
                None,
            ),
            (layer("3, height = 1, width = 20", "[{conv1d=8}, {conv1d={channels=5, kernel=7, padding=0}}]", 1), None),
            (layer("2, height = 6, width = 7", "[{conv=18}, {pool=2}, {conv=21}]", 1), None),
            // More pixels than are summed at once.
            (layer("2, height = 16, width = 20", "[{conv=18}, {conv=5}]", 1), None),
            (layer("2, height = 40, width = 10", "[{conv=3}, {pool=\"global\"}, {fc=7}]", 1), None),
        ];
        let mut limited = [0, 0];
        for ((plan, code), keys) in plans.iter().flat_map(|plan| settings.iter().map(move |keys| (plan, keys))) {
            let plan = &planned(plan, *code, keys);
            let converted = programmed(plan);
            let maps: Vec<Vec<i32>> = (0..3).map(|map| inputs(plan, *code, map)).collect();
            let expected: Vec<_> = maps.iter().map(|map| reference(plan, &converted, map)).collect();
            let sum = |maps: &[(Vec<f32>, u64, u64)]| {
                let sums: Vec<f32> = maps.iter().flat_map(|(sums, ..)| sums.clone()).collect();
                (sums, (maps.iter().map(|map| map.1).sum::<u64>(), maps.iter().map(|map| map.2).sum::<u64>()))
            };
            for kernel in Kernel::all() {
                let partials = Partials::new(plan, &converted, kernel);
                let laid = laid(plan, &partials.driving.patches, *code, &maps);
                for (first, maps) in [(0, 3), (1, 1)] {
                    let (sums, tally) = sum(&expected[first..first + maps]);
                    let found = found(&partials, plan, &laid, (first, maps));
                    if let Some(i) = (0..sums.len()).find(|i| found[*i] != sums[*i]) {
                        panic!("{} {keys:?}, {kernel:?}: sum {i} is {}, not {}", plan.name, found[i], sums[i]);
                    }
                    // A fully connected layer's sums are always those of all maps.
                    let tally = if plan.kind == LayerKind::Conv { tally } else { sum(&expected).1 };
                    assert_eq!(partials.take_tally(), tally, "{} {keys:?}, {kernel:?}", plan.name);
                    limited = [limited[0] + tally.0, limited[1] + tally.1];
                }
            }
        }
        assert!(limited.iter().all(|n| *n > 0), "some are clipped, some saturate: {limited:?}");
    }
}
