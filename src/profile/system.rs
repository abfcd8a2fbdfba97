//! `[system]`: what stands around the tiles of a chip, and how its layers share the time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::is_default;

/// What moves pulses from layer to layer.
///
/// # Examples
/// ```
/// use crosspike::Profile;
/// use crosspike::profile::Interconnect;
///
/// let profile = Profile::named("spikesim_65nm", &["adc.range=full".into(), "system.interconnect=mesh".into()])?;
/// assert_eq!(profile.system.interconnect, Interconnect::Mesh);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interconnect {
    /// Nothing: pulses are where they are wanted, at no cost.
    #[default]
    None,
    /// One bus between all tiles and the global buffer. A map goes to the buffer once, and from there to every layer
    /// that takes it.
    Bus,
    /// Routers of a square mesh, one a tile. A map goes hop by hop to every layer that takes it; the global buffer
    /// holds the network's input alone.
    Mesh,
}

/// What stands around the tiles of a chip, and how its layers share the time. None of it but the ensemble changes what
/// a network computes.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let pipelined = Profile::named("spikesim_65nm", &["adc.range=full".into(), "system.pipelined=true".into()])?;
/// assert!(pipelined.system.pipelined && pipelined.system.area_mm2 == 0.0);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct System {
    /// What moves pulses from layer to layer.
    #[serde(skip_serializing_if = "is_default")]
    pub interconnect: Interconnect,
    /// Bytes of the global buffer: what it takes of area, and of power while it waits.
    #[serde(skip_serializing_if = "is_default")]
    pub buffer_bytes: u64,
    /// Whether layers work at the same time, each on another step or image: then the slowest says how often an image
    /// comes out. Otherwise one layer works after the other.
    #[serde(skip_serializing_if = "is_default")]
    pub pipelined: bool,
    /// Square millimetre that a chip may take: layers are copied, the copies share the output pixels, until the next
    /// copy that makes the chip faster would take more. 0: no copies.
    #[serde(skip_serializing_if = "is_default")]
    pub area_mm2: f64,
    /// Tiles that a chip has at most; those that nothing stands on count nothing. Where a network needs more, its first
    /// layers stand there for good, and the weights of the others come from off-chip memory for each image, one layer
    /// after the other. 0: as many as the network takes.
    #[serde(skip_serializing_if = "is_default")]
    pub tiles: u64,
    /// Chips that answer together, by the largest of their summed logits: what a thing that is sold holds, so that "a
    /// chip" is so many of them in accuracy, bytes, energy and area.
    #[serde(skip_serializing_if = "is_one")]
    pub ensemble: u64,
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

impl Default for System {
    fn default() -> Self {
        let (interconnect, buffer_bytes) = (Interconnect::None, 0);
        System { interconnect, buffer_bytes, pipelined: false, area_mm2: 0.0, tiles: 0, ensemble: 1 }
    }
}
