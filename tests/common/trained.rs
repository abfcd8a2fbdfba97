//! A network for the digits, trained once a process, and its chips.

use std::path::Path;
use std::sync::OnceLock;

use crosspike::chip::Blueprint;
use crosspike::data::{Dataset, Split};
use crosspike::engine::calibrate::with_ranges;
use crosspike::engine::chip_result::ChipResult;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::monitor::Silent;
use crosspike::network::{Encoder, Encoding, Model, Network};
use crosspike::profile::Profile;
use crosspike::train::Trainer;
use crosspike::train::config::{Hyperparameters, Prune};

use super::profile;

const VARIED: [&str; 4] =
    ["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.34597", "rram.variation.scale=2"];

/// The digits' network, at four steps.
pub fn model() -> Model {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits.toml");
    Model::read(&file, &["steps=4".into()]).unwrap()
}

/// 4-bit weights at twice the published variation, with more keys.
pub fn hardware(more: &[&str]) -> Profile {
    profile(&[&VARIED[..], more].concat())
}

/// A trained network.
pub fn train(profile: &Profile, hyperparameters: &Hyperparameters, prune: Option<Prune>, start: Network) -> Network {
    let (model, data) = (model(), Dataset::open("digits", Path::new(""), Split::Train).unwrap());
    let (inputs, origin) = (Encoding::Poisson.into(), serde_json::json!({}));
    let trainer = Trainer { model: &model, profile, data: &data, hyperparameters, prune, inputs, origin };
    trainer.run(start, None, &Silent).unwrap()
}

/// A network that was trained without variation.
pub fn baseline() -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let hyperparameters = Hyperparameters { epochs: 8, batch: 32, ..Hyperparameters::default() };
        train(&hardware(&[]), &hyperparameters, None, Network::xavier(&model(), 1))
    })
}

/// What chips give on all test images, their converters calibrated where the profile asks for it.
pub fn results(network: &Network, more: &[&str], chips: std::ops::Range<u64>) -> Vec<ChipResult> {
    let (model, profile) = (model(), hardware(more));
    let open = |split| Dataset::open("digits", Path::new(""), split).unwrap();
    let data = open(Split::Test);
    let blueprint = Blueprint::new(&profile, &model, network, Encoding::Poisson, 1).unwrap();
    let blueprint = with_ranges(blueprint, 1, || Ok(open(Split::Train))).unwrap();
    let (engine, encoder) = (CpuEngine::default(), Encoder::new(Encoding::Poisson, model.input, 1, 0));
    let mut results = Vec::new();
    let each = |_, result: &ChipResult| {
        results.push(result.clone());
        Ok(())
    };
    Evaluation::on(&engine, &data, encoder, model.steps).series(&blueprint, chips, each).unwrap();
    results
}

/// Accuracy in percent of each chip.
pub fn accuracies(network: &Network, more: &[&str], chips: std::ops::Range<u64>) -> Vec<f64> {
    results(network, more, chips).iter().map(|result| result.accuracy).collect()
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
