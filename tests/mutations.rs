//! Every parser holds: a real file whose bytes were changed, cut, moved or repeated is read or refused with a message,
//! without a panic and without an allocation that its own size does not explain.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crosspike::checkpoint::Checkpoint;
use crosspike::config::Document;
use crosspike::data::{Dataset, Split};
use crosspike::error::Result;
use crosspike::network::Model;
use crosspike::profile::Profile;
use crosspike::study::recipe::RecipeFile;
use crosspike::study::sweep::SweepFile;
use crosspike::train::config::TrainFile;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The system's allocator, which remembers the largest request.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Watched = Watched;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A change to a file; places are shares of its length.
#[derive(Clone, Debug)]
enum Change {
    Byte(f64, u8),
    Bit(f64, u8),
    Cut(f64),
    Remove(f64, usize),
    Repeat(f64, usize),
    /// Eight bytes that say much as a length, in either order.
    Length(f64, u64, bool),
}

fn change() -> impl Strategy<Value = Change> {
    let place = 0.0..1.0f64;
    prop_oneof![
        4 => (place.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        4 => (place.clone(), 0..8u8).prop_map(|(at, bit)| Change::Bit(at, bit)),
        1 => place.clone().prop_map(Change::Cut),
        1 => (place.clone(), 1..64usize).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (place.clone(), 1..64usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        2 => (place, prop_oneof![Just(u64::MAX), Just(1 << 40), Just(1 << 31), any::<u64>()], any::<bool>())
            .prop_map(|(at, length, big)| Change::Length(at, length, big)),
    ]
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        let at = |share: &f64| ((share * length as f64) as usize).min(length - 1);
        match change {
            Change::Byte(share, byte) => bytes[at(share)] = *byte,
            Change::Bit(share, bit) => bytes[at(share)] ^= 1 << bit,
            Change::Cut(share) => bytes.truncate(at(share)),
            Change::Remove(share, count) => {
                let first = at(share);
                bytes.drain(first..bytes.len().min(first + count));
            }
            Change::Repeat(share, count) => {
                let first = at(share);
                let some = bytes[first..bytes.len().min(first + count)].to_vec();
                bytes.splice(first..first, some);
            }
            Change::Length(share, length, big) => {
                let first = at(share);
                let length = if *big { length.to_be_bytes() } else { length.to_le_bytes() };
                let end = bytes.len().min(first + 8);
                bytes[first..end].copy_from_slice(&length[..end - first]);
            }
        }
    }
    bytes
}

/// Changes the file again and again; `parse` reads it where it stands, beside what else its folder holds.
fn holds(cases: u32, file: &Path, parse: impl Fn(&Path) -> Result<()>) {
    holds_within(256, cases, file, parse);
}

/// The same, of a file of which a byte may stand for so many.
fn holds_within(packed: usize, cases: u32, file: &Path, parse: impl Fn(&Path) -> Result<()>) {
    let bytes = fs::read(file).unwrap();
    let what = file.display().to_string();
    assert!(parse(file).is_ok(), "{what} as it is: {:?}", parse(file).err());
    // A compressed byte stands for many, a number in text for few; what reads archives makes room for as many entries
    // as they claim, at most one a byte, of some 130 bytes each.
    let allowed = packed * bytes.len() + (4 << 20);
    let config = Config { failure_persistence: None, ..Config::with_cases(4 * cases) };
    // The same cases every time, and others where asked for.
    let mut runner = match std::env::var("CROSSPIKE_MUTATE_AT_RANDOM") {
        Ok(_) => TestRunner::new(config),
        Err(_) => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&prop::collection::vec(change(), 1..6), |changes| {
        fs::write(file, changed(&bytes, &changes)).unwrap();
        LARGEST.store(0, Ordering::Relaxed);
        if let Err(error) = parse(file) {
            prop_assert!(!error.to_string().is_empty());
        }
        let largest = LARGEST.load(Ordering::Relaxed);
        prop_assert!(largest <= allowed, "{what}: allocates {largest} bytes at once for {}", bytes.len());
        Ok(())
    });
    fs::write(file, bytes).unwrap();
    outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// A copy of a file of the repository in a folder.
fn copy(folder: &Path, file: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let to = folder.join(from.file_name().unwrap());
    fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    to
}

/// Opens a data set and reads every image of it.
fn images(spec: &str, folder: &Path) -> Result<()> {
    half_of(spec, folder, Split::Test)
}

/// Opens a half of a data set and reads every image or series of it.
fn half_of(spec: &str, folder: &Path, split: Split) -> Result<()> {
    let data = Dataset::open(spec, folder, split)?;
    let mut image = vec![0.0; data.shape().len() * data.frame_steps().unwrap_or(1)];
    (0..data.len()).try_for_each(|i| data.read(i, None, &mut image))
}

// One test, for all threads of a process share its allocator.
#[test]
fn changed_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();

    for (file, cases) in [
        ("hw_profiles/spikesim_65nm.toml", 300),
        ("hw_profiles/rram_4bit.toml", 200),
        ("hw_profiles/pcm_joshi_2020.toml", 200),
    ] {
        holds(cases, &copy(at, file), |file| Profile::read(file, &[]).map(drop));
    }
    holds(300, &copy(at, "models/vgg9.toml"), |file| Model::read(file, &[]).map(drop));
    let of = |file: &Path| Document::read(file);
    holds(200, &copy(at, "recipes/fashion.toml"), |file| TrainFile::from_document(&of(file)?).map(drop));
    holds(300, &copy(at, "recipes/fashion_hardware_stuck.toml"), |file| SweepFile::from_document(&of(file)?).map(drop));
    holds(300, &copy(at, "recipes/fashion_recovery.toml"), |file| RecipeFile::from_document(&of(file)?).map(drop));

    for file in ["checkpoint.safetensors", "hybrid.safetensors", "checkpoint.pth.tar", "hybrid.pth.tar"] {
        holds(500, &copy(at, &format!("tests/golden/bntt/{file}")), |file| {
            let checkpoint = Checkpoint::read(file)?;
            crosspike::network::Network::from_checkpoint(&common::model(), &checkpoint).map(drop)
        });
    }
    for kind in ["images", "frames"] {
        holds(500, &copy(at, &format!("tests/golden/bntt/{kind}.npz")), |_| images(&format!("{kind}:{kind}.npz"), at));
    }

    for class in ["a", "b"] {
        fs::create_dir_all(at.join(format!("forms/{class}"))).unwrap();
    }
    for form in
        ["colour_420.jpg", "colour_444.jpg", "progressive.jpg", "grey.jpg", "colour.png", "palette.png", "deep.png"]
    {
        let file = copy(&at.join("forms/a"), &format!("tests/golden/pictures/forms/{form}"));
        copy(&at.join("forms/b"), &format!("tests/golden/pictures/forms/{form}"));
        holds(250, &file, |_| images("pictures:forms?size=16&channels=3", at));
        for class in ["a", "b"] {
            fs::remove_file(at.join(format!("forms/{class}/{form}"))).unwrap();
        }
    }
    let archive = at.join("forms.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&archive).unwrap());
    for (at, form) in ["colour_420.jpg", "colour_444.jpg", "colour.png", "palette.png"].into_iter().enumerate() {
        let name = format!("train/{}/{form}", ["a", "b"][at % 2]);
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/pictures/forms/{form}")));
        std::io::Write::write_all(&mut zip, &bytes.unwrap()).unwrap();
    }
    zip.finish().unwrap();
    holds(500, &archive, |_| images("pictures:forms.zip", at));

    for (file, spec, cases) in [
        ("nmnist/Test/1/00001.bin", "nmnist:nmnist?steps=3", 200),
        ("cifar10dvs/airplane/cifar10_airplane_0.aedat", "cifar10dvs:cifar10dvs?steps=2&downscale=16", 200),
        ("dvs128gesture/user24_led.aedat", "dvs128gesture:dvs128gesture?steps=2&downscale=16", 300),
        ("dvs128gesture/user24_led_labels.csv", "dvs128gesture:dvs128gesture?steps=2&downscale=16", 100),
        ("dvs128gesture/trials_to_test.txt", "dvs128gesture:dvs128gesture?steps=2&downscale=16", 50),
        ("shd/shd_test.h5", "shd:shd?steps=4", 1000),
        ("packed/shd_test.h5", "shd:packed?steps=4", 1000),
        ("arrays/test/left/1.npz", "events:arrays?sensor=30x40&steps=2", 300),
        ("arrays/train/left/1.npy", "events:arrays?sensor=30x40&steps=2", 300),
        ("frames/test/left/1.npz", "frames:frames", 300),
    ] {
        let set = file.split('/').next().unwrap();
        common::copy_folder(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events").join(set),
            &at.join(set),
        );
        let split = if file.contains("train/") { Split::Train } else { Split::Test };
        // Deflate packs 1,032 bytes into one, and a vector that grows has twice the room.
        let packed = if set == "packed" { 2 * 1032 } else { 256 };
        holds_within(packed, cases, &at.join(file), |_| half_of(spec, at, split));
    }
    let idx = |dims: &[u32], bytes: &[u8]| {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        file.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
        file.extend(bytes);
        file
    };
    let pixels: Vec<u8> = (0..9 * 20).map(|i| (i * 7) as u8).collect();
    let labels: Vec<u8> = (0..20).map(|i| i % 3).collect();
    fs::create_dir(at.join("idx")).unwrap();
    for (name, file) in [("images-idx3", idx(&[20, 3, 3], &pixels)), ("labels-idx1", idx(&[20], &labels))] {
        for half in ["train", "t10k"] {
            fs::write(at.join(format!("idx/{half}-{name}-ubyte")), &file).unwrap();
        }
    }
    for file in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        holds(300, &at.join("idx").join(file), |_| images("idx:idx", at));
    }
    let raw = at.join("idx/t10k-images-idx3-ubyte");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &fs::read(&raw).unwrap()).unwrap();
    fs::remove_file(&raw).unwrap();
    let zipped = raw.with_extension("gz");
    fs::write(&zipped, gzip.finish().unwrap()).unwrap();
    holds(300, &zipped, |_| images("idx:idx", at));

    fs::create_dir(at.join("cifar")).unwrap();
    let record = |i: usize| std::iter::once((i % 10) as u8).chain((0..3072).map(move |p| (p * 31 + i * 17) as u8));
    let batch: Vec<u8> = (0..5).flat_map(record).collect();
    for name in ["data_batch_1.bin", "test_batch.bin"] {
        fs::write(at.join("cifar").join(name), &batch).unwrap();
    }
    holds(200, &at.join("cifar/test_batch.bin"), |_| images("cifar10:cifar", at));
}
