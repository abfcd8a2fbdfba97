//! The table of all points: what was set, then what a designer decides by (accuracy and what it costs), then the rest.
//! A value that all points share takes no column; it is said once.

use super::cost::rounded;
use super::summary::{StudySummary, SummaryPoint};
use super::svg::escape;

/// A column of a table.
pub(super) struct ListedColumn {
    pub title: String,
    /// The text of each row.
    pub cells: Vec<String>,
    pub is_number: bool,
}

/// How the page shows a column of the tables: its title, the factor to the title's unit, and digits behind the point.
type Shown = (&'static str, &'static str, f64, usize);

/// Columns by which a designer decides, in this order, before all others.
const FIRST: [Shown; 6] = [
    ("energy_pj_per_image", "energy, µJ/image", 1e-6, 3),
    ("sram_bytes", "SRAM, bytes", 1.0, 0),
    ("interval_ns", "interval, µs", 1e-3, 2),
    ("area_mm2", "area, mm²", 1.0, 3),
    ("accuracy_q05", "95\u{a0}% reach, %", 1.0, 2),
    ("yield_percent", "yield, %", 1.0, 1),
];
/// Columns behind them that have a unit.
const LATER: [Shown; 7] = [
    ("latency_ns", "latency, µs", 1e-3, 2),
    ("images_per_j", "images/J", 1.0, 0),
    ("tops_per_w", "TOPS/W", 1.0, 2),
    ("synaptic_operations_per_image", "synaptic operations/image", 1.0, 0),
    ("steps_per_image", "steps/image", 1.0, 2),
    ("adc_clipped_per_image", "clipped sums/image", 1.0, 0),
    ("adder_saturated_per_image", "saturated sums/image", 1.0, 0),
];

/// How a column of the tables is shown elsewhere on the page: its title and the factor to the title's unit.
pub(super) fn shown(column: &str) -> (String, f64) {
    let known = FIRST.iter().chain(&LATER).find(|(name, ..)| *name == column);
    known.map_or_else(|| (column.replace('_', " "), 1.0), |(_, title, scale, _)| ((*title).to_owned(), *scale))
}

/// The table as HTML.
pub(super) fn table(summary: &StudySummary) -> String {
    let (settings, measures) = (settings(summary), measures(summary));
    let several = summary.points.len() > 1;
    let differs = |column: &ListedColumn| !several || column.cells.iter().any(|cell| *cell != column.cells[0]);
    let (mut shown, mut same) = (Vec::new(), Vec::new());
    for (column, is_setting) in settings.into_iter().map(|c| (c, true)).chain(measures.into_iter().map(|c| (c, false)))
    {
        if differs(&column) { shown.push((column, is_setting)) } else { same.push((column, is_setting)) }
    }
    let said = |(column, is_setting): &(ListedColumn, bool)| {
        let cell = escape(&column.cells[0]);
        let title = escape(&column.title);
        if *is_setting { format!("{title} = {cell}") } else { format!("{title}: {cell}") }
    };
    let same: Vec<String> = same.iter().filter(|(column, _)| column.cells[0] != "–").map(said).collect();
    let same = if same.is_empty() { String::new() } else { format!(". The same at all: {}", same.join("; ")) };
    let about = format!("All points; accuracy is the mean over chips ± half its 95\u{a0}% interval{same}.");
    let heads = shown.iter().any(|(_, is_setting)| *is_setting);
    let columns: Vec<ListedColumn> = shown.into_iter().map(|(column, _)| column).collect();
    html("All points", &about, &columns, heads)
}

/// Columns as an HTML table of this name, under a paragraph of HTML; with `heads` the first column's cells are the
/// heads of their rows.
pub(super) fn html(name: &str, about: &str, columns: &[ListedColumn], heads: bool) -> String {
    let cell = |place: usize, kind: &str, text: &str| {
        let class = class(columns[place].is_number);
        match (kind, place == 0 && heads) {
            ("td", true) => format!("<th scope=\"row\"{class}>{}</th>", escape(text)),
            ("th", _) => format!("<th scope=\"col\"{class}>{}</th>", breaking(&escape(text))),
            _ => format!("<td{class}>{}</td>", escape(text)),
        }
    };
    let head: String = columns.iter().enumerate().map(|(place, column)| cell(place, "th", &column.title)).collect();
    let row = |index: usize| {
        let cells = columns.iter().enumerate().map(|(place, column)| cell(place, "td", &column.cells[index]));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let rows: String = (0..columns.first().map_or(0, |column| column.cells.len())).map(row).collect();
    let about = if about.is_empty() { String::new() } else { format!("<p class=\"about\">{about}</p>\n") };
    format!(
        "{about}<div class=\"table\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\">\n<table>\n\
         <thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

fn settings(summary: &StudySummary) -> Vec<ListedColumn> {
    let column = |(place, name): (usize, &String)| {
        let cells = summary.points.iter().map(|point| dashed(&point.cells[place]));
        ListedColumn {
            title: name.clone(),
            is_number: summary.points.iter().all(|point| is_number_or_empty(&point.cells[place])),
            cells: cells.collect(),
        }
    };
    summary.settings.iter().enumerate().map(column).collect()
}

/// Accuracy, costs, how sure they are, and what else was measured.
fn measures(summary: &StudySummary) -> Vec<ListedColumn> {
    let of = |title: &str, text: &dyn Fn(&SummaryPoint) -> Option<String>| ListedColumn {
        title: title.to_owned(),
        cells: summary.points.iter().map(|point| text(point).unwrap_or_else(|| "–".into())).collect(),
        is_number: true,
    };
    let percent = |value: f64| format!("{value:.2}");
    let accuracy = |point: &SummaryPoint| match point.ci95 {
        Some(half) => format!("{:.2}\u{a0}±\u{a0}{half:.2}", point.mean),
        None => percent(point.mean),
    };
    let further = |(column, title, scale, digits): &Shown| {
        let place = summary.further.iter().position(|name| name == column)?;
        let number = |point: &SummaryPoint| {
            point.further[place].parse::<f64>().ok().map(|value| rounded(value * scale, *digits))
        };
        Some(of(title, &number))
    };
    let known = |name: &str| FIRST.iter().chain(&LATER).any(|(column, ..)| *column == name);
    let others = summary.further.iter().enumerate().filter(|(_, name)| !known(name)).map(|(place, name)| {
        let text = |point: &SummaryPoint| {
            let cell = &point.further[place];
            Some(match cell.parse::<f64>() {
                Ok(value) if value.fract() != 0.0 => rounded(value, 2),
                _ => dashed(cell),
            })
        };
        of(&name.replace('_', " "), &text)
    });
    [of("accuracy, %", &|point| Some(accuracy(point)))]
        .into_iter()
        .chain(FIRST.iter().filter_map(further))
        .chain([
            of("worst chip, %", &|point| Some(percent(point.min))),
            of("best chip, %", &|point| Some(percent(point.max))),
            of("std, %", &|point| point.std.map(percent)),
            of("chips", &|point| Some(point.chips.to_string())),
            of("spikes/image", &|point| point.spikes.map(|spikes| format!("{spikes:.1}"))),
        ])
        .chain(LATER.iter().filter_map(further))
        .chain(others)
        .collect()
}

fn dashed(cell: &str) -> String {
    if cell.is_empty() { "–".into() } else { cell.to_owned() }
}

/// A title that may break behind the sections of a key.
fn breaking(title: &str) -> String {
    let (first, parts) = title.split_once('.').map_or((title, None), |(first, parts)| (first, Some(parts)));
    let parts = parts.into_iter().flat_map(|parts| parts.split('.'));
    let part = |part: &str| format!(".{}{part}", if part.starts_with(char::is_alphabetic) { "<wbr>" } else { "" });
    first.to_owned() + &parts.map(part).collect::<String>()
}

/// The class of a table's cell.
fn class(is_number: bool) -> &'static str {
    if is_number { " class=\"number\"" } else { "" }
}

fn is_number_or_empty(cell: &str) -> bool {
    cell.is_empty() || cell.parse::<f64>().is_ok()
}
