//! What tests look at inside: draws, spikes and sums, read back.

use bytemuck::Zeroable;
use wgpu::{Buffer, BufferUsages, CommandEncoder};

use super::GpuEngine;
use super::buffers::Buffers;
use super::context::Context;
use super::model::planes;
use super::run::{GpuChips, pack};
use super::settings::{LANES, Layer, Run};
use super::shaders::ShaderKernel;
use crate::engine::Keep;
use crate::error::Result;
use crate::network::Inputs;

impl GpuEngine {
    /// Philox4x32-10 of each counter and key, drawn on the device.
    #[doc(hidden)]
    pub fn philox(&self, draws: &[([u32; 4], [u32; 2])]) -> Result<Vec<[u32; 4]>> {
        let context = &self.context;
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let draws: Vec<u32> = draws.iter().flat_map(|(counter, key)| counter.iter().chain(key)).copied().collect();
        let count = draws.len() / 6;
        context.guard(|| {
            let layer = context.layer(Layer::zeroed(), &[], &[]);
            let run = context.buffer("run", size_of::<Run>() as u64, BufferUsages::UNIFORM);
            let [from, to, counts] =
                ["draws", "words", "counts"].map(|l| context.buffer(l, 24 * count as u64, storage));
            context.write(&from, &draws);
            let flow = context.flow(&run, &from, &to, &counts, &from);
            let mut commands = context.encoder();
            let mut pass = commands.begin_compute_pass(&Default::default());
            context.dispatch(&mut pass, ShaderKernel::KnownAnswers, (&layer, &flow), count, 1);
            drop(pass);
            let words = read(context, commands, &to, 4 * count)?;
            Ok(words.as_chunks().0.to_vec())
        })
    }

    /// Loses the device.
    #[doc(hidden)]
    pub fn lose(&self) {
        self.context.lose();
    }
}

impl GpuChips<'_> {
    /// The Poisson spikes of a batch that fits into one submission, `[images, steps, pixels, channels]`.
    #[doc(hidden)]
    pub fn encoded(&self, inputs: &Inputs) -> Result<Vec<i8>> {
        let (images, shape) = (inputs.batch.len(), self.chip().input);
        let words = shape.channels.div_ceil(LANES);
        let kept = self.kept(Keep::Last);
        self.context.guard(|| {
            let buffers = Buffers::take((self.context, self.spare), (&self.sizes, &self.route), images, kept);
            let run = self.upload(&buffers, inputs, 0..images, kept);
            let mut commands = self.context.encoder();
            self.encode(&mut commands.begin_compute_pass(&Default::default()), &buffers, run);
            let count = images * self.chip().steps * shape.height * shape.width * words;
            let found = read(self.context, commands, &buffers.pulses[0], count)?;
            let bytes: &[i8] = bytemuck::cast_slice(&found);
            Ok(bytes.chunks(words * LANES).flat_map(|pixel| &pixel[..shape.channels]).copied().collect())
        })
    }

    /// The sums `[chips, images, steps, pixels, columns]` of layer `l`, for pulses of all chips in the form `[images,
    /// steps, planes, pixels, channels]`; the first layer's inputs are the same for all chips.
    #[doc(hidden)]
    pub fn sums(&self, l: usize, pulses: &[i8]) -> Result<Vec<f32>> {
        let (chip, chips) = (self.chip(), self.chips.len());
        let plan = &chip.layers[l].plan;
        let of = if l == 0 { 1 } else { chips };
        let images = pulses.len() / (of * chip.steps * planes(chip, l) * plan.input.len());
        let columns = plan.columns().next_multiple_of(LANES);
        let words = chips * images * chip.steps * plan.output.height * plan.output.width * columns;
        self.context.guard(|| {
            let buffers =
                Buffers::take((self.context, self.spare), (&self.sizes, &self.route), images, self.kept(Keep::Last));
            let run = Run { images: images as u32, first_steps: chip.steps as u32, ..Run::zeroed() };
            self.context.write(&buffers.run, &[run]);
            self.context.write(&buffers.pulses[0], &pack(pulses.chunks(plan.input.channels)));
            let mut commands = self.context.encoder();
            let mut pass = commands.begin_compute_pass(&Default::default());
            self.sum(&mut pass, &buffers, run, l, &buffers.pulses[0]);
            drop(pass);
            let found: Vec<f32> = bytemuck::cast_vec(read(self.context, commands, &buffers.sums, words)?);
            Ok(found.chunks(columns).flat_map(|pixel| &pixel[..plan.columns()]).copied().collect())
        })
    }
}

fn read(context: &Context, commands: CommandEncoder, buffer: &Buffer, words: usize) -> Result<Vec<u32>> {
    let bytes = 4 * words as u64;
    let staging = context.buffer("staging", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    context.finish(commands, &staging, &[(buffer, bytes)])
}
