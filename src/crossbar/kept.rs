//! Programmed cells that are kept from one series of chips to the next: points of a sweep that differ only behind the
//! RRAM have the same ones.
//!
//! Cells depend on nothing but the layers' latent weights, the settings of their RRAM, tiles and lines, and the draw
//! ([`RramSide`]). A [`Shelf`] holds the cells of one such side; all shelves together hold what [`KeptCells`] has room
//! for, and one that no series uses gives way to the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::site::Site;
use crate::device::{Draw, ProgrammedCells};
use crate::error::Result;
use crate::memory;
use crate::profile::{Rram, Tile, Wires};

/// Bytes that are kept at most.
const MOST_BYTES: u64 = 2 << 30;
/// The share of the memory that is kept at most.
const SHARE: u64 = 8;

/// All that the cells of a network depend on, beside the draw: that of every layer.
#[derive(Debug, PartialEq)]
pub struct RramSide {
    layers: Vec<LayerSettings>,
}

/// All that a layer's cells depend on, beside the draw.
#[derive(Debug, PartialEq)]
struct LayerSettings {
    latent: [u8; 32],
    index: u32,
    rows: usize,
    rram: Rram,
    tile: Tile,
    wires: Wires,
    reads: Arc<[f64]>,
    squares: Arc<[f64]>,
}

impl RramSide {
    /// The side of those of some layers that stand on RRAM, with their latent weights.
    pub fn of<'a>(layers: impl IntoIterator<Item = (&'a Site, &'a [f32])>) -> Self {
        let on_rram = layers.into_iter().filter(|(site, _)| site.is_on_rram());
        let layer = |(site, latent): (&Site, &[f32])| LayerSettings {
            latent: Sha256::digest(bytemuck::cast_slice(latent)).into(),
            index: site.index,
            rows: site.rows,
            // Weights are rounded for their sums behind the cells.
            rram: Rram { resolution_bits: 0, ..site.rram.clone() },
            tile: site.tile,
            wires: site.wires,
            reads: site.reads.clone(),
            squares: site.squares(),
        };
        RramSide { layers: on_rram.map(layer).collect() }
    }
}

type Cells = HashMap<(u32, Option<Draw>), Arc<ProgrammedCells>>;

/// The cells of one side, by layer and draw.
#[derive(Debug)]
pub struct Shelf {
    side: RramSide,
    cells: Mutex<Cells>,
    room: Arc<Room>,
}

/// The bytes that all shelves may take together, and do take.
#[derive(Debug)]
struct Room {
    most: u64,
    taken: AtomicU64,
}

impl Shelf {
    /// The cells of a layer, programmed where they are not there; kept as long as there is room.
    pub fn cells(
        &self,
        layer: u32,
        draw: Option<Draw>,
        program: impl FnOnce() -> Result<ProgrammedCells>,
    ) -> Result<Arc<ProgrammedCells>> {
        let shelf = || self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shelf().get(&(layer, draw)).cloned();
        if let Some(cells) = found {
            return Ok(cells);
        }
        let cells = Arc::new(program()?);
        let bytes = cells.bytes() as u64;
        if self.room.taken.fetch_add(bytes, Ordering::Relaxed) + bytes > self.room.most {
            self.room.taken.fetch_sub(bytes, Ordering::Relaxed);
        } else if let Some(same) = shelf().insert((layer, draw), cells.clone()) {
            self.room.taken.fetch_sub(same.bytes() as u64, Ordering::Relaxed);
        }
        Ok(cells)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let cells = self.cells.get_mut().unwrap_or_else(PoisonError::into_inner);
        let bytes = cells.values().map(|cells| cells.bytes() as u64).sum();
        self.room.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The shelves of all sides that there is room for.
#[derive(Debug)]
pub struct KeptCells {
    /// The one that was asked for last stands last.
    shelves: Mutex<Vec<Arc<Shelf>>>,
    room: Arc<Room>,
}

impl Default for KeptCells {
    fn default() -> Self {
        Self::of_bytes(memory::bytes().map_or(MOST_BYTES, |bytes| MOST_BYTES.min(bytes / SHARE)))
    }
}

impl KeptCells {
    /// Room for so many bytes.
    pub fn of_bytes(most: u64) -> Self {
        KeptCells { shelves: Mutex::default(), room: Arc::new(Room { most, taken: AtomicU64::new(0) }) }
    }

    /// The shelf of a side. Where it is new and more than half of the room is taken, shelves that nothing uses give
    /// way, the one that was used longest ago first.
    pub fn shelf(&self, side: RramSide) -> Arc<Shelf> {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = shelves.iter().position(|shelf| shelf.side == side) {
            let shelf = shelves.remove(place);
            shelves.push(shelf.clone());
            return shelf;
        }
        let is_idle = |shelf: &Arc<Shelf>| Arc::strong_count(shelf) == 1;
        while self.room.taken.load(Ordering::Relaxed) > self.room.most / 2 {
            let Some(idle) = shelves.iter().position(is_idle) else { break };
            shelves.remove(idle);
        }
        let shelf = Arc::new(Shelf { side, cells: Mutex::default(), room: self.room.clone() });
        shelves.push(shelf.clone());
        shelf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index of a side's only layer tells sides apart here.
    fn side(index: u32) -> RramSide {
        let layer = LayerSettings {
            latent: [0; 32],
            index,
            rows: 1,
            rram: Rram::default(),
            tile: Tile::default(),
            wires: Wires::default(),
            reads: Arc::default(),
            squares: Arc::default(),
        };
        RramSide { layers: vec![layer] }
    }

    /// Whether the cells of a chip had to be programmed, 8 bytes of them.
    fn programs(shelf: &Shelf, chip: u64) -> bool {
        let mut programmed = false;
        let program = || {
            programmed = true;
            Ok(ProgrammedCells::holding(vec![0.0], vec![chip as f32]))
        };
        let cells = shelf.cells(0, Some(Draw::chip(1, chip)), program).unwrap();
        assert_eq!(cells.programmed, [chip as f32]);
        programmed
    }

    #[test]
    fn a_chip_is_programmed_once_while_there_is_room() {
        let kept = KeptCells::of_bytes(24);
        let shelf = kept.shelf(side(0));
        assert_eq!([0, 1, 2, 3, 4].map(|chip| programs(&shelf, chip)), [true; 5]);
        assert_eq!([0, 1, 2, 3, 4].map(|chip| programs(&shelf, chip)), [false, false, false, true, true]);
        let again = kept.shelf(side(0));
        assert!(!programs(&again, 0));
    }

    #[test]
    fn shelves_that_nothing_uses_give_way() {
        let kept = KeptCells::of_bytes(32);
        let first = kept.shelf(side(0));
        (0..3).for_each(|chip| assert!(programs(&first, chip)));
        let second = kept.shelf(side(1));
        assert!(programs(&second, 0) && !programs(&first, 0), "the first is in use");
        drop(first);
        let third = kept.shelf(side(2));
        (0..3).for_each(|chip| assert!(programs(&third, chip)));
        assert!(!programs(&third, 2) && !programs(&second, 0));
        assert!(programs(&kept.shelf(side(0)), 0), "the first gave way");
    }
}
