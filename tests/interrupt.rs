//! Ctrl-C stops long work wherever it is, inside a chip, a pass or a tile, and what is finished is kept.
#![cfg(unix)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::command::{crosspike, interrupt, root, trained};
use crosspike::network::{Model, Network};

/// A network that takes minutes a chip on any processor.
const MODEL: &str = "name = \"big\"\nsteps = 64\nclasses = 10\ninput = { channels = 1, height = 8, width = 8 }\nneuron \
                     = { threshold = 0.01 }\n\
                     layers = [{ conv = 512 }, { conv = 1024 }, { conv = 1024 }, { conv = 1024 }, { fc = 64 }]\n";
const CELLS: &str = "--set rram.layers=all --set rram.model=cell --set rram.cell.g_max_us=50 --set rram.weight_bits=4 \
                     --set rram.variation.kind=lognormal --set rram.variation.sigma=0.1";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("m.toml"), MODEL).unwrap();
    let model = Model::read(&at.join("m.toml"), &[]).unwrap();
    Network::xavier(&model, 1).to_checkpoint(&model, serde_json::Value::Null).write(&at.join("c.safetensors")).unwrap();
    fs::copy(root("hw_profiles/rram_4bit.toml"), at.join("p.toml")).unwrap();
    let sweep = "name = \"s\"\nmodel = \"m.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"p.toml\"\ndata = \
                 \"digits\"\nchips = 1000\n\
                 [grid]\n\"rram.variation.scale\" = [1.0, 2.0]\n";
    fs::write(at.join("s.toml"), sweep).unwrap();
    fs::write(at.join("t.toml"), "model = \"m.toml\"\nprofile = \"p.toml\"\ndata = \"digits\"\n[train]\nbatch = 8\n")
        .unwrap();
    folder
}

/// Starts a command, interrupts it inside its work, and gives what it said, and how long it took to stop.
fn interrupted(folder: &Path, words: &str) -> (String, Duration) {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("crosspike"))
        .current_dir(folder)
        .args(words.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    if child.try_wait().unwrap().is_some() {
        let output = child.wait_with_output().unwrap();
        panic!("{words}: over before it was interrupted: {}", String::from_utf8_lossy(&output.stderr));
    }
    let asked = Instant::now();
    assert!(interrupt(&child));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{words}: {said}");
    (said, asked.elapsed())
}

#[test]
fn work_is_given_up_inside_a_chip() {
    let folder = folder();
    let at = folder.path();
    let infer = "infer --model m.toml --checkpoint c.safetensors --data digits --backend cpu --batch 360";
    let attack =
        "attack --model m.toml --checkpoint c.safetensors --data digits --backend cpu --method pgd --epsilon 0.1";
    let mut slow = vec![];
    for (words, expected) in [
        (infer.to_owned(), "nothing is written"),
        (format!("{infer} {CELLS} --set adc.bits=5 --set tile.rows=64"), "nothing is written"),
        (
            format!(
                "{infer} {CELLS} --set wires.word_ohm=2 --set wires.bit_ohm=3 --set tile.rows=1024 --set tile.cols=1024"
            ),
            "nothing is written",
        ),
        (format!("{infer} {CELLS} --set adc.bits=5 --set adc.range=calibrated"), "nothing is written"),
        (format!("{infer} {CELLS} --set rram.read.sigma=0.1"), "nothing is written"),
        (format!("{infer} --adapt 4 --adapt-batch 64"), "nothing is written"),
        (attack.into(), "nothing is written"),
        (
            "sweep s.toml --out swept --backend cpu".into(),
            "finished trials are stored; the same command goes on from here",
        ),
        ("train t.toml --out t".into(), "the same command goes on from here"),
    ] {
        let (said, time) = interrupted(at, &words);
        assert!(said.contains(&format!("interrupted: {expected}")), "{words}: {said}");
        println!("{:.2} s: {words}", time.as_secs_f64());
        if time > Duration::from_secs(10) {
            slow.push((words, time));
        }
    }
    // Idle machines take less than a second; a busy one is no reason to fail.
    assert!(slow.is_empty(), "{slow:?}");
    assert!(at.join("t/state.safetensors").exists(), "the state of the training is stored");
}

#[test]
fn a_training_that_was_interrupted_anywhere_ends_in_the_same_network() {
    let folder = trained();
    ends_alike(folder.path(), "train train.toml --set train.epochs=40 --set train.limit=1000");
}

#[test]
fn so_does_one_whose_ranges_come_from_the_validation_of_the_epoch_before() {
    let folder = trained();
    let words = "train train.toml --set train.epochs=12 --set train.limit=1000 --set rram.layers=all --set adc.bits=5 \
                 --set adc.range=calibrated --set adc.calibration_images=20";
    let said = ends_alike(folder.path(), words);
    assert!(said.contains("converters see every partial sum"), "{said}");
}

/// Runs a training as a whole, and interrupted every now and then; gives what the whole one said.
fn ends_alike(at: &Path, words: &str) -> String {
    let whole = crosspike(at, &format!("{words} --out whole"));
    let said = String::from_utf8(whole.stderr).unwrap();
    assert!(whole.status.success(), "{words}: {said}");
    let mut stops = 0;
    for wait in (0..).map(|i| 60 + 37 * i) {
        let child = Command::new(assert_cmd::cargo::cargo_bin("crosspike"))
            .current_dir(at)
            .args(format!("{words} --out cut").split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        interrupt(&child);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        match ended.status.code() {
            Some(0) => break,
            // The one before was interrupted between its end and that of its process.
            Some(2) if said.contains("holds a finished run") => break,
            code => assert_eq!(code, Some(130), "after {wait} ms: {said}"),
        }
        stops += 1;
    }
    assert!(stops > 2, "{stops} stops");
    let read = |run: &str, file: &str| fs::read(at.join(run).join(file)).unwrap();
    for file in ["checkpoint.safetensors", "best.safetensors", "log.csv"] {
        assert!(read("whole", file) == read("cut", file), "{file}");
    }
    said
}
