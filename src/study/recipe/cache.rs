//! What has been done once is not done again: finished trainings and evaluations, by a hash of everything that determines
//! them. A killed one goes on from where it stopped; an entry that is there is never wrong, only no longer asked for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::lock::Access;
use crate::monitor::Monitor;
use crate::output::OutputFolder;
use crate::study::store::{self, OfKey, Store};
use crate::study::trial::{Key, Trial};
use crate::train::job::Job;
use crate::train::{CHECKPOINT, FILES};

/// The SHA-256 of a finished checkpoint.
const SUM: &str = "checkpoint.sha256";

/// A folder of finished work: one for each training, and the trials.
pub struct Cache {
    folder: PathBuf,
    store: Store,
    trials: HashMap<Key, OfKey>,
}

impl Cache {
    /// Opens a folder, made where it is missing; an error where another process works in it.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let store = Store::open(&folder.join(store::shard_name(1, 1)))?;
        Ok(Cache { folder: folder.to_path_buf(), store, trials: store::read_all(folder)? })
    }

    /// The checkpoint of a training run, trained where it is not there.
    pub fn train(&self, job: &Job, monitor: &dyn Monitor) -> Result<PathBuf> {
        let path = self.folder.join(format!("train-{}", Key::of(job.origin())));
        let (checkpoint, sum) = (path.join(CHECKPOINT), path.join(SUM));
        if OutputFolder::finished(&path, job.origin())?.is_some() {
            let found = Checkpoint::read(&checkpoint).map(|checkpoint| checkpoint.hash());
            // A kill may have come between the training's end and its sum.
            if let (Ok(found), false) = (&found, sum.exists()) {
                crate::atomic::write(&sum, found.as_bytes())?;
            }
            if found.is_ok_and(|found| std::fs::read_to_string(&sum).is_ok_and(|known| known == found)) {
                return Ok(checkpoint);
            }
            monitor.line(&format!("{} is not what was trained: it is trained anew", checkpoint.display()));
        }
        // What is unfinished goes on; what is of no use makes room.
        let claim =
            |force| OutputFolder::claim(&path, job.origin(), force, &[&FILES[..], &[SUM]].concat(), Access::Alone);
        let folder = claim(false).or_else(|_| claim(true))?;
        job.run(&folder, monitor)?;
        folder.write(SUM, Checkpoint::read(&checkpoint)?.hash().as_bytes())?;
        Ok(checkpoint)
    }

    /// The trials of a key that are there, by chip.
    pub fn trials(&self, key: Key) -> OfKey {
        self.trials.get(&key).cloned().unwrap_or_default()
    }

    /// Keeps a trial that a backend ran.
    pub fn keep(&mut self, trial: &Trial, backend: &str) -> Result<()> {
        self.store.push(trial, backend)?;
        self.trials.entry(trial.key).or_default().insert(trial.chip, trial.clone());
        Ok(())
    }
}
