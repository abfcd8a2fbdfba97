//! Records that were made once, kept in a folder for the next time: a file for each set of inputs and options, under
//! their hash.
//!
//! A file has the records, what is said of them, the length of that, and the SHA-256 of it all: one that is damaged is
//! made anew.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files::Files;
use super::source::Records;
use super::spec::Spec;
use crate::atomic::Output;
use crate::error::{Error, Result};
use crate::monitor::stop_if_asked;
use crate::numeric::hex;

/// The version of the way in which records are made; records of another version are not read.
const VERSION: &str = "1";
/// Bytes of the length of the notices, and of the hash.
const TAIL: u64 = 8 + 32;

/// A folder of kept records.
pub(super) struct DataCache(PathBuf);

impl DataCache {
    /// The folder that a data set's option `cache` names, relative to `base`.
    pub fn of(spec: &mut Spec, base: &Path) -> Result<Option<Self>> {
        match spec.text_of("cache") {
            Some("") => Err(spec.refuse("cache", "expected a folder")),
            folder => Ok(folder.map(|folder| DataCache(base.join(folder)))),
        }
    }

    /// The file for what is made of some files in a way.
    pub fn file(&self, files: &Files, names: &[String], way: &str) -> Result<PathBuf> {
        let hash = Sha256::digest(format!("{VERSION}\n{way}\n{}", files.stamp(names)?));
        Ok(self.0.join(format!("{}.records", hex(&hash[..12]))))
    }
}

/// The records of a file that is there and whole, or those that are made, which it holds from then on; and what is said
/// of them.
pub(super) fn records(
    file: &Path,
    count: usize,
    len: usize,
    memory_limit: u64,
    make: impl FnOnce() -> Result<(Records, Vec<String>)>,
) -> Result<(Records, Vec<String>)> {
    let size = count as u64 * len as u64;
    if let Some(notices) = whole(file, size).map_err(Error::io(file))? {
        return Ok((Records::of_file(file, count, len, memory_limit)?, notices.lines().map(String::from).collect()));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let (made, notices) = make()?;
    let mut output = Output::to(file)?;
    let mut hash = Sha256::new();
    let mut result = Ok(());
    let text = notices.join("\n");
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        if result.is_ok() {
            result = output.write_all(bytes);
        }
    };
    made.each(0..count, &mut put)?;
    put(text.as_bytes());
    put(&(text.len() as u64).to_le_bytes());
    result.and_then(|()| output.write_all(&hash.finalize())).map_err(Error::io(file))?;
    output.commit()?;
    Ok((made, notices))
}

/// The notices of a file whose records have `size` bytes; nothing of one that is not there or not whole.
fn whole(file: &Path, size: u64) -> std::io::Result<Option<String>> {
    let Ok(mut opened) = File::open(file) else { return Ok(None) };
    let length = opened.metadata()?.len();
    let Some(said) = length.checked_sub(size + TAIL).filter(|said| *said < 1 << 20) else { return Ok(None) };
    let (mut hash, mut block, mut left) = (Sha256::new(), vec![0; 1 << 20], length - 32);
    while left > 0 {
        stop_if_asked();
        let part = &mut block[..left.min(1 << 20) as usize];
        opened.read_exact(part)?;
        hash.update(&*part);
        left -= part.len() as u64;
    }
    let mut stored = [0; 32];
    opened.read_exact(&mut stored)?;
    if *hash.finalize() != stored {
        return Ok(None);
    }
    let mut notices = vec![0; said as usize];
    opened.seek(SeekFrom::Start(size))?;
    opened.read_exact(&mut notices)?;
    Ok(String::from_utf8(notices).ok())
}
