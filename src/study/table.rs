//! `results.csv` and `summary.csv`: one row a chip, one row a point.

use crate::error::{Error, Result};
use crate::numeric::stats::summarise;
use crate::output::OutputFolder;

/// One point of a study: settings as `(key, value)`, and what each chip gave, in chip order.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The settings; every point of a table has the same keys.
    pub settings: Vec<(String, String)>,
    /// One entry a chip.
    pub chips: Vec<ChipRow>,
}

/// One chip at one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChipRow {
    /// The chip's index.
    pub chip: u64,
    /// Percent of images classified correctly.
    pub accuracy: f64,
    /// Spikes of all layers and steps, per image.
    pub spikes_per_image: f64,
}

/// Writes both tables.
pub fn write(folder: &OutputFolder, points: &[Point]) -> Result<()> {
    let keys: Vec<&str> = points.first().map_or(vec![], |p| p.settings.iter().map(|(k, _)| k.as_str()).collect());
    let values = |point: &Point| point.settings.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>();
    let mut results = vec![[keys.clone(), vec!["chip", "accuracy", "spikes_per_image"]].concat().join_strings()];
    let metrics =
        ["chips", "accuracy_mean", "accuracy_std", "accuracy_ci95", "accuracy_min", "accuracy_max", "spikes_per_image"];
    let mut summary = vec![[keys, metrics.to_vec()].concat().join_strings()];
    for point in points {
        for row in &point.chips {
            let numbers = [row.chip.to_string(), number(row.accuracy), number(row.spikes_per_image)];
            results.push([values(point), numbers.to_vec()].concat());
        }
        let accuracies: Vec<f64> = point.chips.iter().map(|c| c.accuracy).collect();
        let stats = summarise(&accuracies);
        let spikes = point.chips.iter().map(|c| c.spikes_per_image).sum::<f64>() / accuracies.len() as f64;
        let optional = |v: Option<f64>| v.map_or(String::new(), number);
        let numbers = [
            accuracies.len().to_string(),
            number(stats.mean),
            optional(stats.std),
            optional(stats.ci95),
            number(stats.min),
            number(stats.max),
            number(spikes),
        ];
        summary.push([values(point), numbers.to_vec()].concat());
    }
    folder.write("results.csv", &csv_bytes(&results)?)?;
    folder.write("summary.csv", &csv_bytes(&summary)?)
}

/// Six decimals, trailing zeros cut: more than a count of images can resolve.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

fn csv_bytes(rows: &[Vec<String>]) -> Result<Vec<u8>> {
    let failed = |e: String| Error::Mismatch(format!("writing CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|e| failed(e.to_string()))?;
    }
    writer.into_inner().map_err(|e| failed(e.to_string()))
}

trait JoinStrings {
    fn join_strings(self) -> Vec<String>;
}

impl JoinStrings for Vec<&str> {
    fn join_strings(self) -> Vec<String> {
        self.into_iter().map(String::from).collect()
    }
}
