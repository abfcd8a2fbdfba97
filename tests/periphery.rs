//! Neurons and norms in fixed point: many bits are floats, few cost accuracy, every knob changes spikes, and training
//! goes through them. (That GPUs give the same bits is in tests/gpu.rs.)

mod common;

use common::trained::{accuracies, baseline, hardware, results, train};
use common::{batch, network, profile, run};
use crosspike::chip::Blueprint;
use crosspike::engine::cpu::CpuEngine;
use crosspike::network::Encoding;
use crosspike::train::config::Hyperparameters;

const EXACT: &str = "rram.variation.kind=none";

fn at(more: &[&str]) -> f64 {
    accuracies(baseline(), &[&[EXACT], more].concat(), 0..1)[0]
}

#[test]
fn fewer_membrane_bits_cost_accuracy_and_many_cost_none() {
    let fine = ["neuron.leak_bits=8", "neuron.gain_bits=12"];
    // A range of ±8, ever coarser.
    let bits = ["16", "8", "6", "5"].map(|bits| {
        let fraction = bits.parse::<u32>().unwrap() - 4;
        at(&[&fine[..], &[&format!("neuron.membrane_bits={bits}"), &format!("neuron.fraction_bits={fraction}")]]
            .concat())
    });
    assert!((bits[0] - at(&[])).abs() < 1.0, "{bits:?} and {} in floats", at(&[]));
    assert!(bits[1] >= bits[3] + 1.0 && bits[0] > bits[3] + 2.0, "{bits:?}");
}

#[test]
fn every_knob_changes_spikes() {
    let base = ["neuron.membrane_bits=8", "neuron.fraction_bits=5"];
    let spikes = |more: &[&str]| results(baseline(), &[&[EXACT], &base[..], more].concat(), 0..1)[0].counts.clone();
    let nominal = spikes(&[]);
    for knob in [
        "neuron.fraction_bits=4",
        "neuron.leak_bits=2",
        "neuron.gain_bits=3",
        "neuron.round=floor",
        "neuron.membrane_bits=7",
    ] {
        assert_ne!(spikes(&[knob]), nominal, "{knob}");
    }
    let narrow = ["neuron.membrane_bits=6", "neuron.fraction_bits=4"];
    let wrapped = spikes(&[&narrow[..], &["neuron.overflow=wrap"]].concat());
    assert_ne!(wrapped, spikes(&narrow), "overflow");
    assert!(at(&[&narrow[..], &["neuron.overflow=wrap"]].concat()) < at(&narrow), "to wrap is worse than to saturate");
}

#[test]
fn many_bits_meet_the_goldens_within_their_rounding() {
    let frames = batch("frames:frames.npz").0;
    let logits = |more: &[&str]| {
        let profile = profile(&[&["rram.weight_bits=4"], more].concat());
        run(&CpuEngine::default(), &network("checkpoint.safetensors"), &profile, Encoding::Frames, &frames).logits
    };
    let fine = ["neuron.membrane_bits=16", "neuron.fraction_bits=13", "neuron.gain_bits=0"];
    let far = logits(&[]).iter().zip(&logits(&fine)).fold(0.0f32, |far, (a, b)| far.max((a - b).abs()));
    // A leak of 243/256 in place of 0.95, and a few spikes near the threshold.
    assert!(far < 0.6, "{far}");
}

#[test]
fn training_goes_through_the_roundings() {
    let coarse = [EXACT, "neuron.membrane_bits=5", "neuron.fraction_bits=2", "neuron.gain_bits=3"];
    let hyperparameters = Hyperparameters { epochs: 4, batch: 32, learning_rate: 0.05, ..Hyperparameters::default() };
    let trained = |keys: &[&str]| train(&hardware(keys), &hyperparameters, None, baseline().clone());
    let accuracy = |network| accuracies(&network, &coarse, 0..1)[0];
    let (through, past) = (accuracy(trained(&coarse)), accuracy(trained(&coarse[..1])));
    assert!(through > past + 1.0, "trained through coarse membranes: {through}, past them: {past}");
}

#[test]
fn a_threshold_that_no_potential_passes_is_refused() {
    let (model, network) = (common::model(), network("checkpoint.safetensors"));
    let error = |keys: &[&str]| {
        let result = Blueprint::new(&profile(keys), &model, &network, Encoding::Frames, 1);
        result.err().map(|error| error.to_string())
    };
    // 9 bits, 8 of them behind the point: potentials end at 255/256.
    let error_of = |keys: &[&str]| error(keys).unwrap_or_default();
    let short = error_of(&["neuron.membrane_bits=9"]);
    assert!(short.contains("membrane_bits = 9") && short.contains("0.99609375"), "{short}");
    assert_eq!(error(&["neuron.membrane_bits=10"]), None);
    let coarse = error_of(&["neuron.membrane_bits=4", "neuron.fraction_bits=3"]);
    assert!(coarse.contains("threshold"), "{coarse}");
}

#[test]
fn keys_without_effect_are_said() {
    let (model, network) = (common::model(), network("checkpoint.safetensors"));
    let notices = |keys: &[&str]| {
        Blueprint::new(&profile(keys), &model, &network, Encoding::Poisson, 1).unwrap().notices().join("\n")
    };
    assert_eq!(notices(&[]), "");
    assert!(notices(&["neuron.fraction_bits=4"]).contains("neuron.membrane_bits = 0"));
    assert!(notices(&["adc.columns_shared=4"]).contains("adc.bits = 0"));
    assert_eq!(notices(&["adc.columns_shared=4", "adc.bits=6"]), "");
    // An array beside converters makes their steps powers of two, unless they are so already.
    let array = ["adc.bits=4", "sram.bits=2", "sram.init=residual"];
    let coarse = "steps are powers of two";
    assert!(notices(&array).contains(coarse));
    for more in [
        &["adc.step=power_of_two"][..],
        &["adc.bits=0"],
        &["sram.bits=0", "sram.init=zeros"],
        &["rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=4", "rram.cell.bits=1"],
    ] {
        let said = notices(&[&array, more].concat());
        assert!(!said.contains(coarse), "{more:?}: {said}");
    }
}
