//! `crosspike schema`: what editors complete keys from.

use clap::ValueEnum;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::keys::markdown;
use super::said::Said;
use crate::error::Result;
use crate::network::Model;
use crate::output::canonical;
use crate::profile::Profile;
use crate::study::recipe::RecipeFile;
use crate::study::sweep::SweepFile;
use crate::train::config::TrainFile;

/// Print the JSON Schema of a kind of TOML file; `schemas/` has them, and `.taplo.toml` says which is for which folder.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  crosspike schema profile > schemas/profile.json
  crosspike schema profile --markdown > docs/keys/profile.md")]
pub struct Args {
    /// The kind of file.
    kind: Kind,
    /// A table of all keys, for reading.
    #[arg(long)]
    markdown: bool,
}

/// A kind of TOML file.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Hardware: hw_profiles/*.toml.
    Profile,
    /// Networks: models/*.toml.
    Model,
    /// Training files.
    Train,
    /// Sweeps.
    Sweep,
    /// Pipelines of stages.
    Recipe,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let (title, schema) = match args.kind {
        Kind::Profile => ("a profile", of::<Profile>()),
        Kind::Model => ("a model", of::<Model>()),
        Kind::Train => ("a training file", of::<TrainFile>()),
        Kind::Sweep => ("a sweep", of::<SweepFile>()),
        Kind::Recipe => ("a recipe", of::<RecipeFile>()),
    };
    let text = match args.markdown {
        true => markdown(title, &schema),
        false => canonical(&schema),
    };
    Ok(Said::new(text.trim_end(), schema))
}

/// A type's schema, without the brackets of links in its descriptions.
fn of<T: JsonSchema>() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    without_links(&mut schema);
    schema
}

fn without_links(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace("[`", "`").replace("`]", "`"),
        Value::Array(values) => values.iter_mut().for_each(without_links),
        Value::Object(values) => values.values_mut().for_each(without_links),
        _ => {}
    }
}
