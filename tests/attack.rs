//! Adversarial images: the gradient to the image meets a plain f64 backpropagation through time, which itself meets
//! finite differences; ε bounds what changes; larger ε and more steps cost accuracy; threads and batches do not show.

mod common;

use std::path::Path;

use common::{golden, profile};
use crosspike::attack::gradient::WhiteBox;
use crosspike::attack::{Attack, Judged, Method};
use crosspike::chip::{Blueprint, Chip, ProgrammedLayer};
use crosspike::config::Document;
use crosspike::data::{Dataset, Split};
use crosspike::engine::Engine;
use crosspike::engine::chip_result::ChipResult;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::{Evaluation, read_batch};
use crosspike::monitor::Silent;
use crosspike::network::{Batch, Encoder, Encoding, Inputs, LayerKind, Model, Network};
use crosspike::numeric::Shape;
use crosspike::train::Trainer;
use crosspike::train::config::Hyperparameters;

const VARYING: [&str; 4] =
    ["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.34597", "rram.layers=all"];
const PGD: Method = Method::Pgd { steps: 5, step_size: None };

/// Maps of a layer over all steps: `[steps][channels, rows, columns]`.
type Maps = Vec<Vec<f64>>;

/// What a spike is: a step of v, or the integral of the surrogate, with resets that are given.
enum Spike<'a> {
    Step,
    Smooth(&'a [Maps]),
}

impl Spike<'_> {
    fn of(&self, v: f64) -> f64 {
        match self {
            Spike::Step => f64::from(u8::from(v > 0.0)),
            Spike::Smooth(_) if v.abs() >= 1.0 => 0.15 + 0.15 * v.signum(),
            Spike::Smooth(_) => 0.15 + 0.3 * (v - 0.5 * v * v.abs()),
        }
    }
}

/// A pass of one image through a chip, by the definitions.
struct Reference {
    loss: f64,
    /// ∂loss/∂pulses of the input.
    gradient: Maps,
    /// Spikes of each spiking layer before the pool.
    spikes: Vec<Maps>,
}

/// Every (output, input, weight) of a layer's matrix that meet: the product and its transpose follow from it.
fn connections(layer: &ProgrammedLayer) -> Vec<(usize, usize, f64)> {
    let (plan, mut all) = (&layer.plan, Vec::new());
    let Shape { channels, height, width } = plan.input;
    let weight = |column: usize, row: usize| f64::from(layer.arrays.effective()[column * plan.rows() + row]);
    for output in 0..plan.columns() {
        if plan.kind != LayerKind::Conv {
            all.extend((0..plan.input.len()).map(|input| (output, input, weight(output, input))));
            continue;
        }
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            for (c, ky, kx) in (0..channels).flat_map(|c| (0..9).map(move |k| (c, k / 3, k % 3))) {
                let (Some(from_y), Some(from_x)) = ((y + ky).checked_sub(1), (x + kx).checked_sub(1)) else { continue };
                if from_y < height && from_x < width {
                    let input = (c * height + from_y) * width + from_x;
                    all.push(((output * height + y) * width + x, input, weight(output, (c * 3 + ky) * 3 + kx)));
                }
            }
        }
    }
    all
}

/// The pooled place of each neuron; none where odd sizes are floored.
fn pooled(layer: &ProgrammedLayer) -> Vec<Option<usize>> {
    let (output, (high, wide), pooled) = (layer.plan.output, layer.plan.pool, layer.plan.pooled());
    let place = |i: usize| {
        let (c, y, x) = (i / (output.height * output.width), i / output.width % output.height, i % output.width);
        let (y, x) = (y / high, x / wide);
        (y < pooled.height && x < pooled.width).then_some((c * pooled.height + y) * pooled.width + x)
    };
    (0..output.len()).map(place).collect()
}

/// Backpropagation through time of the cross-entropy, in f64, from input pulses.
fn reference(chip: &Chip, input: &Maps, label: usize, spike: &Spike) -> Reference {
    let (leak, threshold) = (f64::from(chip.layers[0].plan.lif.leak), f64::from(chip.layers[0].plan.lif.threshold));
    let (readout, spiking) = chip.layers.split_last().unwrap();
    let (mut maps, mut potentials, mut spikes) = (vec![input.clone()], Vec::new(), Vec::new());
    for (l, layer) in spiking.iter().enumerate() {
        let (output, columns, places) = (layer.plan.output, layer.plan.columns(), pooled(layer));
        let connections = connections(layer);
        let mut membrane = vec![0.0; output.len()];
        let (mut layer_potentials, mut layer_spikes, mut layer_pulses) = (Maps::new(), Maps::new(), Maps::new());
        for t in 0..chip.steps {
            let mut sums = vec![0.0; output.len()];
            connections.iter().for_each(|(o, i, w)| sums[*o] += w * maps[l][t][*i]);
            let (mut v, mut s) = (vec![0.0; output.len()], vec![0.0; output.len()]);
            let mut pulses = vec![0.0; layer.plan.pooled().len()];
            for i in 0..output.len() {
                let norm = t * columns + i / (output.height * output.width);
                let z = f64::from(layer.gain[norm]) * sums[i] + f64::from(layer.offset[norm]);
                let u = leak * membrane[i] + z;
                v[i] = u / threshold - 1.0;
                s[i] = spike.of(v[i]);
                let reset = if let Spike::Smooth(resets) = spike { resets[l][t][i] } else { s[i] };
                membrane[i] = u - threshold * reset;
                if let Some(place) = places[i] {
                    pulses[place] += s[i];
                }
            }
            layer_potentials.push(v);
            layer_spikes.push(s);
            layer_pulses.push(pulses);
        }
        maps.push(layer_pulses);
        potentials.push(layer_potentials);
        spikes.push(layer_spikes);
    }
    let share = f64::from(readout.plan.input_unit) / chip.steps as f64;
    let last = connections(readout);
    let mut logits = vec![0.0; readout.plan.columns()];
    for pulses in &maps[spiking.len()] {
        last.iter().for_each(|(o, i, w)| logits[*o] += share * w * pulses[*i]);
    }
    let sum: f64 = logits.iter().map(|x| x.exp()).sum();
    let loss = sum.ln() - logits[label];
    let target = |o: usize| f64::from(u8::from(o == label));
    let mut step = vec![0.0; readout.plan.input.len()];
    last.iter().for_each(|(o, i, w)| step[*i] += share * w * (logits[*o].exp() / sum - target(*o)));
    let mut gradient = vec![step; chip.steps];
    for (l, layer) in spiking.iter().enumerate().rev() {
        let (output, columns, places) = (layer.plan.output, layer.plan.columns(), pooled(layer));
        let connections = connections(layer);
        let mut carried = vec![0.0; output.len()];
        let mut inputs = vec![vec![0.0; layer.plan.input.len()]; chip.steps];
        for t in (0..chip.steps).rev() {
            let mut sums = vec![0.0; output.len()];
            for i in 0..output.len() {
                let above = places[i].map_or(0.0, |place| gradient[t][place]);
                let slope = 0.3 * (1.0 - f64::abs(potentials[l][t][i])).max(0.0) / threshold;
                carried[i] = above * slope + leak * carried[i];
                sums[i] = f64::from(layer.gain[t * columns + i / (output.height * output.width)]) * carried[i];
            }
            connections.iter().for_each(|(o, i, w)| inputs[t][*i] += w * sums[*o]);
        }
        gradient = inputs;
    }
    Reference { loss, gradient, spikes }
}

fn model(channels: usize, (height, width): (usize, usize), layers: &str, more: &str) -> Model {
    let text = format!(
        "name = \"m\"\nsteps = 3\nclasses = 5\ninput = {{ channels = {channels}, height = {height}, width = {width} \
         }}\n\
         {more}\nlayers = {layers}"
    );
    Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap()
}

/// Fresh weights with norms that differ from step to step and channel to channel.
fn network(model: &Model) -> Network {
    let mut network = Network::xavier(model, 3);
    for norm in network.layers.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
        for i in 0..norm.gamma.len() {
            norm.gamma[i] = 0.7 + 0.1 * (i % 5) as f32;
            norm.mean[i] = 0.05 * (i % 7) as f32 - 0.2;
            norm.var[i] = 0.5 + 0.2 * (i % 3) as f32;
        }
    }
    network
}

fn chip(model: &Model, network: &Network, encoding: Encoding) -> Chip {
    let profile = profile(&VARYING);
    Chip::program(&Blueprint::new(&profile, model, network, encoding, 7).unwrap(), 3).unwrap()
}

/// Images with values from −2.4 to 2.4.
fn images(shape: Shape, count: usize) -> Batch {
    let value = |i: usize| ((i * 7919 + 13) % 97) as f32 / 20.0 - 2.4;
    Batch { values: (0..count * shape.len()).map(value).collect(), indices: (4..4 + count as u32).collect() }
}

/// The pulses of image `b` in channel-first order.
fn pulses(inputs: &Inputs, b: usize) -> Maps {
    let Shape { channels, height, width } = inputs.encoder.shape;
    let pixels = height * width;
    let step = |t: usize| {
        let mut last = vec![0; channels * pixels];
        inputs.encoder.encode(&inputs.batch, b, t, &mut last);
        (0..last.len()).map(|i| f64::from(last[i % pixels * channels + i / pixels])).collect()
    };
    (0..inputs.steps).map(step).collect()
}

#[test]
fn the_gradient_is_that_of_plain_backpropagation_through_time() {
    let other = "neuron = { leak = 0.6, threshold = 1.7 }";
    for (what, model) in [
        ("a thin input, floored pools", model(2, (7, 6), "[{conv=20}, {pool=2}, {conv=9}, {pool=2}, {fc=33}]", "")),
        ("more channels than a patch holds", model(6, (5, 4), "[{conv=17}, {conv=5}, {pool=\"global\"}]", other)),
        ("more than a block of channels", model(19, (4, 4), "[{conv=8}, {pool=2}, {fc=12}]", "")),
        ("no convolution", model(3, (4, 5), "[{fc=21}, {fc=10}]", other)),
    ] {
        let network = network(&model);
        for encoding in [Encoding::Direct, Encoding::Poisson] {
            let chip = chip(&model, &network, encoding);
            let encoder = Encoder::new(encoding, model.input, 7, 1);
            let inputs = Inputs::new(encoder, images(model.input, 3), model.steps);
            let labels = [0, 3, 1];
            let found = WhiteBox::new(&chip).unwrap().gradient(&inputs, &labels).unwrap();
            let engine = CpuEngine::default();
            let outcome = engine.load(std::slice::from_ref(&chip)).unwrap().run(&inputs).unwrap().remove(0);
            assert_eq!(found.logits, outcome.logits, "{what}, {encoding:?}: the chip's own logits");
            let mut loss = 0.0;
            for (b, found) in found.values.chunks(model.input.len()).enumerate() {
                let expected = reference(&chip, &pulses(&inputs, b), labels[b] as usize, &Spike::Step);
                loss += expected.loss;
                let slope = |x: f32| match encoding {
                    Encoding::Poisson => f64::from(u8::from(x.abs() <= 2.0)) * 0.5,
                    _ => 65536.0,
                };
                let sum = |i: usize| expected.gradient.iter().map(|step| step[i]).sum::<f64>();
                let expected: Vec<f64> =
                    inputs.batch.image(b).iter().enumerate().map(|(i, x)| slope(*x) * sum(i)).collect();
                let largest = expected.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
                assert!(largest > 1e-4, "{what}, {encoding:?}: a gradient of {largest} would show nothing");
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error <= 2e-5 * largest, "{what}, {encoding:?}, image {b}, {i}: {found}, not {expected}");
                }
            }
            assert!((found.loss - loss).abs() < 1e-4, "{what}, {encoding:?}: loss {}, not {loss}", found.loss);
        }
    }
}

#[test]
fn the_reference_meets_finite_differences_where_spikes_are_smooth() {
    let model = model(2, (5, 4), "[{conv=4}, {pool=2}, {conv=3}, {fc=6}]", "neuron = { leak = 0.8, threshold = 1.3 }");
    let chip = chip(&model, &network(&model), Encoding::Direct);
    let inputs = Inputs::new(Encoder::new(Encoding::Direct, model.input, 1, 0), images(model.input, 1), model.steps);
    let input = pulses(&inputs, 0);
    let resets = reference(&chip, &input, 2, &Spike::Step).spikes;
    let smooth = |input: &Maps| reference(&chip, input, 2, &Spike::Smooth(&resets));
    let gradient = smooth(&input).gradient;
    let largest = gradient.iter().flatten().fold(0.0, |m: f64, g| m.max(g.abs()));
    for (t, i) in (0..model.steps).flat_map(|t| (0..model.input.len()).map(move |i| (t, i))) {
        // A unit is 2^-16 of a pixel's value.
        let moved = |by: f64| {
            let mut input = input.clone();
            input[t][i] += by;
            smooth(&input).loss
        };
        let difference = (moved(4.0) - moved(-4.0)) / 8.0;
        assert!((gradient[t][i] - difference).abs() <= 1e-4 * largest, "{} for {difference}", gradient[t][i]);
    }
}

fn digits() -> Model {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits.toml");
    Model::read(&file, &["steps=4".into()]).unwrap()
}

fn test_digits(limit: usize) -> Dataset {
    Dataset::open("digits", Path::new(""), Split::Test).unwrap().limit(limit)
}

fn trained(model: &Model, encoding: Encoding) -> Network {
    let data = Dataset::open("digits", Path::new(""), Split::Train).unwrap();
    let (hyperparameters, profile) =
        (Hyperparameters { epochs: 3, batch: 32, ..Hyperparameters::default() }, profile(&VARYING[..1]));
    let trainer = Trainer {
        model,
        profile: &profile,
        data: &data,
        hyperparameters: &hyperparameters,
        prune: None,
        inputs: encoding.into(),
        origin: serde_json::Value::Null,
    };
    trainer.run(Network::xavier(model, 1), None, &Silent).unwrap()
}

#[test]
fn accuracy_falls_with_epsilon_and_projected_steps_cost_no_less() {
    let (model, data, engine) = (digits(), test_digits(200), CpuEngine::default());
    for encoding in [Encoding::Poisson, Encoding::Direct] {
        let (network, profile) =
            (trained(&model, encoding), profile(&[&VARYING[..], &["rram.variation.scale=0.3"]].concat()));
        let blueprint = Blueprint::new(&profile, &model, &network, encoding, 7).unwrap();
        let accuracies = |method: Method, epsilons: &[f64]| {
            let attack = Attack::new(method, epsilons.to_vec(), 7, &data).unwrap();
            let mut chips: Vec<Vec<f64>> = vec![];
            let each = |_, judged: &[Judged]| {
                chips.push(judged.iter().map(Judged::accuracy).collect());
                Ok(())
            };
            attack.series(&engine, &data, &blueprint, (0..2, 64), &Silent, each).unwrap();
            chips
        };
        let encoder = Encoder::new(encoding, model.input, 7, 0);
        let mut unharmed = Vec::new();
        let evaluation = Evaluation::on(&engine, &data, encoder, model.steps);
        let each = |_, result: &ChipResult| {
            unharmed.push(result.accuracy);
            Ok(())
        };
        evaluation.series(&blueprint, 0..2, each).unwrap();
        let epsilons = [0.0, 0.05, 0.1, 0.2];
        let (fgsm, pgd) = (accuracies(Method::Fgsm, &epsilons), accuracies(PGD, &epsilons));
        for (c, unharmed) in unharmed.into_iter().enumerate() {
            let all = format!("{encoding:?}, chip {c}: {unharmed}, fgsm {:?}, pgd {:?}", fgsm[c], pgd[c]);
            assert!(unharmed > 60.0 && fgsm[c][0] == unharmed && pgd[c][0] == unharmed, "{all}");
            assert!(fgsm[c].is_sorted_by(|a, b| a > b) && fgsm[c][3] < unharmed - 30.0, "{all}");
            assert!(pgd[c].is_sorted_by(|a, b| a >= b), "{all}");
            assert!(fgsm[c].iter().zip(&pgd[c]).all(|(fgsm, pgd)| pgd <= fgsm), "{all}");
        }
    }
}

#[test]
fn examples_stay_in_the_ball_and_among_pixels_that_can_be() {
    let (model, data) = (digits(), test_digits(20));
    let [black, white] = data.pixel_range().unwrap()[0];
    assert!(
        (f64::from(white - black) - 1.0 / 0.3760).abs() < 1e-5 && (f64::from(black) + 0.3053 / 0.3760).abs() < 1e-6
    );
    let network = network(&model);
    let (batch, labels) = read_batch(&data, &(0..20).collect::<Vec<_>>(), None).unwrap();
    for encoding in [Encoding::Poisson, Encoding::Direct] {
        let chip = chip(&model, &network, encoding);
        let white_box = WhiteBox::new(&chip).unwrap();
        for method in [Method::Fgsm, PGD, Method::Pgd { steps: 3, step_size: Some(0.5) }] {
            let epsilons = [0.0, 0.01, 0.3, 1.0];
            let attack = Attack::new(method, epsilons.to_vec(), 7, &data).unwrap();
            let examples = attack.examples(&white_box, &batch, &labels).unwrap();
            assert_eq!(examples[0].values, batch.values, "ε = 0");
            for (epsilon, example) in epsilons.iter().zip(&examples) {
                let mut furthest = 0.0f64;
                for (x, original) in example.values.iter().zip(&batch.values) {
                    furthest = furthest.max(f64::from((x - original).abs()) * 0.3760);
                    assert!((black..=white).contains(x), "{x} is no pixel");
                }
                assert!((furthest - epsilon).abs() < 1e-6, "{method:?} at {epsilon} goes as far as {furthest}");
                assert_eq!(example.indices, batch.indices);
            }
        }
        // A step that reaches the ball's surface is the fast gradient sign method's.
        let once =
            |method| Attack::new(method, vec![0.1], 7, &data).unwrap().examples(&white_box, &batch, &labels).unwrap();
        assert_eq!(once(Method::Pgd { steps: 1, step_size: None })[0].values, once(Method::Fgsm)[0].values);
    }
}

#[test]
fn values_from_a_file_move_in_their_own_units_and_without_clipping() {
    let (model, network) = (common::model(), common::network("checkpoint.safetensors"));
    let data = Dataset::open("images:images.npz", &golden(""), Split::Test).unwrap();
    assert!(data.pixel_range().is_none());
    let chip = chip(&model, &network, Encoding::Direct);
    let (batch, labels) = read_batch(&data, &(0..data.len()).collect::<Vec<_>>(), None).unwrap();
    let attack = Attack::new(Method::Fgsm, vec![1.5], 1, &data).unwrap();
    let white_box = WhiteBox::new(&chip).unwrap();
    let example = attack.examples(&white_box, &batch, &labels).unwrap().remove(0);
    let gradient = {
        let encoder = Encoder::new(Encoding::Direct, model.input, 1, 1);
        white_box.gradient(&Inputs::new(encoder, batch.clone(), model.steps), &labels).unwrap().values
    };
    assert!(gradient.iter().any(|g| *g != 0.0));
    for ((x, original), g) in example.values.iter().zip(&batch.values).zip(&gradient) {
        let expected = original + if *g == 0.0 { 0.0 } else { 1.5 * g.signum() };
        assert_eq!(*x, expected);
    }
    assert!(attack.unit().contains("without clipping"));
}

#[test]
fn threads_and_batches_do_not_show() {
    let (model, data) = (digits(), test_digits(70));
    let network = network(&model);
    for encoding in [Encoding::Poisson, Encoding::Direct] {
        let chip = chip(&model, &network, encoding);
        let examples = |threads: usize, batch: usize| {
            let work = || {
                let white_box = WhiteBox::new(&chip).unwrap();
                let attack = Attack::new(PGD, vec![0.02, 0.1], 7, &data).unwrap();
                let mut values = vec![Vec::new(); 2];
                for chosen in (0..data.len()).collect::<Vec<_>>().chunks(batch) {
                    let (batch, labels) = read_batch(&data, chosen, None).unwrap();
                    for (all, example) in values.iter_mut().zip(attack.examples(&white_box, &batch, &labels).unwrap()) {
                        all.extend(example.values.iter().map(|x| x.to_bits()));
                    }
                }
                values
            };
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
        };
        let expected = examples(1, 64);
        for (threads, batch) in [(1, 16), (2, 64), (2, 16), (3, 1)] {
            assert!(examples(threads, batch) == expected, "{encoding:?}, {threads} threads, batches of {batch}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let (pixels, file) = (test_digits(5), Dataset::open("images:images.npz", &golden(""), Split::Test).unwrap());
    let pgd = |steps, step_size| Method::Pgd { steps, step_size };
    for (data, method, epsilons, fragment) in [
        (&pixels, Method::Fgsm, vec![], "one or more"),
        (&pixels, Method::Fgsm, vec![0.1, f64::NAN], "ε NaN"),
        (&pixels, Method::Fgsm, vec![-0.1], "ε -0.1: expected a number from 0 to 1"),
        (&pixels, Method::Fgsm, vec![8.0], "the pixel range"),
        (&file, Method::Fgsm, vec![f64::INFINITY], "normalised values"),
        (&pixels, pgd(0, None), vec![0.1], "0 steps"),
        (&pixels, pgd(3, Some(0.0)), vec![0.1], "step size 0"),
        (&pixels, pgd(3, Some(f64::NAN)), vec![0.1], "step size NaN"),
    ] {
        let error = Attack::new(method, epsilons.clone(), 1, data).expect_err(&format!("{epsilons:?}")).to_string();
        assert!(error.contains(fragment), "no `{fragment}` in: {error}");
    }
    assert!(Attack::new(Method::Fgsm, vec![8.0], 1, &file).is_ok(), "normalised values have no range");
    let (model, network) = (common::model(), common::network("checkpoint.safetensors"));
    let error = WhiteBox::new(&chip(&model, &network, Encoding::Frames)).err().expect("frames").to_string();
    assert!(error.contains("frames") && error.contains("poisson"), "{error}");
}
