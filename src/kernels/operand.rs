//! The operands of a product of bytes, as every instruction set reads them.

/// Columns of a block: 32-bit lanes of a 512-bit register.
pub const LANES: usize = 16;
/// Bytes of a run are padded to this many.
pub const RUN_BYTES: usize = 64;
/// Rows of the left operand are read in groups of this many: its memory must reach that far.
pub const ROWS_AT_ONCE: usize = 32;

/// The left operand: row `r` of run `i` is the bytes from `runs[i] + r·stride`.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a> {
    /// The bytes; must reach [`Strided::bytes`].
    pub bytes: &'a [u8],
    /// Bytes from row to row.
    pub stride: usize,
    /// Rows.
    pub rows: usize,
    /// Where each run of row 0 begins.
    pub runs: &'a [usize],
}

impl Strided<'_> {
    /// Bytes that a left operand of these rows must have, beyond its last run's begin.
    pub fn reach(rows: usize, stride: usize, run: usize) -> usize {
        (rows.next_multiple_of(ROWS_AT_ONCE) - 1) * stride + run.next_multiple_of(RUN_BYTES)
    }
}

/// The tiles of a product's right operand, from its first tile and run on.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub data: &'a [i8],
    /// Bytes from tile to tile.
    pub tile: usize,
    /// Bytes of a run, without padding.
    pub run: usize,
}
