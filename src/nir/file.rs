//! A NIR file as it stands in HDF5: `/node` is a graph, with its nodes in a group each and the names of its edges,
//! `[edges, 2]`; a node's group has its `type` and a data set for each parameter. Graphs may be nodes of graphs.

use std::collections::BTreeMap;
use std::path::Path;

use hdf5_pure::{DType, Dataset, File, Group};

use crate::error::{Error, Result};
use crate::hdf5;

/// Numbers of a file, at most: 2 GiB as they are read, also of a small file that declares more than it holds.
const MOST_NUMBERS: u64 = 1 << 28;
/// Nodes of a file, at most.
const MOST_NODES: usize = 100_000;
/// Graphs within graphs, at most.
const DEEPEST: usize = 16;

/// A parameter of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// Numbers in C order.
    Numbers {
        /// Their shape; empty of a single one.
        shape: Vec<usize>,
        /// The numbers.
        values: Vec<f64>,
    },
    /// A text.
    Text(String),
}

/// A node as the file has it.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// The kind, such as `Conv2d`.
    pub kind: String,
    /// Its parameters by name.
    pub parameters: BTreeMap<String, Parameter>,
}

/// A graph as the file has it, graphs within it spread into it: their nodes are named `graph.node`.
#[derive(Clone, Debug, Default)]
pub struct RawGraph {
    /// The nodes by name.
    pub nodes: BTreeMap<String, Raw>,
    /// The edges, each from one node to another, in the order of the file.
    pub edges: Vec<(String, String)>,
}

/// Reads a file.
///
/// # Errors
/// Where it is no NIR file, is damaged, or has more than a network could.
pub fn read(path: &Path) -> Result<RawGraph> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let mut left = Left { numbers: MOST_NUMBERS, length: bytes.len() as u64 };
    hdf5::guarded(path, || {
        let opened = File::from_bytes(bytes).map_err(|e| format!("no HDF5 file: {e}"))?;
        let root = opened.root();
        let node = root.group("node").map_err(|_| "no NIR file: it has no group `node`".to_owned())?;
        let mut graph = RawGraph::default();
        add_graph(&node, ("", 0), &mut graph, &mut left)?;
        Ok(graph)
    })
}

/// What may still be read of a file.
struct Left {
    numbers: u64,
    /// Bytes of the file.
    length: u64,
}

/// Whether a file begins as HDF5 files do.
pub fn is_hdf5(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 8];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"\x89HDF\r\n\x1a\n"
}

/// Adds the graph of a group, whose nodes' names begin with `prefix`; so many numbers may still be read.
fn add_graph(
    group: &Group,
    (prefix, depth): (&str, usize),
    graph: &mut RawGraph,
    left: &mut Left,
) -> std::result::Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("graphs within graphs more than {DEEPEST} deep"));
    }
    let nodes = group.group("nodes").map_err(|_| format!("`{prefix}nodes`: expected a group of nodes"))?;
    for name in sorted(nodes.groups().map_err(|e| format!("`{prefix}nodes`: {e}"))?) {
        let node = nodes.group(&name).map_err(|e| format!("`{prefix}{name}`: {e}"))?;
        let whole = format!("{prefix}{name}");
        let raw = read_node(&node, left).map_err(|e| format!("`{whole}`{e}"))?;
        if raw.kind == "NIRGraph" {
            add_graph(&node, (&format!("{whole}."), depth + 1), graph, left)?;
        }
        if graph.nodes.insert(whole.clone(), raw).is_some() {
            return Err(format!("`{whole}` is the name of two nodes, one of them in a graph within the graph"));
        }
        if graph.nodes.len() > MOST_NODES {
            return Err(format!("more than {MOST_NODES} nodes"));
        }
    }
    let edges = group.dataset("edges").map_err(|_| format!("`{prefix}edges`: expected pairs of names"))?;
    check_size(&edges, left).map_err(|e| format!("`{prefix}edges`{e}"))?;
    let shape = edges.shape().map_err(|e| format!("`{prefix}edges`: {e}"))?;
    if shape.contains(&0) {
        return Ok(());
    }
    let names = edges.read_string().map_err(|e| format!("`{prefix}edges`: {e}"))?;
    if names.len() % 2 != 0 {
        return Err(format!("`{prefix}edges` has {} names, expected pairs", names.len()));
    }
    let whole = |name: &String| format!("{prefix}{name}");
    graph.edges.extend(names.as_chunks::<2>().0.iter().map(|[from, to]| (whole(from), whole(to))));
    Ok(())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn read_node(node: &Group, left: &mut Left) -> std::result::Result<Raw, String> {
    let mut raw = Raw::default();
    for name in node.datasets().map_err(|e| format!(": {e}"))? {
        let set = node.dataset(&name).map_err(|e| format!(".{name}: {e}"))?;
        check_size(&set, left).map_err(|e| format!(".{name}{e}"))?;
        let parameter = read_parameter(&set).map_err(|e| format!(".{name}: {e}"))?;
        match (name.as_str(), parameter) {
            ("type", Some(Parameter::Text(kind))) => raw.kind = kind,
            ("edges", _) => {}
            (_, Some(parameter)) => _ = raw.parameters.insert(name, parameter),
            (_, None) => {}
        }
    }
    // Metadata say nothing of what a node does.
    Ok(raw)
}

fn check_size(set: &Dataset, left: &mut Left) -> std::result::Result<(), String> {
    hdf5::check_extent(set, left.length).map_err(|e| format!(": {e}"))?;
    let shape = set.shape().map_err(|e| format!(": {e}"))?;
    // Text takes as many bytes as it has places.
    let size = set.element_size().map_err(|e| format!(": {e}"))?.div_ceil(8);
    let count = shape.iter().try_fold(size, |count, size| count.checked_mul(*size));
    match count.and_then(|count| left.numbers.checked_sub(count)) {
        Some(rest) => {
            left.numbers = rest;
            Ok(())
        }
        None => Err(format!(" of {shape:?} numbers, expected at most {MOST_NUMBERS} in a file")),
    }
}

/// The numbers or the text of a data set; nothing of a list of texts.
fn read_parameter(set: &Dataset) -> std::result::Result<Option<Parameter>, String> {
    let said = |e: hdf5_pure::Error| e.to_string();
    let dtype = set.dtype().map_err(said)?;
    if matches!(dtype, DType::VariableLengthString | DType::String) {
        let mut texts = set.read_string().map_err(said)?;
        return Ok((texts.len() == 1).then(|| Parameter::Text(texts.remove(0))));
    }
    let shape = set.shape().map_err(said)?.iter().map(|size| *size as usize).collect();
    let values = set.read_f64().map_err(said)?;
    Ok(Some(Parameter::Numbers { shape, values }))
}
