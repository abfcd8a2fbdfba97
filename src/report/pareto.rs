//! What accuracy costs: every point by its accuracy and what it takes, and the front of those that no other beats in
//! both. Variation is no choice: where it is swept, points at its largest scale are compared; nor is the number of
//! images.

use super::figure::Figure;
use super::lines::{ends, extent};
use super::plot::{comparable, label, varying};
use super::scale::Scale;
use super::summary::{Point, Summary};
use super::svg::{Colour, Ink, Svg, escape};
use crate::study::columns::{AREA, INTERVAL};

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 30.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = HEIGHT - 62.0;

/// Points of a front that are named, at most.
const NAMED: usize = 20;
/// Accuracies that are as good as the best, in percent.
const AS_GOOD: f64 = 0.5;

/// Something that accuracy costs.
struct Cost {
    /// Its column.
    column: &'static str,
    /// What an axis calls it, and what a sentence does.
    title: &'static str,
    word: &'static str,
    unit: &'static str,
    /// How many of the column's units are one of its own.
    scale: f64,
    digits: usize,
}

const COSTS: [Cost; 4] = [
    Cost {
        column: "energy_pj_per_image",
        title: "Energy of an image",
        word: "energy",
        unit: "µJ",
        scale: 1e6,
        digits: 2,
    },
    Cost { column: "sram_bytes", title: "SRAM of a chip", word: "SRAM", unit: "bytes", scale: 1.0, digits: 0 },
    Cost { column: INTERVAL, title: "Time from image to image", word: "interval", unit: "µs", scale: 1e3, digits: 2 },
    Cost { column: AREA, title: "Area of a chip", word: "area", unit: "mm²", scale: 1.0, digits: 3 },
];

/// Accuracy against one cost.
pub(super) struct Front<'a> {
    kind: &'static Cost,
    /// The scale of variation that all points share, where it is swept.
    at: Option<f64>,
    /// All points with what they cost.
    points: Vec<(f64, &'a Point)>,
    /// The points that no other beats, cheapest first, with their settings.
    front: Vec<(f64, &'a Point, String)>,
}

/// The fronts of a study, where what points cost differs.
pub(super) fn of(summary: &Summary) -> Vec<Front<'_>> {
    let (all, at) = comparable(summary);
    let columns = varying(summary, &all);
    let front = |kind: &'static Cost| {
        let place = summary.further.iter().position(|further| further == kind.column)?;
        let cost = |point: &Point| point.further[place].parse::<f64>().ok().map(|cost| cost / kind.scale);
        let points: Vec<(f64, &Point)> = all.iter().map(|point| Some((cost(point)?, *point))).collect::<Option<_>>()?;
        let [low, high] = ends(points.iter().map(|(cost, _)| *cost));
        if points.len() < 3 || high - low < 0.02 * high {
            return None;
        }
        let mut sorted = points.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.mean.total_cmp(&a.1.mean)));
        let mut best = f64::NEG_INFINITY;
        sorted.retain(|(_, point)| {
            point.mean > best && {
                best = point.mean;
                true
            }
        });
        let front = sorted.into_iter().map(|(cost, point)| (cost, point, label(summary, &columns, point))).collect();
        Some(Front { kind, at, points, front })
    };
    COSTS.iter().filter_map(front).collect()
}

/// The names of all fronts that there may be.
pub(super) fn names() -> impl Iterator<Item = String> {
    COSTS.iter().map(Cost::name)
}

impl Cost {
    fn name(&self) -> String {
        format!("pareto-{}", self.word.to_lowercase())
    }
}

impl Front<'_> {
    fn cost(&self, cost: f64) -> String {
        let Cost { digits, unit, .. } = *self.kind;
        format!("{cost:.digits$} {unit}")
    }

    /// What the front says, a sentence.
    pub fn answer(&self) -> Option<String> {
        let (most, best, _) = self.front.last()?;
        let (cost, point, label) = self.front.iter().find(|(_, point, _)| point.mean >= best.mean - AS_GOOD)?;
        let (word, least) = (self.kind.word, self.cost(*cost));
        let at = self.at.map_or(String::new(), |scale| format!(" at variation scale {scale}"));
        Some(if cost == most {
            format!(
                "The least {word} within {AS_GOOD} points of the best accuracy{at} is the best's own: {least}, with {label}."
            )
        } else {
            format!(
                "Within {AS_GOOD} points of the best accuracy{at}, the least {word} is {least}, with {label}: {:.2} %, where the \
                 best has {:.2} % for {}.",
                point.mean,
                best.mean,
                self.cost(*most)
            )
        })
    }

    /// The chart; front points have numbers.
    fn draw(&self, ink: Ink) -> String {
        let (costs, accuracies) =
            (ends(self.points.iter().map(|(cost, _)| *cost)), ends(self.points.iter().flat_map(|(_, p)| extent(p))));
        let x = Scale::spread(costs, [LEFT + 24.0, RIGHT - 24.0], 7.0, false);
        let y = Scale::percent(accuracies, [BOTTOM, TOP], 6.0);
        let mut svg = Svg::new(ink, WIDTH, HEIGHT);
        let title = format!("{} ({})", self.kind.title, self.kind.unit);
        svg.axes([LEFT, RIGHT, TOP, BOTTOM], (&x, &title), (&y, "Accuracy (%)"));
        let place = |cost: f64, point: &Point| [x.place(cost), y.place(point.mean)];
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
            svg.titled(&format!("{label}: {:.2} %, {}", point.mean, self.cost(*cost)), |svg| {
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
            format!("<li>{}: {:.2} %, {}</li>\n", escape(label), point.mean, self.cost(*cost))
        });
        let mut more = match self.front.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" {more} more are not listed."),
        };
        if self.kind.column == AREA {
            more += " Companion arrays count whole, pruned or not.";
        }
        if let Some(scale) = self.at {
            more += &format!(" All at variation scale {scale}.");
        }
        let caption = format!(
            "{}: the numbered points are those that no other beats in both, grey ones are beaten.{more}",
            self.kind.title
        );
        let points = format!("<ol class=\"front\">\n{}</ol>\n", points.collect::<String>());
        Figure::of(self.kind.name(), |ink| self.draw(ink), caption).with(points)
    }
}
