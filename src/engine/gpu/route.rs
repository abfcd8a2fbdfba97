//! The way of a batch through a chip's graph on a device: which kernels run one after the other, and which buffers they
//! go between. A buffer of pulses or of currents is taken again as soon as nobody reads what is in it.

use crate::chip::Chip;
use crate::error::{Error, Result};
use crate::network::Drive;
use crate::network::graph::{Graph, Lifetimes, Node, Population, Work};

/// A kernel's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Column sums of a layer from pulses.
    Sums { layer: usize, from: usize },
    /// Counts the rows of a layer that pulses drive, where they were not counted as they were sent.
    Drives { layer: usize, from: usize },
    /// A layer's sums behind its norms, the first of a current or added to it.
    Join { layer: usize, first: bool, to: usize },
    /// The pulses of a skip, added to the current of neurons: `node` says which.
    Skip { node: usize, skip: usize, from: usize, to: usize },
    /// Other neurons' currents, added to that of a node's.
    Lend { node: usize, from: usize, to: usize },
    /// The neurons of a node, on one layer's sums, or on a current.
    Neurons { node: usize, current: Option<usize>, to: usize },
    /// A pool: a node's, or that of neurons whose kernel does not hold its windows.
    Pool { node: usize, from: usize, to: usize },
    /// Pulses that are added to those of a node.
    Add { node: usize, from: usize, to: usize },
    /// One of the parts that stand side by side in a node.
    Part { node: usize, part: usize, from: usize, to: usize },
    /// The readout's sums over the steps.
    Readout { layer: usize },
}

impl Op {
    /// The layer or node, and what is done there.
    pub fn name(self, chip: &Chip) -> String {
        let layer = |layer: usize, work: &str| format!("{}: {work}", chip.layers[layer].plan.name);
        let node = |node: usize, work: &str| format!("{}: {work}", chip.graph.nodes[node].name);
        match self {
            Op::Sums { layer: l, .. } => layer(l, "sums"),
            Op::Drives { layer: l, .. } => layer(l, "drives"),
            Op::Join { layer: l, .. } => layer(l, "current"),
            Op::Readout { layer: l } => layer(l, "readout"),
            Op::Skip { node: n, .. } => node(n, "skip"),
            Op::Lend { node: n, .. } => node(n, "current lent"),
            Op::Neurons { node: n, .. } => node(n, "neurons"),
            Op::Pool { node: n, .. } => node(n, "pool"),
            Op::Add { node: n, .. } => node(n, "pulses added"),
            Op::Part { node: n, .. } => node(n, "part"),
        }
    }
}

/// The kernels of a chip in their order, and the buffers that they take.
#[derive(Clone, Debug)]
pub struct KernelRoute {
    /// The kernels in order.
    pub ops: Vec<Op>,
    /// Buffers of pulses; the first has the input.
    pub pulses: usize,
    /// Buffers of currents.
    pub currents: usize,
    /// The layer that each node counts the drives of as it sends.
    pub heirs: Vec<Option<usize>>,
}

/// Buffers, and until which node each is taken.
#[derive(Default)]
struct Slots {
    until: Vec<usize>,
}

impl Slots {
    /// A buffer that is free at a node, taken until another.
    fn take(&mut self, now: usize, until: usize) -> usize {
        let slot = self.until.iter().position(|taken| *taken < now).unwrap_or(self.until.len());
        if slot == self.until.len() {
            self.until.push(until);
        }
        self.until[slot] = until;
        slot
    }
}

/// The reason, with the layer, why a device does not run a graph; nothing where it does.
pub fn refusal(graph: &Graph) -> Option<String> {
    if let Some(cycle) = graph.cycles.first() {
        return Some(format!("`{}` takes what comes back to it, step by step", graph.nodes[cycle.start].name));
    }
    if let Some(node) = graph.nodes.iter().find(|node| matches!(node.work, Work::Delay { .. })) {
        return Some(format!("`{}` delays pulses", node.name));
    }
    let has_digits = |node: &usize| planes(&graph.nodes[*node]) > 1;
    let reads_digits = |(n, node): (usize, &Node)| match &node.work {
        Work::Input | Work::Delay { .. } => false,
        Work::Population(Population { skips, behind, .. }) => {
            skips.iter().chain(behind).any(has_digits) || (!behind.is_empty() && has_digits(&n))
        }
        Work::Pool { from, .. } => has_digits(from) || has_digits(&n),
        Work::Concat(nodes) => nodes.iter().any(has_digits),
    };
    let node = graph.nodes.iter().enumerate().find(|node| reads_digits(*node))?.1;
    let work = if matches!(node.work, Work::Pool { .. }) { "pools" } else { "joins" };
    Some(format!("`{}` {work} pulses to numbers above 127", node.name))
}

fn planes(node: &Node) -> u32 {
    Drive::pulses(node.largest).planes
}

impl KernelRoute {
    /// The way through a chip; an error that names the layer where there is none.
    pub fn of(chip: &Chip, pools_apart: impl Fn(usize) -> bool) -> Result<Self> {
        let graph = &*chip.graph;
        if let Some(reason) = refusal(graph) {
            return Err(Error::Gpu(format!("{reason}, which kernels do not; use --backend cpu")));
        }
        let heirs: Vec<Option<usize>> = (0..graph.nodes.len()).map(|node| heir(graph, node)).collect();
        let Lifetimes { pulses: last, currents: borrowed } = &*graph.kept;
        let (mut pulses, mut currents) = (Slots::default(), Slots::default());
        let (mut at, mut current_at) = (vec![0; graph.nodes.len()], vec![0; graph.nodes.len()]);
        pulses.take(0, last[0]);
        let mut ops = vec![];
        for (n, node) in graph.nodes.iter().enumerate() {
            match &node.work {
                // Refused above.
                Work::Input | Work::Delay { .. } => {}
                Work::Pool { from, .. } => {
                    at[n] = pulses.take(n, last[n]);
                    ops.push(Op::Pool { node: n, from: at[*from], to: at[n] });
                }
                Work::Concat(nodes) => {
                    at[n] = pulses.take(n, last[n]);
                    let part = |(part, from): (usize, &usize)| Op::Part { node: n, part, from: at[*from], to: at[n] };
                    ops.extend(nodes.iter().enumerate().map(part).collect::<Vec<_>>());
                }
                Work::Population(population) => {
                    let slot = population.joins().then(|| currents.take(n, borrowed[n]));
                    current_at[n] = slot.unwrap_or(0);
                    for (i, layer) in population.layers.iter().enumerate() {
                        let from = graph.layers[*layer].from;
                        if heirs[from] != Some(*layer) {
                            ops.push(Op::Drives { layer: *layer, from: at[from] });
                        }
                        ops.push(Op::Sums { layer: *layer, from: at[from] });
                        ops.extend(slot.map(|to| Op::Join { layer: *layer, first: i == 0, to }));
                    }
                    let to = current_at[n];
                    let skips = population.skips.iter().enumerate();
                    ops.extend(skips.map(|(skip, from)| Op::Skip { node: n, skip, from: at[*from], to }));
                    ops.extend(population.currents.iter().map(|from| Op::Lend {
                        node: n,
                        from: current_at[*from],
                        to,
                    }));
                    at[n] = pulses.take(n, last[n]);
                    if pools_apart(population.leader()) {
                        let spikes = pulses.take(n, n);
                        ops.push(Op::Neurons { node: n, current: slot, to: spikes });
                        ops.push(Op::Pool { node: n, from: spikes, to: at[n] });
                    } else {
                        ops.push(Op::Neurons { node: n, current: slot, to: at[n] });
                    }
                    ops.extend(population.behind.iter().map(|from| Op::Add { node: n, from: at[*from], to: at[n] }));
                }
            }
        }
        let (layer, from) = (graph.readout(), graph.layers[graph.readout()].from);
        if heirs[from] != Some(layer) {
            ops.push(Op::Drives { layer, from: at[from] });
        }
        ops.extend([Op::Sums { layer, from: at[from] }, Op::Readout { layer }]);
        Ok(KernelRoute { ops, pulses: pulses.until.len(), currents: currents.until.len(), heirs })
    }
}

/// The layer whose drives are counted as a node sends: the first that reads it. Pulses that others are added to, and
/// those of pools and parts, are counted apart.
fn heir(graph: &Graph, node: usize) -> Option<usize> {
    let counts = match &graph.nodes[node].work {
        Work::Input => true,
        Work::Population(population) => population.behind.is_empty(),
        Work::Pool { .. } | Work::Concat(_) | Work::Delay { .. } => false,
    };
    graph.layers.iter().position(|layer| layer.from == node).filter(|_| counts)
}
