//! The native engine: any model, any batch, on all cores.
//!
//! Layers feed forward only, so each runs over all steps before the next. Convolutions go image by image, a task each;
//! fully connected layers take the whole batch, so that their matrix is read once. Sums are exact, so neither the
//! kernel chosen nor the number of threads shows in a result.

mod neurons;

use ndarray::Array2;
use rayon::prelude::*;

use super::{Counts, Engine, LoadedChip, Outcome};
use crate::chip::Chip;
use crate::crossbar::sums::{Kernel, Matrix};
use crate::error::Result;
use crate::network::encode::{DIGIT_BITS, digit};
use crate::network::{Batch, Encoder, LayerKind};
use neurons::Neurons;

/// Runs chips on this machine's cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuEngine {
    /// How sums are computed; never changes a result.
    pub kernel: Kernel,
}

impl Engine for CpuEngine {
    fn name(&self) -> String {
        "cpu".into()
    }

    fn load<'a>(&'a self, chip: &'a Chip) -> Result<Box<dyn LoadedChip + 'a>> {
        let matrices = chip.layers.par_iter().map(|l| Matrix::new(&l.plan, &l.weights, self.kernel)).collect();
        Ok(Box::new(CpuChip { chip, matrices }))
    }
}

struct CpuChip<'a> {
    chip: &'a Chip,
    matrices: Vec<Matrix>,
}

/// One image behind the last convolution (or behind the first layer): pulses `[steps, rows of the next layer]`.
struct Features {
    pulses: Vec<f32>,
    counts: Counts,
}

impl LoadedChip for CpuChip<'_> {
    fn run(&mut self, encoder: &Encoder, batch: &Batch) -> Result<Outcome> {
        let chip = self.chip;
        let (images, steps) = (batch.len(), chip.steps);
        let spiking = chip.layers.len() - 1;
        let convolutions = chip.layers.iter().filter(|l| l.plan.kind == LayerKind::Conv).count().max(1);
        let features: Vec<Features> =
            (0..images).into_par_iter().map(|b| self.convolve(encoder, batch, b, convolutions)).collect();
        let mut counts = Counts::new(spiking, steps);
        features.iter().for_each(|f| counts.add(&f.counts));
        let mut pulses: Vec<f32> = features.into_iter().flat_map(|f| f.pulses).collect();
        for l in convolutions..spiking {
            let sums = self.matrices[l].connect(&pulses, images * steps);
            let neurons = Neurons::new(chip, l);
            let size = chip.layers[l].plan.columns();
            let scanned: Vec<(Vec<f32>, Vec<u64>)> =
                sums.par_chunks(steps * size).map(|sums| neurons.scan(sums)).collect();
            pulses.clear();
            for (spikes, fired) in scanned {
                pulses.extend(spikes);
                counts.spikes[l].iter_mut().zip(fired).for_each(|(count, f)| *count += f);
            }
        }
        let readout = self.matrices[spiking].connect(&pulses, images * steps);
        let classes = chip.layers[spiking].plan.columns();
        let unit = chip.layers[spiking].input_unit;
        let logits = Array2::from_shape_fn((images, classes), |(b, c)| {
            let sum: f32 = (0..steps).map(|t| readout[(b * steps + t) * classes + c]).sum();
            mean_readout(sum, unit, steps)
        });
        Ok(Outcome { logits, counts })
    }
}

/// `(1/T)·Σ_t W·s_t` from the sum over steps counted in pulses of `unit`.
pub(crate) fn mean_readout(sum: f32, unit: f32, steps: usize) -> f32 {
    sum * unit / steps as f32
}

impl CpuChip<'_> {
    /// Encodes image `b` and runs it through the first `layers` layers.
    fn convolve(&self, encoder: &Encoder, batch: &Batch, b: usize, layers: usize) -> Features {
        let chip = self.chip;
        let mut counts = Counts::new(chip.layers.len() - 1, chip.steps);
        let mut pulses = Vec::new();
        for l in 0..layers {
            let sums = match l {
                0 => self.first_sums(encoder, batch, b, &mut counts.input),
                _ => self.matrices[l].convolve(&pulses),
            };
            (pulses, counts.spikes[l]) = Neurons::new(chip, l).scan(&sums);
        }
        Features { pulses, counts }
    }

    /// The first layer's sums `[steps or 1, pixels, columns]`; an input that is the same at every step runs once.
    fn first_sums(&self, encoder: &Encoder, batch: &Batch, b: usize, fired: &mut [u64]) -> Vec<f32> {
        let size = self.chip.input.len();
        let steps = if encoder.is_static() { 1 } else { self.chip.steps };
        let mut integers = vec![0i32; steps * size];
        for (t, map) in integers.chunks_mut(size).enumerate() {
            encoder.encode(batch, b, t, map);
        }
        let planes = encoder.encoding.planes();
        let mut sums = Vec::new();
        let mut plane_pulses = vec![0f32; integers.len()];
        for plane in (0..planes).rev() {
            for (pulse, n) in plane_pulses.iter_mut().zip(&integers) {
                *pulse = if planes == 1 { *n } else { digit(*n, plane) } as f32;
            }
            for (t, fired) in fired.iter_mut().enumerate() {
                let map = &plane_pulses[t.min(steps - 1) * size..][..size];
                *fired += map.iter().map(|p| p.abs() as u64).sum::<u64>();
            }
            let plane_sums = self.matrices[0].convolve(&plane_pulses);
            sums = if sums.is_empty() { plane_sums } else { next_plane(sums, &plane_sums) };
        }
        sums
    }
}

/// Joins the next, less significant digit plane: the digital shift-and-add behind the crossbar.
fn next_plane(mut sums: Vec<f32>, plane: &[f32]) -> Vec<f32> {
    let base = (1u32 << DIGIT_BITS) as f32;
    sums.iter_mut().zip(plane).for_each(|(sum, plane)| *sum = *sum * base + plane);
    sums
}
