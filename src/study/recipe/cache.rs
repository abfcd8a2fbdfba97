//! What has been done once is not done again: finished trainings and evaluations, by a hash of everything that
//! determines them. A killed one goes on from where it stopped; an entry that is there is never wrong, only no longer
//! asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::lock::FolderAccess;
use crate::monitor::Monitor;
use crate::output::OutputFolder;
use crate::study::store::{self, OfKey, Store};
use crate::study::trial::{Key, Trial};
use crate::train::job::Job;
use crate::train::{CHECKPOINT, FILES};

/// The SHA-256 of a finished checkpoint.
const SUM: &str = "checkpoint.sha256";

/// The trials that a folder holds.
pub struct Known(HashMap<Key, OfKey>);

impl Known {
    /// Reads them; none where there is no folder.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(Known(if folder.is_dir() { store::read_all(folder)? } else { HashMap::new() }))
    }

    /// The trials of a key, by chip.
    pub fn trials(&self, key: Key) -> OfKey {
        self.0.get(&key).cloned().unwrap_or_default()
    }
}

/// The place of a training in a folder.
pub fn training(folder: &Path, job: &Job) -> PathBuf {
    folder.join(format!("train-{}", Key::of(job.origin())))
}

/// The checkpoint of a training that a folder holds finished, and as it was trained.
pub fn trained(folder: &Path, job: &Job) -> Result<Option<PathBuf>> {
    let path = training(folder, job);
    let (checkpoint, sum) = (path.join(CHECKPOINT), path.join(SUM));
    if OutputFolder::finished(&path, job.origin())?.is_none() {
        return Ok(None);
    }
    let found = Checkpoint::read(&checkpoint).map(|checkpoint| checkpoint.hash());
    // A kill may have come between the training's end and its sum.
    let is_it =
        found.is_ok_and(|found| !sum.exists() || std::fs::read_to_string(&sum).is_ok_and(|known| known == found));
    Ok(is_it.then_some(checkpoint))
}

/// The reason why a training cannot be finished, where that was found out.
pub fn failed(folder: &Path, job: &Job) -> Option<String> {
    std::fs::read_to_string(failure(folder, job)).ok()
}

/// Says that a training cannot be finished, and why.
pub fn fail(folder: &Path, job: &Job, why: &str) -> Result<()> {
    crate::atomic::write(&failure(folder, job), why.as_bytes())
}

fn failure(folder: &Path, job: &Job) -> PathBuf {
    training(folder, job).with_extension("failed")
}

/// The checkpoint of a training run, trained into a folder where it is not there.
pub fn train(folder: &Path, job: &Job, monitor: &dyn Monitor) -> Result<PathBuf> {
    let path = training(folder, job);
    let (checkpoint, sum) = (path.join(CHECKPOINT), path.join(SUM));
    if let Some(checkpoint) = trained(folder, job)? {
        if !sum.exists() {
            crate::atomic::write(&sum, Checkpoint::read(&checkpoint)?.hash().as_bytes())?;
        }
        return Ok(checkpoint);
    }
    if OutputFolder::finished(&path, job.origin())?.is_some() {
        monitor.line(&format!("{} is not what was trained: it is trained anew", checkpoint.display()));
    }
    // What is unfinished goes on; what is of no use makes room.
    let claim =
        |force| OutputFolder::claim(&path, job.origin(), force, &[&FILES[..], &[SUM]].concat(), FolderAccess::Alone);
    let claimed = claim(false).or_else(|_| claim(true))?;
    job.run(&claimed, monitor)?;
    claimed.write(SUM, Checkpoint::read(&checkpoint)?.hash().as_bytes())?;
    Ok(checkpoint)
}

/// A folder of finished work: one for each training, and the trials.
pub struct Cache {
    folder: PathBuf,
    store: Store,
    known: Known,
}

impl Cache {
    /// Opens a folder, made where it is missing; an error where another process works in it.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let store = Store::open(&folder.join(store::shard_name(1, 1)))?;
        Ok(Cache { folder: folder.to_path_buf(), store, known: Known::read(folder)? })
    }

    /// The checkpoint of a training run, trained where it is not there.
    pub fn train(&self, job: &Job, monitor: &dyn Monitor) -> Result<PathBuf> {
        train(&self.folder, job, monitor)
    }

    /// The trials of a key that are there, by chip.
    pub fn trials(&self, key: Key) -> OfKey {
        self.known.trials(key)
    }

    /// Keeps a trial that a backend ran.
    pub fn keep(&mut self, trial: &Trial, backend: &str) -> Result<()> {
        self.store.push(trial, backend)?;
        self.known.0.entry(trial.key).or_default().insert(trial.chip, trial.clone());
        Ok(())
    }
}
