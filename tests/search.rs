//! Searches: the cheapest chip that is good enough, the same for any kills and shards, judged on what the search has
//! not seen.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::command::{crosspike, json, start, succeeds, trained};
use crosspike::profile::Profile;

/// What a search answers and writes.
const WRITTEN: [&str; 6] = ["answer.json", "best.toml", "results.csv", "summary.csv", "tried.csv", "components.csv"];

/// A search's file: what is the same for all, and more.
fn write(folder: &Path, name: &str, more: &str) {
    let head = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"chip.toml\"\ndata = \
                \"digits\"\nlimit = 60\n";
    fs::write(folder.join(name), format!("{head}{more}")).unwrap();
}

/// A folder with a network and a chip that has costs.
fn folder() -> tempfile::TempDir {
    let folder = trained();
    // One that knows seven digits of ten.
    succeeds(folder.path(), "train train.toml --out good --set train.epochs=8 --set train.limit=1200");
    fs::copy(folder.path().join("good/checkpoint.safetensors"), folder.path().join("c.safetensors")).unwrap();
    let chip = fs::read_to_string(common::command::root("hw_profiles/spikesim_65nm.toml")).unwrap();
    fs::write(folder.path().join("chip.toml"), chip).unwrap();
    folder
}

const SEARCH: &str = "minimise = \"energy_pj_per_image\"\nown_images = true\nchips = 6\ntrials = 120\n\
    set = { \"rram.variation.scale\" = 3.0, \"sram.init\" = \"residual\", \"sram.adder_bits\" = 16 }\n\
    reference = { \"rram.variation.scale\" = 0.0, \"sram.bits\" = 0 }\n\
    [constraint]\naccuracy = { within = 25.0 }\n\
    [space]\n\"adc.bits\" = [2, 3, 4, 5]\n\"tile.rows\" = [64, 256]\n\"layer.*.sram.bits\" = [0, 2, 3]\n\
    [validate]\nchips = 4\nlimit = 80\nown_images = true\n";

fn same(folder: &Path, one: &str, other: &str) {
    let read = |run: &str, file: &str| fs::read_to_string(folder.join(run).join(file)).unwrap();
    for file in WRITTEN {
        assert_eq!(read(one, file), read(other, file), "{file} of {one} and {other}");
    }
}

/// Searches once, with kills, and in two shards.
fn thrice(folder: &Path, set: &str) {
    let search = |run: &str| format!("search s.toml --out {run} --backend cpu {set}");
    ["whole", "killed", "shards"].iter().for_each(|run| _ = fs::remove_dir_all(folder.join(run)));
    succeeds(folder, &search("whole"));
    let trials = || fs::read_to_string(folder.join("killed/trials-1-of-1.csv")).map_or(0, |text| text.lines().count());
    let mut kills = 0;
    while !folder.join("killed/finished").exists() {
        let (before, mut child) = (trials(), start(folder, &search("killed")));
        while child.try_wait().unwrap().is_none() && trials() <= before + 30 {
            std::thread::sleep(Duration::from_micros(200));
        }
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0);
    same(folder, "whole", "killed");
    let shard = |index: usize| start(folder, &format!("{} --shard {index}/2", search("shards")));
    let both = [shard(1), shard(2)];
    both.into_iter().for_each(|mut child| assert!(child.wait().unwrap().success()));
    same(folder, "whole", "shards");
    let shares =
        [1, 2].map(|i| fs::read_to_string(folder.join(format!("shards/trials-{i}-of-2.csv"))).unwrap().lines().count());
    let all: usize = shares.iter().sum();
    assert!(all > 30 && shares.iter().all(|lines| 3 * lines > all), "{shares:?}");
}

#[test]
fn kills_and_shards_do_not_show_in_what_is_found() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "s.toml", SEARCH);
    thrice(folder, "");
    // The page splits the answer's spikes and energy, not those of the chip that it is compared to.
    let page = fs::read_to_string(folder.join("whole/report.html")).unwrap();
    assert!(page.contains("at the answer, best") || page.contains("at the answer, nearest"), "{page}");
    // Some candidates were left after the first chips, the best ran on all.
    let mut tried = csv::Reader::from_path(folder.join("whole/tried.csv")).unwrap();
    let column = tried.headers().unwrap().iter().position(|column| column == "chips").unwrap();
    let chips: Vec<String> = tried.records().map(|row| row.unwrap()[column].to_owned()).collect();
    let of = |count: &str| chips.iter().filter(|chips| **chips == count).count();
    let few = of("1") + of("2");
    assert!(of("1") > 3 && of("6") > 0 && few + of("4") + of("6") == chips.len(), "{chips:?}");
    // A finished one is not begun again.
    let again = crosspike(folder, "search s.toml --out whole");
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("holds a finished run"));
}

#[test]
fn what_is_found_is_the_best_of_all_and_runs_as_it_is() {
    let folder = folder();
    let folder = folder.path();
    let space = "[space]\n\"sram.bits\" = [0, 2, 3]\n\"adc.bits\" = [3, 5]\n\"tile.rows\" = [64, 128, 576]\n";
    let goals = "chips = 12\ntrials = 1000\nset = { \"rram.variation.scale\" = 3.0, \"sram.init\" = \"residual\", \
                 \"sram.adder_bits\" = 16 }\n";
    write(
        folder,
        "s.toml",
        &format!(
            "minimise = \"energy_pj_per_image\"\n{goals}[constraint]\naccuracy = {{ least = 50.0 \
             }}\n{space}[validate]\nchips = 3\n"
        ),
    );
    succeeds(folder, "search s.toml --out found --backend cpu");
    // All of the space, the same chips and images.
    let head = "name = \"all\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"chip.toml\"\ndata \
                = \"digits\"\nlimit = 60\nchips = 12\n";
    fs::write(folder.join("all.toml"), format!("{head}{}", space.replace("[space]", "[grid]"))).unwrap();
    succeeds(
        folder,
        "sweep all.toml --out all --backend cpu --set rram.variation.scale=3 --set sram.init=residual --set \
         sram.adder_bits=16",
    );
    let mut reader = csv::Reader::from_path(folder.join("all/summary.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let number = |row: &csv::StringRecord, name: &str| row[column(name)].parse::<f64>().unwrap();
    // The lower end of the one-sided interval of twelve chips (Student's t of 11 degrees of freedom: 1.7959).
    let sure = |row: &&csv::StringRecord| {
        number(row, "accuracy_mean") - 1.7958848 * number(row, "accuracy_std") / 12.0f64.sqrt() > 50.0
    };
    let best = rows
        .iter()
        .filter(sure)
        .min_by(|a, b| number(a, "energy_pj_per_image").total_cmp(&number(b, "energy_pj_per_image")));
    let best = best.expect("one is good enough");
    let answer = json(folder.join("found/answer.json"));
    assert_eq!(answer["is_met"], true);
    for key in ["sram.bits", "adc.bits", "tile.rows"] {
        let found = answer["best"].as_array().unwrap().iter().find(|pair| pair[0] == key).unwrap();
        assert_eq!(found[1], best[column(key)], "{key} of {answer}");
    }
    let profile = Profile::read(&folder.join("found/best.toml"), &[]).unwrap();
    assert_eq!(profile.sram.bits.to_string(), best[column("sram.bits")]);
    succeeds(
        folder,
        "infer --model model.toml --checkpoint c.safetensors --data digits --limit 20 --profile found/best.toml \
         --chips 2",
    );
    assert!(fs::read_to_string(folder.join("found/report.html")).unwrap().contains("pJ an image"));
}

#[test]
fn a_search_on_images_that_a_training_left_out_is_judged_on_all_test_images() {
    let folder = folder();
    let folder = folder.path();
    let more = "minimise = \"sram_bytes\"\nchips = 2\nset = { \"sram.init\" = \"residual\" }\n[constraint]\naccuracy = { \
                least = 20.0 }\n[space]\n\"sram.bits\" = [2, 3]\n[validate]\nchips = 2\n";
    write(folder, "s.toml", more);
    let search = |out: &str, words: &str| {
        succeeds(folder, &format!("search s.toml --out {out} --backend cpu {words}"));
        let trials = fs::read_to_string(folder.join(out).join("trials-1-of-1.csv")).unwrap();
        (json(folder.join(out).join("answer.json"))["details"].to_string(), trials.lines().nth(1).unwrap().to_owned())
    };
    let (said, first_on_test) = search("test", "");
    assert!(said.contains("2 chips and 300 images") && !said.contains("held_out_from"), "{said}");
    let (said, first) = search("held", "--set held_out_from=1200");
    let on =
        "The search ran on 60 training images, from number 1200 on (held_out_from), and test images judge its answer.";
    assert!(said.contains("2 chips and 360 images") && said.contains(on), "{said}");
    let (said, later) = search("later", "--set held_out_from=1210");
    assert!(said.contains("2 chips and 360 images"), "{said}");
    assert!(first != first_on_test && first != later, "{first}");
    // A network that was trained from another may have seen anything before.
    succeeds(folder, "train train.toml --out again --set init=c.safetensors --set train.epochs=1 --set train.limit=40");
    let unknown = "it was trained from another network (init)";
    let said = |words: &str| {
        let output = crosspike(folder, &format!("search s.toml --out dry --dry-run {words}"));
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(!said("--set held_out_from=1200").contains(unknown));
    let again = said("--set held_out_from=1200 --set checkpoint=again/checkpoint.safetensors");
    assert!(again.contains(unknown), "{again}");
}

#[test]
fn a_front_is_of_chips_of_which_none_beats_another() {
    let folder = folder();
    let folder = folder.path();
    let more = "minimise = \"sram_bytes\"\nmaximise = \"accuracy\"\nchips = 5\ntrials = 200\n\
                set = { \"rram.variation.scale\" = 4.0, \"sram.init\" = \"residual\", \"sram.adder_bits\" = 16, \"adc.bits\" = 6 }\n\
                [space]\n\"layer.*.sram.bits\" = [0, 2, 4]\n[validate]\nchips = 4\n";
    write(folder, "s.toml", more);
    succeeds(folder, "search s.toml --out front --backend cpu");
    let mut reader = csv::Reader::from_path(folder.join("front/summary.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert!(rows.len() > 2, "{rows:?}");
    let bytes: Vec<f64> = rows.iter().map(|row| row[column("sram_bytes")].parse().unwrap()).collect();
    // Bytes of residuals differ a little from chip to chip.
    assert!(bytes[0] == 0.0 && bytes.windows(2).all(|pair| pair[0] < pair[1] + 100.0), "{bytes:?}");
    assert!(bytes[bytes.len() - 1] > 2000.0, "{bytes:?}");
    // On the search's own chips none is beaten, and all ran on all chips.
    let mut tried = csv::Reader::from_path(folder.join("front/tried.csv")).unwrap();
    let names = tried.headers().unwrap().clone();
    let of =
        |row: &csv::StringRecord, name: &str| row[names.iter().position(|other| other == name).unwrap()].to_owned();
    let all: Vec<csv::StringRecord> = tried.records().map(Result::unwrap).collect();
    let number = |row: &csv::StringRecord, name: &str| of(row, name).parse::<f64>().unwrap();
    for row in &rows {
        let layers: Vec<&str> = header.iter().filter(|name| name.starts_with("layer.")).collect();
        let same = |other: &&csv::StringRecord| layers.iter().all(|name| of(other, name) == row[column(name)]);
        let own = all.iter().find(same).unwrap();
        assert_eq!(of(own, "chips"), "5");
        let beats = |other: &&csv::StringRecord| {
            number(other, "sram_bytes") <= number(own, "sram_bytes")
                && number(other, "accuracy_mean") > number(own, "accuracy_mean")
                && of(other, "chips") == "5"
        };
        assert!(!all.iter().any(|other| beats(&other)), "{own:?}");
    }
    assert!(folder.join("front/front_2.toml").is_file() && !folder.join("front/best.toml").exists());
}

#[test]
fn what_cannot_be_met_is_said_with_the_nearest_miss() {
    let folder = folder();
    let folder = folder.path();
    let more = "minimise = \"sram_bytes\"\nchips = 4\ntrials = 60\nset = \
                { \"rram.variation.scale\" = 3.0, \"sram.init\" = \"residual\" }\n\
                [constraint]\naccuracy = { least = 100.0 }\n[space]\n\"sram.bits\" = [2, 3, 4]\n[validate]\nchips = \
                2\n";
    write(folder, "s.toml", more);
    let said = succeeds(folder, "search s.toml --out none --backend cpu");
    assert!(said.contains("No candidate surely keeps to what is asked (accuracy of 100 % or more"), "{said}");
    assert!(said.contains("The nearest, ") && said.contains(" bytes of SRAM at "), "{said}");
    assert_eq!(json(folder.join("none/answer.json"))["is_met"], false);
    assert!(fs::read_to_string(folder.join("none/best.toml")).unwrap().starts_with("# s: nearest of a search"));
}

#[test]
fn a_reference_that_lies_in_the_space_is_what_candidates_have_to_beat() {
    let folder = folder();
    let folder = folder.path();
    let more = "minimise = \"energy_pj_per_image\"\nchips = 4\ntrials = 60\n\
                set = { \"rram.variation.scale\" = 3.0, \"sram.init\" = \"residual\", \"sram.adder_bits\" = 16 }\n\
                reference = { \"adc.bits\" = 5, \"sram.bits\" = 3 }\n[constraint]\naccuracy = { within = 0.0 }\n\
                [space]\n\"adc.bits\" = [1, 5, 8]\n\"layer.*.sram.bits\" = [0, 3]\n\"layer.*.sram.threshold\" = [0.0]\n\
                [validate]\nchips = 2\nlimit = 60\n";
    // A converter of one bit gets nothing right, one of eight bits takes more energy.
    write(folder, "s.toml", &more.replace("[0, 3]", "[3]"));
    let said = succeeds(folder, "search s.toml --out itself --backend cpu");
    assert!(said.contains("No better candidate than the reference itself was found that surely keeps to"), "{said}");
    let answer = json(folder.join("itself/answer.json"));
    assert!(answer["is_met"] == true && !said.contains("points below the reference"), "{answer}");
    // The reference is a candidate that passed, though a few chips are never surer than an image of one's own accuracy.
    let mut tried = csv::Reader::from_path(folder.join("itself/tried.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = tried.records().map(Result::unwrap).collect();
    let passed = |bits: &str| rows.iter().any(|row| &row[0] == bits && row.iter().any(|cell| cell == "surely"));
    assert!(rows.len() == 3 && passed("5") && !passed("1"), "{rows:?}");
    // One that lies outside is no candidate.
    write(folder, "s.toml", &more.replace("\"adc.bits\" = 5", "\"adc.bits\" = 6").replace("[1, 5, 8]", "[1, 5]"));
    let said = succeeds(folder, "search s.toml --out outside --backend cpu");
    assert!(said.contains("No candidate surely keeps to what is asked (accuracy of the reference's"), "{said}");
}

#[test]
fn a_time_ends_a_search_and_a_dry_run_writes_nothing() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "s.toml", &SEARCH.replace("trials = 120", "trials = 1000000"));
    let said = succeeds(folder, "search s.toml --out dry --dry-run");
    assert!(said.contains("648 candidates; about 1000012 trials"), "{said}");
    assert!(!folder.join("dry").exists());
    // More candidates than could ever be tried, so that nothing but the time ends it.
    let many = "\"layer.*.sram.threshold\" = { from = 0.0, to = 0.9 }\n[validate]";
    write(folder, "many.toml", &SEARCH.replace("trials = 120", "trials = 1000000").replace("[validate]", many));
    succeeds(folder, "search many.toml --out timed --budget 0.2s");
    assert!(json(folder.join("timed/answer.json"))["trials"].as_u64().unwrap() < 1_000_000);
    let fewer = Command::new(assert_cmd::cargo::cargo_bin("crosspike"))
        .current_dir(folder)
        .args("search s.toml --out few --budget 40".split_whitespace())
        .output()
        .unwrap();
    assert!(fewer.status.success());
    // A generation that has begun is finished.
    let few = json(folder.join("few/answer.json"))["trials"].as_u64().unwrap();
    assert!((40..40 + 24 * 6 + 6).contains(&few), "{few}");
    // More trials go on from there.
    let before = fs::read_to_string(folder.join("few/trials-1-of-1.csv")).unwrap();
    succeeds(folder, "search s.toml --out few --budget 200 --resume");
    let after = fs::read_to_string(folder.join("few/trials-1-of-1.csv")).unwrap();
    assert!(after.starts_with(&before) && after.len() > before.len());
    succeeds(folder, "search s.toml --out whole --budget 200");
    same(folder, "few", "whole");
}

#[test]
fn what_is_wrong_or_without_effect_is_said_with_its_line() {
    let folder = folder();
    let folder = folder.path();
    let good = "minimise = \"sram_bytes\"\n[space]\n\"sram.bits\" = [2, 3]\n";
    for (more, expected) in [
        ("[space]\n\"sram.bits\" = [2, 3]\n", "minimise: names nothing"),
        (
            "minimise = \"watts\"\n[space]\n\"sram.bits\" = [2, 3]\n",
            "s.toml:7:1: minimise: `watts`, expected one of energy_pj_per_image",
        ),
        (
            "maximise = \"speed\"\n[space]\n\"sram.bits\" = [2, 3]\n",
            "s.toml:7:1: maximise: `speed`, expected \"accuracy\"",
        ),
        ("minimise = \"sram_bytes\"\n[space]\n", "s.toml:8:2: space: is empty"),
        ("minimise = \"sram_bytes\"\n[space]\n\"sram.bitz\" = [2, 3]\n", "sram.bitz"),
        (
            "minimise = \"sram_bytes\"\n[space]\n\"sram.bits\" = [2, 2]\n",
            "s.toml:9:1: space.sram.bits: holds the same value twice",
        ),
        (
            "minimise = \"sram_bytes\"\n[space]\n\"sram.bits\" = [2, 3]\n\"neuron.leak_bits\" = [3, 4]\n",
            "s.toml:10:1: space.neuron.leak_bits",
        ),
        (
            "minimise = \"sram_bytes\"\nset = { \"sram.bits\" = 2 }\n[space]\n\"sram.bits\" = [2, 3]\n",
            "is a key of `space` too",
        ),
        (
            "minimise = \"sram_bytes\"\nreference = { \"adc.bits\" = 0 }\n[space]\n\"sram.bits\" = [2, 3]\n",
            "is for `constraint.accuracy.within`",
        ),
        (
            "minimise = \"sram_bytes\"\nchips = 1\n[space]\n\"sram.bits\" = [2, 3]\n",
            "s.toml:8:1: chips: 1, expected 2 chips",
        ),
        (
            "minimise = \"sram_bytes\"\nown_images = true\nchips = 7\n[space]\n\"sram.bits\" = [2, 3]\n",
            "s.toml:8:1: own_images: 60 images (`limit`) for 7 chips; expected 56, say",
        ),
        (
            "minimise = \"sram_bytes\"\n[space]\n\"sram.bits\" = [2, 3]\n[validate]\nown_images = true\n",
            "validate.own_images: expected `validate.limit` beside it, a multiple of the 20 chips",
        ),
        (
            "minimise = \"sram_bytes\"\nown_images = true\nchips = 6\nset = { \"system.ensemble\" = 2 }\n[space]\n\
             \"sram.bits\" = [2, 3]\n",
            "s.toml:8:1: own_images: chips that answer together",
        ),
        (
            "minimise = \"sram_bytes\"\n[constraint]\naccuracy = { within = 1.0, least = 2.0 }\n[space]\n\"sram.bits\" \
             = [2, 3]\n",
            "expected one of `within` and `least`",
        ),
        (
            "minimise = \"sram_bytes\"\n[constraint]\naccuracy = { least = 2.0, confidence = 1.0 \
             }\n[space]\n\"sram.bits\" = [2, 3]\n",
            "between 0.5 and 1",
        ),
        (
            "minimise = \"latency_ns\"\nset = { \"adc.bits\" = 0 }\n[space]\n\"sram.bits\" = [2, 3]\n",
            "latency_ns is not known on these chips",
        ),
    ] {
        write(folder, "s.toml", more);
        let output = crosspike(folder, "search s.toml --out out --force");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{more}: {said}");
    }
    for (more, expected) in [
        ("set = { \"rram.layers\" = \"none\" }\n[space]\n\"layer.*.sram.bits\" = [0, 2]\n", "no layer stands on RRAM"),
        (
            "set = { \"sram.bits\" = 2 }\n[space]\n\"layer.*.sram.bits\" = [0, 2]\n",
            "set.sram.bits: is set for each layer by `space`",
        ),
        (
            "set = { \"layer.conv1.sram.bits\" = 2 }\n[space]\n\"layer.*.sram.bits\" = [0, 2]\n",
            "set.layer.conv1.sram.bits: is a key of `space` too",
        ),
        ("[space]\n\"data\" = [\"digits\"]\n", "space.data: is the same for all"),
    ] {
        write(folder, "s.toml", &format!("minimise = \"sram_bytes\"\n{more}"));
        let output = crosspike(folder, "search s.toml --out out");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{more}: {said}");
    }
    let searched =
        "minimise = \"sram_bytes\"\nheld_out_from = 1200\n[train]\n[space]\n\"train.limit\" = [1201, 1300]\n";
    write(folder, "s.toml", searched);
    let output = crosspike(folder, "search s.toml --out out");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("s.toml:11:1: space.train.limit: ") && said.contains("images from number 1200 on"), "{said}");
    write(folder, "s.toml", good);
    for (words, expected) in [
        ("--set limit=360", "limit: 360, expected fewer than the 360 test images"),
        ("--set limit=500", "limit: 500, expected fewer than the 360 test images"),
        (
            "--set held_out_from=1199",
            "c.safetensors was trained on the first 1200 training images; expected 1200 or more",
        ),
        (
            "--set held_out_from=1200 --set limit=240",
            "limit: 240, expected at most the 237 training images from number 1200",
        ),
        ("--set held_out_from=2000", "--set held_out_from=2000: held_out_from: 2000, and the set has no more"),
        ("--set held_out_from=1200 --set train.limit=all", "train.limit: text \"all\", expected a whole number"),
        (
            "--set held_out_from=1200 --set validate.limit=400",
            "validate.limit: 400, expected at most the 360 test images",
        ),
        (
            "--set held_out_from=1200 --set train.epochs=1",
            "train: has no `limit`, and the search runs on training images from number 1200",
        ),
        (
            "--set held_out_from=1200 --set train.limit=1201",
            "train.limit: 1201, and the search runs on training images from number 1200 on (held_out_from); expected",
        ),
        ("--set sram.bits=2", "the study sets sram.bits itself"),
        ("--set validate.limit=500", "validate.limit: 500, expected at most the 300 test images that are left"),
        ("--budget 10m", "expected a number of trials"),
        ("--budget 10s --shard 1/2", "shards decide the same only where no time ends them"),
    ] {
        let output = crosspike(folder, &format!("search s.toml --out out {words}"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{words}: {said}");
    }
}

/// A folder with an `sbatch` that runs what it is given, and an `srun` that runs as many tasks as the script asks for,
/// all at once.
#[cfg(unix)]
fn with_slurm(folder: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let sbatch = "#!/bin/sh\nfor word; do last=$word; done\n\
                  export TASKS=$(sed -n 's/^#SBATCH --ntasks=//p' \"$last\")\nsh \"$last\" >&2 || exit 1\necho 41\n";
    let srun = "#!/bin/sh\nshift 2\nfor task in $(seq $TASKS); do SLURM_PROCID=$((task - 1)) \"$@\" & all=\"$all $!\"; \
                done\n\
                for one in $all; do wait $one || exit 1; done\n";
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    for (name, script) in [("sbatch", sbatch), ("srun", srun)] {
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[cfg(unix)]
#[test]
fn slurm_runs_the_shards_together() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "it's a search.toml", SEARCH);
    fs::copy(folder.join("it's a search.toml"), folder.join("s.toml")).unwrap();
    succeeds(folder, "search s.toml --out whole --backend cpu --budget 60 --set chips=4");
    let path = with_slurm(folder);
    let words =
        ["search", "it's a search.toml", "--out", "job", "--backend", "cpu", "--slurm", "3", "--set", "chips=4"];
    let run = |more: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("crosspike"));
        command.current_dir(folder).args(words).args(more).env("PATH", &path).output().unwrap()
    };
    let output = run(&["--budget", "60", "--slurm-option=--mem=1G"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("submitted 3 shards as the tasks of job 41"), "{said}");
    let read = |run: &str, file: &str| fs::read_to_string(folder.join(run).join(file)).unwrap();
    ["summary.csv", "tried.csv"].iter().for_each(|file| assert_eq!(read("whole", file), read("job", file)));
    assert!(read("job", "slurm/search.sh").contains("#SBATCH --ntasks=3\n"));
    // Requeued after all is done.
    let again = Command::new("sh")
        .args(["-c", "TASKS=3 sh job/slurm/search.sh"])
        .current_dir(folder)
        .env("PATH", &path)
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(String::from_utf8_lossy(&again.stdout).contains("the search is finished"));
    let timed = run(&["--budget", "10s", "--force"]);
    assert!(String::from_utf8_lossy(&timed.stderr).contains("no time ends them"));
}

/// A search whose candidates are trained.
const TRAINED: &str = "minimise = \"sram_bytes\"\nchips = 4\ntrials = 90\n\
    set = { \"rram.variation.scale\" = 4.0, \"sram.init\" = \"residual\" }\n\
    [constraint]\naccuracy = { least = 60.0 }\n\
    [train]\nepochs = 2\nlearning_rate = 0.02\nlimit = 600\nbatch = 32\n\
    [space]\n\"train.variation\" = [false, true]\n\"sram.bits\" = [0, 2, 3]\n\"rram.weight_bits\" = [3, 4]\n\
    [validate]\nchips = 3\nlimit = 80\n";

#[test]
fn candidates_are_trained_once_for_what_their_training_sees() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "s.toml", TRAINED);
    let said = succeeds(folder, "search s.toml --out dry --backend cpu --dry-run");
    assert!(said.contains("12 candidates") && said.contains("\nup to 4 trainings beside, about "), "{said}");
    thrice(folder, "");
    // Variation and levels are seen by training, companion arrays are not: four networks for twelve candidates.
    let networks = fs::read_dir(folder.join("whole/cache")).unwrap().count();
    assert_eq!(networks, 4);
    let tried = fs::read_to_string(folder.join("whole/tried.csv")).unwrap();
    let rows: Vec<std::collections::HashMap<String, String>> =
        csv::Reader::from_reader(tried.as_bytes()).deserialize().map(|row| row.unwrap()).collect();
    let mean = |variation: &str| {
        let is = |row: &&std::collections::HashMap<String, String>| {
            (row["train.variation"].as_str(), row["sram.bits"].as_str()) == (variation, "0")
        };
        let found: Vec<f64> = rows.iter().filter(is).map(|row| row["accuracy_mean"].parse().unwrap()).collect();
        found.iter().sum::<f64>() / found.len() as f64
    };
    // Networks that were trained for variation bear it better without any array.
    assert!(mean("true") > mean("false") + 2.0, "{tried}");
    // One whose training goes wrong is no candidate, for all that come after.
    write(
        folder,
        "bad.toml",
        &TRAINED
            .replace("learning_rate = 0.02\n", "")
            .replace("[false, true]", "[false]")
            .replace("\"sram.bits\" = [0, 2, 3]", "\"sram.bits\" = [0]\n\"train.learning_rate\" = [0.02, 1e38]"),
    );
    for _ in 0..2 {
        succeeds(folder, "search bad.toml --out bad --backend cpu --resume");
        let answer = json(folder.join("bad/answer.json"));
        let said = answer["details"].to_string();
        assert!(said.contains("2 others are no chips; the first: bad.toml:") && said.contains("not finite"), "{said}");
    }
    // The answer runs as it is, with the network that was trained for it.
    let best = fs::read_to_string(folder.join("whole/best.toml")).unwrap();
    assert!(best.contains("# It was trained with train.variation = "), "{best}");
    let line = best.lines().find_map(|line| line.strip_prefix("# crosspike ")).unwrap();
    let options = line.strip_suffix(", and for the rest model, checkpoint and data of the search.").unwrap();
    let rest = "--model ../model.toml --data digits --limit 140 --chips 7 --backend cpu";
    succeeds(&folder.join("whole"), &format!("{options} {rest}"));
    let summary = fs::read_to_string(folder.join("whole/summary.csv")).unwrap();
    assert!(summary.starts_with("chip_of,rram.weight_bits,sram.bits,train.variation,"), "{summary}");
}

#[test]
fn keys_of_trainings_stand_where_they_are_used() {
    let folder = folder();
    let folder = folder.path();
    for (more, expected) in [
        ("[space]\n\"train.epochs\" = [1, 2]\n", "space.train.epochs: is of a training, and none is asked for"),
        ("[train]\nepochs = 1\n[space]\n\"train.epochs\" = [1, 2]\n", "space.train.epochs: is a key of `train` too"),
        (
            "set = { \"train.epochs\" = 2 }\n[train]\n[space]\n\"sram.bits\" = [1, 2]\n",
            "set.train.epochs: is of the training; expected it in `[train]`",
        ),
        (
            "[train]\n[space]\n\"train.momentum\" = [0.8, 0.9]\n\"train.optimiser\" = [\"adamw\"]\n",
            "train.momentum: has no effect in any candidate: train.optimiser = \"adamw\" has betas",
        ),
        ("[train]\nspeed = 3\n[space]\n\"sram.bits\" = [1, 2]\n", "train.speed"),
        (
            "set = { \"rram.variation.scale\" = 0.0 }\n[train]\nvariation = true\n[space]\n\"sram.bits\" = [2, 3]\n",
            "train.variation: is true, but the profile has no variation",
        ),
        ("[space]\n\"layer.*.rram.exact\" = \"tiles\"\n", "expected it in [probe] of a study of sensitivity"),
    ] {
        write(folder, "s.toml", &format!("minimise = \"sram_bytes\"\n{more}"));
        let output = crosspike(folder, "search s.toml --out out");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{more}: {said}");
    }
}
