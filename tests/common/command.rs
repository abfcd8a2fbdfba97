//! The binary, run in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use assert_cmd::Command;
use ndarray::{Array, Array1, Dimension};
use ndarray_npy::{NpzWriter, WritableElement};

/// A file of the repository.
pub fn root(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file).display().to_string()
}

/// Runs `crosspike` in `folder` with words split at blanks.
pub fn crosspike(folder: &Path, words: &str) -> Output {
    let mut command = Command::cargo_bin("crosspike").unwrap();
    command.current_dir(folder).args(words.split_whitespace()).output().unwrap()
}

/// Starts it, silent.
pub fn start(folder: &Path, words: &str) -> Child {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("crosspike"));
    command
        .current_dir(folder)
        .args(words.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Asks it to stop, as Ctrl-C does; whether it was still there. (A minimal machine has no `kill` outside of its shell.)
pub fn interrupt(child: &Child) -> bool {
    let kill = format!("kill -INT {}", child.id());
    std::process::Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap().success()
}

pub fn succeeds(folder: &Path, words: &str) -> String {
    let output = crosspike(folder, words);
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An npz file of images or frames, whose labels are 0, 1 and 2 in turn.
pub fn npz<A: WritableElement, D: Dimension>(path: &Path, name: &str, values: &Array<A, D>) {
    let mut writer = NpzWriter::new(fs::File::create(path).unwrap());
    writer.add_array(name, values).unwrap();
    let labels: Vec<i64> = (0..values.shape()[0] as i64).map(|i| i % 3).collect();
    writer.add_array("labels", &Array1::from(labels)).unwrap();
    writer.finish().unwrap();
}

pub fn json(path: PathBuf) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A folder with a small training file, model and profile.
pub fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let model = fs::read_to_string(root("models/digits.toml")).unwrap().replace("steps = 8", "steps = 2");
    fs::write(folder.path().join("model.toml"), model).unwrap();
    fs::copy(root("hw_profiles/rram_4bit.toml"), folder.path().join("profile.toml")).unwrap();
    let train = "model = \"model.toml\"\nprofile = \"profile.toml\"\ndata = \"digits\"\n\n\
                 [train]\nepochs = 2\nbatch = 32\nlimit = 96\nvalidation = 0.25\n";
    fs::write(folder.path().join("train.toml"), train).unwrap();
    folder
}

/// A folder with a trained checkpoint `c.safetensors` beside the rest.
pub fn trained() -> tempfile::TempDir {
    let folder = workspace();
    succeeds(folder.path(), "train train.toml --out run");
    fs::rename(folder.path().join("run/checkpoint.safetensors"), folder.path().join("c.safetensors")).unwrap();
    folder
}
