//! Sweeps: the same bytes for any threads, shards, order, extension and number of kills; points from grids, lists,
//! ranges and samples; chips until they are enough.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use common::command::{crosspike, json, start, succeeds, trained};

/// A sweep's file: what is the same for all, and more.
fn write(folder: &Path, name: &str, chips: &str, more: &str) {
    let head = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"profile.toml\"\n\
                data = \"digits\"\nlimit = 10\n";
    fs::write(folder.join(name), format!("{head}chips = {chips}\n{more}")).unwrap();
}

fn read(folder: &Path, run: &str, file: &str) -> String {
    fs::read_to_string(folder.join(run).join(file)).unwrap()
}

fn same(folder: &Path, one: &str, other: &str) {
    for file in ["results.csv", "summary.csv"] {
        assert_eq!(read(folder, one, file), read(folder, other, file), "{file} of {one} and {other}");
    }
}

const GRID: &str = "[grid]\n\"rram.variation.scale\" = { from = 0.0, to = 2.0, count = 5 }\n\"sram.bits\" = [0, 2]\n";

#[test]
fn kills_shards_and_threads_do_not_show_in_the_results() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "s.toml", "12", GRID);
    succeeds(folder, "sweep s.toml --out whole --backend cpu");
    // One thread.
    let one = Command::new(assert_cmd::cargo::cargo_bin("crosspike"))
        .current_dir(folder)
        .args("sweep s.toml --out one --backend cpu".split_whitespace())
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(one.status.success());
    same(folder, "whole", "one");
    // Killed again and again, after a few more trials each time.
    let trials = || fs::read_to_string(folder.join("killed/trials-1-of-1.csv")).map_or(0, |text| text.lines().count());
    let mut kills = 0;
    for attempt in 0.. {
        // A machine that is busy elsewhere may let a sweep end before it is killed.
        assert!(attempt < 20, "{kills} kills in {attempt} sweeps");
        let _ = fs::remove_dir_all(folder.join("killed"));
        kills = 0;
        while !folder.join("killed/finished").exists() {
            let (before, mut child) = (trials(), start(folder, "sweep s.toml --out killed --backend cpu"));
            while child.try_wait().unwrap().is_none() && trials() <= before + kills {
                std::thread::sleep(Duration::from_micros(200));
            }
            kills += usize::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if kills >= 3 {
            break;
        }
    }
    same(folder, "whole", "killed");
    // Three shards, the last one alone.
    let mut first: Vec<Child> =
        (1..=2).map(|i| start(folder, &format!("sweep s.toml --out parts --backend cpu --shard {i}/3"))).collect();
    first.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    assert!(!folder.join("parts/finished").exists());
    succeeds(folder, "sweep s.toml --out parts --backend cpu --shard 3/3");
    same(folder, "whole", "parts");
}

#[test]
fn a_sweep_grows_and_finished_trials_are_not_repeated() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "small.toml", "3", "[grid]\n\"rram.variation.scale\" = [0.5, 1.5]\n");
    write(folder, "large.toml", "4", "[grid]\n\"rram.variation.scale\" = [0.5, 1.0, 1.5]\n");
    succeeds(folder, "sweep small.toml --out grown --backend cpu");
    let refused = crosspike(folder, "sweep large.toml --out grown --backend cpu");
    assert_eq!(refused.status.code(), Some(2), "not unasked");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("use --resume"), "finished trials need not be deleted");
    assert_eq!(json(folder.join("grown/origin.json"))["configuration"]["chips"], 3);
    succeeds(folder, "sweep large.toml --out grown --backend cpu --resume");
    succeeds(folder, "sweep large.toml --out new --backend cpu");
    same(folder, "grown", "new");
    let trials = |run: &str| read(folder, run, "trials-1-of-1.csv").lines().count() - 1;
    assert_eq!((trials("grown"), trials("new")), (12, 12), "six of them were there");
    assert!(
        read(folder, "grown", "timing.csv").ends_with('\n') && read(folder, "grown", "timing.csv").contains("1,1,6,")
    );
    // Another profile has other trials, in the same folder too.
    let profile =
        fs::read_to_string(folder.join("profile.toml")).unwrap().replace("weight_bits = 4", "weight_bits = 3");
    fs::write(folder.join("profile.toml"), profile).unwrap();
    succeeds(folder, "sweep large.toml --out grown --backend cpu --resume");
    assert_eq!(trials("grown"), 24);
    assert_ne!(read(folder, "grown", "results.csv"), read(folder, "new", "results.csv"));
}

#[test]
fn chips_run_until_the_mean_is_known_and_shards_agree_on_them() {
    let folder = trained();
    let folder = folder.path();
    write(
        folder,
        "s.toml",
        "{ ci95 = 6.0, least = 3, most = 40 }",
        "[grid]\n\"rram.variation.scale\" = [0.0, 1.0, 2.0, 4.0]\n",
    );
    succeeds(folder, "sweep s.toml --out whole --backend cpu");
    let parts = |i: u32| succeeds(folder, &format!("sweep s.toml --out parts --backend cpu --shard {i}/3"));
    (1..=3).rev().for_each(|i| _ = parts(i));
    same(folder, "whole", "parts");
    let summary = read(folder, "whole", "summary.csv");
    let rows: Vec<Vec<&str>> = summary.lines().skip(1).map(|row| row.split(',').collect()).collect();
    let chips: Vec<u64> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert_eq!(chips[0], 3, "chips without variation are the same: {chips:?}");
    assert!(chips[3] > chips[0] && chips.iter().all(|chips| (3..=40).contains(chips)), "{chips:?}");
    let intervals = rows.iter().map(|row| row[4].parse::<f64>().unwrap());
    assert!(intervals.zip(&chips).all(|(ci95, chips)| ci95 <= 6.0 || *chips == 40), "{summary}");
}

#[test]
fn points_name_checkpoints_profiles_and_data() {
    let folder = trained();
    let folder = folder.path();
    let dim = fs::read_to_string(folder.join("profile.toml")).unwrap().replace("weight_bits = 4", "weight_bits = 2");
    fs::write(folder.join("two.toml"), dim).unwrap();
    fs::copy(folder.join("c.safetensors"), folder.join("d.safetensors")).unwrap();
    let more = "[grid]\n\"checkpoint\" = [\"c.safetensors\", \"d.safetensors\"]\n\
                [[point]]\n\"profile\" = \"two.toml\"\n\"sram.bits\" = 2\n[[point]]\n\"rram.weight_bits\" = 3\n\
                [sample]\ncount = 3\n[sample.keys]\n\"rram.variation.scale\" = \
                { from = 0.1, to = 3.0, scale = \"log\" }\n";
    write(folder, "s.toml", "2", more);
    succeeds(folder, "sweep s.toml --out swept --backend cpu");
    let summary = read(folder, "swept", "summary.csv");
    let lines: Vec<&str> = summary.lines().collect();
    assert!(
        lines[0].starts_with("checkpoint,profile,rram.variation.scale,rram.weight_bits,sram.bits,chips,"),
        "{}",
        lines[0]
    );
    assert_eq!(lines.len(), 1 + 12);
    assert!(
        lines[1].starts_with("c.safetensors,two.toml,") && lines[12].starts_with("d.safetensors,profile.toml,"),
        "{summary}"
    );
    // The same weights give the same trials, which run once.
    let of = |name: &str| lines[1..].iter().filter_map(|row| row.strip_prefix(name)).collect::<Vec<_>>();
    assert_eq!(of("c.safetensors"), of("d.safetensors"));
    assert_eq!(read(folder, "swept", "trials-1-of-1.csv").lines().count() - 1, 12);
    write(folder, "late.toml", "2", "[[point]]\n\"sram.bits\" = 2\n[[point]]\n\"sram.bits\" = 99\n");
    let error = String::from_utf8(crosspike(folder, "sweep late.toml --out bad").stderr).unwrap();
    assert!(error.contains("late.toml:11:1: sram.bits: 99"), "the point that is wrong: {error}");
    write(folder, "bad.toml", "2", "[grid]\n\"checkpoint\" = [\"missing.safetensors\"]\n");
    let error = String::from_utf8(crosspike(folder, "sweep bad.toml --out bad").stderr).unwrap();
    assert!(error.contains("missing.safetensors"), "{error}");
}

#[test]
fn points_adapt_norms_stop_early_and_prune() {
    let folder = trained();
    let folder = folder.path();
    let more = "adapt = { batches = 3, images = 32 }\n[grid]\n\"exit\" = [\"none\", \"confidence:0.9\"]\n\
                \"adapt.batches\" = [0, 3]\n\"sram.threshold\" = [0.0, 0.4]\n\
                [[point]]\n\"sram.bits\" = 4\n\"sram.init\" = \"residual\"\n\"rram.variation.scale\" = 2.0\n";
    write(folder, "s.toml", "3", more);
    succeeds(folder, "sweep s.toml --out swept --backend cpu");
    let results = read(folder, "swept", "results.csv");
    let rows: Vec<Vec<&str>> = results.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|column| *column == name).unwrap();
    let is = |row: &[&str], name: &str, value: &str| row[column(name)] == value;
    for (exit, adapt, threshold) in [("none", "0", "0.0"), ("confidence:0.9", "3", "0.4"), ("none", "3", "0.0")] {
        let mut words = format!(
            "infer --model model.toml --checkpoint c.safetensors --data digits --limit 10 --profile profile.toml \
             --chips 3 --set sram.bits=4 --set sram.init=residual --set rram.variation.scale=2 --set \
             sram.threshold={threshold} --backend cpu --json out.json"
        );
        if exit != "none" {
            words += &format!(" --exit {exit}");
        }
        if adapt != "0" {
            words += " --adapt 3 --adapt-batch 32";
        }
        succeeds(folder, &words);
        let report = json(folder.join("out.json"));
        let chips = if exit == "none" { &report["chips"] } else { &report["early_exit"]["chips"] };
        let alone: Vec<f64> = chips.as_array().unwrap().iter().map(|chip| chip["accuracy"].as_f64().unwrap()).collect();
        let here = |row: &&Vec<&str>| {
            is(row, "exit", exit) && is(row, "adapt.batches", adapt) && is(row, "sram.threshold", threshold)
        };
        let swept: Vec<&Vec<&str>> = rows[1..].iter().filter(here).collect();
        let accuracies: Vec<f64> = swept.iter().map(|row| row[column("accuracy")].parse().unwrap()).collect();
        assert_eq!(accuracies, alone, "{exit} {adapt} {threshold}");
        let bytes = swept.iter().map(|row| row[column("sram_bytes")].parse::<f64>().unwrap()).sum::<f64>() / 3.0;
        assert!((bytes - report["sram_bytes"].as_f64().unwrap()).abs() < 1e-9, "{bytes}");
        assert!(
            exit == "none" || swept.iter().all(|row| row[column("steps_per_image")].parse::<f64>().unwrap() < 6.0),
            "{results}"
        );
    }
    // Rates are those of the steps that images ran.
    let layers = read(folder, "swept", "layers.csv");
    let rates = |exit: &str| -> Vec<bool> {
        let of =
            layers.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()).filter(|row| row.contains(&exit));
        of.map(|row| row[row.len() - 3].parse::<f64>().is_ok_and(|rate| rate > 0.0 && rate <= 1.0)).collect()
    };
    assert!(["none", "confidence:0.9"].iter().all(|exit| rates(exit).contains(&true)), "{layers}");
    // The file's own may be taken back, and half of it left to the points.
    write(
        folder,
        "own.toml",
        "2",
        "exit = \"confidence:0.9\"\nadapt = { images = 32 }\n[grid]\n\"adapt.batches\" = [0, 2]\n",
    );
    succeeds(folder, "sweep own.toml --out own --backend cpu --set exit=none");
    assert!(read(folder, "own", "summary.csv").lines().count() == 3);
    for (bad, expected) in [
        ("[grid]\n\"adapt.batches\" = [-1]\n", "bad.toml:9:1: grid.adapt.batches"),
        ("[grid]\n\"adapt.batches\" = [99999]\n", "expected fewer or smaller batches"),
        ("[grid]\n\"adapt.images\" = [8]\n", "missing field `batches`"),
        ("[grid]\n\"adapt.batch\" = [8]\n", "unknown field `batch`"),
        ("[grid]\n\"exit\" = [\"confidence\"]\n", "bad.toml:9:1: grid.exit: early exit `confidence`: expected"),
        ("exit = \"gama\"\n", "bad.toml:8:1: exit"),
        (
            "[grid]\n\"system.ensemble\" = [2]\n\"exit\" = [\"confidence:0.9\"]\n",
            "bad.toml:10:1: grid.exit: chips that answer together",
        ),
    ] {
        write(folder, "bad.toml", "2", bad);
        let output = crosspike(folder, "sweep bad.toml --out bad");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected) && output.status.code() == Some(2), "{bad}: {error}");
    }
}

#[test]
fn an_override_acts_where_the_study_leaves_it_something() {
    let folder = trained();
    let folder = folder.path();
    // One of two points sets the scale: the other takes the override's.
    let more = "[[point]]\n\"rram.variation.scale\" = 2.0\n[[point]]\n\"sram.bits\" = 2\n";
    write(folder, "s.toml", "2", more);
    succeeds(folder, "sweep s.toml --out plain --backend cpu");
    succeeds(folder, "sweep s.toml --out set --backend cpu --set rram.variation.scale=4");
    let rows = |run: &str| read(folder, run, "results.csv").lines().map(String::from).collect::<Vec<_>>();
    let (plain, set) = (rows("plain"), rows("set"));
    assert_eq!(plain[1..3], set[1..3]);
    assert_ne!(plain[3..], set[3..]);
    // Training is not under what a recipe evaluates at, unless every stage says so itself.
    let recipe = |train: &str, stage: &str| {
        format!(
            "name = \"r\"\nmodel = \"model.toml\"\ndata = \"digits\"\nprofiles = [\"profile.toml\"]\n[train]\nlimit = \
             64\n\
             [evaluate]\nlimit = 10\ngrid = {{ \"rram.variation.scale\" = [1.0] }}\n[[stage]]\nname = \
             \"a\"\n{train}\n{stage}\n"
        )
    };
    let trains = "train = { epochs = 1, variation = true }";
    let own = "set = { \"rram.variation.scale\" = 3.0 }";
    for (name, text, acts) in [
        ("trains", recipe(trains, ""), true),
        ("owns", recipe(trains, own), false),
        ("judges", recipe("checkpoint = \"c.safetensors\"", ""), false),
    ] {
        fs::write(folder.join(format!("{name}.toml")), text).unwrap();
        let output =
            crosspike(folder, &format!("recipe {name}.toml --out {name} --backend cpu --set rram.variation.scale=3"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.success(), said.contains("would change nothing")), (acts, !acts), "{name}: {said}");
    }
}

#[test]
fn a_key_of_training_that_every_stage_sets_itself_is_refused() {
    let folder = trained();
    let folder = folder.path();
    let head = "name = \"r\"\nmodel = \"model.toml\"\ndata = \"digits\"\nprofiles = [\"profile.toml\"]\n[train]\nlimit \
                = 64\n[evaluate]\nlimit = 10\n";
    let stage = |name: &str, own: &str| format!("[[stage]]\nname = \"{name}\"\n{own}\n");
    let both = [stage("a", "train = { epochs = 1 }"), stage("b", "from = \"a\"\ntrain = { epochs = 1 }")].concat();
    let one = [stage("a", "train = { epochs = 1 }"), stage("b", "from = \"a\"\ntrain = { batch = 8 }")].concat();
    let none = stage("a", "checkpoint = \"c.safetensors\"");
    for (name, stages, acts) in [("both", both, false), ("one", one, true), ("none", none, false)] {
        fs::write(folder.join(format!("{name}.toml")), [head, &stages].concat()).unwrap();
        let output = crosspike(folder, &format!("recipe {name}.toml --out {name} --backend cpu --set train.epochs=2"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.success(), said.contains("would change nothing")), (acts, !acts), "{name}: {said}");
    }
}

#[test]
fn the_same_chip_is_the_same_trial_to_a_sweep_and_a_recipe() {
    let folder = trained();
    let folder = folder.path();
    let more =
        "adapt = { batches = 2, images = 32 }\nexit = \"gamma:0.5\"\n[grid]\n\"rram.variation.scale\" = [0.5, 2.0]\n";
    write(folder, "s.toml", "3", more);
    let recipe = "name = \"r\"\nmodel = \"model.toml\"\ndata = \"digits\"\nprofiles = [\"profile.toml\"]\n\
                  [evaluate]\nlimit = 10\nchips = 3\ngrid = { \"rram.variation.scale\" = [0.5, 2.0] }\n\
                  [[stage]]\nname = \"adapted\"\ncheckpoint = \"c.safetensors\"\n\
                  adapt = { batches = 2, images = 32 }\nexit = \"gamma:0.5\"\n";
    fs::write(folder.join("r.toml"), recipe).unwrap();
    succeeds(folder, "sweep s.toml --out swept --backend cpu");
    succeeds(folder, "recipe r.toml --out made --backend cpu");
    let lines = |file: &str| read(folder, file, "trials-1-of-1.csv").lines().map(String::from).collect::<Vec<_>>();
    let (swept, run) = (lines("swept"), lines("made/cache"));
    assert_eq!(swept.len(), 1 + 2 * 3);
    // The recipe has the reference without variation beside them.
    assert_eq!(run.len(), swept.len() + 1);
    assert!(swept.iter().all(|line| run.contains(line)), "{swept:?} in {run:?}");
}

#[test]
fn keys_of_an_array_that_is_not_there_run_nothing_twice_and_networks_keep_their_layers() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "s.toml", "3", "[grid]\n\"sram.bits\" = [0, 2]\n\"sram.shift\" = [-2, -1, 0]\n");
    succeeds(folder, "sweep s.toml --out swept --backend cpu");
    assert_eq!(read(folder, "swept", "trials-1-of-1.csv").lines().count() - 1, 3 + 9);
    assert_eq!(read(folder, "swept", "results.csv").lines().count() - 1, 18);
    let merged = [read(folder, "swept", "summary.csv"), read(folder, "swept", "layers.csv")];
    succeeds(folder, "report swept");
    assert_eq!(
        merged,
        [read(folder, "swept", "summary.csv"), read(folder, "swept", "layers.csv")],
        "from the folder alone"
    );
    // A folder that says less than a report needs is named, and not passed over.
    let origin = read(folder, "swept", "origin.json");
    fs::write(folder.join("swept/origin.json"), origin.replace("network_of", "network_by")).unwrap();
    let error = String::from_utf8(crosspike(folder, "report swept").stderr).unwrap();
    assert!(error.contains("origin.json: is not of a sweep of this version"), "{error}");
}

#[test]
fn points_that_share_what_is_profiled_are_what_they_are_by_themselves() {
    let folder = trained();
    let folder = folder.path();
    let set = "--set adc.calibration_images=40 --set rram.variation.scale=2";
    // Residuals that have nothing to correct on the nominal chip share its ranges, arrays of weights of their own do
    // not, nor does a chip that drifts.
    let point = |keys: &[(&str, &str)]| -> String {
        let given = |key: &str| keys.iter().any(|(other, _)| *other == key);
        let usual = [("adc.bits", "4"), ("tile.rows", "32")].into_iter().filter(|(key, _)| !given(key));
        let keys: Vec<String> =
            keys.iter().copied().chain(usual).map(|(key, value)| format!("\"{key}\" = {value}\n")).collect();
        format!("[[point]]\n{}", keys.concat())
    };
    let residual = |more: &[(&'static str, &'static str)]| [&[("sram.init", "\"residual\"")], more].concat();
    // Inputs are counted only where some cells are verified by them.
    let verified = |share: &'static str| {
        let cells = [("rram.model", "\"cell\""), ("rram.cell.g_max_us", "50.0"), ("rram.program.tolerance_us", "2.0")];
        point(&[&cells[..], &[("rram.program.verify_share", share)]].concat())
    };
    let points = [
        point(&residual(&[("sram.bits", "0")])),
        point(&residual(&[("sram.bits", "2"), ("sram.shift", "-2")])),
        point(&residual(&[("sram.bits", "4"), ("sram.shift", "-1"), ("sram.threshold", "0.3")])),
        point(&residual(&[("sram.bits", "3"), ("sram.trim_bits", "6")])),
        point(&residual(&[("sram.bits", "3"), ("sram.rank", "1")])),
        point(&residual(&[("sram.bits", "4"), ("sram.budget_bytes", "60"), ("sram.budget_by", "\"output\"")])),
        point(&[("sram.bits", "4")]),
        point(&[("sram.bits", "4"), ("sram.shift", "-2")]),
        point(&residual(&[("sram.bits", "2"), ("adc.bits", "3")])),
        point(&residual(&[("sram.bits", "2"), ("tile.rows", "16")])),
        point(&residual(&[("sram.bits", "2"), ("layer.conv1.sram.bits", "0")])),
        verified("1.0"),
        verified("0.3"),
    ];
    write(folder, "all.toml", "2", &points.concat());
    succeeds(folder, &format!("sweep all.toml --out all --backend cpu {set}"));
    let trials = |run: &str| -> Vec<String> {
        let text = read(folder, run, "trials-1-of-1.csv");
        let mut lines: Vec<String> = text.lines().skip(1).map(String::from).collect();
        lines.sort();
        lines
    };
    let mut alone = vec![];
    for (number, point) in points.iter().enumerate() {
        write(folder, "one.toml", "2", point);
        succeeds(folder, &format!("sweep one.toml --out one{number} --backend cpu {set}"));
        alone.extend(trials(&format!("one{number}")));
    }
    alone.sort();
    assert_eq!(trials("all"), alone);
}

#[test]
fn yield_and_quantile_are_those_of_the_chips_and_differences_are_in_pairs() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "s.toml", "9", "acceptable = 60.0\n[grid]\n\"rram.variation.scale\" = [0.5, 2.0]\n");
    succeeds(folder, "sweep s.toml --out judged --backend cpu");
    let rows = |file: &str| -> Vec<std::collections::BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(folder.join("judged").join(file)).unwrap();
        reader.deserialize().map(|row| row.unwrap()).collect()
    };
    let chips = rows("results.csv");
    let accuracies = |scale: &str| -> Vec<f64> {
        let of = chips.iter().filter(|row| row["rram.variation.scale"] == scale);
        of.map(|row| row["accuracy"].parse().unwrap()).collect()
    };
    for row in rows("summary.csv") {
        let mut own = accuracies(&row["rram.variation.scale"]);
        let number = |key: &str| row[key].parse::<f64>().unwrap();
        let passing = own.iter().filter(|accuracy| **accuracy >= 60.0).count();
        assert_eq!(number("yield_percent"), 100.0 * passing as f64 / 9.0);
        own.sort_by(f64::total_cmp);
        // Of nine chips the 5 % quantile is two fifths of the way from the worst to the next.
        assert!((number("accuracy_q05") - (own[0] + 0.4 * (own[1] - own[0]))).abs() < 1e-5);
    }
    let compared = rows("compared.csv");
    let mean = |of: Vec<f64>| of.iter().sum::<f64>() / of.len() as f64;
    let below = (mean(accuracies("0.5")) - mean(accuracies("2.0"))).abs();
    assert_eq!(compared[0]["points_below_best"], "0");
    assert!((compared[1]["points_below_best"].parse::<f64>().unwrap() - below).abs() < 1e-5);
    let refused = crosspike(folder, "sweep s.toml --out other --backend cpu --set acceptable=120");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("acceptable: 120, expected percent of accuracy"));
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "s.toml", "12", GRID);
    let said = succeeds(folder, "sweep s.toml --out swept --backend cpu --dry-run");
    assert!(said.contains("10 points x 12 chips = 120 trials, 0 of them there; 120 to run"), "{said}");
    assert!(!folder.join("swept").exists());
    let said = succeeds(folder, "sweep s.toml --out swept --backend cpu --dry-run --shard 2/7");
    assert!(said.contains("17 to run in shard 2/7"), "{said}");
    succeeds(folder, "sweep s.toml --out swept --backend cpu");
    let said = succeeds(folder, "sweep s.toml --out swept --backend cpu --dry-run");
    assert!(said.contains("120 of them there; nothing to run"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_full_disk_loses_no_finished_trial() {
    // As a disk is full: no file may grow beyond 120 blocks of 512 bytes, and the system says so by an error, not by a
    // signal.
    let folder = trained();
    let folder = folder.path();
    write(folder, "s.toml", "900", "[grid]\n\"rram.variation.scale\" = [0.5, 1.0]\n");
    let binary = assert_cmd::cargo::cargo_bin("crosspike");
    let sweep = format!("{} sweep s.toml --out full --backend cpu", binary.display());
    let limited = format!("trap '' XFSZ; ulimit -f 120; exec {sweep}");
    let output = Command::new("sh").current_dir(folder).args(["-c", &limited]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("full/trials-1-of-1.csv: File too large"), "{error}");
    let full = read(folder, "full", "trials-1-of-1.csv");
    succeeds(folder, "sweep s.toml --out full --backend cpu");
    succeeds(folder, "sweep s.toml --out whole --backend cpu");
    same(folder, "whole", "full");
    let whole = read(folder, "whole", "trials-1-of-1.csv");
    assert!(full.lines().count() > 100 && whole.starts_with(full.trim_end_matches(|c| c != '\n')), "{}", full.len());
}

/// A folder with an `sbatch` that runs what it is given, a task after the other, and says so in `said`.
#[cfg(unix)]
fn with_sbatch(folder: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let script = "#!/bin/sh\nfor word; do last=$word; done\necho \"$@\" >> said\n\
                  tasks=$(sed -n 's/^#SBATCH --array=1-//p' \"$last\")\n\
                  for task in $(seq ${tasks:-1}); do SLURM_ARRAY_TASK_ID=$task SLURM_CPUS_PER_TASK=1 sh \"$last\" >&2 \
                  || exit 1; done\n\
                  echo \"$(wc -l < said);cluster\"\n";
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("sbatch"), script).unwrap();
    fs::set_permissions(bin.join("sbatch"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[cfg(unix)]
#[test]
fn slurm_runs_the_shards_and_merges() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "it's a sweep.toml", "12", GRID);
    fs::copy(folder.join("it's a sweep.toml"), folder.join("s.toml")).unwrap();
    succeeds(folder, "sweep s.toml --out whole --backend cpu");
    let run = |path: &str, out: &str| {
        let words =
            ["sweep", "it's a sweep.toml", "--out", out, "--backend", "cpu", "--slurm", "7", "--set", "name=x y"];
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("crosspike"));
        command
            .current_dir(folder)
            .args(words)
            .arg("--slurm-option=--partition=main")
            .env("PATH", path)
            .output()
            .unwrap()
    };
    let output = run(&with_sbatch(folder), "array");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("submitted 7 shards as job 1, and job 2 that merges"), "{said}");
    same(folder, "whole", "array");
    let calls = fs::read_to_string(folder.join("said")).unwrap();
    assert!(calls.lines().nth(1).unwrap().starts_with("--parsable --dependency=afterany:1 "), "{calls}");
    let merge = fs::read_to_string(folder.join("array/slurm/merge.sh")).unwrap();
    assert!(merge.contains("--partition=main") && merge.contains("--requeue"), "{merge}");
    // Requeued after all is done.
    let again =
        Command::new("sh").args(["-c", "SLURM_ARRAY_TASK_ID=3 sh array/slurm/array.sh"]).current_dir(folder).output();
    assert!(again.unwrap().status.success());
    let none = run("", "none");
    let error = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(2));
    assert!(error.contains("sbatch could not be run") && folder.join("none/slurm/array.sh").exists(), "{error}");
}

#[test]
fn tables_are_exported_and_files_are_checked() {
    let folder = trained();
    let folder = folder.path();
    write(folder, "s.toml", "2", GRID);
    succeeds(folder, "sweep s.toml --out swept --backend cpu");
    for name in ["t.csv", "t.jsonl", "t.parquet"] {
        succeeds(folder, &format!("export swept {name}"));
        assert_eq!(crosspike(folder, &format!("export swept {name}")).status.code(), Some(2), "not replaced unasked");
        succeeds(folder, &format!("export swept {name} --table summary --force"));
    }
    let lines = fs::read_to_string(folder.join("t.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), first["chips"].as_i64(), first["sram.bits"].as_i64()), (10, Some(2), Some(0)));
    assert_eq!(crosspike(folder, "export swept t.xlsx").status.code(), Some(2));
    let said = succeeds(folder, "check s.toml model.toml profile.toml train.toml c.safetensors");
    for what in ["a sweep, `s`, of 10 points", "a model", "a profile", "a training file", "a checkpoint: "] {
        assert!(said.contains(what), "{what}: {said}");
    }
    fs::write(folder.join("bad.toml"), "[rram]\nweight_bit = 4\n").unwrap();
    let bad = crosspike(folder, "check bad.toml profile.toml missing.toml");
    let error = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert_eq!(bad.status.code(), Some(2));
    assert!(
        error.contains("bad.toml:2:1: rram.weight_bit") && error.contains("did you mean `weight_bits`?"),
        "{error}"
    );
    assert!(
        error.contains("missing.toml") && String::from_utf8_lossy(&bad.stdout).contains("profile.toml: a profile"),
        "{error}"
    );
}

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let help = succeeds(folder, "--help");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeds(folder, &format!("completions {shell}"));
        assert!(commands.iter().all(|command| script.contains(command)), "{shell}");
    }
    succeeds(folder, "man pages");
    for command in commands {
        let page = fs::read_to_string(folder.join(format!("pages/crosspike-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{command}");
    }
}

#[test]
fn layers_and_components_add_up() {
    let folder = trained();
    let folder = folder.path();
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles/spikesim_65nm.toml");
    fs::copy(profile, folder.join("profile.toml")).unwrap();
    write(folder, "s.toml", "3", "[grid]\n\"adc.bits\" = [4, 6]\n");
    succeeds(folder, "sweep s.toml --out swept --backend cpu");
    let table = |file: &str| -> Vec<Vec<String>> {
        let text = read(folder, "swept", file);
        text.lines().skip(1).map(|row| row.split(',').map(String::from).collect()).collect()
    };
    let sum = |rows: &[Vec<String>], bits: &str, column: usize| -> f64 {
        let mine = rows.iter().filter(|row| row[0] == bits);
        mine.map(|row| row[column].parse().unwrap_or(0.0)).sum()
    };
    let (summary, layers, components) = (table("summary.csv"), table("layers.csv"), table("components.csv"));
    let names: Vec<&str> = layers.iter().take(4).map(|row| row[1].as_str()).collect();
    assert_eq!(names, ["conv1", "conv2", "fc1", "fc2"]);
    assert!(components.iter().any(|row| row[1] == "adc") && components.iter().any(|row| row[1] == "cell_read"));
    for row in &summary {
        let (spikes, energy): (f64, f64) = (row[7].parse().unwrap(), row[12].parse().unwrap());
        assert!((sum(&layers, &row[0], 2) - spikes).abs() < 1e-3, "{row:?}");
        assert!((sum(&layers, &row[0], 4) / energy - 1.0).abs() < 1e-6, "{row:?}");
        assert!((sum(&components, &row[0], 2) / energy - 1.0).abs() < 1e-6, "{row:?}");
    }
    let page = read(folder, "swept", "report.html");
    assert!(page.contains("id=\"split-title\"") && page.contains("Energy of an image, by component"));
    assert!(page.contains("download=\"components.csv\""));
}
