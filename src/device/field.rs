//! Variation that neighbours on a tile share: a field that changes slowly from cell to cell.
//!
//! On every tile a standard normal number stands at each crossing of a word line and a bit line. Two of them are
//! correlated by `exp(−(|Δword| + |Δbit|)/L)`, L cells; along each of the lines it is an autoregressive process of
//! first order, which begins in its stationary distribution. A device's conductance is multiplied by `exp(σ·number)`.
//! Tiles have nothing in common.

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;
use rayon::prelude::*;

use super::devices::{DevicePlace, Polarity, TileColumns};
use super::{Draw, Purpose};
use crate::profile::{CellMapping, Rram, Tile};
use crate::rng::Substream;

/// The place of a layer's devices on tiles.
#[derive(Clone, Copy, Debug)]
pub struct Stand {
    /// Rows of the layer.
    pub rows: usize,
    /// Columns of its weights.
    pub columns: usize,
    /// The layer's number.
    pub layer: u32,
    /// Slices of a weight.
    pub slices: usize,
    /// The size of a tile.
    pub tile: Tile,
    /// The columns that each tile holds.
    pub on_tiles: TileColumns,
}

/// The fields of a layer's tiles.
pub struct Field {
    stand: Stand,
    has_units: bool,
    /// Factors of each tile `[tiles along the rows][tiles along the columns]`, each `[bit lines, word lines]`.
    factors: Vec<Vec<f64>>,
}

impl Field {
    /// The fields of a draw; none where neighbours share nothing.
    pub fn new(rram: &Rram, stand: Stand, draw: Option<Draw>) -> Option<Self> {
        let variation = &rram.variation;
        let sigma = variation.neighbour_sigma * variation.scale;
        let draw = draw.filter(|_| sigma > 0.0)?;
        let has_units = rram.cell.mapping == CellMapping::Offset;
        let field = Field { stand, has_units, factors: vec![] };
        let across = stand.on_tiles.tiles(stand.columns);
        let tiles = stand.rows.div_ceil(stand.tile.rows) * across;
        let kept = libm::exp(-1.0 / variation.neighbour_cells);
        let factors = (0..tiles).into_par_iter().map(|tile| {
            let at = [tile / across, tile % across];
            let size = (field.bit_lines(at[1]), stand.tile.rows.min(stand.rows - at[0] * stand.tile.rows));
            let mut stream = Substream::new(draw.key(Purpose::Neighbours), [at[0] as u32, at[1] as u32, stand.layer]);
            let mut numbers = correlated(size, kept, || StandardNormal.sample(&mut stream));
            numbers.iter_mut().for_each(|number| *number = libm::exp(sigma * *number));
            numbers
        });
        Some(Field { factors: factors.collect(), ..field })
    }

    /// Columns of weights on a tile.
    fn columns_on(&self, tile: usize) -> usize {
        let Stand { columns, on_tiles, .. } = self.stand;
        on_tiles.per_tile.min(columns - tile * on_tiles.per_tile)
    }

    /// Bit lines that a tile's weights take, its unit columns and its spare columns.
    fn bit_lines(&self, tile: usize) -> usize {
        let (sides, units) = if self.has_units { (1, 1) } else { (2, 0) };
        self.stand.slices * ((self.columns_on(tile) + self.stand.on_tiles.spares) * sides + units)
    }

    /// The factor of a device's conductance.
    pub fn factor(&self, place: DevicePlace) -> f64 {
        let Stand { rows, tile, on_tiles, slices, columns, .. } = self.stand;
        let (word, slice) = ((place.row / tile.rows, place.row % tile.rows), place.slice as usize);
        let (across, line) = match place.polarity {
            Polarity::Unit => (place.column, self.columns_on(place.column) * slices + slice),
            polarity => {
                let across = on_tiles.tile(place.column);
                // Spare columns stand behind unit columns, so that the field of all others is the same without them.
                let (column, units) = match on_tiles.spare_number(place.column) {
                    Some(spare) => (self.columns_on(across) + spare, usize::from(self.has_units)),
                    None => (place.column % on_tiles.per_tile, 0),
                };
                let of_weight = (column + units) * slices + slice;
                let line = if self.has_units { of_weight } else { 2 * of_weight + polarity as usize };
                (across, line)
            }
        };
        let words = tile.rows.min(rows - word.0 * tile.rows);
        self.factors[word.0 * on_tiles.tiles(columns) + across][line * words + word.1]
    }
}

/// Standard normal numbers `[lines, words]` of which neighbours keep this share of each other, from independent ones.
fn correlated((lines, words): (usize, usize), kept: f64, mut normal: impl FnMut() -> f64) -> Vec<f64> {
    let fresh = libm::sqrt(1.0 - kept * kept);
    let mut numbers: Vec<f64> = (0..lines * words).map(|_| normal()).collect();
    for line in numbers.chunks_mut(words) {
        for word in 1..words {
            line[word] = kept * line[word - 1] + fresh * line[word];
        }
    }
    for at in words..lines * words {
        numbers[at] = kept * numbers[at - words] + fresh * numbers[at];
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Variation;

    #[test]
    fn neighbours_are_correlated_by_their_distance() {
        let tile = Tile { rows: 128, cols: 128, ..Tile::default() };
        let stand = Stand {
            rows: 1280,
            columns: 640,
            layer: 3,
            slices: 1,
            tile,
            on_tiles: TileColumns { per_tile: 64, spares: 0 },
        };
        let variation = Variation { neighbour_sigma: 0.1, neighbour_cells: 4.0, scale: 2.0, ..Variation::default() };
        let rram = Rram { variation, ..Rram::default() };
        let field = Field::new(&rram, stand, Some(Draw::chip(2, 5))).unwrap();
        let at = |row: usize, column: usize, polarity| {
            field.factor(DevicePlace { row, column, layer: 3, slice: 0, polarity }).ln() / 0.2
        };
        // The means over all tiles of products of numbers some lines apart: 100 tiles of 16,384, of which some 16 are
        // independent of each other along either line.
        let mean = |words: usize, lines: usize| {
            let (mut sum, mut count) = (0.0, 0.0);
            for (row, line) in (0..1280 - words).flat_map(|row| (0..1280 - lines).map(move |line| (row, line))) {
                if row % 128 + words < 128 && line % 128 + lines < 128 {
                    let of = |line: usize| (line / 2, if line % 2 == 1 { Polarity::Minus } else { Polarity::Plus });
                    let ((a, p), (b, q)) = (of(line), of(line + lines));
                    sum += at(row, a, p) * at(row + words, b, q);
                    count += 1.0;
                }
            }
            sum / count
        };
        for (words, lines) in [(0, 0), (1, 0), (0, 1), (4, 0), (2, 3)] {
            let (found, expected) = (mean(words, lines), f64::exp(-((words + lines) as f64) / 4.0));
            assert!(
                (found - expected).abs() < 0.03,
                "{words} word lines and {lines} bit lines apart: {found}, {expected}"
            );
        }
        assert!(Field::new(&rram, stand, None).is_none());
    }
}
