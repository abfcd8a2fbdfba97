//! The ways to sum a column's inputs, and which is the fastest. All are exact: the choice never changes a result.
//!
//! A way is rated by the share of active inputs below which adding rows one by one beats it: the lower, the faster. The
//! shares were measured on convolutions of 64 and 128 channels, at one to three digits.

use crate::kernels::{Instructions, Vectors};

/// How sums are computed; never changes a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// The fastest for the inputs.
    #[default]
    Auto,
    /// The dense product, by these instructions.
    Dense(Instructions),
    /// Always event by event.
    Events,
    /// Sums come from tables where inputs are bits, behind converters also counts; elsewhere from the fastest dense
    /// product.
    LookUp,
    /// By transformed squares where windows are such that they can be; elsewhere as [`Kernel::Dense`], behind
    /// converters as [`Kernel::Auto`].
    Winograd,
    /// The fastest that adds whole numbers: where sums may have more bits than f32.
    Whole,
}

impl Kernel {
    /// Every one that this processor has.
    pub fn all() -> Vec<Self> {
        let dense = Instructions::available().iter().copied().map(Kernel::Dense);
        [Kernel::Auto, Kernel::Events, Kernel::LookUp, Kernel::Winograd, Kernel::Whole]
            .into_iter()
            .chain(dense)
            .collect()
    }
}

/// How sums of some inputs are computed.
#[derive(Clone, Copy)]
pub enum Way {
    /// By a product of bytes.
    Dense(Instructions),
    /// Event by event.
    Events,
    /// Sums come from tables.
    LookUp,
    /// By a product of bytes of transformed squares.
    Winograd(Instructions),
}

/// Fewer pixels than this do not earn their tables.
const TABLE_PIXELS: usize = 64;

/// The fastest way to sum weights of so many digits over so many pixels, of whose inputs this share is active;
/// `squares` is the share of [`transformed`] ones, infinite where there are none.
pub fn fastest(digits: usize, has_tables: bool, squares: f32, rate: f32, pixels: usize) -> Way {
    let dense = dense(digits);
    let tables = if has_tables && pixels >= TABLE_PIXELS { tables() } else { f32::INFINITY };
    if rate < dense.min(tables).min(squares) {
        Way::Events
    } else if squares < dense.min(tables) {
        Way::Winograd(Instructions::best())
    } else if tables < dense {
        Way::LookUp
    } else {
        Way::Dense(Instructions::best())
    }
}

/// Whether the sums of numbers of so many digits are faster from tables, which are read for each of `bits` bits.
pub fn tables_win(digits: usize, bits: u32) -> bool {
    bits as f32 * tables() < dense(digits)
}

/// The share of dense products of so many digits.
fn dense(digits: usize) -> f32 {
    let digit = match Instructions::best() {
        Instructions::Portable => 2.0,
        Instructions::Avx2 => 0.07,
        Instructions::AvxVnni => 0.05,
        Instructions::Vnni => 0.015,
        Instructions::Amx => 0.0015,
    };
    digits as f32 * digit
}

/// The share of transformed squares, whose transforms cost the more the fewer the channels are. Without VNNI a product
/// takes the longer the larger its bytes are, and transforms make them large; with AMX they take longer than the
/// products that they save.
pub fn transformed(digits: usize, channels: usize) -> f32 {
    match Instructions::best() {
        Instructions::Portable | Instructions::Avx2 | Instructions::Amx => f32::INFINITY,
        _ => dense(digits) / 2.25 + 0.3 / channels as f32,
    }
}

/// The share of tables.
fn tables() -> f32 {
    match Vectors::best() {
        Vectors::Narrow => 0.08,
        Vectors::Avx2 => 0.055,
        Vectors::Avx512 => 0.035,
    }
}
