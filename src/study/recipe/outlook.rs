//! The outlook of a recipe: trainings and trials that are missing, and how long they may take, timed at one of each
//! stage.
//!
//! A network that is not there yet is stood for by the one that its training starts from: it has the shape, and about
//! the work, of what it will be.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::cache::{self, Known};
use super::judge::{DataSets, Question};
use super::{CACHE, Recipe, Unit, UnitPoint, no_network};
use crate::attack::AttackPlan;
use crate::crossbar::kept::KeptCells;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::Silent;
use crate::network::Network;
use crate::profile::Profile;
use crate::train;
use crate::train::config::TrainFile;
use crate::train::job::Job;
use crate::train::outlook::Outlook as OfTraining;

/// Images that are attacked to time it.
const ATTACKED: usize = 16;

/// The work that a recipe would do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecipeOutlook {
    /// Trainings.
    pub trainings: u64,
    /// Trainings that are finished.
    pub trained: u64,
    /// The time that the other trainings may take.
    pub training: Duration,
    /// Trials, each a chip of a stage at a point.
    pub trials: u64,
    /// Trials that are there.
    pub there: u64,
    /// The time that the other trials may take.
    pub evaluation: Duration,
}

/// A network of a unit, and the only chip that it is for, where there is one.
struct ForeseenNetwork {
    network: At,
    own: Option<u64>,
}

/// A network's file.
#[derive(Clone)]
struct At {
    path: PathBuf,
    /// Whether it is the network itself, and not one that stands for it.
    is_there: bool,
}

/// A walk through the stages.
struct Walk<'a> {
    recipe: &'a Recipe,
    engine: &'a dyn Engine,
    folder: PathBuf,
    known: Known,
    data_sets: DataSets<'a>,
    /// The networks that stand for others.
    stand_ins: TempDir,
    networks: HashMap<(usize, String), At>,
    /// The time of an image in training, by stage and hardware.
    trained: HashMap<(usize, usize), Duration>,
    /// The time of an image of a trial, by stage, hardware, and whether a gradient is taken through the chip.
    judged: HashMap<(usize, usize, bool), Duration>,
    found: RecipeOutlook,
}

impl Recipe {
    /// Says what it would do in a folder, which may hold some of it; nothing is written there.
    ///
    /// # Errors
    /// Where a training or a chip of a stage cannot be made, or the folder cannot be read.
    pub fn outlook(&self, engine: &dyn Engine, out: &Path) -> Result<RecipeOutlook> {
        let folder = out.join(CACHE);
        let walk = Walk {
            recipe: self,
            engine,
            known: Known::read(&folder)?,
            folder,
            data_sets: DataSets::new(self),
            stand_ins: TempDir::new().map_err(Error::io(std::env::temp_dir()))?,
            networks: HashMap::new(),
            trained: HashMap::new(),
            judged: HashMap::new(),
            found: RecipeOutlook::default(),
        };
        walk.go()
    }
}

impl Walk<'_> {
    fn go(mut self) -> Result<RecipeOutlook> {
        let file = &self.recipe.file;
        for unit in &self.recipe.units()? {
            let candidates = self.networks(unit)?;
            if unit.stage.hidden {
                continue;
            }
            self.evaluate(unit, &candidates, (file.evaluate.limit, file.evaluate.chips))?;
            if let Some(last) = file.last.iter().find(|last| last.stages.contains(&unit.stage.name)) {
                self.evaluate(unit, &candidates, (last.limit, last.chips.unwrap_or(file.evaluate.chips)))?;
            }
        }
        Ok(self.found)
    }

    fn network(&self, hardware: usize, stage: &str) -> Result<At> {
        self.networks.get(&(hardware, stage.to_owned())).cloned().ok_or_else(|| no_network(stage))
    }

    fn networks(&mut self, unit: &Unit) -> Result<Vec<ForeseenNetwork>> {
        let start = match (&unit.stage.from, &unit.stage.checkpoint) {
            (Some(from), _) => Some(self.network(unit.hardware, from)?),
            (None, Some(path)) => Some(At { path: path.clone(), is_there: true }),
            (None, None) => None,
        };
        let candidates = match (&unit.stage.train, unit.stage.own_chips, start) {
            (None, _, Some(network)) => vec![ForeseenNetwork { network, own: None }],
            (Some(_), Some(chips), start) => {
                (0..chips).map(|chip| self.train(unit, start.as_ref(), Some(chip))).collect::<Result<_>>()?
            }
            (_, _, start) => vec![self.train(unit, start.as_ref(), None)?],
        };
        if let [ForeseenNetwork { network, own: None }] = candidates.as_slice() {
            self.networks.insert((unit.hardware, unit.stage.name.clone()), network.clone());
        }
        Ok(candidates)
    }

    /// The network of a training, or what it starts from where it is not there.
    fn train(&mut self, unit: &Unit, start: Option<&At>, own: Option<u64>) -> Result<ForeseenNetwork> {
        let document = self.recipe.training(unit, start.map(|start| start.path.as_path()), own)?;
        let network = |stage: &str| Ok(self.network(unit.hardware, stage)?.path);
        let profile = self.recipe.profile(unit, (&vec![], &vec![]), &network)?;
        let job = Job::new(&document, TrainFile::from_document(&document)?, self.recipe.model.clone(), profile)?;
        self.found.trainings += 1;
        if start.is_none_or(|start| start.is_there)
            && let Some(path) = cache::trained(&self.folder, &job)?
        {
            self.found.trained += 1;
            return Ok(ForeseenNetwork { network: At { path, is_there: true }, own });
        }
        let at = (unit.index, unit.hardware);
        let each = match self.trained.get(&at) {
            Some(each) => *each,
            None => *self.trained.entry(at).or_insert(job.timed()?),
        };
        let outlook = job.standing(&cache::training(&self.folder, &job))?;
        self.found.training += OfTraining { each, ..outlook }.time();
        let path = self.stand_ins.path().join(format!("{}.safetensors", self.found.trainings));
        train::checkpoint(job.start(), &self.recipe.model, job.origin(), 0).write(&path)?;
        Ok(ForeseenNetwork { network: At { path, is_there: false }, own })
    }

    fn evaluate(
        &mut self,
        unit: &Unit,
        candidates: &[ForeseenNetwork],
        (limit, chips): (Option<usize>, u64),
    ) -> Result<()> {
        let points = self.recipe.points(unit, &|stage| Ok(self.network(unit.hardware, stage)?.path))?;
        for UnitPoint { profile, .. } in points {
            for attack in self.recipe.attacks() {
                for candidate in candidates {
                    let chips = candidate.own.map_or(0..chips, |chip| chip..chip + 1);
                    self.add(unit, candidate, &profile, (limit, chips), attack.as_ref())?;
                }
            }
        }
        Ok(())
    }

    /// Adds a candidate's chips on some hardware.
    fn add(
        &mut self,
        unit: &Unit,
        candidate: &ForeseenNetwork,
        profile: &Profile,
        (limit, chips): (Option<usize>, Range<u64>),
        attack: Option<&AttackPlan>,
    ) -> Result<()> {
        let network = Network::read(&self.recipe.model, &candidate.network.path)?.network;
        let hash = network.hash();
        let question = Question {
            profile,
            network: (&network, &hash),
            limit,
            adapted: Some(unit.index),
            exit: unit.stage.exit,
            attack,
            title: "",
            taken: false,
        };
        let data = self.data_sets.of(&question)?;
        let case = data.case(self.recipe, &question);
        let blueprint = case.blueprint()?;
        let chips = if blueprint.varies() { chips } else { chips.start..chips.start + 1 };
        let count = chips.end - chips.start;
        let there = match candidate.network.is_there {
            true => self.known.trials(case.key(&blueprint)?).range(chips).count() as u64,
            false => 0,
        };
        self.found.trials += count;
        self.found.there += there;
        if there < count {
            let attack = attack.filter(|plan| plan.largest_epsilon() > 0.0);
            let (at, images) = ((unit.index, unit.hardware, attack.is_some()), case.data.len());
            let each = match (self.judged.get(&at), attack) {
                (Some(each), _) => *each,
                (None, Some(plan)) => self.attacked(&question, plan)?,
                (None, None) => case.timed(self.engine, count)?.div_f64(images as f64),
            };
            self.judged.insert(at, each);
            self.found.evaluation += each.mul_f64(images as f64 * (count - there) as f64);
        }
        Ok(())
    }

    /// The time of an image under attack, by a few.
    fn attacked(&mut self, question: &Question, plan: &AttackPlan) -> Result<Duration> {
        let few = Question { limit: Some(question.limit.map_or(ATTACKED, |limit| limit.min(ATTACKED))), ..*question };
        let data = self.data_sets.of(&few)?;
        let case = data.case(self.recipe, &few);
        let (blueprint, began) = (case.calibrated(&KeptCells::default())?, Instant::now());
        let series = ([0], ATTACKED);
        plan.attack(case.seed, case.data)?.series(
            self.engine,
            case.data,
            &blueprint,
            series,
            &Silent,
            |_, _| Ok(()),
        )?;
        Ok(began.elapsed().div_f64(case.data.len() as f64))
    }
}
