//! Recovery of lost accuracy: SRAM trained beside frozen RRAM, its pruning, and arrays of one chip's own. Every
//! knob moves the outcome in the direction that it should, on a network for the digits.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::trained::{accuracies, baseline, hardware, mean, model, results, train};
use crosspike::chip::{Blueprint, Chip};
use crosspike::crossbar::image::Image;
use crosspike::data::{Dataset, Split};
use crosspike::device::Draw;
use crosspike::engine::chip_result::ChipResult;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::engine::price::Price;
use crosspike::network::{Encoder, Encoding, Network};
use crosspike::plan::ChipPlan;
use crosspike::train::adapt::{Adaptation, Sample};
use crosspike::train::companion;
use crosspike::train::config::{Hyperparameters, Prune, Stage};
use crosspike::train::prune::Sparsity;

fn sram(more: impl FnOnce(&mut Hyperparameters)) -> Hyperparameters {
    let mut hyperparameters = Hyperparameters {
        epochs: 2,
        batch: 32,
        learning_rate: 0.05,
        variation: true,
        stage: Stage::Sram,
        ..Hyperparameters::default()
    };
    more(&mut hyperparameters);
    hyperparameters
}

/// The baseline with companion arrays, trained.
fn recovered(more: &[&str], hyperparameters: &Hyperparameters, prune: Option<Prune>) -> Network {
    let profile = hardware(more);
    let draw = hyperparameters.chip.map(|chip| Draw::chip(hyperparameters.seed, chip));
    let (start, _) = companion::attach(&profile, &model(), baseline().clone(), hyperparameters.seed, draw).unwrap();
    let trained = train(&profile, hyperparameters, prune, start);
    for (trained, before) in trained.layers.iter().zip(&baseline().layers).filter(|(layer, _)| layer.sram.is_some()) {
        assert_eq!(trained.rram, before.rram, "the RRAM is frozen");
    }
    trained
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
    let hyperparameters = sram(|hyperparameters| {
        (hyperparameters.chip, hyperparameters.variation, hyperparameters.epochs) = (Some(3), false, 4)
    });
    let found = accuracies(&recovered(&hardware, &hyperparameters, None), &hardware, 0..8);
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
            .filter(|(before, after)| before.arrays != after.arrays)
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
        let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap();
        let image = Image::of(plan.sites(), &network).unwrap();
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

/// The largest difference between a chip's effective weights and those of another hardware.
fn distance(network: &Network, one: &[&str], other: &[&str]) -> f32 {
    let model = model();
    let weights = |more: &[&str]| {
        let profile = hardware(more);
        let blueprint = Blueprint::new(&profile, &model, network, Encoding::Poisson, 1).unwrap();
        let chip = Chip::program(&blueprint, 0).unwrap();
        chip.layers.into_iter().flat_map(|layer| layer.arrays.effective().into_owned()).collect::<Vec<f32>>()
    };
    weights(one).iter().zip(weights(other)).fold(0.0, |top, (a, b)| top.max((a - b).abs()))
}

#[test]
fn more_bits_bring_a_quantiser_closer_to_its_weights() {
    let nominal = "rram.variation.kind=none";
    for scheme in ["uniform", "integer"] {
        let at = |bits: &str| {
            let keys = [format!("rram.scheme={scheme}"), format!("rram.weight_bits={bits}")];
            distance(baseline(), &[nominal, &keys[0], &keys[1]], &[nominal, "rram.scheme=float"])
        };
        let far = ["2", "3", "4", "8"].map(at);
        assert!(far.windows(2).all(|pair| pair[1] < pair[0]), "{scheme}: {far:?}");
    }
    // DoReFa moves weights by its squashing, too; its levels become finer.
    let levels = |bits: &str| {
        let keys = ["rram.scheme=dorefa".to_owned(), format!("rram.weight_bits={bits}")];
        distance(baseline(), &[nominal, &keys[0], &keys[1]], &[nominal, &keys[0], "rram.weight_bits=12"])
    };
    let far = ["2", "4", "8"].map(levels);
    assert!(far.windows(2).all(|pair| pair[1] < pair[0]), "dorefa: {far:?}");
}

#[test]
fn a_residual_is_the_better_the_more_bits_it_has_and_best_at_a_shift_that_fits() {
    let exact = ["rram.variation.kind=none"];
    let off = |bits: u32, shift: i32| {
        let keys = [format!("sram.bits={bits}"), format!("sram.shift={shift}"), "sram.init=residual".into()];
        distance(baseline(), &keys.each_ref().map(String::as_str), &exact)
    };
    // Wide enough to reach the largest deviation, each bit halves what is left.
    let left = [4, 5, 6, 8].map(|bits| off(bits, 1));
    assert!(left.windows(2).all(|pair| pair[1] < 0.75 * pair[0]), "{left:?}");
    // Too far right it reaches too little, too far left its steps are too coarse.
    let at = [-6, 0, 4].map(|shift| off(4, shift));
    assert!(at[1] < at[0] && at[1] < at[2], "{at:?}");
    let unquantised = distance(baseline(), &["sram.bits=8", "sram.scheme=float", "sram.init=residual"], &exact);
    assert!(unquantised < 1e-6 && unquantised < left[3], "{unquantised}");
}

#[test]
fn initial_values_are_what_their_names_say() {
    let exact = ["rram.variation.kind=none"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.safetensors");
    let model = model();
    let other = train(
        &hardware(&exact),
        &Hyperparameters { epochs: 1, batch: 32, seed: 5, ..Hyperparameters::default() },
        None,
        Network::xavier(&model, 5),
    );
    crosspike::train::checkpoint(&other, &model, &serde_json::json!({}), 1).write(&file).unwrap();
    let from = |init: &str, network: &Network| {
        let key = format!("sram.init={init}");
        distance(network, &[&exact[..], &["sram.bits=4", "rram.weight_bits=4", &key]].concat(), &exact)
    };
    assert_eq!(from("rram", baseline()), 0.0, "the average of two equal arrays is one of them");
    assert_eq!(from("zeros", baseline()), 0.0, "nothing is added");
    let file = format!("checkpoint:{}", file.display());
    assert_eq!(from(&file, &other), 0.0, "its own checkpoint is what it has");
    assert!(from(&file, baseline()) > 0.05 && from("xavier", baseline()) > 0.05, "another network is another");
}

#[test]
fn training_with_variation_prepares_for_it() {
    let vat = |scale: &str| {
        let key = format!("rram.variation.scale={scale}");
        let hyperparameters = Hyperparameters {
            epochs: 4,
            batch: 32,
            learning_rate: 0.03,
            variation: true,
            ..Hyperparameters::default()
        };
        train(&hardware(&[&key]), &hyperparameters, None, baseline().clone())
    };
    let at = |network: &Network| mean(&accuracies(network, &["rram.variation.scale=2"], 0..8));
    let (without, small, full) = (at(baseline()), at(&vat("0.1")), at(&vat("2")));
    assert!(full > without + 2.0, "{without} without, {full} with");
    assert!(full > small, "trained at a tenth of the scale: {small}, at the scale: {full}");
}

/// Accuracy in percent of each chip, its norms adapted.
fn adapted(network: &Network, more: &[&str], chips: std::ops::Range<u64>) -> Vec<f64> {
    let (model, profile) = (model(), hardware(more));
    let open = |split| Dataset::open("digits", Path::new(""), split).unwrap();
    let (training, data) = (open(Split::Train), open(Split::Test));
    let blueprint = Blueprint::new(&profile, &model, network, Encoding::Poisson, 1).unwrap();
    let sample = Sample { batches: 4, images: 64, data: None };
    let adaptation = Adaptation::draw(network, &model, &training, Encoding::Poisson.into(), 1, &sample).unwrap();
    let (engine, encoder) = (CpuEngine::default(), Encoder::new(Encoding::Poisson, model.input, 1, 0));
    let mut accuracies = Vec::new();
    let evaluation =
        Evaluation::on(&engine, &data, encoder, model.steps).preparing(Some(Arc::new(adaptation).preparation()));
    evaluation
        .series(&blueprint, chips, |_, result| {
            accuracies.push(result.accuracy);
            Ok(())
        })
        .unwrap();
    accuracies
}

#[test]
fn an_array_trained_at_several_shifts_serves_each_of_them() {
    let hardware = ["sram.bits=4", "sram.init=rram"];
    let worst = |network: &Network| {
        let at = ["-2", "0", "2"].map(|shift| {
            let key = format!("sram.shift={shift}");
            mean(&adapted(network, &[&hardware[..], &[&key]].concat(), 0..4))
        });
        at.into_iter().fold(f64::INFINITY, f64::min)
    };
    let one = recovered(
        &[&hardware[..], &["sram.shift=2"]].concat(),
        &sram(|hyperparameters| hyperparameters.epochs = 4),
        None,
    );
    let all = recovered(
        &hardware,
        &sram(|hyperparameters| (hyperparameters.shifts, hyperparameters.epochs) = (vec![-2, 0, 2], 4)),
        None,
    );
    let (one, all) = (worst(&one), worst(&all));
    assert!(all > one, "the worst of three shifts: {one} trained at one, {all} trained at all");
}

#[test]
fn an_array_without_quantiser_is_trained_and_run_as_it_is() {
    let hardware = ["sram.bits=8", "sram.scheme=float", "sram.init=rram"];
    let network = recovered(&hardware, &sram(|_| ()), None);
    let exact = |bits: &str, scheme: &str| {
        let keys = [format!("sram.bits={bits}"), format!("sram.scheme={scheme}")];
        let one = ["rram.variation.kind=none", &keys[0], &keys[1]];
        distance(&network, &one, &["rram.variation.kind=none", "sram.bits=8", "sram.scheme=float"])
    };
    let far = [exact("2", "uniform"), exact("4", "uniform"), exact("8", "uniform")];
    assert!(far[0] > far[1] && far[1] > far[2] && far[2] > 0.0, "{far:?}");
    assert_eq!(exact("3", "float"), 0.0, "bits do not matter");
    let lost = mean(&accuracies(baseline(), &[], 0..8));
    assert!(mean(&accuracies(&network, &hardware, 0..8)) > lost + 5.0);
}

#[test]
fn weights_moved_away_from_stuck_cells_and_dead_lines_bring_accuracy_back() {
    let at = |more: &[&str]| {
        let cell = [
            "rram.layers=all",
            "rram.model=cell",
            "rram.cell.g_max_us=50",
            "rram.variation.scale=0",
            "tile.rows=64",
            "tile.cols=64",
        ];
        mean(&accuracies(baseline(), &[&cell[..], more].concat(), 0..10))
    };
    let sound = at(&[]);
    let stuck = ["rram.faults.stuck_on=0.02"];
    let dead = ["rram.faults.dead_bit_lines=0.05"];
    let with = |faults: &[&str], more: &[&str]| at(&[faults, more].concat());
    let [lost, spared, columns, both] =
        [&[][..], &["rram.faults.spares=4"], &["rram.faults.remap=columns"], &["rram.faults.remap=both"]]
            .map(|more| with(&stuck, more));
    assert!(
        lost + 2.0 < spared && lost + 2.0 < columns && columns < both && both < sound,
        "{lost} {spared} {columns} {both} of {sound}"
    );
    let [lost, spared] = [&[][..], &["rram.faults.spares=8"]].map(|more| with(&dead, more));
    assert!(lost < sound - 5.0 && spared > sound - 1.0, "{lost}, and {spared} with spare columns, of {sound}");
}

#[test]
fn chips_that_answer_together_are_more_accurate_and_cost_all_of_themselves() {
    let (alone, priced) =
        (results(baseline(), &[], 0..8), ["rram.layers=all", "rram.model=cell", "rram.cell.g_max_us=50"]);
    let three = results(baseline(), &["system.ensemble=3"], 0..8);
    let accuracy = |results: &[ChipResult]| mean(&results.iter().map(|result| result.accuracy).collect::<Vec<_>>());
    assert!(accuracy(&three) > accuracy(&alone) + 3.0, "{} alone, {} together", accuracy(&alone), accuracy(&three));
    // An ensemble holds the chip of its number and others, and answers by the sum of their logits.
    let others = [1, 2].map(|member| results(baseline(), &[], (member << 32) + 5..(member << 32) + 6).remove(0));
    let summed = &(&alone[5].logits + &others[0].logits) + &others[1].logits;
    assert_eq!(summed, three[5].logits);
    let spikes = alone[5].counts.total_spikes() + others.iter().map(|other| other.counts.total_spikes()).sum::<u64>();
    assert_eq!(three[5].counts.total_spikes(), spikes);
    let price = |more: &[&str], chip: u64| {
        let keys = [
            "cost.energy_pj.cell_read=0.1",
            "cost.energy_pj.fetch=2",
            "cost.time_ns.drive=5",
            "cost.area_um2.cell=1",
            "cost.power_uw.tile=3",
        ];
        let more = [&priced[..], &keys, more].concat();
        let (model, profile) = (model(), hardware(&more));
        let result = results(baseline(), &more, chip..chip + 1).remove(0);
        let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
        let price = Price::of(&blueprint);
        let (spent, workload) = price.of_result(&result, model.steps).unwrap();
        (spent, workload, price.area_mm2().unwrap())
    };
    let (three, alone) = (price(&["system.ensemble=3"], 5), [0, 1, 2].map(|member| price(&[], (member << 32) + 5)));
    let together = alone.iter().map(|(spent, ..)| spent.total_pj).sum::<f64>();
    assert!((three.0.total_pj / together - 1.0).abs() < 1e-9, "{} of {together}", three.0.total_pj);
    assert_eq!(three.0.latency_ns, alone[0].0.latency_ns);
    assert!((three.2 / alone[0].2 - 3.0).abs() < 1e-9);
    assert!((three.1.footprint / alone[0].1.footprint - 3.0).abs() < 1e-9);
}
