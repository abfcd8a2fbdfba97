//! Pictures in another size: scaled until they cover it, and cut to it in the middle.
//!
//! The filter is a triangle as wide as two pixels of the smaller picture (bilinear, with antialiasing), in whole
//! numbers of 22 bits behind the point, first along the rows: the arithmetic of Pillow's `resize`, which takes columns
//! first where that is less work, as of pictures that are more than twice as tall as wide.

use super::decode::Picture;

/// Bits behind the point of the filter's weights.
const BITS: u32 = 22;

impl Picture {
    /// The picture as `height` x `width` pixels.
    pub fn covering(self, [height, width]: [usize; 2]) -> Picture {
        if [self.height, self.width] == [height, width] {
            return self;
        }
        let is_wide = self.width * height >= width * self.height;
        let (tall, wide) = match is_wide {
            true => (height, self.width * height / self.height),
            false => (self.height * width / self.width, width),
        };
        self.along_rows(wide, width).along_columns(tall, height)
    }

    /// The middle `kept` columns of the picture with `width` of them.
    fn along_rows(self, width: usize, kept: usize) -> Picture {
        let Picture { channels, height, .. } = self;
        let taps = taps(self.width, width, kept);
        let mut pixels = Vec::with_capacity(height * kept * channels);
        for row in self.pixels.chunks_exact(self.width * channels) {
            for Tap { first, weights } in &taps {
                let at = |channel: usize| row[first * channels + channel..].iter().step_by(channels);
                pixels.extend((0..channels).map(|channel| weighted(at(channel), weights)));
            }
        }
        Picture { width: kept, pixels, ..self }
    }

    /// The middle `kept` rows of the picture with `height` of them.
    fn along_columns(self, height: usize, kept: usize) -> Picture {
        let row = self.width * self.channels;
        let mut pixels = Vec::with_capacity(kept * row);
        for Tap { first, weights } in taps(self.height, height, kept) {
            let at = |place: usize| self.pixels[first * row + place..].iter().step_by(row);
            pixels.extend((0..row).map(|place| weighted(at(place), &weights)));
        }
        Picture { height: kept, pixels, ..self }
    }
}

/// What one pixel of the new picture takes of the old one.
struct Tap {
    first: usize,
    /// The weights of the pixels, in parts of 2^22.
    weights: Vec<i32>,
}

/// The weights of the middle `kept` of `to` new pixels along one side; half a pixel goes to the even side, as
/// torchvision's `CenterCrop` has it. A side that stays as long is taken as it is.
fn taps(from: usize, to: usize, kept: usize) -> Vec<Tap> {
    let more = to - kept;
    let first = more / 2 + usize::from(more % 4 == 3);
    if from == to {
        return (first..first + kept).map(|first| Tap { first, weights: vec![1 << BITS] }).collect();
    }
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let tap = |place: usize| {
        let centre = (place as f64 + 0.5) * scale;
        let first = ((centre - reach + 0.5) as isize).max(0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let triangle = |old: usize| (1.0 - ((old as f64 - centre + 0.5) * (1.0 / reach)).abs()).max(0.0);
        let weights: Vec<f64> = (first..end).map(triangle).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight * (1.0 / sum) * f64::from(1 << BITS) + 0.5) as i32;
        Tap { first, weights: weights.into_iter().map(fixed).collect() }
    };
    (first..first + kept).map(tap).collect()
}

/// The sum of pixels by their weights, rounded to a pixel.
fn weighted<'p>(pixels: impl Iterator<Item = &'p u8>, weights: &[i32]) -> u8 {
    let sum: i32 = pixels.zip(weights).map(|(&pixel, weight)| i32::from(pixel) * weight).sum();
    ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
}
