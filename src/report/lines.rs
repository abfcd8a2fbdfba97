//! The chart of accuracy against a numeric setting: a line per series, named at its right end or below, in one panel or
//! in several that share their axes.

use super::plot::{Lines, Panel, PanelLine, REFERENCES, title};
use super::scale::{Scale, ends};
use super::summary::SummaryPoint;
use super::svg::{Colour, LETTER, Sheet, Svg, shorten, wrap};

/// Left, top and bottom margins of a frame: its axis and title stand there.
const LEFT: f64 = 66.0;
const TOP: f64 = 20.0;
const BELOW: f64 = 62.0;
/// Pixels of a frame's height: alone on a wide sheet, alone on a narrow one, and one of several.
const HEIGHT: [f64; 3] = [388.0, 260.0, 170.0];

/// Letters of the longest label beside a frame.
const LABEL: usize = 36;

/// The vertical distance of labels.
const LABEL_STEP: f64 = 19.0;

/// The places of frames and names.
struct ChartLayout {
    /// Left, right, top and bottom of each panel's frame.
    frames: Vec<[f64; 4]>,
    /// Whether names stand beside the only frame, at the ends of their lines; else below all frames.
    aside: bool,
    /// The height at which the names below all frames begin.
    names: f64,
    height: f64,
}

impl ChartLayout {
    fn of(lines: &Lines, sheet: Sheet, names: &[LineName]) -> Self {
        let (width, count) = (sheet.width(), lines.panels.len());
        let (alone, aside) = (count == 1, count == 1 && !sheet.is_narrow());
        let across = if sheet == Sheet::Phone { 1 } else { count.min(if sheet == Sheet::Page { 3 } else { 2 }) };
        let height = HEIGHT[if alone { usize::from(sheet.is_narrow()) } else { 2 }];
        let longest = names.iter().map(|name| letters(&shorten(&name.text, LABEL))).fold(0.0, f64::max);
        let frame = |index: usize| {
            let step = width / across as f64;
            let left = step * (index % across) as f64 + if index.is_multiple_of(across) { LEFT } else { 40.0 };
            let right = if aside { width - 34.0 - longest * LETTER } else { step * (index % across + 1) as f64 - 14.0 };
            let top = TOP + (height + TOP + BELOW) * (index / across) as f64;
            [left, right, top, top + height]
        };
        let names_from = (height + TOP + BELOW) * count.div_ceil(across) as f64 + 6.0;
        let below = if aside { 0 } else { names.iter().map(|name| name.lines(sheet).len()).sum() };
        let height = names_from + if below > 0 { below as f64 * LABEL_STEP + 4.0 } else { 0.0 };
        ChartLayout { frames: (0..count).map(frame).collect(), aside, names: names_from, height }
    }
}

/// The width of a text in letters of average width; capitals are wider.
fn letters(text: &str) -> f64 {
    text.chars().map(|letter| if letter.is_uppercase() { 1.3 } else { 1.0 }).sum()
}

/// The name of a series or of a reference.
struct LineName {
    text: String,
    /// The colour of a series; a reference is dashed.
    colour: Option<usize>,
}

impl LineName {
    /// The text as it stands below a chart.
    fn lines(&self, sheet: Sheet) -> Vec<String> {
        wrap(&self.text, ((sheet.width() - 40.0) / LETTER) as usize)
    }

    /// The marker of the series, or the dashes of the reference, left of the text.
    fn mark(&self, svg: &mut Svg, [x, y]: [f64; 2]) {
        match self.colour {
            Some(colour) => svg.marker([x + 8.0, y], colour),
            None => svg.line([x, y], [x + 16.0, y], Colour::Muted, 1.5, "stroke-dasharray=\"4 3\""),
        }
    }
}

/// Names of all series, by colours, and of references.
fn names(lines: &Lines) -> Vec<LineName> {
    let mut names: Vec<LineName> = Vec::new();
    for line in lines.panels.iter().flat_map(|panel| &panel.lines).filter(|line| !line.name.is_empty()) {
        if names.iter().all(|name| name.colour != Some(line.colour)) {
            names.push(LineName { text: line.name.clone(), colour: Some(line.colour) });
        }
    }
    names.sort_by_key(|name| name.colour);
    let references = lines.references.iter().take(REFERENCES);
    names.extend(references.map(|(label, _)| LineName { text: label.clone(), colour: None }));
    names
}

/// Draws the chart; `dots` shows single chips.
pub(super) fn draw(lines: &Lines, description: &str, sheet: Sheet, dots: bool) -> String {
    let names = names(lines);
    let layout = ChartLayout::of(lines, sheet, &names);
    let shown = || lines.panels.iter().flat_map(|panel| &panel.lines).map(|line| &lines.series[line.series]);
    let points = || shown().flat_map(|series| &series.points);
    let references = &lines.references[..lines.references.len().min(REFERENCES)];
    let drawn = || points().map(|&(_, point)| point).chain(references.iter().map(|&(_, point)| point));
    let (places, accuracies) = (ends(points().map(|&(place, _)| place)), ends(drawn().flat_map(SummaryPoint::extent)));
    let whole = points().all(|&(place, _)| place.fract() == 0.0);

    let mut svg = Svg::new(sheet, layout.height);
    for (panel, frame) in lines.panels.iter().zip(&layout.frames) {
        let [left, right, top, bottom] = *frame;
        let room = 30.0f64.min((right - left) / 8.0);
        let x = Scale::spread(places, [left + room, right - room], ((right - left) / 62.0).clamp(2.0, 8.0), whole);
        let y = Scale::percent(accuracies, [bottom, top], ((bottom - top) / 62.0).max(2.0));
        let up = if left == LEFT { "Accuracy (%)" } else { "" };
        svg.axes(*frame, (&x, fitting(title(lines.key), right - left + 24.0)), (&y, up));
        if !panel.label.is_empty() {
            let label = shorten(&panel.label, ((right - left) / LETTER) as usize);
            svg.text([left, top - 6.0], "start", Colour::Text, &label, "font-weight=\"bold\"");
        }
        for (_, point) in references {
            let at = y.place(point.mean);
            svg.line([left, at], [right, at], Colour::Muted, 1.5, "stroke-dasharray=\"7 5\"");
        }
        draw_panel(&mut svg, lines, panel, [&x, &y], (room, dots));
        if layout.aside {
            name_ends(&mut svg, lines, panel, &y, right);
        }
    }
    if !layout.aside {
        let mut at = layout.names;
        for name in &names {
            name.mark(&mut svg, [10.0, at]);
            for text in name.lines(sheet) {
                svg.text([34.0, at + 4.5], "start", Colour::Text, &text, "");
                at += LABEL_STEP;
            }
        }
    }
    svg.finish(&format!("Accuracy against {}", title(lines.key)), description)
}

/// A title, without what it has in brackets where that does not fit.
fn fitting(title: &str, pixels: f64) -> &str {
    match title.split_once(" (") {
        Some((short, _)) if title.chars().count() as f64 * LETTER > pixels => short,
        _ => title,
    }
}

/// The lines of a panel and what is known of their points, whose places begin `room` pixels within the frame; `dots`
/// shows single chips.
fn draw_panel(svg: &mut Svg, lines: &Lines, panel: &Panel, [x, y]: [&Scale; 2], (room, dots): (f64, bool)) {
    let points = |series: usize| lines.series[series].points.iter();
    let places = panel.lines.iter().flat_map(|line| points(line.series)).map(|&(place, _)| place);
    // Series stand a little beside each other, so that points of the same place do not cover one another.
    let count = panel.lines.len() as f64;
    let apart = (nearest(places, x) * 0.7 / count).min(12.0).min(1.6 * room / count);
    let shift = |index: usize| (index as f64 - (panel.lines.len() - 1) as f64 / 2.0) * apart;
    for (index, line) in panel.lines.iter().enumerate() {
        let path: Vec<[f64; 2]> =
            points(line.series).map(|&(place, point)| [x.place(place) + shift(index), y.place(point.mean)]).collect();
        svg.path(&path, Colour::Series(line.colour));
    }
    for (index, line) in panel.lines.iter().enumerate() {
        for &(place, point) in points(line.series) {
            let at = x.place(place) + shift(index);
            svg.point(point, line.colour, dots, |accuracy, aside| [at + aside, y.place(accuracy)]);
        }
    }
}

/// The names of lines at their right ends, moved apart where these are close.
fn name_ends(svg: &mut Svg, lines: &Lines, panel: &Panel, y: &Scale, right: f64) {
    let of = |line: &PanelLine| {
        let name = LineName { text: line.name.clone(), colour: Some(line.colour) };
        (y.place(lines.series[line.series].last().1.mean), name)
    };
    let of_reference = |(label, point): &(String, &SummaryPoint)| {
        (y.place(point.mean), LineName { text: label.clone(), colour: None })
    };
    let mut names: Vec<(f64, LineName)> = (panel.lines.iter().filter(|line| !line.name.is_empty()).map(of))
        .chain(lines.references.iter().take(REFERENCES).map(of_reference))
        .collect();
    spread(&mut names);
    for (at, name) in names {
        name.mark(svg, [right + 6.0, at]);
        svg.text([right + 28.0, at + 4.5], "start", Colour::Text, &shorten(&name.text, LABEL), "");
    }
}

/// The smallest distance, in pixels, of different places on the axis.
fn nearest(places: impl Iterator<Item = f64>, x: &Scale) -> f64 {
    let mut pixels: Vec<f64> = places.map(|place| x.place(place)).collect();
    pixels.sort_by(f64::total_cmp);
    pixels.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0.0).fold(f64::INFINITY, f64::min)
}

/// Moves labels apart, keeping their order from top to bottom and within the frame.
fn spread(labels: &mut [(f64, LineName)]) {
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut floor = TOP;
    for label in labels.iter_mut() {
        label.0 = label.0.max(floor);
        floor = label.0 + LABEL_STEP;
    }
    let mut ceiling = TOP + HEIGHT[0];
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(ceiling);
        ceiling = label.0 - LABEL_STEP;
    }
}
