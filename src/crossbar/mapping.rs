//! Tile partition: a convolution is a `(channels·k·k) x outputs` matrix, cut into tiles of word lines x bit lines.
//!
//! A crossbar row is `(channel·k + ky)·k + kx`, cut in that order; partial sums of row partitions add digitally. With
//! the `weight` model one logical weight is one column of the tile; a cell's pairs and slices are bit lines side by side, and a
//! tile's unit columns take some of its lines ([`crate::device::cell::bit_lines`]).

use serde::Serialize;

use super::nodal::worst_drop;
use super::stored::Code;
use crate::device::cell::{Columns, bit_lines, slices};
use crate::network::{Layer, LayerKind, Model};
use crate::profile::{Layers, Profile, Sram, Tile};

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
    /// Converters: of each slice one for as many columns of a tile as share it, and one for each unit column; 0 when they are
    /// ideal.
    pub adcs: usize,
    /// What the end of a word line loses of its voltage, all its cells at the highest conductance and bit lines ideal; none where
    /// it has no resistance.
    pub worst_drop: Option<f64>,
    /// Bytes of the companion SRAM array, dense.
    pub sram_bytes: usize,
}

/// What holds a layer's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// RRAM tiles.
    Rram,
    /// Exact digital float.
    Digital,
}

/// Whether a profile puts this layer on RRAM.
pub fn place(profile: &Profile, layer: &Layer) -> Place {
    match profile.rram_of(&layer.name).layers {
        Layers::All => Place::Rram,
        Layers::Conv if layer.kind == LayerKind::Conv => Place::Rram,
        Layers::Conv | Layers::None => Place::Digital,
    }
}

/// Bits of an element of a companion array; 0 where there is none.
pub fn companion_bits(sram: &Sram) -> usize {
    if sram.bits == 0 { 0 } else { Code::of(sram.effective_scheme(), sram.bits).bits as usize }
}

/// The floor plan of a model on a profile.
pub fn map(model: &Model, profile: &Profile) -> Vec<LayerMap> {
    let Tile { rows: tile_rows, cols: tile_cols, .. } = profile.tile;
    let layers = model.layers();
    let one = |layer: &Layer| {
        let (rows, columns, place) = (layer.rows(), layer.columns(), place(profile, layer));
        let on_rram = usize::from(place == Place::Rram);
        let row_splits = rows.div_ceil(tile_rows) * on_rram;
        let rram = profile.rram_of(&layer.name);
        let (lines_per_column, units) = bit_lines(rram);
        let slices = slices(rram);
        let per_tile = Columns::of(rram, profile.tile);
        let column_splits = per_tile.tiles(columns) * on_rram;
        let tiles = row_splits * column_splits;
        let lines = columns * lines_per_column + units * column_splits;
        let shared = profile.adc.columns_shared;
        let converters = |tile: usize| {
            let held = per_tile.per_tile.min(columns - tile * per_tile.per_tile);
            slices * held.div_ceil(shared) + units
        };
        let adcs = if profile.converts() { row_splits * (0..column_splits).map(converters).sum::<usize>() } else { 0 };
        let used = per_tile.per_tile.min(columns) * lines_per_column + units;
        let drops = profile.wires.word_ohm > 0.0 && place == Place::Rram;
        let cells = (tiles * tile_rows * tile_cols) as f64;
        LayerMap {
            layer: layer.name.clone(),
            place,
            rows,
            columns,
            lines_per_column: lines_per_column * on_rram,
            slices: slices * on_rram,
            unit_lines: units * column_splits,
            row_splits,
            column_splits,
            tiles,
            utilisation: (tiles > 0).then(|| (rows * lines) as f64 / cells),
            cells: rows * lines * on_rram,
            adcs,
            worst_drop: drops.then(|| worst_drop(rram.cell.g_max_us * 1e-6, used, profile.wires.word_ohm)),
            sram_bytes: (rows * columns * companion_bits(profile.sram_of(&layer.name))).div_ceil(8) * on_rram,
        }
    };
    layers.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use std::path::Path;

    #[test]
    fn a_layer_is_cut_into_whole_tiles() {
        let text = "name = \"m\"\nsteps = 1\nclasses = 10\ninput = {channels = 64, height = 8, width = 8}\nlayers = [{conv=200}]";
        let document = Document::parse_text(Path::new("m.toml"), text.into()).unwrap();
        let model = Model::from_document(&document).unwrap();
        let found = map(
            &model,
            &Profile::ideal(&["tile.rows=128".into(), "tile.cols=64".into(), "sram.bits=2".into()]).unwrap(),
        );
        // 576 rows on 128: 5 partitions; 200 columns on 64: 4.
        let conv = &found[0];
        assert_eq!((conv.row_splits, conv.column_splits, conv.tiles), (5, 4, 20));
        assert_eq!(conv.utilisation, Some(576.0 * 200.0 / (20.0 * 128.0 * 64.0)));
        assert_eq!(conv.sram_bytes, 576 * 200 / 4);
        assert_eq!((found[1].place, found[1].tiles, found[1].utilisation), (Place::Digital, 0, None));
        // Pairs of two 2-bit cells: four lines a weight, 16 weights a tile of 64 lines.
        let keys =
            ["rram.model=cell", "rram.cell.g_max_us=50", "rram.cell.bits=2", "rram.weight_bits=4", "tile.cols=64"];
        let cells = map(&model, &Profile::ideal(&keys.map(String::from)).unwrap());
        assert_eq!((cells[0].lines_per_column, cells[0].column_splits, cells[0].tiles), (4, 13, 65));
        let all = Profile::ideal(&["rram.layers=all".into()]).unwrap();
        assert_eq!(map(&model, &all)[1].tiles, 100);
    }
}
