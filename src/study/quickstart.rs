//! The main job in one go, on the embedded digits: train, program with variation, evaluate many chips, compensate.
//!
//! Stages: the float network; from its weights, networks trained for 4-bit cells without variation and with it (VAT);
//! and both 4-bit networks with each chip's companion SRAM array set to what its read-back misses (2 bits at shift −2).

use std::path::Path;

use serde_json::json;

use super::point::{ChipRow, Parts, Point};
use super::trial::{Key, Trial};
use super::{run_into, table};
use crate::chip::Blueprint;
use crate::config::Document;
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::evaluate::Evaluation;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoder, Encoding, Model, Network};
use crate::output::{OutputFolder, origin};
use crate::profile::Profile;
use crate::system::Areas;
use crate::train::config::Recipe;
use crate::train::{Trainer, checkpoint};

/// Files that it writes, beside tables and report.
pub const FILES: [&str; 3] = ["float.safetensors", "baseline.safetensors", "vat.safetensors"];
/// Variation scales: multiples of the published σ.
pub const SCALES: [f64; 4] = [0.0, 0.5, 1.0, 2.0];
/// Chips at each scale but 0, where all chips are the same.
pub const CHIPS: u64 = 20;
const SEED: u64 = 1;
const MODEL: &str = include_str!("../../models/digits.toml");
const PROFILE: &str = include_str!("../../hw_profiles/rram_4bit.toml");
const RESIDUAL: [&str; 3] = ["sram.bits=2", "sram.shift=-2", "sram.init=residual"];

/// One network on one kind of chip.
struct Stage<'a> {
    name: &'static str,
    network: &'a Network,
    overrides: &'static [&'static str],
    scales: &'a [f64],
}

/// One of the trainings.
struct Training {
    name: &'static str,
    file: &'static str,
    overrides: &'static [&'static str],
    variation: bool,
    start: Network,
}

/// Everything that is fixed before training starts.
///
/// # Examples
/// ```no_run
/// use crosspike::{Backend, Quickstart, Silent};
///
/// let engine = Backend::Auto.open(|said| eprintln!("{said}"))?;
/// let points = Quickstart::new()?.run_into(engine.as_ref(), "runs/quickstart".as_ref(), false, &Silent)?;
/// let best = points.iter().map(|point| point.accuracy().mean).fold(0.0, f64::max);
/// assert!(best > 90.0);
/// # Ok::<(), crosspike::Error>(())
/// ```
pub struct Quickstart {
    model: Model,
    profile: Document,
    recipe: Recipe,
    training: Dataset,
    test: Dataset,
}

/// Passes progress on and keeps a training's lines to itself: three of them would bury the table.
struct WithoutLines<'a>(&'a dyn Monitor);

impl Monitor for WithoutLines<'_> {
    fn begin(&self, what: &str, total: u64) {
        self.0.begin(what, total);
    }
    fn skip(&self, units: u64) {
        self.0.skip(units);
    }
    fn progress(&self, done: u64, note: &str) {
        self.0.progress(done, note);
    }
    fn end(&self) {
        self.0.end();
    }
    fn line(&self, _: &str) {}
    fn stop(&self) -> bool {
        self.0.stop()
    }
}

impl Quickstart {
    /// Reads the embedded model, profile and data.
    pub fn new() -> Result<Self> {
        let model = Document::parse_text(Path::new("models/digits.toml"), MODEL.into())?;
        let recipe = Recipe { epochs: 12, batch: 32, seed: SEED, ..Recipe::default() };
        Ok(Quickstart {
            model: Model::from_document(&model)?,
            profile: Document::parse_text(Path::new("hw_profiles/rram_4bit.toml"), PROFILE.into())?,
            recipe,
            training: Dataset::open("digits", Path::new(""), Split::Train)?,
            test: Dataset::open("digits", Path::new(""), Split::Test)?,
        })
    }

    /// What the results depend on.
    pub fn origin(&self, engine: &dyn Engine) -> Result<serde_json::Value> {
        let mut origin = origin(
            "quickstart",
            json!({
                "model": self.model, "profile": Profile::from_document(&self.profile)?, "train": self.recipe,
                "data": "digits", "data_fingerprint": [self.training.fingerprint()?, self.test.fingerprint()?],
                "scales": SCALES, "chips": CHIPS, "seed": SEED, "residual": RESIDUAL,
            }),
        );
        origin["title"] = "A spiking network on varying 4-bit RRAM chips".into();
        origin["question"] = "How much accuracy does programming variation cost, and how much do variation-aware \
            training (VAT) and 2 bits of companion SRAM a weight win back?"
            .into();
        origin["backend"] = engine.name().into();
        Ok(origin)
    }

    /// Trains and evaluates into a folder, which `force` empties of an earlier run, and writes tables and report; gives
    /// the points.
    ///
    /// # Errors
    /// Those of [`OutputFolder::claim`] and [`Quickstart::run`].
    pub fn run_into(&self, engine: &dyn Engine, out: &Path, force: bool, monitor: &dyn Monitor) -> Result<Vec<Point>> {
        run_into(out, &self.origin(engine)?, force, &FILES, |folder| self.run(engine, folder, monitor))
    }

    /// Trains, evaluates and writes the tables; gives the points in the order of the table.
    pub fn run(&self, engine: &dyn Engine, folder: &OutputFolder, monitor: &dyn Monitor) -> Result<Vec<Point>> {
        let origin = self.origin(engine)?;
        let train = |training: Training| self.train(training, folder, &origin, monitor);
        let float = train(Training {
            name: "float network",
            file: "float",
            overrides: &["rram.weight_bits=0"],
            variation: false,
            start: Network::xavier(&self.model, SEED),
        })?;
        let tuned =
            |name, file, variation| train(Training { name, file, overrides: &[], variation, start: float.clone() });
        let baseline = tuned("4-bit network", "baseline", false)?;
        let vat = tuned("4-bit network with variation (VAT)", "vat", true)?;
        let stage = |name, network, overrides, scales| Stage { name, network, overrides, scales };
        let stages = [
            stage("float", &float, &["rram.weight_bits=0", "rram.variation.kind=none"], &[][..]),
            stage("4-bit", &baseline, &[], &SCALES),
            stage("4-bit + SRAM", &baseline, &RESIDUAL, &SCALES),
            stage("VAT", &vat, &[], &SCALES),
            stage("VAT + SRAM", &vat, &RESIDUAL, &SCALES),
        ];
        let total = 1 + (stages.len() as u64 - 1) * (1 + CHIPS * (SCALES.len() as u64 - 1));
        monitor.begin("chips", total);
        let encoder = Encoder::new(Encoding::Poisson, self.model.input, SEED, 0);
        let evaluation = Evaluation::on(engine, &self.test, encoder, self.model.steps);
        let mut points = Vec::new();
        let mut done = 0;
        for stage in &stages {
            let scales: Vec<Option<f64>> = match stage.scales {
                [] => vec![None],
                scales => scales.iter().copied().map(Some).collect(),
            };
            for scale in scales {
                points.push(self.evaluate(stage, scale, &evaluation, &mut done, monitor)?);
            }
        }
        monitor.end();
        table::write(folder, &points)?;
        Ok(points)
    }

    fn train(
        &self,
        training: Training,
        folder: &OutputFolder,
        origin: &serde_json::Value,
        monitor: &dyn Monitor,
    ) -> Result<Network> {
        let Training { name, file, overrides, variation, start } = training;
        let recipe = Recipe { variation, ..self.recipe.clone() };
        let profile = self.profile(overrides, None)?;
        let trainer = Trainer {
            model: &self.model,
            profile: &profile,
            data: &self.training,
            recipe: &recipe,
            prune: None,
            inputs: Encoding::Poisson.into(),
            origin: origin.clone(),
        };
        monitor.line(&format!("training the {name}"));
        let network = trainer.run(start, None, &WithoutLines(monitor))?;
        checkpoint(&network, &self.model, origin, recipe.epochs).write(&folder.file(&format!("{file}.safetensors")))?;
        Ok(network)
    }

    fn profile(&self, overrides: &[&str], scale: Option<f64>) -> Result<Profile> {
        let mut document = self.profile.clone();
        for assignment in overrides {
            document.set(assignment)?;
        }
        if let Some(scale) = scale {
            document.set(&format!("rram.variation.scale={scale:?}"))?;
        }
        Profile::from_document(&document)
    }

    fn evaluate(
        &self,
        stage: &Stage,
        scale: Option<f64>,
        evaluation: &Evaluation,
        done: &mut u64,
        monitor: &dyn Monitor,
    ) -> Result<Point> {
        let profile = self.profile(stage.overrides, scale)?;
        let blueprint = Blueprint::new(&profile, &self.model, stage.network, Encoding::Poisson, SEED)?;
        let price = Price::of(&blueprint);
        let chips = if blueprint.varies() { CHIPS } else { 1 };
        let mut trials = Vec::new();
        evaluation.series(&blueprint, 0..chips, |chip, result| {
            trials.push(Trial::of(Key::default(), chip, result, self.model.steps, &price));
            *done += 1;
            monitor.progress(*done, stage.name);
            if monitor.stop() {
                return Err(Error::Interrupted(String::new()));
            }
            Ok(())
        })?;
        let scale = scale.map_or(String::new(), |s| format!("{s:?}"));
        let settings = vec![("stage".into(), stage.name.into()), ("rram.variation.scale".into(), scale)];
        let split = Parts::of(&trials.iter().collect::<Vec<_>>(), &self.model.neurons(), &Areas::default());
        Ok(Point { settings, chips: trials.iter().map(ChipRow::from).collect(), more: vec![], split })
    }
}
