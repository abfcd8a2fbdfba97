//! Training: surrogate-gradient backpropagation through time (BNTT, arXiv:2010.01729), forward through the chip's own
//! device code.
//!
//! [`Trainer::run`] takes a network through its epochs. Every step is a pure function of the configuration and the
//! state, whatever the number of threads; the state is stored after every epoch, every minute and on Ctrl-C, so a
//! killed run resumes and ends in the same bytes.

pub mod adapt;
mod back;
pub mod companion;
pub mod config;
pub mod gradient;
pub mod graph;
pub mod job;
pub mod layer;
pub mod neurons;
pub mod norm;
pub mod operands;
pub mod optimiser;
pub mod outlook;
pub mod pass;
pub mod pools;
pub mod population;
pub mod prune;
pub mod readout;
mod returned;
mod run;
pub mod state;
pub mod steps;
pub mod surrogate;
pub mod varying;

use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, validation_split};
use crate::engine::evaluate::check_fit;
use crate::error::{Error, Result};
use crate::memory;
use crate::monitor::Monitor;
use crate::network::companion::CompanionWeights;
use crate::network::{InputCode, Layer, Model, Network, NormKind};
use crate::output::{self, OutputFolder};
use crate::plan::ChipPlan;
use crate::profile::{BudgetBy, Profile};
use config::{Hyperparameters, Prune, Stage};
use run::TrainingRun;

/// The file of the last epoch's network.
///
/// # Examples
/// ```
/// # use crosspike::{Document, Overrides, Silent, Training};
/// use crosspike::{CHECKPOINT_FILE, Model, Network};
///
/// # let out = std::env::temp_dir().join(format!("crosspike-checkpoint-file-{}", std::process::id()));
/// # let text = "model = \"models/digits.toml\"\ndata = \"digits\"\n[train]\nepochs = 1\nlimit = 40";
/// # let document = Document::parse_text("train.toml".as_ref(), text.into())?;
/// # let training = Training::read(&document, &Overrides::default())?;
/// let (folder, trained) = training.run_into(&out, false, &Silent)?;
/// let read = Network::read(&Model::named("digits", &[])?, &folder.file(CHECKPOINT_FILE))?;
/// assert_eq!(read.network, trained.network);
/// # std::fs::remove_dir_all(&out).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The file of the model, with the keys that were set.
///
/// # Examples
/// ```
/// # use crosspike::{Document, Silent, Training};
/// use crosspike::{MODEL_FILE, Model, Overrides};
///
/// # let out = std::env::temp_dir().join(format!("crosspike-model-file-{}", std::process::id()));
/// # let text = "model = \"models/digits.toml\"\ndata = \"digits\"\n[train]\nepochs = 1\nlimit = 40";
/// # let document = Document::parse_text("train.toml".as_ref(), text.into())?;
/// let overrides = Overrides { model: vec!["steps=4".into()], ..Overrides::default() };
/// # let training = Training::read(&document, &overrides)?;
/// let (folder, _trained) = training.run_into(&out, false, &Silent)?;
/// assert_eq!(Model::read(&folder.file(MODEL_FILE), &[])?.steps, 4);
/// # std::fs::remove_dir_all(&out).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const MODEL: &str = "model.toml";
/// The log of a training: a row an epoch.
pub(crate) const LOG_CSV: &str = "log.csv";
/// The time that each epoch took, which varies from run to run.
pub(crate) const TIMING_CSV: &str = "timing.csv";
/// The accuracy on the test images, where there are any.
pub(crate) const TEST: &str = "test.json";
/// Files that a training run writes, with those of the page that is drawn of it.
pub const FILES: [&str; 10] = [
    CHECKPOINT,
    MODEL,
    "best.safetensors",
    LOG_CSV,
    TIMING_CSV,
    TEST,
    "state.safetensors",
    "sram.safetensors",
    "report.html",
    "accuracy.svg",
];

/// A training run, ready to go.
pub struct Trainer<'a> {
    /// The network's shape.
    pub model: &'a Model,
    /// The hardware; its variation is drawn every pass where the hyperparameters ask for it.
    pub profile: &'a Profile,
    /// Training images.
    pub data: &'a Dataset,
    /// The hyperparameters.
    pub hyperparameters: &'a Hyperparameters,
    /// How the companion arrays are pruned, if they are.
    pub prune: Option<Prune>,
    /// What the network's inputs are.
    pub inputs: InputCode,
    /// What the checkpoints say of their origin.
    pub origin: serde_json::Value,
}

impl Trainer<'_> {
    /// Trains from `start`, or from where an unfinished run in `folder` stopped; gives the last epoch's network.
    pub fn run(&self, start: Network, folder: Option<&OutputFolder>, monitor: &dyn Monitor) -> Result<Network> {
        self.check()?;
        let (training, validation) = self.split();
        let plan = ChipPlan::new(&self.forward_profile(&start), self.model, self.inputs)?;
        TrainingRun { trainer: self, plan, training, validation, folder, monitor }.go(start)
    }

    /// An error if data, model and hyperparameters do not fit together, or a batch does not fit this machine's memory.
    pub fn check(&self) -> Result<()> {
        check_fit(self.data, self.model)?;
        self.hyperparameters.loss.check(self.model.readout.kind)?;
        pass::check_cycles(self.model)?;
        ChipPlan::new(self.profile, self.model, self.inputs)?;
        if self.hyperparameters.stage == Stage::Sram && self.profile.any(|_, sram| sram.threshold > 0.0) {
            let message = "sram.threshold prunes arrays that are finished; expected `prune.threshold` in training";
            return Err(Error::Mismatch(message.into()));
        }
        let (training, validation) = self.split();
        if training.is_empty() || (self.hyperparameters.validation > 0.0 && validation.is_empty()) {
            return Err(Error::Mismatch(format!(
                "a validation share of {} leaves {} images to train on and {} to validate with; expected some of each",
                self.hyperparameters.validation,
                training.len(),
                validation.len()
            )));
        }
        let batch = self.hyperparameters.batch.min(training.len());
        let is_normed = |layer: &&Layer| {
            let values = batch * layer.output.height * layer.output.width;
            match layer.norm {
                // Steps may all be the same: they do not make a variance.
                NormKind::Bntt | NormKind::Batch => values == 1,
                NormKind::None => false,
            }
        };
        if let Some(layer) = self.model.layers().iter().find(is_normed) {
            return Err(Error::Mismatch(format!(
                "train.batch: 1 image a step gives the norm of `{}` one value a channel, which has no variance; \
                 expected at least 2",
                layer.name
            )));
        }
        check_memory(self.model, batch, "train.batch")
    }

    fn split(&self) -> (Vec<usize>, Vec<usize>) {
        let n = self.hyperparameters.limit.unwrap_or(usize::MAX).min(self.data.len());
        validation_split(n, self.hyperparameters.validation, self.hyperparameters.seed)
    }

    /// The hardware of the forward pass: in stage `rram` the RRAM arrays alone, for the companion joins at evaluation.
    fn forward_profile(&self, network: &Network) -> Profile {
        let mut profile = match self.hyperparameters {
            Hyperparameters { variation: false, chip: None, .. } => self.profile.without_variation(),
            _ => self.profile.clone(),
        };
        match self.hyperparameters.stage {
            Stage::Rram => profile.amend(|_, sram| sram.bits = 0),
            Stage::Sram => profile.amend(|_, sram| *sram = sram.stated(network.form)),
        }
        // Trims, branches and budgets are of finished chips.
        profile.amend(|_, sram| {
            (sram.trim_bits, sram.rank) = (0, 0);
            sram.budget_by = BudgetBy::default();
        });
        profile
    }
}

/// An error if the passes over a batch of so many images do not fit this machine's memory; `key` is what to lower.
pub(crate) fn check_memory(model: &Model, images: usize, key: &str) -> Result<()> {
    memory::check(&format!("a batch of {images} images"), pass::bytes(model, images), &format!("lower {key}"))
}

/// A network's checkpoint after `epoch` epochs, with its origin.
pub fn checkpoint(network: &Network, model: &Model, origin: &serde_json::Value, epoch: usize) -> Checkpoint {
    let mut metadata = origin.clone();
    metadata["epoch"] = epoch.into();
    let mut network = network.clone();
    network.layers.iter_mut().for_each(|layer| layer.sram = layer.sram.take().map(CompanionWeights::pruned));
    network.to_checkpoint(model, metadata)
}

/// Closes a finished run: its state is no longer needed.
pub fn finish(folder: &OutputFolder) -> Result<()> {
    folder.finish()?;
    output::remove(&folder.file("state.safetensors"))
}
