//! Data sets: labelled images, or series of frames from an event camera, behind one [`Dataset`].
//!
//! A byte set keeps its raw bytes and is normalised per channel as it is read: `(x − mean) / std` with x in `[0, 1]`.
//! Small sets live in memory; uncompressed files above 256 MiB stay on disk and are read record by record.
//! Sizes a file declares are checked against its real size before anything is allocated for them.

mod album;
mod augment;
mod cache;
mod cifar;
mod digits;
mod events;
mod files;
mod idx;
mod npy;
mod npz;
mod order;
mod pictures;
mod recorded;
mod source;
mod spec;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

pub use augment::Augmentation;
pub(crate) use order::permutation;
pub use order::{epoch_order, validation_split};
pub use recorded::Recorded;
use source::Contents;
use spec::Spec;

use crate::error::{Error, Result};
use crate::numeric::{Range, Shape, hex};

/// Uncompressed byte files of more than this, together, are not loaded.
const MEMORY_LIMIT: u64 = 256 << 20;

/// Which half of a data set.
///
/// # Examples
/// ```
/// use crosspike::{Dataset, Split};
///
/// let open = |split| Dataset::open("digits", "".as_ref(), split);
/// assert_eq!((open(Split::Train)?.len(), open(Split::Test)?.len()), (1437, 360));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The images to train on.
    Train,
    /// The images to evaluate on.
    Test,
}

/// One half of a data set: images or frame series, each with its class.
///
/// # Examples
/// ```
/// use crosspike::{Dataset, Shape, Split};
///
/// let digits = Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20);
/// assert_eq!((digits.len(), digits.classes()), (20, 10));
/// // Two images of one's own: values by image, channel, row and column.
/// let shape = Shape { channels: 1, height: 2, width: 2 };
/// let own = Dataset::of_values("own", shape, None, vec![0.5; 8], Some(vec![0, 1]))?;
/// assert_eq!((own.len(), own.labels()), (2, &[0, 1][..]));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    spec: String,
    contents: Contents,
    /// The number of images that the contents hold before the first one.
    before: usize,
    /// Its [`Dataset::fingerprint`], once it was asked for.
    fingerprint: OnceLock<String>,
}

impl Dataset {
    /// Opens `digits`, `idx:DIR`, `cifar10:DIR`, `cifar100:DIR`, `pictures:PATH`, `frames:FILE.npz`, `images:FILE.npz`,
    /// or a set of events, each with its options; a relative path is relative to `base`. What holds one set only is
    /// returned for either split.
    pub fn open(spec: &str, base: &Path, split: Split) -> Result<Dataset> {
        Self::open_within(spec, base, split, MEMORY_LIMIT)
    }

    /// [`Dataset::open`] with another limit, in bytes, on what is loaded.
    fn open_within(spec: &str, base: &Path, split: Split, memory_limit: u64) -> Result<Dataset> {
        let named = Spec::parse(spec)?;
        let place = base.join(named.path);
        let whole = || named.finish().map(|()| place.as_path());
        let contents = match (named.kind, named.path) {
            ("digits", "") => whole().and_then(|_| digits::open(split))?,
            ("digits", _) | (_, "") => return Err(unknown(spec)),
            ("idx", _) => idx::open(whole()?, split, memory_limit)?,
            ("cifar10", _) => cifar::open(&cifar::CIFAR10, whole()?, split, memory_limit)?,
            ("cifar100", _) => cifar::open(&cifar::CIFAR100, whole()?, split, memory_limit)?,
            ("frames", _) if is_archive(&place) => npz::open_frames(whole()?)?,
            ("frames", _) => events::open_frames(named, base, split, memory_limit)?,
            ("images", _) => npz::open_images(whole()?)?,
            ("pictures", _) => pictures::open(named, base, split, memory_limit)?,
            (kind, _) if events::KINDS.contains(&kind) => events::open(named, base, split, memory_limit)?,
            _ => return Err(unknown(spec)),
        };
        Ok(Dataset { spec: spec.to_owned(), contents, before: 0, fingerprint: OnceLock::new() })
    }

    /// A set of values in memory, `[N, C, H, W]`, or with steps `[N, T, C, H, W]`; they are taken as they are, and
    /// `name` is theirs in messages. Without labels every image has class 0.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where there is no value, one is not finite, or images, shape and labels do not go together.
    pub fn of_values(
        name: &str,
        shape: Shape,
        frame_steps: Option<usize>,
        values: Vec<f32>,
        labels: Option<Vec<u32>>,
    ) -> Result<Dataset> {
        let contents = npz::of_values(name, shape, frame_steps, values, labels)?;
        Ok(Dataset { spec: name.to_owned(), contents, before: 0, fingerprint: OnceLock::new() })
    }

    /// What the set was opened as.
    pub fn spec(&self) -> &str {
        &self.spec
    }

    /// Number of images or frame series.
    pub fn len(&self) -> usize {
        self.contents.labels.len()
    }

    /// Whether there is no image, as after `limit(0)`.
    pub fn is_empty(&self) -> bool {
        self.contents.labels.is_empty()
    }

    /// The shape of one image or frame.
    pub fn shape(&self) -> Shape {
        self.contents.shape
    }

    /// Number of classes; every label is below it.
    pub fn classes(&self) -> usize {
        self.contents.classes
    }

    /// Number of time steps where the spikes of every step are given (`frames:`), else `None`.
    pub fn frame_steps(&self) -> Option<usize> {
        self.contents.frame_steps
    }

    /// An error where another half or set has classes of other names.
    ///
    /// # Errors
    /// Where both have names for their classes, and not the same.
    pub fn check_classes(&self, other: &Dataset) -> Result<()> {
        let (Some(own), Some(others)) = (&self.contents.class_names, &other.contents.class_names) else {
            return Ok(());
        };
        if own == others {
            return Ok(());
        }
        Err(Error::Mismatch(format!(
            "`{}` has the classes {}, and `{}` has {}; expected the same",
            self.spec,
            own.join(", "),
            other.spec,
            others.join(", ")
        )))
    }

    /// The class of each image.
    pub fn labels(&self) -> &[u32] {
        &self.contents.labels
    }

    /// Whether `spec`, relative to `base`, names a set with a training and a test half; `frames:` and `images:` files
    /// hold one set.
    ///
    /// # Errors
    /// Where what tells it cannot be read.
    pub fn has_splits(spec: &str, base: &Path) -> Result<bool> {
        let named = Spec::parse(spec)?;
        match named.kind {
            "pictures" => pictures::in_halves(named, base),
            "frames" if is_archive(&base.join(named.path)) => Ok(false),
            "frames" => events::in_halves(named, base),
            kind if events::KINDS.contains(&kind) => events::in_halves(named, base),
            kind => Ok(kind != "images"),
        }
    }

    /// The training images that something is estimated on for chips that this whole test set judges: those of `spec`,
    /// relative to `base`, or where there is none the training half of this set.
    ///
    /// # Errors
    /// Where they are the tested images.
    pub fn training_beside(&self, spec: Option<&str>, base: &Path) -> Result<Dataset> {
        let named = spec.unwrap_or(&self.spec);
        let refuse = |what: &str| Err(Error::Mismatch(format!("`{named}` {what}; expected a set of training images")));
        if spec.is_none() && !Dataset::has_splits(named, base)? {
            return refuse("is one set, and its images are tested");
        }
        let training = Dataset::open(named, base, Split::Train)?;
        self.check_beside(&training)?;
        Ok(training)
    }

    /// An error where images cannot be those that something is estimated on for chips that this test set judges.
    ///
    /// # Errors
    /// Where they are the tested images, or have classes of other names.
    pub fn check_beside(&self, training: &Dataset) -> Result<()> {
        self.check_classes(training)?;
        match training.fingerprint()? == self.fingerprint()? {
            true => Err(Error::Mismatch(format!(
                "`{}` holds the images that are tested; expected a set of training images",
                training.spec
            ))),
            false => Ok(()),
        }
    }

    /// Leaves out the first `n` images, or all where there are fewer.
    pub fn after(mut self, n: usize) -> Dataset {
        let left_out = n.min(self.len());
        self.contents.labels.drain(..left_out);
        self.before += left_out;
        self.fingerprint = OnceLock::new();
        self
    }

    /// Keeps the first `n` images, or all where there are fewer.
    pub fn limit(mut self, n: usize) -> Dataset {
        self.contents.labels.truncate(n);
        self.fingerprint = OnceLock::new();
        self
    }

    /// Writes the normalised values of image `index`, `[C, H, W]`, or of a frame series, `[T, C, H, W]`, into `out`.
    ///
    /// The augmentation moves all steps of a series alike.
    ///
    /// # Panics
    /// If there is no image `index`, or `out` has not the length of one image or series.
    pub fn read(&self, index: usize, augmentation: Option<&Augmentation>, out: &mut [f32]) -> Result<()> {
        let Contents { shape, frame_steps, values, .. } = &self.contents;
        assert!(index < self.len(), "image {index} of a data set of {}", self.len());
        assert_eq!(out.len(), frame_steps.unwrap_or(1) * shape.len(), "length of the output of Dataset::read");
        values.read(self.before + index, out)?;
        if let Some(augmentation) = augmentation {
            augmentation.apply(index, *shape, |channel| values.black(channel), out);
        }
        Ok(())
    }

    /// The normalised values of pixels 0 and 1, per channel: their distance is one over the normalisation's standard
    /// deviation. None for npz files, whose values are taken as they are.
    pub fn pixel_range(&self) -> Option<Vec<[f32; 2]>> {
        self.contents.values.pixel_range()
    }

    /// What the user should know of the set: how its pixels are normalised, what is missing of it.
    pub fn notices(&self) -> impl Iterator<Item = String> {
        self.contents.notices.iter().map(|notice| format!("{}: {notice}", self.spec))
    }

    /// What values the set has as a whole, also after [`Dataset::limit`]; of normalised bytes, those that there can be.
    pub fn range(&self) -> Range {
        self.contents.range
    }

    /// What values its images have when they are changed by up to `epsilon`, in units of the pixel range or, without
    /// one, of values.
    pub fn range_around(&self, epsilon: f64) -> Range {
        if self.pixel_range().is_some() { self.range() } else { self.range().widened(epsilon as f32) }
    }

    /// The first 16 hexadecimal digits of a SHA-256 over shape, classes, labels, normalisation and values.
    ///
    /// It does not depend on where the files are. The first call goes through all values, about a second for 300 MB.
    ///
    /// # Errors
    /// Where a file on disk can no longer be read.
    pub fn fingerprint(&self) -> Result<String> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let made = self.hash()?;
        Ok(self.fingerprint.get_or_init(|| made).clone())
    }

    fn hash(&self) -> Result<String> {
        let Contents { shape, frame_steps, classes, labels, values, .. } = &self.contents;
        let mut hash = Sha256::new();
        for number in [shape.channels, shape.height, shape.width, frame_steps.unwrap_or(0), *classes, labels.len()] {
            hash.update((number as u64).to_le_bytes());
        }
        for label in labels {
            hash.update(label.to_le_bytes());
        }
        values.hash(self.before..self.before + labels.len(), frame_steps.unwrap_or(1) * shape.len(), &mut hash)?;
        Ok(hex(&hash.finalize()[..8]))
    }
}

/// An error about a kind of data set that there is not.
fn unknown(spec: &str) -> Error {
    Error::Usage(format!(
        "data set `{spec}`: expected digits, idx:DIR, cifar10:DIR, cifar100:DIR, pictures:PATH, nmnist:PATH, \
         dvs128gesture:PATH, cifar10dvs:PATH, shd:DIR, ssc:DIR, events:PATH, frames:PATH, frames:FILE.npz or \
         images:FILE.npz"
    ))
}

/// Whether a set of frames is a NumPy archive, and not a folder of them.
fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz"))
}
