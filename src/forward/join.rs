//! Currents that several make up: the sums of layers behind their norms, the pulses of skips, and other neurons'
//! currents, added in f32 in this order. The functions here take an image's currents, `[steps, blocks, pixels, 16]`; of
//! a batch's [`Geometry`] they use what is the same for each image.

use super::currents::Geometry;
use super::neurons::{Lanes, Sums};
use crate::kernels::digits::LANES;
use crate::network::Lif;
use crate::network::pool::{PoolKind, Pooling, for_windows};
use crate::network::pulses::Pulses;
use crate::numeric::Shape;
use crate::plan::LayerPlan;

/// The currents of each step and block of an image.
fn chunks(geometry: Geometry, currents: &mut [f32]) -> impl Iterator<Item = ((usize, usize), &mut [f32])> {
    let blocks = geometry.blocks;
    currents.chunks_mut(geometry.block()).enumerate().map(move |(i, chunk)| ((i / blocks, i % blocks), chunk))
}

/// Adds what a layer's sums are behind its norms, `[blocks, steps]`.
pub fn add_sums(geometry: Geometry, lif: &Lif, norms: &[[Lanes; 2]], sums: Sums, currents: &mut [f32]) {
    for ((t, block), out) in chunks(geometry, currents) {
        let [gain, offset] = &norms[block * geometry.steps + t];
        let sums = &sums.sums[block * sums.block + t * sums.step..][..out.len()];
        for (out, sums) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(sums.as_chunks::<LANES>().0) {
            for o in 0..LANES {
                out[o] += lif.share(gain[o], sums[o], offset[o]);
            }
        }
    }
}

/// Adds a layer's share of whole maps, pooled where it is.
pub fn add_share(geometry: Geometry, plan: &LayerPlan, norms: &[[Lanes; 2]], sums: Sums, currents: &mut [f32]) {
    let Some(pooling) = &plan.before else { return add_sums(geometry, &plan.lif, norms, sums, currents) };
    let share = share(plan, norms, sums, geometry.steps);
    add_pooled(geometry, &plan.lif, (pooling, plan.output), &share, currents);
}

/// A layer's share behind its norms, before it is pooled.
pub fn share(plan: &LayerPlan, norms: &[[Lanes; 2]], sums: Sums, steps: usize) -> Vec<f32> {
    let geometry = Geometry::of_map(plan.output, 1, steps);
    let mut share = vec![0.0; geometry.image()];
    add_sums(geometry, &plan.lif, norms, sums, &mut share);
    share
}

/// Adds the pool of a share, which stands as the currents do, of a whole map of `input`.
fn add_pooled(geometry: Geometry, lif: &Lif, (pooling, input): (&Pooling, Shape), share: &[f32], currents: &mut [f32]) {
    let output = pooling.output(input);
    for (share, out) in share.chunks(input.height * input.width * LANES).zip(currents.chunks_mut(geometry.block())) {
        let mut pooled = vec![if pooling.kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 }; out.len()];
        for_windows(pooling, input, output, |behind, front| {
            let (from, to) = (&share[front * LANES..][..LANES], &mut pooled[behind * LANES..][..LANES]);
            match pooling.kind {
                PoolKind::Max => to.iter_mut().zip(from).for_each(|(to, from)| *to = to.max(*from)),
                PoolKind::Average | PoolKind::Sum => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
            }
        });
        out.iter_mut().zip(&pooled).for_each(|(out, pooled)| *out += lif.share(pooling.share(), *pooled, 0.0));
    }
}

/// Adds pulses, of maps from `first` on, each of a value.
pub fn add_pulses(geometry: Geometry, lif: &Lif, unit: f32, (pulses, first): (&Pulses, usize), currents: &mut [f32]) {
    let mut map = vec![0u32; geometry.step()];
    let mut last = None;
    for ((t, block), out) in chunks(geometry, currents) {
        if last != Some(t) {
            counts(pulses, first + t, &mut map);
            last = Some(t);
        }
        for (out, counts) in out.chunks_mut(LANES).zip(map.chunks(geometry.blocks * LANES)) {
            for (out, count) in out.iter_mut().zip(&counts[block * LANES..]) {
                *out += lif.share(unit, *count as f32, 0.0);
            }
        }
    }
}

/// Adds other neurons' currents of the whole map.
pub fn add_currents(other: &[f32], currents: &mut [f32]) {
    currents.iter_mut().zip(other).for_each(|(current, other)| *current += other);
}

/// Reads a map of pulses, `[pixels, channels]`, the channels in whole blocks.
pub fn counts(pulses: &Pulses, map: usize, out: &mut [u32]) {
    let mut bytes = vec![0; out.len()];
    out.fill(0);
    for plane in 0..pulses.planes() {
        pulses.read(map, plane, 0, &mut bytes);
        out.iter_mut().zip(&bytes).for_each(|(count, byte)| *count |= u32::from(*byte) << (8 * plane));
    }
}
