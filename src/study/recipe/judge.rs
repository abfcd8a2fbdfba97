//! What chips do: the trials of one network on one hardware, run where they are not in the cache.

use super::Recipe;
use super::cache::Cache;
use crate::attack::{AttackPlan, Judged};
use crate::crossbar::kept::KeptCells;
use crate::data::Dataset;
use crate::engine::Engine;
use crate::engine::exit::ExitRule;
use crate::engine::price::Price;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::Network;
use crate::profile::Profile;
use crate::study::case::Case;
use crate::study::sets::{Images, Sets};
use crate::study::trial::{Key, Trial};
use crate::system::{Architecture, Areas};
use crate::train::adapt::Sample;
use std::ops::Range;
use std::sync::Arc;

/// Images that an attack's gradients are taken of at once; never changes a result.
const ATTACKED_AT_ONCE: usize = 64;

/// The data sets of a recipe, opened once.
pub(super) struct DataSets<'a> {
    recipe: &'a Recipe,
    sets: Sets,
}

/// The images that a question is about.
pub(super) struct QuestionData<'a> {
    data: Arc<Dataset>,
    profiled: Option<Arc<Dataset>>,
    adapt: Option<(&'a Sample, Arc<Dataset>)>,
}

/// Runs chips on the test images.
pub(super) struct Judge<'a> {
    recipe: &'a Recipe,
    engine: &'a dyn Engine,
    monitor: &'a dyn Monitor,
    data_sets: DataSets<'a>,
    /// The cells of questions that differ only behind them.
    kept: KeptCells,
    /// Notices that were given already.
    noticed: Vec<String>,
}

/// What is asked of some chips.
pub(super) struct Question<'a> {
    pub profile: &'a Profile,
    /// The network, and its hash.
    pub network: (&'a Network, &'a str),
    /// The first images of the test set; none: all.
    pub limit: Option<usize>,
    /// The index of the stage whose sample its chips are adapted on.
    pub adapted: Option<usize>,
    pub exit: Option<ExitRule>,
    /// An attack with one ε.
    pub attack: Option<&'a AttackPlan>,
    /// What progress is shown under.
    pub title: &'a str,
    /// Whether the network comes from elsewhere: then what its chips are like is worth a line.
    pub taken: bool,
}

/// What some chips did, and what a chip is.
pub(super) struct Found {
    /// The trials in the order of the chips, one where all are the same.
    pub trials: Vec<Trial>,
    /// Bytes of the RRAM's weights.
    pub rram_bytes: f64,
    /// The areas of its layers and components.
    pub areas: Areas,
}

impl<'a> DataSets<'a> {
    pub fn new(recipe: &'a Recipe) -> Self {
        DataSets { recipe, sets: Sets::default() }
    }

    /// The images that a question is about.
    pub fn of(&mut self, question: &Question) -> Result<QuestionData<'a>> {
        let Recipe { file, document, .. } = self.recipe;
        let data = self.sets.judging(document, &file.names(), Images::first(question.limit))?;
        let profiled = self.recipe.profiled(&mut self.sets, question.profile)?;
        let adapt = question.adapted.map(|stage| self.recipe.adapted(&mut self.sets, stage)).transpose()?.flatten();
        Ok(QuestionData { data, profiled, adapt })
    }
}

impl QuestionData<'_> {
    /// The case of a question: all that determines its trials.
    pub fn case<'c>(&'c self, recipe: &'c Recipe, question: &Question<'c>) -> Case<'c> {
        Case {
            profile: question.profile,
            model: &recipe.model,
            network: question.network,
            encoding: recipe.encoding,
            seed: recipe.file.seed,
            data: &self.data,
            per_chip: None,
            profiled: self.profiled.as_deref(),
            adapt: self.adapt.as_ref().map(|(sample, training)| (*sample, &**training)),
            exit: question.exit,
            attack: question.attack,
        }
    }
}

impl<'a> Judge<'a> {
    pub fn new(recipe: &'a Recipe, engine: &'a dyn Engine, monitor: &'a dyn Monitor) -> Self {
        Judge { recipe, engine, monitor, data_sets: DataSets::new(recipe), kept: KeptCells::default(), noticed: vec![] }
    }

    /// What some chips do.
    pub fn trials(&mut self, cache: &mut Cache, question: &Question, chips: Range<u64>) -> Result<Found> {
        let data = self.data_sets.of(question)?;
        let case = data.case(self.recipe, question);
        let blueprint = case.blueprint()?;
        for notice in blueprint.remarks().iter().filter(|_| question.taken) {
            if !self.noticed.contains(notice) {
                self.monitor.line(notice);
                self.noticed.push(notice.clone());
            }
        }
        let chips = if blueprint.varies() { chips } else { chips.start..chips.start + 1 };
        let key = case.key(&blueprint)?;
        let mut trials = cache.trials(key);
        trials.retain(|chip, _| chips.contains(chip));
        let missing: Vec<u64> = chips.filter(|chip| !trials.contains_key(chip)).collect();
        if !missing.is_empty() {
            self.run(&case, key, missing, question, |trial| {
                cache.keep(&trial, &self.engine.name())?;
                trials.insert(trial.chip, trial);
                Ok(())
            })?;
        }
        let areas = Architecture::of(blueprint.plan()).areas_together();
        Ok(Found { trials: trials.into_values().collect(), rram_bytes: blueprint.rram_bytes(), areas })
    }

    /// Runs some chips.
    fn run(
        &self,
        case: &Case,
        key: Key,
        missing: Vec<u64>,
        question: &Question,
        mut each: impl FnMut(Trial) -> Result<()>,
    ) -> Result<()> {
        let (document, steps) = (&self.recipe.document, case.model.steps);
        let [_, training] = self.recipe.file.names();
        let blueprint = case.calibrated(&self.kept).map_err(document.locate(&training.key))?;
        let price = Price::of(&blueprint);
        self.monitor.begin(question.title, missing.len() as u64);
        let mut done = 0;
        let mut keep = |trial: Trial| {
            each(trial)?;
            done += 1;
            self.monitor.progress(done, "");
            if self.monitor.stop() { Err(Error::Interrupted(String::new())) } else { Ok(()) }
        };
        let ran = match case.attack {
            Some(plan) => {
                let attack = plan.attack(case.seed, case.data).map_err(document.locate("evaluate.attack"))?;
                let series = (missing, ATTACKED_AT_ONCE);
                attack.series(self.engine, case.data, &blueprint, series, self.monitor, |chip, judged: &[Judged]| {
                    keep(Trial::attacked(key, chip, &judged[0], steps))
                })
            }
            None => {
                let adapt = format!("stage[{}].adapt", question.adapted.unwrap_or_default());
                let evaluation = case.evaluation(self.engine, None).map_err(document.locate(&adapt))?;
                evaluation.series(&blueprint, missing, |chip, result| keep(Trial::of(key, chip, result, steps, &price)))
            }
        };
        self.monitor.end();
        ran
    }
}
