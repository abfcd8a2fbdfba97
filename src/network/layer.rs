//! One layer of a network: a matrix with its norm, and the neurons whose current it joins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::constants::{Constant, Extent};
use super::neuron::Neuron;
use super::pool::Pooling;
use super::pulses::Pulses;
use super::{Drive, InputCode};
use crate::numeric::Shape;
use crate::numeric::unrolling::{Unrolling, Window};

/// The kind of a layer's matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// A convolution.
    Conv,
    /// Fully connected.
    Fc,
    /// Fully connected to the classes.
    Readout,
}

/// One layer of weights; one that leads neurons, with them and the pooling behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// `conv1`, `fc1`, ...: the checkpoint's name.
    pub name: String,
    /// The kind of its matrix.
    pub kind: LayerKind,
    /// The map that comes in.
    pub input: Shape,
    /// The node of the graph that sends it.
    pub from: usize,
    /// Whether it takes what that sent in the step before.
    pub delayed: bool,
    /// Whether it leads neurons; else its sums join those of another layer, or are the readout's.
    pub leads: bool,
    /// Groups of channels, each of which meets its own inputs alone.
    pub groups: usize,
    /// How a convolution's window moves over it.
    pub window: Window,
    /// Whether the window has columns alone: then its weights have no rows.
    pub one_dimensional: bool,
    /// The neurons whose current its sums join.
    pub neuron: Neuron,
    /// The norm of its sums.
    pub norm: NormKind,
    /// Whether a bias is added to them.
    pub has_bias: bool,
    /// The map that its columns give.
    pub output: Shape,
    /// The pool of its share of the current, in front of the neurons.
    pub before: Option<Pooling>,
    /// The averaging window behind its neurons, rows and columns; (1, 1) without a pool. Odd sizes are floored.
    pub pool: (usize, usize),
    /// The inputs are integers: pulses summed by pools and joins, at most this many.
    pub largest_pulse: u32,
    /// How many pulses make 1: those of a window that averages.
    pub divisor: u32,
}

/// The way in which a layer's currents are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NormKind {
    /// Batch norm through time: scale and statistics of every step, no shift (BNTT, arXiv:2010.01729).
    #[default]
    Bntt,
    /// One batch norm for all steps, with scale and shift.
    Batch,
    /// Nothing: sums are currents.
    None,
}

impl Layer {
    /// Whether its window moves over a map.
    pub fn convolves(&self) -> bool {
        self.kind == LayerKind::Conv
    }

    /// How the input is unrolled into rows; a fully connected layer is one kernel position per input pixel.
    pub fn unrolling(&self) -> Unrolling {
        match self.kind {
            LayerKind::Conv => Unrolling::of(self.input, self.window),
            _ => Unrolling::flat(self.input.len()),
        }
    }

    /// Rows of the crossbar matrix: the word lines that a column meets.
    pub fn rows(&self) -> usize {
        self.unrolling().rows() / self.groups
    }

    /// The layer as one without groups: its matrix has all channels, and weights between groups are 0.
    pub fn ungrouped(&self) -> Layer {
        Layer { groups: 1, ..self.clone() }
    }

    /// Weights `[columns, rows]` of its groups as those of [`Layer::ungrouped`].
    pub fn spread(&self, weights: &[f32]) -> Vec<f32> {
        let (own, all) = (self.rows(), self.unrolling().rows());
        let mut out = vec![0.0; self.columns() * all];
        for (column, weights) in weights.chunks(own).enumerate() {
            let group = column * self.groups / self.columns();
            out[column * all + group * own..][..own].copy_from_slice(weights);
        }
        out
    }

    /// Values of [`Layer::ungrouped`] as those of its groups.
    pub fn gathered(&self, all: Vec<f32>) -> Vec<f32> {
        if self.groups == 1 {
            return all;
        }
        let (own, row) = (self.rows(), self.unrolling().rows());
        let group = |column: usize| column * self.groups / self.columns();
        all.chunks(row).enumerate().flat_map(|(column, row)| &row[group(column) * own..][..own]).copied().collect()
    }

    /// Columns of the crossbar matrix: one logical bit line per output channel.
    pub fn columns(&self) -> usize {
        self.output.channels
    }

    /// The constants of its neurons that a checkpoint holds, with their extents, and whether each is learned.
    pub fn constants(&self) -> impl Iterator<Item = (Constant, Extent, bool)> + use<> {
        let has_neurons = self.leads || self.kind == LayerKind::Readout;
        self.neuron.constants().filter(move |_| has_neurons)
    }

    /// The map of the neurons whose current its sums join.
    pub fn map(&self) -> Shape {
        self.before.map_or(self.output, |pooling| pooling.output(self.output))
    }

    /// The map behind the pool.
    pub fn pooled(&self) -> Shape {
        let ((h, w), map) = (self.pool, self.map());
        Shape { height: map.height / h, width: map.width / w, ..map }
    }

    /// Room for what its neurons send behind the pool over so many steps: no pulses yet.
    pub fn pulses(&self, steps: usize) -> Pulses {
        let pooled = self.pooled();
        Pulses::new(steps, pooled.height * pooled.width, pooled.channels, (self.pool.0 * self.pool.1) as u32)
    }

    /// The value of one input pulse: 1 for spikes, 1/4 behind a 2x2 pool.
    pub fn input_unit(&self) -> f32 {
        1.0 / self.divisor as f32
    }

    /// The drive of its word lines: the network's inputs, encoded, or pulses of the layer before.
    pub fn drive(&self, inputs: Option<InputCode>) -> Drive {
        inputs.map_or_else(|| Drive::pulses(self.largest_pulse), Drive::encoded)
    }

    /// The shape of the latent weights in a checkpoint.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.kind {
            LayerKind::Conv => {
                let kernel = &self.window.kernel[usize::from(self.one_dimensional)..];
                [&[self.output.channels, self.input.channels / self.groups], kernel].concat()
            }
            _ => vec![self.output.channels, self.input.len()],
        }
    }
}

/// The name of a layer's norm of a kind: by the number of a published convolution, `fc` of the first fully connected
/// one, else by name.
pub(super) fn norm_of(norm: &str, layer: &str) -> String {
    match (layer.strip_prefix("conv").filter(|number| is_number(number)), layer) {
        (Some(number), _) => format!("{norm}{number}"),
        (None, "fc1") => format!("{norm}_fc"),
        (None, name) => format!("{norm}_{name}"),
    }
}

/// Whether a part of a name is a whole number, written as one.
pub(super) fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok_and(|number| number.to_string() == text)
}
