//! Which keys of a profile or a model change anything: for each, when it does not, and why.
//!
//! A key may wait for a partner (a drift exponent for a time, a variation for a σ), belong to a part that is not there (a companion
//! array of 0 bits), or stand in the section of layers that are not on RRAM. Such a key is said to be without effect where it was set,
//! determines no trial ([`effective`]), and cannot be the axis of a sweep. The rules are a table with an entry for every key of the
//! schema, which a test holds to what chips do.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::crossbar::site::Place;
use crate::network::code::InputForm;
use crate::network::neuron::Reset;
use crate::network::{Encoding, InputCode, Model, Neuron, NormKind};
use crate::plan::place;
use crate::profile::{
    AdcRange, CellMapping, DeviceModel, Layers, Profile, Rounding, Rram, Scheme, Sram, SramInit, Variation,
    VariationKind,
};

/// What is known beside a profile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The model.
    pub model: Option<&'a Model>,
    /// What the network's inputs are.
    pub inputs: Option<InputCode>,
    /// Whether the network brings companion arrays of its own.
    pub hybrid: bool,
}

/// Why a key has no effect.
struct Reason {
    why: &'static str,
    /// Whether it is a name, a price of what is not there, or shows in a floor plan alone: no mistake, and nothing to say of it.
    quiet: bool,
}

/// A section's surroundings: the profile, and for the sections `rram` and `sram` the ones in force.
struct Site<'a> {
    profile: &'a Profile,
    rram: &'a Rram,
    sram: &'a Sram,
    /// Whether any layer of the section, or of the model, stands on RRAM.
    on_rram: bool,
    model: Option<&'a Model>,
    inputs: Option<InputCode>,
    hybrid: bool,
}

/// Before the keys of a model.
const MODEL: &str = "model.";
/// Keys of `[sram]` that stand for all layers, whatever sections of their own these have.
const OF_ALL_LAYERS: [&str; 2] = ["sram.init", "sram.budget_bytes"];

type Rule = fn(&Site) -> Option<Reason>;

fn said(idle: bool, why: &'static str) -> Option<Reason> {
    idle.then_some(Reason { why, quiet: false })
}

fn quiet(idle: bool, why: &'static str) -> Option<Reason> {
    idle.then_some(Reason { why, quiet: true })
}

/// Of a key that always has its effect, once any layer stands on RRAM.
fn on_rram(site: &Site) -> Option<Reason> {
    said(!site.on_rram, "no layer stands on RRAM that it would be for (rram.layers)")
}

/// The reason of a key of neurons that has no effect where a model has one step, and this holds.
fn one_step(site: &Site, is: impl Fn(&Model) -> bool) -> Option<Reason> {
    let idle = site.model.is_some_and(|model| model.steps == 1 && is(model));
    said(idle, "model.steps = 1: no potential is kept to a next step")
}

/// The reason of a key of neurons that every layer has of its own.
fn untaken(site: &Site, key: &str) -> Option<Reason> {
    let idle = site.model.is_some_and(|model| !model.takes_neuron(key, |_| true));
    said(idle, "every layer of model.layers has its own")
}

fn always(_: &Site) -> Option<Reason> {
    None
}

fn name(_: &Site) -> Option<Reason> {
    quiet(true, "it is a name")
}

/// Of a key of the variation's distribution.
fn variation(site: &Site) -> Option<Reason> {
    let variation = &site.rram.variation;
    component(site)
        .or(said(variation.kind == VariationKind::None, "rram.variation.kind = \"none\""))
        .or(quiet(!spreads(variation), "its σ is 0"))
}

/// Whether the distribution of each cell has a width.
fn spreads(variation: &Variation) -> bool {
    let alone = Variation { scale: 1.0, lot_sigma: 0.0, die_sigma: 0.0, tile_sigma: 0.0, ..variation.clone() };
    alone.varies()
}

fn component(site: &Site) -> Option<Reason> {
    on_rram(site).or(quiet(site.rram.variation.scale == 0.0, "rram.variation.scale = 0"))
}

/// Of a key of cells.
fn cell(site: &Site) -> Option<Reason> {
    on_rram(site).or(said(site.rram.model == DeviceModel::Weight, "rram.model = \"weight\" has no conductances"))
}

fn drift(site: &Site) -> Option<Reason> {
    let drift = &site.rram.drift;
    cell(site).or(said(drift.time_s == 0.0, "rram.drift.time_s = 0")).or(quiet(!drift.any(), "nothing drifts"))
}

/// Of what shows in partial sums, by line or by tile alone.
fn tile(site: &Site) -> Option<Reason> {
    let Site { profile, .. } = site;
    let by_tile = |rram: &Rram| {
        let (faults, variation) = (&rram.faults, &rram.variation);
        let lines = faults.dead_word_lines > 0.0 || faults.dead_bit_lines > 0.0;
        lines || variation.tile_sigma * variation.scale != 0.0 || rram.cell.mapping == CellMapping::Offset
    };
    let shows =
        profile.converts() || profile.wires.drop() || profile.cost.any() || profile.any(|rram, _| by_tile(rram));
    let why =
        "it shows in floor plans alone: converters and lines are ideal, nothing varies by tile, and nothing has a cost";
    on_rram(site).or(quiet(!shows, why))
}

fn converter(site: &Site) -> Option<Reason> {
    on_rram(site).or(said(!site.profile.converts(), "adc.bits = 0: converters are ideal"))
}

fn companion(site: &Site) -> Option<Reason> {
    on_rram(site).or(said(site.sram.bits == 0, "sram.bits = 0: there is no companion array"))
}

/// Of what a companion array without a checkpoint of its own starts from.
fn initial(site: &Site) -> Option<Reason> {
    on_rram(site)
        .or(said(!site.profile.has_companions(), "sram.bits = 0: there is no companion array"))
        .or(said(site.hybrid, "the checkpoint is a hybrid: its own SRAM weights run"))
}

/// Of a width of the companion's integers.
fn integers(site: &Site) -> Option<Reason> {
    companion(site).or(converter(site))
}

fn fixed_point(site: &Site) -> Option<Reason> {
    said(site.profile.neuron.membrane_bits == 0, "neuron.membrane_bits = 0: neurons and norms are floats")
}

fn price(site: &Site) -> Option<Reason> {
    quiet(!site.on_rram, "no layer stands on RRAM")
}

fn price_of_converters(site: &Site) -> Option<Reason> {
    price(site).or(quiet(!site.profile.converts(), "adc.bits = 0: ideal converters cost nothing"))
}

fn price_of_companions(site: &Site) -> Option<Reason> {
    price(site).or(quiet(!site.profile.has_companions(), "sram.bits = 0: there is no companion array"))
}

fn price_of_pulses(site: &Site) -> Option<Reason> {
    let cells = site.profile.any(|rram, _| rram.model == DeviceModel::Cell);
    price(site).or(quiet(!cells, "rram.model = \"weight\" counts no pulses"))
}

/// Every key of a profile and a model, and when it has no effect. Those of the sections `rram` and `sram` also stand for the layers' own.
const RULES: &[(&str, Rule)] = &[
    ("name", name),
    ("source", name),
    ("rram.weight_bits", |site| {
        on_rram(site)
            .or(said(site.rram.scheme == Scheme::Ternary, "rram.scheme = \"ternary\" has its own levels"))
            .or(said(site.rram.scheme == Scheme::Float, "rram.scheme = \"float\" keeps weights as they are"))
    }),
    ("rram.scheme", |site| {
        let floats = site.rram.weight_bits == 0 && site.rram.scheme != Scheme::Ternary;
        on_rram(site)
            .or(quiet(floats && site.rram.scheme == Scheme::Float, "rram.weight_bits = 0 says the same"))
            .or(said(floats, "rram.weight_bits = 0 keeps weights as they are"))
    }),
    ("rram.layers", always),
    ("rram.model", on_rram),
    ("rram.variation.kind", |site| {
        component(site)
            .or(said(!spreads(&site.rram.variation), "its σ is 0 (rram.variation.sigma, sigma_us or levels)"))
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
    ("rram.variation.scale", |site| {
        let mut scaled = site.rram.variation.clone();
        scaled.scale = 1.0;
        on_rram(site).or(said(!scaled.varies(), "there is no variation that it would scale (rram.variation)"))
    }),
    ("rram.cell.g_max_us", cell),
    ("rram.cell.g_min_us", cell),
    ("rram.cell.on_off_ratio", cell),
    ("rram.cell.bits", cell),
    ("rram.cell.mapping", cell),
    ("rram.program.tolerance_us", |site| {
        cell(site).or(said(!site.rram.variation.varies(), "cells land on their targets (rram.variation)"))
    }),
    ("rram.program.most_pulses", |site| {
        cell(site)
            .or(said(site.rram.program.tolerance_us == 0.0, "rram.program.tolerance_us = 0: cells are written once"))
            .or(said(!site.rram.variation.varies(), "cells land on their targets (rram.variation)"))
    }),
    ("rram.faults.stuck_off", cell),
    ("rram.faults.stuck_on", cell),
    ("rram.faults.dead_word_lines", cell),
    ("rram.faults.dead_bit_lines", cell),
    ("rram.drift.time_s", |site| {
        let mut later = site.rram.drift.clone();
        later.time_s = 1.0;
        cell(site)
            .or(quiet(!site.rram.drift.any() && site.rram.drift.time_s == 0.0, "no time has passed"))
            .or(said(!later.any(), "nothing drifts: rram.drift.nu, nu_sigma and retention_sigma are 0"))
    }),
    ("rram.drift.reference_s", |site| cell(site).or(said(!site.rram.drift.any(), "nothing drifts (rram.drift)"))),
    ("rram.drift.nu", drift),
    ("rram.drift.nu_sigma", drift),
    ("rram.drift.retention_sigma", drift),
    ("rram.read.sigma", cell),
    ("rram.read.sigma_us", cell),
    ("tile.rows", tile),
    ("tile.cols", tile),
    ("tile.inputs", |site| {
        let shows = site.profile.converts() || site.profile.cost.any();
        on_rram(site).or(said(!shows, "converters are ideal (adc.bits = 0) and nothing has a cost"))
    }),
    ("tile.input_bits", |site| {
        let inputs = site.inputs?;
        said(inputs.encoding == Encoding::Poisson, "poisson inputs are spikes")
            .or(said(inputs.form == InputForm::Whole, "the data are whole numbers of no more bits"))
    }),
    ("adc.bits", on_rram),
    ("adc.range", converter),
    ("adc.step", converter),
    ("adc.calibration_images", |site| {
        converter(site).or(said(site.profile.adc.range == AdcRange::Full, "adc.range = \"full\" profiles no images"))
    }),
    ("adc.columns_shared", |site| {
        let shows = site.profile.adc.errs() || site.profile.cost.any();
        converter(site).or(quiet(!shows, "it shows in floor plans alone: converters do not err and nothing has a cost"))
    }),
    ("adc.gain_sigma", converter),
    ("adc.offset_sigma", converter),
    ("wires.word_ohm", on_rram),
    ("wires.bit_ohm", on_rram),
    ("sram.bits", on_rram),
    ("sram.shift", companion),
    ("sram.scheme", companion),
    ("sram.combine", companion),
    ("sram.init", initial),
    ("sram.budget_bytes", initial),
    ("sram.threshold", companion),
    ("sram.sum_bits", integers),
    ("sram.shifter_bits", integers),
    ("sram.adder_bits", integers),
    ("sram.round", |site| {
        let chosen = site.sram.init == SramInit::Residual && site.sram.shift.is_none() && !site.hybrid;
        let to_the_left = !chosen && site.sram.shift.unwrap_or(0) >= 0 && site.sram.round != Rounding::Exact;
        integers(site).or(said(to_the_left, "sram.shift moves nothing to the right"))
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
    ("cost.energy_pj.sram_read_bit", price_of_companions),
    ("cost.energy_pj.sram_add", price_of_companions),
    ("cost.energy_pj.write_pulse", price_of_pulses),
    ("cost.area_um2.cell", price),
    ("cost.area_um2.adc", price_of_converters),
    ("cost.area_um2.mux", price_of_converters),
    ("cost.area_um2.code", price_of_converters),
    ("cost.area_um2.htree", price),
    ("cost.area_um2.tile_buffer", price),
    ("cost.area_um2.temporary_buffer", price),
    ("cost.area_um2.neuron", price),
    ("cost.area_um2.sram_bit", price_of_companions),
    ("cost.time_ns.drive", price),
    ("cost.time_ns.conversion", price_of_converters),
    ("model.name", name),
    ("model.steps", always),
    ("model.classes", always),
    ("model.input.channels", always),
    ("model.input.height", always),
    ("model.input.width", always),
    ("model.neuron.leak", |site| {
        let scales = |neuron: &Neuron| neuron.scaled_input;
        one_step(site, |model| !model.takes_neuron("leak", scales)).or(untaken(site, "leak"))
    }),
    ("model.neuron.threshold", |site| untaken(site, "threshold")),
    ("model.neuron.reset", |site| one_step(site, |_| true).or(untaken(site, "reset"))),
    ("model.neuron.reset_at", |site| {
        let idle =
            site.model.is_some_and(|model| !model.takes_neuron("reset_at", |neuron| neuron.reset != Reset::None));
        one_step(site, |_| true).or(untaken(site, "reset_at")).or(said(idle, "model.neuron.reset = \"none\""))
    }),
    ("model.neuron.fires", |site| untaken(site, "fires")),
    ("model.neuron.scaled_input", |site| {
        let matters = |neuron: &Neuron| neuron.leak != 0.0;
        let idle = site.model.is_some_and(|model| !model.takes_neuron("scaled_input", matters));
        untaken(site, "scaled_input").or(said(idle, "model.neuron.leak = 0 scales by 1"))
    }),
    ("model.neuron.synaptic_leak", |site| one_step(site, |_| true).or(untaken(site, "synaptic_leak"))),
    ("model.neuron.adaptation", |site| one_step(site, |_| true).or(untaken(site, "adaptation"))),
    ("model.neuron.adaptation_leak", |site| {
        let matters = |neuron: &Neuron| neuron.adaptation > 0.0;
        let idle = site.model.is_some_and(|model| model.steps == 2 || !model.takes_neuron("adaptation_leak", matters));
        one_step(site, |_| true).or(untaken(site, "adaptation_leak")).or(said(
            idle,
            "model.neuron.adaptation = 0, or no more than two steps: nothing is kept of spikes for long",
        ))
    }),
    ("model.neuron.refractory", |site| one_step(site, |_| true).or(untaken(site, "refractory"))),
    ("model.layers", always),
    ("model.norm", |site| {
        said(site.model.is_some_and(|model| !model.takes_norm()), "every layer of model.layers has a norm of its own")
    }),
    ("model.readout.bias", always),
];

/// Keys that are set and have no effect, each with the reason.
pub type Idle = BTreeMap<String, &'static str>;

/// The keys that have rules: one for each of a profile's and, under `model.`, of a model's.
pub fn keys() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(key, _)| *key)
}

/// Why a key has no effect where it is written; none where it has one, or is none of a profile's or, under `model.`, of a model's.
pub fn why(profile: &Profile, beside: Beside, key: &str) -> Option<&'static str> {
    let json = serde_json::to_value(profile).expect("a profile is plain data");
    written(profile, &json, beside, key).map(|reason| reason.why)
}

/// Why a key has no effect where it is written, for the sections of layers that inherit it either; `json` is the profile.
fn written(profile: &Profile, json: &Value, beside: Beside, key: &str) -> Option<Reason> {
    let own = reason(profile, beside, key)?;
    let below = profile.layer.keys().map(|layer| format!("layer.{layer}.{key}"));
    let mut inherited = below.filter(|below| at(json, below).is_some_and(|value| at(json, key) == Some(value)));
    inherited.all(|below| reason(profile, beside, &below).is_some()).then_some(own)
}

/// Why the value of a section has no effect in that section.
fn reason(profile: &Profile, beside: Beside, key: &str) -> Option<Reason> {
    // `layer.NAME.rram.x` is `rram.x` of that layer.
    let (layer, plain) = match key.strip_prefix("layer.").and_then(|rest| rest.split_once('.')) {
        Some((layer, plain)) => (Some(layer), plain),
        None => (None, key),
    };
    let (_, rule) = RULES.iter().find(|(known, _)| *known == plain)?;
    let of_layers = (plain.starts_with("rram.") || plain.starts_with("sram.")) && !OF_ALL_LAYERS.contains(&plain);
    let own = layer.and_then(|layer| profile.layer.get(layer));
    let (rram, sram) = own.map_or((&profile.rram, &profile.sram), |own| (&own.rram, &own.sram));
    let is_on_rram = match beside.model {
        None => profile.any(|rram, _| rram.layers != Layers::None),
        Some(model) => model.layers().iter().any(|plan| {
            let mine = match layer {
                Some(layer) => plan.name == layer,
                None => !of_layers || !profile.layer.contains_key(&plan.name),
            };
            mine && place(profile, plan) == Place::Rram
        }),
    };
    let Beside { model, inputs, hybrid } = beside;
    rule(&Site { profile, rram, sram, on_rram: is_on_rram, model, inputs, hybrid })
}

/// A profile without the keys that have no effect: what of it determines results, and nothing else.
pub fn effective(profile: &Profile, beside: Beside) -> Value {
    let mut json = serde_json::to_value(profile).expect("a profile is plain data");
    for (key, _) in leaves(&json) {
        if reason(profile, beside, &key).is_some() {
            remove(&mut json, &key);
        }
    }
    json
}

/// A model without the keys that have no effect.
pub fn effective_model(model: &Model) -> Value {
    let mut json = serde_json::to_value(model).expect("a model is plain data");
    let (ideal, beside) = (Profile::default(), Beside { model: Some(model), ..Beside::default() });
    for (key, _) in leaves(&json) {
        if reason(&ideal, beside, &format!("{MODEL}{key}")).is_some() {
            remove(&mut json, &key);
        }
    }
    json
}

/// The keys that were set, not to their default, and have no effect.
pub fn idle(profile: &Profile, beside: Beside) -> Idle {
    let json = serde_json::to_value(profile).expect("a profile is plain data");
    let default = serde_json::to_value(Profile::default()).expect("a profile is plain data");
    let is_set = |(key, value): &(String, Value)| {
        // A layer's own section has what the profile's has, unless it says otherwise.
        let inherited =
            key.strip_prefix("layer.").and_then(|rest| rest.split_once('.')).map(|(_, plain)| at(&json, plain));
        inherited.unwrap_or_else(|| at(&default, key)).is_none_or(|unset| unset != value)
    };
    let mut keys: Vec<String> = leaves(&json).into_iter().filter(is_set).map(|(key, _)| key).collect();
    if let Some(model) = beside.model {
        let json = |neuron: Neuron| serde_json::to_value(neuron).expect("a neuron is plain data");
        let (given, usual) = (json(model.neuron), json(Neuron::default()));
        let is_set = |(key, value): &(String, Value)| at(&usual, key) != Some(value);
        keys.extend(leaves(&given).into_iter().filter(is_set).map(|(key, _)| format!("{MODEL}neuron.{key}")));
        keys.extend((model.norm != NormKind::default()).then(|| format!("{MODEL}norm")));
    }
    let with_reason = |key: String| {
        written(profile, &json, beside, &key).filter(|reason| !reason.quiet).map(|reason| (key, reason.why))
    };
    keys.into_iter().filter_map(with_reason).collect()
}

/// The keys that have no effect in any of several cases; none where there is no case.
pub fn everywhere(cases: impl IntoIterator<Item = Idle>) -> Idle {
    let both = |mut one: Idle, other: Idle| {
        one.retain(|key, _| other.contains_key(key));
        one
    };
    cases.into_iter().reduce(both).unwrap_or_default()
}

/// What to say of keys without effect: a sentence for each reason.
pub fn sentences(idle: &Idle) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    idle.iter().for_each(|(key, why)| by_reason.entry(why).or_default().push(key));
    let sentence = |(why, keys): (&str, Vec<&str>)| {
        let verb = if keys.len() == 1 { "has" } else { "have" };
        format!("{} {verb} no effect: {why}", keys.join(", "))
    };
    by_reason.into_iter().map(sentence).collect()
}

/// The value at a dotted key.
pub fn at<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    key.split('.').try_fold(value, |value, part| value.get(part))
}

/// Dotted keys and values of all that is no section.
fn leaves(value: &Value) -> Vec<(String, Value)> {
    fn go(at: &str, map: &Map<String, Value>, out: &mut Vec<(String, Value)>) {
        for (key, value) in map {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            match value {
                Value::Object(map) => go(&path, map, out),
                value => out.push((path, value.clone())),
            }
        }
    }
    let mut out = Vec::new();
    value.as_object().into_iter().for_each(|map| go("", map, &mut out));
    out
}

fn remove(value: &mut Value, key: &str) {
    let (section, name) = key.rsplit_once('.').map_or((None, key), |(section, name)| (Some(section), name));
    let sections = section.into_iter().flat_map(|section| section.split('.'));
    let map = sections.into_iter().try_fold(value, |value, part| value.get_mut(part)).and_then(Value::as_object_mut);
    map.map(|map| map.remove(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dotted keys of a schema, but for those under names that a user chooses.
    fn schema_keys(schema: &Value, root: &Value, at: &str, out: &mut Vec<String>) {
        let schema = match schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
            Some(name) => &root["$defs"][name],
            None => schema,
        };
        let Some(properties) = schema["properties"].as_object() else { return out.push(at.to_string()) };
        for (key, property) in properties {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            if path != "layer" {
                schema_keys(property, root, &path, out);
            }
        }
    }

    #[test]
    fn every_key_of_the_schema_has_a_rule() {
        let mut known = Vec::new();
        for (at, schema) in [("", schemars::schema_for!(Profile)), ("model", schemars::schema_for!(Model))] {
            let schema = schema.to_value();
            schema_keys(&schema, &schema, at, &mut known);
        }
        let mut ruled: Vec<&str> = keys().collect();
        known.sort_unstable();
        ruled.sort_unstable();
        assert_eq!(ruled, known);
    }

    fn profile(keys: &[&str]) -> Profile {
        Profile::ideal(&keys.iter().map(|key| key.to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn keys_without_their_partner_are_said_with_the_reason() {
        let cell = ["rram.model=cell", "rram.cell.g_max_us=50"];
        for (keys, expected) in [
            (&["rram.drift.nu=0.1"][..], "rram.drift.nu has no effect: rram.drift.time_s = 0"),
            (&["rram.drift.time_s=10"], "rram.drift.time_s has no effect: nothing drifts"),
            (&["rram.variation.kind=lognormal"], "rram.variation.kind has no effect: its σ is 0"),
            (&["rram.scheme=dorefa"], "rram.scheme has no effect: rram.weight_bits = 0"),
            (
                &["rram.scheme=ternary", "rram.weight_bits=4"],
                "rram.weight_bits has no effect: rram.scheme = \"ternary\"",
            ),
            (&["rram.variation.scale=2"], "rram.variation.scale has no effect: there is no variation"),
            (
                &["adc.range=calibrated", "adc.offset_sigma=1"],
                "adc.offset_sigma, adc.range have no effect: adc.bits = 0",
            ),
            (&["sram.shift=1"], "sram.shift has no effect: sram.bits = 0"),
            (&["neuron.leak_bits=3"], "neuron.leak_bits has no effect: neuron.membrane_bits = 0"),
            (&["tile.inputs=pulses"], "tile.inputs has no effect: converters are ideal"),
            (&["layer.conv1.sram.shift=1"], "layer.conv1.sram.shift has no effect: sram.bits = 0"),
        ] {
            let found = sentences(&idle(&profile(&[&cell[..], keys].concat()), Beside::default()));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{keys:?}: {found:?}");
        }
        let partnered = [&cell[..], &["rram.drift.nu=0.1", "rram.drift.time_s=10", "tile.rows=64", "name=x"]].concat();
        assert_eq!(idle(&profile(&partnered), Beside::default()), Idle::new());
    }

    #[test]
    fn what_has_no_effect_is_not_in_what_determines_results() {
        let of = |keys: &[&str]| effective(&profile(keys), Beside::default());
        for same in
            [&["name=x"][..], &["sram.shift=2"], &["adc.step=free"], &["tile.rows=7"], &["rram.variation.scale=3"]]
        {
            assert_eq!(of(same), of(&[]), "{same:?}");
        }
        for other in [&["rram.weight_bits=3"][..], &["adc.bits=3"], &["sram.bits=2"], &["neuron.membrane_bits=12"]] {
            assert_ne!(of(other), of(&[]), "{other:?}");
        }
    }
}
