//! The one way forward of a batch through the nodes of a graph: inference, calibration and training each do their own
//! at a population, and the walk hands it what leads there, pools and joins pulses, and lets go of what nobody reads
//! any more.

use std::ops::Range;
use std::sync::Arc;

use super::columns::Columns;
use super::currents::{Geometry, Images};
use super::join::{add_currents, add_pulses};
use super::laid::{Laid, Times};
use super::pulses::{added, pooled, side_by_side};
use crate::error::Result;
use crate::network::graph::{Graph, Lifetimes, Node, Population, Work};
use crate::network::pulses::Pulses;
use crate::network::{Inputs, Lif};

/// The signal that a node sends for some images.
#[derive(Clone)]
pub enum Signal<'a> {
    /// The network's input.
    Encoded {
        /// All images, encoded.
        inputs: &'a Inputs,
        /// The first image that is meant, and the end of those that are.
        images: (usize, usize),
    },
    /// Pulses of another node.
    Pulses {
        /// `[images·steps]` maps.
        pulses: Arc<Pulses>,
        /// The images and the first of the steps.
        times: Times,
    },
}

impl Times {
    /// The images and the first of the steps that a signal is of.
    pub fn of(signal: &Signal) -> Self {
        match signal {
            Signal::Pulses { times, .. } => times.clone(),
            Signal::Encoded { inputs, images } => {
                Times { images: inputs.batch.indices[images.0..images.1].into(), first: 0 }
            }
        }
    }
}

/// The currents of some neurons, an image each, `[steps, blocks, pixels, 16]`.
pub type Currents = Arc<Images>;

/// All that leads to a population.
pub struct Taken<'a> {
    /// Its layers, each with the signal that it reads; those that read the step before are not among them.
    pub layers: Vec<(usize, Signal<'a>)>,
    /// Nodes whose pulses join its current, with the value of one.
    pub skips: Vec<(usize, Arc<Pulses>, f32)>,
    /// Nodes whose neurons' currents join it.
    pub currents: Vec<(usize, Currents)>,
}

/// The pulses and currents that a population gives.
pub struct Given {
    /// Its pulses behind the pool, `[images·steps]` maps.
    pub pulses: Pulses,
    /// Its currents, where others take them.
    pub currents: Option<Currents>,
}

/// The pulses, spikes and current that neurons give for an image.
pub struct Fired {
    /// The pulses that they send.
    pub pulses: Pulses,
    /// How many of them fire at each step, before the pool.
    pub spikes: Vec<u64>,
    /// Their current, where others take it.
    pub current: Option<Vec<f32>>,
}

impl Taken<'_> {
    /// Adds what joins the current of an image beside layers' sums: pulses and other neurons' currents of as many steps
    /// as the geometry has.
    pub fn add_to(&self, geometry: Geometry, lif: &Lif, image: usize, current: &mut [f32]) {
        for (_, pulses, unit) in &self.skips {
            add_pulses(geometry, lif, *unit, (pulses, image * geometry.steps), current);
        }
        for (_, other) in &self.currents {
            add_currents(&other[image], current);
        }
    }
}

impl Given {
    /// Joins what neurons gave image by image to what they give for the batch; `see` is shown each image's spikes.
    pub fn of_images(fired: Vec<Fired>, mut see: impl FnMut(usize, Vec<u64>)) -> Self {
        let (mut pulses, mut currents) = (vec![], vec![]);
        for (image, fired) in fired.into_iter().enumerate() {
            see(image, fired.spikes);
            pulses.push(fired.pulses);
            currents.extend(fired.current);
        }
        let pulses = Pulses::concatenate(pulses).expect("a batch has an image");
        Given { pulses, currents: (!currents.is_empty()).then(|| Arc::new(currents)) }
    }
}

/// The work that is done at each population on the way.
pub trait Walker<'a> {
    /// Runs the population at a node on what leads there.
    fn fire(&mut self, node: usize, taken: Taken<'a>) -> Result<Given>;

    /// Begins to run a population step by step: what leads there from nodes that have run already.
    fn enter(&mut self, node: usize, taken: Taken<'a>) -> Result<()>;

    /// Runs step `t` of it on the rest of what leads there: signals of that step alone, or, of layers that are late, of
    /// the one before.
    fn step(&mut self, node: usize, t: usize, taken: Taken<'a>) -> Result<Given>;

    /// Is shown what a pool takes: of all steps, or, in nodes that run step by step, of each.
    fn see_pool(&mut self, _node: usize, _taken: &Arc<Pulses>) {}

    /// Images and time steps.
    fn sizes(&self) -> (usize, usize);
}

/// The signals that nodes sent, each kept until its last reader has run.
#[derive(Clone)]
pub struct Signals<'a> {
    pulses: Vec<Option<Signal<'a>>>,
    currents: Vec<Option<Currents>>,
    kept: Arc<Lifetimes>,
    /// The images, and the first of the steps that signals are of.
    times: Times,
}

/// Takes what the first nodes sent through some further ones.
pub fn walk<'a>(
    walker: &mut impl Walker<'a>,
    graph: &Graph,
    nodes: Range<usize>,
    signals: &mut Signals<'a>,
) -> Result<()> {
    let mut next = nodes.start;
    while next < nodes.end {
        next = match graph.cycles.iter().find(|nodes| nodes.start == next) {
            Some(nodes) => {
                cycle(walker, graph, nodes.clone(), signals)?;
                nodes.end
            }
            None => {
                visit(walker, graph, next, signals)?;
                next + 1
            }
        };
        signals.let_go(next);
    }
    Ok(())
}

/// Runs nodes step by step, for a layer leads back among them.
fn cycle<'a>(
    walker: &mut impl Walker<'a>,
    graph: &Graph,
    nodes: Range<usize>,
    signals: &mut Signals<'a>,
) -> Result<()> {
    let populations = || nodes.clone().filter_map(|n| Some((n, graph.nodes[n].population()?)));
    for (n, population) in populations() {
        walker.enter(n, signals.lead_to(graph, population, nodes.clone()))?;
    }
    let ((images, steps), mut sent) = (walker.sizes(), vec![vec![]; nodes.len()]);
    let mut currents: Vec<Vec<Currents>> = vec![vec![]; nodes.len()];
    // Before the first step nothing was sent.
    let mut last: Vec<Arc<Pulses>> =
        graph.nodes[nodes.clone()].iter().map(|node| Arc::new(node.pulses(images))).collect();
    for t in 0..steps {
        let mut now = Signals { pulses: vec![None; graph.nodes.len()], ..signals.clone() };
        now.times.first = t;
        for n in nodes.clone() {
            let node = &graph.nodes[n];
            // Signals from outside the cycle are taken step by step, too.
            for from in graph.reads(n).into_iter().filter(|from| !nodes.contains(from) && *from > 0) {
                if now.pulses[from].is_none() {
                    now.pulses[from] = Some(now.signal(signals.pulses(from).at_step(t, steps)));
                }
            }
            let given = match &node.work {
                Work::Population(population) => {
                    let mut taken = now.inside(graph, population, &nodes);
                    let delayed = population.layers.iter().map(|l| (*l, &graph.layers[*l])).filter(|(_, l)| l.delayed);
                    taken.layers.extend(delayed.map(|(l, layer)| {
                        (l, Signal::Pulses { pulses: last[layer.from - nodes.start].clone(), times: now.times.clone() })
                    }));
                    let mut given = walker.step(n, t, taken)?;
                    given.pulses = now.joined(node, population, given.pulses);
                    given
                }
                Work::Delay { from, steps: late } => {
                    let pulses = match t.checked_sub(*late) {
                        None => node.pulses(images),
                        Some(past) if nodes.contains(from) => Pulses::clone(&sent[from - nodes.start][past]),
                        Some(past) => signals.pulses(*from).at_step(past, steps),
                    };
                    Given { pulses, currents: None }
                }
                _ => {
                    now.show_pool(walker, n, node);
                    Given { pulses: now.gathered(graph, node), currents: None }
                }
            };
            currents[n - nodes.start].extend(given.currents.clone());
            sent[n - nodes.start].push(given.pulses.clone());
            now.put(n, given);
        }
        last = nodes.clone().map(|n| now.pulses(n)).collect();
    }
    for (n, (sent, currents)) in nodes.zip(sent.into_iter().zip(currents)) {
        let images = |image: usize| currents.iter().flat_map(|step| step[image].iter().copied()).collect::<Vec<f32>>();
        let currents = currents.first().map(|first| Arc::new((0..first.len()).map(images).collect()));
        signals.put(n, Given { pulses: Pulses::of_steps(&sent), currents });
    }
    Ok(())
}

/// Runs one node.
fn visit<'a>(walker: &mut impl Walker<'a>, graph: &Graph, number: usize, signals: &mut Signals<'a>) -> Result<()> {
    let node = &graph.nodes[number];
    let given = match &node.work {
        Work::Input => return Ok(()),
        Work::Population(population) => {
            let taken = signals.lead_to(graph, population, 0..0);
            let mut given = walker.fire(number, taken)?;
            given.pulses = signals.joined(node, population, given.pulses);
            given
        }
        Work::Delay { from, steps: late } => {
            let ((images, steps), from) = (walker.sizes(), signals.pulses(*from));
            let at =
                |t: usize| t.checked_sub(*late).map_or_else(|| node.pulses(images), |past| from.at_step(past, steps));
            Given { pulses: Pulses::of_steps(&(0..steps).map(at).collect::<Vec<Pulses>>()), currents: None }
        }
        Work::Pool { .. } | Work::Concat(_) => {
            signals.show_pool(walker, number, node);
            Given { pulses: signals.gathered(graph, node), currents: None }
        }
    };
    signals.put(number, given);
    Ok(())
}

impl<'a> Signals<'a> {
    /// The network's input, before anything ran on it.
    pub fn of(graph: &Graph, input: Signal<'a>) -> Self {
        let (mut pulses, times) = (vec![None; graph.nodes.len()], Times::of(&input));
        pulses[0] = Some(input);
        Signals { pulses, currents: vec![None; graph.nodes.len()], kept: graph.kept.clone(), times }
    }

    /// The signal that a node sent.
    pub fn at(&self, node: usize) -> Signal<'a> {
        self.pulses[node].clone().expect("a node's signal is there until its last reader")
    }

    /// The pulses of a node that is not the input.
    fn pulses(&self, node: usize) -> Arc<Pulses> {
        match self.at(node) {
            Signal::Pulses { pulses, .. } => pulses,
            Signal::Encoded { .. } => unreachable!("a model's joins and pools are of pulses"),
        }
    }

    /// The currents that a node lends.
    fn current(&self, node: usize) -> Currents {
        self.currents[node].clone().expect("a node that lends its current has it")
    }

    /// Keeps what a node gives.
    fn put(&mut self, node: usize, given: Given) {
        self.pulses[node] = Some(self.signal(given.pulses));
        self.currents[node] = given.currents;
    }

    /// Pulses as the signal that they are here.
    fn signal(&self, pulses: Pulses) -> Signal<'a> {
        Signal::Pulses { pulses: Arc::new(pulses), times: self.times.clone() }
    }

    /// Lets go of what no node from `next` on reads.
    fn let_go(&mut self, next: usize) {
        let Lifetimes { pulses: readers, currents: borrowers } = &*self.kept;
        self.pulses.iter_mut().zip(readers).take(next).for_each(|(pulses, last)| _ = pulses.take_if(|_| *last < next));
        self.currents.iter_mut().zip(borrowers).for_each(|(currents, last)| _ = currents.take_if(|_| *last < next));
    }

    /// All that leads to a population at the same step from nodes other than those of `within`.
    fn lead_to(&self, graph: &Graph, population: &Population, within: Range<usize>) -> Taken<'a> {
        self.taken(graph, population, |node| !within.contains(node))
    }

    /// All that leads to a population at the same step from the nodes of `within`.
    fn inside(&self, graph: &Graph, population: &Population, within: &Range<usize>) -> Taken<'a> {
        self.taken(graph, population, |node| within.contains(node))
    }

    fn taken(&self, graph: &Graph, population: &Population, is_meant: impl Fn(&usize) -> bool) -> Taken<'a> {
        let layers = population.layers.iter().map(|l| (*l, &graph.layers[*l]));
        let layers = layers.filter(|(_, layer)| !layer.delayed && is_meant(&layer.from));
        Taken {
            layers: layers.map(|(l, layer)| (l, self.at(layer.from))).collect(),
            skips: population
                .skips
                .iter()
                .filter(|node| is_meant(node))
                .map(|node| (*node, self.pulses(*node), graph.nodes[*node].unit()))
                .collect(),
            currents: population
                .currents
                .iter()
                .filter(|node| is_meant(node))
                .map(|node| (*node, self.current(*node)))
                .collect(),
        }
    }

    /// The pulses of a population with those that are added behind it.
    fn joined(&self, node: &Node, population: &Population, own: Pulses) -> Pulses {
        if population.behind.is_empty() {
            return own;
        }
        let others: Vec<Arc<Pulses>> = population.behind.iter().map(|node| self.pulses(*node)).collect();
        let parts: Vec<&Pulses> = std::iter::once(&own).chain(others.iter().map(|pulses| &**pulses)).collect();
        added(node, &parts)
    }

    /// Shows what a pool takes.
    fn show_pool(&self, walker: &mut impl Walker<'a>, number: usize, node: &Node) {
        if let Work::Pool { from, .. } = &node.work {
            walker.see_pool(number, &self.pulses(*from));
        }
    }

    /// The pulses of a pool or of nodes side by side.
    fn gathered(&self, graph: &Graph, node: &Node) -> Pulses {
        match &node.work {
            Work::Pool { from, pooling } => pooled(node, pooling, graph.nodes[*from].map, &self.pulses(*from)),
            Work::Concat(nodes) => {
                let parts: Vec<_> =
                    nodes.iter().map(|from| (graph.nodes[*from].map.channels, self.pulses(*from))).collect();
                let parts: Vec<_> = parts.iter().map(|(channels, pulses)| (*channels, &**pulses)).collect();
                side_by_side(node, &parts)
            }
            Work::Input | Work::Population(_) | Work::Delay { .. } => unreachable!("a walk runs these"),
        }
    }

    /// The signals of images, each by itself so far, as those of a batch.
    pub fn of_batch(images: Vec<Signals<'a>>, input: Signal<'a>) -> Self {
        let mut images = images.into_iter();
        let first = images.next().expect("a batch has an image");
        let kept = first.kept;
        let mut nodes: Vec<Vec<Option<Signal>>> = first.pulses.into_iter().map(|signal| vec![signal]).collect();
        let mut currents: Vec<Vec<Option<Currents>>> =
            first.currents.into_iter().map(|current| vec![current]).collect();
        for image in images {
            nodes.iter_mut().zip(image.pulses).for_each(|(node, signal)| node.push(signal));
            currents.iter_mut().zip(image.currents).for_each(|(node, current)| node.push(current));
        }
        let join = |images: Vec<Option<Currents>>| {
            let images: Option<Vec<Currents>> = images.into_iter().collect();
            images.map(|images| Arc::new(images.into_iter().flat_map(Arc::unwrap_or_clone).collect::<Vec<_>>()))
        };
        Signals {
            pulses: nodes.into_iter().map(|signals| joined_images(signals, &input)).collect(),
            currents: currents.into_iter().map(join).collect(),
            kept,
            times: Times::of(&input),
        }
    }
}

/// The signals that a node sent image by image as one of all.
fn joined_images<'a>(signals: Vec<Option<Signal<'a>>>, input: &Signal<'a>) -> Option<Signal<'a>> {
    let mut parts = vec![];
    for signal in signals {
        match signal? {
            Signal::Encoded { .. } => return Some(input.clone()),
            Signal::Pulses { pulses, .. } => parts.push(Arc::unwrap_or_clone(pulses)),
        }
    }
    Some(Signal::Pulses { pulses: Arc::new(Pulses::concatenate(parts)?), times: Times::of(input) })
}

impl<'a> Signal<'a> {
    /// The network's input of all images, encoded now: threads that wait for it may take up work of their own.
    pub fn of(inputs: &'a Inputs) -> Self {
        inputs.pulses();
        Signal::Encoded { inputs, images: (0, inputs.batch.len()) }
    }

    /// Lays out an image's maps; one where every step has the same.
    pub fn lay_out(&self, columns: &Columns, image: usize, steps: usize, laid: &mut Laid) {
        match self {
            Signal::Pulses { pulses, .. } => laid.pulses(columns.patches(), pulses, image * steps, steps),
            Signal::Encoded { inputs, images } => {
                let planes = inputs.encoder.code.planes() as usize;
                columns.lay_out(laid, inputs.pulses().image(images.0 + image), planes, 1);
            }
        }
        let Times { images, first } = Times::of(self);
        laid.times = Times { images: images[image..=image].into(), first };
    }

    /// Lays out the maps of all images.
    pub fn lay_out_all(&self, columns: &Columns) -> Laid {
        let mut laid = Laid::default();
        match self {
            Signal::Pulses { pulses, .. } => laid.pulses(columns.patches(), pulses, 0, pulses.maps()),
            Signal::Encoded { inputs, images } => {
                let planes = inputs.encoder.code.planes() as usize;
                columns.lay_out(&mut laid, inputs.pulses().images(*images), planes, images.1 - images.0);
            }
        }
        laid.times = Times::of(self);
        laid
    }
}
