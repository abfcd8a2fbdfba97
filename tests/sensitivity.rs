//! Sensitivity: what one key at a time costs or wins, in pairs on the same chips, the same after a kill.

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use common::command::{crosspike, start, succeeds, trained};

const PROBE: &str =
    "[probe]\n\"layer.*.rram.variation.scale\" = [0.0]\n\"layer.*.sram.bits\" = [2]\n\"sram.bits\" = [3]\n";

fn write(folder: &Path, name: &str, more: &str) {
    let head = "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"profile.toml\"\ndata \
                = \"digits\"\nlimit = 60\n\
                chips = 5\nset = { \"rram.variation.scale\" = 2.0, \"sram.init\" = \"residual\", \"rram.layers\" = \"all\" }\n";
    fs::write(folder.join(name), format!("{head}{more}")).unwrap();
}

fn folder() -> tempfile::TempDir {
    let folder = trained();
    succeeds(folder.path(), "train train.toml --out good --set train.epochs=8 --set train.limit=1200");
    fs::copy(folder.path().join("good/checkpoint.safetensors"), folder.path().join("c.safetensors")).unwrap();
    folder
}

/// The rows of a table, by column.
fn rows(file: &Path) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

#[test]
fn changes_are_ranked_by_what_they_win_over_the_same_chips() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "s.toml", PROBE);
    let said = succeeds(folder, "sensitivity s.toml --out found --backend cpu");
    assert!(said.starts_with("As it is, accuracy is"), "{said}");
    let found = rows(&folder.join("found/summary.csv"));
    // As it is; variation and an array of four layers; an array of all.
    assert_eq!(found.len(), 1 + 4 + 4 + 1);
    assert_eq!((found[0]["key"].as_str(), found[0]["points_won"].as_str()), ("as it is", "0"));
    let looks = succeeds(folder, "sensitivity s.toml --out dry --backend cpu --dry-run");
    assert!(looks.starts_with("50 trials, some ") && !folder.join("dry").exists(), "{looks}");
    // No difference is surer than the share of one of 60 images, over five chips.
    let least = 100.0 / 60.0 / 5f64.sqrt() - 1e-5;
    let halves = found[1..].iter().map(|row| row["points_won_interval"].parse::<f64>().unwrap());
    assert!(halves.into_iter().all(|half| half >= least), "{found:?}");
    let won: Vec<f64> = found[1..].iter().map(|row| row["points_won"].parse().unwrap()).collect();
    assert!(won.is_sorted_by(|a, b| a >= b), "{won:?}");
    // Where no layer varies any more, something is won.
    let of = |key: &str| -> Vec<f64> {
        found.iter().filter(|row| row["key"] == key).map(|row| row["points_won"].parse().unwrap()).collect()
    };
    assert!(of("rram.variation.scale").iter().any(|won| *won > 0.0), "{found:?}");
    // Each row is that of a sweep of the same chips.
    let head = fs::read_to_string(folder.join("s.toml")).unwrap();
    let sweep = head.split("set = ").next().unwrap().to_owned()
        + "[[point]]\n\"rram.variation.scale\" = 2.0\n[[point]]\n\"rram.variation.scale\" = \
           2.0\n\"layer.conv2.sram.bits\" = 2\n";
    fs::write(folder.join("sweep.toml"), sweep).unwrap();
    succeeds(folder, "sweep sweep.toml --out sweep --backend cpu --set sram.init=residual --set rram.layers=all");
    let chips = rows(&folder.join("sweep/results.csv"));
    let accuracy = |row: &HashMap<String, String>| row["accuracy"].parse::<f64>().unwrap();
    let won = (0..5).map(|chip| accuracy(&chips[5 + chip]) - accuracy(&chips[chip])).sum::<f64>() / 5.0;
    let own = found.iter().find(|row| row["layer"] == "conv2" && row["key"] == "sram.bits").unwrap();
    assert!((own["points_won"].parse::<f64>().unwrap() - won).abs() < 1e-5, "{own:?}, {won}");
    // A killed one goes on.
    let mut child = start(folder, "sensitivity s.toml --out killed --backend cpu");
    while child.try_wait().unwrap().is_none()
        && fs::read_to_string(folder.join("killed/trials-1-of-1.csv")).map_or(0, |text| text.lines().count()) < 10
    {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    let _ = child.kill();
    child.wait().unwrap();
    if !folder.join("killed/finished").exists() {
        succeeds(folder, "sensitivity s.toml --out killed --backend cpu");
    }
    for file in ["summary.csv", "results.csv", "answer.json"] {
        assert_eq!(
            fs::read(folder.join("found").join(file)).unwrap(),
            fs::read(folder.join("killed").join(file)).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn what_changes_nothing_is_said_with_its_line() {
    let folder = trained();
    let folder = folder.path();
    for (more, expected) in [
        ("[probe]\n\"rram.variation.scale\" = [2.0]\n", "s.toml:10:1: probe.rram.variation.scale"),
        ("[probe]\n\"neuron.leak_bits\" = [3]\n", "changes nothing"),
        ("[probe]\n", "probe: is empty"),
        ("[probe]\n\"sram.bitz\" = [3]\n", "sram.bitz"),
    ] {
        write(folder, "s.toml", more);
        let output = crosspike(folder, "sensitivity s.toml --out out");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{more}: {said}");
    }
}

#[test]
fn tiles_and_columns_are_ranked_as_layers_are() {
    let folder = folder();
    let folder = folder.path();
    write(
        folder,
        "s.toml",
        "[probe]\n\"layer.*.rram.exact\" = \"tiles\"\n\"layer.conv1.rram.variation.scale\" = [0.0]\n",
    );
    let tiles = ["--set tile.rows=40", "--set tile.cols=6"].join(" ");
    succeeds(folder, &format!("sensitivity s.toml --out tiles --backend cpu {tiles}"));
    let map = succeeds(
        folder,
        &format!("map --model model.toml --profile profile.toml --set rram.layers=all {tiles} --json map.json"),
    );
    let map: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("map.json")).unwrap()).unwrap_or_else(|_| panic!("{map}"));
    let count: u64 = map["layers"].as_array().unwrap().iter().map(|layer| layer["tiles"].as_u64().unwrap()).sum();
    let found = rows(&folder.join("tiles/summary.csv"));
    assert_eq!(found.len() as u64, 1 + count + 1);
    // The first layer has nine rows, and stands on one row of tiles.
    let first: Vec<&str> =
        found.iter().filter(|row| row["layer"] == "conv1").map(|row| row["value"].as_str()).collect();
    assert!(first.contains(&"columns 0 to 5"), "{first:?}");
    let won = |folder_of: &str, value: &str| {
        let rows = rows(&folder.join(folder_of).join("summary.csv"));
        let row = rows.into_iter().find(|row| row["layer"] == "conv1" && row["value"] == value);
        row.unwrap_or_else(|| panic!("{value}"))["points_won"].clone()
    };
    // A layer that one tile holds is exact where its tile is: no variation of its own is the same.
    write(
        folder,
        "one.toml",
        "[probe]\n\"layer.conv1.rram.exact\" = \"tiles\"\n\"layer.conv1.rram.variation.scale\" = [0.0]\n",
    );
    succeeds(folder, "sensitivity one.toml --out one --backend cpu");
    let last = rows(&folder.join("one/summary.csv")).into_iter().find(|row| row["key"] == "rram.exact").unwrap();
    assert_eq!(won("one", &last["value"]), won("one", "0.0"));
    write(folder, "columns.toml", "[probe]\n\"layer.conv1.rram.exact\" = \"columns\"\n");
    succeeds(folder, "sensitivity columns.toml --out columns --backend cpu");
    let columns = rows(&folder.join("columns/summary.csv"));
    assert!(columns.iter().any(|row| row["value"] == "column 3"), "{columns:?}");
    // Other tables are shown as they are written.
    write(
        folder,
        "table.toml",
        "[probe]\n\"rram.variation\" = [{ kind = \"gaussian\", sigma = 0.1 }, { kind = \"gaussian\", sigma = 0.3 }]\n",
    );
    succeeds(folder, "sensitivity table.toml --out table --backend cpu");
    let shown = rows(&folder.join("table/summary.csv"));
    assert!(shown.iter().any(|row| row["value"].contains("sigma = 0.3")), "{shown:?}");
    for (value, expected) in [
        ("\"rows\"", "expected \"tiles\", \"columns\", or a list of parts"),
        ("[{ columns = [0, 900] }]", "expected at most [0, "),
    ] {
        write(folder, "bad.toml", &format!("[probe]\n\"layer.conv1.rram.exact\" = {value}\n"));
        let output = crosspike(folder, "sensitivity bad.toml --out bad");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{value}: {said}");
    }
}
