//! Statistics of a sample of chips.

use serde::Serialize;

/// Mean, spread and confidence of a sample, each to a millionth, as tables have them: so text, page and table round one
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation with n − 1; none for one value.
    pub std: Option<f64>,
    /// Half width of the 95 % interval of the mean (Student t); none for one value.
    pub ci95: Option<f64>,
    /// The 5 % quantile, between the two values nearest to it: of chips, the accuracy that 95 % of them reach.
    pub q05: f64,
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
    let short = |value: f64| (value * 1e6).round() / 1e6;
    let (q05, ends) = (quantile(values, 0.05), [min, max].map(short));
    let spread = [std, ci95].map(|spread| spread.map(short));
    Summary { mean: short(mean), std: spread[0], ci95: spread[1], q05: short(q05), min: ends[0], max: ends[1] }
}

/// The quantile of at least one value, on the straight line between the two values nearest to it (Hyndman & Fan, The
/// American Statistician 50, 361, 1996, definition 7).
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// The chance that a standard normal variable is below a value.
pub fn normal_below(value: f64) -> f64 {
    0.5 * libm::erfc(-value * std::f64::consts::FRAC_1_SQRT_2)
}

/// The mean of a sample, and half the width of its interval: the true mean lies below the upper end, and likewise above
/// the lower one, with a confidence above one half and below 1 (Student t). Of one value nothing is known but itself.
pub fn mean_within(values: &[f64], confidence: f64) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let half = match values.len() {
        0 | 1 => f64::INFINITY,
        count => half_within(squares / (n - 1.0), count, confidence),
    };
    (mean, half)
}

/// A variance that is known before a sample is seen, as if from so many degrees of freedom of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// The variance.
    pub variance: f64,
    /// Its weight beside a sample's own degrees of freedom.
    pub freedom: usize,
}

impl Prior {
    /// The variance of a sample, its own and the prior one weighed by their degrees of freedom.
    pub fn variance(self, values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        (squares + self.variance * self.freedom as f64) / self.freedom_with(values) as f64
    }

    /// The mean of a sample, and half the width of its interval, as of [`mean_within`], with that variance: a moderated
    /// t (Smyth, Statistical Applications in Genetics and Molecular Biology 3, 3, 2004).
    pub fn mean_within(self, values: &[f64], confidence: f64) -> (f64, f64) {
        let n = values.len() as f64;
        let t = student_t(2.0 * confidence - 1.0, self.freedom_with(values));
        (values.iter().sum::<f64>() / n, t * (self.variance(values) / n).sqrt())
    }

    fn freedom_with(self, values: &[f64]) -> usize {
        self.freedom + values.len().saturating_sub(1)
    }
}

/// The mean of some chips' points of accuracy on so many images, and half of its interval: chips that happen to
/// classify as many images alike are not known better than an image's share.
pub fn mean_of_images(points: &[f64], images: u64, confidence: f64) -> (f64, f64) {
    let (mean, half) = mean_within(points, confidence);
    (mean, half.max(share_of_images(images, points.len())))
}

/// The share of one of so many images, in percent, on the mean of so many chips.
pub fn share_of_images(images: u64, chips: usize) -> f64 {
    100.0 / images.max(1) as f64 / (chips as f64).sqrt()
}

/// Half the width of the interval of the mean of so many values, at least two, of a variance.
pub fn half_within(variance: f64, count: usize, confidence: f64) -> f64 {
    student_t(2.0 * confidence - 1.0, count - 1) * (variance / count as f64).sqrt()
}

/// The value that |T| is at most with a probability, of Student's t with `freedom` degrees of freedom, by bisection.
fn student_t(probability: f64, freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 13.0);
    while within(high, freedom) < probability {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if within(middle, freedom) < probability { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Its 97.5 % quantile.
fn student_t_975(freedom: usize) -> f64 {
    student_t(0.95, freedom)
}

/// The probability that |T| is below `t` (Abramowitz & Stegun 26.7.3 and 26.7.4). For whole degrees of freedom it is a
/// finite sum, which takes fewer lines than a crate of distributions would bring in. Its functions are those of `libm`,
/// since searches decide by it: the same on any machine.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = libm::atan(t / (freedom as f64).sqrt());
    let (sin, cos) = libm::sincos(angle);
    // The sum of cos^k with factors 2/3, 4/5, ... (odd) or 1/2, 3/4, ... (even), k up to freedom − 2.
    let odd = freedom % 2 == 1;
    let (mut term, mut sum, mut power) = (if odd { cos } else { 1.0 }, 0.0, freedom % 2);
    while power + 2 <= freedom && term > 1e-18 {
        sum += term;
        term *= cos * cos * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    if odd { (angle + sin * sum) * std::f64::consts::FRAC_2_PI } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_t_meets_the_published_table() {
        // scipy.stats.t.ppf(0.975, n).
        for (freedom, expected) in [
            (1, 12.706204736432095),
            (2, 4.302652729911275),
            (9, 2.2621571628540993),
            (19, 2.093024054408263),
            (30, 2.0422724563012373),
            (999, 1.9623414611334487),
        ] {
            assert!((student_t_975(freedom) - expected).abs() < 1e-9, "{freedom}: {}", student_t_975(freedom));
        }
    }

    #[test]
    fn an_interval_to_one_side_is_that_of_its_confidence() {
        let values = [1.0, 2.0, 4.0, 5.0, 8.0];
        let (mean, half) = mean_within(&values, 0.975);
        let both = summarise(&values);
        assert!((mean - both.mean).abs() < 1e-6 && (half - both.ci95.unwrap()).abs() < 1e-6);
        // scipy.stats.t.ppf([0.95, 0.999], 4) times the standard error, 1.2247448713915892.
        assert!((mean_within(&values, 0.95).1 - 2.131846786326649 * 1.2247448713915892).abs() < 1e-9);
        assert!((mean_within(&values, 0.999).1 - 7.173182219782308 * 1.2247448713915892).abs() < 1e-8);
        assert_eq!(mean_within(&[3.0], 0.95), (3.0, f64::INFINITY));
    }

    #[test]
    fn a_prior_variance_counts_by_its_degrees_of_freedom() {
        let prior = Prior { variance: 2.0, freedom: 4 };
        // One value has no variance of its own; scipy.stats.t.ppf(0.95, 4).
        let (mean, half) = prior.mean_within(&[3.0], 0.95);
        assert!(mean == 3.0 && (half - 2.131846786326649 * 2f64.sqrt()).abs() < 1e-9);
        // Five values with squares of 30 around their mean; scipy.stats.t.ppf(0.95, 8).
        let values = [1.0, 2.0, 4.0, 5.0, 8.0];
        assert_eq!(prior.variance(&values), 38.0 / 8.0);
        assert!((prior.mean_within(&values, 0.95).1 - 1.8595480375228424 * (4.75f64 / 5.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn the_quantile_is_that_of_the_published_definition() {
        // numpy.quantile(values, 0.05), its default method.
        assert_eq!(summarise(&[80.0, 84.0, 90.0, 83.0, 88.0]).q05, 80.6);
        let many: Vec<f64> = (0..50).rev().map(f64::from).collect();
        assert_eq!(summarise(&many).q05, 2.45);
        assert_eq!(summarise(&[3.0]).q05, 3.0);
    }

    #[test]
    fn a_sample_of_one_has_no_spread() {
        let one = summarise(&[3.0]);
        assert_eq!((one.mean, one.std, one.ci95), (3.0, None, None));
        let two = summarise(&[1.0, 4.0]);
        assert_eq!(two.std, Some(2.12132), "to a millionth");
        assert_eq!(two.ci95, Some(19.059307));
    }
}
