//! Constants of neurons that differ from layer to layer, channel to channel or neuron to neuron: a checkpoint holds
//! them, a tensor each, `NAME.leak` beside `NAME.weight`, and training moves those that are learned.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::numeric::Shape;

/// A constant that a checkpoint can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constant {
    /// Leak λ of the membrane.
    Leak,
    /// Threshold θ.
    Threshold,
    /// Leak α of the synaptic current.
    SynapticLeak,
    /// Rise β of the threshold.
    Adaptation,
    /// Leak ρ of the trace of spikes.
    AdaptationLeak,
}

/// The neurons that share one value of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// A layer has one constant: `[1]`.
    Layer,
    /// Each channel has its own constant: `[channels]`.
    Channel,
    /// Each by itself: `[channels, height, width]` of a map, `[neurons]` where they stand in a row.
    Neuron,
}

/// Constants that are tensors of a checkpoint, with the neurons that share a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "expected a table such as { leak = \"channel\" }")]
pub struct Extents {
    /// The extent of the leak, the tensor `NAME.leak`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<Extent>,
    /// The extent of the threshold, the tensor `NAME.threshold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Extent>,
    /// The extent of the synaptic current's leak, the tensor `NAME.synaptic_leak`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synaptic_leak: Option<Extent>,
    /// The extent of the threshold's rise, the tensor `NAME.adaptation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation: Option<Extent>,
    /// The extent of the leak of the trace of spikes, the tensor `NAME.adaptation_leak`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation_leak: Option<Extent>,
}

/// Constants that are tensors of a checkpoint and that training moves; resets and adaptation are outside the gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, expecting = "expected a table such as { leak = \"channel\" }")]
pub struct Learned {
    /// The extent of the leak that is learned, the tensor `NAME.leak`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leak: Option<Extent>,
    /// The extent of the threshold that is learned, the tensor `NAME.threshold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Extent>,
    /// The extent of the synaptic current's leak that is learned, the tensor `NAME.synaptic_leak`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synaptic_leak: Option<Extent>,
}

impl Learned {
    /// The constants that neurons learn which do not fire, and so have no threshold.
    pub fn silent(self) -> Self {
        Learned { threshold: None, ..self }
    }
}

impl From<Extents> for Learned {
    /// The constants that can be learned.
    fn from(Extents { leak, threshold, synaptic_leak, .. }: Extents) -> Self {
        Learned { leak, threshold, synaptic_leak }
    }
}

impl From<Learned> for Extents {
    fn from(Learned { leak, threshold, synaptic_leak }: Learned) -> Self {
        Extents { leak, threshold, synaptic_leak, ..Extents::default() }
    }
}

/// A layer's constants as a checkpoint holds them.
pub type Constants = BTreeMap<Constant, Vec<f32>>;

impl Constant {
    /// All of them.
    pub const ALL: [Constant; 5] =
        [Constant::Leak, Constant::Threshold, Constant::SynapticLeak, Constant::Adaptation, Constant::AdaptationLeak];

    /// The constants that training can move, in the order of their gradients.
    pub const LEARNED: [Constant; 3] = [Constant::Leak, Constant::Threshold, Constant::SynapticLeak];

    /// Its key in a model file, and the end of its tensor's name.
    pub fn name(self) -> &'static str {
        match self {
            Constant::Leak => "leak",
            Constant::Threshold => "threshold",
            Constant::SynapticLeak => "synaptic_leak",
            Constant::Adaptation => "adaptation",
            Constant::AdaptationLeak => "adaptation_leak",
        }
    }

    /// The values that it may have, in words.
    pub fn range(self) -> &'static str {
        match self {
            Constant::Threshold => "a number above 0",
            Constant::Adaptation => "a number from 0 on",
            Constant::Leak | Constant::SynapticLeak | Constant::AdaptationLeak => "0 to 1",
        }
    }

    /// Whether it may have a value.
    pub fn may_be(self, value: f32) -> bool {
        match self {
            Constant::Threshold => value.is_finite() && value > 0.0,
            Constant::Adaptation => value.is_finite() && value >= 0.0,
            Constant::Leak | Constant::SynapticLeak | Constant::AdaptationLeak => (0.0..=1.0).contains(&value),
        }
    }
}

impl Extent {
    /// Values that a constant has on a map.
    pub fn count(self, map: Shape) -> usize {
        match self {
            Extent::Layer => 1,
            Extent::Channel => map.channels,
            Extent::Neuron => map.len(),
        }
    }

    /// The shape of a constant's tensor on a map.
    pub fn shape(self, map: Shape) -> Vec<usize> {
        match self {
            Extent::Neuron if map.height * map.width > 1 => vec![map.channels, map.height, map.width],
            _ => vec![self.count(map)],
        }
    }

    /// The place of a neuron's value among those of a map.
    pub fn at(self, map: Shape, channel: usize, pixel: usize) -> usize {
        match self {
            Extent::Layer => 0,
            Extent::Channel => channel,
            Extent::Neuron => channel * map.height * map.width + pixel,
        }
    }
}

impl Extents {
    /// The extent of a constant, where it is a tensor.
    pub fn of(&self, constant: Constant) -> Option<Extent> {
        match constant {
            Constant::Leak => self.leak,
            Constant::Threshold => self.threshold,
            Constant::SynapticLeak => self.synaptic_leak,
            Constant::Adaptation => self.adaptation,
            Constant::AdaptationLeak => self.adaptation_leak,
        }
    }

    /// Sets the extent of a constant, or takes it away.
    pub fn set(&mut self, constant: Constant, extent: Option<Extent>) {
        *match constant {
            Constant::Leak => &mut self.leak,
            Constant::Threshold => &mut self.threshold,
            Constant::SynapticLeak => &mut self.synaptic_leak,
            Constant::Adaptation => &mut self.adaptation,
            Constant::AdaptationLeak => &mut self.adaptation_leak,
        } = extent;
    }

    /// The constants of neurons that do not fire, and so have no threshold.
    pub fn silent(self) -> Self {
        Extents { threshold: None, adaptation: None, adaptation_leak: None, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::{Checkpoint, Tensor, Values};
    use crate::config::Document;
    use crate::network::layer::Layer;
    use crate::network::{Model, Network};

    #[test]
    fn tensors_that_are_no_constants_are_refused_by_name() {
        let text = "name = \"m\"\nsteps = 2\nclasses = 3\ninput = { channels = 2, height = 4, width = 4 }\n\
                    neuron = { given = { leak = \"neuron\" }, learned = { threshold = \"channel\" } }\n\
                    readout = { kind = \"last\" }\nlayers = [{ conv = 5 }, { fc = 4 }]";
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap();
        let whole = Network::xavier(&model, 1).to_checkpoint(&model, serde_json::Value::Null);
        let names: Vec<&str> = whole.tensors.keys().filter(|name| !name.ends_with("weight")).map(|n| &**n).collect();
        let of_norms = |name: &&&str| name.starts_with("bntt");
        let held: Vec<&&str> = names.iter().filter(|name| !of_norms(name)).collect();
        assert_eq!(held, [&"conv1.leak", &"conv1.threshold", &"fc1.leak", &"fc1.threshold", &"fc2.leak"]);
        assert_eq!(whole.tensors["conv1.leak"].shape, [5, 4, 4]);
        assert_eq!((&whole.tensors["fc1.leak"].shape[..], &whole.tensors["fc2.leak"].shape[..]), (&[4][..], &[3][..]));
        assert!(Network::load(&model, &whole).is_ok());
        let with = |name: &str, tensor: Option<Tensor>| {
            let mut changed: Checkpoint = whole.clone();
            changed.tensors.remove(name);
            tensor.map(|tensor| changed.tensors.insert(name.into(), tensor));
            Network::load(&model, &changed).unwrap_err().to_string()
        };
        let tensor = |shape: &[usize], value: f32| {
            Some(Tensor { shape: shape.into(), values: Values::F32(vec![value; shape.iter().product()]) })
        };
        for (name, other, expected) in [
            ("conv1.leak", None, "conv1.leak"),
            ("conv1.leak", tensor(&[5], 0.5), "[5, 4, 4]"),
            ("fc1.leak", tensor(&[4], 1.5), "`fc1.leak`[0] is 1.5, expected 0 to 1"),
            ("conv1.threshold", tensor(&[5], 0.0), "`conv1.threshold`[0] is 0, expected a number above 0"),
            ("fc2.leak", tensor(&[3], f32::NAN), "expected a finite number"),
            ("fc2.threshold", tensor(&[3], 0.7), "`fc2.threshold`"),
            ("conv1.adaptation", tensor(&[5], 1.0), "`conv1.adaptation`"),
        ] {
            let error = with(name, other);
            assert!(error.contains(expected), "{error}");
        }
    }

    fn model(neuron: &str, readout: &str, layers: &str) -> Model {
        let text = format!(
            "name = \"m\"\nsteps = 2\nclasses = 3\ninput = {{ channels = 2, height = 4, width = 4 }}\nneuron = \
             {neuron}\nreadout = {readout}\n\
             layers = {layers}"
        );
        Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap()
    }

    #[test]
    fn a_layers_own_words_stand_before_the_models() {
        let model = model(
            "{ given = { leak = \"neuron\" }, learned = { threshold = \"channel\" } }",
            "{ kind = \"last\" }",
            "[{ conv = 5 }, { fc = 4, neuron = { leak = 0.5 } }, { fc = 4, neuron = { given = { threshold = \"layer\" \
             } } }, { fc = 4, neuron = { learned = { leak = \"layer\" }, threshold = 0.3 } }]",
        );
        let of = |layer: &Layer| layer.constants().collect::<Vec<_>>();
        let found: Vec<_> = model.layers().iter().map(of).collect();
        let (leak, threshold) = (Constant::Leak, Constant::Threshold);
        assert_eq!(found[0], [(leak, Extent::Neuron, false), (threshold, Extent::Channel, true)]);
        assert_eq!(found[1], [(threshold, Extent::Channel, true)]);
        assert_eq!(found[2], [(leak, Extent::Neuron, false), (threshold, Extent::Layer, false)]);
        assert_eq!(found[3], [(leak, Extent::Layer, true)]);
        assert_eq!(found[4], [(leak, Extent::Neuron, false)], "a readout that does not fire has no threshold");
    }

    #[test]
    fn a_constant_of_a_layer_is_held_against_its_own_neuron() {
        let with =
            model("{ leak = 0.9 }", "{ kind = \"last\", neuron = { given = { leak = \"layer\" } } }", "[{ fc = 4 }]");
        let checkpoint = Network::xavier(&with, 1).to_checkpoint(&with, serde_json::Value::Null);
        let same = model("{ leak = 0.5 }", "{ kind = \"last\", neuron = { leak = 0.9 } }", "[{ fc = 4 }]");
        assert!(Network::load(&same, &checkpoint).is_ok());
        let other = model("{ leak = 0.9 }", "{ kind = \"last\", neuron = { leak = 0.5 } }", "[{ fc = 4 }]");
        let error = Network::load(&other, &checkpoint).unwrap_err().to_string();
        assert!(
            error.contains("`fc2.leak` (0.9; the layer's neuron.leak is 0.5") && error.contains("given"),
            "{error}"
        );
    }
}
