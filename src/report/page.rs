//! The HTML page: question and answer, the chart, the table behind it, and where the numbers come from.

use std::path::Path;

use serde_json::{Map, Value};

use super::answer::Answer;
use super::explore;
use super::figure::Figure;
use super::plot::{Plot, REFERENCES, ROWS, Rows, SERIES};
use super::summary::{Point, Summary};
use super::svg::{DOTS, escape};
use crate::error::{Error, Result};
use crate::study::search::TRIED_CSV;
use crate::study::table::{COMPONENTS_CSV, LAYERS_CSV, RESULTS_CSV, SUMMARY_CSV};

/// What the page shows beside its words; HTML may be empty.
pub(super) struct Parts<'a> {
    pub recovery: String,
    pub chart: &'a Figure,
    pub more: &'a [Figure],
    pub downloads: String,
}

/// Tables of more bytes than this are not within the page.
const DOWNLOAD: u64 = 1 << 20;

/// Links that give the tables of a folder, which are within the page.
pub(super) fn downloads(dir: &Path) -> Result<String> {
    let mut links = Vec::new();
    for name in [SUMMARY_CSV, RESULTS_CSV, LAYERS_CSV, COMPONENTS_CSV, TRIED_CSV] {
        let path = dir.join(name);
        match std::fs::metadata(&path) {
            Ok(file) if file.len() <= DOWNLOAD => {}
            _ => continue,
        }
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
        let encoded = bytes.iter().map(|byte| match plain(byte) {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02X}"),
        });
        let data: String = encoded.collect();
        links.push(format!("<a download=\"{name}\" href=\"data:text/csv;charset=utf-8,{data}\">{name}</a>"));
    }
    Ok(if links.is_empty() {
        String::new()
    } else {
        format!("<p class=\"downloads\">Tables: {}</p>\n", links.join(", "))
    })
}

/// The whole document; `folder` is its title if the origin names none.
pub(super) fn html(
    folder: &str,
    summary: &Summary,
    answer: &Answer,
    Parts { recovery, chart, more, downloads }: &Parts,
    origin: Option<&Map<String, Value>>,
) -> String {
    let text = |key: &str| origin.and_then(|origin| origin.get(key)).and_then(Value::as_str).map(escape);
    let title = text("title").unwrap_or_else(|| escape(folder));
    let question =
        text("question").map(|question| format!("<p class=\"question\">{question}</p>\n")).unwrap_or_default();
    let details: String = answer.details.iter().map(|detail| format!("<li>{}</li>\n", escape(detail))).collect();
    let details = if details.is_empty() { details } else { format!("<ul>\n{details}</ul>\n") };
    let explore = explore::section(summary);
    let version = text("version").map(|version| format!("crosspike {version}")).unwrap_or_default();
    let command = text("command").map(|command| format!(" · <code>{command}</code>")).unwrap_or_default();
    let origin = origin.map(|origin| {
        let json = serde_json::to_string_pretty(origin).unwrap_or_default();
        format!(
            "<details>\n<summary>Origin: how to get these numbers again</summary>\n<pre>{}</pre>\n</details>\n",
            escape(&json)
        )
    });
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'{scripts}\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{question}<p class=\"answer\">{lead}</p>\n{details}{recovery}\
         {chart}{more}{explore}{table}{downloads}{origin}\
         </main>\n<footer>{version}{command}</footer>\n</body>\n</html>\n",
        style = include_str!("style.css"),
        lead = escape(&answer.lead),
        chart = chart.html(),
        more = more.iter().map(Figure::html).collect::<String>(),
        scripts = if explore.is_empty() { String::new() } else { format!("; script-src {}", explore::hash()) },
        table = table(summary),
        origin = origin.unwrap_or_default(),
    )
}

/// The tables of a Markdown text, each under the line before it.
pub(super) fn tables(text: &str) -> String {
    let mut html = String::new();
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        if !block.starts_with('|') {
            html.push_str(&format!("<h2>{}</h2>\n", escape(block.trim_end_matches(':'))));
            continue;
        }
        // A value keeps its interval beside it.
        let cell = |cell: &str| cell.trim().replace(" ± ", "\u{a0}±\u{a0}");
        let cells = |line: &str| line.trim_matches('|').split('|').map(cell).collect::<Vec<_>>();
        let mut lines = block.lines().map(cells);
        let (header, ruler) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let numeric = |column: usize| class(ruler.get(column).is_some_and(|rule| rule.ends_with(':')));
        let row = |cells: Vec<String>, cell: &str| {
            let cells =
                cells.iter().enumerate().map(|(i, text)| format!("<{cell}{}>{}</{cell}>", numeric(i), escape(text)));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let head = row(header, "th");
        let body: String = lines.map(|cells| row(cells, "td")).collect();
        html.push_str(&format!(
            "<div class=\"table\" role=\"region\" aria-label=\"Recovery\" tabindex=\"0\">\n<table>\n\
             <thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        ));
    }
    html
}

/// How to read the chart, and what it leaves out.
pub(super) fn caption(summary: &Summary, plot: &Plot) -> String {
    let several = summary.points.iter().any(|point| point.chips > 1);
    let chips = summary.listed_chips();
    let mut caption = String::from(if several {
        "Marker: mean over chips. Shaded bar: 95 % confidence interval of the mean. Thin line: worst to best chip."
    } else {
        "Marker: accuracy of one chip."
    });
    if several && chips > DOTS {
        caption.push_str(&format!(" Single chips are left out, as there are {chips}."));
    } else if several && chips > 0 {
        caption.push_str(" Faint dots: single chips.");
    }
    match plot {
        Plot::Lines(lines) => {
            if lines.series.len() > 1 {
                caption.push_str(" Series stand a little beside each other to stay readable.");
            }
            if !lines.references.is_empty() {
                caption.push_str(" Dashed: a reference to which the horizontal axis does not apply.");
            }
            if lines.references.len() > REFERENCES {
                caption.push_str(&format!(" Shown are {REFERENCES} of {} references.", lines.references.len()));
            }
            if lines.series.len() > SERIES {
                caption.push_str(&format!(" Shown are the best {SERIES} of {} series.", lines.series.len()));
            }
        }
        Plot::Rows(Rows { rows, at }) => {
            if let Some((key, place)) = at {
                caption.push_str(&format!(" All at {key} = {place}."));
            }
            if rows.len() > ROWS {
                caption.push_str(&format!(" Shown are the first {ROWS} of {} points.", rows.len()));
            }
        }
    }
    caption
}

/// The table behind the chart.
fn table(summary: &Summary) -> String {
    let metrics = ["chips", "mean", "std", "±\u{a0}95\u{a0}%", "worst", "best", "spikes per image"];
    let settings: String = (summary.settings.iter().enumerate())
        .map(|(column, name)| {
            let numeric = summary.points.iter().all(|point| is_numeric_or_empty(&point.cells[column]));
            format!("<th scope=\"col\"{}>{}</th>", class(numeric), escape(name))
        })
        .collect();
    let title = |name: &String| match name.as_str() {
        "accuracy_q05" => "95\u{a0}% reach".to_owned(),
        name => escape(&name.replace('_', " ")),
    };
    let titles = summary.further.iter().map(title);
    let titles = metrics.iter().map(|name| (*name).to_owned()).chain(titles);
    let metrics: String = titles.map(|name| format!("<th scope=\"col\" class=\"number\">{name}</th>")).collect();
    let rows: String = summary.points.iter().map(row).collect();
    format!(
        "<div class=\"table\" role=\"region\" aria-label=\"All points\" tabindex=\"0\">\n<table>\n\
         <caption>All points; accuracy over chips in percent</caption>\n\
         <thead>\n<tr>{settings}{metrics}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}

fn row(point: &Point) -> String {
    let settings = point.cells.iter().enumerate().map(|(column, cell)| {
        let class = class(is_numeric_or_empty(cell));
        let cell = if cell.is_empty() { "–".into() } else { escape(cell) };
        if column == 0 { format!("<th scope=\"row\"{class}>{cell}</th>") } else { format!("<td{class}>{cell}</td>") }
    });
    let percent = |value: f64| format!("{value:.2}");
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".into());
    let metrics = [
        point.chips.to_string(),
        percent(point.mean),
        or_dash(point.std.map(percent)),
        or_dash(point.ci95.map(percent)),
        percent(point.min),
        percent(point.max),
        or_dash(point.spikes.map(|spikes| format!("{spikes:.1}"))),
    ];
    let further = point.further.iter().map(|cell| match cell.as_str() {
        "" => "–".into(),
        cell => cell.parse().map_or_else(
            |_| escape(cell),
            |value: f64| if value.fract() == 0.0 { cell.into() } else { percent(value) },
        ),
    });
    let metrics = metrics.into_iter().chain(further).map(|metric| format!("<td class=\"number\">{metric}</td>"));
    format!("<tr>{}</tr>\n", settings.chain(metrics).collect::<String>())
}

fn is_numeric_or_empty(cell: &str) -> bool {
    cell.is_empty() || cell.parse::<f64>().is_ok()
}

fn class(numeric: bool) -> &'static str {
    if numeric { " class=\"number\"" } else { "" }
}
