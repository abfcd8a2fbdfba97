//! The grid on which every sum is exact.
//!
//! Programming rounds a layer's weights to multiples of 2^-g, g as large as keeps every possible column sum within
//! the 24 bits of an f32 significand. With integer inputs every partial sum is then exact, so any order of adding,
//! any product kernel, any instruction set and any GPU give the same bits. 2^-g lies far below what a device resolves:
//! about 2^-15 for a wide layer, finer for small ones.

use rayon::prelude::*;

use super::NO_FRACTION;
use crate::kernels::vectorised;

/// Significand bits of an f32.
const SIGNIFICAND_BITS: i32 = 24;

/// Rounds the weights `[columns, rows]` in place so that `Σ w·n` is exact in f32 for integers |n| ≤ `largest_input`;
/// returns g, or none if a weight is not finite or too large for any such grid. Weights of magnitude 0 leave g at 24.
pub fn round_to_exact_grid(weights: &mut [f32], rows: usize, largest_input: u32) -> Option<i32> {
    let bound = largest_sum(weights, rows, largest_input)?;
    if bound == 0.0 {
        return Some(SIGNIFICAND_BITS);
    }
    // log2 of a value near a power of two may round either way: start one finer and test.
    let mut g = (SIGNIFICAND_BITS - libm::ceil(libm::log2(bound)) as i32 + 1).min(100);
    while !fits(weights, rows, largest_input, g) {
        g -= 1;
    }
    round(weights, rows, g);
    Some(g)
}

/// Rounds weights in place to multiples of the finest 2^-g of which the largest magnitude is a whole number of so many
/// bits with its sign: 8 bits are one digit of a product, 16 two. Weights that no grid holds are left for
/// [`round_to_exact_grid`] to refuse.
pub fn round_to_bits(weights: &mut [f32], rows: usize, bits: u32) {
    let largest = f64::from(super::largest(weights));
    if largest == 0.0 || !largest.is_finite() {
        return;
    }
    // Balanced digits reach 127 at most: no more than 127·257 in two.
    let most = f64::from((1u32 << (bits - 1)) - (1 << bits.saturating_sub(8)));
    let mut g = libm::floor(libm::log2(most / largest)) as i32 + 1;
    while largest * power(g) > most {
        g -= 1;
    }
    round(weights, rows, g);
}

/// Rounds the weights `[columns, rows]` to multiples of 2^-g with sums that are exact in 31 bits, and to 23 bits of the
/// largest: for training, where a sum may be rounded to f32 once, but an error of a chip's grid would reach the
/// gradients.
pub fn round_to_training_grid(weights: &mut [f32], rows: usize, largest_input: u32) -> Option<i32> {
    let bound = largest_sum(weights, rows, largest_input)?;
    if bound == 0.0 {
        return Some(SIGNIFICAND_BITS);
    }
    let largest = super::largest(weights);
    let exponent = |x: f64| libm::ceil(libm::log2(x)) as i32;
    let g = (29 - exponent(bound)).min(22 - exponent(f64::from(largest))).min(100);
    round(weights, rows, g);
    Some(g)
}

/// The largest magnitude of a column's sum; none where it is not a number or beyond f32.
fn largest_sum(weights: &[f32], rows: usize, largest_input: u32) -> Option<f64> {
    // A column with a weight that is not a number has no magnitude, which `max` would pass over.
    let larger = |a: f64, b: f64| if a > b || a.is_nan() { a } else { b };
    let bound = weights.par_chunks(rows).map(magnitude).reduce(|| 0.0, larger) * f64::from(largest_input);
    (bound <= f64::from(f32::MAX)).then_some(bound)
}

fn round(weights: &mut [f32], rows: usize, g: i32) {
    let (scale, unit) = (power(g), power(-g));
    weights.par_chunks_mut(rows).for_each(|column| round_column(column, scale, unit));
}

vectorised! {
    fn round_column(column: &mut [f32], scale: f64, unit: f64) {
        column.iter_mut().for_each(|w| *w = (grid_units(*w, scale) * unit) as f32);
    }
}

vectorised! {
    /// Sum of magnitudes, added up in the same order by every instruction set.
    fn magnitude(column: &[f32]) -> f64 {
        let mut lanes = [0.0; 16];
        let (sixteens, rest) = column.as_chunks::<16>();
        for sixteen in sixteens {
            lanes.iter_mut().zip(sixteen).for_each(|(lane, w)| *lane += f64::from(w.abs()));
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|w| f64::from(w.abs())).sum::<f64>()
    }
}

vectorised! {
    /// Sum of magnitudes in units of 1/`scale`: whole numbers, so no order shows.
    fn magnitude_in_units(column: &[f32], scale: f64) -> f64 {
        let mut lanes = [0.0; 16];
        let (sixteens, rest) = column.as_chunks::<16>();
        for sixteen in sixteens {
            lanes.iter_mut().zip(sixteen).for_each(|(lane, w)| *lane += grid_units(*w, scale).abs());
        }
        lanes.iter().sum::<f64>() + rest.iter().map(|w| grid_units(*w, scale).abs()).sum::<f64>()
    }
}

/// 2^g, which a product with is exact.
fn power(g: i32) -> f64 {
    libm::scalbn(1.0, g)
}

/// The nearest whole number of units of 1/`scale`, half to even.
#[inline(always)]
fn grid_units(weight: f32, scale: f64) -> f64 {
    let exact = f64::from(weight) * scale;
    ((exact + NO_FRACTION) - NO_FRACTION).copysign(exact)
}

fn fits(weights: &[f32], rows: usize, largest_input: u32, g: i32) -> bool {
    let (limit, scale) = (f64::from(1u32 << SIGNIFICAND_BITS), power(g));
    weights.par_chunks(rows).all(|column| magnitude_in_units(column, scale) * f64::from(largest_input) <= limit)
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
    fn bits_are_those_of_whole_numbers() {
        for (bits, most, digits) in [(2, 1, 1), (4, 7, 1), (8, 127, 1), (9, 254, 2), (16, 32512, 2), (24, 8_323_072, 3)]
        {
            for largest in [1e-20f32, 0.3, 1.0, 5.0, 1e20] {
                let original: Vec<f32> = (0..40).map(|i| largest * (i as f32 / 20.0 - 1.0)).collect();
                let mut weights = original.clone();
                round_to_bits(&mut weights, 8, bits);
                let whole = f64::from(largest) / f64::from(most);
                let unit = libm::exp2(libm::ceil(libm::log2(whole)));
                assert!(
                    weights.iter().all(|w| f64::from(*w) / unit == libm::rint(f64::from(*w) / unit)),
                    "{bits} {largest}"
                );
                let near = |(w, o): (&f32, &f32)| (f64::from(*w) - f64::from(*o)).abs() <= unit / 2.0;
                assert!(weights.iter().zip(&original).all(near), "{bits} {largest}");
                let units = f64::from(crate::numeric::largest(&weights)) / unit;
                assert!(units <= f64::from(most) && crate::kernels::digits::digits_of(units as i32) <= digits);
            }
        }
        let mut bad = [0.5, f32::INFINITY];
        round_to_bits(&mut bad, 1, 8);
        assert_eq!(bad, [0.5, f32::INFINITY]);
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
