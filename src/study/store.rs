//! Finished trials on disk: one append-only CSV a shard, a line a trial, flushed as it ends.
//!
//! A line counts once its line end is there; a kill loses at most the running trial. All numbers are integers, so
//! nothing is lost in writing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::table::ChipRow;
use crate::attack::Judged;
use crate::engine::evaluate::ChipResult;
use crate::engine::price::Price;
use crate::error::{Error, Result};

/// One finished trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The point's index.
    pub point: u64,
    /// The chip's index.
    pub chip: u64,
    /// Images classified correctly.
    pub correct: u64,
    /// Images run.
    pub images: u64,
    /// Spikes of all layers, steps and images.
    pub spikes: u64,
    /// Bytes that the chip's companion arrays hold.
    pub sram_bytes: u64,
    /// Time steps run, of all images.
    pub steps: u64,
    /// Partial sums beyond a converter's range, of all steps and images.
    pub clipped: u64,
    /// Sums at which an adder saturated, likewise.
    pub saturated: u64,
    /// Femtojoule of all images; absent where the profile has no costs, or they are not known.
    pub energy_fj: Option<u64>,
}

impl Trial {
    /// Of a chip that ran so many images: of its early answers where there are any. Spikes then are those of the steps that
    /// images ran, where they are known, else of all.
    pub fn of(point: u64, chip: u64, result: &ChipResult, steps: usize, price: &Price) -> Self {
        let (correct, counts, ran) = match &result.exit {
            Some(early) => (early.correct, early.counts.as_ref(), early.steps.iter().sum()),
            None => (result.correct, None, result.logits.nrows() * steps),
        };
        Trial {
            point,
            chip,
            correct: correct as u64,
            images: result.logits.nrows() as u64,
            spikes: counts.unwrap_or(&result.counts).total_spikes(),
            sram_bytes: result.sram_bytes as u64,
            steps: ran as u64,
            clipped: result.counts.clipped.iter().sum(),
            saturated: result.counts.saturated.iter().sum(),
            energy_fj: price
                .energy_pj(result, steps)
                .map(|pj| (pj * 1000.0 * result.logits.nrows() as f64).round() as u64),
        }
    }

    /// Of a chip under attack.
    pub fn attacked(point: u64, chip: u64, judged: &Judged, steps: usize) -> Self {
        Trial {
            point,
            chip,
            correct: judged.correct as u64,
            images: judged.images as u64,
            spikes: judged.counts.total_spikes(),
            sram_bytes: judged.sram_bytes as u64,
            steps: (judged.images * steps) as u64,
            clipped: judged.counts.clipped.iter().sum(),
            saturated: judged.counts.saturated.iter().sum(),
            energy_fj: None,
        }
    }

    /// As it stands in a table.
    pub fn row(&self) -> ChipRow {
        ChipRow {
            chip: self.chip,
            accuracy: 100.0 * self.correct as f64 / self.images as f64,
            spikes_per_image: self.spikes as f64 / self.images as f64,
            clipped_per_image: self.clipped as f64 / self.images as f64,
            saturated_per_image: self.saturated as f64 / self.images as f64,
            energy_pj_per_image: self.energy_fj.map(|fj| fj as f64 / 1000.0 / self.images as f64),
            sram_bytes: self.sram_bytes,
        }
    }
}

/// A shard's file, open for appending.
pub struct Store {
    file: File,
    path: std::path::PathBuf,
}

/// The name of a shard's file, counted from 1.
pub fn shard_name(shard: usize, of: usize) -> String {
    format!("trials-{shard}-of-{of}.csv")
}

impl Store {
    /// Opens a shard's file and cuts a half-written last line off.
    pub fn open(path: &Path) -> Result<Self> {
        let whole = if path.exists() { read(path)?.1 } else { 0 };
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        file.set_len(whole).map_err(Error::io(path))?;
        Ok(Store { file, path: path.to_path_buf() })
    }

    /// Appends one trial.
    pub fn push(&mut self, trial: Trial) -> Result<()> {
        let Trial { point, chip, correct, images, spikes, sram_bytes, steps, clipped, saturated, energy_fj } = trial;
        let energy = energy_fj.map_or(String::new(), |fj| fj.to_string());
        let line =
            format!("{point},{chip},{correct},{images},{spikes},{sram_bytes},{steps},{clipped},{saturated},{energy}\n");
        self.file.write_all(line.as_bytes()).map_err(Error::io(&self.path))
    }
}

/// Appends a finished process's line to the timing table, which starts with its header.
pub fn append_timing(path: &Path, shard: usize, of: usize, trials: u64, time: Duration) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
    let header = if file.metadata().map_err(Error::io(path))?.len() == 0 { "shard,of,trials,seconds\n" } else { "" };
    let line = format!("{header}{shard},{of},{trials},{:.2}\n", time.as_secs_f64());
    file.write_all(line.as_bytes()).map_err(Error::io(path))
}

/// The trials of a file and the length of its whole lines.
fn read(path: &Path) -> Result<(Vec<Trial>, u64)> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |last| last + 1);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..whole]);
    let trials = reader.deserialize().collect::<std::result::Result<_, _>>();
    Ok((trials.map_err(|e| Error::file(path, format!("not a file of trials: {e}")))?, whole as u64))
}

/// Every trial in a folder, by point and chip.
pub fn read_all(folder: &Path) -> Result<BTreeMap<(u64, u64), Trial>> {
    let mut trials = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("trials-") && name.ends_with(".csv") {
            trials.extend(read(&path)?.0.into_iter().map(|t| ((t.point, t.chip), t)));
        }
    }
    Ok(trials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_trial_is_cut_off_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(shard_name(1, 1));
        let counted = Trial {
            point: 0,
            chip: 0,
            correct: 5,
            images: 10,
            spikes: 100,
            sram_bytes: 7,
            steps: 80,
            clipped: 3,
            saturated: 1,
            energy_fj: Some(9),
        };
        let trial = |chip| Trial { chip, ..counted };
        let mut store = Store::open(&path).unwrap();
        store.push(trial(0)).unwrap();
        store.push(trial(1)).unwrap();
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            Store::open(&path).unwrap().push(trial(7)).unwrap();
            let found: Vec<u64> = read_all(folder.path()).unwrap().into_keys().map(|(_, chip)| chip).collect();
            assert_eq!(found, if cut < bytes.len() / 2 { vec![7] } else { vec![0, 7] }, "cut at {cut}");
        }
    }
}
