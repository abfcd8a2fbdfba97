//! `[rram.faults]`: cells and lines that do not work, and what moves weights away from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::is_default;

/// `[rram.faults]`: shares of cells and lines that do not work, of `model = "cell"`.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let faults = Profile::named("rram_wan_2022", &["rram.faults.stuck_on=0.01".into()])?.rram.faults;
/// assert!(faults.any());
/// assert_eq!((faults.stuck_on, faults.stuck_off), (0.01, 0.0));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Cells stuck at the lowest conductance.
    pub stuck_off: f64,
    /// Cells stuck at the highest.
    pub stuck_on: f64,
    /// Word lines of a tile that never drive their cells.
    pub dead_word_lines: f64,
    /// Bit lines of a tile that carry no current.
    pub dead_bit_lines: f64,
    /// Whether a test finds the stuck cells before programming, so that the other cell of a pair makes up for its stuck
    /// one, as far as its range goes.
    #[serde(skip_serializing_if = "is_default")]
    pub compensate: bool,
    /// Spare columns of weights on every tile, beside its `tile.cols`: a test moves the columns there that stuck cells
    /// and dead lines hurt most.
    #[serde(skip_serializing_if = "is_default")]
    pub spares: usize,
    /// Rows or columns of weights that a test may move to other lines before programming, so that stuck cells and dead
    /// lines meet weights that they hurt least.
    #[serde(skip_serializing_if = "is_default")]
    pub remap: Remap,
}

/// Rows or columns of weights that a test may move to other lines of their tile.
///
/// # Examples
/// ```
/// use crosspike::profile::{Profile, Remap};
///
/// let keys = ["rram.faults.stuck_on=0.01", "rram.faults.remap=columns"].map(String::from);
/// assert_eq!(Profile::named("rram_wan_2022", &keys)?.rram.faults.remap, Remap::Columns);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remap {
    /// Nothing but what spare columns take.
    #[default]
    None,
    /// Columns of weights.
    Columns,
    /// Rows of weights.
    Rows,
    /// Columns, and then rows.
    Both,
}

impl Remap {
    /// Whether columns are moved.
    pub fn moves_columns(self) -> bool {
        matches!(self, Remap::Columns | Remap::Both)
    }

    /// Whether rows are moved.
    pub fn moves_rows(self) -> bool {
        matches!(self, Remap::Rows | Remap::Both)
    }
}

impl Faults {
    /// The most spare columns that a tile has.
    pub const MOST_SPARES: usize = 1024;

    /// Whether there are any.
    pub fn any(&self) -> bool {
        let Faults { stuck_off, stuck_on, dead_word_lines, dead_bit_lines, .. } = *self;
        [stuck_off, stuck_on, dead_word_lines, dead_bit_lines].iter().any(|share| *share != 0.0)
    }

    /// Spare columns that a tile has: none where everything works.
    pub fn spare_columns(&self) -> usize {
        if self.any() { self.spares } else { 0 }
    }

    /// Whether a test moves weights away from them.
    pub fn move_weights(&self) -> bool {
        self.spare_columns() > 0 || self.any() && self.remap != Remap::None
    }
}
