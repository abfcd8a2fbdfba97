//! Stochastic gradient descent with momentum, as PyTorch has it: decay is added to the gradient, norms and biases included.

use rayon::prelude::*;

use super::config::Recipe;
use super::pass::{ParameterGradient, PassOutcome};
use crate::network::Network;
use crate::network::weights::LayerWeights;

/// Parameters of one task.
const CHUNK: usize = 1 << 14;

/// The optimiser's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    /// Velocities, one entry a layer.
    pub velocity: Vec<ParameterGradient>,
}

impl Sgd {
    /// At rest.
    pub fn new(network: &Network) -> Self {
        let zeros = |values: Option<&Vec<f32>>| vec![0.0; values.map_or(0, Vec::len)];
        let at_rest = |layer: &LayerWeights| {
            let norm = layer.norm.as_ref();
            ParameterGradient {
                weights: vec![0.0; layer.trained().len()],
                gamma: zeros(norm.map(|norm| &norm.gamma)),
                shift: zeros(norm.and_then(|norm| norm.shift.as_ref())),
                bias: zeros(layer.bias.as_ref()),
            }
        };
        Sgd { velocity: network.layers.iter().map(at_rest).collect() }
    }

    /// Moves every parameter and every running statistic one step, as a pass over a batch says.
    pub fn step(&mut self, network: &mut Network, pass: &PassOutcome, recipe: &Recipe, rate: f32) {
        for (layer, statistics) in network.layers.iter_mut().zip(&pass.statistics) {
            if let (Some(norm), Some(statistics)) = (&mut layer.norm, statistics) {
                statistics.update(norm);
            }
        }
        let update = |values: &mut [f32], velocity: &mut [f32], gradient: &[f32]| {
            let chunks =
                values.par_chunks_mut(CHUNK).zip(velocity.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
            chunks.for_each(|((values, velocity), gradient)| {
                for ((w, v), g) in values.iter_mut().zip(velocity).zip(gradient) {
                    *v = recipe.momentum * *v + (g + recipe.weight_decay * *w);
                    *w -= rate * *v;
                }
            });
        };
        for ((layer, velocity), gradient) in network.layers.iter_mut().zip(&mut self.velocity).zip(&pass.gradients) {
            update(layer.trained_mut(), &mut velocity.weights, &gradient.weights);
            if let Some(norm) = &mut layer.norm {
                update(&mut norm.gamma, &mut velocity.gamma, &gradient.gamma);
                norm.shift.iter_mut().for_each(|shift| update(shift, &mut velocity.shift, &gradient.shift));
            }
            layer.bias.iter_mut().for_each(|bias| update(bias, &mut velocity.bias, &gradient.bias));
        }
    }
}
