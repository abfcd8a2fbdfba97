//! Matrices of conductances between nodes: inverted and multiplied so that every element adds up in one order, whatever
//! the width of the vectors. No term is ever subtracted ([`super::nodal`] says why), so every digit is kept.

use crate::kernels::vectorised;

/// Pivots that go through a matrix together, so that it comes from the second cache that much more seldom.
const PIVOTS: usize = 8;

vectorised! {
    /// The inverse of a nodal matrix, in place: of conductances between nodes `[n, n]`, whose diagonal has no meaning,
    /// and of each node to its terminals. By Gauss and Jordan without exchanging rows; a pivot is the sum of what its
    /// node is still connected to.
    pub(super) fn invert(a: &mut [f64], n: usize, to_terminals: &mut [f64]) {
        // A closure in an iterator would not have the vectors of this function.
        let mut first = 0;
        while first + PIVOTS <= n {
            eliminate::<PIVOTS>(a, n, first, to_terminals);
            first += PIVOTS;
        }
        for first in first..n {
            eliminate::<1>(a, n, first, to_terminals);
        }
    }
}

/// Eliminates `P` nodes from `first` on. Every element takes what the pivots add to it in their order, whatever `P` is.
#[inline(always)]
fn eliminate<const P: usize>(a: &mut [f64], n: usize, first: usize, to_terminals: &mut [f64]) {
    let (mut pivot_rows, mut terminals) = (vec![0.0; P * n], [0.0; P]);
    for p in 0..P {
        let k = first + p;
        let row = &mut a[k * n..(k + 1) * n];
        let pivot = 1.0 / (to_terminals[k] + sum(&row[k + 1..]));
        row[k] = 1.0;
        row.iter_mut().for_each(|x| *x *= pivot);
        let pivot_row = &mut pivot_rows[p * n..(p + 1) * n];
        pivot_row.copy_from_slice(row);
        terminals[p] = to_terminals[k] * pivot;
        for i in (first..first + P).filter(|i| *i != k) {
            let row = &mut a[i * n..(i + 1) * n];
            let factor = std::mem::take(&mut row[k]);
            row.iter_mut().zip(&*pivot_row).for_each(|(x, p)| *x += factor * p);
            to_terminals[i] += factor * terminals[p];
        }
    }
    let pivot_rows: [&[f64]; P] = std::array::from_fn(|p| &pivot_rows[p * n..(p + 1) * n]);
    let corner: [[f64; P]; P] = pivot_rows.map(|row| *row[first..].first_chunk().expect("P columns"));
    for i in 0..n {
        if (first..first + P).contains(&i) {
            continue;
        }
        let row = &mut a[i * n..(i + 1) * n];
        // A pivot takes from its own column what those before it left, and those behind it add to the column anew.
        let own: [f64; P] = *row[first..].first_chunk().expect("P columns");
        let mut factors = [0.0; P];
        for p in 0..P {
            factors[p] = (0..p).fold(own[p], |x, before| x + factors[before] * corner[before][p]);
            to_terminals[i] += factors[p] * terminals[p];
        }
        let own: [f64; P] =
            std::array::from_fn(|p| (p..P).fold(0.0, |x, behind| x + factors[behind] * corner[behind][p]));
        add_rows(factors, pivot_rows, row);
        row[first..first + P].copy_from_slice(&own);
    }
}

/// Adds rows times factors to each element, one row after the other.
#[inline(always)]
fn add_rows<const P: usize>(factors: [f64; P], rows: [&[f64]; P], out: &mut [f64]) {
    let rows = rows.map(|row| &row[..out.len()]);
    for (j, x) in out.iter_mut().enumerate() {
        let mut sum = *x;
        for p in 0..P {
            sum += factors[p] * rows[p][j];
        }
        *x = sum;
    }
}

/// A sum whose order does not follow the width of vectors.
#[inline(always)]
pub(super) fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, x)| *lane += x);
    }
    rest.iter().fold(lanes.iter().sum::<f64>(), |sum, x| sum + x)
}

/// The sum of products of two rows, in this order.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (x, y))| *lane += x * y);
    }
    a_rest.iter().zip(b_rest).fold(lanes.iter().sum::<f64>(), |sum, (x, y)| sum + x * y)
}

vectorised! {
    /// `out = a·b` of `[n, n]` by the first `used` columns of `[n, m]`, each element summed up in the order of its row.
    pub(super) fn multiply(a: &[f64], b: &[f64], sizes: (usize, usize, usize), out: &mut [f64]) {
        let (n, m, used) = sizes;
        out.fill(0.0);
        // Some rows of `b` stay in the first cache while they meet some of `a`.
        for (a, out) in a.chunks(ROWS * n).zip(out.chunks_mut(ROWS * m)) {
            let mut first = 0;
            while first + PIVOTS <= n {
                multiply_rows::<PIVOTS>((a, n), (b, m), first, used, out);
                first += PIVOTS;
            }
            for first in first..n {
                multiply_rows::<1>((a, n), (b, m), first, used, out);
            }
        }
    }
}

/// Rows that [`multiply`] makes at once.
const ROWS: usize = 16;

/// Adds what `P` rows of `b` from `first` on give to the product.
#[inline(always)]
fn multiply_rows<const P: usize>(
    (a, n): (&[f64], usize),
    (b, m): (&[f64], usize),
    first: usize,
    used: usize,
    out: &mut [f64],
) {
    let rows: [&[f64]; P] = std::array::from_fn(|p| &b[(first + p) * m..][..used]);
    for (a, out) in a.chunks(n).zip(out.chunks_mut(m)) {
        let factors: [f64; P] = *a[first..].first_chunk().expect("P factors");
        add_rows(factors, rows, &mut out[..used]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pivots_that_go_together_leave_what_they_leave_one_by_one() {
        for n in [1, 7, 8, 21] {
            let mut together: Vec<f64> = (0..n * n).map(|k| 1e-4 * (1.0 + (k as f64 * 1.7).sin())).collect();
            let mut terminals: Vec<f64> = (0..n).map(|k| 1e-3 * (1.0 + (k as f64 * 0.3).cos())).collect();
            let (mut one_by_one, mut to_terminals) = (together.clone(), terminals.clone());
            invert(&mut together, n, &mut terminals);
            (0..n).for_each(|k| eliminate::<1>(&mut one_by_one, n, k, &mut to_terminals));
            let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|x| x.to_bits()).collect() };
            assert_eq!(bits(&together), bits(&one_by_one), "{n}");
        }
    }
}
