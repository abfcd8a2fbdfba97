//! Times the CPU and a graphics adapter in turn, and holds their logits against each other, bit for bit.
//!
//! ```text
//! cargo run --release --example time_engines [-- FILTER [MULTIPLICATIONS]]
//! ```
//!
//! Weights and images are random, and the same in every run; the norms' statistics are those of the batch, as after training. A row is
//! a network on chips of one kind: a median of three runs after one that does not count, inputs encoded beforehand on the CPU where the
//! CPU uses them, on the adapter where Poisson draws are made there. FILTER is a part of the rows' beginnings, such as `digits`;
//! MULTIPLICATIONS are what the adapter is given at a time.

use std::path::Path;
use std::time::Instant;

use crosspike::chip::{Blueprint, Chip};
use crosspike::engine::Engine;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::gpu::{GpuEngine, explicit_choice};
use crosspike::error::{Error, Result};
use crosspike::network::{Batch, Encoder, Encoding, Inputs, Model, Network};
use crosspike::plan::ChipPlan;
use crosspike::profile::Profile;
use crosspike::rng::{Stream, Substream, stream_key};
use crosspike::train::pass::{Setting, pass};
use ndarray_rand::rand::RngCore;

/// Networks, and images of a batch.
const NETWORKS: [(&str, usize); 3] = [("digits", 64), ("fashion", 64), ("vgg9", 32)];
/// Runs that count.
const RUNS: usize = 3;
const CELLS: [&str; 5] =
    ["rram.layers=all", "rram.weight_bits=4", "rram.model=cell", "rram.cell.g_max_us=50", "rram.variation.sigma=0.1"];
/// Chips, the keys of their profile, and how many run together.
const CHIPS: [(&str, &[&str], u64); 5] = [
    ("ideal", &[], 1),
    ("cells that vary", &["rram.variation.kind=lognormal"], 1),
    ("cells that vary, 8 chips", &["rram.variation.kind=lognormal"], 8),
    ("converters of 6 bits", &["rram.variation.kind=lognormal", "adc.bits=6"], 1),
    ("cells read afresh", &["rram.variation.kind=lognormal", "rram.read.sigma=0.05"], 1),
];

fn main() -> Result<()> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let (cpu, mut gpu) = (CpuEngine::default(), GpuEngine::new(&explicit_choice()?)?);
    if let Some(most) = std::env::args().nth(2) {
        gpu = gpu.hurried(most.parse().map_err(|e| Error::Usage(format!("MULTIPLICATIONS {most}: {e}")))?);
    }
    println!("{}; CPU on {} threads\n", gpu.name(), rayon::current_num_threads());
    println!(
        "| network | chips | images | CPU, images/s | GPU, images/s | ratio | logits |\n|---|---|---|---|---|---|---|"
    );
    for (name, images) in NETWORKS {
        let model = Model::read(Path::new(&format!("models/{name}.toml")), &[])?;
        let values = random(1, images * model.input.len());
        let batch = Batch { values, indices: (0..images as u32).collect() };
        let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
        let inputs = || Inputs::new(encoder, batch.clone(), model.steps);
        let network = settled(&model, &inputs())?;
        for (kind, keys, count) in CHIPS {
            if !format!("{name}, {kind}").contains(&filter) {
                continue;
            }
            let keys = CELLS.iter().take(if keys.is_empty() { 0 } else { 5 }).chain(keys).map(|key| key.to_string());
            let profile = Profile::ideal(&keys.collect::<Vec<_>>())?;
            let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1)?;
            let chips = (0..count).map(|index| Chip::program(&blueprint, index)).collect::<Result<Vec<_>>>()?;
            let ([slow, fast], same) = in_turn([&cpu, &gpu], &chips, &inputs)?;
            let rate = |seconds: f64| count as f64 * images as f64 / seconds;
            println!(
                "| {name} | {kind} | {images} | {:.0} | {:.0} | {:.2} | {} |",
                rate(slow),
                rate(fast),
                slow / fast,
                if same { "equal" } else { "differ" }
            );
        }
    }
    Ok(())
}

/// Numbers from -1 to 1.
fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Substream::new(stream_key(seed, Stream::Init, 0), [0; 3]);
    (0..count).map(|_| (random.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// A network of random weights whose norms have seen the inputs.
fn settled(model: &Model, inputs: &Inputs) -> Result<Network> {
    let plan = ChipPlan::new(&Profile::ideal(&[])?, model, inputs.encoder.code)?;
    let setting = Setting::of(&plan);
    let mut network = Network::xavier(model, 1);
    let first = pass(&setting, &network, inputs, &vec![0; inputs.batch.len()], None)?;
    for (layer, statistics) in network.layers.iter_mut().zip(&first.statistics) {
        if let (Some(norm), Some(statistics)) = (&mut layer.norm, statistics) {
            (0..100).for_each(|_| statistics.update(norm));
        }
    }
    Ok(network)
}

/// The median seconds that each engine takes for all chips, run in turn, and whether the logits are the same bits.
fn in_turn(engines: [&dyn Engine; 2], chips: &[Chip], inputs: &impl Fn() -> Inputs) -> Result<([f64; 2], bool)> {
    let mut loaded = [engines[0].load(chips)?, engines[1].load(chips)?];
    let (mut seconds, mut same) = ([vec![], vec![]], true);
    for run in 0..=RUNS {
        let mut outcomes = vec![];
        for (loaded, seconds) in loaded.iter_mut().zip(&mut seconds) {
            let inputs = inputs();
            let began = Instant::now();
            outcomes.push(loaded.run(&inputs)?);
            if run > 0 {
                seconds.push(began.elapsed().as_secs_f64());
            }
        }
        same &= outcomes[0] == outcomes[1];
    }
    Ok((
        seconds.map(|mut seconds| {
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        }),
        same,
    ))
}
