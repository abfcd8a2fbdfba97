//! Pictures in folders and archives: decoded and scaled as Pillow does, sorted into halves and classes, normalised by
//! the training half.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crosspike::data::{Dataset, Split};
use ndarray::Array3;
use ndarray_npy::NpzReader;

fn forms() -> Vec<PathBuf> {
    let folder = common::golden("../pictures/forms");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 11);
    files
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

/// The first picture of a set, as bytes, `[C, H, W]`.
fn first(spec: &str, base: &Path) -> (Vec<u8>, [usize; 3]) {
    let data = Dataset::open(spec, base, Split::Train).unwrap();
    let mut values = vec![0.0; data.shape().len()];
    data.read(0, None, &mut values).unwrap();
    let shape = data.shape();
    (values.iter().map(|x| (x * 255.0).round() as u8).collect(), [shape.channels, shape.height, shape.width])
}

/// A folder of two classes that hold the same picture.
fn twice(file: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        fs::create_dir(folder.path().join(class)).unwrap();
        fs::copy(file, folder.path().join(class).join(name(file))).unwrap();
    }
    folder
}

#[test]
fn pictures_are_those_of_pillow() {
    let mut expected = NpzReader::new(File::open(common::golden("../pictures/expected.npz")).unwrap()).unwrap();
    let names = expected.names().unwrap();
    let mut compared = BTreeMap::new();
    for file in forms() {
        let folder = twice(&file);
        let file = name(&file);
        let of_file = |entry: &&String| entry.strip_prefix(file).is_some_and(|rest| rest.starts_with('.'));
        let entries: Vec<String> = names.iter().map(|entry| entry.replace(".npy", "")).collect();
        for entry in entries.iter().filter(|entry| of_file(entry) || entry.as_str() == file) {
            let array: Array3<u8> = expected.by_name(entry).unwrap();
            let (height, width, channels) = array.dim();
            let asked = match entry[file.len()..].trim_start_matches('.') {
                "" => String::new(),
                "grey" => "channels=1&".into(),
                size => format!("size={size}&"),
            };
            let (pixels, shape) = first(&format!("pictures:.?{asked}mean=0&std=1"), folder.path());
            assert_eq!(shape, [channels, height, width], "{entry}");
            let expected = array.permuted_axes([2, 0, 1]);
            let off: Vec<u8> = pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).collect();
            // JPEG leaves the rounding of its transform and the filter of its colours to the decoder.
            let allowed = if file.ends_with(".jpg") { 3 } else { 0 };
            assert!(off.iter().all(|off| *off <= allowed), "{entry}: off by up to {:?}", off.iter().max());
            let mean = off.iter().map(|off| f64::from(*off)).sum::<f64>() / off.len() as f64;
            assert!(mean < 0.5, "{entry}: off by {mean} on average");
            *compared.entry(file.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!(compared.values().sum::<i32>(), 6 * 6 + 5, "{compared:?}");
}

/// Grey PNG files of one value each, by name.
fn write(folder: &Path, files: &[(&str, u8)]) {
    for (name, value) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, png(*value)).unwrap();
    }
}

fn png(value: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[value; 4]).unwrap();
    bytes
}

/// Each picture's value and class, in their order.
fn contents(spec: &str, base: &Path, split: Split) -> Vec<(u8, u32)> {
    let data = Dataset::open(spec, base, split).unwrap();
    let ends = data.pixel_range().unwrap()[0];
    let value = |index| {
        let mut values = vec![0.0; data.shape().len()];
        data.read(index, None, &mut values).unwrap();
        ((values[0] - ends[0]) / (ends[1] - ends[0]) * 255.0).round() as u8
    };
    (0..data.len()).map(|index| (value(index), data.labels()[index])).collect()
}

fn notices(spec: &str, base: &Path, split: Split) -> String {
    Dataset::open(spec, base, split).unwrap().notices().collect::<Vec<_>>().join("\n")
}

fn refusal(spec: &str, base: &Path, split: Split) -> String {
    Dataset::open(spec, base, split).unwrap_err().to_string()
}

#[test]
fn pictures_are_sorted_into_halves_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(
        &at.join("flat"),
        &[("dog/2.png", 40), ("cat/1.PNG", 10), ("cat/3.png", 20), ("cat/x/4.png", 30), ("cat/._1.png", 99)],
    );
    fs::write(at.join("flat/dog/words.txt"), "no picture").unwrap();
    // One of each class, then the next.
    let flat = [(10, 0), (40, 1), (20, 0), (30, 0)];
    for split in [Split::Train, Split::Test] {
        assert_eq!(contents("pictures:flat", at, split), flat);
    }
    let said = notices("pictures:flat", at, Split::Test);
    assert!(said.contains("2 files of other names than .jpg, .jpeg, .png, such as cat/._1.png"), "{said}");
    assert!(said.contains("one set, not in halves"), "{said}");

    let halves = [
        ("train/b/1.png", 10),
        ("train/a/1.png", 20),
        ("train/c/1.png", 30),
        ("test/c/9.png", 40),
        ("test/a/8.png", 50),
    ];
    write(&at.join("halves"), &halves);
    write(&at.join("around/it"), &halves);
    write(&at.join("halves"), &[("val/a/7.png", 60)]);
    for spec in ["pictures:halves", "pictures:around"] {
        assert_eq!(contents(spec, at, Split::Train), [(20, 0), (10, 1), (30, 2)]);
        assert_eq!(contents(spec, at, Split::Test), [(50, 0), (40, 2)]);
        assert!(Dataset::has_splits(spec, at).unwrap());
        assert_eq!(Dataset::open(spec, at, Split::Test).unwrap().classes(), 3);
    }
    assert!(notices("pictures:halves", at, Split::Test).contains("without effect are the pictures in val/"));
    assert!(!Dataset::has_splits("pictures:flat", at).unwrap());

    assert!(refusal("pictures:flat?test=0.4", at, Split::Test).contains("the class dog has one of the pictures alone"));
    write(&at.join("flat"), &[("dog/3.png", 50)]);
    let held = |split| contents("pictures:flat?test=0.1", at, split);
    assert_eq!((held(Split::Train), held(Split::Test)), (vec![(10, 0), (40, 1), (20, 0)], vec![(30, 0), (50, 1)]));
    assert!(Dataset::has_splits("pictures:flat?test=0.1", at).unwrap());
    assert!(refusal("pictures:halves?test=0.4", at, Split::Test).contains("test/ is there for testing"));
    write(&at.join("numbers"), &[("2/a.png", 10), ("10/a.png", 20), ("1/a.png", 30)]);
    assert!(notices("pictures:numbers", at, Split::Test).contains("the folder 10 is class 1, before 2"));

    let tiny = [
        ("tiny/train/n01/images/n01_0.JPEG", 10),
        ("tiny/train/n02/images/n02_0.JPEG", 20),
        ("tiny/val/images/val_0.JPEG", 30),
        ("tiny/val/images/val_1.JPEG", 40),
        ("tiny/test/images/test_0.JPEG", 50),
    ];
    write(at, &tiny);
    fs::write(at.join("tiny/val/val_annotations.txt"), "val_0.JPEG\tn02\t0\t0\t62\t62\nval_1.JPEG\tn01\t0\t0\t1\t1\n")
        .unwrap();
    fs::write(at.join("tiny/wnids.txt"), "n02\nn01\n").unwrap();
    assert_eq!(contents("pictures:tiny", at, Split::Train), [(10, 0), (20, 1)]);
    assert_eq!(contents("pictures:tiny", at, Split::Test), [(40, 0), (30, 1)]);
    assert!(notices("pictures:tiny", at, Split::Test).contains("without effect are the pictures in test/"));
    fs::write(at.join("tiny/val/val_annotations.txt"), "val_0.JPEG\tn02\n").unwrap();
    let said = refusal("pictures:tiny", at, Split::Test);
    assert!(said.contains("val_annotations.txt") && said.contains("names no class of val/images/val_1.JPEG"), "{said}");
}

#[test]
fn folders_that_may_be_halves_or_classes_are_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // ImageNet's usual layout: test pictures without classes.
    let plain = [("train/a/1.png", 10), ("train/b/1.png", 20), ("val/a/1.png", 30), ("val/b/2.png", 40)];
    write(&at.join("net"), &plain);
    write(&at.join("net"), &[("test/1.png", 90)]);
    assert_eq!(contents("pictures:net", at, Split::Test), [(30, 0), (40, 1)]);
    assert!(notices("pictures:net", at, Split::Test).contains("without effect are the pictures in test/"));
    // What a Mac packs, and a file beside the folder, are not around the pictures.
    for (name, value) in plain {
        write(&at.join("mac/set"), &[(name, value)]);
    }
    fs::write(at.join("mac/README.txt"), "words").unwrap();
    write(&at.join("mac/__MACOSX"), &[("set/train/a/1.png", 99)]);
    assert_eq!(contents("pictures:mac", at, Split::Train), [(10, 0), (20, 1)]);
    // A class may be called train.
    write(&at.join("vehicles"), &[("bus/1.png", 1), ("train/1.png", 2), ("train/old/1.png", 3)]);
    assert_eq!(contents("pictures:vehicles", at, Split::Train), [(1, 0), (2, 1), (3, 1)]);
    assert!(
        notices("pictures:vehicles", at, Split::Test).contains("train/ is taken as a class, for bus/ stands beside it")
    );
    for (name, files, expected) in [
        (
            "three",
            &[("train/a/1.png", 1), ("test/a/1.png", 2), ("extra/a/1.png", 3)][..],
            "extra/ stands beside train/ and test/",
        ),
        ("two", &[("train/a/1.png", 1), ("training/a/1.png", 2), ("test/a/1.png", 3)], "has train and training"),
        ("none", &[("val/a/1.png", 1), ("test/a/1.png", 2)], "no training half"),
    ] {
        write(&at.join(name), files);
        let said = refusal(&format!("pictures:{name}"), at, Split::Train);
        assert!(said.contains(expected), "{name}: {said}");
    }
    // Two sets with other classes.
    let open = |spec: &str| Dataset::open(spec, at, Split::Train).unwrap();
    assert!(open("pictures:net").check_classes(&open("pictures:mac")).is_ok());
    let said = open("pictures:net").check_classes(&open("pictures:vehicles")).unwrap_err().to_string();
    assert!(said.contains("has the classes a, b, and `pictures:vehicles` has bus, train"), "{said}");
}

#[test]
fn an_archive_is_the_folder_that_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let files = [("train/b/1.png", 10), ("train/a/1.png", 20), ("test/a/9.png", 40), ("test/b/9.png", 70)];
    write(&at.join("there"), &files);
    let mut archive = zip::ZipWriter::new(File::create(at.join("packed.zip")).unwrap());
    for (name, value) in files.iter().rev() {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&png(*value)).unwrap();
    }
    archive.finish().unwrap();
    for split in [Split::Train, Split::Test] {
        let [there, packed] =
            ["pictures:there", "pictures:packed.zip"].map(|spec| Dataset::open(spec, at, split).unwrap());
        assert_eq!(there.fingerprint().unwrap(), packed.fingerprint().unwrap());
        assert_eq!(contents("pictures:there", at, split), contents("pictures:packed.zip", at, split));
    }
}

#[test]
fn both_halves_are_normalised_by_the_training_half() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, &[("train/a/1.png", 51), ("train/b/1.png", 153), ("test/a/1.png", 204), ("test/b/1.png", 255)]);
    // Mean 0.4 and deviation 0.2 of white.
    let of = |spec: &str, split| {
        let data = Dataset::open(spec, at, split).unwrap();
        let mut values = vec![0.0; data.shape().len()];
        (0..2)
            .map(|index| {
                data.read(index, None, &mut values).unwrap();
                values[0]
            })
            .collect::<Vec<_>>()
    };
    let near = |values: &[f32], expected: [f32; 2]| values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near(&of("pictures:.", Split::Train), [-1.0, 1.0]));
    assert!(near(&of("pictures:.", Split::Test), [2.0, 3.0]));
    let given = "pictures:.?mean=0.2&std=0.4";
    assert!(near(&of(given, Split::Train), [0.0, 1.0]));
    assert!(near(&of(given, Split::Test), [1.5, 2.0]));
    let said = notices("pictures:.", at, Split::Test);
    assert!(said.contains("of the training pictures; others are by the same with ?mean=0.4&std=0.2"), "{said}");
    assert_eq!(notices(given, at, Split::Test), "");
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let says = |spec: &str, parts: &[&str]| {
        let said = refusal(spec, at, Split::Test);
        assert!(parts.iter().all(|part| said.contains(part)), "{spec}: {said}");
    };
    write(&at.join("one"), &[("a/1.png", 1), ("a/2.png", 2)]);
    says("pictures:one", &["one", "2 pictures (.jpg, .jpeg, .png) in 1 classes", "at least two classes"]);
    write(&at.join("loose"), &[("a/1.png", 1), ("2.png", 2)]);
    says("pictures:loose", &["2.png", "expected a folder of its class"]);
    says("pictures:nowhere", &["nowhere"]);
    fs::write(at.join("text.zip"), "no archive").unwrap();
    says("pictures:text.zip", &["text.zip", "expected a folder or a zip archive"]);
    write(&at.join("other"), &[("train/a/1.png", 1), ("train/b/1.png", 1), ("test/c/1.png", 1)]);
    says("pictures:other", &["test/ has folders that train/ has not"]);
    write(&at.join("flat"), &[("a/1.png", 7), ("b/1.png", 7)]);
    says("pictures:flat", &["all pixels of a channel are alike"]);
    // A mean that no f64 holds exactly is no spread.
    for value in 1..=255 {
        write(&at.join("alike"), &[("a/1.png", value), ("a/2.png", value), ("b/1.png", value)]);
        says("pictures:alike", &["all pixels of a channel are alike"]);
    }
    says("pictures:flat?mean=.5,.5,.5&std=.5", &["mean", "3 numbers for 1 channels"]);

    let colour = common::golden("../pictures/forms/colour.png");
    fs::create_dir_all(at.join("mixed/a")).unwrap();
    write(&at.join("mixed"), &[("b/1.png", 7)]);
    fs::copy(&colour, at.join("mixed/a/1.png")).unwrap();
    says("pictures:mixed", &["b/1.png", "2 x 2 pixels", "37 x 50", "?size=HxW"]);
    fs::rename(at.join("mixed/a"), at.join("mixed/c")).unwrap();
    says("pictures:mixed?size=4", &["c/1.png", "in colour", "?channels=3"]);
    assert_eq!(contents("pictures:mixed?size=4&channels=3", at, Split::Test).len(), 2);

    let bytes = fs::read(&colour).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], &[], b"GIF89a"] {
        fs::write(at.join("mixed/c/1.png"), damaged).unwrap();
        says("pictures:mixed?size=4&channels=3", &["c/1.png"]);
    }
    let mut broken = bytes.clone();
    broken[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
    fs::write(at.join("mixed/c/1.png"), broken).unwrap();
    says("pictures:mixed?size=4&channels=3", &["c/1.png"]);
}
