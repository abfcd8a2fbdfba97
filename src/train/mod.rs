//! Training: surrogate-gradient backpropagation through time (BNTT, arXiv:2010.01729), forward through the chip's own
//! device code.
//!
//! [`Trainer::run`] takes a network through its epochs. Every step is a pure function of the configuration and the
//! state, whatever the number of threads; the state is stored after every epoch, every minute and on Ctrl-C, so a killed
//! run resumes and ends in the same bytes.

pub mod config;
pub mod layer;
pub mod norm;
pub mod pass;
pub mod sgd;
pub mod state;

use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::chip::{Blueprint, Chip};
use crate::data::{Augmentation, Dataset, epoch_order, validation_split};
use crate::device::Draw;
use crate::engine::cpu::CpuEngine;
use crate::engine::evaluate::{Evaluation, check_fit, correct, read_batch};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Batch, Encoder, Encoding, Model, Network};
use crate::output::{self, OutputFolder};
use crate::profile::{Profile, VariationKind};
use config::Recipe;
use pass::{Setting, pass};
use sgd::Sgd;
use state::{LogRow, Position, State};

/// Files that a training run writes.
pub const FILES: [&str; 5] =
    ["checkpoint.safetensors", "best.safetensors", "log.csv", "timing.csv", "state.safetensors"];
/// How often the state is stored within an epoch.
const STORE_EVERY: Duration = Duration::from_secs(60);

/// A training run, ready to go.
pub struct Trainer<'a> {
    /// The network's shape.
    pub model: &'a Model,
    /// The hardware; its variation is drawn every pass when the recipe asks for it.
    pub profile: &'a Profile,
    /// Training images.
    pub data: &'a Dataset,
    /// The recipe.
    pub recipe: &'a Recipe,
    /// The encoder.
    pub encoding: Encoding,
    /// What the checkpoints say of their origin.
    pub origin: serde_json::Value,
}

/// The images of a run, split.
struct Images {
    training: Vec<usize>,
    validation: Vec<usize>,
}

impl Trainer<'_> {
    /// Trains from `start`, or from where an unfinished run in `folder` stopped; gives the last epoch's network.
    pub fn run(&self, start: Network, folder: Option<&OutputFolder>, monitor: &dyn Monitor) -> Result<Network> {
        check_fit(self.data, self.model)?;
        // The RRAM stage trains the RRAM arrays alone: the companion joins at evaluation.
        let mut profile = self.profile.clone();
        profile.sram.bits = 0;
        if !self.recipe.variation {
            profile.rram.variation.kind = VariationKind::None;
        }
        let images = self.images()?;
        let stored = folder.filter(|f| f.resumed).map(|f| f.file("state.safetensors")).filter(|f| f.exists());
        let mut state = match stored {
            Some(file) => State::read(&file, self.model)?,
            None => State { sgd: Sgd::new(&start), network: start, position: Position::default() },
        };
        if state.position.epoch > 0 || state.position.step > 0 {
            monitor.line(&format!("resuming at epoch {}, step {}", state.position.epoch + 1, state.position.step));
        }
        while state.position.epoch < self.recipe.epochs {
            let began = Instant::now();
            let seen_before = state.position.seen;
            self.epoch(&mut state, &images, &profile, folder, monitor)?;
            let trained = began.elapsed().as_secs_f64();
            let rate = (state.position.seen - seen_before) as f64 / trained;
            self.close_epoch(&mut state, &images, &profile, folder, monitor, rate)?;
            if let Some(folder) = folder {
                append_timing(folder, state.position.epoch, trained, rate)?;
            }
        }
        Ok(state.network)
    }

    fn images(&self) -> Result<Images> {
        let n = self.recipe.limit.unwrap_or(usize::MAX).min(self.data.len());
        let (training, validation) = validation_split(n, self.recipe.validation, self.recipe.seed);
        if training.is_empty() {
            return Err(Error::Mismatch("no training image is left".into()));
        }
        Ok(Images { training, validation })
    }

    fn epoch(
        &self,
        state: &mut State,
        images: &Images,
        profile: &Profile,
        folder: Option<&OutputFolder>,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let Recipe { batch, seed, shuffle, augment, .. } = *self.recipe;
        let layers = self.model.layers();
        let setting = Setting { model: self.model, layers: &layers, profile };
        let epoch = state.position.epoch;
        let order = epoch_order(images.training.len(), seed, epoch as u64, shuffle);
        let steps = (order.len() / batch).max(1);
        let encoder = Encoder::new(self.encoding, self.model.input, seed, epoch as u64 + 1);
        let augmentation = augment.then_some(Augmentation { seed, epoch: epoch as u64 });
        let rate = self.recipe.rate(epoch);
        let mut stored = Instant::now();
        monitor.begin(&format!("epoch {}/{}", epoch + 1, self.recipe.epochs), (steps * batch.min(order.len())) as u64);
        while state.position.step < steps {
            let step = state.position.step;
            let chosen: Vec<usize> = order[step * batch..((step + 1) * batch).min(order.len())]
                .iter()
                .map(|i| images.training[*i])
                .collect();
            let (inputs, labels) = read_batch(self.data, &chosen, augmentation.as_ref())?;
            inputs.check(self.encoding)?;
            let draw = self.recipe.variation.then(|| Draw::training_pass(seed, (epoch * steps + step) as u64));
            self.step(state, &setting, &encoder, &inputs, &labels, draw, rate)?;
            let Position { loss, seen, .. } = state.position;
            monitor.progress(seen as u64, &format!("loss {:.3}", loss / (step + 1) as f64));
            let stop = monitor.stop();
            if let Some(folder) = folder.filter(|_| stop || stored.elapsed() > STORE_EVERY) {
                state.write(&folder.file("state.safetensors"), self.model)?;
                stored = Instant::now();
            }
            if stop {
                monitor.end();
                return Err(Error::Interrupted("the state is stored; the same command goes on from here".into()));
            }
        }
        monitor.end();
        Ok(())
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one step needs its whole setting, and a struct would be made for it alone"
    )]
    fn step(
        &self,
        state: &mut State,
        setting: &Setting,
        encoder: &Encoder,
        inputs: &Batch,
        labels: &[u32],
        draw: Option<Draw>,
        rate: f32,
    ) -> Result<()> {
        let outcome = pass(setting, &state.network, encoder, inputs, labels, draw);
        if !outcome.loss.is_finite() {
            return Err(Error::Mismatch(format!(
                "the loss is {}: the training diverged; lower train.learning_rate",
                outcome.loss
            )));
        }
        for (layer, statistics) in state.network.layers.iter_mut().zip(&outcome.statistics) {
            if let Some(norm) = &mut layer.norm {
                statistics.update(norm);
            }
        }
        state.sgd.step(&mut state.network, &outcome.gradients, self.recipe, rate);
        let position = &mut state.position;
        position.step += 1;
        position.loss += outcome.loss;
        position.seen += labels.len();
        position.correct += correct(&outcome.logits, labels);
        Ok(())
    }

    /// Validates, logs and stores a finished epoch.
    fn close_epoch(
        &self,
        state: &mut State,
        images: &Images,
        profile: &Profile,
        folder: Option<&OutputFolder>,
        monitor: &dyn Monitor,
        images_a_second: f64,
    ) -> Result<()> {
        let epoch = state.position.epoch;
        let validation_accuracy = self.validate(&state.network, images, profile)?;
        let position = &mut state.position;
        let row = LogRow {
            epoch: epoch + 1,
            learning_rate: self.recipe.rate(epoch),
            loss: position.loss / position.step as f64,
            train_accuracy: 100.0 * position.correct as f64 / position.seen as f64,
            validation_accuracy,
        };
        let validated = row.validation_accuracy.map_or(String::new(), |v| format!(", validation {v:.2} %"));
        monitor.line(&format!(
            "epoch {}/{}: loss {:.4}, training accuracy {:.2} %{validated}, {images_a_second:.0} images/s",
            row.epoch, self.recipe.epochs, row.loss, row.train_accuracy
        ));
        let is_best = validation_accuracy.is_some_and(|v| position.best.is_none_or(|(best, _)| v > best));
        if is_best {
            position.best = validation_accuracy.map(|v| (v, epoch + 1));
        }
        let log = std::mem::take(&mut position.log).into_iter().chain([row]).collect();
        *position = Position { epoch: epoch + 1, best: position.best, log, ..Position::default() };
        let Some(folder) = folder else { return Ok(()) };
        // The state comes last: were the run killed before, this epoch would run again and write the same files.
        let checkpoint = checkpoint(&state.network, self.model, &self.origin, epoch + 1);
        if is_best {
            checkpoint.write(&folder.file("best.safetensors"))?;
        }
        checkpoint.write(&folder.file("checkpoint.safetensors"))?;
        folder.write("log.csv", &log_csv(&state.position.log)?)?;
        state.write(&folder.file("state.safetensors"), self.model)
    }

    /// Accuracy in percent on the validation images: on chip 0 when training with variation, else on the nominal chip.
    fn validate(&self, network: &Network, images: &Images, profile: &Profile) -> Result<Option<f64>> {
        if images.validation.is_empty() {
            return Ok(None);
        }
        let blueprint = Blueprint::new(profile, self.model, network, self.encoding, self.recipe.seed)?;
        let chip = Chip::program(&blueprint, 0);
        let engine = CpuEngine::default();
        let evaluation = Evaluation {
            engine: &engine,
            data: self.data,
            images: &images.validation,
            encoder: Encoder::new(self.encoding, self.model.input, self.recipe.seed, 0),
            batch: 64,
        };
        Ok(Some(evaluation.run(&chip)?.accuracy))
    }
}

/// A network's checkpoint after `epoch` epochs, with its origin.
pub fn checkpoint(network: &Network, model: &Model, origin: &serde_json::Value, epoch: usize) -> Checkpoint {
    let mut metadata = origin.clone();
    metadata["epoch"] = epoch.into();
    network.to_checkpoint(model, metadata)
}

/// Closes a finished run: its state is no longer needed.
pub fn finish(folder: &OutputFolder) -> Result<()> {
    folder.finish()?;
    output::remove(&folder.file("state.safetensors"))
}

fn log_csv(rows: &[LogRow]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|e| Error::Mismatch(format!("log.csv: {e}")))?;
    }
    writer.into_inner().map_err(|e| Error::Mismatch(format!("log.csv: {e}")))
}

/// Times vary from run to run, so they stand beside the log.
fn append_timing(folder: &OutputFolder, epoch: usize, seconds: f64, rate: f64) -> Result<()> {
    let file = folder.file("timing.csv");
    let mut text = std::fs::read_to_string(&file).unwrap_or_else(|_| "epoch,seconds,images_per_second\n".into());
    text += &format!("{epoch},{seconds:.2},{rate:.2}\n");
    folder.write("timing.csv", text.as_bytes())
}
