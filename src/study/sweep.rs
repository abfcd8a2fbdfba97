//! A sweep: a grid of settings x chips. Every trial is a pure function of its inputs, so results are the same bytes for
//! any threads, shards, order and number of kills.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::store::{self, Store, Trial, shard_name};
use super::table::{self, ChipRow, Point};
use crate::checkpoint::Checkpoint;
use crate::chip::{Blueprint, Chip};
use crate::config::{Document, Overrides};
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::evaluate::{ChipResult, Evaluation, check_fit};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::output::OutputFolder;
use crate::profile::Profile;

/// Files that a sweep writes.
pub const FILES: [&str; 6] = ["results.csv", "summary.csv", "report.html", "accuracy.svg", "timing*", "trials-*"];

/// Keys of a sweep file that an override may set.
pub const OWN_KEYS: [&str; 10] =
    ["name", "model", "checkpoint", "profile", "data", "test", "encoding", "limit", "chips", "seed"];

/// A sweep file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// A name for reports.
    pub name: String,
    /// The model file.
    pub model: PathBuf,
    /// The checkpoint to program.
    pub checkpoint: PathBuf,
    /// The profile file; absent: the ideal chip.
    pub profile: Option<PathBuf>,
    /// The data set; its test images are evaluated.
    pub data: String,
    /// The data set to evaluate on instead, where one file holds one set only.
    pub test: Option<String>,
    /// The encoder.
    pub encoding: Option<Encoding>,
    /// The first images of the test set; absent: all.
    pub limit: Option<usize>,
    /// Chips a point.
    #[serde(default = "one")]
    pub chips: u64,
    /// The seed of chips and encoding.
    #[serde(default = "one")]
    pub seed: u64,
    /// Values by key: profile keys, and model keys under `model.`.
    #[serde(default)]
    pub grid: toml::Table,
}

fn one() -> u64 {
    1
}

/// One point: what the grid sets, and the hardware and network that come of it.
struct Setting {
    shown: Vec<(String, String)>,
    profile: Profile,
    model: Model,
}

/// A sweep with everything read and checked.
pub struct Sweep {
    file: SweepFile,
    points: Vec<Setting>,
    checkpoint: Checkpoint,
    data: Dataset,
    base: Profile,
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
        for assignment in &overrides.own {
            document.set(assignment)?;
        }
        let mut file: SweepFile = document.parse()?;
        for (key, value, most) in [("chips", file.chips, 1 << 20), ("limit", file.limit.unwrap_or(1) as u64, u64::MAX)]
        {
            if !(1..=most).contains(&value) {
                return Err(document.error(key, format!("{value}, expected at least 1 and at most {most}")));
            }
        }
        file.model = document.base("model").join(&file.model);
        file.checkpoint = document.base("checkpoint").join(&file.checkpoint);
        file.profile = file.profile.map(|p| document.base("profile").join(p));
        let settings = grid_points(&document, &file.grid)?;
        let mut profile_document = match &file.profile {
            Some(path) => Document::read(path)?,
            None => Document::parse_text(Path::new("ideal profile"), "name = \"ideal\"".into())?,
        };
        let mut model_document = Document::read(&file.model)?;
        overrides.profile.iter().try_for_each(|assignment| profile_document.set(assignment))?;
        overrides.model.iter().try_for_each(|assignment| model_document.set(assignment))?;
        let mut points = Vec::new();
        for point in settings {
            let (mut profile, mut model) = (profile_document.clone(), model_document.clone());
            for (key, value) in &point {
                let place = document.place(&format!("grid.{key}"));
                match key.strip_prefix("model.") {
                    Some(key) => model.set_value(key, value.clone(), place)?,
                    None => profile.set_value(key, value.clone(), place)?,
                }
            }
            let shown = point.iter().map(|(k, v)| (k.clone(), cell(v))).collect();
            let (profile, model) = (Profile::from_document(&profile)?, Model::from_document(&model)?);
            points.push(Setting { shown, profile, model });
        }
        let (key, spec) = file.test.as_ref().map_or(("data", &file.data), |test| ("test", test));
        let data = Dataset::open(spec, document.base(key), Split::Test)?.limit(file.limit.unwrap_or(usize::MAX));
        let checkpoint = Checkpoint::read(&file.checkpoint)?;
        for Setting { model, .. } in &points {
            check_fit(&data, model)?;
            Network::from_checkpoint(model, &checkpoint)?;
        }
        Ok(Sweep { base: Profile::from_document(&profile_document)?, file, points, checkpoint, data })
    }

    /// What the results depend on, for `origin.json`.
    pub fn origin(&self, engine: &dyn Engine) -> Value {
        let grid: Vec<_> = self.points.iter().map(|p| &p.shown).collect();
        let mut origin = crate::output::origin(
            "sweep",
            json!({
                "profile": self.base,
                "model": self.points[0].model,
                "data": self.data.spec(),
                "data_fingerprint": self.data.fingerprint(),
                "images": self.data.len(),
                "encoding": self.file.encoding,
                "checkpoint_sha256": self.checkpoint.hash(),
                "chips": self.file.chips,
                "seed": self.file.seed,
                "points": grid,
            }),
        );
        origin["title"] = self.file.name.clone().into();
        origin["backend"] = engine.name().into();
        origin
    }

    /// Runs this shard's missing trials; gives whether the whole sweep is complete.
    pub fn run(&self, engine: &dyn Engine, folder: &OutputFolder, shard: Shard, monitor: &dyn Monitor) -> Result<bool> {
        let (mut store, finished) = Store::open(&folder.file(&shard_name(shard.index, shard.of)))?;
        let finished: BTreeSet<(u64, u64)> = finished.iter().map(|t| (t.point, t.chip)).collect();
        let chips = self.file.chips;
        let trials = (0..self.points.len() as u64).flat_map(|p| (0..chips).map(move |c| (p, c)));
        let mine: Vec<_> =
            trials.enumerate().filter(|(i, _)| i % shard.of == shard.index - 1).map(|(_, trial)| trial).collect();
        let images: Vec<usize> = (0..self.data.len()).collect();
        let began = Instant::now();
        monitor.begin(&self.file.name, mine.len() as u64);
        let mut done = 0;
        for (p, Setting { profile, model, .. }) in self.points.iter().enumerate() {
            let missing: Vec<u64> =
                mine.iter().filter(|(point, _)| *point == p as u64).map(|(_, chip)| *chip).collect();
            if missing.iter().all(|chip| finished.contains(&(p as u64, *chip))) {
                done += missing.len() as u64;
                continue;
            }
            let network = Network::from_checkpoint(model, &self.checkpoint)?;
            let encoding = Encoding::resolve(self.file.encoding, self.data.frame_steps(), model.steps)?;
            let blueprint = Blueprint::new(profile, model, &network, encoding, self.file.seed)?;
            if p == 0 {
                blueprint.notices().iter().for_each(|n| monitor.line(n));
            }
            let encoder = Encoder::new(encoding, model.input, self.file.seed, 0);
            let evaluation = Evaluation { engine, data: &self.data, images: &images, encoder, batch: 64 };
            let mut last: Option<(Chip, ChipResult)> = None;
            for chip in missing {
                if !finished.contains(&(p as u64, chip)) {
                    let programmed = Chip::program(&blueprint, chip);
                    // Without variation every chip is the same one.
                    let result = match last.take() {
                        Some((same, result)) if same == programmed => result,
                        _ => evaluation.run(&programmed)?,
                    };
                    let correct = (result.accuracy / 100.0 * images.len() as f64).round() as u64;
                    let spikes = result.counts.total_spikes();
                    store.push(Trial { point: p as u64, chip, correct, images: images.len() as u64, spikes })?;
                    last = Some((programmed, result));
                }
                done += 1;
                monitor.progress(done, "");
                if monitor.stop() {
                    monitor.end();
                    return Err(Error::Interrupted(
                        "finished trials are stored; the same command goes on from here".into(),
                    ));
                }
            }
        }
        monitor.end();
        let timing =
            format!("shard,trials,seconds\n{},{},{:.2}\n", shard.index, mine.len(), began.elapsed().as_secs_f64());
        let timing_file = if shard.of == 1 { "timing.csv".into() } else { format!("timing-{}.csv", shard.index) };
        folder.write(&timing_file, timing.as_bytes())?;
        let settings: Vec<_> = self.points.iter().map(|p| p.shown.clone()).collect();
        merge(folder, &settings, chips)
    }
}

/// Merges all shards' trials into the tables when none is missing.
pub fn merge(folder: &OutputFolder, settings: &[Vec<(String, String)>], chips: u64) -> Result<bool> {
    let trials = store::read_all(folder.path())?;
    if trials.len() as u64 != settings.len() as u64 * chips {
        return Ok(false);
    }
    let row = |t: &Trial| ChipRow {
        chip: t.chip,
        accuracy: 100.0 * t.correct as f64 / t.images as f64,
        spikes_per_image: t.spikes as f64 / t.images as f64,
    };
    let point = |(p, settings): (usize, &Vec<(String, String)>)| Point {
        settings: settings.clone(),
        chips: trials.range((p as u64, 0)..(p as u64 + 1, 0)).map(|(_, t)| row(t)).collect(),
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

/// The product of the grid's values, the last key running fastest.
fn grid_points(document: &Document, grid: &toml::Table) -> Result<Vec<Vec<(String, toml::Value)>>> {
    let mut points = vec![vec![]];
    for (key, values) in grid {
        let place = format!("grid.{key}");
        let values = values.as_array().filter(|v| !v.is_empty()).ok_or_else(|| {
            document.error(
                &place,
                "expected a quoted key with a list of values, such as \"rram.variation.scale\" = [0.0, 1.0]",
            )
        })?;
        if points.len().saturating_mul(values.len()) > 1 << 20 {
            return Err(document.error(&place, "the grid has more than 1048576 points"));
        }
        points = points
            .iter()
            .flat_map(|point: &Vec<_>| {
                values.iter().map(move |v| [point.clone(), vec![(key.clone(), v.clone())]].concat())
            })
            .collect();
    }
    Ok(points)
}

/// A value as it stands in a table: strings bare.
fn cell(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}
