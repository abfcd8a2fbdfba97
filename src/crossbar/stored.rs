//! How a companion array is stored: dense, or without the elements that are 0, whichever takes the fewest
//! bytes.
//!
//! | form | bits of an array of n elements, m of them not 0, k bits a code |
//! |---|---|
//! | dense, where the code can say 0 or m = n | n·k |
//! | mask | n + m·k |
//! | places | m·(k + ⌈log₂ n⌉) |

use crate::profile::Scheme;

/// A form of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A code for every element.
    Dense,
    /// A bit for every element, and codes of those that are not 0.
    Mask,
    /// Codes of the elements that are not 0, each with its place.
    Places,
}

/// The code of a stored weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCode {
    /// Its bits.
    pub bits: u32,
    /// Whether it can say 0; one that cannot stores an array with zeros in a sparse form.
    pub has_zero: bool,
}

impl StoredCode {
    /// The code of weights of a scheme and so many bits.
    pub fn of(scheme: Scheme, bits: u32) -> Self {
        match scheme {
            Scheme::Float => StoredCode { bits: 32, has_zero: true },
            Scheme::Ternary => StoredCode { bits: 2, has_zero: true },
            Scheme::Integer => StoredCode { bits, has_zero: true },
            Scheme::Uniform | Scheme::Dorefa => StoredCode { bits, has_zero: false },
        }
    }
}

/// Bits of a place among so many elements.
pub fn place_bits(elements: usize) -> u32 {
    usize::BITS - elements.saturating_sub(1).leading_zeros()
}

impl Form {
    /// The smallest form, and its bytes, for so many elements of which so many are not 0; the first of equals.
    pub fn smallest(elements: usize, there: usize, code: StoredCode) -> (Form, usize) {
        let bytes = |count: usize, bits: u32| (count * bits as usize).div_ceil(8);
        let codes = bytes(there, code.bits);
        let dense = (code.has_zero || there == elements).then(|| (Form::Dense, bytes(elements, code.bits)));
        let sparse =
            [(Form::Mask, bytes(elements, 1) + codes), (Form::Places, bytes(there, place_bits(elements)) + codes)];
        dense.into_iter().chain(sparse).min_by_key(|(_, bytes)| *bytes).expect("sparse forms are always possible")
    }
}

/// Bytes of an array of quantised weights.
pub fn bytes(weights: &[f32], code: StoredCode) -> usize {
    Form::smallest(weights.len(), weights.iter().filter(|w| **w != 0.0).count(), code).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_form_follows_the_density() {
        assert_eq!(place_bits(1024), 10);
        assert_eq!(place_bits(1025), 11);
        let (integer, uniform) = (StoredCode::of(Scheme::Integer, 4), StoredCode::of(Scheme::Uniform, 4));
        assert_eq!(Form::smallest(1024, 1024, uniform), (Form::Dense, 512));
        assert_eq!(Form::smallest(1024, 1000, integer), (Form::Dense, 512));
        assert_eq!(Form::smallest(1024, 1000, uniform), (Form::Mask, 128 + 500));
        assert_eq!(Form::smallest(1024, 512, integer), (Form::Mask, 128 + 256));
        assert_eq!(Form::smallest(1024, 16, integer), (Form::Places, 20 + 8));
        assert_eq!(Form::smallest(1024, 0, integer), (Form::Places, 0));
    }
}
