//! Training images that a network's training has left out: a search judges its candidates on them, so that all test
//! images are left for its answer.

use std::path::Path;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::data::Dataset;
use crate::error::{Error, Result};

/// Gives a notice where nothing tells whether the network of a checkpoint has seen images of a training set from number
/// `from` on: a checkpoint from elsewhere, of other images, or trained from another network, does not say so.
///
/// # Errors
/// Where the checkpoint says that the network has seen some of them.
pub(super) fn check(file: &Path, checkpoint: &Checkpoint, training: &Dataset, from: usize) -> Result<Option<String>> {
    let (file, trained) = (file.display(), &checkpoint.metadata["configuration"]);
    let is_of_these = trained["data_fingerprint"] == json!(training.fingerprint()?);
    let all = training.len();
    let seen = trained["train"]["limit"].as_u64().map_or(all, |limit| all.min(limit as usize));
    if is_of_these && seen > from {
        return Err(Error::Mismatch(match seen == all {
            true => format!("{from}, and the network of {file} was trained on all {all} training images"),
            false => format!(
                "{from}, and the network of {file} was trained on the first {seen} training images; expected {seen} or \
                 more"
            ),
        }));
    }
    let why = match (is_of_these, trained["init_sha256"].is_null()) {
        (true, true) => return Ok(None),
        (true, false) => "it was trained from another network (init)",
        (false, _) => "its file does not say that it was trained on some of this set",
    };
    Ok(Some(format!(
        "held_out_from: nothing tells whether the network of {file} has seen training images from number {from} on: {why}"
    )))
}
