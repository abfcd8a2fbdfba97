//! The two products of a layer's backward pass: ∂loss/∂W ([`weights`]) and ∂loss/∂inputs ([`inputs`]).
//!
//! # Theory
//!
//! Both run on integers, like the forward pass, so that training too gives the same bits on any processor and any
//! number of threads. The gradient of the currents is rounded to 16 or 23 bits of the largest magnitude that it can
//! have in the layer ([`Precision`]). Its product with pulses is then exact. Its product with the weights, in as many
//! bits, leaves out the digits below the last of these of the largest product.

pub mod inputs;
pub mod weights;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forward::laid::BIAS;
use crate::kernels::digits::{Digits, LANES};
use crate::kernels::vectorised;

/// How finely gradients, and the weights that they meet on their way to the inputs, are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(with = "u32")]
pub enum Precision {
    /// 16 bits, two digits.
    #[default]
    Two,
    /// 23 bits, three digits.
    Three,
}

impl Precision {
    /// Bits with the sign.
    pub fn bits(self) -> u32 {
        match self {
            Precision::Two => 16,
            Precision::Three => 23,
        }
    }

    /// Digits of an integer.
    pub fn digits(self) -> usize {
        self as usize + 2
    }

    /// The largest magnitude: that of two balanced digits, or of a whole number that 1.5·2^23 has room for.
    pub fn largest(self) -> f32 {
        match self {
            Precision::Two => (127 * 257) as f32,
            Precision::Three => ((1 << 22) - 1) as f32,
        }
    }

    /// No rounded gradient is larger: a bound may be rounded itself.
    pub fn most(self) -> u64 {
        (self.largest() * 1.0001) as u64 + 1
    }

    /// The power of two that brings `bound` nearest to [`Precision::largest`] from below; not a number where the bound
    /// is none.
    pub fn scale_for(self, bound: f32) -> f32 {
        if bound == 0.0 {
            return 1.0;
        }
        if !bound.is_finite() {
            return f32::NAN;
        }
        let exponent = libm::ilogbf(self.largest() / bound);
        libm::scalbnf(1.0, exponent.clamp(-120, 120))
    }
}

impl TryFrom<u32> for Precision {
    type Error = String;

    fn try_from(bits: u32) -> Result<Self, String> {
        let all = [Precision::Two, Precision::Three];
        let found = all.into_iter().find(|precision| u32::from(*precision) == bits);
        found.ok_or_else(|| format!("{bits}, expected 16 or 23"))
    }
}

impl From<Precision> for u32 {
    fn from(precision: Precision) -> u32 {
        precision.bits()
    }
}

/// ∂loss/∂currents in whole units, padded: `[blocks, rows, 16]`.
#[derive(Debug, Default)]
pub struct Currents {
    /// The integers.
    pub units: Vec<[i32; LANES]>,
    /// Rows of a block.
    pub rows: usize,
}

impl Currents {
    /// Takes so many; what they hold is left to be written.
    pub fn reshape(&mut self, blocks: usize, rows: usize) {
        self.units.resize(blocks * rows, [0; LANES]);
        self.rows = rows;
    }

    /// Rows from `from` on as the right operand of the product with pulses; rows that it has more are zero.
    pub fn to_digits(&self, from: usize, digits: &mut Digits) {
        let rows = digits.run.min(self.rows - from);
        let zeros = vec![[0; LANES]; digits.run.next_multiple_of(4) - rows / 4 * 4];
        for (block, units) in self.units.chunks(self.rows).enumerate() {
            digits.write(block, rows / 4, &zeros);
            digits.write(block, 0, &units[from..from + rows]);
        }
    }

    /// Rows `[from, from + out.len())` as bytes of digit `d`, raised by [`BIAS`]: `out[row][blocks·16]`.
    pub fn to_bytes(&self, d: usize, from: usize, out: &mut [u8]) {
        to_bytes(&self.units, self.rows, d, from, out);
    }
}

vectorised! {
    fn to_bytes(units: &[[i32; LANES]], rows: usize, d: usize, from: usize, out: &mut [u8]) {
        let channels = units.len() / rows * LANES;
        // Rounds away the digits below: each is the nearest to what is left.
        let half = [0, 0x80, 0x8080][d];
        for (block, units) in units.chunks(rows).enumerate() {
            for (units, out) in units[from..].iter().zip(out.chunks_mut(channels)) {
                let out: &mut [u8; LANES] = out[block * LANES..].first_chunk_mut().expect("blocks of 16");
                for (byte, unit) in out.iter_mut().zip(units) {
                    *byte = (((unit + half) >> (8 * d)) as u8) ^ BIAS;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::digits::digits_of;

    #[test]
    fn bytes_are_the_digits() {
        let values = [0, 1, -1, 127, 128, -128, -129, 32639, 32640, -32768, 4194303, -4194303, 8355711];
        let mut currents = Currents::default();
        currents.reshape(1, values.len());
        currents.units.iter_mut().zip(values).for_each(|(unit, value)| *unit = [value; LANES]);
        let digits: Vec<Vec<u8>> = (0..Precision::Three.digits())
            .map(|d| {
                let mut out = vec![0; values.len() * LANES];
                currents.to_bytes(d, 0, &mut out);
                out
            })
            .collect();
        let mut packed = Digits::zeros(Precision::Three.digits(), LANES, 1, values.len());
        currents.to_digits(0, &mut packed);
        for (i, value) in values.into_iter().enumerate() {
            let digit = |d: usize| i32::from((digits[d][i * LANES] ^ BIAS) as i8);
            assert_eq!((0..digits.len()).map(|d| digit(d) << (8 * d)).sum::<i32>(), value);
            assert_eq!(packed.row(0, 0, i), [value; LANES]);
        }
    }

    #[test]
    fn scales_bring_bounds_below_the_largest() {
        for precision in [Precision::Two, Precision::Three] {
            let largest = precision.largest();
            for bound in [1e-28, 0.7, 1.0, 3.0, 1e20] {
                let scaled = bound * precision.scale_for(bound);
                assert!((largest / 2.0..=largest).contains(&scaled), "{bound}");
            }
            assert!(precision.scale_for(f32::INFINITY).is_nan());
            assert_eq!(digits_of(largest as i32), precision.digits());
        }
    }
}
