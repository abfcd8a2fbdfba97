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

/// Blocks of columns whose sums of events are held in registers.
const HELD: usize = 4;

/// Sums rows of weights, each from its place in `weights` and times its pulse; a pixel's blocks are `step` apart in `out`.
#[multiversion(targets("x86_64+avx2"))]
pub fn add_rows(active: &[(usize, f32)], weights: &[f32], out: &mut [f32], step: usize) {
    let blocks = out.len().div_ceil(step);
    let (held, rest) = (blocks / HELD * HELD, blocks % HELD);
    for block in (0..held).step_by(HELD) {
        add_to::<HELD>(active, &weights[block * LANES..], &mut out[block * step..], step);
    }
    for block in held..held + rest {
        add_to::<1>(active, &weights[block * LANES..], &mut out[block * step..], step);
    }
}

#[inline(always)]
fn add_to<const N: usize>(active: &[(usize, f32)], weights: &[f32], out: &mut [f32], step: usize) {
    let mut sums = [[0.0f32; LANES]; N];
    for (at, pulse) in active {
        let weights = weights[*at..][..N * LANES].as_chunks::<LANES>().0;
        for (sums, weights) in sums.iter_mut().zip(weights) {
            sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += pulse * w);
        }
    }
    for (out, sums) in out.chunks_mut(step).zip(&sums) {
        out[..LANES].copy_from_slice(sums);
    }
}
