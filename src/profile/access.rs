//! `[rram.access]`: what stands between a word line and a bit line beside the cell itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Document;
use crate::error::Result;

/// `[rram.access]`: the access device of every cell and the cells' own I–V curve, of `model = "cell"`; see
/// [`crate::device::access`].
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let profile = Profile::named("rram_wan_2022", &["rram.access.ohm=5000".into()])?;
/// assert!(profile.rram.access.any());
/// assert!(!profile.rram.access.is_curved()); // A transistor in its linear range is a resistance.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Ohm of the transistor in series with every cell; 0 is ideal.
    pub ohm: f64,
    /// The I–V curve of cells: pairs of volt and current, rising from the first above 0 V, of which only the shape
    /// counts; it is odd. A cell carries its conductance times the volt of a read there, and follows the curve
    /// elsewhere. Empty: a straight line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cell_iv: Vec<[f64; 2]>,
    /// The I–V curve of a selector in series with every cell: pairs of volt and microampere, rising from the first
    /// above 0 V; it is odd. Empty: there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selector_iv: Vec<[f64; 2]>,
}

/// The most points of a curve.
const MOST_POINTS: usize = 256;

impl Access {
    /// Whether a cell's current is another than its conductance times the voltage.
    pub fn any(&self) -> bool {
        *self != Access::default()
    }

    /// Whether currents are not proportional to voltages.
    pub fn is_curved(&self) -> bool {
        !self.cell_iv.is_empty() || !self.selector_iv.is_empty()
    }

    /// Curves that a device can have, known up to the volt of a read.
    pub(super) fn validate(&self, document: &Document, section: &str, read_volt: f64) -> Result<()> {
        let refuse = |key: &str, message: String| Err(document.error(&format!("{section}.access.{key}"), message));
        document.within(section, &[("access.ohm", self.ohm, 1e9)])?;
        for (key, curve) in [("cell_iv", &self.cell_iv), ("selector_iv", &self.selector_iv)] {
            let Some(last) = curve.last() else { continue };
            if curve.len() > MOST_POINTS {
                return refuse(key, format!("has {} points, expected at most {MOST_POINTS}", curve.len()));
            }
            let from_zero = [[[0.0; 2], curve[0]]].into_iter().chain(curve.windows(2).map(|pair| [pair[0], pair[1]]));
            for [before, next] in from_zero {
                let rises = (0..2).all(|of| next[of].is_finite() && next[of] > before[of]);
                if !rises {
                    let message = format!(
                        "{next:?} stands behind {before:?}, expected pairs of volt and current that both rise from 0 on"
                    );
                    return refuse(key, message);
                }
            }
            if read_volt == 0.0 {
                let message = format!("needs the voltage of a read; expected {section}.read.volt above 0 with it");
                return refuse(key, message);
            }
            if read_volt > last[0] {
                let message = format!(
                    "ends at {} V, and {section}.read.volt is {read_volt}; expected a curve that is known up to there",
                    last[0]
                );
                return refuse(key, message);
            }
        }
        Ok(())
    }
}
