//! Event by event: the inputs of a patch that are active, and the rows of weights that they add.

use multiversion::multiversion;

use crate::kernels::digits::LANES;

/// Calls `event(i, byte)` for every byte of a patch that is not at rest.
#[inline(always)]
pub fn active(patch: &[u8], rest: u8, mut event: impl FnMut(usize, u8)) {
    // Most bytes are at rest: they are passed over eight at a time.
    let (eights, remainder) = patch.as_chunks::<8>();
    for (i, eight) in eights.iter().enumerate() {
        let mut differ = u64::from_le_bytes(*eight) ^ u64::from_le_bytes([rest; 8]);
        while differ != 0 {
            let at = differ.trailing_zeros() as usize / 8;
            event(8 * i + at, eight[at]);
            differ &= !(0xff << (8 * at));
        }
    }
    for (i, byte) in remainder.iter().enumerate().filter(|(_, byte)| **byte != rest) {
        event(8 * eights.len() + i, *byte);
    }
}

/// An active input: where its row of weights begins, and its pulse.
pub type Event = (u32, f32);

/// Sums rows of weights, each from its place in `weights` and times its pulse; a pixel's blocks are `step` apart in `out`.
#[multiversion(targets("x86_64+avx2"))]
pub fn add_rows(active: &[Event], weights: &[f32], out: &mut [f32], step: usize) {
    let blocks = out.len().div_ceil(step);
    let mut block = 0;
    while block < blocks {
        let (weights, out) = (&weights[block * LANES..], &mut out[block * step..]);
        // As many blocks as registers hold the sums of.
        block += match blocks - block {
            4.. => add_to::<4>(active, weights, out, step),
            2.. => add_to::<2>(active, weights, out, step),
            _ => add_to::<1>(active, weights, out, step),
        };
    }
}

/// The same of `N` blocks; gives `N`.
#[inline(always)]
fn add_to<const N: usize>(active: &[Event], weights: &[f32], out: &mut [f32], step: usize) -> usize {
    let mut sums = [[0.0f32; LANES]; N];
    for (at, pulse) in active {
        let weights = weights[*at as usize..][..N * LANES].as_chunks::<LANES>().0;
        for (sums, weights) in sums.iter_mut().zip(weights) {
            sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += pulse * w);
        }
    }
    for (out, sums) in out.chunks_mut(step).zip(&sums) {
        out[..LANES].copy_from_slice(sums);
    }
    N
}
