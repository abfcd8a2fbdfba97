//! What lives as long as loaded chips: each layer's settings, weights and norms on the device, all chips' together.

use std::ops::Range;

use super::context::{Context, LayerGroup};
use super::packed::{column_words, converter_vectors, pack, pack_constants, pack_norms};
use super::route::{KernelRoute, Op};
use super::settings::{LANES, Layer, MOST_STEPS, MOST_WINDOW};
use crate::chip::{Chip, ProgrammedLayer};
use crate::crossbar::converted::Converted;
use crate::crossbar::noise::Noise;
use crate::crossbar::programmed::Programmed;
use crate::error::{Error, Result};
use crate::network::code::DIGIT_BITS;
use crate::network::graph::{Population, Work};
use crate::network::pool::PoolKind;
use crate::network::readout::ReadoutKind;
use crate::network::{Drive, Layer as Plan, Lif};
use crate::numeric::Shape;
use crate::numeric::unrolling::{Unrolling, Window};
use crate::profile::TileInputs;
use bytemuck::Zeroable;

/// Words of columns that weights are not split below.
const BLOCK: usize = 2;
/// Constants of a neuron that may differ.
const CONSTANTS: usize = 7;

/// A layer, uploaded.
pub struct LoadedLayer {
    /// Its columns: all in one part, unless the weights are larger than a buffer may be.
    pub parts: Vec<ColumnPart>,
    /// Whether its sums are not those of one matrix of weights: behind converters, or of cells read afresh.
    pub is_unfolded: bool,
    /// Whether floats hold what its companion arrays sum, so that a card may take it in tiles.
    pub fits_floats: bool,
    /// Its arrays: one, or one a step.
    pub reads: usize,
    /// Steps that give other sums of the same inputs.
    pub steps: usize,
    /// Whether every conversion has noise of its own.
    pub is_noisy: bool,
}

/// Some of a layer's columns.
pub struct ColumnPart {
    /// Settings, weights and norms.
    pub group: LayerGroup,
    /// Words of columns.
    pub words: usize,
}

/// Digit planes of a layer's inputs: as many as a signed byte of each takes.
pub fn planes(chip: &Chip, index: usize) -> usize {
    chip.layers[index].plan.site.drive.planes as usize
}

/// Words of a layer's rows: of each pixel's channels, four a word.
pub fn row_words(plan: &Plan) -> usize {
    plan.rows() / plan.input.channels * plan.input.channels.div_ceil(LANES)
}

/// Vectors of one of a layer's arrays for each word of columns.
fn vectors(layer: &ProgrammedLayer) -> usize {
    match (&layer.arrays, layer.arrays.converted()) {
        (_, Some(converted)) => {
            let companion = converted.companion.as_ref().map_or(0, |_| layer.plan.rows());
            converted.slices.len() * slice_vectors(layer, converted) + companion + 1
        }
        (Programmed::Reads { .. }, None) => layer.plan.rows(),
        _ => row_words(&layer.plan) * LANES,
    }
}

/// Whether a layer's sums are not those of one matrix of weights: behind converters, or of cells read afresh.
pub fn is_unfolded(layer: &ProgrammedLayer) -> bool {
    !matches!(layer.arrays, Programmed::Folded { .. })
}

/// Whether every sum of a layer's companion arrays is a whole number that an `f32` holds.
pub fn fits_floats(layer: &ProgrammedLayer) -> bool {
    let fits = |converted: &Converted| {
        let Some(companion) = &converted.companion else { return true };
        let largest = companion.weights.iter().map(|weight| u64::from(weight.unsigned_abs())).max().unwrap_or(0);
        let most_input = if layer.plan.site.drive.planes > 1 { 1 << DIGIT_BITS } else { 128 };
        layer.plan.rows() as u64 * most_input * largest < 1 << f32::MANTISSA_DIGITS
    };
    layer.arrays.each().iter().filter_map(Programmed::converted).all(fits)
}

/// The vectors of a slice: weights, each tile's converters, twice where there are unit columns, and what to make of the
/// codes.
fn slice_vectors(layer: &ProgrammedLayer, converted: &Converted) -> usize {
    let sides = if converted.slices[0].reference.is_some() { 2 } else { 1 };
    sides * (layer.plan.rows() + converter_vectors(converted) * layer.plan.site.partial_sums()) + 1
}

/// Bytes of a layer's arrays for so many words of columns.
pub fn weight_bytes(layer: &ProgrammedLayer, words: usize) -> u64 {
    (layer.arrays.each().len() * vectors(layer) * words * LANES * size_of::<f32>()) as u64
}

/// The noise of a layer's converters.
fn noise(layer: &ProgrammedLayer) -> Option<&Noise> {
    layer.arrays.converted()?.noise.as_ref()
}

/// Bytes of the numbers that a layer's noise is read from.
pub fn noise_bytes(layer: &ProgrammedLayer) -> u64 {
    noise(layer).map_or(0, |noise| (size_of_val(&*noise.pool) + size_of_val(&*noise.by_code)) as u64)
}

/// Bytes of a layer's norms.
pub fn norm_bytes(chip: &Chip, plan: &Plan) -> u64 {
    (chip.steps * column_words(plan) * 2 * LANES * size_of::<f32>()) as u64
}

/// Bytes of the constants of a layer's neurons, where they differ.
pub fn constant_bytes(layer: &ProgrammedLayer) -> u64 {
    let places = layer.varied.as_ref().map_or(0, |varied| varied.places);
    (places * column_words(&layer.plan) * CONSTANTS * LANES * size_of::<f32>()) as u64
}

/// Whether the pool behind a layer is left to a kernel of its own.
pub fn pools_apart(plan: &Plan) -> bool {
    plan.pool.0 * plan.pool.1 > MOST_WINDOW as usize
}

/// Uploads all layers of some chips, and the settings of what else their route has, one an operation.
pub fn load(
    context: &Context,
    chips: &[Chip],
    route: &KernelRoute,
) -> Result<(Vec<LoadedLayer>, Vec<Option<LayerGroup>>)> {
    let chip = &chips[0];
    if chip.steps > MOST_STEPS as usize {
        return Err(Error::Gpu(format!("{} steps, expected at most {MOST_STEPS}; use `--backend cpu`", chip.steps)));
    }
    let layers = (0..chip.layers.len()).map(|index| load_layer(context, chips, route, index));
    let group = |op: &Op| {
        let settings = beside(chips, route, *op)?;
        let constants = of_neurons(chips, *op).map_or(vec![0.0], pack_constants);
        Some(context.layer(Layer { own_from: 0, ..settings }, &[0.0], &constants))
    };
    Ok((layers.collect::<Result<_>>()?, route.ops.iter().map(group).collect()))
}

/// The layer that leads an operation's neurons, where their constants differ.
fn of_neurons(chips: &[Chip], op: Op) -> Option<&ProgrammedLayer> {
    let Op::Neurons { node, .. } = op else { return None };
    let leader = chips[0].graph.nodes[node].population()?.leader();
    Some(&chips[0].layers[leader]).filter(|layer| layer.varied.is_some())
}

/// The settings of an operation that no layer's are; none where it goes by those of a layer.
fn beside(chips: &[Chip], route: &KernelRoute, op: Op) -> Option<Layer> {
    let graph = &chips[0].graph;
    match op {
        Op::Skip { node, skip, .. } => {
            let population = graph.nodes[node].population()?;
            let skip_unit = graph.nodes[population.skips[skip]].unit();
            let map = chips[0].layers[population.leader()].plan.map();
            let (height, width) = (map.height as u32, map.width as u32);
            Some(Layer { skip_unit, height, width, ..settings(chips, route, population.leader(), &(0..0)) })
        }
        Op::Lend { node, .. } | Op::Add { node, .. } => {
            Some(maps(chips, chips[0].layers[graph.nodes[node].population()?.leader()].plan.map()))
        }
        Op::Neurons { node, .. } if graph.nodes[node].population()?.pools => {
            let leader = graph.nodes[node].population()?.leader();
            let map = chips[0].layers[leader].plan.map();
            let (height, width) = (map.height as u32, map.width as u32);
            Some(Layer { height, width, ..settings(chips, route, leader, &(0..0)) })
        }
        Op::Pool { node, .. } => match &graph.nodes[node].work {
            Work::Pool { from, pooling } => {
                let is_max = u32::from(pooling.kind == PoolKind::Max);
                let maps = Layer { is_max, next_planes: 1, ..maps(chips, graph.nodes[node].map) };
                Some(pool(maps, graph.nodes[*from].map, pooling.window))
            }
            _ => {
                let leader = graph.nodes[node].population()?.leader();
                let (plan, map) = (&chips[0].layers[leader].plan, graph.nodes[node].map);
                let kernel = [plan.pool.0, plan.pool.1];
                let window = Window { kernel, stride: kernel, padding: [0; 2], dilation: [1; 2] };
                let (height, width) = (map.height as u32, map.width as u32);
                let settings = settings(chips, route, leader, &(0..0));
                Some(pool(Layer { height, width, is_max: 0, ..settings }, plan.map(), window))
            }
        },
        Op::Part { node, part, .. } => {
            let Work::Concat(nodes) = &graph.nodes[node].work else { return None };
            let channels = |node: &usize| graph.nodes[*node].map.channels;
            let part_channels = channels(&nodes[part]);
            Some(Layer {
                first_channel: nodes[..part].iter().map(channels).sum::<usize>() as u32,
                part_channels: part_channels as u32,
                from_words: part_channels.div_ceil(LANES) as u32,
                ..maps(chips, graph.nodes[node].map)
            })
        }
        _ => None,
    }
}

/// The settings of a pool over a map.
fn pool(settings: Layer, input: Shape, window: Window) -> Layer {
    let (input_height, input_width) = (input.height as u32, input.width as u32);
    windowed(Layer { input_height, input_width, ..settings }, window)
}

/// The settings of maps of pulses of all chips.
fn maps(chips: &[Chip], map: Shape) -> Layer {
    Layer {
        chips: chips.len() as u32,
        steps: chips[0].steps as u32,
        column_words: map.channels.div_ceil(LANES) as u32,
        height: map.height as u32,
        width: map.width as u32,
        ..Layer::zeroed()
    }
}

/// The settings with a window.
fn windowed(settings: Layer, window: Window) -> Layer {
    let Window { kernel, stride, padding, dilation } = window;
    Layer {
        kernel_y: kernel[0] as u32,
        kernel_x: kernel[1] as u32,
        stride_y: stride[0] as u32,
        stride_x: stride[1] as u32,
        padding_y: padding[0] as u32,
        padding_x: padding[1] as u32,
        dilation_y: dilation[0] as u32,
        dilation_x: dilation[1] as u32,
        ..settings
    }
}

fn load_layer(context: &Context, chips: &[Chip], route: &KernelRoute, index: usize) -> Result<LoadedLayer> {
    let plan = &chips[0].layers[index].plan;
    let of_norms = chips.len() as u64 * norm_bytes(&chips[0], plan) + constant_bytes(&chips[0].layers[index]);
    context.limits.check(&plan.name, "its norms", of_norms)?;
    let block_bytes = chips.len() as u64 * weight_bytes(&chips[0].layers[index], BLOCK);
    let mut norms: Vec<f32> = chips.iter().flat_map(|chip| pack_norms(&chip.layers[index], chip.steps)).collect();
    norms.extend(pack_constants(&chips[0].layers[index]));
    let words = column_words(plan);
    let of_noise = chips.len() as u64 * noise_bytes(&chips[0].layers[index]);
    context.limits.check(&plan.name, "the weights of 8 columns", block_bytes)?;
    context.limits.check(&plan.name, "the weights of 8 columns and the noise of converters", block_bytes + of_noise)?;
    let fitting = ((context.limits.buffer_bytes - of_noise) / block_bytes) as usize * BLOCK;
    let parts = (0..words).step_by(fitting).map(|first| {
        let part = first..words.min(first + fitting);
        let settings = settings(chips, route, index, &part);
        let mut weights: Vec<f32> = chips.iter().flat_map(|chip| pack(&chip.layers[index], &part)).collect();
        // Kernels find what is behind the weights by these numbers.
        let layer = &chips[0].layers[index];
        assert_eq!(weights.len(), chips.len() * layer.arrays.each().len() * vectors(layer) * part.len() * LANES);
        let noise = chips.iter().filter_map(|chip| noise(&chip.layers[index]));
        noise.for_each(|noise| weights.extend(noise.pool.iter().chain(&*noise.by_code)));
        ColumnPart { group: context.layer(settings, &weights, &norms), words: part.len() }
    });
    Ok(LoadedLayer {
        parts: parts.collect(),
        is_unfolded: is_unfolded(&chips[0].layers[index]),
        fits_floats: chips.iter().all(|chip| fits_floats(&chip.layers[index])),
        reads: chips[0].layers[index].arrays.each().len(),
        steps: chips[0].layers[index].arrays.steps(),
        is_noisy: noise(&chips[0].layers[index]).is_some(),
    })
}

fn settings(chips: &[Chip], route: &KernelRoute, index: usize, part: &Range<usize>) -> Layer {
    let chip = &chips[0];
    let plan = &chip.layers[index].plan;
    let (Unrolling { input, window, flat }, output) = (plan.unrolling(), plan.unrolling().output());
    let scan = if pools_apart(plan) { (1, 1) } else { plan.pool };
    let node = chip.graph.target(index).filter(|_| plan.leads);
    let next = node.and_then(|node| route.heirs[node]);
    let joined = node.and_then(|node| chip.graph.nodes[node].population()).is_some_and(Population::joins);
    let next_planes = node.map_or(1, |node| Drive::pulses(chip.graph.nodes[node].largest).planes);
    let settings = Layer {
        index: index as u32,
        reads_input: u32::from(plan.from == 0),
        next_index: next.unwrap_or_default() as u32,
        counts_next: u32::from(next.is_some()),
        joined: u32::from(joined),
        by_step: u32::from(chip.graph.reading != ReadoutKind::Mean),
        layers: chip.layers.len() as u32 - 1,
        chips: chips.len() as u32,
        words: (row_words(plan) / window.positions()) as u32,
        planes: planes(chip, index) as u32,
        next_planes,
        column_words: column_words(plan) as u32,
        first_word: part.start as u32,
        part_words: part.len() as u32,
        channels: chip.input.channels as u32,
        input_pixels: (chip.input.height * chip.input.width) as u32,
        input_height: input.height as u32,
        input_width: input.width as u32,
        height: output[0] as u32,
        width: output[1] as u32,
        flat: u32::from(flat),
        steps: chip.steps as u32,
        window_height: plan.pool.0 as u32,
        window_width: plan.pool.1 as u32,
        scan_height: scan.0 as u32,
        scan_width: scan.1 as u32,
        leak: plan.lif.leak,
        threshold: plan.lif.threshold,
        fixed: u32::from(plan.lif.fixed.is_some()),
        floors: u32::from(plan.lif.fixed.is_some_and(|fixed| fixed.floors)),
        wraps: u32::from(plan.lif.fixed.is_some_and(|fixed| fixed.wraps)),
        scale: plan.lif.fixed.map_or(1.0, |fixed| fixed.scale),
        membrane_unit: plan.lif.fixed.map_or(1.0, |fixed| 1.0 / fixed.scale),
        inverse_turn: plan.lif.fixed.map_or(0.0, |fixed| -0.5 / fixed.lowest),
        lowest: plan.lif.fixed.map_or(0.0, |fixed| fixed.lowest),
        highest: plan.lif.fixed.map_or(0.0, |fixed| fixed.highest),
        rows: plan.rows() as u32,
        positions: (plan.rows() / plan.input.channels) as u32,
        channel_words: plan.input.channels.div_ceil(LANES) as u32,
        own_from: (chips.len() * chip.steps * column_words(plan) * 2) as u32,
        own_places: chip.layers[index].varied.as_ref().map_or(0, |varied| varied.places) as u32,
        as_pulses: u32::from(chip.inputs == TileInputs::Pulses),
        as_levels: u32::from(chip.inputs == TileInputs::Levels),
        chip_words: vectors(&chip.layers[index]) as u32,
        ..next_window(chip, next, neurons(plan.lif, converters(&chip.layers[index])))
    };
    pooling(windowed(settings, window), plan)
}

/// The settings with the pool of the layer's share of a current.
fn pooling(settings: Layer, plan: &Plan) -> Layer {
    let Some(pooling) = plan.before else { return settings };
    let (Window { kernel, stride, padding, .. }, map) = (pooling.window, plan.map());
    Layer {
        is_max: u32::from(pooling.kind == PoolKind::Max),
        before_y: kernel[0] as u32,
        before_x: kernel[1] as u32,
        before_stride_y: stride[0] as u32,
        before_stride_x: stride[1] as u32,
        before_padding_y: padding[0] as u32,
        before_padding_x: padding[1] as u32,
        before_share: pooling.share(),
        before_height: map.height as u32,
        before_width: map.width as u32,
        ..settings
    }
}

/// The settings with the constants of general neurons.
fn neurons(lif: Lif, settings: Layer) -> Layer {
    let Some(dynamics) = lif.general else { return settings };
    Layer {
        general: 1,
        input_share: dynamics.input,
        synaptic_leak: dynamics.synaptic_leak,
        adaptation: dynamics.adaptation,
        adaptation_leak: dynamics.adaptation_leak,
        taken: dynamics.taken,
        reset_value: dynamics.value,
        is_set: u32::from(dynamics.is_set),
        next: u32::from(dynamics.next),
        reached: u32::from(dynamics.reached),
        refractory: dynamics.refractory,
        ..settings
    }
}

/// The settings with the window of the layer that is driven next; a fully connected one has none.
fn next_window(chip: &Chip, next: Option<usize>, settings: Layer) -> Layer {
    let next = next.map(|next| chip.layers[next].plan.unrolling()).filter(|next| !next.flat);
    let Some(next) = next else { return settings };
    let ([next_height, next_width], Window { kernel, stride, padding, dilation }) = (next.output(), next.window);
    Layer {
        next_kernel_y: kernel[0] as u32,
        next_kernel_x: kernel[1] as u32,
        next_stride_y: stride[0] as u32,
        next_stride_x: stride[1] as u32,
        next_padding_y: padding[0] as u32,
        next_padding_x: padding[1] as u32,
        next_dilation_y: dilation[0] as u32,
        next_dilation_x: dilation[1] as u32,
        next_height: next_height as u32,
        next_width: next_width as u32,
        ..settings
    }
}

/// The settings of what is behind converters; zeros where nothing is.
fn converters(layer: &ProgrammedLayer) -> Layer {
    let reads = layer.arrays.each().len() as u32;
    let Some(converted) = layer.arrays.converted() else {
        return Layer { reads, exact: u32::from(is_unfolded(layer)), ..Layer::zeroed() };
    };
    Layer {
        reads,
        rows_at_once: converted.rows_at_once as u32,
        partial_sums: layer.plan.site.partial_sums() as u32,
        converter_words: converter_vectors(converted) as u32,
        noise_words: (noise_bytes(layer) / 16) as u32,
        noise_by_code: u32::from(converted.noise.as_ref().is_some_and(|noise| !noise.by_code.is_empty())),
        limit: converted.limit.unwrap_or(f32::MAX),
        level_0: converted.level_weights[0],
        level_1: converted.level_weights[1],
        level_2: converted.level_weights[2],
        level_3: converted.level_weights[3],
        bits: layer.plan.site.drive.bits,
        slices: converted.slices.len() as u32,
        slice_words: slice_vectors(layer, converted) as u32,
        sides: if converted.slices[0].reference.is_some() { 2 } else { 1 },
        has_companion: u32::from(converted.companion.is_some()),
        most_sum: converted.adder.most_sum,
        most_shifted: converted.adder.most_shifted,
        most: converted.adder.most,
        ..Layer::zeroed()
    }
}
