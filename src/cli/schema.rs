//! `crosspike schema`: what editors complete keys from.

use clap::ValueEnum;
use schemars::{JsonSchema, SchemaGenerator};

use super::say;
use crate::error::Result;
use crate::network::Model;
use crate::output::canonical;
use crate::profile::Profile;
use crate::study::recipe::RecipeFile;
use crate::study::sweep::SweepFile;
use crate::train::config::TrainFile;

/// Print the JSON Schema of a kind of TOML file; `schemas/` has them, and `.taplo.toml` says which is for which folder.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  crosspike schema profile > schemas/profile.json")]
pub struct Args {
    /// The kind of file.
    kind: Kind,
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
pub fn run(args: &Args) -> Result<()> {
    let schema = match args.kind {
        Kind::Profile => of::<Profile>(),
        Kind::Model => of::<Model>(),
        Kind::Train => of::<TrainFile>(),
        Kind::Sweep => of::<SweepFile>(),
        Kind::Recipe => of::<RecipeFile>(),
    };
    say(schema.trim_end())
}

/// A type's schema, without the brackets of links in its descriptions.
fn of<T: JsonSchema>() -> String {
    canonical(SchemaGenerator::default().into_root_schema_for::<T>().as_value()).replace("[`", "`").replace("`]", "`")
}
