//! The time that layers take, in turn or at the same time, and the copies that make the slow ones faster.
//!
//! A step of a layer on RRAM takes its output pixels and drives one after the other, all of its tiles at once:
//!
//! ```text
//! t = ⌈P / copies⌉·D·A·(drive + turns·conversion)
//! ```
//!
//! with P output pixels, D drives a step, A turns of the rows (`tile.rows_at_once`) and as many turns of the converters
//! as columns of a tile share one. The bytes of its map follow, one after the other. Then
//!
//! ```text
//! one layer after the other   latency = T·Σ t                interval = latency
//! pipelined                   latency = Σ t + (T − 1)·max t   interval = T·max t
//! ```
//!
//! where the interval is the time from one image to the next. Layers of a cycle wait for each other, so they are one
//! stage of a pipeline, and a bus that all layers share is a stage too.
//!
//! Copies are added one at a time, each to the layer where it saves most time for its area (to the slowest stage alone,
//! where layers are pipelined), by the times of tiles, traffic aside, as long as the chip's area stays within
//! `system.area_mm2`. A copy has the tiles of its layer, converters and companion array included, but no neurons and no
//! adders that join terms of theirs.

use std::collections::BTreeMap;
use std::ops::Range;

use super::area::{Areas, area, is_copied, routers};
use super::events::drives_a_step;
use crate::crossbar::mapping::{LayerMap, off_chip};
use crate::crossbar::site::Site;
use crate::plan::ChipPlan;
use crate::profile::{Interconnect, Profile, Time};

/// The copies of layers, and the time that each takes.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSchedule {
    /// Times that each layer stands on the chip; 0: on another one's tiles, when its turn comes.
    pub copies: Vec<usize>,
    /// Layers whose weights come from off-chip memory for each image.
    pub loaded: Range<usize>,
    /// Nanoseconds of a step of each layer, its traffic aside.
    pub step_ns: Vec<f64>,
    /// The stage of each layer.
    stages: Vec<usize>,
    pipelined: bool,
    /// All layers' bytes take the same bus.
    shared: bool,
}

/// Times of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageTimes {
    /// Nanoseconds from an image's first step to its answer.
    pub latency_ns: f64,
    /// Nanoseconds from one image to the next.
    pub interval_ns: f64,
}

/// Nanoseconds of an output pixel of a layer and step.
fn pixel_ns(site: &Site, time: &Time) -> f64 {
    let on_a_tile = site.on_tiles().per_tile.min(site.columns);
    let turns = if site.converts() { site.adc.columns_shared.min(on_a_tile) } else { 0 };
    let drive = time.drive.unwrap_or(0.0) + turns as f64 * time.conversion.unwrap_or(0.0);
    f64::from(drives_a_step(site)) * site.turns() as f64 * drive
}

/// Nanoseconds of a step of a layer that stands on the chip so many times.
fn step_ns(site: &Site, time: &Time, copies: usize) -> f64 {
    if site.is_on_rram() { site.pixels.div_ceil(copies) as f64 * pixel_ns(site, time) } else { 0.0 }
}

impl LayerSchedule {
    /// The schedule of a network on its hardware.
    pub fn of(plan: &ChipPlan, maps: &[LayerMap]) -> Self {
        let (system, time) = (plan.profile.system, &plan.profile.cost.time_ns);
        let needed: Vec<usize> = maps.iter().map(|map| map.tiles).collect();
        // A plan has room for its largest layer.
        let off_chip = off_chip(&needed, system.tiles as usize).ok().flatten();
        let stands = |layer: usize| {
            off_chip
                .as_ref()
                .is_none_or(|off| !off.loaded.contains(&layer) || layer == off.largest || needed[layer] == 0)
        };
        let mut schedule = LayerSchedule {
            copies: (0..plan.layers.len()).map(|layer| usize::from(stands(layer))).collect(),
            loaded: off_chip.as_ref().map_or(0..0, |off| off.loaded.clone()),
            step_ns: plan.sites().map(|site| step_ns(site, time, 1)).collect(),
            stages: stages(plan),
            pipelined: system.pipelined,
            shared: system.interconnect == Interconnect::Bus,
        };
        if system.area_mm2 > 0.0 {
            schedule.copy(plan, maps);
        }
        schedule
    }

    /// Adds copies until the next would take more than the area that a chip may have.
    fn copy(&mut self, plan: &ChipPlan, maps: &[LayerMap]) {
        let (profile, time): (&Profile, _) = (&plan.profile, &plan.profile.cost.time_ns);
        let sites: Vec<&Site> = plan.sites().collect();
        let of_copy: Vec<f64> = sites.iter().zip(maps).map(|(site, map)| of_copy(profile, site, map)).collect();
        let taken = 1e6 * Areas::of(profile, &sites, maps, &self.copies).total_mm2().unwrap_or(0.0);
        // Sums of areas are not exact: what is wanted to the last bit fits.
        let mut left = 1e6 * (1.0 + 1e-9) * profile.system.area_mm2 - taken;
        loop {
            let slowest = self.slowest();
            // The copies with which one more pixel goes at the same time.
            let next = |layer: usize| {
                let pixels = sites[layer].pixels;
                let each = pixels.div_ceil(self.copies[layer]);
                (each > 1).then(|| pixels.div_ceil(each - 1))
            };
            let gain = |layer: usize| {
                let copies = next(layer)?;
                let area = (copies - self.copies[layer]) as f64 * of_copy[layer];
                let saved = self.step_ns[layer] - step_ns(sites[layer], time, copies);
                let counts =
                    (!self.pipelined || self.stages[layer] == slowest) && saved > 0.0 && area > 0.0 && area <= left;
                counts.then_some((saved / area, layer, copies, area))
            };
            let best =
                (0..sites.len()).filter_map(gain).reduce(|best, other| if other.0 > best.0 { other } else { best });
            let Some((_, layer, copies, area)) = best else { break };
            self.copies[layer] = copies;
            self.step_ns[layer] = step_ns(sites[layer], time, copies);
            left -= area;
        }
    }

    /// The stage that takes longest.
    fn slowest(&self) -> usize {
        let stages = self.by_stage(&vec![0.0; self.step_ns.len()]);
        stages.iter().fold((0, 0.0), |most, (stage, ns)| if *ns > most.1 { (*stage, *ns) } else { most }).0
    }

    /// Nanoseconds of a step of each stage, with the traffic of each layer.
    fn by_stage(&self, traffic_ns: &[f64]) -> BTreeMap<usize, f64> {
        let mut stages = BTreeMap::new();
        for (layer, stage) in self.stages.iter().enumerate() {
            *stages.entry(*stage).or_insert(0.0) += self.step_ns[layer] + traffic_ns[layer];
        }
        stages
    }

    /// Times of an image of so many steps, with the traffic of each layer and of the input, nanoseconds a step.
    pub fn times(&self, steps: f64, traffic_ns: &[f64], input_ns: f64) -> ImageTimes {
        let sum = self.step_ns.iter().zip(traffic_ns).fold(input_ns, |sum, (step, traffic)| sum + step + traffic);
        if !self.pipelined {
            return ImageTimes { latency_ns: steps * sum, interval_ns: steps * sum };
        }
        let bus = if self.shared { traffic_ns.iter().sum::<f64>() + input_ns } else { 0.0 };
        let slowest = self.by_stage(traffic_ns).into_values().fold(bus.max(input_ns), f64::max);
        ImageTimes { latency_ns: sum + (steps - 1.0).max(0.0) * slowest, interval_ns: steps * slowest }
    }
}

/// The area of a copy of a layer in square micrometre: that of its parts but neurons, and of its tiles' routers.
fn of_copy(profile: &Profile, site: &Site, map: &LayerMap) -> f64 {
    let parts = area(profile, site, map).into_iter().filter(|(part, _)| is_copied(part));
    parts.map(|(_, um2)| um2).sum::<f64>() + routers(profile, map.tiles)
}

/// The stage of each layer: its own number, or that of the first layer of its cycle.
fn stages(plan: &ChipPlan) -> Vec<usize> {
    let graph = &plan.graph;
    let mut stages: Vec<usize> = (0..graph.layers.len()).collect();
    let of = |cycle: &Range<usize>| -> Vec<usize> {
        let populations = graph.nodes[cycle.clone()].iter().filter_map(|node| node.population());
        populations.flat_map(|population| population.layers.iter().copied()).collect()
    };
    for layers in graph.cycles.iter().map(of) {
        let first = layers.iter().copied().min().unwrap_or(0);
        layers.iter().for_each(|layer| stages[*layer] = first);
    }
    stages
}
