//! NumPy arrays, and what can be made one: PyTorch tensors too.

use crosspike::{Tensor, Values};
use numpy::{
    Element, IntoPyArray, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A NumPy array of what is given.
pub fn untyped<'py>(what: &str, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = value.py();
    // A tensor that gradients go through, or on a GPU, is no array yet.
    let value =
        if value.hasattr("detach")? { value.call_method0("detach")?.call_method0("cpu")? } else { value.clone() };
    let numpy = py.import("numpy")?;
    if value.is_instance(&numpy.getattr("ma")?.getattr("MaskedArray")?)? {
        return Err(PyTypeError::new_err(format!(
            "{what} is a masked array, whose mask is not used; expected an array without"
        )));
    }
    let array = numpy.call_method1("asarray", (value,))?;
    let array = array.cast_into::<PyUntypedArray>().map_err(PyErr::from)?;
    match array.dtype().kind() {
        b'f' | b'i' | b'u' | b'b' => Ok(array),
        _ => Err(PyTypeError::new_err(format!("{what} is an array of {}; expected real numbers", array.dtype()))),
    }
}

/// The array with elements of a type, row-major, a copy where it is of another; `what` is its name in messages.
pub fn typed<'py, T: Element>(what: &str, value: &Bound<'py, PyAny>) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let array = untyped(what, value)?;
    let py = array.py();
    let array = py.import("numpy")?.call_method1("ascontiguousarray", (&array, T::get_dtype(py)))?;
    // At least one dimension comes out of this, also of a scalar.
    Ok(array.cast_into::<PyArrayDyn<T>>().map_err(PyErr::from)?.try_readonly()?)
}

/// The array as numbers of a type in a vector of its own, and its shape.
pub fn owned<T: Element + Copy>(what: &str, value: &Bound<'_, PyAny>) -> PyResult<(Vec<T>, Vec<usize>)> {
    let array = typed::<T>(what, value)?;
    Ok((array.as_slice()?.to_vec(), array.shape().to_vec()))
}

/// Whole numbers that are not negative, such as labels.
pub fn labels(value: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
    let array = untyped("labels", value)?;
    if array.dtype().kind() == b'f' {
        return Err(PyTypeError::new_err(format!("labels is an array of {}; expected whole numbers", array.dtype())));
    }
    let (labels, shape) = owned::<i64>("labels", array.as_any())?;
    if shape.len() != 1 {
        return Err(PyValueError::new_err(format!("labels has the shape {shape:?}; expected [images]")));
    }
    let refuse = |label: i64| PyValueError::new_err(format!("a label is {label}; expected 0 or more"));
    labels.into_iter().map(|label| u32::try_from(label).map_err(|_| refuse(label))).collect()
}

/// A checkpoint's tensor of an array.
pub fn tensor(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let array = untyped(name, value)?;
    let (shape, kind) = (array.shape().to_vec(), array.dtype().kind());
    let values = match kind {
        b'f' => Values::F32(owned::<f32>(name, array.as_any())?.0),
        b'b' => Values::U8(owned::<u8>(name, array.as_any())?.0),
        b'u' if array.dtype().itemsize() == 1 => Values::U8(owned::<u8>(name, array.as_any())?.0),
        _ => Values::I64(owned::<i64>(name, array.as_any())?.0),
    };
    Ok(Tensor { shape, values })
}

/// A copy of some values as an array of this shape.
pub fn array<'py, T: Element + Clone>(py: Python<'py>, values: &[T], shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    let flat = values.to_vec().into_pyarray(py);
    flat.call_method1("reshape", (shape.to_vec(),))
}
