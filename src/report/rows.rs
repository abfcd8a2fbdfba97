//! The chart of points without a numeric axis: one below the other, accuracy to the right.

use super::plot::ROWS;
use super::scale::{Scale, ends};
use super::summary::SummaryPoint;
use super::svg::{Colour, LETTER, Sheet, Svg, shorten};

const TOP: f64 = 14.0;
/// Pixels of a row, of few and of many.
const ROW: [f64; 2] = [38.0, 24.0];
/// Pixels of a row whose label stands above it.
const TALL: f64 = 44.0;
/// Rows that are many.
const MANY: usize = 20;

/// Letters of the longest label beside its row.
const LABEL: usize = 64;

/// Draws the chart; `dots` shows single chips.
pub(super) fn draw(rows: &[(String, &SummaryPoint)], description: &str, sheet: Sheet, dots: bool) -> String {
    let rows = &rows[..rows.len().min(ROWS)];
    let (above, width) = (sheet.is_narrow(), sheet.width());
    let longest = rows.iter().map(|(label, _)| label.chars().count().min(LABEL)).max().unwrap_or(0);
    let left = if above { 14.0 } else { 30.0 + longest as f64 * LETTER };
    let right = width - if above { 18.0 } else { 30.0 };
    let row = if above { TALL } else { ROW[usize::from(rows.len() > MANY)] };
    let bottom = TOP + rows.len() as f64 * row;
    let height = bottom + 58.0;
    let room = if sheet == Sheet::Page { 7.0 } else { 5.0 };
    let x = Scale::percent(ends(rows.iter().flat_map(|(_, point)| point.extent())), [left, right], room);

    let mut svg = Svg::new(sheet, height);
    for (at, text) in x.ticks() {
        svg.line([at, TOP], [at, bottom], Colour::Grid, 1.0, "");
        svg.text([at, bottom + 22.0], "middle", Colour::Muted, &text, "");
    }
    svg.line([left, bottom], [right, bottom], Colour::Muted, 1.0, "");
    svg.text([(left + right) / 2.0, height - 12.0], "middle", Colour::Text, "Accuracy (%)", "");
    for (index, (label, point)) in rows.iter().enumerate() {
        let top = TOP + index as f64 * row;
        let at = if above {
            let letters = ((right - left) / LETTER) as usize;
            svg.text([left, top + 15.0], "start", Colour::Text, &shorten(label, letters), "");
            top + 30.0
        } else {
            svg.text([left - 14.0, top + row / 2.0 + 4.5], "end", Colour::Text, &shorten(label, LABEL), "");
            top + row / 2.0
        };
        svg.point(point, 0, dots, |accuracy, aside| [x.place(accuracy), at + aside]);
    }
    svg.finish("Accuracy of each point", description)
}
