//! What the companion SRAM arrays hold, to the bit: codes, and which elements they are of.
//!
//! A code has as many bits as the array's weights, the lowest first in a stream of bytes, elements in published order:
//!
//! | scheme | code | weight |
//! |---|---|---|
//! | `integer` | two's complement | code/2^(k−1) |
//! | `uniform` | magnitude − 1, sign above it | ±magnitude/2^(k−1), magnitudes 1 … 2^(k−1) |
//! | `dorefa` | level | 2·level/(2^k − 1) − 1 |
//! | `ternary` | two's complement, 2 bits | code·α; α stands in the metadata |
//! | `float` | the 32 bits of an f32 | itself |
//!
//! Each array takes its smallest form ([`super::stored`]). Its tensors are `conv1.codes`, in a sparse form of the
//! elements that are not 0, and with them either `conv1.mask` (a bit an element, as in a checkpoint) or `conv1.places`
//! (numbers of ⌈log₂ n⌉ bits, packed as codes are). The image's bytes are those of its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::site::Site;
use super::sram;
use super::stored::{Form, StoredCode, place_bits};
use crate::checkpoint::{Checkpoint, Tensor, Values};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::network::companion::{mask_bytes, mask_name};
use crate::numeric::largest;
use crate::profile::Scheme;

/// The file that a training run writes it to.
pub const IMAGE: &str = "sram.safetensors";

/// Every layer's companion array.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    tensors: BTreeMap<String, Tensor>,
    /// How every layer's codes are to be read.
    codings: BTreeMap<String, Coding>,
    /// Bytes of the same arrays in dense form.
    pub dense_bytes: usize,
}

/// How one array's codes are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Coding {
    scheme: Scheme,
    bits: u32,
    elements: usize,
    /// α of a ternary array.
    #[serde(skip_serializing_if = "Option::is_none")]
    ternary_scale: Option<f32>,
}

impl Image {
    /// The image of a hybrid network's arrays; an error where a weight lies beyond what its bits can say.
    pub fn of<'a>(sites: impl IntoIterator<Item = &'a Site>, network: &Network) -> Result<Self> {
        let mut image = Image { tensors: BTreeMap::new(), codings: BTreeMap::new(), dense_bytes: 0 };
        for (site, state) in sites.into_iter().zip(&network.layers) {
            let sram = site.sram.stated(network.form);
            let Some(array) = state.sram.as_ref().filter(|_| site.has_companion()) else { continue };
            let weights = sram::quantised(&sram, &array.latent, array.kept.as_deref());
            image.add(&site.name, sram.effective_scheme(), sram.bits, &weights)?;
        }
        Ok(image)
    }

    fn add(&mut self, layer: &str, scheme: Scheme, weight_bits: u32, weights: &[f32]) -> Result<()> {
        let (stored, alpha) = (StoredCode::of(scheme, weight_bits), largest(weights));
        let bits = stored.bits;
        let there: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] != 0.0).collect();
        let (form, _) = Form::smallest(weights.len(), there.len(), stored);
        let code = |i: &usize| {
            code(scheme, weight_bits, weights[*i], alpha).ok_or_else(|| {
                Error::Mismatch(format!(
                    "element {i} of `{layer}`'s companion array is {}, beyond what {bits} bits hold with the scheme \
                     `{}`; expected latent weights from -1 to 1",
                    weights[*i],
                    json!(scheme).as_str().unwrap_or_default()
                ))
            })
        };
        let codes: Result<Vec<u32>> = match form {
            Form::Dense => (0..weights.len()).map(|i| code(&i)).collect(),
            Form::Mask | Form::Places => there.iter().map(code).collect(),
        };
        let mut put = |name: String, bytes: Vec<u8>| {
            self.tensors.insert(name, Tensor { shape: vec![bytes.len()], values: Values::U8(bytes) });
        };
        put(format!("{layer}.codes"), pack(codes?, bits));
        match form {
            Form::Dense => {}
            Form::Mask => put(mask_name(layer), mask_bytes(weights.iter().map(|w| *w != 0.0))),
            Form::Places => {
                let places = there.iter().map(|place| *place as u32).collect();
                put(format!("{layer}.places"), pack(places, place_bits(weights.len())));
            }
        }
        let ternary_scale = (scheme == Scheme::Ternary).then_some(alpha);
        self.codings.insert(layer.into(), Coding { scheme, bits, elements: weights.len(), ternary_scale });
        self.dense_bytes += (weights.len() * bits as usize).div_ceil(8);
        Ok(())
    }

    /// Bytes of codes, masks and places.
    pub fn bytes(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.values.len()).sum()
    }

    /// Writes the image.
    pub fn write(&self, path: &Path, origin: &Value) -> Result<()> {
        let metadata = json!({
            "origin": origin, "arrays": self.codings, "bytes": self.bytes(),
        });
        Checkpoint { tensors: self.tensors.clone(), metadata, ..Checkpoint::default() }.write(path)
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
    use crate::device::quantise::quantise;

    #[test]
    fn an_image_has_the_bytes_that_are_reported_for_its_array() {
        for (elements, every) in [(1000, 1), (1000, 2), (1000, 40), (3, 1)] {
            let weights: Vec<f32> = (0..elements).map(|i| if i % every == 0 { 0.5 } else { 0.0 }).collect();
            let mut image = Image { tensors: BTreeMap::new(), codings: BTreeMap::new(), dense_bytes: 0 };
            image.add("conv1", Scheme::Integer, 4, &weights).unwrap();
            assert_eq!(
                image.bytes(),
                crate::crossbar::stored::bytes(&weights, StoredCode::of(Scheme::Integer, 4)),
                "one of {every}"
            );
        }
    }

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
                let stored = StoredCode::of(scheme, bits).bits;
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
