//! Which keys of a profile or a model change anything: for each, when it does not, and why.
//!
//! A key may wait for a partner (a drift exponent for a time, a variation for a σ), belong to a part that is not there
//! (a companion array of 0 bits), or stand in the section of layers that are not on RRAM. Such a key is said to be
//! without effect where it was set, determines no trial ([`effective`]), and cannot be the axis of a sweep. The rules
//! are a table (`rules`) with an entry for every key of the schema, which a test holds to what chips do.

mod reasons;
mod rules;

pub(crate) use reasons::HELD_BY_CHECKPOINT;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::reasons::{Reason, Section};
use self::rules::RULES;
use crate::crossbar::site::Place;
use crate::network::{InputCode, Model, Neuron, NormKind};
use crate::plan::place;
use crate::profile::{Layers, Profile};

/// The facts that are known beside a profile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// The model.
    pub model: Option<&'a Model>,
    /// The code of the network's inputs.
    pub inputs: Option<InputCode>,
    /// Whether the network brings companion arrays of its own.
    pub hybrid: bool,
}

/// Before the keys of a model.
const MODEL: &str = "model.";
/// Keys of `[sram]` that stand for all layers, whatever sections of their own these have.
const OF_ALL_LAYERS: [&str; 3] = ["sram.init", "sram.budget_bytes", "sram.budget_by"];

/// Keys that are set and have no effect, each with the reason.
pub type Idle = BTreeMap<String, &'static str>;

/// The keys that have rules: one for each of a profile's and, under `model.`, of a model's.
pub fn keys() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(key, _)| *key)
}

/// Why a key has no effect where it is written; none where it has one, or is none of a profile's or, under `model.`, of
/// a model's.
pub fn why(profile: &Profile, beside: Beside, key: &str) -> Option<&'static str> {
    let json = serde_json::to_value(profile).expect("a profile is plain data");
    written(profile, &json, beside, key).map(|reason| reason.why)
}

/// Why a key has no effect where it is written, for the sections of layers that inherit it either; `json` is the
/// profile.
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
    rule(&Section { profile, rram, sram, on_rram: is_on_rram, model, inputs, hybrid })
}

/// A profile without the keys that have no effect: what of it determines results, and nothing else.
pub fn effective(profile: &Profile, beside: Beside) -> Value {
    let mut json = serde_json::to_value(profile).expect("a profile is plain data");
    for (key, _) in leaves(&json) {
        if reason(profile, beside, &key).is_some() {
            remove(&mut json, &key);
        }
    }
    let default = serde_json::to_value(Profile::default()).expect("a profile is plain data");
    drop_emptied(&mut json, &default);
    let layers = json.get_mut("layer").and_then(Value::as_object_mut);
    layers.into_iter().flatten().for_each(|(_, own)| drop_emptied(own, &default));
    json
}

/// Drops sections of which nothing is left and that a profile of defaults does not write: an idle one is as if it were
/// not there.
fn drop_emptied(sections: &mut Value, default: &Value) {
    let Some(map) = sections.as_object_mut() else { return };
    map.retain(|key, value| default.get(key).is_some() || value.as_object().is_none_or(|section| !section.is_empty()));
    map.iter_mut().for_each(|(key, value)| {
        if let Some(default) = default.get(key) {
            drop_emptied(value, default)
        }
    });
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

/// A sentence for each reason why keys have no effect.
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

    #[test]
    fn keys_of_neurons_without_effect_are_said_with_the_reason() {
        let layers = "layers = [{conv = 4}, {fc = 8}]";
        let own = "norm = \"batch\"\nlayers = [{conv = 4, norm = \"none\"}, {fc = 8, norm = \"bntt\"}]";
        for (steps, keys, expected) in [
            (4, format!("neuron = {{ leak = 0.5, reset = \"zero\", synaptic_leak = 0.5 }}\n{layers}"), None),
            (
                4,
                format!("neuron = {{ adaptation_leak = 0.9 }}\n{layers}"),
                Some("model.neuron.adaptation_leak has no effect"),
            ),
            (
                4,
                format!("neuron = {{ reset = \"none\", reset_at = \"next\" }}\n{layers}"),
                Some("model.neuron.reset_at has"),
            ),
            (
                4,
                format!("neuron = {{ leak = 0.0, scaled_input = true }}\n{layers}"),
                Some("model.neuron.scaled_input has"),
            ),
            (
                1,
                format!("neuron = {{ refractory = 2 }}\n{layers}"),
                Some("model.neuron.refractory has no effect: model.steps = 1"),
            ),
            (4, own.to_owned(), Some("model.norm has no effect: every layer")),
        ] {
            let head = format!(
                "name = \"m\"\nsteps = {steps}\nclasses = 3\ninput = {{ channels = 1, height = 4, width = 4 }}\n"
            );
            let document = crate::config::Document::parse_text(std::path::Path::new("m.toml"), head + &keys).unwrap();
            let model = Model::from_document(&document).unwrap();
            let found = sentences(&idle(&Profile::default(), Beside { model: Some(&model), ..Beside::default() }));
            assert_eq!(found.len(), usize::from(expected.is_some()), "{keys}: {found:?}");
            assert!(expected.is_none_or(|expected| found[0].starts_with(expected)), "{keys}: {found:?}");
        }
    }
}
