//! A search under way: generations of candidates, each judged on as many chips as it takes.
//!
//! All candidates of a generation are judged on the same first chips, then those that may still be good enough on twice
//! as many, and so on: a race, in which chips and images are the same for all, so that differences are of candidates
//! and not of chips. Whatever a decision rests on is in the store, so a search that was killed, or that several
//! processes share, decides the same.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::Search;
use super::evolve::{Draws, Fitness, GENERATION, front, ranked, unseen};
use super::forecast::{Forecast, LEARNED, Prospect, Tried, flattened, promising};
use super::goals::{Spread, Standing};
use super::networks::Networks;
use super::others::Others;
use super::pace::Pace;
use super::trials::Trials;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::output::OutputFolder;
use crate::study::axes::Genes;
use crate::study::reader::Reader;
use crate::study::recipe::CACHE;
use crate::study::setting::Setting;
use crate::study::space::GridPoint;
use crate::study::sweep::Shard;
use crate::study::trial::Key;

/// Chips that every candidate is judged on: one drops most of them.
const FEW: u64 = 1;
/// Chips that the first candidates are judged on, which show how far chips spread.
const FEW_AT_FIRST: u64 = 2;
/// Chips that every candidate is judged on where accuracy is maximised: one chip drops none of them there.
const FEW_OF_ACCURACY: u64 = 3;
/// Children that are judged of one generation: few, for each generation is chosen by what those before have shown.
const JUDGED: usize = GENERATION / 2;
/// Children that are drawn at once: from those that are best so far, then from those of them, and of candidates from
/// anywhere, of which most is expected, and so on.
const POOL: usize = 10 * GENERATION;
/// Times that children are drawn for one generation.
const DRAWN: usize = 5;
/// The amount above the largest figure, on the forecast's scale, that is to be undercut as long as nothing keeps to
/// constraints.
const ABOVE: f64 = 1.0;
/// Generations without anything better after which the neighbours of the best are tried, and then candidates from
/// anywhere.
const PATIENCE: u32 = 8;
/// Generations that ask for no trial, since their candidates are no chips or the same as others, after which the search
/// ends.
const BARREN: u32 = 50;

/// One candidate.
pub(super) struct Candidate {
    pub genes: Genes,
    pub setting: Arc<Setting>,
    /// Chips that it was judged on.
    pub chips: u64,
    pub standing: Option<Standing>,
}

/// A search under way.
pub(super) struct SearchRun<'a> {
    search: &'a Search,
    monitor: &'a dyn Monitor,
    reader: Reader<'a>,
    reference: Option<Arc<Setting>>,
    /// The candidate that is the reference itself, if there is one.
    pub in_space: Option<Genes>,
    pub trials: Trials<'a>,
    pub candidates: Vec<Candidate>,
    /// Values that make the same chips as a candidate, key for key, and which one.
    pub twins: Vec<(Genes, usize)>,
    /// Candidates that are no chips, and why the first one is none.
    pub refused: (HashSet<Genes>, Option<Error>),
    until: Option<Instant>,
    networks: Networks<'a>,
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
        let mut reader = search.reader(search.file.unseen())?;
        let unseen = if time.is_some() {
            search.file.unseen().of_chip(reader.judging(&search.file.conditions([]))?.len())
        } else {
            0
        };
        reader.of_images(search.file.seen());
        let seen = search.file.seen().of_chip(search.file.limit).max(1);
        let pace = Pace::new(unseen as f64 / seen as f64, time.unwrap_or_default());
        let reference = search.reference(&mut reader)?;
        let in_space = reference.as_ref().and_then(|reference| reference.in_space.clone());
        let reference = reference.map(|reference| Arc::new(reference.setting));
        Ok(SearchRun {
            search,
            monitor,
            reader,
            reference,
            in_space,
            trials: Trials::open(engine, folder, others, search.file.seed, pace)?,
            candidates: vec![],
            twins: vec![],
            refused: Default::default(),
            until: time.and_then(|time| Instant::now().checked_add(time)),
            networks: Networks::new(search, folder.file(CACHE), others),
        })
    }

    /// Searches until every candidate was tried, or trials or time are spent.
    pub fn search(&mut self) -> Result<()> {
        let (space, seed) = (&self.search.space, self.search.file.seed);
        if let Some(reference) = self.reference.clone() {
            self.ask(&[reference], 0..self.search.file.chips)?;
        }
        let first = self.in_space.clone().into_iter().chain(Draws::new(seed, 0).first(space));
        self.judge(unseen(first, |_| true), usize::MAX)?;
        let (mut idle, mut generation, mut barren) = (0, 0, 0);
        while !self.is_spent() && barren < BARREN {
            generation += 1;
            if self.monitor.stop() {
                return Err(Error::Interrupted(String::new()));
            }
            let asked = self.trials.asked();
            self.stand(&(0..self.candidates.len()).collect::<Vec<_>>())?;
            self.confirm_best()?;
            let (fitness, draws) = (self.fitness(), &mut Draws::new(seed, generation));
            let best = self.signature(&fitness);
            let (next, most) = match idle {
                0..PATIENCE => (self.children(&fitness, draws), JUDGED),
                PATIENCE => (self.around(&fitness), 2 * GENERATION),
                _ => (vec![], GENERATION),
            };
            let next = if next.is_empty() { draws.anywhere(space, |genes| self.is_new(genes)) } else { next };
            if next.is_empty() {
                break;
            }
            self.judge(next, most)?;
            barren = if self.trials.asked() != asked { 0 } else { barren + 1 };
            idle = if self.signature(&self.fitness()) != best || idle > PATIENCE { 0 } else { idle + 1 };
        }
        Ok(())
    }

    /// Whether a candidate is the very chip that others are compared to.
    pub fn is_reference(&self, candidate: &Candidate) -> bool {
        self.reference.as_ref().is_some_and(|reference| reference.key == candidate.setting.key)
    }

    /// The children of the best so far of which most is expected, the best first; where too little is known, any
    /// children.
    fn children(&self, fitness: &[Fitness], draws: &mut Draws) -> Vec<Genes> {
        let space = &self.search.space;
        let order = ranked(fitness);
        let mut parents: Vec<Genes> =
            order.iter().take(GENERATION).map(|one| self.candidates[*one].genes.clone()).collect();
        let tried: Vec<Tried> = order.iter().flat_map(|one| self.tried(*one, &fitness[*one])).take(LEARNED).collect();
        let Some(forecast) = Forecast::of(space, &tried) else {
            return draws.children(space, &parents, GENERATION, |genes| self.is_new(genes));
        };
        let expect = |genes: Vec<Genes>| -> Vec<Prospect> {
            genes.into_par_iter().map(|genes| forecast.prospect(genes)).collect()
        };
        let to_beat = self.to_beat(fitness);
        let mut pool = expect(draws.drawn(space, POOL, |genes| self.is_new(genes)));
        for _ in 0..DRAWN {
            let is_new = |genes: &Genes| self.is_new(genes) && pool.iter().all(|known| known.genes != *genes);
            let children = expect(draws.children(space, &parents, POOL, is_new));
            pool.extend(children);
            if pool.is_empty() {
                break;
            }
            let order = promising(&pool, to_beat).into_iter();
            parents = order.take(GENERATION).map(|one| pool[one].genes.clone()).collect();
        }
        forecast.chosen(pool, 2 * GENERATION, to_beat)
    }

    /// The figure to undercut, on the forecast's scale, where one is minimised: that of the best that keeps to all
    /// constraints. As long as none does, it lies so far above the largest that the chance to keep to constraints
    /// counts more than the figure.
    fn to_beat(&self, fitness: &[Fitness]) -> Option<f64> {
        if self.search.goals.count() > 1 {
            return None;
        }
        let figures = || fitness.iter().map(|one| (one.violation, one.objectives[0])).filter(|one| one.1.is_finite());
        let kept = figures().filter(|(violation, _)| *violation == 0.0).map(|(_, figure)| figure);
        let largest = || figures().map(|(_, figure)| flattened(figure) + ABOVE).max_by(f64::total_cmp);
        kept.min_by(f64::total_cmp).map(flattened).or_else(largest)
    }

    /// A candidate and its twins as examples for others, where it was judged.
    fn tried<'s>(&'s self, one: usize, fitness: &'s Fitness) -> impl Iterator<Item = Tried<'s>> {
        let candidate = &self.candidates[one];
        let twins = self.twins.iter().filter(move |(_, of)| *of == one).map(|(genes, _)| genes);
        let tried = move |genes| {
            let standing = candidate.standing.as_ref()?;
            Some(Tried { genes, standing, objectives: &fitness.objectives })
        };
        std::iter::once(&candidate.genes).chain(twins).filter_map(tried)
    }

    /// Candidates that differ from the best by one step of one key and were not tried.
    fn around(&self, fitness: &[Fitness]) -> Vec<Genes> {
        let best = front(fitness).into_iter();
        let around = best.flat_map(|one| self.search.space.neighbours(&self.candidates[one].genes));
        let mut around = unseen(around, |genes| self.is_new(genes));
        around.truncate(2 * GENERATION);
        around
    }

    /// The fitness of each candidate: costs of those that did not run on all chips are levelled by those of the
    /// cheapest one that did and keeps to all constraints, where one figure is minimised.
    pub fn fitness(&self) -> Vec<Fitness> {
        let standings = || self.candidates.iter().map(|candidate| candidate.standing.as_ref());
        let is_met = |one: &&Standing| one.is_met && one.accuracies.len() as u64 >= self.search.file.chips;
        let cost = |one: &&Standing| one.fitness.objectives[0];
        let best = standings().flatten().filter(is_met).min_by(|a, b| cost(a).total_cmp(&cost(b)));
        let best = best.filter(|_| self.search.goals.count() == 1);
        let of = |standing: Option<&Standing>| match (standing, best) {
            (Some(standing), Some(best)) => {
                Fitness { violation: standing.fitness.violation, objectives: standing.levelled(best) }
            }
            (Some(standing), None) => standing.fitness.clone(),
            _ => Fitness { violation: f64::INFINITY, objectives: vec![f64::INFINITY; self.search.goals.count()] },
        };
        standings().map(of).collect()
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
        let mut known =
            self.candidates.iter().map(|candidate| &candidate.genes).chain(self.twins.iter().map(|(twin, _)| twin));
        !self.refused.0.contains(genes) && known.all(|known| known != genes)
    }

    /// Whether trials are spent, or all of the time but what judging the answer takes.
    fn is_spent(&self) -> bool {
        let is_late = |until| Instant::now() + self.closing() >= until;
        self.trials.asked() >= self.search.file.trials || self.until.is_some_and(is_late)
    }

    /// The time that confirming the best and the next better one and judging the answer take, about.
    fn closing(&self) -> Duration {
        let most = self.search.file.chips;
        let left = |one: usize| most.saturating_sub(self.candidates[one].chips);
        let confirmed = match self.search.goals.count() {
            1 => 2 * most,
            _ => front(&self.fitness()).into_iter().map(left).sum(),
        };
        self.trials.closing(confirmed, self.search.judging())
    }

    /// Judges new candidates, so many at most; those that are the same chips as others are left out.
    fn judge(&mut self, genes: Vec<Genes>, most: usize) -> Result<()> {
        let first = self.candidates.len();
        if self.search.trains() {
            let points = genes.iter().take(most).map(|genes| self.search.candidate_point(genes));
            self.networks.prepare(&mut self.reader, &points.collect::<Vec<_>>())?;
        }
        for genes in genes {
            let new = self.candidates.len() - first;
            if new >= most || (self.search.trains() && !self.candidates.is_empty() && self.is_spent()) {
                break;
            }
            match self.candidate(genes.clone()) {
                Ok(candidate) => {
                    let same = |other: &Candidate| other.setting.key == candidate.setting.key;
                    match self.candidates.iter().position(same) {
                        Some(one) => self.twins.push((genes, one)),
                        None => self.candidates.push(candidate),
                    }
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
            self.monitor.skip(self.trials.asked());
        }
        let mut racing: Vec<usize> = (first..self.candidates.len()).collect();
        let few = match first {
            _ if self.search.goals.of_accuracy => FEW_OF_ACCURACY,
            0 => FEW_AT_FIRST,
            _ => FEW,
        };
        let most = self.search.file.chips;
        let mut chips = few.min(most);
        while !racing.is_empty() {
            self.judge_on(&racing, chips)?;
            self.confirm_best()?;
            racing.retain(|one| !self.is_confirmed(*one) && self.goes_on(*one));
            if self.is_spent() {
                racing.retain(|one| self.may_be_best(*one));
            }
            chips = (2 * chips).min(most);
        }
        Ok(())
    }

    /// Judges the best on twice as many chips each time, up to all, as long as it passes or may still pass, and then
    /// the next one: others are beaten by what is sure. The members of fronts are confirmed in the end.
    fn confirm_best(&mut self) -> Result<()> {
        while self.search.goals.count() == 1 {
            let fitness = self.fitness();
            let best = front(&fitness).into_iter().next().filter(|one| fitness[*one].violation == 0.0);
            let Some(best) = best.filter(|one| !self.is_confirmed(*one)) else { break };
            let passes = |run: &Self| run.candidates[best].standing.as_ref().is_some_and(|standing| standing.is_met);
            while !self.is_confirmed(best) && (passes(self) || self.goes_on(best)) {
                self.judge_on(&[best], (2 * self.candidates[best].chips).min(self.search.file.chips))?;
            }
        }
        Ok(())
    }

    /// A new candidate.
    fn candidate(&mut self, genes: Genes) -> Result<Candidate> {
        let setting = Arc::new(self.setting(&self.search.candidate_point(&genes), true)?);
        Ok(Candidate { genes, setting, chips: 0, standing: None })
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

    /// Whether more chips may tell more of a candidate.
    fn goes_on(&self, one: usize) -> bool {
        let goals = &self.search.goals;
        let Some(standing) = &self.candidates[one].standing else { return true };
        // The best is judged on all chips: one that seems good enough on a few beats nothing.
        let mut rivals = self.candidates.iter().filter(|other| goals.count() > 1 || self.has_all_chips(other));
        // Candidates that are unlikely to keep to constraints on all chips are left, once there is something to beat.
        let is_met = |other: &Candidate| other.standing.as_ref().is_some_and(|standing| standing.is_met);
        if !goals.of_accuracy && standing.is_unlikely && rivals.clone().any(is_met) {
            return false;
        }
        let is_beaten =
            |other: &Candidate| other.standing.as_ref().is_some_and(|judged| goals.is_beaten(standing, judged));
        !goals.is_known(standing) && !rivals.any(is_beaten)
    }

    /// Whether a candidate that may still keep to all constraints is cheaper than the best that does, where there is
    /// one figure to minimise.
    fn may_be_best(&self, one: usize) -> bool {
        let Some(own) = self.candidates[one].standing.as_ref().filter(|_| self.search.goals.count() == 1) else {
            return false;
        };
        let standings = self.candidates.iter().filter_map(|candidate| candidate.standing.as_ref());
        let mut met = standings.filter(|standing| standing.is_met);
        met.all(|best| own.undercuts(best))
    }

    /// Judges candidates on all chips that a candidate is judged on.
    pub fn confirm(&mut self, numbers: &[usize]) -> Result<()> {
        self.judge_on(numbers, self.search.file.chips)
    }

    /// Judges candidates on so many chips; some may have run on more.
    fn judge_on(&mut self, numbers: &[usize], chips: u64) -> Result<()> {
        let left: Vec<usize> = numbers.iter().copied().filter(|one| self.candidates[*one].chips < chips).collect();
        let settings: Vec<Arc<Setting>> = left.iter().map(|one| self.candidates[*one].setting.clone()).collect();
        self.ask(&settings, 0..chips)?;
        left.iter().for_each(|one| self.candidates[*one].chips = chips);
        self.stand(numbers)
    }

    /// Whether a candidate was judged on all chips.
    pub fn is_confirmed(&self, one: usize) -> bool {
        self.has_all_chips(&self.candidates[one])
    }

    fn has_all_chips(&self, candidate: &Candidate) -> bool {
        candidate.chips >= self.search.file.chips
    }

    /// Gives candidates their standing after their chips, beside the reference on the same ones.
    fn stand(&mut self, numbers: &[usize]) -> Result<()> {
        // The first time tells the spread that the second one goes by.
        for _ in 0..2 {
            let spread = self.spread();
            for one in numbers {
                let Candidate { setting, chips, .. } = &self.candidates[*one];
                let of = |setting: &Arc<Setting>| self.trials.known(setting.key, 0..*chips);
                let reference = self.reference.as_ref().map_or(vec![], of);
                let standing = self.search.goals.standing(setting, &of(setting), &reference, spread);
                self.candidates[*one].standing = Some(standing.map_err(self.of_goal())?);
            }
        }
        Ok(())
    }

    /// The variance of accuracy from chip to chip, which candidates that ran on several have shown.
    pub fn spread(&self) -> Spread {
        let others = self.candidates.iter().filter(|candidate| !self.is_reference(candidate));
        let margins = others.filter_map(|candidate| Some(&candidate.standing.as_ref()?.margins[..]));
        Spread::of(&margins.collect::<Vec<_>>())
    }

    /// The place of what asks for a figure that is not known.
    fn of_goal(&self) -> impl FnOnce(Error) -> Error + use<'_, 'a> {
        let only_bound = self.search.file.minimise.all().is_empty();
        self.search.document.locate(if only_bound { "constraint" } else { "minimise" })
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
        self.ask(&settings, self.search.validation_chips())?;
        Ok(settings)
    }

    /// Runs what is missing of some chips of some points.
    fn ask(&mut self, settings: &[Arc<Setting>], chips: Range<u64>) -> Result<()> {
        let note = self.note();
        self.trials.ask(settings, chips, &note)
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
}
