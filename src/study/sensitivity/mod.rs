//! Sensitivity: the accuracy that one key at a time, of one layer where it is a layer's, costs or wins on the same
//! chips and images.

mod file;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

pub use file::{OWN_KEYS, SensitivityFile};

use super::axes::Axes;
use super::cell::TableValue;
use super::point::Point;
use super::reader::Reader;
use super::runner::Runner;
use super::setting::Setting;
use super::space::cell;
use super::store::{self, OfKey, Store, shard_name};
use super::table;
use super::trial::{Key, Trial};
use super::{ANSWER, run_into};
use crate::config::{Document, Overrides};
use crate::effect::sentences;
use crate::engine::Engine;
use crate::error::Result;
use crate::monitor::Monitor;
use crate::numeric::stats::mean_of_images;
use crate::output::{DERIVED, ORIGIN, OutputFolder, canonical, origin};
use crate::report::{NOTES, RAN};

/// Files that it writes, beside tables and report.
const FILES: [&str; 2] = ["trials-*", ANSWER];

/// A study of sensitivity with everything read and checked.
///
/// # Examples
/// ```no_run
/// use crosspike::{Backend, Overrides, Sensitivity, Silent};
///
/// let study = Sensitivity::read("recipes/digits_sensitivity.toml".as_ref(), &Overrides::default())?;
/// let engine = Backend::Auto.open(|said| eprintln!("{said}"))?;
/// let points = study.run_into(engine.as_ref(), "runs/sensitivity".as_ref(), false, &Silent)?;
/// println!("{} things were changed", points.len() - 1);
/// # Ok::<(), crosspike::Error>(())
/// ```
pub struct Sensitivity {
    file: SensitivityFile,
    /// The conditions as they are, then each change.
    settings: Vec<(Change, Setting)>,
    origin: Value,
    notices: Vec<String>,
}

/// A change: one value of one key.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    /// The layer, where it is one's.
    layer: String,
    key: String,
    value: String,
}

impl Change {
    /// The conditions as they are.
    fn none() -> Self {
        Change { layer: String::new(), key: "as it is".into(), value: String::new() }
    }

    fn of(key: &str, value: &toml::Value) -> Self {
        let (layer, plain) = match key.strip_prefix("layer.").and_then(|rest| rest.split_once('.')) {
            Some((layer, plain)) => (layer, plain),
            None => ("", key),
        };
        let part = value.as_table().filter(|_| plain == "rram.exact");
        let value = part.map_or_else(|| cell(value), in_words);
        Change { layer: layer.into(), key: plain.into(), value }
    }

    fn settings(&self) -> Vec<(String, String)> {
        let Change { layer, key, value } = self.clone();
        vec![("layer".into(), layer), ("key".into(), key), ("value".into(), value)]
    }
}

/// A part of a matrix, its first and last rows and columns.
fn in_words(part: &toml::Table) -> String {
    let range = |(name, range): (&String, &toml::Value)| {
        let number = |place: usize| range.get(place).and_then(toml::Value::as_integer).unwrap_or(0);
        let (first, last) = (number(0), number(1) - 1);
        if first == last {
            format!("{} {first}", name.trim_end_matches('s'))
        } else {
            format!("{name} {first} to {last}")
        }
    };
    part.iter().map(range).collect::<Vec<_>>().join(", ")
}

impl Sensitivity {
    /// Reads the file and everything it names; every change is validated before anything runs.
    ///
    /// # Errors
    /// Where a file is not what it should be, or a change has no effect.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self> {
        Self::from_document(Document::read(path)?, overrides)
    }

    /// Reads everything that a file names, which is read itself already.
    ///
    /// # Errors
    /// Those of [`Sensitivity::read`].
    pub fn from_document(mut document: Document, overrides: &Overrides) -> Result<Self> {
        overrides.own.iter().try_for_each(|assignment| document.set(assignment))?;
        let file = SensitivityFile::from_document(&document)?;
        let space = Axes::read(&file.asked(), &document, overrides)?;
        let mut reader = Reader::new(file.common(), &space, &document, overrides)?;
        let base = reader.setting(&file.conditions(None))?;
        let mut settings = vec![(Change::none(), base)];
        for axis in &space.axes {
            let before = settings.len();
            for value in &axis.values {
                let setting = reader.setting(&file.conditions(Some((&axis.key, value))))?;
                // A value that is in force already is no change.
                if setting.key != settings[0].1.key || setting.areas != settings[0].1.areas {
                    settings.push((Change::of(&axis.key, value), setting));
                }
            }
            if settings.len() == before {
                let why = reader.why_idle(&axis.key).unwrap_or("its values are those in force");
                let message = format!("{}: changes nothing: {why}; set what it needs, or leave it out", axis.key);
                return Err(document.error(&format!("probe.{}", axis.written), message));
            }
        }
        let notices: Vec<String> =
            sentences(&reader.idle()).into_iter().chain(reader.remarks().iter().cloned()).collect();
        let keys = settings.iter().map(|(_, setting)| setting.key.to_string()).collect::<Vec<_>>();
        let changes = settings.iter().map(|(change, _)| change.settings()).collect::<Vec<_>>();
        let mut origin =
            origin("sensitivity", json!({ "chips": file.chips, "seed": file.seed, "keys": keys, "changes": changes }));
        origin["title"] = file.name.clone().into();
        if let Some(question) = &file.question {
            origin["question"] = question.clone().into();
        }
        origin[DERIVED] = json!({ RAN: settings[0].1.ran(file.chips, file.seed), NOTES: notices });
        Ok(Sensitivity { file, settings, origin, notices })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Notices for the user.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Trials that it takes, and the time of one, by the conditions as they are.
    ///
    /// # Errors
    /// Those of [`Sensitivity::run_into`].
    pub fn timed(&self, engine: &dyn Engine) -> Result<(u64, Duration)> {
        let each = self.settings[0].1.case(self.file.seed).timed(engine, self.file.chips)?;
        Ok((self.settings.len() as u64 * self.file.chips, each))
    }

    /// Runs it into a folder, where an unfinished one of the same configuration goes on; gives its points, the
    /// conditions as they are first and then the changes, those that win most accuracy first.
    ///
    /// # Errors
    /// Where the folder holds another run, a chip cannot be made or run, or the folder cannot be written.
    pub fn run_into(&self, engine: &dyn Engine, out: &Path, force: bool, monitor: &dyn Monitor) -> Result<Vec<Point>> {
        let mut origin = self.origin.clone();
        origin["backend"] = engine.name().into();
        run_into(out, &origin, force, &FILES, |folder| {
            self.notices.iter().for_each(|notice| monitor.notice(notice));
            monitor.begin(&self.file.name, self.settings.len() as u64 * self.file.chips);
            let ran = self.run(engine, folder, monitor);
            monitor.end();
            ran.map_err(|error| error.leaving("finished trials are stored; the same command goes on from here"))?;
            let points = self.points(folder)?;
            // Names, which determine nothing, may have changed since the folder was claimed.
            folder.write(ORIGIN, canonical(&origin).as_bytes())?;
            table::write(folder, &points)?;
            folder.write(ANSWER, canonical(&self.answer(&points)).as_bytes())?;
            Ok(points)
        })
    }

    /// Runs what is missing.
    fn run(&self, engine: &dyn Engine, folder: &OutputFolder, monitor: &dyn Monitor) -> Result<()> {
        let mut there = store::read(folder.path(), self.settings.iter().map(|(_, setting)| setting.key))?;
        let mut store = Store::open(&folder.file(&shard_name(1, 1)))?;
        let mut runner = Runner::new(engine, monitor, self.file.seed);
        let mut done = 0;
        for (change, setting) in &self.settings {
            let of_key = there.entry(setting.key).or_default();
            let missing: Vec<u64> = (0..self.file.chips).filter(|chip| !of_key.contains_key(chip)).collect();
            let found = self.file.chips - missing.len() as u64;
            monitor.skip(found);
            done += found;
            let note = format!("{} {} {}", change.layer, change.key, change.value);
            if !missing.is_empty() {
                runner.run(setting, missing, &mut store, |trial| {
                    of_key.insert(trial.chip, trial);
                    done += 1;
                    monitor.progress(done, note.trim());
                })?;
            }
        }
        store.close()
    }

    /// The points, from the trials that a folder holds.
    fn points(&self, folder: &OutputFolder) -> Result<Vec<Point>> {
        let trials = store::read(folder.path(), self.settings.iter().map(|(_, setting)| setting.key))?;
        let mut points: Vec<(f64, Point)> =
            self.settings.iter().map(|(change, setting)| self.point(change, setting, &trials)).collect();
        points[1..].sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(points.into_iter().map(|(_, point)| point).collect())
    }

    /// A point, and the points of accuracy that it wins over the conditions as they are.
    fn point(&self, change: &Change, setting: &Setting, trials: &HashMap<Key, OfKey>) -> (f64, Point) {
        let of = |setting: &Setting| -> Vec<&Trial> {
            trials[&setting.key].range(..self.file.chips).map(|(_, trial)| trial).collect()
        };
        let (own, base) = (of(setting), of(&self.settings[0].1));
        let mut point = Point::of_trials(change.settings(), &own, &setting.neurons(), &setting.areas);
        let won: Vec<f64> = own.iter().zip(&base).map(|(own, base)| own.accuracy() - base.accuracy()).collect();
        // All of so many intervals hold with 95 % confidence (Bonferroni).
        let images = own.iter().map(|trial| trial.images).min().unwrap_or(1);
        let (mean, half) = mean_of_images(&won, images, 1.0 - 0.025 / (self.settings.len() as f64 - 1.0));
        let energy =
            |trials: &[&Trial]| trials.iter().map(|trial| trial.energy_fj.map(|fj| fj as f64)).sum::<Option<f64>>();
        let energy = energy(&own).zip(energy(&base)).map(|(own, base)| 100.0 * (own / base - 1.0));
        point.more.splice(
            0..0,
            [
                ("points_won", TableValue::Number(mean)),
                ("points_won_interval", TableValue::Number(half)),
                ("energy_percent", energy.into()),
            ],
        );
        (mean, point)
    }

    /// The answer in words.
    fn answer(&self, points: &[Point]) -> Value {
        let number = |point: &Point, key: &str| point.number(key).unwrap_or(0.0);
        let named = |point: &Point| {
            let [layer, key, value] = [0, 1, 2].map(|place| point.settings[place].1.as_str());
            if layer.is_empty() { format!("{key} {value}") } else { format!("{key} {value} of {layer}") }
        };
        let said = |point: &Point| {
            let energy = match point.number("energy_percent") {
                Some(percent) if percent.abs() >= 0.05 => format!(", {percent:+.1} % of energy"),
                _ => String::new(),
            };
            format!("{:+.2} ± {:.2} points{energy}", number(point, "points_won"), number(point, "points_won_interval"))
        };
        let changes = &points[1..];
        let sure = |point: &&Point| number(point, "points_won").abs() > number(point, "points_won_interval");
        let (best, worst) = (&changes[0], &changes[changes.len() - 1]);
        let won = match number(best, "points_won") > 0.0 {
            true => format!("Most is won by {}: {}", named(best), said(best)),
            false => "Nothing wins any".into(),
        };
        let lost = match number(worst, "points_won") < 0.0 {
            true => format!("most is lost by {}: {}", named(worst), said(worst)),
            false => "nothing loses any".into(),
        };
        let lead = format!("As it is, accuracy is {:.2} %. {won}; {lost}.", points[0].accuracy().mean);
        let count = changes.iter().filter(sure).count();
        let mut details = vec![format!(
            "{count} of {} changes surely matter: intervals, over {} chips that are the same for all, hold together \
             with 95 % confidence (Bonferroni).",
            changes.len(),
            self.file.chips
        )];
        details.extend(changes.iter().filter(sure).take(10).map(|point| format!("{}: {}.", named(point), said(point))));
        json!({ "lead": lead, "details": details })
    }
}
