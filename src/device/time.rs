//! What time does to programmed devices: drift, a power law of each device's own exponent, and loss of retention, a random walk
//! in ln G over decades of time.
//!
//! `G(t) = G·((t + t0)/t0)^(−ν)·exp(N(0, σ_r·√log10((t + t0)/t0)))`, ν = |μ_ν + σ_ν·N|. The power law is that of phase-change
//! cells (Le Gallo et al., IEEE TED 65, 4304, 2018); the spreading of levels with the square root of log time describes
//! retention of filamentary cells. Nominal devices drift with μ_ν and lose nothing.

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use super::devices::Place;
use super::{Draw, Purpose};
use crate::profile::Drift;
use crate::rng::Substream;

/// A device's conductance after the profile's time.
pub fn after(drift: &Drift, g: f64, place: Place, draw: Option<Draw>) -> f64 {
    let ages = (drift.time_s + drift.reference_s) / drift.reference_s;
    let Some(draw) = draw else { return g * libm::pow(ages, -drift.nu.abs()) };
    let mut stream = Substream::new(draw.key(Purpose::Time), place.words());
    let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
    let nu = (drift.nu + drift.nu_sigma * normal()).abs();
    let walk = drift.retention_sigma * libm::sqrt(libm::log10(ages)) * normal();
    g * libm::pow(ages, -nu) * libm::exp(walk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::devices::Polarity;

    fn device(column: usize) -> Place {
        Place { row: 3, column, layer: 1, slice: 0, polarity: Polarity::Plus }
    }

    #[test]
    fn drift_is_a_power_law_and_retention_a_walk_in_the_logarithm() {
        let drift = Drift { time_s: 999.0, reference_s: 1.0, nu: 0.05, ..Drift::default() };
        assert!((after(&drift, 20.0, device(0), None) - 20.0 * 1000f64.powf(-0.05)).abs() < 1e-12);
        let draw = Some(Draw::chip(1, 0));
        let moments = |drift: &Drift| {
            let logs: Vec<f64> = (0..20_000).map(|c| after(drift, 20.0, device(c), draw).ln() - 20f64.ln()).collect();
            let mean = logs.iter().sum::<f64>() / logs.len() as f64;
            (mean, (logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / logs.len() as f64).sqrt())
        };
        // ln 1000 = 6.908 times ν of 0.05 ± 0.01: five standard errors are allowed.
        let (mean, std) = moments(&Drift { nu_sigma: 0.01, ..drift.clone() });
        assert!((mean + 0.3454).abs() < 0.0025 && (std - 0.0691).abs() < 0.0018, "{mean} {std}");
        let (mean, std) = moments(&Drift { nu: 0.0, retention_sigma: 0.02, ..drift });
        assert!(mean.abs() < 0.0013 && (std - 0.02 * 3f64.sqrt()).abs() < 0.0009, "{mean} {std}");
    }
}
