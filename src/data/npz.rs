//! NumPy archives: `frames`, `[N, T, C, H, W]`, spikes given per step, or `images`, `[N, C, H, W]`, already normalised,
//! each with integer `labels`, `[N]`. Members may be stored or deflated; values are f32, f64 or u8 and kept as f32.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ndarray_npy::npy::header::Header;
use zip::ZipArchive;

use super::source::{Contents, Values};
use crate::error::{Error, Result};
use crate::numeric::{Range, Shape};

/// The most classes that labels may name; more is taken for an error in the file.
const MOST_CLASSES: usize = 1 << 16;
/// The longest accepted npy header, in bytes; NumPy writes 118 for plain arrays.
const LONGEST_HEADER: usize = 1024;
/// Bytes unpacked at a time: a whole number of elements of any size.
const BLOCK: u64 = 1 << 16;

/// How one element of a dtype is read. The f64 holds every accepted value exactly, except integers too large for a
/// label.
struct Element {
    size: usize,
    decode: fn(&[u8]) -> f64,
}

fn element(dtype: &str) -> Option<Element> {
    let (size, decode): (usize, fn(&[u8]) -> f64) = match dtype {
        "|u1" => (1, |bytes| f64::from(bytes[0])),
        "<i4" => (4, |bytes| f64::from(i32::from_le_bytes(fixed(bytes)))),
        "<i8" => (8, |bytes| i64::from_le_bytes(fixed(bytes)) as f64),
        "<f4" => (4, |bytes| f64::from(f32::from_le_bytes(fixed(bytes)))),
        "<f8" => (8, |bytes| f64::from_le_bytes(fixed(bytes))),
        _ => return None,
    };
    Some(Element { size, decode })
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

/// Opens `frames` and `labels`.
pub(super) fn open_frames(path: &Path) -> Result<Contents> {
    let mut archive = Archive::open(path)?;
    let (values, [count, steps, channels, height, width]) = archive.floats("frames")?;
    archive.finish(values, count, Some(steps), Shape { channels, height, width })
}

/// Opens `images` and `labels`.
pub(super) fn open_images(path: &Path) -> Result<Contents> {
    let mut archive = Archive::open(path)?;
    let (values, [count, channels, height, width]) = archive.floats("images")?;
    archive.finish(values, count, None, Shape { channels, height, width })
}

struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|error| Error::file(path, format!("expected an npz archive: {error}")))?;
        Ok(Archive { path, zip })
    }

    fn finish(&mut self, values: Vec<f32>, count: usize, frame_steps: Option<usize>, shape: Shape) -> Result<Contents> {
        let (numbers, [labelled]) = self.array("labels", &["|u1", "<i4", "<i8"], |number| number)?;
        if labelled != count {
            return Err(Error::file(self.path, format!("{labelled} labels for {count} images or series")));
        }
        if let Some(index) = numbers.iter().position(|number| !(0.0..MOST_CLASSES as f64).contains(number)) {
            let message = format!("labels[{index}] is {}; expected 0 to {}", numbers[index], MOST_CLASSES - 1);
            return Err(Error::file(self.path, message));
        }
        let labels: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
        let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        let range = Range::of(values.iter().copied());
        Ok(Contents { shape, frame_steps, classes, labels, values: Values::Floats(values), range })
    }

    /// An array of at least one value, all finite.
    fn floats<const N: usize>(&mut self, name: &str) -> Result<(Vec<f32>, [usize; N])> {
        let (values, shape) = self.array(name, &["<f4", "<f8", "|u1"], |number| number as f32)?;
        if values.is_empty() {
            return Err(Error::file(self.path, format!("`{name}` has the shape {shape:?}: there is nothing in it")));
        }
        if let Some(flat) = values.iter().position(|value| !value.is_finite()) {
            let (mut rest, mut index) = (flat, shape);
            for (index, dim) in index.iter_mut().zip(shape).rev() {
                *index = rest % dim;
                rest /= dim;
            }
            return Err(Error::file(self.path, format!("{name}{index:?} is {}, not a finite f32", values[flat])));
        }
        Ok((values, shape))
    }

    /// The elements of a member and its shape; nothing is allocated on the word of a header.
    fn array<T, const N: usize>(
        &mut self,
        name: &str,
        dtypes: &[&str],
        convert: fn(f64) -> T,
    ) -> Result<(Vec<T>, [usize; N])> {
        let path = self.path;
        let refuse = |message: String| Error::file(path, format!("`{name}`: {message}"));
        let names: Vec<String> = self.zip.file_names().map(str::to_owned).collect();
        let member = format!("{name}.npy");
        if !names.contains(&member) {
            return Err(refuse(format!("no such array; the archive holds {}", names.join(", "))));
        }
        let mut entry = self.zip.by_name(&member).map_err(|error| refuse(error.to_string()))?;
        let size = entry.size();
        let (header, header_len) = read_header(&mut entry).map_err(&refuse)?;

        let dtype = header.type_descriptor.to_string();
        let dtype = dtype.trim_matches('\'');
        let element = element(dtype)
            .filter(|_| dtypes.contains(&dtype))
            .ok_or_else(|| refuse(format!("elements of type {dtype}; accepted are {}", dtypes.join(", "))))?;
        let shape: [usize; N] = header
            .shape
            .as_slice()
            .try_into()
            .map_err(|_| refuse(format!("the shape is {:?}; expected {N} dimensions", header.shape)))?;
        if header.layout.is_fortran() && N > 1 {
            return Err(refuse("stored in Fortran order; save numpy.ascontiguousarray of it".to_owned()));
        }
        let unfit = || refuse(format!("the shape {shape:?} of {dtype} does not fit a member of {size} bytes"));
        let declared = shape
            .iter()
            .try_fold(element.size as u64, |product, &dim| product.checked_mul(dim as u64))
            .filter(|declared| declared.checked_add(header_len) == Some(size))
            .ok_or_else(unfit)?;

        // One byte more than declared, so that the end is reached and with it the archive's checksum.
        let mut data = entry.take(declared + 1);
        let (mut values, mut block, mut held) = (Vec::new(), Vec::new(), 0);
        while data.by_ref().take(BLOCK).read_to_end(&mut block).map_err(|error| refuse(error.to_string()))? > 0 {
            values.extend(block.chunks_exact(element.size).map(|bytes| convert((element.decode)(bytes))));
            held += block.len() as u64;
            block.clear();
        }
        if held == declared { Ok((values, shape)) } else { Err(unfit()) }
    }
}

/// The header of a npy member, format 1.0, and its length in bytes.
fn read_header(entry: &mut impl Read) -> std::result::Result<(Header, u64), String> {
    let mut bytes = vec![0; 10];
    entry.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    let len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    if !bytes.starts_with(b"\x93NUMPY\x01\x00") || len > LONGEST_HEADER {
        return Err(format!("expected npy format 1.0 with a header of at most {LONGEST_HEADER} bytes"));
    }
    bytes.resize(10 + len, 0);
    entry.read_exact(&mut bytes[10..]).map_err(|error| error.to_string())?;
    let header = Header::from_reader(&mut bytes.as_slice()).map_err(|error| error.to_string())?;
    Ok((header, bytes.len() as u64))
}
