//! What is not a number is an error where it comes up, never an answer.

mod common;

use std::fs;

use common::command::{crosspike, trained};
use crosspike::checkpoint::{Checkpoint, Values};
use crosspike::engine::chip_result::correct;
use crosspike::numeric::{larger, largest};
use ndarray::arr2;

#[test]
fn the_larger_of_what_is_no_number_is_none() {
    for (a, b, expected) in [(1.0, -3.0, 3.0), (0.0, -0.0, 0.0), (f32::INFINITY, 1.0, f32::INFINITY)] {
        assert_eq!((larger(a, b), larger(b, a)), (expected, expected));
    }
    for (a, b) in [(f32::NAN, 1.0), (-f32::NAN, f32::INFINITY), (f32::NAN, 0.0)] {
        assert!(larger(a, b).is_nan() && larger(b, a).is_nan());
    }
    let mut values = vec![1.0; 100_000];
    assert_eq!(largest(&values), 1.0);
    values[70_000] = f32::NAN;
    assert!(largest(&values).is_nan());
}

#[test]
fn no_logit_that_is_none_counts_as_a_class() {
    assert_eq!(correct(&arr2(&[[1.0, 2.0], [3.0, 3.0]]), &[1, 0]).unwrap(), 2);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = correct(&arr2(&[[1.0, 2.0], [0.0, bad]]), &[1, 0]).unwrap_err().to_string();
        assert!(error.contains("the logit of class 1") && error.contains("image 1"), "{error}");
    }
}

#[test]
fn a_batch_of_one_is_refused_where_a_norm_has_one_value() {
    let folder = trained();
    let model = "name = \"m\"\nsteps = 2\nclasses = 10\ninput = { channels = 1, height = 8, width = 8 }\nlayers = [{ \
                 conv = 4 }";
    let train = |layers: &str, set: &str| {
        fs::write(folder.path().join("m.toml"), format!("{model}{layers}]\n")).unwrap();
        let words = format!(
            "train train.toml --out one --force --set model=m.toml --set train.validation=0 --set train.epochs=1 {set}"
        );
        String::from_utf8(crosspike(folder.path(), &words).stderr).unwrap()
    };
    let expected = "train.batch: 1 image a step gives the norm of `fc1` one value a channel";
    for set in ["--set train.batch=1 --set train.limit=4", "--set train.limit=1"] {
        let error = train(", { fc = 8 }", set);
        assert!(error.contains(expected), "{error}");
        let error = train("", set);
        assert!(!error.contains("error"), "a convolution has a value a pixel: {error}");
    }
    let error = train(", { pool = \"global\" }, { fc = 8 }", "--set train.batch=2 --set train.limit=4");
    assert!(!error.contains("error"), "{error}");
}

#[test]
fn a_network_beyond_what_numbers_hold_is_an_error() {
    let folder = trained();
    let mut checkpoint = Checkpoint::read(&folder.path().join("c.safetensors")).unwrap();
    let mut set = |name: &str, value: f32| {
        let Values::F32(values) = &mut checkpoint.tensors.get_mut(name).unwrap().values else { panic!("{name}") };
        let before = std::mem::replace(&mut values[0], value);
        checkpoint.write(&folder.path().join("bad.safetensors")).unwrap();
        let Values::F32(values) = &mut checkpoint.tensors.get_mut(name).unwrap().values else { panic!("{name}") };
        values[0] = before;
        let words = "infer --model model.toml --checkpoint bad.safetensors --data digits --limit 8 --backend cpu";
        let output = crosspike(folder.path(), words);
        assert!(!output.status.success(), "{name} = {value}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = set("bntt1.1.weight", 3e38);
    assert!(error.contains("`conv1` has a gain of inf"), "{error}");
    let error = set("bntt1.0.running_mean", 3e38);
    assert!(error.contains("offset of -inf") || error.contains("offset of inf"), "{error}");
    let error = set("fc1.weight", 3e38);
    assert!(error.contains("error"), "{error}");
}
