//! `[cost.node]`: constants of one technology node, scaled to another.
//!
//! Areas and energies follow the tables of A. Stillmaker and B. Baas, "Scaling equations for the accurate prediction of
//! CMOS device performance from 180 nm to 7 nm", Integration 58, 74 (2017): of areas a factor for each pair of nodes,
//! of energies
//!
//! ```text
//! E(to) / E(from) = (a·V² + b·V + c of `to`, at its supply) / (the same of `from`, at its own)
//! ```
//!
//! Power that flows all the time is scaled as energy. Times stay as they are given, and so does what a cell of RRAM
//! takes: it is no transistor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The nodes of the tables, in nanometre.
pub(super) const NODES: [u32; 10] = [130, 90, 65, 45, 32, 20, 16, 14, 10, 7];

/// Area at the node of a column over that at the node of a row.
const AREAS: [[f64; 10]; 10] = [
    [1.0, 0.44, 0.23, 0.16, 0.072, 0.033, 0.03, 0.027, 0.016, 0.0092],
    [2.3, 1.0, 0.53, 0.35, 0.16, 0.075, 0.067, 0.061, 0.036, 0.021],
    [4.3, 1.9, 1.0, 0.66, 0.31, 0.14, 0.13, 0.12, 0.068, 0.039],
    [6.4, 2.8, 1.5, 1.0, 0.46, 0.21, 0.19, 0.17, 0.1, 0.059],
    [14.0, 6.1, 3.3, 2.2, 1.0, 0.46, 0.41, 0.38, 0.22, 0.13],
    [30.0, 13.0, 7.1, 4.7, 2.2, 1.0, 0.89, 0.82, 0.48, 0.28],
    [34.0, 15.0, 7.9, 5.3, 2.4, 1.1, 1.0, 0.91, 0.54, 0.31],
    [37.0, 16.0, 8.7, 5.8, 2.7, 1.2, 1.1, 1.0, 0.59, 0.34],
    [63.0, 28.0, 15.0, 9.8, 4.5, 2.1, 1.9, 1.7, 1.0, 0.58],
    [110.0, 48.0, 25.0, 17.0, 7.8, 3.6, 3.2, 2.9, 1.7, 1.0],
];

/// a, b and c of the energy at each node.
const ENERGIES: [[f64; 3]; 10] = [
    [7.171, -6.709, 2.904],
    [4.762, -4.781, 2.092],
    [3.755, -4.398, 1.975],
    [1.103, -0.362, 0.2767],
    [0.9559, -0.7823, 0.471],
    [0.373, -0.1582, 0.04104],
    [0.2958, -0.1241, 0.03024],
    [0.2363, -0.09675, 0.02239],
    [0.2068, -0.09311, 0.02375],
    [0.1776, -0.09097, 0.02447],
];

/// The node that the constants of `[cost]` are of, and the one that chips are made at: all four keys, or none.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let keys = ["adc.range=full", "cost.node={from_nm=65, from_v=1.0, to_nm=32, to_v=0.9}"].map(String::from);
/// let cost = Profile::named("spikesim_65nm", &keys)?.cost;
/// let scaled = cost.at_node();
/// // 0.31 times the area, and (0.9559·0.9² − 0.7823·0.9 + 0.471) / (3.755 − 4.398 + 1.975) of the energy at 1 V.
/// assert_eq!(scaled.area_um2.mux, cost.area_um2.mux.map(|um2| 0.31 * um2));
/// assert!((scaled.energy_pj.mux.unwrap() / cost.energy_pj.mux.unwrap() - 0.40631).abs() < 1e-5);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TechnologyNode {
    /// Nanometre of the constants' node: 130, 90, 65, 45, 32, 20, 16, 14, 10 or 7.
    pub from_nm: u32,
    /// Volt of its supply.
    pub from_v: f64,
    /// Nanometre of the chip's node.
    pub to_nm: u32,
    /// Volt of its supply.
    pub to_v: f64,
}

impl TechnologyNode {
    /// The supply in volt from which on the energies of a node rise with it, as its polynomial has them; none of a node
    /// that is not in the tables.
    pub(super) fn least_volt(nm: u32) -> Option<f64> {
        let [a, b, _] = ENERGIES[NODES.iter().position(|node| *node == nm)?];
        Some(-b / (2.0 * a))
    }

    /// The factors of area and of energy; none where a node is not in the tables.
    pub(super) fn factors(&self) -> Option<[f64; 2]> {
        let place = |nm: u32| NODES.iter().position(|node| *node == nm);
        let (from, to) = (place(self.from_nm)?, place(self.to_nm)?);
        let energy = |node: usize, v: f64| {
            let [a, b, c] = ENERGIES[node];
            a * v * v + b * v + c
        };
        Some([AREAS[from][to], energy(to, self.to_v) / energy(from, self.from_v)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_as_far_as_the_table_goes() {
        for from_nm in NODES {
            for to_nm in NODES {
                let there = TechnologyNode { from_nm, to_nm, from_v: 0.9, to_v: 0.8 }.factors().unwrap();
                let back = TechnologyNode { from_nm: to_nm, to_nm: from_nm, from_v: 0.8, to_v: 0.9 }.factors().unwrap();
                // Areas have two digits.
                assert!((there[0] * back[0] - 1.0).abs() < 0.06, "{from_nm} {to_nm}");
                assert!((there[1] * back[1] - 1.0).abs() < 1e-12, "{from_nm} {to_nm}");
                let smaller = to_nm <= from_nm;
                assert_eq!(there[0] <= 1.0, smaller, "{from_nm} {to_nm}");
            }
        }
    }
}
