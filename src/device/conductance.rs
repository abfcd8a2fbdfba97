//! Where a device lands when it is programmed: conductances in microsiemens.
//!
//! | kind | G |
//! |---|---|
//! | `lognormal`, `per_level` | target·exp(N(0, scale·σ)); σ by the device's level for `per_level` |
//! | `gaussian` | target·(1 + N(0, scale·σ)), or target + N(0, scale·σ_µS) |
//! | `polynomial` | target + N(0, scale·max(Σ cᵢ·targetⁱ, 0)) |
//! | `table` | target + scale·(mean − target) + N(0, scale·σ), mean and σ between the rows of the table |
//!
//! times `exp(N(0, scale·σ_lot) + N(0, scale·σ_die) + N(0, scale·σ_tile))`, one draw a lot (all chips of a seed), chip and tile.
//! Nothing is below 0 µS. With write-verify a device is programmed again, each time anew, until it is within the tolerance of
//! its target or has had its pulses; it keeps where it landed last.

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use super::devices::{Columns, Place, Polarity};
use super::{Draw, Purpose};
use crate::profile::{Rram, Tile, Variation, VariationKind};
use crate::rng::Substream;

/// How the devices of a layer land.
pub struct Law<'a> {
    rram: &'a Rram,
    draw: Option<Draw>,
    /// What lot and die multiply every device's conductance with.
    shared: f64,
    tile: Tile,
    columns: Columns,
}

impl<'a> Law<'a> {
    /// For a draw; without one, devices land on their targets.
    pub fn new(rram: &'a Rram, draw: Option<Draw>, tile: Tile, columns: Columns) -> Self {
        let [lot, die, _] = rram.variation.components().map(|sigma| sigma * rram.variation.scale);
        let shared = draw.map_or(0.0, |draw| {
            let one = |sigma: f64, key: [u32; 2]| if sigma == 0.0 { 0.0 } else { sigma * normal(key, [0; 3]) };
            one(lot, draw.lot_key()) + one(die, draw.key(Purpose::Die))
        });
        Law { rram, draw, shared: libm::exp(shared), tile, columns }
    }

    /// Programs one device to a target of this level; gives its conductance and the pulses that it took.
    pub fn program(&self, target: f64, level: f64, place: Place) -> (f64, u32) {
        let variation = &self.rram.variation;
        let Some(draw) = self.draw.filter(|_| variation.varies()) else { return (target, 1) };
        let factor = self.shared * self.tile_factor(place, draw);
        let mut stream = Substream::new(draw.cell_key(), place.words());
        let mut pulses = 0;
        loop {
            pulses += 1;
            let landed = (land(variation, target, level, StandardNormal.sample(&mut stream)) * factor).max(0.0);
            let near = (landed - target).abs() <= self.rram.program.tolerance_us;
            if self.rram.program.tolerance_us == 0.0 || near || pulses >= self.rram.program.most_pulses {
                return (landed, pulses);
            }
        }
    }

    fn tile_factor(&self, place: Place, draw: Draw) -> f64 {
        let sigma = self.rram.variation.tile_sigma * self.rram.variation.scale;
        if sigma == 0.0 {
            return 1.0;
        }
        let column = if place.polarity == Polarity::Unit { place.column } else { self.columns.tile(place.column) };
        let tile = [(place.row / self.tile.rows) as u32, column as u32, place.layer];
        libm::exp(sigma * normal(draw.key(Purpose::Tiles), tile))
    }
}

fn normal(key: [u32; 2], place: [u32; 3]) -> f64 {
    StandardNormal.sample(&mut Substream::new(key, place))
}

/// Where a device lands on its own, for a standard normal draw.
fn land(variation: &Variation, target: f64, level: f64, normal: f64) -> f64 {
    let scale = variation.scale;
    match variation.kind {
        VariationKind::None => target,
        VariationKind::Lognormal => target * libm::exp(scale * variation.sigma * normal),
        VariationKind::PerLevel => target * libm::exp(scale * of_level(&variation.levels, level) * normal),
        VariationKind::Gaussian => {
            target * (1.0 + scale * variation.sigma * normal) + scale * variation.sigma_us * normal
        }
        VariationKind::Polynomial => target + scale * polynomial(&variation.coefficients, target) * normal,
        VariationKind::Table => {
            let (mean, sigma) = between(&variation.table, target);
            target + scale * (mean - target + sigma * normal)
        }
    }
}

/// σ of a level: the first of the list is level 1's and level 0's, the last is that of all above.
pub fn of_level(levels: &[f64], level: f64) -> f64 {
    let place = (libm::rint(level) as usize).saturating_sub(1).min(levels.len().saturating_sub(1));
    levels.get(place).copied().unwrap_or(0.0)
}

/// `Σ cᵢ·Gⁱ`, not below 0.
pub fn polynomial(coefficients: &[f64], g: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * g + c).max(0.0)
}

/// Mean and standard deviation at a target, between the rows of a table sorted by target; those of its ends beyond them, the
/// mean as far off.
pub fn between(table: &[[f64; 3]], target: f64) -> (f64, f64) {
    let above = table.partition_point(|row| row[0] < target);
    let (low, high) = (table[above.saturating_sub(1)], table[above.min(table.len() - 1)]);
    let width = high[0] - low[0];
    let share = if width > 0.0 { ((target - low[0]) / width).clamp(0.0, 1.0) } else { 0.0 };
    let at = |of: usize| low[of] + share * (high[of] - low[of]);
    (at(1) + target - at(0), at(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_fits_give_their_check_values() {
        // Milo (IRPS 2021), Wan (Nature 2022, 1 s), both in µS.
        let milo = [4.782321, -0.009107];
        let wan = [1.053, 0.2374, -1.167e-2, 1.536e-4];
        for (coefficients, g, expected) in [
            (&milo[..], 50.0, 4.327),
            (&milo, 225.0, 2.733),
            (&wan, 0.0, 1.053),
            (&wan, 10.0, 2.414),
            (&wan, 39.26, 1.681),
        ] {
            let found = polynomial(coefficients, g);
            assert!((found - expected).abs() < 5e-4, "σ({g}) = {found}, expected {expected}");
        }
        assert_eq!(polynomial(&[1.0, -1.0], 5.0), 0.0);
    }

    #[test]
    fn a_table_is_read_between_its_rows() {
        let table = [[10.0, 11.0, 1.0], [20.0, 20.0, 2.0], [40.0, 38.0, 4.0]];
        for (target, expected) in [(10.0, (11.0, 1.0)), (15.0, (15.5, 1.5)), (30.0, (29.0, 3.0)), (40.0, (38.0, 4.0))] {
            assert_eq!(between(&table, target), expected);
        }
        assert_eq!(between(&table, 5.0), (6.0, 1.0));
        assert_eq!(between(&table, 50.0), (48.0, 4.0));
    }

    #[test]
    fn levels_have_their_own_spread() {
        let levels = [0.3549, 0.2259, 0.1898];
        for (level, expected) in [(0.0, 0.3549), (1.0, 0.3549), (2.0, 0.2259), (3.0, 0.1898), (4.0, 0.1898)] {
            assert_eq!(of_level(&levels, level), expected);
        }
    }
}
