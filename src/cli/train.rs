//! `crosspike train`.

use std::path::PathBuf;

use serde_json::json;

use super::{say, terminal::Terminal};
use crate::chip::{Blueprint, Chip};
use crate::config::{Document, Overrides};
use crate::crossbar::image::{IMAGE, Image};
use crate::data::{Dataset, Split};
use crate::device::Draw;
use crate::engine::cpu::CpuEngine;
use crate::engine::evaluate::{Evaluation, check_fit};
use crate::error::Result;
use crate::monitor::Monitor;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::output::{OutputFolder, origin};
use crate::profile::{Profile, VariationKind};
use crate::train::companion;
use crate::train::config::{Recipe, Stage, TrainFile};
use crate::train::prune::Sparsity;
use crate::train::{FILES, Trainer, finish};

/// Train a network as a TOML file says; resumes an unfinished run of the same configuration.
#[derive(clap::Args)]
#[command(after_help = "\
Writes OUT/checkpoint.safetensors (last epoch), OUT/best.safetensors (best validation accuracy, where
train.validation > 0), OUT/log.csv and OUT/timing.csv; stage `sram` also OUT/sram.safetensors, what the companion
arrays hold, to the bit. Ctrl-C stores the state; so does every minute.

Stages, each from the checkpoint of another:
  crosspike train recipe.toml --out runs/baseline
  crosspike train recipe.toml --out runs/vat --set train.variation=true --set rram.variation.scale=1.5
  crosspike train recipe.toml --out runs/sram --set train.stage=sram --set init=runs/vat/checkpoint.safetensors \
      --set sram.bits=4 --set train.variation=true
  crosspike train recipe.toml --out runs/pruned --set train.stage=sram --set init=runs/vat/checkpoint.safetensors \
      --set sram.bits=4 --set train.variation=true --set prune.threshold=0.05

In stage `sram` the RRAM's weights are frozen; its variation is drawn afresh every pass (train.variation=true), or is
that of one chip (train.chip=3), or absent. train.shifts=[-1,0,1] trains one array for several shifts, in turn.")]
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
    let (start, companion_hash) = match file.train.stage {
        Stage::Sram => start_beside(&file, &document, &profile, &model, start)?,
        Stage::Rram if start.is_hybrid() => {
            let message =
                "is a hybrid: its companion array trains in train.stage = \"sram\"; expected a network without one";
            return Err(document.error("init", message));
        }
        Stage::Rram => (start, None),
    };
    let mut configuration = json!({
        "model": model, "profile": profile, "train": file.train, "encoding": encoding, "data": data.spec(),
        "data_fingerprint": data.fingerprint(), "init_sha256": init_hash,
    });
    let also = [("prune", json!(file.prune)), ("companion_sha256", json!(companion_hash))];
    for (key, value) in also.into_iter().filter(|(_, value)| !value.is_null()) {
        configuration[key] = value;
    }
    let origin = origin("train", configuration);
    let terminal = Terminal::default();
    if profile.sram.bits > 0 && file.train.stage == Stage::Rram {
        terminal.line("stage `rram` trains the RRAM arrays alone; the companion SRAM joins at evaluation");
    }
    let trainer = Trainer {
        model: &model,
        profile: &profile,
        data: &data,
        recipe: &file.train,
        prune: file.prune,
        encoding,
        origin: origin.clone(),
    };
    trainer.check().map_err(document.locate("train"))?;
    let folder = OutputFolder::claim(&args.out, &origin, args.force, &FILES)?;
    let network = trainer.run(start, Some(&folder), &terminal)?;
    if file.train.stage == Stage::Sram {
        match Image::of(&profile, &model, &network) {
            Ok(image) => {
                image.write(&folder.file(IMAGE), &origin)?;
                say_sparsity(&file, &model, &network, &image)?;
            }
            Err(error) => terminal.line(&format!("{IMAGE} is not written: {error}")),
        }
    }
    finish(&folder)?;
    if let Some(test) = &test {
        let accuracy = nominal_accuracy(test, &model, &profile, &network, encoding, &file.train)?;
        say(&format!("test accuracy {accuracy:.2} % on the nominal chip, {} images", test.len()))?;
    }
    say(&format!("wrote {}", folder.file("checkpoint.safetensors").display()))
}

/// The network with the companion arrays that stage `sram` starts from.
fn start_beside(
    file: &TrainFile,
    document: &Document,
    profile: &Profile,
    model: &Model,
    start: Network,
) -> Result<(Network, Option<String>)> {
    let recipe = &file.train;
    if profile.sram.bits == 0 {
        let message = "\"sram\" trains a companion array, and the profile has none; expected sram.bits above 0";
        return Err(document.error("train.stage", message));
    }
    if recipe.chip.is_some() && profile.rram.variation.effective_sigma() == 0.0 {
        return Err(
            document.error("train.chip", "is one of many, but the profile has no variation that tells chips apart")
        );
    }
    let draw = recipe.chip.map(|chip| Draw::chip(recipe.seed, chip));
    companion::attach(profile, model, start, recipe.seed, draw)
}

/// What the companion arrays hold in the end.
fn say_sparsity(file: &TrainFile, model: &Model, network: &Network, image: &Image) -> Result<()> {
    let group = file.prune.unwrap_or_default().group;
    let layers = model.layers();
    let arrays = layers.iter().zip(&network.layers).filter_map(|(plan, layer)| Some((plan, layer.sram.as_ref()?)));
    let all = arrays.map(|(plan, array)| Sparsity::of(plan, array, group)).reduce(|a, b| a + b).unwrap_or_default();
    if file.prune.is_some() {
        say(&format!(
            "pruned {:.1} % of the companion arrays' elements and {} of {} groups",
            all.percent(),
            all.groups - all.kept_groups,
            all.groups
        ))?;
    }
    say(&format!("companion arrays: {} bytes, {} unpruned; {IMAGE} holds them", image.bytes(), image.dense_bytes))
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

/// Accuracy in percent without variation, of the arrays that were trained: what the weights can do.
fn nominal_accuracy(
    test: &Dataset,
    model: &Model,
    profile: &Profile,
    network: &Network,
    encoding: Encoding,
    recipe: &Recipe,
) -> Result<f64> {
    let (mut profile, seed) = (profile.clone(), recipe.seed);
    profile.rram.variation.kind = VariationKind::None;
    if recipe.stage == Stage::Rram {
        profile.sram.bits = 0;
    }
    let blueprint = Blueprint::new(&profile, model, network, encoding, seed)?;
    let engine = CpuEngine::default();
    let encoder = Encoder::new(encoding, model.input, seed, 0);
    Ok(Evaluation::on(&engine, test, encoder, model.steps).run(&Chip::program(&blueprint, 0)?)?.accuracy)
}
