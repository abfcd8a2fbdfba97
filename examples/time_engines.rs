//! Times the CPU and a graphics adapter one after the other, holds their outcomes against each other, bit for bit, and
//! the adapter's column sums against what its arithmetic gives at most. An outcome that differs is an error.
//!
//! ```text
//! cargo run --release --example time_engines [-- FILTER [FILE.json [MULTIPLICATIONS]]]
//! ```
//!
//! Weights and images are random, and the same in every run; the norms' statistics are those of the batch, as after
//! training. A row is a network on chips of one kind: a median of five runs behind others that warm up, inputs encoded
//! beforehand on the CPU where the CPU uses them, on the adapter where Poisson draws are made there. FILTER is a part
//! of the rows' beginnings, such as `digits`; FILE.json takes all figures; MULTIPLICATIONS are what the adapter is
//! given at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use crosspike::chip::{Blueprint, Chip};
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::gpu::{AdapterInfo, AdapterKind, Ceilings, GpuEngine, explicit_choice};
use crosspike::engine::{Engine, Outcome};
use crosspike::error::{Error, Result};
use crosspike::network::{Batch, Encoder, Encoding, Inputs, Model, Network};
use crosspike::plan::ChipPlan;
use crosspike::profile::Profile;
use crosspike::rng::{Stream, Substream, stream_key};
use crosspike::train::pass::{PassSetting, pass};
use ndarray_rand::rand::RngCore;
use serde_json::{Value, json};

const NETWORKS: [&str; 4] = ["digits", "fashion", "vgg5", "vgg9"];
/// Images of a batch that both engines run, and of a large one that the adapter runs alone.
const IMAGES: usize = 64;
const MANY_IMAGES: usize = 256;
/// Runs that count, and how long others warm up.
const RUNS: usize = 5;
const WARM: Duration = Duration::from_millis(300);
const CELLS: [&str; 5] =
    ["rram.layers=all", "rram.weight_bits=4", "rram.model=cell", "rram.cell.g_max_us=50", "rram.variation.sigma=0.1"];
/// Chips, the keys of their profile, and how many run together.
const CHIPS: [(&str, &[&str], u64); 5] = [
    ("ideal", &[], 1),
    ("cells that vary", &["rram.variation.kind=lognormal"], 1),
    ("cells that vary, 16 chips", &["rram.variation.kind=lognormal"], 16),
    ("converters of 6 bits", &["rram.variation.kind=lognormal", "adc.bits=6"], 1),
    ("cells read afresh", &["rram.variation.kind=lognormal", "rram.read.sigma=0.05"], 1),
];
/// Kinds of chips that run a large batch.
const MANY_KINDS: [&str; 2] = ["ideal", "cells that vary, 16 chips"];
/// The share of the arithmetic's measurement that a driver on the processor is given.
const SMALL_SHARE: f64 = 1.0 / 512.0;

fn main() -> Result<()> {
    let argument = |n| std::env::args().nth(n);
    let filter = argument(1).unwrap_or_default();
    let adapter = explicit_choice()?;
    let mut gpu = GpuEngine::new(&adapter)?;
    let mut timed = GpuEngine::new(&adapter)?;
    timed.time_kernels();
    if let Some(most) = argument(3) {
        gpu = gpu.hurried(most.parse().map_err(|e| Error::Usage(format!("MULTIPLICATIONS {most}: {e}")))?);
    }
    let ceilings = gpu.ceilings(if adapter.kind == AdapterKind::Software { SMALL_SHARE } else { 1.0 })?;
    println!("{}; CPU on {} threads", gpu.name(), rayon::current_num_threads());
    println!(
        "copies {:.0} GB/s, multiplies and adds {:.2} Tflop/s in f32\n",
        ceilings.bytes_per_second / 1e9,
        ceilings.operations_per_second / 1e12
    );
    let mut bench =
        Bench { cpu: CpuEngine::default(), gpu, timed, filter, differs: false, rows: vec![], kernels: vec![] };
    println!(
        "| network | chips | images | CPU, images/s | GPU, images/s | ratio | logits |\n|---|---|---|---|---|---|---|"
    );
    for name in NETWORKS {
        bench.network(name)?;
    }
    bench.print_kernels(&ceilings);
    if let Some(file) = argument(2) {
        let text = format!("{:#}\n", bench.json(&adapter, &ceilings));
        std::fs::write(&file, text).map_err(|e| Error::Usage(format!("{file}: {e}")))?;
    }
    match bench.differs {
        true => Err(Error::Gpu("outcomes differ from the CPU's".into())),
        false => Ok(()),
    }
}

/// The engines that networks run on, and the figures so far.
struct Bench {
    cpu: CpuEngine,
    gpu: GpuEngine,
    /// The adapter with its kernels timed, which takes time of its own.
    timed: GpuEngine,
    /// Whether an outcome of the adapter was not the CPU's.
    differs: bool,
    filter: String,
    rows: Vec<Value>,
    kernels: Vec<KernelRow>,
}

/// A kernel of a layer in one run of a network.
struct KernelRow {
    network: &'static str,
    images: usize,
    name: String,
    time: Duration,
    /// Additions and multiplications, of a layer's sums.
    operations: Option<f64>,
}

impl Bench {
    fn network(&mut self, name: &'static str) -> Result<()> {
        let begins = |kind: &str| format!("{name}, {kind}").contains(&self.filter);
        let kinds: Vec<_> = CHIPS.into_iter().filter(|(kind, ..)| begins(kind)).collect();
        if kinds.is_empty() {
            return Ok(());
        }
        let model = Model::read(Path::new(&format!("models/{name}.toml")), &[])?;
        let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
        let inputs = |images: usize| {
            let batch = Batch { values: random(1, images * model.input.len()), indices: (0..images as u32).collect() };
            Inputs::new(encoder, batch, model.steps)
        };
        let network = settled(&model, &inputs(IMAGES))?;
        for (kind, keys, count) in kinds {
            let keys = CELLS.iter().take(if keys.is_empty() { 0 } else { CELLS.len() }).chain(keys);
            let profile = Profile::ideal(&keys.map(|key| key.to_string()).collect::<Vec<_>>())?;
            let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1)?;
            let chips = (0..count).map(|index| Chip::program(&blueprint, index)).collect::<Result<Vec<_>>>()?;
            let expected = self.cpu.load(&chips)?.run(&inputs(IMAGES))?;
            let (slow, _) = median(&self.cpu, &chips, &inputs(IMAGES), &expected)?;
            let (fast, same) = median(&self.gpu, &chips, &inputs(IMAGES), &expected)?;
            self.row((name, kind, IMAGES), count, Some(slow), fast, same);
            if MANY_KINDS.contains(&kind) {
                let expected = self.cpu.load(&chips)?.run(&inputs(MANY_IMAGES))?;
                let (fast, same) = median(&self.gpu, &chips, &inputs(MANY_IMAGES), &expected)?;
                self.row((name, kind, MANY_IMAGES), count, None, fast, same);
            }
            if count == 1 && kind == "ideal" {
                let mut loaded = self.timed.load(&chips)?;
                loaded.run(&inputs(MANY_IMAGES))?;
                self.timed.kernel_times();
                loaded.run(&inputs(MANY_IMAGES))?;
                let operations = |kernel: &str| {
                    let layer = chips[0].layers.iter().find(|layer| kernel == format!("{}: sums", layer.plan.name))?;
                    let products = layer.plan.rows() * layer.plan.output.len();
                    Some(2.0 * (products * model.steps * MANY_IMAGES) as f64)
                };
                let rows = self.timed.kernel_times().into_iter().map(|(name_of_kernel, time)| KernelRow {
                    network: name,
                    images: MANY_IMAGES,
                    operations: operations(&name_of_kernel),
                    name: name_of_kernel,
                    time,
                });
                self.kernels.extend(rows);
            }
        }
        Ok(())
    }

    /// Prints and keeps the figures of a network on chips of one kind.
    fn row(
        &mut self,
        (network, kind, images): (&str, &str, usize),
        chips: u64,
        slow: Option<f64>,
        fast: f64,
        same: bool,
    ) {
        self.differs |= !same;
        let rate = |seconds: f64| chips as f64 * images as f64 / seconds;
        let or_dash = |text: Option<String>| text.unwrap_or("–".into());
        println!(
            "| {network} | {kind} | {images} | {} | {:.0} | {} | {} |",
            or_dash(slow.map(|slow| format!("{:.0}", rate(slow)))),
            rate(fast),
            or_dash(slow.map(|slow| format!("{:.2}", slow / fast))),
            if same { "equal" } else { "differ" },
        );
        self.rows.push(json!({
            "network": network, "chips": kind, "count": chips, "images": images,
            "cpu_images_per_second": slow.map(rate), "gpu_images_per_second": rate(fast), "logits_equal": same,
        }));
    }

    fn print_kernels(&self, ceilings: &Ceilings) {
        if self.kernels.is_empty() {
            return;
        }
        println!("\n| network | images | kernel | ms | Tflop/s | share of the arithmetic |\n|---|---|---|---|---|---|");
        for KernelRow { network, images, name, time, operations } in &self.kernels {
            let rate = operations.map(|operations| operations / time.as_secs_f64());
            let (rate, share) = match rate {
                Some(rate) => {
                    (format!("{:.2}", rate / 1e12), format!("{:.0} %", 100.0 * rate / ceilings.operations_per_second))
                }
                None => ("–".into(), "–".into()),
            };
            println!("| {network} | {images} | {name} | {:.3} | {rate} | {share} |", 1e3 * time.as_secs_f64());
        }
    }

    fn json(&self, adapter: &AdapterInfo, ceilings: &Ceilings) -> Value {
        let kernel = |row: &KernelRow| {
            json!({
                "network": row.network, "images": row.images, "kernel": row.name, "seconds": row.time.as_secs_f64(),
                "operations": row.operations,
            })
        };
        json!({
            "adapter": adapter.name, "backend": adapter.backend, "driver": adapter.driver, "kind": adapter.kind.to_string(),
            "buffer_bytes": adapter.buffer_bytes, "cpu_threads": rayon::current_num_threads(),
            "copied_bytes_per_second": ceilings.bytes_per_second,
            "multiplied_operations_per_second": ceilings.operations_per_second,
            "engines": self.rows, "kernels": self.kernels.iter().map(kernel).collect::<Vec<_>>(),
        })
    }
}

/// Numbers from -1 to 1.
fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Substream::new(stream_key(seed, Stream::Init, 0), [0; 3]);
    (0..count).map(|_| (random.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// A network of random weights whose norms have seen the inputs.
fn settled(model: &Model, inputs: &Inputs) -> Result<Network> {
    let plan = ChipPlan::new(&Profile::ideal(&[])?, model, inputs.encoder.code)?;
    let setting = PassSetting::of(&plan);
    let mut network = Network::xavier(model, 1);
    let first = pass(&setting, &network, inputs, &vec![0; inputs.batch.len()], None)?;
    for (layer, statistics) in network.layers.iter_mut().zip(&first.statistics) {
        if let (Some(norm), Some(statistics)) = (&mut layer.norm, statistics) {
            (0..100).for_each(|_| statistics.update(norm));
        }
    }
    Ok(network)
}

/// The median seconds that an engine takes for all chips, and whether every run gave what is expected. Runs warm up
/// until a card's clock has risen.
fn median(engine: &dyn Engine, chips: &[Chip], inputs: &Inputs, expected: &[Outcome]) -> Result<(f64, bool)> {
    let mut loaded = engine.load(chips)?;
    let (mut seconds, mut same) = (vec![], true);
    let first = Instant::now();
    while seconds.len() < RUNS {
        let is_warm = first.elapsed() > WARM;
        let began = Instant::now();
        let outcomes = loaded.run(inputs)?;
        if is_warm {
            seconds.push(began.elapsed().as_secs_f64());
        }
        same &= outcomes == expected;
    }
    seconds.sort_by(f64::total_cmp);
    Ok((seconds[seconds.len() / 2], same))
}
