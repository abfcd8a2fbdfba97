//! Where a name leads: through links, to a file that need not be there.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Links that are followed before they are taken for a loop.
const MOST_LINKS: usize = 40;

/// The whole name of the file that a name leads to, which need not be there.
pub(crate) fn whole(path: &Path) -> Result<PathBuf> {
    let target = links(path)?.pop().unwrap_or_default();
    let folder = std::fs::canonicalize(folder(&target)).map_err(Error::io(path))?;
    Ok(folder.join(target.file_name().unwrap_or_default()))
}

/// An error if nothing can be written to `path`: better before long work than after.
pub(crate) fn check(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            Err(Error::Usage(format!("{} is a folder; expected the name of a file", path.display())))
        }
        Ok(_) => Ok(()),
        Err(_) => {
            let target = links(path)?.pop().unwrap_or_default();
            std::fs::metadata(folder(&target)).map(|_| ()).map_err(Error::io(path))
        }
    }
}

/// Whether a file is there that writing to `path` would replace.
pub(crate) fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| there.is_file())
}

pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A name, and those that it leads to, one link after the other; the last need not be there.
pub(crate) fn links(path: &Path) -> Result<Vec<PathBuf>> {
    let mut names = vec![path.to_path_buf()];
    while let Ok(next) = std::fs::read_link(&names[names.len() - 1]) {
        if names.len() > MOST_LINKS {
            return Err(Error::file(path, "leads through too many links"));
        }
        names.push(folder(&names[names.len() - 1]).join(next));
    }
    Ok(names)
}
