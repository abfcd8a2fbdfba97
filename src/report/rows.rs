//! The chart of points without a numeric axis: one below the other, accuracy to the right.

use super::answer::Answer;
use super::lines::{ends, extent};
use super::plot::ROWS;
use super::scale::Scale;
use super::summary::Point;
use super::svg::{Colour, Ink, Svg, shorten};

const WIDTH: f64 = 920.0;
const TOP: f64 = 14.0;
/// Pixels of a row, of few and of many.
const ROW: [f64; 2] = [38.0, 24.0];
/// Rows that are many.
const MANY: usize = 20;

/// Letters and pixels per letter of the longest label.
const LABEL: usize = 64;
const LETTER: f64 = 7.0;

/// Draws the chart; `dots` shows single chips.
pub(super) fn draw(rows: &[(String, &Point)], answer: &Answer, ink: Ink, dots: bool) -> String {
    let rows = &rows[..rows.len().min(ROWS)];
    let longest = rows.iter().map(|(label, _)| label.chars().count().min(LABEL)).max().unwrap_or(0);
    let left = 30.0 + longest as f64 * LETTER;
    let row = ROW[usize::from(rows.len() > MANY)];
    let bottom = TOP + rows.len() as f64 * row;
    let height = bottom + 58.0;
    let x = Scale::percent(ends(rows.iter().flat_map(|(_, point)| extent(point))), [left, WIDTH - 30.0], 7.0);

    let mut svg = Svg::new(ink, WIDTH, height);
    for (at, text) in x.ticks() {
        svg.line([at, TOP], [at, bottom], Colour::Grid, 1.0, "");
        svg.text([at, bottom + 22.0], "middle", Colour::Muted, &text, "");
    }
    svg.line([left, bottom], [WIDTH - 30.0, bottom], Colour::Muted, 1.0, "");
    svg.text([(left + WIDTH - 30.0) / 2.0, height - 12.0], "middle", Colour::Text, "Accuracy (%)", "");
    for (index, (label, point)) in rows.iter().enumerate() {
        let at = TOP + (index as f64 + 0.5) * row;
        svg.text([left - 14.0, at + 4.5], "end", Colour::Text, &shorten(label, LABEL), "");
        svg.point(point, 0, dots, |accuracy, aside| [x.place(accuracy), at + aside]);
    }
    svg.finish("Accuracy of each point", &answer.text())
}
