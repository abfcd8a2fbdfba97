//! One population's pass: the layers, skips and currents that make up its current, its neurons over all steps, and the way back through
//! them to each of those. Where one layer's sums are all of it, neurons scan these behind its norms; membranes are scanned again on the
//! way back, not kept.

use std::sync::Arc;

use rayon::prelude::*;

use super::currents::{Geometry, Images};
use super::layer::{LayerPass, Values};
use super::neurons::{Scanned, StepBack, WayBack};
use super::operands::{Operands, step_currents};
use super::pools::{current_back, spread};
use super::surrogate::Surrogate;
use crate::forward::join::{Place, add_currents, add_pulses, add_share, add_sums, share};
use crate::forward::neurons::{Lanes, Memory, Neurons, Sums};
use crate::forward::walk::{Currents, Given, Signal, Taken};
use crate::kernels::digits::LANES;
use crate::network::graph::Population;
use crate::network::pulses::Pulses;
use crate::plan::LayerPlan;

/// A population's pass over a batch.
pub struct PopulationPass<'a> {
    leader: &'a LayerPlan,
    population: &'a Population,
    /// Its layers by number; in a cycle those that lead there from outside it.
    pub layers: Vec<(usize, LayerPass<'a>)>,
    skips: Vec<(usize, Arc<Pulses>, f32)>,
    currents: Vec<(usize, Currents)>,
    neurons: Neurons,
    geometry: Geometry,
    cycle: Option<Cycle<'a>>,
}

/// What a population keeps that runs step by step.
struct Cycle<'a> {
    /// Its current of each image, as far as it is known.
    known: Images,
    memories: Vec<Memory>,
    /// The layers that lead to it within the cycle.
    inside: Vec<Inside<'a>>,
}

/// A layer within a cycle.
pub struct Inside<'a> {
    /// Its number.
    pub number: usize,
    /// Its plan.
    pub plan: &'a LayerPlan,
    /// Its operands.
    pub operands: &'a Operands,
    /// Gain and offset, `[blocks, steps]`.
    pub norms: Vec<[Lanes; 2]>,
    currents: Images,
    seen: Vec<Arc<Pulses>>,
}

impl<'a> Inside<'a> {
    /// A layer before the first step.
    pub fn new(number: usize, plan: &'a LayerPlan, operands: &'a Operands, norms: Vec<[Lanes; 2]>) -> Self {
        Inside { number, plan, operands, norms, currents: vec![], seen: vec![] }
    }
}

impl<'a> PopulationPass<'a> {
    /// A population, led by this layer, with the layers that lead to it and the rest that does.
    pub fn new(
        leader: &'a LayerPlan,
        population: &'a Population,
        layers: Vec<(usize, LayerPass<'a>)>,
        rest: Taken<'a>,
        (images, steps): (usize, usize),
    ) -> Self {
        let Taken { skips, currents, .. } = rest;
        // What runs step by step may have nothing that leads there beforehand.
        let neurons = match layers.first().filter(|_| !population.joins()) {
            Some((_, layer)) => Neurons::new(leader, layer.norms.clone()),
            None => Neurons::of_currents(leader, steps),
        };
        let geometry = Geometry::of_map(leader.map(), images, steps);
        PopulationPass { leader, population, layers, skips, currents, neurons, geometry, cycle: None }
    }

    /// Its pulses behind the pool, and its currents where others take them; and how many spikes it fired.
    pub fn fire(&mut self) -> (Given, u64) {
        let Geometry { images, steps, .. } = self.geometry;
        let scan = |sums: Sums| {
            let (mut pulses, mut spikes) = (self.leader.pulses(steps), vec![0; steps]);
            self.neurons.scan(sums, 0, &mut pulses, &mut spikes);
            (pulses, spikes.iter().sum::<u64>())
        };
        let fire = |image: usize| {
            if !self.population.joins() {
                return (scan(self.layers[0].1.sums(image)), None);
            }
            let current = self.current(image);
            let fired = scan(sums_of(&current, self.geometry));
            (fired, Some(current).filter(|_| self.population.lends))
        };
        let (fired, currents): (Vec<_>, Vec<_>) = (0..images).into_par_iter().map(fire).unzip();
        let (pulses, spikes): (Vec<_>, Vec<u64>) = fired.into_iter().unzip();
        self.layers.iter_mut().for_each(|(_, layer)| layer.spare_currents());
        let pulses = Pulses::concatenate(pulses).expect("a batch has an image");
        let currents: Option<Images> = currents.into_iter().collect();
        (Given { pulses, currents: currents.map(Arc::new) }, spikes.iter().sum())
    }

    fn place(&self, steps: usize) -> Place {
        Place::whole(self.leader.map(), steps)
    }

    /// The current of an image over all steps, from what is there of all of them.
    fn current(&self, image: usize) -> Vec<f32> {
        let (place, lif) = (self.place(self.geometry.steps), &self.leader.lif);
        let mut current = vec![0.0; place.floats()];
        for (_, layer) in &self.layers {
            add_share(place, layer.plan, &layer.norms, layer.sums(image), &mut current);
        }
        for (_, pulses, unit) in &self.skips {
            add_pulses(place, lif, *unit, (pulses, image * place.steps), &mut current);
        }
        for (_, other) in &self.currents {
            add_currents(place, &other[image], &mut current);
        }
        current
    }

    /// Begins to run step by step, with the layers that lead there within the cycle.
    pub fn enter(&mut self, inside: Vec<Inside<'a>>) {
        let images = self.geometry.images;
        let known = (0..images).into_par_iter().map(|image| self.current(image)).collect();
        self.neurons = Neurons::of_currents(self.leader, 1);
        let memories = (0..images).map(|_| self.neurons.memory()).collect();
        self.layers.iter_mut().for_each(|(_, layer)| layer.spare_currents());
        self.cycle = Some(Cycle { known, memories, inside });
    }

    /// Runs step `t` on what leads there within the cycle; gives its spikes, too.
    pub fn step(&mut self, t: usize, taken: Taken<'a>) -> (Given, u64) {
        let (images, place, lends) = (self.geometry.images, self.place(1), self.population.lends);
        let (leader, neurons, steps) = (self.leader, &self.neurons, self.geometry.steps);
        let Some(Cycle { known, memories, inside }) = &mut self.cycle else { unreachable!("it was entered") };
        let mut made: Vec<(Vec<[Lanes; 2]>, Images)> = vec![];
        for (l, signal) in &taken.layers {
            let layer = inside.iter_mut().find(|layer| layer.number == *l).expect("a layer of the cycle");
            let currents = step_currents(signal, layer.plan, layer.operands, t, images);
            layer.currents.resize(images, vec![]);
            layer.currents.iter_mut().zip(&currents).for_each(|(all, step)| all.extend(step));
            if let Signal::Pulses(pulses) = signal {
                layer.seen.push(pulses.clone());
            }
            made.push((layer.norms.chunks(steps).map(|steps| steps[t]).collect(), currents));
        }
        let fire = |(image, (known, memory)): (usize, (&mut Vec<f32>, &mut Memory))| {
            let current = &mut known[t * place.floats()..][..place.floats()];
            let block = place.pixels * LANES;
            let rows = leader.map().height;
            for (norms, sums) in &made {
                add_sums(place, &leader.lif, norms, Sums { sums: &sums[image], block, step: 0, y: 0, rows }, current);
            }
            for (_, pulses, unit) in &taken.skips {
                add_pulses(place, &leader.lif, *unit, (pulses, image), current);
            }
            for (_, other) in &taken.currents {
                add_currents(place, &other[image], current);
            }
            let (mut pulses, mut spikes) = (leader.pulses(1), [0]);
            neurons.scan_on(memory, Sums { sums: current, block, step: 0, y: 0, rows }, 0, &mut pulses, &mut spikes);
            ((pulses, spikes[0]), lends.then(|| current.to_vec()))
        };
        let all = known.par_iter_mut().zip(memories).enumerate();
        let (fired, currents): (Vec<_>, Vec<_>) = all.map(fire).unzip();
        let (pulses, spikes): (Vec<_>, Vec<u64>) = fired.into_iter().unzip();
        let currents: Option<Images> = currents.into_iter().collect();
        let pulses = Pulses::concatenate(pulses).expect("a batch has an image");
        (Given { pulses, currents: currents.map(Arc::new) }, spikes.iter().sum())
    }

    /// Backpropagates ∂loss/∂pulses behind the pool, and what others that take its current add to ∂loss/∂current, to the latter alone.
    pub fn backward(
        &mut self,
        gradient: Images,
        borrowed: Option<Images>,
        means: Option<&[[f32; LANES]]>,
        (surrogate, slope): (Surrogate, f32),
    ) -> Back {
        let geometry = self.geometry;
        // A slope of every spike reaches those too that the pool leaves out.
        let (gradient, pool) = match slope == 0.0 {
            true => (gradient, self.leader.pool),
            false => (with_slope(spread(self.leader, &gradient), slope), (1, 1)),
        };
        let pooled = Geometry::pooled(self.leader, geometry.images, geometry.steps);
        self.layers.iter_mut().for_each(|(_, layer)| layer.ensure_currents());
        let joins = self.population.joins();
        let currents: Images = match joins {
            false => self.layers[0].1.take_currents(),
            true => (0..geometry.images).into_par_iter().map(|image| self.current(image)).collect(),
        };
        let still = vec![[0.0; LANES]; geometry.blocks * geometry.steps];
        let back = WayBack { neurons: &self.neurons, means: means.unwrap_or(&still), surrogate, geometry, pooled };
        let scan = |(gradient, currents): (Vec<f32>, Vec<f32>)| {
            let (gradient, mut dz) = match pool {
                (1, 1) => (None, gradient),
                _ => (Some(gradient), vec![0.0; currents.len()]),
            };
            let scanned = back.through(&currents, gradient.as_deref(), &mut dz);
            (scanned, (currents, dz))
        };
        let (scanned, values): (Vec<_>, Vec<Values>) = gradient.into_par_iter().zip(currents).map(scan).unzip();
        if !joins {
            return Back::Alone(scanned, values);
        }
        let mut dz: Images = values.into_iter().map(|(_, dz)| dz).collect();
        if let Some(borrowed) = borrowed {
            add(&mut dz, &borrowed);
        }
        Back::Joined(dz)
    }

    /// The way back through each image's neurons step by step.
    pub fn by_step(&self, surrogate: Surrogate) -> Vec<Box<dyn StepBack + '_>> {
        let (geometry, pooled) =
            (self.geometry, Geometry::pooled(self.leader, self.geometry.images, self.geometry.steps));
        let back = WayBack { neurons: &self.neurons, means: &[], surrogate, geometry, pooled };
        let known = self.cycle.iter().flat_map(|cycle| &cycle.known);
        known.map(|current| back.by_step(current)).collect()
    }

    /// The layers that lead there within a cycle that it was in, as if they had run over all steps at once.
    pub fn close(&mut self) -> Vec<(usize, LayerPass<'a>)> {
        let inside = self.cycle.iter_mut().flat_map(|cycle| std::mem::take(&mut cycle.inside));
        let sizes = (self.geometry.images, self.geometry.steps);
        let close = |Inside { number, plan, operands, norms, currents, seen }| {
            let seen: Vec<Pulses> = seen.iter().map(|pulses| (**pulses).clone()).collect();
            let signal = Signal::Pulses(Arc::new(Pulses::of_steps(&seen)));
            (number, LayerPass::of_steps(plan, sizes, operands, norms, (currents, signal)))
        };
        inside.map(close).collect()
    }

    /// The values of a layer and what ∂z amounts to there, from ∂z of all images.
    pub fn values(layer: &mut LayerPass, dz: &Images, means: Option<&[[f32; LANES]]>) -> (Vec<Scanned>, Vec<Values>) {
        let (currents, geometry, plan) = (layer.take_currents(), layer.geometry, layer.plan);
        let norms = &layer.norms;
        let of = |(currents, dz): (Vec<f32>, &Vec<f32>)| {
            let dz = match &plan.before {
                None => dz.clone(),
                Some(pooling) => {
                    let (block, step) = (geometry.block(), geometry.step());
                    let sums = Sums { sums: &currents, block, step, y: 0, rows: geometry.height };
                    let share = share(plan, norms, sums, geometry.steps);
                    current_back(pooling, plan.output, &share, dz)
                }
            };
            (Scanned::of(&currents, &dz, means.unwrap_or(&[]), geometry), (currents, dz))
        };
        currents.into_par_iter().zip(dz).map(of).unzip()
    }

    /// The nodes whose pulses joined its current from outside a cycle, with the value of one.
    pub fn skips(&self) -> impl Iterator<Item = (usize, f32)> {
        self.skips.iter().map(|(node, _, unit)| (*node, *unit))
    }

    /// The nodes whose neurons' current joined it from outside a cycle.
    pub fn borrows(&self) -> impl Iterator<Item = usize> {
        self.currents.iter().map(|(node, _)| *node)
    }

    /// How its current stands.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The layer that leads it.
    pub fn leader(&self) -> &'a LayerPlan {
        self.leader
    }
}

/// ∂loss/∂current of a population.
pub enum Back {
    /// Of one whose current is one layer's: its sums and values.
    Alone(Vec<Scanned>, Vec<Values>),
    /// Of one whose current several make up.
    Joined(Images),
}

/// Gradients of spikes with a slope that each has beside.
pub fn with_slope(mut gradient: Images, slope: f32) -> Images {
    if slope != 0.0 {
        gradient.par_iter_mut().for_each(|image| image.iter_mut().for_each(|g| *g += slope));
    }
    gradient
}

/// Adds values image by image.
pub fn add(sum: &mut Images, more: &Images) {
    sum.par_iter_mut().zip(more).for_each(|(sum, more)| sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more));
}

fn sums_of(current: &[f32], geometry: Geometry) -> Sums<'_> {
    Sums { sums: current, block: geometry.block(), step: geometry.step(), y: 0, rows: geometry.height }
}
