//! The shape of one matrix: of an entry of a model file, of its pulses' way back, and of the readout.

use super::convolution::{Connection, Convolution};
use super::graph::Node;
use super::item::{Item, ModelFrame, Operator};
use super::layer::{Layer, LayerKind, NormKind};
use crate::numeric::Shape;
use crate::numeric::unrolling::Window;

/// More values than this in one map or matrix is taken for a mistake in the model file.
pub(super) const LARGEST_LAYER: usize = 1 << 28;

/// A key of a model file, and what is wrong there.
pub(super) type Fault = (String, String);

/// A result, or the fault of an entry with the rest of its key behind `layers[N]`.
pub(super) type EntryResult<T> = Result<T, Fault>;

/// The fault of an entry.
pub(super) fn fault<T>(key: &str, message: impl Into<String>) -> EntryResult<T> {
    Err((key.into(), message.into()))
}

/// Whether a map still has rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapKind {
    /// A map has rows and columns.
    Map,
    /// A map has columns alone, behind a convolution along them.
    Line,
    /// A map has neither, behind something fully connected.
    Flat,
}

impl MapKind {
    /// The kind of the map that a layer gives.
    pub fn behind(layer: &Layer) -> Self {
        match () {
            () if !layer.convolves() => MapKind::Flat,
            () if layer.one_dimensional => MapKind::Line,
            () => MapKind::Map,
        }
    }
}

/// The matrix of an entry that reads node `from`, as yet at the head of neurons.
pub(super) fn forward(
    name: String,
    (item, operator): (&Item, &Operator),
    (from, node, kind): (usize, &Node, MapKind),
    model: &ModelFrame,
) -> EntryResult<Layer> {
    let layer = Layer {
        neuron: item.neuron_in(model.neuron),
        norm: item.norm.unwrap_or(model.norm),
        ..plain(name, from, node, model)
    };
    let layer = shaped(operator, layer, kind)?;
    let before = item.pool_current.map(|pool| pool.over(layer.one_dimensional, layer.output)).transpose();
    let before = before.map_err(|(key, message)| (format!(".pool_current{key}"), message))?;
    if before.is_some() && !layer.convolves() {
        return fault(".pool_current", "is of a map; expected it beside a convolution");
    }
    let layer = Layer { before, ..layer };
    // Groups are spread over a matrix of all channels as they run.
    let weights = layer.unrolling().rows().saturating_mul(layer.columns());
    check_size("", "a matrix", weights)?;
    Ok(layer)
}

/// The matrix that leads an entry's pulses back to its neurons, which are at node `from`.
pub(super) fn back(item: &Item, layer: &Layer, from: usize) -> EntryResult<Layer> {
    if item.add_behind.is_some() {
        let message = "with `add_behind`: expected a matrix of its own, with `joins` and `delayed = true`";
        return fault(".recurrent", message);
    }
    if layer.one_dimensional {
        let message = "expected it of `fc` or `conv`; a matrix with `joins` and `delayed = true` may be any";
        return fault(".recurrent", message);
    }
    let back = Layer {
        name: format!("{}_rec", layer.name),
        from,
        delayed: true,
        leads: false,
        groups: 1,
        input: layer.map(),
        output: layer.map(),
        before: None,
        window: if layer.convolves() { Window::same(3) } else { Window::same(1) },
        norm: NormKind::None,
        has_bias: false,
        largest_pulse: 1,
        divisor: 1,
        ..layer.clone()
    };
    check_size(".recurrent", "a matrix", back.rows().saturating_mul(back.columns()))?;
    Ok(back)
}

/// The readout behind node `from`.
pub(super) fn readout(model: &ModelFrame, name: String, (from, node): (usize, &Node)) -> EntryResult<Layer> {
    check_size("classes", "a readout", node.map.len().saturating_mul(model.classes))?;
    Ok(Layer {
        kind: LayerKind::Readout,
        leads: false,
        neuron: model.readout.neuron_in(model.neuron),
        has_bias: model.readout.bias,
        output: Shape { channels: model.classes, height: 1, width: 1 },
        ..plain(name, from, node, model)
    })
}

/// A layer that reads node `from` and gives as many values, at the head of the model's neurons, without norm and bias.
fn plain(name: String, from: usize, node: &Node, model: &ModelFrame) -> Layer {
    Layer {
        name,
        kind: LayerKind::Fc,
        input: node.map,
        from,
        delayed: false,
        leads: true,
        groups: 1,
        window: Window::same(1),
        one_dimensional: false,
        neuron: model.neuron,
        norm: NormKind::None,
        has_bias: false,
        output: node.map,
        before: None,
        pool: (1, 1),
        largest_pulse: node.largest,
        divisor: node.divisor,
    }
}

/// A layer with its operator's window and outputs, on a map of a kind.
fn shaped(operator: &Operator, layer: Layer, kind: MapKind) -> EntryResult<Layer> {
    match operator {
        Operator::Conv(convolution) => convolving(convolution, layer, (kind, false)),
        Operator::Conv1d(convolution) => convolving(convolution, layer, (kind, true)),
        Operator::Fc(Connection { width, bias, .. }) => {
            check_width(*width)?;
            Ok(Layer { has_bias: *bias, output: Shape { channels: *width, height: 1, width: 1 }, ..layer })
        }
        Operator::Pool(_) | Operator::Concat(_) | Operator::Delay(_) => {
            fault("", "expected it beside `conv`, `conv1d` or `fc`")
        }
    }
}

/// A layer with a convolution's window and outputs, on a map of a kind.
fn convolving(convolution: &Convolution, layer: Layer, (kind, one_dimensional): (MapKind, bool)) -> EntryResult<Layer> {
    check_width(convolution.channels)?;
    if kind == MapKind::Flat {
        return fault("", "a convolution cannot follow a fully connected layer");
    }
    let (map, key) = (layer.input, if one_dimensional { "conv1d" } else { "conv" });
    let within = |(behind, message): (&str, String)| (format!(".{key}{behind}"), message);
    let window = convolution.window(one_dimensional, map).map_err(within)?;
    let groups = convolution.groups(map).map_err(within)?;
    let [height, width] = window.output(map.height, map.width).unwrap_or_default();
    let output = Shape { channels: convolution.channels, height, width };
    let has_bias = convolution.bias();
    Ok(Layer { kind: LayerKind::Conv, groups, window, one_dimensional, has_bias, output, ..layer })
}

fn check_width(width: usize) -> EntryResult<()> {
    match width {
        1..=65536 => Ok(()),
        _ => fault("", "expected a width of 1 to 65536"),
    }
}

fn check_size(key: &str, what: &str, weights: usize) -> EntryResult<()> {
    match weights {
        0..=LARGEST_LAYER => Ok(()),
        _ => fault(key, format!("{what} of {weights} weights, expected at most {LARGEST_LAYER}")),
    }
}
