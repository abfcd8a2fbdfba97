//! State dicts of other tools find their places in a model, and the network is the one that they were of: spike for
//! spike, and logits to 1e-4; what finds no place is listed at once.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crosspike::checkpoint::{Checkpoint, Tensor, Values};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state_dicts")
}

fn import(input: &Path, folder: &Path, args: &[&str]) -> Output {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("crosspike");
    command.current_dir(input.parent().unwrap()).arg("import").arg(input).arg(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The weights of a case, and what `import` is told of them.
fn case(name: &str) -> (PathBuf, Vec<String>) {
    let folder = golden().join(name);
    let weights = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let weights = weights.into_iter().find(|path| path.file_stem().unwrap() == "weights").unwrap();
    let args = fs::read_to_string(folder.join("args")).unwrap();
    (weights, args.lines().map(String::from).collect())
}

const CASES: [&str; 10] =
    ["sew", "plif", "torchvision", "table", "snntorch", "norm_first", "apart", "zero_based", "offset", "tail"];

#[test]
fn networks_of_other_tools_are_what_they_were() {
    for name in CASES {
        let (weights, args) = case(name);
        let out = tempfile::tempdir().unwrap();
        let args: Vec<&str> = args.iter().map(String::as_str).chain(["--verify", "recorded.npz"]).collect();
        let run = import(&weights, &out.path().join("net"), &args);
        let (said, complained) = (text(&run.stdout), text(&run.stderr));
        assert!(run.status.success(), "{name}: {complained}");
        assert!(said.contains("all the same") && !said.contains("differ"), "{name}: {said}");
        assert!(said.contains("logits: "), "{name}: {said}");
        // What was written is read again, and runs on a chip.
        let infer = assert_cmd::cargo::cargo_bin_cmd!("crosspike")
            .args(["map", "--model"])
            .arg(out.path().join("net/model.toml"))
            .args(["--profile", concat!(env!("CARGO_MANIFEST_DIR"), "/hw_profiles/rram_4bit.toml")])
            .output()
            .unwrap();
        assert!(infer.status.success(), "{name}: {}", text(&infer.stderr));
    }
}

/// A value of the formula that the golden's weights are made by.
fn formula(name: &str, place: usize, scale: f64) -> f32 {
    let seed: u64 = name.bytes().enumerate().map(|(i, byte)| (i as u64 + 1) * u64::from(byte)).sum();
    let mut z =
        (place as u64).wrapping_add(seed.wrapping_mul(1 << 32)).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let unit = (z >> 40) as f64 / f64::from(1 << 24);
    (((2.0 * unit - 1.0) * scale * 256.0).floor() / 256.0) as f32
}

#[test]
fn spikesims_vgg9_is_what_it_was() {
    let shapes = [
        ("conv1", vec![64, 3, 3, 3]),
        ("conv2", vec![64, 64, 3, 3]),
        ("conv3", vec![128, 64, 3, 3]),
        ("conv4", vec![128, 128, 3, 3]),
        ("conv5", vec![256, 128, 3, 3]),
        ("conv6", vec![256, 256, 3, 3]),
        ("conv7", vec![256, 256, 3, 3]),
        ("fc1", vec![1024, 4096]),
        ("fc2", vec![10, 1024]),
    ];
    let mut checkpoint = Checkpoint::default();
    for (layer, shape) in shapes {
        let name = format!("{layer}.weight");
        let scale = SCALE / (shape[1..].iter().product::<usize>() as f64).sqrt();
        let values = (0..shape.iter().product()).map(|place| formula(&name, place, scale)).collect();
        // As DataParallel names them.
        checkpoint.tensors.insert(format!("module.{name}"), Tensor { shape, values: Values::F32(values) });
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("vgg9.safetensors");
    checkpoint.write(&weights).unwrap();
    let recorded = golden().join("spikesim/recorded.npz");
    let run = import(
        &weights,
        &folder.path().join("net"),
        &["--as", "spikesim_vgg9", "--verify", recorded.to_str().unwrap()],
    );
    let said = text(&run.stdout);
    assert!(run.status.success(), "{}", text(&run.stderr));
    for layer in ["conv1", "conv7", "fc1"] {
        let line = said.lines().find(|line| line.starts_with(&format!("{layer}: "))).unwrap();
        assert!(line.contains("all the same"), "{line}");
        assert!(!line.starts_with(&format!("{layer}: 0 ")), "{line}");
    }
}

/// The scale of `formula` in the script that made the golden.
const SCALE: f64 = 14.0;

#[test]
fn what_finds_no_place_is_listed_at_once() {
    let (weights, _) = case("sew");
    let out = tempfile::tempdir().unwrap();
    let net = out.path().join("net");
    let refused = |args: &[&str], parts: &[&str]| {
        let run = import(&weights, &net, args);
        let said = text(&run.stderr);
        assert!(!run.status.success() && parts.iter().all(|part| said.contains(part)), "{args:?}: {said}");
        assert!(!net.exists());
    };
    // A network with wider layers, without norms, without a bias.
    let model = fs::read_to_string(golden().join("sew/model.toml")).unwrap();
    let wider = model.replace("conv = 16, from", "conv = 24, from").replace("norm = \"batch\"", "norm = \"none\"");
    let wider =
        wider.replace("channels = 16, kernel", "channels = 24, kernel").replace("readout = { bias = true }\n", "");
    let other = out.path().join("other.toml");
    fs::write(&other, wider).unwrap();
    refused(
        &["--as", other.to_str().unwrap()],
        &[
            "do not fit",
            "`bn1.weight` [8] has no place",
            "`layer2.conv2.weight` [16, 16, 3, 3]",
            "`b2.weight` [24, 16, 3, 3] of the model has no tensor",
            "`fc.bias`",
        ],
    );
    refused(&["--as", "vgg7"], &["`vgg7` is no model", "vgg9"]);
    refused(&["--map", "map.toml"], &["--as <MODEL>"]);
    refused(&["--as", "model.toml", "--set", "rram.weight_bits=2"], &["expected a key of the model"]);
    refused(&["--as", "model.toml", "--dt", "1"], &["--dt is of NIR files"]);
    refused(&["--verify", "recorded.npz"], &["expected --as MODEL"]);
    let table = out.path().join("map.toml");
    for (text, parts) in [
        ("\"nothing.weight\" = \"stem.weight\"", &["map.toml", "`nothing.weight`", "has not"][..]),
        (
            "\"conv1.weight\" = \"a1.weight\"",
            &["`conv1.weight` has the shape [8, 3, 3, 3]; `a1.weight` takes [8, 8, 3, 3]"],
        ),
        ("conv1.weight = \"a1.weight\"", &["map.toml", "NAME in quotes"]),
        ("\"fc\" = \"\"", &["of the model has no tensor"]),
        ("\"conv1.weight\" = { to = \"stem.weight\", rule = \"half\" }", &["map.toml"]),
    ] {
        fs::write(&table, text).unwrap();
        refused(&["--as", "model.toml", "--map", table.to_str().unwrap()], parts);
    }
}

#[test]
fn logits_count_where_a_few_spikes_differ() {
    let (weights, args) = case("sew");
    let out = tempfile::tempdir().unwrap();
    let mut npz = ndarray_npy::NpzReader::new(fs::File::open(golden().join("sew/recorded.npz")).unwrap()).unwrap();
    let names = npz.names().unwrap();
    let write = |file: &str, factor: f32, npz: &mut ndarray_npy::NpzReader<fs::File>| {
        let path = out.path().join(file);
        let mut changed = ndarray_npy::NpzWriter::new(fs::File::create(&path).unwrap());
        for name in &names {
            if name.starts_with("spikes") {
                let mut spikes: ndarray::Array2<i64> = npz.by_name(name).unwrap();
                spikes[(0, 0)] += i64::from(name == "spikes.stem");
                changed.add_array(name, &spikes).unwrap();
            } else {
                let values: ndarray::ArrayD<f32> = npz.by_name(name).unwrap();
                let factor = if name == "logits" { factor } else { 1.0 };
                changed.add_array(name, &values.mapv(|value| value * factor)).unwrap();
            }
        }
        changed.finish().unwrap();
        path
    };
    let run = |path: &Path| {
        let args: Vec<&str> =
            args.iter().map(String::as_str).chain(["--verify", path.to_str().unwrap(), "--force"]).collect();
        let run = import(&weights, &out.path().join("net"), &args);
        (run.status.success(), text(&run.stderr))
    };
    // One spike that a rounding may have decided is said; other logits are another network.
    assert!(run(&write("near.npz", 1.0, &mut npz)).0);
    for (file, factor, expected) in
        [("far.npz", -100.0, "not the recorded one"), ("none.npz", f32::NAN, "expected numbers")]
    {
        let (done, said) = run(&write(file, factor, &mut npz));
        assert!(!done && said.contains(expected), "{said}");
    }
}

#[test]
fn another_network_is_not_written() {
    for (name, set) in [
        ("sew", "model.neuron.threshold=1.5"),
        ("torchvision", "model.neuron.reset=subtract"),
        ("snntorch", "model.neuron.reset_at=spike"),
    ] {
        let (weights, args) = case(name);
        let out = tempfile::tempdir().unwrap();
        let args: Vec<&str> =
            args.iter().map(String::as_str).chain(["--set", set, "--verify", "recorded.npz"]).collect();
        let run = import(&weights, &out.path().join("net"), &args);
        let said = text(&run.stderr);
        assert!(!run.status.success() && said.contains("the network is not the recorded one"), "{name}: {said}");
        assert!(said.contains("first at step"), "{name}: {said}");
        assert!(!out.path().join("net").exists(), "{name}");
    }
}
