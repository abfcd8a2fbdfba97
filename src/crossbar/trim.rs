//! Trimmed columns: a gain and an offset of each column, found from a chip's read-back, that make its sums as near as
//! they can be to those of its targets.
//!
//! Inputs s have a mean m and a variance v by row, which training images give ([`super::calibration`]), and are taken
//! as independent of each other; q are the targets of a column and w its cells. Then `a·Σ w·s + b` has the variance and
//! the mean of `Σ q·s` for
//!
//! ```text
//! a = √(Σ v·q² / Σ v·w²)        b = Σ m·(q − a·w − what the companion array adds)
//! ```
//!
//! The gain of least squared error, Σ v·q·w / Σ v·w², is smaller the more cells miss their targets; neurons then fire
//! less, and chips with it are less accurate than with this one. Both are stored in `sram.trim_bits`: a as a whole
//! multiple of 2^(1 − bits) below 2, b as a signed number in units of a power of two, which its layer has in common.
//! The gain scales the converter's reference, as that of compensated drift does; the offset joins that of the neuron's
//! norm, or the readout's bias. A gain is analogue and an offset is read with the norm's own, so neither is read from
//! SRAM as sums are made; both are bytes of the chip.

use super::site::Site;
use super::sram::Companion;
use crate::device::ProgrammedCells;

/// The gains of a layer's columns.
pub fn gains(site: &Site, cells: &ProgrammedCells) -> Vec<f64> {
    let step = libm::exp2(1.0 - f64::from(site.sram.trim_bits));
    let most = 2.0 - step;
    let gain = |(column, (target, programmed)): (usize, (&[f32], &[f32]))| {
        let (mut asked, mut own) = (0.0, 0.0);
        for ((q, w), input) in target.iter().zip(programmed).zip(site.inputs_of(column)) {
            asked += input.variance() * f64::from(*q).powi(2);
            own += input.variance() * f64::from(*w).powi(2);
        }
        if asked > 0.0 && own > 0.0 { (libm::rint((asked / own).sqrt() / step) * step).clamp(step, most) } else { 1.0 }
    };
    let columns = cells.target.chunks(site.rows).zip(cells.programmed.chunks(site.rows));
    columns.enumerate().map(gain).collect()
}

/// The offsets of a layer's columns, whose cells are scaled by their gains already; `correcting` is the array that
/// corrects them, if one does.
pub fn offsets(site: &Site, cells: &ProgrammedCells, correcting: Option<&Companion>) -> Vec<f64> {
    let scale = correcting.map_or(0.0, |companion| libm::exp2(f64::from(companion.shift)));
    let offset = |column: usize| -> f64 {
        let range = column * site.rows..(column + 1) * site.rows;
        let of_array = correcting.map(|companion| &companion.weights[range.clone()]);
        let of_branch = correcting.and_then(|companion| companion.low_rank.as_ref());
        let of_branch = of_branch.map(|branch| &branch.product[range.clone()]);
        let missing = cells.target[range.clone()].iter().zip(&cells.programmed[range]);
        let left = missing.enumerate().map(|(row, (q, w))| {
            let corrected = scale * of_array.map_or(0.0, |weights| f64::from(weights[row]));
            f64::from(*q) - f64::from(*w) - corrected - of_branch.map_or(0.0, |product| f64::from(product[row]))
        });
        left.zip(site.inputs_of(column)).map(|(left, input)| left * input.mean).fold(0.0, |sum, more| sum + more)
    };
    in_codes((0..site.columns).map(offset).collect(), site.sram.trim_bits)
}

/// Offsets as signed codes of so many bits hold them, in units of a power of two that they have in common.
fn in_codes(offsets: Vec<f64>, bits: u32) -> Vec<f64> {
    let largest = offsets.iter().fold(0.0f64, |most, offset| most.max(offset.abs()));
    if largest == 0.0 {
        return offsets;
    }
    let most = libm::exp2(f64::from(bits - 1)) - 1.0;
    let unit = libm::exp2(libm::ceil(libm::log2(largest / most)));
    offsets.into_iter().map(|offset| libm::rint(offset / unit).clamp(-most, most) * unit).collect()
}

/// Joins the offsets of columns to those behind them, `[steps, columns]`, each times the gain there.
pub fn join(trims: &[f64], gains: &[f32], offsets: &mut [f32]) {
    for ((offset, gain), trim) in offsets.iter_mut().zip(gains).zip(trims.iter().cycle()) {
        *offset = (f64::from(*offset) + f64::from(*gain) * trim) as f32;
    }
}

/// Bytes of the trims of a layer's columns.
pub fn bytes(site: &Site) -> usize {
    if site.is_trimmed() { (2 * site.sram.trim_bits as usize * site.columns).div_ceil(8) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crossbar::calibration::RowInput;
    use crate::profile::Sram;

    #[test]
    fn a_column_whose_cells_lost_a_share_alike_gets_it_back() {
        // A gain and an offset bring back exactly what all cells of a column lost alike: a quarter here, beside a
        // column that is right.
        let inputs = |mean: f64, square: f64| RowInput { mean, square };
        let site = Site {
            sram: Sram { trim_bits: 8, ..Sram::default() },
            inputs: [inputs(0.5, 0.5), inputs(0.25, 0.25), inputs(0.5, 1.0)].into(),
            ..Site::of_test(3, 2)
        };
        let target = vec![0.5, -0.25, 1.0, 0.75, 0.5, -0.5];
        let held = vec![0.375, -0.1875, 0.75, 0.75, 0.5, -0.5];
        let cells = ProgrammedCells::holding(target.clone(), held);
        let gains = gains(&site, &cells);
        assert_eq!(gains[1], 1.0);
        assert!((gains[0] - 4.0 / 3.0).abs() <= 1.0 / 256.0, "{gains:?}");
        // The offset is what is left of the means: 0.5·0.5 − 0.25·0.25 + 0.5·1 for the first column as it was, a
        // quarter of it.
        let offsets = offsets(&site, &cells, None);
        let missing = 0.25 * (0.5 * 0.5 - 0.25 * 0.25 + 0.5 * 1.0);
        assert!((offsets[0] - missing).abs() <= missing / 127.0 && offsets[1] == 0.0, "{offsets:?} for {missing}");
        assert_eq!(bytes(&site), 4);
    }

    #[test]
    fn offsets_are_codes_of_a_unit_that_is_a_power_of_two() {
        let found = in_codes(vec![0.9, -0.31, 0.0, 0.1], 4);
        // 0.9 of seven codes: a unit of 1/4 holds 1.75, one of 1/8 no more than 0.875.
        assert_eq!(found, [1.0, -0.25, 0.0, 0.0]);
        assert_eq!(in_codes(vec![0.0, 0.0], 4), [0.0, 0.0]);
    }
}
