//! The axes of a study that goes through keys by itself: each key, of one layer or of all, with the values that it may
//! take.

use std::path::Path;

use toml::Value;

use crate::config::{Document, Overrides};
use crate::crossbar::site::{Place, Site};
use crate::error::{Error, Result};
use crate::network::{Encoding, Model};
use crate::plan::{self, ChipPlan};
use crate::profile::Profile;
use crate::study::reader::{Written, is_own};
use crate::study::space::{GridPoint, cell, levels};

/// The values of a range that does not say how many.
const LEVELS: u64 = 17;
/// The letters of a key that stand for each layer on RRAM.
const EACH_LAYER: &str = "layer.*.";
/// The key of a layer whose values may be all its tiles, or all its columns.
const EXACT: &str = ".rram.exact";

/// One key.
#[derive(Debug)]
pub struct Axis {
    /// The key, of one layer where it was written for each.
    pub key: String,
    /// The key as it is written in the file, the same for all layers that it stands for.
    pub written: String,
    /// Its values, numbers in their order.
    pub values: Vec<Value>,
    /// Whether neighbours in that order are alike.
    pub is_ordered: bool,
}

/// All keys, and where a search's other keys are written.
#[derive(Debug)]
pub struct Axes {
    /// The section of the file that holds them.
    section: &'static str,
    /// Each key.
    pub axes: Vec<Axis>,
    set: Vec<String>,
}

/// The keys of a study, as its file has them.
pub struct Asked<'a> {
    /// The section that holds them.
    pub section: &'static str,
    /// Keys, and values as they are written.
    pub keys: &'a toml::Table,
    /// The keys that are set beside them.
    pub set: &'a toml::Table,
    /// The profile file; none: the ideal chip.
    pub profile: Option<&'a Path>,
    /// The model file.
    pub model: &'a Path,
    /// Whether what is set may be one of the keys, which then take its place.
    pub over_set: bool,
}

/// A candidate: the number of a value for each key.
pub type Genes = Vec<usize>;

#[cfg(test)]
impl Axis {
    pub fn of(key: &str, values: Vec<Value>) -> Self {
        let is_ordered = values.iter().all(|value| value.is_integer() || value.is_float());
        Axis { key: key.into(), written: key.into(), values, is_ordered }
    }
}

impl Axes {
    #[cfg(test)]
    pub fn of(axes: Vec<Axis>) -> Self {
        Axes { section: "space", axes, set: vec![] }
    }

    /// Reads the keys of a study.
    pub fn read(asked: &Asked, document: &Document, overrides: &Overrides) -> Result<Self> {
        for (section, table) in [(asked.section, asked.keys), ("set", asked.set)] {
            if table.contains_key("data") {
                let message = "is the same for all, so that they are judged on the same images; expected other keys";
                return Err(document.error(&format!("{section}.data"), message));
            }
        }
        let set_before = |key: &str| !asked.over_set && asked.set.contains_key(key);
        if let Some(key) = asked
            .set
            .keys()
            .filter(|key| set_before(key))
            .find(|key| asked.keys.contains_key(&format!("{EACH_LAYER}{key}")))
        {
            let message = format!("is set for each layer by `{}`; expected it in one of them", asked.section);
            return Err(document.error(&format!("set.{key}"), message));
        }
        let (layers, with_parts) =
            (layers_on_rram(asked, document, overrides)?, parts_of_layers(asked, document, overrides)?);
        let mut axes: Vec<Axis> = vec![];
        for (written, list) in asked.keys {
            let place = format!("{}.{written}", asked.section);
            let parts = list.as_str().filter(|_| written.starts_with("layer.") && written.ends_with(EXACT));
            let values = if parts.is_some() { vec![] } else { levels(document, &place, list, Some(LEVELS))? };
            let keys = match written.strip_prefix(EACH_LAYER) {
                Some(rest) => layers.iter().map(|layer| format!("layer.{layer}.{rest}")).collect(),
                None => vec![written.clone()],
            };
            if keys.is_empty() {
                return Err(document.error(&place, "no layer stands on RRAM; expected one that does, or another key"));
            }
            for key in keys {
                if set_before(&key) {
                    let message = format!("is a key of `{}` too; expected it in one of them", asked.section);
                    return Err(document.error(&format!("set.{key}"), message));
                }
                if axes.iter().any(|axis| axis.key == key) {
                    return Err(document
                        .error(&place, format!("sets {key}, which another key of `{}` sets too", asked.section)));
                }
                let values = match parts {
                    Some(parts) => {
                        let layer = with_parts.iter().find(|layer| key == format!("layer.{}{EXACT}", layer.name));
                        let found =
                            layer.ok_or("it is no layer on RRAM".to_owned()).and_then(|layer| layer.parts(parts));
                        found.map_err(|why| document.error(&place, format!("\"{parts}\" of {key}: {why}")))?
                    }
                    None => values.clone(),
                };
                let is_ordered = values.iter().all(|value| value.is_integer() || value.is_float());
                axes.push(Axis { key, written: written.clone(), values, is_ordered });
            }
        }
        let sets = overrides.profile.iter().cloned().chain(overrides.model.iter().map(|set| format!("model.{set}")));
        for assignment in sets {
            let key = assignment.split('=').next().unwrap_or_default().trim();
            let of_each = asked.keys.contains_key(&format!("{EACH_LAYER}{key}"));
            let is_searched = !asked.over_set && (of_each || axes.iter().any(|axis| axis.key == key));
            if is_searched || asked.set.contains_key(key) {
                return Err(Error::Usage(format!(
                    "--set {assignment}: the study sets {key} itself, so this would change nothing; change the file, \
                     or set another key"
                )));
            }
        }
        Ok(Axes { section: asked.section, axes, set: asked.set.keys().cloned().collect() })
    }

    /// The number of candidates; none where they are more than can be counted.
    pub fn size(&self) -> Option<u64> {
        self.axes.iter().try_fold(1u64, |size, axis| size.checked_mul(axis.values.len() as u64))
    }

    /// All candidates, the last key running fastest; of a space whose size is known.
    pub fn all(&self) -> impl Iterator<Item = Genes> {
        (0..self.size().unwrap_or(0)).map(|number| {
            let mut left = number as usize;
            let mut genes: Genes = vec![0; self.axes.len()];
            for (gene, axis) in genes.iter_mut().zip(&self.axes).rev() {
                *gene = left % axis.values.len();
                left /= axis.values.len();
            }
            genes
        })
    }

    /// The settings of a candidate.
    pub fn point(&self, genes: &[usize]) -> GridPoint {
        self.axes.iter().zip(genes).map(|(axis, gene)| (axis.key.clone(), axis.values[*gene].clone())).collect()
    }

    /// The candidate that has the values which a table shows of each key; none where the space lacks one of them.
    pub fn showing<'t>(&self, shown: impl Fn(&str) -> &'t str) -> Option<Genes> {
        let is_same = |value: &Value, shown: &str| {
            let own = cell(value);
            own == shown || own.parse::<f64>().ok().is_some_and(|own| shown.parse() == Ok(own))
        };
        let gene = |axis: &Axis| axis.values.iter().position(|value| is_same(value, shown(&axis.key)));
        self.axes.iter().map(gene).collect()
    }

    /// The candidates that differ from one by one step of one key.
    pub fn neighbours(&self, genes: &[usize]) -> Vec<Genes> {
        let mut found = vec![];
        for (at, axis) in self.axes.iter().enumerate() {
            let others: Vec<usize> = match axis.is_ordered {
                true => [genes[at].checked_sub(1), Some(genes[at] + 1)].into_iter().flatten().collect(),
                false => (0..axis.values.len()).filter(|gene| *gene != genes[at]).collect(),
            };
            for other in others.into_iter().filter(|gene| *gene < axis.values.len()) {
                let mut neighbour = genes.to_vec();
                neighbour[at] = other;
                found.push(neighbour);
            }
        }
        found
    }
}

impl Written for Axes {
    fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.axes.iter().map(|axis| axis.key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    fn section(&self, key: &str, _: &Value) -> String {
        match self.axes.iter().find(|axis| axis.key == key) {
            Some(axis) => format!("{}.{}", self.section, axis.written),
            None if self.set.iter().any(|set| set == key) => format!("set.{key}"),
            None => format!("reference.{key}"),
        }
    }

    fn compares(&self, key: &str) -> bool {
        self.axes.iter().any(|axis| axis.key == key)
    }
}

/// A layer on RRAM: the size of its matrix, and of the part that a tile holds.
struct OnRram {
    name: String,
    groups: usize,
    matrix: [usize; 2],
    tile: [usize; 2],
}

impl OnRram {
    /// The values of `rram.exact` that are each of its `tiles`, or each of its `columns`; or why there are none.
    fn parts(&self, word: &str) -> std::result::Result<Vec<Value>, String> {
        let [rows, columns] = self.matrix;
        let [of_rows, of_columns] = match word {
            "tiles" if self.groups > 1 => {
                return Err(
                    "groups share tiles on their diagonals, which are no parts of the matrix; expected \"columns\""
                        .into(),
                );
            }
            "tiles" => self.tile,
            "columns" => [rows, 1],
            _ => return Err("expected \"tiles\", \"columns\", or a list of parts".into()),
        };
        let range = |from: usize, step: usize, all: usize| {
            Value::Array([from, (from + step).min(all)].map(|place| Value::Integer(place as i64)).to_vec())
        };
        let part = |row: usize, column: usize| {
            let mut part = toml::Table::new();
            if of_rows < rows {
                part.insert("rows".into(), range(row, of_rows, rows));
            }
            part.insert("columns".into(), range(column, of_columns, columns));
            Value::Table(part)
        };
        let starts = |step: usize, all: usize| (0..all).step_by(step.max(1));
        Ok(starts(of_rows, rows)
            .flat_map(|row| starts(of_columns, columns).map(move |column| part(row, column)))
            .collect())
    }
}

/// The names of the layers that a chip under a study's conditions has on RRAM, where keys stand for each of them.
fn layers_on_rram(asked: &Asked, document: &Document, overrides: &Overrides) -> Result<Vec<String>> {
    if !asked.keys.keys().any(|key| key.starts_with(EACH_LAYER)) {
        return Ok(vec![]);
    }
    let (profile, model) = conditions(asked, document, overrides)?;
    let layers = model.layers();
    Ok(layers
        .iter()
        .filter(|layer| plan::place(&profile, layer) == Place::Rram)
        .map(|layer| layer.name.clone())
        .collect())
}

/// The layers on RRAM with their tiles, where parts of them are asked for.
fn parts_of_layers(asked: &Asked, document: &Document, overrides: &Overrides) -> Result<Vec<OnRram>> {
    let Some((key, _)) = asked.keys.iter().find(|(key, value)| key.ends_with(EXACT) && value.is_str()) else {
        return Ok(vec![]);
    };
    let (profile, model) = conditions(asked, document, overrides)?;
    let plan = ChipPlan::new(&profile, &model, Encoding::Poisson);
    let plan = plan.map_err(document.locate(&format!("{}.{key}", asked.section)))?;
    let layer = |site: &Site| OnRram {
        name: site.name.clone(),
        groups: site.groups,
        matrix: [site.rows, site.columns],
        tile: [site.tile.rows, site.on_tiles().per_tile],
    };
    Ok(plan.sites().filter(|site| site.is_on_rram()).map(layer).collect())
}

/// The hardware and the model under a study's conditions.
fn conditions(asked: &Asked, document: &Document, overrides: &Overrides) -> Result<(Profile, Model)> {
    let mut hardware = match &asked.profile {
        Some(path) => Document::read(path).map_err(document.locate("profile"))?,
        None => Document::parse_text("ideal profile".as_ref(), "name = \"ideal\"".into())?,
    };
    let mut network = Document::read(asked.model).map_err(document.locate("model"))?;
    overrides.profile.iter().try_for_each(|assignment| hardware.set(assignment))?;
    overrides.model.iter().try_for_each(|assignment| network.set_model(assignment))?;
    for (key, value) in asked.set {
        let place = document.place(&format!("set.{key}"));
        match key.strip_prefix("model.") {
            Some(key) => network.set_value(key, value.clone(), place, document.base("set"))?,
            None if !is_own(key) => hardware.set_value(key, value.clone(), place, document.base("set"))?,
            None => {}
        }
    }
    Ok((Profile::from_document(&hardware)?, Model::from_document(&network)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_as_tables_show_them() {
        let axis = |key: &str, values: [Value; 2]| Axis::of(key, values.to_vec());
        let bits = axis("sram.bits", [Value::Integer(2), Value::Integer(3)]);
        let scale = axis("rram.variation.scale", [Value::Integer(1), Value::Float(2.5)]);
        let init = axis("sram.init", [Value::String("rram".into()), Value::String("residual".into())]);
        let axes = Axes::of(vec![bits, scale, init]);
        let showing = |scale: &'static str, init: &'static str| {
            axes.showing(|key| match key {
                "sram.bits" => "3",
                "sram.init" => init,
                _ => scale,
            })
        };
        // A whole number in a file is one with a point in a profile.
        assert_eq!(showing("1.0", "residual"), Some(vec![1, 0, 1]));
        assert_eq!(showing("2.5", "rram"), Some(vec![1, 1, 0]));
        assert_eq!((showing("2.0", "rram"), showing("1.0", "")), (None, None));
    }
}
