//! What time and temperature do to programmed devices: drift, a power law of each device's own exponent; loss of
//! retention, a random walk in ln G over decades of time; and the conductance's own dependence on temperature.
//!
//! `G(t) = G·((a·t + t0)/t0)^(−ν)·exp(N(0, σ_r·√log10((a·t + t0)/t0)))·(1 + α(G)·(T − T_ref))`, with
//! - ν = |μ_ν(G) + σ_ν·N|, `μ_ν(G) = clip(nu + nu_per_ln·ln(G/G_max))`. The power law is that of phase-change cells (Le
//!   Gallo et al., IEEE TED 65, 4304, 2018); the spreading of levels with the square root of log time describes
//!   retention of filamentary cells.
//! - `a = exp(E_a/k·(1/T_ref − 1/T))`, by which time passes faster (Arrhenius).
//! - α(G) from `low_per_kelvin` at G_min to `high_per_kelvin` at G_max, straight between.
//!
//! Nominal devices drift with μ_ν and lose nothing.

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use super::devices::DevicePlace;
use super::{Draw, Purpose};
use crate::profile::Rram;
use crate::rng::Substream;

/// The law of a profile's devices between the ends of their range.
#[derive(Clone, Copy, Debug)]
pub struct Ageing<'a> {
    rram: &'a Rram,
    least: f64,
    most: f64,
    /// How many times later it is than when cells were read back.
    ages: f64,
}

impl<'a> Ageing<'a> {
    /// The law of devices from a least conductance to a greatest, in microsiemens.
    pub fn new(rram: &'a Rram, least: f64, most: f64) -> Self {
        let ages =
            (rram.drift.time_s * rram.temperature.acceleration() + rram.drift.reference_s) / rram.drift.reference_s;
        Ageing { rram, least, most, ages }
    }

    /// A device's conductance after the profile's time, at its temperature.
    pub fn after(&self, g: f64, place: DevicePlace, draw: Option<Draw>) -> f64 {
        let aged = if self.rram.drift.any() { self.drifted(g, place, draw) } else { g };
        let temperature = &self.rram.temperature;
        if !temperature.any() {
            return aged;
        }
        let share = ((g - self.least) / (self.most - self.least)).clamp(0.0, 1.0);
        let per_kelvin =
            temperature.low_per_kelvin + share * (temperature.high_per_kelvin - temperature.low_per_kelvin);
        (aged * (1.0 + per_kelvin * (temperature.celsius - temperature.reference_celsius))).max(0.0)
    }

    fn drifted(&self, g: f64, place: DevicePlace, draw: Option<Draw>) -> f64 {
        let drift = &self.rram.drift;
        let nu = self.mean_nu(g);
        let Some(draw) = draw else { return g * libm::pow(self.ages, -nu.abs()) };
        let mut stream = Substream::new(draw.key(Purpose::Time), place.words());
        let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
        let nu = (nu + drift.nu_sigma * normal()).abs();
        let walk = drift.retention_sigma * libm::sqrt(libm::log10(self.ages)) * normal();
        g * libm::pow(self.ages, -nu) * libm::exp(walk)
    }

    /// The mean exponent of a conductance; one of 0 µS, which stays 0, has that of the highest.
    fn mean_nu(&self, g: f64) -> f64 {
        let drift = &self.rram.drift;
        let nu = if drift.nu_per_ln == 0.0 || g <= 0.0 {
            drift.nu
        } else {
            drift.nu + drift.nu_per_ln * libm::log(g / self.most)
        };
        drift.nu_range.map_or(nu, |[least, most]| nu.clamp(least, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::devices::Polarity;

    fn device(column: usize) -> DevicePlace {
        DevicePlace { row: 3, column, layer: 1, slice: 0, polarity: Polarity::Plus }
    }

    use crate::profile::{Drift, Temperature};

    fn after(drift: &Drift, g: f64, place: DevicePlace, draw: Option<Draw>) -> f64 {
        Ageing::new(&Rram { drift: drift.clone(), ..Rram::default() }, 0.0, 40.0).after(g, place, draw)
    }

    #[test]
    fn low_conductances_of_phase_change_cells_drift_more() {
        // μ_ν = min(max(−0.0155·ln g + 0.0244, 0.049), 0.1), g from 0 to 1 (aihwkit, Inference and PCM statistical
        // model; Joshi 2020).
        let drift =
            Drift { time_s: 999.0, nu: 0.0244, nu_per_ln: -0.0155, nu_range: Some([0.049, 0.1]), ..Drift::default() };
        for (g, expected) in [(1.0, 0.049), (0.1, 0.0244 + 0.0155 * 10f64.ln()), (0.001, 0.1)] {
            let found = after(&drift, 40.0 * g, device(0), None) / (40.0 * g);
            assert!((found.ln() / 1000f64.ln() + expected).abs() < 1e-12, "{g}: {found}");
        }
        assert_eq!(after(&drift, 0.0, device(0), None), 0.0);
    }

    #[test]
    fn temperature_changes_conductances_and_how_fast_they_age() {
        let temperature =
            Temperature { celsius: 85.0, low_per_kelvin: 0.002, high_per_kelvin: -0.001, ..Temperature::default() };
        let rram = Rram { temperature: temperature.clone(), ..Rram::default() };
        for (g, expected) in [(10.0, 10.0 * 1.12), (50.0, 50.0 * 0.94), (30.0, 30.0 * 1.03)] {
            let found = Ageing::new(&rram, 10.0, 50.0).after(g, device(0), None);
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
        // 1.1 eV from 25 to 85 °C: exp(1.1/8.617e-5·(1/298.15 − 1/358.15)), 1303 times faster.
        let hot = Temperature { activation_ev: 1.1, ..temperature.clone() };
        assert!((hot.acceleration() / 1303.1138 - 1.0).abs() < 1e-6, "{}", hot.acceleration());
        let drift = Drift { time_s: 10.0, nu: 0.05, ..Drift::default() };
        let (low_per_kelvin, high_per_kelvin) = (0.0, 0.0);
        let rram = Rram {
            drift: drift.clone(),
            temperature: Temperature { low_per_kelvin, high_per_kelvin, ..hot.clone() },
            ..Rram::default()
        };
        let later = Drift { time_s: 10.0 * hot.acceleration(), ..drift };
        assert_eq!(Ageing::new(&rram, 0.0, 40.0).after(20.0, device(0), None), after(&later, 20.0, device(0), None));
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
