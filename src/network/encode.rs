//! Encoders: how an image becomes the pulses on the first layer's word lines.
//!
//! - `poisson`: every step and pixel draws a uniform r in [0, 1) and sends `sign(x)·[2r ≤ |x|]`. The draw is keyed by
//!   (seed, epoch, image, step, pixel), never by chip, batch or thread, and is a comparison of 24-bit integers, so
//!   every backend sends the same spikes.
//! - `direct`: the pixel itself at every step. A crossbar takes integers, so x is the nearest one of its [`InputCode`],
//!   applied as signed digit planes of [`DIGIT_BITS`](super::code::DIGIT_BITS) bits, one after the other.
//! - `frames`: given per step (event cameras), in the same form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::code::InputCode;
use crate::error::{Error, Result};
use crate::numeric::Shape;
use crate::rng::{Stream, philox4x32, stream_key};

/// The encoder of a run.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Split};
/// use crosspike::{Encoding, Options, Profile, Session};
///
/// # let (profile, model) = (Profile::named("rram_4bit", &[])?, Model::named("digits", &[])?);
/// # let (network, data) = (Network::xavier(&model, 1), Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// let options = Options { encoding: Some(Encoding::Direct), ..Options::default() };
/// let session = Session::open(&profile, model, network, &data, options)?;
/// assert_eq!(session.encoding().to_string(), "direct");
/// assert_eq!(Encoding::resolve(None, None, 8)?, Encoding::Poisson); // What images get where nothing is asked for.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Signed random spikes with rate |x|/2.
    Poisson,
    /// The value itself, every step.
    Direct,
    /// Values given per step.
    Frames,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Encoding::Poisson => "poisson",
            Encoding::Direct => "direct",
            Encoding::Frames => "frames",
        })
    }
}

impl Encoding {
    /// What data of `frame_steps` steps an image takes; the default encoding where none is `asked`.
    pub fn resolve(asked: Option<Encoding>, frame_steps: Option<usize>, steps: usize) -> Result<Encoding> {
        let encoding = asked.unwrap_or(if frame_steps.is_some() { Encoding::Frames } else { Encoding::Poisson });
        match (encoding, frame_steps) {
            (Encoding::Frames, None) => Err(Error::Usage(
                "encoding `frames` needs frame data; expected `poisson` or `direct` for images".into(),
            )),
            (Encoding::Frames, Some(found)) if found != steps => Err(Error::Mismatch(format!(
                "the data has {found} frames an image, the model takes {steps} steps; set `model.steps`"
            ))),
            (Encoding::Poisson | Encoding::Direct, Some(_)) => {
                Err(Error::Usage("frame data is given per step; expected encoding `frames`".into()))
            }
            _ => Ok(encoding),
        }
    }
}

/// Images ready to be encoded.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Normalised values, `[images, channels, rows, columns]`, with `[steps]` behind the images for frames.
    pub values: Vec<f32>,
    /// Each image's index in its data set: what its Poisson draws are keyed by.
    pub indices: Vec<u32>,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The values of image `b`.
    pub fn image(&self, b: usize) -> &[f32] {
        let size = self.values.len() / self.len();
        &self.values[b * size..(b + 1) * size]
    }

    /// An error if a value is not one that the chip's inputs can say.
    pub fn check(&self, code: InputCode) -> Result<()> {
        let InputCode { bits, unit, .. } = code;
        match self.values.iter().find(|x| !code.holds(**x)) {
            Some(x) => Err(Error::Mismatch(format!(
                "an input value is {x}, and the chip's inputs are whole multiples of {unit} of {bits} bits; expected \
                 values of the data that it was made for"
            ))),
            None => Ok(()),
        }
    }
}

/// Encodes the images of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoder {
    /// What inputs are.
    pub code: InputCode,
    /// The Poisson stream's key.
    pub key: [u32; 2],
    /// The input's shape.
    pub shape: Shape,
}

impl Encoder {
    /// An encoder of `seed` at `epoch` (from 1 in training; 0 at evaluation).
    pub fn new(code: impl Into<InputCode>, shape: Shape, seed: u64, epoch: u64) -> Self {
        Encoder { code: code.into(), key: stream_key(seed, Stream::Poisson, epoch), shape }
    }

    /// Writes the integers of step `step` of image `b` in channel-last order.
    pub fn encode(&self, batch: &Batch, b: usize, step: usize, out: &mut [i32]) {
        let size = self.shape.len();
        let pixels = self.shape.height * self.shape.width;
        let last = |i: usize| i % pixels * self.shape.channels + i / pixels;
        match self.code.encoding {
            Encoding::Poisson => {
                let values = batch.image(b);
                for block in 0..size.div_ceil(4) {
                    let words = philox4x32(self.key, [block as u32, step as u32, batch.indices[b], 0]);
                    for (i, word) in (block * 4..size.min(block * 4 + 4)).zip(words) {
                        out[last(i)] = poisson_spike(values[i], word);
                    }
                }
            }
            Encoding::Direct | Encoding::Frames => {
                let offset = if self.code.encoding == Encoding::Frames { step * size } else { 0 };
                for (i, value) in batch.image(b)[offset..offset + size].iter().enumerate() {
                    out[last(i)] = self.code.integer(*value);
                }
            }
        }
    }

    /// Whether every step sends the same: the first layer's sums are then computed once.
    pub fn is_static(&self) -> bool {
        self.code.encoding == Encoding::Direct
    }
}

/// `sign(x)·[2r ≤ |x|]` with r the word's upper 24 bits as a fraction.
pub fn poisson_spike(x: f32, word: u32) -> i32 {
    let twice_r = (word >> 8) as f32 * (1.0 / (1 << 23) as f32);
    if x == 0.0 || twice_r > x.abs() { 0 } else { x.signum() as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_rates_are_half_the_magnitude_and_keep_the_sign() {
        let shape = Shape { channels: 1, height: 1, width: 5 };
        let batch = Batch { values: vec![0.0, 0.5, -1.0, 2.0, -3.0], indices: vec![9] };
        let encoder = Encoder::new(Encoding::Poisson, shape, 1, 0);
        let mut sums = [0i32; 5];
        let mut out = [0; 5];
        let steps = 10_000;
        for step in 0..steps {
            encoder.encode(&batch, 0, step, &mut out);
            sums.iter_mut().zip(out).for_each(|(s, o)| *s += o);
        }
        // Standard error of a rate of a half over 10,000 draws is 0.005; five of them are allowed.
        for (sum, expected) in sums.iter().zip([0.0, 0.25, -0.5, 1.0, -1.0]) {
            let rate = f64::from(*sum) / steps as f64;
            let allowed = if expected == 0.0 || f64::abs(expected) == 1.0 { 0.0 } else { 0.025 };
            assert!((rate - expected).abs() <= allowed, "{rate} for {expected}");
        }
    }

    #[test]
    fn draws_depend_on_the_image_and_not_on_its_place_in_the_batch() {
        let shape = Shape { channels: 2, height: 3, width: 3 };
        let image: Vec<f32> = (0..18).map(|i| i as f32 / 9.0 - 1.0).collect();
        let encoder = Encoder::new(Encoding::Poisson, shape, 1, 0);
        let encode = |indices: Vec<u32>, b| {
            let batch = Batch { values: image.repeat(indices.len()), indices };
            let mut out = [0; 18];
            encoder.encode(&batch, b, 3, &mut out);
            out
        };
        assert_eq!(encode(vec![4, 5], 1), encode(vec![5], 0));
        assert_ne!(encode(vec![4], 0), encode(vec![5], 0));
    }
}
