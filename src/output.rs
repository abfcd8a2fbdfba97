//! Output folders: claimed for one configuration, written atomically, resumed when unfinished, never overwritten unasked.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::atomic;
use crate::error::{Error, Result};

/// What the folder's results came from: version, configuration, seeds. Holds no time, host or thread count.
pub const ORIGIN: &str = "origin.json";
/// What is advised where a folder is refused.
pub const OVERWRITE: &str = "use --force to overwrite it";
/// Stands in a folder once its run is finished.
const FINISHED: &str = "finished";

/// A folder that this run may write to.
#[derive(Clone, Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// Whether a run of the same configuration left work to go on from.
    pub resumed: bool,
}

impl OutputFolder {
    /// Claims `path` for the run that `origin` describes.
    ///
    /// A missing or empty folder is taken; one with an unfinished run of the same origin is resumed, also by several
    /// processes at once; anything else is refused without `force`, which removes only `owned` files (a trailing `*`
    /// matches any ending). The backend is no part of a run's identity: all give the same results.
    pub fn claim(path: &Path, origin: &Value, force: bool, owned: &[&str]) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            return Err(Error::Usage(format!("{} is a file; expected a folder for results", path.display())));
        }
        // In this order: another process may be claiming it too, and the origin comes before all other files.
        let empty = !path.exists() || is_empty(path)?;
        let found = read_origin(path);
        let finished = path.join(FINISHED).exists();
        let same = found.as_ref().is_some_and(|found| identity(found) == identity(origin));
        if same && !finished && !force {
            return Ok(OutputFolder { path: path.to_path_buf(), resumed: true });
        }
        let refuse = |what: &str| {
            let path = path.display();
            Err(Error::Usage(format!("{path} {what}; {OVERWRITE}, or another --out")))
        };
        match (&found, finished) {
            _ if force => {}
            (None, _) if empty => {}
            (Some(_), true) => return refuse("holds a finished run"),
            (Some(_), false) => return refuse("holds an unfinished run of another configuration"),
            (None, _) => return refuse("is not empty"),
        }
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        let folder = OutputFolder { path: path.to_path_buf(), resumed: false };
        if force {
            remove_owned(path, &[&[ORIGIN, FINISHED], owned].concat())?;
            folder.write(ORIGIN, canonical(origin).as_bytes())?;
            return Ok(folder);
        }
        match atomic::create(&folder.file(ORIGIN), canonical(origin).as_bytes())? {
            true => Ok(folder),
            // Another process was faster.
            false => Self::claim(path, origin, force, owned),
        }
    }

    /// Takes over a folder of the same command for another configuration, its files as they are, where `idle` has no objection; one
    /// that is missing, empty, of another command, or unfinished and of this configuration is claimed as [`OutputFolder::claim`] does
    /// without force.
    pub fn take_over(path: &Path, origin: &Value, idle: impl FnOnce() -> Result<()>) -> Result<Self> {
        let found = read_origin(path);
        let same = found.as_ref().is_some_and(|found| identity(found) == identity(origin));
        if found.is_none_or(|found| found["command"] != origin["command"]) || (same && !path.join(FINISHED).exists()) {
            return Self::claim(path, origin, false, &[]);
        }
        idle()?;
        let folder = OutputFolder { path: path.to_path_buf(), resumed: true };
        remove(&folder.file(FINISHED))?;
        folder.write(ORIGIN, canonical(origin).as_bytes())?;
        Ok(folder)
    }

    /// The folder if it holds the finished run that `origin` describes.
    pub fn finished(path: &Path, origin: &Value) -> Option<Self> {
        let same = read_origin(path).is_some_and(|found| identity(&found) == identity(origin));
        (same && path.join(FINISHED).exists()).then(|| OutputFolder { path: path.to_path_buf(), resumed: true })
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
        self.write(FINISHED, b"")
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

/// The part of an origin that follows from the rest: no part of a run's identity.
pub const DERIVED: &str = "derived";

/// What results mean, as a number that is raised whenever the same inputs give another result: trials and trainings of an earlier
/// meaning never count as ones of this. `tests/golden/absolute.toml` has what it stands for.
///
/// 2: a converter's full range is its tile's; the network's inputs have the width of the data, or of `tile.input_bits`.
pub const RESULTS: u32 = 2;

/// The part of an origin that every command shares.
pub fn origin(command: &str, configuration: Value) -> Value {
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"), "results": RESULTS, "command": command, "configuration": configuration,
    })
}

fn read_origin(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path.join(ORIGIN)).ok()?).ok()
}

/// What makes a run the same run.
fn identity(origin: &Value) -> Value {
    let mut identity = origin.clone();
    if let Some(fields) = identity.as_object_mut() {
        fields.remove("backend");
        fields.remove(DERIVED);
    }
    identity
}

/// Whether nothing is in a folder but what a killed write left.
fn is_empty(path: &Path) -> Result<bool> {
    for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
        let name = entry.map_err(Error::io(path))?.file_name();
        if !name.to_string_lossy().starts_with(atomic::TEMPORARY) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes files of a folder by their names; one that ends in `*` is the first letters of names.
fn remove_owned(path: &Path, owned: &[&str]) -> Result<()> {
    for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = owned.iter().any(|own| match own.strip_suffix('*') {
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
        let elsewhere = serde_json::json!({"backend": "gpu", "command": "x", "version": one["version"], "results": RESULTS, "configuration": {"a": 1}});
        assert!(
            OutputFolder::claim(&path, &elsewhere, false, &["data*"]).unwrap().resumed,
            "the backend is no identity"
        );
        assert!(OutputFolder::finished(&path, &one).is_none());
        folder.finish().unwrap();
        assert!(OutputFolder::finished(&path, &one).is_some() && OutputFolder::finished(&path, &two).is_none());
        assert!(OutputFolder::claim(&path, &one, false, &["data*"]).is_err());
        assert!(!OutputFolder::claim(&path, &two, true, &["data*"]).unwrap().resumed);
        assert!(!path.join("data.csv").exists() && path.join("mine.txt").exists());
    }
}
