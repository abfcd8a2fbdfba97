//! Profiles from measured devices.

use crosspike::profile::VariationKind;
use crosspike::{Cells, Column, Document, Fit as Fitting, Frame as Table, Measured, Measurement, draw_fit};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::owned;
use crate::convert::{mapping, one_of, python, text_of};
use crate::errors::raise;
use crate::frame::Frame;
use crate::profile::Profile;

/// Measured devices and the laws of [rram.variation] that were fitted to them.
///
/// Fit(measurements, source="measurements")
///
/// measurements is the path of a CSV file, or a mapping of columns (a dict of arrays, or a pandas or polars frame's
/// to_dict): target_us and read_us in microsiemens, and where they are known time_s in seconds since programming and
/// device, numbers that tell devices apart. source names the devices in the profile. Programming variation is fitted to
/// each device's first reads; reads of one device at one time give the noise of reads, those at several times drift.
#[pyclass(module = "crosspike", frozen)]
pub struct Fit {
    fit: Fitting,
}

/// Kinds of variation by their words in a profile.
const KINDS: [(&str, VariationKind); 5] = [
    ("lognormal", VariationKind::Lognormal),
    ("gaussian", VariationKind::Gaussian),
    ("per_level", VariationKind::PerLevel),
    ("polynomial", VariationKind::Polynomial),
    ("table", VariationKind::Table),
];

fn measured(columns: &Bound<'_, PyDict>, source: &str) -> PyResult<Measured> {
    if let Some(other) = columns
        .keys()
        .iter()
        .map(|key| text_of(&key))
        .find(|key| !matches!(key.as_deref(), Ok("target_us" | "read_us" | "time_s" | "device")))
    {
        return Err(PyKeyError::new_err(format!(
            "{:?} has no meaning; expected target_us, read_us, time_s and device",
            other?
        )));
    }
    let column = |name: &str| -> PyResult<Option<Vec<f64>>> {
        Ok(columns.get_item(name)?.map(|value| owned::<f64>(name, &value)).transpose()?.map(|(values, _)| values))
    };
    let needed = |name: &str| column(name)?.ok_or_else(|| PyKeyError::new_err(format!("{name} is missing")));
    let (targets, reads, times, devices) =
        (needed("target_us")?, needed("read_us")?, column("time_s")?, column("device")?);
    for (name, values) in [
        ("target_us", Some(&targets)),
        ("read_us", Some(&reads)),
        ("time_s", times.as_ref()),
        ("device", devices.as_ref()),
    ] {
        let Some(values) = values else { continue };
        if values.len() != targets.len() {
            return Err(PyValueError::new_err(format!(
                "{name} has {} values, and target_us {}",
                values.len(),
                targets.len()
            )));
        }
        if let Some(place) = values.iter().position(|value| !(value.is_finite() && *value >= 0.0)) {
            let value = values[place];
            return Err(PyValueError::new_err(format!(
                "{name}[{place}] is {value}, expected a finite number, 0 or more"
            )));
        }
    }
    let mut names = std::collections::HashMap::new();
    let number = |place: usize| match &devices {
        Some(devices) => {
            let count = names.len();
            *names.entry(devices[place].to_bits()).or_insert(count)
        }
        None => place,
    };
    let device: Vec<usize> = (0..targets.len()).map(number).collect();
    let read = |place: usize| Measurement {
        target_us: targets[place],
        read_us: reads[place],
        time_s: times.as_ref().map_or(0.0, |times| times[place]),
        device: device[place],
    };
    Measured::of(source, (0..targets.len()).map(read).collect(), devices.is_some()).map_err(raise)
}

fn kind_of(kind: Option<&str>) -> PyResult<Option<VariationKind>> {
    kind.map(|kind| one_of("kind", kind, &KINDS)).transpose()
}

#[pymethods]
impl Fit {
    #[new]
    #[pyo3(signature = (measurements, source="measurements"))]
    fn new(measurements: &Bound<'_, PyAny>, source: &str) -> PyResult<Self> {
        let measured = match mapping(measurements)? {
            Some(columns) => measured(&columns, source)?,
            None => Measured::read(text_of(measurements)?.as_ref()).map_err(raise)?,
        };
        Ok(Fit { fit: Fitting::of(&measured).map_err(raise)? })
    }

    /// The laws, the best first: kind, key, constants (how many), log_likelihood, bic, ks_distance, ks_p, and the
    /// values as text.
    #[getter]
    fn laws(&self) -> Frame {
        let laws = &self.fit.laws;
        let text = |of: &dyn Fn(usize) -> String| Cells::Text((0..laws.len()).map(|i| Some(of(i))).collect());
        let number = |of: &dyn Fn(usize) -> f64| Cells::Number((0..laws.len()).map(|i| Some(of(i))).collect());
        let kind =
            |i: usize| KINDS.iter().find(|(_, kind)| *kind == laws[i].law.kind).map_or("", |(word, _)| word).to_owned();
        let values =
            |i: usize| laws[i].law.values.iter().map(|value| format!("{value}")).collect::<Vec<_>>().join(", ");
        let constants = Cells::Whole(laws.iter().map(|fitted| Some(fitted.law.constants() as i64)).collect());
        let columns = [
            ("kind", text(&kind)),
            ("key", text(&|i| laws[i].law.key.to_owned())),
            ("constants", constants),
            ("log_likelihood", number(&|i| laws[i].log_likelihood)),
            ("bic", number(&|i| laws[i].bic)),
            ("ks_distance", number(&|i| laws[i].distance)),
            ("ks_p", number(&|i| laws[i].p)),
            ("values", text(&values)),
        ];
        let columns = columns.into_iter().map(|(name, cells)| Column { name: name.to_owned(), cells }).collect();
        Frame { table: Table { columns } }
    }

    /// Drift, a dict of reference_s, last_s, devices, nu, nu_sigma and retention_sigma (None where no device was read
    /// three times); None where devices were read at one time.
    #[getter]
    fn drift<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let of = |aged: &crosspike::Aged| {
            serde_json::json!({
                "reference_s": aged.reference_s, "last_s": aged.last_s, "devices": aged.devices, "nu": aged.nu,
                "nu_sigma": aged.nu_sigma, "retention_sigma": aged.retention_sigma,
            })
        };
        self.fit.aged.as_ref().map(|aged| python(py, &of(aged))).transpose()
    }

    /// The noise of reads, a dict of devices, sigma (relative), sigma_us and is_relative; None where no device was read
    /// twice at a time.
    #[getter]
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let of = |repeated: &crosspike::Repeated| {
            let crosspike::Repeated { devices, sigma, sigma_us, is_relative } = repeated;
            serde_json::json!({ "devices": devices, "sigma": sigma, "sigma_us": sigma_us, "is_relative": is_relative })
        };
        self.fit.repeated.as_ref().map(|repeated| python(py, &of(repeated))).transpose()
    }

    /// profile(kind=None) -> Profile
    ///
    /// The profile of the devices with the best law, or that of a kind ("lognormal", "gaussian", "per_level",
    /// "polynomial", "table").
    #[pyo3(signature = (kind=None))]
    fn profile(&self, kind: Option<&str>) -> PyResult<Profile> {
        Profile::of(Document::parse_text("fitted profile".as_ref(), self.to_toml(kind)?).map_err(raise)?)
    }

    /// to_toml(kind=None) -> str
    ///
    /// The same as a profile file, with its remarks.
    #[pyo3(signature = (kind=None))]
    fn to_toml(&self, kind: Option<&str>) -> PyResult<String> {
        self.fit.profile(kind_of(kind)?).map_err(raise)
    }

    /// to_svg() -> str
    ///
    /// A drawing of devices beside the laws.
    fn to_svg(&self) -> String {
        draw_fit(&self.fit)
    }

    fn _repr_svg_(&self) -> String {
        self.to_svg()
    }

    fn __repr__(&self) -> String {
        format!("Fit({:?}, {} reads of {} devices)", self.fit.source, self.fit.reads, self.fit.devices)
    }
}
