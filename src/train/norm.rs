//! Batch normalisation in training: statistics of the batch per channel, of every step (BNTT) or over all of them.
//!
//! Normalises with the biased variance and keeps the unbiased one, as PyTorch does. Sums over a batch are taken in f64,
//! image by image in order, so they do not depend on the number of threads. Currents are counted in pulses of the
//! layer's input unit; the running statistics in its values.

use crate::forward::currents::Geometry;
use crate::kernels::digits::LANES;
use crate::kernels::vectorised;
use crate::network::weights::Norm;

/// Momentum of the running statistics.
const MOMENTUM: f32 = 0.1;

/// Statistics of one layer and batch, blocked: `[blocks, steps, 16]`, of currents in pulses.
pub struct BatchStatistics {
    /// Mean.
    pub mean: Vec<[f32; LANES]>,
    /// 1/√(biased variance + ε), the variance of values: times a current's distance from the mean, it is x̂.
    pub inverse_std: Vec<[f32; LANES]>,
    /// Mean and unbiased variance of values, `[norms, channels]`.
    running: [Vec<f32>; 2],
}

/// Two sums per block, step and channel.
pub type Moments = Vec<[[f64; LANES]; 2]>;

/// Adds images' moments in their order.
pub fn total(images: Vec<Moments>) -> Moments {
    let mut images = images.into_iter();
    let mut total = images.next().unwrap_or_default();
    for image in images {
        for (total, image) in total.iter_mut().flatten().flatten().zip(image.iter().flatten().flatten()) {
            *total += image;
        }
    }
    total
}

/// Sums over all steps, the same at every step.
pub fn over_steps(moments: Moments, steps: usize) -> Moments {
    let of_block = |block: &[[[f64; LANES]; 2]]| {
        let mut sums = [[0.0; LANES]; 2];
        for step in block {
            sums.iter_mut().flatten().zip(step.iter().flatten()).for_each(|(sum, more)| *sum += more);
        }
        vec![sums; steps]
    };
    moments.chunks(steps).flat_map(of_block).collect()
}

impl BatchStatistics {
    /// The statistics that follow from the [`moments`] of the images' currents, in pulses of `unit`, of a layer with
    /// this norm; its bias counts in its mean.
    pub fn of(images: Vec<Moments>, geometry: Geometry, unit: f32, norm: &Norm, bias: Option<&[f32]>) -> Self {
        let Geometry { steps, blocks, channels, .. } = geometry;
        let (norms, mut moments) = (norm.tracked.len(), total(images));
        let mut n = geometry.normalised() as f64;
        if norm.is_for_all_steps() {
            moments = over_steps(moments, steps);
            n *= steps as f64;
        }
        let none = || vec![0.0; norms * channels];
        let mut statistics = BatchStatistics { mean: vec![], inverse_std: vec![], running: [none(), none()] };
        let unit = f64::from(unit);
        for (place, [sums, squares]) in moments.iter().enumerate() {
            let (block, t) = (place / steps, place % steps);
            let mut lanes = [[0.0; LANES]; 2];
            for lane in 0..LANES {
                let mean = sums[lane] / n;
                let biased = squares[lane] / n - mean * mean;
                // Rounding may leave a little below 0; what is not a number stays so, for the loss to show it.
                let biased = if biased < 0.0 { 0.0 } else { biased } * unit * unit;
                lanes[0][lane] = mean as f32;
                lanes[1][lane] = (unit / (biased + f64::from(norm.epsilon())).sqrt()) as f32;
                let channel = block * LANES + lane;
                if channel < channels && t < norms {
                    let bias = bias.map_or(0.0, |bias| f64::from(bias[channel]));
                    statistics.running[0][t * channels + channel] = (mean * unit + bias) as f32;
                    statistics.running[1][t * channels + channel] = (biased * n / (n - 1.0).max(1.0)) as f32;
                }
            }
            statistics.mean.push(lanes[0]);
            statistics.inverse_std.push(lanes[1]);
        }
        debug_assert_eq!(statistics.mean.len(), blocks * steps);
        statistics
    }

    /// The mean and unbiased variance of values that running statistics take of this batch, `[norms, channels]`.
    pub fn running(&self) -> &[Vec<f32>; 2] {
        &self.running
    }

    /// Moves the running statistics towards this batch's.
    pub fn update(&self, norm: &mut Norm) {
        let blend = |running: &mut [f32], batch: &[f32]| {
            running.iter_mut().zip(batch).for_each(|(r, b)| *r = (1.0 - MOMENTUM) * *r + MOMENTUM * b);
        };
        blend(&mut norm.mean, &self.running[0]);
        blend(&mut norm.var, &self.running[1]);
        norm.tracked.iter_mut().for_each(|n| *n += 1);
    }
}

vectorised! {
    /// Writes sums and sums of squares of some steps of one image's currents, from step `first` on.
    pub fn moments(steps: &[f32], first: usize, geometry: Geometry, moments: &mut [[[f64; LANES]; 2]]) {
        for (t, step) in (first..).zip(steps.chunks(geometry.step())) {
            for (block, pixels) in step.chunks(geometry.block()).enumerate() {
                let [mut sums, mut squares] = [[0.0f64; LANES]; 2];
                for pixel in pixels.as_chunks::<LANES>().0 {
                    for lane in 0..LANES {
                        let x = f64::from(pixel[lane]);
                        sums[lane] += x;
                        squares[lane] += x * x;
                    }
                }
                moments[block * geometry.steps + t] = [sums, squares];
            }
        }
    }
}
