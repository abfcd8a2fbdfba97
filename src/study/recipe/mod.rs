//! A recipe: a pipeline of stages, each trained from another's network and evaluated on many chips, and the table of what
//! each wins back and costs. Whatever has been done once is taken from the [`cache`].

pub mod cache;
mod file;
mod recovery;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use file::{OWN_KEYS, RecipeFile, Stage};

use self::cache::Cache;
use super::store::Trial;
use super::sweep::{GridPoint, cell, grid_points};
use super::table::{self, Point};
use crate::chip::Blueprint;
use crate::config::{Document, Overrides};
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::evaluate::{Evaluation, check_fit};
use crate::engine::exit::ExitRule;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::output::OutputFolder;
use crate::profile::Profile;
use crate::train::adapt::{Adaptation, Sample};
use crate::train::config::TrainFile;
use crate::train::job::Job;
use crate::train::prune::Sparsity;

/// Files that a recipe writes, beside its cache.
pub const FILES: [&str; 5] = ["results.csv", "summary.csv", "recovery.md", "report.html", "accuracy.svg"];
/// The folder of a recipe's cache in that of its results.
pub const CACHE: &str = "cache";
/// How `sram.init` names another stage's network.
const STAGE_INIT: &str = "stage:";

/// A recipe with everything read and checked.
pub struct Recipe {
    file: RecipeFile,
    document: Document,
    model: Model,
    /// One profile a file of the recipe, before a stage sets keys.
    hardware: Vec<Document>,
    data: Dataset,
    encoding: Encoding,
}

/// A stage with one combination of its grid's values, on one profile.
struct Unit<'a> {
    index: usize,
    stage: &'a Stage,
    hardware: usize,
    variant: GridPoint,
}

/// How a network is evaluated.
#[derive(Clone, Copy)]
struct How<'a> {
    limit: Option<usize>,
    adapt: Option<&'a Sample>,
    exit: Option<ExitRule>,
    /// The stage that says so.
    index: usize,
}

/// A network that a unit has trained or taken, and the only chip that it is for, where there is one.
struct Candidate {
    checkpoint: PathBuf,
    own: Option<u64>,
}

/// An evaluated point, before it is compared with the reference.
struct Measured {
    /// The profile, stage and variant that it belongs to.
    settings: Vec<(String, String)>,
    /// What `[evaluate]` sets, and how many images run: what makes two stages comparable.
    at: Vec<(String, String)>,
    /// What the stage's own `evaluate` sets.
    own: Vec<(String, String)>,
    stage: String,
    hardware: usize,
    profile: Profile,
    trials: Vec<Trial>,
    rram_bytes: f64,
    sparsity: Option<f64>,
}

impl Recipe {
    /// Reads the recipe and everything that it names; every stage's hardware and training is validated before anything
    /// runs.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        let mut document = Document::read(path)?;
        overrides.own.iter().try_for_each(|assignment| document.set(assignment))?;
        let file = RecipeFile::from_document(&document)?;
        let model = Model::read(&file.model, &overrides.model)?;
        let mut hardware = Vec::new();
        for profile in &file.profiles {
            let mut profile = Document::read(profile)?;
            overrides.profile.iter().try_for_each(|assignment| profile.set(assignment))?;
            hardware.push(profile);
        }
        let (key, spec) = file.test.as_ref().map_or(("data", &file.data), |test| ("test", test));
        let data = Dataset::open(spec, document.base(key), Split::Test).map_err(document.locate(key))?;
        check_fit(&data, &model).map_err(document.locate(key))?;
        let encoding = Encoding::resolve(file.encoding, data.frame_steps(), model.steps);
        let encoding = encoding.map_err(document.locate("encoding"))?;
        let recipe = Recipe { file, document, model, hardware, data, encoding };
        let nowhere = |_: &str| Ok(PathBuf::from("network"));
        for unit in recipe.units()? {
            recipe.profile(&unit, (&vec![], &vec![]), &nowhere)?;
            for (common, own) in recipe.points(&unit)? {
                recipe.profile(&unit, (&common, &own), &nowhere)?;
            }
            if unit.stage.train.is_some() {
                TrainFile::from_document(&recipe.training(&unit, Some(Path::new("network")), None)?)?;
            }
        }
        Ok(recipe)
    }

    /// What the results depend on, for `origin.json`.
    pub fn origin(&self, engine: &dyn Engine) -> Value {
        let mut origin = crate::output::origin(
            "recipe",
            json!({
                "recipe": self.document.table(), "model": self.model,
                "profiles": self.hardware.iter().map(Document::table).collect::<Vec<_>>(),
                "data": self.data.spec(), "data_fingerprint": self.data.fingerprint(), "encoding": self.encoding,
            }),
        );
        origin["title"] = self.file.name.clone().into();
        if let Some(question) = &self.file.question {
            origin["question"] = question.clone().into();
        }
        origin["backend"] = engine.name().into();
        origin
    }

    /// Runs what is not in the cache yet and writes the tables.
    pub fn run(&self, engine: &dyn Engine, folder: &OutputFolder, monitor: &dyn Monitor) -> Result<()> {
        let cache = Cache::open(&folder.file(CACHE))?;
        let units = self.units()?;
        let mut run = Run { recipe: self, cache, engine, monitor, networks: HashMap::new(), evaluations: Vec::new() };
        let (mut measured, mut last) = (Vec::new(), Vec::new());
        let final_stages = self.file.last.iter().flat_map(|last| &last.stages).collect::<Vec<_>>();
        for (number, unit) in units.iter().enumerate() {
            monitor.line(&format!("[{}/{}] {}", number + 1, units.len(), self.title(unit)));
            let candidates = run.networks(unit)?;
            if unit.stage.hidden {
                continue;
            }
            run.evaluate(unit, &candidates, (self.file.evaluate.limit, self.file.evaluate.chips), &mut measured)?;
            if final_stages.contains(&&unit.stage.name) {
                last.push((unit, candidates));
            }
        }
        if let Some(at) = &self.file.last {
            for (unit, candidates) in last {
                monitor.line(&format!("[final] {}", self.title(unit)));
                let chips = at.chips.unwrap_or(self.file.evaluate.chips);
                run.evaluate(unit, &candidates, (at.limit, chips), &mut measured)?;
            }
        }
        let nominal = run.nominal(&measured)?;
        let points = recovery::points(&measured, &nominal, self.file.reference());
        table::write(folder, &points)?;
        folder.write("recovery.md", recovery::markdown(&points, &measured).as_bytes())
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

    /// The points that a unit is evaluated at: what `[evaluate]` sets, and what the stage's own grid does.
    fn points(&self, unit: &Unit) -> Result<Vec<(GridPoint, GridPoint)>> {
        let common = grid_points(&self.document, "evaluate.grid", &self.file.evaluate.grid)?;
        let own = grid_points(&self.document, &format!("stage[{}].evaluate", unit.index), &unit.stage.evaluate)?;
        Ok(own.iter().flat_map(|own| common.iter().map(|common| (common.clone(), own.clone()))).collect())
    }

    fn title(&self, unit: &Unit) -> String {
        let name = self.hardware[unit.hardware].table().get("name").and_then(|name| name.as_str()).unwrap_or("profile");
        let variant = unit.variant.iter().map(|(key, value)| format!(", {key} = {}", cell(value)));
        format!("{name}: {}{}", unit.stage.name, variant.collect::<String>())
    }

    /// A unit's hardware at a point that `[evaluate]` and the stage's own grid give; `network` knows the checkpoint of a
    /// stage.
    fn profile(
        &self,
        unit: &Unit,
        (common, own): (&GridPoint, &GridPoint),
        network: &dyn Fn(&str) -> Result<PathBuf>,
    ) -> Result<Profile> {
        let mut profile = self.hardware[unit.hardware].clone();
        let (document, section) = (&self.document, format!("stage[{}]", unit.index));
        let set = unit.stage.set.iter().map(|(key, value)| (key, value, format!("{section}.set.{key}")));
        let variant = unit.variant.iter().map(|(key, value)| (key, value, format!("{section}.grid.{key}")));
        let common = common.iter().map(|(key, value)| (key, value, format!("evaluate.grid.{key}")));
        let own = own.iter().map(|(key, value)| (key, value, format!("{section}.evaluate.{key}")));
        for (key, value, place) in set.chain(variant).chain(common).chain(own) {
            if key.starts_with("train.") || key.starts_with("prune.") {
                continue;
            }
            let stage = value.as_str().filter(|_| key == "sram.init").and_then(|init| init.strip_prefix(STAGE_INIT));
            let (place, base) = (document.place(&place), document.base("stage"));
            match stage {
                Some(stage) => {
                    let file = format!("checkpoint:{}", network(stage)?.display());
                    profile.set_value(key, file.into(), place, Path::new(""))?;
                }
                None => profile.set_value(key, value.clone(), place, base)?,
            }
        }
        Profile::from_document(&profile)
    }

    /// The training file of a unit.
    fn training(&self, unit: &Unit, init: Option<&Path>, own: Option<u64>) -> Result<Document> {
        let document = &self.document;
        let mut training = Document::parse_text(document.file(), String::new())?;
        let mut put = |key: &str, value: toml::Value, place: &str| {
            training.set_value(
                key,
                value,
                document.place(place),
                document.base(place.split('.').next().unwrap_or(place)),
            )
        };
        // Paths of the recipe start where its own do already.
        let path = |path: &Path| {
            std::path::absolute(path).map(|path| path.to_string_lossy().into_owned()).map_err(Error::io(path))
        };
        put("model", path(&self.file.model)?.into(), "model")?;
        put("data", self.file.data.clone().into(), "data")?;
        if let Some(test) = &self.file.test {
            put("test", test.clone().into(), "test")?;
        }
        if let Some(encoding) = document.table().get("encoding") {
            put("encoding", encoding.clone(), "encoding")?;
        }
        let seed = i64::try_from(self.file.seed).map_err(|_| document.error("seed", "expected a number below 2^63"))?;
        put("train.seed", seed.into(), "seed")?;
        if let Some(init) = init {
            put("init", path(init)?.into(), &format!("stage[{}].from", unit.index))?;
        }
        let section = format!("stage[{}]", unit.index);
        for (key, value) in &self.file.train {
            put(&format!("train.{key}"), value.clone(), &format!("train.{key}"))?;
        }
        for (table, name) in [(&unit.stage.train, "train"), (&unit.stage.prune, "prune")] {
            for (key, value) in table.iter().flatten() {
                put(&format!("{name}.{key}"), value.clone(), &format!("{section}.{name}.{key}"))?;
            }
        }
        for (key, value) in
            unit.variant.iter().filter(|(key, _)| key.starts_with("train.") || key.starts_with("prune."))
        {
            put(key, value.clone(), &format!("{section}.grid.{key}"))?;
        }
        if let Some(chip) = own {
            // The chip of the evaluation's seed.
            put("train.seed", seed.into(), &format!("{section}.own_chips"))?;
            put("train.chip", (chip as i64).into(), &format!("{section}.own_chips"))?;
            put("train.variation", false.into(), &format!("{section}.own_chips"))?;
        }
        Ok(training)
    }
}

/// A recipe under way.
struct Run<'a> {
    recipe: &'a Recipe,
    cache: Cache,
    engine: &'a dyn Engine,
    monitor: &'a dyn Monitor,
    /// The checkpoint of each stage with one network, by hardware and stage.
    networks: HashMap<(usize, String), PathBuf>,
    /// One for each number of images.
    evaluations: Vec<(usize, Dataset)>,
}

impl Run<'_> {
    fn network(&self, hardware: usize, stage: &str) -> Result<PathBuf> {
        self.networks.get(&(hardware, stage.to_owned())).cloned().ok_or_else(|| {
            Error::Usage(format!("sram.init = \"{STAGE_INIT}{stage}\": expected a stage before, with one network"))
        })
    }

    /// The networks of a unit, trained where they are not in the cache.
    fn networks(&mut self, unit: &Unit) -> Result<Vec<Candidate>> {
        let recipe = self.recipe;
        let start = match (&unit.stage.from, &unit.stage.checkpoint) {
            (Some(from), _) => Some(self.network(unit.hardware, from)?),
            (None, Some(checkpoint)) => Some(checkpoint.clone()),
            (None, None) => None,
        };
        let train = |own: Option<u64>| -> Result<Candidate> {
            let document = recipe.training(unit, start.as_deref(), own)?;
            let file = TrainFile::from_document(&document)?;
            let profile = recipe.profile(unit, (&vec![], &vec![]), &|stage| self.network(unit.hardware, stage))?;
            let job = Job::new(&document, file, recipe.model.clone(), profile)?;
            Ok(Candidate { checkpoint: self.cache.train(&job, self.monitor)?, own })
        };
        let candidates = match (&unit.stage.train, unit.stage.own_chips, start.clone()) {
            (Some(_), Some(chips), _) => (0..chips).map(|chip| train(Some(chip))).collect::<Result<_>>()?,
            (None, _, Some(checkpoint)) => vec![Candidate { checkpoint, own: None }],
            _ => vec![train(None)?],
        };
        if let [Candidate { checkpoint, own: None }] = candidates.as_slice() {
            self.networks.insert((unit.hardware, unit.stage.name.clone()), checkpoint.clone());
        }
        Ok(candidates)
    }

    /// Evaluates a unit at all its points.
    fn evaluate(
        &mut self,
        unit: &Unit,
        candidates: &[Candidate],
        (limit, chips): (Option<usize>, u64),
        measured: &mut Vec<Measured>,
    ) -> Result<()> {
        let recipe = self.recipe;
        let shown =
            |point: &[(String, toml::Value)]| point.iter().map(|(k, v)| (k.clone(), cell(v))).collect::<Vec<_>>();
        for (common, own) in recipe.points(unit)? {
            let profile = recipe.profile(unit, (&common, &own), &|stage| self.network(unit.hardware, stage))?;
            let (mut trials, mut sparsity, mut rram_bytes) = (Vec::new(), None, 0.0);
            for candidate in candidates {
                let (network, hash) = Network::read(&recipe.model, &candidate.checkpoint)?;
                if network.layers.iter().any(|layer| layer.sram.as_ref().is_some_and(|array| array.kept.is_some())) {
                    sparsity = Some(Sparsity::of_network(&recipe.model, &network, 1).percent());
                }
                let chips = candidate.own.map_or(0..chips, |chip| chip..chip + 1);
                let how = How { limit, adapt: unit.stage.adapt.as_ref(), exit: unit.stage.exit, index: unit.index };
                let (found, bytes) = self.trials(&profile, (&network, &hash), how, chips, &recipe.title(unit))?;
                trials.extend(found);
                rram_bytes = bytes;
            }
            let images = ("images".to_owned(), trials.first().map_or(0, |trial: &Trial| trial.images).to_string());
            measured.push(Measured {
                settings: shown(&unit.variant),
                at: [shown(&common), vec![images]].concat(),
                own: shown(&own),
                stage: unit.stage.name.clone(),
                hardware: unit.hardware,
                profile,
                trials,
                rram_bytes,
                sparsity,
            });
        }
        Ok(())
    }

    /// The trials of some chips, run where they are not in the cache; and the bytes of the RRAM's weights.
    fn trials(
        &mut self,
        profile: &Profile,
        (network, hash): (&Network, &str),
        how: How,
        chips: std::ops::Range<u64>,
        title: &str,
    ) -> Result<(Vec<Trial>, f64)> {
        let Recipe { model, encoding, file, .. } = self.recipe;
        let images = how.limit.unwrap_or(usize::MAX).min(self.recipe.data.len());
        let blueprint = Blueprint::new(profile, model, network, *encoding, file.seed)?;
        let chips = if blueprint.varies() { chips } else { chips.start..chips.start + 1 };
        if !self.evaluations.iter().any(|(at, _)| *at == images) {
            let (key, spec) = file.test.as_ref().map_or(("data", &file.data), |test| ("test", test));
            let data = Dataset::open(spec, self.recipe.document.base(key), Split::Test)?.limit(images);
            self.evaluations.push((images, data));
        }
        let (_, data) = self.evaluations.iter().find(|(at, _)| *at == images).expect("it was opened above");
        let key = format!("stage[{}].adapt", how.index);
        let locate = self.recipe.document.locate(&key);
        let open =
            |sample: &Sample| sample.open(self.recipe.document.base("stage"), &self.recipe.data).map_err(&locate);
        let training = how.adapt.map(open).transpose()?;
        let identity = crate::output::origin(
            "evaluate",
            json!({
                "model": model, "profile": profile, "encoding": encoding, "data": data.spec(),
                "data_fingerprint": data.fingerprint(), "images": images, "seed": file.seed, "checkpoint_sha256": hash,
                "sram_checkpoint_sha256": blueprint.companion_hash(), "exit": how.exit, "adapt": how.adapt,
                "adapt_data_fingerprint": training.as_ref().map(Dataset::fingerprint),
            }),
        );
        let (mut trials, mut store) = self.cache.trials(&identity)?;
        trials.retain(|trial| chips.contains(&trial.chip));
        let missing: Vec<u64> = chips.filter(|chip| trials.iter().all(|trial| trial.chip != *chip)).collect();
        if !missing.is_empty() {
            let draw = |(sample, training): (&Sample, &Dataset)| {
                Adaptation::draw(network, model, training, *encoding, file.seed, sample).map_err(&locate)
            };
            let adaptation = how.adapt.zip(training.as_ref()).map(draw).transpose()?;
            let mut evaluation =
                Evaluation::on(self.engine, data, Encoder::new(*encoding, model.input, file.seed, 0), model.steps);
            if let Some(rule) = how.exit {
                evaluation = evaluation.exiting(rule.of(network));
            }
            if let Some(adaptation) = &adaptation {
                evaluation = evaluation.preparing(|chip| adaptation.adapt(chip));
            }
            self.monitor.begin(title, missing.len() as u64);
            let mut done = 0;
            evaluation.series(&blueprint, missing, |chip, result| {
                let trial = Trial::of(0, chip, result, model.steps);
                store.push(trial)?;
                trials.push(trial);
                done += 1;
                self.monitor.progress(done, "chips");
                if self.monitor.stop() {
                    self.monitor.end();
                    return Err(Error::Interrupted(
                        "what is finished is kept; the same command goes on from here".into(),
                    ));
                }
                Ok(())
            })?;
            self.monitor.end();
        }
        trials.sort_by_key(|trial| trial.chip);
        Ok((trials, blueprint.rram_bytes()))
    }

    /// The reference's accuracy without variation, by hardware and number of images: what there is to win back.
    fn nominal(&mut self, measured: &[Measured]) -> Result<HashMap<(usize, u64), f64>> {
        let recipe = self.recipe;
        let reference = recipe.file.reference();
        let mut nominal = HashMap::new();
        for point in measured.iter().filter(|point| point.stage == reference) {
            let images = point.images();
            if nominal.contains_key(&(point.hardware, images)) {
                continue;
            }
            let Ok(checkpoint) = self.network(point.hardware, reference) else { continue };
            let mut profile = point.profile.clone();
            profile.amend(|rram, _| rram.variation.kind = crate::profile::VariationKind::None);
            let (network, hash) = Network::read(&recipe.model, &checkpoint)?;
            let how = How { limit: Some(images as usize), adapt: None, exit: None, index: 0 };
            let (trials, _) = self.trials(&profile, (&network, &hash), how, 0..1, reference)?;
            nominal.insert((point.hardware, images), trials[0].row().accuracy);
        }
        Ok(nominal)
    }
}

/// A point without what it is compared with.
impl Measured {
    fn point(&self) -> Point {
        Point { settings: vec![], chips: self.trials.iter().map(Trial::row).collect(), more: vec![] }
    }

    fn images(&self) -> u64 {
        self.trials.first().map_or(0, |trial| trial.images)
    }

    fn steps_per_image(&self) -> f64 {
        let steps: u64 = self.trials.iter().map(|trial| trial.steps).sum();
        steps as f64 / (self.images() * self.trials.len() as u64) as f64
    }

    /// What `[evaluate]` sets, without the number of images.
    fn at(&self) -> &[(String, String)] {
        &self.at[..self.at.len() - 1]
    }
}
