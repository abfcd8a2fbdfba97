//! Arrays of a NumPy archive: a zip file of `.npy` members, each a header (type, order, shape) and its elements.
//!
//! Members may be stored or deflated, of format 1.0 to 3.0, in C or Fortran order, of either byte order. Whole numbers,
//! real numbers of 16, 32 and 64 bits, and booleans are read. Nothing is allocated on the word of a header: a member
//! has to hold what its header promises, and no more of it is unpacked.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use ndarray_npy::npy::header::Header;
use zip::ZipArchive;

use crate::announced;
use crate::error::{Error, Result};
use crate::memory;
use crate::numeric::half;

/// The longest accepted header, in bytes; NumPy writes 118 for plain arrays.
const LONGEST_HEADER: usize = 1024;
/// Bytes unpacked at a time: a whole number of elements of any size.
const BLOCK: u64 = 1 << 16;

/// What kind of numbers an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberKind {
    /// `bool`: 0 and 1.
    Boolean,
    /// Whole numbers, with or without a sign.
    Whole,
    /// Real numbers.
    Real,
}

/// How one element of a dtype is read. The f64 holds every accepted value exactly, except whole numbers beyond 2^53.
#[derive(Clone, Copy)]
pub(super) struct NpyElement {
    kind: NumberKind,
    /// The size of an element in bytes.
    pub size: usize,
    big_endian: bool,
    decode: fn([u8; 8]) -> f64,
}

impl NpyElement {
    /// The element of a dtype as NumPy writes it: byte order, kind, bytes.
    pub fn of(dtype: &str) -> Option<Self> {
        let (order, name) = (dtype.chars().next()?, dtype.get(1..)?);
        let (kind, size, decode): (NumberKind, usize, fn([u8; 8]) -> f64) = match name {
            "b1" => (NumberKind::Boolean, 1, |b| f64::from(u8::from(b[0] != 0))),
            "i1" => (NumberKind::Whole, 1, |b| f64::from(b[0] as i8)),
            "u1" => (NumberKind::Whole, 1, |b| f64::from(b[0])),
            "i2" => (NumberKind::Whole, 2, |b| f64::from(i16::from_le_bytes(first(b)))),
            "u2" => (NumberKind::Whole, 2, |b| f64::from(u16::from_le_bytes(first(b)))),
            "i4" => (NumberKind::Whole, 4, |b| f64::from(i32::from_le_bytes(first(b)))),
            "u4" => (NumberKind::Whole, 4, |b| f64::from(u32::from_le_bytes(first(b)))),
            "i8" => (NumberKind::Whole, 8, |b| i64::from_le_bytes(b) as f64),
            "u8" => (NumberKind::Whole, 8, |b| u64::from_le_bytes(b) as f64),
            "f2" => (NumberKind::Real, 2, |b| f64::from(half::f32_from_f16(u16::from_le_bytes(first(b))))),
            "f4" => (NumberKind::Real, 4, |b| f64::from(f32::from_le_bytes(first(b)))),
            "f8" => (NumberKind::Real, 8, f64::from_le_bytes),
            _ => return None,
        };
        "<>|=".contains(order).then_some(NpyElement { kind, size, big_endian: order == '>', decode })
    }

    /// The value of as many bytes as it has.
    pub fn value(&self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide[..self.size].copy_from_slice(bytes);
        if self.big_endian {
            wide[..self.size].reverse();
        }
        (self.decode)(wide)
    }
}

fn first<const N: usize>(bytes: [u8; 8]) -> [u8; N] {
    std::array::from_fn(|i| bytes[i])
}

/// A NumPy archive.
pub(super) struct NpzArchive<'a, R = BufReader<File>> {
    pub path: &'a Path,
    zip: ZipArchive<R>,
}

/// An array in C order.
pub(super) struct Array<T> {
    pub values: Vec<T>,
    pub shape: Vec<usize>,
    pub kind: NumberKind,
}

impl<'a> NpzArchive<'a> {
    pub fn open(path: &'a Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::file(path, "is a folder; expected a NumPy archive, FILE.npz"));
        }
        announced::reading(path)?;
        let file = File::open(path).map_err(Error::io(path))?;
        Self::of(path, BufReader::new(file))
    }
}

impl<'a, R: Read + Seek> NpzArchive<'a, R> {
    /// The archive that is read from somewhere; `path` is where it comes from.
    pub fn of(path: &'a Path, source: R) -> Result<Self> {
        let zip = ZipArchive::new(source)
            .map_err(|error| Error::file(path, format!("expected an npz archive (numpy.savez): {error}")))?;
        Ok(NpzArchive { path, zip })
    }

    /// Whether there is an array of this name.
    pub fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{name}.npy")).is_some()
    }

    /// The arrays' names, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = String> + use<R> {
        let mut names: Vec<String> =
            self.zip.file_names().filter_map(|name| Some(name.strip_suffix(".npy")?.into())).collect();
        names.sort();
        names.into_iter()
    }

    /// An array of `N` dimensions; their extents too.
    pub fn array<T: Copy, const N: usize>(
        &mut self,
        name: &str,
        convert: fn(f64) -> T,
    ) -> Result<(Array<T>, [usize; N])> {
        let array = self.any(name, convert)?;
        let shape = array.shape.as_slice().try_into();
        let shape: [usize; N] =
            shape.map_err(|_| self.refuse(name, format!("the shape is {:?}; expected {N} dimensions", array.shape)))?;
        Ok((array, shape))
    }

    /// An error about an array.
    pub fn refuse(&self, name: &str, message: String) -> Error {
        Error::file(self.path, format!("`{name}`: {message}"))
    }

    /// An array of any shape.
    pub fn any<T: Copy>(&mut self, name: &str, convert: fn(f64) -> T) -> Result<Array<T>> {
        let path = self.path;
        let refuse = |message: String| Error::file(path, format!("`{name}`: {message}"));
        if !self.has(name) {
            let names: Vec<&str> = self.zip.file_names().collect();
            return Err(refuse(format!("no such array; the archive holds {}", names.join(", "))));
        }
        let mut entry = self.zip.by_name(&format!("{name}.npy")).map_err(|error| refuse(error.to_string()))?;
        let size = entry.size();
        let (header, header_len) = read_header(&mut entry).map_err(&refuse)?;
        let dtype = header.type_descriptor.to_string();
        let dtype = dtype.trim_matches('\'');
        let element = NpyElement::of(dtype).ok_or_else(|| {
            let accepted = "whole numbers (i1 to u8), real ones (f2, f4, f8) and booleans";
            refuse(format!("elements of type {dtype}; accepted are {accepted}"))
        })?;
        let shape = header.shape;
        let unfit = || refuse(format!("the shape {shape:?} of {dtype} does not fit a member of {size} bytes"));
        let count = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim as u64)).ok_or_else(unfit)?;
        let declared = count
            .checked_mul(element.size as u64)
            .filter(|declared| declared.checked_add(header_len) == Some(size))
            .ok_or_else(unfit)?;
        memory::check(
            &format!("`{name}` of {}", path.display()),
            count.saturating_mul(size_of::<T>() as u64),
            "split it",
        )?;
        // One byte more than declared, so that the end is reached and with it the archive's checksum.
        let mut data = entry.take(declared + 1);
        let (mut values, mut block, mut held) = (Vec::new(), Vec::new(), 0);
        while data.by_ref().take(BLOCK).read_to_end(&mut block).map_err(|error| refuse(error.to_string()))? > 0 {
            values.extend(block.chunks_exact(element.size).map(|bytes| convert(element.value(bytes))));
            held += block.len() as u64;
            block.clear();
        }
        if held != declared {
            return Err(unfit());
        }
        let values = if header.layout.is_fortran() { in_c_order(values, &shape) } else { values };
        Ok(Array { values, shape, kind: element.kind })
    }
}

/// The fields of an `.npy` file of structured elements in a row, such as events, by name.
pub(super) fn columns(bytes: &[u8]) -> std::result::Result<Vec<(String, Vec<f64>)>, String> {
    let mut rest = bytes;
    let (header, _) = read_header(&mut rest)?;
    let expected = "expected an array of elements with the fields t, x, y and p";
    let fields = header.type_descriptor.as_list().ok_or(expected)?;
    let mut columns: Vec<(String, usize, NpyElement)> = Vec::new();
    let mut size = 0;
    for field in fields {
        let name_and_type = field.as_tuple().map(Vec::as_slice);
        let Some([name, dtype]) = name_and_type else {
            return Err(format!("{field}: a field of many numbers; {expected}"));
        };
        let (Some(name), Some(dtype)) = (name.as_string(), dtype.as_string()) else { return Err(expected.into()) };
        // Room between the fields.
        if let Some(room) = dtype.strip_prefix("|V") {
            size += room.parse::<u16>().map_err(|_| format!("`{name}`: elements of type {dtype}"))? as usize;
            continue;
        }
        let element = NpyElement::of(dtype).ok_or_else(|| format!("`{name}`: elements of type {dtype}"))?;
        columns.push((name.clone(), size, element));
        size += element.size;
    }
    let [count] = header.shape[..] else {
        return Err(format!("the shape is {:?}; expected one dimension", header.shape));
    };
    if count.checked_mul(size) != Some(rest.len()) || size == 0 {
        return Err(format!("{} bytes for {count} elements of {size} bytes", rest.len()));
    }
    let values = |(name, at, element): (String, usize, NpyElement)| {
        (name, rest.chunks_exact(size).map(|record| element.value(&record[at..at + element.size])).collect())
    };
    Ok(columns.into_iter().map(values).collect())
}

/// The elements of an array in Fortran order, whose first index runs fastest, so that its last one does.
fn in_c_order<T: Copy>(values: Vec<T>, shape: &[usize]) -> Vec<T> {
    if shape.iter().filter(|extent| **extent > 1).count() < 2 {
        return values;
    }
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, extent| {
            let here = *stride;
            *stride *= extent;
            Some(here)
        })
        .collect();
    let place = |mut at: usize| {
        let axes = shape.iter().zip(&strides).rev();
        axes.fold(0, |place, (extent, stride)| {
            let index = at % extent;
            at /= extent;
            place + index * stride
        })
    };
    (0..values.len()).map(|at| values[place(at)]).collect()
}

/// The header of a member, and its length in bytes.
fn read_header(entry: &mut impl Read) -> std::result::Result<(Header, u64), String> {
    let mut bytes = vec![0; 10];
    entry.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    if !bytes.starts_with(b"\x93NUMPY") || !(1..=3).contains(&bytes[6]) {
        return Err("expected npy format 1.0 to 3.0".into());
    }
    let len = if bytes[6] == 1 {
        usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))
    } else {
        let mut high = [0; 2];
        entry.read_exact(&mut high).map_err(|error| error.to_string())?;
        bytes.extend(high);
        u32::from_le_bytes([bytes[8], bytes[9], high[0], high[1]]) as usize
    };
    if len > LONGEST_HEADER {
        return Err(format!("a header of {len} bytes; expected at most {LONGEST_HEADER}"));
    }
    let start = bytes.len();
    bytes.resize(start + len, 0);
    entry.read_exact(&mut bytes[start..]).map_err(|error| error.to_string())?;
    let header = Header::from_reader(&mut bytes.as_slice()).map_err(|error| error.to_string())?;
    Ok((header, bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_and_byte_order_gives_its_value() {
        for (dtype, bytes, expected) in [
            ("|b1", &[7][..], 1.0),
            ("|i1", &[0xfe], -2.0),
            ("|u1", &[0xfe], 254.0),
            ("<i2", &[0xfe, 0xff], -2.0),
            (">i2", &[0xff, 0xfe], -2.0),
            ("<u2", &[1, 2], 513.0),
            (">u4", &[0, 0, 1, 2], 258.0),
            ("<i8", &[0xff; 8], -1.0),
            (">f4", &[0x3f, 0xc0, 0, 0], 1.5),
            ("<f8", &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], 1.5),
            ("<f2", &[0, 0x3e], 1.5),
            ("=f2", &[0, 0xc0], -2.0),
        ] {
            assert_eq!(NpyElement::of(dtype).unwrap().value(bytes), expected, "{dtype}");
        }
        for other in ["<c8", "|S4", "<f16", "|O", "?b1", "", "<i3"] {
            assert!(NpyElement::of(other).is_none(), "{other}");
        }
    }

    #[test]
    fn fortran_order_becomes_that_of_c() {
        let shape = [2, 3, 2];
        // Element (i, j, k) is 100i + 10j + k.
        let fortran: Vec<usize> =
            (0..2).flat_map(|k| (0..3).flat_map(move |j| (0..2).map(move |i| 100 * i + 10 * j + k))).collect();
        let c: Vec<usize> =
            (0..2).flat_map(|i| (0..3).flat_map(move |j| (0..2).map(move |k| 100 * i + 10 * j + k))).collect();
        assert_eq!(in_c_order(fortran, &shape), c);
        assert_eq!(in_c_order(vec![1, 2, 3], &[3, 1]), [1, 2, 3]);
    }
}
