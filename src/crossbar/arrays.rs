//! One layer's programmed arrays, RRAM and companion, before they fold into one matrix: the one truth that chips and
//! training program by.

use super::adc::Converter;
use super::converted::{Converted, too_large};
use super::mapping::{Place, place};
use super::sram::{self, Companion};
use super::stored::{self, Code};
use super::wires::{Layout, LineLoss};
use crate::device::cell::{Devices, Lines};
use crate::device::{self, Draw, ProgrammedCells};
use crate::error::Result;
use crate::network::{Drive, Layer};
use crate::numeric::grid::{round_to_exact_grid, round_to_training_grid};
use crate::profile::{Combine, Profile};
use std::borrow::Cow;

/// One layer's arrays before they fold into one matrix.
#[derive(Clone, Debug, PartialEq)]
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
    pub fn program(
        profile: &Profile,
        plan: &Layer,
        index: u32,
        latent: &[f32],
        companion: sram::Source,
        draw: Option<Draw>,
        loss: Option<&LineLoss>,
    ) -> Arrays {
        let (rram, sram) = (profile.rram_of(&plan.name), profile.sram_of(&plan.name));
        let (cells, companion) = match place(profile, plan) {
            Place::Digital => (ProgrammedCells::holding(vec![], crate::numeric::copy(latent)), None),
            Place::Rram => {
                let layout = Layout::of(profile, plan);
                let lines = |devices: &mut [Devices]| match loss {
                    Some(loss) => loss.apply(devices),
                    None => layout.apply(devices, profile.wires),
                };
                let lines: Option<Lines> = if profile.wires.drop() { Some(&lines) } else { None };
                let cells = device::program(latent, plan.rows(), index, rram, profile.tile, draw, lines);
                let companion = (sram.bits > 0).then(|| sram::program(sram, companion, &cells));
                (cells, companion)
            }
        };
        let code = Code::of(sram.effective_scheme(), sram.bits);
        Arrays { cells, companion, combine: sram.effective_combine(), code }
    }

    /// The effective matrix.
    pub fn fold(self) -> Vec<f32> {
        let mut folded = self.cells.folded();
        if let Some(companion) = &self.companion {
            sram::fold(&mut folded, companion, self.combine);
        }
        folded
    }

    /// What an engine needs of layer number `index`: folded, or behind converters where the profile has them.
    pub fn finish(
        self,
        profile: &Profile,
        layer: (u32, &Layer),
        drive: Drive,
        calibrated: &[Converter],
        draw: Option<Draw>,
    ) -> Result<Programmed> {
        self.finish_by(profile, layer, drive, calibrated, draw, round_to_exact_grid)
    }

    /// The same for training, where a sum may be rounded to f32 once, but an error of a chip's grid would reach the
    /// gradients.
    pub fn for_training(
        self,
        profile: &Profile,
        layer: (u32, &Layer),
        drive: Drive,
        calibrated: &[Converter],
        draw: Option<Draw>,
    ) -> Result<Programmed> {
        self.finish_by(profile, layer, drive, calibrated, draw, round_to_training_grid)
    }

    fn finish_by(
        self,
        profile: &Profile,
        (index, plan): (u32, &Layer),
        drive: Drive,
        calibrated: &[Converter],
        draw: Option<Draw>,
        round: impl Fn(&mut [f32], usize, u32) -> Option<i32>,
    ) -> Result<Programmed> {
        if profile.converts() && place(profile, plan) == Place::Rram {
            let converted = Converted::new(profile, (index, plan), &self, drive, calibrated, draw)?;
            return Ok(Programmed::Converted(Box::new(converted)));
        }
        let mut weights = self.fold();
        let grid = round(&mut weights, plan.rows(), drive.exact).ok_or_else(|| too_large(plan))?;
        Ok(Programmed::Folded { weights, grid })
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
}

impl Programmed {
    /// The effective matrix `[columns, rows]`: what gradients go through.
    pub fn effective(&self) -> Cow<'_, [f32]> {
        match self {
            Programmed::Folded { weights, .. } => weights.into(),
            Programmed::Converted(converted) => converted.effective().into(),
        }
    }

    /// Partial sums of a column: 1 where no converter sees them.
    pub fn partitions(&self, plan: &Layer) -> usize {
        match self {
            Programmed::Folded { .. } => 1,
            Programmed::Converted(converted) => converted.partitions(plan),
        }
    }
}
