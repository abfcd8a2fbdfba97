//! One tile of cells between lines with resistance: what its bit lines carry.
//!
//! Nodal analysis of m word lines, driven at the left through one segment (g_w = 1/R_word), and n bit lines, grounded
//! at the bottom through one segment (g_b = 1/R_bit); W and B are the potentials of a cell's two nodes. The first
//! segment of a word line and the last of a bit line have the resistance of driver and sense node with their own:
//!
//! ```text
//! (g + g_w·(1 + [j < n−1]))·W_ij − g_w·W_i,j−1 − g_w·W_i,j+1 − g·B_ij = g_w·V_i·[j = 0]
//! (g + g_b·(1 + [i > 0]))·B_ij − g_b·B_i−1,j − g_b·B_i+1,j − g·W_ij = 0        I_j = g_b·B_m−1,j
//! ```
//!
//! 0 Ω merges the nodes of a line. Cells are linear and every row is driven (one without a pulse by 0 V), so currents
//! are a matrix times the voltages: [`transfer`], solved once a tile and used as its conductances from then on.
//!
//! **How.** Word lines couple to each other through bit lines alone, so the tile is eliminated row by row from the top.
//! The rows so far leave a network between the n bit lines and the drivers (`EliminationFront`): a
//! conductance between each two of them. A row adds what its word line, eliminated, connects; a segment of the bit
//! lines then leads to the next row.
//!
//! **Every digit.** Each quantity is a conductance or a share of a voltage, and none is ever subtracted from another:
//! the diagonal of the nodal matrix, which would be, is summed up anew from the conductances at each pivot (Grassmann,
//! Taksar & Heyman, Operations Research 33, 1107, 1985; a matrix so given is inverted to full relative accuracy, Alfa,
//! Xue & Ye, Math. Comp. 71, 217, 2002). So a cell of 10²⁰ S and a line of 10⁻³⁰⁰ Ω, between which ordinary elimination
//! loses every digit, are as exact as any.
//!
//! **Checked.** With every driver and the ground at 1 V, every node is at 1 V: this is held to 10⁻⁹ of every word line
//! and every inverse, and the end's currents to the network that they come from. What does not pass is an error, never
//! a number.
//!
//! A library's sparse factorisation would do as well for ordinary tiles, but its sums follow the processor's
//! instructions, and a chip has to be the same bits on every machine: here each element adds up in one order, whatever
//! the width of the vectors.
//!
//! What is not linear goes by iteration ([`super::relaxation`]).

use super::elimination::{dot, invert, multiply, sum};
use crate::error::{Error, Result};
use crate::monitor::stop_if_asked;
use crate::profile::Wires;

/// The least resistance of a segment, in ohm, that is not 0: its conductance leaves room for sums.
pub const LEAST_OHM: f64 = 1e-300;
/// The resistance of a segment between nodes that are one, in ohm: between cells and terminals of any use it leaves
/// every digit, and what two nodes have in common, a conductance over the square of the segment's, is still a number.
const MERGED_OHM: f64 = 1e-100;
/// The largest conductance of a cell, in siemens.
pub const MOST_SIEMENS: f64 = 1e300;
/// How far a node may be from 1 V where every terminal is at 1 V.
const TOLERANCE: f64 = 1e-9;

/// What the bit lines of a tile of `m` x `n` cells carry for 1 V on one word line, in siemens `[m, n]`; `conductances`
/// likewise.
///
/// # Errors
/// [`Error::Mismatch`] where the potentials of a unit voltage do not come out: conductances beyond what floats hold.
pub fn transfer(conductances: &[f64], n: usize, wires: Wires) -> Result<Vec<f64>> {
    let m = conductances.len() / n;
    let (word, bit) = (Segments::of(wires.word_ohm, wires.driver_ohm), Segments::of(wires.bit_ohm, wires.sense_ohm));
    match (word, bit) {
        (None, None) => Ok(conductances.to_vec()),
        (Some(word), None) => word_lines(conductances, n, word),
        (None, Some(bit)) => bit_lines(conductances, n, bit),
        (Some(word), Some(bit)) => both(conductances, (m, n), word, bit),
    }
}

/// The conductances of a line's segments in siemens.
#[derive(Clone, Copy, Debug)]
struct Segments {
    /// The segment at the line's terminal, with what it has in series.
    end: f64,
    /// Every other.
    each: f64,
}

impl Segments {
    /// The segments of a line with something in series at its terminal; none where both are ideal. An ideal line behind
    /// such a terminal has segments of so little resistance that its nodes are one to the last digit.
    fn of(ohm: f64, end_ohm: f64) -> Option<Self> {
        let drops = ohm > 0.0 || end_ohm > 0.0;
        let ohm_of_each = if end_ohm > 0.0 { ohm.max(MERGED_OHM) } else { ohm };
        drops.then(|| Segments { end: 1.0 / (ohm + end_ohm), each: 1.0 / ohm_of_each })
    }
}

/// What the end of a word line of `n` cells of this conductance, in siemens, loses of its voltage; bit lines ideal.
pub fn worst_drop(siemens: f64, n: usize, wires: Wires) -> f64 {
    let Some(word) = Segments::of(wires.word_ohm, wires.driver_ohm) else { return 0.0 };
    let ladder = Ladder::new(&vec![siemens; n], word);
    1.0 - ladder.driven.last().copied().unwrap_or(1.0)
}

/// Ideal bit lines: every word line is a ladder to ground.
fn word_lines(conductances: &[f64], n: usize, word: Segments) -> Result<Vec<f64>> {
    let mut currents = Vec::with_capacity(conductances.len());
    for cells in conductances.chunks(n) {
        stop_if_asked();
        let ladder = Ladder::new(cells, word);
        ladder.check(cells)?;
        currents.extend(cells.iter().zip(&ladder.driven).map(|(g, w)| g * w));
    }
    Ok(currents)
}

/// Ideal word lines: every bit line is a ladder from the drivers, and by reciprocity what 1 V at its foot would put on
/// a cell is the share of the cell's current that reaches the foot.
fn bit_lines(conductances: &[f64], n: usize, bit: Segments) -> Result<Vec<f64>> {
    let m = conductances.len() / n;
    let mut currents = vec![0.0; m * n];
    for j in 0..n {
        stop_if_asked();
        let from_the_foot: Vec<f64> = (0..m).rev().map(|i| conductances[i * n + j]).collect();
        let ladder = Ladder::new(&from_the_foot, bit);
        ladder.check(&from_the_foot)?;
        for (i, share) in (0..m).rev().zip(&ladder.driven) {
            currents[i * n + j] = share * conductances[i * n + j];
        }
    }
    Ok(currents)
}

/// Both lines drop voltage.
fn both(conductances: &[f64], (m, n): (usize, usize), word: Segments, bit: Segments) -> Result<Vec<f64>> {
    let mut front =
        EliminationFront { coupling: vec![0.0; n * n], excess: vec![0.0; n], drivers: vec![0.0; n * m], n, m };
    for (i, cells) in conductances.chunks(n).enumerate() {
        stop_if_asked();
        front.add_row(i, cells, word)?;
        front.lead_down(i + 1, if i + 1 == m { bit.end } else { bit.each })?;
    }
    Ok((0..m * n).map(|at| front.drivers[at % n * m + at / n]).collect())
}

/// A line of segments with a cell to ground at each node, driven at its first segment.
struct Ladder {
    /// Potentials for 1 V at the driver.
    driven: Vec<f64>,
    /// The share of each node's potential that is left at the next one and at the one before, where the line is driven
    /// from this side.
    onward: Vec<f64>,
    back: Vec<f64>,
    /// Conductance between each node and all terminals.
    total: Vec<f64>,
}

impl Ladder {
    fn new(cells: &[f64], line: Segments) -> Self {
        let n = cells.len();
        let mut ladder = Ladder { driven: vec![0.0; n], onward: vec![0.0; n], back: vec![0.0; n], total: vec![0.0; n] };
        // What is behind a node, the node's own cell with it, seen from the segment in front of it.
        let mut behind = 0.0;
        for (j, cell) in cells.iter().enumerate().rev() {
            ladder.total[j] = behind;
            let here = cell + behind;
            ladder.onward[j] = share(if j == 0 { line.end } else { line.each }, here);
            behind = here * ladder.onward[j];
        }
        let (mut before, mut potential) = (line.end, 1.0);
        for (j, cell) in cells.iter().enumerate() {
            potential *= ladder.onward[j];
            ladder.driven[j] = potential;
            ladder.total[j] += cell + before;
            let here = cell + before;
            ladder.back[j] = share(line.each, here);
            before = here * ladder.back[j];
        }
        ladder
    }

    /// Potentials for 1 A into node `k`.
    fn injected(&self, k: usize, potentials: &mut [f64]) {
        let here = 1.0 / self.total[k];
        potentials[k] = here;
        let (mut left, mut right) = (here, here);
        for (potential, share) in potentials.iter_mut().zip(&self.onward).skip(k + 1) {
            right *= share;
            *potential = right;
        }
        for (potential, share) in potentials.iter_mut().zip(&self.back).take(k).rev() {
            left *= share;
            *potential = left;
        }
    }

    /// An error unless 1 V at the driver and at every cell is 1 V at the last node, where most of all is summed up.
    fn check(&self, cells: &[f64]) -> Result<()> {
        let mut potentials = vec![0.0; cells.len()];
        self.injected(cells.len() - 1, &mut potentials);
        // By reciprocity, what each cell puts on that node.
        let from_cells: f64 = potentials.iter().zip(cells).map(|(x, g)| x * g).sum();
        check(from_cells + self.driven[cells.len() - 1])
    }
}

/// The share that is left behind `g` of a voltage across a conductance `g` and then `load`.
fn share(g: f64, load: f64) -> f64 {
    g / (g + load)
}

/// An error where a node is not at 1 V.
fn check(volt: f64) -> Result<()> {
    if (volt - 1.0).abs() <= TOLERANCE {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "a tile cannot be solved: with 1 V on every line a node comes to {volt} V; expected conductances of at most \
         {MOST_SIEMENS:e} S, and lines of 0 or at least {LEAST_OHM:e} ohm"
    )))
}

/// The rows so far, as a network between the n nodes of the bit lines below them and the m drivers.
struct EliminationFront {
    /// Conductance between two nodes, `[n, n]`; the diagonal has no meaning.
    coupling: Vec<f64>,
    /// Conductance of each node to all drivers.
    excess: Vec<f64>,
    /// Conductance to each driver, `[n, m]`.
    drivers: Vec<f64>,
    n: usize,
    m: usize,
}

impl EliminationFront {
    /// Adds row `i`: its word line, eliminated, connects the bit lines with each other and with its driver.
    fn add_row(&mut self, i: usize, cells: &[f64], word: Segments) -> Result<()> {
        let EliminationFront { n, m, .. } = *self;
        let ladder = Ladder::new(cells, word);
        let mut potentials = vec![0.0; n];
        for (k, into) in cells.iter().enumerate() {
            ladder.injected(k, &mut potentials);
            let coupling = &mut self.coupling[k * n..(k + 1) * n];
            let mut volt = ladder.driven[k];
            for ((coupling, x), g) in coupling.iter_mut().zip(&potentials).zip(cells) {
                let from_cell = x * g;
                volt += from_cell;
                *coupling += from_cell * into;
            }
            check(volt)?;
            let to_driver = into * ladder.driven[k];
            self.drivers[k * m + i] = to_driver;
            self.excess[k] += to_driver;
        }
        Ok(())
    }

    /// Puts a segment between each node and a new one below it, and eliminates the former. Behind the last row the new
    /// nodes are the ground, and their conductances to the drivers what the bit lines carry. `rows` have been added so
    /// far.
    fn lead_down(&mut self, rows: usize, g_b: f64) -> Result<()> {
        let EliminationFront { n, m, .. } = *self;
        let to_terminals: Vec<f64> = self.excess.iter().map(|e| e + g_b).collect();
        let mut inverse = std::mem::take(&mut self.coupling);
        invert(&mut inverse, n, &mut to_terminals.clone());
        inverse.chunks(n).try_for_each(|row| check(dot(row, &to_terminals)))?;
        // This becomes the share of each new node's current that reaches a former one.
        inverse.iter_mut().for_each(|x| *x *= g_b);
        let drivers = std::mem::take(&mut self.drivers);
        self.drivers = vec![0.0; n * m];
        multiply(&inverse, &drivers, (n, m, rows), &mut self.drivers);
        self.excess = inverse.chunks(n).map(|row| dot(row, &self.excess)).collect();
        inverse.iter_mut().for_each(|x| *x *= g_b);
        self.coupling = inverse;
        let connected = self.drivers.chunks(m).zip(&self.excess).filter(|(_, excess)| **excess > 0.0);
        connected.map(|(drivers, excess)| sum(drivers) / excess).try_for_each(check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crossbar::relaxation::{Conduction, iterate};

    fn wires(word_ohm: f64, bit_ohm: f64) -> Wires {
        Wires { word_ohm, bit_ohm, ..Wires::default() }
    }

    fn currents(transfer: &[f64], voltages: &[f64]) -> Vec<f64> {
        let n = transfer.len() / voltages.len();
        (0..n).map(|j| voltages.iter().enumerate().map(|(i, v)| v * transfer[i * n + j]).sum()).collect()
    }

    /// The network as it is written down, solved by Gauss's elimination over all nodes: potentials of both lines, `[2,
    /// m, n]`.
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
        let exact = currents(&transfer(&conductances, 4, wires(1.0, 2.0)).unwrap(), &voltages);
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
        for (m, n, r_w, r_b) in [
            (1, 1, 2.0, 3.0),
            (1, 7, 5.0, 1.0),
            (9, 1, 0.5, 8.0),
            (6, 5, 100.0, 30.0),
            (8, 11, 1.0, 0.1),
            (5, 16, 3.0, 4.0),
        ] {
            let conductances: Vec<f64> = (0..m * n).map(|k| 1e-4 * (1.0 + (k as f64 * 1.7).sin())).collect();
            let voltages: Vec<f64> = (0..m).map(|i| (i as f64 * 0.9).cos() * 0.3).collect();
            let expected = reference(&conductances, &voltages, (r_w, r_b));
            let found = currents(&transfer(&conductances, n, wires(r_w, r_b)).unwrap(), &voltages);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-12 * expected.abs().max(1e-6),
                    "{m} x {n}: {found}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn drivers_and_sense_nodes_divide_voltage_and_current() {
        let conductances: Vec<f64> = (0..12).map(|k| 1e-4 * (1.0 + (k as f64 * 1.3).cos())).collect();
        let row = |i: usize| conductances[i * 4..][..4].iter().sum::<f64>();
        let column = |j: usize| (0..3).map(|i| conductances[i * 4 + j]).sum::<f64>();
        // A row between ideal lines loads its driver with all of its cells, and a column its sense node.
        let driven = transfer(&conductances, 4, Wires { driver_ohm: 500.0, ..Wires::default() }).unwrap();
        let sensed = transfer(&conductances, 4, Wires { sense_ohm: 500.0, ..Wires::default() }).unwrap();
        for (k, g) in conductances.iter().enumerate() {
            for (found, load) in [(driven[k], row(k / 4)), (sensed[k], column(k % 4))] {
                let expected = g / (1.0 + 500.0 * load);
                assert!((found - expected).abs() <= 1e-14 * expected, "{k}: {found}, expected {expected}");
            }
        }
        // Both at once, between ideal lines: each row and each column is one node.
        let both = Wires { driver_ohm: 300.0, sense_ohm: 200.0, ..Wires::default() };
        let lines = Wires { word_ohm: 1e-9, bit_ohm: 1e-9, ..both };
        let [merged, near] = [both, lines].map(|wires| transfer(&conductances, 4, wires).unwrap());
        for (merged, near) in merged.iter().zip(&near) {
            assert!((merged - near).abs() <= 1e-11 * near, "{merged} {near}");
        }
        // At the end of a line of one cell, a terminal's resistance is one more of the segment's.
        let at_the_end = Wires { word_ohm: 2.0, bit_ohm: 3.0, driver_ohm: 40.0, sense_ohm: 50.0 };
        assert_eq!(transfer(&[1e-3], 1, at_the_end).unwrap(), transfer(&[1e-3], 1, wires(42.0, 53.0)).unwrap());
    }

    #[test]
    fn a_line_without_resistance_is_the_limit_of_one_with_little() {
        let conductances: Vec<f64> = (0..42).map(|k| 1e-4 * (1.0 + (k as f64 * 1.3).cos())).collect();
        for (none, little) in [((0.0, 5.0), (1e-7, 5.0)), ((5.0, 0.0), (5.0, 1e-7)), ((0.0, 0.0), (1e-7, 1e-7))] {
            let [none, little] = [none, little].map(|(w, b)| transfer(&conductances, 6, wires(w, b)).unwrap());
            for (none, little) in none.iter().zip(&little) {
                assert!((none - little).abs() < 1e-9 * none.abs().max(1e-9), "{none} {little}");
            }
        }
    }

    /// A tile reduced by star-mesh transforms of its nodes one by one, in the order of their numbers: conductances
    /// between all nodes and terminals (m drivers, n grounds), from which the node goes and leaves `g_ak·g_bk/Σ_c g_ck`
    /// between each two.
    fn star_mesh(conductances: &[f64], m: usize, (r_w, r_b): (f64, f64)) -> Vec<f64> {
        let n = conductances.len() / m;
        let (nodes, terminals) = (2 * m * n, m + n);
        let mut between = vec![vec![0.0f64; nodes + terminals]; nodes + terminals];
        let mut join = |a: usize, b: usize, g: f64| {
            between[a][b] += g;
            between[b][a] += g;
        };
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let (word, bit) = (i * n + j, m * n + i * n + j);
            join(word, bit, conductances[i * n + j]);
            join(word, if j == 0 { nodes + i } else { word - 1 }, 1.0 / r_w);
            join(bit, if i + 1 == m { nodes + m + j } else { bit + n }, 1.0 / r_b);
        }
        for k in 0..nodes {
            let star: Vec<f64> = (0..nodes + terminals).map(|c| if c > k { between[k][c] } else { 0.0 }).collect();
            let total: f64 = star.iter().sum();
            for (a, b) in (k + 1..nodes + terminals).flat_map(|a| (k + 1..nodes + terminals).map(move |b| (a, b))) {
                if a != b && star[a] > 0.0 {
                    between[a][b] += star[a] * (star[b] / total);
                }
            }
        }
        (0..m * n).map(|at| between[nodes + at / n][nodes + m + at % n]).collect()
    }

    #[test]
    fn shorts_open_cells_and_lines_of_any_resistance_keep_every_digit() {
        let mut state = 7u64;
        let mut decade = |from: i32, to: i32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            10f64.powf(f64::from(from) + (state >> 11) as f64 / (1u64 << 53) as f64 * f64::from(to - from))
        };
        for case in 0..300 {
            let (m, n) = (1 + case % 4, 1 + case / 4 % 5);
            let (r_w, r_b) = (decade(-30, 9), decade(-30, 9));
            let cells: Vec<f64> = (0..m * n)
                .map(|i| match (i + case) % 7 {
                    0 => 0.0,
                    1 => decade(10, 30),
                    _ => decade(-12, 3),
                })
                .collect();
            let found = transfer(&cells, n, wires(r_w, r_b)).unwrap();
            for (found, expected) in found.iter().zip(star_mesh(&cells, m, (r_w, r_b))) {
                assert!((found - expected).abs() <= 1e-12 * expected, "{case}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn what_floats_cannot_hold_is_an_error() {
        for (cell, r_w, r_b) in
            [(1e300, 1e-308, 1e-308), (f64::INFINITY, 1.0, 1.0), (1.0, 0.0, 1e-309), (1.0, 1e-309, 0.0)]
        {
            let found = transfer(&[cell, 1e-5, 2e-5, 3e-5], 2, wires(r_w, r_b));
            assert!(found.is_err_and(|error| error.to_string().contains("cannot be solved")), "{cell} {r_w} {r_b}");
        }
    }
}
