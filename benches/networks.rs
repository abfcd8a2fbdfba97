//! Whole networks on all cores: inference, and one step of training. `cargo bench --bench networks [-- FILTER]`
//!
//! Weights and images are random, and the same in every run; the norms' statistics are those of the batch, as after
//! training. Peak memory is of the benchmark, with its network and images.

mod common;

use std::path::Path;

use common::{criterion, memory, number, time, word};
use criterion::{SamplingMode, Throughput};
use crosspike::chip::{Blueprint, Chip};
use crosspike::engine::Engine;
use crosspike::engine::cpu::CpuEngine;
use crosspike::network::{Batch, Encoder, Encoding, Inputs, Model, Network};
use crosspike::plan::ChipPlan;
use crosspike::profile::Profile;
use crosspike::train::config::Hyperparameters;
use crosspike::train::optimiser::Optimiser;
use crosspike::train::pass::{PassSetting, pass};

/// Networks, and images of a batch.
const NETWORKS: [(&str, usize); 4] = [("digits", 64), ("fashion", 64), ("vgg5", 16), ("vgg9", 16)];

fn main() {
    let mut criterion = criterion(10, 3.0);
    let mut lines = Vec::new();
    let mut group = criterion.benchmark_group("networks");
    group.sampling_mode(SamplingMode::Flat);
    for (name, images) in NETWORKS {
        group.throughput(Throughput::Elements(images as u64));
        let model = Model::read(Path::new(&format!("models/{name}.toml")), &[]).expect("the model is there");
        let profile = Profile::ideal(&[]).expect("the ideal chip has no settings");
        let layers = model.layers();
        let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).expect("the network fits");
        let setting = PassSetting::of(&plan);
        let mut network = Network::xavier(&model, 1);
        let batch = Batch {
            values: (0..images * model.input.len()).map(|i| 2.0 * number(1, i)).collect(),
            indices: (0..images as u32).collect(),
        };
        let labels: Vec<u32> = (0..images).map(|i| word(2, i) % model.classes as u32).collect();
        let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
        let inputs = || Inputs::new(encoder, batch.clone(), model.steps);
        let first = pass(&setting, &network, &inputs(), &labels, None).expect("the network fits");
        for (layer, statistics) in network.layers.iter_mut().zip(&first.statistics) {
            // A running statistic moves a tenth of the way at a time.
            if let (Some(norm), Some(statistics)) = (&mut layer.norm, statistics) {
                (0..100).for_each(|_| statistics.update(norm));
            }
        }
        drop(first);
        let operations: usize = layers.iter().map(|layer| 2 * layer.rows() * layer.output.len()).sum();
        let operations = (operations * model.steps) as f64;
        let mut keep = |what: &str, seconds: Option<f64>, parts: f64, rates: &str| {
            let Some(seconds) = seconds else { return };
            let peak = memory::peak().map_or("not measured".into(), |bytes| format!("{}", bytes >> 20));
            let rate = images as f64 / seconds;
            let giga = parts * operations * rate / 1e9;
            lines.push(format!("| {name} | {what} | {images} | {rate:.1} | {giga:.1} | {peak} | {rates} |"));
        };

        memory::reset();
        let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).expect("they fit together");
        let chips = [Chip::program(&blueprint, 0).expect("the weights are finite")];
        let engine = CpuEngine::default();
        let mut loaded = engine.load(&chips).expect("the chip fits");
        let seconds = time(&mut group, &format!("{name}, inference"), || loaded.run(&inputs()).expect("it runs"));
        if seconds.is_some() {
            let counts = loaded.run(&inputs()).expect("it runs").remove(0).counts;
            let rates = layers.iter().zip(&counts.spikes).map(|(layer, spikes)| {
                let places = images * model.steps * layer.output.len();
                format!("{} {:.1}", layer.name, 100.0 * spikes.iter().sum::<u64>() as f64 / places as f64)
            });
            keep("inference", seconds, 1.0, &rates.collect::<Vec<_>>().join(", "));
        }
        drop(loaded);
        drop(chips);

        memory::reset();
        let hyperparameters = Hyperparameters::default();
        let mut trained = network.clone();
        let mut sgd = Optimiser::new(&Hyperparameters::default(), &network);
        let seconds = time(&mut group, &format!("{name}, training step"), || {
            let outcome = pass(&setting, &trained, &inputs(), &labels, None).expect("the network fits");
            sgd.step(&mut trained, &outcome, &hyperparameters, 0.01);
        });
        // The products of the backward pass are two more of the same size.
        keep("training", seconds, 3.0, "");
    }
    group.finish();
    println!(
        "\n| network | work | batch | images/s | useful GOP/s | peak memory, MiB | spikes per neuron and step, % |\n\
         |---|---|---|---|---|---|---|"
    );
    lines.iter().for_each(|line| println!("{line}"));
    criterion.final_summary();
}
