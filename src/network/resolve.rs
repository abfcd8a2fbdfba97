//! Entries of a model file become the graph that they mean, or an error of the key that is at fault.

use std::collections::BTreeMap;
use std::ops::Range;

use super::entries::{INPUT, names};
use super::graph::{Graph, Node, Population, Work};
use super::item::{Item, ModelFrame, Names, Operator};
use super::layer::{Layer, NormKind};
use super::matrix::{self, EntryResult, Fault, LARGEST_LAYER, MapKind, fault};
use super::pool::Pooling;
use super::readout::ReadoutKind;
use crate::numeric::Shape;

/// More entries than this are taken for a mistake in the model file.
const MOST_ITEMS: usize = 1 << 12;
/// The longest delay, in steps: those of the longest run.
const LONGEST_DELAY: usize = 1024;
/// Larger pulses than this are taken for a mistake in the model file.
const LARGEST_PULSE: u32 = 1 << 12;

/// The graph of a model's entries.
pub(super) fn resolve(model: &ModelFrame, items: &[Item]) -> Result<Graph, Fault> {
    let mut resolving = Resolving::new(model, items)?;
    for i in 0..items.len() {
        resolving.item(i).map_err(|(key, message)| (format!("layers[{i}]{key}"), message))?;
    }
    for i in 0..items.len() {
        resolving.join(i).map_err(|(key, message)| (format!("layers[{i}]{key}"), message))?;
    }
    resolving.close()
}

/// A graph while it grows.
struct Resolving<'a> {
    model: &'a ModelFrame,
    items: &'a [Item],
    /// The entries' names.
    names: Vec<String>,
    /// How often the pulses of a name are read.
    readers: BTreeMap<&'a str, usize>,
    /// The node of each name so far.
    places: BTreeMap<String, usize>,
    /// The layers by entry: its matrix, and the one that leads its pulses back.
    layers: Vec<[Option<Layer>; 2]>,
    nodes: Vec<Node>,
    cycles: Vec<Range<usize>>,
    /// The kind of each node's map.
    kinds: Vec<MapKind>,
    /// The node that the next entry reads.
    last: usize,
}

impl<'a> Resolving<'a> {
    fn new(model: &'a ModelFrame, items: &'a [Item]) -> Result<Self, Fault> {
        // A readout whose neurons integrate is a network by itself.
        if items.is_empty() && model.readout.kind == ReadoutKind::Mean {
            return Err(("layers".into(), "is empty; expected at least one `conv` or `fc` layer".into()));
        }
        if items.len() > MOST_ITEMS {
            return Err(("layers".into(), format!("has {} entries, expected at most {MOST_ITEMS}", items.len())));
        }
        let map = model.input;
        if map.len().saturating_mul(model.steps) > LARGEST_LAYER {
            let message = format!("{map} over {} steps, expected at most {LARGEST_LAYER} values", model.steps);
            return Err((INPUT.into(), message));
        }
        let mut readers = BTreeMap::new();
        items.iter().flat_map(Item::reads).for_each(|name| *readers.entry(name).or_insert(0) += 1);
        let input = Node { name: INPUT.into(), work: Work::Input, map, largest: 1, divisor: 1 };
        let names = names(items).map_err(|(i, message)| (format!("layers[{i}].name"), message))?;
        Ok(Resolving {
            model,
            items,
            readers,
            places: [(INPUT.to_owned(), 0)].into(),
            layers: vec![[const { None }; 2]; items.len()],
            nodes: vec![input],
            kinds: vec![MapKind::Map],
            cycles: vec![],
            last: 0,
            names,
        })
    }

    /// Takes in entry `i`; one that joins others only as far as it is known before these.
    fn item(&mut self, i: usize) -> EntryResult<()> {
        let item = &self.items[i];
        let Some(operator) = item.operator() else {
            return fault("", "expected one of `conv`, `conv1d`, `fc`, `pool`, `concat` and `delay`");
        };
        if let Some(key) = item.extras().find(|_| !item.has_matrix()) {
            let message = "is of a matrix, and this has none; expected it beside `conv`, `conv1d` or `fc`";
            return fault(&format!(".{key}"), message);
        }
        for (key, names) in [("add", &item.add), ("add_current", &item.add_current), ("add_behind", &item.add_behind)] {
            if names.is_some() && Names::list(names).is_empty() {
                return fault(&format!(".{key}"), "is empty; expected the names of entries");
            }
        }
        if let Some((key, message)) = item.neuron_in(self.model.neuron).fault() {
            return fault(&format!(".neuron.{key}"), message);
        }
        match operator {
            Operator::Pool(pool) => {
                let from = self.source(i)?;
                let node = &self.nodes[from];
                if from == 0 || self.kinds[from] == MapKind::Flat {
                    return fault(
                        "",
                        "a pool must follow a convolution, or what stands behind one; a convolution with a stride \
                         makes the input's map smaller",
                    );
                }
                let pooling =
                    pool.over(self.kinds[from] == MapKind::Line, node.map).map_err(|(key, message)| match key {
                        "" => (String::new(), message),
                        key => (format!(".pool{key}"), message),
                    })?;
                self.pool(i, from, pooling)
            }
            Operator::Concat(names) => self.concat(i, &names),
            Operator::Delay(steps) => self.delay(i, steps),
            _ if item.joins.is_some() => self.check_joining(item),
            operator => self.population(i, &operator),
        }
    }

    /// The node whose pulses entry `i` takes.
    fn source(&self, i: usize) -> EntryResult<usize> {
        match &self.items[i].from {
            None => Ok(self.last),
            Some(name) => self.place(name, ".from"),
        }
    }

    /// The node of a name.
    fn place(&self, name: &str, key: &str) -> EntryResult<usize> {
        match self.places.get(name) {
            Some(place) => Ok(*place),
            None if self.items.iter().zip(&self.names).any(|(item, other)| other == name && item.joins.is_some()) => {
                fault(
                    key,
                    format!("`{name}` joins other neurons, and sends no pulses itself; expected these neurons' name"),
                )
            }
            None if self.names.iter().any(|other| other == name) => fault(
                key,
                format!(
                    "`{name}` does not stand before it, which would be a cycle without delay; expected an earlier \
                     entry, or a matrix with `joins` and `delayed = true`"
                ),
            ),
            None => {
                let may_be_input = matches!(key, ".from");
                let known = self.places.iter().filter(|(_, node)| may_be_input || **node > 0);
                let known = known.map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                fault(key, format!("`{name}` is no entry's name; expected one of those before it: {known}"))
            }
        }
    }

    /// The node of the neurons that an entry of its own has.
    fn neurons(&self, name: &str, key: &str) -> EntryResult<usize> {
        let node = self.place(name, key)?;
        match self.names.iter().position(|other| other == name).map(|i| &self.items[i]) {
            Some(item) if item.has_neurons() => Ok(node),
            _ => fault(key, format!("`{name}` has no neurons; expected the name of an entry that has")),
        }
    }

    /// The node of a name whose pulses may join others; the input's may not.
    fn pulses(&self, name: &str, key: &str) -> EntryResult<usize> {
        match self.place(name, key)? {
            0 => fault(
                key,
                "the input has values of its own kind, no pulses; expected the name of neurons, a pool or a concat",
            ),
            place => Ok(place),
        }
    }

    fn layer(&self, index: usize) -> &Layer {
        self.layers.iter().flatten().flatten().nth(index).expect("a population has its layer")
    }

    fn layer_count(&self) -> usize {
        self.layers.iter().flatten().flatten().count()
    }

    /// Adds a node, which the next entry reads.
    fn add(&mut self, i: usize, node: Node, kind: MapKind) -> EntryResult<()> {
        let values = node.map.len().saturating_mul(self.model.steps);
        if values > LARGEST_LAYER {
            let message = format!(
                "maps of {} over {} steps, expected at most {LARGEST_LAYER} values",
                node.map, self.model.steps
            );
            return fault("", message);
        }
        if node.largest > LARGEST_PULSE {
            return fault("", format!("sends pulses up to {}, expected at most {LARGEST_PULSE}", node.largest));
        }
        self.last = self.nodes.len();
        self.places.insert(self.names[i].clone(), self.last);
        self.nodes.push(node);
        self.kinds.push(kind);
        Ok(())
    }

    /// A pool of what a node sends: by its neurons as they fire, where nobody else reads their spikes.
    fn pool(&mut self, i: usize, from: usize, pooling: Pooling) -> EntryResult<()> {
        let (name, map) = (self.names[i].clone(), self.nodes[from].map);
        let map = pooling.output(map);
        let node = &self.nodes[from];
        let leads = node.population().filter(|population| population.behind.is_empty());
        let before = self.items[..i].iter().rposition(|item| item.joins.is_none());
        let by_name = usize::from(self.items[i].from.is_some());
        let is_alone = self.readers.get(node.name.as_str()).copied().unwrap_or(0) == by_name
            && before.is_some_and(|before| self.names[before] == node.name && !self.items[before].recurrent);
        if let (Some(population), Some(pool), true) = (leads, pooling.side_by_side(), is_alone) {
            let leader = population.leader();
            self.layers.iter_mut().flatten().flatten().nth(leader).expect("it was there").pool = pool;
            let mut node = self.nodes.pop().expect("it was there");
            node.map = map;
            (node.largest, node.divisor) = (pooling.largest(1), pooling.divisor(1));
            let population = node.name.clone();
            let kind = self.kinds.pop().expect("it was there");
            self.add(i, node, kind)?;
            self.places.insert(population, self.last);
            return Ok(());
        }
        let (largest, divisor) = (pooling.largest(node.largest), pooling.divisor(node.divisor));
        let kind = self.kinds[from];
        self.add(i, Node { name, work: Work::Pool { from, pooling }, map, largest, divisor }, kind)
    }

    fn delay(&mut self, i: usize, steps: usize) -> EntryResult<()> {
        let from = self.source(i)?;
        if from == 0 {
            return fault(
                "",
                "a delay is of pulses, and the input has values of its own kind; expected it behind neurons",
            );
        }
        if !(1..=LONGEST_DELAY).contains(&steps) {
            return fault(".delay", format!("{steps}, expected 1 to {LONGEST_DELAY} steps"));
        }
        let Node { map, largest, divisor, .. } = self.nodes[from];
        let work = Work::Delay { from, steps };
        self.add(i, Node { name: self.names[i].clone(), work, map, largest, divisor }, self.kinds[from])
    }

    fn concat(&mut self, i: usize, names: &[String]) -> EntryResult<()> {
        if self.items[i].from.is_some() {
            return fault(".from", "`concat` names what it takes; expected one of the two");
        }
        let nodes = names.iter().map(|name| self.pulses(name, ".concat")).collect::<EntryResult<Vec<usize>>>()?;
        let Some(first) = nodes.first().map(|node| &self.nodes[*node]) else {
            return fault(".concat", "is empty; expected the names of entries");
        };
        let (mut map, mut largest) = (Shape { channels: 0, ..first.map }, 1);
        for (node, name) in nodes.iter().map(|node| &self.nodes[*node]).zip(names) {
            if (node.map.height, node.map.width) != (map.height, map.width) {
                let message =
                    format!("`{name}` has a map of {}, `{}` of {}; expected maps alike", node.map, names[0], first.map);
                return fault(".concat", message);
            }
            if node.divisor != first.divisor {
                return fault(".concat", units(name, node, &names[0], first));
            }
            map.channels += node.map.channels;
            largest = largest.max(node.largest);
        }
        let divisor = first.divisor;
        let kind = nodes.iter().map(|node| self.kinds[*node]).find(|kind| *kind == MapKind::Flat);
        let kind = kind.unwrap_or(self.kinds[nodes[0]]);
        self.add(i, Node { name: self.names[i].clone(), work: Work::Concat(nodes), map, largest, divisor }, kind)
    }

    /// Neurons, with the matrix that leads them.
    fn population(&mut self, i: usize, operator: &Operator) -> EntryResult<()> {
        let item = &self.items[i];
        if item.delayed {
            return fault(".delayed", "expected it beside `joins`: a matrix of its own neurons would wait for nothing");
        }
        let from = self.source(i)?;
        let layer = self.matrix(i, operator, from)?;
        let (map, kind) = (layer.map(), MapKind::behind(&layer));
        let (mut population, largest) = self.joined(item, &layer)?;
        for node in &population.currents {
            if let Work::Population(lender) = &mut self.nodes[*node].work {
                lender.lends = true;
            }
        }
        let back = item.recurrent.then(|| matrix::back(item, &layer, self.nodes.len())).transpose()?;
        self.layers[i] = [Some(layer), None];
        if let Some(back) = back {
            population.layers.push(self.layer_count());
            self.layers[i][1] = Some(back);
            self.cycles.push(self.nodes.len()..self.nodes.len() + 1);
        }
        let (name, work) = (self.names[i].clone(), Work::Population(population));
        self.add(i, Node { name, work, map, largest, divisor: 1 }, kind)
    }

    /// The neurons of an entry's matrix with all that joins them, and the largest pulse that they send.
    fn joined(&self, item: &Item, layer: &Layer) -> EntryResult<(Population, u32)> {
        let output = layer.map();
        let mut population = Population {
            layers: vec![self.layer_count()],
            skips: vec![],
            currents: vec![],
            behind: vec![],
            lends: false,
            pools: layer.before.is_some(),
        };
        for name in Names::list(&item.add) {
            population.skips.push(self.pulses(name, ".add")?);
        }
        for name in Names::list(&item.add_current) {
            population.currents.push(self.neurons(name, ".add_current")?);
        }
        let mut largest = 1;
        for name in Names::list(&item.add_behind) {
            let node = self.pulses(name, ".add_behind")?;
            if self.nodes[node].divisor != 1 {
                let message = "expected pulses that count 1 each, as spikes do, and no average";
                return fault(
                    ".add_behind",
                    format!("`{name}` sends pulses of {}; {message}", self.nodes[node].unit()),
                );
            }
            largest += self.nodes[node].largest;
            population.behind.push(node);
        }
        for (key, nodes) in [(".add", &population.skips), (".add_behind", &population.behind)] {
            self.check_maps(key, output, nodes)?;
        }
        for node in &population.currents {
            let map = self.layer(self.nodes[*node].population().expect("it has neurons").leader()).map();
            if map != output {
                return fault(".add_current", format!("a map of {map} cannot join one of {output}"));
            }
        }
        Ok((population, largest))
    }

    fn check_maps(&self, key: &str, output: Shape, nodes: &[usize]) -> EntryResult<()> {
        let other = nodes.iter().map(|node| &self.nodes[*node]).find(|node| node.map != output);
        match other {
            Some(node) => fault(
                key,
                format!(
                    "`{}` has a map of {}, which cannot join one of {output}; a matrix of its own, with `from` and \
                     `joins`, brings it there",
                    node.name, node.map
                ),
            ),
            None => Ok(()),
        }
    }

    /// The matrix of entry `i` that reads a node, as yet at the head of neurons.
    fn matrix(&self, i: usize, operator: &Operator, from: usize) -> EntryResult<Layer> {
        let name = self.names[i].clone();
        matrix::forward(name, (&self.items[i], operator), (from, &self.nodes[from], self.kinds[from]), self.model)
    }

    /// An error where a matrix that joins other neurons has what only neurons of its own can have.
    fn check_joining(&self, item: &Item) -> EntryResult<()> {
        let of_neurons = ["recurrent", "add", "add_current", "add_behind", "neuron"];
        match item.extras().find(|key| of_neurons.contains(key)) {
            Some(key) => fault(
                &format!(".{key}"),
                "is of neurons, and a matrix that `joins` has none; expected it where these are",
            ),
            None if item.from.is_none() => {
                fault(".joins", "expected `from` beside it: the entry whose pulses it takes")
            }
            None => Ok(()),
        }
    }

    /// An error unless a matrix takes pulses of nodes before its neurons, or, a step late, of those behind.
    fn check_order(&self, item: &Item, name: &str, (from, target): (usize, usize)) -> EntryResult<()> {
        if item.delayed != (from >= target) {
            return match item.delayed {
                true => fault(
                    ".delayed",
                    format!("`{}` stands before `{name}`; expected pulses that come back", self.nodes[from].name),
                ),
                false => fault(
                    ".from",
                    format!(
                        "`{}` does not stand before `{name}`, which would be a cycle without delay; `delayed = true` \
                         takes the pulses of the step before",
                        self.nodes[from].name
                    ),
                ),
            };
        }
        Ok(())
    }

    /// Joins the matrix of entry `i` to the neurons that it names.
    fn join(&mut self, i: usize) -> EntryResult<()> {
        let item = &self.items[i];
        let (Some(name), Some(operator)) = (&item.joins, item.operator()) else { return Ok(()) };
        let (from, target) = (self.source(i)?, self.neurons(name, ".joins")?);
        if self.names.iter().position(|other| other == name) > Some(i) {
            return fault(".joins", format!("`{name}` stands behind it; expected an entry before it"));
        }
        let population = self.nodes[target].population().expect("it has neurons");
        let leader = self.layer(population.leader()).clone();
        self.check_order(item, name, (from, target))?;
        let norm =
            if item.delayed { item.norm.unwrap_or(NormKind::None) } else { item.norm.unwrap_or(self.model.norm) };
        if item.delayed && norm != NormKind::None {
            return fault(
                ".norm",
                "a matrix that leads back has none: its sums are not known before the step; expected \"none\"",
            );
        }
        let layer = Layer {
            leads: false,
            delayed: item.delayed,
            norm,
            neuron: leader.neuron,
            ..self.matrix(i, &operator, from)?
        };
        if layer.map() != leader.map() || layer.convolves() != leader.convolves() {
            let kind = |layer: &Layer| if layer.convolves() { "a convolution" } else { "fully connected" };
            return fault(
                ".joins",
                format!(
                    "its map of {} ({}) cannot join `{name}` of {} ({}); expected the same map, and convolutions with \
                     convolutions",
                    layer.map(),
                    kind(&layer),
                    leader.map(),
                    kind(&leader)
                ),
            );
        }
        if item.delayed {
            self.cycles.push(target..from + 1);
        }
        self.insert(i, target, layer);
        Ok(())
    }

    /// Puts the layer of entry `i` among the others, and to the neurons at a node.
    fn insert(&mut self, i: usize, target: usize, layer: Layer) {
        let pools = layer.before.is_some();
        self.layers[i][0] = Some(layer);
        // Numbers of layers behind it move by one.
        let index = self.layers[..i].iter().flatten().flatten().count();
        for node in &mut self.nodes {
            if let Work::Population(population) = &mut node.work {
                population.layers.iter_mut().filter(|l| **l >= index).for_each(|l| *l += 1);
            }
        }
        if let Work::Population(population) = &mut self.nodes[target].work {
            population.layers.push(index);
            population.pools |= pools;
        }
    }

    /// The whole graph, with the readout behind the last node.
    fn close(self) -> Result<Graph, Fault> {
        let node = &self.nodes[self.last];
        if !self.items.is_empty() && (self.last == 0 || self.layer_count() == 0) {
            return Err(("layers".into(), "has no neurons; expected at least one `conv` or `fc` layer".into()));
        }
        let fcs = self.items.iter().filter(|item| item.fc.is_some()).count();
        let name = format!("fc{}", fcs + 1);
        if self.names.contains(&name) {
            return Err(("layers".into(), format!("has an entry `{name}`, the readout's name; expected another name")));
        }
        let readout = matrix::readout(self.model, name, (self.last, node))?;
        let mut layers: Vec<Layer> = self.layers.into_iter().flatten().flatten().collect();
        layers.push(readout);
        let graph = Graph::new(layers, self.nodes, united(self.cycles), self.model.readout.kind);
        Self::checked(graph, &self.names)
    }

    /// The key of the entry of a name, and what is behind it.
    fn key_of(names: &[String], name: &str, key: &str) -> String {
        let i = names.iter().position(|other| other == name).unwrap_or_default();
        format!("layers[{i}]{key}")
    }

    /// The graph, unless something of it leads nowhere or cannot run step by step.
    fn checked(graph: Graph, names: &[String]) -> Result<Graph, Fault> {
        if let Some(node) = graph.unread() {
            let message = format!("`{}` leads nowhere: what it sends does not reach the readout", node.name);
            return Err((Self::key_of(names, &node.name, ""), message));
        }
        if let Some(layer) = graph.inside_cycles().find(|layer| layer.before.is_some()) {
            let message = "is made of all steps at once, and what leads to this runs step by step; expected `pool` \
                           behind the neurons";
            return Err((Self::key_of(names, &layer.name, ".pool_current"), message.into()));
        }
        Ok(graph)
    }
}

/// The difference between two nodes' units, in words.
fn units(name: &str, node: &Node, other: &str, first: &Node) -> String {
    format!("`{name}` sends pulses of {}, `{other}` of {}; expected units alike", node.unit(), first.unit())
}

/// Ranges, those that meet as one.
fn united(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut united: Vec<Range<usize>> = vec![];
    for range in ranges {
        match united.last_mut().filter(|last| range.start < last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => united.push(range),
        }
    }
    united
}
