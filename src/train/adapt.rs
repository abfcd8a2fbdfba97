//! Adaptation of the batch norms to a manufactured chip.
//!
//! # Theory
//!
//! Programming variation moves the means and variances of a chip's currents away from the running ones of the network
//! it was made from, and the norms fold the latter in. They are digital, so they can be estimated anew on each chip,
//! with its weights and γ untouched, from a few batches of unlabelled training images. The batches run in training
//! mode: each layer normalises a batch with that batch's own statistics, per step t and channel,
//!
//! `BN_t(x) = γ_t·(x − μ_B) / √(σ²_B + ε)`, σ²_B biased,
//!
//! and what takes the place of the running mean and variance is the plain mean over the N batches,
//!
//! `μ_t = (1/N)·Σ_B μ_B`, `σ²_t = (1/N)·Σ_B σ²_B·n/(n − 1)`, n values a batch and channel.
//!
//! Sources: AdaBN (Li et al., arXiv:1603.04779); for varying in-memory hardware AdaBS (Joshi et al., Nature
//! Communications 11, 2473, 2020), which keeps an exponential average over the batches where this takes the plain one:
//! with a few batches no order is preferred.
//!
//! # Practice
//!
//! [`Sample`] says which images; [`Adaptation::draw`] chooses and encodes them once, the same for all chips;
//! [`Adaptation::adapt_one_of`] turns a programmed chip into an adapted one, and [`Adaptation::preparation`] goes into
//! [`Evaluation::preparing`] for a series of them. The result is a pure function of chip and batches, the same bits for
//! any number of threads.
//!
//! [`Evaluation::preparing`]: crate::engine::evaluate::Evaluation::preparing

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gradient::Precision;
use super::graph::{Forward, RunLayers};
use super::layer::LayerPass;
use super::operands::Operands;
use super::pass::{check_cycles, stepped};
use crate::chip::{Blueprint, Chip};
use crate::data::{Dataset, epoch_order};
use crate::engine::evaluate::{check_fit, read_batch};
use crate::error::{Error, Result};
use crate::forward::neurons::Lanes;
use crate::forward::walk::{Signal, Signals, walk};
use crate::forward::ways::Kernel;
use crate::memory;
use crate::network::varied::Varied;
use crate::network::weights::{LayerWeights, Norm};
use crate::network::{Encoder, Encoding, Graph, InputCode, Inputs, LayerKind, Model, Network, NormKind};
use crate::plan::LayerPlan;

/// The epoch that order and Poisson draws are keyed by: neither the test's, 0, nor one that a training reaches.
const EPOCH: u64 = u64::MAX;

/// Which images chips are adapted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Batches whose statistics are averaged.
    pub batches: usize,
    /// Images of each.
    #[serde(default = "images_of_a_batch")]
    pub images: usize,
    /// The data set whose training images they are; absent: those of `data`.
    pub data: Option<String>,
}

fn images_of_a_batch() -> usize {
    64
}

impl Sample {
    /// An error where a training set has too few images, or they do not fit model, encoding or memory.
    pub fn check(&self, data: &Dataset, model: &Model, encoding: Encoding) -> Result<()> {
        check_fit(data, model)?;
        check_cycles(model)?;
        if model.layers().iter().all(|layer| layer.norm == NormKind::None) {
            return Err(Error::Mismatch(format!("the model `{}` has no norms to adapt", model.name)));
        }
        Encoding::resolve(Some(encoding), data.frame_steps(), model.steps)?;
        let Sample { batches, images, .. } = *self;
        check_size((batches > 0).then_some(images))?;
        if batches.checked_mul(images).is_none_or(|needed| needed > data.len()) {
            return Err(Error::Mismatch(format!(
                "the adaptation takes {batches} batches of {images} images, `{}` has {} training images; expected \
                 fewer or smaller batches",
                data.spec(),
                data.len()
            )));
        }
        check_memory(model, self, &Encoder::new(encoding, model.input, 0, EPOCH))
    }
}

/// The batches that chips are adapted on, and the norms of the network they were made from.
#[derive(Debug)]
pub struct Adaptation<'a> {
    /// The states of the layers with neurons.
    states: Vec<&'a LayerWeights>,
    batches: Vec<Inputs>,
}

impl<'a> Adaptation<'a> {
    /// Takes a sample, no image twice, of a training set at random and encodes it, both by `seed`; an error where the
    /// set has too few images or does not fit model and encoding.
    pub fn draw(
        network: &'a Network,
        model: &Model,
        data: &Dataset,
        inputs: InputCode,
        seed: u64,
        sample: &Sample,
    ) -> Result<Self> {
        sample.check(data, model, inputs.encoding)?;
        let Sample { batches, images, .. } = *sample;
        let encoder = Encoder::new(inputs, model.input, seed, EPOCH);
        let order = epoch_order(data.len(), seed, EPOCH, true);
        let batches = order.chunks(images).take(batches).map(|chosen| {
            let (batch, _) = read_batch(data, chosen, None)?;
            batch.check(inputs)?;
            Ok(Inputs::new(encoder, batch, model.steps))
        });
        Self::new(network, batches.collect::<Result<_>>()?)
    }

    /// Takes given batches, each of at least two images: one has no variance behind a fully connected layer.
    pub fn new(network: &'a Network, batches: Vec<Inputs>) -> Result<Self> {
        check_size(batches.iter().map(|inputs| inputs.batch.len()).min())?;
        let states: Vec<&LayerWeights> = network.layers.iter().take(network.layers.len() - 1).collect();
        if states.iter().all(|state| state.norm.is_none()) {
            return Err(Error::Mismatch(
                "the network has no norms to adapt; expected `norm` other than \"none\"".into(),
            ));
        }
        Ok(Adaptation { states, batches })
    }

    /// The batches, in the order they are averaged.
    pub fn batches(&self) -> &[Inputs] {
        &self.batches
    }

    /// The network's norms and biases with a chip's own statistics, one entry a spiking layer.
    pub fn states(&self, chip: &Chip) -> Result<Vec<LayerWeights>> {
        self.check(chip)?;
        let of_states = chip.layers.iter().zip(&self.states);
        let operands = of_states
            .map(|(layer, _)| Operands::new(&layer.plan, &layer.arrays, Kernel::Auto, (false, Precision::Two)));
        let none = |state: &&LayerWeights| {
            let n = state.norm.as_ref().map_or(0, |norm| norm.mean.len());
            [vec![0.0; n], vec![0.0; n]]
        };
        let (operands, sums) = (operands.collect(), self.states.iter().map(none).collect());
        let (operands, mut sums): (Vec<Operands>, Vec<[Vec<f64>; 2]>) = (operands, sums);
        for inputs in &self.batches {
            let seeing = Seeing { chip, states: &self.states, operands: &operands, sums: &mut sums };
            let mut forward = Forward::new(seeing, (inputs.batch.len(), chip.steps), false);
            let mut signals = Signals::of(&chip.graph, Signal::of(inputs));
            walk(&mut forward, &chip.graph, 1..chip.graph.nodes.len(), &mut signals)?;
        }
        let n = self.batches.len();
        let adapted = self.states.iter().zip(sums).zip(&chip.layers).map(|((state, [mean, var]), layer)| {
            let average = |sums: Vec<f64>| sums.into_iter().map(|sum| (sum / n as f64) as f32).collect::<Vec<f32>>();
            let (mean, var) = (average(mean), average(var));
            if !mean.iter().chain(&var).all(|value| value.is_finite()) {
                return Err(Error::Mismatch(format!(
                    "`{}` has currents that are too large to adapt to",
                    layer.plan.name
                )));
            }
            let norm = state.norm.as_ref().map(|norm| {
                let tracked = vec![n as i64; norm.tracked.len()];
                Norm { gamma: norm.gamma.clone(), shift: norm.shift.clone(), mean, var, tracked }
            });
            let (bias, constants) = (state.bias.clone(), state.constants.clone());
            Ok(LayerWeights { rram: vec![], sram: None, bias, norm, constants })
        });
        adapted.collect()
    }

    /// The chip with its own statistics folded into the gains and offsets; its weights stay.
    pub fn adapt(&self, chip: Chip) -> Result<Chip> {
        let states = self.states(&chip)?;
        Self::with(states, chip)
    }

    /// Adapts a blueprint's chip. Where every step reads cells anew, it is adapted in other reads than it runs in.
    pub fn adapt_one_of(&self, blueprint: &Blueprint, index: u64, chip: Chip) -> Result<Chip> {
        if !chip.reads_vary() {
            return self.adapt(chip);
        }
        let states = self.states(&Chip::read_before(blueprint, index)?)?;
        Self::with(states, chip)
    }

    /// What [`Evaluation::preparing`](crate::engine::evaluate::Evaluation::preparing) takes.
    pub fn preparation(self: Arc<Self>) -> impl Fn(&Blueprint, u64, Chip) -> Result<Chip> + Send + Sync + 'a {
        move |blueprint, index, chip| self.adapt_one_of(blueprint, index, chip)
    }

    fn with(states: Vec<LayerWeights>, mut chip: Chip) -> Result<Chip> {
        for (layer, state) in chip.layers.iter_mut().zip(states) {
            if state.norm.is_none() {
                // Sums without a norm stay as they are, with the trims of their columns.
                continue;
            }
            let (gain, offset) = state.fold(layer.plan.input_unit, chip.steps, &layer.plan)?;
            (layer.gain, layer.offset) = layer.plan.lif.norms(gain, offset);
        }
        Ok(chip)
    }

    /// An error unless the chip was made from this network and takes these inputs.
    fn check(&self, chip: &Chip) -> Result<()> {
        let sizes = |layer: &LayerWeights| layer.norm.as_ref().map(|norm| norm.gamma.len());
        let spiking = chip.layers.iter().filter(|layer| layer.plan.kind != LayerKind::Readout);
        let has = spiking.map(|layer| match layer.plan.norm {
            NormKind::Bntt => Some(layer.gain.len()),
            NormKind::Batch => Some(layer.plan.columns()),
            NormKind::None => None,
        });
        if !has.eq(self.states.iter().map(|state| sizes(state))) {
            return Err(Error::Mismatch("the chip to adapt has other layers than the network of the norms".into()));
        }
        let fits = |inputs: &Inputs| inputs.encoder.code == chip.code && inputs.steps == chip.steps;
        match self.batches.iter().find(|inputs| !fits(inputs)) {
            Some(inputs) => Err(Error::Mismatch(format!(
                "the adaptation has {:?} over {} steps, the chip takes {:?} over {}",
                inputs.encoder.code, inputs.steps, chip.code, chip.steps
            ))),
            None => Ok(()),
        }
    }
}

/// Layers that sum up what each norm sees.
struct Seeing<'a, 's> {
    chip: &'a Chip,
    states: &'a [&'a LayerWeights],
    operands: &'a [Operands],
    /// Means and variances, a layer each.
    sums: &'s mut [[Vec<f64>; 2]],
}

impl<'a> RunLayers<'a> for Seeing<'a, '_> {
    fn graph(&self) -> &'a Graph {
        &self.chip.graph
    }

    fn of(&self, l: usize) -> (&'a LayerPlan, &'a Operands) {
        (&self.chip.layers[l].plan, &self.operands[l])
    }

    fn forward(&mut self, l: usize, sizes: (usize, usize), signal: Signal<'a>) -> Result<LayerPass<'a>> {
        let (plan, operands) = self.of(l);
        let (pass, statistics) = LayerPass::forward(plan, sizes, operands, self.states[l], signal)?;
        let running = statistics.iter().flat_map(|statistics| statistics.running());
        for (sums, values) in self.sums[l].iter_mut().zip(running) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        Ok(pass)
    }

    fn varied(&self, l: usize) -> Option<Arc<Varied>> {
        self.chip.layers[l].varied.clone()
    }

    fn stepped(&self, l: usize) -> Result<Vec<[Lanes; 2]>> {
        stepped(&self.chip.layers[l].plan, self.states[l], self.chip.steps)
    }
}

/// An error unless the smallest batch has two images: there has to be one, with a variance behind every layer.
fn check_size(smallest: Option<usize>) -> Result<()> {
    let found = match smallest {
        Some(2..) => return Ok(()),
        Some(images) => format!("a batch of size {images}"),
        None => "no batch".into(),
    };
    Err(Error::Mismatch(format!("the adaptation was given {found}, expected batches of at least 2 images")))
}

/// An error if all batches, and the currents and inputs of the largest layer on one of them, do not fit this machine's
/// memory.
fn check_memory(model: &Model, sample: &Sample, encoder: &Encoder) -> Result<()> {
    let Sample { batches, images, .. } = sample;
    let largest = model.layers().iter().map(|layer| layer.input.len() + layer.output.len()).max().unwrap_or(0);
    let per_image = batches * Inputs::image_bytes(encoder, model.steps) + size_of::<f32>() * largest * model.steps;
    let needed = (per_image as u64).saturating_mul(*images as u64);
    let what = format!("adapting on {batches} batches of {images} images");
    memory::check(&what, needed, "expected fewer or smaller batches")
}
