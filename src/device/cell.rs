//! Cells with conductances: what a weight's devices are programmed to, where they land, what time and faults make of them.
//!
//! A weight is `q = j·u`, u the scheme's unit, |j| ≤ L where |q| = 1 (or the layer's largest, if that is more). Its devices
//! ([`CellMapping`]):
//!
//! | mapping | magnitude held | devices | weight |
//! |---|---|---|---|
//! | `one_sided` | |j|, of 0 … L | a pair; the one of the other sign stays at level 0 | (G⁺ − G⁻)/ΔG·top·u |
//! | `two_sided` | L ± j, of 0 … 2L | a pair that moves from the middle in opposite directions | (G⁺ − G⁻)/ΔG·L·u |
//! | `offset` | j + L, of 0 … 2L | one, and a unit column that holds L in every tile | (G − G_unit)/ΔG·top·u |
//!
//! `G = G_min + level·(G_max − G_min)/top`, ΔG = G_max − G_min. A cell of `bits` bits holds a digit of the magnitude, top =
//! 2^bits − 1, and slice s counts 2^(bits·s), least significant first; without `bits` one device holds it all. Floats take any
//! conductance between.
//!
//! Order, always: target, programming variation (with lot, die and tile, and write-verify), read-back, drift and retention
//! ([`super::time`]), faults ([`super::faults`]). All conductances are in microsiemens. Each device draws from Philox substreams
//! of its own, named by row, column, layer, slice and polarity: a chip stays itself when tiles, batches or scales change.

use rayon::prelude::*;

use super::conductance::Law;
use super::quantise::{full_scale, unit};
use super::{CellSlice, Draw, ProgrammedCells, Span, faults, time};
use crate::profile::{CellMapping, DeviceModel, Rram, Tile};

/// Which of a weight's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Polarity {
    /// The device that adds.
    Plus = 0,
    /// The device of a pair that is subtracted.
    Minus = 1,
    /// The unit column's.
    Unit = 2,
}

/// The place of a device in its layer, and the layer's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Row of the layer's matrix.
    pub row: usize,
    /// Column of the layer's matrix; the tile's of a unit column.
    pub column: usize,
    /// The layer's number.
    pub layer: u32,
    /// The slice, from the least significant.
    pub slice: u32,
    /// Which device.
    pub polarity: Polarity,
}

impl Place {
    /// The words that name its substream.
    pub fn words(&self) -> [u32; 3] {
        [self.row as u32, self.column as u32, self.layer | self.slice << 20 | (self.polarity as u32) << 28]
    }
}

/// One slice's devices, conductances in microsiemens.
#[derive(Clone, Debug, PartialEq)]
pub struct Devices {
    /// `[columns, rows]`.
    pub plus: Vec<f64>,
    /// The pair's other devices, `[columns, rows]`; or the unit column of each tile, `[column tiles, rows]`.
    pub minus: Vec<f64>,
}

/// How a layer's columns stand on tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Columns of weights that a tile holds.
    pub per_tile: usize,
}

impl Columns {
    /// Of weights of magnitude up to 1, on tiles of so many bit lines.
    pub fn of(rram: &Rram, tile: Tile) -> Self {
        let (weight, units) = bit_lines(rram);
        Columns { per_tile: (tile.cols.saturating_sub(units) / weight).max(1) }
    }

    /// The tile, along the columns, that a column stands on.
    pub fn tile(&self, column: usize) -> usize {
        column / self.per_tile
    }

    /// Tiles of so many columns.
    pub fn tiles(&self, columns: usize) -> usize {
        columns.div_ceil(self.per_tile)
    }
}

/// Bit lines that a weight of magnitude up to 1 takes, and those that the unit columns of a tile do.
pub fn bit_lines(rram: &Rram) -> (usize, usize) {
    if rram.model == DeviceModel::Weight {
        return (1, 0);
    }
    let slices = Code::new(rram, &[1.0]).slices() as usize;
    if rram.cell.mapping == CellMapping::Offset { (slices, slices) } else { (2 * slices, 0) }
}

/// How a layer's weights stand on devices.
#[derive(Clone, Debug)]
pub struct Code<'a> {
    rram: &'a Rram,
    /// What one level counts in a weight.
    unit: f64,
    /// The largest magnitude of j.
    levels: f64,
    g_min: f64,
    g_max: f64,
}

impl<'a> Code<'a> {
    /// For a layer's quantised weights.
    pub fn new(rram: &'a Rram, target: &[f32]) -> Self {
        let scheme = rram.effective_scheme();
        let full = full_scale(scheme, target);
        // Floats have no levels: one of them is the whole range.
        let floats = scheme == crate::profile::Scheme::Float;
        let unit = if floats { full } else { unit(scheme, rram.weight_bits, target) };
        let levels = if floats { 1.0 } else { libm::rint(full / unit) };
        Code { rram, unit, levels, g_min: rram.cell.lowest_us(), g_max: rram.cell.g_max_us }
    }

    /// The largest magnitude that a weight's devices hold together.
    fn largest(&self) -> f64 {
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

    /// The weight that a device's whole range counts, in its slice's own units.
    fn range(&self) -> f64 {
        let share = if self.rram.cell.mapping == CellMapping::TwoSided { 0.5 } else { 1.0 };
        self.top() * self.unit * share
    }

    /// What a column can hold: a pair either sign, a raised device none below 0.
    pub fn span(&self) -> Span {
        match self.rram.cell.mapping {
            CellMapping::Offset => {
                let highest = self.range() * self.g_max / (self.g_max - self.g_min);
                Span { lowest: 0.0, highest, unit: self.unit }
            }
            _ => Span { lowest: -self.range(), highest: self.range(), unit: self.unit },
        }
    }

    /// The device that is subtracted.
    fn other(&self) -> Polarity {
        if self.rram.cell.mapping == CellMapping::Offset { Polarity::Unit } else { Polarity::Minus }
    }

    /// The target of a device of a weight.
    fn target(&self, q: f32, slice: u32, polarity: Polarity) -> f64 {
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
            bits => f64::from((libm::rint(magnitude) as u32 >> (bits * slice)) & ((1 << bits) - 1)),
        };
        self.g_min + level * (self.g_max - self.g_min) / self.top()
    }

    /// The level that a target stands for.
    fn level(&self, target: f64) -> f64 {
        (target - self.g_min) / (self.g_max - self.g_min) * self.top()
    }

    /// The weights that devices stand for; `columns` says which tile's unit column a column has.
    pub fn weights(&self, slice: u32, devices: &Devices, rows: usize, columns: Columns) -> CellSlice {
        let scale = self.range() / (self.g_max - self.g_min);
        let places = slice * self.rram.cell.bits;
        if self.rram.cell.mapping != CellMapping::Offset {
            let pairs = devices.plus.par_iter().zip(&devices.minus);
            let weights = pairs.map(|(plus, minus)| (plus - minus) * scale).collect();
            return CellSlice { weights, reference: None, places };
        }
        let raised = |g: &f64| g * scale;
        let units = devices
            .plus
            .par_chunks(rows)
            .enumerate()
            .flat_map_iter(|(column, _)| devices.minus[columns.tile(column) * rows..][..rows].iter().map(raised));
        CellSlice { weights: devices.plus.par_iter().map(raised).collect(), reference: Some(units.collect()), places }
    }
}

/// Programs a layer's targets `[columns, rows]`; without a draw, devices land on their targets and only what is the same for
/// all of them happens.
pub fn program(
    target: Vec<f32>,
    rows: usize,
    layer: u32,
    rram: &Rram,
    tile: Tile,
    draw: Option<Draw>,
) -> ProgrammedCells {
    let code = Code::new(rram, &target);
    let columns = Columns::of(rram, tile);
    let law = Law::new(rram, draw, tile, columns);
    let mut pulses = 0;
    let mut written: Vec<Devices> = Vec::new();
    for slice in 0..code.slices() {
        let mut program = |polarity: Polarity, q: &(dyn Fn(usize) -> f32 + Sync), count: usize| -> Vec<f64> {
            let device = |i: usize| {
                let place = Place { row: i % rows, column: i / rows, layer, slice, polarity };
                let target = code.target(q(i), slice, polarity);
                law.program(target, code.level(target), place)
            };
            let (conductances, spent): (Vec<f64>, Vec<u32>) = (0..count).into_par_iter().map(device).unzip();
            pulses += spent.into_iter().map(u64::from).sum::<u64>();
            conductances
        };
        let plus = program(Polarity::Plus, &|i| target[i], target.len());
        let minus = match rram.cell.mapping {
            CellMapping::Offset => program(Polarity::Unit, &|_| 0.0, columns.tiles(target.len() / rows) * rows),
            _ => program(Polarity::Minus, &|i| target[i], target.len()),
        };
        written.push(Devices { plus, minus });
    }
    let finish = |aged: bool| -> Vec<CellSlice> {
        let slices = written.iter().enumerate().map(|(slice, devices)| {
            let mut devices = devices.clone();
            for (polarity, conductances) in [(Polarity::Plus, &mut devices.plus), (code.other(), &mut devices.minus)] {
                conductances.par_iter_mut().enumerate().for_each(|(i, g)| {
                    let place = Place { row: i % rows, column: i / rows, layer, slice: slice as u32, polarity };
                    if aged {
                        *g = time::after(&rram.drift, *g, place, draw);
                    }
                    *g = faults::stuck(&rram.faults, *g, (code.g_min, code.g_max), place, draw);
                });
            }
            if let Some(draw) = draw.filter(|_| rram.faults.any()) {
                faults::dead_lines(&rram.faults, &mut devices, (rows, layer, slice as u32), (tile, columns), draw);
            }
            code.weights(slice as u32, &devices, rows, columns)
        });
        slices.collect()
    };
    let read_back = finish(false);
    let operation = if rram.drift.any() { finish(true) } else { read_back.clone() };
    ProgrammedCells { target, programmed: super::fold(&read_back), operation: Some(operation), pulses }
}
