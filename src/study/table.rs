//! `results.csv` and `summary.csv`: one row a chip, one row a point.

use std::path::{Path, PathBuf};

use super::trial::{Split, Trial, components};
use crate::atomic::Output;
use crate::error::{Error, Result};
use crate::numeric::stats::{Summary, summarise};
use crate::output::OutputFolder;

/// One point of a study: settings as `(key, value)`, and what each chip gave, in chip order.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The settings; every point of a table has the same keys.
    pub settings: Vec<(String, String)>,
    /// One entry a chip.
    pub chips: Vec<ChipRow>,
    /// Further columns of the summary, the same for every point of a table.
    pub more: Vec<(&'static str, String)>,
    /// Where spikes and energy are; empty where that is not known.
    pub split: Parts,
}

/// Spikes and energy of an image by layer and component, on average over the chips.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Layers of which anything is known.
    pub layers: Vec<LayerPart>,
    /// Components with their picojoules.
    pub components: Vec<(&'static str, f64)>,
}

/// What a layer does for an image.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPart {
    /// Its name.
    pub name: String,
    /// Its spikes, where it has any.
    pub spikes: Option<f64>,
    /// The same of a neuron and step.
    pub rate: Option<f64>,
    /// Picojoules.
    pub energy_pj: Option<f64>,
}

impl Parts {
    /// Of trials of a network with these layers, by name and number of neurons.
    pub fn of(trials: &[&Trial], layers: &[(String, usize)]) -> Self {
        let images: u64 = trials.iter().map(|trial| trial.images).sum();
        let steps: u64 = trials.iter().map(|trial| trial.steps).sum();
        let mean = |numbers: fn(&Split) -> &[u64], place: usize| -> Option<f64> {
            let each = trials.iter().map(|trial| numbers(&trial.split).get(place).map(|number| *number as f64));
            Some(each.sum::<Option<f64>>()? / images as f64)
        };
        let layers = layers.iter().enumerate().map(|(place, (name, neurons))| {
            let spikes = mean(|split| &split.layer_spikes, place).filter(|_| *neurons > 0);
            let neurons_steps = *neurons as f64 * steps as f64 / images as f64;
            LayerPart {
                name: name.clone(),
                spikes,
                rate: spikes.map(|spikes| spikes / neurons_steps),
                energy_pj: mean(|split| &split.layer_fj, place).map(|fj| fj / 1000.0),
            }
        });
        let layers = layers.filter(|layer| layer.spikes.is_some() || layer.energy_pj.is_some()).collect();
        let component =
            |(place, name)| Some((name, mean(|split| &split.component_fj, place).filter(|fj| *fj > 0.0)? / 1000.0));
        Parts { layers, components: components().enumerate().filter_map(component).collect() }
    }
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
    /// Time steps that an image ran: fewer than the model's where images stop early.
    pub steps_per_image: f64,
    /// Partial sums beyond a converter's range, per image.
    pub clipped_per_image: f64,
    /// Sums at which an adder saturated, per image.
    pub saturated_per_image: f64,
    /// Picojoule of an image, where it is known.
    pub energy_pj_per_image: Option<f64>,
    /// Bytes that the companion arrays hold.
    pub sram_bytes: u64,
}

impl From<&Trial> for ChipRow {
    fn from(trial: &Trial) -> Self {
        let per_image = |count: u64| count as f64 / trial.images as f64;
        ChipRow {
            chip: trial.chip,
            accuracy: trial.accuracy(),
            spikes_per_image: per_image(trial.spikes),
            steps_per_image: per_image(trial.steps),
            clipped_per_image: per_image(trial.clipped),
            saturated_per_image: per_image(trial.saturated),
            energy_pj_per_image: trial.energy_fj.map(|fj| fj as f64 / 1000.0 / trial.images as f64),
            sram_bytes: trial.sram_bytes,
        }
    }
}

impl Point {
    /// Accuracy in percent over the chips.
    pub fn accuracy(&self) -> Summary {
        summarise(&self.chips.iter().map(|chip| chip.accuracy).collect::<Vec<_>>())
    }

    /// A further column; empty where there is none.
    pub fn further(&self, key: &str) -> &str {
        self.more.iter().find(|(k, _)| *k == key).map_or("", |(_, value)| value)
    }

    /// Picojoule of an image, on average over the chips; none where one's is not known.
    pub fn energy_pj(&self) -> Option<f64> {
        let known: Option<Vec<f64>> = self.chips.iter().map(|chip| chip.energy_pj_per_image).collect();
        known.map(|known| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Bytes that a chip's companion arrays hold, on average.
    pub fn sram_bytes(&self) -> f64 {
        self.chips.iter().map(|chip| chip.sram_bytes as f64).sum::<f64>() / self.chips.len() as f64
    }
}

/// A row a point and chip.
pub const RESULTS_CSV: &str = "results.csv";
/// A row a point.
pub const SUMMARY_CSV: &str = "summary.csv";
/// Where spikes and energy are, a row a point and layer.
pub const LAYERS_CSV: &str = "layers.csv";
/// Where energy is, a row a point and component.
pub const COMPONENTS_CSV: &str = "components.csv";
/// What images run.
const STEPS: &str = "steps_per_image";
/// What converters cut.
const CLIPPED: &str = "adc_clipped_per_image";
/// What adders cut.
const SATURATED: &str = "adder_saturated_per_image";
/// Spikes of a neuron and step.
pub const RATE: &str = "spikes_per_neuron_step";
/// What a chip takes, where the profile says; a column after those of every study.
pub const AREA: &str = "area_mm2";
/// What an image takes.
const ENERGY: &str = "energy_pj_per_image";

/// The tables on their way, point by point.
pub struct Tables {
    results: Csv,
    summary: Csv,
    layers: Csv,
    components: Csv,
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

    fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> Result<()> {
        self.writer.write_record(cells.into_iter().map(|cell| cell.as_ref().to_string())).map_err(failed(&self.path))
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
    let measured = RESULTS.iter().chain(&SUMMARY).chain(&[RATE, AREA]).any(|known| *known == column);
    (measured && !["chip", "chips"].contains(&column)) || column.ends_with("_percent") || column.starts_with("points_")
}

impl Tables {
    /// Nothing yet.
    pub fn new(folder: &OutputFolder) -> Result<Self> {
        Ok(Tables {
            results: Csv::of(folder, RESULTS_CSV)?,
            summary: Csv::of(folder, SUMMARY_CSV)?,
            layers: Csv::of(folder, LAYERS_CSV)?,
            components: Csv::of(folder, COMPONENTS_CSV)?,
            begun: false,
        })
    }

    /// Adds a point.
    pub fn push(&mut self, point: &Point) -> Result<()> {
        if !self.begun {
            let keys = || point.settings.iter().map(|(key, _)| key.as_str());
            self.results.row(keys().chain(RESULTS))?;
            self.summary.row(keys().chain(SUMMARY).chain(point.more.iter().map(|(key, _)| *key)))?;
            self.layers.row(keys().chain(["layer", "spikes_per_image", RATE, ENERGY]))?;
            self.components.row(keys().chain(["component", ENERGY]))?;
            self.begun = true;
        }
        let settings = || point.settings.iter().map(|(_, value)| value.clone());
        let optional = |v: Option<f64>| v.map_or(String::new(), number);
        for LayerPart { name, spikes, rate, energy_pj } in &point.split.layers {
            let numbers = [spikes, rate, energy_pj].map(|value| optional(*value));
            self.layers.row(settings().chain([name.clone()]).chain(numbers))?;
        }
        for (component, energy) in &point.split.components {
            self.components.row(settings().chain([component.to_string(), number(*energy)]))?;
        }
        for row in &point.chips {
            let numbers = [
                row.chip.to_string(),
                number(row.accuracy),
                number(row.spikes_per_image),
                number(row.steps_per_image),
                row.sram_bytes.to_string(),
                number(row.clipped_per_image),
                number(row.saturated_per_image),
                optional(row.energy_pj_per_image),
            ];
            self.results.row(settings().chain(numbers))?;
        }
        let stats = point.accuracy();
        let chips = point.chips.len();
        let mean = |of: fn(&ChipRow) -> f64| number(point.chips.iter().map(of).sum::<f64>() / chips as f64);
        let numbers = [
            chips.to_string(),
            number(stats.mean),
            optional(stats.std),
            optional(stats.ci95),
            number(stats.min),
            number(stats.max),
            mean(|chip| chip.spikes_per_image),
            mean(|chip| chip.steps_per_image),
            number(point.sram_bytes()),
            mean(|chip| chip.clipped_per_image),
            mean(|chip| chip.saturated_per_image),
            optional(point.energy_pj()),
        ];
        self.summary.row(settings().chain(numbers).chain(point.more.iter().map(|(_, value)| value.clone())))
    }

    /// Puts them in place.
    pub fn finish(self) -> Result<()> {
        self.results.commit()?;
        self.layers.commit()?;
        self.components.commit()?;
        self.summary.commit()
    }
}

/// Writes the tables.
pub fn write(folder: &OutputFolder, points: &[Point]) -> Result<()> {
    let mut tables = Tables::new(folder)?;
    points.iter().try_for_each(|point| tables.push(point))?;
    tables.finish()
}

/// Six decimals, trailing zeros cut: more than a count of images can resolve.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
