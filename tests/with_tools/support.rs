//! The support matrix, `docs/support.md`: what each effect does by mapping, by kind of layer and by engine, found by
//! trying. A run with CROSSPIKE_WRITE_SUPPORT=1 writes the page; any other holds it to what is found.

use std::cell::RefCell;
use std::path::Path;

use crate::common::golden;
use crosspike::attack::{Attack, Method};
use crosspike::chip::Blueprint;
use crosspike::config::Document;
use crosspike::data::{Dataset, Split};
use crosspike::engine::Engine;
use crosspike::engine::calibrate::with_ranges;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::engine::gpu::{GpuEngine, explicit_choice};
use crosspike::engine::price::Price;
use crosspike::error::Result;
use crosspike::monitor::Silent;
use crosspike::network::{Encoder, Encoding, Model, Network};
use crosspike::profile::Profile;
use crosspike::train::Trainer;
use crosspike::train::config::Hyperparameters;

/// The tests.
pub const TESTS: &[crate::Test] = &crate::tests![the_support_matrix_is_what_is_found];

/// An effect: what it is called, its keys, and what they need beside them. What costs changes no answer, and is looked
/// for in prices.
struct Effect {
    name: &'static str,
    keys: &'static [&'static str],
    beside: &'static [&'static str],
}

const fn effect(name: &'static str, keys: &'static [&'static str]) -> Effect {
    Effect { name, keys, beside: &[] }
}

const fn beside(beside: &'static [&'static str], name: &'static str, keys: &'static [&'static str]) -> Effect {
    Effect { name, keys, beside }
}

const CONVERTED: &[&str] = &["adc.bits=5", "tile.rows=16"];
const COMPANION: &[&str] = &["adc.bits=5", "tile.rows=16", "sram.bits=3", "sram.init=xavier"];
const VARIED: &[&str] = &["rram.variation.kind=lognormal", "rram.variation.sigma=0.4"];
const PRICED: &[&str] = &["cost.energy_pj.fetch=1", "cost.time_ns.drive=1", "cost.area_um2.cell=1"];

const EFFECTS: [Effect; 55] = [
    effect("programming variation (`rram.variation`)", VARIED),
    effect("the same by lot, die and tile (`lot_sigma`, `die_sigma`, `tile_sigma`)", &["rram.variation.tile_sigma=1"]),
    effect("variation in microsiemens (`sigma_us`)", &["rram.variation.kind=gaussian", "rram.variation.sigma_us=6"]),
    effect("neighbours (`neighbour_sigma`)", &["rram.variation.neighbour_sigma=1", "rram.variation.neighbour_cells=5"]),
    effect(
        "listed levels (`rram.cell.levels_us`)",
        &[
            "rram.cell.g_max_us=",
            "rram.cell.g_min_us=",
            "rram.cell.levels_us=[2.0, 3.0, 4.0, 6.0, 30.0, 40.0, 45.0, 50.0]",
        ],
    ),
    effect("stuck cells (`rram.faults.stuck_on`)", &["rram.faults.stuck_on=0.2"]),
    beside(
        &["rram.faults.stuck_on=0.2"],
        "pairs that make up for stuck cells (`rram.faults.compensate`)",
        &["rram.faults.compensate=true"],
    ),
    beside(
        &["rram.faults.stuck_on=0.2", "rram.faults.dead_bit_lines=0.2"],
        "spare columns of tiles (`rram.faults.spares`)",
        &["rram.faults.spares=2"],
    ),
    beside(
        &["rram.faults.stuck_on=0.2"],
        "rows and columns moved away from faults (`rram.faults.remap`)",
        &["rram.faults.remap=both"],
    ),
    effect("dead word lines (`rram.faults.dead_word_lines`)", &["rram.faults.dead_word_lines=0.3"]),
    effect("dead bit lines (`rram.faults.dead_bit_lines`)", &["rram.faults.dead_bit_lines=0.3"]),
    beside(VARIED, "write-verify (`rram.program`)", &["rram.program.tolerance_us=1"]),
    beside(
        &["rram.variation.kind=lognormal", "rram.variation.sigma=0.4", "rram.program.tolerance_us=1"],
        "cells that are verified where it counts (`rram.program.verify_share`)",
        &["rram.program.verify_share=0.4", "adc.calibration_images=2"],
    ),
    beside(VARIED, "cells taken for exact, to ask what they cost (`rram.exact`)", &["rram.exact.columns=[0, 2]"]),
    effect("drift (`rram.drift`)", &["rram.drift.nu=0.05", "rram.drift.nu_sigma=0.05", "rram.drift.time_s=1e6"]),
    beside(
        &["rram.drift.nu=0.05", "rram.drift.time_s=1e6"],
        "compensation of drift (`rram.drift.compensation`)",
        &["rram.drift.compensation=column"],
    ),
    effect(
        "temperature (`rram.temperature`)",
        &["rram.temperature.celsius=85", "rram.temperature.low_per_kelvin=0.04"],
    ),
    effect(
        "read disturb (`rram.disturb`)",
        &[
            "rram.read.pulse_ns=100",
            "rram.disturb.images=1e9",
            "rram.disturb.exponent=0.1",
            "rram.disturb.time_s=1e-3",
            "adc.calibration_images=2",
        ],
    ),
    effect("worn cells (`rram.endurance`)", &["rram.endurance.writes=1e5", "rram.endurance.pulses=2e5"]),
    effect("access transistors (`rram.access.ohm`)", &["rram.access.ohm=40000"]),
    beside(
        &["rram.read.volt=0.2"],
        "selectors (`rram.access.selector_iv`)",
        &["rram.access.selector_iv=[[0.1, 0.1], [0.2, 5.0]]"],
    ),
    beside(
        &["rram.read.volt=0.2", "wires.word_ohm=300"],
        "curves of cells between lines (`rram.access.cell_iv`)",
        &["rram.access.cell_iv=[[0.1, 0.1], [0.2, 1.0]]"],
    ),
    effect("reads that vary (`rram.read.sigma`)", &["rram.read.sigma=0.3"]),
    effect("lines (`wires.word_ohm`, `wires.bit_ohm`)", &["wires.word_ohm=300", "wires.bit_ohm=300"]),
    effect(
        "drivers and sense nodes (`wires.driver_ohm`, `wires.sense_ohm`)",
        &["wires.driver_ohm=2000", "wires.sense_ohm=2000"],
    ),
    effect("drivers that differ (`tile.driver_sigma`)", &["tile.driver_sigma=0.5"]),
    effect("converters (`adc.bits`)", &["adc.bits=3", "tile.rows=16"]),
    beside(CONVERTED, "calibrated ranges (`adc.range`)", &["adc.range=calibrated", "adc.calibration_images=2"]),
    beside(
        CONVERTED,
        "gain and offset errors (`adc.gain_sigma`, `adc.offset_sigma`)",
        &["adc.gain_sigma=0.3", "adc.offset_sigma=2"],
    ),
    beside(CONVERTED, "noise of conversions (`adc.noise_sigma`)", &["adc.noise_sigma=2"]),
    beside(
        CONVERTED,
        "noise by code (`adc.noise_by_code`)",
        &["adc.bits=3", "adc.noise_by_code=[1, 2, 3, 3, 3, 3, 2, 1]"],
    ),
    beside(
        &["adc.bits=5", "tile.rows=16", "rram.read.volt=0.2"],
        "a limit of currents (`adc.limit_ua`)",
        &["adc.limit_ua=3"],
    ),
    beside(CONVERTED, "successive approximation (`adc.type = \"sar\"`)", &["adc.type=sar", "adc.capacitor_sigma=0.6"]),
    beside(CONVERTED, "flash (`adc.type = \"flash\"`)", &["adc.type=flash", "adc.comparator_sigma=2"]),
    beside(CONVERTED, "ramp (`adc.type = \"ramp\"`)", &["adc.type=ramp", "adc.slope_sigma=0.5"]),
    beside(CONVERTED, "rows in turns (`tile.rows_at_once`)", &["tile.rows_at_once=2"]),
    beside(CONVERTED, "pulses in place of bit planes (`tile.inputs`)", &["tile.inputs=pulses"]),
    effect("inputs through a converter (`tile.input_bits`)", &["tile.input_bits=1"]),
    beside(VARIED, "residual array (`sram.init = \"residual\"`)", &["sram.bits=3", "sram.init=residual"]),
    effect("companion array of its own weights (`sram.init`)", &["sram.bits=3", "sram.init=xavier"]),
    beside(&["sram.bits=3", "sram.init=xavier"], "shift (`sram.shift`)", &["sram.shift=-1"]),
    beside(&["sram.bits=3", "sram.init=xavier"], "pruned array (`sram.threshold`)", &["sram.threshold=0.5"]),
    beside(
        &["sram.bits=3", "sram.init=residual", "rram.variation.kind=lognormal", "rram.variation.sigma=0.4"],
        "residual within a budget (`sram.budget_bytes`)",
        &["sram.budget_bytes=12"],
    ),
    beside(
        &[
            "sram.bits=3",
            "sram.init=residual",
            "sram.budget_bytes=12",
            "rram.variation.kind=lognormal",
            "rram.variation.sigma=0.4",
        ],
        "budget spent by what it wins (`sram.budget_by`)",
        &["sram.budget_by=output", "adc.calibration_images=2"],
    ),
    beside(
        &["sram.bits=3", "sram.init=residual", "rram.variation.kind=lognormal", "rram.variation.sigma=0.4"],
        "branch of low rank (`sram.rank`)",
        &["sram.rank=1", "adc.calibration_images=2"],
    ),
    beside(VARIED, "trimmed columns (`sram.trim_bits`)", &["sram.trim_bits=8", "adc.calibration_images=2"]),
    beside(COMPANION, "adder of few bits (`sram.adder_bits`)", &["sram.adder_bits=2"]),
    effect("neurons in fixed point (`neuron.membrane_bits`)", &["neuron.membrane_bits=7", "neuron.fraction_bits=3"]),
    beside(PRICED, "energy of reads (`cost.energy_pj.cell_read`)", &["cost.energy_pj.cell_read=1"]),
    beside(PRICED, "standing power (`cost.power_uw`)", &["cost.power_uw.tile=1"]),
    beside(
        &[
            "cost.energy_pj.cell_read=1",
            "rram.drift.nu=0.05",
            "rram.drift.time_s=1e6",
            "rram.drift.compensation=column",
        ],
        "cost of compensation (`rram.drift.compensation_images`)",
        &["rram.drift.compensation_images=10"],
    ),
    beside(VARIED, "chips that answer together (`system.ensemble`)", &["system.ensemble=2"]),
    beside(
        PRICED,
        "weights from outside (`system.tiles`)",
        &["system.tiles=4", "tile.rows=64", "cost.energy_pj.offchip_byte=1"],
    ),
    beside(
        PRICED,
        "bus and mesh (`system.interconnect`)",
        &["system.interconnect=mesh", "cost.energy_pj.interconnect_byte=1"],
    ),
    beside(
        PRICED,
        "pipeline and copies (`system.pipelined`, `system.area_mm2`)",
        &["system.pipelined=true", "system.area_mm2=1"],
    ),
];

const PAIRS: &[&str] = &["rram.model=cell", "rram.cell.g_min_us=2", "rram.cell.g_max_us=50"];
const MAPPINGS: [(&str, &[&str]); 5] = [
    ("weights", &[]),
    ("pairs, one-sided", &["rram.cell.mapping=one_sided"]),
    ("pairs, two-sided", &["rram.cell.mapping=two_sided"]),
    ("raised, unit column", &["rram.cell.mapping=offset"]),
    ("slices of one bit", &["rram.cell.bits=1"]),
];
/// A kind of layer: the model's layers, and the one of them that stands on RRAM.
const LAYERS: [(&str, &str, &str); 5] = [
    ("convolution", "[{name=\"l\", conv=4}, {fc=8}]", "l"),
    ("groups", "[{name=\"l\", conv={channels=4, groups=2}}, {fc=8}]", "l"),
    ("fully connected", "[{conv=4}, {name=\"l\", fc=8}]", "l"),
    ("recurrent", "[{conv=4}, {name=\"l\", fc=8, recurrent=true}]", "l_rec"),
    ("readout", "[{conv=4}, {fc=8}]", "fc2"),
];
/// The model of mappings and engines.
const PLAIN: &str = "[{conv=4}, {pool=2}, {fc=8}]";

/// What is tried: hardware, and a model's layers.
struct Trial<'a> {
    keys: Vec<&'a str>,
    layers: &'a str,
}

/// What runs it.
#[derive(Clone, Copy)]
enum Runner<'a> {
    Engine(&'a dyn Engine),
    Trainer,
    Attack,
}

impl Trial<'_> {
    fn model(&self) -> Model {
        let text = format!(
            "name = \"m\"\nsteps = 3\nclasses = 5\nnorm = \"none\"\ninput = {{ channels = 2, height = 12, width = 12 \
             }}\n\
             neuron = {{ threshold = 0.4 }}\nlayers = {}",
            self.layers
        );
        Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap()
    }

    /// All that comes of it, in words that differ where anything does.
    fn run(&self, runner: Runner) -> Result<String> {
        let model = self.model();
        let keys: Vec<String> = self.keys.iter().map(|key| key.to_string()).collect();
        let (profile, network) = (Profile::ideal(&keys)?, Network::xavier(&model, 3));
        let data = Dataset::open("images:images.npz", &golden(""), Split::Test)?.limit(4);
        let inputs = crosspike::network::InputCode::of(Encoding::Direct, data.range(), profile.tile.input_bits)?;
        if let Runner::Trainer = runner {
            let hyperparameters =
                Hyperparameters { epochs: 1, batch: 2, variation: true, ..Hyperparameters::default() };
            let origin = serde_json::json!({});
            let trainer = Trainer {
                model: &model,
                profile: &profile,
                data: &data,
                hyperparameters: &hyperparameters,
                prune: None,
                inputs,
                origin,
            };
            return Ok(trainer.run(network, None, &Silent)?.hash());
        }
        let blueprint = Blueprint::new(&profile, &model, &network, inputs, 7)?;
        let blueprint = with_ranges(blueprint, 7, || Ok(&data))?;
        let mut found = String::new();
        if let Runner::Engine(engine) = runner {
            let (encoder, price) = (Encoder::new(inputs, model.input, 7, 0), Price::of(&blueprint));
            Evaluation::on(engine, &data, encoder, model.steps).series(&blueprint, 0..2, |_, chip| {
                let spent = price.of_result(chip, model.steps);
                found += &format!("{:?} {:?} {} {spent:?};", chip.logits, chip.counts, chip.sram_bytes);
                Ok(())
            })?;
            return Ok(found);
        }
        let attack = Attack::new(Method::Fgsm, vec![0.3], 7, &data)?;
        let cpu = CpuEngine::default();
        attack.series(&cpu, &data, &blueprint, (0..2, 4), &Silent, |_, judged| {
            found += &format!("{:?};", judged[0].counts);
            Ok(())
        })?;
        Ok(found)
    }
}

/// The notes under the table, each once.
#[derive(Default)]
struct Notes(RefCell<Vec<String>>);

impl Notes {
    /// The mark of a note.
    fn mark(&self, note: String) -> String {
        let mut notes = self.0.borrow_mut();
        let number = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
            notes.push(note);
            notes.len() - 1
        });
        format!("[{}](#notes)", number + 1)
    }
}

/// The cell of an effect: whether it changes what comes, or who refuses it.
fn cell(notes: &Notes, effect: &Effect, base: &[&str], layers: &str, runner: Runner) -> String {
    let with = |keys: &[&'static str]| Trial { keys: [base, effect.beside, keys].concat(), layers }.run(runner);
    match (with(&[]), with(effect.keys)) {
        (Ok(without), Ok(with)) if without == with => "same".into(),
        (Ok(_), Ok(_)) => "yes".into(),
        (Err(error), _) | (_, Err(error)) => {
            let words = error.to_string();
            // Without the place of the key that was set by hand.
            let words = words
                .strip_prefix("--set ")
                .map_or(words.as_str(), |rest| rest.split_once(": ").map_or(rest, |(_, words)| words));
            notes.mark(words.replace('|', "\\|"))
        }
    }
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| effect | {} |\n|---|{}\n", head.join(" | "), "---|".repeat(head.len()));
    rows.for_each(|row| text += &format!("| {} |\n", row.join(" | ")));
    text
}

/// The page.
fn page() -> String {
    let (cpu, gpu, notes) =
        (CpuEngine::default(), GpuEngine::new(&explicit_choice().unwrap()).unwrap(), Notes::default());
    let common = ["rram.layers=all", "rram.weight_bits=4"];
    let by_mapping = EFFECTS.iter().map(|effect| {
        let cells = MAPPINGS.iter().enumerate().map(|(i, (_, keys))| {
            let base = [&common[..], if i > 0 { PAIRS } else { &[] }, keys].concat();
            cell(&notes, effect, &base, PLAIN, Runner::Engine(&cpu))
        });
        std::iter::once(effect.name.to_owned()).chain(cells).collect()
    });
    let by_mapping = table(&MAPPINGS.map(|(name, _)| name), by_mapping);
    let by_layer = EFFECTS.iter().map(|effect| {
        let cells = LAYERS.iter().map(|(_, layers, name)| {
            let own = format!("layer.{name}.rram.layers=all");
            let base = [&["rram.layers=none", "rram.weight_bits=4"], PAIRS, &[own.as_str()]].concat();
            cell(&notes, effect, &base, layers, Runner::Engine(&cpu))
        });
        std::iter::once(effect.name.to_owned()).chain(cells).collect()
    });
    let by_layer = table(&LAYERS.map(|(name, ..)| name), by_layer);
    let base = [&common[..], PAIRS].concat();
    let by_engine = EFFECTS.iter().map(|effect| {
        let of = |runner| cell(&notes, effect, &base, PLAIN, runner);
        let on_gpu = of(Runner::Engine(&gpu));
        let trial = |engine| {
            Trial { keys: [&base, effect.beside, effect.keys].concat(), layers: PLAIN }.run(Runner::Engine(engine))
        };
        if let (Ok(on_cpu), Ok(on_gpu)) = (trial(&cpu), trial(&gpu)) {
            assert_eq!(on_cpu, on_gpu, "{}", effect.name);
        }
        vec![effect.name.to_owned(), of(Runner::Engine(&cpu)), on_gpu, of(Runner::Trainer), of(Runner::Attack)]
    });
    let by_engine = table(&["CPU", "GPU", "trainer", "attack"], by_engine);
    let notes =
        notes.0.take().into_iter().enumerate().map(|(i, note)| format!("{}. {note}\n", i + 1)).collect::<String>();
    format!(
        "# What works with what\n\n\
         Every cell of these tables was found by trying (`tests/with_tools/support.rs`; CROSSPIKE_WRITE_SUPPORT=1 \
         writes this page, and a test holds it to \
         what is found). **yes**: the effect changes what comes; **same**: it changes nothing there; a number: it is \
         refused, in the words of \
         that [note](#notes). What an effect is, and where it ends, is in [hardware.md](hardware.md).\n\n\
         ## By mapping\n\nA small network with all layers on RRAM, on the CPU: two chips, their logits, counts and \
         prices.\n\n{by_mapping}\n\
         ## By kind of layer\n\nOne layer of that kind on RRAM, in one-sided pairs of cells; all others in digital \
         logic.\n\n{by_layer}\n\
         ## By engine\n\nAll layers in one-sided pairs. Where both engines run, the GPU's logits, counts and prices \
         are the CPU's, to the bit. The trainer \
         takes two steps of variation-aware training of the RRAM, which knows no companion array (`train.stage = \
         \"sram\"` does); the attack is one step of the gradient's sign, and what its images do. Prices show in \
         neither.\n\n{by_engine}\n\
         `crosspike tile` takes conductances as they are, so it knows lines and cells' curves alone; `crosspike chip` \
         writes those of a \
         programmed chip.\n\n\
         ## Notes\n\n{notes}"
    )
}

fn the_support_matrix_is_what_is_found() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/support.md");
    let found = page();
    if std::env::var("CROSSPIKE_WRITE_SUPPORT").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &found).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == found, "docs/support.md is not what is found; CROSSPIKE_WRITE_SUPPORT=1 writes it");
}
