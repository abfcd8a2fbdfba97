//! The element types that files hold, and their little-endian decoding to the types kept in memory.

use super::Values;

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

/// The exact value of an IEEE 754 binary16 number.
fn f32_from_f16(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10 & 0x1f);
    let fraction = u32::from(half & 0x3ff);
    match exponent {
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::f32_from_f16;

    #[test]
    fn half_precision_is_exact() {
        let cases = [
            (0x0000, 0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (half, expected) in cases {
            assert_eq!(f32_from_f16(half), expected, "{half:#06x}");
        }
        assert!(f32_from_f16(0x8000).is_sign_negative());
        assert!(f32_from_f16(0x7e00).is_nan());
    }
}
