//! One layer's programmed arrays, RRAM and companion, before they fold into one matrix: the one truth that chips and
//! training program by.

use super::adc::Converter;
use super::converted::{Converted, too_large};
use super::mapping::{Place, place};
use super::sram::{self, Companion};
use super::stored::{self, Code};
use super::wires::{Layout, LineLoss};
use crate::device::cell::{Devices, Lines};
use crate::device::{self, CellSlice, Draw, ProgrammedCells, fold};
use crate::error::Result;
use crate::network::{Drive, Layer};
use crate::numeric::grid::{round_to_exact_grid, round_to_training_grid};
use crate::profile::{Combine, Profile};
use std::borrow::Cow;

/// One layer's arrays before they fold into one matrix.
#[derive(Clone, Debug)]
pub struct Arrays {
    /// The cells; of a digital layer, its latent weights.
    pub cells: ProgrammedCells,
    /// The companion array, where there is one.
    pub companion: Option<Companion>,
    combine: Combine,
    /// The code of the companion array's weights.
    pub code: Code,
}

impl Arrays {
    /// Programs one layer `[columns, rows]`: digital layers keep their latent weights, RRAM layers are quantised, varied by
    /// `draw` and joined by the companion array. Training calls this too, with the nominal chip's `loss` on lines in place of
    /// every tile's own.
    ///
    /// # Errors
    /// Where a tile's lines cannot be solved.
    pub fn program(
        profile: &Profile,
        plan: &Layer,
        index: u32,
        latent: &[f32],
        companion: sram::Source,
        draw: Option<Draw>,
        loss: Option<&LineLoss>,
    ) -> Result<Arrays> {
        let (rram, sram) = (profile.rram_of(&plan.name), profile.sram_of(&plan.name));
        let (cells, companion) = match place(profile, plan) {
            Place::Digital => (ProgrammedCells::holding(vec![], crate::numeric::copy(latent)), None),
            Place::Rram => {
                let layout = Layout::of(profile, plan);
                let lines = |devices: &mut [Devices]| match loss {
                    Some(loss) => {
                        loss.apply(devices);
                        Ok(())
                    }
                    None => layout.apply(devices, profile.wires),
                };
                let lines: Option<Lines> = if profile.wires.drop() { Some(&lines) } else { None };
                let cells = device::program(latent, plan.rows(), index, rram, profile.tile, draw, lines)?;
                let companion = (sram.bits > 0).then(|| sram::program(sram, companion, &cells));
                (cells, companion)
            }
        };
        let code = Code::of(sram.effective_scheme(), sram.bits);
        Ok(Arrays { cells, companion, combine: sram.effective_combine(), code })
    }

    /// The effective matrix.
    pub fn fold(&self) -> Vec<f32> {
        self.with_companion(self.cells.folded().into_owned())
    }

    fn with_companion(&self, mut folded: Vec<f32>) -> Vec<f32> {
        if let Some(companion) = &self.companion {
            sram::fold(&mut folded, companion, self.combine);
        }
        folded
    }

    /// What an engine needs: folded, or behind converters where the profile has them; for every step, where reads vary.
    pub fn finish(&self, site: &Site) -> Result<Programmed> {
        self.finish_by(site, round_to_exact_grid)
    }

    /// The same for training, where a sum may be rounded to f32 once, but an error of a chip's grid would reach the
    /// gradients.
    pub fn for_training(&self, site: &Site) -> Result<Programmed> {
        self.finish_by(site, round_to_training_grid)
    }

    fn finish_by(&self, site: &Site, round: impl Fn(&mut [f32], usize, u32) -> Option<i32>) -> Result<Programmed> {
        let Site { profile, plan, drive, steps, .. } = *site;
        let converts = profile.converts() && place(profile, plan) == Place::Rram;
        let folded = |mut weights: Vec<f32>| {
            let grid = round(&mut weights, plan.rows(), drive.exact).ok_or_else(|| too_large(plan))?;
            Ok(Programmed::Folded { weights, grid })
        };
        let converted = |slices: &[CellSlice]| -> Result<Programmed> {
            Ok(Programmed::Converted(Box::new(Converted::new(site, self, slices)?)))
        };
        let mean = if converts { converted(&self.cells.slices())? } else { folded(self.fold())? };
        let Some(reads) = &self.cells.reads else { return Ok(mean) };
        let step = |step: usize| match reads.slices(step) {
            slices if converts => converted(&slices),
            slices => folded(self.with_companion(fold(&slices))),
        };
        Ok(Programmed::Reads { mean: Box::new(mean), steps: (0..steps).map(step).collect::<Result<_>>()? })
    }

    /// Elements of the companion array that are not 0.
    pub fn sram_elements(&self) -> usize {
        self.companion.as_ref().map_or(0, |companion| companion.weights.iter().filter(|w| **w != 0.0).count())
    }

    /// Bytes that the companion array holds.
    pub fn sram_bytes(&self) -> usize {
        self.companion.as_ref().map_or(0, |companion| stored::bytes(&companion.weights, self.code))
    }
}

/// Where a layer's arrays are put to work.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The hardware.
    pub profile: &'a Profile,
    /// The layer's number.
    pub index: u32,
    /// The layer.
    pub plan: &'a Layer,
    /// What drives its word lines.
    pub drive: Drive,
    /// Its calibrated converters, one a slice; none where their range is the full one.
    pub converters: &'a [Converter],
    /// Whose converters' errors and reads they are; none have none.
    pub draw: Option<Draw>,
    /// Time steps.
    pub steps: usize,
}

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
    /// The effective matrix `[columns, rows]`: what gradients go through.
    pub fn effective(&self) -> Cow<'_, [f32]> {
        match self {
            Programmed::Folded { weights, .. } => weights.into(),
            Programmed::Converted(converted) => converted.effective().into(),
            Programmed::Reads { mean, .. } => mean.effective(),
        }
    }

    /// What runs: itself, or one a step.
    pub fn each(&self) -> &[Programmed] {
        match self {
            Programmed::Reads { steps, .. } => steps,
            one => std::slice::from_ref(one),
        }
    }

    /// The converters' side, of the first step where reads vary.
    pub fn converted(&self) -> Option<&Converted> {
        match self.each().first()? {
            Programmed::Converted(converted) => Some(converted),
            _ => None,
        }
    }
}
