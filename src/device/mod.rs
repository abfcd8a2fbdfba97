//! One cell's physics: what level a weight is programmed to, and how far from it the cell lands.
//!
//! Order, always: quantise, programming variation, drift, faults. Two models: `weight` varies the signed weight
//! ([`variation`]); `cell` has conductances ([`cell`], [`conductance`], [`time`], [`faults`]). Training, both engines
//! and every tool call this code.

pub mod access;
mod assignment;
pub mod cell;
pub mod code;
pub mod conductance;
pub mod devices;
pub mod faults;
mod field;
mod listed;
mod normal;
pub mod quantise;
pub mod remap;
mod selective;
pub mod survey;
pub mod time;
pub mod variation;
pub mod wear;

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::Result;
use crate::profile::{DeviceModel, Rram, Tile};
use crate::rng::{Stream, philox4x32, stream_key};

/// Which programming run a draw belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Draw {
    seed: u64,
    stream: Stream,
    index: u64,
    /// Which time of its life it is read in.
    reads: u32,
}

/// What is drawn, beside the programming of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Errors of converters.
    Converters = 1,
    /// What all cells of a chip share.
    Die = 2,
    /// What all cells of a tile share.
    Tiles = 3,
    /// Cells stuck.
    Stuck = 4,
    /// Lines dead.
    Lines = 5,
    /// Drift and retention.
    Time = 6,
    /// Reads.
    Reads = 7,
    /// Parts of converters.
    Levels = 8,
    /// Noise of converters.
    Noise = 9,
    /// What neighbours on a tile share.
    Neighbours = 10,
    /// What reads take.
    Disturb = 11,
    /// Pulses that cells endure.
    Endurance = 12,
    /// Drivers of word lines.
    Drivers = 13,
}

impl Draw {
    /// Manufactured chip `index` of `seed`.
    pub fn chip(seed: u64, index: u64) -> Self {
        Draw { seed, stream: Stream::Chip, index, reads: 0 }
    }

    /// The fresh draw of training pass `iteration`.
    pub fn training_pass(seed: u64, iteration: u64) -> Self {
        Draw { seed, stream: Stream::TrainingPass, index: iteration, reads: 0 }
    }

    /// The draw of these cells, read at another time.
    pub fn read_before(self) -> Self {
        Draw { reads: 1, ..self }
    }

    /// The key of the cells' programming.
    pub fn cell_key(&self) -> [u32; 2] {
        stream_key(self.seed, self.stream, self.index)
    }

    /// The key of something else: a draw under the cells' key at a place where no cell is.
    pub fn key(&self, purpose: Purpose) -> [u32; 2] {
        let [a, b, ..] = philox4x32(self.cell_key(), [u32::MAX, u32::MAX, u32::MAX, purpose as u32]);
        [a, b]
    }

    /// The key of the reads of a step.
    pub fn read_key(&self, step: usize) -> [u32; 2] {
        let [a, b, ..] = philox4x32(self.key(Purpose::Reads), [step as u32, self.reads, 0, 0]);
        [a, b]
    }

    /// The key of the noise of a layer's converters.
    pub fn noise_key(&self, layer: u32) -> [u32; 2] {
        let [a, b, ..] = philox4x32(self.key(Purpose::Noise), [layer, self.reads, 0, 0]);
        [a, b]
    }

    /// The key of what a lot shares: all chips of a seed, or a training pass alone.
    pub fn lot_key(&self) -> [u32; 2] {
        match self.stream {
            Stream::Chip => stream_key(self.seed, Stream::Lot, 0),
            _ => self.key(Purpose::Die).map(|word| !word),
        }
    }
}

/// One layer's cells after programming: the targets `q` and what the cells hold, `[columns, rows]` as the latent
/// weights are.
#[derive(Clone, Debug)]
pub struct ProgrammedCells {
    /// Quantised targets.
    pub target: Vec<f32>,
    /// Programmed weights, as they are read back.
    pub programmed: Vec<f32>,
    /// What is in operation, slice by slice; absent: the programmed weights, in one.
    pub operation: Option<Vec<CellSlice>>,
    /// Write pulses spent, where they are counted.
    pub pulses: u64,
    /// Reads a step afresh, where they vary.
    pub reads: Option<cell::Reads>,
}

/// What converters see of one slice of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct CellSlice {
    /// Weights, in the slice's own units: it counts 2^places.
    pub weights: Vec<f64>,
    /// What each column's unit column holds, to be subtracted behind converters.
    pub reference: Option<Vec<f64>>,
    /// How many places it counts above the lowest slice.
    pub places: u32,
    /// The factors by which converters scale each column's sums, and those of its unit column; none: 1.
    pub gains: Arc<[f64]>,
}

impl CellSlice {
    fn values(&self) -> usize {
        self.weights.len() + self.reference.as_ref().map_or(0, Vec::len)
    }
}

impl ProgrammedCells {
    /// Cells that hold weights as they are.
    pub fn holding(target: Vec<f32>, programmed: Vec<f32>) -> Self {
        ProgrammedCells { target, programmed, operation: None, pulses: 0, reads: None }
    }

    /// The cells with each column's weights scaled by a gain, which converters apply where there are any.
    pub fn scaled(&self, gains: &[f64]) -> Self {
        let rows = self.programmed.len() / gains.len();
        let of_column = |(weights, gain): (&[f32], &f64)| -> Vec<f32> {
            weights.iter().map(|w| (f64::from(*w) * gain) as f32).collect()
        };
        let scaled = |slice: &CellSlice| CellSlice { gains: joined(&slice.gains, gains), ..slice.clone() };
        ProgrammedCells {
            target: self.target.clone(),
            programmed: self.programmed.chunks(rows).zip(gains).flat_map(of_column).collect(),
            operation: self.operation.as_ref().map(|slices| slices.iter().map(scaled).collect()),
            pulses: self.pulses,
            reads: self.reads.as_ref().map(|reads| reads.scaled(gains)),
        }
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        let slices: usize = self.operation.iter().flatten().map(CellSlice::values).sum();
        let reads = self.reads.as_ref().map_or(0, cell::Reads::values);
        size_of::<f32>() * (self.target.len() + self.programmed.len()) + size_of::<f64>() * (slices + reads)
    }

    /// What converters see.
    pub fn slices(&self) -> Cow<'_, [CellSlice]> {
        match &self.operation {
            Some(slices) => slices.into(),
            None => {
                let weights = self.programmed.iter().map(|w| f64::from(*w)).collect();
                vec![CellSlice { weights, reference: None, places: 0, gains: Arc::default() }].into()
            }
        }
    }

    /// The weights in operation, all slices together.
    pub fn folded(&self) -> Cow<'_, [f32]> {
        self.operation.as_deref().map_or_else(|| (&self.programmed).into(), |slices| fold(slices).into())
    }
}

/// The gains of columns that have some already, if any.
fn joined(gains: &[f64], more: &[f64]) -> Arc<[f64]> {
    if gains.is_empty() { more.into() } else { gains.iter().zip(more).map(|(gain, more)| gain * more).collect() }
}

/// All slices together.
pub fn fold(slices: &[CellSlice]) -> Vec<f32> {
    let mut folded = vec![0.0f64; slices.first().map_or(0, |slice| slice.weights.len())];
    for CellSlice { weights, reference, places, gains } in slices {
        let count = libm::exp2(f64::from(*places));
        let sides = [(weights, count)].into_iter().chain(reference.iter().map(|units| (units, -count)));
        for (weights, count) in sides {
            if gains.is_empty() {
                folded.iter_mut().zip(weights).for_each(|(w, more)| *w += more * count);
                continue;
            }
            let rows = weights.len() / gains.len();
            let columns = folded.chunks_mut(rows).zip(weights.chunks(rows)).zip(&**gains);
            for ((folded, weights), gain) in columns {
                folded.iter_mut().zip(weights).for_each(|(w, more)| *w += more * gain * count);
            }
        }
    }
    folded.into_iter().map(|w| w as f32).collect()
}

/// What one slice of a layer's columns can hold, in the slice's own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The least weight.
    pub lowest: f64,
    /// The greatest.
    pub highest: f64,
    /// What weights are whole multiples of.
    pub unit: f64,
}

impl Span {
    /// The span of quantised weights on their cells.
    pub fn of(rram: &Rram, target: &[f32]) -> Self {
        if rram.model == DeviceModel::Cell {
            return code::Code::new(rram, target).span();
        }
        let scheme = rram.effective_scheme();
        let full = quantise::full_scale(scheme, target);
        Span { lowest: -full, highest: full, unit: quantise::unit(scheme, rram.weight_bits, target) }
    }
}

/// A layer's matrix on its cells: all that programming it depends on, beside its weights and the draw.
#[derive(Clone, Debug)]
pub struct Matrix<'a> {
    /// Rows that a column meets.
    pub rows: usize,
    /// The layer's number.
    pub number: u32,
    /// The cells.
    pub rram: &'a Rram,
    /// The tiles that they stand on.
    pub tile: Tile,
    /// Reads of each row in an image, group after group; none where they were not counted.
    pub reads: Arc<[f64]>,
    /// Mean squares of each row's input, group after group; none where they were not counted.
    pub squares: Arc<[f64]>,
}

impl<'a> Matrix<'a> {
    /// A matrix whose reads were not counted.
    pub fn new(rows: usize, number: u32, rram: &'a Rram, tile: Tile) -> Self {
        Matrix { rows, number, rram, tile, reads: Arc::default(), squares: Arc::default() }
    }
}

/// Programs the latent weights `[columns, rows]` of a matrix; without a draw, cells hold their target. `lines` is what
/// the resistance of lines does to conductances, and its errors are this function's.
pub fn program(
    latent: &[f32],
    matrix: Matrix,
    draw: Option<Draw>,
    lines: Option<cell::Lines>,
) -> Result<ProgrammedCells> {
    let Matrix { rows, number, rram, .. } = matrix;
    let target = quantise::quantise(rram.effective_scheme(), rram.weight_bits, latent);
    if rram.model == DeviceModel::Cell {
        return cell::program(target, matrix, draw, lines);
    }
    let mut programmed = target.clone();
    if let Some(draw) = draw {
        variation::vary(&mut programmed, rows, number, rram, draw.cell_key());
        let exact = (0..target.len()).filter(|i| rram.exact.holds(i % rows, i / rows));
        exact.for_each(|i| programmed[i] = target[i]);
    }
    Ok(ProgrammedCells::holding(target, programmed))
}
