//! The library's errors as Python exceptions, in the same words.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyUserWarning};
use pyo3::prelude::*;

create_exception!(
    crosspike,
    Error,
    PyException,
    "What crosspike refuses, or fails at; the message says where, and what was expected."
);
create_exception!(
    crosspike,
    ConfigError,
    Error,
    "A file, a dict or an override holds a key or value that is not accepted."
);
create_exception!(crosspike, FileError, Error, "A file does not hold what it should, or cannot be read or written.");
create_exception!(crosspike, MismatchError, Error, "Two inputs that are valid alone do not fit each other.");
create_exception!(crosspike, UsageError, Error, "An argument asks for something that cannot be.");
create_exception!(crosspike, GpuError, Error, "The graphics adapter failed, or there is none.");
create_exception!(
    crosspike,
    Notice,
    PyUserWarning,
    "What the user should know before reading results, such as a key without effect."
);

/// Adds the exceptions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("Error", py.get_type::<Error>())?;
    module.add("ConfigError", py.get_type::<ConfigError>())?;
    module.add("FileError", py.get_type::<FileError>())?;
    module.add("MismatchError", py.get_type::<MismatchError>())?;
    module.add("UsageError", py.get_type::<UsageError>())?;
    module.add("GpuError", py.get_type::<GpuError>())?;
    module.add("Notice", py.get_type::<Notice>())
}

/// An error of the library as an exception.
pub fn raise(error: crosspike::Error) -> PyErr {
    let message = in_python(&error.to_string());
    match error {
        crosspike::Error::Config { .. } => ConfigError::new_err(message),
        crosspike::Error::File { .. } | crosspike::Error::Io { .. } => FileError::new_err(message),
        crosspike::Error::Mismatch(_) => MismatchError::new_err(message),
        crosspike::Error::Usage(_) => UsageError::new_err(message),
        crosspike::Error::Gpu(_) | crosspike::Error::Lost(_) => GpuError::new_err(message),
        crosspike::Error::Interrupted(_) => PyKeyboardInterrupt::new_err(message),
    }
}

/// Options that messages name, and the arguments that they are here.
const OPTIONS: [(&str, &str); 15] = [
    ("--force", "force=True"),
    ("--resume", "resume=True"),
    ("--out", "out"),
    ("--set model.", "set "),
    ("--set", "set"),
    ("--key", "key"),
    ("--ignore", "ignore"),
    ("--map", "names"),
    ("--dt", "dt"),
    ("--steps", "steps"),
    ("--reset-at", "reset_at"),
    ("--reset", "reset"),
    ("--fires", "fires"),
    ("--readout", "readout"),
    ("--method", "method"),
];

/// The message with the arguments that a call has in place of the command line's options; paths are left alone.
pub fn in_python(message: &str) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some(at) = rest.find("--") {
        let (before, from) = rest.split_at(at);
        text += before;
        let begins = !text.ends_with(|c: char| c.is_alphanumeric() || "/._-".contains(c));
        let ends = |option: &str| {
            option.ends_with('.') || !from[option.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '-')
        };
        match OPTIONS.iter().find(|(option, _)| begins && from.starts_with(option) && ends(option)) {
            Some((option, argument)) => {
                text += argument;
                rest = &from[option.len()..];
            }
            None => {
                text += "--";
                rest = &from[2..];
            }
        }
    }
    text + rest
}

/// Warns of what the user should know.
pub fn warn(py: Python<'_>, notices: &[String]) -> PyResult<()> {
    let category = py.get_type::<Notice>();
    let warnings = py.import("warnings")?;
    notices.iter().try_for_each(|notice| warnings.call_method1("warn", (in_python(notice), &category, 1)).map(|_| ()))
}
