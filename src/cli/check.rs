//! `crosspike check`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::said::Said;
use super::schema::Kind;
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
What a TOML file is shows in its keys: it is of the kind that most of them belong to. Exit code 0 where
all are fine, else that of the first error, after all others.

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
    let none = Overrides::default();
    Ok(match Kind::of(&document) {
        Kind::Recipe => format!("a recipe, `{}`", Recipe::read(file, &none)?.name()),
        Kind::Train => {
            Job::read(&document, &none)?;
            "a training file".into()
        }
        Kind::Sweep => {
            let sweep = Sweep::read(file, &none)?;
            format!("a sweep, `{}`, of {} points", sweep.name(), sweep.points())
        }
        Kind::Model => {
            let model = Model::from_document(&document)?;
            format!("a model, `{}`, of {} layers", model.name, model.layers().len())
        }
        Kind::Profile => format!("a profile, `{}`", Profile::from_document(&document)?.name),
    })
}
