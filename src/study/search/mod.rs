//! A search: the cheapest chip that is good enough, or the front of several goals.
//!
//! `file` is the schema, `goals` what is asked for, `evolve` which candidates come next, `forecast` what is expected
//! of them, by what `gaussian` learns, `run` how they are judged, `trials` what ran, `reference` what they are
//! compared to, `training` which networks they have, `networks` trains these, `others` are the processes that share
//! the work, `pace` leaves time for the answer, `answer` is what is found and validated, `words` says it, `written`
//! has the files.

mod answer;
mod evolve;
mod file;
mod forecast;
mod gaussian;
mod goals;
mod networks;
mod others;
mod pace;
mod reference;
mod run;
mod training;
mod trials;
mod words;
mod written;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

pub use answer::SearchAnswer;
pub use file::{OWN_KEYS, SearchFile};

use self::evolve::Draws;
use self::goals::Goals;
use self::run::SearchRun;
use super::ANSWER;
use super::axes::{Axes, Genes};
use super::reader::{HELD_OUT_FROM, Reader};
use super::sets::Images;
use super::setting::Setting;
use super::space::GridPoint;
use super::sweep::{Shard, There, claim};
use crate::config::{Document, Overrides};
use crate::effect::{everywhere, sentences};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::output::{DERIVED, ORIGIN, OutputFolder, canonical, origin};
use crate::report::{NOTES, RAN};

/// All candidates, a row each.
pub const TRIED_CSV: &str = "tried.csv";
/// Files that a search writes, beside tables and report.
pub const FILES: [&str; 10] = [
    "trials-*",
    TRIED_CSV,
    ANSWER,
    "best.toml",
    "best_model.toml",
    "best.safetensors",
    "next.toml",
    "next_model.toml",
    "next.safetensors",
    "front_*",
];

/// Candidates that are timed.
const TIMED: usize = 4;

/// A search with everything read and checked.
///
/// # Examples
/// ```no_run
/// use crosspike::{Backend, Overrides, Search, Shard, Silent, There};
///
/// let search = Search::read("recipes/fashion_search.toml".as_ref(), &Overrides::default())?;
/// let engine = Backend::Auto.open(|said| eprintln!("{said}"))?;
/// let folder = search.claim(engine.as_ref(), "runs/search".as_ref(), There::Refused)?;
/// let answer = search.run_into(engine.as_ref(), &folder, Shard { index: 1, of: 1 }, None, &Silent)?;
/// println!("{}", answer.lead);
/// # Ok::<(), crosspike::Error>(())
/// ```
pub struct Search {
    document: Document,
    overrides: Overrides,
    file: SearchFile,
    space: Axes,
    goals: Goals,
    origin: Value,
    notices: Vec<String>,
}

impl Search {
    /// Reads the search file and everything it names; its first candidates are validated before anything runs.
    ///
    /// # Errors
    /// Where a file is not what it should be, no candidate is a chip, or a key of the space has no effect at any of the
    /// first candidates.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        Self::from_document(Document::read(path)?, overrides)
    }

    /// Reads everything that a search file names, which is read itself already.
    ///
    /// # Errors
    /// Those of [`Search::read`].
    pub fn from_document(mut document: Document, overrides: &Overrides) -> Result<Self> {
        overrides.own.iter().try_for_each(|assignment| document.set(assignment))?;
        let file = SearchFile::from_document(&document)?;
        let (space, goals) = (Axes::read(&file.asked(), &document, overrides)?, Goals::read(&file, &document)?);
        let (origin, notices) = (Value::Null, vec![]);
        let overrides = overrides.clone();
        let mut search = Search { document, overrides, file, space, goals, origin, notices };
        (search.origin, search.notices) = search.look()?;
        Ok(search)
    }

    /// Gives the origin of the results and the notices, from the first candidates, the reference, and the images.
    fn look(&self) -> Result<(Value, Vec<String>)> {
        let mut reader = self.reader(self.file.seen())?;
        self.check_images(&mut reader)?;
        reader.of_images(self.file.seen());
        let (mut first, mut refused, mut trainings) = (vec![], None, vec![]);
        for genes in Draws::new(self.file.seed, 0).first(&self.space) {
            let point = self.candidate_point(&genes);
            let setting = reader.setting(&point).and_then(|setting| {
                if self.trains() {
                    let (_, file) = self.training_file(&reader, &self.training_point(&point))?;
                    trainings.push(self.unused(&file));
                }
                Ok(setting)
            });
            match setting {
                Ok(setting) => first.push(setting),
                // A network that has seen the images is wrong by itself, and not with other values.
                Err(error) if matches!(&error, Error::Config { key, .. } if key == HELD_OUT_FROM) => return Err(error),
                Err(error @ Error::Config { .. }) => _ = refused.get_or_insert(error),
                Err(error) => return Err(error),
            }
        }
        if first.is_empty() {
            return Err(refused.unwrap_or_else(|| self.nothing()));
        }
        let mut untrained = everywhere(trainings);
        for axis in &self.space.axes {
            if let Some(why) = reader.why_idle(&axis.key).or(untrained.remove(&axis.key)) {
                let message =
                    format!("{}: has no effect in any candidate: {why}; set what it needs, or leave it out", axis.key);
                return Err(self.document.error(&format!("space.{}", axis.written), message));
            }
        }
        let reference = self.reference_point().map(|point| reader.setting(&point)).transpose()?;
        self.check_ensembles(first.iter().chain(&reference))?;
        untrained.extend(reader.idle());
        let notices = sentences(&untrained).into_iter().chain(reader.remarks().iter().cloned()).collect();
        let valid = self.candidate_point(&self.first_valid(&mut reader)?);
        if self.trains() {
            self.job(&mut reader, &self.training_point(&valid))?;
        }
        let seen = reader.setting(&valid)?;
        reader.of_images(self.file.unseen());
        let unseen = reader.setting(&valid)?;
        self.check_inputs(&seen, &unseen)?;
        let shown = |setting: &Setting| setting.key.to_string();
        let mut of_file = json!(self.file);
        if let Some(keys) = of_file.as_object_mut() {
            // The contents of files are in the names of trials; their places and names determine nothing. A search of
            // more trials goes on with those of one of fewer.
            let others = ["model", "checkpoint", "profile", "data", "test", "name", "question", "trials"];
            others.iter().for_each(|key| _ = keys.remove(*key));
        }
        let mut origin = origin(
            "search",
            json!({
                "study": of_file,
                "set": { "profile": self.overrides.profile, "model": self.overrides.model },
                "first": first.iter().map(shown).collect::<Vec<_>>(),
                "reference": reference.as_ref().map(shown),
                "unseen": unseen.subject.data.fingerprint()?,
            }),
        );
        origin["title"] = self.file.name.clone().into();
        if let Some(question) = &self.file.question {
            origin["question"] = question.clone().into();
        }
        let mut ran = unseen.ran(self.file.validate.chips, self.file.seed);
        // Keys that are searched, and networks that are trained, are each candidate's own.
        let is_searched = |key: &str| self.space.axes.iter().any(|axis| axis.key == key);
        for key in ["model", "profile", "data"].into_iter().filter(|key| is_searched(key)) {
            ran[key].take();
        }
        if self.trains() || is_searched("checkpoint") {
            ran["checkpoint_sha256"].take();
        }
        origin[DERIVED] = json!({ RAN: ran, NOTES: notices });
        Ok((origin, notices))
    }

    /// Refuses more images than a set has.
    fn check_images(&self, reader: &mut Reader) -> Result<()> {
        let SearchFile { limit, validate, .. } = &self.file;
        let mut count = |images: Images| -> Result<usize> {
            reader.of_images(images);
            Ok(reader.judging(&self.file.conditions([]))?.len())
        };
        let (seen, left) = (count(self.file.seen())?, count(self.file.left())?);
        let refuse = |key: &str, message: String| Err(self.document.error(key, message));
        match self.file.held_out_from {
            Some(from) if seen == 0 => {
                return refuse(HELD_OUT_FROM, format!("{from}, and the set has no more training images than that"));
            }
            Some(from) if seen < *limit => {
                let message = format!("{limit}, expected at most the {seen} training images from number {from} on");
                return refuse("limit", message);
            }
            None if left == 0 => {
                let message = format!(
                    "{limit}, expected fewer than the {seen} test images that there are, so that the answer can be \
                     judged on others"
                );
                return refuse("limit", message);
            }
            _ => {}
        }
        match validate.limit {
            Some(limit) if limit > left => {
                refuse("validate.limit", format!("{limit}, expected at most the {left} test images that are left"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses sets of which one would give chips other inputs than the other: what is chosen on one must be what the
    /// other judges.
    fn check_inputs(&self, seen: &Setting, unseen: &Setting) -> Result<()> {
        let inputs = |setting: &Setting| setting.case(self.file.seed).inputs();
        if inputs(seen)? == inputs(unseen)? {
            return Ok(());
        }
        let message = "training and test images have values of other ranges, and chips' inputs would have other codes; \
                       expected images of one range, or none held out";
        Err(self.document.error(HELD_OUT_FROM, message))
    }

    /// Refuses chips that answer together where chips have images of their own.
    fn check_ensembles<'s>(&self, mut settings: impl Iterator<Item = &'s Setting>) -> Result<()> {
        let key = match (self.file.own_images, self.file.validate.own_images) {
            (true, _) => "own_images",
            (_, true) => "validate.own_images",
            _ => return Ok(()),
        };
        if settings.any(|setting| setting.profile.system.ensemble > 1) {
            let message = "chips that answer together (system.ensemble) on images of their own are not modelled; \
                           expected all images for each, or chips by themselves";
            return Err(self.document.error(key, message));
        }
        Ok(())
    }

    /// The first candidate that is a chip.
    fn first_valid(&self, reader: &mut Reader) -> Result<Genes> {
        let mut all = Draws::new(self.file.seed, 0).first(&self.space).into_iter();
        all.find(|genes| reader.setting(&self.candidate_point(genes)).is_ok()).ok_or_else(|| self.nothing())
    }

    fn nothing(&self) -> Error {
        self.document.error("space", "holds no candidate that is a chip")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Notices for the user.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The number of candidates in its space; none where they are more than can be counted.
    pub fn candidates(&self) -> Option<u64> {
        self.space.size()
    }

    /// Trials that it takes, about: a generation that has begun is finished, and those that judge the answer are among
    /// them.
    pub fn trials(&self) -> u64 {
        self.file.trials + self.judging()
    }

    /// The trials that judge the answer, at most.
    fn judging(&self) -> u64 {
        let judged = if self.goals.count() == 1 { 3 } else { 1 + answer::SHOWN as u64 };
        judged * self.file.validate.chips
    }

    /// Estimates the time of a trial: programming a chip and running images, timed at a few of the first candidates.
    ///
    /// # Errors
    /// Those of [`Search::run_into`].
    pub fn timed(&self, engine: &dyn Engine) -> Result<Duration> {
        let mut reader = self.reader(self.file.seen())?;
        let first = Draws::new(self.file.seed, 0).first(&self.space);
        let settings: Vec<Setting> =
            first.iter().filter_map(|genes| reader.setting(&self.candidate_point(genes)).ok()).take(TIMED).collect();
        let times = settings.iter().map(|setting| setting.case(self.file.seed).timed(engine, self.file.chips));
        let times = times.collect::<Result<Vec<Duration>>>()?;
        Ok(times.iter().sum::<Duration>() / times.len().max(1) as u32)
    }

    /// Estimates the time of a training, at the first candidate; none where candidates are not trained.
    ///
    /// # Errors
    /// Where the training cannot be made.
    pub fn training_timed(&self) -> Result<Option<Duration>> {
        if !self.trains() {
            return Ok(None);
        }
        let mut reader = self.reader(self.file.seen())?;
        let first = self.candidate_point(&self.first_valid(&mut reader)?);
        let job = self.job(&mut reader, &self.training_point(&first))?;
        Ok(Some(job.outlook(Path::new(""))?.time()))
    }

    /// Claims a folder for it, which other shards may share.
    ///
    /// # Errors
    /// Where the folder holds what [`There`] does not provide for, or another process works in it.
    pub fn claim(&self, engine: &dyn Engine, out: &Path, there: There) -> Result<OutputFolder> {
        claim(out, &self.origin(engine), there, &FILES)
    }

    /// The inputs that its results depend on, for `origin.json`.
    fn origin(&self, engine: &dyn Engine) -> Value {
        let mut origin = self.origin.clone();
        origin["backend"] = engine.name().into();
        origin
    }

    /// The answer of this very search, where a folder holds it finished.
    pub fn finished(&self, out: &Path) -> Result<Option<String>> {
        let Some(folder) = OutputFolder::finished(out, &self.origin)? else { return Ok(None) };
        let file = folder.file(ANSWER);
        let text = std::fs::read_to_string(&file).map_err(Error::io(&file))?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| Error::file(&file, error.to_string()))?;
        Ok(answer["lead"].as_str().map(String::from))
    }

    /// Searches, judges what is found on chips and images that were not seen, and writes tables, profiles and report;
    /// with other shards of the same folder, this one runs its part of the trials and waits for theirs. Where
    /// `time` is given, no new candidate is tried so late that judging the answer would end after it, about: what is
    /// found then depends on the machine.
    ///
    /// # Errors
    /// Where a chip cannot be made or run, what is asked for is not known on it, or the folder cannot be written.
    pub fn run_into(
        &self,
        engine: &dyn Engine,
        folder: &OutputFolder,
        shard: Shard,
        time: Option<Duration>,
        monitor: &dyn Monitor,
    ) -> Result<SearchAnswer> {
        if time.is_some() && shard.of > 1 {
            return Err(Error::Usage("a search that a time ends: shards decide the same only where none does".into()));
        }
        let mut run = SearchRun::new(self, engine, folder, (shard, time), monitor)?;
        self.notices.iter().for_each(|notice| monitor.notice(notice));
        monitor.begin(&self.file.name, self.trials());
        let found = run.search().and_then(|()| SearchAnswer::find(self, &mut run));
        monitor.end();
        let answer =
            found.map_err(|error| error.leaving("finished trials are stored; the same command goes on from here"))?;
        if shard.index == 1 {
            // Names, which determine nothing, may have changed since the folder was claimed.
            folder.write(ORIGIN, canonical(&self.origin(engine)).as_bytes())?;
            answer.write(self, &run, folder)?;
            crate::report::write(folder.path())?;
            folder.finish()?;
        }
        run.trials.close()?;
        Ok(answer)
    }

    /// A reader of its points, judged on some images.
    fn reader(&self, images: Images) -> Result<Reader<'_>> {
        Reader::new(self.file.common(images), &self.space, &self.document, &self.overrides)
    }

    /// The settings of a candidate, conditions among them.
    fn candidate_point(&self, genes: &[usize]) -> GridPoint {
        let own = self.space.point(genes);
        self.file.conditions(own.iter().map(|(key, value)| (key, value)))
    }

    /// The chips that judge the answer: those behind the search's.
    fn validation_chips(&self) -> std::ops::Range<u64> {
        self.file.chips..self.file.chips + self.file.validate.chips
    }
}
