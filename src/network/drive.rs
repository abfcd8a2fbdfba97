//! What drives a layer's word lines: integers, in digit planes that are applied one after the other; and how often
//! lines are driven, the events that energy is counted from.
//!
//! A line is driven once for each binary digit that is 1, or for each pulse, of its input, and for each output pixel
//! whose window holds it: every output pixel is a pass of its own over the tiles.

use super::code::{DIGIT_BITS, InputCode};
use super::pulses::Pulses;
use crate::kernels::vectorised;
use crate::numeric::unrolling::Unrolling;
use crate::profile::TileInputs;

/// The kind of a layer's inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Pulses of the layer before: not negative.
    Pulses,
    /// The network's input as it was encoded: integers with a sign.
    Encoded,
}

/// The inputs of a layer: magnitudes of at most `largest` a plane, each plane `plane_bits` bits above the one below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drive {
    /// Binary digits of an input's magnitude, all planes together.
    pub bits: u32,
    /// The largest magnitude of a plane.
    pub largest: u32,
    /// Planes.
    pub planes: u32,
    /// Bits from plane to plane.
    pub plane_bits: u32,
    /// Whether inputs may be negative.
    pub signed: bool,
    /// Sums over inputs of this magnitude are exact in f32: a plane's of an encoded input, else of whole counts.
    pub exact: u32,
}

impl Drive {
    /// The drive of the network's inputs.
    pub fn encoded(code: InputCode) -> Self {
        let InputCode { bits, signed, .. } = code;
        let largest = code.largest().min((1 << DIGIT_BITS) - 1);
        Drive { bits, largest, planes: code.planes(), plane_bits: DIGIT_BITS, signed, exact: largest }
    }

    /// The drive of counts of pulses, at most `largest` each: one plane, or digits where a signed byte does not hold
    /// them.
    pub fn pulses(largest: u32) -> Self {
        let planes = if largest < 128 { 1 } else { largest.ilog2() / DIGIT_BITS + 1 };
        let digit = (1 << DIGIT_BITS) - 1;
        let least = if planes == 1 { largest } else { digit };
        let bits = largest.ilog2() + 1;
        Drive { bits, largest: least, planes, plane_bits: DIGIT_BITS, signed: false, exact: largest }
    }

    /// Digit `plane` of an input, with its sign.
    pub fn digit(&self, n: i32, plane: u32) -> i32 {
        match self.planes {
            1 => n,
            _ => ((n.abs() >> (plane * self.plane_bits)) & ((1 << self.plane_bits) - 1)) * n.signum(),
        }
    }

    /// Binary digits of a plane: fewer of the most significant one, where they do not fill it.
    pub fn bits_of(&self, plane: u32) -> u32 {
        if self.planes == 1 { self.bits } else { self.plane_bits.min(self.bits - plane * self.plane_bits) }
    }
}

/// Output pixels whose window holds each pixel of a layer's input map.
pub fn fan_out(unrolling: Unrolling, pixels: usize) -> Vec<u32> {
    let Unrolling { input, window, flat } = unrolling;
    if flat {
        return vec![1; pixels];
    }
    let output = unrolling.output();
    let along = |i: usize, size: usize| (0..size).map(move |at| window.holding(i, at, output[i]));
    let columns: Vec<usize> = along(1, input.width).collect();
    along(0, input.height).flat_map(|rows| columns.iter().map(move |columns| (rows * columns) as u32)).collect()
}

/// How often an input of this magnitude drives its line.
#[inline(always)]
fn times(magnitude: u8, pulses: bool) -> u8 {
    if pulses {
        return magnitude;
    }
    // Ones of a byte, as every instruction set has them.
    let pairs = magnitude - ((magnitude >> 1) & 0x55);
    let nibbles = (pairs & 0x33) + ((pairs >> 2) & 0x33);
    (nibbles + (nibbles >> 4)) & 0x0f
}

/// How often a map of pulses drives lines; `fan` as [`fan_out`] gives it.
pub fn of_pulses(pulses: &Pulses, map: usize, fan: &[u32], inputs: TileInputs) -> u64 {
    let as_pulses = inputs == TileInputs::Pulses && !pulses.are_bits();
    // A byte holds two digits where counts have several planes.
    let digits = as_pulses && (pulses.planes() > 1 || pulses.largest() > 127);
    pulses.planes_of(map).map(|plane| of_plane(plane, fan, as_pulses, digits)).sum()
}

vectorised! {
    /// Bytes of a plane, as many for each pixel.
    fn of_plane(plane: &[u8], fan: &[u32], as_pulses: bool, digits: bool) -> u64 {
        let mut sum = 0u64;
        for (bytes, fan) in plane.chunks_exact(plane.len() / fan.len()).zip(fan) {
            let drives: u32 = match (as_pulses, digits) {
                (false, _) => bytes.iter().map(|byte| u32::from(times(*byte, false))).sum(),
                (true, false) => bytes.iter().map(|byte| u32::from(*byte)).sum(),
                (true, true) => bytes.iter().map(|byte| u32::from(byte & 15) + u32::from(byte >> 4)).sum(),
            };
            sum += u64::from(drives) * u64::from(*fan);
        }
        sum
    }
}

/// How often an encoded map `[planes, pixels, channels]` drives lines.
pub fn of_encoded(digits: &[i8], channels: usize, fan: &[u32], inputs: TileInputs) -> u64 {
    let as_pulses = inputs == TileInputs::Pulses;
    let pixel = |(digits, fan): (&[i8], &u32)| {
        let drives = digits.iter().map(|digit| u64::from(times(digit.unsigned_abs(), as_pulses)));
        drives.sum::<u64>() * u64::from(*fan)
    };
    digits.chunks(channels).zip(fan.iter().cycle()).map(pixel).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::digits::LANES;
    use crate::numeric::Shape;
    use crate::numeric::unrolling::Window;

    #[test]
    fn a_pixel_is_in_the_windows_around_it() {
        let unrolling = |height, width| Unrolling::of(Shape { channels: 2, height, width }, Window::same(3));
        assert_eq!(fan_out(unrolling(3, 4), 12), [4, 6, 6, 4, 6, 9, 9, 6, 4, 6, 6, 4]);
        assert_eq!(fan_out(unrolling(1, 1), 1), [1]);
        assert_eq!(fan_out(unrolling(2, 1), 2), [2, 2]);
    }

    #[test]
    fn lines_are_driven_by_digits_or_by_pulses() {
        let (unrolling, channels) = (Unrolling::of(Shape { channels: 3, height: 2, width: 3 }, Window::same(3)), 3);
        let fan = fan_out(unrolling, 6);
        for largest in [1u32, 4, 127, 200, 3000] {
            let count = |pixel: usize, channel: usize| ((pixel * 7 + channel * 13 + 5) as u32 * 97) % (largest + 1);
            let mut pulses = Pulses::new(1, 6, channels, largest);
            for pixel in 0..6 {
                let lane = |lane| if lane < channels { count(pixel, lane) as u16 } else { 0 };
                pulses.put(0, pixel, 0, &std::array::from_fn::<u16, LANES, _>(lane));
            }
            let drive = Drive::pulses(largest);
            for inputs in [TileInputs::BitPlanes, TileInputs::Pulses] {
                let of = |n: u32| {
                    (0..drive.planes)
                        .map(|p| u64::from(times(drive.digit(n as i32, p) as u8, inputs == TileInputs::Pulses)))
                        .sum::<u64>()
                };
                let all = (0..6).flat_map(|pixel| (0..channels).map(move |channel| (pixel, channel)));
                let expected: u64 = all.map(|(pixel, c)| of(count(pixel, c)) * u64::from(fan[pixel])).sum();
                assert_eq!(of_pulses(&pulses, 0, &fan, inputs), expected, "{largest}, {inputs:?}");
            }
        }
        assert_eq!(of_encoded(&[3, -1, 0, 8, 0, 0], 1, &[1, 2, 3], TileInputs::BitPlanes), 2 + 2 + 1);
        assert_eq!(of_encoded(&[3, -1, 0, 8, 0, 0], 1, &[1, 2, 3], TileInputs::Pulses), 3 + 2 + 8);
    }
}
