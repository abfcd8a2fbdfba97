//! A NIR graph as matrices, neurons and pools that lead to one another: what changes nothing is passed over, and what
//! runs round in a circle gets its delay of a step.

use std::collections::{BTreeMap, BTreeSet};

use super::NirResult;
use super::file::RawGraph;
use super::node::{LinearMap, NeuronKind, NirNeurons, NirNode, NirNumbers, PoolWindow};

/// The longest way through nodes that change nothing.
const LONGEST: usize = 2_000;

/// A node that sends pulses: the input, neurons or a pool of pulses.
pub type Sender = String;

/// A matrix between a sender and neurons.
#[derive(Clone, Debug)]
pub struct Synapse {
    /// Its node's name.
    pub name: String,
    /// The matrix.
    pub matrix: LinearMap,
    /// What it reads.
    pub from: Sender,
    /// Factors of what it reads.
    pub before: Vec<NirNumbers>,
    /// Factors of its sums, one behind the other.
    pub scales: Vec<NirNumbers>,
    /// The pool behind it.
    pub pool: Option<PoolWindow>,
    /// Whether it reads the step before.
    pub delayed: bool,
}

/// Neurons and all that leads to them.
#[derive(Clone, Debug)]
pub struct NeuronGroup {
    /// The neurons.
    pub neurons: NirNeurons,
    /// The matrices that lead to them.
    pub synapses: Vec<Synapse>,
    /// Senders whose pulses join their current as they are.
    pub skips: Vec<Sender>,
}

/// A part of a network, in an order in which all that a part reads stands before it.
#[derive(Clone, Debug)]
pub enum Part {
    /// Neurons.
    Population(String, Box<NeuronGroup>),
    /// A pool of what a sender sends.
    Pool(String, PoolWindow, Sender),
    /// What a sender sends, so many seconds later.
    Delay(String, f64, Sender),
}

/// A network of parts.
#[derive(Clone, Debug)]
pub struct NirParts {
    /// The input's shape.
    pub input: Vec<usize>,
    /// The parts.
    pub parts: Vec<Part>,
    /// The matrix behind the last sender, and its neurons where it has some.
    pub readout: (Synapse, Option<(String, NirNeurons)>),
}

/// A graph's nodes and what leads to each.
struct Nodes {
    nodes: BTreeMap<String, NirNode>,
    before: BTreeMap<String, Vec<String>>,
    input: String,
}

impl NirParts {
    /// The parts of a file's graph.
    pub fn of(raw: RawGraph) -> NirResult<Self> {
        let nodes = Nodes::of(raw)?;
        let output = nodes.output()?;
        let [last] = &nodes.before(&output)?[..] else {
            return Err(format!("`{output}`: expected one node that leads to it, the readout"));
        };
        let (readout, neurons) = nodes.readout(last)?;
        let mut order = Order { nodes: &nodes, state: BTreeMap::new(), parts: vec![], input: nodes.input.clone() };
        order.visit(&readout.from, 0)?;
        let Order { parts, .. } = order;
        let placed: BTreeSet<&str> =
            parts.iter().map(Part::name).chain(neurons.iter().map(|(n, _)| n.as_str())).collect();
        let used = nodes.leading_to(&output);
        let is_lost = |(name, node): &(&String, &NirNode)| match node {
            NirNode::Neurons(_) => !placed.contains(name.as_str()),
            NirNode::Input(_) | NirNode::Output | NirNode::Graph => false,
            _ => !used.contains(name.as_str()),
        };
        if let Some((name, _)) = nodes.nodes.iter().find(is_lost) {
            return Err(format!("`{name}` does not lead to the output"));
        }
        let Some(NirNode::Input(input)) = nodes.nodes.get(&nodes.input) else { return Err("has no input".into()) };
        Ok(NirParts { input: input.clone(), parts, readout: (readout, neurons) })
    }
}

impl Part {
    /// Its node's name.
    pub fn name(&self) -> &str {
        match self {
            Part::Population(name, _) | Part::Pool(name, ..) | Part::Delay(name, ..) => name,
        }
    }
}

impl Nodes {
    fn of(raw: RawGraph) -> NirResult<Self> {
        let mut nodes = BTreeMap::new();
        for (name, raw) in raw.nodes {
            let node = NirNode::of(raw).map_err(|e| format!("`{name}`{e}"))?;
            nodes.insert(name, node);
        }
        let graphs: BTreeSet<&String> = nodes.iter().filter(|(_, n)| **n == NirNode::Graph).map(|(n, _)| n).collect();
        // An edge to or from a graph is one to its input or from its output.
        let within = |name: &String, end: fn(&NirNode) -> bool| -> NirResult<String> {
            if !nodes.contains_key(name) {
                return Err(format!("an edge names `{name}`, and there is no such node"));
            }
            if !graphs.contains(name) {
                return Ok(name.clone());
            }
            let of_graph = |other: &&String| {
                other.strip_prefix(&format!("{name}.")).is_some_and(|rest| !rest.contains('.')) && end(&nodes[*other])
            };
            nodes.keys().find(of_graph).cloned().ok_or_else(|| format!("the graph `{name}` has no input or output"))
        };
        let mut before: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (from, to) in &raw.edges {
            let from = within(from, |node| *node == NirNode::Output)?;
            let to = within(to, |node| matches!(node, NirNode::Input(_)))?;
            if seen.insert((from.clone(), to.clone())) {
                before.entry(to).or_default().push(from);
            }
        }
        before.values_mut().for_each(|names| names.sort());
        let of_whole =
            |(name, node): &(&String, &NirNode)| matches!(node, NirNode::Input(_)) && !before.contains_key(*name);
        let inputs: Vec<&String> = nodes.iter().filter(of_whole).map(|(name, _)| name).collect();
        let [input] = inputs[..] else {
            return Err(format!("has {} inputs, expected one node `Input` that nothing leads to", inputs.len()));
        };
        let input = input.clone();
        Ok(Nodes { nodes, before, input })
    }

    /// The output of the whole: nothing reads it.
    fn output(&self) -> NirResult<String> {
        let read: BTreeSet<&String> = self.before.values().flatten().collect();
        let outputs: Vec<&String> = self
            .nodes
            .iter()
            .filter(|(name, node)| **node == NirNode::Output && !read.contains(name))
            .map(|(n, _)| n)
            .collect();
        match outputs[..] {
            [output] => Ok(output.clone()),
            _ => Err(format!("has {} outputs, expected one", outputs.len())),
        }
    }

    fn node(&self, name: &str) -> &NirNode {
        &self.nodes[name]
    }

    /// The nodes that lead to one, those that change nothing passed over.
    fn before(&self, name: &str) -> NirResult<Vec<String>> {
        let mut found = vec![];
        let mut open: Vec<(String, usize)> =
            self.before.get(name).into_iter().flatten().rev().map(|name| (name.clone(), 0)).collect();
        while let Some((name, depth)) = open.pop() {
            if depth > LONGEST {
                return Err(format!("`{name}` is in a circle of nodes that do nothing"));
            }
            let passes = match self.node(&name) {
                NirNode::Flatten | NirNode::Output => true,
                NirNode::Input(_) => name != self.input,
                NirNode::Delay(delay) => delay.common() == Some(0.0),
                _ => false,
            };
            match passes {
                true => {
                    let next = self.before.get(&name).into_iter().flatten().rev();
                    open.extend(next.map(|name| (name.clone(), depth + 1)));
                }
                false => found.push(name),
            }
        }
        Ok(found)
    }

    /// The one node that leads to another.
    fn only_before(&self, name: &str) -> NirResult<String> {
        let before = self.before(name)?;
        match <[String; 1]>::try_from(before) {
            Ok([one]) => Ok(one),
            Err(before) => Err(format!("`{name}` is led to by {before:?}, expected one node")),
        }
    }

    /// All nodes that lead to one, and itself.
    fn leading_to<'n>(&'n self, name: &'n str) -> BTreeSet<&'n str> {
        let (mut found, mut next) = (BTreeSet::new(), vec![name]);
        while let Some(name) = next.pop() {
            if found.insert(name) {
                next.extend(self.before.get(name).into_iter().flatten().map(String::as_str));
            }
        }
        found
    }

    /// Whether a node sends pulses.
    fn sends(&self, name: &str) -> NirResult<bool> {
        self.sends_within(name, LONGEST)
    }

    /// Whether a node sends spikes, where so many stand before it at most.
    fn sends_within(&self, name: &str, most: usize) -> NirResult<bool> {
        let Some(most) = most.checked_sub(1) else { return Err(format!("`{name}` is in a circle")) };
        match self.node(name) {
            NirNode::Input(_) => Ok(true),
            NirNode::Neurons(neurons) => match neurons.kind {
                NeuronKind::Integrator => Err(format!(
                    "`{name}` integrates without spikes and leads to others; expected it at the output alone"
                )),
                NeuronKind::Spiking | NeuronKind::Threshold => Ok(true),
            },
            NirNode::Pool(_) | NirNode::Delay(_) => {
                self.only_before(name).and_then(|before| self.sends_within(&before, most))
            }
            _ => Ok(false),
        }
    }

    /// What leads to neurons by way of a node: a matrix with what is behind it, or pulses as they are.
    fn term(&self, name: &str) -> NirResult<Result<Synapse, Sender>> {
        if self.sends(name)? {
            return Ok(Err(name.to_owned()));
        }
        let (mut scales, mut pool, mut at) = (vec![], None, name.to_owned());
        for _ in 0..LONGEST {
            match self.node(&at) {
                NirNode::Matrix(matrix) => {
                    let (mut from, mut before) = (self.only_before(&at)?, vec![]);
                    while let NirNode::Scale(scale) = self.node(&from) {
                        if before.len() > LONGEST {
                            return Err(format!("`{from}` is in a circle"));
                        }
                        before.push(scale.clone());
                        from = self.only_before(&from)?;
                    }
                    if !self.sends(&from)? {
                        return Err(format!(
                            "`{at}` reads `{from}`, which sends no spikes; expected neurons between two matrices"
                        ));
                    }
                    scales.reverse();
                    return Ok(Ok(Synapse {
                        name: at,
                        matrix: matrix.clone(),
                        from,
                        before,
                        scales,
                        pool,
                        delayed: false,
                    }));
                }
                NirNode::Scale(scale) if pool.is_none() => scales.push(scale.clone()),
                NirNode::Pool(found) if pool.is_none() && scales.is_empty() => pool = Some(found.clone()),
                _ => return Err(format!("`{at}` leads to neurons, and is no matrix, `Scale` behind one or pool")),
            }
            at = self.only_before(&at)?;
        }
        Err(format!("`{name}` is in a circle"))
    }

    /// The neurons at a node with all that leads there.
    fn population(&self, name: &str, neurons: &NirNeurons) -> NirResult<NeuronGroup> {
        let mut population = NeuronGroup { neurons: neurons.clone(), synapses: vec![], skips: vec![] };
        for before in self.before(name)? {
            match self.term(&before)? {
                Ok(synapse) => population.synapses.push(synapse),
                Err(sender) => population.skips.push(sender),
            }
        }
        Ok(population)
    }

    /// The matrix that leads to the output, and its neurons.
    fn readout(&self, last: &str) -> NirResult<(Synapse, Option<(String, NirNeurons)>)> {
        let expected = "expected neurons behind a fully connected matrix, or such a matrix, at the output";
        let (synapse, neurons) = match self.node(last) {
            NirNode::Neurons(neurons) => {
                let NeuronGroup { mut synapses, skips, .. } = self.population(last, neurons)?;
                match (synapses.len(), skips.is_empty()) {
                    (1, true) => (synapses.remove(0), Some((last.to_owned(), neurons.clone()))),
                    _ => return Err(format!("`{last}` is led to by more than one matrix; {expected}")),
                }
            }
            _ => match self.term(last)? {
                Ok(synapse) => (synapse, None),
                Err(_) => return Err(format!("`{last}` leads to the output; {expected}")),
            },
        };
        match (&synapse.matrix.window, &synapse.pool, synapse.from == last) {
            (None, None, false) => Ok((synapse, neurons)),
            (_, _, true) => Err(format!("`{last}` leads back to itself and to the output; {expected}")),
            _ => Err(format!("`{}` is a convolution at the output; {expected}", synapse.name)),
        }
    }
}

/// The parts in an order in which each stands behind those that it reads, found from the output on.
struct Order<'n> {
    nodes: &'n Nodes,
    /// Senders that are under way, false, or placed, true.
    state: BTreeMap<String, bool>,
    parts: Vec<Part>,
    input: String,
}

impl Order<'_> {
    /// Places a sender behind all that it reads; gives whether it is one that is under way, so that it is read a step
    /// late.
    fn visit(&mut self, name: &str, depth: usize) -> NirResult<bool> {
        if name == self.input {
            return Ok(false);
        }
        if let Some(placed) = self.state.get(name) {
            return Ok(!placed);
        }
        if depth > LONGEST {
            return Err(format!("`{name}` is more than {LONGEST} nodes before the output"));
        }
        self.state.insert(name.to_owned(), false);
        let part = match self.nodes.node(name) {
            NirNode::Pool(pool) => {
                let from = self.nodes.only_before(name)?;
                self.on_time(name, &from, depth)?;
                Part::Pool(name.to_owned(), pool.clone(), from)
            }
            NirNode::Delay(delay) => {
                let from = self.nodes.only_before(name)?;
                self.on_time(name, &from, depth)?;
                match delay.common() {
                    Some(seconds) => Part::Delay(name.to_owned(), seconds, from),
                    None => return Err(format!("`{name}` has delays that differ; expected one for all")),
                }
            }
            NirNode::Neurons(neurons) => {
                let mut population = self.nodes.population(name, neurons)?;
                for synapse in &mut population.synapses {
                    synapse.delayed = self.visit(&synapse.from, depth + 1)?;
                }
                for skip in &population.skips {
                    self.on_time(name, skip, depth)?;
                }
                Part::Population(name.to_owned(), Box::new(population))
            }
            _ => return Err(format!("`{name}` sends no spikes")),
        };
        self.state.insert(name.to_owned(), true);
        self.parts.push(part);
        Ok(false)
    }

    fn on_time(&mut self, name: &str, from: &str, depth: usize) -> NirResult<()> {
        match self.visit(from, depth + 1)? {
            false => Ok(()),
            true => Err(format!("`{from}` leads back to `{name}` without a matrix; expected one on every way back")),
        }
    }
}
