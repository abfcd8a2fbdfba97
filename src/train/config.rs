//! What a training run is: `train CONFIG.toml`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Document;
use crate::error::Result;
use crate::network::Encoding;

/// A training file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainFile {
    /// The model file.
    pub model: PathBuf,
    /// The profile file; absent: the ideal chip.
    pub profile: Option<PathBuf>,
    /// The data set.
    pub data: String,
    /// The data set to test on, where one file holds one set only.
    pub test: Option<String>,
    /// A checkpoint to start from.
    pub init: Option<PathBuf>,
    /// The encoder.
    pub encoding: Option<Encoding>,
    /// The recipe.
    #[serde(default)]
    pub train: Recipe,
}

/// `[train]`: stochastic gradient descent with momentum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step; a last partial batch is dropped unless it is the only one.
    pub batch: usize,
    /// Initial learning rate.
    pub learning_rate: f32,
    /// Momentum.
    pub momentum: f32,
    /// Weight decay, added to the gradient.
    pub weight_decay: f32,
    /// The rate is divided by 10 at the start of epoch max(1, floor(epochs·m)) for each m.
    pub milestones: Vec<f64>,
    /// Training images; absent: all.
    pub limit: Option<usize>,
    /// Share of the training images held out for validation.
    pub validation: f64,
    /// Whether each epoch has its own order.
    pub shuffle: bool,
    /// Random crop with padding 4 and horizontal flip.
    pub augment: bool,
    /// The seed of initial weights, order, encoding and variation.
    pub seed: u64,
    /// Variation-aware training: a fresh draw from the profile every pass.
    pub variation: bool,
    /// What is trained.
    pub stage: Stage,
}

/// What a run trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The RRAM arrays' latent weights and everything digital.
    #[default]
    Rram,
    /// The companion array with frozen RRAM; not in this version.
    Sram,
}

impl Default for Recipe {
    fn default() -> Self {
        Recipe {
            epochs: 10,
            batch: 128,
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 1e-4,
            milestones: vec![0.5, 0.7, 0.9],
            limit: None,
            validation: 0.0,
            shuffle: true,
            augment: false,
            seed: 1,
            variation: false,
            stage: Stage::Rram,
        }
    }
}

impl Recipe {
    /// The learning rate of an epoch (from 0).
    pub fn rate(&self, epoch: usize) -> f32 {
        let start = |m: &f64| ((self.epochs as f64 * m).floor() as usize).max(1);
        let passed = self.milestones.iter().filter(|m| epoch >= start(m)).count();
        (0..passed).fold(self.learning_rate, |rate, _| rate * 0.1)
    }
}

impl TrainFile {
    /// Validates a parsed document; relative paths start from its folder.
    pub fn from_document(document: &Document) -> Result<Self> {
        if document.table().contains_key("prune") {
            return Err(document.error("prune", "SRAM pruning is not in this version; expected no [prune] section"));
        }
        let mut file: TrainFile = document.parse()?;
        file.validate(document)?;
        let join = |key: &str, path: &Path| document.base(key).join(path);
        file.model = join("model", &file.model);
        file.profile = file.profile.as_deref().map(|path| join("profile", path));
        file.init = file.init.as_deref().map(|path| join("init", path));
        Ok(file)
    }

    fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("train.{key}"), message));
        let recipe = &self.train;
        for (key, value, most) in [("epochs", recipe.epochs, 100_000), ("batch", recipe.batch, 65_536)] {
            if !(1..=most).contains(&value) {
                return refuse(key, format!("{value}, expected 1 to {most}"));
            }
        }
        if !(recipe.learning_rate.is_finite() && recipe.learning_rate > 0.0) {
            return refuse("learning_rate", format!("{}, expected a number above 0", recipe.learning_rate));
        }
        for (key, value) in [("momentum", recipe.momentum), ("weight_decay", recipe.weight_decay)] {
            if !(0.0..1.0).contains(&value) {
                return refuse(key, format!("{value}, expected a number from 0 to below 1"));
            }
        }
        if let Some(m) = recipe.milestones.iter().find(|m| !(0.0..=1.0).contains(*m)) {
            return refuse("milestones", format!("{m}, expected shares of the epochs from 0 to 1"));
        }
        if recipe.limit == Some(0) {
            return refuse("limit", "0, expected at least 1 training image, or no limit".into());
        }
        if !(0.0..1.0).contains(&recipe.validation) {
            return refuse("validation", format!("{}, expected a share from 0 to below 1", recipe.validation));
        }
        if recipe.stage == Stage::Sram {
            return refuse("stage", "`sram` is not in this version; expected `rram`".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_at_the_milestones() {
        let recipe = Recipe { epochs: 8, learning_rate: 1.0, ..Recipe::default() };
        let powers: Vec<i32> = (0..8).map(|e| recipe.rate(e).log10().round() as i32).collect();
        assert_eq!(powers, [0, 0, 0, 0, -1, -2, -2, -3]);
        let one = Recipe { epochs: 1, learning_rate: 1.0, ..Recipe::default() };
        assert_eq!(one.rate(0), 1.0);
    }
}
