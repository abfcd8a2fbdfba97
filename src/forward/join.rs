//! Currents that several make up: the sums of layers behind their norms, the pulses of skips, and other neurons' currents, added in
//! f32 in this order. They stand as `[steps, blocks, pixels, 16]`, of all rows or of a band.

use super::neurons::{Lanes, Sums};
use crate::kernels::digits::LANES;
use crate::network::Lif;
use crate::network::pool::{PoolKind, Pooling, for_windows};
use crate::network::pulses::Pulses;
use crate::numeric::Shape;
use crate::plan::LayerPlan;

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
    /// That of a whole map.
    pub fn whole(map: Shape, steps: usize) -> Self {
        let pixels = map.height * map.width;
        Place { steps, blocks: map.channels.div_ceil(LANES), first: 0, pixels, map: pixels }
    }

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

/// Adds a layer's share of whole maps, pooled where it is.
pub fn add_share(place: Place, plan: &LayerPlan, norms: &[[Lanes; 2]], sums: Sums, currents: &mut [f32]) {
    let Some(pooling) = &plan.before else { return add_sums(place, &plan.lif, norms, sums, currents) };
    let share = share(plan, norms, sums, place.steps);
    add_pooled(place, &plan.lif, (pooling, plan.output), &share, currents);
}

/// A layer's share behind its norms, before it is pooled.
pub fn share(plan: &LayerPlan, norms: &[[Lanes; 2]], sums: Sums, steps: usize) -> Vec<f32> {
    let place = Place::whole(plan.output, steps);
    let mut share = vec![0.0; place.floats()];
    add_sums(place, &plan.lif, norms, sums, &mut share);
    share
}

/// Adds the pool of a share, which stands as the currents do, of a whole map of `input`.
fn add_pooled(place: Place, lif: &Lif, (pooling, input): (&Pooling, Shape), share: &[f32], currents: &mut [f32]) {
    let output = pooling.output(input);
    for (share, out) in share.chunks(input.height * input.width * LANES).zip(currents.chunks_mut(place.pixels * LANES))
    {
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
