//! What a training run is: `train CONFIG.toml`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gradient::Precision;
use super::readout::LossKind;
use super::surrogate::Surrogate;
use crate::config::{Document, is_default};
use crate::effect::Idle;
use crate::error::Result;
use crate::network::Encoding;

/// The most black pixels around an image.
const MOST_PADDING: usize = 256;

/// A training file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The hyperparameters.
    #[serde(default)]
    pub train: Hyperparameters,
    /// Pruning of the companion array, in stage `sram`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
}

/// `[train]`: Backpropagation through time by SGD or AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hyperparameters {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step; a last partial batch is dropped unless it is the only one.
    pub batch: usize,
    /// Learning rate, before the schedule.
    pub learning_rate: f32,
    /// The optimiser; absent: `sgd`.
    #[serde(skip_serializing_if = "is_default")]
    pub optimiser: OptimiserKind,
    /// Momentum of SGD.
    pub momentum: f32,
    /// Shares of the moments that AdamW keeps from step to step; absent: 0.9 and 0.999.
    #[serde(skip_serializing_if = "is_usual")]
    pub betas: [f32; 2],
    /// Weight decay: of SGD added to the gradient, of AdamW apart from it.
    pub weight_decay: f32,
    /// How the rate falls from epoch to epoch; absent: `milestones`.
    #[serde(skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// The rate is divided by 10 at the start of epoch max(1, floor(epochs·m)) for each m.
    pub milestones: Vec<f64>,
    /// Epochs in which the rate rises to what the schedule says, by equal steps.
    #[serde(skip_serializing_if = "is_default")]
    pub warmup: usize,
    /// The surrogate that stands for the slope of a spike; absent: a triangle of width 1.
    #[serde(skip_serializing_if = "is_default")]
    pub surrogate: Surrogate,
    /// The quantity that is minimised: the cross-entropy of the `logits`, the mean of those of the sums of all `steps`
    /// (TET), or, of spike `counts`, the mean square of the distance of counts a step from `rates`; absent: `logits`.
    #[serde(skip_serializing_if = "is_default")]
    pub loss: LossKind,
    /// The share of each label that all classes have alike.
    #[serde(skip_serializing_if = "is_default")]
    pub label_smoothing: f32,
    /// Spikes a step that an image's class should have, and every other class, where the loss is of `counts`; absent: 1
    /// and 0.
    #[serde(skip_serializing_if = "is_usual_rates")]
    pub rates: [f32; 2],
    /// Weight of the mean spikes of a neuron and step, those of a readout left out, which is added to the loss; 0:
    /// nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub rate_penalty: f32,
    /// Training images; absent: all.
    pub limit: Option<usize>,
    /// Share of the training images held out for validation.
    pub validation: f64,
    /// Whether each epoch has its own order.
    pub shuffle: bool,
    /// Random crops and horizontal flips of the images; of frames, all steps of a series alike.
    pub augment: bool,
    /// Black pixels around an image that `augment` crops from.
    #[serde(skip_serializing_if = "is_usual_padding")]
    pub padding: usize,
    /// Whether `augment` mirrors every other image.
    #[serde(skip_serializing_if = "is_true")]
    pub flip: bool,
    /// Bits, with the sign, that gradients are rounded to, of the largest of their layer: 16, or 23, which takes half
    /// as many products again; absent: 16.
    pub gradient_bits: Precision,
    /// The seed of initial weights, order, encoding and variation.
    pub seed: u64,
    /// Variation-aware training: a fresh draw from the profile every pass.
    pub variation: bool,
    /// The draw of every pass is that of this chip of the seed: the companion array becomes its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chip: Option<u64>,
    /// Shifts of the companion array that the passes go through in turn; absent: the profile's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shifts: Vec<i32>,
    /// What is trained.
    pub stage: Stage,
}

/// The optimiser that moves the parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Stochastic gradient descent with momentum.
    #[default]
    Sgd,
    /// Adam with decay apart from the gradient (arXiv:1711.05101).
    AdamW,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// By 10 at each milestone.
    #[default]
    Milestones,
    /// Along half a cosine, from epoch to epoch, to 0 behind the last.
    Cosine,
}

/// The betas of AdamW where none are given.
const BETAS: [f32; 2] = [0.9, 0.999];

fn is_usual_padding(padding: &usize) -> bool {
    *padding == Hyperparameters::default().padding
}

fn is_true(flag: &bool) -> bool {
    *flag
}

fn is_usual(betas: &[f32; 2]) -> bool {
    *betas == BETAS
}

/// The rates of spikes where none are given.
const RATES: [f32; 2] = [1.0, 0.0];

fn is_usual_rates(rates: &[f32; 2]) -> bool {
    *rates == RATES
}

/// What a run trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The RRAM arrays' latent weights and everything digital.
    #[default]
    Rram,
    /// The companion arrays and everything digital; the RRAM's latent weights are frozen.
    Sram,
}

/// `[prune]`: elements of the companion array that training does without; see [`super::prune`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prune {
    /// An element stays where |w| is above this share of the layer's largest.
    pub threshold: f32,
    /// Input channels of a group.
    pub group: usize,
    /// Weight Λ of the lasso; 0 leaves it out.
    pub lambda: f32,
    /// A group's norm counts up to this many times the layer's mean.
    pub ratio: f32,
    /// Whether the network's first layer keeps all its elements.
    pub skip_first: bool,
}

impl Default for Prune {
    fn default() -> Self {
        Prune { threshold: 0.005, group: 16, lambda: 1e-4, ratio: 1.0, skip_first: true }
    }
}

impl Default for Hyperparameters {
    fn default() -> Self {
        Hyperparameters {
            epochs: 10,
            batch: 128,
            learning_rate: 0.1,
            optimiser: OptimiserKind::Sgd,
            momentum: 0.9,
            betas: BETAS,
            weight_decay: 1e-4,
            schedule: Schedule::Milestones,
            milestones: vec![0.5, 0.7, 0.9],
            warmup: 0,
            surrogate: Surrogate::default(),
            loss: LossKind::default(),
            label_smoothing: 0.0,
            rates: RATES,
            rate_penalty: 0.0,
            limit: None,
            validation: 0.0,
            shuffle: true,
            augment: false,
            padding: 4,
            flip: true,
            gradient_bits: Precision::default(),
            seed: 1,
            variation: false,
            chip: None,
            shifts: Vec::new(),
            stage: Stage::Rram,
        }
    }
}

impl Hyperparameters {
    /// The learning rate of an epoch (from 0).
    pub fn rate(&self, epoch: usize) -> f32 {
        let scheduled = match self.schedule {
            Schedule::Milestones => {
                let passed = self.milestones.iter().filter(|m| epoch >= self.rate_falls_at(**m)).count();
                (0..passed).fold(self.learning_rate, |rate, _| rate * 0.1)
            }
            Schedule::Cosine => {
                let turn = std::f64::consts::PI * epoch as f64 / self.epochs as f64;
                (f64::from(self.learning_rate) * 0.5 * (1.0 + libm::cos(turn))) as f32
            }
        };
        if epoch < self.warmup { scheduled * (epoch + 1) as f32 / self.warmup as f32 } else { scheduled }
    }

    /// The epoch (from 0) that a milestone lies at.
    fn rate_falls_at(&self, milestone: f64) -> usize {
        ((self.epochs as f64 * milestone).floor() as usize).max(1)
    }
}

/// The largest shift either way, as in a profile.
const MOST_SHIFT: i32 = 16;

impl TrainFile {
    /// Validates a parsed document; relative paths start from its folder.
    pub fn from_document(document: &Document) -> Result<Self> {
        let mut file: TrainFile = document.parse()?;
        file.validate(document)?;
        let join = |key: &str, path: &Path| document.base(key).join(path);
        file.model = join("model", &file.model);
        file.profile = file.profile.as_deref().map(|path| join("profile", path));
        file.init = file.init.as_deref().map(|path| join("init", path));
        Ok(file)
    }

    /// Keys that were set, not to their default, and have no effect.
    pub fn idle(&self) -> Idle {
        let unused = self.unused().into_iter().filter(|(.., is_set)| *is_set);
        unused.map(|(key, why, _)| (key.to_owned(), why)).collect()
    }

    /// Keys that have no effect beside the others, with the reason, and whether they differ from what they are where
    /// nobody sets them.
    pub fn unused(&self) -> Vec<(&'static str, &'static str, bool)> {
        let (train, default) = (&self.train, Hyperparameters::default());
        let passed = train.milestones.iter().any(|m| train.rate_falls_at(*m) < train.epochs);
        let is_cosine = train.schedule == Schedule::Cosine;
        let are_moved = train.milestones != default.milestones;
        let is_adamw = train.optimiser == OptimiserKind::AdamW;
        let of_counts = train.loss == LossKind::Counts;
        let unmoved = "train.augment = false moves no image";
        let of_prune = self.prune.is_some_and(|prune| prune.lambda == 0.0);
        let ratio = self.prune.is_some_and(|prune| prune.ratio != Prune::default().ratio);
        let all = [
            (is_cosine, "train.milestones", "train.schedule = \"cosine\" has none", are_moved),
            (
                !is_cosine && !passed,
                "train.milestones",
                "they lie behind the last epoch",
                are_moved && !train.milestones.is_empty(),
            ),
            (train.warmup == 1, "train.warmup", "one epoch rises to the whole rate at once", true),
            (is_adamw, "train.momentum", "train.optimiser = \"adamw\" has betas", train.momentum != default.momentum),
            (!is_adamw, "train.betas", "train.optimiser = \"sgd\" has momentum", train.betas != default.betas),
            (
                of_counts,
                "train.label_smoothing",
                "train.loss = \"counts\" has rates in place of labels",
                train.label_smoothing > 0.0,
            ),
            (!of_counts, "train.rates", "train.loss counts no spikes", train.rates != default.rates),
            (
                train.augment && train.padding == 0 && !train.flip,
                "train.augment",
                "train.padding = 0 and train.flip = false leave every image as it is",
                true,
            ),
            (!train.augment, "train.padding", unmoved, train.padding != default.padding),
            (!train.augment, "train.flip", unmoved, train.flip != default.flip),
            (of_prune, "prune.ratio", "prune.lambda = 0 leaves the lasso out", ratio),
        ];
        all.into_iter().filter(|(is, ..)| *is).map(|(_, key, why, is_set)| (key, why, is_set)).collect()
    }

    /// A notice where several milestones of a short training lie at one epoch, which divide the rate all at once.
    pub fn steep(&self) -> Option<String> {
        let hyperparameters = &self.train;
        let epochs: Vec<usize> = hyperparameters.milestones.iter().map(|m| hyperparameters.rate_falls_at(*m)).collect();
        let together = |epoch: usize| epochs.iter().filter(|other| **other == epoch).count();
        let falls = hyperparameters.schedule == Schedule::Milestones;
        let steep = epochs.iter().find(|epoch| falls && **epoch < hyperparameters.epochs && together(**epoch) > 1)?;
        Some(format!(
            "train.milestones: {} of them lie at epoch {} of {}, and divide the rate by {} there",
            together(*steep),
            steep + 1,
            hyperparameters.epochs,
            10usize.pow(together(*steep) as u32)
        ))
    }

    fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("train.{key}"), message));
        let hyperparameters = &self.train;
        for (key, value, most) in
            [("epochs", hyperparameters.epochs, 100_000), ("batch", hyperparameters.batch, 65_536)]
        {
            if !(1..=most).contains(&value) {
                return refuse(key, format!("{value}, expected 1 to {most}"));
            }
        }
        if !(hyperparameters.learning_rate.is_finite() && hyperparameters.learning_rate > 0.0) {
            return refuse("learning_rate", format!("{}, expected a number above 0", hyperparameters.learning_rate));
        }
        let shares = [("momentum", hyperparameters.momentum), ("weight_decay", hyperparameters.weight_decay)];
        let [first, second] = hyperparameters.betas.map(|beta| ("betas", beta));
        for (key, value) in
            shares.into_iter().chain([first, second, ("label_smoothing", hyperparameters.label_smoothing)])
        {
            if !(0.0..1.0).contains(&value) {
                return refuse(key, format!("{value}, expected a number from 0 to below 1"));
            }
        }
        if !(hyperparameters.surrogate.width.is_finite() && hyperparameters.surrogate.width > 0.0) {
            return refuse(
                "surrogate.width",
                format!("{}, expected a number above 0", hyperparameters.surrogate.width),
            );
        }
        if let Some(rate) = hyperparameters.rates.iter().find(|rate| !(0.0..=1.0).contains(*rate)) {
            return refuse("rates", format!("{rate}, expected shares of the steps from 0 to 1"));
        }
        if !(hyperparameters.rate_penalty.is_finite() && hyperparameters.rate_penalty >= 0.0) {
            return refuse(
                "rate_penalty",
                format!("{}, expected a number of at least 0", hyperparameters.rate_penalty),
            );
        }
        if hyperparameters.warmup > hyperparameters.epochs {
            return refuse(
                "warmup",
                format!("{}, expected at most the {} epochs", hyperparameters.warmup, hyperparameters.epochs),
            );
        }
        if let Some(m) = hyperparameters.milestones.iter().find(|m| !(0.0..=1.0).contains(*m)) {
            return refuse("milestones", format!("{m}, expected shares of the epochs from 0 to 1"));
        }
        if hyperparameters.padding > MOST_PADDING {
            return refuse("padding", format!("{}, expected 0 to {MOST_PADDING} pixels", hyperparameters.padding));
        }
        if hyperparameters.limit == Some(0) {
            return refuse("limit", "0, expected at least 1 training image, or no limit".into());
        }
        if !(0.0..1.0).contains(&hyperparameters.validation) {
            return refuse("validation", format!("{}, expected a share from 0 to below 1", hyperparameters.validation));
        }
        if hyperparameters.chip.is_some() && hyperparameters.variation {
            return refuse(
                "chip",
                "trains on that one chip, and train.variation = true draws another every batch; leave chip out, or set \
                 train.variation = false".into(),
            );
        }
        if let Some(shift) = hyperparameters.shifts.iter().find(|shift| shift.abs() > MOST_SHIFT) {
            return refuse("shifts", format!("{shift}, expected shifts from -{MOST_SHIFT} to {MOST_SHIFT}"));
        }
        if hyperparameters.stage == Stage::Rram {
            for (key, given) in
                [("chip", hyperparameters.chip.is_some()), ("shifts", !hyperparameters.shifts.is_empty())]
            {
                if given {
                    return refuse(key, "is for the companion array; expected train.stage = \"sram\" with it".into());
                }
            }
            if self.prune.is_some() {
                let message = "prunes the companion array; expected train.stage = \"sram\" with it";
                return Err(document.error("prune", message));
            }
        }
        if self.train.stage == Stage::Sram && self.init.is_none() {
            let message = "\"sram\" trains beside a network that is there; expected `init`, its checkpoint";
            return refuse("stage", message.into());
        }
        self.prune.map_or(Ok(()), |prune| prune.validate(document))
    }
}

impl Prune {
    fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("prune.{key}"), message));
        if !(0.0..1.0).contains(&self.threshold) {
            return refuse("threshold", format!("{}, expected a share from 0 to below 1", self.threshold));
        }
        if self.group == 0 {
            return refuse("group", "0, expected at least 1 input channel".into());
        }
        for (key, value) in [("lambda", self.lambda), ("ratio", self.ratio)] {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(key, format!("{value}, expected a number of at least 0"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_at_the_milestones() {
        let hyperparameters = Hyperparameters { epochs: 8, learning_rate: 1.0, ..Hyperparameters::default() };
        let powers: Vec<i32> = (0..8).map(|e| hyperparameters.rate(e).log10().round() as i32).collect();
        assert_eq!(powers, [0, 0, 0, 0, -1, -2, -2, -3]);
        let one = Hyperparameters { epochs: 1, learning_rate: 1.0, ..Hyperparameters::default() };
        assert_eq!(one.rate(0), 1.0);
    }
}
