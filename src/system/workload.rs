//! The work of a network for an image, under the names of NeuroBench: operations by the digits or pulses that drive
//! rows, bytes by the bits of the chip's weights.
//!
//! | figure | here |
//! |---|---|
//! | `footprint` | bytes of all weights, of one copy: `rram.weight_bits` on RRAM, 32 in digital logic and where weights are not quantised, and the companion arrays |
//! | `activation_sparsity` | share of neurons and steps without a spike |
//! | `synaptic_operations.effective` | weights that driven rows meet: each binary digit or pulse of an input, at each output pixel, times the columns |
//! | `synaptic_operations.dense` | the same were all inputs active |
//! | `membrane_updates` | neurons times steps: every membrane leaks at every step |
//!
//! NeuroBench (J. Yik et al., Nature Communications 16, 1545, 2025) leaves weights of 0 out of its effective operations
//! and counts updates that change a membrane; a crossbar reads every cell of a driven row, and a digital neuron updates
//! whatever comes.

use serde::Serialize;

use super::architecture::Activity;
use crate::crossbar::site::Site;
use crate::plan::ChipPlan;
use crate::profile::TileInputs;

/// The work of a network for an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Workload {
    /// Bytes of all weights.
    pub footprint: f64,
    /// Share of neurons and steps without a spike; none without neurons.
    pub activation_sparsity: Option<f64>,
    /// Weights that inputs meet.
    pub synaptic_operations: SynapticOperations,
    /// Neurons times steps.
    pub membrane_updates: f64,
    /// Dense synaptic operations of the layers on tiles alone, whose energy is known.
    #[serde(skip)]
    pub on_tiles: f64,
}

/// The most drives of a row that an input makes in a step: one for each binary digit, or for each pulse of the largest
/// value.
fn largest_drives(site: &Site) -> f64 {
    match site.tile.inputs {
        TileInputs::BitPlanes | TileInputs::Levels => f64::from(site.drive.bits),
        TileInputs::Pulses => f64::from(site.drive.planes) * f64::from(site.drive.largest),
    }
}

/// Weights that inputs meet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SynapticOperations {
    /// Operations of active inputs.
    pub effective: f64,
    /// Operations, were all inputs active.
    pub dense: f64,
}

impl Workload {
    /// Counts the work for an image of a network on its hardware.
    pub fn of(plan: &ChipPlan, activity: &Activity) -> Self {
        let (mut effective, mut dense, mut on_tiles, mut bits, mut neurons) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, site) in plan.sites().enumerate() {
            let columns = (site.columns / site.groups) as f64;
            effective += activity.drives[i] * columns;
            let all = activity.steps * largest_drives(site) * (site.pixels * site.rows * site.columns) as f64;
            dense += all;
            on_tiles += if site.is_on_rram() { all } else { 0.0 };
            bits += site.weights() as f64 * f64::from(site.weight_bits())
                + (activity.elements[i] * site.companion_bits() + 8 * site.fixed_bytes()) as f64;
            neurons += site.neurons as f64;
        }
        let updates = neurons * activity.steps;
        let spikes: f64 = activity.spikes.iter().sum();
        // Each chip of an ensemble does all of it.
        let chips = plan.profile.system.ensemble as f64;
        Workload {
            footprint: chips * bits / 8.0,
            activation_sparsity: (updates > 0.0).then(|| 1.0 - spikes / updates),
            synaptic_operations: SynapticOperations { effective: chips * effective, dense: chips * dense },
            membrane_updates: chips * updates,
            on_tiles: chips * on_tiles,
        }
    }
}
