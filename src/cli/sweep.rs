//! `crosspike sweep`.

use std::path::PathBuf;

use super::options::Backend;
use super::{say, terminal::Terminal};
use crate::config::Overrides;
use crate::error::{Error, Result};
use crate::output::OutputFolder;
use crate::report;
use crate::study::sweep::{FILES, OWN_KEYS, Shard, Sweep};

/// Evaluate a grid of settings, many chips each; resumes an unfinished sweep of the same configuration.
#[derive(clap::Args)]
#[command(after_help = "\
Writes OUT/results.csv (a row a point and chip), OUT/summary.csv (a row a point) and OUT/report.html.
Shards share OUT; the last to finish merges.

Examples:
  crosspike sweep recipes/fashion_variation.toml --out runs/variation
  crosspike sweep recipes/fashion_variation.toml --out runs/variation --shard 2/4")]
pub struct Args {
    /// The sweep file.
    sweep: PathBuf,
    /// The folder for results.
    #[arg(long)]
    out: PathBuf,
    /// Override a key: the file's own (chips=5, checkpoint=C), the profile's (rram.weight_bits=2) or the model's (model.steps=8).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Run part I of N, I from 1.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = parse_shard)]
    shard: Shard,
    /// Go on with an unfinished sweep, the default where OUT holds one of the same configuration; a finished one is then
    /// no error.
    #[arg(long)]
    resume: bool,
    /// Overwrite a finished or different sweep.
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// What runs the chips.
    #[arg(long, default_value = "auto")]
    backend: Backend,
}

fn parse_shard(text: &str) -> std::result::Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index, of }),
        _ => Err("expected I/N with I from 1 to N, such as 2/4".into()),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let sweep = Sweep::read(&args.sweep, &Overrides::sort(&args.set, &OWN_KEYS)?)?;
    let engine = args.backend.open()?;
    let origin = sweep.origin(engine.as_ref());
    if args.force && args.shard.of > 1 {
        return Err(Error::Usage("--force would delete what other shards have done; remove the folder first".into()));
    }
    let folder = match OutputFolder::finished(&args.out, &origin).filter(|_| args.resume) {
        Some(finished) => finished,
        None => OutputFolder::claim(&args.out, &origin, args.force, &FILES)?,
    };
    if sweep.run(engine.as_ref(), &folder, args.shard, &Terminal::default())? {
        let page = report::write(folder.path())?;
        folder.finish()?;
        return say(&format!("wrote {}", page.display()));
    }
    say(&format!("shard {}/{} is finished; others are not", args.shard.index, args.shard.of))
}
