//! A layer ready to run: its columns and, where their norms are known beforehand, its neurons, which scan sums while these are in the
//! cache.
//!
//! Convolutions go image by image, a task each, and within an image in bands of rows whose sums of all steps stay in the second
//! cache; fully connected layers take the whole batch, so that their matrix is read once. Sums are exact, so neither the
//! kernel chosen nor the number of threads shows in a result.

use std::cell::RefCell;

use rayon::prelude::*;

use super::columns::Columns;
use super::laid::Laid;
use super::neurons::{Neurons, Sums};
use super::sums::{Band, Kernel, Scratch};
use super::walk::Signal;
use crate::chip::{Chip, ProgrammedLayer};
use crate::kernels::digits::LANES;
use crate::network::LayerKind;
use crate::network::drive::{fan_out, of_pulses};
use crate::network::pulses::Pulses;
use crate::plan::LayerPlan;

/// Floats of a band's sums over all steps: half of a usual second cache.
const BAND: usize = 1 << 17;

/// A layer of a chip, ready to run.
pub struct Layer<'a> {
    plan: &'a LayerPlan,
    /// Its columns.
    pub columns: Columns,
    /// Its neurons; none of the readout.
    neurons: Option<Neurons>,
    /// Output pixels whose window holds each input pixel.
    fan: Vec<u32>,
    steps: usize,
}

/// The pulses that a layer's neurons send for an image, and how many of them fire at each step, before the pool.
pub type Fired = (Pulses, Vec<u64>);

/// Work space of a thread, kept from image to image.
#[derive(Default)]
struct Space {
    laid: Laid,
    scratch: Scratch,
    sums: Vec<f32>,
}

thread_local! {
    static SPACE: RefCell<Space> = RefCell::default();
}

impl<'a> Layer<'a> {
    /// All layers of a chip.
    pub fn all(chip: &'a Chip, kernel: Kernel) -> Vec<Self> {
        chip.layers.iter().map(|layer| Self::new(chip, layer, kernel)).collect()
    }

    fn new(chip: &Chip, layer: &'a ProgrammedLayer, kernel: Kernel) -> Self {
        let plan = &*layer.plan;
        Layer {
            plan,
            columns: Columns::new(plan, &layer.arrays, kernel),
            neurons: plan.spikes().then(|| Neurons::new(plan, &layer.gain, &layer.offset)),
            fan: fan_out(plan.unrolling(), plan.input.height * plan.input.width),
            steps: chip.steps,
        }
    }

    /// Runs a layer with neurons on the signal of so many images; what each gives. Inputs are shown as they are laid out: of a
    /// convolution to the thread that has an image, and that must not wait for others.
    pub fn fire(&self, signal: &Signal, images: usize, see: impl Fn(&Laid) + Sync) -> Vec<Fired> {
        let Some(neurons) = &self.neurons else { return vec![] };
        if self.plan.kind == LayerKind::Conv {
            let convolve = |image| {
                SPACE.with_borrow_mut(|space| {
                    signal.lay_out(&self.columns, image, self.steps, &mut space.laid);
                    see(&space.laid);
                    self.convolve(neurons, space)
                })
            };
            // An image by itself is no work to share.
            return if images == 1 { vec![convolve(0)] } else { (0..images).into_par_iter().map(convolve).collect() };
        }
        let laid = signal.lay_out_all(&self.columns);
        see(&laid);
        let sums = self.columns.connect(&laid);
        let given = laid.maps() / images;
        let scan = |image| {
            let (mut pulses, mut fired) = (self.plan.pulses(self.steps), vec![0; self.steps]);
            let step = if given == 1 { 0 } else { LANES };
            let block = images * given * LANES;
            let sums = Sums { sums: &sums[image * given * LANES..], block, step, y: 0, rows: 1 };
            neurons.scan(sums, 0, &mut pulses, &mut fired);
            (pulses, fired)
        };
        (0..images).into_par_iter().map(scan).collect()
    }

    /// Runs an image, laid out, through a convolution and its neurons, band by band.
    fn convolve(&self, neurons: &Neurons, Space { laid, scratch, sums }: &mut Space) -> Fired {
        let (plan, columns) = (self.plan, &self.columns);
        let (mut pulses, mut fired) = (plan.pulses(self.steps), vec![0; self.steps]);
        let given = laid.maps();
        let row = plan.output.width * columns.blocks() * LANES;
        let rows = (BAND / (given * row)).max(1).next_multiple_of(plan.pool.0).clamp(1, plan.output.height);
        for y in (0..plan.output.height).step_by(rows) {
            let rows = rows.min(plan.output.height - y);
            sums.resize(given * rows * row, 0.0);
            let at_once = if rows == plan.output.height { columns.maps_at_once() } else { 1 };
            for (i, sums) in sums.chunks_mut(at_once * rows * row).enumerate() {
                let maps = sums.len() / (rows * row);
                columns.sums(laid, Band { map: i * at_once, y, rows, maps }, scratch, sums);
            }
            let step = if given == 1 { 0 } else { rows * row };
            let block = rows * plan.output.width * LANES;
            neurons.scan(Sums { sums, block, step, y, rows }, 0, &mut pulses, &mut fired);
        }
        (pulses, fired)
    }

    /// How often image `image` of some pulses drives the layer's rows at each step.
    pub fn drives(&self, pulses: &Pulses, image: usize) -> Vec<u64> {
        let maps = image * self.steps..(image + 1) * self.steps;
        maps.map(|map| of_pulses(pulses, map, &self.fan, self.plan.site.tile.inputs)).collect()
    }
}
