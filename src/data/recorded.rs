//! What another simulator did: a NumPy archive of inputs, `frames`, `[N, T, …]`, and of what the network made of them:
//! `logits`, `[N, classes]`, and `spikes.NAME`, `[N, T, …]`, each neuron's or their number.

use std::path::Path;

use ndarray::Array2;

use super::npy::NpzArchive;
use super::npz::frames;
use crate::error::{Error, Result};
use crate::numeric::{Range, Shape};

/// Inputs and what became of them.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Values of every step, `[N, T, C, H, W]`.
    pub frames: Vec<f32>,
    /// N and T.
    pub sizes: (usize, usize),
    /// C, H and W.
    pub shape: Shape,
    /// The least and the greatest value.
    pub range: Range,
    /// The logits, where they were recorded.
    pub logits: Option<Array2<f32>>,
    /// Spikes of each image and step by the neurons' name.
    pub spikes: Vec<(String, Array2<u64>)>,
}

impl Recorded {
    /// Reads an archive.
    pub fn open(path: &Path) -> Result<Self> {
        let mut archive = NpzArchive::open(path)?;
        let (sizes, shape, frames) = frames(&mut archive)?;
        let logits = match archive.has("logits") {
            true => Some(archive.array::<f32, 2>("logits", |number| number as f32)?),
            false => None,
        };
        let logits = logits
            .map(|(array, shape)| Array2::from_shape_vec(shape, array.values).expect("as many as the shape says"));
        let names: Vec<String> =
            archive.names().filter_map(|name| Some(name.strip_prefix("spikes.")?.to_owned())).collect();
        if logits.is_none() && names.is_empty() {
            return Err(Error::file(path, "has neither `logits` nor `spikes.NAME`; expected what the network gave"));
        }
        if let Some(logits) = logits.as_ref().filter(|logits| logits.nrows() != sizes.0) {
            return Err(
                archive.refuse("logits", format!("of {} images, the frames are of {}", logits.nrows(), sizes.0))
            );
        }
        let spikes = names.into_iter().map(|name| {
            let array = archive.any(&format!("spikes.{name}"), |number| number)?;
            let [n, t, rest @ ..] = &array.shape[..] else {
                return Err(archive
                    .refuse(&format!("spikes.{name}"), format!("the shape is {:?}; expected [N, T, …]", array.shape)));
            };
            if (*n, *t) != sizes {
                let message = format!("of {n} images and {t} steps, the frames are of {} and {}", sizes.0, sizes.1);
                return Err(archive.refuse(&format!("spikes.{name}"), message));
            }
            if let Some(value) = array.values.iter().find(|value| **value < 0.0 || value.fract() != 0.0) {
                let message = format!("holds {value}; expected spikes, or their number: whole numbers from 0");
                return Err(archive.refuse(&format!("spikes.{name}"), message));
            }
            let each = rest.iter().product::<usize>().max(1);
            let counts = array.values.chunks(each).map(|values| values.iter().sum::<f64>() as u64).collect();
            Ok((name, Array2::from_shape_vec(sizes, counts).expect("as many as the shape says")))
        });
        Ok(Recorded {
            range: Range::of(frames.iter().copied()),
            spikes: spikes.collect::<Result<_>>()?,
            frames,
            sizes,
            shape,
            logits,
        })
    }
}
