//! Where results go: files are replaced, links and devices and pipes stay what they are, and a result outlives an
//! output that fails.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use common::command::{crosspike, root, trained};

/// A line of a shell, in which `$B` is the binary.
fn shell(folder: &Path, line: &str) -> Output {
    let binary = assert_cmd::cargo::cargo_bin("crosspike");
    Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("B", binary)
        .env("M", root("models/digits.toml"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_names_of_open_files_are_written_to_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    symlink("/dev/stdout", folder.join("out")).unwrap();
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "out"] {
        for line in [format!("$B check $M --json {name} | cat"), format!("$B check $M --json {name} > file; cat file")]
        {
            let said = text(&shell(folder, &line).stdout);
            let (first, rest) = said.split_once('\n').unwrap();
            assert!(first.ends_with("a model, `digits`, of 4 layers"), "{line}: {said}");
            assert!(serde_json::from_str::<serde_json::Value>(rest).is_ok(), "{line}: {said}");
        }
    }
    assert!(folder.join("out").is_symlink());
    // As a shell's process substitution does it.
    let said = shell(folder, "mkfifo pipe; cat pipe > got & $B check $M --json /dev/fd/3 3> pipe; wait; cat got");
    assert!(text(&said.stdout).contains("\"is\": \"a model"), "{said:?}");
}

#[test]
fn devices_stay_devices_whoever_writes_to_them() {
    let folder = trained();
    let folder = folder.path();
    let infer = "$B infer --model model.toml --checkpoint c.safetensors --data digits --limit 4 --backend cpu";
    let attack = "$B attack --model model.toml --checkpoint c.safetensors --data digits --limit 2 --backend cpu \
                  --method fgsm --epsilon 0.1";
    for line in [
        "$B check $M --json /dev/null".to_owned(),
        format!("{infer} --logits /dev/null --json /dev/null"),
        format!("{attack} --csv /dev/null"),
        "$B import c.safetensors /dev/null".into(),
    ] {
        let output = shell(folder, &line);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device(), "{line}");
    }
    for line in [
        format!("{infer} --logits /dev/full"),
        format!("{attack} --csv /dev/full"),
        format!("{infer} --json /dev/full"),
    ] {
        let output = shell(folder, &line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(
            text(&output.stderr).contains("No space left") && text(&output.stdout).contains("accuracy"),
            "the result stays: {line}"
        );
        assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device(), "{line}");
    }
    let output = shell(folder, &format!("{infer} --logits /dev/full --json j.json"));
    assert!(!output.status.success() && folder.join("j.json").exists());
}

#[test]
fn links_lead_to_the_file_that_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("man")).unwrap();
    for (name, to) in [("j.json", "real.json"), ("man/crosspike-check.1", "../real.1")] {
        fs::write(folder.join("man").join(to), "old").unwrap_or_default();
        symlink(to, folder.join(name)).unwrap();
    }
    crosspike(folder, &format!("check {} --json j.json", root("models/digits.toml")));
    assert!(
        folder.join("j.json").is_symlink() && fs::read_to_string(folder.join("real.json")).unwrap().contains("a model")
    );
    let output = crosspike(folder, "man man");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(folder.join("man/crosspike-check.1").is_symlink());
    assert!(
        fs::read_to_string(folder.join("real.1")).unwrap().contains("crosspike-check")
            || folder.join("man/crosspike.1").exists()
    );
    assert!(fs::read_to_string(folder.join("man/crosspike.1")).unwrap().contains(".TH"));
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["$B schema profile", "$B schema profile --json -", "$B completions bash"] {
        let output = shell(folder.path(), &format!("{{ {line}; echo $? >&2; }} | head -1 > /dev/null"));
        assert_eq!(text(&output.stderr), "0\n", "{line}");
    }
}

#[test]
fn no_output_replaces_what_the_command_reads_or_another_output() {
    let folder = trained();
    let at = folder.path();
    fs::copy(root("tests/golden/bntt/images.npz"), at.join("i.npz")).unwrap();
    fs::write(at.join("t.csv"), "g_us,mean_us,sigma_us\n0,0,1\n50,50,1\n").unwrap();
    fs::write(
        at.join("s.toml"),
        "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\ndata = \"digits\"\nchips = \
                                  1\n[grid]\n\"sram.bits\" = [0]\n",
    )
    .unwrap();
    symlink("model.toml", at.join("link")).unwrap();
    let infer = "infer --model model.toml --checkpoint c.safetensors --data digits --limit 4 --backend cpu --profile \
                 profile.toml";
    let cells = "--set rram.model=cell --set rram.cell.g_max_us=50 --set rram.variation.kind=table --set \
                 rram.variation.file=t.csv --set rram.variation.sigma=0";
    fs::write(at.join("G.csv"), "1e-5,2e-5\n").unwrap();
    fs::write(at.join("V.csv"), "0.1\n").unwrap();
    assert!(crosspike(at, "sweep s.toml --out swept --backend cpu --set limit=4").status.success());
    let before: Vec<_> = [
        "model.toml",
        "profile.toml",
        "c.safetensors",
        "t.csv",
        "i.npz",
        "s.toml",
        "G.csv",
        "V.csv",
        "run/log.csv",
        "swept/results.csv",
        "swept/trials-1-of-1.csv",
        "swept/report.html",
        "swept/accuracy.svg",
    ]
    .map(|f| (f, fs::read(at.join(f)).unwrap()))
    .into();
    for (words, option) in [
        (format!("{infer} --json model.toml"), "--json model.toml"),
        (format!("{infer} --json ./link"), "--json"),
        (format!("{infer} --logits c.safetensors"), "--logits c.safetensors"),
        (format!("{infer} --logits profile.toml"), "--logits profile.toml"),
        (format!("{infer} {cells} --json t.csv"), "--json t.csv"),
        (format!("{infer} --logits same --json same"), "goes there too"),
        (infer.replace("digits", "images:i.npz") + " --logits i.npz", "--logits i.npz"),
        (infer.replace("infer", "attack --method fgsm --epsilon 0.1") + " --csv model.toml", "--csv model.toml"),
        ("check model.toml --json model.toml".into(), "--json model.toml"),
        ("map --model model.toml --profile profile.toml --json profile.toml".into(), "--json profile.toml"),
        ("sweep s.toml --out o --json c.safetensors".into(), "--json"),
        ("sweep s.toml --out o --json s.toml".into(), "--json s.toml"),
        ("tile --conductances G.csv --voltages V.csv --word-ohm 1 --bit-ohm 1 --json G.csv".into(), "--json G.csv"),
        ("tile --conductances G.csv --voltages V.csv --word-ohm 1 --bit-ohm 1 --json V.csv".into(), "--json V.csv"),
        ("import c.safetensors same --json same".into(), "goes there too"),
        ("export swept e.csv --json swept/results.csv".into(), "--json"),
        ("export swept same.csv --json same.csv".into(), "goes there too"),
        (
            "sweep s.toml --out swept --resume --set limit=4 --json swept/trials-1-of-1.csv".into(),
            "the command's results",
        ),
        ("sweep s.toml --out swept --resume --set limit=4 --json swept/report.html".into(), "the command's results"),
        ("sweep s.toml --out swept --resume --set limit=4 --json swept/origin.json".into(), "the command's results"),
        ("report swept --json swept/report.html".into(), "the command's results"),
        ("report swept --json ./swept/accuracy.svg".into(), "the command's results"),
        ("train train.toml --out run --force --json run/checkpoint.safetensors".into(), "the command's results"),
        ("train train.toml --out run --force --json run/log.csv".into(), "the command's results"),
    ] {
        let output = crosspike(at, &words);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(option), "{words}: {said}");
        assert!(!at.join("same").exists() && !at.join("o").exists(), "{words}: before any work");
        for (file, bytes) in &before {
            assert!(fs::read(at.join(file)).unwrap() == *bytes, "{words}: {file}");
        }
    }
    assert!(crosspike(at, &format!("{infer} --json /dev/null --logits /dev/null")).status.success());
    assert!(
        crosspike(at, "sweep s.toml --out swept --resume --backend cpu --set limit=4 --json swept/own.json")
            .status
            .success()
    );
    assert!(at.join("swept/own.json").is_file());
}

#[test]
fn the_energy_of_chips_that_differ_is_the_same_in_the_terminal_and_on_the_page() {
    let folder = trained();
    let folder = folder.path();
    // Budgets fill arrays of each chip with as many elements of other layers.
    let infer = "infer --model model.toml --checkpoint c.safetensors --data digits --limit 20 --chips 3 --backend cpu \
                 --profile crosspike:hw_profiles/spikesim_65nm.toml --set adc.range=full --set sram.bits=3 --set \
                 sram.init=residual --set sram.budget_bytes=40 --json out.json --report runs/chips";
    common::command::succeeds(folder, infer);
    let found = common::command::json(folder.join("out.json"));
    let mut summary = csv::Reader::from_path(folder.join("runs/chips/summary.csv")).unwrap();
    let head = summary.headers().unwrap().clone();
    let row = summary.records().next().unwrap().unwrap();
    for (column, key) in [("energy_pj_per_image", "total_pj"), ("images_per_j", "images_per_j")] {
        let place = head.iter().position(|name| name == column).unwrap();
        let (page, said) = (row[place].parse::<f64>().unwrap(), found["energy"]["pj_per_image"][key].as_f64().unwrap());
        assert!((page / said - 1.0).abs() < 1e-7, "{column}: {page} on the page, {said} in the terminal");
    }
}

#[test]
fn a_report_of_chips_has_its_page_and_takes_no_other_results_place() {
    let folder = trained();
    let folder = folder.path();
    let infer = "infer --model model.toml --checkpoint c.safetensors --data digits --limit 20 --chips 3 --backend cpu \
                 --set rram.variation.kind=lognormal --set rram.variation.sigma=0.3 --exit confidence:0.9 --json \
                 out.json";
    let report = format!("{infer} --report runs/chips");
    let said = common::command::succeeds(folder, &report);
    assert!(said.contains("wrote runs/chips/report.html"), "{said}");
    let found = common::command::json(folder.join("out.json"));
    let mean = found["accuracy"]["mean"].as_f64().unwrap();
    let page = fs::read_to_string(folder.join("runs/chips/report.html")).unwrap();
    // The page is of all steps, as the rest of the command's report is.
    assert!(page.contains(&format!("Mean accuracy is {mean:.2} %")), "{mean}: {page}");
    let rows = csv::Reader::from_path(folder.join("runs/chips/results.csv")).unwrap().into_records().count();
    assert_eq!((rows, page.contains("judged on 20 images of digits")), (3, true), "{page}");
    let refused = |words: &str, expected: &str| {
        let said = crosspike(folder, words);
        assert!(!said.status.success() && text(&said.stderr).contains(expected), "{words}: {said:?}");
    };
    refused(&report, "holds a finished run");
    common::command::succeeds(folder, &format!("{report} --force"));
    refused(&format!("{infer} --force"), "--report <FOLDER>");
    // What is refused leaves an earlier report where it is.
    let before = fs::read(folder.join("runs/chips/origin.json")).unwrap();
    refused(&format!("{report} --force --adapt 8 --adapt-data nothing"), "--adapt-data");
    refused(&format!("{report} --force --adapt 60000 --adapt-batch 60000"), "--adapt");
    refused(&format!("{report} --force --set system.ensemble=2"), "expected no early exit");
    refused(&format!("{infer} --report runs/ensembles --set system.ensemble=2"), "expected no early exit");
    assert!(!folder.join("runs/ensembles").exists());
    assert_eq!(fs::read(folder.join("runs/chips/origin.json")).unwrap(), before);
    assert!(folder.join("runs/chips/report.html").exists());
    // The folder of another command is left alone, with force, too.
    fs::create_dir(folder.join("sweep")).unwrap();
    fs::write(folder.join("sweep/origin.json"), "{\"command\": \"sweep\"}").unwrap();
    refused(&format!("{infer} --report sweep --force"), "sweep holds what `sweep` made");
    assert_eq!(fs::read_dir(folder.join("sweep")).unwrap().count(), 1);
}
