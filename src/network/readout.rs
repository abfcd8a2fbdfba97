//! The readout: a fully connected layer to the classes, and how the logits are read from its sums.
//!
//! The logits after T steps follow from x_t, the sums of step t in the value of its inputs with the bias added. By kind they are:
//!
//! | kind | logits |
//! |---|---|
//! | `mean` | (1/T)·Σ_t x_t |
//! | `last` | the potential u_T of neurons that do not fire, of the step in [`super::neuron`] |
//! | `largest` | max_t u_t of the same |
//! | `count` | Σ_t s_t, the spikes of neurons |
//! | `first` | T − t of each neuron's first spike at step t, from 0; 0 where it does not fire |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dynamics::{Dynamics, State};
use super::layer::Layer;
use super::neuron::{Neuron, OwnNeuron, Reset, is_default};

/// The readout of a model file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Readout {
    /// Whether it has a bias, added digitally.
    pub bias: bool,
    /// The quantity that the logits are; absent: `mean`.
    #[serde(skip_serializing_if = "is_default")]
    pub kind: ReadoutKind,
    /// Constants of its neurons, where the kind has some; those that are absent are the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) neuron: Option<OwnNeuron>,
}

/// The quantity that logits are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReadoutKind {
    /// The mean of the sums over the steps.
    #[default]
    Mean,
    /// The last potential of neurons that integrate and do not fire.
    Last,
    /// The largest potential of such neurons.
    Largest,
    /// The number of spikes. Of equal numbers the lowest class counts: a readout without a spike says class 0.
    Count,
    /// How early the first spike is.
    First,
}

impl Readout {
    /// Whether it has constants of its own neurons.
    pub fn has_neuron(&self) -> bool {
        self.neuron.is_some()
    }

    /// A constant that is set of neurons that do not fire, and would do nothing there.
    pub fn idle(&self) -> Option<&'static str> {
        let own = self.neuron.filter(|_| !self.kind.fires())?;
        let firing = [
            ("threshold", own.threshold.is_some()),
            ("reset", own.reset.is_some()),
            ("reset_at", own.reset_at.is_some()),
            ("fires", own.fires.is_some()),
            ("adaptation", own.adaptation.is_some()),
            ("adaptation_leak", own.adaptation_leak.is_some()),
            ("refractory", own.refractory.is_some()),
        ];
        firing.into_iter().find(|(_, set)| *set).map(|(key, _)| key)
    }

    /// Its neurons, in a model with these.
    pub fn neuron_in(&self, model: Neuron) -> Neuron {
        self.neuron.map_or(model, |own| own.in_model(model))
    }
}

impl ReadoutKind {
    /// Whether neurons fire there.
    pub fn fires(self) -> bool {
        matches!(self, ReadoutKind::Count | ReadoutKind::First)
    }
}

/// How a readout is read.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The quantity that logits are.
    pub kind: ReadoutKind,
    /// Leak and threshold.
    pub constants: (f32, f32),
    /// The rest of its neurons.
    pub dynamics: Dynamics,
    /// The value of one pulse.
    unit: f32,
    steps: usize,
}

/// One class of an image while it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    sum: f32,
    state: State,
    largest: Option<f32>,
    first: Option<usize>,
}

impl Reader {
    /// The reader of a layer whose input pulses have this value.
    pub fn new(kind: ReadoutKind, layer: &Layer, unit: f32, steps: usize) -> Self {
        let neuron = match kind.fires() {
            true => layer.neuron,
            false => Neuron { reset: Reset::None, adaptation: 0.0, refractory: 0, ..layer.neuron },
        };
        let threshold = if kind.fires() { neuron.threshold } else { f32::INFINITY };
        Reader { kind, constants: (neuron.leak, threshold), dynamics: Dynamics::of(neuron), unit, steps }
    }

    /// The mean of sums over the first `t + 1` steps, with the bias.
    pub fn mean(&self, t: usize, sum: f32, bias: Option<f32>) -> f32 {
        let mean = sum * self.unit / (t + 1) as f32;
        bias.map_or(mean, |bias| mean + bias)
    }

    /// The value of a step's sum, in pulses, with the bias.
    pub fn value(&self, sum: f32, bias: Option<f32>) -> f32 {
        self.unit * sum + bias.unwrap_or(0.0)
    }

    /// Takes the sum of step `t`, in pulses; gives the logit after it.
    pub fn take(&self, reading: &mut Reading, t: usize, sum: f32, bias: Option<f32>) -> f32 {
        if self.kind == ReadoutKind::Mean {
            reading.sum += sum;
            return self.mean(t, reading.sum, bias);
        }
        let stepped = reading.state.step(self.constants, &self.dynamics, self.value(sum, bias));
        let largest = reading.largest.map_or(stepped.potential, |largest| largest.max(stepped.potential));
        reading.largest = Some(largest);
        if stepped.spike {
            reading.sum += 1.0;
            reading.first.get_or_insert(t);
        }
        match self.kind {
            ReadoutKind::Mean | ReadoutKind::Count => reading.sum,
            ReadoutKind::Last => stepped.potential,
            ReadoutKind::Largest => largest,
            ReadoutKind::First => reading.first.map_or(0.0, |first| (self.steps - first) as f32),
        }
    }
}
