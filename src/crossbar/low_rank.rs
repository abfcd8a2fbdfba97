//! A digital branch of low rank beside an array: `U·V`, with V of a few rows that all inputs drive and U that spreads
//! their sums over the columns. Of a chip's read-back it is the product nearest to what cells miss of their targets, by
//! singular value decomposition.
//!
//! An element of Δ = q − w, `[columns, rows]`, counts by its input's mean square and in shares of its column's signal
//! ([`super::signal`]): the product is that of least `Σ (D_c·(Δ − U·V)·D_r)²` (Eckart & Young, Psychometrika 1, 211,
//! 1936), found by iteration of a subspace (Halko, Martinsson & Tropp, SIAM Review 53, 217, 2011). Both factors are
//! then rounded to `sram.rank_bits`, each in a unit of a power of two for its layer, so that the product is whole
//! numbers of one unit.
//!
//! The decomposition is its own: those of libraries choose instructions by the machine and add up in another order on
//! each, and chips would differ in their last bits.

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use super::signal::weights;
use super::site::Site;
use crate::rng::Substream;

/// Iterations of the subspace.
const ITERATIONS: usize = 20;

/// The least weight of a column or a row, in shares of the largest: one that nothing drives, or without a signal,
/// counts little, not nothing.
const LEAST: f64 = 1e-6;

/// The product of a layer's branch.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// `U·V`, `[columns, rows]`: whole multiples of `unit`.
    pub product: Vec<f32>,
    /// A power of two.
    pub unit: f64,
}

/// The rank of a layer's branch: no more than its matrix has.
pub fn rank(site: &Site) -> usize {
    if site.has_companion() { (site.sram.rank as usize).min(site.rows).min(site.columns) } else { 0 }
}

/// Bytes of both factors of a layer's branch.
pub fn bytes(site: &Site) -> usize {
    (rank(site) * (site.rows + site.columns) * site.sram.rank_bits as usize).div_ceil(8)
}

impl LowRank {
    /// The branch of a layer whose cells miss so much of their targets.
    pub fn of(site: &Site, target: &[f32], missing: &[f32]) -> Self {
        let Site { rows, columns, .. } = *site;
        let counts: Vec<f64> = weights(site, target).into_iter().map(|weight| f64::from(weight).sqrt()).collect();
        // The weight of an element is a column's times a row's: what is divided by them again may not be 0.
        let (of_column, of_row) = factors(&counts, rows);
        let scaled: Vec<f64> =
            (0..rows * columns).map(|i| f64::from(missing[i]) * of_column[i / rows] * of_row[i % rows]).collect();
        let matrix = DenseMatrix { values: &scaled, rows };
        let (left, right) = matrix.decomposed(rank(site));
        let left: Vec<f64> = left.iter().zip(of_column.iter().cycle()).map(|(value, scale)| value / scale).collect();
        let right: Vec<f64> = right.iter().zip(of_row.iter().cycle()).map(|(value, scale)| value / scale).collect();
        let bits = site.sram.rank_bits;
        let ((left, left_unit), (right, right_unit)) = (in_codes(&left, bits), in_codes(&right, bits));
        let mut product = vec![0i64; rows * columns];
        for (left, right) in left.chunks(columns).zip(right.chunks(rows)) {
            for (column, product) in product.chunks_mut(rows).enumerate() {
                product.iter_mut().zip(right).for_each(|(sum, right)| *sum += left[column] * right);
            }
        }
        let unit = left_unit * right_unit;
        LowRank { product: product.into_iter().map(|sum| (sum as f64 * unit) as f32).collect(), unit }
    }
}

impl LowRank {
    /// The part that the branch leaves of what cells miss.
    pub fn left(&self, missing: &[f32]) -> Vec<f32> {
        missing.iter().zip(&self.product).map(|(missing, product)| missing - product).collect()
    }
}

/// The weights of columns and of rows of which elements' are made; 1 where they count nothing.
fn factors(counts: &[f64], rows: usize) -> (Vec<f64>, Vec<f64>) {
    let of_column: Vec<f64> =
        counts.chunks(rows).map(|column| column.iter().fold(0.0, |most: f64, count| count.max(most))).collect();
    let most = of_column.iter().fold(0.0, |most: f64, count| count.max(most));
    let least = if most > 0.0 { LEAST * most } else { 1.0 };
    let of_column: Vec<f64> = of_column.into_iter().map(|count| count.max(least)).collect();
    let of_row = |row: usize| {
        let shares = counts.chunks(rows).zip(&of_column).map(|(column, scale)| column[row] / scale);
        let most = shares.fold(0.0, f64::max);
        most.max(LEAST)
    };
    let of_row = (0..rows).map(of_row).collect();
    (of_column, of_row)
}

/// A matrix `[columns, rows]`.
struct DenseMatrix<'a> {
    values: &'a [f64],
    rows: usize,
}

impl DenseMatrix<'_> {
    /// The factors `[rank, columns]` and `[rank, rows]` of the nearest product of a rank, both as large as each other.
    fn decomposed(&self, rank: usize) -> (Vec<f64>, Vec<f64>) {
        let columns = self.values.len() / self.rows;
        let mut stream = Substream::new([0, 0], [0; 3]);
        let mut right: Vec<f64> = (0..rank * self.rows).map(|_| StandardNormal.sample(&mut stream)).collect();
        let mut left = vec![];
        for _ in 0..ITERATIONS {
            left = orthonormal(self.times(&right), columns);
            right = self.transposed_times(&left);
            if right.iter().all(|value| *value == 0.0) {
                break;
            }
            right = orthonormal(right, self.rows);
        }
        // Columns are what they are in the subspace that was found.
        let mut right = self.transposed_times(&left);
        for (left, right) in left.chunks_mut(columns).zip(right.chunks_mut(self.rows)) {
            let scale = norm(right).sqrt();
            if scale > 0.0 {
                left.iter_mut().for_each(|value| *value *= scale);
                right.iter_mut().for_each(|value| *value /= scale);
            }
        }
        (left, right)
    }

    /// Its product with each of some vectors over rows.
    fn times(&self, vectors: &[f64]) -> Vec<f64> {
        let of = |vector: &[f64]| self.values.chunks(self.rows).map(|column| dot(column, vector)).collect::<Vec<f64>>();
        vectors.chunks(self.rows).flat_map(of).collect()
    }

    /// The product of its transpose with each of some vectors over columns.
    fn transposed_times(&self, vectors: &[f64]) -> Vec<f64> {
        let columns = self.values.len() / self.rows;
        let of = |vector: &[f64]| {
            let mut sums = vec![0.0; self.rows];
            for (column, factor) in self.values.chunks(self.rows).zip(vector) {
                sums.iter_mut().zip(column).for_each(|(sum, value)| *sum += value * factor);
            }
            sums
        };
        vectors.chunks(columns).flat_map(of).collect()
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).fold(0.0, |sum, (one, other)| sum + one * other)
}

fn norm(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

/// Vectors of a length made orthonormal, one after the other (Gram & Schmidt, each twice); 0 where one is in the span
/// of those before.
fn orthonormal(mut vectors: Vec<f64>, length: usize) -> Vec<f64> {
    for number in 0..vectors.len() / length {
        let (before, rest) = vectors.split_at_mut(number * length);
        let own = &mut rest[..length];
        let was = norm(own);
        for _ in 0..2 {
            for other in before.chunks(length) {
                let share = dot(own, other);
                own.iter_mut().zip(other).for_each(|(own, other)| *own -= share * other);
            }
        }
        let left = norm(own);
        let scale = if left > 1e-10 * was { 1.0 / left } else { 0.0 };
        own.iter_mut().for_each(|own| *own *= scale);
    }
    vectors
}

/// Values as signed codes of so many bits, and the unit, a power of two, that they have in common.
fn in_codes(values: &[f64], bits: u32) -> (Vec<i64>, f64) {
    let largest = values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    if largest == 0.0 {
        return (vec![0; values.len()], 1.0);
    }
    let most = libm::exp2(f64::from(bits - 1)) - 1.0;
    let unit = libm::exp2(libm::ceil(libm::log2(largest / most)));
    (values.iter().map(|value| libm::rint(value / unit).clamp(-most, most) as i64).collect(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Sram, SramInit};

    fn site(rows: usize, columns: usize, rank: u32, rank_bits: u32) -> Site {
        let sram = Sram { bits: 4, init: SramInit::Residual, rank, rank_bits, ..Sram::default() };
        Site { sram, ..Site::of_test(rows, columns) }
    }

    fn squares(left: &[f32]) -> f64 {
        left.iter().map(|left| f64::from(*left).powi(2)).sum()
    }

    #[test]
    fn the_product_leaves_what_the_singular_values_say() {
        let (rows, columns) = (12, 7);
        let missing: Vec<f32> =
            (0..rows * columns).map(|i| ((i as f64 * 0.37).sin() + 0.3 * (i as f64 * 1.7).cos()) as f32).collect();
        // The sums of the squares of the singular values behind the first `rank`, as rotations of Jacobi find them.
        for (rank, expected) in [(1, 17.1199), (2, 0.97288), (3, 0.457936)] {
            let branch = LowRank::of(&site(rows, columns, rank, 12), &vec![1.0; rows * columns], &missing);
            let left = squares(&branch.left(&missing));
            assert!((left - expected).abs() < 0.02 * expected + 1e-3, "{rank}: {left} for {expected}");
        }
    }

    #[test]
    fn a_matrix_of_low_rank_is_corrected_whole_and_in_whole_units() {
        let (rows, columns) = (30, 8);
        let missing: Vec<f32> =
            (0..rows * columns).map(|i| ((i / rows) as f32 - 3.0) * ((i % rows) as f32 * 0.9).sin() * 0.05).collect();
        let site = site(rows, columns, 1, 8);
        let branch = LowRank::of(&site, &vec![1.0; rows * columns], &missing);
        assert!(squares(&branch.left(&missing)) < 1e-3 * squares(&missing));
        assert!(branch.product.iter().all(|product| (f64::from(*product) / branch.unit).fract() == 0.0));
        assert_eq!((rank(&site), bytes(&site)), (1, 38));
        let nothing = LowRank::of(&site, &vec![1.0; rows * columns], &vec![0.0; rows * columns]);
        assert!(nothing.product.iter().all(|product| *product == 0.0));
    }
}
