//! A layer's inputs laid out for its product, a buffer for each plane of their pulses.

use std::ops::Range;
use std::sync::Arc;

use super::patches::Patches;
use crate::kernels::Buffer;
use crate::network::code::DIGIT_BITS;
use crate::network::pulses::Pulses;

/// Added to encoded inputs, which have a sign, so that their bytes have none.
pub const BIAS: u8 = 128;

/// Laid-out maps.
#[derive(Debug, Default)]
pub struct Laid {
    /// The planes, from the least significant one.
    pub planes: Vec<Buffer<u8>>,
    /// Sums of a plane count this many times those of the one below.
    pub base: f32,
    /// Whether every input is 0 or 1.
    pub bits: bool,
    /// Share of active inputs, per map; of encoded ones 1.
    pub rates: Vec<f32>,
    /// The images and steps that maps are of.
    pub times: Times,
    /// Share of the digits of encoded inputs that are not 0, per map; empty for others.
    digits: Vec<f32>,
}

/// The images and steps that maps are of: as many steps of each image as there are.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Each image's index in its data set.
    pub images: Arc<[u32]>,
    /// The first of the steps.
    pub first: usize,
}

/// Some rows of pixels of one laid-out map; for a fully connected layer, maps instead of rows.
#[derive(Clone, Copy, Debug)]
pub struct Band {
    /// The map.
    pub map: usize,
    /// Its first row of pixels.
    pub y: usize,
    /// Rows of pixels.
    pub rows: usize,
    /// Maps, of which the same rows are meant.
    pub maps: usize,
}

impl Laid {
    /// Lays out `maps` maps of pulses from map `first` on.
    pub fn pulses(&mut self, patches: &Patches, pulses: &Pulses, first: usize, maps: usize) {
        self.planes.resize_with(pulses.planes(), Buffer::default);
        self.base = 256.0;
        self.bits = pulses.are_bits();
        self.digits.clear();
        self.rates.clear();
        self.rates.extend((first..first + maps).map(|map| pulses.rate(map)));
        for (plane, bytes) in self.planes.iter_mut().enumerate() {
            patches.fill(pulses, plane, first, maps, bytes);
        }
    }

    /// Lays out the digits of encoded maps `[maps, planes, pixels, channels]`.
    pub fn encoded(&mut self, patches: &Patches, digits: &[i8], planes: usize) {
        self.planes.resize_with(planes, Buffer::default);
        self.base = (1u32 << DIGIT_BITS) as f32;
        self.bits = false;
        for (plane, bytes) in self.planes.iter_mut().enumerate() {
            patches.fill_encoded(digits, (plane, planes), BIAS, bytes);
        }
        let map = planes * patches.encoded();
        let active = |map: &[i8]| map.iter().filter(|digit| **digit != 0).count() as f32 / map.len() as f32;
        self.digits.clear();
        self.digits.extend(digits.chunks(map).map(active));
        self.rates.clear();
        self.rates.resize(self.digits.len(), 1.0);
    }

    /// The mean share of what drives in some maps: of active inputs, or of the digits of encoded ones.
    pub fn active(&self, maps: Range<usize>) -> f32 {
        let shares = if self.digits.is_empty() { &self.rates[maps] } else { &self.digits[maps] };
        shares.iter().sum::<f32>() / shares.len() as f32
    }

    /// The image of a map, by its index in its data set, and the step; of maps that are of no image, the first of all.
    pub fn time(&self, map: usize) -> (u32, u32) {
        let Times { images, first } = &self.times;
        let steps = self.maps() / images.len().max(1);
        (images.get(map / steps).copied().unwrap_or(0), (first + map % steps) as u32)
    }

    /// Maps.
    pub fn maps(&self) -> usize {
        self.rates.len()
    }
}
