//! Spiking neurons as a model file describes them: leak, threshold, reset, synaptic current, adaptation and refractory
//! time.
//!
//! At each step, from a layer's current x (sums behind norm and bias), in this order:
//!
//! ```text
//! x ← (1 − λ)·x                     where scaled_input
//! i ← α·i + x;  x ← i               synaptic current, α = synaptic_leak
//! θ_t = θ + β·a,  a ← ρ·a + s_last  adaptation β, adaptation_leak ρ, s_last the last step's spike
//! u ← λ·u + x                       but not in the refractory steps after a spike, in which nothing fires
//! u ← u − θ·s_last, or r·s_last     where reset_at = "next": behind leak and input
//! s = [u > θ_t], or [u ≥ θ_t]       fires = "above" or "reached"
//! u ← u − θ·s, or r where s         where reset_at = "spike": at once, before the next step's leak
//! ```
//!
//! All of it is in f32, each product and sum rounded by itself, so that every device gives the same bits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::constants::{Constant, Extent, Extents, Learned};
use crate::config::is_default;

/// A neuron's constants, in units of the normalised current; times in steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Neuron {
    /// Leak λ: the share of the membrane potential kept from step to step; 1 integrates and fires.
    pub leak: f32,
    /// Threshold θ.
    pub threshold: f32,
    /// The reset that a spike causes: `"subtract"` takes the threshold away, `"zero"` or a number is its value,
    /// `"none"` leaves it; absent: `"subtract"`.
    #[serde(skip_serializing_if = "is_default")]
    pub reset: MembraneReset,
    /// When: at the `"spike"`, before the next step's leak, or in the `"next"` step, behind its leak and input;
    /// absent: `"spike"`.
    #[serde(skip_serializing_if = "is_default")]
    pub reset_at: ResetAt,
    /// Whether a potential fires `"above"` the threshold alone, or where it is `"reached"`; absent: `"above"`.
    #[serde(skip_serializing_if = "is_default")]
    pub fires: Fires,
    /// Whether the current is multiplied by 1 − λ.
    #[serde(skip_serializing_if = "is_default")]
    pub scaled_input: bool,
    /// Leak α of a synaptic current that integrates the input before the membrane does; 0: the membrane takes it as it
    /// is.
    #[serde(skip_serializing_if = "is_default")]
    pub synaptic_leak: f32,
    /// Rise β of the threshold for each spike of late; 0: it stays.
    #[serde(skip_serializing_if = "is_default")]
    pub adaptation: f32,
    /// Leak ρ of what is kept of these spikes from step to step.
    #[serde(skip_serializing_if = "is_default")]
    pub adaptation_leak: f32,
    /// Steps after a spike in which the potential takes no leak and no input, and nothing fires.
    #[serde(skip_serializing_if = "is_default")]
    pub refractory: u32,
    /// Constants that a checkpoint holds, with the neurons that share a value: `{ leak = "channel" }` is a tensor
    /// `NAME.leak` of one leak a channel. The values here are those of a network that a training begins. Training does
    /// not move them.
    #[serde(skip_serializing_if = "is_default")]
    pub given: Extents,
    /// Constants that a checkpoint holds, likewise, and that training moves.
    #[serde(skip_serializing_if = "is_default")]
    pub learned: Learned,
}

/// The change that a spike makes to the potential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenReset", into = "WrittenReset")]
#[schemars(rename = "Reset", with = "WrittenReset")]
pub enum MembraneReset {
    /// The threshold is taken away.
    #[default]
    Subtract,
    /// The potential is set to a value.
    To(f32),
    /// A spike leaves the potential as it is.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected \"subtract\", \"zero\", \"none\", or the value that the potential is set to")]
enum WrittenReset {
    Named(NamedReset),
    To(f32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum NamedReset {
    Subtract,
    Zero,
    None,
}

impl From<WrittenReset> for MembraneReset {
    fn from(written: WrittenReset) -> Self {
        match written {
            WrittenReset::Named(NamedReset::Subtract) => MembraneReset::Subtract,
            WrittenReset::Named(NamedReset::Zero) => MembraneReset::To(0.0),
            WrittenReset::Named(NamedReset::None) => MembraneReset::None,
            WrittenReset::To(value) => MembraneReset::To(value),
        }
    }
}

impl From<MembraneReset> for WrittenReset {
    fn from(reset: MembraneReset) -> Self {
        match reset {
            MembraneReset::Subtract => WrittenReset::Named(NamedReset::Subtract),
            MembraneReset::To(value) => WrittenReset::To(value),
            MembraneReset::None => WrittenReset::Named(NamedReset::None),
        }
    }
}

/// When a potential is reset.
///
/// # Examples
/// ```
/// use crosspike::{Model, ResetAt};
///
/// let model = Model::named("digits", &["neuron.reset_at=next".into()])?;
/// assert_eq!(model.neuron.reset_at, ResetAt::Next);
/// assert_eq!(Model::named("digits", &[])?.neuron.reset_at, ResetAt::Spike);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResetAt {
    /// At once, before the next step's leak.
    #[default]
    Spike,
    /// The reset comes in the next step, behind its leak and input.
    Next,
}

/// Where a potential fires.
///
/// # Examples
/// ```
/// use crosspike::{Fires, Model};
///
/// let model = Model::named("digits", &["neuron.fires=reached".into()])?;
/// assert_eq!(model.neuron.fires, Fires::Reached);
/// assert_eq!(Model::named("digits", &[])?.neuron.fires, Fires::Above);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fires {
    /// Above the threshold alone.
    #[default]
    Above,
    /// Also at the threshold.
    Reached,
}

impl Default for Neuron {
    fn default() -> Self {
        Neuron {
            leak: 0.95,
            threshold: 1.0,
            reset: MembraneReset::default(),
            reset_at: ResetAt::default(),
            fires: Fires::default(),
            scaled_input: false,
            synaptic_leak: 0.0,
            adaptation: 0.0,
            adaptation_leak: 0.0,
            refractory: 0,
            given: Extents::default(),
            learned: Learned::default(),
        }
    }
}

impl Neuron {
    /// Whether it is a leaky integrator that fires above its threshold, which a spike takes away at once, and nothing
    /// else.
    pub fn is_plain(&self) -> bool {
        let Neuron { leak, threshold, .. } = *self;
        *self == Neuron { leak, threshold, ..Neuron::default() }
    }

    /// The first constant that is not in its range: its key, and what is wrong.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        let within = |key, value: f32| {
            let fault = (key, format!("{value}, expected 0 to 1"));
            (!(0.0..=1.0).contains(&value)).then_some(fault)
        };
        let finite =
            |key, value: f32| (!value.is_finite()).then(|| (key, format!("{value}, expected a finite number")));
        let Neuron { threshold, adaptation, refractory, .. } = *self;
        within("leak", self.leak)
            .or((!(threshold.is_finite() && threshold > 0.0))
                .then(|| ("threshold", format!("{threshold}, expected a number above 0"))))
            .or(match self.reset {
                MembraneReset::To(value) => finite("reset", value),
                _ => None,
            })
            .or(within("synaptic_leak", self.synaptic_leak))
            .or((!(adaptation.is_finite() && adaptation >= 0.0))
                .then(|| ("adaptation", format!("{adaptation}, expected a number from 0 on"))))
            .or(within("adaptation_leak", self.adaptation_leak))
            .or((refractory > 1024).then(|| ("refractory", format!("{refractory}, expected at most 1024 steps"))))
            .or(self.fault_of_constants())
    }

    /// A constant's value.
    pub fn get(&self, constant: Constant) -> f32 {
        match constant {
            Constant::Leak => self.leak,
            Constant::Threshold => self.threshold,
            Constant::SynapticLeak => self.synaptic_leak,
            Constant::Adaptation => self.adaptation,
            Constant::AdaptationLeak => self.adaptation_leak,
        }
    }

    /// Sets a constant's value.
    pub fn set(&mut self, constant: Constant, value: f32) {
        *match constant {
            Constant::Leak => &mut self.leak,
            Constant::Threshold => &mut self.threshold,
            Constant::SynapticLeak => &mut self.synaptic_leak,
            Constant::Adaptation => &mut self.adaptation,
            Constant::AdaptationLeak => &mut self.adaptation_leak,
        } = value;
    }

    /// Whether a checkpoint holds a constant.
    pub fn is_tensor(&self, constant: Constant) -> bool {
        self.given.of(constant).or(Extents::from(self.learned).of(constant)).is_some()
    }

    /// The constants that a checkpoint holds, with their extents, and whether each is learned.
    pub fn constants(&self) -> impl Iterator<Item = (Constant, Extent, bool)> + use<> {
        let Neuron { given, learned, .. } = *self;
        let of = |extents: Extents, is_learned| {
            Constant::ALL.into_iter().filter_map(move |c| Some((c, extents.of(c)?, is_learned)))
        };
        of(given, false).chain(of(learned.into(), true))
    }

    /// A constant that is given as well as learned.
    fn fault_of_constants(&self) -> Option<(&'static str, String)> {
        let learned = Extents::from(self.learned);
        let both = |constant: &Constant| self.given.of(*constant).and(learned.of(*constant)).is_some();
        let constant = Constant::ALL.into_iter().find(both)?;
        Some(("given", format!("`{}` is learned, too; expected it in one of both", constant.name())))
    }
}

/// A layer's own constants: those that are absent are the model's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OwnNeuron {
    /// The leak, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<f32>,
    /// The threshold, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// The reset, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<MembraneReset>,
    /// The time of the reset, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<ResetAt>,
    /// The comparison with the threshold, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fires: Option<Fires>,
    /// Whether inputs are scaled, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaled_input: Option<bool>,
    /// The synaptic current's leak, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synaptic_leak: Option<f32>,
    /// The rise of the threshold, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation: Option<f32>,
    /// The leak of that rise, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation_leak: Option<f32>,
    /// The refractory steps, as in `[neuron]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refractory: Option<u32>,
    /// The constants that stand in the checkpoint, as in `[neuron]`, one by one; a constant that is a number here is
    /// none of the model's tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<Extents>,
    /// The constants that are learned, as in `[neuron]`, one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned: Option<Learned>,
}

impl OwnNeuron {
    /// The layer's neuron, in a model with this one. Its own tables of tensors, and its own numbers, stand before the
    /// model's tables, constant by constant.
    pub fn in_model(&self, model: Neuron) -> Neuron {
        let (given, learned) = self.tensors(model);
        Neuron {
            leak: self.leak.unwrap_or(model.leak),
            threshold: self.threshold.unwrap_or(model.threshold),
            reset: self.reset.unwrap_or(model.reset),
            reset_at: self.reset_at.unwrap_or(model.reset_at),
            fires: self.fires.unwrap_or(model.fires),
            scaled_input: self.scaled_input.unwrap_or(model.scaled_input),
            synaptic_leak: self.synaptic_leak.unwrap_or(model.synaptic_leak),
            adaptation: self.adaptation.unwrap_or(model.adaptation),
            adaptation_leak: self.adaptation_leak.unwrap_or(model.adaptation_leak),
            refractory: self.refractory.unwrap_or(model.refractory),
            given,
            learned,
        }
    }

    fn tensors(&self, model: Neuron) -> (Extents, Learned) {
        let (own, own_learned) = (self.given.unwrap_or_default(), Extents::from(self.learned.unwrap_or_default()));
        let (mut given, mut learned) = (model.given, Extents::from(model.learned));
        let numbers = [self.leak, self.threshold, self.synaptic_leak, self.adaptation, self.adaptation_leak];
        for (constant, number) in Constant::ALL.into_iter().zip(numbers) {
            let tensors = [own.of(constant), own_learned.of(constant)];
            if number.is_some() || tensors != [None, None] {
                given.set(constant, tensors[0]);
                learned.set(constant, tensors[1]);
            }
        }
        (given, Learned::from(learned))
    }
}
