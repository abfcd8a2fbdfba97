//! The arithmetic of a neuron's step: floats, or the fixed point of a chip's digital periphery.
//!
//! `u ← λ·u + gain·sum + offset`; a spike iff `u > θ`; then `u ← u − θ`; or the step of a general neuron
//! ([`Dynamics`]). In
//! floats all in f32, in this order of operations.
//!
//! In fixed point ([`Fixed`]) a membrane is a two's complement number of `membrane_bits` bits, `fraction_bits` of them
//! behind the point; λ is a multiple of 2^-leak_bits, a gain has `gain_bits` significant bits, θ and offsets are
//! multiples of the membrane's unit. `λ·u` and `gain·sum` are rounded to that unit, each by itself, the latter held to
//! 22 bits; their sum with the offset saturates at the membrane's ends, or wraps around. Every number is a small
//! multiple of a power of two and every operation exact or rounded once, so all devices give the same bits. A general
//! neuron has all that it keeps in the same format: each of its products is rounded to the unit, each sum held to the
//! range; its leaks are multiples of 2^-leak_bits, β and the value of a reset of the unit.

use super::constants::Constant;
use super::dynamics::{Dynamics, State, Stepped};
use super::neuron::Neuron;
use crate::error::{Error, Result};
use crate::profile::{NeuronFormat, NeuronRounding, Overflow};

/// A neuron's constants and arithmetic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lif {
    /// Leak λ.
    pub leak: f32,
    /// Threshold θ.
    pub threshold: f32,
    /// Fixed point, where the profile has it.
    pub fixed: Option<Fixed>,
    /// The rest of a general neuron; none of a plain one.
    pub general: Option<Dynamics>,
}

/// Fixed-point arithmetic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fixed {
    /// Units of the membrane in 1: a power of two.
    pub scale: f32,
    /// The least membrane potential.
    pub lowest: f32,
    /// The greatest.
    pub highest: f32,
    /// Rounds towards minus infinity in place of to the nearest (half to even).
    pub floors: bool,
    /// Wraps around in place of saturating.
    pub wraps: bool,
    gain_bits: u32,
}

/// A product is held to this many units of the membrane.
pub const PRODUCT: f32 = (1 << 21) as f32;

impl Lif {
    /// A model's neuron in a profile's arithmetic.
    pub fn of(neuron: Neuron, format: &NeuronFormat) -> Self {
        let Neuron { leak, threshold, .. } = neuron;
        if format.membrane_bits == 0 {
            return Lif { leak, threshold, fixed: None, general: (!neuron.is_plain()).then(|| Dynamics::of(neuron)) };
        }
        let scale = libm::scalbnf(1.0, format.fraction_bits as i32);
        let half = libm::scalbnf(1.0, format.membrane_bits as i32 - 1) / scale;
        let fixed = Fixed {
            scale,
            lowest: -half,
            highest: half - 1.0 / scale,
            floors: format.round == NeuronRounding::Floor,
            wraps: format.overflow == Overflow::Wrap,
            gain_bits: format.gain_bits,
        };
        let steps = libm::scalbnf(1.0, format.leak_bits as i32);
        let nearest = |x: f32, scale: f32| libm::rintf(x * scale) / scale;
        let (leak, threshold) = (nearest(leak, steps), nearest(threshold, scale));
        let dynamics = Dynamics::of(Neuron { leak, threshold, ..neuron });
        let general = Dynamics {
            synaptic_leak: nearest(dynamics.synaptic_leak, steps),
            adaptation_leak: nearest(dynamics.adaptation_leak, steps),
            adaptation: nearest(dynamics.adaptation, scale),
            value: nearest(dynamics.value, scale),
            ..dynamics
        };
        Lif { leak, threshold, fixed: Some(fixed), general: (!neuron.is_plain()).then_some(general) }
    }

    /// An error where a membrane in fixed point cannot be set to the value that a reset sets it to.
    pub fn check_reset(neuron: Neuron, format: &NeuronFormat) -> Result<()> {
        let Lif { fixed, general, .. } = Lif::of(neuron, format);
        match (fixed, general) {
            (Some(Fixed { lowest, highest, .. }), Some(Dynamics { value, .. }))
                if value < lowest || value > highest =>
            {
                Err(Error::Mismatch(format!(
                    "neuron.membrane_bits = {} with neuron.fraction_bits = {} holds potentials from {lowest} to \
                     {highest}, and the model's neurons are reset to {value}; expected more bits, or fewer behind the \
                     point",
                    format.membrane_bits, format.fraction_bits
                )))
            }
            _ => Ok(()),
        }
    }

    /// An error where a membrane in fixed point cannot rise above a neuron's threshold.
    pub fn check_threshold(neuron: Neuron, format: &NeuronFormat) -> Result<()> {
        let Lif { threshold, fixed, .. } = Lif::of(neuron, format);
        match fixed {
            Some(Fixed { highest, .. }) if !(threshold > 0.0 && threshold < highest) => Err(Error::Mismatch(format!(
                "neuron.membrane_bits = {} with neuron.fraction_bits = {} holds potentials to {highest}, and a \
                 threshold of {} becomes {threshold}; expected a threshold above 0 that a potential can pass",
                format.membrane_bits, format.fraction_bits, neuron.threshold
            ))),
            _ => Ok(()),
        }
    }

    /// Takes a step of a neuron with these constants in its arithmetic.
    #[inline(always)]
    pub fn step(&self, state: &mut State, constants: (f32, f32), dynamics: &Dynamics, current: f32) -> Stepped {
        match &self.fixed {
            None => state.step(constants, dynamics, current),
            Some(fixed) => fixed.step(state, constants, dynamics, current),
        }
    }

    /// The nearest value that a constant of neurons in this arithmetic may have: leaks from 0 to 1, a threshold of at
    /// least 1/1024, in fixed point of a unit or more, and below what a potential can pass. What is no number stays so.
    pub fn held(&self, constant: Constant, value: f32) -> f32 {
        let (least, most) = match (constant, &self.fixed) {
            (Constant::Threshold, None) => (1.0 / 1024.0, f32::INFINITY),
            (Constant::Threshold, Some(fixed)) => (1.0 / fixed.scale, fixed.highest - 1.0 / fixed.scale),
            (Constant::Adaptation, _) => (0.0, f32::INFINITY),
            (Constant::Leak | Constant::SynapticLeak | Constant::AdaptationLeak, _) => (0.0, 1.0),
        };
        value.clamp(least, most.max(least))
    }

    /// The share that a layer's sum, behind its norm, has in a current that several make up: in fixed point a multiple
    /// of the membrane's unit.
    #[inline(always)]
    pub fn share(&self, gain: f32, sum: f32, offset: f32) -> f32 {
        match &self.fixed {
            None => gain * sum + offset,
            Some(fixed) => fixed.round(gain * sum) + offset,
        }
    }

    /// A gain and an offset as the periphery holds them.
    pub fn norm(&self, gain: f32, offset: f32) -> (f32, f32) {
        self.fixed.map_or((gain, offset), |fixed| (significant(gain, fixed.gain_bits), fixed.offset(offset)))
    }

    /// Gains and offsets as the periphery holds them.
    pub fn norms(&self, gain: Vec<f32>, offset: Vec<f32>) -> (Vec<f32>, Vec<f32>) {
        gain.into_iter().zip(offset).map(|(gain, offset)| self.norm(gain, offset)).unzip()
    }
}

/// The nearest number of so many significant bits; 0 bits keep it.
fn significant(x: f32, bits: u32) -> f32 {
    if bits == 0 || x == 0.0 {
        return x;
    }
    let (mantissa, exponent) = libm::frexpf(x);
    libm::scalbnf(libm::rintf(libm::scalbnf(mantissa, bits as i32)), exponent - bits as i32)
}

impl Fixed {
    /// An offset in the membrane's unit.
    fn offset(&self, x: f32) -> f32 {
        libm::rintf(x * self.scale).clamp(-PRODUCT, PRODUCT) / self.scale
    }

    /// A number rounded to the membrane's unit.
    #[inline(always)]
    fn round(&self, x: f32) -> f32 {
        // Below 2^22, adding 1.5·2^23 leaves no room for a fraction.
        const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;
        let units = (x * self.scale).clamp(-PRODUCT, PRODUCT);
        let nearest = (units + NO_FRACTION) - NO_FRACTION;
        let down = if nearest > units { nearest - 1.0 } else { nearest };
        (if self.floors { down } else { nearest }) / self.scale
    }

    /// The potential after a step.
    #[inline(always)]
    pub fn advance(&self, leak: f32, membrane: f32, gain: f32, sum: f32, offset: f32) -> f32 {
        self.hold(self.round(leak * membrane) + (self.round(gain * sum) + offset))
    }

    /// A step of a general neuron.
    #[inline(always)]
    pub fn step(&self, state: &mut State, constants: (f32, f32), dynamics: &Dynamics, current: f32) -> Stepped {
        state.step_in(constants, dynamics, current, |product| self.round(product), |sum| self.hold(sum))
    }

    /// A sum, held to the membrane's range.
    #[inline(always)]
    fn hold(&self, exact: f32) -> f32 {
        if !self.wraps {
            return exact.clamp(self.lowest, self.highest);
        }
        // Whole turns: at most 2^22 units over 2^4 or more.
        let turn = -2.0 * self.lowest;
        let turns = (exact - self.lowest) / turn;
        const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;
        let nearest = (turns + NO_FRACTION) - NO_FRACTION;
        let whole = if nearest > turns { nearest - 1.0 } else { nearest };
        exact - whole * turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::neuron::{Fires, MembraneReset, ResetAt};

    fn lif(format: NeuronFormat) -> Lif {
        Lif::of(Neuron::default(), &format)
    }

    fn format() -> NeuronFormat {
        NeuronFormat { membrane_bits: 8, fraction_bits: 5, leak_bits: 6, gain_bits: 5, ..NeuronFormat::default() }
    }

    /// The rounding in integers, as a reference.
    fn reference(format: &NeuronFormat, [leak, membrane]: [i64; 2], product: f64, offset: i64) -> i64 {
        let floors = format.round == NeuronRounding::Floor;
        let round = |x: f64| if floors { x.floor() as i64 } else { x.round_ties_even() as i64 };
        let leaked = round((leak * membrane) as f64 / f64::from(1u32 << format.leak_bits));
        let exact = leaked + round(product * f64::from(1u32 << format.fraction_bits)) + offset;
        let half = 1i64 << (format.membrane_bits - 1);
        match format.overflow {
            Overflow::Saturate => exact.clamp(-half, half - 1),
            Overflow::Wrap => (exact + half).rem_euclid(2 * half) - half,
        }
    }

    #[test]
    fn steps_are_those_of_integers() {
        for round in [NeuronRounding::Nearest, NeuronRounding::Floor] {
            for overflow in [Overflow::Saturate, Overflow::Wrap] {
                let format = NeuronFormat { round, overflow, ..format() };
                let (lif, fixed) = (lif(format.clone()), lif(format.clone()).fixed.unwrap());
                assert_eq!((lif.leak * 64.0, lif.threshold * 32.0), (61.0, 32.0));
                for i in 0..20_000i64 {
                    let (membrane, offset) = (i * 37 % 256 - 128, i * 11 % 41 - 20);
                    let (gain, sum) = (((i * 7 % 31) as f32 - 15.0) / 64.0, (i * 13 % 257 - 128) as f32 / 8.0);
                    let found = fixed.advance(lif.leak, membrane as f32 / 32.0, gain, sum, offset as f32 / 32.0);
                    let expected = reference(&format, [61, membrane], f64::from(gain) * f64::from(sum), offset);
                    assert_eq!(f64::from(found) * 32.0, expected as f64, "{round:?} {overflow:?} step {i}");
                }
            }
        }
    }

    /// The step of a general neuron in whole units of 2^-5, leaks in units of 2^-6.
    fn general_reference(format: &NeuronFormat, neuron: Neuron, state: &mut [i64; 5], current: i64) -> bool {
        let floors = format.round == NeuronRounding::Floor;
        let product = |a: i64, b: i64, bits: u32| {
            let exact = (a * b) as f64 / f64::from(1u32 << bits);
            if floors { exact.floor() as i64 } else { exact.round_ties_even() as i64 }
        };
        let half = 1i64 << (format.membrane_bits - 1);
        let hold = |exact: i64| match format.overflow {
            Overflow::Saturate => exact.clamp(-half, half - 1),
            Overflow::Wrap => (exact + half).rem_euclid(2 * half) - half,
        };
        let leak = |x: f32| (f64::from(x) * 64.0).round_ties_even() as i64;
        let unit = |x: f32| (f64::from(x) * 32.0).round_ties_even() as i64;
        let [u, i, a, fired, rest] = *state;
        let input = if neuron.scaled_input { 64 - leak(neuron.leak) } else { 64 };
        let i = hold(product(leak(neuron.synaptic_leak), i, 6) + product(input, current, 6));
        let a = hold(product(leak(neuron.adaptation_leak), a, 6) + 32 * fired);
        let threshold = unit(neuron.threshold) + product(unit(neuron.adaptation), a, 5);
        let before = if rest > 0 { u } else { hold(product(leak(neuron.leak), u, 6) + i) };
        let reset = |u: i64, fired: i64| match neuron.reset {
            MembraneReset::To(value) if fired > 0 => unit(value),
            MembraneReset::Subtract => hold(u - fired * unit(neuron.threshold)),
            _ => u,
        };
        let is_next = neuron.reset_at == ResetAt::Next;
        let potential = if is_next { reset(before, fired) } else { before };
        let spikes = (potential > threshold || neuron.fires == Fires::Reached && potential == threshold) && rest == 0;
        let after = if is_next { potential } else { reset(potential, i64::from(spikes)) };
        let rest = if spikes { i64::from(neuron.refractory) } else { (rest - 1).max(0) };
        *state = [after, i, a, i64::from(spikes), rest];
        spikes
    }

    #[test]
    fn general_steps_are_those_of_integers() {
        let base = Neuron { leak: 0.8, threshold: 0.9, ..Neuron::default() };
        let neurons = [
            Neuron { reset: MembraneReset::To(-0.3), synaptic_leak: 0.6, refractory: 2, ..base },
            Neuron { reset_at: ResetAt::Next, scaled_input: true, fires: Fires::Reached, ..base },
            Neuron { adaptation: 0.4, adaptation_leak: 0.7, synaptic_leak: 0.5, ..base },
            Neuron { reset: MembraneReset::None, leak: 0.5, fires: Fires::Reached, ..base },
        ];
        let (mut fired, mut all) = (0, 0);
        for neuron in neurons {
            for (round, overflow) in [NeuronRounding::Nearest, NeuronRounding::Floor]
                .into_iter()
                .flat_map(|round| [Overflow::Saturate, Overflow::Wrap].map(|overflow| (round, overflow)))
            {
                let format = NeuronFormat { round, overflow, ..format() };
                let lif = Lif::of(neuron, &format);
                let (fixed, dynamics) = (lif.fixed.unwrap(), lif.general.unwrap());
                let (mut state, mut reference) = (State::default(), [0; 5]);
                for step in 0..5000i64 {
                    let current = step * 53 % 97 - 30;
                    let stepped = fixed.step(&mut state, (lif.leak, lif.threshold), &dynamics, current as f32 / 32.0);
                    let spikes = general_reference(&format, neuron, &mut reference, current);
                    let found = [state.membrane, state.synaptic, state.adapted].map(|x| f64::from(x) * 32.0);
                    let expected = [reference[0], reference[1], reference[2]].map(|x| x as f64);
                    assert_eq!((found, stepped.spike), (expected, spikes), "{neuron:?} {format:?} step {step}");
                    (fired, all) = (fired + i32::from(spikes), all + 1);
                }
            }
        }
        assert!(fired > all / 20 && fired < all * 19 / 20, "{fired} of {all}");
    }

    #[test]
    fn constants_are_held_to_what_the_arithmetic_has() {
        let fixed = lif(format());
        // Eight bits with five behind the point: units of 1/32, potentials to 127/32.
        for (value, expected) in [(-1.0, 1.0 / 32.0), (0.7, 0.7), (9.0, 126.0 / 32.0)] {
            let held = fixed.held(Constant::Threshold, value);
            assert_eq!(held, expected);
            let neuron = Neuron { threshold: held, ..Neuron::default() };
            assert!(Lif::check_threshold(neuron, &format()).is_ok(), "{value}");
        }
        let floats = lif(NeuronFormat::default());
        assert_eq!(floats.held(Constant::Threshold, 0.0), 1.0 / 1024.0);
        assert_eq!([-0.1, 0.3, 1.1].map(|value| floats.held(Constant::Leak, value)), [0.0, 0.3, 1.0]);
        assert!(floats.held(Constant::Threshold, f32::NAN).is_nan(), "a training that diverged says so");
    }

    #[test]
    fn gains_have_so_many_significant_bits() {
        for (x, bits, expected) in
            [(1.0f32, 3, 1.0), (1.1, 3, 1.0), (1.2, 3, 1.25), (-0.0301, 4, -0.029296875), (7.7, 2, 8.0)]
        {
            assert_eq!(significant(x, bits), expected, "{x}");
        }
        assert_eq!(significant(0.123, 0), 0.123);
        let (gain, offset) = lif(format()).norms(vec![1.03; 2], vec![0.7, 1e9]);
        assert_eq!((gain, offset), (vec![1.0; 2], vec![22.0 / 32.0, 65536.0]));
    }

    #[test]
    fn without_bits_neurons_are_floats() {
        assert_eq!(lif(NeuronFormat::default()), Lif { leak: 0.95, threshold: 1.0, fixed: None, general: None });
    }
}
