//! Ground: shapes, ranges, the exact-sum grid, products, exponentials and sample statistics.

pub mod exponential;
pub mod grid;
pub mod half;
mod range;
pub mod stats;
pub mod unrolling;

use rayon::prelude::*;

pub use range::Range;

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number below 2^51 that this is added to has no room for a fraction: it is rounded to a whole one, half to even.
const NO_FRACTION: f64 = 1.5 * (1u64 << 52) as f64;

/// Values of a chunk that one thread goes through.
const CHUNK: usize = 1 << 14;

/// A copy, made by all threads.
pub fn copy(values: &[f32]) -> Vec<f32> {
    let mut copy = Vec::new();
    copy.par_extend(values.par_iter().with_min_len(CHUNK).copied());
    copy
}

/// The larger magnitude; not a number where either is none, which `f32::max` would pass over.
#[inline]
pub fn larger(a: f32, b: f32) -> f32 {
    // Magnitudes are ordered as their bits are, and a maximum of integers is the same in any order.
    f32::from_bits(a.abs().to_bits().max(b.abs().to_bits()))
}

/// The largest magnitude, 0 of none; not a number where one is none.
pub fn largest(values: &[f32]) -> f32 {
    let fold = |values: &[f32]| values.iter().copied().fold(0.0, larger);
    values.par_chunks(CHUNK).map(fold).reduce(|| 0.0, larger)
}

/// The shape of one image or feature map, in the order it is stored: channels, rows, columns.
///
/// # Examples
/// ```
/// use crosspike::Shape;
///
/// let picture = Shape { channels: 3, height: 32, width: 32 };
/// assert_eq!((picture.len(), picture.to_string()), (3072, "3x32x32".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Shape {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}
