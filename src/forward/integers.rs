//! Weights of a grid as the integers that they are multiples of.

use rayon::prelude::*;

/// Weights on a grid as integers without common factors of two.
pub struct Integers {
    scale: f32,
    /// The largest magnitude.
    pub largest: i32,
}

impl Integers {
    /// The integers of weights that are multiples of 2^-grid, with the value of one.
    pub fn new(weights: &[f32], grid: i32) -> (Self, f32) {
        let scale = libm::scalbnf(1.0, grid);
        let fold = |weights: &[f32]| {
            weights.iter().fold((0, 0), |(bits, largest): (i32, i32), w| {
                let integer = (w * scale) as i32;
                (bits | integer, largest.max(integer.abs()))
            })
        };
        let (bits, largest) = weights.par_chunks(1 << 14).map(fold).reduce(|| (0, 0), |a, b| (a.0 | b.0, a.1.max(b.1)));
        let common = if bits == 0 { 0 } else { bits.trailing_zeros() as i32 };
        let integers = Integers { scale: libm::scalbnf(1.0, grid - common), largest: largest >> common };
        (integers, libm::scalbnf(1.0, common - grid))
    }

    /// Whether four times every sum of columns of so many rows is a number of 31 bits, for inputs up to
    /// `largest_input`.
    pub fn fit_fourfold(&self, weights: &[f32], rows: usize, largest_input: u32) -> bool {
        let most = f64::from(i32::MAX / 4) / f64::from(largest_input) / f64::from(self.scale);
        weights.par_chunks(rows).all(|column| column.iter().map(|w| f64::from(w.abs())).sum::<f64>() <= most)
    }

    /// The integer of a weight.
    pub fn of(&self, weight: f32) -> i32 {
        (weight * self.scale) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_left_to_sums_that_fit_fourfold() {
        // The largest f32 below a quarter of 2³¹.
        let most = (1u32 << 29) as f32 - 32.0;
        for (weights, inputs, fit) in [
            (vec![most / 2.0, -most / 2.0], 1, true),
            (vec![most / 2.0, -most], 1, false),
            (vec![most / 2.0, most / 4.0], 2, false),
            (vec![0.0, most / 4.0], 2, true),
        ] {
            let integers = Integers { scale: 1.0, largest: most as i32 };
            assert_eq!(integers.fit_fourfold(&weights, 2, inputs), fit, "{weights:?}");
            let integers = Integers { scale: 4.0, largest: most as i32 };
            let quarters: Vec<f32> = weights.iter().map(|w| w / 4.0).collect();
            assert_eq!(integers.fit_fourfold(&quarters, 2, inputs), fit, "{weights:?} in quarters");
        }
    }
}
