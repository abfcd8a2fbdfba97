//! Event by event: the inputs of a patch that are active, and the rows of weights that they add.

use crate::kernels::digits::LANES;
use crate::kernels::vectorised;

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

/// Active inputs.
#[derive(Clone, Copy, Debug)]
pub struct ActiveInputs<'a> {
    /// Where each one's row of weights begins.
    pub places: &'a [u32],
    /// Its pulse; none: 1 of all.
    pub pulses: Option<&'a [f32]>,
}

vectorised! {
    up to avx2
    /// Sums rows of weights, each from its place in `weights` and times its pulse; a pixel's blocks are `step` apart in
    /// `out`.
    pub fn add_rows(active: ActiveInputs, weights: &[f32], out: &mut [f32], step: usize) {
        let blocks = out.len().div_ceil(step);
        let mut block = 0;
        while block < blocks {
            let (weights, out) = (&weights[block * LANES..], &mut out[block * step..]);
            // Blocks go together, as many as registers hold the sums of.
            block += match blocks - block {
                4.. => add_to::<4>(active, weights, out, step),
                2.. => add_to::<2>(active, weights, out, step),
                _ => add_to::<1>(active, weights, out, step),
            };
        }
    }
}

/// Adds a row of `N` blocks, times its pulse.
#[inline(always)]
fn add_row<const N: usize>(sums: &mut [[f32; LANES]; N], weights: &[f32], pulse: f32) {
    for (sums, weights) in sums.iter_mut().zip(weights[..N * LANES].as_chunks::<LANES>().0) {
        sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += pulse * w);
    }
}

/// Sums rows of `N` blocks; gives `N`.
#[inline(always)]
fn add_to<const N: usize>(active: ActiveInputs, weights: &[f32], out: &mut [f32], step: usize) -> usize {
    let mut sums = [[0.0f32; LANES]; N];
    match active.pulses {
        Some(pulses) => {
            for (at, pulse) in active.places.iter().zip(pulses) {
                add_row(&mut sums, &weights[*at as usize..], *pulse);
            }
        }
        None => {
            for at in active.places {
                add_row(&mut sums, &weights[*at as usize..], 1.0);
            }
        }
    }
    for (out, sums) in out.chunks_mut(step).zip(&sums) {
        out[..LANES].copy_from_slice(sums);
    }
    N
}
