//! The figures that `crosspike infer` finds on a series of chips, and the words and the JSON that say them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ndarray::Array2;
use serde_json::{Value, json};

use super::chips::Setup;
use crate::chip::Blueprint;
use crate::engine::Counts;
use crate::engine::chip_result::ChipResult;
use crate::engine::exit::{ExitOfChip, ExitRule, ExitSummary};
use crate::engine::price::Price;
use crate::network::{Layer, LayerKind, Model};
use crate::numeric::stats::{Summary, summarise};
use crate::system::spikesim::SpikeSim;
use crate::system::{MeanSpent, Spent, Workload};

/// The sums of what chips did.
pub(super) struct Totals {
    /// The number of each chip, and the percent of images that it classified correctly.
    accuracies: Vec<(u64, f64)>,
    /// The logits of each chip, where they are kept.
    pub logits: Vec<Array2<f32>>,
    keeps_logits: bool,
    exits: Vec<ExitOfChip>,
    sram_bytes: usize,
    write_pulses: u64,
    /// Elements of the companion array of each layer.
    elements: Vec<usize>,
    counts: Counts,
    /// The energy and time of an image, of all steps and up to its early answer.
    spent: MeanSpent,
    early_spent: MeanSpent,
}

impl Totals {
    /// The sums before the first chip of a network.
    pub fn new(model: &Model, keeps_logits: bool) -> Self {
        let counts = Counts::new(model.layers().len() - 1, model.steps);
        Totals {
            accuracies: vec![],
            logits: vec![],
            keeps_logits,
            exits: vec![],
            sram_bytes: 0,
            write_pulses: 0,
            elements: vec![0; model.layers().len()],
            spent: MeanSpent::default(),
            early_spent: MeanSpent::default(),
            counts,
        }
    }

    /// Adds a chip, whose images have so many steps.
    pub fn add(&mut self, chip: u64, result: &ChipResult, steps: usize, price: &Price) {
        self.accuracies.push((chip, result.accuracy));
        let (images, elements) = (result.logits.nrows(), &result.sram_elements);
        let all = price.spent(&result.counts, images, steps as f64, elements);
        all.into_iter().for_each(|spent| self.spent.add(spent));
        let early = result.exit.as_ref();
        let early = early.and_then(|exit| price.spent(&exit.counts, images, exit.mean_steps(), elements));
        early.into_iter().for_each(|spent| self.early_spent.add(spent));
        self.sram_bytes += result.sram_bytes;
        self.write_pulses += result.write_pulses;
        self.elements.iter_mut().zip(&result.sram_elements).for_each(|(sum, layer)| *sum += layer);
        self.counts.add(&result.counts);
        self.exits.extend(ExitOfChip::new(chip, result));
        if self.keeps_logits {
            self.logits.push(result.logits.clone());
        }
    }

    /// The chips that were added.
    pub fn chips(&self) -> u64 {
        self.accuracies.len() as u64
    }
}

/// The way in which a series of chips ran.
pub(super) struct Ran {
    /// The engine.
    pub backend: String,
    /// Whether the chip has no hardware at all.
    pub is_ideal: bool,
    /// The rule of early exit; none where every image took all steps.
    pub exit: Option<ExitRule>,
    /// The sentence on the training images that norms were adapted on; none where norms are the network's.
    pub adapted: Option<String>,
    /// The time that the kernels of each layer took; none where it was not asked for.
    pub kernels: Option<Vec<(String, Duration)>>,
}

/// The figures of a series of chips.
pub(super) struct Inferred<'a> {
    setup: &'a Setup,
    totals: Totals,
    ran: Ran,
    accuracy: Summary,
    rram_bytes: f64,
    /// Bytes of a chip's companion arrays, on average.
    sram_bytes: f64,
    /// Pulses that programmed a chip, on average, and what they took.
    write_pulses: f64,
    programming_pj: Option<f64>,
    energy: Option<Spent>,
    workload: Workload,
    area_mm2: Option<f64>,
    /// Early exit, and the energy up to the early answers.
    early: Option<ExitSummary>,
    early_energy: Option<Spent>,
    /// The page, where there is one.
    pub page: Option<PathBuf>,
}

impl<'a> Inferred<'a> {
    /// The figures of chips of a blueprint, at least one.
    pub fn new(mut totals: Totals, ran: Ran, setup: &'a Setup, blueprint: &Blueprint, price: &Price) -> Self {
        let chips = totals.accuracies.len();
        let accuracies: Vec<f64> = totals.accuracies.iter().map(|(_, accuracy)| *accuracy).collect();
        let elements: Vec<usize> = totals.elements.iter().map(|sum| (sum + chips / 2) / chips).collect();
        let (images, steps) = (chips * setup.data.len(), setup.model.steps as f64);
        let write_pulses = totals.write_pulses as f64 / chips as f64;
        let early = ran.exit.map(|rule| ExitSummary::new(rule, std::mem::take(&mut totals.exits)));
        Inferred {
            accuracy: summarise(&accuracies),
            rram_bytes: blueprint.rram_bytes(),
            sram_bytes: totals.sram_bytes as f64 / chips as f64,
            write_pulses,
            programming_pj: setup.profile.cost.energy_pj.write_pulse.map(|pj| pj * write_pulses),
            energy: std::mem::take(&mut totals.spent).mean(),
            workload: price.workload(&totals.counts, images, steps, &elements),
            area_mm2: price.area_mm2(),
            early_energy: std::mem::take(&mut totals.early_spent).mean(),
            early,
            page: None,
            setup,
            totals,
            ran,
        }
    }

    /// Images that were judged, on all chips together.
    fn images(&self) -> usize {
        self.totals.accuracies.len() * self.setup.data.len()
    }

    /// Sentences for the page.
    pub fn notes(&self) -> Vec<String> {
        let spent = self.energy.iter().filter(|energy| energy.total_pj > 0.0);
        let note = |energy: &Spent| {
            let left_out = match energy.left_out.is_empty() {
                true => String::new(),
                false => format!(" Left out, for the profile has no constant: {}.", energy.left_out.join(", ")),
            };
            let driven =
                format!("{:.1} % of the energy is driven by spikes", 100.0 * energy.spike_driven_pj / energy.total_pj);
            format!("{driven}, the rest is taken whatever comes in. ADC model: {}.{left_out}", energy.adc_model)
        };
        spent.map(note).collect()
    }

    /// All of it as JSON.
    pub fn json(&self, origin: Value) -> Value {
        let (Setup { model, data, .. }, counts) = (self.setup, &self.totals.counts);
        let mut early_exit = json!(self.early);
        if self.early.is_some() {
            early_exit["pj_per_image"] = json!(self.early_energy);
        }
        // The dense formula beside the counted figure is one of SpikeSim's own constants.
        let is_of_spikesim = self.setup.profile.cost.adc_model.starts_with("SpikeSim") && of_convolutions(model);
        let accuracy = &self.accuracy;
        let chip = |(chip, accuracy): &(u64, f64)| json!({ "chip": chip, "accuracy": accuracy });
        let mut report = json!({
            "accuracy": { "mean": accuracy.mean, "std": accuracy.std, "ci95": accuracy.ci95 },
            "chips": self.totals.accuracies.iter().map(chip).collect::<Vec<_>>(),
            "images": data.len(),
            "spikes": by_layer(model, &counts.spikes, |layer| layer.leads),
            "events": {
                "input_pulses": counts.input,
                "adc_clipped": by_layer(model, &counts.clipped, |_| true),
                "adder_saturated": by_layer(model, &counts.saturated, |_| true),
            },
            "energy": self.energy.as_ref().map(|energy| json!({
                "pj_per_image": energy,
                "spikesim_dense": is_of_spikesim.then(|| SpikeSim::of(model, 64)),
            })),
            "neurobench": self.workload,
            "area_mm2": self.area_mm2,
            "sram_bytes": self.sram_bytes,
            "write_pulses": self.write_pulses,
            "programming_pj": self.programming_pj,
            "early_exit": early_exit,
            "report": self.page,
            "units": UNITS.into_iter().collect::<BTreeMap<_, _>>(),
            "origin": origin,
        });
        if let Some(kernels) = &self.ran.kernels {
            let seconds = |(name, time): &(String, Duration)| (name.clone(), json!(time.as_secs_f64()));
            report["kernel_seconds"] = Value::Object(kernels.iter().map(seconds).collect());
            report["units"]["kernel_seconds"] =
                json!("of the GPU's own clock, of each layer's kernels, all images and chips together");
        }
        report
    }

    /// All of it in words.
    pub fn words(&self) -> String {
        let mut text = vec![self.accuracy_said()];
        text.extend(self.conversions_said());
        text.extend(self.ran.adapted.clone());
        text.extend(self.sram_said());
        text.extend(self.energy_said());
        text.extend(self.area_mm2.map(|mm2| format!("the chip takes {mm2:.3} mm²")));
        let programmed = |pj: f64| format!("programming a chip: {:.0} pulses, {:.3} µJ", self.write_pulses, pj * 1e-6);
        text.extend(self.programming_pj.map(programmed));
        text.extend(self.ran.kernels.iter().flat_map(|kernels| kernels_said(kernels)));
        text.extend(self.early.as_ref().map(ToString::to_string));
        text.extend(self.page.as_ref().map(|page| format!("wrote {}", page.display())));
        text.extend(self.early_energy.as_ref().map(|energy| format!("up to its early answer, {}", described(energy))));
        text.join("\n")
    }

    fn accuracy_said(&self) -> String {
        let (Summary { mean, min, max, .. }, chips) = (&self.accuracy, self.totals.chips());
        let spread = match (self.accuracy.std, self.accuracy.ci95) {
            (Some(std), Some(ci)) => {
                format!(" ± {ci:.2} (95 %), spread {std:.2}, {min:.2} to {max:.2}, over {chips} chips")
            }
            _ => String::new(),
        };
        let spikes = self.totals.counts.total_spikes() as f64 / self.images() as f64;
        let ideal = if self.ran.is_ideal { "the ideal chip (float weights), " } else { "" };
        let images = self.setup.data.len();
        format!(
            "accuracy {mean:.2} %{spread}, {images} images, {spikes:.0} spikes an image, {ideal}{}",
            self.ran.backend
        )
    }

    fn conversions_said(&self) -> Option<String> {
        let per_image = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / self.images() as f64;
        let counts = &self.totals.counts;
        let (clipped, saturated) = (per_image(&counts.clipped), per_image(&counts.saturated));
        self.setup.profile.converts().then(|| {
            format!("an image: {clipped:.1} sums beyond the converters' range, {saturated:.1} beyond the adders' width")
        })
    }

    fn sram_said(&self) -> Option<String> {
        let (bytes, share) = (self.sram_bytes, 100.0 * self.sram_bytes / self.rram_bytes);
        let what = match self.setup.profile.has_companions() {
            true => "companion arrays hold",
            false => "trims and tables of moved lines hold",
        };
        (bytes > 0.0).then(|| format!("{what} {bytes:.0} bytes a chip, {share:.0} % of the RRAM's weights"))
    }

    fn energy_said(&self) -> Vec<String> {
        match &self.energy {
            Some(energy) => {
                let left_out = energy.left_out.join(", ");
                let left_out = format!("left out, for the profile has no constant: {left_out}");
                [described(energy)].into_iter().chain((!energy.left_out.is_empty()).then_some(left_out)).collect()
            }
            None if self.setup.profile.cost.any() => {
                vec!["no energy: no layer stands on RRAM, and what digital logic takes is not known".into()]
            }
            None => vec![
                "no energy: the profile has no constants (its section [cost], as in hw_profiles/spikesim_65nm.toml)"
                    .into(),
            ],
        }
    }
}

/// The units and scope of each figure of the JSON.
const UNITS: [(&str, &str); 13] = [
    ("accuracy", "percent; ci95: half of the 95 % interval of the mean over chips"),
    ("spikes", "of each spiking layer, before its pool, a number a step, summed over images and chips"),
    ("events.input_pulses", "pulses, or digits, on the inputs, a number a step, summed over images and chips"),
    (
        "events.adc_clipped",
        "partial sums beyond a converter's range, of each layer, summed over steps, images and chips",
    ),
    ("events.adder_saturated", "sums beyond an adder's width, of each layer, summed over steps, images and chips"),
    (
        "energy.pj_per_image",
        "picojoule, and nanoseconds where a key ends in _ns, of an image, on average over images and chips",
    ),
    (
        "energy.pj_per_image.tops_per_w",
        "tera-operations a second and watt, were all inputs active; a multiplication and an addition a weight",
    ),
    (
        "neurobench",
        "footprint in bytes, of one copy of each layer; sparsity from 0 to 1; operations and updates of an image, on \
         average over images and chips",
    ),
    ("area_mm2", "square millimetres of the chip, all copies of its layers; null where the profile has no areas"),
    ("sram_bytes", "bytes of the companion arrays of a chip, one copy of each layer, on average"),
    ("write_pulses", "pulses that program a chip, one copy of each layer, on average"),
    ("programming_pj", "picojoule a chip"),
    ("early_exit.steps", "steps of an image, on average"),
];

/// The times of kernels, a line each.
fn kernels_said(kernels: &[(String, Duration)]) -> Vec<String> {
    if kernels.is_empty() {
        return vec!["no kernel ran on the GPU: the CPU did the work".into()];
    }
    let width = kernels.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, time): &(String, Duration)| format!("{name:width$} {:10.3} ms", 1e3 * time.as_secs_f64());
    kernels.iter().map(line).collect()
}

/// Whether a model has convolutions: SpikeSim's figure is of these alone.
fn of_convolutions(model: &Model) -> bool {
    model.layers().iter().any(|layer| layer.kind == LayerKind::Conv)
}

/// Energy and latency in words, all energies in the unit that the total asks for.
fn described(energy: &Spent) -> String {
    let (unit, factor) = match energy.total_pj {
        small if small < 1e2 => ("pJ", 1.0),
        middle if middle < 1e5 => ("nJ", 1e-3),
        _ => ("µJ", 1e-6),
    };
    let joule = |pj: f64| format!("{:.3} {unit}", pj * factor);
    let ms = |ns: f64| if ns < 1e5 { format!("{:.3} µs", ns * 1e-3) } else { format!("{:.3} ms", ns * 1e-6) };
    let time = match (energy.latency_ns, energy.interval_ns) {
        (Some(latency), Some(interval)) if interval < latency => {
            format!(", {} through the pipeline and one every {}", ms(latency), ms(interval))
        }
        (latency, _) => latency.map_or(String::new(), |latency| format!(", {} layer after layer", ms(latency))),
    };
    let efficiency = energy
        .images_per_j
        .zip(energy.tops_per_w)
        .map_or(String::new(), |(images, tops)| format!("; {images:.0} images a joule, {tops:.2} TOPS/W dense"));
    format!(
        "an image: {}, {} of it by spikes and {} whatever comes in{time}{efficiency}; ADC model: {}",
        joule(energy.total_pj),
        joule(energy.spike_driven_pj),
        joule(energy.static_pj),
        energy.adc_model
    )
}

fn by_layer<T: Clone>(model: &Model, counts: &[T], is_meant: impl Fn(&Layer) -> bool) -> BTreeMap<String, T> {
    let layers = model.layers().into_iter().zip(counts).filter(|(layer, _)| is_meant(layer));
    layers.map(|(layer, count)| (layer.name, count.clone())).collect()
}
