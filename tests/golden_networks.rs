//! Networks of every operator and norm give what PyTorch gives in plain loops (`tests/golden/networks/make.py`): logits
//! to 1e-4, each step's spikes exactly, every gradient of 23 bits to 1e-4 of its tensor's largest, by every surrogate,
//! and every tensor after two steps of SGD and of AdamW to 1e-5.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crosspike::checkpoint::{Checkpoint, Values};
use crosspike::chip::{Blueprint, Chip};
use crosspike::data::{Dataset, Split};
use crosspike::engine::Engine;
use crosspike::engine::cpu::CpuEngine;
use crosspike::engine::evaluate::read_batch;
use crosspike::network::{Encoder, Encoding, InputCode, Inputs, Model, Network};
use crosspike::plan::ChipPlan;
use crosspike::profile::Profile;
use crosspike::train::config::{Hyperparameters, OptimiserKind};
use crosspike::train::gradient::Precision;
use crosspike::train::optimiser::Optimiser;
use crosspike::train::pass::{ParameterGradient, PassOutcome, PassSetting, pass};
use crosspike::train::surrogate::{Surrogate, SurrogateKind};
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::NpzReader;

/// A golden network, its inputs and its labels.
struct Case {
    folder: PathBuf,
    name: String,
    model: Model,
    network: Network,
    inputs: Inputs,
    labels: Vec<u32>,
}

/// All of them.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/networks");
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let cases: Vec<Case> = folders.map(|folder| Case::read(&folder)).collect();
    assert!(cases.len() > 3, "goldens are there");
    cases
}

impl Case {
    fn read(folder: &Path) -> Self {
        let model = Model::read(&folder.join("model.toml"), &[]).unwrap();
        let data = Dataset::open("frames:frames.npz", folder, Split::Test).unwrap();
        let (batch, labels) = read_batch(&data, &(0..data.len()).collect::<Vec<_>>(), None).unwrap();
        let code = InputCode::of(Encoding::Frames, data.range(), 0).unwrap();
        Case {
            network: Network::read(&model, &folder.join("checkpoint.safetensors")).unwrap().network,
            inputs: Inputs::new(Encoder::new(code, model.input, 1, 0), batch, model.steps),
            name: model.name.clone(),
            folder: folder.into(),
            model,
            labels,
        }
    }

    fn expected(&self, name: &str) -> ArrayD<f32> {
        let mut npz = NpzReader::new(File::open(self.folder.join("expected.npz")).unwrap()).unwrap();
        npz.by_name::<OwnedRepr<f32>, IxDyn>(name).unwrap_or_else(|e| panic!("{}, {name}: {e}", self.name))
    }

    /// Whether it has a gradient: a first spike's step has none.
    fn is_trained(&self) -> bool {
        self.folder.join("gradients.safetensors").exists()
    }

    /// Hyperparameters with the loss that the network is trained by.
    fn hyperparameters(&self, hyperparameters: &Hyperparameters) -> Hyperparameters {
        let Ok(text) = fs::read_to_string(self.folder.join("train.json")) else { return hyperparameters.clone() };
        let own: Hyperparameters = serde_json::from_str(&text).unwrap();
        let Hyperparameters { loss, rates, rate_penalty, .. } = own;
        Hyperparameters { loss, rates, rate_penalty, ..hyperparameters.clone() }
    }

    /// Takes so many steps by given hyperparameters; gives the network and the first pass.
    fn train(&self, hyperparameters: &Hyperparameters, steps: usize) -> (Network, PassOutcome) {
        let plan = ChipPlan::new(&Profile::ideal(&[]).unwrap(), &self.model, self.inputs.encoder.code).unwrap();
        let hyperparameters = &self.hyperparameters(hyperparameters);
        let setting = PassSetting::by(hyperparameters, &plan);
        let mut network = self.network.clone();
        let (mut optimiser, mut first) = (Optimiser::new(hyperparameters, &network), None);
        for _ in 0..steps {
            let outcome = pass(&setting, &network, &self.inputs, &self.labels, None).unwrap();
            optimiser.step(&mut network, &outcome, hyperparameters, hyperparameters.learning_rate);
            first.get_or_insert(outcome);
        }
        (network, first.unwrap())
    }

    /// Holds a network's tensors to those of a file, each to a tolerance that its largest element may set.
    fn assert_same(&self, found: &Network, file: &str, tolerance: impl Fn(f32) -> f32) {
        let found = found.to_checkpoint(&self.model, serde_json::Value::Null);
        let golden = Checkpoint::read(&self.folder.join(file)).unwrap();
        for (name, tensor) in &golden.tensors {
            let (Values::F32(expected), Some(Values::F32(found))) =
                (&tensor.values, found.tensors.get(name).map(|tensor| &tensor.values))
            else {
                panic!("{}: `{name}` of {file} is missing", self.name)
            };
            assert_eq!(tensor.shape.iter().product::<usize>(), found.len(), "{}: {name}", self.name);
            let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
            for (a, b) in expected.iter().zip(found) {
                let (case, tolerance) = (&self.name, tolerance(largest));
                assert!((a - b).abs() <= tolerance, "{case}, {file}: `{name}` {b}, expected {a}, largest {largest}");
            }
        }
    }
}

#[test]
fn logits_and_spikes_are_the_golden_ones() {
    for case in cases() {
        let profile = Profile::ideal(&[]).unwrap();
        let code = case.inputs.encoder.code;
        let blueprint = Blueprint::new(&profile, &case.model, &case.network, code, 1).unwrap();
        let chips = [Chip::program(&blueprint, 0).unwrap()];
        let outcome = CpuEngine::default().load(&chips).unwrap().run(&case.inputs).unwrap().remove(0);
        let logits = case.expected("logits");
        assert_eq!(outcome.logits.shape(), logits.shape(), "{}", case.name);
        for (a, b) in outcome.logits.iter().zip(&logits) {
            assert!((a - b).abs() < 1e-4, "{}: logit {a}, expected {b}", case.name);
        }
        let spikes: Vec<f32> = outcome.counts.spikes.iter().flatten().map(|count| *count as f32).collect();
        assert_eq!(spikes, case.expected("spikes").iter().copied().collect::<Vec<_>>(), "{}", case.name);
    }
}

/// Gradients in the place of what they are of, for their names.
fn named(network: &Network, outcome: PassOutcome) -> Network {
    let mut named = network.clone();
    for (layer, gradient) in named.layers.iter_mut().zip(outcome.gradients) {
        layer.rram = gradient.weights;
        layer.bias.iter_mut().for_each(|bias| *bias = gradient.bias.clone());
        if let Some(norm) = &mut layer.norm {
            norm.gamma = gradient.gamma.clone();
            norm.shift.iter_mut().for_each(|shift| *shift = gradient.shift.clone());
        }
        layer.constants.extend(gradient.constants.clone());
    }
    named
}

#[test]
fn gradients_are_the_golden_ones() {
    use SurrogateKind::*;
    let mut others = 0;
    for case in cases().into_iter().filter(Case::is_trained) {
        // A bias before a batch's own mean has a gradient of 0, or what roundings leave of it. The networks are so
        // small that some tensors' largest gradients are a hundredth of what their sums are made of: two digits leave
        // errors of that.
        for (gradient_bits, of_largest, rest) in [(Precision::Two, 5e-3, 1e-6), (Precision::Three, 1e-4, 1e-9)] {
            let (_, outcome) = case.train(&Hyperparameters { gradient_bits, ..Hyperparameters::default() }, 1);
            let tolerance = |largest| of_largest * largest + rest;
            case.assert_same(&named(&case.network, outcome), "gradients.safetensors", tolerance);
        }
        let tolerance = |largest| 1e-4 * largest + 1e-9;
        for (kind, name) in [(Triangle, "triangle"), (Arctan, "arctan"), (Sigmoid, "sigmoid"), (Rectangle, "rectangle")]
        {
            let file = format!("gradients_{name}.safetensors");
            if case.folder.join(&file).exists() {
                let surrogate = Surrogate { kind, width: 0.8 };
                let (_, outcome) = case.train(
                    &Hyperparameters { surrogate, gradient_bits: Precision::Three, ..Hyperparameters::default() },
                    1,
                );
                case.assert_same(&named(&case.network, outcome), &file, tolerance);
                others += 1;
            }
        }
    }
    assert!(others >= 5, "each surrogate has a golden");
}

#[test]
fn tensors_after_two_steps_are_the_golden_ones() {
    let adamw = Hyperparameters {
        optimiser: OptimiserKind::AdamW,
        learning_rate: 0.01,
        betas: [0.9, 0.99],
        weight_decay: 0.01,
        label_smoothing: 0.1,
        // AdamW divides a gradient by its own magnitude: one that is near 0 takes a step as long as any other's, and so
        // does its error.
        gradient_bits: Precision::Three,
        ..Hyperparameters::default()
    };
    let mut adapted = 0;
    for case in cases().into_iter().filter(Case::is_trained) {
        // The second step's means of a batch sum what the first step's gradients have moved every weight by.
        for (gradient_bits, tolerance) in [(Precision::Two, 5e-5), (Precision::Three, 1e-5)] {
            let sgd = Hyperparameters { gradient_bits, ..Hyperparameters::default() };
            case.assert_same(&case.train(&sgd, 2).0, "after_sgd.safetensors", |_| tolerance);
        }
        if case.folder.join("after_adamw.safetensors").exists() {
            case.assert_same(&case.train(&adamw, 2).0, "after_adamw.safetensors", |_| 1e-5);
            adapted += 1;
        }
    }
    assert!(adapted >= 8, "AdamW has goldens");
}

#[test]
fn training_and_inference_are_the_same_on_any_number_of_threads() {
    let adamw = Hyperparameters {
        optimiser: OptimiserKind::AdamW,
        surrogate: Surrogate { kind: SurrogateKind::Sigmoid, width: 1.5 },
        label_smoothing: 0.1,
        learning_rate: 0.01,
        ..Hyperparameters::default()
    };
    for case in cases().into_iter().filter(Case::is_trained) {
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (network, first) = case.train(&adamw, 2);
                // Converters of groups are not modelled.
                let bits = if case.name == "depthwise" { 0 } else { 6 };
                let profile = Profile::ideal(&["rram.weight_bits=4".into(), format!("adc.bits={bits}")]).unwrap();
                let blueprint = Blueprint::new(&profile, &case.model, &network, case.inputs.encoder.code, 1).unwrap();
                let chips = [Chip::program(&blueprint, 0).unwrap()];
                let outcome = CpuEngine::default().load(&chips).unwrap().run(&case.inputs).unwrap().remove(0);
                (network, first.gradients, outcome)
            })
        };
        let one = on(1);
        assert!([2, 3, 5].into_iter().all(|threads| on(threads) == one), "{}", case.name);
    }
}

/// The model of a case, all of whose neurons take their constants from tensors, and its network with the model's values
/// in these.
fn with_tensors(case: &Case) -> (Model, Network) {
    let file = case.folder.join("model.toml");
    let given =
        ["leak=neuron", "threshold=channel", "synaptic_leak=neuron", "adaptation=layer", "adaptation_leak=neuron"];
    let model = Model::read(&file, &given.map(|key| format!("neuron.given.{key}"))).unwrap();
    let mut network = case.network.clone();
    for (layer, own) in network.layers.iter_mut().zip(Network::xavier(&model, 1).layers) {
        layer.constants = own.constants;
    }
    (model, network)
}

#[test]
fn tensors_of_one_value_are_as_the_model_itself() {
    let bits = ["neuron.membrane_bits=14", "neuron.fraction_bits=8", "neuron.leak_bits=6", "neuron.gain_bits=9"];
    let mut compared = 0;
    for case in cases().into_iter().filter(|case| !case.name.starts_with("learned")) {
        let (model, network) = with_tensors(&case);
        assert!(network.layers.iter().any(|layer| layer.constants.len() >= 2), "{}", case.name);
        for keys in [&[][..], &bits] {
            let keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
            let profile = Profile::ideal(&keys).unwrap();
            let code = case.inputs.encoder.code;
            let run = |model: &Model, network: &Network| {
                let blueprint = Blueprint::new(&profile, model, network, code, 1).unwrap();
                let chips = [Chip::program(&blueprint, 0).unwrap()];
                let outcome = CpuEngine::default().load(&chips).unwrap().run(&case.inputs).unwrap().remove(0);
                let plan = ChipPlan::new(&profile, model, code).unwrap();
                let hyperparameters = case.hyperparameters(&Hyperparameters {
                    gradient_bits: Precision::Three,
                    ..Hyperparameters::default()
                });
                let trained = case.is_trained().then(|| {
                    let setting = PassSetting::by(&hyperparameters, &plan);
                    pass(&setting, network, &case.inputs, &case.labels, None).unwrap().gradients
                });
                (outcome, trained)
            };
            let ((found, gradients), (expected, of_model)) = (run(&model, &network), run(&case.model, &case.network));
            assert!(found == expected, "{} {keys:?}", case.name);
            // The distance to a threshold is rounded otherwise.
            let all = |layers: Option<Vec<ParameterGradient>>| layers.into_iter().flatten().map(|layer| layer.weights);
            for (found, expected) in all(gradients).zip(all(of_model)) {
                let largest = expected.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * largest;
                assert!(found.iter().zip(&expected).all(near), "{} {keys:?}", case.name);
            }
            compared += 1;
        }
    }
    assert!(compared >= 40);
}
