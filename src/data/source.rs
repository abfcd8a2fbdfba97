//! Where the values of a data set are kept: bytes of fixed-size records in memory or on disk, normalised as they are
//! read, or finished floats in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::announced;
use crate::error::{Error, Result};
use crate::monitor::{ReadingProgress, stop_if_asked};
use crate::numeric::{Range, Shape};

/// Bytes of the records that are made between two that are stored in their order.
const AT_ONCE: usize = 64 << 20;

/// What the reader of a format delivers.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// One image or frame.
    pub shape: Shape,
    /// Time steps of a frame series.
    pub frame_steps: Option<usize>,
    /// Number of classes.
    pub classes: usize,
    /// The classes' names, where the set has some.
    pub class_names: Option<Vec<String>>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// All images, in the order of the labels.
    pub values: Arc<ImageValues>,
    /// What values they have.
    pub range: Range,
    /// What the user should know of them.
    pub notices: Vec<String>,
}

impl Contents {
    /// The contents of frame series of counts.
    pub fn counts(
        shape: Shape,
        steps: usize,
        (classes, class_names): (usize, Option<Vec<String>>),
        labels: Vec<u32>,
        records: Records,
        notices: Vec<String>,
    ) -> Result<Self> {
        let mut greatest = 0;
        records.each(0..labels.len(), |record| greatest = counts(record).fold(greatest, u16::max))?;
        let values = ImageValues::Counts(records, greatest);
        Ok(Contents {
            shape,
            frame_steps: Some(steps),
            classes,
            class_names,
            labels,
            range: values.range(),
            values: values.into(),
            notices,
        })
    }
}

/// The values of all images.
#[derive(Debug)]
pub(super) enum ImageValues {
    /// Raw bytes, with the table that normalises them.
    Bytes(Records, Normalisation),
    /// Counts of two bytes each, the lower one first, up to the greatest.
    Counts(Records, u16),
    /// Finished values; and those of black and white pixels, per channel, where they are known.
    Floats(Vec<f32>, Option<Vec<[f32; 2]>>),
}

impl ImageValues {
    /// Writes the values of one image.
    pub fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        match self {
            ImageValues::Bytes(records, normalisation) => normalisation.apply(&records.read(index)?, out),
            ImageValues::Counts(records, _) => {
                let record = records.read(index)?;
                out.iter_mut().zip(counts(&record)).for_each(|(value, count)| *value = f32::from(count));
            }
            ImageValues::Floats(values, _) => out.copy_from_slice(&values[index * out.len()..][..out.len()]),
        }
        Ok(())
    }

    /// What values there are, or can be.
    pub fn range(&self) -> Range {
        match self {
            ImageValues::Bytes(_, normalisation) => normalisation.range(),
            ImageValues::Counts(_, greatest) => Range { least: 0.0, greatest: f32::from(*greatest), whole: true },
            ImageValues::Floats(values, _) => Range::of(values.iter().copied()),
        }
    }

    /// The value of a black pixel: of raw 0, or 0 where the normalisation is not known.
    pub fn black(&self, channel: usize) -> f32 {
        match self {
            ImageValues::Bytes(_, normalisation) => normalisation.tables[channel][0],
            ImageValues::Counts(..) => 0.0,
            ImageValues::Floats(_, ends) => ends.as_ref().map_or(0.0, |ends| ends[channel][0]),
        }
    }

    /// The values of black and white pixels, per channel, where the normalisation is known.
    pub fn pixel_range(&self) -> Option<Vec<[f32; 2]>> {
        match self {
            ImageValues::Bytes(_, Normalisation { tables, full }) => {
                Some(tables.iter().map(|table| [table[0], table[usize::from(*full)]]).collect())
            }
            ImageValues::Counts(..) => None,
            ImageValues::Floats(_, ends) => ends.clone(),
        }
    }

    /// Hashes some images of `len` values.
    pub fn hash(&self, images: std::ops::Range<usize>, len: usize, hash: &mut Sha256) -> Result<()> {
        match self {
            ImageValues::Bytes(records, normalisation) => {
                for value in normalisation.tables.iter().flatten() {
                    hash.update(value.to_le_bytes());
                }
                records.each(images, |record| hash.update(record))?;
            }
            ImageValues::Counts(records, _) => {
                // Counts hash as the numbers that they are read as.
                let numbers =
                    |record: &[u8]| counts(record).flat_map(|count| f32::from(count).to_le_bytes()).collect::<Vec<_>>();
                records.each(images, |record| hash.update(numbers(record)))?;
            }
            ImageValues::Floats(values, _) => {
                for value in &values[images.start * len..images.end * len] {
                    hash.update(value.to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

/// How often each byte occurs, channel by channel.
#[derive(Clone, Debug)]
pub(super) struct Histograms(Vec<[u64; 256]>);

impl Histograms {
    /// Histograms that hold nothing yet.
    pub fn new(channels: usize) -> Self {
        Histograms(vec![[0; 256]; channels])
    }

    /// The histograms of records that are made one by one, and not kept.
    pub fn of(channels: usize, count: usize, make: impl Fn(usize) -> Result<Vec<u8>> + Sync) -> Result<Self> {
        let empty = || Histograms::new(channels);
        let add = |mut histograms: Histograms, at: usize| {
            stop_if_asked();
            histograms.add(&make(at)?);
            Ok(histograms)
        };
        (0..count).into_par_iter().try_fold(empty, add).try_reduce(empty, |a, b| Ok(a.with(&b)))
    }

    fn add(&mut self, record: &[u8]) {
        let plane = record.len() / self.0.len();
        for (plane, counts) in record.chunks_exact(plane).zip(&mut self.0) {
            plane.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        }
    }

    fn with(mut self, other: &Self) -> Self {
        self.0.iter_mut().flatten().zip(other.0.iter().flatten()).for_each(|(sum, more)| *sum += more);
        self
    }

    /// Mean and standard deviation of each channel, of pixels from 0 to 1; a deviation is 0 where all pixels are alike,
    /// and only there.
    pub fn statistics(&self) -> [Vec<f32>; 2] {
        let sum = |counts: &[u64; 256], power: u32| -> u128 {
            counts.iter().zip(0u128..).map(|(&count, byte)| u128::from(count) * byte.pow(power)).sum()
        };
        let of = |counts: &[u64; 256]| {
            let [n, first, second] = [0, 1, 2].map(|power| sum(counts, power));
            let mean = first as f64 / n as f64 / 255.0;
            (mean as f32, ((n * second - first * first) as f64).sqrt() / n as f64 / 255.0)
        };
        let both = self.0.iter().map(of);
        let (mean, spread): (Vec<f32>, Vec<f64>) = both.unzip();
        [mean, spread.into_iter().map(|spread| spread as f32).collect()]
    }
}

/// The counts of a record.
fn counts(record: &[u8]) -> impl Iterator<Item = u16> {
    record.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes))
}

/// How bytes become values.
#[derive(Debug)]
pub(super) struct Normalisation {
    /// The normalised value of each byte, a table per channel.
    tables: Vec<[f32; 256]>,
    /// The byte of a white pixel.
    full: u8,
}

impl Normalisation {
    /// `(byte / full − mean) / std`, rounded to f32 after each operation as PyTorch does.
    pub fn new(full: u8, mean: &[f32], std: &[f32]) -> Self {
        let table =
            |(mean, std): (&f32, &f32)| std::array::from_fn(|byte| (byte as f32 / f32::from(full) - mean) / std);
        Normalisation { tables: mean.iter().zip(std).map(table).collect(), full }
    }

    /// What values there can be.
    fn range(&self) -> Range {
        Range::of(self.tables.iter().flat_map(|table| table[..=usize::from(self.full)].iter().copied()))
    }

    fn apply(&self, raw: &[u8], out: &mut [f32]) {
        let plane = out.len() / self.tables.len();
        for ((raw, out), table) in raw.chunks_exact(plane).zip(out.chunks_exact_mut(plane)).zip(&self.tables) {
            for (value, &byte) in out.iter_mut().zip(raw) {
                *value = table[usize::from(byte)];
            }
        }
    }
}

/// Records of equal size, one an image, over one or several files.
#[derive(Debug)]
pub(super) struct Records(pub Vec<FileRecords>);

impl Records {
    /// Makes records of `len` bytes, many at a time: up to `memory_limit` bytes in memory, more of them in a nameless
    /// file that goes with the process. `make` makes as many as each of `counts` says; `place` is where they come from.
    pub fn gather(
        place: &Path,
        counts: &[usize],
        len: usize,
        memory_limit: u64,
        make: impl Fn(usize) -> Result<Vec<Vec<u8>>> + Sync,
    ) -> Result<Records> {
        let count: usize = counts.iter().sum();
        let size = count as u64 * len as u64;
        let mut body = Body::scratch(place, size, size > memory_limit)?;
        let reading = ReadingProgress::of(format!("reading {}", place.display()), count as u64);
        let most = counts.iter().max().map_or(1, |most| (*most).max(1));
        let at_once = (AT_ONCE / (len * most).max(1)).clamp(rayon::current_num_threads(), 4096);
        for start in (0..counts.len()).step_by(at_once) {
            let made: Vec<Vec<Vec<u8>>> = (start..counts.len().min(start + at_once))
                .into_par_iter()
                .map(|at| {
                    stop_if_asked();
                    make(at).inspect(|records| {
                        let is_whole = records.iter().all(|record| record.len() == len);
                        assert!(records.len() == counts[at] && is_whole, "records made at {at}");
                        records.iter().for_each(|_| reading.advance());
                    })
                })
                .collect::<Result<_>>()?;
            made.iter().flatten().try_for_each(|record| body.append(record))?;
        }
        Ok(Records(vec![FileRecords { body, start: 0, stride: len as u64, pixels: len, count }]))
    }

    /// How often each byte occurs in each channel.
    pub fn histograms(&self, channels: usize) -> Result<Histograms> {
        let mut histograms = Histograms::new(channels);
        let all = self.0.iter().map(|part| part.count).sum();
        self.each(0..all, |record| histograms.add(record))?;
        Ok(histograms)
    }

    /// The records that a file begins with.
    pub fn of_file(path: &Path, count: usize, len: usize, memory_limit: u64) -> Result<Records> {
        let body = Body::open(path, memory_limit)?;
        Ok(Records(vec![FileRecords { body, start: 0, stride: len as u64, pixels: len, count }]))
    }

    /// Shows some records.
    pub fn each(&self, records: std::ops::Range<usize>, mut show: impl FnMut(&[u8])) -> Result<()> {
        for index in records {
            stop_if_asked();
            show(&self.read(index)?);
        }
        Ok(())
    }

    /// The bytes of one image.
    pub fn read(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let mut index = index;
        for part in &self.0 {
            if index < part.count {
                return part.read(index);
            }
            index -= part.count;
        }
        panic!("{index} images beyond the last record");
    }
}

/// The records of one file.
#[derive(Debug)]
pub(super) struct FileRecords {
    /// The file.
    pub body: Body,
    /// Where the first image begins.
    pub start: u64,
    /// Bytes from one image to the next.
    pub stride: u64,
    /// Bytes of one image.
    pub pixels: usize,
    /// Number of images.
    pub count: usize,
}

impl FileRecords {
    /// The bytes of one image.
    pub fn read(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        self.body.bytes(self.start + index as u64 * self.stride, self.pixels)
    }
}

/// The bytes of one file, loaded or not.
#[derive(Debug)]
pub(super) struct Body {
    path: PathBuf,
    size: u64,
    storage: Storage,
}

#[derive(Debug)]
enum Storage {
    Memory(Vec<u8>),
    Disk(Mutex<File>),
}

impl Body {
    /// Bytes in memory; `path` says where they came from.
    pub fn from_memory(path: &Path, bytes: Vec<u8>) -> Body {
        Body { path: path.to_path_buf(), size: bytes.len() as u64, storage: Storage::Memory(bytes) }
    }

    /// Loads a file of up to `memory_limit` bytes; leaves a larger one on disk.
    pub fn open(path: &Path, memory_limit: u64) -> Result<Body> {
        announced::reading(path)?;
        let file = File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        if size > memory_limit {
            return Ok(Body { path: path.to_path_buf(), size, storage: Storage::Disk(Mutex::new(file)) });
        }
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes).map_err(Error::io(path))?;
        Ok(Self::from_memory(path, bytes))
    }

    /// Room for `size` bytes that are made from what is at `path`: in memory, or on disk in a nameless file.
    fn scratch(path: &Path, size: u64, on_disk: bool) -> Result<Body> {
        let storage = match on_disk {
            true => Storage::Disk(Mutex::new(tempfile::tempfile().map_err(Error::io(std::env::temp_dir()))?)),
            false => Storage::Memory(Vec::with_capacity(size as usize)),
        };
        Ok(Body { path: path.to_path_buf(), size, storage })
    }

    /// Adds bytes at the end of what was added.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.storage {
            Storage::Memory(there) => there.extend_from_slice(bytes),
            Storage::Disk(file) => {
                let file = file.get_mut().unwrap_or_else(PoisonError::into_inner);
                file.write_all(bytes).map_err(Error::io(std::env::temp_dir()))?;
            }
        }
        Ok(())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// `len` bytes from `offset` on.
    pub fn bytes(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.size) {
            return Err(Error::file(&self.path, format!("ends at byte {}, within what must be there", self.size)));
        }
        match &self.storage {
            Storage::Memory(bytes) => Ok(Cow::Borrowed(&bytes[offset as usize..][..len])),
            Storage::Disk(file) => {
                let mut bytes = vec![0; len];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(Error::io(&self.path))?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

/// Refuses a label that is no class; image indices count within `file`.
pub(super) fn check_labels(file: &Path, labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label as usize >= classes) {
        None => Ok(()),
        Some(index) => Err(Error::file(
            file,
            format!("the label of image {index} is {}; the classes are 0 to {}", labels[index], classes - 1),
        )),
    }
}
