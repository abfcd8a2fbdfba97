//! The contract: inference, sweeps and training give the same bytes for any thread count, batch size, product kernel,
//! shard and number of kills. It catches order-dependent sums, draws keyed by place instead of identity, and state that
//! a resume forgets.

mod common;

use std::path::Path;

use common::{batch, profile};
use crosspike::chip::{Blueprint, Chip};
use crosspike::data::{Dataset, Split};
use crosspike::engine::Engine;
use crosspike::engine::chip_result::ChipResult;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::Evaluation;
use crosspike::error::Error;
use crosspike::forward::ways::Kernel;
use crosspike::lock::FolderAccess;
use crosspike::monitor::{Monitor, Silent};
use crosspike::network::{Encoder, Encoding, Inputs, Model, Network};
use crosspike::output::OutputFolder;
use crosspike::study::sweep::{Shard, Sweep};
use crosspike::train::config::Hyperparameters;
use crosspike::train::{Trainer, finish};
use rayon::prelude::*;

const PROFILE: [&str; 4] =
    ["rram.weight_bits=4", "rram.variation.kind=lognormal", "rram.variation.sigma=0.34597", "rram.layers=all"];

fn root(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn digits() -> Model {
    Model::read(&root("models/digits.toml"), &["steps=3".into()]).unwrap()
}

fn threads<T: Send>(n: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(work)
}

/// Chip 3 of seed 7 on the first 70 test digits.
fn evaluate(kernel: Kernel, batch: usize) -> ChipResult {
    evaluate_with(&[], kernel, batch)
}

/// What [`evaluate`] gives with more keys of a profile.
fn evaluate_with(keys: &[&str], kernel: Kernel, batch: usize) -> ChipResult {
    let (model, profile) = (digits(), profile(&[&PROFILE[..], keys].concat()));
    let network = Network::xavier(&model, 5);
    let data = Dataset::open("digits", Path::new(""), Split::Test).unwrap().limit(70);
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 7).unwrap();
    let encoder = Encoder::new(Encoding::Poisson, model.input, 7, 0);
    let engine = CpuEngine { kernel };
    let evaluation = Evaluation::on(&engine, &data, encoder, model.steps).batches_of(batch);
    evaluation.run(&Chip::program(&blueprint, 3).unwrap()).unwrap()
}

/// Threads that make a layer's tables while each has an image of its own in hand take up no other image meanwhile:
/// chips that run at the same time in one pool give what each gives alone.
#[test]
fn chips_that_run_at_the_same_time_do_not_get_into_each_others_way() {
    let expected = threads(1, || evaluate(Kernel::LookUp, 70));
    for _ in 0..60 {
        let found: Vec<_> = threads(32, || (0..64).into_par_iter().map(|_| evaluate(Kernel::LookUp, 70)).collect());
        assert!(found.iter().all(|found| *found == expected));
    }
}

#[test]
fn inference_is_the_same_for_any_threads_batch_and_kernel() {
    let expected = threads(1, || evaluate(Kernel::Auto, 70));
    assert!(expected.counts.total_spikes() > 1000, "the network must be alive for this test to mean anything");
    for n in [1, 2, 4] {
        for kernel in Kernel::all() {
            for batch in [1, 7, 64] {
                let found = threads(n, || evaluate(kernel, batch));
                assert_eq!(found, expected, "{n} threads, {kernel:?}, batch {batch}");
            }
        }
    }
}

#[test]
fn converters_give_the_same_for_any_threads_batch_and_kernel() {
    const KEYS: [&str; 4] = ["adc.bits=9", "tile.rows=48", "sram.bits=3", "sram.shift=-1"];
    let expected = threads(1, || evaluate_with(&KEYS, Kernel::Events, 70));
    assert!(expected.counts.total_spikes() > 1000, "the network must be alive for this test to mean anything");
    for n in [1, 4] {
        for kernel in Kernel::all() {
            for batch in [1, 64] {
                let found = threads(n, || evaluate_with(&KEYS, kernel, batch));
                assert_eq!(found, expected, "{n} threads, {kernel:?}, batch {batch}");
            }
        }
    }
}

/// Checks chips whose cells vary, and chips that are all the same one, on the first 70 test digits: given what they are
/// made from, new evaluations, and whether they differ.
fn on_digits(check: impl for<'a> Fn(&Blueprint<'a>, &dyn Fn() -> Evaluation<'a>, bool)) {
    let (model, data) = (digits(), Dataset::open("digits", Path::new(""), Split::Test).unwrap().limit(70));
    let network = Network::xavier(&model, 5);
    let encoder = Encoder::new(Encoding::Poisson, model.input, 7, 0);
    let engine = CpuEngine::default();
    for (keys, differ) in [(&PROFILE[..], true), (&PROFILE[..1], false)] {
        let profile = profile(keys);
        let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 7).unwrap();
        check(&blueprint, &|| Evaluation::on(&engine, &data, encoder, model.steps), differ);
    }
}

#[test]
fn a_series_is_its_chips_one_by_one() {
    on_digits(|blueprint, evaluation, differ| {
        let one = |index| {
            let alone = evaluation();
            (index, alone.run(&Chip::program(blueprint, index).unwrap()).unwrap())
        };
        let together = evaluation().batches_of(32);
        for n in [1, 4] {
            let mut found = Vec::new();
            let series = || {
                together.series(blueprint, [3, 4, 9], |index, result| {
                    found.push((index, result.clone()));
                    Ok(())
                })
            };
            threads(n, series).unwrap();
            assert_eq!(found, [3, 4, 9].map(one), "{n} threads");
            assert_eq!(found[0].1 != found[1].1, differ, "chips differ where cells vary");
        }
        let mut seen = Vec::new();
        let stopped = together.series(blueprint, 0..9, |index, _| {
            seen.push(index);
            if index == 1 { Err(Error::Interrupted("enough".into())) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Error::Interrupted(_))) && seen == [0, 1]);
    });
}

#[test]
fn each_chip_of_a_series_may_have_images_of_its_own() {
    on_digits(|blueprint, evaluation, differ| {
        // Three parts of 23 images; the last image is nobody's, and chip 4 has those of chip 1.
        let one = |index: u64| {
            let first = 23 * (index as usize % 3);
            let alone = evaluation().of_images((first..first + 23).collect());
            (index, alone.run(&Chip::program(blueprint, index).unwrap()).unwrap())
        };
        for batch in [10, 64] {
            let together = evaluation().of_own_images(Some(23)).batches_of(batch);
            let mut found = Vec::new();
            let series = together.series(blueprint, [0, 1, 2, 4], |index, result| {
                found.push((index, result.clone()));
                Ok(())
            });
            series.unwrap();
            assert_eq!(found, [0, 1, 2, 4].map(one), "batches of {batch}");
            assert_eq!(found[1].1 != found[3].1, differ, "chips differ where cells vary");
        }
    });
}

#[test]
fn direct_inputs_are_the_same_for_any_kernel() {
    let images = batch("images:images.npz").0;
    let run = |kernel| {
        let (network, profile) = (common::network("checkpoint.safetensors"), profile(&PROFILE));
        common::run(&CpuEngine { kernel }, &network, &profile, Encoding::Direct, &images)
    };
    let expected = run(Kernel::Events);
    Kernel::all().into_iter().for_each(|kernel| assert_eq!(run(kernel), expected, "{kernel:?}"));
}

/// Stops work after so many progress reports.
struct StopAfter(std::sync::atomic::AtomicI64);

impl Monitor for StopAfter {
    fn begin(&self, _: &str, _: u64) {}
    fn skip(&self, _: u64) {}
    fn progress(&self, _: u64, _: &str) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
    fn end(&self) {}
    fn line(&self, _: &str) {}
    fn stop(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed) <= 0
    }
}

/// Trains in `folder`, killed after each number of steps in turn, then to the end; gives the files' bytes.
fn train(folder: &Path, stops: &[i64], n: usize) -> Vec<Vec<u8>> {
    let (model, profile) = (digits(), profile(&PROFILE));
    let data = Dataset::open("digits", Path::new(""), Split::Train).unwrap();
    let hyperparameters = Hyperparameters {
        epochs: 2,
        batch: 32,
        limit: Some(200),
        validation: 0.2,
        variation: true,
        ..Hyperparameters::default()
    };
    let origin = serde_json::json!({ "version": "test" });
    let trainer = || Trainer {
        prune: None,
        model: &model,
        profile: &profile,
        data: &data,
        hyperparameters: &hyperparameters,
        inputs: Encoding::Poisson.into(),
        origin: origin.clone(),
    };
    threads(n, || {
        for stop in stops {
            let claimed = OutputFolder::claim(folder, &origin, false, &[], FolderAccess::Shared).unwrap();
            let monitor = StopAfter((*stop).into());
            let stopped = trainer().run(Network::xavier(&model, 1), Some(&claimed), &monitor);
            assert!(matches!(stopped, Err(Error::Interrupted(_))));
        }
        let claimed = OutputFolder::claim(folder, &origin, false, &[], FolderAccess::Shared).unwrap();
        trainer().run(Network::xavier(&model, 1), Some(&claimed), &Silent).unwrap();
        finish(&claimed).unwrap();
    });
    ["checkpoint.safetensors", "best.safetensors", "log.csv"].map(|f| std::fs::read(folder.join(f)).unwrap()).to_vec()
}

#[test]
fn a_training_ends_in_the_same_bytes_for_any_threads_and_any_kills() {
    let root = tempfile::tempdir().unwrap();
    let expected = train(&root.path().join("whole"), &[], 1);
    for (name, stops, n) in
        [("threads", &[][..], 2), ("four", &[], 4), ("killed", &[2, 1, 4], 2), ("at the end", &[5, 5], 1)]
    {
        assert!(train(&root.path().join(name), stops, n) == expected, "{name}");
    }
}

fn sweep_file(root: &Path) -> std::path::PathBuf {
    let model = digits();
    let checkpoint = Network::xavier(&model, 1).to_checkpoint(&model, serde_json::Value::Null);
    checkpoint.write(&root.join("c.safetensors")).unwrap();
    let text = format!(
        "name = \"test\"\nmodel = \"m.toml\"\ncheckpoint = \"c.safetensors\"\nprofile = {:?}\ndata = \"digits\"\nlimit \
         = 20\n\
         chips = 3\nseed = 4\n[grid]\n\"rram.variation.scale\" = [0.0, 1.0, 2.0]\n\"sram.bits\" = [0, 2]\n",
        self::root("hw_profiles/rram_4bit.toml")
    );
    let model_text =
        std::fs::read_to_string(self::root("models/digits.toml")).unwrap().replace("steps = 8", "steps = 3");
    std::fs::write(root.join("m.toml"), model_text).unwrap();
    std::fs::write(root.join("s.toml"), text).unwrap();
    root.join("s.toml")
}

#[test]
fn a_sweep_ends_in_the_same_bytes_for_any_threads_shards_and_kills() {
    let root = tempfile::tempdir().unwrap();
    let sweep = Sweep::read(&sweep_file(root.path()), &Default::default()).unwrap();
    let engine = CpuEngine::default();
    let origin = sweep.origin(&engine);
    let results = |name: &str, shards: usize, n: usize, stop_after: Option<i64>| {
        let path = root.path().join(name);
        threads(n, || {
            for index in (1..=shards).rev() {
                loop {
                    let folder = OutputFolder::claim(&path, &origin, false, &[], FolderAccess::Shared).unwrap();
                    let monitor = StopAfter(stop_after.unwrap_or(i64::MAX).into());
                    match sweep.run(&engine, &folder, Shard { index, of: shards }, &monitor) {
                        Ok(complete) => assert_eq!(complete, index == 1),
                        Err(Error::Interrupted(_)) => continue,
                        Err(e) => panic!("{e}"),
                    }
                    break;
                }
            }
        });
        ["results.csv", "summary.csv"].map(|f| std::fs::read_to_string(path.join(f)).unwrap())
    };
    let expected = results("whole", 1, 1, None);
    assert_eq!(expected[0].lines().count(), 1 + 6 * 3);
    assert!(expected[0].starts_with("rram.variation.scale,sram.bits,chip,accuracy,"), "{}", expected[0]);
    for (name, shards, n, stop) in [("threads", 1, 2, None), ("shards", 5, 1, None), ("kills", 2, 2, Some(3))] {
        assert_eq!(results(name, shards, n, stop), expected, "{name}");
    }
}

#[test]
fn every_knob_of_the_profile_changes_the_chip() {
    let (model, network) = (digits(), Network::xavier(&digits(), 5));
    let chip = |overrides: &[&str], seed, index| {
        let profile = profile(&[&PROFILE[..], overrides].concat());
        Chip::program(&Blueprint::new(&profile, &model, &network, Encoding::Poisson, seed).unwrap(), index).unwrap()
    };
    let nominal = chip(&[], 1, 0);
    assert_eq!(chip(&[], 1, 0), nominal);
    assert_eq!(chip(&["tile.rows=16", "name=other"], 1, 0), nominal, "a chip stays itself when tiles change");
    assert_ne!(chip(&[], 1, 1), nominal, "index");
    assert_ne!(chip(&[], 2, 0), nominal, "seed");
    for knob in [
        "rram.weight_bits=3",
        "rram.scheme=ternary",
        "rram.scheme=dorefa",
        "rram.scheme=float",
        "rram.scheme=integer",
        "rram.layers=conv",
        "rram.variation.kind=gaussian",
        "rram.variation.kind=none",
        "rram.variation.sigma=0.1",
        "rram.variation.scale=2",
        "sram.bits=2",
    ] {
        assert_ne!(chip(&[knob], 1, 0), nominal, "{knob}");
    }
    let companion = chip(&["sram.bits=2"], 1, 0);
    for knob in [
        "sram.bits=3",
        "sram.shift=-1",
        "sram.scheme=ternary",
        "sram.combine=sum",
        "sram.init=zeros",
        "sram.init=xavier",
        "sram.init=residual",
    ] {
        assert_ne!(chip(&["sram.bits=2", knob], 1, 0), companion, "{knob}");
    }
}

/// Root mean square distance of the first layer's effective weights on chip 0 from what `of` gives.
fn distance(overrides: &[&str], of: &[f32]) -> f64 {
    let (model, network) = (digits(), Network::xavier(&digits(), 5));
    let profile = profile(overrides);
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).unwrap();
    let chip = Chip::program(&blueprint, 0).unwrap();
    let weights = chip.layers[0].arrays.effective();
    let squares: f64 = weights.iter().zip(of).map(|(w, o)| f64::from(w - o).powi(2)).sum();
    (squares / of.len() as f64).sqrt()
}

#[test]
fn knobs_move_the_weights_in_the_expected_direction() {
    let latent = Network::xavier(&digits(), 5).layers[0].rram.clone();
    let zero = vec![0.0; latent.len()];
    let target = crosspike::device::quantise::quantise(crosspike::profile::Scheme::Uniform, 4, &latent);
    fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&PROFILE[..], more].concat()
    }
    let falls = |what: &str, values: [f64; 3]| {
        assert!(values[0] > values[1] && values[1] > values[2], "{what}: {values:?}");
    };
    falls(
        "more bits, nearer to the latent weights",
        ["2", "4", "8"].map(|bits| distance(&[&format!("rram.weight_bits={bits}")], &latent)),
    );
    falls(
        "less variation, nearer to the target",
        ["2", "1", "0.5"].map(|scale| distance(&with(&[&format!("rram.variation.scale={scale}")]), &target)),
    );
    falls(
        "a smaller sigma, nearer to the target",
        ["0.4", "0.2", "0.1"].map(|sigma| distance(&with(&[&format!("rram.variation.sigma={sigma}")]), &target)),
    );
    falls(
        "more residual bits, nearer to the target",
        ["2", "4", "8"].map(|bits| distance(&with(&[&format!("sram.bits={bits}"), "sram.init=residual"]), &target)),
    );
    falls(
        "a larger shift, more of the companion",
        ["2", "0", "-2"]
            .map(|shift| distance(&with(&["sram.bits=4", "sram.combine=sum", &format!("sram.shift={shift}")]), &zero)),
    );
    let [sum, average] =
        ["sum", "average"].map(|c| distance(&with(&["sram.bits=4", &format!("sram.combine={c}")]), &zero));
    assert!((sum / average - 2.0).abs() < 1e-4, "average is half the sum: {sum}, {average}");
    let zeros = distance(&with(&["sram.bits=4", "sram.init=zeros"]), &target);
    assert_eq!(zeros, distance(&PROFILE, &target), "an array of zeros changes nothing");
}

#[test]
fn the_engine_takes_any_batch() {
    let model = digits();
    let network = Network::xavier(&model, 5);
    let profile = profile(&[]);
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).unwrap();
    let chip = Chip::program(&blueprint, 0).unwrap();
    let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
    let engine = CpuEngine::default();
    let inputs = Inputs::new(encoder, Default::default(), model.steps);
    let outcomes = engine.load(&[chip]).unwrap().run(&inputs).unwrap();
    assert_eq!(outcomes[0].logits.dim(), (0, 10));
}
