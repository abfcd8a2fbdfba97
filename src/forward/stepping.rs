//! Populations that run step by step, for a layer leads back among them: the sums of one step, and the neurons that go
//! on from where the step before left them.

use std::cell::RefCell;
use std::sync::Arc;

use rayon::prelude::*;

use super::columns::Columns;
use super::currents::{Geometry, Images};
use super::join::add_sums;
use super::laid::{Band, Laid};
use super::neurons::{Lanes, Memory, Neurons, Sums};
use super::sums::Scratch;
use super::walk::{Fired, Signal, Taken};
use crate::kernels::digits::LANES;
use crate::network::varied::Varied;
use crate::plan::LayerPlan;

/// A population of some images, between two steps.
pub struct Stepping<'a> {
    leader: &'a LayerPlan,
    neurons: Neurons,
    memories: Vec<Memory>,
    /// Its currents, an image each: of every step as far as they are known.
    pub known: Images,
}

/// A layer's norms at a step, `[blocks]`, and its sums there, `[blocks, pixels, 16]` of each image.
pub type StepSums = (Vec<[Lanes; 2]>, Images);

impl<'a> Stepping<'a> {
    /// A population before its first step, with the share of its currents that is known of all steps, and with
    /// constants of its own where these differ.
    pub fn new(leader: &'a LayerPlan, known: Images, varied: Option<Arc<Varied>>) -> Self {
        let neurons = Neurons::of_currents(leader, 1, varied);
        Stepping { leader, memories: known.iter().map(|_| neurons.memory()).collect(), neurons, known }
    }

    /// Adds what leads there at step `t` to the currents, and runs the neurons; gives currents too where they are lent.
    pub fn step(&mut self, t: usize, sums: &[StepSums], taken: &Taken, lends: bool) -> Vec<Fired> {
        let Stepping { leader, neurons, memories, known } = self;
        let geometry = Geometry::of_map(leader.map(), 1, 1);
        let fire = |(image, (known, memory)): (usize, (&mut Vec<f32>, &mut Memory))| {
            let current = &mut known[t * geometry.step()..][..geometry.step()];
            for (norms, sums) in sums {
                add_sums(geometry, &leader.lif, norms, Sums::whole(&sums[image], geometry), current);
            }
            taken.add_to(geometry, &leader.lif, image, current);
            let (mut pulses, mut spikes) = (leader.pulses(1), vec![0]);
            neurons.scan_on(memory, Sums::whole(current, geometry), 0, &mut pulses, &mut spikes);
            Fired { pulses, spikes, current: lends.then(|| current.to_vec()) }
        };
        known.par_iter_mut().zip(memories).enumerate().map(fire).collect()
    }
}

/// Work space of a thread.
#[derive(Default)]
struct StepScratch {
    laid: Laid,
    scratch: Scratch,
}

thread_local! {
    static SPACE: RefCell<StepScratch> = RefCell::default();
}

/// The sums that a layer gives at step `t` on a signal of that step alone. Inputs are shown as they are laid out, of a
/// convolution to the thread that has an image, and that must not wait for others.
pub fn step_sums(
    columns: &Columns,
    plan: &LayerPlan,
    t: usize,
    (signal, images): (&Signal, usize),
    see: impl Fn(&Laid) + Sync,
) -> Images {
    let (columns, geometry) = (columns.at(t), Geometry::of(plan, images, 1));
    if plan.convolves() {
        let convolve = |image| {
            let mut sums = vec![0.0; geometry.image()];
            SPACE.with_borrow_mut(|StepScratch { laid, scratch }| {
                signal.lay_out(columns, image, 1, laid);
                see(laid);
                columns.sums(laid, Band { map: 0, y: 0, rows: geometry.height, maps: 1 }, scratch, &mut sums);
            });
            sums
        };
        return (0..images).into_par_iter().map(convolve).collect();
    }
    let laid = signal.lay_out_all(columns);
    see(&laid);
    let sums = columns.connect(&laid);
    let lanes = |image: usize| sums.chunks(images * LANES).flat_map(move |block| &block[image * LANES..][..LANES]);
    (0..images).map(|image| lanes(image).copied().collect()).collect()
}

/// Norms `[blocks, steps]` at step `t`.
pub fn norms_at(norms: &[[Lanes; 2]], t: usize, steps: usize) -> Vec<[Lanes; 2]> {
    norms.chunks(steps).map(|steps| steps[t]).collect()
}
