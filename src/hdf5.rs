//! What every reader of HDF5 files keeps to: a damaged file breaks nothing, and nothing is allocated that its own size
//! does not explain.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hdf5_pure::{Chunk, Dataset};

use crate::error::{Error, Result};

/// Bytes that one of a file stands for, at most: deflate packs no more into it.
const PACKED: u64 = 1032;

/// What a reader makes of a file; a damaged file may break it anywhere, and does not break the program.
pub(crate) fn guarded<T>(path: &Path, read: impl FnOnce() -> std::result::Result<T, String>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|message| Error::file(path, message)),
        Err(_) => Err(Error::file(path, "a damaged HDF5 file")),
    }
}

/// An error where a data set, or one of its chunks, says that it is larger than a file of `length` bytes can hold.
pub(crate) fn check_extent(set: &Dataset, length: u64) -> std::result::Result<(), String> {
    let said = |e: hdf5_pure::Error| e.to_string();
    let most = length.saturating_mul(PACKED);
    let size = set.element_size().map_err(said)?;
    let shapes = [Some(set.shape().map_err(said)?), set.chunk_shape().map_err(said)?];
    for shape in shapes.into_iter().flatten() {
        let bytes = shape.iter().try_fold(size, |bytes, extent| bytes.checked_mul(*extent));
        if bytes.is_none_or(|bytes| bytes > most) {
            return Err(format!("{shape:?} elements of {size} bytes do not fit a file of {length} bytes"));
        }
    }
    // An index that cannot be listed is one of files that grow, and is read chunk by chunk.
    let chunks = if set.is_chunked() { set.chunks().unwrap_or_default() } else { vec![] };
    let is_there = |chunk: &Chunk| chunk.address.checked_add(chunk.storage_size).is_some_and(|end| end <= length);
    match chunks.iter().find(|chunk| !is_there(chunk)) {
        Some(chunk) => Err(format!(
            "a chunk of {} bytes at byte {} does not fit a file of {length} bytes",
            chunk.storage_size, chunk.address
        )),
        None => Ok(()),
    }
}
