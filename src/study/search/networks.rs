//! The networks of a search under way: each is trained once, by one of its processes, into the folder's cache.

use std::collections::HashMap;
use std::path::PathBuf;

use super::Search;
use super::others::Others;
use crate::error::{Error, Result};
use crate::study::reader::Reader;
use crate::study::recipe::cache;
use crate::study::space::{GridPoint, cell};
use crate::study::trial::digest;
use crate::train::job::Job;

/// The networks that were trained so far, and who trains the next ones.
pub(super) struct Networks<'a> {
    search: &'a Search,
    /// The folder that holds them.
    folder: PathBuf,
    others: Others<'a>,
    /// Checkpoints by what their training sees.
    known: HashMap<String, PathBuf>,
    /// The part of the process that trains each network which a generation needs.
    trainers: HashMap<String, usize>,
}

/// The name of what training sees of a candidate.
fn named(seen: &GridPoint) -> String {
    format!("{seen:?}")
}

impl<'a> Networks<'a> {
    pub fn new(search: &'a Search, folder: PathBuf, others: Others<'a>) -> Self {
        Networks { search, folder, others, known: HashMap::new(), trainers: HashMap::new() }
    }

    /// The network of a candidate's point, where this process has asked for it already.
    pub fn known(&self, point: &GridPoint) -> Option<&PathBuf> {
        self.known.get(&named(&self.search.training_point(point)))
    }

    /// Trains this process's part of the networks that some candidates need, so that no process waits for another
    /// before its own are done.
    pub fn prepare(&mut self, reader: &mut Reader, points: &[GridPoint]) -> Result<()> {
        let mut missing: Vec<GridPoint> = vec![];
        for seen in points.iter().map(|point| self.search.training_point(point)) {
            if !self.known.contains_key(&named(&seen)) && !missing.contains(&seen) {
                missing.push(seen);
            }
        }
        for (place, seen) in missing.iter().enumerate() {
            self.trainers.insert(named(seen), self.others.part_of(place));
        }
        missing.retain(|seen| self.is_mine(&named(seen)));
        for seen in missing {
            match self.of_seen(reader, seen) {
                // The candidate is no chip, and is counted as such when it is judged.
                Ok(_) | Err(Error::Config { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The network of a candidate's point, trained by this process or, where it is another's part, by that one.
    pub fn of(&mut self, reader: &mut Reader, point: &GridPoint) -> Result<PathBuf> {
        self.of_seen(reader, self.search.training_point(point))
    }

    /// Whether this process trains a network: as its generation says, or else by its name.
    fn is_mine(&self, name: &str) -> bool {
        let by_name = || self.others.part_of(digest(name.as_bytes()) as usize);
        self.trainers.get(name).copied().unwrap_or_else(by_name) == self.others.shard.index
    }

    fn of_seen(&mut self, reader: &mut Reader, seen: GridPoint) -> Result<PathBuf> {
        let name = named(&seen);
        if let Some(path) = self.known.get(&name) {
            return Ok(path.clone());
        }
        let is_mine = self.is_mine(&name);
        let job = self.search.job(reader, &seen).map_err(|error| self.untrainable(&seen, error))?;
        let path = match self.look(&job, &seen) {
            Ok(Some(path)) => path,
            Ok(None) if is_mine => self.train(&job, &seen)?,
            Err(error) if is_mine || matches!(error, Error::Config { .. }) => return Err(error),
            _ => self.wait(&job, &seen)?,
        };
        self.known.insert(name, path.clone());
        Ok(path)
    }

    /// Looks for a network in the folder; an error where its training has gone wrong.
    fn look(&self, job: &Job, seen: &GridPoint) -> Result<Option<PathBuf>> {
        match cache::failed(&self.folder, job) {
            Some(why) => Err(self.untrainable(seen, Error::Mismatch(why))),
            None => cache::trained(&self.folder, job),
        }
    }

    /// Waits for a network that another process trains.
    fn wait(&self, job: &Job, seen: &GridPoint) -> Result<PathBuf> {
        let mut found = None;
        self.others.wait(|| {
            match self.look(job, seen) {
                Ok(there) => found = there.map(Ok),
                Err(error @ Error::Config { .. }) => found = Some(Err(error)),
                // A folder that another process is about to leave is busy.
                Err(_) => {}
            }
            Ok(found.is_some())
        })?;
        found.unwrap_or_else(|| Err(Error::Interrupted(String::new())))
    }

    /// Trains a network; one whose training goes wrong makes no chip, which other processes and later ones learn from
    /// the folder.
    fn train(&self, job: &Job, seen: &GridPoint) -> Result<PathBuf> {
        let set: Vec<String> =
            self.search.searched_keys(seen).map(|(key, value)| format!("{key} {}", cell(value))).collect();
        let what = if set.is_empty() { "the network".into() } else { set.join(", ") };
        self.others.monitor.line(&format!("training {what}"));
        cache::train(&self.folder, job, self.others.monitor).map_err(|error| {
            if let Error::Mismatch(why) = &error
                && let Err(error) = cache::fail(&self.folder, job, why)
            {
                return error;
            }
            self.untrainable(seen, error)
        })
    }

    /// The error of a candidate whose network cannot be trained, with its place; other errors as they are.
    fn untrainable(&self, seen: &GridPoint, error: Error) -> Error {
        match error {
            Error::Mismatch(why) => self.search.untrainable(seen, why),
            other => other,
        }
    }
}
