//! `crosspike report`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use crate::announced;
use crate::error::Result;
use crate::report;

/// Write report.html from a folder of results.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  crosspike report runs/quickstart")]
pub struct Args {
    /// The folder of a study, which holds summary.csv, or of a training, which holds log.csv.
    dir: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    announced::check_folder(&args.dir)?;
    crate::study::sweep::merge_folder(&args.dir)?;
    let page = report::write(&args.dir)?;
    Ok(Said::new(format!("wrote {}", page.display()), json!({ "wrote": page })))
}
