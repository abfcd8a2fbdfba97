//! What lives as long as loaded chips: each layer's settings, weights and norms on the device, all chips' together.

use std::ops::Range;

use wgpu::BindGroup;

use super::context::Context;
use super::settings::{LANES, Layer, MOST_STEPS, MOST_WINDOW};
use crate::chip::{Chip, ProgrammedLayer};
use crate::error::{Error, Result};
use crate::network::Layer as Plan;
use crate::network::encode::DIGIT_BITS;

/// Words of columns that weights are not split below.
const BLOCK: usize = 2;

/// A layer, uploaded.
pub struct LoadedLayer {
    /// Its columns: all in one part, unless the weights are larger than a buffer may be.
    pub parts: Vec<Part>,
}

/// Some of a layer's columns.
pub struct Part {
    /// Settings, weights and norms.
    pub group: BindGroup,
    /// Words of columns.
    pub words: usize,
}

/// Digit planes of a layer's inputs: as many as a signed byte of each takes.
pub fn planes(chip: &Chip, index: usize) -> usize {
    match chip.layers[index].plan.largest_pulse {
        _ if index == 0 => chip.encoding.planes() as usize,
        0..128 => 1,
        most => (most.ilog2() / DIGIT_BITS + 1) as usize,
    }
}

/// Words of a layer's rows: of each pixel's channels, four a word.
pub fn row_words(plan: &Plan) -> usize {
    plan.rows() / plan.input.channels * plan.input.channels.div_ceil(LANES)
}

/// Words of a layer's columns.
pub fn column_words(plan: &Plan) -> usize {
    plan.columns().div_ceil(LANES)
}

/// Bytes of a layer's weights for so many words of columns.
pub fn weight_bytes(plan: &Plan, words: usize) -> u64 {
    (row_words(plan) * LANES * words * LANES * size_of::<f32>()) as u64
}

/// Bytes of a layer's norms.
pub fn norm_bytes(chip: &Chip, plan: &Plan) -> u64 {
    (chip.steps * column_words(plan) * 2 * LANES * size_of::<f32>()) as u64
}

/// Whether the pool behind a layer is left to a kernel of its own.
pub fn pools_apart(plan: &Plan) -> bool {
    plan.pool.0 * plan.pool.1 > MOST_WINDOW as usize
}

/// Uploads all layers of some chips.
pub fn load(context: &Context, chips: &[Chip]) -> Result<Vec<LoadedLayer>> {
    let chip = &chips[0];
    if chip.steps > MOST_STEPS as usize {
        return Err(Error::Gpu(format!("{} steps, expected at most {MOST_STEPS}; use `--backend cpu`", chip.steps)));
    }
    (0..chip.layers.len()).map(|index| load_layer(context, chips, index)).collect()
}

fn load_layer(context: &Context, chips: &[Chip], index: usize) -> Result<LoadedLayer> {
    let plan = &chips[0].layers[index].plan;
    context.limits.check(&plan.name, "its norms", chips.len() as u64 * norm_bytes(&chips[0], plan))?;
    let block_bytes = chips.len() as u64 * weight_bytes(plan, BLOCK);
    context.limits.check(&plan.name, "the weights of 8 columns", block_bytes)?;
    let norms: Vec<f32> = chips.iter().flat_map(|chip| pack_norms(&chip.layers[index], chip.steps)).collect();
    let words = column_words(plan);
    let fitting = (context.limits.buffer_bytes / block_bytes) as usize * BLOCK;
    let parts = (0..words).step_by(fitting).map(|first| {
        let part = first..words.min(first + fitting);
        let settings = settings(chips, index, &part);
        let weights: Vec<f32> = chips.iter().flat_map(|chip| pack(&chip.layers[index], &part)).collect();
        Part { group: context.layer(settings, &weights, &norms), words: part.len() }
    });
    Ok(LoadedLayer { parts: parts.collect() })
}

fn settings(chips: &[Chip], index: usize, part: &Range<usize>) -> Layer {
    let chip = &chips[0];
    let plan = &chip.layers[index].plan;
    let unrolling = plan.unrolling();
    let scan = if pools_apart(plan) { (1, 1) } else { plan.pool };
    let next_planes = if index + 1 < chip.layers.len() { planes(chip, index + 1) } else { 1 };
    Layer {
        index: index as u32,
        layers: chip.layers.len() as u32 - 1,
        chips: chips.len() as u32,
        words: (row_words(plan) / (unrolling.kernel * unrolling.kernel)) as u32,
        planes: planes(chip, index) as u32,
        next_planes: next_planes as u32,
        column_words: column_words(plan) as u32,
        first_word: part.start as u32,
        part_words: part.len() as u32,
        channels: chip.input.channels as u32,
        input_pixels: (chip.input.height * chip.input.width) as u32,
        height: unrolling.input.height as u32,
        width: unrolling.input.width as u32,
        kernel: unrolling.kernel as u32,
        steps: chip.steps as u32,
        window_height: plan.pool.0 as u32,
        window_width: plan.pool.1 as u32,
        scan_height: scan.0 as u32,
        scan_width: scan.1 as u32,
        leak: chip.neuron.leak,
        threshold: chip.neuron.threshold,
        fence: 0,
    }
}

/// Published weights `[columns, channels, positions]` of some words of columns as the kernel walks them, `[positions,
/// channels, columns]`: zero where channels or columns do not fill a word.
fn pack(layer: &ProgrammedLayer, words: &Range<usize>) -> Vec<f32> {
    let (rows, channels) = (layer.plan.rows(), layer.plan.input.channels);
    let positions = rows / channels;
    let padded = channels.next_multiple_of(LANES);
    let width = words.len() * LANES;
    let mut packed = vec![0.0; positions * padded * width];
    let columns = layer.weights[words.start * LANES * rows..].chunks(rows).take(width);
    for (lane, column) in columns.enumerate() {
        for (row, weight) in column.iter().enumerate() {
            let (channel, position) = (row / positions, row % positions);
            packed[(position * padded + channel) * width + lane] = *weight;
        }
    }
    packed
}

/// Gain and offset by steps and words of columns: zero beyond the last column, where a neuron never fires.
fn pack_norms(layer: &ProgrammedLayer, steps: usize) -> Vec<f32> {
    let columns = layer.plan.columns();
    let words = column_words(&layer.plan);
    let mut packed = vec![0.0; steps * words * 2 * LANES];
    for (n, values) in [&layer.gain, &layer.offset].into_iter().enumerate() {
        for (i, value) in values.iter().enumerate() {
            let (step, column) = (i / columns, i % columns);
            packed[((step * words + column / LANES) * 2 + n) * LANES + column % LANES] = *value;
        }
    }
    packed
}
