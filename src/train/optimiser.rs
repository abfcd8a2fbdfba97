//! Optimisers, as PyTorch has them: stochastic gradient descent with momentum, decay added to the gradient, and AdamW,
//! decay apart from it; norms and biases included. Neurons' constants do not decay, and are held to the values that
//! they may have.

use rayon::prelude::*;

use super::config::{Hyperparameters, OptimiserKind};
use super::pass::{ParameterGradient, PassOutcome};
use crate::network::Network;
use crate::network::constants::Constants;
use crate::network::weights::LayerWeights;

/// Parameters of one task.
const CHUNK: usize = 1 << 14;
/// The number that AdamW adds to the root of a second moment.
const EPSILON: f32 = 1e-8;

/// The optimiser's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimiser {
    /// Velocities, or first moments, one entry a layer.
    pub velocity: Vec<ParameterGradient>,
    /// Second moments of AdamW.
    pub square: Option<Vec<ParameterGradient>>,
    /// Steps that AdamW took.
    pub steps: u64,
}

/// One step, with what depends on its number.
#[derive(Clone, Copy)]
enum Update {
    /// Momentum, decay and rate.
    Sgd([f32; 3]),
    /// Both β, what a weight keeps, the rate over 1 − β₁^t, and 1/√(1 − β₂^t).
    AdamW([f32; 5]),
}

impl Optimiser {
    /// At rest.
    pub fn new(hyperparameters: &Hyperparameters, network: &Network) -> Self {
        let zeros = |values: Option<&Vec<f32>>| vec![0.0; values.map_or(0, Vec::len)];
        let at_rest = |layer: &LayerWeights| {
            let norm = layer.norm.as_ref();
            ParameterGradient {
                weights: vec![0.0; layer.trained().len()],
                gamma: zeros(norm.map(|norm| &norm.gamma)),
                shift: zeros(norm.and_then(|norm| norm.shift.as_ref())),
                bias: zeros(layer.bias.as_ref()),
                constants: Constants::new(),
            }
        };
        let velocity: Vec<_> = network.layers.iter().map(at_rest).collect();
        let square = (hyperparameters.optimiser == OptimiserKind::AdamW).then(|| velocity.clone());
        Optimiser { velocity, square, steps: 0 }
    }

    /// Moves every parameter and every running statistic one step, as a pass over a batch says; neurons keep constants
    /// that their arithmetic holds.
    pub fn step(&mut self, network: &mut Network, pass: &PassOutcome, hyperparameters: &Hyperparameters, rate: f32) {
        for (layer, statistics) in network.layers.iter_mut().zip(&pass.statistics) {
            if let (Some(norm), Some(statistics)) = (&mut layer.norm, statistics) {
                statistics.update(norm);
            }
        }
        let update = self.update(hyperparameters, rate);
        let none = ParameterGradient::default;
        for (l, (layer, gradient)) in network.layers.iter_mut().zip(&pass.gradients).enumerate() {
            let first = &mut self.velocity[l];
            let mut unused = none();
            let second = self.square.as_mut().map_or(&mut unused, |square| &mut square[l]);
            update.apply(layer.trained_mut(), &mut first.weights, &mut second.weights, &gradient.weights);
            if let Some(norm) = &mut layer.norm {
                update.apply(&mut norm.gamma, &mut first.gamma, &mut second.gamma, &gradient.gamma);
                if let Some(shift) = &mut norm.shift {
                    update.apply(shift, &mut first.shift, &mut second.shift, &gradient.shift);
                }
            }
            if let Some(bias) = &mut layer.bias {
                update.apply(bias, &mut first.bias, &mut second.bias, &gradient.bias);
            }
            for (constant, gradient) in &gradient.constants {
                let Some(values) = layer.constants.get_mut(constant) else { continue };
                let at_rest = || vec![0.0; gradient.len()];
                let first = first.constants.entry(*constant).or_insert_with(at_rest);
                let second = second.constants.entry(*constant).or_insert_with(at_rest);
                update.without_decay().apply(values, first, second, gradient);
                values.iter_mut().for_each(|value| *value = pass.neurons[l].held(*constant, *value));
            }
        }
    }

    fn update(&mut self, hyperparameters: &Hyperparameters, rate: f32) -> Update {
        if self.square.is_none() {
            return Update::Sgd([hyperparameters.momentum, hyperparameters.weight_decay, rate]);
        }
        self.steps += 1;
        let [first, second] = hyperparameters.betas;
        let left = |beta: f32| 1.0 - libm::pow(f64::from(beta), self.steps as f64);
        let (whole, root) = ((f64::from(rate) / left(first)) as f32, (1.0 / left(second).sqrt()) as f32);
        Update::AdamW([first, second, 1.0 - rate * hyperparameters.weight_decay, whole, root])
    }
}

impl Update {
    /// The update of neurons' constants, which do not decay.
    fn without_decay(self) -> Self {
        match self {
            Update::Sgd([momentum, _, rate]) => Update::Sgd([momentum, 0.0, rate]),
            Update::AdamW([first, second, _, rate, root]) => Update::AdamW([first, second, 1.0, rate, root]),
        }
    }

    fn apply(self, values: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let chunks = values.par_chunks_mut(CHUNK).zip(first.par_chunks_mut(CHUNK)).zip(gradient.par_chunks(CHUNK));
        match self {
            Update::Sgd([momentum, decay, rate]) => chunks.for_each(|((values, velocity), gradient)| {
                for ((w, v), g) in values.iter_mut().zip(velocity).zip(gradient) {
                    *v = momentum * *v + (g + decay * *w);
                    *w -= rate * *v;
                }
            }),
            Update::AdamW([beta, square_beta, kept, rate, root]) => {
                chunks.zip(second.par_chunks_mut(CHUNK)).for_each(|(((values, first), gradient), second)| {
                    for (((w, m), v), g) in values.iter_mut().zip(first).zip(second).zip(gradient) {
                        *m = beta * *m + (1.0 - beta) * g;
                        *v = square_beta * *v + (1.0 - square_beta) * (g * g);
                        *w = kept * *w - rate * *m / (v.sqrt() * root + EPSILON);
                    }
                });
            }
        }
    }
}
