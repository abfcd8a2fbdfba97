//! What a chart shows: which setting is the horizontal axis, which combinations of the others are series, and which
//! points are references without a place on that axis.

use std::collections::HashSet;

use super::summary::{StudySummary, SummaryPoint};

/// The first setting of a pipeline, whose stages are many and stand one below the other.
const PIPELINE: &str = "stage";
/// The setting that is the horizontal axis whenever it varies.
pub(super) const PREFERRED_AXIS: &str = "rram.variation.scale";

/// The number of images, where a pipeline has several: no choice of a chip's designer.
pub(super) const IMAGES: &str = "images";

/// The most series that can be told apart in one chart.
pub(super) const SERIES: usize = 8;

/// The most references in one chart.
pub(super) const REFERENCES: usize = 4;

/// The most panels of a chart, side by side and below each other.
const PANELS: usize = 9;

/// The most rows in a chart without a numeric axis.
pub(super) const ROWS: usize = 60;

/// Magnitudes that an axis can show; zero is always one.
const PLACES: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// The arrangement of a study's points.
pub(super) enum Plot<'a> {
    /// Accuracy against a numeric setting.
    Lines(Lines<'a>),
    /// Accuracy of each point on a line of its own.
    Rows(Rows<'a>),
}

/// Accuracy against a numeric setting.
pub(super) struct Lines<'a> {
    /// The dotted key of the setting on the horizontal axis.
    pub key: &'a str,
    /// The best series first, by mean accuracy at their largest place; all of them.
    pub series: Vec<PanelSeries<'a>>,
    /// The panels that are drawn: one, or, where two settings and more tell series apart, one for each value of one of
    /// them.
    pub panels: Vec<Panel>,
    /// Settings that no panel and no series is for, with the values of the answer's point, which all that is drawn has.
    pub held: Held<'a>,
    /// Points without a place on the axis.
    pub references: Vec<(String, &'a SummaryPoint)>,
}

/// Settings and the values that they are held at; those without a value do not apply there.
pub(super) type Held<'a> = Vec<(&'a str, &'a str)>;

/// Series that share axes.
pub(super) struct Panel {
    /// The setting that all of them share; empty of the only panel.
    pub label: String,
    /// The series.
    pub lines: Vec<PanelLine>,
}

/// A series of a panel.
pub(super) struct PanelLine {
    /// The setting that tells it from the others of its panel.
    pub name: String,
    /// Series of one name have one colour in all panels.
    pub colour: usize,
    /// Its place in [`Lines::series`].
    pub series: usize,
}

/// Points that differ only in the setting on the axis.
pub(super) struct PanelSeries<'a> {
    /// The settings that tell this series from the others; empty if it is the only one.
    pub label: String,
    /// Places on the axis, ascending, and points; at least one.
    pub points: Vec<(f64, &'a SummaryPoint)>,
    /// The row of its first point in the table.
    pub first: usize,
}

impl PanelSeries<'_> {
    /// The point with the largest place on the axis.
    pub fn last(&self) -> (f64, &SummaryPoint) {
        self.points[self.points.len() - 1]
    }
}

impl Lines<'_> {
    /// Whether the axis is the strength of the RRAM's variation.
    pub fn over_variation(&self) -> bool {
        self.key == PREFERRED_AXIS
    }

    /// How many series are drawn.
    pub fn shown(&self) -> usize {
        self.panels.iter().map(|panel| panel.lines.len()).sum()
    }
}

impl<'a> Plot<'a> {
    /// Arranges the points of a study; settings that no axis, colour or panel is for are as at `taken`, the answer's
    /// point, where there is one.
    pub fn of(summary: &'a StudySummary, taken: Option<&'a SummaryPoint>) -> Self {
        let points: Vec<&SummaryPoint> = summary.points.iter().collect();
        let preferred = summary.settings.iter().position(|name| name == PREFERRED_AXIS);
        let others = (0..summary.settings.len()).filter(|&column| summary.settings[column] != IMAGES);
        let axes: Vec<usize> = preferred.into_iter().chain(others).filter(|&column| is_axis(&points, column)).collect();
        let is_drawn = |axis: &&usize| are_drawn(summary, &series(summary, &points, **axis));
        let Some(&axis) = axes.iter().find(|axis| !is_drawn(axis)) else {
            return Plot::rows(summary, !axes.is_empty());
        };

        let (placed, unplaced): (Vec<&SummaryPoint>, Vec<&SummaryPoint>) =
            points.iter().partition(|point| !point.cells[axis].is_empty());
        if unplaced.len() > REFERENCES && summary.settings[0] == PIPELINE {
            // Stages of which most know nothing of the axis.
            return Plot::rows(summary, false);
        }
        let mut series = series(summary, &placed, axis);
        if series.len() > SERIES && summary.settings[0] == PIPELINE {
            let largest = series.iter().map(|series| series.last().0).fold(f64::NEG_INFINITY, f64::max);
            let last = series.into_iter().filter_map(|mut series| Some((series.label, series.points.pop()?)));
            let rows =
                last.filter(|(_, (place, _))| *place == largest).map(|(label, (_, point))| (label, point)).collect();
            return Plot::Rows(Rows { rows, at: Some((&summary.settings[axis], largest)) });
        }
        series.sort_by(|a, b| b.last().1.mean.total_cmp(&a.last().1.mean));
        let columns = varying(summary, &points);
        let name = |point: &SummaryPoint| match point.cells.iter().all(String::is_empty) {
            true => "reference".to_owned(),
            false => label(summary, &columns, point),
        };
        let references = unplaced.iter().map(|&point| (name(point), point)).collect();
        let (panels, held) =
            panelled(summary, (&placed, taken), &series, axis).unwrap_or_else(|| (vec![sole(&series)], vec![]));
        Plot::Lines(Lines { key: &summary.settings[axis], series, panels, held, references })
    }
}

/// One panel of the best series, as many as can be told apart.
fn sole(series: &[PanelSeries]) -> Panel {
    let mut order: Vec<usize> = (0..series.len().min(SERIES)).collect();
    // Colours follow the order of the table, whatever comes out best.
    order.sort_by_key(|&index| series[index].first);
    let line = |(colour, &series_index): (usize, &usize)| PanelLine {
        name: series[series_index].label.clone(),
        colour,
        series: series_index,
    };
    Panel { label: String::new(), lines: order.iter().enumerate().map(line).collect() }
}

/// The most accurate point; over variation the one that is so where this is largest.
fn best_of<'a>(summary: &StudySummary, placed: &[&'a SummaryPoint], axis: usize) -> Option<&'a SummaryPoint> {
    let place = |point: &SummaryPoint| number(&point.cells[axis]).unwrap_or(f64::NEG_INFINITY);
    let largest = placed.iter().map(|point| place(point)).fold(f64::NEG_INFINITY, f64::max);
    let counts = |point: &&&SummaryPoint| summary.settings[axis] != PREFERRED_AXIS || place(point) == largest;
    let best = |best: &'a SummaryPoint, other: &'a SummaryPoint| if other.mean > best.mean { other } else { best };
    placed.iter().filter(counts).copied().reduce(best)
}

/// Panels of a grid of settings: series by the values of one, panels by those of another, and the rest as at the
/// answer's point; none where fewer than two settings tell series apart, or most combinations have no line.
fn panelled<'a>(
    summary: &'a StudySummary,
    (placed, taken): (&[&'a SummaryPoint], Option<&'a SummaryPoint>),
    series: &[PanelSeries<'a>],
    axis: usize,
) -> Option<(Vec<Panel>, Held<'a>)> {
    let mut columns = varying(summary, placed);
    columns.retain(|&column| column != axis && summary.settings[column] != IMAGES);
    if columns.len() < 2 || summary.settings[0] == PIPELINE {
        return None;
    }
    let values = |column: usize| {
        let mut values: Vec<&str> = Vec::new();
        for point in placed {
            if !values.contains(&point.cells[column].as_str()) {
                values.push(&point.cells[column]);
            }
        }
        values
    };
    let mut ranked = columns.clone();
    ranked.sort_by_key(|&column| std::cmp::Reverse(values(column).len()));
    let by = *ranked.iter().find(|&&column| values(column).len() <= SERIES)?;
    let across = *ranked.iter().find(|&&column| column != by && values(column).len() <= PANELS)?;
    columns.retain(|&column| column != by && column != across);
    let best = taken.or_else(|| best_of(summary, placed, axis))?;
    let mut panels = Vec::new();
    for value in values(across) {
        let belongs = |series: &&PanelSeries| {
            let point = series.points[0].1;
            point.cells[across] == value && columns.iter().all(|&column| point.cells[column] == best.cells[column])
        };
        let mut lines = Vec::new();
        for (index, series) in series.iter().enumerate().filter(|(_, series)| belongs(series)) {
            let point = series.points[0].1;
            let colour = values(by).iter().position(|other| *other == point.cells[by])?;
            lines.push(PanelLine { name: label(summary, &[by], point), colour, series: index });
        }
        lines.sort_by_key(|line| line.colour);
        if let [first, ..] = lines.as_slice() {
            panels.push(Panel { label: label(summary, &[across], series[first.series].points[0].1), lines });
        }
    }
    let joined =
        panels.iter().flat_map(|panel| &panel.lines).filter(|line| series[line.series].points.len() > 1).count();
    let is_grid = panels.len() > 1 && 2 * joined >= values(by).len() * values(across).len();
    let held = columns.iter().map(|&column| (summary.settings[column].as_str(), best.cells[column].as_str()));
    is_grid.then(|| (panels, held.collect()))
}

impl<'a> Plot<'a> {
    /// All points, one below the other; the best first where their order says nothing.
    fn rows(summary: &'a StudySummary, best_first: bool) -> Self {
        let points: Vec<&SummaryPoint> = summary.points.iter().collect();
        let varying = varying(summary, &points);
        let mut rows: Vec<(String, &SummaryPoint)> =
            points.iter().map(|&point| (label(summary, &varying, point), point)).collect();
        if best_first {
            rows.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
        }
        Plot::Rows(Rows { rows, at: None })
    }
}

/// Points that differ in nothing but the setting on an axis, series by series, each ascending.
fn series<'a>(summary: &StudySummary, points: &[&'a SummaryPoint], axis: usize) -> Vec<PanelSeries<'a>> {
    let placed: Vec<&SummaryPoint> = points.iter().copied().filter(|point| !point.cells[axis].is_empty()).collect();
    let mut columns = varying(summary, &placed);
    columns.retain(|&column| column != axis);
    let mut series: Vec<PanelSeries> = Vec::new();
    for (first, point) in placed.into_iter().enumerate() {
        let Some(place) = number(&point.cells[axis]) else { continue };
        let belongs = |series: &&mut PanelSeries| {
            let first = series.points[0].1;
            columns.iter().all(|&column| first.cells[column] == point.cells[column])
        };
        match series.iter_mut().find(belongs) {
            Some(series) => series.points.push((place, point)),
            None => {
                series.push(PanelSeries { label: label(summary, &columns, point), points: vec![(place, point)], first })
            }
        }
    }
    series.iter_mut().for_each(|series| series.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    series
}

/// Whether hardly two points are of one series: they were drawn or listed, and no line joins them.
fn are_drawn(summary: &StudySummary, series: &[PanelSeries]) -> bool {
    let points: usize = series.iter().map(|series| series.points.len()).sum();
    series.len() > 1 && points < 2 * series.len() && summary.settings[0] != PIPELINE
}

/// Points without a place on an axis: all, or of many stages those at the axis's far end.
pub(super) struct Rows<'a> {
    pub rows: Vec<(String, &'a SummaryPoint)>,
    /// The axis and the place on it that all of them share.
    pub at: Option<(&'a str, f64)>,
}

/// Whether points of a study differ in the strength of the RRAM's variation, other than by chance.
pub(super) fn over_variation(summary: &StudySummary) -> bool {
    comparable(summary).1.is_some()
}

/// The points to compare: on as many images as most, at the largest variation, and that scale, where several points
/// share each; else at any.
pub(super) fn comparable(summary: &StudySummary) -> (Vec<&SummaryPoint>, Option<f64>) {
    let mut points = on_most_images(summary);
    let scales = summary.settings.iter().position(|name| name == PREFERRED_AXIS);
    let scales = scales.filter(|column| varying(summary, &points).contains(column));
    let scales = scales.filter(|&column| !are_drawn(summary, &series(summary, &points, column)));
    let largest = scales.and_then(|column| {
        let of = |point: &&SummaryPoint| number(&point.cells[column]);
        let largest = points.iter().filter_map(of).fold(f64::NEG_INFINITY, f64::max);
        points.retain(|point| of(point) == Some(largest));
        largest.is_finite().then_some(largest)
    });
    (points, largest)
}

/// The points on as many images as most of them; of equals, on more.
pub(super) fn on_most_images(summary: &StudySummary) -> Vec<&SummaryPoint> {
    let mut points: Vec<&SummaryPoint> = summary.points.iter().collect();
    let Some(images) = summary.settings.iter().position(|name| name == IMAGES) else { return points };
    let count = |cell: &str| points.iter().filter(|point| point.cells[images] == cell).count();
    let rank = |point: &&&SummaryPoint| (count(&point.cells[images]), point.cells[images].parse::<u64>().unwrap_or(0));
    let most = points.iter().max_by_key(rank).map(|point| point.cells[images].clone());
    points.retain(|point| Some(&point.cells[images]) == most.as_ref());
    points
}

/// Whether a column holds nothing but numbers and empty cells, and at least two different numbers.
fn is_axis(points: &[&SummaryPoint], column: usize) -> bool {
    let mut places = Vec::new();
    for point in points.iter().filter(|point| !point.cells[column].is_empty()) {
        match number(&point.cells[column]) {
            Some(place) => places.push(place),
            None => return false,
        }
    }
    places.iter().any(|&place| place != places[0])
}

pub(super) fn number(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|place: &f64| *place == 0.0 || PLACES.contains(&place.abs()))
}

/// The columns in which the points differ.
pub(super) fn varying(summary: &StudySummary, points: &[&SummaryPoint]) -> Vec<usize> {
    let differs = |&column: &usize| points.iter().any(|point| point.cells[column] != points[0].cells[column]);
    (0..summary.settings.len()).filter(differs).collect()
}

/// Letters of a label with whole keys, at most.
const LONGEST: usize = 64;

/// The label of a point: what it has in each of the columns, `sram.shift = 1`, or the value alone where it is a word in
/// a column that is no configuration key (`float` in `stage`). Where that is long, keys stand by their last parts,
/// unless two of them have the same.
pub(super) fn label(summary: &StudySummary, columns: &[usize], point: &SummaryPoint) -> String {
    let whole = labelled(summary, columns, point, |name| name);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let parts: HashSet<String> = columns.iter().map(|&column| last(&summary.settings[column])).collect();
    if whole.chars().count() <= LONGEST || parts.len() < columns.len() {
        return whole;
    }
    labelled(summary, columns, point, |name| name.rsplit('.').next().unwrap_or(name))
}

/// A label whose keys are written like this.
fn labelled(summary: &StudySummary, columns: &[usize], point: &SummaryPoint, written: impl Fn(&str) -> &str) -> String {
    let cells = columns.iter().map(|&column| (summary.settings[column].as_str(), point.cells[column].as_str()));
    let present: Vec<String> = (cells.clone().filter(|(_, cell)| !cell.is_empty()))
        .map(|(name, cell)| match cell.parse::<f64>() {
            Ok(_) if name == "rram.weight_bits" => format!("{cell}-bit RRAM"),
            Ok(_) if name == "sram.bits" => format!("{cell}-bit SRAM"),
            Ok(_) if name == "images" => format!("{cell} images"),
            Err(_) if !name.contains('.') => cell.to_owned(),
            _ => format!("{} = {cell}", written(name)),
        })
        .collect();
    if !present.is_empty() || columns.is_empty() {
        return present.join(", ");
    }
    let absent: Vec<&str> = cells.map(|(name, _)| name).collect();
    format!("without {}", absent.join(", "))
}

/// The name of a setting with its unit, as an axis shows it.
pub(super) fn title(key: &str) -> &str {
    match key {
        "rram.variation.scale" => "RRAM variation scale (× the profile's variation)",
        "rram.variation.sigma" => "RRAM variation σ",
        "rram.weight_bits" => "RRAM weight precision (bits)",
        "sram.bits" => "SRAM weight precision (bits)",
        "sram.shift" => "SRAM shift (powers of two)",
        "adc.bits" => "ADC resolution (bits)",
        "tile.rows" => "Tile height (word lines)",
        "tile.cols" => "Tile width (bit lines)",
        "wires.word_ohm" => "Word-line resistance per cell (Ω)",
        "wires.bit_ohm" => "Bit-line resistance per cell (Ω)",
        "wires.driver_ohm" => "Resistance of a word line's driver (Ω)",
        "wires.sense_ohm" => "Resistance of a bit line's sense node (Ω)",
        _ => key,
    }
}
