//! A layer's columns, ready to be summed: folded into one matrix, or tile by tile behind converters.

use super::arrays::Programmed;
use super::laid::Laid;
use super::partials::Partials;
use super::patches::Patches;
use super::sums::{Band, Input, Kernel, Matrix, Scratch};
use crate::network::{Drive, Layer};

/// A layer's columns.
#[derive(Debug)]
pub enum Columns {
    /// One exact sum a column.
    Folded(Box<Matrix>),
    /// Partial sums and their codes.
    Converted(Box<Partials>),
}

impl Columns {
    /// Of a programmed layer whose inputs are like this; the kernel never changes a result.
    pub fn new(plan: &Layer, programmed: &Programmed, input: Input, drive: Drive, kernel: Kernel) -> Self {
        match programmed {
            Programmed::Folded { weights, grid } => {
                Columns::Folded(Box::new(Matrix::new(plan, weights, *grid, input, kernel)))
            }
            Programmed::Converted(converted) => {
                Columns::Converted(Box::new(Partials::new(plan, converted, input, drive)))
            }
        }
    }

    /// How inputs are laid out.
    pub fn patches(&self) -> &Patches {
        match self {
            Columns::Folded(matrix) => &matrix.patches,
            Columns::Converted(partials) => &partials.patches,
        }
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        match self {
            Columns::Folded(matrix) => matrix.blocks(),
            Columns::Converted(partials) => partials.blocks(),
        }
    }

    /// Maps whose sums are best made at once, given whole maps.
    pub fn maps_at_once(&self) -> usize {
        match self {
            Columns::Folded(matrix) => matrix.maps_at_once(),
            Columns::Converted(_) => 1,
        }
    }

    /// Sums `[maps, blocks, pixels of the band, 16]`, the planes of the inputs joined.
    pub fn sums(&self, laid: &Laid, band: Band, scratch: &mut Scratch, out: &mut [f32]) {
        match self {
            Columns::Folded(matrix) => matrix.sums(laid, band, scratch, out),
            Columns::Converted(partials) => partials.sums(laid, band, out),
        }
    }

    /// Sums `[blocks, maps, 16]` of a fully connected layer, in parallel.
    pub fn connect(&self, laid: &Laid) -> Vec<f32> {
        match self {
            Columns::Folded(matrix) => matrix.connect(laid),
            Columns::Converted(partials) => partials.connect(laid),
        }
    }

    /// Sums clipped by converters and totals saturated in adders, since this was last asked.
    pub fn take_tally(&self) -> (u64, u64) {
        match self {
            Columns::Folded(_) => (0, 0),
            Columns::Converted(partials) => partials.take_tally(),
        }
    }
}
