//! Pictures by class: JPEG and PNG files in folders, or in a zip archive that stays packed.
//!
//! `pictures:PATH` takes the options `size=HEIGHTxWIDTH` (scaled until they cover it, cut in the middle; without it all
//! have one size), `channels=1` or `3` (without it the first picture's), `mean=` and `std=`, a number a channel, of
//! pixels from 0 to 1 (without them those of all training pictures), and `test=0.1`, the share of every class that is
//! held out where there is no test half.

mod decode;
mod resize;

use std::path::Path;

use decode::Picture;

use super::Split;
use super::album::{Album, FileKind, ONE_SET};
use super::files::Files;
use super::source::{Contents, Histograms, ImageValues, Normalisation, Records};
use super::spec::Spec;
use crate::error::Result;
use crate::memory;
use crate::numeric::Shape;

const KIND: FileKind = FileKind { called: "pictures", endings: &["jpg", "jpeg", "png"] };
/// The longest side of a resized picture, in pixels.
const LONGEST: usize = 4096;

/// What was asked of all pictures.
struct PictureSettings {
    size: Option<[usize; 2]>,
    channels: Option<usize>,
    /// Mean and standard deviation, by channel.
    constants: Option<[Vec<f32>; 2]>,
    /// The share of every class that is held out for testing.
    held_out: Option<f64>,
}

impl PictureSettings {
    fn of(spec: &mut Spec) -> Result<Self> {
        let size = spec.size_of("size", LONGEST)?;
        let held_out = spec.share_of("test")?;
        let channels = spec.value_of("channels", "1 or 3")?;
        if channels.is_some_and(|channels| channels != 1 && channels != 3) {
            return Err(spec.refuse("channels", "expected 1 or 3"));
        }
        let mean = spec.numbers_of("mean", "a number a channel, of pixels from 0 to 1")?;
        let std = spec.numbers_of("std", "a number above 0 a channel, of pixels from 0 to 1")?;
        spec.finish()?;
        for (key, values, is_fit) in [("mean", &mean, (0.0..=1.0)), ("std", &std, (f32::MIN_POSITIVE..=1.0))] {
            if let Some(value) = values.iter().flatten().find(|value| !is_fit.contains(*value)) {
                return Err(spec.refuse(key, format!("{value}; expected shares of a white pixel, up to 1")));
            }
        }
        let constants = match (mean, std) {
            (None, None) => None,
            (Some(mean), Some(std)) => Some([mean, std]),
            (mean, _) => {
                return Err(
                    spec.refuse(if mean.is_some() { "mean" } else { "std" }, "expected `mean` and `std`, or none")
                );
            }
        };
        Ok(PictureSettings { size, channels, constants, held_out })
    }

    /// A picture as all of the set are, channel by channel.
    fn make(&self, files: &Files, name: &str) -> Result<Picture> {
        let picture = Picture::decode(&files.bytes(name)?).map_err(|message| files.refuse(name, message))?;
        let picture = match self.channels {
            Some(channels) => picture.in_channels(channels),
            None => picture,
        };
        Ok(match self.size {
            Some(size) => picture.covering(size),
            None => picture,
        })
    }
}

/// Whether the pictures of a folder or an archive are a training and a test half.
pub(super) fn in_halves(mut spec: Spec, base: &Path) -> Result<bool> {
    let held_out = spec.share_of("test")?;
    Ok(Album::of(&Files::open(&base.join(spec.path))?, KIND, Split::Test, held_out)?.in_halves)
}

/// Opens one half, or all pictures where they are not in halves.
pub(super) fn open(mut spec: Spec, base: &Path, split: Split, memory_limit: u64) -> Result<Contents> {
    let wanted = PictureSettings::of(&mut spec)?;
    let files = Files::open(&base.join(spec.path))?;
    let album = |split| Album::of(&files, KIND, split, wanted.held_out);
    let Album { classes, files: pictures, in_halves, mut notices } = album(split)?;
    let first = wanted.make(&files, &pictures[0].0)?;
    let shape = Shape { channels: first.channels, height: first.height, width: first.width };
    memory::check(&format!("a picture of {shape}"), shape.len() as u64, "take a smaller `size`")?;
    let one = |name: &str| record(&wanted, &files, name, (&pictures[0].0, shape));
    let records = Records::gather(files.path(), &vec![1; pictures.len()], shape.len(), memory_limit, |index| {
        Ok(vec![one(&pictures[index].0)?])
    })?;
    let [mean, std] = match &wanted.constants {
        Some(constants) => per_channel(&spec, constants, shape.channels)?,
        None => {
            let (histograms, of) = match (in_halves, split) {
                (true, Split::Test) => {
                    let training = album(Split::Train)?.files;
                    let made = Histograms::of(shape.channels, training.len(), |index| one(&training[index].0))?;
                    (made, "the training pictures")
                }
                (true, Split::Train) => (records.histograms(shape.channels)?, "the training pictures"),
                (false, _) => (records.histograms(shape.channels)?, "these pictures"),
            };
            let constants = histograms.statistics();
            if constants[1].contains(&0.0) {
                return Err(files.refuse("", "all pixels of a channel are alike; such pictures cannot be normalised"));
            }
            notices.push(said(&constants, of));
            constants
        }
    };
    if !in_halves {
        notices.push(ONE_SET.into());
    }
    let values = ImageValues::Bytes(records, Normalisation::new(255, &mean, &std));
    let labels = pictures.iter().map(|picture| picture.1).collect();
    let (count, class_names) = (classes.len(), Some(classes));
    Ok(Contents {
        shape,
        frame_steps: None,
        classes: count,
        class_names,
        labels,
        range: values.range(),
        values: values.into(),
        notices,
    })
}

/// The bytes of one picture, channel by channel; an error where it is not as the first one is.
fn record(wanted: &PictureSettings, files: &Files, name: &str, (first, shape): (&str, Shape)) -> Result<Vec<u8>> {
    let picture = wanted.make(files, name)?;
    if [picture.height, picture.width] != [shape.height, shape.width] {
        return Err(files.refuse(
            name,
            format!(
                "{} x {} pixels high and wide, and {first} has {} x {}; `?size=HxW` scales all pictures alike, to the \
                 model's input",
                picture.height, picture.width, shape.height, shape.width
            ),
        ));
    }
    if picture.channels == 3 && shape.channels == 1 {
        return Err(files
            .refuse(name, format!("in colour, and {first} is grey; `?channels=3` or `?channels=1` makes all alike")));
    }
    Ok(picture.in_channels(shape.channels).planes())
}

/// One number for all channels, or a number a channel.
fn per_channel(spec: &Spec, constants: &[Vec<f32>; 2], channels: usize) -> Result<[Vec<f32>; 2]> {
    for (key, values) in ["mean", "std"].into_iter().zip(constants) {
        if values.len() != 1 && values.len() != channels {
            return Err(spec.refuse(key, format!("{} numbers for {channels} channels", values.len())));
        }
    }
    Ok(constants.clone().map(|values| if values.len() == 1 { vec![values[0]; channels] } else { values }))
}

/// How the pictures are normalised, in the words that ask for it.
fn said([mean, std]: &[Vec<f32>; 2], of: &str) -> String {
    let text = |values: &[f32]| values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",");
    format!(
        "normalised by the mean and spread of {of}; others are by the same with ?mean={}&std={}",
        text(mean),
        text(std)
    )
}
