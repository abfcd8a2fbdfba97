//! One pass over a batch: forward through programmed arrays, loss, and the gradient of every parameter.
//!
//! The arrays are programmed by the chip's own code ([`Arrays::program`], [`round_to_training_grid`]), and every product is one
//! of integers: a training run gives the same bits on any processor and any number of threads.

use ndarray::Array2;

use super::currents::{Geometry, Images};
use super::gradient::inputs::Transposed;
use super::gradient::{Currents, scale_for};
use super::layer::{LayerPass, Programmed, Signal, matrix_gradient};
use super::norm::BatchStatistics;
use crate::crossbar::arrays::Arrays;
use crate::crossbar::mapping::{Place, place};
use crate::crossbar::sram::Source;
use crate::device::Draw;
use crate::engine::cpu::mean_readout;
use crate::error::{Error, Result};
use crate::kernels::digits::LANES;
use crate::network::weights::LayerWeights;
use crate::network::{Inputs, Layer, Model, Network};
use crate::numeric::grid::round_to_training_grid;
use crate::profile::{Profile, Scheme};

/// The gradient of one layer's parameters, laid out as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGradient {
    /// Of the latent weights that are trained ([`LayerWeights::trained`]), `[columns, rows]`.
    pub weights: Vec<f32>,
    /// Of γ, `[steps, channels]`; empty for the readout.
    pub gamma: Vec<f32>,
}

/// What a pass over a batch gives.
pub struct PassOutcome {
    /// Mean cross-entropy.
    pub loss: f64,
    /// `[images, classes]`.
    pub logits: Array2<f32>,
    /// One entry a layer.
    pub gradients: Vec<ParameterGradient>,
    /// The batch's statistics, one entry a spiking layer.
    pub statistics: Vec<BatchStatistics>,
}

/// What does not change from pass to pass.
pub struct Setting<'a> {
    /// The network's shape.
    pub model: &'a Model,
    /// Its layers.
    pub layers: &'a [Layer],
    /// The hardware that the forward pass is programmed on.
    pub profile: &'a Profile,
}

/// Bytes that a pass over so many images takes at most, roughly: every layer's inputs and currents are kept, and the
/// largest layer's gradients stand beside them.
pub fn bytes(model: &Model, images: usize) -> u64 {
    let values = |layer: &Layer| (layer.input.len() + layer.output.len()) as u64;
    let layers = model.layers();
    let kept: u64 = layers.iter().map(values).sum();
    let largest = layers.iter().map(values).max().unwrap_or(0);
    4 * (kept + 2 * largest) * images as u64 * model.steps as u64
}

/// Runs a batch forward and backward with batch statistics; `draw` programs with variation.
pub fn pass(
    setting: &Setting,
    network: &Network,
    inputs: &Inputs,
    labels: &[u32],
    draw: Option<Draw>,
) -> Result<PassOutcome> {
    let Setting { model, layers, profile } = setting;
    let (steps, images) = (model.steps, inputs.batch.len());
    let programmed = |i: usize| {
        let (state, plan) = (&network.layers[i], &layers[i]);
        let encoding = inputs.encoder.encoding;
        let (unit, largest) = match i {
            0 => (encoding.unit(), encoding.largest_digit()),
            _ => (plan.input_unit(), plan.largest_pulse),
        };
        // Where the profile has no companion array, none is read.
        let companion = state.sram.as_ref().map_or(Source::Residual, Source::of);
        let mut weights = Arrays::program(profile, plan, i as u32, &state.rram, companion, draw).fold();
        let grid = round_to_training_grid(&mut weights, plan.rows(), largest).ok_or_else(|| {
            Error::Mismatch(format!("`{}` has weights that are too large or not finite once programmed", plan.name))
        })?;
        Ok(Programmed { weights, grid, unit })
    };
    let mut signal = Signal::Encoded(inputs);
    let mut passes: Vec<LayerPass> = Vec::new();
    for (i, plan) in layers.iter().enumerate() {
        let Some(norm) = &network.layers[i].norm else { break };
        let mut layer = LayerPass::forward(plan, model.neuron, (images, steps), programmed(i)?, norm, signal);
        signal = Signal::Pulses(layer.pulses());
        passes.push(layer);
    }
    let last = passes.len();
    let readout = Readout::run(&layers[last], programmed(last)?, &signal, (images, steps), labels);

    let published = |i: usize, gradient: Vec<f32>| match place(profile, &layers[i]) {
        Place::Rram => straight_through(profile, &layers[i], &network.layers[i], gradient),
        Place::Digital => gradient,
    };
    let (weights, mut signal_gradient) = readout.backward(&signal, last > 0);
    let mut gradients = vec![ParameterGradient { weights: published(last, weights), gamma: vec![] }];
    let mut statistics = Vec::new();
    for (i, layer) in passes.into_iter().enumerate().rev() {
        let (gradient, batch_statistics) = layer.backward(signal_gradient, i > 0);
        gradients.push(ParameterGradient { weights: published(i, gradient.weights), gamma: gradient.gamma });
        statistics.push(batch_statistics);
        signal_gradient = gradient.inputs;
    }
    gradients.reverse();
    statistics.reverse();
    Ok(PassOutcome { loss: readout.loss, logits: readout.logits, gradients, statistics })
}

/// The gradient of an RRAM layer's trained latent weights from that of its effective ones: straight through quantiser and
/// variation; ternary passes only where |w| < 1. A companion array's has the shift's and the combination's factor, and is
/// 0 where an element is pruned.
fn straight_through(profile: &Profile, plan: &Layer, layer: &LayerWeights, mut gradient: Vec<f32>) -> Vec<f32> {
    let (rram, sram) = (profile.rram_of(&plan.name), profile.sram_of(&plan.name));
    let scheme = match &layer.sram {
        Some(_) => sram.effective_scheme(),
        None => rram.scheme,
    };
    if scheme == Scheme::Ternary {
        gradient.iter_mut().zip(layer.trained()).filter(|(_, w)| w.abs() >= 1.0).for_each(|(g, _)| *g = 0.0);
    }
    let Some(array) = &layer.sram else { return gradient };
    let factor = sram.effective_combine().share() * libm::exp2(f64::from(sram.shift.unwrap_or(0)));
    gradient.iter_mut().for_each(|g| *g = (f64::from(*g) * factor) as f32);
    if let Some(kept) = &array.kept {
        gradient.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(g, _)| *g = 0.0);
    }
    gradient
}

/// The readout: a matrix whose sums are added up over the steps, and the loss behind it.
struct Readout<'a> {
    plan: &'a Layer,
    programmed: Programmed,
    loss: f64,
    logits: Array2<f32>,
    /// ∂loss/∂logits, `[images, classes]`.
    gradient: Vec<f32>,
    steps: usize,
}

impl<'a> Readout<'a> {
    fn run(
        plan: &'a Layer,
        programmed: Programmed,
        signal: &Signal,
        (images, steps): (usize, usize),
        labels: &[u32],
    ) -> Self {
        let geometry = Geometry::of(plan, images, steps);
        let (sums, _) = signal.currents(plan, &programmed, geometry);
        let logits = Array2::from_shape_fn((images, plan.columns()), |(b, c)| {
            mean_readout((0..steps).map(|t| sums[b][t * geometry.step() + c]).sum(), programmed.unit, steps)
        });
        let (loss, gradient) = cross_entropy(&logits, labels);
        Readout { plan, programmed, loss, logits, gradient, steps }
    }

    fn backward(&self, signal: &Signal, wants_inputs: bool) -> (Vec<f32>, Images) {
        let share = self.programmed.unit / self.steps as f32;
        let bound = self.gradient.iter().fold(0.0f32, |bound, g| if g.abs() <= bound { bound } else { g.abs() });
        let scale = scale_for(bound * share);
        let (images, classes) = self.logits.dim();
        let mut currents = Currents::default();
        currents.reshape(classes.div_ceil(LANES), images * self.steps);
        for (image, gradient) in self.gradient.chunks(classes).enumerate() {
            for (class, g) in gradient.iter().enumerate() {
                let unit = (g * share * scale).round_ties_even() as i32;
                let first = class / LANES * currents.rows + image * self.steps;
                currents.units[first..first + self.steps].iter_mut().for_each(|lanes| lanes[class % LANES] = unit);
            }
        }
        let transposed = wants_inputs.then(|| Transposed::new(self.plan, &self.programmed.weights));
        matrix_gradient(self.plan, signal, self.steps, &currents, 1.0 / scale, transposed.as_ref())
    }
}

/// Mean cross-entropy of logits `[images, classes]` and its gradient.
fn cross_entropy(logits: &Array2<f32>, labels: &[u32]) -> (f64, Vec<f32>) {
    let images = labels.len() as f64;
    let mut loss = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, label) in logits.outer_iter().zip(labels) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exps: Vec<f64> = row.iter().map(|x| libm::exp(f64::from(x - top))).collect();
        let sum: f64 = exps.iter().sum();
        loss -= (f64::from(row[*label as usize] - top) - libm::log(sum)) / images;
        gradient.extend(exps.iter().enumerate().map(|(c, e)| {
            let target = if c == *label as usize { 1.0 } else { 0.0 };
            ((e / sum - target) / images) as f32
        }));
    }
    (loss, gradient)
}
