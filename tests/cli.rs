//! The commands as written: what they take, what they write, and how they refuse bad input: exit code 1 or 2, a message
//! with file, line and key or value, no panic, nothing half-written.

mod common;

use std::fs;
use std::path::Path;

use common::command::{crosspike, json, root, succeeds, trained, workspace};
use common::golden;
use crosspike::checkpoint::Values;
use ndarray::Array3;
use ndarray_npy::ReadNpyExt;

const INFER: &str = "infer --model model.toml --checkpoint c.safetensors --data digits --limit 16 --backend cpu";

#[test]
fn train_writes_its_files_and_refuses_to_overwrite_them() {
    let folder = workspace();
    let said = succeeds(folder.path(), "train train.toml --out run --set train.variation=true");
    assert!(said.contains("test accuracy"), "{said}");
    let log = fs::read_to_string(folder.path().join("run/log.csv")).unwrap();
    assert!(
        log.starts_with("epoch,learning_rate,loss,train_accuracy,validation_accuracy\n1,") && log.lines().count() == 3
    );
    assert!(folder.path().join("run/best.safetensors").exists());
    assert!(folder.path().join("run/finished").exists() && !folder.path().join("run/state.safetensors").exists());
    let again = crosspike(folder.path(), "train train.toml --out run --set train.variation=true");
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    let first = fs::read(folder.path().join("run/checkpoint.safetensors")).unwrap();
    succeeds(folder.path(), "train train.toml --out run --set train.variation=true --force");
    assert!(
        fs::read(folder.path().join("run/checkpoint.safetensors")).unwrap() == first,
        "the same run, the same bytes"
    );
    succeeds(folder.path(), "train train.toml --out on --set init=run/checkpoint.safetensors --set train.epochs=1");
}

#[test]
fn a_training_leaves_the_model_that_it_trained() {
    let folder = workspace();
    let run = |words: &str| crosspike(folder.path(), words);
    succeeds(folder.path(), "train train.toml --out run --set model.steps=3");
    let infer = "infer --checkpoint run/checkpoint.safetensors --data digits --limit 16 --backend cpu";
    let by = |words: &str| succeeds(folder.path(), &format!("{infer} {words}"));
    assert_eq!(by("--model run/model.toml"), by("--model model.toml --set model.steps=3"));
    let other = run(&format!("{infer} --model model.toml --set model.steps=2"));
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && said.contains("--model run/model.toml"), "{said}");

    // A model that stands where results go is not replaced by what a run makes of it.
    let own = folder.path().join("net/model.toml");
    fs::create_dir(folder.path().join("net")).unwrap();
    fs::copy(folder.path().join("model.toml"), &own).unwrap();
    let before = fs::read(&own).unwrap();
    let into = run("train train.toml --out net --force --set model=net/model.toml --set model.steps=3");
    let said = String::from_utf8_lossy(&into.stderr).into_owned();
    assert!(into.status.code() == Some(2) && said.contains("which the command reads"), "{said}");
    assert_eq!(fs::read(&own).unwrap(), before);
}

#[test]
fn instructions_that_are_asked_for_are_used_or_refused() {
    let folder = trained();
    let run = |set: &str, words: &str| {
        let mut command = assert_cmd::Command::cargo_bin("crosspike").unwrap();
        command.env("CROSSPIKE_INSTRUCTIONS", set).current_dir(folder.path()).args(words.split_whitespace());
        command.output().unwrap()
    };
    let infer = format!("{INFER} --profile profile.toml --chips 2");
    let expected = crosspike(folder.path(), &infer);
    let train = "train train.toml --force --set train.epochs=1 --out";
    succeeds(folder.path(), &format!("{train} best"));
    let trained = |run: &str| fs::read(folder.path().join(run).join("checkpoint.safetensors")).unwrap();
    for set in crosspike::kernels::Instructions::available() {
        assert_eq!(run(set.name(), &infer).stdout, expected.stdout, "{set:?}");
        assert!(run(set.name(), &format!("{train} forced")).status.success());
        assert!(trained("forced") == trained("best"), "{set:?}");
    }
    let refused = run("sse9", &infer);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said.contains("CROSSPIKE_INSTRUCTIONS=sse9: no such instruction set; expected one of portable"), "{said}");
}

/// Inputs of a golden recording as frames with labels, in a folder.
fn frames_of(recorded: &Path, folder: &Path) {
    let mut npz = ndarray_npy::NpzReader::new(fs::File::open(recorded).unwrap()).unwrap();
    let frames: ndarray::ArrayD<f32> = npz
        .by_name("frames")
        .unwrap_or_else(|_| npz.by_name::<ndarray::OwnedRepr<u8>, _>("frames").unwrap().mapv(f32::from));
    common::command::npz(&folder.join("test.npz"), "frames", &frames);
}

#[test]
fn a_file_of_another_tool_goes_to_chips_in_one_command() {
    let folder = workspace();
    let at = folder.path();
    let chips = "--data frames:test.npz --chips 2 --profile profile.toml --set rram.layers=all --backend cpu";
    let same = |file: &str, imported: &str| {
        let steps = "--model net/model.toml --checkpoint net/checkpoint.safetensors";
        let [direct, by_folder] = [file, steps].map(|from| {
            succeeds(at, &format!("infer {from} {chips} --logits l.npy"));
            let array = Array3::<f32>::read_npy(fs::File::open(at.join("l.npy")).unwrap()).unwrap();
            assert!(array.iter().any(|logit| *logit != 0.0), "{imported}");
            array
        });
        assert_eq!(direct, by_folder, "{imported}");
    };
    let nir = std::path::PathBuf::from(root("tests/golden/nir/snntorch_leaky"));
    frames_of(&nir.join("recorded.npz"), at);
    succeeds(at, &format!("import {}/net.nir net --dt 1e-4 --verify {0}/recorded.npz", nir.display()));
    same(&format!("--model {}/net.nir --dt 1e-4", nir.display()), "a NIR file");
    let said = crosspike(at, &format!("infer --model {}/net.nir {chips}", nir.display()));
    assert!(String::from_utf8_lossy(&said.stderr).contains("expected --dt SECONDS"));

    let dict = std::path::PathBuf::from(root("tests/golden/state_dicts/torchvision"));
    frames_of(&dict.join("recorded.npz"), at);
    succeeds(at, &format!("import {}/weights.safetensors net --as {0}/model.toml --force", dict.display()));
    same(&format!("--as {}/model.toml --checkpoint {0}/weights.safetensors", dict.display()), "a state dict");
}

/// Starts a training in the background and waits until it has logged an epoch.
fn running(folder: &Path, out: &str) -> std::process::Child {
    let binary = assert_cmd::cargo::cargo_bin("crosspike");
    let mut command = std::process::Command::new(binary);
    let child = command.current_dir(folder).args(["train", "train.toml", "--set", "train.epochs=60", "--out", out]);
    let child = child.stderr(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !folder.join(out).join("log.csv").exists() {
        assert!(std::time::Instant::now() < deadline, "no epoch within a minute");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child
}

#[test]
fn a_killed_or_interrupted_training_goes_on_and_ends_in_the_same_bytes() {
    let folder = workspace();
    let train = |out: &str| succeeds(folder.path(), &format!("train train.toml --set train.epochs=60 --out {out}"));
    train("whole");
    let mut killed = running(folder.path(), "killed");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!folder.path().join("killed/finished").exists(), "killed before the end");
    train("killed");
    let interrupted = running(folder.path(), "interrupted");
    let signal =
        std::process::Command::new("sh").args(["-c", &format!("kill -INT {}", interrupted.id())]).status().unwrap();
    assert!(signal.success());
    let output = interrupted.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(130) && message.contains("goes on from here"), "{message}");
    train("interrupted");
    for file in ["checkpoint.safetensors", "best.safetensors", "log.csv"] {
        let read = |run: &str| fs::read(folder.path().join(run).join(file)).unwrap();
        assert!(read("killed") == read("whole") && read("interrupted") == read("whole"), "{file}");
    }
}

#[test]
fn train_reproduces_the_golden_step_from_a_pytorch_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let golden_folder = golden("").display().to_string();
    let text = format!(
        "model = \"{golden_folder}/model.toml\"\ndata = \"frames:{golden_folder}/train_frames.npz\"\n\
         init = \"{golden_folder}/checkpoint.pth.tar\"\n[train]\nepochs = 1\nbatch = 6\nmilestones = []\nshuffle = \
         false\n"
    );
    fs::write(folder.path().join("t.toml"), text).unwrap();
    for (set, expected) in [("", "after_one_step"), ("--set rram.weight_bits=4", "after_one_step_bits4")] {
        succeeds(folder.path(), &format!("train t.toml --out run --force {set}"));
        let read = |path: &Path| crosspike::checkpoint::Checkpoint::read(path).unwrap().tensors;
        let found = read(&folder.path().join("run/checkpoint.safetensors"));
        let golden = read(&golden(&format!("{expected}.safetensors")));
        assert!(found.keys().eq(golden.keys()));
        for (name, tensor) in &golden {
            let (Values::F32(expected), Values::F32(found)) = (&tensor.values, &found[name].values) else { continue };
            assert!(expected.iter().zip(found).all(|(a, b)| (a - b).abs() <= 5e-6), "{name} {set}");
        }
    }
}

#[test]
fn infer_reproduces_the_golden_logits_from_both_file_formats() {
    let folder = tempfile::tempdir().unwrap();
    let golden_folder = golden("").display().to_string();
    for file in ["hybrid.safetensors", "hybrid.pth.tar"] {
        let words = format!(
            "infer --model {golden_folder}/model.toml --checkpoint {golden_folder}/{file} --data \
             frames:{golden_folder}/frames.npz --set rram.weight_bits=4 --set sram.bits=2 --set sram.shift=2 \
             --backend cpu --logits l.npy --json j.json"
        );
        succeeds(folder.path(), &words);
        let logits = Array3::<f32>::read_npy(fs::File::open(folder.path().join("l.npy")).unwrap()).unwrap();
        assert_eq!(logits.dim(), (1, 6, 5));
        for (a, b) in logits.iter().zip(common::expected("logits.hybrid.r4s2.shift2").iter()) {
            assert!((a - b).abs() < 1e-4, "{file}: {a}, expected {b}");
        }
    }
}

#[test]
fn infer_writes_the_json_of_the_contract() {
    let folder = trained();
    let words = format!("{INFER} --profile profile.toml --chips 3 --seed 5 --batch 5 --json j.json --logits l.npy");
    succeeds(folder.path(), &words);
    let report = json(folder.path().join("j.json"));
    let accuracies: Vec<f64> =
        report["chips"].as_array().unwrap().iter().map(|c| c["accuracy"].as_f64().unwrap()).collect();
    assert_eq!(accuracies.len(), 3);
    let mean = accuracies.iter().sum::<f64>() / 3.0;
    assert!((report["accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert!(report["accuracy"]["std"].is_number() && report["accuracy"]["ci95"].is_number());
    assert_eq!(report["spikes"]["conv1"].as_array().unwrap().len(), 2);
    assert!(report["spikes"]["fc1"][1].as_u64().is_some() && report["events"]["input_pulses"][0].as_u64().unwrap() > 0);
    for key in ["version", "configuration", "backend"] {
        assert!(!report["origin"][key].is_null(), "origin.{key}");
    }
    succeeds(folder.path(), &format!("{INFER} --json one.json"));
    let one = json(folder.path().join("one.json"));
    assert!(one["accuracy"]["std"].is_null() && one["accuracy"]["ci95"].is_null());
    let logits = Array3::<f32>::read_npy(fs::File::open(folder.path().join("l.npy")).unwrap()).unwrap();
    assert_eq!(logits.dim(), (3, 16, 10));
    // Another batch, one chip fewer: the same chips.
    succeeds(
        folder.path(),
        &words.replace("--batch 5", "--batch 16").replace("--chips 3", "--chips 2").replace("j.json", "k.json"),
    );
    assert_eq!(json(folder.path().join("k.json"))["chips"][1], report["chips"][1]);
}

#[test]
fn more_variation_costs_accuracy_and_a_residual_wins_it_back() {
    let folder = workspace();
    succeeds(
        folder.path(),
        "train train.toml --out run --set train.limit=1437 --set train.epochs=3 --set model.steps=4",
    );
    let accuracy = |set: &str| {
        let words = format!(
            "infer --model model.toml --checkpoint run/checkpoint.safetensors --data digits --profile profile.toml \
             --backend cpu --set model.steps=4 --chips 6 --json j.json {set}"
        );
        succeeds(folder.path(), &words);
        json(folder.path().join("j.json"))["accuracy"]["mean"].as_f64().unwrap()
    };
    let scales = ["0", "1", "3"].map(|s| accuracy(&format!("--set rram.variation.scale={s}")));
    assert!(scales[0] > scales[1] && scales[1] > scales[2] + 5.0, "{scales:?}");
    let residual = accuracy("--set rram.variation.scale=3 --set sram.bits=4 --set sram.init=residual");
    assert!(residual > scales[2] + 5.0, "{residual} after {scales:?}");
    let bytes = || json(folder.path().join("j.json"))["sram_bytes"].as_f64().unwrap();
    // 4752 weights of 4 bits, nearly all of which need a correction.
    assert_eq!(bytes(), 2376.0);
    accuracy("--set rram.variation.scale=3 --set sram.bits=4 --set sram.init=residual --set sram.budget_bytes=500");
    assert!((450.0..=500.0).contains(&bytes()), "{}", bytes());
}

#[test]
fn early_exit_and_adapted_norms_are_reported_beside_the_rest() {
    let folder = trained();
    let run = |options: &str| {
        let said =
            succeeds(folder.path(), &format!("{INFER} --profile profile.toml --chips 3 --json j.json {options}"));
        (json(folder.path().join("j.json")), said)
    };
    let (plain, _) = run("");
    assert!(plain["early_exit"].is_null() && plain["origin"]["configuration"]["exit"].is_null());
    // The network has 2 steps, and γ near 1.
    let (gamma, said) = run("--exit gamma:100");
    let early = &gamma["early_exit"];
    assert_eq!((early["rule"].as_str(), early["steps"].as_f64()), (Some("gamma:100"), Some(1.0)), "{early}");
    assert_eq!(early["saved"]["steps"].as_f64(), Some(50.0));
    assert!(early["saved"]["spikes"].as_f64().unwrap() > 0.0 && early["saved"]["input_pulses"].as_f64().unwrap() > 0.0);
    assert_eq!(early["chips"].as_array().unwrap().len(), 3);
    assert!(said.contains("early exit gamma:100: accuracy") && said.contains("1.00 steps"), "{said}");
    for key in ["accuracy", "chips", "spikes", "events"] {
        assert_eq!(gamma[key], plain[key], "the results of all steps stay: {key}");
    }
    let (never, _) = run("--exit gamma");
    assert_eq!(never["early_exit"]["rule"], "gamma:0.1");
    assert_eq!(never["early_exit"]["accuracy"]["mean"], plain["accuracy"]["mean"]);
    assert_eq!(never["early_exit"]["saved"]["steps"].as_f64(), Some(0.0));
    let (confident, _) = run("--exit confidence:0");
    let saved = &confident["early_exit"]["saved"];
    for key in ["steps", "spikes", "input_pulses"] {
        assert!(saved[key].as_f64().is_some_and(|percent| percent > 0.0 && percent < 100.0), "{key}: {saved}");
    }
    let (adapted, said) = run("--adapt 2 --adapt-batch 32 --exit gamma");
    assert!(said.contains("2 batches of 32 training images of `digits`"), "{said}");
    assert_ne!(adapted["spikes"], plain["spikes"]);
    assert_eq!(adapted["origin"]["configuration"]["adapt"]["batches"], 2);
    assert_eq!(run("--adapt 2 --adapt-batch 32 --adapt-data digits --exit gamma").0["chips"], adapted["chips"]);
    assert_ne!(run("--adapt 1 --adapt-batch 32").0["spikes"], adapted["spikes"]);
}

#[test]
fn quickstart_does_the_main_job() {
    let folder = tempfile::tempdir().unwrap();
    let said = succeeds(folder.path(), "quickstart");
    let run = folder.path().join("runs/quickstart");
    let summary = fs::read_to_string(run.join("summary.csv")).unwrap();
    let mean = |start: &str| {
        let row =
            summary.lines().find(|row| row.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {summary}"));
        row.split(',').nth(3).unwrap().parse::<f64>().unwrap()
    };
    assert!(mean("float,,1,") > 90.0 && mean("4-bit,0.0,1,") > 90.0 && mean("VAT,0.0,1,") > 88.0, "{summary}");
    // Variation costs; VAT and the residual win back, the residual more.
    assert!(mean("4-bit,2.0,20,") < mean("4-bit,0.0,1,") - 10.0, "{summary}");
    assert!(mean("VAT,2.0,20,") > mean("4-bit,2.0,20,") + 3.0, "{summary}");
    assert!(mean("4-bit + SRAM,2.0,20,") > mean("VAT,2.0,20,") + 3.0, "{summary}");
    assert!(said.contains("VAT + SRAM") && said.contains("report.html"), "{said}");
    assert!(fs::read_to_string(run.join("report.html")).unwrap().contains("<svg"));
    for network in ["float", "baseline", "vat"] {
        assert!(run.join(format!("{network}.safetensors")).exists(), "{network}");
    }
    let drawn = fs::read(run.join("accuracy.svg")).unwrap();
    let shown = fs::read(root("docs/pictures/quickstart-light.svg")).unwrap();
    assert!(drawn == shown, "the README has another picture than the quickstart: scripts/pictures makes it again");
    let again = crosspike(folder.path(), "quickstart");
    assert_eq!(again.status.code(), Some(2), "a finished run is not overwritten unasked");
}

#[test]
fn sweep_shards_merge_and_report_draws_them() {
    let folder = trained();
    let sweep = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"profile.toml\"\n\
                 data = \"digits\"\nlimit = 10\nchips = 2\n[grid]\n\"rram.variation.scale\" = [0.0, \
                 1.5]\n\"sram.shift\" = [-1, 0]\n\
                 \"sram.bits\" = [2]\n";
    fs::write(folder.path().join("s.toml"), sweep).unwrap();
    succeeds(folder.path(), "sweep s.toml --out whole --backend cpu");
    succeeds(folder.path(), "sweep s.toml --out parts --backend cpu --shard 2/2");
    assert!(!folder.path().join("parts/results.csv").exists());
    let early = crosspike(folder.path(), "report parts");
    assert_eq!(early.status.code(), Some(1));
    succeeds(folder.path(), "sweep s.toml --out parts --backend cpu --shard 1/2 --resume");
    let finished = crosspike(folder.path(), "sweep s.toml --out parts --backend cpu");
    assert_eq!(finished.status.code(), Some(2), "a finished sweep is not overwritten unasked");
    succeeds(folder.path(), "sweep s.toml --out parts --backend cpu --shard 2/2 --resume");
    // Shards that start together.
    let binary = assert_cmd::cargo::cargo_bin("crosspike");
    let start = |shard: String| {
        let words = ["sweep", "s.toml", "--out", "together", "--backend", "cpu", "--shard", &shard];
        let output = std::process::Command::new(&binary).current_dir(folder.path()).args(words).output().unwrap();
        assert!(output.status.success(), "{shard}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::thread::scope(|scope| (1..=4).for_each(|i| _ = scope.spawn(move || start(format!("{i}/4")))));
    for file in ["results.csv", "summary.csv"] {
        let read = |run: &str| fs::read_to_string(folder.path().join(run).join(file)).unwrap();
        assert_eq!(read("whole"), read("parts"));
        assert_eq!(read("whole"), read("together"));
    }
    let results = fs::read_to_string(folder.path().join("whole/results.csv")).unwrap();
    let rows: Vec<&str> = results.lines().collect();
    assert!(rows[0].starts_with("rram.variation.scale,sram.bits,sram.shift,chip,accuracy"), "{}", rows[0]);
    assert!(
        rows.len() == 1 + 8 && rows[1].starts_with("0.0,2,-1,0,") && rows[8].starts_with("1.5,2,0,1,"),
        "{results}"
    );
    fs::remove_file(folder.path().join("whole/report.html")).unwrap();
    succeeds(folder.path(), "report whole");
    let page = fs::read_to_string(folder.path().join("whole/report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("</html>") && !page.contains("src=\"http"));
}

#[test]
fn extreme_variation_and_odd_checkpoints_run() {
    let folder = trained();
    let at = folder.path();
    // A zero target stays zero however far the factor overflows.
    succeeds(
        at,
        &format!(
            "{INFER} --set rram.scheme=ternary --set rram.variation.kind=lognormal --set rram.variation.sigma=1000"
        ),
    );
    // Names with `module.` and without `num_batches_tracked`, as others write them.
    let mut checkpoint = crosspike::checkpoint::Checkpoint::read(&at.join("c.safetensors")).unwrap();
    let plain = checkpoint.tensors.clone();
    checkpoint.tensors = plain
        .into_iter()
        .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
        .map(|(name, tensor)| (format!("module.{name}"), tensor))
        .collect();
    checkpoint.write(&at.join("odd.safetensors")).unwrap();
    let logits = |file: &str| {
        succeeds(at, &format!("{} --logits l.npy", INFER.replace("c.safetensors", file)));
        fs::read(at.join("l.npy")).unwrap()
    };
    assert!(logits("c.safetensors") == logits("odd.safetensors"));
    // A hybrid without its SRAM says so.
    let words = format!(
        "infer --model {0}/model.toml --checkpoint {0}/hybrid.safetensors --data frames:{0}/frames.npz --backend cpu",
        golden("").display()
    );
    let notice = String::from_utf8(crosspike(at, &words).stderr).unwrap();
    assert!(notice.contains("only its RRAM part"), "{notice}");
    // Training tests on the set that `test` names.
    let said = succeeds(at, "train train.toml --out other --set train.epochs=1 --set test=digits");
    assert!(said.contains("360 images"), "{said}");
}

#[test]
fn map_lists_tiles_and_digital_layers() {
    let folder = tempfile::tempdir().unwrap();
    let words = format!(
        "map --model {} --profile {} --json m.json",
        root("models/vgg9.toml"),
        root("hw_profiles/rram_4bit.toml")
    );
    let said = succeeds(folder.path(), &words);
    assert!(said.contains("conv7") && said.contains("digital"), "{said}");
    let plan = json(folder.path().join("m.json"));
    // conv7 is 2304 x 256 on 128 x 128 cells.
    let conv7 = &plan["layers"][6];
    assert_eq!(
        (conv7["row_splits"].as_u64(), conv7["column_splits"].as_u64(), conv7["tiles"].as_u64()),
        (Some(18), Some(2), Some(36))
    );
    assert_eq!(plan["layers"][7]["place"], "digital");
}

#[test]
fn import_converts_and_gpus_lists() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(folder.path(), &format!("import {} out.safetensors", golden("checkpoint.pth.tar").display()));
    let read = |path: &Path| crosspike::checkpoint::Checkpoint::read(path).unwrap().tensors;
    assert!(read(&folder.path().join("out.safetensors")) == read(&golden("checkpoint.safetensors")));
    assert!(succeeds(folder.path(), "gpus").contains("auto takes: "));
    for command in ["", "quickstart", "train", "infer", "sweep", "report", "map", "import", "gpus"] {
        assert!(succeeds(folder.path(), &format!("{command} --help")).contains("Usage"), "{command}");
    }
}

/// Writes a file made from another one.
fn derive(folder: &Path, from: &str, to: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(folder.join(from)).unwrap();
    fs::write(folder.join(to), change(bytes)).unwrap();
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(from));
    text.replace(from, to).into_bytes()
}

/// A PyTorch file whose pickle calls a function.
fn malicious_checkpoint(path: &Path) {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(b"\x80\x02cos\nsystem\nX\x0c\x00\x00\x00touch hackedq\x00\x85R.").unwrap();
    zip.start_file("archive/version", options).unwrap();
    zip.write_all(b"3\n").unwrap();
    zip.finish().unwrap();
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let folder = trained();
    let at = folder.path();
    let sweep = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \
                 \"profile.toml\"\ndata = \"digits\"\n\
                 [grid]\n\"rram.variation.scale\" = [0.0, -1.0]\n";
    fs::write(at.join("sweep.toml"), sweep).unwrap();
    derive(at, "sweep.toml", "empty_grid.toml", |b| replaced(b, "[0.0, -1.0]", "[]"));
    derive(at, "sweep.toml", "grid_key.toml", |b| replaced(b, "rram.variation.scale", "rram.variation.scael"));
    derive(at, "sweep.toml", "twice.toml", |b| replaced(b, "[0.0, -1.0]", "[1.0, 1.0]"));
    derive(at, "twice.toml", "frames.toml", |b| {
        replaced(replaced(b, "[1.0, 1.0]", "[1.0]").to_vec(), "data =", "encoding = \"frames\"\ndata =")
    });
    derive(at, "twice.toml", "good.toml", |b| replaced(b, "[1.0, 1.0]", "[1.0]"));
    derive(at, "good.toml", "layer.toml", |b| {
        replaced(b, "rram.variation.scale\" = [1.0]", "layer.conv9.rram.weight_bits\" = [2]")
    });
    derive(at, "good.toml", "both.toml", |b| [&b[..], b"[[point]]\n\"rram.variation.scale\" = 2.0\n"].concat());
    let drawn = b"[sample]\ncount = 2\nkeys = { \"sram.bits\" = { from = 1, to = 4, count = 3 } }\n";
    derive(at, "good.toml", "counted.toml", |b| [&replaced(b, "\n[grid]", "\nlimit = 4\n[grid]"), &drawn[..]].concat());
    derive(at, "good.toml", "misspelt.toml", |b| replaced(b, "checkpoint", "checkpiont"));
    let recipe = "name = \"r\"\nmodel = \"model.toml\"\ndata = \"digits\"\nprofiles = [\"profile.toml\"]\n[evaluate]\n\
                  [[stage]]\nname = \"a\"\n";
    let stages = |more: &str| format!("{recipe}{more}");
    fs::write(at.join("stages.toml"), stages("checkpoint = \"gone.safetensors\"\n")).unwrap();
    let init = "checkpoint = \"c.safetensors\"\nset = { \"sram.bits\" = 2, \"sram.init\" = \"stage:b\" }\n";
    fs::write(at.join("init.toml"), stages(init)).unwrap();
    derive(at, "sweep.toml", "array.toml", |b| {
        replaced(
            b,
            "\"rram.variation.scale\" = [0.0, -1.0]",
            "\"sram.bits\" = [2]\n\"sram.init\" = [\"checkpoint:gone.safetensors\"]",
        )
    });
    derive(at, "profile.toml", "key.toml", |b| replaced(b, "weight_bits = 4", "weight_bit = 4"));
    derive(at, "profile.toml", "nan.toml", |b| replaced(b, "sigma = 0.34597", "sigma = nan"));
    derive(at, "profile.toml", "negative.toml", |b| replaced(b, "sigma = 0.34597", "sigma = -0.1"));
    derive(at, "profile.toml", "word.toml", |b| replaced(b, "sigma = 0.34597", "sigma = \"wide\""));
    derive(at, "profile.toml", "cell.toml", |b| replaced(b, "model = \"weight\"", "model = \"cell\""));
    derive(at, "profile.toml", "broken.toml", |b| replaced(b, "[tile]", "[tile"));
    derive(at, "profile.toml", "latin.toml", |_| vec![b'a', 0xff, 0xfe]);
    derive(at, "model.toml", "wide.toml", |b| replaced(b, "conv = 16", "conv = 24"));
    derive(at, "model.toml", "absurd.toml", |b| replaced(b, "conv = 16", "conv = 99999999999999"));
    derive(at, "model.toml", "huge.toml", |b| replaced(b, "height = 8, width = 8", "height = 4096, width = 4096"));
    derive(at, "model.toml", "empty.toml", |b| replaced(b, "conv = 16", "cnov = 16"));
    derive(at, "train.toml", "epochs.toml", |b| replaced(b, "epochs = 2", "epochs = 0"));
    derive(at, "train.toml", "rate.toml", |b| replaced(b, "epochs = 2", "learning_rate = -1.0"));
    derive(at, "train.toml", "sram.toml", |b| replaced(b, "epochs = 2", "stage = \"sram\""));
    derive(at, "train.toml", "prune.toml", |b| replaced(b, "[train]", "[prune]\nlambda = 1e-4\n[train]"));
    derive(at, "train.toml", "data.toml", |b| replaced(b, "digits", "idx:nowhere"));
    derive(at, "train.toml", "kind.toml", |b| replaced(b, "digits", "imagenet"));
    derive(at, "c.safetensors", "cut.safetensors", |b| b[..b.len() / 2].to_vec());
    derive(at, "c.safetensors", "header.safetensors", |mut b| {
        b[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        b
    });
    fs::write(at.join("none.safetensors"), b"").unwrap();
    let network = |change: &dyn Fn(&mut crosspike::checkpoint::Checkpoint)| {
        let mut checkpoint = crosspike::checkpoint::Checkpoint::read(&at.join("c.safetensors")).unwrap();
        change(&mut checkpoint);
        checkpoint
    };
    let fill = |value: f32| {
        move |c: &mut crosspike::checkpoint::Checkpoint| {
            if let Values::F32(values) = &mut c.tensors.get_mut("conv1.weight").unwrap().values {
                values.fill(value);
            }
        }
    };
    network(&fill(f32::MAX)).write(&at.join("monstrous.safetensors")).unwrap();
    network(&fill(f32::NAN)).write(&at.join("nan.safetensors")).unwrap();
    let add_bias = |c: &mut crosspike::checkpoint::Checkpoint| {
        let weight = c.tensors["conv1.weight"].clone();
        c.tensors.insert("conv1.bias".into(), weight);
    };
    network(&add_bias).write(&at.join("bias.safetensors")).unwrap();
    let mut one = ndarray_npy::NpzWriter::new(fs::File::create(at.join("one.npz")).unwrap());
    one.add_array("images", &ndarray::Array4::<f32>::zeros((1, 3, 8, 8))).unwrap();
    one.add_array("labels", &ndarray::Array1::<i64>::zeros(1)).unwrap();
    one.finish().unwrap();
    malicious_checkpoint(&at.join("evil.pth"));
    fs::create_dir_all(at.join("mnist")).unwrap();
    fs::write(
        at.join("mnist/t10k-images-idx3-ubyte"),
        [0, 0, 8, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
    )
    .unwrap();
    fs::write(at.join("bad.npz"), b"PK\x03\x04 and no more").unwrap();

    let profile = |file: &str| format!("{INFER} --profile {file} --json out.json");
    let cases: Vec<(String, i32, &[&str])> = vec![
        (profile("key.toml"), 2, &["key.toml:6:1: rram.weight_bit", "weight_bits"]),
        (profile("nan.toml"), 2, &["nan.toml:13:1: rram.variation.sigma", "NaN"]),
        (profile("negative.toml"), 2, &["negative.toml:13:1: rram.variation.sigma", "-0.1"]),
        (profile("word.toml"), 2, &["word.toml:13:1: rram.variation.sigma", "wide"]),
        (profile("cell.toml"), 2, &["cell.toml:5:2: rram.cell.g_max_us", "microsiemens"]),
        (profile("broken.toml"), 2, &["broken.toml:16"]),
        (profile("latin.toml"), 1, &["latin.toml", "UTF-8"]),
        (profile("missing.toml"), 1, &["missing.toml"]),
        (format!("{INFER} --set rram.variation.sigma=nan --json out.json"), 2, &["--set rram.variation.sigma=nan"]),
        (format!("{INFER} --set rram.weight_bits=99 --json out.json"), 2, &["rram.weight_bits", "99"]),
        (format!("{INFER} --set adc.bits=17 --json out.json"), 2, &["adc.bits", "16"]),
        (
            format!("{INFER} --set sram.bits=2 --set sram.adder_bits=8 --json out.json"),
            2,
            &["sram.adder_bits", "adc.bits"],
        ),
        (
            format!("{INFER} --set sram.bits=2 --set adc.bits=6 --set adc.step=free --json out.json"),
            2,
            &["adc.step", "power_of_two"],
        ),
        (
            format!("{INFER} --set sram.bits=2 --set sram.scheme=float --set adc.bits=6 --json out.json"),
            2,
            &["sram.scheme", "integers"],
        ),
        (format!("{INFER} --set wires.bit_ohm=2 --json out.json"), 2, &["wires.bit_ohm", "rram.model"]),
        (format!("{INFER} --set nonsense --json out.json"), 2, &["nonsense", "KEY=VALUE"]),
        (format!("{INFER} --set model.steps=3 --json out.json"), 1, &["2 steps", "model 3"]),
        (format!("{INFER} --set model.steps=0 --json out.json"), 2, &["steps", "expected 1"]),
        (format!("{INFER} --encoding frames --json out.json"), 2, &["frames"]),
        (format!("{INFER} --chips 0 --json out.json"), 2, &["--chips"]),
        (format!("{INFER} --exit confidence --json out.json"), 2, &["--exit", "`confidence`", "confidence:0.9"]),
        (format!("{INFER} --exit gamma:-1 --json out.json"), 2, &["--exit", "gamma:-1", "at least 0"]),
        (format!("{INFER} --adapt-batch 8 --json out.json"), 2, &["--adapt <N>"]),
        (format!("{INFER} --calibration-data digits --json out.json"), 2, &["--calibration-data", "adc.range"]),
        (format!("{INFER} --adapt 1 --adapt-batch 1 --json out.json"), 2, &["--adapt-batch"]),
        (format!("{INFER} --adapt 99 --json out.json"), 2, &["--adapt: ", "99 batches of 64", "1437"]),
        (format!("{INFER} --adapt 1 --adapt-data imagenet --json out.json"), 2, &["--adapt-data: ", "imagenet"]),
        (
            format!("{INFER} --adapt 1 --adapt-data images:one.npz --json out.json"),
            2,
            &["--adapt: ", "images:one.npz", "3x8x8"],
        ),
        (
            format!("{} --adapt 1 --json out.json", INFER.replace("digits", "images:one.npz")),
            2,
            &["--adapt-data: ", "one set"],
        ),
        (
            format!(
                "{} --adapt 1 --adapt-data images:one.npz --json out.json",
                INFER.replace("digits", "images:one.npz")
            ),
            2,
            &["--adapt-data: ", "that are tested"],
        ),
        (format!("{INFER} --json no/such/folder/out.json"), 1, &["no/such/folder/out.json"]),
        (INFER.replace("model.toml", "wide.toml"), 1, &["conv1.weight", "[24, 1, 3, 3]", "[16, 1, 3, 3]"]),
        (INFER.replace("model.toml", "absurd.toml"), 2, &["absurd.toml:", "layers[0]"]),
        (INFER.replace("model.toml", "huge.toml"), 2, &["huge.toml:", "layers[0]"]),
        (INFER.replace("model.toml", "empty.toml"), 2, &["empty.toml:", "cnov"]),
        (INFER.replace("c.safetensors", "cut.safetensors"), 1, &["cut.safetensors"]),
        (INFER.replace("c.safetensors", "header.safetensors"), 1, &["header.safetensors"]),
        (INFER.replace("c.safetensors", "none.safetensors"), 1, &["none.safetensors"]),
        (INFER.replace("c.safetensors", "evil.pth"), 1, &["evil.pth", "os.system"]),
        (INFER.replace("c.safetensors", "missing.pth"), 1, &["missing.pth"]),
        (INFER.replace("digits", "idx:mnist"), 1, &["mnist"]),
        (INFER.replace("digits", "cifar10:nowhere"), 1, &["nowhere"]),
        (INFER.replace("digits", "images:bad.npz"), 1, &["bad.npz"]),
        (INFER.replace("--data digits", "--data").to_string(), 2, &["--data"]),
        ("import evil.pth out.json".into(), 1, &["os.system"]),
        ("import c.safetensors c.safetensors".into(), 2, &["--force"]),
        ("train epochs.toml --out new".into(), 2, &["epochs.toml:6:1: train.epochs", "0, expected"]),
        ("train rate.toml --out new".into(), 2, &["rate.toml:6:1: train.learning_rate"]),
        ("train sram.toml --out new".into(), 2, &["sram.toml:6:1: train.stage", "expected `init`"]),
        ("train sram.toml --out new --set init=c.safetensors".into(), 2, &["train.stage", "sram.bits above 0"]),
        (
            "train sram.toml --out new --set init=c.safetensors --set sram.bits=2 --set sram.init=residual".into(),
            1,
            &["train.chip", "sram.shift"],
        ),
        ("train train.toml --out new --set train.chip=1".into(), 2, &["train.chip", "train.stage"]),
        ("train train.toml --out new --set train.shifts=[1]".into(), 2, &["train.shifts", "train.stage"]),
        (
            "train sram.toml --out new --set init=c.safetensors --set prune.threshold=1.5".into(),
            2,
            &["prune.threshold", "1.5", "below 1"],
        ),
        (
            "train sram.toml --out new --set init=c.safetensors --set train.chip=1 --set train.variation=true".into(),
            2,
            &["train.chip", "train.variation"],
        ),
        ("train prune.toml --out new".into(), 2, &["prune.toml:5:2: prune", "train.stage"]),
        ("train data.toml --out new".into(), 2, &["nowhere"]),
        ("train kind.toml --out new".into(), 2, &["imagenet", "digits"]),
        ("train train.toml --out new --set train.epoch=2".into(), 2, &["train.epoch", "epochs"]),
        (
            "train train.toml --out new --set train.variation=true --set rram.variation.scale=0".into(),
            2,
            &["train.variation"],
        ),
        ("train train.toml --out c.safetensors".into(), 2, &["c.safetensors"]),
        ("sweep sweep.toml --out new".into(), 2, &["sweep.toml:7:1: rram.variation.scale", "-1"]),
        ("sweep empty_grid.toml --out new".into(), 2, &["empty_grid.toml:7", "rram.variation.scale"]),
        ("sweep grid_key.toml --out new".into(), 2, &["grid_key.toml:7:1: rram.variation.scael", "scale"]),
        ("sweep sweep.toml --out new --shard 3/2".into(), 2, &["3/2"]),
        ("sweep good.toml --out new --shard 1/2 --force".into(), 2, &["--force", "shards"]),
        ("sweep twice.toml --out new".into(), 2, &["twice.toml:7", "twice"]),
        ("sweep frames.toml --out new".into(), 2, &["frames.toml:5:1: encoding"]),
        ("sweep array.toml --out new".into(), 2, &["array.toml:8:1: sram.init", "gone.safetensors"]),
        (
            "sweep layer.toml --out new".into(),
            2,
            &["layer.toml:7:1: layer.conv9", "`layer.conv9`", "expected one of conv1"],
        ),
        ("sweep both.toml --out new".into(), 2, &["both.toml:9:1: point[0].rram.variation.scale", "set twice"]),
        ("sweep counted.toml --out new".into(), 2, &["counted.toml:11:10: sample.keys.sram.bits", "`count`"]),
        ("sweep good.toml --out new --set rram.variation.scale=2".into(), 2, &["change nothing"]),
        (
            "sweep good.toml --out new --set checkpoint=gone.pt".into(),
            2,
            &["--set checkpoint=", "gone.pt: No such file"],
        ),
        ("sweep good.toml --out new --set model=gone.toml".into(), 2, &["--set model=", "gone.toml: not found"]),
        ("sweep good.toml --out new --set profile=gone.toml".into(), 2, &["--set profile=", "gone.toml: not found"]),
        ("check misspelt.toml".into(), 2, &["misspelt.toml:3:1: checkpiont", "did you mean `checkpoint`"]),
        ("check init.toml".into(), 2, &["init.toml:9:26: sram.init", "`stage:b`, expected a stage before"]),
        ("check stages.toml".into(), 2, &["stages.toml:8:1: stage[0].checkpoint", "gone.safetensors"]),
        ("sweep sweep.toml --out new --set chips=0".into(), 2, &["--set chips=0"]),
        (
            format!("{INFER} --set sram.bits=2 --set sram.shift=-2147483648 --json out.json"),
            2,
            &["sram.shift", "-2147483648"],
        ),
        (INFER.replace("c.safetensors", "monstrous.safetensors"), 1, &["conv1", "too large"]),
        (INFER.replace("c.safetensors", "nan.safetensors"), 1, &["nan.safetensors", "conv1.weight", "NaN"]),
        (INFER.replace("c.safetensors", "bias.safetensors"), 1, &["bias.safetensors", "conv1.bias"]),
        ("train train.toml --out new --set model=huge.toml".into(), 2, &["huge.toml:"]),
        (
            "train train.toml --out new --set train.stage=sram --set init=c.safetensors --set rram.weight_bits=4 \
             --set sram.bits=2 --set sram.threshold=0.1"
                .into(),
            2,
            &["train", "sram.threshold", "prune.threshold"],
        ),
        ("train train.toml --out new --set train.validation=0.001".into(), 2, &["validation"]),
        ("train train.toml --out new --set test=images:one.npz".into(), 2, &["test"]),
        ("report .".into(), 1, &["summary.csv"]),
        ("map --model model.toml --profile nan.toml --json out.json".into(), 2, &["nan.toml:13"]),
    ];
    let (mut failures, mut said) = (Vec::new(), String::new());
    for (words, code, fragments) in &cases {
        let output = crosspike(at, words);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        said += &format!("$ crosspike {words}\n[{code}] {}\n\n", message.trim());
        if output.status.code() != Some(*code) {
            failures.push(format!("{words}\n  exit {:?}, expected {code}: {message}", output.status.code()));
        }
        for fragment in *fragments {
            if !message.contains(fragment) {
                failures.push(format!("{words}\n  no `{fragment}` in: {message}"));
            }
        }
        if message.contains("panicked")
            || at.join("out.json").exists()
            || at.join("new").exists()
            || at.join("hacked").exists()
        {
            failures.push(format!("{words}\n  panicked or left something behind: {message}"));
        }
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
    // Every message, to be read.
    insta::assert_snapshot!(said.replace(&at.display().to_string(), "."));
}

#[test]
fn attack_tells_accuracy_against_epsilon_and_one_chip_can_be_asked_for() {
    let folder = workspace();
    let at = folder.path();
    succeeds(at, "train train.toml --out run --set train.limit=1000 --set train.epochs=4");
    fs::rename(at.join("run/checkpoint.safetensors"), at.join("c.safetensors")).unwrap();
    let varied = "--profile profile.toml --set rram.variation.scale=2";
    let attack = INFER.replacen("infer", "attack", 1);
    let said =
        succeeds(at, &format!("{attack} {varied} --chips 3 --method fgsm --epsilon 0,0.5 --json a.json --csv a.csv"));
    assert!(said.contains("ε in units of the pixel range [0, 1]; 3 chips, 16 images"), "{said}");
    let attacked = json(at.join("a.json"));
    succeeds(at, &format!("{INFER} {varied} --chips 3 --json i.json"));
    let plain = json(at.join("i.json"));
    assert_eq!(attacked["points"][0]["chips"], plain["chips"], "nothing changes at ε = 0");
    let mean = |point: usize| attacked["points"][point]["accuracy"]["mean"].as_f64().unwrap();
    assert!(mean(1) < mean(0), "{attacked}");
    assert_eq!(fs::read_to_string(at.join("a.csv")).unwrap().lines().count(), 1 + 2 * 3);

    succeeds(at, &format!("{INFER} {varied} --chip 2 --json one.json"));
    assert_eq!(json(at.join("one.json"))["chips"], serde_json::json!([plain["chips"][2]]), "chip 2 alone is chip 2");
    let pgd = format!("{attack} --method pgd --steps 2 --epsilon 0.1 --chip 0");
    assert!(succeeds(at, &pgd).contains("pgd, 2 steps; ε"));
    for (words, expected) in [
        ("--method fgsm --epsilon 2", "ε 2: expected a number from 0 to 1"),
        ("--method fgsm --steps 3 --epsilon 0.1", "belong to the method `pgd`"),
        ("--method pgd --step-size 0 --epsilon 0.1", "step size 0"),
        ("--method fgsm --epsilon 0.1 --chip 1 --chips 2", "--chip"),
    ] {
        let output = crosspike(at, &format!("{attack} {words}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(expected), "{words}: {text}");
    }
}

#[test]
fn every_command_tells_programs_what_it_tells_people() {
    let folder = trained();
    let at = folder.path();
    let sweep = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \
                 \"profile.toml\"\ndata = \"digits\"\n\
                 limit = 5\nchips = 2\n[grid]\n\"sram.bits\" = [0, 2]\n";
    std::fs::write(at.join("s.toml"), sweep).unwrap();
    let recipe = "name = \"r\"\nmodel = \"model.toml\"\ndata = \"digits\"\nprofiles = [\"profile.toml\"]\n\
                  evaluate = { limit = 5, chips = 2 }\n[[stage]]\nname = \"a\"\ncheckpoint = \"c.safetensors\"\n";
    std::fs::write(at.join("r.toml"), recipe).unwrap();
    std::fs::write(at.join("g.csv"), "1e-5,2e-5\n3e-5,4e-5\n").unwrap();
    std::fs::write(at.join("v.csv"), "0.1,0.2\n").unwrap();
    let cases: &[(&str, &str)] = &[
        ("train train.toml --out t --dry-run", "/seconds"),
        ("train train.toml --out t", "/test/accuracy"),
        ("recipe r.toml --out r --dry-run", "/evaluation_seconds"),
        ("sweep s.toml --out s --dry-run", "/seconds"),
        ("sweep s.toml --out s --shard 1/2", "/shards"),
        ("sweep s.toml --out s --shard 2/2", "/points/1/accuracy_mean"),
        ("recipe r.toml --out r", "/points/0/accuracy_mean"),
        ("report s", "/wrote"),
        ("export s s.parquet", "/wrote"),
        ("check s.toml r.toml", "/1/is"),
        ("map --model model.toml --profile profile.toml", "/layers/0/tiles"),
        ("tile --conductances g.csv --voltages v.csv --word-ohm 1 --bit-ohm 1", "/bit_line_amperes/0/1"),
        ("import c.safetensors d.safetensors", "/tensors"),
        ("gpus", "/adapters"),
        ("schema model", "/properties"),
        ("completions bash", "/script"),
        ("man pages", "/wrote"),
        (INFER, "/accuracy/mean"),
    ];
    for (words, key) in cases {
        let backend = if words.contains("sweep") || words.contains("recipe") { " --backend cpu" } else { "" };
        succeeds(at, &format!("{words}{backend} --json out.json"));
        let report = json(at.join("out.json"));
        assert!(report.pointer(key).is_some_and(|value| !value.is_null()), "{words}: {report}");
    }
    // On standard output, in place of the text.
    let said = succeeds(at, &format!("{INFER} --json -"));
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report, json(at.join("out.json")));
    // What is wrong stands among what is not, and the exit code tells.
    let output = crosspike(at, "check s.toml g.csv model.toml --json out.json");
    let report = json(at.join("out.json"));
    assert_eq!(
        (output.status.code(), report[1]["error"].is_string(), report[2]["is"].is_string()),
        (Some(1), true, true)
    );
    assert_eq!(crosspike(at, "gpus --json .").status.code(), Some(2), "a folder");
    let refused = crosspike(at, "gpus --json missing/out.json");
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
}
