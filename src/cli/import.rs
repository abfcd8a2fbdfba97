//! `crosspike import`.

use std::path::PathBuf;

use serde_json::json;

use super::said::Said;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

/// Convert a PyTorch checkpoint to safetensors; nothing in it is executed.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  crosspike import trained.pth.tar trained.safetensors")]
pub struct Args {
    /// The checkpoint: .pth, .pt, .pth.tar or .safetensors.
    input: PathBuf,
    /// The safetensors file to write.
    output: PathBuf,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    if args.output.exists() && !args.force {
        return Err(Error::Usage(format!("{} exists; use --force to overwrite it", args.output.display())));
    }
    let checkpoint = Checkpoint::read(&args.input)?;
    checkpoint.write(&args.output)?;
    let (tensors, to) = (checkpoint.tensors.len(), &args.output);
    let text = format!("wrote {tensors} tensors to {}", to.display());
    Ok(Said::new(text, json!({ "wrote": to, "tensors": tensors, "sha256": Checkpoint::read(to)?.hash() })))
}
