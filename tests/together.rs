//! Two processes at once: they share a sweep, or one of them waits its turn; neither takes the other's work away.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::command::{crosspike, start, succeeds, trained};

fn wait_for(file: &Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", file.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn refused(folder: &Path, words: &str) {
    let output = crosspike(folder, words);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("another process works in it"), "{words}: {error}");
}

#[test]
fn a_sweep_is_not_deleted_under_another_process() {
    let folder = trained();
    let folder = folder.path();
    let sweep = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \
                 \"profile.toml\"\ndata = \"digits\"\n\
                 chips = 100000\n[grid]\n\"rram.variation.scale\" = [1.0, 2.0]\n";
    fs::write(folder.join("s.toml"), sweep).unwrap();
    let mut long = start(folder, "sweep s.toml --out swept --backend cpu --shard 1/2");
    wait_for(&folder.join("swept/trials-1-of-2.csv"));
    refused(folder, "sweep s.toml --out swept --backend cpu --force");
    refused(folder, "sweep s.toml --out swept --backend cpu --set seed=2 --resume");
    refused(folder, "train train.toml --out swept --force");
    // Another shard shares it.
    let mut other = start(folder, "sweep s.toml --out swept --backend cpu --shard 2/2");
    wait_for(&folder.join("swept/trials-2-of-2.csv"));
    for child in [&mut long, &mut other] {
        assert!(child.try_wait().unwrap().is_none(), "both still run");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // What a killed process held is free.
    let few = sweep.replace("100000", "2");
    fs::write(folder.join("s.toml"), few).unwrap();
    succeeds(folder, "sweep s.toml --out swept --backend cpu --force");
}

#[test]
fn two_trainings_have_a_folder_one_after_the_other() {
    let folder = trained();
    let folder = folder.path();
    let words = "train train.toml --out t --set train.epochs=100000";
    let mut long = start(folder, words);
    wait_for(&folder.join("t/log.csv"));
    for more in ["", " --force", " --set train.seed=2 --force"] {
        refused(folder, &format!("{words}{more}"));
    }
    assert!(long.try_wait().unwrap().is_none(), "it still runs");
    long.kill().unwrap();
    long.wait().unwrap();
    succeeds(folder, "train train.toml --out t --force");
    let said = crosspike(folder, "export t rows.csv");
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("is a training's: it has no tables of points") && !said.contains("not finished"), "{said}");
}

#[test]
fn hardware_for_layers_that_a_model_lacks_is_refused() {
    let folder = trained();
    let folder = folder.path();
    fs::write(folder.join("nine.toml"), "[layer.conv9.rram]\nweight_bits = 3\n").unwrap();
    fs::write(folder.join("none.toml"), "[layer.\"conv-1\".rram]\nweight_bits = 3\n").unwrap();
    for (words, expected) in [
        ("map --model model.toml --profile nine.toml", "section `layer.conv9`, and the model no such layer"),
        (
            "check model.toml nine.toml",
            "nine.toml:1:8: layer.conv9: no such layer in the models checked beside it; expected one of conv1",
        ),
        ("check none.toml", "layer.conv-1: is no layer of any model"),
    ] {
        let output = crosspike(folder, words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(expected), "{words}: {error}");
    }
    succeeds(folder, "check nine.toml");
    // Entries have names of their own, and what leads back has one too.
    let model = fs::read_to_string(folder.join("model.toml")).unwrap();
    let head: String =
        model.lines().take_while(|line| !line.starts_with("layers")).map(|line| format!("{line}\n")).collect();
    let layers = "layers = [{ name = \"stem\", conv = { channels = 8, groups = 1 } }, { name = \"r\", fc = 8, \
                  recurrent = true }]\n";
    fs::write(folder.join("named.toml"), head + layers).unwrap();
    let own = "[rram]\nweight_bits = 4\nlayers = \"all\"\n[layer.stem.rram]\nweight_bits = \
               3\n[layer.r_rec.rram]\nlayers = \"none\"\n";
    fs::write(folder.join("own.toml"), own).unwrap();
    succeeds(folder, "check named.toml own.toml");
    succeeds(folder, "map --model named.toml --profile own.toml");
}
