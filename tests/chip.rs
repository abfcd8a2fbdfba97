//! `crosspike chip` writes the chip that runs, in the form that other tools take.

mod common;

use std::path::Path;

use common::command::{crosspike, root, succeeds};
use crosspike::chip::{Blueprint, Chip};
use crosspike::network::{Encoding, Model, Network};
use crosspike::profile::Profile;
use ndarray::{Array, Dimension, Ix2, Ix3};
use ndarray_npy::{NpzReader, ReadableElement};

const CELLS: &str = "--set rram.model=cell --set rram.weight_bits=4 --set rram.cell.g_max_us=50 --set \
                     rram.cell.bits=2 --set rram.variation.kind=lognormal --set rram.variation.sigma=0.1 --set \
                     rram.faults.stuck_on=0.01 --set tile.rows=40 --set tile.cols=24 --set wires.word_ohm=2 --set \
                     wires.bit_ohm=1";

/// The options of a network on chips of some profile.
fn chips(folder: &Path) -> String {
    let model = Model::named("digits", &[]).unwrap();
    let checkpoint = Network::xavier(&model, 4).to_checkpoint(&model, serde_json::Value::Null);
    checkpoint.write(&folder.join("c.safetensors")).unwrap();
    format!("--model {} --checkpoint c.safetensors --data digits --seed 9", root("models/digits.toml"))
}

fn array<T: ReadableElement, D: Dimension>(folder: &Path, archive: &str, name: &str) -> Array<T, D> {
    let file = std::fs::File::open(folder.join("out").join(archive)).unwrap();
    NpzReader::new(file).unwrap().by_name(name).unwrap_or_else(|error| panic!("{archive}: {name}: {error}"))
}

#[test]
fn a_chip_that_is_written_is_the_chip_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chips = chips(folder);
    let text = succeeds(folder, &format!("chip {chips} --chip 7 --out out {CELLS} --tiles csv --netlist conv2:3,1"));
    assert!(text.contains("conductances of 4752 weights in 4 layers"), "{text}");
    let keys: Vec<String> = CELLS.split_whitespace().filter(|word| *word != "--set").map(String::from).collect();
    let (model, profile) = (Model::named("digits", &[]).unwrap(), Profile::ideal(&keys).unwrap());
    let network = Network::xavier(&model, 4);
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 9).unwrap();
    let chip = Chip::program(&blueprint, 7).unwrap();
    for layer in &chip.layers {
        let name = &layer.plan.name;
        let effective: Array<f32, Ix2> = array(folder, "weights.npz", &format!("{name}.effective"));
        assert_eq!(effective.as_slice().unwrap(), &layer.arrays.effective()[..], "{name}");
        assert_eq!(effective.dim(), (layer.plan.columns(), layer.plan.site.rows));
    }
    let plus: Array<f64, Ix3> = array(folder, "conductances.npz", "conv2.operating.plus");
    let faults: Array<u8, Ix3> = array(folder, "conductances.npz", "conv2.faults.minus");
    assert_eq!((plus.dim(), faults.dim()), ((2, 32, 144), (2, 32, 144)));
    // Columns of two slices in pairs: six of them on 24 lines. The first line of tile 3,1 is column 6, its word lines
    // rows 120 to 143.
    let tile = std::fs::read_to_string(folder.join("out/tile-conv2.3.1.csv")).unwrap();
    let first: Vec<f64> = tile.lines().map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    let expected: Vec<f64> = (120..144).map(|row| plus[(0, 6, row)] * 1e-6).collect();
    assert_eq!(first, expected);
    let layers = std::fs::read_to_string(folder.join("out/layers.csv")).unwrap();
    assert!(
        layers.contains("\nconv2,rram,144,32,2,4,6,") && layers.contains("\nfc1,digital,128,64,,0,0,,,,,"),
        "{layers}"
    );
    let stuck = faults.iter().filter(|fault| **fault == 2).count();
    assert!(stuck > 0 && faults.iter().all(|fault| [0, 2].contains(fault)));
    assert!(std::fs::read_to_string(folder.join("out/tile-conv2.3.1.cir")).unwrap().starts_with("* conv2, tile 3,1\n"));
}

#[test]
fn a_tile_goes_into_the_solver_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chips = chips(folder);
    succeeds(folder, &format!("chip {chips} --chip 0 --out out {CELLS} --tiles csv"));
    std::fs::write(folder.join("v.csv"), vec!["0.1"; 40].join(",")).unwrap();
    let solved =
        succeeds(folder, "tile --conductances out/tile-conv2.0.0.csv --voltages v.csv --word-ohm 2 --bit-ohm 1");
    assert_eq!(solved.trim().split(',').count(), 24, "{solved}");
    // The same chip again is the same bytes; another is refused without --force, which replaces all files of the first.
    let before = std::fs::read(folder.join("out/weights.npz")).unwrap();
    succeeds(folder, &format!("chip {chips} --chip 0 --out out {CELLS} --tiles csv --force"));
    assert_eq!(std::fs::read(folder.join("out/weights.npz")).unwrap(), before);
    let other = crosspike(folder, &format!("chip {chips} --chip 1 --out out {CELLS}"));
    assert!(String::from_utf8_lossy(&other.stderr).contains("holds a finished run"));
    succeeds(folder, &format!("chip {chips} --chip 1 --out out {CELLS} --force"));
    assert!(!folder.join("out/tile-conv2.0.0.csv").exists() && folder.join("out/tiles.npz").exists());
    let tile: Array<f64, Ix2> = array(folder, "tiles.npz", "conv2.0.0");
    let asked: Array<f64, Ix2> = array(folder, "tiles.npz", "conv2.0.0.target");
    assert_eq!((tile.dim(), asked.dim()), ((40, 24), (40, 24)));
    assert_ne!(tile, asked);
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let chips = chips(folder);
    for (more, code, words) in [
        (format!("--chips 2 {CELLS}"), 2, "unexpected argument '--chips'"),
        (format!("--chip 0 --backend cpu {CELLS}"), 2, "unexpected argument '--backend'"),
        (format!("--chip 0 --limit 5 {CELLS}"), 2, "unexpected argument '--limit'"),
        (format!("--chip 0 {CELLS} --netlist conv9:0,0"), 2, "`conv9` is no layer; expected one of conv1, conv2"),
        (format!("--chip 0 {CELLS} --netlist conv2:4,0"), 2, "`conv2` has 4 x 6 tiles"),
        (format!("--chip 0 {CELLS} --netlist fc1:0,0"), 2, "`fc1` has no conductances"),
        (format!("--chip 0 {CELLS} --netlist conv2"), 2, "expected LAYER:ROW,COLUMN"),
        (format!("--chip 0 {CELLS} --volt inf --netlist conv2:0,0"), 2, "--volt inf"),
        ("--chip 0 --set rram.weight_bits=4 --netlist conv2:0,0".into(), 2, "no conductances"),
    ] {
        let output = crosspike(folder, &format!("chip {chips} --out out {more}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && text.contains(words), "{more}: {text}");
        assert!(!folder.join("out").exists(), "{more}");
    }
    let text = succeeds(folder, &format!("chip {chips} --chip 0 --out out --set rram.weight_bits=4 --set sram.bits=2"));
    assert!(text.contains("its cells have no conductances") && !folder.join("out/conductances.npz").exists(), "{text}");
}
