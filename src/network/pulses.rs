//! What travels between layers: spikes as bits, the counts of a pooling window as bytes.
//!
//! A map holds its pixels' channels in blocks of 16. A spike is a bit; a count takes as many bytes (*planes*, base 256)
//! as its window needs, and the sums of its planes are joined by shift-and-add.

use crate::kernels::digits::LANES;

/// The eight bits of a byte as eight bytes.
const SPREAD: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut bits = 0;
    while bits < 256 {
        let mut i = 0;
        while i < 8 {
            table[bits][i] = (bits >> i & 1) as u8;
            i += 1;
        }
        bits += 1;
    }
    table
};

/// Pulses `[maps, pixels, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pulses {
    data: Vec<u8>,
    /// Pixels of a map.
    pub pixels: usize,
    /// Blocks of 16 channels.
    pub blocks: usize,
    /// Bytes of a pulse; 0 for spikes, which are bits.
    bytes: usize,
    largest: u32,
}

impl Pulses {
    /// No pulses yet, of at most `largest` each.
    pub fn new(maps: usize, pixels: usize, channels: usize, largest: u32) -> Self {
        let blocks = channels.div_ceil(LANES);
        let bytes = if largest == 1 { 0 } else { largest.ilog2() as usize / 8 + 1 };
        let mut pulses = Pulses { data: Vec::new(), pixels, blocks, bytes, largest };
        pulses.data = vec![0; maps * pulses.map()];
        pulses
    }

    /// Bytes of a map.
    fn map(&self) -> usize {
        self.pixels * self.blocks * if self.bytes == 0 { LANES / 8 } else { LANES * self.bytes }
    }

    /// Whether they are spikes, a bit each.
    pub fn are_bits(&self) -> bool {
        self.bytes == 0
    }

    /// Planes of a map.
    pub fn planes(&self) -> usize {
        self.bytes.max(1)
    }

    /// Maps.
    pub fn maps(&self) -> usize {
        self.data.len() / self.map()
    }

    /// Channels, rounded up to whole blocks.
    pub fn channels(&self) -> usize {
        self.blocks * LANES
    }

    /// Sets 16 channels of a pixel.
    #[inline(always)]
    pub fn put(&mut self, map: usize, pixel: usize, block: usize, counts: &[u16; LANES]) {
        let at = map * self.map();
        let place = pixel * self.blocks + block;
        if self.bytes == 0 {
            let bits = counts.iter().enumerate().fold(0u16, |bits, (lane, count)| bits | count << lane);
            self.data[at + 2 * place..][..2].copy_from_slice(&bits.to_le_bytes());
            return;
        }
        let plane = self.pixels * self.blocks * LANES;
        for p in 0..self.bytes {
            let bytes = &mut self.data[at + p * plane + place * LANES..][..LANES];
            bytes.iter_mut().zip(counts).for_each(|(byte, count)| *byte = (count >> (8 * p)) as u8);
        }
    }

    /// Writes `out.len()` bytes of a map's plane, from `pixel` on: one a channel.
    #[inline(always)]
    pub fn read(&self, map: usize, plane: usize, pixel: usize, out: &mut [u8]) {
        let map = &self.data[map * self.map()..][..self.map()];
        if self.bytes == 0 {
            let bits = &map[pixel * self.blocks * 2..][..out.len() / 8];
            for (out, bits) in out.as_chunks_mut::<8>().0.iter_mut().zip(bits) {
                *out = SPREAD[usize::from(*bits)];
            }
            return;
        }
        let plane = &map[plane * self.pixels * self.channels()..];
        out.copy_from_slice(&plane[pixel * self.channels()..][..out.len()]);
    }

    /// No pulse is larger.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// The planes of a map as bytes, as many for each pixel: spikes are eight a byte.
    pub fn planes_of(&self, map: usize) -> impl Iterator<Item = &[u8]> {
        let map = &self.data[map * self.map()..][..self.map()];
        map.chunks(map.len() / self.planes())
    }

    /// Share of a map's channels that have a pulse.
    pub fn rate(&self, map: usize) -> f32 {
        let map = &self.data[map * self.map()..][..self.map()];
        let (active, all) = if self.bytes == 0 {
            (map.iter().map(|byte| byte.count_ones()).sum::<u32>(), 8 * map.len())
        } else {
            (map.iter().map(|byte| u32::from(*byte != 0)).sum::<u32>(), map.len())
        };
        active as f32 / all as f32
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The maps of a step of all images, where each image has `steps` of them.
    pub fn at_step(&self, t: usize, steps: usize) -> Pulses {
        let maps = self.data.chunks(self.map()).skip(t).step_by(steps);
        Pulses { data: maps.flatten().copied().collect(), ..*self }
    }

    /// The maps of all images, step by step of each, from those of all images at each step.
    pub fn of_steps(steps: &[Pulses]) -> Pulses {
        let images = (0..steps[0].maps()).flat_map(|image| steps.iter().map(move |step| (image, step)));
        let maps = images.flat_map(|(image, step)| &step.data[image * step.map()..][..step.map()]);
        Pulses { data: maps.copied().collect(), ..steps[0] }
    }

    /// Joins the maps of `parts`, one after the other.
    pub fn concatenate(parts: impl IntoIterator<Item = Pulses>) -> Option<Pulses> {
        let mut parts = parts.into_iter();
        let mut all = parts.next()?;
        parts.for_each(|part| all.data.extend(part.data));
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read_back() {
        for largest in [1u32, 4, 255, 256, 1000] {
            let mut pulses = Pulses::new(2, 3, 20, largest);
            let count = |i: usize| ((i * 37 + 11) as u32 % (largest + 1)) as u16;
            for place in 0..2 * 3 * 2 {
                let counts = std::array::from_fn(|lane| count(place * LANES + lane));
                pulses.put(place / 6, place / 2 % 3, place % 2, &counts);
            }
            assert_eq!((pulses.maps(), pulses.channels()), (2, 32));
            let mut found = vec![0u16; 2 * 96];
            for plane in 0..pulses.planes() {
                for (map, found) in found.chunks_mut(96).enumerate() {
                    let mut bytes = vec![0; 64];
                    pulses.read(map, plane, 1, &mut bytes);
                    found[32..].iter_mut().zip(bytes).for_each(|(f, byte)| *f |= u16::from(byte) << (8 * plane));
                }
            }
            for (i, found) in found.iter().enumerate().filter(|(i, _)| i % 96 >= 32) {
                assert_eq!(*found, count(i), "largest {largest}");
            }
            let active = (0..96).filter(|i| count(*i) != 0).count();
            if pulses.planes() == 1 {
                assert_eq!(pulses.rate(0), active as f32 / 96.0);
            }
        }
    }
}
