//! Measured devices: a CSV file of reads.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::announced;
use crate::error::{Error, Result};

/// A read of a device.
///
/// # Examples
/// ```
/// let read = crosspike::Measurement { target_us: 20.0, read_us: 18.7, time_s: 1.0, device: 0 };
/// assert!((read.read_us / read.target_us - 0.935).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// The conductance that was asked for, in microsiemens.
    pub target_us: f64,
    /// The conductance that was read, in microsiemens.
    pub read_us: f64,
    /// Seconds since programming; 0 where no time is known.
    pub time_s: f64,
    /// The device's number; reads of no named device are of one each.
    pub device: usize,
}

/// Reads of devices.
///
/// # Examples
/// ```
/// use crosspike::{Measured, Measurement};
///
/// let read = |i: usize| Measurement { target_us: 20.0, read_us: 18.0 + i as f64 * 0.5, time_s: 0.0, device: i };
/// let measured = Measured::of("one level", (0..8).map(read).collect(), false)?;
/// assert_eq!(measured.targets(), [20.0]);
/// assert!(Measured::of("too few", vec![read(0)], false).is_err());
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Where they come from.
    pub source: String,
    /// The reads.
    pub reads: Vec<Measurement>,
    /// Whether devices are named, so that reads of one can be told from those of others.
    pub named: bool,
}

/// Columns that a file may have.
const COLUMNS: [&str; 4] = ["target_us", "read_us", "time_s", "device"];

impl Measured {
    /// Reads a CSV file with a head of column names: `target_us`, `read_us`, and where they are known `time_s` and
    /// `device`.
    ///
    /// # Errors
    /// Where a column is missing or has no meaning, or a value is no number of its kind: with file, line, column and
    /// value.
    pub fn read(file: &Path) -> Result<Self> {
        announced::reading(file)?;
        let failed = |what: String| Error::file(file, what);
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_path(file);
        let reader = reader.as_mut().map_err(|e| failed(e.to_string()))?;
        let head = reader.headers().map_err(|e| failed(e.to_string()))?.clone();
        if let Some(other) = head.iter().find(|name| !COLUMNS.contains(name)) {
            let more = if *other == *"temperature_c" {
                "; devices at several temperatures are fitted one temperature at a time"
            } else {
                ""
            };
            return Err(failed(format!(
                "line 1: the column `{other}` has no meaning; expected {}{more}",
                COLUMNS.join(", ")
            )));
        }
        let column = |name: &str| head.iter().position(|column| column == name);
        let [Some(target), Some(read)] = [column("target_us"), column("read_us")] else {
            let found = head.iter().collect::<Vec<_>>().join(", ");
            return Err(failed(format!("line 1: expected the columns target_us and read_us; found {found}")));
        };
        let (time, device) = (column("time_s"), column("device"));
        let (mut reads, mut names) = (vec![], HashMap::new());
        for record in reader.records() {
            let record = record.map_err(|e| failed(e.to_string()))?;
            let line = record.position().map_or(0, csv::Position::line);
            let number = |column: usize, unit: &str| match record[column].parse::<f64>() {
                Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
                _ => Err(failed(format!(
                    "line {line}: {} is `{}`, expected a finite number of {unit}, 0 or more",
                    &head[column], &record[column]
                ))),
            };
            if device.is_some_and(|device| record[device].is_empty()) {
                return Err(failed(format!("line {line}: device is empty; expected a name")));
            }
            let count = names.len();
            reads.push(Measurement {
                target_us: number(target, "microsiemens")?,
                read_us: number(read, "microsiemens")?,
                time_s: time.map_or(Ok(0.0), |time| number(time, "seconds"))?,
                device: match device {
                    Some(device) => *names.entry(record[device].to_owned()).or_insert(count),
                    None => reads.len(),
                },
            });
        }
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        Measured::of(&name, reads, device.is_some()).map_err(|error| failed(error.to_string()))
    }

    /// Reads as they are given; an error where they are too few, or of devices that nobody can follow.
    pub fn of(source: &str, reads: Vec<Measurement>, named: bool) -> Result<Self> {
        let refuse = |what: String| Err(Error::Mismatch(what));
        if reads.len() < 8 {
            return refuse(format!("{} reads are too few to fit anything to; expected at least 8", reads.len()));
        }
        if reads.iter().all(|read| read.read_us == read.target_us) {
            return refuse(
                "every read is its target; expected what was read of devices, not what was asked for".into(),
            );
        }
        if let Some(read) = reads.iter().find(|read| !(read.time_s.is_finite() && read.time_s >= 0.0)) {
            return refuse(format!("a read at {} s; expected seconds since programming, 0 or more", read.time_s));
        }
        let times = reads.iter().map(|read| read.time_s);
        if !named && times.clone().any(|time| time != reads[0].time_s) {
            return refuse("reads are of several times, and no column `device` says of which device".into());
        }
        let mut targets: Vec<Option<f64>> = vec![];
        for read in &reads {
            targets.resize(targets.len().max(read.device + 1), None);
            if *targets[read.device].get_or_insert(read.target_us) != read.target_us {
                return refuse(format!(
                    "a device has the targets {} and {} µS; expected one, and another name for a device that is \
                     programmed anew",
                    targets[read.device].unwrap_or_default(),
                    read.target_us
                ));
            }
        }
        Ok(Measured { source: source.to_owned(), reads, named })
    }

    /// The distinct targets, rising.
    pub fn targets(&self) -> Vec<f64> {
        let mut targets: Vec<f64> = self.reads.iter().map(|read| read.target_us).collect();
        targets.sort_by(f64::total_cmp);
        targets.dedup();
        targets
    }

    /// The reads of each device at each time, device by device, times rising.
    pub(super) fn readings(&self) -> Vec<Reading> {
        let mut readings: BTreeMap<(usize, u64), Reading> = BTreeMap::new();
        for &Measurement { target_us, read_us, time_s, device } in &self.reads {
            // Times are not below 0, so their bits are in their order; −0 is 0.
            let time_s = time_s + 0.0;
            let reading = readings.entry((device, time_s.to_bits()));
            reading.or_insert(Reading { device, target_us, time_s, reads_us: vec![] }).reads_us.push(read_us);
        }
        readings.into_values().collect()
    }
}

/// Reads of one device at one time.
#[derive(Debug)]
pub(super) struct Reading {
    /// The device's number.
    pub device: usize,
    /// The conductance that was asked for, in microsiemens.
    pub target_us: f64,
    /// Seconds since programming.
    pub time_s: f64,
    /// The conductances that were read, in microsiemens.
    pub reads_us: Vec<f64>,
}

impl Reading {
    /// The mean of the reads, in microsiemens.
    pub fn mean_us(&self) -> f64 {
        self.reads_us.iter().sum::<f64>() / self.reads_us.len() as f64
    }
}
