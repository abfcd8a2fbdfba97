//! A sweep: points of settings x chips. Every trial is a pure function of its inputs, so results are the same bytes for
//! any threads, shards, order and number of kills.

mod file;
mod plan;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

pub use file::{Chips, OWN_KEYS, SweepFile, Until};
pub use plan::Plan;

use super::space::{GridPoint, cell};
use super::store::{self, Key, OfKey, Store, Trial, shard_name};
use super::table::{Point, Tables};
use crate::checkpoint::Checkpoint;
use crate::chip::Blueprint;
use crate::config::{Document, Overrides};
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::calibrate::with_ranges;
use crate::engine::evaluate::{Evaluation, check_fit};
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::numeric::stats::summarise;
use crate::output::{OutputFolder, origin};
use crate::profile::Profile;

/// Files that a sweep writes.
pub const FILES: [&str; 6] = ["results.csv", "summary.csv", "report.html", "accuracy.svg", "timing.csv", "trials-*"];
/// Trials that are looked at together: what is in memory of a sweep, whatever its length.
const TOGETHER: u64 = 1 << 16;

/// A network and the images that it is judged on, which some points share.
struct Subject {
    model: Model,
    network: Network,
    checkpoint: String,
    encoding: Encoding,
    images: Arc<Images>,
}

/// A data set, cut to the images that are judged.
struct Images {
    data: Dataset,
    /// The whole of it, and the images that converters' ranges are profiled on, where any are.
    whole: Dataset,
    training: std::sync::OnceLock<Dataset>,
}

/// One point: what is set, and the hardware and network that come of it.
struct Setting {
    shown: Vec<(String, String)>,
    profile: Profile,
    subject: Arc<Subject>,
    key: Key,
}

/// A sweep with everything read and checked.
pub struct Sweep {
    file: SweepFile,
    points: Vec<Setting>,
    origin: Value,
    notices: Vec<String>,
}

/// Part I of N, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Shard {
    /// Whether a trial is this shard's: one after the other in turn, but whole points where chips are judged one by one.
    fn holds(&self, chips: &Chips, point: u64, chip: u64) -> bool {
        let number = match chips {
            Chips::Fixed(chips) => point * chips + chip,
            Chips::Until(_) => point,
        };
        number % self.of as u64 == self.index as u64 - 1
    }
}

/// What the documents of a sweep hold, and what was read of the files that its points name.
struct Reader<'a> {
    file: &'a SweepFile,
    document: &'a Document,
    overrides: &'a Overrides,
    profiles: HashMap<String, Document>,
    models: Document,
    checkpoints: HashMap<String, Checkpoint>,
    images: HashMap<String, Arc<Images>>,
    last: Option<Arc<Subject>>,
}

impl Reader<'_> {
    /// The value of a key of the sweep's own at a point, with the place that it has there; else none.
    fn own<'p>(&self, point: &'p GridPoint, key: &str) -> Option<(&'p str, String)> {
        let (_, value) = point.iter().find(|(k, _)| k == key)?;
        Some((value.as_str().unwrap_or_default(), self.place(key)))
    }

    /// Where a key of a point is written, as a key of the sweep's file.
    fn section(&self, key: &str) -> String {
        let document = self.document;
        let written = |section: &str| document.table_at(section).and_then(|table| table.as_table()?.get(key));
        match ["grid", "sample.keys"].into_iter().find(|section| written(section).is_some()) {
            Some(section) => format!("{section}.{key}"),
            None => {
                let listed = self.file.point.iter().position(|point| point.contains_key(key)).unwrap_or(0);
                format!("point[{listed}].{key}")
            }
        }
    }

    fn place(&self, key: &str) -> String {
        self.document.place(&self.section(key))
    }

    /// A file that a point names, or the sweep's own.
    fn path(&self, point: &GridPoint, key: &str, own: &Path) -> std::path::PathBuf {
        self.own(point, key).map_or(own.to_path_buf(), |(file, _)| self.document.base("grid").join(file))
    }

    fn profile(&mut self, point: &GridPoint) -> Result<Profile> {
        let path = match (&self.file.profile, self.own(point, "profile")) {
            (None, None) => None,
            (own, _) => Some(self.path(point, "profile", own.as_deref().unwrap_or(Path::new("")))),
        };
        let name = path.as_ref().map_or(String::new(), |path| path.to_string_lossy().into_owned());
        if !self.profiles.contains_key(&name) {
            let mut profile = match &path {
                Some(path) => Document::read(path)?,
                None => Document::parse_text(Path::new("ideal profile"), "name = \"ideal\"".into())?,
            };
            self.overrides.profile.iter().try_for_each(|assignment| profile.set(assignment))?;
            self.profiles.insert(name.clone(), profile);
        }
        let mut profile = self.profiles[&name].clone();
        for (key, value) in point.iter().filter(|(key, _)| !is_own(key) && !key.starts_with("model.")) {
            profile.set_value(key, value.clone(), self.place(key), self.document.base("grid"))?;
        }
        Profile::from_document(&profile)
    }

    fn model(&self, point: &GridPoint) -> Result<Model> {
        let mut model = self.models.clone();
        for (key, value) in point {
            if let Some(name) = key.strip_prefix("model.") {
                model.set_value(name, value.clone(), self.place(key), self.document.base("grid"))?;
            }
        }
        Model::from_document(&model)
    }

    fn images(&mut self, point: &GridPoint) -> Result<Arc<Images>> {
        let (key, spec) = match (self.own(point, "data"), &self.file.test) {
            (Some((spec, _)), _) => ("grid".to_string(), spec),
            (None, Some(test)) => ("test".into(), test.as_str()),
            (None, None) => ("data".into(), self.file.data.as_str()),
        };
        if let Some(images) = self.images.get(spec) {
            return Ok(images.clone());
        }
        let open = || Dataset::open(spec, self.document.base(&key), Split::Test).map_err(self.document.locate(&key));
        let data = open()?.limit(self.file.limit.unwrap_or(usize::MAX));
        let images = Arc::new(Images { data, whole: open()?, training: Default::default() });
        self.images.insert(spec.to_string(), images.clone());
        Ok(images)
    }

    fn encoding(&self, point: &GridPoint) -> Result<Option<Encoding>> {
        let Some((name, _)) = self.own(point, "encoding") else { return Ok(self.file.encoding) };
        let refuse =
            |_| self.document.error(&self.section("encoding"), format!("`{name}`, expected poisson, direct or frames"));
        toml::Value::String(name.into()).try_into().map(Some).map_err(refuse)
    }

    /// The network of a point, shared with the point before where it is the same.
    fn subject(&mut self, point: &GridPoint) -> Result<Arc<Subject>> {
        let (model, images) = (self.model(point)?, self.images(point)?);
        check_fit(&images.data, &model).map_err(self.document.locate("data"))?;
        let encoding = Encoding::resolve(self.encoding(point)?, images.data.frame_steps(), model.steps);
        let encoding = encoding.map_err(self.document.locate("encoding"))?;
        let path = self.path(point, "checkpoint", &self.file.checkpoint);
        let name = path.to_string_lossy().into_owned();
        if !self.checkpoints.contains_key(&name) {
            self.checkpoints.insert(name.clone(), Checkpoint::read(&path)?);
        }
        let checkpoint = &self.checkpoints[&name];
        let same = |last: &&Arc<Subject>| {
            last.model == model
                && last.checkpoint == checkpoint.hash()
                && last.encoding == encoding
                && Arc::ptr_eq(&last.images, &images)
        };
        if let Some(last) = self.last.as_ref().filter(same) {
            return Ok(last.clone());
        }
        let network = Network::from_checkpoint(&model, checkpoint).map_err(self.document.locate("checkpoint"))?;
        let checkpoint = checkpoint.hash().to_string();
        let subject = Arc::new(Subject { model, network, checkpoint, encoding, images });
        self.last = Some(subject.clone());
        Ok(subject)
    }
}

/// Whether a key of a point is the sweep's own.
fn is_own(key: &str) -> bool {
    file::POINT_KEYS.contains(&key)
}

impl Sweep {
    /// Reads the sweep file and everything it names; every point is validated before anything runs.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        let mut document = Document::read(path)?;
        overrides.own.iter().try_for_each(|assignment| document.set(assignment))?;
        let (file, grid) = SweepFile::from_document(&document)?;
        let mut models = Document::read(&file.model)?;
        overrides.model.iter().try_for_each(|assignment| models.set_model(assignment))?;
        let mut reader = Reader {
            file: &file,
            document: &document,
            overrides,
            profiles: HashMap::new(),
            models,
            checkpoints: HashMap::new(),
            images: HashMap::new(),
            last: None,
        };
        let keys: BTreeSet<&String> = grid.iter().flatten().map(|(key, _)| key).collect();
        let (mut points, mut notices) = (Vec::<Setting>::new(), Vec::<String>::new());
        for point in &grid {
            if let Some((key, _)) = point.iter().find(|(key, value)| is_own(key) && !value.is_str()) {
                return Err(
                    document.error(&reader.section(key), "expected names of files, or of data sets, as strings")
                );
            }
            let (profile, subject) = (reader.profile(point)?, reader.subject(point)?);
            let blueprint = blueprint(&profile, &subject, file.seed)?;
            for notice in blueprint.notices() {
                if !notices.contains(notice) {
                    notices.push(notice.clone());
                }
            }
            let Subject { model, checkpoint, encoding, images, .. } = &*subject;
            let mut identity = json!({
                "profile": profile, "model": model, "encoding": encoding, "checkpoint_sha256": checkpoint,
                "data_fingerprint": images.data.fingerprint(), "images": images.data.len(), "seed": file.seed,
                "sram_checkpoint_sha256": blueprint.companion_hash(),
            });
            if profile.wants_calibration() {
                if images.training.get().is_none() {
                    let training = images.whole.training_beside(Some(&file.data), document.base("data"));
                    let _ = images.training.set(training.map_err(document.locate("data"))?);
                }
                identity["calibration_data_fingerprint"] = images.training.get().map(Dataset::fingerprint).into();
            }
            let key = Key::of(&origin("trial", identity));
            let of =
                |key: &String| point.iter().find(|(k, _)| k == key).map_or(String::new(), |(_, value)| cell(value));
            let shown = keys.iter().map(|key| (key.to_string(), of(key))).collect();
            points.push(Setting { shown, profile, subject, key });
        }
        let first = &points[0];
        let mut of_all = origin(
            "sweep",
            json!({
                "profile": reader.profile(&vec![])?,
                "model": first.subject.model,
                "data": first.subject.images.data.spec(),
                "data_fingerprint": first.subject.images.data.fingerprint(),
                "images": first.subject.images.data.len(),
                "encoding": first.subject.encoding,
                "checkpoint_sha256": first.subject.checkpoint,
                "chips": file.chips,
                "seed": file.seed,
                "points": points.iter().map(|p| &p.shown).collect::<Vec<_>>(),
                "keys": points.iter().map(|p| p.key).collect::<Vec<_>>(),
            }),
        );
        of_all["title"] = file.name.clone().into();
        if let Some(question) = &file.question {
            of_all["question"] = question.clone().into();
        }
        Ok(Sweep { file, points, origin: of_all, notices })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// How many points it has.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// What the results depend on, for `origin.json`.
    pub fn origin(&self, engine: &dyn Engine) -> Value {
        let mut origin = self.origin.clone();
        origin["backend"] = engine.name().into();
        origin
    }

    /// Runs this shard's missing trials; gives whether the whole sweep is complete.
    pub fn run(&self, engine: &dyn Engine, folder: &OutputFolder, shard: Shard, monitor: &dyn Monitor) -> Result<bool> {
        let mut run = Run::new(self, engine, folder, shard, monitor)?;
        self.notices.iter().for_each(|notice| monitor.line(notice));
        monitor.begin(&self.file.name, self.held(shard));
        let ran = self.points_together().try_for_each(|points| run.points(points));
        monitor.end();
        ran?;
        run.close()?;
        let settings: Vec<_> = self.points.iter().map(|p| (p.key, p.shown.clone())).collect();
        merge(folder, &settings, &self.file.chips)
    }

    /// Trials of a shard, at most.
    fn held(&self, shard: Shard) -> u64 {
        let (points, chips, of) = (self.points.len() as u64, self.file.chips.most(), shard.of as u64);
        let count = |trials: u64| trials.saturating_sub(shard.index as u64 - 1).div_ceil(of);
        match self.file.chips {
            Chips::Fixed(_) => count(points * chips),
            Chips::Until(_) => count(points) * chips,
        }
    }

    /// Points whose trials are looked at together.
    fn points_together(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        together(self.points.len(), &self.file.chips)
    }
}

/// Numbers of points that are looked at together.
fn together(points: usize, chips: &Chips) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let count = (TOGETHER / chips.most()).max(1) as usize;
    (0..points).step_by(count).map(move |first| first..points.min(first + count))
}

fn blueprint<'a>(profile: &Profile, subject: &'a Subject, seed: u64) -> Result<Blueprint<'a>> {
    Blueprint::new(profile, &subject.model, &subject.network, subject.encoding, seed)
}

/// A shard under way.
struct Run<'a> {
    sweep: &'a Sweep,
    engine: &'a dyn Engine,
    folder: &'a OutputFolder,
    shard: Shard,
    monitor: &'a dyn Monitor,
    store: Store,
    /// Points of one network see the same inputs.
    last: Option<(&'a Arc<Subject>, Evaluation<'a>)>,
    began: Instant,
    /// Trials that were run, and trials that are done.
    ran: u64,
    done: u64,
    /// The best mean so far, and what is set there.
    best: Option<(f64, String)>,
}

impl<'a> Run<'a> {
    fn new(
        sweep: &'a Sweep,
        engine: &'a dyn Engine,
        folder: &'a OutputFolder,
        shard: Shard,
        monitor: &'a dyn Monitor,
    ) -> Result<Self> {
        let store = Store::open(&folder.file(&shard_name(shard.index, shard.of)))?;
        let (last, began) = (None, Instant::now());
        Ok(Run { sweep, engine, folder, shard, monitor, store, last, began, ran: 0, done: 0, best: None })
    }

    /// Runs what is missing of some points.
    fn points(&mut self, points: std::ops::Range<usize>) -> Result<()> {
        let sweep = self.sweep;
        let mut there = store::read(self.folder.path(), sweep.points[points.clone()].iter().map(|point| point.key))?;
        for p in points {
            let setting = &sweep.points[p];
            self.point(p as u64, setting, there.entry(setting.key).or_default())?;
        }
        Ok(())
    }

    /// Runs what is missing of a point, beside the trials that are there.
    fn point(&mut self, p: u64, setting: &'a Setting, there: &mut OfKey) -> Result<()> {
        let chips = &self.sweep.file.chips;
        let held = |chip: &u64| self.shard.holds(chips, p, *chip);
        let mine: Vec<u64> = (0..chips.most()).filter(held).collect();
        let before = self.done;
        self.done += mine.iter().filter(|chip| there.contains_key(chip)).count() as u64;
        loop {
            let accuracies = first_ones(there);
            if chips.enough(&accuracies).is_some() {
                break;
            }
            let next = chips.next(&accuracies);
            let missing: Vec<u64> =
                mine.iter().copied().filter(|chip| *chip < next && !there.contains_key(chip)).collect();
            if missing.is_empty() {
                break;
            }
            self.chips(setting, missing, there)?;
        }
        self.done = before + mine.len() as u64;
        let count = chips.enough(&first_ones(there)).unwrap_or(chips.most());
        let accuracies: Vec<f64> = there.range(..count).map(|(_, trial)| trial.accuracy()).collect();
        if !accuracies.is_empty() {
            let mean = summarise(&accuracies).mean;
            if self.best.as_ref().is_none_or(|(best, _)| mean > *best) {
                let shown = setting
                    .shown
                    .iter()
                    .map(|(key, value)| format!("{} {value}", key.rsplit('.').next().unwrap_or(key)));
                self.best = Some((mean, shown.collect::<Vec<_>>().join(", ")));
            }
        }
        self.monitor.progress(self.done, &self.note());
        Ok(())
    }

    /// What progress says beside its count.
    fn note(&self) -> String {
        self.best.as_ref().map_or(String::new(), |(mean, at)| format!("best {mean:.2} % {at}").trim_end().to_string())
    }

    /// Runs some chips of a point and adds them to those that are there.
    fn chips(&mut self, setting: &'a Setting, missing: Vec<u64>, there: &mut OfKey) -> Result<()> {
        let Setting { profile, subject, key, .. } = setting;
        let (seed, images) = (self.sweep.file.seed, &subject.images);
        let blueprint = blueprint(profile, subject, seed)?;
        let blueprint = match images.training.get() {
            Some(training) => with_ranges(blueprint, seed, || Ok(training))?,
            None => blueprint,
        };
        let price = Price::of(&blueprint);
        let evaluation = match self.last.take() {
            Some((same, evaluation)) if Arc::ptr_eq(same, subject) => evaluation,
            _ => {
                let encoder = Encoder::new(subject.encoding, subject.model.input, seed, 0);
                Evaluation::on(self.engine, &images.data, encoder, subject.model.steps)
            }
        };
        let note = self.note();
        evaluation.series(&blueprint, missing, |chip, result| {
            let trial = Trial::of(*key, chip, result, subject.model.steps, &price);
            self.store.push(trial)?;
            there.insert(chip, trial);
            self.ran += 1;
            self.done += 1;
            self.monitor.progress(self.done, &note);
            if self.monitor.stop() {
                return Err(Error::Interrupted(
                    "finished trials are stored; the same command goes on from here".into(),
                ));
            }
            Ok(())
        })?;
        self.last = Some((subject, evaluation));
        Ok(())
    }

    fn close(self) -> Result<()> {
        let Run { store, folder, shard, ran, began, .. } = self;
        store.close()?;
        store::append_timing(&folder.file("timing.csv"), shard.index, shard.of, ran, began.elapsed())
    }
}

/// The accuracies of a point's chips from the first one on, as far as none is missing.
fn first_ones(trials: &OfKey) -> Vec<f64> {
    (0..)
        .zip(trials)
        .take_while(|(number, (chip, _))| number == *chip)
        .map(|(_, (_, trial))| trial.accuracy())
        .collect()
}

/// Merges all shards' trials into the tables when none is missing.
pub fn merge(folder: &OutputFolder, settings: &[(Key, Vec<(String, String)>)], chips: &Chips) -> Result<bool> {
    let mut tables = Tables::new(folder)?;
    for points in together(settings.len(), chips) {
        let points = &settings[points];
        let trials = store::read(folder.path(), points.iter().map(|(key, _)| *key))?;
        for (key, settings) in points {
            let trials = &trials[key];
            let Some(count) = chips.enough(&first_ones(trials)) else { return Ok(false) };
            let chips = trials.range(..count).map(|(_, trial)| trial.row()).collect();
            tables.push(&Point { settings: settings.clone(), chips, more: vec![] })?;
        }
    }
    tables.finish()?;
    Ok(true)
}

/// Merges a sweep's folder from what its `origin.json` says; a folder of another kind is left alone.
pub fn merge_folder(path: &Path) -> Result<()> {
    let Some((folder, origin)) = OutputFolder::open(path)? else { return Ok(()) };
    let configuration = &origin["configuration"];
    let settings = serde_json::from_value::<Vec<Vec<(String, String)>>>(configuration["points"].clone());
    let keys = serde_json::from_value::<Vec<Key>>(configuration["keys"].clone());
    let chips = serde_json::from_value::<Chips>(configuration["chips"].clone());
    let (Ok(settings), Ok(keys), Ok(chips)) = (settings, keys, chips) else { return Ok(()) };
    let settings: Vec<_> = keys.into_iter().zip(settings).collect();
    if !merge(&folder, &settings, &chips)? {
        let found = store::read(path, settings.iter().map(|(key, _)| *key))?;
        let found = settings.iter().map(|(key, _)| found[key].len()).sum::<usize>();
        let message = format!(
            "{found} of {}{} trials are there; run the missing shards first",
            if matches!(chips, Chips::Until(_)) { "at most " } else { "" },
            settings.len() as u64 * chips.most()
        );
        return Err(Error::file(path, message));
    }
    folder.finish()
}
