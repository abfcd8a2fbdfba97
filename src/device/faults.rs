//! Devices and lines that do not work.
//!
//! One uniform draw u a device: u < r0 leaves it at G_min, u < r0 + r1 at G_max, whatever was written. A dead word line of a tile
//! never drives its devices; a dead bit line carries no current: their conductances count as 0.

use ndarray_rand::rand::RngCore;

use super::devices::{Columns, Devices, Place};
use super::{Draw, Purpose};
use crate::profile::{Faults, Tile};
use crate::rng::Substream;

/// A device's conductance, or that which it is stuck at.
pub fn stuck(faults: &Faults, g: f64, (lowest, highest): (f64, f64), place: Place, draw: Option<Draw>) -> f64 {
    let Some(draw) = draw.filter(|_| faults.stuck_off > 0.0 || faults.stuck_on > 0.0) else { return g };
    let u = uniform(draw.key(Purpose::Stuck), place.words());
    match u {
        u if u < faults.stuck_off => lowest,
        u if u < faults.stuck_off + faults.stuck_on => highest,
        _ => g,
    }
}

/// Takes the current out of dead lines. A word line is its tile's; every slice and polarity has bit lines of its own.
pub fn dead_lines(
    faults: &Faults,
    devices: &mut Devices,
    (rows, layer, slice): (usize, u32, u32),
    (tile, columns): (Tile, Columns),
    draw: Draw,
) {
    let key = draw.key(Purpose::Lines);
    let word_dead = |row: usize, tile_column: usize| {
        faults.dead_word_lines > 0.0
            && uniform(key, [row as u32, tile_column as u32, layer | 1 << 30]) < faults.dead_word_lines
    };
    let bit_dead = |tile_row: usize, column: usize, line: u32| {
        let place = [tile_row as u32, column as u32, layer | slice << 20 | line << 28];
        faults.dead_bit_lines > 0.0 && uniform(key, place) < faults.dead_bit_lines
    };
    let has_units = devices.minus.len() != devices.plus.len();
    for (line, conductances) in [(0, &mut devices.plus), (1, &mut devices.minus)] {
        for (column, cells) in conductances.chunks_mut(rows).enumerate() {
            let tile_column = if line == 1 && has_units { column } else { columns.tile(column) };
            for (row, g) in cells.iter_mut().enumerate() {
                if word_dead(row, tile_column) || bit_dead(row / tile.rows, column, line) {
                    *g = 0.0;
                }
            }
        }
    }
}

/// Uniform in [0, 1), of 32 bits.
fn uniform(key: [u32; 2], place: [u32; 3]) -> f64 {
    f64::from(Substream::new(key, place).next_u32()) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::devices::Polarity;

    #[test]
    fn so_many_devices_are_stuck_as_the_rates_say() {
        let faults = Faults { stuck_off: 0.03, stuck_on: 0.01, ..Faults::default() };
        let draw = Some(Draw::chip(5, 2));
        let place = |i: usize| Place { row: i % 300, column: i / 300, layer: 2, slice: 1, polarity: Polarity::Minus };
        let found: Vec<f64> = (0..90_000).map(|i| stuck(&faults, 5.0, (1.0, 9.0), place(i), draw)).collect();
        let share = |g: f64| found.iter().filter(|found| **found == g).count() as f64 / 90_000.0;
        // Five standard errors of a binomial share.
        for (g, rate) in [(1.0, 0.03), (9.0, 0.01), (5.0, 0.96)] {
            let allowed = 5.0 * f64::sqrt(rate * (1.0 - rate) / 90_000.0);
            assert!((share(g) - rate).abs() < allowed, "{g}: {} for {rate}", share(g));
        }
        assert_eq!(stuck(&faults, 5.0, (1.0, 9.0), place(0), None), 5.0, "the nominal chip has no faults");
    }

    #[test]
    fn dead_lines_take_whole_lines_of_a_tile() {
        let faults = Faults { dead_word_lines: 0.2, dead_bit_lines: 0.1, ..Faults::default() };
        let (tile, columns) = (Tile { rows: 10, cols: 8, ..Tile::default() }, Columns { per_tile: 4 });
        let mut devices = Devices { plus: vec![1.0; 40 * 16], minus: vec![1.0; 40 * 16] };
        dead_lines(&faults, &mut devices, (40, 0, 0), (tile, columns), Draw::chip(1, 1));
        let at = |column: usize, row: usize| devices.plus[column * 40 + row] == 0.0;
        let (mut words, mut bits) = (0, 0);
        for (tile_row, tile_column) in (0..4).flat_map(|r| (0..4).map(move |c| (r, c))) {
            let rows = tile_row * 10..tile_row * 10 + 10;
            let columns = tile_column * 4..tile_column * 4 + 4;
            words += rows.clone().filter(|row| columns.clone().all(|column| at(column, *row))).count();
            bits += columns.filter(|column| rows.clone().all(|row| at(*column, row))).count();
        }
        // 160 word and 64 bit lines: five standard errors of 32 and 6.4.
        assert!((7..=57).contains(&words) && (1..=18).contains(&bits), "{words} {bits}");
    }
}
