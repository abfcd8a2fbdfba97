//! The Heidelberg data sets of spikes, SHD and SSC (Cramer et al., IEEE TNNLS 33, 2744, 2022): spoken words as spikes
//! of the 700 channels of a cochlea's model, in HDF5: `spikes/times` (seconds) and `spikes/units`, rows of their own
//! length each, and `labels`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder, File, ReadSeekSource, Source};

use super::super::Split;
use super::super::files::Files;
use super::super::npy::NpyElement;
use super::Recordings;
use super::binning::Event;
use crate::announced;
use crate::error::{Error, Result};
use crate::hdf5::{check_extent, guarded};

/// Channels of the cochlea.
pub(super) const CHANNELS: usize = 700;
/// Rows that are read at a time.
const BLOCK: usize = 64;
/// The most spikes of a word; SSC's longest has some 50,000.
const MOST_SPIKES: usize = 1 << 24;
/// The most words of a file; SSC has some 75,000.
const MOST_WORDS: u64 = 1 << 24;
/// The largest block of a file in which rows lie, in bytes.
const LARGEST_HEAP: u64 = 256 << 20;

/// A file that is open.
pub(super) struct OpenRecordings {
    files: Files,
    path: PathBuf,
    /// The class of each word.
    labels: Vec<u32>,
    opened: Mutex<Opened>,
}

struct Opened {
    times: RaggedRows,
    units: RaggedRows,
    /// The file once more, for its heaps.
    heaps: ReadSeekSource<fs::File>,
}

impl OpenRecordings {
    /// Opens the file of a half, `shd_train.h5` for `shd`; none of its labels may be `classes` or above.
    pub fn open(files: Files, set: &str, split: Split, classes: usize) -> Result<Self> {
        let half = if split == Split::Train { "train" } else { "test" };
        let path = files.path().join(format!("{set}_{half}.h5"));
        announced::reading(&path)?;
        let source = || ReadSeekSource::new(fs::File::open(&path).map_err(Error::io(&path))?).map_err(damaged(&path));
        let (source, heaps) = (source()?, source()?);
        let length = heaps.len();
        let (opened, labels) = guarded(&path, || {
            let file = File::from_source(source).map_err(|e| format!("no HDF5 file: {e}"))?;
            let dataset = |name: &str| {
                let dataset = file.dataset(name).map_err(|e| format!("`{name}`: {e}"))?;
                check_extent(&dataset, length).map_err(|e| format!("`{name}`: {e}"))?;
                Ok::<_, String>(dataset)
            };
            let labels = dataset("labels")?;
            let count = row_count(&labels).map_err(|e| format!("`labels`: {e}"))?;
            let labels = labels.read_i64().map_err(|e| format!("`labels`: {e}"))?;
            let rows = |name: &str| RaggedRows::of(dataset(name)?, count).map_err(|e| format!("`{name}`: {e}"));
            Ok((Opened { times: rows("spikes/times")?, units: rows("spikes/units")?, heaps }, labels))
        })?;
        let is_class = |label: &i64| (0..classes as i64).contains(label);
        if let Some(at) = labels.iter().position(|label| !is_class(label)) {
            let message = format!("`labels`: word {at} has {}; the classes are 0 to {}", labels[at], classes - 1);
            return Err(Error::file(&path, message));
        }
        let labels = labels.into_iter().map(|label| label as u32).collect();
        Ok(OpenRecordings { files, path, labels, opened: Mutex::new(opened) })
    }
}

impl Recordings for OpenRecordings {
    fn files(&self) -> &Files {
        &self.files
    }

    fn sources(&self) -> Vec<String> {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).into_iter().collect()
    }

    fn labels(&self) -> Vec<Vec<u32>> {
        self.labels.chunks(BLOCK).map(<[u32]>::to_vec).collect()
    }

    fn refuse(&self, block: usize, word: usize, message: String) -> Error {
        Error::file(&self.path, format!("word {}: {message}", block * BLOCK + word))
    }

    fn events(&self, block: usize) -> Result<Vec<Vec<Event>>> {
        let first = block * BLOCK;
        let count = BLOCK.min(self.labels.len() - first);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        guarded(&self.path, || {
            let Opened { times, units, heaps } = &mut *opened;
            let times = times.read(heaps, first, count).map_err(|e| format!("`spikes/times`: {e}"))?;
            let units = units.read(heaps, first, count).map_err(|e| format!("`spikes/units`: {e}"))?;
            times
                .into_iter()
                .zip(units)
                .enumerate()
                .map(|(at, (times, units))| word(first + at, &times, &units))
                .collect()
        })
    }
}

/// The events of a word.
fn word(at: usize, times: &[f64], units: &[f64]) -> std::result::Result<Vec<Event>, String> {
    if times.len() != units.len() {
        return Err(format!("word {at} has {} times and {} units", times.len(), units.len()));
    }
    let event = |(&seconds, &unit): (&f64, &f64)| {
        let time = seconds * 1e6;
        let is_there = time.is_finite()
            && time.abs() < (1u64 << 53) as f64
            && (0.0..65536.0).contains(&unit)
            && unit.fract() == 0.0;
        if !is_there {
            return Err(format!("word {at} has a spike of unit {unit} at {seconds} s"));
        }
        // Times are cut to whole microseconds, towards zero, as tonic has them.
        Ok(Event { time_us: time as i64, x: unit as u16, y: 0, polarity: 0 })
    };
    times.iter().zip(units).map(event).collect()
}

/// An error about a file, of a reader's.
fn damaged<E: ToString>(path: &Path) -> impl FnOnce(E) -> Error {
    move |error| Error::file(path, error.to_string())
}

/// Number of rows of a data set in one dimension.
fn row_count(dataset: &Dataset) -> std::result::Result<u64, String> {
    match dataset.shape().map_err(|e| e.to_string())?[..] {
        [count] if count <= MOST_WORDS => Ok(count),
        ref shape => Err(format!("the shape is {shape:?}; expected one dimension")),
    }
}

/// Rows of numbers, each of its own length: a data set of places in the file's heaps.
struct RaggedRows {
    dataset: Dataset,
    element: NpyElement,
    /// The heap that was read last: where it lies, and its objects.
    heap: (u64, HashMap<u32, Vec<u8>>),
}

/// Where a row lies: its length, the address of its heap, and its number in it. Of a file with addresses of 8 bytes.
const REFERENCE: usize = 16;

impl RaggedRows {
    fn of(dataset: Dataset, expected: u64) -> std::result::Result<Self, String> {
        let count = row_count(&dataset)?;
        if count != expected {
            return Err(format!("{count} rows for {expected} labels"));
        }
        let datatype = dataset.datatype().map_err(|e| e.to_string())?;
        let Datatype::VariableLength { is_string: false, base_type, .. } = datatype else {
            return Err(format!("{datatype:?}; expected rows of their own length"));
        };
        if dataset.element_size().map_err(|e| e.to_string())? != REFERENCE as u64 {
            return Err("expected a file with addresses of 8 bytes".into());
        }
        let (kind, size, order) = match *base_type {
            Datatype::FloatingPoint { size, byte_order, .. } => ('f', size, byte_order),
            Datatype::FixedPoint { size, byte_order, .. } => ('u', size, byte_order),
            ref other => return Err(format!("rows of {other:?}; expected numbers")),
        };
        let order = if order == DatatypeByteOrder::BigEndian { '>' } else { '<' };
        let element = NpyElement::of(&format!("{order}{kind}{size}"));
        let element = element.ok_or_else(|| format!("rows of numbers of {size} bytes"))?;
        Ok(RaggedRows { dataset, element, heap: (u64::MAX, HashMap::new()) })
    }

    /// Rows from one on.
    fn read(&mut self, heaps: &impl Source, first: usize, count: usize) -> std::result::Result<Vec<Vec<f64>>, String> {
        let references = self.dataset.read_raw_rows(first as u64, count as u64).map_err(|e| e.to_string())?;
        let (references, _) = references.as_chunks::<REFERENCE>();
        if references.len() != count {
            return Err(format!("{} places for {count} rows", references.len()));
        }
        references.iter().enumerate().map(|(at, place)| self.row(heaps, first + at, place)).collect()
    }

    fn row(
        &mut self,
        heaps: &impl Source,
        at: usize,
        place: &[u8; REFERENCE],
    ) -> std::result::Result<Vec<f64>, String> {
        let word = |from: usize| u32::from_le_bytes(place[from..from + 4].try_into().expect("four bytes"));
        let (length, object) = (word(0) as usize, word(12));
        let address = u64::from_le_bytes(place[4..12].try_into().expect("eight bytes"));
        if length == 0 {
            return Ok(vec![]);
        }
        if length > MOST_SPIKES {
            return Err(format!("row {at} has {length} numbers; expected at most {MOST_SPIKES}"));
        }
        if self.heap.0 != address {
            self.heap = (address, heap(heaps, address).map_err(|e| format!("row {at}: {e}"))?);
        }
        let bytes = self.heap.1.get(&object).and_then(|bytes| bytes.get(..length * self.element.size));
        let bytes = bytes.ok_or_else(|| format!("row {at} is not where the file says"))?;
        Ok(bytes.chunks_exact(self.element.size).map(|bytes| self.element.value(bytes)).collect())
    }
}

/// The objects of a global heap by their number: `GCOL`, a version, its size; then each object's number, references,
/// size and bytes, in steps of 8 bytes (HDF5 File Format Specification 3.0, III.E).
fn heap(heaps: &impl Source, address: u64) -> std::result::Result<HashMap<u32, Vec<u8>>, String> {
    let read = |length: u64| heaps.read_exact_at(address, length as usize).map_err(|e| e.to_string());
    let head = read(16)?;
    let long = |bytes: &[u8]| u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    let size = long(&head[8..]);
    if !head.starts_with(b"GCOL\x01") || !(16..=LARGEST_HEAP).contains(&size) {
        return Err(format!("no heap at byte {address}"));
    }
    let bytes = read(size)?;
    let mut objects = HashMap::new();
    let mut rest = &bytes[16..];
    while let Some((head, behind)) = rest.split_at_checked(16) {
        let (object, length) = (u16::from_le_bytes([head[0], head[1]]), long(&head[8..]));
        // Object 0 is the room that is left.
        if object == 0 {
            break;
        }
        let padded = length.checked_next_multiple_of(8).filter(|padded| *padded <= behind.len() as u64);
        let padded = padded.ok_or_else(|| format!("object {object} of the heap at byte {address} ends behind it"))?;
        objects.insert(u32::from(object), behind[..length as usize].to_vec());
        rest = &behind[padded as usize..];
    }
    Ok(objects)
}
