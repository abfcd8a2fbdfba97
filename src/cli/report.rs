//! `crosspike report`.

use std::path::PathBuf;

use super::say;
use crate::error::Result;
use crate::report;

/// Write report.html from a folder of results.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  crosspike report runs/quickstart")]
pub struct Args {
    /// The folder that holds summary.csv.
    dir: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    crate::study::sweep::merge_folder(&args.dir)?;
    say(&format!("wrote {}", report::write(&args.dir)?.display()))
}
