//! Frames that SpikingJelly has made of events: folders by class with an `.npz` file a recording, whose `frames`, `[T,
//! C, H, W]`, are counts.

use std::io::Cursor;
use std::path::Path;

use super::super::npy::NpzArchive;
use crate::error::{Error, Result};

/// The frames of a file, and their shape.
pub(super) fn frames(path: &Path, bytes: Vec<u8>) -> Result<(Vec<u16>, [usize; 4])> {
    let mut archive = NpzArchive::of(path, Cursor::new(bytes))?;
    let (array, shape) = archive.array::<f64, 4>("frames", |x| x)?;
    let is_count = |value: &f64| value.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(value);
    match array.values.iter().find(|value| !is_count(value)) {
        Some(value) => {
            Err(Error::file(path, format!("`frames` has {value}; expected counts of events, 0 to {}", u16::MAX)))
        }
        None => Ok((array.values.into_iter().map(|value| value as u16).collect(), shape)),
    }
}
