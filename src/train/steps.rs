//! The neurons' steps in training, forward and back: a plain neuron, and a general one. The spikes of resets and
//! adaptation are outside the gradient.

use crate::forward::neurons::States;
use crate::kernels::digits::LANES;
use crate::network::Lif;
use crate::network::dynamics::{Dynamics, State};

/// The gradients of leaks, thresholds and synaptic leaks of neurons that differ, as
/// [`Varied`](crate::network::varied::Varied) has them.
pub type Moved = Vec<[[f64; LANES]; 3]>;

/// The steps of a neuron, forward, and what gradients pass on the way back.
pub trait Steps {
    /// The state that a block of channels keeps from step to step.
    type BlockState: Copy + Default;
    /// The part of a step that the way back needs.
    type Tape: Copy + Default;
    /// The gradients that are carried to the step before.
    type Adjoint: Copy + Default;

    /// A step on currents under norms.
    fn forward(&self, state: &mut Self::BlockState, norms: &[[f32; LANES]; 2], x: &[f32; LANES]) -> Self::Tape;

    /// ∂z of a step, channel `o`, from ∂loss/∂spike.
    fn back(&self, kept: &Self::Tape, carried: &mut Self::Adjoint, o: usize, spike: f32) -> f32;

    /// The state of a block of channels at a pixel before the first step.
    #[inline(always)]
    fn begin(&self, _block: usize, _pixel: usize) -> Self::BlockState {
        Self::BlockState::default()
    }

    /// How many gradients of constants there are.
    #[inline(always)]
    fn constants(&self) -> usize {
        0
    }

    /// Adds the gradients of constants that were carried to the first step.
    #[inline(always)]
    fn add_moved(&self, _carried: &Self::Adjoint, _moved: &mut Moved) {}
}

/// A leaky neuron that fires above its threshold, which a spike takes away at once.
pub struct Plain<F, S> {
    leak: f32,
    threshold: f32,
    inverse: f32,
    advance: F,
    slope: S,
}

impl<F: Fn(f32, f32, f32, f32) -> f32, S: Fn(f32, f32) -> f32> Plain<F, S> {
    /// A neuron whose potential after a step is `advance(membrane, gain, sum, offset)`.
    #[inline(always)]
    pub fn new(neuron: Lif, advance: F, slope: S) -> Self {
        let Lif { leak, threshold, .. } = neuron;
        Plain { leak, threshold, inverse: 1.0 / threshold, advance, slope }
    }
}

impl<F: Fn(f32, f32, f32, f32) -> f32, S: Fn(f32, f32) -> f32> Steps for Plain<F, S> {
    type BlockState = [f32; LANES];
    type Tape = [f32; LANES];
    type Adjoint = [f32; LANES];

    #[inline(always)]
    fn forward(
        &self,
        membrane: &mut [f32; LANES],
        [gain, offset]: &[[f32; LANES]; 2],
        x: &[f32; LANES],
    ) -> [f32; LANES] {
        let mut potential = [0.0; LANES];
        for o in 0..LANES {
            let u = (self.advance)(membrane[o], gain[o], x[o], offset[o]);
            potential[o] = u;
            membrane[o] = if u > self.threshold { u - self.threshold } else { u };
        }
        potential
    }

    #[inline(always)]
    fn back(&self, potential: &[f32; LANES], carried: &mut [f32; LANES], o: usize, spike: f32) -> f32 {
        let v = potential[o] * self.inverse - 1.0;
        carried[o] = spike * (self.slope)(v, self.inverse) + self.leak * carried[o];
        carried[o]
    }
}

/// A neuron with all that [`Dynamics`] has. The spikes of resets and adaptation are outside the gradient.
pub struct General<'a, S> {
    neuron: Lif,
    dynamics: &'a Dynamics,
    inverse: f32,
    slope: S,
}

impl<'a, S: Fn(f32, f32) -> f32> General<'a, S> {
    /// A neuron with these dynamics.
    #[inline(always)]
    pub fn new(neuron: Lif, dynamics: &'a Dynamics, slope: S) -> Self {
        General { neuron, dynamics, inverse: 1.0 / neuron.threshold, slope }
    }
}

/// A step of such neurons as the way back needs it: the surrogate's slope, and the shares of the potential's gradient
/// that pass on.
#[derive(Clone, Copy, Default)]
pub struct Passing {
    /// ∂spike/∂potential.
    pub slope: [f32; LANES],
    /// The share that what the next step begins with passes to the potential.
    pub kept: [f32; LANES],
    /// The share that the potential's gradient passes to what the step before left.
    pub before: [f32; LANES],
    /// The share that it passes to the step's synaptic current.
    pub input: [f32; LANES],
}

/// The gradients that one step carries to the one before: of the potential that it leaves, and of its synaptic current.
#[derive(Clone, Copy, Default)]
pub struct Carried {
    /// The gradient of the potential.
    pub membrane: [f32; LANES],
    /// The gradient of the synaptic current.
    pub synaptic: [f32; LANES],
}

impl Passing {
    /// Takes a step of channel `o` on a current, and keeps what the way back needs of it; gives v, the distance to the
    /// threshold in units of it.
    #[inline(always)]
    pub fn step(
        &mut self,
        o: usize,
        (neuron, state): (&Lif, &mut State),
        ((leak, threshold), dynamics): ((f32, f32), &Dynamics),
        current: f32,
        (inverse, slope): (f32, impl Fn(f32, f32) -> f32),
    ) -> f32 {
        let last = state.fired;
        let stepped = neuron.step(state, (leak, threshold), dynamics, current);
        let v = (stepped.potential - stepped.threshold) * inverse;
        let slope = slope(v, inverse);
        let is_set = |fired: f32| if dynamics.is_set { 1.0 - fired } else { 1.0 };
        let integrated = if dynamics.next { is_set(last) } else { 1.0 };
        self.slope[o] = if stepped.rests { 0.0 } else { slope };
        self.kept[o] = if dynamics.next { 1.0 } else { is_set(state.fired) };
        self.before[o] = if stepped.rests { integrated } else { leak * integrated };
        self.input[o] = if stepped.rests { 0.0 } else { integrated };
        v
    }
}

impl<S: Fn(f32, f32) -> f32> Steps for General<'_, S> {
    type BlockState = States;
    type Tape = Passing;
    type Adjoint = Carried;

    #[inline(always)]
    fn forward(&self, states: &mut States, [gain, offset]: &[[f32; LANES]; 2], x: &[f32; LANES]) -> Passing {
        let mut passing = Passing::default();
        let Lif { leak, threshold, .. } = self.neuron;
        for o in 0..LANES {
            let mut state = states.get(o);
            let current = self.neuron.share(gain[o], x[o], offset[o]);
            let constants = ((leak, threshold), self.dynamics);
            passing.step(o, (&self.neuron, &mut state), constants, current, (self.inverse, &self.slope));
            states.put(o, state);
        }
        passing
    }

    #[inline(always)]
    fn back(&self, passing: &Passing, carried: &mut Carried, o: usize, spike: f32) -> f32 {
        let d = spike * passing.slope[o] + passing.kept[o] * carried.membrane[o];
        carried.membrane[o] = passing.before[o] * d;
        carried.synaptic[o] = passing.input[o] * d + self.dynamics.synaptic_leak * carried.synaptic[o];
        self.dynamics.input * carried.synaptic[o]
    }
}
