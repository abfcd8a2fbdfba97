//! Training images that a network's training has left out: a search judges its candidates on them, so that all test
//! images are left for its answer.

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::data::Dataset;
use crate::error::{Error, Result};

/// An error where the network of a checkpoint has seen images of a training set from number `from` on, or may have, as
/// far as the checkpoint says: what it was trained on before that training is not known.
pub(super) fn check(checkpoint: &Checkpoint, training: &Dataset, from: usize) -> Result<()> {
    let trained = &checkpoint.metadata["configuration"];
    if trained["data_fingerprint"] != json!(training.fingerprint()?) {
        return Ok(());
    }
    let seen = trained["train"]["limit"].as_u64().map_or(training.len(), |limit| training.len().min(limit as usize));
    if seen <= from {
        return Ok(());
    }
    Err(Error::Mismatch(match seen == training.len() {
        true => format!("{from}, and the network was trained on all {seen} training images, as its checkpoint says"),
        false => format!(
            "{from}, and the network was trained on the first {seen} training images, as its checkpoint says; \
             expected at least {seen}"
        ),
    }))
}
