//! One pass over a batch: forward through programmed arrays, loss, and the gradient of every parameter.
//!
//! The arrays are programmed by the chip's own code ([`program_layer`]), without the last rounding to the exact grid:
//! training sums freely.

use ndarray::Array2;
use rayon::prelude::*;

use super::layer::{LayerPass, fully_connected_gradient};
use super::norm::BatchStatistics;
use crate::chip::program_layer;
use crate::crossbar::mapping::{Place, place};
use crate::crossbar::sram::Source;
use crate::crossbar::sums::{Kernel, Matrix};
use crate::device::Draw;
use crate::network::{Batch, Encoder, Layer, Model, Network};
use crate::numeric::product::to_published;
use crate::profile::{Profile, Scheme};

/// The gradient of one layer's parameters, laid out as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGradient {
    /// Of the latent weights, straight through quantiser and variation, `[columns, rows]`.
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

/// Encodes a batch as values `[images, steps, pixels, channels]`.
pub fn encode(encoder: &Encoder, batch: &Batch, steps: usize) -> Vec<f32> {
    let size = encoder.shape.len();
    let unit = encoder.encoding.unit();
    let mut values = vec![0.0; batch.len() * steps * size];
    values.par_chunks_mut(steps * size).enumerate().for_each(|(b, image)| {
        let mut integers = vec![0; size];
        for (t, values) in image.chunks_mut(size).enumerate() {
            encoder.encode(batch, b, t, &mut integers);
            values.iter_mut().zip(&integers).for_each(|(v, n)| *v = *n as f32 * unit);
        }
    });
    values
}

/// Runs a batch forward and backward with batch statistics; `draw` programs with variation.
pub fn pass(
    setting: &Setting,
    network: &Network,
    encoder: &Encoder,
    batch: &Batch,
    labels: &[u32],
    draw: Option<Draw>,
) -> PassOutcome {
    let Setting { model, layers, profile } = setting;
    let (steps, images) = (model.steps, batch.len());
    let effective = |i: usize| {
        let state = &network.layers[i];
        program_layer(profile, &layers[i], i as u32, &state.rram, Source::Latent(&state.rram), draw)
    };
    let mut signal = encode(encoder, batch, steps);
    let mut passes: Vec<LayerPass> = Vec::new();
    for (i, plan) in layers.iter().enumerate() {
        let Some(norm) = &network.layers[i].norm else { break };
        let layer = LayerPass::forward(plan, model.neuron, steps, &effective(i), norm, signal);
        signal = layer.spikes();
        passes.push(layer);
    }
    let last = passes.len();
    let readout = Matrix::new(&layers[last], &effective(last), Kernel::Auto);
    let means = step_means(&signal, images, steps);
    let logits = readout.connect(&means, images);
    let classes = layers[last].columns();
    let (loss, logit_gradient) = cross_entropy(&logits, labels, classes);
    let (weights, mean_gradient) = fully_connected_gradient(&means, &logit_gradient, &readout, images, true);

    let published = |i: usize, weights: &[f32]| {
        let mut gradient = to_published(weights, layers[i].columns(), layers[i].input.channels);
        // Straight through the quantiser; ternary passes only where |w| < 1.
        if profile.rram.scheme == Scheme::Ternary && place(profile, &layers[i]) == Place::Rram {
            let latent = &network.layers[i].rram;
            gradient.iter_mut().zip(latent).filter(|(_, w)| w.abs() >= 1.0).for_each(|(g, _)| *g = 0.0);
        }
        gradient
    };
    let mut gradients = vec![ParameterGradient { weights: published(last, &weights), gamma: vec![] }];
    let mut statistics = Vec::new();
    let mut signal_gradient = spread(&mean_gradient, images, steps);
    for (i, layer) in passes.into_iter().enumerate().rev() {
        let (gradient, batch_statistics) = layer.backward(&signal_gradient, i > 0);
        gradients.push(ParameterGradient { weights: published(i, &gradient.weights), gamma: gradient.gamma });
        statistics.push(batch_statistics);
        signal_gradient = gradient.inputs;
    }
    gradients.reverse();
    statistics.reverse();
    let logits = Array2::from_shape_vec((images, classes), logits).expect("the readout gives images x classes sums");
    PassOutcome { loss, logits, gradients, statistics }
}

/// The mean over steps of `[images, steps, n]`.
fn step_means(signal: &[f32], images: usize, steps: usize) -> Vec<f32> {
    let n = signal.len() / (images * steps);
    let mut means = vec![0.0; images * n];
    for (means, image) in means.chunks_mut(n).zip(signal.chunks(steps * n)) {
        for step in image.chunks(n) {
            means.iter_mut().zip(step).for_each(|(m, s)| *m += s);
        }
        means.iter_mut().for_each(|m| *m /= steps as f32);
    }
    means
}

/// The transpose of [`step_means`].
fn spread(means: &[f32], images: usize, steps: usize) -> Vec<f32> {
    let n = means.len() / images;
    let share = 1.0 / steps as f32;
    means.chunks(n).flat_map(|row| row.iter().map(|g| g * share).collect::<Vec<_>>().repeat(steps)).collect()
}

/// Mean cross-entropy of logits `[images, classes]` and its gradient.
fn cross_entropy(logits: &[f32], labels: &[u32], classes: usize) -> (f64, Vec<f32>) {
    let images = labels.len() as f64;
    let mut loss = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, label) in logits.chunks(classes).zip(labels) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exps: Vec<f64> = row.iter().map(|x| f64::from(x - top).exp()).collect();
        let sum: f64 = exps.iter().sum();
        loss -= (f64::from(row[*label as usize] - top) - sum.ln()) / images;
        gradient.extend(exps.iter().enumerate().map(|(c, e)| {
            let target = if c == *label as usize { 1.0 } else { 0.0 };
            ((e / sum - target) / images) as f32
        }));
    }
    (loss, gradient)
}
