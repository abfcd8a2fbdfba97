//! `crosspike check`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::said::Said;
use super::terminal::tell_error;
use crate::checkpoint::Checkpoint;
use crate::config::{Document, Overrides};
use crate::error::{Error, Result};
use crate::network::Model;
use crate::profile::Profile;
use crate::study::recipe::Recipe;
use crate::study::sweep::Sweep;
use crate::train::job::Job;

/// Check files without running anything: profiles, models, training files, sweeps, recipes (with all that they name), checkpoints.
#[derive(clap::Args)]
#[command(after_help = "\
What a TOML file is shows in its keys: `stage` is a recipe's, `train` a training's, `checkpoint` a sweep's, `layers` a model's;
every other is a profile. Exit code 0 where all are fine, else that of the first error, after all others.

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
    for file in &args.files {
        let name = file.display().to_string();
        match check(file) {
            Ok(what) => {
                text.push(format!("{name}: {what}"));
                files.push(json!({ "file": name, "is": what }));
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

/// What a file is, where it is fine.
fn check(file: &Path) -> Result<String> {
    if file.extension().is_none_or(|ending| ending != "toml") {
        let checkpoint = Checkpoint::read(file)?;
        return Ok(format!("a checkpoint of {} tensors, {}", checkpoint.tensors.len(), checkpoint.hash()));
    }
    let document = Document::read(file)?;
    let has = |key: &str| document.table().contains_key(key);
    let none = Overrides::default();
    if has("stage") {
        let recipe = Recipe::read(file, &none)?;
        Ok(format!("a recipe, `{}`", recipe.name()))
    } else if has("train") {
        Job::read(&document, &none)?;
        Ok("a training file".into())
    } else if has("checkpoint") {
        let sweep = Sweep::read(file, &none)?;
        Ok(format!("a sweep, `{}`, of {} points", sweep.name(), sweep.points()))
    } else if has("layers") {
        let model = Model::from_document(&document)?;
        Ok(format!("a model, `{}`, of {} layers", model.name, model.layers().len()))
    } else {
        let profile = Profile::from_document(&document)?;
        Ok(format!("a profile, `{}`", profile.name))
    }
}
