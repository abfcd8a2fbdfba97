//! The two products of a layer's backward pass: ∂loss/∂W ([`weights`]) and ∂loss/∂inputs ([`inputs`]).
//!
//! # Theory
//!
//! Both run on integers, like the forward pass, so that training too gives the same bits on any processor and any number
//! of threads. The gradient of the currents is rounded to 23 bits of the largest magnitude that it can have in the layer
//! ([`Currents`]): what f32 keeps of the large ones, and an error below 2^-23 of the largest in all others. Its product
//! with pulses is then exact. Its product with the weights, also in 23 bits, leaves out the digits below 2^-23 of the
//! largest product.

pub mod inputs;
pub mod weights;

use multiversion::multiversion;

use crate::forward::laid::BIAS;
use crate::kernels::digits::{Digits, LANES};

/// Digits of a gradient.
pub const DIGITS: usize = 3;
/// Magnitudes stay below this.
pub const LARGEST: f32 = (1 << 22) as f32;

/// The power of two that brings `bound` just below [`LARGEST`]; not a number where the bound is none.
pub fn scale_for(bound: f32) -> f32 {
    if bound == 0.0 {
        return 1.0;
    }
    if !bound.is_finite() {
        return f32::NAN;
    }
    let exponent = libm::ilogbf(LARGEST) - 1 - libm::ilogbf(bound);
    libm::scalbnf(1.0, exponent.clamp(-120, 120))
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

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_digits() {
        let values = [0, 1, -1, 127, 128, -128, -129, 32639, 32640, -32768, 4194303, -4194303, 8355711];
        let mut currents = Currents::default();
        currents.reshape(1, values.len());
        currents.units.iter_mut().zip(values).for_each(|(unit, value)| *unit = [value; LANES]);
        let digits: Vec<Vec<u8>> = (0..DIGITS)
            .map(|d| {
                let mut out = vec![0; values.len() * LANES];
                currents.to_bytes(d, 0, &mut out);
                out
            })
            .collect();
        let mut packed = Digits::zeros(DIGITS, LANES, 1, values.len());
        currents.to_digits(0, &mut packed);
        for (i, value) in values.into_iter().enumerate() {
            let digit = |d: usize| i32::from((digits[d][i * LANES] ^ BIAS) as i8);
            assert_eq!((0..DIGITS).map(|d| digit(d) << (8 * d)).sum::<i32>(), value);
            assert_eq!(packed.row(0, 0, i), [value; LANES]);
        }
    }

    #[test]
    fn scales_bring_bounds_below_the_largest() {
        for bound in [1e-30, 0.7, 1.0, 3.0, 1e20] {
            let scaled = bound * scale_for(bound);
            assert!((LARGEST / 4.0..LARGEST).contains(&scaled), "{bound}");
        }
        assert!(scale_for(f32::INFINITY).is_nan());
    }
}
