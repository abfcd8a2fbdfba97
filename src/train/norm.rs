//! Batch normalisation through time in training: statistics of the batch, per step and channel.
//!
//! Normalises with the biased variance and keeps the unbiased one, as PyTorch does. Sums over a batch are taken in f64,
//! image by image in order, so they do not depend on the number of threads.

use rayon::prelude::*;

use crate::network::weights::{NORM_EPSILON, Norm};

/// Momentum of the running statistics.
const MOMENTUM: f32 = 0.1;

/// Statistics of one layer and batch, `[steps, channels]`.
pub struct BatchStatistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// 1/√(biased variance + ε).
    pub inverse_std: Vec<f32>,
    /// Unbiased variance.
    var: Vec<f32>,
}

/// Adds up per-image sums of `f(step, channel-vector pair)`: two f64 sums per step and channel.
///
/// `currents` is `[images, steps, pixels, channels]`.
pub fn reduce(
    currents: &[f32],
    images: usize,
    steps: usize,
    channels: usize,
    each: impl Fn(usize, usize, &[f32], &mut [f64], &mut [f64]) + Sync,
) -> (Vec<f64>, Vec<f64>) {
    let image = currents.len() / images;
    let step = image / steps;
    let partial = |(b, values): (usize, &[f32])| {
        let mut sums = (vec![0f64; steps * channels], vec![0f64; steps * channels]);
        for (t, values) in values.chunks(step).enumerate() {
            let range = t * channels..(t + 1) * channels;
            each(b, t, values, &mut sums.0[range.clone()], &mut sums.1[range]);
        }
        sums
    };
    let partials: Vec<_> = currents.par_chunks(image).enumerate().map(partial).collect();
    let mut total = (vec![0f64; steps * channels], vec![0f64; steps * channels]);
    for (first, second) in partials {
        total.0.iter_mut().zip(first).for_each(|(t, p)| *t += p);
        total.1.iter_mut().zip(second).for_each(|(t, p)| *t += p);
    }
    total
}

impl BatchStatistics {
    /// Of currents `[images, steps, pixels, channels]`.
    pub fn of(currents: &[f32], images: usize, steps: usize, channels: usize) -> Self {
        let n = (currents.len() / (steps * channels)) as f64;
        let (sums, squares) = reduce(currents, images, steps, channels, |_, _, values, sums, squares| {
            for row in values.chunks(channels) {
                for ((x, sum), square) in row.iter().zip(sums.iter_mut()).zip(squares.iter_mut()) {
                    let x = f64::from(*x);
                    *sum += x;
                    *square += x * x;
                }
            }
        });
        let moments = sums.iter().zip(&squares).map(|(sum, square)| {
            let mean = sum / n;
            let biased = square / n - mean * mean;
            // Rounding may leave a little below 0; what is not a number stays so, for the loss to show it.
            (mean, if biased < 0.0 { 0.0 } else { biased })
        });
        let mut statistics = BatchStatistics { mean: vec![], inverse_std: vec![], var: vec![] };
        for (mean, biased) in moments {
            statistics.mean.push(mean as f32);
            statistics.inverse_std.push((1.0 / (biased + f64::from(NORM_EPSILON)).sqrt()) as f32);
            statistics.var.push((biased * n / (n - 1.0).max(1.0)) as f32);
        }
        statistics
    }

    /// Moves the running statistics towards this batch's.
    pub fn update(&self, norm: &mut Norm) {
        let blend = |running: &mut [f32], batch: &[f32]| {
            running.iter_mut().zip(batch).for_each(|(r, b)| *r = (1.0 - MOMENTUM) * *r + MOMENTUM * b);
        };
        blend(&mut norm.mean, &self.mean);
        blend(&mut norm.var, &self.var);
        norm.tracked.iter_mut().for_each(|n| *n += 1);
    }
}
