//! `crosspike fit`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use crate::announced;
use crate::atomic;
use crate::error::Result;
use crate::fit::laws::Fitted;
use crate::fit::measured::Measured;
use crate::fit::{Fit, word};
use crate::output::check_free;
use crate::profile::VariationKind;
use crate::report::fitted::fitted;

/// Fit the distributions of a profile to measured devices, compare them, and write the profile.
#[derive(clap::Args)]
#[command(after_help = "\
MEASUREMENTS is a CSV file with a head of column names and a row for each read of a device:
  target_us   the conductance that the device was programmed to, in microsiemens
  read_us     the conductance that was read, in microsiemens
  time_s      seconds since programming; several times show drift
  device      any name; several reads of a device show noise and drift
Programming variation is fitted to each device's first reads. Laws are compared by the Bayesian information
criterion, less is better; a small p of Kolmogorov and Smirnov says that a law does not hold. The formulas stand
in docs/hardware.md, Measured devices.

Examples:
  crosspike fit wafer7.csv    # compare the laws, and print the profile of the best
  crosspike fit wafer7.csv --out wafer7.toml --svg wafer7.svg    # write it, and draw devices beside laws
  crosspike fit wafer7.csv --out lognormal.toml --kind lognormal")]
pub struct Args {
    /// The CSV file of reads.
    measurements: PathBuf,
    /// The profile to write; absent: it is printed.
    #[arg(long, value_name = "F.toml")]
    out: Option<PathBuf>,
    /// A drawing of devices and laws to write.
    #[arg(long, value_name = "F.svg")]
    svg: Option<PathBuf>,
    /// The kind of variation that the profile gets; absent: the best.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<VariationKind>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

fn kind(text: &str) -> std::result::Result<VariationKind, String> {
    let kinds = ["lognormal", "gaussian", "per_level", "polynomial", "table"];
    let parsed = serde_json::from_value(json!(text)).ok().filter(|kind| *kind != VariationKind::None);
    parsed.ok_or_else(|| format!("expected one of {}", kinds.join(", ")))
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    for (option, file) in [("--out", &args.out), ("--svg", &args.svg)] {
        if let Some(file) = file {
            check_free(file, args.force)?;
            announced::announce(option, file)?;
        }
    }
    let fit = Fit::of(&Measured::read(&args.measurements)?)?;
    let profile = fit.profile(args.kind)?;
    let mut text = table(&fit);
    match &args.out {
        Some(file) => {
            atomic::write(file, profile.as_bytes())?;
            text += &format!("wrote {}\n", file.display());
        }
        None => text += &format!("\n{profile}"),
    }
    if let Some(file) = &args.svg {
        atomic::write(file, fitted(&fit).as_bytes())?;
        text += &format!("wrote {}\n", file.display());
    }
    let json = json!({
        "source": fit.source,
        "reads": fit.reads,
        "devices": fit.devices,
        "targets_us": fit.targets,
        "laws": fit.laws.iter().map(law_json).collect::<Vec<_>>(),
        "read": fit.repeated.map(|of| json!({
            "devices": of.devices, "sigma": of.sigma, "sigma_us": of.sigma_us, "is_relative": of.is_relative,
        })),
        "drift": fit.aged.as_ref().map(|aged| json!({
            "devices": aged.devices, "reference_s": aged.reference_s, "last_s": aged.last_s, "nu": aged.nu,
            "nu_sigma": aged.nu_sigma, "retention_sigma": aged.retention_sigma,
        })),
        "profile": profile,
    });
    Ok(Said::new(text.trim_end(), json))
}

fn law_json(fitted: &Fitted) -> serde_json::Value {
    let Fitted { law, log_likelihood, bic, distance, p } = fitted;
    json!({
        "kind": law.kind, "key": law.key, "values": law.values, "means_us": law.means, "constants": law.constants(),
        "log_likelihood": log_likelihood, "bic": bic, "ks_distance": distance, "ks_p": p,
    })
}

/// The laws below each other, the best first.
fn table(fit: &Fit) -> String {
    let Fit { source, reads, devices, targets, laws, .. } = fit;
    let mut text = format!("{source}: {reads} reads of {devices} devices, {} targets\n\n", targets.len());
    text +=
        &format!("{:<12}{:<14}{:>10}{:>12}{:>10}{:>8}  {}\n", "kind", "key", "constants", "BIC", "KS", "p", "value");
    for Fitted { law, bic, distance, p, .. } in laws {
        let value = match law.values.as_slice() {
            [one] => format!("{one:.4}"),
            all if all.len() <= 4 => all.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(", "),
            all => format!(
                "{:.4} to {:.4}",
                all.iter().copied().fold(f64::INFINITY, f64::min),
                all.iter().copied().fold(0.0, f64::max)
            ),
        };
        let (kind, constants) = (word(&law.kind), law.constants());
        text += &format!("{kind:<12}{:<14}{constants:>10}{bic:>12.1}{distance:>10.4}{p:>8.3}  {value}\n", law.key);
    }
    if let Some(of) = fit.repeated {
        text += &format!("\nreads: σ {:.4} relative, {:.4} µS, of {} devices\n", of.sigma, of.sigma_us, of.devices);
    }
    if let Some(aged) = &fit.aged {
        let walk = aged.retention_sigma.map_or("unknown".into(), |sigma| format!("{sigma:.4}"));
        text += &format!(
            "\ndrift: ν {:.4} ± {:.4}, retention σ {walk}, of {} devices from {} s to {} s\n",
            aged.nu, aged.nu_sigma, aged.devices, aged.reference_s, aged.last_s
        );
    }
    text
}
