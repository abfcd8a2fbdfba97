//! Address-event files of iniLabs' cameras: AEDAT 2.0 and 3.1
//! (<https://docs.inivation.com/software/software-advanced-usage/file-formats>).

use super::binning::Event;

/// Where the events begin: behind the lines of text, which begin with `#`. An error where the first of them is not that
/// of `version`.
fn behind_header(bytes: &[u8], version: &str) -> Result<usize, String> {
    let mark = format!("#!AER-DAT{version}");
    if !bytes.starts_with(mark.as_bytes()) {
        return Err(format!("expected a file that begins with `{mark}`"));
    }
    let mut at = 0;
    while bytes.get(at) == Some(&b'#') {
        let line = &bytes[at..];
        let end = line.iter().position(|&byte| byte == b'\n').ok_or("the header has no end")?;
        at += end + 1;
        if line.starts_with(b"#!END-HEADER") {
            break;
        }
    }
    Ok(at)
}

/// The events of an AEDAT 2.0 file of a DVS128: address and time, 32 bits each, the upper byte first. The address has
/// the polarity in bit 0, the column in bits 1 to 7 and the row in bits 8 to 14, as jAER writes them.
///
/// Columns, rows and polarity come out as SpikingJelly has them for CIFAR10-DVS: 127 less the address's row, 127 less
/// its column, and 1 where its bit is 0.
pub(super) fn cifar10_dvs(bytes: &[u8]) -> Result<Vec<Event>, String> {
    let start = behind_header(bytes, "2.0")?;
    let (events, rest) = bytes[start..].as_chunks::<8>();
    if !rest.is_empty() {
        return Err(format!(
            "{} bytes behind the header are not a whole number of events of 8 bytes",
            bytes.len() - start
        ));
    }
    let event = |&[a, b, c, d, s, t, u, v]: &[u8; 8]| {
        let address = u32::from_be_bytes([a, b, c, d]);
        Event {
            time_us: i64::from(u32::from_be_bytes([s, t, u, v])),
            x: 127 - (address >> 8 & 0x7f) as u16,
            y: 127 - (address >> 1 & 0x7f) as u16,
            polarity: 1 - (address & 1) as u8,
        }
    };
    Ok(events.iter().map(event).collect())
}

/// The header of a packet of AEDAT 3.1: its kind, source, size of an event, offset of its time, overflow of its time,
/// room, number and number of valid events; the lower byte first.
const PACKET: usize = 28;
/// The kind of packets of changes of brightness.
const POLARITY: u16 = 1;

/// The valid events of an AEDAT 3.1 file: packets of events of 8 bytes, the lower byte first. The data have validity in
/// bit 0, polarity in bit 1, the row in bits 2 to 16 and the column in bits 17 to 31; the time has 31 bits, and the
/// packet's overflow above them.
pub(super) fn version_3(bytes: &[u8]) -> Result<Vec<Event>, String> {
    let mut at = behind_header(bytes, "3.1")?;
    let mut made = Vec::new();
    while at < bytes.len() {
        let cut = |what: &str| format!("ends within the {what} of the packet at byte {at}");
        let header = bytes.get(at..at + PACKET).ok_or_else(|| cut("header"))?;
        let word = |place: usize| u32::from_le_bytes(header[place..place + 4].try_into().expect("four bytes"));
        let (kind, size, overflow) = (u16::from_le_bytes([header[0], header[1]]), word(4) as usize, word(12));
        let (room, number) = (word(16) as usize, word(20) as usize);
        if number > room {
            return Err(format!("the packet at byte {at} says that it has {number} events in room for {room}"));
        }
        let length = size.checked_mul(room).ok_or_else(|| cut("events"))?;
        let body = bytes[at + PACKET..].get(..length).ok_or_else(|| cut("events"))?;
        if kind == POLARITY {
            if size != 8 {
                return Err(format!("the packet at byte {at} has events of {size} bytes; expected 8"));
            }
            made.extend(body.as_chunks::<8>().0[..number].iter().filter_map(|event| polarity_event(event, overflow)));
        }
        at += PACKET + length;
    }
    Ok(made)
}

/// An event, where it is valid.
fn polarity_event(&[a, b, c, d, s, t, u, v]: &[u8; 8], overflow: u32) -> Option<Event> {
    let (data, time) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([s, t, u, v]));
    let event = Event {
        time_us: i64::from(time & 0x7fff_ffff) | i64::from(overflow) << 31,
        x: (data >> 17) as u16,
        y: (data >> 2 & 0x7fff) as u16,
        polarity: (data >> 1 & 1) as u8,
    };
    (data & 1 == 1).then_some(event)
}
