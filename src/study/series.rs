//! The tables and the page of one series of chips: a study of a single point.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::point::Point;
use super::trial::{Key, Trial};
use super::{files, table};
use crate::chip::Blueprint;
use crate::engine::chip_result::ChipResult;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::lock::FolderAccess;
use crate::output::{DERIVED, ORIGIN, OutputFolder, canonical};
use crate::report::{self, NOTES};

/// A folder for a series of chips, and the chips that ran so far.
pub struct SeriesReport {
    folder: OutputFolder,
    origin: Value,
    trials: Vec<Trial>,
}

impl SeriesReport {
    /// Claims a folder, which `force` empties of an earlier report.
    ///
    /// # Errors
    /// Those of [`OutputFolder::claim`], and [`Error::Usage`] where the folder holds what another command made.
    pub fn claim(out: &Path, origin: &Value, force: bool) -> Result<Self> {
        if let Some((_, there)) = OutputFolder::open(out)?.filter(|(_, there)| there["command"] != origin["command"]) {
            let (out, command) = (out.display(), there["command"].as_str().unwrap_or("another command"));
            let message = format!("{out} holds what `{command}` made; expected an earlier report, or another folder");
            return Err(Error::Usage(message));
        }
        let mut origin = origin.clone();
        let of = |key: &str| origin["configuration"][key].as_str().unwrap_or_default().to_owned();
        let profile = origin["configuration"]["profile"]["name"].as_str().unwrap_or("ideal").to_owned();
        let title =
            format!("Chips of {profile}, judged on {} images of {}", origin["configuration"]["images"], of("data"));
        origin["title"] = title.into();
        origin["question"] = "How accurate is this network on this hardware, and what does an image take?".into();
        let folder = OutputFolder::claim(out, &origin, force, &files(&[]), FolderAccess::Alone)?;
        Ok(SeriesReport { folder, origin, trials: Vec::new() })
    }

    /// Adds a chip of a network that runs so many steps: what all of them come to, whether or not it also answered
    /// early.
    pub fn push(&mut self, chip: u64, result: &ChipResult, steps: usize, price: &Price) {
        let of_all = ChipResult { exit: None, ..result.clone() };
        self.trials.push(Trial::of(Key::default(), chip, &of_all, steps, price));
    }

    /// Writes the tables and the page, which has these sentences beside its answer, and gives its path.
    pub fn finish(mut self, blueprint: &Blueprint, notes: Vec<String>) -> Result<PathBuf> {
        self.origin[DERIVED] = json!({ NOTES: notes });
        self.folder.write(ORIGIN, canonical(&self.origin).as_bytes())?;
        table::write(&self.folder, &[Point::of_series(blueprint, &self.trials)])?;
        let page = report::write(self.folder.path())?;
        self.folder.finish()?;
        Ok(page)
    }
}
