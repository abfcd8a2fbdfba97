//! The area of layers on tiles and of what stands around them, by component.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::crossbar::mapping::LayerMap;
use crate::crossbar::site::Site;
use crate::profile::{Interconnect, Profile};

/// Area of a layer in square micrometre, by component; empty for digital layers and where the profile has no areas.
pub fn area(profile: &Profile, site: &Site, map: &LayerMap) -> BTreeMap<&'static str, f64> {
    if !site.is_on_rram() {
        return BTreeMap::new();
    }
    let a = &profile.cost.area_um2;
    let converters = if profile.converts() { map.adcs as f64 } else { 0.0 };
    let tiles = map.tiles as f64;
    let neurons = site.neurons as f64;
    let parts = [
        ("cell", a.cell, tiles * site.tile_cells() as f64),
        ("adc", a.adc, converters * profile.cost.conversion(profile.adc.bits)),
        ("mux", a.mux, converters),
        ("code", a.code, converters),
        ("htree", a.htree, tiles),
        ("tile_buffer", a.tile_buffer, tiles),
        ("temporary_buffer", a.temporary_buffer, tiles),
        ("neuron", a.neuron, neurons),
        ("join", a.join, converters * site.joins as f64),
        ("sram_bit", a.sram_bit, 8.0 * map.sram_bytes as f64),
    ];
    parts
        .iter()
        .filter_map(|(name, each, parts)| Some((*name, (*each)? * parts)))
        .filter(|(_, um2)| *um2 > 0.0)
        .collect()
}

/// Tells whether each copy of a layer has a component of its own: neurons, and the adders that join terms of their
/// current, stand once.
pub fn is_copied(component: &str) -> bool {
    !["neuron", "join"].contains(&component)
}

/// Area of a chip beside its layers in square micrometre, by component: the global buffer, routers and control.
pub fn around(profile: &Profile, tiles: usize) -> BTreeMap<&'static str, f64> {
    let (a, system) = (&profile.cost.area_um2, &profile.system);
    let parts = [
        ("router", routers(profile, tiles)),
        ("buffer_byte", a.buffer_byte.unwrap_or(0.0) * system.buffer_bytes as f64),
        ("control", a.control.unwrap_or(0.0)),
    ];
    parts.into_iter().filter(|(_, um2)| *um2 > 0.0).collect()
}

/// Area of the routers of so many tiles in square micrometre; 0 where there is no mesh.
pub fn routers(profile: &Profile, tiles: usize) -> f64 {
    match profile.system.interconnect {
        Interconnect::Mesh => tiles as f64 * profile.cost.area_um2.router.unwrap_or(0.0),
        Interconnect::None | Interconnect::Bus => 0.0,
    }
}

/// Area of a chip in square micrometre by layer, in their order, each with all of its copies, and by component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Areas {
    /// Square micrometre of each layer.
    pub layers: Vec<f64>,
    /// Square micrometre of each component.
    pub components: BTreeMap<String, f64>,
}

impl Areas {
    /// The areas of layers that stand on a chip so many times.
    pub fn of(profile: &Profile, sites: &[&Site], maps: &[LayerMap], copies: &[usize]) -> Self {
        let mut areas = Areas::default();
        for ((site, map), copies) in sites.iter().zip(maps).zip(copies) {
            let parts = area(profile, site, map);
            let of_all =
                |(part, um2): (&'static str, f64)| (part, if is_copied(part) { *copies as f64 * um2 } else { um2 });
            let parts: Vec<(&str, f64)> = parts.into_iter().map(of_all).collect();
            areas.layers.push(parts.iter().map(|(_, um2)| um2).sum());
            parts.into_iter().for_each(|(part, um2)| *areas.components.entry(part.to_owned()).or_insert(0.0) += um2);
        }
        let tiles = maps.iter().zip(copies).map(|(map, copies)| map.tiles * copies).sum();
        areas.components.extend(around(profile, tiles).into_iter().map(|(part, um2)| (part.to_owned(), um2)));
        areas
    }

    /// The areas of so many chips.
    pub fn times(mut self, chips: u64) -> Self {
        self.layers.iter_mut().chain(self.components.values_mut()).for_each(|um2| *um2 *= chips as f64);
        self
    }

    /// The whole chip in square millimetre; none where the profile has no areas.
    pub fn total_mm2(&self) -> Option<f64> {
        let um2: f64 = self.components.values().sum();
        (um2 > 0.0).then_some(um2 * 1e-6)
    }
}
