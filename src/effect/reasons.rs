//! The reasons that several keys have in common to be without effect.

use crate::network::constants::Constant;
use crate::network::graph::Node;
use crate::network::{InputCode, Model, Neuron};
use crate::profile::{AdcKind, CellMapping, DeviceModel, Interconnect, Profile, Rram, Sram, Variation, VariationKind};

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

pub(super) fn said(idle: bool, why: &'static str) -> Option<Reason> {
    idle.then_some(Reason { why, quiet: false })
}

pub(super) fn quiet(idle: bool, why: &'static str) -> Option<Reason> {
    idle.then_some(Reason { why, quiet: true })
}

/// The reason of a key that always has its effect, once any layer stands on RRAM.
pub(super) fn on_rram(section: &Section) -> Option<Reason> {
    said(!section.on_rram, "no layer stands on RRAM that it would be for (rram.layers)")
}

/// The reason of a key of neurons that has no effect where a model has one step, and this holds.
pub(super) fn one_step(section: &Section, is: impl Fn(&Model) -> bool) -> Option<Reason> {
    let idle = section.model.is_some_and(|model| model.steps == 1 && is(model));
    said(idle, "model.steps = 1: no potential is kept to a next step")
}

/// The reason of a key of neurons that every layer has of its own.
pub(super) fn untaken(section: &Section, key: &str) -> Option<Reason> {
    let idle = section.model.is_some_and(|model| !model.takes_neuron(key, |_| true));
    said(idle, "every layer of model.layers has its own")
}

/// The reason of a number of which every layer has tensors. A training from random weights begins with it.
pub(crate) const HELD_BY_CHECKPOINT: &str = "a checkpoint holds it (neuron.given, neuron.learned)";

/// The reason of a constant of neurons that every layer has of its own, or a checkpoint holds.
pub(super) fn constant(section: &Section, constant: Constant) -> Option<Reason> {
    let key = constant.name();
    let is_number = |neuron: &Neuron| !neuron.is_tensor(constant);
    let idle = section.model.is_some_and(|model| !model.takes_neuron(key, is_number));
    untaken(section, key).or(said(idle, HELD_BY_CHECKPOINT))
}

/// The reason of a constant's being a tensor, where no layer takes the model's word for it, or nothing is kept from
/// step to step.
pub(super) fn tensor(section: &Section, constant: Constant) -> Option<Reason> {
    let scales = |neuron: &Neuron| neuron.scaled_input && constant == Constant::Leak;
    let is_kept = constant == Constant::Threshold;
    let one = one_step(section, |model| !is_kept && !model.takes_neuron(constant.name(), scales));
    let adapts = |neuron: &Neuron| neuron.adaptation > 0.0 || neuron.is_tensor(Constant::Adaptation);
    let still = section.model.is_some_and(|model| model.steps <= 2 || !model.takes_neuron(constant.name(), adapts));
    let still = said(constant == Constant::AdaptationLeak && still, "the threshold does not adapt, or not for long");
    one.or(still).or(untaken(section, constant.name()))
}

pub(super) fn always(_: &Section) -> Option<Reason> {
    None
}

pub(super) fn name(_: &Section) -> Option<Reason> {
    quiet(true, "it is a name")
}

/// The reason of a key of the variation's distribution.
pub(super) fn variation(section: &Section) -> Option<Reason> {
    let variation = &section.rram.variation;
    component(section)
        .or(said(variation.kind == VariationKind::None, "rram.variation.kind = \"none\""))
        .or(quiet(!spreads(variation), "its σ is 0"))
}

/// Whether the distribution of each cell has a width.
pub(super) fn spreads(variation: &Variation) -> bool {
    let mut alone = Variation { scale: 1.0, lot_sigma: 0.0, die_sigma: 0.0, ..variation.clone() };
    (alone.tile_sigma, alone.neighbour_sigma) = (0.0, 0.0);
    alone.varies()
}

pub(super) fn component(section: &Section) -> Option<Reason> {
    on_rram(section).or(quiet(section.rram.variation.scale == 0.0, "rram.variation.scale = 0"))
}

/// The reason of a key of cells.
pub(super) fn cell(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(section.rram.model == DeviceModel::Weight, "rram.model = \"weight\" has no conductances"))
}

/// The reason of a key of temperature.
pub(super) fn temperature(section: &Section) -> Option<Reason> {
    let of = &section.rram.temperature;
    cell(section).or(said(
        of.celsius == of.reference_celsius,
        "rram.temperature.celsius is the reference's: cells are as they were characterised",
    ))
}

/// The reason of a temperature itself.
pub(super) fn degrees(section: &Section) -> Option<Reason> {
    let of = &section.rram.temperature;
    let ages = of.activation_ev > 0.0 && section.rram.drift.any();
    let changes = of.low_per_kelvin != 0.0 || of.high_per_kelvin != 0.0;
    cell(section)
        .or(said(!ages && !changes, "nothing depends on temperature: neither conductances nor how fast they drift"))
        .or(quiet(of.celsius == of.reference_celsius, "chips run at the temperature of the reference"))
}

/// The reason of a temperature coefficient.
pub(super) fn coefficient(section: &Section) -> Option<Reason> {
    let of = &section.rram.temperature;
    let none = of.low_per_kelvin == 0.0 && of.high_per_kelvin == 0.0;
    temperature(section).or(quiet(none, "conductances do not depend on temperature"))
}

pub(super) fn drift(section: &Section) -> Option<Reason> {
    let drift = &section.rram.drift;
    cell(section).or(said(drift.time_s == 0.0, "rram.drift.time_s = 0")).or(quiet(!drift.any(), "nothing drifts"))
}

/// The reason of a constant of read disturb.
pub(super) fn undisturbed(section: &Section) -> Option<Reason> {
    said(!section.rram.disturb.any(), "reads take nothing (rram.disturb.images, rram.disturb.exponent)")
}

/// The reason of a constant of endurance.
pub(super) fn unworn(section: &Section) -> Option<Reason> {
    said(!section.rram.endurance.any(), "no cell fails (rram.endurance.writes, rram.endurance.pulses)")
}

/// Whether nothing but a cell drops voltage between its word line and its bit line.
pub(super) fn curve_is_alone(section: &Section) -> bool {
    let access = &section.rram.access;
    access.ohm == 0.0 && access.selector_iv.is_empty() && !section.profile.wires.drop()
}

/// The reason of what shows in partial sums, by line or by tile alone.
pub(super) fn tile(section: &Section) -> Option<Reason> {
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
pub(super) fn conversions(section: &Section) -> Option<Reason> {
    let shows = section.profile.converts() || section.profile.cost.any();
    on_rram(section).or(said(!shows, "converters are ideal (adc.bits = 0) and nothing has a cost"))
}

pub(super) fn converter(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(!section.profile.converts(), "adc.bits = 0: converters are ideal"))
}

/// The reason of an error that converters of one type have.
pub(super) fn of_type(section: &Section, kind: AdcKind, why: &'static str) -> Option<Reason> {
    converter(section).or(said(section.profile.adc.kind != kind, why))
}

pub(super) fn companion(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(section.sram.bits == 0, "sram.bits = 0: there is no companion array"))
}

/// The reason of what a companion array without a checkpoint of its own starts from.
pub(super) fn initial(section: &Section) -> Option<Reason> {
    on_rram(section)
        .or(said(!section.profile.has_companions(), "sram.bits = 0: there is no companion array"))
        .or(said(section.hybrid, "the checkpoint is a hybrid: its own SRAM weights run"))
}

/// The reason of what stands beside a residual.
pub(super) fn residual(section: &Section) -> Option<Reason> {
    companion(section).or(said(section.hybrid, "the checkpoint is a hybrid: its own SRAM weights run"))
}

/// The reason of a width of the companion's integers.
pub(super) fn integers(section: &Section) -> Option<Reason> {
    companion(section).or(converter(section))
}

pub(super) fn fixed_point(section: &Section) -> Option<Reason> {
    said(section.profile.neuron.membrane_bits == 0, "neuron.membrane_bits = 0: neurons and norms are floats")
}

pub(super) fn price(section: &Section) -> Option<Reason> {
    quiet(!section.on_rram, "no layer stands on RRAM")
}

pub(super) fn price_of_converters(section: &Section) -> Option<Reason> {
    price(section).or(quiet(!section.profile.converts(), "adc.bits = 0: ideal converters cost nothing"))
}

/// The reason of what SRAM cells cost, of companion arrays or of trims.
pub(super) fn price_of_bits(section: &Section) -> Option<Reason> {
    let any = |rram: &Rram, sram: &Sram| sram.bits > 0 || sram.trim_bits > 0 || rram.faults.move_weights();
    let why = "sram.bits = 0 and sram.trim_bits = 0, and no line is moved: there is no SRAM";
    price(section).or(quiet(!section.profile.any(any), why))
}

pub(super) fn price_of_companions(section: &Section) -> Option<Reason> {
    price(section).or(quiet(!section.profile.has_companions(), "sram.bits = 0: there is no companion array"))
}

pub(super) fn price_of_joins(section: &Section) -> Option<Reason> {
    let joins = |model: &Model| {
        let graph = model.graph();
        graph.nodes.iter().filter_map(Node::population).any(|population| population.additions() > 0)
    };
    price(section).or(quiet(section.model.is_some_and(|model| !joins(model)), "nothing joins neurons of the model"))
}

/// The reason of what costs alone show.
pub(super) fn unpriced(section: &Section) -> Option<Reason> {
    said(!section.profile.cost.any(), "nothing has a cost")
}

/// The reason of what moves weights away from what does not work.
pub(super) fn moved(section: &Section) -> Option<Reason> {
    cell(section).or(said(!section.rram.faults.any(), "every cell and line works (rram.faults)"))
}

/// The reason of what takes cells for exact.
pub(super) fn exact(section: &Section) -> Option<Reason> {
    on_rram(section).or(said(!section.rram.varies(), "every cell is what it is on a chip without variation and faults"))
}

/// The reason of what waits for times of tiles.
pub(super) fn untimed(section: &Section) -> Option<Reason> {
    said(!section.profile.is_timed(), "cost.time_ns has no times of tiles")
}

pub(super) fn price_of_moving(section: &Section) -> Option<Reason> {
    let still = section.profile.system.interconnect == Interconnect::None;
    price(section).or(quiet(still, "system.interconnect = \"none\": nothing moves pulses"))
}

pub(super) fn price_of_loading(section: &Section) -> Option<Reason> {
    price(section).or(quiet(section.profile.system.tiles == 0, "system.tiles = 0: every layer has room on the chip"))
}

pub(super) fn price_of_routers(section: &Section) -> Option<Reason> {
    let meshed = section.profile.system.interconnect == Interconnect::Mesh;
    price(section).or(quiet(!meshed, "system.interconnect is no mesh"))
}

pub(super) fn price_of_buffer(section: &Section) -> Option<Reason> {
    quiet(section.profile.system.buffer_bytes == 0, "system.buffer_bytes = 0: there is no global buffer")
}

pub(super) fn price_of_pulses(section: &Section) -> Option<Reason> {
    let cells = section.profile.any(|rram, _| rram.model == DeviceModel::Cell);
    price(section).or(quiet(!cells, "rram.model = \"weight\" counts no pulses"))
}
