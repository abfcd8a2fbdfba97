//! Networks of other simulators, as NIR files: the neuromorphic intermediate representation (Pedersen et al., Nature
//! Communications 15, 8122, 2024), HDF5 files of nodes and edges in continuous time.

pub mod discrete;
pub mod export;
pub mod file;
pub mod graph;
pub mod import;
pub mod node;
pub mod options;
mod told;
pub mod written;

pub use export::export;
pub use import::{Imported, import};

/// A result, or what is wrong with a file or a model in words.
type NirResult<T> = std::result::Result<T, String>;
