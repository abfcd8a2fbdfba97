//! The arithmetic behind a tile's bit lines on the CPU: sums become codes, codes and the companion array's products a total.
//!
//! A code is `round(clip(x·gain + offset))`, a product and a sum of f32, rounded each: the GPU's bits.

use super::tiled::{TileSums, by_digits};
use crate::crossbar::converted::Adder;
use crate::kernels::digits::LANES;
use crate::kernels::vectorised;

vectorised! {
    /// Joins codes and products of a pixel, or of a block's pixels, `[..][16]`, and adds them, times their unit, behind the planes above, which
    /// count `base` times as much, to the 16 places of `out` from each of `places` on. Gives how many saturated.
    pub fn join(
        adder: &Adder,
        partials: (&[i32], &[i32]),
        units: [f32; 2],
        places: &[usize],
        out: &mut [f32],
    ) -> u64 {
        let ((codes, products), [base, unit]) = (partials, units);
        let mut saturated = [0u32; LANES];
        let lanes = codes.as_chunks::<LANES>().0.iter().zip(products.as_chunks::<LANES>().0);
        for ((codes, products), place) in lanes.zip(places) {
            let out: &mut [f32; LANES] = out[*place..].first_chunk_mut().expect("16 lanes");
            for lane in 0..LANES {
                let (total, cut) = adder.total(codes[lane], products[lane]);
                saturated[lane] += u32::from(cut);
                out[lane] = out[lane] * base + total as f32 * unit;
            }
        }
        saturated.iter().map(|saturated| u64::from(*saturated)).sum()
    }
}

/// Sums below 2^22 to which 1.5·2^23 is added have no room for a fraction: their last bits are the integer, half to even.
const NO_FRACTION: f32 = 1.5 * (1u32 << 23) as f32;

/// The converters of some columns of a tile.
#[derive(Clone, Copy)]
pub struct Converters<'a> {
    /// Codes a unit of a sum, by column.
    pub gain: &'a [f32],
    /// Codes that are added to each, by column.
    pub offset: &'a [f32],
    /// The lowest code and the highest.
    pub ends: [f32; 2],
    /// Places of the total that one code counts, with its sign.
    pub factor: i32,
}

/// The converters of 16 columns.
#[derive(Clone, Copy)]
struct Conversion<'a> {
    gain: &'a [f32; LANES],
    offset: &'a [f32; LANES],
    ends: [f32; 2],
    factor: i32,
}

impl<'a> Converters<'a> {
    /// The converters of each block.
    #[inline(always)]
    fn blocks(self) -> impl Iterator<Item = Conversion<'a>> {
        let Converters { gain, offset, ends, factor } = self;
        let errors = gain.as_chunks().0.iter().zip(offset.as_chunks().0);
        errors.map(move |(gain, offset)| Conversion { gain, offset, ends, factor })
    }
}

impl Conversion<'_> {
    /// Adds the codes of sums, and counts those that lie beyond the ends: for each lane, since adding lanes up takes longer than all the
    /// rest.
    #[inline(always)]
    fn convert(&self, sums: &[f32; LANES], codes: &mut [i32; LANES], clipped: &mut [u32; LANES]) {
        let [lowest, highest] = self.ends;
        for lane in 0..LANES {
            let exact = sums[lane] * self.gain[lane] + self.offset[lane];
            clipped[lane] += u32::from(exact < lowest - 0.5 || exact > highest + 0.5);
            let rounded = exact.clamp(lowest, highest) + NO_FRACTION;
            codes[lane] += (rounded.to_bits() as i32 - NO_FRACTION.to_bits() as i32) * self.factor;
        }
    }
}

vectorised! {
    /// Converts a pixel's sums on a tile and adds their codes times a factor; gives how many sums lay beyond the ends.
    pub fn convert(sums: &[f32], converters: Converters, codes: &mut [i32]) -> u64 {
        let mut clipped = [0u32; LANES];
        let blocks = sums.as_chunks().0.iter().zip(codes.as_chunks_mut().0);
        for ((sums, codes), conversion) in blocks.zip(converters.blocks()) {
            conversion.convert(sums, codes, &mut clipped);
        }
        clipped.iter().map(|clipped| u64::from(*clipped)).sum()
    }
}

vectorised! {
    /// Converts many pixels' sums of a block on a tile, as [`convert`] does a pixel's.
    pub fn convert_all(sums: TileSums, converters: Converters, codes: &mut [i32]) -> u64 {
        let conversion = converters.blocks().next().expect("a block");
        by_digits!(sums, convert_digits(conversion, codes))
    }
}

#[inline(always)]
fn convert_digits<const D: usize>(sums: TileSums, conversion: Conversion, codes: &mut [i32]) -> u64 {
    let mut clipped = [0u32; LANES];
    for (pixel, codes) in codes.as_chunks_mut().0.iter_mut().enumerate() {
        let mut exact = [0.0; LANES];
        exact.iter_mut().zip(sums.at::<D>(pixel)).for_each(|(exact, sum)| *exact = sum as f32 * sums.unit);
        conversion.convert(&exact, codes, &mut clipped);
    }
    clipped.iter().map(|clipped| u64::from(*clipped)).sum()
}

vectorised! {
    /// Adds a block's whole sums for many pixels, times 2^`places`.
    pub fn add_all(sums: TileSums, places: u32, products: &mut [i32]) {
        by_digits!(sums, add_digits(places, products))
    }
}

#[inline(always)]
fn add_digits<const D: usize>(sums: TileSums, places: u32, products: &mut [i32]) {
    for (pixel, products) in products.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let whole = sums.at::<D>(pixel).map(|sum| (sum as f32 * sums.unit) as i32);
        products.iter_mut().zip(whole).for_each(|(product, sum)| *product += sum << places);
    }
}
