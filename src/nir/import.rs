//! A NIR file as a model and a checkpoint.

use std::path::Path;

use super::file;
use super::graph::NirParts;
use super::options::NirOptions;
use super::written::{ModelWriter, Names};
use crate::checkpoint::Checkpoint;
use crate::config::Document;
use crate::error::{Error, Result};
use crate::network::{Model, Network};

/// A network that was read.
///
/// # Examples
/// ```
/// # use crosspike::{Discretisation, Fires, NirOptions, Reset, ResetAt, nir_export};
/// use crosspike::{Model, Network, nir_import};
///
/// # let file = std::env::temp_dir().join(format!("crosspike-imported-{}.nir", std::process::id()));
/// # let model = Model::named("digits", &["norm=batch".into()])?;
/// # nir_export(&model, &Network::xavier(&model, 1), 1e-4, &file)?;
/// # let options = NirOptions {
/// #     name: "net".into(), dt: 1e-4, method: Discretisation::Euler, reset: Reset::Subtract,
/// #     reset_at: ResetAt::Spike, fires: Fires::Above, readout: None, steps: 8,
/// # };
/// let imported = nir_import(&file, &options)?;
/// let network = Network::load(&imported.model, &imported.checkpoint)?.network;
/// assert_eq!(network.layers.len(), 4);
/// assert_eq!(imported.names[0], ("conv1".into(), "conv1_w".into(), Some("conv1".into())));
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Debug)]
pub struct Imported {
    /// The model file.
    pub text: String,
    /// The model.
    pub model: Model,
    /// Its weights and constants.
    pub checkpoint: Checkpoint,
    /// Notices for the user.
    pub notices: Vec<String>,
    /// Each layer's name, and the names of its matrix and its neurons in the file.
    pub names: Vec<Names>,
}

/// Reads a NIR file.
///
/// # Errors
/// Where the file is damaged, or has what no model can run: the node is named.
///
/// # Examples
/// ```
/// # use crosspike::{Discretisation, Fires, NirOptions, Reset, ResetAt, nir_export};
/// use crosspike::{Model, Network, nir_import};
///
/// # let file = std::env::temp_dir().join(format!("crosspike-import-{}.nir", std::process::id()));
/// let model = Model::named("digits", &["norm=batch".into()])?;
/// let network = Network::xavier(&model, 1);
/// # nir_export(&model, &network, 1e-4, &file)?;
/// # let options = NirOptions {
/// #     name: "net".into(), dt: 1e-4, method: Discretisation::Euler, reset: Reset::Subtract,
/// #     reset_at: ResetAt::Spike, fires: Fires::Above, readout: None, steps: 8,
/// # };
/// let imported = nir_import(&file, &options)?; // Of a file that nir_export wrote of them.
/// assert_eq!(imported.model.neurons(), model.neurons());
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn import(path: &Path, options: &NirOptions) -> Result<Imported> {
    let at_file = |message: String| Error::file(path, message);
    let parts = NirParts::of(file::read(path)?).map_err(at_file)?;
    let mut writer = ModelWriter::new(options, &parts).map_err(at_file)?;
    writer.write(&parts).map_err(at_file)?;
    let text = writer.text(&parts).map_err(at_file)?;
    let document = Document::parse_text(Path::new("model.toml"), text.clone())?;
    let of_model = |error: Error| at_file(format!("as a model it cannot run: {error}"));
    let model = Model::from_document(&document).map_err(of_model)?;
    let checkpoint = writer.checkpoint(&model).map_err(at_file)?;
    Network::load(&model, &checkpoint).map_err(of_model)?;
    Ok(Imported { text, model, checkpoint, notices: writer.notices, names: writer.layers })
}
