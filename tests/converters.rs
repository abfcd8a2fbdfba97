//! Chips behind converters: ideal settings change nothing, every knob moves accuracy or what is cut in the direction
//! that it should, ranges are an input of the chip, and training goes through converters too.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::trained::{accuracies, baseline, hardware, mean, model, results, train};
use common::{QUANTISERS, batch, network, profile, run};
use crosspike::chip::{Blueprint, Chip};
use crosspike::config::Document;
use crosspike::crossbar::mapping::map;
use crosspike::engine::cpu::CpuEngine;
use crosspike::network::{Batch, Encoding, Model, Network};
use crosspike::train::config::Hyperparameters;

/// Accuracy of the nominal chip behind converters.
fn nominal(more: &[&str]) -> f64 {
    accuracies(baseline(), &[&["rram.variation.kind=none"], more].concat(), 0..1)[0]
}

#[test]
fn converters_of_many_bits_meet_the_goldens() {
    // 16 bits over ±64 or less leave an error of a thousandth a partial sum.
    for (name, scheme, bits) in QUANTISERS {
        let keys = [format!("rram.weight_bits={bits}"), format!("rram.scheme={scheme}")];
        let at = |more: &[&str]| {
            let profile = profile(&[&[&keys[0][..], &keys[1]], more].concat());
            run(
                &CpuEngine::default(),
                &network("checkpoint.safetensors"),
                &profile,
                Encoding::Frames,
                &batch("frames:frames.npz").0,
            )
        };
        let (ideal, converted) = (at(&[]), at(&["adc.bits=16", "adc.step=power_of_two", "tile.rows=32"]));
        // Quantised weights are whole units: codes are exact.
        if scheme != "ternary" && scheme != "dorefa" {
            assert_eq!(ideal.logits, converted.logits, "{name}");
        }
        let far = ideal.logits.iter().zip(&converted.logits).fold(0.0f32, |far, (a, b)| far.max((a - b).abs()));
        assert!(far < 0.05, "{name}: {far}");
    }
}

#[test]
fn more_bits_convert_better_and_calibration_better_still() {
    let full = ["3", "4", "6", "10"].map(|bits| nominal(&[&format!("adc.bits={bits}"), "tile.rows=18"]));
    assert!(full.windows(2).all(|pair| pair[0] <= pair[1] + 0.5) && full[3] > full[0] + 20.0, "{full:?}");
    assert!((full[3] - nominal(&[])).abs() < 1.5, "{full:?}");
    let calibrated = nominal(&["adc.bits=4", "adc.range=calibrated", "tile.rows=18"]);
    assert!(calibrated > full[1] + 10.0, "{calibrated} calibrated, {full:?}");
}

#[test]
fn fewer_rows_a_tile_leave_less_to_each_converter() {
    let rows = ["144", "36", "9"].map(|rows| nominal(&["adc.bits=4", &format!("tile.rows={rows}")]));
    assert!(rows[2] > rows[0] + 10.0, "{rows:?}");
}

#[test]
fn errors_of_converters_cost_accuracy_and_tell_chips_apart() {
    let at = |more: &[&str]| {
        let keys = [&["rram.variation.kind=none", "adc.bits=6", "adc.range=calibrated"], more].concat();
        accuracies(baseline(), &keys, 0..4)
    };
    let (none, gain, offset) = (at(&[]), at(&["adc.gain_sigma=0.5"]), at(&["adc.offset_sigma=6"]));
    assert!(none.iter().all(|accuracy| *accuracy == none[0]));
    assert!(mean(&gain) < none[0] && mean(&offset) < none[0] - 3.0, "{none:?} {gain:?} {offset:?}");
    assert!(gain[1..].iter().any(|accuracy| *accuracy != gain[0]));
}

#[test]
fn fewer_rows_at_once_leave_less_to_each_conversion_as_smaller_tiles_do() {
    let at = |keys: &[&str]| nominal(&[&["adc.bits=4"], keys].concat());
    let (all, turns) = (at(&["tile.rows=144"]), at(&["tile.rows=144", "tile.rows_at_once=9"]));
    assert!(turns > all + 10.0, "{all} {turns}");
    assert_eq!(turns, at(&["tile.rows=9"]), "the same sums are converted");
    // Turns of a tile pass the same converters; tiles have their own.
    let errs = ["adc.bits=6", "adc.offset_sigma=2", "rram.variation.kind=none"];
    let chips = |keys: &[&str]| results(baseline(), &[&errs, keys].concat(), 0..1)[0].logits.clone();
    assert_ne!(chips(&["tile.rows=144", "tile.rows_at_once=9"]), chips(&["tile.rows=9"]));
}

#[test]
fn each_circuit_costs_accuracy_as_its_parts_get_worse() {
    let keys = ["rram.variation.kind=none", "adc.bits=5", "adc.range=calibrated", "tile.rows=36"];
    let at = |more: &[&str]| accuracies(baseline(), &[&keys, more].concat(), 0..4);
    let ideal = at(&[]);
    assert!(ideal.iter().all(|accuracy| *accuracy == ideal[0]));
    for (kind, key, [little, much]) in [
        ("sar", "adc.capacitor_sigma", ["0.001", "0.6"]),
        ("flash", "adc.comparator_sigma", ["0.01", "4"]),
        ("ramp", "adc.slope_sigma", ["0.0005", "0.2"]),
    ] {
        let of = |value: &str| at(&[&format!("adc.type={kind}"), &format!("{key}={value}")]);
        let (small, large) = (of(little), of(much));
        assert!((mean(&small) - ideal[0]).abs() < 1.5, "{kind}: {small:?} beside {}", ideal[0]);
        assert!(mean(&large) < ideal[0] - 3.0, "{kind}: {large:?} beside {}", ideal[0]);
        assert!(large[1..].iter().any(|accuracy| *accuracy != large[0]), "{kind}: chips differ: {large:?}");
        assert_eq!(at(&[&format!("adc.type={kind}")]), ideal, "{kind} of ideal parts is ideal");
    }
    let bowed = at(&["adc.type=ramp", "adc.bow=6"]);
    assert!(bowed[0] < ideal[0] - 3.0 && bowed.iter().all(|accuracy| *accuracy == bowed[0]), "{bowed:?}");
    // The same as a table: 4·bow·t·(1 − t), t = k/2^b.
    let share = |k: u32| f64::from(k) / 32.0;
    let table: Vec<String> = (1..32).map(|k| format!("{:?}", 24.0 * share(k) * (1.0 - share(k)))).collect();
    assert_eq!(at(&[&format!("adc.inl=[{}]", table.join(","))]), bowed);
}

#[test]
fn noise_costs_accuracy_and_is_an_images_own_in_any_batch() {
    let keys = ["rram.variation.kind=none", "adc.bits=5", "adc.range=calibrated", "tile.rows=36"];
    let at = |sigma: &str| accuracies(baseline(), &[&keys[..], &[&format!("adc.noise_sigma={sigma}")]].concat(), 0..4);
    let means = ["0", "0.05", "1.5", "6"].map(|sigma| mean(&at(sigma)));
    assert!((means[1] - means[0]).abs() < 1.5 && means[2] < means[0] - 1.0 && means[3] < means[2] - 5.0, "{means:?}");
    let noisy = at("1.5");
    assert!(noisy[1..].iter().any(|accuracy| *accuracy != noisy[0]), "every chip has its own: {noisy:?}");
    // What is sent at every step is converted anew at every step, and what is alone as what is among others.
    let images = batch("images:images.npz").0;
    let frames: Vec<f32> = (0..images.len()).flat_map(|b| images.image(b).repeat(common::model().steps)).collect();
    let frames = Batch { values: frames, indices: images.indices.clone() };
    let profile = profile(&["adc.bits=5", "adc.noise_sigma=1", "tile.rows=9", "rram.layers=all"]);
    let logits = |encoding, batch: &Batch| {
        run(&CpuEngine::default(), &network("checkpoint.safetensors"), &profile, encoding, batch).logits
    };
    let all = logits(Encoding::Direct, &images);
    assert_eq!(all, logits(Encoding::Frames, &frames));
    let last = images.len() - 1;
    let alone = Batch { values: images.image(last).to_vec(), indices: vec![images.indices[last]] };
    assert_eq!(logits(Encoding::Direct, &alone).row(0), all.row(last));
    let other = Batch { values: images.image(last).to_vec(), indices: vec![images.indices[last] + 100] };
    assert_ne!(logits(Encoding::Direct, &other).row(0), all.row(last));
}

#[test]
fn a_tile_has_one_ramp_and_a_comparator_stands_at_every_converter() {
    let rows = |kind: &str, key: &str| {
        let keys = ["adc.bits=4", "tile.rows=36", "tile.cols=8", "rram.layers=all", &format!("adc.type={kind}"), key];
        let (model, profile) = (model(), hardware(&keys));
        let chip =
            Chip::program(&Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap(), 0).unwrap();
        let (layer, map) = (&chip.layers[1], map(&chip.layers[1].plan.site));
        let levels = layer.arrays.converted().unwrap().slices[0].columns.levels.clone().unwrap();
        let each: BTreeSet<Vec<u32>> = levels
            .begins
            .iter()
            .map(|at| levels.values[*at as usize..][..16].iter().map(|x| x.to_bits()).collect())
            .collect();
        (each.len(), map.tiles, map.adcs)
    };
    let (ramps, tiles, _) = rows("ramp", "adc.slope_sigma=0.1");
    assert_eq!(ramps, tiles);
    let (converters, _, adcs) = rows("flash", "adc.comparator_sigma=0.1");
    assert_eq!(converters, adcs);
    assert_eq!(rows("ideal", "adc.dnl=[0,0,0,0,0,0,0.5,0,0,0,0,0,0,0]").0, 1, "a table is for all");
}

#[test]
fn pulses_need_a_wider_range_than_bit_planes() {
    let converter = |inputs: &str| {
        let profile = hardware(&["adc.bits=6", &format!("tile.inputs={inputs}")]);
        let model = model();
        let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
        let chip = Chip::program(&blueprint, 0).unwrap();
        let pooled = chip.layers.iter().find(|layer| layer.plan.largest_pulse == 4).unwrap();
        pooled.arrays.converted().unwrap().slices[0].converter
    };
    assert_eq!(converter("pulses").step, 4.0 * converter("bit_planes").step);
}

#[test]
fn a_narrow_adder_saturates_and_costs_accuracy() {
    let residual = ["sram.bits=3", "sram.shift=-2", "sram.init=residual", "adc.bits=10"];
    let at = |bits: u32| {
        let key = format!("sram.adder_bits={bits}");
        let results = results(baseline(), &[&residual[..], &[&key]].concat(), 0..4);
        let saturated: u64 = results.iter().flat_map(|result| &result.counts.saturated).sum();
        (mean(&results.iter().map(|result| result.accuracy).collect::<Vec<_>>()), saturated)
    };
    let unlimited = at(0);
    assert_eq!(unlimited.1, 0);
    let widths = [16, 7, 6, 5, 4].map(at);
    assert_eq!(widths[0], unlimited, "a wide adder changes nothing");
    assert!(widths.windows(2).all(|pair| pair[0].1 < pair[1].1 || pair[0].1 == 0), "{widths:?}");
    assert!(widths[4].1 > 0 && widths[4].0 < unlimited.0 - 10.0, "{widths:?}");
}

#[test]
fn narrow_sums_and_shifters_saturate_too() {
    let residual = ["sram.bits=3", "sram.shift=-2", "sram.init=residual", "adc.bits=10"];
    for key in ["sram.sum_bits", "sram.shifter_bits"] {
        let at = |bits: u32| {
            let key = format!("{key}={bits}");
            let results = results(baseline(), &[&residual[..], &[&key]].concat(), 0..2);
            results.iter().flat_map(|result| &result.counts.saturated).sum::<u64>()
        };
        assert!(at(16) == 0 && at(3) > at(4) && at(4) > 0, "{key}: {} {}", at(3), at(4));
    }
}

#[test]
fn cut_bits_of_a_right_shift_change_sums_and_exact_ones_do_not() {
    let residual = ["sram.bits=4", "sram.shift=-3", "sram.init=residual", "adc.bits=10"];
    let logits = |more: &[&str]| results(baseline(), &[&residual[..], more].concat(), 0..1)[0].logits.clone();
    assert_ne!(logits(&[]), logits(&["sram.round=floor"]));
    let left =
        |more: &[&str]| results(baseline(), &[&residual[..], &["sram.shift=1"], more].concat(), 0..1)[0].logits.clone();
    assert_eq!(left(&[]), left(&["sram.round=floor"]), "a left shift cuts nothing");
}

#[test]
fn columns_of_a_tile_that_follow_one_another_share_a_converter() {
    // Offset cells, one line a weight and a unit column: tiles of 10 weights, three converters of up to four and one.
    let keys = ["rram.model=cell", "rram.cell.g_max_us=50", "rram.cell.mapping=offset", "tile.cols=11", "adc.bits=6"];
    let errors = ["adc.gain_sigma=0.1", "adc.offset_sigma=1", "adc.columns_shared=4", "rram.layers=all"];
    let (model, profile) = (model(), hardware(&[&keys[..], &errors].concat()));
    let chip = Chip::program(&Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap(), 0).unwrap();
    let layer = &chip.layers[1];
    let map = map(&layer.plan.site);
    let (columns, slice) = (layer.plan.columns(), &layer.arrays.converted().unwrap().slices[0]);
    assert!(columns > 20 && map.row_splits > 1);
    let mut converters = BTreeSet::new();
    for (side, unit) in [(&slice.columns, false), (slice.reference.as_ref().unwrap(), true)] {
        let errors = side.gain.iter().zip(&side.offset).map(|(gain, offset)| (gain.to_bits(), offset.to_bits()));
        let mut by_place: BTreeMap<(usize, usize, usize), BTreeSet<(u32, u32)>> = BTreeMap::new();
        for (i, errors) in errors.enumerate() {
            let (partition, column) = (i / columns, i % columns);
            let place = (partition, column / 10, if unit { 0 } else { column % 10 / 4 });
            by_place.entry(place).or_default().insert(errors);
        }
        assert!(by_place.values().all(|errors| errors.len() == 1), "a converter has one gain and one offset");
        converters.extend(by_place.into_values().flatten());
    }
    assert_eq!(converters.len(), map.adcs, "and no two have the same");
}

#[test]
fn chips_whose_converters_alone_differ_can_be_trained_for() {
    let keys = ["rram.variation.kind=none", "adc.bits=6", "adc.gain_sigma=0.3"];
    let hyperparameters = Hyperparameters { epochs: 1, batch: 64, limit: Some(128), ..Hyperparameters::default() };
    let trained = |variation| {
        train(&hardware(&keys), &Hyperparameters { variation, ..hyperparameters.clone() }, None, baseline().clone())
    };
    assert!(hardware(&keys).varies() && !hardware(&keys[..2]).varies());
    assert_ne!(trained(true), trained(false), "errors are drawn, and without variation they are not");
    let quiet = train(&hardware(&keys[..2]), &hyperparameters, None, baseline().clone());
    assert_eq!(trained(false), quiet);
}

#[test]
fn an_image_sent_every_step_is_cut_every_step() {
    let images = batch("images:images.npz").0;
    let frames: Vec<f32> = (0..images.len()).flat_map(|b| images.image(b).repeat(common::model().steps)).collect();
    let frames = Batch { values: frames, indices: images.indices.clone() };
    let clipped = |encoding, batch: &Batch| {
        let profile = profile(&["adc.bits=3", "adc.offset_sigma=4", "tile.rows=9"]);
        run(&CpuEngine::default(), &network("checkpoint.safetensors"), &profile, encoding, batch).counts.clipped
    };
    let direct = clipped(Encoding::Direct, &images);
    assert!(direct[0] > 0, "{direct:?}");
    assert_eq!(direct, clipped(Encoding::Frames, &frames));
}

#[test]
fn a_chip_asks_for_its_ranges() {
    let (model, profile) = (model(), hardware(&["adc.bits=4", "adc.range=calibrated"]));
    let blueprint = Blueprint::new(&profile, &model, baseline(), Encoding::Poisson, 1).unwrap();
    let error = Chip::program(&blueprint, 0).unwrap_err().to_string();
    assert!(error.contains("adc.range") && error.contains("calibration"), "{error}");
}

#[test]
fn training_goes_through_the_converters() {
    let coarse = ["rram.variation.kind=none", "adc.bits=3", "adc.range=calibrated"];
    let hyperparameters = Hyperparameters { epochs: 3, batch: 32, learning_rate: 0.03, ..Hyperparameters::default() };
    let trained = |keys: &[&str]| -> Network { train(&hardware(keys), &hyperparameters, None, baseline().clone()) };
    let (through, past) = (trained(&coarse), trained(&coarse[..1]));
    let (through, past) = (accuracies(&through, &coarse, 0..1)[0], accuracies(&past, &coarse, 0..1)[0]);
    assert!(through > past, "trained through 3-bit converters: {through}, past them: {past}");
}

#[test]
fn levels_are_converted_once_and_show_their_drivers_errors() {
    let (images, network) = (batch("images:images.npz").0, network("checkpoint.safetensors"));
    let base = ["rram.weight_bits=4", "rram.layers=all", "tile.rows=36", "tile.input_bits=4"];
    let logits = |more: &[&str]| {
        let profile = profile(&[&base[..], more].concat());
        run(&CpuEngine::default(), &network, &profile, Encoding::Direct, &images).logits
    };
    let far = |one: &ndarray::Array2<f32>, other: &ndarray::Array2<f32>| {
        one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max)
    };
    // Converters that resolve everything see what pulses give, in one conversion as those.
    let fine = ["adc.bits=16"];
    let (pulses, levels) = (
        logits(&[&fine[..], &["tile.inputs=pulses"]].concat()),
        logits(&[&fine[..], &["tile.inputs=levels"]].concat()),
    );
    assert!(far(&pulses, &levels) < 0.05, "{}", far(&pulses, &levels));
    let bent = |weights: &str| {
        let key = format!("tile.level_weights={weights}");
        far(&levels, &logits(&[&fine[..], &["tile.inputs=levels", &key]].concat()))
    };
    let [little, much] = ["[1.0, 2.0, 4.0, 8.1]", "[1.0, 2.0, 4.0, 12.0]"].map(bent);
    assert!(little > 0.0 && much > little, "{little} {much}");
    // Counts of a window of more than fifteen pixels do not fit four digits.
    let text = "name = \"m\"\nsteps = 1\nclasses = 2\nnorm = \"none\"\ninput = \
                { channels = 1, height = 8, width = 8 }\n\
                layers = [{ conv = 4 }, { pool = 4 }, { fc = 4 }]";
    let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap();
    let profile = profile(&[&base[..], &["tile.inputs=levels", "adc.bits=6"]].concat());
    let network = Network::xavier(&model, 1);
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).unwrap();
    let error = Chip::program(&blueprint, 0).unwrap_err().to_string();
    assert!(error.contains("`fc1`") && error.contains("5 binary digits"), "{error}");
}
