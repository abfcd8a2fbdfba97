//! One pass over a batch: forward through programmed arrays, loss, and the gradient of every parameter.
//!
//! The arrays are programmed by the chip's own code ([`Arrays::program`], [`Programmed::for_training`]), and every
//! product is one of integers: a training run gives the same bits on any processor and any number of threads.

use std::sync::Arc;

use ndarray::Array2;

use super::config::Hyperparameters;
use super::gradient::Precision;
use super::graph::{Forward, RunLayers};
use super::layer::{LayerGradient, LayerPass};
use super::norm::BatchStatistics;
use super::operands::Operands;
use super::readout::{Loss, LossKind, ReadoutPass};
use super::steps::Moved;
use super::surrogate::Surrogate;
use crate::crossbar::arrays::Arrays;
use crate::crossbar::calibration::Calibration;
use crate::crossbar::programmed::Programmed;
use crate::crossbar::reading::Reading;
use crate::crossbar::site::{Place, Site};
use crate::crossbar::sram::CompanionSource;
use crate::crossbar::wires::LineLoss;
use crate::device::Draw;
use crate::error::{Error, Result};
use crate::forward::neurons::{Lanes, norms};
use crate::forward::walk::{Signal, Signals, walk};
use crate::forward::ways::Kernel;
use crate::kernels::digits::LANES;
use crate::network::constants::{Constant, Constants, Extent};
use crate::network::graph::Node;
use crate::network::varied::Varied;
use crate::network::weights::LayerWeights;
use crate::network::{Graph, Inputs, Layer, LayerKind, Lif, Model, Network, NormKind};
use crate::numeric::Shape;
use crate::plan::{ChipPlan, LayerPlan};
use crate::profile::Scheme;

/// The gradient of one layer's parameters, laid out as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGradient {
    /// The gradient of the latent weights that are trained ([`LayerWeights::trained`]), `[columns, rows]`.
    pub weights: Vec<f32>,
    /// The gradient of γ, `[norms, channels]`; empty without norms.
    pub gamma: Vec<f32>,
    /// The gradient of β, `[channels]`; empty without a norm for all steps.
    pub shift: Vec<f32>,
    /// The gradient of the bias, `[channels]`; empty without one.
    pub bias: Vec<f32>,
    /// The gradients of the neurons' constants that are learned.
    pub constants: Constants,
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
    /// The arithmetic of each layer's neurons.
    pub neurons: Vec<Lif>,
}

/// What does not change from pass to pass.
pub struct PassSetting<'a> {
    /// The network on the hardware that the forward pass is programmed on.
    pub plan: &'a ChipPlan,
    /// The ranges of its converters, where they are profiled.
    pub calibration: Option<&'a Calibration>,
    /// What lines leave of each layer's devices; without it every tile is solved.
    pub losses: &'a [Option<LineLoss>],
    /// The surrogate that stands for the slope of a spike.
    pub surrogate: Surrogate,
    /// The quantity that is minimised.
    pub loss: LossKind,
    /// The share of each label that all classes have alike.
    pub label_smoothing: f32,
    /// Spikes of a step that an image's class should have, and every other, where spikes are counted.
    pub rates: [f32; 2],
    /// Weight of the mean spikes of a neuron and step, which is added to the loss.
    pub rate_penalty: f32,
    /// How finely gradients are rounded.
    pub precision: Precision,
}

impl<'a> PassSetting<'a> {
    /// A plan without ranges and losses, by the default hyperparameters.
    pub fn of(plan: &'a ChipPlan) -> Self {
        PassSetting::by(&Hyperparameters::default(), plan)
    }

    /// A plan without ranges and losses, by given hyperparameters.
    pub fn by(hyperparameters: &Hyperparameters, plan: &'a ChipPlan) -> Self {
        let Hyperparameters { surrogate, loss, label_smoothing, rates, rate_penalty, gradient_bits: precision, .. } =
            *hyperparameters;
        PassSetting {
            plan,
            calibration: None,
            losses: &[],
            surrogate,
            loss,
            label_smoothing,
            rates,
            rate_penalty,
            precision,
        }
    }
}

/// Bytes that a pass over so many images takes at most, roughly: every layer's inputs and currents are kept, the
/// currents that neurons hold beside these with their gradients, and the largest layer's gradients, with the sums of
/// the largest convolution's weights.
pub fn bytes(model: &Model, images: usize) -> u64 {
    let blocked = |map: Shape| map.channels.next_multiple_of(LANES) * map.height * map.width;
    let values = |layer: &Layer| (blocked(layer.input) + blocked(layer.output)) as u64;
    let (layers, graph) = (model.layers(), model.graph());
    let held = graph.holding().map(|(_, population)| 2 * blocked(layers[population.leader()].map()) as u64);
    // Neurons that step by step keep of each step what the way back needs: in floats a lane.
    let stepping = graph.cycles.iter().flat_map(|nodes| &graph.nodes[nodes.clone()]).filter_map(Node::population);
    let stepping = stepping.map(|population| {
        let leader = &layers[population.leader()];
        let floats = match (leader.constants().next(), leader.neuron.is_plain()) {
            (Some(_), _) => 11,
            (None, false) => 4,
            (None, true) => 1,
        };
        floats * blocked(leader.map()) as u64
    });
    let kept: u64 = layers.iter().map(values).chain(held).chain(stepping).sum();
    let largest = layers.iter().map(values).max().unwrap_or(0);
    // A convolution's sums: of each group of images 64 bits a weight, and of those under way the digits' 32.
    let convolutions = layers.iter().filter(|layer| layer.kind == LayerKind::Conv);
    let weights = convolutions.map(|layer| (layer.unrolling().rows() * layer.columns()) as u64).max().unwrap_or(0);
    let threads = rayon::current_num_threads() as u64;
    let groups = (2 * threads).min(images as u64);
    // Gradients of neurons' own constants, of every image of a population at a time.
    let learns = layers.iter().filter(|layer| layer.constants().any(|(.., is_learned)| is_learned));
    let moved = learns.map(|layer| 3 * 8 * blocked(layer.map()) as u64).max().unwrap_or(0) * images as u64;
    4 * (kept + 2 * largest) * images as u64 * model.steps as u64 + weights * (8 * groups + 12 * threads) + moved
}

/// Runs a batch forward and backward with batch statistics; `draw` programs with variation.
pub fn pass(
    setting: &PassSetting,
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
    let format = &setting.plan.profile.neuron;
    let varied = layers.iter().zip(&network.layers).map(|(layer, state)| layer.varied(&state.constants, format));
    let varied = varied.collect::<Result<Vec<_>>>()?;
    let training = Training {
        graph,
        layers,
        network,
        operands: &operands,
        steps,
        statistics: layers.iter().map(|_| None).collect(),
        varied: &varied,
    };
    let (mut forward, mut signals) =
        (Forward::new(training, (images, steps), true), Signals::of(graph, Signal::of(inputs)));
    walk(&mut forward, graph, 1..graph.nodes.len(), &mut signals)?;
    let bias = network.layers[last].bias.as_deref();
    let signal = signals.at(layers[last].from);
    let PassSetting { loss: kind, label_smoothing: smoothing, rates, surrogate, .. } = *setting;
    let loss = Loss { labels, divisor: images as f64, kind, smoothing, rates, surrogate };
    let of_readout = (&*layers[last], graph.reading, varied[last].clone());
    let readout = ReadoutPass::run(of_readout, &operands[last], bias, &signal, steps, &loss);

    let published = |l: usize, gradient: Vec<f32>| {
        let gradient = graph.layers[l].gathered(gradient);
        match layers[l].site.place {
            Place::Rram => straight_through(&layers[l].site, &network.layers[l], gradient),
            Place::Digital => gradient,
        }
    };
    let penalty = RatePenalty::of(setting, graph, &forward, images);
    let mut gradients = vec![ParameterGradient::default(); layers.len()];
    let (weights, gradient) = readout.backward(&signal);
    let bias = bias.map_or(vec![], |_| readout.bias_gradient());
    let constants = learned(&layers[last], varied[last].as_deref(), readout.moved());
    let weights = published(last, weights);
    gradients[last] = ParameterGradient { weights, bias, constants, ..ParameterGradient::default() };
    drop((signal, signals));
    let statistics = std::mem::take(&mut forward.layers.statistics);
    let means = |l: usize| statistics[l].as_ref().map(|statistics: &BatchStatistics| statistics.mean.clone());
    let reached = forward.back(gradient, (setting.surrogate, penalty.slope), &means, |l, layer, values| {
        let LayerGradient { weights, gamma, shift, bias, inputs } =
            layer.backward(values, &network.layers[l], statistics[l].as_ref());
        let weights = published(l, weights);
        gradients[l] = ParameterGradient { weights, gamma, shift, bias, ..ParameterGradient::default() };
        inputs
    });
    for (l, moved) in &reached.moved {
        gradients[*l].constants = learned(&layers[*l], varied[*l].as_deref(), moved);
    }
    let statistics = statistics.into_iter().take(last).collect();
    let neurons = layers.iter().map(|layer| layer.lif).collect();
    Ok(PassOutcome { loss: readout.loss + penalty.loss, logits: readout.logits, gradients, statistics, neurons })
}

/// The gradients of a layer's learned constants from those of its neurons.
fn learned(plan: &LayerPlan, varied: Option<&Varied>, moved: &Moved) -> Constants {
    let Some(varied) = varied.filter(|varied| varied.learns) else { return Constants::new() };
    let learned = plan.constants().filter(|(.., is_learned)| *is_learned);
    let gradient = |(constant, extent, _): (Constant, Extent, bool)| {
        let place = Constant::LEARNED.iter().position(|learned| *learned == constant)?;
        Some((constant, varied.shared(extent, plan.map(), |index, o| moved[index][place][o])))
    };
    learned.filter_map(gradient).collect()
}

/// The programmed arrays of layer `l`, ready for a pass.
fn operands(setting: &PassSetting, network: &Network, l: usize, draw: Option<Draw>) -> Result<Operands> {
    let PassSetting { plan, calibration, losses, precision, .. } = setting;
    let (state, layer) = (&network.layers[l], &plan.layers[l]);
    // Where the profile has no companion array, none is read.
    let companion = state.sram.as_ref().map_or(CompanionSource::Residual, CompanionSource::of);
    let loss = losses.get(l).and_then(Option::as_ref);
    let arrays = Arrays::program(&layer.site, &state.rram, companion, draw, loss)?;
    let converters = calibration.map_or(&[][..], |calibration| &calibration.layers[l]);
    let programmed = Programmed::for_training(&layer.site, &arrays, Reading { converters, draw, steps: plan.steps() })?;
    let of_groups = &plan.graph.layers[l];
    let programmed =
        if of_groups.groups > 1 { programmed.spread(&|weights| of_groups.spread(weights)) } else { programmed };
    // The training grid leaves no room for sums of f32: only integers are exact.
    Ok(Operands::new(layer, &programmed, Kernel::Whole, (layer.from > 0, *precision)))
}

/// The part of the loss that spikes add.
struct RatePenalty {
    loss: f64,
    /// ∂loss/∂spike of every neuron.
    slope: f32,
}

impl RatePenalty {
    fn of<L>(setting: &PassSetting, graph: &Graph, forward: &Forward<L>, images: usize) -> Self {
        let neurons: usize = graph.layers.iter().filter(|layer| layer.leads).map(|layer| layer.map().len()).sum();
        let places = (neurons * images * setting.plan.steps()) as f64;
        let weight = f64::from(setting.rate_penalty);
        RatePenalty { loss: weight * forward.spikes as f64 / places, slope: (weight / places) as f32 }
    }
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
    /// The constants of the neurons that each layer leads, where they differ.
    varied: &'a [Option<Arc<Varied>>],
}

impl<'a> RunLayers<'a> for Training<'a> {
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

    fn varied(&self, l: usize) -> Option<Arc<Varied>> {
        self.varied[l].clone()
    }

    fn stepped(&self, l: usize) -> Result<Vec<[Lanes; 2]>> {
        stepped(&self.layers[l], &self.network.layers[l], self.steps)
    }
}

/// An error where a layer has a norm that runs step by step: it has no statistics of all its steps beforehand.
pub fn check_cycles(model: &Model) -> Result<()> {
    let graph = model.graph();
    match graph.inside_cycles().find(|layer| layer.norm != NormKind::None) {
        Some(layer) => Err(Error::Mismatch(format!(
            "`{}` runs step by step with what leads back to it, and its norm would need the batch's statistics of all \
             steps beforehand; expected norm = \"none\" there",
            layer.name
        ))),
        None => Ok(()),
    }
}

/// The gains and offsets of a layer that runs step by step.
pub(super) fn stepped(plan: &LayerPlan, state: &LayerWeights, steps: usize) -> Result<Vec<[Lanes; 2]>> {
    let (gain, offset) = state.fold(plan.input_unit, steps, plan)?;
    let (gain, offset) = plan.lif.norms(gain, offset);
    Ok(norms(plan.columns(), &gain, &offset))
}

/// The gradient of an RRAM layer's trained latent weights from that of its effective ones: straight through quantiser
/// and variation; ternary passes only where |w| < 1. A companion array's has the shift's and the combination's factor,
/// and is 0 where an element is pruned.
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
