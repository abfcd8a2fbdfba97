//! Noise at the inputs of converters: every conversion adds `N(0, noise_sigma)` codes to its sum.
//!
//! Drawing a normal number for each conversion would take longer than the sum that is converted. Every layer of a chip
//! has a pool of 2^16 normal numbers instead, drawn once, and sixteen columns that are converted together read sixteen
//! of them in a row, at a place that a hash of image, time step, pixel, conversion and columns gives. Numbers are
//! shared by conversions that have nothing else in common; no two of an image's are the same on purpose. An image has
//! the same noise in any batch, on any thread and backend, and on every other chip another.

use std::sync::Arc;

use ndarray_rand::rand::prelude::Distribution;
use ndarray_rand::rand_distr::StandardNormal;

use crate::kernels::digits::LANES;
use crate::kernels::table::HELD;
use crate::profile::Adc;
use crate::rng::Substream;

/// Numbers of a pool; sixteen columns begin to read at any fourth of them.
const POOL: usize = 1 << 16;
/// Bytes of a pool, with the first sixteen of its numbers once more.
pub const POOL_BYTES: u64 = ((POOL + LANES) * size_of::<f32>()) as u64;

/// The noise of a layer's converters.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    /// Normal numbers in codes; behind the last stand the first sixteen again.
    pub pool: Arc<[f32]>,
    /// Time steps of an image, each of which is converted by itself.
    pub steps: usize,
    /// The factors of those numbers for each code that a sum may be nearest to, from the lowest, filled up to a
    /// multiple of [`HELD`]; empty: 1.
    pub by_code: Arc<[f32]>,
}

impl Noise {
    /// The noise of some converters over so many steps, drawn by a key of the chip and the layer.
    pub fn of_converters(key: [u32; 2], adc: &Adc, steps: usize) -> Self {
        let mut by_code: Vec<f32> = adc.noise_by_code.iter().map(|sigma| *sigma as f32).collect();
        by_code.resize(by_code.len().next_multiple_of(HELD), 0.0);
        let sigma = if by_code.is_empty() { adc.noise_sigma } else { 1.0 };
        Noise { by_code: by_code.into(), ..Noise::new(key, sigma, steps) }
    }

    /// Noise of so many codes over so many steps, drawn by a key of the chip and the layer.
    fn new(key: [u32; 2], sigma: f64, steps: usize) -> Self {
        let mut stream = Substream::new(key, [0; 3]);
        let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
        let mut pool: Vec<f32> = (0..POOL).map(|_| (sigma * normal()) as f32).collect();
        pool.extend_from_within(..LANES);
        Noise { pool: pool.into(), steps, by_code: Arc::default() }
    }

    /// The noise that sixteen columns add to their sums in a conversion.
    #[inline(always)]
    pub fn of(&self, conversion: u32, block: u32) -> &[f32; LANES] {
        self.at(place(mix(conversion, block)))
    }

    /// The places at which sixteen columns begin to read in sixteen conversions of the same number, at different
    /// moments.
    #[inline(always)]
    pub fn places(moments: &[u32; LANES], conversion: u32, block: u32) -> [u32; LANES] {
        let mut places = [0; LANES];
        for lane in 0..LANES {
            places[lane] = place(mix(mix(moments[lane], conversion), block));
        }
        places
    }

    /// The sixteen numbers that begin at a place.
    #[inline(always)]
    pub fn at(&self, place: u32) -> &[f32; LANES] {
        self.pool[place as usize..].first_chunk().expect("sixteen stand behind every place")
    }
}

/// A hash of what was hashed and a word more.
#[inline(always)]
pub fn mix(hash: u32, word: u32) -> u32 {
    let mixed = (hash ^ word).wrapping_mul(0x9E37_79B1);
    mixed ^ mixed >> 15
}

/// The hash of an image at a step; mixed with a pixel, that of a moment of a layer.
#[inline(always)]
pub fn step_of((image, step): (u32, u32)) -> u32 {
    mix(mix(0x243F_6A88, image), step)
}

/// Where a hash begins to read.
#[inline(always)]
fn place(hash: u32) -> u32 {
    let mixed = hash.wrapping_mul(0x85EB_CA6B);
    let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xC2B2_AE35);
    mixed >> 18 << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The noise of a column in many conversions that differ in one thing.
    fn series(of: impl Fn(u32) -> (u32, u32)) -> Vec<f64> {
        let noise = Noise::new([3, 4], 0.5, 1);
        (0..20_000).map(of).map(|(conversion, block)| f64::from(noise.of(conversion, block)[3])).collect()
    }

    fn moment(image: u32, step: u32, pixel: u32) -> u32 {
        mix(step_of((image, step)), pixel)
    }

    fn moments(values: &[f64]) -> [f64; 3] {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let central = |power: i32| values.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / count;
        [mean, central(2).sqrt(), central(4) / central(2).powi(2)]
    }

    #[test]
    fn conversions_that_differ_in_anything_have_normal_noise_of_their_own() {
        let all = [
            series(|i| (mix(moment(i, 0, 0), 0), 0)),
            series(|i| (mix(moment(5, i, 0), 0), 0)),
            series(|i| (mix(moment(5, 1, i), 0), 0)),
            series(|i| (mix(moment(5, 1, 7), i), 0)),
            series(|i| (mix(moment(5, 1, 7), 2), i)),
        ];
        for values in &all {
            let [mean, sigma, kurtosis] = moments(values);
            // Five standard errors of 20,000 numbers, and those of the pool.
            assert!(mean.abs() < 0.5 * 5.0 / 20_000f64.sqrt(), "{mean}");
            assert!((sigma - 0.5).abs() < 0.02 && (kurtosis - 3.0).abs() < 0.2, "{sigma} {kurtosis}");
            // Neighbours have nothing to do with each other.
            let pairs = values.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / values.len() as f64;
            assert!(pairs.abs() < 0.25 * 5.0 / 20_000f64.sqrt(), "{pairs}");
        }
        for (a, b) in (0..5).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let both = all[a].iter().zip(&all[b]).map(|(x, y)| x * y).sum::<f64>() / 20_000.0;
            assert!(both.abs() < 0.25 * 5.0 / 20_000f64.sqrt(), "series {a} and {b}: {both}");
        }
    }

    #[test]
    fn every_part_of_the_pool_is_read() {
        let mut seen = vec![false; POOL / 4];
        (0..200_000).for_each(|i| seen[place(mix(moment(i / 500, i % 500 / 100, i % 100), 1)) as usize / 4] = true);
        assert!(seen.iter().filter(|seen| **seen).count() > POOL / 4 - 10);
    }
}
