//! The events of a layer that cost something.
//!
//! For a layer on RRAM with P output pixels, C columns of weights whose rows are driven in R parts (a tile's rows each,
//! or `tile.rows_at_once` of them) on tiles that partition its columns K-fold, D drives a step (binary digits of its
//! inputs, or 1 as pulses) and T steps, an image has
//!
//! | event | number |
//! |---|---|
//! | word-line drives | row drives, as the spikes were ([`crate::network::drive`]), · K |
//! | device reads | each of them · the devices of a row of its tile |
//! | tile drives | T·P·D·R·K |
//! | conversions = codes | T·P·D·R·(C·slices + unit columns) |
//! | neuron updates | T·P·C |
//! | additions of joins | T · neurons · terms behind the first of their current, and others' pulses that are added to theirs |
//! | companion: bits read, additions | row drives · elements of a row (on average, where it is pruned) · its bits, or 1 |
//!
//! The first two and the companion's follow the spikes; the others are spent whatever the input, for converters,
//! buffers and neurons do not know what comes.

use crate::crossbar::low_rank;
use crate::crossbar::mapping::LayerMap;
use crate::crossbar::site::Site;
use crate::profile::TileInputs;

/// Events of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Events {
    /// Word lines driven, of all tiles.
    pub word_lines: f64,
    /// Devices read.
    pub cell_reads: f64,
    /// Tiles driven.
    pub tile_drives: f64,
    /// Conversions.
    pub conversions: f64,
    /// Neurons updated.
    pub neuron_updates: f64,
    /// Additions of terms that join them.
    pub joins: f64,
    /// Bits of the companion array read.
    pub sram_bits: f64,
    /// Its additions.
    pub sram_adds: f64,
}

impl Events {
    /// Counts the events of a layer over all steps of an image, with so many row drives and so many stored elements of
    /// its companion array.
    pub fn of(site: &Site, map: &LayerMap, steps: f64, drives: f64, elements: usize) -> Self {
        if !site.is_on_rram() {
            return Events::default();
        }
        let pixels = site.pixels as f64;
        let lines = (map.columns / map.groups * map.lines_per_column + map.unit_lines) as f64;
        let passes = steps * pixels * f64::from(drives_a_step(site));
        let converted = (map.columns * map.slices + map.unit_lines) as f64;
        let products = drives * elements as f64 / (site.rows * site.groups) as f64;
        // Every drive meets a row of V of a branch of low rank, and every pass spreads the sums by U, whose products
        // take an addition a bit.
        let (rank, rank_bits) = (low_rank::rank(site) as f64, f64::from(site.sram.rank_bits));
        let (into, spread) = (drives * rank, passes * rank * map.columns as f64);
        Events {
            word_lines: drives * map.column_splits as f64,
            cell_reads: drives * lines,
            tile_drives: passes * drives_of_tiles(site, map) as f64,
            conversions: passes * site.partial_sums() as f64 * converted,
            neuron_updates: steps * site.neurons as f64,
            joins: steps * (site.neurons * site.joins) as f64,
            sram_bits: products * site.companion_bits() as f64 + (into + spread) * rank_bits,
            sram_adds: products + into + spread * rank_bits,
        }
    }
}

/// Drives of a tile in a step: one for each binary digit of its inputs in all planes, or for each plane of pulses or
/// levels.
pub(super) fn drives_a_step(site: &Site) -> u32 {
    if site.tile.inputs == TileInputs::BitPlanes { site.drive.bits } else { site.drive.planes }
}

/// Drives of tiles until each has driven all of its rows once.
fn drives_of_tiles(site: &Site, map: &LayerMap) -> usize {
    if site.groups > 1 { map.tiles * site.turns() } else { site.partial_sums() * map.column_splits }
}
