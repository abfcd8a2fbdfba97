//! A shard under way: what is missing of its points is run, point by point, and stored trial by trial.

use std::time::Instant;

use super::{Shard, Sweep, first_ones};
use crate::engine::Engine;
use crate::error::Result;
use crate::monitor::Monitor;
use crate::numeric::stats::summarise;
use crate::output::OutputFolder;
use crate::study::runner::Runner;
use crate::study::setting::Setting;
use crate::study::store::{self, OfKey, Store, shard_name};

/// A shard under way.
pub(super) struct SweepRun<'a> {
    sweep: &'a Sweep,
    folder: &'a OutputFolder,
    shard: Shard,
    runner: Runner<'a>,
    store: Store,
    began: Instant,
    /// Trials that were run, and trials that are done.
    ran: u64,
    done: u64,
    /// The best mean so far, and what is set there.
    best: Option<(f64, String)>,
}

impl<'a> SweepRun<'a> {
    pub fn new(
        sweep: &'a Sweep,
        engine: &'a dyn Engine,
        folder: &'a OutputFolder,
        shard: Shard,
        monitor: &'a dyn Monitor,
    ) -> Result<Self> {
        let store = Store::open(&folder.file(&shard_name(shard.index, shard.of)))?;
        let runner = Runner::new(engine, monitor, sweep.file.seed);
        Ok(SweepRun { sweep, folder, shard, runner, store, began: Instant::now(), ran: 0, done: 0, best: None })
    }

    /// Runs what is missing of some points.
    pub fn points(&mut self, points: std::ops::Range<usize>) -> Result<()> {
        let sweep = self.sweep;
        let mut there = store::read(self.folder.path(), sweep.points[points.clone()].iter().map(|point| point.key))?;
        for p in points {
            let setting = &sweep.points[p];
            self.point(p as u64, setting, there.entry(setting.key).or_default())?;
        }
        Ok(())
    }

    /// Runs what is missing of a point, beside the trials that are there.
    fn point(&mut self, p: u64, setting: &'a Setting, there: &mut OfKey) -> Result<()> {
        let chips = &self.sweep.file.chips;
        let held = |chip: &u64| self.shard.holds(chips, self.sweep.first[p as usize], *chip);
        let mine: Vec<u64> = (0..chips.most()).filter(held).collect();
        let before = self.done;
        let found = mine.iter().filter(|chip| there.contains_key(chip)).count() as u64;
        self.done += found;
        self.runner.monitor.skip(found);
        loop {
            let accuracies = first_ones(there);
            if chips.enough(&accuracies).is_some() {
                break;
            }
            let next = chips.next(&accuracies);
            let missing: Vec<u64> =
                mine.iter().copied().filter(|chip| *chip < next && !there.contains_key(chip)).collect();
            if missing.is_empty() {
                break;
            }
            self.chips(setting, missing, there)?;
        }
        // The last chips are not asked for where chips run until the mean is known.
        self.runner.monitor.skip(before + mine.len() as u64 - self.done);
        self.done = before + mine.len() as u64;
        let count = chips.enough(&first_ones(there)).unwrap_or(chips.most());
        let accuracies: Vec<f64> = there.range(..count).map(|(_, trial)| trial.accuracy()).collect();
        if !accuracies.is_empty() {
            let mean = summarise(&accuracies).mean;
            if self.best.as_ref().is_none_or(|(best, _)| mean > *best) {
                let shown = setting
                    .shown
                    .iter()
                    .map(|(key, value)| format!("{} {value}", key.rsplit('.').next().unwrap_or(key)));
                self.best = Some((mean, shown.collect::<Vec<_>>().join(", ")));
            }
        }
        self.runner.monitor.progress(self.done, &self.note());
        Ok(())
    }

    /// What progress says beside its count.
    fn note(&self) -> String {
        self.best.as_ref().map_or(String::new(), |(mean, at)| format!("best {mean:.2} % {at}").trim_end().to_string())
    }

    /// Runs some chips of a point and adds them to those that are there.
    fn chips(&mut self, setting: &'a Setting, missing: Vec<u64>, there: &mut OfKey) -> Result<()> {
        let (note, monitor) = (self.note(), self.runner.monitor);
        let SweepRun { runner, store, ran, done, .. } = self;
        runner.run(setting, missing, store, |trial| {
            there.insert(trial.chip, trial);
            *ran += 1;
            *done += 1;
            monitor.progress(*done, &note);
        })
    }

    pub fn close(self) -> Result<()> {
        let SweepRun { store, folder, shard, ran, began, .. } = self;
        store.close()?;
        store::append_timing(&folder.file("timing.csv"), shard.index, shard.of, ran, began.elapsed())
    }
}
