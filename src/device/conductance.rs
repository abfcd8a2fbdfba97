//! Where a device lands when it is programmed: conductances in microsiemens.
//!
//! | kind | G |
//! |---|---|
//! | `lognormal`, `per_level` | target·exp(N(0, scale·σ)); σ by the device's level for `per_level` |
//! | `gaussian` | target·(1 + N(0, scale·σ)), or target + N(0, scale·σ_µS) |
//! | `polynomial` | target + N(0, scale·max(Σ cᵢ·targetⁱ, 0)) |
//! | `table` | target + scale·(mean − target) + N(0, scale·σ), mean and σ between the rows of the table |
//!
//! times `exp(N(0, scale·σ_lot) + N(0, scale·σ_die) + N(0, scale·σ_tile))`, one draw a lot (all chips of a seed), chip
//! and tile, and what neighbours share ([`super::field`]). Nothing is below 0 µS. With write-verify a device is
//! programmed again, each time anew, until it is within the tolerance of its target or has had its pulses; it keeps
//! where it landed last.

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use super::devices::{DevicePlace, Polarity, TileColumns};
use super::field::Field;
use super::normal::{BATCH, normals};
use super::{Draw, Purpose};
use crate::numeric::exponential::exp_all;
use crate::profile::{Rram, Tile, Variation, VariationKind};
use crate::rng::Substream;

/// How the devices of a layer land.
pub struct LandingLaw<'a> {
    rram: &'a Rram,
    draw: Option<Draw>,
    /// What lot and die multiply every device's conductance with.
    shared: f64,
    tile: Tile,
    columns: TileColumns,
    /// The factors that neighbours share.
    field: Option<Field>,
}

impl<'a> LandingLaw<'a> {
    /// For a draw; without one, devices land on their targets.
    pub fn new(rram: &'a Rram, draw: Option<Draw>, tile: Tile, columns: TileColumns) -> Self {
        let [lot, die, ..] = rram.variation.components().map(|sigma| sigma * rram.variation.scale);
        let shared = draw.map_or(0.0, |draw| {
            let one = |sigma: f64, key: [u32; 2]| if sigma == 0.0 { 0.0 } else { sigma * normal(key, [0; 3]) };
            one(lot, draw.lot_key()) + one(die, draw.key(Purpose::Die))
        });
        LandingLaw { rram, draw, shared: libm::exp(shared), tile, columns, field: None }
    }

    /// The law of devices whose neighbours share a field, if there is one.
    pub fn among(self, field: Option<Field>) -> Self {
        LandingLaw { field, ..self }
    }

    /// Programs devices, conductances that are their targets before and where they landed after; gives the pulses that
    /// they took, and tells those of each. `level` is the level of a target, `place` says where a device stands.
    pub fn program(
        &self,
        devices: &mut [f64],
        level: impl Fn(f64) -> f64,
        (place, is_verified): (impl Fn(usize) -> DevicePlace, impl Fn(usize) -> bool),
        mut tell: impl FnMut(usize, u64),
    ) -> u64 {
        let variation = &self.rram.variation;
        let draw = self.draw.filter(|_| variation.varies());
        if let Some(draw) = draw.filter(|_| self.rram.program.tolerance_us != 0.0) {
            let key = draw.cell_key();
            let verified = |(i, g): (usize, &mut f64)| {
                let most = if is_verified(i) { self.rram.program.most_pulses } else { 1 };
                let pulses = self.verify(g, level(*g), place(i), (draw, key, most));
                tell(i, pulses);
                pulses
            };
            return devices.iter_mut().enumerate().map(verified).sum();
        }
        (0..devices.len()).for_each(|i| tell(i, 1));
        let Some(draw) = draw else { return devices.len() as u64 };
        let key = draw.cell_key();
        let mut drawn = [0.0; BATCH];
        for (part, devices) in devices.chunks_mut(BATCH).enumerate() {
            let place = |i: usize| place(part * BATCH + i);
            let drawn = &mut drawn[..devices.len()];
            normals(key, |i| place(i).words(), drawn);
            land_all(variation, devices, &level, drawn);
            for (i, g) in devices.iter_mut().enumerate() {
                *g = (*g * (self.shared * self.place_factor(|| place(i), draw))).max(0.0);
            }
        }
        devices.len() as u64
    }

    /// Programs a device again and again until it is near its target or has had so many pulses; gives how many it took.
    fn verify(
        &self,
        device: &mut f64,
        level: f64,
        place: DevicePlace,
        (draw, key, most): (Draw, [u32; 2], u32),
    ) -> u64 {
        let (target, program) = (*device, &self.rram.program);
        let factor = self.shared * self.place_factor(|| place, draw);
        let mut stream = Substream::new(key, place.words());
        let mut pulses = 0;
        loop {
            pulses += 1;
            let normal = StandardNormal.sample(&mut stream);
            *device = (land(&self.rram.variation, target, level, normal) * factor).max(0.0);
            if (*device - target).abs() <= program.tolerance_us || pulses >= most {
                return u64::from(pulses);
            }
        }
    }

    /// The factor of a device's conductance that its tile and its neighbours give.
    fn place_factor(&self, place: impl Fn() -> DevicePlace, draw: Draw) -> f64 {
        let sigma = self.rram.variation.tile_sigma * self.rram.variation.scale;
        let of_neighbours = self.field.as_ref().map_or(1.0, |field| field.factor(place()));
        if sigma == 0.0 {
            return of_neighbours;
        }
        let place = place();
        let column = if place.polarity == Polarity::Unit { place.column } else { self.columns.tile(place.column) };
        let tile = [(place.row / self.tile.rows) as u32, column as u32, place.layer];
        of_neighbours * libm::exp(sigma * normal(draw.key(Purpose::Tiles), tile))
    }
}

fn normal(key: [u32; 2], place: [u32; 3]) -> f64 {
    StandardNormal.sample(&mut Substream::new(key, place))
}

/// Moves devices from their targets to where they land on their own, for standard normal draws, which it uses up.
fn land_all(variation: &Variation, devices: &mut [f64], level: impl Fn(f64) -> f64, draws: &mut [f64]) {
    if !matches!(variation.kind, VariationKind::Lognormal | VariationKind::PerLevel) {
        let landed = devices.iter_mut().zip(draws);
        return landed.for_each(|(device, normal)| *device = land(variation, *device, level(*device), *normal));
    }
    for (device, draw) in devices.iter().zip(&mut *draws) {
        *draw = exponent(variation, level(*device), *draw);
    }
    exp_all(draws);
    devices.iter_mut().zip(draws).for_each(|(device, factor)| *device *= *factor);
}

/// The logarithm of what a device of a level is multiplied by.
fn exponent(variation: &Variation, level: f64, normal: f64) -> f64 {
    let sigma = match variation.kind {
        VariationKind::PerLevel => of_level(&variation.levels, level),
        _ => variation.sigma,
    };
    variation.scale * sigma * normal
}

/// Where a device lands on its own, for a standard normal draw.
fn land(variation: &Variation, target: f64, level: f64, normal: f64) -> f64 {
    let scale = variation.scale;
    match variation.kind {
        VariationKind::None => target,
        VariationKind::Lognormal | VariationKind::PerLevel => target * libm::exp(exponent(variation, level, normal)),
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

/// Mean and standard deviation at a target, between the rows of a table sorted by target; those of its ends beyond
/// them, the mean as far off.
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
    fn devices_programmed_together_land_where_each_lands_by_itself() {
        let kinds = [
            (VariationKind::Lognormal, "lognormal"),
            (VariationKind::PerLevel, "per_level"),
            (VariationKind::Gaussian, "gaussian"),
            (VariationKind::Polynomial, "polynomial"),
            (VariationKind::Table, "table"),
        ];
        for (kind, name) in kinds {
            let variation = Variation {
                kind,
                sigma: 0.2,
                sigma_us: 0.5,
                scale: 1.5,
                levels: vec![0.3, 0.2, 0.1],
                coefficients: vec![1.0, 0.1],
                table: vec![[0.0, 1.0, 0.5], [50.0, 48.0, 2.0]],
                tile_sigma: 0.1,
                ..Variation::default()
            };
            let mut rram = Rram { variation, ..Rram::default() };
            let place =
                |i: usize| DevicePlace { row: i % 70, column: i / 70, layer: 2, slice: 1, polarity: Polarity::Minus };
            let tile = Tile { rows: 32, ..Tile::default() };
            let landed = |rram: &Rram| {
                let mut devices: Vec<f64> = (0..150).map(|i| f64::from(i % 16) * 3.0).collect();
                let law = LandingLaw::new(rram, Some(Draw::chip(4, 7)), tile, TileColumns { per_tile: 2, spares: 0 });
                assert_eq!(law.program(&mut devices, |target| target / 3.0, (place, |_| true), |_, _| {}), 150);
                devices
            };
            let together = landed(&rram);
            rram.program.tolerance_us = 1e-9;
            rram.program.most_pulses = 1;
            assert_eq!(together, landed(&rram), "{name}");
        }
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
