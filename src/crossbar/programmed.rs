//! One layer's arrays as an engine sees them: folded into one matrix, behind converters, or read afresh every step.

use std::borrow::Cow;

use super::arrays::Arrays;
use super::converted::{Converted, too_large};
use super::reading::Reading;
use super::site::Site;
use crate::device::{CellSlice, fold};
use crate::error::Result;
use crate::numeric::grid::{round_to_exact_grid, round_to_training_grid};

/// One layer's arrays as an engine sees them.
#[derive(Clone, Debug, PartialEq)]
pub enum Programmed {
    /// With ideal converters cells, pairs and the companion array are linear and fold into one effective matrix.
    Folded {
        /// `[columns, rows]`, rows in published order.
        weights: Vec<f32>,
        /// The weights are multiples of 2^-grid.
        grid: i32,
    },
    /// Partial sums that converters see.
    Converted(Box<Converted>),
    /// Cells that are read afresh every step.
    Reads {
        /// Without that.
        mean: Box<Programmed>,
        /// One a step.
        steps: Vec<Programmed>,
    },
}

impl Programmed {
    /// A layer's arrays on the grid of a chip: every sum is exact in f32.
    pub fn new(site: &Site, arrays: &Arrays, reading: Reading) -> Result<Self> {
        Self::on_grid(site, arrays, reading, round_to_exact_grid)
    }

    /// A layer's arrays on the grid of training, where a sum may be rounded to f32 once, but an error of a chip's grid
    /// would reach the gradients.
    pub fn for_training(site: &Site, arrays: &Arrays, reading: Reading) -> Result<Self> {
        Self::on_grid(site, arrays, reading, round_to_training_grid)
    }

    fn on_grid(
        site: &Site,
        arrays: &Arrays,
        reading: Reading,
        round: impl Fn(&mut [f32], usize, u32) -> Option<i32>,
    ) -> Result<Self> {
        let folded = |mut weights: Vec<f32>| {
            site.resolve(&mut weights);
            let grid = round(&mut weights, site.rows, site.drive.exact).ok_or_else(|| too_large(&site.name))?;
            Ok(Programmed::Folded { weights, grid })
        };
        let converted = |slices: &[CellSlice]| -> Result<Programmed> {
            Ok(Programmed::Converted(Box::new(Converted::new(site, arrays, slices, reading)?)))
        };
        let converts = site.converts();
        let mean = if converts { converted(&arrays.cells.slices())? } else { folded(arrays.fold())? };
        let Some(reads) = &arrays.cells.reads else { return Ok(mean) };
        let step = |step: usize| match reads.slices(step) {
            slices if converts => converted(&slices),
            slices => folded(arrays.with_companion(fold(&slices))),
        };
        Ok(Programmed::Reads { mean: Box::new(mean), steps: (0..reading.steps).map(step).collect::<Result<_>>()? })
    }

    /// The programmed matrix with each folded matrix replaced by what `spread` makes of it.
    pub fn spread(self, spread: &impl Fn(&[f32]) -> Vec<f32>) -> Self {
        match self {
            Programmed::Folded { weights, grid } => Programmed::Folded { weights: spread(&weights), grid },
            Programmed::Reads { mean, steps } => Programmed::Reads {
                mean: Box::new(mean.spread(spread)),
                steps: steps.into_iter().map(|step| step.spread(spread)).collect(),
            },
            converted => converted,
        }
    }

    /// The effective matrix `[columns, rows]`: what gradients go through.
    pub fn effective(&self) -> Cow<'_, [f32]> {
        match self {
            Programmed::Folded { weights, .. } => weights.into(),
            Programmed::Converted(converted) => converted.effective().into(),
            Programmed::Reads { mean, .. } => mean.effective(),
        }
    }

    /// The arrays that run: these, or one a step.
    pub fn each(&self) -> &[Programmed] {
        match self {
            Programmed::Reads { steps, .. } => steps,
            one => std::slice::from_ref(one),
        }
    }

    /// Steps that give other sums of the same inputs: all where cells are read or sums converted afresh, else 1.
    pub fn steps(&self) -> usize {
        let noisy = self.converted().and_then(|converted| converted.noise.as_ref());
        noisy.map_or(self.each().len(), |noise| noise.steps)
    }

    /// The converters' side, of the first step where reads vary.
    pub fn converted(&self) -> Option<&Converted> {
        match self.each().first()? {
            Programmed::Converted(converted) => Some(converted),
            _ => None,
        }
    }
}
