//! `crosspike sweep`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use super::slurm::{Submission, Submitted, words};
use super::terminal::{Terminal, note};
use crate::config::Overrides;
use crate::engine::backend::Backend;
use crate::error::{Error, Result};
use crate::report::{self, PAGE};
use crate::study::export::rows;
use crate::study::sweep::{OWN_KEYS, Shard, Sweep, SweepPlan, There};
use crate::study::table::SUMMARY_CSV;

/// Evaluate points of settings, many chips each; resumes an unfinished sweep of the same configuration.
#[derive(clap::Args)]
#[command(
    after_help = r#"Writes OUT/results.csv (a row a point and chip), OUT/summary.csv (a row a point) and OUT/report.html. Shards
share OUT; the last to finish merges. A sweep file has a [grid] of values or ranges, [[point]] tables that set
several keys at once, a [sample] of drawn points, or several of them, whose product runs:
  [grid]
  "rram.variation.scale" = [0.0, 1.0, 2.0]
  "wires.bit_ohm" = { from = 0.01, to = 1.0, count = 5, scale = "log" }
  [sample]
  count = 50                            # method = "latin_hypercube" | "random"
  [sample.keys]
  "rram.cell.on_off_ratio" = { from = 3.0, to = 1000.0, scale = "log" }
chips = { ci95 = 0.5, most = 200 } runs each point's chips until the mean's 95 % interval is that narrow.

Examples:
  crosspike sweep recipes/fashion_variation.toml --out runs/variation
  crosspike sweep recipes/fashion_variation.toml --out runs/variation --shard 2/4
  crosspike sweep recipes/fashion_variation.toml --out runs/variation --slurm 8 --slurm-option=--cpus-per-task=4
With GNU parallel:
  parallel crosspike sweep recipes/fashion_variation.toml --out runs/variation --shard {}/4 ::: 1 2 3 4"#
)]
pub struct Args {
    /// The sweep file.
    sweep: PathBuf,
    /// The folder for results.
    #[arg(long)]
    out: PathBuf,
    /// Override a key: the file's own (chips=5, checkpoint=C), the profile's (rram.weight_bits=2) or the model's
    /// (model.steps=8); KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Run part I of N, I from 1.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = parse_shard)]
    shard: Shard,
    /// Go on in a folder whose sweep is finished, or was another: trials that are there count wherever nothing that
    /// determines them has changed. (An unfinished sweep of the same configuration goes on by itself.)
    #[arg(long)]
    resume: bool,
    /// Submit so many shards to Slurm as a job array, and a job behind it that merges; both can be requeued. Scripts
    /// and logs are in OUT/slurm.
    #[arg(long, value_name = "N", conflicts_with = "shard", value_parser = clap::value_parser!(u64).range(1..=65536))]
    slurm: Option<u64>,
    /// An option of sbatch for every shard, such as --slurm-option=--time=1:00:00.
    #[arg(long, value_name = "OPTION", requires = "slurm", allow_hyphen_values = true)]
    slurm_option: Vec<String>,
    /// Print what would run and an estimate of its time, from a few chips; write nothing.
    #[arg(long, conflicts_with_all = ["resume", "force"])]
    dry_run: bool,
    /// Overwrite a finished or different sweep.
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// What runs the chips.
    #[arg(long, default_value = "auto")]
    backend: Backend,
}

pub(super) fn parse_shard(text: &str) -> std::result::Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index, of }),
        _ => Err("expected I/N with I from 1 to N, such as 2/4".into()),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let sweep = Sweep::read(&args.sweep, &Overrides::sort(&args.set, &OWN_KEYS)?)?;
    let engine = args.backend.open(note)?;
    if args.force && args.shard.of > 1 {
        return Err(Error::Usage("--force would delete what other shards have done; remove the folder first".into()));
    }
    if args.dry_run {
        sweep.notices().iter().for_each(|notice| note(notice));
        let plan = sweep.plan(engine.as_ref(), &args.out, args.shard)?;
        let SweepPlan { points, chips, trials, there, missing, .. } = plan;
        let json = json!({
            "points": points, "chips": chips, "trials": trials, "there": there, "missing": missing,
            "seconds_each": plan.each.as_secs_f64(), "seconds": plan.time().as_secs_f64(),
        });
        return Ok(Said::new(described(&plan, args.shard), json));
    }
    let folder = sweep.claim(engine.as_ref(), &args.out, There::of(args.resume, args.force))?;
    if let Some(tasks) = args.slurm {
        return submit(args, &sweep, tasks as usize);
    }
    if sweep.run_into(engine.as_ref(), &folder, args.shard, &Terminal::default())? {
        let page = folder.file(PAGE);
        let lead = report::lead(folder.path())?;
        let (text, table) = (format!("{lead}\nwrote {}", page.display()), folder.file(SUMMARY_CSV));
        return Ok(Said::with(text, move || Ok(json!({ "finished": true, "points": rows(&table)?, "wrote": page }))));
    }
    let Shard { index, of } = args.shard;
    let text = format!("shard {index}/{of} is finished; others are not");
    Ok(Said::new(text, json!({ "finished": false, "shard": index, "shards": of })))
}

/// A plan in words.
fn described(plan: &SweepPlan, shard: Shard) -> String {
    let SweepPlan { points, chips, until, trials, there, missing, each } = plan;
    let at = if shard.of > 1 { format!(" in shard {}/{}", shard.index, shard.of) } else { String::new() };
    let what = match missing {
        0 => format!("nothing to run{at}"),
        _ => format!(
            "{missing} to run{at}, some {:.1} s each: about {}",
            each.as_secs_f64(),
            indicatif::HumanDuration(plan.time())
        ),
    };
    let at_most = if *until { " at most" } else { "" };
    format!("{points} points x {chips} chips{at_most} = {trials} trials, {there} of them there; {what}")
}

/// Submits the shards of a sweep whose folder is claimed.
fn submit(args: &Args, sweep: &Sweep, tasks: usize) -> Result<Said> {
    let folder = std::path::absolute(&args.out).map_err(Error::io(&args.out))?;
    let words = words("sweep", &args.sweep, &folder, &args.set, args.backend)?;
    let submission = Submission { name: sweep.name(), tasks, options: &args.slurm_option, folder: &folder, words };
    let (Submitted { array, merge }, logs) = (submission.submit()?, submission.logs());
    let text =
        format!("submitted {tasks} shards as job {array}, and job {merge} that merges; logs are in {}", logs.display());
    Ok(Said::new(text, json!({ "shards": tasks, "array_job": array, "merge_job": merge, "logs": logs })))
}
