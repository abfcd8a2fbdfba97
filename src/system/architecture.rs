//! A network's plan on a chip, with all that follows from it alone.

use super::area::Areas;
use super::schedule::LayerSchedule;
use super::traffic::{Route, routes};
use crate::crossbar::mapping::LayerMap;
use crate::crossbar::site::Site;
use crate::plan::ChipPlan;
use crate::profile::Profile;

/// A network on a chip's hardware, with the ways between its layers and the time that each takes.
#[derive(Clone, Debug)]
pub struct Architecture {
    plan: ChipPlan,
    pub(super) maps: Vec<LayerMap>,
    pub(super) routes: Vec<Route>,
    pub(super) schedule: LayerSchedule,
}

/// The activity of images on a chip, on average.
#[derive(Clone, Copy, Debug)]
pub struct Activity<'a> {
    /// Steps that an image ran.
    pub steps: f64,
    /// Pulses on the network's inputs, of an image.
    pub input: f64,
    /// Spikes of each spiking layer, of an image.
    pub spikes: &'a [f64],
    /// Row drives of each layer, the readout included, of an image.
    pub drives: &'a [f64],
    /// Elements that each layer's companion array stores.
    pub elements: &'a [usize],
}

impl Architecture {
    /// The architecture of a plan.
    pub fn of(plan: &ChipPlan) -> Self {
        let maps = plan.maps();
        let schedule = LayerSchedule::of(plan, &maps);
        Architecture { routes: routes(plan, &maps), plan: plan.clone(), maps, schedule }
    }

    /// The network on its hardware.
    pub fn plan(&self) -> &ChipPlan {
        &self.plan
    }

    /// The floor plan, layer by layer.
    pub fn maps(&self) -> &[LayerMap] {
        &self.maps
    }

    /// Tiles of the chip, those of all copies.
    pub fn tiles(&self) -> usize {
        self.maps.iter().zip(&self.schedule.copies).map(|(map, copies)| map.tiles * copies).sum()
    }

    /// The copies of layers, and the time that each takes.
    pub fn schedule(&self) -> &LayerSchedule {
        &self.schedule
    }

    /// The area of all layers with their copies, and of what stands around them, on one chip.
    pub fn areas(&self) -> Areas {
        let sites: Vec<&Site> = self.sites().collect();
        let maps: Vec<LayerMap> = (0..sites.len()).map(|layer| self.standing(layer)).collect();
        Areas::of(self.profile(), &sites, &maps, &self.schedule.copies)
    }

    /// The area of all chips that answer together.
    pub fn areas_together(&self) -> Areas {
        self.areas().times(self.profile().system.ensemble)
    }

    /// A layer's map with what has to stand there for it: where layers take turns on its tiles, what any of them needs.
    pub fn standing(&self, layer: usize) -> LayerMap {
        let (mut map, loaded) = (self.maps[layer].clone(), &self.schedule.loaded);
        if loaded.contains(&layer) && self.schedule.copies[layer] > 0 && map.tiles > 0 {
            let others = &self.maps[loaded.clone()];
            map.adcs = others.iter().map(|other| other.adcs).max().unwrap_or(0);
            map.sram_bytes = others.iter().map(|other| other.sram_bytes).max().unwrap_or(0);
        }
        map
    }

    pub(super) fn profile(&self) -> &Profile {
        &self.plan.profile
    }

    pub(super) fn sites(&self) -> impl Iterator<Item = &Site> {
        self.plan.sites()
    }
}
