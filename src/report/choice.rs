//! The setting to take: the cheapest of those that are as good as the most accurate.

use super::compared::{ComparedPoints, Difference};
use super::cost::{AS_GOOD, COSTS, CostColumn, SAME};
use super::plot::{label, on_most_images, varying};
use super::summary::{StudySummary, SummaryPoint};

/// The settings of a study that a designer can choose between, and the one to take.
pub(super) struct Choice<'a> {
    taken: (&'a SummaryPoint, String),
    best: (&'a SummaryPoint, String),
    /// The cost that is weighed, and what the taken and the best setting have of it; none where no cost differs.
    pub cost: Option<(&'static CostColumn, [f64; 2])>,
    /// The number of settings that are as good as the best, with it.
    unbeaten: usize,
    within: Option<f64>,
}

impl<'a> Choice<'a> {
    /// The choice between points that were compared on the same chips: those whose mean is at most `within` points of
    /// accuracy below the best's; by default [`AS_GOOD`], and on the same chips not surely below. (Few chips and many
    /// settings leave almost nothing sure, so that alone is no criterion.) None where a point that could not be
    /// compared is more accurate than all that were.
    pub fn of(summary: &'a StudySummary, compared: &ComparedPoints<'a>, within: Option<f64>) -> Option<Self> {
        let best = compared.best;
        if on_most_images(summary).iter().any(|point| point.mean > best.mean) {
            return None;
        }
        let is_good = |(point, difference): &&(&SummaryPoint, Difference)| match within {
            Some(within) => best.mean - point.mean <= within,
            None => best.mean - point.mean <= AS_GOOD && !difference.is_sure(),
        };
        let good: Vec<&SummaryPoint> =
            [best].into_iter().chain(compared.others.iter().filter(is_good).map(|(point, _)| *point)).collect();
        let all: Vec<&SummaryPoint> =
            [best].into_iter().chain(compared.others.iter().map(|(point, _)| *point)).collect();
        let priced = COSTS.iter().find_map(|cost| Some((cost, cost.differing(summary, &all)?)));
        let of = |point: &SummaryPoint, costs: &[(f64, &SummaryPoint)]| {
            costs.iter().find(|(_, other)| std::ptr::eq(*other, point)).map_or(f64::INFINITY, |(cost, _)| *cost)
        };
        // The most accurate is taken of those that are equally cheap.
        let cheapest = |costs: &[(f64, &'a SummaryPoint)]| {
            let least = good.iter().map(|point| of(point, costs)).fold(f64::INFINITY, f64::min);
            let cheap = good.iter().copied().filter(|point| of(point, costs) <= least * (1.0 + SAME));
            cheap.reduce(|taken, other| if other.mean > taken.mean { other } else { taken })
        };
        let taken = priced.as_ref().and_then(|(_, costs)| cheapest(costs)).unwrap_or(best);
        let columns = varying(summary, &all);
        let named = |point: &'a SummaryPoint| (point, label(summary, &columns, point));
        let cost = priced.map(|(cost, costs)| (cost, [of(taken, &costs), of(best, &costs)]));
        Some(Choice { taken: named(taken), best: named(best), cost, unbeaten: good.len(), within })
    }

    /// The point to take.
    pub fn taken(&self) -> &'a SummaryPoint {
        self.taken.0
    }

    /// The answer's first sentence or two.
    pub fn lead(&self) -> String {
        let Choice { taken: (taken, name), best: (best, best_name), cost, unbeaten, within } = self;
        let good = match within {
            Some(within) => format!("is within {} of the most accurate", points(*within)),
            None => format!("is within {AS_GOOD} points of the most accurate and not surely below it"),
        };
        match cost {
            Some((cost, [least, most])) if !std::ptr::eq(*taken, *best) => format!(
                "The setting of least {} that {good} is {name}: {} for {}. The most accurate, {best_name}, has {:.2} % \
                 for {}.",
                cost.word,
                taken.measured(),
                cost.spoken(*least),
                best.mean,
                cost.spoken(*most)
            ),
            Some((cost, [least, _])) if *unbeaten > 1 => format!(
                "The most accurate setting, {name}, also has the least {} of the {unbeaten} that are as good: {} for \
                 {}.",
                cost.word,
                taken.measured(),
                cost.spoken(*least)
            ),
            Some((cost, [least, _])) => {
                format!("The most accurate setting is {name}: {} for {}.", taken.measured(), cost.spoken(*least))
            }
            None => format!("Mean accuracy is highest with {name}: {}.", taken.measured()),
        }
    }
}

/// Points of accuracy in words.
pub(super) fn points(count: f64) -> String {
    format!("{count} point{}", if count == 1.0 { "" } else { "s" })
}
