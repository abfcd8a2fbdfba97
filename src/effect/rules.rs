//! When each key of a profile or a model has no effect, and why: a rule for every key of their schemas, of the reasons
//! that several have in common ([`super::reasons`]).

use super::reasons::*;
use crate::network::code::InputForm;
use crate::network::constants::Constant;
use crate::network::neuron::MembraneReset;
use crate::network::{Encoding, Neuron};
use crate::profile::{AdcKind, AdcRange, CellMapping, Compensation, Rounding, Scheme, SramInit, TileInputs};

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
            "cells are as they were read back: no time has passed, no read has taken anything, and no temperature \
             differs",
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
        let why = "lines are ideal and there is no access device: every cell has the voltage of a read, where its \
                   curve is its conductance";
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
