//! What lives as long as a loaded chip: each layer's settings, weights and norms on the device.

use bytemuck::Zeroable;
use wgpu::BindGroup;

use super::context::Context;
use super::settings::{COLUMNS, Layer, MOST_STEPS};
use crate::chip::{Chip, ProgrammedLayer};
use crate::error::{Error, Result};

/// A layer, uploaded.
pub struct LoadedLayer {
    /// Its column blocks: all in one part, unless the weights are larger than a buffer may be.
    pub parts: Vec<Part>,
}

/// Some of a layer's columns.
pub struct Part {
    /// Settings, weights and norms.
    pub group: BindGroup,
    /// Blocks of [`COLUMNS`] columns.
    pub blocks: usize,
}

/// Uploads all layers of a chip.
pub fn load(context: &Context, chip: &Chip) -> Result<Vec<LoadedLayer>> {
    if chip.steps > MOST_STEPS as usize {
        return Err(Error::Gpu(format!("{} steps, expected at most {MOST_STEPS}; use `--backend cpu`", chip.steps)));
    }
    (0..chip.layers.len()).map(|index| load_layer(context, chip, index)).collect()
}

fn load_layer(context: &Context, chip: &Chip, index: usize) -> Result<LoadedLayer> {
    let layer = &chip.layers[index];
    let (name, rows) = (&layer.plan.name, layer.plan.rows());
    let norms: Vec<[f32; 2]> = layer.gain.iter().zip(&layer.offset).map(|(gain, offset)| [*gain, *offset]).collect();
    context.limits.check(name, "its norms", size_of_val(&norms[..]) as u64)?;
    let block_bytes = (rows * COLUMNS as usize * size_of::<f32>()) as u64;
    context.limits.check(name, "the weights of 8 columns", block_bytes)?;
    let blocks = layer.plan.columns().div_ceil(COLUMNS as usize);
    let blocks_at_once = (context.limits.buffer_bytes / block_bytes) as usize;
    let parts = (0..blocks).step_by(blocks_at_once).map(|first| {
        let blocks = blocks_at_once.min(blocks - first);
        let settings = Layer { first_column: first as u32 * COLUMNS, ..settings(chip, index) };
        let group = context.layer(settings, &pack(layer, first..first + blocks), &norms);
        Part { group, blocks }
    });
    Ok(LoadedLayer { parts: parts.collect() })
}

fn settings(chip: &Chip, index: usize) -> Layer {
    let plan = &chip.layers[index].plan;
    let unrolling = plan.unrolling();
    Layer {
        index: index as u32,
        columns: plan.columns() as u32,
        channels: unrolling.input.channels as u32,
        height: unrolling.input.height as u32,
        width: unrolling.input.width as u32,
        kernel: unrolling.kernel as u32,
        steps: chip.steps as u32,
        window_height: plan.pool.0 as u32,
        window_width: plan.pool.1 as u32,
        leak: chip.neuron.leak,
        threshold: chip.neuron.threshold,
        ..Layer::zeroed()
    }
}

/// Published weights `[columns, channels, positions]` as the kernel walks them: `[blocks, positions, channels, 8]`,
/// zero beyond the last column.
fn pack(layer: &ProgrammedLayer, blocks: std::ops::Range<usize>) -> Vec<f32> {
    let unrolling = layer.plan.unrolling();
    let (rows, channels) = (unrolling.rows(), unrolling.input.channels);
    let positions = rows / channels;
    let width = COLUMNS as usize;
    let mut packed = vec![0.0; blocks.len() * rows * width];
    for (block, packed) in blocks.zip(packed.chunks_mut(rows * width)) {
        let columns = layer.weights[block * width * rows..].chunks(rows).take(width);
        for (lane, column) in columns.enumerate() {
            for (row, weight) in column.iter().enumerate() {
                let (channel, position) = (row / positions, row % positions);
                packed[(position * channels + channel) * width + lane] = *weight;
            }
        }
    }
    packed
}
