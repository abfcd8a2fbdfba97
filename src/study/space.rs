//! The points of a study: which keys are set at each, and to what.
//!
//! - A **grid** is the product of its keys' values: a list, or a range `{ from, to, count, scale }` with `linear` (the
//!   default) or `log` steps.
//! - A **list** of points sets several keys at once, point by point.
//! - A **sample** draws points from lists and ranges at random, or as a Latin hypercube (McKay, Beckman & Conover,
//!   Technometrics 21, 239, 1979): every key takes `count` equal parts of its range once each, in an order of its own.
//!
//! Where a study has several of them, its points are their product. A range between whole numbers has whole numbers;
//! others are rounded to six significant digits, so that a point is the same on every machine and reads as it is
//! written.

use ndarray_rand::rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toml::{Table, Value};

use crate::config::Document;
use crate::data::permutation;
use crate::error::Result;
use crate::rng::{Stream, Substream, stream_key};

/// What is set at one point: keys and values.
pub type GridPoint = Vec<(String, Value)>;

/// Before keys of the training that a search gives its candidates.
pub const TRAIN: &str = "train.";

/// Points of a study, at most.
pub const MOST_POINTS: u64 = 1 << 20;

/// `[sample]`: points drawn from ranges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// How points are drawn.
    #[serde(default)]
    pub method: SampleMethod,
    /// The number of points.
    pub count: u64,
    /// What draws them; the study's own seed where it is absent.
    pub seed: Option<u64>,
    /// A list or a range for each key.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub keys: Table,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SampleMethod {
    /// Each by itself.
    Random,
    /// Every part of a range once.
    #[default]
    LatinHypercube,
}

/// Values between two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct KeyRange {
    from: f64,
    to: f64,
    log: bool,
    whole: bool,
}

/// A range as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeFile {
    from: Value,
    to: Value,
    count: Option<u64>,
    #[serde(default)]
    scale: ScaleFile,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScaleFile {
    #[default]
    Linear,
    Log,
}

impl KeyRange {
    /// The value at a share of the way.
    fn at(&self, share: f64) -> f64 {
        let KeyRange { from, to, log, .. } = *self;
        if log { from * libm::exp(share * libm::log(to / from)) } else { from + share * (to - from) }
    }

    /// A number of the range as a value: a whole one where the ends are.
    fn value(&self, x: f64) -> Value {
        if self.whole { Value::Integer(libm::rint(x) as i64) } else { Value::Float(six_digits(x)) }
    }
}

fn six_digits(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

/// The values of a key of a grid or of a sample: those of a list, or a range and how many values it has.
enum KeyValues {
    List(Vec<Value>),
    Range(KeyRange, Option<u64>),
}

/// Reads what is written for a key at `place`.
fn values(document: &Document, place: &str, written: &Value) -> Result<KeyValues> {
    let refuse = |message: &str| Err(document.error(place, message));
    let range = match written {
        Value::Array(list) if !list.is_empty() => return Ok(KeyValues::List(list.clone())),
        Value::Table(range) if range.contains_key("from") || range.contains_key("to") => range,
        _ => {
            return refuse(
                "expected a quoted key with a list of values, such as \"rram.variation.scale\" = [0.0, 1.0], or with \
                 a range, such as { from = 0.1, to = 10.0, count = 5, scale = \"log\" }",
            );
        }
    };
    let RangeFile { from, to, count, scale } =
        range.clone().try_into().map_err(|error: toml::de::Error| document.error(place, error.message().trim()))?;
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
    let (whole, log) = (from.is_integer() && to.is_integer(), scale == ScaleFile::Log);
    let (Some(from), Some(to)) = (number(&from), number(&to)) else { return refuse("expected numbers at both ends") };
    if !(from.is_finite() && to.is_finite() && from < to) {
        return refuse("expected `from` below `to`");
    }
    if log && from <= 0.0 {
        return refuse("expected ends above 0 on a logarithmic scale");
    }
    Ok(KeyValues::Range(KeyRange { from, to, log, whole }, count))
}

/// The values of a key, sorted: those of a list, or of a range, `unless_said` of them where no count is given.
pub fn levels(document: &Document, place: &str, written: &Value, unless_said: Option<u64>) -> Result<Vec<Value>> {
    let refuse = |message: &str| Err(document.error(place, message));
    let mut levels = match values(document, place, written)? {
        KeyValues::List(list) => list,
        KeyValues::Range(range, count) => {
            // Whole numbers have no more values than there are.
            let most = if range.whole { (range.to - range.from) as u64 + 1 } else { u64::MAX };
            let count = count.or(unless_said.map(|count| count.min(most)));
            let Some(count) = count.filter(|count| (2..=MOST_POINTS).contains(count)) else {
                return refuse(&format!("expected a `count` of 2 to {MOST_POINTS} values for a range"));
            };
            (0..count).map(|i| range.value(range.at(i as f64 / (count - 1) as f64))).collect()
        }
    };
    levels.sort_by(in_order);
    if unless_said.is_some() && written.get("count").is_none() && written.is_table() {
        // So many values were not asked for.
        levels.dedup_by(|a, b| in_order(a, b).is_eq());
    }
    if levels.windows(2).any(|pair| in_order(&pair[0], &pair[1]).is_eq()) {
        return refuse("holds the same value twice; expected each once");
    }
    Ok(levels)
}

/// The product of the values of a grid, the section of that name: keys and values sorted, the last key running fastest.
pub fn grid_points(document: &Document, section: &str, grid: &Table) -> Result<Vec<GridPoint>> {
    let mut points: Vec<GridPoint> = vec![vec![]];
    for (key, written) in grid {
        let place = format!("{section}.{key}");
        let refuse = |message: &str| Err(document.error(&place, message));
        let values = levels(document, &place, written, None)?;
        points = product(&points, &values.into_iter().map(|value| vec![(key.clone(), value)]).collect::<Vec<_>>());
        if points.len() as u64 > MOST_POINTS {
            return refuse("makes a grid of too many points");
        }
    }
    Ok(points)
}

/// The points of a list of tables, the section of that name; one that sets nothing where there is none.
pub fn listed_points(document: &Document, section: &str, list: &[Table]) -> Result<Vec<GridPoint>> {
    let mut points: Vec<GridPoint> = Vec::new();
    for (i, point) in list.iter().enumerate() {
        if point.is_empty() {
            return Err(
                document.error(&format!("{section}[{i}]"), "sets nothing; expected quoted keys with a value each")
            );
        }
        if let Some((key, _)) = point.iter().find(|(_, value)| value.is_table() || value.is_array()) {
            let message = "expected a quoted key with one value, such as \"sram.bits\" = 2";
            return Err(document.error(&format!("{section}[{i}].{key}"), message));
        }
        points.push(point.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
        if points[..i].contains(&points[i]) {
            return Err(document.error(&format!("{section}[{i}]"), "is there twice; expected each point once"));
        }
    }
    Ok(if points.is_empty() { vec![vec![]] } else { points })
}

/// The points of a sample, the section of that name; `seed` draws where it has none of its own.
pub fn sampled_points(document: &Document, section: &str, sample: &Drawn, seed: u64) -> Result<Vec<GridPoint>> {
    let Drawn { method, count, keys, .. } = sample;
    if !(1..=MOST_POINTS).contains(count) {
        let message = format!("{count}, expected 1 to {MOST_POINTS} points");
        return Err(document.error(&format!("{section}.count"), message));
    }
    if keys.is_empty() {
        return Err(document.error(section, "draws nothing; expected keys in its section `keys`"));
    }
    let seed = sample.seed.unwrap_or(seed);
    let mut points: Vec<GridPoint> = vec![vec![]; *count as usize];
    for (number, (key, written)) in (0..).zip(keys) {
        let place = format!("{section}.keys.{key}");
        let values = values(document, &place, written)?;
        if matches!(values, KeyValues::Range(_, Some(_))) {
            let message = format!("has a `count` of its own; expected it in `{section}` alone, as many of every key");
            return Err(document.error(&place, message));
        }
        let stream = stream_key(seed, Stream::Sample, number);
        let parts = permutation(points.len(), stream_key(seed, Stream::Sample, 1 << 32 | number));
        for (i, point) in points.iter_mut().enumerate() {
            let uniform = f64::from(Substream::new(stream, [i as u32, 0, 0]).next_u32()) / 4_294_967_296.0;
            let share = match method {
                SampleMethod::Random => uniform,
                SampleMethod::LatinHypercube => (parts[i] as f64 + uniform) / *count as f64,
            };
            let value = match &values {
                KeyValues::List(list) => list[((share * list.len() as f64) as usize).min(list.len() - 1)].clone(),
                // Whole numbers take equal parts, the last as well.
                KeyValues::Range(range, _) if range.whole && !range.log => {
                    let last = range.to as i64 - range.from as i64;
                    Value::Integer(range.from as i64 + ((share * (last + 1) as f64) as i64).min(last))
                }
                KeyValues::Range(range, _) => range.value(range.at(share)),
            };
            point.push((key.clone(), value));
        }
    }
    Ok(points)
}

/// Every point of one with every point of the other, the second running fastest.
pub fn product(first: &[GridPoint], second: &[GridPoint]) -> Vec<GridPoint> {
    let with = |a: &GridPoint| second.iter().map(|b| [a.as_slice(), b].concat()).collect::<Vec<_>>();
    first.iter().flat_map(with).collect()
}

/// Numbers by size, everything else as text.
fn in_order(a: &Value, b: &Value) -> std::cmp::Ordering {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|i| i as f64));
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => cell(a).cmp(&cell(b)),
    }
}

/// A value as it stands in a table: strings bare, and long numbers by their exponent.
pub fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) if number.is_finite() && number.abs() >= 1e7 => format!("{number:e}"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn long_numbers_stand_in_tables_by_their_exponent() {
        let cells = [1e6, 1.25e9, -1e15, 0.5].map(|number| cell(&Value::Float(number)));
        assert_eq!(cells, ["1000000.0", "1.25e9", "-1e15", "0.5"]);
    }

    fn document(text: &str) -> Document {
        Document::parse_text(Path::new("s.toml"), text.into()).unwrap()
    }

    fn grid(text: &str) -> std::result::Result<Vec<Vec<String>>, String> {
        let document = document(&format!("[grid]\n{text}"));
        let points = grid_points(&document, "grid", document.table()["grid"].as_table().unwrap());
        let shown = |point: &GridPoint| point.iter().map(|(_, value)| cell(value)).collect();
        points.map(|points| points.iter().map(shown).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_grid_is_the_product_of_lists_and_ranges() {
        let linear = grid("\"a\" = { from = 0.0, to = 1.0, count = 4 }").unwrap().concat();
        assert_eq!(linear, ["0.0", "0.333333", "0.666667", "1.0"]);
        let log = grid("\"a\" = { from = 0.01, to = 1.0, count = 5, scale = \"log\" }").unwrap().concat();
        assert_eq!(log, ["0.01", "0.0316228", "0.1", "0.316228", "1.0"]);
        assert_eq!(
            grid("\"a\" = { from = 1, to = 64, count = 4, scale = \"log\" }").unwrap().concat(),
            ["1", "4", "16", "64"]
        );
        assert_eq!(grid("\"b\" = [2, 1]\n\"a\" = [\"x\"]").unwrap(), [["x", "1"], ["x", "2"]]);
        for (bad, expected) in [
            ("\"a\" = 3", "expected a quoted key with a list"),
            ("\"a\" = []", "expected a quoted key with a list"),
            ("a.b = [1]", "expected a quoted key with a list"),
            ("\"a\" = [1, 1]", "the same value twice"),
            ("\"a\" = [1, 1.0]", "the same value twice"),
            ("\"a\" = { from = 1, to = 2, count = 4 }", "the same value twice"),
            ("\"a\" = { from = 1.0, to = 2.0 }", "`count`"),
            ("\"a\" = { from = 1.0, to = 2.0, count = 1 }", "`count`"),
            ("\"a\" = { from = 1.0, count = 3 }", "missing field `to`"),
            ("\"a\" = { from = 1.0, to = 2.0, steps = 3 }", "unknown field `steps`"),
            ("\"a\" = { from = 2.0, to = 1.0, count = 3 }", "`from` below `to`"),
            ("\"a\" = { from = 0.0, to = 1.0, count = 3, scale = \"log\" }", "above 0"),
            ("\"a\" = { from = \"x\", to = 1.0, count = 3 }", "numbers at both ends"),
            ("\"a\" = { from = 1, to = 2000000, count = 2000000 }", "`count`"),
        ] {
            let error = grid(bad).unwrap_err();
            assert!(error.starts_with("s.toml:2:1: grid.a") && error.contains(expected), "{bad}: {error}");
        }
    }

    fn sampled(method: &str, count: u64, keys: &str) -> Vec<GridPoint> {
        let document = document(&format!("[sample]\nmethod = \"{method}\"\ncount = {count}\n[sample.keys]\n{keys}"));
        let sample: Drawn = document.table()["sample"].clone().try_into().unwrap();
        sampled_points(&document, "sample", &sample, 7).unwrap()
    }

    #[test]
    fn a_latin_hypercube_takes_every_part_of_every_range_once() {
        let keys = "\"a\" = { from = 0.0, to = 1.0 }\n\"b\" = { from = 1.0, to = 1000.0, scale = \"log\" }\n\"c\" = \
                    [1, 2]\n\
                    \"d\" = { from = 3, to = 6 }";
        let points = sampled("latin_hypercube", 40, keys);
        assert_eq!(points, sampled("latin_hypercube", 40, keys));
        let of = |key: usize| points.iter().map(move |point| point[key].1.as_float().unwrap());
        let parts = |shares: &mut dyn Iterator<Item = f64>| {
            let mut parts: Vec<usize> = shares.map(|share| (share * 40.0) as usize).collect();
            parts.sort_unstable();
            parts
        };
        assert_eq!(parts(&mut of(0)), (0..40).collect::<Vec<_>>());
        assert_eq!(parts(&mut of(1).map(|b| libm::log10(b) / 3.0)), (0..40).collect::<Vec<_>>());
        let count =
            |key: usize, value: i64| points.iter().filter(|point| point[key].1.as_integer() == Some(value)).count();
        assert_eq!((count(2, 1), count(2, 2)), (20, 20));
        assert!((3..=6).all(|value| count(3, value) == 10));
        // No key follows another.
        let mean = of(0).sum::<f64>() / 40.0;
        let covariance: f64 =
            of(0).zip(of(1)).map(|(a, b)| (a - mean) * (libm::log10(b) / 3.0 - 0.5)).sum::<f64>() / 40.0;
        assert!(covariance.abs() < 0.04, "{covariance}");
        let random = sampled("random", 40, keys);
        assert_ne!(parts(&mut random.iter().map(|point| point[0].1.as_float().unwrap())), (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn listed_points_set_several_keys() {
        let document = document("[[point]]\n\"a\" = 1\n\"b\" = 2\n[[point]]\n\"a\" = 3\n");
        let list: Vec<Table> = document.table()["point"].clone().try_into().unwrap();
        let points = listed_points(&document, "point", &list).unwrap();
        assert_eq!(points.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(product(&points, &points).len(), 4);
        let twice = [list[0].clone(), list[0].clone()];
        assert!(listed_points(&document, "point", &twice).unwrap_err().to_string().contains("twice"));
        assert_eq!(listed_points(&document, "point", &[]).unwrap(), [vec![]]);
    }
}
