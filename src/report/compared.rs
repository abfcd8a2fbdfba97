//! Points compared in pairs: on the same chips, chip by chip, so that what a chip has in common at two points cancels.

use super::plot::on_most_images;
use super::summary::{StudySummary, SummaryPoint};
use crate::numeric::stats::mean_within;

/// The table of the comparison, a row a point.
pub const COMPARED_CSV: &str = "compared.csv";

/// The points that a study's best is compared with.
pub(super) struct ComparedPoints<'a> {
    pub best: &'a SummaryPoint,
    /// The others on the same images, each with the difference.
    pub others: Vec<(&'a SummaryPoint, Difference)>,
}

/// The accuracy by which a point is below another, in percent, on average over the chips that both ran on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    pub mean: f64,
    /// Half the interval that holds the true mean with 95 % confidence, for all comparisons of a study together.
    pub half: f64,
    pub chips: usize,
}

impl Difference {
    /// The difference of two points among so many comparisons (Bonferroni); none where they have fewer than two chips
    /// in common.
    pub fn of(best: &SummaryPoint, other: &SummaryPoint, comparisons: usize) -> Option<Self> {
        let of = |chip: &u64| best.numbers.iter().position(|number| number == chip).map(|place| best.each[place]);
        let pairs = other.numbers.iter().zip(&other.each).filter_map(|(chip, own)| Some(of(chip)? - own));
        let differences: Vec<f64> = pairs.collect();
        if differences.len() < 2 {
            return None;
        }
        let (mean, half) = mean_within(&differences, 1.0 - 0.025 / comparisons.max(1) as f64);
        Some(Difference { mean, half, chips: differences.len() })
    }

    /// Whether the other is surely less accurate.
    pub fn is_sure(&self) -> bool {
        self.mean > self.half
    }
}

impl<'a> ComparedPoints<'a> {
    /// The best of a study's points that ran on several chips, and on as many images as most, and the others of these;
    /// none where nothing can be compared.
    pub fn of(summary: &'a StudySummary) -> Option<Self> {
        let points: Vec<&SummaryPoint> =
            on_most_images(summary).into_iter().filter(|point| point.each.len() > 1).collect();
        let best = points.iter().copied().reduce(|best, other| if other.mean > best.mean { other } else { best })?;
        let others: Vec<&SummaryPoint> = points.into_iter().filter(|point| !std::ptr::eq(*point, best)).collect();
        // The best is chosen by what is compared: any two points might have been.
        let comparisons = others.len() * (others.len() + 1) / 2;
        let compare = |other: &&'a SummaryPoint| Some((*other, Difference::of(best, other, comparisons)?));
        let others: Vec<_> = others.iter().filter_map(compare).collect();
        (!others.is_empty()).then_some(ComparedPoints { best, others })
    }

    /// The points that are not surely less accurate than the best.
    pub fn unbeaten(&self) -> usize {
        self.others.iter().filter(|(_, difference)| !difference.is_sure()).count()
    }

    /// The table as a file.
    pub fn csv(&self, summary: &StudySummary) -> String {
        let mut writer = csv::Writer::from_writer(vec![]);
        let columns = ["chips_in_common", "points_below_best", "points_below_best_interval", "is_surely_below"];
        let header = summary.settings.iter().map(String::as_str).chain(columns);
        let mut write = |cells: Vec<String>| writer.write_record(cells).expect("a list in memory takes every row");
        write(header.map(String::from).collect());
        let none = Difference { mean: 0.0, half: 0.0, chips: self.best.each.len() };
        let all = [(self.best, none)].into_iter().chain(self.others.iter().copied());
        for (point, Difference { mean, half, chips }) in all {
            let short = |value: f64| format!("{}", (value * 1e6).round() / 1e6);
            let sure = if mean > half { "true" } else { "false" };
            let cells = [chips.to_string(), short(mean), short(half), sure.into()];
            write(point.cells.iter().cloned().chain(cells).collect());
        }
        String::from_utf8(writer.into_inner().expect("it is in memory")).expect("cells are text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(each: &[f64]) -> SummaryPoint {
        SummaryPoint {
            cells: vec![],
            further: vec![],
            chips: each.len() as u64,
            mean: each.iter().sum::<f64>() / each.len() as f64,
            std: None,
            ci95: None,
            min: 0.0,
            max: 100.0,
            spikes: None,
            each: each.to_vec(),
            numbers: (0..each.len() as u64).collect(),
        }
    }

    #[test]
    fn what_chips_have_in_common_cancels() {
        // Chips differ by tens of points, settings by one on every chip.
        let (best, other) = (point(&[60.0, 70.0, 80.0, 90.0]), point(&[59.1, 68.9, 79.0, 89.0]));
        let difference = Difference::of(&best, &other, 1).unwrap();
        assert!((difference.mean - 1.0).abs() < 1e-9 && difference.is_sure(), "{difference:?}");
        // scipy.stats.t.ppf(0.975, 3) · std([0.9, 1.1, 1, 1], ddof=1) / 2
        assert!((difference.half - 0.129922826).abs() < 1e-6, "{difference:?}");
        assert!(
            Difference::of(&best, &other, 20).unwrap().half > difference.half,
            "of more comparisons each is less sure"
        );
        assert_eq!(Difference::of(&best, &point(&[1.0]), 1), None);
    }

    #[test]
    fn chips_are_paired_by_their_numbers() {
        let best = point(&[60.0, 70.0, 80.0]);
        let later = SummaryPoint { numbers: vec![1, 2, 3], ..point(&[69.0, 78.0, 10.0]) };
        let difference = Difference::of(&best, &later, 1).unwrap();
        assert_eq!((difference.mean, difference.chips), (1.5, 2));
    }
}
