//! Lines with resistance: what a tile's columns carry when word and bit lines drop voltage.
//!
//! Nodal analysis of m word lines, driven at the left through one segment (g_w = 1/R_word), and n bit lines, grounded at the
//! bottom through one segment (g_b = 1/R_bit); W and B are the potentials of a cell's two nodes:
//!
//! ```text
//! (g + g_w·(1 + [j < n−1]))·W_ij − g_w·W_i,j−1 − g_w·W_i,j+1 − g·B_ij = g_w·V_i·[j = 0]
//! (g + g_b·(1 + [i > 0]))·B_ij − g_b·B_i−1,j − g_b·B_i+1,j − g·W_ij = 0        I_j = g_b·B_m−1,j
//! ```
//!
//! 0 Ω merges the nodes of a line. Cells are linear and every row is driven (one without a pulse by 0 V), so currents are a matrix
//! times the voltages: [`transfer`], solved once a tile and used as its conductances from then on.
//!
//! **How.** Word lines couple to each other through bit lines alone, so with the W of a row eliminated (a tridiagonal system) the
//! rows are a block tridiagonal system in B with blocks of n x n, eliminated from the top: `S_i = A_i − g_b²·S_i−1⁻¹`. A library's
//! sparse factorisation would do as well, but its sums follow the processor's instructions, and a chip has to be the same bits on
//! every machine: here each element adds up in one order, whatever the width of the vectors.
//!
//! **Iterative**, for comparison and for what is not linear: [`iterate`] sums cell currents along the lines, takes the voltage that
//! the lines leave, and moves each cell's towards it.
//!
//! A tile's rows stand next to the ground of its bit lines and its columns next to the drivers of its word lines; what a layer
//! leaves empty of a tile carries no current.

use multiversion::multiversion;
use rayon::prelude::*;

use super::mapping::{Place, place};
use crate::device::cell::{self, Columns, Devices};
use crate::device::quantise::quantise;
use crate::error::{Error, Result};
use crate::network::Layer;
use crate::profile::{Profile, Tile, Wires};

/// Siemens in a microsiemens.
const MICRO: f64 = 1e-6;

/// What the bit lines of a tile of `m` x `n` cells carry for 1 V on one word line, in siemens `[m, n]`; `conductances` likewise.
pub fn transfer(conductances: &[f64], n: usize, wires: Wires) -> Vec<f64> {
    let m = conductances.len() / n;
    match (wires.word_ohm > 0.0, wires.bit_ohm > 0.0) {
        (false, false) => conductances.to_vec(),
        (true, false) => word_lines(conductances, n, 1.0 / wires.word_ohm),
        (false, true) => bit_lines(conductances, n, 1.0 / wires.bit_ohm),
        (true, true) => both(conductances, m, n, 1.0 / wires.word_ohm, 1.0 / wires.bit_ohm),
    }
}

/// What the end of a word line of `n` cells of this conductance, in microsiemens, loses of its voltage; bit lines ideal.
pub fn worst_drop(g_us: f64, n: usize, wires: Wires) -> f64 {
    let cells = vec![g_us * MICRO; n];
    let currents = word_lines(&cells, n, 1.0 / wires.word_ohm);
    1.0 - currents[n - 1] / cells[n - 1]
}

/// Ideal bit lines: every word line is a ladder to ground.
fn word_lines(conductances: &[f64], n: usize, g_w: f64) -> Vec<f64> {
    let row = |cells: &[f64]| {
        let ladder = Ladder::new(&mut (0..n).map(|j| cells[j] + g_w * if j + 1 < n { 2.0 } else { 1.0 }), g_w);
        let mut potentials = vec![0.0; n];
        potentials[0] = g_w;
        ladder.solve(&mut potentials);
        potentials.iter().zip(cells).map(|(w, g)| w * g).collect::<Vec<_>>()
    };
    conductances.chunks(n).flat_map(row).collect()
}

/// Ideal word lines: every bit line is a ladder from the drivers, and by reciprocity what 1 V at its foot would put on a cell is
/// the share of the cell's current that reaches the foot.
fn bit_lines(conductances: &[f64], n: usize, g_b: f64) -> Vec<f64> {
    let m = conductances.len() / n;
    let mut currents = vec![0.0; m * n];
    for j in 0..n {
        let cell = |i: usize| conductances[i * n + j];
        let ladder = Ladder::new(&mut (0..m).map(|i| cell(i) + g_b * if i > 0 { 2.0 } else { 1.0 }), g_b);
        let mut shares = vec![0.0; m];
        shares[m - 1] = g_b;
        ladder.solve(&mut shares);
        (0..m).for_each(|i| currents[i * n + j] = shares[i] * cell(i));
    }
    currents
}

/// Both lines drop voltage.
fn both(conductances: &[f64], m: usize, n: usize, g_w: f64, g_b: f64) -> Vec<f64> {
    // S⁻¹ of the row above, and the B of that row for 1 V on each word line down to it, `[n, m]`.
    let mut inverse = vec![0.0; n * n];
    let (mut potentials, mut driven) = (vec![0.0; n * m], vec![0.0; n * m]);
    let mut column = vec![0.0; n];
    for (i, cells) in conductances.chunks(n).enumerate() {
        let ladder = Ladder::new(&mut (0..n).map(|j| cells[j] + g_w * if j + 1 < n { 2.0 } else { 1.0 }), g_w);
        inverse.iter_mut().for_each(|s| *s *= -g_b * g_b);
        for k in 0..n {
            column.fill(0.0);
            column[k] = cells[k];
            ladder.solve(&mut column);
            for (j, (w, g)) in column.iter().zip(cells).enumerate() {
                inverse[j * n + k] -= g * w;
            }
            inverse[k * n + k] += cells[k] + g_b * if i > 0 { 2.0 } else { 1.0 };
        }
        invert(&mut inverse, n);
        column.fill(0.0);
        column[0] = g_w;
        ladder.solve(&mut column);
        for (j, driven) in driven.chunks_mut(m).enumerate() {
            driven[..i].iter_mut().zip(&potentials[j * m..]).for_each(|(d, b)| *d = g_b * b);
            driven[i] = cells[j] * column[j];
        }
        multiply(&inverse, &driven, (n, m, i + 1), &mut potentials);
    }
    (0..m * n).map(|at| g_b * potentials[at % n * m + at / n]).collect()
}

/// A symmetric tridiagonal matrix, factored; every coupling is −g.
struct Ladder {
    g: f64,
    /// Inverted pivots.
    pivots: Vec<f64>,
}

impl Ladder {
    fn new(diagonal: &mut dyn Iterator<Item = f64>, g: f64) -> Self {
        let mut above = 0.0;
        let pivot = |d: f64| {
            above = 1.0 / (d - g * g * above);
            above
        };
        Ladder { g, pivots: diagonal.map(pivot).collect() }
    }

    fn solve(&self, x: &mut [f64]) {
        for i in 1..x.len() {
            x[i] += self.g * self.pivots[i - 1] * x[i - 1];
        }
        let last = x.len() - 1;
        x[last] *= self.pivots[last];
        for i in (0..last).rev() {
            x[i] = (x[i] + self.g * x[i + 1]) * self.pivots[i];
        }
    }
}

/// Inverts a positive definite matrix `[n, n]` in place, without exchanging rows.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn invert(a: &mut [f64], n: usize) {
    let mut pivot_row = vec![0.0; n];
    for k in 0..n {
        let pivot = 1.0 / a[k * n + k];
        let row = &mut a[k * n..(k + 1) * n];
        row[k] = 1.0;
        row.iter_mut().for_each(|x| *x *= pivot);
        pivot_row.copy_from_slice(row);
        for (i, row) in a.chunks_mut(n).enumerate() {
            if i == k {
                continue;
            }
            let factor = row[k];
            row[k] = 0.0;
            row.iter_mut().zip(&pivot_row).for_each(|(x, p)| *x -= factor * p);
        }
    }
}

/// `out = a·b` of `[n, n]` by the first `used` columns of `[n, m]`, each element summed up in the order of its row.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
fn multiply(a: &[f64], b: &[f64], (n, m, used): (usize, usize, usize), out: &mut [f64]) {
    for (a, out) in a.chunks(n).zip(out.chunks_mut(m)) {
        let out = &mut out[..used];
        out.fill(0.0);
        for (factors, rows) in a.chunks(4).zip(b.chunks(4 * m)) {
            let row = |k: usize| &rows[k * m..k * m + used];
            if let [f0, f1, f2, f3] = *factors {
                let rows = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
                out.iter_mut().zip(rows).for_each(|(x, (((r0, r1), r2), r3))| {
                    *x = (((*x + f0 * r0) + f1 * r1) + f2 * r2) + f3 * r3;
                });
            } else {
                for (k, factor) in factors.iter().enumerate() {
                    out.iter_mut().zip(row(k)).for_each(|(x, r)| *x += factor * r);
                }
            }
        }
    }
}

/// What a cell carries at a voltage across it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Conduction {
    /// `G·V`.
    Linear,
    /// `G·V0·sinh(V/V0)`, V0 in volt: hopping and tunnelling, of conductance G at small voltages.
    Sinh(f64),
}

impl Conduction {
    /// The current in ampere of a cell of `g` siemens at `v` volt.
    fn current(self, g: f64, v: f64) -> f64 {
        match self {
            Self::Linear => g * v,
            Self::Sinh(v0) => g * v0 * libm::sinh(v / v0),
        }
    }
}

/// Rounds of [`iterate`] after which it gives up.
const ROUNDS: usize = 100_000;

/// The bit lines' currents in ampere for some voltages, by iteration; the largest change of a cell's voltage in the last round is
/// below `tolerance` times the largest input.
///
/// # Errors
/// Where it does not come to that.
pub fn iterate(
    conductances: &[f64],
    voltages: &[f64],
    wires: Wires,
    conduction: Conduction,
    tolerance: f64,
) -> Result<Vec<f64>> {
    let m = voltages.len();
    let n = conductances.len() / m;
    let largest = voltages.iter().fold(0.0f64, |top, v| top.max(v.abs()));
    // Begins without voltages, and goes half as fast wherever an error grows: steep lines and cells overshoot. From far beyond it
    // goes back.
    let (mut dv, mut currents, mut left) = (vec![0.0; m * n], vec![0.0; m * n], vec![0.0; m * n]);
    let (mut rate, mut before, mut last) = (0.9, f64::INFINITY, (dv.clone(), left.clone()));
    for _ in 0..ROUNDS {
        currents.iter_mut().zip(&dv).zip(conductances).for_each(|((i, v), g)| *i = conduction.current(*g, *v));
        // What the word lines leave at each cell: a segment carries the currents of all cells behind it.
        for ((left, currents), v) in left.chunks_mut(n).zip(currents.chunks(n)).zip(voltages) {
            let mut carried: f64 = currents.iter().sum();
            let mut potential = *v;
            for (left, current) in left.iter_mut().zip(currents) {
                potential -= wires.word_ohm * carried;
                carried -= current;
                *left = potential;
            }
        }
        // Less what the bit lines raise it by: a segment carries the currents of all cells above it.
        for j in 0..n {
            let mut carried: f64 = (0..m).map(|i| currents[i * n + j]).sum();
            let mut potential = 0.0;
            for i in (0..m).rev() {
                potential += wires.bit_ohm * carried;
                carried -= currents[i * n + j];
                left[i * n + j] -= potential;
            }
        }
        // Not a number is the worst error.
        let errors = left.iter().zip(&dv).map(|(left, v)| (left - v).abs());
        let error = errors.fold(0.0f64, |top, error| if error <= top { top } else { error });
        if error <= tolerance * largest {
            return Ok((0..n).map(|j| (0..m).map(|i| currents[i * n + j]).sum()).collect());
        }
        if error > before || !error.is_finite() {
            rate *= 0.5;
        }
        if error <= 10.0 * before {
            (before, last) = (error, (dv.clone(), left.clone()));
        }
        dv = last.0.iter().zip(&last.1).map(|(v, left)| v + rate * (left - v)).collect();
    }
    Err(Error::Mismatch(format!(
        "the lines' voltages did not settle in {ROUNDS} rounds; expected less resistance, or linear cells and the exact method"
    )))
}

/// How a layer's devices stand on tiles.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Rows of the layer.
    pub rows: usize,
    /// The size of a tile.
    pub tile: Tile,
    /// Columns of weights that a tile holds.
    pub columns: Columns,
}

/// What lines leave of each device of a layer on the nominal chip: conductance seen from outside over its own, slice by slice.
/// Training takes it for every pass in place of solving tiles anew.
#[derive(Clone, Debug, PartialEq)]
pub struct LineLoss {
    /// Shares, laid out as devices are.
    pub slices: Vec<Devices>,
}

impl LineLoss {
    /// Of layer weights `[columns, rows]`; none where the layer's lines are ideal, or it has none.
    pub fn of(profile: &Profile, plan: &Layer, latent: &[f32]) -> Option<Self> {
        if !profile.wires.drop() || place(profile, plan) == Place::Digital {
            return None;
        }
        let rram = profile.rram_of(&plan.name);
        let target = quantise(rram.effective_scheme(), rram.weight_bits, latent);
        let own = cell::nominal(&target, plan.rows(), rram, profile.tile);
        let mut slices = own.clone();
        Layout::of(profile, plan).apply(&mut slices, profile.wires);
        for (seen, own) in slices.iter_mut().zip(&own) {
            for (seen, own) in [(&mut seen.plus, &own.plus), (&mut seen.minus, &own.minus)] {
                // As they are stored: a run that goes on takes the same.
                let share = |seen: f64, own: f64| if own > 0.0 { f64::from((seen / own) as f32) } else { 1.0 };
                seen.iter_mut().zip(own).for_each(|(seen, own)| *seen = share(*seen, *own));
            }
        }
        Some(LineLoss { slices })
    }

    /// Takes these shares of some devices.
    pub fn apply(&self, devices: &mut [Devices]) {
        for (devices, shares) in devices.iter_mut().zip(&self.slices) {
            for (g, share) in [(&mut devices.plus, &shares.plus), (&mut devices.minus, &shares.minus)] {
                g.iter_mut().zip(share).for_each(|(g, share)| *g *= share);
            }
        }
    }
}

impl Layout {
    /// Of a layer on a profile's tiles.
    pub fn of(profile: &Profile, plan: &Layer) -> Self {
        let columns = Columns::of(profile.rram_of(&plan.name), profile.tile);
        Layout { rows: plan.rows(), tile: profile.tile, columns }
    }

    /// Replaces every device's conductance by what its tile's lines leave of it.
    pub fn apply(&self, devices: &mut [Devices], wires: Wires) {
        let count = devices[0].plus.len() / self.rows;
        let tiles: Vec<(usize, usize)> = (0..self.rows.div_ceil(self.tile.rows))
            .flat_map(|row| (0..self.columns.tiles(count)).map(move |column| (row, column)))
            .collect();
        let solved: Vec<Vec<f64>> = tiles
            .par_iter()
            .map(|at| {
                let places = self.places(devices, *at, count);
                let rows = self.tile_rows(at.0);
                let cell = |row: usize, (slice, unit, line): (usize, bool, usize)| {
                    let side = if unit { &devices[slice].minus } else { &devices[slice].plus };
                    side[line * self.rows + row] * MICRO
                };
                let conductances: Vec<f64> = rows
                    .flat_map(|row| places.iter().map(move |place| (row, *place)))
                    .map(|(r, p)| cell(r, p))
                    .collect();
                transfer(&conductances, places.len(), wires)
            })
            .collect();
        for (at, solved) in tiles.iter().zip(solved) {
            let places = self.places(devices, *at, count);
            for (row, solved) in self.tile_rows(at.0).zip(solved.chunks(places.len())) {
                for ((slice, other, line), g) in places.iter().zip(solved) {
                    let side = if *other { &mut devices[*slice].minus } else { &mut devices[*slice].plus };
                    side[line * self.rows + row] = g / MICRO;
                }
            }
        }
    }

    fn tile_rows(&self, tile: usize) -> std::ops::Range<usize> {
        let first = tile * self.tile.rows;
        first..self.rows.min(first + self.tile.rows)
    }

    /// The bit lines of a tile, from the drivers: slice, whether the other side, and column. A weight's devices stand side by side,
    /// unit columns behind all weights.
    fn places(&self, devices: &[Devices], (_, tile): (usize, usize), count: usize) -> Vec<(usize, bool, usize)> {
        let columns = tile * self.columns.per_tile..count.min((tile + 1) * self.columns.per_tile);
        let pairs = devices[0].plus.len() == devices[0].minus.len();
        let sides = if pairs { &[false, true][..] } else { &[false] };
        let weights = columns.flat_map(|column| {
            (0..devices.len()).flat_map(move |slice| sides.iter().map(move |other| (slice, *other, column)))
        });
        let units = (0..devices.len()).filter(|_| !pairs).map(|slice| (slice, true, tile));
        weights.chain(units).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wires(word_ohm: f64, bit_ohm: f64) -> Wires {
        Wires { word_ohm, bit_ohm }
    }

    fn currents(transfer: &[f64], voltages: &[f64]) -> Vec<f64> {
        let n = transfer.len() / voltages.len();
        (0..n).map(|j| voltages.iter().enumerate().map(|(i, v)| v * transfer[i * n + j]).sum()).collect()
    }

    /// The same network as written down, by Gauss's elimination over all nodes: potentials of both lines, `[2, m, n]`.
    fn reference(conductances: &[f64], voltages: &[f64], (r_w, r_b): (f64, f64)) -> Vec<f64> {
        let m = voltages.len();
        let n = conductances.len() / m;
        let (g_w, g_b, size) = (1.0 / r_w, 1.0 / r_b, 2 * m * n);
        let (mut a, mut x) = (vec![vec![0.0; size]; size], vec![0.0; size]);
        let (w, b) = (|i: usize, j: usize| i * n + j, |i: usize, j: usize| m * n + i * n + j);
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let g = conductances[i * n + j];
            a[w(i, j)][w(i, j)] = g + g_w * if j + 1 < n { 2.0 } else { 1.0 };
            a[b(i, j)][b(i, j)] = g + g_b * if i > 0 { 2.0 } else { 1.0 };
            a[w(i, j)][b(i, j)] = -g;
            a[b(i, j)][w(i, j)] = -g;
            if j > 0 {
                a[w(i, j)][w(i, j - 1)] = -g_w;
                a[w(i, j - 1)][w(i, j)] = -g_w;
            }
            if i > 0 {
                a[b(i, j)][b(i - 1, j)] = -g_b;
                a[b(i - 1, j)][b(i, j)] = -g_b;
            }
            x[w(i, 0)] = g_w * voltages[i];
        }
        for k in 0..size {
            for i in k + 1..size {
                let factor = a[i][k] / a[k][k];
                let (above, below) = a.split_at_mut(i);
                below[0].iter_mut().zip(&above[k]).for_each(|(x, p)| *x -= factor * p);
                x[i] -= factor * x[k];
            }
        }
        for k in (0..size).rev() {
            x[k] = (x[k] - (k + 1..size).map(|j| a[k][j] * x[j]).sum::<f64>()) / a[k][k];
        }
        (0..n).map(|j| g_b * x[b(m - 1, j)]).collect()
    }

    #[test]
    fn a_tile_of_another_simulator_has_its_currents() {
        // 5x4, R_ij = 10·(4i + j + 1) Ω, R_word 1 Ω, R_bit 2 Ω, V = (0, 1, 2, 3, 4): Qucs.
        let conductances: Vec<f64> = (0..20).map(|k| 1.0 / (10.0 * (k + 1) as f64)).collect();
        let voltages = [0.0, 1.0, 2.0, 3.0, 4.0];
        let expected = [0.060570196651101416, 0.059327610716747844, 0.05634873882925334, 0.05335235457510154];
        let exact = currents(&transfer(&conductances, 4, wires(1.0, 2.0)), &voltages);
        let iterated = iterate(&conductances, &voltages, wires(1.0, 2.0), Conduction::Linear, 1e-9).unwrap();
        for ((exact, iterated), expected) in exact.iter().zip(&iterated).zip(&expected) {
            assert!((exact - expected).abs() <= 1e-12 * expected, "{exact}, expected {expected}");
            assert!((iterated - expected).abs() <= 1e-6 * expected, "{iterated}, expected {expected}");
        }
    }

    #[test]
    fn steep_cells_settle_and_hopeless_ones_are_an_error() {
        let conductances: Vec<f64> = (0..192).map(|k| 5e-5 * (1.0 + 0.9 * (k as f64).sin())).collect();
        let voltages: Vec<f64> = (0..16).map(|i| 0.2 * (i % 3) as f64 / 2.0).collect();
        let at = |v0: f64, ohm: f64| iterate(&conductances, &voltages, wires(ohm, ohm), Conduction::Sinh(v0), 1e-9);
        // 0.2 V across cells of 0.03 V is 13 times what linear ones would carry.
        let steep = at(0.03, 2.0).unwrap();
        let loose = at(0.03, 1e-4).unwrap();
        assert!(steep.iter().zip(&loose).all(|(steep, loose)| *steep > 0.0 && steep < loose), "{steep:?} {loose:?}");
        for v0 in [0.001, 1e-5] {
            match at(v0, 100.0) {
                Ok(currents) => assert!(currents.iter().all(|i| i.is_finite()), "{v0}: {currents:?}"),
                Err(error) => assert!(error.to_string().contains("did not settle"), "{error}"),
            }
        }
    }

    #[test]
    fn every_shape_meets_the_definition() {
        for (m, n, r_w, r_b) in
            [(1, 1, 2.0, 3.0), (1, 7, 5.0, 1.0), (9, 1, 0.5, 8.0), (6, 5, 100.0, 30.0), (8, 11, 1.0, 0.1)]
        {
            let conductances: Vec<f64> = (0..m * n).map(|k| 1e-4 * (1.0 + (k as f64 * 1.7).sin())).collect();
            let voltages: Vec<f64> = (0..m).map(|i| (i as f64 * 0.9).cos() * 0.3).collect();
            let expected = reference(&conductances, &voltages, (r_w, r_b));
            let found = currents(&transfer(&conductances, n, wires(r_w, r_b)), &voltages);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-12 * expected.abs().max(1e-6),
                    "{m} x {n}: {found}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn a_line_without_resistance_is_the_limit_of_one_with_little() {
        let conductances: Vec<f64> = (0..42).map(|k| 1e-4 * (1.0 + (k as f64 * 1.3).cos())).collect();
        for (none, little) in [((0.0, 5.0), (1e-7, 5.0)), ((5.0, 0.0), (5.0, 1e-7)), ((0.0, 0.0), (1e-7, 1e-7))] {
            let [none, little] = [none, little].map(|(w, b)| transfer(&conductances, 6, wires(w, b)));
            for (none, little) in none.iter().zip(&little) {
                assert!((none - little).abs() < 1e-9 * none.abs().max(1e-9), "{none} {little}");
            }
        }
    }

    #[test]
    fn devices_are_replaced_tile_by_tile() {
        // 5 rows of 3 pairs on tiles of 3 x 4 lines: two weights a tile.
        let layout =
            Layout { rows: 5, tile: Tile { rows: 3, cols: 4, ..Tile::default() }, columns: Columns { per_tile: 2 } };
        let g = |k: usize| 20.0 + 10.0 * (k as f64).sin();
        let before = Devices { plus: (0..15).map(g).collect(), minus: (20..35).map(g).collect() };
        let mut after = [before.clone()];
        layout.apply(&mut after, wires(10.0, 20.0));
        // The second tile of the second column: rows 3 and 4, weight 2.
        let tile: Vec<f64> =
            [3, 4].iter().flat_map(|r| [before.plus[10 + r] * 1e-6, before.minus[10 + r] * 1e-6]).collect();
        let expected = transfer(&tile, 2, wires(10.0, 20.0));
        let found = [after[0].plus[13], after[0].minus[13], after[0].plus[14], after[0].minus[14]];
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected * 1e6).abs() < 1e-9);
        }
        assert!(after[0].plus.iter().zip(&before.plus).all(|(a, b)| a < b));
    }
}
