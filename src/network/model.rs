//! The network's shape, from `models/*.toml`: operators in order, and the layers that follow from them.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::{Connection, Convolution};
use super::layer::{Layer, LayerKind, NormKind};
use super::neuron::{Neuron, OwnNeuron, is_default};
use crate::config::Document;
use crate::error::Result;
use crate::numeric::Shape;
use crate::numeric::unrolling::Window;

/// A network's shape. The readout, a last fully connected layer to `classes`, is implied.
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
    /// In order, each an operator: `conv`, `conv1d` or `fc`, a matrix with its norm and neurons, or `pool`, behind a convolution.
    /// Branches and recurrence there are not.
    layers: Vec<Item>,
}

/// The readout: a fully connected layer to the classes, whose mean over the steps is the logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Readout {
    /// Whether it has a bias, added digitally.
    pub bias: bool,
}

/// One operator, and what stands behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Item {
    /// A convolution: its channels, with a kernel of 3 by 3 that moves by a pixel and a rim that keeps the map's size, or a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    conv: Option<Convolution>,
    /// A convolution along the columns of a map of one row.
    #[serde(skip_serializing_if = "Option::is_none")]
    conv1d: Option<Convolution>,
    /// A pool: the window that spikes are averaged in, 2 of 2 by 2 with stride 2 (behind `conv1d` of
    /// two columns), `[rows, columns]`, or `"global"`, the whole map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<Pool>,
    /// A fully connected layer: its width, or a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    fc: Option<Connection>,
    /// The layer's own norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    norm: Option<NormKind>,
    /// Constants of the layer's own neurons; those that are absent are the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    neuron: Option<OwnNeuron>,
}

/// The operator of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Conv(Convolution),
    Conv1d(Convolution),
    Pool(Pool),
    Fc(Connection),
}

impl Item {
    /// Its operator; none unless there is exactly one.
    fn operator(&self) -> Option<Operator> {
        let Item { conv, conv1d, pool, fc, .. } = *self;
        let all =
            [conv.map(Operator::Conv), conv1d.map(Operator::Conv1d), pool.map(Operator::Pool), fc.map(Operator::Fc)];
        let mut there = all.into_iter().flatten();
        there.next().filter(|_| there.next().is_none())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a window such as 2 or [1, 2], or \"global\"")]
enum Pool {
    Window(usize),
    /// Rows and columns.
    Each([usize; 2]),
    Named(Global),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Global {
    Global,
}

/// More values than this in one map or matrix is taken for a mistake in the model file.
const LARGEST_LAYER: usize = 1 << 28;

impl Model {
    /// Reads and validates a model file with overrides (keys without the `model.` prefix).
    pub fn read(file: &Path, overrides: &[String]) -> Result<Self> {
        let mut document = Document::read(file)?;
        for assignment in overrides {
            document.set_model(assignment)?;
        }
        Self::from_document(&document)
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
        model.check_layers(document)?;
        Ok(model)
    }

    fn check_layers(&self, document: &Document) -> Result<()> {
        if self.layers.is_empty() {
            return Err(document.error("layers", "is empty; expected at least one `conv` or `fc` layer"));
        }
        let mut map = self.input;
        if map.len().saturating_mul(self.steps) > LARGEST_LAYER {
            return Err(document
                .error("input", format!("{map} over {} steps, expected at most {LARGEST_LAYER} values", self.steps)));
        }
        let mut before: Option<Operator> = None;
        for (i, item) in self.layers.iter().enumerate() {
            let refuse = |message: &str| Err(document.error(&format!("layers[{i}]"), message));
            let Some(operator) = item.operator() else {
                return refuse("expected one of `conv`, `conv1d`, `fc` and `pool`");
            };
            let of_matrix = [("norm", item.norm.is_some()), ("neuron", item.neuron.is_some())];
            if let Some((key, _)) = of_matrix.iter().find(|(_, set)| *set && matches!(operator, Operator::Pool(_))) {
                let message = "is of a matrix, and a pool has none; expected it beside `conv`, `conv1d` or `fc`";
                return Err(document.error(&format!("layers[{i}].{key}"), message));
            }
            if let Some((key, message)) = self.neuron_of(item).fault() {
                return Err(document.error(&format!("layers[{i}].neuron.{key}"), message));
            }
            let mut weights = 0;
            match operator {
                Operator::Conv(Convolution { channels: width, .. })
                | Operator::Conv1d(Convolution { channels: width, .. })
                | Operator::Fc(Connection { width, .. })
                    if !(1..=65536).contains(&width) =>
                {
                    return refuse("expected a width of 1 to 65536");
                }
                Operator::Conv(_) | Operator::Conv1d(_) if matches!(before, Some(Operator::Fc(_))) => {
                    return refuse("a convolution cannot follow a fully connected layer");
                }
                Operator::Conv(convolution) | Operator::Conv1d(convolution) => {
                    let one_dimensional = matches!(operator, Operator::Conv1d(_));
                    let window = convolution.window(one_dimensional, map).map_err(|(key, message)| {
                        let kind = if one_dimensional { "conv1d" } else { "conv" };
                        document.error(&format!("layers[{i}].{kind}{key}"), message)
                    })?;
                    let width = convolution.channels;
                    weights = (map.channels * window.positions()).saturating_mul(width);
                    let [height, columns] = window.output(map.height, map.width).unwrap_or_default();
                    map = Shape { channels: width, height, width: columns };
                }
                Operator::Fc(Connection { width, .. }) => {
                    weights = map.len().saturating_mul(width);
                    map = Shape { channels: width, height: 1, width: 1 };
                }
                Operator::Pool(pool) => {
                    if !matches!(before, Some(Operator::Conv(_) | Operator::Conv1d(_))) {
                        return refuse("a pool must directly follow a convolution");
                    }
                    let (h, w) = window(pool, map, matches!(before, Some(Operator::Conv1d(_))));
                    if !(1..=map.height).contains(&h) || !(1..=map.width).contains(&w) {
                        return refuse(&format!("a window of {h} x {w} does not fit a map of {map}"));
                    }
                    if h * w > 1 << 12 {
                        return refuse(&format!("a window of {h} x {w} pixels, expected at most 4096"));
                    }
                    map = Shape { height: map.height / h, width: map.width / w, ..map };
                }
            }
            if map.len().saturating_mul(self.steps) > LARGEST_LAYER {
                return refuse(&format!(
                    "maps of {map} over {} steps, expected at most {LARGEST_LAYER} values",
                    self.steps
                ));
            }
            if weights > LARGEST_LAYER {
                return refuse(&format!("a matrix of {weights} weights, expected at most {LARGEST_LAYER}"));
            }
            before = Some(operator);
        }
        let readout = map.len().saturating_mul(self.classes);
        if readout > LARGEST_LAYER {
            return Err(
                document.error("classes", format!("a readout of {readout} weights, expected at most {LARGEST_LAYER}"))
            );
        }
        Ok(())
    }

    /// Whether this is so of any layer's neurons, among those that take the model's value at a key of `neuron`.
    pub fn takes_neuron(&self, key: &str, is: impl Fn(&Neuron) -> bool) -> bool {
        let takes = |item: &&Item| {
            let own = serde_json::to_value(item.neuron).unwrap_or_default();
            item.pool.is_none() && own.get(key).is_none()
        };
        self.layers.iter().filter(takes).any(|item| is(&self.neuron_of(item)))
    }

    /// Whether any layer takes the norm of those that do not say otherwise.
    pub fn takes_norm(&self) -> bool {
        self.layers.iter().any(|item| item.pool.is_none() && item.norm.is_none())
    }

    /// The layers' names and how many neurons each has, the readout included.
    pub fn neurons(&self) -> Vec<(String, usize)> {
        self.layers().into_iter().map(|layer| (layer.name, layer.output.len())).collect()
    }

    /// The layers of weights in order; the last is the readout.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::new();
        let (mut convs, mut fcs) = (0, 0);
        let mut connect = |layers: &[Layer], kind, width: usize| {
            fcs += 1;
            let output = Shape { channels: width, height: 1, width: 1 };
            Layer { name: format!("fc{fcs}"), kind, output, ..self.behind(layers) }
        };
        for item in &self.layers {
            let next = self.behind(&layers);
            let (norm, neuron) = (item.norm.unwrap_or(self.norm), self.neuron_of(item));
            match item.operator() {
                Some(Operator::Fc(Connection { width, bias })) => {
                    let layer = connect(&layers, LayerKind::Fc, width);
                    layers.push(Layer { norm, neuron, has_bias: bias, ..layer });
                }
                Some(Operator::Pool(pool)) => {
                    if let Some(last) = layers.last_mut() {
                        last.pool = window(pool, last.output, last.one_dimensional);
                    }
                }
                Some(Operator::Conv(convolution) | Operator::Conv1d(convolution)) => {
                    convs += 1;
                    let one_dimensional = item.conv1d.is_some();
                    // Windows that do not fit were refused.
                    let Ok(window) = convolution.window(one_dimensional, next.input) else { continue };
                    let [height, width] = window.output(next.input.height, next.input.width).unwrap_or_default();
                    let output = Shape { channels: convolution.channels, height, width };
                    let (name, kind, has_bias) = (format!("conv{convs}"), LayerKind::Conv, convolution.bias());
                    layers.push(Layer { name, kind, window, one_dimensional, neuron, norm, has_bias, output, ..next });
                }
                None => {}
            }
        }
        let readout = connect(&layers, LayerKind::Readout, self.classes);
        layers.push(Layer { has_bias: self.readout.bias, ..readout });
        layers
    }

    fn neuron_of(&self, item: &Item) -> Neuron {
        item.neuron.map_or(self.neuron, |own| own.in_model(self.neuron))
    }

    /// A layer behind others, as yet without a name and outputs of its own.
    fn behind(&self, layers: &[Layer]) -> Layer {
        Layer {
            name: String::new(),
            kind: LayerKind::Fc,
            input: layers.last().map_or(self.input, Layer::pooled),
            window: Window::same(1),
            one_dimensional: false,
            neuron: self.neuron,
            norm: NormKind::None,
            has_bias: false,
            output: self.input,
            pool: (1, 1),
            largest_pulse: layers.last().map_or(1, |l| (l.pool.0 * l.pool.1) as u32),
        }
    }
}

/// A pool's window; behind a convolution along columns a number is of columns alone.
fn window(pool: Pool, map: Shape, one_dimensional: bool) -> (usize, usize) {
    match pool {
        Pool::Window(size) if one_dimensional => (1, size),
        Pool::Window(size) => (size, size),
        Pool::Each([high, wide]) => (high, wide),
        Pool::Named(Global::Global) => (map.height, map.width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(layers: &str) -> Result<Model> {
        let text = format!(
            "name = \"m\"\nsteps = 4\nclasses = 5\ninput = {{ channels = 2, height = 13, width = 12 }}\nlayers = {layers}"
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
            "[{conv={channels=8, groups=2}}]",
            "[{conv=8, fc=8}]",
            "[{norm=\"batch\"}]",
            "[{conv=8}, {pool=2, norm=\"none\"}]",
            "[{conv=8, neuron={leak=1.5}}]",
            "[{conv=8, neuron={reset=\"half\"}}]",
            "[{conv=8, neuron={refractory=-1}}]",
            "[{conv=8}, {pool=\"gobal\"}]",
            "[{conv=99999999999}]",
            "[{conf=8}]",
            "[{conv=60000}, {fc=60000}]",
            "[{conv=8}, {pool=6}, {conv=60000}, {conv=60000}]",
        ] {
            let error = model(layers).expect_err(layers).to_string();
            assert!(error.starts_with("m.toml:5:") && error.contains(": layers"), "{layers}: {error}");
        }
    }
}
