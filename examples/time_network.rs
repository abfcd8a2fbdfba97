//! Times networks on this machine and prints what it found as JSON.
//!
//! ```text
//! cargo run --release --example time_network -- infer|train MODEL CHECKPOINT DATA [--set KEY=VALUE] [--limit N] \
//!     [--threads N]
//! cargo run --release --example time_network -- chips MODEL CHECKPOINT DATA --profile PROFILE [--set KEY=VALUE]
//! ```
//!
//! `infer` and `train` run one batch, Poisson inputs or with `--direct` the images themselves, again and again,
//! encoding included: on one chip, ideal but for the keys of a profile that are set, and as steps of training on it.
//! The first run is not counted; the rate is that of the median run. `chips` evaluates 100 chips on 1,000 images each,
//! programming included, and one chip on 100,000: ten passes over 10,000 with other spikes.

#[path = "../benches/common/memory.rs"]
mod memory;
#[path = "../src/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use crosspike::chip::{Blueprint, Chip};
use crosspike::data::{Dataset, Split};
use crosspike::device::Draw;
use crosspike::engine::Engine;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::{Evaluation, check_fit, read_batch};
use crosspike::error::{Error, Result};
use crosspike::network::{Encoder, Encoding, Inputs, Model, Network};
use crosspike::plan::ChipPlan;
use crosspike::profile::Profile;
use crosspike::train::config::Hyperparameters;
use crosspike::train::gradient::Precision;
use crosspike::train::optimiser::Optimiser;
use crosspike::train::pass::{PassSetting, pass};
use serde_json::{Value, json};

/// Times networks on this machine and prints what it found as JSON.
#[derive(Parser)]
struct Args {
    /// What is timed.
    work: Work,
    /// The model file.
    model: PathBuf,
    /// The checkpoint.
    checkpoint: PathBuf,
    /// The data set, as `crosspike infer --data` takes it.
    data: String,
    /// The profile of `chips`.
    #[arg(long, default_value = "hw_profiles/rram_4bit.toml")]
    profile: PathBuf,
    /// Keys of the profile (rram.resolution_bits=8); `infer` and `train` are ideal in all others.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Images of the batch: the first of the data set.
    #[arg(long, default_value_t = 16)]
    limit: usize,
    /// Bits of the gradients in `train`.
    #[arg(long, default_value_t = Precision::default().bits())]
    gradient_bits: u32,
    /// Images are given directly in `infer` and `train`, in place of Poisson spikes.
    #[arg(long)]
    direct: bool,
    /// Runs that count.
    #[arg(long, default_value_t = 5)]
    runs: u64,
    /// Threads; absent: as many as cores.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Work {
    /// A batch through a chip.
    Infer,
    /// A step of training.
    Train,
    /// 100 chips on 1,000 images each, against one chip on 100,000.
    Chips,
}

fn main() -> Result<()> {
    process::keep_freed_memory();
    let args = Args::parse();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.unwrap_or(0));
    pool.build_global().expect("no other pool is there yet");
    let found = match args.work {
        Work::Infer | Work::Train => batch(&args)?,
        Work::Chips => chips(&args)?,
    };
    println!("{found}");
    Ok(())
}

/// `infer` and `train`.
fn batch(args: &Args) -> Result<Value> {
    let model = Model::read(&args.model, &[])?;
    let data = Dataset::open(&args.data, Path::new(""), Split::Test)?.limit(args.limit);
    check_fit(&data, &model)?;
    let network = Network::read(&model, &args.checkpoint)?.network;
    let encoding = if args.direct { Encoding::Direct } else { Encoding::Poisson };
    let (images, labels) = read_batch(&data, &(0..data.len()).collect::<Vec<_>>(), None)?;
    let inputs = |run: u64| Inputs::new(Encoder::new(encoding, model.input, 1, run), images.clone(), model.steps);
    let profile = Profile::ideal(&args.set)?;
    let plan = ChipPlan::new(&profile, &model, encoding)?;
    let gradient_bits = Precision::try_from(args.gradient_bits).map_err(Error::Mismatch)?;
    let hyperparameters = Hyperparameters { gradient_bits, ..Hyperparameters::default() };
    let setting = PassSetting::by(&hyperparameters, &plan);
    let draw = |run: u64| profile.varies().then(|| Draw::chip(1, run));
    let training = matches!(args.work, Work::Train);
    let mut seconds = if training {
        let (mut trained, mut sgd) = (network.clone(), Optimiser::new(&hyperparameters, &network));
        time(args.runs, |run| {
            let outcome = pass(&setting, &trained, &inputs(run), &labels, draw(run))?;
            sgd.step(&mut trained, &outcome, &hyperparameters, 0.01);
            Ok(())
        })?
    } else {
        let blueprint = Blueprint::new(&profile, &model, &network, encoding, 1)?;
        let chips = [Chip::program(&blueprint, 0)?];
        let engine = CpuEngine::default();
        let mut loaded = engine.load(&chips)?;
        time(args.runs, |run| loaded.run(&inputs(run)).map(drop))?
    };
    let peak = memory::peak();
    seconds.sort_by(f64::total_cmp);
    let mut network = network;
    if training {
        // The spikes of a training pass: with the batch's statistics, to which the running ones are brought.
        let outcome = pass(&setting, &network, &inputs(0), &labels, None)?;
        for (layer, statistics) in network.layers.iter_mut().zip(&outcome.statistics) {
            if let (Some(norm), Some(statistics)) = (&mut layer.norm, statistics) {
                (0..100).for_each(|_| statistics.update(norm));
            }
        }
    }
    Ok(json!({
        "images": labels.len(),
        "images_per_second": labels.len() as f64 / seconds[seconds.len() / 2],
        "seconds": seconds,
        "threads": rayon::current_num_threads(),
        "peak_bytes": peak,
        "spike_rates": spike_rates(&model, &network, &profile, &inputs(0))?,
    }))
}

/// Seconds of `runs` runs after one that does not count.
fn time(runs: u64, mut run: impl FnMut(u64) -> Result<()>) -> Result<Vec<f64>> {
    run(0)?;
    (1..=runs)
        .map(|number| {
            let start = Instant::now();
            run(number)?;
            Ok(start.elapsed().as_secs_f64())
        })
        .collect()
}

/// Spikes per neuron and step of every layer, before its pool; of the input, pulses per pixel and step.
fn spike_rates(model: &Model, network: &Network, profile: &Profile, inputs: &Inputs) -> Result<BTreeMap<String, f64>> {
    let blueprint = Blueprint::new(profile, model, network, inputs.encoder.code, 1)?;
    let chips = [Chip::program(&blueprint, 0)?];
    let counts = CpuEngine::default().load(&chips)?.run(inputs)?.remove(0).counts;
    let share = |events: &[u64], places: usize| {
        events.iter().sum::<u64>() as f64 / (places * inputs.batch.len() * model.steps) as f64
    };
    let layers = model.layers().into_iter().zip(&counts.spikes).filter(|(layer, _)| layer.leads);
    let rates = layers.map(|(layer, spikes)| (layer.name.clone(), share(spikes, layer.map().len())));
    Ok(rates.chain([("input".into(), share(&counts.input, model.input.len()))]).collect())
}

/// `chips`.
fn chips(args: &Args) -> Result<Value> {
    const CHIPS: u64 = 100;
    const IMAGES: usize = 1000;
    const PASSES: u64 = 10;
    let model = Model::read(&args.model, &[])?;
    let network = Network::read(&model, &args.checkpoint)?.network;
    let profile = Profile::read(&args.profile, &args.set)?;
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1)?;
    let engine = CpuEngine::default();
    let open = |images: usize| -> Result<Dataset> {
        let data = Dataset::open(&args.data, Path::new(""), Split::Test)?.limit(images);
        check_fit(&data, &model)?;
        Ok(data)
    };
    let encoder = |seed: u64| Encoder::new(Encoding::Poisson, model.input, seed, 0);

    let few = open(IMAGES)?;
    memory::reset();
    let start = Instant::now();
    let mut accuracies = Vec::new();
    Evaluation::on(&engine, &few, encoder(1), model.steps).series(&blueprint, 0..CHIPS, |_, result| {
        accuracies.push(result.accuracy);
        Ok(())
    })?;
    let (many, many_peak) = (start.elapsed().as_secs_f64(), memory::peak());

    let all = open(CHIPS as usize * IMAGES / PASSES as usize)?;
    memory::reset();
    let start = Instant::now();
    let chip = Chip::program(&blueprint, 0)?;
    for seed in 1..=PASSES {
        accuracies.push(Evaluation::on(&engine, &all, encoder(seed), model.steps).run(&chip)?.accuracy);
    }
    let (one, one_peak) = (start.elapsed().as_secs_f64(), memory::peak());
    let images = |data: &Dataset, times: u64| data.len() as f64 * times as f64;
    let (many_rate, one_rate) = (images(&few, CHIPS) / many, images(&all, PASSES) / one);
    Ok(json!({
        "threads": rayon::current_num_threads(),
        "many_chips": { "seconds": many, "images_per_second": many_rate, "peak_bytes": many_peak },
        "one_chip": { "seconds": one, "images_per_second": one_rate, "peak_bytes": one_peak },
        "ratio_of_seconds_an_image": one_rate / many_rate,
        "mean_accuracy": accuracies.iter().sum::<f64>() / accuracies.len() as f64,
    }))
}
