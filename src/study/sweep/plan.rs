//! What a sweep would do: its trials, how many are there, and how long the others may take.

use std::path::Path;
use std::time::Duration;

use super::{Chips, Shard, Sweep, first_ones};
use crate::engine::Engine;
use crate::error::Result;
use crate::study::store::{self, OfKey};

/// Points that are timed.
const TIMED: usize = 3;
/// What a sweep would do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepPlan {
    /// Points.
    pub points: u64,
    /// Chips a point, at most.
    pub chips: u64,
    /// Whether they may be fewer.
    pub until: bool,
    /// Trials of all shards, at most.
    pub trials: u64,
    /// The trials among them that are there already.
    pub there: u64,
    /// Trials that the shard would run, at most.
    pub missing: u64,
    /// What one of them may take: programming a chip and running images, timed at a few points.
    pub each: Duration,
}

impl SweepPlan {
    /// What the shard may take.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.each.as_secs_f64() * self.missing as f64)
    }
}

impl Sweep {
    /// What a shard would do, in a folder that may hold trials already.
    pub fn plan(&self, engine: &dyn Engine, folder: &Path, shard: Shard) -> Result<SweepPlan> {
        let chips = &self.file.chips;
        let (mut there, mut missing, mut first_missing) = (0, 0, Vec::new());
        for points in self.points_together() {
            let settings = &self.points[points.clone()];
            let stored = match folder.is_dir() {
                true => store::read(folder, settings.iter().map(|setting| setting.key))?,
                false => Default::default(),
            };
            let none = OfKey::new();
            for (p, setting) in points.zip(settings) {
                let trials = stored.get(&setting.key).unwrap_or(&none);
                let enough = chips.enough(&first_ones(trials));
                let count = enough.unwrap_or(chips.most());
                there += trials.range(..count).count() as u64;
                let held = |chip: &u64| shard.holds(chips, self.first[p], *chip) && !trials.contains_key(chip);
                let mine = if enough.is_some() || self.first[p] != p as u64 {
                    0
                } else {
                    (0..count).filter(held).count() as u64
                };
                missing += mine;
                if mine > 0 {
                    first_missing.push(p);
                }
            }
        }
        let step = first_missing.len().div_ceil(TIMED).max(1);
        let timed: Vec<Duration> = first_missing
            .iter()
            .step_by(step)
            .map(|p| self.points[*p].case(self.file.seed).timed(engine, chips.most()))
            .collect::<Result<_>>()?;
        let each = timed.iter().sum::<Duration>() / timed.len().max(1) as u32;
        let points = self.points.len() as u64;
        let until = matches!(chips, Chips::Until(_));
        Ok(SweepPlan { points, chips: chips.most(), until, trials: points * chips.most(), there, missing, each })
    }
}
