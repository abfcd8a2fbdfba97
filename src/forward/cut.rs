//! Patches cut at the tiles that their rows stand on, laid out for many pixels at once.
//!
//! A tile's rows are some channels of a window, which stand apart in a padded map. They are copied side by side, up to sixteen bytes at a
//! time, in the order in which they stand in the map.

use std::ops::Range;

use super::laid::{Band, Laid};
use super::patches::Patches;
use crate::kernels::Buffer;
use crate::kernels::digits::{RUN_BYTES, Strided};
use crate::kernels::gather::CHUNK;
use crate::kernels::lookup::pack;

/// The tile that a row stands on, and where its weights begin.
#[derive(Clone, Copy, Debug)]
pub struct Place {
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

/// Bytes that stand side by side in a run and belong to a tile, up to a chunk.
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

/// The binary digits of a byte that drive: how many, from which one on.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// The least significant.
    pub lowest: u32,
    /// How many.
    pub count: u32,
}

impl Cut {
    /// The cut of a patch in runs of so many bytes, each of which has a place; none where tiles have so few rows that the padding of each
    /// would be most of what is laid out.
    pub fn new(places: &[Option<Place>], run: usize, tiles: usize) -> Option<Self> {
        let (mut pieces, mut begins) = (vec![Vec::<Piece>::new(); tiles], vec![Vec::new(); tiles]);
        for (number, places) in places.chunks(run).enumerate() {
            let mut last = None;
            for (i, place) in places.iter().enumerate() {
                let Some(Place { tile, begin }) = *place else {
                    last = None;
                    continue;
                };
                let tile = tile as usize;
                let begun = last.filter(|(of, first)| *of == tile && i - first < CHUNK);
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

    /// Lays out what some bits of a plane's bytes drive, `[pixels][tiles][span]`. Pixels are those of the band, map after map. What meets no
    /// row is of no meaning.
    pub fn lay_out(
        &self,
        patches: &Patches,
        (laid, plane): (&Laid, usize),
        (band, pixels): (Band, Range<usize>),
        Bits { lowest, count }: Bits,
        cut: &mut CutPixels,
    ) {
        // Bytes of 0 and 1 need no change.
        let is_masked = !laid.bits || lowest > 0;
        let kept = u128::from_le_bytes([(1u32 << count).wrapping_sub(1) as u8; CHUNK]);
        let (bytes, width, patch) = (&laid.planes[plane], patches.width(), self.begins.len());
        (cut.patch, cut.pixels, cut.bits, cut.is_packed) = (patch, pixels.len(), count, false);
        cut.bytes.reserve(Strided::reach(pixels.len(), patch, patch) + RUN_BYTES + CHUNK);
        let mut begins = vec![];
        for (i, pixel) in pixels.enumerate() {
            let (map, y, x) = (pixel / (band.rows * width), pixel / width % band.rows, pixel % width);
            let left = patches.left(bytes, (band.map + map, 1), band.y, band.rows, &mut begins);
            let bytes = &bytes[(y * patches.sums_row() + x) * left.stride..];
            for (tile, pieces) in self.pieces.iter().enumerate() {
                let out = &mut cut.bytes[i * patch + tile * self.span..];
                for Piece { run, first, at } in pieces {
                    let chunk: &[u8; CHUNK] = bytes[begins[*run] + first..].first_chunk().expect("a padded run");
                    let out: &mut [u8; CHUNK] = out[*at..].first_chunk_mut().expect("room for a chunk");
                    // What a chunk holds beyond its piece is written over by the next piece, or meets no row.
                    *out = *chunk;
                    if is_masked {
                        *out = (u128::from_le_bytes(*chunk) >> lowest & kept).to_le_bytes();
                    }
                }
            }
        }
    }
}
