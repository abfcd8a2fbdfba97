//! One tile of cells between lines with resistance, by iteration: for comparison with [`super::nodal`], and for cells
//! that are not linear.
//!
//! Cell currents are summed up along the lines, which leave each cell a voltage, and each cell's moves towards it.

use crate::error::{Error, Result};
use crate::monitor::stop_if_asked;
use crate::profile::Wires;

/// What a cell carries at a voltage across it.
///
/// # Examples
/// ```
/// use crosspike::profile::Wires;
/// use crosspike::{Conduction, Solver, TILE_TOLERANCE, solve_tile};
///
/// // A cell of 10 µS at 0.5 V carries 5 µA, or, where it conducts by hopping with V0 = 0.25 V, 2.5 µA times sinh 2.
/// let solver = Solver::Iterative { conduction: Conduction::Sinh(0.25), tolerance: TILE_TOLERANCE };
/// let currents = solve_tile(&[10e-6], 1, &[0.5], Wires::default(), solver)?;
/// assert!((currents[0][0] / (2.5e-6 * f64::sinh(2.0)) - 1.0).abs() < 1e-5);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Conduction {
    /// `G·V`.
    Linear,
    /// `G·V0·sinh(V/V0)`, V0 in volt: hopping and tunnelling, of conductance G at small voltages.
    Sinh(f64),
}

impl Conduction {
    /// The current in ampere of a cell of `g` siemens at `v` volt.
    fn current(self, g: f64, v: f64) -> f64 {
        match self {
            Self::Linear => g * v,
            Self::Sinh(v0) => g * v0 * libm::sinh(v / v0),
        }
    }
}

/// Rounds of [`iterate`] after which it gives up.
const ROUNDS: usize = 100_000;

/// The bit lines' currents in ampere for some voltages, by iteration; the largest change of a cell's voltage in the
/// last round is below `tolerance` times the largest input.
///
/// # Errors
/// Where it does not come to that.
pub fn iterate(
    conductances: &[f64],
    voltages: &[f64],
    wires: Wires,
    conduction: Conduction,
    tolerance: f64,
) -> Result<Vec<f64>> {
    let (m, n) = (voltages.len(), conductances.len() / voltages.len());
    let current = |cell: usize, v: f64| conduction.current(conductances[cell], v);
    let Settled { currents, .. } = settle((m, n), voltages, wires, current, tolerance)?;
    Ok((0..n).map(|j| (0..m).map(|i| currents[i * n + j]).sum()).collect())
}

/// The operating point of a tile, `[word lines, bit lines]`.
pub struct Settled {
    /// Volts across each cell.
    pub voltages: Vec<f64>,
    /// Ampere that it carries.
    pub currents: Vec<f64>,
}

/// The operating point of `m` x `n` cells that carry `current(cell, volt)`, by iteration.
///
/// # Errors
/// Where the voltages do not settle.
pub fn settle(
    (m, n): (usize, usize),
    voltages: &[f64],
    wires: Wires,
    current: impl Fn(usize, f64) -> f64,
    tolerance: f64,
) -> Result<Settled> {
    let largest = voltages.iter().fold(0.0f64, |top, v| top.max(v.abs()));
    // Begins without voltages, and goes half as fast wherever an error grows: steep lines and cells overshoot. From far
    // beyond it goes back.
    let (mut dv, mut currents, mut left) = (vec![0.0; m * n], vec![0.0; m * n], vec![0.0; m * n]);
    let (mut rate, mut before, mut last) = (0.9, f64::INFINITY, (dv.clone(), left.clone()));
    for _ in 0..ROUNDS {
        stop_if_asked();
        currents.iter_mut().zip(&dv).enumerate().for_each(|(cell, (i, v))| *i = current(cell, *v));
        // What the word lines leave at each cell: a segment carries the currents of all cells behind it.
        for ((left, currents), v) in left.chunks_mut(n).zip(currents.chunks(n)).zip(voltages) {
            let mut carried: f64 = currents.iter().sum();
            let mut potential = *v - wires.driver_ohm * carried;
            for (left, current) in left.iter_mut().zip(currents) {
                potential -= wires.word_ohm * carried;
                carried -= current;
                *left = potential;
            }
        }
        // Less what the bit lines raise it by: a segment carries the currents of all cells above it.
        for j in 0..n {
            let mut carried: f64 = (0..m).map(|i| currents[i * n + j]).sum();
            let mut potential = wires.sense_ohm * carried;
            for i in (0..m).rev() {
                potential += wires.bit_ohm * carried;
                carried -= currents[i * n + j];
                left[i * n + j] -= potential;
            }
        }
        // Not a number is the worst error, and stays it.
        let errors = left.iter().zip(&dv).map(|(left, v)| (left - v).abs());
        let error = errors.fold(0.0f64, |top, error| if top.is_nan() || error <= top { top } else { error });
        if error <= tolerance * largest {
            return Ok(Settled { voltages: dv, currents });
        }
        if error > before || !error.is_finite() {
            rate *= 0.5;
        }
        if error <= 10.0 * before {
            (before, last) = (error, (dv.clone(), left.clone()));
        }
        dv = last.0.iter().zip(&last.1).map(|(v, left)| v + rate * (left - v)).collect();
    }
    Err(Error::Mismatch(format!(
        "the lines' voltages did not settle in {ROUNDS} rounds; expected less resistance, or linear cells and the \
         exact method"
    )))
}
