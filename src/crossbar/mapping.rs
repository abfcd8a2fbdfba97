//! Tile partition: a convolution is a `(channels·k·k) x outputs` matrix, cut into tiles of word lines x bit lines.
//!
//! A crossbar row is `(channel·k + ky)·k + kx`, cut in that order; partial sums of row partitions add digitally. With
//! the `weight` model one logical weight is one column of the tile; a cell's pairs and slices are bit lines side by
//! side, and a tile's unit columns take some of its lines ([`crate::device::code::bit_lines`]).

use serde::Serialize;

use super::nodal::worst_drop;
use super::site::{Place, Site};
use crate::device::code::{bit_lines, slices};
use crate::profile::Tile;

/// Where one layer stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerMap {
    /// The layer.
    pub layer: String,
    /// `rram` tiles, or exact `digital` float.
    pub place: Place,
    /// Rows of its matrix: word lines it needs.
    pub rows: usize,
    /// Columns of its matrix.
    pub columns: usize,
    /// Groups of columns, each with rows of its own.
    #[serde(skip_serializing_if = "is_one")]
    pub groups: usize,
    /// Bit lines that a column takes: a pair's two, times the slices.
    pub lines_per_column: usize,
    /// Conversions of a column, each of its slices'.
    pub slices: usize,
    /// Bit lines of unit columns, of one row of tiles.
    pub unit_lines: usize,
    /// Partitions along the rows, whose sums add digitally; 0 when digital.
    pub row_splits: usize,
    /// Partitions along the columns; 0 when digital.
    pub column_splits: usize,
    /// Tiles; 0 when digital.
    pub tiles: usize,
    /// Share of the tiles' cells in use, 0 to 1; none when digital.
    pub utilisation: Option<f64>,
    /// Cells in use.
    pub cells: usize,
    /// Converters: of each slice one for as many columns of a tile as share it, and one for each unit column; 0 when
    /// they are ideal.
    pub adcs: usize,
    /// What the end of a word line loses of its voltage, all its cells at the highest conductance and bit lines ideal;
    /// none where it has no resistance.
    pub worst_drop: Option<f64>,
    /// Bytes of the companion SRAM array, dense or its share of the chip's budget, of its branch of low rank, of the
    /// columns' trims, and of the tables of moved lines.
    pub sram_bytes: usize,
}

fn is_one(groups: &usize) -> bool {
    *groups == 1
}

/// The floor plan of a layer's matrix.
pub fn map(site: &Site) -> LayerMap {
    let Site { rows, columns, groups, place, rram, adc, wires, .. } = site;
    let (rows, columns, groups) = (*rows, *columns, *groups);
    let Tile { rows: tile_rows, cols: tile_cols, .. } = site.tile;
    let on_rram = usize::from(site.is_on_rram());
    let row_splits = site.partitions() * on_rram;
    let (lines_per_column, units) = bit_lines(rram);
    let slices = slices(rram);
    let per_tile = site.on_tiles();
    let column_splits = per_tile.tiles(columns / groups) * on_rram;
    // Groups stand on the diagonals of tiles, as many as their rows and columns leave room for.
    let on_diagonal = (tile_rows / rows).min(per_tile.per_tile / (columns / groups).max(1)).max(1);
    let tiles = row_splits * column_splits * groups.div_ceil(on_diagonal);
    let lines = columns * lines_per_column + units * column_splits;
    let converters = |tile: usize| {
        let held = per_tile.per_tile.min(columns - tile * per_tile.per_tile);
        slices * held.div_ceil(adc.columns_shared) + units
    };
    let used = per_tile.per_tile.min(columns) * lines_per_column + units;
    let drops = (wires.word_ohm > 0.0 || wires.driver_ohm > 0.0) && site.is_on_rram();
    let cells = (tiles * tile_rows * tile_cols) as f64;
    LayerMap {
        layer: site.name.clone(),
        place: *place,
        rows: rows * groups,
        columns,
        groups,
        lines_per_column: lines_per_column * on_rram,
        slices: slices * on_rram,
        unit_lines: units * column_splits,
        row_splits,
        column_splits,
        tiles,
        utilisation: (tiles > 0).then(|| (rows * lines) as f64 / cells),
        cells: rows * lines * on_rram,
        adcs: if site.converts() { row_splits * (0..column_splits).map(converters).sum::<usize>() } else { 0 },
        worst_drop: drops.then(|| worst_drop(rram.cell.highest_us() * 1e-6, used, *wires)),
        sram_bytes: (site.weights() * site.companion_bits()).div_ceil(8) + site.fixed_bytes(),
    }
}

/// The layers that do not stand on a chip for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffChip {
    /// The layers whose weights come from off-chip memory for each image.
    pub loaded: std::ops::Range<usize>,
    /// The layer among them that needs most tiles, on which all of them take turns.
    pub largest: usize,
}

/// The last layers that a chip of so many tiles has no room for, of layers that need so many tiles each; none where all
/// have room. The error is the number of tiles that the largest layer needs, where the chip has fewer.
pub fn off_chip(needed: &[usize], tiles: usize) -> Result<Option<OffChip>, usize> {
    if tiles == 0 || needed.iter().sum::<usize>() <= tiles {
        return Ok(None);
    }
    let largest = |first: usize| (first..needed.len()).rev().max_by_key(|layer| needed[*layer]).unwrap_or(first);
    let fits = |first: &usize| needed[..*first].iter().sum::<usize>() + needed[largest(*first)] <= tiles;
    match (0..needed.len()).rev().find(fits) {
        Some(first) => Ok(Some(OffChip { loaded: first..needed.len(), largest: largest(first) })),
        None => Err(needed[largest(0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_layers_stay_and_the_others_take_turns() {
        let found = |tiles| off_chip(&[2, 3, 6, 1], tiles);
        assert_eq!((found(0), found(12)), (Ok(None), Ok(None)));
        // Beside 2 and 3 tiles the largest of the others needs 6.
        assert_eq!(found(11), Ok(Some(OffChip { loaded: 2..4, largest: 2 })));
        assert_eq!(found(10), Ok(Some(OffChip { loaded: 1..4, largest: 2 })));
        assert_eq!(found(6), Ok(Some(OffChip { loaded: 0..4, largest: 2 })));
        assert_eq!(found(5), Err(6));
    }
}
