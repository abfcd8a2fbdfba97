//! `crosspike check`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::said::Said;
use super::schema::TomlKind;
use super::terminal::tell_error;
use crate::checkpoint::Checkpoint;
use crate::config::{Document, Overrides};
use crate::effect::{self, Beside};
use crate::error::{Error, Result};
use crate::network::looks::{beside_layers, looks};
use crate::network::{Layer, Model};
use crate::plan::check_modelled;
use crate::profile::Profile;
use crate::study::recipe::Recipe;
use crate::study::search::Search;
use crate::study::sensitivity::Sensitivity;
use crate::study::sweep::Sweep;
use crate::train::job::Job;

/// Check files without running anything: profiles, models, training files, sweeps, recipes (with all that they name),
/// checkpoints.
#[derive(clap::Args)]
#[command(after_help = "\
What a TOML file is shows in its keys: it is of the kind that most of them belong to. Profiles beside models are
held to their layers, and what of a model they cannot run is said. Exit code 0 where all are fine, else that of
the first error, after all others.

Example:
  crosspike check hw_profiles/*.toml models/*.toml runs/baseline/checkpoint.safetensors")]
pub struct Args {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let (mut text, mut files, mut first) = (vec![], vec![], None::<Error>);
    let models: Vec<Model> = args.files.iter().filter_map(|file| model(file)).collect();
    for file in &args.files {
        let name = file.display().to_string();
        match check(file, &models) {
            Ok(Checked { what, notices }) => {
                text.push(format!("{name}: {what}"));
                text.extend(notices.iter().map(|notice| format!("  {notice}")));
                files.push(json!({ "file": name, "is": what, "notices": notices }));
            }
            Err(error) => {
                files.push(json!({ "file": name, "error": error.to_string() }));
                match &first {
                    None => first = Some(error),
                    Some(_) => tell_error(&error),
                }
            }
        }
    }
    Ok(Said::new(text.join("\n"), json!(files)).failing(first))
}

/// What a file is, where it is fine, and what the user should know of it.
struct Checked {
    what: String,
    notices: Vec<String>,
}

/// A file's model, where it is one.
fn model(file: &Path) -> Option<Model> {
    let document = Document::read(file).ok().filter(|document| TomlKind::of(document) == TomlKind::Model)?;
    Model::from_document(&document).ok()
}

fn check(file: &Path, models: &[Model]) -> Result<Checked> {
    if file.is_dir() {
        return Err(Error::file(file, "is a folder; expected its files by name, such as hw_profiles/*.toml"));
    }
    if file.extension().is_none_or(|ending| ending != "toml") {
        let checkpoint = Checkpoint::read(file)?;
        let (count, hash) = (checkpoint.tensors.len(), checkpoint.hash());
        let looks = looks(&checkpoint)
            .map_err(|missing| Error::file(file, format!("{count} tensors that no model can run: {missing}")))?;
        let mut notices = checkpoint.notices.clone();
        notices.extend(beside_layers(&checkpoint));
        return Ok(Checked { what: format!("a checkpoint: {looks}; {count} tensors, {hash}"), notices });
    }
    let document = Document::read(file)?;
    let none = Overrides::default();
    let (what, notices) = match TomlKind::of(&document) {
        TomlKind::Recipe => {
            let recipe = Recipe::read(file, &none)?;
            (format!("a recipe, `{}`", recipe.name()), recipe.notices().to_vec())
        }
        TomlKind::Train => ("a training file".into(), Job::read(&document, &none)?.notices()),
        TomlKind::Sweep => {
            let sweep = Sweep::read(file, &none)?;
            (format!("a sweep, `{}`, of {} points", sweep.name(), sweep.points()), sweep.notices().to_vec())
        }
        TomlKind::Search => {
            let search = Search::read(file, &none)?;
            (format!("a search, `{}`", search.name()), search.notices().to_vec())
        }
        TomlKind::Sensitivity => {
            let study = Sensitivity::read(file, &none)?;
            (format!("a study of sensitivity, `{}`", study.name()), study.notices().to_vec())
        }
        TomlKind::Model => {
            let model = Model::from_document(&document)?;
            let mut idle = effect::idle(&Profile::default(), Beside { model: Some(&model), ..Beside::default() });
            // A training from random weights begins with such numbers.
            idle.retain(|_, why| *why != effect::HELD_BY_CHECKPOINT);
            (format!("a model, `{}`, of {} layers", model.name, model.layers().len()), effect::sentences(&idle))
        }
        TomlKind::Profile => {
            let profile = Profile::from_document(&document)?;
            let known: Vec<Layer> = models.iter().flat_map(Model::layers).collect();
            let known: Vec<&str> = known.iter().map(|layer| layer.name.as_str()).collect();
            if let Some(name) = profile.unknown_layer(&known).filter(|_| !models.is_empty()) {
                let message =
                    format!("no such layer in the models checked beside it; expected one of {}", known.join(", "));
                return Err(document.error(&format!("layer.{name}"), message));
            }
            // Not every model is meant for every profile beside it.
            let with = |model: &Model| {
                let error = check_modelled(&profile, &model.graph()).err()?;
                Some(format!("it cannot run the model `{}`: {error}", model.name))
            };
            let refused: Vec<String> = models.iter().filter_map(with).collect();
            let idle = effect::idle(&profile, Beside::default());
            (format!("a profile, `{}`", profile.name), [profile.doubts(), effect::sentences(&idle), refused].concat())
        }
    };
    Ok(Checked { what, notices })
}
