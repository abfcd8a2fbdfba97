//! `crosspike recipe`.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::HumanDuration;
use serde_json::json;

use super::said::Said;
use super::terminal::{Terminal, note};
use crate::config::Overrides;
use crate::engine::backend::Backend;
use crate::error::{Error, Result};
use crate::report::PAGE;
use crate::report::recovery::RECOVERY;
use crate::study::export::rows;
use crate::study::recipe::{CACHE, OWN_KEYS, Recipe, RecipeOutlook};
use crate::study::table::SUMMARY_CSV;

/// Train and evaluate a pipeline of stages, and say what each wins back and costs.
#[derive(clap::Args)]
#[command(after_help = "\
Writes OUT/recovery.md (the table) and OUT/recovery.json (its rows), OUT/results.csv (a row a point and chip),
OUT/summary.csv (a row a point) and OUT/report.html. OUT/cache holds every finished training and evaluation by a
hash of what determines it: after a kill, or where the recipe has changed, only what is missing runs.

Examples:
  crosspike recipe recipes/fashion_recovery.toml --out runs/recovery --dry-run
  crosspike recipe recipes/fashion_recovery.toml --out runs/recovery
  crosspike recipe recipes/fashion_recovery.toml --out runs/recovery --force --set evaluate.chips=100")]
pub struct Args {
    /// The recipe file.
    recipe: PathBuf,
    /// The folder for results and cache.
    #[arg(long, default_value = "runs/recipe")]
    out: PathBuf,
    /// Override a key: the file's own (evaluate.chips=5, train.epochs=1), the profiles' (rram.variation.sigma=0.2) or
    /// the model's (model.steps=4); KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print what would run and an estimate of its time, from a few training steps and one chip of each stage; write
    /// nothing.
    #[arg(long, conflicts_with = "force")]
    dry_run: bool,
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
    if args.dry_run {
        recipe.notices().iter().for_each(|notice| note(notice));
        return Ok(said_of(&recipe.outlook(engine.as_ref(), &args.out)?));
    }
    recipe.run_into(engine.as_ref(), &args.out, args.force, &Terminal::default())?;
    let [page, table, points] = [PAGE, RECOVERY, SUMMARY_CSV].map(|file| args.out.join(file));
    let text = std::fs::read_to_string(&table).map_err(Error::io(&table))?;
    let text = format!("{text}\nwrote {} and {}; {CACHE} holds the checkpoints", page.display(), table.display());
    Ok(Said::with(text, move || Ok(json!({ "points": rows(&points)?, "wrote": [page, table] }))))
}

/// The outlook of a recipe in words.
fn said_of(outlook: &RecipeOutlook) -> Said {
    let RecipeOutlook { trainings, trained, training, trials, there, evaluation } = *outlook;
    let time = |missing: u64, time: Duration| match missing {
        0 => "nothing to run".to_owned(),
        _ => format!("{missing} to run, about {}", HumanDuration(time)),
    };
    let s = if trainings == 1 { "" } else { "s" };
    let text = format!(
        "{trainings} training{s}, {trained} of them there; {}\n{trials} trials, {there} of them there; {}\nabout {} in \
         all",
        time(trainings - trained, training),
        time(trials - there, evaluation),
        HumanDuration(training + evaluation)
    );
    let json = json!({
        "trainings": trainings, "trained": trained, "training_seconds": training.as_secs_f64(),
        "trials": trials, "there": there, "evaluation_seconds": evaluation.as_secs_f64(),
        "seconds": (training + evaluation).as_secs_f64(),
    });
    Said::new(text, json)
}
