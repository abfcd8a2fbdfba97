//! The efficiency of a full tile, apart from any network.

use crate::device::cell::TileColumns;
use crate::device::code::{bit_lines, slices};
use crate::profile::Profile;

/// Tera-operations a second and watt of a full tile, every row driven by one bit: a multiplication and an addition a
/// weight, over devices, converters, codes and traffic. None without converters, or where the profile lacks the energy
/// of a conversion or of a device's read.
///
/// NeuRRAM (Wan et al., Nature 608, 504, 2022) measured 43.08 with 1-bit inputs and 3-bit outputs, tiles of 256 x 256
/// cells in differential pairs at 130 nm.
pub fn tile_efficiency(profile: &Profile) -> Option<f64> {
    let (rram, e) = (&profile.rram, &profile.cost.energy_pj);
    if !profile.converts() || e.cell_read.is_none() || e.adc.is_none() {
        return None;
    }
    let (columns, (lines, units)) = (TileColumns::of(rram, profile.tile).per_tile as f64, bit_lines(rram));
    let (rows, slices) = (profile.tile.rows as f64, slices(rram) as f64);
    let turns = profile.tile.turns() as f64;
    let of = |pj: Option<f64>| pj.unwrap_or(0.0);
    let (conversion, width) = (profile.cost.conversion(profile.adc.bits), profile.cost.width(profile.adc.bits));
    let moved = [e.code, e.htree, e.tile_buffer, e.temporary_buffer].map(of).iter().sum::<f64>();
    let code = of(e.adc) * conversion + of(e.mux) + moved * width;
    let devices = rows * (columns * lines as f64 + units as f64);
    let conversions = turns * (columns * slices + units as f64);
    let pj = of(e.cell_read) * devices + of(e.word_line) * rows + code * conversions + of(e.fetch) * turns;
    Some(2.0 * rows * columns / pj)
}
