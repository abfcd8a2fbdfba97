//! Chips of cells with conductances: ideal ones are the statistical model's, and every knob moves accuracy or
//! conductances in the direction that it should.

mod common;

use std::path::Path;

use common::trained::{accuracies, baseline, hardware, mean, model};
use common::{QUANTISERS, batch, network, profile, run};
use crosspike::chip::{Blueprint, Chip};
use crosspike::crossbar::kept::KeptCells;
use crosspike::device::{self, Draw, Matrix, ProgrammedCells};
use crosspike::engine::cpu::CpuEngine;
use crosspike::network::Encoding;
use crosspike::profile::{Profile, Rram};

/// Cells of 1 to 50 µS.
const CELLS: [&str; 3] = ["rram.model=cell", "rram.cell.g_max_us=50", "rram.cell.g_min_us=1"];
const EXACT: &str = "rram.variation.kind=none";

#[test]
fn ideal_cells_hold_the_weights_of_the_statistical_model() {
    let network = network("checkpoint.safetensors");
    let frames = batch("frames:frames.npz").0;
    for (name, scheme, bits) in QUANTISERS {
        let base = [format!("rram.weight_bits={bits}"), format!("rram.scheme={scheme}"), "rram.layers=all".into()];
        let at = |more: &[&str]| {
            let profile = profile(&[&base.each_ref().map(String::as_str)[..], more].concat());
            run(&CpuEngine::default(), &network, &profile, Encoding::Frames, &frames)
        };
        let expected = at(&[]);
        for mapping in ["one_sided", "two_sided", "offset"] {
            for cell_bits in [0, 1, 2, 3] {
                if cell_bits > 0 && mapping == "two_sided" {
                    continue;
                }
                let keys = [format!("rram.cell.mapping={mapping}"), format!("rram.cell.bits={cell_bits}")];
                let cells = [&CELLS[..], &[&keys[0], &keys[1]]].concat();
                let found = at(&cells);
                assert_eq!(found, expected, "{name}, {mapping}, cells of {cell_bits} bits");
                // Behind converters that resolve every level, the sums are those of ideal ones.
                if ["uniform", "integer"].contains(&scheme) && bits <= 4 && mapping != "offset" {
                    let converted =
                        at(&[&cells[..], &["adc.bits=14", "adc.step=power_of_two", "tile.rows=50"]].concat());
                    assert_eq!(
                        converted.logits, expected.logits,
                        "{name}, {mapping}, cells of {cell_bits} bits, converted"
                    );
                }
            }
        }
    }
}

fn rram(more: &[&str]) -> Rram {
    let keys = [&CELLS[..], &["rram.weight_bits=4"], more].concat();
    Profile::ideal(&keys.iter().map(|key| key.to_string()).collect::<Vec<_>>()).unwrap().rram
}

/// A layer's matrix on tiles of the default size.
fn matrix(rows: usize, number: u32, rram: &Rram) -> Matrix<'_> {
    Matrix::new(rows, number, rram, Default::default())
}

/// One row of weights of every level, many times over, programmed.
fn programmed(more: &[&str], draw: Option<Draw>) -> ProgrammedCells {
    let latent: Vec<f32> = (0..16_000).map(|i| (i % 16) as f32 / 7.5 - 1.0).collect();
    device::program(&latent, matrix(40, 2, &rram(more)), draw, None).unwrap()
}

/// Root mean square distance of the weights in operation from their targets.
fn distance(more: &[&str]) -> f64 {
    let cells = programmed(more, Some(Draw::chip(1, 0)));
    let target = cells.target.clone();
    let squares = cells.folded().iter().zip(&target).map(|(w, q)| f64::from(w - q).powi(2)).sum::<f64>();
    (squares / target.len() as f64).sqrt()
}

#[test]
fn slices_hold_weights_above_1_as_far_as_they_can() {
    // 4 bits are magnitudes of 0 to 8, so two slices of 2 bits hold 15/8.
    let held = |latent: &[f32], mapping: &str| {
        let rram = rram(&["rram.cell.bits=2", &format!("rram.cell.mapping={mapping}")]);
        let cells = device::program(latent, matrix(2, 0, &rram), None, None).unwrap();
        assert_eq!(cells.slices().len(), device::code::slices(&rram));
        cells.folded().into_owned()
    };
    assert_eq!(held(&[1.4, -1.6, 2.5, -0.1], "one_sided"), [1.375, -1.5, 1.875, -0.125]);
    // j + 8 in three slices: −8 to 55.
    assert_eq!(held(&[1.4, -1.6, 2.5, -0.1], "offset"), [1.375, -1.0, 2.5, -0.125]);
}

fn rises(what: &str, values: &[f64]) {
    assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{what}: {values:?}");
}

#[test]
fn every_knob_moves_conductances_in_its_direction() {
    let at = |key: &str, values: &[&str], more: &[&str]| -> Vec<f64> {
        values.iter().map(|value| distance(&[more, &[&format!("{key}={value}")]].concat())).collect()
    };
    let lognormal = ["rram.variation.kind=lognormal", "rram.variation.sigma=0.1"];
    let gaussian = ["rram.variation.kind=gaussian"];
    rises("spread", &at("rram.variation.sigma", &["0.05", "0.1", "0.3"], &lognormal[..1]));
    rises("scale", &at("rram.variation.scale", &["0.5", "1", "2"], &lognormal));
    rises("absolute spread", &at("rram.variation.sigma_us", &["0.5", "1", "3"], &gaussian));
    rises("current of off cells", &at("rram.cell.g_min_us", &["0.1", "5", "20"], &lognormal));
    for component in ["lot", "die", "tile"] {
        rises(component, &at(&format!("rram.variation.{component}_sigma"), &["0.05", "0.2", "0.8"], &[]));
    }
    rises("stuck off", &at("rram.faults.stuck_off", &["0", "0.01", "0.1"], &[]));
    rises("stuck on", &at("rram.faults.stuck_on", &["0", "0.01", "0.1"], &[]));
    rises("dead word lines", &at("rram.faults.dead_word_lines", &["0", "0.05", "0.3"], &[]));
    rises("dead bit lines", &at("rram.faults.dead_bit_lines", &["0", "0.05", "0.3"], &[]));
    rises("time", &at("rram.drift.time_s", &["0", "10", "1e6"], &["rram.drift.nu=0.02"]));
    rises("retention", &at("rram.drift.time_s", &["0", "10", "1e6"], &["rram.drift.retention_sigma=0.02"]));
    rises("drift's spread", &at("rram.drift.nu_sigma", &["0", "0.01", "0.05"], &["rram.drift.time_s=1000"]));
    rises(
        "finer verify",
        &at(
            "rram.program.tolerance_us",
            &["0.5", "1", "2"],
            &["rram.program.most_pulses=500", gaussian[0], "rram.variation.sigma_us=2"],
        ),
    );
    let levels =
        |sigmas: &str| distance(&["rram.variation.kind=per_level", &format!("rram.variation.levels={sigmas}")]);
    rises("levels", &[levels("[0.2, 0.05]"), levels("[0.2, 0.1]"), levels("[0.2, 0.3]")]);
    let milo = "rram.variation.coefficients=[4.782321, -0.009107]";
    let polynomial = |scale: &str| distance(&["rram.variation.kind=polynomial", milo, scale]);
    rises("polynomial", &[polynomial("rram.variation.scale=0.5"), polynomial("rram.variation.scale=1")]);
}

#[test]
fn verified_cells_are_within_their_tolerance_for_more_pulses() {
    let spread = ["rram.variation.kind=gaussian", "rram.variation.sigma_us=2"];
    let once = programmed(&spread, Some(Draw::chip(1, 0)));
    assert_eq!(once.pulses, 32_000, "a pulse a device");
    let verified = programmed(
        &[&spread[..], &["rram.program.tolerance_us=1", "rram.program.most_pulses=1000"]].concat(),
        Some(Draw::chip(1, 0)),
    );
    // A pair is off by at most 2 of 49 µS; a pulse lands within half a σ with probability 0.383, less where 0 µS cuts
    // it.
    let far = verified.programmed.iter().zip(&verified.target).map(|(w, q)| (w - q).abs()).fold(0.0, f32::max);
    assert!(far <= 2.0 / 49.0 + 1e-6, "{far}");
    let pulses = verified.pulses as f64 / 32_000.0;
    assert!((2.0..3.2).contains(&pulses), "{pulses}");
}

#[test]
fn reading_back_sees_faults_and_not_the_time_after() {
    let keys = ["rram.faults.stuck_on=0.05", "rram.drift.time_s=1e6", "rram.drift.nu=0.05"];
    let cells = programmed(&keys, Some(Draw::chip(1, 0)));
    let fresh = programmed(&keys[..1], Some(Draw::chip(1, 0)));
    assert_eq!(cells.programmed, fresh.programmed);
    assert_ne!(cells.folded(), fresh.folded());
    let read_back: Vec<f32> = cells.programmed.clone();
    assert!(read_back.iter().zip(&cells.target).any(|(w, q)| (w - q).abs() > 0.5), "stuck cells are seen");
}

#[test]
fn a_chip_stays_itself_when_tiles_change() {
    let model = model();
    let chip = |more: &[&str]| {
        let profile = hardware(&[&CELLS[..], more].concat());
        Chip::program(&Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap(), 3).unwrap()
    };
    assert_eq!(chip(&[]), chip(&["tile.rows=17", "tile.cols=40"]));
    assert_ne!(chip(&[]), chip(&["rram.cell.bits=2"]));
}

#[test]
fn chips_of_a_lot_share_what_others_do_not() {
    let mean_weight = |seed: u64, chip: u64| {
        let cells = programmed(&["rram.variation.lot_sigma=0.3"], Some(Draw::chip(seed, chip)));
        cells.folded().iter().map(|w| f64::from(w.abs())).sum::<f64>()
    };
    assert_eq!(mean_weight(1, 0), mean_weight(1, 1));
    assert_ne!(mean_weight(1, 0), mean_weight(2, 0));
}

#[test]
fn a_table_of_a_file_is_what_its_rows_say() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cells.csv");
    std::fs::write(&file, "# measured\ng_us, mean_us, sigma_us\n0, 0, 0\n50, 45, 0\n").unwrap();
    let table = format!("rram.variation.file={}", file.display());
    let cells = programmed(&["rram.variation.kind=table", &table], Some(Draw::chip(1, 0)));
    // Every conductance is nine tenths of its target, and so is every difference.
    let shrunk = cells.programmed.iter().zip(&cells.target).all(|(w, q)| (w - 0.9 * q).abs() < 1e-6);
    assert!(shrunk);
    std::fs::write(&file, "g,mean\n1,2\n").unwrap();
    let keys = [CELLS[0], CELLS[1], "rram.weight_bits=4", "rram.variation.kind=table", &table].map(String::from);
    let error = Profile::ideal(&keys).unwrap_err().to_string();
    assert!(error.contains("g_us, mean_us and sigma_us; found g, mean"), "{error}");
    assert!(Path::new(&file).exists());
}

#[test]
fn every_step_reads_the_cells_anew() {
    let model = model();
    let chip = |more: &[&str]| {
        let keys = [&CELLS[..], &["rram.read.sigma_us=0.8", EXACT], more].concat();
        Chip::program(&Blueprint::new(&hardware(&keys), &model, baseline(), Encoding::Poisson, 1).unwrap(), 3).unwrap()
    };
    let (found, quiet) = (chip(&[]), chip(&["rram.read.sigma_us=0"]));
    assert_eq!(found, chip(&[]));
    for (layer, quiet) in found.layers.iter().zip(&quiet.layers).take(2) {
        let steps = layer.arrays.each();
        assert_eq!((steps.len(), quiet.arrays.each().len()), (model.steps, 1));
        assert!(steps.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(layer.arrays.effective(), quiet.arrays.effective(), "gradients go through the cells as they are");
        // A pair's difference is off by √2·0.8 of 49 µS on average; devices at 1 µS are cut at 0 a little.
        let (read, own) = (steps[0].effective(), quiet.arrays.effective());
        let squares: f64 = read.iter().zip(own.iter()).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let off = (squares / own.len() as f64).sqrt() * 49.0;
        assert!((0.95..1.25).contains(&off), "{off} µS");
    }
    let at = |sigma: &str| {
        let key = format!("rram.read.sigma={sigma}");
        mean(&accuracies(baseline(), &[&CELLS[..], &[EXACT, &key]].concat(), 0..4))
    };
    let noise = ["0", "0.3", "1.5"].map(at);
    assert!(noise[0] >= noise[1] && noise[1] > noise[2] + 3.0, "{noise:?}");
}

#[test]
fn reads_do_not_wake_dead_lines() {
    let draw = Some(Draw::chip(1, 0));
    let keys = ["rram.read.sigma_us=2", "rram.faults.dead_word_lines=0.2", "rram.faults.dead_bit_lines=0.2"];
    let cells = programmed(&keys, draw);
    let (own, reads) = (cells.slices(), cells.reads.as_ref().unwrap());
    for step in 0..2 {
        let read = &reads.slices(step)[0].weights;
        // Where both devices of a pair are on dead lines nothing is left; where cells conduct, no read is exactly 0.
        let dead = own[0].weights.iter().zip(read).filter(|(own, _)| **own == 0.0).map(|(_, w)| *w);
        let dead: Vec<f64> = dead.collect();
        assert!(dead.len() > 1000 && dead.iter().all(|w| *w == 0.0), "{}", dead.len());
    }
}

#[test]
fn training_with_reads_runs_and_repeats() {
    use common::trained::train;
    use crosspike::train::config::Hyperparameters;
    let keys = [&CELLS[..], &["rram.read.sigma=0.5", EXACT]].concat();
    let hyperparameters = Hyperparameters {
        epochs: 1,
        batch: 64,
        learning_rate: 0.02,
        limit: Some(256),
        variation: true,
        ..Hyperparameters::default()
    };
    let trained = || train(&hardware(&keys), &hyperparameters, None, baseline().clone());
    let once = trained();
    assert_eq!(once, trained());
    let quiet = train(
        &hardware(&[&CELLS[..], &["rram.variation.sigma=0.001"]].concat()),
        &hyperparameters,
        None,
        baseline().clone(),
    );
    assert_ne!(once, quiet);
}

#[test]
fn cells_that_fail_cost_accuracy() {
    let at = |more: &[&str]| mean(&accuracies(baseline(), &[&CELLS[..], &[EXACT], more].concat(), 0..4));
    let ideal = at(&[]);
    assert_eq!(ideal, mean(&accuracies(baseline(), &[EXACT], 0..1)));
    let stuck = ["0.005", "0.05", "0.2"].map(|rate| at(&[&format!("rram.faults.stuck_on={rate}")]));
    assert!(ideal > stuck[1] + 3.0 && stuck[1] > stuck[2] + 3.0, "{ideal} {stuck:?}");
    let years = ["1", "1e8"]
        .map(|time| at(&[&format!("rram.drift.time_s={time}"), "rram.drift.nu=0.03", "rram.drift.nu_sigma=0.03"]));
    assert!(years[0] > years[1] + 1.0, "{years:?}");
}

#[test]
fn chips_of_kept_cells_are_those_that_are_programmed_anew() {
    let (model, network) = (common::model(), network("checkpoint.safetensors"));
    let mut moved = network.clone();
    moved.layers[1].rram[3] += 0.25;
    let variation = ["rram.variation.kind=lognormal", "rram.variation.sigma=0.1"];
    let base =
        ["rram.weight_bits=4", "rram.cell.bits=2", variation[0], variation[1], "rram.drift.time_s=100", "sram.bits=3"];
    // Each changes the cells of some chip, or what stands behind them.
    let changes = [
        "seed",
        "weight",
        "",
        "sram.bits=4",
        "sram.shift=1",
        "sram.threshold=0.1",
        "neuron.leak_bits=6",
        "rram.weight_bits=3",
        "rram.scheme=integer",
        "rram.layers=all",
        "layer.conv1.rram.weight_bits=2",
        "rram.variation.sigma=0.2",
        "rram.variation.scale=2",
        "rram.variation.die_sigma=0.1",
        "rram.cell.bits=1",
        "rram.cell.g_min_us=2",
        "rram.cell.mapping=offset",
        "rram.read.sigma=0.02",
        "rram.drift.nu=0.1",
        "sram.init=residual",
        "tile.rows=30",
        "tile.cols=40",
        "wires.word_ohm=3",
        "wires.bit_ohm=3",
    ];
    let kept = KeptCells::default();
    for change in changes.iter().chain(&changes) {
        let set: &[&str] = if change.contains('=') { &[change] } else { &[] };
        let profile = profile(&[&CELLS[..], &base, set].concat());
        let (network, seed) = (if *change == "weight" { &moved } else { &network }, 1 + u64::from(*change == "seed"));
        let blueprint = || Blueprint::new(&profile, &model, network, Encoding::Poisson, seed).unwrap();
        for chip in 0..2 {
            let (anew, taken) = (Chip::program(&blueprint(), chip), Chip::program(&blueprint().keeping(&kept), chip));
            assert!(anew.unwrap() == taken.unwrap(), "{change}, chip {chip}");
        }
    }
}

#[test]
fn compensation_makes_up_for_what_cells_lose_together() {
    // Cells that all lose the same share are what they were, and those that differ are nearer to it.
    let aged = ["rram.drift.time_s=1e6", "rram.drift.nu=0.05"];
    let hot = [
        "rram.temperature.celsius=85",
        "rram.temperature.low_per_kelvin=0.002",
        "rram.temperature.high_per_kelvin=0.002",
    ];
    let draw = Some(Draw::chip(1, 0));
    for mapping in ["one_sided", "two_sided", "offset"] {
        let mapping = format!("rram.cell.mapping={mapping}");
        let fresh = programmed(&[&mapping, "rram.variation.kind=lognormal", "rram.variation.sigma=0.1"], draw)
            .folded()
            .into_owned();
        let far = |more: &[&str]| {
            let base = [&mapping, "rram.variation.kind=lognormal", "rram.variation.sigma=0.1"];
            let cells = programmed(&[&base[..], more].concat(), draw);
            cells.folded().iter().zip(&fresh).map(|(w, was)| f64::from(w - was).powi(2)).sum::<f64>().sqrt()
        };
        for change in [&aged[..], &hot] {
            let [none, layer, column] = ["none", "layer", "column"]
                .map(|by| far(&[change, &[&format!("rram.drift.compensation={by}")]].concat()));
            assert!(none > 1.0 && layer < 1e-4 && column < 1e-4, "{mapping}, {change:?}: {none} {layer} {column}");
        }
        let spread = [&aged[..], &["rram.drift.nu_sigma=0.004"]].concat();
        let [none, layer] =
            ["none", "layer"].map(|by| far(&[&spread[..], &[&format!("rram.drift.compensation={by}")]].concat()));
        assert!(layer < 0.8 * none && layer > 0.5, "{mapping}: {none} {layer}");
    }
}

#[test]
fn heat_costs_accuracy_and_compensation_wins_it_back() {
    let drift =
        ["rram.drift.time_s=1e4", "rram.drift.nu=0.06", "rram.drift.nu_sigma=0.01", "adc.bits=6", "tile.rows=36"];
    let at = |more: &[&str]| mean(&accuracies(baseline(), &[&CELLS[..], &drift, more].concat(), 0..4));
    let warm = ["rram.temperature.activation_ev=0.6", "rram.temperature.celsius=85"];
    let (cool, hot) = (at(&warm[..1]), at(&warm));
    let compensated = at(&[&warm[..], &["rram.drift.compensation=layer"]].concat());
    assert!(hot < cool - 1.0 && compensated > hot + 1.0, "{cool} at 25 °C, {hot} at 85 °C, {compensated} compensated");
}

#[test]
fn verified_cells_are_those_that_count_and_take_the_pulses() {
    let keys = ["rram.variation.kind=gaussian", "rram.variation.sigma_us=6", "rram.program.tolerance_us=1"];
    let (rows, columns) = (60, 8);
    let latent: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.37).sin()).collect();
    // Every other row is driven all the time, the others hardly ever.
    let squares: Vec<f64> = (0..rows).map(|row| if row % 2 == 0 { 1.0 } else { 0.01 }).collect();
    let at = |share: &str| {
        let rram = rram(&[&keys[..], &[&format!("rram.program.verify_share={share}")]].concat());
        let matrix = Matrix { squares: squares.clone().into(), ..Matrix::new(rows, 0, &rram, Default::default()) };
        let cells = device::program(&latent, matrix, Some(Draw::chip(1, 0)), None).unwrap();
        let error = cells
            .programmed
            .iter()
            .zip(&cells.target)
            .enumerate()
            .map(|(i, (w, q))| squares[i % rows] * f64::from(w - q).powi(2));
        (error.sum::<f64>(), cells.pulses)
    };
    let [(none, fewest), (half, some), (all, most)] = ["0.0", "0.5", "1.0"].map(at);
    assert_eq!(fewest, 2 * (rows * columns) as u64, "a pulse a device");
    assert!(fewest < some && some < most, "{fewest}, {some}, {most}");
    // Half of the cells are nearly all of the error.
    assert!(none - half > 0.95 * (none - all), "{none}, {half}, {all}");
}

#[test]
fn exact_cells_are_those_of_the_nominal_chip_and_no_others() {
    let keys = [
        "rram.variation.kind=lognormal",
        "rram.variation.sigma=0.3",
        "rram.faults.stuck_on=0.1",
        "rram.drift.nu=0.05",
        "rram.drift.nu_sigma=0.02",
        "rram.drift.time_s=1e4",
        "rram.read.sigma=0.1",
    ];
    let (rows, columns) = (30, 10);
    let latent: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.37).sin()).collect();
    for mapping in ["one_sided", "two_sided"] {
        let at = |more: &[&str], draw: Option<Draw>| {
            let mapping = format!("rram.cell.mapping={mapping}");
            let rram = rram(&[&keys[..], &[&mapping], more].concat());
            let cells = device::program(&latent, Matrix::new(rows, 0, &rram, Default::default()), draw, None).unwrap();
            let read = cells.reads.as_ref().map_or(vec![], |reads| device::fold(&reads.slices(2)));
            [cells.programmed.clone(), cells.folded().into_owned(), read]
        };
        let (draw, part) = (Some(Draw::chip(1, 3)), ["rram.exact.rows=[4, 20]", "rram.exact.columns=[2, 5]"]);
        let (made, asked, nominal) = (at(&[], draw), at(&part, draw), at(&[], None));
        for (kind, (asked, made)) in asked.iter().zip(&made).enumerate() {
            for i in 0..rows * columns {
                let is_exact = (4..20).contains(&(i % rows)) && (2..5).contains(&(i / rows));
                // A read that does not vary is what is in operation.
                let expected = if is_exact { nominal[kind.min(1)][i] } else { made[i] };
                assert_eq!(asked[i], expected, "{mapping}: {kind}, cell {i}");
            }
        }
        assert_ne!(made, asked);
    }
}
