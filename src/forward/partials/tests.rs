//! The sums behind converters against their definition, in every way that they are made.

use std::path::Path;

use super::*;
use crate::config::Document;
use crate::crossbar::arrays::Arrays;
use crate::crossbar::noise::{mix, step_of};
use crate::crossbar::programmed::Programmed;
use crate::crossbar::reading::Reading;
use crate::crossbar::sram::CompanionSource;
use crate::device::Draw;
use crate::forward::laid::Times;
use crate::forward::patches::Patches;
use crate::network::code::InputForm;
use crate::network::pulses::Pulses;
use crate::network::{Encoding, InputCode, Layer, LayerKind, Model};
use crate::profile::{Profile, TileInputs};
use crate::rng::philox4x32;

/// What a layer behind converters gives for one map of inputs `[channels, rows, columns]`, as it is written down:
/// `[pixels, columns]`; and how many sums were clipped, and totals saturated.
fn reference(plan: &LayerPlan, converted: &Converted, map: &[i32], time: (u32, u32)) -> (Vec<f32>, u64, u64) {
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
                // The columns come first of a slice that has unit columns or not.
                let numbers = (0..).step_by(if converted.slices[0].reference.is_some() { 1 } else { 2 });
                let tiles = numbers.zip(sides).flat_map(|side| (0..plan.site.partial_sums()).map(move |p| (side, p)));
                for ((number, (slice, side, sign)), partition) in tiles {
                    let weights = &side.weights[column * plan.rows()..][..plan.rows()];
                    let first = partition * converted.rows_at_once;
                    let rows = first..plan.rows().min(first + converted.rows_at_once);
                    let sum_of = |drive: &dyn Fn(i32) -> i32| {
                        let driven = rows.clone().map(|row| f64::from(weights[row]) * f64::from(drive(digits[row])));
                        driven.sum::<f64>() as f32
                    };
                    let mut convert = |sum: f32, places: u32| {
                        let place = partition * columns + column;
                        let limit = converted.limit.unwrap_or(f32::INFINITY);
                        let held = sum.clamp(-limit, limit);
                        let mut exact = held * side.gain[place] + side.offset[place];
                        if let Some(noise) = &converted.noise {
                            let driven = plane * 16 + places;
                            let number = (driven * 2 * converted.slices.len() as u32 + number)
                                * plan.site.partial_sums() as u32
                                + partition as u32;
                            let moment = mix(step_of(time), (y * wide + x) as u32);
                            let drawn = noise.of(mix(moment, number), (column / LANES) as u32)[column % LANES];
                            let (lowest, highest) = (slice.converter.lowest, slice.converter.highest);
                            let near = f64::from(exact).round_ties_even().clamp(lowest.into(), highest.into());
                            let factor = noise.by_code.get((near as i32 - lowest) as usize);
                            exact += drawn * factor.copied().unwrap_or(1.0);
                        }
                        let code = f64::from(exact).round_ties_even() as i32;
                        let ideal = code.clamp(slice.converter.lowest, slice.converter.highest);
                        clipped += u64::from(ideal != code || held != sum);
                        let kept = side.levels.as_ref().map_or(ideal, |levels| levels.code(place, exact));
                        codes += (sign * kept) << (slice.left + places);
                    };
                    match converted.inputs {
                        TileInputs::Pulses => convert(sum_of(&|n| n), 0),
                        TileInputs::BitPlanes => {
                            (0..drive.bits_of(plane))
                                .for_each(|bit| convert(sum_of(&|n| (n.abs() >> bit & 1) * n.signum()), bit));
                        }
                        TileInputs::Levels => {
                            let digits = (0..drive.bits_of(plane)).zip(converted.level_weights);
                            let sum = digits.fold(0.0f32, |sum, (bit, weight)| {
                                sum + weight * sum_of(&|n| (n.abs() >> bit & 1) * n.signum())
                            });
                            convert(sum, 0);
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
    let base = ["rram.weight_bits=4", "rram.layers=all", "rram.variation.kind=gaussian", "rram.variation.sigma=0.2"];
    let keys: Vec<String> = base.iter().chain(keys).map(|key| key.to_string()).collect();
    LayerPlan::new(&Profile::ideal(&keys).unwrap(), layer.clone(), 5, code)
}

fn programmed(plan: &LayerPlan) -> Converted {
    let latent =
        |seed: f32| -> Vec<f32> { (0..plan.site.weights()).map(|i| (i as f32 * 0.7 + seed).sin() * 0.6).collect() };
    let companion = latent(2.0);
    let draw = Some(Draw::chip(3, 1));
    let arrays =
        Arrays::program(&plan.site, &latent(0.0), CompanionSource::Latent(&companion, None), draw, None).unwrap();
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

/// Sums `[maps, pixels, columns]` of a convolution's whole maps, made in bands as they are asked for; of a fully
/// connected layer, all at once.
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
    let places = (0..maps).flat_map(|m| (0..height * width).flat_map(move |p| (0..columns).map(move |c| (m, p, c))));
    let sum = |(map, pixel, column): (usize, usize, usize)| {
        let (y, rows, sums) = &bands[usize::from(pixel >= width)];
        let block = map * partials.blocks() + column / LANES;
        sums[(block * rows * width + pixel - y * width) * LANES + column % LANES]
    };
    places.map(sum).collect()
}

#[test]
fn sums_are_those_that_are_written_down() {
    let settings: [&[&str]; 24] = [
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
        &["adc.bits=6", "tile.rows=36", "tile.rows_at_once=9", "adc.offset_sigma=0.3"],
        &["adc.bits=5", "adc.type=sar", "adc.capacitor_sigma=0.2", "tile.rows=20", "adc.offset_sigma=0.4"],
        &["adc.bits=4", "adc.type=flash", "adc.comparator_sigma=0.7", "tile.inputs=pulses", "adc.columns_shared=3"],
        &["adc.bits=3", "adc.dnl=[0.5, -0.25, 0.25, 0.25, -0.75, 0.5]", "adc.gain_sigma=0.1", "tile.rows=12"],
        &[
            "adc.bits=7",
            "adc.type=ramp",
            "adc.slope_sigma=0.02",
            "adc.bow=1.5",
            "rram.model=cell",
            "rram.cell.g_max_us=50",
            "rram.cell.mapping=offset",
            "rram.cell.bits=2",
            "sram.bits=3",
            "tile.rows=40",
            "tile.rows_at_once=20",
            "tile.cols=20",
        ],
        &["adc.bits=4", "tile.rows=7"],
        &["adc.bits=5", "tile.rows=20", "adc.noise_sigma=0.8", "tile.inputs=pulses"],
        &["adc.bits=5", "tile.rows=20", "tile.inputs=levels", "tile.level_weights=[0.9, 2.1, 4.3, 7.0]", "sram.bits=3"],
        &[
            "adc.bits=5",
            "adc.noise_sigma=0.5",
            "tile.inputs=levels",
            "tile.level_weights=[1.1, 2.0, 3.7, 8.5]",
            "rram.model=cell",
            "rram.cell.g_max_us=50",
            "rram.cell.mapping=offset",
            "tile.rows=24",
        ],
        &[
            "adc.bits=3",
            "adc.noise_by_code=[0.1, 0.2, 0.4, 0.8, 0.7, 0.5, 0.3, 0.2]",
            "adc.limit_ua=12",
            "rram.model=cell",
            "rram.cell.g_max_us=50",
            "rram.read.volt=0.2",
            "tile.rows=20",
        ],
        &[
            "adc.bits=5",
            "adc.noise_sigma=0.5",
            "adc.type=flash",
            "adc.comparator_sigma=0.3",
            "rram.model=cell",
            "rram.cell.g_max_us=50",
            "rram.cell.mapping=offset",
            "rram.cell.bits=2",
            "sram.bits=3",
            "tile.rows=40",
            "tile.cols=20",
        ],
        &["adc.bits=3", "tile.rows=16", "tile.inputs=pulses"],
        &["adc.bits=5", "tile.rows=10", "adc.gain_sigma=0.1", "adc.offset_sigma=0.7"],
        &["adc.bits=3", "tile.rows=1", "adc.offset_sigma=3"],
        &["adc.bits=5", "sram.bits=4", "sram.shift=-2", "sram.adder_bits=9"],
        &["adc.bits=5", "sram.bits=3", "sram.shift=1", "sram.shifter_bits=4", "tile.rows=9", "adc.offset_sigma=1"],
        &["adc.bits=6", "sram.bits=4", "sram.shift=-3", "sram.round=floor", "sram.scheme=integer", "sram.sum_bits=5"],
        &["adc.bits=6", "sram.bits=2", "sram.scheme=ternary", "tile.inputs=pulses", "sram.adder_bits=7"],
    ];
    let narrow =
        |bits, signed| Some(InputCode { encoding: Encoding::Frames, form: InputForm::Whole, bits, unit: 1.0, signed });
    let plans = [
        (layer("3, height = 5, width = 4", "[{conv=9}]", 0), Some(Encoding::Poisson.into())),
        (layer("2, height = 3, width = 3", "[{conv=4}]", 0), Some(Encoding::Direct.into())),
        // A window of too many bytes to be unrolled, with a stride and without.
        (layer("3, height = 9, width = 10", "[{conv={channels=6, kernel=7, stride=2}}, {conv=5}]", 0), narrow(3, true)),
        (
            layer("4, height = 9, width = 8", "[{conv={channels=6, kernel=5}}, {conv=5}]", 0),
            Some(Encoding::Poisson.into()),
        ),
        (layer("2, height = 4, width = 5", "[{conv=5}]", 0), narrow(1, false)),
        (layer("2, height = 4, width = 5", "[{conv=5}]", 0), narrow(3, true)),
        // Two digits of the second plane are in use.
        (layer("3, height = 3, width = 3", "[{fc=6}]", 0), narrow(6, true)),
        (layer("2, height = 6, width = 7", "[{conv=17}, {conv=5}]", 1), None),
        (layer("2, height = 6, width = 7", "[{conv={channels=17, kernel=5, stride=2}}, {conv=5}]", 0), narrow(3, true)),
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
        // Three steps of an image, from the second on.
        let times = [(9, 1), (9, 2), (9, 3)];
        let expected: Vec<_> =
            maps.iter().zip(times).map(|(map, time)| reference(plan, &converted, map, time)).collect();
        let sum = |maps: &[(Vec<f32>, u64, u64)]| {
            let sums: Vec<f32> = maps.iter().flat_map(|(sums, ..)| sums.clone()).collect();
            (sums, (maps.iter().map(|map| map.1).sum::<u64>(), maps.iter().map(|map| map.2).sum::<u64>()))
        };
        for kernel in Kernel::all() {
            let partials = Partials::new(plan, &converted, kernel);
            let mut laid = laid(plan, &partials.driving.patches, *code, &maps);
            laid.times = Times { images: [9].into(), first: 1 };
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
