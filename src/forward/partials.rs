//! Partial sums and their codes on the CPU: every pixel's active inputs, sorted by tile ([`super::driven`]), summed event by event,
//! converted, and joined with the companion array's products ([`crate::crossbar::converted`]).
//!
//! Sums are exact (weights on a grid, inputs of few digits), and codes are integers: the order in which events or tiles come
//! does not show. A code is `round(clip(x·gain + offset))`, a product and a sum of f32, rounded each: the GPU's bits.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::driven::{Driven, Driving, Set};
use super::events;
use super::laid::Laid;
use super::sums::Band;
use crate::crossbar::adc::Histogram;
use crate::crossbar::converted::{self, Adder, Converted};
use crate::kernels::digits::LANES;
use crate::kernels::vectorised;
use crate::monitor::checkpoint;
use crate::plan::LayerPlan;

/// A layer behind converters, ready to run.
#[derive(Debug)]
pub struct Partials {
    /// How inputs drive lines.
    pub driving: Driving,
    columns: usize,
    slices: Vec<Slice>,
    /// The companion array, `[rows, columns]`.
    companion: Option<Vec<f32>>,
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

/// Columns and their converters.
#[derive(Debug)]
struct Side {
    /// `[rows, columns]`.
    weights: Vec<f32>,
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
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Partials {
    /// The columns of a programmed layer.
    pub fn new(plan: &LayerPlan, converted: &Converted) -> Self {
        let columns = plan.columns().next_multiple_of(LANES);
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
        let side = |side: &converted::Side| Side {
            weights: by_rows(&mut |row, c| side.weights[c * plan.rows() + row]),
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
        let companion = companion.map(|array| by_rows(&mut |row, c| array.weights[c * plan.rows() + row] as f32));
        let tiles = (converted.tile_rows, columns);
        assert!(u32::try_from(plan.rows() * columns).is_ok(), "a model's largest layer is smaller");
        Partials {
            driving: Driving::new(plan, tiles, (converted.inputs, companion.is_some())),
            columns,
            slices: converted.slices.iter().map(slice).collect(),
            companion,
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
        for (map, out) in (band.map..).zip(out.chunks_mut(pixels * self.columns)) {
            let band = Band { map, maps: 1, ..band };
            self.each_pixel(laid, band, pixels * LANES, |pixel| pixel * LANES, out);
        }
    }

    /// Sums `[blocks, maps, 16]` of a fully connected layer, in parallel.
    pub fn connect(&self, laid: &Laid) -> Vec<f32> {
        let maps = laid.maps();
        let mut rows = vec![0.0; maps * self.columns];
        rows.par_chunks_mut(self.columns).enumerate().for_each(|(y, out)| {
            self.each_pixel(laid, Band { map: 0, y, rows: 1, maps: 1 }, LANES, |_| 0, out);
        });
        let mut sums = vec![0.0; maps * self.columns];
        for (map, row) in rows.chunks(self.columns).enumerate() {
            for (block, row) in row.chunks(LANES).enumerate() {
                sums[(block * maps + map) * LANES..][..LANES].copy_from_slice(row);
            }
        }
        sums
    }

    /// Counts every partial sum of a band in its slice's histogram, before it is converted.
    pub fn profile(&self, laid: &Laid, band: Band, columns: usize, histograms: &mut [Histogram]) {
        checkpoint();
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
    /// are `step` apart from `first(pixel)` on.
    fn each_pixel(&self, laid: &Laid, band: Band, step: usize, first: impl Fn(usize) -> usize, out: &mut [f32]) {
        checkpoint();
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
                    let count = (sign, slice.left + places);
                    clipped += convert(&scratch.partial, errors, slice.ends, count, &mut scratch.codes);
                }
            }
        };
        let scales = [(1u32 << self.driving.drive.plane_bits) as f32, self.unit];
        self.each_drive(laid, band, drive, |pixel, scratch| {
            saturated += join(&self.adder, (&scratch.codes, &scratch.products), scales, step, &mut out[first(pixel)..]);
        });
        self.tally.clipped.fetch_add(clipped, Ordering::Relaxed);
        self.tally.saturated.fetch_add(saturated, Ordering::Relaxed);
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

    /// The partial sums of a tile's columns.
    fn partial(&self, side: &Side, set: Set, tile: usize, scratch: &mut Scratch) {
        let driven = self.driving.of(&scratch.driven, set, tile);
        events::add_rows(driven, &side.weights, &mut scratch.partial, LANES);
    }

    /// Adds the companion array's products with a binary digit of the inputs.
    fn multiply(&self, scratch: &mut Scratch, bit: u32) {
        let Some(weights) = &self.companion else { return };
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
    /// Joins codes and products and adds them, times their unit, behind the planes above, which count `base` times as much; blocks are
    /// `step` apart in `out`. Gives how many saturated.
    fn join(
        adder: &Adder,
        partials: (&[i32], &[i32]),
        units: [f32; 2],
        step: usize,
        out: &mut [f32],
    ) -> u64 {
        let ((codes, products), [base, unit]) = (partials, units);
        let mut saturated = 0u32;
        let blocks = codes.as_chunks::<LANES>().0.iter().zip(products.as_chunks::<LANES>().0);
        for ((codes, products), out) in blocks.zip(out.chunks_mut(step)) {
            for ((out, code), product) in out[..LANES].iter_mut().zip(codes).zip(products) {
                let (total, cut) = adder.total(*code, *product);
                saturated += u32::from(cut);
                *out = *out * base + total as f32 * unit;
            }
        }
        u64::from(saturated)
    }
}

vectorised! {
    /// Converts a tile's sums and adds their codes, times a sign and shifted; gives how many sums lay beyond the ends.
    fn convert(
        sums: &[f32],
        line: (&[f32], &[f32]),
        ends: [f32; 2],
        place: (i32, u32),
        codes: &mut [i32],
    ) -> u64 {
        let ((gain, offset), [lowest, highest], (sign, shift)) = (line, ends, place);
        // Below 2^22, adding 1.5·2^23 leaves no room for a fraction: the sum's last bits are the integer, half to even.
        const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;
        let mut clipped = 0u32;
        let columns = sums.iter().zip(gain).zip(offset).zip(codes);
        for (((sum, gain), offset), code) in columns {
            let exact = sum * gain + offset;
            clipped += u32::from(exact < lowest - 0.5 || exact > highest + 0.5);
            let rounded = exact.clamp(lowest, highest) + NO_FRACTION;
            *code += (sign * (rounded.to_bits() as i32 - NO_FRACTION.to_bits() as i32)) << shift;
        }
        u64::from(clipped)
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

    /// A map of integers, half of them 0.
    fn inputs(plan: &Layer, code: Option<InputCode>) -> Vec<i32> {
        let largest = code.map_or(plan.largest_pulse, |code| code.largest().min(300_000));
        let one = |i: u32| {
            let [chance, value, sign, _] = philox4x32([9, largest], [i, 0, 0, 0]);
            let n = if chance % 2 == 0 { (value % (largest + 1)) as i32 } else { 0 };
            if code.is_some_and(|code| code.signed) && sign % 2 == 0 { -n } else { n }
        };
        (0..plan.input.len() as u32).map(one).collect()
    }

    /// The same map as it is laid out for the layer.
    fn laid(plan: &Layer, patches: &Patches, code: Option<InputCode>, map: &[i32]) -> Laid {
        let (pixels, channels) = (plan.input.height * plan.input.width, plan.input.channels);
        let mut laid = Laid::default();
        if code.is_some() {
            let drive = plan.drive(code);
            let last = || (0..pixels).flat_map(|pixel| (0..channels).map(move |channel| channel * pixels + pixel));
            let digits = (0..drive.planes).flat_map(|plane| last().map(move |i| drive.digit(map[i], plane) as i8));
            laid.encoded(patches, &digits.collect::<Vec<_>>(), drive.planes as usize);
            return laid;
        }
        let mut pulses = Pulses::new(1, pixels, channels, plan.largest_pulse);
        for (pixel, block) in (0..pixels).flat_map(|p| (0..channels.div_ceil(LANES)).map(move |b| (p, b))) {
            let channel = |lane| Some(block * LANES + lane).filter(|channel| *channel < channels);
            let count = |lane| channel(lane).map_or(0, |channel| map[channel * pixels + pixel] as u16);
            pulses.put(0, pixel, block, &std::array::from_fn(count));
        }
        laid.pulses(patches, &pulses, 0, 1);
        laid
    }

    #[test]
    fn sums_are_those_that_are_written_down() {
        let settings: [&[&str]; 12] = [
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
            (layer("2, height = 40, width = 10", "[{conv=3}, {pool=\"global\"}, {fc=7}]", 1), None),
        ];
        let mut limited = [0, 0];
        for ((plan, code), keys) in plans.iter().flat_map(|plan| settings.iter().map(move |keys| (plan, keys))) {
            let plan = &planned(plan, *code, keys);
            let converted = programmed(plan);
            let partials = Partials::new(plan, &converted);
            let map = inputs(plan, *code);
            let laid = laid(plan, &partials.driving.patches, *code, &map);
            let pixels = plan.output.height * plan.output.width;
            let found = if plan.kind == LayerKind::Conv {
                let mut sums = vec![0.0; partials.blocks() * pixels * LANES];
                partials.sums(&laid, Band { map: 0, y: 0, rows: plan.output.height, maps: 1 }, &mut sums);
                sums
            } else {
                partials.connect(&laid)
            };
            let (expected, clipped, saturated) = reference(plan, &converted, &map);
            for (i, expected) in expected.iter().enumerate() {
                let (pixel, column) = (i / plan.columns(), i % plan.columns());
                let found = found[(column / LANES * pixels + pixel) * LANES + column % LANES];
                assert_eq!(found, *expected, "{} {keys:?}: pixel {pixel}, column {column}", plan.name);
            }
            assert_eq!(partials.take_tally(), (clipped, saturated), "{} {keys:?}", plan.name);
            limited = [limited[0] + clipped, limited[1] + saturated];
        }
        assert!(limited.iter().all(|n| *n > 0), "some are clipped, some saturate: {limited:?}");
    }
}
