//! One pass over a batch: forward through programmed arrays, loss, and the gradient of every parameter.
//!
//! The arrays are programmed by the chip's own code ([`Arrays::program`], [`Programmed::for_training`]), and every product is one
//! of integers: a training run gives the same bits on any processor and any number of threads.

use std::sync::Arc;

use ndarray::Array2;

use super::currents::{Geometry, Images};
use super::gradient::{Currents, scale_for, weights};
use super::graph::{Forward, Layers};
use super::layer::{LayerGradient, LayerPass};
use super::norm::BatchStatistics;
use super::operands::{Operands, currents, source};
use super::surrogate::Surrogate;
use crate::crossbar::arrays::Arrays;
use crate::crossbar::calibration::Calibration;
use crate::crossbar::programmed::Programmed;
use crate::crossbar::reading::Reading;
use crate::crossbar::site::{Place, Site};
use crate::crossbar::sram::Source;
use crate::crossbar::wires::LineLoss;
use crate::device::Draw;
use crate::engine::cpu::mean_readout;
use crate::error::{Error, Result};
use crate::forward::neurons::{Lanes, norms};
use crate::forward::sums::Kernel;
use crate::forward::walk::{Signal, Signals, walk};
use crate::kernels::Instructions;
use crate::kernels::digits::LANES;
use crate::network::weights::LayerWeights;
use crate::network::{Graph, Inputs, Layer, LayerKind, Model, Network};
use crate::numeric::{Shape, largest};
use crate::plan::{ChipPlan, LayerPlan};
use crate::profile::Scheme;

/// The gradient of one layer's parameters, laid out as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGradient {
    /// Of the latent weights that are trained ([`LayerWeights::trained`]), `[columns, rows]`.
    pub weights: Vec<f32>,
    /// The gradient of γ, `[norms, channels]`; empty without norms.
    pub gamma: Vec<f32>,
    /// The gradient of β, `[channels]`; empty without a norm for all steps.
    pub shift: Vec<f32>,
    /// The gradient of the bias, `[channels]`; empty without one.
    pub bias: Vec<f32>,
}

/// What a pass over a batch gives.
pub struct PassOutcome {
    /// Mean cross-entropy.
    pub loss: f64,
    /// `[images, classes]`.
    pub logits: Array2<f32>,
    /// One entry a layer.
    pub gradients: Vec<ParameterGradient>,
    /// The batch's statistics, one entry a spiking layer; none of those without norms.
    pub statistics: Vec<Option<BatchStatistics>>,
}

/// What does not change from pass to pass.
pub struct Setting<'a> {
    /// The network on the hardware that the forward pass is programmed on.
    pub plan: &'a ChipPlan,
    /// The ranges of its converters, where they are profiled.
    pub calibration: Option<&'a Calibration>,
    /// What lines leave of each layer's devices; without it every tile is solved.
    pub losses: &'a [Option<LineLoss>],
    /// The surrogate that stands for the slope of a spike.
    pub surrogate: Surrogate,
    /// The share of each label that all classes have alike.
    pub label_smoothing: f32,
}

impl<'a> Setting<'a> {
    /// A plan without ranges and losses, by the default surrogate and plain labels.
    pub fn of(plan: &'a ChipPlan) -> Self {
        Setting { plan, calibration: None, losses: &[], surrogate: Surrogate::default(), label_smoothing: 0.0 }
    }
}

/// Bytes that a pass over so many images takes at most, roughly: every layer's inputs and currents are kept, and the
/// largest layer's gradients stand beside them, with the sums of the largest convolution's weights.
pub fn bytes(model: &Model, images: usize) -> u64 {
    let blocked = |map: Shape| map.channels.next_multiple_of(LANES) * map.height * map.width;
    let values = |layer: &Layer| (blocked(layer.input) + blocked(layer.output)) as u64;
    let layers = model.layers();
    let kept: u64 = layers.iter().map(values).sum();
    let largest = layers.iter().map(values).max().unwrap_or(0);
    // A convolution's sums: of each group of images 64 bits a weight, and of those under way the digits' 32.
    let convolutions = layers.iter().filter(|layer| layer.kind == LayerKind::Conv);
    let weights = convolutions.map(|layer| (layer.rows() * layer.columns()) as u64).max().unwrap_or(0);
    let threads = rayon::current_num_threads() as u64;
    let groups = (2 * threads).min(images as u64);
    4 * (kept + 2 * largest) * images as u64 * model.steps as u64 + weights * (8 * groups + 12 * threads)
}

/// Runs a batch forward and backward with batch statistics; `draw` programs with variation.
pub fn pass(
    setting: &Setting,
    network: &Network,
    inputs: &Inputs,
    labels: &[u32],
    draw: Option<Draw>,
) -> Result<PassOutcome> {
    let ChipPlan { layers, code, .. } = setting.plan;
    if inputs.encoder.code != *code {
        let message = format!("the plan is of inputs {code:?}, and the batch has {:?}", inputs.encoder.code);
        return Err(Error::Mismatch(message));
    }
    let operands = (0..layers.len()).map(|l| operands(setting, network, l, draw)).collect::<Result<Vec<_>>>()?;
    let (images, steps, last) = (inputs.batch.len(), setting.plan.steps(), layers.len() - 1);
    let graph = &*setting.plan.graph;
    let training = Training {
        graph,
        layers,
        network,
        operands: &operands,
        steps,
        statistics: layers.iter().map(|_| None).collect(),
    };
    let (mut forward, mut signals) =
        (Forward::new(training, (images, steps), true), Signals::of(graph, Signal::of(inputs)));
    walk(&mut forward, graph, 1..graph.nodes.len(), &mut signals)?;
    let bias = network.layers[last].bias.as_deref();
    let signal = signals.at(layers[last].from);
    let loss = Loss { labels, divisor: images as f64, smoothing: setting.label_smoothing };
    let readout = Readout::run(&layers[last], &operands[last], bias, &signal, steps, &loss);

    let published = |l: usize, gradient: Vec<f32>| match layers[l].site.place {
        Place::Rram => straight_through(&layers[l].site, &network.layers[l], gradient),
        Place::Digital => gradient,
    };
    let mut gradients = vec![ParameterGradient::default(); layers.len()];
    let (weights, gradient) = readout.backward(&signal);
    let bias = bias.map_or(vec![], |bias| readout.bias_gradient(bias.len()));
    gradients[last] = ParameterGradient { weights: published(last, weights), bias, ..ParameterGradient::default() };
    drop((signal, signals));
    let statistics = std::mem::take(&mut forward.layers.statistics);
    let means = |l: usize| statistics[l].as_ref().map(|statistics: &BatchStatistics| statistics.mean.clone());
    forward.back(gradient, setting.surrogate, &means, |l, layer, values| {
        let LayerGradient { weights, gamma, shift, bias, inputs } =
            layer.backward(values, &network.layers[l], statistics[l].as_ref());
        gradients[l] = ParameterGradient { weights: published(l, weights), gamma, shift, bias };
        inputs
    });
    let statistics = statistics.into_iter().take(last).collect();
    Ok(PassOutcome { loss: readout.loss, logits: readout.logits, gradients, statistics })
}

/// The programmed arrays of layer `l`, ready for a pass.
fn operands(setting: &Setting, network: &Network, l: usize, draw: Option<Draw>) -> Result<Operands> {
    let Setting { plan, calibration, losses, .. } = setting;
    let (state, layer) = (&network.layers[l], &plan.layers[l]);
    // Where the profile has no companion array, none is read.
    let companion = state.sram.as_ref().map_or(Source::Residual, Source::of);
    let loss = losses.get(l).and_then(Option::as_ref);
    let arrays = Arrays::program(&layer.site, &state.rram, companion, draw, loss)?;
    let converters = calibration.map_or(&[][..], |calibration| &calibration.layers[l]);
    let programmed = Programmed::for_training(&layer.site, &arrays, Reading { converters, draw, steps: plan.steps() })?;
    // The training grid leaves no room for sums of f32: only integers are exact.
    let kernel = Kernel::Dense(Instructions::best());
    Ok(Operands::new(layer, &programmed, kernel, layer.from > 0))
}

/// Layers in training, whose norms take the batch's statistics.
struct Training<'a> {
    graph: &'a Graph,
    layers: &'a [Arc<LayerPlan>],
    network: &'a Network,
    operands: &'a [Operands],
    steps: usize,
    /// A layer each; of those without norms none.
    statistics: Vec<Option<BatchStatistics>>,
}

impl<'a> Layers<'a> for Training<'a> {
    fn graph(&self) -> &'a Graph {
        self.graph
    }

    fn of(&self, l: usize) -> (&'a LayerPlan, &'a Operands) {
        (&self.layers[l], &self.operands[l])
    }

    fn forward(&mut self, l: usize, sizes: (usize, usize), signal: Signal<'a>) -> Result<LayerPass<'a>> {
        let (state, (plan, operands)) = (&self.network.layers[l], self.of(l));
        let (pass, batch) = LayerPass::forward(plan, sizes, operands, state, signal)?;
        self.statistics[l] = batch;
        Ok(pass)
    }

    fn stepped(&self, l: usize) -> Result<Vec<[Lanes; 2]>> {
        stepped(&self.layers[l], &self.network.layers[l], self.steps)
    }
}

/// The gains and offsets of a layer that runs step by step: it has no statistics of all its steps beforehand.
pub(super) fn stepped(plan: &LayerPlan, state: &LayerWeights, steps: usize) -> Result<Vec<[Lanes; 2]>> {
    if state.norm.is_some() {
        return Err(Error::Mismatch(format!(
            "`{}` takes what comes back to it step by step, and its norm would need the batch's statistics beforehand; expected norm = \"none\" there",
            plan.name
        )));
    }
    let (gain, offset) = state.fold(plan.input_unit, steps, plan)?;
    let (gain, offset) = plan.lif.norms(gain, offset);
    Ok(norms(plan.columns(), &gain, &offset))
}

/// The gradient of an RRAM layer's trained latent weights from that of its effective ones: straight through quantiser and
/// variation; ternary passes only where |w| < 1. A companion array's has the shift's and the combination's factor, and is
/// 0 where an element is pruned.
fn straight_through(site: &Site, layer: &LayerWeights, mut gradient: Vec<f32>) -> Vec<f32> {
    let Site { rram, sram, .. } = site;
    let scheme = match &layer.sram {
        Some(_) => sram.effective_scheme(),
        None => rram.scheme,
    };
    if scheme == Scheme::Ternary {
        gradient.iter_mut().zip(layer.trained()).filter(|(_, w)| w.abs() >= 1.0).for_each(|(g, _)| *g = 0.0);
    }
    let Some(array) = &layer.sram else { return gradient };
    let factor = sram.effective_combine().share() * libm::exp2(f64::from(sram.shift.unwrap_or(0)));
    gradient.iter_mut().for_each(|g| *g = (f64::from(*g) * factor) as f32);
    if let Some(kept) = &array.kept {
        gradient.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(g, _)| *g = 0.0);
    }
    gradient
}

/// The readout: a matrix whose sums are added up over the steps, and the loss behind it.
pub(crate) struct Readout<'a> {
    plan: &'a Layer,
    operands: &'a Operands,
    pub loss: f64,
    pub logits: Array2<f32>,
    /// ∂loss/∂logits, `[images, classes]`.
    gradient: Vec<f32>,
    steps: usize,
}

impl<'a> Readout<'a> {
    /// Logits and their loss: the sum of the images' cross-entropies, divided by `divisor`.
    pub fn run(
        plan: &'a Layer,
        operands: &'a Operands,
        bias: Option<&[f32]>,
        signal: &Signal,
        steps: usize,
        loss: &Loss,
    ) -> Self {
        let images = loss.labels.len();
        let geometry = Geometry::of(plan, images, steps);
        let (sums, _) = currents(signal, plan, operands, geometry);
        let logits = Array2::from_shape_fn((images, plan.columns()), |(b, c)| {
            let mean = mean_readout((0..steps).map(|t| sums[b][t * geometry.step() + c]).sum(), operands.unit, steps);
            bias.map_or(mean, |bias| mean + bias[c])
        });
        let (loss, gradient) = loss.of(&logits);
        Readout { plan, operands, loss, logits, gradient, steps }
    }

    /// ∂loss/∂W and ∂loss/∂pulses.
    fn backward(&self, signal: &Signal) -> (Vec<f32>, Images) {
        let scale = self.scale(&self.gradient);
        let scales = vec![scale; self.logits.nrows()];
        let currents = self.currents(&scales);
        let weights = weights::fully_connected(self.plan, source(signal), self.steps, &currents, 1.0 / scale);
        (weights, self.operands.connect_back(self.plan, self.steps, &currents, &scales))
    }

    /// ∂loss/∂bias, added up image by image.
    fn bias_gradient(&self, classes: usize) -> Vec<f32> {
        let mut sums = vec![0.0f64; classes];
        for image in self.gradient.chunks(classes) {
            sums.iter_mut().zip(image).for_each(|(sum, g)| *sum += f64::from(*g));
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// ∂loss/∂pulses alone, each image rounded by a scale of its own.
    pub fn backward_to_inputs(&self) -> Images {
        let scales: Vec<f32> = self.gradient.chunks(self.logits.ncols()).map(|g| self.scale(g)).collect();
        self.operands.connect_back(self.plan, self.steps, &self.currents(&scales), &scales)
    }

    /// What a step's logits count in the mean over the steps.
    fn share(&self) -> f32 {
        self.operands.unit / self.steps as f32
    }

    fn scale(&self, gradient: &[f32]) -> f32 {
        scale_for(largest(gradient) * self.share())
    }

    /// ∂loss/∂currents, each image's in units of 1/scale.
    fn currents(&self, scales: &[f32]) -> Currents {
        let (images, classes) = self.logits.dim();
        let mut currents = Currents::default();
        currents.reshape(classes.div_ceil(LANES), images * self.steps);
        for (image, (gradient, scale)) in self.gradient.chunks(classes).zip(scales).enumerate() {
            for (class, g) in gradient.iter().enumerate() {
                let unit = (g * self.share() * scale).round_ties_even() as i32;
                let first = class / LANES * currents.rows + image * self.steps;
                currents.units[first..first + self.steps].iter_mut().for_each(|lanes| lanes[class % LANES] = unit);
            }
        }
        currents
    }
}

/// The labels that logits are held against, and how.
pub(crate) struct Loss<'a> {
    /// The images' classes.
    pub labels: &'a [u32],
    /// The divisor of the sum of the images' losses.
    pub divisor: f64,
    /// The share of each label that all classes have alike.
    pub smoothing: f32,
}

impl Loss<'_> {
    /// The sum of the images' cross-entropies, of logits `[images, classes]`, and its gradient, both divided.
    fn of(&self, logits: &Array2<f32>) -> (f64, Vec<f32>) {
        let (classes, smoothing) = (logits.ncols() as f64, f64::from(self.smoothing));
        let mut loss = 0.0;
        let mut gradient = Vec::with_capacity(logits.len());
        for (row, label) in logits.outer_iter().zip(self.labels) {
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f64> = row.iter().map(|x| libm::exp(f64::from(x - top))).collect();
            let sum: f64 = exps.iter().sum();
            let entropy = |x: f32| (f64::from(x - top) - libm::log(sum)) / self.divisor;
            if smoothing > 0.0 {
                let all: f64 = row.iter().map(|x| entropy(*x)).sum();
                loss -= (1.0 - smoothing) * entropy(row[*label as usize]) + smoothing / classes * all;
            } else {
                loss -= entropy(row[*label as usize]);
            }
            gradient.extend(exps.iter().enumerate().map(|(c, e)| {
                let own = if c == *label as usize { 1.0 } else { 0.0 };
                let target = if smoothing > 0.0 { (1.0 - smoothing) * own + smoothing / classes } else { own };
                ((e / sum - target) / self.divisor) as f32
            }));
        }
        (loss, gradient)
    }
}
