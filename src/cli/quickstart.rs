//! `crosspike quickstart`.

use std::path::PathBuf;

use serde_json::json;

use super::{said::Said, terminal::Terminal};
use crate::engine::cpu::CpuEngine;
use crate::error::Result;
use crate::report::PAGE;
use crate::study::export::rows;
use crate::study::point::Point;
use crate::study::quickstart::{CHIPS, Quickstart, SCALES};
use crate::study::table::SUMMARY_CSV;

/// Train a small network on the embedded digits and compare it on float, 4-bit, varying and compensated chips.
#[derive(clap::Args)]
#[command(after_help = "\
Needs no data, no GPU and some fifteen seconds. Writes OUT/results.csv, OUT/summary.csv, the three
checkpoints and OUT/report.html.

Example:
  crosspike quickstart --out runs/quickstart")]
pub struct Args {
    /// The folder for results.
    #[arg(long, default_value = "runs/quickstart")]
    out: PathBuf,
    /// Overwrite an earlier run.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let quickstart = Quickstart::new()?;
    let engine = CpuEngine::default();
    let points = quickstart.run_into(&engine, &args.out, args.force, &Terminal::default())?;
    let page = args.out.join(PAGE);
    let text = format!("{}\nwrote {}", table(&points), page.display());
    let points = args.out.join(SUMMARY_CSV);
    Ok(Said::with(text, move || Ok(json!({ "points": rows(&points)?, "wrote": page }))))
}

/// Stages down, variation scales across.
fn table(points: &[Point]) -> String {
    let mut text = format!("\nTest accuracy in percent: mean ± spread over {CHIPS} chips\n\nvariation       ");
    text += &SCALES.map(|s| format!("{:>14}", if s == 0.0 { "none".into() } else { format!("{s} σ") })).concat();
    let mut stage = None;
    for point in points {
        let name = &point.settings[0].1;
        if stage != Some(name) {
            text += &format!("\n{name:<16}");
            stage = Some(name);
        }
        let stats = point.accuracy();
        let cell = match stats.std {
            Some(std) => format!("{:.1} ± {std:.1}", stats.mean),
            None => format!("{:.1}", stats.mean),
        };
        text += &format!("{cell:>14}");
    }
    text + "\n"
}
