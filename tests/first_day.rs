//! What stops a newcomer: each refusal says what to do next, and what needs no refusal has none.

mod common;

use std::fs;
use std::path::Path;

use common::command::{crosspike, json, root, succeeds, trained};

/// What a refused command says.
fn refused(folder: &Path, words: &str) -> String {
    let out = crosspike(folder, words);
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && text.starts_with("error: "), "{words}: {text}");
    text
}

const INFER: &str = "infer --model model.toml --checkpoint c.safetensors --data digits --limit 8 --backend cpu";
const CELLS: &str = "--set rram.layers=all --set rram.model=cell --set rram.weight_bits=4 --set rram.cell.g_max_us=50";

#[test]
fn a_later_statement_takes_the_place_of_one_that_says_the_same() {
    let folder = trained();
    let at = folder.path();
    fs::write(
        at.join("cells.toml"),
        "name = \"c\"\n[rram]\nlayers = \"all\"\nmodel = \"cell\"\nweight_bits = 4\n[rram.cell]\ng_max_us = \
         50.0\ng_min_us = 5.0\n\
         [rram.variation]\nkind = \"gaussian\"\nsigma = 0.1\n",
    )
    .unwrap();
    let accuracy = |more: &str| {
        succeeds(at, &format!("{INFER} --json r.json --profile cells.toml {more}"));
        json(at.join("r.json"))["origin"]["configuration"]["profile"]["rram"].clone()
    };
    let set = accuracy("--set rram.cell.on_off_ratio=20");
    assert_eq!((&set["cell"]["on_off_ratio"], &set["cell"]["g_min_us"]), (&20.0.into(), &serde_json::Value::Null));
    let set = accuracy("--set rram.variation.sigma_us=2");
    assert_eq!((&set["variation"]["sigma_us"], &set["variation"]["sigma"]), (&2.0.into(), &0.0.into()));
    let set = accuracy("--set rram.cell.g_min_us=");
    assert!(set["cell"]["g_min_us"].is_null());
    let both = "--set rram.cell.on_off_ratio=20 --set rram.cell.g_min_us=2";
    let text = refused(at, &format!("{INFER} --profile cells.toml {both}"));
    assert!(text.contains("given twice") && text.contains("--set rram.cell.g_min_us="), "{text}");
    let text = refused(
        at,
        &format!("{INFER} --profile cells.toml --set rram.variation.kind=lognormal --set rram.variation.sigma_us=1"),
    );
    assert!(text.contains("take it away: --set rram.variation.sigma_us="), "{text}");
}

#[test]
fn cells_that_do_not_conduct_when_off_have_an_infinite_ratio() {
    let folder = trained();
    let run = |more: &str, file: &str| {
        succeeds(folder.path(), &format!("{INFER} {CELLS} {more} --logits {file}"));
        fs::read(folder.path().join(file)).unwrap()
    };
    let none = run("--set rram.cell.g_min_us=0", "a.npy");
    assert_eq!(run("--set rram.cell.on_off_ratio=inf", "b.npy"), none);
    assert!(run("--set rram.cell.on_off_ratio=3 --set rram.cell.mapping=offset --set adc.bits=4", "c.npy") != none);
}

#[test]
fn a_file_of_another_kind_is_named_as_what_it_is() {
    let folder = trained();
    let at = folder.path();
    let study = "name = \"s\"\nmodel = \"model.toml\"\ndata = \"digits\"\nchips = 1\n";
    fs::write(at.join("sweep.toml"), format!("{study}[grid]\n\"sram.bits\" = [0]\n")).unwrap();
    fs::write(at.join("recipe.toml"), format!("{study}[[stage]]\nname = \"a\"\n")).unwrap();
    fs::copy(root("tests/golden/bntt/checkpoint.safetensors"), at.join("other.safetensors")).unwrap();
    for (words, expected) in [
        ("train model.toml --out o", "a file with `classes` is a model"),
        ("train profile.toml --out o", "a file with `rram` is a profile"),
        ("train sweep.toml --out o", "a file with `grid` is a sweep"),
        ("sweep recipe.toml --out o", "a file with `stage` is a recipe"),
        ("recipe sweep.toml --out o", "a file with `grid` is a sweep"),
        ("recipe model.toml --out o", "a file with `classes` is a model"),
        ("sweep train.toml --out o", "a file with `train` is a training file"),
        ("map --model profile.toml --profile profile.toml", "a file with `rram` is a profile"),
        ("map --model model.toml --profile model.toml", "a file with `classes` is a model"),
        (
            "infer --model model.toml --checkpoint other.safetensors --data digits",
            "it looks like another network: 2 input channels",
        ),
        ("map --model . --profile profile.toml", "is a folder; expected a TOML file"),
        (
            "infer --model model.toml --checkpoint c.safetensors --data images:.",
            "is a folder; expected a NumPy archive",
        ),
        ("infer --model model.toml --checkpoint . --data digits", "is a folder; expected a checkpoint"),
    ] {
        let text = refused(at, words);
        assert!(text.contains(expected), "{words}: {text}");
    }
}

#[test]
fn errors_of_values_speak_of_numbers_and_of_what_was_typed() {
    let folder = trained();
    for (set, expected) in [
        ("adc.bits=-3", "--set adc.bits=-3: adc.bits: number -3, expected a whole number from 0 on"),
        ("tile.rows=4.5", "number 4.5, expected a whole number from 0 on"),
        (
            "rram.variation.sigma=wide",
            "--set rram.variation.sigma=wide: rram.variation.sigma: text \"wide\", expected a number",
        ),
        ("adc.bits=18446744073709551616", "adc.bits: 18446744073709551616, expected a whole number"),
        ("rram.weight_bits=true", "value true, expected a whole number from 0 on"),
        ("rram.cell.g_min_us=", "nothing to take away"),
    ] {
        let text = refused(folder.path(), &format!("{INFER} --profile profile.toml --set {set}"));
        assert!(text.contains(expected), "{set}: {text}");
    }
}

#[test]
fn a_table_of_measured_cells_is_read_by_its_names_and_refused_by_its_rows() {
    let folder = trained();
    let at = folder.path();
    let run = |table: &str| {
        fs::write(at.join("t.csv"), table).unwrap();
        let keys = "--set rram.variation.kind=table --set rram.variation.file=t.csv --logits l.npy";
        crosspike(at, &format!("{INFER} {CELLS} {keys}"))
    };
    let logits = |table: &str| {
        let out = run(table);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        fs::read(at.join("l.npy")).unwrap()
    };
    let ordered = logits("g_us,mean_us,sigma_us\n0,1,2\n50,48,3\n");
    assert_eq!(logits("# in another order\nsigma_us, g_us, mean_us\n2,0,1\n3,50,48\n"), ordered);
    assert!(logits("g_us,sigma_us,mean_us\n0,1,2\n50,48,3\n") != ordered, "columns go by their names");
    for (table, expected) in [
        ("g_us,mean_us,sigma_us\n0,1,2\n50,-48,3\n", "t.csv: line 3: mean_us is `-48`, expected a finite number"),
        ("g_us,mean_us,sigma_us\n0,1,\n", "line 2: sigma_us is ``"),
        ("g_us,mean_us,sigma\n0,1,2\n", "expected the columns g_us, mean_us and sigma_us; found g_us, mean_us, sigma"),
        ("g_us,mean_us,sigma_us,note\n0,1,2,3\n", "the column `note` has no meaning"),
        ("g_us,mean_us,sigma_us\n50,1,2\n0,48,3\n", "rows 1 and 2 have the targets 50 and 0, expected rising ones"),
    ] {
        let text = String::from_utf8(run(table).stderr).unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn what_ran_and_what_is_missing_is_said() {
    let folder = trained();
    let at = folder.path();
    let text = succeeds(at, INFER);
    assert!(
        text.contains("the ideal chip (float weights), cpu")
            && text.contains("no energy: the profile has no constants"),
        "{text}"
    );
    assert!(!succeeds(at, &format!("{INFER} --profile profile.toml")).contains("ideal chip"));
    let priced = format!("{INFER} --profile {} --set adc.range=full", root("hw_profiles/spikesim_65nm.toml"));
    assert!(!succeeds(at, &priced).contains("no energy"));
    fs::copy(root("tests/golden/bntt/images.npz"), at.join("i.npz")).unwrap();
    let one = INFER.replace("digits", "images:i.npz").replace("model.toml", &root("tests/golden/bntt/model.toml"));
    let one = one.replace("c.safetensors", &root("tests/golden/bntt/checkpoint.safetensors"));
    let text = refused(
        at,
        &format!("{one} --set rram.layers=all --set tile.rows=64 --set adc.bits=4 --set adc.range=calibrated"),
    );
    assert!(text.contains("--calibration-data: ") && text.contains("is one set, and its images are tested"), "{text}");
}

#[test]
fn the_reference_of_keys_names_no_module() {
    for kind in ["profile", "model", "train", "sweep", "recipe"] {
        for form in ["", " --markdown"] {
            let text = succeeds(Path::new("."), &format!("schema {kind}{form}"));
            assert!(text.len() > 500 && !text.contains("::"), "{kind}{form}");
        }
    }
}

#[test]
fn values_that_no_device_has_are_asked_about() {
    let folder = trained();
    for (keys, expected) in [
        ("--set rram.cell.g_max_us=80e-6", "rram.cell.g_max_us = 0.00008 is 1.250e10 ohm: is it in microsiemens?"),
        ("--set rram.cell.g_max_us=1e6", "is 1.000e0 ohm"),
        ("--set rram.variation.kind=lognormal --set rram.variation.sigma=10", "0.1 would be 10 %"),
        ("--set rram.variation.kind=lognormal --set rram.variation.sigma=0.3", ""),
    ] {
        let output = crosspike(folder.path(), &format!("{INFER} {CELLS} {keys}"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.success() && said.contains(expected) && said.is_empty() == expected.is_empty(),
            "{keys}: {said}"
        );
    }
}

#[test]
fn nothing_on_crossbars_has_no_price_and_labels_begin_with_0() {
    let folder = trained();
    let at = folder.path();
    let priced = format!("{INFER} --set rram.layers=none --set cost.time_ns.drive=1 --set cost.energy_pj.neuron=1");
    let text = succeeds(at, &priced);
    assert!(text.contains("no layer stands on RRAM, and what digital logic takes is not known"), "{text}");
    let images = ndarray::Array4::<u8>::from_shape_fn((30, 1, 8, 8), |(n, _, y, x)| (n * 7 + y * 5 + x * 3) as u8);
    common::command::npz(&at.join("three.npz"), "images", &images);
    let model = fs::read_to_string(at.join("model.toml")).unwrap().replace("classes = 10", "classes = 2");
    fs::write(at.join("two.toml"), model).unwrap();
    let text = refused(
        at,
        "train train.toml --out o --set model=two.toml --set data=images:three.npz --set test=images:three.npz",
    );
    assert!(text.contains("has 3 classes, the model `digits` 2") && !text.contains("begin with"), "{text}");
    let mut archive = ndarray_npy::NpzWriter::new(fs::File::create(at.join("from_one.npz")).unwrap());
    archive.add_array("images", &images).unwrap();
    archive.add_array("labels", &ndarray::Array1::from_shape_fn(30, |i| i as i64 % 2 + 1)).unwrap();
    archive.finish().unwrap();
    let words =
        "train train.toml --out o --set model=two.toml --set data=images:from_one.npz --set test=images:from_one.npz";
    let text = refused(at, words);
    assert!(text.contains("its labels begin with 1, expected 0"), "{text}");
}

#[test]
fn what_comes_within_the_binary_is_there_in_any_folder() {
    let folder = trained();
    let at = folder.path();
    let run = |model: &str, profile: &str, file: &str| {
        let words = format!("infer --checkpoint c.safetensors --data digits --limit 8 --backend cpu --logits {file}");
        succeeds(at, &format!("{words} --model {model} --profile {profile} --set model.steps=2"));
        fs::read(at.join(file)).unwrap()
    };
    let here = run("models/digits.toml", "hw_profiles/rram_4bit.toml", "a.npy");
    assert_eq!(here, run(&root("models/digits.toml"), &root("hw_profiles/rram_4bit.toml"), "b.npy"));
    succeeds(at, "recipe recipes/digits_converters.toml --dry-run");
    // Paths of a study start from the folder, too, as if that were the project's.
    let search = "search recipes/digits_search.toml --dry-run --out runs/s";
    let text = String::from_utf8(crosspike(at, search).stderr).unwrap();
    assert!(text.contains("checkpoint: runs/quickstart/baseline.safetensors: No such file"), "{text}");
    let out = crosspike(at, &format!("{INFER} --profile hw_profiles/rram_4bit.toml"));
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.contains("hw_profiles/rram_4bit.toml: no file here, so the one that comes with crosspike"), "{text}");
    let text = refused(at, &INFER.replace("model.toml", "models/digit.toml"));
    assert!(text.contains("models/digit.toml"), "{text}");
    // A file that stands there is the one that is read.
    fs::create_dir(at.join("models")).unwrap();
    fs::write(at.join("models/digits.toml"), "name = 1\n").unwrap();
    let text = refused(at, &INFER.replace("model.toml", "models/digits.toml"));
    assert!(text.contains("models/digits.toml:1"), "{text}");
    // What comes with crosspike names what comes with it, and so may any file and command.
    let text = String::from_utf8(crosspike(at, search).stderr).unwrap();
    assert!(text.contains("checkpoint: runs/quickstart/baseline.safetensors: No such file"), "{text}");
    assert_eq!(here, run("crosspike:models/digits.toml", "crosspike:hw_profiles/rram_4bit.toml", "c.npy"));
    let text = refused(at, &INFER.replace("model.toml", "crosspike:models/digit.toml"));
    assert!(text.contains("`crosspike:models/digits.toml`"), "{text}");
    fs::write(at.join("twice.toml"), "name = \"t\"\n[stage]\nname = \"a\"\n[stage]\nname = \"b\"\n").unwrap();
    let text = refused(at, "check twice.toml");
    assert!(text.contains("twice.toml:4") && text.contains("double brackets"), "{text}");
    // A copy runs from any folder.
    let copy = String::from_utf8(crosspike(at, "show recipes/quickstart.toml").stdout).unwrap();
    fs::create_dir(at.join("own")).unwrap();
    fs::write(at.join("own/mine.toml"), copy).unwrap();
    succeeds(at, "check own/mine.toml");
    let text = refused(at, "check own/models/vgg9.toml");
    assert!(text.contains("not found") && text.contains("`crosspike:models/vgg9.toml`"), "{text}");
}
