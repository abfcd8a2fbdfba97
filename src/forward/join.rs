//! Currents that several make up: the sums of layers behind their norms, the pulses of skips, and other neurons' currents, added in
//! f32 in this order. They stand as `[steps, blocks, pixels, 16]`, of all rows or of a band.

use super::neurons::{Lanes, Sums};
use crate::kernels::digits::LANES;
use crate::network::Lif;
use crate::network::pulses::Pulses;

/// The place of a band's currents.
#[derive(Clone, Copy)]
pub struct Place {
    /// Steps.
    pub steps: usize,
    /// Blocks of 16 channels.
    pub blocks: usize,
    /// First pixel of the band.
    pub first: usize,
    /// Pixels of the band.
    pub pixels: usize,
    /// Pixels of the whole map.
    pub map: usize,
}

impl Place {
    /// Floats of the band's currents.
    pub fn floats(&self) -> usize {
        self.steps * self.blocks * self.pixels * LANES
    }

    /// The currents of each step and block.
    fn chunks<'c>(&self, currents: &'c mut [f32]) -> impl Iterator<Item = ((usize, usize), &'c mut [f32])> {
        let blocks = self.blocks;
        currents.chunks_mut(self.pixels * LANES).enumerate().map(move |(i, chunk)| ((i / blocks, i % blocks), chunk))
    }
}

/// Adds what a layer's sums are behind its norms, `[blocks, steps]`.
pub fn add_sums(place: Place, lif: &Lif, norms: &[[Lanes; 2]], sums: Sums, currents: &mut [f32]) {
    for ((t, block), out) in place.chunks(currents) {
        let [gain, offset] = &norms[block * place.steps + t];
        let sums = &sums.sums[block * sums.block + t * sums.step..][..out.len()];
        for (out, sums) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(sums.as_chunks::<LANES>().0) {
            for o in 0..LANES {
                out[o] += lif.share(gain[o], sums[o], offset[o]);
            }
        }
    }
}

/// Adds pulses, of maps from `first` on, each of a value.
pub fn add_pulses(place: Place, lif: &Lif, unit: f32, (pulses, first): (&Pulses, usize), currents: &mut [f32]) {
    let mut map = vec![0u32; place.pixels * place.blocks * LANES];
    let mut last = None;
    for ((t, block), out) in place.chunks(currents) {
        if last != Some(t) {
            counts(pulses, first + t, place.first, &mut map);
            last = Some(t);
        }
        for (out, counts) in out.chunks_mut(LANES).zip(map.chunks(place.blocks * LANES)) {
            for (out, count) in out.iter_mut().zip(&counts[block * LANES..]) {
                *out += lif.share(unit, *count as f32, 0.0);
            }
        }
    }
}

/// Adds other neurons' currents of the whole map.
pub fn add_currents(place: Place, other: &[f32], currents: &mut [f32]) {
    for ((t, block), out) in place.chunks(currents) {
        let other = &other[((t * place.blocks + block) * place.map + place.first) * LANES..];
        out.iter_mut().zip(other).for_each(|(out, other)| *out += other);
    }
}

/// Reads pixels of a map of pulses from `first` on, `[pixels, channels]`.
pub fn counts(pulses: &Pulses, map: usize, first: usize, out: &mut [u32]) {
    let mut bytes = vec![0; out.len()];
    out.fill(0);
    for plane in 0..pulses.planes() {
        pulses.read(map, plane, first, &mut bytes);
        out.iter_mut().zip(&bytes).for_each(|(count, byte)| *count |= u32::from(*byte) << (8 * plane));
    }
}
