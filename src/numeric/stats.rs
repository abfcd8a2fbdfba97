//! Statistics of a sample of chips.

use serde::Serialize;

/// Mean, spread and confidence of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with n − 1; none for one value.
    pub std: Option<f64>,
    /// Half width of the 95 % interval of the mean (Student t); none for one value.
    pub ci95: Option<f64>,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

/// Summarises at least one value.
pub fn summarise(values: &[f64]) -> Summary {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
    let ci95 = std.map(|s| student_t_975(values.len() - 1) * s / n.sqrt());
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Summary { mean, std, ci95, min, max }
}

/// The 97.5 % quantile of Student's t with `freedom` degrees of freedom.
///
/// To 30 degrees from the usual table (NIST/SEMATECH e-Handbook, 1.3.6.7.2); above, the Cornish–Fisher expansion
/// (Abramowitz & Stegun 26.7.5), good to 1e-6 there.
fn student_t_975(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    if let Some(t) = TABLE.get(freedom.wrapping_sub(1)) {
        return *t;
    }
    let z = 1.959_963_984_540_054_f64;
    let v = freedom as f64;
    let g1 = (z.powi(3) + z) / 4.0;
    let g2 = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    let g3 = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
    z + g1 / v + g2 / v.powi(2) + g3 / v.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_t_meets_the_published_table() {
        for (freedom, expected) in
            [(1, 12.706), (19, 2.093), (30, 2.042), (40, 2.021), (60, 2.000), (100, 1.984), (1000, 1.962)]
        {
            assert!((student_t_975(freedom) - expected).abs() < 6e-4, "{freedom}");
        }
    }

    #[test]
    fn a_sample_of_one_has_no_spread() {
        let one = summarise(&[3.0]);
        assert_eq!((one.mean, one.std, one.ci95), (3.0, None, None));
        let two = summarise(&[1.0, 3.0]);
        assert_eq!(two.std, Some(2f64.sqrt()));
        assert!((two.ci95.unwrap() - 12.706).abs() < 1e-9);
    }
}
