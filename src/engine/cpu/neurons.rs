//! Leaky integrate-and-fire neurons of one layer, scanned over all steps, and the pool behind them.
//!
//! `u ← λ·u + gain·sum + offset`; a spike iff `u > θ`; then `u ← u − θ`. All in f32, in this order of operations. (The
//! method writes the spike as `u/θ − 1 > 0`: the same without a division.)

use crate::chip::{Chip, ProgrammedLayer};

/// A layer's neurons for one image.
pub struct Neurons<'a> {
    layer: &'a ProgrammedLayer,
    leak: f32,
    threshold: f32,
    steps: usize,
}

impl<'a> Neurons<'a> {
    pub fn new(chip: &'a Chip, layer: usize) -> Self {
        let (leak, threshold) = (chip.neuron.leak, chip.neuron.threshold);
        Neurons { layer: &chip.layers[layer], leak, threshold, steps: chip.steps }
    }

    /// From sums `[steps or 1, pixels, channels]` to pulses `[steps, pooled pixels, channels]`, the number of spikes in
    /// each pooling window, and the spikes per step before the pool.
    pub fn scan(&self, sums: &[f32]) -> (Vec<f32>, Vec<u64>) {
        let plan = &self.layer.plan;
        let (channels, width) = (plan.output.channels, plan.output.width);
        let pixels = plan.output.height * width;
        let pooled = plan.pooled();
        let pooled_pixels = pooled.height * pooled.width;
        let given_steps = sums.len() / (pixels * channels);
        let mut pulses = vec![0.0; self.steps * pooled_pixels * channels];
        let mut fired = vec![0u64; self.steps];
        let mut membrane = vec![0.0f32; channels];
        let mut spikes = vec![0.0f32; channels];
        for pixel in 0..pixels {
            let (row, column) = (pixel / width / plan.pool.0, pixel % width / plan.pool.1);
            let target = (row < pooled.height && column < pooled.width).then(|| row * pooled.width + column);
            membrane.fill(0.0);
            for (t, fired) in fired.iter_mut().enumerate() {
                let at = (t.min(given_steps - 1) * pixels + pixel) * channels;
                self.step(t, &sums[at..at + channels], &mut membrane, &mut spikes);
                *fired += spikes.iter().map(|s| *s as u32).sum::<u32>() as u64;
                if let Some(target) = target {
                    let at = (t * pooled_pixels + target) * channels;
                    pulses[at..at + channels].iter_mut().zip(&spikes).for_each(|(pulse, s)| *pulse += s);
                }
            }
        }
        (pulses, fired)
    }

    fn step(&self, t: usize, sums: &[f32], membrane: &mut [f32], spikes: &mut [f32]) {
        let channels = sums.len();
        let gain = &self.layer.gain[t * channels..][..channels];
        let offset = &self.layer.offset[t * channels..][..channels];
        for o in 0..channels {
            let potential = self.leak * membrane[o] + (gain[o] * sums[o] + offset[o]);
            let spike = if potential > self.threshold { 1.0 } else { 0.0 };
            membrane[o] = potential - spike * self.threshold;
            spikes[o] = spike;
        }
    }
}
