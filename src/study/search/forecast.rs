//! Candidates that were not tried are expected to be like those that were: a Gaussian process over numbers of values
//! (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, MIT Press 2006, chapter 2), one for each
//! constraint and each figure that is minimised.
//!
//! Two candidates are alike by half as their layers are, one by one, and by half as all their keys are together:
//!
//! ```text
//! k(a, b) = ½·(1/G)·Σ_g exp(−2·Σ_{i∈g} d_i) + ½·exp(−Σ_i d_i/√N)
//! ```
//!
//! where `d_i` is the distance of two values of key `i` in shares of its range, 1 between any two values without an
//! order; a group `g` is the keys of one layer, or one other key. Targets are centred and scaled to a variance of 1;
//! the noise on them, the same for all but four times as much at a glance, is the one of a few under which they are
//! likeliest.
//!
//! Sums run in one order and functions are those of `libm`, so a search is the same on any machine.

use super::evolve::{Fitness, ranked};
use super::goals::Standing;
use crate::study::axes::{Axes, Genes};

/// Candidates that it learns from, at most: the best, for they are nearest to what is looked for.
pub const LEARNED: usize = 400;
/// The noise that targets may have, in shares of their variance.
const NOISES: [f64; 4] = [0.003, 0.03, 0.1, 0.3];
/// Noise at a glance, in that of all images, of which it sees a quarter.
const AT_A_GLANCE: f64 = 4.0;
/// Points of accuracy, or percent of a limit, beyond which it does not matter how far a candidate is from a constraint.
const FAR: f64 = 10.0;
/// Standard deviations by which constraints are expected to be kept better than on average, turn by turn: some
/// candidates explore, some are safe.
const OPTIMISM: [f64; 4] = [0.0, 1.0, -0.5, 0.5];

/// A candidate that was tried.
pub struct Tried<'a> {
    /// Its values.
    pub genes: &'a Genes,
    /// Its standing.
    pub standing: &'a Standing,
    /// Whether it ran on the first images alone.
    pub is_glance: bool,
}

/// The figures that are expected of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// The mean and the standard deviation of the slack of each constraint.
    slack: Vec<(f64, f64)>,
    /// The mean of each figure that is minimised, on a scale of its own.
    objectives: Vec<f64>,
}

impl Expected {
    /// Its place among others, if it keeps to constraints by so many standard deviations better than on average.
    pub fn fitness(&self, optimism: f64) -> Fitness {
        let short = self.slack.iter().map(|(mean, deviation)| (-(mean + optimism * deviation)).max(0.0));
        Fitness { violation: short.sum(), objectives: self.objectives.clone() }
    }
}

/// A forecast, learned from candidates that were tried.
pub struct Forecast<'a> {
    likeness: Likeness<'a>,
    seen: Vec<&'a Genes>,
    factors: Vec<Factor>,
    slack: Vec<LearnedFigure>,
    objectives: Vec<LearnedFigure>,
}

/// One figure: its mean and spread, the noise that it has, and the weight of each candidate.
struct LearnedFigure {
    mean: f64,
    spread: f64,
    factor: usize,
    weights: Vec<f64>,
}

impl<'a> Forecast<'a> {
    /// Learns from some candidates of a space; none where they are too few.
    pub fn of(space: &'a Axes, tried: &[Tried<'a>]) -> Option<Self> {
        let first = tried.first().filter(|_| tried.len() >= 4)?;
        let likeness = Likeness::of(space);
        let seen: Vec<&Genes> = tried.iter().map(|one| one.genes).collect();
        let noise: Vec<f64> = tried.iter().map(|one| if one.is_glance { AT_A_GLANCE } else { 1.0 }).collect();
        let likenesses: Vec<Vec<f64>> =
            (0..seen.len()).map(|i| (0..=i).map(|j| likeness.between(seen[i], seen[j])).collect()).collect();
        let factors: Vec<Factor> = NOISES.iter().map(|share| Factor::of(&likenesses, |i| share * noise[i])).collect();
        let learn = |figure: &dyn Fn(&Standing) -> f64| {
            LearnedFigure::of(&factors, &tried.iter().map(|one| figure(one.standing)).collect::<Vec<f64>>())
        };
        let slack = (0..first.standing.slack.len())
            .map(|number| learn(&|standing| standing.slack[number].clamp(-FAR, FAR)))
            .collect();
        let objectives = (0..first.standing.fitness.objectives.len())
            .map(|number| learn(&|standing| flattened(standing.fitness.objectives[number])))
            .collect();
        Some(Forecast { likeness, seen, factors, slack, objectives })
    }

    /// The figures that are expected of a candidate.
    pub fn expected(&self, genes: &Genes) -> Expected {
        let alike: Vec<f64> = self.seen.iter().map(|seen| self.likeness.between(seen, genes)).collect();
        let mean = |learned: &LearnedFigure| learned.mean + learned.spread * dot(&alike, &learned.weights);
        let mut shares = vec![None; self.factors.len()];
        let slack = self.slack.iter().map(|learned| {
            let share = shares[learned.factor].get_or_insert_with(|| {
                let known = self.factors[learned.factor].halfway(&alike);
                (1.0 - dot(&known, &known)).max(0.0).sqrt()
            });
            (mean(learned), learned.spread * *share)
        });
        let slack = slack.collect();
        Expected { slack, objectives: self.objectives.iter().map(mean).collect() }
    }
}

/// The candidates of a pool of which most is expected, with constraints kept better than on average by several amounts
/// in turn, each more than one value away from those before it, as long as there are such.
pub fn chosen(pool: &[(Genes, Expected)], count: usize) -> Vec<Genes> {
    let order = |optimism: &f64| {
        let fitness: Vec<Fitness> = pool.iter().map(|(_, expected)| expected.fitness(*optimism)).collect();
        ranked(&fitness).into_iter()
    };
    let mut orders: Vec<_> = OPTIMISM.iter().map(order).collect();
    let mut found: Vec<Genes> = vec![];
    let is_apart = |found: &[Genes], genes: &Genes| {
        found.iter().all(|other| other.iter().zip(genes).filter(|(a, b)| a != b).count() > 1)
    };
    for turn in 0..count {
        let order = &mut orders[turn % OPTIMISM.len()];
        if let Some(one) = order.find(|one| is_apart(&found, &pool[*one].0)) {
            found.push(pool[one].0.clone());
        }
    }
    // A small space has no others.
    for one in OPTIMISM.first().map(order).into_iter().flatten() {
        if found.len() < count && !found.contains(&pool[one].0) {
            found.push(pool[one].0.clone());
        }
    }
    found
}

/// A cost on a scale on which shares are distances; accuracies, which are below 0, stay.
fn flattened(figure: f64) -> f64 {
    if figure < 0.0 { figure } else { libm::log1p(figure) }
}

/// The likeness of two candidates of a space.
struct Likeness<'a> {
    space: &'a Axes,
    /// The group of each key.
    groups: Vec<usize>,
    count: usize,
}

impl<'a> Likeness<'a> {
    fn of(space: &'a Axes) -> Self {
        let layer = |key: &str| Some(key.strip_prefix("layer.")?.split_once('.')?.0.to_owned());
        let mut names: Vec<String> = vec![];
        let mut groups = vec![];
        for axis in &space.axes {
            let name = layer(&axis.key).unwrap_or_else(|| format!(" {}", axis.key));
            let known = names.iter().position(|known| *known == name);
            groups.push(known.unwrap_or(names.len()));
            if known.is_none() {
                names.push(name);
            }
        }
        Likeness { space, groups, count: names.len() }
    }

    fn between(&self, one: &[usize], other: &[usize]) -> f64 {
        let mut apart = vec![0.0; self.count];
        for (number, axis) in self.space.axes.iter().enumerate() {
            let steps = one[number].abs_diff(other[number]);
            let last = (axis.values.len() - 1).max(1);
            let distance = if axis.is_ordered { steps as f64 / last as f64 } else { f64::from(steps > 0) };
            apart[self.groups[number]] += distance;
        }
        let each: f64 = apart.iter().map(|distance| libm::exp(-2.0 * distance)).sum();
        let all: f64 = apart.iter().sum();
        0.5 * each / self.count as f64 + 0.5 * libm::exp(-all / (self.space.axes.len() as f64).sqrt())
    }
}

/// The lower triangle `L` of `L·Lᵀ`, row by row.
struct Factor(Vec<Vec<f64>>);

impl Factor {
    /// Factors a matrix, whose lower triangle is given, with so much noise added on its diagonal (Cholesky).
    fn of(lower: &[Vec<f64>], noise: impl Fn(usize) -> f64) -> Self {
        let mut rows: Vec<Vec<f64>> = Vec::with_capacity(lower.len());
        for (i, given) in lower.iter().enumerate() {
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

impl LearnedFigure {
    /// Learns a figure with the noise under which it is likeliest.
    fn of(factors: &[Factor], targets: &[f64]) -> Self {
        let count = targets.len() as f64;
        let mean = targets.iter().sum::<f64>() / count;
        let variance = targets.iter().map(|target| (target - mean) * (target - mean)).sum::<f64>() / count;
        let spread = variance.max(f64::MIN_POSITIVE).sqrt();
        let scaled: Vec<f64> = targets.iter().map(|target| (target - mean) / spread).collect();
        let found = factors.iter().map(|factor| {
            let halfway = factor.halfway(&scaled);
            let logs: f64 = (0..targets.len()).map(|i| libm::log(factor.0[i][i])).sum();
            (0.5 * dot(&halfway, &halfway) + logs, halfway)
        });
        let found = found.enumerate().min_by(|(_, (one, _)), (_, (other, _))| one.total_cmp(other));
        let (factor, (_, halfway)) = found.expect("noises");
        LearnedFigure { mean, spread, factor, weights: factors[factor].back(halfway) }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::axes::Axis;
    use toml::Value;

    fn space() -> Axes {
        let axis = |key: &str, count: i64| Axis::of(key, (0..count).map(Value::Integer).collect());
        Axes::of(vec![axis("layer.a.x", 5), axis("layer.a.y", 5), axis("layer.b.x", 5), axis("z", 3)])
    }

    fn standing(slack: f64, cost: f64) -> Standing {
        Standing {
            fitness: Fitness { violation: (-slack).max(0.0), objectives: vec![cost] },
            slack: vec![slack],
            is_met: slack >= 0.0,
            is_missed: slack < 0.0,
            is_within_limits: true,
            accuracies: vec![],
        }
    }

    /// A cost that keys add to, and a slack with a product of two keys of one layer.
    fn truth(genes: &[usize]) -> Standing {
        let g = |i: usize| genes[i] as f64;
        standing(g(0) * g(1) / 2.0 + g(2) - 4.0, libm::exp(0.3 * g(0) + 0.2 * g(1) + 0.1 * g(2) + 0.5 * g(3)))
    }

    #[test]
    fn what_was_not_tried_is_expected_from_what_was() {
        let space = space();
        let all: Vec<Genes> = space.all().collect();
        let (tried, rest): (Vec<(usize, &Genes)>, Vec<_>) = all.iter().enumerate().partition(|(i, _)| i % 4 == 1);
        let standings: Vec<Standing> = tried.iter().map(|(_, genes)| truth(genes)).collect();
        let tried: Vec<Tried> = tried
            .iter()
            .zip(&standings)
            .map(|((_, genes), standing)| Tried { genes, standing, is_glance: false })
            .collect();
        let forecast = Forecast::of(&space, &tried).unwrap();
        let (mut error, mut spread) = (0.0, 0.0);
        for (_, genes) in &rest {
            let (expected, truth) = (forecast.expected(genes), truth(genes));
            error += (expected.slack[0].0 - truth.slack[0]).powi(2);
            spread += truth.slack[0].powi(2);
            assert!((expected.objectives[0] - flattened(truth.fitness.objectives[0])).abs() < 0.4, "{genes:?}");
        }
        assert!(error < 0.03 * spread, "{error} of {spread}");
        // Candidates that were tried are known better than those that were not.
        let deviation = |genes: &Genes| forecast.expected(genes).slack[0].1;
        assert!(deviation(tried[40].genes) < 0.7 * deviation(rest[0].1));
    }

    #[test]
    fn too_few_tell_nothing() {
        let space = space();
        let (genes, standing) = (vec![0; 4], standing(1.0, 1.0));
        let tried = || Tried { genes: &genes, standing: &standing, is_glance: true };
        assert!(Forecast::of(&space, &[tried(), tried(), tried()]).is_none());
        // One candidate many times is a figure without spread.
        let forecast = Forecast::of(&space, &[tried(), tried(), tried(), tried()]).unwrap();
        let expected = forecast.expected(&vec![4, 4, 4, 2]);
        assert!((expected.slack[0].0 - 1.0).abs() < 1e-9 && expected.slack[0].1 < 1e-9, "{expected:?}");
    }

    #[test]
    fn those_of_a_generation_are_not_neighbours() {
        let of = |genes: Genes, cost: f64| (genes, Expected { slack: vec![(1.0, 0.1)], objectives: vec![cost] });
        let pool = [of(vec![0, 0], 1.0), of(vec![0, 1], 2.0), of(vec![1, 1], 3.0)];
        assert_eq!(chosen(&pool, 2), [vec![0, 0], vec![1, 1]]);
        assert_eq!(chosen(&pool, 3), [vec![0, 0], vec![1, 1], vec![0, 1]]);
    }
}
