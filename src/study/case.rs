//! A network on hardware, and the images that judge it: everything that determines a trial but its chip. Sweeps and recipes
//! prepare their trials here, so that the same chip is the same trial to both.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::trial::Key;
use crate::attack::Plan;
use crate::chip::Blueprint;
use crate::config::Document;
use crate::data::Dataset;
use crate::engine::Engine;
use crate::engine::calibrate::with_ranges;
use crate::engine::evaluate::Evaluation;
use crate::engine::exit::ExitRule;
use crate::error::Result;
use crate::network::lif::Lif;
use crate::network::{Encoder, Encoding, InputCode, Model, Network};
use crate::output::origin;
use crate::profile::{Profile, Sram, SramInit};
use crate::train::adapt::{Adaptation, Sample};

/// An error with its place where hardware, as a document says it, is not for a model, or names a network that is not there.
pub(super) fn check_hardware(document: &Document, profile: &Profile, model: &Model) -> Result<()> {
    let layers = model.layers();
    let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    if let Some(name) = profile.unknown_layer(&known) {
        let place = document.locate(&format!("layer.{name}"));
        profile.check_layers(known.iter().copied()).map_err(place)?;
    }
    Lif::check(model.neuron, &profile.neuron).map_err(document.locate("neuron"))?;
    match &profile.sram.init {
        SramInit::Checkpoint(file) if profile.has_companions() && !Path::new(file).is_file() => {
            Err(document.error("sram.init", format!("{file} is no file; expected a checkpoint")))
        }
        _ => Ok(()),
    }
}

/// What determines some trials but their chips.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub profile: &'a Profile,
    pub model: &'a Model,
    /// The network, and the SHA-256 of its checkpoint.
    pub network: (&'a Network, &'a str),
    pub encoding: Encoding,
    /// The seed of chips and encoding.
    pub seed: u64,
    /// The images that are judged.
    pub data: &'a Dataset,
    /// Those that converters' ranges are profiled on, where the profile asks for that.
    pub profiled: Option<&'a Dataset>,
    /// What every chip's norms are adapted on.
    pub adapt: Option<(&'a Sample, &'a Dataset)>,
    pub exit: Option<ExitRule>,
    /// An attack with one ε.
    pub attack: Option<&'a Plan>,
}

impl<'a> Case<'a> {
    /// What its chips are made from, converters without the ranges that they ask for.
    pub fn blueprint(&self) -> Result<Blueprint<'a>> {
        Blueprint::new(self.profile, self.model, self.network.0, self.inputs()?, self.seed)
    }

    /// What its chips' inputs are: wide enough for all images that run through them.
    pub fn inputs(&self) -> Result<InputCode> {
        let Case { data, profiled, adapt, attack, .. } = self;
        let epsilon = attack.map_or(0.0, Plan::largest_epsilon);
        let others = profiled.iter().chain(adapt.iter().map(|(_, training)| training));
        let values = others.fold(data.range_around(epsilon), |values, other| values.with(other.range()));
        InputCode::of(self.encoding, values, self.profile.tile.input_bits)
    }

    /// What names its trials: the hash of all that determines them.
    pub fn key(&self, blueprint: &Blueprint) -> Key {
        let Case { profile, model, network: (_, checkpoint), encoding, seed, data, .. } = self;
        let mut effective = (*profile).clone();
        if !profile.has_companions() {
            // The keys of an array that is not there determine nothing.
            effective.amend(|_, sram| *sram = Sram::default());
        }
        let mut identity = json!({
            "profile": effective, "model": model, "encoding": encoding, "checkpoint_sha256": checkpoint,
            "data_fingerprint": data.fingerprint(), "images": data.len(), "seed": seed,
            "sram_checkpoint_sha256": blueprint.companion_hash(), "inputs": blueprint.inputs(),
        });
        if let Some(profiled) = self.profiled {
            identity["calibration_data_fingerprint"] = profiled.fingerprint().into();
        }
        if let Some((sample, training)) = self.adapt {
            // What the images are called determines nothing.
            identity["adapt"] = json!({ "batches": sample.batches, "images": sample.images });
            identity["adapt_data_fingerprint"] = training.fingerprint().into();
        }
        if let Some(rule) = self.exit {
            // Events are counted for each image up to its own step.
            identity["exit"] = json!({ "rule": rule, "events": "to each image's own step" });
        }
        if let Some(attack) = self.attack {
            identity["attack"] = json!(attack);
        }
        Key::of(&origin("trial", identity))
    }

    /// The same with the ranges.
    pub fn calibrated(&self) -> Result<Blueprint<'a>> {
        let blueprint = self.blueprint()?;
        match self.profiled {
            Some(training) => with_ranges(blueprint, self.seed, || Ok(training)),
            None => Ok(blueprint),
        }
    }

    /// How its chips are evaluated: on the inputs of another evaluation of the same images, where there is one.
    pub fn evaluation(&self, engine: &'a dyn Engine, earlier: Option<Evaluation<'a>>) -> Result<Evaluation<'a>> {
        let Case { model, network: (network, _), seed, data, exit, .. } = *self;
        let inputs = self.inputs()?;
        let adapted = |(sample, training): (&Sample, &Dataset)| {
            Adaptation::draw(network, model, training, inputs, seed, sample)
                .map(|adaptation| Arc::new(adaptation).preparation())
        };
        let encoder = Encoder::new(inputs, model.input, seed, 0);
        let evaluation = earlier
            .filter(|earlier| *earlier.encoder() == encoder)
            .unwrap_or_else(|| Evaluation::on(engine, data, encoder, model.steps));
        Ok(evaluation.exiting(exit.map(|rule| rule.of(network))).preparing(self.adapt.map(adapted).transpose()?))
    }
}
