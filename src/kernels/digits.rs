//! Products of bytes with integers of up to four signed eight-bit digits.
//!
//! Columns stand in blocks of [`LANES`]; each digit of a block is a *tile* of its own, and a product gives the tile's
//! sums `[tile][row][16]`. Inside a tile four consecutive rows of the right operand lie side by side, sixteen columns
//! to a cache line: the order that VNNI and AMX both read.

use rayon::prelude::*;

use super::operand::Right;
pub use super::operand::{LANES, ROWS_AT_ONCE, RUN_BYTES, Strided};
use super::{Buffer, Instructions, portable, vectorised};

/// Rows that are written at once.
pub const GROUP: usize = 16;
/// Digits of the largest integer.
pub const MOST_DIGITS: usize = 4;

/// The right operand: integers `[runs][rows of a run][columns]` in digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Digits {
    data: Buffer<i8>,
    /// Digits of an integer.
    pub digits: usize,
    /// Blocks of columns.
    pub blocks: usize,
    /// Runs of the left operand.
    pub runs: usize,
    /// Bytes of a run, without padding.
    pub run: usize,
}

impl Digits {
    /// Zeros.
    pub fn zeros(digits: usize, columns: usize, runs: usize, run: usize) -> Self {
        let blocks = columns.div_ceil(LANES);
        let data = Buffer::zeros(blocks * digits * runs * run.next_multiple_of(RUN_BYTES) * LANES);
        Digits { data, digits, blocks, runs, run }
    }

    fn run_bytes(&self) -> usize {
        self.run.next_multiple_of(RUN_BYTES)
    }

    /// Bytes of a tile.
    fn tile(&self) -> usize {
        self.runs * self.run_bytes() * LANES
    }

    /// Tiles: a digit of a block each.
    pub fn tiles(&self) -> usize {
        self.blocks * self.digits
    }

    /// Writes blocks of columns in parallel: `value(block, run, first, rows)` sets the [`GROUP`] rows from `first` of a
    /// run; what it leaves is zero.
    pub fn fill(&mut self, value: impl Fn(usize, usize, usize, &mut [[i32; LANES]; GROUP]) + Sync) {
        let (tile, runs) = (self.tile(), (self.runs, self.run));
        let blocks = self.data.par_chunks_mut(self.digits * tile);
        fill_blocks(blocks.map(|data| data.chunks_mut(tile).collect()), runs, value);
    }

    /// An operand for each digit, filled like [`Self::fill`].
    pub fn apart(
        digits: usize,
        columns: usize,
        (runs, run): (usize, usize),
        value: impl Fn(usize, usize, usize, &mut [[i32; LANES]; GROUP]) + Sync,
    ) -> Vec<Digits> {
        let mut parts = vec![Digits::zeros(1, columns, runs, run); digits];
        let mut blocks: Vec<Vec<&mut [i8]>> = (0..columns.div_ceil(LANES)).map(|_| Vec::new()).collect();
        for part in &mut parts {
            let tile = part.tile();
            blocks.iter_mut().zip(part.data.chunks_mut(tile)).for_each(|(block, data)| block.push(data));
        }
        fill_blocks(blocks.into_par_iter(), (runs, run), value);
        parts
    }

    /// Writes a block from its rows, four at a time, one run: for operands that change with every product.
    pub fn write(&mut self, block: usize, first_quad: usize, rows: &[[i32; LANES]]) {
        let (digits, tile) = (self.digits, self.tile());
        let mut tiles = self.data[block * digits * tile..].chunks_mut(tile);
        let mut tiles: [&mut [i8]; MOST_DIGITS] =
            std::array::from_fn(|d| if d < digits { tiles.next().unwrap_or_default() } else { Default::default() });
        write(&mut tiles[..digits], first_quad, rows);
    }

    /// One operand of the runs of all, one after the other; they are alike, of a digit each.
    pub fn join_runs(parts: &[&Digits]) -> Digits {
        let (first, tile) = (parts[0], parts[0].tile());
        let runs = parts.iter().map(|part| part.runs).sum();
        let mut data = Buffer::zeros(first.blocks * parts.len() * tile);
        data.par_chunks_mut(parts.len() * tile).enumerate().for_each(|(block, to)| {
            for (to, part) in to.chunks_mut(tile).zip(parts) {
                to.copy_from_slice(&part.data[block * tile..][..tile]);
            }
        });
        Digits { data, runs, ..*first }
    }

    /// Row `i` of a run of one block: the digits joined.
    pub fn row(&self, block: usize, run: usize, i: usize) -> [i32; LANES] {
        let at = (run * self.run_bytes() + i / 4 * 4) * LANES + i % 4;
        let digit = |d: usize, lane: usize| self.data[(block * self.digits + d) * self.tile() + at + 4 * lane];
        std::array::from_fn(|lane| join((0..self.digits).map(|d| i32::from(digit(d, lane)))))
    }

    /// The sums of every tile for inputs of one, for inputs that are biased.
    pub fn tile_sums(&self) -> Vec<[i32; LANES]> {
        let ones = vec![1; self.run_bytes()];
        let left = Strided { bytes: &ones, stride: 0, rows: 1, runs: &vec![0; self.runs] };
        let sums = |tile: usize| {
            let mut out = [0; ROWS_AT_ONCE * LANES];
            self.product(Instructions::best(), left, (tile, 0), false, &mut out);
            *out.first_chunk().expect("16 lanes")
        };
        (0..self.tiles()).into_par_iter().map(sums).collect()
    }

    /// `out[tile][row][16] = left · tile`, added to `out` when `add`, for the tiles from `first` that `out` has room
    /// for and the runs from `run` that `left` has; `out` has the rows of `left` rounded up to [`ROWS_AT_ONCE`], and
    /// what lands in the rows beyond is of no meaning.
    pub fn product(
        &self,
        instructions: Instructions,
        left: Strided,
        (first, run): (usize, usize),
        add: bool,
        out: &mut [i32],
    ) {
        let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
        let tiles = out.len() / (rows * LANES);
        assert!(first + tiles <= self.tiles() && out.len() == tiles * rows * LANES, "tiles");
        let right = self.right(instructions, left, (first, run));
        match instructions {
            Instructions::Portable => portable::product(right, left, add, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the set is available, and every address was checked above.
            Instructions::Avx2 => unsafe { super::avx2::product(right, left, add, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::AvxVnni => unsafe { super::avx2::product_vnni(right, left, add, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::Vnni => unsafe { super::vnni::product(right, left, add, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Instructions::Amx => unsafe { super::amx::product(right, left, add, out) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => portable::product(right, left, add, out),
        }
    }

    /// The operand from a tile and a run on, with all that a product reads checked.
    fn right(&self, instructions: Instructions, left: Strided, (first, run): (usize, usize)) -> Right<'_> {
        assert!(run + left.runs.len() <= self.runs, "runs");
        assert!(Instructions::available().contains(&instructions), "{instructions:?} is not available");
        let begin = first * self.tile() + run * self.run_bytes() * LANES;
        let reach = Strided::reach(left.rows, left.stride, self.run);
        assert!(left.runs.iter().all(|run| run + reach <= left.bytes.len()), "the left operand is too short");
        Right { data: &self.data[begin..], tile: self.tile(), run: self.run }
    }

    /// `out[block][row][16] = left · block`, modulo 2³², for the blocks from `first` that `out` has room for and the
    /// runs from `run` that `left` has; rows as those of [`Self::product`].
    pub fn joined(
        &self,
        instructions: Instructions,
        left: Strided,
        (first, run): (usize, usize),
        space: &mut Buffer<i32>,
        out: &mut [i32],
    ) {
        let tile = left.rows.next_multiple_of(ROWS_AT_ONCE) * LANES;
        assert!(first + out.len() / tile <= self.blocks && out.len().is_multiple_of(tile), "blocks");
        #[cfg(target_arch = "x86_64")]
        if instructions.join_in_registers() {
            let right = self.right(instructions, left, (first * self.digits, run));
            // SAFETY: the set is available, and every address was checked above.
            return unsafe { super::vnni::joined(right, left, self.digits, out) };
        }
        space.reserve(out.len() * self.digits);
        let sums = &mut space[..out.len() * self.digits];
        self.product(instructions, left, (first * self.digits, run), false, sums);
        join_tiles(sums, self.digits, tile, out);
    }
}

vectorised! {
    /// Joins the digits of sums `[block][digit][tile]`.
    fn join_tiles(sums: &[i32], digits: usize, tile: usize, out: &mut [i32]) {
        for (sums, out) in sums.chunks(digits * tile).zip(out.chunks_mut(tile)) {
            for (i, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                *out = join_lanes(digits, |d| sums[d * tile + i * LANES..].first_chunk().expect("16 lanes"));
            }
        }
    }
}

/// Writes blocks, given as their tiles.
fn fill_blocks<'a>(
    blocks: impl IndexedParallelIterator<Item = Vec<&'a mut [i8]>>,
    (runs, run): (usize, usize),
    value: impl Fn(usize, usize, usize, &mut [[i32; LANES]; GROUP]) + Sync,
) {
    let lines = run.next_multiple_of(RUN_BYTES) / 4;
    blocks.enumerate().for_each(|(block, mut tiles)| {
        for r in 0..runs {
            for first in (0..run).step_by(GROUP) {
                let mut group = [[0; LANES]; GROUP];
                value(block, r, first, &mut group);
                write(&mut tiles, r * lines + first / 4, &group);
            }
        }
    });
}

vectorised! {
    fn write(tiles: &mut [&mut [i8]], first_quad: usize, rows: &[[i32; LANES]]) {
        for (quad, rows) in rows.chunks(4).enumerate() {
            let mut four = [[0; LANES]; 4];
            four[..rows.len()].copy_from_slice(rows);
            put(tiles, first_quad + quad, four);
        }
    }
}

/// Writes line `line` of each tile of a block.
#[inline(always)]
fn put(tiles: &mut [&mut [i8]], line: usize, mut rows: [[i32; LANES]; 4]) {
    for tile in tiles {
        let words: [u32; LANES] = std::array::from_fn(|lane| {
            let mut word = 0;
            for (i, row) in rows.iter_mut().enumerate() {
                let digit = row[lane] as i8;
                word |= u32::from(digit as u8) << (8 * i);
                row[lane] = (row[lane] - i32::from(digit)) >> 8;
            }
            word.to_le()
        });
        tile[line * 4 * LANES..][..4 * LANES].copy_from_slice(bytemuck::cast_slice(&words));
    }
}

/// Digits that integers up to `largest` in magnitude take.
pub fn digits_of(largest: i32) -> usize {
    // The largest integer of n balanced digits is 127·(1 + 256 + ...).
    (1..MOST_DIGITS).find(|n| largest <= (0..*n).map(|d| 127 << (8 * d)).sum::<i32>()).unwrap_or(MOST_DIGITS)
}

/// Joins the digits of a lane's sums, the least significant first.
#[inline(always)]
pub fn join(digits: impl DoubleEndedIterator<Item = i32>) -> i32 {
    digits.rev().fold(0, |sum, digit| sum.wrapping_shl(8).wrapping_add(digit))
}

/// Joins so many digits of 16 lanes; `digit(0)` is the least significant.
#[inline(always)]
pub fn join_lanes<'a>(digits: usize, digit: impl Fn(usize) -> &'a [i32; LANES]) -> [i32; LANES] {
    let mut joined = *digit(digits - 1);
    for d in (0..digits - 1).rev() {
        for (joined, below) in joined.iter_mut().zip(digit(d)) {
            *joined = join([*below, *joined].into_iter());
        }
    }
    joined
}

/// [`join`] for sums beyond 32 bits.
#[inline(always)]
pub fn join_wide(digits: impl DoubleEndedIterator<Item = i32>) -> i64 {
    digits.rev().fold(0, |sum, digit| (sum << 8) + i64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::number;

    #[test]
    fn every_instruction_set_gives_the_sums_of_the_definition() {
        for (rows, runs, run, columns, digits, stride, most) in [
            (1, 1, 1, 1, 1, 1, 255),
            (37, 3, 9, 10, 3, 3, 255),
            (37, 3, 9, 10, 3, 3, 1),
            (33, 3, 48, 32, 2, 16, 255),
            (33, 3, 48, 32, 2, 16, 4),
            (70, 1, 130, 33, 4, 130, 255),
            (70, 1, 130, 33, 4, 130, 15),
            (8, 2, 64, 100, 3, 64, 255),
        ] {
            let largest = (0..digits).map(|d| 127i64 << (8 * d)).sum::<i64>().min(1 << 24);
            let value = |run: usize, row: usize, column: usize| {
                let n = number((run * 1000 + row) * 1000 + column) as i64;
                (n % (2 * largest + 1) - largest) as i32
            };
            let mut right = Digits::zeros(digits, columns, runs, run);
            right.fill(|block, r, first, rows| {
                for (i, lanes) in rows.iter_mut().enumerate().take(run - first) {
                    for (lane, integer) in lanes.iter_mut().enumerate().take(columns - block * LANES) {
                        *integer = value(r, first + i, block * LANES + lane);
                    }
                }
            });
            let begins: Vec<usize> = (0..runs).map(|r| r * 5 * stride).collect();
            let reach = begins[runs - 1] + Strided::reach(rows, stride, run);
            let bytes: Vec<u8> = (0..reach).map(|i| (number(i + 7) % (most + 1)) as u8).collect();
            let left = Strided { bytes: &bytes, stride, rows, runs: &begins };
            let padded = rows.next_multiple_of(ROWS_AT_ONCE);
            for &instructions in Instructions::available() {
                let mut out = vec![1; right.tiles() * padded * LANES];
                right.product(instructions, left, (0, 0), false, &mut out);
                let half = runs / 2;
                let [upper, lower] = [&begins[..half], &begins[half..]].map(|runs| Strided { runs, ..left });
                let mut halves = vec![1; out.len()];
                right.product(instructions, upper, (0, 0), false, &mut halves);
                right.product(instructions, lower, (0, half), true, &mut halves);
                assert_eq!(halves, out);
                // All blocks, then all but the first.
                let mut joined = vec![1; right.blocks * padded * LANES];
                right.joined(instructions, left, (0, 0), &mut Buffer::default(), &mut joined);
                let mut others = vec![1; joined.len() - padded * LANES];
                right.joined(instructions, left, (1, 0), &mut Buffer::default(), &mut others);
                for row in 0..rows {
                    for column in 0..columns {
                        let (block, lane) = (column / LANES, column % LANES);
                        let found: i64 = (0..digits)
                            .map(|d| i64::from(out[((block * digits + d) * padded + row) * LANES + lane]) << (8 * d))
                            .sum();
                        let products = (0..runs).flat_map(|r| (0..run).map(move |i| (r, i))).map(|(r, i)| {
                            i64::from(bytes[begins[r] + row * stride + i]) * i64::from(value(r, i, column))
                        });
                        assert_eq!(found, products.sum::<i64>(), "{instructions:?} {rows}x{run}x{columns}");
                        let at = (block * padded + row) * LANES + lane;
                        assert_eq!(joined[at], found as i32, "{instructions:?} {rows}x{run}x{columns}, joined");
                        assert!(block == 0 || others[at - padded * LANES] == joined[at]);
                    }
                }
            }
        }
    }

    #[test]
    fn no_sum_of_the_extremes_overflows() {
        const RUN: usize = 2048;
        for weight in [-128, 127] {
            let mut right = Digits::zeros(1, LANES, 1, RUN);
            right.fill(|_, _, _, rows| rows.fill([weight; LANES]));
            for byte in [0, 1, 2, 15, 16, 127, 128, 255] {
                let bytes = [byte; RUN];
                let left = Strided { bytes: &bytes, stride: 0, rows: 1, runs: &[0] };
                for &instructions in Instructions::available() {
                    let mut out = [0; ROWS_AT_ONCE * LANES];
                    right.product(instructions, left, (0, 0), false, &mut out);
                    let expected = [weight * i32::from(byte) * RUN as i32; LANES];
                    assert_eq!(out[..LANES], expected, "{instructions:?} {weight} times {byte}");
                }
            }
        }
    }

    #[test]
    fn digits_hold_what_they_say() {
        assert_eq!([0, 127, 128, 32639, 32640, 8355711, 8355712, 1 << 24].map(digits_of), [1, 1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(join([-128, 3, -1].into_iter()), -128 + 3 * 256 - 65536);
    }
}
