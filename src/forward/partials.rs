//! Partial sums and their codes on the CPU: every pixel's active inputs, sorted by tile ([`super::driven`]), summed
//! event by event, converted, and joined with the companion array's products ([`crate::crossbar::converted`]). Where
//! many inputs are active, the sums of many pixels are made at once ([`super::tiled`]).
//!
//! Sums are exact (weights on a grid, inputs of few digits), and codes are integers ([`super::conversion`]): the order
//! in which events or tiles come does not show.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::code_table::CodeTables;
use super::conversion::{BlockNoise, Converters, add_all, add_weighted, convert, convert_all, convert_sums, join};
use super::cut::CutPixels;
use super::driven::{Driven, Driving, Set};
use super::events;
use super::laid::{Band, Laid};
use super::tiled::{TileSpace, Tiled};
use super::ways::Kernel;
use crate::crossbar::adc::Histogram;
use crate::crossbar::converted::{self, Adder, Converted, Macro};
use crate::crossbar::noise::{Noise, mix, step_of};
use crate::crossbar::transitions::Levels;
use crate::kernels::digits::LANES;
use crate::kernels::lookup;
use crate::monitor::stop_if_asked;
use crate::plan::LayerPlan;
use crate::profile::LEVEL_BITS;

/// A layer behind converters, ready to run.
#[derive(Debug)]
pub struct Partials {
    /// How inputs drive lines.
    pub driving: Driving,
    columns: usize,
    slices: Vec<ConvertedSlice>,
    /// The companion array.
    companion: Option<Summed>,
    kernel: Kernel,
    /// Pixels whose sums are made at once, at most.
    pixels: usize,
    adder: Adder,
    unit: f32,
    /// The noise that every conversion adds to its sum; none without noise.
    noise: Option<Noise>,
    /// The magnitude that sums are held to before they are converted; none: any.
    limit: Option<f32>,
    /// The share of each binary digit of levels in a sum.
    level_weights: [f32; LEVEL_BITS],
    /// Whether maps are rows of a fully connected layer's inputs.
    is_connected: bool,
    tally: ClipCounts,
}

/// One slice, columns in whole blocks.
#[derive(Debug)]
struct ConvertedSlice {
    columns: ConvertedColumns,
    /// What is subtracted.
    reference: Option<ConvertedColumns>,
    ends: [f32; 2],
    left: u32,
    /// The factors by which converters scale each column's sums; none: 1.
    gains: Vec<f32>,
}

/// Weights, ready to be summed.
#[derive(Debug)]
struct Summed {
    /// `[rows, columns]`, for events.
    weights: Vec<f32>,
    /// The weights cut at tiles, for many pixels at once, where that may be faster.
    tiled: Option<Tiled>,
}

/// Columns and their converters.
#[derive(Debug)]
struct ConvertedColumns {
    summed: Summed,
    /// `[partial sums, columns]`: codes a unit.
    gain: Vec<f32>,
    /// The offset in codes, likewise.
    offset: Vec<f32>,
    /// The codes of bent converters, with the places of whole blocks.
    table: Option<CodeTables>,
    /// Whether a column without events has a code other than 0.
    idles: bool,
}

impl ConvertedSlice {
    /// Both sides, with the sign of their codes.
    fn sides(&self) -> impl Iterator<Item = (i32, &ConvertedColumns)> {
        std::iter::once((1, &self.columns)).chain(self.reference.as_ref().map(|side| (-1, side)))
    }
}

/// All arrays whose columns are summed.
fn arrays<'a>(slices: &'a [ConvertedSlice], companion: &'a Option<Summed>) -> impl Iterator<Item = &'a Summed> {
    slices.iter().flat_map(ConvertedSlice::sides).map(|(_, side)| &side.summed).chain(companion)
}

/// What happened at the ends of ranges.
#[derive(Debug, Default)]
struct ClipCounts {
    clipped: AtomicU64,
    saturated: AtomicU64,
}

/// Work space of a thread.
#[derive(Debug, Default)]
struct PartialScratch {
    driven: Driven,
    partial: Vec<f32>,
    /// The sums of one digit of levels.
    of_digit: Vec<f32>,
    /// Sums of levels for many pixels, `[blocks][pixels][16]`.
    of_levels: Vec<f32>,
    codes: Vec<i32>,
    products: Vec<i32>,
    /// What drives many pixels, for each set.
    cut: Vec<CutPixels>,
    space: TileSpace,
    /// The hash of each pixel's image, step and place, where conversions are noisy.
    moments: Vec<u32>,
}

/// Where the sums of pixels go.
#[derive(Clone, Copy)]
struct SumPlaces {
    /// Places from map to map.
    map: usize,
    /// Places from pixel to pixel.
    pixel: usize,
    /// Places from block to block.
    block: usize,
}

/// Binary digits that a plane of inputs has, at most.
const MOST_DIGITS: u32 = 16;
/// Pixels whose sums are made at once, at most: from tables, which many pixels have to share, and by products, whose
/// sums and codes stay nearer to the processor the fewer they are.
const PIXELS: usize = 256;
const PIXELS_OF_PRODUCTS: usize = 128;

thread_local! {
    static SCRATCH: RefCell<PartialScratch> = RefCell::default();
}

/// Rows of so many values with others behind them, to whole blocks.
fn padded<T: Copy>(values: &[T], row: usize, (whole, behind): (usize, T)) -> Vec<T> {
    let mut padded = vec![behind; values.len() / row * whole];
    let rows = padded.chunks_mut(whole).zip(values.chunks(row));
    rows.for_each(|(padded, values)| padded[..values.len()].copy_from_slice(values));
    padded
}

impl Partials {
    /// The columns of a programmed layer.
    pub fn new(plan: &LayerPlan, converted: &Converted, kernel: Kernel) -> Self {
        let columns = plan.columns().next_multiple_of(LANES);
        assert!(u32::try_from(plan.rows() * columns).is_ok(), "a model's largest layer is smaller");
        let driving =
            Driving::new(plan, (converted.rows_at_once, columns), (converted.inputs, converted.companion.is_some()));
        let by_rows = |weights: &mut dyn FnMut(usize, usize) -> f32| {
            let mut turned = vec![0.0; plan.rows() * columns];
            for (row, turned) in turned.chunks_mut(columns).enumerate() {
                turned[..plan.columns()].iter_mut().enumerate().for_each(|(c, w)| *w = weights(row, c));
            }
            turned
        };
        let summed = |weights: Vec<f32>, grid: i32| {
            let tiled = Tiled::new(&driving, &weights, columns, grid, kernel);
            Summed { weights, tiled }
        };
        let side = |side: &converted::Side| ConvertedColumns {
            summed: summed(by_rows(&mut |row, c| side.weights[c * plan.rows() + row]), side.grid),
            gain: padded(&side.gain, plan.columns(), (columns, 0.0)),
            offset: padded(&side.offset, plan.columns(), (columns, 0.0)),
            idles: converted.noise.is_some()
                || side.offset.iter().enumerate().any(|(place, offset)| match &side.levels {
                    Some(levels) => levels.code(place, *offset) != 0,
                    None => offset.abs() >= 0.5,
                }),
            table: side.levels.clone().map(|levels| {
                let begins = padded(&levels.begins, plan.columns(), (columns, levels.ideal));
                CodeTables::new(&Levels { begins, ..levels })
            }),
        };
        let slice = |slice: &converted::Slice| ConvertedSlice {
            columns: side(&slice.columns),
            reference: slice.reference.as_ref().map(side),
            ends: [slice.converter.lowest as f32, slice.converter.highest as f32],
            left: slice.left,
            gains: slice.gains.iter().map(|gain| *gain as f32).collect(),
        };
        let companion = converted.companion.as_ref();
        let integer = |of: &Macro, row, c: usize| of.weights[c * plan.rows() + row] as f32;
        let companion = companion.map(|of| summed(by_rows(&mut |row, c| integer(of, row, c)), 0));
        let slices: Vec<ConvertedSlice> = converted.slices.iter().map(slice).collect();
        let looks_up = |summed: &Summed| summed.tiled.as_ref().is_some_and(Tiled::looks_up);
        let pixels = if arrays(&slices, &companion).any(looks_up) { PIXELS } else { PIXELS_OF_PRODUCTS };
        Partials {
            slices,
            driving,
            columns,
            companion,
            kernel,
            pixels,
            adder: converted.adder,
            unit: converted.unit,
            noise: converted.noise.clone(),
            limit: converted.limit,
            level_weights: converted.level_weights,
            is_connected: !plan.convolves(),
            tally: ClipCounts::default(),
        }
    }

    /// The converters at some places of a slice's side, whose codes count `factor`.
    fn converters<'a>(
        &'a self,
        slice: &ConvertedSlice,
        side: &'a ConvertedColumns,
        places: Range<usize>,
        factor: i32,
    ) -> Converters<'a> {
        let table = side.table.as_ref().map(|table| table.columns(places.clone()));
        let by_code = self.noise.as_ref().map_or(&[][..], |noise| &noise.by_code);
        let (gain, offset) = (&side.gain[places.clone()], &side.offset[places]);
        Converters { gain, offset, table, ends: slice.ends, factor, limit: self.limit, by_code }
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        self.columns / LANES
    }

    /// Steps that give other sums of the same inputs; 1 where none does.
    pub fn steps(&self) -> usize {
        self.noise.as_ref().map_or(1, |noise| noise.steps)
    }

    /// Adds the hashes of what noise is drawn by before a conversion of some pixels of a row of a map; of a fully
    /// connected layer, of a row of its inputs.
    fn moments(&self, laid: &Laid, map: usize, (y, x): (usize, Range<usize>), moments: &mut Vec<u32>) {
        let (map, first) = if self.is_connected { (y, 0) } else { (map, y * self.driving.patches.width() + x.start) };
        let of_map = step_of(laid.time(map));
        moments.extend((first..first + x.len()).map(|pixel| mix(of_map, pixel as u32)));
    }

    /// The number of a conversion of a pixel: of what drives lines in a plane, of a slice's side, on a tile.
    fn conversion(&self, (plane, set): (u32, Set), slice: usize, sign: i32, tile: usize) -> u32 {
        let digit = if let Set::Bit(bit) = set { bit } else { 0 };
        let driven = plane * MOST_DIGITS + digit;
        let side = (driven as usize * self.slices.len() + slice) * 2 + usize::from(sign < 0);
        (side * self.driving.partitions + tile) as u32
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
        let standing = SumPlaces { map: self.columns * pixels, pixel: LANES, block: pixels * LANES };
        self.each(laid, band, laid.active(band.map..band.map + band.maps), standing, out);
    }

    /// Sums `[blocks, maps, 16]` of a fully connected layer, in parallel.
    pub fn connect(&self, laid: &Laid) -> Vec<f32> {
        let maps = laid.maps();
        let mut rows = vec![0.0; maps * self.columns];
        // Every thread has some maps, and no more are taken at once than is good for its caches.
        let at_once = maps.div_ceil(rayon::current_num_threads()).clamp(1, PIXELS_OF_PRODUCTS);
        rows.par_chunks_mut(at_once * self.columns).enumerate().for_each(|(i, out)| {
            let (y, rows) = (i * at_once, out.len() / self.columns);
            let band = Band { map: 0, y, rows, maps: 1 };
            let standing = SumPlaces { map: 0, pixel: self.columns, block: LANES };
            self.each(laid, band, laid.active(y..y + rows), standing, out);
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
        (self.pixels / (rows * self.driving.patches.width())).max(1)
    }

    /// Adds what the pixels of a band give to `out`, where their sums stand as it says. The rate is the share of what
    /// drives in the band's maps, or in a fully connected layer's rows. Many pixels are summed at once where that is
    /// faster.
    fn each(&self, laid: &Laid, band: Band, rate: f32, standing: SumPlaces, out: &mut [f32]) {
        let pixels = band.rows * self.driving.patches.width();
        let is_forced = matches!(self.kernel, Kernel::Dense(_) | Kernel::LookUp);
        let is_better = |tiled: &Tiled| is_forced || tiled.is_better(pixels * band.maps, rate);
        let (clipped, saturated) =
            if arrays(&self.slices, &self.companion).all(|array| array.tiled.as_ref().is_some_and(is_better)) {
                self.each_many(laid, band, standing, out)
            } else {
                let mut tally = (0, 0);
                for map in 0..band.maps {
                    let band = Band { map: band.map + map, maps: 1, ..band };
                    let more = self.each_pixel(laid, band, standing, &mut out[map * standing.map..]);
                    tally = (tally.0 + more.0, tally.1 + more.1);
                }
                tally
            };
        self.tally.clipped.fetch_add(clipped, Ordering::Relaxed);
        self.tally.saturated.fetch_add(saturated, Ordering::Relaxed);
    }

    /// Counts every partial sum of a band in its slice's histogram, as its converter scales it, before it is converted.
    pub fn profile(&self, laid: &Laid, band: Band, columns: usize, histograms: &mut [Histogram]) {
        let count = |scratch: &mut PartialScratch, plane, set, _| {
            for (slice, histogram) in self.slices.iter().zip(&mut *histograms) {
                for ((_, side), tile) in self.on_tiles(slice) {
                    self.partial(side, (plane, set), tile, scratch);
                    let limit = self.limit.unwrap_or(f32::INFINITY);
                    let held = scratch.partial[..columns].iter().map(|sum| sum.clamp(-limit, limit));
                    if slice.gains.is_empty() {
                        held.for_each(|sum| histogram.add(sum));
                    } else {
                        held.zip(&slice.gains).for_each(|(sum, gain)| histogram.add(sum * gain));
                    }
                }
            }
        };
        self.each_drive(laid, band, count, |_, _| {});
    }

    /// Gives how often a plane counts the one below, and the unit of a total.
    fn units(&self) -> [f32; 2] {
        [(1u32 << self.driving.drive.plane_bits) as f32, self.unit]
    }

    /// A slice's sides, each on every tile.
    fn on_tiles<'s>(
        &self,
        slice: &'s ConvertedSlice,
    ) -> impl Iterator<Item = ((i32, &'s ConvertedColumns), usize)> + use<'s> {
        let tiles = self.driving.partitions;
        slice.sides().flat_map(move |side| (0..tiles).map(move |tile| (side, tile)))
    }

    /// Every pixel of a map's band, plane by plane from the most significant: codes and products, joined and added to
    /// `out`. Gives how many sums were clipped and totals saturated.
    fn each_pixel(&self, laid: &Laid, band: Band, standing: SumPlaces, out: &mut [f32]) -> (u64, u64) {
        let (mut clipped, mut saturated) = (0, 0);
        let drive = |scratch: &mut PartialScratch, plane, set, places: u32| {
            for (s, slice) in self.slices.iter().enumerate() {
                for ((sign, side), tile) in self.on_tiles(slice) {
                    let mut parts = self.driving.parts(set, plane);
                    if parts.all(|set| self.driving.of(&scratch.driven, set, tile).places.is_empty()) && !side.idles {
                        continue;
                    }
                    self.partial(side, (plane, set), tile, scratch);
                    let columns = tile * self.columns..(tile + 1) * self.columns;
                    let converters = self.converters(slice, side, columns, sign << (slice.left + places));
                    let noise = self
                        .noise
                        .as_ref()
                        .map(|noise| (noise, mix(scratch.moments[0], self.conversion((plane, set), s, sign, tile))));
                    clipped += convert(&scratch.partial, converters, noise, &mut scratch.codes);
                }
            }
        };
        let places: Vec<usize> = (0..self.blocks()).map(|block| block * standing.block).collect();
        self.each_drive(laid, band, drive, |pixel, scratch| {
            let sums = (&scratch.codes[..], &scratch.products[..]);
            saturated += join(&self.adder, sums, self.units(), &places, &mut out[pixel * standing.pixel..]);
        });
        (clipped, saturated)
    }

    /// Goes through a band pixel by pixel, plane by plane and drive by drive: `drive(scratch, plane, set, places)` for
    /// what drives the RRAM's lines at once, whose codes count 2^places in the plane; then `done(pixel, scratch)`, the
    /// end of a plane.
    fn each_drive(
        &self,
        laid: &Laid,
        band: Band,
        mut drive: impl FnMut(&mut PartialScratch, u32, Set, u32),
        mut done: impl FnMut(usize, &PartialScratch),
    ) {
        let (driving, width) = (&self.driving, self.driving.patches.width());
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.partial.resize(self.columns, 0.0);
            scratch.of_digit.resize(self.columns, 0.0);
            scratch.codes.resize(self.columns, 0);
            scratch.products.resize(self.columns, 0);
            for (y, x) in (0..band.rows).flat_map(|y| (0..width).map(move |x| (y, x))) {
                if x == 0 {
                    stop_if_asked();
                }
                if self.noise.is_some() {
                    scratch.moments.clear();
                    self.moments(laid, band.map, (band.y + y, x..x + 1), &mut scratch.moments);
                }
                for plane in (0..driving.drive.planes).rev() {
                    driving.find(laid, band, (y, x), plane, &mut scratch.driven);
                    scratch.codes.fill(0);
                    scratch.products.fill(0);
                    for (set, places) in driving.sets(plane) {
                        if driving.drives(set) {
                            drive(scratch, plane, set, places);
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
    fn each_many(&self, laid: &Laid, band: Band, standing: SumPlaces, out: &mut [f32]) -> (u64, u64) {
        let driving = &self.driving;
        let of_map = band.rows * driving.patches.width();
        let all = band.maps * of_map;
        let at_once = all.div_ceil(all.div_ceil(self.pixels));
        let (mut clipped, mut saturated) = (0, 0);
        SCRATCH.with_borrow_mut(|scratch| {
            let planes = |from: usize| (0..driving.drive.planes).rev().map(move |plane| (from, plane));
            for (from, plane) in (0..all).step_by(at_once).flat_map(planes) {
                stop_if_asked();
                let pixels = from..all.min(from + at_once);
                let sets: Vec<(Set, u32)> = driving.sets(plane).collect();
                scratch.cut.resize_with(sets.len().max(scratch.cut.len()), CutPixels::default);
                let laid_out = sets.iter().zip(&mut scratch.cut).filter(|((set, _), _)| !matches!(set, Set::Levels));
                for ((set, _), cut) in laid_out {
                    driving.lay_out(laid, (band, pixels.clone()), (plane, *set), cut);
                }
                let place = |pixel: usize| pixel / of_map * standing.map + pixel % of_map * standing.pixel;
                let places: Vec<usize> = pixels.clone().map(place).collect();
                if self.noise.is_some() {
                    let width = driving.patches.width();
                    scratch.moments.clear();
                    let mut pixel = pixels.start;
                    while pixel < pixels.end {
                        // A row, or what of it is here.
                        let (y, x) = (band.y + pixel % of_map / width, pixel % width);
                        let here = (width - x).min(pixels.end - pixel);
                        self.moments(laid, band.map + pixel / of_map, (y, x..x + here), &mut scratch.moments);
                        pixel += here;
                    }
                }
                let size = places.len() * LANES;
                for (block, here) in lookup::groups(0..self.blocks()) {
                    clipped += self.codes((plane, &sets), (block, here), scratch);
                    let blocks = scratch.codes.chunks(size).zip(scratch.products.chunks(size));
                    for (b, sums) in (block..).zip(blocks) {
                        saturated += join(&self.adder, sums, self.units(), &places, &mut out[b * standing.block..]);
                    }
                }
            }
        });
        (clipped, saturated)
    }

    /// Codes and products `[here][pixels][16]` of `here` blocks of columns from `first` on, of what is laid out for
    /// each set; gives how many sums were clipped.
    fn codes(
        &self,
        (plane, sets): (u32, &[(Set, u32)]),
        (first, here): (usize, usize),
        scratch: &mut PartialScratch,
    ) -> u64 {
        let PartialScratch { codes, products, cut, space, moments, of_levels, .. } = scratch;
        let size = cut[0].pixels * LANES;
        let mut clipped = 0;
        for sums in [&mut *codes, &mut *products] {
            sums.clear();
            sums.resize(here * size, 0);
        }
        let columns = (first, here, self.blocks());
        for (at, (set, places)) in sets.iter().enumerate() {
            for (s, slice) in self.slices.iter().enumerate().filter(|_| self.driving.drives(*set)) {
                for ((sign, side), tile) in self.on_tiles(slice) {
                    let Some(tiled) = &side.summed.tiled else { continue };
                    if let Set::Levels = set {
                        of_levels.clear();
                        of_levels.resize(here * size, 0.0);
                        for (digit, weight) in cut[..at].iter_mut().zip(self.level_weights) {
                            let sums = tiled.sums(digit, tile, columns, space);
                            let blocks = of_levels.chunks_mut(size).enumerate();
                            blocks.for_each(|(b, into)| add_weighted(sums.of(b), weight, into));
                        }
                    }
                    let sums = tiled.sums(&mut cut[if let Set::Levels = set { 0 } else { at }], tile, columns, space);
                    for (b, codes) in codes.chunks_mut(size).enumerate() {
                        let at = tile * self.columns + (first + b) * LANES;
                        let converters = self.converters(slice, side, at..at + LANES, sign << (slice.left + places));
                        let noise = self.noise.as_ref().map(|noise| BlockNoise {
                            noise,
                            moments,
                            conversion: self.conversion((plane, *set), s, sign, tile),
                            block: (first + b) as u32,
                        });
                        clipped += match set {
                            Set::Levels => convert_sums(&of_levels[b * size..][..size], converters, noise, codes),
                            _ => convert_all(sums.of(b), converters, noise, codes),
                        };
                    }
                }
            }
            let companion = self.companion.as_ref().and_then(|companion| companion.tiled.as_ref());
            if let (Set::Bit(bit), Some(tiled)) = (set, companion) {
                for tile in 0..self.driving.partitions {
                    let sums = tiled.sums(&mut cut[at], tile, columns, space);
                    for (b, products) in products.chunks_mut(size).enumerate() {
                        add_all(sums.of(b), *bit, products);
                    }
                }
            }
        }
        clipped
    }

    /// The partial sums of a tile's columns in a plane.
    fn partial(&self, side: &ConvertedColumns, (plane, set): (u32, Set), tile: usize, scratch: &mut PartialScratch) {
        let PartialScratch { driven, partial, of_digit, .. } = scratch;
        let weights = &side.summed.weights;
        if !matches!(set, Set::Levels) {
            return events::add_rows(self.driving.of(driven, set, tile), weights, partial, LANES);
        }
        partial.fill(0.0);
        for (digit, weight) in self.driving.parts(set, plane).zip(self.level_weights) {
            events::add_rows(self.driving.of(driven, digit, tile), weights, of_digit, LANES);
            partial.iter_mut().zip(&*of_digit).for_each(|(sum, more)| *sum += weight * more);
        }
    }

    /// Adds the companion array's products with a binary digit of the inputs.
    fn multiply(&self, scratch: &mut PartialScratch, bit: u32) {
        let Some(Summed { weights, .. }) = &self.companion else { return };
        let PartialScratch { driven, partial, products, .. } = scratch;
        for tile in 0..self.driving.partitions {
            let driven = self.driving.of(driven, Set::Bit(bit), tile);
            if !driven.places.is_empty() {
                events::add_rows(driven, weights, partial, LANES);
                products.iter_mut().zip(partial.iter()).for_each(|(sum, more)| *sum += (*more as i32) << bit);
            }
        }
    }
}

#[cfg(test)]
mod tests;
