//! Images on their way into chips: made once, encoded once, shared by every chip that sees them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::code::digit;
use super::drive::{fan_out, of_encoded};
use super::encode::{Batch, Encoder};
use super::{Encoding, Layer};
use crate::monitor::stop_if_asked;
use crate::numeric::unrolling::Unrolling;
use crate::profile::TileInputs;

/// A batch with its encoder. What it sends is computed when first asked for and then kept.
#[derive(Debug)]
pub struct Inputs {
    /// The encoder.
    pub encoder: Encoder,
    /// The images.
    pub batch: Batch,
    /// Time steps.
    pub steps: usize,
    pulses: OnceLock<EncodedPulses>,
}

/// Row drives of each image at each given step.
type Drives = Vec<Vec<u64>>;

/// What the images send onto the first layer's word lines.
#[derive(Debug)]
pub struct EncodedPulses {
    digits: Vec<i8>,
    image: usize,
    /// Pulses of each image at each given step: spikes, or the sum of digits over the planes.
    sent: Vec<Vec<u64>>,
    /// How often each image drives a first layer's rows at each given step: by the layer's window and how lines are
    /// driven.
    drives: Mutex<Vec<(Unrolling, TileInputs, Arc<Drives>)>>,
}

impl Inputs {
    /// Images to be sent over `steps` steps.
    pub fn new(encoder: Encoder, batch: Batch, steps: usize) -> Self {
        Inputs { encoder, batch, steps, pulses: OnceLock::new() }
    }

    /// Steps that differ: 1 where every step sends the same.
    pub fn given_steps(&self) -> usize {
        if self.encoder.is_static() { 1 } else { self.steps }
    }

    /// The encoded images; the same for any number of threads.
    pub fn pulses(&self) -> &EncodedPulses {
        // No lock is held while threads help: one that waits may take up work that asks for the same.
        if self.pulses.get().is_none() {
            let _ = self.pulses.set(self.encode());
        }
        self.pulses.get_or_init(|| self.encode())
    }

    /// What image `b` sends at each step: spikes, or the sum of digits over the planes.
    pub fn sent(&self, b: usize) -> Vec<u64> {
        self.at_every_step(&self.pulses().sent[b])
    }

    /// How often image `b` drives the rows of the first layer at each step.
    pub fn drives(&self, b: usize, first: &Layer, inputs: TileInputs) -> Vec<u64> {
        self.at_every_step(&self.all_drives(first.unrolling(), inputs)[b])
    }

    /// The drives of all images, counted once.
    fn all_drives(&self, window: Unrolling, inputs: TileInputs) -> Arc<Drives> {
        let counted = || self.pulses().drives.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            counted().iter().find(|(of, by, _)| (*of, *by) == (window, inputs)).map(|(.., drives)| drives.clone());
        // No lock is held while threads help.
        known.unwrap_or_else(|| {
            let drives = Arc::new(self.count_drives(window, inputs));
            counted().push((window, inputs, drives.clone()));
            drives
        })
    }

    /// What is given for the steps that differ, for all of them.
    fn at_every_step(&self, given: &[u64]) -> Vec<u64> {
        (0..self.steps).map(|t| given[t.min(given.len() - 1)]).collect()
    }

    fn count_drives(&self, window: Unrolling, inputs: TileInputs) -> Drives {
        let (planes, shape) = (self.encoder.code.planes() as usize, self.encoder.shape);
        let fan = fan_out(window, shape.height * shape.width);
        let image = |b: usize| -> Vec<u64> {
            let maps = self.pulses().image(b).chunks(planes * shape.len());
            maps.map(|map| of_encoded(map, shape.channels, &fan, inputs)).collect()
        };
        (0..self.batch.len()).into_par_iter().map(image).collect()
    }

    /// The bytes that an image takes here, values and pulses.
    pub fn image_bytes(encoder: &Encoder, steps: usize) -> usize {
        let given = if encoder.is_static() { 1 } else { steps };
        let frames = if encoder.code.encoding == Encoding::Frames { given } else { 1 };
        encoder.shape.len() * (frames * size_of::<f32>() + given * encoder.code.planes() as usize)
    }

    fn encode(&self) -> EncodedPulses {
        let (size, planes) = (self.encoder.shape.len(), self.encoder.code.planes() as usize);
        let given = self.given_steps();
        let image = given * planes * size;
        let mut digits = vec![0i8; self.batch.len() * image];
        let sent: Vec<Vec<u64>> = digits
            .par_chunks_mut(image)
            .enumerate()
            .map(|(b, digits)| {
                stop_if_asked();
                let steps = digits.chunks_mut(planes * size).enumerate();
                steps.map(|(step, digits)| self.encode_step(b, step, digits)).collect()
            })
            .collect();
        EncodedPulses { digits, image, sent, drives: Default::default() }
    }

    /// Writes the digit planes of a step of image `b`; gives its number of pulses.
    fn encode_step(&self, b: usize, step: usize, digits: &mut [i8]) -> u64 {
        let mut integers = vec![0; self.encoder.shape.len()];
        self.encoder.encode(&self.batch, b, step, &mut integers);
        for (plane, digits) in (0..).zip(digits.chunks_mut(integers.len())) {
            for (pulse, n) in digits.iter_mut().zip(&integers) {
                *pulse = digit(*n, plane) as i8;
            }
        }
        digits.iter().map(|pulse| u64::from(pulse.unsigned_abs())).sum()
    }
}

impl EncodedPulses {
    /// Signed digits of all images, one after the other.
    pub fn all(&self) -> &[i8] {
        &self.digits
    }

    /// Signed digits of the images from the first to below the second.
    pub fn images(&self, (first, end): (usize, usize)) -> &[i8] {
        &self.digits[first * self.image..end * self.image]
    }

    /// Signed digits of image `b`, `[steps or 1, planes, pixels, channels]`, planes from the least significant.
    pub fn image(&self, b: usize) -> &[i8] {
        &self.digits[b * self.image..(b + 1) * self.image]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::InputCode;
    use crate::network::code::DIGIT_BITS;
    use crate::numeric::Shape;

    #[test]
    fn pulses_are_the_encoders_integers_by_digit_planes() {
        let shape = Shape { channels: 2, height: 3, width: 2 };
        for encoding in [Encoding::Poisson, Encoding::Direct, Encoding::Frames] {
            let frames = if encoding == Encoding::Frames { 3 } else { 1 };
            let values = (0..2 * frames * shape.len()).map(|i| (i as f32 - 30.0) * 0.137).collect();
            let inputs = Inputs::new(Encoder::new(encoding, shape, 1, 0), Batch { values, indices: vec![5, 9] }, 3);
            let planes = InputCode::from(encoding).planes() as usize;
            for b in 0..2 {
                let mut sent = vec![0; 3];
                for (t, sent) in sent.iter_mut().enumerate() {
                    let mut integers = vec![0; shape.len()];
                    inputs.encoder.encode(&inputs.batch, b, t, &mut integers);
                    let map = &inputs.pulses().image(b)[t.min(inputs.given_steps() - 1) * planes * shape.len()..];
                    for (i, n) in integers.iter().enumerate() {
                        let digits = (0..planes).map(|p| i32::from(map[p * shape.len() + i]));
                        assert_eq!(digits.clone().rev().fold(0, |n, digit| (n << DIGIT_BITS) + digit), *n);
                        *sent += digits.map(|d| u64::from(d.unsigned_abs())).sum::<u64>();
                    }
                }
                assert_eq!(inputs.sent(b), sent, "{encoding:?}");
                assert!(sent.iter().all(|s| *s > 0));
            }
        }
    }
}
