//! Adaptation of the batch norms: the statistics are those of the definition, an adapted chip wins accuracy back, and
//! nothing but gains and offsets changes.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::profile;
use crosspike::chip::{Blueprint, Chip};
use crosspike::config::Document;
use crosspike::data::{Dataset, Split};
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::monitor::Silent;
use crosspike::network::weights::{NORM_EPSILON, Norm};
use crosspike::network::{Batch, Encoder, Encoding, Inputs, LayerKind, Model, Network};
use crosspike::profile::Profile;
use crosspike::train::Trainer;
use crosspike::train::adapt::{Adaptation, Sample};
use crosspike::train::config::Hyperparameters;

fn threads<T: Send>(n: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(work)
}

fn small() -> Model {
    let text = "name = \"m\"\nsteps = 3\nclasses = 5\ninput = { channels = 2, height = 6, width = 5 }\n\
                neuron = { leak = 0.9, threshold = 0.7 }\nlayers = [{conv=4}, {pool=2}, {conv=19}, {fc=7}]";
    Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap()
}

/// Batches of so many images each, with values from −2 to 2.
fn batches(model: &Model, encoding: Encoding, sizes: &[usize]) -> Vec<Inputs> {
    let encoder = Encoder::new(encoding, model.input, 3, 9);
    let mut next = 1u32;
    let mut value = || {
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (next >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    let inputs = |(first, images): (usize, &usize)| {
        let values = (0..images * model.input.len()).map(|_| value()).collect();
        let indices = (0..*images as u32).map(|i| 100 * first as u32 + i).collect();
        Inputs::new(encoder, Batch { values, indices }, model.steps)
    };
    sizes.iter().enumerate().map(inputs).collect()
}

fn blueprint<'a>(profile: &Profile, model: &'a Model, network: &'a Network, encoding: Encoding) -> Blueprint<'a> {
    Blueprint::new(profile, model, network, encoding, 1).unwrap()
}

/// A map `[channels, rows, columns]` of one image at one step.
type Map = Vec<f64>;

/// Means and unbiased variances `[layers][steps, channels]` of a batch in training mode, by their definition in f64.
fn statistics(model: &Model, chip: &Chip, network: &Network, inputs: &Inputs) -> Vec<[Vec<f64>; 2]> {
    let (images, steps, shape) = (inputs.batch.len(), model.steps, model.input);
    let pixels = shape.height * shape.width;
    let mut signal: Vec<Vec<Map>> = (0..images)
        .map(|b| {
            let step = |t| {
                let mut sent = vec![0; shape.len()];
                inputs.encoder.encode(&inputs.batch, b, t, &mut sent);
                let unit = f64::from(inputs.encoder.code.unit);
                let at = |i: usize| unit * f64::from(sent[i % pixels * shape.channels + i / pixels]);
                (0..shape.len()).map(at).collect()
            };
            (0..steps).map(step).collect()
        })
        .collect();
    let mut all = Vec::new();
    for (layer, state) in chip.layers.iter().zip(&network.layers) {
        let (plan, Some(norm)) = (&layer.plan, &state.norm) else { break };
        let (input, output) = (plan.input, plan.output);
        let weights: Vec<f64> = layer.arrays.effective().iter().map(|w| f64::from(*w)).collect();
        let current = |map: &Map| -> Map {
            let mut sums = Vec::new();
            for (o, y, x) in (0..output.len()).map(|i| {
                let plane = output.height * output.width;
                (i / plane, i % plane / output.width, i % output.width)
            }) {
                let column = &weights[o * plan.rows()..][..plan.rows()];
                if plan.kind != LayerKind::Conv {
                    sums.push(column.iter().zip(map).map(|(w, s)| w * s).sum());
                    continue;
                }
                let mut sum = 0.0;
                for (row, weight) in column.iter().enumerate() {
                    let (c, ky, kx) = (row / 9, row / 3 % 3, row % 3);
                    let (Some(y), Some(x)) = ((y + ky).checked_sub(1), (x + kx).checked_sub(1)) else { continue };
                    if y < input.height && x < input.width {
                        sum += weight * map[(c * input.height + y) * input.width + x];
                    }
                }
                sums.push(sum);
            }
            sums
        };
        let currents: Vec<Vec<Map>> = signal.iter().map(|maps| maps.iter().map(current).collect()).collect();
        let (plane, channels) = (output.height * output.width, output.channels);
        let n = (images * plane) as f64;
        let (mut means, mut biased) = (Vec::new(), Vec::new());
        for (t, c) in (0..steps).flat_map(|t| (0..channels).map(move |c| (t, c))) {
            let values: Vec<f64> =
                currents.iter().flat_map(|image| &image[t][c * plane..(c + 1) * plane]).copied().collect();
            let mean = values.iter().sum::<f64>() / n;
            means.push(mean);
            biased.push(values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n);
        }
        let fire = |currents: &Vec<Map>| -> Vec<Map> {
            let mut membranes = vec![0.0; output.len()];
            let mut maps = Vec::new();
            for (t, current) in currents.iter().enumerate() {
                let (high, wide) = plan.pool;
                let pooled = plan.pooled();
                let mut map = vec![0.0; pooled.len()];
                for (i, (u, x)) in membranes.iter_mut().zip(current).enumerate() {
                    let (c, y, column) = (i / plane, i % plane / output.width, i % output.width);
                    let at = t * channels + c;
                    let gamma = f64::from(norm.gamma[at]);
                    let normalised = gamma * (x - means[at]) / (biased[at] + f64::from(NORM_EPSILON)).sqrt();
                    *u = f64::from(model.neuron.leak) * *u + normalised;
                    let threshold = f64::from(model.neuron.threshold);
                    assert!((*u - threshold).abs() > 1e-6, "the case is too close to call in f32");
                    if *u > threshold {
                        *u -= threshold;
                        let (y, column) = (y / high, column / wide);
                        if y < pooled.height && column < pooled.width {
                            map[(c * pooled.height + y) * pooled.width + column] += 1.0 / (high * wide) as f64;
                        }
                    }
                }
                maps.push(map);
            }
            maps
        };
        signal = currents.iter().map(fire).collect();
        all.push([means, biased.iter().map(|value| value * n / (n - 1.0)).collect()]);
    }
    all
}

#[test]
fn a_chip_is_adapted_in_other_reads_than_it_runs_in() {
    let model = small();
    let network = Network::xavier(&model, 1);
    let keys = ["rram.layers=all", "rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=4"];
    let reading = profile(&[&keys[..], &["rram.read.sigma=0.3"]].concat());
    let adaptation = Adaptation::new(&network, batches(&model, Encoding::Poisson, &[8])).unwrap();
    let blueprint = blueprint(&reading, &model, &network, Encoding::Poisson);
    let (chip, before) = (Chip::program(&blueprint, 2).unwrap(), Chip::read_before(&blueprint, 2).unwrap());
    assert!(chip.reads_vary() && chip != before);
    let adapted = adaptation.adapt_one_of(&blueprint, 2, chip.clone()).unwrap();
    let (own, other) = (adaptation.adapt(chip.clone()).unwrap(), adaptation.adapt(before).unwrap());
    for l in 0..3 {
        assert_eq!(adapted.layers[l].arrays, chip.layers[l].arrays, "the cells stay, and what is read of them");
        assert_eq!(adapted.layers[l].gain, other.layers[l].gain);
        assert_ne!(adapted.layers[l].gain, own.layers[l].gain);
    }
}

#[test]
fn the_statistics_of_a_nominal_float_chip_are_the_plain_mean_over_the_batches() {
    let model = small();
    let mut network = Network::xavier(&model, 5);
    for norm in network.layers.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
        norm.gamma.iter_mut().enumerate().for_each(|(i, gamma)| *gamma = 0.7 + 0.1 * (i % 7) as f32);
    }
    for encoding in [Encoding::Poisson, Encoding::Direct] {
        let chip = Chip::program(&blueprint(&profile(&[]), &model, &network, encoding), 0).unwrap();
        let sizes = [4, 7, 5];
        let expected: Vec<Vec<[Vec<f64>; 2]>> = batches(&model, encoding, &sizes)
            .iter()
            .map(|inputs| statistics(&model, &chip, &network, inputs))
            .collect();
        let adaptation = Adaptation::new(&network, batches(&model, encoding, &sizes)).unwrap();
        let states = adaptation.states(&chip).unwrap();
        let norms: Vec<Norm> = states.into_iter().filter_map(|state| state.norm).collect();
        assert_eq!(norms.len(), 3);
        let adapted = adaptation.adapt(chip.clone()).unwrap();
        for (l, norm) in norms.iter().enumerate() {
            assert_eq!(norm.gamma, network.layers[l].norm.as_ref().unwrap().gamma);
            for (what, found) in [&norm.mean, &norm.var].into_iter().enumerate() {
                assert!(found.iter().any(|value| value.abs() > 0.05), "the layer is alive");
                for (i, found) in found.iter().enumerate() {
                    let mean = expected.iter().map(|batch| batch[l][what][i]).sum::<f64>() / sizes.len() as f64;
                    assert!(
                        (f64::from(*found) - mean).abs() < 1e-5 * (1.0 + mean.abs()),
                        "{encoding:?} {l} {what} {i}"
                    );
                }
            }
            let (before, after) = (&chip.layers[l], &adapted.layers[l]);
            assert_eq!(before.arrays, after.arrays, "weights stay");
            for (i, (gain, offset)) in after.gain.iter().zip(&after.offset).enumerate() {
                let share = f64::from(norm.gamma[i]) / (f64::from(norm.var[i]) + f64::from(NORM_EPSILON)).sqrt();
                assert!((f64::from(*gain) / (share * f64::from(after.plan.input_unit)) - 1.0).abs() < 1e-6);
                assert!((f64::from(*offset) + share * f64::from(norm.mean[i])).abs() < 1e-5);
            }
            assert_ne!(before.gain, after.gain);
        }
        assert_eq!(chip.layers[3], adapted.layers[3], "the readout has no norm");
        for n in [1, 2] {
            assert_eq!(threads(n, || adaptation.adapt(chip.clone()).unwrap()), adapted, "{n} threads");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = small();
    let network = Network::xavier(&model, 5);
    let chip = Chip::program(&blueprint(&profile(&[]), &model, &network, Encoding::Poisson), 0).unwrap();
    let refuses = |result: crosspike::error::Result<()>, expected: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refuses(Adaptation::new(&network, vec![]).map(drop), "no batch, expected");
    refuses(Adaptation::new(&network, batches(&model, Encoding::Poisson, &[4, 1])).map(drop), "a batch of size 1");
    let direct = Adaptation::new(&network, batches(&model, Encoding::Direct, &[4])).unwrap();
    refuses(direct.adapt(chip.clone()).map(drop), "encoding: Direct");
    let digits = digits(&["steps=3"]);
    let other = Network::xavier(&digits, 5);
    let foreign = Adaptation::new(&other, batches(&model, Encoding::Poisson, &[4])).unwrap();
    refuses(foreign.adapt(chip).map(drop), "other layers");
    let training = Dataset::open("digits", Path::new(""), Split::Train).unwrap();
    let draw = |model, network, batches, images| {
        let sample = Sample { batches, images, data: None };
        Adaptation::draw(network, model, &training, Encoding::Poisson.into(), 1, &sample).map(drop)
    };
    refuses(draw(&digits, &other, 30, 64), "30 batches of 64 images, `digits` has 1437 training images");
    refuses(draw(&digits, &other, usize::MAX, 64), "`digits` has 1437");
    refuses(draw(&digits, &other, 1, 0), "a batch of size 0");
    refuses(draw(&digits, &other, 0, 8), "no batch");
    refuses(draw(&model, &network, 1, 8), "images of 1x8x8");
}

fn digits(overrides: &[&str]) -> Model {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits.toml");
    Model::read(&file, &overrides.iter().map(|set| set.to_string()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn an_adapted_chip_wins_accuracy_back() {
    let model = digits(&["steps=4"]);
    let [training, test] =
        [Split::Train, Split::Test].map(|split| Dataset::open("digits", Path::new(""), split).unwrap());
    let set = |scale: f64| {
        let scale = format!("rram.variation.scale={scale}");
        profile(&["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.34597", &scale])
    };
    let hyperparameters = Hyperparameters { epochs: 3, batch: 32, ..Hyperparameters::default() };
    let trainer = Trainer {
        model: &model,
        profile: &set(1.0),
        data: &training,
        hyperparameters: &hyperparameters,
        prune: None,
        inputs: Encoding::Poisson.into(),
        origin: serde_json::Value::Null,
    };
    let network = trainer.run(Network::xavier(&model, 1), None, &Silent).unwrap();
    let sample = Sample { batches: 6, images: 64, data: None };
    let adaptation =
        Arc::new(Adaptation::draw(&network, &model, &training, Encoding::Poisson.into(), 1, &sample).unwrap());
    let test_encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
    let mut images: Vec<u32> = adaptation.batches().iter().flat_map(|inputs| inputs.batch.indices.clone()).collect();
    images.sort_unstable();
    images.dedup();
    assert_eq!(images.len(), 6 * 64, "no image twice");
    assert!(adaptation.batches().iter().all(|inputs| inputs.encoder.key != test_encoder.key), "draws of their own");

    let engine = CpuEngine::default();
    let accuracies = |scale: f64, adaptation: Option<&Arc<Adaptation>>| {
        let (profile, mut accuracies) = (set(scale), Vec::new());
        let evaluation = Evaluation::on(&engine, &test, test_encoder, model.steps)
            .preparing(adaptation.map(|adaptation| adaptation.clone().preparation()));
        let blueprint = blueprint(&profile, &model, &network, Encoding::Poisson);
        let series = evaluation.series(&blueprint, 0..6, |_, result| {
            accuracies.push(result.accuracy);
            Ok(())
        });
        series.unwrap();
        accuracies
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (nominal, plain) = (accuracies(0.0, None), accuracies(2.0, None));
    let adapted = accuracies(2.0, Some(&adaptation));
    assert!(mean(&plain) < mean(&nominal) - 10.0, "variation costs: {plain:?} after {nominal:?}");
    assert!(mean(&adapted) > mean(&plain) + 5.0, "{adapted:?} after {plain:?}");
    let unvaried = accuracies(0.0, Some(&adaptation));
    assert!(unvaried[0] > nominal[0] - 4.0, "a chip without variation stays as good: {unvaried:?} after {nominal:?}");
    // A series prepares each chip as one would alone.
    let profile = set(2.0);
    let blueprint = blueprint(&profile, &model, &network, Encoding::Poisson);
    let chip = adaptation.adapt(Chip::program(&blueprint, 4).unwrap()).unwrap();
    let alone = Evaluation::on(&engine, &test, test_encoder, model.steps).run(&chip).unwrap();
    assert_eq!(alone.accuracy, adapted[4]);
}
