//! `sensitivity STUDY.toml`: the schema.

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
use crate::train::adapt::Sample;

/// Keys of a sensitivity file that an override may set.
///
/// # Examples
/// ```
/// use crosspike::{Overrides, SENSITIVITY_KEYS};
///
/// let set = ["chips=40", "adc.bits=5"].map(String::from);
/// let sorted = Overrides::sort(&set, &SENSITIVITY_KEYS)?; // What Sensitivity::read takes.
/// assert_eq!((sorted.own, sorted.profile), (vec![set[0].clone()], vec![set[1].clone()]));
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const OWN_KEYS: [&str; 14] = [
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
    "limit",
    "seed",
    "chips",
    "set",
];

/// A sensitivity file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SensitivityFile {
    /// A name for reports.
    pub name: String,
    /// The question that the study is to answer, for reports.
    pub question: Option<String>,
    /// The model file.
    pub model: PathBuf,
    /// The checkpoint to program.
    pub checkpoint: PathBuf,
    /// The profile file; absent: the ideal chip.
    pub profile: Option<PathBuf>,
    /// The data set; its test images judge the chips.
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
    /// The first images of the test set; absent: all.
    pub limit: Option<usize>,
    /// The seed of chips and encoding.
    #[serde(default = "one")]
    pub seed: u64,
    /// Chips, the same for all.
    #[serde(default = "twenty")]
    pub chips: u64,
    /// Profile keys, and model keys under `model.`, for all: the conditions.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub set: Table,
    /// The changes, one value of one key at a time: a list or a range of values by key. `layer.*.KEY` stands for a key
    /// of each layer on RRAM; `layer.*.rram.exact` may be `"tiles"` or `"columns"`: each of them in turn.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub probe: Table,
}

fn one() -> u64 {
    1
}

fn twenty() -> u64 {
    20
}

/// Chips, at most.
const MOST_CHIPS: u64 = 1 << 16;

impl SensitivityFile {
    /// Validates a parsed document; paths that are relative start from it.
    pub fn from_document(document: &Document) -> Result<Self> {
        let mut file: SensitivityFile = document.parse()?;
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        if file.limit == Some(0) {
            return refuse("limit", "0, expected at least 1 image, or no limit".into());
        }
        if !(2..=MOST_CHIPS).contains(&file.chips) {
            return refuse("chips", format!("{}, expected 2 chips, for an interval, to {MOST_CHIPS}", file.chips));
        }
        if file.probe.is_empty() {
            return refuse("probe", "is empty; expected quoted keys with a list or a range of values each".into());
        }
        if let Some((key, _)) = file.set.iter().find(|(_, value)| value.is_table() || value.is_array()) {
            let message = "expected a quoted key with one value, such as \"rram.variation.scale\" = 2.0";
            return refuse(&format!("set.{key}"), message.into());
        }
        file.model = document.base("model").join(&file.model);
        file.checkpoint = document.base("checkpoint").join(&file.checkpoint);
        file.profile = file.profile.map(|path| document.base("profile").join(path));
        Ok(file)
    }

    /// The keys that hold for all its points.
    pub(super) fn common(&self) -> Common {
        Common {
            model: self.model.clone(),
            checkpoint: self.checkpoint.clone(),
            profile: self.profile.clone(),
            data: self.data.clone(),
            test: self.test.clone(),
            images: Images::first(self.limit),
            encoding: self.encoding,
            adapt: self.adapt.clone(),
            exit: self.exit,
            seed: self.seed,
        }
    }

    /// The keys that are changed, as they are written.
    pub(super) fn asked(&self) -> Asked<'_> {
        let SensitivityFile { probe, set, profile, model, .. } = self;
        Asked { section: "probe", keys: probe, set, profile: profile.as_deref(), model, over_set: true }
    }

    /// The conditions, and a key over them.
    pub(super) fn conditions(&self, over: Option<(&str, &Value)>) -> Vec<(String, Value)> {
        let mut set = self.set.clone();
        over.into_iter().for_each(|(key, value)| _ = set.insert(key.into(), value.clone()));
        set.into_iter().collect()
    }
}
