//! What the points of a study name: profiles, models, checkpoints and data sets, each read once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use serde_json::{Value, json};
use toml::Table;

use super::case::check_hardware;
use super::force::in_force;
use super::held_out;
use super::sets::{Images, Named, Sets, names};
use super::setting::{Setting, Subject};
use super::space::{GridPoint, TRAIN, cell};
use super::trial::Key;
use super::watch::Watch;
use crate::checkpoint::Checkpoint;
use crate::chip::Blueprint;
use crate::config::{Document, Overrides};
use crate::data::Dataset;
use crate::effect::{self, Idle};
use crate::engine::calibrate;
use crate::engine::evaluate::check_fit;
use crate::engine::exit::{ExitRule, rule_or_none};
use crate::error::{Error, Result};
use crate::network::weights::Loaded;
use crate::network::{Encoding, Model, Network};
use crate::profile::Profile;
use crate::system::{Architecture, Areas};
use crate::train::adapt::Sample;

/// Keys that points may set, beside keys of the profile and, under `model.`, of the model: strings.
pub(super) const POINT_KEYS: [&str; 5] = ["checkpoint", "profile", "data", "encoding", "exit"];
/// The key of a study that says from which training image on the network has seen none.
pub(super) const HELD_OUT_FROM: &str = "held_out_from";
/// Before keys of the study's `adapt`, which points may set too.
pub(super) const ADAPT: &str = "adapt.";

/// The keys of a study's file that hold for all its points.
pub(super) struct Common {
    /// The model file.
    pub model: PathBuf,
    /// The checkpoint to program.
    pub checkpoint: PathBuf,
    /// The profile file; none: the ideal chip.
    pub profile: Option<PathBuf>,
    /// The data set.
    pub data: String,
    /// The data set that is evaluated in its place.
    pub test: Option<String>,
    /// The images that judge chips: of that set, or training images.
    pub images: Images,
    /// The encoder.
    pub encoding: Option<Encoding>,
    /// The images that norms are adapted on.
    pub adapt: Table,
    /// When images stop.
    pub exit: Option<ExitRule>,
    /// The seed of chips and encoding.
    pub seed: u64,
}

/// The places of a study's points in its file.
pub(super) trait Written {
    /// Every key that a point sets.
    fn keys(&self) -> Vec<String>;
    /// The key of the file at which a value of a point is written.
    fn section(&self, key: &str, value: &toml::Value) -> String;
    /// Whether a key's values are each by itself a thing to compare.
    fn compares(&self, key: &str) -> bool;
}

/// Networks on their images that are kept from point to point.
const LAST: usize = 2;

/// The documents of a study, and what was read so far of the files that its points name.
pub(super) struct Reader<'a> {
    common: Common,
    written: &'a dyn Written,
    document: &'a Document,
    overrides: &'a Overrides,
    /// Every key that a point sets.
    keys: Vec<String>,
    /// Where keys are written, by section.
    places: BTreeMap<String, String>,
    profiles: HashMap<PathBuf, Document>,
    models: Document,
    checkpoints: HashMap<PathBuf, Checkpoint>,
    /// A network in the place of what points name.
    trained: Option<PathBuf>,
    sets: Sets,
    /// The networks on their images that points had last: those of all images, and those of some.
    last: Vec<Arc<Subject>>,
    /// The networks on their images that some point still has.
    alive: Vec<Weak<Subject>>,
    /// Keys that were set and had no effect at any point so far.
    idle: Option<Idle>,
    /// Keys that points set and that had no effect at any point so far.
    axes: Watch,
    /// What else the user should know of some point.
    remarks: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(
        common: Common,
        written: &'a dyn Written,
        document: &'a Document,
        overrides: &'a Overrides,
    ) -> Result<Self> {
        let mut models = Document::read(&common.model).map_err(document.locate("model"))?;
        overrides.model.iter().try_for_each(|assignment| models.set_model(assignment))?;
        Ok(Reader {
            common,
            written,
            document,
            overrides,
            keys: written.keys(),
            places: BTreeMap::new(),
            profiles: HashMap::new(),
            models,
            checkpoints: HashMap::new(),
            trained: None,
            sets: Sets::default(),
            last: vec![],
            alive: vec![],
            idle: None,
            axes: Watch::default(),
            remarks: vec![],
        })
    }

    /// Turns to other images that judge chips.
    pub fn of_images(&mut self, images: Images) {
        self.common.images = images;
    }

    /// The images that judge the chips of a point.
    pub fn judging(&mut self, point: &GridPoint) -> Result<Arc<Dataset>> {
        self.sets.judging(self.document, &self.names(point), self.common.images)
    }

    /// Turns to a network that was trained from the one that points name; none: to that one.
    pub fn of_network(&mut self, checkpoint: Option<PathBuf>) {
        self.trained = checkpoint;
    }

    /// The checkpoint that a point names.
    pub fn checkpoint(&self, point: &GridPoint) -> PathBuf {
        self.path(point, "checkpoint", &self.common.checkpoint)
    }

    /// A point with all that it names.
    pub fn setting(&mut self, point: &GridPoint) -> Result<Setting> {
        if let Some((key, value)) =
            point.iter().find(|(key, value)| POINT_KEYS.contains(&key.as_str()) && !value.is_str())
        {
            let message = format!("{value}, expected a string");
            return Err(self.document.error(&self.written.section(key, value), message));
        }
        let ((profile, hardware), subject) = (self.profile(point)?, self.subject(point)?);
        check_hardware(&hardware, &profile, &subject.model)?;
        let profiled = profile.wants_calibration().then(|| self.profiled(&profile, &subject)).transpose()?;
        let (adapt, exit) = (self.adapt(point, &subject)?, self.exit(point)?);
        let place = self.section_of(point, "exit");
        exit.map_or(Ok(()), |rule| rule.check(&subject.model)).map_err(self.document.locate(&place))?;
        if exit.is_some() && profile.system.ensemble > 1 {
            let message =
                "chips that answer together (system.ensemble) at an early step are not modelled; expected `none`";
            return Err(self.document.error(&place, message.to_owned()));
        }
        let (key, per_chip) = (Key::default(), self.common.images.per_chip);
        let mut setting =
            Setting { shown: vec![], profile, subject, profiled, adapt, exit, per_chip, areas: Areas::default(), key };
        setting.shown = self.shown(point, &setting);
        let case = setting.case(self.common.seed);
        let blueprint = case.blueprint()?;
        self.note(&blueprint);
        (setting.areas, setting.key) = (Architecture::of(blueprint.plan()).areas_together(), case.key(&blueprint)?);
        Ok(setting)
    }

    /// What is set at a point, or in force, at every key that points set.
    fn shown(&self, point: &GridPoint, setting: &Setting) -> Vec<(String, String)> {
        let set = |key: &String| point.iter().find(|(other, _)| other == key).map(|(_, value)| cell(value));
        let value = |key: &String| set(key).unwrap_or_else(|| in_force(key, setting, self.document));
        self.keys.iter().map(|key| (key.clone(), value(key))).collect()
    }

    /// Notes what the user should know of a point.
    fn note(&mut self, blueprint: &Blueprint) {
        for remark in blueprint.remarks() {
            if !self.remarks.contains(remark) {
                self.remarks.push(remark.clone());
            }
        }
        let idle = blueprint.idle().clone();
        self.idle = Some(effect::everywhere(self.idle.take().into_iter().chain([idle])));
        for key in &self.keys {
            let in_no_table = NOT_IN_TABLES.iter().any(|prefix| key.starts_with(prefix));
            let why = in_no_table.then_some("no table of a sweep has it, `infer` does");
            self.axes.see(key, why.or_else(|| blueprint.why(key)));
        }
    }

    /// Why a key that points set had no effect at any of those that were read.
    pub fn why_idle(&self, key: &str) -> Option<&'static str> {
        self.axes.idle(key)
    }

    /// Keys that no point sets and that had no effect at any.
    pub fn idle(&self) -> Idle {
        let mut idle = self.idle.clone().unwrap_or_default();
        idle.retain(|key, _| !self.keys.contains(key));
        idle
    }

    /// What else the user should know of some point.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// What the user should know of the whole sweep; an error where one of its axes has no effect at any point.
    pub fn notices(&self, points: &[Setting]) -> Result<Vec<String>> {
        let mut notices = Vec::new();
        for key in self.keys.iter().filter(|key| is_axis(key, points) && !self.is_label(key)) {
            let refuse = |why: &str| {
                let message = format!("has no effect at any point: {why}; set what it needs, or leave it out");
                let value = toml::Value::Boolean(false);
                Err(self.document.error(&self.written.section(key, &value), message))
            };
            if let Some(why) = self.axes.idle(key) {
                return refuse(why);
            }
            if self.written.compares(key) && !tells_apart(key, points) {
                match FILES.contains(&key.as_str()) {
                    true => notices.push(format!("{key}: what its values name is the same, and so are the trials")),
                    false => return refuse("its values give the same trials"),
                }
            }
        }
        notices.extend(effect::sentences(&self.idle()));
        notices.extend(self.remarks.iter().cloned());
        let mut seen = HashSet::new();
        let twice = points.iter().filter(|point| !seen.insert(point.key)).count();
        if twice > 0 {
            notices
                .push(format!("{twice} of the {} points are the same chips as others: each runs once", points.len()));
        }
        Ok(notices)
    }

    /// Whether a key names what listed points are, and no more.
    fn is_label(&self, key: &str) -> bool {
        LABELS.contains(&key) && !self.written.compares(key)
    }

    /// What converters' ranges of some hardware are profiled on.
    fn profiled(&mut self, profile: &Profile, subject: &Subject) -> Result<Arc<Dataset>> {
        let [tested, named] = &subject.names;
        let training = self.sets.training(self.document, named, tested)?;
        calibrate::check(profile, &subject.model, &training, training.len())
            .map_err(self.document.locate(&named.key))?;
        Ok(training)
    }

    /// What a point's chips are adapted on.
    fn adapt(&mut self, point: &GridPoint, subject: &Subject) -> Result<Option<(Sample, Arc<Dataset>)>> {
        let mut table = self.common.adapt.clone();
        let (mut place, mut data) = ("adapt".to_string(), "adapt.data".to_string());
        for (key, value) in point {
            let Some(name) = key.strip_prefix(ADAPT) else { continue };
            place = self.written.section(key, value);
            if name == "data" {
                data = place.clone();
            }
            table.insert(name.into(), value.clone());
        }
        if table.is_empty() {
            return Ok(None);
        }
        let sample = table.try_into::<Sample>().map_err(|error| {
            let message = format!("{}; expected numbers of `batches` and `images`, and `data`", error.message().trim());
            self.document.error(&place, message)
        })?;
        if sample.batches == 0 {
            return Ok(None);
        }
        let [tested, beside] = &subject.names;
        let named = sample.data.as_ref().map_or(beside.clone(), |spec| Named::new(&data, spec));
        let training = self.sets.training(self.document, &named, tested)?;
        sample.check(&training, &subject.model, subject.encoding).map_err(self.document.locate(&place))?;
        Ok(Some((sample, training)))
    }

    /// When a point's images stop.
    fn exit(&self, point: &GridPoint) -> Result<Option<ExitRule>> {
        let Some((key, value)) = point.iter().find(|(key, _)| key == "exit") else { return Ok(self.common.exit) };
        rule_or_none(value.as_str().unwrap_or_default())
            .map_err(self.document.locate(&self.written.section(key, value)))
    }

    /// The key of the file at which the value of a key stands that holds for a point: its own, or the study's.
    fn section_of(&self, point: &GridPoint, key: &str) -> String {
        let own = point.iter().find(|(own, _)| own == key);
        own.map_or_else(|| key.to_owned(), |(key, value)| self.written.section(key, value))
    }

    /// What a point gives a key of the sweep's own.
    fn own<'p>(&self, point: &'p GridPoint, key: &str) -> Option<&'p str> {
        point.iter().find(|(k, _)| k == key).and_then(|(_, value)| value.as_str())
    }

    /// The place of a point's value in the sweep's file.
    fn place(&mut self, key: &str, value: &toml::Value) -> String {
        let section = self.written.section(key, value);
        self.places.entry(section).or_insert_with_key(|section| self.document.place(section)).clone()
    }

    /// A file that a point names, or the sweep's own.
    fn path(&self, point: &GridPoint, key: &str, own: &Path) -> PathBuf {
        self.own(point, key)
            .map_or(own.to_path_buf(), |file| self.document.base(&self.written.section(key, &file.into())).join(file))
    }

    /// The hardware of a point, and the document that says so.
    pub fn profile(&mut self, point: &GridPoint) -> Result<(Profile, Document)> {
        let document = self.profile_document(point)?;
        Ok((Profile::from_document(&document)?, document))
    }

    fn profile_document(&mut self, point: &GridPoint) -> Result<Document> {
        // No file: the ideal chip.
        let path = self.path(point, "profile", self.common.profile.as_deref().unwrap_or(Path::new("")));
        if !self.profiles.contains_key(&path) {
            let mut profile = match path.as_os_str().is_empty() {
                false => Document::read(&path).map_err(self.locate(point, "profile"))?,
                true => Document::parse_text(Path::new("ideal profile"), "name = \"ideal\"".into())?,
            };
            self.overrides.profile.iter().try_for_each(|assignment| profile.set(assignment))?;
            self.profiles.insert(path.clone(), profile);
        }
        let mut profile = self.profiles[&path].clone();
        for (key, value) in point.iter().filter(|(key, _)| !is_own(key) && !key.starts_with("model.")) {
            let base = self.document.base(&self.written.section(key, value)).to_path_buf();
            profile.set_value(key, value.clone(), self.place(key, value), &base)?;
        }
        Ok(profile)
    }

    /// The profile where no point sets anything, as JSON: whole, or, where it is no chip by itself, as it is written.
    pub fn common_profile(&mut self) -> Result<Value> {
        let document = self.profile_document(&vec![])?;
        let whole = Profile::from_document(&document).ok().and_then(|profile| serde_json::to_value(profile).ok());
        Ok(whole.unwrap_or_else(|| json!(document.table())))
    }

    /// Gives an error the place where a point, or the sweep, names a file.
    fn locate(&self, point: &GridPoint, key: &str) -> impl Fn(Error) -> Error {
        let value = point.iter().find(|(k, _)| k == key);
        self.document.locate(&value.map_or(key.to_string(), |(key, value)| self.written.section(key, value)))
    }

    fn model(&mut self, point: &GridPoint) -> Result<Model> {
        Model::from_document(&self.model_document(point)?)
    }

    /// The document that a point's model is.
    pub fn model_document(&mut self, point: &GridPoint) -> Result<Document> {
        let mut model = self.models.clone();
        for (key, value) in point {
            if let Some(name) = key.strip_prefix("model.") {
                let base = self.document.base(&self.written.section(key, value)).to_path_buf();
                model.set_value(name, value.clone(), self.place(key, value), &base)?;
            }
        }
        Ok(model)
    }

    /// What names a point's test images, and the training images beside them.
    fn names(&self, point: &GridPoint) -> [Named; 2] {
        if let Some((key, value)) = point.iter().find(|(key, _)| key == "data") {
            let named = Named::new(&self.written.section(key, value), value.as_str().unwrap_or_default());
            return [named.clone(), named];
        }
        names(&self.common.data, self.common.test.as_deref())
    }

    fn encoding(&self, point: &GridPoint) -> Result<Option<Encoding>> {
        let Some((key, value)) = point.iter().find(|(key, _)| key == "encoding") else {
            return Ok(self.common.encoding);
        };
        let refuse = |_| {
            let message = format!("{value}, expected poisson, direct or frames");
            self.document.error(&self.written.section(key, value), message)
        };
        value.clone().try_into().map(Some).map_err(refuse)
    }

    /// The network of a point, shared with the point before where it is the same.
    fn subject(&mut self, point: &GridPoint) -> Result<Arc<Subject>> {
        let (model, names) = (self.model(point)?, self.names(point));
        let data = self.sets.judging(self.document, &names, self.common.images)?;
        check_fit(&data, &model).map_err(self.document.locate(&names[0].key))?;
        let encoding = Encoding::resolve(self.encoding(point)?, data.frame_steps(), model.steps);
        let encoding = encoding.map_err(self.document.locate(&self.section_of(point, "encoding")))?;
        let path = self.trained.clone().unwrap_or_else(|| self.checkpoint(point));
        let same = |last: &Arc<Subject>| {
            // Files of the same tensors may differ in what their metadata says of a companion array.
            (&last.model, &last.path, last.encoding) == (&model, &path, encoding)
                && Arc::ptr_eq(&last.data, &data)
                && last.names == names
        };
        self.alive.retain(|subject| subject.strong_count() > 0);
        if let Some(last) = self.alive.iter().filter_map(Weak::upgrade).find(same) {
            return Ok(last);
        }
        if !self.checkpoints.contains_key(&path) {
            let checkpoint = Checkpoint::read(&path).map_err(self.locate(point, "checkpoint"))?;
            if self.trained.is_some() {
                // A search may train many networks.
                self.checkpoints.clear();
            }
            self.checkpoints.insert(path.clone(), checkpoint);
        }
        let checkpoint = &self.checkpoints[&path];
        let unknown = match self.common.images.held_out {
            true => {
                let training = self.sets.training(self.document, &names[1], &names[0])?;
                held_out::check(&path, checkpoint, &training, self.common.images.after)
                    .map_err(self.document.locate(HELD_OUT_FROM))?
            }
            false => None,
        };
        let hash = checkpoint.hash().to_string();
        let loaded = Network::load(&model, checkpoint).map_err(self.locate(point, "checkpoint"))?;
        let (notices, Loaded { network, .. }) = (loaded.notices_with(encoding), loaded);
        for notice in notices.into_iter().chain(unknown) {
            if !self.remarks.contains(&notice) {
                self.remarks.push(notice);
            }
        }
        let subject = Arc::new(Subject {
            path,
            network_hash: network.hash(),
            model,
            network,
            checkpoint: hash,
            encoding,
            data,
            names,
        });
        self.last.truncate(LAST - 1);
        self.last.insert(0, subject.clone());
        self.alive.push(Arc::downgrade(&subject));
        Ok(subject)
    }
}

/// Keys of the profile that say no more than what it is.
const LABELS: [&str; 3] = ["name", "source", "cost.adc_model"];
/// Keys of a point that name files: two may hold the same.
const FILES: [&str; 3] = ["checkpoint", "profile", "data"];
/// What begins keys of the profile that change no number of a sweep's tables.
const NOT_IN_TABLES: [&str; 1] = ["cost.energy_pj.write_pulse"];

/// Whether a key has several values.
fn is_axis(key: &str, points: &[Setting]) -> bool {
    let values = || points.iter().map(|point| point.shown_at(key));
    values().any(|value| Some(value) != values().next())
}

/// Whether points that a key alone tells apart differ anywhere in what they are.
fn tells_apart(key: &str, points: &[Setting]) -> bool {
    let mut groups: HashMap<Vec<&str>, (Key, Option<u64>)> = HashMap::new();
    points.iter().any(|point| {
        let others = point.shown.iter().filter(|(other, _)| other != key).map(|(_, value)| value.as_str());
        let own = (point.key, point.areas.total_mm2().map(f64::to_bits));
        *groups.entry(others.collect()).or_insert(own) != own
    })
}

/// Whether a key of a point is the study's own.
pub(super) fn is_own(key: &str) -> bool {
    POINT_KEYS.contains(&key) || key.starts_with(ADAPT) || key.starts_with(TRAIN)
}
