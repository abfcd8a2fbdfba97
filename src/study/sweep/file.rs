//! `sweep SWEEP.toml`: the schema, and the points of its grid.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::Document;
use crate::error::Result;
use crate::network::Encoding;

/// Keys of a sweep file that an override may set.
pub const OWN_KEYS: [&str; 10] =
    ["name", "model", "checkpoint", "profile", "data", "test", "encoding", "limit", "chips", "seed"];

/// A sweep file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// A name for reports.
    pub name: String,
    /// The model file.
    pub model: PathBuf,
    /// The checkpoint to program.
    pub checkpoint: PathBuf,
    /// The profile file; absent: the ideal chip.
    pub profile: Option<PathBuf>,
    /// The data set; its test images are evaluated.
    pub data: String,
    /// The data set to evaluate on instead, where one file holds one set only.
    pub test: Option<String>,
    /// The encoder.
    pub encoding: Option<Encoding>,
    /// The first images of the test set; absent: all.
    pub limit: Option<usize>,
    /// Chips a point.
    #[serde(default = "one")]
    pub chips: u64,
    /// The seed of chips and encoding.
    #[serde(default = "one")]
    pub seed: u64,
    /// Values by key: profile keys, and model keys under `model.`.
    #[serde(default)]
    pub grid: Table,
}

fn one() -> u64 {
    1
}

/// Trials of one sweep, at most.
const MOST_TRIALS: u64 = 1 << 24;

impl SweepFile {
    /// Validates a parsed document and gives the points of its grid; paths that are relative start from the document.
    pub fn from_document(document: &Document) -> Result<(Self, Vec<GridPoint>)> {
        let mut file: SweepFile = document.parse()?;
        if file.limit == Some(0) {
            return Err(document.error("limit", "0, expected at least 1 image, or no limit"));
        }
        let points = grid_points(document, "grid", &file.grid)?;
        let most = MOST_TRIALS / points.len() as u64;
        if !(1..=most).contains(&file.chips) {
            let message = format!("{}, expected 1 to {most} chips a point", file.chips);
            return Err(document.error("chips", message));
        }
        file.model = document.base("model").join(&file.model);
        file.checkpoint = document.base("checkpoint").join(&file.checkpoint);
        file.profile = file.profile.map(|p| document.base("profile").join(p));
        Ok((file, points))
    }
}

/// What the grid sets at one point: keys and values.
pub type GridPoint = Vec<(String, Value)>;

/// The product of the values of a grid, the section of that name: keys and values sorted, the last key running fastest.
pub fn grid_points(document: &Document, section: &str, grid: &Table) -> Result<Vec<GridPoint>> {
    let mut points: Vec<GridPoint> = vec![vec![]];
    for (key, values) in grid {
        let refuse = |message: &str| Err(document.error(&format!("{section}.{key}"), message));
        let Some(values) = values.as_array().filter(|v| !v.is_empty()) else {
            return refuse(
                "expected a quoted key with a list of values, such as \"rram.variation.scale\" = [0.0, 1.0]",
            );
        };
        let mut values = values.clone();
        values.sort_by(in_order);
        if values.windows(2).any(|pair| cell(&pair[0]) == cell(&pair[1])) {
            return refuse("holds the same value twice; expected each once");
        }
        if points.len() as u64 * values.len() as u64 > MOST_TRIALS {
            return refuse("makes a grid of too many points");
        }
        let extend = |point: &GridPoint| -> Vec<GridPoint> {
            values.iter().map(|value| [point.clone(), vec![(key.clone(), value.clone())]].concat()).collect()
        };
        points = points.iter().flat_map(extend).collect();
    }
    Ok(points)
}

/// Numbers by size, everything else as text.
fn in_order(a: &Value, b: &Value) -> std::cmp::Ordering {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => cell(a).cmp(&cell(b)),
    }
}

/// A value as it stands in a table: strings bare.
pub fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}
