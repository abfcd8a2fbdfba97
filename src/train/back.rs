//! The way back through a graph, from the readout to the first layers: node by node over all steps at once, and step by
//! step from the last to the first where nodes stand in a cycle.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::graph::{Forward, RunLayers};
use super::layer::{CurrentsAndGradient, LayerPass};
use super::neurons::{Scanned, StepBack};
use super::pools;
use super::population::{Back, PopulationPass, total, with_slope};
use super::returned::Returned;
use super::steps::Moved;
use super::surrogate::Surrogate;
use crate::forward::currents::Images;
use crate::kernels::digits::LANES;
use crate::network::graph::{Graph, Work};
use crate::network::pulses::Pulses;

/// The work on a layer on the way back: given its number, itself, and the sums and values of ∂z, it gives ∂loss/∂pulses
/// of its inputs, or nothing where nobody asks for these.
pub trait Return<'a>: FnMut(usize, LayerPass<'a>, (Vec<Scanned>, Vec<CurrentsAndGradient>)) -> Images {}
impl<'a, F: FnMut(usize, LayerPass<'a>, (Vec<Scanned>, Vec<CurrentsAndGradient>)) -> Images> Return<'a> for F {}

/// The means of a layer's currents, `[blocks, steps]`, where its norm takes the batch's.
pub type Means<'m> = &'m dyn Fn(usize) -> Option<Vec<[f32; LANES]>>;

impl<'a, L: RunLayers<'a>> Forward<'a, L> {
    /// Goes back from ∂loss/∂pulses of the readout's inputs. Every spike has a slope of its own beside.
    pub fn back(self, gradient: Images, how: (Surrogate, f32), means: Means, each: impl Return<'a>) -> Reached {
        let Forward { layers, sizes, passes, pools, .. } = self;
        let graph = layers.graph();
        let mut returned = Returned::none(graph, sizes);
        returned.add(graph.layers[graph.readout()].from, None, gradient);
        let moved = BTreeMap::new();
        let mut backward = Backward { graph, sizes, returned, passes, pools, moved, how, means, each };
        let mut next = graph.nodes.len();
        while next > 1 {
            match graph.cycles.iter().find(|nodes| nodes.end == next) {
                Some(nodes) => {
                    backward.cycle(nodes);
                    next = nodes.start;
                }
                None => {
                    next -= 1;
                    backward.node(next);
                }
            }
        }
        Reached { inputs: backward.returned.pulses[0].take().unwrap_or_default(), moved: backward.moved }
    }
}

/// The end of a way back.
pub struct Reached {
    /// ∂loss/∂pulses of the network's inputs; empty where nobody asked for them.
    pub inputs: Images,
    /// The gradients of neurons' own constants, by the layer that leads these.
    pub moved: BTreeMap<usize, Moved>,
}

/// A way back under way.
struct Backward<'a, 'm, R> {
    graph: &'a Graph,
    /// Images and steps.
    sizes: (usize, usize),
    returned: Returned<'a>,
    /// The pass of each population that was not yet gone through, by node.
    passes: Vec<Option<PopulationPass<'a>>>,
    /// The pulses that each pool took, of all steps at once or of each.
    pools: BTreeMap<usize, Vec<Arc<Pulses>>>,
    moved: BTreeMap<usize, Moved>,
    /// The surrogate, and the slope of every spike.
    how: (Surrogate, f32),
    means: Means<'m>,
    each: R,
}

impl<'a, R: Return<'a>> Backward<'a, '_, R> {
    /// Goes back through a node over all steps at once.
    fn node(&mut self, node: usize) {
        let gradient = self.returned.take(node);
        self.hand_on(node, None, &gradient);
        let Some(mut pass) = self.passes[node].take() else { return };
        let borrowed = self.returned.currents[node].take();
        let of_leader = (self.means)(pass.layers[0].0);
        let (back, moved) = pass.backward(gradient, borrowed, of_leader.as_deref(), self.how);
        self.moved.insert(pass.leader().site.index as usize, moved);
        match back {
            Back::Alone(scanned, values) => {
                let (l, layer) = pass.layers.swap_remove(0);
                self.layer(l, layer, (scanned, values));
            }
            Back::Joined(dz) => self.population(pass, &dz),
        }
    }

    /// Hands ∂loss/∂pulses of a node to those whose pulses it takes as they are or in a pool.
    fn hand_on(&mut self, node: usize, step: Option<usize>, gradient: &Images) {
        let graph = self.graph;
        match &graph.nodes[node].work {
            Work::Input => {}
            Work::Pool { from, pooling } => {
                let maps = (graph.nodes[*from].map, graph.nodes[node].map);
                let back = pools::back(pooling, maps, gradient, &self.pools[&node][step.unwrap_or(0)]);
                self.returned.add(*from, step, back);
            }
            Work::Delay { from, steps: late } => match step {
                None => self.returned.add(*from, None, earlier(gradient, self.sizes.1, *late)),
                Some(t) if t >= *late => self.returned.add(*from, Some(t - late), gradient.clone()),
                Some(_) => {}
            },
            Work::Concat(nodes) => {
                for (from, gradient) in nodes.iter().zip(pools::apart(graph, node, gradient)) {
                    self.returned.add(*from, step, gradient);
                }
            }
            Work::Population(population) => {
                population.behind.iter().for_each(|other| self.returned.add(*other, step, gradient.clone()));
            }
        }
    }

    /// Hands ∂loss/∂current of a population to its layers, skips and lenders.
    fn population(&mut self, pass: PopulationPass<'a>, dz: &Images) {
        for (node, unit) in pass.skips() {
            self.returned.add(node, None, times(dz, unit));
        }
        for node in pass.borrows() {
            self.returned.add_current(node, None, dz);
        }
        for (l, mut layer) in pass.layers {
            let values = PopulationPass::values(&mut layer, dz, (self.means)(l).as_deref());
            self.layer(l, layer, values);
        }
    }

    /// Goes back through layer `l` to the node that it reads.
    fn layer(&mut self, l: usize, layer: LayerPass<'a>, values: (Vec<Scanned>, Vec<CurrentsAndGradient>)) {
        let gradient = (self.each)(l, layer, values);
        if !gradient.is_empty() {
            self.returned.add(self.graph.layers[l].from, None, gradient);
        }
    }

    /// Goes back through nodes that ran step by step, from the last step to the first.
    fn cycle(&mut self, nodes: &Range<usize>) {
        let passes = &mut self.passes;
        let mut populations: BTreeMap<usize, PopulationPass> =
            nodes.clone().filter_map(|n| Some((n, passes[n].take()?))).collect();
        let layers: BTreeMap<usize, LayerPass> = populations.values_mut().flat_map(PopulationPass::close).collect();
        let zeros = |pass: &PopulationPass| vec![vec![0.0; pass.geometry().image()]; self.sizes.0];
        let mut all: BTreeMap<usize, Images> = populations.iter().map(|(n, pass)| (*n, zeros(pass))).collect();
        let mut ways: BTreeMap<usize, _> = populations.iter().map(|(n, pass)| (*n, pass.by_step(self.how.0))).collect();
        for (t, n) in (0..self.sizes.1).rev().flat_map(|t| nodes.clone().rev().map(move |n| (t, n))) {
            let gradient = self.returned.at_step(n, t);
            self.hand_on(n, Some(t), &gradient);
            let (Some(way), Some(all)) = (ways.get_mut(&n), all.get_mut(&n)) else { continue };
            let dz = self.through(&populations[&n], (n, t), way, &gradient);
            self.population_at((nodes, &layers), (n, t), &dz);
            let size = populations[&n].geometry().step();
            all.iter_mut().zip(dz).for_each(|(all, dz)| all[t * size..][..size].copy_from_slice(&dz));
        }
        for (n, ways) in ways {
            let moved: Vec<Moved> = ways.iter().map(|way| way.moved()).collect();
            self.moved.insert(populations[&n].leader().site.index as usize, total(moved.iter()));
        }
        self.leave(nodes, populations, (layers, all));
    }

    /// ∂loss/∂current at step `t` of a population in a cycle, from ∂loss/∂pulses and from those that take its current.
    fn through(
        &self,
        pass: &PopulationPass,
        (node, t): (usize, usize),
        ways: &mut [Box<dyn StepBack + '_>],
        gradient: &Images,
    ) -> Images {
        let size = pass.geometry().step();
        let spikes = with_slope(pools::spread(pass.leader(), gradient), self.how.1);
        let lent = self.returned.currents[node].as_ref();
        let step = |(image, (way, spikes)): (usize, (&mut Box<dyn StepBack + '_>, &Vec<f32>))| {
            let mut dz = vec![0.0; size];
            way.step(t, spikes, &mut dz);
            let lent = lent.map(|lent| &lent[image][t * size..][..size]);
            lent.iter().for_each(|lent| dz.iter_mut().zip(*lent).for_each(|(dz, lent)| *dz += lent));
            dz
        };
        ways.par_iter_mut().zip(&spikes).enumerate().map(step).collect()
    }

    /// Hands ∂loss/∂current at step `t` of a population to all that leads there within its cycle, of these nodes and
    /// layers.
    fn population_at(
        &mut self,
        (nodes, layers): (&Range<usize>, &BTreeMap<usize, LayerPass<'a>>),
        (node, t): (usize, usize),
        dz: &Images,
    ) {
        let graph = self.graph;
        let population = graph.nodes[node].population().expect("a population");
        let of_cycle = |node: &&usize| nodes.contains(node);
        for skip in population.skips.iter().filter(of_cycle) {
            self.returned.add(*skip, Some(t), times(dz, graph.nodes[*skip].unit()));
        }
        for lender in population.currents.iter().filter(of_cycle) {
            self.returned.add_current(*lender, Some(t), dz);
        }
        let dz: Vec<&[f32]> = dz.iter().map(Vec::as_slice).collect();
        for l in &population.layers {
            let (Some(layer), plan) = (layers.get(l), &graph.layers[*l]) else { continue };
            let sent = if plan.delayed { t.checked_sub(1) } else { Some(t) };
            if let Some(sent) = sent {
                self.returned.add(plan.from, Some(sent), layer.backward_step(t, &dz));
            }
        }
    }

    /// Leaves a cycle with ∂loss/∂current of all steps: for the weights within it, and to what leads there from
    /// outside.
    fn leave(
        &mut self,
        nodes: &Range<usize>,
        populations: BTreeMap<usize, PopulationPass<'a>>,
        (mut layers, all): (BTreeMap<usize, LayerPass<'a>>, BTreeMap<usize, Images>),
    ) {
        nodes.clone().for_each(|n| self.returned.pulses[n] = None);
        for (n, pass) in populations.into_iter().rev() {
            let population = self.graph.nodes[n].population().expect("a population");
            for l in &population.layers {
                let Some(mut layer) = layers.remove(l) else { continue };
                let values = PopulationPass::values(&mut layer, &all[&n], None);
                // The gradient of its pulses was handed back step by step.
                (self.each)(*l, layer, values);
            }
            self.population(pass, &all[&n]);
        }
        nodes.clone().for_each(|n| self.returned.currents[n] = None);
    }
}

/// Gradients of all steps, so many steps earlier; what came later than the last step has none.
fn earlier(gradient: &Images, steps: usize, late: usize) -> Images {
    let shifted = |image: &Vec<f32>| {
        let from = image.len() / steps * late.min(steps);
        let rest = image.len() - from;
        let mut shifted = image[from..].to_vec();
        shifted.resize(rest + from, 0.0);
        shifted
    };
    gradient.iter().map(shifted).collect()
}

fn times(values: &Images, factor: f32) -> Images {
    values.par_iter().map(|values| values.iter().map(|value| value * factor).collect()).collect()
}
