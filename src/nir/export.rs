//! A model and its network as a NIR graph.
//!
//! A layer's matrix is a node `NAME_w` (one that joins others `NAME`), its neurons `NAME`. A leak λ is a time constant
//! τ = dt/(1 − λ), with a resistance 1/(1 − λ), so that a current counts as it is; 1 − λ times it where the model has
//! `scaled_input`. One norm for all steps is folded into weights and bias.

use std::collections::BTreeMap;
use std::path::Path;

use hdf5_pure::FileBuilder;

use super::NirResult;
use super::import::import;
use super::options::NirOptions;
use super::told::Told;
use crate::error::{Error, Result};
use crate::network::constants::Constant;
use crate::network::graph::{Graph, Population, Work};
use crate::network::layer::Layer;
use crate::network::neuron::MembraneReset;
use crate::network::pool::PoolKind;
use crate::network::readout::ReadoutKind;
use crate::network::weights::LayerWeights;
use crate::network::{LayerKind, Model, Network, NormKind};
use crate::numeric::Shape;
use crate::numeric::unrolling::Window;

/// A parameter of a node, with its shape.
enum Value {
    Floats(Vec<usize>, Vec<f32>),
    Doubles(Vec<usize>, Vec<f64>),
    Whole(Vec<usize>, Vec<i64>),
}

/// A node's kind and parameters.
type WrittenNode = (&'static str, Vec<(&'static str, Value)>);

/// A graph under way.
struct GraphWriter<'a> {
    model: &'a Model,
    graph: Graph,
    network: &'a Network,
    dt: f64,
    nodes: BTreeMap<String, WrittenNode>,
    edges: Vec<(String, String)>,
}

/// Writes a network as a NIR file; gives what the file does not tell.
///
/// # Errors
/// Where a layer has what NIR lacks: it is named.
///
/// # Examples
/// ```
/// use crosspike::{Model, Network, nir_export};
///
/// # let file = std::env::temp_dir().join(format!("crosspike-export-{}.nir", std::process::id()));
/// let model = Model::named("digits", &["norm=batch".into()])?;
/// let untold = nir_export(&model, &Network::xavier(&model, 1), 1e-4, &file)?;
/// assert!(untold[0].ends_with("it is imported again with --dt 0.0001 --steps 8 --reset subtract"));
/// # std::fs::remove_file(&file).unwrap();
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn export(model: &Model, network: &Network, dt: f64, path: &Path) -> Result<Vec<String>> {
    let graph = model.graph();
    let mut writer = GraphWriter { model, graph, network, dt, nodes: BTreeMap::new(), edges: vec![] };
    let told = Told::of(model).map_err(Error::Mismatch)?;
    writer.write().map_err(|message| Error::Mismatch(format!("{message}: NIR has no such thing")))?;
    let bytes = writer.bytes().map_err(|error| Error::file(path, error.to_string()))?;
    same_when_read(model, &told.options(model, dt), &bytes).map_err(|message| {
        Error::Mismatch(format!(
            "{message}: a NIR file says neither which way of a loop is delayed, nor how often pulses join"
        ))
    })?;
    crate::atomic::write(path, &bytes)?;
    Ok(vec![told.notice(model, dt)])
}

/// An error where a file would be read as a network whose pulses lead elsewhere, or at other steps.
fn same_when_read(model: &Model, options: &NirOptions, bytes: &[u8]) -> Result<()> {
    let file = tempfile::NamedTempFile::new().map_err(Error::io(std::env::temp_dir()))?;
    std::fs::write(file.path(), bytes).map_err(Error::io(file.path()))?;
    let read = import(file.path(), options)?;
    let [own, read] = [ways(&model.graph()), ways(&read.model.graph())];
    match own.iter().zip(&read).find(|(own, read)| own != read) {
        None if own.len() == read.len() => Ok(()),
        Some(((name, ..), _)) => Err(Error::Mismatch(format!("`{name}` would have other pulses"))),
        None => Err(Error::Mismatch(format!("of its {} populations there would be {}", own.len(), read.len()))),
    }
}

/// What leads to a population: its name, the senders that its matrices read, and whether a step later, and those that
/// join its current.
type PopulationInputs = (String, Vec<(String, bool)>, Vec<String>);

/// What leads to every population, by name; pools and delays on the way do not count.
fn ways(graph: &Graph) -> Vec<PopulationInputs> {
    let origin = |mut n: usize| {
        while let Work::Pool { from, .. } | Work::Delay { from, .. } = &graph.nodes[n].work {
            n = *from;
        }
        graph.nodes[n].name.clone()
    };
    let of = |(n, population): (usize, &Population)| {
        let matrix = |l: &usize| (origin(graph.layers[*l].from), graph.layers[*l].delayed);
        let mut matrices: Vec<(String, bool)> = population.layers.iter().map(matrix).collect();
        let mut skips: Vec<String> = population.skips.iter().map(|skip| origin(*skip)).collect();
        matrices.sort();
        skips.sort();
        (graph.nodes[n].name.clone(), matrices, skips)
    };
    let populations = graph.nodes.iter().enumerate().filter_map(|(n, node)| Some((n, node.population()?)));
    let mut ways: Vec<PopulationInputs> = populations.map(of).collect();
    ways.sort();
    ways
}

impl GraphWriter<'_> {
    fn write(&mut self) -> NirResult<()> {
        let Shape { channels, height, width } = self.model.input;
        let is_line = self.graph.layers.iter().any(|layer| layer.from == 0 && layer.one_dimensional);
        let shape = match (height * width, is_line) {
            (1, false) => vec![channels],
            (_, true) => vec![channels, width],
            _ => vec![channels, height, width],
        };
        self.put("input", ("Input", vec![("shape", whole(&shape))]));
        let graph = self.graph.clone();
        for (n, node) in graph.nodes.iter().enumerate() {
            match &node.work {
                Work::Input => {}
                Work::Pool { from, pooling } => {
                    let map = graph.nodes[*from].map;
                    let from = sender(&graph, *from);
                    self.pool(&node.name, (&from, map), pooling.window, pooling.kind)?;
                }
                Work::Delay { from, steps } => {
                    let map = graph.nodes[*from].map;
                    let shape = match (map.height * map.width, graph.layers.iter().any(|layer| layer.one_dimensional)) {
                        (1, _) => vec![map.channels],
                        (_, true) => vec![map.channels, map.width],
                        _ => vec![map.channels, map.height, map.width],
                    };
                    let delay = Value::Doubles(shape, vec![*steps as f64 * self.dt; map.len()]);
                    self.put(&node.name, ("Delay", vec![("delay", delay)]));
                    self.lead(&sender(&graph, *from), &node.name);
                }
                Work::Concat(_) => return Err(format!("`{}` puts channels side by side", node.name)),
                Work::Population(population) => self.population(&graph, n, population)?,
            }
        }
        self.readout(&graph)
    }

    fn put(&mut self, name: &str, written: WrittenNode) {
        self.nodes.insert(name.to_owned(), written);
    }

    fn lead(&mut self, from: &str, to: &str) {
        self.edges.push((from.to_owned(), to.to_owned()));
    }

    fn population(&mut self, graph: &Graph, n: usize, population: &Population) -> NirResult<()> {
        let (leader, name) = (&graph.layers[population.leader()], &graph.nodes[n].name);
        if !population.currents.is_empty() || !population.behind.is_empty() {
            return Err(format!("`{name}` takes others' currents, or adds others' pulses to its own"));
        }
        let neurons = self.neurons(leader, population.leader(), true)?;
        self.put(name, neurons);
        for l in &population.layers {
            let layer = &graph.layers[*l];
            let last = self.matrix(layer, *l, graph)?;
            self.lead(&last, name);
        }
        for skip in &population.skips {
            self.lead(&sender(graph, *skip), name);
        }
        if leader.pool == (1, 1) {
            return Ok(());
        }
        let (height, width) = leader.pool;
        let window = Window { kernel: [height, width], stride: [height, width], padding: [0; 2], dilation: [1; 2] };
        self.pool(&sender(graph, n), (name, leader.map()), window, PoolKind::Average)
    }

    fn pool(&mut self, name: &str, (from, map): (&str, Shape), window: Window, kind: PoolKind) -> NirResult<()> {
        let kind = match kind {
            PoolKind::Average => "AvgPool2d",
            PoolKind::Sum => "SumPool2d",
            PoolKind::Max => return Err(format!("`{name}` takes the largest pulse of a window")),
        };
        if map.height == 1 && window.kernel[0] == 1 && self.graph.layers.iter().any(|layer| layer.one_dimensional) {
            return Err(format!("`{name}` is a pool along a line"));
        }
        let pair = |pair: [usize; 2]| whole(&pair);
        let parameters = vec![
            ("kernel_size", pair(window.kernel)),
            ("stride", pair(window.stride)),
            ("padding", pair(window.padding)),
        ];
        self.put(name, (kind, parameters));
        self.lead(from, name);
        Ok(())
    }

    /// Writes a layer's matrix, behind what it reads; gives the last node of it.
    fn matrix(&mut self, layer: &Layer, l: usize, graph: &Graph) -> NirResult<String> {
        let state = &self.network.layers[l];
        if state.sram.is_some() {
            return Err(format!(
                "`{}` has a companion array; expected a network before it is put beside RRAM",
                layer.name
            ));
        }
        if layer.norm == NormKind::Bntt {
            return Err(format!("`{}` has a norm of every step", layer.name));
        }
        let (weights, bias) = folded(layer, state);
        let name = if layer.leads || layer.kind == LayerKind::Readout {
            format!("{}_w", layer.name)
        } else {
            layer.name.clone()
        };
        let columns = layer.columns();
        let weight = ("weight", Value::Floats(layer.weight_shape(), weights));
        let (mut before, map) = (sender(graph, layer.from), graph.nodes[layer.from].map);
        if layer.kind != LayerKind::Conv {
            if map.height * map.width > 1 {
                let Shape { channels, height, width } = map;
                let flat = format!("{name}_in");
                let map = if height == 1 { vec![channels, width] } else { vec![channels, height, width] };
                let one = |value| Value::Whole(vec![], vec![value]);
                self.put(
                    &flat,
                    ("Flatten", vec![("start_dim", one(0)), ("end_dim", one(-1)), ("input_type", whole(&map))]),
                );
                self.lead(&before, &flat);
                before = flat;
            }
            let written = match bias {
                Some(bias) => ("Affine", vec![weight, ("bias", Value::Floats(vec![columns], bias))]),
                None => ("Linear", vec![weight]),
            };
            self.put(&name, written);
        } else {
            let Window { stride, padding, dilation, .. } = layer.window;
            let bias = ("bias", Value::Floats(vec![columns], bias.unwrap_or(vec![0.0; columns])));
            let groups = ("groups", Value::Whole(vec![], vec![layer.groups as i64]));
            let Shape { height, width, .. } = layer.input;
            let written = match layer.one_dimensional {
                true => {
                    let one = |[_, along]: [usize; 2]| Value::Whole(vec![], vec![along as i64]);
                    let keys = [("stride", one(stride)), ("padding", one(padding)), ("dilation", one(dilation))];
                    (
                        "Conv1d",
                        [weight, bias, groups, ("input_shape", one([height, width]))].into_iter().chain(keys).collect(),
                    )
                }
                false => {
                    let keys =
                        [("stride", whole(&stride)), ("padding", whole(&padding)), ("dilation", whole(&dilation))];
                    (
                        "Conv2d",
                        [weight, bias, groups, ("input_shape", whole(&[height, width]))]
                            .into_iter()
                            .chain(keys)
                            .collect(),
                    )
                }
            };
            self.put(&name, written);
        }
        self.lead(&before, &name);
        let Some(pooling) = layer.before else { return Ok(name) };
        let pool = format!("{}_pool", layer.name);
        self.pool(&pool, (&name, layer.output), pooling.window, pooling.kind)?;
        Ok(pool)
    }

    /// The neurons of a layer.
    fn neurons(&self, layer: &Layer, l: usize, fires: bool) -> NirResult<WrittenNode> {
        let (neuron, map, state) = (layer.neuron, layer.map(), &self.network.layers[l]);
        let refuse = |what: &str| Err(format!("`{}` has neurons {what}", layer.name));
        if fires && (neuron.adaptation > 0.0 || neuron.is_tensor(Constant::Adaptation)) {
            return refuse("whose threshold adapts");
        }
        if fires && neuron.refractory > 0 {
            return refuse("that rest after a spike");
        }
        let shape = match (map.height * map.width, layer.one_dimensional) {
            (1, _) => vec![map.channels],
            (_, true) => vec![map.channels, map.width],
            _ => vec![map.channels, map.height, map.width],
        };
        let pixels = map.height * map.width;
        let values = |constant: Constant| -> Vec<f64> {
            let extent = neuron.constants().find(|(c, ..)| *c == constant).map(|(_, extent, _)| extent);
            let value = |i: usize| match extent {
                Some(extent) => state.constants[&constant][extent.at(map, i / pixels, i % pixels)],
                None => neuron.get(constant),
            };
            (0..map.len()).map(|i| f64::from(value(i))).collect()
        };
        let of = |values: Vec<f64>| Value::Doubles(shape.clone(), values);
        let (leak, synaptic) = (values(Constant::Leak), values(Constant::SynapticLeak));
        let is_cuba = neuron.is_tensor(Constant::SynapticLeak) || neuron.synaptic_leak > 0.0;
        if fires && neuron.reset == MembraneReset::None {
            // Without a memory nothing has to be reset.
            return match !is_cuba && leak.iter().all(|leak| *leak == 0.0) {
                true => Ok(("Threshold", vec![("threshold", of(values(Constant::Threshold)))])),
                false => refuse("that no spike resets"),
            };
        }
        let integrates = !is_cuba && leak.iter().all(|leak| *leak == 1.0);
        if neuron.scaled_input && integrates {
            return refuse("whose current is multiplied by 0");
        }
        // Among neurons that leak, one that does not has a time constant so long that its leak is 1 in 32 bits.
        let lost = |leak: f64| (1.0 - leak).max(f64::from(f32::EPSILON) / 8.0);
        let tau = |leak: &[f64]| leak.iter().map(|leak| self.dt / lost(*leak)).collect::<Vec<f64>>();
        let whole_current = |leak: &[f64]| leak.iter().map(|leak| 1.0 / lost(*leak)).collect::<Vec<f64>>();
        let r = match (integrates, neuron.scaled_input) {
            (true, _) => vec![1.0 / self.dt; map.len()],
            (false, true) => vec![1.0; map.len()],
            (false, false) => whole_current(&leak),
        };
        let mut parameters = vec![("r", of(r))];
        if !integrates {
            parameters.push((if is_cuba { "tau_mem" } else { "tau" }, of(tau(&leak))));
            parameters.push(("v_leak", of(vec![0.0; map.len()])));
        }
        if is_cuba {
            parameters.push(("tau_syn", of(tau(&synaptic))));
            parameters.push(("w_in", of(whole_current(&synaptic))));
        }
        if fires {
            parameters.push(("v_threshold", of(values(Constant::Threshold))));
            let reset = if let MembraneReset::To(value) = neuron.reset { f64::from(value) } else { 0.0 };
            parameters.push(("v_reset", of(vec![reset; map.len()])));
        }
        let kind = match (integrates, is_cuba, fires) {
            (true, _, true) => "IF",
            (true, _, false) => "I",
            (_, true, true) => "CubaLIF",
            (_, true, false) => "CubaLI",
            (_, false, true) => "LIF",
            (_, false, false) => "LI",
        };
        Ok((kind, parameters))
    }

    fn readout(&mut self, graph: &Graph) -> NirResult<()> {
        let l = graph.readout();
        let layer = &graph.layers[l];
        let mut last = self.matrix(layer, l, graph)?;
        if graph.reading != ReadoutKind::Mean {
            let neurons = self.neurons(layer, l, graph.reading.fires())?;
            self.put(&layer.name, neurons);
            self.lead(&last, &layer.name);
            last = layer.name.clone();
        }
        self.put("output", ("Output", vec![("shape", whole(&[layer.columns()]))]));
        self.lead(&last, "output");
        Ok(())
    }

    fn bytes(&self) -> std::result::Result<Vec<u8>, hdf5_pure::Error> {
        let mut file = FileBuilder::new();
        file.create_dataset("version").with_vlen_strings(&["1.0"]).with_shape(&[]);
        let mut graph = file.create_group("node");
        let mut nodes = graph.create_group("nodes");
        for (name, (kind, parameters)) in &self.nodes {
            let mut node = nodes.create_group(name);
            node.create_dataset("type").with_vlen_strings(&[kind]).with_shape(&[]);
            for (key, value) in parameters {
                let shape = |shape: &[usize]| shape.iter().map(|size| *size as u64).collect::<Vec<u64>>();
                let set = node.create_dataset(key);
                match value {
                    Value::Floats(sizes, values) => set.with_f32_data(values).with_shape(&shape(sizes)),
                    Value::Doubles(sizes, values) => set.with_f64_data(values).with_shape(&shape(sizes)),
                    Value::Whole(sizes, values) => set.with_i64_data(values).with_shape(&shape(sizes)),
                };
            }
            nodes.add_group(node.finish());
        }
        graph.add_group(nodes.finish());
        let names: Vec<&str> = self.edges.iter().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
        graph.create_dataset("edges").with_vlen_strings(&names).with_shape(&[self.edges.len() as u64, 2]);
        graph.create_dataset("type").with_vlen_strings(&["NIRGraph"]).with_shape(&[]);
        file.add_group(graph.finish());
        file.finish()
    }
}

/// The name of the node that sends what a node of the network does: behind neurons that pool, their pool.
fn sender(graph: &Graph, n: usize) -> String {
    let node = &graph.nodes[n];
    let pools = node.population().is_some_and(|population| graph.layers[population.leader()].pool != (1, 1));
    if pools { format!("{}_pool", node.name) } else { node.name.clone() }
}

/// Weights and bias with a norm for all steps folded in; each as it is without one.
fn folded(layer: &Layer, state: &LayerWeights) -> (Vec<f32>, Option<Vec<f32>>) {
    let Some(norm) = &state.norm else { return (state.rram.clone(), state.bias.clone()) };
    let (columns, rows) = (layer.columns(), state.rram.len() / layer.columns());
    let gain = |c: usize| f64::from(norm.gamma[c]) / (f64::from(norm.var[c]) + f64::from(norm.epsilon())).sqrt();
    let weights = state.rram.iter().enumerate().map(|(i, weight)| (gain(i / rows) * f64::from(*weight)) as f32);
    let bias = (0..columns).map(|c| {
        let bias = state.bias.as_ref().map_or(0.0, |bias| f64::from(bias[c]));
        let shift = norm.shift.as_ref().map_or(0.0, |shift| f64::from(shift[c]));
        (gain(c) * (bias - f64::from(norm.mean[c])) + shift) as f32
    });
    (weights.collect(), Some(bias.collect()))
}

fn whole(values: &[usize]) -> Value {
    Value::Whole(vec![values.len()], values.iter().map(|value| *value as i64).collect())
}
