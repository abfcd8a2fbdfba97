//! The grid on which every sum is exact.
//!
//! Programming rounds a layer's weights to multiples of 2^-g, g as large as keeps every possible column sum within
//! the 24 bits of an f32 significand. With integer inputs every partial sum is then exact, so any order of adding,
//! any product kernel, any instruction set and any GPU give the same bits. 2^-g lies far below what a device resolves:
//! about 2^-15 for a wide layer, finer for small ones.

/// Significand bits of an f32.
const SIGNIFICAND_BITS: i32 = 24;

/// Rounds the weights `[columns, rows]` in place so that `Σ w·n` is exact in f32 for integers |n| ≤ `largest_input`;
/// returns g, or none if a weight is not finite or too large for any such grid. Weights of magnitude 0 leave g at 24.
pub fn round_to_exact_grid(weights: &mut [f32], rows: usize, largest_input: u32) -> Option<i32> {
    let magnitude = |column: &[f32]| column.iter().map(|w| f64::from(w.abs())).sum::<f64>();
    let bound = weights.chunks(rows).map(magnitude).fold(0.0, f64::max) * f64::from(largest_input);
    if weights.iter().any(|w| w.is_nan()) || bound > f64::from(f32::MAX) {
        return None;
    }
    if bound == 0.0 {
        return Some(SIGNIFICAND_BITS);
    }
    // log2 of a value near a power of two may round either way: start one finer and test.
    let mut g = (SIGNIFICAND_BITS - libm::ceil(libm::log2(bound)) as i32 + 1).min(100);
    while !fits(weights, rows, largest_input, g) {
        g -= 1;
    }
    for w in weights.iter_mut() {
        *w = libm::scalbn(grid_units(*w, g), -g) as f32;
    }
    Some(g)
}

fn grid_units(weight: f32, g: i32) -> f64 {
    libm::scalbn(f64::from(weight), g).round_ties_even()
}

fn fits(weights: &[f32], rows: usize, largest_input: u32, g: i32) -> bool {
    let limit = f64::from(1u32 << SIGNIFICAND_BITS);
    weights.chunks(rows).all(|column| {
        let units: f64 = column.iter().map(|w| grid_units(*w, g).abs()).sum();
        units * f64::from(largest_input) <= limit
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_the_same_bits_in_any_order(
            mut weights in proptest::collection::vec(-3.0f32..3.0, 1..300),
            inputs in proptest::collection::vec(-4i32..=4, 300),
        ) {
            let original = weights.clone();
            let rows = weights.len();
            let g = round_to_exact_grid(&mut weights, rows, 4).unwrap();
            let products: Vec<f32> = weights.iter().zip(&inputs).map(|(w, n)| w * *n as f32).collect();
            let forward: f32 = products.iter().sum();
            let backward: f32 = products.iter().rev().sum();
            let halves = products[..rows / 2].iter().sum::<f32>() + products[rows / 2..].iter().sum::<f32>();
            let fused = weights.iter().zip(&inputs).fold(0.0f32, |sum, (w, n)| w.mul_add(*n as f32, sum));
            prop_assert!(forward == backward && forward == halves && forward == fused);
            for (w, o) in weights.iter().zip(&original) {
                prop_assert!(f64::from(w - o).abs() <= 0.5 * libm::exp2(f64::from(-g)));
            }
        }

        #[test]
        fn the_grid_is_as_fine_as_it_can_be(weights in proptest::collection::vec(-3.0f32..3.0, 1..50)) {
            prop_assume!(weights.iter().any(|w| *w != 0.0));
            let mut rounded = weights.clone();
            let g = round_to_exact_grid(&mut rounded, weights.len(), 1).unwrap();
            prop_assert!(fits(&weights, weights.len(), 1, g) && !fits(&weights, weights.len(), 1, g + 2));
        }
    }

    #[test]
    fn weights_that_no_grid_holds_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            assert_eq!(round_to_exact_grid(&mut [0.5, bad, 1.0, bad], 4, 4), None, "{bad}");
        }
        assert!(round_to_exact_grid(&mut [1e-30, 1e30], 2, 4).is_some());
    }

    #[test]
    fn quantised_levels_survive_unchanged() {
        let mut weights: Vec<f32> = (0..512 * 9).map(|i| ((i % 17) as f32 - 8.0) / 8.0).collect();
        let original = weights.clone();
        round_to_exact_grid(&mut weights, 512 * 9, 4);
        assert_eq!(weights, original);
    }
}
