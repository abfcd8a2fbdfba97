//! Two settings against each other: the mean accuracy of every pair of their values, all other settings as at the best
//! point.

use super::figure::Figure;
use super::plot::{number, title, varying};
use super::scale::ends;
use super::summary::{StudySummary, SummaryPoint};
use super::svg::{Colour, LETTER, Sheet, Svg};

/// Where cells begin, from the top; from the left they begin behind the longest number of a row.
const TOP: f64 = 10.0;
const CELL: [f64; 2] = [92.0, 34.0];
/// Pixels of a cell below which its number stands upright.
const UPRIGHT: f64 = 36.0;
/// Values of a setting that there is room for.
const MOST: usize = 24;
/// Pairs of settings that are drawn.
pub(super) const PAIRS: usize = 6;

/// Two settings, and the points where only they differ from the best one.
pub(super) struct KeyPair<'a> {
    across: &'a str,
    down: &'a str,
    columns: Vec<f64>,
    rows: Vec<f64>,
    cells: Vec<Vec<Option<&'a SummaryPoint>>>,
    others: Vec<(&'a str, &'a str)>,
}

/// The pairs of numeric settings with at least two values each, where most pairs of values have a point.
pub(super) fn of(summary: &StudySummary) -> Vec<KeyPair<'_>> {
    let all: Vec<&SummaryPoint> = summary.points.iter().collect();
    let Some(best) = all.iter().rev().max_by(|a, b| a.mean.total_cmp(&b.mean)) else { return vec![] };
    let columns = varying(summary, &all);
    let numeric: Vec<usize> = columns
        .iter()
        .copied()
        .filter(|column| all.iter().all(|point| number(&point.cells[*column]).is_some()))
        .collect();
    let mut pairs = Vec::new();
    for (i, down) in numeric.iter().enumerate() {
        for across in &numeric[i + 1..] {
            let others: Vec<usize> = columns.iter().copied().filter(|c| c != down && c != across).collect();
            let like_best: Vec<&SummaryPoint> =
                all.iter().copied().filter(|p| others.iter().all(|c| p.cells[*c] == best.cells[*c])).collect();
            let values = |column: usize| {
                let mut values: Vec<f64> = like_best.iter().filter_map(|p| number(&p.cells[column])).collect();
                values.sort_by(f64::total_cmp);
                values.dedup();
                values
            };
            let (rows, columns) = (values(*down), values(*across));
            if rows.len() < 2 || columns.len() < 2 || rows.len() > MOST || columns.len() > MOST {
                continue;
            }
            let at = |row: f64, column: f64| {
                let is = |p: &&&SummaryPoint| {
                    number(&p.cells[*down]) == Some(row) && number(&p.cells[*across]) == Some(column)
                };
                like_best.iter().find(is).copied()
            };
            let cells: Vec<Vec<Option<&SummaryPoint>>> =
                rows.iter().map(|row| columns.iter().map(|column| at(*row, *column)).collect()).collect();
            if 2 * cells.iter().flatten().flatten().count() < rows.len() * columns.len() {
                continue;
            }
            let name = |column: usize| summary.settings[column].as_str();
            let others = others.iter().map(|c| (name(*c), best.cells[*c].as_str())).collect();
            pairs.push(KeyPair { across: name(*across), down: name(*down), columns, rows, cells, others });
        }
    }
    pairs.truncate(PAIRS);
    pairs
}

impl KeyPair<'_> {
    /// The map; `number` tells it from others of the page.
    fn draw(&self, number: usize, sheet: Sheet) -> String {
        let minus = |value: f64| value.to_string().replace('-', "−");
        let longest = |values: &[f64]| {
            values.iter().map(|value| minus(*value).chars().count()).max().unwrap_or(0) as f64 * LETTER
        };
        let left = 42.0 + longest(&self.rows);
        let width = ((sheet.width() - left - 4.0) / self.columns.len() as f64).min(CELL[0]);
        let bottom = TOP + CELL[1] * self.rows.len() as f64;
        let means = || self.cells.iter().flatten().flatten().map(|point| point.mean);
        let [low, high] = ends(means());
        // Numbers that are wider than their columns stand upright.
        let turned = if longest(&self.columns) > width { longest(&self.columns) } else { 0.0 };
        let mut svg = Svg::new(sheet, bottom + 56.0 + turned);
        for (r, row) in self.rows.iter().enumerate() {
            let top = TOP + CELL[1] * r as f64;
            svg.text([left - 10.0, top + CELL[1] / 2.0 + 4.5], "end", Colour::Muted, &minus(*row), "");
            for (c, column) in self.columns.iter().enumerate() {
                let (at, Some(point)) = (left + width * c as f64, self.cells[r][c]) else { continue };
                let share = if high > low { (point.mean - low) / (high - low) } else { 1.0 };
                let half = point.ci95.map_or(String::new(), |half| format!(" ± {half:.2}"));
                let words = format!("{} {row}, {} {column}: {:.2}{half} %", self.down, self.across, point.mean);
                svg.titled(&words, |svg| {
                    svg.cell([at, top], [width - 2.0, CELL[1] - 2.0], share);
                    let at = [at + width / 2.0 - 1.0, top + CELL[1] / 2.0 + 4.5];
                    let upright = format!("transform=\"rotate(-90 {:.1} {:.1})\"", at[0], at[1] - 4.5);
                    let extra = if width < UPRIGHT { upright.as_str() } else { "" };
                    svg.text(at, "middle", Colour::Text, &format!("{:.1}", point.mean), extra);
                });
            }
        }
        for (c, column) in self.columns.iter().enumerate() {
            let at = left + width * (c as f64 + 0.5);
            let upright = format!("transform=\"rotate(-90 {at:.1} {:.1})\"", bottom + 12.0);
            match turned > 0.0 {
                true => svg.text([at, bottom + 16.0], "end", Colour::Muted, &minus(*column), &upright),
                false => svg.text([at, bottom + 18.0], "middle", Colour::Muted, &minus(*column), ""),
            }
        }
        let middle = left + width * self.columns.len() as f64 / 2.0;
        svg.text([middle, bottom + 42.0 + turned], "middle", Colour::Text, title(self.across), "");
        let centre = (TOP + bottom) / 2.0;
        let upright = format!("transform=\"rotate(-90 16 {centre:.1})\"");
        let fits = self.down.chars().count() as f64 * LETTER <= bottom - TOP;
        let down = if fits { self.down } else { self.down.rsplit('.').next().unwrap_or(self.down) };
        svg.text([16.0, centre], "middle", Colour::Text, down, &upright);
        let words = format!(
            "Mean accuracy from {low:.2} to {high:.2} %, a row for each {}, a column for each {}",
            self.down, self.across
        );
        svg.finish_as(&format!("heat-{number}"), &format!("Accuracy by {} and {}", self.down, self.across), &words)
    }

    /// The map and what holds for all of it.
    pub fn figure(&self, number: usize) -> Figure {
        let others = self.others.iter().filter(|(_, value)| !value.is_empty());
        let others: Vec<String> = others.map(|(key, value)| format!("{key} = {value}")).collect();
        let fixed = if others.is_empty() {
            String::new()
        } else {
            format!(" All at {}, as at the best point.", others.join(", "))
        };
        let caption = format!(
            "Mean accuracy in percent: {} down, {} across; the stronger the colour, the better.{fixed}",
            self.down, self.across
        );
        Figure::of(format!("heat-{number}"), |sheet| self.draw(number, sheet), caption)
    }
}
