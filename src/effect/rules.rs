//! When each key of a profile or a model has no effect, and why: a rule for every key of their schemas.

use crate::network::code::InputForm;
use crate::network::constants::Constant;
use crate::network::graph::Node;
use crate::network::neuron::MembraneReset;
use crate::network::{Encoding, InputCode, Model, Neuron};
use crate::profile::{
    AdcKind, AdcRange, CellMapping, Compensation, DeviceModel, Interconnect, Profile, Rounding, Rram, Scheme, Sram,
    SramInit, TileInputs, Variation, VariationKind,
};

/// Why a key has no effect.
pub(super) struct Reason {
    pub why: &'static str,
    /// Whether it is a name, a price of what is not there, or shows in a floor plan alone: no mistake, and nothing to
    /// say of it.
    pub quiet: bool,
}

/// A section of a profile or a model with its surroundings: the profile, and for the sections `rram` and `sram` the
/// ones in force.
pub(super) struct Section<'a> {
    pub profile: &'a Profile,
    pub rram: &'a Rram,
    pub sram: &'a Sram,
    /// Whether any layer of the section, or of the model, stands on RRAM.
    pub on_rram: bool,
    pub model: Option<&'a Model>,
    pub inputs: Option<InputCode>,
    pub hybrid: bool,
}

pub(super) type Rule = fn(&Section) -> Option<Reason>;

fn said(idle: bool, why: &'static str) -> Option<Reason> {
    idle.then_some(Reason { why, quiet: false })
}

fn quiet(idle: bool, why: &'static str) -> Option<Reason> {
    idle.then_some(Reason { why, quiet: true })
}

/// The reason of a key that always has its effect, once any layer stands on RRAM.
fn on_rram(section: &Section) -> Option<Reason> {
    said(!section.on_rram, "no layer stands on RRAM that it would be for (rram.layers)")
}

/// The reason of a key of neurons that has no effect where a model has one step, and this holds.
fn one_step(section: &Section, is: impl Fn(&Model) -> bool) -> Option<Reason> {
    let idle = section.model.is_some_and(|model| model.steps == 1 && is(model));
    said(idle, "model.steps = 1: no potential is kept to a next step")
}

/// The reason of a key of neurons that every layer has of its own.
fn untaken(section: &Section, key: &str) -> Option<Reason> {
    let idle = section.model.is_some_and(|model| !model.takes_neuron(key, |_| true));
    said(idle, "every layer of model.layers has its own")
}

/// The reason of a number of which every layer has tensors. A training from random weights begins with it.
pub(crate) const HELD_BY_CHECKPOINT: &str = "a checkpoint holds it (neuron.given, neuron.learned)";

/// The reason of a constant of neurons that every layer has of its own, or a checkpoint holds.
fn constant(section: &Section, constant: Constant) -> Option<Reason> {
    let key = constant.name();
    let is_number = |neuron: &Neuron| !neuron.is_tensor(constant);
    let idle = section.model.is_some_and(|model| !model.takes_neuron(key, is_number));
    untaken(section, key).or(said(idle, HELD_BY_CHECKPOINT))
}

/// The reason of a constant's being a tensor, where no layer takes the model's word for it, or nothing is kept from
/// step to step.
fn tensor(section: &Section, constant: Constant) -> Option<Reason> {
    let scales = |neuron: &Neuron| neuron.scaled_input && constant == Constant::Leak;
    let is_kept = constant == Constant::Threshold;
    let one = one_step(section, |model| !is_kept && !model.takes_neuron(constant.name(), scales));
    let adapts = |neuron: &Neuron| neuron.adaptation > 0.0 || neuron.is_tensor(Constant::Adaptation);
    let still = section.model.is_some_and(|model| model.steps <= 2 || !model.takes_neuron(constant.name(), adapts));
    let still = said(constant == Constant::AdaptationLeak && still, "the threshold does not adapt, or not for long");
    one.or(still).or(untaken(section, constant.name()))
}

fn always(_: &Section) -> Option<Reason> {
    None
}

fn name(_: &Section) -> Option<Reason> {
    quiet(true, "it is a name")
}

/// The reason of a key of the variation's distribution.
fn variation(section: &Section) -> Option<Reason> {
    let variation = &section.rram.variation;
    component(section)
        .or(said(variation.kind == VariationKind::None, "rram.variation.kind = \"none\""))
        .or(quiet(!spreads(variation), "its σ is 0"))
}

/// Whether the distribution of each cell has a width.
fn spreads(variation: &Variation) -> bool {
    let mut alone = Variation { scale: 1.0, lot_sigma: 0.0, die_sigma: 0.0, ..variation.clone() };
    (alone.tile_sigma, alone.neighbour_sigma) = (0.0, 0.0);
    alone.varies()
}

fn component(section: &Section) -> Option<Reason> {
    on_rram(section).or(quiet(section.rram.variation.scale == 0.0, "rram.variation.scale = 0"))
}

/// The reason of a key of cells.
fn cell(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(section.rram.model == DeviceModel::Weight, "rram.model = \"weight\" has no conductances"))
}

/// The reason of a key of temperature.
fn temperature(section: &Section) -> Option<Reason> {
    let of = &section.rram.temperature;
    cell(section).or(said(
        of.celsius == of.reference_celsius,
        "rram.temperature.celsius is the reference's: cells are as they were characterised",
    ))
}

/// The reason of a temperature itself.
fn degrees(section: &Section) -> Option<Reason> {
    let of = &section.rram.temperature;
    let ages = of.activation_ev > 0.0 && section.rram.drift.any();
    let changes = of.low_per_kelvin != 0.0 || of.high_per_kelvin != 0.0;
    cell(section)
        .or(said(!ages && !changes, "nothing depends on temperature: neither conductances nor how fast they drift"))
        .or(quiet(of.celsius == of.reference_celsius, "chips run at the temperature of the reference"))
}

/// The reason of a temperature coefficient.
fn coefficient(section: &Section) -> Option<Reason> {
    let of = &section.rram.temperature;
    let none = of.low_per_kelvin == 0.0 && of.high_per_kelvin == 0.0;
    temperature(section).or(quiet(none, "conductances do not depend on temperature"))
}

fn drift(section: &Section) -> Option<Reason> {
    let drift = &section.rram.drift;
    cell(section).or(said(drift.time_s == 0.0, "rram.drift.time_s = 0")).or(quiet(!drift.any(), "nothing drifts"))
}

/// The reason of a constant of read disturb.
fn undisturbed(section: &Section) -> Option<Reason> {
    said(!section.rram.disturb.any(), "reads take nothing (rram.disturb.images, rram.disturb.exponent)")
}

/// The reason of a constant of endurance.
fn unworn(section: &Section) -> Option<Reason> {
    said(!section.rram.endurance.any(), "no cell fails (rram.endurance.writes, rram.endurance.pulses)")
}

/// Whether nothing but a cell drops voltage between its word line and its bit line.
fn curve_is_alone(section: &Section) -> bool {
    let access = &section.rram.access;
    access.ohm == 0.0 && access.selector_iv.is_empty() && !section.profile.wires.drop()
}

/// The reason of what shows in partial sums, by line or by tile alone.
fn tile(section: &Section) -> Option<Reason> {
    let Section { profile, .. } = section;
    let by_tile = |rram: &Rram| {
        let (faults, variation) = (&rram.faults, &rram.variation);
        let lines = faults.dead_word_lines > 0.0 || faults.dead_bit_lines > 0.0 || faults.move_weights();
        let shared = (variation.tile_sigma + variation.neighbour_sigma) * variation.scale;
        lines || shared != 0.0 || rram.cell.mapping == CellMapping::Offset
    };
    let drivers = profile.tile.driver_sigma > 0.0;
    let shows = drivers
        || profile.converts()
        || profile.wires.drop()
        || profile.cost.any()
        || profile.any(|rram, _| by_tile(rram));
    let why =
        "it shows in floor plans alone: converters and lines are ideal, nothing varies by tile, and nothing has a cost";
    on_rram(section).or(quiet(!shows, why))
}

/// The reason of what decides how often columns are converted.
fn conversions(section: &Section) -> Option<Reason> {
    let shows = section.profile.converts() || section.profile.cost.any();
    on_rram(section).or(said(!shows, "converters are ideal (adc.bits = 0) and nothing has a cost"))
}

fn converter(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(!section.profile.converts(), "adc.bits = 0: converters are ideal"))
}

/// The reason of an error that converters of one type have.
fn of_type(section: &Section, kind: AdcKind, why: &'static str) -> Option<Reason> {
    converter(section).or(said(section.profile.adc.kind != kind, why))
}

fn companion(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(section.sram.bits == 0, "sram.bits = 0: there is no companion array"))
}

/// The reason of what a companion array without a checkpoint of its own starts from.
fn initial(section: &Section) -> Option<Reason> {
    on_rram(section)
        .or(said(!section.profile.has_companions(), "sram.bits = 0: there is no companion array"))
        .or(said(section.hybrid, "the checkpoint is a hybrid: its own SRAM weights run"))
}

/// The reason of what stands beside a residual.
fn residual(section: &Section) -> Option<Reason> {
    companion(section).or(said(section.hybrid, "the checkpoint is a hybrid: its own SRAM weights run"))
}

/// The reason of a width of the companion's integers.
fn integers(section: &Section) -> Option<Reason> {
    companion(section).or(converter(section))
}

fn fixed_point(section: &Section) -> Option<Reason> {
    said(section.profile.neuron.membrane_bits == 0, "neuron.membrane_bits = 0: neurons and norms are floats")
}

fn price(section: &Section) -> Option<Reason> {
    quiet(!section.on_rram, "no layer stands on RRAM")
}

fn price_of_converters(section: &Section) -> Option<Reason> {
    price(section).or(quiet(!section.profile.converts(), "adc.bits = 0: ideal converters cost nothing"))
}

/// The reason of what SRAM cells cost, of companion arrays or of trims.
fn price_of_bits(section: &Section) -> Option<Reason> {
    let any = |rram: &Rram, sram: &Sram| sram.bits > 0 || sram.trim_bits > 0 || rram.faults.move_weights();
    let why = "sram.bits = 0 and sram.trim_bits = 0, and no line is moved: there is no SRAM";
    price(section).or(quiet(!section.profile.any(any), why))
}

fn price_of_companions(section: &Section) -> Option<Reason> {
    price(section).or(quiet(!section.profile.has_companions(), "sram.bits = 0: there is no companion array"))
}

fn price_of_joins(section: &Section) -> Option<Reason> {
    let joins = |model: &Model| {
        let graph = model.graph();
        graph.nodes.iter().filter_map(Node::population).any(|population| population.additions() > 0)
    };
    price(section).or(quiet(section.model.is_some_and(|model| !joins(model)), "nothing joins neurons of the model"))
}

/// The reason of what costs alone show.
fn unpriced(section: &Section) -> Option<Reason> {
    said(!section.profile.cost.any(), "nothing has a cost")
}

/// The reason of what moves weights away from what does not work.
fn moved(section: &Section) -> Option<Reason> {
    cell(section).or(said(!section.rram.faults.any(), "every cell and line works (rram.faults)"))
}

/// The reason of what takes cells for exact.
fn exact(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(!section.rram.varies(), "every cell is what it is on a chip without variation and faults"))
}

/// The reason of what waits for times of tiles.
fn untimed(section: &Section) -> Option<Reason> {
    said(!section.profile.is_timed(), "cost.time_ns has no times of tiles")
}

fn price_of_moving(section: &Section) -> Option<Reason> {
    let still = section.profile.system.interconnect == Interconnect::None;
    price(section).or(quiet(still, "system.interconnect = \"none\": nothing moves pulses"))
}

fn price_of_loading(section: &Section) -> Option<Reason> {
    price(section).or(quiet(section.profile.system.tiles == 0, "system.tiles = 0: every layer has room on the chip"))
}

fn price_of_routers(section: &Section) -> Option<Reason> {
    let meshed = section.profile.system.interconnect == Interconnect::Mesh;
    price(section).or(quiet(!meshed, "system.interconnect is no mesh"))
}

fn price_of_buffer(section: &Section) -> Option<Reason> {
    quiet(section.profile.system.buffer_bytes == 0, "system.buffer_bytes = 0: there is no global buffer")
}

fn price_of_pulses(section: &Section) -> Option<Reason> {
    let cells = section.profile.any(|rram, _| rram.model == DeviceModel::Cell);
    price(section).or(quiet(!cells, "rram.model = \"weight\" counts no pulses"))
}

/// Every key of a profile and a model, and when it has no effect. Those of the sections `rram` and `sram` also stand
/// for the layers' own.
pub(super) const RULES: &[(&str, Rule)] = &[
    ("name", name),
    ("source", name),
    ("rram.weight_bits", |section| {
        on_rram(section)
            .or(said(section.rram.scheme == Scheme::Ternary, "rram.scheme = \"ternary\" has its own levels"))
            .or(said(section.rram.scheme == Scheme::Float, "rram.scheme = \"float\" keeps weights as they are"))
    }),
    ("rram.scheme", |section| {
        let floats = section.rram.weight_bits == 0 && section.rram.scheme != Scheme::Ternary;
        on_rram(section)
            .or(quiet(floats && section.rram.scheme == Scheme::Float, "rram.weight_bits = 0 says the same"))
            .or(said(floats, "rram.weight_bits = 0 keeps weights as they are"))
    }),
    ("rram.layers", always),
    ("rram.resolution_bits", on_rram),
    ("rram.model", on_rram),
    ("rram.variation.kind", |section| {
        component(section)
            .or(said(!spreads(&section.rram.variation), "its σ is 0 (rram.variation.sigma, sigma_us or levels)"))
    }),
    ("rram.variation.sigma", variation),
    ("rram.variation.sigma_us", variation),
    ("rram.variation.levels", variation),
    ("rram.variation.coefficients", variation),
    ("rram.variation.fitted_us", |_| quiet(true, "it holds cells to the range of a fit, and changes none of them")),
    ("rram.variation.file", variation),
    ("rram.variation.table", variation),
    ("rram.variation.lot_sigma", component),
    ("rram.variation.die_sigma", component),
    ("rram.variation.tile_sigma", component),
    ("rram.variation.neighbour_sigma", component),
    ("rram.variation.neighbour_cells", |section| {
        let alone = section.rram.variation.neighbour_sigma == 0.0;
        component(section).or(said(alone, "rram.variation.neighbour_sigma = 0: neighbours share nothing"))
    }),
    ("rram.variation.scale", |section| {
        let mut scaled = section.rram.variation.clone();
        scaled.scale = 1.0;
        on_rram(section).or(said(!scaled.varies(), "there is no variation that it would scale (rram.variation)"))
    }),
    ("rram.cell.g_max_us", cell),
    ("rram.cell.g_min_us", cell),
    ("rram.cell.on_off_ratio", cell),
    ("rram.cell.levels_us", cell),
    ("rram.cell.bits", cell),
    ("rram.cell.mapping", cell),
    ("rram.program.tolerance_us", |section| {
        cell(section).or(said(!section.rram.variation.varies(), "cells land on their targets (rram.variation)"))
    }),
    ("rram.program.most_pulses", |section| {
        cell(section)
            .or(said(section.rram.program.tolerance_us == 0.0, "rram.program.tolerance_us = 0: cells are written once"))
            .or(said(!section.rram.variation.varies(), "cells land on their targets (rram.variation)"))
    }),
    ("rram.program.verify_share", |section| {
        cell(section)
            .or(said(section.rram.program.tolerance_us == 0.0, "rram.program.tolerance_us = 0: cells are written once"))
            .or(said(!section.rram.variation.varies(), "cells land on their targets (rram.variation)"))
    }),
    ("rram.exact.rows", exact),
    ("rram.exact.columns", exact),
    ("rram.faults.stuck_off", cell),
    ("rram.faults.stuck_on", cell),
    ("rram.faults.dead_word_lines", cell),
    ("rram.faults.dead_bit_lines", cell),
    ("rram.faults.compensate", |section| {
        let (faults, mapping) = (&section.rram.faults, section.rram.cell.mapping);
        cell(section)
            .or(said(faults.stuck_off == 0.0 && faults.stuck_on == 0.0, "no cell is stuck (rram.faults)"))
            .or(said(mapping == CellMapping::Offset, "rram.cell.mapping = \"offset\" has no pairs"))
    }),
    ("rram.faults.spares", moved),
    ("rram.faults.remap", moved),
    ("rram.drift.time_s", |section| {
        let mut later = section.rram.drift.clone();
        later.time_s = 1.0;
        cell(section)
            .or(quiet(!section.rram.drift.any() && section.rram.drift.time_s == 0.0, "no time has passed"))
            .or(said(!later.any(), "nothing drifts: rram.drift.nu, nu_sigma and retention_sigma are 0"))
    }),
    ("rram.drift.reference_s", |section| {
        cell(section).or(said(!section.rram.drift.any(), "nothing drifts (rram.drift)"))
    }),
    ("rram.drift.nu", drift),
    ("rram.drift.nu_sigma", drift),
    ("rram.drift.retention_sigma", drift),
    ("rram.drift.nu_per_ln", drift),
    ("rram.drift.nu_range", |section| {
        drift(section).or(quiet(section.rram.drift.nu == 0.0 && section.rram.drift.nu_per_ln == 0.0, "ν has no mean"))
    }),
    ("rram.drift.compensation", |section| {
        let is_paid = section.rram.drift.compensation_images > 0.0 && section.profile.cost.any();
        cell(section).or(said(
            !section.rram.changes() && !is_paid,
            "cells are as they were read back: no time has passed, no read has taken anything, and no temperature differs",
        ))
    }),
    ("rram.drift.compensation_images", |section| {
        let drift = &section.rram.drift;
        price(section)
            .or(cell(section))
            .or(said(drift.compensation == Compensation::None, "nothing is compensated (rram.drift.compensation)"))
            .or(said(!section.profile.cost.any(), "nothing has a cost"))
            .or(quiet(drift.compensation_images == 0.0, "compensation costs nothing"))
    }),
    ("rram.temperature.celsius", degrees),
    ("rram.temperature.reference_celsius", degrees),
    ("rram.temperature.low_per_kelvin", coefficient),
    ("rram.temperature.high_per_kelvin", coefficient),
    ("rram.temperature.activation_ev", |section| {
        temperature(section)
            .or(said(!section.rram.drift.any(), "nothing drifts (rram.drift)"))
            .or(quiet(section.rram.temperature.activation_ev == 0.0, "drift does not depend on temperature"))
    }),
    ("rram.read.sigma", cell),
    ("rram.read.sigma_us", cell),
    ("rram.read.volt", |section| {
        let (rram, profile) = (section.rram, section.profile);
        let matters =
            (rram.disturb.any() && rram.disturb.volt > 0.0) || (profile.adc.limit_ua > 0.0 && profile.converts());
        let bends = !rram.access.selector_iv.is_empty() || (rram.access.is_curved() && !curve_is_alone(section));
        // It is a figure of the chip, whether anything depends on it or not.
        cell(section).or(quiet(!matters && !bends, "nothing here depends on the voltage of a read"))
    }),
    ("rram.read.pulse_ns", |section| cell(section).or(undisturbed(section))),
    ("rram.access.ohm", |section| cell(section).or(quiet(section.rram.access.ohm == 0.0, "it is ideal"))),
    ("rram.access.cell_iv", |section| {
        let why = "lines are ideal and there is no access device: every cell has the voltage of a read, where its curve is its conductance";
        cell(section).or(said(curve_is_alone(section), why))
    }),
    ("rram.access.selector_iv", cell),
    ("rram.disturb.images", |section| {
        cell(section)
            .or(said(section.rram.disturb.exponent == 0.0, "rram.disturb.exponent = 0: reads take nothing"))
            .or(quiet(section.rram.disturb.images == 0.0, "nothing was read yet"))
    }),
    ("rram.disturb.exponent", |section| {
        cell(section)
            .or(said(section.rram.disturb.images == 0.0, "rram.disturb.images = 0: nothing was read yet"))
            .or(quiet(section.rram.disturb.exponent == 0.0, "reads take nothing"))
    }),
    ("rram.disturb.volt", |section| cell(section).or(undisturbed(section))),
    ("rram.disturb.time_s", |section| cell(section).or(undisturbed(section))),
    ("rram.disturb.base", |section| cell(section).or(undisturbed(section))),
    ("rram.disturb.transition_sigma", |section| cell(section).or(undisturbed(section))),
    ("rram.endurance.writes", |section| {
        cell(section)
            .or(said(section.rram.endurance.pulses == 0.0, "rram.endurance.pulses = 0: no cell ever fails"))
            .or(quiet(section.rram.endurance.writes == 0.0, "nothing was written before"))
    }),
    ("rram.endurance.pulses", |section| {
        cell(section)
            .or(said(section.rram.endurance.writes == 0.0, "rram.endurance.writes = 0: nothing was written before"))
            .or(quiet(section.rram.endurance.pulses == 0.0, "no cell ever fails"))
    }),
    ("rram.endurance.shape", |section| cell(section).or(unworn(section))),
    ("rram.endurance.fails", |section| cell(section).or(unworn(section))),
    ("tile.rows", tile),
    ("tile.cols", tile),
    ("tile.rows_at_once", conversions),
    ("tile.inputs", |section| {
        let counts = section.on_rram && section.profile.any(|rram, _| rram.disturb.any());
        conversions(section).filter(|_| !counts)
    }),
    ("tile.driver_sigma", cell),
    ("tile.level_weights", |section| {
        converter(section).or(said(section.profile.tile.inputs != TileInputs::Levels, "tile.inputs is not \"levels\""))
    }),
    ("tile.input_bits", |section| {
        let inputs = section.inputs?;
        said(inputs.encoding == Encoding::Poisson, "poisson inputs are spikes")
            .or(said(inputs.form == InputForm::Whole, "the data are whole numbers of no more bits"))
    }),
    ("adc.bits", on_rram),
    ("adc.range", converter),
    ("adc.step", converter),
    ("adc.calibration_images", |section| {
        let profile = section.profile;
        let counts =
            section.on_rram && profile.any(|rram, sram| rram.disturb.any() || rram.selects() || sram.wants_inputs());
        let idle =
            converter(section).or(said(profile.adc.range == AdcRange::Full, "adc.range = \"full\" profiles no images"));
        idle.filter(|_| !counts)
    }),
    ("adc.columns_shared", |section| {
        let shows = section.profile.adc.errs() || section.profile.cost.any();
        converter(section)
            .or(quiet(!shows, "it shows in floor plans alone: converters do not err and nothing has a cost"))
    }),
    ("adc.gain_sigma", converter),
    ("adc.offset_sigma", converter),
    ("adc.noise_sigma", converter),
    ("adc.noise_by_code", converter),
    ("adc.limit_ua", converter),
    ("adc.type", |section| {
        let adc = &section.profile.adc;
        let bends = adc.mismatch() > 0.0 || (adc.kind == AdcKind::Ramp && adc.bow != 0.0);
        converter(section).or(said(!bends && adc.kind != AdcKind::Ideal, "its errors are 0: it is an ideal one"))
    }),
    ("adc.capacitor_sigma", |section| of_type(section, AdcKind::Sar, "adc.type is not \"sar\"")),
    ("adc.comparator_sigma", |section| of_type(section, AdcKind::Flash, "adc.type is not \"flash\"")),
    ("adc.slope_sigma", |section| of_type(section, AdcKind::Ramp, "adc.type is not \"ramp\"")),
    ("adc.bow", |section| of_type(section, AdcKind::Ramp, "adc.type is not \"ramp\"")),
    ("adc.inl", converter),
    ("adc.dnl", converter),
    ("wires.word_ohm", on_rram),
    ("wires.bit_ohm", on_rram),
    ("wires.driver_ohm", on_rram),
    ("wires.sense_ohm", on_rram),
    ("sram.bits", on_rram),
    ("sram.shift", companion),
    ("sram.scheme", companion),
    ("sram.combine", companion),
    ("sram.init", initial),
    ("sram.budget_bytes", initial),
    ("sram.budget_by", |section| {
        let unlimited = section.profile.sram.budget_bytes.is_none();
        initial(section).or(said(unlimited, "sram.budget_bytes is not set: there is no limit"))
    }),
    ("sram.trim_bits", on_rram),
    ("sram.rank", residual),
    ("sram.rank_bits", |section| {
        residual(section).or(said(section.sram.rank == 0, "sram.rank = 0: there is no branch"))
    }),
    ("sram.threshold", companion),
    ("sram.sum_bits", integers),
    ("sram.shifter_bits", integers),
    ("sram.adder_bits", integers),
    ("sram.round", |section| {
        let chosen = section.sram.init == SramInit::Residual && section.sram.shift.is_none() && !section.hybrid;
        let to_the_left = !chosen && section.sram.shift.unwrap_or(0) >= 0 && section.sram.round != Rounding::Exact;
        integers(section).or(said(to_the_left, "sram.shift moves nothing to the right"))
    }),
    ("neuron.membrane_bits", always),
    ("neuron.fraction_bits", fixed_point),
    ("neuron.leak_bits", fixed_point),
    ("neuron.gain_bits", fixed_point),
    ("neuron.round", fixed_point),
    ("neuron.overflow", fixed_point),
    ("cost.adc_model", name),
    ("cost.adc_bits", price_of_converters),
    ("cost.energy_pj.cell_read", price),
    ("cost.energy_pj.word_line", price),
    ("cost.energy_pj.adc", price_of_converters),
    ("cost.energy_pj.mux", price_of_converters),
    ("cost.energy_pj.code", price_of_converters),
    ("cost.energy_pj.htree", price),
    ("cost.energy_pj.tile_buffer", price),
    ("cost.energy_pj.temporary_buffer", price),
    ("cost.energy_pj.fetch", price),
    ("cost.energy_pj.neuron", price),
    ("cost.energy_pj.join", price_of_joins),
    ("cost.energy_pj.sram_read_bit", price_of_companions),
    ("cost.energy_pj.sram_add", price_of_companions),
    ("cost.energy_pj.write_pulse", price_of_pulses),
    ("cost.energy_pj.interconnect_byte", price_of_moving),
    ("cost.energy_pj.buffer_byte", price_of_moving),
    ("cost.area_um2.cell", price),
    ("cost.area_um2.adc", price_of_converters),
    ("cost.area_um2.mux", price_of_converters),
    ("cost.area_um2.code", price_of_converters),
    ("cost.area_um2.htree", price),
    ("cost.area_um2.tile_buffer", price),
    ("cost.area_um2.temporary_buffer", price),
    ("cost.area_um2.neuron", price),
    ("cost.area_um2.join", |section| price_of_joins(section).or(price_of_converters(section))),
    ("cost.area_um2.sram_bit", price_of_bits),
    ("cost.energy_pj.offchip_byte", price_of_loading),
    ("cost.area_um2.router", price_of_routers),
    ("cost.area_um2.buffer_byte", price_of_buffer),
    ("cost.area_um2.control", always),
    ("cost.time_ns.drive", price),
    ("cost.time_ns.conversion", price_of_converters),
    ("cost.time_ns.interconnect_byte", |section| price_of_moving(section).or(untimed(section))),
    ("cost.time_ns.offchip_byte", |section| price_of_loading(section).or(untimed(section))),
    ("cost.node.from_nm", unpriced),
    ("cost.node.from_v", unpriced),
    ("cost.node.to_nm", unpriced),
    ("cost.node.to_v", unpriced),
    ("cost.power_uw.cell", price),
    ("cost.power_uw.adc", price_of_converters),
    ("cost.power_uw.tile", price),
    ("cost.power_uw.neuron", price),
    ("cost.power_uw.sram_bit", price_of_bits),
    ("cost.power_uw.buffer_byte", |section| price(section).or(price_of_buffer(section))),
    ("cost.power_uw.clock", price),
    ("cost.power_uw.control", price),
    ("system.interconnect", |section| price(section).or(unpriced(section))),
    ("system.buffer_bytes", unpriced),
    ("system.pipelined", |section| price(section).or(untimed(section))),
    ("system.ensemble", |_| None),
    ("system.tiles", |section| price(section).or(unpriced(section))),
    ("system.area_mm2", |section| price(section).or(untimed(section))),
    ("model.name", name),
    ("model.steps", always),
    ("model.classes", always),
    ("model.input.channels", always),
    ("model.input.height", always),
    ("model.input.width", always),
    ("model.neuron.leak", |section| {
        let scales = |neuron: &Neuron| neuron.scaled_input;
        one_step(section, |model| !model.takes_neuron("leak", scales)).or(constant(section, Constant::Leak))
    }),
    ("model.neuron.threshold", |section| constant(section, Constant::Threshold)),
    ("model.neuron.reset", |section| one_step(section, |_| true).or(untaken(section, "reset"))),
    ("model.neuron.reset_at", |section| {
        let idle = section
            .model
            .is_some_and(|model| !model.takes_neuron("reset_at", |neuron| neuron.reset != MembraneReset::None));
        one_step(section, |_| true).or(untaken(section, "reset_at")).or(said(idle, "model.neuron.reset = \"none\""))
    }),
    ("model.neuron.fires", |section| untaken(section, "fires")),
    ("model.neuron.scaled_input", |section| {
        let matters = |neuron: &Neuron| neuron.leak != 0.0 || neuron.is_tensor(Constant::Leak);
        let idle = section.model.is_some_and(|model| !model.takes_neuron("scaled_input", matters));
        untaken(section, "scaled_input").or(said(idle, "model.neuron.leak = 0 scales by 1"))
    }),
    ("model.neuron.synaptic_leak", |section| one_step(section, |_| true).or(constant(section, Constant::SynapticLeak))),
    ("model.neuron.adaptation", |section| one_step(section, |_| true).or(constant(section, Constant::Adaptation))),
    ("model.neuron.adaptation_leak", |section| {
        let matters = |neuron: &Neuron| neuron.adaptation > 0.0 || neuron.is_tensor(Constant::Adaptation);
        let idle =
            section.model.is_some_and(|model| model.steps == 2 || !model.takes_neuron("adaptation_leak", matters));
        one_step(section, |_| true).or(constant(section, Constant::AdaptationLeak)).or(said(
            idle,
            "model.neuron.adaptation = 0, or no more than two steps: nothing is kept of spikes for long",
        ))
    }),
    ("model.neuron.refractory", |section| one_step(section, |_| true).or(untaken(section, "refractory"))),
    ("model.neuron.given.leak", |section| tensor(section, Constant::Leak)),
    ("model.neuron.given.threshold", |section| tensor(section, Constant::Threshold)),
    ("model.neuron.given.synaptic_leak", |section| tensor(section, Constant::SynapticLeak)),
    ("model.neuron.given.adaptation", |section| tensor(section, Constant::Adaptation)),
    ("model.neuron.given.adaptation_leak", |section| tensor(section, Constant::AdaptationLeak)),
    ("model.neuron.learned.leak", |section| tensor(section, Constant::Leak)),
    ("model.neuron.learned.threshold", |section| tensor(section, Constant::Threshold)),
    ("model.neuron.learned.synaptic_leak", |section| tensor(section, Constant::SynapticLeak)),
    ("model.layers", always),
    ("model.norm", |section| {
        said(
            section.model.is_some_and(|model| !model.takes_norm()),
            "every layer of model.layers has a norm of its own",
        )
    }),
    ("model.readout.bias", always),
    ("model.readout.kind", always),
    ("model.readout.neuron", always),
];
