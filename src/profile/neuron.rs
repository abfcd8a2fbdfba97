//! `[neuron]`: the arithmetic of neurons and norms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a product comes to the membrane's unit.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::NeuronRounding;
///
/// let profile = Profile::named("rram_4bit", &["neuron.membrane_bits=12".into(), "neuron.round=floor".into()])?;
/// assert_eq!(profile.neuron.round, NeuronRounding::Floor);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NeuronRounding {
    /// Numbers go to the nearest one, half to even.
    #[default]
    Nearest,
    /// Towards minus infinity.
    Floor,
}

/// `[neuron]`: the arithmetic of neurons and norms; see [`crate::network::lif`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// // Potentials in steps of 1/64, from −32 to just below 32.
/// let keys = ["neuron.membrane_bits=12", "neuron.fraction_bits=6"].map(String::from);
/// let neuron = Profile::named("rram_4bit", &keys)?.neuron;
/// assert_eq!((neuron.membrane_bits, neuron.fraction_bits, neuron.leak_bits), (12, 6, 8));
/// # Ok::<(), crosspike::Error>(())
/// ```
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

/// What becomes of a potential beyond the membrane's ends.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::Overflow;
///
/// let profile = Profile::named("rram_4bit", &["neuron.membrane_bits=12".into(), "neuron.overflow=wrap".into()])?;
/// assert_eq!(profile.neuron.overflow, Overflow::Wrap);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// It stays at the end.
    #[default]
    Saturate,
    /// It comes in again at the other end.
    Wrap,
}
