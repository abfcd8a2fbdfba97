//! Checkpoints: named tensors and the origin they came from, in memory and on disk.
//!
//! Written as `.safetensors` with the published BNTT names (`conv1.weight`, `bntt1.0.running_mean`, `conv1.WR`, …);
//! read from `.safetensors` and from PyTorch's zip format (`.pth`, `.pt`, `.pth.tar`), told apart by content. A PyTorch
//! file is read without Python, and nothing in it is executed. In memory a tensor is `f32`, `i64` or `u8`, row-major.

mod element;
mod machine;
mod pickle;
mod pytorch;
mod safetensors;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::atomic;
use crate::error::{Error, Result};
use crate::numeric::hex;

/// The values of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Real values; every floating type of a file becomes this.
    F32(Vec<f32>),
    /// Counters; every other integer type of a file becomes this.
    I64(Vec<i64>),
    /// Bytes, such as packed bits; booleans of a file become this.
    U8(Vec<u8>),
}

impl Values {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::U8(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Values::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::I64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Values::U8(values) => values.clone(),
        }
    }
}

/// An array with its shape; a scalar has the shape `[]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The extent of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// As many values as the product of `shape`.
    pub values: Values,
}

/// Named tensors and where they came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The tensors by name, without a leading `module.`.
    pub tensors: BTreeMap<String, Tensor>,
    /// The origin of the tensors (version, configuration, seeds); `Null` when the file names none.
    pub metadata: serde_json::Value,
}

impl Checkpoint {
    /// Reads a safetensors or PyTorch file; its content decides which, not its name.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is neither, is damaged, holds a type that has no
    /// place here, or is a pickle that asks for anything but tensors.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        Self::parse(&bytes).map_err(|message| Error::file(path, message))
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        if bytes.starts_with(b"PK\x03\x04") { pytorch::parse(bytes) } else { safetensors::parse(bytes) }
    }

    /// The file's bytes: the same tensors and metadata always give the same bytes.
    ///
    /// The metadata stands as JSON with sorted keys under the single key `crosspike`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if a tensor has more or fewer values than its shape says, or a name that the format keeps for
    /// itself.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        safetensors::serialize(self).map_err(Error::Mismatch)
    }

    /// Writes a safetensors file in one step: a reader finds the former file or the whole new one.
    ///
    /// # Errors
    /// Those of [`Checkpoint::to_safetensors`], and [`Error::Io`] if the folder does not take the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write(path, &self.to_safetensors()?)
    }

    /// The SHA-256 of names, types, shapes and values in the order of names, as hexadecimal digits; metadata and file
    /// format do not enter.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, tensor) in &self.tensors {
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update(match tensor.values {
                Values::F32(_) => b"f32",
                Values::I64(_) => b"i64",
                Values::U8(_) => b"u_8",
            });
            hasher.update((tensor.shape.len() as u64).to_le_bytes());
            for &extent in &tensor.shape {
                hasher.update((extent as u64).to_le_bytes());
            }
            hasher.update(tensor.values.to_le_bytes());
        }
        hex(&hasher.finalize())
    }

    /// The values of the real tensor `name`, which must have exactly this `shape`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] naming the tensor and its shape expected and found, or, if it is missing, names near it.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(Error::Mismatch(format!(
                "the checkpoint has no tensor `{name}` (expected shape {shape:?}); {}",
                self.names_near(name)
            )));
        };
        if tensor.shape != shape {
            return Err(Error::Mismatch(format!(
                "tensor `{name}` of the checkpoint has shape {:?}; expected {shape:?}",
                tensor.shape
            )));
        }
        match &tensor.values {
            Values::F32(values) => Ok(values),
            Values::I64(_) | Values::U8(_) => {
                Err(Error::Mismatch(format!("tensor `{name}` of the checkpoint holds integers; expected real values")))
            }
        }
    }

    /// What the checkpoint has instead of `name`: tensors of the same layer, else any.
    fn names_near(&self, name: &str) -> String {
        const SHOWN: usize = 6;
        let layer = name.split('.').next().unwrap_or(name);
        let near: Vec<&str> = (self.tensors.keys().map(String::as_str))
            .filter(|other| other.split('.').next() == Some(layer))
            .take(SHOWN)
            .collect();
        if !near.is_empty() {
            return format!("near it: {}", near.join(", "));
        }
        let any: Vec<&str> = self.tensors.keys().map(String::as_str).take(SHOWN).collect();
        if any.is_empty() { "it has no tensors".into() } else { format!("it has for example {}", any.join(", ")) }
    }

    /// Adds a tensor read from a file, without the `module.` that data-parallel training puts before its name.
    fn insert(&mut self, name: &str, tensor: Tensor) -> std::result::Result<(), String> {
        let name = name.strip_prefix("module.").unwrap_or(name);
        match self.tensors.insert(name.to_owned(), tensor) {
            None => Ok(()),
            Some(_) => Err(format!("tensor `{}` occurs twice", shown(name))),
        }
    }
}

/// A name from a file as an error shows it: on one line, without control characters, not endless.
fn shown(name: &str) -> String {
    name.escape_debug().take(100).collect()
}
