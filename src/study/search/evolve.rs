//! The candidates of a next generation: NSGA-II (Deb et al., IEEE Trans. Evolutionary Computation 6, 182, 2002) over
//! numbers of values, with its rules for constraints: what keeps to them is before what does not, and of two that do
//! not, that which is nearer.
//!
//! Every draw is Philox of the search's seed and the generation, so a search is the same on any machine.

use std::collections::HashSet;

use ndarray_rand::rand::RngCore;

use crate::data::permutation;
use crate::rng::{Stream, Substream, stream_key};
use crate::study::axes::{Axes, Axis, Genes};

/// Candidates of a generation.
pub const GENERATION: usize = 24;
/// Draws for each candidate that is asked for, after which there are as many as there are.
const DRAWS: usize = 20;
/// Candidates of a space that is gone through in order where draws find nothing new.
const SMALL: u64 = 1 << 14;
/// The share of candidates that are crossed.
const CROSSED: f64 = 0.9;
/// The share of candidates in which all layers of a key are made alike.
const ALIKE: f64 = 0.3;
/// The share of changes of an ordered key that go to a neighbour.
const NEAR: f64 = 0.7;

/// The figures by which candidates are compared, the less the better.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitness {
    /// The amount by which it does not keep to the constraints; 0: it does.
    pub violation: f64,
    /// The figures that are minimised.
    pub objectives: Vec<f64>,
}

impl Fitness {
    /// Whether it is surely to be preferred.
    pub fn dominates(&self, other: &Fitness) -> bool {
        if self.violation > 0.0 || other.violation > 0.0 {
            return self.violation < other.violation;
        }
        let pairs = || self.objectives.iter().zip(&other.objectives);
        pairs().all(|(own, others)| own <= others) && pairs().any(|(own, others)| own < others)
    }
}

/// The numbers of those that no other one dominates.
pub fn front(all: &[Fitness]) -> Vec<usize> {
    let is_best = |one: &usize| all.iter().all(|other| !other.dominates(&all[*one]));
    (0..all.len()).filter(is_best).collect()
}

/// Numbers from the best to the worst: front by front, those that stand alone in theirs first.
pub fn ranked(all: &[Fitness]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..all.len()).collect();
    if all.iter().all(|fitness| fitness.objectives.len() == 1) {
        let key = |one: usize| (all[one].violation, all[one].objectives[0]);
        left.sort_by(|a, b| key(*a).0.total_cmp(&key(*b).0).then(key(*a).1.total_cmp(&key(*b).1)));
        return left;
    }
    let mut order = Vec::with_capacity(all.len());
    while !left.is_empty() {
        let fitness: Vec<Fitness> = left.iter().map(|one| all[*one].clone()).collect();
        let mut best: Vec<usize> = front(&fitness).into_iter().map(|place| left[place]).collect();
        let crowding = crowding(all, &best);
        left.retain(|one| !best.contains(one));
        let mut places: Vec<usize> = (0..best.len()).collect();
        places.sort_by(|a, b| crowding[*b].total_cmp(&crowding[*a]).then(best[*a].cmp(&best[*b])));
        best = places.into_iter().map(|place| best[place]).collect();
        order.extend(best);
    }
    order
}

/// The distance of each member of a front from its neighbours; that of those at the ends is infinite.
fn crowding(all: &[Fitness], front: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; front.len()];
    for objective in 0..all[front[0]].objectives.len() {
        let of = |place: usize| all[front[place]].objectives[objective];
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|a, b| of(*a).total_cmp(&of(*b)));
        let (first, last) = (order[0], order[order.len() - 1]);
        let width = of(last) - of(first);
        (distance[first], distance[last]) = (f64::INFINITY, f64::INFINITY);
        if width > 0.0 {
            for three in order.windows(3) {
                distance[three[1]] += (of(three[2]) - of(three[0])) / width;
            }
        }
    }
    distance
}

/// Draws of one generation.
pub struct Draws {
    seed: u64,
    stream: Substream,
}

impl Draws {
    pub fn new(seed: u64, generation: u64) -> Self {
        Draws { seed, stream: Substream::new(stream_key(seed, Stream::Search, generation), [0; 3]) }
    }

    fn below(&mut self, count: usize) -> usize {
        ((u64::from(self.stream.next_u32()) * count as u64) >> 32) as usize
    }

    fn chance(&mut self, share: f64) -> bool {
        f64::from(self.stream.next_u32()) < share * 4_294_967_296.0
    }

    /// The first generation: both corners of the space, candidates whose layers are alike, and others whose layers are
    /// not. Of each kind every value of a key occurs about as often as every other, in an order of its own.
    pub fn first(&self, space: &Axes) -> Vec<Genes> {
        let corner = |last: bool| -> Genes {
            space.axes.iter().map(|axis| if last { axis.values.len() - 1 } else { 0 }).collect()
        };
        let count = GENERATION / 2 - 1;
        let column = |(number, values): (u64, usize)| -> Vec<usize> {
            // Behind the numbers of generations.
            let order = permutation(count, stream_key(self.seed, Stream::Search, (1 << 32) + number));
            order.into_iter().map(|place| place * values / count).collect()
        };
        let apart: Vec<Vec<usize>> = (0..).zip(&space.axes).map(|(i, axis)| column((i, axis.values.len()))).collect();
        let first_of = |axis: &Axis| space.axes.iter().position(|other| other.written == axis.written).unwrap_or(0);
        let alike = space.axes.iter().map(|axis| column((1 << 16 | first_of(axis) as u64, axis.values.len())));
        let alike: Vec<Vec<usize>> = alike.collect();
        let rows = |columns: Vec<Vec<usize>>| -> Vec<Genes> {
            (0..count).map(|i| columns.iter().map(|column| column[i]).collect()).collect()
        };
        let all = [corner(false), corner(true)].into_iter().chain(rows(alike)).chain(rows(apart));
        unseen(all, |_| true)
    }

    /// So many children of parents, the best first: those that `is_new` says.
    pub fn children(
        &mut self,
        space: &Axes,
        parents: &[Genes],
        count: usize,
        is_new: impl Fn(&Genes) -> bool,
    ) -> Vec<Genes> {
        let mut found: Vec<Genes> = vec![];
        for _ in 0..DRAWS * count {
            if found.len() == count {
                break;
            }
            let mut child = parents[self.tournament(parents.len())].clone();
            if self.chance(CROSSED) {
                let other = &parents[self.tournament(parents.len())];
                for (gene, other) in child.iter_mut().zip(other) {
                    if self.chance(0.5) {
                        *gene = *other;
                    }
                }
            }
            self.mutate(space, &mut child);
            if is_new(&child) && !found.contains(&child) {
                found.push(child);
            }
        }
        found
    }

    /// Candidates from anywhere in the space that `is_new` says; of a small space all of them, in their order.
    pub fn anywhere(&mut self, space: &Axes, is_new: impl Fn(&Genes) -> bool) -> Vec<Genes> {
        if space.size().is_some_and(|size| size <= SMALL) {
            return space.all().filter(is_new).take(GENERATION).collect();
        }
        self.drawn(space, GENERATION, is_new)
    }

    /// Candidates drawn from anywhere in the space that `is_new` says: so many, or as many as are found.
    pub fn drawn(&mut self, space: &Axes, count: usize, is_new: impl Fn(&Genes) -> bool) -> Vec<Genes> {
        let mut draw = || space.axes.iter().map(|axis| self.below(axis.values.len())).collect();
        let drawn: Vec<Genes> = (0..DRAWS * count).map(|_| draw()).collect();
        let mut found = unseen(drawn.into_iter(), is_new);
        found.truncate(count);
        found
    }

    /// The better of two, by their place.
    fn tournament(&mut self, count: usize) -> usize {
        let (one, other) = (self.below(count), self.below(count));
        one.min(other)
    }

    fn mutate(&mut self, space: &Axes, child: &mut Genes) {
        let share = 1.0 / space.axes.len() as f64;
        for (gene, axis) in child.iter_mut().zip(&space.axes) {
            if self.chance(share) {
                *gene = self.changed(axis, *gene);
            }
        }
        if self.chance(ALIKE) {
            // All layers of a key take the value of one of them, or one beside it.
            let number = self.below(space.axes.len());
            let value = self.changed(&space.axes[number], child[number]);
            let layers = space.axes.iter().zip(child).filter(|(axis, _)| axis.written == space.axes[number].written);
            layers.for_each(|(_, gene)| *gene = value);
        }
    }

    /// Another value of a key, mostly one beside it; the same at an end.
    fn changed(&mut self, axis: &Axis, gene: usize) -> usize {
        let count = axis.values.len();
        if axis.is_ordered && self.chance(NEAR) {
            let up = self.chance(0.5);
            return if up { (gene + 1).min(count - 1) } else { gene.saturating_sub(1) };
        }
        self.below(count)
    }
}

/// Each once, of those that are asked for.
pub fn unseen(genes: impl Iterator<Item = Genes>, is_new: impl Fn(&Genes) -> bool) -> Vec<Genes> {
    let mut found = HashSet::new();
    genes.filter(|one| is_new(one) && found.insert(one.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitness(violation: f64, objectives: &[f64]) -> Fitness {
        Fitness { violation, objectives: objectives.to_vec() }
    }

    /// ZDT1 (Zitzler, Deb & Thiele, Evolutionary Computation 8, 173, 2000) of six variables in steps of a tenth. Its
    /// front is where all but the first are 0: f₂ = 1 − √f₁.
    fn zdt1(genes: &[usize]) -> Fitness {
        let x: Vec<f64> = genes.iter().map(|gene| *gene as f64 / 10.0).collect();
        let g = 1.0 + 9.0 * x[1..].iter().sum::<f64>() / 5.0;
        Fitness { violation: 0.0, objectives: vec![x[0], g * (1.0 - (x[0] / g).sqrt())] }
    }

    #[test]
    fn the_known_front_of_a_test_problem_is_found() {
        let axis = |number: usize| Axis::of(&format!("x{number}"), (0..=10).map(toml::Value::Integer).collect());
        let space = Axes::of((0..6).map(axis).collect());
        for seed in 1..=3 {
            let mut tried = Draws::new(seed, 0).first(&space);
            for generation in 1..=40 {
                let fitness: Vec<Fitness> = tried.iter().map(|genes| zdt1(genes)).collect();
                let best = ranked(&fitness).into_iter().take(GENERATION);
                let parents: Vec<Genes> = best.map(|one| tried[one].clone()).collect();
                let next =
                    Draws::new(seed, generation).children(&space, &parents, GENERATION, |genes| !tried.contains(genes));
                tried.extend(next);
            }
            // A thousand of 1.8 million.
            assert!(tried.len() < 1000);
            let fitness: Vec<Fitness> = tried.iter().map(|genes| zdt1(genes)).collect();
            let mut found: Vec<Genes> = front(&fitness).into_iter().map(|one| tried[one].clone()).collect();
            found.sort();
            let known: Vec<Genes> = (0..=10).map(|x| vec![x, 0, 0, 0, 0, 0]).collect();
            assert_eq!(found, known, "seed {seed}");
        }
    }

    #[test]
    fn a_small_space_is_gone_through() {
        let space = Axes::of(vec![
            Axis::of("a", (0..3).map(toml::Value::Integer).collect()),
            Axis::of("b", ["x", "y"].map(toml::Value::from).into()),
        ]);
        let all: Vec<Genes> = space.all().collect();
        assert_eq!(all, [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]);
        let mut draws = Draws::new(1, 7);
        assert_eq!(draws.anywhere(&space, |genes| genes[0] == 1), [[1, 0], [1, 1]]);
        // Neighbours differ by a step of a number, or by anything else.
        assert_eq!(space.neighbours(&[0, 0]), [[1, 0], [0, 1]]);
        assert_eq!(space.neighbours(&[1, 1]), [[0, 1], [2, 1], [1, 0]]);
    }

    #[test]
    fn what_keeps_to_constraints_is_first_then_fronts_then_those_that_stand_alone() {
        let all = [
            fitness(0.0, &[1.0, 5.0]),
            fitness(0.0, &[2.0, 3.0]),
            fitness(0.0, &[2.1, 2.9]),
            fitness(0.0, &[5.0, 1.0]),
            fitness(0.0, &[5.0, 5.0]),
            fitness(0.1, &[0.0, 0.0]),
            fitness(0.3, &[0.0, 0.0]),
        ];
        assert_eq!(front(&all), [0, 1, 2, 3]);
        // The ends, then the wider gap.
        assert_eq!(ranked(&all), [0, 3, 2, 1, 4, 5, 6]);
        assert_eq!(ranked(&[fitness(0.0, &[3.0]), fitness(0.0, &[1.0]), fitness(0.0, &[2.0])]), [1, 2, 0]);
    }
}
