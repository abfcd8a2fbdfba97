//! Keys without effect are said by every command, an axis that cannot matter is refused, and points that are the same
//! chips run once. Which keys these are, `tests/effect.rs` holds to what chips do.

mod common;

use std::fs;
use std::path::Path;

use common::command::{crosspike, succeeds, trained};

fn sweep(folder: &Path, more: &str) -> (bool, String) {
    let head = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\ndata = \"digits\"\nlimit = \
                10\nchips = 2\n";
    fs::write(folder.join("s.toml"), format!("{head}{more}")).unwrap();
    let _ = fs::remove_dir_all(folder.join("swept"));
    let output = crosspike(folder, "sweep s.toml --out swept --backend cpu");
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

const CELLS: &str = "\"rram.model\" = [\"cell\"]\n\"rram.cell.g_max_us\" = [50.0]\n";

#[test]
fn an_axis_that_cannot_matter_is_refused() {
    let folder = trained();
    for (axis, why) in [
        (&format!("[grid]\n\"rram.drift.nu\" = [0.0, 0.05]\n{CELLS}")[..], "rram.drift.time_s = 0"),
        (&format!("[grid]\n\"rram.drift.time_s\" = [10.0, 1e6]\n{CELLS}"), "nothing drifts"),
        ("[grid]\n\"rram.variation.scale\" = [0.0, 2.0]\n", "no variation that it would scale"),
        ("[grid]\n\"rram.variation.kind\" = [\"none\", \"lognormal\"]\n", "its σ is 0"),
        ("[grid]\n\"rram.scheme\" = [\"dorefa\", \"integer\"]\n", "rram.weight_bits = 0"),
        ("[grid]\n\"sram.shift\" = [-1, 0, 1]\n", "sram.bits = 0"),
        ("[grid]\n\"adc.gain_sigma\" = [0.0, 0.1]\n", "adc.bits = 0"),
        ("[grid]\n\"name\" = [\"a\", \"b\"]\n", "it is a name"),
        ("[grid]\n\"model.neuron.leak\" = [0.5, 0.9]\n\"model.steps\" = [2]\n", ""),
        ("[grid]\n\"tile.rows\" = [32, 64]\n", "it shows in floor plans alone"),
        (&format!("[grid]\n\"cost.energy_pj.write_pulse\" = [1.0, 2.0]\n{CELLS}"), "no table of a sweep has it"),
        ("[grid]\n\"adapt.images\" = [16, 32]\n\"adapt.batches\" = [0]\n", "its values give the same trials"),
        ("[[point]]\n\"rram.drift.nu\" = 0.0\n[[point]]\n\"rram.drift.nu\" = 0.1\n", ""),
        ("[[point]]\n\"sram.shift\" = 0\n[[point]]\n\"sram.shift\" = 2\n", "sram.bits = 0"),
        ("[sample]\ncount = 3\nkeys = { \"rram.variation.scale\" = { from = 0.5, to = 2.0 } }\n", "no variation"),
    ] {
        let (fine, said) = sweep(folder.path(), axis);
        // The steps are those of the checkpoint, so leak matters; a ν needs cells.
        match axis {
            _ if axis.contains("leak") => assert!(fine, "{said}"),
            _ if why.is_empty() => assert!(!fine && said.contains("rram.model = \"cell\""), "{said}"),
            _ => {
                assert!(!fine && said.contains("has no effect at any point") && said.contains(why), "{axis}: {said}");
                assert!(said.contains("s.toml:"), "with its place: {said}");
            }
        }
    }
}

#[test]
fn what_some_point_gives_an_effect_is_swept_and_the_same_chips_run_once() {
    let folder = trained();
    let folder = folder.path();
    let grid = "profile = \"profile.toml\"\n[grid]\n\"sram.bits\" = [0, 2]\n\"sram.shift\" = [-1, 0, 1]\n";
    let (fine, said) = sweep(folder, grid);
    assert!(fine && said.contains("2 of the 6 points are the same chips as others: each runs once"), "{said}");
    assert!(!said.contains("no effect"), "{said}");
    let whole = fs::read_to_string(folder.join("swept/summary.csv")).unwrap();
    for shard in 1..=4 {
        succeeds(folder, &format!("sweep s.toml --out parts --backend cpu --shard {shard}/4"));
    }
    assert_eq!(fs::read_to_string(folder.join("parts/summary.csv")).unwrap(), whole);
    let lines =
        |shard| fs::read_to_string(folder.join(format!("parts/trials-{shard}-of-4.csv"))).unwrap().lines().count() - 1;
    assert_eq!((1..=4).map(lines).sum::<usize>(), 4 * 2, "four kinds of chips, two of each, in whatever shard");
    let line = fs::read_to_string(folder.join("parts/trials-1-of-4.csv")).unwrap().lines().nth(1).unwrap().to_owned();
    assert_eq!(line.split(',').nth_back(1), Some("cpu"), "what ran it: {line}");
}

#[test]
fn a_point_that_leaves_a_key_out_shows_what_is_in_force() {
    let folder = trained();
    let folder = folder.path();
    let points = "profile = \"profile.toml\"\n[[point]]\n\"sram.bits\" = 2\n\"sram.init\" = \"residual\"\n\
                  [[point]]\n\"sram.bits\" = 3\n\"sram.shift\" = 1\n\"rram.variation.scale\" = 2.0\n\
                  [[point]]\n\"rram.weight_bits\" = 3\n\"adapt.batches\" = 2\n\"exit\" = \"gamma\"\n\"encoding\" = \
                  \"direct\"\n\
                  [[point]]\n\"model.neuron.leak\" = 0.5\n\"layer.conv2.rram.weight_bits\" = 2\n\"adc.bits\" = \
                  6\n\"adc.step\" = \"free\"\n";
    let (fine, said) = sweep(folder, points);
    assert!(fine, "{said}");
    let mut table = csv::Reader::from_path(folder.join("swept/summary.csv")).unwrap();
    let rows: Vec<std::collections::HashMap<String, String>> = table.deserialize().map(|row| row.unwrap()).collect();
    for (key, expected) in [
        ("sram.bits", ["2", "3", "0", "0"]),
        ("sram.init", ["residual", "rram", "rram", "rram"]),
        ("sram.shift", ["chosen", "1", "0", "0"]),
        ("rram.variation.scale", ["1.0", "2.0", "1.0", "1.0"]),
        ("rram.weight_bits", ["4", "4", "3", "4"]),
        ("layer.conv2.rram.weight_bits", ["4", "4", "3", "2"]),
        ("model.neuron.leak", ["0.95", "0.95", "0.95", "0.5"]),
        ("adapt.batches", ["0", "0", "2", "0"]),
        ("exit", ["none", "none", "gamma", "none"]),
        ("encoding", ["poisson", "poisson", "direct", "poisson"]),
        ("adc.bits", ["0", "0", "0", "6"]),
        ("adc.step", ["", "", "", "free"]),
    ] {
        assert_eq!(rows.iter().map(|row| row[key].as_str()).collect::<Vec<_>>(), expected, "{key}");
    }
    fs::remove_dir_all(folder.join("swept")).unwrap();
    fs::write(
        folder.join("off.toml"),
        "[rram]\nweight_bits = 4\nmodel = \"cell\"\n[rram.cell]\ng_max_us = 50.0\non_off_ratio = inf\n",
    )
    .unwrap();
    let points =
        "profile = \"off.toml\"\n[[point]]\n\"rram.cell.on_off_ratio\" = 10.0\n[[point]]\n\"rram.weight_bits\" = 3\n";
    let (fine, said) = sweep(folder, points);
    assert!(fine, "{said}");
    let mut table = csv::Reader::from_path(folder.join("swept/summary.csv")).unwrap();
    let rows = table.deserialize().map(|row: Result<std::collections::HashMap<String, String>, _>| row.unwrap());
    assert_eq!(rows.map(|row| row["rram.cell.on_off_ratio"].clone()).collect::<Vec<_>>(), ["10.0", "inf"]);
}

#[test]
fn every_command_says_keys_without_effect() {
    let folder = trained();
    let folder = folder.path();
    let said = |words: &str| {
        let output = crosspike(folder, words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let profile = "[rram.variation]\nkind = \"lognormal\"\n[sram]\nshift = 1\n";
    fs::write(folder.join("idle.toml"), profile).unwrap();
    let expected = ["rram.variation.kind has no effect: its σ is 0", "sram.shift has no effect: sram.bits = 0"];
    let infer =
        "infer --model model.toml --checkpoint c.safetensors --data digits --limit 5 --backend cpu --profile idle.toml";
    let attack = "attack --model model.toml --checkpoint c.safetensors --data digits --limit 2 --backend cpu \
                  --profile idle.toml --method fgsm --epsilon 0.1";
    let sweep = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"idle.toml\"\ndata = \
                 \"digits\"\n\
                 limit = 5\n[grid]\n\"rram.weight_bits\" = [2, 4]\n";
    fs::write(folder.join("s.toml"), sweep).unwrap();
    let recipe = "name = \"r\"\nmodel = \"model.toml\"\ndata = \"digits\"\nprofiles = \
                  [\"idle.toml\"]\n[evaluate]\nlimit = 5\n\
                  [[stage]]\nname = \"one\"\ncheckpoint = \"c.safetensors\"\nset = \
                  { \"adc.columns_shared\" = 4, \"rram.weight_bits\" = 4 }\n\
                  [[stage]]\nname = \"two\"\ncheckpoint = \"c.safetensors\"\n";
    fs::write(folder.join("r.toml"), recipe).unwrap();
    let train = fs::read_to_string(folder.join("train.toml")).unwrap().replace("profile.toml", "idle.toml");
    fs::write(folder.join("t.toml"), train.replace("epochs = 2", "epochs = 1\nmilestones = [1.0]")).unwrap();
    for words in [
        infer,
        attack,
        "check idle.toml",
        "check s.toml",
        "check r.toml",
        "check t.toml",
        "sweep s.toml --out swept --backend cpu",
        "sweep s.toml --out swept --backend cpu --dry-run",
        "recipe r.toml --out made --backend cpu",
        "train t.toml --out t",
    ] {
        let said = said(words);
        assert!(expected.iter().all(|sentence| said.contains(sentence)), "{words}: {said}");
    }
    assert!(said("check r.toml").contains("stage `one`: adc.columns_shared has no effect: adc.bits = 0"));
    assert!(said("check t.toml").contains("train.milestones has no effect: they lie behind the last epoch"));
    let axis = recipe
        .replace("[[stage]]\nname = \"two\"", "[evaluate.grid]\n\"sram.shift\" = [0, 1]\n[[stage]]\nname = \"two\"");
    fs::write(folder.join("a.toml"), axis).unwrap();
    let refused = String::from_utf8(crosspike(folder, "check a.toml").stderr).unwrap();
    assert!(refused.contains("evaluate.grid.sram.shift: has no effect at any point: sram.bits = 0"), "{refused}");
}

#[test]
fn points_may_set_what_the_profile_lacks() {
    let folder = trained();
    let folder = folder.path();
    fs::write(
        folder.join("half.toml"),
        "name = \"half\"\n[rram]\nlayers = \"all\"\nmodel = \"cell\"\nweight_bits = 4\n",
    )
    .unwrap();
    let (fine, said) = sweep(
        folder,
        "profile = \"half.toml\"\n[grid]\n\"rram.cell.g_max_us\" = [40.0, 50.0]\n\"rram.cell.g_min_us\" = [4.0]\n",
    );
    assert!(fine, "{said}");
    let (fine, said) = sweep(folder, "profile = \"half.toml\"\n[grid]\n\"sram.bits\" = [0, 2]\n");
    assert!(!fine && said.contains("g_max_us"), "{said}");
}

#[test]
fn checkpoints_that_differ_in_how_their_companion_arrays_were_trained_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let golden = common::golden("");
    for (name, form) in
        [("a", r#"{"scheme":"integer","combine":"sum"}"#), ("b", r#"{"scheme":"uniform","combine":"average"}"#)]
    {
        let mut checkpoint = crosspike::checkpoint::Checkpoint::read(&golden.join("hybrid.safetensors")).unwrap();
        checkpoint.metadata =
            serde_json::json!({ "companion": serde_json::from_str::<serde_json::Value>(form).unwrap() });
        checkpoint.write(&folder.join(format!("{name}.safetensors"))).unwrap();
    }
    let at = golden.display();
    let swept = |checkpoints: &str| {
        let text = format!(
            "name = \"s\"\nmodel = \"{at}/model.toml\"\ndata = \"frames:{at}/frames.npz\"\ncheckpoint = \
             \"a.safetensors\"\nchips = 1\n\
             [grid]\n\"checkpoint\" = [{checkpoints}]\n\"sram.bits\" = [2]\n\"rram.weight_bits\" = [4]\n"
        );
        fs::write(folder.join("s.toml"), text).unwrap();
        let _ = fs::remove_dir_all(folder.join("swept"));
        succeeds(folder, "sweep s.toml --out swept --backend cpu");
        let table = fs::read_to_string(folder.join("swept/summary.csv")).unwrap();
        table.lines().skip(1).map(|line| line.split_once(',').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let both = swept("\"a.safetensors\", \"b.safetensors\"");
    let alone = [swept("\"a.safetensors\""), swept("\"b.safetensors\"")].concat();
    assert_eq!(both, alone);
    assert!(both[0] != both[1], "{both:?}");
}
