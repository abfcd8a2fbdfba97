//! The step of a general neuron ([`super::neuron`]): one with a reset, a synaptic current, an adaptation or a rest that
//! a plain leaky neuron does not have. The CPU scans by it, training goes back through it, and `shaders/neurons.wgsl`
//! has the same.

use super::neuron::{Fires, MembraneReset, Neuron, ResetAt};

/// The constants of a general neuron beside leak and threshold: each has a value that leaves it as a plain one is.
/// Potentials and currents are in units of the normalised current, times in steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dynamics {
    /// Factor of the current: 1, or 1 − λ.
    pub input: f32,
    /// Leak α of the synaptic current.
    pub synaptic_leak: f32,
    /// Rise β of the threshold for each spike in the trace.
    pub adaptation: f32,
    /// Leak ρ of the trace of spikes.
    pub adaptation_leak: f32,
    /// The share of the potential that a spike takes away: the threshold, or 0.
    pub taken: f32,
    /// The value that a spike sets the potential to.
    pub value: f32,
    /// Whether a spike sets the potential to `value`.
    pub is_set: bool,
    /// Whether the reset comes in the next step.
    pub next: bool,
    /// Whether the threshold fires where it is reached.
    pub reached: bool,
    /// Steps of rest after a spike.
    pub refractory: f32,
}

impl Dynamics {
    /// The dynamics of a neuron of a model file.
    pub fn of(neuron: Neuron) -> Self {
        let Neuron { leak, threshold, reset, .. } = neuron;
        Dynamics {
            input: if neuron.scaled_input { 1.0 - leak } else { 1.0 },
            synaptic_leak: neuron.synaptic_leak,
            adaptation: neuron.adaptation,
            adaptation_leak: neuron.adaptation_leak,
            taken: if reset == MembraneReset::Subtract { threshold } else { 0.0 },
            value: if let MembraneReset::To(value) = reset { value } else { 0.0 },
            is_set: matches!(reset, MembraneReset::To(_)),
            next: neuron.reset_at == ResetAt::Next,
            reached: neuron.fires == Fires::Reached,
            refractory: neuron.refractory as f32,
        }
    }
}

impl Dynamics {
    /// The dynamics of a plain neuron with a threshold.
    pub fn plain(threshold: f32) -> Self {
        Self::of(Neuron { threshold, ..Neuron::default() })
    }
}

/// The state that a general neuron keeps from step to step.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// The membrane potential.
    pub membrane: f32,
    /// The synaptic current.
    pub synaptic: f32,
    /// The trace of spikes.
    pub adapted: f32,
    /// 1 where the last step had a spike.
    pub fired: f32,
    /// Steps of rest that are left.
    pub rest: f32,
}

/// The outcome of a neuron's step.
#[derive(Clone, Copy, Debug)]
pub struct Stepped {
    /// The potential that is held against the threshold.
    pub potential: f32,
    /// The threshold in force.
    pub threshold: f32,
    /// Whether the neuron fires.
    pub spike: bool,
    /// Whether the neuron rests after a spike.
    pub rests: bool,
}

impl State {
    /// Takes a step of a neuron with leak and threshold on a current, as [`super::neuron`] writes it down, in floats.
    #[inline(always)]
    pub fn step(&mut self, constants: (f32, f32), dynamics: &Dynamics, current: f32) -> Stepped {
        self.step_in(constants, dynamics, current, |product| product, |sum| sum)
    }

    /// Steps a neuron whose products are each rounded by `round`, and whose sums are each held to a range.
    #[inline(always)]
    pub fn step_in(
        &mut self,
        (leak, threshold): (f32, f32),
        dynamics: &Dynamics,
        current: f32,
        round: impl Fn(f32) -> f32,
        hold: impl Fn(f32) -> f32,
    ) -> Stepped {
        let x = round(dynamics.input * current);
        self.synaptic = hold(round(dynamics.synaptic_leak * self.synaptic) + x);
        self.adapted = hold(round(dynamics.adaptation_leak * self.adapted) + self.fired);
        let threshold = threshold + round(dynamics.adaptation * self.adapted);
        let integrated = hold(round(leak * self.membrane) + self.synaptic);
        let rests = self.rest > 0.0;
        let before = if rests { self.membrane } else { integrated };
        let last = if dynamics.next { self.fired } else { 0.0 };
        let taken = hold(before - dynamics.taken * last);
        let potential = if dynamics.is_set && last > 0.0 { dynamics.value } else { taken };
        let fires = potential > threshold || (dynamics.reached && potential == threshold);
        let spike = fires && !rests;
        let fired = if spike { 1.0 } else { 0.0 };
        let now = if dynamics.next { 0.0 } else { fired };
        let after = hold(potential - dynamics.taken * now);
        self.membrane = if dynamics.is_set && now > 0.0 { dynamics.value } else { after };
        self.fired = fired;
        self.rest = if spike { dynamics.refractory } else { (self.rest - 1.0).max(0.0) };
        Stepped { potential, threshold, spike, rests }
    }
}
