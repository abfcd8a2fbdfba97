//! Where bits are set: the places of the active inputs of a patch, packed to a list.
//!
//! # Theory
//!
//! Few inputs are active, and which ones no branch can foresee. Sixteen bytes are tested at once, and the places of
//! those that have the bit are moved together in a register: a list grows by as many as there are, without a branch.
//!
//! # Practice
//!
//! [`Gather::best`] names the fastest way the processor has; all give the same list, in the order of the chunks.

use super::Vectors;

/// Bytes of a chunk.
pub const CHUNK: usize = 16;

/// Bytes of a patch that stand side by side, and where each belongs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunk {
    /// The run that they are in.
    pub run: u32,
    /// The first of them, from the run's begin.
    pub first: u32,
    /// The bits of the places that are asked for.
    pub mask: u16,
    /// Their places.
    pub places: [u32; CHUNK],
}

/// Ways to gather, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gather {
    /// One by one.
    Portable,
    /// AVX-512: sixteen at once.
    Avx512,
}

impl Gather {
    /// The fastest way there is.
    pub fn best() -> Self {
        *Self::available().last().unwrap_or(&Gather::Portable)
    }

    /// All ways there are, slowest first.
    pub fn available() -> &'static [Self] {
        const ALL: [Gather; 2] = [Gather::Portable, Gather::Avx512];
        &ALL[..1 + usize::from(Vectors::best() == Vectors::Avx512)]
    }

    /// Writes the places of the chunks' bytes that have bit `bit` to `out`, and gives how many they are; run `r` begins
    /// at `begins[r]` of `bytes`. `out` has room for a chunk more than there are.
    pub fn places(self, bytes: &[u8], begins: &[usize], bit: u32, chunks: &[Chunk], out: &mut [u32]) -> usize {
        assert!(Self::available().contains(&self), "{self:?} is not available");
        match self {
            Gather::Portable => portable(bytes, begins, bit, chunks, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the set is available.
            Gather::Avx512 => unsafe { avx512(bytes, begins, bit, chunks, out) },
            #[cfg(not(target_arch = "x86_64"))]
            Gather::Avx512 => portable(bytes, begins, bit, chunks, out),
        }
    }
}

fn portable(bytes: &[u8], begins: &[usize], bit: u32, chunks: &[Chunk], out: &mut [u32]) -> usize {
    let mut count = 0;
    for Chunk { run, first, mask, places } in chunks {
        let bytes: &[u8; CHUNK] = bytes[begins[*run as usize] + *first as usize..].first_chunk().expect("a padded run");
        for half in 0..2 {
            // Most are not set: they are passed over eight at a time.
            let eight = u64::from_le_bytes(*bytes[8 * half..].first_chunk().expect("half of it"));
            let mut set = eight >> bit & 0x0101_0101_0101_0101;
            while set != 0 {
                let at = 8 * half + set.trailing_zeros() as usize / 8;
                out[count] = places[at];
                count += usize::from(mask >> at & 1);
                set &= set - 1;
            }
        }
    }
    count
}

/// # Safety
/// The processor has the features.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
fn avx512(bytes: &[u8], begins: &[usize], bit: u32, chunks: &[Chunk], out: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let bit = _mm_set1_epi8((1u8 << bit) as i8);
    let mut count = 0;
    for Chunk { run, first, mask, places } in chunks {
        let bytes: &[u8; CHUNK] = bytes[begins[*run as usize] + *first as usize..].first_chunk().expect("a padded run");
        let out: &mut [u32; CHUNK] = out[count..].first_chunk_mut().expect("room for a chunk");
        // SAFETY: each array is as large as the register it is read from or written to.
        unsafe {
            let set = _mm_test_epi8_mask(_mm_loadu_si128(bytes.as_ptr().cast()), bit) & mask;
            let packed = _mm512_maskz_compress_epi32(set, _mm512_loadu_si512(places.as_ptr().cast()));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), packed);
            count += set.count_ones() as usize;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::philox4x32;

    #[test]
    fn every_way_gives_the_places_of_the_bits() {
        let number = |i: usize| philox4x32([7, 1], [i as u32, 0, 0, 0])[0];
        let bytes: Vec<u8> = (0..400).map(|i| if number(i) % 3 == 0 { number(i + 1000) as u8 } else { 0 }).collect();
        let begins = [3, 120, 250];
        let chunk = |i: usize| {
            let places = std::array::from_fn(|lane| number(100 * i + lane));
            let (run, first) = (number(i + 50) % 3, number(i + 60) % 100);
            Chunk { run, first, mask: if i < 5 { u16::MAX } else { number(i + 70) as u16 }, places }
        };
        let chunks: Vec<Chunk> = (0..20).map(chunk).collect();
        for bit in 0..8 {
            let all = chunks.iter().flat_map(|chunk| (0..CHUNK).map(move |i| (chunk, i)));
            let has = |chunk: &Chunk, i: usize| {
                let byte = bytes[begins[chunk.run as usize] + chunk.first as usize + i];
                byte >> bit & 1 == 1 && chunk.mask >> i & 1 == 1
            };
            let expected: Vec<u32> =
                all.filter(|(chunk, i)| has(chunk, *i)).map(|(chunk, i)| chunk.places[i]).collect();
            assert!(expected.len() > 10);
            for &gather in Gather::available() {
                let mut out = vec![0; expected.len() + CHUNK];
                let count = gather.places(&bytes, &begins, bit, &chunks, &mut out);
                assert_eq!(out[..count], expected, "{gather:?}, bit {bit}");
            }
        }
    }
}
