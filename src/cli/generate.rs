//! `crosspike completions` and `crosspike man`: what shells and readers of manuals want, from the same table as `--help`.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use super::said::Said;
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
pub fn completions(args: &Completions) -> Result<Said> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "crosspike", &mut text);
    let script = String::from_utf8_lossy(&text).trim_end().to_string();
    let json = json!({ "shell": args.shell.to_string(), "script": script });
    Ok(Said::new(script, json))
}

/// Writes manual pages.
pub fn man(args: &Man) -> Result<Said> {
    std::fs::create_dir_all(&args.folder).map_err(Error::io(&args.folder))?;
    clap_mangen::generate_to(super::Cli::command(), &args.folder).map_err(Error::io(&args.folder))?;
    Ok(Said::new(format!("wrote the pages to {}", args.folder.display()), json!({ "wrote": args.folder })))
}
