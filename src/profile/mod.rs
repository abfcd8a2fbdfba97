//! The hardware as a designer describes it: `hw_profiles/*.toml`, validated once.
//!
//! Every section is optional and every default is the ideal one. A key that is unknown, or that this version cannot
//! honour, is an error with its line, never ignored.

mod access;
mod adc;
mod ageing;
mod cost;
mod doubts;
mod faults;
mod neuron;
mod node;
mod rram;
pub mod shipped;
mod sram;
mod system;
mod tile;
mod validate;
mod validate_rram;
mod variation;
mod wear;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access::Access;
pub use adc::{Adc, AdcKind, AdcRange, AdcStep};
pub use ageing::{Compensation, Drift, Temperature};
pub use cost::{Area, Cost, Energy, Power, Time};
pub use faults::{Faults, Remap};
pub use neuron::{NeuronFormat, NeuronRounding, Overflow};
pub use node::TechnologyNode;
pub use rram::{Cell, CellMapping, DeviceModel, Layers, Read, Rram, Scheme};
pub use sram::{BudgetBy, Combine, CompanionForm, Rounding, Sram, SramInit};
pub use system::{Interconnect, System};
pub use tile::{LEVEL_BITS, Tile, TileInputs, Wires};
pub use variation::{Programming, Variation, VariationKind};
pub use wear::{Disturb, Endurance, Fails};

use crate::config::{Document, is_default};
use crate::error::{Error, Result};

/// A chip technology: cells, tiles, converters, wires and the companion SRAM.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let profile = Profile::named("rram_4bit", &["rram.variation.scale=2".into(), "sram.bits=2".into()])?;
/// assert_eq!((profile.rram.weight_bits, profile.rram.variation.scale), (4, 2.0));
/// assert!(profile.varies() && profile.has_companions() && !profile.converts());
/// assert!(!profile.without_variation().varies());
/// # Ok::<(), crosspike::Error>(())
/// ```
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
    pub neuron: NeuronFormat,
    /// What stands around the tiles, and how layers share the time.
    #[serde(skip_serializing_if = "is_default")]
    pub system: System,
    /// What events and parts cost.
    pub cost: Cost,
    /// Layers that differ, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub layer: BTreeMap<String, LayerProfile>,
}

/// `[layer.NAME.rram]` and `[layer.NAME.sram]`: the same keys for one layer; what they leave out is the profile's.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let profile = Profile::named("rram_4bit", &["layer.conv1.rram.weight_bits=8".into()])?;
/// assert_eq!((profile.rram_of("conv1").weight_bits, profile.rram_of("conv2").weight_bits), (8, 4));
/// assert_eq!(profile.layer["conv1"].rram.variation, profile.rram.variation); // Inherited.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerProfile {
    /// The layer's RRAM arrays.
    pub rram: Rram,
    /// The layer's companion array.
    pub sram: Sram,
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

    /// Reads a shipped profile by its name, or the profile file of a path, with overrides `key=value` on top.
    ///
    /// # Errors
    /// Where there is neither, and those of [`Profile::read`].
    pub fn named(name: &str, overrides: &[String]) -> Result<Self> {
        let mut document = shipped::document(name)?;
        overrides.iter().try_for_each(|assignment| document.set(assignment))?;
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
        self.any(|rram, _| rram.varies()) || self.adc.errs() || self.tile.driver_sigma > 0.0
    }

    /// The profile of chips that do not differ: nothing varies, nothing is broken, drift is the mean one, and reads
    /// begin to take something at the median time.
    pub fn without_variation(&self) -> Profile {
        let mut profile = self.clone();
        profile.amend(|rram, _| {
            (rram.variation, rram.faults, rram.endurance) = Default::default();
            rram.read = rram.read.exact();
            (rram.drift.nu_sigma, rram.drift.retention_sigma, rram.disturb.transition_sigma) = (0.0, 0.0, 0.0);
        });
        profile.tile.driver_sigma = 0.0;
        profile.adc = profile.adc.without_variation();
        profile
    }

    /// Whether steps of tiles take a time that is known: that of drives, or of conversions where there are any.
    pub fn is_timed(&self) -> bool {
        let time = &self.cost.time_ns;
        time.drive.is_some() || (time.conversion.is_some() && self.converts())
    }

    /// Whether sums pass converters of finite resolution.
    pub fn converts(&self) -> bool {
        self.adc.bits > 0
    }

    /// Whether converters' ranges are profiled, or reads counted, on training images before a chip can be programmed.
    pub fn wants_calibration(&self) -> bool {
        self.wants_ranges() || self.any(|rram, sram| rram.disturb.any() || rram.selects() || sram.wants_inputs())
    }

    /// Whether the converters' ranges are profiled.
    pub fn wants_ranges(&self) -> bool {
        self.converts() && self.adc.range == AdcRange::Calibrated
    }

    /// Whether there are companion arrays at all.
    pub fn has_companions(&self) -> bool {
        self.any(|_, sram| sram.bits > 0)
    }

    /// A layer that has a section, and that a model with these layers does not have.
    pub fn unknown_layer(&self, known: &[&str]) -> Option<&str> {
        self.layer.keys().map(String::as_str).find(|name| !known.contains(name))
    }

    /// An error where there is one.
    pub fn check_layers<'a>(&self, layers: impl Iterator<Item = &'a str>) -> Result<()> {
        let known: Vec<&str> = layers.collect();
        match self.unknown_layer(&known) {
            Some(name) => Err(Error::Mismatch(format!(
                "the profile has a section `layer.{name}`, and the model no such layer; expected one of {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// Validates a parsed document. A relative `checkpoint:` path becomes one from the document's folder.
    pub fn from_document(document: &Document) -> Result<Self> {
        // The document is first read as it is written, for the errors: a layer would repeat those of what it inherits.
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
    fn the_keys_that_a_profile_begins_with_are_those_that_overrides_know() {
        let schema = schemars::schema_for!(Profile).to_value();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let mut known = crate::config::PROFILE_KEYS.to_vec();
        known.sort_unstable();
        assert_eq!(keys, known);
    }

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
            "adc.type=sar",
            "adc.capacitor_sigma=0.1",
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
