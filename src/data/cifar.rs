//! CIFAR-10 and CIFAR-100 in their binary layout (Krizhevsky 2009): records of one or two label bytes and 3 x 32 x 32
//! pixels, channel by channel.

use std::fs;
use std::path::{Path, PathBuf};

use super::Split;
use super::source::{Body, Contents, FileRecords, ImageValues, Normalisation, Records, check_labels};
use crate::error::{Error, Result};
use crate::numeric::Shape;

const SHAPE: Shape = Shape { channels: 3, height: 32, width: 32 };
const PIXELS: usize = 3 * 32 * 32;

/// What distinguishes the two sets.
pub(super) struct RecordLayout {
    /// Label bytes before each image; the last one is used, CIFAR-100's fine label.
    label_bytes: u64,
    classes: usize,
    mean: [f32; 3],
    std: [f32; 3],
    /// The training files: all names that begin with this and end in `.bin`.
    training_prefix: &'static str,
    /// How many training files and images, and test images, the published set has.
    published: [usize; 3],
    test_file: &'static str,
    expected: &'static str,
}

pub(super) const CIFAR10: RecordLayout = RecordLayout {
    label_bytes: 1,
    classes: 10,
    mean: [0.4914, 0.4822, 0.4465],
    std: [0.2023, 0.1994, 0.2010],
    training_prefix: "data_batch_",
    published: [5, 50_000, 10_000],
    test_file: "test_batch.bin",
    expected: "the binary version of CIFAR-10: data_batch_1.bin and so on, and test_batch.bin",
};

pub(super) const CIFAR100: RecordLayout = RecordLayout {
    label_bytes: 2,
    classes: 100,
    mean: [0.5071, 0.4865, 0.4409],
    std: [0.2673, 0.2564, 0.2762],
    training_prefix: "train.bin",
    published: [1, 50_000, 10_000],
    test_file: "test.bin",
    expected: "the binary version of CIFAR-100: train.bin and test.bin",
};

impl RecordLayout {
    /// What to say of a folder that has not all images of the published set.
    fn incomplete(&self, files: &[PathBuf], images: usize, split: Split) -> Option<String> {
        let [all_files, training, test] = self.published;
        let (half, all) = if split == Split::Train { ("training", training) } else { ("test", test) };
        let missing = (1..=all_files).map(|number| format!("{}{number}.bin", self.training_prefix));
        let missing = missing.filter(|name| !files.iter().any(|file| file.ends_with(name)));
        let missing: Vec<String> = missing.filter(|_| split == Split::Train && all_files > 1).collect();
        let without = if missing.is_empty() { String::new() } else { format!("; without {}", missing.join(", ")) };
        (images < all).then(|| format!("{images} of the published {all} {half} images{without}"))
    }
}

/// Opens the training files, sorted by name, or the test file.
pub(super) fn open(layout: &RecordLayout, dir: &Path, split: Split, memory_limit: u64) -> Result<Contents> {
    let wanted = |name: &str| match split {
        Split::Train => name.starts_with(layout.training_prefix) && name.ends_with(".bin"),
        Split::Test => name == layout.test_file,
    };
    let files = find(dir, wanted, layout.expected)?;
    let mut total = 0;
    for file in &files {
        total = fs::metadata(file).map_err(Error::io(file))?.len().saturating_add(total);
    }
    let limit = if total > memory_limit { 0 } else { memory_limit };

    let (mut parts, mut labels) = (Vec::new(), Vec::new());
    for file in &files {
        let part = open_part(layout, Body::open(file, limit)?)?;
        let first = labels.len();
        for index in 0..part.count as u64 {
            let label = part.body.bytes(part.start - 1 + index * part.stride, 1)?;
            labels.push(u32::from(label[0]));
        }
        check_labels(file, &labels[first..], layout.classes)?;
        parts.push(part);
    }
    let normalisation = Normalisation::new(255, &layout.mean, &layout.std);
    let values = ImageValues::Bytes(Records(parts), normalisation);
    let notices = layout.incomplete(&files, labels.len(), split).into_iter().collect();
    Ok(Contents {
        shape: SHAPE,
        frame_steps: None,
        classes: layout.classes,
        class_names: None,
        labels,
        range: values.range(),
        values: values.into(),
        notices,
    })
}

fn open_part(layout: &RecordLayout, body: Body) -> Result<FileRecords> {
    let stride = layout.label_bytes + PIXELS as u64;
    let size = body.size();
    if size == 0 || !size.is_multiple_of(stride) {
        let message = format!("{size} bytes are not a whole number of records of {stride} bytes");
        return Err(Error::file(body.path(), message));
    }
    Ok(FileRecords { body, start: layout.label_bytes, stride, pixels: PIXELS, count: (size / stride) as usize })
}

fn find(dir: &Path, wanted: impl Fn(&str) -> bool, expected: &str) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Err(Error::file(dir, format!("no such folder; expected {expected}")));
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        if entry.file_name().to_str().is_some_and(&wanted) {
            files.push(entry.path());
        }
    }
    if files.is_empty() {
        return Err(Error::file(dir, format!("the files are not here; expected {expected}")));
    }
    files.sort();
    Ok(files)
}
