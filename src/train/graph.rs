//! A walk through a graph that keeps what the way back needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layer::LayerPass;
use super::operands::Operands;
use super::population::{Inside, PopulationPass};
use crate::error::Result;
use crate::forward::neurons::Lanes;
use crate::forward::walk::{Given, Signal, Taken, Walker};
use crate::network::graph::Graph;
use crate::network::pulses::Pulses;
use crate::network::varied::Varied;
use crate::plan::LayerPlan;

/// How each layer of a pass runs.
pub trait RunLayers<'a> {
    /// The graph that they are of.
    fn graph(&self) -> &'a Graph;

    /// Layer `l` and its operands.
    fn of(&self, l: usize) -> (&'a LayerPlan, &'a Operands);

    /// Runs layer `l` over all steps of so many images and steps.
    fn forward(&mut self, l: usize, sizes: (usize, usize), signal: Signal<'a>) -> Result<LayerPass<'a>>;

    /// The constants of the neurons that layer `l` leads, where they differ.
    fn varied(&self, l: usize) -> Option<Arc<Varied>>;

    /// The gains and offsets, `[blocks, steps]`, of a layer that runs step by step.
    fn stepped(&self, l: usize) -> Result<Vec<[Lanes; 2]>>;
}

/// A walk through a graph.
pub struct Forward<'a, L> {
    /// Its layers.
    pub layers: L,
    /// Images and steps.
    pub(super) sizes: (usize, usize),
    /// Whether the way back will be gone: then every population's pass is kept.
    keeps: bool,
    /// Spikes of all neurons.
    pub spikes: u64,
    /// The pass of each population, by node.
    pub(super) passes: Vec<Option<PopulationPass<'a>>>,
    /// The pulses that each pool took, of all steps at once or of each.
    pub(super) pools: BTreeMap<usize, Vec<Arc<Pulses>>>,
}

impl<'a, L: RunLayers<'a>> Forward<'a, L> {
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
        let varied = self.layers.varied(population.leader());
        Ok(PopulationPass::new(leader, population, layers, taken, self.sizes, varied))
    }
}

impl<'a, L: RunLayers<'a>> Walker<'a> for Forward<'a, L> {
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
