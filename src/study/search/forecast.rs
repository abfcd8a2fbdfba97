//! Candidates that were not tried are expected to be like those that were: a Gaussian process over numbers of values
//! (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, MIT Press 2006, chapter 2), one for each
//! constraint and each figure that is minimised.
//!
//! Two candidates are alike by half as their layers are, one by one, and by half as all their keys are together:
//!
//! ```text
//! k(a, b) = ½·(1/G)·Σ_g exp(−2·Σ_{i∈g} w_i·d_i) + ½·exp(−Σ_i w_i·d_i/√N)
//! ```
//!
//! where `d_i` is the distance of two values of key `i` in shares of its range, 1 between any two values without an
//! order; a group `g` is the keys of one layer, or one other key; and `w_i` is how much the key matters, the same for a
//! key of all layers. Targets are centred and scaled to a variance of 1; the noise on them, by the number of chips, is
//! the one of a few, and weights are those in steps of 4, under which they are likeliest, one after the other (chapter
//! 5: automatic relevance determination).
//!
//! Sums run in one order and functions are those of `libm`, so a search is the same on any machine.

use rayon::prelude::*;

use super::evolve::{Fitness, ranked};
use super::goals::Standing;
use crate::study::axes::{Axes, Genes};

/// Candidates that it learns from, at most: the best, for they are nearest to what is looked for.
pub const LEARNED: usize = 256;
/// The noise that targets may have on one chip, in shares of their variance.
const NOISES: [f64; 5] = [0.003, 0.03, 0.1, 0.3, 1.0];
/// The weight of every key before anything is learned.
const WEIGHT: f64 = 0.25;
/// Weights that a key may have, at least and at most.
const WEIGHTS: [f64; 2] = [1.0 / 64.0, 16.0];
/// Times that the weights of all keys are gone through.
const ROUNDS: usize = 3;
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

/// A figure that is expected of a candidate.
#[derive(Clone, Debug, PartialEq)]
struct Belief {
    mean: f64,
    /// The spread of the figure over candidates.
    spread: f64,
    /// The share of its variance that is not known here.
    left: f64,
    /// What is known of it: its likeness to each candidate that was seen, but for what those before tell.
    known: Vec<f64>,
}

impl Belief {
    fn deviation(&self) -> f64 {
        self.spread * self.left.max(0.0).sqrt()
    }

    /// Counts what one more candidate tells.
    fn learn(&mut self, known: f64) {
        self.left -= known * known;
        self.known.push(known);
    }
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
        let chance = |slack: &Belief| below(slack.mean / slack.deviation().max(LEAST));
        let figure = &self.objectives[0];
        let deviation = figure.deviation().max(LEAST);
        let apart = (best - figure.mean) / deviation;
        let density = libm::exp(-0.5 * apart * apart) / (2.0 * std::f64::consts::PI).sqrt();
        let undercut = deviation * (apart * below(apart) + density);
        self.slack.iter().map(chance).product::<f64>() * undercut
    }
}

/// The chance that a standard normal variable is below a value.
fn below(value: f64) -> f64 {
    0.5 * libm::erfc(-value * std::f64::consts::FRAC_1_SQRT_2)
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

/// One figure: its mean and spread, what makes candidates alike in it, the weight of each candidate, and the noise of
/// one chip in shares of its variance.
struct LearnedFigure<'a> {
    mean: f64,
    spread: f64,
    likeness: Likeness<'a>,
    factor: Factor,
    weights: Vec<f64>,
    noise: f64,
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
            LearnedFigure::of(Likeness::of(space), &seen, &noise, &targets)
        };
        let all = 0..bounds + first.objectives.len();
        let mut slack: Vec<LearnedFigure> = all.into_par_iter().map(learn).collect();
        let objectives = slack.split_off(bounds);
        Some(Forecast { seen, slack, objectives })
    }

    /// A candidate with the figures that are expected of it.
    pub fn prospect(&self, genes: Genes) -> Prospect {
        let of = |learned: &LearnedFigure| learned.expected(&learned.likeness.with(&self.seen, &genes));
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
            let alike = learned.likeness.between(&one.genes, &other.genes) - dot(&own.known, &belief.known);
            belief.learn(alike / (own.left.max(0.0) + learned.noise).sqrt());
        }
    }
}

/// Those candidates of a pool of which most is expected, with constraints kept better than on average by several
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

/// The likeness of two candidates of a space.
#[derive(Clone)]
struct Likeness<'a> {
    space: &'a Axes,
    /// The group of each key, and how many there are.
    groups: (Vec<usize>, usize),
    /// The place of each key's weight.
    places: Vec<usize>,
    weights: Vec<f64>,
}

impl<'a> Likeness<'a> {
    fn of(space: &'a Axes) -> Self {
        let layer = |key: &str| Some(key.strip_prefix("layer.")?.split_once('.')?.0.to_owned());
        let of_key = |key: &str| layer(key).unwrap_or_else(|| format!(" {key}"));
        let groups = numbered(space.axes.iter().map(|axis| of_key(&axis.key)));
        let (places, count) = numbered(space.axes.iter().map(|axis| axis.written.clone()));
        Likeness { space, groups, places, weights: vec![WEIGHT; count] }
    }

    fn between(&self, one: &[usize], other: &[usize]) -> f64 {
        let (groups, count) = &self.groups;
        let mut apart = vec![0.0; *count];
        for (number, axis) in self.space.axes.iter().enumerate() {
            let steps = one[number].abs_diff(other[number]);
            let last = (axis.values.len() - 1).max(1);
            let distance = if axis.is_ordered { steps as f64 / last as f64 } else { f64::from(steps > 0) };
            apart[groups[number]] += self.weights[self.places[number]] * distance;
        }
        let each: f64 = apart.iter().map(|distance| libm::exp(-2.0 * distance)).sum();
        let all: f64 = apart.iter().sum();
        0.5 * each / *count as f64 + 0.5 * libm::exp(-all / (self.space.axes.len() as f64).sqrt())
    }

    fn with(&self, seen: &[&Genes], genes: &[usize]) -> Vec<f64> {
        seen.iter().map(|seen| self.between(seen, genes)).collect()
    }
}

/// The number of each name, in the order in which they occur, and how many there are.
fn numbered(names: impl Iterator<Item = String>) -> (Vec<usize>, usize) {
    let mut known: Vec<String> = vec![];
    let number = |name: String| {
        known.iter().position(|other| *other == name).unwrap_or_else(|| {
            known.push(name);
            known.len() - 1
        })
    };
    (names.map(number).collect(), known.len())
}

/// The lower triangle `L` of `L·Lᵀ`, row by row.
struct Factor(Vec<Vec<f64>>);

impl Factor {
    /// Factors the likeness of some candidates, with so much noise added on its diagonal (Cholesky).
    fn of(likeness: &Likeness, seen: &[&Genes], noise: impl Fn(usize) -> f64) -> Self {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(seen.len());
        for (i, genes) in seen.iter().enumerate() {
            let given = likeness.with(&seen[..=i], genes);
            let mut row = Vec::with_capacity(i + 1);
            for j in 0..i {
                let left = given[j] - dot(&row, &rows[j][..j]);
                row.push(left / rows[j][j]);
            }
            row.push((given[i] + noise(i) - dot(&row, &row)).max(f64::EPSILON).sqrt());
            rows.push(row);
        }
        Factor(rows)
    }

    /// Solves `L·x = b`.
    fn halfway(&self, b: &[f64]) -> Vec<f64> {
        let mut x: Vec<f64> = Vec::with_capacity(b.len());
        for (row, b) in self.0.iter().zip(b) {
            let left = b - dot(&x, &row[..x.len()]);
            x.push(left / row[x.len()]);
        }
        x
    }

    /// Solves `Lᵀ·x = b`.
    fn back(&self, mut b: Vec<f64>) -> Vec<f64> {
        for i in (0..b.len()).rev() {
            b[i] /= self.0[i][i];
            let known = b[i];
            b[..i].iter_mut().zip(&self.0[i]).for_each(|(b, factor)| *b -= factor * known);
        }
        b
    }
}

impl<'a> LearnedFigure<'a> {
    /// Learns a figure with the noise and the weights of keys under which it is likeliest.
    fn of(mut likeness: Likeness<'a>, seen: &[&Genes], noise: &[f64], targets: &[f64]) -> Self {
        let count = targets.len() as f64;
        let mean = targets.iter().sum::<f64>() / count;
        let variance = targets.iter().map(|target| (target - mean) * (target - mean)).sum::<f64>() / count;
        let spread = variance.max(f64::MIN_POSITIVE).sqrt();
        let scaled: Vec<f64> = targets.iter().map(|target| (target - mean) / spread).collect();
        let fitted = |likeness: &Likeness, share: f64| Fitted::of(likeness, seen, |i| share * noise[i], &scaled);
        let likeliest = |likeness: &Likeness| {
            let all = NOISES.iter().map(|share| (*share, fitted(likeness, *share)));
            all.min_by(|(_, one), (_, other)| one.unlikely.total_cmp(&other.unlikely)).expect("noises")
        };
        let (mut share, mut best) = likeliest(&likeness);
        for _ in 0..ROUNDS {
            let before = best.unlikely;
            for (place, times) in (0..likeness.weights.len()).flat_map(|place| [(place, 0.25), (place, 4.0)]) {
                let mut other = likeness.clone();
                other.weights[place] = (other.weights[place] * times).clamp(WEIGHTS[0], WEIGHTS[1]);
                let found = fitted(&other, share);
                if found.unlikely < best.unlikely {
                    (likeness, best) = (other, found);
                }
            }
            (share, best) = likeliest(&likeness);
            if best.unlikely >= before {
                break;
            }
        }
        let weights = best.factor.back(best.halfway);
        LearnedFigure { mean, spread, likeness, factor: best.factor, weights, noise: share }
    }

    /// The figure that is expected of a candidate, given how alike it is to each that was seen.
    fn expected(&self, alike: &[f64]) -> Belief {
        let known = self.factor.halfway(alike);
        let mean = self.mean + self.spread * dot(alike, &self.weights);
        Belief { mean, spread: self.spread, left: 1.0 - dot(&known, &known), known }
    }
}

/// Targets under some noise and weights.
struct Fitted {
    factor: Factor,
    halfway: Vec<f64>,
    /// The negative logarithm of how likely they are, but for a constant.
    unlikely: f64,
}

impl Fitted {
    fn of(likeness: &Likeness, seen: &[&Genes], noise: impl Fn(usize) -> f64, scaled: &[f64]) -> Self {
        let factor = Factor::of(likeness, seen, noise);
        let halfway = factor.halfway(scaled);
        let logs: f64 = (0..scaled.len()).map(|i| libm::log(factor.0[i][i])).sum();
        let unlikely = 0.5 * dot(&halfway, &halfway) + logs;
        Fitted { factor, halfway, unlikely }
    }
}

/// The sum of products, as eight sums whose order is fixed, so that processors add several at once and all of them
/// alike.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let both = a.len().min(b.len());
    let (a, b) = (a[..both].chunks_exact(8), b[..both].chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f64>() + rest
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
        // Keys that change nothing weigh least: in the slack the last two.
        for (learned, count) in [(&forecast.slack[0], 3), (&forecast.objectives[0], 4)] {
            let weights = &learned.likeness.weights;
            assert!(weights[..count].iter().all(|weight| *weight > weights[4]), "{weights:?}");
        }
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
        // To take a candidate makes known what it would have shown: the variance that a forecast with it has left.
        let (one, mut other) = (forecast.prospect(all[50].clone()), forecast.prospect(all[51].clone()));
        let before = other.slack[0].left;
        forecast.believe(&one, &mut other);
        let learned = &forecast.slack[0];
        let noise = |i: usize| if i < seen.len() { learned.noise / 3.0 } else { learned.noise };
        let with: Vec<&Genes> = seen.iter().copied().chain([&all[50]]).collect();
        let factor = Factor::of(&learned.likeness, &with, noise);
        let known = factor.halfway(&learned.likeness.with(&with, &all[51]));
        let left = 1.0 - dot(&known, &known);
        assert!(left < before && (other.slack[0].left - left).abs() < 1e-9, "{before} {left} {other:?}");
        // Candidates that are taken together differ in more than a value that changes nothing.
        let pool: Vec<Prospect> = all.iter().map(|genes| forecast.prospect(genes.clone())).collect();
        let taken = forecast.chosen(pool, 6, Some(flattened(60.0)));
        let same = |a: &Genes, b: &Genes| a[..4] == b[..4];
        let twins = taken.iter().enumerate().filter(|(i, one)| taken[..*i].iter().any(|other| same(one, other)));
        assert!(taken.len() == 6 && twins.count() < 2, "{taken:?}");
    }

    /// A candidate with a slack of so much, known to a hundredth, and a cost known to a tenth.
    fn prospect(genes: Genes, slack: f64, cost: f64) -> Prospect {
        let belief = |mean, deviation: f64| Belief { mean, spread: 1.0, left: deviation * deviation, known: vec![] };
        Prospect { genes, slack: vec![belief(slack, 0.01)], objectives: vec![belief(cost, 0.1)] }
    }
}
