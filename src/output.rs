//! Output folders: claimed for one configuration, written atomically, resumed when unfinished, never overwritten
//! unasked.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::announced;
use crate::atomic;
use crate::error::{Error, Result};
use crate::lock::{self, FolderAccess};
use crate::target;

/// What the folder's results came from: version, configuration, seeds. Holds no time, host or thread count.
pub const ORIGIN: &str = "origin.json";
/// What is advised where a folder is refused.
pub const OVERWRITE: &str = "use --force to overwrite it";
/// Stands in a folder once its run is finished.
const FINISHED: &str = "finished";

/// Is locked while a process works in a folder.
const LOCK: &str = ".crosspike-lock";

/// An error where a command would replace a file and was not told to.
pub(crate) fn check_free(file: &Path, force: bool) -> Result<()> {
    match target::is_file(file) && !force {
        true => Err(Error::Usage(format!("{} exists; {OVERWRITE}", file.display()))),
        false => Ok(()),
    }
}

/// A folder that this run may write to.
#[derive(Clone, Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// Whether a run of the same configuration left work to go on from.
    pub resumed: bool,
    /// Held as long as any copy of this is there.
    _lock: Option<Arc<File>>,
}

impl OutputFolder {
    /// Claims `path` for the run that `origin` describes.
    ///
    /// A missing or empty folder is taken; one with an unfinished run of the same origin is resumed; anything else is
    /// refused without `force`, which removes only `owned` files (a trailing `*` matches any ending). Where another
    /// process works in it, it is refused too, unless both share the [`FolderAccess`]. The backend is no part of a
    /// run's identity: all give the same results.
    pub fn claim(path: &Path, origin: &Value, force: bool, owned: &[&str], access: FolderAccess) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            return Err(Error::Usage(format!("{} is a file; expected a folder for results", path.display())));
        }
        // The order matters: another process may be claiming the folder too, and the origin comes before all other
        // files.
        let empty = !path.exists() || is_empty(path)?;
        let found = read_origin(path);
        let finished = path.join(FINISHED).exists();
        let same = found.as_ref().is_some_and(|found| identity(found) == identity(origin));
        if same && !finished && !force {
            let folder = Self::hold(path, access, true)?;
            // Another process may have had it between the look and the lock.
            let still = read_origin(path).is_some_and(|there| identity(&there) == identity(origin));
            return if still { Ok(folder) } else { Err(busy(path)) };
        }
        let refuse = |what: &str| {
            let path = path.display();
            Err(Error::Usage(format!("{path} {what}; {OVERWRITE}, or another folder")))
        };
        match (&found, finished) {
            _ if force => {}
            (None, _) if empty => {}
            (Some(_), true) => return refuse("holds a finished run"),
            (Some(_), false) => return refuse("holds an unfinished run of another configuration"),
            (None, _) => return refuse("is not empty"),
        }
        std::fs::create_dir_all(path).map_err(Error::io(path))?;
        if force {
            let folder = Self::hold(path, FolderAccess::Alone, false)?;
            remove_owned(path, &[&[ORIGIN, FINISHED], owned].concat())?;
            folder.write(ORIGIN, canonical(origin).as_bytes())?;
            return folder.shared(access);
        }
        let folder = Self::hold(path, access, false)?;
        match atomic::create(&folder.file(ORIGIN), canonical(origin).as_bytes())? {
            true => Ok(folder),
            // Another process was faster.
            false => {
                drop(folder);
                Self::claim(path, origin, force, owned, access)
            }
        }
    }

    /// The folder, locked; an error where another process works in it.
    fn hold(path: &Path, access: FolderAccess, resumed: bool) -> Result<Self> {
        announced::check_folder(path)?;
        let lock = lock::hold(&path.join(LOCK), access)?.ok_or_else(|| busy(path))?;
        Ok(OutputFolder { path: path.to_path_buf(), resumed, _lock: Some(Arc::new(lock)) })
    }

    /// Lets others share the folder, which this process held alone so far.
    fn shared(self, access: FolderAccess) -> Result<Self> {
        if let Some(file) = &self._lock {
            lock::take(file, access).map_err(Error::io(&self.path))?;
        }
        Ok(self)
    }

    /// Takes over a folder of the same command for another configuration, its files as they are, where no other process
    /// works in it; one that is missing, empty, of another command, or unfinished and of this configuration is claimed
    /// as [`OutputFolder::claim`] does without force. Others may share it from then on.
    pub fn take_over(path: &Path, origin: &Value) -> Result<Self> {
        let found = read_origin(path);
        let same = found.as_ref().is_some_and(|found| identity(found) == identity(origin));
        if found.is_none_or(|found| found["command"] != origin["command"]) || (same && !path.join(FINISHED).exists()) {
            return Self::claim(path, origin, false, &[], FolderAccess::Shared);
        }
        let folder = Self::hold(path, FolderAccess::Alone, true)?;
        remove(&folder.file(FINISHED))?;
        folder.write(ORIGIN, canonical(origin).as_bytes())?;
        folder.shared(FolderAccess::Shared)
    }

    /// Whether a folder holds the run that `origin` describes, finished or not.
    pub fn is_of(path: &Path, origin: &Value) -> bool {
        read_origin(path).is_some_and(|found| identity(&found) == identity(origin))
    }

    /// The folder, which others may share, if it holds the finished run that `origin` describes.
    pub fn finished(path: &Path, origin: &Value) -> Result<Option<Self>> {
        (Self::is_of(path, origin) && path.join(FINISHED).exists())
            .then(|| Self::hold(path, FolderAccess::Shared, true))
            .transpose()
    }

    /// The folder of an earlier run with its origin; none without an `origin.json`.
    pub fn open(path: &Path) -> Result<Option<(Self, Value)>> {
        let file = path.join(ORIGIN);
        let text = match std::fs::read_to_string(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(Error::io(&file))?,
        };
        let origin = serde_json::from_str(&text).map_err(|e| Error::file(&file, format!("not JSON: {e}")))?;
        Ok(Some((OutputFolder { path: path.to_path_buf(), resumed: true, _lock: None }, origin)))
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

fn busy(path: &Path) -> Error {
    Error::file(path, "another process works in it; expected it to be finished or stopped first")
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

/// What results mean, as a number that is raised whenever the same inputs give another result: trials and trainings of
/// an earlier meaning never count as ones of this. `tests/golden/absolute.toml` has what it stands for.
///
/// 2: a converter's full range is its tile's; the network's inputs have the width of the data, or of `tile.input_bits`.
///
/// 3: leakage and off-chip traffic of a residual with a budget are those of that budget.
pub const RESULTS: u32 = 3;

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
        let claim = |origin: &Value, force| OutputFolder::claim(&path, origin, force, &["data*"], FolderAccess::Shared);
        let folder = claim(&one, false).unwrap();
        assert!(!folder.resumed);
        folder.write("data.csv", b"1").unwrap();
        std::fs::write(path.join("mine.txt"), b"2").unwrap();
        assert!(claim(&one, false).unwrap().resumed);
        assert!(claim(&two, false).is_err());
        let elsewhere = serde_json::json!({
            "backend": "gpu", "command": "x", "version": one["version"], "results": RESULTS, "configuration": {"a": 1}
        });
        assert!(claim(&elsewhere, false).unwrap().resumed, "the backend is no identity");
        assert!(OutputFolder::finished(&path, &one).unwrap().is_none());
        folder.finish().unwrap();
        assert!(
            OutputFolder::finished(&path, &one).unwrap().is_some()
                && OutputFolder::finished(&path, &two).unwrap().is_none()
        );
        assert!(claim(&one, false).is_err());
        assert!(claim(&two, true).unwrap_err().to_string().contains("another process works in it"));
        drop(folder);
        assert!(!claim(&two, true).unwrap().resumed);
        assert!(!path.join("data.csv").exists() && path.join("mine.txt").exists());
    }
    #[test]
    fn two_at_once_share_a_folder_or_have_it_one_after_the_other() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let one = origin("x", serde_json::json!({"a": 1}));
        let claim = |access| OutputFolder::claim(&path, &one, false, &[], access);
        let shared = claim(FolderAccess::Shared).unwrap();
        let copy = (claim(FolderAccess::Shared).unwrap(), shared.clone());
        drop(shared);
        assert!(
            claim(FolderAccess::Alone).is_err_and(|error| error.to_string().contains("another process works in it"))
        );
        assert!(OutputFolder::take_over(&path, &origin("x", serde_json::json!({"a": 2}))).is_err());
        drop(copy);
        let alone = claim(FolderAccess::Alone).unwrap();
        assert!(claim(FolderAccess::Shared).is_err() && claim(FolderAccess::Alone).is_err());
        drop(alone);
        // One that overwrote it alone lets others share it from then on.
        let first = OutputFolder::claim(&path, &one, true, &[], FolderAccess::Shared).unwrap();
        assert!(claim(FolderAccess::Shared).is_ok());
        drop(first);
        // A folder that is refused has no lock left in it.
        let other = root.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("mine.txt"), "").unwrap();
        assert!(OutputFolder::claim(&other, &one, false, &[], FolderAccess::Alone).is_err());
        assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1);
    }
}
