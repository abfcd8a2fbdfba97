//! The events of N-MNIST (Orchard et al., Frontiers in Neuroscience 9, 437, 2015): five bytes each.
//!
//! Column, row, then 24 bits, the upper byte first: the polarity, and 23 bits of microseconds. An event in row 240 says
//! that the clock went beyond its range, and moves all that follow by 2^13 µs.

use super::binning::Event;

/// The row of an event that is none.
const OVERFLOW_ROW: u8 = 240;

/// The events of a file.
pub(super) fn events(bytes: &[u8]) -> Result<Vec<Event>, String> {
    let (events, rest) = bytes.as_chunks::<5>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are not a whole number of events of 5 bytes", bytes.len()));
    }
    let mut later = 0;
    let mut made = Vec::with_capacity(events.len());
    for &[x, y, high, middle, low] in events {
        if y == OVERFLOW_ROW {
            later += 1 << 13;
            continue;
        }
        let time = i64::from(u32::from_be_bytes([0, high & 0x7f, middle, low]));
        made.push(Event { time_us: time + later, x: x.into(), y: y.into(), polarity: high >> 7 });
    }
    Ok(made)
}
