//! What chips do: the trials of one network on one hardware, run where they are not in the cache.

use std::ops::Range;
use std::sync::Arc;

use serde_json::json;

use super::Recipe;
use super::cache::Cache;
use crate::attack::{Judged, Plan};
use crate::chip::Blueprint;
use crate::crossbar::cost::chip_area_mm2;
use crate::data::{Dataset, Split};
use crate::engine::Engine;
use crate::engine::calibrate::with_ranges;
use crate::engine::evaluate::Evaluation;
use crate::engine::exit::ExitRule;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::{Encoder, Network};
use crate::profile::Profile;
use crate::study::trial::Trial;
use crate::train::adapt::{Adaptation, Sample};

/// Images that an attack's gradients are taken of at once; never changes a result.
const ATTACKED_AT_ONCE: usize = 64;

/// Runs chips on the test images.
pub(super) struct Judge<'a> {
    recipe: &'a Recipe,
    engine: &'a dyn Engine,
    monitor: &'a dyn Monitor,
    /// The test set, cut to each number of images that was asked for.
    sets: Vec<(usize, Dataset)>,
    /// Notices that were given already.
    noticed: Vec<String>,
}

/// What is asked of some chips.
pub(super) struct Question<'a> {
    pub profile: &'a Profile,
    /// The network, and the hash of its checkpoint.
    pub network: (&'a Network, &'a str),
    /// The first images of the test set; none: all.
    pub limit: Option<usize>,
    pub adapt: Option<&'a Sample>,
    pub exit: Option<ExitRule>,
    /// With one ε.
    pub attack: Option<&'a Plan>,
    /// The index of the stage that asks, for errors.
    pub stage: usize,
    /// What progress is shown under.
    pub title: &'a str,
    /// Whether the network comes from elsewhere: then notices about keys without effect are worth a line.
    pub taken: bool,
}

/// What some chips did, and what a chip is.
pub(super) struct Found {
    /// In the order of the chips, one where all are the same.
    pub trials: Vec<Trial>,
    /// Bytes of the RRAM's weights.
    pub rram_bytes: f64,
    /// Area in square millimetre, where the profile says.
    pub area_mm2: Option<f64>,
}

impl Found {
    fn of(mut trials: Vec<Trial>, blueprint: &Blueprint) -> Self {
        trials.sort_by_key(|trial| trial.chip);
        let area_mm2 = chip_area_mm2(blueprint.profile(), blueprint.model());
        Found { trials, rram_bytes: blueprint.rram_bytes(), area_mm2 }
    }
}

impl<'a> Judge<'a> {
    pub fn new(recipe: &'a Recipe, engine: &'a dyn Engine, monitor: &'a dyn Monitor) -> Self {
        Judge { recipe, engine, monitor, sets: vec![], noticed: vec![] }
    }

    /// What some chips do.
    pub fn trials(&mut self, cache: &Cache, question: &Question, chips: Range<u64>) -> Result<Found> {
        let Recipe { model, encoding, file, document, data: whole, .. } = self.recipe;
        let (network, hash) = question.network;
        let blueprint = Blueprint::new(question.profile, model, network, *encoding, file.seed)?;
        let open_training = || whole.training_beside(Some(&file.data), document.base("data"));
        let calibration_data = question.profile.wants_calibration().then(open_training).transpose();
        let calibration_data = calibration_data.map_err(document.locate("data"))?;
        for notice in blueprint.notices().iter().filter(|_| question.taken) {
            if !self.noticed.contains(notice) {
                self.monitor.line(notice);
                self.noticed.push(notice.clone());
            }
        }
        let chips = if blueprint.varies() { chips } else { chips.start..chips.start + 1 };
        let set = self.set(question.limit.unwrap_or(usize::MAX).min(whole.len()))?;
        let data = &self.sets[set].1;
        let place = format!("stage[{}].adapt", question.stage);
        let locate = document.locate(&place);
        let open = |sample: &Sample| sample.open(document.base("stage"), whole).map_err(&locate);
        let training = question.adapt.map(open).transpose()?;
        let mut identity = json!({
            "model": model, "profile": question.profile, "encoding": encoding, "data": data.spec(),
            "data_fingerprint": data.fingerprint(), "images": data.len(), "seed": file.seed, "checkpoint_sha256": hash,
            "sram_checkpoint_sha256": blueprint.companion_hash(), "exit": question.exit, "adapt": question.adapt,
            "adapt_data_fingerprint": training.as_ref().map(Dataset::fingerprint),
        });
        if let Some(training) = &calibration_data {
            identity["calibration_data_fingerprint"] = training.fingerprint().into();
        }
        if let Some(attack) = question.attack {
            identity["attack"] = json!(attack);
        }
        let (key, mut trials, mut store) = cache.trials(&crate::output::origin("evaluate", identity))?;
        trials.retain(|trial| chips.contains(&trial.chip));
        let missing: Vec<u64> = chips.filter(|chip| trials.iter().all(|trial| trial.chip != *chip)).collect();
        if missing.is_empty() {
            return Ok(Found::of(trials, &blueprint));
        }
        let blueprint = match &calibration_data {
            Some(training) => with_ranges(blueprint, file.seed, || Ok(training)).map_err(document.locate("data"))?,
            None => blueprint,
        };
        let price = Price::of(&blueprint);
        self.monitor.begin(question.title, missing.len() as u64);
        let mut done = 0;
        let mut keep = |trial: Trial| {
            store.push(&trial)?;
            trials.push(trial);
            done += 1;
            self.monitor.progress(done, "");
            if self.monitor.stop() {
                self.monitor.end();
                let message = "what is finished is kept; the same command goes on from here";
                return Err(Error::Interrupted(message.into()));
            }
            Ok(())
        };
        match question.attack {
            Some(plan) => {
                let attack = plan.attack(file.seed, data).map_err(document.locate("evaluate.attack"))?;
                let series = (missing, ATTACKED_AT_ONCE);
                attack.series(self.engine, data, &blueprint, series, self.monitor, |chip, judged: &[Judged]| {
                    keep(Trial::attacked(key, chip, &judged[0], model.steps))
                })?;
            }
            None => {
                let draw = |(sample, training): (&Sample, &Dataset)| {
                    Adaptation::draw(network, model, training, *encoding, file.seed, sample).map_err(&locate)
                };
                let adaptation = question.adapt.zip(training.as_ref()).map(draw).transpose()?;
                let encoder = Encoder::new(*encoding, model.input, file.seed, 0);
                let evaluation = Evaluation::on(self.engine, data, encoder, model.steps)
                    .exiting(question.exit.map(|rule| rule.of(network)))
                    .preparing(adaptation.map(|adaptation| Arc::new(adaptation).preparation()));
                evaluation.series(&blueprint, missing, |chip, result| {
                    keep(Trial::of(key, chip, result, model.steps, &price))
                })?;
            }
        }
        self.monitor.end();
        Ok(Found::of(trials, &blueprint))
    }

    /// The place of the test set's first `images`.
    fn set(&mut self, images: usize) -> Result<usize> {
        if let Some(place) = self.sets.iter().position(|(at, _)| *at == images) {
            return Ok(place);
        }
        let (key, spec) = self.recipe.test();
        let data = Dataset::open(spec, self.recipe.document.base(key), Split::Test)?.limit(images);
        self.sets.push((images, data));
        Ok(self.sets.len() - 1)
    }
}
