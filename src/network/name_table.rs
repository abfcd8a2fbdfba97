//! A table of names for a state dict from elsewhere: where its tensors go, and what is made of their values on the way.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::checkpoint::{Tensor, Values};
use crate::config::Document;
use crate::error::Result;

/// The place in the model of a tensor, or of all those of a module.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"NAME\" = \"LAYER.weight\" or { to = \"LAYER.leak\", rule = \"plif\" }, NAME in quotes"
)]
pub enum Target {
    /// A name; an empty one leaves the tensor out.
    Name(String),
    /// A name, and what is made of the values.
    Made {
        /// The name.
        to: String,
        /// The rule that makes the new values.
        rule: ValueRule,
    },
}

/// A rule that makes new values of a tensor's on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueRule {
    /// A leak λ = 1 − σ(w), of the parameter w of SpikingJelly's `ParametricLIFNode`.
    Plif,
    /// A leak λ = 1 − 1/τ, of a time constant τ in steps.
    Tau,
}

impl ValueRule {
    fn apply(self, value: f32) -> f32 {
        let value = f64::from(value);
        (match self {
            ValueRule::Plif => 1.0 - 1.0 / (1.0 + libm::exp(-value)),
            ValueRule::Tau => 1.0 - 1.0 / value,
        }) as f32
    }
}

/// A table of names: a tensor of the file, or a module of it, and where it goes.
pub type NameTable = BTreeMap<String, Target>;

/// Reads a table of names.
///
/// # Examples
/// ```
/// use crosspike::read_names;
///
/// # let file = std::env::temp_dir().join(format!("crosspike-names-{}.toml", std::process::id()));
/// std::fs::write(&file, "\"features.0\" = \"conv1\"\n\"head\" = \"fc2\"\n\"teacher\" = \"\"").unwrap();
/// let names = read_names(&file)?; // What place_state_dict takes.
/// assert_eq!(names.keys().collect::<Vec<_>>(), ["features.0", "head", "teacher"]);
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn read_table(file: &Path) -> Result<NameTable> {
    Document::read(file)?.parse()
}

/// The tensor that a rule makes of another.
pub(super) fn made(tensor: &Tensor, rule: Option<ValueRule>) -> Tensor {
    match (&tensor.values, rule) {
        (Values::I64(values), Some(rule)) => {
            let values = values.iter().map(|value| rule.apply(*value as f32)).collect();
            Tensor { shape: tensor.shape.clone(), values: Values::F32(values) }
        }
        (Values::F32(values), Some(rule)) => Tensor {
            shape: tensor.shape.clone(),
            values: Values::F32(values.iter().map(|value| rule.apply(*value)).collect()),
        },
        _ => tensor.clone(),
    }
}
