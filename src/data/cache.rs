//! Records that were made once, kept in a folder for the next time: a file for each set of inputs and options, under their hash.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files::Files;
use super::source::Records;
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::numeric::hex;

/// Told apart from records that another version made in another way.
const VERSION: &str = "1";

/// A folder of kept records.
pub(super) struct Cache(PathBuf);

impl Cache {
    /// The folder that a data set's option `cache` names, relative to `base`.
    pub fn of(spec: &mut Spec, base: &Path) -> Option<Self> {
        spec.text_of("cache").map(|folder| Cache(base.join(folder)))
    }

    /// The file for what is made of some files in a way.
    pub fn file(&self, files: &Files, way: &str) -> Result<PathBuf> {
        let hash = Sha256::digest(format!("{VERSION}\n{way}\n{}", files.stamp()?));
        Ok(self.0.join(format!("{}.records", hex(&hash[..12]))))
    }
}

/// The records of a file that is there, or those that are made, which it holds from then on; and what is said of them.
pub(super) fn records(
    file: &Path,
    count: usize,
    len: usize,
    memory_limit: u64,
    make: impl FnOnce() -> Result<(Records, Vec<String>)>,
) -> Result<(Records, Vec<String>)> {
    let beside = file.with_extension("notices");
    if !file.exists() {
        let folder = file.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let (made, notices) = make()?;
        put(&beside, |written| written.write_all(notices.join("\n").as_bytes()))?;
        put(file, |written| {
            let mut result = Ok(());
            let shown = made.each(count, |record| {
                if result.is_ok() {
                    result = written.write_all(record);
                }
            });
            shown.map_err(std::io::Error::other).and(result)
        })?;
    }
    let notices = fs::read_to_string(&beside).map_err(Error::io(&beside))?;
    Ok((Records::of_file(file, count, len, memory_limit)?, notices.lines().map(String::from).collect()))
}

/// Writes a file that is there as a whole or not at all.
fn put(file: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut written = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(folder))?;
    write(&mut written).and_then(|()| written.as_file().sync_all()).map_err(Error::io(file))?;
    written.persist(file).map(drop).map_err(|error| Error::io(file)(error.error))
}
