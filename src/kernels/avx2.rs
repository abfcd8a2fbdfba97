//! The integer product on AVX2 and on its VNNI: four rows by sixteen columns of sums.
//!
//! AVX2 multiplies bytes by signed bytes in pairs, whose sums have 16 bits. Small bytes, such as spikes and counts,
//! leave them room for many pairs before they must be widened; for others both factors are widened first, at half the
//! pace.

use std::arch::x86_64::*;

use super::operand::{LANES, ROWS_AT_ONCE, RUN_BYTES, Right, Strided};

/// Rows whose sums are held at once; divides [`ROWS_AT_ONCE`], so there are no rows over.
const ROWS: usize = 4;
/// Registers of a line of weights.
const HALVES: usize = 2;
/// Fewer quads than this between two widenings and it is better to widen the factors.
const FEWEST_QUADS: usize = 8;

/// # Safety
/// The processor has AVX2; `Digits::product` checked all addresses.
#[target_feature(enable = "avx2")]
pub unsafe fn product(right: Right, left: Strided, add: bool, out: &mut [i32]) {
    // A pair of products is at most 256 times the largest byte.
    let quads = i16::MAX as usize / (256 * usize::from(largest(right.run, left)).max(1));
    for_each_block(right, left, add, out, |block| {
        // SAFETY: the caller's.
        unsafe { if quads >= FEWEST_QUADS { block.narrow(quads) } else { block.wide() } }
    });
}

/// # Safety
/// The processor has AVX-VNNI; `Digits::product` checked all addresses.
#[target_feature(enable = "avx2,avxvnni")]
pub unsafe fn product_vnni(right: Right, left: Strided, add: bool, out: &mut [i32]) {
    // SAFETY: the caller's.
    for_each_block(right, left, add, out, |block| unsafe { block.dot() });
}

/// The largest byte of the left operand.
#[target_feature(enable = "avx2")]
fn largest(run: usize, left: Strided) -> u8 {
    let row = |r: usize| left.runs.iter().map(move |begin| &left.bytes[begin + r * left.stride..][..run]);
    (0..left.rows).flat_map(row).map(|bytes| bytes.iter().fold(0, |a, b| a.max(*b))).max().unwrap_or(0)
}

#[inline(always)]
fn for_each_block(right: Right, left: Strided, add: bool, out: &mut [i32], run: impl Fn(Avx2Block)) {
    let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
    for (i, out) in out.chunks_mut(rows * LANES).enumerate() {
        let right = Right { data: &right.data[i * right.tile..], ..right };
        for (row, out) in (0..left.rows).step_by(ROWS).zip(out.chunks_mut(ROWS * LANES)) {
            run(Avx2Block { right, left, row, add, out: out.as_mut_ptr().cast() });
        }
    }
}

struct Avx2Block<'a> {
    right: Right<'a>,
    left: Strided<'a>,
    row: usize,
    add: bool,
    out: *mut __m256i,
}

type RegisterSums = [[__m256i; HALVES]; ROWS];

/// The weights of a line of columns.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn line(weights: *const i8) -> [__m256i; HALVES] {
    // SAFETY: the caller's tiles hold whole lines.
    unsafe { [_mm256_loadu_si256(weights.cast()), _mm256_loadu_si256(weights.cast::<__m256i>().add(1))] }
}

impl Avx2Block<'_> {
    /// Where the weights of each run begin, and its bytes of the first row.
    fn runs(&self) -> impl Iterator<Item = (*const i8, *const u8)> {
        let size = self.right.run.next_multiple_of(RUN_BYTES) * LANES;
        let weights = self.right.data.chunks(size).map(|weights| weights.as_ptr());
        let row = |run: &usize| self.left.bytes[run + self.row * self.left.stride..].as_ptr();
        weights.zip(self.left.runs.iter().map(row))
    }

    fn quads(&self) -> usize {
        self.right.run.div_ceil(4)
    }

    #[target_feature(enable = "avx2")]
    unsafe fn sums(&self) -> RegisterSums {
        let mut sums = [[_mm256_setzero_si256(); HALVES]; ROWS];
        for (i, sum) in sums.as_flattened_mut().iter_mut().enumerate().take(if self.add { ROWS * HALVES } else { 0 }) {
            *sum = unsafe { _mm256_loadu_si256(self.out.add(i)) };
        }
        sums
    }

    #[target_feature(enable = "avx2")]
    unsafe fn store(&self, sums: RegisterSums) {
        for (i, sum) in sums.as_flattened().iter().enumerate() {
            unsafe { _mm256_storeu_si256(self.out.add(i), *sum) };
        }
    }

    /// Adds up products in sums of 16 bits, for so many quads.
    #[target_feature(enable = "avx2")]
    unsafe fn narrow(&self, quads: usize) {
        // SAFETY: rows and tiles lie within the operands.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut wide = self.sums();
            for (mut weights, mut bytes) in self.runs() {
                let mut left = self.quads();
                while left > 0 {
                    let mut sums = [[_mm256_setzero_si256(); HALVES]; ROWS];
                    let now = left.min(quads);
                    for _ in 0..now {
                        let columns = line(weights);
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let quad = bytes.add(r * self.left.stride).cast::<i32>().read_unaligned();
                            let quad = _mm256_set1_epi32(quad);
                            for (sum, column) in sums.iter_mut().zip(columns) {
                                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(quad, column));
                            }
                        }
                        weights = weights.add(4 * LANES);
                        bytes = bytes.add(4);
                    }
                    for (wide, sum) in wide.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                        *wide = _mm256_add_epi32(*wide, _mm256_madd_epi16(*sum, ones));
                    }
                    left -= now;
                }
            }
            self.store(wide);
        }
    }

    /// Multiplies factors of 16 bits.
    #[target_feature(enable = "avx2")]
    unsafe fn wide(&self) {
        // SAFETY: rows and tiles lie within the operands.
        unsafe {
            let mut all = self.sums();
            for half in 0..HALVES {
                // Two sums a column, of the even and the odd pair of its quads.
                let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
                for (weights, mut bytes) in self.runs() {
                    let mut weights = weights.cast::<__m128i>().add(2 * half);
                    for _ in 0..self.quads() {
                        let first = _mm256_cvtepi8_epi16(_mm_loadu_si128(weights));
                        let columns = [first, _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.add(1)))];
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let quad = bytes.add(r * self.left.stride).cast::<i32>().read_unaligned();
                            let quad = _mm256_cvtepu8_epi16(_mm_set1_epi32(quad));
                            for (sum, column) in sums.iter_mut().zip(columns) {
                                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(quad, column));
                            }
                        }
                        weights = weights.add(4 * LANES / 16);
                        bytes = bytes.add(4);
                    }
                }
                for (all, [first, second]) in all.iter_mut().zip(sums) {
                    // Columns 0 1 4 5 2 3 6 7: the addition of neighbours stays within 128 bits.
                    let columns = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(first, second));
                    all[half] = _mm256_add_epi32(all[half], columns);
                }
            }
            self.store(all);
        }
    }

    /// Adds up products of quads.
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn dot(&self) {
        // SAFETY: rows and tiles lie within the operands.
        unsafe {
            let mut sums = self.sums();
            for (mut weights, mut bytes) in self.runs() {
                for _ in 0..self.quads() {
                    let columns = line(weights);
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let quad = bytes.add(r * self.left.stride).cast::<i32>().read_unaligned();
                        let quad = _mm256_set1_epi32(quad);
                        for (sum, column) in sums.iter_mut().zip(columns) {
                            *sum = _mm256_dpbusd_avx_epi32(*sum, quad, column);
                        }
                    }
                    weights = weights.add(4 * LANES);
                    bytes = bytes.add(4);
                }
            }
            self.store(sums);
        }
    }
}
