//! A network as a graph. Its nodes send pulses at every step: the input, populations of neurons, pools of what another
//! node sends, and concatenations. Its layers are the matrices, each with the node that it reads and the population
//! whose current its sums join; the last is the readout, behind all nodes.
//!
//! A population's current is, in this order, the sum of what its layers give behind their norms, the pulses of its
//! skips, and the currents of other populations. Nodes stand in the order in which they run; a layer that reads what
//! comes later has the pulses of the step before, and all nodes between run step by step with it ([`Graph::cycles`]).

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::layer::Layer;
use super::pool::Pooling;
use super::pulses::Pulses;
use super::readout::ReadoutKind;
use crate::numeric::Shape;

/// A network's nodes and layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The matrices in the order of the model file; the last is the readout.
    pub layers: Vec<Layer>,
    /// The nodes in the order in which they run; the first is the input.
    pub nodes: Vec<Node>,
    /// The nodes that run step by step, each range because a layer leads back in it.
    pub cycles: Vec<Range<usize>>,
    /// How the readout is read.
    pub reading: ReadoutKind,
    /// Until which node what each one sends is kept, and its current.
    pub kept: Arc<Lifetimes>,
}

/// Until which node something of each node is kept: the node itself where nobody takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lifetimes {
    /// The last node that reads what it sends; beyond all nodes where that is the readout.
    pub pulses: Vec<usize>,
    /// The last node that takes the current of its neurons.
    pub currents: Vec<usize>,
}

/// A sender of pulses.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name; a population's is that of the layer that leads it.
    pub name: String,
    /// The work that it does.
    pub work: Work,
    /// The map that it sends.
    pub map: Shape,
    /// The largest pulse.
    pub largest: u32,
    /// How many pulses make 1.
    pub divisor: u32,
}

/// The work of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// The network's input.
    Input,
    /// Neurons.
    Population(Population),
    /// A pool of what a node sends.
    Pool {
        /// The node.
        from: usize,
        /// The pool.
        pooling: Pooling,
    },
    /// The channels of nodes side by side.
    Concat(Vec<usize>),
    /// What a node sends, so many steps later.
    Delay {
        /// The node.
        from: usize,
        /// The steps, at least one.
        steps: usize,
    },
}

/// Neurons with all that joins their current. Their constants, map and pool are those of the layer that leads them.
#[derive(Clone, Debug, PartialEq)]
pub struct Population {
    /// Layers whose sums join their current; the first leads them.
    pub layers: Vec<usize>,
    /// Nodes whose pulses join it.
    pub skips: Vec<usize>,
    /// Nodes of populations whose current joins it.
    pub currents: Vec<usize>,
    /// Nodes whose pulses are added to those that they send.
    pub behind: Vec<usize>,
    /// Whether another population takes their current.
    pub lends: bool,
    /// Whether a layer's share of their current is pooled.
    pub pools: bool,
}

impl Population {
    /// The layer that leads them.
    pub fn leader(&self) -> usize {
        self.layers[0]
    }

    /// Additions that join a neuron's current and pulses at a step: of every term of the current behind the first, and
    /// of others' pulses.
    pub fn additions(&self) -> usize {
        (self.layers.len() + self.skips.len() + self.currents.len()).saturating_sub(1) + self.behind.len()
    }

    /// Whether their current is more than one layer's sums, or is wanted elsewhere.
    pub fn joins(&self) -> bool {
        self.layers.len() + self.skips.len() + self.currents.len() > 1 || self.lends || self.pools
    }
}

impl Node {
    /// The value of one pulse.
    pub fn unit(&self) -> f32 {
        1.0 / self.divisor as f32
    }

    /// Room for what it sends over so many maps: no pulses yet.
    pub fn pulses(&self, maps: usize) -> Pulses {
        Pulses::new(maps, self.map.height * self.map.width, self.map.channels, self.largest)
    }

    /// Its neurons, where it has some.
    pub fn population(&self) -> Option<&Population> {
        match &self.work {
            Work::Population(population) => Some(population),
            _ => None,
        }
    }
}

impl Graph {
    /// A graph of these parts.
    pub(super) fn new(layers: Vec<Layer>, nodes: Vec<Node>, cycles: Vec<Range<usize>>, reading: ReadoutKind) -> Self {
        let mut graph = Graph { layers, nodes, cycles, reading, kept: Arc::default() };
        graph.kept = Arc::new(Lifetimes { pulses: graph.last_readers(), currents: graph.last_borrowers() });
        graph
    }

    /// The readout's number among the layers.
    pub fn readout(&self) -> usize {
        self.layers.len() - 1
    }

    /// The nodes that a node reads at the same step.
    pub fn reads(&self, node: usize) -> Vec<usize> {
        match &self.nodes[node].work {
            Work::Input => vec![],
            Work::Pool { from, .. } | Work::Delay { from, .. } => vec![*from],
            Work::Concat(nodes) => nodes.clone(),
            Work::Population(Population { layers, skips, behind, .. }) => {
                let layers = layers.iter().filter(|l| !self.layers[**l].delayed).map(|l| self.layers[*l].from);
                layers.chain(skips.iter().copied()).chain(behind.iter().copied()).collect()
            }
        }
    }

    fn last_readers(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes.len()).collect();
        for node in 0..self.nodes.len() {
            self.reads(node).into_iter().for_each(|from| last[from] = node);
        }
        // Within a cycle the first node may read what the last one sent.
        for cycle in &self.cycles {
            last.iter_mut().filter(|last| cycle.contains(last)).for_each(|last| *last = cycle.end - 1);
        }
        if let Some(readout) = self.layers.last() {
            last[readout.from] = self.nodes.len();
        }
        last
    }

    fn last_borrowers(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes.len()).collect();
        for (n, node) in self.nodes.iter().enumerate() {
            node.population().iter().for_each(|population| population.currents.iter().for_each(|from| last[*from] = n));
        }
        last
    }

    /// The first nodes, whose maps go from one to the next image by image: before anything fully connected, and before
    /// any cycle.
    pub fn by_image(&self) -> usize {
        let is_local = |node: &Node| match &node.work {
            Work::Population(population) => population.layers.iter().all(|l| self.layers[*l].convolves()),
            _ => true,
        };
        let local = self.nodes.iter().take_while(|node| is_local(node)).count();
        local.min(self.cycles.iter().map(|cycle| cycle.start).min().unwrap_or(local))
    }

    /// The layers that run step by step, for what they read lies in a cycle with the neurons that they join.
    pub fn inside_cycles(&self) -> impl Iterator<Item = &Layer> {
        let within = |(n, node): (usize, &'_ Node)| {
            let cycle = self.cycles.iter().find(|cycle| cycle.contains(&n)).cloned().unwrap_or_default();
            let layers = node.population().map_or(vec![], |population| population.layers.clone());
            layers.into_iter().map(|l| &self.layers[l]).filter(move |layer| cycle.contains(&layer.from))
        };
        self.nodes.iter().enumerate().flat_map(within)
    }

    /// The nodes whose neurons' current is held over all steps: others take it, or it is known before they run step by
    /// step.
    pub fn holding(&self) -> impl Iterator<Item = (usize, &Population)> {
        let in_cycle = |n: usize| self.cycles.iter().any(|cycle| cycle.contains(&n));
        let populations = self.nodes.iter().enumerate().filter_map(|(n, node)| Some((n, node.population()?)));
        populations.filter(move |(n, population)| population.lends || in_cycle(*n))
    }

    /// A node whose pulses do not reach the readout.
    pub fn unread(&self) -> Option<&Node> {
        let (mut reached, mut next) = (BTreeSet::from([0]), vec![self.layers[self.readout()].from]);
        while let Some(node) = next.pop() {
            if !reached.insert(node) {
                continue;
            }
            next.extend(self.reads(node));
            if let Some(population) = self.nodes[node].population() {
                next.extend(population.layers.iter().map(|l| self.layers[*l].from).chain(population.currents.clone()));
            }
        }
        (0..self.nodes.len()).find(|node| !reached.contains(node)).map(|node| &self.nodes[node])
    }

    /// The node of the population that a layer joins; none of the readout.
    pub fn target(&self, layer: usize) -> Option<usize> {
        let joins = |node: &Node| node.population().is_some_and(|population| population.layers.contains(&layer));
        self.nodes.iter().position(joins)
    }
}
