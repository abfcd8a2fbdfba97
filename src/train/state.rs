//! A training run's whole state, so that a killed run goes on and ends in the same bytes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::pass::ParameterGradient;
use super::sgd::Sgd;
use crate::checkpoint::{Checkpoint, Tensor, Values};
use crate::crossbar::calibration::Calibration;
use crate::crossbar::wires::LineLoss;
use crate::device::cell::Devices;
use crate::error::{Error, Result};
use crate::network::{Model, Network};

/// Velocities that are stored of every layer, also where there are none.
const ALWAYS: [&str; 2] = ["weights", "gamma"];

/// Where a run stands.
#[derive(Clone, Debug)]
pub struct State {
    /// Latent weights and norms.
    pub network: Network,
    /// The optimiser.
    pub sgd: Sgd,
    /// What lines leave of each layer's devices, as the epoch began; empty where they are ideal.
    pub losses: Vec<Option<LineLoss>>,
    /// Everything else.
    pub position: Position,
}

/// Epoch, step and what has been logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The epoch under way, from 0.
    pub epoch: usize,
    /// Steps of it done.
    pub step: usize,
    /// Sum of the step losses of the epoch.
    pub loss: f64,
    /// Images of the epoch classified correctly in training.
    pub correct: usize,
    /// Images of the epoch seen.
    pub seen: usize,
    /// Best validation accuracy so far, in percent, and its epoch.
    pub best: Option<(f64, usize)>,
    /// Finished epochs.
    pub log: Vec<LogRow>,
    /// The ranges of the epoch's converters, where they are profiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// One row of `log.csv`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Learning rate.
    pub learning_rate: f32,
    /// Mean training loss.
    pub loss: f64,
    /// Training accuracy in percent, over the epoch.
    pub train_accuracy: f64,
    /// Validation accuracy in percent, after the epoch.
    pub validation_accuracy: Option<f64>,
}

impl State {
    /// Stores the state in one file.
    pub fn write(&self, path: &Path, model: &Model) -> Result<()> {
        let position = serde_json::to_value(&self.position).expect("a position is plain data");
        let mut checkpoint = self.network.to_checkpoint(model, position);
        for (i, velocity) in self.sgd.velocity.iter().enumerate() {
            let ParameterGradient { weights, gamma, shift, bias } = velocity;
            let all = [("weights", weights), ("gamma", gamma), ("shift", shift), ("bias", bias)];
            for (what, values) in all.into_iter().filter(|(what, values)| ALWAYS.contains(what) || !values.is_empty()) {
                let tensor = Tensor { shape: vec![values.len()], values: Values::F32(values.clone()) };
                checkpoint.tensors.insert(format!("velocity.{i}.{what}"), tensor);
            }
        }
        for (i, loss) in self.losses.iter().enumerate() {
            for (slice, devices) in loss.iter().flat_map(|loss| loss.slices.iter().enumerate()) {
                for (side, shares) in [("plus", &devices.plus), ("minus", &devices.minus)] {
                    let values = Values::F32(shares.iter().map(|share| *share as f32).collect());
                    let tensor = Tensor { shape: vec![shares.len()], values };
                    checkpoint.tensors.insert(format!("loss.{i}.{slice}.{side}"), tensor);
                }
            }
        }
        checkpoint.write(path)
    }

    /// Reads a stored state.
    pub fn read(path: &Path, model: &Model) -> Result<Self> {
        let checkpoint = Checkpoint::read(path)?;
        let network = Network::from_checkpoint(model, &checkpoint)?;
        let mut sgd = Sgd::new(&network);
        for (i, ParameterGradient { weights, gamma, shift, bias }) in sgd.velocity.iter_mut().enumerate() {
            let all = [("weights", weights), ("gamma", gamma), ("shift", shift), ("bias", bias)];
            for (what, values) in all.into_iter().filter(|(what, values)| ALWAYS.contains(what) || !values.is_empty()) {
                let stored = checkpoint.f32(&format!("velocity.{i}.{what}"), &[values.len()])?;
                values.copy_from_slice(stored);
            }
        }
        let losses = (0..network.layers.len()).map(|i| stored_loss(&checkpoint, i)).collect::<Result<_>>()?;
        let position = serde_json::from_value(checkpoint.metadata)
            .map_err(|e| Error::file(path, format!("not the state of a training run: {e}")))?;
        Ok(State { network, sgd, losses, position })
    }
}

/// What was stored of a layer's lines.
fn stored_loss(checkpoint: &Checkpoint, layer: usize) -> Result<Option<LineLoss>> {
    let mut slices = Vec::new();
    loop {
        let side = |name: &str| -> Result<Option<Vec<f64>>> {
            let name = format!("loss.{layer}.{}.{name}", slices.len());
            let Some(tensor) = checkpoint.tensors.get(&name) else { return Ok(None) };
            let stored = checkpoint.f32(&name, &tensor.shape)?;
            Ok(Some(stored.iter().map(|share| f64::from(*share)).collect()))
        };
        match (side("plus")?, side("minus")?) {
            (Some(plus), Some(minus)) => slices.push(Devices { plus, minus }),
            _ => return Ok((!slices.is_empty()).then_some(LineLoss { slices })),
        }
    }
}
