//! A search under way: generations of candidates, each judged on as many chips as it takes.
//!
//! All candidates of a generation are judged on the same first chips, at a glance on the first quarter of the images,
//! then those that may still be good enough on all images, and on twice as many chips, and so on: a race, in which
//! chips and images are the same for all, so that differences are of candidates and not of chips. Whatever a decision
//! rests on is in the store, so a search that was killed, or that several processes share, decides the same.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::Search;
use super::evolve::{Draws, Fitness, GENERATION, front, ranked, unseen};
use super::forecast::{Expected, Forecast, LEARNED, Tried, chosen};
use super::goals::Standing;
use super::networks::Networks;
use super::others::Others;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::output::OutputFolder;
use crate::study::axes::Genes;
use crate::study::reader::Reader;
use crate::study::recipe::CACHE;
use crate::study::runner::{Kept, Runner};
use crate::study::sets::Images;
use crate::study::setting::Setting;
use crate::study::space::GridPoint;
use crate::study::store::{self, OfKey, Store, shard_name};
use crate::study::sweep::Shard;
use crate::study::trial::{Key, Trial};

/// Chips that every candidate is judged on.
const FIRST: u64 = 3;
/// The part of the images that candidates are looked at on first.
const GLANCE: usize = 4;
/// Images of which a part tells too little to look at it.
const FEW: usize = 200;
/// Children that are drawn from those that are best so far, and then from those of them of which most is expected, and
/// once more.
const POOL: usize = 10 * GENERATION;
/// Times that children are drawn for one generation.
const DRAWN: usize = 3;
/// Generations without anything better after which the neighbours of the best are tried, and then candidates from
/// anywhere.
const PATIENCE: u32 = 3;
/// Generations that ask for no trial, since their candidates are no chips or the same as others, after which the search
/// ends.
const BARREN: u32 = 50;

/// One candidate.
pub(super) struct Candidate {
    pub genes: Genes,
    pub setting: Arc<Setting>,
    /// Chips that it was judged on, on all images: none where a glance was enough.
    pub chips: u64,
    pub standing: Option<Standing>,
    /// The setting on the first images, and its standing there, where it was looked at so.
    pub glance: Option<(Arc<Setting>, Option<Standing>)>,
}

impl Candidate {
    /// The candidate as an example for others, where it was judged.
    fn tried(&self) -> Option<Tried<'_>> {
        Some(Tried { genes: &self.genes, standing: self.standing.as_ref()?, is_glance: self.chips == 0 })
    }

    /// The chips and the images that it was judged on.
    pub fn judged_on(&self, search: &Search) -> (u64, usize) {
        match (self.chips, glance(search)) {
            (0, Some(Images { limit: Some(images), .. })) => (FIRST.min(search.file.chips), images),
            (chips, _) => (chips, search.file.limit),
        }
    }
}

/// A search under way.
pub(super) struct SearchRun<'a> {
    search: &'a Search,
    engine: &'a dyn Engine,
    folder: &'a OutputFolder,
    monitor: &'a dyn Monitor,
    others: Others<'a>,
    store: Store,
    reader: Reader<'a>,
    reference: Option<Arc<Setting>>,
    /// The reference on the first images, where candidates are looked at so.
    glanced: Option<Arc<Setting>>,
    /// All that is known, from this process and from others.
    trials: HashMap<Key, OfKey>,
    /// Trials that were asked for on all images, and on the first ones.
    asked: [HashSet<(Key, u64)>; 2],
    pub candidates: Vec<Candidate>,
    /// Candidates that are no chips, and why the first one is none.
    pub refused: (HashSet<Genes>, Option<Error>),
    until: Option<Instant>,
    /// Cells and ranges of candidates that go on.
    kept: Kept,
    networks: Networks<'a>,
}

/// The first images, on which candidates are looked at; none where there are few.
fn glance(search: &Search) -> Option<Images> {
    let images = search.file.limit;
    (images >= FEW).then_some(Images { after: 0, limit: Some(images / GLANCE) })
}

impl<'a> SearchRun<'a> {
    pub fn new(
        search: &'a Search,
        engine: &'a dyn Engine,
        folder: &'a OutputFolder,
        (shard, time): (Shard, Option<Duration>),
        monitor: &'a dyn Monitor,
    ) -> Result<Self> {
        let others = Others { shard, monitor };
        let store = Store::open(&folder.file(&shard_name(shard.index, shard.of)))?;
        let mut reader = search.reader(search.file.seen())?;
        let mut reference = |images: Images| -> Result<Option<Arc<Setting>>> {
            reader.of_images(images);
            Ok(search.reference_point().map(|point| reader.setting(&point)).transpose()?.map(Arc::new))
        };
        let glanced = glance(search).map_or(Ok(None), &mut reference)?;
        let reference = reference(search.file.seen())?;
        Ok(SearchRun {
            search,
            engine,
            folder,
            monitor,
            others,
            store,
            reader,
            reference,
            glanced,
            trials: store::read_all(folder.path())?,
            asked: Default::default(),
            candidates: vec![],
            refused: Default::default(),
            until: time.and_then(|time| Instant::now().checked_add(time)),
            kept: Kept::default(),
            networks: Networks::new(search, folder.file(CACHE), others),
        })
    }

    /// Searches until every candidate was tried, or trials or time are spent.
    pub fn search(&mut self) -> Result<()> {
        let (space, seed) = (&self.search.space, self.search.file.seed);
        if let Some(reference) = self.reference.clone() {
            self.trials_of(&[reference], 0..self.search.file.chips, false)?;
        }
        if let Some(reference) = self.glanced.clone() {
            self.trials_of(&[reference], 0..FIRST.min(self.search.file.chips), true)?;
        }
        self.judge(Draws::new(seed, 0).first(space), usize::MAX)?;
        let (mut idle, mut generation, mut barren) = (0, 0, 0);
        while !self.is_spent() && barren < BARREN {
            generation += 1;
            if self.monitor.stop() {
                return Err(Error::Interrupted(String::new()));
            }
            let asked = self.asked.each_ref().map(HashSet::len);
            let (fitness, draws) = (self.fitness(), &mut Draws::new(seed, generation));
            let best = self.signature(&fitness);
            let (next, most) = match idle {
                0..PATIENCE => (self.children(&fitness, draws), GENERATION),
                PATIENCE => (self.around(&fitness), 2 * GENERATION),
                _ => (vec![], GENERATION),
            };
            let next = if next.is_empty() { draws.anywhere(space, |genes| self.is_new(genes)) } else { next };
            if next.is_empty() {
                break;
            }
            self.judge(next, most)?;
            barren = if self.asked.each_ref().map(HashSet::len) != asked { 0 } else { barren + 1 };
            idle = if self.signature(&self.fitness()) != best || idle > PATIENCE { 0 } else { idle + 1 };
        }
        Ok(())
    }

    /// The children of the best so far of which most is expected, the best first; where too little is known, any
    /// children.
    fn children(&self, fitness: &[Fitness], draws: &mut Draws) -> Vec<Genes> {
        let space = &self.search.space;
        let order = ranked(fitness);
        let mut parents: Vec<Genes> =
            order.iter().take(GENERATION).map(|one| self.candidates[*one].genes.clone()).collect();
        let tried: Vec<Tried> = order.iter().take(LEARNED).filter_map(|one| self.candidates[*one].tried()).collect();
        let Some(forecast) = Forecast::of(space, &tried) else {
            return draws.children(space, &parents, GENERATION, |genes| self.is_new(genes));
        };
        let mut pool: Vec<(Genes, Expected)> = vec![];
        for _ in 0..DRAWN {
            let is_new = |genes: &Genes| self.is_new(genes) && pool.iter().all(|(known, _)| known != genes);
            let children = draws.children(space, &parents, POOL, is_new);
            let of_pool = children.into_par_iter().map(|genes| (forecast.expected(&genes), genes));
            pool.extend(of_pool.map(|(expected, genes)| (genes, expected)).collect::<Vec<_>>());
            if pool.is_empty() {
                break;
            }
            let expected: Vec<Fitness> = pool.iter().map(|(_, expected)| expected.fitness(0.0)).collect();
            parents = ranked(&expected).into_iter().take(GENERATION).map(|one| pool[one].0.clone()).collect();
        }
        chosen(&pool, 2 * GENERATION)
    }

    /// Candidates that differ from the best by one step of one key and were not tried.
    fn around(&self, fitness: &[Fitness]) -> Vec<Genes> {
        let best = front(fitness).into_iter();
        let around = best.flat_map(|one| self.search.space.neighbours(&self.candidates[one].genes));
        let mut around = unseen(around, |genes| self.is_new(genes));
        around.truncate(2 * GENERATION);
        around
    }

    /// The fitness of each candidate.
    pub fn fitness(&self) -> Vec<Fitness> {
        let of = |candidate: &Candidate| match &candidate.standing {
            Some(standing) => standing.fitness.clone(),
            None => Fitness { violation: f64::INFINITY, objectives: vec![f64::INFINITY; self.search.goals.count()] },
        };
        self.candidates.iter().map(of).collect()
    }

    /// The best so far: keys of trials, and objectives.
    fn signature(&self, fitness: &[Fitness]) -> Vec<(Key, Vec<u64>)> {
        let of = |one: usize| {
            let objectives = fitness[one].objectives.iter().map(|objective| objective.to_bits()).collect();
            (self.candidates[one].setting.key, objectives)
        };
        let mut best: Vec<(Key, Vec<u64>)> = front(fitness).into_iter().map(of).collect();
        best.sort();
        best.dedup();
        best
    }

    fn is_new(&self, genes: &Genes) -> bool {
        !self.refused.0.contains(genes) && self.candidates.iter().all(|candidate| candidate.genes != *genes)
    }

    /// Whether trials or time are spent.
    fn is_spent(&self) -> bool {
        self.asked() >= self.search.file.trials || self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Judges new candidates, so many at most that are not, key for key, the same chips as others.
    fn judge(&mut self, genes: Vec<Genes>, most: usize) -> Result<()> {
        let first = self.candidates.len();
        let mut known: HashSet<Key> = self.candidates.iter().map(|candidate| candidate.setting.key).collect();
        let before = known.len();
        if self.search.trains() {
            let points = genes.iter().take(most).map(|genes| self.search.candidate_point(genes));
            self.networks.prepare(&mut self.reader, &points.collect::<Vec<_>>())?;
        }
        for genes in genes {
            if known.len() - before >= most || (self.search.trains() && !self.candidates.is_empty() && self.is_spent())
            {
                break;
            }
            match self.candidate(genes.clone()) {
                Ok(candidate) => {
                    known.insert(candidate.setting.key);
                    self.candidates.push(candidate);
                }
                // Values of two keys may not go together.
                Err(error @ Error::Config { .. }) => {
                    self.refused.0.insert(genes);
                    self.refused.1.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        if self.candidates.is_empty() {
            return Err(self.refused.1.take().unwrap_or_else(|| self.search.nothing()));
        }
        if self.search.trains() {
            // Trainings have shown progress of their own.
            self.monitor.begin(&self.search.file.name, self.search.trials());
            self.monitor.skip(self.asked());
        }
        let mut racing: Vec<usize> = (first..self.candidates.len()).collect();
        let (most, mut chips) = (self.search.file.chips, FIRST.min(self.search.file.chips));
        self.glance_at(&racing, chips)?;
        racing.retain(|one| self.goes_on(*one));
        while !racing.is_empty() {
            let settings: Vec<Arc<Setting>> = racing.iter().map(|one| self.candidates[*one].setting.clone()).collect();
            self.trials_of(&settings, 0..chips, false)?;
            for one in &racing {
                self.candidates[*one].chips = chips;
                let standing = self.standing(&self.candidates[*one].setting, self.reference.as_deref(), chips)?;
                self.candidates[*one].standing = Some(standing);
            }
            self.confirm_best()?;
            racing.retain(|one| !self.is_confirmed(*one) && self.goes_on(*one));
            if self.is_spent() {
                racing.retain(|one| self.may_be_best(*one));
            }
            chips = (2 * chips).min(most);
        }
        Ok(())
    }

    /// Judges the best on all chips, and the next one where it does not pass there: others are beaten by what is sure.
    /// Of fronts their members are confirmed in the end.
    fn confirm_best(&mut self) -> Result<()> {
        while self.search.goals.count() == 1 {
            let fitness = self.fitness();
            let best = front(&fitness).into_iter().next().filter(|one| fitness[*one].violation == 0.0);
            let Some(best) = best.filter(|one| !self.is_confirmed(*one)) else { break };
            self.confirm(&[best])?;
        }
        Ok(())
    }

    /// A new candidate.
    fn candidate(&mut self, genes: Genes) -> Result<Candidate> {
        let point = self.search.candidate_point(&genes);
        let setting = Arc::new(self.setting(&point, true)?);
        let glance = match glance(self.search) {
            Some(first) => {
                self.reader.of_images(first);
                let setting = self.setting(&point, true);
                self.reader.of_images(self.search.file.seen());
                Some((Arc::new(setting?), None))
            }
            None => None,
        };
        Ok(Candidate { genes, setting, chips: 0, standing: None, glance })
    }

    /// A point on the images that the reader is turned to, with a network of its own where candidates are trained and
    /// it is one.
    fn setting(&mut self, point: &GridPoint, is_candidate: bool) -> Result<Setting> {
        let network =
            if is_candidate && self.search.trains() { Some(self.networks.of(&mut self.reader, point)?) } else { None };
        self.reader.of_network(network);
        let setting = self.reader.setting(point);
        self.reader.of_network(None);
        setting
    }

    /// The network of a candidate's point, where it was trained.
    pub fn network(&self, point: &GridPoint) -> Option<&PathBuf> {
        self.networks.known(point)
    }

    /// Looks at candidates on the first images and chips.
    fn glance_at(&mut self, numbers: &[usize], chips: u64) -> Result<()> {
        let of = |one: &usize| Some(self.candidates[*one].glance.as_ref()?.0.clone());
        let settings: Vec<Arc<Setting>> = numbers.iter().filter_map(of).collect();
        self.trials_of(&settings, 0..chips, true)?;
        for one in numbers {
            let Some((setting, _)) = &self.candidates[*one].glance else { continue };
            let (setting, reference) = (setting.clone(), self.glanced.as_deref());
            let reference = reference.map_or(vec![], |reference| self.known(reference.key, 0..chips));
            let standing = self.search.goals.glanced(&setting, &self.known(setting.key, 0..chips), &reference);
            let standing = standing.map_err(self.of_goal())?;
            let candidate = &mut self.candidates[*one];
            (candidate.standing, candidate.glance) = (Some(standing.clone()), Some((setting, Some(standing))));
        }
        Ok(())
    }

    /// Whether more chips or images may tell more of a candidate: those that are compared were judged on the same ones.
    fn goes_on(&self, one: usize) -> bool {
        let (goals, own) = (&self.search.goals, &self.candidates[one]);
        let is_glance = own.chips == 0;
        let Some(standing) = &own.standing else { return true };
        let is_known = if is_glance { standing.is_missed } else { goals.is_known(standing) };
        // The best is judged on all chips: one that seems good enough on a few beats nothing.
        let mut rivals = self.candidates.iter().filter(|other| goals.count() > 1 || self.has_all_chips(other));
        // Candidates that are more likely than not to stay unsure on all chips are left, once there is something to
        // beat.
        let is_met = |other: &Candidate| other.standing.as_ref().is_some_and(|standing| standing.is_met);
        let is_unlikely = !is_glance && !goals.of_accuracy && standing.slack.iter().any(|slack| *slack < 0.0);
        if is_unlikely && rivals.clone().any(is_met) {
            return false;
        }
        let is_beaten = |other: &Candidate| match (&other.standing, &other.glance) {
            (Some(judged), _) if other.chips > 0 && !is_glance => goals.is_beaten(standing, judged),
            (Some(judged), Some((_, Some(seen)))) if other.chips > 0 => {
                goals.is_beaten(standing, &Standing { is_met: judged.is_met, ..seen.clone() })
            }
            _ => false,
        };
        !is_known && !rivals.any(is_beaten)
    }

    /// Whether a candidate that may still keep to all constraints is cheaper than the best that does, where there is
    /// one figure to minimise.
    fn may_be_best(&self, one: usize) -> bool {
        let cost = |candidate: &Candidate| candidate.standing.as_ref().map(|standing| standing.fitness.objectives[0]);
        let is_met = |candidate: &&Candidate| candidate.standing.as_ref().is_some_and(|standing| standing.is_met);
        let best = self.candidates.iter().filter(is_met).filter_map(cost).reduce(f64::min);
        let is_cheaper = cost(&self.candidates[one]).is_some_and(|own| best.is_none_or(|best| own < best));
        self.search.goals.count() == 1 && is_cheaper
    }

    /// Judges candidates on all chips that a candidate is judged on.
    pub fn confirm(&mut self, numbers: &[usize]) -> Result<()> {
        let most = self.search.file.chips;
        let left: Vec<usize> = numbers.iter().copied().filter(|one| self.candidates[*one].chips < most).collect();
        let settings: Vec<Arc<Setting>> = left.iter().map(|one| self.candidates[*one].setting.clone()).collect();
        self.trials_of(&settings, 0..most, false)?;
        for one in left {
            let standing = self.standing(&self.candidates[one].setting, self.reference.as_deref(), most)?;
            let candidate = &mut self.candidates[one];
            (candidate.chips, candidate.standing) = (most, Some(standing));
        }
        Ok(())
    }

    /// Whether a candidate was judged on all chips.
    pub fn is_confirmed(&self, one: usize) -> bool {
        self.has_all_chips(&self.candidates[one])
    }

    fn has_all_chips(&self, candidate: &Candidate) -> bool {
        candidate.chips >= self.search.file.chips
    }

    /// The standing of a candidate after its first chips, beside the reference on the same ones.
    fn standing(&self, setting: &Setting, reference: Option<&Setting>, chips: u64) -> Result<Standing> {
        let reference = reference.map_or(vec![], |reference| self.known(reference.key, 0..chips));
        let standing = self.search.goals.standing(setting, &self.known(setting.key, 0..chips), &reference);
        standing.map_err(self.of_goal())
    }

    /// The place of what asks for a figure that is not known.
    fn of_goal(&self) -> impl FnOnce(Error) -> Error + use<'_, 'a> {
        let only_bound = self.search.file.minimise.all().is_empty();
        self.search.document.locate(if only_bound { "constraint" } else { "minimise" })
    }

    /// The trials of some chips.
    pub fn known(&self, key: Key, chips: std::ops::Range<u64>) -> Vec<&Trial> {
        self.trials.get(&key).map_or(vec![], |of_key| of_key.range(chips).map(|(_, trial)| trial).collect())
    }

    /// The number of images of the validation.
    pub fn known_images(&self, search: &Search) -> u64 {
        let chips = search.validation_chips();
        let count = |of_key: &OfKey| of_key.get(&chips.start).map(|trial| trial.images);
        self.trials.values().find_map(count).unwrap_or(0)
    }

    /// Points judged on images and chips that the search has not seen, each as the search's point gives it, and whether
    /// it is a candidate.
    pub fn validate(&mut self, points: &[(GridPoint, bool)]) -> Result<Vec<Arc<Setting>>> {
        self.reader.of_images(self.search.file.unseen());
        let settings: Vec<Arc<Setting>> = points
            .iter()
            .map(|(point, is_candidate)| self.setting(point, *is_candidate).map(Arc::new))
            .collect::<Result<_>>()?;
        self.until = None;
        self.trials_of(&settings, self.search.validation_chips(), false)?;
        Ok(settings)
    }

    /// Runs what is missing of some chips of some points, which are `glances` where they are on the first images; where
    /// other processes share the work, waits for theirs.
    fn trials_of(&mut self, settings: &[Arc<Setting>], chips: std::ops::Range<u64>, glances: bool) -> Result<()> {
        let before = self.asked();
        let mut wanted: Vec<(usize, u64)> = vec![];
        let mut seen = HashSet::new();
        for (number, setting) in settings.iter().enumerate() {
            for chip in chips.clone() {
                if seen.insert((setting.key, chip)) {
                    wanted.push((number, chip));
                }
                self.asked[usize::from(glances)].insert((setting.key, chip));
            }
        }
        let is_mine = |place: usize| self.others.part_of(place) == self.others.shard.index;
        let mut mine: Vec<Vec<u64>> = vec![vec![]; settings.len()];
        for (place, (number, chip)) in wanted.iter().enumerate() {
            let is_there = self.trials.get(&settings[*number].key).is_some_and(|of_key| of_key.contains_key(chip));
            if is_mine(place) && !is_there {
                mine[*number].push(*chip);
            }
        }
        let note = self.note();
        let (mut ran, of_one) = (0, if glances { GLANCE as u64 } else { 1 });
        let mut runner = Runner::new(self.engine, self.monitor, self.search.file.seed);
        runner.kept = std::mem::take(&mut self.kept);
        for (setting, missing) in settings.iter().zip(mine) {
            if missing.is_empty() {
                continue;
            }
            let (trials, monitor) = (&mut self.trials, self.monitor);
            runner.run(setting, missing, &mut self.store, |trial| {
                trials.entry(trial.key).or_default().insert(trial.chip, trial);
                ran += 1;
                monitor.progress(before + ran / of_one, &note);
            })?;
        }
        self.kept = runner.kept;
        self.wait(settings, &wanted)
    }

    /// Waits until other processes have run what is theirs.
    fn wait(&mut self, settings: &[Arc<Setting>], wanted: &[(usize, u64)]) -> Result<()> {
        let is_there = |trials: &HashMap<Key, OfKey>, (number, chip): &(usize, u64)| {
            trials.get(&settings[*number].key).is_some_and(|of_key| of_key.contains_key(chip))
        };
        let mut trials = std::mem::take(&mut self.trials);
        let mut is_first = true;
        let waited = self.others.wait(|| {
            if !std::mem::take(&mut is_first) {
                let found = store::read(self.folder.path(), settings.iter().map(|setting| setting.key))?;
                found.into_iter().for_each(|(key, of_key)| trials.entry(key).or_default().extend(of_key));
            }
            Ok(wanted.iter().all(|one| is_there(&trials, one)))
        });
        self.trials = trials;
        waited
    }

    /// The note of progress: the best so far.
    fn note(&self) -> String {
        let fitness = self.fitness();
        let Some(first) = front(&fitness).into_iter().find(|one| fitness[*one].violation == 0.0) else {
            return "none is good enough yet".into();
        };
        let costs = self.search.goals.costs.iter().zip(&fitness[first].objectives);
        let costs: Vec<String> = costs.map(|(name, value)| format!("{name} {value:.4}")).collect();
        let of = front(&fitness).len();
        let beside = if self.search.goals.count() > 1 { format!(" on a front of {of}") } else { String::new() };
        format!("best {}{beside}", costs.join(", "))
    }

    /// Trials that were asked for so far: of glances so many make one as take its images.
    pub fn asked(&self) -> u64 {
        let [all, glances] = &self.asked;
        (all.len() + glances.len() / GLANCE) as u64
    }

    /// Brings everything to the disk.
    pub fn close(self) -> Result<()> {
        self.store.close()
    }
}
