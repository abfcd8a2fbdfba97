//! A loaded chip and its runs: a submission for as many images as the device takes at once, all layers and steps in it.

use std::ops::Range;

use wgpu::{BindGroup, Buffer, ComputePass};

use super::buffers::{Buffers, Sizes};
use super::context::Context;
use super::model::{self, LoadedLayer};
use super::settings::Run;
use super::shaders::Kernel;
use crate::chip::Chip;
use crate::engine::cpu::mean_readout;
use crate::engine::{Counts, LoadedChip, Outcome};
use crate::error::Result;
use crate::network::encode::{Encoding, PLANES, digit, fixed_point};
use crate::network::{Batch, Encoder};

/// A chip on the device.
pub struct GpuChip<'a> {
    pub(super) context: &'a Context,
    pub(super) chip: &'a Chip,
    layers: Vec<LoadedLayer>,
    pub(super) sizes: Sizes,
    buffers: Option<Buffers>,
}

impl<'a> GpuChip<'a> {
    pub(super) fn new(context: &'a Context, chip: &'a Chip) -> Result<Self> {
        let sizes = Sizes::new(chip, &context.limits)?;
        let layers = context.guard(|| model::load(context, chip))?;
        Ok(GpuChip { context, chip, layers, sizes, buffers: None })
    }

    /// Buffers for at least this many images, kept from batch to batch.
    pub(super) fn take_buffers(&mut self, images: usize) -> Result<Buffers> {
        match self.buffers.take() {
            Some(buffers) if buffers.images >= images => Ok(buffers),
            _ => self.context.guard(|| Ok(Buffers::new(self.context, &self.sizes, images))),
        }
    }

    /// Brings some images onto the device: Poisson images as they are, others as fixed-point inputs, which are counted
    /// into `input`. Returns the submission's settings.
    pub(super) fn upload(
        &self,
        buffers: &Buffers,
        encoder: &Encoder,
        batch: &Batch,
        images: Range<usize>,
        input: &mut [u64],
    ) -> Run {
        let first_steps = if encoder.is_static() { 1 } else { self.chip.steps };
        if encoder.encoding == Encoding::Poisson {
            let words: Vec<u32> = images
                .clone()
                .flat_map(|b| [batch.indices[b]].into_iter().chain(batch.image(b).iter().map(|value| value.to_bits())))
                .collect();
            self.context.write(&buffers.values, &words);
        } else {
            let integers: Vec<i32> =
                images.clone().flat_map(|b| batch.image(b)).map(|value| fixed_point(*value)).collect();
            for map in integers.chunks(first_steps * self.chip.input.len()) {
                let pulses: Vec<u64> = map.chunks(self.chip.input.len()).map(digits).collect();
                input.iter_mut().enumerate().for_each(|(t, count)| *count += pulses[t.min(first_steps - 1)]);
            }
            self.context.write(&buffers.pulses[0], &integers);
        }
        let [key_low, key_high] = encoder.key;
        let run = Run { images: images.len() as u32, first_steps: first_steps as u32, key_low, key_high };
        self.context.write(&buffers.run, &[run]);
        run
    }

    /// Records the Poisson draws of all images and steps, into the first of the pulses.
    pub(super) fn encode(&self, pass: &mut ComputePass, buffers: &Buffers, run: Run) {
        let threads = run.images as usize * self.chip.input.len().div_ceil(4);
        let flow = self.flow(buffers, &buffers.values, &buffers.pulses[0]);
        self.context.dispatch(pass, Kernel::Encode, (&self.layers[0].parts[0].group, &flow), threads, self.chip.steps);
    }

    /// Records a layer's column sums; inputs of several digit planes go to the first layer only.
    pub(super) fn sum(
        &self,
        pass: &mut ComputePass,
        buffers: &Buffers,
        run: Run,
        l: usize,
        planes: u32,
        from: &Buffer,
    ) {
        let kernel = if l == 0 && planes > 1 { Kernel::Digits } else { Kernel::Spikes };
        let steps = if l == 0 { run.first_steps as usize } else { self.chip.steps };
        let threads = run.images as usize * steps * self.chip.layers[l].plan.unrolling().pixels();
        let flow = self.flow(buffers, from, &buffers.sums);
        for part in &self.layers[l].parts {
            self.context.dispatch(pass, kernel, (&part.group, &flow), threads, part.blocks);
        }
    }

    fn record(&self, pass: &mut ComputePass, buffers: &Buffers, run: Run, planes: u32) {
        let images = run.images as usize;
        let [mut inputs, mut spikes] = buffers.pulses.each_ref();
        for (l, layer) in self.chip.layers.iter().enumerate() {
            let plan = &layer.plan;
            let group = &self.layers[l].parts[0].group;
            self.sum(pass, buffers, run, l, planes, inputs);
            if !plan.spikes() {
                let flow = self.flow(buffers, &buffers.sums, &buffers.readout);
                self.context.dispatch(pass, Kernel::Readout, (group, &flow), images * plan.columns(), 1);
                continue;
            }
            let flow = self.flow(buffers, &buffers.sums, spikes);
            self.context.dispatch(pass, Kernel::Neurons, (group, &flow), images * plan.output.len(), 1);
            if plan.pool == (1, 1) {
                std::mem::swap(&mut inputs, &mut spikes);
            } else {
                let flow = self.flow(buffers, spikes, inputs);
                let threads = images * self.chip.steps * plan.pooled().len();
                self.context.dispatch(pass, Kernel::Pool, (group, &flow), threads, 1);
            }
        }
    }

    fn flow(&self, buffers: &Buffers, from: &Buffer, to: &Buffer) -> BindGroup {
        self.context.flow(&buffers.run, from, to, &buffers.counts)
    }

    /// Runs some of the images; adds their readout sums and events.
    fn submit(
        &self,
        buffers: &Buffers,
        encoder: &Encoder,
        batch: &Batch,
        images: Range<usize>,
        (readout, counts): (&mut Vec<f32>, &mut Counts),
    ) -> Result<()> {
        let run = self.upload(buffers, encoder, batch, images.clone(), &mut counts.input);
        let mut commands = self.context.encoder();
        commands.clear_buffer(&buffers.counts, 0, None);
        let mut pass = commands.begin_compute_pass(&Default::default());
        if encoder.encoding == Encoding::Poisson {
            self.encode(&mut pass, buffers, run);
        }
        self.record(&mut pass, buffers, run, encoder.encoding.planes());
        drop(pass);
        let sums = images.len() * self.classes();
        let events = self.chip.layers.len() * self.chip.steps;
        let sources = [(&buffers.readout, 4 * sums as u64), (&buffers.counts, 4 * events as u64)];
        let words = self.context.finish(commands, &buffers.staging, &sources)?;
        let (sums, events) = words.split_at(sums);
        readout.extend(sums.iter().map(|word| f32::from_bits(*word)));
        let counters = std::iter::once(&mut counts.input).chain(&mut counts.spikes).flatten();
        counters.zip(events).for_each(|(count, events)| *count += u64::from(*events));
        Ok(())
    }

    fn classes(&self) -> usize {
        self.chip.layers.last().map_or(0, |layer| layer.plan.columns())
    }
}

impl LoadedChip for GpuChip<'_> {
    fn run(&mut self, encoder: &Encoder, batch: &Batch) -> Result<Outcome> {
        let chip = self.chip;
        let mut readout = Vec::new();
        let mut counts = Counts::new(chip.layers.len() - 1, chip.steps);
        let at_once = self.sizes.images.min(batch.len().max(1));
        let buffers = self.take_buffers(at_once)?;
        for first in (0..batch.len()).step_by(at_once) {
            let images = first..batch.len().min(first + at_once);
            self.context.guard(|| self.submit(&buffers, encoder, batch, images, (&mut readout, &mut counts)))?;
        }
        self.buffers = Some(buffers);
        let unit = chip.layers.last().map_or(1.0, |layer| layer.input_unit);
        let classes = self.classes();
        let logits = ndarray::Array2::from_shape_fn((batch.len(), classes), |(b, c)| {
            mean_readout(readout[b * classes + c], unit, chip.steps)
        });
        Ok(Outcome { logits, counts })
    }
}

/// Pulses of a map of fixed-point inputs: digits summed over the planes.
fn digits(map: &[i32]) -> u64 {
    map.iter().map(|n| (0..PLANES).map(|plane| u64::from(digit(*n, plane).unsigned_abs())).sum::<u64>()).sum()
}
