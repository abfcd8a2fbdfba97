//! The primitives of NIR 1.0 as typed nodes, with their parameters in numbers; time is in seconds.

use std::collections::BTreeMap;

use super::NirResult;
use super::file::{Parameter, Raw};

/// Numbers with their shape, in C order; a single one has no shape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NirNumbers {
    /// The shape.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Vec<f64>,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub enum NirNode {
    /// The input of a graph, of a shape.
    Input(Vec<usize>),
    /// The output of a graph.
    Output,
    /// A graph that is spread into the one that it is a node of.
    Graph,
    /// A matrix.
    Matrix(LinearMap),
    /// A factor of each value.
    Scale(NirNumbers),
    /// Neurons, or integrators.
    Neurons(NirNeurons),
    /// A pool over a map.
    Pool(PoolWindow),
    /// A map in a row: the same values.
    Flatten,
    /// A delay in seconds.
    Delay(NirNumbers),
}

/// A matrix: `Affine`, `Linear`, `Conv1d` or `Conv2d`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearMap {
    /// Weights, `[columns, inputs]`, or `[channels, input channels over groups, …]`.
    pub weight: NirNumbers,
    /// The bias of each column.
    pub bias: Option<NirNumbers>,
    /// The window of a convolution.
    pub window: Option<ConvolutionWindow>,
}

/// A convolution's window; in one dimension it has a single row.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvolutionWindow {
    /// Pixels from one place to the next.
    pub stride: [usize; 2],
    /// The rim of zeros.
    pub padding: [usize; 2],
    /// Pixels from one position to the next.
    pub dilation: [usize; 2],
    /// Groups of channels.
    pub groups: usize,
    /// Whether it has columns alone.
    pub is_line: bool,
}

/// The kinds of neurons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeuronKind {
    /// `I`, `LI` and `CubaLI`: potentials without spikes.
    Integrator,
    /// `IF`, `LIF` and `CubaLIF`.
    Spiking,
    /// `Threshold`: a spike wherever the input passes, without memory.
    Threshold,
}

/// Neurons in continuous time: `τ·dv/dt = v_leak − v + R·i`, `τ_syn·di/dt = w_in·x − i`; without τ, `dv/dt = R·x`.
#[derive(Clone, Debug, PartialEq)]
pub struct NirNeurons {
    /// Their kind.
    pub kind: NeuronKind,
    /// Membrane time constant, s; none of those that do not leak.
    pub tau: Option<NirNumbers>,
    /// Synaptic time constant, s, and the weight of what comes in.
    pub synapse: Option<(NirNumbers, NirNumbers)>,
    /// Resistance R.
    pub resistance: NirNumbers,
    /// The potential that the membrane leaks to.
    pub v_leak: NirNumbers,
    /// Threshold.
    pub threshold: NirNumbers,
    /// The potential of a reset.
    pub v_reset: Option<NirNumbers>,
}

/// A pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolWindow {
    /// Its window.
    pub window: [usize; 2],
    /// Pixels from one place to the next.
    pub stride: [usize; 2],
    /// The rim of zeros.
    pub padding: [usize; 2],
    /// Whether it averages, or adds up.
    pub averages: bool,
}

impl NirNumbers {
    /// The value of every neuron, where they have one.
    pub fn common(&self) -> Option<f64> {
        let first = *self.values.first()?;
        self.values.iter().all(|value| *value == first).then_some(first)
    }
}

/// The parameters of a node that are yet to be taken.
struct NodeParameters {
    kind: String,
    left: BTreeMap<String, Parameter>,
}

impl NodeParameters {
    fn maybe(&mut self, name: &str) -> NirResult<Option<NirNumbers>> {
        match self.left.remove(name) {
            None => Ok(None),
            Some(Parameter::Text(text)) => Err(format!(".{name} is \"{text}\", expected numbers")),
            Some(Parameter::Numbers { shape, values }) => match values.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(format!(".{name} holds {value}, expected finite numbers")),
                None if values.is_empty() => Err(format!(".{name} is empty")),
                None => Ok(Some(NirNumbers { shape, values })),
            },
        }
    }

    fn numbers(&mut self, name: &str) -> NirResult<NirNumbers> {
        self.maybe(name)?.ok_or_else(|| format!(" is a `{}` without `{name}`", self.kind))
    }

    fn positive(&mut self, name: &str) -> NirResult<NirNumbers> {
        let numbers = self.numbers(name)?;
        match numbers.values.iter().find(|value| **value <= 0.0) {
            Some(value) => Err(format!(".{name} holds {value}, expected times above 0")),
            None => Ok(numbers),
        }
    }

    /// Whole numbers from 0 on: as many as asked for, or one that stands for all.
    fn sizes<const N: usize>(&mut self, name: &str, absent: Option<usize>) -> NirResult<[usize; N]> {
        let numbers = match (self.maybe(name)?, absent) {
            (Some(numbers), _) => numbers,
            (None, Some(absent)) => return Ok([absent; N]),
            (None, None) => return Err(format!(" is a `{}` without `{name}`", self.kind)),
        };
        let whole = |value: &f64| (value.fract() == 0.0 && (0.0..1e9).contains(value)).then_some(*value as usize);
        let sizes: Option<Vec<usize>> = numbers.values.iter().map(whole).collect();
        match sizes.as_deref() {
            Some([one]) => Ok([*one; N]),
            Some(sizes) if sizes.len() == N => Ok(std::array::from_fn(|i| sizes[i])),
            _ => Err(format!(".{name} is {:?}, expected {N} whole numbers from 0 on", numbers.values)),
        }
    }

    fn shape(&mut self, name: &str) -> NirResult<Vec<usize>> {
        let Some(numbers) = self.maybe(name)? else { return Ok(vec![]) };
        let whole = |value: &f64| (value.fract() == 0.0 && (1.0..1e9).contains(value)).then_some(*value as usize);
        let sizes: Option<Vec<usize>> = numbers.values.iter().map(whole).collect();
        sizes.ok_or_else(|| format!(".{name} is {:?}, expected whole numbers from 1 on", numbers.values))
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.left.get(name) {
            Some(Parameter::Text(text)) => {
                let text = text.clone();
                self.left.remove(name);
                Some(text)
            }
            _ => None,
        }
    }
}

impl NirNode {
    /// A node as the file has it. Errors begin behind the node's name.
    pub fn of(raw: Raw) -> NirResult<NirNode> {
        let mut of = NodeParameters { kind: raw.kind, left: raw.parameters };
        let kind = of.kind.clone();
        let node = match kind.as_str() {
            "NIRGraph" => return Ok(NirNode::Graph),
            "Input" => NirNode::Input(of.shape("shape")?),
            "Output" => {
                of.shape("shape")?;
                NirNode::Output
            }
            "Affine" | "Linear" => matrix(&mut of)?,
            "Conv1d" | "Conv2d" => convolution(&mut of)?,
            "Scale" => NirNode::Scale(of.numbers("scale")?),
            "SumPool2d" | "AvgPool2d" => {
                let window = of.sizes("kernel_size", None)?;
                let stride = match of.left.contains_key("stride") {
                    true => of.sizes("stride", None)?,
                    false => window,
                };
                NirNode::Pool(PoolWindow {
                    window,
                    stride,
                    padding: of.sizes("padding", Some(0))?,
                    averages: kind == "AvgPool2d",
                })
            }
            "Flatten" => flatten(&mut of)?,
            "Delay" => NirNode::Delay(of.numbers("delay")?),
            "Threshold" => NirNode::Neurons(NirNeurons {
                kind: NeuronKind::Threshold,
                tau: None,
                synapse: None,
                resistance: NirNumbers::one(1.0),
                v_leak: NirNumbers::one(0.0),
                threshold: of.numbers("threshold")?,
                v_reset: None,
            }),
            "I" | "LI" | "CubaLI" | "IF" | "LIF" | "CubaLIF" => neurons(&mut of)?,
            "" => return Err(" has no `type`; expected that of a NIR primitive".into()),
            other => return Err(format!(" is a `{other}`, which no primitive of NIR 1.0 is")),
        };
        // Shapes that follow from elsewhere.
        of.left.remove("input_type");
        of.left.remove("output_type");
        of.left.remove("metadata");
        match of.left.keys().next() {
            None => Ok(node),
            Some(name) => Err(format!(".{name} is no parameter of a `{kind}`")),
        }
    }
}

fn matrix(of: &mut NodeParameters) -> NirResult<NirNode> {
    let weight = of.numbers("weight")?;
    let [columns, _] = weight.shape[..] else {
        return Err(format!(".weight is of shape {:?}, expected [columns, inputs]", weight.shape));
    };
    let bias = of.maybe("bias")?.filter(|_| of.kind == "Affine");
    check_bias(bias.as_ref(), columns)?;
    Ok(NirNode::Matrix(LinearMap { weight, bias, window: None }))
}

fn check_bias(bias: Option<&NirNumbers>, columns: usize) -> NirResult<()> {
    match bias {
        Some(bias) if bias.values.len() != columns => {
            Err(format!(".bias has {} values, the weights {columns} columns", bias.values.len()))
        }
        _ => Ok(()),
    }
}

fn convolution(of: &mut NodeParameters) -> NirResult<NirNode> {
    let is_line = of.kind == "Conv1d";
    let weight = of.numbers("weight")?;
    if weight.shape.len() != if is_line { 3 } else { 4 } {
        return Err(format!(".weight is of shape {:?}, expected that of a `{}`", weight.shape, of.kind));
    }
    let bias = of.maybe("bias")?;
    check_bias(bias.as_ref(), weight.shape[0])?;
    let pair = |[one]: [usize; 1], rows: usize| [rows, one];
    let (stride, dilation) = match is_line {
        true => (pair(of.sizes("stride", Some(1))?, 1), pair(of.sizes("dilation", Some(1))?, 1)),
        false => (of.sizes("stride", Some(1))?, of.sizes("dilation", Some(1))?),
    };
    let kernel = if is_line { [1, weight.shape[2]] } else { [weight.shape[2], weight.shape[3]] };
    let padding = match of.text("padding").as_deref() {
        Some("valid") => [0, 0],
        Some("same") => {
            let reach: [usize; 2] = std::array::from_fn(|i| (kernel[i].max(1) - 1) * dilation[i]);
            if stride != [1, 1] || reach.iter().any(|reach| reach % 2 != 0) {
                return Err(".padding is \"same\" of an even window or a stride; expected its pixels in numbers".into());
            }
            reach.map(|reach| reach / 2)
        }
        Some(other) => return Err(format!(".padding is \"{other}\", expected \"same\", \"valid\" or numbers")),
        None if is_line => pair(of.sizes("padding", Some(0))?, 0),
        None => of.sizes("padding", Some(0))?,
    };
    let [groups] = of.sizes("groups", Some(1))?;
    let columns = weight.shape.first().copied().unwrap_or(0);
    if groups == 0 || columns % groups != 0 {
        return Err(format!(": `groups` is {groups}; expected a divisor of its {columns} output channels"));
    }
    // The map follows from the graph's input.
    of.left.remove("input_shape");
    Ok(NirNode::Matrix(LinearMap {
        weight,
        bias,
        window: Some(ConvolutionWindow { stride, padding, dilation, groups, is_line }),
    }))
}

/// The whole map in a row: a part of it would be another network.
fn flatten(of: &mut NodeParameters) -> NirResult<NirNode> {
    let dimensions = of.shape("input_type")?.len() as f64;
    let number = |of: &mut NodeParameters, name: &str, absent: f64| -> NirResult<f64> {
        Ok(of.maybe(name)?.map_or(absent, |numbers| numbers.values[0]))
    };
    let (start, end) = (number(of, "start_dim", 0.0)?, number(of, "end_dim", -1.0)?);
    match ((0.0..=1.0).contains(&start), end == -1.0 || end == dimensions - 1.0) {
        (true, true) => Ok(NirNode::Flatten),
        _ => Err(format!(" is a `Flatten` from dimension {start} to {end}; expected the whole map, 0 to -1")),
    }
}

fn neurons(of: &mut NodeParameters) -> NirResult<NirNode> {
    let kind = of.kind.clone();
    let (is_cuba, leaks) = (kind.starts_with("Cuba"), !matches!(kind.as_str(), "I" | "IF"));
    let spikes = kind.ends_with('F');
    let tau = match (leaks, is_cuba) {
        (false, _) => None,
        (true, true) => Some(of.positive("tau_mem")?),
        (true, false) => Some(of.positive("tau")?),
    };
    let synapse = match is_cuba {
        true => Some((of.positive("tau_syn")?, of.maybe("w_in")?.unwrap_or(NirNumbers::one(1.0)))),
        false => None,
    };
    Ok(NirNode::Neurons(NirNeurons {
        kind: if spikes { NeuronKind::Spiking } else { NeuronKind::Integrator },
        tau,
        synapse,
        resistance: of.numbers("r")?,
        v_leak: if leaks { of.numbers("v_leak")? } else { NirNumbers::one(0.0) },
        threshold: if spikes { of.numbers("v_threshold")? } else { NirNumbers::one(1.0) },
        v_reset: if spikes { of.maybe("v_reset")? } else { None },
    }))
}
