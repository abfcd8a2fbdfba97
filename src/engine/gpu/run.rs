//! Loaded chips and their runs: a submission for as many images as the device takes at once, all chips, layers and
//! steps in it.

use std::ops::Range;
use std::sync::PoisonError;

use wgpu::{BindGroup, Buffer, ComputePass};

use super::buffers::{Buffers, KeptSteps, Sizes, Spare};
use super::context::{Context, LayerGroup};
use super::model::{self, LoadedLayer, pools_apart};
use super::packed::column_words;
use super::route::{KernelRoute, Op};
use super::settings::{LANES, Run, WORKGROUP};
use super::shaders::ShaderKernel;
use super::stamps::Stamps;
use crate::chip::Chip;
use crate::engine::{Counts, Keep, LoadedChips, Logits, Outcome, check_steps};
use crate::error::Result;
use crate::monitor::stop_if_asked;
use crate::network::graph::Population;
use crate::network::readout::ReadoutKind;
use crate::network::{Encoding, Inputs};

/// Chips on the device, run together.
pub struct GpuChips<'a> {
    pub(super) context: &'a Context,
    pub(super) spare: &'a Spare,
    pub(super) chips: &'a [Chip],
    layers: Vec<LoadedLayer>,
    pub(super) route: KernelRoute,
    /// The settings of what goes by no layer's, one an operation.
    beside: Vec<Option<LayerGroup>>,
    pub(super) sizes: Sizes,
}

impl<'a> GpuChips<'a> {
    pub(super) fn new((context, spare): (&'a Context, &'a Spare), chips: &'a [Chip]) -> Result<Self> {
        let route = KernelRoute::of(&chips[0], |l| pools_apart(&chips[0].layers[l].plan))?;
        let sizes = Sizes::new(&chips[0], chips.len(), &context.limits)?;
        let (layers, beside) = context.guard(|| model::load(context, chips, &route))?;
        Ok(GpuChips { context, spare, chips, layers, route, beside, sizes })
    }

    /// The first chip: the others differ in weights and norms alone.
    pub(super) fn chip(&self) -> &'a Chip {
        &self.chips[0]
    }

    /// Brings some images onto the device: Poisson images as they are, others encoded. Returns the submission's
    /// settings.
    pub(super) fn upload(&self, buffers: &Buffers, inputs: &Inputs, images: Range<usize>, kept: KeptSteps) -> Run {
        let (encoder, batch) = (&inputs.encoder, &inputs.batch);
        if encoder.code.encoding == Encoding::Poisson {
            let words: Vec<u32> = images
                .clone()
                .flat_map(|b| [batch.indices[b]].into_iter().chain(batch.image(b).iter().map(|value| value.to_bits())))
                .collect();
            self.context.write(&buffers.values, &words);
        } else {
            let pulses = inputs.pulses();
            let pixels = images.clone().flat_map(|b| pulses.image(b).chunks(encoder.shape.channels));
            self.context.write(&buffers.pulses[0], &pack(pixels));
        }
        self.context.write(&buffers.indices, &inputs.batch.indices[images.clone()]);
        let [key_low, key_high] = encoder.key;
        let first_steps = inputs.given_steps() as u32;
        let (images, kept_steps) = (images.len() as u32, kept.steps as u32);
        let image_counters = if kept.by_image { self.sizes.counts as u32 } else { 0 };
        let run = Run { images, first_steps, key_low, key_high, kept_steps, image_counters, fence: 0 };
        self.context.write(&buffers.run, &[run]);
        run
    }

    /// Records the Poisson draws of all images and steps, into the first of the pulses.
    pub(super) fn encode(&self, pass: &mut ComputePass, buffers: &Buffers, run: Run) {
        let pixels = self.chip().input.height * self.chip().input.width;
        let groups = run.images as usize * groups(pixels.div_ceil(4));
        let flow = self.flow(buffers, &buffers.values, &buffers.pulses[0]);
        let layer = &self.layers[0].parts[0].group;
        self.context.dispatch(pass, ShaderKernel::Encode, (layer, &flow), groups, self.chip().steps);
    }

    /// Records a layer's column sums.
    pub(super) fn sum(&self, pass: &mut ComputePass, buffers: &Buffers, run: Run, l: usize, from: &Buffer) {
        let from_input = self.chip().layers[l].plan.from == 0;
        let given = if from_input { run.first_steps as usize } else { self.chip().steps };
        let steps = given.max(self.layers[l].steps);
        let pixels = run.images as usize * steps * self.chip().layers[l].plan.unrolling().pixels();
        let flow = self.flow(buffers, from, &buffers.sums);
        let chips = self.chips.len();
        let LoadedLayer { parts, is_unfolded, fits_floats, reads, steps: _, is_noisy } = &self.layers[l];
        // A kernel in tiles makes one map of sums from one of inputs.
        let may_tile = *fits_floats && !(*is_noisy && given < steps);
        for part in parts {
            let limits = &self.context.limits;
            let kernel = match is_unfolded {
                true => ShaderKernel::unfolded(limits, may_tile, part.words, pixels / reads, chips * reads),
                false => ShaderKernel::sums(limits, part.words, pixels, chips),
            };
            let (words, tile_pixels) = kernel.tile();
            let (groups, depth) = match kernel {
                ShaderKernel::Converted => (groups(pixels * part.words), chips),
                ShaderKernel::Columns(_) => {
                    ((pixels / reads).div_ceil(tile_pixels), chips * reads * part.words.div_ceil(words))
                }
                _ => (pixels.div_ceil(tile_pixels), chips * part.words.div_ceil(words)),
            };
            self.context.dispatch(pass, kernel, (&part.group, &flow), groups, depth);
        }
    }

    /// Records an operation of the route.
    fn record(&self, pass: &mut ComputePass, buffers: &Buffers, run: Run, number: usize) {
        let (images, chips, steps) = (run.images as usize, self.chips.len(), self.chip().steps);
        let graph = &self.chip().graph;
        let leader = |node: usize| graph.nodes[node].population().map_or(0, Population::leader);
        let plan = |l: usize| &self.chip().layers[l].plan;
        // Words of a map before any pool behind its neurons.
        let words_of = |l: usize| plan(l).map().height * plan(l).map().width * column_words(plan(l));
        let words_at = |node: usize| {
            let map = graph.nodes[node].map;
            map.height * map.width * map.channels.div_ceil(LANES)
        };
        let maps = images * steps;
        let Buffers { pulses, sums, currents, readout, .. } = buffers;
        let mut run_on = |kernel, layer: Option<usize>, (from, to), threads: usize, depth| {
            let flow = self.flow(buffers, from, to);
            let group = layer.map(|l| &self.layers[l].parts[0].group).or(self.beside[number].as_ref());
            let group = group.expect("an operation of no layer has settings of its own");
            self.context.dispatch(pass, kernel, (group, &flow), groups(threads), depth);
        };
        match self.route.ops[number] {
            Op::Sums { layer, from } => self.sum(pass, buffers, run, layer, &pulses[from]),
            Op::Drives { layer, from } => {
                let input = plan(layer).input;
                let words = input.height * input.width * input.channels.div_ceil(LANES);
                run_on(ShaderKernel::Drives, Some(layer), (&pulses[from], sums), maps * words, chips);
            }
            Op::Join { layer, first, to } => {
                let kernel = if first { ShaderKernel::First } else { ShaderKernel::Join };
                run_on(kernel, Some(layer), (sums, &currents[to]), maps * words_of(layer), chips);
            }
            Op::Skip { node, from, to, .. } => {
                let threads = chips * maps * words_of(leader(node));
                run_on(ShaderKernel::Skip, None, (&pulses[from], &currents[to]), threads, 1);
            }
            Op::Lend { node, from, to } => {
                let threads = chips * maps * words_of(leader(node));
                run_on(ShaderKernel::Lend, None, (&currents[from], &currents[to]), threads, 1);
            }
            Op::Neurons { node, current, to } => {
                let plan = plan(leader(node));
                let window = if pools_apart(plan) { (1, 1) } else { plan.pool };
                let windows = plan.map().height.div_ceil(window.0) * plan.map().width.div_ceil(window.1);
                let from = current.map_or(sums, |current| &currents[current]);
                let flow = self.flow(buffers, from, &pulses[to]);
                let own = &self.layers[leader(node)].parts[0].group;
                let group = self.beside[number].as_ref().unwrap_or(own);
                let groups = images * groups(windows * column_words(plan));
                self.context.dispatch(pass, ShaderKernel::Neurons, (group, &flow), groups, chips);
            }
            Op::Pool { node, from, to } => {
                run_on(ShaderKernel::Pool, None, (&pulses[from], &pulses[to]), chips * maps * words_at(node), 1);
            }
            Op::Add { node, from, to } => {
                let threads = chips * maps * words_at(node);
                run_on(ShaderKernel::Add, None, (&pulses[from], &pulses[to]), threads, 1);
            }
            Op::Part { node, from, to, .. } => {
                run_on(ShaderKernel::Part, None, (&pulses[from], &pulses[to]), chips * maps * words_at(node), 1);
            }
            Op::Readout { layer } => {
                run_on(
                    ShaderKernel::Readout,
                    Some(layer),
                    (sums, readout),
                    chips * images * column_words(plan(layer)),
                    1,
                );
            }
        }
    }

    fn flow(&self, buffers: &Buffers, from: &Buffer, to: &Buffer) -> BindGroup {
        self.context.flow(&buffers.run, from, to, &buffers.counts, &buffers.indices)
    }

    /// Runs some of the images; gives the readout's sums over the steps up to each of the last kept ones, `[chips,
    /// images, kept steps, words]`, and the events of all or of each.
    fn submit(
        &self,
        buffers: &Buffers,
        inputs: &Inputs,
        images: Range<usize>,
        kept: KeptSteps,
    ) -> Result<[Vec<u32>; 2]> {
        let run = self.upload(buffers, inputs, images.clone(), kept);
        let mut commands = self.context.encoder();
        commands.clear_buffer(&buffers.counts, 0, None);
        let kernels = self.route.ops.len() + 1;
        let mut stamps = self.context.times.as_ref().map(|_| Stamps::new(self.context, kernels)).transpose()?;
        let is_drawn = inputs.encoder.code.encoding == Encoding::Poisson;
        for ops in self.sizes.pieces(&self.route.ops, images.len(), &self.context.limits) {
            if ops.start > 0 {
                self.context.submit(std::mem::replace(&mut commands, self.context.encoder()));
            }
            if let Some(stamps) = &mut stamps {
                if ops.start == 0 && is_drawn {
                    self.encode(&mut stamps.pass(&mut commands, "input: draws".into()), buffers, run);
                }
                for number in ops {
                    let mut pass = stamps.pass(&mut commands, self.route.ops[number].name(self.chip()));
                    self.record(&mut pass, buffers, run, number);
                }
                continue;
            }
            let mut pass = commands.begin_compute_pass(&Default::default());
            if ops.start == 0 && is_drawn {
                self.encode(&mut pass, buffers, run);
            }
            ops.for_each(|number| self.record(&mut pass, buffers, run, number));
        }
        let (sums, counters) =
            (images.len() * kept.steps * self.sizes.readout, self.sizes.counters(images.len(), kept));
        let results = [(&buffers.readout, 4 * sums as u64), (&buffers.counts, 4 * counters as u64)];
        let stamped = stamps.as_ref().map(|stamps| stamps.resolve(&mut commands));
        let sources: Vec<_> = results.into_iter().chain(stamped).collect();
        let mut words = self.context.finish(commands, &buffers.staging, &sources)?;
        let stamped = words.split_off(sums + counters);
        if let Some((stamps, times)) = stamps.zip(self.context.times.as_ref()) {
            stamps.add_to(&mut times.lock().unwrap_or_else(PoisonError::into_inner), &stamped);
        }
        let events = words.split_off(sums);
        Ok([words, events])
    }

    /// The events of each chip, as they are counted together.
    fn events(&self, mut events: &[u32]) -> Vec<Counts> {
        let (chips, layers, steps) = (self.chips.len(), self.chip().layers.len(), self.chip().steps);
        let mut take = |count: usize| -> Vec<u64> {
            let (mine, rest) = events.split_at(count);
            events = rest;
            mine.iter().map(|count| u64::from(*count)).collect()
        };
        let input = take(steps);
        let mut take_layers = |count: usize| (0..count).map(|_| take(steps)).collect::<Vec<_>>();
        let spikes: Vec<Vec<Vec<u64>>> = (0..chips).map(|_| take_layers(layers - 1)).collect();
        let drives: Vec<Vec<Vec<u64>>> = (0..chips).map(|_| take_layers(layers)).collect();
        let mut chip = |(spikes, drives)| {
            let (clipped, saturated) = take(2 * layers).chunks(2).map(|cut| (cut[0], cut[1])).unzip();
            Counts { input: input.clone(), spikes, drives, clipped, saturated }
        };
        spikes.into_iter().zip(drives).map(&mut chip).collect()
    }

    fn run_with(&self, buffers: &Buffers, inputs: &Inputs, at_once: usize, keep: Keep) -> Result<Vec<Outcome>> {
        let (chip, images) = (self.chip(), inputs.batch.len());
        let kept = self.kept(keep);
        let classes = chip.layers.last().map_or(0, |layer| layer.plan.columns());
        let words = classes.next_multiple_of(LANES);
        let is_mean = chip.graph.reading == ReadoutKind::Mean;
        let mut counts = vec![Counts::new(chip.layers.len() - 1, chip.steps); self.chips.len()];
        let mut by_image: Vec<Vec<Counts>> = vec![vec![]; self.chips.len()];
        let mut logits: Vec<Logits> = self.chips.iter().map(|chip| Logits::new(keep, chip, images)).collect();
        for first in (0..images).step_by(at_once) {
            stop_if_asked();
            let some = first..images.min(first + at_once);
            let [sums, events] = self.context.guard(|| self.submit(buffers, inputs, some.clone(), kept))?;
            for (logits, sums) in logits.iter_mut().zip(sums.chunks(some.len() * kept.steps * words)) {
                let steps = some.clone().flat_map(|b| (chip.steps - kept.steps..chip.steps).map(move |t| (b, t)));
                for ((b, t), sums) in steps.zip(sums.chunks(words)) {
                    let sums = sums.iter().take(classes).map(|word| f32::from_bits(*word));
                    for (class, sum) in sums.enumerate() {
                        if is_mean { logits.put_total(t, b, class, sum) } else { logits.put(t, b, class, sum) }
                    }
                }
            }
            for events in events.chunks(self.sizes.counts) {
                for ((counts, by_image), events) in counts.iter_mut().zip(&mut by_image).zip(self.events(events)) {
                    counts.add(&events);
                    if kept.by_image {
                        by_image.push(events.until(chip.steps));
                    }
                }
            }
        }
        if inputs.encoder.code.encoding != Encoding::Poisson {
            // Encoded on the host, and counted there.
            for b in 0..images {
                let mut sent = Counts::new(chip.layers.len() - 1, chip.steps);
                (sent.input, sent.drives[0]) = (inputs.sent(b), inputs.drives(b, &chip.layers[0].plan, chip.inputs));
                counts.iter_mut().chain(by_image.iter_mut().filter_map(|of| of.get_mut(b))).for_each(|c| c.add(&sent));
            }
        }
        counts.iter_mut().for_each(|counts| counts.repeat_static(chip, inputs));
        let closed = logits.into_iter().zip(counts).zip(by_image);
        Ok(closed.map(|((logits, counts), by_image)| logits.close(keep, counts, by_image)).collect())
    }

    /// What comes back of each image.
    pub(super) fn kept(&self, keep: Keep) -> KeptSteps {
        // The host reads the sums of every step unless the logits are their mean.
        let is_mean = self.chip().graph.reading == ReadoutKind::Mean;
        let steps = if is_mean { keep.of(self.chip().steps) } else { self.chip().steps };
        KeptSteps { steps, by_image: keep == Keep::Every }
    }
}

impl LoadedChips for GpuChips<'_> {
    fn run_keeping(&mut self, inputs: &Inputs, keep: Keep) -> Result<Vec<Outcome>> {
        check_steps(self.chips.iter(), inputs)?;
        let kept = self.kept(keep);
        let at_once = self.sizes.images_keeping(kept).min(inputs.batch.len()).max(1);
        let buffers = self
            .context
            .guard(|| Ok(Buffers::take((self.context, self.spare), (&self.sizes, &self.route), at_once, kept)))?;
        let outcomes = self.run_with(&buffers, inputs, at_once, keep)?;
        buffers.give_back(self.spare);
        Ok(outcomes)
    }
}

/// Chips that do not fit together, in groups one after the other.
pub struct ChipGroups<'a>(pub(super) Vec<GpuChips<'a>>);

impl LoadedChips for ChipGroups<'_> {
    fn run_keeping(&mut self, inputs: &Inputs, keep: Keep) -> Result<Vec<Outcome>> {
        let outcomes: Result<Vec<_>> = self.0.iter_mut().map(|chips| chips.run_keeping(inputs, keep)).collect();
        Ok(outcomes?.concat())
    }
}

/// Workgroups of so many threads.
fn groups(threads: usize) -> usize {
    threads.div_ceil(WORKGROUP as usize)
}

/// Pixels' channels as words, a signed byte each.
pub(super) fn pack<'a>(pixels: impl Iterator<Item = &'a [i8]>) -> Vec<u32> {
    let word = |lanes: &[i8]| lanes.iter().rev().fold(0, |word, lane| word << 8 | u32::from(*lane as u8));
    pixels.flat_map(|pixel| pixel.chunks(LANES).map(word)).collect()
}
