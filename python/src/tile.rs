//! One tile with resistive lines.

use crosspike::profile::Wires;
use crosspike::{Conduction, Solver, TILE_TOLERANCE as TOLERANCE, solve_tile as solve};
use numpy::PyUntypedArrayMethods;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::{array, typed};
use crate::convert::one_of;
use crate::work::work;

/// solve_tile(conductances, voltages, word_ohm=0.0, bit_ohm=0.0, method="exact", tolerance=None, sinh_volt=None, driver_ohm=0.0, sense_ohm=0.0) -> numpy.ndarray
///
/// The currents of a tile's bit lines in ampere, float64 [sets, bit lines], or [bit lines] for one set of voltages.
///
/// conductances are in siemens, [word lines, bit lines]; voltages in volt, [word lines] or [sets, word lines]. Word
/// lines are driven at the left through a driver of driver_ohm and one segment of word_ohm ohm, bit lines grounded at
/// the bottom through one of bit_ohm and a sense node of sense_ohm; 0 is ideal. method is "exact" or "iterative", which
/// takes tolerance, the largest change of a cell's voltage in its last round relative to the largest input (absent:
/// 1e-6), and cells that carry G*V0*sinh(V/V0), V0 = sinh_volt in volt.
#[pyfunction]
#[pyo3(signature = (conductances, voltages, word_ohm=0.0, bit_ohm=0.0, method="exact", tolerance=None, sinh_volt=None, driver_ohm=0.0, sense_ohm=0.0))]
#[expect(clippy::too_many_arguments, reason = "each is a physical quantity of the tile, or a choice of its solver")]
pub fn solve_tile<'py>(
    py: Python<'py>,
    conductances: &Bound<'py, PyAny>,
    voltages: &Bound<'py, PyAny>,
    word_ohm: f64,
    bit_ohm: f64,
    method: &str,
    tolerance: Option<f64>,
    sinh_volt: Option<f64>,
    driver_ohm: f64,
    sense_ohm: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let iterative = one_of("method", method, &[("exact", false), ("iterative", true)])?;
    let solver = match (iterative, sinh_volt, tolerance) {
        (true, volt, tolerance) => Solver::Iterative {
            conduction: volt.map_or(Conduction::Linear, Conduction::Sinh),
            tolerance: tolerance.unwrap_or(TOLERANCE),
        },
        (false, None, None) => Solver::Exact,
        (false, None, Some(_)) => {
            return Err(PyValueError::new_err("tolerance: the exact method has none; expected method=\"iterative\""));
        }
        (false, Some(_), _) => {
            return Err(PyValueError::new_err(
                "sinh_volt: the exact method is of linear cells; expected method=\"iterative\"",
            ));
        }
    };
    let (siemens, volts) = (typed::<f64>("conductances", conductances)?, typed::<f64>("voltages", voltages)?);
    let ([word_lines, bit_lines], [.., driven]) = (siemens.shape(), volts.shape()) else {
        let (g, v) = (siemens.shape(), volts.shape());
        return Err(PyValueError::new_err(format!(
            "conductances has the shape {g:?} and voltages {v:?}; expected [word lines, bit lines] and [sets, word \
             lines]"
        )));
    };
    if driven != word_lines || volts.ndim() > 2 {
        let v = volts.shape();
        return Err(PyValueError::new_err(format!(
            "voltages has the shape {v:?}, and the tile {word_lines} word lines; expected [{word_lines}] or [sets, \
             {word_lines}]"
        )));
    }
    let (g, v) = (siemens.as_slice()?.to_vec(), volts.as_slice()?.to_vec());
    let wires = Wires { word_ohm, bit_ohm, driver_ohm, sense_ohm };
    let currents = work(py, None, |_| solve(&g, *bit_lines, &v, wires, solver))?.concat();
    let shape = if volts.ndim() == 1 { vec![*bit_lines] } else { vec![volts.shape()[0], *bit_lines] };
    array(py, &currents, &shape)
}
