//! `crosspike show`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::said::Said;
use crate::config::shipped_like;
use crate::error::{Error, Result};
use crate::shipped;

/// Print a profile, model or recipe that comes with crosspike, as a start for your own; without a name, list them.
#[derive(clap::Args)]
#[command(after_help = "\
A copy may stand anywhere: paths in it that begin with crosspike: name files that come with it, too. Paths of
data and checkpoints start from the folder of the copy.

Examples:
  crosspike show
  crosspike show hw_profiles/spikesim_65nm.toml > my_chip.toml")]
pub struct Args {
    /// The file, by its path in the project.
    file: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let Some(file) = &args.file else {
        let files: Vec<String> = shipped::paths().collect();
        return Ok(Said::new(files.join("\n"), json!({ "files": files })));
    };
    let text = shipped::text(file).ok_or_else(|| unknown(file))?;
    Ok(Said::new(text.trim_end(), json!({ "file": file, "text": text })))
}

fn unknown(file: &Path) -> Error {
    let meant = shipped_like(file).map_or(String::new(), |path| format!("; did you mean `{path}`?"));
    Error::file(file, format!("not found; expected a path that `crosspike show` lists{meant}"))
}
