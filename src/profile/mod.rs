//! The hardware as a designer describes it: `hw_profiles/*.toml`, validated once.
//!
//! Every section is optional and every default is the ideal one. A key that is unknown, or that this version cannot
//! honour, is an error with its line, never ignored.

mod validate;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Document;
use crate::error::Result;

/// A chip technology: cells, tiles, converters, wires and the companion SRAM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// A name for reports.
    pub name: String,
    /// Where each number comes from.
    pub source: String,
    /// The RRAM arrays.
    pub rram: Rram,
    /// The size of one tile.
    pub tile: Tile,
    /// The converters at the bit lines.
    pub adc: Adc,
    /// The resistance of the lines.
    pub wires: Wires,
    /// The companion SRAM array.
    pub sram: Sram,
}

/// `[rram]`: how weights become cells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rram {
    /// Bits of a weight; 0 keeps it a float.
    pub weight_bits: u32,
    /// The quantiser.
    pub scheme: Scheme,
    /// Which layers stand on RRAM tiles; the others are exact digital float.
    pub layers: Layers,
    /// The level of the device model.
    pub model: DeviceModel,
    /// Programming variation.
    pub variation: Variation,
}

/// A weight quantiser; see [`crate::device::quantise`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `2^k` uniform levels on [−1, 1], without a zero.
    #[default]
    Uniform,
    /// Signed integers with a zero.
    Integer,
    /// −α, 0, α.
    Ternary,
    /// DoReFa (arXiv:1606.06160).
    Dorefa,
    /// No quantisation; bits are ignored.
    Float,
}

/// The layers that stand on RRAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layers {
    /// The convolutions.
    #[default]
    Conv,
    /// Every layer, the readout included.
    All,
}

/// The level at which a device is modelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceModel {
    /// Statistical: variation acts on the signed weight.
    #[default]
    Weight,
    /// Physical conductances; not in this version.
    Cell,
}

/// `[rram.variation]`: how far a programmed weight lands from its target; see [`crate::device::variation`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variation {
    /// The distribution.
    pub kind: VariationKind,
    /// Standard deviation: of ln(w/q) for `lognormal`, of w/q for `gaussian`. Dimensionless.
    pub sigma: f64,
    /// Multiplies `sigma`; what designers sweep.
    pub scale: f64,
}

impl Default for Variation {
    fn default() -> Self {
        Variation { kind: VariationKind::None, sigma: 0.0, scale: 1.0 }
    }
}

impl Variation {
    /// The standard deviation in force, 0 when there is no variation.
    pub fn effective_sigma(&self) -> f64 {
        if self.kind == VariationKind::None { 0.0 } else { self.sigma * self.scale }
    }
}

/// The distribution of programming variation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariationKind {
    /// Cells hold their target.
    #[default]
    None,
    /// `w = q·exp(N(0, σ))`.
    Lognormal,
    /// `w = q·(1 + N(0, σ))`.
    Gaussian,
    /// σ by level; not in this version.
    PerLevel,
    /// σ as a polynomial of the conductance; not in this version.
    Polynomial,
    /// σ from a table; not in this version.
    Table,
}

/// `[tile]`: cells of one crossbar tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tile {
    /// Word lines.
    pub rows: usize,
    /// Bit lines.
    pub cols: usize,
}

impl Default for Tile {
    fn default() -> Self {
        Tile { rows: 128, cols: 128 }
    }
}

/// `[adc]`: the converters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adc {
    /// Resolution in bits; 0 is ideal, the only value in this version.
    pub bits: u32,
}

/// `[wires]`: resistance of one segment of a line, in ohm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wires {
    /// Word-line segment in ohm; 0, the only value in this version, is ideal.
    pub word_ohm: f64,
    /// Bit-line segment in ohm; 0, the only value in this version, is ideal.
    pub bit_ohm: f64,
}

/// `[sram]`: the companion array; see [`crate::crossbar::sram`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sram {
    /// Bits of a weight; 0 means there is no companion array.
    pub bits: u32,
    /// The shifter: products of the array count 2^shift. Absent: 0, and for `residual` chosen from the read-back.
    pub shift: Option<i32>,
    /// The quantiser; absent: uniform, but integer for `zeros` and `residual`.
    pub scheme: Option<Scheme>,
    /// How the two sums combine; absent: average, but sum for `zeros` and `residual`.
    pub combine: Option<Combine>,
    /// Initial values for checkpoints without an array of their own.
    pub init: SramInit,
}

/// How the companion array's products join those of the RRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Half the sum: both arrays hold a whole network.
    Average,
    /// The sum: the array corrects.
    Sum,
}

/// Initial values of the companion array.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SramInit {
    /// A copy of the RRAM's latent weights.
    #[default]
    Rram,
    /// Zeros.
    Zeros,
    /// Xavier uniform with gain 2, from the seed.
    Xavier,
    /// What this chip's read-back misses, in closed form.
    Residual,
    /// The weights of another checkpoint.
    Checkpoint(String),
}

impl TryFrom<String> for SramInit {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.as_str() {
            "rram" => Ok(SramInit::Rram),
            "zeros" => Ok(SramInit::Zeros),
            "xavier" => Ok(SramInit::Xavier),
            "residual" => Ok(SramInit::Residual),
            _ => match text.strip_prefix("checkpoint:").filter(|file| !file.is_empty()) {
                Some(file) => Ok(SramInit::Checkpoint(file.into())),
                None => Err(format!("`{text}`, expected `rram`, `zeros`, `xavier`, `residual` or `checkpoint:FILE`")),
            },
        }
    }
}

impl From<SramInit> for String {
    fn from(init: SramInit) -> String {
        match init {
            SramInit::Rram => "rram".into(),
            SramInit::Zeros => "zeros".into(),
            SramInit::Xavier => "xavier".into(),
            SramInit::Residual => "residual".into(),
            SramInit::Checkpoint(file) => format!("checkpoint:{file}"),
        }
    }
}

impl Rram {
    /// The quantiser in force: 0 bits are float for every scheme that counts bits.
    pub fn effective_scheme(&self) -> Scheme {
        if self.weight_bits == 0 && self.scheme != Scheme::Ternary { Scheme::Float } else { self.scheme }
    }
}

impl Sram {
    /// The quantiser in force.
    pub fn effective_scheme(&self) -> Scheme {
        self.scheme.unwrap_or(if self.corrects() { Scheme::Integer } else { Scheme::Uniform })
    }

    /// The combination in force.
    pub fn effective_combine(&self) -> Combine {
        self.combine.unwrap_or(if self.corrects() { Combine::Sum } else { Combine::Average })
    }

    /// The same array with quantiser and combination stated: those of the profile, else those that a network was trained
    /// with, else the defaults.
    pub fn stated(&self, trained: Option<(Scheme, Combine)>) -> Sram {
        let (scheme, combine) = trained.unwrap_or((self.effective_scheme(), self.effective_combine()));
        Sram { scheme: self.scheme.or(Some(scheme)), combine: self.combine.or(Some(combine)), ..self.clone() }
    }

    fn corrects(&self) -> bool {
        matches!(self.init, SramInit::Zeros | SramInit::Residual)
    }
}

impl Profile {
    /// Reads and validates a profile file, with overrides `key=value` on top.
    pub fn read(file: &Path, overrides: &[String]) -> Result<Self> {
        let mut document = Document::read(file)?;
        for assignment in overrides {
            document.set(assignment)?;
        }
        Self::from_document(&document)
    }

    /// The ideal chip, or what overrides alone make of it.
    pub fn ideal(overrides: &[String]) -> Result<Self> {
        let mut document = Document::parse_text(Path::new("ideal profile"), "name = \"ideal\"".into())?;
        for assignment in overrides {
            document.set(assignment)?;
        }
        Self::from_document(&document)
    }

    /// Whether programming varies at all.
    pub fn varies(&self) -> bool {
        self.rram.variation.effective_sigma() != 0.0
    }

    /// Validates a parsed document. A relative `checkpoint:` path becomes one from the document's folder.
    pub fn from_document(document: &Document) -> Result<Self> {
        let mut profile: Profile = document.parse()?;
        profile.validate(document)?;
        if let SramInit::Checkpoint(file) = &mut profile.sram.init {
            *file = document.base("sram.init").join(&*file).to_string_lossy().into_owned();
        }
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_ideal_and_follow_the_initial_values() {
        let ideal = Profile::ideal(&[]).unwrap();
        assert_eq!((ideal.rram.effective_scheme(), ideal.sram.bits), (Scheme::Float, 0));
        assert_eq!(ideal.rram.variation.effective_sigma(), 0.0);
        for (init, scheme, combine) in [
            ("rram", Scheme::Uniform, Combine::Average),
            ("zeros", Scheme::Integer, Combine::Sum),
            ("residual", Scheme::Integer, Combine::Sum),
        ] {
            let p = Profile::ideal(&["sram.bits=2".into(), format!("sram.init={init}")]).unwrap();
            assert_eq!((p.sram.effective_scheme(), p.sram.effective_combine()), (scheme, combine), "{init}");
        }
    }
}
