//! Leaky integrate-and-fire neurons of one layer, scanned over all steps, and the pool behind them. Their arithmetic is
//! that of [`crate::network::lif`]. (The method writes the spike as `u/θ − 1 > 0`: the same without a division.)

use std::sync::Arc;

use super::currents::Geometry;
use crate::kernels::digits::LANES;
use crate::kernels::vectorised;
use crate::network::Lif;
use crate::network::dynamics::{Dynamics, State};
use crate::network::lif::Fixed;
use crate::network::pulses::Pulses;
use crate::network::varied::Varied;
use crate::numeric::Shape;
use crate::plan::LayerPlan;

/// Values of the channels of a block.
pub type Lanes = [f32; LANES];

/// A layer's neurons.
pub struct Neurons {
    /// Constants and arithmetic.
    pub neuron: Lif,
    output: Shape,
    /// The pooling window.
    pub pool: (usize, usize),
    pooled: Shape,
    /// Gain and offset, `[blocks, steps]`.
    pub norms: Vec<[Lanes; 2]>,
    /// The constants of each neuron, where they differ.
    pub varied: Option<Arc<Varied>>,
    steps: usize,
}

/// Sums of some rows of pixels: block `b`, step `t`, pixel `p` from `b·block + t·step + 16·p`.
#[derive(Clone, Copy)]
pub struct Sums<'a> {
    /// The sums.
    pub sums: &'a [f32],
    /// Floats from block to block.
    pub block: usize,
    /// Floats from step to step; 0 where every step has the same.
    pub step: usize,
    /// First row of pixels.
    pub y: usize,
    /// Rows of pixels.
    pub rows: usize,
}

/// The state that the neurons of a map keep from step to step, `[blocks, pixels]`.
pub enum Memory {
    /// Membrane potentials.
    Plain(Vec<Lanes>),
    /// All that general neurons keep.
    General(Vec<States>),
    /// The state of neurons whose constants differ.
    Varied(Vec<VariedStates>),
}

impl<'a> Sums<'a> {
    /// The sums, or currents, of all pixels of an image, `[steps, blocks, pixels, 16]`.
    pub fn whole(sums: &'a [f32], geometry: Geometry) -> Self {
        Sums { sums, block: geometry.block(), step: geometry.step(), y: 0, rows: geometry.height }
    }
}

impl Neurons {
    /// The neurons of a layer with norms `[blocks, steps]`, and with constants of their own where these differ.
    pub fn new(plan: &LayerPlan, norms: Vec<[Lanes; 2]>, varied: Option<Arc<Varied>>) -> Self {
        let steps = norms.len() / plan.columns().div_ceil(LANES);
        Neurons { neuron: plan.lif, output: plan.map(), pool: plan.pool, pooled: plan.pooled(), norms, varied, steps }
    }

    /// Neurons of a layer whose sums are their currents as they are, without gain or offset, over so many steps.
    pub fn of_currents(plan: &LayerPlan, steps: usize, varied: Option<Arc<Varied>>) -> Self {
        Self::new(plan, vec![[[1.0; LANES], [0.0; LANES]]; plan.columns().div_ceil(LANES) * steps], varied)
    }

    /// The memory of neurons before the first step.
    pub fn memory(&self) -> Memory {
        let (blocks, pixels) = (self.norms.len() / self.steps, self.output.height * self.output.width);
        match (&self.varied, self.neuron.general) {
            (Some(varied), _) => {
                let places = (0..blocks).flat_map(|block| (0..pixels).map(move |pixel| (block, pixel)));
                Memory::Varied(places.map(|(block, pixel)| VariedStates::new(varied, block, pixel)).collect())
            }
            (None, Some(_)) => Memory::General(vec![States::default(); blocks * pixels]),
            (None, None) => Memory::Plain(vec![[0.0; LANES]; blocks * pixels]),
        }
    }

    /// Scans some rows of pixels, whole pooling windows: writes their pulses, the number of spikes in each window, to
    /// the maps from `first` on, and adds the spikes per step, before the pool, to `fired`.
    pub fn scan(&self, sums: Sums, first: usize, pulses: &mut Pulses, fired: &mut [u64]) {
        self.scan_with(None, sums, (first, pulses, fired));
    }

    /// Scans all rows on from where the memory stands, and leaves it where they end.
    pub fn scan_on(&self, memory: &mut Memory, sums: Sums, first: usize, pulses: &mut Pulses, fired: &mut [u64]) {
        self.scan_with(Some(memory), sums, (first, pulses, fired));
    }

    fn scan_with(&self, memory: Option<&mut Memory>, sums: Sums, out: Out) {
        let (mut plain, mut general, mut placed) = (None, None, None);
        match memory {
            Some(Memory::Plain(memory)) => plain = Some(&mut memory[..]),
            Some(Memory::General(memory)) => general = Some(&mut memory[..]),
            Some(Memory::Varied(memory)) => placed = Some(&mut memory[..]),
            None => {}
        }
        match (&self.varied, self.neuron.general, self.neuron.fixed) {
            (Some(varied), _, _) => scan_varied(self, varied, sums, out, placed),
            (None, None, None) => scan(self, sums, out, plain),
            (None, None, Some(fixed)) => scan_fixed(self, fixed, sums, out, plain),
            (None, Some(dynamics), None) => scan_general(self, &dynamics, sums, out, general),
            (None, Some(dynamics), Some(fixed)) => scan_general_fixed(self, (&dynamics, fixed), sums, out, general),
        }
    }
}

/// Gains and offsets `[steps, columns]` of a layer as `[blocks, steps]`.
pub fn norms(columns: usize, gain: &[f32], offset: &[f32]) -> Vec<[Lanes; 2]> {
    let steps = gain.len() / columns;
    let lanes = |values: &[f32], t: usize, block: usize| {
        let mut lanes = [0.0; LANES];
        let from = t * columns + block * LANES;
        let to = (from + LANES).min((t + 1) * columns);
        lanes[..to - from].copy_from_slice(&values[from..to]);
        lanes
    };
    let place = (0..columns.div_ceil(LANES)).flat_map(|block| (0..steps).map(move |t| (t, block)));
    place.map(|(t, b)| [lanes(gain, t, b), lanes(offset, t, b)]).collect()
}

/// Pixels of a row that are scanned together: their membranes stay in the first cache, and steps are read in long runs.
const PIXELS: usize = 16;

/// The first map that pulses go to, these, and the spikes of each step.
type Out<'o> = (usize, &'o mut Pulses, &'o mut [u64]);

vectorised! {
    fn scan(neurons: &Neurons, sums: Sums, out: Out, memory: Option<&mut [Lanes]>) {
        let Lif { leak, threshold, .. } = neurons.neuron;
        let advance = |u, gain, sum, offset| leak * u + (gain * sum + offset);
        scan_by(neurons, sums, out, (memory, |_, _| [0.0; LANES]), subtracting(threshold, advance));
    }
}

vectorised! {
    fn scan_fixed(neurons: &Neurons, fixed: Fixed, sums: Sums, out: Out, memory: Option<&mut [Lanes]>) {
        let Lif { leak, threshold, .. } = neurons.neuron;
        let advance = |u, gain, sum, offset| fixed.advance(leak, u, gain, sum, offset);
        scan_by(neurons, sums, out, (memory, |_, _| [0.0; LANES]), subtracting(threshold, advance));
    }
}

vectorised! {
    fn scan_general(neurons: &Neurons, dynamics: &Dynamics, sums: Sums, out: Out, memory: Option<&mut [States]>) {
        let Lif { leak, threshold, .. } = neurons.neuron;
        let step =
            |state: &mut State, gain, sum, offset| state.step((leak, threshold), dynamics, gain * sum + offset).spike;
        scan_by(neurons, sums, out, (memory, |_, _| States::default()), stepping(step));
    }
}

vectorised! {
    fn scan_general_fixed(
        neurons: &Neurons,
        ways: (&Dynamics, Fixed),
        sums: Sums,
        out: Out,
        memory: Option<&mut [States]>,
    ) {
        let (dynamics, fixed) = ways;
        let Lif { leak, threshold, .. } = neurons.neuron;
        let step = |state: &mut State, gain, sum, offset| {
            fixed.step(state, (leak, threshold), dynamics, neurons.neuron.share(gain, sum, offset)).spike
        };
        scan_by(neurons, sums, out, (memory, |_, _| States::default()), stepping(step));
    }
}

vectorised! {
    fn scan_varied(neurons: &Neurons, varied: &Varied, sums: Sums, out: Out, memory: Option<&mut [VariedStates]>) {
        let fire = |placed: &mut VariedStates, sums: &Lanes, [gain, offset]: &[Lanes; 2], counts: &mut [u16; LANES]| {
            let lanes = &varied.lanes[placed.index];
            for o in 0..LANES {
                let (constants, dynamics) = lanes.at(o, &varied.common);
                let current = neurons.neuron.share(gain[o], sums[o], offset[o]);
                let mut state = placed.states.get(o);
                counts[o] += u16::from(neurons.neuron.step(&mut state, constants, &dynamics, current).spike);
                placed.states.put(o, state);
            }
        };
        scan_by(neurons, sums, out, (memory, |block, pixel| VariedStates::new(varied, block, pixel)), fire);
    }
}

/// The states of neurons whose constants differ, and where these are.
#[derive(Clone, Copy, Default)]
pub struct VariedStates {
    /// The states.
    pub states: States,
    /// The number of their constants.
    pub index: usize,
}

impl VariedStates {
    /// The states at a pixel before the first step.
    pub fn new(varied: &Varied, block: usize, pixel: usize) -> Self {
        VariedStates { states: States::default(), index: varied.index(block, pixel) }
    }
}

/// The states that the neurons of a block of channels keep from step to step.
#[derive(Clone, Copy, Default)]
pub struct States {
    membrane: Lanes,
    synaptic: Lanes,
    adapted: Lanes,
    fired: Lanes,
    rest: Lanes,
}

impl States {
    /// The state of channel `o`.
    #[inline(always)]
    pub fn get(&self, o: usize) -> State {
        let States { membrane, synaptic, adapted, fired, rest } = self;
        State { membrane: membrane[o], synaptic: synaptic[o], adapted: adapted[o], fired: fired[o], rest: rest[o] }
    }

    /// Sets the state of channel `o`.
    #[inline(always)]
    pub fn put(&mut self, o: usize, state: State) {
        self.membrane[o] = state.membrane;
        self.synaptic[o] = state.synaptic;
        self.adapted[o] = state.adapted;
        self.fired[o] = state.fired;
        self.rest[o] = state.rest;
    }
}

/// Takes a step of general neurons by `step(state, gain, sum, offset)`, which says whether one fires.
#[inline(always)]
fn stepping(
    step: impl Fn(&mut State, f32, f32, f32) -> bool,
) -> impl Fn(&mut States, &Lanes, &[Lanes; 2], &mut [u16; LANES]) {
    move |states, sums, [gain, offset], counts| {
        for o in 0..LANES {
            let mut state = states.get(o);
            counts[o] += u16::from(step(&mut state, gain[o], sums[o], offset[o]));
            states.put(o, state);
        }
    }
}

/// Takes a step of neurons that fire above a threshold, which a spike takes away, by `advance(membrane, gain, sum,
/// offset)`, the potential after a step.
#[inline(always)]
fn subtracting(
    threshold: f32,
    advance: impl Fn(f32, f32, f32, f32) -> f32,
) -> impl Fn(&mut Lanes, &Lanes, &[Lanes; 2], &mut [u16; LANES]) {
    move |membrane, sums, [gain, offset], counts| {
        for o in 0..LANES {
            let potential = advance(membrane[o], gain[o], sums[o], offset[o]);
            let spike = potential > threshold;
            membrane[o] = if spike { potential - threshold } else { potential };
            counts[o] += u16::from(spike);
        }
    }
}

/// Scans by `fire(state, sums, norms, counts)`, a step of a pixel's block of channels, whose states stand in the
/// memory, or are made by `begin(block, pixel)`.
#[inline(always)]
fn scan_by<S: Copy + Default>(
    neurons: &Neurons,
    sums: Sums,
    (first, pulses, fired): Out,
    (mut memory, begin): (Option<&mut [S]>, impl Fn(usize, usize) -> S),
    fire: impl Fn(&mut S, &Lanes, &[Lanes; 2], &mut [u16; LANES]),
) {
    let Neurons { output, pool: (high, wide), pooled, steps, .. } = *neurons;
    // Whole windows of a row.
    let chunk = wide * (PIXELS / wide).max(1);
    let windows = chunk / wide;
    let mut totals = vec![[0u32; LANES]; steps];
    let mut counts = vec![[0u16; LANES]; steps * windows];
    let mut fresh = vec![S::default(); chunk];
    for (block, norms) in neurons.norms.chunks(steps).enumerate() {
        for (window_y, x) in
            (0..sums.rows.div_ceil(high)).flat_map(|y| (0..output.width).step_by(chunk).map(move |x| (y, x)))
        {
            let width = chunk.min(output.width - x);
            counts.fill([0; LANES]);
            for y in window_y * high..sums.rows.min((window_y + 1) * high) {
                let from = block * sums.block + (y * output.width + x) * LANES;
                let states = match memory.as_deref_mut() {
                    Some(memory) => &mut memory[(block * output.height + sums.y + y) * output.width + x..][..width],
                    None => {
                        let pixel = (sums.y + y) * output.width + x;
                        fresh.iter_mut().enumerate().for_each(|(i, state)| *state = begin(block, pixel + i));
                        &mut fresh[..]
                    }
                };
                for (t, (norms, counts)) in norms.iter().zip(counts.chunks_mut(windows)).enumerate() {
                    let sums = sums.sums[from + t * sums.step..][..width * LANES].as_chunks::<LANES>().0;
                    let windows = sums.chunks(wide).zip(states.chunks_mut(wide)).zip(counts);
                    for ((sums, states), counts) in windows {
                        for (sums, state) in sums.iter().zip(states) {
                            fire(state, sums, norms, counts);
                        }
                    }
                }
            }
            let row = sums.y / high + window_y;
            for (t, counts) in counts.chunks(windows).enumerate() {
                for (i, counts) in counts.iter().enumerate() {
                    totals[t].iter_mut().zip(counts).for_each(|(total, count)| *total += u32::from(*count));
                    let column = x / wide + i;
                    if row < pooled.height && column < pooled.width {
                        pulses.put(first + t, row * pooled.width + column, block, counts);
                    }
                }
            }
        }
    }
    for (fired, totals) in fired.iter_mut().zip(totals) {
        *fired += totals.iter().map(|total| u64::from(*total)).sum::<u64>();
    }
}
