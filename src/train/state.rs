//! A training run's whole state, so that a killed run goes on and ends in the same bytes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::Hyperparameters;
use super::optimiser::Optimiser;
use super::pass::ParameterGradient;
use crate::checkpoint::{Checkpoint, Tensor, Values};
use crate::crossbar::calibration::Calibration;
use crate::crossbar::wires::LineLoss;
use crate::device::cell::Devices;
use crate::error::{Error, Result};
use crate::network::{Model, Network};

/// Velocities that are stored of every layer, also where there are none.
const ALWAYS: [&str; 2] = ["weights", "gamma"];

/// The tensor of the steps that AdamW took.
const STEPS: &str = "velocity.steps";

/// Where a run stands.
#[derive(Clone, Debug)]
pub struct TrainingState {
    /// Latent weights and norms.
    pub network: Network,
    /// The optimiser.
    pub optimiser: Optimiser,
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

impl TrainingState {
    /// Stores the state in one file.
    pub fn write(&self, path: &Path, model: &Model) -> Result<()> {
        let position = serde_json::to_value(&self.position).expect("a position is plain data");
        let mut checkpoint = self.network.to_checkpoint(model, position);
        let Optimiser { velocity, square, steps } = &self.optimiser;
        for (moment, layers) in [("velocity", Some(velocity)), ("square", square.as_ref())] {
            for (i, ParameterGradient { weights, gamma, shift, bias, constants }) in
                layers.into_iter().flatten().enumerate()
            {
                let all = [("weights", weights), ("gamma", gamma), ("shift", shift), ("bias", bias)];
                let all = all.into_iter().chain(constants.iter().map(|(constant, values)| (constant.name(), values)));
                for (what, values) in all.filter(|(what, values)| ALWAYS.contains(what) || !values.is_empty()) {
                    let tensor = Tensor { shape: vec![values.len()], values: Values::F32(values.clone()) };
                    checkpoint.tensors.insert(format!("{moment}.{i}.{what}"), tensor);
                }
            }
        }
        if square.is_some() {
            let values = Values::I64(vec![*steps as i64]);
            checkpoint.tensors.insert(STEPS.into(), Tensor { shape: vec![], values });
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

    /// Reads a stored state of a run with these hyperparameters.
    pub fn read(path: &Path, model: &Model, hyperparameters: &Hyperparameters) -> Result<Self> {
        let checkpoint = Checkpoint::read(path)?;
        let network = Network::from_checkpoint(model, &checkpoint)?;
        let mut optimiser = Optimiser::new(hyperparameters, &network);
        let Optimiser { velocity, square, steps } = &mut optimiser;
        for (moment, layers) in [("velocity", Some(velocity)), ("square", square.as_mut())] {
            for (i, ParameterGradient { weights, gamma, shift, bias, constants }) in
                layers.into_iter().flatten().enumerate()
            {
                for (constant, values) in &network.layers[i].constants {
                    let name = format!("{moment}.{i}.{}", constant.name());
                    if checkpoint.tensors.contains_key(&name) {
                        constants.insert(*constant, checkpoint.f32(&name, &[values.len()])?.to_vec());
                    }
                }
                let all = [("weights", weights), ("gamma", gamma), ("shift", shift), ("bias", bias)];
                for (what, values) in
                    all.into_iter().filter(|(what, values)| ALWAYS.contains(what) || !values.is_empty())
                {
                    let stored = checkpoint.f32(&format!("{moment}.{i}.{what}"), &[values.len()])?;
                    values.copy_from_slice(stored);
                }
            }
        }
        if let Some(Values::I64(stored)) = checkpoint.tensors.get(STEPS).map(|tensor| &tensor.values) {
            *steps = stored.first().copied().unwrap_or(0) as u64;
        }
        let losses = (0..network.layers.len()).map(|i| stored_loss(&checkpoint, i)).collect::<Result<_>>()?;
        let position = serde_json::from_value(checkpoint.metadata)
            .map_err(|e| Error::file(path, format!("not the state of a training run: {e}")))?;
        Ok(TrainingState { network, optimiser, losses, position })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::network::constants::Constant;
    use crate::train::config::OptimiserKind;

    #[test]
    fn a_state_comes_back_as_it_was_stored() {
        let text = "name = \"m\"\nsteps = 3\nclasses = 4\ninput = { channels = 2, height = 5, width = 5 }\nreadout = \
                    { bias = true }\n\
                    layers = [{ conv = { channels = 6, bias = true }, norm = \"batch\", neuron = { learned = { leak = \"neuron\" } } }, \
                    { fc = { width = 5, bias = true } }]";
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap();
        for kind in [OptimiserKind::Sgd, OptimiserKind::AdamW] {
            let hyperparameters = Hyperparameters { optimiser: kind, ..Hyperparameters::default() };
            let network = Network::xavier(&model, 1);
            let mut optimiser = Optimiser::new(&hyperparameters, &network);
            let moments = [Some(&mut optimiser.velocity), optimiser.square.as_mut()].into_iter().flatten();
            moments.for_each(|layers| _ = layers[0].constants.insert(Constant::Leak, vec![0.0; 150]));
            optimiser.steps = if kind == OptimiserKind::AdamW { 7 } else { 0 };
            let moments = [Some(&mut optimiser.velocity), optimiser.square.as_mut()].into_iter().flatten().flatten();
            let values = moments.flat_map(|layer| {
                let ParameterGradient { weights, gamma, shift, bias, constants } = layer;
                [weights, gamma, shift, bias].into_iter().chain(constants.values_mut())
            });
            values.flatten().enumerate().for_each(|(i, value)| *value = i as f32 * 0.25 - 3.0);
            let state = TrainingState { network, optimiser, losses: vec![None; 3], position: Position::default() };
            let file = tempfile::NamedTempFile::new().unwrap();
            state.write(file.path(), &model).unwrap();
            let read = TrainingState::read(file.path(), &model, &hyperparameters).unwrap();
            assert!(read.optimiser == state.optimiser && read.network == state.network, "{kind:?}");
        }
    }
}
