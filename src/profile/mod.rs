//! The hardware as a designer describes it: `hw_profiles/*.toml`, validated once.
//!
//! Every section is optional and every default is the ideal one. A key that is unknown, or that this version cannot
//! honour, is an error with its line, never ignored.

mod cost;
mod rram;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cost::{Area, Cost, Energy, Time};
pub use rram::{
    Cell, CellMapping, DeviceModel, Drift, Faults, Layers, Programming, Read, Rram, Scheme, Variation, VariationKind,
};

use crate::config::Document;
use crate::error::{Error, Result};

/// A chip technology: cells, tiles, converters, wires and the companion SRAM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The neurons' arithmetic.
    #[serde(skip_serializing_if = "NeuronFormat::is_float")]
    pub neuron: NeuronFormat,
    /// What events and parts cost.
    #[serde(skip_serializing_if = "is_free")]
    pub cost: Cost,
    /// Layers that differ, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub layer: BTreeMap<String, LayerProfile>,
}

fn is_free(cost: &Cost) -> bool {
    !cost.any()
}

/// `[layer.NAME.rram]` and `[layer.NAME.sram]`: the same keys for one layer; what they leave out is the profile's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerProfile {
    /// The layer's RRAM arrays.
    pub rram: Rram,
    /// The layer's companion array.
    pub sram: Sram,
}

/// `[tile]`: cells of one crossbar tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tile {
    /// Word lines.
    pub rows: usize,
    /// Bit lines.
    pub cols: usize,
    /// How an input above 1, such as a pooled count, drives a word line.
    pub inputs: TileInputs,
}

impl Default for Tile {
    fn default() -> Self {
        Tile { rows: 128, cols: 128, inputs: TileInputs::default() }
    }
}

/// How integers drive a word line; a negative one drives it as far below the reference voltage as a positive one above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TileInputs {
    /// A binary digit at a time: each plane is converted, and codes are shifted and added.
    #[default]
    BitPlanes,
    /// As so many pulses, whose charge adds up on the bit line and is converted once.
    Pulses,
}

/// `[adc]`: the converters; see [`crate::crossbar::adc`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adc {
    /// Resolution in bits; 0 is ideal.
    pub bits: u32,
    /// What the codes span.
    pub range: AdcRange,
    /// How fine a step may be chosen; absent: free, but a power of two where a companion array has to be aligned with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<AdcStep>,
    /// Training images that a calibrated range is profiled on.
    pub calibration_images: usize,
    /// Columns that take turns at one converter.
    pub columns_shared: usize,
    /// Standard deviation of a converter's gain error, relative to 1.
    pub gain_sigma: f64,
    /// Standard deviation of a converter's offset error, in steps.
    pub offset_sigma: f64,
}

impl Default for Adc {
    fn default() -> Self {
        Adc {
            bits: 0,
            range: AdcRange::default(),
            step: None,
            calibration_images: 128,
            columns_shared: 1,
            gain_sigma: 0.0,
            offset_sigma: 0.0,
        }
    }
}

impl Adc {
    /// Whether chips differ in their converters.
    pub fn errs(&self) -> bool {
        self.bits > 0 && (self.gain_sigma > 0.0 || self.offset_sigma > 0.0)
    }
}

/// What a converter's codes span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdcRange {
    /// Every sum that the rows of a tile can give.
    #[default]
    Full,
    /// One range a layer, from sums profiled on the nominal chip.
    Calibrated,
}

/// How fine a converter's step may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdcStep {
    /// The range divided by the number of codes.
    Free,
    /// A power of two times the weights' unit: codes are whole units, and shifters align them.
    PowerOfTwo,
}

/// How a product comes to the membrane's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NeuronRounding {
    /// To the nearest, half to even.
    #[default]
    Nearest,
    /// Towards minus infinity.
    Floor,
}

/// `[neuron]`: the arithmetic of neurons and norms; see [`crate::network::lif`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NeuronFormat {
    /// Bits of a membrane potential, with the sign; 0: floats.
    pub membrane_bits: u32,
    /// How many of them are behind the point: the unit is 2^-fraction_bits of a normalised current.
    pub fraction_bits: u32,
    /// Bits of the leak behind the point.
    pub leak_bits: u32,
    /// Significant bits of a gain; 0: as it is.
    pub gain_bits: u32,
    /// How products are rounded to the membrane's unit.
    pub round: NeuronRounding,
    /// What becomes of a potential beyond the membrane's ends.
    pub overflow: Overflow,
}

impl Default for NeuronFormat {
    fn default() -> Self {
        NeuronFormat {
            membrane_bits: 0,
            fraction_bits: 8,
            leak_bits: 8,
            gain_bits: 8,
            round: NeuronRounding::default(),
            overflow: Overflow::default(),
        }
    }
}

impl NeuronFormat {
    fn is_float(&self) -> bool {
        self.membrane_bits == 0
    }
}

/// What becomes of a potential beyond the membrane's ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// It stays at the end.
    #[default]
    Saturate,
    /// It comes in again at the other end.
    Wrap,
}

/// `[wires]`: resistance of one segment of a line, in ohm; see [`crate::crossbar::wires`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wires {
    /// Word-line segment in ohm; 0 is ideal.
    pub word_ohm: f64,
    /// Bit-line segment in ohm; 0 is ideal.
    pub bit_ohm: f64,
}

impl Wires {
    /// Whether lines drop any voltage.
    pub fn drop(&self) -> bool {
        self.word_ohm > 0.0 || self.bit_ohm > 0.0
    }
}

/// `[sram]`: the companion array; see [`crate::crossbar::sram`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Bytes that a chip's residual may take, all layers together: the largest deviations come first. Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_bytes: Option<usize>,
    /// Elements are left out that are not above this share of their layer's largest: pruning without training.
    #[serde(skip_serializing_if = "is_nothing")]
    pub threshold: f64,
    /// Bits of the register that adds up the array's products, with the sign; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub sum_bits: u32,
    /// Bits behind the shifter, with the sign; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub shifter_bits: u32,
    /// Bits of the adder behind shifter and converter, with the sign; 0 is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub adder_bits: u32,
    /// What becomes of the bits that a negative shift moves below the array's own unit.
    #[serde(skip_serializing_if = "Rounding::is_exact")]
    pub round: Rounding,
}

/// What becomes of the bits that a shift moves out at the right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// None is lost: the RRAM's codes move left instead.
    #[default]
    Exact,
    /// They are cut off, towards minus infinity.
    Floor,
}

impl Rounding {
    fn is_exact(&self) -> bool {
        *self == Rounding::Exact
    }
}

fn is_zero(bits: &u32) -> bool {
    *bits == 0
}

fn is_nothing(share: &f64) -> bool {
    *share == 0.0
}

/// How companion arrays are trained and run; in a checkpoint, how they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompanionForm {
    /// The quantiser.
    pub scheme: Scheme,
    /// How the two sums combine.
    pub combine: Combine,
}

/// How the companion array's products join those of the RRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Half the sum: both arrays hold a whole network.
    Average,
    /// The sum: the array corrects.
    Sum,
}

/// Initial values of the companion array.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    pub fn stated(&self, trained: Option<CompanionForm>) -> Sram {
        let CompanionForm { scheme, combine } = trained.unwrap_or(self.form());
        Sram { scheme: self.scheme.or(Some(scheme)), combine: self.combine.or(Some(combine)), ..self.clone() }
    }

    /// Quantiser and combination in force.
    pub fn form(&self) -> CompanionForm {
        CompanionForm { scheme: self.effective_scheme(), combine: self.effective_combine() }
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

    /// The RRAM arrays of a layer.
    pub fn rram_of(&self, layer: &str) -> &Rram {
        self.layer.get(layer).map_or(&self.rram, |own| &own.rram)
    }

    /// The companion array of a layer.
    pub fn sram_of(&self, layer: &str) -> &Sram {
        self.layer.get(layer).map_or(&self.sram, |own| &own.sram)
    }

    /// Changes the sections of the profile and those of every layer.
    pub fn amend(&mut self, change: impl Fn(&mut Rram, &mut Sram)) {
        change(&mut self.rram, &mut self.sram);
        self.layer.values_mut().for_each(|own| change(&mut own.rram, &mut own.sram));
    }

    /// Whether any section of the profile or of a layer is like this.
    pub fn any(&self, is: impl Fn(&Rram, &Sram) -> bool) -> bool {
        is(&self.rram, &self.sram) || self.layer.values().any(|own| is(&own.rram, &own.sram))
    }

    /// Whether chips can differ at all.
    pub fn varies(&self) -> bool {
        self.any(|rram, _| rram.varies()) || self.adc.errs()
    }

    /// The same of chips that do not differ: nothing varies, nothing is broken, and drift is the mean one.
    pub fn without_variation(&self) -> Profile {
        let mut profile = self.clone();
        profile.amend(|rram, _| {
            (rram.variation, rram.faults, rram.read) = Default::default();
            (rram.drift.nu_sigma, rram.drift.retention_sigma) = (0.0, 0.0);
        });
        (profile.adc.gain_sigma, profile.adc.offset_sigma) = (0.0, 0.0);
        profile
    }

    /// Whether sums pass converters of finite resolution.
    pub fn converts(&self) -> bool {
        self.adc.bits > 0
    }

    /// Whether the converters' ranges are profiled before a chip can be programmed.
    pub fn wants_calibration(&self) -> bool {
        self.converts() && self.adc.range == AdcRange::Calibrated
    }

    /// Whether there are companion arrays at all.
    pub fn has_companions(&self) -> bool {
        self.any(|_, sram| sram.bits > 0)
    }

    /// An error where a section is for a layer that a model with these layers does not have.
    pub fn check_layers<'a>(&self, layers: impl Iterator<Item = &'a str>) -> Result<()> {
        let known: Vec<&str> = layers.collect();
        match self.layer.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Error::Mismatch(format!(
                "the profile has a section `layer.{name}`, and the model no such layer; expected one of {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// Validates a parsed document. A relative `checkpoint:` path becomes one from the document's folder.
    pub fn from_document(document: &Document) -> Result<Self> {
        // As it is written first, for the errors: a layer would repeat those of what it inherits.
        document.parse::<Profile>()?;
        let mut whole = document.clone();
        let names: Vec<String> = document
            .table()
            .get("layer")
            .and_then(|t| t.as_table())
            .into_iter()
            .flat_map(|t| t.keys().cloned())
            .collect();
        for name in names {
            for section in ["rram", "sram"] {
                whole.inherit(section, ["layer", &name, section]);
            }
        }
        let mut profile: Profile = whole.parse()?;
        profile.rram.variation.read_table(document, "rram")?;
        for (name, own) in &mut profile.layer {
            own.rram.variation.read_table(document, &format!("layer.{name}.rram"))?;
        }
        profile.validate(document)?;
        if let SramInit::Checkpoint(file) = &mut profile.sram.init {
            *file = document.base("sram.init").join(&*file).to_string_lossy().into_owned();
        }
        let init = profile.sram.init.clone();
        profile.layer.values_mut().for_each(|own| own.sram.init = init.clone());
        Ok(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_has_its_own_keys_and_inherits_the_others() {
        let text = "[rram]\nweight_bits = 4\n[rram.variation]\nkind = \"lognormal\"\nsigma = 0.3\n[sram]\nbits = 2\n\
                    [layer.conv1.rram]\nweight_bits = 8\n[layer.conv1.rram.variation]\nsigma = 0.1\n\
                    [layer.conv2.sram]\nshift = -1\n";
        let mut document = Document::parse_text(Path::new("p.toml"), text.into()).unwrap();
        document.set("rram.variation.scale=2").unwrap();
        let mut profile = Profile::from_document(&document).unwrap();
        let (first, second) = (profile.rram_of("conv1"), profile.rram_of("conv2"));
        assert_eq!((first.weight_bits, first.variation.sigma, first.variation.scale), (8, 0.1, 2.0));
        assert_eq!((second.weight_bits, second.variation.sigma, second.variation.scale), (4, 0.3, 2.0));
        assert_eq!((profile.sram_of("conv2").bits, profile.sram_of("conv2").shift), (2, Some(-1)));
        assert_eq!(profile.rram_of("fc1"), &profile.rram);
        profile.amend(|_, sram| sram.bits = 0);
        assert!(!profile.has_companions() && profile.varies());
        assert!(profile.check_layers(["conv1", "conv2", "fc1"].into_iter()).is_ok());
        let error = profile.check_layers(["conv1"].into_iter()).unwrap_err().to_string();
        assert!(error.contains("layer.conv2"), "{error}");
        for (bad, expected) in [
            ("[layer.conv1.rram]\nweight_bits = 99", "p.toml:2:1: layer.conv1.rram.weight_bits"),
            ("[layer.conv1.rram]\nbits = 9", "p.toml:2:1: layer.conv1.rram.bits"),
            ("[layer.conv1.tile]\nrows = 9", "p.toml:1:14: layer.conv1.tile"),
            ("[sram]\nbits = 2\n[layer.conv1.sram]\ninit = \"zeros\"", "p.toml:4:1: layer.conv1.sram.init"),
        ] {
            let document = Document::parse_text(Path::new("p.toml"), bad.into()).unwrap();
            let error = Profile::from_document(&document).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn without_variation_no_chip_differs() {
        let keys = [
            "rram.model=cell",
            "rram.cell.g_max_us=50",
            "rram.variation.kind=lognormal",
            "rram.variation.sigma=0.2",
            "rram.faults.stuck_on=0.01",
            "rram.read.sigma=0.1",
            "rram.drift.time_s=100",
            "rram.drift.nu=0.02",
            "rram.drift.nu_sigma=0.01",
            "adc.bits=6",
            "adc.offset_sigma=0.5",
        ];
        let varied = Profile::ideal(&keys.map(String::from)).unwrap();
        let same = varied.without_variation();
        assert!(varied.varies() && !same.varies());
        assert_eq!((same.rram.drift.nu, same.rram.cell.g_max_us, same.adc.bits), (0.02, 50.0, 6));
    }

    #[test]
    fn defaults_are_ideal_and_follow_the_initial_values() {
        let ideal = Profile::ideal(&[]).unwrap();
        assert_eq!((ideal.rram.effective_scheme(), ideal.sram.bits), (Scheme::Float, 0));
        assert!(!ideal.rram.variation.varies());
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
