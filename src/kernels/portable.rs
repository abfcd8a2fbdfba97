//! The readable reference of the integer product; also what processors without AVX2 run.

use super::operand::{LANES, ROWS_AT_ONCE, RUN_BYTES, Right, Strided};

pub fn product(right: Right, left: Strided, add: bool, out: &mut [i32]) {
    let rows = left.rows.next_multiple_of(ROWS_AT_ONCE);
    if !add {
        out.fill(0);
    }
    for (tile, out) in out.chunks_mut(rows * LANES).enumerate() {
        let tile = &right.data[tile * right.tile..];
        for (r, sums) in out.as_chunks_mut::<LANES>().0.iter_mut().take(left.rows).enumerate() {
            for (run, weights) in left.runs.iter().zip(tile.chunks(right.run.next_multiple_of(RUN_BYTES) * LANES)) {
                let bytes = &left.bytes[run + r * left.stride..][..right.run];
                for (quad, line) in bytes.chunks(4).zip(weights.as_chunks::<64>().0) {
                    if quad.iter().all(|byte| *byte == 0) {
                        continue;
                    }
                    for (i, byte) in quad.iter().enumerate() {
                        for (lane, sum) in sums.iter_mut().enumerate() {
                            *sum = sum.wrapping_add(i32::from(*byte) * i32::from(line[lane * 4 + i]));
                        }
                    }
                }
            }
        }
    }
}
