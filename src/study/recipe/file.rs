//! `recipe RECIPE.toml`: the schema, and what may stand where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Table;

use crate::attack::AttackPlan;
use crate::config::Document;
use crate::engine::exit::ExitRule;
use crate::error::{Error, Result};
use crate::network::Encoding;
use crate::study::point::check_acceptable;
use crate::study::sets::{Named, names};
use crate::study::space::grid_points;
use crate::train::adapt::Sample;

/// Keys of a recipe file that an override may set.
///
/// # Examples
/// ```
/// use crosspike::{Overrides, RECIPE_KEYS};
///
/// let set = ["evaluate.chips=5", "rram.variation.scale=2"].map(String::from);
/// let sorted = Overrides::sort(&set, &RECIPE_KEYS)?; // What Recipe::read takes.
/// assert_eq!((sorted.own, sorted.profile), (vec![set[0].clone()], vec![set[1].clone()]));
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const OWN_KEYS: [&str; 14] = [
    "name",
    "question",
    "model",
    "data",
    "test",
    "encoding",
    "profiles",
    "set",
    "seed",
    "reference",
    "train",
    "evaluate",
    "final",
    "stage",
];

/// A recipe file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// A name for reports.
    pub name: String,
    /// The question that the report answers.
    pub question: Option<String>,
    /// The model file.
    pub model: PathBuf,
    /// The data set.
    pub data: String,
    /// The data set to evaluate on, where one file holds one set only.
    pub test: Option<String>,
    /// The encoder.
    pub encoding: Option<Encoding>,
    /// The profile files; every stage runs for each.
    pub profiles: Vec<PathBuf>,
    /// Profile keys, and model keys under `model.`, for every stage.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub set: Table,
    /// The seed of chips and encoding, and of training where `train.seed` is not set.
    #[serde(default = "one")]
    pub seed: u64,
    /// The stage that others are compared with; absent: the first.
    pub reference: Option<String>,
    /// `[train]` of every stage that trains.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub train: Table,
    /// How stages are evaluated.
    pub evaluate: Evaluate,
    /// Some stages once more, on more images or chips.
    #[serde(rename = "final")]
    pub last: Option<Final>,
    /// The stages, each after those that it starts from.
    pub stage: Vec<RecipeStage>,
}

/// `[evaluate]`: images, chips and settings that every stage is evaluated at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// The first images of the test set; absent: all.
    pub limit: Option<usize>,
    /// Chips a point.
    #[serde(default = "one")]
    pub chips: u64,
    /// The accuracy in percent that a chip must reach: a column says how many do, the yield. Absent: there is none.
    pub acceptable: Option<f64>,
    /// Values by profile key.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub grid: Table,
    /// An attack on every chip, at each of its ε.
    pub attack: Option<AttackPlan>,
}

/// `[final]`: stages that are evaluated again, at the same settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Final {
    /// Their names.
    pub stages: Vec<String>,
    /// The first images of the test set; absent: all.
    pub limit: Option<usize>,
    /// Chips a point; absent: those of `[evaluate]`.
    pub chips: Option<u64>,
}

/// `[[stage]]`: a network, the hardware that it stands on, and how it is trained there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecipeStage {
    /// Its name.
    pub name: String,
    /// The stage whose network it starts from.
    pub from: Option<String>,
    /// A checkpoint that it starts from instead, trained elsewhere.
    pub checkpoint: Option<PathBuf>,
    /// Profile keys, for training and evaluation. `sram.init = "stage:NAME"` takes another stage's network.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub set: Table,
    /// `[train]` keys beside or over the recipe's; absent: nothing is trained.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub train: Option<Table>,
    /// `[prune]`, for `train.stage = "sram"`.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub prune: Option<Table>,
    /// Values by key, of the profile or under `train.` and `prune.`: a stage for each combination.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub grid: Table,
    /// Further values by profile key that the same network is evaluated at.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub evaluate: Table,
    /// Training images that the norms of each chip are estimated on anew, before it is evaluated.
    pub adapt: Option<Sample>,
    /// Stops early by this rule; accuracy, steps, spikes and energy are then those up to the early answers.
    pub exit: Option<ExitRule>,
    /// Trains an array of its own for each of so many chips, and evaluates it on that chip.
    pub own_chips: Option<u64>,
    /// Whether it is left out of the results, and only others start from it.
    pub hidden: bool,
    /// The file, `NAME.safetensors` beside the tables, that the trained network is written to.
    pub save: Option<String>,
}

fn one() -> u64 {
    1
}

impl RecipeStage {
    /// Whether others can start from its network.
    pub(super) fn has_one_network(&self) -> bool {
        self.grid.is_empty() && self.own_chips.is_none()
    }
}

/// The ending of files that stages save their networks to.
const SAVED: &str = ".safetensors";

/// Chips of a point, at most.
const MOST_CHIPS: u64 = 1 << 20;

impl RecipeFile {
    /// Validates a parsed document; relative paths start from its folder.
    pub fn from_document(document: &Document) -> Result<Self> {
        let mut file: RecipeFile = document.parse()?;
        file.validate(document)?;
        let join = |key: &str, path: &Path| document.base(key).join(path);
        file.model = join("model", &file.model);
        file.profiles = file.profiles.iter().map(|path| join("profiles", path)).collect();
        for stage in &mut file.stage {
            stage.checkpoint = stage.checkpoint.as_deref().map(|path| join("stage", path));
        }
        Ok(file)
    }

    /// The stage that others are compared with.
    pub fn reference(&self) -> &str {
        self.reference.as_deref().unwrap_or(&self.stage[0].name)
    }

    /// What names the test images, and the training images beside them.
    pub(super) fn names(&self) -> [Named; 2] {
        names(&self.data, self.test.as_deref())
    }

    fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        if self.profiles.is_empty() {
            return refuse("profiles", "is empty; expected the files of one or more profiles".into());
        }
        if self.stage.is_empty() {
            return refuse("stage", "is empty; expected one or more [[stage]]".into());
        }
        let chips =
            [("evaluate.chips", Some(self.evaluate.chips)), ("final.chips", self.last.as_ref().and_then(|l| l.chips))];
        for (key, value) in chips {
            if let Some(value) = value.filter(|chips| !(1..=MOST_CHIPS).contains(chips)) {
                return refuse(key, format!("{value}, expected 1 to {MOST_CHIPS} chips"));
            }
        }
        check_acceptable(self.evaluate.acceptable).map_err(document.locate("evaluate.acceptable"))?;
        let limits =
            [("evaluate.limit", self.evaluate.limit), ("final.limit", self.last.as_ref().and_then(|l| l.limit))];
        if let Some((key, _)) = limits.into_iter().find(|(_, limit)| *limit == Some(0)) {
            return refuse(key, "0, expected at least 1 image, or no limit".into());
        }
        grid_points(document, "evaluate.grid", &self.evaluate.grid)?;
        if let Some(attack) = &self.evaluate.attack {
            attack.method().map_err(document.locate("evaluate.attack"))?;
        }
        for (i, stage) in self.stage.iter().enumerate() {
            self.validate_stage(document, i, stage)?;
        }
        let names = || self.stage.iter().map(|stage| stage.name.as_str());
        let known = |name: &str| self.stage.iter().any(|stage| stage.name == name && !stage.hidden);
        if let Some(name) = self.reference.as_deref().filter(|name| !known(name)) {
            return refuse("reference", format!("`{name}` is no evaluated stage; expected one of {}", list(names())));
        }
        match self.last.iter().flat_map(|last| &last.stages).find(|name| !known(name)) {
            Some(name) => {
                refuse("final.stages", format!("`{name}` is no evaluated stage; expected some of {}", list(names())))
            }
            None => Ok(()),
        }
    }

    /// An error unless a stage's network can be saved where it says.
    fn check_save(&self, stage: &RecipeStage, index: usize) -> Result<()> {
        let Some(file) = &stage.save else { return Ok(()) };
        let why = if !is_saved_name(file) {
            format!("`{file}`, expected a file's name that ends in {SAVED}, without a folder")
        } else if stage.train.is_none() {
            "stands at a stage that trains nothing; expected it where the network is trained".into()
        } else if !stage.has_one_network() || self.profiles.len() > 1 {
            "names one file, and the stage trains several networks (one a profile, variant or chip); leave it out"
                .into()
        } else if self.stage[..index].iter().any(|before| before.save.as_ref() == Some(file)) {
            format!("`{file}` is that of a stage before, too; expected a file of its own")
        } else {
            return Ok(());
        };
        Err(Error::Mismatch(why))
    }

    /// The place of a key of a stage that something else sets as well, and what that is. What a trained stage sets
    /// holds in training, whatever it is evaluated at; a grid tells rows apart by it, too.
    fn set_twice(&self, stage: &RecipeStage) -> Option<(String, &'static str)> {
        let set = if stage.train.is_none() { Some(("set", &stage.set)) } else { None };
        let of_evaluation = [("its `evaluate`", &stage.evaluate), ("[evaluate.grid]", &self.evaluate.grid)];
        let own = set.into_iter().chain([("grid", &stage.grid)]);
        let pairs = own.flat_map(|own| of_evaluation.map(|other| (own, other)));
        let mut pairs = pairs.chain([(("evaluate", &stage.evaluate), of_evaluation[1])]);
        pairs.find_map(|((table, own), (other, keys))| {
            let key = own.keys().find(|key| keys.contains_key(*key))?;
            Some((format!("{table}.{key}"), other))
        })
    }

    fn validate_stage(&self, document: &Document, index: usize, stage: &RecipeStage) -> Result<()> {
        let key = |key: &str| format!("stage[{index}].{key}");
        let refuse = |at: &str, message: String| Err(document.error(&key(at), message));
        if stage.name.trim().is_empty() {
            return refuse("name", "is missing; expected a name of its own".into());
        }
        let before = || self.stage[..index].iter().map(|stage| stage.name.as_str());
        if before().any(|name| name == stage.name) {
            return refuse("name", format!("`{}` names a stage before, too; expected a name of its own", stage.name));
        }
        if let Some(from) = stage.from.as_deref() {
            let Some(earlier) = self.stage[..index].iter().find(|earlier| earlier.name == from) else {
                let message = format!("`{from}` is no stage before this one; expected one of {}", list(before()));
                return refuse("from", message);
            };
            if !earlier.has_one_network() {
                return refuse("from", format!("`{from}` has several networks; expected a stage with one"));
            }
        }
        if stage.from.is_some() && stage.checkpoint.is_some() {
            return refuse(
                "checkpoint",
                "stands beside `from`, and a stage starts from one network; leave one of them out".into(),
            );
        }
        if stage.train.is_none() {
            if stage.from.is_none() && stage.checkpoint.is_none() {
                return refuse(
                    "train",
                    "is missing; expected it, `from` or `checkpoint`: where the network comes from".into(),
                );
            }
            for (at, given) in [("prune", stage.prune.is_some()), ("own_chips", stage.own_chips.is_some())] {
                if given {
                    return refuse(at, "is for training; expected `train` beside it".into());
                }
            }
        }
        for (at, given) in [("adapt", stage.adapt.is_some()), ("exit", stage.exit.is_some())] {
            if given && self.evaluate.attack.is_some() {
                return refuse(at, "is not modelled under an attack; expected it without [evaluate.attack]".into());
            }
        }
        let seeded =
            [Some(&self.train), stage.train.as_ref()].into_iter().flatten().any(|train| train.contains_key("seed"));
        if stage.own_chips.is_some() && seeded {
            return refuse("own_chips", "are chips of the recipe's seed; expected no seed in its `train`".into());
        }
        if stage.own_chips.is_some_and(|chips| !(1..=MOST_CHIPS).contains(&chips)) {
            return refuse("own_chips", format!("expected 1 to {MOST_CHIPS} chips"));
        }
        self.check_save(stage, index).map_err(document.locate(&key("save")))?;
        if let Some((at, other)) = self.set_twice(stage) {
            return refuse(
                &at,
                format!("is set by {other}, too, which would leave it without effect; expected one of them"),
            );
        }
        grid_points(document, &key("evaluate"), &stage.evaluate)?;
        grid_points(document, &key("grid"), &stage.grid)?;
        for at in stage.grid.keys().filter(|at| at.starts_with("train.") || at.starts_with("prune.")) {
            if stage.train.is_none() {
                return refuse(&format!("grid.{at}"), "is for training; expected `train` in this stage".into());
            }
        }
        Ok(())
    }
}

/// The name of a file of one network, without a folder.
pub(super) fn is_saved_name(file: &str) -> bool {
    file.strip_suffix(SAVED)
        .is_some_and(|name| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '*']))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
