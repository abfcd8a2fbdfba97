//! Lines with resistance: golden currents of ngspice, and what resistance does to chips and their training. (ngspice
//! itself, on random tiles: `with_tools/spice.rs`.)

mod common;

use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;
use common::trained::{accuracies, baseline, hardware, mean, model, train};
use common::{golden, profile};
use crosspike::chip::{Blueprint, Chip};
use crosspike::crossbar::nodal::transfer;
use crosspike::crossbar::relaxation::{Conduction, iterate};
use crosspike::crossbar::wires::LineLoss;
use crosspike::network::{Encoding, Network};
use crosspike::plan::ChipPlan;
use crosspike::profile::Wires;
use crosspike::train::config::Hyperparameters;

fn csv(text: &str) -> Vec<Vec<f64>> {
    text.lines().map(|line| line.split(',').map(|cell| cell.trim().parse().unwrap()).collect()).collect()
}

fn golden_tile(file: &str) -> std::path::PathBuf {
    golden("").parent().unwrap().join("tile_16x12").join(file)
}

fn read(file: &str) -> Vec<Vec<f64>> {
    csv(&std::fs::read_to_string(golden_tile(file)).unwrap())
}

fn currents(transfer: &[f64], voltages: &[f64]) -> Vec<f64> {
    let n = transfer.len() / voltages.len();
    (0..n).map(|j| voltages.iter().enumerate().map(|(i, v)| v * transfer[i * n + j]).sum()).collect()
}

#[test]
fn the_golden_tile_has_the_currents_of_spice() {
    let (conductances, wires) =
        (read("conductances.csv").concat(), Wires { word_ohm: 2.0, bit_ohm: 3.0, ..Wires::default() });
    let solved = transfer(&conductances, 12, wires).unwrap();
    for (voltages, expected) in read("voltages.csv").iter().zip(read("currents.csv")) {
        let iterated = iterate(&conductances, voltages, wires, Conduction::Linear, 1e-6).unwrap();
        for ((exact, iterated), expected) in currents(&solved, voltages).iter().zip(iterated).zip(&expected) {
            assert!((exact - expected).abs() <= 1e-9 * expected, "{exact}, expected {expected}");
            assert!((iterated - expected).abs() <= 1e-4 * expected, "{iterated}, expected {expected}");
        }
    }
}

#[test]
fn the_command_prints_them() {
    for (method, tolerance) in [("exact", 1e-9), ("iterative", 1e-4)] {
        let output = Command::cargo_bin("crosspike")
            .unwrap()
            .args(["tile", "--word-ohm", "2", "--bit-ohm", "3", "--method", method])
            .arg("--conductances")
            .arg(golden_tile("conductances.csv"))
            .arg("--voltages")
            .arg(golden_tile("voltages.csv"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = csv(std::str::from_utf8(&output.stdout).unwrap());
        let expected = read("currents.csv");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.concat().iter().zip(expected.concat()) {
            assert!((found - expected).abs() <= tolerance * expected, "{method}: {found}, expected {expected}");
        }
    }
}

/// What `tile` prints for a 2 x 2 tile, or its error.
fn tile(conductances: &str, voltages: &str, options: &[&str]) -> Result<Vec<f64>, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("g.csv"), conductances).unwrap();
    std::fs::write(folder.path().join("v.csv"), voltages).unwrap();
    let files = ["tile", "--conductances", "g.csv", "--voltages", "v.csv"];
    let mut command = Command::cargo_bin("crosspike").unwrap();
    let output = command.current_dir(folder.path()).args(files).args(options).output().unwrap();
    match output.status.success() {
        true => Ok(csv(std::str::from_utf8(&output.stdout).unwrap()).concat()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn shorts_and_lines_of_almost_no_resistance_are_solved() {
    // By rational arithmetic: a cell of 1e15 S is as good as one of 1e20.
    let expected = [1.24998594e-1, 3.49883102e-5];
    for short in ["1e15", "1e20", "1e300"] {
        let found = tile(&format!("{short},2e-5\n3e-5,4e-5"), "1,0.5", &["--word-ohm=2", "--bit-ohm=3"]).unwrap();
        let near = found.iter().zip(expected).all(|(found, expected)| (found / expected - 1.0).abs() < 4e-9);
        assert!(near, "{short}: {found:?}");
    }
    let ideal = [1e-5 + 0.5 * 3e-5, 2e-5 + 0.5 * 4e-5];
    for (word, bit) in [("0", "1e-300"), ("1e-300", "0"), ("1e-300", "1e-300")] {
        let options = [format!("--word-ohm={word}"), format!("--bit-ohm={bit}")];
        let found = tile("1e-5,2e-5\n3e-5,4e-5", "1,0.5", &options.each_ref().map(String::as_str)).unwrap();
        assert!(found.iter().zip(ideal).all(|(found, ideal)| (found / ideal - 1.0).abs() < 1e-11), "{found:?}");
    }
}

#[test]
fn no_number_is_printed_that_is_none() {
    for (conductances, voltages, options, expected) in [
        ("1e-5,2e-5\n3e-5,4e-5", "1,0.5", &["--word-ohm=0", "--bit-ohm=1e-310"][..], "--bit-ohm 1e-310: expected"),
        (
            "1e-5,inf\n3e-5,4e-5",
            "1,0.5",
            &["--word-ohm=0", "--bit-ohm=1"],
            "line 1: `inf`, expected a conductance of 0 to",
        ),
        ("1e-5,2e-5\n3e-5,-4e-5", "1,0.5", &["--word-ohm=0", "--bit-ohm=1"], "line 2: `-4e-5`, expected a conductance"),
        ("1e-5,2e-5\n3e-5,4e-5", "1,nan", &["--word-ohm=0", "--bit-ohm=1"], "line 1: `nan`, expected a finite voltage"),
        (
            "1e200,2e-5\n3e-5,4e-5",
            "1e200,1",
            &["--word-ohm=0", "--bit-ohm=0"],
            "row 1 of the voltages drives a current of inf A",
        ),
        ("1e20,2e-5\n3e-5,4e-5", "1,1", &["--word-ohm=2", "--bit-ohm=3", "--method=iterative"], "did not settle"),
    ] {
        let error = tile(conductances, voltages, options).unwrap_err();
        assert!(error.contains(expected), "{options:?}: {error}");
    }
}

#[test]
fn the_exact_method_refuses_cells_that_are_not_linear() {
    let output = Command::cargo_bin("crosspike")
        .unwrap()
        .args([
            "tile",
            "--word-ohm",
            "2",
            "--bit-ohm",
            "3",
            "--sinh-volt",
            "0.2",
            "--conductances",
            "g",
            "--voltages",
            "v",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && text.contains("--method iterative"), "{text}");
}

const CELLS: [&str; 4] =
    ["rram.model=cell", "rram.cell.g_max_us=50", "rram.cell.g_min_us=1", "rram.variation.kind=none"];

#[test]
fn resistance_costs_accuracy_and_smaller_tiles_win_it_back() {
    let at = |more: &[&str]| mean(&accuracies(baseline(), &[&CELLS[..], more].concat(), 0..1));
    let ohm = |ohm: &str, cols: &str| {
        at(&[&format!("wires.word_ohm={ohm}"), &format!("wires.bit_ohm={ohm}"), &format!("tile.cols={cols}")])
    };
    let (none, some, much) = (ohm("0", "128"), ohm("10", "128"), ohm("80", "128"));
    assert!(none > much + 5.0 && some > much, "{none} {some} {much}");
    assert!(ohm("80", "16") > much, "small tiles");
    assert!(at(&["wires.word_ohm=80"]) > much && at(&["wires.bit_ohm=80"]) > much, "one line alone");
}

#[test]
fn lines_are_the_chips_and_not_its_draws() {
    let model = model();
    let chip = |more: &[&str], index| {
        let profile = hardware(&[&CELLS[..3], more].concat());
        let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
        Chip::program(&blueprint, index).unwrap()
    };
    let lines = ["wires.word_ohm=5", "wires.bit_ohm=5"];
    assert_eq!(chip(&lines, 3), chip(&lines, 3));
    assert_ne!(chip(&lines, 3), chip(&[], 3));
    // A read-back, cell by cell, does not see them: the residual corrects programming alone.
    let residual = ["sram.bits=4", "sram.init=residual"];
    let bytes = |chip: Chip| chip.sram_bytes;
    assert_eq!(bytes(chip(&[&lines[..], &residual].concat(), 3)), bytes(chip(&residual, 3)));
}

#[test]
fn training_with_lines_prepares_for_them() {
    let lines = [&CELLS[..], &["wires.word_ohm=60", "wires.bit_ohm=60"]].concat();
    let hyperparameters = Hyperparameters { epochs: 3, batch: 32, learning_rate: 0.03, ..Hyperparameters::default() };
    let trained = |keys: &[&str]| -> Network { train(&hardware(keys), &hyperparameters, None, baseline().clone()) };
    let (with, without) = (trained(&lines), trained(&CELLS));
    let at = |network: &Network| accuracies(network, &lines, 0..1)[0];
    assert!(at(&with) > at(&without) + 2.0, "{} with, {} without", at(&with), at(&without));
}

#[test]
fn the_nominal_loss_is_what_the_nominal_chip_loses() {
    let keys = [&CELLS[..], &["rram.weight_bits=4", "wires.word_ohm=20", "wires.bit_ohm=20"]].concat();
    let (model, profile) = (model(), profile(&keys));
    let plan = &ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap().layers[1];
    let loss = LineLoss::of(&plan.site, &baseline().layers[1].rram).unwrap().unwrap();
    let shares = &loss.slices[0].plus;
    assert!(shares.iter().all(|share| (0.0..1.0).contains(share)), "lines take, and give nothing");
    // The first row of a tile is the farthest from the bit lines' ground.
    let mean_of = |row: usize| shares.chunks(plan.rows()).map(|column| column[row]).sum::<f64>();
    assert!(mean_of(0) < mean_of(100), "{} {}", mean_of(0), mean_of(100));
}
