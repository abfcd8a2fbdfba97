//! State dicts of other tools: `--as` and `--map`, of `crosspike import` and of the commands that judge chips.

use std::path::{Path, PathBuf};

use super::imported::{ImportedFiles, in_file, verified};
use super::said::Said;
use super::terminal::note;
use crate::checkpoint::Checkpoint;
use crate::data::Recorded;
use crate::error::{Error, Result};
use crate::network::layer::LayerKind;
use crate::network::name_table::{NameTable, read_table};
use crate::network::names::norm_name;
use crate::network::placing::{Placed, place};
use crate::network::weights::Loaded;
use crate::network::{Layer, Model, Network, NormKind, shipped};
use crate::nir::written::Names;

/// The options of state dicts whose names are not crosspike's.
#[derive(clap::Args)]
#[command(next_help_heading = "State dicts of other tools")]
#[group(id = "StateDictArgs")]
pub struct Args {
    /// The model that a state dict of another tool is of: one that comes with crosspike (vgg9, resnet20, …) or a model
    /// file. Of `import`, OUTPUT is a folder then, for the model and the checkpoint with its names.
    #[arg(long = "as", value_name = "MODEL")]
    pub model: Option<String>,
    /// A table of names in TOML, a line for a tensor or a module of the file: "layers.0.conv.weight" =
    /// "conv1.weight", "layers.0.conv" = "conv1", "aux" = "" (left out), "layers.0.sn.w" = { to =
    /// "conv1.leak", rule = "plif" }.
    #[arg(long, value_name = "FILE.toml", requires = "model")]
    map: Option<PathBuf>,
}

/// A network whose state dict found its places in a model.
pub struct InModel {
    /// The model as a file.
    pub text: String,
    /// The model.
    pub model: Model,
    /// Its weights.
    pub loaded: Loaded,
    names: Vec<Names>,
}

impl Args {
    /// The network of a model, with these of its keys set, that a state dict is.
    pub fn place(&self, input: &Path, name: &str, set: &[String], checkpoint: Checkpoint) -> Result<InModel> {
        let mut document = shipped::document(name)?;
        set.iter().try_for_each(|own| document.set_model(own))?;
        let model = Model::from_document(&document)?;
        let table = self.map.as_deref().map(read_table).transpose()?.unwrap_or_default();
        let placed = self.placed(input, &model, &checkpoint, &table)?;
        let mut loaded = Network::load(&model, &placed.checkpoint).map_err(|error| match error {
            Error::Mismatch(message) => Error::file(input, message),
            other => other,
        })?;
        let names = names(&model, &placed);
        loaded.notices.splice(0..0, checkpoint.notices.into_iter().chain(placed.notices));
        Ok(InModel { text: document.to_toml(), model, loaded, names })
    }

    /// Places the tensors in the model and writes the folder.
    pub fn run(
        &self,
        (input, name): (&Path, &str),
        set: &[String],
        checkpoint: Checkpoint,
        (output, force): (&Path, bool),
        verify: Option<&Path>,
    ) -> Result<Said> {
        let folder = ImportedFiles::check(output, force)?;
        let InModel { text, model, loaded, names } = self.place(input, name, set, checkpoint)?;
        loaded.notices.iter().for_each(|notice| note(notice));
        let recorded = verify.map(Recorded::open).transpose()?;
        if let Some(steps) = recorded.as_ref().map(|recorded| recorded.sizes.1).filter(|steps| *steps != model.steps) {
            note(&format!(
                "the recording has {steps} steps, and is compared over them; the model is written with its own {} \
                 (--set model.steps={steps})",
                model.steps
            ));
        }
        let advice = "--set model.KEY=VALUE sets what a state dict does not say: norms, leaks, thresholds, resets; \
                      --map says what is what";
        let same = recorded.map(|recorded| {
            verified(&model, &loaded.network, recorded, &names).map_err(|e| in_file(verify, advice, e))
        });
        let written = loaded.network.to_checkpoint(&model, serde_json::Value::Null);
        folder.write(&text, &written, &names, same.transpose()?.as_ref())
    }

    fn placed(&self, input: &Path, model: &Model, checkpoint: &Checkpoint, table: &NameTable) -> Result<Placed> {
        place(model, checkpoint, table).map_err(|error| match (error, &self.map) {
            (Error::Mismatch(message), Some(map)) if message.starts_with("the table") => Error::file(map, message),
            (Error::Mismatch(message), _) => Error::file(input, message),
            (error, _) => error,
        })
    }
}

/// What the layers were in the file: matrix and norm, and neurons; those without a module of their own have the layer's
/// name.
fn names(model: &Model, placed: &Placed) -> Vec<Names> {
    let of = |layer: &Layer| {
        let matrix = placed.module(&layer.name, &["weight"]).unwrap_or("–");
        let norm =
            if layer.norm == NormKind::None { None } else { placed.module(&norm_name(layer), &["weight", "0.weight"]) };
        let matrix = norm.map_or(matrix.to_owned(), |norm| format!("{matrix}, {norm}"));
        let has_neurons = layer.leads || layer.kind == LayerKind::Readout;
        let parts = ["leak", "threshold", "beta", "w", "synaptic_leak"];
        let neurons = placed.module(&layer.name, &parts).unwrap_or(&layer.name).to_owned();
        (layer.name.clone(), matrix, has_neurons.then_some(neurons))
    };
    let mut names: Vec<Names> = model.layers().iter().map(of).collect();
    let all: Vec<Option<String>> = names.iter().map(|(.., neurons)| neurons.clone()).collect();
    for (layer, _, neurons) in &mut names {
        let is_shared = all.iter().filter(|other| *other == neurons).count() > 1;
        neurons.iter_mut().filter(|_| is_shared).for_each(|neurons| neurons.clone_from(layer));
    }
    names
}
