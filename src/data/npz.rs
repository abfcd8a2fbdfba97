//! NumPy archives: `frames`, `[N, T, C, H, W]`, `[N, T, C, W]` or `[N, T, C]`, inputs given per step, or `images`, `[N,
//! C, H, W]`, each with whole `labels`, `[N]`.
//!
//! Real images are normalised already, and are taken as they are. Whole numbers (and booleans) are pixels, and are
//! normalised, channel by channel: `(x/full − mean)/std` where the archive has `mean` and `std`, `[C]` or `[]`, with
//! `full` the value of a white pixel, which may be left out where the brightest pixel lies from 127.5 to 255 (then it
//! is 255); else by mean and standard deviation of all its pixels. Frames are taken as they are.

use std::path::Path;

use super::npy::{Array, NpzArchive, NumberKind};
use super::source::{Contents, ImageValues};
use crate::error::{Error, Result};
use crate::numeric::{Range, Shape};

/// The most classes that labels may name; more is taken for an error in the file.
const MOST_CLASSES: usize = 1 << 16;
/// A white pixel, where an archive with `mean` and `std` does not say.
const FULL: f64 = 255.0;

/// Opens `frames` and `labels`.
pub(super) fn open_frames(path: &Path) -> Result<Contents> {
    let mut archive = NpzArchive::open(path)?;
    let ((count, steps), Shape { channels, height, width }, values) = frames(&mut archive)?;
    close(
        &mut archive,
        ImageValues::Floats(values, None),
        count,
        (Some(steps), Shape { channels, height, width }),
        vec![],
    )
}

/// The frames of series, of maps, of lines or of values in a row: their number, steps, shape and values.
pub(super) fn frames(archive: &mut NpzArchive) -> Result<((usize, usize), Shape, Vec<f32>)> {
    let Array { values, shape, .. } = archive.any("frames", |number| number as f32)?;
    let (sizes, map) = match shape[..] {
        [n, t, channels] => ((n, t), Shape { channels, height: 1, width: 1 }),
        [n, t, channels, width] => ((n, t), Shape { channels, height: 1, width }),
        [n, t, channels, height, width] => ((n, t), Shape { channels, height, width }),
        _ => {
            let message = format!("the shape is {shape:?}; expected [N, T, C, H, W], [N, T, C, W] or [N, T, C]");
            return Err(archive.refuse("frames", message));
        }
    };
    check(archive, "frames", &values, &shape)?;
    Ok((sizes, map, values))
}

/// Opens `images` and `labels`.
pub(super) fn open_images(path: &Path) -> Result<Contents> {
    let mut archive = NpzArchive::open(path)?;
    let (Array { mut values, kind, .. }, [count, channels, height, width]) = numbers(&mut archive, "images")?;
    let shape = Shape { channels, height, width };
    if kind == NumberKind::Real {
        if let Some(name) = ["mean", "std", "full"].into_iter().find(|name| archive.has(name)) {
            let message = "normalises whole-numbered pixels, and `images` are real numbers, taken as they are; \
                           expected one of both";
            return Err(archive.refuse(name, message.into()));
        }
        let notices = not_normalised(&values, true).into_iter().collect();
        return close(&mut archive, ImageValues::Floats(values, None), count, (None, shape), notices);
    }
    let pixels = PixelScale::of(&mut archive, &values, shape)?;
    let range = Range::of(values.iter().copied());
    let notice = format!(
        "`images` are whole numbers from {} to {}: pixels, normalised as (x - {})/{} by {}",
        range.least,
        range.greatest,
        shown(&pixels.mean),
        shown(&pixels.std),
        pixels.source()
    );
    pixels.normalise(&mut values, shape);
    let ends = (0..channels).map(|c| [0.0, pixels.white].map(|x| pixels.value(x, c))).collect();
    close(&mut archive, ImageValues::Floats(values, Some(ends)), count, (None, shape), vec![notice])
}

/// Values that no file holds.
pub(super) fn of_values(
    name: &str,
    shape: Shape,
    frame_steps: Option<usize>,
    values: Vec<f32>,
    labels: Option<Vec<u32>>,
) -> Result<Contents> {
    let refuse = |message: String| Err(Error::Mismatch(format!("{name}: {message}")));
    let size = frame_steps.unwrap_or(1) * shape.len();
    if size == 0 || values.is_empty() || !values.len().is_multiple_of(size) {
        return refuse(format!(
            "{} values; expected a whole number of images of {size} values, and at least one",
            values.len()
        ));
    }
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        return refuse(format!(
            "value {} of image {} is {}; expected finite ones",
            place % size,
            place / size,
            values[place]
        ));
    }
    let count = values.len() / size;
    let labels = labels.unwrap_or_else(|| vec![0; count]);
    if labels.len() != count {
        return refuse(format!("{} labels for {count} images; expected one for each", labels.len()));
    }
    if let Some(place) = labels.iter().position(|label| *label as usize >= MOST_CLASSES) {
        return refuse(format!("labels[{place}] is {}; expected 0 to {}", labels[place], MOST_CLASSES - 1));
    }
    let classes = labels.iter().max().map_or(0, |label| *label as usize + 1);
    let notices = if frame_steps.is_none() { not_normalised(&values, false).into_iter().collect() } else { vec![] };
    let values = ImageValues::Floats(values, None);
    Ok(Contents {
        shape,
        frame_steps,
        classes,
        class_names: None,
        labels,
        range: values.range(),
        values: values.into(),
        notices,
    })
}

/// Adds the labels.
fn close(
    archive: &mut NpzArchive,
    values: ImageValues,
    count: usize,
    (frame_steps, shape): (Option<usize>, Shape),
    notices: Vec<String>,
) -> Result<Contents> {
    let (Array { values: numbers, kind, .. }, [labelled]) = archive.array("labels", |number| number)?;
    if kind != NumberKind::Whole {
        return Err(
            archive.refuse("labels", "expected whole numbers: the class of each image or series, from 0".into())
        );
    }
    if labelled != count {
        return Err(Error::file(archive.path, format!("{labelled} labels for {count} images or series")));
    }
    if let Some(index) = numbers.iter().position(|number| !(0.0..MOST_CLASSES as f64).contains(number)) {
        let message = format!("labels[{index}] is {}; expected 0 to {}", numbers[index], MOST_CLASSES - 1);
        return Err(Error::file(archive.path, message));
    }
    let labels: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
    let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
    let range = values.range();
    Ok(Contents { shape, frame_steps, classes, class_names: None, labels, values: values.into(), range, notices })
}

/// An array of at least one value, all finite.
fn numbers<const N: usize>(archive: &mut NpzArchive, name: &str) -> Result<(Array<f32>, [usize; N])> {
    let (array, shape) = archive.array::<f32, N>(name, |number| number as f32)?;
    check(archive, name, &array.values, &shape)?;
    Ok((array, shape))
}

/// An error unless there are values, all finite.
fn check(archive: &NpzArchive, name: &str, values: &[f32], shape: &[usize]) -> Result<()> {
    if values.is_empty() {
        return Err(archive.refuse(name, format!("has the shape {shape:?}: there is nothing in it")));
    }
    let Some(flat) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let (mut rest, mut index) = (flat, shape.to_vec());
    for (index, dim) in index.iter_mut().zip(shape).rev() {
        *index = rest % dim;
        rest /= dim;
    }
    Err(Error::file(archive.path, format!("{name}{index:?} is {}, not a finite f32", values[flat])))
}

/// How an archive's pixels are normalised, channel by channel, in units of its pixels.
struct PixelScale {
    mean: Vec<f64>,
    std: Vec<f64>,
    white: f32,
    /// Whether mean and spread are those of the file's own pixels.
    measured: bool,
}

impl PixelScale {
    fn of(archive: &mut NpzArchive, values: &[f32], shape: Shape) -> Result<Self> {
        let channels = shape.channels;
        let mut constants = |name: &str| -> Result<Option<Vec<f64>>> {
            if !archive.has(name) {
                return Ok(None);
            }
            let Array { values, shape, .. } = archive.any(name, |number| number)?;
            match values.len() {
                1 => Ok(Some(vec![values[0]; channels])),
                n if n == channels && shape.len() == 1 => Ok(Some(values)),
                _ => Err(archive.refuse(name, format!("the shape is {shape:?}; expected [] or [{channels}]"))),
            }
        };
        let (mean, std, full) = (constants("mean")?, constants("std")?, constants("full")?);
        let is_positive = |values: &Option<Vec<f64>>| values.iter().flatten().all(|x| x.is_finite() && *x > 0.0);
        for (name, values) in [("std", &std), ("full", &full)] {
            if !is_positive(values) {
                return Err(archive.refuse(name, "expected numbers above 0".into()));
            }
        }
        match (mean, std) {
            (Some(mean), Some(std)) => {
                let greatest = f64::from(Range::of(values.iter().copied()).greatest);
                if full.is_none() && !(FULL / 2.0..=FULL).contains(&greatest) {
                    let message = format!(
                        "run to {greatest}; expected `full`, the value of a white pixel, beside `mean` and `std`"
                    );
                    return Err(archive.refuse("images", message));
                }
                let full = full.map_or(FULL, |full| full[0]);
                for (name, values) in [("mean", &mean), ("std", &std)] {
                    if let Some(x) = values.iter().find(|x| !(0.0..=1.0).contains(*x)) {
                        let message =
                            format!("{x}, expected a share of a white pixel, 0 to 1: {x}/{full} is {:.4}", x / full);
                        return Err(archive.refuse(name, message));
                    }
                }
                let scaled = |values: Vec<f64>| values.into_iter().map(|x| x * full).collect();
                Ok(PixelScale { mean: scaled(mean), std: scaled(std), white: full as f32, measured: false })
            }
            (None, None) if full.is_none() => Self::measured(archive, values, shape),
            _ => Err(Error::file(
                archive.path,
                "holds some of `mean`, `std` and `full`; expected `mean` and `std`, or none",
            )),
        }
    }

    /// By all pixels of the file, exact up to their rounding.
    fn measured(archive: &NpzArchive, values: &[f32], shape: Shape) -> Result<Self> {
        let (channels, plane) = (shape.channels, shape.height * shape.width);
        let of = |c: usize| values.chunks(plane).skip(c).step_by(channels).flatten().map(|x| f64::from(*x));
        let count = (values.len() / channels) as f64;
        let mean: Vec<f64> = (0..channels).map(|c| of(c).sum::<f64>() / count).collect();
        let variance = |c: usize| of(c).map(|x| (x - mean[c]).powi(2)).sum::<f64>() / count;
        let std: Vec<f64> = (0..channels).map(|c| variance(c).sqrt()).collect();
        if let Some(channel) = std.iter().position(|std| *std == 0.0) {
            let message = format!("all pixels of channel {channel} are alike; such images cannot be normalised");
            return Err(archive.refuse("images", message));
        }
        let white = Range::of(values.iter().copied()).greatest;
        Ok(PixelScale { mean, std, white, measured: true })
    }

    /// Where the constants are from, and how other images are normalised by them.
    fn source(&self) -> String {
        if !self.measured {
            return "the file's constants".into();
        }
        let white = f64::from(self.white);
        if !self.mean.iter().chain(&self.std).all(|x| white > 0.0 && (0.0..=white).contains(x)) {
            return "the file's own statistics".into();
        }
        let share = |values: &[f64]| shown(&values.iter().map(|x| x / f64::from(self.white)).collect::<Vec<_>>());
        format!(
            "the file's own statistics; for images of a network that was trained on others, the archive takes theirs: \
             these would be mean={}, std={}, full={}",
            share(&self.mean),
            share(&self.std),
            self.white
        )
    }

    fn value(&self, x: f32, channel: usize) -> f32 {
        ((f64::from(x) - self.mean[channel]) / self.std[channel]) as f32
    }

    fn normalise(&self, values: &mut [f32], shape: Shape) {
        for (i, plane) in values.chunks_mut(shape.height * shape.width).enumerate() {
            plane.iter_mut().for_each(|x| *x = self.value(*x, i % shape.channels));
        }
    }
}

/// What to say of images, of a file or of an array, that cannot be normalised ones: those have a mean near 0, a spread
/// near 1, and either sign.
fn not_normalised(values: &[f32], in_file: bool) -> Option<String> {
    let (n, range) = (values.len() as f64, Range::of(values.iter().copied()));
    let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let std = (values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let normalised = range.least < 0.0 && range.greatest > 0.0 && mean.abs() <= 2.0 * std && (0.2..=5.0).contains(&std);
    let whole = range.greatest > 1.0 && values.iter().all(|x| x.fract() == 0.0);
    let whole =
        if whole { ". All are whole: stored as integers, such as uint8, they are pixels, and normalised" } else { "" };
    let pixels = if in_file { format!(", or integers for pixels{whole}") } else { String::new() };
    (!normalised).then(|| {
        format!(
            "`images` run from {} to {}, mean {mean:.3}, spread {std:.3}: these do not look normalised, and are taken \
             as they are; expected a mean near 0 and a spread near 1{pixels}",
            range.least, range.greatest
        )
    })
}

/// Numbers of the channels, with four digits.
fn shown(values: &[f64]) -> String {
    let text: Vec<String> = values.iter().map(|x| format!("{x:.4}")).collect();
    if text.len() == 1 { text[0].clone() } else { format!("[{}]", text.join(", ")) }
}
