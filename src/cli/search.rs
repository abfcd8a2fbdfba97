//! `crosspike search`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::said::Said;
use super::slurm::{Submission, words};
use super::sweep::parse_shard;
use super::terminal::{Terminal, note};
use crate::config::Overrides;
use crate::engine::backend::Backend;
use crate::error::{Error, Result};
use crate::report::PAGE;
use crate::study::export::rows;
use crate::study::search::{OWN_KEYS, Search};
use crate::study::sweep::{Shard, There};
use crate::study::table::SUMMARY_CSV;

/// Find the cheapest chip that is good enough, or a front of several goals; resumes an unfinished search of the same
/// configuration.
#[derive(clap::Args)]
#[command(after_help = r#"A search file names network, profile and data as a sweep does, and then what is asked:
  minimise = "energy_pj_per_image"  # sram_bytes, area_mm2, latency_ns, …
  limit = 4800                      # test images; others judge the answer
  held_out_from = 12000             # or training images that were left out
  chips = 16                        # a candidate, at most
  own_images = true                 # 300 for each chip; else each runs all
  set = { "rram.variation.scale" = 2.0 }          # conditions
  reference = { "rram.variation.scale" = 0.0 }    # what accuracy is compared to
  [constraint]
  accuracy = { within = 1.0, confidence = 0.95 }  # or least = 86.0
  [space]
  "adc.bits" = [3, 4, 5, 6]
  "layer.*.sram.bits" = [0, 1, 2, 3]              # of each layer by itself
  "tile.rows" = { from = 64, to = 512, count = 4, scale = "log" }
  [validate]
  chips = 50
A list in `minimise` makes a front. Candidates race: all are judged on the same first chips, each with the
same images for all candidates, and the good ones on more chips. Writes OUT/best.toml (or front_1.toml, ...),
a profile that runs as it is, OUT/answer.json, OUT/summary.csv (what was judged on chips and images that the
search did not see), OUT/tried.csv (all candidates) and OUT/report.html. For one seed the same bytes, after
any kill and with any number of shards, but with a --budget in time.

Examples:
  crosspike search recipes/digits_search.toml --out runs/search
  crosspike search recipes/digits_search.toml --out runs/search --set minimise=sram_bytes --budget 10min
  crosspike search recipes/digits_search.toml --out runs/search --dry-run
  crosspike search recipes/digits_search.toml --out runs/search --slurm 8 --slurm-option=--cpus-per-task=4"#)]
pub struct Args {
    /// The search file.
    search: PathBuf,
    /// The folder for results.
    #[arg(long)]
    out: PathBuf,
    /// Override a key: the file's own (chips=5, minimise=sram_bytes), the profile's (rram.weight_bits=2) or the model's
    /// (model.steps=8); KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Run part I of N of the trials, I from 1: all parts search together, each waits for what the others run, and the
    /// first writes the answer.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = parse_shard)]
    shard: Shard,
    /// End the search after so many trials, or, with a time such as 90s, 10min or 2h, so early that its answer is
    /// judged after about so long; a generation that has begun is finished.
    #[arg(long, value_name = "TRIALS|TIME", value_parser = parse_budget)]
    budget: Option<Budget>,
    /// Go on in a folder whose search is finished, or was another: trials that are there count wherever nothing that
    /// determines them has changed. (An unfinished search of the same configuration goes on by itself.)
    #[arg(long)]
    resume: bool,
    /// Submit it to Slurm as one job of so many tasks, a shard each, which can be requeued; the script and the log are
    /// in OUT/slurm.
    #[arg(long, value_name = "N", conflicts_with_all = ["shard", "dry_run"])]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=65536))]
    slurm: Option<u64>,
    /// An option of sbatch, such as --slurm-option=--cpus-per-task=4.
    #[arg(long, value_name = "OPTION", requires = "slurm", allow_hyphen_values = true)]
    slurm_option: Vec<String>,
    /// Print what would run and an estimate of its time, from a few chips; write nothing.
    #[arg(long, conflicts_with_all = ["resume", "force"])]
    dry_run: bool,
    /// Overwrite a finished or different search.
    #[arg(long, conflicts_with = "resume")]
    force: bool,
    /// What runs the chips.
    #[arg(long, default_value = "auto")]
    backend: Backend,
}

/// The end of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Budget {
    Trials(u64),
    Time(Duration),
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Budget::Trials(trials) => write!(f, "{trials}"),
            Budget::Time(time) => write!(f, "{}s", time.as_secs_f64()),
        }
    }
}

fn parse_budget(text: &str) -> std::result::Result<Budget, String> {
    let expected = || "expected a number of trials, such as 500, or a time, such as 90s, 10min or 2h".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => return digits.parse().ok().filter(|trials| *trials > 0).map(Budget::Trials).ok_or_else(expected),
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(expected()),
    };
    let number = digits.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0 && *number < 1e9);
    number.map(|number| Budget::Time(Duration::from_secs_f64(unit * number))).ok_or_else(expected)
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let mut overrides = Overrides::sort(&args.set, &OWN_KEYS)?;
    let time = match args.budget {
        Some(Budget::Trials(trials)) => {
            overrides.own.push(format!("trials={trials}"));
            None
        }
        Some(Budget::Time(time)) => Some(time),
        None => None,
    };
    if time.is_some() && (args.shard.of > 1 || args.slurm.is_some_and(|tasks| tasks > 1)) {
        return Err(Error::Usage(
            "--budget: shards decide the same only where no time ends them; expected a number of trials".into(),
        ));
    }
    if args.force && args.shard.of > 1 {
        return Err(Error::Usage("--force would delete what other shards have done; remove the folder first".into()));
    }
    let search = Search::read(&args.search, &overrides)?;
    let engine = args.backend.open(note)?;
    if args.dry_run {
        search.notices().iter().for_each(|notice| note(notice));
        let each = search.timed(engine.as_ref())?;
        let trials = search.trials();
        let all = each.mul_f64(trials as f64);
        let most = time.map_or(all, |time| time.min(all));
        let size = search.candidates().map_or("more than 10^19".into(), |size| size.to_string());
        let mut text = format!(
            "{size} candidates; about {trials} trials, some {each:.1?} each: about {}",
            indicatif::HumanDuration(most)
        );
        let mut json = json!({
            "candidates": search.candidates(),
            "trials": trials,
            "seconds_each": each.as_secs_f64(),
            "seconds": most.as_secs_f64(),
        });
        if let Some(training) = search.training_timed()? {
            let most = search.trainings().map_or("any number of".into(), |most| format!("up to {most}"));
            text += &format!("\n{most} trainings beside, about {} each", indicatif::HumanDuration(training));
            json["trainings"] = json!(search.trainings());
            json["training_seconds_each"] = json!(training.as_secs_f64());
        }
        return Ok(Said::new(text, json));
    }
    // A job that is requeued after its end, or a shard that comes after the others have found all that there is, has
    // nothing to do.
    if args.shard.of > 1
        && !args.resume
        && let Some(lead) = search.finished(&args.out)?
    {
        return Ok(Said::new(
            format!("{lead}\nthe search is finished; --resume goes on with more trials"),
            json!({ "finished": true }),
        ));
    }
    let folder = search.claim(engine.as_ref(), &args.out, There::of(args.resume, args.force))?;
    if let Some(tasks) = args.slurm {
        return submit(args, &search, tasks as usize);
    }
    let answer = search.run_into(engine.as_ref(), &folder, args.shard, time, &Terminal::default())?;
    if args.shard.index > 1 {
        let text = format!("{}\nshard 1 writes tables and report", answer.lead);
        return Ok(Said::new(text, json!({ "answer": answer })));
    }
    let (page, table) = (folder.file(PAGE), folder.file(SUMMARY_CSV));
    let text = format!("{}\n{}\nwrote {}", answer.lead, answer.details.join("\n"), page.display());
    Ok(Said::with(text, move || Ok(json!({ "answer": answer, "points": rows(&table)?, "wrote": page }))))
}

/// Submits a search whose folder is claimed.
fn submit(args: &Args, search: &Search, tasks: usize) -> Result<Said> {
    let folder = std::path::absolute(&args.out).map_err(Error::io(&args.out))?;
    let mut words = words("search", &args.search, &folder, &args.set, args.backend)?;
    if let Some(budget) = &args.budget {
        words.extend(["--budget".into(), budget.to_string()]);
    }
    let submission = Submission { name: search.name(), tasks, options: &args.slurm_option, folder: &folder, words };
    let (job, logs) = (submission.submit_together()?, submission.logs());
    let text = format!("submitted {tasks} shards as the tasks of job {job}; its log is in {}", logs.display());
    Ok(Said::new(text, json!({ "shards": tasks, "job": job, "logs": logs })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_trials_or_a_time() {
        assert_eq!(parse_budget("500"), Ok(Budget::Trials(500)));
        assert_eq!(parse_budget("1.5h"), Ok(Budget::Time(Duration::from_secs(5400))));
        assert_eq!(parse_budget("10min"), Ok(Budget::Time(Duration::from_secs(600))));
        for bad in ["", "0", "-3", "10m", "x", "s", "infs", "0s", "1e30h"] {
            assert!(parse_budget(bad).is_err(), "{bad}");
        }
    }
}
