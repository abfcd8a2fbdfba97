//! The integer product on AVX-512 VNNI: six rows by four tiles of sums in registers.

use std::arch::x86_64::*;

use super::operand::{LANES, ROWS_AT_ONCE, RUN_BYTES, Right, Strided};

/// Tiles whose sums are held at once.
const TILES: usize = 4;
/// Rows whose sums are held at once.
const ROWS: usize = 6;

/// # Safety
/// The processor has the features; `Digits::product` checked all addresses.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub unsafe fn product(right: Right, left: Strided, add: bool, out: &mut [i32]) {
    let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
    for (i, out) in out.chunks_mut(TILES * rows * LANES).enumerate() {
        let right = Right { data: &right.data[i * TILES * right.tile..], ..right };
        let mut row = 0;
        while row < left.rows {
            let n = ROWS.min(left.rows - row);
            let block =
                VnniBlock { right, left, row, add, out: out[row * LANES..].as_mut_ptr(), out_tile: rows * LANES };
            // SAFETY: rows and tiles lie within the operands.
            unsafe {
                match out.len() / (rows * LANES) {
                    4 => block.rows::<4>(n),
                    3 => block.rows::<3>(n),
                    2 => block.rows::<2>(n),
                    _ => block.rows::<1>(n),
                }
            }
            row += n;
        }
    }
}

/// The product with blocks of so many digits each, which are joined while they are in registers.
///
/// # Safety
/// The processor has the features; `Digits::joined` checked all addresses.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub unsafe fn joined(right: Right, left: Strided, digits: usize, out: &mut [i32]) {
    let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
    for (i, out) in out.chunks_mut(rows * LANES).enumerate() {
        let right = Right { data: &right.data[i * digits * right.tile..], ..right };
        let block = VnniBlock { right, left, row: 0, add: false, out: out.as_mut_ptr(), out_tile: 0 };
        // SAFETY: rows and tiles lie within the operands.
        unsafe {
            match digits {
                1 => block.joined_rows::<1, 12>(),
                2 => block.joined_rows::<2, 12>(),
                3 => block.joined_rows::<3, 8>(),
                _ => block.joined_rows::<4, 6>(),
            }
        }
    }
}

struct VnniBlock<'a> {
    right: Right<'a>,
    left: Strided<'a>,
    row: usize,
    add: bool,
    out: *mut i32,
    out_tile: usize,
}

impl VnniBlock<'_> {
    unsafe fn below(&self, rows: usize) -> Self {
        let out = unsafe { self.out.add(rows * LANES) };
        VnniBlock { row: self.row + rows, out, ..*self }
    }

    /// The sums of so many rows, at most [`ROWS`]: of the last few as many at once as there are kernels for.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn rows<const T: usize>(&self, rows: usize) {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                ROWS.. => self.run::<T, ROWS>(),
                3.. => {
                    self.run::<T, 3>();
                    self.below(3).rows::<T>(rows - 3);
                }
                2 => self.run::<T, 2>(),
                1 => self.run::<T, 1>(),
                0 => {}
            }
        }
    }

    /// All rows of a block of so many digits, `R` at once.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn joined_rows<const T: usize, const R: usize>(&self) {
        let rows = self.left.rows;
        // SAFETY: the caller's.
        unsafe {
            for row in (0..rows / R * R).step_by(R) {
                self.below(row).run_joined::<T, R>();
            }
            for row in rows / R * R..rows {
                self.below(row).run_joined::<T, 1>();
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn run_joined<const T: usize, const R: usize>(&self) {
        // SAFETY: the caller's.
        unsafe {
            for (r, digits) in self.sums::<T, R>().into_iter().enumerate() {
                let mut joined = digits[T - 1];
                for digit in digits[..T - 1].iter().rev() {
                    joined = _mm512_add_epi32(_mm512_slli_epi32::<8>(joined), *digit);
                }
                _mm512_storeu_si512(self.out.add(r * LANES).cast(), joined);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn run<const T: usize, const R: usize>(&self) {
        // SAFETY: the caller's.
        unsafe {
            for (r, sums) in self.sums::<T, R>().into_iter().enumerate() {
                for (t, sum) in sums.into_iter().enumerate() {
                    _mm512_storeu_si512(self.out.add(t * self.out_tile + r * LANES).cast(), sum);
                }
            }
        }
    }

    /// The sums of `R` rows and `T` tiles.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn sums<const T: usize, const R: usize>(&self) -> [[__m512i; T]; R] {
        let (right, left) = (self.right, self.left);
        let lines = right.run.next_multiple_of(RUN_BYTES) / 4;
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[_mm512_setzero_si512(); T]; R];
            for (r, sums) in sums.iter_mut().enumerate().filter(|_| self.add) {
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_loadu_si512(self.out.add(t * self.out_tile + r * LANES).cast());
                }
            }
            let tile = right.data.as_ptr();
            for (i, run) in left.runs.iter().enumerate() {
                let mut weights = tile.add(i * lines * 64);
                let mut bytes = left.bytes.as_ptr().add(run + self.row * left.stride);
                for _ in 0..right.run.div_ceil(4) {
                    let mut columns = [_mm512_setzero_si512(); T];
                    for (t, column) in columns.iter_mut().enumerate() {
                        *column = _mm512_load_si512(weights.add(t * right.tile).cast());
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let quad = _mm512_set1_epi32(bytes.add(r * left.stride).cast::<i32>().read_unaligned());
                        for (sum, column) in sums.iter_mut().zip(columns) {
                            *sum = _mm512_dpbusd_epi32(*sum, quad, column);
                        }
                    }
                    weights = weights.add(64);
                    bytes = bytes.add(4);
                }
            }
            sums
        }
    }
}
