//! ∂loss/∂W: pulses times the gradient of the currents, summed over pixels, steps and images.
//!
//! The pulses' maps, padded, are turned so that each channel's pixels lie side by side; a kernel position is then an
//! offset into them. Their sums are products of digits (`dense`) or rows of tables (`look_up`), whichever is faster:
//! both are exact. Fully connected layers have theirs in `connected`.

mod connected;
mod dense;
mod look_up;

pub use connected::fully_connected;

use dense::Dense;
use look_up::LookUp;

use super::{Currents, Precision};
use crate::forward::patches::Patches;
use crate::forward::ways::tables_win;
use crate::kernels::Buffer;
use crate::kernels::digits::{ROWS_AT_ONCE, RUN_BYTES};
use crate::kernels::transpose::transpose;
use crate::network::Layer;
use crate::network::pulses::Pulses;

/// Pixels that a product sums over at once, at least: enough to make up for reading and writing its sums.
const PIXELS: usize = 2048;
/// No count of more bits is looked up: the sums of several would take more than 31 bits too soon.
const MOST_BITS: u32 = 4;

/// The sums of some images, growing.
pub struct Gradient<'a> {
    plan: &'a Layer,
    patches: Patches,
    steps: usize,
    /// Steps of a product.
    at_once: usize,
    /// Bytes of a channel of turned pulses.
    stride: usize,
    laid: Buffer<u8>,
    turned: Buffer<u8>,
    way: WeightSums,
}

/// How sums are made.
enum WeightSums {
    Dense(Dense),
    LookUp(LookUp),
}

/// The pulses of a convolution, turned, as each way reads them.
#[derive(Clone, Copy)]
struct Turned<'a> {
    bytes: &'a [u8],
    /// Bytes from row to row.
    stride: usize,
    patches: &'a Patches,
}

impl Turned<'_> {
    /// The rows of a kernel position from its offset on, each with its number of all.
    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let (offsets, rows) = shape(self.patches);
        (0..offsets).flat_map(move |position| {
            let offset = if offsets == 1 { 0 } else { self.patches.offset(position) };
            self.bytes.chunks(self.stride).take(rows).map(move |row| &row[offset..])
        })
    }
}

/// A layer's input signal.
#[derive(Clone, Copy)]
pub enum InputSignal<'a> {
    /// Pulses, `[images·steps]` maps.
    Pulses(&'a Pulses),
    /// The network's input.
    Encoded {
        /// Signed digits `[images, given steps, planes, pixels, channels]`.
        digits: &'a [i8],
        /// Digit planes, the least significant first.
        planes: usize,
        /// Steps that differ: 1 where all are the same.
        given: usize,
        /// The digits' base.
        base: i64,
    },
}

impl InputSignal<'_> {
    /// Bits of a pulse, where the sums of gradients of such a precision are made from tables.
    fn looked_up(&self, precision: Precision) -> Option<u32> {
        let InputSignal::Pulses(pulses) = *self else { return None };
        let bits = pulses.largest().ilog2() + 1;
        (bits <= MOST_BITS && tables_win(precision.digits(), bits)).then_some(bits)
    }

    /// The parts whose sums are kept apart: a plane's, of one sign.
    fn parts(&self) -> Vec<i64> {
        match *self {
            InputSignal::Pulses(pulses) => (0..pulses.planes()).map(|plane| 1 << (8 * plane)).collect(),
            InputSignal::Encoded { planes, base, .. } => {
                (0..planes as u32).flat_map(|plane| [base.pow(plane), -base.pow(plane)]).collect()
            }
        }
    }
}

impl<'a> Gradient<'a> {
    /// A gradient of zero, of a convolution.
    pub fn new(plan: &'a Layer, source: InputSignal, steps: usize, precision: Precision) -> Self {
        let patches = Patches::of(plan, matches!(source, InputSignal::Encoded { .. })).unstrided();
        let at_once = PIXELS.div_ceil(patches.map()).min(steps);
        let pixels = at_once * patches.map();
        let stride = (patches.lead() + pixels).next_multiple_of(RUN_BYTES) + RUN_BYTES;
        let padded = shape(&patches).1.next_multiple_of(ROWS_AT_ONCE);
        let way = match source.looked_up(precision) {
            Some(bits) => WeightSums::LookUp(LookUp::new(&patches, plan, pixels, precision, bits)),
            None => WeightSums::Dense(Dense::new(&patches, plan, pixels, precision, source.parts())),
        };
        let turned = Buffer::zeros(padded * stride + RUN_BYTES + patches.lead());
        Gradient { plan, patches, steps, at_once, stride, laid: Buffer::default(), turned, way }
    }

    /// Steps of a product, and rows of padded currents that it takes.
    pub fn at_once(&self) -> (usize, usize) {
        (self.at_once, self.at_once * self.patches.map())
    }

    /// Adds steps `[first, first + at_once)` of an image, fewer at the end, whose padded currents are given.
    pub fn add(&mut self, source: InputSignal, image: usize, first: usize, currents: &Currents) {
        let steps = self.at_once.min(self.steps - first);
        if let WeightSums::Dense(dense) = &mut self.way {
            dense.take(currents);
        }
        for part in 0..source.parts().len() {
            let largest = self.turn(source, part, image, first, steps);
            let turned = Turned { bytes: &self.turned, stride: self.stride, patches: &self.patches };
            match &mut self.way {
                WeightSums::Dense(dense) => {
                    dense.add(part, turned, u64::from(largest) * (steps * self.patches.map()) as u64)
                }
                WeightSums::LookUp(look_up) => look_up.add(turned, currents),
            }
        }
    }

    /// Writes the turned pulses of a part; gives the largest.
    fn turn(&mut self, source: InputSignal, part: usize, image: usize, first: usize, steps: usize) -> u8 {
        let (patches, stride) = (&self.patches, self.stride);
        match source {
            InputSignal::Pulses(pulses) => {
                patches.fill(pulses, part, image * self.steps + first, steps, &mut self.laid);
                let pixels = patches.lead() + steps * patches.map();
                let size = (pixels, patches.channels());
                transpose(&self.laid, patches.channels(), size, &mut self.turned, |channel| channel * stride);
                if pulses.are_bits() { 1 } else { u8::MAX }
            }
            InputSignal::Encoded { digits, planes, given, .. } => {
                let (plane, negative) = (part / 2, part % 2 == 1);
                let (channels, width, size) = (patches.channels(), patches.input_width(), patches.encoded());
                let positions = if patches.thin() { patches.window().positions() } else { 1 };
                self.laid.reserve(stride);
                for channel in 0..channels {
                    let padded = &mut self.laid[..stride];
                    padded.fill(0);
                    for t in 0..steps {
                        let step = (first + t).min(given - 1);
                        let map = &digits[((image * given + step) * planes + plane) * size..][..size];
                        for (y, row) in map.chunks(width * channels).enumerate() {
                            let at = t * patches.map() + patches.at(y, 0);
                            let pixels = padded[at..at + width].iter_mut().zip(row.chunks_exact(channels));
                            let magnitude = |digit: i8| if negative { -digit } else { digit }.max(0) as u8;
                            pixels.for_each(|(out, pixel)| *out = magnitude(pixel[channel]));
                        }
                    }
                    for position in 0..positions {
                        let offset = patches.offset(position);
                        let row = &mut self.turned[(position * channels + channel) * stride..][..stride];
                        row[..stride - offset].copy_from_slice(&padded[offset..]);
                    }
                }
                16
            }
        }
    }

    /// The sums, in the published order `[columns, rows]`.
    pub fn total(self) -> Vec<i64> {
        match self.way {
            WeightSums::Dense(dense) => dense.total(&self.patches, self.plan),
            WeightSums::LookUp(look_up) => look_up.total(&self.patches, self.plan),
        }
    }
}

/// Kernel positions that are offsets, and rows of turned pulses: thin inputs have a row for every position.
fn shape(patches: &Patches) -> (usize, usize) {
    let positions = patches.window().positions();
    if patches.thin() { (1, positions * patches.channels()) } else { (positions, patches.channels()) }
}

/// The place of a row of turned pulses, of a position that is an offset, in a column of published weights; none where
/// it is padding.
fn published(patches: &Patches, plan: &Layer, position: usize, row: usize) -> Option<usize> {
    let (position, channel) = match patches.thin() {
        true => (row / patches.channels(), row % patches.channels()),
        false => (position, row),
    };
    let positions = patches.window().positions();
    (channel < plan.input.channels).then_some(channel * positions + position)
}
