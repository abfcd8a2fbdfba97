//! The arithmetic behind a tile's bit lines on the CPU: sums become codes, codes and the companion array's products a
//! total.
//!
//! A code is `round(clip(x·gain + offset + noise))`, x held to a limit of the current where there is one, a product and
//! sums of f32, rounded each, or what transition levels make of that: the GPU's bits.

use super::code_table::{BlockTables, CodeSpace, ColumnTables};
use super::tiled::{TileSums, by_digits};
use crate::crossbar::converted::Adder;
use crate::crossbar::noise::Noise;
use crate::kernels::digits::LANES;
use crate::kernels::nearest::nearest;
use crate::kernels::table::{Square, read, read_shared};
use crate::kernels::{one_by_one, prefetch, vectorised};

vectorised! {
    /// Joins codes and products of a pixel, or of a block's pixels, `[..][16]`, and adds them, times their unit, behind
    /// the planes above, which count `base` times as much, to the 16 places of `out` from each of `places` on. Gives
    /// how many saturated.
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

/// The converters of some columns of a tile.
#[derive(Clone, Copy)]
pub struct Converters<'a> {
    /// Codes a unit of a sum, by column.
    pub gain: &'a [f32],
    /// Codes that are added to each, by column.
    pub offset: &'a [f32],
    /// Where codes begin; none where that is half-way between them.
    pub table: Option<ColumnTables<'a>>,
    /// The lowest code and the highest.
    pub ends: [f32; 2],
    /// Places of the total that one code counts, with its sign.
    pub factor: i32,
    /// The magnitude that sums are held to; none: any.
    pub limit: Option<f32>,
    /// The factor of the noise for each code, from the lowest; empty: 1.
    pub by_code: &'a [f32],
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

impl BlockNoise<'_> {
    /// The places at which the noise of sixteen pixels stands, from one on, or of as many as there are. The processor
    /// is asked for the numbers there, since a pool is larger than the first cache.
    #[inline(always)]
    fn places(&self, pixel: usize) -> [u32; LANES] {
        let (mut moments, left) = ([0; LANES], &self.moments[pixel..]);
        let here = left.len().min(LANES);
        moments[..here].copy_from_slice(&left[..here]);
        let places = Noise::places(&moments, self.conversion, self.block);
        places.iter().for_each(|place| prefetch(self.noise.at(*place)));
        places
    }
}

/// Work space for the conversion of sixteen pixels' sums on sixteen columns.
#[derive(Default)]
struct SquareSpace {
    /// The sums, in units of a weight times a pulse.
    sums: [[f32; LANES]; LANES],
    /// The codes that they are nearest to, and the factors of the noise for these.
    nearest: Square,
    factors: Square,
    codes: CodeSpace,
}

/// The converters of 16 columns.
#[derive(Clone, Copy)]
struct Conversion<'a> {
    gain: &'a [f32; LANES],
    offset: &'a [f32; LANES],
    table: Option<BlockTables<'a>>,
    ends: [f32; 2],
    factor: i32,
    limit: Option<f32>,
    by_code: &'a [f32],
}

impl<'a> Converters<'a> {
    /// The converters of each block.
    #[inline(always)]
    fn blocks(self) -> impl Iterator<Item = Conversion<'a>> {
        let Converters { gain, offset, table, ends, factor, limit, by_code } = self;
        let errors = gain.as_chunks().0.iter().zip(offset.as_chunks().0);
        errors.enumerate().map(move |(block, (gain, offset))| {
            let table = table.map(|table| table.of(block));
            Conversion { gain, offset, table, ends, factor, limit, by_code }
        })
    }
}

impl Conversion<'_> {
    /// Adds the codes of a pixel's sums, and counts those that lie beyond the ends: for each lane, since adding lanes
    /// up takes longer than all the rest.
    #[inline(always)]
    fn convert(
        &self,
        sums: &[f32; LANES],
        noise: Option<&[f32; LANES]>,
        codes: &mut [i32; LANES],
        clipped: &mut [u32; LANES],
    ) {
        let mut scaled = [0.0; LANES];
        let noise = match noise {
            Some(noise) if !self.by_code.is_empty() => {
                let factors = read(bytemuck::cast_slice(self.by_code), &self.nearest_codes(sums));
                for lane in 0..LANES {
                    scaled[lane] = noise[lane] * f32::from_bits(factors[lane]);
                }
                Some(&scaled)
            }
            noise => noise,
        };
        let exact = self.exact(sums, noise, clipped);
        if let Some(table) = self.table {
            return self.add(&table.codes(&exact), codes);
        }
        self.add_nearest(&exact, codes);
    }

    /// Whether codes, or the noise's factors, are read from tables: sixteen pixels at a time.
    #[inline(always)]
    fn looks_up(&self, is_noisy: bool) -> bool {
        self.table.is_some() || is_noisy && !self.by_code.is_empty()
    }

    /// Adds the codes of the sums of sixteen pixels, or of the first of them, whose noise stands at those places of a
    /// pool; counts as [`Self::convert`] does.
    #[inline(always)]
    fn convert_square(
        &self,
        noise: Option<(&Noise, &[u32; LANES])>,
        space: &mut SquareSpace,
        codes: &mut [[i32; LANES]],
        clipped: &mut [u32; LANES],
    ) {
        let varies = noise.is_some() && !self.by_code.is_empty();
        if varies {
            for (nearest, sums) in one_by_one(space.nearest.iter_mut().zip(&space.sums)) {
                *nearest = self.nearest_codes(sums);
            }
            read_shared(bytemuck::cast_slice(self.by_code), &space.nearest, &mut space.factors);
        }
        for (i, codes) in one_by_one(codes.iter_mut().enumerate()) {
            let mut scaled = [0.0; LANES];
            let noise = match noise {
                Some((noise, places)) if varies => {
                    let noise = noise.at(places[i]);
                    for lane in 0..LANES {
                        scaled[lane] = noise[lane] * f32::from_bits(space.factors[i][lane]);
                    }
                    Some(&scaled)
                }
                noise => noise.map(|(noise, places)| noise.at(places[i])),
            };
            let exact = self.exact(&space.sums[i], noise, clipped);
            match self.table {
                Some(table) => table.place(&exact, i, &mut space.codes),
                None => self.add_nearest(&exact, codes),
            }
        }
        if let Some(table) = self.table {
            table.add_square(&mut space.codes, self.factor, codes);
        }
    }

    /// Adds the codes of converters that are not bent.
    #[inline(always)]
    fn add_nearest(&self, exact: &[f32; LANES], codes: &mut [i32; LANES]) {
        let [lowest, highest] = self.ends;
        for lane in 0..LANES {
            codes[lane] += nearest(exact[lane].clamp(lowest, highest)) * self.factor;
        }
    }

    /// Adds codes times their factor.
    #[inline(always)]
    fn add(&self, found: &[i32; LANES], codes: &mut [i32; LANES]) {
        for lane in 0..LANES {
            codes[lane] += found[lane] * self.factor;
        }
    }

    /// The number, from the lowest, of the code that each sum is nearest to before noise.
    #[inline(always)]
    fn nearest_codes(&self, sums: &[f32; LANES]) -> [u32; LANES] {
        let ([lowest, highest], exact) = (self.ends, self.noiseless(sums).0);
        let mut codes = [0; LANES];
        for lane in 0..LANES {
            // Held between both ends by comparisons that are vectors, as `clamp` with its check is not.
            let held = if exact[lane] > lowest { exact[lane] } else { lowest };
            let held = if held < highest { held } else { highest };
            codes[lane] = (nearest(held) - lowest as i32) as u32;
        }
        codes
    }

    /// Sums in codes, and whether each was held to the limit.
    #[inline(always)]
    fn noiseless(&self, sums: &[f32; LANES]) -> ([f32; LANES], [u32; LANES]) {
        let (mut held, mut was_held) = (*sums, [0u32; LANES]);
        if let Some(limit) = self.limit {
            for lane in 0..LANES {
                held[lane] = sums[lane].min(limit).max(-limit);
                was_held[lane] = u32::from(held[lane] != sums[lane]);
            }
        }
        (std::array::from_fn(|lane| held[lane] * self.gain[lane] + self.offset[lane]), was_held)
    }

    /// Sums in codes with their noise, before they are rounded. Counts those beyond the ends.
    #[inline(always)]
    fn exact(&self, sums: &[f32; LANES], noise: Option<&[f32; LANES]>, clipped: &mut [u32; LANES]) -> [f32; LANES] {
        let ([lowest, highest], (mut exact, was_held)) = (self.ends, self.noiseless(sums));
        if let Some(noise) = noise {
            // Behind the last column there is no converter.
            for lane in 0..LANES {
                let is_there = u32::from(self.gain[lane] != 0.0).wrapping_neg();
                exact[lane] += f32::from_bits(noise[lane].to_bits() & is_there);
            }
        }
        let [below, above] = [lowest - 0.5, highest + 0.5];
        for lane in 0..LANES {
            // Both ends are compared, whatever the first comparison gives: so lanes stay as wide as numbers are.
            clipped[lane] += was_held[lane] | u32::from(exact[lane] < below) | u32::from(exact[lane] > above);
        }
        exact
    }
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
    let mut space = conversion.looks_up(noise.is_some()).then(SquareSpace::default);
    for (sixteen, codes) in codes.as_chunks_mut().0.chunks_mut(LANES).enumerate() {
        let first = sixteen * LANES;
        let places = if let Some(noise) = &noise { noise.places(first) } else { [0; LANES] };
        if let Some(space) = &mut space {
            for (i, all) in one_by_one(space.sums[..codes.len()].iter_mut().enumerate()) {
                *all = sums.scaled::<D>(first + i);
            }
            let noise = noise.as_ref().map(|noise| (noise.noise, &places));
            conversion.convert_square(noise, space, codes, &mut clipped);
            continue;
        }
        for (i, codes) in codes.iter_mut().enumerate() {
            let noise = noise.as_ref().map(|noise| noise.noise.at(places[i]));
            conversion.convert(&sums.scaled::<D>(first + i), noise, codes, &mut clipped);
        }
    }
    clipped.iter().map(|clipped| u64::from(*clipped)).sum()
}

vectorised! {
    /// Converts many pixels' sums of a block on a tile that are numbers already, `[pixels][16]`, as [`convert`] does a
    /// pixel's.
    pub fn convert_sums(sums: &[f32], converters: Converters, noise: Option<BlockNoise>, codes: &mut [i32]) -> u64 {
        let conversion = converters.blocks().next().expect("a block");
        let (mut clipped, mut space) = ([0u32; LANES], SquareSpace::default());
        let pixels = sums.as_chunks::<LANES>().0.chunks(LANES).zip(codes.as_chunks_mut().0.chunks_mut(LANES));
        for (sixteen, (sums, codes)) in pixels.enumerate() {
            space.sums[..sums.len()].copy_from_slice(sums);
            let places = noise.as_ref().map(|noise| (noise.noise, noise.places(sixteen * LANES)));
            let noise = places.as_ref().map(|(noise, places)| (*noise, places));
            conversion.convert_square(noise, &mut space, codes, &mut clipped);
        }
        clipped.iter().map(|clipped| u64::from(*clipped)).sum()
    }
}

vectorised! {
    /// Adds a block's sums for many pixels, each times a weight, to numbers `[pixels][16]`.
    pub fn add_weighted(sums: TileSums, weight: f32, into: &mut [f32]) {
        by_digits!(sums, add_digits_weighted(weight, into))
    }
}

#[inline(always)]
fn add_digits_weighted<const D: usize>(sums: TileSums, weight: f32, into: &mut [f32]) {
    for (pixel, into) in into.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let whole = sums.at::<D>(pixel);
        for lane in 0..LANES {
            into[lane] += weight * (whole[lane] as f32 * sums.unit);
        }
    }
}

vectorised! {
    /// Adds a block's whole sums for many pixels, times 2^`places`.
    pub fn add_all(sums: TileSums, places: u32, products: &mut [i32]) {
        by_digits!(sums, add_digits(places, products))
    }
}

#[inline(always)]
fn add_digits<const D: usize>(sums: TileSums, places: u32, products: &mut [i32]) {
    // The unit is a power of two and sums in it are whole, so that shifts are exact. A number's conversion to an
    // integer saturates in Rust, and compilers make it lane by lane.
    let exponent = libm::ilogbf(sums.unit);
    let (up, down) = (places + exponent.max(0) as u32, (-exponent).max(0) as u32);
    for (pixel, products) in products.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let sums = sums.at::<D>(pixel);
        for lane in 0..LANES {
            products[lane] += (sums[lane] >> down) << up;
        }
    }
}
