//! Patches cut at the tiles that their rows stand on, laid out for many pixels at once.
//!
//! A tile's rows are some channels of a window, which stand apart in a padded map. They are copied side by side, up to
//! 64 bytes at a time, in the order in which they stand in the map.

use std::ops::Range;

use super::laid::{BIAS, Band, Laid};
use super::patches::Patches;
use crate::kernels::digits::{RUN_BYTES, Strided};
use crate::kernels::lookup::pack;
use crate::kernels::{Buffer, vectorised};

/// The tile that a row stands on, and where its weights begin.
#[derive(Clone, Copy, Debug)]
pub struct RowPlace {
    /// The tile.
    pub tile: u32,
    /// Where the row's weights begin.
    pub begin: u32,
}

/// How a layer's patches are cut.
#[derive(Debug)]
pub struct Cut {
    pieces: Vec<Vec<Piece>>,
    /// Bytes of a tile's part of a patch, as many on every tile: whole bytes of bits.
    pub span: usize,
    /// Where the weights of each byte begin, `[tiles][span]`; none where it meets no row.
    pub begins: Vec<Option<u32>>,
}

/// Bytes that stand side by side in a run and belong to a tile, at most [`RUN_BYTES`].
#[derive(Clone, Copy, Debug)]
struct Piece {
    run: usize,
    /// The first of them, from the run's begin.
    first: usize,
    /// Where they begin in the tile's part of a patch.
    at: usize,
}

/// What drives the lines of many pixels in one go, cut at tiles; kept from band to band.
#[derive(Debug, Default)]
pub struct CutPixels {
    /// `[pixels][tiles][span]`, and what a product reads beyond.
    pub bytes: Buffer<u8>,
    /// Bytes of a pixel.
    pub patch: usize,
    /// Pixels.
    pub pixels: usize,
    /// Binary digits of a byte.
    bits: u32,
    /// The byte where nothing drives.
    pub rest: u8,
    /// The bytes, a series of bits for each binary digit, once they were asked for.
    packed: Vec<Vec<u8>>,
    is_packed: bool,
}

impl CutPixels {
    /// The bytes packed to bits, a series for each binary digit.
    pub fn packed(&mut self) -> &[Vec<u8>] {
        if !self.is_packed {
            let bytes = &self.bytes[..self.pixels * self.patch];
            self.packed.resize(self.bits as usize, vec![]);
            for (bit, packed) in (0..).zip(&mut self.packed) {
                packed.resize(bytes.len() / 8, 0);
                pack(bytes, bit, packed);
            }
            self.is_packed = true;
        }
        &self.packed
    }
}

/// A driver is what of a byte drives lines.
#[derive(Clone, Copy, Debug)]
pub enum Driver {
    /// Binary digits of a count.
    Count {
        /// The least significant digit.
        lowest: u32,
        /// The number of digits.
        bits: u32,
    },
    /// A binary digit of a number that stands with [`BIAS`], with the number's sign.
    SignedBit(u32),
    /// A number that stands with [`BIAS`].
    Signed {
        /// Its binary digits.
        bits: u32,
    },
}

impl Driver {
    /// The byte that is laid out where nothing drives: encoded numbers stand that much higher, so that none is below 0.
    fn rest(self) -> u8 {
        match self {
            Driver::Count { .. } => 0,
            Driver::SignedBit(_) => 1,
            Driver::Signed { bits } => 1 << bits,
        }
    }
}

/// Bytes that are copied at once.
type Bytes = [u8; RUN_BYTES];

impl Cut {
    /// The cut of a patch in runs of so many bytes, each of which has a place; none where tiles have so few rows that
    /// the padding of each would be most of what is laid out.
    pub fn new(places: &[Option<RowPlace>], run: usize, tiles: usize) -> Option<Self> {
        let (mut pieces, mut begins) = (vec![Vec::<Piece>::new(); tiles], vec![Vec::new(); tiles]);
        for (number, places) in places.chunks(run).enumerate() {
            let mut last = None;
            for (i, place) in places.iter().enumerate() {
                let Some(RowPlace { tile, begin }) = *place else {
                    last = None;
                    continue;
                };
                let tile = tile as usize;
                let begun = last.filter(|(of, first)| *of == tile && i - first < RUN_BYTES);
                if begun.is_none() {
                    pieces[tile].push(Piece { run: number, first: i, at: begins[tile].len() });
                }
                last = begun.or(Some((tile, i)));
                begins[tile].push(Some(begin));
            }
        }
        let rows: usize = begins.iter().map(Vec::len).sum();
        let span = begins.iter().map(Vec::len).max().unwrap_or_default().next_multiple_of(8);
        begins.iter_mut().for_each(|begins| begins.resize(span, None));
        let is_worth_it = tiles * span.next_multiple_of(RUN_BYTES) <= 2 * rows + RUN_BYTES;
        is_worth_it.then(|| Cut { pieces, span, begins: begins.concat() })
    }

    /// Lays out what drives of a plane's bytes, `[pixels][tiles][span]`. Pixels are those of the band, map after map.
    /// Bytes that meet no row are of no meaning.
    pub fn lay_out(
        &self,
        patches: &Patches,
        (laid, plane): (&Laid, usize),
        pixels: (Band, Range<usize>),
        driver: Driver,
        cut: &mut CutPixels,
    ) {
        (cut.patch, cut.pixels, cut.rest, cut.is_packed) = (self.begins.len(), pixels.1.len(), driver.rest(), false);
        let copy = PatchCopy { cut: self, patches, bytes: &laid.planes[plane], band: pixels.0, pixels: pixels.1 };
        match driver {
            Driver::Count { lowest, bits } => {
                cut.bits = bits;
                // Bytes of 0 and 1 need no change.
                if lowest == 0 && laid.bits { copy_all(copy, cut) } else { copy_counts(copy, [lowest, bits], cut) }
            }
            Driver::SignedBit(bit) => copy_signed_bit(copy, bit, cut),
            Driver::Signed { bits } => copy_signed(copy, bits, cut),
        }
    }
}

/// A copy of some pixels' patches, cut.
struct PatchCopy<'a> {
    cut: &'a Cut,
    patches: &'a Patches,
    /// The plane that they stand in.
    bytes: &'a [u8],
    /// The band, and which of its pixels.
    band: Band,
    pixels: Range<usize>,
}

impl PatchCopy<'_> {
    /// Copies the pieces of each pixel's patch as `driven` changes them.
    #[inline(always)]
    fn pieces(self, out: &mut CutPixels, driven: impl Fn(&Bytes) -> Bytes) {
        let PatchCopy { cut: Cut { pieces, begins: rows, span }, patches, bytes, band, pixels } = self;
        let (width, patch) = (patches.width(), rows.len());
        let of_map = band.rows * width;
        out.bytes.reserve(Strided::reach(pixels.len(), patch, patch) + 2 * RUN_BYTES);
        let all: &mut [u8] = &mut out.bytes;
        let (mut begins, mut map, mut stride) = (vec![], None, 0);
        for (i, pixel) in pixels.enumerate() {
            if map != Some(pixel / of_map) {
                map = Some(pixel / of_map);
                stride = patches.left(bytes, (band.map + pixel / of_map, 1), band.y, band.rows, &mut begins).stride;
            }
            let (y, x) = (pixel % of_map / width, pixel % width);
            let bytes = &bytes[(y * patches.sums_row() + x) * stride..];
            for (tile, pieces) in pieces.iter().enumerate() {
                let out = &mut all[i * patch + tile * span..];
                for Piece { run, first, at } in pieces {
                    let piece = bytes[begins[*run] + first..].first_chunk().expect("a padded run");
                    // Bytes beyond a piece are written over by the next piece, or meet no row.
                    *out[*at..].first_chunk_mut().expect("room for a piece") = driven(piece);
                }
            }
        }
    }
}

vectorised! {
    /// Copies bytes as they are.
    fn copy_all(copy: PatchCopy, out: &mut CutPixels) {
        copy.pieces(out, |piece| *piece);
    }
}

vectorised! {
    /// Copies some binary digits of counts: from which on, and how many.
    fn copy_counts(copy: PatchCopy, digits: [u32; 2], out: &mut CutPixels) {
        let [lowest, bits] = digits;
        let kept = (1u32 << bits).wrapping_sub(1) as u8;
        copy.pieces(out, |piece| piece.map(|byte| byte >> lowest & kept));
    }
}

vectorised! {
    /// Copies a binary digit of numbers that stand with [`BIAS`], with their sign.
    fn copy_signed_bit(copy: PatchCopy, bit: u32, out: &mut CutPixels) {
        copy.pieces(out, |piece| {
            piece.map(|byte| {
                let n = (byte ^ BIAS) as i8;
                let (digit, sign) = ((n.unsigned_abs() >> bit & 1) as i8, n >> 7);
                (1 + (digit ^ sign) - sign) as u8
            })
        });
    }
}

vectorised! {
    /// Copies numbers of so many binary digits that stand with [`BIAS`].
    fn copy_signed(copy: PatchCopy, bits: u32, out: &mut CutPixels) {
        copy.pieces(out, |piece| piece.map(|byte| byte.wrapping_sub(BIAS - (1 << bits))));
    }
}
