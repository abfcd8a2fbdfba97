//! `[rram.disturb]` and `[rram.endurance]`: what a life of reads and of writing does to cells.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Document, is_default};
use crate::error::Result;

/// `[rram.disturb]`: a life of images, whose reads take conductance from cells, of `model = "cell"`; see
/// [`crate::device::wear`].
///
/// # Examples
/// ```
/// use crosspike::profile::Disturb;
///
/// let read = Disturb { time_s: 1.55e-8, base: 1.43339, exponent: 0.0068, volt: 0.23502, ..Disturb::default() };
/// // Cells begin to lose after 102 s of reads at 0.2 V, and after a quarter of a millisecond at 0.4 V.
/// assert!((read.transition_s(0.2) / 102.0 - 1.0).abs() < 0.01);
/// assert!((read.transition_s(0.4) / 2.41e-4 - 1.0).abs() < 0.01);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Disturb {
    /// Images that a chip has seen since it was programmed; the reads of each row are counted on training images.
    pub images: f64,
    /// The exponent of the loss at 0 V; 0: reads take nothing. It grows by e with every `volt`.
    pub exponent: f64,
    /// Volts over which the exponent grows by e; 0: it does not depend on the voltage of a read.
    #[serde(skip_serializing_if = "is_default")]
    pub volt: f64,
    /// Seconds of reads after which cells begin to lose conductance, where `base` is 1.
    pub time_s: f64,
    /// The factor by which `time_s` is longer, to the power of one over the exponent at the voltage of a read; 0 stands
    /// for 1.
    #[serde(skip_serializing_if = "is_default")]
    pub base: f64,
    /// Standard deviation of the logarithm of that time between cells.
    #[serde(skip_serializing_if = "is_default")]
    pub transition_sigma: f64,
}

impl Disturb {
    /// Whether reads take anything.
    pub fn any(&self) -> bool {
        self.images > 0.0 && self.exponent > 0.0
    }

    /// The exponent of the loss at the voltage of a read.
    pub fn exponent_at(&self, read_volt: f64) -> f64 {
        if self.volt == 0.0 { self.exponent } else { self.exponent * libm::exp(read_volt / self.volt) }
    }

    /// Seconds of reads at a voltage after which cells begin to lose.
    pub fn transition_s(&self, read_volt: f64) -> f64 {
        let base = if self.base == 0.0 { 1.0 } else { self.base };
        self.time_s * libm::pow(base, 1.0 / self.exponent_at(read_volt))
    }

    /// Constants of a loss that there can be.
    pub(super) fn validate(&self, document: &Document, section: &str, read: &super::Read) -> Result<()> {
        let refuse = |key: &str, message: &str| Err(document.error(&format!("{section}.disturb.{key}"), message));
        let numbers = [
            ("disturb.images", self.images, 1e18),
            ("disturb.exponent", self.exponent, 10.0),
            ("disturb.volt", self.volt, 100.0),
            ("disturb.time_s", self.time_s, 1e12),
            ("disturb.base", self.base, 1e6),
            ("disturb.transition_sigma", self.transition_sigma, 10.0),
        ];
        document.within(section, &numbers)?;
        if !self.any() {
            return Ok(());
        }
        if self.time_s == 0.0 {
            return refuse("time_s", "is missing; expected the seconds of reads after which cells begin to lose");
        }
        if self.base != 0.0 && self.base < 1.0 {
            return refuse(
                "base",
                "is below 1, where lower voltages would disturb cells sooner; expected a number by which the time is \
                 longer",
            );
        }
        if !self.transition_s(read.volt).is_finite() {
            return refuse(
                "exponent",
                "is so small that cells never begin to lose; expected a larger one, or 0: reads take nothing",
            );
        }
        if self.volt > 0.0 && read.volt == 0.0 {
            return refuse(
                "volt",
                &format!("needs the voltage of a read; expected {section}.read.volt above 0 with it"),
            );
        }
        if read.pulse_ns == 0.0 {
            return refuse(
                "images",
                &format!("needs the length of a read; expected {section}.read.pulse_ns above 0 with it"),
            );
        }
        Ok(())
    }
}

/// `[rram.endurance]`: a life of programmings, after which cells stay at an end, of `model = "cell"`; see
/// [`crate::device::wear`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let keys = ["rram.endurance.writes=1e5", "rram.endurance.pulses=1e6", "rram.endurance.shape=2"].map(String::from);
/// let endurance = Profile::named("rram_wan_2022", &keys)?.rram.endurance;
/// // Of cells that took one pulse a programming, 1 − exp(−(1e5/1e6)²) have failed.
/// assert!((endurance.failed(1.0) - 0.00995).abs() < 1e-5);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Endurance {
    /// How often a chip was programmed in its life, each time with the pulses that this programming takes.
    pub writes: f64,
    /// Pulses after which 63 % of the cells have failed; 0: none ever does.
    pub pulses: f64,
    /// The shape of the Weibull distribution of the pulses that cells endure; 1: failures come evenly.
    pub shape: f64,
    /// The end of the range at which a cell stays that has failed.
    pub fails: Fails,
}

/// The end of its range at which a worn cell stays.
///
/// # Examples
/// ```
/// use crosspike::{Profile, profile::Fails};
///
/// assert_eq!(Profile::named("rram_wan_2022", &["rram.endurance.fails=on".into()])?.rram.endurance.fails, Fails::On);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fails {
    /// The lowest conductance.
    #[default]
    Off,
    /// The highest conductance.
    On,
}

impl Default for Endurance {
    fn default() -> Self {
        Endurance { writes: 0.0, pulses: 0.0, shape: 1.0, fails: Fails::default() }
    }
}

impl Endurance {
    /// Whether cells fail.
    pub fn any(&self) -> bool {
        self.writes > 0.0 && self.pulses > 0.0
    }

    /// The share of cells that have failed, of those that a programming takes so many pulses of.
    pub fn failed(&self, pulses: f64) -> f64 {
        1.0 - libm::exp(-libm::pow(pulses * self.writes / self.pulses, self.shape))
    }

    /// Constants that a distribution can have.
    pub(super) fn validate(&self, document: &Document, section: &str) -> Result<()> {
        let numbers = [("endurance.writes", self.writes, 1e18), ("endurance.pulses", self.pulses, 1e18)];
        document.within(section, &numbers)?;
        if !(0.01..=100.0).contains(&self.shape) {
            let message = format!("{}, expected a number from 0.01 to 100", self.shape);
            return Err(document.error(&format!("{section}.endurance.shape"), message));
        }
        Ok(())
    }
}
