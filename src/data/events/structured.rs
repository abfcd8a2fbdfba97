//! Events as NumPy arrays: a structured array with the fields t, x, y and p in an `.npy` file, as tonic has them in
//! memory; or four arrays of these names in an `.npz` file, as SpikingJelly writes them. Times are in microseconds.

use std::io::Cursor;
use std::path::Path;

use super::super::npy::{NpzArchive, columns};
use super::binning::Event;
use crate::error::{Error, Result};

/// The fields of an event; without `y`, all are in row 0, and without `p`, all have polarity 0.
const FIELDS: [&str; 4] = ["t", "x", "y", "p"];

/// The events of a file, by the ending of its name.
pub(super) fn events(path: &Path, bytes: Vec<u8>) -> Result<Vec<Event>> {
    let refuse = |message: String| Error::file(path, message);
    let fields = match path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz")) {
        true => of_archive(path, bytes)?,
        false => columns(&bytes).map_err(refuse)?,
    };
    let field = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, values)| values);
    let [Some(times), Some(columns)] = [field("t"), field("x")] else {
        let there: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        return Err(refuse(format!("has {}; expected t, x, y and p", there.join(", "))));
    };
    if let Some((name, _)) = fields.iter().find(|(name, _)| !FIELDS.contains(&name.as_str())) {
        return Err(refuse(format!("`{name}` is no field of an event; expected t, x, y and p")));
    }
    if let Some((name, values)) = fields.iter().find(|(_, values)| values.len() != times.len()) {
        return Err(refuse(format!("{} values of `{name}` for {} events", values.len(), times.len())));
    }
    let at = |values: Option<&Vec<f64>>, index: usize| values.map_or(0.0, |values| values[index]);
    let event = |index: usize| {
        let place = [columns[index], at(field("y"), index), at(field("p"), index)];
        // Some tools write -1 for 0.
        let place = [place[0], place[1], if place[2] == -1.0 { 0.0 } else { place[2] }];
        let is_whole = |value: f64| value.fract() == 0.0 && (0.0..65536.0).contains(&value);
        let is_time = times[index].is_finite() && times[index].abs() < (1u64 << 53) as f64;
        if !is_time || !place.into_iter().all(is_whole) || place[2] > 255.0 {
            return Err(refuse(format!(
                "event {index}: t {}, x {}, y {}, p {}; expected microseconds, a column, a row, and 0 or 1",
                times[index], place[0], place[1], place[2]
            )));
        }
        let [x, y, polarity] = place.map(|value| value as u16);
        Ok(Event { time_us: times[index].floor() as i64, x, y, polarity: polarity as u8 })
    };
    (0..times.len()).map(event).collect()
}

/// The arrays of an archive.
fn of_archive(path: &Path, bytes: Vec<u8>) -> Result<Vec<(String, Vec<f64>)>> {
    let mut archive = NpzArchive::of(path, Cursor::new(bytes))?;
    let names: Vec<String> = archive.names().collect();
    names.into_iter().map(|name| archive.array::<f64, 1>(&name, |x| x).map(|(array, _)| (name, array.values))).collect()
}
