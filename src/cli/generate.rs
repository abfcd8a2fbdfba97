//! `crosspike completions` and `crosspike man`: what shells and readers of manuals want, from the same table as
//! `--help`.

use std::path::{Path, PathBuf};

use clap_complete::Shell;
use serde_json::json;

use super::said::Said;
use crate::atomic;
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
    clap_complete::generate(args.shell, &mut super::command(), "crosspike", &mut text);
    let script = String::from_utf8_lossy(&text).trim_end().to_string();
    let json = json!({ "shell": args.shell.to_string(), "script": script });
    Ok(Said::new(script, json))
}

/// Writes manual pages.
pub fn man(args: &Man) -> Result<Said> {
    std::fs::create_dir_all(&args.folder).map_err(Error::io(&args.folder))?;
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    pages(command, &args.folder)?;
    Ok(Said::new(format!("wrote the pages to {}", args.folder.display()), json!({ "wrote": args.folder })))
}

/// Writes the pages of a command and of those below it.
fn pages(command: clap::Command, folder: &Path) -> Result<()> {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    below.into_iter().try_for_each(|command| pages(command, folder))?;
    let (page, mut text) = (clap_mangen::Man::new(command), Vec::new());
    let path = folder.join(page.get_filename());
    page.render(&mut text).map_err(Error::io(&path))?;
    atomic::write(&path, &text)
}
