//! What a life of reads and of writing, access devices, drivers, neighbours and converters' limits do to chips: every
//! key moves accuracy or conductances in the direction that it should, and all of them together run in sweeps and
//! recipes and go on after a stop.

mod common;

use std::fs;
use std::path::Path;

use common::command::{crosspike, root, succeeds, trained};
use common::trained::{accuracies, baseline, mean, model, results};
use common::{batch, network, profile, run};
use crosspike::chip::Blueprint;
use crosspike::data::{Dataset, Split};
use crosspike::device::{self, Draw, Matrix, ProgrammedCells};
use crosspike::engine::calibrate::with_ranges;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::network::{Encoder, Encoding};
use crosspike::profile::{Profile, Tile};

/// Cells of 2 to 50 µS that are read at 0.3 V in 100 ns.
const CELLS: [&str; 5] = [
    "rram.model=cell",
    "rram.cell.g_max_us=50",
    "rram.cell.g_min_us=2",
    "rram.read.volt=0.3",
    "rram.read.pulse_ns=100",
];
/// The published law of read disturb.
const DISTURB: [&str; 4] = [
    "rram.disturb.exponent=0.0068",
    "rram.disturb.volt=0.23502",
    "rram.disturb.time_s=1.55e-8",
    "rram.disturb.base=1.43339",
];
const EXACT: [&str; 1] = ["rram.variation.kind=none"];

fn accuracy(more: &[&[&str]]) -> f64 {
    mean(&accuracies(baseline(), &[&CELLS[..], &more.concat()].concat(), 0..4))
}

/// Weights of every level, programmed on tiles of 16 by 16 lines.
fn programmed(more: &[&str], chip: u64) -> ProgrammedCells {
    let keys: Vec<String> =
        [&CELLS[..], &["rram.weight_bits=4"], more].concat().iter().map(|k| k.to_string()).collect();
    let profile = Profile::ideal(&keys).unwrap();
    let latent: Vec<f32> = (0..16_000).map(|i| (i % 16) as f32 / 7.5 - 1.0).collect();
    let tile = Tile { rows: 16, cols: 16, ..profile.tile };
    device::program(&latent, Matrix::new(40, 2, &profile.rram, tile), Some(Draw::chip(1, chip)), None).unwrap()
}

/// Root mean square distance of the weights in operation from their targets.
fn distance(more: &[&str]) -> f64 {
    let cells = programmed(more, 0);
    let squares = cells.folded().iter().zip(&cells.target).map(|(w, q)| f64::from(w - q).powi(2)).sum::<f64>();
    (squares / cells.target.len() as f64).sqrt()
}

#[test]
fn access_devices_press_levels_together_and_their_ends_stay() {
    let ohm = |ohm: u32| distance(&[&format!("rram.access.ohm={ohm}")]);
    let [none, little, much] = [0, 4_000, 40_000].map(ohm);
    assert!(none < 1e-6 && little > 0.01 && much > 2.0 * little, "{none} {little} {much}");
    let selector = distance(&["rram.access.selector_iv=[[0.1, 0.05], [0.2, 1.0], [0.3, 12.0]]"]);
    assert!(selector > 0.05, "{selector}");
    // A curve of the cell alone is its conductance at the voltage of a read.
    let curve = distance(&["rram.access.cell_iv=[[0.1, 1.0], [0.3, 6.0]]"]);
    assert!(curve < 1e-6, "{curve}");
    for mapping in ["one_sided", "two_sided", "offset"] {
        let mapping = format!("rram.cell.mapping={mapping}");
        let cells = programmed(&["rram.access.ohm=10000", &mapping], 0);
        let of = |target: f32| {
            let found =
                cells.folded().iter().zip(&cells.target).find(|(_, q)| (**q - target).abs() < 1e-6).map(|(w, _)| *w);
            found.unwrap()
        };
        // 50 µS behind 10 kΩ are 33.3 µS, 2 µS are 1.96; what lies between is pressed towards the highest, a unit
        // column with it.
        assert!((of(1.0) - of(-1.0) - 2.0).abs() < 1e-5, "{mapping}: {} {}", of(1.0), of(-1.0));
        assert!(mapping.ends_with("offset") || (of(1.0) - 1.0).abs() < 1e-5, "{mapping}: {}", of(1.0));
        let half = of(0.5);
        assert!((half - 0.5).abs() > 0.01, "{mapping}: {half}");
    }
    let costs = accuracy(&[&EXACT, &["rram.access.ohm=100000"]]);
    assert!(costs < accuracy(&[&EXACT]) - 1.0, "{costs}");
}

#[test]
fn neighbours_vary_together_where_drivers_vary_by_row() {
    let spread = |more: &[&str]| {
        let cells = programmed(more, 0);
        let ratios = cells
            .folded()
            .iter()
            .zip(&cells.target)
            .filter(|(_, q)| q.abs() > 0.3)
            .map(|(w, q)| f64::from(w / q).ln())
            .collect::<Vec<f64>>();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / ratios.len() as f64).sqrt()
    };
    let near =
        spread(&["rram.cell.g_min_us=0", "rram.variation.neighbour_sigma=0.1", "rram.variation.neighbour_cells=3"]);
    assert!((near - 0.1).abs() < 0.015, "{near}");
    let keys = ["rram.variation.kind=none", "adc.bits=6", "tile.rows=36"];
    let [none, some, much] =
        ["0", "0.2", "0.8"].map(|sigma| accuracy(&[&keys, &[&format!("tile.driver_sigma={sigma}")]]));
    assert!((some - none).abs() < 6.0 && much < none - 3.0, "{none} {some} {much}");
    let wide = ["rram.variation.kind=none", "rram.variation.neighbour_cells=8"];
    let [none, much] =
        ["0", "0.8"].map(|sigma| accuracy(&[&wide, &[&format!("rram.variation.neighbour_sigma={sigma}")]]));
    assert!(much < none - 3.0, "{none} {much}");
}

#[test]
fn reads_are_counted_row_by_row_as_they_drive() {
    let model = model();
    for (encoding, inputs) in
        [(Encoding::Direct, "bit_planes"), (Encoding::Direct, "pulses"), (Encoding::Direct, "levels")]
    {
        let keys = [
            &CELLS[..],
            &DISTURB,
            &["rram.disturb.images=1", "rram.weight_bits=4", "rram.layers=all", "adc.calibration_images=40"],
        ]
        .concat();
        let profile = profile(&[&keys[..], &[&format!("tile.inputs={inputs}"), "tile.input_bits=3"]].concat());
        let data = Dataset::open("digits", Path::new(""), Split::Test).unwrap().limit(40);
        let code = crosspike::network::InputCode::of(encoding, data.range(), 3).unwrap();
        let blueprint = Blueprint::new(&profile, &model, baseline(), code, 1).unwrap();
        let blueprint = with_ranges(blueprint, 1, || Ok(&data)).unwrap();
        let calibration = blueprint.calibration().unwrap().clone();
        assert!(calibration.layers.iter().all(Vec::is_empty), "ranges are the full ones");
        let fresh = Blueprint::new(&profile.without_variation(), &model, baseline(), code, 1).unwrap();
        let fresh =
            fresh.calibrated(crosspike::crossbar::calibration::Calibration { reads: vec![], ..calibration.clone() });
        let (engine, encoder) = (CpuEngine::default(), Encoder::new(code, model.input, 1, 0));
        let mut drives = vec![];
        Evaluation::on(&engine, &data, encoder, model.steps)
            .series(&fresh, 0..1, |_, chip| {
                drives = chip.counts.drives.clone();
                Ok(())
            })
            .unwrap();
        // Every read of a row is a drive of it; inputs of several digits drive a row once for each that is set, or
        // pulse by pulse.
        for (layer, reads) in calibration.reads.iter().enumerate() {
            let (counted, driven): (f64, f64) =
                (reads.iter().sum::<f64>() * 40.0, drives[layer].iter().sum::<u64>() as f64);
            assert!((counted / driven - 1.0).abs() < 1e-9, "{inputs}, layer {layer}: {counted} reads, {driven} drives");
        }
        assert!(calibration.reads[0].iter().any(|reads| *reads != calibration.reads[0][0]), "rows differ");
    }
}

#[test]
fn a_life_of_reads_costs_accuracy_and_compensation_wins_some_back() {
    let after =
        |images: &str, more: &[&str]| accuracy(&[&EXACT, &DISTURB, &[&format!("rram.disturb.images={images}")], more]);
    let [fresh, soon, late] = ["0", "1", "1e9"].map(|images| after(images, &[]));
    assert!((soon - fresh).abs() < 1e-9 && late < fresh - 5.0, "{fresh} {soon} {late}");
    // A lower voltage of a read spares cells; a column's factor makes up for what its cells lost together.
    let gentle = after("1e9", &["rram.read.volt=0.1"]);
    let compensated = after("1e9", &["rram.drift.compensation=column"]);
    assert!((gentle - fresh).abs() < 1e-9 && compensated > late + 2.0, "{gentle}, {compensated} compensated, {late}");
    // Without a network's reads a chip cannot be programmed.
    let profile = profile(&[&CELLS[..], &DISTURB, &["rram.disturb.images=1e6"]].concat());
    let model = model();
    let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
    let error = crosspike::chip::Chip::program(&blueprint, 0).unwrap_err().to_string();
    assert!(error.contains("rram.disturb"), "{error}");
}

#[test]
fn cells_that_were_written_often_fail_at_one_end() {
    let keys = ["rram.endurance.writes=1e5", "rram.endurance.pulses=1e6", "rram.endurance.shape=1"];
    let stuck = |more: &[&str]| {
        let cells = programmed(&[&keys[..], more].concat(), 0);
        let wrong = cells.folded().iter().zip(&cells.target).filter(|(w, q)| (**w - **q).abs() > 1e-5).count();
        wrong as f64 / cells.target.len() as f64
    };
    // One pulse a device: 1 − exp(−0.1) of the devices; of a pair the one at level 0 is where it fails to.
    let off = stuck(&[]);
    assert!((off - 0.0952).abs() < 0.012, "{off}");
    let on = stuck(&["rram.endurance.fails=on"]);
    assert!((0.15..0.2).contains(&on), "{on}");
    // Write-verify takes more pulses, and so more of the life.
    let verified = ["rram.program.tolerance_us=1", "rram.variation.kind=lognormal", "rram.variation.sigma=0.2"];
    let devices = |more: &[&str]| {
        let cells = programmed(more, 0);
        cells.folded().iter().filter(|w| **w == 0.0).count() as f64
    };
    let often = [&keys[..], &verified].concat();
    assert!(devices(&often) > devices(&[&keys[..], &verified[1..]].concat()) + 500.0);
    let fails = ["rram.endurance.fails=on"];
    let [some, many] =
        ["3e4", "3e5"].map(|writes| accuracy(&[&EXACT, &keys, &fails, &[&format!("rram.endurance.writes={writes}")]]));
    assert!(many < some - 5.0, "{some} {many}");
}

#[test]
fn a_limit_of_currents_cuts_sums_and_noise_may_depend_on_the_code() {
    let keys = ["rram.variation.kind=none", "adc.bits=4", "adc.range=calibrated", "tile.rows=36"];
    let at = |limit: &str| accuracy(&[&keys, &[&format!("adc.limit_ua={limit}")]]);
    let [any, wide, narrow] = ["0", "1000", "3"].map(at);
    assert!((any - wide).abs() < 1e-9 && narrow < any - 5.0, "{any} {wide} {narrow}");
    // Cells that have lost most of their conductance seldom reach the limit, and compensation comes behind it.
    let aged = ["rram.drift.time_s=1e9", "rram.drift.nu=0.1", "rram.drift.compensation=layer"];
    let [unlimited, limited] = ["0", "5"].map(|limit| accuracy(&[&keys, &aged, &[&format!("adc.limit_ua={limit}")]]));
    assert!(
        limited > at("5") + 5.0 && unlimited >= limited - 3.0,
        "{limited} of {unlimited}, {} as programmed",
        at("5")
    );
    // The same noise of every code is that of none in particular.
    let noisy = |more: &str| results(baseline(), &[&CELLS[..], &keys, &[more]].concat(), 0..2);
    let (all, each) = (noisy("adc.noise_sigma=1"), noisy(&format!("adc.noise_by_code=[{}]", ["1.0"; 16].join(","))));
    assert!(all.iter().zip(&each).all(|(one, other)| one.logits == other.logits), "a table of ones");
    // Noise at codes that no sum comes near to changes nothing: the ends of a range that is four times as wide as the
    // sums'.
    let wide = ["rram.variation.kind=none", "adc.bits=4", "tile.rows=144"];
    let behind = |more: &str| results(baseline(), &[&CELLS[..], &wide, &[more]].concat(), 0..1)[0].logits.clone();
    let at = |noisy: &dyn Fn(usize) -> bool| {
        let sigmas: Vec<&str> = (0..16).map(|code| if noisy(code) { "0.4" } else { "0.0" }).collect();
        behind(&format!("adc.noise_by_code=[{}]", sigmas.join(",")))
    };
    let ideal = behind("adc.noise_sigma=0");
    assert_eq!(at(&|code| code == 0 || code == 15), ideal);
    assert_ne!(at(&|code| (6..10).contains(&code)), ideal);
}

#[test]
fn cells_behind_a_selector_run_and_lines_bring_out_curves() {
    let (images, network) = (batch("images:images.npz").0, network("checkpoint.safetensors"));
    let base = [&CELLS[..], &["rram.weight_bits=4", "rram.layers=all"]].concat();
    let logits = |more: &[&str]| {
        run(&CpuEngine::default(), &network, &profile(&[&base[..], more].concat()), Encoding::Direct, &images).logits
    };
    let curve = "rram.access.cell_iv=[[0.1, 1.0], [0.2, 3.0], [0.3, 8.0]]";
    let lines = ["wires.word_ohm=20", "wires.bit_ohm=20", "tile.rows=32"];
    assert_eq!(logits(&[curve]), logits(&[]));
    assert_ne!(logits(&[&lines[..], &[curve]].concat()), logits(&lines));
}

#[test]
fn all_of_them_run_in_a_sweep_and_a_recipe_and_go_on() {
    let folder = trained();
    let folder = folder.path();
    fs::copy(root("tests/golden/lived.toml"), folder.join("lived.toml")).unwrap();
    let sweep = |grid: &str| {
        format!(
            "name = \"s\"\nmodel = \"model.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = \"lived.toml\"\ndata = \
             \"digits\"\n\
             chips = 2\nlimit = 60\n[grid]\n\"rram.disturb.images\" = {grid}\n"
        )
    };
    fs::write(folder.join("s.toml"), sweep("[0.0, 1e6, 1e9]")).unwrap();
    succeeds(folder, "sweep s.toml --out whole --backend cpu");
    // The same in two goes.
    fs::write(folder.join("s.toml"), sweep("[1e6]")).unwrap();
    succeeds(folder, "sweep s.toml --out parts --backend cpu");
    fs::write(folder.join("s.toml"), sweep("[0.0, 1e6, 1e9]")).unwrap();
    let refused = crosspike(folder, "sweep s.toml --out parts --backend cpu");
    assert!(!refused.status.success());
    succeeds(folder, "sweep s.toml --out parts --backend cpu --resume");
    let table = |run: &str, name: &str| fs::read_to_string(folder.join(run).join(name)).unwrap();
    for name in ["summary.csv", "layers.csv"] {
        assert_eq!(table("whole", name), table("parts", name), "{name}");
    }
    let recipe = "name = \"r\"\nmodel = \"model.toml\"\nprofiles = [\"lived.toml\"]\ndata = \"digits\"\n\
                  [train]\nepochs = 1\nbatch = 32\nlimit = 96\n[evaluate]\nchips = 2\nlimit = 60\n\
                  [[stage]]\nname = \"plain\"\nset = { \"rram.disturb.images\" = 0.0 }\ntrain = {}\n\
                  [[stage]]\nname = \"lived\"\nfrom = \"plain\"\ntrain = { variation = true }\n";
    fs::write(folder.join("r.toml"), recipe).unwrap();
    let first = crosspike(folder, "recipe r.toml --out r --backend cpu");
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let summary = table("r", "summary.csv");
    assert!(summary.lines().count() >= 3, "{summary}");
    succeeds(folder, "recipe r.toml --out again --backend cpu");
    assert_eq!(table("again", "summary.csv"), summary);
}
