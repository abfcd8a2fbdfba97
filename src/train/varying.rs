//! The way back through neurons whose constants differ, with the gradients of leaks, thresholds and synaptic leaks.
//!
//! With the potential `u_t = λ·u'_{t−1} + i_t`, u' what a reset left, `i_t = α·i_{t−1} + x_t` and `v = (u − θ_t)/θ`:
//!
//! | gradient | is |
//! |---|---|
//! | ∂λ | Σ_t ∂u_t·u'_{t−1}, less Σ_t ∂i_t·z_t where x = (1 − λ)·z |
//! | ∂α | Σ_t ∂i_t·i_{t−1} |
//! | ∂θ | −Σ_t ∂s_t·σ(v_t)/θ·(1 + v_t), less the gradient of the potential wherever a reset takes θ away |

use super::steps::{Carried, Moved, Passing, Steps};
use crate::forward::neurons::VariedStates;
use crate::kernels::digits::LANES;
use crate::network::Lif;
use crate::network::varied::Varied;

/// Neurons whose constants differ.
pub struct Varying<'a, S> {
    /// Their arithmetic.
    pub neuron: Lif,
    /// Their constants.
    pub varied: &'a Varied,
    /// The surrogate's slope at v, over the threshold.
    pub slope: S,
}

/// A step of them as the way back needs it.
#[derive(Clone, Copy, Default)]
pub struct VaryingStep {
    passing: Passing,
    /// The number of their constants.
    index: usize,
    /// v + 1.
    above: [f32; LANES],
    /// The potential that the step began with.
    membrane: [f32; LANES],
    /// The synaptic current that it began with.
    synaptic: [f32; LANES],
    /// The current that came in.
    current: [f32; LANES],
    /// 1 where the step took the threshold away from its own potential, for a spike of the step before.
    took: [f32; LANES],
    /// 1 where it took the threshold away from what the next step begins with.
    takes: [f32; LANES],
}

/// The gradients that one step carries to the one before, and those of constants up to there: of leak, threshold and
/// synaptic leak.
#[derive(Clone, Copy, Default)]
pub struct WithConstants {
    carried: Carried,
    index: usize,
    constants: [[f32; LANES]; 3],
}

impl<S: Fn(f32, f32) -> f32> Steps for Varying<'_, S> {
    type BlockState = VariedStates;
    type Tape = VaryingStep;
    type Adjoint = WithConstants;

    #[inline(always)]
    fn begin(&self, block: usize, pixel: usize) -> VariedStates {
        VariedStates::new(self.varied, block, pixel)
    }

    #[inline(always)]
    fn forward(&self, placed: &mut VariedStates, [gain, offset]: &[[f32; LANES]; 2], x: &[f32; LANES]) -> VaryingStep {
        let lanes = &self.varied.lanes[placed.index];
        let mut kept = VaryingStep { index: placed.index, ..VaryingStep::default() };
        for o in 0..LANES {
            let mut state = placed.states.get(o);
            let (constants, dynamics) = lanes.at(o, &self.varied.common);
            let current = self.neuron.share(gain[o], x[o], offset[o]);
            (kept.membrane[o], kept.synaptic[o], kept.current[o]) = (state.membrane, state.synaptic, current);
            let last = state.fired;
            let inverse = 1.0 / constants.1;
            let neuron = (&self.neuron, &mut state);
            let v = kept.passing.step(o, neuron, (constants, &dynamics), current, (inverse, &self.slope));
            let subtracts = if dynamics.taken > 0.0 { 1.0 } else { 0.0 };
            kept.above[o] = v + 1.0;
            kept.took[o] = if dynamics.next { subtracts * last } else { 0.0 };
            kept.takes[o] = if dynamics.next { 0.0 } else { subtracts * state.fired };
            placed.states.put(o, state);
        }
        kept
    }

    #[inline(always)]
    fn back(&self, kept: &VaryingStep, with: &mut WithConstants, o: usize, spike: f32) -> f32 {
        let (lanes, VaryingStep { passing, .. }) = (&self.varied.lanes[kept.index], kept);
        let [leak, threshold, synaptic_leak] = &mut with.constants;
        with.index = kept.index;
        let carried = &mut with.carried;
        let d = spike * passing.slope[o] + passing.kept[o] * carried.membrane[o];
        threshold[o] -= spike * passing.slope[o] * kept.above[o];
        threshold[o] -= kept.takes[o] * carried.membrane[o] + kept.took[o] * d;
        leak[o] += passing.input[o] * d * kept.membrane[o];
        carried.membrane[o] = passing.before[o] * d;
        carried.synaptic[o] = passing.input[o] * d + lanes.synaptic_leak[o] * carried.synaptic[o];
        synaptic_leak[o] += carried.synaptic[o] * kept.synaptic[o];
        if self.varied.scales_input {
            leak[o] -= carried.synaptic[o] * kept.current[o];
        }
        lanes.input[o] * carried.synaptic[o]
    }

    fn constants(&self) -> usize {
        if self.varied.learns { self.varied.lanes.len() } else { 0 }
    }

    fn add_moved(&self, with: &WithConstants, moved: &mut Moved) {
        let sums = moved.get_mut(with.index).into_iter().flatten();
        for (sums, values) in sums.zip(with.constants) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
        }
    }
}
