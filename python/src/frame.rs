//! Tables as data frames, through Arrow: columns are handed over, not written and read.

use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchIterator, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use crosspike::{Cells, Frame as Table};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

/// A table of a study: settings, then what was measured.
///
/// It is handed on without a copy through text: to_pandas(), to_polars(), pyarrow.table(frame), and whatever else takes
/// Arrow's stream (__arrow_c_stream__); frame["accuracy"] is a column as a list. Numbers have all their digits, where
/// the CSV files have six decimals (means, spreads and intervals of accuracy have six decimals here too); an unknown
/// value is null.
#[pyclass(module = "crosspike", frozen)]
pub struct Frame {
    pub table: Table,
}

fn batch(table: &Table) -> Result<RecordBatch, ArrowError> {
    let column = |cells: &Cells| -> (DataType, ArrayRef) {
        match cells {
            Cells::Whole(cells) => (DataType::Int64, Arc::new(Int64Array::from(cells.clone()))),
            Cells::Number(cells) => (DataType::Float64, Arc::new(Float64Array::from(cells.clone()))),
            Cells::Text(cells) => (DataType::Utf8, Arc::new(StringArray::from(cells.clone()))),
        }
    };
    let columns = table.columns.iter().map(|of| (&of.name, column(&of.cells)));
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) =
        columns.map(|(name, (kind, array))| (Field::new(name, kind, true), array)).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}

#[pymethods]
impl Frame {
    /// The columns' names.
    #[getter]
    fn columns(&self) -> Vec<&str> {
        self.table.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// Arrow's stream of the table.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // A producer may give its own types whatever is requested.
        let _ = requested_schema;
        let batch = batch(&self.table).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let schema = batch.schema();
        let stream = FFI_ArrowArrayStream::new(Box::new(RecordBatchIterator::new([Ok(batch)], schema)));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// to_dict() -> dict
    ///
    /// A list of values a column; None where nothing is known.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for column in &self.table.columns {
            match &column.cells {
                Cells::Whole(cells) => dict.set_item(&column.name, cells)?,
                Cells::Number(cells) => dict.set_item(&column.name, cells)?,
                Cells::Text(cells) => dict.set_item(&column.name, cells)?,
            }
        }
        Ok(dict)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, column: &str) -> PyResult<Bound<'py, PyAny>> {
        self.to_dict(py)?.get_item(column)?.ok_or_else(|| {
            PyKeyError::new_err(format!("`{column}` is no column; expected one of {}", self.columns().join(", ")))
        })
    }

    /// to_pandas() -> pandas.DataFrame
    fn to_pandas<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("pandas")?.call_method1("DataFrame", (self.to_dict(py)?,))
    }

    /// to_polars() -> polars.DataFrame
    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("polars")?.call_method1("DataFrame", (slf,))
    }

    fn __len__(&self) -> usize {
        self.table.rows()
    }

    fn __repr__(&self) -> String {
        format!("Frame({} rows: {})", self.table.rows(), self.columns().join(", "))
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let html = py.import("html")?;
        let cell = |text: String| -> PyResult<String> { html.call_method1("escape", (text,))?.extract() };
        let mut page = String::from("<table><thead><tr>");
        for name in self.columns() {
            page += &format!("<th>{}</th>", cell(name.into())?);
        }
        page += "</tr></thead><tbody>";
        for row in 0..self.table.rows().min(60) {
            page += "<tr>";
            for column in &self.table.columns {
                let text = match &column.cells {
                    Cells::Whole(cells) => cells[row].map(|value| value.to_string()),
                    Cells::Number(cells) => cells[row].map(|value| format!("{value:.4}")),
                    Cells::Text(cells) => cells[row].clone(),
                };
                page += &format!("<td>{}</td>", cell(text.unwrap_or_default())?);
            }
            page += "</tr>";
        }
        Ok(page + &format!("</tbody></table><p>{} rows</p>", self.table.rows()))
    }
}
