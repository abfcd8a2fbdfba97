//! Data sets: files, and arrays.

use std::path::Path;
use std::sync::Arc;

use crosspike::{Dataset as Data, Shape, Split};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::arrays::{array, labels as whole, owned};
use crate::convert::{Pickled, one_of, text_of};
use crate::errors::raise;
use crate::work::work;

/// Images, or frames of every step, with their classes.
///
/// Dataset(spec, split="test", limit=None)
///
/// spec is what the command line's --data takes: "digits" (embedded), "cifar10:DIR", "images:FILE.npz",
/// "frames:FILE.npz", ...; split is "test" or "train"; a set without halves is the same either way. limit keeps the
/// first images. Dataset.from_arrays takes arrays.
#[pyclass(module = "crosspike", frozen, from_py_object)]
#[derive(Clone)]
pub struct Dataset {
    pub data: Arc<Data>,
    /// What it was opened with; none of arrays.
    opened: Option<(String, String, Option<usize>)>,
    /// Whether its labels are its own, and not zeros in their place.
    pub is_labelled: bool,
}

impl Dataset {
    /// A data set, the name of one, or an array of images.
    pub fn from_python(source: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        if let Ok(data) = source.extract::<Dataset>() {
            return match labels {
                None => Ok(data),
                Some(_) => Err(PyValueError::new_err("labels: a data set has its own; expected none beside it")),
            };
        }
        let is_text = source.is_instance_of::<PyString>() || source.hasattr("__fspath__")?;
        match is_text {
            true if labels.is_some() => {
                Err(PyValueError::new_err(format!("labels: `{source}` has its own; expected none beside it")))
            }
            true => Self::new(source.py(), source, "test", None),
            false => Self::from_arrays(source, labels, "images"),
        }
    }
}

impl Dataset {
    /// A data set, an array of images, or the training half of a named set.
    pub fn training(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let is_text = source.is_instance_of::<PyString>() || source.hasattr("__fspath__")?;
        if is_text { Self::new(source.py(), source, "train", None) } else { Self::from_python(source, None) }
    }
}

#[pymethods]
impl Dataset {
    #[new]
    #[pyo3(signature = (spec, split="test", limit=None))]
    fn new(py: Python<'_>, spec: &Bound<'_, PyAny>, split: &str, limit: Option<usize>) -> PyResult<Self> {
        let half = one_of("split", split, &[("test", Split::Test), ("train", Split::Train)])?;
        let spec = text_of(spec)?;
        if limit == Some(0) {
            return Err(PyValueError::new_err("limit=0: expected 1 or more"));
        }
        let data = work(py, None, |_| Data::open(&spec, Path::new(""), half))?;
        let data = Arc::new(data.limit(limit.unwrap_or(usize::MAX)));
        Ok(Dataset { data, opened: Some((spec, split.into(), limit)), is_labelled: true })
    }

    /// from_arrays(images, labels=None, name="images") -> Dataset
    ///
    /// images is an array or tensor of real numbers, [N, C, H, W], normalised, or [N, T, C, H, W] where the values of
    /// every step are given; they are taken as they are, whatever their type: a notice says where they do not look
    /// normalised. labels is [N] of whole numbers from 0, or None where accuracy is not asked for. Both are copied,
    /// images as float32.
    #[staticmethod]
    #[pyo3(signature = (images, labels=None, name="images"))]
    fn from_arrays(images: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<Self> {
        let (values, shape) = owned::<f32>(name, images)?;
        let (steps, [channels, height, width]) = match shape[..] {
            [_, channels, height, width] => (None, [channels, height, width]),
            [_, steps, channels, height, width] => (Some(steps), [channels, height, width]),
            _ => {
                let message =
                    format!("{name} has the shape {shape:?}; expected [N, C, H, W], or [N, T, C, H, W] of every step");
                return Err(PyValueError::new_err(message));
            }
        };
        let (labels, is_labelled) = (labels.map(whole).transpose()?, labels.is_some());
        let shape = Shape { channels, height, width };
        let data = Data::of_values(name, shape, steps, values, labels).map_err(raise)?;
        Ok(Dataset { data: Arc::new(data), opened: None, is_labelled })
    }

    /// What it was opened as.
    #[getter]
    fn spec(&self) -> &str {
        self.data.spec()
    }

    /// The shape of an image or frame: channels, rows, columns.
    #[getter]
    fn shape(&self) -> (usize, usize, usize) {
        let shape = self.data.shape();
        (shape.channels, shape.height, shape.width)
    }

    /// Time steps whose values are given; None of images.
    #[getter]
    fn steps(&self) -> Option<usize> {
        self.data.frame_steps()
    }

    /// Number of classes.
    #[getter]
    fn classes(&self) -> usize {
        self.data.classes()
    }

    /// The class of each image, uint32 [N]: a copy; None of images without.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.is_labelled.then(|| array(py, self.data.labels(), &[self.data.len()])).transpose()
    }

    /// What the user should know of it.
    #[getter]
    fn notices(&self) -> Vec<String> {
        self.data.notices().collect()
    }

    /// images() -> numpy.ndarray
    ///
    /// The normalised values, float32 [N, C, H, W], or [N, T, C, H, W] where every step is given: a copy.
    fn images<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (shape, steps) = (self.data.shape(), self.data.frame_steps());
        let size = steps.unwrap_or(1) * shape.len();
        let values = work(py, None, |_| {
            let mut values = vec![0.0f32; self.data.len() * size];
            values.chunks_mut(size).enumerate().try_for_each(|(image, out)| self.data.read(image, None, out))?;
            Ok(values)
        })?;
        let of_image = [shape.channels, shape.height, shape.width];
        let shape: Vec<usize> = [self.data.len()].into_iter().chain(steps).chain(of_image).collect();
        array(py, &values, &shape)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        let class = py.get_type::<Dataset>();
        Ok(match &self.opened {
            Some(opened) => (class.into_any(), opened.clone().into_pyobject(py)?.into_any()),
            None => {
                let arrays = (self.images(py)?, self.labels(py)?, self.spec());
                (class.getattr("from_arrays")?, arrays.into_pyobject(py)?.into_any())
            }
        })
    }

    fn __len__(&self) -> usize {
        self.data.len()
    }

    fn __repr__(&self) -> String {
        format!("Dataset({:?}, {} images of {})", self.data.spec(), self.data.len(), self.data.shape())
    }
}
