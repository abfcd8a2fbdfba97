//! `--set` overrides, sorted by the document that each belongs to.

use super::words::most_like;
use crate::error::{Error, Result};

/// The keys that a hardware profile begins with.
pub(crate) const PROFILE_KEYS: [&str; 11] =
    ["name", "source", "rram", "tile", "adc", "wires", "sram", "neuron", "system", "cost", "layer"];

/// `--set` overrides, sorted by the document they belong to.
///
/// # Examples
/// ```
/// use crosspike::{Overrides, TRAINING_KEYS};
///
/// let set = ["rram.weight_bits=2", "model.steps=4", "train.epochs=3"].map(String::from);
/// let sorted = Overrides::sort(&set, &TRAINING_KEYS)?;
/// assert_eq!(sorted.profile, ["rram.weight_bits=2"]);
/// assert_eq!(sorted.model, ["steps=4"]);
/// assert_eq!(sorted.own, ["train.epochs=3"]);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Keys of the profile.
    pub profile: Vec<String>,
    /// Keys of the model, without their `model.` prefix.
    pub model: Vec<String>,
    /// Keys of the command's own file.
    pub own: Vec<String>,
}

impl Overrides {
    /// Assignments to keys of the model alone, without their `model.`.
    pub fn of_model(assignments: &[String]) -> Result<Vec<String>> {
        let own = |assignment: &String| match assignment.strip_prefix("model.") {
            Some(own) => Ok(own.to_owned()),
            None => Err(Error::Usage(format!("--set {assignment}: expected a key of the model, model.KEY=VALUE"))),
        };
        assignments.iter().map(own).collect()
    }

    /// Sorts assignments `key=value`. `own` are the first parts of keys that belong to the command's own file;
    /// `model.x` is always the model's.
    ///
    /// # Errors
    /// Where one is no assignment, or its key is none of the file's, the profile's or the model's.
    pub fn sort(assignments: &[String], own: &[&str]) -> Result<Self> {
        let mut sorted = Overrides::default();
        for assignment in assignments {
            let (key, text) = split_assignment(assignment)?;
            let section = key.split('.').next().unwrap_or_default();
            match key.strip_prefix("model.") {
                Some(key) => sorted.model.push(format!("{key}={text}")),
                None if own.contains(&section) => sorted.own.push(assignment.clone()),
                None if PROFILE_KEYS.contains(&section) => sorted.profile.push(assignment.clone()),
                None => return Err(unknown_key(assignment, section, own)),
            }
        }
        Ok(sorted)
    }
}

/// The error about an assignment whose key is nobody's.
fn unknown_key(assignment: &str, section: &str, own: &[&str]) -> Error {
    let known = || own.iter().copied().filter(|key| *key != "model").chain(PROFILE_KEYS);
    let meant = most_like(section, known()).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    let file = if own.is_empty() { String::new() } else { format!("of the file ({}), ", own.join(", ")) };
    let profile = PROFILE_KEYS.join(", ");
    Error::Usage(format!(
        "--set {assignment}: `{section}` is none of the keys that it may set {file}of the profile ({profile}) or of the \
         model (model.KEY){meant}"
    ))
}

/// Splits `key=value`.
pub(super) fn split_assignment(assignment: &str) -> Result<(&str, &str)> {
    assignment
        .split_once('=')
        .map(|(key, text)| (key.trim(), text.trim()))
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Error::Usage(format!("--set {assignment}: expected KEY=VALUE, such as rram.variation.scale=2")))
}
