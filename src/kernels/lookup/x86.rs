//! Look-ups in registers of eight and of sixteen entries.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Pixels, Space, Weights};
use crate::kernels::digits::{LANES, Strided};

/// Columns whose tables are built and looked up together.
const COLUMNS: usize = 4;
/// Inputs of a word.
const WORD: usize = 32;
/// Rows are padded to this many.
const ROWS: usize = 16;

/// The packed left operand, the tables of [`COLUMNS`] columns and their sums `[column][padded row]`.
struct Part<'a> {
    /// Groups of inputs of each word.
    groups: &'a [usize],
    /// `[word][padded row]`.
    words: *const u32,
    /// `[word][group][column][entry]`.
    tables: *const f32,
    sums: *mut f32,
    padded: usize,
}

impl Part<'_> {
    /// # Safety
    /// There is such a row.
    unsafe fn below(&self, row: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { Part { words: self.words.add(row), sums: self.sums.add(row), ..*self } }
    }
}

/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub unsafe fn avx2(
    w: Weights,
    left: Strided,
    blocks: Range<usize>,
    pixels: Pixels,
    space: &mut Space,
    out: &mut [f32],
) {
    for_each_part::<3, 8>(w, left, blocks, pixels, space, out, |part| {
        for row in (0..part.padded).step_by(ROWS) {
            // SAFETY: two registers of rows are left.
            unsafe { eights(&part.below(row)) };
        }
    });
}

/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx2,avx512f")]
pub unsafe fn avx512(
    w: Weights,
    left: Strided,
    blocks: Range<usize>,
    pixels: Pixels,
    space: &mut Space,
    out: &mut [f32],
) {
    for_each_part::<4, 16>(w, left, blocks, pixels, space, out, |part| {
        let mut row = 0;
        while row < part.padded {
            // SAFETY: as many registers of rows are left.
            row += ROWS
                * unsafe {
                    let rest = part.below(row);
                    match (part.padded - row) / ROWS {
                        1 => sixteens::<1>(&rest),
                        2 | 4 => sixteens::<2>(&rest),
                        3 | 6 => sixteens::<3>(&rest),
                        _ => sixteens::<5>(&rest),
                    }
                };
        }
    });
}

/// Two registers of rows.
///
/// # Safety
/// So many rows are there.
#[target_feature(enable = "avx2")]
unsafe fn eights(part: &Part) {
    // SAFETY: words, tables and sums are as large as the groups and the rows say.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); COLUMNS]; 2];
        let (mut words, mut tables) = (part.words, part.tables);
        for groups in part.groups {
            let mut index: [__m256i; 2] = std::array::from_fn(|i| _mm256_loadu_si256(words.add(8 * i).cast()));
            for _ in 0..*groups {
                for column in 0..COLUMNS {
                    let table = _mm256_loadu_ps(tables.add(8 * column));
                    for (sums, index) in sums.iter_mut().zip(index) {
                        sums[column] = _mm256_add_ps(sums[column], _mm256_permutevar8x32_ps(table, index));
                    }
                }
                index = index.map(|index| _mm256_srli_epi32::<3>(index));
                tables = tables.add(8 * COLUMNS);
            }
            words = words.add(part.padded);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                _mm256_storeu_ps(part.sums.add(column * part.padded + 8 * i), *sum);
            }
        }
    }
}

/// `N` registers of rows, and gives `N`.
///
/// # Safety
/// So many rows are there.
#[target_feature(enable = "avx512f")]
unsafe fn sixteens<const N: usize>(part: &Part) -> usize {
    // SAFETY: words, tables and sums are as large as the groups and the rows say.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); COLUMNS]; N];
        let (mut words, mut tables) = (part.words, part.tables);
        for groups in part.groups {
            let mut index: [__m512i; N] = std::array::from_fn(|i| _mm512_loadu_si512(words.add(16 * i).cast()));
            for _ in 0..*groups {
                for column in 0..COLUMNS {
                    let table = _mm512_loadu_ps(tables.add(16 * column));
                    for (sums, index) in sums.iter_mut().zip(index) {
                        sums[column] = _mm512_add_ps(sums[column], _mm512_permutexvar_ps(index, table));
                    }
                }
                index = index.map(|index| _mm512_srli_epi32::<4>(index));
                tables = tables.add(16 * COLUMNS);
            }
            words = words.add(part.padded);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (column, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(part.sums.add(column * part.padded + 16 * i), *sum);
            }
        }
    }
    N
}

/// Prepares each part, has it summed by `sum` and puts its sums in their places.
#[inline(always)]
fn for_each_part<const INPUTS: usize, const ENTRIES: usize>(
    weights: Weights,
    left: Strided,
    blocks: Range<usize>,
    pixels: Pixels,
    space: &mut Space,
    out: &mut [f32],
    sum: impl Fn(Part),
) {
    let Space { words, tables, sums } = space;
    let padded = left.rows.next_multiple_of(ROWS);
    let inputs = |word: usize| (weights.run - word * WORD).min(WORD);
    let of_run = weights.run.div_ceil(WORD);
    let groups: Vec<usize> =
        left.runs.iter().flat_map(|_| (0..of_run).map(|word| inputs(word).div_ceil(INPUTS))).collect();
    words.reserve(groups.len() * padded);
    tables.reserve(groups.iter().sum::<usize>() * COLUMNS * ENTRIES);
    sums.reserve(COLUMNS * padded);
    for (i, words) in words.chunks_mut(padded).take(groups.len()).enumerate() {
        let from = left.runs[i / of_run] + i % of_run * WORD;
        for (row, word) in words.iter_mut().enumerate().take(left.rows) {
            // SAFETY: both sets that get here have AVX2.
            *word = unsafe { pack(left.bytes[from + row * left.stride..].first_chunk().expect("a padded run")) };
        }
    }
    let size = out.len() / blocks.len();
    for (block, out) in blocks.zip(out.chunks_mut(size)) {
        for first in (0..LANES).step_by(COLUMNS) {
            let mut to = tables.as_chunks_mut::<ENTRIES>().0.as_chunks_mut::<COLUMNS>().0.iter_mut();
            for (word, groups) in groups.iter().enumerate() {
                let begin = word / of_run * weights.run + word % of_run * WORD;
                let end = begin + inputs(word % of_run);
                for (group, tables) in (0..*groups).zip(&mut to) {
                    let group = begin + group * INPUTS;
                    let at = |row: usize| &weights.values[row * weights.columns + block * LANES + first..];
                    let row = |i: usize| match group + i {
                        row if row < end => *at(row).first_chunk::<COLUMNS>().expect("whole blocks"),
                        _ => [0.0; COLUMNS],
                    };
                    fill(std::array::from_fn::<_, INPUTS, _>(row), tables);
                }
            }
            let (words, tables) = (words.as_ptr(), tables.as_ptr());
            sum(Part { groups: &groups, words, tables, sums: sums.as_mut_ptr(), padded });
            for (y, out) in out.chunks_mut(pixels.width * LANES).enumerate() {
                let sums: [&[f32]; COLUMNS] =
                    std::array::from_fn(|column| &sums[column * padded + y * pixels.row..][..pixels.width]);
                for (x, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    let sums: [f32; COLUMNS] = std::array::from_fn(|column| sums[column][x]);
                    out[first..first + COLUMNS].copy_from_slice(&sums);
                }
            }
        }
    }
}

/// The sums of every pattern of the inputs, column by column.
#[inline(always)]
fn fill<const INPUTS: usize, const ENTRIES: usize>(
    rows: [[f32; COLUMNS]; INPUTS],
    tables: &mut [[f32; ENTRIES]; COLUMNS],
) {
    for (column, table) in tables.iter_mut().enumerate() {
        let mut sums = [0.0; ENTRIES];
        for (input, row) in rows.iter().enumerate() {
            for (pattern, sum) in sums.iter_mut().enumerate() {
                *sum += if pattern >> input & 1 == 1 { row[column] } else { 0.0 };
            }
        }
        *table = sums;
    }
}

/// The lowest bits of bytes.
#[target_feature(enable = "avx2")]
fn pack(bytes: &[u8; WORD]) -> u32 {
    // SAFETY: the array is as large as the register.
    let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    _mm256_movemask_epi8(_mm256_slli_epi16::<7>(bytes)) as u32
}
