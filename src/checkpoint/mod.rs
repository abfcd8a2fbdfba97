//! Checkpoints: named tensors and the origin they came from, in memory and on disk.
//!
//! Written as `.safetensors` with the published BNTT names (`conv1.weight`, `bntt1.0.running_mean`, `conv1.WR`, …);
//! read from `.safetensors` and from PyTorch's zip format (`.pth`, `.pt`, `.pth.tar`), told apart by content. A PyTorch
//! file is read without Python, and nothing in it is executed: objects of unknown classes are opaque, and matter only
//! where a tensor is asked for in their place. In memory a tensor is `f32`, `i64` or `u8`, row-major.

mod element;
mod kind;
mod machine;
mod pickle;
mod prefix;
mod pytorch;
mod safetensors;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::announced;
use crate::atomic;
use crate::error::{Error, Result};
use crate::memory;
use crate::numeric::hex;

/// The values of a tensor, row-major.
///
/// # Examples
/// ```
/// use crosspike::{Model, Network, Values};
///
/// let model = Model::named("digits", &[])?;
/// let checkpoint = Network::xavier(&model, 1).to_checkpoint(&model, Default::default());
/// // Weights are real numbers, and the batches that a norm has seen are counted.
/// assert!(matches!(checkpoint.tensors["conv1.weight"].values, Values::F32(_)));
/// assert_eq!(checkpoint.tensors["bntt1.0.num_batches_tracked"].values, Values::I64(vec![0]));
/// # Ok::<(), crosspike::Error>(())
/// ```
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
///
/// # Examples
/// ```
/// use crosspike::{Checkpoint, Tensor, Values};
///
/// // The kernels of two output channels that take one input channel.
/// let kernels = Tensor { shape: vec![2, 1, 3, 3], values: Values::F32(vec![0.5; 18]) };
/// assert_eq!(kernels.values.len(), kernels.shape.iter().product::<usize>());
/// let checkpoint = Checkpoint::of_tensors([("conv1.weight".to_owned(), kernels)]);
/// assert_eq!(checkpoint.f32("conv1.weight", &[2, 1, 3, 3])?, [0.5; 18]);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The extent of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// The values, as many as the product of `shape`.
    pub values: Values,
}

/// Named tensors and where they came from.
///
/// # Examples
/// ```
/// use crosspike::{Checkpoint, Model, Network};
///
/// # let file = std::env::temp_dir().join(format!("crosspike-checkpoint-{}.safetensors", std::process::id()));
/// let model = Model::named("digits", &[])?;
/// let network = Network::xavier(&model, 1);
/// network.to_checkpoint(&model, Default::default()).write(&file)?;
/// let read = Checkpoint::read(&file)?;
/// assert_eq!(read.tensors["conv1.weight"].shape, [16, 1, 3, 3]);
/// assert_eq!(Network::from_checkpoint(&model, &read)?, network);
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The tensors by name, without what all their names begin with.
    pub tensors: BTreeMap<String, Tensor>,
    /// What stands among them and is not read, and what it is: tensors of other types, objects that are no tensors.
    pub unread: BTreeMap<String, String>,
    /// The tensors' names in the order of a PyTorch file, in which the network was put together; empty where there is
    /// none.
    pub order: Vec<String>,
    /// Plain numbers beside them, of a PyTorch file.
    pub numbers: BTreeMap<String, f64>,
    /// The origin of the tensors (version, configuration, seeds); `Null` when the file names none.
    pub metadata: serde_json::Value,
    /// What the user should know of how it was read.
    pub notices: Vec<String>,
}

impl Checkpoint {
    /// Tensors by name, in the order in which their network was put together, without what all their names begin with.
    pub fn of_tensors(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let mut checkpoint = Checkpoint::default();
        for (name, tensor) in tensors {
            checkpoint.order.push(name.clone());
            checkpoint.tensors.insert(name, tensor);
        }
        checkpoint.take_prefix_off();
        checkpoint
    }

    /// Reads a safetensors or PyTorch file; its content decides which, not its name.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::File`] if it is neither, is damaged, or has no tensors by
    /// name.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_at(path, None)
    }

    /// Reads a checkpoint, of a PyTorch file the tensors that it holds under a dotted key.
    ///
    /// # Errors
    /// Those of [`Checkpoint::read`], and [`Error::File`] if there is no such key.
    pub fn read_at(path: &Path, key: Option<&str>) -> Result<Self> {
        let refuse = |message: String| Error::file(path, message);
        if path.is_dir() {
            return Err(refuse("is a folder; expected a checkpoint: a PyTorch or safetensors file".into()));
        }
        announced::reading(path)?;
        let size = std::fs::metadata(path).map_err(Error::io(path))?.len();
        memory::check(&format!("reading {}", path.display()), size, "keep the weights alone in the file")?;
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        Self::parse(&bytes, key).map_err(refuse)
    }

    /// Reads the bytes of a safetensors or PyTorch file.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if they are neither, are damaged, or have no tensors by name.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes, None).map_err(Error::Mismatch)
    }

    fn parse(bytes: &[u8], key: Option<&str>) -> std::result::Result<Self, String> {
        let mut checkpoint = match kind::instead(bytes) {
            Some(what) => return Err(format!("is {what}")),
            None if bytes.starts_with(b"PK\x03\x04") => pytorch::parse(bytes, key)?,
            None if key.is_some() => return Err("a safetensors file has no keys; expected no --key".into()),
            None => safetensors::parse(bytes)?,
        };
        checkpoint.take_prefix_off();
        Ok(checkpoint)
    }

    /// The prefix that most names have, in words with the names that lack it, which keep it from being taken off.
    pub fn prefix_of_most(&self) -> Option<String> {
        let (prefix, others) = prefix::of_most(self)?;
        let others = others.iter().take(6).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Some(format!(
            "`{prefix}` would be taken off if all names began with it: {others} do not (--ignore NAME leaves one out)"
        ))
    }

    fn take_prefix_off(&mut self) {
        let prefix = prefix::take_off(self);
        if !prefix.is_empty() {
            self.notices.push(format!("`{prefix}`, which all names of the checkpoint begin with, is taken off"));
        }
    }

    /// The checkpoint without some of its tensors.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if one is not there.
    pub fn without(mut self, names: &[String]) -> Result<Self> {
        for name in names {
            let found = [
                self.tensors.remove(name).is_some(),
                self.unread.remove(name).is_some(),
                self.numbers.remove(name).is_some(),
            ];
            if found == [false; 3] {
                return Err(Error::Mismatch(format!(
                    "--ignore {name}: the checkpoint has no such tensor; {}",
                    self.names_near(name)
                )));
            }
        }
        // The others may share one now.
        self.take_prefix_off();
        Ok(self)
    }

    /// The file's bytes: the same tensors and metadata always give the same bytes.
    ///
    /// The metadata stands as JSON with sorted keys under the single key `crosspike`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if a tensor has more or fewer values than its shape says, or a name that the format keeps
    /// for itself.
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
        if let Some(kind) = self.unread.get(name) {
            return Err(Error::Mismatch(format!(
                "`{name}` of the checkpoint is {kind}, which is not read; expected real values"
            )));
        }
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

    /// Adds a tensor read from a file.
    fn insert(&mut self, name: &str, tensor: Tensor) -> std::result::Result<(), String> {
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
