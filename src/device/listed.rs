//! Conductances that a cell can be programmed to, as a profile lists them: which of them a device takes, and which two
//! a pair.

use std::sync::Arc;

use crate::profile::{Cell, CellMapping};

/// Two conductances of a list, in microsiemens, and their difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ConductancePair {
    pub difference: f64,
    pub plus: f64,
    pub minus: f64,
}

/// The pairs that a list of conductances makes, by rising difference. Of those with the same, there is the one that the
/// mapping prefers: one-sided the smallest conductances, two-sided those nearest to the middle of the range.
pub(super) fn pairs(cell: &Cell) -> Arc<[ConductancePair]> {
    let listed = &cell.levels_us;
    if listed.is_empty() || cell.bits > 0 || cell.mapping == CellMapping::Offset {
        return Arc::default();
    }
    let all = listed.iter().flat_map(|plus| listed.iter().map(move |minus| (*plus, *minus)));
    let mut all: Vec<ConductancePair> =
        all.map(|(plus, minus)| ConductancePair { difference: plus - minus, plus, minus }).collect();
    let raised = |pair: &ConductancePair| match cell.mapping {
        CellMapping::TwoSided => (pair.plus + pair.minus - cell.lowest_us() - cell.highest_us()).abs(),
        _ => pair.plus + pair.minus,
    };
    all.sort_by(|a, b| a.difference.total_cmp(&b.difference));
    // Differences that only rounding tells apart are the same.
    let same = 1e-9 * cell.highest_us();
    let groups = all.chunk_by(|a, b| b.difference - a.difference <= same);
    groups.filter_map(|group| group.iter().min_by(|a, b| raised(a).total_cmp(&raised(b)))).copied().collect()
}

/// The value of rising ones that is nearest; between two the lower.
pub(super) fn nearest<T: Copy>(rising: &[T], wanted: f64, of: impl Fn(&T) -> f64) -> T {
    let above = rising.partition_point(|value| of(value) < wanted).min(rising.len() - 1);
    let below = above.saturating_sub(1);
    let [lower, higher] = [&rising[below], &rising[above]];
    if wanted - of(lower) <= of(higher) - wanted { *lower } else { *higher }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Matrix;
    use crate::device::cell::nominal;
    use crate::device::code::magnitudes;
    use crate::device::devices::Devices;
    use crate::profile::{DeviceModel, Rram, Scheme, Tile};

    fn rram(listed: Vec<f64>, bits: u32, mapping: CellMapping) -> Rram {
        let g_max_us = if listed.is_empty() { 60.0 } else { 0.0 };
        let cell = Cell { g_max_us, levels_us: listed, bits, mapping, ..Cell::default() };
        Rram { weight_bits: 4, scheme: Scheme::Integer, model: DeviceModel::Cell, cell, ..Rram::default() }
    }

    fn devices(rram: &Rram, weights: &[f32]) -> Vec<(Vec<f64>, Vec<f64>)> {
        let devices = nominal(weights, Matrix::new(1, 0, rram, Tile::default()));
        devices.into_iter().map(|Devices { plus, minus }| (plus, minus)).collect()
    }

    #[test]
    fn listed_conductances_at_even_distances_are_those_of_a_range() {
        let weights: Vec<f32> = (-8..=8).map(|j| j as f32 / 8.0).collect();
        let evenly =
            |count: usize| (0..count).map(|level| 60.0 * level as f64 / (count - 1) as f64).collect::<Vec<_>>();
        for (mapping, bits, count) in [
            (CellMapping::OneSided, 0, 9),
            (CellMapping::TwoSided, 0, 17),
            (CellMapping::Offset, 0, 17),
            (CellMapping::OneSided, 2, 4),
            (CellMapping::Offset, 1, 2),
        ] {
            let [expected, found] =
                [vec![], evenly(count)].map(|listed| devices(&rram(listed, bits, mapping), &weights));
            for ((plus, minus), (expected_plus, expected_minus)) in found.iter().zip(&expected) {
                let pairs = plus.iter().zip(expected_plus).chain(minus.iter().zip(expected_minus));
                pairs.for_each(|(g, expected)| {
                    assert!((g - expected).abs() < 1e-9, "{mapping:?}, {bits} bits: {g} {expected}")
                });
            }
        }
    }

    #[test]
    fn pairs_are_those_whose_difference_is_nearest() {
        // Pairs of 0, 10, 30 and 70 µS make 10, 20, 30, 40, 60 and 70.
        let listed = rram(vec![0.0, 10.0, 30.0, 70.0], 0, CellMapping::OneSided);
        for (j, expected) in
            [(8, (70.0, 0.0)), (7, (70.0, 10.0)), (5, (70.0, 30.0)), (3, (30.0, 0.0)), (2, (30.0, 10.0))]
        {
            let (plus, minus) = expected;
            let of = |j: i32| devices(&listed, &[j as f32 / 8.0]).remove(0);
            assert_eq!(of(j), (vec![plus], vec![minus]), "{j}");
            assert_eq!(of(-j), (vec![minus], vec![plus]), "{j}");
        }
        assert_eq!(devices(&listed, &[0.0]), [(vec![0.0], vec![0.0])], "nothing is held by the smallest conductances");
        let two_sided = rram(vec![0.0, 10.0, 30.0, 70.0], 0, CellMapping::TwoSided);
        assert_eq!(devices(&two_sided, &[0.0]), [(vec![30.0], vec![30.0])], "or by those nearest to the middle");
        let raised = rram(vec![0.0, 10.0, 30.0, 70.0], 0, CellMapping::Offset);
        // Conductances from 0 to 70 in even steps hold -8 to 8 sixteenths, with 35 in the middle.
        assert_eq!(devices(&raised, &[0.5]), [(vec![70.0], vec![30.0])]);
        assert_eq!((magnitudes(&listed), magnitudes(&two_sided)), (9, 17));
    }
}
