//! A manufactured chip to look at.

use std::sync::{Arc, OnceLock};

use crosspike::profile::Wires;
use crosspike::{
    Chip as Programmed, Devices, Faulty, LayerSurvey, Line, Place, Session, Solver, TileSurvey, solve_tile,
};
use numpy::Element;
use pyo3::exceptions::{PyIndexError, PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};

use crate::arrays::{array, owned};
use crate::errors::raise;
use crate::work::work;

/// A manufactured chip: what session.program(index) gives.
///
/// Its arrays are copies: writing into them does not change the chip.
#[pyclass(module = "crosspike", frozen)]
pub struct Chip {
    session: Arc<Session>,
    index: u64,
    chip: Programmed,
    survey: OnceLock<Arc<Vec<LayerSurvey>>>,
}

impl Chip {
    pub fn new(session: Arc<Session>, index: u64, chip: Programmed) -> Self {
        Chip { session, index, chip, survey: OnceLock::new() }
    }

    /// The session that programmed it.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The library's.
    pub fn chip(&self) -> &Programmed {
        &self.chip
    }

    fn survey(&self, py: Python<'_>) -> PyResult<&Arc<Vec<LayerSurvey>>> {
        if let Some(survey) = self.survey.get() {
            return Ok(survey);
        }
        let made = Arc::new(work(py, None, |_| self.session.survey(self.index))?);
        Ok(self.survey.get_or_init(|| made))
    }
}

#[pymethods]
impl Chip {
    /// Its number.
    #[getter]
    fn index(&self) -> u64 {
        self.index
    }

    /// Bytes that its companion arrays hold.
    #[getter]
    fn sram_bytes(&self) -> usize {
        self.chip.sram_bytes
    }

    /// Pulses that programmed its cells, where conductances are modelled.
    #[getter]
    fn write_pulses(&self) -> u64 {
        self.chip.write_pulses
    }

    /// Its layers by name: what was asked for, programmed, missing, and where it stands.
    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let survey = self.survey(py)?;
        let dict = PyDict::new(py);
        for (number, layer) in survey.iter().enumerate() {
            dict.set_item(&layer.name, Layer { survey: survey.clone(), number })?;
        }
        Ok(dict)
    }

    fn __len__(&self) -> usize {
        self.chip.layers.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.layers(py)?.try_iter()
    }

    fn __getitem__(&self, py: Python<'_>, name: &str) -> PyResult<Layer> {
        let survey = self.survey(py)?;
        match survey.iter().position(|layer| layer.name == name) {
            Some(number) => Ok(Layer { survey: survey.clone(), number }),
            None => {
                let known: Vec<&str> = survey.iter().map(|layer| layer.name.as_str()).collect();
                Err(PyKeyError::new_err(format!("`{name}` is no layer; expected one of {}", known.join(", "))))
            }
        }
    }

    fn __repr__(&self) -> String {
        format!("Chip({} of seed {})", self.index, self.session.options().seed)
    }
}

/// One layer of a chip. Weights are float32 [columns, rows], a column an output channel; conductances float64 in
/// microsiemens, [slices, columns, rows], slices from the least significant. All arrays are copies.
#[pyclass(module = "crosspike", frozen)]
pub struct Layer {
    survey: Arc<Vec<LayerSurvey>>,
    number: usize,
}

impl Layer {
    fn of(&self) -> &LayerSurvey {
        &self.survey[self.number]
    }

    fn matrix<'py>(&self, py: Python<'py>, values: &[f32]) -> PyResult<Option<Bound<'py, PyAny>>> {
        let LayerSurvey { columns, rows, .. } = self.of();
        (!values.is_empty()).then(|| array(py, values, &[*columns, *rows])).transpose()
    }

    /// One side of all slices.
    fn slices<'py, S, T: Element + Copy>(
        &self,
        py: Python<'py>,
        slices: Option<&Vec<S>>,
        side: impl Fn(&S) -> &Vec<T>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(slices) = slices else { return Ok(None) };
        let rows = self.of().rows;
        let columns = slices.first().map_or(0, |slice| side(slice).len() / rows);
        let all: Vec<T> = slices.iter().flat_map(|slice| side(slice).iter().copied()).collect();
        array(py, &all, &[slices.len(), columns, rows]).map(Some)
    }
}

#[pymethods]
impl Layer {
    /// The layer's name.
    #[getter]
    fn name(&self) -> &str {
        &self.of().name
    }

    /// "rram", or "digital".
    #[getter]
    fn place(&self) -> &'static str {
        if self.of().place == Place::Rram { "rram" } else { "digital" }
    }

    /// The network's weights as the cells' levels have them; None of a digital layer.
    #[getter]
    fn target<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.matrix(py, &self.of().target)
    }

    /// The weights as they are read back from the cells; of a digital layer the network's.
    #[getter]
    fn programmed<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.matrix(py, &self.of().programmed)
    }

    /// target - programmed: what the cells miss; None of a digital layer.
    #[getter]
    fn residual<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.matrix(py, &self.of().residual)
    }

    /// What columns see: read-back after drift and lines, without the companion array.
    #[getter]
    fn operating<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.matrix(py, &self.of().operating)
    }

    /// What the layer multiplies by, the companion array included.
    #[getter]
    fn effective<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.matrix(py, &self.of().effective)
    }

    /// The companion array's quantised weights; None where there is none.
    #[getter]
    fn companion<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.matrix(py, self.of().companion.as_ref().map_or(&[], |companion| &companion.weights))
    }

    /// The companion array's shift: its weights count 2^shift; None where there is none.
    #[getter]
    fn shift(&self) -> Option<i32> {
        self.of().companion.as_ref().map(|companion| companion.shift)
    }

    /// The converters' ranges, slice by slice: (step, lowest code, highest code), step in weights times pulses.
    #[getter]
    fn converters(&self) -> Vec<(f64, i32, i32)> {
        self.of().converters.iter().map(|of| (of.step, of.lowest, of.highest)).collect()
    }

    /// Conductances in operation, after drift, faults included, of the devices that add; None where cells have no
    /// conductances.
    #[getter]
    fn conductances<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.slices(py, self.of().devices.as_ref().map(|of| &of.operating), |slice: &Devices| &slice.plus)
    }

    /// Conductances in operation of the devices that are subtracted: of pairs [slices, columns, rows], of unit columns
    /// [slices, tiles along columns, rows].
    #[getter]
    fn conductances_subtracted<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.slices(py, self.of().devices.as_ref().map(|of| &of.operating), |slice: &Devices| &slice.minus)
    }

    /// Conductances as they were programmed, before drift, faults included: what is read back.
    #[getter]
    fn programmed_conductances<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.slices(py, self.of().devices.as_ref().map(|of| &of.programmed), |slice: &Devices| &slice.plus)
    }

    /// The conductances that were asked for, of the devices that add.
    #[getter]
    fn target_conductances<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.slices(py, self.of().devices.as_ref().map(|of| &of.targets), |slice: &Devices| &slice.plus)
    }

    /// Devices that do not work, uint8 as conductances: 0 works, 1 stuck off, 2 stuck on, 3 on a dead line.
    #[getter]
    fn faults<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.slices(py, self.of().devices.as_ref().map(|of| &of.faults), |slice: &Faulty| &slice.plus)
    }

    /// Devices that do not work, laid out as conductances_subtracted, with the codes of faults.
    #[getter]
    fn faults_subtracted<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.slices(py, self.of().devices.as_ref().map(|of| &of.faults), |slice: &Faulty| &slice.minus)
    }

    /// Tiles along the rows and along the columns; (0, 0) of a digital layer.
    #[getter]
    fn tiles(&self) -> (usize, usize) {
        self.of().tiles()
    }

    /// tile(row, column) -> Tile
    ///
    /// The tile at a place, from (0, 0).
    fn tile(&self, row: usize, column: usize) -> PyResult<Tile> {
        match self.of().tile(row, column) {
            Some(of) => Ok(Tile { of, name: format!("{} tile {row},{column}", self.name()) }),
            None if self.of().devices.is_none() => Err(PyValueError::new_err(format!(
                "`{}` has no conductances; expected a profile with rram.model = \"cell\"",
                self.name()
            ))),
            None => Err(PyIndexError::new_err(format!("tile {row}, {column} of {:?} tiles", self.tiles()))),
        }
    }

    fn __repr__(&self) -> String {
        let LayerSurvey { columns, rows, .. } = self.of();
        format!(
            "Layer({:?}, {}, {columns} columns of {rows} rows, {:?} tiles)",
            self.name(),
            self.place(),
            self.tiles()
        )
    }
}

/// One tile of a layer: matrices are [word lines, bit lines], conductances in siemens, as solve_tile takes them. All
/// arrays are copies.
#[pyclass(module = "crosspike", frozen)]
pub struct Tile {
    of: TileSurvey,
    name: String,
}

impl Tile {
    fn shape(&self) -> [usize; 2] {
        [self.of.rows.len(), self.of.lines.len()]
    }
}

#[pymethods]
impl Tile {
    /// Conductances in operation in siemens, float64.
    #[getter]
    fn conductances<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, &self.of.siemens, &self.shape())
    }

    /// The conductances that were asked for in siemens, float64.
    #[getter]
    fn targets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, &self.of.target_siemens, &self.shape())
    }

    /// Devices that do not work, uint8: 0 works, 1 stuck off, 2 stuck on, 3 on a dead line.
    #[getter]
    fn faults<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, &self.of.faults, &self.shape())
    }

    /// The layer's rows on the word lines: (first, behind the last).
    #[getter]
    fn rows(&self) -> (usize, usize) {
        (self.of.rows.start, self.of.rows.end)
    }

    /// What stands on each bit line, from the drivers: (slice, whether it is subtracted, column of the layer or, of a
    /// unit column, of tiles).
    #[getter]
    fn lines(&self) -> Vec<(usize, bool, usize)> {
        self.of.lines.iter().map(|Line { slice, is_subtracted, column }| (*slice, *is_subtracted, *column)).collect()
    }

    /// Resistance of a word line's driver and of a bit line's sense node, in ohm.
    #[getter]
    fn terminal_ohm(&self) -> (f64, f64) {
        let Wires { driver_ohm, sense_ohm, .. } = self.of.wires;
        (driver_ohm, sense_ohm)
    }

    /// Resistance of a segment of a word line and of a bit line, in ohm.
    #[getter]
    fn ohm(&self) -> (f64, f64) {
        let Wires { word_ohm, bit_ohm, .. } = self.of.wires;
        (word_ohm, bit_ohm)
    }

    /// solve(voltages) -> numpy.ndarray
    ///
    /// The bit lines' currents in ampere, float64 [sets, bit lines], for voltages in volt, [sets, word lines] or [word
    /// lines], through the profile's lines.
    fn solve<'py>(&self, py: Python<'py>, voltages: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (volts, shape) = owned::<f64>("voltages", voltages)?;
        let [word_lines, bit_lines] = self.shape();
        if shape.last() != Some(&word_lines) || shape.len() > 2 {
            return Err(PyValueError::new_err(format!(
                "voltages has the shape {shape:?}, and the tile {word_lines} word lines; expected [{word_lines}] or \
                 [sets, {word_lines}]"
            )));
        }
        let solved = work(py, None, |_| solve_tile(&self.of.siemens, bit_lines, &volts, self.of.wires, Solver::Exact))?;
        let shape = if shape.len() == 1 { vec![bit_lines] } else { vec![solved.len(), bit_lines] };
        array(py, &solved.concat(), &shape)
    }

    /// netlist(volt=0.1) -> str
    ///
    /// The tile as a SPICE deck, every word line driven by so many volt; the currents of Vf0, Vf1, ... are the bit
    /// lines'.
    #[pyo3(signature = (volt=0.1))]
    fn netlist(&self, volt: f64) -> PyResult<String> {
        match volt.is_finite() {
            true => Ok(self.of.netlist(&self.name, volt)),
            false => Err(raise(crosspike::Error::Usage(format!("volt={volt}: expected a finite voltage")))),
        }
    }

    fn __repr__(&self) -> String {
        let [word_lines, bit_lines] = self.shape();
        format!("Tile({}, {word_lines} word lines, {bit_lines} bit lines)", self.name)
    }
}
