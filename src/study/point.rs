//! One point of a study: what its chips gave, and where spikes and energy are.

use super::cell::TableValue;
use super::columns::{AREA, INTERVAL, LATENCY, OPERATIONS, PER_JOULE, QUANTILE, TOPS_PER_W, YIELD};
use super::trial::{Key, Trial, TrialFigure, TrialSplit, components};
use crate::chip::Blueprint;
use crate::engine::chip_result::ChipResult;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::numeric::stats::{Summary, summarise};
use crate::session::Session;
use crate::system::{Architecture, Areas};

/// One point of a study: settings as `(key, value)`, and what each chip gave, in chip order.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
/// use crosspike::Point;
///
/// # let (profile, model) = (Profile::named("rram_4bit", &[])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let mut results = vec![];
/// session.evaluate(&data, 0..3, |chip, result| Ok(results.push((chip, result.clone()))))?;
/// let accuracy = Point::of_session(&session, &results).accuracy();
/// assert!(accuracy.min <= accuracy.mean && accuracy.mean <= accuracy.max);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The settings; every point of a table has the same keys.
    pub settings: Vec<(String, String)>,
    /// One entry a chip.
    pub chips: Vec<ChipRow>,
    /// Further columns of the summary, the same for every point of a table.
    pub more: Vec<(&'static str, TableValue)>,
    /// Where spikes and energy are; empty where that is not known.
    pub split: Parts,
}

/// Spikes and energy of an image by layer and component, on average over the chips.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
/// use crosspike::{ComponentPart, Point};
///
/// # let profile = Profile::named("spikesim_65nm", &["adc.range=full".into()])?;
/// # let model = Model::named("digits", &[])?;
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let result = session.run(&session.program(0)?, &data)?; // Of a session whose profile has costs.
/// let parts = Point::of_session(&session, &[(0, result)]).split;
/// let energy = |part: &ComponentPart| part.energy_pj.unwrap_or(0.0);
/// let largest = parts.components.iter().max_by(|one, other| energy(one).total_cmp(&energy(other)));
/// assert_eq!(largest.expect("there is one").name, "tile_buffer");
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Layers of which anything is known.
    pub layers: Vec<LayerPart>,
    /// Components that take energy, or area.
    pub components: Vec<ComponentPart>,
}

/// The energy and area of a component, of all layers together.
///
/// # Examples
/// ```
/// use crosspike::{ComponentPart, Parts, Point, Table};
///
/// let adc = ComponentPart { name: "adc".into(), energy_pj: Some(12.5), area_um2: None };
/// let split = Parts { layers: vec![], components: vec![adc] };
/// let point = Point { settings: vec![], chips: vec![], more: vec![], split };
/// assert_eq!(Table::Components.rows(&point)[0][1].text(), "12.5");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentPart {
    /// Its name: a key of `[cost]`, or what all keys of `cost.power_uw` make together.
    pub name: String,
    /// Picojoules of an image.
    pub energy_pj: Option<f64>,
    /// Square micrometre of a chip.
    pub area_um2: Option<f64>,
}

/// What a layer does for an image.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
/// use crosspike::Point;
///
/// # let (profile, model) = (Profile::named("rram_4bit", &[])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let result = session.run(&session.program(0)?, &data)?;
/// let layer = &Point::of_session(&session, &[(0, result)]).split.layers[0];
/// let (spikes, rate) = (layer.spikes.unwrap_or(0.0), layer.rate.unwrap_or(0.0));
/// assert_eq!(layer.name, "conv1");
/// assert!((spikes - rate * 1024.0 * 8.0).abs() < 1e-6); // It has 1024 neurons, and an image takes 8 steps.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPart {
    /// Its name.
    pub name: String,
    /// Its spikes, where it has any.
    pub spikes: Option<f64>,
    /// Spikes of a neuron and step, on average.
    pub rate: Option<f64>,
    /// Picojoules.
    pub energy_pj: Option<f64>,
    /// Square micrometre of all its copies.
    pub area_um2: Option<f64>,
}

impl Parts {
    /// The parts of trials of a network with these layers, by name and number of neurons, on chips of these areas.
    pub fn of(trials: &[&Trial], layers: &[(String, usize)], areas: &Areas) -> Self {
        let images: u64 = trials.iter().map(|trial| trial.images).sum();
        let steps: u64 = trials.iter().map(|trial| trial.steps).sum();
        let mean = |numbers: fn(&TrialSplit) -> &[u64], place: usize| -> Option<f64> {
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
                area_um2: areas.layers.get(place).copied().filter(|um2| *um2 > 0.0),
            }
        });
        let layers =
            layers.filter(|layer| layer.spikes.is_some() || layer.energy_pj.is_some() || layer.area_um2.is_some());
        let energy =
            |(place, name)| Some((name, mean(|split| &split.component_fj, place).filter(|fj| *fj > 0.0)? / 1000.0));
        let energies: Vec<(&str, f64)> = components().enumerate().filter_map(energy).collect();
        let others =
            areas.components.keys().map(String::as_str).filter(|name| energies.iter().all(|(known, _)| known != name));
        let names = energies.iter().map(|(name, _)| *name).chain(others);
        let component = |name: &str| ComponentPart {
            name: name.into(),
            energy_pj: energies.iter().find(|(known, _)| *known == name).map(|(_, pj)| *pj),
            area_um2: areas.components.get(name).copied(),
        };
        Parts { layers: layers.collect(), components: names.map(component).collect() }
    }
}

/// An error where the least acceptable accuracy is not above 0 and at most 100 percent.
pub(super) fn check_acceptable(acceptable: Option<f64>) -> Result<()> {
    match acceptable.filter(|least| !(*least > 0.0 && *least <= 100.0)) {
        Some(bad) => Err(Error::Mismatch(format!("{bad}, expected percent of accuracy: above 0, to 100"))),
        None => Ok(()),
    }
}

/// One chip at one point.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
/// use crosspike::Point;
///
/// # let (profile, model) = (Profile::named("rram_4bit", &[])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let result = session.run(&session.program(7)?, &data)?;
/// let row = Point::of_session(&session, &[(7, result.clone())]).chips[0];
/// assert_eq!((row.chip, row.accuracy, row.steps_per_image), (7, result.accuracy, 8.0));
/// assert_eq!(row.energy_pj_per_image, None); // The profile has no costs.
/// # Ok::<(), crosspike::Error>(())
/// ```
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
    /// Makes a point, without settings, of chips that a session ran.
    pub fn of_session(session: &Session, results: &[(u64, ChipResult)]) -> Self {
        let (blueprint, steps) = (session.blueprint(), session.blueprint().steps());
        let price = Price::of(blueprint);
        let of = |(chip, result): &(u64, ChipResult)| Trial::of(Key::default(), *chip, result, steps, &price);
        Self::of_series(blueprint, &results.iter().map(of).collect::<Vec<_>>())
    }

    /// Makes a point, without settings, of the trials of one series of chips.
    pub(crate) fn of_series(blueprint: &Blueprint, trials: &[Trial]) -> Self {
        let (trials, areas) = (trials.iter().collect::<Vec<_>>(), Architecture::of(blueprint.plan()).areas_together());
        let neurons = blueprint.model().neurons_on(blueprint.profile().system.ensemble);
        Self::of_trials(vec![], &trials, &neurons, &areas)
    }

    /// Makes a point of the trials of a network with these layers, by name and number of neurons, on chips of these
    /// areas.
    pub(crate) fn of_trials(
        settings: Vec<(String, String)>,
        trials: &[&Trial],
        layers: &[(String, usize)],
        areas: &Areas,
    ) -> Self {
        let chips = trials.iter().map(|trial| ChipRow::from(*trial)).collect();
        let mut point = Point { settings, chips, more: vec![], split: Parts::of(trials, layers, areas) };
        let images = trials.iter().map(|trial| trial.images).sum::<u64>() as f64;
        let mean = |figure: TrialFigure| {
            let known = trials.iter().map(|trial| trial.split.figures.get(figure as usize).map(|sum| *sum as f64));
            known.sum::<Option<f64>>().map(|sum| sum / images)
        };
        let ns = |figure| mean(figure).map(|ps| ps / 1000.0);
        let energy = point.energy_pj().filter(|pj| *pj > 0.0);
        let per_energy = |what: Option<f64>| what.zip(energy).map(|(what, pj)| what / pj);
        point.more = vec![
            (AREA, areas.total_mm2().into()),
            (LATENCY, ns(TrialFigure::LatencyPs).into()),
            (INTERVAL, ns(TrialFigure::IntervalPs).into()),
            (PER_JOULE, per_energy(Some(1e12)).into()),
            (TOPS_PER_W, per_energy(mean(TrialFigure::DenseOperations).map(|dense| 2.0 * dense)).into()),
            (OPERATIONS, mean(TrialFigure::SynapticOperations).into()),
            (QUANTILE, TableValue::Number(point.accuracy().q05)),
        ];
        point
    }

    /// The point with the share of its chips that reach an accuracy, in percent.
    pub(crate) fn with_yield(mut self, acceptable: Option<f64>) -> Self {
        if let Some(least) = acceptable {
            let passing = self.chips.iter().filter(|chip| chip.accuracy >= least).count();
            self.more.push((YIELD, TableValue::Number(100.0 * passing as f64 / self.chips.len() as f64)));
        }
        self
    }

    /// Accuracy in percent over the chips.
    pub fn accuracy(&self) -> Summary {
        summarise(&self.chips.iter().map(|chip| chip.accuracy).collect::<Vec<_>>())
    }

    /// A further column as it is written; empty where there is none.
    pub fn further(&self, key: &str) -> String {
        self.more.iter().find(|(k, _)| *k == key).map_or(String::new(), |(_, cell)| cell.text())
    }

    /// The value of a setting as it is written; none where the point has no such key.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// The number in a further column; none where it holds none.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.more.iter().find(|(k, _)| *k == key)?.1 {
            TableValue::Number(value) => Some(value),
            TableValue::Whole(value) => Some(value as f64),
            TableValue::Nothing | TableValue::Text(_) => None,
        }
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
