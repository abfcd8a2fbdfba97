//! The files that a command's options ask it to write: announced before work begins, so that none of them replaces a
//! file that the command reads, another option's output, or one of the command's own results.
//!
//! Every reader of files calls [`reading`], and every folder of results [`check_folder`] when it is taken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::target;

/// The outputs of this process, in the order of their announcement.
static ANNOUNCED: Mutex<Vec<Announced>> = Mutex::new(vec![]);

/// The files that this process has read, by the names that they were given.
static READ: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Files that were read from within the binary, since none stands under their names.
static SHIPPED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The output of an option.
struct Announced {
    option: String,
    /// The file that it goes to, by its whole name.
    file: PathBuf,
    /// Whether the command was about to read it.
    read: bool,
}

/// Announces the output of an option; an error if nothing can be written there, or if another option's goes there.
pub(crate) fn announce(option: &str, path: &Path) -> Result<()> {
    target::check(path)?;
    let file = target::whole(path)?;
    let mut announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(other) = announced.iter().find(|other| other.file == file && !is_no_file(&file)) {
        let message = format!("{option} {}: {} goes there too; expected another file", path.display(), other.option);
        return Err(Error::Usage(message));
    }
    announced.push(Announced { option: option.into(), file, read: false });
    Ok(())
}

/// An error if a file that is about to be read is one that the command has announced to replace.
pub(crate) fn reading(path: &Path) -> Result<()> {
    READ.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf());
    let mut announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    if announced.is_empty() || is_no_file(path) {
        return Ok(());
    }
    let file = std::fs::canonicalize(path).unwrap_or_default();
    let Some(output) = announced.iter_mut().find(|output| output.file == file) else { return Ok(()) };
    output.read = true;
    Err(both_ways(output, path))
}

/// Keeps that a file was read from within the binary.
pub(crate) fn read_shipped(path: &Path) {
    SHIPPED.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf());
}

/// The files that this process has read from within the binary.
pub(crate) fn shipped() -> BTreeSet<PathBuf> {
    SHIPPED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// An error if an announced output lies in a folder of results, by a name that may be one of theirs.
pub(crate) fn check_folder(folder: &Path) -> Result<()> {
    let Ok(folder) = std::fs::canonicalize(folder) else { return Ok(()) };
    let announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_theirs = |file: &Path| {
        let is_own = file.extension().is_some_and(|ending| ending == "json") && !file.ends_with("origin.json");
        file.parent() == Some(&folder) && !is_own
    };
    match announced.iter().find(|output| is_theirs(&output.file)) {
        Some(Announced { option, file, .. }) => Err(Error::Usage(format!(
            "{option} {}: the folder is for the command's results; expected a file elsewhere, or a name of its own \
             that ends in .json",
            file.display()
        ))),
        None => Ok(()),
    }
}

/// An error if a file of an earlier run, which is about to be removed, is one that the command has read.
pub(crate) fn check_removable(file: &Path) -> Result<()> {
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    let read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |other: &&PathBuf| other.file_name() == file.file_name() && whole(other) == whole(file);
    match read.iter().find(is_it) {
        Some(_) => Err(Error::Usage(format!(
            "--force would remove {}, which the command reads; expected another --out",
            file.display()
        ))),
        None => Ok(()),
    }
}

/// An error if something is about to be written where the command has read.
pub(crate) fn check_unread(path: &Path) -> Result<()> {
    let announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    match announced
        .iter()
        .filter(|output| output.read)
        .find(|output| target::whole(path).is_ok_and(|file| file == output.file))
    {
        Some(output) => Err(both_ways(output, path)),
        None => Ok(()),
    }
}

/// The error of an output that is an input too.
fn both_ways(output: &Announced, path: &Path) -> Error {
    let Announced { option, .. } = output;
    let path = path.display();
    Error::Usage(format!("{option} {path}: the command reads this file, and would replace it; expected another one"))
}

/// Whether what is there is a device, a pipe or a folder.
fn is_no_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file())
}
