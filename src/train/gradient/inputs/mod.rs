//! ∂loss/∂inputs: the gradient of the currents through the transposed matrix, a convolution with the kernel turned.
//!
//! The pairs of a digit of a gradient and one of a weight are kept whose product is not below the last place of the
//! largest: as many places as a gradient has digits. They are multiplied as bytes (`bytes`), or several at a time in 16
//! bits (`words`), whichever is faster: the sums are the same whole numbers.

mod bytes;
mod words;

use rayon::prelude::*;

use self::bytes::Bytes;
use self::words::Terms;
use super::{Currents, Precision};
use crate::forward::patches::Patches;
use crate::kernels::digits::{GROUP, LANES, ROWS_AT_ONCE, digits_of};
use crate::kernels::{Buffer, Instructions};
use crate::network::Layer;
use crate::numeric::Shape;
use crate::numeric::unrolling::{Unrolling, Window};

/// A layer's matrix, transposed.
pub struct Transposed {
    patches: Patches,
    way: InputProducts,
    /// The value of one unit of a sum, where a gradient's unit is 1.
    unit: f32,
}

/// How its products are made.
enum InputProducts {
    Bytes(Bytes),
    Words(Terms),
}

/// Work space of a thread.
#[derive(Default)]
pub struct TransposedScratch {
    bytes: Buffer<u8>,
    words: Buffer<i16>,
    sums: Buffer<i32>,
    wide: Buffer<f64>,
    runs: Vec<usize>,
    all_runs: Vec<usize>,
}

/// The transposed matrix in whole numbers.
struct IntegerMatrix<'a> {
    plan: &'a Layer,
    weights: &'a [f32],
    scale: f32,
    /// Padded outputs.
    outputs: usize,
    /// Runs and their rows.
    runs: (usize, usize),
    /// Inputs, or their channels.
    columns: usize,
    flat: bool,
    digits: usize,
    precision: Precision,
}

impl IntegerMatrix<'_> {
    /// The rows from `first` of a run of a block.
    fn rows(&self, block: usize, run: usize, first: usize, group: &mut [[i32; LANES]; GROUP]) {
        let (size, positions) = (self.plan.rows(), self.plan.unrolling().window.positions());
        let lanes_here = LANES.min(self.columns - block * LANES);
        for (i, lanes) in group.iter_mut().enumerate().take(self.runs.1 - first) {
            let place = run * self.runs.1 + first + i;
            let (position, output) = (place / self.outputs, place % self.outputs);
            if position >= positions || output >= self.plan.columns() {
                continue;
            }
            let column = &self.weights[output * size..][block * LANES * positions + (positions - 1 - position)..];
            for (lane, weight) in lanes.iter_mut().zip(column.iter().step_by(positions)).take(lanes_here) {
                *lane = whole_units(weight * self.scale);
            }
        }
    }
}

impl Transposed {
    /// The transpose of weights in published order. A column is an input channel; of a fully connected layer an input,
    /// in the published order.
    pub fn new(plan: &Layer, weights: &[f32], precision: Precision) -> Self {
        let in_words = matches!(Instructions::best(), Instructions::Portable | Instructions::Avx2);
        Self::made(plan, weights, precision, in_words)
    }

    fn made(plan: &Layer, weights: &[f32], precision: Precision, in_words: bool) -> Self {
        let (unrolling, outputs) = (plan.unrolling(), plan.columns().next_multiple_of(LANES));
        let (flat, patches) = (unrolling.flat, Patches::new(turned(unrolling, outputs), outputs));
        let (scale, largest) = scale(weights, precision);
        let columns = if flat { plan.rows() } else { plan.input.channels };
        let (runs, digits) = (patches.runs(), digits_of(largest));
        let matrix = IntegerMatrix { plan, weights, scale, outputs, runs, columns, flat, digits, precision };
        let way = if in_words {
            InputProducts::Words(Terms::new(&matrix))
        } else {
            InputProducts::Bytes(Bytes::new(&matrix))
        };
        Transposed { patches, way, unit: libm::scalbnf(1.0, 8 * (digits as i32 - 1)) / scale }
    }

    /// Maps whose product is best made at once: small ones share the reading of the matrix.
    pub fn maps_at_once(&self) -> usize {
        (ROWS_AT_ONCE * 16 / self.patches.map()).max(1)
    }

    /// ∂loss/∂inputs of rows `[from, from + rows)` of padded currents, whole maps or rows of a fully connected layer:
    /// `[maps, blocks, pixels, 16]` or `[blocks, rows, 16]`; `unit` is the value of one of the currents' units.
    pub fn product(
        &self,
        currents: &Currents,
        (from, rows): (usize, usize),
        unit: f32,
        scratch: &mut TransposedScratch,
        out: &mut [f32],
    ) {
        let padded_rows = PaddedRows { patches: &self.patches, currents, from, rows, unit: unit * self.unit };
        match &self.way {
            InputProducts::Bytes(bytes) => bytes.product(padded_rows, scratch, out),
            InputProducts::Words(terms) => terms.product(padded_rows, scratch, out),
        }
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        match &self.way {
            InputProducts::Bytes(bytes) => bytes.blocks(),
            InputProducts::Words(terms) => terms.blocks(),
        }
    }
}

/// Rows of padded currents that meet the matrix.
#[derive(Clone, Copy)]
struct PaddedRows<'a> {
    patches: &'a Patches,
    currents: &'a Currents,
    from: usize,
    rows: usize,
    /// The value of one unit of a sum.
    unit: f32,
}

impl PaddedRows<'_> {
    /// Maps, and rows of pixels of each.
    fn maps(&self) -> (usize, usize) {
        let PaddedRows { patches, rows, .. } = self;
        if patches.flat() { (1, *rows) } else { (rows / patches.map(), patches.height()) }
    }

    /// Values of a digit of the currents, laid out, and those before the first.
    fn size(&self) -> (usize, usize) {
        let PaddedRows { patches, rows, .. } = self;
        let size = patches.bytes(rows.div_ceil(patches.map())).next_multiple_of(64);
        (size, patches.at(0, 0) * patches.channels())
    }

    /// How the sums stand.
    fn sums(&self, padded: usize) -> ProductRows {
        let (patches, (_, high)) = (self.patches, self.maps());
        ProductRows { high, width: patches.width(), row: patches.row(), map: patches.map(), padded }
    }
}

/// The convolution that takes the gradient of the currents to that of the inputs: over the map of a window that moves
/// by a pixel, with the window turned and a rim as wide as its reach leaves.
fn turned(unrolling: Unrolling, outputs: usize) -> Unrolling {
    let Unrolling { input, window, flat } = unrolling;
    if flat {
        return Unrolling::flat(outputs);
    }
    let window = window.unstrided();
    let [height, width] = window.output(input.height, input.width).unwrap_or_default();
    let padding = [0, 1].map(|i| window.reach()[i] - 1 - window.padding[i]);
    Unrolling::of(Shape { channels: outputs, height, width }, Window { padding, ..window })
}

/// The power of two that turns weights into integers, and the largest of these: exact where two digits hold them, else
/// up to [`Precision::largest`].
fn scale(weights: &[f32], precision: Precision) -> (f32, i32) {
    let largest = crate::numeric::largest(weights);
    if largest == 0.0 {
        return (1.0, 0);
    }
    let scale = Precision::Three.scale_for(largest);
    let fold = |weights: &[f32]| weights.iter().fold(0, |bits, w| bits | whole_units(w * scale));
    let bits = weights.par_chunks(1 << 14).map(fold).reduce(|| 0, |a, b| a | b);
    let common = bits.trailing_zeros().min(23) as i32;
    let largest = whole_units(largest * scale);
    if digits_of(largest >> common) < Precision::Three.digits() {
        return (scale * libm::scalbnf(1.0, -common), largest >> common);
    }
    let finest = precision.scale_for(crate::numeric::largest(weights));
    (finest, whole_units(crate::numeric::largest(weights) * finest))
}

/// The nearest whole number.
fn whole_units(x: f32) -> i32 {
    debug_assert!(x.abs() <= Precision::Three.largest());
    const WHOLE: f32 = 1.5 * (1 << 23) as f32;
    (x + WHOLE).to_bits() as i32 - WHOLE.to_bits() as i32
}

/// How the rows of a product stand.
#[derive(Clone, Copy)]
struct ProductRows {
    high: usize,
    width: usize,
    row: usize,
    map: usize,
    padded: usize,
}

impl ProductRows {
    /// Writes `[map][block][pixel][16]`, where `value(block, place, out)` gives 16 lanes of the sums `[block][padded
    /// row]`.
    #[inline(always)]
    fn write(self, blocks: usize, out: &mut [f32], value: impl Fn(usize, usize, &mut [f32; LANES])) {
        let ProductRows { high, width, row, map, padded } = self;
        for (number, out) in out.chunks_mut(blocks * high * width * LANES).enumerate() {
            for (block, out) in out.chunks_mut(high * width * LANES).enumerate() {
                for (y, out) in out.chunks_mut(width * LANES).enumerate() {
                    for (x, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                        value(block, block * padded + number * map + y * row + x, out);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::network::Model;
    use std::path::Path;

    /// Deterministic numbers that look random, from -1 to 1.
    fn number(i: usize) -> f32 {
        ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    #[test]
    fn words_give_the_sums_of_bytes() {
        let text = "name = \"m\"\nsteps = 2\nclasses = 10\ninput = { channels = 20, height = 7, width = 5 }\n\
                    layers = [{ conv = 40 }, { fc = 50 }]";
        let document = Document::parse_text(Path::new("m.toml"), text.into()).unwrap();
        let model = Model::from_document(&document).unwrap();
        for (layer, precision, places) in (0..2).flat_map(|layer| {
            [Precision::Two, Precision::Three]
                .into_iter()
                .flat_map(move |p| [6, 13, 22].map(|places| (layer, p, places)))
        }) {
            let graph = model.graph();
            let plan = &graph.layers[layer];
            let unit = libm::exp2f(-(places as f32));
            let weights: Vec<f32> =
                (0..plan.rows() * plan.columns()).map(|i| (number(i) / unit).round() * unit).collect();
            let [bytes, words] = [false, true].map(|words| Transposed::made(plan, &weights, precision, words));
            let (map, rows) = (bytes.patches.map(), if plan.unrolling().flat { 37 } else { 3 * bytes.patches.map() });
            let mut currents = Currents::default();
            currents.reshape(plan.columns().div_ceil(LANES), rows + map);
            let largest = precision.largest();
            let lanes = currents.units.iter_mut().flatten().enumerate();
            lanes.for_each(|(i, unit)| *unit = (number(i + 9) * largest) as i32);
            let sums = |transposed: &Transposed| {
                let size = if transposed.patches.flat() {
                    rows
                } else {
                    3 * transposed.patches.height() * transposed.patches.width()
                };
                let mut out = vec![0.0; transposed.blocks() * size * LANES];
                transposed.product(&currents, (0, rows), 0.25, &mut TransposedScratch::default(), &mut out);
                out
            };
            let (bytes, words) = (sums(&bytes), sums(&words));
            assert!(bytes.iter().any(|sum| *sum != 0.0));
            assert!(bytes == words, "layer {layer}, {precision:?}, weights of {places} places");
        }
    }
}
