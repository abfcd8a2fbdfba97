//! The ways of pulses between the layers of a chip, and the bytes that go there.
//!
//! A sender is the network's input or a population of neurons. It sends its map at every step to every layer whose rows
//! it drives, by way of pools and concatenations too, and to every population that its pulses join. The map goes as one
//! bit a neuron, or as a list of the addresses of its spikes, `⌈log2 neurons⌉` bits each, whichever is shorter on
//! average:
//!
//! ```text
//! bytes = min(T·neurons·bits, spikes·⌈log2 neurons⌉) / 8
//! ```
//!
//! Spikes are counted as they are fired, before a pool; signed ones have a bit more each way. Neurons that send others'
//! pulses along with theirs, and inputs in digits, send maps of as many bits a value as the largest one needs. A
//! current that one population lends to another moves at no cost.
//!
//! On a bus a map goes to the global buffer and from there to each layer that takes it, 1 + takers transfers of every
//! byte, each with an access of the buffer; the input is in the buffer already. On a mesh, tiles stand row by row in a
//! square, layer after layer; a map goes from the middle tile of its layer to that of each taker, one hop at least, and
//! on to the other tiles of the same rows, a hop for each.

use crate::crossbar::mapping::LayerMap;
use crate::network::Graph;
use crate::network::graph::{Population, Work};
use crate::plan::ChipPlan;
use crate::profile::Interconnect;

/// A sender and the ways of its map.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The layer that leads the neurons; none for the network's input.
    pub layer: Option<usize>,
    /// Values of its map.
    values: f64,
    /// Bits of a value.
    bits: f64,
    /// Spikes may go by their addresses: inputs that are no digits, and neurons that send no others' pulses along.
    spikes: bool,
    /// Times that a byte is moved, or hops.
    pub transfers: f64,
    /// Times that a byte is written to the global buffer or read from it.
    pub accesses: f64,
    /// Times that a byte takes the time of the bus, or of the way into the mesh.
    pub turns: f64,
}

impl Route {
    /// Bytes that an image of so many spikes over so many steps sends.
    pub fn bytes(&self, steps: f64, spikes: f64) -> f64 {
        let map = steps * self.values * self.bits;
        let address = libm::ceil(libm::log2(self.values.max(2.0))) + self.bits - 1.0;
        let shortest = if self.spikes { map.min(spikes * address) } else { map };
        shortest / 8.0
    }
}

/// The ways of every sender; none where nothing moves them.
pub(super) fn routes(plan: &ChipPlan, maps: &[LayerMap]) -> Vec<Route> {
    let interconnect = plan.profile.system.interconnect;
    if interconnect == Interconnect::None {
        return vec![];
    }
    let graph = &plan.graph;
    let places = places(maps);
    let senders = graph.nodes.iter().enumerate().filter_map(|(node, sender)| match &sender.work {
        Work::Input => Some((node, None, true)),
        Work::Population(population) => Some((node, Some(population.leader()), population.behind.is_empty())),
        Work::Pool { .. } | Work::Concat(_) | Work::Delay { .. } => None,
    });
    let route = |(node, layer, alone): (usize, Option<usize>, bool)| {
        let sender = &graph.nodes[node];
        let takers = takers(graph, node);
        let bits = match layer {
            None => plan.layers[0].site.drive.bits + u32::from(plan.layers[0].site.drive.signed),
            // A neuron fires a spike or none.
            Some(_) if alone => 1,
            Some(_) => (sender.largest + 1).next_power_of_two().ilog2(),
        };
        let values = layer.map_or(sender.map, |layer| graph.layers[layer].map()).len();
        let count = takers.len() as f64;
        let (transfers, accesses, turns) = match (interconnect, layer) {
            (Interconnect::Bus, None) => (count, count, count),
            (Interconnect::Bus, Some(_)) if takers.is_empty() => (0.0, 0.0, 0.0),
            (Interconnect::Bus, Some(_)) => (1.0 + count, 1.0 + count, 1.0 + count),
            (_, from) => {
                let hops = takers.iter().map(|to| hops(&places, maps, (from, *to))).sum();
                (hops, if from.is_none() { count } else { 0.0 }, count.min(1.0))
            }
        };
        let spikes = alone && (layer.is_some() || plan.layers[0].site.drive.bits == 1);
        Route { layer, values: values as f64, bits: f64::from(bits), spikes, transfers, accesses, turns }
    };
    senders.map(route).collect()
}

/// The layers that a sender's map goes to: those whose rows it drives, and the leaders of populations that its pulses
/// join.
fn takers(graph: &Graph, sender: usize) -> Vec<usize> {
    let mut same = vec![false; graph.nodes.len()];
    same[sender] = true;
    // A node that a delay leads back to stands before its sender: a few rounds find all.
    for _ in 0..graph.nodes.len() {
        let before = same.clone();
        for (node, of) in graph.nodes.iter().enumerate() {
            match &of.work {
                Work::Pool { from, .. } | Work::Delay { from, .. } => same[node] |= same[*from],
                Work::Concat(nodes) => same[node] |= nodes.iter().any(|from| same[*from]),
                Work::Input | Work::Population(_) => {}
            }
        }
        if same == before {
            break;
        }
    }
    let joins = |population: &Population| population.skips.iter().chain(&population.behind).any(|from| same[*from]);
    let joined = graph.nodes.iter().filter_map(|node| node.population()).filter(|population| joins(population));
    let mut takers: Vec<usize> =
        graph.layers.iter().enumerate().filter(|(_, layer)| same[layer.from]).map(|(i, _)| i).collect();
    takers.extend(joined.map(Population::leader));
    takers.sort_unstable();
    takers.dedup();
    takers
}

/// The middle tile of each layer, its row and column in the square of all tiles; none for layers in digital logic.
fn places(maps: &[LayerMap]) -> Vec<Option<[usize; 2]>> {
    let tiles: usize = maps.iter().map(|map| map.tiles).sum();
    let side = tiles.isqrt() + usize::from(tiles.isqrt().pow(2) < tiles);
    let mut first = 0;
    let mut middle = |map: &LayerMap| {
        let at = first + map.tiles / 2;
        first += map.tiles;
        // Every second row runs backwards, so that layers that follow one another are neighbours.
        let (row, column) = (at / side.max(1), at % side.max(1));
        (map.tiles > 0).then(|| [row, if row % 2 == 0 { column } else { side - 1 - column }])
    };
    maps.iter().map(&mut middle).collect()
}

/// Hops of a map from a layer, or from the corner where the input comes in, to all tiles of another that hold its rows.
fn hops(places: &[Option<[usize; 2]>], maps: &[LayerMap], (from, to): (Option<usize>, usize)) -> f64 {
    let at = |layer: Option<usize>| layer.map_or(Some([0, 0]), |layer| places[layer]);
    let apart = match (at(from), at(Some(to))) {
        (Some(from), Some(to)) => from[0].abs_diff(to[0]) + from[1].abs_diff(to[1]),
        // Digital logic stands beside every tile.
        _ => 0,
    };
    (apart.max(1) + maps[to].column_splits.saturating_sub(1)) as f64
}
