//! What a command has to say in the end: text for people, JSON for programs.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::atomic;
use crate::error::{Error, Result};
use crate::output::canonical;

/// Standard output, in place of a file's name.
const STANDARD_OUTPUT: &str = "-";

/// What a command has to say in the end.
pub struct Said {
    text: String,
    /// Made only where it is asked for: a table may be long.
    json: Box<dyn FnOnce() -> Result<Value>>,
    /// What it fails with all the same.
    pub failed: Option<Error>,
}

impl Said {
    /// The same in both forms.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self::with(text, || Ok(json))
    }

    /// The same with JSON that is made where it is asked for.
    pub fn with(text: impl Into<String>, json: impl FnOnce() -> Result<Value> + 'static) -> Self {
        Said { text: text.into(), json: Box::new(json), failed: None }
    }

    /// Of a command that says what it found before it fails.
    pub fn failing(self, failed: Option<Error>) -> Self {
        Said { failed, ..self }
    }

    /// Says it: the text, unless JSON goes to standard output; and the JSON where it is asked for.
    pub fn tell(self, json: Option<&Path>) -> Result<Option<Error>> {
        match json {
            Some(path) if path == Path::new(STANDARD_OUTPUT) => print(canonical(&(self.json)()?).trim_end())?,
            Some(path) => {
                print(&self.text)?;
                atomic::write(path, canonical(&(self.json)()?).as_bytes())?;
            }
            None => print(&self.text)?,
        }
        Ok(self.failed)
    }
}

/// An error where JSON cannot be written, before anything runs.
pub fn check(json: Option<&Path>) -> Result<()> {
    match json.filter(|path| *path != Path::new(STANDARD_OUTPUT)) {
        Some(path) if path.is_dir() => {
            Err(Error::Usage(format!("--json {}: is a folder; expected the name of a file", path.display())))
        }
        path => path.map_or(Ok(()), atomic::check_folder),
    }
}

/// Prints to standard output; a closed pipe is an error, not a panic.
fn print(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(Error::io("standard output"))
}
