//! Training reproduces an independent PyTorch model: loss and logits to 1e-5, gradients of 23 bits to 1e-4 and of 16
//! bits to 5e-3 of each tensor's largest, of both every parameter and running statistic after one step to 5e-6 and
//! after three to 2e-5.

mod common;

use common::{batch, expected, golden, model, network, profile};
use crosspike::checkpoint::{Checkpoint, Values};
use crosspike::network::{Encoder, Encoding, Inputs, Network};
use crosspike::plan::ChipPlan;
use crosspike::train::config::{Hyperparameters, Prune};
use crosspike::train::gradient::Precision;
use crosspike::train::optimiser::Optimiser;
use crosspike::train::pass::{PassOutcome, PassSetting, pass};
use crosspike::train::prune::Groups;

/// How finely gradients are rounded, and the largest error that each may have, in units of the largest of its tensor.
const PRECISIONS: [(Precision, f32); 2] = [(Precision::Two, 5e-3), (Precision::Three, 1e-4)];

/// Runs `steps` training steps on the golden batch; gives the network and the first pass.
fn train(bits: u32, steps: usize, decay: f32, precision: Precision) -> (Network, PassOutcome) {
    train_from("checkpoint.safetensors", &[&format!("rram.weight_bits={bits}")], steps, decay, precision)
}

/// The same from another checkpoint, on other hardware.
fn train_from(
    file: &str,
    overrides: &[&str],
    steps: usize,
    decay: f32,
    precision: Precision,
) -> (Network, PassOutcome) {
    let model = model();
    let profile = profile(overrides);
    let plan = ChipPlan::new(&profile, &model, Encoding::Frames).unwrap();
    let setting = PassSetting { precision, ..PassSetting::of(&plan) };
    let hyperparameters = Hyperparameters { weight_decay: decay, ..Hyperparameters::default() };
    let (frames, labels) = batch("frames:train_frames.npz");
    let inputs = Inputs::new(Encoder::new(Encoding::Frames, model.input, 1, 1), frames, model.steps);
    let mut network = network(file);
    let mut sgd = Optimiser::new(&Hyperparameters::default(), &network);
    let mut first = None;
    for _ in 0..steps {
        let outcome = pass(&setting, &network, &inputs, &labels, None).unwrap();
        sgd.step(&mut network, &outcome, &hyperparameters, hyperparameters.learning_rate);
        first.get_or_insert(outcome);
    }
    (network, first.unwrap())
}

fn assert_same_parameters(network: &Network, file: &str, tolerance: f32) {
    let found = network.to_checkpoint(&model(), serde_json::Value::Null);
    let golden = Checkpoint::read(&golden(file)).unwrap();
    assert_eq!(found.tensors.keys().collect::<Vec<_>>(), golden.tensors.keys().collect::<Vec<_>>());
    let mut failures = Vec::new();
    for (name, tensor) in &golden.tensors {
        match (&tensor.values, &found.tensors[name].values) {
            (Values::F32(expected), Values::F32(found)) => {
                assert_eq!(expected.len(), found.len(), "{name}");
                if !expected.iter().zip(found).all(|(a, b)| (a - b).abs() <= tolerance) {
                    failures.push(format!("{name}: {found:?}, expected {expected:?}"));
                }
            }
            (expected, found) => assert_eq!(expected, found, "{name}"),
        }
    }
    assert!(failures.is_empty(), "{file}: {}", failures.join("\n"));
}

#[test]
fn loss_logits_and_gradients_are_the_golden_ones() {
    for (precision, tolerance) in PRECISIONS {
        same_gradients(&train(0, 1, 1e-4, precision).1, tolerance);
    }
}

fn same_gradients(outcome: &PassOutcome, tolerance: f32) {
    assert!((outcome.loss - f64::from(expected("train.loss")[[]])).abs() < 1e-5, "loss {}", outcome.loss);
    assert_eq!(outcome.logits.shape(), expected("train.logits").shape());
    for (a, b) in outcome.logits.iter().zip(expected("train.logits").iter()) {
        assert!((a - b).abs() < 1e-5, "logit {a}, expected {b}");
    }
    let golden = Checkpoint::read(&golden("gradients.safetensors")).unwrap();
    let values = |name: &str| match &golden.tensors[name].values {
        Values::F32(values) => values.clone(),
        Values::I64(_) | Values::U8(_) => panic!("{name} is not real"),
    };
    let model = model();
    let mut compared = 0;
    for (layer, gradient) in model.layers().iter().zip(&outcome.gradients) {
        let mut pairs = vec![(values(&format!("{}.weight", layer.name)), gradient.weights.clone())];
        for (t, gamma) in gradient.gamma.chunks(layer.columns()).enumerate() {
            let norm = crosspike::network::names::norm_name(layer);
            pairs.push((values(&format!("{norm}.{t}.weight")), gamma.to_vec()));
        }
        for (expected, found) in pairs {
            let largest = expected.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            assert_eq!(expected.len(), found.len());
            for (a, b) in expected.iter().zip(&found) {
                assert!((a - b).abs() <= tolerance * largest, "{}: {b}, expected {a}, largest {largest}", layer.name);
            }
            compared += 1;
        }
    }
    assert_eq!(compared, golden.tensors.len());
}

#[test]
fn parameters_after_one_step_are_the_golden_ones() {
    for (precision, _) in PRECISIONS {
        assert_same_parameters(&train(0, 1, 1e-4, precision).0, "after_one_step.safetensors", 5e-6);
    }
}

#[test]
fn parameters_after_one_quantised_step_are_the_golden_ones() {
    for (precision, _) in PRECISIONS {
        let (network, outcome) = train(4, 1, 1e-4, precision);
        assert!((outcome.loss - f64::from(expected("train.loss.bits4")[[]])).abs() < 1e-5, "loss {}", outcome.loss);
        assert_same_parameters(&network, "after_one_step_bits4.safetensors", 5e-6);
    }
}

#[test]
fn parameters_after_three_steps_are_the_golden_ones() {
    for (precision, _) in PRECISIONS {
        assert_same_parameters(&train(0, 3, 0.05, precision).0, "after_three_steps.safetensors", 2e-5);
    }
}

#[test]
fn ternary_gradients_stop_at_latent_weights_of_one() {
    let model = model();
    let (frames, labels) = batch("frames:train_frames.npz");
    let inputs = Inputs::new(Encoder::new(Encoding::Frames, model.input, 1, 1), frames, model.steps);
    let mut network = network("checkpoint.safetensors");
    network.layers[1].rram[0] = 1.5;
    let gradient = |scheme: &str| {
        let profile = profile(&["rram.weight_bits=4", &format!("rram.scheme={scheme}")]);
        let plan = ChipPlan::new(&profile, &model, Encoding::Frames).unwrap();
        let setting = PassSetting::of(&plan);
        pass(&setting, &network, &inputs, &labels, None).unwrap().gradients[1].weights.clone()
    };
    let (ternary, uniform) = (gradient("ternary"), gradient("uniform"));
    assert!(ternary[0] == 0.0 && uniform[0] != 0.0, "{} and {}", ternary[0], uniform[0]);
    assert!(ternary[1..].iter().any(|g| *g != 0.0));
}

#[test]
fn a_hybrid_after_one_step_is_the_golden_one() {
    let hardware = ["rram.weight_bits=4", "sram.bits=2", "sram.shift=1"];
    let loss = f64::from(expected("train.loss.hybrid.r4s2.shift1")[[]]);
    let before = common::network("hybrid.safetensors");
    for (precision, _) in PRECISIONS {
        let (mut trained, outcome) = train_from("hybrid.safetensors", &hardware, 1, 1e-4, precision);
        assert!((outcome.loss - loss).abs() < 1e-5, "loss {}, expected {loss}", outcome.loss);
        for (after, before) in trained.layers.iter().zip(&before.layers).filter(|(_, before)| before.sram.is_some()) {
            assert_eq!(after.rram, before.rram, "the RRAM is frozen");
        }
        // The golden file holds the trained parameters alone.
        trained.layers.iter_mut().for_each(|layer| layer.rram = layer.trained().to_vec());
        trained.layers.iter_mut().for_each(|layer| layer.sram = None);
        assert_same_parameters(&trained, "hybrid_after_one_step.safetensors", 5e-6);
    }
}

#[test]
fn the_lasso_and_its_gradient_are_the_golden_ones() {
    let model = model();
    let network = network("hybrid.safetensors");
    let prune = Prune { group: 8, ..Prune::default() };
    let mut loss = 0.0;
    for (plan, layer) in model.layers().iter().zip(&network.layers).skip(1) {
        let Some(array) = &layer.sram else { continue };
        let mut gradient = vec![0.0; array.latent.len()];
        loss += prune.lasso(&Groups::of(plan, prune.group), &array.latent, &mut gradient);
        let golden = expected(&format!("prune.gradient.{}", plan.name));
        assert_eq!(golden.len(), gradient.len());
        for (found, expected) in gradient.iter().zip(golden.iter()) {
            assert!((found - expected).abs() < 1e-9, "{}: {found}, expected {expected}", plan.name);
        }
    }
    let expected = f64::from(expected("prune.loss")[[]]);
    assert!((loss - expected).abs() < 1e-7, "{loss}, expected {expected}");
}
