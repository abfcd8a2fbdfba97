//! What accuracy costs: every point by its accuracy and what it takes, and the front of those that no other beats in
//! both. Variation is no choice: where it is swept, points at its largest scale are compared; nor is the number of
//! images.

use super::choice::points;
use super::cost::{AS_GOOD, COSTS, CostColumn, SAME};
use super::figure::Figure;
use super::plot::{comparable, label, varying};
use super::scale::{Scale, ends};
use super::summary::{StudySummary, SummaryPoint};
use super::svg::{Colour, Sheet, Svg, escape};
use crate::study::columns::AREA;

/// Pixels of a wide and of a narrow drawing.
const HEIGHT: [f64; 2] = [400.0, 320.0];
const LEFT: f64 = 66.0;
const TOP: f64 = 24.0;

/// Points of a front that are named, at most.
const NAMED: usize = 20;

/// Accuracy against one cost.
pub(super) struct Front<'a> {
    pub kind: &'static CostColumn,
    /// The scale of variation that all points share, where it is swept.
    at: Option<f64>,
    /// All points with what they cost.
    points: Vec<(f64, &'a SummaryPoint)>,
    /// The points that no other beats, cheapest first, with their settings.
    front: Vec<(f64, &'a SummaryPoint, String)>,
    /// Points of accuracy that are as good as none.
    within: f64,
}

/// The fronts of a study, where what points cost differs; `within` are the points of accuracy that its reader gives up.
pub(super) fn of(summary: &StudySummary, within: Option<f64>) -> Vec<Front<'_>> {
    let (all, at) = comparable(summary);
    let columns = varying(summary, &all);
    let front = |kind: &'static CostColumn| {
        let points = kind.differing(summary, &all).filter(|points| points.len() > 2)?;
        let mut sorted = points.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.mean.total_cmp(&a.1.mean)));
        let mut best = f64::NEG_INFINITY;
        sorted.retain(|(cost, point)| {
            let is_beaten =
                |(other, beside): &(f64, &SummaryPoint)| *other <= cost * (1.0 + SAME) && beside.mean > point.mean;
            point.mean > best && !points.iter().any(is_beaten) && {
                best = point.mean;
                true
            }
        });
        let front = sorted.into_iter().map(|(cost, point)| (cost, point, label(summary, &columns, point))).collect();
        Some(Front { kind, at, points, front, within: within.unwrap_or(AS_GOOD) })
    };
    COSTS.iter().filter_map(front).collect()
}

/// The names of all fronts that there may be.
pub(super) fn names() -> impl Iterator<Item = String> {
    COSTS.iter().map(CostColumn::name)
}

impl Front<'_> {
    /// Whether it is worth a drawing: of one point that no other beats a sentence says all.
    pub fn is_drawn(&self) -> bool {
        self.front.len() > 1
    }

    /// What the front says, a sentence.
    pub fn answer(&self) -> Option<String> {
        let within = points(self.within);
        let (most, best, _) = self.front.last()?;
        let (cost, point, label) = self.front.iter().find(|(_, point, _)| point.mean >= best.mean - self.within)?;
        let (word, least) = (self.kind.word, self.kind.said(*cost));
        let at = self.at.map_or(String::new(), |scale| format!(" at variation scale {scale}"));
        Some(if cost == most {
            format!(
                "The least {word} within {within} of the best accuracy{at} is the best's own: {least}, with {label}."
            )
        } else {
            format!(
                "Within {within} of the best accuracy{at}, the least {word} is {least}, with {label}: {:.2} %, where \
                 the best has {:.2} % for {}.",
                point.mean,
                best.mean,
                self.kind.said(*most)
            )
        })
    }

    /// The chart; front points have numbers.
    fn draw(&self, sheet: Sheet) -> String {
        let (costs, accuracies) =
            (ends(self.points.iter().map(|(cost, _)| *cost)), ends(self.points.iter().map(|(_, point)| point.mean)));
        let height = HEIGHT[usize::from(sheet.is_narrow())];
        let (right, bottom) = (sheet.width() - 14.0, height - 62.0);
        let x = Scale::spread(costs, [LEFT + 24.0, right - 24.0], ((right - LEFT) / 110.0).max(4.0), false);
        let y = Scale::percent(accuracies, [bottom, TOP], 6.0);
        let mut svg = Svg::new(sheet, height);
        svg.axes([LEFT, right, TOP, bottom], (&x, &self.kind.axis()), (&y, "Accuracy (%)"));
        let place = |cost: f64, point: &SummaryPoint| [x.place(cost), y.place(point.mean)];
        for (cost, point) in &self.points {
            svg.dot(place(*cost, point));
        }
        // Up at the cost, not along a slope: between two points there is none.
        let steps = self.front.windows(2).flat_map(|pair| {
            let [(from, low, _), (to, high, _)] = pair else { return vec![] };
            vec![place(*from, low), [x.place(*to), y.place(low.mean)], place(*to, high)]
        });
        let steps: Vec<[f64; 2]> = steps.collect();
        if !steps.is_empty() {
            svg.path(&steps, Colour::Series(0));
        }
        for (number, (cost, point, label)) in (1..).zip(self.front.iter().take(NAMED)) {
            let at = place(*cost, point);
            svg.titled(&format!("{label}: {:.2} %, {}", point.mean, self.kind.said(*cost)), |svg| {
                svg.marker(at, 0);
                svg.text([at[0] - 7.0, at[1] - 7.0], "end", Colour::Text, &number.to_string(), "");
            });
        }
        svg.finish_as(
            &self.kind.name(),
            &format!("Accuracy against {}", self.kind.word),
            &self.answer().unwrap_or_default(),
        )
    }

    /// The chart with the front's points in words.
    pub fn figure(&self) -> Figure {
        let points = self.front.iter().take(NAMED).map(|(cost, point, label)| {
            format!("<li>{}: {:.2} %, {}</li>\n", escape(label), point.mean, self.kind.said(*cost))
        });
        let mut more = match self.front.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" {more} more are not listed."),
        };
        if self.kind.column == AREA {
            more += " Companion arrays count whole, pruned or not, residuals with a budget as large as it.";
        }
        if let Some(scale) = self.at {
            more += &format!(" All at variation scale {scale}.");
        }
        let caption = format!(
            "{}: the numbered points are those that no other beats in both, grey ones are beaten.{more}",
            self.kind.title
        );
        let points = format!("<ol class=\"front\">\n{}</ol>\n", points.collect::<String>());
        Figure::of(self.kind.name(), |sheet| self.draw(sheet), caption).with(points)
    }
}
