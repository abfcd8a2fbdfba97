//! The models that come with crosspike, by name.

use std::path::Path;

use crate::config::Document;
use crate::error::{Error, Result};

/// Names and texts, in the order of the alphabet.
///
/// # Examples
/// ```
/// use crosspike::{Dataset, MODELS, Model, Split};
///
/// let data = Dataset::open("digits", "".as_ref(), Split::Test)?;
/// let mut fitting = vec![];
/// for (name, _) in MODELS {
///     fitting.extend((Model::named(name, &[])?.input == data.shape()).then_some(name));
/// }
/// assert_eq!(fitting, ["digits"]);
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const MODELS: [(&str, &str); 14] = [
    ("depthwise", include_str!("../../models/depthwise.toml")),
    ("digits", include_str!("../../models/digits.toml")),
    ("fashion", include_str!("../../models/fashion.toml")),
    ("ms_resnet20", include_str!("../../models/ms_resnet20.toml")),
    ("recurrent", include_str!("../../models/recurrent.toml")),
    ("resnet18", include_str!("../../models/resnet18.toml")),
    ("resnet20", include_str!("../../models/resnet20.toml")),
    ("sew_resnet20", include_str!("../../models/sew_resnet20.toml")),
    ("snntorch_mnist", include_str!("../../models/snntorch_mnist.toml")),
    ("spikesim_vgg9", include_str!("../../models/spikesim_vgg9.toml")),
    ("vgg11", include_str!("../../models/vgg11.toml")),
    ("vgg19", include_str!("../../models/vgg19.toml")),
    ("vgg5", include_str!("../../models/vgg5.toml")),
    ("vgg9", include_str!("../../models/vgg9.toml")),
];

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
