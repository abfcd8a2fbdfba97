//! The contract: a chip and what it computes are these bytes, in every release and on every machine. Comparisons of one
//! path with another (threads, kernels, backends, shards) cannot see a change that moves both; these hashes do.
//!
//! `tests/golden/absolute.toml` has one for each kind of model, cell, converter and companion array: of the programmed
//! chip, and of its logits. A hash that has to change is replaced together with `crosspike::output::RESULTS`, so that
//! no study counts results of both meanings, and its entry says why.

mod common;

use std::fmt::Write;
use std::path::Path;

use common::{batch, golden};
use crosspike::checkpoint::Checkpoint;
use crosspike::chip::{Blueprint, Chip, ProgrammedLayer};
use crosspike::config::Document;
use crosspike::crossbar::converted::{Adder, Converted, Side};
use crosspike::crossbar::programmed::Programmed;
use crosspike::data::{Dataset, Split};
use crosspike::engine::calibrate::with_ranges_of;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::{Engine, Outcome};
use crosspike::network::{Encoder, Encoding, InputCode, Inputs, Model, Network};
use crosspike::profile::Profile;
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Goldens {
    golden: Vec<Golden>,
}

/// One chip and its logits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    name: String,
    /// Keys of the profile.
    #[serde(default)]
    set: Vec<String>,
    /// Layers, in place of those of the golden network; its weights are then random ones.
    layers: Option<String>,
    #[serde(default = "plain")]
    checkpoint: String,
    #[serde(default = "poisson")]
    encoding: Encoding,
    chip: String,
    logits: String,
    /// Why it was replaced last, and what it has caught.
    #[allow(dead_code, reason = "a note for whoever reads the file")]
    note: Option<String>,
}

fn plain() -> String {
    "checkpoint.safetensors".into()
}

fn poisson() -> Encoding {
    Encoding::Poisson
}

/// A hash of numbers in a fixed order.
#[derive(Default)]
struct Hash(Sha256);

impl Hash {
    fn f32(&mut self, values: &[f32]) {
        self.0.update((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| self.0.update(value.to_bits().to_le_bytes()));
    }

    fn i64(&mut self, values: &[i64]) {
        self.0.update((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| self.0.update(value.to_le_bytes()));
    }

    fn layer(&mut self, layer: &ProgrammedLayer) {
        self.programmed(&layer.arrays);
        self.f32(&layer.gain);
        self.f32(&layer.offset);
        self.f32(&[layer.plan.input_unit]);
        self.i64(&[layer.sram_elements as i64]);
    }

    fn programmed(&mut self, programmed: &Programmed) {
        match programmed {
            Programmed::Folded { weights, grid } => {
                self.f32(weights);
                self.i64(&[(*grid).into()]);
            }
            Programmed::Converted(converted) => self.converted(converted),
            Programmed::Reads { mean, steps } => {
                self.programmed(mean);
                steps.iter().for_each(|step| self.programmed(step));
            }
        }
    }

    fn converted(&mut self, converted: &Converted) {
        for slice in &converted.slices {
            for Side { weights, gain, offset, .. } in std::iter::once(&slice.columns).chain(&slice.reference) {
                [weights, gain, offset].iter().for_each(|values| self.f32(values));
            }
            let converter = slice.converter;
            self.i64(&[converter.step.to_bits() as i64, converter.lowest.into(), converter.highest.into()]);
            self.i64(&[slice.left.into()]);
        }
        if let Some(companion) = &converted.companion {
            self.i64(&companion.weights.iter().map(|w| (*w).into()).collect::<Vec<_>>());
        }
        let Adder { sram_left, sram_right, most_sum, most_shifted, most } = converted.adder;
        self.i64(&[sram_left.into(), sram_right.into(), most_sum.into(), most_shifted.into(), most.into()]);
        self.f32(&[converted.unit]);
    }

    fn text(self) -> String {
        self.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn hash_of_chip(chip: &Chip) -> String {
    let mut hash = Hash::default();
    chip.layers.iter().for_each(|layer| hash.layer(layer));
    hash.i64(&[chip.sram_bytes as i64, chip.write_pulses as i64]);
    hash.f32(&[chip.layers[0].plan.lif.leak, chip.layers[0].plan.lif.threshold]);
    hash.text()
}

fn hash_of_outcome(outcome: &Outcome) -> String {
    let mut hash = Hash::default();
    outcome.logits.outer_iter().for_each(|row| hash.f32(&row.to_vec()));
    let whole = |counts: &Vec<u64>| counts.iter().map(|count| *count as i64).collect::<Vec<_>>();
    outcome.counts.spikes.iter().for_each(|steps| hash.i64(&whole(steps)));
    hash.i64(&whole(&outcome.counts.clipped));
    hash.i64(&whole(&outcome.counts.saturated));
    hash.text()
}

fn hashes(golden_chip: &Golden) -> (String, String) {
    let Golden { set, layers, checkpoint, encoding, .. } = golden_chip;
    let mut document = Document::read(&golden("model.toml")).unwrap();
    layers.iter().for_each(|layers| document.set(&format!("layers={layers}")).unwrap());
    let model = Model::from_document(&document).unwrap();
    let network = match layers {
        Some(_) => Network::xavier(&model, 5),
        None => Network::from_checkpoint(&model, &Checkpoint::read(&golden(checkpoint)).unwrap()).unwrap(),
    };
    let profile = Profile::ideal(set).unwrap();
    let spec = if *encoding == Encoding::Frames { "frames:frames.npz" } else { "images:images.npz" };
    let data = Dataset::open(spec, &golden(""), Split::Test).unwrap();
    let images: Vec<usize> = (0..data.len()).collect();
    let inputs = InputCode::of(*encoding, data.range(), profile.tile.input_bits).unwrap();
    let blueprint = Blueprint::new(&profile, &model, &network, inputs, 1).unwrap();
    let blueprint = with_ranges_of(blueprint, 1, &data, &images).unwrap();
    let chip = Chip::program(&blueprint, 3).unwrap();
    let encoder = Encoder::new(inputs, model.input, 1, 0);
    let inputs = Inputs::new(encoder, batch(spec).0, model.steps);
    let engine = CpuEngine::default();
    let outcome = engine.load(std::slice::from_ref(&chip)).unwrap().run(&inputs).unwrap().remove(0);
    (hash_of_chip(&chip), hash_of_outcome(&outcome))
}

#[test]
fn chips_and_logits_are_those_of_every_release() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/absolute.toml");
    let Goldens { golden } = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut changed = String::new();
    for golden in &golden {
        let (chip, logits) = hashes(golden);
        if (&chip, &logits) != (&golden.chip, &golden.logits) {
            writeln!(changed, "name = \"{}\"\nchip = \"{chip}\"\nlogits = \"{logits}\"", golden.name).unwrap();
        }
    }
    assert!(changed.is_empty(), "these are now others:\n{changed}");
    for (i, golden_chip) in golden.iter().enumerate() {
        let same =
            golden[..i].iter().find(|other| other.chip == golden_chip.chip && other.logits == golden_chip.logits);
        assert!(same.is_none(), "{} is {}: a key of one of them does nothing", golden_chip.name, same.unwrap().name);
    }
}
