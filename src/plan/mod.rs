//! Profile and model resolved, layer by layer: what stands where, on which cells, tiles and converters, beside which
//! companion array, and what drives it. Programming, engines, training, maps and costs read this plan, and look nothing
//! up by name.

use std::ops::Deref;
use std::sync::Arc;

use crate::crossbar::budget::share_out;
use crate::crossbar::calibration::Calibration;
use crate::crossbar::mapping::{LayerMap, map, off_chip};
use crate::crossbar::site::{Place, Site};
use crate::error::{Error, Result};
use crate::network::constants::{Constant, Constants};
use crate::network::graph::Population;
use crate::network::readout::ReadoutKind;
use crate::network::varied::Varied;
use crate::network::{Graph, Input, InputCode, Layer, LayerKind, Lif, Model};
use crate::numeric::Shape;
use crate::profile::{CellMapping, Interconnect, Layers, NeuronFormat, Profile};

/// A network on a chip's hardware.
#[derive(Clone, Debug)]
pub struct ChipPlan {
    /// The layers in order; the last is the readout.
    pub layers: Vec<Arc<LayerPlan>>,
    /// How they lead to one another.
    pub graph: Arc<Graph>,
    /// The hardware in force.
    pub profile: Profile,
    /// The network's shape.
    pub model: Model,
    /// The code of the first layer's inputs.
    pub code: InputCode,
}

/// One layer on a chip's hardware. It is the network's layer, with what else is known of it here.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPlan {
    /// The network's layer, as it runs: groups are spread over a matrix of all channels.
    pub layer: Layer,
    /// Where its matrix stands, and on what.
    pub site: Site,
    /// The neurons' constants and arithmetic.
    pub lif: Lif,
    /// The kind of its inputs.
    pub source: Input,
    /// The value of one integer of the input.
    pub input_unit: f32,
    /// Whether it leads neurons that fire, or is a readout whose neurons do.
    pub fires: bool,
}

impl Deref for LayerPlan {
    type Target = Layer;

    fn deref(&self) -> &Layer {
        &self.layer
    }
}

/// The error with the layer that it is about.
fn of_layer(error: Error, layer: &Layer) -> Error {
    match error {
        Error::Mismatch(message) => Error::Mismatch(format!("`{}`: {message}", layer.name)),
        other => other,
    }
}

/// Whether a profile puts this layer on RRAM.
pub fn place(profile: &Profile, layer: &Layer) -> Place {
    match profile.rram_of(&layer.name).layers {
        Layers::All => Place::Rram,
        Layers::Conv if layer.kind == LayerKind::Conv => Place::Rram,
        Layers::Conv | Layers::None => Place::Digital,
    }
}

/// An error that names the layer whose neurons a profile's arithmetic does not hold.
pub fn check_neurons(profile: &Profile, graph: &Graph) -> Result<()> {
    let fires = |layer: &&Layer| layer.leads || layer.kind == LayerKind::Readout && graph.reading.fires();
    // A threshold that a checkpoint holds is checked with it.
    let check = |layer: &Layer| match layer.neuron.is_tensor(Constant::Threshold) {
        true => Ok(()),
        false => Lif::check_threshold(layer.neuron, &profile.neuron),
    };
    graph.layers.iter().filter(fires).try_for_each(|layer| {
        let checked = check(layer).and_then(|()| Lif::check_reset(layer.neuron, &profile.neuron));
        checked.map_err(|error| of_layer(error, layer))
    })
}

/// An error where a profile does to a network's layers what is not modelled.
pub fn check_modelled(profile: &Profile, graph: &Graph) -> Result<()> {
    check_groups(profile, &graph.layers)?;
    check_neurons(profile, graph)
}

/// An error where a chip of `system.tiles` has no room for the largest layer, or layers take turns in a way that is not
/// modelled.
fn check_room(profile: &Profile, graph: &Graph, layers: &[Arc<LayerPlan>]) -> Result<()> {
    let system = &profile.system;
    let needed: Vec<usize> = layers.iter().map(|layer| map(&layer.site).tiles).collect();
    let all: usize = needed.iter().sum();
    let refuse = |what: String| Err(Error::Mismatch(format!("system.tiles = {}: {what}", system.tiles)));
    match off_chip(&needed, system.tiles as usize) {
        Ok(None) => Ok(()),
        Err(largest) => refuse(format!(
            "the network needs {all} tiles, and its largest layer alone {largest}; expected at least {largest}"
        )),
        Ok(Some(_)) if system.pipelined || system.area_mm2 > 0.0 || system.interconnect == Interconnect::Mesh => {
            refuse(format!(
                "the network needs {all} tiles, and layers that take turns on the same ones are neither pipelined nor \
                 copied, nor have they a place on a mesh; expected system.pipelined = false, system.area_mm2 = 0 and \
                 a bus or none, or {all} tiles"
            ))
        }
        Ok(Some(_)) if !graph.cycles.is_empty() => refuse(format!(
            "the network needs {all} tiles, and layers of a cycle cannot take turns: each waits for the others at \
             every step; expected {all} tiles"
        )),
        Ok(Some(off)) => {
            let ages = |layer: &&Arc<LayerPlan>| {
                let rram = &layer.site.rram;
                layer.site.is_on_rram() && (rram.drift.any() || rram.disturb.any())
            };
            layers[off.loaded].iter().find(ages).map_or(Ok(()), |layer| {
                refuse(format!(
                    "the network needs {all} tiles, and `{}` is written anew for each image, so it has neither \
                     drifted nor been read for long; expected {all} tiles, or no rram.drift and rram.disturb of that \
                     layer",
                    layer.name
                ))
            })
        }
    }
}

/// An error where a profile has effects on RRAM that are not modelled on the diagonal blocks of groups.
pub fn check_groups(profile: &Profile, layers: &[Layer]) -> Result<()> {
    let grouped = layers.iter().filter(|layer| layer.groups > 1 && place(profile, layer) == Place::Rram);
    for layer in grouped {
        // Diagonal blocks share tiles, lines and converters otherwise than a whole matrix does, and that is not
        // modelled.
        let rram = profile.rram_of(&layer.name);
        let shared = [
            ("adc.bits", profile.adc.bits > 0),
            ("wires", profile.wires.drop()),
            ("rram.cell.mapping = \"offset\"", rram.cell.mapping == CellMapping::Offset),
            ("rram.variation.tile_sigma", rram.variation.tile_sigma > 0.0),
            ("rram.variation.neighbour_sigma", rram.variation.neighbour_sigma > 0.0),
            ("tile.driver_sigma", profile.tile.driver_sigma > 0.0),
            ("rram.faults.dead_word_lines", rram.faults.dead_word_lines > 0.0),
            ("rram.faults.spares and rram.faults.remap", rram.faults.move_weights()),
        ];
        if let Some((key, _)) = shared.into_iter().find(|(_, set)| *set) {
            return Err(Error::Mismatch(format!(
                "{key}: converters, lines and unit columns that the groups of a convolution share on a tile are not \
                 modelled, and `{0}` has {1} groups; expected it without, or the layer in digital logic \
                 (layer.{0}.rram.layers = \"none\")",
                layer.name, layer.groups
            )));
        }
    }
    Ok(())
}

/// An error where a layer's own section takes cells for exact that the layer does not have.
fn check_exact(profile: &Profile, layers: &[Arc<LayerPlan>]) -> Result<()> {
    for Site { name, rows, columns, rram, .. } in layers.iter().map(|layer| &layer.site) {
        let exact = &rram.exact;
        if *exact == profile.rram.exact {
            continue;
        }
        for (what, range, count) in [("rows", exact.rows, *rows), ("columns", exact.columns, *columns)] {
            if let Some([from, to]) = range.filter(|[_, to]| *to > count) {
                return Err(Error::Mismatch(format!(
                    "layer.{name}.rram.exact.{what} = [{from}, {to}], and its matrix has {count} {what}; expected at \
                     most [{from}, {count}]"
                )));
            }
        }
    }
    Ok(())
}

impl ChipPlan {
    /// Resolves a profile and a model whose inputs are like this. An [`Encoding`](crate::network::Encoding) stands for
    /// the widest inputs that it can have.
    ///
    /// # Errors
    /// Where the profile has a section for a layer that the model lacks, or neurons that cannot fire.
    pub fn new(profile: &Profile, model: &Model, code: impl Into<InputCode>) -> Result<Self> {
        let (code, graph) = (code.into(), Arc::new(model.try_graph()?));
        let layers = &graph.layers;
        profile.check_layers(layers.iter().map(|layer| layer.name.as_str()))?;
        check_modelled(profile, &graph)?;
        let plan = |(index, layer): (usize, &Layer)| {
            let mut plan = LayerPlan::new(profile, layer.clone(), index, (layer.from == 0).then_some(code));
            let population = graph.target(index).and_then(|node| graph.nodes[node].population());
            plan.fires = layer.leads || layer.kind == LayerKind::Readout && graph.reading.fires();
            if layer.kind == LayerKind::Readout && graph.reading != ReadoutKind::Mean {
                plan.site.neurons = layer.columns();
            }
            plan.site.joins = population.filter(|_| layer.leads).map_or(0, Population::additions);
            Arc::new(plan)
        };
        let layers: Vec<Arc<LayerPlan>> = layers.iter().enumerate().map(plan).collect();
        check_exact(profile, &layers)?;
        check_room(profile, &graph, &layers)?;
        let profile = Profile { cost: profile.cost.at_node(), ..profile.clone() };
        Ok(ChipPlan { layers, graph, profile, model: model.clone(), code })
    }

    /// Puts the network on other hardware.
    pub fn on(&self, profile: &Profile) -> Result<Self> {
        Self::new(profile, &self.model, self.code)
    }

    /// The plan of chips whose rows were read and driven as a calibration counted it, where it did.
    pub fn counted(&self, calibration: &Calibration) -> Self {
        let Calibration { reads, inputs, .. } = calibration;
        if reads.is_empty() && inputs.is_empty() {
            return self.clone();
        }
        let counted = |(number, layer): (usize, &Arc<LayerPlan>)| {
            let mut layer = LayerPlan::clone(layer);
            layer.site.reads = reads.get(number).map_or(&[][..], Vec::as_slice).into();
            layer.site.inputs = inputs.get(number).map_or(&[][..], Vec::as_slice).into();
            Arc::new(layer)
        };
        ChipPlan { layers: self.layers.iter().enumerate().map(counted).collect(), ..self.clone() }
    }

    /// The layers that take turns on a chip, from the first to the last, those in digital logic between them too.
    pub fn loaded(&self) -> std::ops::Range<usize> {
        let needed: Vec<usize> = self.sites().map(|site| map(site).tiles).collect();
        // A plan has room for its largest layer.
        off_chip(&needed, self.profile.system.tiles as usize).ok().flatten().map_or(0..0, |off| off.loaded)
    }

    /// The layers' matrices on their hardware.
    pub fn sites(&self) -> impl Iterator<Item = &Site> {
        self.layers.iter().map(|layer| &layer.site)
    }

    /// The floor plan, layer by layer.
    pub fn maps(&self) -> Vec<LayerMap> {
        let mut maps: Vec<LayerMap> = self.sites().map(map).collect();
        // Layers that take turns each need as much as they may take, whatever the others have.
        if let Some(budget) = self.profile.sram.budget_bytes.filter(|_| self.loaded().is_empty()) {
            share_out(budget, self.sites(), &mut maps);
        }
        maps
    }

    /// Time steps.
    pub fn steps(&self) -> usize {
        self.model.steps
    }

    /// The input's shape.
    pub fn input(&self) -> Shape {
        self.model.input
    }

    /// Whether chips differ: without variation on any layer all are the same one.
    pub fn varies(&self) -> bool {
        self.sites().any(Site::varies)
    }
}

impl LayerPlan {
    /// Layer `index` of a network, whose inputs are pulses unless they are the network's own, in a code.
    pub fn new(profile: &Profile, layer: Layer, index: usize, code: Option<InputCode>) -> Self {
        let site = Site {
            name: layer.name.clone(),
            index: index as u32,
            rows: layer.rows(),
            columns: layer.columns(),
            groups: layer.groups,
            pixels: layer.output.height * layer.output.width,
            neurons: if layer.leads { layer.map().len() } else { 0 },
            joins: 0,
            place: place(profile, &layer),
            rram: profile.rram_of(&layer.name).clone(),
            sram: profile.sram_of(&layer.name).clone(),
            tile: profile.tile,
            adc: profile.adc.clone(),
            wires: profile.wires,
            drive: layer.drive(code),
            reads: Arc::default(),
            inputs: Arc::default(),
        };
        let input_unit = code.map_or(layer.input_unit(), |code| code.unit);
        LayerPlan {
            lif: Lif::of(layer.neuron, &profile.neuron),
            fires: layer.leads,
            source: if code.is_some() { Input::Encoded } else { Input::Pulses },
            input_unit,
            site,
            layer: layer.ungrouped(),
        }
    }

    /// The constants of its neurons, as a checkpoint has them and the periphery holds them; none where all have the
    /// model's.
    ///
    /// # Errors
    /// Where the arithmetic does not hold one of the neurons.
    pub fn varied(&self, values: &Constants, format: &NeuronFormat) -> Result<Option<Arc<Varied>>> {
        let has_neurons = self.leads || self.kind == LayerKind::Readout;
        let varied = has_neurons.then(|| Varied::of(self.neuron, self.map(), values, (format, self.fires))).transpose();
        Ok(varied.map_err(|error| of_layer(error, self))?.flatten().map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::network::Encoding;
    use std::path::Path;

    #[test]
    fn a_layer_is_cut_into_whole_tiles() {
        let text = "name = \"m\"\nsteps = 1\nclasses = 10\ninput = {channels = 64, height = 8, width = 8}\nlayers = \
                    [{conv=200}]";
        let document = Document::parse_text(Path::new("m.toml"), text.into()).unwrap();
        let model = Model::from_document(&document).unwrap();
        let maps = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
            ChipPlan::new(&Profile::ideal(&keys).unwrap(), &model, Encoding::Poisson).unwrap().maps()
        };
        let found = maps(&["tile.rows=128", "tile.cols=64", "sram.bits=2"]);
        // 576 rows on 128: 5 partitions; 200 columns on 64: 4.
        let conv = &found[0];
        assert_eq!((conv.row_splits, conv.column_splits, conv.tiles), (5, 4, 20));
        assert_eq!(conv.utilisation, Some(576.0 * 200.0 / (20.0 * 128.0 * 64.0)));
        assert_eq!(conv.sram_bytes, 576 * 200 / 4);
        assert_eq!((found[1].place, found[1].tiles, found[1].utilisation), (Place::Digital, 0, None));
        // Pairs of two 2-bit cells: four lines a weight, 16 weights a tile of 64 lines.
        let cells = maps(&[
            "rram.model=cell",
            "rram.cell.g_max_us=50",
            "rram.cell.bits=2",
            "rram.weight_bits=4",
            "tile.cols=64",
        ]);
        assert_eq!((cells[0].lines_per_column, cells[0].column_splits, cells[0].tiles), (4, 13, 65));
        assert_eq!(maps(&["rram.layers=all"])[1].tiles, 100);
    }

    #[test]
    fn a_budget_is_the_memory_that_layers_share() {
        let text = "name = \"m\"\nsteps = 1\nclasses = 10\ninput = {channels = 4, height = 8, width = 8}\nlayers = \
                    [{conv=16}, {conv=16}]";
        let document = Document::parse_text(Path::new("m.toml"), text.into()).unwrap();
        let model = Model::from_document(&document).unwrap();
        let bytes = |keys: &[&str]| -> Vec<usize> {
            let keys: Vec<String> =
                ["sram.bits=3", "sram.init=residual"].iter().chain(keys).map(|key| key.to_string()).collect();
            let plan = ChipPlan::new(&Profile::ideal(&keys).unwrap(), &model, Encoding::Poisson).unwrap();
            plan.maps().iter().map(|map| map.sram_bytes).collect()
        };
        // 36 x 16 and 144 x 16 elements of 3 bits: 216 and 864 bytes.
        assert_eq!(bytes(&[]), [216, 864, 0]);
        assert_eq!(bytes(&["sram.budget_bytes=2000"]), [216, 864, 0]);
        assert_eq!(bytes(&["sram.budget_bytes=541"]), [108, 433, 0]);
        // Trims of 8 bits, two a column, are whole: 32 bytes a layer.
        assert_eq!(bytes(&["sram.budget_bytes=541", "sram.trim_bits=8"]), [32 + 95, 32 + 382, 0]);
        assert_eq!(bytes(&["sram.budget_bytes=10", "sram.trim_bits=8"]), [32, 32, 0]);
    }

    #[test]
    fn groups_stand_on_the_diagonals_of_tiles() {
        let text = "name = \"m\"\nsteps = 1\nclasses = 10\ninput = {channels = 32, height = 8, width = 8}\n\
                    layers = [{conv={channels=32, groups=32}}, {conv={channels=64, groups=2}}]";
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap();
        let plan = |keys: &[&str]| {
            let keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
            ChipPlan::new(&Profile::ideal(&keys).unwrap(), &model, Encoding::Poisson)
        };
        let maps = plan(&["tile.rows=128", "tile.cols=128"]).unwrap().maps();
        // 9 rows a group: 14 groups on the diagonal of a tile, and 9 of its cells a column.
        assert_eq!((maps[0].rows, maps[0].columns, maps[0].tiles, maps[0].cells), (288, 32, 3, 288));
        assert_eq!(maps[0].utilisation, Some(288.0 / (3.0 * 128.0 * 128.0)));
        // 144 rows a group: two tiles each.
        assert_eq!((maps[1].row_splits, maps[1].column_splits, maps[1].tiles, maps[1].cells), (2, 1, 4, 144 * 64));
        let lines = ["rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=4", "wires.word_ohm=1"];
        let offset = ["rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=4", "rram.cell.mapping=offset"];
        let dead =
            ["rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=4", "rram.faults.dead_word_lines=0.1"];
        let tiles = ["rram.model=cell", "rram.cell.g_max_us=50", "rram.weight_bits=4", "rram.variation.tile_sigma=0.1"];
        for keys in [&["adc.bits=6"][..], &lines, &offset, &dead, &tiles] {
            let error = plan(keys).unwrap_err().to_string();
            assert!(error.contains("`conv1` has 32 groups") && error.contains("layer.conv1.rram.layers"), "{error}");
        }
        assert!(plan(&["adc.bits=6", "layer.conv1.rram.layers=none", "layer.conv2.rram.layers=none"]).is_ok());
    }
}
