//! A layer of a chip ready to run: its columns, the norms behind them, and how often its inputs drive its rows.

use std::ops::Range;

use super::columns::Columns;
use super::neurons::{Lanes, Sums, norms};
use super::walk::Signal;
use super::ways::Kernel;
use crate::chip::ProgrammedLayer;
use crate::kernels::digits::LANES;
use crate::network::drive::{fan_out, of_pulses};
use crate::network::pulses::Pulses;
use crate::plan::LayerPlan;

/// A layer of a chip, ready to run.
pub struct ReadyLayer<'a> {
    /// The plan it follows.
    pub plan: &'a LayerPlan,
    /// Its columns.
    pub columns: Columns,
    /// Gains and offsets, `[blocks, steps]`; none of the readout.
    pub norms: Vec<[Lanes; 2]>,
    /// Output pixels whose window holds each input pixel.
    fan: Vec<u32>,
}

impl<'a> ReadyLayer<'a> {
    /// A programmed layer, whose sums are made by this kernel.
    pub fn new(layer: &'a ProgrammedLayer, kernel: Kernel) -> Self {
        let plan = &*layer.plan;
        ReadyLayer {
            plan,
            columns: Columns::new(plan, &layer.arrays, kernel),
            norms: norms(plan.columns(), &layer.gain, &layer.offset),
            fan: fan_out(plan.unrolling(), plan.input.height * plan.input.width),
        }
    }

    /// How often some maps of pulses drive its rows, each.
    pub fn drives(&self, pulses: &Pulses, maps: Range<usize>) -> Vec<u64> {
        maps.map(|map| of_pulses(pulses, map, &self.fan, self.plan.site.tile.inputs)).collect()
    }

    /// The sums of a fully connected layer on a signal of so many images.
    pub fn connect(&self, signal: &Signal, images: usize, see: impl Fn(&super::laid::Laid)) -> Connected {
        let laid = signal.lay_out_all(&self.columns);
        see(&laid);
        Connected { sums: self.columns.connect(&laid), given: laid.maps() / images, images }
    }
}

/// The sums of a fully connected layer, `[blocks, images·given, 16]`.
pub struct Connected {
    sums: Vec<f32>,
    /// Steps that differ.
    given: usize,
    images: usize,
}

impl Connected {
    /// The sums of an image.
    pub fn of(&self, image: usize) -> Sums<'_> {
        let step = if self.given == 1 { 0 } else { LANES };
        let block = self.images * self.given * LANES;
        Sums { sums: &self.sums[image * self.given * LANES..], block, step, y: 0, rows: 1 }
    }
}
