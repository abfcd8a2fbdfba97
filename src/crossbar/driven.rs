//! What drives the lines of each tile: a pixel's active inputs of a plane, each found once and sorted by the tile that its row stands
//! on and by its binary digits.

use super::events::{self, Event};
use super::laid::{BIAS, Laid};
use super::patches::Patches;
use super::sums::{Band, Input};
use crate::network::{Drive, Layer};
use crate::profile::TileInputs;

/// How a layer's inputs drive lines.
#[derive(Debug)]
pub struct Driving {
    /// How inputs are laid out.
    pub patches: Patches,
    /// What they are.
    pub drive: Drive,
    /// Row partitions of tiles.
    pub partitions: usize,
    /// Whether lines are driven by whole digits of a plane, and whether by their binary digits, one after the other.
    pulses: bool,
    bits: bool,
    rest: u8,
    /// Where each byte of a patch drives; none beyond the last row.
    places: Vec<Option<Place>>,
}

/// The tile that a row stands on, and where its weights begin.
#[derive(Clone, Copy, Debug)]
struct Place {
    tile: u32,
    begin: u32,
}

/// What drives the lines in one go.
#[derive(Clone, Copy, Debug)]
pub enum Set {
    /// This binary digit of every input.
    Bit(u32),
    /// Every input as it is.
    Pulses,
}

/// Active inputs, set by set and tile by tile; kept from pixel to pixel.
#[derive(Debug, Default)]
pub struct Driven {
    lists: Vec<Vec<Event>>,
    starts: Vec<usize>,
}

impl Driving {
    /// Of a layer on tiles of so many rows whose weights stand `columns` to a row; the binary digits are also asked for where
    /// a companion array multiplies them.
    pub fn new(
        plan: &Layer,
        (input, drive): (Input, Drive),
        (tile_rows, columns): (usize, usize),
        (inputs, companion): (TileInputs, bool),
    ) -> Self {
        let patches = Patches::of(plan, input == Input::Encoded);
        let (runs, run) = patches.runs();
        let place = |row: usize| Place { tile: (row / tile_rows) as u32, begin: (row * columns) as u32 };
        Driving {
            drive,
            partitions: plan.rows().div_ceil(tile_rows),
            pulses: inputs == TileInputs::Pulses,
            bits: inputs == TileInputs::BitPlanes || companion,
            rest: if input == Input::Encoded { BIAS } else { 0 },
            // What follows a thin patch, or pads a channel, meets no row.
            places: (0..runs * run).map(|i| patches.row_of(plan, i / run, i % run).map(place)).collect(),
            patches,
        }
    }

    /// What drives in turn, with the places that it counts in the plane.
    pub fn sets(&self) -> impl Iterator<Item = (Set, u32)> + use<> {
        let bits = if self.bits { self.drive.bits() } else { 0 };
        let pulses = self.pulses.then_some((Set::Pulses, 0));
        pulses.into_iter().chain((0..bits).map(|bit| (Set::Bit(bit), bit)))
    }

    /// Whether a set drives the RRAM, and not the companion array alone.
    pub fn drives(&self, set: Set) -> bool {
        matches!(set, Set::Pulses) == self.pulses
    }

    /// Finds the active inputs of a pixel in a plane.
    pub fn find(&self, laid: &Laid, band: Band, (y, x): (usize, usize), plane: u32, driven: &mut Driven) {
        // Counts are laid out a byte a plane, which holds two digits.
        let (bytes, digit) = match self.rest {
            BIAS => (&laid.planes[plane as usize], 0),
            _ => (&laid.planes[(plane * self.drive.plane_bits / u8::BITS) as usize], plane % 2),
        };
        let Driven { lists, starts } = driven;
        let count = (self.drive.bits() as usize + 1) * self.partitions;
        lists.resize_with(lists.len().max(count), Vec::new);
        lists[..count].iter_mut().for_each(Vec::clear);
        let run = self.patches.runs().1;
        let left = self.patches.left(bytes, (band.map, 1), band.y, band.rows, starts);
        // One binary digit and no other set: each input is in one list as it is.
        let plain = !self.pulses && self.drive.bits() == 1;
        for (number, begin) in left.runs.iter().enumerate() {
            let patch = &bytes[begin + (y * self.patches.sums_row() + x) * left.stride..][..run];
            let places = &self.places[number * run..][..run];
            events::active(patch, self.rest, |i, byte| {
                let Some(Place { tile, begin }) = places[i] else { return };
                let n = i32::from(byte) - i32::from(self.rest);
                let n = if self.rest == BIAS { n } else { self.drive.digit(n, digit) };
                match plain {
                    true if n != 0 => lists[tile as usize].push((begin, n as f32)),
                    true => {}
                    false => self.sort(n, (tile as usize, begin), lists),
                }
            });
        }
    }

    fn sort(&self, n: i32, (tile, begin): (usize, u32), lists: &mut [Vec<Event>]) {
        if self.pulses && n != 0 {
            lists[self.list(Set::Pulses, tile)].push((begin, n as f32));
        }
        if self.bits {
            let (mut left, sign) = (n.unsigned_abs(), n.signum() as f32);
            while left != 0 {
                lists[self.list(Set::Bit(left.trailing_zeros()), tile)].push((begin, sign));
                left &= left - 1;
            }
        }
    }

    /// The active inputs of a set on a tile.
    pub fn of<'d>(&self, driven: &'d Driven, set: Set, tile: usize) -> &'d [Event] {
        &driven.lists[self.list(set, tile)]
    }

    fn list(&self, set: Set, tile: usize) -> usize {
        let set = match set {
            Set::Bit(bit) => bit,
            Set::Pulses => self.drive.bits(),
        };
        set as usize * self.partitions + tile
    }
}
