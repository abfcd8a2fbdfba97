//! Energy, latency and area: events and parts, counted, times what the profile says that each costs.
//!
//! For a layer on RRAM with P output pixels, C columns of weights whose rows are driven in R parts (a tile's rows each, or
//! `tile.rows_at_once` of them) on tiles that partition its columns K-fold, D drives a step (binary digits of its inputs, or 1 as pulses) and T steps, an image has
//!
//! | event | number |
//! |---|---|
//! | word-line drives | row drives, as the spikes were ([`crate::network::drive`]), · K |
//! | device reads | each of them · the devices of a row of its tile |
//! | tile drives | T·P·D·R·K |
//! | conversions = codes | T·P·D·R·(C·slices + unit columns) |
//! | neuron updates | T·P·C |
//! | additions of joins | T · neurons · terms behind the first of their current, and others' pulses that are added to theirs |
//! | companion: bits read, additions | row drives · elements of a row (on average, where it is pruned) · its bits, or 1 |
//!
//! The first two and the companion's follow the spikes; the others are spent whatever the input, for converters, buffers and
//! neurons do not know what comes. Latency takes layers one after the other, and of each layer output pixels and drives one
//! after the other, all tiles at once: `T·P·D·A·(drive + turns·conversion)`, with A turns of the rows (`tile.rows_at_once`) and as many
//! of the converters as columns of a tile share one.
//!
//! Not counted: layers in digital logic, the encoder, control, leakage and clocks, writing, and what the profile leaves out.

use std::collections::BTreeMap;

use serde::Serialize;

use super::mapping::{LayerMap, map};
use super::site::Site;
use crate::device::cell::{Columns, bit_lines, slices};
use crate::network::{Layer, Model};
use crate::profile::{DeviceModel, Profile, TileInputs, Time};

/// Energy and time of an image.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let profile = Profile::named("spikesim_65nm", &["adc.range=full".into()])?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let result = session.run(&session.program(0)?, &data)?;
/// let spent = session.spent(&result).expect("the profile has costs");
/// assert_eq!(spent.total_pj, spent.spike_driven_pj + spent.static_pj);
/// assert_eq!(spent.left_out[0], "cost.energy_pj.word_line"); // The source has no constant for it.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spent {
    /// The ADC model behind the numbers.
    pub adc_model: String,
    /// Picojoule of an image, all layers.
    pub total_pj: f64,
    /// What follows the spikes of that.
    pub spike_driven_pj: f64,
    /// What is spent whatever comes in.
    pub static_pj: f64,
    /// Picojoule of an image, by layer and component.
    pub layers: BTreeMap<String, BTreeMap<&'static str, f64>>,
    /// Nanoseconds of an image; none where the profile has no times.
    pub latency_ns: Option<f64>,
    /// Constants that the profile leaves out: their components are not in the sums.
    pub left_out: Vec<String>,
}

/// Components whose energy follows the spikes.
const SPIKE_DRIVEN: [&str; 4] = ["cell_read", "word_line", "sram_read_bit", "sram_add"];

/// Events of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Events {
    /// Word lines driven, of all tiles.
    pub word_lines: f64,
    /// Devices read.
    pub cell_reads: f64,
    /// Tiles driven.
    pub tile_drives: f64,
    /// Conversions.
    pub conversions: f64,
    /// Neurons updated.
    pub neuron_updates: f64,
    /// Additions of terms that join them.
    pub joins: f64,
    /// Bits of the companion array read.
    pub sram_bits: f64,
    /// Its additions.
    pub sram_adds: f64,
}

impl Events {
    /// Of a layer over all steps of an image, with so many row drives and, of its companion array, elements that are stored.
    pub fn of(site: &Site, map: &LayerMap, steps: f64, drives: f64, elements: usize) -> Self {
        if !site.is_on_rram() {
            return Events::default();
        }
        let pixels = site.pixels as f64;
        let lines = (map.columns / map.groups * map.lines_per_column + map.unit_lines) as f64;
        let passes = steps * pixels * f64::from(drives_a_step(site));
        let converted = (map.columns * map.slices + map.unit_lines) as f64;
        let products = drives * elements as f64 / (site.rows * site.groups) as f64;
        Events {
            word_lines: drives * map.column_splits as f64,
            cell_reads: drives * lines,
            tile_drives: passes * drives_of_tiles(site, map) as f64,
            conversions: passes * site.partial_sums() as f64 * converted,
            neuron_updates: steps * site.neurons as f64,
            joins: steps * (site.neurons * site.joins) as f64,
            sram_bits: products * site.companion_bits() as f64,
            sram_adds: products,
        }
    }
}

/// How often a tile is driven a step: binary digits of its inputs in all planes, or planes of pulses.
fn drives_a_step(site: &Site) -> u32 {
    if site.tile.inputs == TileInputs::Pulses { site.drive.planes } else { site.drive.bits }
}

/// How often tiles are driven until each has driven all of its rows once.
fn drives_of_tiles(site: &Site, map: &LayerMap) -> usize {
    if site.groups > 1 { map.tiles * site.turns() } else { site.partial_sums() * map.column_splits }
}

/// What is counted for: hardware, layers and how long they run.
pub struct Run<'a> {
    /// The hardware.
    pub profile: &'a Profile,
    /// The layers, the readout included.
    pub sites: &'a [&'a Site],
    /// How they stand on tiles.
    pub maps: &'a [LayerMap],
    /// Steps that an image runs, on average.
    pub steps: f64,
}

impl Run<'_> {
    /// Energy of an image: `drives` are each layer's row drives, over all steps, and `elements` its companion array's. None where
    /// the profile has no costs.
    pub fn spent(&self, drives: &[f64], elements: &[usize]) -> Option<Spent> {
        let (profile, cost) = (self.profile, &self.profile.cost);
        if !cost.any() {
            return None;
        }
        let (mut layers, mut totals) = (BTreeMap::new(), [0.0, 0.0]);
        for (i, site) in self.on_rram() {
            let events = Events::of(site, &self.maps[i], self.steps, drives[i], elements[i]);
            let e = &cost.energy_pj;
            // An ideal converter is none.
            let converted = if profile.converts() { events.conversions } else { 0.0 };
            let (conversions, codes) = (converted * cost.conversion(profile.adc.bits), cost.width(profile.adc.bits));
            let components = [
                ("cell_read", e.cell_read, events.cell_reads),
                ("word_line", e.word_line, events.word_lines),
                ("adc", e.adc, conversions),
                ("mux", e.mux, converted),
                ("code", e.code, converted * codes),
                ("htree", e.htree, events.conversions * codes),
                ("tile_buffer", e.tile_buffer, events.conversions * codes),
                ("temporary_buffer", e.temporary_buffer, events.conversions * codes),
                ("fetch", e.fetch, events.tile_drives),
                ("neuron", e.neuron, events.neuron_updates),
                ("join", e.join.filter(|_| site.joins > 0), events.joins),
                ("sram_read_bit", e.sram_read_bit, events.sram_bits),
                ("sram_add", e.sram_add, events.sram_adds),
            ];
            let spent: BTreeMap<&str, f64> =
                components.iter().filter_map(|(name, each, events)| Some((*name, (*each)? * events))).collect();
            for (name, pj) in &spent {
                totals[usize::from(!SPIKE_DRIVEN.contains(name))] += pj;
            }
            layers.insert(site.name.clone(), spent);
        }
        Some(Spent {
            adc_model: cost.adc_model(profile.adc.bits),
            total_pj: totals[0] + totals[1],
            spike_driven_pj: totals[0],
            static_pj: totals[1],
            layers,
            latency_ns: self.latency_ns(),
            left_out: left_out(profile, self.on_rram().any(|(_, site)| site.joins > 0)),
        })
    }

    /// Nanoseconds of an image, layer after layer; none where the profile has no times.
    pub fn latency_ns(&self) -> Option<f64> {
        let Time { drive, conversion } = self.profile.cost.time_ns;
        (drive.is_some() || conversion.is_some()).then(|| {
            let layer = |site: &Site| {
                let on_a_tile = site.on_tiles().per_tile.min(site.columns);
                let turns = if site.converts() { site.adc.columns_shared.min(on_a_tile) } else { 0 };
                let passes = site.pixels as f64 * f64::from(drives_a_step(site));
                passes * site.turns() as f64 * (drive.unwrap_or(0.0) + turns as f64 * conversion.unwrap_or(0.0))
            };
            self.steps * self.on_rram().map(|(_, site)| layer(site)).fold(0.0, |sum, layer| sum + layer)
        })
    }

    /// Layers that stand on RRAM, with their numbers.
    fn on_rram(&self) -> impl Iterator<Item = (usize, &Site)> {
        self.sites.iter().copied().enumerate().filter(|(_, site)| site.is_on_rram())
    }
}

/// Constants that the profile does not have and its chips would need.
fn left_out(profile: &Profile, joins: bool) -> Vec<String> {
    let needed = |key: &str| match key {
        "adc" | "mux" | "code" | "conversion" => profile.converts(),
        "join" => joins,
        "write_pulse" => profile.any(|rram, _| rram.model == DeviceModel::Cell),
        _ => !key.starts_with("sram") || profile.has_companions(),
    };
    let cost = &profile.cost;
    let sections =
        [("energy_pj", cost.energy_pj.all()), ("area_um2", cost.area_um2.all()), ("time_ns", cost.time_ns.all())];
    let missing = sections.into_iter().flat_map(|(section, keys)| {
        let missing = keys.into_iter().filter(|(key, value)| value.is_none() && needed(key));
        missing.map(move |(key, _)| format!("cost.{section}.{key}"))
    });
    missing.collect()
}

/// Area of a layer in square micrometre, by component; empty for digital layers and where the profile has no areas.
pub fn area(profile: &Profile, site: &Site, map: &LayerMap) -> BTreeMap<&'static str, f64> {
    if !site.is_on_rram() {
        return BTreeMap::new();
    }
    let a = &profile.cost.area_um2;
    let converters = if profile.converts() { map.adcs as f64 } else { 0.0 };
    let tiles = map.tiles as f64;
    let neurons = site.neurons as f64;
    let parts = [
        ("cell", a.cell, tiles * (profile.tile.rows * profile.tile.cols) as f64),
        ("adc", a.adc, converters * profile.cost.conversion(profile.adc.bits)),
        ("mux", a.mux, converters),
        ("code", a.code, converters),
        ("htree", a.htree, tiles),
        ("tile_buffer", a.tile_buffer, tiles),
        ("temporary_buffer", a.temporary_buffer, tiles),
        ("neuron", a.neuron, neurons),
        ("join", a.join, converters * site.joins as f64),
        ("sram_bit", a.sram_bit, 8.0 * map.sram_bytes as f64),
    ];
    parts
        .iter()
        .filter_map(|(name, each, parts)| Some((*name, (*each)? * parts)))
        .filter(|(_, um2)| *um2 > 0.0)
        .collect()
}

/// Area of a chip of these layers in square millimetre; none where the profile has no areas.
pub fn chip_area_mm2<'a>(profile: &Profile, sites: impl IntoIterator<Item = &'a Site>) -> Option<f64> {
    let um2: f64 = sites.into_iter().flat_map(|site| area(profile, site, &map(site)).into_values()).sum();
    (um2 > 0.0).then_some(um2 * 1e-6)
}

/// Tera-operations a second and watt of a full tile, every row driven by one bit: a multiplication and an addition a weight,
/// over devices, converters, codes and traffic. None without converters, or where the profile lacks the energy of a conversion or
/// of a device's read.
///
/// NeuRRAM (Wan et al., Nature 608, 504, 2022) measured 43.08 with 1-bit inputs and 3-bit outputs, tiles of 256 x 256 cells in
/// differential pairs at 130 nm.
pub fn tile_efficiency(profile: &Profile) -> Option<f64> {
    let (rram, e) = (&profile.rram, &profile.cost.energy_pj);
    if !profile.converts() || e.cell_read.is_none() || e.adc.is_none() {
        return None;
    }
    let (columns, (lines, units)) = (Columns::of(rram, profile.tile).per_tile as f64, bit_lines(rram));
    let (rows, slices) = (profile.tile.rows as f64, slices(rram) as f64);
    let turns = profile.tile.turns() as f64;
    let of = |pj: Option<f64>| pj.unwrap_or(0.0);
    let (conversion, width) = (profile.cost.conversion(profile.adc.bits), profile.cost.width(profile.adc.bits));
    let moved = [e.code, e.htree, e.tile_buffer, e.temporary_buffer].map(of).iter().sum::<f64>();
    let code = of(e.adc) * conversion + of(e.mux) + moved * width;
    let devices = rows * (columns * lines as f64 + units as f64);
    let conversions = turns * (columns * slices + units as f64);
    let pj = of(e.cell_read) * devices + of(e.word_line) * rows + code * conversions + of(e.fetch) * turns;
    Some(2.0 * rows * columns / pj)
}

/// The dense figure of SpikeSim (arXiv:2210.12899; 65 nm), as a cross-check at activity 1: every tile reads all of its rows,
/// output maps are taken behind the pool, and only convolutions count. X x X crossbars, one a kernel position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SpikeSim {
    /// Picojoule of a cycle of a processing element.
    pub cycle_pj: f64,
    /// Cycles a step.
    pub cycles: f64,
    /// Microjoule of an image.
    pub image_uj: f64,
}

impl SpikeSim {
    /// Of a model's convolutions on crossbars of X x X.
    pub fn of(model: &Model, x: usize) -> Self {
        const CROSSBAR: f64 = 1.76423;
        const ADC: f64 = 2.03084;
        const MUX: f64 = 0.094245;
        const HTREE: f64 = 157.12;
        const TILE_BUFFER: f64 = 397.0;
        const TEMPORARY_BUFFER: f64 = 0.2;
        const SUBTRACT: f64 = 1.15e-6;
        const FETCH: f64 = 4.64;
        const NEURON: f64 = 5.096;
        let plans = model.layers();
        let convolutions = || plans.iter().filter(|plan| plan.kind == crate::network::LayerKind::Conv);
        let positions = convolutions().next().map_or(0, |plan| plan.unrolling().window.positions()) as f64;
        let groups = x as f64 / 8.0;
        let element = positions * CROSSBAR + groups * (ADC + MUX);
        let cycle_pj = HTREE
            + FETCH
            + NEURON
            + groups * element
            + groups * 16.0 * SUBTRACT
            + groups * TEMPORARY_BUFFER
            + TILE_BUFFER;
        let of = |plan: &Layer| {
            let pooled = plan.pooled();
            (plan.output.channels.div_ceil(x) * plan.input.channels.div_ceil(x) * pooled.height * pooled.width) as f64
        };
        let cycles = convolutions().map(of).fold(0.0, |sum, of| sum + of);
        SpikeSim { cycle_pj, cycles, image_uj: cycles * cycle_pj * model.steps as f64 * 1e-6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Encoding;
    use crate::plan::ChipPlan;
    use std::path::Path;

    fn vgg9(steps: usize) -> Model {
        Model::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/vgg9.toml"), &[format!("steps={steps}")])
            .unwrap()
    }

    #[test]
    fn the_dense_figure_is_the_published_one() {
        let found = SpikeSim::of(&vgg9(5), 64);
        assert!((found.cycle_pj - 828.486).abs() < 5e-4, "{found:?}");
        assert_eq!(found.cycles, 3840.0);
        assert!((found.image_uj - 15.907).abs() < 5e-4, "{found:?}");
    }

    #[test]
    fn the_counted_figure_is_the_dense_one_at_activity_1() {
        // One element of SpikeSim: 64 channels of nine positions by 64 columns, all rows active, no pool behind it.
        let text = "name = \"m\"\nsteps = 5\nclasses = 10\ninput = {channels = 64, height = 16, width = 16}\nlayers = [{conv=64}, {conv=64}]";
        let document = crate::config::Document::parse_text(Path::new("m.toml"), text.into()).unwrap();
        let model = Model::from_document(&document).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles/spikesim_65nm.toml");
        let profile = Profile::read(&file, &["rram.model=weight".into(), "rram.cell={}".into()]).unwrap();
        let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap();
        let (sites, maps): (Vec<&Site>, _) = (plan.sites().collect(), plan.maps());
        let run = Run { profile: &profile, sites: &sites, maps: &maps, steps: 5.0 };
        let pixels = 16.0 * 16.0;
        let all_rows = 5.0 * pixels * 576.0;
        let spent = run.spent(&[all_rows, all_rows, 0.0], &[0, 0, 0]).unwrap();
        let dense = SpikeSim::of(&model, 64).cycle_pj * pixels * 5.0;
        for layer in ["conv1", "conv2"] {
            let counted: f64 = spent.layers[layer].values().sum();
            assert!((counted / dense - 1.0).abs() < 1e-3, "{layer}: {counted} counted, {dense} dense");
        }
    }
}
