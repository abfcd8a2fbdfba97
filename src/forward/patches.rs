//! A layer's inputs as the strided left operand of a product: nothing is unrolled.
//!
//! Padded maps stand one below the other, channel-last, with the padding shared: each row is followed by the columns of
//! padding that also stand before the next, each map by the rows of padding above the next. The window at output pixel
//! (y, x) then begins `y·s·row + x·s` pixels behind the map's first, s the stride, and its rows are *runs* of `k·C`
//! bytes, or, where the window is dilated, its positions are runs of C bytes. (Output pixels that fall on padding give
//! sums that nobody reads.) Thin inputs, such as an image, would fill a run badly: they are laid out patch by patch. A
//! fully connected layer's inputs stand in the published order of its rows.

use crate::kernels::Buffer;
use crate::kernels::digits::{LANES, ROWS_AT_ONCE, RUN_BYTES, Strided};
use crate::kernels::transpose::transpose;
use crate::network::Layer;
use crate::network::pulses::Pulses;
use crate::numeric::unrolling::{Unrolling, Window};

/// Bytes of a patch of a thin input.
const PATCH: usize = 64;
/// Kernel rows of a thin input are copied in pieces of this many bytes.
const PIECE: usize = 16;
/// Longest run of a fully connected layer: its tiles stay in the first cache.
const FLAT_RUN: usize = 1024;

/// How a layer reads its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    window: Window,
    /// Rows and columns of the input map.
    size: [usize; 2],
    /// Rows and columns of the output map.
    output: [usize; 2],
    /// Bytes of a pixel; of a fully connected layer all its inputs.
    channels: usize,
    /// Channels of the map that a fully connected layer's inputs come from.
    inputs: usize,
    /// Pixels from row to row: whole strides.
    row: usize,
    flat: bool,
    thin: bool,
}

impl Patches {
    /// For the layer's pulses, whose channels stand in whole blocks; or for its input as it was encoded.
    pub fn of(layer: &Layer, encoded: bool) -> Self {
        let unrolling = layer.unrolling();
        let block = if encoded { 1 } else { LANES };
        let channels = if unrolling.flat { layer.rows() } else { layer.input.channels.next_multiple_of(block) };
        Patches { inputs: layer.input.channels, ..Self::new(unrolling, channels) }
    }

    /// For maps of so many bytes a pixel.
    pub fn new(unrolling: Unrolling, channels: usize) -> Self {
        let Unrolling { input, window, flat } = unrolling;
        let ([high, wide], output) = (window.kernel, unrolling.output());
        let fits = wide * channels <= PIECE && (high - 1) * wide * channels + PIECE <= PATCH;
        let thin = !flat && wide > 1 && window.dilation[1] == 1 && fits;
        let (size, row) = ([input.height, input.width], row(input.width, window));
        Patches { window, size, output, channels, inputs: channels, row, flat, thin }
    }

    /// These patches of a window that moves by a pixel: where the gradient of each output pixel stands among those that
    /// a stride leaves out.
    pub fn unstrided(self) -> Self {
        let window = self.window.unstrided();
        let output = window.output(self.size[0], self.size[1]).unwrap_or_default();
        Patches { window, output, row: row(self.size[1], window), ..self }
    }

    /// The window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Whether the layer is fully connected.
    pub fn flat(&self) -> bool {
        self.flat
    }

    /// Bytes of an encoded map.
    pub fn encoded(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// Rows of output pixels.
    pub fn height(&self) -> usize {
        self.output[0]
    }

    /// Output pixels of a row.
    pub fn width(&self) -> usize {
        self.output[1]
    }

    /// Input pixels of a row.
    pub fn input_width(&self) -> usize {
        self.size[1]
    }

    /// Bytes of a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether each patch is laid out on its own.
    pub fn thin(&self) -> bool {
        self.thin
    }

    /// Pixels between a patch's first pixel and its last.
    pub fn lead(&self) -> usize {
        let [high, wide] = self.window.reach();
        (high - 1) * self.row() + wide - 1
    }

    /// Pixels from row to row: whole strides.
    pub fn row(&self) -> usize {
        self.row
    }

    /// Pixels from map to map.
    pub fn map(&self) -> usize {
        (self.size[0] + self.window.padding[0]) * self.row()
    }

    /// Where pixel (y, x) of a map stands, from the map's first.
    pub fn at(&self, y: usize, x: usize) -> usize {
        let [above, before] = self.window.padding;
        before + (y + above) * self.row() + x
    }

    /// Pixels from a patch's first to the one at a position of the window.
    pub fn offset(&self, position: usize) -> usize {
        let Window { kernel: [_, wide], dilation: [down, right], .. } = self.window;
        position / wide * down * self.row() + position % wide * right
    }

    /// Runs, and bytes of a run.
    pub fn runs(&self) -> (usize, usize) {
        let Window { kernel: [high, wide], dilation, .. } = self.window;
        match self.flat {
            true => {
                let runs = self.channels.div_ceil(FLAT_RUN);
                (runs, self.channels.div_ceil(runs).next_multiple_of(RUN_BYTES))
            }
            false if self.thin => (1, high * wide * self.channels),
            false if dilation[1] == 1 => (high, wide * self.channels),
            false => (high * wide, self.channels),
        }
    }

    /// Bytes from a patch's first to those of a run.
    fn run_at(&self, run: usize) -> usize {
        let (runs, bytes) = self.runs();
        match self.flat {
            true => run * bytes,
            false => self.offset(run * self.window.positions() / runs) * self.channels,
        }
    }

    /// Bytes from patch to patch.
    pub fn stride(&self) -> usize {
        if self.thin { PATCH } else { self.channels * self.window.stride[1] }
    }

    /// The row of the published matrix that byte `i` of a run meets; none where it is padding.
    pub fn row_of(&self, layer: &Layer, run: usize, i: usize) -> Option<usize> {
        let place = run * self.runs().1 + i;
        if self.flat {
            return (i < self.runs().1 && place < self.channels).then_some(place);
        }
        let (position, channel) = (place / self.channels, place % self.channels);
        let positions = self.window.positions();
        (position < positions && channel < layer.input.channels).then_some(channel * positions + position)
    }

    /// Bytes of so many maps as a left operand, of which a band may begin anywhere, with room to read [`RUN_BYTES`]
    /// from any of them on.
    pub fn bytes(&self, maps: usize) -> usize {
        let (runs, run) = self.runs();
        let rows = match self.thin {
            true => maps * self.sums_map(),
            false => (maps * self.map()).div_ceil(self.window.stride[1]) + self.sums_row(),
        };
        let last = if self.thin { 0 } else { self.run_at(runs - 1) };
        last + Strided::reach(rows + ROWS_AT_ONCE, self.stride(), run) + RUN_BYTES
    }

    /// The left operand of `rows` rows of output pixels from row `y` of map `map`, or of several whole maps where they
    /// move by a pixel.
    pub fn left<'a>(
        &self,
        bytes: &'a [u8],
        (map, maps): (usize, usize),
        y: usize,
        rows: usize,
        runs: &'a mut Vec<usize>,
    ) -> Strided<'a> {
        let first = match self.thin {
            true => (map * self.sums_map() + y * self.sums_row()) * PATCH,
            false => (map * self.map() + y * self.window.stride[0] * self.row()) * self.channels,
        };
        let at = |run: usize| if self.thin { 0 } else { self.run_at(run) };
        runs.clear();
        runs.extend((0..self.runs().0).map(|run| first + at(run)));
        Strided { bytes, stride: self.stride(), rows: (maps - 1) * self.sums_map() + rows * self.sums_row(), runs }
    }

    /// Whether the product of several maps can be made at once.
    pub fn joins_maps(&self) -> bool {
        self.thin || self.window.stride == [1; 2]
    }

    /// Sums from row to row of pixels in the product of [`Self::left`].
    pub fn sums_row(&self) -> usize {
        match self.thin {
            true => self.width(),
            false => self.window.stride[0] * self.row() / self.window.stride[1],
        }
    }

    /// Rows of [`Self::left`] from a map's first to the next map's.
    pub fn rows_of_map(&self) -> usize {
        if self.thin { self.sums_map() } else { self.map() / self.window.stride[1] }
    }

    /// Sums from map to map there, where they are joined.
    pub fn sums_map(&self) -> usize {
        if self.thin { self.height() * self.width() } else { self.map() }
    }

    /// Lays out pulses: plane `plane` of `maps` maps from `first` on.
    pub fn fill(&self, pulses: &Pulses, plane: usize, first: usize, maps: usize, out: &mut Buffer<u8>) {
        out.reserve(self.bytes(maps));
        if self.flat {
            return self.fill_flat(pulses, plane, first, maps, out);
        }
        let [_, width] = self.size;
        let row = width * self.channels;
        self.lay_out(maps, 0, out, |map, y, out| pulses.read(first + map, plane, y * width, &mut out[..row]));
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
        if self.flat {
            let (channels, pixels) = (self.inputs, size / self.inputs);
            for (map, out) in out[..maps * size].chunks_mut(size).enumerate() {
                let digits = &encoded[(map * planes + plane) * size..][..size];
                for (i, digit) in digits.iter().enumerate() {
                    out[i % channels * pixels + i / channels] = (*digit as u8).wrapping_add(bias);
                }
            }
            return;
        }
        let row = self.size[1] * self.channels;
        let copy = |map: usize, y: usize, out: &mut [u8]| {
            let source = &encoded[(map * planes + plane) * size + y * row..][..row];
            out.iter_mut().zip(source).for_each(|(out, byte)| *out = (*byte as u8).wrapping_add(bias));
        };
        if !self.thin {
            return self.lay_out(maps, bias, out, copy);
        }
        let mut map = Buffer::default();
        map.reserve(self.padded_bytes() + PIECE);
        let Window { kernel: [high, wide], stride: [down, right], dilation: [apart, _], .. } = self.window;
        let (row, below) = (self.row() * self.channels, apart * self.row() * self.channels);
        for (number, out) in out.chunks_mut(self.sums_map() * PATCH).take(maps).enumerate() {
            self.lay_out(1, bias, &mut map, |_, y, out| copy(number, y, out));
            for (y, out) in out.chunks_mut(self.width() * PATCH).enumerate() {
                for (x, patch) in out.as_chunks_mut::<PATCH>().0.iter_mut().enumerate() {
                    let corner = y * down * row + x * right * self.channels;
                    for ky in 0..high {
                        let from = corner + ky * below;
                        patch[ky * wide * self.channels..][..PIECE].copy_from_slice(&map[from..from + PIECE]);
                    }
                }
            }
        }
    }

    /// Bytes of a padded map, with the padding behind its last row and column.
    fn padded_bytes(&self) -> usize {
        (self.map() + self.lead() + 1) * self.channels
    }

    /// Writes each row of pixels by `copy(map, row, out)`, and the padding around them.
    #[inline(always)]
    fn lay_out(&self, maps: usize, padding: u8, out: &mut [u8], copy: impl Fn(usize, usize, &mut [u8])) {
        let (c, row) = (self.channels, self.size[1] * self.channels);
        let above = self.window.padding[0];
        out[..self.at(0, 0) * c].fill(padding);
        for map in 0..maps {
            let mut at = (map * self.map() + self.at(0, 0)) * c;
            for y in 0..self.size[0] {
                copy(map, y, &mut out[at..at + row]);
                out[at + row..at + self.row() * c].fill(padding);
                at += self.row() * c;
            }
            let behind = at + above * self.row() * c + self.window.padding[1] * c;
            out[at..behind].fill(padding);
        }
    }
}

/// Pixels from row to row of a map of so many columns.
fn row(width: usize, window: Window) -> usize {
    (width + window.padding[1]).next_multiple_of(window.stride[1])
}
