//! `[rram.drift]` and `[rram.temperature]`: what time and heat do to programmed cells.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::is_default;

/// `[rram.drift]`: time after programming, of `model = "cell"`; see [`crate::device::time`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let keys = ["rram.drift.time_s=86400", "rram.drift.nu=0.05"].map(String::from);
/// let drift = Profile::named("rram_wan_2022", &keys)?.rram.drift;
/// assert!(drift.any());
/// let kept = ((drift.time_s + drift.reference_s) / drift.reference_s).powf(-drift.nu);
/// assert!((kept - 0.5665).abs() < 1e-4); // What a day leaves of a conductance.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drift {
    /// Seconds since programming.
    pub time_s: f64,
    /// The time at which cells were read back, in seconds.
    pub reference_s: f64,
    /// Mean of the drift exponent ν in `G·((t + t0)/t0)^(−ν)`, of cells at the highest conductance.
    pub nu: f64,
    /// The slope of the mean with ln(G/G_max): below 0 where cells of low conductance drift more.
    #[serde(skip_serializing_if = "is_default")]
    pub nu_per_ln: f64,
    /// The least mean and the greatest that a conductance has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nu_range: Option<[f64; 2]>,
    /// Standard deviation of ν between cells.
    pub nu_sigma: f64,
    /// Standard deviation that retention loss adds to ln G in the first decade after `reference_s`; it grows with the
    /// square root of the decades.
    pub retention_sigma: f64,
    /// How converters make up for what cells have lost, by a read of all rows after programming and one now.
    #[serde(skip_serializing_if = "is_default")]
    pub compensation: Compensation,
    /// Images between one compensation and the next, which share what it costs; 0: it costs nothing.
    #[serde(skip_serializing_if = "is_default")]
    pub compensation_images: f64,
}

/// The columns that converters scale up again by what their devices have lost together.
///
/// # Examples
/// ```
/// use crosspike::{Profile, profile::Compensation};
///
/// let profile = Profile::named("rram_wan_2022", &["rram.drift.compensation=column".into()])?;
/// assert_eq!(profile.rram.drift.compensation, Compensation::Column);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compensation {
    /// Drift is not compensated.
    #[default]
    None,
    /// All columns of a layer, by one factor.
    Layer,
    /// Every column, by its own.
    Column,
}

/// `[rram.temperature]`: the temperature that chips run at, of `model = "cell"`; see [`crate::device::time`].
///
/// # Examples
/// ```
/// use crosspike::profile::Temperature;
///
/// // An activation energy of 1.1 eV ages cells 1,303 times faster at 85 °C than at 25 °C.
/// let hot = Temperature { celsius: 85.0, activation_ev: 1.1, ..Temperature::default() };
/// assert_eq!(hot.acceleration().round(), 1303.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Temperature {
    /// Degrees Celsius at which chips run.
    pub celsius: f64,
    /// Degrees Celsius at which cells were programmed and characterised.
    pub reference_celsius: f64,
    /// The relative change of the lowest conductance per kelvin; between both ends it goes with the conductance.
    pub low_per_kelvin: f64,
    /// The relative change of the highest conductance per kelvin.
    pub high_per_kelvin: f64,
    /// The activation energy of drift and retention in electronvolt, which multiplies the time since programming.
    pub activation_ev: f64,
}

impl Default for Temperature {
    fn default() -> Self {
        let (celsius, reference_celsius) = (25.0, 25.0);
        Temperature { celsius, reference_celsius, low_per_kelvin: 0.0, high_per_kelvin: 0.0, activation_ev: 0.0 }
    }
}

/// Boltzmann's constant in electronvolt per kelvin (CODATA 2018).
const BOLTZMANN_EV: f64 = 8.617333262e-5;
/// Kelvin of 0 °C.
pub(super) const ZERO_CELSIUS: f64 = 273.15;

impl Temperature {
    /// Whether it changes conductances by itself.
    pub fn any(&self) -> bool {
        self.celsius != self.reference_celsius && (self.low_per_kelvin != 0.0 || self.high_per_kelvin != 0.0)
    }

    /// How many times faster cells age than at the reference.
    pub fn acceleration(&self) -> f64 {
        let [at, reference] = [self.celsius, self.reference_celsius].map(|celsius| celsius + ZERO_CELSIUS);
        libm::exp(self.activation_ev / BOLTZMANN_EV * (1.0 / reference - 1.0 / at))
    }
}

impl Default for Drift {
    fn default() -> Self {
        Drift {
            time_s: 0.0,
            reference_s: 1.0,
            nu: 0.0,
            nu_per_ln: 0.0,
            nu_range: None,
            nu_sigma: 0.0,
            retention_sigma: 0.0,
            compensation: Compensation::None,
            compensation_images: 0.0,
        }
    }
}

impl Drift {
    /// Whether time changes anything.
    pub fn any(&self) -> bool {
        let drifts = self.nu != 0.0 || self.nu_per_ln != 0.0 || self.nu_sigma != 0.0;
        self.time_s > 0.0 && (drifts || self.retention_sigma != 0.0)
    }
}
