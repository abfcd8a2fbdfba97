//! A network on hardware, and the images that judge it: everything that determines a trial but its chip. Sweeps and
//! recipes prepare their trials here, so that the same chip is the same trial to both.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::trial::Key;
use crate::attack::AttackPlan;
use crate::chip::Blueprint;
use crate::config::Document;
use crate::crossbar::kept::KeptCells;
use crate::data::Dataset;
use crate::engine::Engine;
use crate::engine::calibrate::with_ranges;
use crate::engine::evaluate::Evaluation;
use crate::engine::exit::ExitRule;
use crate::error::Result;
use crate::network::{Encoder, Encoding, InputCode, Model, Network};
use crate::output::origin;
use crate::plan::{check_groups, check_neurons};
use crate::profile::{Profile, SramInit};
use crate::train::adapt::{Adaptation, Sample};

/// Images that a timed chip runs.
const TIMED_IMAGES: usize = 64;

/// An error with its place where hardware, as a document says it, is not for a model, or names a network that is not
/// there.
pub(super) fn check_hardware(document: &Document, profile: &Profile, model: &Model) -> Result<()> {
    let graph = model.graph();
    let layers = &graph.layers;
    let known: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    if let Some(name) = profile.unknown_layer(&known) {
        let place = document.locate(&format!("layer.{name}"));
        profile.check_layers(known.iter().copied()).map_err(place)?;
    }
    check_groups(profile, layers).map_err(document.locate("adc"))?;
    check_neurons(profile, &graph).map_err(document.locate("neuron"))?;
    match &profile.sram.init {
        SramInit::Checkpoint(file) if profile.has_companions() && !Path::new(file).is_file() => {
            Err(document.error("sram.init", format!("{file} is no file; expected a checkpoint")))
        }
        _ => Ok(()),
    }
}

/// What determines some trials but their chips.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub profile: &'a Profile,
    pub model: &'a Model,
    /// The network, and its [`Network::hash`].
    pub network: (&'a Network, &'a str),
    pub encoding: Encoding,
    /// The seed of chips and encoding.
    pub seed: u64,
    /// The images that are judged.
    pub data: &'a Dataset,
    /// The images of each chip, where each has some of its own.
    pub per_chip: Option<usize>,
    /// The images that converters' ranges are profiled on, where the profile asks for that.
    pub profiled: Option<&'a Dataset>,
    /// The images that every chip's norms are adapted on.
    pub adapt: Option<(&'a Sample, &'a Dataset)>,
    pub exit: Option<ExitRule>,
    /// An attack with one ε.
    pub attack: Option<&'a AttackPlan>,
}

impl<'a> Case<'a> {
    /// What its chips are made from, converters without the ranges that they ask for.
    pub fn blueprint(&self) -> Result<Blueprint<'a>> {
        let others = self.profiled.into_iter().chain(self.adapt.map(|(_, training)| training));
        let of_data = std::iter::once(self.data).chain(others).flat_map(Dataset::notices);
        Ok(Blueprint::new(self.profile, self.model, self.network.0, self.inputs()?, self.seed)?.remarked(of_data))
    }

    /// What its chips' inputs are: wide enough for all images that run through them.
    pub fn inputs(&self) -> Result<InputCode> {
        let Case { data, profiled, adapt, attack, .. } = self;
        let epsilon = attack.map_or(0.0, AttackPlan::largest_epsilon);
        let others = profiled.iter().chain(adapt.iter().map(|(_, training)| training));
        let values = others.fold(data.range_around(epsilon), |values, other| values.with(other.range()));
        InputCode::of(self.encoding, values, self.profile.tile.input_bits)
    }

    /// What names its trials: the hash of all that determines them.
    pub fn key(&self, blueprint: &Blueprint) -> Result<Key> {
        let Case { network: (_, network), data, .. } = self;
        let mut identity = blueprint.identity();
        identity["network"] = (*network).into();
        identity["data_fingerprint"] = data.fingerprint()?.into();
        if let Some(images) = self.per_chip {
            identity["images_per_chip"] = images.into();
        }
        if let Some(profiled) = self.profiled {
            identity["calibration_data_fingerprint"] = profiled.fingerprint()?.into();
        }
        if let Some((sample, training)) = self.adapt {
            // What the images are called determines nothing.
            identity["adapt"] = json!({ "batches": sample.batches, "images": sample.images });
            identity["adapt_data_fingerprint"] = training.fingerprint()?.into();
        }
        if let Some(rule) = self.exit {
            // Events are counted for each image up to its own step.
            identity["exit"] = json!({ "rule": rule, "events": "to each image's own step" });
        }
        if let Some(attack) = self.attack {
            identity["attack"] = json!(attack);
        }
        Ok(Key::of(&origin("trial", identity)))
    }

    /// The names of the calibration of its chips: as that of residuals which correct nothing of the nominal chip, and
    /// by itself; none where nothing is profiled.
    pub fn profiled_keys(&self, blueprint: &Blueprint) -> Result<Option<[Key; 2]>> {
        let Some(profiled) = self.profiled else { return Ok(None) };
        let training = profiled.fingerprint()?;
        let key = |silent: bool| {
            let identity = json!({
                "blueprint": blueprint.profiled_identity(silent), "network": self.network.1, "training": &training,
            });
            Key::of(&origin("calibration", identity))
        };
        Ok(Some([true, false].map(key)))
    }

    /// The blueprint with the ranges that it asks for, and with the cells that other cases left.
    pub fn calibrated(&self, kept: &KeptCells) -> Result<Blueprint<'a>> {
        let blueprint = self.blueprint()?.keeping(kept);
        match self.profiled {
            // Cells depend on the reads that are counted then.
            Some(training) => Ok(with_ranges(blueprint, self.seed, || Ok(training))?.keeping(kept)),
            None => Ok(blueprint),
        }
    }

    /// How its chips are evaluated: on the inputs of another evaluation of the same images, where there is one.
    pub fn evaluation(&self, engine: &'a dyn Engine, earlier: Option<Evaluation<'a>>) -> Result<Evaluation<'a>> {
        let Case { model, network: (network, _), seed, data, per_chip, exit, .. } = *self;
        let inputs = self.inputs()?;
        let adapted = |(sample, training): (&Sample, &Dataset)| {
            Adaptation::draw(network, model, training, inputs, seed, sample)
                .map(|adaptation| Arc::new(adaptation).preparation())
        };
        let encoder = Encoder::new(inputs, model.input, seed, 0);
        let evaluation = earlier
            .filter(|earlier| *earlier.encoder() == encoder && earlier.per_chip() == per_chip)
            .unwrap_or_else(|| Evaluation::on(engine, data, encoder, model.steps).of_own_images(per_chip));
        Ok(evaluation
            .exiting(exit.map(|rule| rule.of(model, network)).transpose()?)
            .preparing(self.adapt.map(adapted).transpose()?))
    }
}

impl Case<'_> {
    /// The time of a trial, in that of some images, on as many chips as the engine runs together, of so many at most.
    pub fn timed(&self, engine: &dyn Engine, most: u64) -> Result<Duration> {
        let blueprint = self.calibrated(&KeptCells::default())?;
        let images = self.per_chip.unwrap_or(self.data.len());
        let some = images.min(TIMED_IMAGES);
        let evaluation = self.evaluation(engine, None)?.of_images((0..some).collect());
        let began = Instant::now();
        let chip = evaluation.program(&blueprint, 0)?;
        let programmed = began.elapsed();
        // Chips that have images of their own run one after the other.
        let most = if self.per_chip.is_some() { 1 } else { most };
        let together = engine.chips_at_once(&chip).clamp(1, (most * self.profile.system.ensemble) as usize);
        let chips = vec![chip; together];
        // The first run also encodes, and brings kernels to a graphics card.
        evaluation.run_together(&chips)?;
        let began = Instant::now();
        evaluation.run_together(&chips)?;
        let of_chip = programmed + began.elapsed().mul_f64(images as f64 / (some * together) as f64);
        Ok(of_chip.mul_f64(self.profile.system.ensemble as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::MethodName;
    use crate::data::Split;
    use crate::network::companion::CompanionWeights;
    use crate::profile::{Combine, CompanionForm, Scheme};

    /// Everything that a case borrows, to be changed one by one.
    #[derive(Clone)]
    struct Borrowed {
        profile: Vec<String>,
        model: Vec<&'static str>,
        network: Network,
        encoding: Encoding,
        seed: u64,
        data: (&'static str, usize),
        per_chip: Option<usize>,
        profiled: Option<usize>,
        adapt: Option<(Sample, usize)>,
        exit: Option<ExitRule>,
        attack: Option<AttackPlan>,
    }

    fn model(set: &[&str]) -> Model {
        let mut document = Document::parse_text(
            Path::new("m.toml"),
            "name = \"m\"\nsteps = 2\nclasses = 10\ninput = { channels = 1, height = 8, width = 8 }\nlayers = [{ conv \
             = 4 }]"
                .into(),
        )
        .unwrap();
        set.iter().for_each(|assignment| document.set_model(assignment).unwrap());
        Model::from_document(&document).unwrap()
    }

    impl Borrowed {
        fn key(&self) -> Key {
            let open = |split, images| Dataset::open("digits", Path::new(""), split).unwrap().limit(images);
            let split = if self.data.0 == "test" { Split::Test } else { Split::Train };
            let (profile, model) = (Profile::ideal(&self.profile).unwrap(), model(&self.model));
            let (hash, data) = (self.network.hash(), open(split, self.data.1));
            let profiled = self.profiled.map(|images| open(Split::Train, images));
            let training = self.adapt.as_ref().map(|(_, images)| open(Split::Train, *images));
            let case = Case {
                profile: &profile,
                model: &model,
                network: (&self.network, &hash),
                encoding: self.encoding,
                seed: self.seed,
                data: &data,
                per_chip: self.per_chip,
                profiled: profiled.as_ref(),
                adapt: self.adapt.as_ref().map(|(sample, _)| sample).zip(training.as_ref()),
                exit: self.exit,
                attack: self.attack.as_ref(),
            };
            case.key(&case.blueprint().unwrap()).unwrap()
        }
    }

    fn inputs() -> Borrowed {
        let mut network = Network::xavier(&model(&[]), 1);
        let latent = network.layers[0].rram.clone();
        network.layers[0].sram = Some(CompanionWeights { kept: Some(vec![true; latent.len()]), latent });
        network.form = Some(CompanionForm { scheme: Scheme::Integer, combine: Combine::Sum });
        Borrowed {
            profile: vec!["sram.bits=3".into()],
            model: vec![],
            network,
            encoding: Encoding::Poisson,
            seed: 1,
            data: ("test", 9),
            per_chip: None,
            profiled: Some(40),
            adapt: Some((Sample { batches: 2, images: 8, data: None }, 40)),
            exit: Some(ExitRule::Confidence(0.5)),
            attack: Some(AttackPlan { method: MethodName::Pgd, steps: Some(3), step_size: None, epsilon: vec![0.1] }),
        }
    }

    type Change = (&'static str, fn(&mut Borrowed));

    #[test]
    fn each_thing_that_determines_a_trial_is_in_its_name() {
        let changes: &[Change] = &[
            ("a weight", |i| i.network.layers[0].rram[3] += 0.5),
            ("a companion's weight", |i| i.network.layers[0].sram.as_mut().unwrap().latent[3] += 0.5),
            ("a companion's mask", |i| i.network.layers[0].sram.as_mut().unwrap().kept.as_mut().unwrap()[3] = false),
            ("γ", |i| i.network.layers[0].norm.as_mut().unwrap().gamma[1] = 0.7),
            ("a norm's mean", |i| i.network.layers[0].norm.as_mut().unwrap().mean[1] = 0.7),
            ("a norm's variance", |i| i.network.layers[0].norm.as_mut().unwrap().var[1] = 0.7),
            ("the companion's quantiser", |i| i.network.form.as_mut().unwrap().scheme = Scheme::Uniform),
            ("the companion's combination", |i| i.network.form.as_mut().unwrap().combine = Combine::Average),
            ("how the companion was trained", |i| i.network.form = None),
            ("the profile", |i| i.profile.push("rram.weight_bits=3".into())),
            ("the model", |i| i.model.push("neuron.leak=0.5")),
            ("the encoding, and with it the inputs", |i| i.encoding = Encoding::Direct),
            ("the seed", |i| i.seed = 2),
            ("the images", |i| i.data = ("training", 9)),
            ("how many images", |i| i.data.1 = 8),
            ("how many of them each chip has", |i| i.per_chip = Some(3)),
            ("what ranges are profiled on", |i| i.profiled = Some(39)),
            ("whether ranges are profiled", |i| i.profiled = None),
            ("how many batches it is adapted on", |i| i.adapt.as_mut().unwrap().0.batches = 3),
            ("of how many images", |i| i.adapt.as_mut().unwrap().0.images = 9),
            ("of which set", |i| i.adapt.as_mut().unwrap().1 = 39),
            ("whether it is adapted", |i| i.adapt = None),
            ("the rule of early exit", |i| i.exit = Some(ExitRule::Gamma(0.5))),
            ("its threshold", |i| i.exit = Some(ExitRule::Confidence(0.6))),
            ("whether it stops early", |i| i.exit = None),
            ("the attack", |i| {
                i.attack =
                    Some(AttackPlan { method: MethodName::Fgsm, steps: None, step_size: None, epsilon: vec![0.1] });
            }),
            ("its steps", |i| i.attack.as_mut().unwrap().steps = Some(4)),
            ("their size", |i| i.attack.as_mut().unwrap().step_size = Some(0.01)),
            ("its ε", |i| i.attack.as_mut().unwrap().epsilon = vec![0.2]),
            ("whether it is attacked", |i| i.attack = None),
        ];
        let mut seen = vec![("nothing", inputs().key())];
        for (what, change) in changes {
            let mut changed = inputs();
            change(&mut changed);
            let key = changed.key();
            let same: Vec<&str> = seen.iter().filter(|(_, other)| *other == key).map(|(other, _)| *other).collect();
            assert!(same.is_empty(), "{what} changed, and the name is that of: {same:?}");
            seen.push((what, key));
        }
    }

    #[test]
    fn what_determines_nothing_is_not() {
        let changes: &[Change] = &[
            ("what a profile is called", |i| i.profile.push("name=other".into())),
            ("what a model is called", |i| i.model.push("name=other")),
            ("a key without effect", |i| i.profile.push("neuron.leak_bits=3".into())),
            ("how often norms were estimated", |i| i.network.layers[0].norm.as_mut().unwrap().tracked[0] = 9),
            ("what a set is called", |i| i.adapt.as_mut().unwrap().0.data = Some("digits".into())),
        ];
        for (what, change) in changes {
            let mut changed = inputs();
            change(&mut changed);
            assert_eq!(changed.key(), inputs().key(), "{what}");
        }
    }

    #[test]
    fn another_networks_array_is_in_the_name_by_its_tensors_not_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str, seed: u64| {
            let file = folder.path().join(name);
            Network::xavier(&model(&[]), seed).to_checkpoint(&model(&[]), json!({})).write(&file).unwrap();
            let mut inputs = inputs();
            inputs.network = Network::xavier(&model(&[]), 1);
            inputs.profile.push(format!("sram.init=checkpoint:{}", file.display()));
            inputs.key()
        };
        assert_eq!(written("one.safetensors", 5), written("other.safetensors", 5));
        assert_ne!(written("one.safetensors", 5), written("one.safetensors", 6));
    }
}
