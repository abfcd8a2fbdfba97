//! `crosspike export-nir`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use super::terminal::note;
use crate::announced;
use crate::config::Overrides;
use crate::error::{Error, Result};
use crate::network::{Model, Network};
use crate::nir;
use crate::output::check_free;

/// Write a model and its checkpoint as a NIR file, for other simulators and chips.
#[derive(clap::Args)]
#[command(after_help = "\
Convolutions and fully connected matrices, pools that add up or average, skips of pulses, matrices that lead
back, and neurons with leak, synaptic current and reset to a value are written; one norm for all steps is folded
into weights and bias. What NIR lacks is refused by its layer's name: norms of every step, companion arrays,
currents that others take, adaptive thresholds, rest after a spike.

Examples:
  crosspike export-nir --model net/model.toml --checkpoint net/checkpoint.safetensors --dt 1e-4 net.nir")]
pub struct Args {
    /// The model file.
    #[arg(long)]
    model: PathBuf,
    /// The checkpoint.
    #[arg(long)]
    checkpoint: PathBuf,
    /// Override a key of the model (model.steps=8), as the checkpoint was trained.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seconds of a time step.
    #[arg(long, value_name = "SECONDS")]
    dt: f64,
    /// The NIR file to write.
    output: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    check_free(&args.output, args.force)?;
    if !(args.dt.is_finite() && args.dt > 0.0) {
        return Err(Error::Usage(format!("--dt {}: expected a time above 0", args.dt)));
    }
    let model = Model::read(&args.model, &Overrides::of_model(&args.set)?)?;
    let loaded = Network::read(&model, &args.checkpoint)?;
    loaded.notices.iter().for_each(|notice| note(notice));
    announced::announce("OUTPUT", &args.output)?;
    let notices = nir::export(&model, &loaded.network, args.dt, &args.output)?;
    notices.iter().for_each(|notice| note(notice));
    let text = format!("wrote {}", args.output.display());
    Ok(Said::new(text, json!({ "wrote": args.output, "layers": model.layers().len() })))
}
