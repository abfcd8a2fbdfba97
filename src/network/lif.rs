//! The arithmetic of a neuron's step: floats, or the fixed point of a chip's digital periphery.
//!
//! `u ← λ·u + gain·sum + offset`; a spike iff `u > θ`; then `u ← u − θ`; or the step of a general neuron
//! ([`Dynamics`]). In
//! floats all in f32, in this order of operations.
//!
//! In fixed point ([`Fixed`]) a membrane is a two's complement number of `membrane_bits` bits, `fraction_bits` of them behind the
//! point; λ is a multiple of 2^-leak_bits, a gain has `gain_bits` significant bits, θ and offsets are multiples of the membrane's
//! unit. `λ·u` and `gain·sum` are rounded to that unit, each by itself, the latter held to 22 bits; their sum with the offset
//! saturates at the membrane's ends, or wraps around. Every number is a small multiple of a power of two and every operation
//! exact or rounded once, so all devices give the same bits.

use super::dynamics::Dynamics;
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
        Lif { leak: nearest(leak, steps), threshold: nearest(threshold, scale), fixed: Some(fixed), general: None }
    }

    /// An error where a membrane in fixed point cannot rise above the threshold, or does what fixed point does not have.
    pub fn check(neuron: Neuron, format: &NeuronFormat) -> Result<()> {
        if format.membrane_bits > 0 && !neuron.is_plain() {
            return Err(Error::Mismatch(format!(
                "neuron.membrane_bits = {} holds neurons that leak and are reset at once by subtraction alone; expected 0 (floats) for \
                 other resets, synaptic currents, adaptation, scaled inputs and refractory times",
                format.membrane_bits
            )));
        }
        let Lif { threshold, fixed, .. } = Lif::of(neuron, format);
        match fixed {
            Some(Fixed { highest, .. }) if !(threshold > 0.0 && threshold < highest) => Err(Error::Mismatch(format!(
                "neuron.membrane_bits = {} with neuron.fraction_bits = {} holds potentials to {highest}, and the model's \
                 threshold of {} becomes {threshold}; expected a threshold above 0 that a potential can pass",
                format.membrane_bits, format.fraction_bits, neuron.threshold
            ))),
            _ => Ok(()),
        }
    }

    /// The share that a layer's sum, behind its norm, has in a current that several make up: in fixed point a multiple of the membrane's
    /// unit.
    #[inline(always)]
    pub fn share(&self, gain: f32, sum: f32, offset: f32) -> f32 {
        match &self.fixed {
            None => gain * sum + offset,
            Some(fixed) => fixed.round(gain * sum) + offset,
        }
    }

    /// Gains and offsets as the periphery holds them.
    pub fn norms(&self, gain: Vec<f32>, offset: Vec<f32>) -> (Vec<f32>, Vec<f32>) {
        let Some(fixed) = self.fixed else { return (gain, offset) };
        let offset = offset.into_iter().map(|x| (libm::rintf(x * fixed.scale)).clamp(-PRODUCT, PRODUCT) / fixed.scale);
        (gain.into_iter().map(|gain| significant(gain, fixed.gain_bits)).collect(), offset.collect())
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
    /// To the membrane's unit.
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
        let exact = self.round(leak * membrane) + (self.round(gain * sum) + offset);
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

    fn lif(format: NeuronFormat) -> Lif {
        Lif::of(Neuron::default(), &format)
    }

    fn format() -> NeuronFormat {
        NeuronFormat { membrane_bits: 8, fraction_bits: 5, leak_bits: 6, gain_bits: 5, ..NeuronFormat::default() }
    }

    /// The same in integers.
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

    #[test]
    fn gains_have_so_many_significant_bits() {
        for (x, bits, expected) in
            [(1.0f32, 3, 1.0), (1.1, 3, 1.0), (1.2, 3, 1.25), (-0.0301, 4, -0.029296875), (7.7, 2, 8.0)]
        {
            assert_eq!(significant(x, bits), expected, "{x}");
        }
        assert_eq!(significant(0.123, 0), 0.123);
        let (gain, offset) = lif(format()).norms(vec![1.03], vec![0.7, 1e9]);
        assert_eq!((gain, offset), (vec![1.0], vec![22.0 / 32.0, 65536.0]));
    }

    #[test]
    fn without_bits_neurons_are_floats() {
        assert_eq!(lif(NeuronFormat::default()), Lif { leak: 0.95, threshold: 1.0, fixed: None, general: None });
    }
}
