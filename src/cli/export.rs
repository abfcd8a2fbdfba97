//! `crosspike export`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use crate::announced;
use crate::error::{Error, Result};
use crate::output::{OutputFolder, check_free};
use crate::study::export::{Format, export};

/// Write the table of a sweep or recipe as CSV, JSON Lines or Parquet, by the ending of the file's name.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  crosspike export runs/variation results.parquet
  crosspike export runs/variation summary.jsonl --table summary")]
pub struct Args {
    /// The folder of results.
    folder: PathBuf,
    /// The file to write: *.csv, *.jsonl or *.parquet.
    to: PathBuf,
    /// A row a chip, a row a point, or where spikes and energy are: a row a point and layer, or component.
    #[arg(long, default_value = "results", value_parser = ["results", "summary", "layers", "components"])]
    table: String,
    /// Replace the file where it is there.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let Args { folder, to, table, force } = args;
    let Some(format) = Format::of(to) else {
        return Err(Error::Usage(format!("{}: expected a name that ends in .csv, .jsonl or .parquet", to.display())));
    };
    check_free(to, *force)?;
    let table = folder.join(format!("{table}.csv"));
    if let Some((_, origin)) = OutputFolder::open(folder)?.filter(|_| !table.exists()) {
        let message = match origin["command"].as_str() {
            Some("train") => "is a training's: it has no tables of points; its log.csv has a row an epoch",
            _ => "is not finished, and has no tables yet; the command that made it goes on where it stopped",
        };
        return Err(Error::file(folder, message));
    }
    announced::announce("FILE", to)?;
    announced::reading(&table)?;
    export(&table, format, to)?;
    Ok(Said::new(format!("wrote {}", to.display()), json!({ "wrote": to })))
}
