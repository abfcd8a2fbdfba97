//! crosspike for Python: the library's sessions, chips, studies and tiles as classes, with NumPy arrays in and out.
//!
//! A class is a file; [`work`] runs what takes long without the interpreter, and [`convert`] is the border between
//! Python's values and the library's.

mod arrays;
mod chip;
mod convert;
mod data;
mod errors;
mod fit;
mod frame;
mod network;
mod profile;
mod programmer;
mod session;
mod study;
mod tile;
mod work;

use pyo3::prelude::*;

/// The compiled part of the package `crosspike`.
#[pymodule]
fn _crosspike(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(module)?;
    module.add_class::<profile::Profile>()?;
    module.add_class::<network::Model>()?;
    module.add_class::<network::Network>()?;
    module.add_class::<data::Dataset>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<session::Run>()?;
    module.add_class::<session::Series>()?;
    module.add_class::<chip::Chip>()?;
    module.add_class::<chip::Layer>()?;
    module.add_class::<chip::Tile>()?;
    module.add_class::<programmer::Programmer>()?;
    module.add_class::<frame::Frame>()?;
    module.add_class::<study::Study>()?;
    module.add_class::<study::Found>()?;
    module.add_class::<fit::Fit>()?;
    module.add_function(wrap_pyfunction!(tile::solve_tile, module)?)?;
    module.add_function(wrap_pyfunction!(study::quickstart, module)?)?;
    module.add_function(wrap_pyfunction!(study::train, module)?)?;
    module.add_function(wrap_pyfunction!(study::sweep, module)?)?;
    module.add_function(wrap_pyfunction!(study::search, module)?)?;
    module.add_function(wrap_pyfunction!(study::sensitivity, module)?)?;
    module.add_function(wrap_pyfunction!(study::recipe, module)?)?;
    module.add_function(wrap_pyfunction!(work::command, module)?)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("PROFILES", crosspike::profile::shipped::PROFILES.map(|(name, _)| name).to_vec())?;
    module.add("MODELS", crosspike::MODELS.map(|(name, _)| name).to_vec())
}
