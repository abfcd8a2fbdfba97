//! `crosspike attack`.

use std::path::PathBuf;

use serde_json::json;

use super::chips::{ChipArgs, MadeFrom, Setup};
use super::{said::Said, terminal::Terminal};
use crate::announced;
use crate::atomic;
use crate::attack::{AttackPlan, Method, MethodName, gradient::check_encoding};
use crate::error::Result;
use crate::monitor::Monitor;
use crate::numeric::stats::{Summary, summarise};
use crate::train::check_memory;

/// Evaluate chips on adversarial images: accuracy against the largest change of a pixel, ε.
#[derive(clap::Args)]
#[command(after_help = "\
Every chip is attacked by the surrogate gradient through itself: its programmed weights and folded norms. ε is
in units of the pixel range [0, 1]; for images:FILE.npz, of the file's values.

Examples:
  crosspike attack --model models/digits.toml --checkpoint runs/quickstart/baseline.safetensors --data digits \\
      --method fgsm --epsilon 0,0.05,0.1,0.2
  crosspike attack --model models/digits.toml --checkpoint C --data digits --profile hw_profiles/rram_4bit.toml \\
      --chips 20 --method pgd --steps 10 --epsilon 0,0.02,0.05 --json out.json --csv out.csv")]
pub struct Args {
    #[command(flatten)]
    chips: ChipArgs,
    /// How images are perturbed.
    #[arg(long)]
    method: MethodName,
    /// The largest changes of a pixel, separated by commas.
    #[arg(long, value_name = "E,...", required = true, value_delimiter = ',', allow_negative_numbers = true)]
    epsilon: Vec<f64>,
    /// Steps of pgd; default 10.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    steps: Option<u64>,
    /// The size of a step of pgd, in the unit of ε; default 2.5·ε/K.
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    step_size: Option<f64>,
    /// Write a row an ε and chip to this file, replacing it.
    #[arg(long, value_name = "F.csv")]
    csv: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let steps = args.steps.map(|steps| steps as usize);
    let plan = AttackPlan { method: args.method, steps, step_size: args.step_size, epsilon: args.epsilon.clone() };
    let method = plan.method()?;
    args.csv.as_deref().map_or(Ok(()), |path| announced::announce("--csv", path))?;
    let ChipArgs { made: MadeFrom { seed, .. }, batch, .. } = args.chips;
    let setup = args.chips.read(None)?;
    let Setup { model, data, encoding, .. } = &setup;
    check_encoding(*encoding)?;
    let attack = plan.attack(seed, data)?;
    check_memory(model, data.len().min(batch as usize), "--batch")?;
    let blueprint = args.chips.made.blueprint(&setup, Some(data.range_around(plan.largest_epsilon())))?;
    let engine = args.chips.engine()?;
    let terminal = Terminal::default();
    blueprint.notices().iter().for_each(|notice| terminal.line(notice));
    let chips = args.chips.indices();
    let count = chips.clone().count() as u64;
    let mut points: Vec<AttackPoint> =
        args.epsilon.iter().map(|epsilon| AttackPoint { epsilon: *epsilon, chips: vec![] }).collect();
    terminal.begin("chips attacked", count);
    attack.series(engine.as_ref(), data, &blueprint, (chips, batch as usize), &terminal, |index, judged| {
        points.iter_mut().zip(judged).for_each(|(point, judged)| point.chips.push((index, judged.accuracy())));
        terminal.progress(points[0].chips.len() as u64, "");
        Ok(())
    })?;
    terminal.end();
    let mut origin = args.chips.origin("attack", &setup, &blueprint, engine.as_ref())?;
    origin["configuration"]["attack"] = json!({
        "method": args.method.as_str(), "epsilon": args.epsilon, "epsilon_unit": attack.unit(),
        "steps": method.steps(), "step_size": args.step_size,
    });
    let to_json = |point: &AttackPoint| {
        let stats = point.accuracy();
        json!({
            "epsilon": point.epsilon,
            "step_size": method.step_size(point.epsilon),
            "accuracy": { "mean": stats.mean, "std": stats.std, "ci95": stats.ci95 },
            "chips": point.chips.iter().map(|(i, a)| json!({ "chip": i, "accuracy": a })).collect::<Vec<_>>(),
        })
    };
    let report = json!({
        "points": points.iter().map(to_json).collect::<Vec<_>>(), "epsilon_unit": attack.unit(), "images": data.len(),
        "units": { "accuracy": "percent; ci95: half of the 95 % interval of the mean over chips" }, "origin": origin,
    });
    let failed = args.csv.as_deref().and_then(|path| atomic::write(path, csv(&points).as_bytes()).err());
    let steps = match method {
        Method::Fgsm => String::new(),
        Method::Pgd { steps, .. } => format!(", {steps} steps"),
    };
    let text = format!(
        "{}{steps}; ε in units of {}; {count} chips, {} images, {}\n\n{}",
        args.method.as_str(),
        attack.unit(),
        data.len(),
        engine.name(),
        table(&points)
    );
    Ok(Said::new(text, report).failing(failed))
}

/// All chips at one ε.
struct AttackPoint {
    epsilon: f64,
    /// Each chip's index and accuracy in percent.
    chips: Vec<(u64, f64)>,
}

impl AttackPoint {
    fn accuracy(&self) -> Summary {
        summarise(&self.chips.iter().map(|(_, accuracy)| *accuracy).collect::<Vec<_>>())
    }
}

fn table(points: &[AttackPoint]) -> String {
    let rows = points.iter().map(|point| {
        let (epsilon, stats) = (point.epsilon, point.accuracy());
        let spread = match stats.std {
            Some(std) => format!(" ± {std:>5.2}   {:.2} to {:.2}", stats.min, stats.max),
            None => String::new(),
        };
        format!("{epsilon:>10}  {:>6.2}{spread}", stats.mean)
    });
    let several = points.iter().any(|point| point.chips.len() > 1);
    let what = if several { ": mean ± spread over chips, worst to best" } else { "" };
    let head = format!("{:>10}  accuracy in percent{what}", "ε");
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

fn csv(points: &[AttackPoint]) -> String {
    let rows = points.iter().flat_map(|AttackPoint { epsilon, chips }| {
        chips.iter().map(move |(chip, accuracy)| format!("{epsilon},{chip},{accuracy}\n"))
    });
    std::iter::once("epsilon,chip,accuracy\n".to_string()).chain(rows).collect()
}
