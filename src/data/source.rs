//! Where the values of a data set are kept: bytes of fixed-size records in memory or on disk, normalised as they are
//! read, or finished floats in memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::announced;
use crate::error::{Error, Result};
use crate::monitor::checkpoint;
use crate::numeric::{Range, Shape};

/// What the reader of a format delivers.
#[derive(Debug)]
pub(super) struct Contents {
    /// One image or frame.
    pub shape: Shape,
    /// Time steps of a frame series.
    pub frame_steps: Option<usize>,
    /// Number of classes.
    pub classes: usize,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// All images, in the order of the labels.
    pub values: Values,
    /// What values they have.
    pub range: Range,
    /// What the user should know of them.
    pub notices: Vec<String>,
}

/// The values of all images.
#[derive(Debug)]
pub(super) enum Values {
    /// Raw bytes, with the table that normalises them.
    Bytes(Records, Normalisation),
    /// Finished values; and those of black and white pixels, per channel, where they are known.
    Floats(Vec<f32>, Option<Vec<[f32; 2]>>),
}

impl Values {
    /// Writes the values of one image.
    pub fn read(&self, index: usize, out: &mut [f32]) -> Result<()> {
        match self {
            Values::Bytes(records, normalisation) => normalisation.apply(&records.read(index)?, out),
            Values::Floats(values, _) => out.copy_from_slice(&values[index * out.len()..][..out.len()]),
        }
        Ok(())
    }

    /// What values there are, or can be.
    pub fn range(&self) -> Range {
        match self {
            Values::Bytes(_, normalisation) => normalisation.range(),
            Values::Floats(values, _) => Range::of(values.iter().copied()),
        }
    }

    /// The value of a black pixel: of raw 0, or 0 where the normalisation is not known.
    pub fn black(&self, channel: usize) -> f32 {
        match self {
            Values::Bytes(_, normalisation) => normalisation.tables[channel][0],
            Values::Floats(_, ends) => ends.as_ref().map_or(0.0, |ends| ends[channel][0]),
        }
    }

    /// The values of black and white pixels, per channel, where the normalisation is known.
    pub fn pixel_range(&self) -> Option<Vec<[f32; 2]>> {
        match self {
            Values::Bytes(_, Normalisation { tables, full }) => {
                Some(tables.iter().map(|table| [table[0], table[usize::from(*full)]]).collect())
            }
            Values::Floats(_, ends) => ends.clone(),
        }
    }

    /// Hashes the first `count` images of `len` values.
    pub fn hash(&self, count: usize, len: usize, hash: &mut Sha256) -> Result<()> {
        match self {
            Values::Bytes(records, normalisation) => {
                for value in normalisation.tables.iter().flatten() {
                    hash.update(value.to_le_bytes());
                }
                let mut left = count;
                for part in &records.0 {
                    (0..part.count.min(left)).try_for_each(|index| {
                        checkpoint();
                        part.read(index).map(|record| hash.update(record))
                    })?;
                    left = left.saturating_sub(part.count);
                }
            }
            Values::Floats(values, _) => {
                for value in &values[..count * len] {
                    hash.update(value.to_le_bytes());
                }
            }
        }
        Ok(())
    }
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
pub(super) struct Records(pub Vec<Part>);

impl Records {
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
pub(super) struct Part {
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

impl Part {
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
