//! Safetensors files: the format that is written, and the first of the two that are read.

use std::borrow::Cow;
use std::collections::HashMap;

use ::safetensors::tensor::{Dtype, SafeTensors, View, serialize as serialize_views};

use super::element::Element;
use super::{Checkpoint, Tensor, Values};

/// The key under which the origin stands in the file's metadata.
const METADATA_KEY: &str = "crosspike";

/// What is said of a file that is of no kind that is known.
const NEITHER: &str =
    "neither a PyTorch zip file (torch.save) nor a safetensors file, which begins with the length of its header";

/// Reads a safetensors file.
pub(super) fn parse(bytes: &[u8]) -> Result<Checkpoint, String> {
    let refuse = |error| format!("neither a PyTorch zip file (torch.save) nor a safetensors file: {error}");
    let length = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    if length.is_none_or(|length| length > bytes.len() as u64) {
        return Err(NEITHER.into());
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(refuse)?;
    let file = SafeTensors::deserialize(bytes).map_err(refuse)?;
    let mut checkpoint = Checkpoint::default();
    if let Some(text) = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY)) {
        checkpoint.metadata = serde_json::from_str(text)
            .map_err(|error| format!("metadata key `{METADATA_KEY}`: expected JSON: {error}"))?;
    }
    for (name, view) in file.iter() {
        let Some(element) = element(view.dtype()) else {
            checkpoint.unread.insert(name.to_owned(), format!("a tensor of {:?}", view.dtype()));
            continue;
        };
        let count = view.data().len() / element.size();
        let values = element.decode(view.data(), 0..count);
        checkpoint.insert(name, Tensor { shape: view.shape().to_vec(), values })?;
    }
    Ok(checkpoint)
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::U32 => Element::U32,
        Dtype::I16 => Element::I16,
        Dtype::U16 => Element::U16,
        Dtype::I8 => Element::I8,
        Dtype::U8 => Element::U8,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

/// The canonical bytes of a checkpoint.
pub(super) fn serialize(checkpoint: &Checkpoint) -> Result<Vec<u8>, String> {
    for (name, tensor) in &checkpoint.tensors {
        let expected = tensor.shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
        if expected != Some(tensor.values.len()) {
            return Err(format!("tensor `{name}` has shape {:?} but {} values", tensor.shape, tensor.values.len()));
        }
        if name == "__metadata__" {
            return Err("a tensor cannot be named `__metadata__`".into());
        }
    }
    // One key only: the format's writer keeps metadata in a hash map, whose order differs from run to run.
    let metadata = (!checkpoint.metadata.is_null()).then(|| {
        let mut sorted = checkpoint.metadata.clone();
        sorted.sort_all_objects();
        HashMap::from([(METADATA_KEY.to_owned(), sorted.to_string())])
    });
    serialize_views(&checkpoint.tensors, metadata).map_err(|error| error.to_string())
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        match self.values {
            Values::F32(_) => Dtype::F32,
            Values::I64(_) => Dtype::I64,
            Values::U8(_) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.to_le_bytes().into()
    }

    fn data_len(&self) -> usize {
        match &self.values {
            Values::F32(values) => size_of_val(values.as_slice()),
            Values::I64(values) => size_of_val(values.as_slice()),
            Values::U8(values) => values.len(),
        }
    }
}
