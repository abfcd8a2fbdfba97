//! What drives the lines of each tile: a pixel's active inputs of a plane, each found once and sorted by the tile that
//! its row stands on and by its binary digits.

use std::ops::Range;

use super::cut::{Cut, CutPixels, Driver, RowPlace};
use super::events::{self, ActiveInputs};
use super::laid::{BIAS, Band, Laid};
use super::patches::Patches;
use crate::kernels::gather::{CHUNK, Chunk, Gather};
use crate::network::{Drive, Input};
use crate::plan::LayerPlan;
use crate::profile::TileInputs;

/// How a layer's inputs drive lines.
#[derive(Debug)]
pub struct Driving {
    /// How inputs are laid out.
    pub patches: Patches,
    /// What they are.
    pub drive: Drive,
    /// Partial sums of a column: of each tile along the rows, or of each turn of its rows. Here and in the modules
    /// beside it a tile stands for the rows that are driven together.
    pub partitions: usize,
    /// Whether lines are driven by whole digits of a plane, and whether by their binary digits, one after the other.
    pulses: bool,
    bits: bool,
    /// Whether the binary digits of an input drive its line together.
    levels: bool,
    rest: u8,
    /// Where each byte of a patch drives; none beyond the last row.
    places: Vec<Option<RowPlace>>,
    /// Where the bytes of a patch of counts drive, in chunks, by tile.
    chunks: Vec<Vec<Chunk>>,
    /// How patches are cut at tiles, where many pixels may be laid out so.
    pub cut: Option<Cut>,
    /// The longest list, with a chunk to spare.
    longest: usize,
    gather: Gather,
}

/// What drives the lines in one go.
#[derive(Clone, Copy, Debug)]
pub enum Set {
    /// This binary digit of every input.
    Bit(u32),
    /// Every input as it is.
    Pulses,
    /// All binary digits of every input together, each with its share.
    Levels,
}

/// Active inputs, a list for each set and tile; kept from pixel to pixel.
#[derive(Debug, Default)]
pub struct Driven {
    /// Lists of places and pulses, as far from one to the next as the longest may be.
    places: Vec<u32>,
    pulses: Vec<f32>,
    counts: Vec<usize>,
    begins: Vec<usize>,
}

impl Driving {
    /// The drive of a layer on tiles of so many rows that are driven together, whose weights stand `columns` to a row;
    /// the binary digits are also asked for where a companion array multiplies them.
    pub fn new(
        plan: &LayerPlan,
        (tile_rows, columns): (usize, usize),
        (inputs, companion): (TileInputs, bool),
    ) -> Self {
        let patches = Patches::of(plan, plan.source == Input::Encoded);
        let (runs, run) = patches.runs();
        let place = |row: usize| RowPlace { tile: (row / tile_rows) as u32, begin: (row * columns) as u32 };
        // What follows a thin patch, or pads a channel, meets no row.
        let places: Vec<_> = (0..runs * run).map(|i| patches.row_of(plan, i / run, i % run).map(place)).collect();
        let partitions = plan.rows().div_ceil(tile_rows);
        Driving {
            drive: plan.site.drive,
            partitions,
            pulses: inputs == TileInputs::Pulses,
            bits: inputs != TileInputs::Pulses || companion,
            levels: inputs == TileInputs::Levels,
            rest: if plan.source == Input::Encoded { BIAS } else { 0 },
            chunks: (0..partitions as u32).map(|tile| chunks(&places, run, tile)).collect(),
            cut: Cut::new(&places, run, partitions),
            longest: plan.rows().min(tile_rows) + CHUNK,
            gather: Gather::best(),
            places,
            patches,
        }
    }

    /// What drives in turn in a plane, with the places that it counts there.
    pub fn sets(&self, plane: u32) -> impl Iterator<Item = (Set, u32)> + use<> {
        let bits = if self.bits { self.drive.bits_of(plane) } else { 0 };
        let pulses = self.pulses.then_some((Set::Pulses, 0));
        // Levels come behind the digits that they are made of.
        let levels = self.levels.then_some((Set::Levels, 0));
        pulses.into_iter().chain((0..bits).map(|bit| (Set::Bit(bit), bit))).chain(levels)
    }

    /// Whether a set drives the RRAM, and not the companion array alone.
    pub fn drives(&self, set: Set) -> bool {
        match set {
            Set::Bit(_) => !self.pulses && !self.levels,
            Set::Pulses | Set::Levels => true,
        }
    }

    /// The sets of a plane of which a sum that is converted is made.
    pub fn parts(&self, set: Set, plane: u32) -> impl Iterator<Item = Set> + use<> {
        let digits = if let Set::Levels = set { self.drive.bits_of(plane) } else { 0 };
        let alone = (digits == 0).then_some(set);
        alone.into_iter().chain((0..digits).map(Set::Bit))
    }

    /// Finds the active inputs of a pixel in a plane.
    pub fn find(&self, laid: &Laid, band: Band, (y, x): (usize, usize), plane: u32, driven: &mut Driven) {
        let (bytes, digit) = (&laid.planes[self.laid_plane(plane)], if self.is_encoded() { 0 } else { plane % 2 });
        let Driven { places, pulses, counts, begins } = driven;
        let lists = (self.drive.bits_of(0) as usize + 1) * self.partitions;
        places.resize(places.len().max(lists * self.longest), 0);
        counts.clear();
        counts.resize(lists, 0);
        let stride = self.patches.left(bytes, (band.map, 1), band.y, band.rows, begins).stride;
        let bytes = &bytes[(y * self.patches.sums_row() + x) * stride..];
        let are_counts = !self.is_encoded();
        if are_counts && self.bits {
            for (bit, (tile, chunks)) in
                (0..self.drive.bits_of(plane)).flat_map(|bit| (0..).zip(&self.chunks).map(move |c| (bit, c)))
            {
                let list = self.list(Set::Bit(bit), tile);
                let places = &mut places[list * self.longest..][..self.longest];
                let lowest = self.lowest(plane) + bit;
                counts[list] = self.gather.places(bytes, begins, lowest, chunks, places);
            }
        }
        if are_counts && !self.pulses {
            return;
        }
        pulses.resize(places.len(), 0.0);
        let mut put = |set: Set, RowPlace { tile, begin }: RowPlace, pulse: f32| {
            let list = self.list(set, tile as usize);
            let at = list * self.longest + counts[list];
            (places[at], pulses[at]) = (begin, pulse);
            counts[list] += 1;
        };
        let run = self.patches.runs().1;
        for (begin, rows) in begins.iter().zip(self.places.chunks(run)) {
            events::active(&bytes[*begin..][..run], self.rest, |i, byte| {
                let Some(place) = rows[i] else { return };
                let n = i32::from(byte) - i32::from(self.rest);
                let n = if are_counts { self.drive.digit(n, digit) } else { n };
                if self.pulses && n != 0 {
                    put(Set::Pulses, place, n as f32);
                }
                let mut left = if self.bits && !are_counts { n.unsigned_abs() } else { 0 };
                while left != 0 {
                    put(Set::Bit(left.trailing_zeros()), place, n.signum() as f32);
                    left &= left - 1;
                }
            });
        }
    }

    /// The least significant binary digit of a byte of counts that belongs to a plane.
    fn lowest(&self, plane: u32) -> u32 {
        if self.drive.planes > 1 { plane % 2 * self.drive.plane_bits } else { 0 }
    }

    /// Gives what of a plane's bytes a set drives.
    fn driver(&self, plane: u32, set: Set) -> Driver {
        match set {
            Set::Bit(bit) if self.is_encoded() => Driver::SignedBit(bit),
            Set::Pulses if self.is_encoded() => Driver::Signed { bits: self.drive.bits_of(plane) },
            Set::Bit(bit) => Driver::Count { lowest: self.lowest(plane) + bit, bits: 1 },
            Set::Levels => unreachable!("levels are laid out digit by digit"),
            Set::Pulses => Driver::Count { lowest: self.lowest(plane), bits: self.drive.bits_of(plane) },
        }
    }

    /// Whether inputs are the network's own, which are laid out with [`BIAS`].
    pub fn is_encoded(&self) -> bool {
        self.rest == BIAS
    }

    /// The most binary digits that a set reads.
    pub fn most_bits(&self) -> u32 {
        if self.pulses { self.drive.bits_of(0) } else { 1 }
    }

    /// Lays out what a set of a plane drives in some pixels of a band, cut at tiles.
    pub fn lay_out(&self, laid: &Laid, pixels: (Band, Range<usize>), (plane, set): (u32, Set), out: &mut CutPixels) {
        let Some(cut) = &self.cut else { return };
        cut.lay_out(&self.patches, (laid, self.laid_plane(plane)), pixels, self.driver(plane, set), out);
    }

    /// Where a plane is laid out: bytes of counts hold two digits each, encoded ones one.
    fn laid_plane(&self, plane: u32) -> usize {
        (if self.is_encoded() { plane } else { plane * self.drive.plane_bits / u8::BITS }) as usize
    }

    /// The active inputs of a set on a tile.
    pub fn of<'d>(&self, driven: &'d Driven, set: Set, tile: usize) -> ActiveInputs<'d> {
        let list = self.list(set, tile);
        let range = list * self.longest..list * self.longest + driven.counts[list];
        let are_ones = !self.is_encoded() && matches!(set, Set::Bit(_));
        ActiveInputs { places: &driven.places[range.clone()], pulses: (!are_ones).then(|| &driven.pulses[range]) }
    }

    fn list(&self, set: Set, tile: usize) -> usize {
        let set = match set {
            Set::Bit(bit) => bit,
            Set::Pulses | Set::Levels => self.drive.bits_of(0),
        };
        set as usize * self.partitions + tile
    }
}

/// The bytes of a patch whose rows stand on a tile, side by side where they are.
fn chunks(places: &[Option<RowPlace>], run: usize, tile: u32) -> Vec<Chunk> {
    let begin_on_it = |place: &Option<RowPlace>| place.filter(|place| place.tile == tile).map(|place| place.begin);
    let mut chunks = vec![];
    for (number, places) in places.chunks(run).enumerate() {
        let mut first = 0;
        while let Some(more) = places[first..].iter().position(|place| begin_on_it(place).is_some()) {
            first += more;
            let mut chunk = Chunk { run: number as u32, first: first as u32, ..Chunk::default() };
            for (i, begin) in places[first..].iter().take(CHUNK).map(begin_on_it).enumerate() {
                chunk.mask |= u16::from(begin.is_some()) << i;
                chunk.places[i] = begin.unwrap_or_default();
            }
            chunks.push(chunk);
            first = (first + CHUNK).min(places.len());
        }
    }
    chunks
}
