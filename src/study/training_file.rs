//! The training file that a study writes for a network of its own: every value with its place in the study's file, so
//! that errors name that.

use std::path::Path;

use toml::Value;

use crate::config::Document;
use crate::error::{Error, Result};

/// A training file being written.
pub(super) struct TrainingFile<'a> {
    study: &'a Document,
    file: Document,
}

impl<'a> TrainingFile<'a> {
    /// A file with what a study and its trainings have in common: the model, the data, the encoding and the seed.
    pub fn beside(study: &'a Document, model: &Path, seed: u64) -> Result<Self> {
        let mut written = TrainingFile { study, file: Document::parse_text(study.file(), String::new())? };
        written.put_path("model", model, "model")?;
        for key in ["data", "test", "encoding"] {
            if let Some(value) = study.table().get(key) {
                written.put(key, value.clone(), key)?;
            }
        }
        let seed = i64::try_from(seed).map_err(|_| study.error("seed", "expected a number below 2^63"))?;
        written.put("train.seed", seed.into(), "seed")?;
        Ok(written)
    }

    /// Sets a key to what stands at a place of the study.
    pub fn put(&mut self, key: &str, value: Value, place: &str) -> Result<()> {
        let base = self.study.base(place.split('.').next().unwrap_or(place));
        self.file.set_value(key, value, self.study.place(place), base)
    }

    /// Sets a key to a path: those of a study start where its own do already.
    pub fn put_path(&mut self, key: &str, path: &Path, place: &str) -> Result<()> {
        let path = std::path::absolute(path).map_err(Error::io(path))?;
        self.put(key, path.to_string_lossy().into_owned().into(), place)
    }

    /// The file.
    pub fn finish(self) -> Document {
        self.file
    }
}
