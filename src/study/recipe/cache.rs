//! What has been done once is not done again: finished trainings and evaluations, by a hash of everything that determines
//! them. A killed one goes on from where it stopped; an entry that is there is never wrong, only no longer asked for.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::output::{self, OutputFolder, canonical};
use crate::study::store::{self, Store};
use crate::study::trial::{Key, Trial};
use crate::train::job::Job;
use crate::train::{CHECKPOINT, FILES};

/// A folder of finished work.
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens a folder, made where it is missing.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        Ok(Cache { folder: folder.to_path_buf() })
    }

    /// The checkpoint of a training run, trained where it is not there.
    pub fn train(&self, job: &Job, monitor: &dyn Monitor) -> Result<PathBuf> {
        let path = self.folder.join(format!("train-{}", Key::of(job.origin())));
        if OutputFolder::finished(&path, job.origin()).is_none() {
            let folder = OutputFolder::claim(&path, job.origin(), false, &FILES)?;
            job.run(&folder, monitor)?;
        }
        Ok(path.join(CHECKPOINT))
    }

    /// The trials of an evaluation that `identity` describes, by chip: their key, those that are there, and a store for the
    /// others.
    pub fn trials(&self, identity: &Value) -> Result<(Key, Vec<Trial>, Store)> {
        let key = Key::of(identity);
        let folder = self.folder.join(format!("evaluate-{key}"));
        let origin = folder.join(output::ORIGIN);
        if !origin.exists() {
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
            crate::atomic::write(&origin, canonical(identity).as_bytes())?;
        }
        let store = Store::open(&folder.join(store::shard_name(1, 1)))?;
        let trials = store::read(&folder, std::iter::once(key))?.remove(&key).unwrap_or_default();
        Ok((key, trials.into_values().collect(), store))
    }
}
