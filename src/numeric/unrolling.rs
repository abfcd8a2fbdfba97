//! A convolution, or a fully connected layer, as a matrix: how its window moves over the map, and how its positions and
//! channels become rows.

use super::Shape;

/// How a window moves over a map. Pairs are of rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Positions of the window.
    pub kernel: [usize; 2],
    /// Pixels from one place of the window to the next.
    pub stride: [usize; 2],
    /// Rim of zeros around the map.
    pub padding: [usize; 2],
    /// Pixels from one position of the window to the next.
    pub dilation: [usize; 2],
}

/// A map and the window that moves over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrolling {
    /// The input map; of a fully connected layer a pixel of all its inputs.
    pub input: Shape,
    /// The window; of a fully connected layer that pixel.
    pub window: Window,
    /// Whether the layer is fully connected: its rows are the inputs in published order.
    pub flat: bool,
}

impl Window {
    /// A square window of odd width that moves by a pixel and keeps the map's size.
    pub fn same(kernel: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [1; 2], padding: [kernel / 2; 2], dilation: [1; 2] }
    }

    /// Pixels from its first row and column to its last, and one.
    pub fn reach(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.kernel[i] - 1) * self.dilation[i] + 1)
    }

    /// Rows and columns of the output map; none where the window does not fit.
    pub fn output(&self, height: usize, width: usize) -> Option<[usize; 2]> {
        let (size, reach) = ([height, width], self.reach());
        let along = |i: usize| Some((size[i] + 2 * self.padding[i]).checked_sub(reach[i])? / self.stride[i] + 1);
        Some([along(0)?, along(1)?])
    }

    /// Places of the window, along rows (0) or columns (1) of an output map of so many, that hold pixel `at`.
    pub fn holding(&self, i: usize, at: usize, outputs: usize) -> usize {
        let places = (0..self.kernel[i]).filter_map(|k| (at + self.padding[i]).checked_sub(k * self.dilation[i]));
        places.filter(|place| place % self.stride[i] == 0 && place / self.stride[i] < outputs).count()
    }

    /// The pixel, along rows (0) or columns (1) of a map of so many, at position `k` of the window at place `at`; none
    /// on the rim.
    pub fn pixel(&self, i: usize, at: usize, k: usize, size: usize) -> Option<usize> {
        (at * self.stride[i] + k * self.dilation[i]).checked_sub(self.padding[i]).filter(|pixel| *pixel < size)
    }

    /// This window, moved by a pixel.
    pub fn unstrided(self) -> Self {
        Window { stride: [1; 2], ..self }
    }

    /// Positions of the window.
    pub fn positions(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

impl Unrolling {
    /// A window that moves over a map.
    pub fn of(input: Shape, window: Window) -> Self {
        Unrolling { input, window, flat: false }
    }

    /// A fully connected layer of so many inputs.
    pub fn flat(inputs: usize) -> Self {
        let input = Shape { channels: inputs, height: 1, width: 1 };
        Unrolling { input, window: Window::same(1), flat: true }
    }

    /// Rows of the matrix: positions times channels.
    pub fn rows(&self) -> usize {
        self.window.positions() * self.input.channels
    }

    /// Rows and columns of the output map.
    pub fn output(&self) -> [usize; 2] {
        self.window.output(self.input.height, self.input.width).unwrap_or_default()
    }

    /// The pixel of the input map, counted row by row, that a position of the window meets at output pixel (y, x); none
    /// on the rim. A fully connected layer's positions are the pixels of the map that its inputs come from.
    pub fn source(&self, (y, x): (usize, usize), position: usize) -> Option<usize> {
        let Unrolling { input, window, flat } = self;
        if *flat {
            return Some(position);
        }
        let row = window.pixel(0, y, position / window.kernel[1], input.height)?;
        let column = window.pixel(1, x, position % window.kernel[1], input.width)?;
        Some(row * input.width + column)
    }

    /// Pixels of the output map.
    pub fn pixels(&self) -> usize {
        self.output().iter().product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_gives_the_map_that_the_field_gives() {
        // PyTorch's conv2d on a map of 13 x 12.
        for (kernel, stride, padding, dilation, expected) in [
            (3, 1, 1, 1, [13, 12]),
            (5, 2, 2, 1, [7, 6]),
            (1, 2, 0, 1, [7, 6]),
            (2, 1, 0, 1, [12, 11]),
            (3, 1, 2, 2, [13, 12]),
            (3, 3, 0, 2, [3, 3]),
        ] {
            let window =
                Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2], dilation: [dilation; 2] };
            assert_eq!(window.output(13, 12), Some(expected));
            for (i, size) in [13, 12].into_iter().enumerate() {
                for at in 0..size {
                    let held = (0..expected[i]).flat_map(|place| (0..kernel).map(move |k| (place, k)));
                    let held = held.filter(|(place, k)| window.pixel(i, *place, *k, size) == Some(at));
                    assert_eq!(window.holding(i, at, expected[i]), held.count());
                }
            }
        }
        assert_eq!(Window::same(5).output(1, 1), Some([1, 1]));
        assert_eq!(Window { padding: [0; 2], ..Window::same(5) }.output(4, 9), None);
    }
}
