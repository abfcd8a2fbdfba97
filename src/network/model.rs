//! The network's shape, from `models/*.toml`: what holds for all of it, and its entries, whose graph [`super::graph`]
//! describes.

use std::borrow::Cow;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::graph::Graph;
use super::item::{Item, ModelFrame};
use super::layer::{Layer, NormKind};
use super::neuron::Neuron;
use super::readout::{Readout, ReadoutKind};
use super::resolve::resolve;
use super::shipped;
use crate::config::{Document, is_default};
use crate::error::{Error, Result};
use crate::numeric::Shape;

/// A network's shape. The readout, a last fully connected layer to `classes`, is implied.
///
/// # Examples
/// ```
/// use crosspike::{Document, Model};
///
/// let text = "name = \"mine\"\nsteps = 4\nclasses = 10\ninput = { channels = 1, height = 8, width = 8 }\n\
///             layers = [{ conv = 8 }, { pool = 2 }, { fc = 32 }]";
/// let model = Model::from_document(&Document::parse_text("mine.toml".as_ref(), text.into())?)?;
/// let neurons = [("conv1", 512), ("fc1", 32), ("fc2", 0)].map(|(layer, neurons)| (layer.to_owned(), neurons));
/// assert_eq!(model.neurons(), neurons);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A name for reports.
    pub name: String,
    /// Time steps T.
    pub steps: usize,
    /// Classes of the readout.
    pub classes: usize,
    /// The input's shape.
    pub input: Shape,
    /// The neurons' constants.
    #[serde(default)]
    pub neuron: Neuron,
    /// The norm between each matrix and its neurons, of every layer that does not say otherwise; absent: `bntt`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm: NormKind,
    /// The readout.
    #[serde(default, skip_serializing_if = "is_default")]
    pub readout: Readout,
    /// Each an operator, in order: `conv`, `conv1d` or `fc`, a matrix with its norm and neurons, `pool`, `concat`, or
    /// `delay`. It takes what the one before it sends, or the one that `from` names; the readout takes what the last
    /// one sends.
    layers: Vec<Item>,
}

impl<'a> From<&'a Model> for Cow<'a, Model> {
    fn from(model: &'a Model) -> Self {
        Cow::Borrowed(model)
    }
}

impl Model {
    /// Reads and validates a model file with overrides (keys without the `model.` prefix).
    pub fn read(file: &Path, overrides: &[String]) -> Result<Self> {
        Self::from_document(&Self::document(file, overrides)?)
    }

    /// Reads a shipped model by its name, or the model file of a path, with overrides (keys without the `model.`
    /// prefix).
    ///
    /// # Errors
    /// Where there is neither, and those of [`Model::read`].
    pub fn named(name: &str, overrides: &[String]) -> Result<Self> {
        let mut document = shipped::document(name)?;
        overrides.iter().try_for_each(|own| document.set_model(own))?;
        Self::from_document(&document)
    }

    /// The document of a model with these of its keys set.
    pub fn document(file: &Path, overrides: &[String]) -> Result<Document> {
        let mut document = Document::read(file)?;
        overrides.iter().try_for_each(|assignment| document.set_model(assignment))?;
        Ok(document)
    }

    /// Validates a parsed document.
    pub fn from_document(document: &Document) -> Result<Self> {
        let model: Model = document.parse()?;
        let refuse = |key: &str, message: String| Err(document.error(key, message));
        let Shape { channels, height, width } = model.input;
        for (key, value, most) in [
            ("steps", model.steps, 1024),
            ("classes", model.classes, 65536),
            ("input.channels", channels, 4096),
            ("input.height", height, 4096),
            ("input.width", width, 4096),
        ] {
            if !(1..=most).contains(&value) {
                return refuse(key, format!("{value}, expected 1 to {most}"));
            }
        }
        if let Some((key, message)) = model.neuron.fault() {
            return refuse(&format!("neuron.{key}"), message);
        }
        if let Some((key, message)) = model.readout.neuron_in(model.neuron).fault() {
            return refuse(&format!("readout.neuron.{key}"), message);
        }
        if model.readout.kind == ReadoutKind::Mean && model.readout.has_neuron() {
            return refuse(
                "readout.neuron",
                "the mean of sums has no neurons; expected another `kind` beside it".into(),
            );
        }
        if let Some(key) = model.readout.idle() {
            let message = "neurons that do not fire have none; expected it with `kind` \"count\" or \"first\"";
            return refuse(&format!("readout.neuron.{key}"), message.into());
        }
        match resolve(&model.frame(), &model.layers) {
            Ok(_) => Ok(model),
            Err((key, message)) => refuse(&key, message),
        }
    }

    /// Whether this is so of any layer's neurons, among those that take the model's value at a key of `neuron`.
    pub fn takes_neuron(&self, key: &str, is: impl Fn(&Neuron) -> bool) -> bool {
        let takes = |item: &&Item| {
            let own = serde_json::to_value(item.neuron).unwrap_or_default();
            item.has_neurons() && own.get(key).is_none()
        };
        let own = serde_json::to_value(self.readout).unwrap_or_default();
        let of_silent = ["leak", "synaptic_leak", "scaled_input"].contains(&key);
        let has = self.readout.kind.fires() || self.readout.kind != ReadoutKind::Mean && of_silent;
        let read = has && own["neuron"].get(key).is_none();
        read && is(&self.readout.neuron_in(self.neuron))
            || self.layers.iter().filter(takes).any(|item| is(&item.neuron_in(self.neuron)))
    }

    /// Whether any layer takes the norm of those that do not say otherwise.
    pub fn takes_norm(&self) -> bool {
        self.layers.iter().any(|item| item.has_matrix() && !item.delayed && item.norm.is_none())
    }

    /// The layers' names and how many neurons each leads, the readout included: it has none.
    pub fn neurons(&self) -> Vec<(String, usize)> {
        let neurons = |layer: &Layer| if layer.leads { layer.map().len() } else { 0 };
        self.layers().into_iter().map(|layer| (layer.name.clone(), neurons(&layer))).collect()
    }

    /// Its neurons on so many chips that answer together.
    pub(crate) fn neurons_on(&self, chips: u64) -> Vec<(String, usize)> {
        self.neurons().into_iter().map(|(name, neurons)| (name, neurons * chips as usize)).collect()
    }

    /// The graph of its layers; an error of a model that was not read from a file and cannot be.
    pub fn try_graph(&self) -> Result<Graph> {
        resolve(&self.frame(), &self.layers).map_err(|(key, message)| Error::Mismatch(format!("{key}: {message}")))
    }

    /// The graph of its layers.
    ///
    /// # Panics
    /// Panics where the model was not read from a file and has no graph: see [`Model::try_graph`].
    pub fn graph(&self) -> Graph {
        self.try_graph().expect("a model's graph is resolved as the model is read")
    }

    /// The layers of weights in order; the last is the readout.
    pub fn layers(&self) -> Vec<Layer> {
        self.graph().layers
    }

    /// The keys that hold for the whole model.
    fn frame(&self) -> ModelFrame {
        let Model { steps, classes, input, neuron, norm, readout, .. } = *self;
        ModelFrame { steps, classes, input, neuron, norm, readout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(layers: &str) -> Result<Model> {
        let text = format!(
            "name = \"m\"\nsteps = 4\nclasses = 5\ninput = {{ channels = 2, height = 13, width = 12 }}\nlayers = \
             {layers}"
        );
        Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap())
    }

    #[test]
    fn shapes_follow_from_the_layers() {
        let layers = model("[{conv=8}, {pool=2}, {conv=16}, {pool=\"global\"}, {fc=32}]").unwrap().layers();
        let found: Vec<_> = layers
            .iter()
            .map(|l| (l.name.as_str(), l.rows(), l.columns(), l.pooled().len(), l.largest_pulse))
            .collect();
        assert_eq!(
            found,
            [("conv1", 18, 8, 8 * 36, 1), ("conv2", 72, 16, 16, 4), ("fc1", 16, 32, 32, 36), ("fc2", 32, 5, 5, 1)]
        );
    }

    #[test]
    fn layers_that_cannot_be_are_refused_with_their_line() {
        for layers in [
            "[{fc=8}, {conv=8}]",
            "[{pool=2}]",
            "[{conv=0}]",
            "[{conv=8}, {pool=14}]",
            "[{conv=8}, {pool=[1, 13]}]",
            "[{conv1d=8}]",
            "[{conv={channels=8, kernel=[3, 65]}}]",
            "[{conv={channels=8, kernel=5, padding=5}}]",
            "[{conv={channels=8, kernel=14, padding=0}}]",
            "[{conv={channels=8, stride=0}}]",
            "[{conv={channels=8, groups=3}}]",
            "[{conv={channels=9, groups=2}}]",
            "[{conv={channels=8, groups=0}}]",
            "[{conv=8, fc=8}]",
            "[{norm=\"batch\"}]",
            "[{conv=8}, {pool=2, norm=\"none\"}]",
            "[{conv=8, neuron={leak=1.5}}]",
            "[{conv=8, neuron={given={leak=\"pixel\"}}}]",
            "[{conv=8, neuron={learned={adaptation=\"layer\"}}}]",
            "[{conv=8, neuron={given={leak=\"layer\"}, learned={leak=\"channel\"}}}]",
            "[{conv=8, neuron={reset=\"half\"}}]",
            "[{conv=8, neuron={refractory=-1}}]",
            "[{conv=8}, {pool=\"gobal\"}]",
            "[{conv=99999999999}]",
            "[{conf=8}]",
            "[{conv=60000}, {fc=60000}]",
            "[{conv=8, from=\"conv2\"}, {conv=8}]",
            "[{conv=8}, {conv=8, from=\"none\"}]",
            "[{conv=8}, {conv=8, add=\"conv2\"}]",
            "[{conv=8}, {conv=8, add=\"input\"}]",
            "[{conv=8}, {conv=9, add=\"conv1\"}]",
            "[{conv=8}, {conv=9, add_current=\"conv1\"}]",
            "[{conv=8}, {conv=9, add_behind=\"conv1\"}]",
            "[{conv=8}, {pool=1, from=\"conv1\"}, {name=\"p\", pool=2}, {conv=8, add_behind=\"p\", from=\"p\"}]",
            "[{conv=8}, {conv=8, from=\"conv1\"}, {conv=8, from=\"conv1\"}]",
            "[{name=\"a\", conv=8}, {name=\"a\", conv=8}]",
            "[{name=\"input\", conv=8}]",
            "[{name=\"a.b\", conv=8}]",
            "[{name=\"bn1\", conv=8}]",
            "[{name=\"a\", fc=8, recurrent=true}, {name=\"a_rec\", fc=8}]",
            "[{name=\"fc2\", conv=8}, {fc=8}]",
            "[{conv=8, delayed=true}]",
            "[{conv=8}, {conv=8, joins=\"conv1\"}]",
            "[{conv=8}, {conv=8, from=\"conv1\", joins=\"conv1\"}]",
            "[{conv=8}, {conv=8}, {conv=8, from=\"conv2\", joins=\"conv1\"}]",
            "[{conv=8}, {conv=8}, {conv=8, from=\"input\", joins=\"conv2\", delayed=true}]",
            "[{conv=8}, {conv=8}, {conv=9, from=\"conv1\", joins=\"conv2\"}]",
            "[{conv=8}, {conv=8}, {conv=8, from=\"conv1\", joins=\"conv2\", add=\"conv1\"}]",
            "[{conv=8}, {conv=8}, {conv=8, from=\"conv2\", joins=\"conv1\", delayed=true, norm=\"bntt\"}]",
            "[{conv=8}, {fc=8}, {conv=8, from=\"conv1\", joins=\"fc1\"}]",
            "[{conv=8}, {pool=2, joins=\"conv1\"}]",
            "[{fc=8, pool_current=2}]",
            "[{conv=8, pool_current=14}]",
            "[{conv=8, pool_current={window=2, stride=0}}]",
            "[{conv=8}, {conv=8, recurrent=true, pool_current=2}, {conv=8, pool_current=2}, {conv=8, from=\"conv3\", \
             joins=\"conv2\", delayed=true}]",
            "[{name=\"fc\", conv=8}, {fc=8}]",
            "[{name=\"s\", conv=8, from=\"a\", joins=\"b\"}, {name=\"a\", conv=8}, {name=\"b\", conv=8}]",
            "[{fc=65536, recurrent=true}]",
            "[{name=\"a\", conv=8}, {name=\"p\", pool=2}, {conv=8, from=\"input\", add_current=\"p\"}]",
            "[{name=\"a\", fc=8}, {name=\"c\", fc=8}, {fc=8, from=\"c\", joins=\"a\", delayed=true}, {fc=8, \
             from=\"input\"}]",
            "[{name=\"a\", fc=8}, {concat=[\"a\"]}, {conv=8}]",
            "[{name=\"a\", conv=8}, {conv=8}, {name=\"s\", conv=8, from=\"a\", joins=\"conv2\"}, {conv=8, from=\"s\"}]",
            "[{conv=8}, {conv=8, add=[]}]",
            "[{conv=8}, {concat=[]}]",
            "[{conv=8}, {delay=0}]",
            "[{delay=1}]",
            "[{conv=8}, {delay=1, norm=\"none\"}]",
            "[{conv=8}, {concat=[\"conv1\", \"input\"]}]",
            "[{conv=8}, {conv={channels=8, stride=2}}, {concat=[\"conv1\", \"conv2\"]}]",
            "[{conv=8}, {pool={window=3, kind=\"sum\", padding=2}}]",
            "[{conv=8}, {pool={window=3, stride=0}}]",
            "[{conv=8}, {pool={window=3, kind=\"median\"}}]",
            "[{conv=8}, {pool={window=12, kind=\"sum\"}}, {conv=8}, {conv=8}, {concat=[\"conv2\", \"conv2\"]}, \
             {pool=90}]",
            "[{conv=8}, {pool=6}, {conv=60000}, {conv=60000}]",
        ] {
            let error = model(layers).expect_err(layers).to_string();
            assert!(error.starts_with("m.toml:5:") && error.contains(": layers"), "{layers}: {error}");
        }
        let many = format!("[{}]", "{conv=1}, ".repeat(5000));
        assert!(model(&many).unwrap_err().to_string().contains("5000 entries"));
    }

    #[test]
    fn entries_become_the_graph_that_they_mean() {
        let text = "[{name=\"a\", conv=8}, {conv=8, add=\"a\"}, {name=\"b\", conv=8, recurrent=true}, {name=\"s\", \
                    conv=8, from=\"a\", joins=\"b\"}, {name=\"home\", conv=8, from=\"b\", joins=\"conv2\", \
                    delayed=true}, {pool=2}, {fc=4}]";
        let graph = model(text).unwrap().graph();
        let layers: Vec<&str> = graph.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(layers, ["a", "conv2", "b", "b_rec", "s", "home", "fc1", "fc2"]);
        let nodes: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(nodes, ["input", "a", "conv2", "b", "pool1", "fc1"]);
        let population = |node: usize| graph.nodes[node].population().unwrap();
        assert_eq!((&population(2).layers, &population(2).skips), (&vec![1, 5], &vec![1]));
        assert_eq!(population(3).layers, [2, 3, 4]);
        assert_eq!((graph.cycles.len(), graph.cycles[0].clone()), (1, 2..4));
        assert_eq!((graph.by_image(), graph.readout(), graph.layers[7].from), (2, 7, 5));
        assert_eq!(graph.kept.pulses, [1, 3, 3, 4, 5, 6]);
    }
}
