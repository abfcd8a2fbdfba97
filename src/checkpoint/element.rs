//! The element types that files hold, and their little-endian decoding to the types kept in memory.

use super::Values;
use crate::numeric::half::f32_from_f16;

/// The type of one stored value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    U8,
    Bool,
}

impl Element {
    /// Bytes of one stored value.
    pub fn size(self) -> usize {
        match self {
            Element::F64 | Element::I64 => 8,
            Element::F32 | Element::I32 => 4,
            Element::F16 | Element::Bf16 => 2,
            Element::U8 | Element::Bool => 1,
        }
    }

    /// The values at `indices`, counted in elements, each below `bytes.len() / self.size()`. `F64` rounds to nearest.
    pub fn decode(self, bytes: &[u8], indices: impl Iterator<Item = usize>) -> Values {
        let (one, two) = (bytes, bytes.as_chunks::<2>().0);
        let (four, eight) = (bytes.as_chunks::<4>().0, bytes.as_chunks::<8>().0);
        match self {
            Element::F64 => Values::F32(indices.map(|i| f64::from_le_bytes(eight[i]) as f32).collect()),
            Element::F32 => Values::F32(indices.map(|i| f32::from_le_bytes(four[i])).collect()),
            Element::F16 => Values::F32(indices.map(|i| f32_from_f16(u16::from_le_bytes(two[i]))).collect()),
            Element::Bf16 => {
                Values::F32(indices.map(|i| f32::from_bits(u32::from(u16::from_le_bytes(two[i])) << 16)).collect())
            }
            Element::I64 => Values::I64(indices.map(|i| i64::from_le_bytes(eight[i])).collect()),
            Element::I32 => Values::I64(indices.map(|i| i32::from_le_bytes(four[i]).into()).collect()),
            Element::U8 => Values::U8(indices.map(|i| one[i]).collect()),
            Element::Bool => Values::U8(indices.map(|i| (one[i] != 0).into()).collect()),
        }
    }
}
