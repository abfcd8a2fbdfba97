//! DVS128 Gesture (Amir et al., CVPR 2017): a recording of all gestures of a person under a light in an AEDAT 3.1 file,
//! the gestures' times in a table beside it, and two lists of the recordings to train on and to test on.

use super::super::Split;
use super::super::files::Files;
use super::binning::Event;
use super::{Recordings, aedat};
use crate::error::{Error, Result};

/// Number of gestures.
pub(super) const CLASSES: usize = 11;

/// The recordings of a half, and what is seen in them.
pub(super) struct Gestures {
    files: Files,
    recordings: Vec<Recording>,
}

/// A recording's file; of each gesture in it the class, from 0, and the microseconds at which it begins and ends.
struct Recording {
    name: String,
    gestures: Vec<(u32, [i64; 2])>,
}

impl Gestures {
    /// Reads which recordings there are.
    pub fn open(files: Files, split: Split) -> Result<Self> {
        Ok(Gestures { recordings: recordings(&files, split)?, files })
    }
}

impl Recordings for Gestures {
    fn files(&self) -> &Files {
        &self.files
    }

    /// Recordings, tables and lists.
    fn sources(&self) -> Vec<String> {
        self.files.names().to_vec()
    }

    fn labels(&self) -> Vec<Vec<u32>> {
        let of = |one: &Recording| one.gestures.iter().map(|gesture| gesture.0).collect();
        self.recordings.iter().map(of).collect()
    }

    /// The events from a gesture's first microsecond to before its last.
    fn events(&self, at: usize) -> Result<Vec<Vec<Event>>> {
        let Recording { name, gestures } = &self.recordings[at];
        let all = self.files.bytes(name).map(|bytes| aedat::version_3(&bytes))?;
        let all = all.map_err(|message| self.files.refuse(name, message))?;
        let of = |[start, end]: [i64; 2]| {
            all.iter().copied().filter(|event| (start..end).contains(&event.time_us)).collect()
        };
        Ok(gestures.iter().map(|(_, times)| of(*times)).collect())
    }

    fn refuse(&self, at: usize, recording: usize, message: String) -> Error {
        self.files.refuse(&self.recordings[at].name, format!("gesture {recording}: {message}"))
    }
}

fn recordings(files: &Files, split: Split) -> Result<Vec<Recording>> {
    let list = match split {
        Split::Train => "trials_to_train.txt",
        Split::Test => "trials_to_test.txt",
    };
    let found = files.names().iter().find(|name| name.rsplit('/').next() == Some(list));
    let found =
        found.ok_or_else(|| files.refuse(list, "no such file; expected DVS128 Gesture as it is distributed"))?;
    let folder = &found[..found.len() - list.len()];
    let lines = text(files, found)?;
    let names = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let of = |name: &str| {
        let whole = format!("{folder}{name}");
        let stem = whole.strip_suffix(".aedat");
        let stem = stem.ok_or_else(|| files.refuse(found, format!("`{name}`: expected the name of an .aedat file")))?;
        Ok(Recording { gestures: gestures(files, &format!("{stem}_labels.csv"))?, name: whole })
    };
    names.map(of).collect()
}

fn text(files: &Files, name: &str) -> Result<String> {
    String::from_utf8(files.bytes(name)?).map_err(|error| files.refuse(name, error.to_string()))
}

/// The gestures of a table of classes from 1, and their first and last microseconds.
fn gestures(files: &Files, table: &str) -> Result<Vec<(u32, [i64; 2])>> {
    let text = text(files, table)?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    match lines.next() {
        Some((_, head)) if head.trim() == "class,startTime_usec,endTime_usec" => {}
        _ => return Err(files.refuse(table, "line 1: expected class,startTime_usec,endTime_usec")),
    }
    lines
        .map(|(at, line)| {
            let numbers: std::result::Result<Vec<i64>, _> = line.split(',').map(|part| part.trim().parse()).collect();
            match numbers.as_deref() {
                Ok(&[class, start, end]) if (1..=CLASSES as i64).contains(&class) && start <= end => {
                    Ok((class as u32 - 1, [start, end]))
                }
                _ => {
                    let expected =
                        format!("expected a class from 1 to {CLASSES}, and the microseconds of its start and end");
                    Err(files.refuse(table, format!("line {}: `{}`; {expected}", at + 1, line.trim())))
                }
            }
        })
        .collect()
}
