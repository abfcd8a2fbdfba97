//! Programming variation of the statistical `weight` model: it acts on the signed weight.
//!
//! `lognormal`: `w = q·exp(N(0, σ))`; `per_level`: the same, σ by the level of |q| (1 the lowest); `gaussian`: `w =
//! q·(1 + N(0, σ))`;
//! |w| is clipped at the layer's largest |q|.
//! Each cell draws from its own Philox substream, named by its row, column and layer: a chip stays the same chip when
//! tile size, batch, thread count or scale changes.
//!
//! The normal variate is `rand_distr`'s ziggurat in f64 and the exponential `libm`'s. 98.8 % of the ziggurat's draws
//! use its table alone. At its edges it compares a uniform number with the platform's `exp`, where a difference in the
//! last bit decides otherwise once in some 2^50 draws; its tail takes the platform's `ln`, where such a difference is
//! 2^-52 of a weight that programming then rounds to the layer's grid.

use rayon::prelude::*;

use super::conductance::of_level;
use super::normal::{BATCH, normals};
use super::quantise::unit;
use crate::monitor::stop_if_asked;
use crate::numeric::exponential::exp_all;
use crate::numeric::largest;
use crate::profile::{Rram, VariationKind};

/// Moves the programmed weights `[columns, rows]` of layer number `layer` away from their targets, in place.
pub fn vary(weights: &mut [f32], rows: usize, layer: u32, rram: &Rram, key: [u32; 2]) {
    let variation = &rram.variation;
    if !variation.varies() {
        return;
    }
    let sigma = variation.sigma * variation.scale;
    let top = largest(weights);
    let unit = unit(rram.effective_scheme(), rram.weight_bits, weights);
    weights.par_chunks_mut(rows).enumerate().for_each(|(column, cells)| {
        stop_if_asked();
        let mut factors = [0.0; BATCH];
        for (part, cells) in cells.chunks_mut(BATCH).enumerate() {
            let factors = &mut factors[..cells.len()];
            normals(key, |i| [(part * BATCH + i) as u32, column as u32, layer], factors);
            match variation.kind {
                VariationKind::Gaussian => factors.iter_mut().for_each(|factor| *factor = 1.0 + sigma * *factor),
                VariationKind::PerLevel => {
                    for (factor, w) in factors.iter_mut().zip(&*cells) {
                        *factor *= of_level(&variation.levels, f64::from(w.abs()) / unit) * variation.scale;
                    }
                    exp_all(factors);
                }
                _ => {
                    factors.iter_mut().for_each(|factor| *factor *= sigma);
                    exp_all(factors);
                }
            }
            // A target of 0 stays 0, also where the factor overflows.
            for (w, factor) in cells.iter_mut().zip(factors).filter(|(w, _)| **w != 0.0) {
                *w = ((f64::from(*w) * *factor) as f32).clamp(-top, top);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Variation;
    use crate::rng::{Stream, stream_key};

    fn rram(kind: VariationKind, sigma: f64, scale: f64) -> Rram {
        Rram { variation: Variation { kind, sigma, scale, ..Variation::default() }, ..Rram::default() }
    }

    fn varied(kind: VariationKind, sigma: f64, scale: f64, seed: u64) -> Vec<f32> {
        let mut weights = vec![0.25f32; 100 * 200];
        weights[0] = 100.0; // keeps the clip away from the others
        vary(&mut weights, 200, 3, &rram(kind, sigma, scale), stream_key(seed, Stream::Chip, 0));
        weights.remove(0);
        weights
    }

    fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
        let values: Vec<f64> = values.collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
    }

    #[test]
    fn the_distributions_have_the_stated_moments() {
        // 20,000 draws: standard errors 0.0015 of the mean and 0.0011 of the deviation; five of them are allowed.
        let log = varied(VariationKind::Lognormal, 0.1, 2.0, 1);
        let (mean, std) = moments(log.iter().map(|w| f64::from(*w / 0.25).ln()));
        assert!(mean.abs() < 0.0075 && (std - 0.2).abs() < 0.0055, "{mean} {std}");
        let normal = varied(VariationKind::Gaussian, 0.2, 1.0, 1);
        let (mean, std) = moments(normal.iter().map(|w| f64::from(*w / 0.25)));
        assert!((mean - 1.0).abs() < 0.0075 && (std - 0.2).abs() < 0.0055, "{mean} {std}");
    }

    #[test]
    fn seed_and_scale_change_the_chip_and_nothing_else_does() {
        let a = varied(VariationKind::Lognormal, 0.3, 1.0, 1);
        assert_eq!(a, varied(VariationKind::Lognormal, 0.3, 1.0, 1));
        assert_ne!(a, varied(VariationKind::Lognormal, 0.3, 1.0, 2));
        assert_ne!(a, varied(VariationKind::Lognormal, 0.3, 0.5, 1));
        assert!(varied(VariationKind::Lognormal, 0.3, 0.0, 1).iter().all(|w| *w == 0.25));
    }

    #[test]
    fn magnitudes_are_clipped_at_the_largest_target() {
        let mut weights: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 0.5 } else { -1.0 }).collect();
        vary(&mut weights, 10, 0, &rram(VariationKind::Lognormal, 1.0, 1.0), [1, 2]);
        assert_eq!(largest(&weights), 1.0);
        assert!(weights.iter().filter(|w| **w == -1.0).count() > 100, "half of the largest land above the clip");
    }
}
