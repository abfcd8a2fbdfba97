//! A chip ready to run on this machine's cores: its layers, and its populations, whose neurons scan currents while these are in the
//! cache.
//!
//! Convolutions go image by image, a task each, and within an image in bands of rows whose sums of all steps stay in the second
//! cache; fully connected layers take the whole batch, so that their matrix is read once. Sums are exact, so neither the
//! kernel chosen nor the number of threads shows in a result. Where one layer's sums are all of a current, neurons scan these
//! behind its norms; else the current is made first ([`super::join`]).

use std::cell::RefCell;
use std::sync::Arc;

use rayon::prelude::*;

use super::join::{Place, add_currents, add_pulses, add_share, add_sums};
use super::laid::Laid;
use super::layer::{Connected, Layer};
use super::neurons::{Memory, Neurons, Sums};
use super::sums::{Band, Kernel, Scratch};
use super::walk::Taken;
use crate::chip::Chip;
use crate::kernels::digits::LANES;
use crate::network::pulses::Pulses;
use crate::numeric::Shape;
use crate::plan::LayerPlan;

/// Floats of a band's sums over all steps: half of a usual second cache.
const BAND: usize = 1 << 17;

/// A chip, ready to run.
pub struct Ready<'a> {
    /// The chip.
    pub chip: &'a Chip,
    /// Its layers.
    pub layers: Vec<Layer<'a>>,
    /// The neurons at each node that has some.
    neurons: Vec<Option<Neurons>>,
}

/// What neurons give of an image.
pub struct Fired {
    /// The pulses that they send.
    pub pulses: Pulses,
    /// How many of them fire at each step, before the pool.
    pub spikes: Vec<u64>,
    /// Their current, where others take it.
    pub current: Option<Vec<f32>>,
}

/// What is shown of a layer's inputs as they are laid out: the layer's number, and they.
pub trait See: Fn(usize, &Laid) + Sync {}
impl<F: Fn(usize, &Laid) + Sync> See for F {}

/// Work space of a thread, kept from image to image.
#[derive(Default)]
struct Space {
    laid: Laid,
    scratch: Scratch,
    sums: Vec<f32>,
}

thread_local! {
    static SPACE: RefCell<Space> = RefCell::default();
}

/// A population that runs step by step, of some images.
pub struct Stepping {
    neurons: Neurons,
    /// An image each: what it keeps from step to step, and the currents that are known of all steps.
    images: Vec<(Memory, Vec<f32>)>,
}

impl<'a> Ready<'a> {
    /// A chip whose sums are made by this kernel.
    pub fn new(chip: &'a Chip, kernel: Kernel) -> Self {
        let layers: Vec<Layer> = chip.layers.iter().map(|layer| Layer::new(layer, kernel)).collect();
        let neurons = chip.graph.nodes.iter().map(|node| {
            let population = node.population()?;
            let leader = &layers[population.leader()];
            Some(match population.joins() {
                true => Neurons::of_currents(leader.plan, chip.steps),
                false => Neurons::new(leader.plan, leader.norms.clone()),
            })
        });
        Ready { neurons: neurons.collect(), chip, layers }
    }

    fn leader(&self, node: usize) -> &'a LayerPlan {
        let population = self.chip.graph.nodes[node].population().expect("a population");
        self.layers[population.leader()].plan
    }

    /// Runs the population at a node on so many images. Inputs are shown as they are laid out: of a convolution to the thread that has an
    /// image, and that must not wait for others.
    pub fn fire(&self, node: usize, taken: &Taken, images: usize, see: impl See) -> Vec<Fired> {
        let Some(neurons) = &self.neurons[node] else { return vec![] };
        let leader = self.leader(node);
        let population = self.chip.graph.nodes[node].population().expect("neurons are a population's");
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
    fn currents(&self, leader: &LayerPlan, taken: &Taken, images: usize, see: &impl See) -> Vec<Vec<f32>> {
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
        let place = Place::whole(leader.map(), self.chip.steps);
        let mut currents = vec![0.0; place.floats()];
        for (l, sums) in sums {
            add_sums(place, &leader.lif, &self.layers[*l].norms, sums.of(image), &mut currents);
        }
        add_rest(place, leader, (taken, image), &mut currents);
        currents
    }

    /// Runs an image through a convolution and its neurons, band by band.
    fn convolve(
        &self,
        neurons: &Neurons,
        leader: &LayerPlan,
        (taken, image): (&Taken, usize),
        see: &impl See,
        Space { laid, scratch, sums }: &mut Space,
    ) -> Fired {
        let steps = self.chip.steps;
        let (mut pulses, mut spikes) = (leader.pulses(steps), vec![0; steps]);
        let (height, row) = (leader.output.height, leader.output.width * leader.columns().next_multiple_of(LANES));
        let (l, signal) = &taken.layers[0];
        signal.lay_out(&self.layers[*l].columns, image, steps, laid);
        see(*l, laid);
        let rows = (BAND / (laid.maps() * row)).max(1).next_multiple_of(leader.pool.0).clamp(1, height);
        for y in (0..height).step_by(rows) {
            let rows = rows.min(height - y);
            let given = self.band(*l, laid, (y, rows), scratch, sums);
            neurons.scan(sums_of(sums, given, leader.output, (y, rows)), 0, &mut pulses, &mut spikes);
        }
        Fired { pulses, spikes, current: None }
    }

    /// Runs an image through neurons whose current several make up.
    fn fire_on(&self, neurons: &Neurons, leader: &LayerPlan, currents: Vec<f32>, lends: bool) -> Fired {
        let steps = self.chip.steps;
        let (mut pulses, mut spikes) = (leader.pulses(steps), vec![0; steps]);
        let sums = sums_of(&currents, steps, leader.map(), (0, leader.map().height));
        neurons.scan(sums, 0, &mut pulses, &mut spikes);
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
        let Layer { columns, plan, .. } = &self.layers[l];
        let (given, row) = (laid.maps(), plan.output.width * columns.blocks() * LANES);
        sums.resize(given * rows * row, 0.0);
        let at_once = if rows == plan.output.height { columns.maps_at_once() } else { 1 };
        for (i, sums) in sums.chunks_mut(at_once * rows * row).enumerate() {
            let maps = sums.len() / (rows * row);
            columns.sums(laid, Band { map: i * at_once, y, rows, maps }, scratch, sums);
        }
        given
    }

    /// Begins to run a population step by step: makes of all steps what is known of its currents.
    pub fn enter(&self, node: usize, taken: &Taken, images: usize, see: impl See) -> Stepping {
        let leader = self.leader(node);
        let neurons = Neurons::of_currents(leader, 1);
        let currents = self.currents(leader, taken, images, &see);
        let images = currents.into_iter().map(|currents| (neurons.memory(), currents)).collect();
        Stepping { neurons, images }
    }

    /// The currents of an image's convolutions over all steps.
    fn convolved_currents(
        &self,
        leader: &LayerPlan,
        (taken, image): (&Taken, usize),
        see: &impl See,
        Space { laid, scratch, sums }: &mut Space,
    ) -> Vec<f32> {
        let place = Place::whole(leader.map(), self.chip.steps);
        let mut currents = vec![0.0; place.floats()];
        for (l, signal) in &taken.layers {
            let Layer { columns, plan, norms, .. } = &self.layers[*l];
            signal.lay_out(columns, image, self.chip.steps, laid);
            see(*l, laid);
            let given = self.band(*l, laid, (0, plan.output.height), scratch, sums);
            let sums = sums_of(sums, given, plan.output, (0, plan.output.height));
            add_share(place, plan, norms, sums, &mut currents);
        }
        add_rest(place, leader, (taken, image), &mut currents);
        currents
    }

    /// Runs step `t` of a population on what leads to it at that step alone.
    pub fn step(&self, node: usize, t: usize, stepping: &mut Stepping, taken: &Taken, see: impl See) -> Vec<Fired> {
        let (leader, images) = (self.leader(node), stepping.images.len());
        let (height, place) = (leader.map().height, Place::whole(leader.map(), 1));
        let connected: Vec<Vec<f32>> = taken
            .layers
            .iter()
            .filter(|_| !leader.convolves())
            .map(|(l, signal)| {
                let columns = self.layers[*l].columns.at(t);
                let laid = signal.lay_out_all(columns);
                see(*l, &laid);
                columns.connect(&laid)
            })
            .collect();
        let neurons = &stepping.neurons;
        let lends = self.chip.graph.nodes[node].population().is_some_and(|population| population.lends);
        let image = |(image, (memory, known)): (usize, &mut (Memory, Vec<f32>))| {
            let mut currents = known[t * place.floats()..][..place.floats()].to_vec();
            for (number, (l, signal)) in taken.layers.iter().enumerate() {
                let norms: Vec<_> = self.layers[*l].norms.chunks(self.chip.steps).map(|steps| steps[t]).collect();
                if leader.convolves() {
                    SPACE.with_borrow_mut(|Space { laid, scratch, sums }| {
                        let columns = self.layers[*l].columns.at(t);
                        signal.lay_out(columns, image, 1, laid);
                        see(*l, laid);
                        sums.resize(place.floats(), 0.0);
                        columns.sums(laid, Band { map: 0, y: 0, rows: height, maps: 1 }, scratch, sums);
                        let sums = sums_of(sums, 1, leader.map(), (0, height));
                        add_sums(place, &leader.lif, &norms, sums, &mut currents);
                    });
                } else {
                    let sums = Sums {
                        sums: &connected[number][image * LANES..],
                        block: images * LANES,
                        step: 0,
                        y: 0,
                        rows: 1,
                    };
                    add_sums(place, &leader.lif, &norms, sums, &mut currents);
                }
            }
            add_rest(place, leader, (taken, image), &mut currents);
            let (mut pulses, mut spikes) = (leader.pulses(1), vec![0]);
            neurons.scan_on(memory, sums_of(&currents, 1, leader.map(), (0, height)), 0, &mut pulses, &mut spikes);
            Fired { pulses, spikes, current: lends.then_some(currents) }
        };
        stepping.images.par_iter_mut().enumerate().map(image).collect()
    }

    /// What some images' neurons gave, as of a batch; each one's spikes are shown.
    pub fn together(fired: Vec<Fired>, mut see: impl FnMut(usize, Vec<u64>)) -> super::walk::Given {
        let (mut pulses, mut currents) = (vec![], vec![]);
        for (image, fired) in fired.into_iter().enumerate() {
            see(image, fired.spikes);
            pulses.push(fired.pulses);
            currents.extend(fired.current);
        }
        let pulses = Pulses::concatenate(pulses).expect("a batch has an image");
        super::walk::Given { pulses, currents: (!currents.is_empty()).then(|| Arc::new(currents)) }
    }
}

/// Adds what joins a current beside layers' sums.
fn add_rest(place: Place, leader: &LayerPlan, (taken, image): (&Taken, usize), currents: &mut [f32]) {
    for (_, pulses, unit) in &taken.skips {
        add_pulses(place, &leader.lif, *unit, (pulses, image * place.steps), currents);
    }
    for (_, other) in &taken.currents {
        add_currents(place, &other[image], currents);
    }
}

/// A band's sums or currents of a map as neurons take them: of so many steps that differ.
fn sums_of(sums: &[f32], given: usize, map: Shape, (y, rows): (usize, usize)) -> Sums<'_> {
    let block = rows * map.width * LANES;
    let step = if given == 1 { 0 } else { map.channels.div_ceil(LANES) * block };
    Sums { sums, block, step, y, rows }
}
