//! The augmentation of training images: padded on each side, cropped to the old size at a random place, and every other
//! image mirrored.

use super::order::below;
use crate::numeric::Shape;
use crate::rng::{Stream, Substream, stream_key};

/// Random crop and horizontal flip, drawn anew for each (seed, epoch, image). The padding is black.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augmentation {
    /// The seed of the training.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// Pixels on each side.
    pub padding: usize,
    /// Whether every other image is mirrored.
    pub flip: bool,
}

/// What is done to one image: the crop's first row and column in the image itself, and whether it is mirrored.
struct Move {
    row: isize,
    column: isize,
    mirror: bool,
}

impl Augmentation {
    /// Moves the images `[.., C, H, W]` in `values`, all alike; `black` is the value of the padding in a channel.
    pub(super) fn apply(&self, index: usize, shape: Shape, black: impl Fn(usize) -> f32, values: &mut [f32]) {
        let motion = self.draw(index);
        let original = values.to_vec();
        let plane = shape.height * shape.width;
        for (i, (from, to)) in original.chunks_exact(plane).zip(values.chunks_exact_mut(plane)).enumerate() {
            motion.apply(shape, from, black(i % shape.channels), to);
        }
    }

    fn draw(&self, index: usize) -> Move {
        let mut stream = Substream::new(stream_key(self.seed, Stream::Augment, self.epoch), [index as u32, 0, 0]);
        let places = 2 * self.padding as u32 + 1;
        let [row, column] = [(); 2].map(|()| below(&mut stream, places) as isize - self.padding as isize);
        Move { row, column, mirror: self.flip && below(&mut stream, 2) == 1 }
    }
}

impl Move {
    fn apply(&self, shape: Shape, from: &[f32], black: f32, to: &mut [f32]) {
        for (y, row) in to.chunks_exact_mut(shape.width).enumerate() {
            for (x, value) in row.iter_mut().enumerate() {
                let x = if self.mirror { shape.width - 1 - x } else { x };
                let (y, x) = (y.wrapping_add_signed(self.row), x.wrapping_add_signed(self.column));
                *value = if y < shape.height && x < shape.width { from[y * shape.width + x] } else { black };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { channels: 2, height: 6, width: 5 };

    fn of(seed: u64, epoch: u64) -> Augmentation {
        Augmentation { seed, epoch, padding: 4, flip: true }
    }

    fn augmented(index: usize, epoch: u64) -> Vec<f32> {
        let mut values: Vec<f32> = (0..2 * SHAPE.len()).map(|i| 1.0 + i as f32).collect();
        of(3, epoch).apply(index, SHAPE, |channel| -1.0 - channel as f32, &mut values);
        values
    }

    #[test]
    fn every_pixel_is_a_shifted_one_or_padding() {
        let mut mirrored = 0;
        for index in 0..200 {
            let Move { row, column, mirror } = of(3, 0).draw(index);
            mirrored += usize::from(mirror);
            for (i, value) in augmented(index, 0).into_iter().enumerate() {
                let (plane, y, x) = (i / 30, i as i64 / 5 % 6, i as i64 % 5);
                let x = if mirror { 4 - x } else { x };
                let (y, x) = (y + row as i64, x + column as i64);
                let inside = (0..6).contains(&y) && (0..5).contains(&x);
                let expected =
                    if inside { (plane as i64 * 30 + y * 5 + x + 1) as f32 } else { -1.0 - (plane % 2) as f32 };
                assert_eq!(value, expected, "image {index}, value {i}");
            }
        }
        assert!((70..130).contains(&mirrored), "{mirrored} of 200 mirrored");
    }

    #[test]
    fn all_crops_occur_and_depend_on_image_and_epoch_alone() {
        let moves: std::collections::HashSet<_> = (0..4000)
            .map(|index| of(1, 2).draw(index))
            .map(|Move { row, column, mirror }| (row, column, mirror))
            .collect();
        assert_eq!(moves.len(), 9 * 9 * 2);
        assert_eq!(augmented(5, 1), augmented(5, 1));
        assert!((0..10).any(|index| augmented(index, 1) != augmented(index, 2)));
    }

    #[test]
    fn padding_and_mirrors_are_as_asked() {
        let still = Augmentation { padding: 0, flip: false, ..of(1, 2) };
        let near = Augmentation { padding: 1, ..still };
        let moves = |how: Augmentation| (0..500).map(move |index| how.draw(index));
        assert!(moves(still).all(|Move { row, column, mirror }| (row, column, mirror) == (0, 0, false)));
        let places: std::collections::HashSet<_> =
            moves(near).map(|Move { row, column, mirror }| (row, column, mirror)).collect();
        assert_eq!(places.len(), 9);
        assert!(places.iter().all(|(row, column, mirror)| row.abs() <= 1 && column.abs() <= 1 && !mirror));
    }
}
