//! `crosspike import`.

use std::path::PathBuf;

use super::say;
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
pub fn run(args: &Args) -> Result<()> {
    if args.output.exists() && !args.force {
        return Err(Error::Usage(format!("{} exists; use --force to overwrite it", args.output.display())));
    }
    let checkpoint = Checkpoint::read(&args.input)?;
    checkpoint.write(&args.output)?;
    say(&format!("wrote {} tensors to {}", checkpoint.tensors.len(), args.output.display()))
}
