//! A layer's inputs as the strided left operand of a product: nothing is unrolled.
//!
//! Padded maps stand one below the other, channel-last, with the padding shared: each row is followed by the columns of
//! padding that also stand before the next, each map by the rows of padding above the next. Output pixel (y, x) of step
//! t is then number `(t·(H + pad) + y)·(W + pad) + x`, its patch begins at the padded pixel of the same number, and kernel
//! row ky of the patch is one *run* of `k·C` bytes, ky padded rows further down. (Numbers that fall on padding give sums
//! that nobody reads.) Thin inputs, such as an image, would fill a run badly: they are laid out patch by patch. A fully
//! connected layer's inputs stand in the published order of its rows.

use crate::kernels::Buffer;
use crate::kernels::digits::{LANES, ROWS_AT_ONCE, RUN_BYTES, Strided};
use crate::kernels::transpose::transpose;
use crate::network::Layer;
use crate::network::pulses::Pulses;

/// Bytes of a patch of a thin input.
const PATCH: usize = 64;
/// Kernel rows of a thin input are copied in pieces of this many bytes.
const PIECE: usize = 16;
/// Longest run of a fully connected layer: its tiles stay in the first cache.
const FLAT_RUN: usize = 1024;

/// How a layer reads its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    kernel: usize,
    height: usize,
    width: usize,
    /// Bytes of a pixel; of a fully connected layer all its inputs.
    channels: usize,
    /// Channels of the map that a fully connected layer's inputs come from.
    inputs: usize,
    thin: bool,
}

impl Patches {
    /// For the layer's pulses, whose channels stand in whole blocks; or for its input as it was encoded.
    pub fn of(layer: &Layer, encoded: bool) -> Self {
        let unrolling = layer.unrolling();
        let (input, kernel) = (unrolling.input, unrolling.kernel);
        let block = if encoded { 1 } else { LANES };
        let channels = if kernel == 1 { layer.rows() } else { layer.input.channels.next_multiple_of(block) };
        Patches { inputs: layer.input.channels, ..Self::new(kernel, input.height, input.width, channels) }
    }

    /// For maps of so many channels.
    pub fn new(kernel: usize, height: usize, width: usize, channels: usize) -> Self {
        let thin = kernel > 1 && kernel * channels <= PIECE && (kernel - 1) * kernel * channels + PIECE <= PATCH;
        Patches { kernel, height, width, channels, inputs: channels, thin }
    }

    /// Kernel width.
    pub fn kernel(&self) -> usize {
        self.kernel
    }

    /// Bytes of an encoded map.
    pub fn encoded(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Rows of pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes of a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    fn pad(&self) -> usize {
        self.kernel / 2
    }

    /// Whether each patch is laid out on its own.
    pub fn thin(&self) -> bool {
        self.thin
    }

    /// Pixels between a patch's first pixel and its last.
    pub fn lead(&self) -> usize {
        (self.kernel - 1) * (self.row() + 1)
    }

    /// Pixels from row to row.
    pub fn row(&self) -> usize {
        self.width + self.pad()
    }

    /// Pixels from map to map.
    pub fn map(&self) -> usize {
        (self.height + self.pad()) * self.row()
    }

    /// Where pixel (y, x) of a map stands, from the map's first.
    pub fn at(&self, y: usize, x: usize) -> usize {
        self.pad() + (y + self.pad()) * self.row() + x
    }

    /// Runs, and bytes of a run.
    pub fn runs(&self) -> (usize, usize) {
        match (self.kernel, self.thin) {
            (1, _) => {
                let runs = self.channels.div_ceil(FLAT_RUN);
                (runs, self.channels.div_ceil(runs).next_multiple_of(RUN_BYTES))
            }
            (k, true) => (1, k * k * self.channels),
            (k, false) => (k, k * self.channels),
        }
    }

    /// Bytes from run to run.
    fn run_step(&self) -> usize {
        if self.kernel == 1 { self.runs().1 } else { self.row() * self.channels }
    }

    /// Bytes from patch to patch.
    fn stride(&self) -> usize {
        if self.thin { PATCH } else { self.channels }
    }

    /// The row of the published matrix that byte `i` of a run meets; none where it is padding.
    pub fn row_of(&self, layer: &Layer, run: usize, i: usize) -> Option<usize> {
        let place = run * self.runs().1 + i;
        if self.kernel == 1 {
            return (i < self.runs().1 && place < self.channels).then_some(place);
        }
        let (position, channel) = (place / self.channels, place % self.channels);
        let positions = self.kernel * self.kernel;
        (position < positions && channel < layer.input.channels).then_some(channel * positions + position)
    }

    /// Bytes of so many maps as a left operand, of which a band may begin anywhere.
    pub fn bytes(&self, maps: usize) -> usize {
        let (runs, run) = self.runs();
        let rows = if self.thin { maps * self.height * self.width } else { maps * self.map() };
        let first = if self.thin { 0 } else { (runs - 1) * self.run_step() };
        first + Strided::reach(rows + ROWS_AT_ONCE, self.stride(), run)
    }

    /// The left operand of `rows` rows of pixels from row `y` of map `map`, or of several whole maps.
    pub fn left<'a>(
        &self,
        bytes: &'a [u8],
        (map, maps): (usize, usize),
        y: usize,
        rows: usize,
        runs: &'a mut Vec<usize>,
    ) -> Strided<'a> {
        let first = map * self.sums_map() + y * self.sums_row();
        runs.clear();
        runs.extend((0..self.runs().0).map(|run| first * self.stride() + run * self.run_step()));
        Strided { bytes, stride: self.stride(), rows: (maps - 1) * self.sums_map() + rows * self.sums_row(), runs }
    }

    /// Sums from row to row of pixels in the product of [`Self::left`].
    pub fn sums_row(&self) -> usize {
        if self.thin { self.width } else { self.row() }
    }

    /// Sums from map to map there.
    pub fn sums_map(&self) -> usize {
        if self.thin { self.height * self.width } else { self.map() }
    }

    /// Lays out pulses: plane `plane` of `maps` maps from `first` on.
    pub fn fill(&self, pulses: &Pulses, plane: usize, first: usize, maps: usize, out: &mut Buffer<u8>) {
        out.reserve(self.bytes(maps));
        if self.kernel == 1 {
            return self.fill_flat(pulses, plane, first, maps, out);
        }
        let row = self.width * self.channels;
        self.lay_out(maps, 0, out, |map, y, out| pulses.read(first + map, plane, y * self.width, &mut out[..row]));
    }

    /// A fully connected layer's inputs in the published order, `[channels, pixels]`, map after map.
    fn fill_flat(&self, pulses: &Pulses, plane: usize, first: usize, maps: usize, out: &mut [u8]) {
        const SIDE: usize = 16;
        let (pixels, channels) = (pulses.pixels, pulses.channels());
        let mut map = vec![0; pixels.next_multiple_of(SIDE) * channels];
        for number in 0..maps {
            let out = &mut out[number * self.channels..];
            if pixels == 1 {
                // What pads the last block falls on the next map, which is written after, or behind the last.
                pulses.read(first + number, plane, 0, &mut out[..channels]);
                continue;
            }
            pulses.read(first + number, plane, 0, &mut map[..pixels * channels]);
            // Squares reach beyond a channel's pixels onto the next channels', which are written after.
            for channel in (0..channels).step_by(SIDE) {
                for pixel in (0..pixels).step_by(SIDE).rev() {
                    let place = |c: usize| (channel + c) * pixels + pixel;
                    transpose(
                        &map[pixel * channels + channel..],
                        channels,
                        (SIDE.min(pixels - pixel), SIDE),
                        out,
                        place,
                    );
                }
            }
        }
    }

    /// Lays out plane `plane` of encoded maps `[maps, planes, pixels, channels]`; `bias` is added to every byte and to
    /// the padding.
    pub fn fill_encoded(&self, encoded: &[i8], (plane, planes): (usize, usize), bias: u8, out: &mut Buffer<u8>) {
        let size = self.encoded();
        let maps = encoded.len() / size / planes;
        out.reserve(self.bytes(maps));
        if self.kernel == 1 {
            let (channels, pixels) = (self.inputs, size / self.inputs);
            for (map, out) in out[..maps * size].chunks_mut(size).enumerate() {
                let digits = &encoded[(map * planes + plane) * size..][..size];
                for (i, digit) in digits.iter().enumerate() {
                    out[i % channels * pixels + i / channels] = (*digit as u8).wrapping_add(bias);
                }
            }
            return;
        }
        let row = self.width * self.channels;
        let copy = |map: usize, y: usize, out: &mut [u8]| {
            let source = &encoded[(map * planes + plane) * size + y * row..][..row];
            out.iter_mut().zip(source).for_each(|(out, byte)| *out = (*byte as u8).wrapping_add(bias));
        };
        if !self.thin {
            return self.lay_out(maps, bias, out, copy);
        }
        let mut map = Buffer::default();
        map.reserve(self.padded_bytes(1) + PIECE);
        for (number, out) in out.chunks_mut(self.height * self.width * PATCH).take(maps).enumerate() {
            self.lay_out(1, bias, &mut map, |_, y, out| copy(number, y, out));
            for (pixel, patch) in out.as_chunks_mut::<PATCH>().0.iter_mut().enumerate() {
                let corner = pixel / self.width * self.row() + pixel % self.width;
                for ky in 0..self.kernel {
                    let from = (corner + ky * self.row()) * self.channels;
                    patch[ky * self.kernel * self.channels..][..PIECE].copy_from_slice(&map[from..from + PIECE]);
                }
            }
        }
    }

    fn padded_bytes(&self, maps: usize) -> usize {
        (maps * self.map() + self.pad() * self.row() + 2 * self.pad()) * self.channels
    }

    /// Writes each row of pixels by `copy(map, row, out)`, and the padding around them.
    #[inline(always)]
    fn lay_out(&self, maps: usize, padding: u8, out: &mut [u8], copy: impl Fn(usize, usize, &mut [u8])) {
        let (c, row) = (self.channels, self.width * self.channels);
        out[..self.at(0, 0) * c].fill(padding);
        for map in 0..maps {
            let mut at = (map * self.map() + self.at(0, 0)) * c;
            for y in 0..self.height {
                copy(map, y, &mut out[at..at + row]);
                out[at + row..at + self.row() * c].fill(padding);
                at += self.row() * c;
            }
            out[at..at + self.pad() * (self.row() + 1) * c].fill(padding);
        }
    }
}
