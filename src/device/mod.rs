//! One cell's physics: what level a weight is programmed to, and how far from it the cell lands.
//!
//! Order, always: quantise, then programming variation. Training, both engines and every tool call this code.

pub mod quantise;
pub mod variation;

use crate::profile::Rram;
use crate::rng::{Stream, stream_key};

/// Which programming run a draw belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    seed: u64,
    stream: Stream,
    index: u64,
}

impl Draw {
    /// Manufactured chip `index` of `seed`.
    pub fn chip(seed: u64, index: u64) -> Self {
        Draw { seed, stream: Stream::Chip, index }
    }

    /// The fresh draw of training pass `iteration`.
    pub fn training_pass(seed: u64, iteration: u64) -> Self {
        Draw { seed, stream: Stream::TrainingPass, index: iteration }
    }

    /// The key of the cells' programming.
    pub fn cell_key(&self) -> [u32; 2] {
        stream_key(self.seed, self.stream, self.index)
    }

    /// The key of the converters' errors.
    pub fn converter_key(&self) -> [u32; 2] {
        let stream = if self.stream == Stream::Chip { Stream::Converter } else { Stream::ConverterPass };
        stream_key(self.seed, stream, self.index)
    }
}

/// One layer's cells after programming: the targets `q` and what the cells hold, both `[columns, rows]` as the latent
/// weights are.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgrammedCells {
    /// Quantised targets.
    pub target: Vec<f32>,
    /// Programmed weights.
    pub programmed: Vec<f32>,
}

/// Programs the latent weights `[columns, rows]` of layer number `layer`; without a draw, cells hold their target.
pub fn program(latent: &[f32], rows: usize, layer: u32, rram: &Rram, draw: Option<Draw>) -> ProgrammedCells {
    let target = quantise::quantise(rram.effective_scheme(), rram.weight_bits, latent);
    let mut programmed = target.clone();
    if let Some(draw) = draw {
        variation::vary(&mut programmed, rows, layer, &rram.variation, draw.cell_key());
    }
    ProgrammedCells { target, programmed }
}
