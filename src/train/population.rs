//! One population's pass: the layers, skips and currents that make up its current, its neurons over all steps, and the
//! way back through them to each of those. Where one layer's sums are all of it, neurons scan these behind its norms;
//! membranes are scanned again on the way back, not kept.

use std::sync::Arc;

use rayon::prelude::*;

use super::layer::{CurrentsAndGradient, LayerPass};
use super::neurons::{Scanned, StepBack, WayBack};
use super::operands::Operands;
use super::pools::{current_back, spread};
use super::steps::Moved;
use super::surrogate::Surrogate;
use crate::forward::currents::{Geometry, Images};
use crate::forward::join::{add_share, share};
use crate::forward::laid::Times;
use crate::forward::neurons::{Lanes, Neurons, Sums};
use crate::forward::stepping::{StepSums, Stepping, norms_at, step_sums};
use crate::forward::walk::{Fired, Given, Signal, Taken};
use crate::kernels::digits::LANES;
use crate::network::graph::Population;
use crate::network::pulses::Pulses;
use crate::network::varied::Varied;
use crate::plan::LayerPlan;

/// A population's pass over a batch.
pub struct PopulationPass<'a> {
    leader: &'a LayerPlan,
    population: &'a Population,
    /// Its layers by number; in a cycle those that lead there from outside it.
    pub layers: Vec<(usize, LayerPass<'a>)>,
    /// Pulses and currents that join its current beside them; in a cycle those from outside it.
    rest: Taken<'a>,
    neurons: Neurons,
    geometry: Geometry,
    cycle: Option<Cycle<'a>>,
}

/// The state of a population that runs step by step.
struct Cycle<'a> {
    stepping: Stepping<'a>,
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
    /// A population, led by this layer, with the layers that lead to it and the rest that does, and with constants of
    /// its own where these differ.
    pub fn new(
        leader: &'a LayerPlan,
        population: &'a Population,
        layers: Vec<(usize, LayerPass<'a>)>,
        rest: Taken<'a>,
        (images, steps): (usize, usize),
        varied: Option<Arc<Varied>>,
    ) -> Self {
        // A population that runs step by step may have no layer that leads there beforehand.
        let neurons = match layers.first().filter(|_| !population.joins()) {
            Some((_, layer)) => Neurons::new(leader, layer.norms.clone(), varied),
            None => Neurons::of_currents(leader, steps, varied),
        };
        let geometry = Geometry::of_map(leader.map(), images, steps);
        PopulationPass { leader, population, layers, rest, neurons, geometry, cycle: None }
    }

    /// Its pulses behind the pool, and its currents where others take them; and how many spikes it fired.
    pub fn fire(&mut self) -> (Given, u64) {
        let Geometry { images, steps, .. } = self.geometry;
        let (joins, lends) = (self.population.joins(), self.population.lends);
        let fire = |image: usize| {
            let (mut pulses, mut spikes) = (self.leader.pulses(steps), vec![0; steps]);
            let current = joins.then(|| self.current(image));
            let sums = match &current {
                Some(current) => Sums::whole(current, self.geometry),
                None => self.layers[0].1.sums(image),
            };
            self.neurons.scan(sums, 0, &mut pulses, &mut spikes);
            Fired { pulses, spikes, current: current.filter(|_| lends) }
        };
        let fired = (0..images).into_par_iter().map(fire).collect();
        self.layers.iter_mut().for_each(|(_, layer)| layer.spare_currents());
        with_spikes(fired)
    }

    /// The current of an image over all steps, from what is there of all of them.
    fn current(&self, image: usize) -> Vec<f32> {
        let mut current = vec![0.0; self.geometry.image()];
        for (_, layer) in &self.layers {
            add_share(self.geometry, layer.plan, &layer.norms, layer.sums(image), &mut current);
        }
        self.rest.add_to(self.geometry, &self.leader.lif, image, &mut current);
        current
    }

    /// Begins to run step by step, with the layers that lead there within the cycle.
    pub fn enter(&mut self, inside: Vec<Inside<'a>>) {
        let known = (0..self.geometry.images).into_par_iter().map(|image| self.current(image)).collect();
        let varied = self.neurons.varied.take();
        self.neurons = Neurons::of_currents(self.leader, 1, varied.clone());
        self.layers.iter_mut().for_each(|(_, layer)| layer.spare_currents());
        self.cycle = Some(Cycle { stepping: Stepping::new(self.leader, known, varied), inside });
    }

    /// Runs step `t` on what leads there within the cycle; gives its spikes, too.
    pub fn step(&mut self, t: usize, taken: Taken<'a>) -> (Given, u64) {
        let Geometry { images, steps, .. } = self.geometry;
        let Some(Cycle { stepping, inside }) = &mut self.cycle else { unreachable!("it was entered") };
        let mut made: Vec<StepSums> = vec![];
        for (l, signal) in &taken.layers {
            let layer = inside.iter_mut().find(|layer| layer.number == *l).expect("a layer of the cycle");
            let sums = step_sums(&layer.operands.columns, layer.plan, t, (signal, images), |_| {});
            layer.currents.resize(images, vec![]);
            layer.currents.iter_mut().zip(&sums).for_each(|(all, step)| all.extend(step));
            if let Signal::Pulses { pulses, .. } = signal {
                layer.seen.push(pulses.clone());
            }
            made.push((norms_at(&layer.norms, t, steps), sums));
        }
        with_spikes(stepping.step(t, &made, &taken, self.population.lends))
    }

    /// Backpropagates ∂loss/∂pulses behind the pool, and what others that take its current add to ∂loss/∂current, to
    /// the latter alone; gives the gradients of its neurons' own constants, too.
    pub fn backward(
        &mut self,
        gradient: Images,
        borrowed: Option<Images>,
        means: Option<&[[f32; LANES]]>,
        (surrogate, slope): (Surrogate, f32),
    ) -> (Back, Moved) {
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
        let (scanned, values): (Vec<_>, Vec<CurrentsAndGradient>) =
            gradient.into_par_iter().zip(currents).map(scan).unzip();
        let moved = total(scanned.iter().map(|scanned| &scanned.moved));
        if !joins {
            return (Back::Alone(scanned, values), moved);
        }
        let mut dz: Images = values.into_iter().map(|(_, dz)| dz).collect();
        if let Some(borrowed) = borrowed {
            add(&mut dz, &borrowed);
        }
        (Back::Joined(dz), moved)
    }

    /// The way back through each image's neurons step by step.
    pub fn by_step(&self, surrogate: Surrogate) -> Vec<Box<dyn StepBack + '_>> {
        let (geometry, pooled) =
            (self.geometry, Geometry::pooled(self.leader, self.geometry.images, self.geometry.steps));
        let back = WayBack { neurons: &self.neurons, means: &[], surrogate, geometry, pooled };
        let known = self.cycle.iter().flat_map(|cycle| &cycle.stepping.known);
        known.map(|current| back.by_step(current)).collect()
    }

    /// The layers that lead there within a cycle that it was in, as if they had run over all steps at once.
    pub fn close(&mut self) -> Vec<(usize, LayerPass<'a>)> {
        let inside = self.cycle.iter_mut().flat_map(|cycle| std::mem::take(&mut cycle.inside));
        let sizes = (self.geometry.images, self.geometry.steps);
        let close = |Inside { number, plan, operands, norms, currents, seen }| {
            let seen: Vec<Pulses> = seen.iter().map(|pulses| (**pulses).clone()).collect();
            // Its currents are kept: nothing is converted again.
            let signal = Signal::Pulses { pulses: Arc::new(Pulses::of_steps(&seen)), times: Times::default() };
            (number, LayerPass::of_steps(plan, sizes, operands, norms, (currents, signal)))
        };
        inside.map(close).collect()
    }

    /// The values of a layer and what ∂z amounts to there, from ∂z of all images.
    pub fn values(
        layer: &mut LayerPass,
        dz: &Images,
        means: Option<&[[f32; LANES]]>,
    ) -> (Vec<Scanned>, Vec<CurrentsAndGradient>) {
        let (currents, geometry, plan) = (layer.take_currents(), layer.geometry, layer.plan);
        let norms = &layer.norms;
        let of = |(currents, dz): (Vec<f32>, &Vec<f32>)| {
            let dz = match &plan.before {
                None => dz.clone(),
                Some(pooling) => {
                    let share = share(plan, norms, Sums::whole(&currents, geometry), geometry.steps);
                    current_back(pooling, plan.output, &share, dz)
                }
            };
            (Scanned::of(&currents, &dz, means.unwrap_or(&[]), geometry), (currents, dz))
        };
        currents.into_par_iter().zip(dz).map(of).unzip()
    }

    /// The nodes whose pulses joined its current from outside a cycle, with the value of one.
    pub fn skips(&self) -> impl Iterator<Item = (usize, f32)> {
        self.rest.skips.iter().map(|(node, _, unit)| (*node, *unit))
    }

    /// The nodes whose neurons' current joined it from outside a cycle.
    pub fn borrows(&self) -> impl Iterator<Item = usize> {
        self.rest.currents.iter().map(|(node, _)| *node)
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
    /// The current is one layer's: its sums and values.
    Alone(Vec<Scanned>, Vec<CurrentsAndGradient>),
    /// The current is a sum of several.
    Joined(Images),
}

/// Gradients of spikes with a slope that each has beside.
pub fn with_slope(mut gradient: Images, slope: f32) -> Images {
    if slope != 0.0 {
        gradient.par_iter_mut().for_each(|image| image.iter_mut().for_each(|g| *g += slope));
    }
    gradient
}

/// Sums of gradients of neurons' own constants, image by image.
pub fn total<'m>(images: impl Iterator<Item = &'m Moved>) -> Moved {
    let mut sums: Moved = vec![];
    for moved in images {
        sums.resize(moved.len(), [[0.0; LANES]; 3]);
        sums.iter_mut()
            .flatten()
            .flatten()
            .zip(moved.iter().flatten().flatten())
            .for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// Adds values image by image.
pub fn add(sum: &mut Images, more: &Images) {
    sum.par_iter_mut().zip(more).for_each(|(sum, more)| sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more));
}

/// Joins what neurons gave image by image to what they give for the batch, and sums their spikes.
fn with_spikes(fired: Vec<Fired>) -> (Given, u64) {
    let mut spikes = 0;
    let given = Given::of_images(fired, |_, of_image| spikes += of_image.iter().sum::<u64>());
    (given, spikes)
}
