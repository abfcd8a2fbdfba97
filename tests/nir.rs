//! NIR files: networks that other programs wrote and ran do here what they did there, spike for spike
//! (`tests/golden/nir/make.py`); what cannot run is refused by its node's name; damaged files break nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crosspike::chip::{Blueprint, Chip};
use crosspike::config::Document;
use crosspike::data::Recorded;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::sameness::Sameness;
use crosspike::engine::{Engine, Keep};
use crosspike::network::constants::Constant;
use crosspike::network::neuron::{Fires, ResetAt};
use crosspike::network::readout::ReadoutKind;
use crosspike::network::{Batch, Encoder, Encoding, InputCode, Inputs, Model, Network};
use crosspike::nir::discrete::Discretisation;
use crosspike::nir::export;
use crosspike::nir::import::{Imported, import};
use crosspike::nir::options::{NirOptions, Reset};
use crosspike::profile::Profile;
use hdf5_pure::FileBuilder;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nir")
}

fn options() -> NirOptions {
    NirOptions {
        name: "net".into(),
        dt: 1e-3,
        method: Discretisation::Euler,
        reset: Reset::Value,
        reset_at: ResetAt::Spike,
        fires: Fires::Above,
        readout: None,
        steps: 8,
    }
}

/// The folders of all cases, with the options of each.
fn cases() -> Vec<(PathBuf, NirOptions)> {
    let folders = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let with_options = |folder: PathBuf| {
        let text = fs::read_to_string(folder.join("import.json")).unwrap();
        let of: serde_json::Value = serde_json::from_str(&text).unwrap();
        let options = NirOptions {
            dt: of["dt"].as_f64().unwrap(),
            reset: if of["reset"] == "subtract" { Reset::Subtract } else { Reset::Value },
            reset_at: if of["reset_at"] == "next" { ResetAt::Next } else { ResetAt::Spike },
            fires: if of["fires"] == "reached" { Fires::Reached } else { Fires::Above },
            ..options()
        };
        (folder, options)
    };
    folders.map(with_options).collect()
}

/// The neurons' name in the file of each layer of the model.
fn neurons(imported: &Imported) -> Vec<Option<String>> {
    let counts = imported.model.readout.kind == ReadoutKind::Count;
    let layers = imported.model.layers();
    let last = layers.last().unwrap().name.clone();
    let name = |layer: &str| imported.names.iter().find(|(name, ..)| name == layer).unwrap().2.clone();
    layers.iter().map(|layer| name(&layer.name).filter(|_| counts || layer.name != last)).collect()
}

#[test]
fn networks_of_other_tools_do_what_they_did_there() {
    let cases = cases();
    assert!(cases.len() >= 16);
    for (folder, options) in cases {
        let imported = import(&folder.join("net.nir"), &options).unwrap();
        let network = Network::load(&imported.model, &imported.checkpoint).unwrap().network;
        let recorded = Recorded::open(&folder.join("recorded.npz")).unwrap();
        let sameness = Sameness::of(&imported.model, &network, &recorded, &neurons(&imported)).unwrap();
        let folder = folder.display();
        assert_eq!(sameness.layers.len(), recorded.spikes.len(), "{folder}");
        for layer in &sameness.layers {
            assert!(layer.apart == 0 && layer.spikes > 0, "{folder}: {layer:?}");
        }
        let (apart, largest) = sameness.logits.unwrap();
        assert!(apart <= 1e-5 * largest.max(1.0), "{folder}: {apart}");
        assert!(sameness.is_same());
    }
}

#[test]
fn another_reset_or_step_is_another_network() {
    let folder = golden().join("snntorch_subtract");
    let right = cases().into_iter().find(|(other, _)| *other == folder).unwrap().1;
    let recorded = Recorded::open(&folder.join("recorded.npz")).unwrap();
    let same = |options: &NirOptions| {
        let imported = import(&folder.join("net.nir"), options).unwrap();
        let network = Network::load(&imported.model, &imported.checkpoint).unwrap().network;
        Sameness::of(&imported.model, &network, &recorded, &neurons(&imported)).unwrap()
    };
    assert!(same(&right).is_same());
    for other in [
        NirOptions { reset: Reset::Value, ..right.clone() },
        NirOptions { reset: Reset::None, ..right.clone() },
        NirOptions { reset_at: ResetAt::Spike, ..right.clone() },
        NirOptions { dt: 2e-5, ..right.clone() },
        NirOptions { method: Discretisation::Exact, ..right.clone() },
    ] {
        let found = same(&other);
        let first = &found.layers[0];
        assert!(!found.is_same() && first.first.is_some_and(|(_, _, recorded, here)| recorded != here), "{other:?}");
    }
}

#[test]
fn each_is_programmed_on_a_chip() {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw_profiles/spikesim_65nm.toml");
    let profile = Profile::read(&profile, &["adc.range=full".into()]).unwrap();
    for (folder, options) in cases() {
        let imported = import(&folder.join("net.nir"), &options).unwrap();
        let network = Network::load(&imported.model, &imported.checkpoint).unwrap().network;
        let recorded = Recorded::open(&folder.join("recorded.npz")).unwrap();
        let (images, steps) = recorded.sizes;
        let mut model = imported.model.clone();
        model.steps = steps;
        // Real inputs have converters of their own; groups have none.
        let whole = recorded.frames.iter().all(|value| value.fract() == 0.0);
        let groups = model.layers().iter().any(|layer| layer.groups > 1);
        let mut profile = profile.clone();
        profile.tile.input_bits = if whole { 0 } else { 8 };
        profile.adc.bits = if groups { 0 } else { profile.adc.bits };
        let code = InputCode::of(Encoding::Frames, recorded.range, profile.tile.input_bits).unwrap();
        let blueprint = Blueprint::new(&profile, &model, &network, code, 1).unwrap();
        let chips: Vec<Chip> = (0..2).map(|index| Chip::program(&blueprint, index).unwrap()).collect();
        let batch = Batch { values: recorded.frames.clone(), indices: (0..images as u32).collect() };
        let inputs = Inputs::new(Encoder::new(code, model.input, 0, 0), batch, steps);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| CpuEngine::default().load(&chips).unwrap().run_keeping(&inputs, Keep::Every).unwrap())
        };
        assert!(on(1) == on(3) && chips[0] != chips[1], "{}", folder.display());
    }
}

#[test]
fn out_and_in_again_a_network_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.nir");
    for (case, options) in cases() {
        let first = import(&case.join("net.nir"), &options).unwrap();
        let network = Network::load(&first.model, &first.checkpoint).unwrap().network;
        let notices = export(&first.model, &network, options.dt, &path).unwrap();
        let told = notices.concat();
        let case_name = case.display();
        assert!(told.contains("--dt") && told.contains("--steps 8"), "{told}");
        assert_eq!(told.contains("--reset subtract"), options.reset == Reset::Subtract, "{case_name}: {told}");
        assert_eq!(told.contains("--reset-at next"), options.reset_at == ResetAt::Next, "{case_name}: {told}");
        let again = import(&path, &options).unwrap();
        assert!(again.notices.is_empty(), "{case_name}: {:?}", again.notices);
        assert_eq!(again.checkpoint.tensors, first.checkpoint.tensors, "{case_name}");
        // Pools that neurons do themselves have no name of their own.
        assert!(again.model.graph() == first.model.graph(), "{case_name}");
        assert_eq!(again.model.readout, first.model.readout, "{case_name}");
    }
}

#[test]
fn neurons_that_do_not_leak_stand_among_those_that_do() {
    let text = "name = \"m\"\nsteps = 8\nclasses = 3\ninput = { channels = 2, height = 1, width = 1 }\nnorm = \
                \"none\"\n\
                neuron = { reset = \"zero\", synaptic_leak = 0.5, learned = { leak = \"channel\", threshold = \"layer\" } }\n\
                layers = [{ fc = 4 }]";
    let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap();
    let mut network = Network::xavier(&model, 1);
    network.layers[0].constants.insert(Constant::Leak, vec![1.0, 0.25, 0.0, 0.9]);
    network.layers[0].constants.insert(Constant::Threshold, vec![0.75]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.nir");
    export(&model, &network, 1e-4, &path).unwrap();
    let again = import(&path, &NirOptions { dt: 1e-4, ..options() }).unwrap();
    let found = Network::load(&again.model, &again.checkpoint).unwrap().network;
    assert_eq!(found.layers[0].rram, network.layers[0].rram);
    assert_eq!(found.layers[0].constants[&Constant::Leak], network.layers[0].constants[&Constant::Leak]);
    let neuron = again.model.layers()[0].neuron;
    assert_eq!((neuron.threshold, neuron.synaptic_leak, neuron.scaled_input), (0.75, 0.5, false));
}

#[test]
fn what_nir_lacks_is_refused_by_its_layer() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |layers: &str, expected: &str| {
        let text = format!(
            "name = \"m\"\nsteps = 2\nclasses = 3\ninput = {{ channels = 2, height = 4, width = 4 }}\nnorm = \
             \"none\"\nlayers = {layers}"
        );
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap();
        let path = folder.path().join("net.nir");
        let error = export(&model, &Network::xavier(&model, 1), 1e-3, &path).unwrap_err().to_string();
        assert!(error.contains(expected) && !path.exists(), "{error}");
    };
    let mixed = |key: &str| format!("[{{ conv = 4 }}, {{ conv = 4, neuron = {{ {key} }} }}]");
    for key in ["reset = \"zero\"", "reset_at = \"next\"", "fires = \"reached\""] {
        refused(&mixed(key), "`conv2` fires or is reset in another way");
    }
    refused(
        "[{ conv = 4 }, { name = \"b\", conv = 4 }, { conv = 4, add = [\"conv1\", \"conv1\"] }]",
        "would have other pulses",
    );
    refused(
        "[{ name = \"a\", conv = 4 }, { name = \"b\", conv = 4 }, { name = \"back\", conv = 4, from = \"b\", joins = \
         \"a\", delayed = true }, { name = \"c\", conv = 4, from = \"a\" }]",
        "`b`",
    );
    refused("[{ conv = 4, norm = \"bntt\" }]", "`conv1` has a norm of every step");
    refused("[{ conv = 4 }, { conv = 4, add_current = \"conv1\" }]", "`conv2` takes others' currents");
    refused("[{ conv = 4 }, { conv = 4, add_behind = \"conv1\" }]", "`conv2` takes others' currents, or adds");
    refused("[{ conv = 4 }, { pool = { window = 2, kind = \"max\" } }]", "`pool1` takes the largest pulse");
    refused("[{ conv = 4, neuron = { adaptation = 0.1 } }]", "`conv1` has neurons whose threshold adapts");
    refused("[{ conv = 4, neuron = { refractory = 1 } }]", "`conv1` has neurons that rest");
    refused("[{ conv = 4, neuron = { reset = \"none\" } }]", "`conv1` has neurons that no spike resets");
    refused(
        "[{ conv = 4 }, { name = \"b\", conv = 4, from = \"input\" }, { concat = [\"conv1\", \"b\"] }]",
        "`concat1` puts channels",
    );
}

/// A parameter: its name, shape and values.
type Parameter = (&'static str, Vec<u64>, Vec<f64>);
/// A node: its name, its kind and its parameters.
type Node = (&'static str, &'static str, Vec<Parameter>);

/// A file of nodes between an input of two values and an output.
fn file(folder: &Path, nodes: &[Node], edges: &[(&str, &str)]) -> PathBuf {
    let mut builder = FileBuilder::new();
    let mut graph = builder.create_group("node");
    let mut all = graph.create_group("nodes");
    let end = |name, kind, size| (name, kind, vec![("shape", vec![1], vec![size])]);
    for (name, kind, parameters) in [end("input", "Input", 2.0), end("output", "Output", 1.0)].iter().chain(nodes) {
        let mut node = all.create_group(name);
        node.create_dataset("type").with_vlen_strings(&[kind]).with_shape(&[]);
        for (key, shape, values) in parameters {
            node.create_dataset(key).with_f64_data(values).with_shape(shape);
        }
        all.add_group(node.finish());
    }
    graph.add_group(all.finish());
    let names: Vec<&str> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
    graph.create_dataset("edges").with_vlen_strings(&names).with_shape(&[edges.len() as u64, 2]);
    graph.create_dataset("type").with_vlen_strings(&["NIRGraph"]).with_shape(&[]);
    builder.add_group(graph.finish());
    let path = folder.join("net.nir");
    builder.write(&path).unwrap();
    path
}

#[test]
fn what_cannot_run_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let lif = |tau: f64, n: usize| -> Vec<Parameter> {
        let of = |name, value| (name, vec![n as u64], vec![value; n]);
        vec![of("tau", tau), of("r", 1.0), of("v_leak", 0.0), of("v_threshold", 1.0)]
    };
    let refused = |nodes: &[Node], edges: &[(&str, &str)], expected: &str| {
        let error = import(&file(folder.path(), nodes, edges), &options()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("net.nir"), "{error}\nexpected {expected}");
    };
    let linear =
        |rows: usize, columns: usize| vec![("weight", vec![rows as u64, columns as u64], vec![0.5; rows * columns])];
    let straight = [("input", "w"), ("w", "n"), ("n", "v"), ("v", "output")];
    let chain = |n: Node| vec![("w", "Linear", linear(3, 2)), n, ("v", "Linear", linear(1, 3))];
    refused(&chain(("n", "Izhikevich", vec![])), &straight, "`n` is a `Izhikevich`, which no primitive of NIR 1.0 is");
    refused(&chain(("n", "LIF", lif(1e-4, 3))), &straight, "`n` has a time constant below the step of 0.001 s");
    refused(&chain(("n", "LIF", lif(0.0, 3))), &straight, "`n`.tau holds 0, expected times above 0");
    refused(&chain(("n", "LIF", lif(1e-2, 2))), &straight, "2 neurons");
    refused(&chain(("n", "LIF", lif(f64::NAN, 3))), &straight, "`n`.tau holds NaN");
    let more = [lif(1e-2, 3), vec![("gain", vec![1], vec![2.0])]].concat();
    refused(&chain(("n", "LIF", more)), &straight, "`n`.gain is no parameter of a `LIF`");
    refused(&chain(("n", "LIF", lif(1e-2, 3)[1..].to_vec())), &straight, "`n` is a `LIF` without `tau`");
    let mut leaking = lif(1e-2, 3);
    leaking[2].2 = vec![0.1; 3];
    let whole = file(folder.path(), &chain(("n", "LIF", leaking)), &straight);
    assert!(import(&whole, &options()).is_ok());
    let subtracting = NirOptions { reset: Reset::Subtract, ..options() };
    let error = import(&whole, &subtracting).unwrap_err().to_string();
    assert!(error.contains("`n` leaks to 0.1") && error.contains("--reset value"), "{error}");
    let delay = vec![("delay", vec![3], vec![1.5e-3; 3])];
    let edges = [("input", "w"), ("w", "n"), ("n", "d"), ("d", "v"), ("v", "output")];
    let with = |node| [chain(("n", "LIF", lif(1e-2, 3))), vec![node]].concat();
    refused(&with(("d", "Delay", delay)), &edges, "`d` is a delay of 0.0015 s, expected whole steps of 0.001 s");
    let differ = vec![("delay", vec![3], vec![1e-3, 2e-3, 1e-3])];
    refused(&with(("d", "Delay", differ)), &edges, "`d` has delays that differ");
    refused(&with(("d", "Linear", linear(3, 3))), &edges, "`v` reads `d`, which sends no spikes");
    let integrator = lif(1e-2, 3)[..3].to_vec();
    refused(&chain(("n", "LI", integrator)), &straight, "`n` integrates without spikes and leads to others");
    refused(&chain(("n", "LIF", lif(1e-2, 3))), &straight[..3], "`output`: expected one node that leads to it");
    refused(&chain(("n", "LIF", lif(1e-2, 3))), &[("input", "w"), ("w", "m")], "an edge names `m`");
    let back = [&straight[..], &[("n", "n")]].concat();
    refused(&chain(("n", "LIF", lif(1e-2, 3))), &back, "`n` leads back to `n` without a matrix");
    let lost =
        [chain(("n", "LIF", lif(1e-2, 3))), vec![("u", "Linear", linear(3, 2)), ("m", "LIF", lif(1e-2, 3))]].concat();
    refused(&lost, &[&straight[..], &[("input", "u"), ("u", "m")]].concat(), "`m` does not lead to the output");
    let flat = vec![
        ("start_dim", vec![], vec![1.0]),
        ("end_dim", vec![], vec![1.0]),
        ("input_type", vec![3], vec![2.0, 3.0, 4.0]),
    ];
    refused(&with(("d", "Flatten", flat)), &edges, "`d` is a `Flatten` from dimension 1 to 1");
    // A node that nothing reads, a circle of factors, pools or delays, a convolution of groups that do not divide it.
    let unread = [chain(("n", "LIF", lif(1e-2, 3))), vec![("u", "Linear", linear(3, 2))]].concat();
    refused(&unread, &[&straight[..], &[("input", "u")]].concat(), "`u` does not lead to the output");
    let scale = || vec![("scale", vec![2], vec![0.5; 2])];
    let circle = [chain(("n", "LIF", lif(1e-2, 3))), vec![("s", "Scale", scale()), ("t", "Scale", scale())]].concat();
    let round = [("s", "t"), ("t", "s"), ("s", "w"), ("w", "n"), ("n", "v"), ("v", "output")];
    refused(&circle, &round, "circle");
    let delay = || vec![("delay", vec![3], vec![1e-3; 3])];
    let round = [("input", "w"), ("w", "n"), ("d", "d"), ("d", "v"), ("v", "output")];
    refused(&with(("d", "Delay", delay())), &round, "`d`");
    let conv = |groups: f64| {
        let of = |name, value: f64| (name, vec![2], vec![value; 2]);
        vec![
            ("weight", vec![3, 1, 1, 1], vec![0.5; 3]),
            ("bias", vec![3], vec![0.0; 3]),
            of("stride", 1.0),
            of("padding", 0.0),
            of("dilation", 1.0),
            ("groups", vec![], vec![groups]),
            of("input_shape", 1.0),
        ]
    };
    for groups in [0.0, 2.0] {
        let nodes = [vec![("w", "Conv2d", conv(groups))], chain(("n", "LIF", lif(1e-2, 3)))[1..].to_vec()].concat();
        refused(&nodes, &straight, "expected a divisor of its 3 output channels");
    }
    fs::write(folder.path().join("net.nir"), "no file").unwrap();
    let error = import(&folder.path().join("net.nir"), &options()).unwrap_err().to_string();
    assert!(error.contains("no HDF5 file"), "{error}");
}

#[test]
fn damaged_files_break_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut random) = (folder.path().join("net.nir"), 1u64);
    let mut next = |below: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize % below
    };
    let (mut refused, mut tried) = (0, 0);
    for case in ["paper_norse", "paper_braille", "nested", "line"] {
        let whole = fs::read(golden().join(case).join("net.nir")).unwrap();
        for round in 0..120 {
            let mut bytes = whole.clone();
            match round % 3 {
                0 => bytes.truncate(next(whole.len())),
                // The head of a file has its structure.
                _ => (0..=next(4)).for_each(|_| bytes[next(whole.len().min(4096 << (round % 5)))] = next(256) as u8),
            }
            fs::write(&path, bytes).unwrap();
            tried += 1;
            refused += usize::from(import(&path, &options()).is_err());
        }
    }
    assert!(refused > tried / 4, "{refused} of {tried}");
}
