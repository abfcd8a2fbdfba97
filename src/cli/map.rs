//! `crosspike map`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::said::Said;
use crate::config::Overrides;
use crate::crossbar::mapping::LayerMap;
use crate::error::Result;
use crate::network::graph::{Node, Population, Work};
use crate::network::{Encoding, Graph, Layer, Model};
use crate::numeric::Shape;
use crate::output::origin;
use crate::plan::ChipPlan;
use crate::profile::Profile;
use crate::system::area::{area, around};
use crate::system::tile::tile_efficiency;
use crate::system::{Architecture, LayerSchedule};

/// Show how a model stands on tiles: tiles a layer, splits, utilisation, cells, converters, area, copies and the time
/// of a step, and what the end of a word line loses of its voltage when all of its cells conduct most.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  crosspike map --model models/vgg9.toml --profile hw_profiles/rram_4bit.toml --set \
                  tile.rows=256"
)]
pub struct Args {
    /// The model file.
    #[arg(long)]
    model: PathBuf,
    /// The hardware profile.
    #[arg(long)]
    profile: PathBuf,
    /// Override a key of the profile (tile.rows=64) or the model (model.steps=8); KEY= takes a key away.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Said> {
    let overrides = Overrides::sort(&args.set, &[])?;
    let model = Model::read(&args.model, &overrides.model)?;
    let profile = Profile::read(&args.profile, &overrides.profile)?;
    let plan = ChipPlan::new(&profile, &model, Encoding::Poisson)?;
    let architecture = Architecture::of(&plan);
    let (layers, schedule) = (architecture.maps(), architecture.schedule());
    let tiles = architecture.tiles();
    let weights: usize = layers.iter().map(|l| l.rows * l.columns / l.groups).sum();
    let areas: Vec<_> = plan.sites().zip(layers).map(|(site, map)| area(&plan.profile, site, map)).collect();
    let area_by_layer: BTreeMap<&str, _> = layers.iter().map(|layer| layer.layer.as_str()).zip(&areas).collect();
    let origin = origin("map", json!({ "model": model, "profile": profile }));
    let nodes: BTreeMap<&str, Value> = plan.graph.nodes[1..]
        .iter()
        .map(|node| {
            let Shape { channels, height, width } = node.map;
            (&*node.name, json!({ "sends": [channels, height, width], "takes": taken(&plan.graph, node) }))
        })
        .collect();
    let by_layer = |values: &mut dyn Iterator<Item = Value>| -> BTreeMap<&str, Value> {
        layers.iter().map(|layer| layer.layer.as_str()).zip(values).collect()
    };
    let timed = schedule.step_ns.iter().any(|ns| *ns > 0.0);
    let step_ns = timed.then(|| by_layer(&mut schedule.step_ns.iter().map(|ns| json!(ns))));
    let area_mm2 = architecture.areas().total_mm2();
    let loaded = layers[schedule.loaded.clone()].iter().filter(|layer| layer.tiles > 0);
    let loaded: Vec<&String> = loaded.map(|layer| &layer.layer).collect();
    let said = json!({
        "copies": by_layer(&mut schedule.copies.iter().map(|copies| json!(copies))),
        "step_ns": step_ns,
        "area_mm2": area_mm2,
        "around_um2": around(&plan.profile, architecture.tiles()),
        "loaded": loaded,
        "layers": layers,
        "nodes": nodes,
        "tiles": tiles,
        "ensemble": profile.system.ensemble,
        "weights": weights,
        "area_um2": area_by_layer,
        "tile_tops_per_w": tile_efficiency(&plan.profile),
        "units": units(),
        "origin": origin,
    });
    let tile = profile.tile;
    let mut text = format!("{} on tiles of {} word lines x {} bit lines\n\n", model.name, tile.rows, tile.cols);
    text += "layer      place     rows  columns  lines   splits    tiles     used     cells   ADCs SRAM bytes    mm²   \
             drop copies    step\n";
    let lines = layers.iter().zip(&areas).enumerate();
    text += &lines.map(|(i, (layer, area))| line(layer, area) + &timing(layer, schedule, i)).collect::<String>();
    let adcs: usize = (0..layers.len()).map(|layer| schedule.copies[layer] * architecture.standing(layer).adcs).sum();
    let copied = schedule.copies.iter().any(|copies| *copies > 1);
    let all = if copied { " with all copies" } else { "" };
    text += &format!("\n{tiles} tiles, {weights} weights, {adcs} converters{all}");
    if let Some(mm2) = area_mm2 {
        text += &format!(", {mm2:.3} mm² (ADC model: {})", plan.profile.cost.adc_model(profile.adc.bits));
    }
    let ensemble = profile.system.ensemble;
    if ensemble > 1 {
        text += &format!("; {ensemble} such chips answer together");
    }
    if let Some(efficiency) = tile_efficiency(&plan.profile) {
        text += &format!(
            "\na full tile: {efficiency:.1} TOPS/W at activity 1 and 1-bit inputs (NeuRRAM, measured: 43.08 with 3-bit \
             outputs, 40.33 with 2-bit inputs and 4-bit outputs)"
        );
    }
    if layers.iter().any(|layer| layer.worst_drop.is_some()) {
        text += "\ndrop: what the end of a word line loses of its voltage when all of its cells conduct most";
    }
    if plan.graph.nodes.iter().any(is_joined) {
        text += "\n\nnode       sends          takes\n";
        text += &plan.graph.nodes[1..].iter().map(|node| takes(&plan.graph, node)).collect::<String>();
    }
    Ok(Said::new(text.trim_end().to_owned(), said))
}

/// The units of what the command says as JSON.
fn units() -> Value {
    json!({
        "layers.rows, columns, weights": "of the matrix",
        "nodes.sends": "channels, rows and columns of the map",
        "layers.lines_per_column, unit_lines": "bit lines",
        "layers.utilisation": "share of the tiles' cells, from 0 to 1",
        "layers.worst_drop": "share of a word line's voltage, from 0 to 1",
        "layers.sram_bytes": "bytes",
        "area_um2": "square micrometres of one copy",
        "around_um2": "square micrometres of what stands around the tiles, by component",
        "area_mm2": "square millimetres of the chip, all copies",
        "copies": "times that each layer stands on the chip; 0: on another one's tiles, when its turn comes",
        "tiles": "of the chip, all copies",
        "ensemble": "such chips that answer together; what is said here is of one",
        "loaded": "layers whose weights come from outside for each image",
        "step_ns": "nanoseconds of a step of each layer, its traffic aside",
        "tile_tops_per_w": "tera-operations a second and watt of a full tile, at activity 1 and 1-bit inputs",
    })
}

/// Whether more than one other leads to a node, or one that is not told by its place among the layers.
fn is_joined(node: &Node) -> bool {
    match &node.work {
        Work::Population(population) => population.additions() > 0,
        Work::Concat(_) | Work::Delay { .. } => true,
        Work::Input | Work::Pool { .. } => false,
    }
}

/// A line with the map that a node sends and all that it takes.
fn takes(graph: &Graph, node: &Node) -> String {
    let Shape { channels, height, width } = node.map;
    format!("{:<10} {:<14} {}\n", node.name, format!("{channels}x{height}x{width}"), taken(graph, node).join(" + "))
}

/// All that a node takes.
fn taken(graph: &Graph, node: &Node) -> Vec<String> {
    let name = |n: &usize| graph.nodes[*n].name.clone();
    let matrix = |l: &usize| {
        let Layer { name, from, delayed, .. } = &graph.layers[*l];
        let late = if *delayed { ", a step late" } else { "" };
        let by = if *name == node.name { String::new() } else { format!(" by {name}") };
        format!("{}{by}{late}", graph.nodes[*from].name)
    };
    match &node.work {
        Work::Input => vec![],
        Work::Pool { from, .. } => vec![name(from)],
        Work::Delay { from, steps } => vec![format!("{}, {steps} steps late", name(from))],
        Work::Concat(nodes) => nodes.iter().map(name).collect(),
        Work::Population(Population { layers, skips, currents, behind, .. }) => {
            let pulses = skips.iter().map(|n| format!("pulses of {}", name(n)));
            let currents = currents.iter().map(|n| format!("the current of {}", name(n)));
            let behind = behind.iter().map(|n| format!("to its own pulses, those of {}", name(n)));
            layers.iter().map(matrix).chain(pulses).chain(currents).chain(behind).collect()
        }
    }
}

/// The end of a layer's line: its copies, and the time of a step.
fn timing(layer: &LayerMap, schedule: &LayerSchedule, i: usize) -> String {
    let (copies, ns) = (schedule.copies[i], schedule.step_ns[i]);
    let is_loaded = schedule.loaded.contains(&i);
    let step = match ns {
        0.0 => "–".into(),
        short if short < 1e3 => format!("{short:.0} ns"),
        middle if middle < 1e6 => format!("{:.1} µs", middle * 1e-3),
        long => format!("{:.2} ms", long * 1e-6),
    };
    let copies = match layer.tiles {
        0 => "–".into(),
        _ if is_loaded => "loaded".into(),
        _ => copies.to_string(),
    };
    format!(" {copies:>6} {step:>8}\n")
}

fn line(layer: &LayerMap, area: &BTreeMap<&str, f64>) -> String {
    let place = serde_json::to_value(layer.place).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
    let on_tiles = |text: String| if layer.tiles == 0 { "–".into() } else { text };
    let splits = on_tiles(format!("{}x{}", layer.row_splits, layer.column_splits));
    let lines = on_tiles((layer.columns * layer.lines_per_column).to_string());
    let used = layer.utilisation.map_or("–".into(), |u| format!("{:.1} %", 100.0 * u));
    let total: f64 = area.values().sum();
    let area = if total > 0.0 { format!("{:.3}", total * 1e-6) } else { "–".into() };
    let drop = layer.worst_drop.map_or("–".into(), |drop| format!("{:.1} %", 100.0 * drop));
    format!(
        "{:<10} {place:<8} {:>5} {:>8} {lines:>6}   {splits:<8} {:>6} {used:>8} {:>9} {:>6} {:>10} {area:>6} {drop:>6}",
        layer.layer, layer.rows, layer.columns, layer.tiles, layer.cells, layer.adcs, layer.sram_bytes
    )
}
