//! The GPU engine is the CPU engine: the same draws, spikes, sums, logits and counts, whatever the device's limits.
//!
//! Equality is exact. Where a device flushes denormal numbers a spike might differ if |u/θ − 1| < 1e-5; no model here
//! comes near that, so such a device passes too.

use std::path::Path;
use std::sync::Mutex;

use crate::common::{meets_the_goldens, profile};
use crosspike::chip::{Blueprint, Chip, ProgrammedLayer};
use crosspike::config::Document;
use crosspike::data::{Dataset, Recorded, Split};
use crosspike::engine::calibrate::with_ranges;
use crosspike::engine::chip_result::ChipResult;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::{Evaluation, read_batch};
use crosspike::engine::fallback::WithFallback;
use crosspike::engine::gpu::{AdapterKind, GpuEngine, explicit_choice};
use crosspike::engine::{Engine, Keep, Outcome};
use crosspike::error::Error;
use crosspike::network::code::{InputCode, InputForm, digit};
use crosspike::network::graph::Work;
use crosspike::network::neuron::{Fires, ResetAt};
use crosspike::network::{Batch, Encoder, Encoding, Inputs, Model, Network};
use crosspike::nir::discrete::Discretisation;
use crosspike::nir::import::import;
use crosspike::nir::options::{NirOptions, Reset};
use crosspike::profile::Profile;
use crosspike::rng::{KNOWN_ANSWERS, Stream, Substream, stream_key};
use ndarray_rand::rand::RngCore;

/// The engine on this machine's best adapter.
fn gpu() -> GpuEngine {
    GpuEngine::new(&explicit_choice().unwrap()).unwrap()
}

/// The engine with the kernels of a graphics card, and with those of a driver that computes on the processor: the ones
/// as the adapter has them, the others of shaders made for any layer, which are few.
fn both() -> [GpuEngine; 2] {
    let is_software = explicit_choice().unwrap().kind == AdapterKind::Software;
    let others = gpu().posing_as_card(is_software, false);
    if is_software { [others, gpu()] } else { [gpu(), others] }
}

/// The tests.
pub const TESTS: &[crate::Test] = &crate::tests![
    philox_gives_the_known_answers,
    the_gpu_meets_every_golden_evaluation,
    poisson_spikes_are_the_cpus,
    the_sums_of_every_layer_are_the_cpus_on_every_chip,
    chips_in_one_load_do_what_each_does_alone,
    behind_converters_every_chip_does_what_it_does_on_the_cpu,
    a_series_of_more_chips_than_a_load_takes_is_the_cpus,
    every_effect_at_once_is_the_cpus,
    an_input_without_a_pulse_is_the_cpus,
    golden_networks_do_what_they_do_on_the_cpu,
    imported_networks_do_what_they_do_on_the_cpu,
    logits_and_counts_are_the_cpus,
    small_limits_split_the_work_and_change_nothing,
    kernels_are_timed_by_the_adapters_clock,
    logits_after_every_step_and_events_of_every_image_are_the_cpus,
    what_cannot_be_split_is_refused_by_name,
    dearer_layers_leave_less_together,
    a_lost_device_is_an_error,
    behind_a_lost_device_the_cpu_goes_on
];

/// Why there is none.
pub fn missing() -> Option<String> {
    explicit_choice().err().map(|error| error.to_string())
}

fn random(seed: u64) -> Substream {
    Substream::new(stream_key(seed, Stream::Init, 99), [0; 3])
}

/// Uniform in -1 to 1.
fn uniform(random: &mut Substream) -> f32 {
    (random.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0
}

fn model(input: &str, steps: usize, layers: &str) -> Model {
    let text = format!(
        "name = \"m\"\nsteps = {steps}\nclasses = 5\ninput = {{ channels = {input} }}\nneuron = {{ leak = 0.9, \
         threshold = 0.7 }}\nlayers = {layers}"
    );
    Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap()
}

/// Models of all kinds of layers, with sizes that fill no block.
fn models() -> Vec<Model> {
    vec![
        model("2, height = 13, width = 12", 4, "[{conv=9}, {pool=2}, {conv=17}, {pool=\"global\"}, {fc=32}]"),
        model("3, height = 7, width = 5", 6, "[{conv=8}, {conv=12}, {pool=3}, {fc=10}, {fc=21}]"),
        model("1, height = 3, width = 3", 3, "[{fc=19}]"),
        model("5, height = 1, width = 4", 5, "[{fc=8}, {fc=30}, {fc=7}]"),
        model("1, height = 1, width = 9", 2, "[{conv=3}, {pool=1}, {conv=5}]"),
        // Windows that do not fill the map, and sums above what a byte holds.
        model("1, height = 21, width = 17", 4, "[{conv=6}, {pool=2}, {conv=70}, {conv=33}, {pool=\"global\"}]"),
        model("1, height = 20, width = 33", 3, "[{conv=5}, {pool=\"global\"}, {fc=9}]"),
        // Windows of all kinds: wide, of even width, with holes, over every second pixel, of a single one, along
        // columns alone.
        model(
            "2, height = 15, width = 12",
            3,
            "[{conv={channels=9, kernel=5, stride=2}}, {conv={channels=7, kernel=[2,3], padding=[0,1]}}, {pool=2}, \
              {conv={channels=20, kernel=1, stride=2}}, {fc=9}]",
        ),
        model(
            "4, height = 11, width = 9",
            3,
            "[{conv={channels=6, dilation=2}}, {conv={channels=18, kernel=[3,2], stride=[3,2], dilation=[2,1]}}, \
              {conv={channels=5, kernel=1}}]",
        ),
        model("12, height = 1, width = 40", 4, "[{conv1d={channels=8, kernel=7, stride=3}}, {conv1d=9}, {fc=9}]"),
        // Pools in front of neurons and behind the same ones.
        model(
            "2, height = 13, width = 12",
            3,
            "[{conv=9, pool_current={window=2, kind=\"max\"}}, {pool=3}, {conv=7, pool_current=2}, {fc=10}]",
        ),
    ]
}

/// A chip with varied cells and norms away from their identity.
fn chip(model: &Model, code: impl Into<InputCode>, seed: u64) -> Chip {
    chip_with(&[], model, code, seed)
}

/// The same with further keys of the profile.
fn chip_with(keys: &[&str], model: &Model, code: impl Into<InputCode>, seed: u64) -> Chip {
    let mut random = random(seed);
    let mut network = Network::xavier(model, seed);
    for norm in network.layers.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
        for i in 0..norm.gamma.len() {
            norm.gamma[i] = 1.0 + 0.3 * uniform(&mut random);
            norm.mean[i] = 0.3 * uniform(&mut random);
            norm.var[i] = 1.0 + 0.8 * uniform(&mut random);
        }
    }
    let varied = ["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.3"];
    let profile = profile(&[&varied[..], keys].concat());
    Chip::program(&Blueprint::new(&profile, model, &network, code, seed).unwrap(), seed).unwrap()
}

/// Inputs of every kind: as wide as they can be, whole numbers of one digit and of three, and codes of a converter
/// whose digits do not fill their planes.
fn codes() -> [InputCode; 6] {
    let frames =
        |bits| InputCode { encoding: Encoding::Frames, form: InputForm::Whole, bits, unit: 1.0, signed: false };
    let converted =
        InputCode { encoding: Encoding::Direct, form: InputForm::Converted, bits: 6, unit: 2.0 / 63.0, signed: true };
    let [poisson, direct, wide] = [Encoding::Poisson, Encoding::Direct, Encoding::Frames].map(InputCode::from);
    [poisson, direct, wide, frames(1), frames(3), converted]
}

fn batch(model: &Model, code: impl Into<InputCode>, images: usize, seed: u64) -> Batch {
    let (mut random, code) = (random(seed), code.into());
    let steps = if code.encoding == Encoding::Frames { model.steps } else { 1 };
    let mut value = || match 2.0 * uniform(&mut random) {
        x if code.unit == 1.0 && code.encoding == Encoding::Frames => {
            (x.abs() / 2.0 * (code.largest() as f32 + 0.99)).floor()
        }
        x => x,
    };
    let values = (0..images * steps * model.input.len()).map(|_| value()).collect();
    Batch { values, indices: (0..images as u32).map(|i| 7 * i + 3).collect() }
}

fn run(engine: &dyn Engine, chip: &Chip, encoder: &Encoder, batch: &Batch) -> Outcome {
    let inputs = Inputs::new(*encoder, batch.clone(), chip.steps);
    engine.load(std::slice::from_ref(chip)).unwrap().run(&inputs).unwrap().remove(0)
}

fn philox_gives_the_known_answers() {
    let gpu = gpu();
    let words = gpu.philox(&KNOWN_ANSWERS.map(|(counter, key, _)| (counter, key))).unwrap();
    assert_eq!(words, KNOWN_ANSWERS.map(|(.., expected)| expected));
}

fn the_gpu_meets_every_golden_evaluation() {
    let gpu = gpu();
    meets_the_goldens(&gpu);
}

fn poisson_spikes_are_the_cpus() {
    let gpu = gpu();
    for (seed, model) in (0..).zip(models()) {
        let chip = chip(&model, Encoding::Poisson, seed);
        let mut batch = batch(&model, Encoding::Poisson, 3, seed);
        let odd = [0.0, -0.0, f32::MIN_POSITIVE / 2.0, -1e-30, 5.0];
        batch.values.iter_mut().zip(odd).for_each(|(value, odd)| *value = odd);
        let inputs = Inputs::new(Encoder::new(Encoding::Poisson, model.input, seed, 2), batch, model.steps);
        let found = gpu.load_together(&[chip]).unwrap().encoded(&inputs).unwrap();
        let expected: Vec<i8> = (0..3).flat_map(|b| inputs.pulses().image(b)).copied().collect();
        assert_eq!(found, expected);
    }
}

/// The digit planes of small integers, a map after the other, as the device takes them.
fn by_planes(maps: &[i32], size: usize, planes: usize) -> Vec<i8> {
    let plane = |map: &[i32], p: u32| -> Vec<i8> {
        map.iter().map(|n| if planes == 1 { *n } else { digit(*n, p) } as i8).collect()
    };
    maps.chunks(size).flat_map(|map| (0..planes as u32).flat_map(move |p| plane(map, p))).collect()
}

/// Column sums `[maps, pixels, columns]` of maps `[maps, pixels, channels]`, by their definition.
fn column_sums(layer: &ProgrammedLayer, maps: &[f32]) -> Vec<f32> {
    let plan = &layer.plan;
    let (rows, channels) = (plan.rows(), plan.input.channels);
    let mut sums = Vec::new();
    for map in maps.chunks(plan.input.len()) {
        for pixel in 0..plan.output.height * plan.output.width {
            let (y, x) = (pixel / plan.output.width, pixel % plan.output.width);
            for weights in layer.arrays.effective().chunks(rows) {
                // The input pixel that each kernel position, or each pixel of a fully connected layer, meets.
                let source = |position| plan.unrolling().source((y, x), position);
                let positions = rows / channels;
                let products = (0..positions).filter_map(|p| source(p).map(|pixel| (p, pixel)));
                let products = products
                    .flat_map(|(p, pixel)| (0..channels).map(move |c| (c * positions + p, pixel * channels + c)));
                sums.push(products.map(|(weight, input)| weights[weight] * map[input]).sum());
            }
        }
    }
    sums
}

fn the_sums_of_every_layer_are_the_cpus_on_every_chip() {
    let [card, driver] = both();
    for gpu in [card, driver, gpu().posing_as_card(true, false).busy_with(usize::MAX)] {
        let mut compared = 0;
        for (seed, model) in (0..).zip(models()) {
            let mut random = random(seed);
            for encoding in [Encoding::Poisson, Encoding::Frames] {
                let chips = [10, 11, 12].map(|chip| self::chip(&model, encoding, chip));
                let loaded = gpu.load_together(&chips).unwrap();
                for l in 0..chips[0].layers.len() {
                    let plan = &chips[0].layers[l].plan;
                    let (largest, planes) = match l {
                        0 if encoding == Encoding::Frames => {
                            (9.0 * 65536.0, InputCode::from(encoding).planes() as usize)
                        }
                        _ if plan.largest_pulse > 127 => (plan.largest_pulse as f32 + 0.99, 3),
                        _ => (plan.largest_pulse as f32 + 0.99, 1),
                    };
                    let of = if l == 0 { 1 } else { chips.len() };
                    let size = plan.input.len();
                    let pulses: Vec<i32> =
                        (0..of * 2 * model.steps * size).map(|_| (largest * uniform(&mut random)) as i32).collect();
                    let found = loaded.sums(l, &by_planes(&pulses, size, planes)).unwrap();
                    let per_chip = found.len() / chips.len();
                    for (c, (chip, found)) in chips.iter().zip(found.chunks(per_chip)).enumerate() {
                        let mine = &pulses[if l == 0 { 0 } else { c * pulses.len() / of }..][..pulses.len() / of];
                        let digits = |plane: u32| -> Vec<f32> {
                            mine.iter().map(|n| if planes == 1 { *n } else { digit(*n, plane) } as f32).collect()
                        };
                        let expected =
                            (0..planes as u32).rev().fold(vec![0.0; found.len()], |total: Vec<f32>, plane| {
                                let sums = column_sums(&chip.layers[l], &digits(plane));
                                total.iter().zip(sums).map(|(total, sum)| total * 16.0 + sum).collect()
                            });
                        assert_eq!(found, expected, "{} of model {seed}, chip {c}", plan.name);
                        compared += found.len();
                    }
                }
            }
        }
        assert!(compared > 10_000);
    }
}

/// Chips of one blueprint's kind, each with cells and norms of its own.
fn chips(model: &Model, code: InputCode, seeds: std::ops::Range<u64>) -> Vec<Chip> {
    seeds.map(|seed| chip(model, code, seed)).collect()
}

fn chips_in_one_load_do_what_each_does_alone() {
    for gpu in [gpu(), gpu().posing_as_card(true, false).limited(150_000, 4)] {
        for model in models() {
            for code in codes() {
                let chips = chips(&model, code, 20..25);
                let encoder = Encoder::new(code, model.input, 4, 0);
                let inputs = Inputs::new(encoder, batch(&model, code, 7, 4), model.steps);
                let expected = CpuEngine::default().load(&chips).unwrap().run(&inputs).unwrap();
                assert!(expected[0] != expected[1]);
                assert_eq!(gpu.load(&chips).unwrap().run(&inputs).unwrap(), expected, "{code:?}, {}", model.name);
            }
        }
        assert!(gpu.chips_at_once(&chip(&models()[0], Encoding::Poisson, 1)) > 1);
    }
}

fn behind_converters_every_chip_does_what_it_does_on_the_cpu() {
    let reads = ["rram.model=cell", "rram.cell.g_max_us=40", "rram.read.sigma=0.2", "rram.layers=all"];
    let converted = [&reads[..], &["adc.bits=5", "rram.cell.mapping=offset", "sram.bits=2", "tile.rows=9"]].concat();
    // Everything at once.
    let all = [
        "rram.layers=all",
        "rram.model=cell",
        "rram.cell.g_max_us=80",
        "rram.cell.on_off_ratio=12",
        "rram.cell.bits=2",
        "rram.variation.tile_sigma=0.05",
        "rram.variation.die_sigma=0.05",
        "rram.program.tolerance_us=5",
        "rram.faults.stuck_off=0.02",
        "rram.faults.dead_bit_lines=0.02",
        "rram.drift.time_s=1000",
        "rram.drift.nu=0.02",
        "rram.read.sigma=0.05",
        "wires.word_ohm=3",
        "wires.bit_ohm=4",
        "tile.rows=24",
        "tile.cols=40",
        "adc.bits=6",
        "adc.gain_sigma=0.02",
        "adc.offset_sigma=0.3",
        "adc.columns_shared=4",
        "sram.bits=3",
        "sram.shift=-1",
        "sram.sum_bits=8",
        "sram.shifter_bits=9",
        "sram.adder_bits=10",
        "neuron.membrane_bits=10",
        "neuron.fraction_bits=6",
    ];
    // Noisy converters whose codes begin elsewhere than half-way, beside unit columns, slices and a companion array.
    let bent = [
        "rram.layers=all",
        "rram.model=cell",
        "rram.cell.g_max_us=40",
        "rram.cell.mapping=offset",
        "rram.cell.bits=2",
        "adc.bits=6",
        "adc.type=sar",
        "adc.capacitor_sigma=0.3",
        "adc.noise_sigma=0.7",
        "adc.columns_shared=2",
        "tile.rows=24",
        "tile.rows_at_once=8",
        "sram.bits=3",
        "sram.adder_bits=10",
    ];
    // A life of writing, access devices, neighbours, drivers, limited currents, and noise by code.
    let lived = [
        "rram.layers=all",
        "rram.model=cell",
        "rram.cell.g_max_us=40",
        "rram.cell.g_min_us=2",
        "rram.variation.neighbour_sigma=0.1",
        "rram.variation.neighbour_cells=5",
        "rram.read.volt=0.3",
        "rram.access.ohm=3000",
        "rram.access.selector_iv=[[0.1, 0.5], [0.3, 20.0]]",
        "rram.endurance.writes=1e4",
        "rram.endurance.pulses=1e5",
        "wires.word_ohm=5",
        "adc.bits=3",
        "adc.limit_ua=30",
        "adc.noise_by_code=[0.1, 0.3, 0.5, 0.9, 0.9, 0.5, 0.3, 0.1]",
        "tile.rows=24",
        "tile.driver_sigma=0.1",
        "sram.bits=3",
    ];
    let noisy = [&converted[..], &["adc.noise_sigma=1.2", "adc.type=flash", "adc.comparator_sigma=0.3"]].concat();
    let settings: [&[&str]; 15] = [
        &all,
        &reads,
        &converted,
        &["neuron.membrane_bits=8", "neuron.fraction_bits=4", "neuron.gain_bits=5"],
        &[
            "neuron.membrane_bits=6",
            "neuron.fraction_bits=4",
            "neuron.overflow=wrap",
            "neuron.round=floor",
            "adc.bits=5",
            "tile.rows=24",
        ],
        &["rram.model=cell", "rram.cell.g_max_us=40", "rram.cell.on_off_ratio=5", "rram.layers=all"],
        &[
            "adc.bits=6",
            "rram.model=cell",
            "rram.cell.g_max_us=40",
            "rram.cell.bits=2",
            "rram.faults.stuck_on=0.02",
            "tile.rows=20",
        ],
        &[
            "adc.bits=5",
            "rram.model=cell",
            "rram.cell.g_max_us=40",
            "rram.cell.g_min_us=2",
            "rram.cell.mapping=offset",
            "rram.cell.bits=3",
            "rram.layers=all",
            "tile.rows=20",
            "tile.cols=9",
            "sram.bits=3",
        ],
        &["adc.bits=5", "tile.rows=18"],
        &["adc.bits=4", "tile.rows=7", "rram.layers=all", "adc.gain_sigma=0.1", "adc.offset_sigma=0.7"],
        &["adc.bits=5", "tile.rows=12", "tile.inputs=pulses", "rram.layers=all"],
        &["adc.bits=5", "tile.rows=25", "rram.layers=all", "sram.bits=4", "sram.shift=-1", "sram.adder_bits=7"],
        &["adc.bits=5", "tile.rows=16", "rram.layers=all", "sram.bits=3", "sram.shift=-2", "sram.round=floor"],
        &["adc.bits=6", "tile.rows=32", "rram.layers=all", "sram.bits=2", "sram.init=residual", "tile.inputs=pulses"],
        &["adc.bits=3", "tile.rows=1", "adc.offset_sigma=3"],
    ];
    let mut limited = [0, 0];
    let some = |one_in: usize| settings.iter().copied().step_by(one_in).collect::<Vec<_>>();
    let levels = [
        "rram.layers=all",
        "adc.bits=5",
        "adc.noise_sigma=0.5",
        "tile.inputs=levels",
        "tile.level_weights=[0.9, 2.2, 3.7, 8.4]",
        "tile.rows=20",
        "sram.bits=3",
    ];
    let drawn: Vec<&[&str]> = vec![&noisy, &bent];
    let ([card, driver], [other_card, other_driver]) = (both(), both());
    // Models, and of the settings one in so many: shaders made for a layer are many. Where conversions are noisy,
    // buffers hold a pool of 262,208 bytes more a chip.
    let engines = [
        (card, &[1, 7][..], some(2)),
        (driver, &[0, 1, 2, 3, 4, 5, 6], some(1)),
        (gpu().posing_as_card(true, true), &[0], some(7)),
        (gpu().posing_as_card(true, false).limited(400_000, 4), &[1], some(4)),
        (gpu().limited(400_000, 4), &[0, 1], some(1)),
        (other_card, &[1, 7], [&drawn[..], &[&lived]].concat()),
        (other_driver, &[0, 1, 6], [&drawn[..], &[&lived]].concat()),
        // Pools of the other models give counts of more than four digits.
        (gpu().posing_as_card(true, false), &[1], vec![&levels]),
        (gpu(), &[1, 7], vec![&levels]),
        (gpu().posing_as_card(true, false).limited(400_000 + 262_208, 4), &[1], drawn.clone()),
        (gpu().limited(400_000 + 262_208, 4), &[0], drawn),
    ];
    for (gpu, some_models, settings) in engines {
        let some = |keys| some_models.iter().map(move |number| (keys, models().swap_remove(*number)));
        for (keys, model) in settings.into_iter().flat_map(some) {
            for code in codes() {
                let chips: Vec<Chip> = (30..33).map(|seed| chip_with(keys, &model, code, seed)).collect();
                let encoder = Encoder::new(code, model.input, 4, 0);
                let inputs = Inputs::new(encoder, batch(&model, code, 3, 4), model.steps);
                let expected = CpuEngine::default().load(&chips).unwrap().run(&inputs).unwrap();
                assert!(expected[0] != expected[1] || !code.signed, "{keys:?}, {code:?}, {}", model.name);
                let found = gpu.load(&chips).unwrap().run(&inputs).unwrap();
                assert_eq!(found, expected, "{keys:?}, {code:?}, {}", model.name);
                for outcome in &expected {
                    limited[0] += outcome.counts.clipped.iter().sum::<u64>();
                    limited[1] += outcome.counts.saturated.iter().sum::<u64>();
                }
            }
        }
        assert!(limited.iter().all(|n| *n > 0), "some sums are clipped, some totals saturate: {limited:?}");
    }
}

fn a_series_of_more_chips_than_a_load_takes_is_the_cpus() {
    let gpu = gpu();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits.toml");
    let model = Model::read(&file, &["steps=3".into()]).unwrap();
    let data = Dataset::open("digits", Path::new(""), Split::Test).unwrap().limit(9);
    let network = Network::xavier(&model, 5);
    let profile = profile(&["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.3"]);
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 7).unwrap();
    let series = |engine: &dyn Engine| {
        let mut results = Vec::new();
        let encoder = Encoder::new(Encoding::Poisson, model.input, 7, 0);
        let evaluation = Evaluation::on(engine, &data, encoder, model.steps).batches_of(4);
        let keep = |index, result: &ChipResult| {
            results.push((index, result.clone()));
            Ok(())
        };
        evaluation.series(&blueprint, 0..21, keep).unwrap();
        results
    };
    assert!((2..21).contains(&gpu.chips_at_once(&Chip::program(&blueprint, 0).unwrap())));
    assert_eq!(series(&gpu), series(&CpuEngine::default()));
}

fn every_effect_at_once_is_the_cpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = Model::read(&root.join("models/digits.toml"), &["steps=3".into()]).unwrap();
    let profile = Profile::read(&root.join("tests/golden/lived.toml"), &[]).unwrap();
    let data = Dataset::open("digits", Path::new(""), Split::Train).unwrap().limit(24);
    let network = Network::xavier(&model, 5);
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 7).unwrap();
    let blueprint = with_ranges(blueprint, 7, || Ok(&data)).unwrap();
    let series = |engine: &dyn Engine| {
        let mut results = Vec::new();
        let encoder = Encoder::new(Encoding::Poisson, model.input, 7, 0);
        Evaluation::on(engine, &data, encoder, model.steps)
            .batches_of(8)
            .series(&blueprint, 0..3, |_, result: &ChipResult| {
                results.push(result.clone());
                Ok(())
            })
            .unwrap();
        results
    };
    let expected = series(&CpuEngine::default());
    assert!(expected[0].logits != expected[1].logits, "chips differ");
    assert_eq!(series(&gpu()), expected);
    assert_eq!(series(&gpu().posing_as_card(true, false)), expected);
}

fn an_input_without_a_pulse_is_the_cpus() {
    let gpu = gpu();
    for model in models() {
        for code in codes() {
            let chip = chip(&model, code, 6);
            let encoder = Encoder::new(code, model.input, 6, 0);
            let mut batch = batch(&model, code, 3, 6);
            batch.values.fill(0.0);
            let expected = run(&CpuEngine::default(), &chip, &encoder, &batch);
            assert_eq!(expected.counts.input, vec![0; model.steps]);
            assert_eq!(run(&gpu, &chip, &encoder, &batch), expected);
        }
    }
}

fn golden_networks_do_what_they_do_on_the_cpu() {
    for gpu in both() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/networks");
        let folders =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let cells = ["rram.layers=all", "rram.weight_bits=4", "rram.model=cell", "rram.cell.g_max_us=50"];
        let varied = [&cells[..], &["rram.variation.kind=lognormal", "rram.variation.sigma=0.1"]].concat();
        let behind = [&varied[..], &["adc.bits=7", "tile.rows=20", "sram.bits=3", "sram.init=residual"]].concat();
        let read = [&varied[..], &["rram.read.sigma=0.05", "wires.word_ohm=2", "wires.bit_ohm=2"]].concat();
        let bits = ["neuron.membrane_bits=14", "neuron.fraction_bits=8", "neuron.leak_bits=6", "neuron.gain_bits=9"];
        let fixed = [&behind[..], &bits].concat();
        let (mut compared, mut refused, mut in_fixed_point) = (0, 0, 0);
        for folder in folders {
            let model = Model::read(&folder.join("model.toml"), &[]).unwrap();
            let network = Network::read(&model, &folder.join("checkpoint.safetensors")).unwrap().network;
            let data = Dataset::open("frames:frames.npz", &folder, Split::Test).unwrap();
            let (batch, _) = read_batch(&data, &(0..data.len()).collect::<Vec<_>>(), None).unwrap();
            let code = InputCode::of(Encoding::Frames, data.range(), 0).unwrap();
            let inputs = Inputs::new(Encoder::new(code, model.input, 1, 0), batch, model.steps);
            for keys in [&[][..], &varied, &behind, &read, &fixed] {
                let profile = profile(keys);
                let blueprint = match Blueprint::new(&profile, &model, &network, code, 1) {
                    // Converters and lines of groups are not modelled.
                    Err(Error::Mismatch(message)) if message.contains("groups") => continue,
                    blueprint => blueprint.unwrap(),
                };
                in_fixed_point += usize::from(keys == fixed);
                let chips: Vec<Chip> = (0..2).map(|index| Chip::program(&blueprint, index).unwrap()).collect();
                let on = |engine: &dyn Engine| engine.load(&chips).unwrap().run_keeping(&inputs, Keep::Every).unwrap();
                if chips[0].graph.cycles.is_empty() {
                    assert_eq!(on(&gpu), on(&CpuEngine::default()), "{} {keys:?}", model.name);
                    compared += 1;
                } else {
                    let error = gpu.load(&chips).err().unwrap().to_string();
                    assert!(error.contains("step by step"), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(
            compared >= 5 * 18 && refused >= 5 * 4 && in_fixed_point >= 22,
            "{compared} {refused} {in_fixed_point}"
        );
    }
}

fn imported_networks_do_what_they_do_on_the_cpu() {
    let gpu = gpu();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nir");
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let varied = ["rram.layers=all", "rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.1"];
    let mut compared = 0;
    for folder in folders {
        let text = std::fs::read_to_string(folder.join("import.json")).unwrap();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        let options = NirOptions {
            name: "net".into(),
            dt: told["dt"].as_f64().unwrap(),
            method: Discretisation::Euler,
            reset: if told["reset"] == "subtract" { Reset::Subtract } else { Reset::Value },
            reset_at: if told["reset_at"] == "next" { ResetAt::Next } else { ResetAt::Spike },
            fires: if told["fires"] == "reached" { Fires::Reached } else { Fires::Above },
            readout: None,
            steps: 12,
        };
        let imported = import(&folder.join("net.nir"), &options).unwrap();
        let network = Network::load(&imported.model, &imported.checkpoint).unwrap().network;
        let recorded = Recorded::open(&folder.join("recorded.npz")).unwrap();
        let mut model = imported.model.clone();
        model.steps = recorded.sizes.1;
        let code = InputCode::of(Encoding::Frames, recorded.range, 0).unwrap();
        for keys in [&[][..], &varied] {
            let blueprint = Blueprint::new(&profile(keys), &model, &network, code, 1).unwrap();
            let chips: Vec<Chip> = (0..2).map(|index| Chip::program(&blueprint, index).unwrap()).collect();
            let delays = chips[0].graph.nodes.iter().any(|node| matches!(node.work, Work::Delay { .. }));
            if delays || !chips[0].graph.cycles.is_empty() {
                let error = gpu.load(&chips).err().unwrap().to_string();
                assert!(error.contains(if delays { "`d` delays pulses" } else { "step by step" }), "{error}");
                continue;
            }
            let batch = Batch { values: recorded.frames.clone(), indices: (0..recorded.sizes.0 as u32).collect() };
            let inputs = Inputs::new(Encoder::new(code, model.input, 1, 0), batch, model.steps);
            let on = |engine: &dyn Engine| engine.load(&chips).unwrap().run_keeping(&inputs, Keep::Every).unwrap();
            assert!(on(&gpu) == on(&CpuEngine::default()), "{} {keys:?}", folder.display());
            compared += 1;
        }
    }
    assert!(compared >= 2 * 12, "{compared}");
}

fn logits_and_counts_are_the_cpus() {
    let [card, driver] = both();
    for (gpu, count) in [(card, 11), (driver, 11), (gpu().posing_as_card(true, true), 4)] {
        for (seed, model) in (0..).zip(models()).take(count) {
            for code in codes() {
                let chip = chip(&model, code, seed);
                let encoder = Encoder::new(code, model.input, seed, 0);
                let mut loaded = gpu.load(std::slice::from_ref(&chip)).unwrap();
                for images in [5, 2, 9, 0] {
                    let batch = batch(&model, code, images, seed + 50);
                    let expected = run(&CpuEngine::default(), &chip, &encoder, &batch);
                    let inputs = Inputs::new(encoder, batch, model.steps);
                    assert_eq!(loaded.run(&inputs).unwrap()[0], expected, "{code:?}, model {seed}");
                    let fires = expected.counts.spikes.iter().all(|layer| layer.iter().sum::<u64>() > 0);
                    assert!(images == 0 || fires || !code.signed, "{code:?}, model {seed}");
                }
            }
        }
    }
}

fn small_limits_split_the_work_and_change_nothing() {
    // Two images of the first model a submission and dispatches in two dimensions; a wide layer's weights in parts.
    let wide = model("9, height = 1, width = 1", 2, "[{fc=64}, {fc=60}]");
    for (model, buffer_bytes, workgroups) in [(&models()[0], 2 * 29952 + 100, 4), (&wide, 4100, 16)] {
        for code in codes() {
            let gpu = gpu();
            let chip = chip(model, code, 4);
            let encoder = Encoder::new(code, model.input, 4, 0);
            let batch = batch(model, code, 21, 4);
            let expected = run(&CpuEngine::default(), &chip, &encoder, &batch);
            assert_eq!(run(&gpu.limited(buffer_bytes, workgroups), &chip, &encoder, &batch), expected);
            let card = self::gpu().posing_as_card(true, false).limited(buffer_bytes, workgroups);
            assert_eq!(run(&card, &chip, &encoder, &batch), expected);
            // Each layer of each image by itself; two layers and two images together.
            for multiplications in [1, 2_000_000] {
                let hurried = self::gpu().hurried(multiplications);
                assert_eq!(run(&hurried, &chip, &encoder, &batch), expected, "{multiplications}");
            }
        }
    }
}

fn kernels_are_timed_by_the_adapters_clock() {
    let model = &models()[0];
    let chip = chip(model, Encoding::Poisson, 4);
    let encoder = Encoder::new(Encoding::Poisson, model.input, 4, 0);
    let batch = batch(model, Encoding::Poisson, 5, 4);
    let mut gpu = gpu();
    let expected = run(&gpu, &chip, &encoder, &batch);
    assert!(gpu.kernel_times().is_empty(), "nobody asked for times");
    if !gpu.time_kernels() {
        return println!("{} has no clock that can be read", gpu.name());
    }
    // Some images a submission at a time, and buffers that were made before there were stamps.
    for gpu in [gpu, self::gpu().hurried(1)] {
        let mut gpu = gpu;
        gpu.time_kernels();
        assert_eq!(run(&gpu, &chip, &encoder, &batch), expected);
        let names: Vec<String> = gpu.kernel_times().into_iter().map(|(name, _)| name).collect();
        let layers = [
            "conv1: sums",
            "conv1: neurons",
            "conv2: sums",
            "conv2: neurons",
            "conv2: pool",
            "fc1: sums",
            "fc1: neurons",
            "fc2: sums",
            "fc2: readout",
        ];
        assert_eq!(names, [&["input: draws"][..], &layers].concat());
        assert!(gpu.kernel_times().is_empty(), "times are those since they were last asked for");
    }
}

fn logits_after_every_step_and_events_of_every_image_are_the_cpus() {
    for gpu in [gpu(), gpu().limited(150_000, 4)] {
        for model in models() {
            for code in codes() {
                let chips = chips(&model, code, 30..33);
                let encoder = Encoder::new(code, model.input, 4, 0);
                let inputs = Inputs::new(encoder, batch(&model, code, 7, 4), model.steps);
                let run = |engine: &dyn Engine| {
                    let mut loaded = engine.load(&chips).unwrap();
                    // The buffers of one serve the other.
                    [Keep::Last, Keep::Every, Keep::Last].map(|keep| loaded.run_keeping(&inputs, keep).unwrap())
                };
                let expected = run(&CpuEngine::default());
                assert_eq!(expected[1][2].by_step.as_ref().unwrap().dim(), (model.steps, 7, 5));
                let images = expected[1][2].by_image.as_ref().unwrap();
                assert!(images.len() == 7 && images[0] != images[1], "each image's own events");
                assert_eq!(run(&gpu), expected, "{code:?}, {model:?}");
            }
        }
    }
}

fn what_cannot_be_split_is_refused_by_name() {
    let model = model("9, height = 1, width = 1", 2, "[{fc=64}, {fc=60}]");
    for (buffer_bytes, expected) in
        [(2000, "`fc2`: the weights of 8 columns take 2048 bytes"), (500, "`fc1`: the sums")]
    {
        let gpu = gpu();
        let gpu = gpu.limited(buffer_bytes, 16);
        let chip = chip(&model, Encoding::Poisson, 4);
        let error = gpu.load(&[chip]).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains(&buffer_bytes.to_string()), "{error}");
    }
}

fn a_lost_device_is_an_error() {
    let gpu = gpu();
    let model = &models()[1];
    let chip = chip(model, Encoding::Poisson, 4);
    let encoder = Encoder::new(Encoding::Poisson, model.input, 4, 0);
    let batch = batch(model, Encoding::Poisson, 3, 4);
    let inputs = Inputs::new(encoder, batch, model.steps);
    let mut loaded = gpu.load(std::slice::from_ref(&chip)).unwrap();
    loaded.run(&inputs).unwrap();
    gpu.lose();
    for _ in 0..2 {
        let error = loaded.run(&inputs).unwrap_err().to_string();
        assert!(error.starts_with("GPU: "), "{error}");
    }
    assert!(gpu.load(std::slice::from_ref(&chip)).is_err());
}

fn dearer_layers_leave_less_together() {
    let model = &models()[0];
    let plain = chip(model, Encoding::Poisson, 4);
    let converted = chip_with(&["rram.layers=all", "adc.bits=5", "tile.rows=24"], model, Encoding::Poisson, 4);
    let together = |multiplications: u64| {
        let gpu = gpu().hurried(multiplications);
        (gpu.chips_at_once(&plain), gpu.chips_at_once(&converted))
    };
    // What conversions cost differs from adapter to adapter.
    let all: Vec<_> = (20..28).map(|bits| together(1 << bits)).collect();
    assert!(all.iter().all(|(plain, converted)| converted <= plain), "{all:?}");
    assert!(all.iter().any(|(plain, converted)| 1 < *converted && converted < plain), "{all:?}");
    assert_eq!(together(1), (1, 1));
}

/// What was told when devices were lost.
static TOLD: Mutex<Vec<String>> = Mutex::new(vec![]);

fn behind_a_lost_device_the_cpu_goes_on() {
    let engine = WithFallback::new(gpu(), |text| TOLD.lock().unwrap().push(text.into()));
    let model = &models()[1];
    let chips = chips(model, Encoding::Poisson.into(), 20..23);
    let encoder = Encoder::new(Encoding::Poisson, model.input, 4, 0);
    let inputs = Inputs::new(encoder, batch(model, Encoding::Poisson, 3, 4), model.steps);
    let expected = CpuEngine::default().load(&chips).unwrap().run(&inputs).unwrap();
    let mut loaded = engine.load(&chips).unwrap();
    assert_eq!(loaded.run(&inputs).unwrap(), expected);
    assert!(engine.name().starts_with("gpu: ") && TOLD.lock().unwrap().is_empty());
    engine.lose();
    for _ in 0..2 {
        assert_eq!(loaded.run(&inputs).unwrap(), expected);
    }
    assert_eq!(engine.load(&chips).unwrap().run(&inputs).unwrap(), expected);
    assert_eq!((engine.name().as_str(), engine.chips_at_once(&chips[0])), ("cpu", 1));
    let told = TOLD.lock().unwrap().clone();
    assert!(matches!(&told[..], [text] if text.starts_with("GPU: the device was lost")), "{told:?}");
    // A device that is lost before chips are loaded.
    let lost = WithFallback::new(gpu(), |_| ());
    lost.lose();
    assert_eq!(lost.load(&chips).unwrap().run(&inputs).unwrap(), expected);
}
