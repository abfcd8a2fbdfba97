//! Axes of the reader's choice: the points within the page, and a small script that draws any column against any other.
//! Without scripts nothing of it is seen, and the page is whole; the page's policy lets this one script run, by its
//! hash.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cost::{AS_GOOD, COSTS};
use super::listing::shown;
use super::plot::{IMAGES, PREFERRED_AXIS, comparable, varying};
use super::summary::{StudySummary, SummaryPoint};

const SCRIPT: &str = include_str!("explore.js");
/// Points that are within the page, at most.
const MOST: usize = 5000;

/// The source that the page's policy allows.
pub(super) fn hash() -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(SCRIPT)))
}

/// The section and its script; empty where there is nothing to choose.
pub(super) fn section(summary: &StudySummary, within: Option<f64>) -> String {
    let all: Vec<&SummaryPoint> = summary.points.iter().collect();
    if varying(summary, &all).is_empty() || all.len() > MOST {
        return String::new();
    }
    let is_number = |column: &usize| {
        all.iter().all(|point| point.further[*column].is_empty() || point.further[*column].parse::<f64>().is_ok())
    };
    let further: Vec<usize> = (0..summary.further.len()).filter(is_number).collect();
    let fixed =
        ["accuracy mean", "accuracy ci95", "accuracy min", "accuracy max", "spikes per image"].map(String::from);
    let titles = further.iter().map(|column| shown(&summary.further[*column]).0);
    let metrics: Vec<String> = fixed.into_iter().chain(titles).collect();
    let row = |point: &SummaryPoint| -> Value {
        let numbers = [Some(point.mean), point.ci95, Some(point.min), Some(point.max), point.spikes];
        let number = |column: &usize| {
            point.further[*column].parse::<f64>().ok().map(|value| {
                // Six digits are what the tables of studies have.
                let value = value * shown(&summary.further[*column]).1;
                format!("{value:.6}").parse::<f64>().unwrap_or(value)
            })
        };
        let further = further.iter().map(number);
        let settings = point.cells.iter().map(|cell| json!(cell));
        settings.chain(numbers.into_iter().chain(further).map(|number| json!(number))).collect()
    };
    let rows: Vec<Value> = summary.points.iter().map(row).collect();
    let (compared, _) = comparable(summary);
    let best = compared.into_iter().reduce(|best, other| if other.mean > best.mean { other } else { best });
    let best = best.and_then(|best| summary.points.iter().position(|point| std::ptr::eq(point, best)));
    let costs = COSTS.iter().filter(|cost| summary.further.iter().any(|name| name == cost.column));
    let costs: Vec<String> = costs.map(|cost| shown(cost.column).0).chain(["spikes per image".into()]).collect();
    let data = json!({
        "settings": summary.settings, "metrics": metrics, "rows": rows, "costs": costs, "best": best,
        "within": within.unwrap_or(AS_GOOD), "shared": [PREFERRED_AXIS, IMAGES],
    });
    let data = data.to_string();
    format!(
        "<section id=\"explore\" hidden>\n<h2>Axes of your choice</h2>\n<form></form>\n<figure></figure>\n\
         <p role=\"status\"></p>\n<form></form>\n<p role=\"status\"></p>\n</section>\n\
         <script type=\"application/json\" id=\"points\">{}</script>\n<script>{SCRIPT}</script>\n",
        // Nothing in it may end the element.
        data.replace('<', "\\u003c")
    )
}
