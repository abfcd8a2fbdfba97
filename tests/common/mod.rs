//! The golden network and its results: `tests/golden/bntt`, computed by an independent PyTorch model.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod command;
pub mod trained;

use std::fs::File;
use std::path::{Path, PathBuf};

use crosspike::checkpoint::Checkpoint;
use crosspike::chip::{Blueprint, Chip};
use crosspike::data::{Dataset, Split};
use crosspike::engine::{Engine, Outcome};
use crosspike::network::{Batch, Encoder, Encoding, Inputs, Model, Network};
use crosspike::profile::Profile;
use ndarray::{ArrayD, IxDyn};
use ndarray_npy::NpzReader;

/// A file of the golden folder.
pub fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bntt").join(file)
}

/// An array of `expected.npz`.
pub fn expected(name: &str) -> ArrayD<f32> {
    let mut npz = NpzReader::new(File::open(golden("expected.npz")).unwrap()).unwrap();
    npz.by_name::<ndarray::OwnedRepr<f32>, IxDyn>(name).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The golden network's shape.
pub fn model() -> Model {
    Model::read(&golden("model.toml"), &[]).unwrap()
}

/// A checkpoint of the golden folder.
pub fn network(file: &str) -> Network {
    Network::from_checkpoint(&model(), &Checkpoint::read(&golden(file)).unwrap()).unwrap()
}

/// The ideal profile with overrides.
pub fn profile(overrides: &[&str]) -> Profile {
    Profile::ideal(&overrides.iter().map(|o| o.to_string()).collect::<Vec<_>>()).unwrap()
}

/// All images of a golden data file, such as `frames:frames.npz`, with their labels.
pub fn batch(spec: &str) -> (Batch, Vec<u32>) {
    let data = Dataset::open(spec, &golden(""), Split::Test).unwrap();
    let size = data.shape().len() * data.frame_steps().unwrap_or(1);
    let mut values = vec![0.0; size * data.len()];
    for (i, image) in values.chunks_mut(size).enumerate() {
        data.read(i, None, image).unwrap();
    }
    (Batch { values, indices: (0..data.len() as u32).collect() }, data.labels().to_vec())
}

/// Runs chip 0 of seed 1 on a batch.
pub fn run(engine: &dyn Engine, network: &Network, profile: &Profile, encoding: Encoding, batch: &Batch) -> Outcome {
    let model = model();
    let blueprint = Blueprint::new(profile, &model, network, encoding, 1).unwrap();
    let chip = Chip::program(&blueprint, 0).unwrap();
    let encoder = Encoder::new(encoding, model.input, 1, 0);
    let inputs = Inputs::new(encoder, batch.clone(), model.steps);
    engine.load(&[chip]).unwrap().run(&inputs).unwrap().remove(0)
}

/// One golden evaluation.
pub struct Case {
    /// Its logits in `expected.npz`.
    pub logits: String,
    /// The prefix of its spike counts there, where it has any.
    pub counts: Option<String>,
    checkpoint: &'static str,
    profile: Profile,
    data: &'static str,
    encoding: Encoding,
}

impl Case {
    fn on_frames(logits: String, counts: Option<String>, checkpoint: &'static str, overrides: &[&str]) -> Self {
        let (profile, encoding) = (profile(overrides), Encoding::Frames);
        Case { logits, counts, checkpoint, profile, data: "frames:frames.npz", encoding }
    }
}

/// The golden quantisers: name, scheme, bits.
pub const QUANTISERS: [(&str, &str, u32); 8] = [
    ("bits1", "uniform", 1),
    ("bits2", "uniform", 2),
    ("bits3", "uniform", 3),
    ("bits4", "uniform", 4),
    ("bits8", "uniform", 8),
    ("ternary", "ternary", 0),
    ("dorefa4", "dorefa", 4),
    ("integer4", "integer", 4),
];

/// Every golden evaluation.
pub fn evaluations() -> Vec<Case> {
    let plain = "checkpoint.safetensors";
    let mut cases: Vec<Case> = [plain, "checkpoint.pth.tar"]
        .map(|file| Case::on_frames("logits.frames".into(), Some("count".into()), file, &[]))
        .into();
    cases.push(Case {
        logits: "logits.direct".into(),
        counts: None,
        checkpoint: plain,
        profile: profile(&[]),
        data: "images:images.npz",
        encoding: Encoding::Direct,
    });
    for (name, scheme, bits) in QUANTISERS {
        let overrides = [format!("rram.weight_bits={bits}"), format!("rram.scheme={scheme}")];
        let (logits, counts) = (format!("logits.frames.{name}"), Some(format!("count.{name}")));
        cases.push(Case::on_frames(logits, counts, plain, &[&overrides[0], &overrides[1]]));
    }
    for shift in [-1, 0, 2] {
        for file in ["hybrid.safetensors", "hybrid.pth.tar"] {
            let overrides = ["rram.weight_bits=4", "sram.bits=2", &format!("sram.shift={shift}")];
            cases.push(Case::on_frames(format!("logits.hybrid.r4s2.shift{shift}"), None, file, &overrides));
        }
    }
    cases
}

/// Holds an engine to every golden evaluation: logits to 1e-4, spike counts exactly.
pub fn meets_the_goldens(engine: &dyn Engine) {
    let mut failures = Vec::new();
    for Case { logits, counts, checkpoint, profile, data, encoding } in evaluations() {
        let outcome = run(engine, &network(checkpoint), &profile, encoding, &batch(data).0);
        let expected_logits = expected(&logits);
        assert_eq!(outcome.logits.shape(), expected_logits.shape(), "{logits}");
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4;
        if !outcome.logits.iter().zip(expected_logits.iter()).all(near) {
            failures.push(format!("{logits} from {checkpoint}: {:?}, expected {expected_logits:?}", outcome.logits));
        }
        for (layer, spikes) in outcome.counts.spikes.iter().take(3).enumerate() {
            let Some(prefix) = &counts else { continue };
            let golden = expected(&format!("{prefix}.spikes.conv{}", layer + 1));
            let golden: Vec<u64> = golden.iter().map(|c| *c as u64).collect();
            if *spikes != golden {
                failures.push(format!("{logits}, conv{}: spikes {spikes:?}, expected {golden:?}", layer + 1));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy_folder(&entry, &to) } else { std::fs::copy(&entry, &to).map(drop).unwrap() }
    }
}
