//! `crosspike completions` and `crosspike man`: what shells and readers of manuals want, from the same table as `--help`.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::error::{Error, Result};

/// Print a shell's completions.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  crosspike completions bash > ~/.local/share/bash-completion/completions/crosspike
  crosspike completions zsh > ~/.zfunc/_crosspike
  crosspike completions fish > ~/.config/fish/completions/crosspike.fish")]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

/// Write manual pages, one a command.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  crosspike man ~/.local/share/man/man1")]
pub struct Man {
    /// The folder, made where it is missing; pages in it are replaced.
    folder: PathBuf,
}

/// Prints completions.
pub fn completions(args: &Completions) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "crosspike", &mut text);
    super::say(String::from_utf8_lossy(&text).trim_end())
}

/// Writes manual pages.
pub fn man(args: &Man) -> Result<()> {
    std::fs::create_dir_all(&args.folder).map_err(Error::io(&args.folder))?;
    clap_mangen::generate_to(super::Cli::command(), &args.folder).map_err(Error::io(&args.folder))
}
