//! What has been done once is not done again: finished trainings and evaluations, by a hash of everything that determines
//! them. A killed one goes on from where it stopped; an entry that is there is never wrong, only no longer asked for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::output::{self, OutputFolder, canonical};
use crate::study::store::{self, Store, Trial};
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
        let path = self.folder.join(format!("train-{}", hash(job.origin())));
        if OutputFolder::finished(&path, job.origin()).is_none() {
            let folder = OutputFolder::claim(&path, job.origin(), false, &FILES)?;
            job.run(&folder, monitor)?;
        }
        Ok(path.join(CHECKPOINT))
    }

    /// The trials of an evaluation that `identity` describes, by chip: those that are there, and a store for the others.
    pub fn trials(&self, identity: &Value) -> Result<(Vec<Trial>, Store)> {
        let folder = self.folder.join(format!("evaluate-{}", hash(identity)));
        let origin = folder.join(output::ORIGIN);
        if !origin.exists() {
            std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
            crate::atomic::write(&origin, canonical(identity).as_bytes())?;
        }
        let store = Store::open(&folder.join(store::shard_name(1, 1)))?;
        Ok((store::read_all(&folder)?.into_values().collect(), store))
    }
}

/// The first 16 digits of the SHA-256 of what determines a result.
fn hash(identity: &Value) -> String {
    let digest = Sha256::digest(canonical(identity));
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
