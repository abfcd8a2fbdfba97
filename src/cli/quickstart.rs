//! `crosspike quickstart`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::said::Said;
use super::terminal::Terminal;
use crate::config::Overrides;
use crate::engine::cpu::CpuEngine;
use crate::error::Result;
use crate::report::PAGE;
use crate::study::export::rows;
use crate::study::point::Point;
use crate::study::recipe::Recipe;
use crate::study::table::SUMMARY_CSV;

/// The recipe that it runs.
const RECIPE: &str = "crosspike:recipes/quickstart.toml";
/// The key of that recipe's grid.
const SCALE: &str = "rram.variation.scale";

/// Train a small network on the embedded digits and compare it on float, 4-bit, varying and compensated chips.
#[derive(clap::Args)]
#[command(after_help = "\
Runs recipes/quickstart.toml, which is within the binary; needs no data, no GPU and some fifteen seconds. Writes
OUT/results.csv, OUT/summary.csv, OUT/recovery.md, three checkpoints (float, baseline, vat) and OUT/report.html.
OUT/cache keeps what is finished: after a kill, the same command goes on.

Example:
  crosspike quickstart --out runs/quickstart")]
pub struct Args {
    /// The folder for results.
    #[arg(long, default_value = "runs/quickstart")]
    out: PathBuf,
    /// Write the tables anew where OUT holds a finished run or another; the cache stays.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let recipe = Recipe::read(Path::new(RECIPE), &Overrides::default())?;
    let points = recipe.run_into(&CpuEngine::default(), &args.out, args.force, &Terminal::brief())?;
    let page = args.out.join(PAGE);
    let text = format!("{}\nwrote {}", table(&points), page.display());
    let points = args.out.join(SUMMARY_CSV);
    Ok(Said::with(text, move || Ok(json!({ "points": rows(&points)?, "wrote": page }))))
}

/// Stages down, variation scales across; a stage without a scale stands in the first column.
fn table(points: &[Point]) -> String {
    let value = |point: &'_ Point, key| point.setting(key).unwrap_or_default().to_owned();
    let distinct = |key| -> Vec<String> {
        let values = points.iter().map(|point| value(point, key)).filter(|value| !value.is_empty());
        values.fold(vec![], |known, value| if known.contains(&value) { known } else { [known, vec![value]].concat() })
    };
    let scales = distinct(SCALE);
    let cell = |stage: &str, scale: &String| {
        let is_here = |own: String| own == *scale || (own.is_empty() && *scale == scales[0]);
        let point = points.iter().find(|point| value(point, "stage") == stage && is_here(value(point, SCALE)));
        point.map_or(String::new(), |point| {
            let stats = point.accuracy();
            format!("{:.1}{}", stats.mean, stats.ci95.map_or(String::new(), |half| format!(" ± {half:.1}")))
        })
    };
    let line = |name: &str, cells: Vec<String>| -> String {
        let cells: String = cells.iter().map(|cell| format!("{cell:>14}")).collect();
        format!("{name:<16}{}\n", cells.trim_end())
    };
    let heads = scales.iter().map(|scale| if scale == "0.0" { "none".into() } else { format!("{scale} σ") });
    let stages = distinct("stage");
    let rows = stages.iter().map(|stage| line(stage, scales.iter().map(|scale| cell(stage, scale)).collect()));
    let chips = points.iter().map(|point| point.chips.len()).max().unwrap_or(0);
    let title = format!("Test accuracy in percent: mean ± 95 % interval over {chips} chips");
    format!("\n{title}\n\n{}{}", line("variation", heads.collect()), rows.collect::<String>())
}
