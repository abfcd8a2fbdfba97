//! Drift and retention of devices that were read at several times.
//!
//! A profile has `ln(G/G₀) = −ν·ln(t/t₀) + w`, ν normal between devices, w a walk of variance
//! `retention_sigma²·log₁₀(t/t₀)`, t₀ the first read. Of a device that was last read at T, `−ln(G_T/G₀)/ln(T/t₀)` is
//! the ν of greatest likelihood, whose variance is that between devices and `retention_sigma²·log₁₀(T/t₀)/ln²(T/t₀)` of
//! the walk; what single intervals leave beside it is the walk.

use super::measured::{Measured, Reading};
use crate::error::{Error, Result};

/// Drift and retention as they were fitted.
///
/// # Examples
/// ```
/// use crosspike::{Fit, Measured, Measurement};
///
/// // Ten devices that are 20 µS after a second and fall with the power 0.05 of time.
/// let read = |i: usize| {
///     let time_s = if i < 10 { 1.0 } else { 1000.0 };
///     Measurement { target_us: 21.0, read_us: 20.0 * f64::powf(time_s, -0.05), time_s, device: i % 10 }
/// };
/// let fit = Fit::of(&Measured::of("ten", (0..20).map(read).collect(), true)?)?;
/// assert!((fit.aged.unwrap().nu - 0.05).abs() < 1e-9);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Aged {
    /// Seconds at which the first of these devices was first read.
    pub reference_s: f64,
    /// Seconds at which they were last read.
    pub last_s: f64,
    /// Devices that were read more than once.
    pub devices: usize,
    /// Mean of ν.
    pub nu: f64,
    /// Standard deviation of ν between devices.
    pub nu_sigma: f64,
    /// Standard deviation of ln G that the walk adds in the first decade; none where no device was read three times, so
    /// that a walk cannot be told from differences between devices.
    pub retention_sigma: Option<f64>,
}

impl Aged {
    /// The conductance at `reference_s` of a device that was read at another time, by the mean drift.
    pub fn at_reference(&self, read_us: f64, time_s: f64) -> f64 {
        if time_s > 0.0 { read_us * (time_s / self.reference_s).powf(self.nu) } else { read_us }
    }
}

/// Fits drift to devices that were read at several times; none where no device was.
pub fn fit(measured: &Measured) -> Result<Option<Aged>> {
    let readings = measured.readings();
    let series =
        |of_device: &[Reading]| of_device.iter().map(|reading| (reading.time_s, reading.mean_us())).collect::<Vec<_>>();
    let devices = readings.chunk_by(|one, next| one.device == next.device);
    let devices: Vec<Vec<(f64, f64)>> = devices.map(series).filter(|reads| reads.len() > 1).collect();
    if devices.is_empty() {
        return Ok(None);
    }
    let first = devices.iter().map(|reads| reads[0].0).fold(f64::INFINITY, f64::min);
    if first == 0.0 {
        let message = "devices were read at 0 s and later, and drift counts from a read at a time above 0 s; expected \
                       seconds since programming";
        return Err(Error::Mismatch(message.into()));
    }
    if let Some(reads) = devices.iter().find(|reads| reads.iter().any(|(_, g)| *g <= 0.0)) {
        let at = reads.iter().find(|(_, g)| *g <= 0.0).map_or(0.0, |read| read.0);
        return Err(Error::Mismatch(format!(
            "a device has 0 µS at {at} s, and drift is of ln G; expected conductances above 0"
        )));
    }
    let followed = |reads: &Vec<(f64, f64)>| {
        let ((t0, g0), (t, g)) = (reads[0], reads[reads.len() - 1]);
        let span = (t / t0).ln();
        let nu = -(g / g0).ln() / span;
        let steps = reads.windows(2).map(|pair| {
            let ln = (pair[1].0 / pair[0].0).ln();
            ((pair[1].1 / pair[0].1).ln() + nu * ln).powi(2) / (ln / std::f64::consts::LN_10)
        });
        // One interval of each device is spent on its ν.
        (nu, span, steps.sum::<f64>(), reads.len() - 2)
    };
    let followed: Vec<(f64, f64, f64, usize)> = devices.iter().map(followed).collect();
    let count = followed.len() as f64;
    let freedom: usize = followed.iter().map(|device| device.3).sum();
    let walk = (freedom > 0).then(|| followed.iter().map(|device| device.2).sum::<f64>() / freedom as f64);
    let nu = followed.iter().map(|device| device.0).sum::<f64>() / count;
    let spread = followed.iter().map(|device| (device.0 - nu).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let of_walk = |span: f64| walk.unwrap_or(0.0) / (std::f64::consts::LN_10 * span);
    let walked = followed.iter().map(|device| of_walk(device.1)).sum::<f64>() / count;
    let last_s = devices.iter().map(|reads| reads[reads.len() - 1].0).fold(0.0, f64::max);
    Ok(Some(Aged {
        reference_s: first,
        last_s,
        devices: devices.len(),
        nu,
        nu_sigma: (spread - walked).max(0.0).sqrt(),
        retention_sigma: walk.map(f64::sqrt),
    }))
}
