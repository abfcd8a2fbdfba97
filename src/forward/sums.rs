//! Column sums of a crossbar: dense (a product of bytes and digits, of whole windows or of squares that Winograd
//! transformed), event-driven (one row added per active input) or looked up in tables (for spikes).
//!
//! The sums are exact, so all give the same bits; the fastest is taken, by the processor and the share of active
//! inputs.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::events::{self, ActiveInputs};
use super::integers::Integers;
use super::laid::{BIAS, Band, Laid};
use super::patches::Patches;
use super::ways::{Kernel, Way, fastest, transformed};
use super::winograd::{self, Winograd};
use crate::kernels::digits::{Digits, GROUP, LANES, ROWS_AT_ONCE, Strided, digits_of, join_lanes};
use crate::kernels::lookup::{self, Numbers, Pixels, Weights};
use crate::kernels::{Buffer, Instructions, vectorised};
use crate::monitor::stop_if_asked;
use crate::network::{Input, Layer};

/// A layer's matrix.
#[derive(Clone, Debug)]
pub struct WeightMatrix {
    /// How inputs are laid out.
    pub patches: Patches,
    digits: Digits,
    /// The value of one integer.
    unit: f32,
    /// What the bias adds to each tile's sums, to take away.
    correction: Option<Vec<[i32; LANES]>>,
    kernel: Kernel,
    /// The integers `[run bytes, columns]`, for tables.
    integers: OnceLock<Vec<i32>>,
    /// The weights as f32 `[run bytes, columns]`, for events.
    rows: OnceLock<Vec<f32>>,
    /// The layer's squares, where they can be transformed.
    squares: Option<winograd::Bounds>,
    /// The transformed weights.
    winograd: OnceLock<Winograd>,
}

/// Work space of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    digits: Buffer<i32>,
    runs: Vec<usize>,
    plane: Vec<f32>,
    places: Vec<u32>,
    pulses: Vec<f32>,
    look_up: lookup::LookupScratch,
    winograd: winograd::WinogradScratch,
}

/// Blocks of columns of one task of a fully connected layer.
const BLOCKS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl WeightMatrix {
    /// A matrix of weights in published order `[columns, rows]`, multiples of 2^-grid.
    pub fn new(layer: &Layer, weights: &[f32], grid: i32, input: Input, kernel: Kernel) -> Self {
        let patches = Patches::of(layer, input == Input::Encoded);
        let (integers, unit) = Integers::new(weights, grid);
        let (runs, run) = patches.runs();
        let mut digits = Digits::zeros(digits_of(integers.largest), layer.columns(), runs, run);
        let rows: Vec<Option<usize>> = (0..runs * run).map(|i| patches.row_of(layer, i / run, i % run)).collect();
        let (size, columns, flat) = (layer.rows(), layer.columns(), layer.unrolling().flat);
        digits.fill(|block, r, first, group| {
            let rows = &rows[r * run + first..(r + 1) * run];
            for lane in 0..LANES.min(columns - block * LANES) {
                let column = &weights[(block * LANES + lane) * size..][..size];
                if let Some(weights) = side_by_side(column, rows).filter(|_| flat) {
                    let integers = weights.map(|w| integers.of(w));
                    group.iter_mut().zip(integers).for_each(|(lanes, integer)| lanes[lane] = integer);
                    continue;
                }
                for (lanes, row) in group.iter_mut().zip(rows) {
                    if let Some(row) = *row {
                        lanes[lane] = integers.of(column[row]);
                    }
                }
            }
        });
        let correction = (input == Input::Encoded)
            .then(|| digits.tile_sums().into_iter().map(|sums| sums.map(|sum| -i32::from(BIAS) * sum)).collect());
        let squares = winograd::Bounds::of(layer, &patches, input, integers.largest);
        let squares =
            squares.filter(|_| kernel != Kernel::Whole || integers.fit_fourfold(weights, size, layer.largest_pulse));
        let (integers, rows, winograd) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        WeightMatrix { patches, digits, unit, correction, kernel, integers, rows, squares, winograd }
    }

    /// Blocks of 16 columns.
    pub fn blocks(&self) -> usize {
        self.digits.blocks
    }

    /// Sums `[maps, blocks, pixels of the band, 16]`, the planes of the inputs joined.
    pub fn sums(&self, laid: &Laid, band: Band, scratch: &mut Scratch, out: &mut [f32]) {
        let rates = &laid.rates[band.map..band.map + band.maps];
        let rate = rates.iter().sum::<f32>() / rates.len() as f32;
        self.block_sums(laid, band, rate, 0..self.blocks(), scratch, out);
    }

    /// Maps of which the sums of so many rows of pixels are best made at once: small ones share the reading of the
    /// matrix.
    pub fn maps_at_once(&self, laid: &Laid, rows: usize) -> usize {
        let rate = laid.rates.iter().sum::<f32>() / laid.rates.len().max(1) as f32;
        let pixels = rows * self.patches.width();
        let band = Band { map: 0, y: 0, rows, maps: laid.maps() };
        match self.way(laid.bits, rate, band) {
            Way::LookUp | Way::Winograd(_) => (lookup::PIXELS / pixels).max(1),
            _ if self.is_joined(rows) => (ROWS_AT_ONCE * 16 / self.patches.map()).max(1),
            _ => 1,
        }
    }

    /// Whether a dense product makes such a band of several maps at once: they are whole and stand one behind the
    /// other.
    fn is_joined(&self, rows: usize) -> bool {
        self.patches.joins_maps() && rows == self.patches.height()
    }

    /// Sums `[blocks, maps, 16]` of a fully connected layer, in parallel.
    pub fn connect(&self, laid: &Laid) -> Vec<f32> {
        let maps = laid.maps();
        let mut sums = vec![0.0; self.blocks() * maps * LANES];
        let rate = laid.rates.iter().sum::<f32>() / maps as f32;
        sums.par_chunks_mut(BLOCKS * maps * LANES).enumerate().for_each(|(i, sums)| {
            let blocks = i * BLOCKS..i * BLOCKS + sums.len() / (maps * LANES);
            let band = Band { map: 0, y: 0, rows: maps, maps: 1 };
            SCRATCH.with_borrow_mut(|scratch| self.block_sums(laid, band, rate, blocks, scratch, sums));
        });
        sums
    }

    fn block_sums(
        &self,
        laid: &Laid,
        band: Band,
        rate: f32,
        blocks: Range<usize>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        stop_if_asked();
        let way = self.way(laid.bits, rate, band);
        if band.maps > 1 && matches!(way, Way::Dense(_)) && !self.is_joined(band.rows) {
            let size = out.len() / band.maps;
            for (map, out) in (band.map..).zip(out.chunks_mut(size)) {
                self.block_sums(laid, Band { map, maps: 1, ..band }, rate, blocks.clone(), scratch, out);
            }
            return;
        }
        let mut planes = laid.planes.iter().rev();
        if let Some(bytes) = planes.next() {
            self.plane_sums(way, bytes, band, blocks.clone(), scratch, out);
        }
        for bytes in planes {
            let mut plane = std::mem::take(&mut scratch.plane);
            plane.resize(out.len(), 0.0);
            self.plane_sums(way, bytes, band, blocks.clone(), scratch, &mut plane);
            out.iter_mut().zip(&plane).for_each(|(sum, plane)| *sum = *sum * laid.base + plane);
            scratch.plane = plane;
        }
    }

    /// How to sum the inputs of a band, of which this share is active.
    fn way(&self, bits: bool, rate: f32, band: Band) -> Way {
        let (width, has_tables) = (self.patches.width(), self.has_tables(bits));
        // Squares that are asked for are made however few there are.
        let earn = self.kernel == Kernel::Winograd || winograd::earn(band, width);
        let squares = self.squares.filter(|_| earn && winograd::divide(band));
        let fastest = |rate: f32| {
            let squares = squares.map_or(f32::INFINITY, |squares| transformed(squares.digits, self.patches.channels()));
            fastest(self.digits.digits, has_tables, squares, rate, band.maps * band.rows * width)
        };
        match self.kernel {
            Kernel::Events => Way::Events,
            Kernel::LookUp if has_tables => Way::LookUp,
            Kernel::Winograd if squares.is_some() => Way::Winograd(Instructions::best()),
            Kernel::LookUp | Kernel::Winograd => Way::Dense(Instructions::best()),
            Kernel::Dense(instructions) => Way::Dense(instructions),
            Kernel::Whole => fastest(f32::INFINITY),
            Kernel::Auto => fastest(rate),
        }
    }

    /// Whether sums of such inputs can be looked up.
    fn has_tables(&self, bits: bool) -> bool {
        bits && self.correction.is_none() && lookup::fits(self.patches.stride(), self.digits.run)
    }

    fn plane_sums(
        &self,
        way: Way,
        bytes: &[u8],
        band: Band,
        blocks: Range<usize>,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) {
        let instructions = match way {
            Way::Events => return self.events(bytes, band, blocks, scratch, out),
            Way::LookUp => return self.look_up(bytes, band, blocks, scratch, out),
            Way::Winograd(instructions) => {
                let left = (&self.patches, bytes);
                return self.winograd().sums(instructions, left, band, blocks, &mut scratch.winograd, out);
            }
            Way::Dense(instructions) => instructions,
        };
        let digits = self.digits.digits;
        let left = self.patches.left(bytes, (band.map, band.maps), band.y, band.rows, &mut scratch.runs);
        let padded = left.rows.next_multiple_of(ROWS_AT_ONCE);
        let tile = blocks.start * digits;
        let size = blocks.len() * digits * padded * LANES;
        scratch.digits.reserve(size);
        let sums = &mut scratch.digits[..size];
        if let Some(correction) = &self.correction {
            for (sums, start) in sums.chunks_mut(padded * LANES).zip(&correction[tile..]) {
                sums.as_chunks_mut().0.fill(*start);
            }
        }
        let add = self.correction.is_some();
        if self.patches.flat() {
            for (i, run) in left.runs.iter().enumerate() {
                let left = Strided { runs: std::slice::from_ref(run), ..left };
                self.digits.product(instructions, left, (tile, i), add || i > 0, sums);
            }
        } else {
            self.digits.product(instructions, left, (tile, 0), add, sums);
        }
        let rows = DigitRows {
            high: band.rows,
            width: self.patches.width(),
            row: self.patches.sums_row(),
            map: self.patches.sums_map(),
            padded,
            digits,
        };
        join_digits(sums, rows, self.unit, out);
    }

    /// Makes the sums of inputs of one bit, from tables.
    fn look_up(&self, bytes: &[u8], band: Band, blocks: Range<usize>, scratch: &mut Scratch, out: &mut [f32]) {
        let patches = &self.patches;
        let numbers = Numbers { values: self.integers().as_chunks().0, row: self.digits.blocks, block: 1 };
        let weights = Weights { numbers, run: self.digits.run, unit: self.unit };
        let left = patches.left(bytes, (band.map, 1), band.y, band.rows, &mut scratch.runs);
        let (width, row, map) = (patches.width(), patches.sums_row(), patches.rows_of_map());
        let pixels = Pixels { width, row, high: band.rows, map, maps: band.maps };
        lookup::sums(weights, left, blocks, pixels, &mut scratch.look_up, out);
    }

    /// The transformed weights.
    fn winograd(&self) -> &Winograd {
        // This thread does it alone, as that for tables below.
        self.winograd.get_or_init(|| {
            let bounds = self.squares.expect("its squares are transformed");
            Winograd::new(&self.digits, self.patches.channels(), bounds, self.unit)
        })
    }

    /// The integers `[run bytes, columns]`.
    fn integers(&self) -> &[i32] {
        self.integers.get_or_init(|| {
            let (run, columns) = (self.digits.run, self.digits.blocks * LANES);
            let mut integers = vec![0; self.digits.runs * run * columns];
            // This thread does it alone: one that waited for others would take up another image, for which its scratch
            // is not free.
            for (i, row) in integers.chunks_mut(columns).enumerate() {
                for (block, lanes) in row.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    *lanes = self.digits.row(block, i / run, i % run);
                }
            }
            integers
        })
    }

    /// The weights as f32 `[run bytes, columns]`.
    fn rows(&self) -> &[f32] {
        self.rows.get_or_init(|| self.integers().iter().map(|integer| *integer as f32 * self.unit).collect())
    }

    /// Makes the sums event by event.
    fn events(&self, bytes: &[u8], band: Band, blocks: Range<usize>, scratch: &mut Scratch, out: &mut [f32]) {
        let size = out.len() / band.maps;
        for (map, out) in (band.map..).zip(out.chunks_mut(size)) {
            self.map_events(bytes, Band { map, maps: 1, ..band }, blocks.clone(), scratch, out);
        }
    }

    fn map_events(&self, bytes: &[u8], band: Band, blocks: Range<usize>, scratch: &mut Scratch, out: &mut [f32]) {
        let columns = self.digits.blocks * LANES;
        let weights = self.rows();
        assert!(u32::try_from(weights.len()).is_ok(), "a model's largest layer is smaller");
        let bias = if self.correction.is_some() { BIAS } else { 0 };
        let width = self.patches.width();
        let pixels = band.rows * width;
        let Scratch { runs, places, pulses, .. } = scratch;
        let left = self.patches.left(bytes, (band.map, 1), band.y, band.rows, runs);
        let row = self.patches.sums_row();
        for (y, x) in (0..band.rows).flat_map(|y| (0..width).map(move |x| (y, x))) {
            places.clear();
            pulses.clear();
            for (run, begin) in left.runs.iter().enumerate() {
                let patch = &bytes[begin + (y * row + x) * left.stride..][..self.digits.run];
                events::active(patch, bias, |i, byte| {
                    places.push(((run * self.digits.run + i) * columns + blocks.start * LANES) as u32);
                    pulses.push(f32::from(i16::from(byte) - i16::from(bias)));
                });
            }
            let active = ActiveInputs { places, pulses: Some(pulses) };
            events::add_rows(active, weights, &mut out[(y * width + x) * LANES..], pixels * LANES);
        }
    }
}

/// A column's weights of a group of rows that follow one another; none where some are missing.
fn side_by_side(column: &[f32], rows: &[Option<usize>]) -> Option<[f32; GROUP]> {
    let first = (*rows.first()?)?;
    column.get(first..)?.first_chunk().copied()
}

/// How the rows of a product stand.
#[derive(Clone, Copy)]
struct DigitRows {
    high: usize,
    width: usize,
    row: usize,
    map: usize,
    padded: usize,
    digits: usize,
}

vectorised! {
    /// Joins sums from `[block][digit][padded row][16]` to `[map][block][pixel][16]` times `unit`.
    fn join_digits(sums: &[i32], rows: DigitRows, unit: f32, out: &mut [f32]) {
        let DigitRows { high, width, row, map, padded, digits } = rows;
        let tile = padded * LANES;
        let blocks = sums.len() / (digits * tile);
        for (number, out) in out.chunks_mut(blocks * high * width * LANES).enumerate() {
            for (sums, out) in sums.chunks(digits * tile).zip(out.chunks_mut(high * width * LANES)) {
                for (y, out) in out.chunks_mut(width * LANES).enumerate() {
                    for (x, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                        let at = (number * map + y * row + x) * LANES;
                        let digit = |d: usize| -> &[i32; LANES] {
                            sums[d * tile + at..].first_chunk().expect("16 lanes")
                        };
                        let joined = join_lanes(digits, digit);
                        for (out, joined) in out.iter_mut().zip(joined) {
                            *out = joined as f32 * unit;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::pulses::Pulses;
    use crate::network::{LayerKind, Neuron, NormKind};
    use crate::numeric::Shape;
    use crate::numeric::grid::round_to_exact_grid;
    use crate::numeric::unrolling::Window;

    /// Sums of a pixel by their definition, from counts `[pixels, channels]` and published weights.
    fn reference(layer: &Layer, weights: &[f32], counts: &[u16], (y, x): (usize, usize)) -> Vec<f32> {
        let (unrolling, channels) = (layer.unrolling(), layer.input.channels);
        let meets = |position| unrolling.source((y, x), position);
        let positions = layer.rows() / channels;
        let places = (0..positions).flat_map(|p| (0..channels).map(move |c| (p, c)));
        let places: Vec<_> = places.filter_map(|(p, c)| Some((c * positions + p, meets(p)? * channels + c))).collect();
        let sum = |column: &[f32]| places.iter().map(|(row, input)| column[*row] * f32::from(counts[*input])).sum();
        weights.chunks(layer.rows()).map(sum).collect()
    }

    #[test]
    fn every_kernel_gives_the_sums_of_the_definition() {
        let shape = |channels, height, width| Shape { channels, height, width };
        let window = |kernel, stride, padding, dilation| Window { kernel, stride, padding, dilation };
        let same = Window::same(3);
        for (input, columns, kind, largest, window) in [
            (shape(20, 9, 11), 33, LayerKind::Conv, 1, window([5, 5], [2, 2], [2, 2], [1, 1])),
            (shape(16, 8, 8), 18, LayerKind::Conv, 1, window([1, 1], [1, 1], [0, 0], [1, 1])),
            (shape(16, 9, 7), 18, LayerKind::Conv, 4, window([1, 1], [2, 2], [0, 0], [1, 1])),
            (shape(7, 9, 12), 20, LayerKind::Conv, 1, window([3, 3], [1, 1], [2, 2], [2, 2])),
            (shape(7, 10, 12), 20, LayerKind::Conv, 300, window([3, 2], [3, 2], [1, 0], [1, 3])),
            (shape(12, 1, 40), 9, LayerKind::Conv, 1, window([1, 7], [1, 3], [0, 3], [1, 1])),
            (shape(16, 12, 1), 9, LayerKind::Conv, 1, window([4, 1], [2, 1], [1, 0], [1, 1])),
            (shape(5, 12, 12), 9, LayerKind::Conv, 1, window([4, 4], [1, 1], [0, 0], [1, 1])),
            (shape(5, 20, 20), 9, LayerKind::Conv, 1, window([3, 3], [1, 1], [1, 1], [1, 1])),
            (shape(3, 5, 4), 7, LayerKind::Conv, 1, same),
            (shape(20, 9, 11), 33, LayerKind::Conv, 4, same),
            (shape(16, 2, 1), 16, LayerKind::Conv, 400, same),
            (shape(20, 10, 12), 33, LayerKind::Conv, 1, same),
            (shape(70, 16, 8), 90, LayerKind::Conv, 4, same),
            (shape(130, 8, 8), 16, LayerKind::Conv, 42, window([3, 3], [1, 1], [2, 0], [1, 1])),
            (shape(18, 7, 7), 21, LayerKind::Fc, 4, same),
            (shape(70, 6, 5), 40, LayerKind::Fc, 1, same),
            (shape(37, 1, 1), 5, LayerKind::Readout, 1, same),
        ] {
            let convolves = kind == LayerKind::Conv;
            let [high, wide] = if convolves { window.output(input.height, input.width).unwrap() } else { [1, 1] };
            let (output, pool) = (shape(columns, high, wide), (1, 1));
            let name = "l".into();
            let layer = Layer {
                name,
                kind,
                input,
                from: 1,
                delayed: false,
                leads: true,
                groups: 1,
                window,
                one_dimensional: false,
                neuron: Neuron::default(),
                norm: NormKind::Bntt,
                has_bias: false,
                output,
                before: None,
                pool,
                largest_pulse: largest,
                divisor: largest,
            };
            let mut weights: Vec<f32> =
                (0..layer.rows() * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 77.0).collect();
            let grid = round_to_exact_grid(&mut weights, layer.rows(), largest).unwrap();
            let (maps, pixels) = (3, input.height * input.width);
            let mut pulses = Pulses::new(maps, pixels, input.channels, largest);
            let mut counts = vec![0u16; maps * input.len()];
            for (i, count) in counts.iter_mut().enumerate() {
                *count = if i % 5 < 2 { (i * 13) as u16 % (largest as u16 + 1) } else { 0 };
            }
            for (place, counts) in counts.chunks(input.channels).enumerate() {
                for (block, counts) in counts.chunks(LANES).enumerate() {
                    let mut lanes = [0; LANES];
                    lanes[..counts.len()].copy_from_slice(counts);
                    pulses.put(place / pixels, place % pixels, block, &lanes);
                }
            }
            for kernel in Kernel::all() {
                let matrix = WeightMatrix::new(&layer, &weights, grid, Input::Pulses, kernel);
                let whole = Band { map: 0, y: 0, rows: output.height, maps };
                let is_transformed = matches!(matrix.way(largest == 1, 1.0, whole), Way::Winograd(_));
                let may_be = window.kernel == [3, 3] && output.height % 2 == 0 && output.width > 4 && convolves;
                assert!(kernel != Kernel::Winograd || is_transformed == may_be, "{input}");
                let mut laid = Laid::default();
                laid.pulses(&matrix.patches, &pulses, 0, maps);
                let size = output.height * output.width;
                let (mut sums, convolution) =
                    (vec![0.0; maps * matrix.blocks() * size * LANES], kind == LayerKind::Conv);
                if convolution {
                    let band = Band { map: 0, y: 0, rows: output.height, maps };
                    if matrix.patches.joins_maps() {
                        matrix.sums(&laid, band, &mut Scratch::default(), &mut sums);
                    } else {
                        let map = sums.len() / maps;
                        for (map, sums) in sums.chunks_mut(map).enumerate() {
                            matrix.sums(&laid, Band { map, maps: 1, ..band }, &mut Scratch::default(), sums);
                        }
                    }
                } else {
                    sums = matrix.connect(&laid);
                }
                // A band of some rows of all maps gives the same sums there.
                for y in (1..output.height.min(3)).filter(|_| convolution) {
                    let rows = output.height - y;
                    let row = output.width * LANES;
                    let mut part = vec![0.0; maps * matrix.blocks() * rows * row];
                    matrix.sums(&laid, Band { map: 0, y, rows, maps }, &mut Scratch::default(), &mut part);
                    for (whole, part) in sums.chunks(output.height * row).zip(part.chunks(rows * row)) {
                        assert!(whole[y * row..] == *part, "{kernel:?}, {input}");
                    }
                }
                for (place, pixel) in (0..maps).flat_map(|map| (0..size).map(move |pixel| (map, pixel))) {
                    let at = (pixel / output.width, pixel % output.width);
                    let expected = reference(&layer, &weights, &counts[place * input.len()..], at);
                    for (column, expected) in expected.into_iter().enumerate() {
                        let (block, lane) = (column / LANES, column % LANES);
                        let found = if convolution {
                            sums[((place * matrix.blocks() + block) * size + pixel) * LANES + lane]
                        } else {
                            sums[(block * maps + place) * LANES + lane]
                        };
                        assert_eq!(found, expected, "{kernel:?}, {input}, {kind:?}");
                    }
                }
            }
        }
    }
}
