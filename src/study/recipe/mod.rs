//! A recipe: a pipeline of stages, each trained from another's network and evaluated on many chips, and the table of
//! what each wins back and costs. Whatever has been done once is taken from the [`cache`].
//!
//! `file` is the schema, `effects` knows which of its keys change anything, `run` goes through the stages, `judge`
//! evaluates chips, `outlook` says what there is to do, `recovery` makes the table.

pub mod cache;
mod effects;
mod file;
mod judge;
mod outlook;
mod recovery;
mod run;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::NamedTempFile;

pub use file::{OWN_KEYS, RecipeFile, RecipeStage};
pub use outlook::RecipeOutlook;

use self::cache::Cache;
use self::effects::Effects;
use self::file::is_saved_name;
use self::run::RecipeRun;
use super::case::check_hardware;
use super::point::Point;
use super::sets::{Named, Sets};
use super::space::{GridPoint, cell, grid_points};
use super::training_file::TrainingFile;
use super::{run_into, table};
use crate::announced;
use crate::attack::AttackPlan;
use crate::attack::gradient::check_encoding;
use crate::config::{Document, Overrides};
use crate::data::Dataset;
use crate::effect::{self, Beside};
use crate::engine::Engine;
use crate::engine::calibrate;
use crate::engine::evaluate::check_fit;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoding, Model, Network};
use crate::output::{OutputFolder, canonical};
use crate::profile::Profile;
use crate::report::recovery::{RECOVERY, RECOVERY_ROWS, markdown};
use crate::train::adapt::Sample;
use crate::train::config::TrainFile;

/// Files that a recipe writes, beside its cache, tables and report.
pub const FILES: [&str; 2] = [RECOVERY, RECOVERY_ROWS];
/// The folder of a recipe's cache in that of its results.
pub const CACHE: &str = "cache";
/// How `sram.init` names another stage's network.
const STAGE_INIT: &str = "stage:";

/// A recipe with everything read and checked.
///
/// # Examples
/// ```no_run
/// use crosspike::{Backend, Overrides, Recipe, Silent};
///
/// let recipe = Recipe::read("recipes/fashion_recovery.toml".as_ref(), &Overrides::default())?;
/// let engine = Backend::Cpu.open(|said| eprintln!("{said}"))?;
/// let points = recipe.run_into(engine.as_ref(), "runs/recovery".as_ref(), false, &Silent)?;
/// println!("{} points", points.len());
/// # Ok::<(), crosspike::Error>(())
/// ```
pub struct Recipe {
    file: RecipeFile,
    document: Document,
    model: Model,
    /// One profile a file of the recipe, before a stage sets keys.
    hardware: Vec<Document>,
    data: Arc<Dataset>,
    encoding: Encoding,
    notices: Vec<String>,
}

/// A stage with one combination of its grid's values, on one profile.
struct Unit<'a> {
    index: usize,
    stage: &'a RecipeStage,
    hardware: usize,
    variant: GridPoint,
}

/// A point that a unit is evaluated at.
struct UnitPoint {
    /// Keys and values that `[evaluate]` sets.
    common: GridPoint,
    /// Keys and values that the stage's own `evaluate` sets.
    own: GridPoint,
    /// The hardware that this gives.
    profile: Profile,
}

impl Recipe {
    /// Reads the recipe and everything that it names; every stage's hardware and training is validated before anything
    /// runs.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        Self::from_document(Document::read(path)?, overrides)
    }

    /// Reads everything that a recipe names, which is read itself already.
    pub fn from_document(mut document: Document, overrides: &Overrides) -> Result<Self> {
        overrides.own.iter().try_for_each(|assignment| document.set(assignment))?;
        let file = RecipeFile::from_document(&document)?;
        let mut model = Document::read(&file.model).map_err(document.locate("model"))?;
        set_all(&file.set, &document, &mut model, true)?;
        overrides.model.iter().try_for_each(|assignment| model.set_model(assignment))?;
        let model = Model::from_document(&model)?;
        let mut hardware = Vec::new();
        for (i, profile) in file.profiles.iter().enumerate() {
            let mut profile = Document::read(profile).map_err(document.locate(&format!("profiles[{i}]")))?;
            set_all(&file.set, &document, &mut profile, false)?;
            overrides.profile.iter().try_for_each(|assignment| profile.set(assignment))?;
            hardware.push(profile);
        }
        let (tested, mut sets) = (file.names()[0].clone(), Sets::default());
        let data = sets.test(&document, &tested)?;
        check_fit(&data, &model).map_err(document.locate(&tested.key))?;
        let encoding = Encoding::resolve(file.encoding, data.frame_steps(), model.steps);
        let encoding = encoding.map_err(document.locate("encoding"))?;
        if let Some(attack) = &file.evaluate.attack {
            attack.attack(file.seed, &data).map_err(document.locate("evaluate.attack"))?;
            check_encoding(encoding).map_err(document.locate("evaluate.attack"))?;
        }
        let notices = data.notices().collect();
        let mut recipe = Recipe { file, document, model, hardware, data, encoding, notices };
        for (i, stage) in recipe.file.stage.clone().iter().enumerate() {
            let Some(checkpoint) = &stage.checkpoint else { continue };
            let place = recipe.document.locate(&format!("stage[{i}].checkpoint"));
            let notices = Network::read(&recipe.model, checkpoint).map_err(place)?.notices_with(recipe.encoding);
            recipe.notices.extend(notices.into_iter().map(|notice| format!("stage `{}`: {notice}", stage.name)));
        }
        refuse_idle(overrides, &recipe.file)?;
        let mut effects = Effects::default();
        // An empty file stands for a network that is not there yet.
        let stand_in = NamedTempFile::new().map_err(Error::io(std::env::temp_dir()))?;
        for unit in recipe.units()? {
            let nowhere = |name: &str| match recipe.file.stage[..unit.index].iter().find(|stage| stage.name == name) {
                Some(stage) if stage.has_one_network() => Ok(stand_in.path().to_path_buf()),
                _ => Err(no_network(name)),
            };
            for point in recipe.all_points(&unit, &nowhere)? {
                recipe.profiled(&mut sets, &point.profile)?;
                effects.see(&recipe, &unit, &point);
            }
            if !unit.stage.hidden {
                recipe.adapted(&mut sets, unit.index)?;
            }
            if unit.stage.train.is_some() {
                recipe.profile(&unit, (&vec![], &vec![]), &nowhere)?;
                let training = TrainFile::from_document(&recipe.training(&unit, Some(Path::new("network")), None)?)?;
                effects.of_training(unit.index, &training);
            }
        }
        recipe.notices.extend(effects.notices(&recipe)?);
        Ok(recipe)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// What the user should know of it.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What the results depend on, for `origin.json`.
    pub fn origin(&self, engine: &dyn Engine) -> Result<Value> {
        let mut origin = crate::output::origin(
            "recipe",
            json!({
                "recipe": self.document.table(), "model": self.model,
                "profiles": self.hardware.iter().map(Document::table).collect::<Vec<_>>(),
                "data": self.data.spec(), "data_fingerprint": self.data.fingerprint()?, "encoding": self.encoding,
            }),
        );
        origin["title"] = self.file.name.clone().into();
        if let Some(question) = &self.file.question {
            origin["question"] = question.clone().into();
        }
        origin["backend"] = engine.name().into();
        Ok(origin)
    }

    /// Runs what is not in the cache yet into a folder, which `force` empties of an earlier run's tables, and writes
    /// tables and report.
    ///
    /// # Errors
    /// Those of [`OutputFolder::claim`] and [`Recipe::run`].
    pub fn run_into(&self, engine: &dyn Engine, out: &Path, force: bool, monitor: &dyn Monitor) -> Result<Vec<Point>> {
        // Another recipe in the folder may have saved networks under other names.
        let before = if force { saved(out) } else { vec![] };
        let networks = self.file.stage.iter().filter_map(|stage| stage.save.as_ref()).chain(&before);
        if force {
            networks.clone().try_for_each(|file| announced::check_removable(&out.join(file)))?;
        }
        let files: Vec<&str> = FILES.into_iter().chain(networks.map(String::as_str)).collect();
        run_into(out, &self.origin(engine)?, force, &files, |folder| self.run(engine, folder, monitor))
    }

    /// Runs what is not in the cache yet and writes tables and networks.
    pub fn run(&self, engine: &dyn Engine, folder: &OutputFolder, monitor: &dyn Monitor) -> Result<Vec<Point>> {
        let cache = Cache::open(&folder.file(CACHE))?;
        self.notices.iter().for_each(|notice| monitor.notice(notice));
        let ran = RecipeRun::new(self, cache, engine, folder, monitor).go();
        let kept = "what is finished is kept; the same command goes on from here";
        let (measured, nominal) = ran.map_err(|error| error.leaving(kept))?;
        let points = {
            let compared = (self.file.reference(), self.file.evaluate.acceptable);
            recovery::points(&measured, &nominal, compared, &self.model)
        };
        table::write(folder, &points)?;
        let tables = recovery::tables(&points, &measured, self.file.reference());
        folder.write(RECOVERY_ROWS, canonical(&json!(tables)).as_bytes())?;
        folder.write(RECOVERY, markdown(&tables).as_bytes())?;
        Ok(points)
    }

    /// What the converters' ranges of some hardware are profiled on, where any are.
    fn profiled(&self, sets: &mut Sets, profile: &Profile) -> Result<Option<Arc<Dataset>>> {
        if !profile.wants_calibration() {
            return Ok(None);
        }
        let [tested, named] = self.file.names();
        let training = sets.training(&self.document, &named, &tested)?;
        let checked = calibrate::check(profile, &self.model, &training, training.len());
        checked.map_err(self.document.locate(&named.key))?;
        Ok(Some(training))
    }

    /// What every chip of a stage is adapted on, where they are.
    fn adapted(&self, sets: &mut Sets, stage: usize) -> Result<Option<(&Sample, Arc<Dataset>)>> {
        if let Some(rule) = self.file.stage[stage].exit {
            rule.check(&self.model).map_err(self.document.locate(&format!("stage[{stage}].exit")))?;
        }
        let Some(sample) = &self.file.stage[stage].adapt else { return Ok(None) };
        let key = format!("stage[{stage}].adapt");
        let [tested, beside] = self.file.names();
        let named = sample.data.as_ref().map_or(beside, |spec| Named::new(&format!("{key}.data"), spec));
        let training = sets.training(&self.document, &named, &tested)?;
        sample.check(&training, &self.model, self.encoding).map_err(self.document.locate(&key))?;
        Ok(Some((sample, training)))
    }

    /// Each point's attacks: none, or one for each ε.
    fn attacks(&self) -> Vec<Option<AttackPlan>> {
        match &self.file.evaluate.attack {
            None => vec![None],
            Some(plan) => plan.epsilon.iter().map(|e| Some(AttackPlan { epsilon: vec![*e], ..plan.clone() })).collect(),
        }
    }

    fn units(&self) -> Result<Vec<Unit<'_>>> {
        let mut units = Vec::new();
        for hardware in 0..self.hardware.len() {
            for (index, stage) in self.file.stage.iter().enumerate() {
                for variant in grid_points(&self.document, &format!("stage[{index}].grid"), &stage.grid)? {
                    units.push(Unit { index, stage, hardware, variant });
                }
            }
        }
        Ok(units)
    }

    /// The points that a unit is evaluated at. A key of `[evaluate]` without effect at any of them, such as the
    /// strength of variation for a network that stands on no RRAM, is left out, and points that are the same without it
    /// are one; `network` knows the checkpoint of a stage.
    fn points(&self, unit: &Unit, network: &dyn Fn(&str) -> Result<PathBuf>) -> Result<Vec<UnitPoint>> {
        let points = self.all_points(unit, network)?;
        let beside = Beside { model: Some(&self.model), ..Beside::default() };
        let has_effect = |key: &str| points.iter().any(|point| effect::why(&point.profile, beside, key).is_none());
        let idle: Vec<String> = self.file.evaluate.grid.keys().filter(|key| !has_effect(key)).cloned().collect();
        let mut kept: Vec<UnitPoint> = vec![];
        for mut point in points {
            point.common.retain(|(key, _)| !idle.contains(key));
            if kept.iter().all(|other| (&other.common, &other.own) != (&point.common, &point.own)) {
                kept.push(point);
            }
        }
        Ok(kept)
    }

    /// All combinations of what `[evaluate]` and a unit's own `evaluate` set.
    fn all_points(&self, unit: &Unit, network: &dyn Fn(&str) -> Result<PathBuf>) -> Result<Vec<UnitPoint>> {
        let common = grid_points(&self.document, "evaluate.grid", &self.file.evaluate.grid)?;
        let own = grid_points(&self.document, &format!("stage[{}].evaluate", unit.index), &unit.stage.evaluate)?;
        let combined = own.iter().flat_map(|own| common.iter().map(move |common| (common, own)));
        let point = |(common, own): (&GridPoint, &GridPoint)| {
            let profile = self.profile(unit, (common, own), network)?;
            Ok(UnitPoint { common: common.clone(), own: own.clone(), profile })
        };
        combined.map(point).collect()
    }

    fn title(&self, unit: &Unit) -> String {
        let name = self.hardware[unit.hardware].table().get("name").and_then(|name| name.as_str()).unwrap_or("profile");
        let variant = unit.variant.iter().map(|(key, value)| format!(", {key} = {}", cell(value)));
        format!("{name}: {}{}", unit.stage.name, variant.collect::<String>())
    }

    /// A unit's hardware at a point that `[evaluate]` and the stage's own grid give; `network` knows the checkpoint of
    /// a stage.
    fn profile(
        &self,
        unit: &Unit,
        (common, own): (&GridPoint, &GridPoint),
        network: &dyn Fn(&str) -> Result<PathBuf>,
    ) -> Result<Profile> {
        let mut profile = self.hardware[unit.hardware].clone();
        let (document, section) = (&self.document, format!("stage[{}]", unit.index));
        let set = unit.stage.set.iter().map(|(key, value)| (key, value, format!("{section}.set.{key}")));
        // The others are the training's.
        let variant = unit.variant.iter().filter(|(key, _)| !is_of_training(key));
        let variant = variant.map(|(key, value)| (key, value, format!("{section}.grid.{key}")));
        let common = common.iter().map(|(key, value)| (key, value, format!("evaluate.grid.{key}")));
        let own = own.iter().map(|(key, value)| (key, value, format!("{section}.evaluate.{key}")));
        for (key, value, place) in set.chain(variant).chain(common).chain(own) {
            let stage = value.as_str().filter(|_| key == "sram.init").and_then(|init| init.strip_prefix(STAGE_INIT));
            let (place, base) = (document.place(&place), document.base("stage"));
            match stage {
                Some(stage) => {
                    let unplaced = |error: Error| Error::Config {
                        place: place.clone(),
                        key: key.clone(),
                        message: error.to_string(),
                    };
                    let file = format!("checkpoint:{}", network(stage).map_err(unplaced)?.display());
                    profile.set_value(key, file.into(), place, Path::new(""))?;
                }
                None => profile.set_value(key, value.clone(), place, base)?,
            }
        }
        let document = profile;
        let profile = Profile::from_document(&document)?;
        check_hardware(&document, &profile, &self.model)?;
        Ok(profile)
    }

    /// The training file of a unit.
    fn training(&self, unit: &Unit, init: Option<&Path>, own: Option<u64>) -> Result<Document> {
        let mut training = TrainingFile::beside(&self.document, &self.file.model, self.file.seed)?;
        if let Some(init) = init {
            training.put_path("init", init, &format!("stage[{}].from", unit.index))?;
        }
        let section = format!("stage[{}]", unit.index);
        for (key, value) in &self.file.train {
            training.put(&format!("train.{key}"), value.clone(), &format!("train.{key}"))?;
        }
        for (table, name) in [(&unit.stage.train, "train"), (&unit.stage.prune, "prune")] {
            for (key, value) in table.iter().flatten() {
                training.put(&format!("{name}.{key}"), value.clone(), &format!("{section}.{name}.{key}"))?;
            }
        }
        for (key, value) in unit.variant.iter().filter(|(key, _)| is_of_training(key)) {
            training.put(key, value.clone(), &format!("{section}.grid.{key}"))?;
        }
        if let Some(chip) = own {
            // The chip of the evaluation's seed.
            training.put("train.seed", (self.file.seed as i64).into(), &format!("{section}.own_chips"))?;
            training.put("train.chip", (chip as i64).into(), &format!("{section}.own_chips"))?;
        }
        Ok(training.finish())
    }
}

/// The files that the stages of the recipe in a folder have saved their networks to; none where there is no recipe.
fn saved(folder: &Path) -> Vec<String> {
    let Ok(Some((_, origin))) = OutputFolder::open(folder) else { return vec![] };
    let stages = origin["configuration"]["recipe"]["stage"].as_array().into_iter().flatten();
    let files = stages.filter_map(|stage| stage["save"].as_str()).filter(|file| is_saved_name(file));
    files.map(String::from).collect()
}

/// What is wrong with a stage that is to give its network.
fn no_network(stage: &str) -> Error {
    Error::Usage(format!("`{STAGE_INIT}{stage}`, expected a stage before, with one network"))
}

/// An error where an override sets what every stage is given anyway, to train and to be evaluated.
fn refuse_idle(overrides: &Overrides, file: &RecipeFile) -> Result<()> {
    let message = "every stage of the recipe sets this key itself, so it would change nothing; change the recipe, or \
                   set another key";
    let trained: Vec<_> = file.stage.iter().filter_map(|stage| Some((stage, stage.train.as_ref()?))).collect();
    for assignment in &overrides.own {
        let key = assignment.split('=').next().unwrap_or_default().trim();
        let Some(own) = key.strip_prefix("train.") else { continue };
        if trained.is_empty() {
            return Err(Error::Usage(format!(
                "--set {assignment}: no stage of the recipe trains, so it would change nothing"
            )));
        }
        if trained.iter().all(|(stage, train)| train.contains_key(own) || stage.grid.contains_key(key)) {
            return Err(Error::Usage(format!("--set {assignment}: {message}")));
        }
    }
    for assignment in &overrides.profile {
        let key = assignment.split('=').next().unwrap_or_default().trim();
        let of_all = file.evaluate.grid.contains_key(key);
        let is_given = |stage: &RecipeStage| {
            let sets = stage.set.contains_key(key) || stage.grid.contains_key(key);
            sets || (stage.train.is_none() && (of_all || stage.evaluate.contains_key(key)))
        };
        if file.stage.iter().all(is_given) {
            return Err(Error::Usage(format!("--set {assignment}: {message}")));
        }
    }
    Ok(())
}

/// Whether a stage's grid sets it in the training file, not in the profile.
fn is_of_training(key: &str) -> bool {
    key.starts_with("train.") || key.starts_with("prune.")
}

/// Sets what a recipe sets for every stage: in the model, the keys under `model.`; in a profile, the others.
fn set_all(set: &toml::Table, recipe: &Document, at: &mut Document, is_model: bool) -> Result<()> {
    for (key, value) in set {
        let place = recipe.place(&format!("set.{key}"));
        match key.strip_prefix("model.") {
            Some(key) if is_model => at.set_value(key, value.clone(), place, recipe.base("set"))?,
            None if !is_model => at.set_value(key, value.clone(), place, recipe.base("set"))?,
            _ => {}
        }
    }
    Ok(())
}
