//! The trials of a search: those that are asked for and missing are run, the part of this process by itself, those of
//! others are waited for, and all are known then.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::others::Others;
use super::pace::Pace;
use crate::engine::Engine;
use crate::error::Result;
use crate::output::OutputFolder;
use crate::study::runner::{Kept, Runner};
use crate::study::setting::Setting;
use crate::study::store::{self, OfKey, Store, shard_name};
use crate::study::trial::{Key, Trial};

/// What was run, by this process and by others.
pub(super) struct Trials<'a> {
    engine: &'a dyn Engine,
    folder: &'a OutputFolder,
    others: Others<'a>,
    /// The seed of chips and encoding.
    seed: u64,
    store: Store,
    known: HashMap<Key, OfKey>,
    /// Trials that were asked for: decisions rest on these, whatever else the folder holds.
    asked: HashSet<(Key, u64)>,
    pace: Pace,
    /// Cells and ranges of candidates that go on.
    kept: Kept,
}

impl<'a> Trials<'a> {
    /// Opens the trials of a folder.
    pub fn open(
        engine: &'a dyn Engine,
        folder: &'a OutputFolder,
        others: Others<'a>,
        seed: u64,
        pace: Pace,
    ) -> Result<Self> {
        let store = Store::open(&folder.file(&shard_name(others.shard.index, others.shard.of)))?;
        let known = store::read_all(folder.path())?;
        Ok(Trials { engine, folder, others, seed, store, known, asked: HashSet::new(), pace, kept: Kept::default() })
    }

    /// Runs what is missing of some chips of some points, with a note of progress; where other processes share the
    /// work, waits for theirs.
    pub fn ask(&mut self, settings: &[Arc<Setting>], chips: Range<u64>, note: &str) -> Result<()> {
        let before = self.asked();
        let mut wanted: Vec<(usize, u64)> = vec![];
        for (number, setting) in settings.iter().enumerate() {
            for chip in chips.clone() {
                // Trials that were asked for before are there.
                if self.asked.insert((setting.key, chip)) {
                    wanted.push((number, chip));
                }
            }
        }
        // Parts go on in turn, so that a few trials at a time are not always those of the first ones.
        let is_mine = |place: usize| self.others.part_of(before as usize + place) == self.others.shard.index;
        let mut mine: Vec<Vec<u64>> = vec![vec![]; settings.len()];
        for (place, (number, chip)) in wanted.iter().enumerate() {
            if is_mine(place) && !is_there(&self.known, settings[*number].key, *chip) {
                mine[*number].push(*chip);
            }
        }
        let begun = Instant::now();
        let mut ran = 0;
        let mut runner = Runner::new(self.engine, self.others.monitor, self.seed);
        runner.kept = std::mem::take(&mut self.kept);
        for (setting, missing) in settings.iter().zip(mine) {
            if missing.is_empty() {
                continue;
            }
            let (known, monitor) = (&mut self.known, self.others.monitor);
            runner.run(setting, missing, &mut self.store, |trial| {
                known.entry(trial.key).or_default().insert(trial.chip, trial);
                ran += 1;
                monitor.progress(before + ran, note);
            })?;
        }
        self.kept = runner.kept;
        self.pace.count(ran, begun.elapsed());
        self.wait(settings, &wanted)
    }

    /// Waits until other processes have run what is theirs.
    fn wait(&mut self, settings: &[Arc<Setting>], wanted: &[(usize, u64)]) -> Result<()> {
        let (others, folder, known) = (self.others, self.folder, &mut self.known);
        let mut is_first = true;
        others.wait(|| {
            if !std::mem::take(&mut is_first) {
                let found = store::read(folder.path(), settings.iter().map(|setting| setting.key))?;
                found.into_iter().for_each(|(key, of_key)| known.entry(key).or_default().extend(of_key));
            }
            Ok(wanted.iter().all(|(number, chip)| is_there(known, settings[*number].key, *chip)))
        })
    }

    /// The trials of some chips of a point.
    pub fn known(&self, key: Key, chips: Range<u64>) -> Vec<&Trial> {
        self.known.get(&key).map_or(vec![], |of_key| of_key.range(chips).map(|(_, trial)| trial).collect())
    }

    /// The number of trials that were asked for so far.
    pub fn asked(&self) -> u64 {
        self.asked.len() as u64
    }

    /// The time that so many trials of the search take, and so many that judge its answer, about.
    pub fn closing(&self, confirming: u64, judging: u64) -> Duration {
        self.pace.closing(confirming, judging)
    }

    /// Brings everything to the disk.
    pub fn close(self) -> Result<()> {
        self.store.close()
    }
}

/// Whether a trial is known.
fn is_there(known: &HashMap<Key, OfKey>, key: Key, chip: u64) -> bool {
    known.get(&key).is_some_and(|of_key| of_key.contains_key(&chip))
}
