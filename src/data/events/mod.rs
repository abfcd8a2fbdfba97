//! Recordings of event cameras and cochleas, as series of frames: counts of events by step, polarity and pixel.
//!
//! Each format's reader delivers the events of a file; [`binning`] makes frames of them, the same way for all.
//! Recordings are read one by one; their frames are kept in memory or, above 256 MiB, in a file that goes with the
//! process; `cache=FOLDER` keeps them for the next time.

mod aedat;
mod binning;
mod folders;
mod gesture;
mod heidelberg;
mod nmnist;
mod structured;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use binning::{Binning, Event, Frames};
use gesture::Gestures;
use heidelberg::OpenRecordings;

use super::Split;
use super::album::{Album, FileKind, ONE_SET};
use super::cache::{self, DataCache};
use super::files::Files;
use super::source::{Contents, Records};
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::numeric::Shape;

/// What the kinds of data sets of events are called in their names.
pub(super) const KINDS: [&str; 6] = ["nmnist", "dvs128gesture", "cifar10dvs", "shd", "ssc", "events"];

const FRAMES: FileKind = FileKind { called: "series", endings: &["npz"] };

/// Recordings, a few to a file or to a block of one.
trait Recordings: Sync {
    /// Where they lie.
    fn files(&self) -> &Files;

    /// The files that are read, by name.
    fn sources(&self) -> Vec<String>;

    /// The classes of the recordings of each file or block.
    fn labels(&self) -> Vec<Vec<u32>>;

    /// The events of the recordings of a file or block.
    fn events(&self, at: usize) -> Result<Vec<Vec<Event>>>;

    /// An error about a recording of a file or block.
    fn refuse(&self, at: usize, recording: usize, message: String) -> Error;
}

/// One half of a set, or all of it.
struct EventHalf {
    recordings: Box<dyn Recordings>,
    classes: usize,
    class_names: Option<Vec<String>>,
    notices: Vec<String>,
}

/// Whether a set has a training and a test half.
pub(super) fn in_halves(mut spec: Spec, base: &Path) -> Result<bool> {
    let Some(kind) = by_class(spec.kind) else { return Ok(true) };
    let held_out = spec.share_of("test")?;
    Ok(Album::of(&Files::open(&base.join(spec.path))?, kind, Split::Test, held_out)?.in_halves)
}

/// The files of a set that lies in folders by class.
fn by_class(set: &str) -> Option<FileKind> {
    match set {
        "nmnist" => Some(FileKind { called: "recordings", endings: &["bin"] }),
        "cifar10dvs" => Some(FileKind { called: "recordings", endings: &["aedat"] }),
        "events" => Some(FileKind { called: "recordings", endings: &["npy", "npz"] }),
        "frames" => Some(FRAMES),
        _ => None,
    }
}

/// Opens one half, or all recordings where they are not in halves.
pub(super) fn open(mut spec: Spec, base: &Path, split: Split, memory_limit: u64) -> Result<Contents> {
    let set = spec.kind;
    let sensor = match set {
        "nmnist" => [34, 34],
        "shd" | "ssc" => [1, heidelberg::CHANNELS],
        "events" => {
            let size = spec.size_of("sensor", 1 << 14)?;
            size.ok_or_else(|| {
                spec.refuse("sensor", "is missing; expected the camera's rows and columns, `sensor=128x128`")
            })?
        }
        _ => [128, 128],
    };
    let is_line = matches!(set, "shd" | "ssc");
    let sensor = Shape { channels: if is_line { 1 } else { 2 }, height: sensor[0], width: sensor[1] };
    let binning = Binning::of(&mut spec, sensor, is_line)?;
    let kind = by_class(set);
    let held_out = if kind.is_some() { spec.share_of("test")? } else { None };
    let cache = DataCache::of(&mut spec, base)?;
    spec.finish()?;
    let half = half(set, kind, held_out, split, &base.join(spec.path))?;
    let key = cache
        .map(|cache| {
            cache.file(
                half.recordings.files(),
                &half.recordings.sources(),
                &format!("{set} {split:?} {held_out:?} {binning:?}"),
            )
        })
        .transpose()?;
    bin(half, &binning, key.as_deref(), memory_limit)
}

/// The recordings of a half.
fn half(set: &str, kind: Option<FileKind>, held_out: Option<f64>, split: Split, place: &Path) -> Result<EventHalf> {
    let files = Files::open(place)?;
    if let Some(kind) = kind {
        let Album { classes, files: recordings, in_halves, mut notices } = Album::of(&files, kind, split, held_out)?;
        if !in_halves {
            notices.push(ONE_SET.into());
        }
        let decode: Decode = match set {
            "nmnist" => |path, bytes| nmnist::events(&bytes).map_err(|message| Error::file(path, message)),
            "cifar10dvs" => |path, bytes| aedat::cifar10_dvs(&bytes).map_err(|message| Error::file(path, message)),
            _ => structured::events,
        };
        let recordings = Box::new(ByClass { files, recordings, decode });
        return Ok(EventHalf { recordings, classes: classes.len(), class_names: Some(classes), notices });
    }
    let (recordings, classes): (Box<dyn Recordings>, usize) = match set {
        "shd" => (Box::new(OpenRecordings::open(files, set, split, 20)?), 20),
        "ssc" => (Box::new(OpenRecordings::open(files, set, split, 35)?), 35),
        _ => (Box::new(Gestures::open(files, split)?), gesture::CLASSES),
    };
    Ok(EventHalf { recordings, classes, class_names: None, notices: vec![] })
}

/// What makes events of a file.
type Decode = fn(&Path, Vec<u8>) -> Result<Vec<Event>>;

/// Recordings in folders by class, one a file.
struct ByClass {
    files: Files,
    recordings: Vec<(String, u32)>,
    decode: Decode,
}

impl Recordings for ByClass {
    fn files(&self) -> &Files {
        &self.files
    }

    fn sources(&self) -> Vec<String> {
        self.recordings.iter().map(|(name, _)| name.clone()).collect()
    }

    fn labels(&self) -> Vec<Vec<u32>> {
        self.recordings.iter().map(|(_, class)| vec![*class]).collect()
    }

    fn events(&self, at: usize) -> Result<Vec<Vec<Event>>> {
        let name = &self.recordings[at].0;
        Ok(vec![(self.decode)(&self.files.path().join(name), self.files.bytes(name)?)?])
    }

    fn refuse(&self, at: usize, _: usize, message: String) -> Error {
        self.files.refuse(&self.recordings[at].0, message)
    }
}

/// What became of the events of all recordings.
#[derive(Default)]
struct Tally {
    greatest: AtomicUsize,
    events: AtomicUsize,
    beside: AtomicUsize,
    outside: AtomicUsize,
    empty: AtomicUsize,
}

impl Tally {
    fn add(&self, frames: &Frames, events: usize) {
        let greatest = frames.counts.iter().copied().max().unwrap_or(0);
        self.greatest.fetch_max(greatest.into(), Ordering::Relaxed);
        let sums = [(&self.events, events), (&self.beside, frames.beside), (&self.outside, frames.outside)];
        sums.into_iter().chain([(&self.empty, usize::from(greatest == 0))]).for_each(|(sum, more)| {
            sum.fetch_add(more, Ordering::Relaxed);
        });
    }

    /// What the user should know of the events.
    fn notices(&self) -> Vec<String> {
        let of = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        let share = |left: usize| 100.0 * left as f64 / of(&self.events).max(1) as f64;
        let mut notices = Vec::new();
        if of(&self.beside) > 0 {
            notices.push(format!(
                "{} events ({:.1} %) lie beside what `crop` keeps",
                of(&self.beside),
                share(of(&self.beside))
            ));
        }
        if of(&self.outside) > 0 {
            notices.push(format!(
                "{} events ({:.1} %) lie outside the steps, and are left out",
                of(&self.outside),
                share(of(&self.outside))
            ));
        }
        if of(&self.empty) > 0 {
            notices.push(format!("{} recordings have no event in their frames", of(&self.empty)));
        }
        notices
    }
}

/// Makes frames of all recordings.
fn bin(half: EventHalf, binning: &Binning, kept: Option<&Path>, memory_limit: u64) -> Result<Contents> {
    let EventHalf { recordings, classes, class_names, mut notices } = half;
    let labels = recordings.labels();
    let tally = Tally::default();
    let make = |at: usize| -> Result<Vec<Vec<u8>>> {
        let of_file = recordings.events(at)?.into_iter().enumerate();
        of_file
            .map(|(recording, events)| {
                let count = events.len();
                let frames = binning.frames(events).map_err(|message| recordings.refuse(at, recording, message))?;
                tally.add(&frames, count);
                Ok(frames.counts.iter().flat_map(|count| count.to_le_bytes()).collect())
            })
            .collect()
    };
    let counts: Vec<usize> = labels.iter().map(Vec::len).collect();
    let len = 2 * binning.steps * binning.shape.len();
    let make_all = || {
        let records = Records::gather(recordings.files().path(), &counts, len, memory_limit, make)?;
        Ok((records, tally.notices()))
    };
    let (records, said) = match kept {
        None => make_all()?,
        Some(file) => cache::records(file, counts.iter().sum(), len, memory_limit, make_all)?,
    };
    notices.extend(said);
    Contents::counts(binning.shape, binning.steps, (classes, class_names), labels.concat(), records, notices)
}

/// Opens a folder of SpikingJelly's frames.
pub(super) fn open_frames(mut spec: Spec, base: &Path, split: Split, memory_limit: u64) -> Result<Contents> {
    let held_out = spec.share_of("test")?;
    spec.finish()?;
    let files = Files::open(&base.join(spec.path))?;
    let Album { classes, files: series, in_halves, mut notices } = Album::of(&files, FRAMES, split, held_out)?;
    let read = |at: usize| {
        let name = &series[at].0;
        folders::frames(&files.path().join(name), files.bytes(name)?)
    };
    let first = read(0)?.1;
    let make = |at: usize| {
        let (counts, shape) = read(at)?;
        match shape == first {
            true => Ok(vec![counts.iter().flat_map(|count| count.to_le_bytes()).collect()]),
            false => Err(files
                .refuse(&series[at].0, format!("`frames` has the shape {shape:?}, and {} has {first:?}", series[0].0))),
        }
    };
    let [steps, channels, height, width] = first;
    let records =
        Records::gather(files.path(), &vec![1; series.len()], 2 * first.iter().product::<usize>(), memory_limit, make)?;
    if !in_halves {
        notices.push(ONE_SET.into());
    }
    let labels = series.iter().map(|one| one.1).collect();
    Contents::counts(Shape { channels, height, width }, steps, (classes.len(), Some(classes)), labels, records, notices)
}
