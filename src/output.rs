//! Output folders: claimed for one configuration, written atomically, resumed when unfinished, never overwritten unasked.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::atomic;
use crate::error::{Error, Result};

/// What the folder's results came from: version, configuration, seeds. Holds no time, host or thread count.
pub const ORIGIN: &str = "origin.json";
/// Stands in a folder until its run is finished.
const UNFINISHED: &str = "unfinished";

/// A folder that this run may write to.
#[derive(Clone, Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// Whether an unfinished run of the same configuration left work to go on from.
    pub resumed: bool,
}

impl OutputFolder {
    /// Claims `path` for the run that `origin` describes.
    ///
    /// A missing or empty folder is taken; one with an unfinished run of the same origin is resumed; anything else is
    /// refused without `force`, which removes only `owned` files (a trailing `*` matches any ending).
    pub fn claim(path: &Path, origin: &Value, force: bool, owned: &[&str]) -> Result<Self> {
        let text = canonical(origin);
        if path.exists() && !path.is_dir() {
            return Err(Error::Usage(format!("{} is a file; expected a folder for results", path.display())));
        }
        let found = std::fs::read_to_string(path.join(ORIGIN)).ok();
        let unfinished = path.join(UNFINISHED).exists();
        let empty = !path.exists() || is_empty(path)?;
        let same = found.as_deref() == Some(text.as_str());
        if unfinished && same && !force {
            return Ok(OutputFolder { path: path.to_path_buf(), resumed: true });
        }
        if !empty && !force {
            let what = match (found.is_some(), unfinished) {
                (true, true) => "holds an unfinished run of another configuration",
                (true, false) => "holds a finished run",
                _ => "is not empty",
            };
            return Err(Error::Usage(format!(
                "{} {what}; use --force to overwrite it, or another --out",
                path.display()
            )));
        }
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        if !empty {
            remove_owned(path, owned)?;
        }
        let folder = OutputFolder { path: path.to_path_buf(), resumed: false };
        folder.write(UNFINISHED, b"")?;
        folder.write(ORIGIN, text.as_bytes())?;
        Ok(folder)
    }

    /// The folder of an earlier run with its origin; none without an `origin.json`.
    pub fn open(path: &Path) -> Result<Option<(Self, Value)>> {
        let file = path.join(ORIGIN);
        let text = match std::fs::read_to_string(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(Error::io(&file))?,
        };
        let origin = serde_json::from_str(&text).map_err(|e| Error::file(&file, format!("not JSON: {e}")))?;
        Ok(Some((OutputFolder { path: path.to_path_buf(), resumed: true }, origin)))
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in one step.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        atomic::write(&self.file(name), bytes)
    }

    /// Marks the run as finished.
    pub fn finish(&self) -> Result<()> {
        remove(&self.file(UNFINISHED))
    }
}

/// Removes a file that may be missing.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

/// JSON with sorted keys and a last line end: equal values are equal bytes.
pub fn canonical(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is always serialisable") + "\n"
}

/// The part of an origin that every command shares.
pub fn origin(command: &str, configuration: Value) -> Value {
    serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "command": command, "configuration": configuration })
}

/// Whether nothing is in a folder but the mark of a run killed before it wrote anything else.
fn is_empty(path: &Path) -> Result<bool> {
    for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
        if entry.map_err(Error::io(path))?.file_name() != UNFINISHED {
            return Ok(false);
        }
    }
    Ok(true)
}

fn remove_owned(path: &Path, owned: &[&str]) -> Result<()> {
    for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = [ORIGIN, UNFINISHED].iter().chain(owned).any(|own| match own.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *own,
        });
        if ours {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_resumed_refused_or_forced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let (one, two) = (origin("x", serde_json::json!({"a": 1})), origin("x", serde_json::json!({"a": 2})));
        let folder = OutputFolder::claim(&path, &one, false, &["data*"]).unwrap();
        assert!(!folder.resumed);
        folder.write("data.csv", b"1").unwrap();
        std::fs::write(path.join("mine.txt"), b"2").unwrap();
        assert!(OutputFolder::claim(&path, &one, false, &["data*"]).unwrap().resumed);
        assert!(OutputFolder::claim(&path, &two, false, &["data*"]).is_err());
        folder.finish().unwrap();
        assert!(OutputFolder::claim(&path, &one, false, &["data*"]).is_err());
        assert!(!OutputFolder::claim(&path, &two, true, &["data*"]).unwrap().resumed);
        assert!(!path.join("data.csv").exists() && path.join("mine.txt").exists());
    }
}
