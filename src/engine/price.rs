//! What counted events cost: energy and latency of a chip's images, by its profile.

use super::Counts;
use super::evaluate::ChipResult;
use crate::chip::Blueprint;
use crate::crossbar::cost::{Run, Spent};
use crate::crossbar::mapping::LayerMap;
use crate::crossbar::site::Site;
use crate::plan::ChipPlan;

/// A blueprint's prices.
pub struct Price {
    plan: ChipPlan,
    maps: Vec<LayerMap>,
}

impl Price {
    /// Of a blueprint's hardware and layers.
    pub fn of(blueprint: &Blueprint) -> Self {
        Price { plan: blueprint.plan().clone(), maps: blueprint.plan().maps() }
    }

    /// The layers' names.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.plan.layers.iter().map(|plan| plan.name.as_str())
    }

    /// What an image takes on average, of a chip with these events of `images` images over `steps` steps each; none where the
    /// profile has no costs.
    pub fn spent(&self, counts: &Counts, images: usize, steps: f64, elements: &[usize]) -> Option<Spent> {
        let sites: Vec<&Site> = self.plan.sites().collect();
        let run = Run { profile: &self.plan.profile, sites: &sites, maps: &self.maps, steps };
        let drives: Vec<f64> =
            counts.drives.iter().map(|steps| steps.iter().sum::<u64>() as f64 / images as f64).collect();
        run.spent(&drives, elements)
    }

    /// What an image took of a chip, of all steps, or up to its early answer; none where the profile has no costs.
    pub fn of_result(&self, result: &ChipResult, steps: usize) -> Option<Spent> {
        let images = result.logits.nrows();
        let (counts, steps) = match &result.exit {
            Some(exit) => (&exit.counts, exit.mean_steps()),
            None => (&result.counts, steps as f64),
        };
        self.spent(counts, images, steps, &result.sram_elements)
    }
}
