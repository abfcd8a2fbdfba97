//! Transposes bytes: maps with their channels side by side become channels with their pixels side by side.

/// Bytes of a square.
const SIDE: usize = 16;

/// Column `c` of `columns`, a multiple of 16, of the rows `from[row·stride..]` becomes `to[place(c)..][..rows]`; both
/// are read and written up to the next multiple of 16 rows.
pub fn transpose(
    from: &[u8],
    stride: usize,
    (rows, columns): (usize, usize),
    to: &mut [u8],
    place: impl Fn(usize) -> usize,
) {
    for row in (0..rows).step_by(SIDE) {
        for column in (0..columns).step_by(SIDE) {
            let square: [[u8; SIDE]; SIDE] = std::array::from_fn(|i| {
                let at = (row + i) * stride + column;
                *from[at..].first_chunk().expect("rows reach to a multiple of 16")
            });
            for (i, line) in flip(square).iter().enumerate() {
                to[place(column + i) + row..][..SIDE].copy_from_slice(line);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn flip(square: [[u8; SIDE]; SIDE]) -> [[u8; SIDE]; SIDE] {
    use std::arch::x86_64::*;
    // Interleaving row i with row i + 8 four times rotates the eight bits of a byte's place by four: a transposition.
    // SAFETY: every x86-64 processor has SSE2, and a row is as large as its registers.
    unsafe {
        let mut rows: [__m128i; SIDE] = std::mem::transmute(square);
        for _ in 0..4 {
            let before = rows;
            for (i, row) in rows.iter_mut().enumerate() {
                let (upper, lower) = (before[i / 2], before[i / 2 + 8]);
                *row = if i % 2 == 0 { _mm_unpacklo_epi8(upper, lower) } else { _mm_unpackhi_epi8(upper, lower) };
            }
        }
        std::mem::transmute(rows)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn flip(square: [[u8; SIDE]; SIDE]) -> [[u8; SIDE]; SIDE] {
    std::array::from_fn(|i| std::array::from_fn(|j| square[j][i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        for (rows, columns) in [(1, 16), (16, 16), (37, 48)] {
            let from: Vec<u8> = (0..48 * 64).map(|i| (i * 31 % 251) as u8).collect();
            let mut to = vec![0; 64 * 64];
            transpose(&from, 50, (rows, columns), &mut to, |c| (columns - 1 - c) * 50);
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(to[(columns - 1 - column) * 50 + row], from[row * 50 + column]);
                }
            }
        }
    }
}
