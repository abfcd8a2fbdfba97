//! What a command has to say in the end: text for people, JSON for programs.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::announced;
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
    /// What a command says, as text and as JSON.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self::with(text, || Ok(json))
    }

    /// What a command says as text, with JSON that is made only where it is asked for.
    pub fn with(text: impl Into<String>, json: impl FnOnce() -> Result<Value> + 'static) -> Self {
        Said { text: text.into(), json: Box::new(json), failed: None }
    }

    /// What a command says that has found something before it fails.
    pub fn failing(self, failed: Option<Error>) -> Self {
        Said { failed, ..self }
    }

    /// Says it: the text, unless JSON goes to standard output; and the JSON where it is asked for.
    pub fn tell(self, json: Option<&Path>) -> Result<Option<Error>> {
        match json {
            Some(path) if path == Path::new(STANDARD_OUTPUT) => print(canonical(&(self.json)()?).trim_end())?,
            Some(path) => {
                print(&self.text)?;
                let json = canonical(&(self.json)()?);
                unless_nobody_reads(atomic::write(path, json.as_bytes()))?;
            }
            None => print(&self.text)?,
        }
        Ok(self.failed)
    }
}

/// An error where JSON cannot be written, before anything runs.
pub fn check(json: Option<&Path>) -> Result<()> {
    match json.filter(|path| *path != Path::new(STANDARD_OUTPUT)) {
        None => Ok(()),
        Some(path) => announced::announce("--json", path).map_err(|error| match error {
            Error::Usage(message) if !message.starts_with("--json") => Error::Usage(format!("--json: {message}")),
            other => other,
        }),
    }
}

/// It is no failure that a reader has gone before the end, as `head` has after ten lines.
fn unless_nobody_reads(written: Result<()>) -> Result<()> {
    match written {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints to standard output.
fn print(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    unless_nobody_reads(written.map_err(Error::io("standard output")))
}
