//! A pass through a graph: the walk that keeps what the way back needs, and the way back from the readout to the first layers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::currents::Images;
use super::layer::{LayerPass, Values};
use super::neurons::Scanned;
use super::operands::Operands;
use super::pools;
use super::population::{Back, Inside, PopulationPass, add, with_slope};
use super::surrogate::Surrogate;
use crate::error::Result;
use crate::forward::neurons::Lanes;
use crate::forward::walk::{Given, Signal, Taken, Walker};
use crate::kernels::digits::LANES;
use crate::network::graph::{Graph, Work};
use crate::network::pulses::Pulses;
use crate::plan::LayerPlan;

/// How each layer of a pass runs.
pub trait Layers<'a> {
    /// The graph that they are of.
    fn graph(&self) -> &'a Graph;

    /// Layer `l` and its operands.
    fn of(&self, l: usize) -> (&'a LayerPlan, &'a Operands);

    /// Runs layer `l` over all steps of so many images and steps.
    fn forward(&mut self, l: usize, sizes: (usize, usize), signal: Signal<'a>) -> Result<LayerPass<'a>>;

    /// The gains and offsets, `[blocks, steps]`, of a layer that runs step by step.
    fn stepped(&self, l: usize) -> Result<Vec<[Lanes; 2]>>;
}

/// A walk through a graph.
pub struct Forward<'a, L> {
    /// Its layers.
    pub layers: L,
    /// Images and steps.
    sizes: (usize, usize),
    /// Whether the way back will be gone: then every population's pass is kept.
    keeps: bool,
    /// Spikes of all neurons.
    pub spikes: u64,
    passes: Vec<Option<PopulationPass<'a>>>,
    /// What pools took, of all steps or of each.
    pools: BTreeMap<usize, Vec<Arc<Pulses>>>,
}

impl<'a, L: Layers<'a>> Forward<'a, L> {
    /// A walk of so many images and steps.
    pub fn new(layers: L, sizes: (usize, usize), keeps: bool) -> Self {
        let passes = layers.graph().nodes.iter().map(|_| None).collect();
        Forward { layers, sizes, keeps, spikes: 0, passes, pools: BTreeMap::new() }
    }

    fn pass(&mut self, node: usize, mut taken: Taken<'a>) -> Result<PopulationPass<'a>> {
        let population = self.layers.graph().nodes[node].population().expect("a population");
        let (leader, _) = self.layers.of(population.leader());
        let layers = std::mem::take(&mut taken.layers).into_iter();
        let layers = layers.map(|(l, signal)| Ok((l, self.layers.forward(l, self.sizes, signal)?)));
        let layers = layers.collect::<Result<_>>()?;
        Ok(PopulationPass::new(leader, population, layers, taken, self.sizes))
    }
}

impl<'a, L: Layers<'a>> Walker<'a> for Forward<'a, L> {
    fn fire(&mut self, node: usize, taken: Taken<'a>) -> Result<Given> {
        let mut pass = self.pass(node, taken)?;
        let (given, spikes) = pass.fire();
        self.spikes += spikes;
        self.passes[node] = Some(pass).filter(|_| self.keeps);
        Ok(given)
    }

    fn enter(&mut self, node: usize, taken: Taken<'a>) -> Result<()> {
        let outside: Vec<usize> = taken.layers.iter().map(|(l, _)| *l).collect();
        let mut pass = self.pass(node, taken)?;
        let population = self.layers.graph().nodes[node].population().expect("a population");
        let inside = population.layers.iter().filter(|l| !outside.contains(l)).map(|l| {
            let (plan, operands) = self.layers.of(*l);
            Ok(Inside::new(*l, plan, operands, self.layers.stepped(*l)?))
        });
        pass.enter(inside.collect::<Result<_>>()?);
        self.passes[node] = Some(pass);
        Ok(())
    }

    fn step(&mut self, node: usize, t: usize, taken: Taken<'a>) -> Result<Given> {
        let (given, spikes) = self.passes[node].as_mut().expect("a population steps that was entered").step(t, taken);
        self.spikes += spikes;
        Ok(given)
    }

    fn see_pool(&mut self, node: usize, taken: &Arc<Pulses>) {
        if self.keeps {
            self.pools.entry(node).or_default().push(taken.clone());
        }
    }

    fn sizes(&self) -> (usize, usize) {
        self.sizes
    }
}

/// What comes back to each node: ∂loss/∂pulses, and ∂loss/∂current.
struct Returned<'g> {
    graph: &'g Graph,
    sizes: (usize, usize),
    pulses: Vec<Option<Images>>,
    currents: Vec<Option<Images>>,
}

impl Returned<'_> {
    /// Values of a step of what a node sends.
    fn step(&self, node: usize) -> usize {
        let map = self.graph.nodes[node].map;
        map.channels.next_multiple_of(LANES) * map.height * map.width
    }

    fn add(&mut self, node: usize, gradient: Images) {
        match &mut self.pulses[node] {
            Some(sum) => add(sum, &gradient),
            none => *none = Some(gradient),
        }
    }

    fn add_current(&mut self, node: usize, gradient: &Images) {
        match &mut self.currents[node] {
            Some(sum) => add(sum, gradient),
            none => *none = Some(gradient.clone()),
        }
    }

    /// What came back to a node, taken away; zeros where nothing did.
    fn take(&mut self, node: usize) -> Images {
        let size = self.sizes.1 * self.step(node);
        self.pulses[node].take().unwrap_or_else(|| vec![vec![0.0; size]; self.sizes.0])
    }

    /// Adds to step `t` of a node alone.
    fn add_step(&mut self, node: usize, t: usize, gradient: &Images) {
        let (step, size) = (self.step(node), self.sizes.1 * self.step(node));
        let all = self.pulses[node].get_or_insert_with(|| vec![vec![0.0; size]; self.sizes.0]);
        for (all, gradient) in all.iter_mut().zip(gradient) {
            all[t * step..][..step].iter_mut().zip(gradient).for_each(|(all, g)| *all += g);
        }
    }

    /// Step `t` of what came back to a node.
    fn at_step(&self, node: usize, t: usize) -> Images {
        let step = self.step(node);
        let zeros = || vec![vec![0.0; step]; self.sizes.0];
        let of = |all: &Images| all.iter().map(|image| image[t * step..][..step].to_vec()).collect();
        self.pulses[node].as_ref().map_or_else(zeros, of)
    }
}

/// What is done with a layer on the way back: given its number, itself, and the sums and values of ∂z, it gives ∂loss/∂pulses of its
/// inputs, where somebody asks for these.
pub trait Return<'a>: FnMut(usize, LayerPass<'a>, (Vec<Scanned>, Vec<Values>)) -> Images {}
impl<'a, F: FnMut(usize, LayerPass<'a>, (Vec<Scanned>, Vec<Values>)) -> Images> Return<'a> for F {}

/// The means of a layer's currents, `[blocks, steps]`, where its norm takes the batch's.
pub type Means<'m> = &'m dyn Fn(usize) -> Option<Vec<[f32; LANES]>>;

impl<'a, L: Layers<'a>> Forward<'a, L> {
    /// Goes back from ∂loss/∂pulses of the readout's inputs; gives ∂loss/∂pulses of the network's. Every spike has a slope of its own
    /// beside.
    pub fn back(
        self,
        gradient: Images,
        (surrogate, slope): (Surrogate, f32),
        means: Means,
        mut each: impl Return<'a>,
    ) -> Images {
        let Forward { layers, sizes, mut passes, pools, .. } = self;
        let graph = layers.graph();
        let none = || graph.nodes.iter().map(|_| None).collect::<Vec<_>>();
        let mut returned = Returned { graph, sizes, pulses: none(), currents: none() };
        returned.add(graph.layers[graph.readout()].from, gradient);
        let mut next = graph.nodes.len();
        while next > 1 {
            let node = next - 1;
            if let Some(nodes) = graph.cycles.iter().find(|nodes| nodes.end == next) {
                cycle_back(&mut returned, nodes.clone(), &mut passes, &pools, ((surrogate, slope), means, &mut each));
                next = nodes.start;
                continue;
            }
            next = node;
            let gradient = returned.take(node);
            match &graph.nodes[node].work {
                Work::Input => {}
                Work::Pool { from, pooling } => {
                    let (input, output) = (graph.nodes[*from].map, graph.nodes[node].map);
                    let back = pools::back(pooling, (input, output), &gradient, &pools[&node][0]);
                    returned.add(*from, back);
                }
                Work::Concat(nodes) => {
                    for (from, gradient) in nodes.iter().zip(pools::apart(graph, node, &gradient)) {
                        returned.add(*from, gradient);
                    }
                }
                Work::Population(population) => {
                    for other in &population.behind {
                        returned.add(*other, gradient.clone());
                    }
                    let pass = passes[node].take().expect("it went through here");
                    let borrowed = returned.currents[node].take();
                    population_back(&mut returned, pass, (gradient, borrowed), ((surrogate, slope), means, &mut each));
                }
            }
        }
        returned.pulses[0].take().unwrap_or_default()
    }
}

/// How the way back goes: by which surrogate and slope of every spike, by which means, and what is done with each layer.
type How<'h, 'm, R> = ((Surrogate, f32), Means<'m>, &'h mut R);

/// Goes back through a population to all that leads there.
fn population_back<'a>(
    returned: &mut Returned,
    mut pass: PopulationPass<'a>,
    (gradient, borrowed): (Images, Option<Images>),
    (surrogate, means, each): How<impl Return<'a>>,
) {
    let of_leader = means(pass.layers[0].0);
    match pass.backward(gradient, borrowed, of_leader.as_deref(), surrogate) {
        Back::Alone(scanned, values) => {
            let (l, layer) = pass.layers.swap_remove(0);
            return_to(returned, l, each(l, layer, (scanned, values)));
        }
        Back::Joined(dz) => to_all(returned, pass, &dz, (means, each)),
    }
}

/// Hands ∂loss/∂current of a population to its layers, skips and lenders.
fn to_all<'a>(
    returned: &mut Returned,
    pass: PopulationPass<'a>,
    dz: &Images,
    (means, each): (Means, &mut impl Return<'a>),
) {
    for (node, unit) in pass.skips() {
        returned.add(node, times(dz, unit));
    }
    for node in pass.borrows() {
        returned.add_current(node, dz);
    }
    for (l, mut layer) in pass.layers {
        let values = PopulationPass::values(&mut layer, dz, means(l).as_deref());
        return_to(returned, l, each(l, layer, values));
    }
}

/// What comes back through layer `l` goes to the node that it reads, where it was asked for.
fn return_to(returned: &mut Returned, l: usize, gradient: Images) {
    if !gradient.is_empty() {
        returned.add(returned.graph.layers[l].from, gradient);
    }
}

fn times(values: &Images, factor: f32) -> Images {
    values.par_iter().map(|values| values.iter().map(|value| value * factor).collect()).collect()
}

/// Goes back through nodes that ran step by step, from the last step to the first.
fn cycle_back<'a>(
    returned: &mut Returned,
    nodes: Range<usize>,
    passes: &mut [Option<PopulationPass<'a>>],
    pools: &BTreeMap<usize, Vec<Arc<Pulses>>>,
    ((surrogate, slope), means, each): How<impl Return<'a>>,
) {
    let (graph, (images, steps)) = (returned.graph, returned.sizes);
    let mut taken: BTreeMap<usize, PopulationPass> =
        nodes.clone().filter_map(|n| Some((n, passes[n].take()?))).collect();
    let inside: BTreeMap<usize, LayerPass> = taken.values_mut().flat_map(PopulationPass::close).collect();
    let mut ways: BTreeMap<usize, _> = taken.iter().map(|(n, pass)| (*n, pass.by_step(surrogate))).collect();
    let mut all: BTreeMap<usize, Images> =
        taken.iter().map(|(n, pass)| (*n, vec![vec![0.0; pass.geometry().image()]; images])).collect();
    for (t, n) in (0..steps).rev().flat_map(|t| nodes.clone().rev().map(move |n| (t, n))) {
        let gradient = returned.at_step(n, t);
        match &graph.nodes[n].work {
            Work::Input => {}
            Work::Pool { from, pooling } => {
                let maps = (graph.nodes[*from].map, graph.nodes[n].map);
                returned.add_step(*from, t, &pools::back(pooling, maps, &gradient, &pools[&n][t]));
            }
            Work::Concat(from) => {
                for (from, gradient) in from.iter().zip(pools::apart(graph, n, &gradient)) {
                    returned.add_step(*from, t, &gradient);
                }
            }
            Work::Population(population) => {
                population.behind.iter().for_each(|other| returned.add_step(*other, t, &gradient));
                let (pass, size) = (&taken[&n], taken[&n].geometry().step());
                let spikes = with_slope(pools::spread(pass.leader(), &gradient), slope);
                let lent = returned.currents[n].as_ref();
                let ways = ways.get_mut(&n).expect("every population has its way");
                let step = |(image, (way, spikes)): (usize, (&mut Box<_>, &Vec<f32>))| {
                    let mut dz = vec![0.0; size];
                    super::neurons::StepBack::step(&mut **way, t, spikes, &mut dz);
                    let lent = lent.map(|lent| &lent[image][t * size..][..size]);
                    lent.iter().for_each(|lent| dz.iter_mut().zip(*lent).for_each(|(dz, lent)| *dz += lent));
                    dz
                };
                let dz: Images = ways.par_iter_mut().zip(&spikes).enumerate().map(step).collect();
                let of_cycle = |node: &&usize| nodes.contains(node);
                for node in population.skips.iter().filter(of_cycle) {
                    returned.add_step(*node, t, &times(&dz, graph.nodes[*node].unit()));
                }
                for node in population.currents.iter().filter(of_cycle) {
                    let size = size * steps;
                    let lent = returned.currents[*node].get_or_insert_with(|| vec![vec![0.0; size]; images]);
                    for (lent, dz) in lent.iter_mut().zip(&dz) {
                        lent[t * dz.len()..][..dz.len()].iter_mut().zip(dz).for_each(|(lent, dz)| *lent += dz);
                    }
                }
                for l in &population.layers {
                    let (Some(layer), plan) = (inside.get(l), &graph.layers[*l]) else { continue };
                    let sent = if plan.delayed { t.checked_sub(1) } else { Some(t) };
                    let Some(sent) = sent else { continue };
                    let dz: Vec<&[f32]> = dz.iter().map(Vec::as_slice).collect();
                    returned.add_step(plan.from, sent, &layer.backward_step(t, &dz));
                }
                let all = all.get_mut(&n).expect("every population has its gradients");
                all.iter_mut().zip(dz).for_each(|(all, dz)| all[t * size..][..size].copy_from_slice(&dz));
            }
        }
    }
    drop(ways);
    nodes.clone().for_each(|n| returned.pulses[n] = None);
    let mut inside = inside;
    for (n, pass) in taken.into_iter().rev() {
        let population = graph.nodes[n].population().expect("a population");
        for l in &population.layers {
            let Some(mut layer) = inside.remove(l) else { continue };
            let values = PopulationPass::values(&mut layer, &all[&n], None);
            // What comes back through it came step by step.
            each(*l, layer, values);
        }
        to_all(returned, pass, &all[&n], (means, &mut *each));
    }
    nodes.for_each(|n| returned.currents[n] = None);
}
