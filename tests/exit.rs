//! Early exit: the logits after step t are those of a network of t steps, and each rule stops where it says.

mod common;

use std::path::Path;

use common::{batch, network, profile};
use crosspike::chip::{Blueprint, Chip};
use crosspike::data::{Dataset, Split};
use crosspike::engine::chip_result::ChipResult;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::engine::exit::{Exit, ExitRule};
use crosspike::engine::{Counts, Engine, Keep, Outcome};
use crosspike::network::{Encoder, Encoding, Inputs, Model, Network};
use ndarray::Axis;

const STEPS: usize = 5;
const VARIED: [&str; 3] = ["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.3"];

fn digits(steps: usize) -> Model {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits.toml");
    Model::read(&file, &[format!("steps={steps}")]).unwrap()
}

/// A network with γ that falls from step to step: γ_t = 3·0.8^t, and layers that all fire.
fn falling(model: &Model) -> Network {
    let mut network = Network::xavier(model, 5);
    for norm in network.layers.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
        let channels = norm.gamma.len() / model.steps;
        norm.gamma.iter_mut().enumerate().for_each(|(i, gamma)| *gamma = 3.0 * 0.8f32.powi((i / channels) as i32));
    }
    network
}

/// Its first `steps` steps alone.
fn truncated(network: &Network, steps: usize) -> Network {
    let mut network = network.clone();
    for norm in network.layers.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
        let kept = norm.gamma.len() / norm.tracked.len() * steps;
        [&mut norm.gamma, &mut norm.mean, &mut norm.var].into_iter().for_each(|values| values.truncate(kept));
        norm.tracked.truncate(steps);
    }
    network
}

/// What chip 3 does with the first 70 test digits.
fn evaluate(model: &Model, network: &Network, exit: Option<Exit>, batch: usize) -> ChipResult {
    evaluate_images((0..70).collect(), model, network, exit, batch)
}

/// What it does with some of them.
fn evaluate_images(
    images: Vec<usize>,
    model: &Model,
    network: &Network,
    exit: Option<Exit>,
    batch: usize,
) -> ChipResult {
    let data = Dataset::open("digits", Path::new(""), Split::Test).unwrap().limit(70);
    let profile = profile(&VARIED);
    let blueprint = Blueprint::new(&profile, model, network, Encoding::Poisson, 7).unwrap();
    let engine = CpuEngine::default();
    let encoder = Encoder::new(Encoding::Poisson, model.input, 7, 0);
    let evaluation = Evaluation::on(&engine, &data, encoder, model.steps);
    let evaluation = evaluation.of_images(images).batches_of(batch).exiting(exit);
    evaluation.run(&Chip::program(&blueprint, 3).unwrap()).unwrap()
}

/// What is equal bit for bit, the sign of a zero too.
fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

/// Runs chip 0 of a golden checkpoint, keeping the logits after every step.
fn by_step(encoding: Encoding, data: &str, keep: Keep) -> Outcome {
    let (model, profile, network) = (common::model(), profile(&VARIED), network("checkpoint.safetensors"));
    let blueprint = Blueprint::new(&profile, &model, &network, encoding, 1).unwrap();
    let chip = Chip::program(&blueprint, 0).unwrap();
    let inputs = Inputs::new(Encoder::new(encoding, model.input, 1, 0), batch(data).0, model.steps);
    CpuEngine::default().load(&[chip]).unwrap().run_keeping(&inputs, keep).unwrap().remove(0)
}

#[test]
fn logits_after_the_last_step_are_the_ordinary_ones_bit_for_bit() {
    for (encoding, data) in [(Encoding::Frames, "frames:frames.npz"), (Encoding::Direct, "images:images.npz")] {
        let (all, last) = (by_step(encoding, data, Keep::Every), by_step(encoding, data, Keep::Last));
        let steps = all.by_step.as_ref().unwrap();
        assert_eq!(steps.dim(), (4, 6, 5));
        assert!(last.by_step.is_none() && last.by_image.is_none(), "nothing is kept unasked");
        assert_eq!(bits(&all.logits), bits(&last.logits));
        assert_eq!(bits(steps.index_axis(Axis(0), 3)), bits(&last.logits));
        assert_ne!(bits(steps.index_axis(Axis(0), 2)), bits(&last.logits));
        assert_eq!(all.counts, last.counts);
    }
}

#[test]
fn stopping_after_a_step_is_a_network_of_so_many_steps() {
    let model = digits(STEPS);
    let network = falling(&model);
    let full = evaluate(&model, &network, None, 64);
    for steps in 1..=STEPS {
        // γ_t is below 3·0.8^(steps − 1.5) for the first time at step `steps`.
        let rule = ExitRule::Gamma(3.0 * 0.8f64.powf(steps as f64 - 1.5));
        let found = evaluate(&model, &network, Some(rule.of(&model, &network).unwrap()), 64);
        let exit = found.exit.as_ref().unwrap();
        assert_eq!(exit.steps, vec![steps; 70]);
        let short = evaluate(&digits(steps), &truncated(&network, steps), None, 64);
        assert_eq!(bits(&exit.logits), bits(&short.logits), "{steps} steps");
        assert!(exit.logits.iter().filter(|x| **x != 0.0).count() > 350, "the readout is alive");
        assert_eq!((exit.correct, exit.accuracy), (short.correct, short.accuracy));
        assert_eq!(exit.counts.until(steps), short.counts.until(steps), "events of {steps} steps");
        assert_eq!(exit.counts.total_spikes(), short.counts.total_spikes(), "and none of later ones");
        assert_eq!(ChipResult { exit: None, ..found }, full, "the results of all steps stay as they are");
    }
    let none = evaluate(&model, &network, Some(ExitRule::Gamma(0.01).of(&model, &network).unwrap()), 64).exit.unwrap();
    assert_eq!((none.steps, none.counts), (vec![STEPS; 70], full.counts.until(STEPS)), "no step meets the rule");
}

#[test]
fn the_confidence_threshold_moves_between_one_step_and_all() {
    let model = digits(STEPS);
    let network = falling(&model);
    let full = evaluate(&model, &network, None, 64);
    let exit = |threshold: f64| {
        let exit = ExitRule::Confidence(threshold).of(&model, &network).unwrap();
        let found = evaluate(&model, &network, Some(exit), 64);
        assert_eq!(found, evaluate(&model, &network, Some(exit), 9), "the batch does not show");
        found.exit.unwrap()
    };
    let never = exit(1.1);
    assert_eq!((bits(&never.logits), never.steps), (bits(&full.logits), vec![STEPS; 70]));
    assert_eq!((never.correct, never.accuracy), (full.correct, full.accuracy));
    let first = exit(0.0);
    assert_eq!(first.steps, vec![1; 70]);
    assert_eq!(bits(&first.logits), bits(&evaluate(&digits(1), &truncated(&network, 1), None, 64).logits));
    let runs = [0.0, 0.3, 0.5, 0.7, 0.9, 1.1].map(exit);
    for (lower, higher) in runs.iter().zip(&runs[1..]) {
        assert!(lower.steps.iter().zip(&higher.steps).all(|(a, b)| a <= b), "a higher threshold never stops earlier");
    }
    assert!(
        runs[1..5].iter().any(|run| run.steps.iter().any(|s| *s != run.steps[0])),
        "images stop on their own: {:?}",
        runs.each_ref().map(|run| run.mean_steps())
    );
    assert!(runs[1].mean_steps() < runs[4].mean_steps());
    // The events of each image alone, as far as it ran.
    let mut events = Counts::new(network.layers.len() - 1, STEPS);
    for (image, steps) in runs[3].steps.iter().enumerate() {
        events.add(&evaluate_images(vec![image], &model, &network, None, 1).counts.until(*steps));
    }
    assert_eq!(runs[3].counts, events.until(STEPS));
    assert!(events.total_spikes() < full.counts.total_spikes());
}
