//! Studies: many chips at many points, a store that a kill cannot harm, and the tables that come of it.

mod axes;
mod case;
pub mod cell;
pub mod columns;
pub mod export;
mod force;
pub mod frame;
mod held_out;
pub mod point;
mod reader;
pub mod recipe;
mod runner;
pub mod search;
pub mod sensitivity;
pub mod series;
mod sets;
mod setting;
pub(crate) mod shell;
pub mod space;
pub mod store;
pub mod sweep;
pub mod table;
mod training_file;
pub mod trial;
mod watch;

use std::path::Path;

use serde_json::Value;

use self::point::Point;
use crate::error::Result;
use crate::lock::FolderAccess;
use crate::output::OutputFolder;
use crate::report;

/// The file of what a search or a study of sensitivity says in words: `lead`, a sentence, and `details`.
pub const ANSWER: &str = "answer.json";

/// The first column of a search's tables: what a chip is of, the best, the next better, or the reference.
pub const ANSWERED: &str = "chip_of";

/// What a study writes that has these files of its own: tables, a report, and those.
pub fn files<'a>(own: &[&'a str]) -> Vec<&'a str> {
    let tables = [table::RESULTS_CSV, table::SUMMARY_CSV, table::LAYERS_CSV, table::COMPONENTS_CSV];
    [&tables, &report::FILES[..], own].concat()
}

/// Claims a folder for a study of this origin and these files of its own, does its work, writes the report and marks it
/// as finished.
fn run_into(
    out: &Path,
    origin: &Value,
    force: bool,
    own: &[&str],
    work: impl FnOnce(&OutputFolder) -> Result<Vec<Point>>,
) -> Result<Vec<Point>> {
    let folder = OutputFolder::claim(out, origin, force, &files(own), FolderAccess::Alone)?;
    let points = work(&folder)?;
    report::write(folder.path())?;
    folder.finish()?;
    Ok(points)
}
