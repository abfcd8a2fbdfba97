//! What can go wrong, and where: every error names the file, the line and the key or value it is about, and what was
//! expected instead.

use std::path::{Path, PathBuf};

/// The exit code of a process that was asked to stop: 128 and the number of SIGINT, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// The result of every fallible function of the crate.
///
/// # Examples
/// ```
/// use crosspike::{Profile, Result};
///
/// fn weight_bits(profile: &str) -> Result<u32> {
///     Ok(Profile::named(profile, &[])?.rram.weight_bits)
/// }
/// assert_eq!(weight_bits("rram_8bit")?, 8);
/// assert!(weight_bits("rram_9bit").is_err());
/// # Ok::<(), crosspike::Error>(())
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// An error with its place.
///
/// # Examples
/// ```
/// use crosspike::{Error, Profile};
///
/// let error = Profile::named("rram_4bit", &["rram.weight_bist=4".into()]).unwrap_err();
/// assert!(matches!(&error, Error::Config { key, .. } if key == "rram.weight_bist"));
/// assert!(error.to_string().ends_with("did you mean `weight_bits`?"));
/// assert_eq!(error.exit_code(), 2);
/// ```
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A TOML file or a `--set` override holds a key or value that is not accepted.
    #[error("{place}: {key}: {message}")]
    Config {
        /// `file:line:column`, the file alone, or `--set key=value`.
        place: String,
        /// The dotted key, for example `rram.variation.sigma`.
        key: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A data, checkpoint or result file does not hold what it should.
    #[error("{}: {message}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong and what was expected.
        message: String,
    },
    /// The operating system refused an operation on a path.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// Two inputs that are valid alone do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// The graphics adapter or its driver failed, or there is none.
    #[error("GPU: {0}")]
    Gpu(String),
    /// The graphics adapter stopped working, or ran out of memory: another backend can do the same work.
    #[error("GPU: {0}")]
    Lost(String),
    /// The user asked to stop; finished work is stored.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

impl Error {
    /// A [`Error::File`] about `file`.
    pub fn file(file: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::File { file: file.as_ref().to_path_buf(), message: message.into() }
    }

    /// Turns a system error on `path` into [`Error::Io`]; for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, source }
    }

    /// Says that work was given up, and what becomes of it, where nobody has said so yet.
    pub fn leaving(self, what: &str) -> Self {
        match self {
            Error::Interrupted(message) if message.is_empty() => Error::Interrupted(what.into()),
            other => other,
        }
    }

    /// The process exit code: 2 for what the user typed or wrote in TOML, 130 where the user asked to stop, 1 for
    /// everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config { .. } | Error::Usage(_) => 2,
            Error::Interrupted(_) => INTERRUPTED,
            _ => 1,
        }
    }
}
