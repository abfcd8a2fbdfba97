//! Replacing a file in one step: a reader, or a crash, finds the former content or all of the new one, never a part.

use std::io::Write;
use std::path::Path;

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
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        // A temporary file is private by default; a result is as public as the user's umask allows.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder(path)).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}
