//! One run through its epochs: steps, validation, log, and the state that a kill cannot harm.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::config::Hyperparameters;
use super::optimiser::Optimiser;
use super::pass::{PassSetting, pass};
use super::state::{LogRow, Position, TrainingState};
use super::{CHECKPOINT, LOG_CSV, TIMING_CSV, Trainer, checkpoint};
use crate::chip::{Blueprint, Chip};
use crate::crossbar::calibration::Calibration;
use crate::crossbar::mapping;
use crate::crossbar::site::Site;
use crate::crossbar::wires::LineLoss;
use crate::data::{Augmentation, epoch_order};
use crate::device::Draw;
use crate::engine::calibrate::with_ranges_of;
use crate::engine::chip_result::correct;
use crate::engine::cpu::CpuEngine;
use crate::engine::evaluate::{Evaluation, read_batch};
use crate::error::{Error, Result};
use crate::monitor::{Monitor, interruptible};
use crate::network::{Encoder, Inputs, Network};
use crate::output::OutputFolder;
use crate::plan::ChipPlan;

/// How often the state is stored within an epoch.
const STORE_EVERY: Duration = Duration::from_secs(60);

/// What stays the same through a run.
pub(super) struct TrainingRun<'a> {
    pub trainer: &'a Trainer<'a>,
    pub plan: ChipPlan,
    pub training: Vec<usize>,
    pub validation: Vec<usize>,
    pub folder: Option<&'a OutputFolder>,
    pub monitor: &'a dyn Monitor,
}

impl TrainingRun<'_> {
    pub fn go(&self, start: Network) -> Result<Network> {
        let hyperparameters = self.trainer.hyperparameters;
        let stored = self.folder.filter(|f| f.resumed).map(|f| f.file("state.safetensors")).filter(|f| f.exists());
        let mut state = match stored {
            Some(file) => TrainingState::read(&file, self.trainer.model, hyperparameters)?,
            None => TrainingState {
                optimiser: Optimiser::new(hyperparameters, &start),
                network: start,
                losses: vec![],
                position: Position::default(),
            },
        };
        self.costs().iter().for_each(|cost| self.monitor.line(cost));
        let Position { epoch, step, .. } = state.position;
        if epoch > 0 || step > 0 {
            self.monitor.line(&format!("resuming at epoch {}, step {step}", epoch + 1));
        }
        while state.position.epoch < self.trainer.hyperparameters.epochs {
            let (began, seen) = (Instant::now(), state.position.seen);
            let ran = interruptible(|| self.epoch(&mut state));
            self.monitor.end();
            ran.map_err(|error| self.given_up(error, &state))?;
            let seconds = began.elapsed().as_secs_f64();
            let rate = (state.position.seen - seen) as f64 / seconds;
            self.close_epoch(&mut state, rate).map_err(|error| self.given_up(error, &state))?;
            if let Some(folder) = self.folder {
                append_timing(folder, state.position.epoch, seconds, rate)?;
            }
        }
        Ok(state.network)
    }

    /// Gives what of the hardware makes the training longer.
    fn costs(&self) -> Vec<String> {
        let mut costs = vec![];
        let converters = self.plan.sites().filter(|site| site.converts());
        if let Some(sums) = converters.map(Site::partitions).max() {
            costs.push(format!(
                "converters see every partial sum, up to {sums} of a column: an epoch takes some twice as long as \
                 with adc.bits = 0, and longer on tiles of few rows and with cells in slices"
            ));
        }
        let tiles: usize = self.plan.sites().filter(|site| site.drops()).map(|site| mapping::map(site).tiles).sum();
        if tiles > 0 {
            let ranges =
                if self.plan.profile.wants_calibration() { ", again as training images are profiled" } else { "" };
            let validated = if self.validation.is_empty() { "" } else { ", again as it is validated" };
            costs.push(format!(
                "lines take what they take of the nominal chip: its {tiles} tiles are solved at the start of every \
                 epoch{ranges}{validated}"
            ));
        }
        costs
    }

    /// Takes the remaining steps of the epoch under way.
    fn epoch(&self, state: &mut TrainingState) -> Result<()> {
        let Trainer { model, data, hyperparameters, inputs, .. } = *self.trainer;
        let Hyperparameters { batch, seed, shuffle, augment, padding, flip, epochs, .. } = *hyperparameters;
        let epoch = state.position.epoch;
        if state.position.step == 0 {
            if state.position.calibration.is_none() {
                state.position.calibration = self.ranges(&state.network)?;
            }
            let plan = self.counted(state);
            let layers = plan.sites().zip(&state.network.layers);
            state.losses = layers.map(|(site, layer)| LineLoss::of(site, &layer.rram)).collect::<Result<_>>()?;
        }
        let order = epoch_order(self.training.len(), seed, epoch as u64, shuffle);
        let steps = (order.len() / batch).max(1);
        let encoder = Encoder::new(inputs, model.input, seed, epoch as u64 + 1);
        let augmentation = augment.then_some(Augmentation { seed, epoch: epoch as u64, padding, flip });
        let mut stored = Instant::now();
        self.monitor.begin(&format!("epoch {}/{epochs}", epoch + 1), (steps * batch.min(order.len())) as u64);
        self.monitor.skip(state.position.seen as u64);
        while state.position.step < steps {
            let step = state.position.step;
            let places = &order[step * batch..((step + 1) * batch).min(order.len())];
            let chosen: Vec<usize> = places.iter().map(|i| self.training[*i]).collect();
            let (images, labels) = read_batch(data, &chosen, augmentation.as_ref())?;
            images.check(inputs)?;
            let inputs = Inputs::new(encoder, images, model.steps);
            interruptible(|| self.step(state, &inputs, &labels, (epoch * steps + step) as u64))?;
            let Position { loss, seen, .. } = state.position;
            self.monitor.progress(seen as u64, &format!("loss {:.3}", loss / (step + 1) as f64));
            if self.monitor.stop() {
                return Err(Error::Interrupted(String::new()));
            }
            if stored.elapsed() > STORE_EVERY {
                self.store(state)?;
                stored = Instant::now();
            }
        }
        Ok(())
    }

    /// Stores where a run is, where it has a folder.
    fn store(&self, state: &TrainingState) -> Result<()> {
        let file = self.folder.map(|folder| folder.file("state.safetensors"));
        file.map_or(Ok(()), |file| state.write(&file, self.trainer.model))
    }

    /// Stores where a run is that was given up, between two steps; other errors go on as they are.
    fn given_up(&self, error: Error, state: &TrainingState) -> Error {
        if !matches!(error, Error::Interrupted(_)) {
            return error;
        }
        if self.folder.is_some() {
            self.monitor.line("storing where the training stands");
        }
        match self.store(state) {
            Ok(()) => error.leaving(self.folder.map_or("nothing is kept", |_| "the same command goes on from here")),
            Err(failed) => failed,
        }
    }

    /// The ranges of an epoch's converters, where they are profiled: those of the network that it begins with.
    fn ranges(&self, network: &Network) -> Result<Option<Calibration>> {
        if !self.plan.profile.wants_calibration() {
            return Ok(None);
        }
        Ok(self.blueprint(network)?.calibration().cloned())
    }

    /// The plan of chips that have had the reads which were counted at the start of the epoch.
    fn counted(&self, state: &TrainingState) -> Cow<'_, ChipPlan> {
        match &state.position.calibration {
            Some(calibration) if !(calibration.reads.is_empty() && calibration.inputs.is_empty()) => {
                Cow::Owned(self.plan.counted(calibration))
            }
            _ => Cow::Borrowed(&self.plan),
        }
    }

    /// The chips that are trained for.
    fn blueprint<'n>(&'n self, network: &'n Network) -> Result<Blueprint<'n>> {
        let Trainer { model, data, hyperparameters, inputs, .. } = *self.trainer;
        let blueprint = Blueprint::new(&self.plan.profile, model, network, inputs, hyperparameters.seed)?;
        with_ranges_of(blueprint, hyperparameters.seed, data, &self.training)
    }

    /// Pass number `iteration` of the run.
    fn step(&self, state: &mut TrainingState, inputs: &Inputs, labels: &[u32], iteration: u64) -> Result<()> {
        let Trainer { hyperparameters, prune, .. } = *self.trainer;
        let draw = match hyperparameters.chip {
            Some(chip) => Some(Draw::chip(hyperparameters.seed, chip)),
            None => hyperparameters.variation.then(|| Draw::training_pass(hyperparameters.seed, iteration)),
        };
        let mut plan = self.counted(state);
        if let Some(shift) = hyperparameters.shifts.get(iteration as usize % hyperparameters.shifts.len().max(1)) {
            let mut profile = self.plan.profile.clone();
            profile.amend(|_, sram| sram.shift = Some(*shift));
            let plan_of_shift = self.plan.on(&profile)?;
            plan = Cow::Owned(match &state.position.calibration {
                Some(calibration) => plan_of_shift.counted(calibration),
                None => plan_of_shift,
            });
        }
        if let Some(prune) = prune {
            prune.mask(&mut state.network);
        }
        let setting = PassSetting {
            calibration: state.position.calibration.as_ref(),
            losses: &state.losses,
            ..PassSetting::by(hyperparameters, &plan)
        };
        let mut outcome = pass(&setting, &state.network, inputs, labels, draw)?;
        if let Some(prune) = prune {
            prune.add_lasso(&self.plan.graph.layers, &state.network, &mut outcome);
        }
        if !outcome.loss.is_finite() {
            return Err(diverged(&format!("the loss is {}", outcome.loss)));
        }
        let position = &mut state.position;
        state.optimiser.step(&mut state.network, &outcome, hyperparameters, hyperparameters.rate(position.epoch));
        position.step += 1;
        position.loss += outcome.loss;
        position.seen += labels.len();
        position.correct += correct(&outcome.logits, labels)?;
        Ok(())
    }

    /// Validates, logs and stores a finished epoch.
    fn close_epoch(&self, state: &mut TrainingState, images_a_second: f64) -> Result<()> {
        let Trainer { model, hyperparameters, origin, .. } = self.trainer;
        if !state.network.is_finite() {
            return Err(diverged("a weight is not finite"));
        }
        if let Some(prune) = self.trainer.prune {
            // The weights have moved since the last pass: the checkpoint has the mask that they give.
            prune.mask(&mut state.network);
        }
        let (validation_accuracy, calibration) = interruptible(|| self.validate(&state.network))?.unzip();
        let position = &mut state.position;
        let row = LogRow {
            epoch: position.epoch + 1,
            learning_rate: hyperparameters.rate(position.epoch),
            loss: position.loss / position.step as f64,
            train_accuracy: 100.0 * position.correct as f64 / position.seen as f64,
            validation_accuracy,
        };
        let validated = validation_accuracy.map_or(String::new(), |v| format!(", validation {v:.2} %"));
        self.monitor.detail(&format!(
            "epoch {}/{}: loss {:.4}, training accuracy {:.2} %{validated}, {images_a_second:.0} images/s",
            row.epoch, hyperparameters.epochs, row.loss, row.train_accuracy
        ));
        let epoch = row.epoch;
        let is_best = validation_accuracy.is_some_and(|v| position.best.is_none_or(|(best, _)| v > best));
        let best = if is_best { validation_accuracy.map(|v| (v, epoch)) } else { position.best };
        position.log.push(row);
        // The next epoch begins with the network that was validated.
        let calibration = calibration.flatten();
        *position =
            Position { epoch, best, log: std::mem::take(&mut position.log), calibration, ..Position::default() };
        let Some(folder) = self.folder else { return Ok(()) };
        // The state comes last: were the run killed before, this epoch would run again and write the same files.
        let checkpoint = checkpoint(&state.network, model, origin, epoch);
        if is_best {
            checkpoint.write(&folder.file("best.safetensors"))?;
        }
        checkpoint.write(&folder.file(CHECKPOINT))?;
        folder.write(LOG_CSV, &log_csv(&state.position.log)?)?;
        state.write(&folder.file("state.safetensors"), model)
    }

    /// Accuracy in percent on the validation images: on the chip that is trained for, on chip 0 when training with
    /// variation, else on the nominal chip; and the ranges that its converters were given.
    fn validate(&self, network: &Network) -> Result<Option<(f64, Option<Calibration>)>> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let Trainer { model, data, hyperparameters, inputs, .. } = *self.trainer;
        let blueprint = self.blueprint(network)?;
        let encoder = Encoder::new(inputs, model.input, hyperparameters.seed, 0);
        let engine = &CpuEngine::default();
        let evaluation = Evaluation::on(engine, data, encoder, model.steps).of_images(self.validation.clone());
        let accuracy = evaluation.run(&Chip::program(&blueprint, hyperparameters.chip.unwrap_or(0))?)?.accuracy;
        Ok(Some((accuracy, blueprint.calibration().cloned())))
    }
}

fn diverged(what: &str) -> Error {
    Error::Mismatch(format!("{what}: the training diverged; lower train.learning_rate"))
}

fn log_csv(rows: &[LogRow]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|e| Error::Mismatch(format!("{LOG_CSV}: {e}")))?;
    }
    writer.into_inner().map_err(|e| Error::Mismatch(format!("{LOG_CSV}: {e}")))
}

/// Times vary from run to run, so they stand beside the log.
fn append_timing(folder: &OutputFolder, epoch: usize, seconds: f64, rate: f64) -> Result<()> {
    let file = folder.file(TIMING_CSV);
    let mut text = std::fs::read_to_string(&file).unwrap_or_else(|_| "epoch,seconds,images_per_second\n".into());
    text += &format!("{epoch},{seconds:.2},{rate:.2}\n");
    folder.write(TIMING_CSV, text.as_bytes())
}
