//! The distributions that a profile knows, fitted by greatest likelihood and compared.
//!
//! A device programmed to G lands at g. With s_i the standard deviation of the i-th target's devices and n_i their
//! number:
//!
//! | kind | density of g | σ |
//! |---|---|---|
//! | `lognormal` | ln g normal around ln G | one, `√mean(ln²(g/G))` |
//! | `per_level` | the same | one for each target; the lowest two share theirs, as in profiles |
//! | `gaussian`, `sigma` | normal around G | σ·G, `√mean((g/G − 1)²)` |
//! | `gaussian`, `sigma_us` | normal around G | one, `√mean((g − G)²)` |
//! | `polynomial` | normal around G | `Σ c_i·G^i`, c by scoring: the least squares of `σ + (s_i² − σ²)/2σ` with weights `2n_i/σ²`, until they stay |
//! | `table` | normal around a mean for each target | one for each target |
//!
//! Fits are compared by the Bayesian information criterion `k·ln n − 2·ln L` of k constants, less is better, and by the
//! distance of Kolmogorov and Smirnov between the shares of devices below and those that the fit expects. Its p takes
//! no account of the constants that were fitted to the same devices, so that it is too kind; a small one says that a
//! law does not hold.

use crate::numeric::stats::normal_below;
use crate::profile::VariationKind;

/// A distribution with its constants.
///
/// # Examples
/// ```
/// # use crosspike::{Measured, Measurement};
/// # let read = |i: usize| {
/// #     let target_us = if i % 4 < 2 { 10.0 } else { 40.0 };
/// #     Measurement { target_us, read_us: target_us * if i % 2 == 0 { 1.1 } else { 0.9 }, time_s: 0.0, device: i }
/// # };
/// # let measured = Measured::of("two levels", (0..40).map(read).collect(), false)?;
/// let law = &crosspike::Fit::of(&measured)?.laws[0].law;
/// // Devices 10 % above and below their targets are a standard deviation away.
/// assert!((law.deviation((40.0, 44.0)) - 1.0).abs() < 0.1);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Law {
    /// The kind that a profile names.
    pub kind: VariationKind,
    /// The key that holds the constants.
    pub key: &'static str,
    /// The constants: σ, or those of each level, or coefficients; of a table the standard deviations.
    pub values: Vec<f64>,
    /// The targets of levels and tables, in microsiemens.
    pub targets: Vec<f64>,
    /// Means of a table, in microsiemens.
    pub means: Vec<f64>,
}

/// A law, and how well it fits.
///
/// # Examples
/// ```
/// # use crosspike::{Measured, Measurement};
/// # let read = |i: usize| {
/// #     let target_us = if i % 4 < 2 { 10.0 } else { 40.0 };
/// #     Measurement { target_us, read_us: target_us * if i % 2 == 0 { 1.1 } else { 0.9 }, time_s: 0.0, device: i }
/// # };
/// # let measured = Measured::of("two levels", (0..40).map(read).collect(), false)?;
/// let laws = crosspike::Fit::of(&measured)?.laws;
/// assert!(laws[0].bic <= laws[1].bic && laws[0].distance < 1.0);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The law.
    pub law: Law,
    /// ln of the likelihood of all devices, in 1/µS each.
    pub log_likelihood: f64,
    /// The Bayesian information criterion: less is better.
    pub bic: f64,
    /// The distance of Kolmogorov and Smirnov, 0 to 1.
    pub distance: f64,
    /// How often devices that the law holds for would be as far from it or farther.
    pub p: f64,
}

/// A device: its target and where it landed, in microsiemens.
pub type Device = (f64, f64);

impl Law {
    fn of(kind: VariationKind, key: &'static str, values: Vec<f64>) -> Self {
        Law { kind, key, values, targets: vec![], means: vec![] }
    }

    /// Constants that were fitted.
    pub fn constants(&self) -> usize {
        self.values.len() + self.means.len()
    }

    fn place(&self, target: f64) -> usize {
        self.targets.partition_point(|other| *other < target).min(self.targets.len().saturating_sub(1))
    }

    /// Mean and standard deviation at a target, in microsiemens, or of ln g where the law is of that.
    pub fn moments(&self, target: f64) -> [f64; 2] {
        use VariationKind::{Gaussian, Lognormal, None, PerLevel, Polynomial, Table};
        match self.kind {
            None | Lognormal => [target.ln(), self.values[0]],
            PerLevel => [target.ln(), self.values[self.place(target).saturating_sub(1)]],
            Gaussian if self.key == "sigma" => [target, self.values[0] * target],
            Gaussian => [target, self.values[0]],
            Polynomial => [target, polynomial(&self.values, target)],
            Table => [self.means[self.place(target)], self.values[self.place(target)]],
        }
    }

    /// Whether ln g is normal, not g.
    pub fn is_of_logarithms(&self) -> bool {
        matches!(self.kind, VariationKind::Lognormal | VariationKind::PerLevel)
    }

    /// How many standard deviations a device is above the mean.
    pub fn deviation(&self, (target, landed): Device) -> f64 {
        let [mean, sigma] = self.moments(target);
        let at = if self.is_of_logarithms() { landed.ln() } else { landed };
        (at - mean) / sigma
    }

    fn log_density(&self, device: Device) -> f64 {
        let [_, sigma] = self.moments(device.0);
        let z = self.deviation(device);
        let slope = if self.is_of_logarithms() { device.1.ln() } else { 0.0 };
        -0.5 * z * z - sigma.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln() - slope
    }
}

fn polynomial(coefficients: &[f64], g: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * g + c)
}

/// Devices of one target.
struct Group {
    target: f64,
    count: f64,
    /// Mean of where they landed.
    mean: f64,
    /// Root mean square of their distance from the target.
    from_target: f64,
    /// Standard deviation about their own mean.
    from_mean: f64,
}

fn groups(devices: &[Device], targets: &[f64]) -> Vec<Group> {
    let of = |target: &f64| {
        let landed: Vec<f64> = devices.iter().filter(|device| device.0 == *target).map(|device| device.1).collect();
        let count = landed.len() as f64;
        let mean = landed.iter().sum::<f64>() / count;
        let rms = |about: f64| (landed.iter().map(|g| (g - about).powi(2)).sum::<f64>() / count).sqrt();
        Group { target: *target, count, mean, from_target: rms(*target), from_mean: rms(mean) }
    };
    targets.iter().map(of).collect()
}

/// All laws that can hold for some devices, the best first.
pub fn fit(devices: &[Device], targets: &[f64]) -> Vec<Fitted> {
    let mut laws = vec![];
    let rms = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x * x, count + 1.0));
        (sum / count).sqrt()
    };
    if devices.iter().all(|(target, landed)| *target > 0.0 && *landed > 0.0) {
        let ln = |(target, landed): &Device| (landed / target).ln();
        laws.push(Law::of(VariationKind::Lognormal, "sigma", vec![rms(&mut devices.iter().map(ln))]));
        if targets.len() > 2 {
            // The lowest two levels have one σ.
            let of = |level: usize| {
                let own = |device: &&Device| device.0 == targets[level] || (level == 1 && device.0 == targets[0]);
                rms(&mut devices.iter().filter(own).map(ln))
            };
            let sigmas = (1..targets.len()).map(of).collect();
            laws.push(Law { targets: targets.to_vec(), ..Law::of(VariationKind::PerLevel, "levels", sigmas) });
        }
    }
    if targets.iter().all(|target| *target > 0.0) {
        let relative = rms(&mut devices.iter().map(|(target, landed)| landed / target - 1.0));
        laws.push(Law::of(VariationKind::Gaussian, "sigma", vec![relative]));
    }
    let absolute = rms(&mut devices.iter().map(|(target, landed)| landed - target));
    laws.push(Law::of(VariationKind::Gaussian, "sigma_us", vec![absolute]));
    let groups = groups(devices, targets);
    for degree in 1..=3.min(targets.len() - 1) {
        laws.extend(scored(&groups, degree).map(|c| Law::of(VariationKind::Polynomial, "coefficients", c)));
    }
    if targets.len() > 1 && groups.iter().all(|group| group.count > 2.0 && group.from_mean > 0.0) {
        let (means, values) = groups.iter().map(|group| (group.mean, group.from_mean)).unzip();
        laws.push(Law { targets: targets.to_vec(), means, ..Law::of(VariationKind::Table, "table", values) });
    }
    let holds = |law: &Law| targets.iter().all(|target| law.moments(*target)[1] > 0.0);
    let mut fitted: Vec<Fitted> = laws.into_iter().filter(holds).map(|law| judged(law, devices)).collect();
    fitted.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    fitted
}

/// The coefficients of the standard deviation with the greatest likelihood; none where they find no place to stay.
fn scored(groups: &[Group], degree: usize) -> Option<Vec<f64>> {
    let mut sigmas: Vec<f64> =
        groups.iter().map(|group| group.from_target.max(1e-9 * group.target.max(1e-9))).collect();
    let mut coefficients = vec![];
    for _ in 0..200 {
        let rows: Vec<[f64; 3]> = groups
            .iter()
            .zip(&sigmas)
            .map(|(group, sigma)| {
                let response = sigma + (group.from_target.powi(2) - sigma * sigma) / (2.0 * sigma);
                [group.target, response, 2.0 * group.count / (sigma * sigma)]
            })
            .collect();
        let next = least_squares(&rows, degree)?;
        sigmas = groups.iter().map(|group| polynomial(&next, group.target)).collect();
        if sigmas.iter().any(|sigma| sigma.is_nan() || *sigma <= 0.0) {
            return None;
        }
        let moved =
            next.iter().zip(&coefficients).any(|(a, b): (&f64, &f64)| (a - b).abs() > 1e-10 * a.abs().max(1e-12));
        let stays = !coefficients.is_empty() && !moved;
        coefficients = next;
        if stays {
            return Some(coefficients);
        }
    }
    None
}

/// The polynomial through rows of place, value and weight, by normal equations of places that are scaled to 1.
fn least_squares(rows: &[[f64; 3]], degree: usize) -> Option<Vec<f64>> {
    let (count, scale) = (degree + 1, rows.iter().map(|row| row[0]).fold(0.0, f64::max));
    let mut equations = vec![vec![0.0; count + 1]; count];
    for [place, value, weight] in rows {
        let powers: Vec<f64> = (0..count).map(|i| (place / scale).powi(i as i32)).collect();
        for (i, equation) in equations.iter_mut().enumerate() {
            (0..count).for_each(|j| equation[j] += weight * powers[i] * powers[j]);
            equation[count] += weight * powers[i] * value;
        }
    }
    for pivot in 0..count {
        let best = (pivot..count).max_by(|a, b| equations[*a][pivot].abs().total_cmp(&equations[*b][pivot].abs()))?;
        equations.swap(pivot, best);
        let row = equations[pivot].clone();
        if row[pivot].abs() < 1e-12 * row[count].abs().max(1e-300) {
            return None;
        }
        for (_, equation) in equations.iter_mut().enumerate().filter(|(i, _)| *i != pivot) {
            let factor = equation[pivot] / row[pivot];
            equation.iter_mut().zip(&row).for_each(|(x, own)| *x -= factor * own);
        }
    }
    Some((0..count).map(|i| equations[i][count] / equations[i][i] / scale.powi(i as i32)).collect())
}

/// A law with its likelihood and its distance from the devices.
fn judged(law: Law, devices: &[Device]) -> Fitted {
    let count = devices.len() as f64;
    let log_likelihood = devices.iter().map(|device| law.log_density(*device)).sum::<f64>();
    let mut shares: Vec<f64> = devices.iter().map(|device| normal_below(law.deviation(*device))).collect();
    shares.sort_by(f64::total_cmp);
    let off = |(i, share): (usize, &f64)| (share - i as f64 / count).max((i + 1) as f64 / count - share);
    let distance = shares.iter().enumerate().map(off).fold(0.0, f64::max);
    let bic = law.constants() as f64 * count.ln() - 2.0 * log_likelihood;
    Fitted { law, log_likelihood, bic, distance, p: kolmogorov(distance, count) }
}

/// How often so many draws are as far from their own distribution (M. A. Stephens, J. R. Stat. Soc. B 32, 115, 1970).
fn kolmogorov(distance: f64, count: f64) -> f64 {
    let x = (count.sqrt() + 0.12 + 0.11 / count.sqrt()) * distance;
    let term = |j: i32| (if j % 2 == 1 { 2.0 } else { -2.0 }) * (-2.0 * f64::from(j * j) * x * x).exp();
    if x < 0.2 { 1.0 } else { (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_has_its_published_quantiles() {
        // D·(√n + 0.12 + 0.11/√n) of 1.358 at 5 % and 1.628 at 1 % (Stephens 1970, table 1).
        let at = |x: f64| kolmogorov(x / (10.0 + 0.12 + 0.011), 100.0);
        assert!((at(1.358) - 0.05).abs() < 5e-4 && (at(1.628) - 0.01).abs() < 2e-4, "{} {}", at(1.358), at(1.628));
    }

    #[test]
    fn polynomials_through_their_own_points_are_found() {
        let expected = [0.5, 0.2, -0.003];
        let rows: Vec<[f64; 3]> =
            (1..8).map(|i| 5.0 * f64::from(i)).map(|g| [g, polynomial(&expected, g), 1.0 + g]).collect();
        let found = least_squares(&rows, 2).unwrap();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }
}
