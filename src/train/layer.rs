//! One spiking layer in training: forward over all steps, and backpropagation through time.
//!
//! Arrays are `[images, steps, pixels, channels]`. Only the crossbar's currents and the layer's inputs are kept for the
//! backward pass; membranes are scanned again. With x̂ the normalised current and z = γ_t·x̂:
//! `u_t = λ·(u_{t−1} − θ·s_{t−1}) + z_t`, `v = u/θ − 1`, `s = [v > 0]`; backward
//! `∂u_t = ∂s_t·0.3·max(0, 1 − |v_t|)/θ + λ·∂u_{t+1}` (the reset is outside the gradient), `∂z_t = ∂u_t`.

use rayon::prelude::*;

use super::norm::{BatchStatistics, reduce};
use crate::crossbar::sums::{Kernel, Matrix};
use crate::network::weights::Norm;
use crate::network::{Layer, LayerKind, Neuron};
use crate::numeric::product::{matmul, view, view_mut};

/// Height of the triangle surrogate.
const SURROGATE: f32 = 0.3;
/// Partial weight gradients of a convolution: a fixed number, so that the sum does not depend on the threads.
const GRADIENT_GROUPS: usize = 16;
/// Rows (or columns) of one task of a fully connected gradient.
const BLOCK: usize = 64;

/// One layer's pass over a batch.
pub struct LayerPass<'a> {
    plan: &'a Layer,
    neuron: Neuron,
    images: usize,
    steps: usize,
    matrix: Matrix,
    inputs: Vec<f32>,
    currents: Vec<f32>,
    gain: Vec<f32>,
    statistics: BatchStatistics,
}

/// What a layer's backward pass gives.
pub struct LayerGradient {
    /// ∂loss/∂W of the effective matrix, channel-last `[rows, columns]`.
    pub weights: Vec<f32>,
    /// ∂loss/∂γ_t, `[steps, channels]`.
    pub gamma: Vec<f32>,
    /// ∂loss/∂inputs; empty unless asked for.
    pub inputs: Vec<f32>,
}

impl<'a> LayerPass<'a> {
    /// Runs the crossbar on `inputs` (values, not pulses) and takes the batch's statistics. `weights` is the effective
    /// matrix in published order.
    pub fn forward(
        plan: &'a Layer,
        neuron: Neuron,
        steps: usize,
        weights: &[f32],
        norm: &Norm,
        inputs: Vec<f32>,
    ) -> Self {
        let matrix = Matrix::new(plan, weights, Kernel::Auto);
        let images = inputs.len() / (steps * plan.input.len());
        let size = inputs.len() / images;
        let currents = match plan.kind {
            LayerKind::Conv => {
                let pixels = plan.output.height * plan.output.width;
                let mut currents = vec![0.0; images * steps * pixels * plan.columns()];
                let tasks = currents.par_chunks_mut(steps * pixels * plan.columns()).zip(inputs.par_chunks(size));
                tasks.for_each(|(currents, maps)| matrix.convolve_into(maps, currents));
                currents
            }
            _ => matrix.connect(&inputs, images * steps),
        };
        let statistics = BatchStatistics::of(&currents, images, steps, plan.columns());
        let gain = norm.gamma.iter().zip(&statistics.inverse_std).map(|(gamma, inverse)| gamma * inverse).collect();
        LayerPass { plan, neuron, images, steps, matrix, inputs, currents, gain, statistics }
    }

    /// Spikes behind the pool, as values `[images, steps, pooled pixels, channels]`.
    pub fn spikes(&self) -> Vec<f32> {
        let channels = self.plan.columns();
        let pooled = self.plan.pooled().len();
        let unit = 1.0 / (self.plan.pool.0 * self.plan.pool.1) as f32;
        let mut out = vec![0.0; self.images * self.steps * pooled];
        let image = self.currents.len() / self.images;
        out.par_chunks_mut(self.steps * pooled).zip(self.currents.par_chunks(image)).for_each(|(out, currents)| {
            let mut potential = vec![0.0; self.steps * channels];
            for pixel in 0..image / (self.steps * channels) {
                let Some(target) = self.pooled_pixel(pixel) else { continue };
                self.scan(currents, pixel, &mut potential);
                for (t, potential) in potential.chunks(channels).enumerate() {
                    let out = &mut out[t * pooled + target * channels..][..channels];
                    for (value, u) in out.iter_mut().zip(potential) {
                        *value += if self.fires(*u) { unit } else { 0.0 };
                    }
                }
            }
        });
        out
    }

    /// Backpropagates ∂loss/∂spikes (behind the pool) through neurons, norms and the crossbar; hands the statistics on.
    pub fn backward(mut self, gradient: &[f32], wants_inputs: bool) -> (LayerGradient, BatchStatistics) {
        let channels = self.plan.columns();
        let mut normalised = self.through_neurons(gradient);
        let statistics = &self.statistics;
        let (images, steps) = (self.images, self.steps);
        let image = self.currents.len() / images;
        let step = image / steps;
        let hat = |t: usize, o: usize, x: f32| {
            (x - statistics.mean[t * channels + o]) * statistics.inverse_std[t * channels + o]
        };
        let (sums, products) = reduce(&normalised, images, steps, channels, |b, t, values, sums, products| {
            let currents = &self.currents[b * image + t * step..][..step];
            for (dz, x) in values.chunks(channels).zip(currents.chunks(channels)) {
                for o in 0..channels {
                    let d = f64::from(dz[o]);
                    sums[o] += d;
                    products[o] += d * f64::from(hat(t, o, x[o]));
                }
            }
        });
        let n = (self.currents.len() / (steps * channels)) as f64;
        let means: Vec<(f32, f32)> =
            sums.iter().zip(&products).map(|(s, p)| ((s / n) as f32, (p / n) as f32)).collect();
        normalised.par_chunks_mut(image).zip(self.currents.par_chunks(image)).for_each(|(dz, currents)| {
            for (t, (dz, currents)) in dz.chunks_mut(step).zip(currents.chunks(step)).enumerate() {
                for (dz, x) in dz.chunks_mut(channels).zip(currents.chunks(channels)) {
                    for o in 0..channels {
                        let (mean, product) = means[t * channels + o];
                        dz[o] = self.gain[t * channels + o] * (dz[o] - mean - hat(t, o, x[o]) * product);
                    }
                }
            }
        });
        self.currents = Vec::new();
        let (weights, inputs) = match self.plan.kind {
            LayerKind::Conv => self.through_convolution(&normalised, wants_inputs),
            _ => fully_connected_gradient(&self.inputs, &normalised, &self.matrix, images * steps, wants_inputs),
        };
        let gamma = products.iter().map(|p| *p as f32).collect();
        (LayerGradient { weights, gamma, inputs }, self.statistics)
    }

    /// ∂loss/∂z of every step.
    fn through_neurons(&self, gradient: &[f32]) -> Vec<f32> {
        let Neuron { leak, threshold } = self.neuron;
        let channels = self.plan.columns();
        let pooled = self.plan.pooled().len();
        let unit = 1.0 / (self.plan.pool.0 * self.plan.pool.1) as f32;
        let image = self.currents.len() / self.images;
        let step = image / self.steps;
        let mut out = vec![0.0; self.currents.len()];
        let tasks = out.par_chunks_mut(image).zip(self.currents.par_chunks(image)).enumerate();
        tasks.for_each(|(b, (out, currents))| {
            let gradient = &gradient[b * self.steps * pooled..][..self.steps * pooled];
            let mut potential = vec![0.0; self.steps * channels];
            let mut carried = vec![0.0; channels];
            for pixel in 0..step / channels {
                let Some(source) = self.pooled_pixel(pixel) else { continue };
                self.scan(currents, pixel, &mut potential);
                carried.fill(0.0);
                for t in (0..self.steps).rev() {
                    let potential = &potential[t * channels..][..channels];
                    let spike = &gradient[t * pooled + source * channels..][..channels];
                    let out = &mut out[t * step + pixel * channels..][..channels];
                    for o in 0..channels {
                        let v = potential[o] / threshold - 1.0;
                        let slope = SURROGATE * (1.0 - v.abs()).max(0.0) / threshold;
                        carried[o] = spike[o] * unit * slope + leak * carried[o];
                        out[o] = carried[o];
                    }
                }
            }
        });
        out
    }

    fn fires(&self, potential: f32) -> bool {
        potential > self.neuron.threshold
    }

    /// Membrane potentials of one pixel before the reset, `[steps, channels]`.
    fn scan(&self, currents: &[f32], pixel: usize, potential: &mut [f32]) {
        let Neuron { leak, threshold } = self.neuron;
        let channels = self.plan.columns();
        let step = currents.len() / self.steps;
        for t in 0..self.steps {
            let current = &currents[t * step + pixel * channels..][..channels];
            let gain = &self.gain[t * channels..][..channels];
            let mean = &self.statistics.mean[t * channels..][..channels];
            let (before, now) = potential.split_at_mut(t * channels);
            let before = if t == 0 { None } else { Some(&before[(t - 1) * channels..]) };
            let now = &mut now[..channels];
            for o in 0..channels {
                let last = before.map_or(0.0, |b| b[o]);
                let rest = if last > threshold { last - threshold } else { last };
                now[o] = leak * rest + gain[o] * (current[o] - mean[o]);
            }
        }
    }

    /// The pooled pixel that a pixel belongs to; none where an odd size is floored.
    fn pooled_pixel(&self, pixel: usize) -> Option<usize> {
        let (pooled, width) = (self.plan.pooled(), self.plan.output.width);
        let (row, column) = (pixel / width / self.plan.pool.0, pixel % width / self.plan.pool.1);
        (row < pooled.height && column < pooled.width).then(|| row * pooled.width + column)
    }

    fn through_convolution(&self, currents: &[f32], wants_inputs: bool) -> (Vec<f32>, Vec<f32>) {
        let unrolling = self.plan.unrolling();
        let (rows, pixels, channels) = (unrolling.rows(), unrolling.pixels(), self.plan.columns());
        let map = unrolling.input.len();
        let mut inputs_gradient = vec![0.0; if wants_inputs { self.inputs.len() } else { 0 }];
        let maps_a_group = self.images.div_ceil(GRADIENT_GROUPS) * self.steps;
        let gradients: Vec<Option<&mut [f32]>> = if wants_inputs {
            inputs_gradient.chunks_mut(maps_a_group * map).map(Some).collect()
        } else {
            self.inputs.chunks(maps_a_group * map).map(|_| None).collect()
        };
        let tasks = gradients.into_par_iter().zip(self.inputs.par_chunks(maps_a_group * map));
        let partials: Vec<Vec<f32>> = tasks
            .zip(currents.par_chunks(maps_a_group * pixels * channels))
            .map(|((mut gradient, inputs), currents)| {
                let mut weights = vec![0.0; rows * channels];
                let mut unrolled = vec![0.0; pixels * rows];
                for (i, (input, current)) in inputs.chunks(map).zip(currents.chunks(pixels * channels)).enumerate() {
                    unrolling.unroll(input, &mut unrolled);
                    let current = view(current, pixels);
                    matmul(view(&unrolled, pixels).t(), current, view_mut(&mut weights, rows), true);
                    if let Some(gradient) = &mut gradient {
                        matmul(current, self.matrix.weights().t(), view_mut(&mut unrolled, pixels), false);
                        unrolling.fold(&unrolled, &mut gradient[i * map..(i + 1) * map]);
                    }
                }
                weights
            })
            .collect();
        let mut weights = vec![0.0; rows * channels];
        for partial in partials {
            weights.iter_mut().zip(partial).for_each(|(w, p)| *w += p);
        }
        (weights, inputs_gradient)
    }
}

/// Gradients of `out[n, columns] = inputs[n, rows]·W`: of W, and of the inputs where asked for.
pub fn fully_connected_gradient(
    inputs: &[f32],
    gradient: &[f32],
    matrix: &Matrix,
    n: usize,
    wants_inputs: bool,
) -> (Vec<f32>, Vec<f32>) {
    let (inputs, gradient) = (view(inputs, n), view(gradient, n));
    let (rows, columns) = (inputs.ncols(), gradient.ncols());
    let mut weights = vec![0.0; rows * columns];
    weights.par_chunks_mut(BLOCK * columns).enumerate().for_each(|(i, block)| {
        let block_rows = block.len() / columns;
        let inputs = inputs.slice(ndarray::s![.., i * BLOCK..i * BLOCK + block_rows]);
        matmul(inputs.t(), gradient, view_mut(block, block_rows), false);
    });
    let mut inputs_gradient = vec![0.0; if wants_inputs { n * rows } else { 0 }];
    let at_once = BLOCK.max(n.div_ceil(GRADIENT_GROUPS));
    inputs_gradient.par_chunks_mut(at_once * rows).enumerate().for_each(|(i, block)| {
        let block_rows = block.len() / rows;
        let gradient = gradient.slice(ndarray::s![i * at_once..i * at_once + block_rows, ..]);
        matmul(gradient, matrix.weights().t(), view_mut(block, block_rows), false);
    });
    (weights, inputs_gradient)
}
