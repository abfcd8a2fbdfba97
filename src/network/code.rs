//! What the network's inputs are to a chip: integers of so many binary digits, each worth a unit.
//!
//! | inputs | digits of a magnitude | unit |
//! |---|---|---|
//! | `poisson` | 1 | 1 |
//! | whole numbers (event frames, say), `tile.input_bits` = 0 or wide enough for them | as many as the largest takes | 1 |
//! | real numbers, `tile.input_bits` = 0 | as many as the largest takes in fixed point of [`FRACTION_BITS`] bits | 2^-16 |
//! | all others: the codes of a converter (DAC) | `tile.input_bits` = b | F/(2^b − 1) |
//!
//! F is the least power of two that no value exceeds. A sign is not a digit: a negative input drives its line below the
//! reference voltage. What values a data set has is known of it as a whole, never of a batch, so that a chip has one
//! width; every set that runs through the same chip counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Encoding;
use crate::error::{Error, Result};
use crate::numeric::Range;

/// Fractional bits of real inputs in fixed point.
pub const FRACTION_BITS: u32 = 16;
/// Bits of one digit plane: wider inputs are applied one plane after the other.
pub const DIGIT_BITS: u32 = 4;
/// The most binary digits of an input: of real numbers below 4096 in fixed point.
pub const MOST_BITS: u32 = 28;
/// Whole numbers of more digits than these are not small: they are left to a converter.
const WHOLE_BITS: u32 = 16;

/// The meaning of an input's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputForm {
    /// Spikes that an encoder draws.
    Spikes,
    /// Whole numbers, as they are.
    Whole,
    /// Real numbers in fixed point.
    FixedPoint,
    /// The codes of a converter.
    Converted,
}

/// What the network's inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InputCode {
    /// How images become inputs.
    pub encoding: Encoding,
    /// The meaning of their numbers.
    pub form: InputForm,
    /// Binary digits of a magnitude.
    pub bits: u32,
    /// The value of one unit.
    pub unit: f32,
    /// Whether there are negative inputs.
    pub signed: bool,
}

impl From<Encoding> for InputCode {
    /// The widest one, for data of which nothing is known.
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Poisson => InputCode { encoding, form: InputForm::Spikes, bits: 1, unit: 1.0, signed: true },
            Encoding::Direct | Encoding::Frames => InputCode {
                encoding,
                form: InputForm::FixedPoint,
                bits: MOST_BITS,
                unit: fixed_point_unit(),
                signed: true,
            },
        }
    }
}

fn fixed_point_unit() -> f32 {
    1.0 / (1u32 << FRACTION_BITS) as f32
}

impl InputCode {
    /// The code of data with these values, behind a converter of `input_bits` bits, or none (0).
    ///
    /// # Errors
    /// [`Error::Mismatch`] where values are too large to be applied without a converter.
    pub fn of(encoding: Encoding, values: Range, input_bits: u32) -> Result<Self> {
        let (signed, magnitude) = (values.least < 0.0, values.magnitude());
        let code = |form, bits: u32, unit: f32| InputCode { encoding, form, bits: bits.max(1), unit, signed };
        if encoding == Encoding::Poisson {
            return Ok(code(InputForm::Spikes, 1, 1.0));
        }
        let digits = |unit: f32| libm::rint(f64::from(magnitude) / f64::from(unit)) as u64;
        let width = |unit: f32| u64::BITS - digits(unit).leading_zeros();
        let holds = |bits: u32| input_bits == 0 || bits <= input_bits;
        if values.whole && width(1.0) <= WHOLE_BITS && holds(width(1.0)) {
            return Ok(code(InputForm::Whole, width(1.0), 1.0));
        }
        if input_bits > 0 {
            let full = if magnitude > 0.0 { libm::exp2(libm::ceil(libm::log2(f64::from(magnitude)))) } else { 1.0 };
            let unit = (full / f64::from((1u32 << input_bits) - 1)) as f32;
            return Ok(code(InputForm::Converted, input_bits, unit));
        }
        let bits = width(fixed_point_unit());
        if bits > MOST_BITS {
            let limit = 1u32 << (MOST_BITS - FRACTION_BITS);
            return Err(Error::Mismatch(format!(
                "the data hold {magnitude}, and inputs without a converter hold magnitudes below {limit}; expected \
                 normalised data, or tile.input_bits above 0"
            )));
        }
        Ok(code(InputForm::FixedPoint, bits, fixed_point_unit()))
    }

    /// Whether inputs are real numbers as they are, without a converter.
    pub fn is_fixed_point(&self) -> bool {
        self.form == InputForm::FixedPoint
    }

    /// Digit planes of a step.
    pub fn planes(&self) -> u32 {
        self.bits.div_ceil(DIGIT_BITS)
    }

    /// The largest magnitude, in units.
    pub fn largest(&self) -> u32 {
        u32::MAX >> (u32::BITS - self.bits)
    }

    /// The integer nearest to `x`, half to even.
    pub fn integer(&self, x: f32) -> i32 {
        libm::rint(f64::from(x) / f64::from(self.unit)) as i32
    }

    /// Whether the code says this value: as it is where values are whole, else as near as its unit allows.
    pub fn holds(&self, x: f32) -> bool {
        let integer = self.integer(x);
        match self.form {
            InputForm::Spikes => x.is_finite(),
            form => {
                let is_whole = form != InputForm::Whole || integer as f32 == x;
                x.is_finite() && integer.unsigned_abs() <= self.largest() && is_whole
            }
        }
    }
}

/// Digit `plane` (0 the least significant) of an integer, with its sign.
pub fn digit(n: i32, plane: u32) -> i32 {
    let magnitude = (n.unsigned_abs() >> (plane * DIGIT_BITS)) & ((1 << DIGIT_BITS) - 1);
    n.signum() * magnitude as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(values: &[f32]) -> Range {
        Range::of(values.iter().copied())
    }

    #[test]
    fn the_width_is_that_of_the_data_and_of_the_converter() {
        let of = |values: &[f32], bits| {
            let InputCode { bits, unit, signed, .. } = InputCode::of(Encoding::Frames, range(values), bits).unwrap();
            (bits, unit, signed)
        };
        let fine = fixed_point_unit();
        for (values, input_bits, expected) in [
            (&[0.0, 1.0][..], 0, (1, 1.0, false)),
            (&[0.0, 1.0], 5, (1, 1.0, false)),
            (&[-1.0, 1.0], 1, (1, 1.0, true)),
            (&[0.0, 5.0], 0, (3, 1.0, false)),
            (&[0.0, 255.0], 0, (8, 1.0, false)),
            (&[0.0, 65535.0], 0, (16, 1.0, false)),
            (&[0.0, 0.0], 0, (1, 1.0, false)),
            // Whole numbers that the converter does not hold.
            (&[0.0, 255.0], 4, (4, 256.0 / 15.0, false)),
            (&[0.0, 0.5], 0, (16, fine, false)),
            (&[-2.4, 2.75], 0, (18, fine, true)),
            (&[-2.4, 2.75], 8, (8, 4.0 / 255.0, true)),
            (&[0.0, 0.25, 1.0], 4, (4, 1.0 / 15.0, false)),
            (&[0.1, 4095.9], 0, (28, fine, false)),
            (&[0.1, 1e30], 2, (2, libm::exp2f(100.0) / 3.0, false)),
        ] {
            assert_eq!(of(values, input_bits), expected, "{values:?} with {input_bits} bits");
        }
        for values in [&[0.5, 4096.0][..], &[-70000.0, 0.0]] {
            let error = InputCode::of(Encoding::Direct, range(values), 0).unwrap_err().to_string();
            assert!(error.contains("tile.input_bits"), "{error}");
        }
        let poisson = InputCode::of(Encoding::Poisson, range(&[-1e9, 3.5]), 0).unwrap();
        assert_eq!(poisson, Encoding::Poisson.into());
    }

    #[test]
    fn values_come_back_from_their_digits() {
        for (values, bits) in
            [(&[0.0, 1.0][..], 0), (&[-7.0, 300.0], 0), (&[-2.7181, 0.3, 4095.99], 0), (&[-3.1, 0.7], 6)]
        {
            let code = InputCode::of(Encoding::Direct, range(values), bits).unwrap();
            for x in values {
                let n = code.integer(*x);
                let sum: i64 = (0..code.planes()).map(|p| i64::from(digit(n, p)) << (p * DIGIT_BITS)).sum();
                assert_eq!(sum, i64::from(n));
                assert!((n as f32 * code.unit - x).abs() <= 0.5001 * code.unit, "{x} as {n} of {code:?}");
                assert!(code.holds(*x));
            }
        }
        let whole = InputCode::of(Encoding::Frames, range(&[0.0, 3.0]), 0).unwrap();
        assert!(!whole.holds(4.0) && !whole.holds(0.5) && !whole.holds(f32::NAN));
    }
}
