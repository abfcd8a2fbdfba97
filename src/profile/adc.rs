//! `[adc]`: the converters at the bit lines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Document, is_default};
use crate::error::Result;

/// `[adc]`: the converters; see [`crate::crossbar::adc`] and [`crate::crossbar::transitions`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let keys = ["adc.bits=6", "adc.range=calibrated", "adc.offset_sigma=0.2"].map(String::from);
/// let profile = Profile::named("rram_4bit", &keys)?;
/// assert!(profile.adc.errs() && profile.wants_calibration());
/// assert_eq!(profile.adc.calibration_images, 128);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adc {
    /// Resolution in bits; 0 is ideal.
    pub bits: u32,
    /// What the codes span.
    pub range: AdcRange,
    /// How fine a step may be chosen; absent: free, but a power of two where a companion array has to be aligned with
    /// it.
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
    /// Standard deviation of the noise that every conversion adds to its sum anew, in steps.
    #[serde(skip_serializing_if = "is_default")]
    pub noise_sigma: f64,
    /// Standard deviations of the noise of a conversion by the code that its sum is nearest to, from the lowest code to
    /// the highest, in steps, in place of `noise_sigma`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noise_by_code: Vec<f64>,
    /// The most current, of either sign, that a converter takes from a column, in microampere; of a pair, from the
    /// difference. 0: any.
    #[serde(skip_serializing_if = "is_default")]
    pub limit_ua: f64,
    /// The circuit, which decides where the codes of a converter that was made change.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub kind: AdcKind,
    /// For `sar`: standard deviation of a unit capacitor, relative; a capacitor of n units has √n times that many
    /// units.
    #[serde(skip_serializing_if = "is_default")]
    pub capacitor_sigma: f64,
    /// For `flash`: standard deviation of a comparator's offset, in steps.
    #[serde(skip_serializing_if = "is_default")]
    pub comparator_sigma: f64,
    /// For `ramp`: standard deviation of the ramp's slope, relative; all converters of a tile compare with one ramp.
    #[serde(skip_serializing_if = "is_default")]
    pub slope_sigma: f64,
    /// For `ramp`: how far the ramp is bowed at the middle of the range, in steps; below 0 the other way.
    #[serde(skip_serializing_if = "is_default")]
    pub bow: f64,
    /// Integral non-linearity of every converter, in steps: how far the level at which each code begins, from the
    /// second lowest code to the highest, lies above the ideal one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inl: Vec<f64>,
    /// Differential non-linearity of every converter in place of `inl`, in steps: how much wider each code is than a
    /// step, from the second lowest to the second highest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dnl: Vec<f64>,
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
            noise_sigma: 0.0,
            noise_by_code: vec![],
            limit_ua: 0.0,
            kind: AdcKind::default(),
            capacitor_sigma: 0.0,
            comparator_sigma: 0.0,
            slope_sigma: 0.0,
            bow: 0.0,
            inl: vec![],
            dnl: vec![],
        }
    }
}

impl Adc {
    /// Whether chips differ in their converters.
    pub fn errs(&self) -> bool {
        self.is_noisy()
            || (self.bits > 0 && (self.gain_sigma > 0.0 || self.offset_sigma > 0.0 || self.mismatch() > 0.0))
    }

    /// Whether every conversion adds noise of its own.
    pub fn is_noisy(&self) -> bool {
        self.bits > 0 && (self.noise_sigma > 0.0 || self.noise_by_code.iter().any(|sigma| *sigma > 0.0))
    }

    /// The standard deviation of what the circuit's parts differ by, in the unit of its key; 0 for an ideal circuit.
    pub fn mismatch(&self) -> f64 {
        match self.kind {
            AdcKind::Ideal => 0.0,
            AdcKind::Sar => self.capacitor_sigma,
            AdcKind::Flash => self.comparator_sigma,
            AdcKind::Ramp => self.slope_sigma,
        }
    }

    /// Whether codes change elsewhere than half-way between their values.
    pub fn is_bent(&self) -> bool {
        let bow = self.kind == AdcKind::Ramp && self.bow != 0.0;
        self.bits > 0 && (self.mismatch() > 0.0 || bow || !self.inl.is_empty() || !self.dnl.is_empty())
    }

    /// The converters without what differs from one that was made to the next.
    pub fn without_variation(self) -> Self {
        let (gain_sigma, offset_sigma, noise_sigma) = (0.0, 0.0, 0.0);
        let (capacitor_sigma, comparator_sigma, slope_sigma) = (0.0, 0.0, 0.0);
        let noise_by_code = vec![];
        Adc {
            gain_sigma,
            offset_sigma,
            noise_sigma,
            noise_by_code,
            capacitor_sigma,
            comparator_sigma,
            slope_sigma,
            ..self
        }
    }
}

/// The circuit of a converter.
///
/// # Examples
/// ```
/// use crosspike::{Profile, profile::AdcKind};
///
/// let profile = Profile::ideal(&["adc.bits=6".into(), "adc.type=sar".into(), "adc.capacitor_sigma=0.02".into()])?;
/// assert_eq!((profile.adc.kind, profile.varies()), (AdcKind::Sar, true));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdcKind {
    /// Codes change half-way between their values.
    #[default]
    Ideal,
    /// Successive approximation with binary-weighted capacitors.
    Sar,
    /// A comparator for every level, whose ones are counted.
    Flash,
    /// A counter that runs until a ramp, one for all columns of a tile, reaches the sum.
    Ramp,
}

/// What a converter's codes span.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::AdcRange;
///
/// let profile = Profile::named("rram_4bit", &["adc.bits=6".into(), "adc.range=calibrated".into()])?;
/// assert_eq!(profile.adc.range, AdcRange::Calibrated);
/// # Ok::<(), crosspike::Error>(())
/// ```
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
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::AdcStep;
///
/// let profile = Profile::named("rram_4bit", &["adc.bits=6".into(), "adc.step=power_of_two".into()])?;
/// assert_eq!(profile.adc.step, Some(AdcStep::PowerOfTwo));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdcStep {
    /// The range divided by the number of codes.
    Free,
    /// A power of two times the weights' unit: codes are whole units, and shifters align them.
    PowerOfTwo,
}

/// The most bits of converters that have levels of their own; shaders/conversion.wgsl finds codes among so many.
const MOST_BENT_BITS: u32 = 10;

impl Adc {
    /// Errors that a converter can have.
    pub(super) fn validate(&self, document: &Document) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("adc.{key}"), message));
        let sigmas = [
            ("gain_sigma", self.gain_sigma, 1.0),
            ("offset_sigma", self.offset_sigma, 1e3),
            ("noise_sigma", self.noise_sigma, 1e3),
            ("capacitor_sigma", self.capacitor_sigma, 1.0),
            ("comparator_sigma", self.comparator_sigma, 1e3),
            ("slope_sigma", self.slope_sigma, 1.0),
            ("limit_ua", self.limit_ua, 1e9),
        ];
        document.within("adc", &sigmas)?;
        if let Some(bad) = self.noise_by_code.iter().find(|sigma| !(0.0..=1e3).contains(*sigma)) {
            return refuse("noise_by_code", format!("{bad}, expected standard deviations from 0 to 1000 steps"));
        }
        if !self.noise_by_code.is_empty() && self.noise_sigma > 0.0 {
            let message = "stands beside adc.noise_sigma, and both say how noisy a conversion is; leave one of them \
                           out, or take it away: --set adc.noise_sigma=";
            return refuse("noise_by_code", message.into());
        }
        if !(self.bow.is_finite() && self.bow.abs() <= 1e3) {
            return refuse("bow", format!("{}, expected a number of steps from -1000 to 1000", self.bow));
        }
        if self.is_bent() && self.bits > MOST_BENT_BITS {
            let message = format!(
                "{}, expected at most {MOST_BENT_BITS} bits beside adc.inl, adc.dnl or a type's errors: every \
                 converter has its own levels",
                self.bits
            );
            return refuse("bits", message);
        }
        if !self.inl.is_empty() && !self.dnl.is_empty() {
            let message = "stands beside adc.inl, and both say where codes begin; leave one of them out, or take it \
                           away: --set adc.inl=";
            return refuse("dnl", message.into());
        }
        let codes = 1usize << self.bits.min(16);
        for (key, table, wanted, of) in [
            ("noise_by_code", &self.noise_by_code, codes, "one for each code"),
            ("inl", &self.inl, codes - 1, "one for each code but the lowest"),
            ("dnl", &self.dnl, codes.saturating_sub(2), "one for each code but the lowest and the highest"),
        ] {
            if let Some(bad) = table.iter().find(|steps| !(steps.is_finite() && steps.abs() <= 1e3)) {
                return refuse(key, format!("{bad}, expected numbers of steps from -1000 to 1000"));
            }
            if self.bits > 0 && !table.is_empty() && table.len() != wanted {
                let message = format!("has {} numbers, expected {wanted} for {} bits: {of}", table.len(), self.bits);
                return refuse(key, message);
            }
        }
        Ok(())
    }
}
