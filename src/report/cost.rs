//! The costs of accuracy: columns of a study's tables that a designer wants small, in the units that the page shows.

use super::scale::ends;
use super::summary::{StudySummary, SummaryPoint};
use crate::study::columns::{AREA, ENERGY, INTERVAL};

/// Something that accuracy costs.
pub(super) struct CostColumn {
    /// Its column.
    pub column: &'static str,
    /// Its name on an axis, and its name in a sentence.
    pub title: &'static str,
    pub word: &'static str,
    unit: &'static str,
    /// Words that a sentence adds to the unit.
    per: &'static str,
    /// How many of the column's units are one of its own.
    scale: f64,
    digits: usize,
}

/// The costs, the first that differs being what an answer weighs accuracy against.
pub(super) const COSTS: [CostColumn; 4] = [
    CostColumn {
        column: ENERGY,
        title: "Energy of an image",
        word: "energy",
        unit: "µJ",
        per: " an image",
        scale: 1e6,
        digits: 2,
    },
    CostColumn {
        column: "sram_bytes",
        title: "SRAM of a chip",
        word: "SRAM",
        unit: "bytes",
        per: "",
        scale: 1.0,
        digits: 0,
    },
    CostColumn {
        column: INTERVAL,
        title: "Time from image to image",
        word: "interval",
        unit: "µs",
        per: "",
        scale: 1e3,
        digits: 2,
    },
    CostColumn { column: AREA, title: "Area of a chip", word: "area", unit: "mm²", per: "", scale: 1.0, digits: 3 },
];

/// Points of accuracy that a setting may be below the best and still be as good, unless a study says otherwise.
pub(super) const AS_GOOD: f64 = 0.5;
/// A cost that is less by less than this share is the same: no one takes less accuracy for it.
pub(super) const SAME: f64 = 0.01;
/// Costs whose largest is less above the smallest than this share do not differ.
const DIFFERS: f64 = 0.02;

impl CostColumn {
    /// The cost of a point, in the unit of [`CostColumn::said`]; none where it is not known, or nothing.
    pub fn of(&self, summary: &StudySummary, point: &SummaryPoint) -> Option<f64> {
        let place = summary.further.iter().position(|further| further == self.column)?;
        point.further[place].parse::<f64>().ok().map(|cost| cost / self.scale).filter(|cost| *cost > 0.0)
    }

    /// The costs of points, in the unit of [`CostColumn::said`]; none where one has no such cost, or all cost the same.
    pub fn differing<'a>(
        &self,
        summary: &StudySummary,
        points: &[&'a SummaryPoint],
    ) -> Option<Vec<(f64, &'a SummaryPoint)>> {
        let place = summary.further.iter().position(|further| further == self.column)?;
        let cost = |point: &SummaryPoint| point.further[place].parse::<f64>().ok().map(|cost| cost / self.scale);
        let costs: Vec<(f64, &SummaryPoint)> =
            points.iter().map(|point| Some((cost(point)?, *point))).collect::<Option<_>>()?;
        let [low, high] = ends(costs.iter().map(|(cost, _)| *cost));
        (high - low >= DIFFERS * high && high > 0.0).then_some(costs)
    }

    /// A cost with its unit.
    pub fn said(&self, cost: f64) -> String {
        format!("{} {}", rounded(cost, self.digits), self.unit)
    }

    /// A cost in a sentence.
    pub fn spoken(&self, cost: f64) -> String {
        self.said(cost) + self.per
    }

    /// The name of its axis.
    pub fn axis(&self) -> String {
        format!("{} ({})", self.title, self.unit)
    }

    /// The name of its drawing.
    pub fn name(&self) -> String {
        format!("pareto-{}", self.word.to_lowercase())
    }
}

/// A number with so many digits behind its point, or as many as show three that are not zeros in front.
pub(super) fn rounded(value: f64, digits: usize) -> String {
    let needed = if value == 0.0 { 0.0 } else { 2.0 - value.abs().log10().floor() };
    let digits = if value.abs() < 1.0 { digits.max(needed.clamp(0.0, 12.0) as usize) } else { digits };
    format!("{value:.digits$}")
}
