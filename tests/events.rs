//! Recordings of event cameras and cochleas: files made to each format's specification, read as tonic and SpikingJelly
//! read them, frame by frame; and what is said of files that do not fit.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crosspike::data::{Dataset, Split};
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events")
}

/// Series `index` of a set: its frames, and its class.
fn series(spec: &str, base: &Path, split: Split, index: usize) -> (Vec<f32>, u32) {
    let data = Dataset::open(spec, base, split).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let mut frames = vec![0.0; data.shape().len() * data.frame_steps().unwrap()];
    data.read(index, None, &mut frames).unwrap();
    (frames, data.labels()[index])
}

/// The set that a golden's name is of, its half, and which one it is.
fn place(name: &str) -> (String, Split, usize) {
    let parts: Vec<&str> = name.split('/').collect();
    let half = |text: &str| if text.eq_ignore_ascii_case("train") { Split::Train } else { Split::Test };
    match parts[..] {
        ["nmnist", split, digit, _] => ("nmnist:nmnist".into(), half(split), digit.parse().unwrap()),
        ["dvs128gesture", user, number] => {
            let split = half(if user == "user01_led" { "train" } else { "test" });
            ("dvs128gesture:dvs128gesture".into(), split, number.parse().unwrap())
        }
        ["cifar10dvs", class, file] => {
            let number = usize::from(file.ends_with("_1.aedat"));
            ("cifar10dvs:cifar10dvs".into(), Split::Test, 2 * number + usize::from(class == "automobile"))
        }
        [set @ ("shd" | "ssc"), split, number] => (format!("{set}:{set}"), half(split), number.parse().unwrap()),
        ["arrays", split, side, _] => ("events:arrays?sensor=30x40&".into(), half(split), usize::from(side == "right")),
        _ => panic!("{name}"),
    }
}

fn check(name: &str, options: &str, expected: &[f32]) {
    let (set, split, index) = place(name);
    let mark = if set.contains('?') { "" } else { "?" };
    let (frames, _) = series(&format!("{set}{mark}{options}"), &golden(), split, index);
    assert_eq!(frames.len(), expected.len(), "{name}:{options}");
    let off = frames.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(off, None, "{name}:{options}");
    assert!(frames.iter().sum::<f32>() > 20.0, "{name}:{options}");
}

#[test]
fn frames_are_those_of_tonic() {
    let mut expected = NpzReader::new(File::open(golden().join("tonic.npz")).unwrap()).unwrap();
    let names = expected.names().unwrap();
    for name in &names {
        let array: ArrayD<u8> = expected.by_name(name).unwrap();
        let (file, options) = name.trim_end_matches(".npy").rsplit_once(':').unwrap();
        check(file, options, &array.iter().map(|&count| f32::from(count)).collect::<Vec<_>>());
    }
    assert_eq!(names.len(), 34);
}

#[test]
fn frames_are_those_of_spikingjelly() {
    let mut expected = NpzReader::new(File::open(golden().join("jelly.npz")).unwrap()).unwrap();
    let names = expected.names().unwrap();
    let shapes: Vec<String> = names.iter().filter_map(|name| Some(name.strip_suffix("|shape")?.into())).collect();
    for name in &shapes {
        let shape: ArrayD<i64> = expected.by_name(&format!("{name}|shape")).unwrap();
        let (at, counts): (ArrayD<u32>, ArrayD<u8>) =
            (expected.by_name(&format!("{name}|at")).unwrap(), expected.by_name(&format!("{name}|count")).unwrap());
        let mut frames = vec![0.0; shape.iter().product::<i64>() as usize];
        at.iter().zip(&counts).for_each(|(&at, &count)| frames[at as usize] = f32::from(count));
        let (file, options) = name.rsplit_once(':').unwrap();
        check(file, options, &frames);
    }
    assert_eq!(shapes.len(), 20);
}

#[test]
fn folders_of_frames_are_the_events_that_they_were_made_of() {
    let of = |spec: &str, split| Dataset::open(spec, &golden(), split).unwrap();
    let events = of("events:arrays?sensor=30x40&steps=4&by=count", Split::Test);
    let frames = of("frames:frames", Split::Test);
    assert_eq!(events.fingerprint().unwrap(), frames.fingerprint().unwrap());
    assert_ne!(frames.fingerprint().unwrap(), of("frames:frames", Split::Train).fingerprint().unwrap());
}

#[test]
fn labels_and_shapes_are_the_sets_own() {
    let of = |spec: &str, split| Dataset::open(spec, &golden(), split).unwrap();
    let shape = |data: &Dataset| {
        let shape = data.shape();
        (
            data.frame_steps().unwrap(),
            [shape.channels, shape.height, shape.width],
            data.classes(),
            data.labels().to_vec(),
        )
    };
    let gesture = of("dvs128gesture:dvs128gesture?steps=3&downscale=4", Split::Test);
    assert_eq!(shape(&gesture), (3, [2, 32, 32], 11, vec![0, 10]));
    let shd = of("shd:shd?steps=10&step_us=100000&downscale=5", Split::Train);
    assert_eq!(shape(&shd), (10, [140, 1, 1], 20, vec![0, 1, 2, 0, 1, 19]));
    let said: Vec<String> = shd.notices().collect();
    assert!(said.len() == 1 && said[0].contains("1 recordings have no event"), "{said:?}");
    assert_eq!(of("ssc:ssc?steps=10&step_us=100000&crop=1x600&downscale=6", Split::Test).shape().channels, 100);
    let dvs = of("cifar10dvs:cifar10dvs?steps=2&crop=96x64&downscale=32&test=0.5", Split::Train);
    assert_eq!(shape(&dvs), (2, [2, 3, 2], 2, vec![0, 1]));
    assert!(dvs.notices().any(|notice| notice.contains("beside what `crop` keeps")));
    assert!(Dataset::has_splits("cifar10dvs:cifar10dvs?test=0.5", &golden()).unwrap());
    assert!(!Dataset::has_splits("cifar10dvs:cifar10dvs", &golden()).unwrap());
    let short = of("nmnist:nmnist?steps=2&step_us=1000", Split::Train);
    assert!(short.notices().any(|notice| notice.contains("%) lie outside the steps")));
}

#[test]
fn a_cache_holds_what_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let spec = |options: &str| format!("nmnist:nmnist?steps=2&step_us=1000{options}&cache={}", folder.path().display());
    let open = |options: &str| Dataset::open(&spec(options), &golden(), Split::Train).unwrap();
    let files = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<PathBuf> = names.filter(|path| path.extension().unwrap() == "records").collect();
        names.sort();
        names
    };
    let first = open("");
    let notices: Vec<String> = first.notices().collect();
    let kept = files();
    assert_eq!(kept.len(), 1);
    let again = open("");
    assert_eq!(first.fingerprint().unwrap(), again.fingerprint().unwrap());
    assert_eq!(again.notices().collect::<Vec<_>>(), notices);
    assert_eq!(files(), kept);
    // Whatever changes a frame has a file of its own.
    for (count, options) in [(2, "&downscale=2"), (3, "&most=1"), (4, "&crop=32"), (5, "&start_us=0")] {
        open(options);
        assert_eq!(files().len(), count, "{options}");
    }
    Dataset::open(&spec(""), &golden(), Split::Test).unwrap();
    assert_eq!(files().len(), 6);
    // One that is damaged is made anew.
    let whole = fs::read(&kept[0]).unwrap();
    let changed = [&whole[..20], &[whole[20] ^ 1], &whole[21..]].concat();
    for damaged in [&whole[..whole.len() - 1], &changed, &[1, 2, 3]] {
        fs::write(&kept[0], damaged).unwrap();
        assert_eq!(open("").fingerprint().unwrap(), first.fingerprint().unwrap());
        assert_eq!(fs::read(&kept[0]).unwrap(), whole);
    }
    // The cache may lie within the set, and sets of the same names are told apart.
    let [one, two] = ["one", "two"].map(|name| {
        let to = folder.path().join(name).join("set");
        common::copy_folder(&golden().join("arrays"), &to);
        to
    });
    let spec = "events:.?sensor=30x40&steps=2&cache=cache";
    let count = |at: &Path| fs::read_dir(at.join("cache")).unwrap().count();
    for _ in 0..3 {
        Dataset::open(spec, &one, Split::Test).unwrap();
        assert_eq!(count(&one), 1);
    }
    let shared = format!("events:.?sensor=30x40&steps=2&cache={}", one.join("cache").display());
    Dataset::open(&shared, &two, Split::Test).unwrap();
    assert_eq!(count(&one), 2);
}

#[test]
fn options_that_do_not_fit_are_named() {
    let says = |spec: &str, expected: &str| {
        let said = Dataset::open(spec, &golden(), Split::Test).unwrap_err().to_string();
        assert!(said.contains(expected), "{spec}: {said}");
    };
    says("nmnist:nmnist", "steps: is missing");
    says("nmnist:nmnist?steps=0", "expected a whole number from 1");
    says("nmnist:nmnist?steps=2&by=size", "expected time or count");
    says("nmnist:nmnist?steps=2&by=time&step_us=4", "expected one of them");
    says("nmnist:nmnist?steps=2&start_us=4", "expected both");
    says("nmnist:nmnist?steps=2&downscale=4", "4 does not divide 34 rows");
    says("nmnist:nmnist?steps=2&crop=35", "the sensor has 34 rows");
    says("nmnist:nmnist?steps=2&stepus=35", "did you mean `step_us`");
    says("nmnist:nmnist?steps=2&steps=3", "is given twice");
    says("nmnist:nmnist?steps=2&test=0.5", "Test/ is there for testing");
    says("events:arrays?steps=2", "sensor: is missing");
    says("events:arrays?steps=2&sensor=20x40", "expected them below 40, 20 and 2");
    says("frames:frames?steps=4", "no such option");
    says("nmnist:nmnist?steps=2&cache=", "expected a folder");
    says("events:arrays?steps=65536&sensor=16384x16384", "of memory");
    says("shd:nmnist?steps=2", "shd_test.h5");
    says("dvs128gesture:nmnist?steps=2", "trials_to_test.txt");
}

/// A copy of a golden folder.
fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    common::copy_folder(&golden().join(name), &folder.path().join(name));
    folder
}

#[test]
fn damaged_files_are_named_with_the_place() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let cases: BTreeMap<&str, (&str, Damage, &str)> = BTreeMap::from([
        (
            "nmnist/Test/1/00001.bin",
            ("nmnist:nmnist?steps=2", (|b| b[..b.len() - 1].to_vec()) as Damage, "events of 5 bytes"),
        ),
        (
            "nmnist/Test/0/00001.bin",
            (
                "nmnist:nmnist?steps=2",
                |mut b| {
                    b[0] = 34;
                    b
                },
                "event 0 is at column 34",
            ),
        ),
        (
            "cifar10dvs/airplane/cifar10_airplane_0.aedat",
            ("cifar10dvs:cifar10dvs?steps=2", |b| b[..b.len() - 3].to_vec(), "events of 8 bytes"),
        ),
        (
            "cifar10dvs/airplane/cifar10_airplane_1.aedat",
            ("cifar10dvs:cifar10dvs?steps=2", |b| b[2..].to_vec(), "#!AER-DAT2.0"),
        ),
        (
            "dvs128gesture/user24_led.aedat",
            (
                "dvs128gesture:dvs128gesture?steps=2",
                |b| b[..b.len() - 3].to_vec(),
                "ends within the events of the packet at byte",
            ),
        ),
        (
            "dvs128gesture/user24_led_labels.csv",
            (
                "dvs128gesture:dvs128gesture?steps=2",
                |_| b"class,startTime_usec,endTime_usec\n12,0,9\n".to_vec(),
                "line 2: `12,0,9`",
            ),
        ),
        (
            "dvs128gesture/trials_to_test.txt",
            ("dvs128gesture:dvs128gesture?steps=2", |_| b"nobody.aedat\n".to_vec(), "nobody_labels.csv"),
        ),
        ("shd/shd_test.h5", ("shd:shd?steps=2", |b| b[..b.len() / 2].to_vec(), "shd_test.h5")),
        (
            "arrays/test/left/1.npz",
            ("events:arrays?steps=2&sensor=30x40", |b| b[..b.len() / 2].to_vec(), "expected an npz archive"),
        ),
        (
            "arrays/train/left/1.npy",
            ("events:arrays?steps=2&sensor=30x40", |b| b[..b.len() - 1].to_vec(), "elements of 13 bytes"),
        ),
        ("frames/test/left/1.npz", ("frames:frames", |b| b[..b.len() / 2].to_vec(), "expected an npz archive")),
    ]);
    for (file, (spec, damage, expected)) in cases {
        let folder = copied(file.split('/').next().unwrap());
        let path = folder.path().join(file);
        fs::write(&path, damage(fs::read(&path).unwrap())).unwrap();
        let split = if file.contains("train") { Split::Train } else { Split::Test };
        let said = Dataset::open(spec, folder.path(), split).unwrap_err().to_string();
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        assert!(said.contains(expected) && (said.contains(name) || file.ends_with(".txt")), "{file}: {said}");
    }
}

/// Trains a shipped model on events, and returns the accuracy on the test half in percent.
fn trained(model: &str, config: &str, folder: &Path) -> f64 {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(model);
    let file = folder.join("train.toml");
    fs::write(&file, format!("model = \"{}\"\n{config}", model.display())).unwrap();
    let said = folder.join("said.json");
    let run = assert_cmd::cargo::cargo_bin_cmd!("crosspike")
        .arg("train")
        .arg(&file)
        .arg("--out")
        .arg(folder.join("out"))
        .arg("--json")
        .arg(&said)
        .output();
    let run = run.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let said: serde_json::Value = serde_json::from_slice(&fs::read(said).unwrap()).unwrap();
    said["test"]["accuracy"].as_f64().unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn words_train_the_recurrent_model() {
    let folder = copied("words");
    let config = "data = \"shd:words?steps=20&step_us=50000&downscale=10&most=1\"\n\
        [train]\nepochs = 12\nbatch = 16\noptimiser = \"adamw\"\nlearning_rate = 0.005\n";
    let shape = "steps = 20\nclasses = 20\ninput = { channels = 70, height = 1, width = 1 }\n";
    let model = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recurrent.toml")).unwrap();
    let changed: Vec<&str> =
        model.lines().filter(|line| !["steps", "classes", "input"].iter().any(|key| line.starts_with(key))).collect();
    let at = folder.path().join("recurrent.toml");
    fs::write(&at, format!("{shape}{}", changed.join("\n"))).unwrap();
    let accuracy = trained(at.to_str().unwrap(), config, folder.path());
    assert!(accuracy > 90.0, "{accuracy} %");
}

/// The events of a bar that moves along one of four ways over a sensor of 34 x 34 pixels.
fn bar(class: usize, number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for step in 0..28u32 {
        let along = if class < 2 { 3 + step } else { 30 - step };
        for i in 0..8 {
            let across = 5 + 3 * i + (number as u32 + step) % 3;
            let (x, y) = if class.is_multiple_of(2) { (along, across) } else { (across, along) };
            let time = 4000 * step + 37 * i + number as u32;
            let polarity = ((i + step) % 2) as u8;
            bytes.extend([x as u8, y as u8, polarity << 7 | (time >> 16) as u8, (time >> 8) as u8, time as u8]);
        }
    }
    bytes
}

#[test]
fn recordings_train_a_convolutional_model() {
    let folder = tempfile::tempdir().unwrap();
    for (half, count) in [("Train", 24), ("Test", 8)] {
        for class in 0..4 {
            let at = folder.path().join(format!("bars/{half}/{class}"));
            fs::create_dir_all(&at).unwrap();
            (0..count).for_each(|number| {
                fs::write(at.join(format!("{number:05}.bin")), bar(class, 3 * number + usize::from(half == "Test")))
                    .unwrap()
            });
        }
    }
    let model = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fashion.toml")).unwrap();
    let model = model.replace("channels = 1,", "channels = 2,").replace("classes = 10", "classes = 4");
    let at = folder.path().join("conv.toml");
    fs::write(&at, model).unwrap();
    let config = "data = \"nmnist:bars?steps=8&crop=28&most=1\"\n\
        [train]\nepochs = 6\nbatch = 16\noptimiser = \"adamw\"\nlearning_rate = 0.002\naugment = true\npadding = \
        2\nflip = false\n";
    let accuracy = trained(at.to_str().unwrap(), config, folder.path());
    assert!(accuracy > 90.0, "{accuracy} %");
}
