//! One tile solved as a user asks for it: conductances, voltages and lines in, bit lines' currents out.

use super::nodal::{LEAST_OHM, MOST_SIEMENS, transfer};
use super::relaxation::{Conduction, iterate};
use crate::error::{Error, Result};
use crate::profile::Wires;

/// The tolerance of the iterative solver where none is given.
///
/// # Examples
/// ```
/// use crosspike::profile::Wires;
/// use crosspike::{Conduction, Solver, TILE_TOLERANCE, solve_tile};
///
/// let (siemens, wires) = ([50e-6; 64], Wires { word_ohm: 5.0, bit_ohm: 5.0, ..Wires::default() });
/// let solver = Solver::Iterative { conduction: Conduction::Linear, tolerance: TILE_TOLERANCE };
/// let found = solve_tile(&siemens, 8, &[0.2; 8], wires, solver)?[0][0];
/// let exact = solve_tile(&siemens, 8, &[0.2; 8], wires, Solver::Exact)?[0][0];
/// assert!((found / exact - 1.0).abs() < TILE_TOLERANCE);
/// # Ok::<(), crosspike::Error>(())
/// ```
pub const TOLERANCE: f64 = 1e-6;

/// How a tile is solved.
///
/// # Examples
/// ```
/// use crosspike::profile::Wires;
/// use crosspike::{Conduction, Solver, solve_tile};
///
/// // One cell of 100 µS between two segments of 100 Ω: 1 V drives 1 V/(10 kΩ + 200 Ω).
/// let wires = Wires { word_ohm: 100.0, bit_ohm: 100.0, ..Wires::default() };
/// for solver in [Solver::Exact, Solver::Iterative { conduction: Conduction::Linear, tolerance: 1e-9 }] {
///     let ampere = solve_tile(&[100e-6], 1, &[1.0], wires, solver)?[0][0];
///     assert!((ampere * 10.2e3 - 1.0).abs() < 1e-8);
/// }
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Solver {
    /// By elimination, to every digit; cells are linear.
    Exact,
    /// Cell voltages are corrected until they settle.
    Iterative {
        /// What a cell carries.
        conduction: Conduction,
        /// The largest change of a cell's voltage in the last round, relative to the largest input.
        tolerance: f64,
    },
}

/// What is wrong with lines and solver: the name of the argument, and why; none where they can be.
pub fn fault(wires: Wires, solver: Solver) -> Option<(&'static str, String)> {
    for (name, value) in wires.all() {
        if !(value == 0.0 || (value.is_finite() && value >= LEAST_OHM)) {
            return Some((name, format!("{value:e}: expected a resistance of 0 or at least {LEAST_OHM:e} ohm")));
        }
    }
    match solver {
        Solver::Iterative { tolerance, .. } if !(tolerance > 0.0 && tolerance < 1.0) => {
            Some(("tolerance", format!("{tolerance}: expected a number between 0 and 1")))
        }
        Solver::Iterative { conduction: Conduction::Sinh(volt), .. } if !(volt.is_finite() && volt > 0.0) => {
            Some(("sinh_volt", format!("{volt}: expected a voltage above 0")))
        }
        _ => None,
    }
}

/// Whether a cell may have this conductance, in siemens.
pub fn is_conductance(siemens: f64) -> bool {
    (0.0..=MOST_SIEMENS).contains(&siemens)
}

/// What is expected where [`is_conductance`] does not hold.
pub fn expected_conductance() -> String {
    format!("a conductance of 0 to {MOST_SIEMENS:e} siemens")
}

/// The currents in ampere of a tile's bit lines, a row for each set of voltages. Conductances, in siemens, are `[word
/// lines, bit lines]`, voltages `[sets, word lines]`; word lines are driven at the left through a driver and one
/// segment, bit lines grounded at the bottom through one segment and a sense node.
///
/// # Errors
/// Where an argument is beyond what can be solved, sizes differ, or the iteration does not settle.
///
/// # Examples
/// ```
/// use crosspike::profile::Wires;
/// use crosspike::{Solver, solve_tile};
///
/// // Two word lines, one driven by 0.5 V, and two bit lines.
/// let siemens = [10e-6, 20e-6, 30e-6, 40e-6];
/// let ideal = solve_tile(&siemens, 2, &[0.5, 0.0], Wires::default(), Solver::Exact)?;
/// let wires = Wires { word_ohm: 100.0, bit_ohm: 100.0, ..Wires::default() };
/// let dropped = solve_tile(&siemens, 2, &[0.5, 0.0], wires, Solver::Exact)?;
/// assert_eq!(ideal[0], [5e-6, 10e-6]);
/// assert!(dropped[0][0] < ideal[0][0] && dropped[0][0] > 0.98 * ideal[0][0]);
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn solve(siemens: &[f64], bit_lines: usize, volts: &[f64], wires: Wires, solver: Solver) -> Result<Vec<Vec<f64>>> {
    if let Some((name, message)) = fault(wires, solver) {
        return Err(Error::Usage(format!("{name} {message}")));
    }
    if let Some(g) = siemens.iter().find(|g| !is_conductance(**g)) {
        return Err(Error::Mismatch(format!("a cell has {g}; expected {}", expected_conductance())));
    }
    if let Some(v) = volts.iter().find(|v| !v.is_finite()) {
        return Err(Error::Mismatch(format!("a word line is driven by {v}; expected a finite voltage")));
    }
    let word_lines = siemens.len().checked_div(bit_lines).unwrap_or(0);
    if word_lines == 0 || !siemens.len().is_multiple_of(bit_lines) || !volts.len().is_multiple_of(word_lines) {
        return Err(Error::Mismatch(format!(
            "{} voltages for {word_lines} word lines of {bit_lines} cells; expected a voltage for each word line of at \
             least one cell",
            volts.len()
        )));
    }
    let solved = if solver == Solver::Exact { transfer(siemens, bit_lines, wires)? } else { vec![] };
    let currents = |volts: &[f64]| match solver {
        Solver::Exact => {
            let of = |j: usize| volts.iter().enumerate().map(|(i, v)| v * solved[i * bit_lines + j]).sum();
            Ok((0..bit_lines).map(of).collect::<Vec<f64>>())
        }
        Solver::Iterative { conduction, tolerance } => iterate(siemens, volts, wires, conduction, tolerance),
    };
    let checked = |(row, volts): (usize, &[f64])| {
        let currents = currents(volts)?;
        match currents.iter().find(|current| !current.is_finite()) {
            Some(current) => Err(Error::Mismatch(format!(
                "row {} of the voltages drives a current of {current} A; expected less",
                row + 1
            ))),
            None => Ok(currents),
        }
    };
    volts.chunks(word_lines).enumerate().map(checked).collect()
}
