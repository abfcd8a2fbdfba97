//! A recipe under way: stage by stage, each network trained or taken from the cache and evaluated at its points.

use std::collections::HashMap;
use std::path::PathBuf;

use super::cache::Cache;
use super::judge::{Judge, Question};
use super::{Recipe, Unit, UnitPoint, no_network};
use crate::attack::AttackPlan;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::network::Network;
use crate::output::OutputFolder;
use crate::profile::Profile;
use crate::report::recovery::Settings;
use crate::study::space::{GridPoint, cell};
use crate::study::trial::Trial;
use crate::system::Areas;
use crate::train::config::TrainFile;
use crate::train::job::Job;
use crate::train::prune::Sparsity;

/// A recipe under way.
pub(super) struct RecipeRun<'a> {
    recipe: &'a Recipe,
    cache: Cache,
    judge: Judge<'a>,
    folder: &'a OutputFolder,
    monitor: &'a dyn Monitor,
    /// The checkpoint of each stage with one network, by hardware and stage.
    networks: HashMap<(usize, String), PathBuf>,
}

/// A network that a unit has trained or taken, and the only chip that it is for, where there is one.
struct StageNetwork {
    checkpoint: PathBuf,
    own: Option<u64>,
}

/// An evaluated point, before it is compared with the reference.
pub(super) struct MeasuredPoint {
    pub stage: String,
    pub hardware: usize,
    /// What tells the stage's variant apart.
    pub settings: Settings,
    /// Keys and values that `[evaluate]` sets with effect: with the number of images, these make two stages comparable.
    pub at: Settings,
    /// What the stage's own `evaluate` sets.
    pub own: Settings,
    pub images: u64,
    pub profile: Profile,
    pub trials: Vec<Trial>,
    pub rram_bytes: f64,
    pub areas: Areas,
    pub sparsity: Option<f64>,
}

impl MeasuredPoint {
    /// The percentage of the RRAM's bytes that so many bytes are; none where no layer is on RRAM.
    pub fn share(&self, bytes: f64) -> Option<f64> {
        (self.rram_bytes > 0.0).then(|| 100.0 * bytes / self.rram_bytes)
    }
}

/// The reference's accuracy in percent without variation, by hardware, what `[evaluate]` sets with effect, and number
/// of images: what there is to win back.
pub(super) type Nominal = Vec<((usize, Settings, u64), f64)>;

impl<'a> RecipeRun<'a> {
    pub fn new(
        recipe: &'a Recipe,
        cache: Cache,
        engine: &'a dyn Engine,
        folder: &'a OutputFolder,
        monitor: &'a dyn Monitor,
    ) -> Self {
        RecipeRun {
            recipe,
            cache,
            judge: Judge::new(recipe, engine, monitor),
            folder,
            monitor,
            networks: HashMap::new(),
        }
    }

    /// All stages, then the final ones.
    pub fn go(mut self) -> Result<(Vec<MeasuredPoint>, Nominal)> {
        let file = &self.recipe.file;
        let units = self.recipe.units()?;
        let (mut measured, mut last) = (Vec::new(), Vec::new());
        for (number, unit) in units.iter().enumerate() {
            self.monitor.line(&format!("[{}/{}] {}", number + 1, units.len(), self.recipe.title(unit)));
            let candidates = self.networks(unit)?;
            if unit.stage.hidden {
                continue;
            }
            self.evaluate(unit, &candidates, (file.evaluate.limit, file.evaluate.chips), &mut measured)?;
            if file.last.iter().any(|last| last.stages.contains(&unit.stage.name)) {
                last.push((unit, candidates));
            }
        }
        for (unit, candidates) in &last {
            let Some(at) = &file.last else { break };
            self.monitor.line(&format!("[final] {}", self.recipe.title(unit)));
            self.evaluate(unit, candidates, (at.limit, at.chips.unwrap_or(file.evaluate.chips)), &mut measured)?;
        }
        let nominal = self.nominal(&measured)?;
        Ok((measured, nominal))
    }

    fn network(&self, hardware: usize, stage: &str) -> Result<PathBuf> {
        self.networks.get(&(hardware, stage.to_owned())).cloned().ok_or_else(|| no_network(stage))
    }

    /// The networks of a unit, trained where they are not in the cache.
    fn networks(&mut self, unit: &Unit) -> Result<Vec<StageNetwork>> {
        let recipe = self.recipe;
        let start = match (&unit.stage.from, &unit.stage.checkpoint) {
            (Some(from), _) => Some(self.network(unit.hardware, from)?),
            (None, Some(checkpoint)) => Some(checkpoint.clone()),
            (None, None) => None,
        };
        let train = |own: Option<u64>| -> Result<StageNetwork> {
            let document = recipe.training(unit, start.as_deref(), own)?;
            let file = TrainFile::from_document(&document)?;
            let network = |stage: &str| self.network(unit.hardware, stage);
            let profile = recipe.profile(unit, (&vec![], &vec![]), &network)?;
            let job = Job::new(&document, file, recipe.model.clone(), profile)?;
            Ok(StageNetwork { checkpoint: self.cache.train(&job, self.monitor)?, own })
        };
        let candidates = match (&unit.stage.train, unit.stage.own_chips, start.clone()) {
            (Some(_), Some(chips), _) => (0..chips).map(|chip| train(Some(chip))).collect::<Result<_>>()?,
            (None, _, Some(checkpoint)) => vec![StageNetwork { checkpoint, own: None }],
            _ => vec![train(None)?],
        };
        if let [StageNetwork { checkpoint, own: None }] = candidates.as_slice() {
            if let Some(file) = &unit.stage.save {
                self.folder.write(file, &std::fs::read(checkpoint).map_err(Error::io(checkpoint))?)?;
            }
            self.networks.insert((unit.hardware, unit.stage.name.clone()), checkpoint.clone());
        }
        Ok(candidates)
    }

    /// Evaluates a unit at all its points.
    fn evaluate(
        &mut self,
        unit: &Unit,
        candidates: &[StageNetwork],
        (limit, chips): (Option<usize>, u64),
        measured: &mut Vec<MeasuredPoint>,
    ) -> Result<()> {
        let shown = |point: &GridPoint| point.iter().map(|(k, v)| (k.clone(), cell(v))).collect::<Vec<_>>();
        let points = self.recipe.points(unit, &|stage| self.network(unit.hardware, stage))?;
        for UnitPoint { common, own, profile } in points {
            for attack in self.recipe.attacks() {
                let mut point = MeasuredPoint {
                    stage: unit.stage.name.clone(),
                    hardware: unit.hardware,
                    settings: shown(&unit.variant),
                    at: shown(&common),
                    own: shown(&own),
                    images: 0,
                    profile: profile.clone(),
                    trials: vec![],
                    rram_bytes: 0.0,
                    areas: Areas::default(),
                    sparsity: None,
                };
                point.at.extend(attack.iter().map(|plan| ("attack.epsilon".into(), plan.epsilon[0].to_string())));
                for candidate in candidates {
                    let chips = candidate.own.map_or(0..chips, |chip| chip..chip + 1);
                    self.add(&mut point, unit, candidate, (limit, chips), attack.as_ref())?;
                }
                measured.push(point);
            }
        }
        Ok(())
    }

    /// Adds a candidate's chips to a point.
    fn add(
        &mut self,
        point: &mut MeasuredPoint,
        unit: &Unit,
        candidate: &StageNetwork,
        (limit, chips): (Option<usize>, std::ops::Range<u64>),
        attack: Option<&AttackPlan>,
    ) -> Result<()> {
        let network = Network::read(&self.recipe.model, &candidate.checkpoint)?.network;
        let hash = network.hash();
        if network.layers.iter().any(|layer| layer.sram.as_ref().is_some_and(|array| array.kept.is_some())) {
            point.sparsity = Some(Sparsity::of_network(&self.recipe.model, &network, 1).percent());
        }
        let title = self.recipe.title(unit);
        let question = Question {
            profile: &point.profile,
            network: (&network, &hash),
            limit,
            adapted: Some(unit.index),
            exit: unit.stage.exit,
            attack,
            title: &title,
            taken: unit.stage.train.is_none(),
        };
        let found = self.judge.trials(&mut self.cache, &question, chips)?;
        point.images = found.trials.first().map_or(0, |trial| trial.images);
        point.trials.extend(found.trials);
        (point.rram_bytes, point.areas) = (found.rram_bytes, found.areas);
        Ok(())
    }

    fn nominal(&mut self, measured: &[MeasuredPoint]) -> Result<Nominal> {
        let reference = self.recipe.file.reference();
        let mut nominal = Nominal::new();
        for point in measured.iter().filter(|point| point.stage == reference) {
            let at = (point.hardware, point.at.clone(), point.images);
            if nominal.iter().any(|(known, _)| *known == at) {
                continue;
            }
            let Ok(checkpoint) = self.network(point.hardware, reference) else { continue };
            let profile = point.profile.without_variation();
            let network = Network::read(&self.recipe.model, &checkpoint)?.network;
            let hash = network.hash();
            let question = Question {
                profile: &profile,
                network: (&network, &hash),
                limit: Some(point.images as usize),
                adapted: None,
                exit: None,
                attack: None,
                title: reference,
                taken: false,
            };
            let trials = self.judge.trials(&mut self.cache, &question, 0..1)?.trials;
            nominal.push((at, trials[0].accuracy()));
        }
        Ok(nominal)
    }
}
