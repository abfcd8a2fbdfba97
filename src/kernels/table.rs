//! Numbers of a table at places that differ from lane to lane.
//!
//! Some processors take long for an instruction that reads sixteen places of memory. Registers are faster tables: an
//! instruction of AVX-512 picks sixteen of 32 numbers that two registers hold. Where each of sixteen columns has a
//! table of its own, sixteen pixels are turned so that a register holds a column, and are turned back.

use super::digits::LANES;
use super::{Vectors, vectorised};

/// Numbers of sixteen pixels in sixteen columns, `[pixels][columns]`.
pub type Square = [[u32; LANES]; LANES];

/// Numbers that two registers hold. A table that is read by squares is followed by as many of any value.
pub const HELD: usize = 2 * LANES;

/// The numbers up to which a table is read from registers.
const MOST: usize = 4 * HELD;

/// The numbers of a table that stand at sixteen places; one beyond its end reads the last.
///
/// Places are brought into the table before they are read, so that no lane is checked by itself: the compiler makes one
/// instruction of the sixteen reads where the processor has one.
#[inline(always)]
pub fn read(table: &[u32], places: &[u32; LANES]) -> [u32; LANES] {
    let last = table.len().checked_sub(1).expect("a table with numbers").min(i32::MAX as usize) as u32;
    let (mut held, mut numbers) = ([0i32; LANES], [0; LANES]);
    for lane in 0..LANES {
        held[lane] = if places[lane] < last { places[lane] as i32 } else { last as i32 };
    }
    for lane in 0..LANES {
        // SAFETY: the place is one of the table's, and not negative. Processors that read sixteen places take them with
        // a sign.
        numbers[lane] = unsafe { *table.as_ptr().offset(held[lane] as isize) };
    }
    numbers
}

/// The numbers at a square of places, each of its column's table, which begins at `begins` and is so long. A place
/// stands above `DIGITS` binary digits of something else.
///
/// # Panics
/// Fewer than [`HELD`] numbers follow a table.
pub fn read_square<const DIGITS: u32>(
    table: &[u32],
    begins: &[u32; LANES],
    length: usize,
    places: &Square,
    numbers: &mut Square,
) {
    let most = *begins.iter().max().expect("sixteen columns") as usize;
    assert!(most + length + HELD <= table.len(), "a table ends too early");
    #[cfg(target_arch = "x86_64")]
    if length <= MOST && Vectors::best() >= Vectors::Avx512 {
        // SAFETY: the processor has AVX-512, and what is loaded lies within the table.
        return unsafe { from_registers::<DIGITS>(table, begins, length, places, numbers) };
    }
    read_each(table, begins, DIGITS, places, numbers);
}

/// The numbers of one table at a square of places, all within it.
///
/// # Panics
/// The table has less than [`HELD`] numbers.
pub fn read_shared(table: &[u32], places: &Square, numbers: &mut Square) {
    assert!(table.len() >= HELD, "a table ends too early");
    #[cfg(target_arch = "x86_64")]
    if table.len() <= MOST && table.len().is_multiple_of(HELD) && Vectors::best() >= Vectors::Avx512 {
        // SAFETY: the processor has AVX-512, and the table is as long as it says.
        return unsafe { shared_from_registers(table, places, numbers) };
    }
    read_each(table, &[0; LANES], 0, places, numbers);
}

vectorised! {
    /// Reads a square pixel by pixel.
    fn read_each(table: &[u32], begins: &[u32; LANES], digits: u32, places: &Square, numbers: &mut Square) {
        for (places, numbers) in places.iter().zip(numbers) {
            let mut held = [0; LANES];
            for lane in 0..LANES {
                held[lane] = (places[lane] >> digits).wrapping_add(begins[lane]);
            }
            *numbers = read(table, &held);
        }
    }
}

/// Reads a square column by column.
///
/// # Safety
/// The processor has AVX-512 F, and so many numbers and [`HELD`] more stand behind each of `begins`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn from_registers<const DIGITS: u32>(
    table: &[u32],
    begins: &[u32; LANES],
    length: usize,
    places: &Square,
    numbers: &mut Square,
) {
    use std::arch::x86_64::*;
    // SAFETY: a row of a square is as large as a register; loads lie within the table as the caller says.
    unsafe {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, places) in rows.iter_mut().zip(places) {
            *row = _mm512_srli_epi32::<DIGITS>(_mm512_loadu_si512(places.as_ptr().cast()));
        }
        let mut columns = turned(rows);
        for (column, begin) in columns.iter_mut().zip(begins) {
            *column = picked(table.as_ptr().add(*begin as usize), length, *column);
        }
        for (row, turned) in numbers.iter_mut().zip(turned(columns)) {
            _mm512_storeu_si512(row.as_mut_ptr().cast(), turned);
        }
    }
}

/// Reads a square of one table, pixel by pixel.
///
/// # Safety
/// The processor has AVX-512 F, and the table's length is a multiple of [`HELD`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn shared_from_registers(table: &[u32], places: &Square, numbers: &mut Square) {
    use std::arch::x86_64::*;
    for (places, numbers) in places.iter().zip(numbers) {
        // SAFETY: a row of a square is as large as a register; loads lie within the table as the caller says.
        unsafe {
            let places = _mm512_loadu_si512(places.as_ptr().cast());
            _mm512_storeu_si512(numbers.as_mut_ptr().cast(), picked(table.as_ptr(), table.len(), places));
        }
    }
}

/// The numbers of a table at sixteen places below its length.
///
/// # Safety
/// The numbers up to the next multiple of [`HELD`] from the length on can be read.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn picked(table: *const u32, length: usize, places: std::arch::x86_64::__m512i) -> std::arch::x86_64::__m512i {
    use std::arch::x86_64::*;
    let two = |first: usize| {
        // SAFETY: the caller says that these can be read.
        let low = unsafe { _mm512_loadu_si512(table.add(first).cast()) };
        // SAFETY: and these.
        let high = unsafe { _mm512_loadu_si512(table.add(first + LANES).cast()) };
        _mm512_permutex2var_epi32(low, places, high)
    };
    let mut read = two(0);
    for first in (HELD..length).step_by(HELD) {
        let is_here = _mm512_cmpge_epu32_mask(places, _mm512_set1_epi32(first as i32));
        read = _mm512_mask_mov_epi32(read, is_here, two(first));
    }
    read
}

/// Rows as columns.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn turned(mut rows: [std::arch::x86_64::__m512i; LANES]) -> [std::arch::x86_64::__m512i; LANES] {
    use std::arch::x86_64::*;
    // Interleaving row i with row i + 8 four times rotates the eight bits of a number's place by four: a transposition.
    let lower = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    let upper = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
    for _ in 0..LANES.ilog2() {
        let before = rows;
        for i in 0..LANES {
            let half = if i % 2 == 0 { lower } else { upper };
            rows[i] = _mm512_permutex2var_epi32(before[i / 2], half, before[i / 2 + LANES / 2]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_those_beyond_the_end_read_the_last() {
        let table: Vec<u32> = (0..40).map(|i| i * i).collect();
        let places = std::array::from_fn(|lane| (lane * 7 % 50) as u32);
        let expected: [u32; LANES] = std::array::from_fn(|lane| table[(lane * 7 % 50).min(39)]);
        assert_eq!(read(&table, &places), expected);
    }

    #[test]
    fn squares_read_each_column_from_its_own_table() {
        for length in [1, 15, 18, 32, 33, 66, 128, 129, 1025] {
            let table: Vec<u32> = (0..(LANES * length + HELD) as u32).map(|i| i.wrapping_mul(0x9E37_79B9)).collect();
            let begins: [u32; LANES] = std::array::from_fn(|lane| (lane * 5 % LANES * length) as u32);
            let places: Square =
                std::array::from_fn(|pixel| std::array::from_fn(|lane| ((pixel * 131 + lane * 17) % length) as u32));
            let expected = places.map(|row| std::array::from_fn(|lane| table[(begins[lane] + row[lane]) as usize]));
            let (mut squares, mut each) = ([[0; LANES]; LANES], [[0; LANES]; LANES]);
            let above = places.map(|row| row.map(|place| place << 11 | place & 5));
            read_square::<11>(&table, &begins, length, &above, &mut squares);
            read_each(&table, &begins, 11, &above, &mut each);
            assert_eq!((squares, each), (expected, expected), "{length}");
            let table = &table[..length.next_multiple_of(HELD).min(table.len())];
            read_shared(table, &places, &mut squares);
            assert_eq!(squares, places.map(|row| row.map(|place| table[place as usize])), "{length}");
        }
    }
}
