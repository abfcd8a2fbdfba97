//! The data sets as a whole: known counts and normalisations, memory against disk.

mod refusals;

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ndarray::{Array, Array1, Array2, Array3, Array4, Array5, Dimension};
use ndarray_npy::{NpzWriter, WritableElement};
use tempfile::{TempDir, tempdir};
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::*;

fn open(spec: &str, base: &Path, split: Split) -> Result<Dataset> {
    Dataset::open(spec, base, split)
}

fn image(set: &Dataset, index: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; set.frame_steps().unwrap_or(1) * set.shape().len()];
    set.read(index, None, &mut out).unwrap();
    out
}

fn idx(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    file.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Six training and two test images of 2 x 3, classes 0 to 2; the training images gzip-compressed.
fn idx_folder() -> TempDir {
    let dir = tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte.gz", gzip(&idx(&[6, 2, 3], &(0..36).map(|i| i * 7).collect::<Vec<u8>>())));
    write("train-labels-idx1-ubyte", idx(&[6], &[0, 1, 2, 0, 1, 2]));
    write("t10k-images-idx3-ubyte", idx(&[2, 2, 3], &(0..12).collect::<Vec<u8>>()));
    write("t10k-labels-idx1-ubyte", idx(&[2], &[2, 0]));
    dir
}

/// Two training files of two images and a test file of one.
fn cifar_folder(label_bytes: usize) -> TempDir {
    let dir = tempdir().unwrap();
    let record = |seed: usize| {
        let pixels = (0..3072).map(move |i| ((i * 31 + seed * 17) % 256) as u8);
        std::iter::repeat_n(seed as u8, label_bytes).chain(pixels).collect::<Vec<u8>>()
    };
    let names = if label_bytes == 1 {
        ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"]
    } else {
        ["train.bin", "other.bin", "test.bin"]
    };
    for (i, name) in names.into_iter().enumerate() {
        fs::write(dir.path().join(name), [record(2 * i), record(2 * i + 1)].concat()).unwrap();
    }
    dir
}

fn npz<A: WritableElement, D: Dimension>(path: &Path, name: &str, values: &Array<A, D>, labels: &[i64], packed: bool) {
    let file = fs::File::create(path).unwrap();
    let method = if packed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let mut writer = NpzWriter::new_with_options(file, SimpleFileOptions::default().compression_method(method));
    writer.add_array(name, values).unwrap();
    writer.add_array("labels", &Array1::from(labels.to_vec())).unwrap();
    writer.finish().unwrap();
}

#[test]
fn digits_have_their_counts_and_their_normalisation() {
    let base = Path::new("");
    let (train, test) = (open("digits", base, Split::Train).unwrap(), open("digits", base, Split::Test).unwrap());
    assert_eq!((train.len(), test.len(), train.classes()), (1437, 360, 10));
    assert_eq!(train.shape(), Shape { channels: 1, height: 8, width: 8 });
    assert_eq!((train.spec(), train.frame_steps(), train.labels()[2]), ("digits", None, 2));
    assert_eq!(image(&train, 0)[2..4], [(5.0 / 16.0 - 0.3053) / 0.3760, (13.0 / 16.0 - 0.3053) / 0.3760]);
    let all: Vec<f64> = (0..1437).flat_map(|i| image(&train, i)).map(f64::from).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let std = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
    assert!(mean.abs() < 0.01 && (std - 1.0).abs() < 0.01, "mean {mean}, std {std}");
}

#[test]
fn idx_files_are_normalised_by_all_training_images() {
    let dir = idx_folder();
    let train = open("idx:.", dir.path(), Split::Train).unwrap();
    let test = open("idx:.", dir.path(), Split::Test).unwrap();
    assert_eq!((train.labels(), test.labels(), test.classes()), (&[0, 1, 2, 0, 1, 2][..], &[2, 0][..], 3));
    let all: Vec<f64> = (0..6).flat_map(|i| image(&train, i)).map(f64::from).collect();
    assert!(all.iter().sum::<f64>().abs() < 1e-5);
    assert!((all.iter().map(|x| x * x).sum::<f64>() - 36.0).abs() < 1e-4);
    assert!((image(&test, 1)[1] - image(&train, 0)[1]).abs() < 1e-6, "both are raw 7");
}

#[test]
fn the_same_images_come_from_memory_and_from_disk() {
    let (idx, cifar10, cifar100) = (idx_folder(), cifar_folder(1), cifar_folder(2));
    for (spec, dir) in [("idx:.", &idx), ("cifar10:.", &cifar10), ("cifar100:.", &cifar100)] {
        for split in [Split::Train, Split::Test] {
            let memory = open(spec, dir.path(), split).unwrap();
            let disk = Dataset::open_within(spec, dir.path(), split, 20).unwrap();
            assert_eq!(memory.labels(), disk.labels());
            for index in 0..memory.len() {
                assert_eq!(image(&memory, index), image(&disk, index), "{spec} {split:?} {index}");
            }
        }
    }
    let train = open("cifar10:.", cifar10.path(), Split::Train).unwrap();
    let notices: Vec<String> = train.notices().collect();
    assert_eq!(
        notices,
        ["cifar10:.: 4 of the published 50000 training images; without data_batch_3.bin, data_batch_4.bin, \
             data_batch_5.bin"]
    );
    assert_eq!((train.labels(), train.classes()), (&[0, 1, 2, 3][..], 10));
    assert_eq!(image(&train, 3)[1024], ((f32::from((1024 * 31 + 3 * 17) as u8)) / 255.0 - 0.4822) / 0.1994);
    assert_eq!(open("cifar100:.", cifar100.path(), Split::Train).unwrap().labels(), [0, 1]);
}

#[test]
fn npz_files_are_read_stored_and_deflated() {
    let dir = tempdir().unwrap();
    let frames =
        Array5::from_shape_fn((3, 4, 2, 5, 6), |(n, t, c, y, x)| (n * 1000 + t * 100 + c * 50 + y * 6 + x) as f32);
    let bytes = Array4::from_shape_fn((3, 1, 2, 2), |(n, _, y, x)| (n * 4 + y * 2 + x) as u8);
    for packed in [false, true] {
        npz(&dir.path().join("f.npz"), "frames", &frames, &[0, 4, 1], packed);
        let set = open("frames:f.npz", dir.path(), Split::Test).unwrap();
        assert_eq!((set.len(), set.frame_steps(), set.classes()), (3, Some(4), 5));
        assert_eq!(image(&set, 2), frames.iter().skip(2 * 240).copied().collect::<Vec<_>>());
        npz(&dir.path().join("i.npz"), "images", &bytes, &[0, 1, 1], packed);
        let set = open("images:i.npz", dir.path(), Split::Train).unwrap();
        let (mean, std) = (5.5, (143.0f64 / 12.0).sqrt());
        let expected = [4.0, 5.0, 6.0, 7.0].map(|x| ((x - mean) / std) as f32);
        assert_eq!((set.len(), set.frame_steps(), image(&set, 1)), (3, None, expected.to_vec()));
        assert!(
            set.notices()
                .next()
                .unwrap()
                .contains("whole numbers from 0 to 11: pixels, normalised as (x - 5.5000)/3.4521")
        );
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bntt");
    let set = open("frames:frames.npz", &golden, Split::Test).unwrap();
    assert_eq!((set.len(), set.frame_steps(), set.shape().len()), (6, Some(4), 2 * 12 * 12));
}

/// An archive of images with further arrays.
fn images_npz(path: &Path, add: impl FnOnce(&mut NpzWriter<fs::File>)) {
    let mut writer = NpzWriter::new(fs::File::create(path).unwrap());
    writer.add_array("labels", &Array1::from(vec![0i64, 1])).unwrap();
    add(&mut writer);
    writer.finish().unwrap();
}

#[test]
fn whole_numbered_images_are_pixels_and_normalised_by_what_the_file_says() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("i.npz");
    let raw = Array4::from_shape_fn((2, 2, 1, 2), |(n, c, _, x)| (n * 4 + c * 2 + x) as i16);
    images_npz(&path, |writer| {
        writer.add_array("images", &raw).unwrap();
        writer.add_array("mean", &Array1::from(vec![0.5f64, 0.25])).unwrap();
        writer.add_array("std", &Array1::from(vec![0.5f64, 0.75])).unwrap();
        writer.add_array("full", &ndarray::arr0(8.0f64)).unwrap();
    });
    let set = open("images:i.npz", dir.path(), Split::Test).unwrap();
    let value = |raw: f64, c: usize| ((raw / 8.0 - [0.5, 0.25][c]) / [0.5, 0.75][c]) as f32;
    assert_eq!(image(&set, 1), [value(4.0, 0), value(5.0, 0), value(6.0, 1), value(7.0, 1)]);
    assert_eq!(set.contents.values.black(1), value(0.0, 1));
    let is = Array4::from_shape_fn((2, 1, 1, 2), |(n, _, _, x)| (n + x) % 2 == 0);
    images_npz(&path, |writer| writer.add_array("images", &is).unwrap());
    assert_eq!(
        image(&open("images:i.npz", dir.path(), Split::Test).unwrap(), 0),
        [1.0, -1.0],
        "booleans are pixels too"
    );
    let floats = raw.mapv(f32::from);
    images_npz(&path, |writer| writer.add_array("images", &floats).unwrap());
    let set = open("images:i.npz", dir.path(), Split::Test).unwrap();
    assert_eq!(image(&set, 0), [0.0, 1.0, 2.0, 3.0], "real numbers are taken as they are");
    assert!(
        set.notices()
            .next()
            .unwrap()
            .contains("`images` run from 0 to 7, mean 3.500, spread 2.291: these do not look normalised")
    );
    assert!(set.notices().next().unwrap().contains("stored as integers, such as uint8, they are pixels"));
    // Constants in units of pixels, and pixels of an unknown white.
    for (constants, expected) in [
        ([81.0, 0.25, 255.0], "`mean`: 81, expected a share of a white pixel, 0 to 1: 81/255 is 0.3176"),
        ([0.5, 49.0, 8.0], "`std`: 49, expected a share of a white pixel"),
        ([0.5, 0.25, f64::NAN], "run to 7; expected `full`, the value of a white pixel"),
    ] {
        images_npz(&path, |writer| {
            writer.add_array("images", &raw).unwrap();
            let names = ["mean", "std", "full"].into_iter().zip(constants).filter(|(_, value)| !value.is_nan());
            names.for_each(|(name, value)| writer.add_array(name, &ndarray::arr0(value)).unwrap());
        });
        let error = open("images:i.npz", dir.path(), Split::Test).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let wide = raw.mapv(|x| x as u16 * 9000);
    images_npz(&path, |writer| {
        writer.add_array("images", &wide).unwrap();
        ["mean", "std"].iter().for_each(|name| writer.add_array(*name, &ndarray::arr0(0.5f64)).unwrap());
    });
    let error = open("images:i.npz", dir.path(), Split::Test).unwrap_err().to_string();
    assert!(error.contains("run to 63000; expected `full`"), "{error}");
    images_npz(&path, |writer| writer.add_array("images", &raw.mapv(|x| x - 7)).unwrap());
    let set = open("images:i.npz", dir.path(), Split::Test).unwrap();
    assert!(!set.notices().next().unwrap().contains("full="), "no share of a white pixel that is none");
    // Many normalise MNIST so, whose pixels are dark: (x − 0.5)/0.5.
    let dark = Array4::from_shape_fn((2, 1, 8, 8), |(n, _, y, x)| if (n + x + 3 * y) % 8 == 0 { 1.0f32 } else { -1.0 });
    images_npz(&path, |writer| writer.add_array("images", &dark).unwrap());
    assert!(open("images:i.npz", dir.path(), Split::Test).unwrap().notices().next().is_none());
    let normalised = raw.mapv(|x| (f32::from(x) - 3.5) / 2.29);
    images_npz(&path, |writer| writer.add_array("images", &normalised).unwrap());
    assert_eq!(open("images:i.npz", dir.path(), Split::Test).unwrap().notices().count(), 0);
}

#[test]
fn a_folder_of_test_images_alone_is_enough_where_only_they_are_asked_for() {
    let dir = idx_folder();
    for (old, new) in
        [("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"), ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte")]
    {
        fs::rename(dir.path().join(old), dir.path().join(new)).unwrap();
    }
    let test = open("idx:.", dir.path(), Split::Test).unwrap();
    assert_eq!((test.len(), test.classes(), test.notices().count()), (2, 3, 0), "as they are unpacked elsewhere");
    fs::remove_file(dir.path().join("train-images-idx3-ubyte.gz")).unwrap();
    fs::remove_file(dir.path().join("train-labels-idx1-ubyte")).unwrap();
    let test = open("idx:.", dir.path(), Split::Test).unwrap();
    assert!((image(&test, 0).iter().chain(&image(&test, 1)).sum::<f32>()).abs() < 1e-5, "normalised by themselves");
    assert!(test.notices().next().unwrap().contains("no training images here"));
    assert!(open("idx:.", dir.path(), Split::Train).is_err());
}

#[test]
fn a_fingerprint_follows_the_contents() {
    let (dir, base) = (idx_folder(), Path::new(""));
    let of = |spec, base, split| open(spec, base, split).unwrap().fingerprint().unwrap();
    let digits = of("digits", base, Split::Train);
    assert_eq!((digits.len(), &digits), (16, &of("digits", base, Split::Train)));
    assert_ne!(digits, of("digits", base, Split::Test));
    assert_ne!(digits, open("digits", base, Split::Train).unwrap().limit(9).fingerprint().unwrap());
    let before = of("idx:.", dir.path(), Split::Test);
    fs::write(dir.path().join("t10k-images-idx3-ubyte"), idx(&[2, 2, 3], &[9; 12])).unwrap();
    assert_ne!(before, of("idx:.", dir.path(), Split::Test));
}

#[test]
fn a_set_on_disk_is_named_by_its_contents_too() {
    let (idx, cifar) = (idx_folder(), cifar_folder(1));
    for (spec, dir, file) in [("idx:.", &idx, "t10k-images-idx3-ubyte"), ("cifar10:.", &cifar, "test_batch.bin")] {
        let on_disk = || Dataset::open_within(spec, dir.path(), Split::Test, 0).unwrap().fingerprint().unwrap();
        assert_eq!(on_disk(), open(spec, dir.path(), Split::Test).unwrap().fingerprint().unwrap());
        let (before, mut bytes) = (on_disk(), fs::read(dir.path().join(file)).unwrap());
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.path().join(file), bytes).unwrap();
        assert_ne!(before, on_disk(), "{spec}: another pixel, the same size");
    }
}

#[test]
fn a_limit_keeps_the_first_images() {
    let set = || open("digits", Path::new(""), Split::Test).unwrap();
    assert_eq!(set().limit(5).labels(), &set().labels()[..5]);
    assert_eq!(set().limit(1000).len(), 360);
    assert!(set().limit(0).is_empty());
}

#[test]
fn images_after_others_are_the_same_images() {
    let set = || open("digits", Path::new(""), Split::Test).unwrap();
    let (whole, rest) = (set(), set().after(100).after(50).limit(20));
    assert_eq!(rest.labels(), &whole.labels()[150..170]);
    let image = |set: &Dataset, index: usize| {
        let mut out = vec![0.0; 64];
        set.read(index, None, &mut out).unwrap();
        out
    };
    assert!((0..20).all(|index| image(&rest, index) == image(&whole, 150 + index)));
    // Other images have another fingerprint, and the same ones the same.
    assert_eq!(rest.fingerprint().unwrap(), set().limit(170).after(150).fingerprint().unwrap());
    assert_ne!(rest.fingerprint().unwrap(), set().limit(20).fingerprint().unwrap());
    assert!(set().after(1000).is_empty());
}

#[test]
fn augmentation_pads_with_a_black_pixel() {
    let set = open("digits", Path::new(""), Split::Train).unwrap();
    let mut out = vec![0.0; 64];
    let mut padded = 0;
    for index in 0..20 {
        set.read(index, Some(&Augmentation { seed: 1, epoch: 0, padding: 4, flip: true }), &mut out).unwrap();
        padded += usize::from(out[..8].iter().all(|&value| value == -0.3053f32 / 0.3760));
    }
    assert!(padded > 0);
}

#[test]
fn a_data_set_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Dataset>();
    let in_halves = |spec| Dataset::has_splits(spec, Path::new("")).unwrap();
    assert!(in_halves("digits") && in_halves("idx:d"));
    assert!(!in_halves("frames:f.npz") && !in_halves("images:f.npz"));
}

#[test]
fn recorded_spikes_are_counts_and_nothing_else() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("recorded.npz");
    let open = |spikes: f32| {
        let mut writer = NpzWriter::new(fs::File::create(&path).unwrap());
        writer.add_array("frames", &Array5::from_elem((1, 2, 1, 2, 2), 1f32)).unwrap();
        writer.add_array("spikes.conv1", &Array3::from_elem((1, 2, 3), spikes)).unwrap();
        writer.finish().unwrap();
        Recorded::open(&path)
    };
    assert_eq!(open(2.0).unwrap().spikes[0].1, Array2::from_elem((1, 2), 6));
    for bad in [0.5, -1.0, f32::NAN] {
        let said = open(bad).unwrap_err().to_string();
        assert!(said.contains(&format!("`spikes.conv1`: holds {bad}; expected spikes")), "{said}");
    }
}
