//! `sweep SWEEP.toml`: the schema, and the points that it asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::config::{Document, Overrides};
use crate::engine::exit::{ExitRule, read_rule_or_none};
use crate::error::{Error, Result};
use crate::network::Encoding;
use crate::numeric::stats::summarise;
use crate::study::point::check_acceptable;
use crate::study::reader::{Common, Written};
use crate::study::sets::Images;
use crate::study::space::{Drawn, GridPoint, MOST_POINTS, grid_points, listed_points, product, sampled_points};
use crate::train::adapt::Sample;

/// Keys of a sweep file that an override may set.
///
/// # Examples
/// ```
/// use crosspike::{Overrides, SWEEP_KEYS};
///
/// let set = ["chips=50", "rram.variation.scale=2"].map(String::from);
/// let sorted = Overrides::sort(&set, &SWEEP_KEYS)?; // What Sweep::read takes.
/// assert_eq!((sorted.own, sorted.profile), (vec![set[0].clone()], vec![set[1].clone()]));
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const OWN_KEYS: [&str; 15] = [
    "name",
    "question",
    "model",
    "checkpoint",
    "profile",
    "data",
    "test",
    "encoding",
    "adapt",
    "exit",
    "limit",
    "chips",
    "acceptable",
    "within",
    "seed",
];
/// A sweep file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// A name for reports.
    pub name: String,
    /// What the study is to answer, for reports.
    pub question: Option<String>,
    /// The model file.
    pub model: PathBuf,
    /// The checkpoint to program.
    pub checkpoint: PathBuf,
    /// The profile file; absent: the ideal chip.
    pub profile: Option<PathBuf>,
    /// The data set; its test images are evaluated.
    pub data: String,
    /// The data set to evaluate on instead, where one file holds one set only: then `data` has the training images,
    /// which converters' ranges and adapted norms are of. (`infer` names the evaluated set by --data and the other by
    /// --calibration-data.)
    pub test: Option<String>,
    /// The encoder.
    pub encoding: Option<Encoding>,
    /// Training images that the norms of each chip are estimated on anew, before it is judged; 0 batches: none.
    #[serde(default)]
    #[schemars(with = "Option<Sample>")]
    pub adapt: Table,
    /// Stops early by this rule, or `none`; accuracy, steps, spikes and energy are then those up to the early answers.
    #[serde(default, deserialize_with = "read_rule_or_none")]
    pub exit: Option<ExitRule>,
    /// The first images of the test set; absent: all.
    pub limit: Option<usize>,
    /// Chips a point.
    #[serde(default)]
    pub chips: Chips,
    /// The accuracy in percent that a chip must reach: a column says how many do, the yield. Absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptable: Option<f64>,
    /// Points of accuracy that a setting may be below the most accurate and still be the report's answer, if it costs
    /// less. Absent: 0.5, and on the same chips not surely below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<f64>,
    /// The seed of chips and encoding.
    #[serde(default = "one")]
    pub seed: u64,
    /// Values by key: profile keys, model keys under `model.`, `checkpoint`, `profile`, `data`, `encoding`,
    /// `adapt.batches`, `adapt.images`, `adapt.data`, `exit`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub grid: Table,
    /// Points that set several keys at once.
    #[serde(default)]
    #[schemars(with = "Vec<BTreeMap<String, serde_json::Value>>")]
    pub point: Vec<Table>,
    /// Points drawn from ranges.
    pub sample: Option<Drawn>,
}

fn one() -> u64 {
    1
}

/// How many chips a point has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", untagged)]
pub enum Chips {
    /// So many.
    Fixed(u64),
    /// As many chips run as it takes.
    Until(Until),
}

/// Chips in the order of their index, until the mean accuracy is known well enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// Half width of the mean's 95 % interval to come below, in percent.
    pub ci95: f64,
    /// The fewest chips.
    #[serde(default = "five")]
    pub least: u64,
    /// The most chips, whatever the interval.
    pub most: u64,
}

fn five() -> u64 {
    5
}

impl Default for Chips {
    fn default() -> Self {
        Chips::Fixed(1)
    }
}

impl JsonSchema for Chips {
    fn schema_name() -> Cow<'static, str> {
        "Chips".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "So many chips a point, or as many as it takes to know the mean accuracy.",
            "anyOf": [{ "type": "integer", "minimum": 1 }, generator.subschema_for::<Until>()],
        })
    }
}

impl TryFrom<Value> for Chips {
    type Error = String;
    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let expected = "expected a number of chips, or { ci95 = 0.5, least = 5, most = 200 }";
        match value {
            Value::Integer(chips) => u64::try_from(chips).map(Chips::Fixed).map_err(|_| format!("{chips}, {expected}")),
            Value::Table(until) => {
                until.try_into().map(Chips::Until).map_err(|error| format!("{}; {expected}", error.message().trim()))
            }
            other => Err(format!("{other}, {expected}")),
        }
    }
}

impl Chips {
    /// The most that there can be.
    pub fn most(&self) -> u64 {
        match self {
            Chips::Fixed(chips) => *chips,
            Chips::Until(until) => until.most,
        }
    }

    /// How many of a point's chips count, given the accuracies of the first ones in percent; none where more have to
    /// run.
    pub fn enough(&self, accuracies: &[f64]) -> Option<u64> {
        let all = (accuracies.len() as u64 >= self.most()).then_some(self.most());
        let Chips::Until(Until { ci95, least, .. }) = self else { return all };
        let known = |count: &u64| summarise(&accuracies[..*count as usize]).ci95.is_some_and(|half| half <= *ci95);
        (*least..=self.most().min(accuracies.len() as u64)).find(known).or(all)
    }

    /// How many to have run next, given the accuracies of the first ones: a guess at how many are enough.
    pub fn next(&self, accuracies: &[f64]) -> u64 {
        let Chips::Until(Until { ci95, least, most }) = self else { return self.most() };
        let there = accuracies.len() as u64;
        if there < *least {
            return *least;
        }
        let half = summarise(accuracies).ci95.unwrap_or(f64::INFINITY);
        let guess = (there as f64 * (half / ci95).powi(2)).ceil().min(2.0 * there as f64) as u64;
        guess.max(there + 1).min(*most)
    }
}

/// Trials of one sweep, at most.
const MOST_TRIALS: u64 = 1 << 24;

impl SweepFile {
    /// Validates a parsed document and gives the points that it asks for; paths that are relative start from the
    /// document.
    pub fn from_document(document: &Document) -> Result<(Self, Vec<GridPoint>)> {
        let mut file: SweepFile = document.parse()?;
        if file.limit == Some(0) {
            return Err(document.error("limit", "0, expected at least 1 image, or no limit"));
        }
        let points = file.points(document)?;
        let most = MOST_TRIALS / points.len() as u64;
        if !(1..=most).contains(&file.chips.most()) {
            let message = format!("{}, expected 1 to {most} chips a point", file.chips.most());
            return Err(document.error("chips", message));
        }
        check_acceptable(file.acceptable).map_err(document.locate("acceptable"))?;
        if let Some(bad) = file.within.filter(|points| !(0.0..=100.0).contains(points)) {
            return Err(document.error("within", format!("{bad}, expected points of accuracy from 0 to 100")));
        }
        if let Chips::Until(Until { ci95, least, most }) = file.chips {
            if !(ci95 > 0.0 && ci95 <= 100.0) {
                return Err(document.error("chips.ci95", format!("{ci95}, expected percent of accuracy above 0")));
            }
            if !(2..=most).contains(&least) {
                let message = format!("{least}, expected 2 chips, for an interval, to `most` chips");
                return Err(document.error("chips.least", message));
            }
        }
        file.model = document.base("model").join(&file.model);
        file.checkpoint = document.base("checkpoint").join(&file.checkpoint);
        file.profile = file.profile.map(|p| document.base("profile").join(p));
        Ok((file, points))
    }

    /// The keys that hold for all its points.
    pub(super) fn common(&self) -> Common {
        Common {
            model: self.model.clone(),
            checkpoint: self.checkpoint.clone(),
            profile: self.profile.clone(),
            data: self.data.clone(),
            test: self.test.clone(),
            images: Images::first(self.limit),
            encoding: self.encoding,
            adapt: self.adapt.clone(),
            exit: self.exit,
            seed: self.seed,
        }
    }

    /// An error where an override sets what every point sets too.
    pub(super) fn check_overrides(&self, overrides: &Overrides) -> Result<()> {
        let model = overrides.model.iter().map(|assignment| format!("model.{assignment}"));
        for assignment in overrides.own.iter().chain(&overrides.profile).cloned().chain(model) {
            let key = assignment.split('=').next().unwrap_or_default().trim();
            let listed = !self.point.is_empty() && self.point.iter().all(|point| point.contains_key(key));
            let drawn = self.sample.as_ref().is_some_and(|sample| sample.keys.contains_key(key));
            if self.grid.contains_key(key) || listed || drawn {
                let message = format!(
                    "the study sets {key} at every point, so this would change nothing; change the study, or set \
                     another key"
                );
                return Err(Error::Usage(format!("--set {assignment}: {message}")));
            }
        }
        Ok(())
    }

    fn points(&self, document: &Document) -> Result<Vec<GridPoint>> {
        let sampled = match &self.sample {
            Some(sample) => sampled_points(document, "sample", sample, self.seed)?,
            None => vec![vec![]],
        };
        let (grid, listed) =
            (grid_points(document, "grid", &self.grid)?, listed_points(document, "point", &self.point)?);
        let count = [&grid, &listed, &sampled]
            .iter()
            .fold(1, |product: u64, points| product.saturating_mul(points.len() as u64));
        if count > MOST_POINTS {
            return Err(document.error(
                "grid",
                format!("with points and sample makes {count} points, expected at most {MOST_POINTS}"),
            ));
        }
        let points = product(&product(&grid, &listed), &sampled);
        let twice = |point: &GridPoint| {
            point
                .iter()
                .enumerate()
                .find_map(|(i, (key, _))| point[..i].iter().any(|(k, _)| k == key).then(|| key.clone()))
        };
        match points.iter().find_map(twice) {
            Some(key) => {
                let listed = self.point.iter().position(|point| point.contains_key(&key));
                let place = listed.map_or(format!("sample.keys.{key}"), |i| format!("point[{i}].{key}"));
                Err(document.error(&place, "is set twice; expected it in one of `grid`, `point` and `sample.keys`"))
            }
            None => Ok(points),
        }
    }
}

impl Written for SweepFile {
    fn keys(&self) -> Vec<String> {
        let sampled = self.sample.iter().flat_map(|sample| sample.keys.keys());
        let listed = self.point.iter().flat_map(|point| point.keys());
        let mut keys: Vec<String> = self.grid.keys().chain(listed).chain(sampled).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn section(&self, key: &str, value: &Value) -> String {
        let is_sampled = self.sample.as_ref().is_some_and(|sample| sample.keys.contains_key(key));
        if self.grid.contains_key(key) {
            format!("grid.{key}")
        } else if is_sampled {
            format!("sample.keys.{key}")
        } else {
            let listed = self.point.iter().position(|point| point.get(key) == Some(value)).unwrap_or(0);
            format!("point[{listed}].{key}")
        }
    }

    fn compares(&self, key: &str) -> bool {
        self.grid.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> std::result::Result<(SweepFile, Vec<GridPoint>), String> {
        let head = "name = \"s\"\nmodel = \"m\"\ncheckpoint = \"c\"\ndata = \"digits\"\n";
        let document = Document::parse_text(Path::new("s.toml"), format!("{head}{text}")).unwrap();
        SweepFile::from_document(&document).map_err(|error| error.to_string())
    }

    #[test]
    fn grid_points_and_samples_multiply() {
        let text = "[grid]\n\"tile.rows\" = [64, 128]\n[[point]]\n\"sram.bits\" = 2\n\"sram.shift\" = \
                    -2\n[[point]]\n\"sram.bits\" = 3\n\
                    [sample]\ncount = 5\n[sample.keys]\n\"wires.word_ohm\" = \
                    { from = 0.1, to = 10.0, scale = \"log\" }\n";
        let (_, points) = read(text).unwrap();
        assert_eq!(points.len(), 2 * 2 * 5);
        assert_eq!((points[0].len(), points[19].len()), (4, 3));
        for (bad, expected) in [
            ("[grid]\n\"a\" = [1]\n[[point]]\n\"a\" = 2\n", "set twice"),
            ("chips = -1", "s.toml:5:1: chips: -1, expected a number of chips"),
            ("chips = 0", "s.toml:5:1: chips: 0, expected 1 to"),
            ("chips = { ci95 = 0.5 }", "missing field `most`"),
            ("chips = { ci95 = 0.5, most = 10, lest = 2 }", "unknown field `lest`"),
            ("chips = { ci95 = 0.0, most = 10 }", "s.toml:5:11: chips.ci95"),
            ("chips = { ci95 = 1.0, most = 10, least = 1 }", "s.toml:5:34: chips.least"),
            ("[sample]\ncount = 0\nkeys = { a = [1] }", "s.toml:6:1: sample.count"),
            ("[sample]\ncount = 2\nkeys = {}", "draws nothing"),
            ("[[point]]\n", "s.toml:5:1: point[0]: sets nothing"),
            ("[[point]]\nsram.bits = 2\n", "s.toml:6:1: point[0].sram: expected a quoted key"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }

    #[test]
    fn chips_run_until_the_interval_is_narrow_enough() {
        let until = Chips::Until(Until { ci95: 1.0, least: 3, most: 50 });
        let spread = |i: u64| 80.0 + (i * 7 % 5) as f64;
        let all: Vec<f64> = (0..50).map(spread).collect();
        let enough = until.enough(&all).unwrap() as usize;
        let half = |count: usize| summarise(&all[..count]).ci95.unwrap();
        assert!((4..50).contains(&enough) && half(enough) <= 1.0 && (3..enough).all(|count| half(count) > 1.0));
        assert_eq!(until.enough(&all[..enough - 1]), None);
        assert_eq!(until.enough(&all[..enough]), Some(enough as u64), "and later ones do not count");
        let mut there = 0;
        while until.enough(&all[..there]).is_none() {
            let next = until.next(&all[..there]) as usize;
            assert!(next > there);
            there = next;
        }
        assert_eq!(until.enough(&all[..there]), Some(enough as u64));
        assert_eq!(until.enough(&[80.0, 80.0, 80.0]), Some(3));
        let wild: Vec<f64> = (0..50).map(|i| (i % 2 * 90) as f64).collect();
        assert_eq!(
            (until.enough(&wild[..49]), until.enough(&wild)),
            (None, Some(50)),
            "the most, whatever the interval"
        );
        assert_eq!((Chips::Fixed(4).enough(&[1.0; 3]), Chips::Fixed(4).enough(&[1.0; 4])), (None, Some(4)));
    }
}
