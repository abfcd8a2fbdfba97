//! The memory that chips take, known before one is programmed: an estimate, 0.6 to 1.8 times the peak that was
//! measured on networks of 21 million weights.
//!
//! Of N weights in all layers on arrays, n of them in the largest, S slices and a companion array or none, with R = T +
//! 1 arrays where every step reads its cells afresh, else 1, a byte each of: the network 4·N; a chip being programmed
//! (8 + 8·S)·N + 32·S·n, and 16·S·N more where it is read, 16·S·n where neighbours vary together, 2·S·n where cells
//! wear out; its arrays 4·(S + companion)·R·N, twice, for one runs, in its kernels' form too, while the next is
//! programmed, and behind converters once more, for its kernels have weights for events and weights cut at tiles; that
//! share was not measured. Beside them a layer's noise takes its pool, and each bent converter 8 bytes a code. The
//! folded arrays of a convolution with nine rows a channel take a third of 16 bytes a weight more, for transformed
//! squares of three digits.

use crate::chip::Blueprint;
use crate::crossbar::mapping::map;
use crate::crossbar::noise::POOL_BYTES;
use crate::crossbar::site::Site;
use crate::device::code::slices;
use crate::error::Result;
use crate::memory;
use crate::network::{Layer, LayerKind};
use crate::profile::DeviceModel;

/// Bytes that a series takes which runs so many chips of a blueprint at once.
pub fn bytes(blueprint: &Blueprint, at_once: usize) -> u64 {
    let steps = blueprint.steps() as u64;
    let (mut network, mut programming, mut largest, mut arrays, mut kernels) = (0, 0, 0, 0, 0);
    for site in blueprint.plan().sites() {
        let (weights, rram) = (site.weights() as u64, &site.rram);
        network += 4 * weights;
        let is_cell = site.is_on_rram() && rram.model == DeviceModel::Cell;
        let slices = if is_cell { slices(rram) as u64 } else { 1 };
        let reads = is_cell && rram.read.varies();
        let matrices = slices + u64::from(site.has_companion());
        // Groups are spread over a matrix of all channels.
        let times = site.groups as u64 * if reads { steps + 1 } else { 1 };
        let array = 4 * matrices * weights * times;
        let squares = if site.pixels > 1 && site.rows.is_multiple_of(9) { 16 * weights / 3 * times } else { 0 };
        arrays += array;
        kernels += if site.converts() { 2 * array } else { array + squares } + of_converters(site);
        programming += (8 + 8 * slices + if reads { 16 * slices } else { 0 }) * weights;
        let shared = u64::from(rram.variation.neighbour_sigma > 0.0) * 16 + u64::from(rram.endurance.any()) * 2;
        largest = largest.max(if is_cell { (32 + shared) * slices * weights } else { 8 * weights });
    }
    let together = if blueprint.varies() { at_once as u64 } else { 1 };
    network + programming + largest + (arrays + kernels) * together
}

/// Bytes that the errors of a layer's converters take.
fn of_converters(site: &Site) -> u64 {
    if !site.converts() {
        return 0;
    }
    let pool = if site.adc.is_noisy() { POOL_BYTES } else { 0 };
    let bent = if site.adc.is_bent() { (8 * map(site).adcs as u64) << site.adc.bits } else { 0 };
    pool + bent
}

/// Bytes that so many images take at once beside their inputs: pulses and sums of fully connected layers, the pulses of
/// the last convolution, and currents that are held where all images run together, over all steps.
pub fn image_bytes(blueprint: &Blueprint, images: usize) -> u64 {
    let of = |plan: &Layer| match plan.kind {
        LayerKind::Conv => plan.pooled().len() as u64,
        _ => (plan.input.len() + 5 * plan.columns()) as u64,
    };
    let graph = blueprint.model().graph();
    let largest = graph.layers.iter().map(of).max().unwrap_or(0);
    let together = graph.holding().filter(|(node, _)| *node >= graph.by_image());
    let held: u64 = together.map(|(_, population)| 4 * graph.layers[population.leader()].map().len() as u64).sum();
    (largest + held) * blueprint.steps() as u64 * images as u64
}

/// An error where so many chips of a blueprint at once do not fit this machine's memory.
pub fn check(blueprint: &Blueprint, at_once: usize) -> Result<()> {
    let reads = blueprint.profile().any(|rram, _| rram.read.varies());
    let advice = if reads {
        "every step reads its cells afresh ([rram.read]) and keeps arrays of its own; expected fewer model.steps, \
         fewer weights, or no read noise"
    } else {
        "expected fewer weights, or fewer slices (rram.cell.bits)"
    };
    memory::check("a chip of this network", bytes(blueprint, at_once), advice)
}

/// An error where the memory of this machine does not hold so many images at once.
pub fn check_images(blueprint: &Blueprint, images: usize, inputs: u64) -> Result<()> {
    let needed = image_bytes(blueprint, images) + inputs;
    memory::check(
        &format!("running this many images at once ({images})"),
        needed,
        "expected fewer model.steps, or a lower --batch (studies take 64, and have no such option)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::network::{Encoding, Model, Network};
    use crate::profile::Profile;
    use std::path::Path;

    #[test]
    fn arrays_of_every_step_are_counted() {
        let model = |steps: usize| {
            let text = format!(
                "name = \"m\"\nsteps = {steps}\nclasses = 10\ninput = {{ channels = 8, height = 8, width = 8 \
                 }}\nlayers = [{{ conv = 64 }}]"
            );
            Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap()
        };
        let of = |steps: usize, keys: &[&str]| {
            let (model, keys) = (model(steps), keys.iter().map(|key| key.to_string()).collect::<Vec<_>>());
            let (network, profile) = (Network::xavier(&model, 1), Profile::ideal(&keys).unwrap());
            bytes(&Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).unwrap(), 1)
        };
        let cells = ["rram.layers=all", "rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=4"];
        let read = [&cells[..], &["rram.read.sigma=0.1"]].concat();
        let (convolution, readout) = (8 * 9 * 64, 64 * 64 * 10);
        assert_eq!(of(8, &cells), of(80, &cells), "without reads, steps take nothing");
        assert_eq!(of(80, &read) - of(8, &read), 72 * (2 * 4 * (convolution + readout) + 16 * convolution / 3));
        // A pool of noise for each of the two layers.
        let converted = [&cells[..], &["adc.bits=5"]].concat();
        let more = |key: &str| of(8, &[&converted[..], &[key]].concat()) - of(8, &converted);
        assert_eq!(more("adc.noise_sigma=1"), 2 * 262_208);
        let sliced = [&cells[..], &["rram.cell.bits=1"]].concat();
        assert!(of(8, &sliced) > of(8, &cells) && of(8, &[&cells[..], &["sram.bits=2"]].concat()) > of(8, &cells));
    }
}
