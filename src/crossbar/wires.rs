//! Lines with resistance: how a layer's devices stand between them, and what the lines of a tile leave of each.
//!
//! A tile's rows stand next to the ground of its bit lines and its columns next to the drivers of its word lines; what
//! a layer leaves empty of a tile carries no current. Each tile is solved by itself ([`super::nodal`]).

use rayon::prelude::*;

use super::nodal::transfer;
use super::relaxation::{Settled, settle};
use super::site::Site;
use crate::device::access::Circuit;
use crate::device::cell::{self, Devices, TileColumns};
use crate::device::quantise::quantise;
use crate::error::Result;
use crate::profile::{Tile, Wires};

/// The largest change of a cell's voltage at which it has settled, as a share of the voltage of a read.
const SETTLED: f64 = 1e-10;
/// Siemens in a microsiemens.
const MICRO: f64 = 1e-6;

/// How a layer's devices stand on tiles.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Rows of the layer.
    pub rows: usize,
    /// The size of a tile.
    pub tile: Tile,
    /// Columns of weights that a tile holds.
    pub columns: TileColumns,
}

/// The share of each device's conductance that lines and access devices leave of it on the nominal chip of a layer,
/// slice by slice. Training takes it for every pass in place of solving tiles anew.
#[derive(Clone, Debug, PartialEq)]
pub struct LineLoss {
    /// Shares, laid out as devices are.
    pub slices: Vec<Devices>,
}

impl LineLoss {
    /// The loss that lines bring to layer weights `[columns, rows]`; none where the layer's lines are ideal, or it has
    /// none.
    ///
    /// # Errors
    /// Those of [`transfer`].
    pub fn of(site: &Site, latent: &[f32]) -> Result<Option<Self>> {
        if !site.drops() {
            return Ok(None);
        }
        let target = quantise(site.rram.effective_scheme(), site.rram.weight_bits, latent);
        let own = cell::nominal(&target, site.matrix());
        let mut slices = own.clone();
        Layout::of(site).apply(&mut slices, site.wires, Circuit::new(&site.rram).as_ref())?;
        for (seen, own) in slices.iter_mut().zip(&own) {
            for (seen, own) in [(&mut seen.plus, &own.plus), (&mut seen.minus, &own.minus)] {
                // Shares are rounded as they are stored, so that a run that goes on takes the same.
                let share = |seen: f64, own: f64| if own > 0.0 { f64::from((seen / own) as f32) } else { 1.0 };
                seen.iter_mut().zip(own).for_each(|(seen, own)| *seen = share(*seen, *own));
            }
        }
        Ok(Some(LineLoss { slices }))
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

/// A bit line of a tile.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Line, Profile, Session};
///
/// let profile = Profile::named("rram_wan_2022", &[])?; // Its weights stand on pairs of devices.
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let tile = session.survey(0)?[0].tile(0, 0).expect("its cells have conductances");
/// let line = |is_subtracted, column| Line { slice: 0, is_subtracted, column };
/// assert_eq!(tile.lines[..4], [line(false, 0), line(true, 0), line(false, 1), line(true, 1)]);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The slice of its devices, from the least significant.
    pub slice: usize,
    /// Whether its devices are those that are subtracted: a pair's others, or a unit column.
    pub is_subtracted: bool,
    /// Its column of the layer; of a unit column the tile's.
    pub column: usize,
}

impl Layout {
    /// The layout of a layer's matrix.
    pub fn of(site: &Site) -> Self {
        Layout { rows: site.rows, tile: site.tile, columns: site.on_tiles() }
    }

    /// Replaces every device's conductance by what its access device and its tile's lines leave of it. Currents that
    /// are not proportional to voltages are so to the voltage that a cell has where every word line is driven by that
    /// of a read.
    ///
    /// # Errors
    /// Those of [`transfer`], and where the voltages of such cells do not settle.
    pub fn apply(&self, devices: &mut [Devices], wires: Wires, circuit: Option<&Circuit>) -> Result<()> {
        let count = devices[0].plus.len() / self.rows;
        let (rows, columns) = self.tiles(count);
        let tiles: Vec<(usize, usize)> =
            (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).collect();
        let solved: Vec<Vec<f64>> = tiles
            .par_iter()
            .map(|at| {
                let lines = self.lines(devices, at.1, count);
                let cell = |row: usize, line: &Line| {
                    let Line { slice, is_subtracted, column } = *line;
                    let side = if is_subtracted { &devices[slice].minus } else { &devices[slice].plus };
                    side[column * self.rows + row]
                };
                let rows = self.tile_rows(at.0);
                let own: Vec<f64> = rows.flat_map(|row| lines.iter().map(move |line| cell(row, line))).collect();
                let seen = seen(own, lines.len(), circuit, wires)?;
                let siemens: Vec<f64> = seen.iter().map(|us| us * MICRO).collect();
                transfer(&siemens, lines.len(), wires)
            })
            .collect::<Result<_>>()?;
        for (at, solved) in tiles.iter().zip(solved) {
            let lines = self.lines(devices, at.1, count);
            for (row, solved) in self.tile_rows(at.0).zip(solved.chunks(lines.len())) {
                for (Line { slice, is_subtracted, column }, g) in lines.iter().zip(solved) {
                    let side = if *is_subtracted { &mut devices[*slice].minus } else { &mut devices[*slice].plus };
                    side[column * self.rows + row] = g / MICRO;
                }
            }
        }
        Ok(())
    }

    /// Tiles along the rows of a layer, and along so many columns.
    pub fn tiles(&self, columns: usize) -> (usize, usize) {
        (self.rows.div_ceil(self.tile.rows), self.columns.tiles(columns))
    }

    /// The layer's rows on a row of tiles.
    pub fn tile_rows(&self, tile: usize) -> std::ops::Range<usize> {
        let first = tile * self.tile.rows;
        first..self.rows.min(first + self.tile.rows)
    }

    /// The bit lines of a tile in a column of tiles, from the drivers. A weight's devices stand side by side, unit
    /// columns behind all weights.
    pub fn lines(&self, devices: &[Devices], tile: usize, count: usize) -> Vec<Line> {
        let columns = tile * self.columns.per_tile..count.min((tile + 1) * self.columns.per_tile);
        let pairs = devices[0].plus.len() == devices[0].minus.len();
        let sides = if pairs { &[false, true][..] } else { &[false] };
        let weights = columns.flat_map(|column| {
            (0..devices.len()).flat_map(move |slice| {
                sides.iter().map(move |is_subtracted| Line { slice, is_subtracted: *is_subtracted, column })
            })
        });
        let units =
            (0..devices.len()).filter(|_| !pairs).map(|slice| Line { slice, is_subtracted: true, column: tile });
        weights.chain(units).collect()
    }
}

/// The chord conductances of a tile's cells `[word lines, n]`, in microsiemens, behind their access devices, where
/// every word line is driven by the voltage of a read.
///
/// # Errors
/// Where the voltages of cells that are not linear do not settle.
pub fn seen(mut own: Vec<f64>, n: usize, circuit: Option<&Circuit>, wires: Wires) -> Result<Vec<f64>> {
    let Some(circuit) = circuit else { return Ok(own) };
    if !circuit.is_curved() || !wires.drop() {
        own.iter_mut().for_each(|g| *g = circuit.seen(*g));
        return Ok(own);
    }
    let m = own.len() / n;
    let current = |cell: usize, volt: f64| circuit.current(own[cell], volt) * MICRO;
    let Settled { voltages, currents } = settle((m, n), &vec![circuit.volt(); m], wires, current, SETTLED)?;
    let chords = own.iter().zip(voltages.iter().zip(&currents));
    Ok(chords.map(|(g, (v, i))| if *v > 0.0 { i / MICRO / v } else { circuit.seen(*g) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_replaced_tile_by_tile() {
        // 5 rows of 3 pairs on tiles of 3 x 4 lines: two weights a tile.
        let layout = Layout {
            rows: 5,
            tile: Tile { rows: 3, cols: 4, ..Tile::default() },
            columns: TileColumns { per_tile: 2, spares: 0 },
        };
        let g = |k: usize| 20.0 + 10.0 * (k as f64).sin();
        let before = Devices { plus: (0..15).map(g).collect(), minus: (20..35).map(g).collect() };
        let mut after = [before.clone()];
        let wires = Wires { word_ohm: 10.0, bit_ohm: 20.0, ..Wires::default() };
        layout.apply(&mut after, wires, None).unwrap();
        // The second tile of the second column: rows 3 and 4, weight 2.
        let tile: Vec<f64> =
            [3, 4].iter().flat_map(|r| [before.plus[10 + r] * 1e-6, before.minus[10 + r] * 1e-6]).collect();
        let expected = transfer(&tile, 2, wires).unwrap();
        let found = [after[0].plus[13], after[0].minus[13], after[0].plus[14], after[0].minus[14]];
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected * 1e6).abs() < 1e-9);
        }
        assert!(after[0].plus.iter().zip(&before.plus).all(|(a, b)| a < b));
    }
}
