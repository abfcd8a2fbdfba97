//! The GPU engine is the CPU engine: the same draws, spikes, sums, logits and counts, whatever the device's limits.
//!
//! Equality is exact. Where a device flushes denormal numbers a spike might differ if |u/θ − 1| < 1e-5; no model here
//! comes near that, so such a device passes too. Without any adapter these tests print why and pass, unless
//! CROSSPIKE_REQUIRE_GPU=1, as in continuous integration.

mod common;

use std::io::Write;
use std::path::Path;

use common::{meets_the_goldens, profile};
use crosspike::chip::{Blueprint, Chip};
use crosspike::config::Document;
use crosspike::crossbar::sums::{Kernel, Matrix};
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::gpu::{GpuEngine, explicit_choice};
use crosspike::engine::{Engine, Outcome};
use crosspike::network::encode::{PLANES, digit, fixed_point};
use crosspike::network::{Batch, Encoder, Encoding, Model, Network};
use crosspike::numeric::Shape;
use crosspike::rng::{KNOWN_ANSWERS, Stream, Substream, stream_key};
use ndarray_rand::rand::RngCore;

/// The engine on this machine's best adapter; none where there is no adapter and none is required.
fn gpu() -> Option<GpuEngine> {
    match explicit_choice() {
        Ok(adapter) => Some(GpuEngine::new(&adapter).unwrap()),
        Err(error) if std::env::var("CROSSPIKE_REQUIRE_GPU").is_ok_and(|v| v == "1") => panic!("{error}"),
        Err(error) => {
            // Written past the test runner, which hides what passing tests print.
            let _ = writeln!(std::io::stderr(), "skipped: {error}");
            None
        }
    }
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
        "name = \"m\"\nsteps = {steps}\nclasses = 5\ninput = {{ channels = {input} }}\nneuron = {{ leak = 0.9, threshold = 0.7 }}\nlayers = {layers}"
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
    ]
}

/// A chip with varied cells and norms away from their identity.
fn chip(model: &Model, encoding: Encoding, seed: u64) -> Chip {
    let mut random = random(seed);
    let mut network = Network::xavier(model, seed);
    for norm in network.layers.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
        for i in 0..norm.gamma.len() {
            norm.gamma[i] = 1.0 + 0.3 * uniform(&mut random);
            norm.mean[i] = 0.3 * uniform(&mut random);
            norm.var[i] = 1.0 + 0.8 * uniform(&mut random);
        }
    }
    let profile = profile(&["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.3"]);
    Chip::program(&Blueprint::new(&profile, model, &network, encoding, seed).unwrap(), seed).unwrap()
}

fn batch(model: &Model, encoding: Encoding, images: usize, seed: u64) -> Batch {
    let mut random = random(seed);
    let steps = if encoding == Encoding::Frames { model.steps } else { 1 };
    let values = (0..images * steps * model.input.len()).map(|_| 2.0 * uniform(&mut random)).collect();
    Batch { values, indices: (0..images as u32).map(|i| 7 * i + 3).collect() }
}

fn run(engine: &dyn Engine, chip: &Chip, encoder: &Encoder, batch: &Batch) -> Outcome {
    engine.load(chip).unwrap().run(encoder, batch).unwrap()
}

/// One map from channel-last to channel-first.
fn channel_first(map: &[f32], channels: usize) -> Vec<f32> {
    (0..channels).flat_map(|c| map.iter().skip(c).step_by(channels).copied()).collect()
}

/// One map from channel-first to channel-last.
fn channel_last(map: &[i32], channels: usize) -> Vec<f32> {
    let pixels = map.len() / channels;
    (0..pixels).flat_map(|p| map.iter().skip(p).step_by(pixels).map(|n| *n as f32)).collect()
}

/// The reference: a map's sums, channel-first.
fn reference(matrix: &Matrix, map: &[i32], channels: usize, columns: usize) -> Vec<f32> {
    channel_first(&matrix.convolve(&channel_last(map, channels)), columns)
}

#[test]
fn philox_gives_the_known_answers() {
    let Some(gpu) = gpu() else { return };
    let words = gpu.philox(&KNOWN_ANSWERS.map(|(counter, key, _)| (counter, key))).unwrap();
    assert_eq!(words, KNOWN_ANSWERS.map(|(.., expected)| expected));
}

#[test]
fn the_gpu_meets_every_golden_evaluation() {
    let Some(gpu) = gpu() else { return };
    meets_the_goldens(&gpu);
}

#[test]
fn poisson_spikes_are_the_cpus() {
    let Some(gpu) = gpu() else { return };
    for (seed, model) in (0..).zip(models()) {
        let chip = chip(&model, Encoding::Poisson, seed);
        let mut batch = batch(&model, Encoding::Poisson, 3, seed);
        let odd = [0.0, -0.0, f32::MIN_POSITIVE / 2.0, -1e-30, 5.0];
        batch.values.iter_mut().zip(odd).for_each(|(value, odd)| *value = odd);
        let encoder = Encoder::new(Encoding::Poisson, model.input, seed, 2);
        let found = gpu.load_chip(&chip).unwrap().encoded(&encoder, &batch).unwrap();
        let Shape { channels, .. } = model.input;
        let mut expected: Vec<i32> = Vec::new();
        for b in 0..batch.len() {
            for step in 0..model.steps {
                let mut map = vec![0; model.input.len()];
                encoder.encode(&batch, b, step, &mut map);
                (0..channels).for_each(|c| expected.extend(map.iter().skip(c).step_by(channels)));
            }
        }
        assert_eq!(found, expected);
    }
}

#[test]
fn the_sums_of_every_layer_are_the_cpus() {
    let Some(gpu) = gpu() else { return };
    let mut compared = 0;
    for (seed, model) in (0..).zip(models()) {
        let mut random = random(seed);
        for encoding in [Encoding::Poisson, Encoding::Frames] {
            let chip = chip(&model, encoding, seed);
            let mut loaded = gpu.load_chip(&chip).unwrap();
            for (l, layer) in chip.layers.iter().enumerate() {
                let planes = if l == 0 { encoding.planes() } else { 1 };
                let largest = layer.plan.largest_pulse as f32 + 0.99;
                let pulses: Vec<i32> = (0..2 * model.steps * layer.plan.input.len())
                    .map(|_| {
                        if planes == 1 {
                            (largest * uniform(&mut random)) as i32
                        } else {
                            fixed_point(9.0 * uniform(&mut random))
                        }
                    })
                    .collect();
                let found = loaded.sums(l, planes, &pulses).unwrap();
                let matrix = Matrix::new(&layer.plan, &layer.weights, Kernel::Dense);
                let unrolled = layer.plan.unrolling().input;
                // The CPU takes a fully connected layer's inputs channel-last too.
                let channels = layer.plan.input.channels;
                for (map, found) in pulses.chunks(unrolled.len()).zip(found.chunks(layer.plan.output.len())) {
                    let sums = |map: &[i32]| reference(&matrix, map, channels, layer.plan.columns());
                    let expected = match planes {
                        1 => sums(map),
                        _ => (0..PLANES).rev().fold(vec![0.0; found.len()], |total, plane| {
                            let digits: Vec<i32> = map.iter().map(|n| digit(*n, plane)).collect();
                            total.iter().zip(sums(&digits)).map(|(total, sum)| total * 16.0 + sum).collect()
                        }),
                    };
                    assert_eq!(found, expected, "{} of model {seed}", layer.plan.name);
                    compared += found.len();
                }
            }
        }
    }
    assert!(compared > 10_000);
}

#[test]
fn logits_and_counts_are_the_cpus() {
    let Some(gpu) = gpu() else { return };
    for (seed, model) in (0..).zip(models()) {
        for encoding in [Encoding::Poisson, Encoding::Direct, Encoding::Frames] {
            let chip = chip(&model, encoding, seed);
            let encoder = Encoder::new(encoding, model.input, seed, 0);
            let mut loaded = gpu.load(&chip).unwrap();
            for images in [5, 2, 9, 0] {
                let batch = batch(&model, encoding, images, seed + 50);
                let expected = run(&CpuEngine::default(), &chip, &encoder, &batch);
                assert_eq!(loaded.run(&encoder, &batch).unwrap(), expected, "{encoding:?}, model {seed}");
                assert!(images == 0 || expected.counts.spikes.iter().all(|layer| layer.iter().sum::<u64>() > 0));
            }
        }
    }
}

#[test]
fn small_limits_split_the_work_and_change_nothing() {
    // Two images of the first model a submission and dispatches in two dimensions; a wide layer's weights in parts.
    let wide = model("9, height = 1, width = 1", 2, "[{fc=64}, {fc=60}]");
    for (model, buffer_bytes, workgroups) in [(&models()[0], 2 * 22464 + 100, 4), (&wide, 4100, 16)] {
        for encoding in [Encoding::Poisson, Encoding::Direct, Encoding::Frames] {
            let Some(gpu) = gpu() else { return };
            let chip = chip(model, encoding, 4);
            let encoder = Encoder::new(encoding, model.input, 4, 0);
            let batch = batch(model, encoding, 21, 4);
            let expected = run(&CpuEngine::default(), &chip, &encoder, &batch);
            assert_eq!(run(&gpu.limited(buffer_bytes, workgroups), &chip, &encoder, &batch), expected);
        }
    }
}

#[test]
fn what_cannot_be_split_is_refused_by_name() {
    let model = model("9, height = 1, width = 1", 2, "[{fc=64}, {fc=60}]");
    for (buffer_bytes, expected) in
        [(2000, "`fc2`: the weights of 8 columns take 2048 bytes"), (500, "`fc1`: the pulses")]
    {
        let Some(gpu) = gpu() else { return };
        let gpu = gpu.limited(buffer_bytes, 16);
        let chip = chip(&model, Encoding::Poisson, 4);
        let error = gpu.load(&chip).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains(&buffer_bytes.to_string()), "{error}");
    }
}

#[test]
fn a_lost_device_is_an_error() {
    let Some(gpu) = gpu() else { return };
    let model = &models()[1];
    let chip = chip(model, Encoding::Poisson, 4);
    let encoder = Encoder::new(Encoding::Poisson, model.input, 4, 0);
    let batch = batch(model, Encoding::Poisson, 3, 4);
    let mut loaded = gpu.load(&chip).unwrap();
    loaded.run(&encoder, &batch).unwrap();
    gpu.lose();
    for _ in 0..2 {
        let error = loaded.run(&encoder, &batch).unwrap_err().to_string();
        assert!(error.starts_with("GPU: "), "{error}");
        println!("{error}");
    }
    assert!(gpu.load(&chip).is_err());
}
