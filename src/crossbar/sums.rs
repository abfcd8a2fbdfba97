//! Column sums of a crossbar: dense (unrolled matrix product) or event-driven (one row added per active input).
//!
//! The sums are exact, so both give the same bits; the faster one is taken by the share of active inputs.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::network::Layer;
use crate::numeric::product::{Unrolling, matmul, to_channel_last, view, view_mut};

/// How sums are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kernel {
    /// By the share of active inputs.
    #[default]
    Auto,
    /// Always the dense product.
    Dense,
    /// Always event by event.
    Events,
}

/// Below this share of active inputs, adding rows one by one beats the dense product.
const EVENT_RATE: f32 = 0.1;
/// A dense product is given at least this many rows at once.
const ROWS_AT_ONCE: usize = 256;
/// Columns of one task of a fully connected layer.
const COLUMNS_AT_ONCE: usize = 64;

/// A layer's matrix `[rows, columns]`, channel-last.
pub struct Matrix {
    weights: Vec<f32>,
    unrolling: Unrolling,
    columns: usize,
    kernel: Kernel,
}

impl Matrix {
    /// From the published order `[columns, rows]`.
    pub fn new(layer: &Layer, published: &[f32], kernel: Kernel) -> Self {
        let columns = layer.columns();
        let weights = to_channel_last(published, columns, layer.input.channels);
        Matrix { weights, unrolling: layer.unrolling(), columns, kernel }
    }

    /// The weights, channel-last: `[rows, columns]`.
    pub fn weights(&self) -> ArrayView2<'_, f32> {
        view(&self.weights, self.unrolling.rows())
    }

    fn sparse(&self, pulses: &[f32]) -> bool {
        match self.kernel {
            Kernel::Dense => false,
            Kernel::Events => true,
            Kernel::Auto => {
                let active = pulses.iter().map(|p| u32::from(*p != 0.0)).sum::<u32>();
                (active as f32) < EVENT_RATE * pulses.len() as f32
            }
        }
    }

    /// Sums `[maps, pixels, columns]` of maps `[maps, rows, columns, channels]`, one after the other.
    pub fn convolve(&self, maps: &[f32]) -> Vec<f32> {
        let mut sums = vec![0.0; maps.len() / self.unrolling.input.len() * self.unrolling.pixels() * self.columns];
        self.convolve_into(maps, &mut sums);
        sums
    }

    /// [`Self::convolve`] into zeros.
    pub fn convolve_into(&self, maps: &[f32], sums: &mut [f32]) {
        let size = self.unrolling.input.len();
        let (pixels, rows) = (self.unrolling.pixels(), self.unrolling.rows());
        let at_once = ROWS_AT_ONCE.div_ceil(pixels);
        let mut unrolled = Vec::new();
        for (maps, sums) in maps.chunks(at_once * size).zip(sums.chunks_mut(at_once * pixels * self.columns)) {
            if self.sparse(maps) {
                for (map, sums) in maps.chunks(size).zip(sums.chunks_mut(pixels * self.columns)) {
                    self.add_events(map, sums);
                }
                continue;
            }
            unrolled.resize(at_once * pixels * rows, 0.0);
            for (map, unrolled) in maps.chunks(size).zip(unrolled.chunks_mut(pixels * rows)) {
                self.unrolling.unroll(map, unrolled);
            }
            let m = sums.len() / self.columns;
            matmul(view(&unrolled[..m * rows], m), view(&self.weights, rows), view_mut(sums, m), false);
        }
    }

    /// Adds each active input to the sums of the pixels it reaches.
    fn add_events(&self, map: &[f32], sums: &mut [f32]) {
        let Unrolling { input, kernel } = self.unrolling;
        let pad = kernel / 2;
        for (pixel, inputs) in map.chunks(input.channels).enumerate() {
            let (y, x) = (pixel / input.width, pixel % input.width);
            for (channel, pulse) in inputs.iter().enumerate().filter(|(_, pulse)| **pulse != 0.0) {
                for ky in 0..kernel {
                    let Some(oy) = (y + pad).checked_sub(ky).filter(|oy| *oy < input.height) else { continue };
                    for kx in 0..kernel {
                        let Some(ox) = (x + pad).checked_sub(kx).filter(|ox| *ox < input.width) else { continue };
                        let row = (ky * kernel + kx) * input.channels + channel;
                        let target = (oy * input.width + ox) * self.columns;
                        self.add_row(row, *pulse, &mut sums[target..target + self.columns]);
                    }
                }
            }
        }
    }

    fn add_row(&self, row: usize, pulse: f32, sums: &mut [f32]) {
        let weights = &self.weights[row * self.columns..(row + 1) * self.columns];
        sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += pulse * w);
    }

    /// Sums `[n, columns]` of `n` input vectors: a fully connected layer, in parallel.
    pub fn connect(&self, inputs: &[f32], n: usize) -> Vec<f32> {
        let rows = self.weights.len() / self.columns;
        let mut sums = vec![0.0; n * self.columns];
        if n == 0 {
            return sums;
        }
        if self.sparse(inputs) {
            sums.par_chunks_mut(self.columns).zip(inputs.par_chunks(rows)).for_each(|(sums, inputs)| {
                for (row, pulse) in inputs.iter().enumerate().filter(|(_, pulse)| **pulse != 0.0) {
                    self.add_row(row, *pulse, sums);
                }
            });
            return sums;
        }
        let weights = view(&self.weights, rows);
        let mut out = view_mut(&mut sums, n);
        let blocks: Vec<_> = out.axis_chunks_iter_mut(ndarray::Axis(1), COLUMNS_AT_ONCE).collect();
        blocks.into_par_iter().enumerate().for_each(|(i, block)| {
            let first = i * COLUMNS_AT_ONCE;
            let last = first + block.ncols();
            matmul(view(inputs, n), weights.slice(ndarray::s![.., first..last]), block, false);
        });
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::LayerKind;
    use crate::numeric::Shape;
    use crate::numeric::grid::round_to_exact_grid;
    use crate::numeric::product::tests::convolve;

    fn layer(input: Shape, columns: usize) -> (Layer, Vec<f32>) {
        let output = Shape { channels: columns, ..input };
        let plan = Layer { name: "conv1".into(), kind: LayerKind::Conv, input, output, pool: (1, 1), largest_pulse: 4 };
        let mut weights: Vec<f32> = (0..plan.rows() * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 77.0).collect();
        round_to_exact_grid(&mut weights, plan.rows(), 4);
        (plan, weights)
    }

    #[test]
    fn dense_and_event_driven_sums_are_the_reference_bit_for_bit() {
        for (channels, height, width, columns, every) in
            [(1, 1, 1, 1, 1), (3, 5, 4, 7, 2), (2, 8, 8, 16, 30), (16, 3, 9, 33, 3), (5, 2, 1, 4, 1)]
        {
            let shape = Shape { channels, height, width };
            let (layer, weights) = layer(shape, columns);
            let maps: Vec<f32> =
                (0..3 * shape.len()).map(|i| if i % every == 0 { (i % 9) as f32 - 4.0 } else { 0.0 }).collect();
            let dense = Matrix::new(&layer, &weights, Kernel::Dense).convolve(&maps);
            let events = Matrix::new(&layer, &weights, Kernel::Events).convolve(&maps);
            assert_eq!(dense, events);
            let pixels = height * width;
            for (i, map) in maps.chunks(shape.len()).enumerate() {
                let first: Vec<f32> = (0..shape.len()).map(|j| map[j % pixels * channels + j / pixels]).collect();
                let expected = convolve(&first, shape, &weights, columns, 3);
                for o in 0..columns {
                    for p in 0..pixels {
                        assert_eq!(dense[(i * pixels + p) * columns + o], expected[o * pixels + p]);
                    }
                }
            }
        }
    }
}
