//! One layer's programmed arrays, RRAM and companion, before they fold into one matrix: the one truth that chips and
//! training program by.

use std::sync::Arc;

use super::low_rank::{self, LowRank};
use super::site::{Place, Site};
use super::sram::{self, Companion};
use super::stored::{self, StoredCode};
use super::trim;
use super::wires::{Layout, LineLoss};
use crate::device::access::Circuit;
use crate::device::cell::{Devices, Lines};
use crate::device::{self, Draw, ProgrammedCells};
use crate::error::{Error, Result};
use crate::profile::Combine;

/// One layer's arrays before they fold into one matrix.
#[derive(Clone, Debug)]
pub struct Arrays {
    /// The cells; of a digital layer, its latent weights.
    pub cells: Arc<ProgrammedCells>,
    /// The companion array, where there is one.
    pub companion: Option<Companion>,
    /// Whether its columns are trimmed: their gains are in the cells.
    trims: bool,
    combine: Combine,
    /// Whether the companion array corrects the cells, and is no network of its own.
    corrects: bool,
    /// Bytes of the trims and of the branch of low rank.
    fixed_bytes: usize,
    /// Bytes of the companion array, where a budget decided how it is stored.
    pub spent_bytes: Option<usize>,
    /// The code of the companion array's weights.
    pub code: StoredCode,
}

impl Arrays {
    /// Programs one layer's latent weights `[columns, rows]`: digital layers keep them, RRAM layers are quantised,
    /// varied by `draw` and joined by the companion array. Training calls this too, with the nominal chip's `loss` on
    /// lines in place of every tile's own.
    ///
    /// # Errors
    /// Where a tile's lines cannot be solved.
    pub fn program(
        site: &Site,
        latent: &[f32],
        companion: sram::CompanionSource,
        draw: Option<Draw>,
        loss: Option<&LineLoss>,
    ) -> Result<Arrays> {
        let cells = Self::program_cells(site, latent, draw, loss)?;
        Ok(Self::beside(site, Arc::new(cells), companion))
    }

    /// Programs one layer's cells alone.
    ///
    /// # Errors
    /// Where a tile's lines cannot be solved.
    pub fn program_cells(
        site: &Site,
        latent: &[f32],
        draw: Option<Draw>,
        loss: Option<&LineLoss>,
    ) -> Result<ProgrammedCells> {
        match site.place {
            Place::Digital => Ok(ProgrammedCells::holding(vec![], crate::numeric::copy(latent))),
            Place::Rram => {
                let of_layer = |error| match error {
                    Error::Mismatch(message) => Error::Mismatch(format!("`{}`: {message}", site.name)),
                    other => other,
                };
                let lines = |devices: &mut [Devices]| match loss {
                    Some(loss) => {
                        loss.apply(devices);
                        Ok(())
                    }
                    None => {
                        Layout::of(site).apply(devices, site.wires, Circuit::new(&site.rram).as_ref()).map_err(of_layer)
                    }
                };
                let lines: Option<Lines> = if site.drops() { Some(&lines) } else { None };
                device::program(latent, site.matrix(), draw, lines)
            }
        }
    }

    /// Programs the companion array beside the cells, where there is one.
    pub fn beside(site: &Site, cells: Arc<ProgrammedCells>, companion: sram::CompanionSource) -> Arrays {
        // Without inputs, as in the profiling that counts them, there are no trims.
        let trims = site.is_trimmed() && !site.inputs.is_empty();
        let cells = if trims { Arc::new(cells.scaled(&trim::gains(site, &cells))) } else { cells };
        let corrects = matches!(companion, sram::CompanionSource::Residual);
        let missing = if corrects && site.has_companion() { sram::missing(&cells) } else { vec![] };
        let low_rank =
            (!missing.is_empty() && low_rank::rank(site) > 0).then(|| LowRank::of(site, &cells.target, &missing));
        let companion = site.has_companion().then(|| {
            let left = low_rank.as_ref().map(|branch| branch.left(&missing));
            let companion = sram::program(&site.sram, companion, left.as_deref().unwrap_or(&missing));
            Companion { low_rank, ..companion }
        });
        let (combine, code) = (site.sram.effective_combine(), site.companion_code());
        Arrays { cells, companion, trims, combine, corrects, fixed_bytes: site.fixed_bytes(), spent_bytes: None, code }
    }

    /// The offsets that trim the columns' sums, in weights times inputs; none where columns are not trimmed. The
    /// companion array is what it will be.
    pub fn offsets(&self, site: &Site) -> Option<Vec<f64>> {
        self.trims.then(|| {
            let correcting = self.companion.as_ref().filter(|_| self.corrects);
            let share = self.companion.as_ref().map_or(1.0, |_| self.combine.share());
            trim::offsets(site, &self.cells, correcting).into_iter().map(|offset| share * offset).collect()
        })
    }

    /// The effective matrix `[columns, rows]` of cells and companion array.
    pub fn fold(&self) -> Vec<f32> {
        self.with_companion(self.cells.folded().into_owned())
    }

    pub(super) fn with_companion(&self, mut folded: Vec<f32>) -> Vec<f32> {
        if let Some(companion) = &self.companion {
            sram::fold(&mut folded, companion, self.combine);
        }
        folded
    }

    /// Elements of the companion array that are not 0.
    pub fn sram_elements(&self) -> usize {
        self.companion.as_ref().map_or(0, |companion| companion.weights.iter().filter(|w| **w != 0.0).count())
    }

    /// The part of the targets that cells and the branch of low rank miss.
    pub fn missing(&self) -> Vec<f32> {
        let missing = sram::missing(&self.cells);
        match self.companion.as_ref().and_then(|companion| companion.low_rank.as_ref()) {
            Some(branch) => branch.left(&missing),
            None => missing,
        }
    }

    /// Bytes that the companion array, its branch of low rank and the trims hold.
    pub fn sram_bytes(&self) -> usize {
        let array = self.companion.as_ref().map(|companion| stored::bytes(&companion.weights, self.code));
        self.spent_bytes.or(array).unwrap_or(0) + self.fixed_bytes
    }
}
