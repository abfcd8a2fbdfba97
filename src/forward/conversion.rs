//! The arithmetic behind a tile's bit lines on the CPU: sums become codes, codes and the companion array's products a total.
//!
//! A code is `round(clip(x·gain + offset + noise))`, a product and sums of f32, rounded each, or what transition levels make of that: the
//! GPU's bits.

use super::tiled::{TileSums, by_digits};
use crate::crossbar::converted::Adder;
use crate::crossbar::noise::{Noise, mix};
use crate::crossbar::transitions::Levels;
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
    /// Where codes begin; none where that is half-way between them.
    pub levels: Option<ColumnLevels<'a>>,
    /// The lowest code and the highest.
    pub ends: [f32; 2],
    /// Places of the total that one code counts, with its sign.
    pub factor: i32,
}

/// The noise of a block of columns in a conversion of some pixels.
#[derive(Clone, Copy)]
pub struct BlockNoise<'a> {
    /// The pool that is drawn from.
    pub noise: &'a Noise,
    /// The hash of each pixel's image, step and place.
    pub moments: &'a [u32],
    /// The conversion's number.
    pub conversion: u32,
    /// The block's number.
    pub block: u32,
}

impl<'a> BlockNoise<'a> {
    #[inline(always)]
    fn of(self, pixel: usize) -> &'a [f32; LANES] {
        self.noise.of(mix(self.moments[pixel], self.conversion), self.block)
    }
}

/// The transition levels of the converters of some columns ([`crate::crossbar::transitions`]).
#[derive(Clone, Copy)]
pub struct ColumnLevels<'a> {
    /// A row for each converter.
    values: &'a [f32],
    /// Where each column's row begins.
    begins: &'a [u32],
    /// Levels are no farther from the ideal ones than half a code and so many codes.
    reach: i32,
}

impl<'a> ColumnLevels<'a> {
    /// The levels of the converters at some places.
    pub fn new(levels: &'a Levels, begins: &'a [u32]) -> Self {
        ColumnLevels { values: &levels.values, begins, reach: levels.reach as i32 }
    }
}

/// The converters of 16 columns.
#[derive(Clone, Copy)]
struct Conversion<'a> {
    gain: &'a [f32; LANES],
    offset: &'a [f32; LANES],
    levels: Option<(&'a [f32], &'a [u32; LANES], i32)>,
    ends: [f32; 2],
    factor: i32,
}

impl<'a> Converters<'a> {
    /// The converters of each block.
    #[inline(always)]
    fn blocks(self) -> impl Iterator<Item = Conversion<'a>> {
        let Converters { gain, offset, levels, ends, factor } = self;
        let errors = gain.as_chunks().0.iter().zip(offset.as_chunks().0);
        errors.enumerate().map(move |(block, (gain, offset))| {
            let of_block = |of: ColumnLevels<'a>| (of.values, &of.begins.as_chunks().0[block], of.reach);
            Conversion { gain, offset, levels: levels.map(of_block), ends, factor }
        })
    }
}

impl Conversion<'_> {
    /// Adds the codes of sums, and counts those that lie beyond the ends: for each lane, since adding lanes up takes longer than all the
    /// rest.
    #[inline(always)]
    fn convert(
        &self,
        sums: &[f32; LANES],
        noise: Option<&[f32; LANES]>,
        codes: &mut [i32; LANES],
        clipped: &mut [u32; LANES],
    ) {
        let [lowest, highest] = self.ends;
        let mut exact: [f32; LANES] = std::array::from_fn(|lane| sums[lane] * self.gain[lane] + self.offset[lane]);
        if let Some(noise) = noise {
            // Behind the last column there is no converter.
            for lane in 0..LANES {
                exact[lane] += if self.gain[lane] == 0.0 { 0.0 } else { noise[lane] };
            }
        }
        for lane in 0..LANES {
            clipped[lane] += u32::from(exact[lane] < lowest - 0.5 || exact[lane] > highest + 0.5);
        }
        if let Some((values, begins, reach)) = self.levels {
            let found = between_levels(&exact, self.ends, values, begins, reach);
            codes.iter_mut().zip(found).for_each(|(codes, code)| *codes += code * self.factor);
            return;
        }
        for lane in 0..LANES {
            codes[lane] += nearest(exact[lane].clamp(lowest, highest)) * self.factor;
        }
    }
}

/// The whole number that is nearest to one below 2^22 in magnitude, half to even.
#[inline(always)]
fn nearest(x: f32) -> i32 {
    (x + NO_FRACTION).to_bits() as i32 - NO_FRACTION.to_bits() as i32
}

/// The codes of sums, in codes, behind converters with these levels. Of the levels up to the code below a sum, all but the last `reach`
/// are known to be met, and of those above only the first `reach` and one may be.
#[inline(always)]
fn between_levels(
    exact: &[f32; LANES],
    [lowest, highest]: [f32; 2],
    values: &[f32],
    begins: &[u32; LANES],
    reach: i32,
) -> [i32; LANES] {
    let (lowest_code, highest_code) = (lowest as i32, highest as i32);
    let below: [i32; LANES] = std::array::from_fn(|lane| {
        let held = exact[lane].clamp(lowest - 1.0, highest);
        let near = nearest(held);
        (near - i32::from(near as f32 > held)).clamp(lowest_code - 1, highest_code)
    });
    let mut codes: [i32; LANES] = std::array::from_fn(|lane| below[lane] - reach);
    for more in 0..=2 * reach {
        for lane in 0..LANES {
            let at = begins[lane] as usize + (below[lane] - (lowest_code - 1) + more) as usize;
            codes[lane] += i32::from(exact[lane] >= values[at]);
        }
    }
    codes
}

vectorised! {
    /// Converts a pixel's sums on a tile and adds their codes times a factor; gives how many sums lay beyond the ends.
    pub fn convert(sums: &[f32], converters: Converters, noise: Option<(&Noise, u32)>, codes: &mut [i32]) -> u64 {
        let mut clipped = [0u32; LANES];
        let blocks = sums.as_chunks().0.iter().zip(codes.as_chunks_mut().0);
        for (block, ((sums, codes), conversion)) in (0..).zip(blocks.zip(converters.blocks())) {
            let noise = noise.map(|(noise, conversion)| noise.of(conversion, block));
            conversion.convert(sums, noise, codes, &mut clipped);
        }
        clipped.iter().map(|clipped| u64::from(*clipped)).sum()
    }
}

vectorised! {
    /// Converts many pixels' sums of a block on a tile, as [`convert`] does a pixel's.
    pub fn convert_all(sums: TileSums, converters: Converters, noise: Option<BlockNoise>, codes: &mut [i32]) -> u64 {
        let conversion = converters.blocks().next().expect("a block");
        by_digits!(sums, convert_digits(conversion, noise, codes))
    }
}

#[inline(always)]
fn convert_digits<const D: usize>(
    sums: TileSums,
    conversion: Conversion,
    noise: Option<BlockNoise>,
    codes: &mut [i32],
) -> u64 {
    let mut clipped = [0u32; LANES];
    for (pixel, codes) in codes.as_chunks_mut().0.iter_mut().enumerate() {
        let mut exact = [0.0; LANES];
        exact.iter_mut().zip(sums.at::<D>(pixel)).for_each(|(exact, sum)| *exact = sum as f32 * sums.unit);
        conversion.convert(&exact, noise.map(|noise| noise.of(pixel)), codes, &mut clipped);
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
