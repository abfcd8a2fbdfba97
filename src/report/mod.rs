//! The page that answers a study's question: `report.html`, one self-contained file that asks the network for nothing
//! and is whole without scripts, and its drawings as SVG files, all made from the tables of a result folder.
//!
//! `summary` reads the tables, `plot` decides what stands against what, `lines` and `rows` draw it (`scale`, `svg`),
//! `heat` sets two settings against each other, `pareto` accuracy against what it costs, `split` shows where spikes and
//! energy are, `answer` says it in words, `floor` draws the chip (each a `figure`), `explore` lets the reader choose
//! axes, `page` puts all of it together.

mod answer;
mod compared;
mod explore;
mod figure;
pub mod fitted;
mod floor;
mod heat;
mod lines;
mod page;
mod pareto;
mod plot;
mod rows;
mod scale;
mod split;
mod summary;
mod svg;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::atomic;
use crate::error::{Error, Result};
use crate::output;
use crate::study::ANSWER;

/// The table of a pipeline, beside those of its points.
pub const RECOVERY: &str = "recovery.md";

use self::compared::{COMPARED_CSV, Compared};
use self::figure::Figure;
use self::plot::Plot;
use self::summary::Summary;

/// The page.
///
/// # Examples
/// ```
/// use crosspike::{REPORT_PAGE, write_report};
///
/// # let folder = std::env::temp_dir().join(format!("crosspike-page-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let header = "bits,chips,accuracy_mean,accuracy_std,accuracy_ci95,accuracy_min,accuracy_max,spikes_per_image";
/// # std::fs::write(folder.join("summary.csv"), format!("{header}\n2,5,71.5,2.1,2.6,69,74,410\n4,5,90.2,0.8,1,89,91,395\n")).unwrap();
/// write_report(&folder)?;
/// assert!(folder.join(REPORT_PAGE).exists());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const PAGE: &str = "report.html";
/// Files that it writes.
pub const FILES: [&str; 7] =
    [PAGE, COMPARED_CSV, "accuracy.svg", "figure-heat-*", "figure-pareto-*", "figure-split.svg", "figure-floor.svg"];

/// Writes `dir/report.html`, its chart as `dir/accuracy.svg` and its further drawings as `dir/figure-*.svg` from
/// `dir/summary.csv` and, if they exist, `dir/results.csv` (every chip) and `dir/origin.json` (what was run). Returns
/// the path of the page.
///
/// # Errors
/// [`Error::File`] if `summary.csv` is missing or a table does not hold what it should, [`Error::Io`] if the folder
/// cannot be read or written.
///
/// # Examples
/// ```
/// use crosspike::write_report;
///
/// # let folder = std::env::temp_dir().join(format!("crosspike-report-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let table = "bits,chips,accuracy_mean,accuracy_std,accuracy_ci95,accuracy_min,accuracy_max,spikes_per_image\n\
///              2,5,71.5,2.1,2.6,69,74,410\n4,5,90.2,0.8,1,89,91,395\n";
/// std::fs::write(folder.join("summary.csv"), table).unwrap(); // As a sweep writes it.
/// let page = write_report(&folder)?;
/// assert!(std::fs::read_to_string(page).unwrap().contains("90.2"));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn write(dir: &Path) -> Result<PathBuf> {
    let summary = Summary::read(dir)?;
    let origin = read_origin(&dir.join("origin.json"))?;
    let plot = Plot::of(&summary);
    let mut answer = answer::of(&plot, &summary);
    let fronts = pareto::of(&summary);
    let found: Vec<String> = fronts.iter().filter_map(pareto::Front::answer).collect();
    answer.details.splice(0..0, found);
    if origin.as_ref().is_some_and(|origin| {
        origin.get("command").is_some_and(|command| command == "search" || command == "sensitivity")
    }) && let Some(said) = answer::written(&dir.join(ANSWER))?
    {
        answer = said;
    }
    let dots = summary.listed_chips() <= svg::DOTS;
    let draw = |ink| match &plot {
        Plot::Lines(lines) => lines::draw(lines, &answer, ink, dots),
        Plot::Rows(rows) => rows::draw(&rows.rows, &answer, ink, dots),
    };
    let chart = Figure::of("accuracy", draw, page::caption(&summary, &plot));
    let heat = heat::of(&summary);
    let more = (heat.iter().enumerate().map(|(number, pair)| pair.figure(number)))
        .chain(fronts.iter().map(pareto::Front::figure))
        .chain(split::of(dir, &summary)?.map(|split| split.figure()))
        .chain(origin.as_ref().and_then(floor::figure))
        .collect::<Vec<Figure>>();
    let folder = dir.file_name().map(|name| name.to_string_lossy()).unwrap_or("Results".into());
    // Another study may have left its table.
    let is_recipe =
        origin.as_ref().is_none_or(|origin| origin.get("command").is_none_or(|command| command == "recipe"));
    let table = if is_recipe { read_if_there(&dir.join(RECOVERY))? } else { None };
    let recovery = table.map(|text| page::tables(&text)).unwrap_or_default();
    let parts = page::Parts { recovery, chart: &chart, more: &more, downloads: page::downloads(dir)? };
    let compared = dir.join(COMPARED_CSV);
    match Compared::of(&summary) {
        Some(found) => atomic::write(&compared, found.csv(&summary).as_bytes())?,
        None => output::remove(&compared)?,
    }
    let html = page::html(&folder, &summary, &answer, &parts, origin.as_ref());

    atomic::write(&dir.join("accuracy.svg"), chart.file.as_bytes())?;
    let file = |figure: &Figure| format!("figure-{}.svg", figure.name);
    for figure in &more {
        atomic::write(&dir.join(file(figure)), figure.file.as_bytes())?;
    }
    // Files of an earlier report that this one has not are taken away.
    let known = (0..heat::PAIRS).map(|number| format!("heat-{number}")).chain(pareto::names());
    let known = known.chain(["split", "floor"].map(String::from)).map(|name| format!("figure-{name}.svg"));
    for stale in known.filter(|name| more.iter().all(|figure| file(figure) != *name)) {
        output::remove(&dir.join(stale))?;
    }
    let path = dir.join("report.html");
    atomic::write(&path, html.as_bytes())?;
    Ok(path)
}

fn read_origin(path: &Path) -> Result<Option<serde_json::Map<String, serde_json::Value>>> {
    let Some(text) = read_if_there(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| Error::file(path, format!("expected a JSON object: {error}")))
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::io(path)),
    }
}
