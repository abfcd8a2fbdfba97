//! A weight on its devices: the level that each of them stands for, the conductance that it is asked for, and the
//! weight that columns see of it.
//!
//! A weight is `q = j·u`, u the scheme's unit, |j| ≤ L where |q| = 1, or the layer's largest, if that is more and cells
//! have no `bits`: slices are as many as |q| = 1 takes, and hold larger weights as far as they can. Its devices
//! ([`CellMapping`]):
//!
//! | mapping | magnitude held | devices | weight |
//! |---|---|---|---|
//! | `one_sided` | |j|, of 0 … L | a pair; the one of the other sign stays at level 0 | (G⁺ − G⁻)/ΔG·top·u |
//! | `two_sided` | L ± j, of 0 … 2L | a pair that moves from the middle in opposite directions | (G⁺ − G⁻)/ΔG·L·u |
//! | `offset` | j + L, of 0 … 2L | one, and a unit column that holds L in every tile | (G − G_unit)/ΔG·top·u |
//!
//! `G = G_min + level·(G_max − G_min)/top`, ΔG = G_max − G_min. A cell of `bits` bits holds a digit of the magnitude,
//! top = 2^bits − 1, and slice s counts 2^(bits·s), least significant first; without `bits` one device holds it all.
//! Floats take any conductance between. Where the conductances that a cell can have are listed, a digit d is the d-th
//! of them; without `bits` a device is programmed to the nearest one, and a pair to those two whose difference is
//! nearest to the weight's.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;

use super::access::Circuit;
use super::devices::{Devices, Polarity, TileColumns};
use super::listed::{ConductancePair, nearest, pairs};
use super::quantise::{full_scale, unit};
use super::{CellSlice, Span};
use crate::profile::{CellMapping, DeviceModel, Rram, Scheme, Tile};

impl TileColumns {
    /// How columns of weights of magnitude up to 1 stand on tiles of so many bit lines.
    pub fn of(rram: &Rram, tile: Tile) -> Self {
        let (weight, units) = bit_lines(rram);
        TileColumns { per_tile: (tile.cols.saturating_sub(units) / weight).max(1), spares: rram.faults.spare_columns() }
    }
}

/// Slices of a weight of magnitude up to 1.
pub fn slices(rram: &Rram) -> usize {
    if rram.model == DeviceModel::Weight { 1 } else { Code::new(rram, &[1.0]).slices() as usize }
}

/// Levels that a device has to hold, or all slices of one together, for weights of magnitude up to 1.
pub fn magnitudes(rram: &Rram) -> u32 {
    Code::new(rram, &[1.0]).largest() as u32 + 1
}

/// Bit lines that a weight of magnitude up to 1 takes, and those that the unit columns of a tile do.
pub fn bit_lines(rram: &Rram) -> (usize, usize) {
    if rram.model == DeviceModel::Weight {
        return (1, 0);
    }
    let slices = slices(rram);
    if rram.cell.mapping == CellMapping::Offset { (slices, slices) } else { (2 * slices, 0) }
}

/// How a layer's weights stand on devices.
#[derive(Clone, Debug)]
pub struct Code<'a> {
    pub(super) rram: Cow<'a, Rram>,
    /// What one level counts in a weight.
    unit: f64,
    /// The largest magnitude of j.
    levels: f64,
    pub(super) g_min: f64,
    pub(super) g_max: f64,
    /// The conductances that columns see of the lowest and the highest.
    seen: [f64; 2],
    /// The pairs that a weight's devices can be, where conductances are listed and a device holds every level.
    pairs: Arc<[ConductancePair]>,
}

impl<'a> Code<'a> {
    /// For a layer's quantised weights.
    pub fn new(rram: &'a Rram, target: &[f32]) -> Self {
        let scheme = rram.effective_scheme();
        let full = match scheme {
            Scheme::Uniform | Scheme::Integer | Scheme::Dorefa if rram.cell.bits > 0 => 1.0,
            _ => full_scale(scheme, target),
        };
        // Floats have no levels: one of them is the whole range.
        let floats = scheme == Scheme::Float;
        let unit = if floats { full } else { unit(scheme, rram.weight_bits, target) };
        let levels = if floats { 1.0 } else { libm::rint(full / unit) };
        let (g_min, g_max) = (rram.cell.lowest_us(), rram.cell.highest_us());
        let circuit = Circuit::new(rram);
        let seen = [g_min, g_max].map(|g| circuit.as_ref().map_or(g, |circuit| circuit.seen(g)));
        Code { rram: Cow::Borrowed(rram), unit, levels, g_min, g_max, seen, pairs: pairs(&rram.cell) }
    }

    /// The code with hardware of its own.
    pub(super) fn owned(&self) -> Code<'static> {
        Code { rram: Cow::Owned(self.rram.clone().into_owned()), pairs: self.pairs.clone(), ..*self }
    }

    /// The largest magnitude that a weight's devices hold together.
    pub(super) fn largest(&self) -> f64 {
        if self.rram.cell.mapping == CellMapping::OneSided { self.levels } else { 2.0 * self.levels }
    }

    /// Slices of a weight.
    pub fn slices(&self) -> u32 {
        match self.rram.cell.bits {
            0 => 1,
            bits => ((self.largest() as u64).ilog2() + 1).div_ceil(bits),
        }
    }

    /// The highest level of a device.
    pub fn top(&self) -> f64 {
        match self.rram.cell.bits {
            0 => self.largest(),
            bits => f64::from((1u32 << bits) - 1),
        }
    }

    /// The largest weight.
    pub(super) fn full(&self) -> f64 {
        self.unit * self.levels
    }

    /// The weight that a device's whole range counts, in its slice's own units.
    pub(super) fn range(&self) -> f64 {
        let share = if self.rram.cell.mapping == CellMapping::TwoSided { 0.5 } else { 1.0 };
        self.top() * self.unit * share
    }

    /// What a column can hold: a pair either sign, a raised device none below 0.
    pub fn span(&self) -> Span {
        match self.rram.cell.mapping {
            CellMapping::Offset => {
                let [lowest, highest] = self.seen;
                let highest = self.range() * highest / (highest - lowest);
                Span { lowest: 0.0, highest, unit: self.unit }
            }
            _ => Span { lowest: -self.range(), highest: self.range(), unit: self.unit },
        }
    }

    /// The device that is subtracted.
    pub(super) fn other(&self) -> Polarity {
        if self.rram.cell.mapping == CellMapping::Offset { Polarity::Unit } else { Polarity::Minus }
    }

    /// The target of a device of a weight.
    pub(super) fn target(&self, q: f32, slice: u32, polarity: Polarity) -> f64 {
        let j = f64::from(q) / self.unit;
        let magnitude = match (self.rram.cell.mapping, polarity) {
            (CellMapping::OneSided, Polarity::Minus) => (-j).max(0.0),
            (CellMapping::OneSided, _) => j.max(0.0),
            (CellMapping::TwoSided, Polarity::Minus) => self.levels - j,
            (CellMapping::Offset, Polarity::Unit) => self.levels,
            (CellMapping::TwoSided | CellMapping::Offset, _) => self.levels + j,
        };
        let level = match self.rram.cell.bits {
            0 => magnitude,
            bits => {
                let most = libm::exp2(f64::from(bits * self.slices())) - 1.0;
                f64::from((libm::rint(magnitude).min(most) as u32 >> (bits * slice)) & ((1 << bits) - 1))
            }
        };
        let evenly = self.g_min + level * (self.g_max - self.g_min) / self.top();
        let listed = &self.rram.cell.levels_us;
        match (listed.is_empty(), self.rram.cell.bits, self.rram.cell.mapping) {
            (true, ..) => evenly,
            (false, 0, CellMapping::Offset) => nearest(listed, evenly, |level| *level),
            (false, 0, _) => {
                let difference = j / self.levels * (self.g_max - self.g_min);
                let pair = nearest(&self.pairs, difference, |pair| pair.difference);
                if polarity == Polarity::Minus { pair.minus } else { pair.plus }
            }
            (false, ..) => listed[level as usize],
        }
    }

    /// The conductance nearest to one that a device can be asked for.
    pub(super) fn reachable(&self, g: f64) -> f64 {
        let listed = &self.rram.cell.levels_us;
        if listed.is_empty() { g.clamp(self.g_min, self.g_max) } else { nearest(listed, g, |level| *level) }
    }

    /// The level that a target stands for, of a list its place.
    pub(super) fn level(&self, target: f64) -> f64 {
        let listed = &self.rram.cell.levels_us;
        if listed.is_empty() {
            return (target - self.g_min) / (self.g_max - self.g_min) * self.top();
        }
        listed.partition_point(|level| *level < target) as f64
    }

    /// What a microsiemens that columns see counts in a slice's own units.
    pub fn per_us(&self) -> f64 {
        self.range() / (self.seen[1] - self.seen[0])
    }

    /// The weights that devices stand for, of which columns see these conductances; `columns` says which tile's unit
    /// column a column has.
    pub fn weights(&self, slice: u32, devices: &Devices, rows: usize, columns: TileColumns) -> CellSlice {
        let scale = self.per_us();
        let places = slice * self.rram.cell.bits;
        if self.rram.cell.mapping != CellMapping::Offset {
            let pairs = devices.plus.par_iter().zip(&devices.minus);
            let weights = pairs.map(|(plus, minus)| (plus - minus) * scale).collect();
            return CellSlice { weights, reference: None, places, gains: Arc::default() };
        }
        let raised = |g: &f64| g * scale;
        let units = devices
            .plus
            .par_chunks(rows)
            .enumerate()
            .flat_map_iter(|(column, _)| devices.minus[columns.tile(column) * rows..][..rows].iter().map(raised));
        let weights = devices.plus.par_iter().map(raised).collect();
        CellSlice { weights, reference: Some(units.collect()), places, gains: Arc::default() }
    }
}
