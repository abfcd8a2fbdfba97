//! Where the tensors of a state dict from elsewhere belong in a model: by a table of names, by their own names, or by
//! their order.
//!
//! Names of crosspike's own stand where all layers have theirs. What else a table does not name is placed by its order
//! in the file: the n-th matrix of a shape is that of the n-th layer of this shape. A norm, or neurons with constants,
//! are those of the matrix that shares their number (`conv2`, `bn2`, `lif2` of one module), or that stands before them
//! in a sequence (`features.3`, `features.4`), or in the file, where all layers that lack some find theirs so; else the
//! n-th is that of the n-th layer that has some. PyTorch files have the order in which a network was put together;
//! safetensors have none, and are taken by name, numbers in their order. Every tensor has a place in the end, or an
//! error lists it.

use std::collections::{BTreeMap, BTreeSet};

use super::constants::Constant;
use super::layer::{Layer, LayerKind, NormKind};
use super::model::Model;
use super::module_names::{Near, module_of, natural};
use super::name_table::{NameTable, Target, ValueRule, made};
use super::names::{self, norm_name};
use super::readout::ReadoutKind;
use super::weights::Network;
use crate::checkpoint::{Checkpoint, Tensor, Values};
use crate::error::{Error, Result};

/// A checkpoint with the names of a model, and where they came from.
///
/// # Examples
/// ```
/// # use crosspike::{Checkpoint, Tensor, Values};
/// use crosspike::{Model, Network, place_state_dict};
///
/// # let values = |shape: &[usize]| Values::F32(vec![0.1; shape.iter().product()]);
/// # let tensor = |shape: &[usize]| Tensor { shape: shape.to_vec(), values: values(shape) };
/// # let of_pytorch = Checkpoint::of_tensors([
/// #     ("features.0.weight".to_owned(), tensor(&[16, 1, 3, 3])),
/// #     ("features.3.weight".to_owned(), tensor(&[32, 16, 3, 3])),
/// #     ("classifier.1.weight".to_owned(), tensor(&[64, 128])),
/// #     ("classifier.3.weight".to_owned(), tensor(&[10, 64])),
/// # ]);
/// let model = Model::named("digits", &["norm=none".into()])?;
/// let placed = place_state_dict(&model, &of_pytorch, &Default::default())?;
/// assert_eq!(placed.names[1], ("features.3.weight".into(), "conv2.weight".into()));
/// assert_eq!(placed.module("fc1", &["weight"]), Some("classifier.1"));
/// let network = Network::load(&model, &placed.checkpoint)?.network;
/// # assert_eq!(network.layers[3].rram.len(), 640);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Debug)]
pub struct Placed {
    /// The tensors by their new names.
    pub checkpoint: Checkpoint,
    /// The former and the new name of every tensor that has a place, in the order of the file.
    pub names: Vec<(String, String)>,
    /// What the user should know of it.
    pub notices: Vec<String>,
}

impl Placed {
    /// The module whose tensors became those of a layer's matrix, norm or neurons, by the layer's or norm's new name.
    pub fn module(&self, new: &str, parts: &[&str]) -> Option<&str> {
        let is_part =
            |name: &str| parts.iter().any(|part| name.strip_prefix(new).is_some_and(|rest| rest == format!(".{part}")));
        self.names.iter().find(|(_, new)| is_part(new)).map(|(old, _)| module_of(old).0)
    }
}

/// Gives every tensor of a checkpoint its place in a model.
///
/// # Errors
/// Where a tensor finds none, a layer lacks one, or shapes differ: all of them are listed.
///
/// # Examples
/// ```
/// use crosspike::{Checkpoint, Document, Model, Tensor, Values, place_state_dict};
///
/// let text = "name = \"m\"\nsteps = 4\nclasses = 3\ninput = { channels = 2, height = 1, width = 1 }\n\
///             layers = [{ fc = 5, norm = \"none\" }]";
/// let model = Model::from_document(&Document::parse_text("m.toml".as_ref(), text.into())?)?;
/// let values = |shape: [usize; 2]| Values::F32(vec![0.1; shape[0] * shape[1]]);
/// let matrix = |shape: [usize; 2]| Tensor { shape: shape.to_vec(), values: values(shape) };
/// let state_dict = [("net.hidden.weight".into(), matrix([5, 2])), ("net.out.weight".into(), matrix([3, 5]))];
/// let placed = place_state_dict(&model, &Checkpoint::of_tensors(state_dict), &Default::default())?;
/// assert_eq!(placed.names[0], ("hidden.weight".into(), "fc1.weight".into()));
/// # Ok::<(), crosspike::Error>(())
/// ```
pub fn place(model: &Model, checkpoint: &Checkpoint, table: &NameTable) -> Result<Placed> {
    let layers = model.layers();
    let mut placing = Placing::new(&layers, model.graph().reading, checkpoint);
    placing.by_table(table)?;
    placing.by_name();
    placing.matrices();
    placing.norms();
    placing.neurons();
    placing.finish(model)
}

/// The tensors of a module of the file.
struct Module<'c> {
    name: &'c str,
    /// What stands behind its name, and the tensor.
    parts: Vec<(&'c str, &'c Tensor)>,
}

impl<'c> Module<'c> {
    fn part(&self, name: &str) -> Option<&'c Tensor> {
        self.parts.iter().find(|part| part.0 == name).map(|part| part.1)
    }

    fn is_matrix(&self) -> bool {
        self.part("weight").is_some_and(|weight| weight.shape.len() > 1)
    }

    fn is_norm(&self) -> bool {
        self.part("running_mean").is_some()
    }

    /// Whether it has constants of neurons, of snnTorch or SpikingJelly, and nothing else.
    fn is_neurons(&self) -> bool {
        !self.is_matrix()
            && !self.is_norm()
            && self.parts.iter().any(|part| part.0 == PLIF || constant(part.0).is_some())
    }
}

/// The parameter of SpikingJelly's neurons that learn their time constant.
const PLIF: &str = "w";

/// The constant of neurons that a tensor is by the last part of its name.
fn constant(part: &str) -> Option<Constant> {
    match part {
        "beta" | "leak" | "leak_mem" | "decay" => Some(Constant::Leak),
        "alpha" | "synaptic_leak" => Some(Constant::SynapticLeak),
        "threshold" | "thresh" | "v_threshold" | "v_th" | "vth" => Some(Constant::Threshold),
        _ => None,
    }
}

struct Placing<'c> {
    layers: &'c [Layer],
    file: &'c Checkpoint,
    /// The file's names in their order, or by name where it has none.
    order: Vec<&'c str>,
    has_order: bool,
    /// What the readout makes of its sums.
    reading: ReadoutKind,
    /// Plain numbers of the file that the table does not leave out.
    numbers: BTreeMap<String, f64>,
    /// New names of former ones; an empty one leaves the tensor out.
    found: BTreeMap<&'c str, String>,
    rules: BTreeMap<&'c str, ValueRule>,
    notices: Vec<String>,
}

impl<'c> Placing<'c> {
    fn new(layers: &'c [Layer], reading: ReadoutKind, file: &'c Checkpoint) -> Self {
        let mut order: Vec<&str> =
            file.order.iter().map(String::as_str).filter(|name| file.tensors.contains_key(*name)).collect();
        let mut notices = Vec::new();
        let has_order = order.len() == file.tensors.len();
        if !has_order {
            order = file.tensors.keys().map(String::as_str).collect();
            order.sort_by(|a, b| natural(a, b));
            notices.push(
                "the file has no order of its own: what has the same shape is placed in the order of names; --verify \
                 shows whether it is the network's"
                    .into(),
            );
        }
        Placing {
            layers,
            file,
            order,
            has_order,
            reading,
            numbers: file.numbers.clone(),
            found: BTreeMap::new(),
            rules: BTreeMap::new(),
            notices,
        }
    }

    /// Places what the table names; an error where it names what is not there.
    fn by_table(&mut self, table: &NameTable) -> Result<()> {
        let mut unused: BTreeSet<&str> = table.keys().map(String::as_str).collect();
        for name in &self.order {
            let (module, part) = module_of(name);
            let (target, rest) = match (table.get(*name), table.get(module)) {
                (Some(target), _) => (target, ""),
                (None, Some(target)) => (target, part),
                (None, None) => continue,
            };
            unused.remove(if rest.is_empty() { *name } else { module });
            let (to, rule) = match target {
                Target::Name(to) => (to, None),
                Target::Made { to, rule } => (to, Some(*rule)),
            };
            let new = if rest.is_empty() || to.is_empty() { to.clone() } else { format!("{to}.{rest}") };
            self.found.insert(name, new);
            self.rules.extend(rule.map(|rule| (*name, rule)));
        }
        // A plain number that the table leaves out is left out.
        self.numbers.retain(|name, _| match table.get(name) {
            Some(Target::Name(to)) if to.is_empty() => {
                unused.remove(name.as_str());
                false
            }
            _ => true,
        });
        match unused.is_empty() {
            true => Ok(()),
            false => {
                let unused: Vec<String> = unused.into_iter().map(|name| format!("`{name}`")).collect();
                let all =
                    self.modules_of_file().into_iter().map(|(module, _)| module).filter(|module| !module.is_empty());
                let all: Vec<&str> = all.collect();
                Err(Error::Mismatch(format!(
                    "the table names {}, which the checkpoint has not; its modules are {}",
                    unused.join(", "),
                    all.join(", ")
                )))
            }
        }
    }

    /// Leaves what has a name of the model where it is, where every layer has its own: some of them alone may be of
    /// other layers.
    fn by_name(&mut self) {
        let has = |name: String, shape: &[usize]| {
            self.found.values().any(|new| *new == name)
                || self.file.tensors.get(&name).is_some_and(|tensor| tensor.shape == shape)
        };
        let matrices = self.layers.iter().all(|layer| has(format!("{}.weight", layer.name), &layer.weight_shape()));
        let mut norms = self.layers.iter().filter(|layer| layer.norm == NormKind::Batch);
        let norms = norms.all(|layer| has(format!("{}.running_mean", norm_name(layer)), &[layer.columns()]));
        for name in &self.order {
            let is_norm = self.layers.iter().any(|layer| {
                let of_norm = name.strip_prefix(&norm_name(layer)).is_some_and(|rest| rest.starts_with('.'));
                layer.norm == NormKind::Batch && of_norm
            });
            let stands = if is_norm { norms } else { matrices };
            if stands && !self.found.contains_key(name) && names::is_used(self.layers, name, self.file) {
                self.found.insert(name, (*name).to_owned());
            }
        }
    }

    /// The modules whose tensors have no place yet, in the file's order.
    fn modules(&self) -> Vec<Module<'c>> {
        let mut modules: Vec<Module> = Vec::new();
        let mut at = BTreeMap::new();
        for &name in self.order.iter().filter(|name| !self.found.contains_key(*name)) {
            let (module, part) = module_of(name);
            let index = *at.entry(module).or_insert_with(|| {
                modules.push(Module { name: module, parts: vec![] });
                modules.len() - 1
            });
            modules[index].parts.push((part, &self.file.tensors[name]));
        }
        modules
    }

    fn is_missing(&self, name: &str) -> bool {
        !self.found.values().any(|new| new == name)
    }

    /// Pairs modules with layers of the same size, the n-th with the n-th, where there are as many of each.
    fn pair<S: Ord>(&self, modules: Vec<(S, Module<'c>)>, layers: Vec<(S, &'c Layer)>) -> Vec<(Module<'c>, &'c Layer)> {
        let mut sizes: BTreeMap<S, (Vec<Module>, Vec<&Layer>)> = BTreeMap::new();
        layers.into_iter().for_each(|(size, layer)| sizes.entry(size).or_default().1.push(layer));
        modules.into_iter().for_each(|(size, module)| sizes.entry(size).or_default().0.push(module));
        let alike = sizes.into_values().filter(|(modules, layers)| modules.len() == layers.len());
        alike.flat_map(|(modules, layers)| modules.into_iter().zip(layers)).collect()
    }

    fn matrices(&mut self) {
        let of_file = self.modules().into_iter().filter(Module::is_matrix);
        let of_file =
            of_file.map(|module| (module.part("weight").map_or(vec![], |weight| weight.shape.clone()), module));
        let lacking = self.layers.iter().filter(|layer| self.is_missing(&format!("{}.weight", layer.name)));
        let pairs = self.pair(of_file.collect(), lacking.map(|layer| (layer.weight_shape(), layer)).collect());
        let mut alike: BTreeMap<Vec<usize>, Vec<&str>> = BTreeMap::new();
        pairs.iter().for_each(|(_, layer)| alike.entry(layer.weight_shape()).or_default().push(&layer.name));
        let alike: Vec<String> =
            alike.into_values().filter(|names| names.len() > 1).map(|names| names.join(", ")).collect();
        if !alike.is_empty() {
            self.notices.push(format!(
                "layers of one shape have their matrices by the file's order alone: {}; --verify shows whether it is \
                 the model's",
                alike.join("; ")
            ));
        }
        for (Module { name, parts }, layer) in pairs {
            self.rename(
                name,
                &layer.name,
                parts.iter().map(|part| part.0).filter(|part| ["weight", "bias"].contains(part)),
            );
        }
    }

    fn norms(&mut self) {
        let columns = |module: &Module| module.part("running_mean").map_or(0, |mean| mean.values.len());
        let lacking: Vec<&Layer> = self.layers.iter().filter(|layer| layer.norm == NormKind::Batch).collect();
        let lacking =
            lacking.into_iter().filter(|layer| self.is_missing(&format!("{}.running_mean", norm_name(layer))));
        let lacking: Vec<&Layer> = lacking.collect();
        let of_file: Vec<Module> = self.modules().into_iter().filter(Module::is_norm).collect();
        let mut pairs = self.beside(of_file, &lacking, |module, layer| columns(module) == layer.columns());
        let left = |layer: &&&Layer| pairs.0.iter().all(|(_, paired)| paired.name != layer.name);
        let left = lacking.iter().filter(left).map(|layer| (layer.columns(), *layer)).collect();
        let by_order = self.pair(pairs.1.into_iter().map(|module| (columns(&module), module)).collect(), left);
        pairs.0.extend(by_order);
        for (Module { name, parts }, layer) in pairs.0 {
            self.rename(name, &norm_name(layer), parts.iter().map(|part| part.0));
        }
    }

    fn neurons(&mut self) {
        let of_file: Vec<Module> = self.modules().into_iter().filter(Module::is_neurons).collect();
        let all: Vec<&Layer> = self.layers.iter().filter(|layer| self.has_neurons(layer)).collect();
        // Where not all have modules of their own, those have them whose constants are not the model's.
        let given: Vec<&Layer> = all.iter().copied().filter(|layer| layer.constants().next().is_some()).collect();
        let chosen = if of_file.len() == all.len() { all } else { given };
        let (mut pairs, rest) = self.beside(of_file, &chosen, |_, _| true);
        if pairs.is_empty() {
            let left = chosen.into_iter().map(|layer| ((), layer)).collect();
            pairs = self.pair(rest.into_iter().map(|module| ((), module)).collect(), left);
        }
        for (Module { name, parts }, layer) in pairs {
            let given: Vec<Constant> = layer.constants().map(|(constant, ..)| constant).collect();
            let is_parametric = parts.iter().any(|part| part.0 == PLIF) && parts.len() == 1;
            for (part, _) in parts {
                let old = self.name(name, part);
                let new = match constant(part) {
                    _ if is_parametric => {
                        self.rules.insert(old, ValueRule::Plif);
                        format!("{}.leak", layer.name)
                    }
                    // What the model has itself keeps its part's name: it is compared with the model's.
                    Some(constant) if given.contains(&constant) => format!("{}.{}", layer.name, constant.name()),
                    _ => format!("{}.{part}", layer.name),
                };
                self.found.insert(old, new);
            }
        }
    }

    /// Whether a layer has neurons with constants: a readout may have some too.
    fn has_neurons(&self, layer: &Layer) -> bool {
        layer.leads || layer.kind == LayerKind::Readout && self.reading != ReadoutKind::Mean
    }

    /// Pairs modules with the layers whose matrices they stand beside, where each of the layers finds one of its own;
    /// gives the other modules, too. Where one does not, none are paired: its neighbours' may be meant.
    fn beside(
        &self,
        modules: Vec<Module<'c>>,
        layers: &[&'c Layer],
        fits: impl Fn(&Module, &Layer) -> bool,
    ) -> (Vec<(Module<'c>, &'c Layer)>, Vec<Module<'c>>) {
        let all = self.modules_of_file();
        let near = [Near::Number, Near::Sequence, Near::File];
        let near = if self.has_order { &near[..] } else { &near[..2] };
        let mut chosen: Vec<usize> = Vec::new();
        for layer in layers {
            let weight = format!("{}.weight", layer.name);
            let matrix = self.found.iter().find(|(_, new)| **new == weight).map(|(old, _)| module_of(old).0);
            let Some(matrix) = matrix else { return (vec![], modules) };
            let only = |near: &Near| {
                let is_near = |module: &Module| fits(module, layer) && near.holds(matrix, module.name, &all);
                let mut found = (0..modules.len()).filter(|at| is_near(&modules[*at]));
                found.next().filter(|_| found.next().is_none())
            };
            match near.iter().find_map(only).filter(|at| !chosen.contains(at)) {
                Some(at) => chosen.push(at),
                None => return (vec![], modules),
            }
        }
        let mut places: Vec<Option<Module>> = modules.into_iter().map(Some).collect();
        let pairs = chosen.iter().zip(layers).filter_map(|(at, layer)| Some((places[*at].take()?, *layer))).collect();
        (pairs, places.into_iter().flatten().collect())
    }

    /// All modules of the file in its order, and whether each has a matrix.
    fn modules_of_file(&self) -> Vec<(&'c str, bool)> {
        let mut modules: Vec<(&str, bool)> = Vec::new();
        for name in &self.order {
            let (module, part) = module_of(name);
            let is_matrix = part == "weight" && self.file.tensors[*name].shape.len() > 1;
            match modules.iter_mut().find(|(other, _)| *other == module) {
                Some(known) => known.1 |= is_matrix,
                None => modules.push((module, is_matrix)),
            }
        }
        modules
    }

    /// Renames some tensors of a module.
    fn rename(&mut self, module: &str, to: &str, parts: impl Iterator<Item = &'c str>) {
        for part in parts {
            let old = self.name(module, part);
            self.found.insert(old, format!("{to}.{part}"));
        }
    }

    /// The file's own name of a module's tensor.
    fn name(&self, module: &str, part: &str) -> &'c str {
        let is_it = |name: &&&str| module_of(name) == (module, part);
        self.order.iter().find(is_it).expect("a tensor of the file")
    }

    /// The renamed checkpoint; an error that lists what has no place, what is missing and what has another shape.
    fn finish(self, model: &Model) -> Result<Placed> {
        let Placing { layers, file, order, found, rules, numbers, notices, .. } = self;
        let mut wrong: Vec<String> = vec![];
        let mut checkpoint = Checkpoint { unread: file.unread.clone(), numbers, ..Checkpoint::default() };
        let mut pairs = vec![];
        let shown = |shape: &[usize]| format!("{shape:?}");
        for name in order {
            let tensor = &file.tensors[name];
            let Some(new) = found.get(name) else {
                checkpoint.tensors.insert(name.to_owned(), tensor.clone());
                continue;
            };
            if new.is_empty() {
                continue;
            }
            let tensor = fitting(layers, new, made(tensor, rules.get(name).copied()));
            if checkpoint.tensors.insert(new.clone(), tensor).is_some() {
                wrong.push(format!("`{name}` and another tensor both go to `{new}`"));
            }
            pairs.push((name.to_owned(), new.clone()));
        }
        let expected = Network::xavier(model, 0).to_checkpoint(model, serde_json::Value::Null);
        for (name, there) in &expected.tensors {
            let is_counter = name.ends_with(".num_batches_tracked");
            match checkpoint.tensors.get(name) {
                None if is_counter => drop(checkpoint.tensors.insert(name.clone(), there.clone())),
                None => wrong.push(format!("`{name}` {} of the model has no tensor", shown(&there.shape))),
                Some(tensor) if tensor.shape != there.shape => {
                    let old = pairs.iter().find(|(_, new)| new == name).map_or(name, |(old, _)| old);
                    wrong.push(format!(
                        "`{old}` has the shape {}; `{name}` takes {}",
                        shown(&tensor.shape),
                        shown(&there.shape)
                    ));
                }
                Some(_) => {}
            }
        }
        let shape = |name: &str| {
            checkpoint.tensors.get(name).map_or(String::new(), |tensor| format!(" {}", shown(&tensor.shape)))
        };
        let former =
            |name: &str| pairs.iter().find(|(_, new)| new == name).map_or(name.to_owned(), |(old, _)| old.clone());
        let unknown = names::unknown(model, &checkpoint);
        let of_unknown = |(name, what): (String, String)| {
            let (old, is_named) = (former(&name), pairs.iter().any(|(old, new)| *new == name && *old != name));
            let to = if is_named { format!(" goes to `{name}` by the table, which") } else { String::new() };
            format!("`{old}`{}{what}{to} has no place", shape(&name))
        };
        wrong.extend(unknown.into_iter().map(of_unknown));
        if !wrong.is_empty() {
            wrong = by_step(wrong);
            return Err(Error::Mismatch(format!(
                "tensors and the model `{}` do not fit:\n  {}\nA line \"NAME\" = \"\" of --map leaves a tensor out, \
                 and \"NAME\" = \"LAYER.weight\" says where one belongs; the layers are {}",
                model.name,
                wrong.join("\n  "),
                names_of(layers)
            )));
        }
        Ok(Placed { checkpoint, names: pairs, notices })
    }
}

/// The names of layers, one after the other.
fn names_of(layers: &[Layer]) -> String {
    let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    names.join(", ")
}

/// Lines in their order, those of a norm's steps, which differ in one number, as one.
fn by_step(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by(|a, b| natural(a, b));
    let split = |line: &str| {
        let (before, number) = line.split_once('.')?;
        let (number, behind) = number.split_once('.')?;
        let number: usize = number.parse().ok()?;
        Some((before.to_owned(), number, behind.to_owned()))
    };
    let mut groups: Vec<(String, String, Vec<usize>)> = Vec::new();
    for line in lines {
        let Some((before, number, behind)) = split(&line) else {
            groups.push((line, String::new(), vec![]));
            continue;
        };
        match groups.iter_mut().find(|(b, e, numbers)| *b == before && *e == behind && !numbers.is_empty()) {
            Some((.., numbers)) => numbers.push(number),
            None => groups.push((before, behind, vec![number])),
        }
    }
    let join = |(before, behind, numbers): (String, String, Vec<usize>)| match &numbers[..] {
        [] => before,
        [one] => format!("{before}.{one}.{behind}"),
        [first, .., last] if last - first + 1 == numbers.len() => format!("{before}.{first}…{last}.{behind}"),
        _ => {
            let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
            format!("{before}.{}.{behind}", numbers.join(","))
        }
    };
    groups.into_iter().map(join).collect()
}

/// A constant of neurons in the shape that a checkpoint has it in: one number has the shape `[1]`, and one of a layer
/// stands for each of its channels.
fn fitting(layers: &[Layer], name: &str, tensor: Tensor) -> Tensor {
    let of_layer = |layer: &Layer| {
        let mut constants = layer
            .constants()
            .map(|(constant, extent, _)| (format!("{}.{}", layer.name, constant.name()), extent, layer.map()));
        constants.find(|(constant, ..)| constant == name)
    };
    let Some((_, extent, map)) = layers.iter().find_map(of_layer) else { return tensor };
    let shape = extent.shape(map);
    let count = shape.iter().product::<usize>();
    // PyTorch broadcasts constants over a map: a channel's has the shape [C, 1, 1].
    let told: Vec<usize> = tensor.shape.iter().copied().skip_while(|extent| *extent == 1).collect();
    let of_channels = map.height * map.width > 1 && shape.len() == 1 && count > 1;
    let fits = match of_channels {
        true => told == [count, 1, 1] || told == [count] && tensor.shape.len() == 1 && count != map.width,
        false => told == shape || count == 1,
    };
    match tensor.values {
        Values::F32(values) if values.len() == count && fits => Tensor { shape, values: Values::F32(values) },
        Values::F32(values) if values.len() == 1 => Tensor { shape, values: Values::F32(vec![values[0]; count]) },
        _ => tensor,
    }
}
