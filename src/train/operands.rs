//! A layer's programmed arrays as operands of a pass: the currents that a signal gives in them, and gradients through
//! their transpose.

use std::cell::RefCell;

use rayon::prelude::*;

use super::gradient::inputs::{self, Transposed};
use super::gradient::weights::InputSignal;
use super::gradient::{Currents, Precision};
use super::norm::{Moments, moments};
use crate::crossbar::programmed::Programmed;
use crate::forward::columns::Columns;
use crate::forward::currents::{Geometry, Images};
use crate::forward::laid::{Band, Laid};
use crate::forward::sums::Scratch;
use crate::forward::walk::Signal;
use crate::forward::ways::Kernel;
use crate::kernels::digits::LANES;
use crate::monitor::stop_if_asked;
use crate::network::code::DIGIT_BITS;
use crate::network::{Layer, LayerKind};
use crate::plan::LayerPlan;

/// A layer's programmed arrays, ready for the products of a pass.
pub struct Operands {
    /// Its columns.
    pub columns: Columns,
    /// For ∂loss/∂inputs; none where nobody asks for them.
    pub transposed: Option<Transposed>,
    /// The value of one input pulse.
    pub unit: f32,
    /// How finely gradients through them are rounded.
    pub precision: Precision,
}

impl Operands {
    /// The operands of programmed arrays; the backward pass goes through the effective matrix, straight through
    /// converters and adders.
    pub fn new(
        plan: &LayerPlan,
        programmed: &Programmed,
        kernel: Kernel,
        (wants_inputs, precision): (bool, Precision),
    ) -> Self {
        let columns = Columns::new(plan, programmed, kernel);
        let transposed = wants_inputs.then(|| Transposed::new(plan, &programmed.effective(), precision));
        Operands { columns, transposed, unit: plan.input_unit, precision }
    }

    /// ∂loss/∂inputs of a fully connected layer, an image each, blocked; empty unless asked for. `currents` are
    /// `[blocks, images·steps, 16]`, each image's in units of 1/scale.
    pub fn connect_back(&self, plan: &Layer, steps: usize, currents: &Currents, scales: &[f32]) -> Images {
        self.transposed.as_ref().map_or(Vec::new(), |t| matrix_inputs(plan, t, steps, currents, scales))
    }
}

/// Work space of a thread.
#[derive(Default)]
struct OperandScratch {
    laid: Laid,
    scratch: Scratch,
    inputs: inputs::TransposedScratch,
}

thread_local! {
    static SPACE: RefCell<OperandScratch> = RefCell::default();
}

/// A signal as the gradient of the weights reads it.
pub fn source<'a>(signal: &'a Signal) -> InputSignal<'a> {
    match signal {
        Signal::Pulses { pulses, .. } => InputSignal::Pulses(pulses),
        Signal::Encoded { inputs, .. } => InputSignal::Encoded {
            digits: inputs.pulses().all(),
            planes: inputs.encoder.code.planes() as usize,
            given: inputs.given_steps(),
            base: 1 << DIGIT_BITS,
        },
    }
}

/// Currents in pulses, blocked, that a signal gives in a layer's matrix, and each image's [`moments`].
pub fn currents(signal: &Signal, plan: &Layer, operands: &Operands, geometry: Geometry) -> (Images, Vec<Moments>) {
    let Geometry { images, steps, .. } = geometry;
    let columns = &operands.columns;
    if plan.kind == LayerKind::Conv {
        let convolve = |image| {
            let mut growing = Growing::new(geometry);
            SPACE.with_borrow_mut(|OperandScratch { laid, scratch, .. }| {
                signal.lay_out(columns, image, steps, laid);
                let at_once = columns.maps_at_once(laid, geometry.height);
                for map in (0..laid.maps()).step_by(at_once) {
                    let maps = at_once.min(laid.maps() - map);
                    let band = Band { map, y: 0, rows: geometry.height, maps };
                    growing.add(maps, |currents| columns.sums(laid, band, scratch, currents));
                }
            });
            growing.repeated()
        };
        return (0..images).into_par_iter().map(convolve).unzip();
    }
    let laid = signal.lay_out_all(columns);
    let sums = columns.connect(&laid);
    let (maps, given) = (laid.maps(), laid.maps() / images);
    let gather = |image| {
        let mut growing = Growing::new(geometry);
        for map in image * given..(image + 1) * given {
            growing.add(1, |currents| {
                for (block, currents) in currents.chunks_mut(LANES).enumerate() {
                    currents.copy_from_slice(&sums[(block * maps + map) * LANES..][..LANES]);
                }
            });
        }
        growing.repeated()
    };
    (0..images).into_par_iter().map(gather).unzip()
}

/// An image's currents while they are made, and their moments, taken while a step is still in the cache.
struct Growing {
    geometry: Geometry,
    currents: Vec<f32>,
    moments: Moments,
}

impl Growing {
    fn new(geometry: Geometry) -> Self {
        let moments = vec![[[0.0; LANES]; 2]; geometry.blocks * geometry.steps];
        Growing { geometry, currents: Vec::with_capacity(geometry.image()), moments }
    }

    /// Appends so many steps.
    fn add(&mut self, steps: usize, write: impl FnOnce(&mut [f32])) {
        let from = self.currents.len();
        self.currents.resize(from + steps * self.geometry.step(), 0.0);
        write(&mut self.currents[from..]);
        moments(&self.currents[from..], from / self.geometry.step(), self.geometry, &mut self.moments);
    }

    /// Fills the steps that are missing with copies of those that there are.
    fn repeated(mut self) -> (Vec<f32>, Moments) {
        let given = self.currents.len();
        while self.currents.len() < self.geometry.image() {
            let first = self.currents.len() / self.geometry.step();
            self.currents.extend_from_within(..given);
            moments(&self.currents[first * self.geometry.step()..], first, self.geometry, &mut self.moments);
        }
        (self.currents, self.moments)
    }
}

/// ∂loss/∂pulses of a fully connected layer through its transposed matrix: of currents `[blocks, images·steps, 16]`,
/// each image's in units of 1/scale.
fn matrix_inputs(plan: &Layer, transposed: &Transposed, steps: usize, currents: &Currents, scales: &[f32]) -> Images {
    // Inputs go from their published order to blocks: `[blocks, pixels, 16]`.
    let pixels = plan.rows() / plan.input.channels;
    let size = plan.input.channels.next_multiple_of(LANES) * pixels;
    let place = |column: usize| {
        let (channel, pixel) = (column / pixels, column % pixels);
        (channel / LANES * pixels + pixel) * LANES + channel % LANES
    };
    let places: Vec<usize> = (0..plan.rows()).map(place).collect();
    let images = currents.rows / steps;
    let group = images.div_ceil(rayon::current_num_threads());
    let through = |first: usize| -> Images {
        stop_if_asked();
        let rows = group.min(images - first) * steps;
        let mut sums = vec![0.0; rows * transposed.blocks() * LANES];
        SPACE.with_borrow_mut(|OperandScratch { inputs: scratch, .. }| {
            transposed.product(currents, (first * steps, rows), 1.0, scratch, &mut sums);
        });
        let units: Vec<f32> = scales[first..].iter().map(|scale| 1.0 / scale).collect();
        let mut out = vec![vec![0.0; steps * size]; rows / steps];
        for (sums, places) in sums.chunks(rows * LANES).zip(places.chunks(LANES)) {
            let maps =
                out.iter_mut().zip(&units).flat_map(|(image, unit)| image.chunks_mut(size).map(move |m| (m, unit)));
            for ((map, unit), sums) in maps.zip(sums.chunks(LANES)) {
                // A power of two: exact.
                places.iter().zip(sums).for_each(|(place, sum)| map[*place] = sum * unit);
            }
        }
        out
    };
    let groups: Vec<Images> = (0..images).into_par_iter().step_by(group).map(through).collect();
    groups.into_iter().flatten().collect()
}
