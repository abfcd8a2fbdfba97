//! One point of a study: what its chips gave, and where spikes and energy are.

use super::cell::Cell;
use super::trial::{Key, Split, Trial, components};
use crate::engine::evaluate::ChipResult;
use crate::engine::price::Price;
use crate::numeric::stats::{Summary, summarise};
use crate::session::Session;

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
    pub more: Vec<(&'static str, Cell)>,
    /// Where spikes and energy are; empty where that is not known.
    pub split: Parts,
}

/// Spikes and energy of an image by layer and component, on average over the chips.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
/// use crosspike::Point;
///
/// # let (profile, model) = (Profile::named("spikesim_65nm", &["adc.range=full".into()])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let result = session.run(&session.program(0)?, &data)?; // Of a session whose profile has costs.
/// let parts = Point::of_session(&session, &[(0, result)]).split;
/// let largest = parts.components.iter().max_by(|one, other| one.1.total_cmp(&other.1));
/// assert_eq!(largest.expect("there is one").0, "tile_buffer");
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Layers of which anything is known.
    pub layers: Vec<LayerPart>,
    /// Components with their picojoules.
    pub components: Vec<(&'static str, f64)>,
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
        let trials: Vec<Trial> = results.iter().map(of).collect();
        let split = Parts::of(&trials.iter().collect::<Vec<_>>(), &blueprint.model().neurons());
        Point { settings: vec![], chips: trials.iter().map(ChipRow::from).collect(), more: vec![], split }
    }

    /// Accuracy in percent over the chips.
    pub fn accuracy(&self) -> Summary {
        summarise(&self.chips.iter().map(|chip| chip.accuracy).collect::<Vec<_>>())
    }

    /// A further column as it is written; empty where there is none.
    pub fn further(&self, key: &str) -> String {
        self.more.iter().find(|(k, _)| *k == key).map_or(String::new(), |(_, cell)| cell.text())
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
