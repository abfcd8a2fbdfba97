//! `crosspike tile`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::said::Said;
use crate::announced;
use crate::crossbar::nodal::{LEAST_OHM, MOST_SIEMENS, transfer};
use crate::crossbar::relaxation::{Conduction, iterate};
use crate::error::{Error, Result};
use crate::profile::Wires;

/// Solve one tile with resistive lines: the currents of its bit lines.
#[derive(clap::Args)]
#[command(after_help = "\
Word lines are driven at the left through one segment, bit lines grounded at the bottom through one; a segment of 0 ohm is
ideal. Prints the bit lines' currents in ampere as CSV, a row for each row of voltages, with 12 significant digits.

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
    #[arg(long, value_name = "R")]
    word_ohm: f64,
    /// Resistance of a segment of a bit line, in ohm.
    #[arg(long, value_name = "R")]
    bit_ohm: f64,
    /// How it is solved.
    #[arg(long, default_value = "exact")]
    method: Method,
    /// Of the iterative method: the largest change of a cell's voltage in its last round, relative to the largest input.
    #[arg(long, value_name = "T", default_value_t = 1e-6)]
    tolerance: f64,
    /// Of the iterative method: cells carry G·V0·sinh(V/V0), V0 in volt; absent: G·V.
    #[arg(long, value_name = "V0")]
    sinh_volt: Option<f64>,
}

/// How a tile is solved.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Method {
    /// By elimination.
    Exact,
    /// Cell voltages are corrected until they settle.
    Iterative,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let wires = Wires { word_ohm: args.word_ohm, bit_ohm: args.bit_ohm };
    for (option, value) in [("--word-ohm", wires.word_ohm), ("--bit-ohm", wires.bit_ohm)] {
        if !(value == 0.0 || (value.is_finite() && value >= LEAST_OHM)) {
            let message = format!("{option} {value:e}: expected a resistance of 0 or at least {LEAST_OHM:e} ohm");
            return Err(Error::Usage(message));
        }
    }
    if !(args.tolerance > 0.0 && args.tolerance < 1.0) {
        return Err(Error::Usage(format!("--tolerance {}: expected a number between 0 and 1", args.tolerance)));
    }
    let conduction = match (args.sinh_volt, args.method) {
        (None, _) => Conduction::Linear,
        (Some(_), Method::Exact) => {
            return Err(Error::Usage(
                "--sinh-volt: the exact method is of linear cells; expected --method iterative".into(),
            ));
        }
        (Some(volt), _) if volt.is_finite() && volt > 0.0 => Conduction::Sinh(volt),
        (Some(volt), _) => return Err(Error::Usage(format!("--sinh-volt {volt}: expected a voltage above 0"))),
    };
    let siemens = format!("a conductance of 0 to {MOST_SIEMENS:e} siemens");
    let (conductances, n) = read(&args.conductances, &siemens, |g| (0.0..=MOST_SIEMENS).contains(&g))?;
    let (voltages, inputs) = read(&args.voltages, "a finite voltage", f64::is_finite)?;
    let m = conductances.len() / n;
    if inputs != m {
        let message = format!("{inputs} voltages a row, and the tile has {m} word lines; expected one for each");
        return Err(Error::file(&args.voltages, message));
    }
    let solved = match args.method {
        Method::Exact => transfer(&conductances, n, wires)?,
        Method::Iterative => Vec::new(),
    };
    let (mut text, mut rows) = (vec![], vec![]);
    for (number, voltages) in (1..).zip(voltages.chunks(m)) {
        let currents = match args.method {
            Method::Exact => (0..n)
                .map(|j| voltages.iter().enumerate().map(|(i, v)| v * solved[i * n + j]).sum())
                .collect::<Vec<f64>>(),
            Method::Iterative => iterate(&conductances, voltages, wires, conduction, args.tolerance)?,
        };
        if let Some(current) = currents.iter().find(|current| !current.is_finite()) {
            let message = format!("row {number} of the voltages drives a current of {current} A; expected less");
            return Err(Error::file(&args.voltages, message));
        }
        let row: Vec<String> = currents.iter().map(|current| format!("{current:.11e}")).collect();
        text.push(row.join(","));
        rows.push(currents);
    }
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
