//! `crosspike check`.

use std::path::{Path, PathBuf};

use super::say;
use super::terminal::note;
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
every other is a profile. Exit code 0 where all are fine, else that of the first error, after all errors.

Example:
  crosspike check hw_profiles/*.toml models/*.toml runs/baseline/checkpoint.safetensors")]
pub struct Args {
    /// The files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let mut first: Option<Error> = None;
    for file in &args.files {
        match check(file) {
            Ok(what) => say(&format!("{}: {what}", file.display()))?,
            Err(error) if first.is_none() => first = Some(error),
            Err(error) => note(&format!("error: {error}")),
        }
    }
    first.map_or(Ok(()), Err)
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
