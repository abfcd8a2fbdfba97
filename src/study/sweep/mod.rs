//! A sweep: a grid of settings x chips. Every trial is a pure function of its inputs, so results are the same bytes for
//! any threads, shards, order and number of kills.

mod file;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

pub use file::{GridPoint, OWN_KEYS, SweepFile, cell, grid_points};

use super::store::{self, Store, Trial, shard_name};
use super::table::{self, Point};
use crate::checkpoint::Checkpoint;
use crate::chip::Blueprint;
use crate::config::{Document, Overrides};
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::calibrate::with_ranges;
use crate::engine::evaluate::{Evaluation, check_fit};
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::output::OutputFolder;
use crate::profile::Profile;

/// Files that a sweep writes.
pub const FILES: [&str; 6] = ["results.csv", "summary.csv", "report.html", "accuracy.svg", "timing.csv", "trials-*"];

/// A network that some points share.
struct Subject {
    model: Model,
    network: Network,
    encoding: Encoding,
}

/// One point: what the grid sets, and the hardware and network that come of it.
struct Setting {
    shown: Vec<(String, String)>,
    profile: Profile,
    subject: Arc<Subject>,
}

/// A sweep with everything read and checked.
pub struct Sweep {
    file: SweepFile,
    points: Vec<Setting>,
    data: Dataset,
    /// The images that converters' ranges are profiled on, where any are.
    training: Option<Dataset>,
    origin: Value,
    notices: Vec<String>,
}

/// Part I of N, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Sweep {
    /// Reads the sweep file and everything it names; every point is validated before anything runs.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        let mut document = Document::read(path)?;
        overrides.own.iter().try_for_each(|assignment| document.set(assignment))?;
        let (file, grid) = SweepFile::from_document(&document)?;
        let mut profile_document = match &file.profile {
            Some(path) => Document::read(path)?,
            None => Document::parse_text(Path::new("ideal profile"), "name = \"ideal\"".into())?,
        };
        let mut model_document = Document::read(&file.model)?;
        overrides.profile.iter().try_for_each(|assignment| profile_document.set(assignment))?;
        overrides.model.iter().try_for_each(|assignment| model_document.set(assignment))?;
        let (key, spec) = file.test.as_ref().map_or(("data", &file.data), |test| ("test", test));
        let data = Dataset::open(spec, document.base(key), Split::Test).map_err(document.locate(key))?;
        let data = data.limit(file.limit.unwrap_or(usize::MAX));
        let checkpoint = Checkpoint::read(&file.checkpoint)?;

        let (mut points, mut notices, mut arrays) = (Vec::<Setting>::new(), Vec::<String>::new(), BTreeSet::new());
        for point in grid {
            let (mut profile, mut model) = (profile_document.clone(), model_document.clone());
            for (key, value) in &point {
                let (place, base) = (document.place(&format!("grid.{key}")), document.base("grid"));
                match key.strip_prefix("model.") {
                    Some(key) => model.set_value(key, value.clone(), place, base)?,
                    None => profile.set_value(key, value.clone(), place, base)?,
                }
            }
            let (profile, model) = (Profile::from_document(&profile)?, Model::from_document(&model)?);
            let subject = match points.last() {
                Some(last) if last.subject.model == model => last.subject.clone(),
                _ => {
                    check_fit(&data, &model).map_err(document.locate(key))?;
                    let encoding = Encoding::resolve(file.encoding, data.frame_steps(), model.steps);
                    let encoding = encoding.map_err(document.locate("encoding"))?;
                    let network = Network::from_checkpoint(&model, &checkpoint);
                    let network = network.map_err(document.locate("checkpoint"))?;
                    Arc::new(Subject { model, network, encoding })
                }
            };
            let blueprint = blueprint(&profile, &subject, file.seed)?;
            for notice in blueprint.notices() {
                if !notices.contains(notice) {
                    notices.push(notice.clone());
                }
            }
            arrays.extend(blueprint.companion_hash().map(String::from));
            let shown = point.iter().map(|(k, v)| (k.clone(), cell(v))).collect();
            points.push(Setting { shown, profile, subject });
        }
        let training = points.iter().any(|point| point.profile.wants_calibration()).then(|| {
            let whole = Dataset::open(spec, document.base(key), Split::Test)?;
            whole.training_beside(Some(&file.data), document.base("data"))
        });
        let training = training.transpose().map_err(document.locate("data"))?;
        let mut origin = crate::output::origin(
            "sweep",
            json!({
                "profile": Profile::from_document(&profile_document)?,
                "model": points[0].subject.model,
                "data": data.spec(),
                "data_fingerprint": data.fingerprint(),
                "images": data.len(),
                "encoding": points[0].subject.encoding,
                "checkpoint_sha256": checkpoint.hash(),
                "sram_checkpoint_sha256": arrays,
                "chips": file.chips,
                "seed": file.seed,
                "points": points.iter().map(|p| &p.shown).collect::<Vec<_>>(),
            }),
        );
        if let Some(training) = &training {
            origin["configuration"]["calibration_data_fingerprint"] = training.fingerprint().into();
        }
        origin["title"] = file.name.clone().into();
        Ok(Sweep { file, points, data, training, origin, notices })
    }

    /// What the results depend on, for `origin.json`.
    pub fn origin(&self, engine: &dyn Engine) -> Value {
        let mut origin = self.origin.clone();
        origin["backend"] = engine.name().into();
        origin
    }

    /// Runs this shard's missing trials; gives whether the whole sweep is complete.
    pub fn run(&self, engine: &dyn Engine, folder: &OutputFolder, shard: Shard, monitor: &dyn Monitor) -> Result<bool> {
        let mut store = Store::open(&folder.file(&shard_name(shard.index, shard.of)))?;
        let finished = store::read_all(folder.path())?;
        let (chips, of, first) = (self.file.chips, shard.of as u64, shard.index as u64 - 1);
        let total = self.points.len() as u64 * chips;
        let (began, mut run) = (Instant::now(), 0);
        self.notices.iter().for_each(|notice| monitor.line(notice));
        monitor.begin(&self.file.name, total.saturating_sub(first).div_ceil(of));
        // Points of one network see the same inputs.
        let mut last: Option<(&Arc<Subject>, Evaluation)> = None;
        for (p, Setting { profile, subject, .. }) in self.points.iter().enumerate() {
            let start = p as u64 * chips;
            let missing: Vec<u64> = (start..start + chips)
                .filter(|trial| trial % of == first && !finished.contains_key(&(p as u64, trial - start)))
                .map(|trial| trial - start)
                .collect();
            if missing.is_empty() {
                continue;
            }
            let blueprint = blueprint(profile, subject, self.file.seed)?;
            let blueprint = match &self.training {
                Some(training) => with_ranges(blueprint, self.file.seed, || Ok(training))?,
                None => blueprint,
            };
            let price = Price::of(&blueprint);
            let evaluation = match last.take() {
                Some((same, evaluation)) if Arc::ptr_eq(same, subject) => evaluation,
                _ => {
                    let encoder = Encoder::new(subject.encoding, subject.model.input, self.file.seed, 0);
                    Evaluation::on(engine, &self.data, encoder, subject.model.steps)
                }
            };
            evaluation.series(&blueprint, missing, |chip, result| {
                store.push(Trial::of(p as u64, chip, result, subject.model.steps, &price))?;
                run += 1;
                monitor.progress((start + chip).saturating_sub(first) / of + 1, "");
                if monitor.stop() {
                    monitor.end();
                    return Err(Error::Interrupted(
                        "finished trials are stored; the same command goes on from here".into(),
                    ));
                }
                Ok(())
            })?;
            last = Some((subject, evaluation));
        }
        monitor.end();
        store::append_timing(&folder.file("timing.csv"), shard.index, shard.of, run, began.elapsed())?;
        let settings: Vec<_> = self.points.iter().map(|p| p.shown.clone()).collect();
        merge(folder, &settings, chips)
    }
}

fn blueprint<'a>(profile: &Profile, subject: &'a Subject, seed: u64) -> Result<Blueprint<'a>> {
    Blueprint::new(profile, &subject.model, &subject.network, subject.encoding, seed)
}

/// Merges all shards' trials into the tables when none is missing.
pub fn merge(folder: &OutputFolder, settings: &[Vec<(String, String)>], chips: u64) -> Result<bool> {
    let trials = store::read_all(folder.path())?;
    if trials.len() as u64 != settings.len() as u64 * chips {
        return Ok(false);
    }
    let point = |(p, settings): (usize, &Vec<(String, String)>)| Point {
        settings: settings.clone(),
        chips: trials.range((p as u64, 0)..(p as u64 + 1, 0)).map(|(_, t)| t.row()).collect(),
        more: vec![],
    };
    let points: Vec<Point> = settings.iter().enumerate().map(point).collect();
    table::write(folder, &points)?;
    Ok(true)
}

/// Merges a sweep's folder from what its `origin.json` says; a folder of another kind is left alone.
pub fn merge_folder(path: &Path) -> Result<()> {
    let Some((folder, origin)) = OutputFolder::open(path)? else { return Ok(()) };
    let configuration = &origin["configuration"];
    let settings = serde_json::from_value::<Vec<Vec<(String, String)>>>(configuration["points"].clone());
    let (Ok(settings), Some(chips)) = (settings, configuration["chips"].as_u64()) else { return Ok(()) };
    if !merge(&folder, &settings, chips)? {
        let found = store::read_all(path)?.len();
        let message =
            format!("{found} of {} trials are there; run the missing shards first", settings.len() as u64 * chips);
        return Err(Error::file(path, message));
    }
    folder.finish()
}
