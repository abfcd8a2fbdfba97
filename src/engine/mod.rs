//! Engines: run a chip on a batch for all steps. Two of them, equal in meaning: `cpu`, always there, and `gpu`, with
//! the feature of that name.

pub mod backend;
pub mod calibrate;
pub mod chip_result;
pub mod cpu;
pub mod ensemble;
pub mod evaluate;
pub mod exit;
#[cfg(feature = "gpu")]
pub mod fallback;
#[cfg(feature = "gpu")]
pub mod gpu;
pub(crate) mod needs;
pub mod price;
pub mod sameness;

use std::time::Duration;

use ndarray::{Array2, Array3, Axis};

use crate::chip::{Chip, ProgrammedLayer};
use crate::error::{Error, Result};
use crate::network::Inputs;
use crate::network::readout::{ClassReading, LogitReader};

/// What a batch did on a chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The logits after the last step, `[images, classes]`.
    pub logits: Array2<f32>,
    /// The logits after each step, read from the steps so far, where they were asked for: `[steps, images,
    /// classes]`. After the last step they are `logits`, bit for bit.
    pub by_step: Option<Array3<f32>>,
    /// The events of each image, as [`Counts::until`] has them, where they were asked for.
    pub by_image: Option<Vec<Counts>>,
    /// Events of all images.
    pub counts: Counts,
}

/// Events of an image, or of several: they add up.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let profile = Profile::named("rram_4bit", &[])?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let counts = session.run(&session.program(0)?, &data)?.counts;
/// assert_eq!(counts.spikes.len(), 3); // conv1, conv2 and fc1 spike, and the readout does not.
/// let (of_half, of_all) = (counts.until(4).total_spikes(), counts.total_spikes()); // Of 4 steps, and of all 8.
/// assert!(0 < of_half && of_half < of_all);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pulses on the first layer's inputs, per step: spikes, or the sum of digits over planes.
    pub input: Vec<u64>,
    /// Spikes per spiking layer and step, before the pool.
    pub spikes: Vec<Vec<u64>>,
    /// How often the rows of each layer's matrix are driven, per layer, the readout included, and step: once for each
    /// binary digit, or pulse, of an input and each output pixel.
    pub drives: Vec<Vec<u64>>,
    /// Partial sums beyond the ends of a converter's range, per layer, the readout included.
    pub clipped: Vec<u64>,
    /// Sums at which the adder behind converter and companion array saturated, per layer.
    pub saturated: Vec<u64>,
}

impl Counts {
    /// No events yet, of a chip with so many spiking layers.
    pub fn new(layers: usize, steps: usize) -> Self {
        let none = vec![0; layers + 1];
        Counts {
            input: vec![0; steps],
            spikes: vec![vec![0; steps]; layers],
            drives: vec![vec![0; steps]; layers + 1],
            clipped: none.clone(),
            saturated: none,
        }
    }

    /// Adds another batch's events.
    pub fn add(&mut self, other: &Counts) {
        let pairs = |a: &mut Vec<u64>, b: &[u64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        pairs(&mut self.input, &other.input);
        let layers = self.spikes.iter_mut().zip(&other.spikes).chain(self.drives.iter_mut().zip(&other.drives));
        layers.for_each(|(a, b)| pairs(a, b));
        pairs(&mut self.clipped, &other.clipped);
        pairs(&mut self.saturated, &other.saturated);
    }

    /// The pulses, spikes and drives of the first `steps` steps. What converters and adders cut is not known step by
    /// step.
    pub fn until(&self, steps: usize) -> Counts {
        let until = |counts: &Vec<u64>| counts[..steps.min(counts.len())].to_vec();
        Counts {
            input: until(&self.input),
            spikes: self.spikes.iter().map(until).collect(),
            drives: self.drives.iter().map(until).collect(),
            ..Counts::default()
        }
    }

    /// Multiplies the counts of layers that the input drives by the steps: where every step sends the same and nothing
    /// is read or converted afresh, their sums were made once for all steps, and counted once.
    fn repeat_static(&mut self, chip: &Chip, inputs: &Inputs) {
        for (l, layer) in chip.layers.iter().enumerate().filter(|_| inputs.encoder.is_static()) {
            if layer.plan.from == 0 && layer.arrays.steps() == 1 {
                self.clipped[l] *= chip.steps as u64;
                self.saturated[l] *= chip.steps as u64;
            }
        }
    }

    /// Spikes of all layers and steps.
    pub fn total_spikes(&self) -> u64 {
        self.spikes.iter().flatten().sum()
    }
}

/// A backend that chips can be loaded into.
///
/// # Examples
/// ```
/// use crosspike::{Backend, Engine};
///
/// let engine: Box<dyn Engine> = Backend::Cpu.open(|said| eprintln!("{said}"))?;
/// // A study takes any engine; its results are the same bits on each.
/// let where_it_ran = |engine: &dyn Engine| format!("run on {}", engine.name());
/// assert_eq!(where_it_ran(engine.as_ref()), "run on cpu");
/// # Ok::<(), crosspike::Error>(())
/// ```
pub trait Engine: Send + Sync {
    /// `cpu`, or `gpu` with its adapter: for a result's origin.
    fn name(&self) -> String;

    /// Chips of this one's kind that are best loaded together.
    fn chips_at_once(&self, _chip: &Chip) -> usize {
        1
    }

    /// Keeps from now on what each kernel takes, by an adapter's own clock: [`Self::kernel_times`]. False where there
    /// is none to read.
    fn time_kernels(&mut self) -> bool {
        false
    }

    /// The times that the kernels of each layer took since this was last asked, in the order of their first run.
    fn kernel_times(&self) -> Vec<(String, Duration)> {
        vec![]
    }

    /// Brings chips of one blueprint into the form this backend runs.
    fn load<'a>(&'a self, chips: &'a [Chip]) -> Result<Box<dyn LoadedChips + 'a>>;
}

/// Chips ready to run.
pub trait LoadedChips {
    /// Runs all steps for every image on every chip; an outcome a chip, in their order. `keep` says what it has.
    fn run_keeping(&mut self, inputs: &Inputs, keep: Keep) -> Result<Vec<Outcome>>;

    /// Runs them for the logits after the last step.
    fn run(&mut self, inputs: &Inputs) -> Result<Vec<Outcome>> {
        self.run_keeping(inputs, Keep::Last)
    }
}

/// What is kept of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The logits after the last step, and the events of all images together.
    Last,
    /// Beside them the logits after every step, and the events of every image: [`Outcome::by_step`] and
    /// [`Outcome::by_image`].
    Every,
}

impl Keep {
    /// The number of steps, of so many, after which logits are kept.
    fn of(self, steps: usize) -> usize {
        if self == Keep::Last { 1 } else { steps }
    }
}

/// The logits of some images while their readout is read.
struct Logits<'a> {
    /// `[kept steps, images, classes]`.
    kept: Array3<f32>,
    steps: usize,
    readout: &'a ProgrammedLayer,
    reader: LogitReader,
    /// `[images, classes]`.
    readings: Vec<ClassReading>,
}

impl<'a> Logits<'a> {
    /// Room for the logits of so many images on a chip.
    fn new(keep: Keep, chip: &'a Chip, images: usize) -> Self {
        let readout = chip.layers.last().expect("a chip has a readout");
        let classes = readout.plan.columns();
        let neuron = (readout.plan.lif, readout.varied.clone());
        let reader = LogitReader::new(chip.graph.reading, neuron, readout.plan.input_unit, chip.steps);
        Logits {
            kept: Array3::zeros((keep.of(chip.steps), images, classes)),
            steps: chip.steps,
            readout,
            reader,
            readings: vec![ClassReading::default(); images * classes],
        }
    }

    /// Takes the readout's sum of step `t`, the steps in their order.
    fn put(&mut self, t: usize, image: usize, class: usize, sum: f32) {
        let reading = &mut self.readings[image * self.readout.plan.columns() + class];
        let logit = self.reader.take(reading, (t, class), sum, self.readout.offset.get(class).copied());
        self.keep(t, image, class, logit);
    }

    /// Takes the readout's sum over the first `t + 1` steps, of which the mean is the logit.
    fn put_total(&mut self, t: usize, image: usize, class: usize, total: f32) {
        let logit = self.reader.mean(t, total, self.readout.offset.get(class).copied());
        self.keep(t, image, class, logit);
    }

    fn keep(&mut self, t: usize, image: usize, class: usize, logit: f32) {
        if let Some(place) = (t + self.kept.len_of(Axis(0))).checked_sub(self.steps) {
            self.kept[(place, image, class)] = logit;
        }
    }

    /// The outcome with these events of all images, and of each.
    fn close(self, keep: Keep, counts: Counts, by_image: Vec<Counts>) -> Outcome {
        let logits = self.kept.index_axis(Axis(0), self.kept.len_of(Axis(0)) - 1).to_owned();
        let every = keep == Keep::Every;
        Outcome { logits, by_step: every.then_some(self.kept), by_image: every.then_some(by_image), counts }
    }
}

/// An error unless the inputs are sent over the chips' steps.
fn check_steps<'a>(mut chips: impl Iterator<Item = &'a Chip>, inputs: &Inputs) -> Result<()> {
    match chips.find(|chip| chip.steps != inputs.steps) {
        Some(chip) => Err(Error::Mismatch(format!("inputs over {} steps for a chip of {}", inputs.steps, chip.steps))),
        None => Ok(()),
    }
}
