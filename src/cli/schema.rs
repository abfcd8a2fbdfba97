//! `crosspike schema`: what editors complete keys from.

use clap::ValueEnum;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

use super::keys::markdown;
use super::said::Said;
use crate::config::Document;
use crate::error::Result;
use crate::network::Model;
use crate::output::canonical;
use crate::profile::Profile;
use crate::study::recipe::RecipeFile;
use crate::study::search::SearchFile;
use crate::study::sensitivity::SensitivityFile;
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
    kind: TomlKind,
    /// A table of all keys, for reading.
    #[arg(long)]
    markdown: bool,
}

/// A kind of TOML file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TomlKind {
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
    /// Searches.
    Search,
    /// Studies of sensitivity.
    Sensitivity,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let (title, schema) = args.kind.schema();
    let text = match args.markdown {
        true => markdown(title, &schema),
        false => canonical(&schema),
    };
    Ok(Said::new(text.trim_end(), schema))
}

impl TomlKind {
    /// What it is called, and its schema.
    fn schema(self) -> (&'static str, Value) {
        match self {
            TomlKind::Profile => ("a profile", of::<Profile>()),
            TomlKind::Model => ("a model", of::<Model>()),
            TomlKind::Train => ("a training file", of::<TrainFile>()),
            TomlKind::Sweep => ("a sweep", of::<SweepFile>()),
            TomlKind::Recipe => ("a recipe", of::<RecipeFile>()),
            TomlKind::Search => ("a search", of::<SearchFile>()),
            TomlKind::Sensitivity => ("a study of sensitivity", of::<SensitivityFile>()),
        }
    }

    /// The kind that most of a document's keys belong to, misspelt ones too, less what it must have and does not.
    pub fn of(document: &Document) -> TomlKind {
        let likeness = |kind: &TomlKind| {
            let (_, schema) = kind.schema();
            let known: Vec<&String> =
                schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key).collect();
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let like = |key: &str, known: &str| match strsim::jaro_winkler(key, known) {
                like if like > 0.8 => like,
                _ => 0.0,
            };
            let best = |known: &str| document.table().keys().map(|key| like(key, known)).fold(0.0, f64::max);
            let of_keys: f64 =
                document.table().keys().map(|key| known.iter().map(|known| like(key, known)).fold(0.0, f64::max)).sum();
            let missing: f64 = required.map(|required| 1.0 - best(required)).sum();
            of_keys - missing
        };
        let kinds = TomlKind::value_variants().iter().copied();
        kinds.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or(TomlKind::Profile)
    }
}

/// A type's schema, its descriptions without examples in Rust, the brackets of links, and links to modules of the
/// crate.
fn of<T: JsonSchema>() -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    describe_plainly(&mut schema);
    schema
}

fn describe_plainly(value: &mut Value) {
    match value {
        Value::String(text) => {
            text.truncate(text.find("\n\n# Examples\n").unwrap_or(text.len()));
            // A line may end anywhere.
            *text = text.replace("[`", "`").replace("`]", "`").replace("; see\n`", "; see `");
            if let Some((what, link)) = text.split_once("; see `").filter(|(_, link)| link.contains("::")) {
                *text = what.to_owned() + &link[link.find('.').unwrap_or(link.len())..];
            }
        }
        Value::Array(values) => values.iter_mut().for_each(describe_plainly),
        Value::Object(values) => values.values_mut().for_each(describe_plainly),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SIGNS;

    #[test]
    fn each_sign_of_a_kind_is_a_key_of_it() {
        for (key, title) in SIGNS {
            let (_, schema) = TomlKind::value_variants()
                .iter()
                .map(|kind| kind.schema())
                .find(|(of, _)| *of == title)
                .expect("each names a kind");
            assert!(!schema["properties"][key].is_null(), "`{key}` is no key of {title}");
        }
    }
}
