//! Whatever determines a training's result is in its name: each thing is changed alone, and the name has to change. (Of
//! trials, `study::case` does the same; of the keys of profiles and models, `tests/effect.rs`.)

use std::path::Path;

use crosspike::checkpoint::{Checkpoint, Values};
use crosspike::config::{Document, Overrides};
use crosspike::network::companion::CompanionWeights;
use crosspike::network::{Model, Network};
use crosspike::profile::{Combine, CompanionForm, Scheme};
use crosspike::train::job::Job;
use serde_json::Value;

const MODEL: &str =
    "name = \"m\"\nsteps = 2\nclasses = 10\ninput = { channels = 1, height = 8, width = 8 }\nlayers = [{ conv = 4 }]\n";
const PROFILE: &str =
    "[rram]\nweight_bits = 4\n[rram.variation]\nkind = \"lognormal\"\nsigma = 0.2\n[sram]\nbits = 3\n";
const TRAIN: &str = "model = \"m.toml\"\nprofile = \"p.toml\"\ndata = \"digits\"\ninit = \"c.safetensors\"\n\
                     [train]\nstage = \"sram\"\nlimit = 64\n[prune]\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in [("m.toml", MODEL), ("p.toml", PROFILE), ("t.toml", TRAIN)] {
            folder.write(name, text);
        }
        folder.checkpoint(|_| {});
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Writes the hybrid that is trained from, changed.
    fn checkpoint(&self, change: impl FnOnce(&mut Checkpoint)) {
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), MODEL.into()).unwrap()).unwrap();
        let mut network = Network::xavier(&model, 3);
        let latent = network.layers[0].rram.clone();
        network.layers[0].sram = Some(CompanionWeights { kept: Some(vec![true; latent.len()]), latent });
        network.form = Some(CompanionForm { scheme: Scheme::Integer, combine: Combine::Sum });
        let mut checkpoint = network.to_checkpoint(&model, Value::Null);
        change(&mut checkpoint);
        checkpoint.write(&self.0.path().join("c.safetensors")).unwrap();
    }

    fn job(&self, set: &[&str]) -> Job {
        let mut document = Document::read(&self.0.path().join("t.toml")).unwrap();
        set.iter().for_each(|assignment| document.set(assignment).unwrap());
        Job::read(&document, &Overrides::default()).unwrap()
    }

    fn name(&self, set: &[&str]) -> String {
        self.job(set).origin().to_string()
    }
}

/// Another value of every key of `[train]` and `[prune]`, with what it needs beside it.
const KEYS: &[(&str, &[&str])] = &[
    ("train.epochs", &["train.epochs=3"]),
    ("train.batch", &["train.batch=32"]),
    ("train.learning_rate", &["train.learning_rate=0.2"]),
    ("train.optimiser", &["train.optimiser=adamw"]),
    ("train.momentum", &["train.momentum=0.5"]),
    ("train.betas", &["train.betas=[0.8, 0.9]"]),
    ("train.schedule", &["train.schedule=cosine"]),
    ("train.warmup", &["train.warmup=2"]),
    ("train.surrogate", &["train.surrogate.width=2.0"]),
    ("train.loss", &["train.loss=steps"]),
    ("train.label_smoothing", &["train.label_smoothing=0.1"]),
    ("train.rates", &["train.rates=[0.5, 0.1]"]),
    ("train.rate_penalty", &["train.rate_penalty=0.1"]),
    ("train.weight_decay", &["train.weight_decay=0.0"]),
    ("train.milestones", &["train.milestones=[0.1]"]),
    ("train.limit", &["train.limit=32"]),
    ("train.validation", &["train.validation=0.5"]),
    ("train.shuffle", &["train.shuffle=false"]),
    ("train.augment", &["train.augment=true"]),
    ("train.padding", &["train.augment=true", "train.padding=2"]),
    ("train.flip", &["train.augment=true", "train.flip=false"]),
    ("train.gradient_bits", &["train.gradient_bits=23"]),
    ("train.seed", &["train.seed=2"]),
    ("train.variation", &["train.variation=true"]),
    ("train.chip", &["train.chip=0"]),
    ("train.shifts", &["train.shifts=[1]"]),
    ("prune.threshold", &["prune.threshold=0.1"]),
    ("prune.group", &["prune.group=2"]),
    ("prune.lambda", &["prune.lambda=0.1"]),
    ("prune.ratio", &["prune.ratio=2.0"]),
    ("prune.skip_first", &["prune.skip_first=false"]),
];

#[test]
fn every_key_of_a_training_is_in_its_name() {
    let schema: Value = serde_json::from_str(include_str!("../schemas/train.json")).unwrap();
    let of = |section: &str, at: &str| -> Vec<String> {
        schema["$defs"][section]["properties"].as_object().unwrap().keys().map(|key| format!("{at}.{key}")).collect()
    };
    let mut known = [of("Hyperparameters", "train"), of("Prune", "prune")].concat();
    // Without the keys of the other stage; see below.
    known.retain(|key| key != "train.stage");
    let mut tried: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
    known.sort_unstable();
    tried.sort_unstable();
    assert_eq!(tried, known);
    let folder = Folder::new();
    for (key, set) in KEYS {
        assert_ne!(folder.name(set), folder.name(&[]), "{key}");
    }
    let rram = Folder::new();
    rram.write("t.toml", "model = \"m.toml\"\nprofile = \"p.toml\"\ndata = \"digits\"\n");
    let (plain, plain_from) = (rram.name(&[]), rram.0.path().join("plain.safetensors"));
    let model = Model::read(&rram.0.path().join("m.toml"), &[]).unwrap();
    Network::xavier(&model, 1).to_checkpoint(&model, Value::Null).write(&plain_from).unwrap();
    rram.write("t.toml", "model = \"m.toml\"\nprofile = \"p.toml\"\ndata = \"digits\"\ninit = \"plain.safetensors\"\n");
    assert!(rram.name(&["train.stage=sram"]) != rram.name(&[]) && plain != rram.name(&["train.stage=sram"]));
}

#[test]
fn files_that_a_training_names_are_in_its_name_by_their_contents() {
    let of = |change: &dyn Fn(&Folder)| {
        let folder = Folder::new();
        change(&folder);
        folder.name(&[])
    };
    let same = of(&|_| {});
    let tensor = |name: &'static str| {
        move |folder: &Folder| {
            folder.checkpoint(|checkpoint| match &mut checkpoint.tensors.get_mut(name).unwrap().values {
                Values::F32(values) => values[0] += 0.5,
                Values::I64(values) => values[0] += 1,
                Values::U8(values) => values[0] ^= 1,
            })
        }
    };
    for name in [
        "conv1.weight",
        "conv1.WR",
        "conv1.mask",
        "bntt1.1.weight",
        "bntt1.1.running_mean",
        "bntt1.1.running_var",
        "bntt1.1.num_batches_tracked",
        "fc1.weight",
    ] {
        assert_ne!(of(&tensor(name)), same, "{name}");
    }
    let form = |form: &'static str| {
        move |folder: &Folder| {
            folder.checkpoint(|checkpoint| {
                checkpoint.metadata["companion"] = serde_json::from_str(form).unwrap();
            })
        }
    };
    let forms = [r#"{"scheme": "uniform", "combine": "sum"}"#, r#"{"scheme": "integer", "combine": "average"}"#];
    for text in forms {
        assert_ne!(of(&form(text)), same, "how the companion array was trained: {text}");
    }
    assert_ne!(of(&|folder| folder.checkpoint(|checkpoint| checkpoint.metadata = Value::Null)), same);
    assert_ne!(of(&|folder| folder.write("m.toml", &MODEL.replace("steps = 2", "steps = 2\nneuron.leak = 0.5"))), same);
    assert_ne!(of(&|folder| folder.write("p.toml", &PROFILE.replace("sigma = 0.2", "sigma = 0.3"))), same);
    assert_ne!(of(&|folder| folder.write("t.toml", &format!("encoding = \"direct\"\n{TRAIN}"))), same);
}
