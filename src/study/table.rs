//! `results.csv` and `summary.csv`: one row a chip, one row a point; `layers.csv` and `components.csv`: where spikes
//! and energy are.

use std::path::{Path, PathBuf};

use super::cell::TableValue;
use super::columns::{
    AREA, CLIPPED, ENERGY, INTERVAL, LATENCY, OPERATIONS, PER_JOULE, QUANTILE, RATE, SATURATED, STEPS, TOPS_PER_W,
};
use super::point::{ChipRow, ComponentPart, LayerPart, Point};
use crate::atomic::Output;
use crate::error::{Error, Result};
use crate::output::OutputFolder;

/// A row a point and chip.
pub const RESULTS_CSV: &str = "results.csv";
/// A row a point.
pub const SUMMARY_CSV: &str = "summary.csv";
/// Where spikes and energy are, a row a point and layer.
pub const LAYERS_CSV: &str = "layers.csv";
/// Where energy is, a row a point and component.
pub const COMPONENTS_CSV: &str = "components.csv";
/// Columns of a chip.
const RESULTS: [&str; 8] = ["chip", "accuracy", "spikes_per_image", STEPS, "sram_bytes", CLIPPED, SATURATED, ENERGY];
/// Columns of a point.
const SUMMARY: [&str; 12] = [
    "chips",
    "accuracy_mean",
    "accuracy_std",
    "accuracy_ci95",
    "accuracy_min",
    "accuracy_max",
    "spikes_per_image",
    STEPS,
    "sram_bytes",
    CLIPPED,
    SATURATED,
    ENERGY,
];

/// Whether a column holds numbers that need not be whole, whatever those of one study are.
pub fn is_measured(column: &str) -> bool {
    let measured = RESULTS
        .iter()
        .chain(&SUMMARY)
        .chain(&[RATE, AREA, LATENCY, INTERVAL, PER_JOULE, TOPS_PER_W, OPERATIONS, QUANTILE])
        .any(|known| *known == column);
    (measured && !["chip", "chips"].contains(&column)) || column.ends_with("_percent") || column.starts_with("points_")
}

/// The tables of a study.
///
/// # Examples
/// ```
/// use crosspike::{TableValue, LayerPart, Parts, Point, Table};
///
/// let (name, spikes, rate) = ("conv1".into(), Some(12.5), Some(0.1));
/// let layer = LayerPart { name, spikes, rate, energy_pj: None, area_um2: None };
/// let split = Parts { layers: vec![layer], components: vec![] };
/// let point = Point { settings: vec![], chips: vec![], more: vec![], split };
/// assert_eq!(Table::Layers.file(), "layers.csv");
/// let row: Vec<String> = Table::Layers.rows(&point)[0].iter().map(TableValue::text).collect();
/// assert_eq!(row, ["conv1", "12.5", "0.1", "", ""]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// A row a point and chip.
    Results,
    /// A row a point.
    Summary,
    /// A row a point and layer: where spikes and energy are.
    Layers,
    /// A row a point and component: where energy is.
    Components,
}

impl Table {
    /// All tables of a study.
    pub const ALL: [Table; 4] = [Table::Results, Table::Summary, Table::Layers, Table::Components];

    /// Its file.
    pub fn file(self) -> &'static str {
        match self {
            Table::Results => RESULTS_CSV,
            Table::Summary => SUMMARY_CSV,
            Table::Layers => LAYERS_CSV,
            Table::Components => COMPONENTS_CSV,
        }
    }

    /// The columns behind those of the settings.
    pub fn columns(self, point: &Point) -> Vec<&'static str> {
        match self {
            Table::Results => RESULTS.to_vec(),
            Table::Summary => SUMMARY.into_iter().chain(point.more.iter().map(|(key, _)| *key)).collect(),
            Table::Layers => vec!["layer", "spikes_per_image", RATE, ENERGY, AREA],
            Table::Components => vec!["component", ENERGY, AREA],
        }
    }

    /// The rows of a point, without its settings.
    pub fn rows(self, point: &Point) -> Vec<Vec<TableValue>> {
        match self {
            Table::Results => point.chips.iter().map(of_chip).collect(),
            Table::Summary => vec![of_point(point)],
            Table::Layers => point.split.layers.iter().map(of_layer).collect(),
            Table::Components => point.split.components.iter().map(of_component).collect(),
        }
    }
}

fn of_layer(layer: &LayerPart) -> Vec<TableValue> {
    let LayerPart { name, spikes, rate, energy_pj, area_um2 } = layer;
    vec![TableValue::Text(name.clone()), (*spikes).into(), (*rate).into(), (*energy_pj).into(), mm2(*area_um2)]
}

fn of_component(component: &ComponentPart) -> Vec<TableValue> {
    let ComponentPart { name, energy_pj, area_um2 } = component;
    vec![TableValue::Text(name.clone()), (*energy_pj).into(), mm2(*area_um2)]
}

fn mm2(um2: Option<f64>) -> TableValue {
    um2.map(|um2| um2 * 1e-6).into()
}

fn of_chip(row: &ChipRow) -> Vec<TableValue> {
    vec![
        TableValue::Whole(row.chip),
        TableValue::Number(row.accuracy),
        TableValue::Number(row.spikes_per_image),
        TableValue::Number(row.steps_per_image),
        TableValue::Whole(row.sram_bytes),
        TableValue::Number(row.clipped_per_image),
        TableValue::Number(row.saturated_per_image),
        row.energy_pj_per_image.into(),
    ]
}

fn of_point(point: &Point) -> Vec<TableValue> {
    let (stats, chips) = (point.accuracy(), point.chips.len());
    let mean = |of: fn(&ChipRow) -> f64| TableValue::Number(point.chips.iter().map(of).sum::<f64>() / chips as f64);
    let own = [
        TableValue::Whole(chips as u64),
        TableValue::Number(stats.mean),
        stats.std.into(),
        stats.ci95.into(),
        TableValue::Number(stats.min),
        TableValue::Number(stats.max),
        mean(|chip| chip.spikes_per_image),
        mean(|chip| chip.steps_per_image),
        TableValue::Number(point.sram_bytes()),
        mean(|chip| chip.clipped_per_image),
        mean(|chip| chip.saturated_per_image),
        point.energy_pj().into(),
    ];
    own.into_iter().chain(point.more.iter().map(|(_, cell)| cell.clone())).collect()
}

/// The tables on their way to a folder, point by point.
pub struct Tables {
    files: Vec<(Table, Csv)>,
    begun: bool,
}

/// A table on its way.
struct Csv {
    writer: csv::Writer<Output>,
    path: PathBuf,
}

impl Csv {
    fn of(folder: &OutputFolder, name: &str) -> Result<Self> {
        let path = folder.file(name);
        Ok(Csv { writer: csv::Writer::from_writer(Output::to(&path)?), path })
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) -> Result<()> {
        self.writer.write_record(cells).map_err(failed(&self.path))
    }

    fn commit(self) -> Result<()> {
        let Csv { writer, path } = self;
        writer.into_inner().map_err(|error| Error::io(&path)(error.into_error()))?.commit()
    }
}

fn failed(path: &Path) -> impl FnOnce(csv::Error) -> Error {
    move |error| match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::io(path)(error),
        other => Error::file(path, format!("{other:?}")),
    }
}

impl Tables {
    /// Opens the tables of a folder, without rows.
    pub fn new(folder: &OutputFolder) -> Result<Self> {
        let file = |table: Table| Ok((table, Csv::of(folder, table.file())?));
        Ok(Tables { files: Table::ALL.into_iter().map(file).collect::<Result<_>>()?, begun: false })
    }

    /// Adds a point.
    pub fn push(&mut self, point: &Point) -> Result<()> {
        for (table, csv) in &mut self.files {
            if !self.begun {
                let settings = point.settings.iter().map(|(key, _)| key.clone());
                csv.row(settings.chain(table.columns(point).into_iter().map(String::from)))?;
            }
            for row in table.rows(point) {
                let settings = point.settings.iter().map(|(_, value)| value.clone());
                csv.row(settings.chain(row.iter().map(TableValue::text)))?;
            }
        }
        self.begun = true;
        Ok(())
    }

    /// Puts them in place, the summary last.
    pub fn finish(self) -> Result<()> {
        let (last, first): (Vec<_>, Vec<_>) = self.files.into_iter().partition(|(table, _)| *table == Table::Summary);
        first.into_iter().chain(last).try_for_each(|(_, csv)| csv.commit())
    }
}

/// Writes the tables.
pub fn write(folder: &OutputFolder, points: &[Point]) -> Result<()> {
    let mut tables = Tables::new(folder)?;
    points.iter().try_for_each(|point| tables.push(point))?;
    tables.finish()
}
