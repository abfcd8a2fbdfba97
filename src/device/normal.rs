//! Normal draws of many devices.

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use crate::rng::{AT_ONCE, Substream};

/// Devices whose draws are used together.
pub const BATCH: usize = 64;

/// The substreams of places under a key, whose first blocks are made some at a time; places beyond the last that is
/// used may be asked for.
pub fn streams(key: [u32; 2], place: impl Fn(usize) -> [u32; 3]) -> impl Iterator<Item = Substream> {
    (0..).step_by(AT_ONCE).flat_map(move |first| {
        let places = std::array::from_fn(|i| place(first + i));
        Substream::at_once(key, &places)
    })
}

/// The first standard normal draw of each place's substream under a key.
pub fn normals(key: [u32; 2], place: impl Fn(usize) -> [u32; 3], out: &mut [f64]) {
    for (out, mut stream) in out.iter_mut().zip(streams(key, place)) {
        *out = StandardNormal.sample(&mut stream);
    }
}
