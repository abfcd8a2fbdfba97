//! Other people's checkpoints: every tensor is used, known to be without effect, or named in an error; and a file that
//! is no network says what it is.

mod common;

use std::fs;
use std::path::Path;

use common::command::{crosspike, json};
use common::golden;
use crosspike::checkpoint::{Checkpoint, Tensor, Values};

/// Writes the golden network, changed.
fn write(folder: &Path, change: impl FnOnce(&mut Checkpoint)) {
    let mut checkpoint = Checkpoint::read(&golden("checkpoint.safetensors")).unwrap();
    change(&mut checkpoint);
    checkpoint.write(&folder.join("c.safetensors")).unwrap();
}

/// Whether a command succeeds, and all that it says.
fn said(folder: &Path, words: &str) -> (bool, String) {
    let output = crosspike(folder, words);
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn infer(more: &str) -> String {
    let at = golden("");
    let at = at.display();
    format!(
        "infer --model {at}/model.toml --data frames:{at}/frames.npz --backend cpu --checkpoint c.safetensors {more}"
    )
}

fn scalar(value: f32) -> Tensor {
    Tensor { shape: vec![], values: Values::F32(vec![value]) }
}

#[test]
fn no_tensor_is_dropped_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    type Case = (&'static str, Tensor, &'static str);
    let real = |values: &[f32]| Tensor { shape: vec![values.len()], values: Values::F32(values.to_vec()) };
    let whole = |values: &[i64]| Tensor { shape: vec![values.len()], values: Values::I64(values.to_vec()) };
    let refused: Vec<Case> = vec![
        ("lif1.beta", real(&[0.5]), "`lif1.beta` (0.5; the model's neuron.leak is 0.95, for every layer)"),
        ("lif1.threshold", scalar(0.7), "`lif1.threshold` (0.7; the model's neuron.threshold is 1, for every layer)"),
        ("leak_mem", scalar(0.9), "`leak_mem` (0.9; the model's neuron.leak is 0.95"),
        ("neurons.0.v_threshold", real(&[1.0, 1.0, 0.5]), "`neurons.0.v_threshold` (0.5;"),
        ("lif1.graded_spikes_factor", scalar(2.0), "`lif1.graded_spikes_factor` (2; expected 1)"),
        (
            "lif1.reset_mechanism_val",
            whole(&[1]),
            "`lif1.reset_mechanism_val` (1; expected 0, neuron.reset of the model",
        ),
        ("lif1.mem", real(&[0.0, 0.25]), "`lif1.mem` (0.25; expected 0)"),
        ("conv1.bias", real(&[0.0, 0.1]), "`conv1.bias` (0.1; expected 0, for the model has no bias there)"),
        ("bntt1.0.bias", real(&[0.1]), "`bntt1.0.bias` (0.1; expected 0, for the model has no bias there)"),
        ("input_norm.running_mean", real(&[0.3]), "`input_norm.running_mean` (no layer's)"),
        ("syn1.alpha", scalar(0.8), "`syn1.alpha` (no layer's)"),
        ("conv4.weight", real(&[0.8]), "`conv4.weight`"),
        ("conv1.weight_orig", real(&[0.8]), "`conv1.weight_orig`"),
        ("conv1.zero_point", whole(&[3]), "`conv1.zero_point`"),
        ("conv1.mask", whole(&[0; 4]), "`conv1.mask`"),
        ("conv1.weight_orig_mask", whole(&[0; 4]), "`conv1.weight_orig_mask`"),
        ("features.0.weight_mask", whole(&[0; 4]), "`features.0.weight_mask`"),
        ("quant1.shift", whole(&[2]), "`quant1.shift`"),
        ("lif1.tau", whole(&[2]), "`lif1.tau`"),
        ("q1.zp", whole(&[2]), "`q1.zp`"),
        ("v_reset", whole(&[1]), "`v_reset`"),
        ("mask1", whole(&[0; 4]), "`mask1`"),
        ("norm.mean", whole(&[1, 2]), "`norm.mean`"),
        ("bntt1.x.weight", real(&[1.0; 8]), "`bntt1.x.weight`"),
        ("bntt1.01.weight", real(&[1.0; 8]), "`bntt1.01.weight`"),
    ];
    for (name, tensor, expected) in refused {
        write(folder, |c| drop(c.tensors.insert(name.into(), tensor)));
        let (fine, text) = said(folder, &infer(""));
        assert!(!fine && text.contains(expected) && text.contains("--ignore NAME"), "{name}: {text}");
        let (fine, text) = said(folder, &infer(&format!("--ignore {name}")));
        assert!(fine, "{name}: {text}");
        let imported = format!("import c.safetensors other.safetensors --force --ignore {name}");
        if said(folder, &imported).0 {
            let (fine, text) = said(folder, &infer("").replace("c.safetensors", "other.safetensors"));
            assert!(fine, "{name}: {text}");
        }
    }
    let (_, plain) = {
        write(folder, |_| {});
        said(folder, &infer(""))
    };
    let idle: Vec<Case> = vec![
        ("lif1.beta", real(&[0.95]), ""),
        ("lif2.threshold", scalar(1.0), ""),
        ("lif1.graded_spikes_factor", scalar(1.0), ""),
        (
            "lif1.reset_mechanism_val",
            whole(&[0]),
            "`lif1.reset_mechanism_val` is snnTorch's, whose neurons are reset in the next step, and the model's at \
             the spike: neuron.reset_at = \"next\" does as they do\n",
        ),
        ("lif1.mem", real(&[0.0; 4]), ""),
        ("conv1.bias", real(&[0.0; 8]), ""),
        ("bntt1.0.bias", real(&[0.0; 8]), ""),
        ("variant", whole(&[7]), "`variant` holds whole numbers, belongs to no layer, and is left out\n"),
        ("lr_scale_steps", whole(&[7]), "`lr_scale_steps` holds whole numbers, belongs to no layer, and is left out\n"),
        (
            "lif1.mask_count",
            whole(&[7]),
            "`lif1.mask_count` holds whole numbers, belongs to no layer, and is left out\n",
        ),
        ("counter", whole(&[7]), "`counter` holds whole numbers, belongs to no layer, and is left out\n"),
    ];
    for (name, tensor, expected) in idle {
        write(folder, |c| drop(c.tensors.insert(name.into(), tensor)));
        let (fine, text) = said(folder, &infer(""));
        assert!(fine && text.contains(expected), "{name}: {text}");
        assert_eq!(text.replace(expected, ""), plain, "{name}");
    }
    for (alpha, expected) in [(0.75, true), (0.8, false)] {
        write(folder, |c| drop(c.tensors.insert("syn1.alpha".into(), scalar(alpha))));
        let (fine, text) = said(folder, &infer("--set model.neuron.synaptic_leak=0.75"));
        assert!(
            fine == expected && (fine || text.contains("the model's neuron.synaptic_leak is 0.75")),
            "{alpha}: {text}"
        );
    }
    write(folder, |_| {});
    let (fine, text) = said(folder, &infer("--ignore lif9.beta"));
    assert!(!fine && text.contains("--ignore lif9.beta: the checkpoint has no such tensor"), "{text}");
    let (fine, text) = said(folder, &infer("--ignore conv1.weight"));
    assert!(!fine && text.contains("no tensor `conv1.weight`"), "a needed one: {text}");
    write(folder, |c| {
        for i in 0..20 {
            c.tensors.insert(format!("extra{i:02}.scale"), scalar(2.0));
        }
    });
    let (_, text) = said(folder, &infer(""));
    assert!(
        text.contains("`extra00.scale`") && text.contains("`extra11.scale`") && text.contains("and 8 more"),
        "{text}"
    );
}

#[test]
fn every_command_that_reads_a_checkpoint_refuses_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, |c| drop(c.tensors.insert("lif1.beta".into(), scalar(0.5))));
    let at = golden("").display().to_string();
    let head = format!("model = \"{at}/model.toml\"\ndata = \"frames:{at}/frames.npz\"\n");
    fs::write(
        folder.join("s.toml"),
        format!("name = \"s\"\ncheckpoint = \"c.safetensors\"\n{head}[grid]\n\"sram.bits\" = [0, 2]\n"),
    )
    .unwrap();
    fs::write(folder.join("t.toml"), format!("init = \"c.safetensors\"\n{head}")).unwrap();
    fs::write(folder.join("p.toml"), "name = \"p\"\n").unwrap();
    let recipe = "profiles = [\"p.toml\"]\n[evaluate]\n[[stage]]\nname = \"a\"\ncheckpoint = \"c.safetensors\"\n";
    fs::write(folder.join("r.toml"), format!("name = \"r\"\n{head}{recipe}")).unwrap();
    fs::write(folder.join("init.toml"), "sram.bits = 2\nsram.init = \"checkpoint:c.safetensors\"\n").unwrap();
    let other = infer("--profile init.toml")
        .replace("--checkpoint c.safetensors", &format!("--checkpoint {at}/checkpoint.safetensors"));
    for words in [
        &infer("")[..],
        "sweep s.toml --out s",
        "train t.toml --out t",
        "recipe r.toml --out r",
        &other,
        "check s.toml",
    ] {
        let (fine, text) = said(folder, words);
        assert!(!fine && text.contains("`lif1.beta` (0.5;"), "{words}: {text}");
    }
}

#[test]
fn networks_without_norms_through_time_are_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, |c| c.tensors.retain(|name, _| !name.starts_with("bntt")));
    let (fine, text) = said(folder, &infer(""));
    assert!(
        !fine && text.contains("no batch norms through time (`bntt1.0.weight` and so on), nor any other"),
        "{text}"
    );
    assert!(!text.contains("model.steps"), "{text}");
    write(folder, |c| {
        c.tensors.retain(|name, _| !name.starts_with("bntt"));
        for name in ["bn1.weight", "bn1.running_mean", "bn1.running_var", "bn2.running_mean"] {
            c.tensors.insert(name.into(), scalar(1.0));
        }
    });
    let (fine, text) = said(folder, &infer(""));
    assert!(!fine && text.contains("but plain ones, `bn1`, `bn2`"), "{text}");
    let (fine, text) = said(folder, "check c.safetensors");
    assert!(!fine && text.contains("tensors that no model can run: `bn1.weight` of shape []; expected [8]"), "{text}");
}

#[test]
fn check_and_import_say_which_network_a_file_is_or_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, |_| {});
    let looks = "2 input channels, convolutions of 8, 16, 16, fully connected layers of 32, 5 classes, 4 steps";
    for words in ["check c.safetensors", "import c.safetensors d.safetensors --json i.json"] {
        let (fine, text) = said(folder, words);
        assert!(fine && text.contains(looks), "{text}");
    }
    assert_eq!(json(folder.join("i.json"))["looks"], looks);
    let (_, text) = said(folder, &format!("check {}", golden("hybrid.safetensors").display()));
    assert!(text.contains("companion arrays beside RRAM"), "{text}");
    type Change = (&'static str, fn(&mut Checkpoint));
    let changes: &[Change] = &[
        ("no `fc1.weight`", |c| c.tensors.retain(|name, _| !name.starts_with("fc"))),
        ("`conv3` without `conv2.weight`", |c| drop(c.tensors.remove("conv2.weight"))),
        ("no `bntt2.0.weight` and so on", |c| c.tensors.retain(|name, _| !name.starts_with("bntt2."))),
        ("no `bntt2.1.running_mean`", |c| drop(c.tensors.remove("bntt2.1.running_mean"))),
        ("`bntt2` has 3 steps, others 4", |c| c.tensors.retain(|name, _| !name.starts_with("bntt2.3."))),
        ("`conv2.weight` takes 8 inputs, and `conv1` gives 9", |c| {
            c.tensors
                .insert("conv1.weight".into(), Tensor { shape: vec![9, 2, 3, 3], values: Values::F32(vec![0.0; 162]) });
        }),
        (
            "`conv1.weight` of shape [400]; expected real numbers, [columns, channels, rows, columns of the kernel]",
            |c| {
                c.tensors
                    .insert("conv1.weight".into(), Tensor { shape: vec![400], values: Values::F32(vec![0.0; 400]) });
            },
        ),
        ("`fc1.weight` takes 145 inputs, no multiple of the 16 channels", |c| {
            c.tensors
                .insert("fc1.weight".into(), Tensor { shape: vec![32, 145], values: Values::F32(vec![0.0; 4640]) });
        }),
        ("nothing but a readout", |c| c.tensors.retain(|name, _| name == "fc1.weight")),
    ];
    for (expected, change) in changes {
        write(folder, change);
        for words in ["check c.safetensors", "import c.safetensors e.safetensors"] {
            let (fine, text) = said(folder, words);
            assert!(!fine && text.contains("that no model can run") && text.contains(expected), "{expected}: {text}");
        }
        assert!(!folder.join("e.safetensors").exists());
    }
    write(folder, |c| drop(c.tensors.insert("lif1.beta".into(), scalar(0.5))));
    let (fine, text) = said(folder, "check c.safetensors");
    assert!(fine && text.contains("tensors of no layer: `lif1.beta`"), "{text}");
    let (fine, text) = said(folder, "import c.safetensors with.safetensors");
    assert!(fine && text.contains("tensors of no layer: `lif1.beta`"), "{text}");
    write(folder, |c| drop(c.tensors.insert("conv1.bias".into(), scalar(1.0))));
    let (fine, text) = said(folder, "check c.safetensors");
    assert!(fine && text.contains("4 steps, biases"), "{text}");
    fs::create_dir(folder.join("folder")).unwrap();
    for command in ["check folder", "import folder f.safetensors", &infer("").replace("c.safetensors", "folder")] {
        let (fine, text) = said(folder, command);
        assert!(!fine && text.contains("is a folder; expected "), "{text}");
    }
}

#[test]
fn a_file_that_was_trained_as_another_model_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, |c| {
        c.tensors.remove("conv3.weight");
        c.metadata = serde_json::json!({ "configuration": { "model": { "name": "vgg9" } } });
    });
    let (fine, text) = said(folder, &infer(""));
    assert!(!fine && text.contains("its metadata says that it was trained as the model `vgg9`"), "{text}");
}

#[test]
fn a_prefix_is_taken_off_beside_counters_and_where_ignored_tensors_kept_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let wrap = |name: &str, tensor: Tensor| {
        write(folder, |c| {
            let tensors = std::mem::take(&mut c.tensors);
            c.tensors = tensors.into_iter().map(|(name, tensor)| (format!("module.{name}"), tensor)).collect();
            c.tensors.insert(name.into(), tensor);
        });
    };
    let counter = Tensor { shape: vec![], values: Values::I64(vec![7]) };
    wrap("n_averaged", counter);
    let (fine, text) = said(folder, &infer(""));
    assert!(fine && text.contains("`module.`, which all names") && text.contains("`n_averaged` holds whole"), "{text}");
    for (name, tensor) in [
        ("module.num_steps", Tensor { shape: vec![], values: Values::I64(vec![4]) }),
        ("module.threshold", scalar(1.0)),
    ] {
        wrap(name, tensor);
        let (fine, text) = said(folder, &infer(""));
        assert!(fine && text.contains("`module.`, which all names"), "{name}: {text}");
    }
    wrap("attn.weight", scalar(2.0));
    let (fine, text) = said(folder, &infer(""));
    assert!(
        !fine && text.contains("`module.` would be taken off if all names began with it: `attn.weight` do"),
        "{text}"
    );
    let (fine, text) = said(folder, &infer("--ignore attn.weight"));
    assert!(fine && text.contains("`module.`, which all names"), "{text}");
    assert!(said(folder, "import c.safetensors i.safetensors --ignore attn.weight").0);
}

#[test]
fn another_encoding_than_that_of_the_training_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (encoding, expected) in [("poisson", true), ("frames", false)] {
        write(folder, |c| c.metadata = serde_json::json!({ "configuration": { "encoding": encoding } }));
        let (fine, text) = said(folder, &infer(""));
        assert!(fine);
        assert_eq!(
            text.contains("trained with the encoding `poisson`, and its images are sent with `frames`"),
            expected,
            "{text}"
        );
    }
}

#[test]
fn other_steps_than_those_of_the_training_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (steps, expected) in [(7, true), (4, false)] {
        write(folder, |c| c.metadata = serde_json::json!({ "configuration": { "model": { "steps": steps } } }));
        let (fine, text) = said(folder, &infer(""));
        assert!(fine, "{text}");
        assert_eq!(text.contains("trained with 7 steps, and the model has"), expected, "{text}");
    }
}

/// A pickle of a dictionary whose keys all lead to one dictionary, whose keys all lead to one empty dictionary.
#[test]
fn a_small_file_of_shared_dictionaries_takes_little() {
    let mut pickle = vec![0x80, 2, b'}', b'q', 1, b'0'];
    for (own, inner) in [(Some(2), 1), (None, 2)] {
        pickle.push(b'}');
        own.iter().for_each(|memo| pickle.extend([b'q', *memo]));
        for key in 0..20_000 {
            let key = format!("{key:05}");
            pickle.extend([b'X', 5, 0, 0, 0]);
            pickle.extend(key.as_bytes());
            pickle.extend([b'h', inner, b's']);
        }
        own.iter().for_each(|_| pickle.push(b'0'));
    }
    pickle.push(b'.');
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.pth");
    let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    zip.start_file("a/data.pkl", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut zip, &pickle).unwrap();
    zip.finish().unwrap();
    // All paths through it are 400 million entries; a reader that follows them needs far more than this memory.
    let limited = format!(
        "ulimit -v 4000000; RAYON_NUM_THREADS=2 exec {} import {} {}",
        env!("CARGO_BIN_EXE_crosspike"),
        path.display(),
        folder.path().join("out").display()
    );
    let output = std::process::Command::new("sh").args(["-c", &limited]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("no tensors by name"), "{error}");
}
