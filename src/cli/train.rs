//! `crosspike train`.

use std::path::PathBuf;

use serde_json::json;

use super::{say, terminal::Terminal};
use crate::chip::{Blueprint, Chip};
use crate::config::{Document, Overrides};
use crate::data::{Dataset, Split};
use crate::engine::cpu::CpuEngine;
use crate::engine::evaluate::{Evaluation, check_fit};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::output::{OutputFolder, origin};
use crate::profile::{Profile, VariationKind};
use crate::train::config::TrainFile;
use crate::train::{FILES, Trainer, finish};

/// Train a network as a TOML file says; resumes an unfinished run of the same configuration.
#[derive(clap::Args)]
#[command(after_help = "\
Writes OUT/checkpoint.safetensors (last epoch), OUT/best.safetensors (best validation accuracy, where
train.validation > 0), OUT/log.csv and OUT/timing.csv. Ctrl-C stores the state; so does every minute.

Examples:
  crosspike train recipe.toml --out runs/baseline
  crosspike train recipe.toml --out runs/vat --set train.variation=true --set rram.variation.scale=1.5")]
pub struct Args {
    /// The training file.
    config: PathBuf,
    /// Override a key: the file's own (train.epochs=2), the profile's (rram.weight_bits=2) or the model's (model.steps=8).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for results.
    #[arg(long, default_value = "runs/train")]
    out: PathBuf,
    /// Overwrite a finished or different run.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let overrides =
        Overrides::sort(&args.set, &["model", "profile", "data", "test", "init", "encoding", "train", "prune"])?;
    let mut document = Document::read(&args.config)?;
    for assignment in &overrides.own {
        document.set(assignment)?;
    }
    let file = TrainFile::from_document(&document)?;
    let model = Model::read(&file.model, &overrides.model)?;
    let profile = match &file.profile {
        Some(path) => Profile::read(path, &overrides.profile)?,
        None => Profile::ideal(&overrides.profile)?,
    };
    if file.train.variation && profile.rram.variation.effective_sigma() == 0.0 {
        return Err(document.error("train.variation", "is true, but the profile has no variation to draw from"));
    }
    let data = Dataset::open(&file.data, document.base("data"), Split::Train).map_err(document.locate("data"))?;
    if file.train.augment && data.frame_steps().is_some() {
        return Err(document.error("train.augment", "crops and flips are for images; expected false with frame data"));
    }
    check_fit(&data, &model).map_err(document.locate("data"))?;
    let encoding =
        Encoding::resolve(file.encoding, data.frame_steps(), model.steps).map_err(document.locate("encoding"))?;
    let test = open_test(&file, &document, &model, encoding)?;
    let (start, init_hash) = match &file.init {
        Some(path) => Network::read(&model, path).map(|(network, hash)| (network, Some(hash)))?,
        None => (Network::xavier(&model, file.train.seed), None),
    };
    if start.is_hybrid() {
        return Err(Error::Mismatch(
            "train.init is a hybrid checkpoint; training one needs stage `sram`, which is not in this version".into(),
        ));
    }
    let origin = origin(
        "train",
        json!({
            "model": model, "profile": profile, "train": file.train, "encoding": encoding, "data": data.spec(),
            "data_fingerprint": data.fingerprint(), "init_sha256": init_hash,
        }),
    );
    let terminal = Terminal::default();
    if profile.sram.bits > 0 {
        terminal.line("stage `rram` trains the RRAM arrays alone; the companion SRAM joins at evaluation");
    }
    let trainer = Trainer {
        model: &model,
        profile: &profile,
        data: &data,
        recipe: &file.train,
        encoding,
        origin: origin.clone(),
    };
    trainer.check().map_err(document.locate("train"))?;
    let folder = OutputFolder::claim(&args.out, &origin, args.force, &FILES)?;
    let network = trainer.run(start, Some(&folder), &terminal)?;
    finish(&folder)?;
    if let Some(test) = &test {
        let accuracy = nominal_accuracy(test, &model, &profile, &network, encoding, file.train.seed)?;
        say(&format!("test accuracy {accuracy:.2} % on the nominal chip, {} images", test.len()))?;
    }
    say(&format!("wrote {}", folder.file("checkpoint.safetensors").display()))
}

/// The test images, where there are any; checked before training starts.
fn open_test(file: &TrainFile, document: &Document, model: &Model, encoding: Encoding) -> Result<Option<Dataset>> {
    let (key, spec) = match &file.test {
        Some(test) => ("test", test),
        None if Dataset::has_splits(&file.data) => ("data", &file.data),
        None => return Ok(None),
    };
    let test = Dataset::open(spec, document.base(key), Split::Test).map_err(document.locate(key))?;
    check_fit(&test, model).map_err(document.locate(key))?;
    Encoding::resolve(Some(encoding), test.frame_steps(), model.steps).map_err(document.locate(key))?;
    Ok(Some(test))
}

/// Accuracy in percent without variation and without a companion array: what the trained weights can do.
fn nominal_accuracy(
    test: &Dataset,
    model: &Model,
    profile: &Profile,
    network: &Network,
    encoding: Encoding,
    seed: u64,
) -> Result<f64> {
    let mut profile = profile.clone();
    profile.rram.variation.kind = VariationKind::None;
    profile.sram.bits = 0;
    let blueprint = Blueprint::new(&profile, model, network, encoding, seed)?;
    let engine = CpuEngine::default();
    let encoder = Encoder::new(encoding, model.input, seed, 0);
    Ok(Evaluation::on(&engine, test, encoder, model.steps).run(&Chip::program(&blueprint, 0)?)?.accuracy)
}
