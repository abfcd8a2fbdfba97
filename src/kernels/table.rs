//! Numbers of a table at places that differ from lane to lane.

use super::digits::LANES;

/// The numbers of a table that stand at sixteen places; one beyond its end reads the last.
///
/// Places are brought into the table before they are read, so that no lane is checked by itself: the compiler makes one instruction of
/// the sixteen reads where the processor has one.
#[inline(always)]
pub fn read(table: &[u32], places: &[u32; LANES]) -> [u32; LANES] {
    let last = table.len().checked_sub(1).expect("a table with numbers").min(i32::MAX as usize) as u32;
    let (mut held, mut numbers) = ([0i32; LANES], [0; LANES]);
    for lane in 0..LANES {
        held[lane] = if places[lane] < last { places[lane] as i32 } else { last as i32 };
    }
    for lane in 0..LANES {
        // SAFETY: the place is one of the table's, and not negative. Processors that read sixteen places take them with a sign.
        numbers[lane] = unsafe { *table.as_ptr().offset(held[lane] as isize) };
    }
    numbers
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
}
