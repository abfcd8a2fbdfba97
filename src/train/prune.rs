//! Pruning of the companion arrays: a threshold's mask, and the truncated group lasso that empties whole groups.
//!
//! An element stays where |w| > threshold·max|w| of its layer; the mask is taken from the latent weights before every
//! pass. A group is `group` input channels times the kernel of one output channel (the last may be short). The lasso
//! adds `Λ·Σ_g min(‖w_g‖₂, ratio·mean_g‖w_g‖₂)` to the loss: groups above the mean press on the mean alone, which is
//! differentiated too. (IEEE TCAD 2022, doi 10.1109/TCAD.2022.3197516.)

use super::config::Prune;
use super::pass::PassOutcome;
use crate::crossbar::sram::above;
use crate::network::companion::CompanionWeights;
use crate::network::{Layer, Model, Network};

impl Prune {
    /// Sets the mask of every companion array that may be pruned.
    pub fn mask(&self, network: &mut Network) {
        let skipped = usize::from(self.skip_first);
        for layer in network.layers.iter_mut().skip(skipped) {
            let Some(array) = &mut layer.sram else { continue };
            array.kept = Some(array.latent.iter().map(above(&array.latent, self.threshold)).collect());
        }
    }

    /// Adds the lasso's gradient to that of a pass; gives the lasso itself.
    pub fn add_lasso(&self, layers: &[Layer], network: &Network, outcome: &mut PassOutcome) -> f64 {
        if self.lambda == 0.0 {
            return 0.0;
        }
        let skipped = usize::from(self.skip_first);
        let parts = layers.iter().zip(&network.layers).zip(&mut outcome.gradients).skip(skipped);
        parts
            .filter_map(|((plan, layer), gradient)| {
                let groups = Groups::of(plan, self.group);
                Some(self.lasso(&groups, &layer.sram.as_ref()?.latent, &mut gradient.weights))
            })
            .sum()
    }

    /// One layer's lasso; its gradient is added to `gradient`.
    pub fn lasso(&self, groups: &Groups, latent: &[f32], gradient: &mut [f32]) -> f64 {
        let (lambda, ratio) = (f64::from(self.lambda), f64::from(self.ratio));
        let norms: Vec<f64> = groups
            .ranges()
            .map(|range| latent[range].iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt())
            .collect();
        let mean = norms.iter().sum::<f64>() / norms.len() as f64;
        let bar = ratio * mean;
        // Each group above the bar counts as the bar, of which every norm has its share.
        let above = norms.iter().filter(|norm| **norm > bar).count() as f64;
        let share = above * ratio / norms.len() as f64;
        for (range, norm) in groups.ranges().zip(&norms).filter(|(_, norm)| **norm > 0.0) {
            let factor = lambda * (share + if *norm > bar { 0.0 } else { 1.0 }) / norm;
            let weights = latent[range.clone()].iter();
            gradient[range].iter_mut().zip(weights).for_each(|(g, w)| *g += (factor * f64::from(*w)) as f32);
        }
        lambda * norms.iter().map(|norm| norm.min(bar)).sum::<f64>()
    }
}

/// The groups of a layer's elements in published order: ranges that follow one another.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    columns: usize,
    rows: usize,
    size: usize,
}

impl Groups {
    /// The groups of so many input channels each.
    pub fn of(plan: &Layer, channels: usize) -> Self {
        let positions = plan.unrolling().window.positions();
        Groups { columns: plan.columns(), rows: plan.rows(), size: (channels * positions).min(plan.rows()) }
    }

    /// Their elements.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let Groups { columns, rows, size } = *self;
        (0..columns).flat_map(move |column| {
            let (from, to) = (column * rows, (column + 1) * rows);
            (from..to).step_by(size).map(move |first| first..(first + size).min(to))
        })
    }
}

/// How much of an array is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sparsity {
    /// Elements of the whole array.
    pub elements: usize,
    /// Elements that are there.
    pub kept: usize,
    /// Groups of the whole array.
    pub groups: usize,
    /// Groups of which any element is there.
    pub kept_groups: usize,
}

impl Sparsity {
    /// The sparsity of one layer's array, in groups of so many input channels.
    pub fn of(plan: &Layer, array: &CompanionWeights, group: usize) -> Self {
        let groups = Groups::of(plan, group);
        let kept = |range: std::ops::Range<usize>| array.kept.as_ref().is_none_or(|kept| kept[range].contains(&true));
        Sparsity {
            elements: array.latent.len(),
            kept: array.elements(),
            groups: groups.ranges().count(),
            kept_groups: groups.ranges().filter(|range| kept(range.clone())).count(),
        }
    }

    /// The sparsity of all companion arrays of a network.
    pub fn of_network(model: &Model, network: &Network, group: usize) -> Self {
        let layers = model.layers();
        let arrays = layers.iter().zip(&network.layers).filter_map(|(plan, layer)| Some((plan, layer.sram.as_ref()?)));
        arrays.map(|(plan, array)| Sparsity::of(plan, array, group)).reduce(|a, b| a + b).unwrap_or_default()
    }

    /// Share of elements that are gone, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * (1.0 - self.kept as f64 / self.elements.max(1) as f64)
    }
}

impl std::ops::Add for Sparsity {
    type Output = Sparsity;

    fn add(self, other: Sparsity) -> Sparsity {
        Sparsity {
            elements: self.elements + other.elements,
            kept: self.kept + other.kept,
            groups: self.groups + other.groups,
            kept_groups: self.kept_groups + other.kept_groups,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Away from the kinks, where a norm meets the bar.
        #[test]
        fn the_gradient_is_that_of_finite_differences(weights in proptest::collection::vec(-1.0f32..1.0, 24)) {
            let prune = Prune { lambda: 0.5, ratio: 0.9, ..Prune::default() };
            let groups = Groups { columns: 3, rows: 8, size: 3 };
            let norm = |r: std::ops::Range<usize>| weights[r].iter().map(|w| w * w).sum::<f32>().sqrt();
            let norms: Vec<f32> = groups.ranges().map(norm).collect();
            let bar = 0.9 * norms.iter().sum::<f32>() / norms.len() as f32;
            prop_assume!(norms.iter().all(|norm| (norm - bar).abs() > 0.02 && *norm > 0.05));
            let mut gradient = vec![0.0; 24];
            prune.lasso(&groups, &weights, &mut gradient);
            for i in 0..24 {
                let at = |step: f32| {
                    let mut moved = weights.clone();
                    moved[i] += step;
                    (prune.lasso(&groups, &moved, &mut [0.0; 24]), moved[i])
                };
                let ((upper, high), (lower, low)) = (at(1e-3), at(-1e-3));
                let slope = (upper - lower) / f64::from(high - low);
                prop_assert!((slope - f64::from(gradient[i])).abs() < 1e-4, "{slope} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn the_last_group_of_a_column_may_be_short() {
        let groups = Groups { columns: 2, rows: 5, size: 3 };
        assert_eq!(groups.ranges().collect::<Vec<_>>(), [0..3, 3..5, 5..8, 8..10]);
    }
}
