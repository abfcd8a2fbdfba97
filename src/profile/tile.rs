//! `[tile]` and `[wires]`: the lines of a tile, how inputs drive them, and their resistance.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeviceModel, Layers, Profile, Rram};
use crate::config::{Document, is_default};
use crate::device::code::bit_lines;
use crate::error::Result;

/// `[tile]`: cells of one crossbar tile.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let profile = Profile::named("rram_4bit", &["tile.rows=64".into()])?;
/// assert_eq!((profile.tile.rows, profile.tile.cols), (64, 128));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tile {
    /// Word lines.
    pub rows: usize,
    /// Bit lines.
    pub cols: usize,
    /// Word lines that are driven together, a whole part of the tile's; the others wait at 0 V for their turn, and
    /// every turn is converted by itself. 0: all.
    #[serde(skip_serializing_if = "is_default")]
    pub rows_at_once: usize,
    /// How an input above 1, such as a pooled count, drives a word line.
    pub inputs: TileInputs,
    /// Bits of the converter (DAC) that applies real-valued inputs of the network, and whole numbers that need more,
    /// without their sign. 0: whole numbers have the bits that they need, and real ones are fixed point of 16
    /// fractional bits.
    pub input_bits: u32,
    /// The share of each binary digit of a driver's converter (DAC) in a word line's voltage, where inputs are
    /// `levels`, from the least significant digit, in steps; powers of two are ideal.
    #[serde(skip_serializing_if = "are_ideal")]
    pub level_weights: [f64; LEVEL_BITS],
    /// Standard deviation of the voltage that a word line's driver puts on it, relative to 1, where cells have
    /// conductances.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_sigma: f64,
}

impl Default for Tile {
    fn default() -> Self {
        let (inputs, level_weights) = (TileInputs::default(), IDEAL_LEVELS);
        Tile { rows: 128, cols: 128, rows_at_once: 0, inputs, input_bits: 0, level_weights, driver_sigma: 0.0 }
    }
}

/// Binary digits of a driver's converter.
pub const LEVEL_BITS: usize = 4;
/// The shares of those digits in a word line's voltage, in steps, where the converter is ideal.
const IDEAL_LEVELS: [f64; LEVEL_BITS] = [1.0, 2.0, 4.0, 8.0];

fn are_ideal(weights: &[f64; LEVEL_BITS]) -> bool {
    *weights == IDEAL_LEVELS
}

impl Tile {
    /// Word lines that are driven together.
    pub fn driven_rows(&self) -> usize {
        if self.rows_at_once == 0 { self.rows } else { self.rows_at_once }
    }

    /// Turns that the word lines of a tile take.
    pub fn turns(&self) -> usize {
        self.rows.div_ceil(self.driven_rows())
    }
}

/// How integers drive a word line; a negative one drives it as far below the reference voltage as a positive one above.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::TileInputs;
///
/// let profile = Profile::named("rram_4bit", &["tile.inputs=pulses".into()])?;
/// assert_eq!(profile.tile.inputs, TileInputs::Pulses);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TileInputs {
    /// A binary digit at a time: each plane is converted, and codes are shifted and added.
    #[default]
    BitPlanes,
    /// A count goes as so many pulses, whose charge adds up on the bit line and is converted once.
    Pulses,
    /// At one of several voltages, by a converter (DAC) at each word line; the sum is converted once.
    Levels,
}

/// `[wires]`: resistance of lines and at their ends, in ohm; see [`crate::crossbar::wires`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let profile = Profile::named("rram_wan_2022", &["wires.word_ohm=1.5".into()])?;
/// assert!(profile.wires.drop());
/// assert_eq!((profile.wires.word_ohm, profile.wires.bit_ohm), (1.5, 0.0));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wires {
    /// Word-line segment in ohm; 0 is ideal.
    pub word_ohm: f64,
    /// Bit-line segment in ohm; 0 is ideal.
    pub bit_ohm: f64,
    /// Driver of a word line, in front of its first segment, in ohm; 0 is ideal.
    #[serde(skip_serializing_if = "is_default")]
    pub driver_ohm: f64,
    /// Sense node of a bit line, its multiplexer included, behind its last segment, in ohm; 0 is a virtual ground.
    #[serde(skip_serializing_if = "is_default")]
    pub sense_ohm: f64,
}

impl Wires {
    /// Whether lines drop any voltage.
    pub fn drop(&self) -> bool {
        self.all().iter().any(|(_, ohm)| *ohm > 0.0)
    }

    /// Every resistance with its key.
    pub fn all(&self) -> [(&'static str, f64); 4] {
        let Wires { word_ohm, bit_ohm, driver_ohm, sense_ohm } = *self;
        [("word_ohm", word_ohm), ("bit_ohm", bit_ohm), ("driver_ohm", driver_ohm), ("sense_ohm", sense_ohm)]
    }
}

impl Profile {
    /// Tiles that there can be, and drivers that have something to drive.
    pub(super) fn validate_tile(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        for (key, value) in [("tile.rows", self.tile.rows), ("tile.cols", self.tile.cols)] {
            if !(1..=65536).contains(&value) {
                return refuse(key, format!("{value}, expected 1 to 65536 lines"));
            }
        }
        let Tile { rows, rows_at_once, .. } = self.tile;
        if rows_at_once > 0 && (rows_at_once > rows || rows % rows_at_once != 0) {
            let message =
                format!("{rows_at_once}, expected a whole part of the tile's {rows} rows, or 0 (all rows at once)");
            return refuse("tile.rows_at_once", message);
        }
        if self.tile.input_bits > 16 {
            let message = format!("{}, expected 1 to 16 bits, or 0 (as many as the data take)", self.tile.input_bits);
            return refuse("tile.input_bits", message);
        }
        document.within("tile", &[("driver_sigma", self.tile.driver_sigma, 1.0)])?;
        let (levels, ideal) = (self.tile.level_weights, Tile::default().level_weights);
        if let Some(bad) = levels.iter().find(|weight| !(0.0..=64.0).contains(*weight)) {
            return refuse("tile.level_weights", format!("{bad}, expected numbers of steps from 0 to 64"));
        }
        if levels != ideal && self.tile.inputs != TileInputs::Levels {
            let message = "is of drivers with several voltages; expected tile.inputs = \"levels\" with it";
            return refuse("tile.level_weights", message.into());
        }
        if levels != ideal && !self.converts() {
            let message =
                "shows in sums that are converted, and an ideal converter sees none; expected adc.bits above 0 with it";
            return refuse("tile.level_weights", message.into());
        }
        let weights = |rram: &Rram| rram.model == DeviceModel::Weight && rram.layers != Layers::None;
        if self.tile.driver_sigma > 0.0 && self.any(|rram, _| weights(rram)) {
            let message =
                "varies voltages across conductances, and the model is `weight`; expected rram.model = \"cell\"";
            return refuse("tile.driver_sigma", message.into());
        }
        for (section, rram) in std::iter::once(("rram".to_string(), &self.rram))
            .chain(self.layer.iter().map(|(name, own)| (format!("layer.{name}.rram"), &own.rram)))
        {
            let (weight, units) = bit_lines(rram);
            if weight + units > self.tile.cols {
                let message = format!(
                    "takes {} bit lines a weight, and a tile has {}; expected wider cells or tile.cols",
                    weight + units,
                    self.tile.cols
                );
                return refuse(&format!("{section}.cell.bits"), message);
            }
        }
        Ok(())
    }

    /// Lines that there can be, between cells with conductances.
    pub(super) fn validate_wires(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        for (key, value) in self.wires.all() {
            let key = &format!("wires.{key}");
            if !(value.is_finite() && (0.0..=1e6).contains(&value)) {
                return refuse(key, format!("{value}, expected 0 to 1000000 ohm"));
            }
            if value > 0.0 && self.any(|rram, _| rram.model == DeviceModel::Weight && rram.layers != Layers::None) {
                let message =
                    "drops voltage across conductances, and the model is `weight`; expected rram.model = \"cell\"";
                return refuse(key, message.into());
            }
            if value > 0.0 && self.any(|rram, _| rram.faults.move_weights()) {
                let message = "drops voltage by where cells stand on their lines, and for moved columns and rows that \
                               is not modelled; expected rram.faults.remap = \"none\" and rram.faults.spares = 0, or \
                               lines without resistance";
                return refuse(key, message.into());
            }
        }
        Ok(())
    }
}
