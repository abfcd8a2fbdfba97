//! One layer's programmed arrays, RRAM and companion, before they fold into one matrix: the one truth that chips and
//! training program by.

use super::mapping::{Place, place};
use super::sram::{self, Companion};
use super::stored::{self, Code};
use crate::device::{self, Draw, ProgrammedCells};
use crate::network::Layer;
use crate::profile::{Combine, Profile};

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
    /// `draw` and joined by the companion array. Training calls this too.
    pub fn program(
        profile: &Profile,
        plan: &Layer,
        index: u32,
        latent: &[f32],
        companion: sram::Source,
        draw: Option<Draw>,
    ) -> Arrays {
        let (rram, sram) = (profile.rram_of(&plan.name), profile.sram_of(&plan.name));
        let (cells, companion) = match place(profile, plan) {
            Place::Digital => (ProgrammedCells { target: vec![], programmed: crate::numeric::copy(latent) }, None),
            Place::Rram => {
                let cells = device::program(latent, plan.rows(), index, rram, draw);
                let companion = (sram.bits > 0).then(|| sram::program(sram, companion, &cells));
                (cells, companion)
            }
        };
        let code = Code::of(sram.effective_scheme(), sram.bits);
        Arrays { cells, companion, combine: sram.effective_combine(), code }
    }

    /// The effective matrix.
    pub fn fold(self) -> Vec<f32> {
        let mut folded = self.cells.programmed;
        if let Some(companion) = &self.companion {
            sram::fold(&mut folded, companion, self.combine);
        }
        folded
    }

    /// Bytes that the companion array holds.
    pub fn sram_bytes(&self) -> usize {
        self.companion.as_ref().map_or(0, |companion| stored::bytes(&companion.weights, self.code))
    }
}
