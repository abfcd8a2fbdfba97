//! Axes of the reader's choice: the points within the page, and a small script that draws any column against any other.
//! Without scripts nothing of it is seen, and the page is whole; the page's policy lets this one script run, by its
//! hash.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::plot::varying;
use super::summary::{Point, Summary};

const SCRIPT: &str = include_str!("explore.js");
/// Points that are within the page, at most.
const MOST: usize = 5000;

/// The source that the page's policy allows.
pub(super) fn hash() -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(SCRIPT)))
}

/// The section and its script; empty where there is nothing to choose.
pub(super) fn section(summary: &Summary) -> String {
    let all: Vec<&Point> = summary.points.iter().collect();
    if varying(summary, &all).is_empty() || all.len() > MOST {
        return String::new();
    }
    let is_number = |column: &usize| {
        all.iter().all(|point| point.further[*column].is_empty() || point.further[*column].parse::<f64>().is_ok())
    };
    let further: Vec<usize> = (0..summary.further.len()).filter(is_number).collect();
    let fixed = ["accuracy_mean", "accuracy_ci95", "accuracy_min", "accuracy_max", "spikes_per_image"];
    let metrics: Vec<&str> =
        fixed.into_iter().chain(further.iter().map(|column| summary.further[*column].as_str())).collect();
    let row = |point: &Point| -> Value {
        let numbers = [Some(point.mean), point.ci95, Some(point.min), Some(point.max), point.spikes];
        let further = further.iter().map(|column| point.further[*column].parse::<f64>().ok());
        let settings = point.cells.iter().map(|cell| json!(cell));
        settings.chain(numbers.into_iter().chain(further).map(|number| json!(number))).collect()
    };
    let rows: Vec<Value> = summary.points.iter().map(row).collect();
    let data = json!({ "settings": summary.settings, "metrics": metrics, "rows": rows }).to_string();
    format!(
        "<section id=\"explore\" hidden>\n<h2>Axes of your choice</h2>\n<form></form>\n<figure></figure>\n\
         <p role=\"status\"></p>\n</section>\n\
         <script type=\"application/json\" id=\"points\">{}</script>\n<script>{SCRIPT}</script>\n",
        // Nothing in it may end the element.
        data.replace('<', "\\u003c")
    )
}
