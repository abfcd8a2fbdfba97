//! The value in force of a key that a point leaves out, as tables show it.

use serde::Serialize;
use serde_json::Value;

use super::setting::Setting;
use super::space::TRAIN;
use crate::config::Document;
use crate::effect;
use crate::profile::{Cell, DeviceModel, Profile, Sram, SramInit};

/// What a list of points says of one that leaves a key out; empty where nothing is in force.
pub(super) fn in_force(key: &str, setting: &Setting, sweep: &Document) -> String {
    let written = |key: &str| sweep.table().get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let adapt = setting.adapt.as_ref().map(|(sample, _)| sample);
    match key {
        "checkpoint" => written("checkpoint"),
        "data" => setting.subject.data.spec().to_owned(),
        "profile" => Some(written("profile")).filter(|file| !file.is_empty()).unwrap_or_else(|| "ideal".into()),
        "encoding" => shown(&plain(setting.subject.encoding)),
        "exit" => setting.exit.map_or("none".into(), |rule| rule.to_string()),
        "adapt.batches" => adapt.map_or(0, |sample| sample.batches).to_string(),
        "adapt.images" => adapt.map_or(String::new(), |sample| sample.images.to_string()),
        "adapt.data" => adapt.and_then(|sample| sample.data.clone()).unwrap_or_default(),
        // The chip that trained candidates are compared to.
        _ if key.starts_with(TRAIN) => "untrained".into(),
        _ => match key.strip_prefix("model.") {
            Some(key) => effect::at(&plain(&setting.subject.model), key).map(shown).unwrap_or_default(),
            None => of_profile(key, &setting.profile),
        },
    }
}

/// A profile's value; of one that is optional, what stands for it.
fn of_profile(key: &str, profile: &Profile) -> String {
    let layer = key.strip_prefix("layer.").and_then(|rest| rest.split_once('.'));
    let (name, plain_key) = layer.map_or(("", key), |(name, key)| (name, key));
    let (rram, sram) = (profile.rram_of(name), profile.sram_of(name));
    let cell = (rram.model == DeviceModel::Cell).then_some(&rram.cell);
    match plain_key {
        "system.ensemble" => return profile.system.ensemble.to_string(),
        "sram.scheme" => return shown(&plain(sram.effective_scheme())),
        "sram.combine" => return shown(&plain(sram.effective_combine())),
        "sram.shift" => return shift(sram),
        "sram.budget_bytes" if sram.budget_bytes.is_none() => return "none".into(),
        "sram.budget_by" => return shown(&plain(sram.budget_by)),
        "sram.trim_bits" => return sram.trim_bits.to_string(),
        "sram.rank" => return sram.rank.to_string(),
        "sram.rank_bits" => return sram.rank_bits.to_string(),
        "rram.program.verify_share" => return rram.program.verify_share.to_string(),
        "rram.faults.spares" => return rram.faults.spares.to_string(),
        "rram.faults.remap" => return shown(&plain(rram.faults.remap)),
        "rram.faults.compensate" => return rram.faults.compensate.to_string(),
        "rram.cell.g_max_us" => return cell.map_or(String::new(), |cell| shown(&plain(cell.highest_us()))),
        "rram.cell.g_min_us" => return cell.map_or(String::new(), |cell| shown(&plain(cell.lowest_us()))),
        "rram.cell.on_off_ratio" => return cell.map_or(String::new(), ratio),
        _ => {}
    }
    let own = plain(profile);
    let inherited = if layer.is_some() { effect::at(&own, plain_key) } else { None };
    let default = plain(Profile::default());
    effect::at(&own, key).or(inherited).or_else(|| effect::at(&default, plain_key)).map(shown).unwrap_or_default()
}

fn shift(sram: &Sram) -> String {
    match sram.shift {
        Some(shift) => shift.to_string(),
        None if sram.init == SramInit::Residual => "chosen".into(),
        None => "0".into(),
    }
}

fn ratio(cell: &Cell) -> String {
    match cell.on_off_ratio {
        Some(ratio) if ratio.is_finite() => shown(&plain(ratio)),
        _ if cell.lowest_us() == 0.0 => "inf".into(),
        Some(ratio) => ratio.to_string(),
        None => shown(&plain(cell.highest_us() / cell.lowest_us())),
    }
}

fn plain(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("a setting is plain data")
}

/// A value as a cell of a table: text bare, numbers with the digits that their precision has.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            let single = number as f32;
            if f64::from(single) == number { format!("{single:?}") } else { format!("{number:?}") }
        }
        other => other.to_string(),
    }
}
