//! Sessions: one network on one kind of chip, and what its chips did.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crosspike::{Backend, ChipResult, Encoding, Frame as Rows, Monitor, Options, Point, Session as Opened, Table};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyRange};

use crate::arrays::array;
use crate::chip::Chip;
use crate::convert::{Pickled, one_of, python};
use crate::data::Dataset;
use crate::errors::warn;
use crate::frame::Frame;
use crate::network::Network;
use crate::profile::Profile;
use crate::work::{shown, tell, work};

/// What runs chips, by its name.
pub fn backend(name: &str) -> PyResult<Backend> {
    one_of("backend", name, &[("auto", Backend::Auto), ("cpu", Backend::Cpu), ("gpu", Backend::Gpu)])
}

/// One network on one kind of chip.
///
/// Session(network, profile=None, data=..., labels=None, seed=1, encoding=None, calibration=None, backend="auto",
/// batch=64)
///
/// profile is a Profile, or what makes one: a name, a path, a dict; None is the ideal chip. data are the images that
/// chips will be run on, a Dataset, what --data takes, or an array [N, C, H, W] with labels [N]: inputs are made wide
/// enough for their values, and the test half of a set is what run and evaluate take by default. seed is that of chips
/// and encoding; encoding "poisson", "direct" or "frames"; calibration the training images that converters' ranges are
/// profiled on (adc.range = "calibrated"), a Dataset, what --data takes, or an array, by default the training half of
/// data; backend "auto", "cpu" or "gpu", which give the same bits; batch the images at once, which never changes a
/// result.
#[pyclass(module = "crosspike", frozen)]
pub struct Session {
    session: Arc<Opened>,
    data: Dataset,
    calibration: Option<Dataset>,
    network: Network,
    profile: Profile,
}

impl Session {
    /// The library's.
    pub fn session(&self) -> &Arc<Opened> {
        &self.session
    }

    /// What is given, or what the session was opened with; warns of what the user should know of it.
    fn images(&self, images: Option<&Bound<'_, PyAny>>, labels: Option<&Bound<'_, PyAny>>) -> PyResult<Dataset> {
        match images {
            Some(images) => {
                let data = Dataset::from_python(images, labels)?;
                warn(images.py(), &data.data.notices().collect::<Vec<_>>())?;
                Ok(data)
            }
            None if labels.is_some() => {
                Err(PyValueError::new_err("labels: of which images? expected images beside them"))
            }
            None => Ok(self.data.clone()),
        }
    }
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (network, profile=None, data=None, labels=None, seed=1, encoding=None, calibration=None, backend="auto", batch=64))]
    #[expect(clippy::too_many_arguments, reason = "each says what chips are made from or judged on")]
    fn new(
        py: Python<'_>,
        network: &Network,
        profile: Option<&Bound<'_, PyAny>>,
        data: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        seed: u64,
        encoding: Option<&str>,
        calibration: Option<&Bound<'_, PyAny>>,
        backend: &str,
        batch: usize,
    ) -> PyResult<Self> {
        let profile = Profile::from_python(profile)?;
        let Some(data) = data else {
            return Err(PyTypeError::new_err(
                "data is missing: the images that chips are run on, such as \"digits\", or an array",
            ));
        };
        let data = Dataset::from_python(data, labels)?;
        if !(1..=65536).contains(&batch) {
            return Err(PyValueError::new_err(format!("batch={batch}: expected 1 to 65536 images")));
        }
        let encodings = [("poisson", Encoding::Poisson), ("direct", Encoding::Direct), ("frames", Encoding::Frames)];
        let encoding = encoding.map(|encoding| one_of("encoding", encoding, &encodings)).transpose()?;
        let backend = self::backend(backend)?;
        let calibration = calibration.map(Dataset::training).transpose()?;
        let training = calibration.as_ref().map(|set| set.data.clone());
        let options = Options { seed, encoding, calibration: training, backend, batch, tell };
        let (hardware, model, loaded) = (&profile.hardware, &network.model.shape, &network.loaded);
        let open = |_: &crate::work::Watcher| {
            Opened::open(hardware, (**model).clone(), (**loaded).clone(), &data.data, options)
        };
        let session = work(py, None, open)?;
        warn(py, &session.notices())?;
        Ok(Session { session: Arc::new(session), data, calibration, network: network.clone(), profile })
    }

    /// The network.
    #[getter]
    fn network(&self) -> Network {
        self.network.clone()
    }

    /// The hardware.
    #[getter]
    fn profile(&self) -> Profile {
        self.profile.clone()
    }

    /// The images that it was opened with.
    #[getter]
    fn data(&self) -> Dataset {
        self.data.clone()
    }

    /// "cpu", or "gpu" with its adapter.
    #[getter]
    fn backend(&self) -> String {
        self.session.backend()
    }

    /// The seed of chips and encoding.
    #[getter]
    fn seed(&self) -> u64 {
        self.session.options().seed
    }

    /// "poisson", "direct" or "frames".
    #[getter]
    fn encoding(&self) -> String {
        self.session.encoding().to_string()
    }

    /// What the user should know before reading results; opening the session warned of it.
    #[getter]
    fn notices(&self) -> Vec<String> {
        self.session.notices()
    }

    /// program(index) -> Chip
    ///
    /// Manufactures chip number index of the session's seed: the same chip on every machine, in every language.
    fn program(&self, py: Python<'_>, index: u64) -> PyResult<Chip> {
        let chip = work(py, None, |_| self.session.program(index))?;
        Ok(Chip::new(self.session.clone(), index, chip))
    }

    /// run(chip, images=None, labels=None) -> Run
    ///
    /// Runs images on a chip, a Chip or its number, for all steps. images are those that the session was opened with, a
    /// Dataset, what --data takes, or an array or tensor [N, C, H, W]; image number i of an array has the random spikes
    /// of image i of a data set.
    #[pyo3(signature = (chip, images=None, labels=None))]
    fn run(
        &self,
        py: Python<'_>,
        chip: &Bound<'_, PyAny>,
        images: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Run> {
        let data = self.images(images, labels)?;
        let is_judged = data.is_labelled;
        let result = match chip.cast::<Chip>() {
            Ok(chip) => {
                let chip = chip.get();
                if !Arc::ptr_eq(chip.session(), &self.session) {
                    return Err(PyValueError::new_err(
                        "the chip is of another session; expected one that this session programmed",
                    ));
                }
                work(py, None, |_| self.session.run(chip.chip(), &data.data))?
            }
            Err(_) => {
                let index: u64 = chip.extract()?;
                work(py, None, |_| self.session.run(&self.session.program(index)?, &data.data))?
            }
        };
        Ok(Run { session: self.session.clone(), result, is_judged })
    }

    /// evaluate(chips=20, images=None, labels=None, progress=None) -> Series
    ///
    /// Runs images on many chips, on all cores, while other Python threads go on: chips is their number, or a range of
    /// indices. progress is True, False, or an object with line(text), update(what, done, total, note) and end(); None
    /// shows it where it can be seen. Ctrl-C ends it with KeyboardInterrupt where the main thread is in a call of
    /// crosspike.
    #[pyo3(signature = (chips=None, images=None, labels=None, progress=None))]
    fn evaluate(
        &self,
        py: Python<'_>,
        chips: Option<&Bound<'_, PyAny>>,
        images: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Series> {
        let indices = indices(chips)?;
        let data = self.images(images, labels)?;
        let progress = shown(py, progress)?;
        let results = work(py, progress.as_ref(), |watcher| {
            watcher.begin("chips", indices.end - indices.start);
            let mut results = vec![];
            self.session.evaluate(&data.data, indices, |chip, result| {
                results.push((chip, result.clone()));
                watcher.progress(results.len() as u64, "");
                match watcher.stop() {
                    true => Err(crosspike::Error::Interrupted(String::new())),
                    false => Ok(()),
                }
            })?;
            watcher.end();
            Ok(results)
        })?;
        Ok(Series { session: self.session.clone(), results, point: OnceLock::new(), is_judged: data.is_labelled })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        let Options { seed, backend, batch, .. } = self.session.options();
        let (network, profile, data) = (self.network.clone(), self.profile.clone(), self.data.clone());
        let (encoding, calibration) = (self.encoding(), self.calibration.clone());
        let arguments = (network, profile, data, py.None(), *seed, encoding, calibration, backend.name(), *batch);
        Ok((py.get_type::<Session>().into_any(), arguments.into_pyobject(py)?.into_any()))
    }

    fn __repr__(&self) -> String {
        let model = &self.network.model.shape.name;
        format!("Session({model:?} on {:?}, seed {}, {})", self.profile.hardware.name, self.seed(), self.backend())
    }
}

/// Indices of chips: so many from 0, or a range.
fn indices(chips: Option<&Bound<'_, PyAny>>) -> PyResult<std::ops::Range<u64>> {
    let Some(chips) = chips else { return Ok(0..20) };
    let indices = match chips.cast::<PyRange>() {
        Ok(range) => {
            let part = |name: &str| range.as_any().getattr(name)?.extract::<i64>();
            let (start, stop, step) = (part("start")?, part("stop")?, part("step")?);
            if step != 1 || start < 0 || stop <= start {
                return Err(PyValueError::new_err(format!(
                    "chips=range({start}, {stop}, {step}): expected indices from 0, one after the other, and at least \
                     one"
                )));
            }
            start as u64..stop as u64
        }
        Err(_) => 0..chips.extract::<u64>()?,
    };
    match indices.end - indices.start {
        1..=1_048_576 => Ok(indices),
        count => Err(PyValueError::new_err(format!("{count} chips; expected 1 to 1048576"))),
    }
}

/// A number of each layer, by its name, where it is meant.
fn by_layer<'py, T>(
    py: Python<'py>,
    session: &Opened,
    values: &[T],
    is_meant: impl Fn(usize) -> bool,
    of: impl Fn(&T) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let layers = session.blueprint().model().layers();
    for (number, (layer, value)) in layers.iter().zip(values).enumerate() {
        if is_meant(number) {
            dict.set_item(&layer.name, of(value)?)?;
        }
    }
    Ok(dict)
}

/// What one chip did with some images.
#[pyclass(module = "crosspike", frozen)]
pub struct Run {
    session: Arc<Opened>,
    result: ChipResult,
    is_judged: bool,
}

#[pymethods]
impl Run {
    /// The logits after the last step, float32 [images, classes]: a copy.
    #[getter]
    fn logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let logits = &self.result.logits;
        array(py, &logits.iter().copied().collect::<Vec<f32>>(), &[logits.nrows(), logits.ncols()])
    }

    /// Percent of images classified correctly; None without labels.
    #[getter]
    fn accuracy(&self) -> Option<f64> {
        self.is_judged.then_some(self.result.accuracy)
    }

    /// Images classified correctly; None without labels.
    #[getter]
    fn correct(&self) -> Option<usize> {
        self.is_judged.then_some(self.result.correct)
    }

    /// Pulses, or digits, on the network's inputs, uint64 [steps], summed over images.
    #[getter]
    fn input_pulses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, &self.result.counts.input, &[self.result.counts.input.len()])
    }

    /// Spikes of each spiking layer, before its pool: a dict of uint64 [steps], summed over images.
    #[getter]
    fn spikes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let layers = self.session.blueprint().model().layers();
        by_layer(
            py,
            &self.session,
            &self.result.counts.spikes,
            |layer| layers[layer].leads,
            |steps| array(py, steps, &[steps.len()]),
        )
    }

    /// How often the rows of each layer's matrix were driven: a dict of uint64 [steps], summed over images.
    #[getter]
    fn drives<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        by_layer(py, &self.session, &self.result.counts.drives, |_| true, |steps| array(py, steps, &[steps.len()]))
    }

    /// Partial sums beyond a converter's range, of each layer, summed over steps and images.
    #[getter]
    fn adc_clipped(&self) -> HashMap<String, u64> {
        self.of_layers(&self.result.counts.clipped)
    }

    /// Sums beyond an adder's width, of each layer, summed over steps and images.
    #[getter]
    fn adder_saturated(&self) -> HashMap<String, u64> {
        self.of_layers(&self.result.counts.saturated)
    }

    /// Picojoule of an image on average, total and by layer and component, and nanoseconds where a key ends in _ns;
    /// None where the profile has no costs.
    #[getter]
    fn energy<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let spent = self.session.spent(&self.result);
        spent.map(|spent| python(py, &serde_json::to_value(spent).unwrap_or_default())).transpose()
    }

    /// Bytes that the chip's companion arrays hold.
    #[getter]
    fn sram_bytes(&self) -> usize {
        self.result.sram_bytes
    }

    /// Pulses that programmed its cells, where conductances are modelled.
    #[getter]
    fn write_pulses(&self) -> u64 {
        self.result.write_pulses
    }

    fn __repr__(&self) -> String {
        let images = self.result.logits.nrows();
        match self.accuracy() {
            Some(accuracy) => format!("Run({images} images, {accuracy:.2} % correct)"),
            None => format!("Run({images} images)"),
        }
    }
}

impl Run {
    fn of_layers(&self, values: &[u64]) -> HashMap<String, u64> {
        let layers = self.session.blueprint().model().layers();
        layers.iter().map(|layer| layer.name.clone()).zip(values.iter().copied()).collect()
    }
}

/// What many chips did with the same images.
#[pyclass(module = "crosspike", frozen)]
pub struct Series {
    session: Arc<Opened>,
    results: Vec<(u64, ChipResult)>,
    point: OnceLock<Point>,
    is_judged: bool,
}

impl Series {
    fn point(&self) -> &Point {
        self.point.get_or_init(|| Point::of_session(&self.session, &self.results))
    }

    fn frame(&self, table: Table) -> PyResult<Frame> {
        self.judged()?;
        Ok(Frame { table: Rows::of(std::slice::from_ref(self.point()), table) })
    }

    /// An error where images have no labels.
    fn judged(&self) -> PyResult<()> {
        match self.is_judged {
            true => Ok(()),
            false => Err(PyValueError::new_err(
                "the images have no labels, so there is no accuracy; expected labels beside them",
            )),
        }
    }
}

#[pymethods]
impl Series {
    /// The chips' indices.
    #[getter]
    fn chips(&self) -> Vec<u64> {
        self.results.iter().map(|(chip, _)| *chip).collect()
    }

    /// Percent of images that each chip classified correctly, float64 [chips]; a ValueError without labels, as the
    /// tables are.
    #[getter]
    fn accuracy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.judged()?;
        let of: Vec<f64> = self.results.iter().map(|(_, result)| result.accuracy).collect();
        array(py, &of, &[of.len()])
    }

    /// The logits of every chip, float32 [chips, images, classes]: a copy.
    #[getter]
    fn logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let logits = &self.results[0].1.logits;
        let shape = [self.results.len(), logits.nrows(), logits.ncols()];
        let values: Vec<f32> = self.results.iter().flat_map(|(_, result)| result.logits.iter().copied()).collect();
        array(py, &values, &shape)
    }

    /// A row a chip, as a sweep's results.csv.
    #[getter]
    fn results(&self) -> PyResult<Frame> {
        self.frame(Table::Results)
    }

    /// A row for all chips, as a sweep's summary.csv: mean, spread, 95 % interval.
    #[getter]
    fn summary(&self) -> PyResult<Frame> {
        self.frame(Table::Summary)
    }

    /// A row a layer: where spikes and energy are.
    #[getter]
    fn layers(&self) -> PyResult<Frame> {
        self.frame(Table::Layers)
    }

    /// A row a component: where energy is.
    #[getter]
    fn components(&self) -> PyResult<Frame> {
        self.frame(Table::Components)
    }

    fn __len__(&self) -> usize {
        self.results.len()
    }

    fn __getitem__(&self, place: isize) -> PyResult<Run> {
        let at = if place < 0 { place + self.results.len() as isize } else { place };
        let found = usize::try_from(at).ok().and_then(|at| self.results.get(at));
        let (_, result) = found.ok_or_else(|| {
            pyo3::exceptions::PyIndexError::new_err(format!("{place}, of {} chips", self.results.len()))
        })?;
        Ok(Run { session: self.session.clone(), result: result.clone(), is_judged: self.is_judged })
    }

    fn __repr__(&self) -> String {
        let (chips, accuracy) = (self.results.len(), self.point().accuracy().mean);
        match self.is_judged {
            true => format!("Series({chips} chips, {accuracy:.2} % correct on average)"),
            false => format!("Series({chips} chips)"),
        }
    }
}
