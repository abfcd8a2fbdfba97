//! The page that answers a study's question: `report.html`, one self-contained file that asks the network for nothing
//! and is whole without scripts, and its drawings as SVG files, all made from the tables of a result folder.
//!
//! `summary` reads the tables, `plot` decides what stands against what, `lines` and `rows` draw it (`scale`, `svg`),
//! `heat` sets two settings against each other, `pareto` accuracy against what it costs (`cost`), `split` shows where
//! spikes and energy are, `answer` says it in words and with `choice` which setting to take, `floor` draws the chip
//! (each a `figure`), `listing` is the table behind it all, `recovery` that of a recipe, `explore` lets the reader
//! choose axes, `page` puts it together. `curves` are those of a training.

mod answer;
mod choice;
mod compared;
mod cost;
mod curves;
mod explore;
mod figure;
pub mod fitted;
mod floor;
mod heat;
mod lines;
mod listing;
mod page;
mod pareto;
mod plot;
pub mod recovery;
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
use crate::output::{self, DERIVED};
use crate::study::ANSWER;
use crate::study::table::SUMMARY_CSV;
use crate::train::LOG_CSV;

/// The key, of what an origin derives, that holds the points of accuracy that a setting may lose and still be the
/// answer.
pub const WITHIN: &str = "within";
/// The key, of what an origin derives, that holds sentences for the page, beside those that its tables give.
pub const NOTES: &str = "notes";
/// The derived part of an origin that says what ran, where its configuration does not by itself.
pub const RAN: &str = "ran";
/// The sentence about [`WITHIN`] where there is no choice.
const NOT_WITHIN: &str = "The study's `within` chooses between settings that ran on several chips each, at one \
                          strength of variation; here there is no such choice.";

/// The sentence where a recipe's table has no rows that the page could draw.
const NO_ROWS: &str = "The table of recovery.md is of an earlier version and not drawn here: the recipe, run again \
                       with --force, writes its rows too; all that it ran is in its cache.";

use self::choice::Choice;
use self::compared::{COMPARED_CSV, ComparedPoints};
use self::curves::Curves;
use self::figure::{CHART, Figure};
use self::plot::Plot;
use self::recovery::RECOVERY;
use self::summary::StudySummary;

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
/// `dir/summary.csv` and, if they exist, `dir/results.csv` (every chip) and `dir/origin.json` (what was run); of a
/// training, which has `dir/log.csv` in its place, the learning curves. Returns the path of the page.
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
    let origin = read_origin(&dir.join("origin.json"))?;
    // Another study may have left its tables in the folder of a training, and a folder of tables may have no origin.
    let is_training = match command(origin.as_ref()) {
        Some(command) => command == "train",
        None => !dir.join(SUMMARY_CSV).exists() && dir.join(LOG_CSV).exists(),
    };
    let path = dir.join(PAGE);
    if is_training {
        let (html, chart) = of_training(dir, origin.as_ref())?;
        atomic::write(&dir.join(chart.file_name()), chart.file.as_bytes())?;
        atomic::write(&path, html.as_bytes())?;
        return Ok(path);
    }
    let page = of_study(dir, origin.as_ref())?;
    for figure in &page.figures {
        atomic::write(&dir.join(figure.file_name()), figure.file.as_bytes())?;
    }
    // Files of an earlier report that this one has not are taken away.
    let known = (0..heat::PAIRS).map(|number| format!("heat-{number}")).chain(pareto::names());
    let known = known.chain(["split", "floor"].map(String::from)).map(|name| format!("figure-{name}.svg"));
    for stale in known.filter(|name| page.figures.iter().all(|figure| figure.file_name() != *name)) {
        output::remove(&dir.join(stale))?;
    }
    match &page.compared {
        Some(table) => atomic::write(&dir.join(COMPARED_CSV), table.as_bytes())?,
        None => output::remove(&dir.join(COMPARED_CSV))?,
    }
    atomic::write(&path, page.html.as_bytes())?;
    Ok(path)
}

/// The first sentences of the page of a study in a folder.
///
/// # Errors
/// [`Error::File`] and [`Error::Io`] as [`write`] has them, where tables are missing or hold something else.
pub fn lead(dir: &Path) -> Result<String> {
    let origin = read_origin(&dir.join("origin.json"))?;
    Ok(of_study(dir, origin.as_ref())?.lead)
}

/// The page of a study, before it is in its folder.
struct StudyPage {
    html: String,
    /// The first sentences.
    lead: String,
    /// Its drawings, the chart first.
    figures: Vec<Figure>,
    /// The table of points compared in pairs.
    compared: Option<String>,
}

type Origin = serde_json::Map<String, serde_json::Value>;

fn name_of(dir: &Path) -> String {
    dir.file_name().map_or("Results".into(), |name| name.to_string_lossy().into_owned())
}

/// The command that made a folder.
fn command(origin: Option<&Origin>) -> Option<&str> {
    origin?.get("command")?.as_str()
}

/// The page of a training, and its chart.
fn of_training(dir: &Path, origin: Option<&Origin>) -> Result<(String, Figure)> {
    let curves = Curves::read(dir)?;
    let answer = curves.answer();
    let chart = curves.figure(&answer);
    let parts = page::PageParts { figures: chart.html(), table: curves.table(), ..Default::default() };
    Ok((page::html(&name_of(dir), &answer, &parts, origin), chart))
}

/// The points of accuracy that a study gives up, where it says so.
fn within(origin: Option<&Origin>) -> Option<f64> {
    origin?.get(DERIVED)?.get(WITHIN)?.as_f64()
}

/// The page of a study's points.
fn of_study(dir: &Path, origin: Option<&Origin>) -> Result<StudyPage> {
    let summary = StudySummary::read(dir)?;
    let (command, within) = (command(origin), within(origin));
    let fronts = pareto::of(&summary, within);
    let written = match command {
        Some("search" | "sensitivity") => answer::written(&dir.join(ANSWER))?,
        _ => None,
    };
    let compared = ComparedPoints::of(&summary);
    // Variation is no choice, and neither is what a search or a ranking has answered itself.
    let is_choice = written.is_none() && !plot::over_variation(&summary);
    let choice = compared.as_ref().filter(|_| is_choice);
    let choice = choice.and_then(|compared| Choice::of(&summary, compared, within));
    let plot = Plot::of(&summary, choice.as_ref().map(Choice::taken));
    let found = || answer::of(&plot, compared.as_ref(), choice.as_ref(), &fronts, &summary);
    let mut answer = written.unwrap_or_else(found);
    let notes = origin.and_then(|origin| origin.get(DERIVED)?.get(NOTES)?.as_array());
    answer.details.extend(notes.into_iter().flatten().filter_map(|note| note.as_str().map(String::from)));
    if choice.is_none() && within.is_some() {
        answer.details.push(NOT_WITHIN.into());
    }
    // Another study may have left its table.
    let is_recipe = command.is_none_or(|command| command == "recipe");
    let recovery = if is_recipe { recovery::html(dir)? } else { String::new() };
    if is_recipe && recovery.is_empty() && dir.join(RECOVERY).exists() {
        answer.details.push(NO_ROWS.into());
    }
    let description = answer.text();
    let dots = summary.listed_chips() <= svg::DOTS;
    let draw = |sheet| match &plot {
        Plot::Lines(lines) => lines::draw(lines, &description, sheet, dots),
        Plot::Rows(rows) => rows::draw(&rows.rows, &description, sheet, dots),
    };
    let split = split::of(dir, &summary, choice.as_ref().map(Choice::taken))?;
    let figures: Vec<Figure> = [Figure::of(CHART, draw, page::caption(&summary, &plot))]
        .into_iter()
        .chain(heat::of(&summary).iter().enumerate().map(|(number, pair)| pair.figure(number)))
        .chain(fronts.iter().filter(|front| front.is_drawn()).map(pareto::Front::figure))
        .chain(split.map(|split| split.figure()))
        .chain(origin.and_then(|origin| floor::figure(origin, summary.points.len() > 1)))
        .collect();
    let table = compared.as_ref().map(|compared| compared.csv(&summary));
    let parts = page::PageParts {
        recovery,
        figures: figures.iter().map(Figure::html).collect(),
        explore: explore::section(&summary, within),
        table: listing::table(&summary),
        downloads: page::downloads(dir, table.as_deref())?,
    };
    let html = page::html(&name_of(dir), &answer, &parts, origin);
    Ok(StudyPage { html, lead: answer.lead, figures, compared: table })
}

fn read_origin(path: &Path) -> Result<Option<Origin>> {
    let Some(text) = read_if_there(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| Error::file(path, format!("expected a JSON object: {error}")))
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::io(path)),
    }
}
