//! The network's shape, from `models/*.toml`, and the plan of layers that follows from it.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::Convolution;
use super::pulses::Pulses;
use super::{Drive, InputCode};
use crate::config::Document;
use crate::error::Result;
use crate::numeric::Shape;
use crate::numeric::unrolling::{Unrolling, Window};

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
    /// In order: `{ conv = N }`, a convolution to N channels, kernel 3 by 3, stride 1, a rim of one zero (the map keeps its size), no
    /// bias, or with a window of its own, `{ conv = { channels = N, kernel = 5, stride = 2 } }`; `{ conv1d = … }`, the same along the
    /// columns of a map of one row; `{ fc = N }`, a fully connected layer to N; each followed by its batch norm through time and
    /// neurons. `{ pool = 2 }`, the mean of spikes in windows of 2 by 2, stride 2; `{ pool = "global" }`, of the whole map. Branches
    /// and recurrence there are not.
    layers: Vec<Item>,
}

/// Leaky integrate-and-fire constants, in units of the normalised current. Dimensionless.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Neuron {
    /// Leak λ: the share of the membrane potential kept from step to step.
    pub leak: f32,
    /// Threshold θ.
    pub threshold: f32,
}

impl Default for Neuron {
    fn default() -> Self {
        Neuron { leak: 0.95, threshold: 1.0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Item {
    Conv(Convolution),
    Conv1d(Convolution),
    Pool(Pool),
    Fc(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a window such as 2, or \"global\"")]
enum Pool {
    Window(usize),
    Named(Global),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Global {
    Global,
}

/// What a layer's matrix does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    /// A convolution with LIF neurons.
    Conv,
    /// Fully connected with LIF neurons.
    Fc,
    /// Fully connected, no neurons.
    Readout,
}

/// One layer of weights, with the pooling behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// `conv1`, `fc1`, ...: the checkpoint's name.
    pub name: String,
    /// What it does.
    pub kind: LayerKind,
    /// What comes in.
    pub input: Shape,
    /// How a convolution's window moves over it.
    pub window: Window,
    /// Whether the window has columns alone: then its weights have no rows.
    pub one_dimensional: bool,
    /// What its neurons send, before the pool.
    pub output: Shape,
    /// The averaging window behind it, rows and columns; (1, 1) without a pool. Odd sizes are floored.
    pub pool: (usize, usize),
    /// The inputs are integers: the pulses summed by the pool before, at most this many.
    pub largest_pulse: u32,
}

/// More values than this in one map or matrix is taken for a mistake in the model file.
const LARGEST_LAYER: usize = 1 << 28;

impl Layer {
    /// How the input is unrolled into rows; a fully connected layer is one kernel position per input pixel.
    pub fn unrolling(&self) -> Unrolling {
        match self.kind {
            LayerKind::Conv => Unrolling::of(self.input, self.window),
            _ => Unrolling::flat(self.input.len()),
        }
    }

    /// Rows of the crossbar matrix: word lines.
    pub fn rows(&self) -> usize {
        self.unrolling().rows()
    }

    /// Columns of the crossbar matrix: one logical bit line per output channel.
    pub fn columns(&self) -> usize {
        self.output.channels
    }

    /// The map behind the pool.
    pub fn pooled(&self) -> Shape {
        let (h, w) = self.pool;
        Shape { height: self.output.height / h, width: self.output.width / w, ..self.output }
    }

    /// What its neurons send behind the pool, over so many steps: nothing yet.
    pub fn pulses(&self, steps: usize) -> Pulses {
        let pooled = self.pooled();
        Pulses::new(steps, pooled.height * pooled.width, pooled.channels, (self.pool.0 * self.pool.1) as u32)
    }

    /// The value of one input pulse: 1 for spikes, 1/4 behind a 2x2 pool.
    pub fn input_unit(&self) -> f32 {
        1.0 / self.largest_pulse as f32
    }

    /// What drives its word lines: the network's inputs, encoded, or pulses of the layer before.
    pub fn drive(&self, inputs: Option<InputCode>) -> Drive {
        inputs.map_or_else(|| Drive::pulses(self.largest_pulse), Drive::encoded)
    }

    /// The shape of the latent weights in a checkpoint.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.kind {
            LayerKind::Conv => {
                let kernel = &self.window.kernel[usize::from(self.one_dimensional)..];
                [&[self.output.channels, self.input.channels], kernel].concat()
            }
            _ => vec![self.output.channels, self.input.len()],
        }
    }

    /// Whether it has neurons.
    pub fn spikes(&self) -> bool {
        self.kind != LayerKind::Readout
    }
}

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
        let Neuron { leak, threshold } = model.neuron;
        if !(0.0..=1.0).contains(&leak) {
            return refuse("neuron.leak", format!("{leak}, expected 0 to 1"));
        }
        if !(threshold.is_finite() && threshold > 0.0) {
            return refuse("neuron.threshold", format!("{threshold}, expected a number above 0"));
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
        let mut before: Option<Item> = None;
        for (i, item) in self.layers.iter().enumerate() {
            let refuse = |message: &str| Err(document.error(&format!("layers[{i}]"), message));
            let mut weights = 0;
            match *item {
                Item::Conv(Convolution { channels: width, .. })
                | Item::Conv1d(Convolution { channels: width, .. })
                | Item::Fc(width)
                    if !(1..=65536).contains(&width) =>
                {
                    return refuse("expected a width of 1 to 65536");
                }
                Item::Conv(_) | Item::Conv1d(_) if matches!(before, Some(Item::Fc(_))) => {
                    return refuse("a convolution cannot follow a fully connected layer");
                }
                Item::Conv(convolution) | Item::Conv1d(convolution) => {
                    let one_dimensional = matches!(item, Item::Conv1d(_));
                    let window = convolution.window(one_dimensional, map).map_err(|(key, message)| {
                        let kind = if one_dimensional { "conv1d" } else { "conv" };
                        document.error(&format!("layers[{i}].{kind}{key}"), message)
                    })?;
                    let width = convolution.channels;
                    weights = (map.channels * window.positions()).saturating_mul(width);
                    let [height, columns] = window.output(map.height, map.width).unwrap_or_default();
                    map = Shape { channels: width, height, width: columns };
                }
                Item::Fc(width) => {
                    weights = map.len().saturating_mul(width);
                    map = Shape { channels: width, height: 1, width: 1 };
                }
                Item::Pool(pool) => {
                    if !matches!(before, Some(Item::Conv(_) | Item::Conv1d(_))) {
                        return refuse("a pool must directly follow a convolution");
                    }
                    let (h, w) = window(pool, map);
                    if !(1..=map.height).contains(&h) || !(1..=map.width).contains(&w) {
                        return refuse(&format!("a window of {h} does not fit a map of {map}"));
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
            before = Some(*item);
        }
        let readout = map.len().saturating_mul(self.classes);
        if readout > LARGEST_LAYER {
            return Err(
                document.error("classes", format!("a readout of {readout} weights, expected at most {LARGEST_LAYER}"))
            );
        }
        Ok(())
    }

    /// The layers' names and how many neurons each has, the readout included.
    pub fn neurons(&self) -> Vec<(String, usize)> {
        self.layers().into_iter().map(|layer| (layer.name, layer.output.len())).collect()
    }

    /// The layers of weights in order; the last is the readout.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::new();
        let (mut convs, mut fcs) = (0, 0);
        let mut add = |layers: &mut Vec<Layer>, kind, width: usize, window: Option<(Convolution, bool)>| {
            let input = layers.last().map_or(self.input, Layer::pooled);
            let largest_pulse = layers.last().map_or(1, |l| (l.pool.0 * l.pool.1) as u32);
            let one_dimensional = window.is_some_and(|(_, one_dimensional)| one_dimensional);
            let window = window.and_then(|(convolution, along)| convolution.window(along, input).ok());
            let (name, [height, columns]) = if let Some(window) = window {
                convs += 1;
                (format!("conv{convs}"), window.output(input.height, input.width).unwrap_or_default())
            } else {
                fcs += 1;
                (format!("fc{fcs}"), [1, 1])
            };
            let output = Shape { channels: width, height, width: columns };
            let window = window.unwrap_or(Window::same(1));
            layers.push(Layer { name, kind, input, window, one_dimensional, output, pool: (1, 1), largest_pulse });
        };
        for item in &self.layers {
            match *item {
                Item::Conv(conv) => add(&mut layers, LayerKind::Conv, conv.channels, Some((conv, false))),
                Item::Conv1d(conv) => add(&mut layers, LayerKind::Conv, conv.channels, Some((conv, true))),
                Item::Fc(width) => add(&mut layers, LayerKind::Fc, width, None),
                Item::Pool(pool) => {
                    if let Some(last) = layers.last_mut() {
                        last.pool = window(pool, last.output);
                    }
                }
            }
        }
        add(&mut layers, LayerKind::Readout, self.classes, None);
        layers
    }
}

fn window(pool: Pool, map: Shape) -> (usize, usize) {
    match pool {
        Pool::Window(size) => (size, size),
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
