//! Networks: their shape and their weights.

use std::path::PathBuf;
use std::sync::Arc;

use crosspike::{
    Checkpoint, Discretisation, Document, Fires, Loaded, Model as Shape, Network as Weights, NirOptions, ReadoutKind,
    Reset, ResetAt, Values, nir_export, nir_import, place_state_dict, read_names,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::arrays::{array, tensor};
use crate::convert::{Pickled, assignments_of_sections, mapping, one_of, python, sections, text_of};
use crate::errors::{raise, warn};
use crate::work::work;

/// A network's shape: layers, neurons, steps, as TOML has it.
///
/// Model(source, set=None)
///
/// source is the name of a shipped model ("digits", see crosspike.MODELS), the path of a model file, or a dict of its
/// keys. set overrides keys: {"steps": 8}. The keys stand in docs/keys/model.md.
#[pyclass(module = "crosspike", frozen, from_py_object)]
#[derive(Clone)]
pub struct Model {
    document: Document,
    pub shape: Arc<Shape>,
}

impl Model {
    fn of(document: Document) -> PyResult<Self> {
        let shape = Arc::new(Shape::from_document(&document).map_err(raise)?);
        Ok(Model { document, shape })
    }

    /// A model, or what makes one.
    pub fn from_python(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        source.extract::<Model>().or_else(|_| Self::new(source, None))
    }
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (source, set=None))]
    fn new(source: &Bound<'_, PyAny>, set: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut of = match mapping(source)? {
            Some(dict) => sections("model", &dict)?,
            None => crosspike::model_document(&text_of(source)?).map_err(raise)?,
        };
        for own in assignments_of_sections(set)? {
            of.set_model(&own).map_err(raise)?;
        }
        Self::of(of)
    }

    /// The model's name.
    #[getter]
    fn name(&self) -> &str {
        &self.shape.name
    }

    /// Time steps.
    #[getter]
    fn steps(&self) -> usize {
        self.shape.steps
    }

    /// Number of classes.
    #[getter]
    fn classes(&self) -> usize {
        self.shape.classes
    }

    /// The input's shape: channels, rows, columns.
    #[getter]
    fn input(&self) -> (usize, usize, usize) {
        let input = self.shape.input;
        (input.channels, input.height, input.width)
    }

    /// The layers of weights, in order, with the shape [columns, rows] of their matrices; the last is the readout.
    #[getter]
    fn layers(&self) -> Vec<(String, (usize, usize))> {
        self.shape.layers().iter().map(|layer| (layer.name.clone(), (layer.columns(), layer.rows()))).collect()
    }

    /// to_dict() -> dict
    ///
    /// Every key with the value in force, defaults included.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        python(py, &serde_json::to_value(&*self.shape).unwrap_or_default())
    }

    /// to_toml() -> str
    ///
    /// The model as a file.
    pub fn to_toml(&self) -> String {
        self.document.to_toml()
    }

    #[staticmethod]
    fn _of_toml(text: String) -> PyResult<Self> {
        Self::of(Document::parse_text("model".as_ref(), text).map_err(raise)?)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((py.get_type::<Model>().getattr("_of_toml")?, (self.to_toml(),)))
    }

    fn __repr__(&self) -> String {
        format!("Model({:?})", self.shape.name)
    }
}

/// A network: a model with its weights, norms and constants.
///
/// Network(model, weights, key=None, ignore=None)
///
/// weights is the path of a checkpoint (safetensors, or PyTorch's .pth, .pt, .pth.tar), or a dict of arrays or tensors
/// by name, such as a state dict, with the names that crosspike writes ("conv1.weight" [outputs, inputs, k, k],
/// "bntt1.0.running_mean", ...). key is the dotted key of the weights in a file that has several; ignore lists tensors
/// to do without. Network.from_state_dict takes other names, Network.from_nir a NIR file, Network.fresh draws weights.
#[pyclass(module = "crosspike", frozen, from_py_object)]
#[derive(Clone)]
pub struct Network {
    pub model: Model,
    pub loaded: Arc<Loaded>,
    /// Where its weights come from, as their file says.
    metadata: serde_json::Value,
}

impl Network {
    /// The network of a checkpoint, with more that the user should know.
    pub fn of(py: Python<'_>, model: Model, checkpoint: &Checkpoint, more: Vec<String>) -> PyResult<Self> {
        let mut loaded = Weights::load(&model.shape, checkpoint).map_err(raise)?;
        loaded.notices.splice(0..0, more);
        warn(py, &loaded.notices)?;
        Ok(Network { model, loaded: Arc::new(loaded), metadata: checkpoint.metadata.clone() })
    }
}

/// The tensors of a file, or of a dict.
fn checkpoint(weights: &Bound<'_, PyAny>, key: Option<&str>, ignore: &[String]) -> PyResult<Checkpoint> {
    let weights = if weights.hasattr("state_dict")? { weights.call_method0("state_dict")? } else { weights.clone() };
    let read = match mapping(&weights)? {
        Some(_) if key.is_some() => {
            return Err(PyTypeError::new_err(
                "key is of a file that has several dictionaries; expected none beside a dict",
            ));
        }
        Some(dict) => {
            let of = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
                let name: String = name.extract()?;
                let tensor = tensor(&name, &value)?;
                Ok((name, tensor))
            };
            Checkpoint::of_tensors(dict.iter().map(of).collect::<PyResult<Vec<_>>>()?)
        }
        None => Checkpoint::read_at(&PathBuf::from(text_of(&weights)?), key).map_err(raise)?,
    };
    read.without(ignore).map_err(raise)
}

#[pymethods]
impl Network {
    #[new]
    #[pyo3(signature = (model, weights, key=None, ignore=None))]
    fn new(
        py: Python<'_>,
        model: &Bound<'_, PyAny>,
        weights: &Bound<'_, PyAny>,
        key: Option<&str>,
        ignore: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let model = Model::from_python(model)?;
        Self::of(py, model, &checkpoint(weights, key, &ignore.unwrap_or_default())?, vec![])
    }

    /// from_state_dict(model, weights, names=None, key=None, ignore=None) -> Network
    ///
    /// A state dict whose names are not crosspike's: every tensor finds its place in the model by name, order and
    /// shape. names is the path of a TOML table for those that do not ("layers.0.conv" = "conv1").
    #[staticmethod]
    #[pyo3(signature = (model, weights, names=None, key=None, ignore=None))]
    fn from_state_dict(
        py: Python<'_>,
        model: &Bound<'_, PyAny>,
        weights: &Bound<'_, PyAny>,
        names: Option<PathBuf>,
        key: Option<&str>,
        ignore: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let model = Model::from_python(model)?;
        let table = names.map(|names| read_names(&names)).transpose().map_err(raise)?.unwrap_or_default();
        let placed = place_state_dict(&model.shape, &checkpoint(weights, key, &ignore.unwrap_or_default())?, &table)
            .map_err(raise)?;
        Self::of(py, model, &placed.checkpoint, placed.notices)
    }

    /// from_nir(file, dt, method="euler", reset="value", reset_at="spike", fires="above", readout=None, steps=20) -> Network
    ///
    /// The network of a NIR file. dt is the time of a step in seconds (1 where neurons count in steps); the other
    /// arguments say what a NIR file does not, as `crosspike import --help` has them.
    #[staticmethod]
    #[pyo3(signature = (file, dt, method="euler", reset="value", reset_at="spike", fires="above", readout=None, steps=20))]
    #[expect(clippy::too_many_arguments, reason = "a NIR file leaves so much open")]
    fn from_nir(
        py: Python<'_>,
        file: PathBuf,
        dt: f64,
        method: &str,
        reset: &str,
        reset_at: &str,
        fires: &str,
        readout: Option<&str>,
        steps: usize,
    ) -> PyResult<Self> {
        use ReadoutKind::{Count, First, Largest, Last, Mean};
        let readouts = [("mean", Mean), ("last", Last), ("largest", Largest), ("count", Count), ("first", First)];
        let options = NirOptions {
            name: file.file_stem().map_or("network".into(), |stem| stem.to_string_lossy().into_owned()),
            dt,
            method: one_of("method", method, &[("euler", Discretisation::Euler), ("exact", Discretisation::Exact)])?,
            reset: one_of(
                "reset",
                reset,
                &[("value", Reset::Value), ("subtract", Reset::Subtract), ("none", Reset::None)],
            )?,
            reset_at: one_of("reset_at", reset_at, &[("spike", ResetAt::Spike), ("next", ResetAt::Next)])?,
            fires: one_of("fires", fires, &[("above", Fires::Above), ("reached", Fires::Reached)])?,
            readout: readout.map(|readout| one_of("readout", readout, &readouts)).transpose()?,
            steps,
        };
        let imported = nir_import(&file, &options).map_err(raise)?;
        let model = Model::of(Document::parse_text("model.toml".as_ref(), imported.text).map_err(raise)?)?;
        Self::of(py, model, &imported.checkpoint, imported.notices)
    }

    /// fresh(model, seed=1) -> Network
    ///
    /// Weights drawn anew, Xavier uniform with gain 2, norms at their identity.
    #[staticmethod]
    #[pyo3(signature = (model, seed=1))]
    fn fresh(py: Python<'_>, model: &Bound<'_, PyAny>, seed: u64) -> PyResult<Self> {
        let model = Model::from_python(model)?;
        let drawn = Weights::xavier(&model.shape, seed);
        let tensors = drawn.to_checkpoint(&model.shape, serde_json::Value::Null);
        Self::of(py, model, &tensors, vec![])
    }

    /// The network's shape.
    #[getter]
    fn model(&self) -> Model {
        self.model.clone()
    }

    /// The SHA-256 of its tensors.
    #[getter]
    fn hash(&self) -> &str {
        &self.loaded.hash
    }

    /// What the user should know of it.
    #[getter]
    fn notices(&self) -> Vec<String> {
        self.loaded.notices.clone()
    }

    /// state_dict() -> dict
    ///
    /// Its tensors by name, as NumPy arrays: copies.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, tensor) in self.checkpoint().tensors {
            let of = match &tensor.values {
                Values::F32(values) => array(py, values, &tensor.shape)?,
                Values::I64(values) => array(py, values, &tensor.shape)?,
                Values::U8(values) => array(py, values, &tensor.shape)?,
            };
            dict.set_item(name, of)?;
        }
        Ok(dict)
    }

    /// save(file)
    ///
    /// Writes its tensors as safetensors; replaces the file.
    pub fn save(&self, file: PathBuf) -> PyResult<()> {
        self.checkpoint().write(&file).map_err(raise)
    }

    /// to_nir(file, dt) -> list of str
    ///
    /// Writes a NIR file, whose steps take dt seconds; gives what the user should know of it.
    fn to_nir(&self, py: Python<'_>, file: PathBuf, dt: f64) -> PyResult<Vec<String>> {
        work(py, None, |_| nir_export(&self.model.shape, &self.loaded.network, dt, &file))
    }

    #[staticmethod]
    fn _of_bytes(py: Python<'_>, model: Model, bytes: &[u8]) -> PyResult<Self> {
        Self::of(py, model, &Checkpoint::of_bytes(bytes).map_err(raise)?, vec![])
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        let bytes = self.checkpoint().to_safetensors().map_err(raise)?;
        let arguments = (self.model.clone(), PyBytes::new(py, &bytes)).into_pyobject(py)?;
        Ok((py.get_type::<Network>().getattr("_of_bytes")?, arguments.into_any()))
    }

    fn __repr__(&self) -> String {
        format!("Network({:?}, {})", self.model.shape.name, &self.loaded.hash[..12])
    }
}

impl Network {
    fn checkpoint(&self) -> Checkpoint {
        self.loaded.network.to_checkpoint(&self.model.shape, self.metadata.clone())
    }
}
