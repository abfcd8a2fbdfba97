//! Engines: run a chip on a batch for all steps. Two of them, equal in meaning: [`cpu`], always there, and [`gpu`].

pub mod cpu;
pub mod evaluate;
pub mod gpu;

use ndarray::Array2;

use crate::chip::Chip;
use crate::error::{Error, Result};
use crate::network::Inputs;

/// What a batch did on a chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Mean readout over the steps, `[images, classes]`.
    pub logits: Array2<f32>,
    /// Events.
    pub counts: Counts,
}

/// Events over all images of a batch. They add up over batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pulses on the first layer's inputs, per step: spikes, or the sum of digits over planes.
    pub input: Vec<u64>,
    /// Spikes per spiking layer and step, before the pool.
    pub spikes: Vec<Vec<u64>>,
}

impl Counts {
    /// No events yet.
    pub fn new(layers: usize, steps: usize) -> Self {
        Counts { input: vec![0; steps], spikes: vec![vec![0; steps]; layers] }
    }

    /// Adds another batch's events.
    pub fn add(&mut self, other: &Counts) {
        let pairs = |a: &mut Vec<u64>, b: &[u64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        pairs(&mut self.input, &other.input);
        for (a, b) in self.spikes.iter_mut().zip(&other.spikes) {
            pairs(a, b);
        }
    }

    /// Spikes of all layers and steps.
    pub fn total_spikes(&self) -> u64 {
        self.spikes.iter().flatten().sum()
    }
}

/// A backend that chips can be loaded into.
pub trait Engine: Send + Sync {
    /// `cpu`, or `gpu` with its adapter: for a result's origin.
    fn name(&self) -> String;

    /// Chips of this one's kind that are best loaded together.
    fn chips_at_once(&self, _chip: &Chip) -> usize {
        1
    }

    /// Brings chips of one blueprint into the form this backend runs.
    fn load<'a>(&'a self, chips: &'a [Chip]) -> Result<Box<dyn LoadedChips + 'a>>;
}

/// Chips ready to run.
pub trait LoadedChips {
    /// Runs all steps for every image on every chip; an outcome a chip, in their order.
    fn run(&mut self, inputs: &Inputs) -> Result<Vec<Outcome>>;
}

/// An error unless the inputs are sent over the chips' steps.
fn check_steps<'a>(mut chips: impl Iterator<Item = &'a Chip>, inputs: &Inputs) -> Result<()> {
    match chips.find(|chip| chip.steps != inputs.steps) {
        Some(chip) => Err(Error::Mismatch(format!("inputs over {} steps for a chip of {}", inputs.steps, chip.steps))),
        None => Ok(()),
    }
}
