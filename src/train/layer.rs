//! One spiking layer in training: forward over all steps, and backpropagation through time.
//!
//! Kept for the backward pass are the layer's inputs, spikes as bits and counts as bytes, and the crossbar's currents;
//! membranes are scanned again.

use std::cell::RefCell;

use rayon::prelude::*;

use super::currents::{Geometry, Images};
use super::gradient::inputs::{self, Transposed};
use super::gradient::weights::{self, Gradient, Source};
use super::gradient::{Currents, LARGEST, scale_for};
use super::neurons::{Scanned, ThroughNorm, through_neurons, through_norm};
use super::norm::{BatchStatistics, Moments, moments, total};
use crate::crossbar::laid::Laid;
use crate::crossbar::sums::{Band, Input, Kernel, Matrix, Scratch};
use crate::kernels::Instructions;
use crate::kernels::digits::LANES;
use crate::network::encode::DIGIT_BITS;
use crate::network::neurons::{Neurons, Sums};
use crate::network::pulses::Pulses;
use crate::network::weights::Norm;
use crate::network::{Inputs, Layer, LayerKind, Neuron};

/// What a layer takes in over a batch.
pub enum Signal<'a> {
    /// The network's input.
    Encoded(&'a Inputs),
    /// Pulses of the layer before, `[images·steps]` maps.
    Pulses(Pulses),
}

/// A layer's programmed matrix.
pub struct Programmed {
    /// The effective weights in published order, multiples of 2^-grid.
    pub weights: Vec<f32>,
    /// See there.
    pub grid: i32,
    /// The value of one input pulse.
    pub unit: f32,
}

/// One layer's pass over a batch.
pub struct LayerPass<'a> {
    plan: &'a Layer,
    geometry: Geometry,
    programmed: Programmed,
    signal: Signal<'a>,
    /// Empty for the first layer, whose product is cheap: it is made again.
    currents: Images,
    neurons: Neurons,
    statistics: BatchStatistics,
}

/// What a layer's backward pass gives.
pub struct LayerGradient {
    /// ∂loss/∂W of the effective matrix, in published order.
    pub weights: Vec<f32>,
    /// ∂loss/∂γ_t, `[steps, channels]`.
    pub gamma: Vec<f32>,
    /// ∂loss/∂pulses of the inputs, blocked; empty unless asked for.
    pub inputs: Images,
}

/// Work space of a thread.
#[derive(Default)]
struct Space {
    laid: Laid,
    scratch: Scratch,
    currents: Currents,
    inputs: inputs::Scratch,
}

thread_local! {
    static SPACE: RefCell<Space> = RefCell::default();
}

impl Signal<'_> {
    /// Lays out an image's maps; one where every step has the same.
    fn lay_out(&self, matrix: &Matrix, image: usize, steps: usize, laid: &mut Laid) {
        match self {
            Signal::Pulses(pulses) => laid.pulses(&matrix.patches, pulses, image * steps, steps),
            Signal::Encoded(inputs) => {
                let planes = inputs.encoder.encoding.planes() as usize;
                laid.encoded(&matrix.patches, inputs.pulses().image(image), planes);
            }
        }
    }

    /// As the gradient of the weights reads it.
    pub fn source(&self) -> Source<'_> {
        match self {
            Signal::Pulses(pulses) => Source::Pulses(pulses),
            Signal::Encoded(inputs) => Source::Encoded {
                digits: inputs.pulses().all(),
                planes: inputs.encoder.encoding.planes() as usize,
                given: inputs.given_steps(),
                base: 1 << DIGIT_BITS,
            },
        }
    }

    /// Currents in pulses, blocked, of a layer's matrix, and each image's [`moments`].
    pub fn currents(&self, plan: &Layer, programmed: &Programmed, geometry: Geometry) -> (Images, Vec<Moments>) {
        let Geometry { images, steps, .. } = geometry;
        if let Signal::Encoded(inputs) = self {
            // Now, for below threads hold their own space: one that waited there for others to encode with it might take
            // up a second image.
            inputs.pulses();
        }
        let input = if matches!(self, Signal::Encoded(_)) { Input::Encoded } else { Input::Pulses };
        // The training grid leaves no room for sums of f32: only integers are exact.
        let kernel = Kernel::Dense(Instructions::best());
        let matrix = Matrix::new(plan, &programmed.weights, programmed.grid, input, kernel);
        if plan.kind == LayerKind::Conv {
            let convolve = |image| {
                let mut growing = Growing::new(geometry);
                SPACE.with_borrow_mut(|Space { laid, scratch, .. }| {
                    self.lay_out(&matrix, image, steps, laid);
                    for map in (0..laid.maps()).step_by(matrix.maps_at_once()) {
                        let maps = matrix.maps_at_once().min(laid.maps() - map);
                        let band = Band { map, y: 0, rows: geometry.height, maps };
                        growing.add(maps, |currents| matrix.sums(laid, band, scratch, currents));
                    }
                });
                growing.repeated()
            };
            return (0..images).into_par_iter().map(convolve).unzip();
        }
        let mut laid = Laid::default();
        match self {
            Signal::Pulses(pulses) => laid.pulses(&matrix.patches, pulses, 0, images * steps),
            Signal::Encoded(inputs) => {
                let planes = inputs.encoder.encoding.planes() as usize;
                laid.encoded(&matrix.patches, inputs.pulses().all(), planes);
            }
        }
        let sums = matrix.connect(&laid);
        let (maps, given) = (laid.maps(), laid.maps() / images);
        let gather = |image| {
            let mut growing = Growing::new(geometry);
            for map in image * given..(image + 1) * given {
                growing.add(1, |currents| {
                    for (block, currents) in currents.chunks_mut(LANES).enumerate() {
                        currents.copy_from_slice(&sums[(block * maps + map) * LANES..][..LANES]);
                    }
                });
            }
            growing.repeated()
        };
        (0..images).into_par_iter().map(gather).unzip()
    }
}

/// An image's currents while they are made, and their moments, taken while a step is still in the cache.
struct Growing {
    geometry: Geometry,
    currents: Vec<f32>,
    moments: Moments,
}

impl Growing {
    fn new(geometry: Geometry) -> Self {
        let moments = vec![[[0.0; LANES]; 2]; geometry.blocks * geometry.steps];
        Growing { geometry, currents: Vec::with_capacity(geometry.image()), moments }
    }

    /// Appends so many steps.
    fn add(&mut self, steps: usize, write: impl FnOnce(&mut [f32])) {
        let from = self.currents.len();
        self.currents.resize(from + steps * self.geometry.step(), 0.0);
        write(&mut self.currents[from..]);
        moments(&self.currents[from..], from / self.geometry.step(), self.geometry, &mut self.moments);
    }

    /// Fills the steps that are missing with copies of those that there are.
    fn repeated(mut self) -> (Vec<f32>, Moments) {
        let given = self.currents.len();
        while self.currents.len() < self.geometry.image() {
            let first = self.currents.len() / self.geometry.step();
            self.currents.extend_from_within(..given);
            moments(&self.currents[first * self.geometry.step()..], first, self.geometry, &mut self.moments);
        }
        (self.currents, self.moments)
    }
}

impl<'a> LayerPass<'a> {
    /// Runs the crossbar on the signal of `images` images and takes the batch's statistics.
    pub fn forward(
        plan: &'a Layer,
        neuron: Neuron,
        (images, steps): (usize, usize),
        programmed: Programmed,
        norm: &Norm,
        signal: Signal<'a>,
    ) -> Self {
        let geometry = Geometry::of(plan, images, steps);
        let (currents, moments) = signal.currents(plan, &programmed, geometry);
        let statistics = BatchStatistics::of(moments, geometry, programmed.unit);
        let channels = plan.columns();
        let (mut gain, mut offset) = (vec![0.0; steps * channels], vec![0.0; steps * channels]);
        for t in 0..steps {
            for c in 0..channels {
                let (place, lane) = (c / LANES * steps + t, c % LANES);
                let g = norm.gamma[t * channels + c] * statistics.inverse_std[place][lane];
                gain[t * channels + c] = g;
                offset[t * channels + c] = -g * statistics.mean[place][lane];
            }
        }
        let neurons = Neurons::new(plan, neuron, &gain, &offset);
        LayerPass { plan, geometry, programmed, signal, currents, neurons, statistics }
    }

    /// The batch's statistics.
    pub fn statistics(&self) -> &BatchStatistics {
        &self.statistics
    }

    /// Pulses behind the pool, `[images·steps]` maps.
    pub fn pulses(&mut self) -> Pulses {
        let Geometry { steps, height, .. } = self.geometry;
        let images: Vec<Pulses> = self
            .currents
            .par_iter()
            .map(|currents| {
                let mut pulses = self.plan.pulses(steps);
                let (block, step) = (self.geometry.block(), self.geometry.step());
                let sums = Sums { sums: currents, block, step, y: 0, rows: height };
                self.neurons.scan(sums, 0, &mut pulses, &mut vec![0; steps]);
                pulses
            })
            .collect();
        if matches!(self.signal, Signal::Encoded(_)) {
            self.currents.clear();
        }
        Pulses::concatenate(images).expect("a batch has an image")
    }

    /// Backpropagates ∂loss/∂pulses (behind the pool) through neurons, norms and the crossbar; hands the statistics on.
    pub fn backward(mut self, gradient: Images, wants_inputs: bool) -> (LayerGradient, BatchStatistics) {
        let geometry = self.geometry;
        if self.currents.is_empty() {
            self.currents = self.signal.currents(self.plan, &self.programmed, geometry).0;
        }
        let currents = std::mem::take(&mut self.currents);
        let Geometry { images, steps, blocks, channels, .. } = geometry;
        let pooled = Geometry::pooled(self.plan, images, steps);
        let scan = |(gradient, currents): (Vec<f32>, &Vec<f32>)| {
            let (gradient, mut dz) = match self.plan.pool {
                (1, 1) => (None, gradient),
                _ => (Some(gradient), vec![0.0; currents.len()]),
            };
            let geometries = (geometry, pooled);
            let scanned =
                through_neurons(&self.neurons, &self.statistics, geometries, currents, gradient.as_deref(), &mut dz);
            (scanned, dz)
        };
        let (scanned, dz): (Vec<Scanned>, Images) = gradient.into_par_iter().zip(&currents).map(scan).unzip();
        let mut largest = vec![[[0.0f32; LANES]; 2]; blocks];
        for image in &scanned {
            for (largest, image) in largest.iter_mut().flatten().flatten().zip(image.largest.iter().flatten().flatten())
            {
                // Not `max`, which would pass over what is not a number.
                *largest = if *image <= *largest { *largest } else { *image };
            }
        }
        let moments = total(scanned.into_iter().map(|s| s.moments).collect());
        let (mut gamma, mut norms, mut bound) = (vec![0.0; steps * channels], Vec::new(), 0.0f32);
        for (place, [sums, products]) in moments.iter().enumerate() {
            let (block, t) = (place / steps, place % steps);
            let (mean, inverse_std) = (&self.statistics.mean[place], &self.statistics.inverse_std[place]);
            let n = geometry.normalised() as f64;
            let products: [f64; LANES] = std::array::from_fn(|o| products[o] * f64::from(inverse_std[o]));
            for (lane, product) in products.iter().enumerate().take(channels - block * LANES) {
                gamma[t * channels + block * LANES + lane] = *product as f32;
            }
            let gain = &self.neurons.norms[place][0];
            let norm = ThroughNorm::new(gain, mean, inverse_std, [sums.map(|s| s / n), products.map(|p| p / n)]);
            let here = norm.bound(mean, &largest[block]);
            bound = if here <= bound { bound } else { here };
            norms.push(norm);
        }
        let scale = scale_for(bound);
        debug_assert!(scale.is_nan() || bound * scale < LARGEST);
        let transposed = wants_inputs.then(|| Transposed::new(self.plan, &self.programmed.weights));
        let backward = Backward { pass: &self, norms, scale, transposed };
        let values = currents.into_iter().zip(dz).collect();
        let (weights, inputs) = match self.plan.kind {
            LayerKind::Conv => backward.through_convolution(values),
            _ => backward.through_matrix(values),
        };
        (LayerGradient { weights, gamma, inputs }, self.statistics)
    }
}

/// What the products of the backward pass need.
struct Backward<'a> {
    pass: &'a LayerPass<'a>,
    norms: Vec<ThroughNorm>,
    scale: f32,
    transposed: Option<Transposed>,
}

/// An image's currents and ∂loss/∂z.
type Values = (Vec<f32>, Vec<f32>);

impl Backward<'_> {
    /// Writes ∂loss/∂currents of a step of an image from row `at` of each block on: rows of pixels `row` apart in a map
    /// of `map`, with zeros between and behind; all zeros beyond the last step.
    fn currents(&self, values: &Values, t: usize, (row, map): (usize, usize), at: usize, currents: &mut Currents) {
        let geometry = self.pass.geometry;
        for block in 0..geometry.blocks {
            let to = &mut currents.units[block * currents.rows + at..][..map];
            let (rows, behind) = to.split_at_mut(geometry.height * row);
            behind.fill([0; LANES]);
            if t >= geometry.steps {
                rows.fill([0; LANES]);
                continue;
            }
            let from = t * geometry.step() + block * geometry.block();
            let values = (&values.0[from..][..geometry.block()], &values.1[from..][..geometry.block()]);
            through_norm(&self.norms[block * geometry.steps + t], self.scale, values, (geometry.width, row), rows);
        }
    }

    fn through_convolution(&self, mut values: Vec<Values>) -> (Vec<f32>, Images) {
        let LayerPass { plan, geometry, signal, .. } = self.pass;
        let inputs = Geometry {
            blocks: plan.input.channels.div_ceil(LANES),
            height: plan.input.height,
            width: plan.input.width,
            ..*geometry
        };
        let source = signal.source();
        // Exact sums: how many images share one does not show.
        let group = geometry.images.div_ceil(2 * rayon::current_num_threads());
        let groups: Vec<(Vec<i64>, Images)> = values
            .par_chunks_mut(group)
            .enumerate()
            .map(|(g, values)| {
                let mut gradient = Gradient::new(plan, source, geometry.steps);
                let images = SPACE.with_borrow_mut(|space| {
                    let images = (g * group..).zip(values);
                    // What an image kept is free once it went through.
                    images
                        .map(|(image, values)| self.image(image, std::mem::take(values), &mut gradient, inputs, space))
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
        let unit = f64::from(1.0 / self.scale);
        (sums.into_iter().map(|sum| (sum as f64 * unit) as f32).collect(), input_gradient)
    }

    /// Adds an image's share to ∂loss/∂W; gives its ∂loss/∂inputs if asked for.
    fn image(
        &self,
        image: usize,
        values: Values,
        gradient: &mut Gradient,
        inputs: Geometry,
        Space { currents, inputs: scratch, .. }: &mut Space,
    ) -> Vec<f32> {
        let Geometry { steps, blocks, .. } = self.pass.geometry;
        let (at_once, rows) = gradient.at_once();
        let (row, map) = gradient.padded();
        let mut out = Vec::with_capacity(if self.transposed.is_some() { inputs.image() } else { 0 });
        for first in (0..steps).step_by(at_once) {
            currents.reshape(blocks, rows);
            for t in first..first + at_once {
                self.currents(&values, t, (row, map), (t - first) * map, currents);
            }
            gradient.add(self.pass.signal.source(), image, first, currents);
            let Some(transposed) = &self.transposed else { continue };
            let maps = at_once.min(steps - first);
            for from in (0..maps).step_by(transposed.maps_at_once()) {
                let here = transposed.maps_at_once().min(maps - from);
                let at = out.len();
                out.resize(at + here * inputs.step(), 0.0);
                transposed.product(currents, (from * map, here * map), 1.0 / self.scale, scratch, &mut out[at..]);
            }
        }
        out
    }

    fn through_matrix(&self, values: Vec<Values>) -> (Vec<f32>, Images) {
        let LayerPass { plan, geometry, signal, .. } = self.pass;
        let Geometry { images, steps, blocks, .. } = *geometry;
        let mut currents = Currents::default();
        currents.reshape(blocks, images * steps);
        for (image, values) in values.iter().enumerate() {
            for t in 0..steps {
                self.currents(values, t, (1, 1), image * steps + t, &mut currents);
            }
        }
        matrix_gradient(plan, signal, steps, &currents, 1.0 / self.scale, self.transposed.as_ref())
    }
}

/// ∂loss/∂W and, through the transposed matrix, ∂loss/∂pulses of a fully connected layer: of currents
/// `[blocks, images·steps, 16]` in units of `unit`.
pub fn matrix_gradient(
    plan: &Layer,
    signal: &Signal,
    steps: usize,
    currents: &Currents,
    unit: f32,
    transposed: Option<&Transposed>,
) -> (Vec<f32>, Images) {
    let weights = weights::fully_connected(plan, signal.source(), steps, currents, unit);
    let Some(transposed) = transposed else { return (weights, Vec::new()) };
    // From the published order of the inputs to blocks: `[blocks, pixels, 16]`.
    let pixels = plan.rows() / plan.input.channels;
    let size = plan.input.channels.next_multiple_of(LANES) * pixels;
    let place = |column: usize| {
        let (channel, pixel) = (column / pixels, column % pixels);
        (channel / LANES * pixels + pixel) * LANES + channel % LANES
    };
    let places: Vec<usize> = (0..plan.rows()).map(place).collect();
    let images = currents.rows / steps;
    let group = images.div_ceil(rayon::current_num_threads());
    let through = |first: usize| -> Images {
        let rows = group.min(images - first) * steps;
        let mut sums = vec![0.0; rows * transposed.blocks() * LANES];
        SPACE.with_borrow_mut(|Space { inputs: scratch, .. }| {
            transposed.product(currents, (first * steps, rows), unit, scratch, &mut sums);
        });
        let mut out = vec![vec![0.0; steps * size]; rows / steps];
        for (sums, places) in sums.chunks(rows * LANES).zip(places.chunks(LANES)) {
            let maps = out.iter_mut().flat_map(|image| image.chunks_mut(size));
            for (map, sums) in maps.zip(sums.chunks(LANES)) {
                places.iter().zip(sums).for_each(|(place, sum)| map[*place] = *sum);
            }
        }
        out
    };
    let groups: Vec<Images> = (0..images).into_par_iter().step_by(group).map(through).collect();
    (weights, groups.into_iter().flatten().collect())
}
