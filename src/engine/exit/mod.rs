//! Early exit: inference that stops before the last step.
//!
//! After `t` steps the logits are what the readout reads of these steps, usually the mean `(1/t)·Σ_{i ≤ t} W·s_i`. Two
//! rules say when that is enough; where no step meets a rule, all steps run.
//!
//! - `gamma:TH` (BNTT, arXiv:2010.01729): after the first step at which the mean over the channels of the scale γ_t is
//!   below TH in every spiking layer. It follows from the network alone, so it is the same step for all images and
//!   chips.
//! - `confidence:TH`: each image after the first step at which the largest softmax probability of its logits so far
//!   reaches TH. The softmax is taken in f64; a TH above 1 is never reached, and 0 always at once.
//!
//! The engines compute layer by layer over all steps, so a rule is applied to the logits after each step
//! ([`super::Outcome::by_step`]) and the events of each image ([`super::Outcome::by_image`]): what stopping would give,
//! and what it would save, on the very chip that runs them all.
//!
//! [`ExitRule`] is what a user asks for, [`Exit`] what an evaluation does with it, [`ExitResult`] what one chip did,
//! and [`ExitSummary`] what it came to on all of them.

mod rule;
mod summary;

use ndarray::{Array2, ArrayView1, ArrayView3, s};
pub use rule::{ExitRule, PUBLISHED_GAMMA, read_rule_or_none, rule_or_none};
pub use summary::{ExitOfChip, ExitSummary, Saved};

use super::Counts;

/// A rule applied to a network: what an evaluation needs of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exit {
    /// Every image after so many steps, at least one and at most all.
    After(usize),
    /// Each image once its largest softmax probability reaches this.
    Confident(f64),
}

/// What a chip did with early exit.
#[derive(Clone, Debug, PartialEq)]
pub struct ExitResult {
    /// Percent of images classified correctly.
    pub accuracy: f64,
    /// Images classified correctly.
    pub correct: usize,
    /// Mean readout over the steps that each image ran, `[images, classes]`.
    pub logits: Array2<f32>,
    /// The steps that each image ran.
    pub steps: Vec<usize>,
    /// Events of these steps.
    pub counts: Counts,
}

impl Exit {
    /// The steps that each image runs, from its logits after each step, `[steps, images, classes]`.
    pub fn steps(self, by_step: ArrayView3<f32>) -> Vec<usize> {
        let (steps, images, _) = by_step.dim();
        match self {
            Exit::After(after) => vec![after.clamp(1, steps); images],
            Exit::Confident(threshold) => {
                let is_sure = |t: usize, image: usize| confidence(by_step.slice(s![t, image, ..])) >= threshold;
                (0..images).map(|image| (0..steps).find(|t| is_sure(*t, image)).map_or(steps, |t| t + 1)).collect()
            }
        }
    }
}

impl ExitResult {
    /// Steps of an image, on average.
    pub fn mean_steps(&self) -> f64 {
        self.steps.iter().sum::<usize>() as f64 / self.steps.len() as f64
    }
}

/// The largest softmax probability: `1 / Σ_c exp(x_c − max x)`.
pub fn confidence(logits: ArrayView1<f32>) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    1.0 / logits.iter().map(|x| libm::exp(f64::from(*x) - f64::from(top))).sum::<f64>()
}

/// What images that stop after `steps` each have of their logits after each step.
pub(super) fn logits_after(by_step: ArrayView3<f32>, steps: &[usize]) -> Array2<f32> {
    let (_, images, classes) = by_step.dim();
    Array2::from_shape_fn((images, classes), |(image, class)| by_step[(steps[image] - 1, image, class)])
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis, arr1, arr3};

    use super::*;

    #[test]
    fn each_image_stops_once_it_is_sure() {
        // Probabilities of the first class after each step, of two images: 1/2, 3/4, 9/10 and 4/5, 1/2, 1/2.
        let ln = |odds: f32| odds.ln();
        let by_step = arr3(&[[[ln(1.0), 0.0], [ln(4.0), 0.0]], [[ln(3.0), 0.0], [0.0; 2]], [[ln(9.0), 0.0], [0.0; 2]]]);
        for (threshold, steps) in
            [(0.0, [1, 1]), (0.5, [1, 1]), (0.7, [2, 1]), (0.79, [3, 1]), (0.85, [3, 3]), (1.01, [3, 3])]
        {
            let found = Exit::Confident(threshold).steps(by_step.view());
            assert_eq!(found, steps, "{threshold}");
            let logits = logits_after(by_step.view(), &found);
            let expected = by_step.index_axis(Axis(0), steps[0] - 1).row(0).to_owned();
            assert_eq!(logits.row(0), expected, "{threshold}");
        }
        for (after, steps) in [(0, 1), (1, 1), (2, 2), (usize::MAX, 3)] {
            assert_eq!(Exit::After(after).steps(by_step.view()), [steps; 2]);
        }
        assert!(Exit::Confident(0.5).steps(Array3::zeros((3, 0, 2)).view()).is_empty());
    }

    #[test]
    fn confidence_is_the_largest_softmax_probability() {
        let naive = |x: &[f32]| {
            let exps: Vec<f64> = x.iter().map(|x| f64::from(*x).exp()).collect();
            exps.iter().copied().fold(0.0, f64::max) / exps.iter().sum::<f64>()
        };
        for x in [&[0.3f32, -1.2, 2.0][..], &[5.0], &[-2.0, -2.0]] {
            assert!((confidence(arr1(x).view()) - naive(x)).abs() < 1e-12);
        }
        assert_eq!(confidence(arr1(&[1e30, 0.0]).view()), 1.0);
        assert!(confidence(arr1(&[f32::NAN, 0.0]).view()).is_nan(), "what is not a number is never sure");
    }
}
