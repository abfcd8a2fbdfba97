//! Writing SVG: shapes in colours that follow the page's light or dark scheme, or in fixed light ones for a file of
//! its own.

use std::fmt::Write;

use super::scale::Scale;
use super::summary::SummaryPoint;

/// The place where a drawing is shown, which gives its width and its colours. Text has the same size on each.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sheet {
    /// Within the page, whose style sheet names the colours, on a wide screen.
    Page,
    /// Within the page on a narrow screen, such as a phone's.
    Phone,
    /// Alone, in light colours that are written out: as wide as makes text of 7 points in a column of 90 mm.
    File,
}

impl Sheet {
    /// Pixels across.
    pub fn width(self) -> f64 {
        match self {
            Sheet::Page => 920.0,
            Sheet::Phone => 380.0,
            Sheet::File => 480.0,
        }
    }

    /// Whether words stand above and below what they are of, as there is no room beside it.
    pub fn is_narrow(self) -> bool {
        self != Sheet::Page
    }
}

/// Pixels of a letter of a drawing's text, on average.
pub(super) const LETTER: f64 = 7.2;

/// The purpose of a colour. Series differ also in their markers.
#[derive(Clone, Copy)]
pub(super) enum Colour {
    Paper,
    Text,
    Muted,
    Grid,
    Series(usize),
}

/// Light colours of the series, told apart also by colour-blind readers: Okabe & Ito 2008, with yellow and black, which
/// do not show on white or look like text, replaced. `style.css` holds the same and their dark counterparts.
const SERIES: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#b0508c", "#b07c00", "#2f97d0", "#7a4a12", "#6b6b6b"];

/// A drawing under construction.
pub(super) struct Svg {
    sheet: Sheet,
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    /// An empty drawing, as wide as its sheet and so many pixels high.
    pub fn new(sheet: Sheet, height: f64) -> Self {
        Self::sized(sheet, [sheet.width(), height])
    }

    /// An empty drawing of a width of its own.
    pub fn sized(sheet: Sheet, [width, height]: [f64; 2]) -> Self {
        Self { sheet, width, height, body: String::new() }
    }

    /// The document; screen readers read `title` and `description`.
    pub fn finish(self, title: &str, description: &str) -> String {
        self.finish_as("chart", title, description)
    }

    /// Ends a drawing that is not the page's chart; no two on a page have the same `id`.
    pub fn finish_as(self, id: &str, title: &str, description: &str) -> String {
        let Self { sheet, width, height, ref body } = self;
        // The page holds a drawing twice, and no two elements of it may have one name.
        let id = if sheet == Sheet::Phone { format!("{id}-phone") } else { id.to_owned() };
        let [title, description] = [title, description].map(escape);
        let paper = match sheet {
            Sheet::Page | Sheet::Phone => String::new(),
            Sheet::File => format!("<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n", self.colour(Colour::Paper)),
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-description\" \
             font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-description\">{description}</desc>\n\
             {paper}{body}</svg>\n"
        )
    }

    /// A straight line of the given width; `extra` holds further attributes.
    pub fn line(&mut self, from: [f64; 2], to: [f64; 2], colour: Colour, width: f64, extra: &str) {
        let stroke = self.colour(colour);
        self.add(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{stroke}\" stroke-width=\"{width}\" \
             {extra}/>",
            from[0], from[1], to[0], to[1]
        ));
    }

    /// A frame's grid, ticks and titles: accuracy or another percentage upwards, within left, right, top and bottom.
    pub fn axes(&mut self, [left, right, top, bottom]: [f64; 4], (x, across): (&Scale, &str), (y, up): (&Scale, &str)) {
        for (at, text) in y.ticks() {
            self.line([left, at], [right, at], Colour::Grid, 1.0, "");
            self.text([left - 9.0, at + 4.5], "end", Colour::Muted, &text, "");
        }
        for (at, text) in x.ticks() {
            self.line([at, bottom], [at, bottom + 5.0], Colour::Muted, 1.0, "");
            self.text([at, bottom + 22.0], "middle", Colour::Muted, &text, "");
        }
        self.line([left, bottom], [right, bottom], Colour::Muted, 1.0, "");
        self.text([(left + right) / 2.0, bottom + 50.0], "middle", Colour::Text, across, "");
        let middle = (top + bottom) / 2.0;
        let at = (left - 52.0).max(12.0);
        let turned = format!("transform=\"rotate(-90 {at:.1} {middle:.1})\"");
        self.text([at, middle], "middle", Colour::Text, up, &turned);
    }

    /// A line through points.
    pub fn path(&mut self, points: &[[f64; 2]], colour: Colour) {
        let stroke = self.colour(colour);
        let points: String = points.iter().map(|[x, y]| format!("{x:.1},{y:.1} ")).collect();
        let points = points.trim_end();
        self.add(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.8\"/>"
        ));
    }

    /// Text whose `anchor` (`start`, `middle`, `end`) is at `at`; `extra` holds further attributes.
    pub fn text(&mut self, at: [f64; 2], anchor: &str, colour: Colour, text: &str, extra: &str) {
        let fill = self.colour(colour);
        let [x, y] = at;
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"13\" fill=\"{fill}\" \
             {extra}>{}</text>",
            escape(text)
        ));
    }

    /// A frame without a filling.
    pub fn outline(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], line: f64) {
        let stroke = self.colour(Colour::Muted);
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"none\" \
             stroke=\"{stroke}\" stroke-width=\"{line}\"/>"
        ));
    }

    /// A tile, coloured by the share of it that is in use.
    pub fn tile(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], share: f64) {
        let (fill, stroke) = (self.colour(Colour::Series(0)), self.colour(Colour::Muted));
        let opacity = 0.08 + 0.82 * share;
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
             fill-opacity=\"{opacity:.2}\" stroke=\"{stroke}\" stroke-width=\"0.4\"/>"
        ));
    }

    /// A rectangle, filled by a share of it.
    pub fn cell(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], share: f64) {
        let fill = self.colour(Colour::Series(0));
        let opacity = 0.06 + 0.54 * share;
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
             fill-opacity=\"{opacity:.2}\"/>"
        ));
    }

    /// A point that stands back.
    pub fn dot(&mut self, [x, y]: [f64; 2]) {
        let fill = self.colour(Colour::Muted);
        self.add(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\" fill=\"{fill}\" opacity=\"0.6\"/>"));
    }

    /// Shapes that say something when pointed at.
    pub fn titled(&mut self, title: &str, shapes: impl FnOnce(&mut Self)) {
        self.add(format_args!("<g><title>{}</title>", escape(title)));
        shapes(self);
        self.add(format_args!("</g>"));
    }

    /// The marker of series `index`.
    pub fn marker(&mut self, [x, y]: [f64; 2], index: usize) {
        const SHAPES: [&str; 8] = [
            "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
            "M-4 -4h8v8h-8z",
            "M0 -5.4L5 3.6H-5z",
            "M0 -5.8L5.8 0L0 5.8L-5.8 0z",
            "M0 5.4L5 -3.6H-5z",
            "M-1.7 -5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
            "M0 -5.4L5.1 -1.7L3.2 4.4H-3.2L-5.1 -1.7z",
            "M-5.4 -3L-3 -5.4L0 -2.4L3 -5.4L5.4 -3L2.4 0L5.4 3L3 5.4L0 2.4L-3 5.4L-5.4 3L-2.4 0z",
        ];
        let (fill, stroke) = (self.colour(Colour::Series(index)), self.colour(Colour::Paper));
        let shape = SHAPES[index % SHAPES.len()];
        self.add(format_args!(
            "<path transform=\"translate({x:.1} {y:.1}) scale(0.85)\" d=\"{shape}\" fill=\"{fill}\" \
             stroke=\"{stroke}\"/>"
        ));
    }

    /// What is known of a point: single chips as faint dots, a thin line from the worst to the best, a thick one over
    /// the confidence interval, a marker at the mean. `place` gives the pixel of an accuracy at a sideways distance.
    pub fn point(&mut self, point: &SummaryPoint, index: usize, dots: bool, place: impl Fn(f64, f64) -> [f64; 2]) {
        let colour = Colour::Series(index);
        if dots {
            let fill = self.colour(colour);
            for (chip, &accuracy) in point.each.iter().enumerate() {
                // Fractions of the golden ratio spread the dots so that equal ones do not hide each other.
                let [x, y] = place(accuracy, ((chip as f64 * 0.618).fract() - 0.5) * 7.0);
                self.add(format_args!(
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.7\" fill=\"{fill}\" opacity=\"0.35\"/>"
                ));
            }
        }
        self.line(place(point.min, 0.0), place(point.max, 0.0), colour, 1.0, "");
        if let Some(half) = point.ci95 {
            let [low, high] = [point.mean - half, point.mean + half].map(|end| end.clamp(0.0, 100.0));
            self.line(place(low, 0.0), place(high, 0.0), colour, 8.0, "opacity=\"0.45\"");
        }
        self.marker(place(point.mean, 0.0), index);
    }

    fn add(&mut self, shape: std::fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{shape}");
    }

    fn colour(&self, colour: Colour) -> String {
        let is_alone = self.sheet == Sheet::File;
        let (alone, named) = match colour {
            Colour::Paper => ("#ffffff", "paper"),
            Colour::Text => ("#1c1e21", "text"),
            Colour::Muted => ("#5c6168", "muted"),
            Colour::Grid => ("#e1e3e6", "grid"),
            Colour::Series(index) if is_alone => (SERIES[index % SERIES.len()], ""),
            Colour::Series(index) => return format!("var(--series-{})", index % SERIES.len()),
        };
        if is_alone { alone.to_owned() } else { format!("var(--{named})") }
    }
}

/// Text as it stands in HTML or XML, within an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(letter),
            // XML has no way to write these.
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ if letter.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// At most `length` letters of a label: its middle goes, as names begin alike and differ where they end.
pub(super) fn shorten(text: &str, length: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= length {
        return text.to_owned();
    }
    let (first, last) = (length.saturating_sub(1) / 2, length / 2);
    letters[..first].iter().chain(&['…']).chain(&letters[letters.len() - last..]).collect()
}

/// A text in lines of at most `length` letters, broken at spaces.
pub(super) fn wrap(text: &str, length: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the start");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > length {
            lines.push(word.to_owned());
        } else {
            *line += if line.is_empty() { "" } else { " " };
            *line += word;
        }
    }
    lines
}

/// The most dots of single chips in one chart; beyond it they are left out.
pub(super) const DOTS: usize = 6000;
