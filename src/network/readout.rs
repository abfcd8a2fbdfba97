//! The readout: a fully connected layer to the classes, and how the logits are read from its sums.
//!
//! The logits after T steps follow from x_t, the sums of step t in the value of its inputs with the bias added. By kind
//! they are:
//!
//! | kind | logits |
//! |---|---|
//! | `mean` | (1/T)·Σ_t x_t |
//! | `last` | the potential u_T of neurons that do not fire, of the step in [`super::neuron`] |
//! | `largest` | max_t u_t of the same |
//! | `count` | Σ_t s_t, the spikes of neurons |
//! | `first` | T − t of each neuron's first spike at step t, from 0; 0 where it does not fire |

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dynamics::{Dynamics, State, Stepped};
use super::lif::Lif;
use super::neuron::{Neuron, OwnNeuron};
use super::varied::Varied;
use crate::config::is_default;

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
///
/// # Examples
/// ```
/// use crosspike::{Model, ReadoutKind};
///
/// let model = Model::named("digits", &["readout.kind=count".into()])?;
/// assert_eq!(model.readout.kind, ReadoutKind::Count);
/// assert!(model.readout.kind.fires() && !ReadoutKind::Last.fires());
/// # Ok::<(), crosspike::Error>(())
/// ```
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
        let held = [
            ("given", own.given.is_some_and(|given| given != given.silent())),
            ("learned", own.learned.is_some_and(|learned| learned != learned.silent())),
        ];
        firing.into_iter().chain(held).find(|(_, set)| *set).map(|(key, _)| key)
    }

    /// Its neurons, in a model with these: the mean of sums has none whose constants a checkpoint could hold.
    pub fn neuron_in(&self, model: Neuron) -> Neuron {
        let neuron = self.neuron.map_or(model, |own| own.in_model(model));
        let (given, learned) = match self.kind {
            ReadoutKind::Mean => Default::default(),
            kind if kind.fires() => (neuron.given, neuron.learned),
            _ => (neuron.given.silent(), neuron.learned.silent()),
        };
        Neuron { given, learned, ..neuron }
    }
}

impl ReadoutKind {
    /// Whether neurons fire there.
    pub fn fires(self) -> bool {
        matches!(self, ReadoutKind::Count | ReadoutKind::First)
    }
}

/// How a readout is read.
#[derive(Clone, Debug)]
pub struct LogitReader {
    /// The quantity that logits are.
    pub kind: ReadoutKind,
    /// The neurons' constants and arithmetic.
    neuron: Lif,
    /// The constants of each class, where they differ.
    varied: Option<Arc<Varied>>,
    /// The value of one pulse.
    unit: f32,
    steps: usize,
}

/// One class of an image while it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassReading {
    sum: f32,
    state: State,
    largest: Option<f32>,
    first: Option<usize>,
}

impl LogitReader {
    /// The reader of a readout with these neurons, whose constants may differ, and whose input pulses have this value.
    pub fn new(kind: ReadoutKind, (neuron, varied): (Lif, Option<Arc<Varied>>), unit: f32, steps: usize) -> Self {
        // A mean is of the sums themselves, and of no neuron's potential.
        let neuron = if kind == ReadoutKind::Mean { Lif { fixed: None, ..neuron } } else { neuron };
        LogitReader { kind, neuron, varied, unit, steps }
    }

    /// Leak and threshold of a class, and the rest of its neuron. One that does not fire has a threshold that it never
    /// passes.
    pub fn constants(&self, class: usize) -> ((f32, f32), Dynamics) {
        let Lif { leak, threshold, general, .. } = self.neuron;
        let (constants, dynamics) = match &self.varied {
            Some(varied) => varied.in_row(class),
            None => ((leak, threshold), general.unwrap_or(Dynamics::plain(threshold))),
        };
        match self.kind.fires() {
            true => (constants, dynamics),
            false => {
                let silent = Dynamics { taken: 0.0, is_set: false, adaptation: 0.0, refractory: 0.0, ..dynamics };
                ((constants.0, f32::INFINITY), silent)
            }
        }
    }

    /// Takes a step of a class's neuron on a current.
    pub fn step(&self, state: &mut State, class: usize, current: f32) -> Stepped {
        let (constants, dynamics) = self.constants(class);
        self.neuron.step(state, constants, &dynamics, current)
    }

    /// The mean of sums over the first `t + 1` steps, with the bias.
    pub fn mean(&self, t: usize, sum: f32, bias: Option<f32>) -> f32 {
        let mean = sum * self.unit / (t + 1) as f32;
        bias.map_or(mean, |bias| mean + bias)
    }

    /// The value of a step's sum, in pulses, with the bias: the current of a neuron.
    pub fn value(&self, sum: f32, bias: Option<f32>) -> f32 {
        let (unit, bias) = self.neuron.norm(self.unit, bias.unwrap_or(0.0));
        self.neuron.share(unit, sum, bias)
    }

    /// Takes the sum of step `t` of a class, in pulses; gives the logit after it.
    pub fn take(&self, reading: &mut ClassReading, (t, class): (usize, usize), sum: f32, bias: Option<f32>) -> f32 {
        if self.kind == ReadoutKind::Mean {
            reading.sum += sum;
            return self.mean(t, reading.sum, bias);
        }
        let stepped = self.step(&mut reading.state, class, self.value(sum, bias));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::NeuronFormat;

    #[test]
    fn potentials_in_fixed_point_are_those_of_integers() {
        let format =
            NeuronFormat { membrane_bits: 10, fraction_bits: 4, leak_bits: 3, gain_bits: 6, ..NeuronFormat::default() };
        let neuron = Neuron { leak: 0.6, synaptic_leak: 0.4, ..Neuron::default() };
        // The leaks are 5 and 3 eighths; in sixteenths the bias of 0.7 is 11, and a pulse, 1/9 with six bits, 57/512.
        let reader = |kind| LogitReader::new(kind, (Lif::of(neuron, &format), None), 1.0 / 9.0, 40);
        let nearest = |exact: f64| exact.round_ties_even() as i64;
        let (mut last, mut largest) = (ClassReading::default(), ClassReading::default());
        let (mut u, mut i, mut most) = (0i64, 0i64, i64::MIN);
        for t in 0..40 {
            let sum = (t * 37 % 101) as f32 - 55.0;
            let x = nearest(f64::from(sum) * 57.0 / 512.0 * 16.0) + 11;
            i = (nearest((3 * i) as f64 / 8.0) + nearest(x as f64)).clamp(-512, 511);
            u = (nearest((5 * u) as f64 / 8.0) + i).clamp(-512, 511);
            most = most.max(u);
            let logit = |kind, reading: &mut ClassReading| reader(kind).take(reading, (t, 2), sum, Some(0.7)) * 16.0;
            assert_eq!(logit(ReadoutKind::Last, &mut last), u as f32, "step {t}");
            assert_eq!(logit(ReadoutKind::Largest, &mut largest), most as f32, "step {t}");
        }
        assert_eq!(reader(ReadoutKind::Mean).value(3.0, Some(0.7)), 1.0f32 / 9.0 * 3.0 + 0.7, "a mean is of sums");
    }
}
