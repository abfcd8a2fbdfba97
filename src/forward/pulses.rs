//! The ways of pulses behind their neurons: pools, sums with others' pulses, and channels side by side.

use rayon::prelude::*;

use super::join::counts;
use crate::kernels::digits::LANES;
use crate::network::graph::Node;
use crate::network::pool::{PoolKind, Pooling, for_windows};
use crate::network::pulses::Pulses;
use crate::numeric::Shape;

/// Makes maps of what a node sends, each by itself from its number, `[pixels, channels]` in whole blocks.
fn made(node: &Node, maps: usize, make: impl Fn(usize, &mut [u32]) + Sync) -> Pulses {
    let pixels = node.map.height * node.map.width;
    let channels = node.map.channels.next_multiple_of(LANES);
    let map = |number| {
        let mut values = vec![0; pixels * channels];
        make(number, &mut values);
        let mut pulses = Pulses::new(1, pixels, channels, node.largest);
        for (place, lanes) in values.as_chunks::<LANES>().0.iter().enumerate() {
            let lanes = lanes.map(|count| count as u16);
            pulses.put(0, place / (channels / LANES), place % (channels / LANES), &lanes);
        }
        pulses
    };
    // The maps of one image are no work to share.
    let made: Vec<Pulses> = (0..maps).into_par_iter().with_min_len(64).map(map).collect();
    Pulses::concatenate(made).expect("a batch has an image")
}

/// A pool of another node's pulses.
pub fn pooled(node: &Node, pooling: &Pooling, input: Shape, pulses: &Pulses) -> Pulses {
    let channels = pulses.channels();
    made(node, pulses.maps(), |map, out| {
        let mut source = vec![0; input.height * input.width * channels];
        counts(pulses, map, &mut source);
        for_windows(pooling, input, node.map, |to, from| {
            let (from, to) = (&source[from * channels..][..channels], &mut out[to * channels..][..channels]);
            match pooling.kind {
                PoolKind::Max => to.iter_mut().zip(from).for_each(|(to, from)| *to = (*to).max(*from)),
                PoolKind::Average | PoolKind::Sum => to.iter_mut().zip(from).for_each(|(to, from)| *to += from),
            }
        });
    })
}

/// Adds the pulses of others to those of a node, map by map.
pub fn added(node: &Node, parts: &[&Pulses]) -> Pulses {
    made(node, parts[0].maps(), |map, out| {
        let mut counted = vec![0; out.len()];
        for part in parts {
            counts(part, map, &mut counted);
            out.iter_mut().zip(&counted).for_each(|(out, count)| *out += count);
        }
    })
}

/// The channels of some nodes side by side.
pub fn side_by_side(node: &Node, parts: &[(usize, &Pulses)]) -> Pulses {
    let all = node.map.channels.next_multiple_of(LANES);
    made(node, parts[0].1.maps(), |map, out| {
        let mut first = 0;
        for (channels, part) in parts {
            let mut counted = vec![0; node.map.height * node.map.width * part.channels()];
            counts(part, map, &mut counted);
            for (out, from) in out.chunks_mut(all).zip(counted.chunks(part.channels())) {
                out[first..first + channels].copy_from_slice(&from[..*channels]);
            }
            first += channels;
        }
    })
}
