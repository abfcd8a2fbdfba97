//! What the network's inputs cost and what they are to a chip: the width is that of the data and of the chip's
//! converter, with its conversions, energy, latency and ranges; and a converter's full range is its tile's.

mod common;

use std::fs;
use std::path::Path;

use common::command::{crosspike, json, npz, succeeds};
use ndarray::{Array4, Array5};
use serde_json::Value;

/// One layer of 18 rows on tiles of 11, every cost 1.
const PROFILE: &str = r#"
[rram]
weight_bits = 4
layers = "all"
[tile]
rows = 11
cols = 3
[adc]
bits = 6
[cost]
adc_model = "x"
adc_bits = 6
[cost.energy_pj]
word_line = 1.0
cell_read = 1.0
adc = 1.0
[cost.time_ns]
drive = 1.0
conversion = 10.0
"#;

const IMAGES: usize = 24;

/// Pseudo-random numbers from 0 to 1.
fn noise(i: usize) -> f32 {
    let words = crosspike::rng::philox4x32([1, 2], [i as u32, 0, 0, 0]);
    words[0] as f32 / u32::MAX as f32
}

/// A folder with a network, the profile, and data: 0/1 frames, the same images for the Poisson encoder (|x| ≥ 2 is a
/// spike at every step), counts up to 5, and real numbers.
fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("hw.toml"), PROFILE).unwrap();
    let model = "name = \"m\"\nsteps = 3\nclasses = 3\ninput = { channels = 2, height = 6, width = 6 }\n\
                 layers = [ { conv = 3 }, { pool = 2 }, { conv = 4 }, { fc = 6 } ]\n";
    fs::write(at("m.toml"), model).unwrap();
    let spikes = |n: usize, c: usize, y: usize, x: usize| noise(((n * 2 + c) * 6 + y) * 6 + x) < 0.3;
    let frames = |of: &dyn Fn(bool) -> f32| {
        Array5::from_shape_fn((IMAGES, 3, 2, 6, 6), |(n, _, c, y, x)| of(spikes(n, c, y, x)))
    };
    npz(&at("frames.npz"), "frames", &frames(&|spike| f32::from(u8::from(spike))));
    npz(&at("counts.npz"), "frames", &frames(&|spike| 5.0 * f32::from(u8::from(spike))));
    let images =
        |of: &dyn Fn(bool) -> f32| Array4::from_shape_fn((IMAGES, 2, 6, 6), |(n, c, y, x)| of(spikes(n, c, y, x)));
    npz(&at("poisson.npz"), "images", &images(&|spike| if spike { 2.0 } else { 0.0 }));
    let real =
        Array4::from_shape_fn((IMAGES, 2, 6, 6), |(n, c, y, x)| 5.0 * noise(((n * 2 + c) * 6 + y) * 6 + x) - 2.25);
    npz(&at("real.npz"), "images", &real);
    // Norms that make the network fire.
    let train = "model = \"m.toml\"\ndata = \"images:real.npz\"\n[train]\nepochs = 2\nbatch = 8\n";
    fs::write(at("t.toml"), train).unwrap();
    succeeds(folder.path(), "train t.toml --out run");
    folder
}

/// What `infer` reports, with its logits.
fn infer(folder: &Path, data: &str, keys: &str) -> (Value, Vec<u8>) {
    let words = format!(
        "infer --model m.toml --checkpoint run/checkpoint.safetensors --profile hw.toml --backend cpu --json o.json \
         --logits l.npy --data {data} {keys}"
    );
    succeeds(folder, &words);
    (json(folder.join("o.json")), fs::read(folder.join("l.npy")).unwrap())
}

/// Conversions of the first layer an image, and the image's latency.
fn cost(report: &Value) -> (f64, f64) {
    let energy = &report["energy"]["pj_per_image"];
    (energy["layers"]["conv1"]["adc"].as_f64().unwrap(), energy["latency_ns"].as_f64().unwrap())
}

#[test]
fn spikes_cost_the_same_from_an_encoder_and_from_a_camera() {
    let folder = workspace();
    for keys in [
        "",
        "--set tile.inputs=pulses",
        "--set adc.offset_sigma=1",
        "--set rram.model=cell --set rram.cell.g_max_us=50 --set rram.cell.mapping=offset --set tile.cols=8",
    ] {
        let (encoded, expected) = infer(folder.path(), "images:poisson.npz --encoding poisson", keys);
        let (camera, found) = infer(folder.path(), "frames:frames.npz", keys);
        assert_eq!(camera["energy"], encoded["energy"], "{keys}");
        assert_eq!(camera["spikes"], encoded["spikes"], "{keys}");
        assert!(found == expected, "{keys}");
    }
}

#[test]
fn an_input_costs_its_digits() {
    let folder = workspace();
    // 3 steps x 36 pixels x 2 row partitions x 3 columns, for each digit.
    let once = 3.0 * 36.0 * 2.0 * 3.0;
    for (data, keys, digits) in [
        ("frames:frames.npz", "", 1.0),
        ("frames:frames.npz", "--set tile.input_bits=8", 1.0),
        ("frames:counts.npz", "", 3.0),
        ("frames:counts.npz", "--set tile.input_bits=2", 2.0),
        ("frames:counts.npz", "--set tile.inputs=pulses", 1.0),
        // |x| < 4 in fixed point of 16 fractional bits.
        ("images:real.npz --encoding direct", "", 18.0),
        ("images:real.npz --encoding direct", "--set tile.input_bits=1", 1.0),
        ("images:real.npz --encoding direct", "--set tile.input_bits=6", 6.0),
        ("images:real.npz --encoding direct", "--set tile.input_bits=16", 16.0),
        // Trains of up to 15 pulses, a digit plane each.
        ("images:real.npz --encoding direct", "--set tile.inputs=pulses --set tile.input_bits=4", 1.0),
        ("images:real.npz --encoding direct", "--set tile.inputs=pulses --set tile.input_bits=6", 2.0),
    ] {
        let (report, _) = infer(folder.path(), data, keys);
        let (conversions, latency) = cost(&report);
        assert_eq!(conversions, digits * once, "{data} {keys}");
        let others = infer(
            folder.path(),
            "frames:frames.npz",
            if keys.contains("pulses") { "--set tile.inputs=pulses" } else { "" },
        );
        // The other layers' inputs are spikes and counts whatever comes in.
        let expected = cost(&others.0).1 + (digits - 1.0) * 3.0 * 36.0 * 11.0;
        assert_eq!(latency, expected, "{data} {keys}");
    }
}

#[test]
fn more_bits_of_an_input_come_nearer_to_what_it_is() {
    let folder = workspace();
    let ideal = "--set adc.bits=0";
    let logits = |keys: &str| -> Vec<f32> {
        let (_, bytes) = infer(folder.path(), "images:real.npz --encoding direct", keys);
        bytes[bytes.len() - IMAGES * 3 * 4..].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let exact = logits(ideal);
    let far = |bits: u32| -> f32 {
        let found = logits(&format!("{ideal} --set tile.input_bits={bits}"));
        found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).sum::<f32>() / exact.len() as f32
    };
    let (two, five, sixteen) = (far(2), far(5), far(16));
    assert!(two > five && five > sixteen && two > 0.0, "{two} {five} {sixteen}");
}

#[test]
fn the_width_is_that_of_the_whole_set_and_of_every_set_that_the_chip_sees() {
    let folder = workspace();
    let inputs =
        |data: &str, keys: &str| infer(folder.path(), data, keys).0["origin"]["configuration"]["inputs"].clone();
    let counts = inputs("frames:counts.npz", "");
    assert_eq!(
        counts,
        serde_json::json!({ "encoding": "frames", "form": "whole", "bits": 3, "unit": 1.0, "signed": false })
    );
    assert_eq!(inputs("frames:counts.npz", "--limit 1 --batch 1"), counts, "of the set, not of the images that run");
    let calibrated = "--set adc.range=calibrated --set adc.calibration_images=8 --calibration-data frames:counts.npz";
    assert_eq!(inputs("frames:frames.npz", calibrated), counts, "calibration images run through the chip, too");
    let adapted = inputs("frames:frames.npz", "--adapt 2 --adapt-batch 4 --adapt-data frames:counts.npz");
    assert_eq!(adapted, counts, "and so do those that norms are adapted on");
    let output = crosspike(
        folder.path(),
        "infer --model m.toml --checkpoint run/checkpoint.safetensors --data images:real.npz --encoding direct \
         --profile hw.toml --backend cpu",
    );
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("18 binary digits") && text.contains("tile.input_bits"), "{text}");
}

#[test]
fn a_full_range_is_the_tiles() {
    let folder = workspace();
    let rows = |rows: usize| infer(folder.path(), "frames:frames.npz", &format!("--set tile.rows={rows}"));
    let ((few, few_logits), (many, many_logits)) = (rows(18), rows(4096));
    assert!(few_logits != many_logits, "18 rows of conv1 on either tile");
    // With ±4096 in 63 steps, no sum of 18 rows reaches the first code.
    assert!(many["spikes"]["conv1"].as_array().unwrap().iter().all(|n| *n == 0), "{}", many["spikes"]);
    assert!(few["spikes"]["conv1"].as_array().unwrap().iter().any(|n| *n != 0), "{}", few["spikes"]);
}

#[test]
fn a_converter_of_one_bit_says_zero_or_one() {
    let folder = workspace();
    let at = |name: &str| folder.path().join(name);
    let real = Array5::from_shape_fn((IMAGES, 3, 2, 6, 6), |(n, t, c, y, x)| {
        0.99 * noise((((n * 3 + t) * 2 + c) * 6 + y) * 6 + x)
    });
    npz(&at("unit.npz"), "frames", &real);
    npz(&at("rounded.npz"), "frames", &real.mapv(f32::round));
    let (_, rounded) = infer(folder.path(), "frames:rounded.npz", "");
    let (report, one) = infer(folder.path(), "frames:unit.npz", "--set tile.input_bits=1");
    assert_eq!(one, rounded);
    assert_eq!(report["origin"]["configuration"]["inputs"]["form"], "converted");
    assert!(infer(folder.path(), "frames:unit.npz", "--set tile.input_bits=2").1 != one);
}
