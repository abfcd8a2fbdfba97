//! A layer's devices: which they are, where they stand, and the conductances that they hold.

use crate::profile::Faults;

/// Which of a weight's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Polarity {
    /// The device that adds.
    Plus = 0,
    /// The device of a pair that is subtracted.
    Minus = 1,
    /// The unit column's.
    Unit = 2,
}

/// The place of a device in its layer, and the layer's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePlace {
    /// Row of the layer's matrix.
    pub row: usize,
    /// Column of the layer's matrix, or a spare one of its tile; the tile's of a unit column.
    pub column: usize,
    /// The layer's number.
    pub layer: u32,
    /// The slice, from the least significant.
    pub slice: u32,
    /// The device of a pair.
    pub polarity: Polarity,
}

impl DevicePlace {
    /// The words that name its substream.
    pub fn words(&self) -> [u32; 3] {
        [self.row as u32, self.column as u32, self.layer | self.slice << 20 | (self.polarity as u32) << 28]
    }
}

/// One slice's devices, conductances in microsiemens.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let profile = Profile::named("rram_wan_2022", &[])?; // It has g_min_us = 1 and mapping = "one_sided".
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let survey = session.survey(0)?[0].devices.clone().expect("its cells have conductances");
/// let asked = &survey.targets[0];
/// // One device of a pair holds the weight, and the other is asked to stay at the lowest conductance.
/// assert!(asked.plus.iter().zip(&asked.minus).all(|(plus, minus)| plus.min(*minus) == 1.0));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Devices {
    /// `[columns, rows]`.
    pub plus: Vec<f64>,
    /// The pair's other devices, `[columns, rows]`; or the unit column of each tile, `[column tiles, rows]`.
    pub minus: Vec<f64>,
}

/// What marks the number of a spare column: no column of a matrix has so large a one.
const SPARE: usize = 1 << 31;

/// How a layer's columns stand on tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileColumns {
    /// Columns of weights that a tile holds.
    pub per_tile: usize,
    /// Spare columns that a tile has beside them.
    pub spares: usize,
}

impl TileColumns {
    /// The tile, along the columns, that a column stands on.
    pub fn tile(&self, column: usize) -> usize {
        if column < SPARE { column / self.per_tile } else { (column - SPARE) / Faults::MOST_SPARES }
    }

    /// The number in its layer of a spare column of a tile: the same however many there are.
    pub fn spare(&self, tile: usize, spare: usize) -> usize {
        SPARE + tile * Faults::MOST_SPARES + spare
    }

    /// The number of a spare column on its tile; none of a column of the matrix.
    pub fn spare_number(&self, column: usize) -> Option<usize> {
        column.checked_sub(SPARE).map(|spare| spare % Faults::MOST_SPARES)
    }

    /// Tiles of so many columns.
    pub fn tiles(&self, columns: usize) -> usize {
        columns.div_ceil(self.per_tile)
    }
}
