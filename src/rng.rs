//! Counter-based randomness: Philox4x32-10 (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011).
//!
//! A draw is a pure function of a key and a counter, so a chip or a spike train is the same on any thread count,
//! backend, shard or resume. The key is derived from the seed, a [`Stream`] and one index (the chip, the epoch, ...);
//! the counter names the cell or pixel, the step and the block. The GPU runs the same function
//! (`shaders/philox.wgsl`) and only ever compares the 32-bit words.

use ndarray_rand::rand::RngCore;

use crate::kernels::vectorised;

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// What a family of draws is for. Two streams of one seed share no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Stream {
    /// Programming variation of a manufactured chip; the index is the chip.
    Chip = 1,
    /// Programming variation of a training pass; the index is the iteration.
    TrainingPass = 2,
    /// Poisson encoding; the index is the epoch, 0 at evaluation.
    Poisson = 3,
    /// The order of the training images; the index is the epoch.
    Shuffle = 4,
    /// Crops and flips; the index is the epoch.
    Augment = 5,
    /// Initial weights; the index is the layer.
    Init = 6,
    /// The split into training and validation images.
    Split = 7,
    /// Initial values of the companion SRAM array; the index is the layer.
    SramInit = 8,
    /// What all chips of a seed, one lot, share.
    Lot = 9,
    /// Points of a study; the index is the key's.
    Sample = 10,
    /// Candidates of a search; the index is the generation.
    Search = 11,
}

/// Ten rounds of Philox4x32.
pub fn philox4x32(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let mut c = counter;
    for round in 0..10 {
        if round > 0 {
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        let p0 = u64::from(MULTIPLIER[0]) * u64::from(c[0]);
        let p1 = u64::from(MULTIPLIER[1]) * u64::from(c[2]);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k1, p0 as u32];
    }
    c
}

/// Draws that are made at once.
pub const AT_ONCE: usize = 16;

vectorised! {
    /// [`philox4x32`] of many counters under one key, word by word: `[4][AT_ONCE]`.
    fn philox_at_once(key: [u32; 2], counters: &[[u32; AT_ONCE]; 4]) -> [[u32; AT_ONCE]; 4] {
        let [mut k0, mut k1] = key;
        let [mut a, mut b, mut c, mut d] = *counters;
        for round in 0..10 {
            if round > 0 {
                k0 = k0.wrapping_add(WEYL[0]);
                k1 = k1.wrapping_add(WEYL[1]);
            }
            for (((a, b), c), d) in a.iter_mut().zip(&mut b).zip(&mut c).zip(&mut d) {
                let p0 = u64::from(MULTIPLIER[0]) * u64::from(*a);
                let p1 = u64::from(MULTIPLIER[1]) * u64::from(*c);
                (*a, *c) = ((p1 >> 32) as u32 ^ *b ^ k0, (p0 >> 32) as u32 ^ *d ^ k1);
                (*b, *d) = (p1 as u32, p0 as u32);
            }
        }
        [a, b, c, d]
    }
}

/// The key of one stream of a seed.
///
/// A 64-bit Philox key cannot hold seed, stream and index side by side, so the key is itself a Philox output.
pub fn stream_key(seed: u64, stream: Stream, index: u64) -> [u32; 2] {
    let c = philox4x32(
        [seed as u32, (seed >> 32) as u32],
        [index as u32, (index >> 32) as u32, stream as u32, 0x6372_6F73],
    );
    [c[0], c[1]]
}

/// A sequence of words under one key: the counter's last word counts blocks, the first three name the draw's place.
///
/// It is an [`RngCore`], so that `rand_distr` samples from it.
#[derive(Clone, Debug)]
pub struct Substream {
    key: [u32; 2],
    counter: [u32; 4],
    block: [u32; 4],
    used: usize,
}

impl Substream {
    /// The substream at `place`: for a cell (logical weight, layer, slice and polarity), for an image (index, 0, 0).
    pub fn new(key: [u32; 2], place: [u32; 3]) -> Self {
        Substream { key, counter: [place[0], place[1], place[2], 0], block: [0; 4], used: 4 }
    }

    /// The substreams at many places, whose first blocks are made at once.
    #[inline(always)]
    pub fn at_once(key: [u32; 2], places: &[[u32; 3]; AT_ONCE]) -> [Self; AT_ONCE] {
        let word = |w: usize| std::array::from_fn(|i| places[i][w]);
        let blocks = philox_at_once(key, &[word(0), word(1), word(2), [0; AT_ONCE]]);
        std::array::from_fn(|i| {
            let [a, b, c] = places[i];
            Substream { key, counter: [a, b, c, 1], block: blocks.map(|word| word[i]), used: 0 }
        })
    }
}

impl RngCore for Substream {
    fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.block = philox4x32(self.key, self.counter);
            self.counter[3] = self.counter[3].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    #[inline]
    fn next_u64(&mut self) -> u64 {
        if let Some([low, high]) = self.block.get(self.used..self.used + 2) {
            self.used += 2;
            return u64::from(*low) | u64::from(*high) << 32;
        }
        let low = u64::from(self.next_u32());
        low | u64::from(self.next_u32()) << 32
    }

    fn fill_bytes(&mut self, dst: &mut [u8]) {
        for chunk in dst.chunks_mut(4) {
            let word = self.next_u32().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// Known answers of Random123 1.14 (`kat_vectors`, `philox4x32 10`): counter, key, output. Shared with the GPU's test.
pub const KNOWN_ANSWERS: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
    ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
    (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
        [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_known_answers_of_random123() {
        for (counter, key, expected) in KNOWN_ANSWERS {
            assert_eq!(philox4x32(key, counter), expected);
        }
    }

    #[test]
    fn a_substream_walks_the_blocks_of_its_place() {
        let key = stream_key(7, Stream::Chip, 3);
        let mut stream = Substream::new(key, [5, 6, 7]);
        let words: Vec<u32> = (0..8).map(|_| stream.next_u32()).collect();
        let expected = [philox4x32(key, [5, 6, 7, 0]), philox4x32(key, [5, 6, 7, 1])].concat();
        assert_eq!(words, expected);
    }

    #[test]
    fn substreams_made_at_once_are_those_made_one_by_one() {
        let key = stream_key(9, Stream::Chip, 1);
        let places: [[u32; 3]; AT_ONCE] = std::array::from_fn(|i| [i as u32, u32::MAX - i as u32, 77 << i]);
        for (place, mut found) in places.into_iter().zip(Substream::at_once(key, &places)) {
            let mut expected = Substream::new(key, place);
            for i in 0..20 {
                // An odd number of words before a pair leaves its halves in two blocks.
                let read =
                    |stream: &mut Substream| if i % 3 == 0 { stream.next_u32().into() } else { stream.next_u64() };
                assert_eq!(read(&mut found), read(&mut expected));
            }
            let mut words = Substream::new(key, place);
            let mut pairs = Substream::new(key, place);
            let pair = u64::from(words.next_u32()) | u64::from(words.next_u32()) << 32;
            assert_eq!(pairs.next_u64(), pair);
        }
    }

    #[test]
    fn seeds_streams_and_indices_have_keys_of_their_own() {
        let mut keys = std::collections::HashSet::new();
        for seed in [0, 1, 1 << 32] {
            for stream in [Stream::Chip, Stream::Poisson, Stream::Shuffle] {
                for index in [0, 1, 1 << 32] {
                    assert!(keys.insert(stream_key(seed, stream, index)));
                }
            }
        }
    }
}
