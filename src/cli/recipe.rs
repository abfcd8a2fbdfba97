//! `crosspike recipe`.

use std::path::PathBuf;

use serde_json::json;

use super::options::Backend;
use super::{said::Said, terminal::Terminal};
use crate::config::Overrides;
use crate::error::{Error, Result};
use crate::lock::Access;
use crate::output::OutputFolder;
use crate::report::{self, RECOVERY};
use crate::study::export::rows;
use crate::study::files;
use crate::study::recipe::{CACHE, FILES, OWN_KEYS, Recipe};
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
    let engine = args.backend.open()?;
    let origin = recipe.origin(engine.as_ref())?;
    let folder = OutputFolder::claim(&args.out, &origin, args.force, &files(&FILES), Access::Alone)?;
    recipe.run(engine.as_ref(), &folder, &Terminal::default())?;
    let page = report::write(folder.path())?;
    folder.finish()?;
    let table = folder.file(RECOVERY);
    let text = std::fs::read_to_string(&table).map_err(Error::io(&table))?;
    let text = format!("{text}\nwrote {} and {}; {CACHE} holds the checkpoints", page.display(), table.display());
    let points = folder.file(SUMMARY_CSV);
    Ok(Said::with(text, move || Ok(json!({ "points": rows(&points)?, "wrote": [page, table] }))))
}
