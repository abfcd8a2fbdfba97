//! A layer's columns, ready to be summed: folded into one matrix, or tile by tile behind converters.

use rayon::prelude::*;

use super::laid::{Band, Laid};
use super::partials::Partials;
use super::patches::Patches;
use super::sums::{Scratch, WeightMatrix};
use super::ways::Kernel;
use crate::crossbar::programmed::Programmed;
use crate::kernels::digits::LANES;
use crate::plan::LayerPlan;

/// A layer's columns.
#[derive(Debug)]
pub enum Columns {
    /// One exact sum a column.
    Folded(Box<WeightMatrix>),
    /// Partial sums and their codes.
    Converted(Box<Partials>),
    /// One a step, for maps in the order of the steps: an input that is the same every step is given for each.
    Reads(Vec<Columns>),
}

impl Columns {
    /// The columns of a programmed layer; the kernel never changes a result.
    pub fn new(plan: &LayerPlan, programmed: &Programmed, kernel: Kernel) -> Self {
        match programmed {
            Programmed::Folded { weights, grid } => {
                Columns::Folded(Box::new(WeightMatrix::new(plan, weights, *grid, plan.source, kernel)))
            }
            Programmed::Converted(converted) => Columns::Converted(Box::new(Partials::new(plan, converted, kernel))),
            Programmed::Reads { steps, .. } => {
                Columns::Reads(steps.iter().map(|step| Columns::new(plan, step, kernel)).collect())
            }
        }
    }

    /// The columns of a step.
    pub fn at(&self, t: usize) -> &Columns {
        match self {
            Columns::Reads(steps) => &steps[t],
            same => same,
        }
    }

    /// Steps that give other sums of the same inputs; 1 where none does.
    fn steps(&self) -> usize {
        match self {
            Columns::Folded(_) => 1,
            Columns::Converted(partials) => partials.steps(),
            Columns::Reads(steps) => steps.len(),
        }
    }

    /// How inputs are laid out.
    pub fn patches(&self) -> &Patches {
        match self {
            Columns::Folded(matrix) => &matrix.patches,
            Columns::Converted(partials) => &partials.driving.patches,
            Columns::Reads(steps) => steps[0].patches(),
        }
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        match self {
            Columns::Folded(matrix) => matrix.blocks(),
            Columns::Converted(partials) => partials.blocks(),
            Columns::Reads(steps) => steps[0].blocks(),
        }
    }

    /// Maps of which the sums of so many rows of pixels are best made at once.
    pub fn maps_at_once(&self, laid: &Laid, rows: usize) -> usize {
        match self {
            Columns::Folded(matrix) => matrix.maps_at_once(laid, rows),
            Columns::Converted(partials) => partials.maps_at_once(rows),
            Columns::Reads(_) => 1,
        }
    }

    /// Sums `[maps, blocks, pixels of the band, 16]`, the planes of the inputs joined.
    pub fn sums(&self, laid: &Laid, band: Band, scratch: &mut Scratch, out: &mut [f32]) {
        match self {
            Columns::Folded(matrix) => matrix.sums(laid, band, scratch, out),
            Columns::Converted(partials) => partials.sums(laid, band, out),
            Columns::Reads(steps) => steps[band.map % steps.len()].sums(laid, band, scratch, out),
        }
    }

    /// Sums `[blocks, maps, 16]` of a fully connected layer, in parallel.
    pub fn connect(&self, laid: &Laid) -> Vec<f32> {
        match self {
            Columns::Folded(matrix) => matrix.connect(laid),
            Columns::Converted(partials) => partials.connect(laid),
            Columns::Reads(steps) => connect_steps(steps, laid),
        }
    }

    /// Sums clipped by converters and totals saturated in adders, since this was last asked.
    pub fn take_tally(&self) -> (u64, u64) {
        match self {
            Columns::Folded(_) => (0, 0),
            Columns::Converted(partials) => partials.take_tally(),
            Columns::Reads(steps) => {
                steps.iter().map(Columns::take_tally).fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1))
            }
        }
    }

    /// Lays out encoded inputs `[maps, planes, pixels, channels]` of so many images; a map for every step where each
    /// has columns of its own.
    pub fn lay_out(&self, laid: &mut Laid, digits: &[i8], planes: usize, images: usize) {
        let (size, steps) = (digits.len() / images, self.steps());
        let maps = size / planes / self.patches().encoded();
        if steps <= maps {
            return laid.encoded(self.patches(), digits, planes);
        }
        let repeated: Vec<i8> = digits.chunks(size).flat_map(|image| image.repeat(steps)).collect();
        laid.encoded(self.patches(), &repeated, planes);
    }
}

/// Sums `[blocks, maps, 16]` of maps in the order of images and steps, each with its step's columns.
fn connect_steps(steps: &[Columns], laid: &Laid) -> Vec<f32> {
    let (maps, blocks) = (laid.maps(), steps[0].blocks());
    let mut rows = vec![0.0; maps * blocks * LANES];
    rows.par_chunks_mut(blocks * LANES).enumerate().for_each_init(Scratch::default, |scratch, (map, row)| {
        let band = Band { map: 0, y: map, rows: 1, maps: 1 };
        steps[map % steps.len()].sums(laid, band, scratch, row);
    });
    let mut sums = vec![0.0; rows.len()];
    for (map, row) in rows.chunks(blocks * LANES).enumerate() {
        for (block, row) in row.chunks(LANES).enumerate() {
            sums[(block * maps + map) * LANES..][..LANES].copy_from_slice(row);
        }
    }
    sums
}
