//! The goals of a search, and the standing of a candidate after some chips.

use super::evolve::Fitness;
use super::file::SearchFile;
use crate::config::Document;
use crate::error::{Error, Result};
use crate::numeric::stats::{mean_of_images, mean_within};
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

/// The share of images that two chips classify differently, one right and one wrong, at most as a rule.
const APART: f64 = 0.15;
/// Standard errors of a share of images by which a candidate must miss at a glance.
const GLANCE_ERRORS: f64 = 1.645;

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
    /// Whether it surely keeps to every constraint.
    pub is_met: bool,
    /// Whether it surely does not keep to one.
    pub is_missed: bool,
    /// Whether its costs are within their limits.
    pub is_within_limits: bool,
    /// Percent of images, by chip.
    pub accuracies: Vec<f64>,
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

    /// Whether anything is asked beside what is best.
    pub fn asks(&self) -> bool {
        self.accuracy.is_some() || !self.limits.is_empty()
    }

    /// The number of figures that are to be best at once.
    pub fn count(&self) -> usize {
        self.costs.len() + usize::from(self.of_accuracy)
    }

    /// Gives the standing of a candidate after the chips of some trials, those of the reference on the same chips
    /// beside them.
    ///
    /// # Errors
    /// Where a cost that is minimised or limited is not known on its chips.
    pub fn standing(&self, setting: &Setting, trials: &[&Trial], reference: &[&Trial]) -> Result<Standing> {
        let point = Point::of_trials(vec![], trials, &setting.neurons(), &setting.areas);
        let known = |name: &str| cost(&point, name).ok_or_else(|| unknown(name));
        let mut objectives = self.costs.iter().map(|name| known(name)).collect::<Result<Vec<f64>>>()?;
        let accuracies: Vec<f64> = trials.iter().map(|trial| trial.accuracy()).collect();
        if self.of_accuracy {
            objectives.push(-point.accuracy().mean);
        }
        let (mut violation, mut is_within_limits, mut slack) = (0.0, true, vec![]);
        for (name, most) in &self.limits {
            let over = known(name)? - most;
            let percent = 100.0 * over / most.abs().max(f64::MIN_POSITIVE);
            slack.push(-percent);
            if over > 0.0 {
                is_within_limits = false;
                violation += percent;
            }
        }
        let mut is_missed = !is_within_limits;
        if let Some((bound, confidence)) = self.accuracy {
            let reference: Vec<f64> = reference.iter().map(|trial| trial.accuracy()).collect();
            let margins = bound.margins(&accuracies, &reference);
            let images = trials.iter().map(|trial| trial.images).min().unwrap_or(1);
            let (mean, half) = mean_of_images(&margins, images, confidence);
            // An interval shrinks as the root of the number of chips, about.
            slack.push(mean - half * (margins.len() as f64 / self.chips as f64).sqrt());
            is_missed |= mean + half < 0.0;
            if mean - half < 0.0 {
                violation += (-mean).max(0.0) + UNSURE * half.min(100.0);
            }
        }
        let is_met = violation == 0.0;
        Ok(Standing {
            fitness: Fitness { violation, objectives },
            slack,
            is_met,
            is_missed,
            is_within_limits,
            accuracies,
        })
    }

    /// Whether a candidate is surely worse than one that keeps to all constraints.
    pub fn is_beaten(&self, standing: &Standing, by: &Standing) -> bool {
        let costs = self.costs.len();
        let (own, others) = (&standing.fitness.objectives[..costs], &by.fitness.objectives[..costs]);
        let no_cheaper = own.iter().zip(others).all(|(own, other)| other <= own);
        let dearer = own.iter().zip(others).any(|(own, other)| other < own);
        if !self.of_accuracy {
            return by.is_met && no_cheaper && dearer;
        }
        let pairs = standing.accuracies.iter().zip(&by.accuracies);
        let better: Vec<f64> = pairs.map(|(own, other)| other - own).collect();
        let (mean, half) = mean_within(&better, SURELY);
        by.is_met && no_cheaper && mean - half > 0.0
    }

    /// The standing of a candidate after a glance at some of the images: it is missed only where it would be on other
    /// images too, whatever it costs, and never met.
    ///
    /// # Errors
    /// Those of [`Goals::standing`].
    pub fn glanced(&self, setting: &Setting, trials: &[&Trial], reference: &[&Trial]) -> Result<Standing> {
        let standing = self.standing(setting, trials, reference)?;
        let images = trials.iter().map(|trial| trial.images).min().unwrap_or(1).max(1) as f64;
        // All chips see the same images, of which so large a share may be classified differently.
        let missed = self.accuracy.is_some_and(|(bound, _)| {
            let mean = |of: &dyn Fn(usize) -> f64| (0..trials.len()).map(of).sum::<f64>() / trials.len().max(1) as f64;
            let below = match bound {
                Bound::Least(least) => least - mean(&|chip| trials[chip].accuracy()),
                Bound::Within(within) => {
                    mean(&|chip| {
                        reference.get(chip).map_or(0.0, |reference| reference.accuracy()) - trials[chip].accuracy()
                    }) - within
                }
            };
            below > 100.0 * GLANCE_ERRORS * (APART / images).sqrt()
        });
        let fitness = Fitness { violation: standing.fitness.violation.max(UNSURE), ..standing.fitness };
        Ok(Standing { fitness, is_met: false, is_missed: standing.is_missed && missed, ..standing })
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
