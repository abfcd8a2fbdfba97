//! `crosspike recipe`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use super::terminal::{Terminal, note};
use crate::config::Overrides;
use crate::engine::backend::Backend;
use crate::error::{Error, Result};
use crate::report::{PAGE, RECOVERY};
use crate::study::export::rows;
use crate::study::recipe::{CACHE, OWN_KEYS, Recipe};
use crate::study::table::SUMMARY_CSV;

/// Train and evaluate a pipeline of stages, and say what each wins back and costs.
#[derive(clap::Args)]
#[command(after_help = "\
Writes OUT/recovery.md (the table), OUT/results.csv (a row a point and chip), OUT/summary.csv (a row a point) and
OUT/report.html. OUT/cache holds every finished training and evaluation by a hash of what determines it: after a
kill, or where the recipe has changed, only what is missing runs.

Examples:
  crosspike recipe recipes/fashion_recovery.toml --out runs/recovery
  crosspike recipe recipes/fashion_recovery.toml --out runs/recovery --force --set evaluate.chips=100")]
pub struct Args {
    /// The recipe file.
    recipe: PathBuf,
    /// The folder for results and cache.
    #[arg(long, default_value = "runs/recipe")]
    out: PathBuf,
    /// Override a key: the file's own (evaluate.chips=5, train.epochs=1), the profiles' (rram.variation.sigma=0.2) or the
    /// model's (model.steps=4); KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the tables anew where OUT holds a finished or different recipe; the cache stays.
    #[arg(long)]
    force: bool,
    /// What runs the chips.
    #[arg(long, default_value = "auto")]
    backend: Backend,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let recipe = Recipe::read(&args.recipe, &Overrides::sort(&args.set, &OWN_KEYS)?)?;
    let engine = args.backend.open(note)?;
    recipe.run_into(engine.as_ref(), &args.out, args.force, &Terminal::default())?;
    let [page, table, points] = [PAGE, RECOVERY, SUMMARY_CSV].map(|file| args.out.join(file));
    let text = std::fs::read_to_string(&table).map_err(Error::io(&table))?;
    let text = format!("{text}\nwrote {} and {}; {CACHE} holds the checkpoints", page.display(), table.display());
    Ok(Said::with(text, move || Ok(json!({ "points": rows(&points)?, "wrote": [page, table] }))))
}
