//! Which keys that a recipe sets, or its profiles have, change anything: an axis that cannot is refused, others are
//! said.

use super::{Recipe, Unit, UnitPoint, is_of_training};
use crate::effect::{self, Beside, Idle};
use crate::error::Result;
use crate::study::watch::Watch;
use crate::train::config::TrainFile;

/// What was seen of a recipe's points so far.
#[derive(Default)]
pub(super) struct Effects {
    /// For each hardware, the keys without effect at each of its points.
    profiles: Vec<Vec<Idle>>,
    /// What is set, by where it stands.
    set: Watch,
    /// The keys of each stage's training without effect.
    training: Vec<(usize, Idle)>,
}

impl Effects {
    /// Looks at a point of a unit.
    pub fn see(&mut self, recipe: &Recipe, unit: &Unit, point: &UnitPoint) {
        let UnitPoint { common, own, profile } = point;
        let beside = Beside { model: Some(&recipe.model), ..Beside::default() };
        let idle = effect::idle(profile, beside);
        let hardware = &recipe.hardware[unit.hardware];
        for (key, value) in &unit.stage.set {
            // A default that takes away what the profile has does something; `idle` knows of no defaults.
            let replaces = hardware.table_at(key).is_some_and(|own| own != value);
            let why = if replaces { idle.get(key).copied() } else { effect::why(profile, beside, key) };
            self.set.see(&set_at(unit.index, key), why);
        }
        self.profiles.resize_with(recipe.hardware.len(), Vec::new);
        self.profiles[unit.hardware].push(idle);
        let variant = unit.variant.iter().filter(|(key, _)| !is_of_training(key));
        let variant = variant.map(|(key, _)| (format!("stage[{}].grid.{key}", unit.index), key));
        // A hidden stage is not evaluated.
        let is_shown = !unit.stage.hidden;
        let common = common.iter().filter(|_| is_shown).map(|(key, _)| (format!("evaluate.grid.{key}"), key));
        let own =
            own.iter().filter(|_| is_shown).map(|(key, _)| (format!("stage[{}].evaluate.{key}", unit.index), key));
        for (place, key) in variant.chain(common).chain(own) {
            self.set.see(&place, effect::why(profile, beside, key));
        }
    }

    /// Looks at a stage's training.
    pub fn of_training(&mut self, stage: usize, file: &TrainFile) {
        self.training.push((stage, file.idle()));
    }

    /// What to say of them; an error where an axis has no effect at any point.
    pub fn notices(self, recipe: &Recipe) -> Result<Vec<String>> {
        let stages = || recipe.file.stage.iter().enumerate();
        let of_stage = |i: usize, table: &str, keys: &toml::Table| -> Vec<String> {
            axes(keys).map(|key| format!("stage[{i}].{table}.{key}")).collect()
        };
        let axes = axes(&recipe.file.evaluate.grid).map(|key| format!("evaluate.grid.{key}"));
        let own = stages()
            .flat_map(|(i, stage)| [of_stage(i, "grid", &stage.grid), of_stage(i, "evaluate", &stage.evaluate)]);
        for axis in axes.chain(own.flatten()) {
            if let Some(why) = self.set.idle(&axis) {
                let message = format!("has no effect at any point: {why}; set what it needs, or leave it out");
                return Err(recipe.document.error(&axis, message));
            }
        }
        let mut notices = Vec::new();
        for (hardware, points) in recipe.hardware.iter().zip(self.profiles) {
            let mut idle = effect::everywhere(points);
            // What a stage sets is said of the stage.
            idle.retain(|key, _| !recipe.file.stage.iter().any(|stage| stage.set.contains_key(key)));
            let name = hardware.table().get("name").and_then(|name| name.as_str()).unwrap_or("profile");
            notices.extend(effect::sentences(&idle).into_iter().map(|sentence| format!("{name}: {sentence}")));
        }
        for (i, stage) in stages() {
            let set = stage.set.keys().filter_map(|key| Some((key.clone(), self.set.idle(&set_at(i, key))?)));
            let training = self.training.iter().filter(|(of, _)| *of == i).map(|(_, idle)| idle.clone());
            let idle: Idle = set.chain(effect::everywhere(training)).collect();
            notices.extend(
                effect::sentences(&idle).into_iter().map(|sentence| format!("stage `{}`: {sentence}", stage.name)),
            );
        }
        notices.dedup();
        Ok(notices)
    }
}

fn set_at(stage: usize, key: &str) -> String {
    format!("stage[{stage}].set.{key}")
}

/// The keys of a grid with several values.
fn axes(grid: &toml::Table) -> impl Iterator<Item = &String> {
    let has_several = |value: &toml::Value| value.as_array().is_none_or(|list| list.len() > 1);
    grid.iter().filter(move |(_, value)| has_several(value)).map(|(key, _)| key)
}
