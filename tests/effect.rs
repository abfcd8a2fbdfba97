//! Every key of a profile and a model changes something, or is said to change nothing, and whatever changes a result is
//! in its name. The keys are those of the schemas: a new one without values here fails.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::golden;
use crosspike::chip::Blueprint;
use crosspike::config::Document;
use crosspike::crossbar::site::Place;
use crosspike::data::{Dataset, Split};
use crosspike::effect;
use crosspike::engine::Counts;
use crosspike::engine::calibrate::with_ranges;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::engine::price::Price;
use crosspike::network::companion::CompanionWeights;
use crosspike::network::{Encoder, Encoding, InputCode, Model, Network};
use crosspike::plan::place;
use crosspike::profile::Profile;
use crosspike::system::Architecture;

/// Two values of every key, and one word for those that are names.
const VALUES: &[(&str, [&str; 2])] = &[
    ("rram.weight_bits", ["2", "4"]),
    ("rram.scheme", ["\"uniform\"", "\"dorefa\""]),
    ("rram.layers", ["\"conv\"", "\"all\""]),
    ("rram.resolution_bits", ["0", "3"]),
    // With what a conductance needs beside it.
    ("rram.model", ["\"weight\"", "\"cell\"; rram.cell.g_max_us=50; rram.cell.on_off_ratio=5"]),
    ("rram.variation.kind", ["\"none\"", "\"gaussian\""]),
    ("rram.variation.sigma", ["0.1", "0.4"]),
    ("rram.variation.sigma_us", ["1.0", "6.0"]),
    ("rram.variation.levels", ["[0.1]", "[0.1, 0.5]"]),
    ("rram.variation.coefficients", ["[2.0, 0.1]", "[5.0]"]),
    ("rram.variation.table", ["[[0.0, 1.0, 2.0], [100.0, 90.0, 3.0]]", "[[0.0, 0.0, 4.0], [100.0, 100.0, 3.0]]"]),
    ("rram.variation.lot_sigma", ["0.0", "0.3"]),
    ("rram.variation.die_sigma", ["0.0", "0.3"]),
    ("rram.variation.tile_sigma", ["0.0", "0.3"]),
    ("rram.variation.neighbour_sigma", ["0.0", "0.3; rram.variation.neighbour_cells=5"]),
    ("rram.variation.neighbour_cells", ["1.0", "20.0"]),
    ("rram.variation.scale", ["1.0", "2.0"]),
    ("rram.cell.g_max_us", ["40.0", "80.0"]),
    ("rram.cell.g_min_us", ["1.0", "5.0"]),
    ("rram.cell.on_off_ratio", ["5.0", "100.0"]),
    ("rram.cell.levels_us", ["[0.0, 10.0, 50.0]", "[0.0, 20.0, 45.0, 50.0]"]),
    ("rram.cell.bits", ["0", "2"]),
    ("rram.cell.mapping", ["\"one_sided\"", "\"two_sided\""]),
    ("rram.program.tolerance_us", ["0.0", "2.0"]),
    ("rram.program.most_pulses", ["2", "5"]),
    ("rram.program.verify_share", ["1.0", "0.3; adc.calibration_images=4"]),
    ("rram.exact.rows", ["[0, 3]", "[0, 8]"]),
    ("rram.exact.columns", ["[0, 1]", "[0, 2]"]),
    ("rram.faults.stuck_off", ["0.0", "0.2"]),
    ("rram.faults.stuck_on", ["0.0", "0.2"]),
    ("rram.faults.dead_word_lines", ["0.0", "0.3"]),
    ("rram.faults.dead_bit_lines", ["0.0", "0.3"]),
    ("rram.faults.compensate", ["false", "true"]),
    ("rram.faults.spares", ["0", "2"]),
    ("rram.faults.remap", ["\"none\"", "\"columns\""]),
    ("rram.drift.time_s", ["0.0", "1e6"]),
    ("rram.drift.reference_s", ["1.0", "60.0"]),
    ("rram.drift.nu", ["0.0", "0.1"]),
    ("rram.drift.nu_sigma", ["0.0", "0.1"]),
    ("rram.drift.retention_sigma", ["0.0", "0.2"]),
    ("rram.drift.nu_per_ln", ["0.0", "-0.05"]),
    ("rram.drift.nu_range", ["[0.0, 0.01]", "[0.1, 0.2]"]),
    ("rram.drift.compensation", ["\"none\"", "\"column\""]),
    ("rram.drift.compensation_images", ["0.0", "100.0"]),
    ("rram.temperature.celsius", ["25.0", "85.0"]),
    ("rram.temperature.reference_celsius", ["25.0", "60.0"]),
    ("rram.temperature.low_per_kelvin", ["0.0", "0.004"]),
    ("rram.temperature.high_per_kelvin", ["0.0", "-0.004"]),
    ("rram.temperature.activation_ev", ["0.0", "0.6"]),
    ("rram.read.sigma", ["0.0", "0.2"]),
    ("rram.read.sigma_us", ["0.0", "4.0"]),
    ("rram.read.volt", ["0.2", "0.4"]),
    ("rram.read.pulse_ns", ["10.0", "1000.0"]),
    ("rram.access.ohm", ["0.0", "8000.0"]),
    ("rram.access.cell_iv", ["[[0.2, 1.0], [0.4, 4.0]]", "[[0.2, 1.0], [0.4, 2.5]]"]),
    ("rram.access.selector_iv", ["[[0.1, 0.1], [0.4, 20.0]]", "[[0.1, 1.0], [0.4, 8.0]]"]),
    ("rram.disturb.images", ["0.0", "1e9"]),
    ("rram.disturb.exponent", ["0.0", "0.05"]),
    ("rram.disturb.volt", ["0.2", "0.3"]),
    ("rram.disturb.time_s", ["1e-6", "1e-3"]),
    ("rram.disturb.base", ["1.0", "1.2"]),
    ("rram.disturb.transition_sigma", ["0.0", "2.0"]),
    ("rram.endurance.writes", ["0.0", "1e5"]),
    ("rram.endurance.pulses", ["1e5", "1e6"]),
    ("rram.endurance.shape", ["1.0", "3.0"]),
    ("rram.endurance.fails", ["\"off\"", "\"on\""]),
    ("tile.rows", ["16", "64"]),
    ("tile.driver_sigma", ["0.0", "0.3"]),
    ("tile.level_weights", ["[1.0, 2.0, 4.0, 8.0]", "[1.0, 2.5, 3.0, 9.0]"]),
    ("tile.cols", ["8", "64"]),
    ("tile.rows_at_once", ["0", "8"]),
    ("tile.inputs", ["\"bit_planes\"", "\"pulses\""]),
    ("tile.input_bits", ["0", "2"]),
    ("adc.bits", ["4", "6"]),
    ("adc.range", ["\"full\"", "\"calibrated\"; adc.calibration_images=4"]),
    ("adc.step", ["\"free\"", "\"power_of_two\""]),
    ("adc.calibration_images", ["1", "5"]),
    ("adc.columns_shared", ["1", "4"]),
    ("adc.gain_sigma", ["0.0", "0.3"]),
    ("adc.offset_sigma", ["0.0", "2.0"]),
    ("adc.noise_sigma", ["0.0", "1.5"]),
    ("adc.noise_by_code", ["[]", "[0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 0.5]"]),
    ("adc.limit_ua", ["4.0", "200.0"]),
    ("adc.type", ["\"ideal\"", "\"sar\""]),
    ("adc.capacitor_sigma", ["0.0", "0.4"]),
    ("adc.comparator_sigma", ["0.0", "2.0"]),
    ("adc.slope_sigma", ["0.0", "0.2"]),
    ("adc.bow", ["0.0", "2.0"]),
    ("adc.inl", ["[]", "[1.0, 1.0, 0.0, 0.0, -1.0, 2.0, 2.0]"]),
    ("adc.dnl", ["[]", "[-0.5, -0.5, -0.5, 0.5, 0.5, 0.5]"]),
    ("wires.word_ohm", ["0.0", "50.0"]),
    ("wires.bit_ohm", ["0.0", "50.0"]),
    ("wires.driver_ohm", ["0.0", "500.0"]),
    ("wires.sense_ohm", ["0.0", "500.0"]),
    ("sram.bits", ["2", "4"]),
    ("sram.shift", ["0", "-1"]),
    ("sram.scheme", ["\"integer\"", "\"uniform\""]),
    ("sram.combine", ["\"average\"", "\"sum\""]),
    ("sram.init", ["\"rram\"", "\"xavier\""]),
    ("sram.budget_bytes", ["10", "30"]),
    ("sram.budget_by", ["\"deviation\"", "\"output\""]),
    ("sram.trim_bits", ["0", "8"]),
    ("sram.rank", ["0", "2"]),
    ("sram.rank_bits", ["8", "3"]),
    ("sram.threshold", ["0.0", "0.5"]),
    ("sram.sum_bits", ["0", "3"]),
    ("sram.shifter_bits", ["0", "3"]),
    ("sram.adder_bits", ["0", "4"]),
    ("sram.round", ["\"exact\"", "\"floor\""]),
    ("neuron.membrane_bits", ["0", "12"]),
    ("neuron.fraction_bits", ["3", "6"]),
    ("neuron.leak_bits", ["2", "8"]),
    ("neuron.gain_bits", ["2", "8"]),
    ("neuron.round", ["\"nearest\"", "\"floor\""]),
    ("neuron.overflow", ["\"saturate\"", "\"wrap\""]),
    ("cost.adc_bits", ["4", "6"]),
    ("cost.node.from_nm", ["65", "90"]),
    ("cost.node.from_v", ["1.0", "1.2"]),
    ("cost.node.to_nm", ["45", "32"]),
    ("cost.node.to_v", ["0.9", "0.8"]),
    ("system.interconnect", ["\"bus\"", "\"mesh\""]),
    ("system.buffer_bytes", ["0", "1024"]),
    ("system.pipelined", ["false", "true"]),
    ("system.area_mm2", ["0.0", "1.0"]),
    ("system.tiles", ["0", "3"]),
    ("system.ensemble", ["1", "2"]),
    ("model.steps", ["1", "2"]),
    ("model.neuron.leak", ["0.5", "0.9"]),
    ("model.neuron.threshold", ["0.5", "1.5"]),
    ("model.neuron.reset", ["\"subtract\"", "0.0"]),
    ("model.neuron.reset_at", ["\"spike\"", "\"next\""]),
    ("model.neuron.fires", ["\"above\"", "\"reached\""]),
    ("model.neuron.scaled_input", ["false", "true"]),
    ("model.neuron.synaptic_leak", ["0.0", "0.7"]),
    ("model.neuron.adaptation", ["0.0", "0.5"]),
    ("model.neuron.adaptation_leak", ["0.0", "0.9"]),
    ("model.neuron.refractory", ["0", "1"]),
    ("model.neuron.given.leak", ["\"layer\"", "\"channel\""]),
    ("model.neuron.given.threshold", ["\"layer\"", "\"neuron\""]),
    ("model.neuron.given.synaptic_leak", ["\"channel\"", "\"neuron\""]),
    ("model.neuron.given.adaptation", ["\"layer\"", "\"channel\""]),
    ("model.neuron.given.adaptation_leak", ["\"layer\"", "\"channel\""]),
    ("model.neuron.learned.leak", ["\"layer\"", "\"neuron\""]),
    ("model.neuron.learned.threshold", ["\"layer\"", "\"channel\""]),
    ("model.neuron.learned.synaptic_leak", ["\"layer\"", "\"channel\""]),
    ("model.layers", ["[{conv=4}, {pool=2}, {fc=8}]", "[{conv=4}, {fc=8}]"]),
    ("model.classes", ["5", "6"]),
    ("model.norm", ["bntt", "none"]),
    ("model.readout.bias", ["false", "true"]),
    ("model.readout.kind", ["mean", "count"]),
    ("model.readout.neuron", ["{ leak = 0.5 }", "{ leak = 0.9 }"]),
];
/// Keys that say what something is and change no number, and the shape of the input, which is that of the data.
const NAMES: &[&str] = &[
    "name",
    "source",
    "cost.adc_model",
    "rram.variation.fitted_us",
    "rram.variation.file",
    "model.name",
    "model.input.channels",
    "model.input.height",
    "model.input.width",
];
/// What every other key is tried beside. `rram.variation.table` is what a `file` holds.
const BASES: &[&[&str]] = &[
    &[],
    &["rram.layers=none"],
    &["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.3"],
    &["rram.weight_bits=4", "rram.scheme=ternary", "sram.bits=3", "sram.shift=1", "sram.round=floor", "adc.bits=6"],
    &[
        "rram.layers=all",
        "rram.weight_bits=3",
        "adc.bits=5",
        "tile.rows=16",
        "tile.cols=8",
        "sram.bits=3",
        "sram.shift=-1",
        "sram.scheme=integer",
        "sram.init=xavier",
        "sram.combine=sum",
    ],
    &[
        "adc.bits=5",
        "rram.weight_bits=4",
        "tile.inputs=pulses",
        "adc.range=calibrated",
        "adc.calibration_images=4",
        "cost.adc_model=x",
        "cost.energy_pj.adc=2",
        "cost.time_ns.drive=1",
        "cost.area_um2.adc=3",
        "cost.adc_bits=6",
    ],
    &[
        "cost.energy_pj.htree=2",
        "cost.time_ns.drive=1",
        "cost.area_um2.cell=3",
        "sram.bits=2",
        "sram.init=residual",
        "rram.weight_bits=2",
        "rram.variation.kind=gaussian",
        "rram.variation.sigma=0.3",
        "sram.shift=-2",
    ],
    &["neuron.membrane_bits=10", "neuron.fraction_bits=6", "rram.weight_bits=4", "model.neuron.threshold=0.5"],
    &["rram.weight_bits=4", "adc.bits=3", "tile.rows=32"],
    &[
        "rram.weight_bits=4",
        "adc.bits=8",
        "tile.rows=32",
        "tile.inputs=levels",
        "tile.level_weights=[1.0, 2.2, 4.1, 7.5]",
    ],
    &["rram.weight_bits=4", "adc.bits=5", "adc.type=sar", "adc.capacitor_sigma=0.2", "adc.columns_shared=2"],
    &["rram.weight_bits=4", "adc.bits=4", "adc.type=flash", "adc.range=calibrated", "adc.calibration_images=4"],
    &["rram.weight_bits=4", "adc.bits=4", "adc.type=ramp", "adc.slope_sigma=0.1", "tile.rows=16"],
    &["neuron.membrane_bits=7", "neuron.fraction_bits=5", "rram.weight_bits=0"],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=4",
        "rram.variation.kind=lognormal",
        "rram.variation.sigma=0.2",
        "rram.program.tolerance_us=2",
        "cost.energy_pj.write_pulse=1",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=4",
        "rram.variation.kind=lognormal",
        "rram.variation.sigma=0.4",
        "rram.program.tolerance_us=2",
        "rram.program.verify_share=0.4",
        "adc.calibration_images=4",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.cell.on_off_ratio=10",
        "rram.weight_bits=4",
        "adc.bits=6",
        "tile.rows=32",
        "wires.word_ohm=20",
        "wires.bit_ohm=20",
        "rram.faults.stuck_on=0.1",
        "rram.drift.nu=0.05",
        "rram.drift.time_s=1000",
        "rram.temperature.celsius=55",
        "rram.temperature.low_per_kelvin=0.002",
        "rram.temperature.activation_ev=0.3",
        "sram.bits=3",
        "sram.init=residual",
        "rram.read.sigma=0.1",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=4",
        "rram.faults.stuck_on=0.1",
        "rram.faults.dead_bit_lines=0.1",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=4",
        "rram.cell.mapping=offset",
        "rram.variation.tile_sigma=0.2",
        "rram.drift.nu=0.05",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.drift.time_s=100",
        "rram.variation.kind=gaussian",
        "rram.variation.sigma_us=2",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=3",
        "rram.variation.kind=per_level",
        "rram.variation.levels=[0.2]",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.variation.kind=polynomial",
        "rram.variation.coefficients=[3.0]",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.variation.kind=table",
        "rram.variation.table=[[0.0,1.0,2.0],[100.0,90.0,3.0]]",
    ],
    &[
        "rram.weight_bits=4",
        "rram.variation.kind=lognormal",
        "rram.variation.sigma=0.4",
        "sram.bits=6",
        "sram.init=residual",
        "sram.budget_bytes=34",
        "sram.rank=1",
        "adc.calibration_images=4",
    ],
    // A life of reads and of writing, behind access devices.
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=4",
        "rram.read.volt=0.3",
        "rram.read.pulse_ns=100",
        "rram.disturb.images=1e8",
        "rram.disturb.exponent=0.02",
        "rram.disturb.volt=0.25",
        "rram.disturb.time_s=1e-4",
        "rram.disturb.base=1.3",
        "rram.endurance.writes=3e4",
        "rram.endurance.pulses=1e5",
        "rram.access.ohm=2000",
        "rram.variation.neighbour_sigma=0.2",
        "rram.variation.neighbour_cells=4",
        "adc.calibration_images=4",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=4",
        "rram.faults.stuck_on=0.1",
        "rram.faults.dead_bit_lines=0.1",
    ],
    &[
        "rram.model=cell",
        "rram.cell.g_max_us=50",
        "rram.weight_bits=4",
        "rram.cell.mapping=offset",
        "rram.read.volt=0.3",
        "rram.access.selector_iv=[[0.1, 0.5], [0.4, 10.0]]",
        "wires.word_ohm=30",
        "adc.bits=3",
        "adc.limit_ua=6",
        "tile.rows=16",
        "tile.driver_sigma=0.1",
    ],
    &["rram.weight_bits=4", "layer.conv1.rram.layers=none", "sram.bits=2"],
    &["rram.weight_bits=4", "layer.conv1.sram.bits=3", "layer.conv1.rram.scheme=dorefa", "rram.variation.scale=0"],
    &["model.steps=1", "rram.weight_bits=4"],
    &["model.neuron.leak=1"],
    &["model.steps=4", "model.neuron.adaptation=0.5"],
    &["model.steps=4", "model.neuron.reset=none", "model.neuron.leak=0"],
    // Currents of eighths meet a threshold of a quarter.
    &[
        "model.norm=none",
        "rram.weight_bits=4",
        "model.neuron.threshold=0.25",
        "model.neuron.leak=0.5",
        "rram.layers=all",
    ],
    &["model.steps=3", "model.readout.kind=last"],
    &["model.layers=[{conv=4, norm=\"batch\"}, {fc=8, norm=\"none\"}]"],
    // Constants of which the model's values are none.
    &["model.steps=4", "model.neuron.given.leak=channel", "model.neuron.learned.threshold=layer"],
    &[
        "model.layers=[{name=\"a\", conv=4}, {name=\"b\", conv=4, add=\"a\"}, {fc=8}]",
        "rram.weight_bits=4",
        "adc.bits=5",
        "cost.adc_model=x",
        "cost.adc_bits=5",
        "cost.energy_pj.adc=2",
        "cost.area_um2.adc=3",
    ],
    &[
        "rram.layers=all",
        "cost.energy_pj.fetch=2",
        "cost.energy_pj.interconnect_byte=3",
        "cost.energy_pj.buffer_byte=2",
        "cost.time_ns.drive=1",
        "cost.time_ns.interconnect_byte=1",
        "cost.area_um2.cell=1",
        "cost.area_um2.buffer_byte=1",
        "cost.power_uw.tile=1",
        "cost.power_uw.buffer_byte=1",
        "system.interconnect=bus",
        "system.buffer_bytes=512",
    ],
    &[
        "cost.energy_pj.interconnect_byte=3",
        "cost.time_ns.drive=1",
        "cost.area_um2.cell=1",
        "cost.power_uw.clock=1",
        "sram.bits=2",
        "adc.bits=5",
        "system.interconnect=mesh",
        "system.pipelined=true",
    ],
    &[
        "rram.model=cell",
        "rram.weight_bits=4",
        "rram.cell.g_max_us=50",
        "rram.drift.time_s=100",
        "rram.drift.nu=0.05",
        "rram.drift.compensation=layer",
        "rram.drift.compensation_images=10",
        "cost.energy_pj.cell_read=1",
    ],
    // Layers that take turns on tiles.
    &[
        "rram.layers=all",
        "rram.model=cell",
        "rram.weight_bits=4",
        "rram.cell.g_max_us=50",
        "cost.energy_pj.cell_read=1",
        "cost.energy_pj.offchip_byte=3",
        "cost.time_ns.drive=1",
        "cost.time_ns.offchip_byte=1",
        "cost.area_um2.cell=1",
        "system.tiles=3",
    ],
    &[
        "rram.layers=none",
        "cost.energy_pj.interconnect_byte=3",
        "cost.time_ns.drive=1",
        "cost.power_uw.control=1",
        "cost.area_um2.cell=1",
        "system.interconnect=bus",
    ],
    &[
        "cost.energy_pj.fetch=2",
        "cost.node.from_nm=65",
        "cost.node.from_v=1",
        "cost.node.to_nm=32",
        "cost.node.to_v=0.9",
    ],
];
const MODEL: &str = "name = \"m\"\nsteps = 2\nclasses = 5\ninput = { channels = 2, height = 12, width = 12 }\n\
                     layers = [{conv=4}, {pool=2}, {fc=8}]\n";

/// A chip of a setting, and what it does.
#[derive(Clone)]
struct Tried {
    /// All that is counted, priced or computed.
    result: String,
    /// What names it.
    identity: String,
    /// Why the key has no effect.
    why: Option<&'static str>,
}

struct Trial<'a> {
    data: &'a Dataset,
    encoding: Encoding,
    hybrid: bool,
}

impl Trial<'_> {
    /// None where the settings are refused.
    fn of(&self, settings: &[String], key: &str) -> Option<Tried> {
        let (mut model, mut keys) = (Document::parse_text(Path::new("m.toml"), MODEL.into()).unwrap(), vec![]);
        for setting in settings {
            match setting.strip_prefix("model.") {
                Some(setting) => model.set_model(setting).unwrap(),
                None => keys.push(setting.clone()),
            }
        }
        let (model, profile) = (Model::from_document(&model).ok()?, Profile::ideal(&keys).ok()?);
        let mut network = Network::xavier(&model, 3);
        for norm in network.layers.iter_mut().filter_map(|layer| layer.norm.as_mut()) {
            norm.gamma.iter_mut().enumerate().for_each(|(i, gamma)| *gamma = 0.6 + 0.09 * i as f32);
        }
        for bias in network.layers.iter_mut().filter_map(|layer| layer.bias.as_mut()) {
            bias.iter_mut().enumerate().for_each(|(i, bias)| *bias = 0.3 - 0.2 * i as f32);
        }
        for (constant, values) in network.layers.iter_mut().flat_map(|layer| &mut layer.constants) {
            assert!(constant.may_be(0.25));
            let value = |i: usize| 0.25 + 0.06 * (i * 7 % 11) as f32;
            values.iter_mut().enumerate().for_each(|(i, held)| *held = value(i));
        }
        if self.hybrid {
            let latent = |rram: &[f32]| rram.iter().rev().copied().collect();
            let layers = network.layers.iter_mut().zip(model.layers());
            for (layer, _) in layers.filter(|(_, plan)| place(&profile, plan) == Place::Rram) {
                layer.sram = Some(CompanionWeights { latent: latent(&layer.rram), kept: None });
            }
        }
        let inputs = InputCode::of(self.encoding, self.data.range(), profile.tile.input_bits).ok()?;
        let blueprint = Blueprint::new(&profile, &model, &network, inputs, 7).ok()?;
        let blueprint = with_ranges(blueprint, 7, || Ok(self.data)).ok()?;
        let engine = CpuEngine::default();
        let evaluation = Evaluation::on(&engine, self.data, Encoder::new(inputs, model.input, 7, 0), model.steps);
        let price = Price::of(&blueprint);
        let mut result = format!("{:?} mm² ", Architecture::of(blueprint.plan()).areas().total_mm2());
        evaluation
            .series(&blueprint, 0..2, |_, chip| {
                let programming = profile.cost.energy_pj.write_pulse.map(|pj| pj * chip.write_pulses as f64);
                let spent = price.of_result(chip, model.steps);
                // Drives of rows show in what is spent alone.
                let Counts { input, spikes, clipped, saturated, drives: _ } = &chip.counts;
                let events = (input, spikes, clipped, saturated);
                result += &format!("{:?} {events:?} {} {programming:?} {spent:?};", chip.logits, chip.sram_bytes);
                Ok(())
            })
            .ok()?;
        Some(Tried { result, identity: blueprint.identity().to_string(), why: blueprint.why(key) })
    }
}

/// Both values of every key beside every base, given to `see`.
fn pairs(trial: &Trial, prefix: &str, mut see: impl FnMut(&str, &[&str], [Tried; 2])) {
    for (key, values) in values() {
        for base in BASES {
            let with = |value: &str| {
                // A key that the base sets is set anew.
                let others = base.iter().filter(|setting| setting.split('=').next() != Some(&format!("{prefix}{key}")));
                let mut settings: Vec<String> = others.map(|setting| setting.to_string()).collect();
                settings.extend(format!("{prefix}{key}={value}").split("; ").map(String::from));
                trial.of(&settings, &format!("{prefix}{key}"))
            };
            if let (Some(a), Some(b)) = (with(&values[0]), with(&values[1])) {
                see(&key, base, [a, b]);
            }
        }
    }
}

/// The keys and two values of each; every price has the same two.
fn values() -> Vec<(String, [String; 2])> {
    let prices = effect::keys().filter(|key| key.starts_with("cost.") && !VALUES.iter().any(|(known, _)| known == key));
    let prices = prices.filter(|key| !NAMES.contains(key)).map(|key| (key, ["1.0", "2.0"]));
    let all = VALUES.iter().copied().chain(prices);
    all.map(|(key, values)| (key.to_owned(), values.map(String::from))).collect()
}

#[test]
fn each_key_changes_something_or_is_said_to_change_nothing() {
    let data = Dataset::open("images:images.npz", &golden(""), Split::Test).unwrap();
    let mut changed: BTreeMap<String, bool> = values().into_iter().map(|(key, _)| (key, false)).collect();
    for (encoding, hybrid, prefix) in [
        (Encoding::Direct, false, ""),
        (Encoding::Poisson, false, ""),
        (Encoding::Direct, true, ""),
        (Encoding::Direct, false, "layer.conv1."),
    ] {
        let trial = Trial { data: &data, encoding, hybrid };
        pairs(&trial, prefix, |key, base, [a, b]| {
            let at = format!("{prefix}{key} beside {base:?}, {encoding:?}, hybrid {hybrid}");
            let same = a.result == b.result;
            assert!(same || a.identity != b.identity, "{at}: other results of the same name");
            if let (Some(why), Some(_)) = (a.why, b.why) {
                assert!(same, "{at}: other results, though {why}");
                assert_eq!(a.identity, b.identity, "{at}: another name, though {why}");
            }
            if !same {
                changed.entry(key.to_owned()).and_modify(|changed| *changed = true);
            }
        });
    }
    let never: Vec<&String> = changed.iter().filter(|(_, changed)| !**changed).map(|(key, _)| key).collect();
    assert!(never.is_empty(), "these keys changed nothing anywhere: {never:?}");
}

#[test]
fn every_key_of_the_schemas_is_tried_or_is_a_name() {
    let mut known: Vec<String> = values().into_iter().map(|(key, _)| key).collect();
    known.extend(NAMES.iter().map(|name| name.to_string()));
    known.sort_unstable();
    let mut keys: Vec<&str> = effect::keys().collect();
    keys.sort_unstable();
    assert_eq!(known, keys);
}
