//! Where results go. A regular file is replaced in one step: a reader, or a crash, finds the former content or all of
//! the new one, never a part; the file that a link leads to is the one that is replaced. What is no file (a device, a
//! pipe, `/dev/stdout`) is written to, and never replaced.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::announced;
use crate::error::{Error, Result};
use crate::target::{check, folder, is_file, links};

/// How the name of a file begins that is being written.
pub(crate) const TEMPORARY: &str = ".crosspike-";
/// Replaces a file by `bytes`, or writes them to what is no file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut output = Output::to(path)?;
    output.write_all(bytes).map_err(Error::io(path))?;
    output.commit()
}

/// Writes a file that is not there yet; gives false where one is.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<bool> {
    let mut file = temporary(path).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.as_file().sync_all().map_err(Error::io(path))?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        done => done.map(|_| true).map_err(|error| Error::io(path)(error.error)),
    }
}

/// A file beside `path`, as public as the user's umask allows, or as the file that it is to replace.
pub(crate) fn temporary(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        // A temporary file is private by default.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(folder(path))?;
    if let Ok(there) = std::fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
    }
    Ok(file)
}

/// An output that is written part by part.
pub(crate) struct Output {
    sink: Sink,
    path: PathBuf,
}

enum Sink {
    /// The new content of a file, and the file.
    Beside(BufWriter<tempfile::NamedTempFile>, PathBuf),
    /// A device or a pipe, or a file that has to be written where it is.
    Open(BufWriter<File>),
}

impl Output {
    /// Nothing yet; of a file, dropped, it leaves nothing behind.
    pub fn to(path: &Path) -> Result<Self> {
        announced::check_unread(path)?;
        let sink = Sink::of(path)?;
        Ok(Output { sink, path: path.to_path_buf() })
    }

    /// Flushes it to the disk, and puts a file in its place.
    pub fn commit(self) -> Result<()> {
        let Output { sink, path } = self;
        let failed = |error: std::io::Error| Error::io(&path)(error);
        match sink {
            Sink::Open(mut open) => open.flush().map_err(failed),
            Sink::Beside(file, target) => {
                let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
                file.as_file().sync_all().map_err(failed)?;
                match file.persist(&target) {
                    Ok(_) => Ok(()),
                    // A file that something else is mounted on cannot be renamed over.
                    Err(error) if is_file(&target) => overwrite(error.file.path(), &target).map_err(failed),
                    Err(error) => Err(failed(error.error)),
                }
            }
        }
    }
}

/// Writes a file's content to another, where that is.
fn overwrite(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut to = OpenOptions::new().write(true).truncate(true).open(to)?;
    std::io::copy(&mut File::open(from)?, &mut to)?;
    to.sync_all()
}

impl Sink {
    fn of(path: &Path) -> Result<Self> {
        check(path)?;
        let failed = |error: std::io::Error| Error::io(path)(error);
        let names = links(path)?;
        if let Some(open) = names.iter().find_map(|name| of_this_process(name)) {
            return Ok(Sink::Open(BufWriter::new(open.map_err(failed)?)));
        }
        let there = std::fs::metadata(path).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Ok(Sink::Open(BufWriter::new(OpenOptions::new().write(true).open(path).map_err(failed)?)));
        }
        let target = &names[names.len() - 1];
        match temporary(target) {
            Ok(file) => Ok(Sink::Beside(BufWriter::new(file), target.clone())),
            // The folder takes no new file, and the one that is there may still be written to.
            Err(error) => match OpenOptions::new().write(true).truncate(true).open(target) {
                Ok(open) if there.is_some() => Ok(Sink::Open(BufWriter::new(open))),
                _ => Err(failed(error)),
            },
        }
    }
}

/// An open file of this process by its name (`/dev/stdout`, `/dev/fd/63`, which a shell gives a process substitution):
/// opened again it would be written from its beginning, over what is there.
#[cfg(unix)]
fn of_this_process(path: &Path) -> Option<std::io::Result<File>> {
    use std::os::fd::{AsFd, BorrowedFd};
    let name = path.to_str()?;
    let number =
        ["/dev/fd/", "/proc/self/fd/"].iter().find_map(|folder| name.strip_prefix(folder)?.parse::<i32>().ok());
    let number = match name {
        "/dev/stdout" => 1,
        "/dev/stderr" => 2,
        _ => number?,
    };
    if !path.exists() {
        return None;
    }
    // SAFETY: the file is open, as its name says, and is borrowed for the call alone, which makes another of its own.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    Some(borrowed.as_fd().try_clone_to_owned().map(File::from))
}

#[cfg(not(unix))]
fn of_this_process(_: &Path) -> Option<std::io::Result<File>> {
    None
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.sink {
            Sink::Beside(file, _) => file.write(bytes),
            Sink::Open(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match &mut self.sink {
            Sink::Beside(file, _) => file.flush(),
            Sink::Open(file) => file.flush(),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    #[test]
    fn files_are_replaced_and_links_lead_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("plain"), b"one").unwrap();
        std::fs::set_permissions(at("plain"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::create_dir(at("below")).unwrap();
        symlink("plain", at("link")).unwrap();
        symlink("../link", at("below/link")).unwrap();
        symlink("below/new", at("dangling")).unwrap();
        let before = std::fs::metadata(at("plain")).unwrap().ino();
        write(&at("below/link"), b"two").unwrap();
        assert_eq!(std::fs::read(at("plain")).unwrap(), b"two");
        let after = std::fs::metadata(at("plain")).unwrap();
        assert!(after.ino() != before && after.permissions().mode() & 0o777 == 0o640, "replaced, as public as before");
        assert!(at("below/link").is_symlink() && at("link").is_symlink());
        write(&at("dangling"), b"three").unwrap();
        assert_eq!((std::fs::read(at("below/new")).unwrap(), at("dangling").is_symlink()), (b"three".to_vec(), true));
        symlink("round", at("round")).unwrap();
        assert!(write(&at("round"), b"x").is_err());
        assert!(write(&at("below"), b"x").unwrap_err().to_string().contains("is a folder"));
        assert!(write(&at("nowhere/file"), b"x").is_err());
        let names =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().all(|name| !name.starts_with(TEMPORARY)), "nothing is left behind");
    }

    #[test]
    fn what_is_no_file_is_written_to_and_stays() {
        let kind = || std::fs::metadata("/dev/null").unwrap().file_type();
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(kind().is_char_device());
        assert!(write(Path::new("/dev/full"), b"nothing fits").is_err());
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        symlink(&pipe, &link).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        write(&link, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo() && link.is_symlink());
    }
}
