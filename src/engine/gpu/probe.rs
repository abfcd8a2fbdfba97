//! What tests look at inside: draws, spikes and sums, read back.

use bytemuck::Zeroable;
use wgpu::{Buffer, BufferUsages, CommandEncoder};

use super::GpuEngine;
use super::context::Context;
use super::run::GpuChip;
use super::settings::{Layer, Run};
use super::shaders::Kernel;
use crate::error::Result;
use crate::network::{Batch, Encoder};

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
            let run = context.buffer("run", 16, BufferUsages::UNIFORM);
            let [from, to, counts] =
                ["draws", "words", "counts"].map(|l| context.buffer(l, 24 * count as u64, storage));
            context.write(&from, &draws);
            let flow = context.flow(&run, &from, &to, &counts);
            let mut commands = context.encoder();
            let mut pass = commands.begin_compute_pass(&Default::default());
            context.dispatch(&mut pass, Kernel::KnownAnswers, (&layer, &flow), count, 1);
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

impl GpuChip<'_> {
    /// The Poisson spikes of a batch that fits into one submission, `[images, steps, channels, pixels]`.
    #[doc(hidden)]
    pub fn encoded(&mut self, encoder: &Encoder, batch: &Batch) -> Result<Vec<i32>> {
        let buffers = self.take_buffers(batch.len())?;
        self.context.guard(|| {
            let run = self.upload(&buffers, encoder, batch, 0..batch.len(), &mut []);
            let mut commands = self.context.encoder();
            self.encode(&mut commands.begin_compute_pass(&Default::default()), &buffers, run);
            let words = batch.len() * self.chip.steps * self.chip.input.len();
            let words = read(self.context, commands, &buffers.pulses[0], words)?;
            Ok(bytemuck::cast_vec(words))
        })
    }

    /// The sums `[images, steps, columns, pixels]` of layer `l` for pulses `[images, steps, channels, pixels]` in
    /// `planes` digit planes.
    #[doc(hidden)]
    pub fn sums(&mut self, l: usize, planes: u32, pulses: &[i32]) -> Result<Vec<f32>> {
        let plan = &self.chip.layers[l].plan;
        let images = pulses.len() / (self.chip.steps * plan.input.len());
        let words = images * self.chip.steps * plan.output.len();
        let buffers = self.take_buffers(images)?;
        self.context.guard(|| {
            let run = Run { images: images as u32, first_steps: self.chip.steps as u32, ..Run::zeroed() };
            self.context.write(&buffers.run, &[run]);
            self.context.write(&buffers.pulses[0], pulses);
            let mut commands = self.context.encoder();
            let mut pass = commands.begin_compute_pass(&Default::default());
            self.sum(&mut pass, &buffers, run, l, planes, &buffers.pulses[0]);
            drop(pass);
            let words = read(self.context, commands, &buffers.sums, words)?;
            Ok(bytemuck::cast_vec(words))
        })
    }
}

fn read(context: &Context, commands: CommandEncoder, buffer: &Buffer, words: usize) -> Result<Vec<u32>> {
    let bytes = 4 * words as u64;
    let staging = context.buffer("staging", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
    context.finish(commands, &staging, &[(buffer, bytes)])
}
