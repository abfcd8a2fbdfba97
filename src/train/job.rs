//! A training run from its file: everything that it names is read and checked before anything runs.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::{Hyperparameters, Stage, TrainFile};
use super::prune::Sparsity;
use super::{FILES, MODEL, TEST, Trainer, companion, finish};
use crate::announced;
use crate::atomic;
use crate::chip::{Blueprint, Chip};
use crate::config::{Document, Overrides};
use crate::crossbar::image::{IMAGE, Image};
use crate::data::{Dataset, Split};
use crate::device::Draw;
use crate::effect::{self, Beside};
use crate::engine::calibrate::with_ranges;
use crate::engine::cpu::CpuEngine;
use crate::engine::evaluate::{Evaluation, check_fit};
use crate::error::Result;
use crate::lock::FolderAccess;
use crate::monitor::Monitor;
use crate::network::weights::Loaded;
use crate::network::{Encoder, Encoding, InputCode, Model, Network};
use crate::output::{OutputFolder, canonical, origin};
use crate::plan::ChipPlan;
use crate::profile::Profile;

/// The first parts of keys that belong to a training file itself.
///
/// # Examples
/// ```
/// use crosspike::{Overrides, TRAINING_KEYS};
///
/// let set = ["train.epochs=3", "rram.variation.scale=2"].map(String::from);
/// let sorted = Overrides::sort(&set, &TRAINING_KEYS)?; // What Training::read takes.
/// assert_eq!((sorted.own, sorted.profile), (vec![set[0].clone()], vec![set[1].clone()]));
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const OWN_KEYS: [&str; 8] = ["model", "profile", "data", "test", "init", "encoding", "train", "prune"];

/// A run that is ready to go.
///
/// # Examples
/// ```no_run
/// use crosspike::{Document, Overrides, Silent, Training};
///
/// let document = Document::read("recipes/fashion.toml".as_ref())?;
/// let training = Training::read(&document, &Overrides::default())?;
/// let (_folder, trained) = training.run_into("runs/fashion".as_ref(), false, &Silent)?;
/// println!("{} layers", trained.network.layers.len());
/// # Ok::<(), crosspike::Error>(())
/// ```
pub struct Job {
    file: TrainFile,
    model: Model,
    /// The model as a file, which goes beside the checkpoint; none of a recipe's stage, whose recipe has it.
    model_text: Option<String>,
    profile: Profile,
    data: Dataset,
    test: Option<Dataset>,
    inputs: InputCode,
    start: Network,
    /// What the user should know of the network that it starts from.
    of_init: Vec<String>,
    origin: Value,
}

/// What a run ends with.
///
/// # Examples
/// ```
/// use crosspike::{Document, Overrides, Silent, Training};
///
/// # let out = std::env::temp_dir().join(format!("crosspike-trained-{}", std::process::id()));
/// let text = "model = \"models/digits.toml\"\ndata = \"digits\"\n[train]\nepochs = 1\nlimit = 40";
/// let document = Document::parse_text("train.toml".as_ref(), text.into())?;
/// let training = Training::read(&document, &Overrides::default())?;
/// let (_folder, trained) = training.run_into(&out, false, &Silent)?;
/// assert!(trained.network.is_finite());
/// assert!(trained.image.is_none()); // No companion array was trained.
/// assert_eq!(trained.test.map(|test| test.images), Some(360));
/// # std::fs::remove_dir_all(&out).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub struct Trained {
    /// The last epoch's network.
    pub network: Network,
    /// What its companion arrays hold, in stage `sram`; absent too where a weight lies beyond its bits.
    pub image: Option<Image>,
    /// What pruning left of them.
    pub sparsity: Option<Sparsity>,
    /// The accuracy without variation and of the arrays that were trained, where [`Job::run_into`] found a test set.
    pub test: Option<Tested>,
}

/// The accuracy of a trained network on the nominal chip.
///
/// # Examples
/// ```no_run
/// # use crosspike::{Document, Overrides, Silent, Training};
/// use crosspike::Tested;
///
/// let document = Document::read("recipes/fashion.toml".as_ref())?;
/// let training = Training::read(&document, &Overrides::default())?;
/// let (_folder, trained) = training.run_into("runs/fashion".as_ref(), false, &Silent)?;
/// if let Some(Tested { accuracy, images }) = trained.test {
///     println!("{accuracy:.2} % of {images} images"); // As test.json has it.
/// }
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Tested {
    /// Percent of the test images.
    pub accuracy: f64,
    /// The number of test images.
    pub images: usize,
}

impl Job {
    /// Reads a training file, the model and the profile that it names, and the rest.
    pub fn read(document: &Document, overrides: &Overrides) -> Result<Self> {
        let file = TrainFile::from_document(document)?;
        let of_model = Model::document(&file.model, &overrides.model).map_err(document.locate("model"))?;
        let model = Model::from_document(&of_model).map_err(document.locate("model"))?;
        let profile = match &file.profile {
            Some(path) => Profile::read(path, &overrides.profile).map_err(document.locate("profile"))?,
            None => Profile::ideal(&overrides.profile)?,
        };
        let job = Self::new(document, file, model, profile)?;
        Ok(Job { model_text: Some(of_model.to_toml()), ..job })
    }

    /// Reads the data and the network that a training file names, and checks that everything fits together.
    pub fn new(document: &Document, file: TrainFile, model: Model, profile: Profile) -> Result<Self> {
        if file.train.variation && !profile.varies() {
            return Err(document.error("train.variation", "is true, but the profile has no variation to draw from"));
        }
        let data = Dataset::open(&file.data, document.base("data"), Split::Train).map_err(document.locate("data"))?;
        if file.train.augment && data.shape().height == 1 {
            return Err(document.error("train.augment", "crops and flips maps; expected false for values in a row"));
        }
        check_fit(&data, &model).map_err(document.locate("data"))?;
        let encoding =
            Encoding::resolve(file.encoding, data.frame_steps(), model.steps).map_err(document.locate("encoding"))?;
        let test = open_test(&file, document, &model, encoding)?;
        let of_test = if file.test.is_some() { "test" } else { "data" };
        test.iter().try_for_each(|test| data.check_classes(test)).map_err(document.locate(of_test))?;
        let values = test.iter().fold(data.range(), |values, test| values.with(test.range()));
        let inputs = InputCode::of(encoding, values, profile.tile.input_bits).map_err(document.locate("data"))?;
        let (start, init_hash, of_init) = match &file.init {
            Some(path) => {
                let Loaded { network, hash, notices, .. } =
                    Network::read(&model, path).map_err(document.locate("init"))?;
                (network, Some(hash), notices)
            }
            None => (Network::xavier(&model, file.train.seed), None, vec![]),
        };
        let (start, companion_hash) = match file.train.stage {
            Stage::Sram => start_beside(&file, document, &profile, &model, start)?,
            Stage::Rram if start.is_hybrid() => {
                let message =
                    "is a hybrid: its companion array trains in train.stage = \"sram\"; expected a network without one";
                return Err(document.error("init", message));
            }
            Stage::Rram => (start, None),
        };
        let mut configuration = json!({
            "model": model,
            "profile": profile,
            "train": file.train,
            "encoding": encoding,
            "inputs": inputs,
            "data": data.spec(),
            "data_fingerprint": data.fingerprint()?, "init_sha256": init_hash,
            "start": { "tensors": start.to_checkpoint(&model, Value::Null).hash(), "companion": start.form },
        });
        let also = [("prune", json!(file.prune)), ("companion_sha256", json!(companion_hash))];
        for (key, value) in also.into_iter().filter(|(_, value)| !value.is_null()) {
            configuration[key] = value;
        }
        let job = Job {
            origin: origin("train", configuration),
            file,
            model,
            model_text: None,
            profile,
            data,
            test,
            inputs,
            start,
            of_init,
        };
        job.trainer().check().map_err(document.locate("train"))?;
        Ok(job)
    }

    /// What the user should know before it runs.
    pub fn notices(&self) -> Vec<String> {
        let (train, model) = (&self.file.train, &self.model);
        let beside = Beside { model: Some(model), inputs: Some(self.inputs), hybrid: self.start.is_hybrid() };
        let mut idle = effect::idle(&self.profile, beside);
        // Numbers that a checkpoint's tensors stand for are what these begin with.
        if self.file.init.is_none() {
            idle.retain(|_, why| *why != effect::HELD_BY_CHECKPOINT);
        }
        idle.extend(self.file.idle());
        let mut notices: Vec<String> = effect::sentences(&idle);
        notices.extend(self.file.steep());
        if self.profile.varies() && !train.variation && train.chip.is_none() {
            notices.push("train.variation = false: it is trained without the profile's variation".into());
        }
        notices.extend(self.of_init.iter().cloned());
        notices.extend(self.data.notices());
        // Both halves of a set have much in common.
        let of_test: Vec<String> =
            self.test.iter().flat_map(Dataset::notices).filter(|notice| !notices.contains(notice)).collect();
        notices.extend(of_test);
        notices
    }

    /// What the run's results depend on, for `origin.json`.
    pub fn origin(&self) -> &Value {
        &self.origin
    }

    /// Its section `[train]`.
    pub(super) fn hyperparameters(&self) -> &Hyperparameters {
        &self.file.train
    }

    /// The network that it starts from.
    pub fn start(&self) -> &Network {
        &self.start
    }

    pub(super) fn trainer(&self) -> Trainer<'_> {
        Trainer {
            model: &self.model,
            profile: &self.profile,
            data: &self.data,
            hyperparameters: &self.file.train,
            prune: self.file.prune,
            inputs: self.inputs,
            origin: self.origin.clone(),
        }
    }

    /// Trains into a folder, which `force` empties of another run, and says before what the user should know; then runs
    /// the test images, where there are any. Gives the folder, too.
    ///
    /// # Errors
    /// Those of [`OutputFolder::claim`] and [`Job::run`].
    pub fn run_into(&self, out: &Path, force: bool, monitor: &dyn Monitor) -> Result<(OutputFolder, Trained)> {
        if force {
            FILES.iter().try_for_each(|file| announced::check_removable(&out.join(file)))?;
        }
        let folder = OutputFolder::claim(out, &self.origin, force, &FILES, FolderAccess::Alone)?;
        self.notices().iter().for_each(|notice| monitor.notice(notice));
        let mut trained = self.train(&folder, monitor)?;
        trained.test = self.test(&trained.network)?;
        if let Some(test) = trained.test {
            folder.write(TEST, canonical(&json!(test)).as_bytes())?;
        }
        finish(&folder)?;
        Ok((folder, trained))
    }

    /// Trains, or goes on with what stands unfinished in the folder.
    pub fn run(&self, folder: &OutputFolder, monitor: &dyn Monitor) -> Result<Trained> {
        let trained = self.train(folder, monitor)?;
        finish(folder)?;
        Ok(trained)
    }

    fn train(&self, folder: &OutputFolder, monitor: &dyn Monitor) -> Result<Trained> {
        let stage = self.file.train.stage;
        if self.profile.has_companions() && stage == Stage::Rram {
            monitor.line("stage `rram` trains the RRAM arrays alone; the companion SRAM joins at evaluation");
        }
        if self.profile.any(|_, sram| sram.trim_bits > 0) {
            monitor.line("sram.trim_bits: columns are trimmed on finished chips, and not in training");
        }
        if let Some(text) = &self.model_text {
            atomic::write(&folder.file(MODEL), text.as_bytes())?;
        }
        let network = self.trainer().run(self.start.clone(), Some(folder), monitor)?;
        let mut trained = Trained { network, image: None, sparsity: None, test: None };
        if stage == Stage::Sram {
            let plan = ChipPlan::new(&self.profile, &self.model, self.inputs)?;
            match Image::of(plan.sites(), &trained.network) {
                Ok(image) => {
                    image.write(&folder.file(IMAGE), &self.origin)?;
                    trained.image = Some(image);
                }
                Err(error) => monitor.line(&format!("{IMAGE} is not written: {error}")),
            }
            trained.sparsity =
                self.file.prune.map(|prune| Sparsity::of_network(&self.model, &trained.network, prune.group));
        }
        Ok(trained)
    }

    /// The accuracy of a network of this training on the test images, where there are any.
    fn test(&self, network: &Network) -> Result<Option<Tested>> {
        let Some(test) = &self.test else { return Ok(None) };
        let (mut profile, seed) = (self.profile.without_variation(), self.file.train.seed);
        let alone = self.file.train.stage == Stage::Rram;
        profile.amend(|_, sram| sram.bits = if alone { 0 } else { sram.bits });
        let blueprint = Blueprint::new(&profile, &self.model, network, self.inputs, seed)?;
        let blueprint = with_ranges(blueprint, seed, || Ok(&self.data))?;
        let engine = CpuEngine::default();
        let encoder = Encoder::new(self.inputs, self.model.input, seed, 0);
        let evaluation = Evaluation::on(&engine, test, encoder, self.model.steps);
        let accuracy = evaluation.run(&Chip::program(&blueprint, 0)?)?.accuracy;
        Ok(Some(Tested { accuracy, images: test.len() }))
    }
}

/// The network with the companion arrays that stage `sram` starts from.
fn start_beside(
    file: &TrainFile,
    document: &Document,
    profile: &Profile,
    model: &Model,
    start: Network,
) -> Result<(Network, Option<String>)> {
    let hyperparameters = &file.train;
    if !profile.has_companions() {
        let message = "\"sram\" trains a companion array, and the profile has none; expected sram.bits above 0";
        return Err(document.error("train.stage", message));
    }
    if hyperparameters.chip.is_some() && !profile.varies() {
        return Err(
            document.error("train.chip", "is one of many, but the profile has no variation that tells chips apart")
        );
    }
    let draw = hyperparameters.chip.map(|chip| Draw::chip(hyperparameters.seed, chip));
    companion::attach(profile, model, start, hyperparameters.seed, draw)
}

/// The test images, where there are any; checked before training starts.
fn open_test(file: &TrainFile, document: &Document, model: &Model, encoding: Encoding) -> Result<Option<Dataset>> {
    let (key, spec) = match &file.test {
        Some(test) => ("test", test),
        None if Dataset::has_splits(&file.data, document.base("data")).map_err(document.locate("data"))? => {
            ("data", &file.data)
        }
        None => return Ok(None),
    };
    let test = Dataset::open(spec, document.base(key), Split::Test).map_err(document.locate(key))?;
    check_fit(&test, model).map_err(document.locate(key))?;
    Encoding::resolve(Some(encoding), test.frame_steps(), model.steps).map_err(document.locate(key))?;
    Ok(Some(test))
}
