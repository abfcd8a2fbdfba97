//! The MNIST family: IDX files (LeCun), plain or gzip-compressed. A header of two zero bytes, the element type (8 =
//! byte), the number of dimensions and each dimension as a big-endian u32, then the bytes.
//!
//! Mean and standard deviation of the normalisation come from all training images, whichever split is opened.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::Split;
use super::source::{Body, Contents, FileRecords, ImageValues, Normalisation, Records, check_labels};
use crate::announced;
use crate::error::{Error, Result};
use crate::memory;
use crate::numeric::Shape;

/// The largest number of bytes a header may declare.
const LARGEST: u64 = 1 << 40;
/// Deflate expands a byte to at most this many.
const DEFLATE_RATIO: u64 = 1032;

/// Opens the training or the test images of a folder; a folder without training images has its test images normalised
/// by themselves.
pub(super) fn open(dir: &Path, split: Split, memory_limit: u64) -> Result<Contents> {
    let training = match split {
        Split::Test if find(dir, "train", "images-idx3").is_err() => None,
        _ => Some(IdxHalf::open(dir, "train", memory_limit)?),
    };
    let normalisation = training.as_ref().map(|training| statistics(&training.images)).transpose()?;
    let (half, classes, normalisation, notice) = match (split, training, normalisation) {
        (Split::Train, Some(training), Some(normalisation)) => {
            let classes = training.classes();
            (training, classes, normalisation, None)
        }
        (_, training, normalisation) => {
            let test = IdxHalf::open(dir, "t10k", memory_limit)?;
            if let Some(training) = training.as_ref().filter(|training| training.shape != test.shape) {
                let message = format!("images of {}; the training images are {}", test.shape, training.shape);
                return Err(Error::file(test.images.body.path(), message));
            }
            let classes = training.as_ref().unwrap_or(&test).classes();
            check_labels(&test.label_file, &test.labels, classes)?;
            match normalisation {
                Some(normalisation) => (test, classes, normalisation, None),
                None => {
                    let normalisation = statistics(&test.images)?;
                    let notice = "no training images here; the test images are normalised by themselves";
                    (test, classes, normalisation, Some(notice.to_owned()))
                }
            }
        }
    };
    let IdxHalf { images, shape, labels, .. } = half;
    let values = ImageValues::Bytes(Records(vec![images]), normalisation);
    let (range, notices) = (values.range(), notice.into_iter().collect());
    Ok(Contents { shape, frame_steps: None, classes, class_names: None, labels, range, values: values.into(), notices })
}

/// The images of one half, with their labels.
struct IdxHalf {
    images: FileRecords,
    shape: Shape,
    labels: Vec<u32>,
    label_file: PathBuf,
}

impl IdxHalf {
    fn open(dir: &Path, set: &str, memory_limit: u64) -> Result<Self> {
        let (images, shape) = open_images(dir, set, memory_limit)?;
        let (labels, label_file) = open_labels(dir, set, &images)?;
        Ok(IdxHalf { images, shape, labels, label_file })
    }

    fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&label| label as usize + 1)
    }
}

fn open_images(dir: &Path, set: &str, memory_limit: u64) -> Result<(FileRecords, Shape)> {
    let path = find(dir, set, "images-idx3")?;
    let (body, [count, height, width]) = open_file::<3>(&path, memory_limit)?;
    if count == 0 || height == 0 || width == 0 {
        return Err(Error::file(&path, format!("{count} images of {height}x{width}: there is nothing in it")));
    }
    let pixels = height * width;
    Ok((FileRecords { body, start: 16, stride: pixels as u64, pixels, count }, Shape { channels: 1, height, width }))
}

/// The labels of some images, and their file.
fn open_labels(dir: &Path, set: &str, images: &FileRecords) -> Result<(Vec<u32>, PathBuf)> {
    let path = find(dir, set, "labels-idx1")?;
    let (body, [count]) = open_file::<1>(&path, u64::MAX)?;
    if count != images.count {
        return Err(Error::file(&path, format!("{count} labels for {} images", images.count)));
    }
    let labels = body.bytes(8, count)?.iter().map(|&label| u32::from(label)).collect();
    Ok((labels, path))
}

/// Mean and population standard deviation, exact up to their rounding: from the histogram of the bytes.
fn statistics(images: &FileRecords) -> Result<Normalisation> {
    let mut histogram = [0u64; 256];
    for index in 0..images.count {
        for &byte in images.read(index)?.iter() {
            histogram[usize::from(byte)] += 1;
        }
    }
    let count = histogram.iter().sum::<u64>() as f64;
    let expectation = |value: &dyn Fn(f64) -> f64| {
        histogram.iter().enumerate().map(|(byte, &n)| n as f64 * value(byte as f64 / 255.0)).sum::<f64>() / count
    };
    let mean = expectation(&|x| x);
    let std = expectation(&|x| (x - mean).powi(2)).sqrt();
    if histogram.iter().filter(|&&n| n > 0).count() < 2 {
        return Err(Error::file(images.body.path(), "all pixels are alike; such images cannot be normalised"));
    }
    Ok(Normalisation::new(255, &[mean as f32], &[std as f32]))
}

/// A file of a set by its kind, as LeCun names it (`train-images-idx3-ubyte`) or as it is unpacked elsewhere
/// (`train-images.idx3-ubyte`), plain or gzip-compressed.
fn find(dir: &Path, set: &str, kind: &str) -> Result<PathBuf> {
    let name = format!("{set}-{kind}-ubyte");
    let names = [name.clone(), format!("{set}-{}-ubyte", kind.replace('-', "."))];
    let files = names.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]).map(|name| dir.join(name));
    files.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        let missing = if dir.is_dir() { format!("no {name} or .gz here") } else { "no such folder".to_owned() };
        let expected = "expected the MNIST-style files (train- and t10k-, images-idx3-ubyte and labels-idx1-ubyte, or \
             .idx3-ubyte)";
        Error::file(dir, format!("{missing}; {expected}"))
    })
}

/// The bytes and the dimensions of a file of rank N.
fn open_file<const N: usize>(path: &Path, memory_limit: u64) -> Result<(Body, [usize; N])> {
    let header_len = 4 + 4 * N;
    let (body, dims, declared) = if path.extension().is_some_and(|extension| extension == "gz") {
        announced::reading(path)?;
        let file = File::open(path).map_err(Error::io(path))?;
        let packed = file.metadata().map_err(Error::io(path))?.len();
        let mut decoder = MultiGzDecoder::new(BufReader::new(file));
        let mut bytes = vec![0; header_len];
        decoder.read_exact(&mut bytes).map_err(Error::io(path))?;
        let (dims, declared) = parse_header(path, &bytes)?;
        if declared / DEFLATE_RATIO > packed {
            let message = format!("declares {declared} bytes, more than a file of {packed} bytes can hold");
            return Err(Error::file(path, message));
        }
        memory::check(
            &format!("unpacking {}", path.display()),
            declared,
            "unpack it to a file (gunzip), which is read as it is needed",
        )?;
        decoder.take(declared + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
        (Body::from_memory(path, bytes), dims, declared)
    } else {
        let body = Body::open(path, memory_limit)?;
        let (dims, declared) = parse_header(path, &body.bytes(0, header_len)?)?;
        (body, dims, declared)
    };
    let held = body.size() - header_len as u64;
    if held != declared {
        let relation = if held > declared { "more" } else { "less" };
        return Err(Error::file(path, format!("declares {declared} bytes after its header but holds {relation}")));
    }
    Ok((body, dims))
}

/// The dimensions and the number of bytes they declare.
fn parse_header<const N: usize>(path: &Path, header: &[u8]) -> Result<([usize; N], u64)> {
    if header[..4] != [0, 0, 8, N as u8] {
        let message = format!(
            "begins with {:02x?}; an IDX file of bytes with {N} dimensions with {:02x?}",
            &header[..4],
            [0, 0, 8, N as u8,]
        );
        return Err(Error::file(path, message));
    }
    let dim = |i: usize| {
        let at = 4 + 4 * i;
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let dims: [u32; N] = std::array::from_fn(dim);
    let declared = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(u64::from(dim)));
    match declared {
        Some(declared) if declared <= LARGEST => Ok((dims.map(|dim| dim as usize), declared)),
        _ => Err(Error::file(path, format!("declares the dimensions {dims:?}, more than {LARGEST} bytes"))),
    }
}
