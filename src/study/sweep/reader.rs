//! What the points of a sweep name: profiles, models, checkpoints and data sets, each read once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SweepFile;
use super::file::{ADAPT, POINT_KEYS};
use crate::checkpoint::Checkpoint;
use crate::config::{Document, Overrides};
use crate::crossbar::cost::chip_area_mm2;
use crate::data::Dataset;
use crate::engine::calibrate;
use crate::engine::evaluate::check_fit;
use crate::engine::exit::{ExitRule, rule_or_none};
use crate::error::{Error, Result};
use crate::network::{Encoding, Model, Network};
use crate::profile::Profile;
use crate::study::case::{Case, check_hardware};
use crate::study::sets::{Named, Sets, names};
use crate::study::space::{GridPoint, cell};
use crate::study::trial::Key;
use crate::train::adapt::Sample;

/// A network and the images that it is judged on, which some points share.
pub(super) struct Subject {
    pub model: Model,
    pub network: Network,
    pub checkpoint: String,
    pub encoding: Encoding,
    pub data: Arc<Dataset>,
    /// What names those images, and the training images beside them.
    names: [Named; 2],
}

/// One point: what is set, and the hardware and network that come of it.
pub(super) struct Setting {
    pub shown: Vec<(String, String)>,
    pub profile: Profile,
    pub subject: Arc<Subject>,
    /// What converters' ranges are profiled on, where any are.
    profiled: Option<Arc<Dataset>>,
    /// What every chip's norms are adapted on.
    adapt: Option<(Sample, Arc<Dataset>)>,
    exit: Option<ExitRule>,
    /// Area of a chip in square millimetre, where the profile says.
    pub area_mm2: Option<f64>,
    pub key: Key,
}

impl Setting {
    /// What determines its trials, with the seed of the sweep.
    pub fn case(&self, seed: u64) -> Case<'_> {
        let Subject { model, network, checkpoint, encoding, data, .. } = &*self.subject;
        Case {
            profile: &self.profile,
            model,
            network: (network, checkpoint),
            encoding: *encoding,
            seed,
            data,
            profiled: self.profiled.as_deref(),
            adapt: self.adapt.as_ref().map(|(sample, training)| (sample, &**training)),
            exit: self.exit,
            attack: None,
        }
    }
}

/// The documents of a sweep, and what was read so far of the files that its points name.
pub(super) struct Reader<'a> {
    file: &'a SweepFile,
    document: &'a Document,
    overrides: &'a Overrides,
    /// Every key that a point sets.
    keys: Vec<String>,
    /// Where keys are written, by section.
    places: BTreeMap<String, String>,
    profiles: HashMap<PathBuf, Document>,
    models: Document,
    checkpoints: HashMap<PathBuf, Checkpoint>,
    sets: Sets,
    last: Option<Arc<Subject>>,
    /// What the user should know of some point.
    pub notices: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a SweepFile, document: &'a Document, overrides: &'a Overrides) -> Result<Self> {
        let mut models = Document::read(&file.model).map_err(document.locate("model"))?;
        overrides.model.iter().try_for_each(|assignment| models.set_model(assignment))?;
        let sampled = file.sample.iter().flat_map(|sample| sample.keys.keys());
        let mut keys: Vec<String> =
            file.grid.keys().chain(file.point.iter().flat_map(|point| point.keys())).chain(sampled).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        let model = overrides.model.iter().map(|assignment| format!("model.{assignment}"));
        for assignment in overrides.own.iter().chain(&overrides.profile).cloned().chain(model) {
            let key = assignment.split('=').next().unwrap_or_default().trim();
            let listed = !file.point.is_empty() && file.point.iter().all(|point| point.contains_key(key));
            let drawn = file.sample.as_ref().is_some_and(|sample| sample.keys.contains_key(key));
            if file.grid.contains_key(key) || listed || drawn {
                let message =
                    format!("the study sets {key} at every point, and this would have no effect; expected one of them");
                return Err(Error::Usage(format!("--set {assignment}: {message}")));
            }
        }
        Ok(Reader {
            file,
            document,
            overrides,
            keys,
            places: BTreeMap::new(),
            profiles: HashMap::new(),
            models,
            checkpoints: HashMap::new(),
            sets: Sets::default(),
            last: None,
            notices: vec![],
        })
    }

    /// A point with all that it names.
    pub fn setting(&mut self, point: &GridPoint) -> Result<Setting> {
        if let Some((key, value)) =
            point.iter().find(|(key, value)| POINT_KEYS.contains(&key.as_str()) && !value.is_str())
        {
            let message = format!("{value}, expected a string");
            return Err(self.document.error(&self.section(key, value), message));
        }
        let ((profile, hardware), subject) = (self.profile(point)?, self.subject(point)?);
        check_hardware(&hardware, &profile, &subject.model)?;
        let profiled = profile.wants_calibration().then(|| self.profiled(&profile, &subject)).transpose()?;
        let (adapt, exit) = (self.adapt(point, &subject)?, self.exit(point)?);
        let value = |key: &String| point.iter().find(|(k, _)| k == key).map_or(String::new(), |(_, value)| cell(value));
        let shown = self.keys.iter().map(|key| (key.clone(), value(key))).collect();
        let key = Key::default();
        let mut setting = Setting { shown, profile, subject, profiled, adapt, exit, area_mm2: None, key };
        let case = setting.case(self.file.seed);
        let blueprint = case.blueprint()?;
        for notice in blueprint.notices() {
            if !self.notices.contains(notice) {
                self.notices.push(notice.clone());
            }
        }
        (setting.area_mm2, setting.key) = (chip_area_mm2(blueprint.profile(), blueprint.model()), case.key(&blueprint));
        Ok(setting)
    }

    /// What the converters' ranges of some hardware are profiled on.
    fn profiled(&mut self, profile: &Profile, subject: &Subject) -> Result<Arc<Dataset>> {
        let [tested, named] = &subject.names;
        let training = self.sets.training(self.document, named, tested)?;
        calibrate::check(profile, &subject.model, &training, training.len())
            .map_err(self.document.locate(&named.key))?;
        Ok(training)
    }

    /// What a point's chips are adapted on.
    fn adapt(&mut self, point: &GridPoint, subject: &Subject) -> Result<Option<(Sample, Arc<Dataset>)>> {
        let mut table = self.file.adapt.clone();
        let (mut place, mut data) = ("adapt".to_string(), "adapt.data".to_string());
        for (key, value) in point {
            let Some(name) = key.strip_prefix(ADAPT) else { continue };
            place = self.section(key, value);
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
        let Some((key, value)) = point.iter().find(|(key, _)| key == "exit") else { return Ok(self.file.exit) };
        rule_or_none(value.as_str().unwrap_or_default()).map_err(self.document.locate(&self.section(key, value)))
    }

    /// What a point gives a key of the sweep's own.
    fn own<'p>(&self, point: &'p GridPoint, key: &str) -> Option<&'p str> {
        point.iter().find(|(k, _)| k == key).and_then(|(_, value)| value.as_str())
    }

    /// Where a value of a point is written, as a key of the sweep's file.
    fn section(&self, key: &str, value: &toml::Value) -> String {
        let sampled = |section: &str| {
            self.file.sample.as_ref().filter(|s| s.keys.contains_key(key)).map(|_| format!("{section}.{key}"))
        };
        if self.file.grid.contains_key(key) {
            return format!("grid.{key}");
        }
        sampled("sample.keys").unwrap_or_else(|| {
            let listed = self.file.point.iter().position(|point| point.get(key) == Some(value)).unwrap_or(0);
            format!("point[{listed}].{key}")
        })
    }

    /// The place of a point's value in the sweep's file.
    fn place(&mut self, key: &str, value: &toml::Value) -> String {
        let section = self.section(key, value);
        self.places.entry(section).or_insert_with_key(|section| self.document.place(section)).clone()
    }

    /// A file that a point names, or the sweep's own.
    fn path(&self, point: &GridPoint, key: &str, own: &Path) -> PathBuf {
        self.own(point, key).map_or(own.to_path_buf(), |file| self.document.base("grid").join(file))
    }

    /// The hardware of a point, and the document that says so.
    pub fn profile(&mut self, point: &GridPoint) -> Result<(Profile, Document)> {
        // No file: the ideal chip.
        let path = self.path(point, "profile", self.file.profile.as_deref().unwrap_or(Path::new("")));
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
            profile.set_value(key, value.clone(), self.place(key, value), self.document.base("grid"))?;
        }
        Ok((Profile::from_document(&profile)?, profile))
    }

    /// Gives an error the place where a point, or the sweep, names a file.
    fn locate(&self, point: &GridPoint, key: &str) -> impl Fn(Error) -> Error {
        let value = point.iter().find(|(k, _)| k == key);
        self.document.locate(&value.map_or(key.to_string(), |(key, value)| self.section(key, value)))
    }

    fn model(&mut self, point: &GridPoint) -> Result<Model> {
        let mut model = self.models.clone();
        for (key, value) in point {
            if let Some(name) = key.strip_prefix("model.") {
                model.set_value(name, value.clone(), self.place(key, value), self.document.base("grid"))?;
            }
        }
        Model::from_document(&model)
    }

    /// What names a point's test images, and the training images beside them.
    fn names(&self, point: &GridPoint) -> [Named; 2] {
        if let Some((key, value)) = point.iter().find(|(key, _)| key == "data") {
            let named = Named::new(&self.section(key, value), value.as_str().unwrap_or_default());
            return [named.clone(), named];
        }
        names(&self.file.data, self.file.test.as_deref())
    }

    fn encoding(&self, point: &GridPoint) -> Result<Option<Encoding>> {
        let Some((key, value)) = point.iter().find(|(key, _)| key == "encoding") else { return Ok(self.file.encoding) };
        let refuse = |_| {
            let message = format!("{value}, expected poisson, direct or frames");
            self.document.error(&self.section(key, value), message)
        };
        value.clone().try_into().map(Some).map_err(refuse)
    }

    /// The network of a point, shared with the point before where it is the same.
    fn subject(&mut self, point: &GridPoint) -> Result<Arc<Subject>> {
        let (model, names) = (self.model(point)?, self.names(point));
        let data = self.sets.test(self.document, &names[0], self.file.limit)?;
        check_fit(&data, &model).map_err(self.document.locate(&names[0].key))?;
        let encoding = Encoding::resolve(self.encoding(point)?, data.frame_steps(), model.steps);
        let encoding = encoding.map_err(self.document.locate("encoding"))?;
        let path = self.path(point, "checkpoint", &self.file.checkpoint);
        if !self.checkpoints.contains_key(&path) {
            let checkpoint = Checkpoint::read(&path).map_err(self.locate(point, "checkpoint"))?;
            self.checkpoints.insert(path.clone(), checkpoint);
        }
        let checkpoint = &self.checkpoints[&path];
        let hash = checkpoint.hash().to_string();
        let same = |last: &&Arc<Subject>| {
            (&last.model, &last.checkpoint, last.encoding) == (&model, &hash, encoding)
                && Arc::ptr_eq(&last.data, &data)
                && last.names == names
        };
        if let Some(last) = self.last.as_ref().filter(same) {
            return Ok(last.clone());
        }
        let network = Network::from_checkpoint(&model, checkpoint).map_err(self.locate(point, "checkpoint"))?;
        let subject = Arc::new(Subject { model, network, checkpoint: hash, encoding, data, names });
        self.last = Some(subject.clone());
        Ok(subject)
    }
}

/// Whether a key of a point is the sweep's own.
fn is_own(key: &str) -> bool {
    POINT_KEYS.contains(&key) || key.starts_with(ADAPT)
}
