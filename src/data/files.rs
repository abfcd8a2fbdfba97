//! Files by name: those of a folder and the folders in it, or those of a zip archive, which stays packed.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zip::ZipArchive;

use crate::announced;
use crate::error::{Error, Result};

/// How deep folders are looked into.
const DEEPEST: usize = 8;
/// The largest file that is read as a whole, in bytes.
const LARGEST: u64 = 256 << 20;

/// A folder or an archive.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    archive: Option<Mutex<ZipArchive<BufReader<File>>>>,
    /// Relative to the folder, with `/` between the parts, in the order of bytes.
    names: Vec<String>,
}

impl Files {
    /// Lists a folder, or the archive that a file is.
    pub fn open(path: &Path) -> Result<Self> {
        let of = |names: Vec<String>, archive| Files { path: path.into(), archive, names };
        let mut files = if path.is_dir() {
            let mut names = Vec::new();
            list(path, "", DEEPEST, &mut names)?;
            of(names, None)
        } else {
            announced::reading(path)?;
            let file = File::open(path).map_err(Error::io(path))?;
            let archive = ZipArchive::new(BufReader::new(file));
            let archive =
                archive.map_err(|error| Error::file(path, format!("expected a folder or a zip archive: {error}")))?;
            let names = archive.file_names().filter(|name| !name.ends_with('/')).map(String::from).collect();
            of(names, Some(Mutex::new(archive)))
        };
        files.names.sort_unstable();
        Ok(files)
    }

    /// The names of all files.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What tells some of the files from others: their places, sizes and times of change, as text.
    pub fn stamp(&self, names: &[String]) -> Result<String> {
        let of = |path: &Path| -> Result<String> {
            let there = fs::metadata(path).map_err(Error::io(path))?;
            let changed = there.modified().map_err(Error::io(path))?;
            let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let place = path.canonicalize().map_err(Error::io(path))?;
            Ok(format!("{} {} {}\n", place.display(), there.len(), since.as_nanos()))
        };
        match self.archive {
            Some(_) => of(&self.path),
            None => names.iter().map(|name| of(&self.path.join(name))).collect(),
        }
    }

    /// The folder or the archive.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about one of the files.
    pub fn refuse(&self, name: &str, message: impl Into<String>) -> Error {
        Error::file(self.path.join(name), message)
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let place = self.path.join(name);
        let too_large = |size: u64| Error::file(&place, format!("{size} bytes; expected at most {LARGEST}"));
        let mut bytes = Vec::new();
        let Some(archive) = &self.archive else {
            let there = fs::metadata(&place).map_err(Error::io(&place))?;
            if !there.is_file() {
                return Err(Error::file(&place, "expected a regular file"));
            }
            let file = File::open(&place).map_err(Error::io(&place))?;
            let size = there.len();
            if size > LARGEST {
                return Err(too_large(size));
            }
            file.take(LARGEST).read_to_end(&mut bytes).map_err(Error::io(&place))?;
            return Ok(bytes);
        };
        let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = archive.by_name(name).map_err(|error| Error::file(&place, error.to_string()))?;
        let size = entry.size();
        if size > LARGEST {
            return Err(too_large(size));
        }
        // One byte more than declared, so that the end is reached and with it the archive's checksum.
        entry.take(size + 1).read_to_end(&mut bytes).map_err(|error| Error::file(&place, error.to_string()))?;
        if bytes.len() as u64 != size {
            return Err(Error::file(&place, format!("{} bytes; the archive says {size}", bytes.len())));
        }
        Ok(bytes)
    }
}

/// Adds the names of a folder's files, and of those in its folders.
fn list(folder: &Path, before: &str, depth: usize, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(|name| format!("{before}{name}")) else {
            return Err(Error::file(path, "expected a name in UTF-8"));
        };
        // Links are followed.
        if !path.is_dir() {
            names.push(name);
        } else if depth > 0 {
            list(&path, &format!("{name}/"), depth - 1, names)?;
        } else {
            return Err(Error::file(path, format!("expected folders within {DEEPEST} folders at most")));
        }
    }
    Ok(())
}
