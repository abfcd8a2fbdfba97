//! The HTML page: question and answer, the chart, the table behind it, and where the numbers come from.

use std::path::Path;

use serde_json::{Map, Value};

use super::RAN;
use super::answer::PageAnswer;
use super::compared::COMPARED_CSV;
use super::explore;
use super::plot::{Plot, REFERENCES, ROWS, Rows, SERIES};
use super::summary::StudySummary;
use super::svg::{DOTS, escape};
use crate::error::{Error, Result};
use crate::output::DERIVED;
use crate::study::search::TRIED_CSV;
use crate::study::table::{COMPONENTS_CSV, LAYERS_CSV, RESULTS_CSV, SUMMARY_CSV};

/// The parts of the page below its words, as HTML; each may be empty.
#[derive(Default)]
pub(super) struct PageParts {
    pub recovery: String,
    pub figures: String,
    /// Axes of the reader's choice, which need the one script that the page allows.
    pub explore: String,
    pub table: String,
    pub downloads: String,
}

/// Findings that are open on the page.
const OPEN: usize = 3;
/// Digits of a checkpoint's hash that the page shows.
const HASH: usize = 12;
/// Tables of more bytes than this are not within the page.
const DOWNLOAD: u64 = 1 << 20;

/// Links that give the tables of a folder and `compared`, the table of points in pairs, which are within the page.
pub(super) fn downloads(dir: &Path, compared: Option<&str>) -> Result<String> {
    let mut links = Vec::new();
    for name in [SUMMARY_CSV, RESULTS_CSV, LAYERS_CSV, COMPONENTS_CSV, TRIED_CSV] {
        let path = dir.join(name);
        match std::fs::metadata(&path) {
            Ok(file) if file.len() <= DOWNLOAD => {}
            _ => continue,
        }
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        links.push(download(name, &bytes));
    }
    links.extend(compared.map(|table| download(COMPARED_CSV, table.as_bytes())));
    Ok(if links.is_empty() {
        String::new()
    } else {
        format!("<p class=\"downloads\">Tables: {}</p>\n", links.join(", "))
    })
}

/// A link that gives a table.
fn download(name: &str, bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    let encoded = bytes.iter().map(|byte| match plain(byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    let data: String = encoded.collect();
    format!("<a download=\"{name}\" href=\"data:text/csv;charset=utf-8,{data}\">{name}</a>")
}

/// The whole document; `folder` is its title if the origin names none.
pub(super) fn html(
    folder: &str,
    answer: &PageAnswer,
    parts: &PageParts,
    origin: Option<&Map<String, Value>>,
) -> String {
    let PageParts { recovery, figures, explore, table, downloads } = parts;
    let text = |key: &str| origin.and_then(|origin| origin.get(key)).and_then(Value::as_str).map(escape);
    let title = text("title").unwrap_or_else(|| escape(folder));
    let question =
        text("question").map(|question| format!("<p class=\"question\">{question}</p>\n")).unwrap_or_default();
    let details = findings(&answer.details);
    let version = text("version").map(|version| format!("crosspike {version}")).unwrap_or_default();
    let command = text("command").map(|command| format!(" · <code>{command}</code>")).unwrap_or_default();
    let ran = origin.and_then(ran).unwrap_or_default();
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
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'{scripts}\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{question}<p class=\"answer\">{lead}</p>\n{details}{recovery}\
         {figures}{explore}{table}{downloads}{ran}{origin}\
         </main>\n<footer>{version}{command}</footer>\n</body>\n</html>\n",
        style = include_str!("style.css"),
        lead = escape(&answer.lead),
        scripts = if explore.is_empty() { String::new() } else { format!("; script-src {}", explore::hash()) },
        origin = origin.unwrap_or_default(),
    )
}

/// A paragraph of what ran, as the origin names it; none where it names nothing. What differs from point to point is in
/// the table and left out here.
fn ran(origin: &Map<String, Value>) -> Option<String> {
    let said = origin.get(DERIVED).and_then(|derived| derived.get(RAN));
    let configuration = said.or(origin.get("configuration"))?.as_object()?;
    let differs = |key: &str| {
        let points = configuration.get("points").and_then(Value::as_array).into_iter().flatten();
        let mut settings = points.flat_map(|point| point.as_array().into_iter().flatten());
        settings.any(|setting| setting.get(0).and_then(Value::as_str) == Some(key))
    };
    let value = |key: &str| configuration.get(key).filter(|_| !differs(key));
    let text = |key: &str| value(key).and_then(Value::as_str);
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(|name| format!("<b>{}</b>", escape(name)));
    let network = value("model").and_then(name).map(|name| {
        let hash = text("checkpoint_sha256").filter(|_| !differs("checkpoint")).and_then(|hash| hash.get(..HASH));
        let checkpoint = hash.map_or(String::new(), |hash| format!(" (checkpoint {})", escape(hash)));
        format!("network {name}{checkpoint}")
    });
    let profiles = configuration.get("profiles").and_then(Value::as_array).into_iter().flatten();
    let profiles: Vec<String> = value("profile").into_iter().chain(profiles).filter_map(name).collect();
    let profiles = (!profiles.is_empty()).then(|| format!("hardware {}", profiles.join(", ")));
    let count = |key: &str, name: &str| {
        let count = value(key).and_then(Value::as_u64)?;
        Some(if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") })
    };
    // A recipe and a training have theirs among their own keys.
    let own = |section: &str| configuration.get(section)?.get("seed")?.as_u64();
    let seed = value("seed").and_then(Value::as_u64).or_else(|| own("recipe")).or_else(|| own("train"));
    let seed = seed.map(|seed| format!("seed {seed}"));
    let data = text("data").map(|data| format!("data {}", escape(data)));
    let per_chip = value("images_per_chip").and_then(Value::as_u64).map(|count| format!("{count} of them a chip"));
    let parts = [network, profiles, data, count("images", "image"), per_chip, count("chips", "chip"), seed];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("<p class=\"about\">What ran: {}.</p>\n", parts.join("; ")))
}

/// Further findings: the first few open, so that they do not push the picture off the screen, and the rest folded.
fn findings(details: &[String]) -> String {
    let list = |details: &[String]| -> String {
        let items: String = details.iter().map(|detail| format!("<li>{}</li>\n", escape(detail))).collect();
        if items.is_empty() { items } else { format!("<ul>\n{items}</ul>\n") }
    };
    if details.len() <= OPEN + 1 {
        return list(details);
    }
    let (open, folded) = details.split_at(OPEN);
    let (open, more, folded) = (list(open), folded.len(), list(folded));
    format!("{open}<details>\n<summary>{more} more findings</summary>\n{folded}</details>\n")
}

/// How to read the chart, and what it leaves out.
pub(super) fn caption(summary: &StudySummary, plot: &Plot) -> String {
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
            if lines.shown() > 1 {
                caption.push_str(" Series stand a little beside each other to stay readable.");
            }
            if !lines.references.is_empty() {
                caption.push_str(" Dashed: a reference to which the horizontal axis does not apply.");
            }
            if lines.references.len() > REFERENCES {
                caption.push_str(&format!(" Shown are {REFERENCES} of {} references.", lines.references.len()));
            }
            if lines.panels.len() > 1 {
                caption.push_str(" Panels share their axes, and a colour is one setting in all of them.");
            }
            if !lines.held.is_empty() {
                let held = lines.held.iter().filter(|(_, value)| !value.is_empty());
                let held: Vec<String> = held.map(|(key, value)| format!("{key} = {value}")).collect();
                let held = if held.is_empty() { String::new() } else { format!(" at {},", held.join(", ")) };
                caption.push_str(&format!(" All else is{held} as at the answer."));
            } else if lines.series.len() > lines.shown() {
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
