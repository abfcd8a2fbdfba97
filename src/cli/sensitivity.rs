//! `crosspike sensitivity`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::said::Said;
use super::terminal::{Terminal, note};
use crate::config::Overrides;
use crate::engine::backend::Backend;
use crate::error::{Error, Result};
use crate::report::PAGE;
use crate::study::ANSWER;
use crate::study::export::rows;
use crate::study::sensitivity::{OWN_KEYS, Sensitivity};
use crate::study::table::SUMMARY_CSV;

/// Rank what one key at a time, layer by layer, costs or wins; resumes an unfinished study of the same configuration.
#[derive(clap::Args)]
#[command(
    after_help = r#"A file names network, profile and data as a sweep does, and then what is changed, one value of one key at a
time:
  chips = 20                                        # the same for all
  set = { "rram.variation.scale" = 2.0 }            # conditions
  [probe]
  "layer.*.rram.variation.scale" = [0.0]   # what each layer's variation costs
  "layer.*.rram.faults.stuck_on" = [0.01]  # what stuck cells there cost
  "layer.*.sram.bits" = [2, 3]             # what a companion array there wins
  "adc.bits" = [3, 6]
Writes OUT/summary.csv, those that win most accuracy first: points_won over the conditions as they are, on the
same chips and images, with an interval (points_won_interval) that holds for all of them together with 95 %
confidence; and OUT/report.html.

Examples:
  crosspike sensitivity recipes/digits_sensitivity.toml --out runs/sensitivity"#
)]
pub struct Args {
    /// The sensitivity file.
    study: PathBuf,
    /// The folder for results.
    #[arg(long)]
    out: PathBuf,
    /// Override a key: the file's own (chips=5), the profile's (rram.weight_bits=2) or the model's (model.steps=8);
    /// KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print how many trials would run and an estimate of their time, from a few chips as they are; write nothing.
    #[arg(long, conflicts_with = "force")]
    dry_run: bool,
    /// Overwrite a finished or different study.
    #[arg(long)]
    force: bool,
    /// What runs the chips.
    #[arg(long, default_value = "auto")]
    backend: Backend,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let study = Sensitivity::read(&args.study, &Overrides::sort(&args.set, &OWN_KEYS)?)?;
    let engine = args.backend.open(note)?;
    if args.dry_run {
        study.notices().iter().for_each(|notice| note(notice));
        let (trials, each) = study.timed(engine.as_ref())?;
        let all = each.mul_f64(trials as f64);
        let text = format!("{trials} trials, some {each:.1?} each: about {}", indicatif::HumanDuration(all));
        let json = json!({ "trials": trials, "seconds_each": each.as_secs_f64(), "seconds": all.as_secs_f64() });
        return Ok(Said::new(text, json));
    }
    study.run_into(engine.as_ref(), &args.out, args.force, &Terminal::default())?;
    let (page, table, answer) = (args.out.join(PAGE), args.out.join(SUMMARY_CSV), args.out.join(ANSWER));
    let said = std::fs::read(&answer).map_err(Error::io(&answer))?;
    let said: Value = serde_json::from_slice(&said).map_err(|error| Error::file(&answer, error.to_string()))?;
    let details = said["details"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines: Vec<&str> = said["lead"].as_str().into_iter().chain(details).collect();
    let text = format!("{}\nwrote {}", lines.join("\n"), page.display());
    Ok(Said::with(text, move || Ok(json!({ "answer": said, "points": rows(&table)?, "wrote": page }))))
}
