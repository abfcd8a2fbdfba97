//! Devices and lines that do not work.
//!
//! One uniform draw u a device: u < r0 leaves it at G_min, u < r0 + r1 at G_max, whatever was written. A dead word line
//! of a tile never drives its devices; a dead bit line carries no current: their conductances count as 0.
//!
//! Where `compensate` is set, a test has found the stuck devices before programming, and the other one of a pair is
//! asked for what makes the pair's difference right, as far as its range goes: with G⁻ stuck at G_max and a target of
//! G⁺ − G⁻ = −d, G⁺ = G_max − d, exactly; with a target of +d, G⁺ = G_max, and the pair holds 0.

use ndarray_rand::rand::RngCore;

use super::devices::{DevicePlace, Polarity, TileColumns};
use super::{Draw, Purpose};
use crate::profile::{Faults, Tile};
use crate::rng::Substream;

/// The conductance that a device is stuck at, the lowest or the highest; none where it works.
pub fn stuck_at(faults: &Faults, (lowest, highest): (f64, f64), place: DevicePlace, draw: Option<Draw>) -> Option<f64> {
    let draw = draw.filter(|_| faults.stuck_off > 0.0 || faults.stuck_on > 0.0)?;
    match uniform(draw.key(Purpose::Stuck), place.words()) {
        u if u < faults.stuck_off => Some(lowest),
        u if u < faults.stuck_off + faults.stuck_on => Some(highest),
        _ => None,
    }
}

/// The key under which lines of a draw are dead; none where no line is.
pub fn lines_key(faults: &Faults, draw: Option<Draw>) -> Option<[u32; 2]> {
    let any = faults.dead_word_lines > 0.0 || faults.dead_bit_lines > 0.0;
    draw.filter(|_| any).map(|draw| draw.key(Purpose::Lines))
}

/// Whether a device stands on a line that is dead under a key of [`lines_key`]. A word line is its tile's; every slice
/// and polarity has bit lines of its own.
pub fn is_on_dead_line(
    faults: &Faults,
    place: DevicePlace,
    (tile, columns): (Tile, TileColumns),
    key: [u32; 2],
) -> bool {
    let DevicePlace { row, column, layer, slice, polarity } = place;
    let tile_column = if polarity == Polarity::Unit { column } else { columns.tile(column) };
    let line = u32::from(polarity != Polarity::Plus);
    let word_is_dead = || uniform(key, [row as u32, tile_column as u32, layer | 1 << 30]) < faults.dead_word_lines;
    let bit_is_dead = || {
        let place = [(row / tile.rows) as u32, column as u32, layer | slice << 20 | line << 28];
        uniform(key, place) < faults.dead_bit_lines
    };
    faults.dead_word_lines > 0.0 && word_is_dead() || faults.dead_bit_lines > 0.0 && bit_is_dead()
}

/// Uniform in [0, 1), of 32 bits.
fn uniform(key: [u32; 2], place: [u32; 3]) -> f64 {
    f64::from(Substream::new(key, place).next_u32()) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_devices_are_stuck_as_the_rates_say() {
        let faults = Faults { stuck_off: 0.03, stuck_on: 0.01, ..Faults::default() };
        let draw = Some(Draw::chip(5, 2));
        let place =
            |i: usize| DevicePlace { row: i % 300, column: i / 300, layer: 2, slice: 1, polarity: Polarity::Minus };
        let at = |i: usize, draw| stuck_at(&faults, (1.0, 9.0), place(i), draw).unwrap_or(5.0);
        let found: Vec<f64> = (0..90_000).map(|i| at(i, draw)).collect();
        let share = |g: f64| found.iter().filter(|found| **found == g).count() as f64 / 90_000.0;
        // Five standard errors of a binomial share.
        for (g, rate) in [(1.0, 0.03), (9.0, 0.01), (5.0, 0.96)] {
            let allowed = 5.0 * f64::sqrt(rate * (1.0 - rate) / 90_000.0);
            assert!((share(g) - rate).abs() < allowed, "{g}: {} for {rate}", share(g));
        }
        assert!((0..900).all(|i| at(i, None) == 5.0), "the nominal chip has no faults");
    }

    #[test]
    fn the_sound_device_of_a_pair_makes_up_for_the_stuck_one_as_far_as_it_goes() {
        use crate::device::{Matrix, program};
        use crate::profile::{Cell, CellMapping, DeviceModel, Rram, Scheme};
        let (rows, columns) = (100, 40);
        let latent: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.37).sin()).collect();
        for (mapping, compensate) in
            [CellMapping::OneSided, CellMapping::TwoSided].into_iter().flat_map(|m| [(m, false), (m, true)])
        {
            let rram = Rram {
                weight_bits: 4,
                scheme: Scheme::Uniform,
                model: DeviceModel::Cell,
                cell: Cell { g_max_us: 50.0, g_min_us: Some(5.0), mapping, ..Cell::default() },
                faults: Faults { stuck_on: 0.1, stuck_off: 0.1, compensate, ..Faults::default() },
                ..Rram::default()
            };
            let matrix = Matrix::new(rows, 0, &rram, Tile::default());
            let draw = Draw::chip(3, 1);
            let cells = program(&latent, matrix, Some(draw), None).unwrap();
            let stuck = |i: usize, polarity| {
                let place = DevicePlace { row: i % rows, column: i / rows, layer: 0, slice: 0, polarity };
                stuck_at(&rram.faults, (0.0, 1.0), place, Some(draw))
            };
            for (i, (q, w)) in cells.target.iter().zip(&cells.programmed).enumerate() {
                let [plus, minus] = [Polarity::Plus, Polarity::Minus].map(|polarity| stuck(i, polarity));
                // A device takes this part of its range; the difference of a pair's is the weight.
                let part = |polarity: f32| match mapping {
                    CellMapping::OneSided => (polarity * q).max(0.0),
                    _ => (1.0 + polarity * q) / 2.0,
                };
                let asked = [part(1.0), part(-1.0)];
                let held = match (plus.map(|g| g as f32), minus.map(|g| g as f32), compensate) {
                    (Some(plus), Some(minus), _) => plus - minus,
                    (Some(plus), None, true) => plus - (plus - q).clamp(0.0, 1.0),
                    (None, Some(minus), true) => (minus + q).clamp(0.0, 1.0) - minus,
                    (plus, minus, _) => plus.unwrap_or(asked[0]) - minus.unwrap_or(asked[1]),
                };
                assert!((held - w).abs() < 1e-5, "{mapping:?}, {i}: {w} for {held}");
            }
        }
    }

    #[test]
    fn dead_lines_take_whole_lines_of_a_tile() {
        let faults = Faults { dead_word_lines: 0.2, dead_bit_lines: 0.1, ..Faults::default() };
        let on_tiles = (Tile { rows: 10, cols: 8, ..Tile::default() }, TileColumns { per_tile: 4, spares: 0 });
        let at = |column: usize, row: usize| {
            let place = DevicePlace { row, column, layer: 0, slice: 0, polarity: Polarity::Plus };
            is_on_dead_line(&faults, place, on_tiles, lines_key(&faults, Some(Draw::chip(1, 1))).unwrap())
        };
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
