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
mod run;
pub mod sgd;
pub mod state;

use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, validation_split};
use crate::engine::evaluate::check_fit;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoding, Model, Network};
use crate::output::{self, OutputFolder};
use crate::profile::{Profile, VariationKind};
use config::Recipe;
use run::Run;

/// Files that a training run writes.
pub const FILES: [&str; 5] =
    ["checkpoint.safetensors", "best.safetensors", "log.csv", "timing.csv", "state.safetensors"];

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

impl Trainer<'_> {
    /// Trains from `start`, or from where an unfinished run in `folder` stopped; gives the last epoch's network.
    pub fn run(&self, start: Network, folder: Option<&OutputFolder>, monitor: &dyn Monitor) -> Result<Network> {
        check_fit(self.data, self.model)?;
        let n = self.recipe.limit.unwrap_or(usize::MAX).min(self.data.len());
        let (training, validation) = validation_split(n, self.recipe.validation, self.recipe.seed);
        if training.is_empty() {
            return Err(Error::Mismatch("train.validation leaves no image to train on".into()));
        }
        let layers = self.model.layers();
        let profile = self.forward_profile();
        Run { trainer: self, layers, profile, training, validation, folder, monitor }.go(start)
    }

    /// The hardware of the forward pass: the RRAM arrays alone, for the companion joins at evaluation.
    fn forward_profile(&self) -> Profile {
        let mut profile = self.profile.clone();
        profile.sram.bits = 0;
        if !self.recipe.variation {
            profile.rram.variation.kind = VariationKind::None;
        }
        profile
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
