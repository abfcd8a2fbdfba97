//! What drives a layer's word lines: integers, in digit planes that are applied one after the other.

use super::encode::{DIGIT_BITS, Encoding};

/// The inputs of a layer: magnitudes of at most `largest` a plane, each plane `plane_bits` bits above the one below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The largest magnitude of a plane.
    pub largest: u32,
    /// Planes.
    pub planes: u32,
    /// Bits from plane to plane.
    pub plane_bits: u32,
    /// Whether inputs may be negative.
    pub signed: bool,
    /// Sums over inputs of this magnitude are exact in f32: a plane's of an encoded input, else of whole counts.
    pub exact: u32,
}

impl Drive {
    /// Of the network's inputs.
    pub fn encoded(encoding: Encoding) -> Self {
        let largest = encoding.largest_digit();
        Drive { largest, planes: encoding.planes(), plane_bits: DIGIT_BITS, signed: true, exact: largest }
    }

    /// Of counts of pulses, at most `largest` each: one plane, or digits where a signed byte does not hold them.
    pub fn pulses(largest: u32) -> Self {
        let planes = if largest < 128 { 1 } else { largest.ilog2() / DIGIT_BITS + 1 };
        let digit = (1 << DIGIT_BITS) - 1;
        let least = if planes == 1 { largest } else { digit };
        Drive { largest: least, planes, plane_bits: DIGIT_BITS, signed: false, exact: largest }
    }

    /// Digit `plane` of an input, with its sign.
    pub fn digit(&self, n: i32, plane: u32) -> i32 {
        match self.planes {
            1 => n,
            _ => ((n.abs() >> (plane * self.plane_bits)) & ((1 << self.plane_bits) - 1)) * n.signum(),
        }
    }

    /// Binary digits of a plane.
    pub fn bits(&self) -> u32 {
        u32::BITS - self.largest.leading_zeros()
    }
}
