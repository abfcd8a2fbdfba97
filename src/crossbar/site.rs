//! Where a layer's matrix stands, and on what: all that programming it, reading it and pricing it depends on.

use std::sync::Arc;

use serde::Serialize;

use super::calibration::RowInput;
use super::stored::StoredCode;
use super::{low_rank, trim};
use crate::device::Matrix;
use crate::device::cell::TileColumns;
use crate::device::code::bit_lines;
use crate::device::remap::{Grid, table_bits};
use crate::network::Drive;
use crate::numeric::grid::round_to_bits;
use crate::profile::{Adc, Rram, Scheme, Sram, Tile, Wires};

/// The hardware that holds a layer's weights.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Place, Profile, Session};
///
/// let profile = Profile::named("rram_4bit", &[])?; // It has layers = "conv".
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let places: Vec<Place> = session.survey(0)?.iter().map(|layer| layer.place).collect();
/// assert_eq!(places, [Place::Rram, Place::Rram, Place::Digital, Place::Digital]);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// RRAM tiles.
    Rram,
    /// Exact digital float.
    Digital,
}

/// A layer's matrix on its hardware.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The layer's name.
    pub name: String,
    /// The layer's number: a cell's draws are keyed by it.
    pub index: u32,
    /// Rows of the matrix that a column meets: word lines of a group.
    pub rows: usize,
    /// Columns of the matrix: logical bit lines, one an output channel.
    pub columns: usize,
    /// Groups of columns, each with rows of its own.
    pub groups: usize,
    /// Output pixels: passes over the tiles that a step takes.
    pub pixels: usize,
    /// Neurons that it leads.
    pub neurons: usize,
    /// Additions that join each of them at a step: further terms of its current, and others' pulses to its own.
    pub joins: usize,
    /// The hardware that holds the weights.
    pub place: Place,
    /// The cells.
    pub rram: Rram,
    /// The companion array.
    pub sram: Sram,
    /// The tiles.
    pub tile: Tile,
    /// The converters.
    pub adc: Adc,
    /// The lines.
    pub wires: Wires,
    /// The drive of the word lines.
    pub drive: Drive,
    /// Reads of each row in an image, group after group, as training images were counted; none where they were not.
    pub reads: Arc<[f64]>,
    /// Inputs of each row, group after group, as training images gave them; none where they were not counted.
    pub inputs: Arc<[RowInput]>,
}

impl Site {
    /// Its matrix on cells.
    pub fn matrix(&self) -> Matrix<'_> {
        let Site { rows, index, rram, tile, reads, .. } = self;
        Matrix { rows: *rows, number: *index, rram, tile: *tile, reads: reads.clone(), squares: self.squares() }
    }

    /// The mean squares of each row's input, group after group, where cells are verified by them.
    pub fn squares(&self) -> Arc<[f64]> {
        let selects = self.rram.selects();
        if selects { self.inputs.iter().map(|input| input.square).collect() } else { Arc::default() }
    }

    /// Whether reads take something from its cells, so that they have to be counted.
    pub fn counts_reads(&self) -> bool {
        self.is_on_rram() && self.rram.disturb.any()
    }

    /// Whether its corrections depend on the inputs of its rows, so that they have to be counted.
    pub fn counts_inputs(&self) -> bool {
        self.is_on_rram() && (self.sram.wants_inputs() || self.rram.selects())
    }

    /// The inputs of each row of a column; none where they were not counted.
    pub fn inputs_of(&self, column: usize) -> &[RowInput] {
        let group = column * self.groups / self.columns;
        if self.inputs.is_empty() { &[] } else { &self.inputs[group * self.rows..][..self.rows] }
    }

    /// Whether its weights stand on RRAM.
    pub fn is_on_rram(&self) -> bool {
        self.place == Place::Rram
    }

    /// Whether its columns end in converters.
    pub fn converts(&self) -> bool {
        self.is_on_rram() && self.adc.bits > 0
    }

    /// Whether a companion array stands beside it.
    pub fn has_companion(&self) -> bool {
        self.is_on_rram() && self.sram.bits > 0
    }

    /// Whether its columns are trimmed.
    pub fn is_trimmed(&self) -> bool {
        self.is_on_rram() && self.sram.trim_bits > 0
    }

    /// Bytes of SRAM beside its companion array, the same on every chip: of its columns' trims, of its branch of low
    /// rank, and of the tables that say where columns and rows were moved.
    pub fn fixed_bytes(&self) -> usize {
        trim::bytes(self) + low_rank::bytes(self) + self.moved_bytes()
    }

    /// Cells of a tile, those of its spare columns with it.
    pub fn tile_cells(&self) -> usize {
        let spare_lines = self.rram.faults.spare_columns() * bit_lines(&self.rram).0;
        self.tile.rows * (self.tile.cols + spare_lines)
    }

    fn moved_bytes(&self) -> usize {
        let Site { rows, columns, tile, rram, .. } = self;
        let grid = Grid { rows: *rows, columns: *columns, tile: *tile, on_tiles: self.on_tiles() };
        let moves = self.is_on_rram() && rram.faults.move_weights();
        if moves { table_bits(&rram.faults, grid).div_ceil(8) } else { 0 }
    }

    /// Whether its lines take some of the voltage.
    pub fn drops(&self) -> bool {
        self.is_on_rram() && self.wires.drop()
    }

    /// Whether it differs from chip to chip.
    pub fn varies(&self) -> bool {
        self.is_on_rram() && (self.rram.varies() || self.adc.errs() || self.tile.driver_sigma > 0.0)
    }

    /// Rounds programmed weights `[columns, rows]` to the bits that they are resolved to.
    pub fn resolve(&self, weights: &mut [f32]) {
        if self.is_on_rram() && self.rram.resolution_bits > 0 {
            round_to_bits(weights, self.rows, self.rram.resolution_bits);
        }
    }

    /// How its columns stand on tiles.
    pub fn on_tiles(&self) -> TileColumns {
        TileColumns::of(&self.rram, self.tile)
    }

    /// Tiles along its rows.
    pub fn partitions(&self) -> usize {
        self.rows.div_ceil(self.tile.rows)
    }

    /// Rows that are driven together, along its rows: partial sums of a column.
    pub fn partial_sums(&self) -> usize {
        self.rows.div_ceil(self.tile.driven_rows())
    }

    /// Turns that the fullest of its tiles takes until all of its rows were driven.
    pub fn turns(&self) -> usize {
        let filled = if self.groups > 1 { self.tile.rows } else { self.rows.min(self.tile.rows) };
        filled.div_ceil(self.tile.driven_rows())
    }

    /// Weights of the matrix.
    pub fn weights(&self) -> usize {
        self.rows * self.columns
    }

    /// Bits of a weight, quantised on RRAM and a float elsewhere.
    pub fn weight_bits(&self) -> u32 {
        match self.rram.effective_scheme() {
            Scheme::Float => 32,
            _ if !self.is_on_rram() => 32,
            Scheme::Ternary => 2,
            _ => self.rram.weight_bits,
        }
    }

    /// The code of a weight of its companion array.
    pub fn companion_code(&self) -> StoredCode {
        StoredCode::of(self.sram.effective_scheme(), self.sram.bits)
    }

    /// Bits of an element of its companion array; 0 where there is none.
    pub fn companion_bits(&self) -> usize {
        if self.has_companion() { self.companion_code().bits as usize } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::network::{Encoding, Model};
    use crate::plan::ChipPlan;
    use crate::profile::Profile;

    impl Site {
        /// A matrix of so many rows and columns on ideal RRAM.
        pub fn of_test(rows: usize, columns: usize) -> Self {
            let text = "name = \"m\"\nsteps = 1\nclasses = 2\ninput = { channels = 1, height = 2, width = 2 }\n\
                        layers = [{ conv = 2 }]";
            let document = Document::parse_text(std::path::Path::new("m.toml"), text.into()).unwrap();
            let model = Model::from_document(&document).unwrap();
            let profile = Profile::ideal(&["rram.weight_bits=4".into()]).unwrap();
            let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap();
            Site { rows, columns, ..plan.sites().next().unwrap().clone() }
        }
    }
}
