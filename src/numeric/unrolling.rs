//! A 3x3 convolution as a matrix: how its kernel positions and channels become rows.

use super::Shape;

/// A square kernel with stride 1 and zero padding that keeps the size (odd kernels).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrolling {
    /// The input map.
    pub input: Shape,
    /// Kernel width.
    pub kernel: usize,
}

impl Unrolling {
    /// Rows of the unrolled matrix: kernel positions times channels.
    pub fn rows(&self) -> usize {
        self.kernel * self.kernel * self.input.channels
    }

    /// Pixels of the output map.
    pub fn pixels(&self) -> usize {
        self.input.height * self.input.width
    }
}
