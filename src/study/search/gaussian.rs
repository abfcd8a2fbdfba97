//! Candidates that were not tried are expected to be like those that were: a Gaussian process over numbers of values
//! (Rasmussen & Williams, *Gaussian Processes for Machine Learning*, MIT Press 2006, chapter 2), one for each figure.
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

use crate::study::axes::{Axes, Genes};

/// The noise that targets may have on one chip, in shares of their variance.
const NOISES: [f64; 5] = [0.003, 0.03, 0.1, 0.3, 1.0];
/// The weight of every key before anything is learned.
const WEIGHT: f64 = 0.25;
/// Weights that a key may have, at least and at most.
const WEIGHTS: [f64; 2] = [1.0 / 64.0, 16.0];
/// Times that the weights of all keys are gone through.
const ROUNDS: usize = 3;

/// A figure that is expected of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Belief {
    /// The figure, on average.
    pub mean: f64,
    /// The spread of the figure over candidates.
    spread: f64,
    /// The share of its variance that is not known here.
    left: f64,
    /// Its likeness to each candidate that was seen, but for what those before it tell: all that is known of it.
    known: Vec<f64>,
}

impl Belief {
    #[cfg(test)]
    pub fn of(mean: f64, deviation: f64) -> Self {
        Belief { mean, spread: 1.0, left: deviation * deviation, known: vec![] }
    }

    /// The deviation from the mean that is expected.
    pub fn deviation(&self) -> f64 {
        self.spread * self.left.max(0.0).sqrt()
    }

    /// Counts what one more candidate tells.
    fn learn(&mut self, known: f64) {
        self.left -= known * known;
        self.known.push(known);
    }
}

/// One figure: its mean and spread, what makes candidates alike in it, the weight of each candidate, and the noise of
/// one chip in shares of its variance.
pub struct LearnedFigure<'a> {
    mean: f64,
    spread: f64,
    likeness: Likeness<'a>,
    factor: Factor,
    weights: Vec<f64>,
    noise: f64,
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
    /// Learns a figure from its `targets` at some candidates, with the noise and the weights of keys under which they
    /// are likeliest; `noise` is the variance of each beside that of one chip.
    pub fn of(space: &'a Axes, seen: &[&Genes], noise: &[f64], targets: &[f64]) -> Self {
        let mut likeness = Likeness::of(space);
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

    /// The figure that is expected of a candidate, from the same ones that it was learned from.
    pub fn expected(&self, seen: &[&Genes], genes: &[usize]) -> Belief {
        let alike = self.likeness.with(seen, genes);
        let known = self.factor.halfway(&alike);
        let mean = self.mean + self.spread * dot(&alike, &self.weights);
        Belief { mean, spread: self.spread, left: 1.0 - dot(&known, &known), known }
    }

    /// Counts what a candidate, on one chip, would tell of another.
    pub fn believe(&self, (genes, own): (&Genes, &Belief), (others, belief): (&Genes, &mut Belief)) {
        let alike = self.likeness.between(genes, others) - dot(&own.known, &belief.known);
        belief.learn(alike / (own.left.max(0.0) + self.noise).sqrt());
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

    /// A figure with a product of two keys of one layer, to which the last two keys add nothing.
    fn figure(genes: &[usize]) -> f64 {
        let g = |i: usize| genes[i] as f64;
        g(0) * g(1) / 2.0 + g(2) - 4.0
    }

    #[test]
    fn keys_that_change_nothing_weigh_least() {
        let space = space();
        let all: Vec<Genes> = space.all().collect();
        let seen: Vec<&Genes> = all.iter().skip(1).step_by(11).collect();
        let noise = vec![1.0 / 3.0; seen.len()];
        let targets: Vec<f64> = seen.iter().map(|genes| figure(genes)).collect();
        let weights = LearnedFigure::of(&space, &seen, &noise, &targets).likeness.weights;
        assert!(weights[..3].iter().all(|weight| *weight > weights[3].max(weights[4])), "{weights:?}");
    }

    #[test]
    fn a_candidate_that_is_believed_is_as_one_that_was_seen() {
        let space = space();
        let all: Vec<Genes> = space.all().collect();
        let seen: Vec<&Genes> = all.iter().step_by(97).collect();
        let noise = vec![1.0 / 3.0; seen.len()];
        let targets: Vec<f64> = seen.iter().map(|genes| figure(genes)).collect();
        let learned = LearnedFigure::of(&space, &seen, &noise, &targets);
        let (one, mut other) = (learned.expected(&seen, &all[50]), learned.expected(&seen, &all[51]));
        let before = other.left;
        learned.believe((&all[50], &one), (&all[51], &mut other));
        // The variance is the one that a process which has seen the candidate on one chip leaves.
        let of_each = |i: usize| if i < seen.len() { learned.noise / 3.0 } else { learned.noise };
        let with: Vec<&Genes> = seen.iter().copied().chain([&all[50]]).collect();
        let factor = Factor::of(&learned.likeness, &with, of_each);
        let known = factor.halfway(&learned.likeness.with(&with, &all[51]));
        let left = 1.0 - dot(&known, &known);
        assert!(left < before && (other.left - left).abs() < 1e-9, "{before} {left} {other:?}");
    }
}
