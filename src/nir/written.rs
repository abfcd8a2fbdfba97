//! The parts of a NIR graph, written as a model file and the tensors of a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::NirResult;
use super::discrete::{DiscreteNeurons, NEAR};
use super::graph::{NeuronGroup, NirParts, Part, Synapse};
use super::node::{ConvolutionWindow, NeuronKind, NirNeurons, NirNumbers, PoolWindow};
use super::options::{NirOptions, Reset};
use crate::checkpoint::{Checkpoint, Tensor, Values};
use crate::network::Model;
use crate::network::constants::{Constant, Extent};
use crate::network::layer::Layer;
use crate::network::neuron::{Fires, ResetAt};
use crate::network::readout::ReadoutKind;
use crate::numeric::Shape;

/// A layer's name, and those of its matrix and its neurons in the file.
pub type Names = (String, String, Option<String>);

/// A layer's tensors before shapes are known.
struct Tensors {
    weight: NirNumbers,
    bias: Option<NirNumbers>,
    /// Factor of each column, or of all.
    factor: NirNumbers,
    neurons: WrittenNeurons,
}

/// Neurons as a model file writes them; of a matrix that leads to none nothing.
#[derive(Default)]
struct WrittenNeurons {
    table: String,
    constants: BTreeMap<Constant, NirNumbers>,
    /// Their name, and how many values their parameters have.
    count: Option<(String, usize)>,
}

/// A model file and a checkpoint as they are written, part by part.
pub(super) struct ModelWriter<'a> {
    options: &'a NirOptions,
    /// A name in the model for each node's.
    names: BTreeMap<String, String>,
    entries: Vec<String>,
    /// Each layer's name, and those of its matrix and neurons.
    pub layers: Vec<Names>,
    tensors: BTreeMap<String, Tensors>,
    readout: String,
    /// Notices for the user.
    pub notices: Vec<String>,
}

impl<'a> ModelWriter<'a> {
    pub fn new(options: &'a NirOptions, parts: &NirParts) -> NirResult<Self> {
        if !(options.dt.is_finite() && options.dt > 0.0) {
            return Err(format!("a step of {} s; expected a time above 0 (--dt)", options.dt));
        }
        let (mut names, mut taken) = (BTreeMap::new(), BTreeSet::from(["input".to_owned()]));
        let fcs = parts.parts.iter().filter_map(|part| match part {
            Part::Population(_, population) => Some(&population.synapses),
            Part::Pool(..) | Part::Delay(..) => None,
        });
        let fcs = fcs.flatten().filter(|synapse| synapse.matrix.window.is_none()).count();
        // The readout's name follows from the number of fully connected matrices.
        taken.insert(format!("fc{}", fcs + 1));
        let nodes = parts.parts.iter().flat_map(|part| {
            let synapses = match part {
                Part::Population(_, population) => &population.synapses[..],
                Part::Pool(..) | Part::Delay(..) => &[],
            };
            std::iter::once(part.name()).chain(synapses.iter().map(|synapse| synapse.name.as_str()))
        });
        for node in nodes {
            if !names.contains_key(node) {
                let name = plain(node, &taken);
                taken.insert(name.clone());
                names.insert(node.to_owned(), name);
            }
        }
        let readout = format!("fc{}", fcs + 1);
        Ok(ModelWriter {
            options,
            names,
            entries: vec![],
            layers: vec![],
            tensors: BTreeMap::new(),
            readout,
            notices: vec![],
        })
    }

    pub fn write(&mut self, parts: &NirParts) -> NirResult<()> {
        let mut late: Vec<(String, Synapse, NirNumbers)> = vec![];
        for part in &parts.parts {
            match part {
                Part::Pool(name, pool, from) => {
                    let (name, from) = (self.names[name].clone(), self.sender(from));
                    self.entries.push(format!("{{ name = \"{name}\", pool = {}, from = \"{from}\" }}", pool_of(pool)));
                }
                Part::Delay(name, seconds, from) => {
                    let steps = seconds / self.options.dt;
                    let whole = steps.round();
                    if whole < 1.0 || (steps - whole).abs() > 1e-6 * whole {
                        return Err(format!(
                            "`{name}` is a delay of {seconds} s, expected whole steps of {} s",
                            self.options.dt
                        ));
                    }
                    let (name, from) = (self.names[name].clone(), self.sender(from));
                    self.entries.push(format!("{{ name = \"{name}\", delay = {whole}, from = \"{from}\" }}"));
                }
                Part::Population(name, population) => self.population(name, population, &mut late)?,
            }
            // A matrix that leads back stands behind the neurons that it reads.
            let placed = part.name();
            let (ready, rest) = late.into_iter().partition(|(_, synapse, _)| synapse.from == placed);
            late = rest;
            for (to, synapse, factor) in ready {
                self.joining(&to, &synapse, &factor)?;
            }
        }
        Ok(())
    }

    fn sender(&self, node: &str) -> String {
        self.names.get(node).cloned().unwrap_or_else(|| "input".into())
    }

    fn population(
        &mut self,
        name: &str,
        population: &NeuronGroup,
        late: &mut Vec<(String, Synapse, NirNumbers)>,
    ) -> NirResult<()> {
        let Some(first) = population.synapses.iter().position(|synapse| !synapse.delayed) else {
            return Err(format!("`{name}`: no matrix leads there; expected one before the neurons"));
        };
        let (written, factor) = self.neurons(name, &population.neurons, population.skips.is_empty())?;
        let table = written.table.clone();
        let leader = &population.synapses[first];
        let entry = self.names[name].clone();
        let add: Vec<String> = population.skips.iter().map(|skip| format!("\"{}\"", self.sender(skip))).collect();
        let add = if add.is_empty() { String::new() } else { format!(", add = [{}]", add.join(", ")) };
        let (operator, from) = (operator(leader), self.sender(&leader.from));
        self.entries
            .push(format!("{{ name = \"{entry}\", {operator}, from = \"{from}\"{add}, neuron = {{ {table} }} }}"));
        self.tensors(&entry, leader, &factor, written)?;
        self.layers.push((entry, leader.name.clone(), Some(name.to_owned())));
        for (i, synapse) in population.synapses.iter().enumerate().filter(|(i, _)| *i != first) {
            match synapse.delayed && synapse.from != name && i != first {
                true => late.push((name.to_owned(), synapse.clone(), factor.clone())),
                false => self.joining(name, synapse, &factor)?,
            }
        }
        Ok(())
    }

    /// A matrix that joins neurons which stand before it.
    fn joining(&mut self, to: &str, synapse: &Synapse, factor: &NirNumbers) -> NirResult<()> {
        let (entry, to) = (self.names[&synapse.name].clone(), self.names[to].clone());
        let (operator, from) = (operator(synapse), self.sender(&synapse.from));
        let delayed = if synapse.delayed { ", delayed = true" } else { "" };
        self.entries
            .push(format!("{{ name = \"{entry}\", {operator}, from = \"{from}\", joins = \"{to}\"{delayed} }}"));
        self.tensors(&entry, synapse, factor, WrittenNeurons::default())?;
        self.layers.push((entry, synapse.name.clone(), None));
        Ok(())
    }

    fn tensors(
        &mut self,
        entry: &str,
        synapse: &Synapse,
        factor: &NirNumbers,
        neurons: WrittenNeurons,
    ) -> NirResult<()> {
        let mut factor = factor.clone();
        for scale in &synapse.scales {
            factor = factor.times(scale).map_err(|e| format!("`{}`{e}", synapse.name))?;
        }
        let columns = synapse.matrix.weight.shape[0];
        let factor = by_column(&factor, columns).map_err(|e| format!("`{}`{e}", synapse.name))?;
        if factor.values.iter().any(|factor| *factor != 1.0) {
            self.notices
                .push(format!("`{}`: factors of its current are folded into its weights and bias", synapse.name));
        }
        let matrix = &synapse.matrix;
        let weight = with_inputs(synapse).map_err(|e| format!("`{}`{e}", synapse.name))?;
        if !synapse.before.is_empty() {
            self.notices.push(format!("`{}`: factors of what it reads are folded into its weights", synapse.name));
        }
        let tensors = Tensors { weight, bias: matrix.bias.clone(), factor, neurons };
        self.tensors.insert(entry.to_owned(), tensors);
        Ok(())
    }

    /// Neurons of the file as those of a model, and the factor of the matrices that lead there.
    fn neurons(&mut self, name: &str, neurons: &NirNeurons, may_fold: bool) -> NirResult<(WrittenNeurons, NirNumbers)> {
        let said = |e: String| format!("`{name}`{e}");
        let DiscreteNeurons { leak, synaptic_leak, gain, threshold, reset } =
            DiscreteNeurons::of(neurons, self.options.dt, self.options.method).map_err(said)?;
        if let Some(left) = leak.values.iter().find(|leak| **leak < FORGETS && neurons.tau.is_some()) {
            self.notices.push(format!(
                "`{name}`: a step of {} s leaves {left:.1e} of a potential: its time constant is hardly longer, or is \
                 in other units than --dt",
                self.options.dt
            ));
        }
        let leaks_to = neurons.v_leak.values.iter().find(|v_leak| **v_leak != 0.0);
        if let (Some(v_leak), Reset::Subtract, NeuronKind::Spiking) = (leaks_to, self.options.reset, neurons.kind) {
            return Err(said(format!(
                " leaks to {v_leak}, from where potentials are counted here, and a reset would take another threshold \
                 away; expected v_leak = 0, or --reset value"
            )));
        }
        let parts = [&leak, &gain, &threshold].into_iter().chain(&synaptic_leak);
        let count = parts.map(|numbers| numbers.values.len()).max().unwrap_or(1);
        let near = |value: f64, other: f64| (value - other).abs() <= NEAR * other.abs();
        let is_one = gain.values.iter().all(|gain| near(*gain, 1.0));
        let scaled = gain.with(&leak, |gain, leak| gain - (1.0 - leak)).map_err(said)?;
        let scales =
            !is_one && scaled.values.iter().zip(gain.values.iter().cycle()).all(|(d, g)| d.abs() <= NEAR * g.abs());
        let factor = if is_one || scales { NirNumbers::one(1.0) } else { gain };
        if !may_fold && factor.common() != Some(1.0) {
            return Err(said(
                " takes pulses without weights, and its current has a factor; expected R·dt/τ = 1 or R = 1".into(),
            ));
        }
        let mut table = vec![];
        let mut constants = BTreeMap::new();
        let mut given = vec![];
        let all = [
            (Constant::Leak, Some(leak)),
            (Constant::SynapticLeak, synaptic_leak),
            (Constant::Threshold, Some(threshold)),
        ];
        for (constant, numbers) in all.into_iter().filter_map(|(constant, numbers)| Some((constant, numbers?))) {
            let fires = neurons.kind != NeuronKind::Integrator;
            if constant == Constant::Threshold && !fires {
                continue;
            }
            let numbers = numbers.map(|value| f64::from(value as f32));
            if let Some(value) = numbers.values.iter().find(|value| !constant.may_be(**value as f32)) {
                let (key, range) = (constant.name(), constant.range());
                return Err(said(format!(" has a {key} of {value}, expected {range}")));
            }
            match numbers.common() {
                Some(value) => table.push(format!("{} = {:?}", constant.name(), value as f32)),
                None => {
                    let extent = extent(&numbers);
                    table.push(format!("{} = {:?}", constant.name(), numbers.values[0] as f32));
                    given.push(format!(
                        "{} = \"{}\"",
                        constant.name(),
                        if extent == Extent::Channel { "channel" } else { "neuron" }
                    ));
                    constants.insert(constant, numbers);
                }
            }
        }
        if scales {
            table.push("scaled_input = true".into());
        }
        if neurons.kind != NeuronKind::Integrator {
            table.push(self.reset(name, neurons.kind, &reset)?);
        }
        if !given.is_empty() {
            table.push(format!("given = {{ {} }}", given.join(", ")));
        }
        Ok((WrittenNeurons { table: table.join(", "), constants, count: Some((name.to_owned(), count)) }, factor))
    }

    fn reset(&self, name: &str, kind: NeuronKind, reset: &NirNumbers) -> NirResult<String> {
        let NirOptions { reset_at, fires, .. } = self.options;
        let mut keys = match (self.options.reset, kind) {
            (Reset::None, _) | (_, NeuronKind::Threshold) => "reset = \"none\"".to_owned(),
            (Reset::Subtract, _) => "reset = \"subtract\"".to_owned(),
            (Reset::Value, _) => match reset.common() {
                Some(0.0) => "reset = \"zero\"".to_owned(),
                Some(value) => format!("reset = {:?}", value as f32),
                None => {
                    return Err(format!("`{name}` has neurons with other potentials of reset; expected one for all"));
                }
            },
        };
        if *reset_at == ResetAt::Next && kind != NeuronKind::Threshold {
            keys += ", reset_at = \"next\"";
        }
        if *fires == Fires::Reached {
            keys += ", fires = \"reached\"";
        }
        Ok(keys)
    }

    /// The model file.
    pub fn text(&mut self, parts: &NirParts) -> NirResult<String> {
        let (synapse, neurons) = &parts.readout;
        let classes = synapse.matrix.weight.shape[0];
        let kind = match (self.options.readout, neurons) {
            (Some(kind), _) => kind,
            (None, None) => ReadoutKind::Mean,
            (None, Some((_, neurons))) if neurons.kind == NeuronKind::Integrator => ReadoutKind::Last,
            (None, Some(_)) => ReadoutKind::Count,
        };
        let word =
            serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default();
        let mut readout = format!("kind = \"{word}\"");
        if synapse.matrix.bias.is_some() {
            readout += ", bias = true";
        }
        let (mut written, mut factor) = (WrittenNeurons::default(), NirNumbers::one(1.0));
        match neurons {
            Some((name, neurons)) if kind != ReadoutKind::Mean => {
                let mut neurons = neurons.clone();
                if !kind.fires() {
                    neurons.kind = NeuronKind::Integrator;
                } else if neurons.kind == NeuronKind::Integrator {
                    return Err(format!(
                        "`{name}` integrates without spikes; expected --readout last, largest or mean"
                    ));
                }
                (written, factor) = self.neurons(name, &neurons, true)?;
                write!(readout, ", neuron = {{ {} }}", written.table).expect("a text takes more");
            }
            Some((name, _)) => {
                self.notices.push(format!("`{name}`, the neurons at the output, are left out: the logits are means"))
            }
            None if kind != ReadoutKind::Mean => {
                return Err(format!("`{}` leads to the output without neurons; expected --readout mean", synapse.name));
            }
            None => {}
        }
        let entry = self.readout.clone();
        self.tensors(&entry, synapse, &factor, written)?;
        self.layers.push((entry, synapse.name.clone(), neurons.as_ref().map(|(name, _)| name.clone())));
        let Shape { channels, height, width } = map_of(&parts.input)?;
        let NirOptions { name, steps, .. } = self.options;
        let name = Value::String(name.clone());
        let mut text = format!(
            "name = {name}\nsteps = {steps}\nclasses = {classes}\n\
             input = {{ channels = {channels}, height = {height}, width = {width} }}\nnorm = \"none\"\nreadout = {{ \
             {readout} }}\nlayers = [\n"
        );
        self.entries.iter().for_each(|entry| writeln!(text, "  {entry},").expect("a text takes more"));
        text += "]\n";
        Ok(text)
    }

    pub fn checkpoint(&self, model: &Model) -> NirResult<Checkpoint> {
        let mut checkpoint = Checkpoint::default();
        for layer in model.layers() {
            let Tensors { weight, bias, factor, neurons: WrittenNeurons { constants, count, .. } } =
                &self.tensors[&layer.name];
            if let Some((name, count)) = count.as_ref().filter(|(_, count)| *count > 1 && *count != layer.map().len()) {
                let neurons = layer.map().len();
                return Err(format!(
                    "`{name}` has parameters of {count} neurons, and what leads there gives {neurons}"
                ));
            }
            let rows = weight.values.len() / weight.shape[0];
            let of = |numbers: &NirNumbers, each: usize| -> Vec<f32> {
                let factor = |i: usize| factor.values[if factor.values.len() == 1 { 0 } else { i / each }];
                numbers.values.iter().enumerate().map(|(i, value)| (value * factor(i)) as f32).collect()
            };
            let mut put = |what: &str, shape: Vec<usize>, values: Vec<f32>| -> NirResult<()> {
                let name = format!("{}.{what}", layer.name);
                match shape.iter().product::<usize>() == values.len() {
                    true => {
                        checkpoint.tensors.insert(name, Tensor { shape, values: Values::F32(values) });
                        Ok(())
                    }
                    false => Err(format!(
                        "`{name}` has {} values, expected {shape:?}: the nodes before it give another size. An \
                         `Input` has the shape of one sample, without images and steps",
                        values.len()
                    )),
                }
            };
            put("weight", layer.weight_shape(), of(weight, rows))?;
            if let Some(bias) = bias {
                put("bias", vec![layer.columns()], of(bias, 1))?;
            }
            for (constant, extent, _) in layer.constants() {
                put(constant.name(), extent.shape(layer.map()), held(&constants[&constant], extent, &layer)?)?;
            }
        }
        Ok(checkpoint)
    }
}

/// A constant's values for the neurons that share each.
fn held(numbers: &NirNumbers, extent: Extent, layer: &Layer) -> NirResult<Vec<f32>> {
    let map = layer.map();
    if numbers.values.len() != map.len() {
        return Err(format!(
            "`{}` has constants of {} neurons, expected {}",
            layer.name,
            numbers.values.len(),
            map.len()
        ));
    }
    let each = if extent == Extent::Channel { map.height * map.width } else { 1 };
    Ok(numbers.values.iter().step_by(each).map(|value| *value as f32).collect())
}

/// Whether channels or neurons differ.
fn extent(numbers: &NirNumbers) -> Extent {
    let [channels, rest @ ..] = &numbers.shape[..] else { return Extent::Neuron };
    let pixels: usize = rest.iter().product();
    let same = |channel: &[f64]| channel.iter().all(|value| *value == channel[0]);
    match *channels > 0 && pixels > 1 && numbers.values.chunks(pixels).all(same) {
        true => Extent::Channel,
        false => Extent::Neuron,
    }
}

/// A factor of each column of a matrix; an error where it differs within a channel.
fn by_column(factor: &NirNumbers, columns: usize) -> NirResult<NirNumbers> {
    if let Some(one) = factor.common() {
        return Ok(NirNumbers::one(one));
    }
    let each = factor.values.len() / columns;
    let same = |channel: &[f64]| channel.iter().all(|value| *value == channel[0]);
    if each == 0 || !factor.values.len().is_multiple_of(columns) || !factor.values.chunks(each).all(same) {
        return Err(format!(
            " has factors of {} places on {columns} columns that differ within a column; expected one a column",
            factor.values.len()
        ));
    }
    Ok(NirNumbers { shape: vec![columns], values: factor.values.iter().step_by(each).copied().collect() })
}

/// The weights of a matrix with the factors of what it reads.
fn with_inputs(synapse: &Synapse) -> NirResult<NirNumbers> {
    let (mut weight, groups) = (synapse.matrix.weight.clone(), synapse.matrix.window.as_ref().map_or(1, |w| w.groups));
    let [columns, inputs, kernel @ ..] = &weight.shape.clone()[..] else { return Ok(weight) };
    let (columns, inputs, kernel) = (*columns, *inputs, kernel.iter().product::<usize>());
    for scale in &synapse.before {
        // A convolution has a factor an input channel, a fully connected matrix one an input.
        let scale = by_column(scale, inputs * groups)?;
        for (i, value) in weight.values.iter_mut().enumerate() {
            let (column, input) = (i / kernel / inputs, i / kernel % inputs);
            let at = column / (columns / groups).max(1) * inputs + input;
            *value *= scale.values[if scale.values.len() == 1 { 0 } else { at }];
        }
    }
    Ok(weight)
}

/// The operator of a matrix, as a model file writes it.
fn operator(synapse: &Synapse) -> String {
    let (shape, matrix) = (&synapse.matrix.weight.shape, &synapse.matrix);
    let bias = if matrix.bias.is_some() { ", bias = true" } else { "" };
    let Some(ConvolutionWindow { stride, padding, dilation, groups, is_line }) = &matrix.window else {
        return format!("fc = {{ width = {}{bias} }}", shape[0]);
    };
    let groups = if *groups > 1 { format!(", groups = {groups}") } else { String::new() };
    let pool = synapse.pool.as_ref().map_or(String::new(), |pool| format!(", pool_current = {}", pool_of(pool)));
    match is_line {
        true => format!(
            "conv1d = {{ channels = {}, kernel = {}, stride = {}, padding = {}, dilation = {}{groups}{bias} }}{pool}",
            shape[0], shape[2], stride[1], padding[1], dilation[1]
        ),
        false => format!(
            "conv = {{ channels = {}, kernel = [{}, {}], stride = {stride:?}, padding = {padding:?}, dilation = \
             {dilation:?}{groups}{bias} }}{pool}",
            shape[0], shape[2], shape[3]
        ),
    }
}

fn pool_of(pool: &PoolWindow) -> String {
    let PoolWindow { window, stride, padding, averages } = pool;
    let kind = if *averages { "average" } else { "sum" };
    format!("{{ window = {window:?}, stride = {stride:?}, padding = {padding:?}, kind = \"{kind}\" }}")
}

/// The leak below which neurons are said to forget all: few networks are meant so.
const FORGETS: f64 = 0.01;

/// The map of an input of a shape.
fn map_of(shape: &[usize]) -> NirResult<Shape> {
    match shape {
        [] => Ok(Shape { channels: 1, height: 1, width: 1 }),
        [channels] => Ok(Shape { channels: *channels, height: 1, width: 1 }),
        [channels, width] => Ok(Shape { channels: *channels, height: 1, width: *width }),
        [channels, height, width] => Ok(Shape { channels: *channels, height: *height, width: *width }),
        _ => Err(format!(
            "has an input of shape {shape:?}, expected [channels, height, width], without images and steps"
        )),
    }
}

/// A node's name as that of an entry that is not taken.
pub fn plain(node: &str, taken: &BTreeSet<String>) -> String {
    let mut name: String = node.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(56).collect();
    let reserved = ["bn", "velocity", "square", "loss"].iter().any(|start| name.starts_with(start));
    if name.is_empty() || reserved || name.starts_with(|c: char| c.is_ascii_digit()) {
        name = format!("n{name}");
    }
    let free = |name: &String| !taken.contains(name) && !taken.contains(&format!("{name}_rec"));
    if free(&name) {
        return name;
    }
    (2..).map(|i| format!("{name}_{i}")).find(free).expect("numbers do not end")
}
