//! Recovery of lost accuracy: SRAM trained beside frozen RRAM, its pruning, and arrays of one chip's own. Every
//! knob moves the outcome in the direction that it should, on a network for the digits.

mod common;

use std::path::Path;
use std::sync::OnceLock;

use common::profile;
use crosspike::chip::{Blueprint, Chip};
use crosspike::crossbar::image::Image;
use crosspike::data::{Dataset, Split};
use crosspike::device::Draw;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::monitor::Silent;
use crosspike::network::{Encoder, Encoding, Model, Network};
use crosspike::profile::Profile;
use crosspike::train::config::{Prune, Recipe, Stage};
use crosspike::train::prune::Sparsity;
use crosspike::train::{Trainer, companion};

const VARIED: [&str; 4] =
    ["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.34597", "rram.variation.scale=2"];

fn model() -> Model {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/digits.toml");
    Model::read(&file, &["steps=4".into()]).unwrap()
}

fn hardware(more: &[&str]) -> Profile {
    profile(&[&VARIED[..], more].concat())
}

fn train(profile: &Profile, recipe: &Recipe, prune: Option<Prune>, start: Network) -> Network {
    let (model, data) = (model(), Dataset::open("digits", Path::new(""), Split::Train).unwrap());
    let (encoding, origin) = (Encoding::Poisson, serde_json::json!({}));
    let trainer = Trainer { model: &model, profile, data: &data, recipe, prune, encoding, origin };
    trainer.run(start, None, &Silent).unwrap()
}

/// A network that was trained without variation.
fn baseline() -> &'static Network {
    static NETWORK: OnceLock<Network> = OnceLock::new();
    NETWORK.get_or_init(|| {
        let recipe = Recipe { epochs: 8, batch: 32, ..Recipe::default() };
        train(&hardware(&[]), &recipe, None, Network::xavier(&model(), 1))
    })
}

fn sram(more: impl FnOnce(&mut Recipe)) -> Recipe {
    let mut recipe =
        Recipe { epochs: 2, batch: 32, learning_rate: 0.05, variation: true, stage: Stage::Sram, ..Recipe::default() };
    more(&mut recipe);
    recipe
}

/// The baseline with companion arrays, trained.
fn recovered(more: &[&str], recipe: &Recipe, prune: Option<Prune>) -> Network {
    let profile = hardware(more);
    let draw = recipe.chip.map(|chip| Draw::chip(recipe.seed, chip));
    let (start, _) = companion::attach(&profile, &model(), baseline().clone(), recipe.seed, draw).unwrap();
    let trained = train(&profile, recipe, prune, start);
    for (trained, before) in trained.layers.iter().zip(&baseline().layers).filter(|(layer, _)| layer.sram.is_some()) {
        assert_eq!(trained.rram, before.rram, "the RRAM is frozen");
    }
    trained
}

/// Accuracy in percent of each chip.
fn accuracies(network: &Network, more: &[&str], chips: std::ops::Range<u64>) -> Vec<f64> {
    let (model, profile) = (model(), hardware(more));
    let data = Dataset::open("digits", Path::new(""), Split::Test).unwrap();
    let blueprint = Blueprint::new(&profile, &model, network, Encoding::Poisson, 1).unwrap();
    let (engine, encoder) = (CpuEngine::default(), Encoder::new(Encoding::Poisson, model.input, 1, 0));
    let mut accuracies = Vec::new();
    let each = |_, result: &crosspike::engine::evaluate::ChipResult| {
        accuracies.push(result.accuracy);
        Ok(())
    };
    Evaluation::on(&engine, &data, encoder, model.steps).series(&blueprint, chips, each).unwrap();
    accuracies
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_trained_array_recovers_what_variation_cost() {
    let hardware = ["sram.bits=4", "sram.init=rram"];
    let lost = mean(&accuracies(baseline(), &[], 0..8));
    let nominal = mean(&accuracies(baseline(), &["rram.variation.scale=0"], 0..1));
    let network = recovered(&hardware, &sram(|_| ()), None);
    let recovered = mean(&accuracies(&network, &hardware, 0..8));
    assert!(recovered > lost + 0.5 * (nominal - lost), "{lost} of {nominal}, recovered {recovered}");
}

#[test]
fn an_array_for_one_chip_serves_that_chip_best() {
    let hardware = ["sram.bits=6", "sram.shift=0", "sram.init=zeros"];
    let recipe = sram(|recipe| (recipe.chip, recipe.variation, recipe.epochs) = (Some(3), false, 4));
    let found = accuracies(&recovered(&hardware, &recipe, None), &hardware, 0..8);
    let others: Vec<f64> = (0..8).filter(|chip| *chip != 3).map(|chip| found[chip]).collect();
    assert!(found[3] > mean(&others) + 3.0, "{found:?}");
}

#[test]
fn a_larger_budget_buys_accuracy_and_is_never_exceeded() {
    let residual = ["sram.bits=3", "sram.shift=-2", "sram.init=residual"];
    let (model, whole) = (model(), 100_000);
    let at = |budget: usize| {
        let key = format!("sram.budget_bytes={budget}");
        let more = [&residual[..], &[&key]].concat();
        let profile = hardware(&more);
        let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
        let bytes: Vec<usize> = (0..8).map(|c| Chip::program(&blueprint, c).unwrap().sram_bytes).collect();
        assert!(bytes.iter().all(|b| *b <= budget), "{bytes:?} of {budget}");
        (mean(&accuracies(baseline(), &more, 0..8)), bytes[0])
    };
    let unlimited = mean(&accuracies(baseline(), &residual, 0..8));
    let (all, dense) = at(whole);
    assert_eq!(all, unlimited, "a budget that is not reached changes nothing");
    let none = at(0);
    assert_eq!(none, (mean(&accuracies(baseline(), &[], 0..8)), 0));
    let (half, bytes) = at(dense / 2);
    assert!(bytes > dense * 9 / 20, "the budget is used: {bytes} of {}", dense / 2);
    assert!(none.0 + 1.0 < half && half < all, "{none:?} {half} {all}");
    // Another order of the same bytes would win back less: the smallest deviations hardly count.
    let gained = (half - none.0) / (all - none.0);
    assert!(gained > 0.6, "half of the bytes win back {gained}");
}

#[test]
fn a_layer_of_its_own_kind_changes_that_layer_alone() {
    let model = model();
    let chip = |more: &[&str]| {
        let profile = hardware(more);
        let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
        Chip::program(&blueprint, 2).unwrap()
    };
    let residual = ["sram.bits=4", "sram.init=residual"];
    for (base, own) in [
        (&[][..], "layer.conv2.rram.weight_bits=8"),
        (&[], "layer.conv2.rram.scheme=ternary"),
        (&[], "layer.conv2.rram.scheme=dorefa"),
        (&[], "layer.conv2.rram.variation.sigma=0.1"),
        (&[], "layer.conv2.rram.layers=none"),
        (&residual, "layer.conv2.sram.bits=2"),
        (&residual, "layer.conv2.sram.shift=3"),
        (&residual, "layer.conv2.sram.scheme=float"),
    ] {
        let (before, after) = (chip(base), chip(&[base, &[own]].concat()));
        let differ: Vec<&str> = (before.layers.iter().zip(&after.layers))
            .filter(|(before, after)| before.weights != after.weights)
            .map(|(before, _)| before.plan.name.as_str())
            .collect();
        assert_eq!(differ, ["conv2"], "{own}");
    }
    let profile = hardware(&["layer.conv9.rram.weight_bits=8"]);
    let error = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap_err().to_string();
    assert!(error.contains("layer.conv9") && error.contains("conv1, conv2"), "{error}");
}

#[test]
fn pruning_empties_what_threshold_and_lasso_ask_for() {
    let hardware = ["sram.bits=4", "sram.init=rram"];
    let (model, profile) = (model(), self::hardware(&hardware));
    let pruned = |threshold: f32, lambda: f32| {
        let prune = Prune { threshold, lambda, group: 4, ..Prune::default() };
        let network = recovered(&hardware, &sram(|_| ()), Some(prune));
        let layers = model.layers();
        let sparsity: Vec<Sparsity> = (layers.iter().zip(&network.layers))
            .filter_map(|(plan, layer)| Some(Sparsity::of(plan, layer.sram.as_ref()?, 4)))
            .collect();
        assert_eq!(sparsity[0].kept, sparsity[0].elements, "the first layer keeps all");
        let image = Image::of(&profile, &model, &network).unwrap();
        (sparsity[1..].iter().copied().reduce(|a, b| a + b).unwrap(), image)
    };
    let ((few, small), (many, large)) = (pruned(0.3, 0.0), pruned(0.01, 0.0));
    assert!(few.kept < many.kept && many.kept <= many.elements, "{few:?} {many:?}");
    assert!(small.bytes() < large.bytes() && small.bytes() < small.dense_bytes);
    let (lasso, _) = pruned(0.3, 0.05);
    assert!(lasso.kept_groups < few.kept_groups, "{lasso:?} {few:?}");
}

#[test]
fn a_pruned_checkpoint_is_the_network_that_was_trained() {
    let hardware = ["sram.bits=4", "sram.init=rram"];
    let prune = Prune { threshold: 0.3, ..Prune::default() };
    let network = recovered(&hardware, &sram(|_| ()), Some(prune));
    let model = model();
    let stored = crosspike::train::checkpoint(&network, &model, &serde_json::json!({}), 1);
    let read = Network::from_checkpoint(&model, &stored).unwrap();
    assert_eq!(read.form, network.form);
    let profile = self::hardware(&hardware);
    let chip = |network| {
        let blueprint = Blueprint::new(&profile, &model, network, Encoding::Poisson, 1).unwrap();
        Chip::program(&blueprint, 5).unwrap()
    };
    assert_eq!(chip(&read), chip(&network));
    let array = read.layers[1].sram.as_ref().unwrap();
    let gone = array.kept.as_ref().unwrap().iter().zip(&array.latent).filter(|(kept, _)| !**kept);
    assert!(gone.clone().count() > 0 && gone.into_iter().all(|(_, w)| *w == 0.0), "pruned elements are stored as 0");
}
