//! `crosspike tile`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::said::Said;
use crate::announced;
use crate::crossbar::relaxation::Conduction;
use crate::crossbar::tile::{Solver, TOLERANCE, expected_conductance, fault, is_conductance, solve};
use crate::error::{Error, Result};
use crate::profile::Wires;

/// Solve one tile with resistive lines: the currents of its bit lines.
#[derive(clap::Args)]
#[command(after_help = "\
Word lines are driven at the left through one segment, bit lines grounded at the bottom through one; a segment
of 0 ohm is ideal. Prints the bit lines' currents in ampere as CSV, a row for each row of voltages, with 12
significant digits.

Example:
  crosspike tile --conductances G.csv --voltages V.csv --word-ohm 2 --bit-ohm 3
  crosspike tile ... --method iterative --sinh-volt 0.25        # non-linear cells")]
pub struct Args {
    /// CSV of the cells' conductances in siemens, a row for each word line, a column for each bit line.
    #[arg(long, value_name = "G.csv")]
    conductances: PathBuf,
    /// CSV of the word lines' voltages in volt, a row for each set of inputs, a column for each word line.
    #[arg(long, value_name = "V.csv")]
    voltages: PathBuf,
    /// Resistance of a segment of a word line, in ohm.
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    word_ohm: f64,
    /// Resistance of a segment of a bit line, in ohm.
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    bit_ohm: f64,
    /// Resistance of a word line's driver, in ohm.
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    driver_ohm: f64,
    /// Resistance of a bit line's sense node, in ohm.
    #[arg(long, value_name = "R", default_value_t = 0.0)]
    sense_ohm: f64,
    /// How it is solved.
    #[arg(long, default_value = "exact")]
    method: SolveMethod,
    /// The largest change of a cell's voltage in the iterative method's last round, relative to the largest input;
    /// absent: 1e-6.
    #[arg(long, value_name = "T")]
    tolerance: Option<f64>,
    /// Cells of the iterative method carry G·V0·sinh(V/V0), V0 in volt; absent: G·V.
    #[arg(long, value_name = "V0")]
    sinh_volt: Option<f64>,
}

/// How a tile is solved.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SolveMethod {
    /// By elimination.
    Exact,
    /// Cell voltages are corrected until they settle.
    Iterative,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let Args { word_ohm, bit_ohm, driver_ohm, sense_ohm, .. } = *args;
    let wires = Wires { word_ohm, bit_ohm, driver_ohm, sense_ohm };
    let conduction = args.sinh_volt.map_or(Conduction::Linear, Conduction::Sinh);
    let solver = match args.method {
        SolveMethod::Iterative => Solver::Iterative { conduction, tolerance: args.tolerance.unwrap_or(TOLERANCE) },
        SolveMethod::Exact if args.sinh_volt.is_some() => {
            return Err(Error::Usage(
                "--sinh-volt: the exact method is of linear cells; expected --method iterative".into(),
            ));
        }
        SolveMethod::Exact if args.tolerance.is_some() => {
            return Err(Error::Usage("--tolerance: the exact method has none; expected --method iterative".into()));
        }
        SolveMethod::Exact => Solver::Exact,
    };
    if let Some((name, message)) = fault(wires, solver) {
        return Err(Error::Usage(format!("--{} {message}", name.replace('_', "-"))));
    }
    let (conductances, n) = read(&args.conductances, &expected_conductance(), is_conductance)?;
    let (voltages, inputs) = read(&args.voltages, "a finite voltage", f64::is_finite)?;
    let m = conductances.len() / n;
    if inputs != m {
        let message = format!("{inputs} voltages a row, and the tile has {m} word lines; expected one for each");
        return Err(Error::file(&args.voltages, message));
    }
    let rows = solve(&conductances, n, &voltages, wires, solver).map_err(|error| match error {
        Error::Mismatch(message) if message.starts_with("row ") => Error::file(&args.voltages, message),
        other => other,
    })?;
    let row = |currents: &Vec<f64>| {
        let cells: Vec<String> = currents.iter().map(|current| format!("{current:.11e}")).collect();
        cells.join(",")
    };
    let text: Vec<String> = rows.iter().map(row).collect();
    Ok(Said::new(text.join("\n"), json!({ "bit_line_amperes": rows })))
}

/// The numbers of a CSV file without header, which are all what is expected, and how many a row has.
fn read(path: &Path, expected: &str, is_expected: impl Fn(f64) -> bool) -> Result<(Vec<f64>, usize)> {
    announced::reading(path)?;
    let refuse = |line: usize, what: String| Err(Error::file(path, format!("line {line}: {what}")));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|e| Error::file(path, e.to_string()))?;
    let (mut numbers, mut width) = (Vec::new(), 0);
    for row in reader.records() {
        let row = row.map_err(|e| Error::file(path, e.to_string()))?;
        let line = row.position().map_or(0, |position| position.line() as usize);
        width = row.len();
        for cell in &row {
            match cell.parse::<f64>() {
                Ok(number) if is_expected(number) => numbers.push(number),
                _ => return refuse(line, format!("`{cell}`, expected {expected}")),
            }
        }
    }
    if numbers.is_empty() { refuse(1, "no numbers".into()) } else { Ok((numbers, width)) }
}
