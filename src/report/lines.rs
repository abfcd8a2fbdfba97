//! The chart of accuracy against a numeric setting: a line per series, named at its right end.

use super::answer::Answer;
use super::plot::{Lines, REFERENCES, title};
use super::scale::Scale;
use super::summary::Point;
use super::svg::{Colour, Ink, Svg, shorten};

const WIDTH: f64 = 920.0;
const HEIGHT: f64 = 470.0;
const LEFT: f64 = 72.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = HEIGHT - 62.0;

/// Letters and pixels per letter of the longest label.
const LABEL: usize = 36;
const LETTER: f64 = 7.0;

/// The vertical distance of labels.
const LABEL_STEP: f64 = 19.0;

/// Draws the chart; `dots` shows single chips.
pub(super) fn draw(lines: &Lines, answer: &Answer, ink: Ink, dots: bool) -> String {
    let series = lines.shown();
    let references = &lines.references[..lines.references.len().min(REFERENCES)];
    let labels = series.iter().map(|series| &series.label).chain(references.iter().map(|(label, _)| label));
    let longest = labels.map(|label| label.chars().count().min(LABEL)).max().unwrap_or(0);
    let right = WIDTH - 34.0 - longest as f64 * LETTER;

    let points = || series.iter().flat_map(|series| &series.points);
    let places = || points().map(|&(place, _)| place);
    let drawn = || points().map(|&(_, point)| point).chain(references.iter().map(|&(_, point)| point));
    let x = Scale::spread(ends(places()), [LEFT + 34.0, right - 34.0], 8.0, places().all(|place| place.fract() == 0.0));
    let y = Scale::percent(ends(drawn().flat_map(extent)), [BOTTOM, TOP], 6.0);

    let mut svg = Svg::new(ink, WIDTH, HEIGHT);
    svg.axes([LEFT, right, TOP, BOTTOM], (&x, title(lines.key)), (&y, "Accuracy (%)"));
    for (_, point) in references {
        let at = y.place(point.mean);
        svg.line([LEFT, at], [right, at], Colour::Muted, 1.5, "stroke-dasharray=\"7 5\"");
    }
    // Series stand a little beside each other, so that points of the same place do not cover one another.
    let apart = (nearest(places(), &x) * 0.7 / series.len() as f64).min(12.0);
    let shift = |index: usize| (index as f64 - (series.len() - 1) as f64 / 2.0) * apart;
    for (index, series) in series.iter().enumerate() {
        let path: Vec<[f64; 2]> =
            series.points.iter().map(|&(place, point)| [x.place(place) + shift(index), y.place(point.mean)]).collect();
        svg.path(&path, Colour::Series(index));
    }
    for (index, series) in series.iter().enumerate() {
        for &(place, point) in &series.points {
            let at = x.place(place) + shift(index);
            svg.point(point, index, dots, |accuracy, aside| [at + aside, y.place(accuracy)]);
        }
    }

    let mut labels: Vec<(f64, Option<usize>, &str)> = series
        .iter()
        .enumerate()
        .filter(|(_, series)| !series.label.is_empty())
        .map(|(index, series)| (y.place(series.last().1.mean), Some(index), series.label.as_str()))
        .chain(references.iter().map(|(label, point)| (y.place(point.mean), None, label.as_str())))
        .collect();
    spread(&mut labels);
    for (at, index, label) in labels {
        match index {
            Some(index) => svg.marker([right + 14.0, at], index),
            None => svg.line([right + 6.0, at], [right + 22.0, at], Colour::Muted, 1.5, "stroke-dasharray=\"4 3\""),
        }
        svg.text([right + 28.0, at + 4.5], "start", Colour::Text, &shorten(label, LABEL), "");
    }
    svg.finish(&format!("Accuracy against {}", title(lines.key)), &answer.text())
}

/// All accuracies that a point's mark covers.
pub(super) fn extent(point: &Point) -> [f64; 4] {
    let half = point.ci95.unwrap_or(0.0);
    [point.min, point.max, point.mean - half, point.mean + half].map(|value| value.clamp(0.0, 100.0))
}

/// The smallest and the largest of the values.
pub(super) fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)])
}

/// The smallest distance, in pixels, of different places on the axis.
fn nearest(places: impl Iterator<Item = f64>, x: &Scale) -> f64 {
    let mut pixels: Vec<f64> = places.map(|place| x.place(place)).collect();
    pixels.sort_by(f64::total_cmp);
    pixels.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0.0).fold(f64::INFINITY, f64::min)
}

/// Moves labels apart, keeping their order from top to bottom and within the chart.
fn spread(labels: &mut [(f64, Option<usize>, &str)]) {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut floor = TOP;
    for label in labels.iter_mut() {
        label.0 = label.0.max(floor);
        floor = label.0 + LABEL_STEP;
    }
    let mut ceiling = BOTTOM;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(ceiling);
        ceiling = label.0 - LABEL_STEP;
    }
}
