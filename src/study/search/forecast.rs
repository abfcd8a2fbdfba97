//! The candidates of which most is expected, from what those that were tried have shown: one [Gaussian
//! process](super::gaussian) for each constraint and each figure that is minimised.
//!
//! Where one figure is minimised, a candidate is worth the amount by which it is expected to undercut the best, times
//! the chance that it keeps to all constraints. Where several are, candidates are those of the front that is expected.

use rayon::prelude::*;

use super::evolve::{Fitness, ranked};
use super::gaussian::{Belief, LearnedFigure};
use super::goals::Standing;
use crate::numeric::stats::normal_below;
use crate::study::axes::{Axes, Genes};

/// Candidates that it learns from, at most: the best, for they are nearest to what is looked for.
pub const LEARNED: usize = 256;
/// Points of accuracy, or percent of a limit, beyond which it does not matter how far a candidate is from a constraint.
const FAR: f64 = 10.0;
/// The least deviation that a figure is expected to have, so that all that is computed of it is finite.
const LEAST: f64 = 1e-9;
/// Standard deviations by which constraints are expected to be kept better than on average, turn by turn, where several
/// figures are minimised: some candidates explore, some are safe.
const OPTIMISM: [f64; 4] = [0.0, 1.0, -0.5, 0.5];

/// A candidate that was tried.
pub struct Tried<'a> {
    /// Its values.
    pub genes: &'a Genes,
    /// Its standing.
    pub standing: &'a Standing,
    /// The figures that are minimised.
    pub objectives: &'a [f64],
}

/// A candidate that was not tried, and the figures that are expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prospect {
    /// Its values.
    pub genes: Genes,
    /// The slack of each constraint.
    slack: Vec<Belief>,
    /// Each figure that is minimised, on a scale of its own.
    objectives: Vec<Belief>,
}

impl Prospect {
    /// Its place among others, if it keeps to constraints by so many standard deviations better than on average.
    fn fitness(&self, optimism: f64) -> Fitness {
        let short = self.slack.iter().map(|slack| (-(slack.mean + optimism * slack.deviation())).max(0.0));
        Fitness { violation: short.sum(), objectives: self.objectives.iter().map(|figure| figure.mean).collect() }
    }

    /// The amount by which it is expected to undercut a [flattened] figure, times the chance that it keeps to all
    /// constraints (Gardner et al., *Bayesian optimization with inequality constraints*, ICML 2014).
    fn gain(&self, best: f64) -> f64 {
        let chance = |slack: &Belief| normal_below(slack.mean / slack.deviation().max(LEAST));
        let figure = &self.objectives[0];
        let deviation = figure.deviation().max(LEAST);
        let apart = (best - figure.mean) / deviation;
        let density = libm::exp(-0.5 * apart * apart) / (2.0 * std::f64::consts::PI).sqrt();
        let undercut = deviation * (apart * normal_below(apart) + density);
        self.slack.iter().map(chance).product::<f64>() * undercut
    }
}

/// The numbers of some candidates, those of which most is expected first: the gain over the [flattened] figure that is
/// to be undercut, and their place among each other where that is as much, or where several figures are minimised.
pub fn promising(pool: &[Prospect], to_beat: Option<f64>) -> Vec<usize> {
    let mut order = ranked_with(pool, 0.0);
    let Some(to_beat) = to_beat else { return order };
    let gains: Vec<f64> = pool.iter().map(|one| one.gain(to_beat)).collect();
    order.sort_by(|a, b| gains[*b].total_cmp(&gains[*a]));
    order
}

fn ranked_with(pool: &[Prospect], optimism: f64) -> Vec<usize> {
    ranked(&pool.iter().map(|one| one.fitness(optimism)).collect::<Vec<Fitness>>())
}

/// A forecast, learned from candidates that were tried.
pub struct Forecast<'a> {
    seen: Vec<&'a Genes>,
    slack: Vec<LearnedFigure<'a>>,
    objectives: Vec<LearnedFigure<'a>>,
}

impl<'a> Forecast<'a> {
    /// Learns from some candidates of a space; none where they are too few.
    pub fn of(space: &'a Axes, tried: &[Tried<'a>]) -> Option<Self> {
        let first = tried.first().filter(|_| tried.len() >= 4)?;
        let seen: Vec<&Genes> = tried.iter().map(|one| one.genes).collect();
        let noise: Vec<f64> = tried.iter().map(|one| 1.0 / one.standing.margins.len() as f64).collect();
        let bounds = first.standing.slack.len();
        let learn = |number: usize| {
            let figure = |one: &Tried| match number.checked_sub(bounds) {
                None => one.standing.slack[number].clamp(-FAR, FAR),
                Some(number) => flattened(one.objectives[number]),
            };
            let targets: Vec<f64> = tried.iter().map(figure).collect();
            LearnedFigure::of(space, &seen, &noise, &targets)
        };
        let all = 0..bounds + first.objectives.len();
        let mut slack: Vec<LearnedFigure> = all.into_par_iter().map(learn).collect();
        let objectives = slack.split_off(bounds);
        Some(Forecast { seen, slack, objectives })
    }

    /// A candidate with the figures that are expected of it.
    pub fn prospect(&self, genes: Genes) -> Prospect {
        let of = |learned: &LearnedFigure| learned.expected(&self.seen, &genes);
        let (slack, objectives) = (self.slack.iter().map(of).collect(), self.objectives.iter().map(of).collect());
        Prospect { genes, slack, objectives }
    }

    /// The candidates of a pool that are judged together. They are taken one after the other, each the one of which
    /// most is gained over the figure to undercut, as if those before had turned out as they are expected to
    /// (Ginsbourger, Le Riche & Carraro, in *Computational Intelligence in Expensive Optimization Problems*, Springer
    /// 2010): what is like them tells nothing more. Where several figures are minimised, they are taken
    /// [by turns](by_turns).
    pub fn chosen(&self, mut pool: Vec<Prospect>, count: usize, to_beat: Option<f64>) -> Vec<Genes> {
        let Some(mut to_beat) = to_beat else { return by_turns(&pool, count) };
        let mut found = vec![];
        while found.len() < count && !pool.is_empty() {
            let most = promising(&pool, Some(to_beat))[0];
            let one = pool.swap_remove(most);
            if one.slack.iter().all(|slack| slack.mean >= 0.0) {
                to_beat = to_beat.min(one.objectives[0].mean);
            }
            pool.par_iter_mut().for_each(|other| self.believe(&one, other));
            found.push(one.genes);
        }
        found
    }

    /// Counts what a candidate, on one chip, would tell of another.
    fn believe(&self, one: &Prospect, other: &mut Prospect) {
        let of_one = one.slack.iter().chain(&one.objectives);
        let of_other = other.slack.iter_mut().chain(&mut other.objectives);
        let learned = self.slack.iter().chain(&self.objectives);
        for ((learned, own), belief) in learned.zip(of_one).zip(of_other) {
            learned.believe((&one.genes, own), (&other.genes, belief));
        }
    }
}

/// The candidates of a pool of which most is expected, with constraints kept better than on average by several
/// amounts in turn, each more than one value away from those before it, as long as there are such.
fn by_turns(pool: &[Prospect], count: usize) -> Vec<Genes> {
    let order = |optimism: &f64| ranked_with(pool, *optimism).into_iter();
    let mut orders: Vec<_> = OPTIMISM.iter().map(order).collect();
    let mut found: Vec<Genes> = vec![];
    let is_apart = |found: &[Genes], genes: &Genes| {
        found.iter().all(|other| other.iter().zip(genes).filter(|(a, b)| a != b).count() > 1)
    };
    for turn in 0..count {
        let order = &mut orders[turn % OPTIMISM.len()];
        if let Some(one) = order.find(|one| is_apart(&found, &pool[*one].genes)) {
            found.push(pool[one].genes.clone());
        }
    }
    // A small space has no others.
    for one in ranked_with(pool, OPTIMISM[0]) {
        if found.len() < count && !found.contains(&pool[one].genes) {
            found.push(pool[one].genes.clone());
        }
    }
    found
}

/// A cost on a scale on which shares are distances; accuracies, which are below 0, stay.
pub fn flattened(figure: f64) -> f64 {
    if figure < 0.0 { figure } else { libm::log1p(figure) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::axes::Axis;
    use toml::Value;

    fn space() -> Axes {
        let axis = |key: &str, count: i64| Axis::of(key, (0..count).map(Value::Integer).collect());
        Axes::of(vec![axis("layer.a.x", 5), axis("layer.a.y", 5), axis("layer.b.x", 5), axis("z", 3), axis("idle", 3)])
    }

    fn standing(slack: f64, cost: f64) -> Standing {
        Standing {
            fitness: Fitness { violation: (-slack).max(0.0), objectives: vec![cost] },
            slack: vec![slack],
            is_met: slack >= 0.0,
            is_missed: slack < 0.0,
            is_unlikely: slack < 0.0,
            margins: vec![slack; 3],
            costs: vec![vec![cost; 3]],
            is_within_limits: true,
            accuracies: vec![],
        }
    }

    fn of<'a>(genes: &'a Genes, standing: &'a Standing) -> Tried<'a> {
        Tried { genes, standing, objectives: &standing.fitness.objectives }
    }

    /// A cost that keys add to, and a slack with a product of two keys of one layer; the last key changes nothing.
    fn truth(genes: &[usize]) -> Standing {
        let g = |i: usize| genes[i] as f64;
        standing(g(0) * g(1) / 2.0 + g(2) - 4.0, libm::exp(0.3 * g(0) + 0.2 * g(1) + 0.1 * g(2) + 0.5 * g(3)))
    }

    #[test]
    fn what_was_not_tried_is_expected_from_what_was() {
        let space = space();
        let all: Vec<Genes> = space.all().collect();
        let (tried, rest): (Vec<(usize, &Genes)>, Vec<_>) = all.iter().enumerate().partition(|(i, _)| i % 11 == 1);
        let standings: Vec<Standing> = tried.iter().map(|(_, genes)| truth(genes)).collect();
        let tried = tried.iter().zip(&standings).map(|((_, genes), standing)| of(genes, standing));
        let tried: Vec<Tried> = tried.collect();
        let seen: Vec<&Genes> = tried.iter().map(|one| one.genes).collect();
        let forecast = Forecast::of(&space, &tried).unwrap();
        let (mut error, mut spread) = (0.0, 0.0);
        for (_, genes) in &rest {
            let (expected, truth) = (forecast.prospect((*genes).clone()), truth(genes));
            error += (expected.slack[0].mean - truth.slack[0]).powi(2);
            spread += truth.slack[0].powi(2);
            assert!((expected.objectives[0].mean - flattened(truth.fitness.objectives[0])).abs() < 0.4, "{genes:?}");
        }
        assert!(error < 0.03 * spread, "{error} of {spread}");
        // Candidates that were tried are known better than those that were not.
        let deviation = |genes: &Genes| forecast.prospect(genes.clone()).slack[0].deviation();
        let mean = |all: &[&Genes]| all.iter().map(|genes| deviation(genes)).sum::<f64>() / all.len() as f64;
        let [tried, rest] = [seen, rest.iter().map(|(_, genes)| *genes).collect()].map(|all: Vec<&Genes>| mean(&all));
        assert!(tried < 0.8 * rest, "{tried} and {rest}");
    }

    #[test]
    fn too_few_tell_nothing() {
        let space = space();
        let (genes, standing) = (vec![0; 5], standing(1.0, 1.0));
        let tried = || of(&genes, &standing);
        assert!(Forecast::of(&space, &[tried(), tried(), tried()]).is_none());
        // One candidate many times is a figure without spread.
        let forecast = Forecast::of(&space, &[tried(), tried(), tried(), tried()]).unwrap();
        let slack = &forecast.prospect(vec![4, 4, 4, 2, 2]).slack[0];
        assert!((slack.mean - 1.0).abs() < 1e-9 && slack.deviation() < 1e-9, "{slack:?}");
    }

    #[test]
    fn those_of_a_generation_are_not_neighbours() {
        let pool = [prospect(vec![0, 0], 0.1, 1.0), prospect(vec![0, 1], 0.1, 2.0), prospect(vec![1, 1], 0.1, 3.0)];
        assert_eq!(by_turns(&pool, 2), [vec![0, 0], vec![1, 1]]);
        assert_eq!(by_turns(&pool, 3), [vec![0, 0], vec![1, 1], vec![0, 1]]);
    }

    #[test]
    fn a_gain_is_a_lower_cost_that_is_likely_to_be_good_enough() {
        // The costs are e³ − 1, e² − 1 and e − 1, and the last one has one chance in two to keep to the constraint.
        let pool = [prospect(vec![0], 0.1, 3.0), prospect(vec![1], 0.1, 2.0), prospect(vec![2], 0.0, 1.0)];
        let known = pool.each_ref().map(|one| one.gain(2.5));
        assert!(known[0] < 1e-3 && (known[1] - 0.5).abs() < 1e-3 && (known[2] - 0.75).abs() < 1e-3, "{known:?}");
        assert_eq!(promising(&pool, Some(2.5)), [2, 1, 0]);
        // The surer one gains more where both are far cheaper.
        assert_eq!(promising(&pool, Some(8.0)), [1, 0, 2]);
        // The nearest one is first where none has a chance, whatever it costs.
        let hopeless = [prospect(vec![0], -9.0, 1.0), prospect(vec![1], -7.0, 2.0), prospect(vec![2], -8.0, 0.5)];
        assert!(hopeless.iter().all(|one| one.gain(2.5) == 0.0));
        assert_eq!(promising(&hopeless, Some(2.5)), [1, 2, 0]);
    }

    #[test]
    fn what_is_like_a_candidate_that_was_taken_waits() {
        let space = space();
        let all: Vec<Genes> = space.all().collect();
        let seen: Vec<&Genes> = all.iter().step_by(97).collect();
        let standings: Vec<Standing> = seen.iter().map(|genes| truth(genes)).collect();
        let tried: Vec<Tried> = seen.iter().zip(&standings).map(|(genes, standing)| of(genes, standing)).collect();
        let forecast = Forecast::of(&space, &tried).unwrap();
        // One pair at most of those that are taken together differs in nothing but a value without effect.
        let pool: Vec<Prospect> = all.iter().map(|genes| forecast.prospect(genes.clone())).collect();
        let taken = forecast.chosen(pool, 6, Some(flattened(60.0)));
        let same = |a: &Genes, b: &Genes| a[..4] == b[..4];
        let twins = taken.iter().enumerate().filter(|(i, one)| taken[..*i].iter().any(|other| same(one, other)));
        assert!(taken.len() == 6 && twins.count() < 2, "{taken:?}");
    }

    /// A candidate with a slack of so much, known to a hundredth, and a cost known to a tenth.
    fn prospect(genes: Genes, slack: f64, cost: f64) -> Prospect {
        let belief = |mean, deviation| vec![Belief::of(mean, deviation)];
        Prospect { genes, slack: belief(slack, 0.01), objectives: belief(cost, 0.1) }
    }
}
