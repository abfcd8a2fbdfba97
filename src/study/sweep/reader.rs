//! What the points of a sweep name: profiles, models, checkpoints and data sets, each read once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::SweepFile;
use super::file::{ADAPT, POINT_KEYS};
use crate::checkpoint::Checkpoint;
use crate::chip::Blueprint;
use crate::config::{Document, Overrides};
use crate::crossbar::cost::chip_area_mm2;
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::calibrate::with_ranges;
use crate::engine::evaluate::Evaluation;
use crate::engine::evaluate::check_fit;
use crate::engine::exit::{ExitRule, rule_or_none};
use crate::error::Result;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::output::origin;
use crate::profile::{Profile, Sram};
use crate::study::space::{GridPoint, cell};
use crate::study::trial::Key;
use crate::train::adapt::{Adaptation, Sample};

/// A network and the images that it is judged on, which some points share.
pub(super) struct Subject {
    pub model: Model,
    pub network: Network,
    pub checkpoint: String,
    pub encoding: Encoding,
    pub images: Arc<Images>,
}

/// A data set.
pub(super) struct Images {
    /// The images that are judged.
    pub data: Dataset,
    whole: Dataset,
    /// The key that names the training images beside them, and the name.
    training: (String, String),
    /// Those that converters' ranges are profiled on, where any are.
    profiled: OnceLock<Arc<Dataset>>,
}

/// One point: what is set, and the hardware and network that come of it.
pub(super) struct Setting {
    pub shown: Vec<(String, String)>,
    pub profile: Profile,
    pub subject: Arc<Subject>,
    /// What every chip's norms are adapted on.
    pub adapt: Option<(Sample, Arc<Dataset>)>,
    pub exit: Option<ExitRule>,
    /// Area of a chip in square millimetre, where the profile says.
    pub area_mm2: Option<f64>,
    pub key: Key,
}

impl Setting {
    /// What its chips are made from, with the ranges that converters ask for.
    pub fn calibrated(&self, seed: u64) -> Result<Blueprint<'_>> {
        let blueprint = blueprint(&self.profile, &self.subject, seed)?;
        match self.subject.images.profiled.get() {
            Some(training) => with_ranges(blueprint, seed, || Ok(&**training)),
            None => Ok(blueprint),
        }
    }

    /// Its chips' evaluation: on the inputs of another one of the same subject, where there is one.
    pub fn evaluation<'a>(
        &'a self,
        engine: &'a dyn Engine,
        seed: u64,
        earlier: Option<Evaluation<'a>>,
    ) -> Result<Evaluation<'a>> {
        let Subject { model, network, encoding, images, .. } = &*self.subject;
        let adapted = |(sample, training): &(Sample, Arc<Dataset>)| {
            Adaptation::draw(network, model, training, *encoding, seed, sample)
                .map(|adaptation| Arc::new(adaptation).preparation())
        };
        let encoder = Encoder::new(*encoding, model.input, seed, 0);
        let evaluation = earlier.unwrap_or_else(|| Evaluation::on(engine, &images.data, encoder, model.steps));
        Ok(evaluation
            .exiting(self.exit.map(|rule| rule.of(network)))
            .preparing(self.adapt.as_ref().map(adapted).transpose()?))
    }
}

fn blueprint<'a>(profile: &Profile, subject: &'a Subject, seed: u64) -> Result<Blueprint<'a>> {
    Blueprint::new(profile, &subject.model, &subject.network, subject.encoding, seed)
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
    /// Test sets, by their name and the key that names them: the same name may start from another folder.
    images: HashMap<[String; 2], Arc<Images>>,
    /// Training images likewise, and by the test set that they stand beside.
    training: HashMap<[String; 3], Arc<Dataset>>,
    last: Option<Arc<Subject>>,
    /// What the user should know of some point.
    pub notices: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a SweepFile, document: &'a Document, overrides: &'a Overrides) -> Result<Self> {
        let mut models = Document::read(&file.model)?;
        overrides.model.iter().try_for_each(|assignment| models.set_model(assignment))?;
        let sampled = file.sample.iter().flat_map(|sample| sample.keys.keys());
        let mut keys: Vec<String> =
            file.grid.keys().chain(file.point.iter().flat_map(|point| point.keys())).chain(sampled).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(Reader {
            file,
            document,
            overrides,
            keys,
            places: BTreeMap::new(),
            profiles: HashMap::new(),
            models,
            checkpoints: HashMap::new(),
            images: HashMap::new(),
            training: HashMap::new(),
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
        let (profile, subject) = (self.profile(point)?, self.subject(point)?);
        let blueprint = blueprint(&profile, &subject, self.file.seed)?;
        for notice in blueprint.notices() {
            if !self.notices.contains(notice) {
                self.notices.push(notice.clone());
            }
        }
        let Subject { model, checkpoint, encoding, images, .. } = &*subject;
        let area_mm2 = chip_area_mm2(blueprint.profile(), model);
        let mut effective = profile.clone();
        if !profile.has_companions() {
            // The keys of an array that is not there determine nothing.
            effective.amend(|_, sram| *sram = Sram::default());
        }
        let mut identity = json!({
            "profile": effective, "model": model, "encoding": encoding, "checkpoint_sha256": checkpoint,
            "data_fingerprint": images.data.fingerprint(), "images": images.data.len(), "seed": self.file.seed,
            "sram_checkpoint_sha256": blueprint.companion_hash(),
        });
        if profile.wants_calibration() {
            identity["calibration_data_fingerprint"] = self.profiled(images)?.fingerprint().into();
        }
        let (adapt, exit) = (self.adapt(point, &subject)?, self.exit(point)?);
        if let Some((sample, training)) = &adapt {
            identity["adapt"] = json!(sample);
            identity["adapt_data_fingerprint"] = training.fingerprint().into();
        }
        if let Some(rule) = exit {
            identity["exit"] = json!(rule);
        }
        let key = Key::of(&origin("trial", identity));
        let value = |key: &String| point.iter().find(|(k, _)| k == key).map_or(String::new(), |(_, value)| cell(value));
        let shown = self.keys.iter().map(|key| (key.clone(), value(key))).collect();
        Ok(Setting { shown, profile, subject: subject.clone(), adapt, exit, area_mm2, key })
    }

    /// The training images beside some.
    fn profiled<'i>(&mut self, images: &'i Images) -> Result<&'i Dataset> {
        if images.profiled.get().is_none() {
            let (key, spec) = &images.training;
            let _ = images.profiled.set(self.training(images, key, spec)?);
        }
        Ok(images.profiled.get().expect("it was set"))
    }

    /// The training images that a key names, beside those that are judged.
    fn training(&mut self, images: &Images, key: &str, spec: &str) -> Result<Arc<Dataset>> {
        let name = [images.whole.fingerprint().to_string(), spec.to_string(), key.to_string()];
        if let Some(training) = self.training.get(&name) {
            return Ok(training.clone());
        }
        let training = images.whole.training_beside(Some(spec), self.document.base(key));
        let training = Arc::new(training.map_err(self.document.locate(key))?);
        self.training.insert(name, training.clone());
        Ok(training)
    }

    /// What a point's chips are adapted on.
    fn adapt(&mut self, point: &GridPoint, subject: &Subject) -> Result<Option<(Sample, Arc<Dataset>)>> {
        let mut table = self.file.adapt.clone();
        let (mut place, mut data) = ("adapt".to_string(), "adapt".to_string());
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
        let (key, spec) = match &sample.data {
            Some(spec) => (data, spec.clone()),
            None => subject.images.training.clone(),
        };
        let training = self.training(&subject.images, &key, &spec)?;
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

    /// The hardware of a point.
    pub fn profile(&mut self, point: &GridPoint) -> Result<Profile> {
        // No file: the ideal chip.
        let path = self.path(point, "profile", self.file.profile.as_deref().unwrap_or(Path::new("")));
        if !self.profiles.contains_key(&path) {
            let mut profile = match path.as_os_str().is_empty() {
                false => Document::read(&path)?,
                true => Document::parse_text(Path::new("ideal profile"), "name = \"ideal\"".into())?,
            };
            self.overrides.profile.iter().try_for_each(|assignment| profile.set(assignment))?;
            self.profiles.insert(path.clone(), profile);
        }
        let mut profile = self.profiles[&path].clone();
        for (key, value) in point.iter().filter(|(key, _)| !is_own(key) && !key.starts_with("model.")) {
            profile.set_value(key, value.clone(), self.place(key, value), self.document.base("grid"))?;
        }
        Profile::from_document(&profile)
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

    fn images(&mut self, point: &GridPoint) -> Result<Arc<Images>> {
        let own = self.own(point, "data");
        let (key, spec) = match (own, &self.file.test) {
            (Some(spec), _) => ("grid", spec),
            (None, Some(test)) => ("test", test.as_str()),
            (None, None) => ("data", self.file.data.as_str()),
        };
        let name = [spec.to_string(), key.to_string()];
        if let Some(images) = self.images.get(&name) {
            return Ok(images.clone());
        }
        let open = || Dataset::open(spec, self.document.base(key), Split::Test).map_err(self.document.locate(key));
        let data = open()?.limit(self.file.limit.unwrap_or(usize::MAX));
        let training = own.map_or(("data".to_string(), self.file.data.clone()), |spec| (key.into(), spec.into()));
        let images = Arc::new(Images { data, whole: open()?, training, profiled: OnceLock::new() });
        self.images.insert(name, images.clone());
        Ok(images)
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
        let (model, images) = (self.model(point)?, self.images(point)?);
        check_fit(&images.data, &model).map_err(self.document.locate("data"))?;
        let encoding = Encoding::resolve(self.encoding(point)?, images.data.frame_steps(), model.steps);
        let encoding = encoding.map_err(self.document.locate("encoding"))?;
        let path = self.path(point, "checkpoint", &self.file.checkpoint);
        if !self.checkpoints.contains_key(&path) {
            self.checkpoints.insert(path.clone(), Checkpoint::read(&path)?);
        }
        let checkpoint = &self.checkpoints[&path];
        let hash = checkpoint.hash().to_string();
        let same = |last: &&Arc<Subject>| {
            (&last.model, &last.checkpoint, last.encoding) == (&model, &hash, encoding)
                && Arc::ptr_eq(&last.images, &images)
        };
        if let Some(last) = self.last.as_ref().filter(same) {
            return Ok(last.clone());
        }
        let network = Network::from_checkpoint(&model, checkpoint).map_err(self.document.locate("checkpoint"))?;
        let subject = Arc::new(Subject { model, network, checkpoint: hash, encoding, images });
        self.last = Some(subject.clone());
        Ok(subject)
    }
}

/// Whether a key of a point is the sweep's own.
fn is_own(key: &str) -> bool {
    POINT_KEYS.contains(&key) || key.starts_with(ADAPT)
}
