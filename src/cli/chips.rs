//! What commands share that manufacture chips from a checkpoint and judge them on test images.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::import_as::{self, InModel};
use super::import_nir;
use super::options::EncodingArg;
use super::terminal::note;
use crate::checkpoint::Checkpoint;
use crate::chip::Blueprint;
use crate::config::{Document, Overrides};
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::backend::Backend;
use crate::engine::evaluate::check_fit;
use crate::error::{Error, Result};
use crate::network::weights::Loaded;
use crate::network::{Encoding, Model, Network};
use crate::nir::Imported;
use crate::nir::file::is_hdf5;
use crate::numeric::Range;
use crate::output::origin;
use crate::profile::Profile;
use crate::session::Source;
use crate::train::MODEL;

/// What chips are made from: a network, hardware, and the data that their inputs are wide enough for.
#[derive(clap::Args)]
pub struct MadeFrom {
    /// The model file; or a NIR file, which has its weights with it and asks for --dt.
    #[arg(long = "model", value_name = "FILE", required_unless_present = "model", conflicts_with = "model")]
    file: Option<PathBuf>,
    /// The checkpoint: safetensors, or PyTorch .pth, .pt, .pth.tar; with --as a state dict with names of its own.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The weights of a PyTorch checkpoint that has several: the dotted key of their dictionary.
    #[arg(long)]
    key: Option<String>,
    /// Do without a tensor of the checkpoint that the model has no place for; several times for several.
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
    /// The data set, whose test images run: digits, idx:DIR, cifar10:DIR, cifar100:DIR, pictures:PATH, frames:FILE.npz,
    /// images:FILE.npz, or recordings of events: nmnist:PATH, dvs128gesture:PATH, cifar10dvs:PATH, shd:DIR, ssc:DIR,
    /// events:PATH, frames:PATH. Options stand behind a question mark, such as `nmnist:PATH?steps=8`; docs/guide.md
    /// says which.
    #[arg(long)]
    data: String,
    /// The hardware profile; without one, the ideal chip.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// Override a key of the profile (rram.weight_bits=2) or the model (model.steps=8); KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The encoder; default: frames for frame data, poisson otherwise.
    #[arg(long)]
    encoding: Option<EncodingArg>,
    /// The seed of chips and encoding.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The data set that converters' ranges are calibrated on (adc.range = "calibrated"); default: the training half of
    /// --data.
    #[arg(long, value_name = "SPEC")]
    calibration_data: Option<String>,
    #[command(flatten)]
    placed: import_as::Args,
}

/// The chips and the images that judge them.
#[derive(clap::Args)]
pub struct ChipArgs {
    #[command(flatten)]
    pub made: MadeFrom,
    /// Chips to manufacture.
    #[arg(long, help_heading = "Chips and images", value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    chips: u64,
    /// Only this chip of the seed, from 0: for a companion array of its own.
    #[arg(long, help_heading = "Chips and images", value_name = "I", conflicts_with = "chips")]
    #[arg(value_parser = clap::value_parser!(u64).range(..1 << 20))]
    chip: Option<u64>,
    /// The first images of the test set.
    #[arg(long, help_heading = "Chips and images", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Images at once; never changes a result.
    #[arg(long, help_heading = "Chips and images", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=65536))]
    pub batch: u64,
    /// What runs the chips.
    #[arg(long, help_heading = "Chips and images", default_value = "auto")]
    backend: Backend,
}

/// Advice where a checkpoint does not fit: to take the model beside it, or to give the names of another tool their
/// places.
fn elsewhere(model: &Path, checkpoint: &Path, is_foreign: bool) -> Option<String> {
    let beside = checkpoint.with_file_name(MODEL);
    let foreign =
        || format!(". --as {} in place of --model gives tensors of other names their places", model.display());
    match beside.is_file() && beside != model {
        true => Some(format!(". The model that stands beside it may be its own: --model {}", beside.display())),
        false => is_foreign.then(foreign),
    }
}

/// What the chips are made from and judged on, read and checked.
pub struct Setup {
    pub model: Model,
    pub profile: Profile,
    /// The whole test set.
    pub whole: Dataset,
    /// The images of it that are judged.
    pub data: Dataset,
    pub encoding: Encoding,
    pub loaded: Loaded,
}

impl MadeFrom {
    /// Reads every file, so many of the images; `nir` are the options of a NIR file in place of a model, where the
    /// command takes one.
    pub fn read(&self, limit: Option<u64>, nir: Option<&import_nir::Args>) -> Result<Setup> {
        let overrides = Overrides::sort(&self.set, &[])?;
        let nir_file = self.file.as_deref().filter(|file| is_hdf5(file));
        // Data may take long to read: what is wrong with the rest is said before.
        let network = if nir_file.is_none() { Some(self.network(&overrides.model, nir)?) } else { None };
        let profile = match &self.profile {
            Some(path) => Profile::read(path, &overrides.profile)?,
            None => Profile::ideal(&overrides.profile)?,
        };
        let whole = Dataset::open(&self.data, Path::new(""), Split::Test)?;
        let data = whole.clone().limit(limit.unwrap_or(u64::MAX) as usize);
        let (model, loaded) = match (network, nir_file) {
            (Some(network), _) => network,
            (None, file) => self.of_nir(file.unwrap_or(Path::new("")), &overrides.model, nir, data.frame_steps())?,
        };
        let encoding = Encoding::resolve(self.encoding.map(Encoding::from), data.frame_steps(), model.steps)?;
        Ok(Setup { model, profile, whole, data, encoding, loaded })
    }

    /// The model, with these of its keys set, and its weights.
    fn network(&self, set: &[String], nir: Option<&import_nir::Args>) -> Result<(Model, Loaded)> {
        nir.map_or(Ok(()), import_nir::Args::refuse)?;
        let Some(path) = &self.checkpoint else {
            return Err(Error::Usage("--checkpoint FILE is missing: the weights of the model".into()));
        };
        let read = || Checkpoint::read_at(path, self.key.as_deref())?.without(&self.ignore);
        if let Some(name) = &self.placed.model {
            let InModel { model, loaded, .. } = self.placed.place(path, name, set, read()?)?;
            return Ok((model, loaded));
        }
        let file = self.file.as_deref().unwrap_or(Path::new(""));
        let model = Model::read(file, set)?;
        let read = read()?;
        let is_foreign =
            model.layers().iter().all(|layer| !read.tensors.contains_key(&format!("{}.weight", layer.name)));
        let loaded = Network::load(&model, &read).map_err(|error| match error {
            Error::Mismatch(message) => {
                Error::file(path, format!("{message}{}", elsewhere(file, path, is_foreign).unwrap_or_default()))
            }
            other => other,
        })?;
        Ok((model, loaded))
    }

    /// The network of a NIR file, of the steps of the data's frames where the options say nothing else.
    fn of_nir(
        &self,
        file: &Path,
        set: &[String],
        nir: Option<&import_nir::Args>,
        steps: Option<usize>,
    ) -> Result<(Model, Loaded)> {
        let Some(nir) = nir else {
            return Err(Error::file(file, "a NIR file; expected a model: `crosspike import` makes one of it"));
        };
        if self.checkpoint.is_some() || self.key.is_some() || !self.ignore.is_empty() {
            let message = "--checkpoint, --key and --ignore are of checkpoints, and a NIR file has its weights with it";
            return Err(Error::Usage(message.into()));
        }
        let Imported { text, model, checkpoint, notices, .. } = nir.imported(file, steps)?;
        let model = match set {
            [] => model,
            _ => {
                let mut document = Document::parse_text(file, text)?;
                set.iter().try_for_each(|own| document.set_model(own))?;
                Model::from_document(&document)?
            }
        };
        let mut loaded = Network::load(&model, &checkpoint)?;
        loaded.notices.splice(0..0, notices);
        Ok((model, loaded))
    }

    /// The series of chips, whose inputs are wide enough for the images, those that ranges are calibrated on, and
    /// `more`; an error unless images and model fit together.
    pub fn blueprint<'a>(&self, setup: &'a Setup, more: Option<Range>) -> Result<Blueprint<'a>> {
        check_fit(&setup.data, &setup.model)?;
        let Setup { model, profile, whole, encoding, loaded, .. } = setup;
        let (model, loaded) = (Cow::Borrowed(model), Cow::Borrowed(loaded));
        let source = Source { profile, model, loaded, encoding: *encoding, whole };
        let of_option = |error: Error| match error {
            Error::Usage(message) => Error::Usage(message.replacen("calibration data: ", "--calibration-data: ", 1)),
            other => other,
        };
        let open = |spec: &String| whole.training_beside(Some(spec), Path::new("")).map(Arc::new);
        let wanted = self.calibration_data.as_ref();
        let calibration = wanted.map(open).transpose().map_err(|error| match error {
            Error::Mismatch(message) => Error::Usage(format!("--calibration-data: {message}")),
            placed => placed,
        })?;
        source.blueprint(self.seed, calibration, more).map_err(of_option)
    }

    /// Whether nothing says what the chip is.
    pub fn is_ideal(&self) -> bool {
        self.profile.is_none() && self.set.iter().all(|assignment| assignment.starts_with("model."))
    }

    /// Where a command's results come from.
    pub fn origin(&self, command: &str, setup: &Setup, blueprint: &Blueprint) -> Result<Value> {
        let Setup { model, profile, data, encoding, loaded, .. } = setup;
        let mut origin = origin(
            command,
            json!({
                "model": model, "profile": profile, "encoding": encoding, "data": data.spec(),
                "data_fingerprint": data.fingerprint()?, "seed": self.seed,
                "checkpoint_sha256": loaded.hash,
                "companion_form": loaded.network.form,
                "sram_checkpoint_sha256": blueprint.companion_hash(),
                "inputs": blueprint.inputs(),
            }),
        );
        if let Some(calibration) = blueprint.calibration() {
            origin["configuration"]["calibration"] = json!(calibration);
        }
        Ok(origin)
    }
}

impl ChipArgs {
    /// Reads every file; `nir` are the options of a NIR file in place of a model, where the command takes one.
    pub fn read(&self, nir: Option<&import_nir::Args>) -> Result<Setup> {
        self.made.read(self.limit, nir)
    }

    /// Their indices.
    pub fn indices(&self) -> std::ops::Range<u64> {
        self.chip.map_or(0..self.chips, |chip| chip..chip + 1)
    }

    /// What runs them.
    pub fn engine(&self) -> Result<Box<dyn Engine>> {
        self.backend.open(note)
    }

    /// Where a command's results come from.
    pub fn origin(&self, command: &str, setup: &Setup, blueprint: &Blueprint, engine: &dyn Engine) -> Result<Value> {
        let mut origin = self.made.origin(command, setup, blueprint)?;
        for (key, value) in
            [("images", json!(setup.data.len())), ("chips", json!(self.chips)), ("chip", json!(self.chip))]
        {
            origin["configuration"][key] = value;
        }
        origin["backend"] = engine.name().into();
        Ok(origin)
    }
}
