//! A sweep: points of settings x chips. Every trial is a pure function of its inputs, so results are the same bytes for
//! any threads, shards, order and number of kills.
//!
//! `file` is the schema and the points that it asks for, `run` a shard under way, `plan` what it would do.

mod file;
mod plan;
mod run;

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use file::{Chips, OWN_KEYS, SweepFile, Until};
pub use plan::SweepPlan;

use self::run::SweepRun;
use super::files;
use super::point::Point;
use super::reader::Reader;
use super::setting::{Setting, Subject};
use super::store::{self, OfKey};
use super::table::Tables;
use super::trial::{Key, Trial};
use crate::config::{Document, Overrides};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lock::FolderAccess;
use crate::monitor::Monitor;
use crate::output::{DERIVED, ORIGIN, OVERWRITE, OutputFolder, canonical, origin};
use crate::report;
use crate::system::Areas;

/// Files that a sweep writes, beside tables and report.
pub const FILES: [&str; 2] = ["timing.csv", "trials-*"];
/// What made a folder.
const COMMAND: &str = "sweep";
/// Trials that are looked at together: what is in memory of a sweep, whatever its length.
const TOGETHER: u64 = 1 << 16;

/// A sweep with everything read and checked.
///
/// # Examples
/// ```no_run
/// use crosspike::{Backend, Frame, Overrides, Shard, Silent, Sweep, Table, There};
///
/// let sweep = Sweep::read("recipes/fashion_variation.toml".as_ref(), &Overrides::default())?;
/// let engine = Backend::Auto.open(|said| eprintln!("{said}"))?;
/// let folder = sweep.claim(engine.as_ref(), "runs/variation".as_ref(), There::Refused)?;
/// sweep.run_into(engine.as_ref(), &folder, Shard { index: 1, of: 1 }, &Silent)?;
/// println!("{} points", Frame::of(&sweep.results(&folder)?, Table::Summary).rows());
/// # Ok::<(), crosspike::Error>(())
/// ```
pub struct Sweep {
    file: SweepFile,
    points: Vec<Setting>,
    /// For each point, the first of the same trials: itself, mostly.
    first: Vec<u64>,
    origin: Value,
    notices: Vec<String>,
}

/// What becomes of a folder that holds a finished sweep, or another one.
///
/// # Examples
/// ```
/// # use crosspike::{Backend, Document, Model, Network, Overrides, Shard, Silent, Sweep};
/// use crosspike::There;
///
/// # let folder = std::env::temp_dir().join(format!("crosspike-there-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let model = Model::named("digits", &[])?;
/// # Network::xavier(&model, 1).to_checkpoint(&model, Default::default()).write(&folder.join("net.safetensors"))?;
/// # std::fs::write(folder.join("model.toml"), crosspike::model_document("digits")?.to_toml()).unwrap();
/// # let text = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"net.safetensors\"\ndata = \"digits\"\nlimit = 20\nchips = 1\n\
/// #             [grid]\n\"rram.weight_bits\" = [2, 4]";
/// # let document = Document::parse_text(&folder.join("sweep.toml"), text.into())?;
/// # let sweep = Sweep::from_document(document, &Overrides::default())?;
/// # let engine = Backend::Cpu.open(|_| ())?;
/// # let results = folder.join("results");
/// let claim = |there| sweep.claim(engine.as_ref(), &results, there);
/// sweep.run_into(engine.as_ref(), &claim(There::Refused)?, Shard { index: 1, of: 1 }, &Silent)?;
/// assert!(claim(There::Refused).is_err()); // The folder holds a finished sweep.
/// assert!(claim(There::Resumed).is_ok());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// It is refused.
    Refused,
    /// Its trials count wherever nothing that determines them has changed.
    Resumed,
    /// It is deleted.
    Replaced,
}

impl There {
    /// The choice of a user who asked to resume, to replace, or for neither.
    pub(crate) fn of(resume: bool, replace: bool) -> Self {
        match (resume, replace) {
            (true, _) => There::Resumed,
            (_, true) => There::Replaced,
            _ => There::Refused,
        }
    }
}

/// Part I of N, counted from 1.
///
/// # Examples
/// ```
/// # use crosspike::{Backend, Document, Model, Network, Overrides, Silent, Sweep, There};
/// use crosspike::Shard;
///
/// # let folder = std::env::temp_dir().join(format!("crosspike-shard-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let model = Model::named("digits", &[])?;
/// # Network::xavier(&model, 1).to_checkpoint(&model, Default::default()).write(&folder.join("net.safetensors"))?;
/// # std::fs::write(folder.join("model.toml"), crosspike::model_document("digits")?.to_toml()).unwrap();
/// # let text = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"net.safetensors\"\ndata = \"digits\"\nlimit = 20\nchips = 1\n\
/// #             [grid]\n\"rram.weight_bits\" = [2, 4]";
/// # let document = Document::parse_text(&folder.join("sweep.toml"), text.into())?;
/// # let sweep = Sweep::from_document(document, &Overrides::default())?;
/// # let engine = Backend::Cpu.open(|_| ())?;
/// # let results = folder.join("results");
/// let claimed = sweep.claim(engine.as_ref(), &results, There::Refused)?;
/// let run = |index| sweep.run_into(engine.as_ref(), &claimed, Shard { index, of: 2 }, &Silent);
/// assert!(!run(1)?); // The other half is missing.
/// assert!(run(2)?); // Whichever is the last writes the tables.
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of this part, from 1.
    pub index: usize,
    /// The number of all parts.
    pub of: usize,
}

impl Shard {
    /// Whether a trial is this shard's: one after the other in turn, but whole points where chips are judged one by
    /// one.
    fn holds(&self, chips: &Chips, point: u64, chip: u64) -> bool {
        let number = match chips {
            Chips::Fixed(chips) => point * chips + chip,
            Chips::Until(_) => point,
        };
        number % self.of as u64 == self.index as u64 - 1
    }
}

impl Sweep {
    /// Reads the sweep file and everything it names; every point is validated before anything runs.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        Self::from_document(Document::read(path)?, overrides)
    }

    /// Reads everything that a sweep file names, which is read itself already.
    pub fn from_document(mut document: Document, overrides: &Overrides) -> Result<Self> {
        overrides.own.iter().try_for_each(|assignment| document.set(assignment))?;
        let (file, grid) = SweepFile::from_document(&document)?;
        file.check_overrides(overrides)?;
        let mut reader = Reader::new(file.common(), &file, &document, overrides)?;
        let points = grid.iter().map(|point| reader.setting(point)).collect::<Result<Vec<_>>>()?;
        // The part that points have in common need not be a chip by itself: they may set what it lacks.
        let (profile, notices) = (reader.common_profile()?, reader.notices(&points)?);
        let first = first_of(&points);
        let Subject { model, checkpoint, encoding, data, .. } = &*points[0].subject;
        let mut of_all = origin(
            COMMAND,
            json!({
                "profile": profile,
                "model": model,
                "data": data.spec(),
                "data_fingerprint": data.fingerprint()?,
                "images": data.len(),
                "encoding": encoding,
                "checkpoint_sha256": checkpoint,
                "chips": file.chips,
                "seed": file.seed,
                "points": points.iter().map(|p| &p.shown).collect::<Vec<_>>(),
                "keys": points.iter().map(|p| p.key).collect::<Vec<_>>(),
            }),
        );
        of_all[DERIVED] = json!(Derived::of(&points, &file));
        of_all["title"] = file.name.clone().into();
        if let Some(question) = &file.question {
            of_all["question"] = question.clone().into();
        }
        Ok(Sweep { file, points, first, origin: of_all, notices })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// What the user should know of it.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// How many points it has.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// What the results depend on, for `origin.json`.
    pub fn origin(&self, engine: &dyn Engine) -> Value {
        let mut origin = self.origin.clone();
        origin["backend"] = engine.name().into();
        origin
    }

    /// Claims a folder for it, which other shards may share.
    ///
    /// # Errors
    /// Where the folder holds what [`There`] does not provide for, or another process works in it.
    pub fn claim(&self, engine: &dyn Engine, out: &Path, there: There) -> Result<OutputFolder> {
        let origin = self.origin(engine);
        claim(out, &origin, there, &FILES)
    }

    /// Runs this shard's missing trials, and writes tables and report where no other's are missing; gives whether they
    /// are written.
    ///
    /// # Errors
    /// Those of [`Sweep::run`].
    pub fn run_into(
        &self,
        engine: &dyn Engine,
        folder: &OutputFolder,
        shard: Shard,
        monitor: &dyn Monitor,
    ) -> Result<bool> {
        let complete = self.run(engine, folder, shard, monitor)?;
        if complete {
            // Keys that change no number, such as `within`, may have changed since the folder was claimed.
            folder.write(ORIGIN, canonical(&self.origin(engine)).as_bytes())?;
            report::write(folder.path())?;
            folder.finish()?;
        }
        Ok(complete)
    }

    /// Runs this shard's missing trials; gives whether the whole sweep is complete.
    pub fn run(&self, engine: &dyn Engine, folder: &OutputFolder, shard: Shard, monitor: &dyn Monitor) -> Result<bool> {
        let mut run = SweepRun::new(self, engine, folder, shard, monitor)?;
        self.notices.iter().for_each(|notice| monitor.notice(notice));
        monitor.begin(&self.file.name, self.held(shard));
        let ran = self.points_together().try_for_each(|points| run.points(points));
        monitor.end();
        ran.map_err(|error| error.leaving("finished trials are stored; the same command goes on from here"))?;
        run.close()?;
        merge(folder, &self.listed(), &self.file.chips, &Derived::of(&self.points, &self.file))
    }

    /// The points of a finished sweep, in the order of its tables, from the trials that a folder holds.
    pub fn results(&self, folder: &OutputFolder) -> Result<Vec<Point>> {
        let mut points = vec![];
        let derived = Derived::of(&self.points, &self.file);
        each_point(folder, &self.listed(), &self.file.chips, &derived, |point| {
            points.push(point);
            Ok(())
        })?;
        Ok(points)
    }

    fn listed(&self) -> Vec<Listed> {
        self.points.iter().map(|point| (point.key, point.shown.clone())).collect()
    }

    /// Trials of a shard, at most.
    fn held(&self, shard: Shard) -> u64 {
        let (points, chips, of) = (self.points.len() as u64, self.file.chips.most(), shard.of as u64);
        let count = |trials: u64| trials.saturating_sub(shard.index as u64 - 1).div_ceil(of);
        match self.file.chips {
            Chips::Fixed(_) => count(points * chips),
            Chips::Until(_) => count(points) * chips,
        }
    }

    /// Points whose trials are looked at together.
    fn points_together(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        together(self.points.len(), &self.file.chips)
    }
}

/// For each point, the number of the first with its key.
fn first_of(points: &[Setting]) -> Vec<u64> {
    let mut firsts = HashMap::new();
    (0..).zip(points).map(|(number, point)| *firsts.entry(point.key).or_insert(number)).collect()
}

/// Numbers of points that are looked at together.
fn together(points: usize, chips: &Chips) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let count = (TOGETHER / chips.most()).max(1) as usize;
    (0..points).step_by(count).map(move |first| first..points.min(first + count))
}

/// The accuracies of a point's chips from the first one on, as far as none is missing.
fn first_ones(trials: &OfKey) -> Vec<f64> {
    (0..)
        .zip(trials)
        .take_while(|(number, (chip, _))| number == *chip)
        .map(|(_, (_, trial))| trial.accuracy())
        .collect()
}

/// A point as tables list it: its key, and what is set.
type Listed = (Key, Vec<(String, String)>);

/// What follows from profiles and models that a folder does not hold, so that its tables can be made without them.
#[derive(Default, Serialize, Deserialize)]
struct Derived {
    /// The areas of chips.
    areas: Vec<Areas>,
    /// The place of each point's areas in `areas`.
    areas_of: Vec<usize>,
    /// The layers of each network: names and neurons.
    networks: Vec<Vec<(String, usize)>>,
    /// The place of each point's network in `networks`.
    network_of: Vec<usize>,
    /// The accuracy that a chip must reach, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    acceptable: Option<f64>,
    /// The points of accuracy that a setting may lose and still be the report's answer ([`report::WITHIN`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<f64>,
}

impl Derived {
    fn of(points: &[Setting], file: &SweepFile) -> Self {
        let mut derived = Derived { acceptable: file.acceptable, within: file.within, ..Derived::default() };
        for point in points {
            derived.network_of.push(numbered(&mut derived.networks, point.neurons()));
            derived.areas_of.push(numbered(&mut derived.areas, point.areas.clone()));
        }
        derived
    }

    fn fits(&self, points: usize) -> bool {
        let numbers =
            |numbers: &[usize], of: usize| numbers.len() == points && numbers.iter().all(|number| *number < of);
        numbers(&self.areas_of, self.areas.len()) && numbers(&self.network_of, self.networks.len())
    }
}

/// The number of a value among those that are known, where it is put if it is not one of them.
fn numbered<T: PartialEq>(known: &mut Vec<T>, value: T) -> usize {
    known.iter().position(|other| *other == value).unwrap_or_else(|| {
        known.push(value);
        known.len() - 1
    })
}

/// Merges all shards' trials into the tables when none is missing.
fn merge(folder: &OutputFolder, listed: &[Listed], chips: &Chips, derived: &Derived) -> Result<bool> {
    let mut tables = Tables::new(folder)?;
    let complete = each_point(folder, listed, chips, derived, |point| tables.push(&point))?;
    if complete {
        tables.finish()?;
    }
    Ok(complete)
}

/// Hands over every point with all shards' trials; gives whether none is missing, and ends where one is.
fn each_point(
    folder: &OutputFolder,
    listed: &[Listed],
    chips: &Chips,
    derived: &Derived,
    mut each: impl FnMut(Point) -> Result<()>,
) -> Result<bool> {
    for points in together(listed.len(), chips) {
        let trials = store::read(folder.path(), listed[points.clone()].iter().map(|(key, _)| *key))?;
        for point in points {
            let (key, settings) = &listed[point];
            let trials = &trials[key];
            let Some(count) = chips.enough(&first_ones(trials)) else { return Ok(false) };
            let counted: Vec<&Trial> = trials.range(..count).map(|(_, trial)| trial).collect();
            let (layers, areas) =
                (&derived.networks[derived.network_of[point]], &derived.areas[derived.areas_of[point]]);
            let point = Point::of_trials(settings.clone(), &counted, layers, areas);
            each(point.with_yield(derived.acceptable))?;
        }
    }
    Ok(true)
}

/// Merges a sweep's folder from what its `origin.json` says; a folder of another kind is left alone.
pub fn merge_folder(path: &Path) -> Result<()> {
    let Some((folder, origin)) = OutputFolder::open(path)? else { return Ok(()) };
    if origin["command"] != COMMAND {
        return Ok(());
    }
    let configuration = &origin["configuration"];
    let settings = serde_json::from_value::<Vec<Vec<(String, String)>>>(configuration["points"].clone());
    let keys = serde_json::from_value::<Vec<Key>>(configuration["keys"].clone());
    let chips = serde_json::from_value::<Chips>(configuration["chips"].clone());
    let derived = serde_json::from_value::<Derived>(origin[DERIVED].clone());
    let listed = settings.and_then(|settings| Ok((settings, keys?, chips?, derived?)));
    let (settings, keys, chips, derived) = match listed {
        Ok(listed) if listed.0.len() == listed.1.len() && listed.3.fits(listed.1.len()) => listed,
        _ => {
            let message =
                "is not of a sweep of this version; `crosspike sweep FILE --out FOLDER --resume` makes it one";
            return Err(Error::file(path.join(ORIGIN), message));
        }
    };
    let listed: Vec<Listed> = keys.into_iter().zip(settings).collect();
    if !merge(&folder, &listed, &chips, &derived)? {
        let found = store::read(path, listed.iter().map(|(key, _)| *key))?;
        let found = listed.iter().map(|(key, _)| found[key].len()).sum::<usize>();
        let message = format!(
            "{found} of {}{} trials are there; run the missing shards first",
            if matches!(chips, Chips::Until(_)) { "at most " } else { "" },
            listed.len() as u64 * chips.most()
        );
        return Err(Error::file(path, message));
    }
    folder.finish()
}

/// Claims a folder for a study of this origin and these files of its own, which other shards may share.
pub(super) fn claim(out: &Path, origin: &Value, there: There, own: &[&'static str]) -> Result<OutputFolder> {
    if there == There::Resumed {
        return match OutputFolder::finished(out, origin)? {
            Some(finished) => Ok(finished),
            None => OutputFolder::take_over(out, origin),
        };
    }
    let claimed = OutputFolder::claim(out, origin, there == There::Replaced, &files(own), FolderAccess::Shared);
    claimed.map_err(keep_what_is_there)
}

/// Says how finished trials are kept, where a folder is refused.
fn keep_what_is_there(error: Error) -> Error {
    match error {
        Error::Usage(message) => Error::Usage(
            message
                .replace(OVERWRITE, "use --resume to go on with the trials that still count, --force to delete them"),
        ),
        other => other,
    }
}
