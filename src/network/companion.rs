//! Latent weights of the companion SRAM arrays, and how they stand in a checkpoint.
//!
//! In a hybrid, `conv1.weight` is the array's latent weight and `conv1.WR` the RRAM's. A pruned array also has
//! `conv1.mask`: a bit an element in the published order, the lowest of a byte first, 1 where the element is there. A
//! pruned element is no cell at all: it adds nothing under any quantiser, also under those without a zero level. How an
//! array was trained (quantiser, combination) stands in the metadata under `companion`, so that a profile need not
//! repeat it.

use crate::checkpoint::{Checkpoint, Values};
use crate::error::{Error, Result};
use crate::profile::CompanionForm;

/// One layer's companion array before it is quantised.
#[derive(Clone, Debug, PartialEq)]
pub struct CompanionWeights {
    /// Latent weights, `[columns, rows]`.
    pub latent: Vec<f32>,
    /// Which elements are there; absent: all.
    pub kept: Option<Vec<bool>>,
}

impl CompanionWeights {
    /// Elements that are there.
    pub fn elements(&self) -> usize {
        self.kept.as_ref().map_or(self.latent.len(), |kept| kept.iter().filter(|kept| **kept).count())
    }

    /// The array with 0 for what is not there.
    pub fn pruned(mut self) -> Self {
        if let Some(kept) = &self.kept {
            self.latent.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(w, _)| *w = 0.0);
        }
        self
    }
}

/// The metadata's key.
const FORM_KEY: &str = "companion";

/// The tensor of a layer's mask.
pub fn mask_name(layer: &str) -> String {
    format!("{layer}.mask")
}

/// The bits of an array's mask, where it is pruned.
pub fn mask(array: &CompanionWeights) -> Option<Vec<u8>> {
    array.kept.as_ref().map(|kept| mask_bytes(kept.iter().copied()))
}

/// A bit each, the lowest of a byte first.
pub fn mask_bytes(kept: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; kept.len().div_ceil(8)];
    kept.enumerate().filter(|(_, kept)| *kept).for_each(|(i, _)| bytes[i / 8] |= 1 << (i % 8));
    bytes
}

/// Reads the mask of a layer's `elements`, where there is one.
pub(super) fn read_mask(checkpoint: &Checkpoint, layer: &str, elements: usize) -> Result<Option<Vec<bool>>> {
    let name = mask_name(layer);
    let Some(tensor) = checkpoint.tensors.get(&name) else { return Ok(None) };
    match &tensor.values {
        Values::U8(bytes) if bytes.len() == elements.div_ceil(8) => {
            Ok(Some((0..elements).map(|i| bytes[i / 8] >> (i % 8) & 1 == 1).collect()))
        }
        _ => Err(Error::Mismatch(format!(
            "`{name}` has shape {:?}, expected {} bytes: a bit for each of the {elements} elements",
            tensor.shape,
            elements.div_ceil(8)
        ))),
    }
}

/// Reads how the arrays were trained, where the checkpoint says.
pub(super) fn read_form(metadata: &serde_json::Value) -> Result<Option<CompanionForm>> {
    let Some(form) = metadata.get(FORM_KEY) else { return Ok(None) };
    serde_json::from_value(form.clone())
        .map(Some)
        .map_err(|e| Error::Mismatch(format!("the checkpoint's metadata `{FORM_KEY}`: {e}")))
}

/// Writes how the arrays were trained.
pub(super) fn write_form(form: &CompanionForm, metadata: &mut serde_json::Value) {
    if metadata.is_null() {
        *metadata = serde_json::json!({});
    }
    metadata[FORM_KEY] = serde_json::to_value(form).expect("a form is plain data");
}
