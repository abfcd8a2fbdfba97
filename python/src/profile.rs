//! Hardware profiles.

use crosspike::Document;
use crosspike::profile::{Profile as Hardware, shipped};
use pyo3::prelude::*;

use crate::convert::{assignments_of_sections, mapping, python, sections, text_of};
use crate::errors::raise;

/// A chip technology: cells, tiles, converters, wires and the companion SRAM, as TOML has it.
///
/// Profile(source=None, set=None)
///
/// source is the name of a shipped profile ("rram_4bit", see crosspike.PROFILES), the path of a profile file, a dict of
/// its sections ({"rram": {"weight_bits": 4}}, or {"rram.weight_bits": 4}), or None for the ideal chip. set overrides
/// keys, in either form; None as a value takes a key away. Units are part of the keys' names (g_max_us: microsiemens,
/// word_ohm: ohm); the keys stand in docs/keys/profile.md.
#[pyclass(module = "crosspike", frozen, from_py_object)]
#[derive(Clone)]
pub struct Profile {
    document: Document,
    pub hardware: Hardware,
}

impl Profile {
    pub fn of(document: Document) -> PyResult<Self> {
        let hardware = Hardware::from_document(&document).map_err(raise)?;
        Ok(Profile { document, hardware })
    }

    /// A profile, or what makes one.
    pub fn from_python(source: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        match source {
            Some(source) => match source.extract::<Profile>() {
                Ok(profile) => Ok(profile),
                Err(_) => Self::new(Some(source), None),
            },
            None => Self::new(None, None),
        }
    }
}

#[pymethods]
impl Profile {
    #[new]
    #[pyo3(signature = (source=None, set=None))]
    fn new(source: Option<&Bound<'_, PyAny>>, set: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let mut of = match source {
            None => shipped::document("ideal").map_err(raise)?,
            Some(source) => match mapping(source)? {
                Some(dict) => sections("profile", &dict)?,
                None => shipped::document(&text_of(source)?).map_err(raise)?,
            },
        };
        for assignment in assignments_of_sections(set)? {
            of.set(&assignment).map_err(raise)?;
        }
        Self::of(of)
    }

    /// replace(set) -> Profile
    ///
    /// The same profile with these keys set.
    fn replace(&self, set: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut of = self.document.clone();
        for assignment in assignments_of_sections(Some(set))? {
            of.set(&assignment).map_err(raise)?;
        }
        Self::of(of)
    }

    /// The profile's name.
    #[getter]
    fn name(&self) -> &str {
        &self.hardware.name
    }

    /// to_dict() -> dict
    ///
    /// Every key with the value in force, defaults included.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        python(py, &serde_json::to_value(&self.hardware).unwrap_or_default())
    }

    /// to_toml() -> str
    ///
    /// The profile as a file.
    pub fn to_toml(&self) -> String {
        self.document.to_toml()
    }

    #[staticmethod]
    fn _of_toml(text: String) -> PyResult<Self> {
        Self::of(Document::parse_text("profile".as_ref(), text).map_err(raise)?)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((py.get_type::<Profile>().getattr("_of_toml")?, (self.to_toml(),)))
    }

    fn __repr__(&self) -> String {
        format!("Profile({:?})", self.hardware.name)
    }
}
