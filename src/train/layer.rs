//! One layer's pass: forward over all steps, through its crossbar and norms, and back from ∂loss/∂z, z what joins the
//! neurons' current. In training norms take the batch's statistics; on a finished chip they are fixed, and an image's
//! gradient does not depend on the batch that it is in.
//!
//! Kept for the backward pass are the layer's inputs, spikes as bits and counts as bytes, and the crossbar's currents.

use std::cell::RefCell;

use rayon::prelude::*;

use super::gradient::Currents;
use super::gradient::inputs;
use super::gradient::weights::{self, Gradient};
use super::neurons::{Scanned, ThroughNorm, through_norm};
use super::norm::{BatchStatistics, Moments, over_steps, total};
use super::operands::{Operands, currents, source};
use crate::error::Result;
use crate::forward::currents::{Geometry, Images};
use crate::forward::neurons::{Lanes, Sums, norms};
use crate::forward::patches::Patches;
use crate::forward::walk::Signal;
use crate::kernels::digits::LANES;
use crate::monitor::stop_if_asked;
use crate::network::LayerKind;
use crate::network::weights::LayerWeights;
use crate::numeric::larger;
use crate::plan::LayerPlan;

/// One layer's pass over a batch.
pub struct LayerPass<'a> {
    /// The layer.
    pub plan: &'a LayerPlan,
    /// How its currents stand.
    pub geometry: Geometry,
    operands: &'a Operands,
    signal: Signal<'a>,
    /// The sums that the crossbar gave, in pulses; empty where they are made again.
    currents: Images,
    /// Gain and offset behind it, `[blocks, steps]`.
    pub norms: Vec<[Lanes; 2]>,
}

/// What a layer's backward pass gives.
pub struct LayerGradient {
    /// ∂loss/∂W of the effective matrix, in published order.
    pub weights: Vec<f32>,
    /// ∂loss/∂γ, `[norms, channels]`; empty without norms.
    pub gamma: Vec<f32>,
    /// ∂loss/∂β, `[channels]`, of a norm for all steps; else empty.
    pub shift: Vec<f32>,
    /// ∂loss/∂bias, `[channels]`; empty where there is none.
    pub bias: Vec<f32>,
    /// ∂loss/∂pulses of the inputs, blocked; empty unless asked for.
    pub inputs: Images,
}

/// Work space of a thread.
#[derive(Default)]
struct BackwardScratch {
    currents: Currents,
    inputs: inputs::TransposedScratch,
}

thread_local! {
    static SPACE: RefCell<BackwardScratch> = RefCell::default();
}

impl<'a> LayerPass<'a> {
    /// Runs the crossbar on the signal of `images` images and normalises with the batch's statistics, where the layer
    /// has norms: then it gives those.
    pub fn forward(
        plan: &'a LayerPlan,
        (images, steps): (usize, usize),
        operands: &'a Operands,
        state: &LayerWeights,
        signal: Signal<'a>,
    ) -> Result<(Self, Option<BatchStatistics>)> {
        let geometry = Geometry::of(plan, images, steps);
        let (currents, moments) = currents(&signal, plan, operands, geometry);
        let channels = plan.columns();
        let statistics = state
            .norm
            .as_ref()
            .map(|norm| (norm, BatchStatistics::of(moments, geometry, operands.unit, norm, state.bias.as_deref())));
        let (gain, offset) = match &statistics {
            None => state.fold(operands.unit, steps, plan)?,
            Some((norm, statistics)) => (0..steps * channels)
                .map(|i| {
                    let (t, c) = (i / channels, i % channels);
                    let (place, lane, at) = (c / LANES * steps + t, c % LANES, i % norm.gamma.len());
                    let gain = norm.gamma[at] * statistics.inverse_std[place][lane];
                    let offset = -gain * statistics.mean[place][lane];
                    (gain, norm.shift.as_ref().map_or(offset, |shift| shift[at] + offset))
                })
                .unzip(),
        };
        let (gain, offset) = plan.lif.norms(gain, offset);
        let norms = norms(channels, &gain, &offset);
        let pass = LayerPass { plan, geometry, operands, signal, currents, norms };
        Ok((pass, statistics.map(|(_, statistics)| statistics)))
    }

    /// The forward pass with fixed gains and offsets, `[steps, columns]`.
    pub fn forward_folded(
        plan: &'a LayerPlan,
        (images, steps): (usize, usize),
        operands: &'a Operands,
        (gain, offset): (&[f32], &[f32]),
        signal: Signal<'a>,
    ) -> Self {
        let geometry = Geometry::of(plan, images, steps);
        let (currents, _) = currents(&signal, plan, operands, geometry);
        let norms = norms(plan.columns(), gain, offset);
        LayerPass { plan, geometry, operands, signal, currents, norms }
    }

    /// A layer that ran step by step, with what it gave and what it was given.
    pub fn of_steps(
        plan: &'a LayerPlan,
        (images, steps): (usize, usize),
        operands: &'a Operands,
        norms: Vec<[Lanes; 2]>,
        (currents, signal): (Images, Signal<'a>),
    ) -> Self {
        LayerPass { plan, geometry: Geometry::of(plan, images, steps), operands, signal, currents, norms }
    }

    /// Takes the sums that the crossbar gave for the images.
    pub fn take_currents(&mut self) -> Images {
        self.ensure_currents();
        std::mem::take(&mut self.currents)
    }

    /// Makes again what the crossbar gave, where it is not kept.
    pub fn ensure_currents(&mut self) {
        if self.currents.is_empty() {
            self.currents = currents(&self.signal, self.plan, self.operands, self.geometry).0;
        }
    }

    /// Lets go of what is cheap to make again: that of the first layer.
    pub fn spare_currents(&mut self) {
        if matches!(self.signal, Signal::Encoded { .. }) {
            self.currents.clear();
        }
    }

    /// The sums that the crossbar gave for an image, as neurons take them.
    pub fn sums(&self, image: usize) -> Sums<'_> {
        Sums::whole(&self.currents[image], self.geometry)
    }

    /// Backpropagates each image's ∂loss/∂z through the batch's norms and the crossbar. `values` are currents and ∂z,
    /// `scanned` their sums.
    pub fn backward(
        &self,
        (scanned, values): (Vec<Scanned>, Vec<CurrentsAndGradient>),
        state: &LayerWeights,
        statistics: Option<&BatchStatistics>,
    ) -> LayerGradient {
        let Geometry { images, steps, blocks, .. } = self.geometry;
        let still = vec![[0.0; LANES]; blocks * steps];
        let means = statistics.map_or(&still, |statistics| &statistics.mean);
        let mut largest = vec![[[0.0f32; LANES]; 2]; blocks];
        for image in &scanned {
            for (largest, image) in largest.iter_mut().flatten().flatten().zip(image.largest.iter().flatten().flatten())
            {
                *largest = larger(*largest, *image);
            }
        }
        let moments = total(scanned.into_iter().map(|s| s.moments).collect());
        let (norms, [gamma, shift, bias]) = self.through_norms(moments, state, statistics);
        let bounds = norms.iter().zip(means).enumerate();
        let bound =
            bounds.fold(0.0, |bound, (place, (norm, mean))| larger(bound, norm.bound(mean, &largest[place / steps])));
        let precision = self.operands.precision;
        let scale = precision.scale_for(bound);
        debug_assert!(scale.is_nan() || bound * scale <= precision.largest() * 1.0001);
        let backward = BackwardProducts { pass: self, norms, scales: vec![scale; images] };
        let (weights, inputs) = match self.plan.kind {
            LayerKind::Conv => backward.through_convolution(values, scale),
            _ => backward.through_matrix(values, scale),
        };
        LayerGradient { weights, gamma, shift, bias, inputs }
    }

    /// The maps from ∂z to ∂currents, `[blocks, steps]`, from the sums of ∂z and of ∂z·(x − mean); and the gradients of
    /// γ, β and bias, each empty where there is none.
    fn through_norms(
        &self,
        moments: Moments,
        state: &LayerWeights,
        statistics: Option<&BatchStatistics>,
    ) -> (Vec<ThroughNorm>, [Vec<f32>; 3]) {
        let Geometry { steps, channels, .. } = self.geometry;
        let gains = self.norms.iter().map(|[gain, _]| gain);
        // Sums of a channel over all steps.
        let total = |moments: &Moments| -> Vec<f32> {
            let moments = over_steps(moments.clone(), steps);
            (0..channels).map(|c| moments[c / LANES * steps][0][c % LANES] as f32).collect()
        };
        let Some((norm, statistics)) = state.norm.as_ref().zip(statistics) else {
            let bias = state.bias.as_ref().map_or(vec![], |_| total(&moments));
            return (gains.map(ThroughNorm::fixed).collect(), [vec![], vec![], bias]);
        };
        // The batch's mean takes a bias away.
        let bias = state.bias.as_ref().map_or(vec![], |bias| vec![0.0; bias.len()]);
        let shift = norm.shift.as_ref().map_or(vec![], |_| total(&moments));
        let (mut n, mut moments) = (self.geometry.normalised() as f64, moments);
        if norm.is_for_all_steps() {
            moments = over_steps(moments, steps);
            n *= steps as f64;
        }
        let mut gamma = vec![0.0; norm.gamma.len()];
        let mut norms = Vec::with_capacity(moments.len());
        for ((place, [sums, products]), gain) in moments.iter().enumerate().zip(gains) {
            let (block, t) = (place / steps, place % steps);
            let (mean, inverse_std) = (&statistics.mean[place], &statistics.inverse_std[place]);
            let products: [f64; LANES] = std::array::from_fn(|o| products[o] * f64::from(inverse_std[o]));
            for (lane, product) in products.iter().enumerate().take(channels - block * LANES) {
                if let Some(gamma) = gamma.get_mut(t * channels + block * LANES + lane) {
                    *gamma = *product as f32;
                }
            }
            norms.push(ThroughNorm::new(gain, mean, inverse_std, [sums.map(|s| s / n), products.map(|p| p / n)]));
        }
        (norms, [gamma, shift, bias])
    }

    /// ∂loss/∂pulses of the inputs, blocked, from each image's ∂loss/∂z, under fixed norms. Each image is rounded
    /// by a scale of its own: which others are in the batch does not show.
    pub fn backward_folded(&self, (scanned, values): (Vec<Scanned>, Vec<CurrentsAndGradient>)) -> Images {
        let norms: Vec<_> = self.norms.iter().map(|[gain, _]| ThroughNorm::fixed(gain)).collect();
        let steps = self.geometry.steps;
        let scale = |image: &Scanned| {
            let bounds =
                norms.iter().enumerate().map(|(place, n)| n.bound(&[0.0; LANES], &image.largest[place / steps]));
            self.operands.precision.scale_for(bounds.fold(0.0, larger))
        };
        let scales = scanned.iter().map(scale).collect();
        let backward = BackwardProducts { pass: self, norms, scales };
        match self.plan.kind {
            LayerKind::Conv => backward.convolve_back(values),
            _ => self.operands.connect_back(self.plan, steps, &backward.rows(&values), &backward.scales),
        }
    }

    /// ∂loss/∂inputs of one step, for which currents do not matter, from ∂z `[blocks, pixels, 16]` of each image.
    pub fn backward_step(&self, t: usize, dz: &[&[f32]]) -> Images {
        let geometry = Geometry { steps: 1, ..self.geometry };
        let norms = self.norms.chunks(self.geometry.steps).map(|steps| steps[t]).collect();
        let LayerPass { plan, operands, .. } = *self;
        let step = LayerPass { plan, geometry, operands, signal: self.signal.clone(), currents: vec![], norms };
        let scanned = dz.iter().map(|dz| Scanned::of(dz, dz, &[], geometry)).collect();
        step.backward_folded((scanned, dz.iter().map(|dz| (dz.to_vec(), dz.to_vec())).collect()))
    }
}

/// What the products of the backward pass need.
struct BackwardProducts<'a> {
    pass: &'a LayerPass<'a>,
    norms: Vec<ThroughNorm>,
    /// Whole units of ∂loss/∂currents, an image each.
    scales: Vec<f32>,
}

/// An image's currents and ∂loss/∂z.
pub type CurrentsAndGradient = (Vec<f32>, Vec<f32>);

impl BackwardProducts<'_> {
    /// Writes ∂loss/∂currents of step `t` of image `image` from row `at` of each block on: rows of pixels `row` apart
    /// in a map of `map`, with zeros between and behind; all zeros beyond the last step.
    fn currents(
        &self,
        values: &CurrentsAndGradient,
        (image, t): (usize, usize),
        (row, map): (usize, usize),
        at: usize,
        currents: &mut Currents,
    ) {
        let geometry = self.pass.geometry;
        for block in 0..geometry.blocks {
            let to = &mut currents.units[block * currents.rows + at..][..map];
            if t >= geometry.steps {
                to.fill([0; LANES]);
                continue;
            }
            let from = t * geometry.step() + block * geometry.block();
            let values = (&values.0[from..][..geometry.block()], &values.1[from..][..geometry.block()]);
            let (norm, scale) = (&self.norms[block * geometry.steps + t], self.scales[image]);
            match self.pass.plan.unrolling().window.stride {
                [1, 1] => {
                    let (rows, behind) = to.split_at_mut(geometry.height * row);
                    behind.fill([0; LANES]);
                    through_norm(norm, scale, values, (geometry.width, row), rows);
                }
                stride => apart(norm, scale, values, (geometry.width, row), stride, to),
            }
        }
    }

    /// The input maps of a convolution.
    fn inputs(&self) -> Geometry {
        let LayerPass { plan, geometry, .. } = self.pass;
        let (blocks, input) = (plan.input.channels.div_ceil(LANES), plan.input);
        Geometry { blocks, height: input.height, width: input.width, ..*geometry }
    }

    /// ∂loss/∂W and ∂loss/∂inputs, all images in units of 1/`scale`.
    fn through_convolution(&self, mut values: Vec<CurrentsAndGradient>, scale: f32) -> (Vec<f32>, Images) {
        let LayerPass { plan, geometry, signal, operands, .. } = self.pass;
        let source = source(signal);
        // Exact sums: how many images share one does not show.
        let group = geometry.images.div_ceil(2 * rayon::current_num_threads());
        let groups: Vec<(Vec<i64>, Images)> = values
            .par_chunks_mut(group)
            .enumerate()
            .map(|(g, values)| {
                let mut gradient = Gradient::new(plan, source, geometry.steps, operands.precision);
                let images = SPACE.with_borrow_mut(|space| {
                    let images = (g * group..).zip(values);
                    // What an image kept is free once it went through.
                    images
                        .map(|(image, values)| self.image(image, std::mem::take(values), Some(&mut gradient), space))
                        .collect()
                });
                (gradient.total(), images)
            })
            .collect();
        let mut input_gradient = Vec::new();
        let mut sums = vec![0i64; plan.rows() * plan.columns()];
        for (total, images) in groups {
            sums.par_iter_mut().zip(total).for_each(|(sum, t)| *sum += t);
            input_gradient.extend(images);
        }
        let unit = f64::from(1.0 / scale);
        (sums.into_iter().map(|sum| (sum as f64 * unit) as f32).collect(), input_gradient)
    }

    /// ∂loss/∂inputs alone.
    fn convolve_back(&self, values: Vec<CurrentsAndGradient>) -> Images {
        let image = |(image, values)| SPACE.with_borrow_mut(|space| self.image(image, values, None, space));
        values.into_par_iter().enumerate().map(image).collect()
    }

    /// Adds an image's share to ∂loss/∂W, where that is wanted; gives its ∂loss/∂inputs if the layer has the operand.
    fn image(
        &self,
        image: usize,
        values: CurrentsAndGradient,
        mut gradient: Option<&mut Gradient>,
        BackwardScratch { currents, inputs: scratch, .. }: &mut BackwardScratch,
    ) -> Vec<f32> {
        stop_if_asked();
        let Geometry { steps, blocks, .. } = self.pass.geometry;
        let (transposed, inputs) = (self.pass.operands.transposed.as_ref(), self.inputs());
        let patches = Patches::of(self.pass.plan, false).unstrided();
        let (row, map) = (patches.row(), patches.map());
        let at_once = match (&gradient, transposed) {
            (Some(gradient), _) => gradient.at_once().0,
            (None, Some(transposed)) => transposed.maps_at_once().min(steps),
            (None, None) => return Vec::new(),
        };
        let unit = 1.0 / self.scales[image];
        let mut out = Vec::with_capacity(if transposed.is_some() { inputs.image() } else { 0 });
        for first in (0..steps).step_by(at_once) {
            currents.reshape(blocks, at_once * map);
            for t in first..first + at_once {
                self.currents(&values, (image, t), (row, map), (t - first) * map, currents);
            }
            if let Some(gradient) = &mut gradient {
                gradient.add(source(&self.pass.signal), image, first, currents);
            }
            let Some(transposed) = transposed else { continue };
            let maps = at_once.min(steps - first);
            for from in (0..maps).step_by(transposed.maps_at_once()) {
                let here = transposed.maps_at_once().min(maps - from);
                let at = out.len();
                out.resize(at + here * inputs.step(), 0.0);
                transposed.product(currents, (from * map, here * map), unit, scratch, &mut out[at..]);
            }
        }
        out
    }

    /// ∂loss/∂currents of a fully connected layer, `[blocks, images·steps, 16]`.
    fn rows(&self, values: &[CurrentsAndGradient]) -> Currents {
        let Geometry { images, steps, blocks, .. } = self.pass.geometry;
        let mut currents = Currents::default();
        currents.reshape(blocks, images * steps);
        for (image, values) in values.iter().enumerate() {
            for t in 0..steps {
                self.currents(values, (image, t), (1, 1), image * steps + t, &mut currents);
            }
        }
        currents
    }

    fn through_matrix(&self, values: Vec<CurrentsAndGradient>, scale: f32) -> (Vec<f32>, Images) {
        let LayerPass { plan, geometry, signal, operands, .. } = self.pass;
        let currents = self.rows(&values);
        drop(values);
        let weights = weights::fully_connected(
            plan,
            source(signal),
            geometry.steps,
            &currents,
            (operands.precision, 1.0 / scale),
        );
        (weights, operands.connect_back(plan, geometry.steps, &currents, &self.scales))
    }
}

/// Writes ∂loss/∂currents of a window that moves by more than a pixel: each where the window stood, with zeros between.
fn apart(
    norm: &ThroughNorm,
    scale: f32,
    (currents, dz): (&[f32], &[f32]),
    (width, row): (usize, usize),
    [down, right]: [usize; 2],
    out: &mut [[i32; LANES]],
) {
    out.fill([0; LANES]);
    let mut line = vec![[0; LANES]; width];
    for (y, values) in currents.chunks(width * LANES).zip(dz.chunks(width * LANES)).enumerate() {
        through_norm(norm, scale, values, (width, width), &mut line);
        line.iter().enumerate().for_each(|(x, units)| out[y * down * row + x * right] = *units);
    }
}
