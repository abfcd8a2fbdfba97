//! The models that come with crosspike, by name.

use std::path::Path;

use crate::config::Document;
use crate::error::{Error, Result};
pub use crate::shipped::MODELS;

/// A shipped model by its name, or the model file of a path.
///
/// # Errors
/// Where there is neither.
///
/// # Examples
/// ```
/// use crosspike::{Model, model_document};
///
/// let mut document = model_document("vgg9")?;
/// document.set_model("steps=4")?;
/// assert_eq!(Model::from_document(&document)?.steps, 4);
/// assert!(model_document("vgg10").is_err());
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn document(name: &str) -> Result<Document> {
    let path = Path::new(name);
    if let Some((name, text)) = MODELS.iter().find(|(shipped, _)| *shipped == name) {
        return Document::parse_text(Path::new(&format!("models/{name}.toml")), (*text).to_owned());
    }
    if path.extension().is_some() || path.exists() {
        return Document::read(path);
    }
    let known: Vec<&str> = MODELS.iter().map(|(name, _)| *name).collect();
    Err(Error::Usage(format!("`{name}` is no model: expected a model file, or one of {}", known.join(", "))))
}
