//! The price of a chip's images: counted events on an architecture.

use super::Counts;
use super::chip_result::ChipResult;
use crate::chip::Blueprint;
use crate::system::{Activity, Architecture, Spent, Workload};

/// A blueprint's prices.
pub struct Price {
    architecture: Architecture,
}

impl Price {
    /// The prices of a blueprint's hardware and layers.
    pub fn of(blueprint: &Blueprint) -> Self {
        Price { architecture: Architecture::of(blueprint.plan()) }
    }

    /// The chip's area in square millimetre; none where the profile has no areas.
    pub fn area_mm2(&self) -> Option<f64> {
        self.architecture.areas_together().total_mm2()
    }

    /// The layers' names.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.architecture.plan().layers.iter().map(|plan| plan.name.as_str())
    }

    /// Chips that answer together.
    fn ensemble(&self) -> usize {
        self.architecture.plan().profile.system.ensemble as usize
    }

    /// What an image takes on average, of a chip with these events of `images` images over `steps` steps each; none
    /// where the profile has no costs.
    pub fn spent(&self, counts: &Counts, images: usize, steps: f64, elements: &[usize]) -> Option<Spent> {
        let runs = images * self.ensemble();
        of_image(counts, runs, steps, elements, |activity| self.architecture.spent(activity))
    }

    /// The work of the network for an image, on average, of the same events.
    pub fn workload(&self, counts: &Counts, images: usize, steps: f64, elements: &[usize]) -> Workload {
        let runs = images * self.ensemble();
        of_image(counts, runs, steps, elements, |activity| Workload::of(self.architecture.plan(), activity))
    }

    /// What an image took of a chip, of all steps, or up to its early answer, and what the network did for it; none
    /// where the profile has no costs.
    pub fn of_result(&self, result: &ChipResult, steps: usize) -> Option<(Spent, Workload)> {
        let images = result.logits.nrows();
        let (counts, steps) = match &result.exit {
            Some(exit) => (&exit.counts, exit.mean_steps()),
            None => (&result.counts, steps as f64),
        };
        let elements = &result.sram_elements;
        let spent = self.spent(counts, images, steps, elements)?;
        Some((spent, self.workload(counts, images, steps, elements)))
    }
}

/// Hands over what an image did on average, of counts of so many.
fn of_image<T>(counts: &Counts, images: usize, steps: f64, elements: &[usize], then: impl FnOnce(&Activity) -> T) -> T {
    let mean = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / images as f64;
    let of_layers = |layers: &[Vec<u64>]| -> Vec<f64> { layers.iter().map(|steps| mean(steps)).collect() };
    let (spikes, drives) = (of_layers(&counts.spikes), of_layers(&counts.drives));
    then(&Activity { steps, input: mean(&counts.input), spikes: &spikes, drives: &drives, elements })
}
