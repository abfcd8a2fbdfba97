//! Matrix products and the unrolling of a 3x3 convolution into one, in channel-last layout.
//!
//! A feature map is stored `[row, column, channel]`; a layer's matrix `[rows, columns]` has its rows in the order
//! `(ky, kx, channel)`, so that unrolling copies whole channel vectors and the innermost loop runs over outputs.
//! The published order of a crossbar row, `(channel, ky, kx)`, is restored wherever a row has a name: sums here are
//! exact, so their order never shows.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::Shape;

/// `out[m, n] ← a[m, k]·b[k, n]`, added to `out` when `accumulate`.
pub fn matmul(a: ArrayView2<f32>, b: ArrayView2<f32>, out: ArrayViewMut2<f32>, accumulate: bool) {
    let mut out = out;
    general_mat_mul(1.0, &a, &b, if accumulate { 1.0 } else { 0.0 }, &mut out);
}

/// A row-major matrix of `rows` rows over `values`.
pub fn view(values: &[f32], rows: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, values.len() / rows), values).expect("a matrix has rows x columns values")
}

/// [`view`], to write to.
pub fn view_mut(values: &mut [f32], rows: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((rows, values.len() / rows), values).expect("a matrix has rows x columns values")
}

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

    /// Writes `[pixels, rows]` from a channel-last map.
    pub fn unroll(&self, map: &[f32], out: &mut [f32]) {
        let c = self.input.channels;
        self.for_each_patch(|source, target| match source {
            Some(source) => out[target..target + c].copy_from_slice(&map[source..source + c]),
            None => out[target..target + c].fill(0.0),
        });
    }

    /// Adds `[pixels, rows]` back onto a channel-last map: the transpose of [`Self::unroll`].
    pub fn fold(&self, unrolled: &[f32], map: &mut [f32]) {
        let c = self.input.channels;
        self.for_each_patch(|source, target| {
            if let Some(source) = source {
                for (m, u) in map[source..source + c].iter_mut().zip(&unrolled[target..target + c]) {
                    *m += u;
                }
            }
        });
    }

    /// Calls `visit(offset in the map or None in the padding, offset in the unrolled matrix)` for every channel vector.
    fn for_each_patch(&self, mut visit: impl FnMut(Option<usize>, usize)) {
        let Shape { channels, height, width } = self.input;
        let pad = self.kernel / 2;
        let mut target = 0;
        for y in 0..height {
            for x in 0..width {
                for ky in 0..self.kernel {
                    let row = (y + ky).checked_sub(pad).filter(|r| *r < height);
                    for kx in 0..self.kernel {
                        let column = (x + kx).checked_sub(pad).filter(|c| *c < width);
                        let source = row.zip(column).map(|(r, c)| (r * width + c) * channels);
                        visit(source, target);
                        target += channels;
                    }
                }
            }
        }
    }
}

/// Reorders a published matrix `[outputs, channels·positions]` to `[positions·channels, outputs]`.
pub fn to_channel_last(published: &[f32], outputs: usize, channels: usize) -> Vec<f32> {
    let mut out = vec![0.0; published.len()];
    for_each_weight(published.len(), outputs, channels, |p, l| out[l] = published[p]);
    out
}

/// The inverse of [`to_channel_last`].
pub fn to_published(channel_last: &[f32], outputs: usize, channels: usize) -> Vec<f32> {
    let mut out = vec![0.0; channel_last.len()];
    for_each_weight(channel_last.len(), outputs, channels, |p, l| out[p] = channel_last[l]);
    out
}

fn for_each_weight(len: usize, outputs: usize, channels: usize, mut visit: impl FnMut(usize, usize)) {
    let positions = len / (outputs * channels);
    for s in 0..positions {
        for c in 0..channels {
            let row = s * channels + c;
            for o in 0..outputs {
                visit((o * channels + c) * positions + s, row * outputs + o);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The readable reference: a direct cross-correlation of published weights `[O, C, k, k]` with a map `[C, H, W]`.
    pub fn convolve(map: &[f32], shape: Shape, weights: &[f32], outputs: usize, k: usize) -> Vec<f32> {
        let Shape { channels, height, width } = shape;
        let mut out = vec![0.0; outputs * height * width];
        for o in 0..outputs {
            for y in 0..height {
                for x in 0..width {
                    for c in 0..channels {
                        for ky in 0..k {
                            for kx in 0..k {
                                let (iy, ix) =
                                    ((y + ky) as isize - (k / 2) as isize, (x + kx) as isize - (k / 2) as isize);
                                if (0..height as isize).contains(&iy) && (0..width as isize).contains(&ix) {
                                    let w = weights[((o * channels + c) * k + ky) * k + kx];
                                    out[(o * height + y) * width + x] +=
                                        w * map[(c * height + iy as usize) * width + ix as usize];
                                }
                            }
                        }
                    }
                }
            }
        }
        out
    }

    #[test]
    fn the_unrolled_product_is_the_convolution() {
        for (shape, outputs, kernel) in [
            (Shape { channels: 1, height: 1, width: 1 }, 1, 3),
            (Shape { channels: 2, height: 5, width: 3 }, 4, 3),
            (Shape { channels: 3, height: 4, width: 7 }, 2, 5),
            (Shape { channels: 5, height: 2, width: 2 }, 3, 1),
        ] {
            let unrolling = Unrolling { input: shape, kernel };
            let (k, p) = (unrolling.rows(), unrolling.pixels());
            let map: Vec<f32> = (0..shape.len()).map(|i| (i * 7 % 5) as f32 - 2.0).collect();
            let weights: Vec<f32> = (0..outputs * k).map(|i| (i * 11 % 13) as f32 - 6.0).collect();
            let mut last = vec![0.0; shape.len()];
            for c in 0..shape.channels {
                for s in 0..p {
                    last[s * shape.channels + c] = map[c * p + s];
                }
            }
            let matrix = to_channel_last(&weights, outputs, shape.channels);
            assert_eq!(to_published(&matrix, outputs, shape.channels), weights);
            let mut unrolled = vec![0.0; p * k];
            unrolling.unroll(&last, &mut unrolled);
            let mut out = vec![0.0; p * outputs];
            matmul(view(&unrolled, p), view(&matrix, k), view_mut(&mut out, p), false);
            let expected = convolve(&map, shape, &weights, outputs, kernel);
            for o in 0..outputs {
                for s in 0..p {
                    assert_eq!(out[s * outputs + o], expected[o * p + s], "{shape} kernel {kernel}");
                }
            }
            // fold is the adjoint of unroll: <unroll(m), u> = <m, fold(u)>.
            let mut folded = vec![0.0; shape.len()];
            unrolling.fold(&unrolled, &mut folded);
            let left: f32 = unrolled.iter().map(|u| u * u).sum();
            let right: f32 = folded.iter().zip(&last).map(|(f, m)| f * m).sum();
            assert_eq!(left, right);
        }
    }
}
