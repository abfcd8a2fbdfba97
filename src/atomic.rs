//! Replacing a file in one step: a reader, or a crash, finds the former content or all of the new one, never a part.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How the name of a file begins that is being written.
pub(crate) const TEMPORARY: &str = ".crosspike-";

/// An error if the folder that `path` is to be written to is not there: better before long work than after.
pub(crate) fn check_folder(path: &Path) -> Result<()> {
    std::fs::metadata(folder(path)).map(|_| ()).map_err(Error::io(path))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Writes `bytes` beside `path`, flushes them to the disk and renames them to `path`.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Replacement::of(path)?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.commit()
}

/// Writes a file that is not there yet; gives false where one is.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<bool> {
    let mut file = Replacement::of(path)?;
    file.write_all(bytes).map_err(Error::io(path))?;
    match file.flushed()?.persist_noclobber(path) {
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        done => done.map(|_| true).map_err(|error| Error::io(path)(error.error)),
    }
}

/// The new content of a file, written beside it part by part.
pub(crate) struct Replacement {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
}

impl Replacement {
    /// Nothing yet; dropped, it leaves nothing behind.
    pub fn of(path: &Path) -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY);
        #[cfg(unix)]
        {
            // A temporary file is private by default; a result is as public as the user's umask allows.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder(path)).map_err(Error::io(path))?;
        Ok(Replacement { file: BufWriter::new(file), path: path.to_path_buf() })
    }

    /// Flushes it to the disk and puts it in place.
    pub fn commit(self) -> Result<()> {
        let path = self.path.clone();
        self.flushed()?.persist(&path).map_err(|error| Error::io(&path)(error.error))?;
        Ok(())
    }

    fn flushed(self) -> Result<tempfile::NamedTempFile> {
        let Replacement { file, path } = self;
        let file = file.into_inner().map_err(|error| Error::io(&path)(error.into_error()))?;
        file.as_file().sync_all().map_err(Error::io(&path))?;
        Ok(file)
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
