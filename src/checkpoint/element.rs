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
    I16,
    I8,
    U32,
    U16,
    U8,
    Bool,
}

impl Element {
    /// The type of the elements of a PyTorch storage; none where they are quantised or complex.
    pub fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" => Element::F64,
            "FloatStorage" => Element::F32,
            "HalfStorage" => Element::F16,
            "BFloat16Storage" => Element::Bf16,
            "LongStorage" => Element::I64,
            "IntStorage" => Element::I32,
            "ShortStorage" => Element::I16,
            "CharStorage" => Element::I8,
            "ByteStorage" => Element::U8,
            "BoolStorage" => Element::Bool,
            _ => return None,
        })
    }

    /// Whether PyTorch has a type of values of this name.
    pub fn is_type(name: &str) -> bool {
        let digits = name.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let (word, plain) =
            (&name[..name.len() - digits.len()], digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        plain
            && ["uint", "int", "float", "bfloat", "bool", "half", "double", "long", "short", "quint", "qint"]
                .contains(&word)
    }

    /// The element of a PyTorch type; none where it is not read.
    pub fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "float64" | "double" => Element::F64,
            "float32" | "float" => Element::F32,
            "float16" | "half" => Element::F16,
            "bfloat16" => Element::Bf16,
            "int64" | "long" => Element::I64,
            "int32" | "int" => Element::I32,
            "int16" | "short" => Element::I16,
            "int8" => Element::I8,
            "uint32" => Element::U32,
            "uint16" => Element::U16,
            "uint8" => Element::U8,
            "bool" => Element::Bool,
            _ => return None,
        })
    }

    /// Bytes of one stored value.
    pub fn size(self) -> usize {
        match self {
            Element::F64 | Element::I64 => 8,
            Element::F32 | Element::I32 | Element::U32 => 4,
            Element::F16 | Element::Bf16 | Element::I16 | Element::U16 => 2,
            Element::U8 | Element::I8 | Element::Bool => 1,
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
            Element::U32 => Values::I64(indices.map(|i| u32::from_le_bytes(four[i]).into()).collect()),
            Element::I16 => Values::I64(indices.map(|i| i16::from_le_bytes(two[i]).into()).collect()),
            Element::U16 => Values::I64(indices.map(|i| u16::from_le_bytes(two[i]).into()).collect()),
            Element::I8 => Values::I64(indices.map(|i| i64::from(one[i] as i8)).collect()),
            Element::U8 => Values::U8(indices.map(|i| one[i]).collect()),
            Element::Bool => Values::U8(indices.map(|i| (one[i] != 0).into()).collect()),
        }
    }
}
