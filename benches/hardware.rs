//! What an effect of the hardware costs in time: chips programmed, and images through them, on all cores, each against
//! cells that vary and nothing else, in the same run. `cargo bench --bench hardware [-- FILTER]`
//!
//! VGG9 with its convolutions on 128 x 128 tiles, five steps; weights and images are random, and the same in every run.
//! Peak memory is of the benchmark, with network, chip and images.

mod common;

use std::path::Path;

use common::{criterion, memory, number, time};
use criterion::SamplingMode;
use crosspike::chip::{Blueprint, Chip};
use crosspike::engine::Engine;
use crosspike::engine::cpu::CpuEngine;
use crosspike::network::{Batch, Encoder, Encoding, Inputs, Model, Network};
use crosspike::profile::Profile;

const IMAGES: usize = 16;

const CELLS: [&str; 4] = ["rram.weight_bits=4", "rram.model=cell", "rram.cell.g_min_us=4", "rram.cell.g_max_us=400"];
const VARIED: [&str; 2] = ["rram.variation.kind=lognormal", "rram.variation.sigma=0.1"];
const WIRES: [&str; 2] = ["wires.word_ohm=0.5", "wires.bit_ohm=0.5"];
const CONVERTERS: [&str; 1] = ["adc.bits=8"];
const FIXED: [&str; 1] = ["neuron.membrane_bits=12"];

fn main() {
    let mut criterion = criterion(10, 3.0);
    let mut group = criterion.benchmark_group("hardware");
    group.sampling_mode(SamplingMode::Flat);
    let model = Model::read(Path::new("models/vgg9.toml"), &["steps=5".into()]).expect("the model is there");
    let network = Network::xavier(&model, 1);
    let values = (0..IMAGES * model.input.len()).map(|i| 2.0 * number(1, i)).collect();
    let batch = Batch { values, indices: (0..IMAGES as u32).collect() };
    let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
    let (mut lines, mut base) = (Vec::new(), [None, None]);
    for (name, settings) in [
        ("cells that vary", &[&VARIED[..]][..]),
        ("cells that do not", &[]),
        ("lines with resistance", &[&VARIED[..], &WIRES[..]]),
        ("converters", &[&VARIED[..], &CONVERTERS[..]]),
        ("converters, lines with resistance", &[&VARIED[..], &CONVERTERS[..], &WIRES[..]]),
        ("neurons in fixed point", &[&VARIED[..], &FIXED[..]]),
    ] {
        let keys: Vec<String> =
            CELLS.iter().chain(settings.iter().copied().flatten()).map(|key| key.to_string()).collect();
        let profile = Profile::ideal(&keys).expect("the keys are valid");
        let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).expect("they fit together");
        memory::reset();
        let program = || Chip::program(&blueprint, 0).expect("the weights are finite");
        let programmed = time(&mut group, &format!("{name}, a chip programmed"), program);
        let chips = [program()];
        let engine = CpuEngine::default();
        let mut loaded = engine.load(&chips).expect("the chip fits");
        let run = || loaded.run(&Inputs::new(encoder, batch.clone(), model.steps)).expect("it runs");
        let ran = time(&mut group, &format!("{name}, inference"), run);
        let mut line = format!("| {name} |");
        for (seconds, base) in [programmed, ran].into_iter().zip(&mut base) {
            let base = *base.get_or_insert(seconds);
            line += &match (seconds, base) {
                (Some(seconds), Some(base)) => format!(" {:.1} | {:.2} |", 1e3 * seconds, seconds / base),
                _ => " | |".into(),
            };
        }
        line += &memory::peak().map_or(" |".into(), |bytes| format!(" {} |", bytes >> 20));
        lines.push(line);
    }
    group.finish();
    println!(
        "\n| VGG9, T = 5 | a chip programmed, ms | ratio | {IMAGES} images, ms | ratio | peak MiB \
         |\n|---|---|---|---|---|---|"
    );
    lines.iter().for_each(|line| println!("{line}"));
    criterion.final_summary();
}
