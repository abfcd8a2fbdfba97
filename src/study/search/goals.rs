//! The goals of a search, and the standing of a candidate after some chips.

use super::evolve::Fitness;
use super::file::SearchFile;
use crate::config::Document;
use crate::error::{Error, Result};
use crate::numeric::stats::{Prior, half_within, mean_of_images, mean_within, share_of_images};
use crate::study::columns::{AREA, ENERGY, INTERVAL, LATENCY};
use crate::study::point::Point;
use crate::study::setting::Setting;
use crate::study::trial::Trial;

/// Figures that may be minimised or limited.
const COSTS: [&str; 5] = [ENERGY, SRAM_BYTES, AREA, LATENCY, INTERVAL];
/// Bytes of the companion arrays.
const SRAM_BYTES: &str = "sram_bytes";
/// The figure that may be maximised.
const ACCURACY: &str = "accuracy";
/// The confidence with which one candidate's accuracy must be above another's to pass for better.
const SURELY: f64 = 0.95;

/// Degrees of freedom as which the spread of all candidates counts beside a candidate's own.
const SHARED: usize = 4;
/// Points by which a candidate may miss the accuracy on average and still tell how far chips near it spread.
const NEAR: f64 = 2.0;
/// Percent by which the costs of a few chips may lie above a limit that those of all chips keep to.
const COSTS_DIFFER: f64 = 5.0;
/// Standard deviations by which a candidate may fall short and still go on: it is left where it has one chance in four.
const CHANCE: f64 = 0.6745;

/// Points of violation for each point that accuracy is not sure to: of two candidates that miss by as much, the surer
/// one is nearer.
const UNSURE: f64 = 0.05;

/// The goals of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Goals {
    /// The costs that are minimised.
    pub costs: Vec<&'static str>,
    /// Whether accuracy is maximised beside.
    pub of_accuracy: bool,
    /// Limits of costs.
    limits: Vec<(&'static str, f64)>,
    /// Points below the reference, or percent; and how sure.
    accuracy: Option<(Bound, f64)>,
    /// Chips that a candidate is judged on, at most.
    chips: u64,
}

/// A bound on accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So many points below the reference, at most.
    Within(f64),
    /// So many percent, at least.
    Least(f64),
}

impl Bound {
    /// The points by which each chip keeps to it, below 0 where it does not; the reference's accuracies are of the same
    /// chips.
    fn margins(self, accuracies: &[f64], reference: &[f64]) -> Vec<f64> {
        match self {
            Bound::Least(least) => accuracies.iter().map(|accuracy| accuracy - least).collect(),
            Bound::Within(within) => {
                accuracies.iter().zip(reference).map(|(accuracy, reference)| accuracy - reference + within).collect()
            }
        }
    }
}

/// The standing of a candidate after some chips.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its place among others.
    pub fitness: Fitness,
    /// The amount by which it keeps to each constraint, below 0 where it does not: points of accuracy, less what would
    /// be unsure of them on all chips, and percent of a limit.
    pub slack: Vec<f64>,
    /// The points by which each chip keeps to the bound on accuracy, or, without one, its accuracy.
    pub margins: Vec<f64>,
    /// Whether it surely keeps to every constraint.
    pub is_met: bool,
    /// Whether it surely does not keep to one.
    pub is_missed: bool,
    /// Whether it would keep to all of them on all chips in less than one case of four.
    pub is_unlikely: bool,
    /// Whether its costs are within their limits.
    pub is_within_limits: bool,
    /// Percent of images, by chip.
    pub accuracies: Vec<f64>,
    /// The costs that are minimised, by chip.
    pub costs: Vec<Vec<f64>>,
}

impl Standing {
    /// The means of each cost of this candidate and of another one, on the chips that both ran on: chips differ.
    fn costs_beside(&self, other: &Standing) -> Vec<[f64; 2]> {
        let means = |(own, others): (&Vec<f64>, &Vec<f64>)| {
            let both = own.len().min(others.len());
            [own, others].map(|costs| costs[..both].iter().sum::<f64>() / both as f64)
        };
        self.costs.iter().zip(&other.costs).map(means).collect()
    }

    /// The figures that are minimised, costs as they would be on all chips if they differed as those of another
    /// candidate, which ran on all: chips differ.
    pub fn levelled(&self, by: &Standing) -> Vec<f64> {
        let mut objectives = self.fitness.objectives.clone();
        for ((objective, own), all) in objectives.iter_mut().zip(&self.costs).zip(&by.costs) {
            let mean = |costs: &[f64]| costs.iter().sum::<f64>() / costs.len() as f64;
            let same = mean(&all[..own.len().min(all.len())]);
            if same > 0.0 {
                *objective *= mean(all) / same;
            }
        }
        objectives
    }

    /// Whether the one figure that is minimised is below that of another candidate.
    pub fn undercuts(&self, other: &Standing) -> bool {
        match self.costs_beside(other).first() {
            Some([own, others]) => own < others,
            None => self.fitness.objectives[0] < other.fitness.objectives[0],
        }
    }
}

/// The variance of candidates' margins from chip to chip, in points squared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread(f64);

impl Spread {
    /// The spread that the margins of some candidates show, each by itself around its mean: of those near the bound
    /// where there are such, since chips that fail spread farther.
    pub fn of(all: &[&[f64]]) -> Self {
        let mean = |margins: &[f64]| margins.iter().sum::<f64>() / margins.len() as f64;
        let pooled = |is_asked: &dyn Fn(f64) -> bool| {
            let (mut squares, mut freedom) = (0.0, 0);
            for margins in all.iter().filter(|margins| margins.len() > 1 && is_asked(mean(margins))) {
                squares += margins.iter().map(|margin| (margin - mean(margins)).powi(2)).sum::<f64>();
                freedom += margins.len() - 1;
            }
            (freedom > 0).then(|| squares / freedom as f64)
        };
        Spread(pooled(&|mean| mean > -NEAR).or_else(|| pooled(&|_| true)).unwrap_or(0.0))
    }

    /// The variance that a sample of chips is taken to have before it is seen.
    pub fn prior(self) -> Prior {
        Prior { variance: self.0, freedom: SHARED }
    }
}

/// The standing of a candidate to the bound on accuracy alone.
struct AccuracyStanding {
    /// Whether it surely keeps to it, surely does not, and is unlikely to on all chips.
    is_met: bool,
    is_missed: bool,
    is_unlikely: bool,
    /// Points that are left on all chips, less what will be unsure there.
    slack: f64,
    /// Points by which it misses, or is not sure to keep to it.
    violation: f64,
}

impl AccuracyStanding {
    /// The standing of the reference itself, which has just its own accuracy on any chips.
    fn of_reference(within: f64) -> Self {
        AccuracyStanding { is_met: true, is_missed: false, is_unlikely: false, slack: within, violation: 0.0 }
    }
}

impl Goals {
    /// Reads them.
    pub fn read(file: &SearchFile, document: &Document) -> Result<Self> {
        let mut costs = vec![];
        for name in file.minimise.all() {
            let known = COSTS.iter().find(|known| **known == name).ok_or_else(|| {
                document.error("minimise", format!("`{name}`, expected one of {}, or a list of them", COSTS.join(", ")))
            })?;
            if costs.contains(known) {
                return Err(document.error("minimise", format!("`{name}` stands twice; expected it once")));
            }
            costs.push(*known);
        }
        let most = file.maximise.all();
        if let Some(name) = most.iter().find(|name| **name != ACCURACY) {
            return Err(document.error("maximise", format!("`{name}`, expected \"{ACCURACY}\"")));
        }
        if costs.is_empty() && most.is_empty() {
            return Err(document.error(
                "minimise",
                format!("names nothing, and neither does `maximise`; expected one of {}", COSTS.join(", ")),
            ));
        }
        let accuracy = file.constraint.accuracy.map(|asked| {
            let bound = asked.within.map_or_else(|| Bound::Least(asked.least.unwrap_or_default()), Bound::Within);
            (bound, asked.confidence)
        });
        Ok(Goals { costs, of_accuracy: !most.is_empty(), limits: file.limits(), accuracy, chips: file.chips })
    }

    /// The bound on accuracy, where there is one.
    pub fn bound(&self) -> Option<Bound> {
        self.accuracy.map(|(bound, _)| bound)
    }

    /// Whether a point keeps to what is asked, on average over its chips, the reference's on the same chips beside
    /// them.
    pub fn keeps(&self, point: &Point, reference: Option<&Point>) -> bool {
        let within = self.limits.iter().all(|(name, most)| cost(point, name).is_some_and(|cost| cost <= *most));
        let mean = point.accuracy().mean;
        within
            && match self.bound() {
                Some(Bound::Least(least)) => mean >= least,
                Some(Bound::Within(within)) => reference.is_none_or(|other| other.accuracy().mean - mean <= within),
                None => true,
            }
    }

    /// Whether a point that [keeps](Self::keeps) to what is asked on average, on so many images, does so with the
    /// confidence that is asked for.
    pub fn surely_keeps(&self, point: &Point, reference: Option<&Point>, images: u64) -> bool {
        let of = |point: &Point| point.chips.iter().map(|chip| chip.accuracy).collect::<Vec<f64>>();
        self.accuracy.is_none_or(|(bound, confidence)| {
            let margins = bound.margins(&of(point), &reference.map_or(vec![], of));
            let (mean, half) = mean_of_images(&margins, images, confidence);
            mean >= half
        })
    }

    /// The place of a point among others by its means, whatever it keeps to.
    pub fn fitness(&self, point: &Point) -> Fitness {
        let costs = self.costs.iter().map(|name| cost(point, name).unwrap_or(f64::INFINITY));
        let accuracy = self.of_accuracy.then(|| -point.accuracy().mean);
        Fitness { violation: 0.0, objectives: costs.chain(accuracy).collect() }
    }

    /// Whether costs are limited.
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Whether anything is asked beside what is best.
    pub fn asks(&self) -> bool {
        self.accuracy.is_some() || !self.limits.is_empty()
    }

    /// The number of figures that are to be best at once.
    pub fn count(&self) -> usize {
        self.costs.len() + usize::from(self.of_accuracy)
    }

    /// Gives the standing of a candidate after the chips of some trials, those of the reference on the same chips
    /// beside them. On all chips it is judged by its own spread alone; before, by that of all candidates as well.
    ///
    /// # Errors
    /// Where a cost that is minimised or limited is not known on its chips.
    pub fn standing(
        &self,
        setting: &Setting,
        trials: &[&Trial],
        reference: &[&Trial],
        spread: Spread,
    ) -> Result<Standing> {
        let point = Point::of_trials(vec![], trials, &setting.neurons(), &setting.areas);
        let known = |name: &str| cost(&point, name).ok_or_else(|| unknown(name));
        let mut objectives = self.costs.iter().map(|name| known(name)).collect::<Result<Vec<f64>>>()?;
        let of_chip = |trial: &Trial| Point::of_trials(vec![], &[trial], &setting.neurons(), &setting.areas);
        let of_chips: Vec<Point> = trials.iter().map(|trial| of_chip(trial)).collect();
        let by_chip = |name: &&str| of_chips.iter().map(|chip| cost(chip, name).unwrap_or(f64::INFINITY)).collect();
        let costs = self.costs.iter().map(by_chip).collect();
        let accuracies: Vec<f64> = trials.iter().map(|trial| trial.accuracy()).collect();
        if self.of_accuracy {
            objectives.push(-point.accuracy().mean);
        }
        let has_all = trials.len() as u64 >= self.chips;
        let (mut violation, mut is_missed, mut slack) = (0.0, false, vec![]);
        for (name, most) in &self.limits {
            let percent = 100.0 * (known(name)? - most) / most.abs().max(f64::MIN_POSITIVE);
            slack.push(-percent);
            violation += percent.max(0.0);
            is_missed |= percent > if has_all { 0.0 } else { COSTS_DIFFER };
        }
        let is_within_limits = violation == 0.0;
        let (mut is_met, mut is_unlikely, mut margins) = (is_within_limits, false, accuracies.clone());
        if let Some((bound, confidence)) = self.accuracy {
            let of_reference: Vec<f64> = reference.iter().map(|trial| trial.accuracy()).collect();
            margins = bound.margins(&accuracies, &of_reference);
            let images = trials.iter().map(|trial| trial.images).min().unwrap_or(1);
            let is_reference = reference.first().zip(trials.first()).is_some_and(|(other, own)| other.key == own.key);
            let standing = match bound {
                Bound::Within(within) if is_reference => AccuracyStanding::of_reference(within),
                _ => self.accuracy_standing(&margins, images, confidence, spread),
            };
            (is_met, is_missed) = (is_met && standing.is_met, is_missed || standing.is_missed);
            is_unlikely = standing.is_unlikely;
            violation += standing.violation;
            slack.push(standing.slack);
        }
        Ok(Standing {
            fitness: Fitness { violation, objectives },
            slack,
            margins,
            is_met,
            is_missed,
            is_unlikely,
            is_within_limits,
            accuracies,
            costs,
        })
    }

    /// Gives the standing to the bound on accuracy of chips that keep to it by so many points each.
    fn accuracy_standing(&self, margins: &[f64], images: u64, confidence: f64, spread: Spread) -> AccuracyStanding {
        let (chips, all) = (margins.len(), self.chips as usize);
        let (mean, own) = mean_of_images(margins, images, confidence);
        let half = spread.prior().mean_within(margins, confidence).1.max(share_of_images(images, chips));
        // One chip has no variance of its own, and a few that happen to agree are not sure.
        let [to_pass, to_fail] = if chips >= all { [own; 2] } else { [own.max(half), half] };
        let variance = spread.prior().variance(margins);
        let slack = mean - half_within(variance, all, confidence).max(share_of_images(images, all));
        // The mean on all chips may still lie so far from that of these.
        let moves = (variance * (1.0 / chips as f64 - 1.0 / all as f64).max(0.0)).sqrt();
        let is_met = mean >= to_pass;
        AccuracyStanding {
            is_met,
            is_missed: mean + to_fail < 0.0,
            is_unlikely: slack + CHANCE * moves < 0.0,
            slack,
            violation: if is_met { 0.0 } else { (-mean).max(0.0) + UNSURE * to_fail.min(100.0) },
        }
    }

    /// Whether a candidate is surely worse than one that keeps to all constraints.
    pub fn is_beaten(&self, standing: &Standing, by: &Standing) -> bool {
        let costs = standing.costs_beside(by);
        let no_cheaper = costs.iter().all(|[own, other]| other <= own);
        let dearer = costs.iter().any(|[own, other]| other < own);
        if !self.of_accuracy {
            return by.is_met && no_cheaper && dearer;
        }
        let pairs = standing.accuracies.iter().zip(&by.accuracies);
        let better: Vec<f64> = pairs.map(|(own, other)| other - own).collect();
        let (mean, half) = mean_within(&better, SURELY);
        by.is_met && no_cheaper && mean - half > 0.0
    }

    /// Whether more chips would tell nothing more of a candidate.
    pub fn is_known(&self, standing: &Standing) -> bool {
        standing.is_missed || standing.is_met && !self.of_accuracy
    }
}

/// A cost of a point; none where it is not known.
pub fn cost(point: &Point, name: &str) -> Option<f64> {
    match name {
        ENERGY => point.energy_pj(),
        SRAM_BYTES => Some(point.sram_bytes()),
        _ => point.number(name),
    }
}

fn unknown(name: &str) -> Error {
    let needs = match name {
        AREA => "[cost.area_um2]",
        LATENCY | INTERVAL => "[cost.time_ns]",
        _ => "[cost.energy_pj]",
    };
    Error::Mismatch(format!("{name} is not known on these chips; expected a profile with {needs}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goals(chips: u64) -> Goals {
        let accuracy = Some((Bound::Within(1.0), 0.95));
        Goals { costs: vec![ENERGY], of_accuracy: false, limits: vec![], accuracy, chips }
    }

    #[test]
    fn a_spread_is_that_of_candidates_near_the_bound() {
        let near = [[0.1, 0.3], [-0.5, -0.5]];
        let far = [-9.0, -3.0];
        let all: Vec<&[f64]> = near.iter().map(|margins| &margins[..]).chain([&far[..], &[5.0]]).collect();
        // Squares of 0.02 around their means, with a degree of freedom each.
        assert!((Spread::of(&all).0 - 0.01).abs() < 1e-12);
        assert_eq!(Spread::of(&[&far]).0, 18.0);
        assert_eq!(Spread::of(&[&[5.0]]).0, 0.0);
    }

    #[test]
    fn one_chip_may_fail_and_never_passes() {
        let judged = |margins: &[f64]| goals(12).accuracy_standing(margins, 1000, 0.95, Spread(0.16));
        // Half the interval of one chip: 2.1318·0.4 (Student's t of four degrees of freedom).
        assert!(!judged(&[9.0]).is_met && judged(&[-0.86]).is_missed && !judged(&[-0.85]).is_missed);
        assert!(judged(&[9.0]).violation > 0.0);
        // On all chips it takes 1.7959·0.4/√12 = 0.207 to be sure, and the mean may still move by 0.383.
        assert!((judged(&[1.0]).slack - (1.0 - 0.2074)).abs() < 1e-4);
        assert!(judged(&[-0.06]).is_unlikely && !judged(&[-0.04]).is_unlikely);
        // Three that agree to an image are sure of nothing where chips spread.
        assert!(!judged(&[0.3, 0.3, 0.3]).is_met && judged(&[0.5, 0.5, 0.5]).is_met);
    }

    #[test]
    fn all_chips_are_judged_by_themselves() {
        let judged = |margins: &[f64]| goals(2).accuracy_standing(margins, 1000, 0.95, Spread(25.0));
        assert!(judged(&[0.2, 0.2]).is_met && judged(&[-0.2, -0.2]).is_missed);
        // Chips that do not vary are known to an image.
        let still = |mean: f64| goals(4).accuracy_standing(&[mean; 4], 60, 0.95, Spread(0.0));
        assert!(!still(0.8).is_met && still(0.8).violation > 0.0 && still(0.84).is_met && still(-0.84).is_missed);
    }

    #[test]
    fn costs_are_compared_on_the_same_chips() {
        let of = |costs: &[f64]| {
            let objectives = vec![costs.iter().sum::<f64>() / costs.len() as f64];
            Standing {
                fitness: Fitness { violation: 0.0, objectives },
                slack: vec![],
                margins: vec![],
                is_met: true,
                is_missed: false,
                is_unlikely: false,
                is_within_limits: true,
                accuracies: vec![],
                costs: vec![costs.to_vec()],
            }
        };
        // The first chip costs more than the others: of one chip 1.01 is less than 1.02, whose mean is 0.99.
        let (best, other) = (of(&[1.02, 0.98, 0.97]), of(&[1.01]));
        assert!(other.undercuts(&best) && !best.undercuts(&other) && !goals(3).is_beaten(&other, &best));
        assert!((other.levelled(&best)[0] - 1.01 * 0.99 / 1.02).abs() < 1e-12);
        assert_eq!(best.levelled(&best), best.fitness.objectives);
    }
}
