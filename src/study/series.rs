//! The tables and the page of one series of chips: a study of a single point.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::point::Point;
use super::trial::{Key, Trial};
use super::{files, table};
use crate::chip::Blueprint;
use crate::engine::chip_result::ChipResult;
use crate::engine::price::Price;
use crate::error::Result;
use crate::lock::Access;
use crate::output::OutputFolder;
use crate::report;

/// A folder for a series of chips, and the chips that ran so far.
pub struct SeriesReport {
    folder: OutputFolder,
    trials: Vec<Trial>,
}

impl SeriesReport {
    /// Claims a folder, which `force` empties of earlier results.
    ///
    /// # Errors
    /// Those of [`OutputFolder::claim`].
    pub fn claim(out: &Path, origin: &Value, force: bool) -> Result<Self> {
        let mut origin = origin.clone();
        let of = |key: &str| origin["configuration"][key].as_str().unwrap_or_default().to_owned();
        let title = format!("Chips judged on {} {} images", origin["configuration"]["images"], of("data"));
        origin["title"] = title.into();
        origin["question"] = "How accurate is this network on this hardware, and what does an image take?".into();
        let folder = OutputFolder::claim(out, &origin, force, &files(&[]), Access::Alone)?;
        Ok(SeriesReport { folder, trials: Vec::new() })
    }

    /// Adds a chip of a network that runs so many steps: what all of them come to, whether or not it also answered
    /// early.
    pub fn push(&mut self, chip: u64, result: &ChipResult, steps: usize, price: &Price) {
        let of_all = ChipResult { exit: None, ..result.clone() };
        self.trials.push(Trial::of(Key::default(), chip, &of_all, steps, price));
    }

    /// Writes the tables and the page, and gives its path.
    pub fn finish(self, blueprint: &Blueprint) -> Result<PathBuf> {
        table::write(&self.folder, &[Point::of_series(blueprint, &self.trials)])?;
        let page = report::write(self.folder.path())?;
        self.folder.finish()?;
        Ok(page)
    }
}
