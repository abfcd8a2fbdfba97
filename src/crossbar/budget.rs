//! The residual under a budget: where a chip's companion arrays may take only so many bytes, the largest deviations of all
//! layers are corrected and the others are left.
//!
//! One bar holds for the whole chip: an element keeps its code where |q − w_p| reaches it. The bar is the lowest at which
//! the arrays, each in its smallest form ([`super::stored`]), fit. Codes that are 0 cost nothing in a sparse form.

use super::arrays::Arrays;
use super::stored::Form;

/// Leaves out the smallest deviations until all companion arrays fit.
pub fn fit(arrays: &mut [Arrays], budget_bytes: usize) {
    let deviations: Vec<Vec<f32>> = arrays.iter().map(sorted_deviations).collect();
    let bytes = |bar: f32| -> usize {
        let layer = |(arrays, sorted): (&Arrays, &Vec<f32>)| {
            let elements = arrays.companion.as_ref().map_or(0, |companion| companion.weights.len());
            Form::smallest(elements, sorted.partition_point(|d| *d >= bar), arrays.code).1
        };
        arrays.iter().zip(&deviations).map(layer).sum()
    };
    if bytes(0.0) <= budget_bytes {
        return;
    }
    // Positive floats are in the order of their bits. At infinity nothing is left and nothing is stored.
    let (mut low, mut high) = (0, f32::INFINITY.to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if bytes(f32::from_bits(middle)) <= budget_bytes { high = middle } else { low = middle }
    }
    let bar = f32::from_bits(high);
    for arrays in arrays {
        let Some(companion) = &mut arrays.companion else { continue };
        let cells = arrays.cells.target.iter().zip(&arrays.cells.programmed);
        let below = companion.weights.iter_mut().zip(cells).filter(|(_, (q, w))| (*q - *w).abs() < bar);
        below.for_each(|(code, _)| *code = 0.0);
    }
}

/// |q − w_p| of the elements whose code is not 0, the largest first.
fn sorted_deviations(arrays: &Arrays) -> Vec<f32> {
    let Some(companion) = &arrays.companion else { return vec![] };
    let cells = arrays.cells.target.iter().zip(&arrays.cells.programmed);
    let there = companion.weights.iter().zip(cells).filter(|(code, _)| **code != 0.0);
    let mut deviations: Vec<f32> = there.map(|(_, (q, w))| (q - w).abs()).collect();
    deviations.sort_unstable_by(|a, b| b.total_cmp(a));
    deviations
}
