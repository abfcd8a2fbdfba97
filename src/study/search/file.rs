//! `search STUDY.toml`: the schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::Document;
use crate::engine::exit::{ExitRule, read_rule_or_none};
use crate::error::Result;
use crate::network::Encoding;
use crate::study::axes::Asked;
use crate::study::reader::Common;
use crate::study::sets::Images;
use crate::study::space::TRAIN;
use crate::train::adapt::Sample;

/// Keys of a search file that an override may set.
///
/// # Examples
/// ```
/// use crosspike::{Overrides, SEARCH_KEYS};
///
/// let set = ["minimise=sram_bytes", "adc.bits=5"].map(String::from);
/// let sorted = Overrides::sort(&set, &SEARCH_KEYS)?; // What Search::read takes.
/// assert_eq!((sorted.own, sorted.profile), (vec![set[0].clone()], vec![set[1].clone()]));
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const OWN_KEYS: [&str; 23] = [
    "name",
    "question",
    "model",
    "checkpoint",
    "profile",
    "data",
    "test",
    "encoding",
    "adapt",
    "exit",
    "held_out_from",
    "limit",
    "own_images",
    "seed",
    "minimise",
    "maximise",
    "chips",
    "trials",
    "constraint",
    "validate",
    "reference",
    "set",
    "train",
];

/// A search file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchFile {
    /// A name for reports.
    pub name: String,
    /// The question that the search is to answer, for reports.
    pub question: Option<String>,
    /// The model file.
    pub model: PathBuf,
    /// The checkpoint to program.
    pub checkpoint: PathBuf,
    /// The profile file; absent: the ideal chip.
    pub profile: Option<PathBuf>,
    /// The data set; its test images judge the chips, and training images beside them where `held_out_from` says so.
    pub data: String,
    /// The data set to judge them on instead, where one file holds one set only: then `data` has the training images.
    pub test: Option<String>,
    /// The encoder.
    pub encoding: Option<Encoding>,
    /// Training images that the norms of each chip are estimated on anew, before it is judged; absent: none.
    #[serde(default)]
    #[schemars(with = "Option<Sample>")]
    pub adapt: Table,
    /// Stops early by this rule, or `none`.
    #[serde(default, deserialize_with = "read_rule_or_none")]
    pub exit: Option<ExitRule>,
    /// The number of the first training image, counted from 0, that the checkpoint's training has left out: the search
    /// judges on these, and all test images are for `validate`; absent: it judges on test images.
    pub held_out_from: Option<usize>,
    /// The images on which the search judges: the first test images, those behind them being for `validate`, or the
    /// first training images from `held_out_from` on.
    pub limit: usize,
    /// Whether each chip is judged on images of its own, `limit` divided by `chips` in the order of the set: then what
    /// is sure over chips is sure over images as well. Else each is judged on all of them.
    #[serde(default)]
    pub own_images: bool,
    /// The seed of chips and encoding, and of the search's draws.
    #[serde(default = "one")]
    pub seed: u64,
    /// The figure to minimise: one of `energy_pj_per_image`, `sram_bytes`, `area_mm2`, `latency_ns`, `interval_ns`;
    /// several make a front.
    #[serde(default)]
    pub minimise: GoalNames,
    /// The figure to maximise: `accuracy`, or none.
    #[serde(default)]
    pub maximise: GoalNames,
    /// Chips that a candidate is judged on, at most: fewer where it is sooner surely good enough, unlikely to be, or
    /// worse than another.
    #[serde(default = "sixteen")]
    pub chips: u64,
    /// Trials, each a candidate on a chip, after which no further candidate is tried; it ends before where all were.
    #[serde(default = "thousand")]
    pub trials: u64,
    /// Limits that a candidate must keep to.
    #[serde(default)]
    pub constraint: Constraints,
    /// Profile keys, and model keys under `model.`, for all candidates: the conditions.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub set: Table,
    /// Keys set over `set` for the chip that `constraint.accuracy.within` refers to; absent: the conditions as they
    /// are. It is a candidate itself where the space holds its values and it has no others, unless candidates are
    /// trained.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub reference: Table,
    /// Keys of a training file's `[train]`: every candidate's network is trained from `checkpoint` on the candidate's
    /// RRAM; absent: none is.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub train: Option<Table>,
    /// Values by key, as a list or as a range, 17 of it where it has no `count`: keys of the profile, of the model
    /// under `model.`, of the training under `train.`, and `checkpoint`, `profile`, `encoding`, `adapt.batches`,
    /// `exit`. `layer.*.KEY` stands for a key of each layer on RRAM.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub space: Table,
    /// Chips and images that the search does not see, on which its answer is judged.
    #[serde(default)]
    pub validate: Validation,
}

/// One name, or several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum GoalNames {
    /// None.
    #[default]
    None,
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl GoalNames {
    /// All of them.
    pub fn all(&self) -> Vec<&str> {
        match self {
            GoalNames::None => vec![],
            GoalNames::One(name) => vec![name],
            GoalNames::Several(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

/// Limits that a candidate must keep to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// Its accuracy.
    pub accuracy: Option<OfAccuracy>,
    /// Energy of an image, in picojoule.
    pub energy_pj_per_image: Option<AtMost>,
    /// Bytes of the companion arrays.
    pub sram_bytes: Option<AtMost>,
    /// Area of the chip, in square millimetre.
    pub area_mm2: Option<AtMost>,
    /// Time from an image's first step to its answer, in nanosecond.
    pub latency_ns: Option<AtMost>,
    /// Time from one image to the next, in nanosecond.
    pub interval_ns: Option<AtMost>,
}

/// An upper limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtMost {
    /// The mean over the chips is at most so much.
    pub most: f64,
}

/// The accuracy of a candidate: within so much of the reference's, or at least so much; surely so, over the chips.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfAccuracy {
    /// Points of accuracy below the reference, on the same chips and images, at most.
    pub within: Option<f64>,
    /// Percent at least.
    pub least: Option<f64>,
    /// The confidence with which the mean over chips keeps to it, above 0.5 and below 1.
    #[serde(default = "sure")]
    pub confidence: f64,
}

/// Chips and images that judge the answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// Chips, other ones than those of the search.
    pub chips: u64,
    /// Test images, the first ones or those behind the search's; absent: all of them.
    pub limit: Option<usize>,
    /// Whether each chip has images of its own, `limit` divided by `chips`; `limit` must be there then.
    pub own_images: bool,
}

impl Default for Validation {
    fn default() -> Self {
        Validation { chips: 20, limit: None, own_images: false }
    }
}

/// The images of each of some chips, where each has its own part of all.
fn part(is_own: bool, all: Option<usize>, chips: u64) -> Option<usize> {
    all.filter(|_| is_own).map(|all| all / chips as usize)
}

fn one() -> u64 {
    1
}

fn sixteen() -> u64 {
    16
}

fn thousand() -> u64 {
    1000
}

fn sure() -> f64 {
    0.95
}

/// Chips of a candidate, at most.
const MOST_CHIPS: u64 = 1 << 16;

impl SearchFile {
    /// Validates a parsed document; paths that are relative start from it.
    pub fn from_document(document: &Document) -> Result<Self> {
        let mut file: SearchFile = document.parse()?;
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        if file.limit == 0 {
            return refuse("limit", "0, expected at least 1 image to search on".into());
        }
        for (key, chips) in [("chips", file.chips), ("validate.chips", file.validate.chips)] {
            if !(2..=MOST_CHIPS).contains(&chips) {
                return refuse(key, format!("{chips}, expected 2 chips, for an interval, to {MOST_CHIPS}"));
            }
        }
        if file.trials == 0 {
            return refuse("trials", "0, expected at least 1".into());
        }
        if file.validate.limit == Some(0) {
            return refuse("validate.limit", "0, expected at least 1 image, or no limit".into());
        }
        file.check_images(document)?;
        if let Some(OfAccuracy { within, least, confidence }) = file.constraint.accuracy {
            if within.is_some() == least.is_some() {
                return refuse("constraint.accuracy", "expected one of `within` and `least`".into());
            }
            let is_wrong = |percent: &f64| !(0.0..=100.0).contains(percent);
            for (name, value) in [("within", within), ("least", least)] {
                if let Some(value) = value.filter(is_wrong) {
                    return refuse(
                        &format!("constraint.accuracy.{name}"),
                        format!("{value}, expected percent of accuracy from 0 to 100"),
                    );
                }
            }
            if !(confidence > 0.5 && confidence < 1.0) {
                return refuse(
                    "constraint.accuracy.confidence",
                    format!("{confidence}, expected a number between 0.5 and 1"),
                );
            }
        }
        if !file.reference.is_empty() && file.within().is_none() {
            return refuse(
                "reference",
                "is for `constraint.accuracy.within`, which is not there; expected both, or none".into(),
            );
        }
        if file.space.is_empty() {
            return refuse("space", "is empty; expected quoted keys with a list or a range of values each".into());
        }
        for section in ["set", "reference"] {
            let table = if section == "set" { &file.set } else { &file.reference };
            if let Some((key, _)) = table.iter().find(|(_, value)| value.is_table() || value.is_array()) {
                let message = "expected a quoted key with one value, such as \"rram.variation.scale\" = 2.0";
                return refuse(&format!("{section}.{key}"), message.into());
            }
        }
        if file.reference.contains_key("data") {
            let message = "is the same for all, so that they are judged on the same images; expected other keys";
            return refuse("reference.data", message.into());
        }
        if let Some(key) = file.space.keys().find(|key| key.contains("rram.exact")) {
            let message =
                "asks what cells cost, and no chip can be made so; expected it in [probe] of a study of sensitivity";
            return refuse(&format!("space.{key}"), message.into());
        }
        if let Some(key) = file.set.keys().chain(file.reference.keys()).find(|key| key.starts_with(TRAIN)) {
            let section = if file.set.contains_key(key) { "set" } else { "reference" };
            return refuse(&format!("{section}.{key}"), "is of the training; expected it in `[train]`".into());
        }
        for key in file.space.keys() {
            let Some(name) = key.strip_prefix(TRAIN) else { continue };
            let message = match &file.train {
                None => "is of a training, and none is asked for; expected a section `[train]`, which may be empty",
                Some(train) if train.contains_key(name) => "is a key of `train` too; expected it in one of them",
                Some(_) => continue,
            };
            return refuse(&format!("space.{key}"), message.into());
        }
        if let Some(key) = file.set.keys().find(|key| file.space.contains_key(*key)) {
            return refuse(&format!("set.{key}"), "is a key of `space` too; expected it in one of them".into());
        }
        file.model = document.base("model").join(&file.model);
        file.checkpoint = document.base("checkpoint").join(&file.checkpoint);
        file.profile = file.profile.map(|path| document.base("profile").join(path));
        Ok(file)
    }

    /// Refuses images that chips cannot share alike.
    fn check_images(&self, document: &Document) -> Result<()> {
        let Validation { chips, limit, own_images } = self.validate;
        let stages = [
            ("own_images", self.own_images, Some(self.limit), self.chips),
            ("validate.own_images", own_images, limit, chips),
        ];
        for (key, _, all, chips) in stages.into_iter().filter(|(_, is_asked, ..)| *is_asked) {
            if all.is_none_or(|all| !(all as u64).is_multiple_of(chips)) {
                let beside = key.trim_end_matches("own_images");
                let message = match all {
                    Some(all) => {
                        let whole = (all as u64 / chips).max(1) * chips;
                        format!("{all} images (`{beside}limit`) for {chips} chips; expected {whole}, say")
                    }
                    None => format!("expected `{beside}limit` beside it, a multiple of the {chips} chips"),
                };
                return Err(document.error(key, message));
            }
        }
        Ok(())
    }

    /// Points below the reference that a candidate's accuracy may be.
    pub fn within(&self) -> Option<f64> {
        self.constraint.accuracy.and_then(|accuracy| accuracy.within)
    }

    /// Limits by the name of what is limited.
    pub fn limits(&self) -> Vec<(&'static str, f64)> {
        let Constraints { energy_pj_per_image, sram_bytes, area_mm2, latency_ns, interval_ns, .. } = self.constraint;
        let named = [
            ("energy_pj_per_image", energy_pj_per_image),
            ("sram_bytes", sram_bytes),
            ("area_mm2", area_mm2),
            ("latency_ns", latency_ns),
            ("interval_ns", interval_ns),
        ];
        named.into_iter().filter_map(|(name, limit)| Some((name, limit?.most))).collect()
    }

    /// The keys that hold for all its candidates, judged on some images.
    pub(super) fn common(&self, images: Images) -> Common {
        Common {
            model: self.model.clone(),
            checkpoint: self.checkpoint.clone(),
            profile: self.profile.clone(),
            data: self.data.clone(),
            test: self.test.clone(),
            images,
            encoding: self.encoding,
            adapt: self.adapt.clone(),
            exit: self.exit,
            seed: self.seed,
        }
    }

    /// The keys of its space, as they are written.
    pub(super) fn asked(&self) -> Asked<'_> {
        let SearchFile { space, set, profile, model, .. } = self;
        Asked { section: "space", keys: space, set, profile: profile.as_deref(), model, over_set: false }
    }

    /// The images of the search.
    pub(super) fn seen(&self) -> Images {
        Images {
            held_out: self.held_out_from.is_some(),
            after: self.held_out_from.unwrap_or(0),
            limit: Some(self.limit),
            per_chip: part(self.own_images, Some(self.limit), self.chips),
        }
    }

    /// The images of the validation.
    pub(super) fn unseen(&self) -> Images {
        let Validation { chips, limit, own_images } = self.validate;
        Images { per_chip: part(own_images, limit, chips), limit, ..self.left() }
    }

    /// The test images that the search leaves.
    pub(super) fn left(&self) -> Images {
        let after = if self.held_out_from.is_some() { 0 } else { self.limit };
        Images { after, ..Images::default() }
    }

    /// Conditions, and what is set over them.
    pub(super) fn conditions<'t>(
        &self,
        over: impl IntoIterator<Item = (&'t String, &'t Value)>,
    ) -> Vec<(String, Value)> {
        let mut set = self.set.clone();
        over.into_iter().for_each(|(key, value)| _ = set.insert(key.clone(), value.clone()));
        set.into_iter().collect()
    }
}
