//! `[adc]`: the converters at the bit lines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
