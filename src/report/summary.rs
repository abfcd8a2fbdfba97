//! The tables of a result folder: `summary.csv`, a row per point, and `results.csv`, a row per point and chip.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use csv::StringRecord;

use crate::announced;
use crate::error::{Error, Result};

/// The columns that follow the settings in `summary.csv`. Accuracy is in percent. Columns after these are shown as they
/// are.
const METRICS: [&str; 7] =
    ["chips", "accuracy_mean", "accuracy_std", "accuracy_ci95", "accuracy_min", "accuracy_max", "spikes_per_image"];

/// All points of a study.
pub(super) struct StudySummary {
    /// The names of the settings.
    pub settings: Vec<String>,
    /// The names of the columns after the metrics.
    pub further: Vec<String>,
    /// At least one point, in the order of the file.
    pub points: Vec<SummaryPoint>,
}

/// One row of `summary.csv`.
pub(super) struct SummaryPoint {
    /// One cell per setting; empty where a setting does not apply.
    pub cells: Vec<String>,
    /// One cell per further column.
    pub further: Vec<String>,
    /// The number of programmed chips.
    pub chips: u64,
    /// Mean accuracy over chips, percent.
    pub mean: f64,
    /// Standard deviation over chips (n − 1), percent; none for one chip.
    pub std: Option<f64>,
    /// Half width of the 95 % confidence interval of the mean, percent; none for one chip.
    pub ci95: Option<f64>,
    /// The worst chip's accuracy, percent.
    pub min: f64,
    /// The best chip's accuracy, percent.
    pub max: f64,
    /// Spikes of all layers per image.
    pub spikes: Option<f64>,
    /// The accuracy of each chip, percent; empty without `results.csv`.
    pub each: Vec<f64>,
    /// The numbers of those chips.
    pub numbers: Vec<u64>,
}

impl SummaryPoint {
    /// The mean and how sure it is, in words.
    pub fn measured(&self) -> String {
        let chips = if self.chips == 1 { "one chip".to_owned() } else { format!("{} chips", self.chips) };
        match self.ci95 {
            Some(half) => format!(
                "{:.2} % (95 % confidence ±{half:.2}, {chips} from {:.2} to {:.2} %)",
                self.mean, self.min, self.max
            ),
            None => format!("{:.2} % ({chips})", self.mean),
        }
    }

    /// All accuracies that its mark covers in a chart.
    pub fn extent(&self) -> [f64; 4] {
        let half = self.ci95.unwrap_or(0.0);
        [self.min, self.max, self.mean - half, self.mean + half].map(|value| value.clamp(0.0, 100.0))
    }
}

impl StudySummary {
    /// Reads the tables of `dir`.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("summary.csv");
        let Some(mut table) = CsvTable::open(&path)? else {
            return Err(Error::file(
                path,
                "not found; expected the table of a sweep, a row per point: its settings, then chips, accuracy_mean, …",
            ));
        };
        let first = table.column("chips")?;
        if !table.header.iter().skip(first).take(METRICS.len()).eq(METRICS) {
            return Err(table.error(1, format!("expected the columns {} after the settings", METRICS.join(", "))));
        }
        let settings: Vec<String> = table.header.iter().take(first).map(str::to_owned).collect();
        let further: Vec<String> = table.header.iter().skip(first + METRICS.len()).map(str::to_owned).collect();
        let mut points = Vec::new();
        let mut index = HashMap::new();
        while let Some((row, line)) = table.next()? {
            let cells: Vec<String> = row.iter().take(first).map(str::to_owned).collect();
            let point = SummaryPoint {
                chips: table.number(&row, line, first, 0.0, 1e9)? as u64,
                mean: table.percent(&row, line, first + 1)?,
                std: table.optional(&row, line, first + 2, 100.0)?,
                ci95: table.optional(&row, line, first + 3, 1e9)?,
                min: table.percent(&row, line, first + 4)?,
                max: table.percent(&row, line, first + 5)?,
                spikes: table.optional(&row, line, first + 6, 1e15)?,
                each: Vec::new(),
                numbers: Vec::new(),
                further: row.iter().skip(first + METRICS.len()).map(str::to_owned).collect(),
                cells: cells.clone(),
            };
            if index.insert(cells, points.len()).is_some() {
                return Err(table.error(line, "a second row with the same settings"));
            }
            points.push(point);
        }
        if points.is_empty() {
            return Err(table.error(1, "expected at least one row below the header"));
        }
        let further = drop_idle(further, &mut points);
        if let Some(results) = CsvTable::open(&dir.join("results.csv"))? {
            read_chips(results, &settings, &index, &mut points)?;
        }
        Ok(Self { settings, further, points })
    }

    /// The number of chips whose own accuracy is known.
    pub fn listed_chips(&self) -> usize {
        self.points.iter().map(|point| point.each.len()).sum()
    }
}

/// Leaves out the further columns that say nothing of any point; gives the names of the others.
fn drop_idle(names: Vec<String>, points: &mut [SummaryPoint]) -> Vec<String> {
    let says = |column: usize| points.iter().any(|point| !["", "0"].contains(&point.further[column].as_str()));
    let kept: Vec<bool> = (0..names.len()).map(says).collect();
    let keep =
        |cells: Vec<String>| cells.into_iter().zip(&kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell).collect();
    points.iter_mut().for_each(|point| point.further = keep(std::mem::take(&mut point.further)));
    keep(names)
}

/// Adds the accuracy of every chip to its point.
fn read_chips(
    mut table: CsvTable,
    settings: &[String],
    index: &HashMap<Vec<String>, usize>,
    points: &mut [SummaryPoint],
) -> Result<()> {
    let (accuracy, chip) = (table.column("accuracy")?, table.column("chip")?);
    let columns: Vec<usize> = settings.iter().map(|name| table.column(name)).collect::<Result<_>>()?;
    while let Some((row, line)) = table.next()? {
        let cells: Vec<String> = columns.iter().map(|&column| row[column].to_owned()).collect();
        let Some(&point) = index.get(&cells) else {
            return Err(table.error(line, "settings that no row of summary.csv has"));
        };
        points[point].each.push(table.percent(&row, line, accuracy)?);
        points[point].numbers.push(table.number(&row, line, chip, 0.0, 1e15)? as u64);
    }
    Ok(())
}

/// A CSV file whose rows all have as many cells as its header.
pub(super) struct CsvTable<'a> {
    path: &'a Path,
    header: StringRecord,
    reader: csv::Reader<File>,
}

impl<'a> CsvTable<'a> {
    /// Opens a table; none if there is no such file.
    pub fn open(path: &'a Path) -> Result<Option<Self>> {
        announced::reading(path)?;
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let mut reader = csv::Reader::from_reader(file);
        let header = reader.headers().map_err(|error| Error::file(path, error.to_string()))?.clone();
        Ok(Some(Self { path, header, reader }))
    }

    /// The next row and its line in the file.
    pub fn next(&mut self) -> Result<Option<(StringRecord, u64)>> {
        let mut row = StringRecord::new();
        match self.reader.read_record(&mut row) {
            Ok(true) => {
                let line = row.position().map_or(0, csv::Position::line);
                Ok(Some((row, line)))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(Error::file(self.path, error.to_string())),
        }
    }

    pub fn column(&self, name: &str) -> Result<usize> {
        self.header.iter().position(|column| column == name).ok_or_else(|| {
            let found: Vec<&str> = self.header.iter().take(20).collect();
            self.error(1, format!("expected a column `{name}`; found {}", found.join(", ")))
        })
    }

    fn percent(&self, row: &StringRecord, line: u64, column: usize) -> Result<f64> {
        self.number(row, line, column, 0.0, 100.0)
    }

    pub fn optional(&self, row: &StringRecord, line: u64, column: usize, high: f64) -> Result<Option<f64>> {
        if row[column].is_empty() { Ok(None) } else { self.number(row, line, column, 0.0, high).map(Some) }
    }

    fn number(&self, row: &StringRecord, line: u64, column: usize, low: f64, high: f64) -> Result<f64> {
        match row[column].parse::<f64>() {
            Ok(value) if (low..=high).contains(&value) => Ok(value),
            _ => Err(self.error(
                line,
                format!(
                    "{}: expected a number {}; found `{}`",
                    &self.header[column],
                    if high == f64::INFINITY { format!("of at least {low}") } else { format!("from {low} to {high}") },
                    row[column].escape_debug()
                ),
            )),
        }
    }

    fn error(&self, line: u64, message: impl std::fmt::Display) -> Error {
        Error::file(self.path, format!("line {line}: {message}"))
    }
}
