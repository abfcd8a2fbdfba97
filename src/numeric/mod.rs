//! Ground: shapes, the exact-sum grid, products and sample statistics.

use rayon::prelude::*;

pub mod grid;
pub mod stats;
pub mod unrolling;

/// So many zeros, written by all threads.
pub fn zeros(len: usize) -> Vec<f32> {
    let mut values = Vec::new();
    values.par_extend(rayon::iter::repeat_n(0.0, len));
    values
}

/// The largest magnitude.
pub fn largest(values: &[f32]) -> f32 {
    let fold = |values: &[f32]| values.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
    values.par_chunks(1 << 14).map(fold).reduce(|| 0.0, f32::max)
}

/// The shape of one image or feature map, in the order it is stored: channels, rows, columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
