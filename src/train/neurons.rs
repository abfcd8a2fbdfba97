//! Backpropagation through the neurons and the norms of one layer and image.
//!
//! With x̂ the normalised current and z = γ_t·x̂: `u_t = λ·(u_{t−1} − θ·s_{t−1}) + z_t`, `v = u/θ − 1`, `s = [v > 0]`;
//! backward `∂u_t = ∂s_t·σ(v_t)/θ + λ·∂u_{t+1}`, σ the surrogate ([`super::surrogate`]; the reset is outside the
//! gradient), `∂z_t = ∂u_t`, and through the batch's norm `∂x = γ_t/σ_t·(∂z − mean(∂z) − x̂·mean(∂z·x̂))`. Membranes
//! are scanned again, not kept.

use super::norm::Moments;
use super::steps::{General, Moved, Plain, Steps};
use super::surrogate::{Surrogate, with_slope};
use super::varying::Varying;
use crate::forward::currents::Geometry;
use crate::forward::neurons::Neurons;
use crate::kernels::digits::LANES;
use crate::kernels::vectorised;
use crate::network::Lif;
use crate::network::dynamics::Dynamics;
use crate::network::lif::Fixed;
use crate::network::varied::Varied;
use crate::numeric::larger;

/// Pixels of a row that are scanned together: what they carry stays in the first cache.
const PIXELS: usize = 16;

/// What the backward scan of an image gives beside ∂z.
pub struct Scanned {
    /// Sums of ∂z and of ∂z·(x − mean), `[blocks, steps]`.
    pub moments: Moments,
    /// The largest |∂z| and |x − mean| of each channel, `[blocks]`.
    pub largest: Vec<[[f32; LANES]; 2]>,
    /// The gradients of the neurons' own constants, where they have such.
    pub moved: Moved,
}

impl Scanned {
    /// Scans an image's currents, whose means are `[blocks, steps]` or nothing, and ∂z.
    pub fn of(currents: &[f32], dz: &[f32], means: &[[f32; LANES]], geometry: Geometry) -> Self {
        let Geometry { steps, blocks, .. } = geometry;
        let mut moments = vec![[[0.0f64; LANES]; 2]; blocks * steps];
        let mut largest = vec![[[0.0f32; LANES]; 2]; blocks];
        let places = (0..steps).flat_map(|t| (0..blocks).map(move |block| (t, block)));
        for ((t, block), at) in places.zip((0..).step_by(geometry.block())) {
            let mean = means.get(block * steps + t).copied().unwrap_or([0.0; LANES]);
            let values = [currents, dz].map(|values| values[at..][..geometry.block()].as_chunks::<LANES>().0);
            let ([sums, products], [largest_dz, largest_x]) = (&mut moments[block * steps + t], &mut largest[block]);
            for (x, dz) in values[0].iter().zip(values[1]) {
                for o in 0..LANES {
                    let distance = x[o] - mean[o];
                    sums[o] += f64::from(dz[o]);
                    products[o] += f64::from(dz[o] * distance);
                    largest_dz[o] = larger(largest_dz[o], dz[o]);
                    largest_x[o] = larger(largest_x[o], distance);
                }
            }
        }
        Scanned { moments, largest, moved: vec![] }
    }
}

/// The way back through the neurons of a layer.
#[derive(Clone, Copy)]
pub struct WayBack<'a> {
    /// The neurons.
    pub neurons: &'a Neurons,
    /// Means of the currents, `[blocks, steps]`.
    pub means: &'a [[f32; LANES]],
    /// The surrogate that stands for the slope of a spike.
    pub surrogate: Surrogate,
    /// How currents stand.
    pub geometry: Geometry,
    /// How pulses stand behind the pool.
    pub pooled: Geometry,
}

impl<'a> WayBack<'a> {
    /// ∂z of an image from its currents and ∂loss/∂pulses behind the pool; without a pool, `dz` comes with that
    /// gradient.
    pub fn through(&self, currents: &[f32], gradient: Option<&[f32]>, dz: &mut [f32]) -> Scanned {
        if let Some(varied) = &self.neurons.varied {
            return through_varied(self, varied, currents, gradient, dz);
        }
        match self.neurons.neuron {
            Lif { general: Some(dynamics), .. } => through_general(self, &dynamics, currents, gradient, dz),
            Lif { fixed: Some(fixed), .. } => through_fixed(self, fixed, currents, gradient, dz),
            _ => through_floats(self, currents, gradient, dz),
        }
    }

    /// The way back through an image's neurons step by step, from their currents of all steps.
    pub fn by_step(&self, currents: &[f32]) -> Box<dyn StepBack + 'a> {
        let (neuron, surrogate) = (self.neurons.neuron, self.surrogate);
        let slope = move |v, inverse| surrogate.slope(v, inverse);
        if let Some(varied) = self.neurons.varied.as_deref() {
            return Box::new(Held::of(Varying { neuron, varied, slope }, currents, self.geometry));
        }
        match (&self.neurons.neuron.general, neuron.fixed) {
            (Some(dynamics), _) => Box::new(Held::of(General::new(neuron, dynamics, slope), currents, self.geometry)),
            (None, Some(fixed)) => {
                let advance = move |u, gain, x, offset| fixed.advance(neuron.leak, u, gain, x, offset);
                Box::new(Held::of(Plain::new(neuron, advance, slope), currents, self.geometry))
            }
            (None, None) => {
                let advance = move |u, gain, x, offset| neuron.leak * u + (gain * x + offset);
                Box::new(Held::of(Plain::new(neuron, advance, slope), currents, self.geometry))
            }
        }
    }
}

vectorised! {
    fn through_floats(back: &WayBack, currents: &[f32], gradient: Option<&[f32]>, dz: &mut [f32]) -> Scanned {
        let neuron = back.neurons.neuron;
        let advance = |u, gain, x, offset| neuron.leak * u + (gain * x + offset);
        with_slope!(back.surrogate, slope => {
            through_by(back, currents, gradient, dz, &Plain::new(neuron, advance, slope))
        })
    }
}

vectorised! {
    /// Takes gradients straight through the roundings of fixed point.
    fn through_fixed(
        back: &WayBack, fixed: Fixed, currents: &[f32], gradient: Option<&[f32]>, dz: &mut [f32]
    ) -> Scanned {
        let neuron = back.neurons.neuron;
        let advance = |u, gain, x, offset| fixed.advance(neuron.leak, u, gain, x, offset);
        with_slope!(back.surrogate, slope => {
            through_by(back, currents, gradient, dz, &Plain::new(neuron, advance, slope))
        })
    }
}

vectorised! {
    /// Takes gradients back through general neurons.
    fn through_general(
        back: &WayBack,
        dynamics: &Dynamics,
        currents: &[f32],
        gradient: Option<&[f32]>,
        dz: &mut [f32],
    ) -> Scanned {
        let neuron = back.neurons.neuron;
        with_slope!(back.surrogate, slope => {
            through_by(back, currents, gradient, dz, &General::new(neuron, dynamics, slope))
        })
    }
}

vectorised! {
    /// Takes gradients back through neurons whose constants differ.
    fn through_varied(
        back: &WayBack,
        varied: &Varied,
        currents: &[f32],
        gradient: Option<&[f32]>,
        dz: &mut [f32],
    ) -> Scanned {
        let neuron = back.neurons.neuron;
        with_slope!(back.surrogate, slope => {
            through_by(back, currents, gradient, dz, &Varying { neuron, varied, slope })
        })
    }
}

/// The way back through an image's neurons, from the last step to the first.
pub trait StepBack: Send {
    /// ∂loss/∂current of step `t` from ∂loss/∂spike, both `[blocks, pixels, 16]`.
    fn step(&mut self, t: usize, spikes: &[f32], out: &mut [f32]);

    /// The gradients of the neurons' own constants, behind the first step.
    fn moved(&self) -> Moved;
}

/// The values that the way back step by step keeps of each step, and those that it carries from step to step.
struct Held<N: Steps> {
    neuron: N,
    kept: Vec<N::Tape>,
    carried: Vec<N::Adjoint>,
}

impl<N: Steps> Held<N> {
    fn of(neuron: N, currents: &[f32], geometry: Geometry) -> Self {
        let places = geometry.step() / LANES;
        let (blocks, pixels) = (geometry.blocks, geometry.height * geometry.width);
        let begin = |block: usize| (0..pixels).map(move |pixel| (block, pixel));
        let mut states: Vec<N::BlockState> =
            (0..blocks).flat_map(begin).map(|(block, pixel)| neuron.begin(block, pixel)).collect();
        let kept = currents.as_chunks::<LANES>().0.iter().enumerate();
        let kept =
            kept.map(|(i, x)| neuron.forward(&mut states[i % places], &[[1.0; LANES], [0.0; LANES]], x)).collect();
        Held { neuron, kept, carried: vec![N::Adjoint::default(); places] }
    }
}

impl<N: Steps + Send> StepBack for Held<N>
where
    N::Tape: Send,
    N::Adjoint: Send,
{
    fn step(&mut self, t: usize, spikes: &[f32], out: &mut [f32]) {
        let kept = &self.kept[t * self.carried.len()..];
        let values = spikes.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0);
        for ((kept, carried), (spikes, out)) in kept.iter().zip(&mut self.carried).zip(values) {
            for o in 0..LANES {
                out[o] = self.neuron.back(kept, carried, o, spikes[o]);
            }
        }
    }

    fn moved(&self) -> Moved {
        let mut moved = vec![[[0.0; LANES]; 3]; self.neuron.constants()];
        self.carried.iter().for_each(|carried| self.neuron.add_moved(carried, &mut moved));
        moved
    }
}

#[inline(always)]
fn through_by<N: Steps>(
    back: &WayBack,
    currents: &[f32],
    gradient: Option<&[f32]>,
    dz: &mut [f32],
    neuron: &N,
) -> Scanned {
    let WayBack { neurons, means, geometry, pooled, .. } = *back;
    let Geometry { steps, blocks, width, .. } = geometry;
    let mut moments = vec![[[0.0f64; LANES]; 2]; blocks * steps];
    let mut largest = vec![[[0.0f32; LANES]; 2]; blocks];
    let mut moved = vec![[[0.0f64; LANES]; 3]; neuron.constants()];
    let mut kept = vec![N::Tape::default(); steps * PIXELS];
    let (mut states, mut carried) = ([N::BlockState::default(); PIXELS], [N::Adjoint::default(); PIXELS]);
    for (block, y) in (0..blocks).flat_map(|block| (0..geometry.height).map(move |y| (block, y))) {
        let norms = &neurons.norms[block * steps..][..steps];
        let [mut largest_dz, mut largest_x] = largest[block];
        for x in (0..width).step_by(PIXELS) {
            let pixels = PIXELS.min(width - x);
            let at = block * geometry.block() + (y * width + x) * LANES;
            let begin = |(i, state): (usize, &mut N::BlockState)| *state = neuron.begin(block, y * width + x + i);
            states.iter_mut().take(pixels).enumerate().for_each(begin);
            for (t, kept) in kept.chunks_mut(PIXELS).enumerate() {
                let currents = currents[t * geometry.step() + at..][..pixels * LANES].as_chunks::<LANES>().0;
                for ((current, kept), state) in currents.iter().zip(kept).zip(&mut states) {
                    *kept = neuron.forward(state, &norms[t], current);
                }
            }
            carried.fill(N::Adjoint::default());
            let row = y / neurons.pool.0;
            for (t, kept) in kept.chunks(PIXELS).enumerate().rev() {
                let here = t * geometry.step() + at;
                let currents = currents[here..][..pixels * LANES].as_chunks::<LANES>().0;
                let out = dz[here..][..pixels * LANES].as_chunks_mut::<LANES>().0;
                let mean = &means[block * steps + t];
                // Runs are short: their sums in f32 lose nothing that matters, and are then added in f64.
                let [mut sum, mut product] = [[0.0f32; LANES]; 2];
                let lanes = currents.iter().zip(out).zip(kept).zip(&mut carried).enumerate();
                for (i, (((current, out), kept), carried)) in lanes {
                    let column = (x + i) / neurons.pool.1;
                    let source = t * pooled.step() + block * pooled.block() + (row * pooled.width + column) * LANES;
                    let inside = row < pooled.height && column < pooled.width;
                    let spike: [f32; LANES] = match gradient {
                        None => *out,
                        Some(gradient) if inside => *gradient[source..].first_chunk().expect("16 lanes"),
                        Some(_) => [0.0; LANES],
                    };
                    for o in 0..LANES {
                        let d = neuron.back(kept, carried, o, spike[o]);
                        let distance = current[o] - mean[o];
                        out[o] = d;
                        sum[o] += d;
                        product[o] += d * distance;
                        largest_dz[o] = larger(largest_dz[o], d);
                        largest_x[o] = larger(largest_x[o], distance);
                    }
                }
                let [sums, products] = &mut moments[block * steps + t];
                sums.iter_mut().zip(sum).for_each(|(total, sum)| *total += f64::from(sum));
                products.iter_mut().zip(product).for_each(|(total, sum)| *total += f64::from(sum));
            }
            carried[..pixels].iter().for_each(|carried| neuron.add_moved(carried, &mut moved));
        }
        largest[block] = [largest_dz, largest_x];
    }
    Scanned { moments, largest, moved }
}

/// The linear map from ∂z and x to ∂x of one step and block: `∂x = a·∂z + b·x + c`.
#[derive(Clone, Copy, Debug)]
pub struct ThroughNorm {
    a: [f32; LANES],
    b: [f32; LANES],
    c: [f32; LANES],
}

impl ThroughNorm {
    /// The gradient through a norm of the batch, of which these are the means of ∂z and ∂z·x̂.
    pub fn new(gain: &[f32; LANES], mean: &[f32; LANES], inverse_std: &[f32; LANES], means: [[f64; LANES]; 2]) -> Self {
        let a = *gain;
        let b = std::array::from_fn(|o| (-f64::from(gain[o]) * f64::from(inverse_std[o]) * means[1][o]) as f32);
        let c = std::array::from_fn(|o| {
            let hat = f64::from(mean[o]) * f64::from(inverse_std[o]);
            (-f64::from(gain[o]) * (means[0][o] - hat * means[1][o])) as f32
        });
        ThroughNorm { a, b, c }
    }

    /// The gradient through a norm whose statistics do not depend on the batch: `∂x = gain·∂z`.
    pub fn fixed(gain: &[f32; LANES]) -> Self {
        ThroughNorm { a: *gain, b: [0.0; LANES], c: [0.0; LANES] }
    }

    /// The largest |∂x| there can be.
    pub fn bound(&self, mean: &[f32; LANES], largest: &[[f32; LANES]; 2]) -> f32 {
        (0..LANES)
            .map(|o| {
                let rest = (self.b[o] * mean[o] + self.c[o]).abs();
                self.a[o].abs() * largest[0][o] + self.b[o].abs() * largest[1][o] + rest
            })
            .fold(0.0, larger)
    }
}

vectorised! {
    /// ∂x of a block and step in whole units of 1/`scale`, rows of pixels `row` apart with zeros between.
    pub fn through_norm(
        norm: &ThroughNorm,
        scale: f32,
        streams: (&[f32], &[f32]),
        row: (usize, usize),
        out: &mut [[i32; LANES]],
    ) {
        let ((currents, dz), (width, row)) = (streams, row);
        // Adding 1.5·2^23 leaves the nearest whole number in the low bits; magnitudes stay below 2^22.
        const WHOLE: f32 = 1.5 * (1 << 23) as f32;
        let rows = currents.chunks(width * LANES).zip(dz.chunks(width * LANES)).zip(out.chunks_mut(row));
        for ((currents, dz), out) in rows {
            let (out, padding) = out.split_at_mut(width);
            padding.fill([0; LANES]);
            let pixels = currents.as_chunks::<LANES>().0.iter().zip(dz.as_chunks::<LANES>().0).zip(out);
            for ((x, dz), out) in pixels {
                for o in 0..LANES {
                    let d = norm.a[o] * dz[o] + (norm.b[o] * x[o] + norm.c[o]);
                    out[o] = (d * scale + WHOLE).to_bits() as i32 - WHOLE.to_bits() as i32;
                }
            }
        }
    }
}
