//! Weights moved to other lines of their tile, so that stuck cells and dead lines meet those that they hurt least.
//!
//! A test has found every stuck cell and dead line of a tile before it is programmed. A column of weights may then
//! stand on another of the tile's columns or on a spare one, and a row on another of its rows. Where the devices of a
//! place do not all work, they hold for a weight q what stands for w: that place costs (w − q)², less what the same
//! weight misses where all works (nothing, but behind access devices or with listed conductances). Columns get those
//! places at which the sum of these is least over the tile, an assignment ([`super::assignment`]), and rows do so after
//! them. A move that wins nothing is not made.
//!
//! A chip needs a table of what stands where: for each column that may move the number of its place on the tile, and
//! for each row ([`table_bits`]). It is kept by decoders and multiplexers and not read as sums are made.

use rayon::prelude::*;

use super::assignment::assign;
use super::devices::{DevicePlace, Polarity, TileColumns};
use crate::monitor::stop_if_asked;
use crate::profile::{Faults, Tile};

/// The squared error that a move has to take away: it decides in favour of lines that stay where nothing else does.
const WORTH: f64 = 1e-9;
/// The squared error that stands for a place where a column cannot stand.
const NEVER: f64 = 1e12;

/// The row and the column of a weight in its layer's matrix, or those of a place on its tile's lines.
pub type At = (usize, usize);

/// Where the weights of a layer stand on the lines of their tiles.
#[derive(Debug)]
pub struct Moved {
    grid: Grid,
    /// The place of each column `[tiles along the rows, columns]`.
    columns: Vec<u32>,
    /// The place of each row `[tiles along the columns, rows]`.
    rows: Vec<u32>,
}

/// A layer's matrix on tiles.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Rows of the matrix.
    pub rows: usize,
    /// Columns of the matrix.
    pub columns: usize,
    /// The size of a tile.
    pub tile: Tile,
    /// The columns that each tile holds.
    pub on_tiles: TileColumns,
}

/// One tile's part of a matrix.
struct TilePart {
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    /// The tile's number along the columns.
    across: usize,
}

impl Grid {
    fn across(&self) -> usize {
        self.on_tiles.tiles(self.columns)
    }

    fn down(&self) -> usize {
        self.rows.div_ceil(self.tile.rows)
    }

    fn part(&self, number: usize) -> TilePart {
        let (down, across) = (number / self.across(), number % self.across());
        let cut = |size: usize, number: usize, most: usize| number * size..((number + 1) * size).min(most);
        let columns = cut(self.on_tiles.per_tile, across, self.columns);
        TilePart { rows: cut(self.tile.rows, down, self.rows), columns, across }
    }
}

impl Moved {
    /// The moves of a layer. `fault(place)` is what does not work at a place, if anything, and `error(weight, fault)`
    /// how much more the squared error of a weight is there than where all works, in shares of the largest weight's
    /// square.
    pub fn of<F: Sync>(
        faults: &Faults,
        grid: Grid,
        fault: impl Fn(At) -> Option<F> + Sync,
        error: impl Fn(At, &F) -> f64 + Sync,
    ) -> Self {
        let of_tile = |number: usize| {
            let tile = TileFaults::new(grid, grid.part(number), &fault);
            let columns = tile.columns(faults, &error);
            let rows = tile.rows(faults, &columns, &error);
            (columns, rows)
        };
        let found: Vec<_> = (0..grid.down() * grid.across()).into_par_iter().map(of_tile).collect();
        let standing = |lines: usize, tiles: usize| (0..lines * tiles).map(|line| (line % lines) as u32).collect();
        let columns = standing(grid.columns, grid.down());
        let mut moved = Moved { grid, columns, rows: standing(grid.rows, grid.across()) };
        for (number, (columns, rows)) in found.into_iter().enumerate() {
            moved.put(number, &columns, &rows);
        }
        moved
    }

    /// Notes where the columns and rows of a tile stand.
    fn put(&mut self, number: usize, columns: &[usize], rows: &[usize]) {
        let (grid, part) = (self.grid, self.grid.part(number));
        let first = number / grid.across() * grid.columns + part.columns.start;
        self.columns[first..].iter_mut().zip(columns).for_each(|(place, moved)| *place = *moved as u32);
        let first = part.across * grid.rows + part.rows.start;
        self.rows[first..].iter_mut().zip(rows).for_each(|(place, moved)| *place = *moved as u32);
    }

    /// Where the device of a place of the matrix stands. Unit columns stay, and have rows moved with the others of
    /// their tile. Places behind the last device, which vectors look up with others, are no device's and stay, too.
    pub fn stand(&self, place: DevicePlace) -> DevicePlace {
        let (Grid { rows, columns, tile, on_tiles }, is_unit) = (self.grid, place.polarity == Polarity::Unit);
        let across = if is_unit { place.column } else { on_tiles.tile(place.column) };
        let column = match is_unit {
            true => Some(place.column),
            false => {
                let at = place.row / tile.rows * columns + place.column;
                self.columns.get(at).filter(|_| place.column < columns).map(|column| *column as usize)
            }
        };
        let row = self.rows.get(across * rows + place.row).map(|row| *row as usize);
        row.zip(column).map_or(place, |(row, column)| DevicePlace { row, column, ..place })
    }
}

/// The places of a tile whose devices do not all work.
struct TileFaults<F> {
    part: TilePart,
    /// The columns that weights may stand on: the tile's own, and spare ones.
    places: Vec<usize>,
    /// The rows whose devices do not all work, and what is wrong with them, column by column.
    faulty: Vec<Vec<(usize, F)>>,
}

impl<F> TileFaults<F> {
    fn new(grid: Grid, part: TilePart, fault: impl Fn(At) -> Option<F>) -> Self {
        let spares = (0..grid.on_tiles.spares).map(|spare| grid.on_tiles.spare(part.across, spare));
        let places: Vec<usize> = part.columns.clone().chain(spares).collect();
        let faulty = |column: &usize| {
            stop_if_asked();
            part.rows.clone().filter_map(|row| Some((row, fault((row, *column))?))).collect()
        };
        TileFaults { faulty: places.iter().map(faulty).collect(), places, part }
    }

    /// The places of the tile's columns.
    fn columns(&self, faults: &Faults, error: &impl Fn(At, &F) -> f64) -> Vec<usize> {
        let (own, anywhere) = (&self.part.columns, faults.remap.moves_columns());
        if !(anywhere || faults.spares > 0) || self.faulty.iter().all(Vec::is_empty) {
            return own.clone().collect();
        }
        let cost = |column: usize, (place, faulty): (&usize, &Vec<(usize, F)>)| -> f64 {
            if *place != column && !anywhere && own.contains(place) {
                return NEVER;
            }
            let errors = faulty.iter().map(|(row, fault)| error((*row, column), fault));
            errors.fold(if *place == column { 0.0 } else { WORTH }, |sum, error| sum + error)
        };
        let mut costs = Vec::with_capacity(own.len() * self.places.len());
        for column in own.clone() {
            stop_if_asked();
            costs.extend(self.places.iter().zip(&self.faulty).map(|at| cost(column, at)));
        }
        let count = self.places.len();
        let assigned = assign(own.len(), count, |column, at| costs[column * count + at]);
        assigned.into_iter().map(|at| self.places[at]).collect()
    }

    /// The places of the tile's rows, whose columns stand at these by now.
    fn rows(&self, faults: &Faults, columns: &[usize], error: &impl Fn(At, &F) -> f64) -> Vec<usize> {
        let own = &self.part.rows;
        // The columns that meet a device that does not work, and what is wrong with it, row by row.
        let mut met: Vec<Vec<(usize, &F)>> = vec![vec![]; own.len()];
        for (column, place) in self.part.columns.clone().zip(columns) {
            let at = self.places.iter().position(|known| known == place).expect("a column stands at one of the places");
            self.faulty[at].iter().for_each(|(row, fault)| met[row - own.start].push((column, fault)));
        }
        if !faults.remap.moves_rows() || met.iter().all(Vec::is_empty) {
            return own.clone().collect();
        }
        let cost = |row: usize, to: usize| {
            let errors = met[to].iter().map(|(column, fault)| error((own.start + row, *column), fault));
            errors.fold(if row == to { 0.0 } else { WORTH }, |sum, error| sum + error)
        };
        let (count, mut costs) = (own.len(), Vec::with_capacity(own.len() * own.len()));
        for row in 0..count {
            stop_if_asked();
            costs.extend((0..count).map(|to| cost(row, to)));
        }
        let assigned = assign(count, count, |row, to| costs[row * count + to]);
        assigned.into_iter().map(|to| own.start + to).collect()
    }
}

/// Bits of the tables that say where the columns and rows of a layer stand on its tiles.
pub fn table_bits(faults: &Faults, grid: Grid) -> usize {
    let bits = |values: usize| values.next_power_of_two().ilog2() as usize;
    let of_tile = |number: usize| {
        let TilePart { rows, columns, .. } = grid.part(number);
        let of_columns = match faults.remap.moves_columns() {
            true => columns.len() * bits(columns.len() + grid.on_tiles.spares),
            // Each spare has the number of the column that it stands for, or none.
            false => grid.on_tiles.spares * bits(columns.len() + 1),
        };
        of_columns + if faults.remap.moves_rows() { rows.len() * bits(rows.len()) } else { 0 }
    };
    (0..grid.down() * grid.across()).map(of_tile).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Draw, Matrix, program};
    use crate::profile::{Cell, CellMapping, DeviceModel, Remap, Rram, Scheme, VariationKind};

    const ROWS: usize = 30;
    const COLUMNS: usize = 18;

    fn rram(mapping: CellMapping, faults: Faults) -> Rram {
        let cell = Cell { g_max_us: 50.0, g_min_us: Some(5.0), mapping, ..Cell::default() };
        Rram { weight_bits: 4, scheme: Scheme::Integer, model: DeviceModel::Cell, cell, faults, ..Rram::default() }
    }

    /// The largest and the summed squared error of the weights of a chip on tiles of 16 word lines and 16 bit lines.
    fn errors(latent: &[f32], rram: &Rram) -> (f64, f64) {
        let tile = Tile { rows: 16, cols: 16, ..Tile::default() };
        let cells = program(latent, Matrix::new(ROWS, 2, rram, tile), Some(Draw::chip(5, 1)), None).unwrap();
        let errors = cells.target.iter().zip(&cells.programmed).map(|(q, w)| f64::from(w - q).powi(2));
        errors.fold((0.0, 0.0), |(most, sum), error| (error.max(most), sum + error))
    }

    #[test]
    fn each_freedom_to_move_takes_more_of_the_error_away() {
        let latent: Vec<f32> = (0..ROWS * COLUMNS).map(|i| (i as f32 * 0.37).sin().powi(3)).collect();
        for (mapping, compensate) in [
            (CellMapping::OneSided, false),
            (CellMapping::OneSided, true),
            (CellMapping::TwoSided, false),
            (CellMapping::Offset, false),
        ] {
            let of = |remap, spares| {
                let faults =
                    Faults { stuck_on: 0.03, stuck_off: 0.03, dead_bit_lines: 0.05, compensate, ..Faults::default() };
                errors(&latent, &rram(mapping, Faults { remap, spares, ..faults })).1
            };
            let none = of(Remap::None, 0);
            let found = [of(Remap::None, 2), of(Remap::Columns, 0), of(Remap::Rows, 0)];
            assert!(found.iter().all(|error| *error < 0.95 * none), "{mapping:?}, {compensate}: {found:?} of {none}");
            let both = of(Remap::Both, 0);
            assert!(both < found[1] && both < found[2], "{mapping:?}: {both}, {found:?}");
            assert!(
                of(Remap::Both, 2) < both && of(Remap::Columns, 2) < found[1],
                "{mapping:?}: spares help what moves"
            );
        }
    }

    #[test]
    fn spare_columns_stand_for_dead_ones_and_silent_rows_for_dead_lines() {
        // Every second row of weights is 0, so that it may stand on a word line that is never driven.
        let latent: Vec<f32> = (0..ROWS * COLUMNS).map(|i| if i % 2 == 0 { 0.0 } else { (i as f32).cos() }).collect();
        let dead_bits = Faults { dead_bit_lines: 0.1, ..Faults::default() };
        let dead_words = Faults { dead_word_lines: 0.15, ..Faults::default() };
        for (faults, remap, spares) in [(dead_bits, Remap::None, 8), (dead_words, Remap::Rows, 0)] {
            let broken = errors(&latent, &rram(CellMapping::OneSided, faults.clone()));
            let mended = errors(&latent, &rram(CellMapping::OneSided, Faults { remap, spares, ..faults }));
            assert!(broken.1 > 1.0 && mended.0 < 1e-9, "{broken:?} became {mended:?}");
        }
    }

    #[test]
    fn no_two_weights_stand_at_one_place_and_what_wins_nothing_stays() {
        let on_tiles = TileColumns { per_tile: 8, spares: 2 };
        let grid =
            Grid { rows: ROWS, columns: COLUMNS, tile: Tile { rows: 16, cols: 16, ..Tile::default() }, on_tiles };
        let faults = Faults { stuck_on: 0.1, remap: Remap::Both, spares: 2, ..Faults::default() };
        let place = |row, column| DevicePlace { row, column, layer: 0, slice: 0, polarity: Polarity::Plus };
        let all = || (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |column| (row, column)));
        let fault = |(row, column): At| ((row * 7 + column * 5) % 11 == 0).then_some(());
        let moved = Moved::of(&faults, grid, fault, |(row, column), _| ((row * 13 + column * 17) % 23) as f64);
        let stand: Vec<DevicePlace> = all().map(|(row, column)| moved.stand(place(row, column))).collect();
        let mut places: Vec<At> = stand.iter().map(|place| (place.row, place.column)).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), ROWS * COLUMNS);
        for ((row, column), stands) in all().zip(&stand) {
            assert_eq!((row / 16, column / 8), (stands.row / 16, on_tiles.tile(stands.column)), "it stays on its tile");
        }
        assert!(stand.iter().any(|place| place.column >= COLUMNS), "spare columns are used");
        let still = Moved::of(&faults, grid, fault, |_, _| 0.0);
        assert!(all().all(|(row, column)| still.stand(place(row, column)) == place(row, column)), "harmless faults");
        let sound = Moved::of(&faults, grid, |_| None::<()>, |_, _| 1.0);
        assert!(all().all(|(row, column)| sound.stand(place(row, column)) == place(row, column)));
    }

    #[test]
    fn moved_weights_have_all_that_the_place_where_they_stand_has() {
        // Every effect that depends on the place meets spare columns, and no chip is made without them as with them.
        let latent: Vec<f32> = (0..ROWS * COLUMNS).map(|i| (i as f32 * 0.37).sin()).collect();
        for mapping in [CellMapping::OneSided, CellMapping::Offset] {
            let of = |faults: Faults| {
                let mut rram = rram(mapping, faults);
                rram.variation.kind = VariationKind::Lognormal;
                (rram.variation.sigma, rram.variation.tile_sigma) = (0.1, 0.1);
                (rram.variation.neighbour_sigma, rram.variation.neighbour_cells) = (0.1, 5.0);
                (rram.drift.nu, rram.drift.nu_sigma, rram.drift.time_s) = (0.05, 0.02, 1e4);
                (rram.endurance.pulses, rram.endurance.writes) = (1e6, 1e4);
                let tile = Tile { rows: 16, cols: 16, driver_sigma: 0.05, ..Tile::default() };
                let cells = program(&latent, Matrix::new(ROWS, 2, &rram, tile), Some(Draw::chip(5, 1)), None).unwrap();
                cells.folded().into_owned()
            };
            let faults = Faults { stuck_on: 0.05, dead_word_lines: 0.05, ..Faults::default() };
            let plain = of(faults.clone());
            let moved = of(Faults { remap: Remap::Both, spares: 2, ..faults.clone() });
            assert!(moved.iter().all(|w| w.is_finite()) && plain != moved, "{mapping:?}");
            // Without faults there are no spare columns, and nothing moves, whatever may.
            let sound = of(Faults::default());
            assert_eq!(of(Faults { remap: Remap::Both, spares: 2, ..Faults::default() }), sound, "{mapping:?}");
        }
    }

    #[test]
    fn tables_hold_what_moves() {
        // Two tiles along 30 rows, of 16 and 14; three along 18 columns, of 8, 8 and 2.
        let on_tiles = |spares| TileColumns { per_tile: 8, spares };
        let bits = |remap, spares| {
            let tile = Tile { rows: 16, cols: 16, ..Tile::default() };
            let grid = Grid { rows: ROWS, columns: COLUMNS, tile, on_tiles: on_tiles(spares) };
            table_bits(&Faults { remap, ..Faults::default() }, grid)
        };
        assert_eq!(bits(Remap::None, 0), 0);
        // The number of one of 8 columns or of none takes 4 bits, and of one of 2 or none 2 bits.
        assert_eq!(bits(Remap::None, 2), 2 * 2 * (4 + 4 + 2));
        assert_eq!(bits(Remap::Columns, 0), 2 * (8 * 3 + 8 * 3 + 2));
        assert_eq!(bits(Remap::Columns, 2), 2 * (8 * 4 + 8 * 4 + 2 * 2));
        assert_eq!(bits(Remap::Rows, 0), 3 * (16 * 4 + 14 * 4));
    }
}
