//! Files that are locked while a process works with what they stand for, so that no other takes it away.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// Who may work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderAccess {
    /// One process alone.
    Alone,
    /// Several that share it.
    Shared,
}

/// Locks an open file until it is dropped; gives false where another process holds it. File systems without locks have
/// none.
///
/// # Errors
/// The limits that the system states.
pub fn take(file: &File, access: FolderAccess) -> std::io::Result<bool> {
    let taken = match access {
        FolderAccess::Alone => file.try_lock(),
        FolderAccess::Shared => file.try_lock_shared(),
    };
    match taken {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if is_without_locks(&error) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a file system has no locks: it says so, or, over a network, that there are none to be had.
fn is_without_locks(error: &std::io::Error) -> bool {
    const NO_LOCKS: i32 = 37;
    error.kind() == ErrorKind::Unsupported || (cfg!(target_os = "linux") && error.raw_os_error() == Some(NO_LOCKS))
}

/// Opens a file that stands for something, made where it is missing, and locks it; none where another process holds it.
///
/// # Errors
/// [`Error::Io`] where the system refuses.
pub fn hold(path: &Path, access: FolderAccess) -> Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(path);
    let file = file.map_err(Error::io(path))?;
    Ok(take(&file, access).map_err(Error::io(path))?.then_some(file))
}
