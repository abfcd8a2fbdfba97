//! What a network does for an image, whatever the chip, under the names of NeuroBench.
//!
//! | figure | here |
//! |---|---|
//! | `footprint` | bytes of all weights, of one copy: `rram.weight_bits` on RRAM, 32 in digital logic and where weights are not quantised, and the companion arrays |
//! | `activation_sparsity` | share of neurons and steps without a spike |
//! | `synaptic_operations.effective` | weights that driven rows meet: each binary digit or pulse of an input, at each output pixel, times the columns |
//! | `synaptic_operations.dense` | the same were all inputs active |
//! | `membrane_updates` | neurons times steps: every membrane leaks at every step |
//!
//! NeuroBench (J. Yik et al., Nature Communications 16, 1545, 2025) leaves weights of 0 out of its effective operations and counts updates that
//! change a membrane; a crossbar reads every cell of a driven row, and a digital neuron updates whatever comes.

use serde::Serialize;

use super::architecture::Activity;
use crate::crossbar::site::Site;
use crate::plan::ChipPlan;
use crate::profile::TileInputs;

/// What a network does for an image.
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
    /// Those of all inputs of layers on tiles, which is what energy is known of.
    #[serde(skip)]
    pub on_tiles: f64,
}

/// How often an input drives its row at a step at most: once for each binary digit, or each pulse of its largest value.
fn largest_drives(site: &Site) -> f64 {
    match site.tile.inputs {
        TileInputs::BitPlanes => f64::from(site.drive.bits),
        TileInputs::Pulses => f64::from(site.drive.planes) * f64::from(site.drive.largest),
    }
}

/// Weights that inputs meet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SynapticOperations {
    /// Those of active inputs.
    pub effective: f64,
    /// Those of all inputs.
    pub dense: f64,
}

impl Workload {
    /// What an image takes of a network on its hardware.
    pub fn of(plan: &ChipPlan, activity: &Activity) -> Self {
        let (mut effective, mut dense, mut on_tiles, mut bits, mut neurons) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, site) in plan.sites().enumerate() {
            let columns = (site.columns / site.groups) as f64;
            effective += activity.drives[i] * columns;
            let all = activity.steps * largest_drives(site) * (site.pixels * site.rows * site.columns) as f64;
            dense += all;
            on_tiles += if site.is_on_rram() { all } else { 0.0 };
            bits += site.weights() as f64 * f64::from(site.weight_bits())
                + (activity.elements[i] * site.companion_bits()) as f64;
            neurons += site.neurons as f64;
        }
        let updates = neurons * activity.steps;
        let spikes: f64 = activity.spikes.iter().sum();
        Workload {
            footprint: bits / 8.0,
            activation_sparsity: (updates > 0.0).then(|| 1.0 - spikes / updates),
            synaptic_operations: SynapticOperations { effective, dense },
            membrane_updates: updates,
            on_tiles,
        }
    }
}
