//! A chip ready to run on this machine's cores: its layers, and its populations, whose neurons scan currents while
//! these are in the cache.
//!
//! Convolutions go image by image, a task each, and within an image in bands of rows whose sums of all steps stay in
//! the second cache; fully connected layers take the whole batch, so that their matrix is read once. Sums are exact, so
//! neither the kernel chosen nor the number of threads shows in a result. Where one layer's sums are all of a current,
//! neurons scan these behind its norms; else the current is made first ([`super::join`]).

use std::cell::RefCell;

use rayon::prelude::*;

use super::currents::{Geometry, Images};
use super::join::{add_share, add_sums};
use super::laid::{Band, Laid};
use super::layer::{Connected, ReadyLayer};
use super::neurons::{Neurons, Sums};
use super::stepping::{Stepping, norms_at, step_sums};
use super::sums::Scratch;
use super::walk::{Fired, Signal, Taken};
use super::ways::Kernel;
use crate::chip::Chip;
use crate::kernels::digits::LANES;
use crate::network::graph::Population;
use crate::plan::LayerPlan;

/// Floats of a band's sums over all steps: half of a usual second cache.
const BAND: usize = 1 << 17;

/// A chip, ready to run.
pub struct Ready<'a> {
    /// The chip.
    pub chip: &'a Chip,
    /// Its layers.
    pub layers: Vec<ReadyLayer<'a>>,
    /// The neurons at each node that has some.
    neurons: Vec<Option<Neurons>>,
}

/// A look at a layer's inputs as they are laid out: the layer's number, and the inputs.
pub trait See: Fn(usize, &Laid) + Sync {}
impl<F: Fn(usize, &Laid) + Sync> See for F {}

/// Work space of a thread, kept from image to image.
#[derive(Default)]
struct ReadyScratch {
    laid: Laid,
    scratch: Scratch,
    sums: Vec<f32>,
}

thread_local! {
    static SPACE: RefCell<ReadyScratch> = RefCell::default();
}

impl<'a> Ready<'a> {
    /// A chip whose sums are made by this kernel.
    pub fn new(chip: &'a Chip, kernel: Kernel) -> Self {
        let layers: Vec<ReadyLayer> = chip.layers.iter().map(|layer| ReadyLayer::new(layer, kernel)).collect();
        let neurons = chip.graph.nodes.iter().map(|node| {
            let population = node.population()?;
            let leader = &layers[population.leader()];
            let varied = chip.layers[population.leader()].varied.clone();
            Some(match population.joins() {
                true => Neurons::of_currents(leader.plan, chip.steps, varied),
                false => Neurons::new(leader.plan, leader.norms.clone(), varied),
            })
        });
        Ready { neurons: neurons.collect(), chip, layers }
    }

    fn population(&self, node: usize) -> &'a Population {
        self.chip.graph.nodes[node].population().expect("a walker runs populations alone")
    }

    fn leader(&self, node: usize) -> &'a LayerPlan {
        self.layers[self.population(node).leader()].plan
    }

    /// Runs the population at a node on so many images. Inputs are shown as they are laid out: of a convolution to the
    /// thread that has an image, and that must not wait for others.
    pub fn fire(&self, node: usize, taken: &Taken, images: usize, see: impl See) -> Vec<Fired> {
        let Some(neurons) = &self.neurons[node] else { return vec![] };
        let (leader, population) = (self.leader(node), self.population(node));
        if population.joins() {
            let fire = |currents| self.fire_on(neurons, leader, currents, population.lends);
            return self.currents(leader, taken, images, &see).into_par_iter().map(fire).collect();
        }
        if leader.convolves() {
            let convolve =
                |image| SPACE.with_borrow_mut(|space| self.convolve(neurons, leader, (taken, image), &see, space));
            // An image by itself is no work to share.
            return if images == 1 { vec![convolve(0)] } else { (0..images).into_par_iter().map(convolve).collect() };
        }
        let (_, sums) = &self.connect(taken, images, &see)[0];
        let scan = |image| {
            let (mut pulses, mut spikes) = (leader.pulses(self.chip.steps), vec![0; self.chip.steps]);
            neurons.scan(sums.of(image), 0, &mut pulses, &mut spikes);
            Fired { pulses, spikes, current: None }
        };
        (0..images).into_par_iter().map(scan).collect()
    }

    /// The currents of a population over all steps, an image each.
    fn currents(&self, leader: &LayerPlan, taken: &Taken, images: usize, see: &impl See) -> Images {
        if leader.convolves() {
            let convolve =
                |image| SPACE.with_borrow_mut(|space| self.convolved_currents(leader, (taken, image), see, space));
            return if images == 1 { vec![convolve(0)] } else { (0..images).into_par_iter().map(convolve).collect() };
        }
        let sums = self.connect(taken, images, see);
        (0..images).into_par_iter().map(|image| self.connected_currents(&sums, (taken, image), leader)).collect()
    }

    /// The sums of a population's fully connected layers.
    fn connect(&self, taken: &Taken, images: usize, see: &impl See) -> Vec<(usize, Connected)> {
        let layers = taken.layers.iter();
        layers.map(|(l, signal)| (*l, self.layers[*l].connect(signal, images, |laid| see(*l, laid)))).collect()
    }

    /// The current of an image's fully connected neurons over all steps.
    fn connected_currents(
        &self,
        sums: &[(usize, Connected)],
        (taken, image): (&Taken, usize),
        leader: &LayerPlan,
    ) -> Vec<f32> {
        let geometry = Geometry::of_map(leader.map(), 1, self.chip.steps);
        let mut currents = vec![0.0; geometry.image()];
        for (l, sums) in sums {
            add_sums(geometry, &leader.lif, &self.layers[*l].norms, sums.of(image), &mut currents);
        }
        taken.add_to(geometry, &leader.lif, image, &mut currents);
        currents
    }

    /// Runs an image through a convolution and its neurons, band by band.
    fn convolve(
        &self,
        neurons: &Neurons,
        leader: &LayerPlan,
        (taken, image): (&Taken, usize),
        see: &impl See,
        ReadyScratch { laid, scratch, sums }: &mut ReadyScratch,
    ) -> Fired {
        let steps = self.chip.steps;
        let (mut pulses, mut spikes) = (leader.pulses(steps), vec![0; steps]);
        let (height, row) = (leader.output.height, leader.output.width * leader.columns().next_multiple_of(LANES));
        let (l, signal) = &taken.layers[0];
        signal.lay_out(&self.layers[*l].columns, image, steps, laid);
        see(*l, laid);
        // Whole pools, and pairs of rows, which transformed squares have.
        let together = leader.pool.0 * (1 + leader.pool.0 % 2);
        let rows = (BAND / (laid.maps() * row)).max(1).next_multiple_of(together).clamp(1, height);
        for y in (0..height).step_by(rows) {
            let rows = rows.min(height - y);
            let given = self.band(*l, laid, (y, rows), scratch, sums);
            neurons.scan(sums_of(sums, given, leader, (y, rows)), 0, &mut pulses, &mut spikes);
        }
        Fired { pulses, spikes, current: None }
    }

    /// Runs an image through neurons whose current several make up.
    fn fire_on(&self, neurons: &Neurons, leader: &LayerPlan, currents: Vec<f32>, lends: bool) -> Fired {
        let steps = self.chip.steps;
        let (mut pulses, mut spikes) = (leader.pulses(steps), vec![0; steps]);
        let geometry = Geometry::of_map(leader.map(), 1, steps);
        neurons.scan(Sums::whole(&currents, geometry), 0, &mut pulses, &mut spikes);
        Fired { pulses, spikes, current: lends.then_some(currents) }
    }

    /// The sums of layer `l` over a band of rows, of all maps that are laid out; gives how many these are.
    fn band(
        &self,
        l: usize,
        laid: &Laid,
        (y, rows): (usize, usize),
        scratch: &mut Scratch,
        sums: &mut Vec<f32>,
    ) -> usize {
        let ReadyLayer { columns, plan, .. } = &self.layers[l];
        let (given, row) = (laid.maps(), plan.output.width * columns.blocks() * LANES);
        sums.resize(given * rows * row, 0.0);
        let at_once = columns.maps_at_once(laid, rows);
        for (i, sums) in sums.chunks_mut(at_once * rows * row).enumerate() {
            let maps = sums.len() / (rows * row);
            columns.sums(laid, Band { map: i * at_once, y, rows, maps }, scratch, sums);
        }
        given
    }

    /// Begins to run a population step by step: makes of all steps what is known of its currents.
    pub fn enter(&self, node: usize, taken: &Taken, images: usize, see: impl See) -> Stepping<'a> {
        let leader = self.leader(node);
        let varied = self.chip.layers[self.population(node).leader()].varied.clone();
        Stepping::new(leader, self.currents(leader, taken, images, &see), varied)
    }

    /// The currents of an image's convolutions over all steps.
    fn convolved_currents(
        &self,
        leader: &LayerPlan,
        (taken, image): (&Taken, usize),
        see: &impl See,
        ReadyScratch { laid, scratch, sums }: &mut ReadyScratch,
    ) -> Vec<f32> {
        let geometry = Geometry::of_map(leader.map(), 1, self.chip.steps);
        let mut currents = vec![0.0; geometry.image()];
        for (l, signal) in &taken.layers {
            let ReadyLayer { columns, plan, norms, .. } = &self.layers[*l];
            signal.lay_out(columns, image, self.chip.steps, laid);
            see(*l, laid);
            let given = self.band(*l, laid, (0, plan.output.height), scratch, sums);
            let sums = sums_of(sums, given, plan, (0, plan.output.height));
            add_share(geometry, plan, norms, sums, &mut currents);
        }
        taken.add_to(geometry, &leader.lif, image, &mut currents);
        currents
    }

    /// Runs step `t` of a population on what leads to it at that step alone.
    pub fn step(&self, node: usize, t: usize, stepping: &mut Stepping, taken: &Taken, see: impl See) -> Vec<Fired> {
        let images = stepping.known.len();
        let sums = |(l, signal): &(usize, Signal)| {
            let ReadyLayer { columns, plan, norms, .. } = &self.layers[*l];
            let sums = step_sums(columns, plan, t, (signal, images), |laid| see(*l, laid));
            (norms_at(norms, t, self.chip.steps), sums)
        };
        let sums: Vec<_> = taken.layers.iter().map(sums).collect();
        stepping.step(t, &sums, taken, self.population(node).lends)
    }
}

/// A band's sums of a layer as neurons take them: of so many steps that differ.
fn sums_of<'s>(sums: &'s [f32], given: usize, plan: &LayerPlan, (y, rows): (usize, usize)) -> Sums<'s> {
    let block = rows * plan.output.width * LANES;
    let step = if given == 1 { 0 } else { plan.columns().div_ceil(LANES) * block };
    Sums { sums, block, step, y, rows }
}
