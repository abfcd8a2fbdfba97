//! The way back through what becomes of pulses behind their neurons: pools, and channels side by side. Values are
//! blocked, `[steps, blocks, pixels, 16]` of each image.

use rayon::prelude::*;

use crate::forward::currents::Images;
use crate::forward::join::counts;
use crate::kernels::digits::LANES;
use crate::network::Layer;
use crate::network::graph::{Graph, Work};
use crate::network::pool::{PoolKind, Pooling, for_windows};
use crate::network::pulses::Pulses;
use crate::numeric::Shape;

/// ∂loss/∂pulses in front of a pool, from those behind it. A window's largest pulse takes its gradient: the first of
/// several.
pub fn back(pooling: &Pooling, (input, output): (Shape, Shape), gradient: &Images, taken: &Pulses) -> Images {
    let (from, to) = (output.height * output.width * LANES, input.height * input.width * LANES);
    let blocks = input.channels.div_ceil(LANES);
    let image = |(image, gradient): (usize, &Vec<f32>)| {
        let steps = gradient.len() / (blocks * from);
        let mut out = vec![0.0; steps * blocks * to];
        let mut pulses = vec![0; input.height * input.width * taken.channels()];
        for t in 0..steps {
            if pooling.kind == PoolKind::Max {
                counts(taken, image * steps + t, &mut pulses);
            }
            for block in 0..blocks {
                let at = t * blocks + block;
                let (gradient, out) = (&gradient[at * from..][..from], &mut out[at * to..][..to]);
                match pooling.kind {
                    PoolKind::Max => {
                        let count = |pixel: usize, o: usize| pulses[pixel * taken.channels() + block * LANES + o];
                        to_largest(pooling, (input, output), count, gradient, out);
                    }
                    PoolKind::Average | PoolKind::Sum => for_windows(pooling, input, output, |behind, front| {
                        let gradient = &gradient[behind * LANES..][..LANES];
                        out[front * LANES..][..LANES].iter_mut().zip(gradient).for_each(|(out, g)| *out += g);
                    }),
                }
            }
        }
        out
    };
    gradient.par_iter().enumerate().map(image).collect()
}

/// ∂loss/∂share of an image in front of a pool of currents, from that behind it.
pub fn current_back(pooling: &Pooling, input: Shape, share: &[f32], gradient: &[f32]) -> Vec<f32> {
    let output = pooling.output(input);
    let (from, to) = (output.height * output.width * LANES, input.height * input.width * LANES);
    let mut out = vec![0.0; share.len()];
    for ((gradient, out), share) in gradient.chunks(from).zip(out.chunks_mut(to)).zip(share.chunks(to)) {
        match pooling.kind {
            PoolKind::Max => {
                to_largest(pooling, (input, output), |pixel, o| share[pixel * LANES + o], gradient, out);
            }
            PoolKind::Average | PoolKind::Sum => for_windows(pooling, input, output, |behind, front| {
                let gradient = &gradient[behind * LANES..][..LANES];
                out[front * LANES..][..LANES].iter_mut().zip(gradient).for_each(|(out, g)| *out += pooling.share() * g);
            }),
        }
    }
    out
}

/// Gives each window's gradient to its first pixel with the largest value.
fn to_largest<T: Copy + PartialOrd>(
    pooling: &Pooling,
    (input, output): (Shape, Shape),
    value: impl Fn(usize, usize) -> T,
    gradient: &[f32],
    out: &mut [f32],
) {
    let mut largest: Vec<[Option<(T, usize)>; LANES]> = vec![[None; LANES]; output.height * output.width];
    for_windows(pooling, input, output, |behind, front| {
        for (o, largest) in largest[behind].iter_mut().enumerate() {
            let value = value(front, o);
            if largest.is_none_or(|(most, _)| value > most) {
                *largest = Some((value, front));
            }
        }
    });
    for (behind, lanes) in largest.iter().enumerate() {
        for (o, largest) in lanes.iter().enumerate() {
            largest.iter().for_each(|(_, front)| out[front * LANES + o] += gradient[behind * LANES + o]);
        }
    }
}

/// ∂loss/∂pulses of the nodes that stand side by side in a node, from its own.
pub fn apart(graph: &Graph, node: usize, gradient: &Images) -> Vec<Images> {
    let Work::Concat(nodes) = &graph.nodes[node].work else { return vec![] };
    let map = graph.nodes[node].map;
    let (pixels, blocks) = (map.height * map.width, map.channels.div_ceil(LANES));
    let mut first = 0;
    let mut parts = vec![];
    for from in nodes {
        let channels = graph.nodes[*from].map.channels;
        let own = channels.div_ceil(LANES);
        let part = |gradient: &Vec<f32>| {
            let steps = gradient.len() / (blocks * pixels * LANES);
            let mut out = vec![0.0; steps * own * pixels * LANES];
            for (t, c, pixel) in (0..steps)
                .flat_map(|t| (0..channels).map(move |c| (t, c)))
                .flat_map(|(t, c)| (0..pixels).map(move |pixel| (t, c, pixel)))
            {
                let all = first + c;
                let from = ((t * blocks + all / LANES) * pixels + pixel) * LANES + all % LANES;
                out[((t * own + c / LANES) * pixels + pixel) * LANES + c % LANES] = gradient[from];
            }
            out
        };
        parts.push(gradient.par_iter().map(part).collect());
        first += channels;
    }
    parts
}

/// ∂loss/∂spikes of a layer's neurons at one step from those behind the pool that stands there.
pub fn spread(layer: &Layer, gradient: &Images) -> Images {
    let (output, pooled, (high, wide)) = (layer.map(), layer.pooled(), layer.pool);
    if (high, wide) == (1, 1) {
        return gradient.clone();
    }
    let (from, to) = (pooled.height * pooled.width * LANES, output.height * output.width * LANES);
    let image = |gradient: &Vec<f32>| {
        let mut out = vec![0.0; gradient.len() / from * to];
        for (gradient, out) in gradient.chunks(from).zip(out.chunks_mut(to)) {
            for (y, x) in (0..pooled.height * high).flat_map(|y| (0..pooled.width * wide).map(move |x| (y, x))) {
                let source = &gradient[(y / high * pooled.width + x / wide) * LANES..][..LANES];
                out[(y * output.width + x) * LANES..][..LANES].copy_from_slice(source);
            }
        }
        out
    };
    gradient.par_iter().map(image).collect()
}
