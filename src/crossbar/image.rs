//! What the companion SRAM arrays hold, to the bit: codes of the elements that are there, and the mask of a pruned array.
//!
//! A code has as many bits as the array's weights, the lowest first in a stream of bytes, elements in published order:
//!
//! | scheme | code | weight |
//! |---|---|---|
//! | `integer` | two's complement | code/2^(k−1) |
//! | `uniform` | magnitude − 1, sign above it | ±magnitude/2^(k−1), magnitudes 1 … 2^(k−1) |
//! | `dorefa` | level | 2·level/(2^k − 1) − 1 |
//! | `ternary` | two's complement, 2 bits | code·α; α stands beside |
//! | `float` | the 32 bits of an f32 | itself |
//!
//! The image's bytes are those of its tensors `conv1.codes` and, where an array is pruned, `conv1.mask` (a bit an element,
//! as in a checkpoint).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::mapping::{Place, place};
use crate::checkpoint::{Checkpoint, Tensor, Values};
use crate::device::quantise::{largest, quantise};
use crate::error::{Error, Result};
use crate::network::companion::{mask, mask_name};
use crate::network::{Model, Network};
use crate::profile::{Profile, Scheme};

/// The file that a training run writes it to.
pub const IMAGE: &str = "sram.safetensors";

/// Every layer's companion array.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    tensors: BTreeMap<String, Tensor>,
    /// α of every ternary layer.
    scales: BTreeMap<String, f32>,
    scheme: Scheme,
    bits: u32,
    /// Bytes of the same arrays without pruning.
    pub dense_bytes: usize,
}

/// Bits of a stored weight.
pub fn code_bits(scheme: Scheme, bits: u32) -> u32 {
    match scheme {
        Scheme::Float => 32,
        Scheme::Ternary => 2,
        Scheme::Uniform | Scheme::Integer | Scheme::Dorefa => bits,
    }
}

impl Image {
    /// Of a hybrid network's arrays; an error where a weight lies beyond what its bits can say.
    pub fn of(profile: &Profile, model: &Model, network: &Network) -> Result<Self> {
        let sram = profile.sram.stated(network.form.map(|form| (form.scheme, form.combine)));
        let scheme = sram.effective_scheme();
        let bits = code_bits(scheme, sram.bits);
        let (mut tensors, mut scales, mut dense_bytes) = (BTreeMap::new(), BTreeMap::new(), 0);
        for (layer, state) in model.layers().iter().zip(&network.layers) {
            let Some(array) = state.sram.as_ref().filter(|_| place(profile, layer) == Place::Rram) else { continue };
            let weights = quantise(scheme, sram.bits, &array.latent);
            let kept = |i: usize| array.kept.as_ref().is_none_or(|kept| kept[i]);
            let alpha = largest(&weights);
            let codes = weights.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(i, w)| {
                code(scheme, sram.bits, *w, alpha).ok_or_else(|| {
                    Error::Mismatch(format!(
                        "element {i} of `{}`'s companion array is {w}, beyond what {bits} bits hold with the scheme `{}`; \
                         expected latent weights from -1 to 1",
                        layer.name,
                        json!(scheme).as_str().unwrap_or_default()
                    ))
                })
            });
            let bytes = pack(codes.collect::<Result<Vec<u32>>>()?, bits);
            let mut put = |name: String, bytes: Vec<u8>| {
                tensors.insert(name, Tensor { shape: vec![bytes.len()], values: Values::U8(bytes) });
            };
            put(format!("{}.codes", layer.name), bytes);
            if let Some(mask) = mask(array) {
                put(mask_name(&layer.name), mask);
            }
            if scheme == Scheme::Ternary {
                scales.insert(layer.name.clone(), alpha);
            }
            dense_bytes += (weights.len() * bits as usize).div_ceil(8);
        }
        Ok(Image { tensors, scales, scheme, bits, dense_bytes })
    }

    /// Bytes of codes and masks.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.values.len()).sum()
    }

    /// Writes the image.
    pub fn write(&self, path: &Path, origin: &Value) -> Result<()> {
        let metadata = json!({
            "origin": origin, "scheme": self.scheme, "bits": self.bits, "bytes": self.bytes(), "ternary_scale": self.scales,
        });
        Checkpoint { tensors: self.tensors.clone(), metadata }.write(path)
    }
}

/// The code of a quantised weight; none where its bits cannot say it.
fn code(scheme: Scheme, bits: u32, weight: f32, alpha: f32) -> Option<u32> {
    let half = |bits: u32| (1i64 << (bits - 1)) as f32;
    let signed = |level: f32, bits: u32| (level as i32 as u32) & (u32::MAX >> (32 - bits));
    match scheme {
        Scheme::Float => Some(weight.to_bits()),
        Scheme::Integer => Some(signed(weight * half(bits), bits)),
        Scheme::Ternary => Some(signed(if weight == 0.0 { 0.0 } else { (weight / alpha).round() }, 2)),
        Scheme::Uniform => {
            let magnitude = (weight * half(bits)).abs() as u32;
            let negative = u32::from(weight < 0.0);
            (1..=1 << (bits - 1)).contains(&magnitude).then_some((magnitude - 1) | (negative << (bits - 1)))
        }
        Scheme::Dorefa => Some(((weight + 1.0) / 2.0 * ((1u64 << bits) - 1) as f32).round() as u32),
    }
}

/// Codes of so many bits, one after the other.
fn pack(codes: Vec<u32>, bits: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((codes.len() * bits as usize).div_ceil(8));
    let (mut word, mut filled) = (0u64, 0);
    for code in codes {
        word |= u64::from(code) << filled;
        filled += bits;
        while filled >= 8 {
            bytes.push(word as u8);
            word >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        bytes.push(word as u8);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weight that a code says, by the table above.
    fn weight(scheme: Scheme, bits: u32, code: u32, alpha: f32) -> f32 {
        let signed = |bits: u32| ((code << (32 - bits)) as i32 >> (32 - bits)) as f32;
        let half = 2f32.powi(bits as i32 - 1);
        match scheme {
            Scheme::Float => f32::from_bits(code),
            Scheme::Integer => signed(bits) / half,
            Scheme::Ternary => signed(2) * alpha,
            Scheme::Uniform => {
                let magnitude = (code & (half as u32 - 1)) + 1;
                magnitude as f32 / half * if code >> (bits - 1) == 1 { -1.0 } else { 1.0 }
            }
            Scheme::Dorefa => 2.0 * code as f32 / (2f32.powi(bits as i32) - 1.0) - 1.0,
        }
    }

    #[test]
    fn every_weight_comes_back_from_the_packed_bits() {
        let latent: Vec<f32> = (0..201).map(|i| i as f32 / 100.0 - 1.0).collect();
        for scheme in [Scheme::Float, Scheme::Integer, Scheme::Ternary, Scheme::Uniform, Scheme::Dorefa] {
            for bits in [2, 3, 4, 5, 8] {
                let weights = quantise(scheme, bits, &latent);
                let alpha = largest(&weights);
                let codes: Vec<u32> = weights.iter().map(|w| code(scheme, bits, *w, alpha).unwrap()).collect();
                let stored = code_bits(scheme, bits);
                let bytes = pack(codes, stored);
                assert_eq!(bytes.len(), (201 * stored as usize).div_ceil(8));
                let bit = |at: usize| u32::from(bytes[at / 8] >> (at % 8) & 1);
                for (i, expected) in weights.iter().enumerate() {
                    let code = (0..stored as usize).fold(0, |code, b| code | bit(i * stored as usize + b) << b);
                    let found = weight(scheme, bits, code, alpha);
                    assert!((found - expected).abs() < 1e-6, "{scheme:?} {bits}: {found}, expected {expected}");
                }
            }
        }
    }

    #[test]
    fn a_weight_beyond_its_bits_has_no_code() {
        assert_eq!(code(Scheme::Uniform, 4, quantise(Scheme::Uniform, 4, &[1.3])[0], 1.0), None);
    }
}
