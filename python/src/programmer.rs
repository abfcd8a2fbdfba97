//! Weights onto a chip's arrays, a layer at a time: what crosspike.torch trains through.

use crosspike::{Onto, Programmer as Arrays};
use numpy::PyUntypedArrayMethods;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::{array, typed};
use crate::errors::raise;
use crate::session::Session;
use crate::work::work;

/// Programs weights onto the RRAM arrays of a session's chips, by the code that programs the chips: the same bits.
///
/// Programmer(session)
///
/// The companion array is left out. Converters (adc.bits above 0) and reads that vary are refused: weights do not say
/// what they do.
#[pyclass(module = "crosspike", frozen)]
pub struct Programmer {
    arrays: Arrays,
}

#[pymethods]
impl Programmer {
    #[new]
    fn new(session: &Session) -> PyResult<Self> {
        let session = session.session();
        let arrays = Arrays::of(session.blueprint(), session.options().seed).map_err(raise)?;
        Ok(Programmer { arrays })
    }

    /// The layers' names, in order, with the shape [columns, rows] of their matrices.
    #[getter]
    fn layers(&self) -> Vec<(String, [usize; 2])> {
        self.arrays.layers().map(|(name, shape)| (name.to_owned(), shape)).collect()
    }

    /// program(layer, weights, chip=None, step=None) -> numpy.ndarray
    ///
    /// The weights that a layer multiplies by once these, [columns, rows] or any shape of as many in that order
    /// ([outputs, inputs, k, k]), are programmed: onto manufactured chip number chip, by the fresh draw of training
    /// step step, or, with neither, onto cells that land on their targets. float32, of the shape of weights: a new
    /// array.
    #[pyo3(signature = (layer, weights, chip=None, step=None))]
    fn program<'py>(
        &self,
        py: Python<'py>,
        layer: &str,
        weights: &Bound<'py, PyAny>,
        chip: Option<u64>,
        step: Option<u64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let onto = match (chip, step) {
            (None, None) => Onto::Nominal,
            (Some(chip), None) => Onto::Chip(chip),
            (None, Some(step)) => Onto::Pass(step),
            (Some(_), Some(_)) => return Err(PyValueError::new_err("chip and step: expected one of the two")),
        };
        let weights = typed::<f32>("weights", weights)?;
        let (values, shape) = (weights.as_slice()?.to_vec(), weights.shape().to_vec());
        let programmed = work(py, None, |_| self.arrays.program(layer, &values, onto))?;
        array(py, &programmed, &shape)
    }
}
