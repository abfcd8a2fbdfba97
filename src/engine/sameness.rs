//! Whether a network does here what it did in another simulator: logits, and spikes layer by layer and step by step.

use ndarray::{Array2, s};

use super::cpu::CpuEngine;
use super::{Engine, Keep, Outcome};
use crate::chip::{Blueprint, Chip};
use crate::data::Recorded;
use crate::error::{Error, Result};
use crate::network::{Batch, Encoder, Encoding, InputCode, Inputs, Model, Network};
use crate::profile::Profile;

/// The most that logits may differ by, in units of the largest, where all spikes are the same.
pub const TOLERANCE: f32 = 1e-4;
/// The most that logits may differ by where roundings decided some spikes, which count in the logits.
pub const TOLERANCE_APART: f32 = 0.1;
/// What logits may differ by whatever their size: the rounding of sums of pulses.
const LEAST: f32 = 1e-6;
/// The share of a layer's spikes that roundings may decide: potentials that come as near to a threshold as sums in
/// another order differ.
pub const ROUNDED: f64 = 1e-3;

/// How two runs of a network compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Sameness {
    /// The largest difference of logits, and the largest logit; none where they were not recorded.
    pub logits: Option<(f32, f32)>,
    /// Each recorded layer in the network's order.
    pub layers: Vec<Compared>,
}

/// A layer's spikes.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The name in the record.
    pub name: String,
    /// Spikes that were recorded.
    pub spikes: u64,
    /// The sum over images and steps of the distance of both counts.
    pub apart: u64,
    /// The first step at which they part, and the image, with the recorded count and this one.
    pub first: Option<(usize, usize, u64, u64)>,
}

impl Sameness {
    /// Runs a network on recorded inputs; `names` has each layer's name in the record, and nothing for those without
    /// neurons.
    ///
    /// # Errors
    /// Where the inputs do not fit the network, or a recorded name is of no layer.
    pub fn of(model: &Model, network: &Network, recorded: &Recorded, names: &[Option<String>]) -> Result<Self> {
        let (images, steps) = recorded.sizes;
        let mut model = model.clone();
        model.steps = steps;
        let model = &model;
        if recorded.shape != model.input {
            let message = format!("the frames are maps of {}, the network takes {}", recorded.shape, model.input);
            return Err(Error::Mismatch(message));
        }
        if let Some((name, _)) = recorded.spikes.iter().find(|(name, _)| !names.contains(&Some(name.clone()))) {
            let known: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
            return Err(Error::Mismatch(format!(
                "`spikes.{name}` is of no neurons; expected those of {}",
                known.join(", ")
            )));
        }
        let code = InputCode::of(Encoding::Frames, recorded.range, 0)?;
        let profile = Profile::default();
        let blueprint = Blueprint::new(&profile, model, network, code, 0)?;
        let chips = [Chip::program(&blueprint, 0)?];
        let batch = Batch { values: recorded.frames.clone(), indices: (0..images as u32).collect() };
        let inputs = Inputs::new(Encoder::new(code, model.input, 0, 0), batch, steps);
        let outcome = CpuEngine::default().load(&chips)?.run_keeping(&inputs, Keep::Every)?.remove(0);
        let logits = recorded.logits.as_ref().map(|logits| distance(logits, &outcome.logits)).transpose()?;
        let layers = names.iter().enumerate().filter_map(|(l, name)| {
            let (name, counts) = recorded.spikes.iter().find(|(other, _)| Some(other) == name.as_ref())?;
            Some(compare(name, counts, |image, t| spikes(&outcome, (l, names.len() - 1), image, t)))
        });
        Ok(Sameness { logits, layers: layers.collect() })
    }

    /// Whether spikes are the same but for a few that roundings decide, and logits as near as these leave them.
    pub fn is_same(&self) -> bool {
        self.layers.iter().all(Compared::is_same) && self.has_same_logits()
    }

    /// Whether logits are as near as the spikes leave them.
    pub fn has_same_logits(&self) -> bool {
        self.logits.is_none_or(|(apart, largest)| apart <= self.tolerance() * largest + LEAST)
    }

    /// The most that logits may differ by, in units of the largest.
    pub fn tolerance(&self) -> f32 {
        if self.layers.iter().all(|layer| layer.apart == 0) { TOLERANCE } else { TOLERANCE_APART }
    }
}

impl Compared {
    /// Whether spikes are the same but for a few that roundings decide.
    pub fn is_same(&self) -> bool {
        self.apart as f64 <= ROUNDED * self.spikes as f64
    }
}

fn distance(recorded: &Array2<f32>, found: &Array2<f32>) -> Result<(f32, f32)> {
    if recorded.dim() != found.dim() {
        let message = format!("the recorded logits are {:?}, those of the network {:?}", recorded.dim(), found.dim());
        return Err(Error::Mismatch(message));
    }
    if let Some(((image, class), value)) = recorded.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::Mismatch(format!(
            "the recorded logit {class} of series {image} is {value}; expected numbers"
        )));
    }
    let apart = recorded.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    Ok((apart, recorded.iter().map(|value| value.abs()).fold(0.0, f32::max)))
}

/// The spikes of a layer at a step of an image: those of the readout are what its logits, their counts, grow by.
fn spikes(outcome: &Outcome, (layer, readout): (usize, usize), image: usize, t: usize) -> u64 {
    if layer < readout {
        return outcome.by_image.as_ref().map_or(0, |counts| counts[image].spikes[layer][t]);
    }
    let until = |t: usize| outcome.by_step.as_ref().map_or(0.0, |logits| logits.slice(s![t, image, ..]).sum());
    (until(t) - if t > 0 { until(t - 1) } else { 0.0 }) as u64
}

/// A layer's spikes against the recorded ones, step by step.
fn compare(name: &str, recorded: &Array2<u64>, found: impl Fn(usize, usize) -> u64) -> Compared {
    let (images, steps) = recorded.dim();
    let mut compared = Compared { name: name.into(), spikes: recorded.sum(), apart: 0, first: None };
    for (t, image) in (0..steps).flat_map(|t| (0..images).map(move |image| (t, image))) {
        let (expected, found) = (recorded[(image, t)], found(image, t));
        compared.apart += expected.abs_diff(found);
        if expected != found && compared.first.is_none() {
            compared.first = Some((t, image, expected, found));
        }
    }
    compared
}
