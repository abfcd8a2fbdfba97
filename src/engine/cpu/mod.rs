//! The native engine: any model, any batch, on all cores.
//!
//! Layers feed forward only, so each runs over all steps before the next. Convolutions go image by image, a task each,
//! and within an image in bands of rows whose sums of all steps stay in the second cache; fully connected layers take
//! the whole batch, so that their matrix is read once. Sums are exact, so neither the kernel chosen nor the number of
//! threads shows in a result.

use std::cell::RefCell;

use rayon::prelude::*;

use super::{Counts, Engine, Keep, LoadedChips, Logits, Outcome, check_steps};
use crate::chip::Chip;
use crate::crossbar::columns::Columns;
use crate::crossbar::laid::Laid;
use crate::crossbar::sums::{Band, Input, Kernel, Scratch};
use crate::error::Result;
use crate::kernels::digits::LANES;
use crate::network::drive::{fan_out, of_pulses};
use crate::network::neurons::{Neurons, Sums};
use crate::network::pulses::Pulses;
use crate::network::{Inputs, LayerKind};

/// Floats of a band's sums over all steps: half of a usual second cache.
const BAND: usize = 1 << 17;

/// Runs chips on this machine's cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuEngine {
    /// How sums are computed; never changes a result.
    pub kernel: Kernel,
}

impl Engine for CpuEngine {
    fn name(&self) -> String {
        "cpu".into()
    }

    fn load<'a>(&'a self, chips: &'a [Chip]) -> Result<Box<dyn LoadedChips + 'a>> {
        let load = |chip: &'a Chip| {
            let layers = (0..chip.layers.len()).map(|l| Layer::new(chip, l, self.kernel)).collect();
            CpuChip { chip, layers }
        };
        Ok(Box::new(CpuChips(chips.iter().map(load).collect())))
    }
}

struct CpuChips<'a>(Vec<CpuChip<'a>>);

impl LoadedChips for CpuChips<'_> {
    fn run_keeping(&mut self, inputs: &Inputs, keep: Keep) -> Result<Vec<Outcome>> {
        check_steps(self.0.iter().map(|loaded| loaded.chip), inputs)?;
        Ok(self.0.iter().map(|chip| chip.run(inputs, keep)).collect())
    }
}

struct CpuChip<'a> {
    chip: &'a Chip,
    layers: Vec<Layer>,
}

/// A layer, ready to run.
pub(super) struct Layer {
    pub columns: Columns,
    pub neurons: Option<Neurons>,
    /// Output pixels whose window holds each input pixel.
    fan: Vec<u32>,
}

impl Layer {
    pub fn new(chip: &Chip, l: usize, kernel: Kernel) -> Self {
        let layer = &chip.layers[l];
        let input = if l == 0 { Input::Encoded } else { Input::Pulses };
        Layer {
            columns: Columns::new(&layer.plan, &layer.arrays, input, layer.drive, kernel),
            neurons: layer.plan.spikes().then(|| Neurons::new(&layer.plan, chip.neuron, &layer.gain, &layer.offset)),
            fan: fan_out(layer.plan.unrolling(), layer.plan.input.height * layer.plan.input.width),
        }
    }
}

/// Work space of a thread, kept from image to image.
#[derive(Default)]
struct Space {
    laid: Laid,
    scratch: Scratch,
    sums: Vec<f32>,
}

thread_local! {
    static SPACE: RefCell<Space> = RefCell::default();
}

impl CpuChip<'_> {
    fn run(&self, inputs: &Inputs, keep: Keep) -> Outcome {
        let chip = self.chip;
        let (images, steps) = (inputs.batch.len(), chip.steps);
        let spiking = chip.layers.len() - 1;
        let classes = chip.layers[spiking].plan.columns();
        // Of a run that was given up.
        self.layers.iter().for_each(|layer| _ = layer.columns.take_tally());
        let mut logits = Logits::new(keep, steps, (images, classes), chip.layers[spiking].input_unit);
        if images == 0 {
            return logits.close(keep, Counts::new(spiking, steps), vec![]);
        }
        let convolutions = chip.layers.iter().filter(|l| l.plan.kind == LayerKind::Conv).count();
        let encoded = inputs.pulses();
        let planes = inputs.encoder.code.planes() as usize;
        let mut events = vec![Counts::new(spiking, steps).until(steps); images];
        for (b, events) in events.iter_mut().enumerate() {
            events.input = inputs.sent(b);
            events.drives[0] = inputs.drives(b, &chip.layers[0].plan, chip.inputs);
        }
        let mut laid = Laid::default();
        let mut pulses = None;
        if convolutions == 0 {
            self.layers[0].columns.lay_out(&mut laid, encoded.all(), planes, images);
        } else {
            let convolved: Vec<(Option<Pulses>, Counts)> =
                (0..images).into_par_iter().map(|b| self.convolve(inputs, b, convolutions)).collect();
            events.iter_mut().zip(&convolved).for_each(|(events, (_, more))| events.add(more));
            pulses = Pulses::concatenate(convolved.into_iter().filter_map(|(pulses, _)| pulses));
        }
        for l in convolutions..spiking {
            let layer = &self.layers[l];
            if let Some(pulses) = &pulses {
                laid.pulses(layer.columns.patches(), pulses, 0, pulses.maps());
                self.count_drives(l, pulses, &mut events);
            }
            let given = laid.maps() / images;
            let sums = layer.columns.connect(&laid);
            let Some(neurons) = &layer.neurons else { continue };
            let scanned: Vec<(Pulses, Vec<u64>)> = (0..images)
                .into_par_iter()
                .map(|b| {
                    let mut pulses = chip.layers[l].plan.pulses(steps);
                    let mut fired = vec![0; steps];
                    let step = if given == 1 { 0 } else { LANES };
                    let block = images * given * LANES;
                    let sums = Sums { sums: &sums[b * given * LANES..], block, step, y: 0, rows: 1 };
                    neurons.scan(sums, 0, &mut pulses, &mut fired);
                    (pulses, fired)
                })
                .collect();
            pulses = Pulses::concatenate(scanned.into_iter().zip(&mut events).map(|((pulses, fired), events)| {
                events.spikes[l] = fired;
                pulses
            }));
        }
        let layer = &self.layers[spiking];
        if let Some(pulses) = &pulses {
            laid.pulses(layer.columns.patches(), pulses, 0, pulses.maps());
            self.count_drives(spiking, pulses, &mut events);
        }
        let readout = layer.columns.connect(&laid);
        for (b, c) in (0..images).flat_map(|b| (0..classes).map(move |c| (b, c))) {
            let mut sum = 0.0;
            for t in 0..steps {
                sum += readout[((c / LANES * images + b) * steps + t) * LANES + c % LANES];
                logits.put(t, b, c, sum);
            }
        }
        let mut counts = Counts::new(spiking, steps);
        events.iter().for_each(|image| counts.add(image));
        (counts.clipped, counts.saturated) = self.layers.iter().map(|layer| layer.columns.take_tally()).unzip();
        counts.repeat_first(chip, inputs);
        logits.close(keep, counts, events)
    }
}

/// `(1/T)·Σ_t W·s_t` from the sum over T steps counted in pulses of `unit`.
pub(crate) fn mean_readout(sum: f32, unit: f32, steps: usize) -> f32 {
    sum * unit / steps as f32
}

impl CpuChip<'_> {
    /// Adds how often maps `[images·steps]` of pulses drive the rows of layer `l` to the images' events.
    fn count_drives(&self, l: usize, pulses: &Pulses, events: &mut [Counts]) {
        for map in 0..pulses.maps() {
            let (image, step) = (map / self.chip.steps, map % self.chip.steps);
            events[image].drives[l][step] += of_pulses(pulses, map, &self.layers[l].fan, self.chip.inputs);
        }
    }

    /// Runs image `b` through the first `layers` layers, and counts what their neurons and rows do.
    fn convolve(&self, inputs: &Inputs, b: usize, layers: usize) -> (Option<Pulses>, Counts) {
        let steps = self.chip.steps;
        let planes = inputs.encoder.code.planes() as usize;
        let (spikes, drives) = (vec![vec![0; steps]; layers], vec![vec![0; steps]; layers]);
        let mut counts = Counts { spikes, drives, ..Counts::default() };
        let mut pulses: Option<Pulses> = None;
        SPACE.with_borrow_mut(|Space { laid, scratch, sums }| {
            for (l, layer) in self.layers.iter().enumerate().take(layers) {
                match &pulses {
                    Some(pulses) => {
                        laid.pulses(layer.columns.patches(), pulses, 0, steps);
                        self.count_drives(l, pulses, std::slice::from_mut(&mut counts));
                    }
                    None => layer.columns.lay_out(laid, inputs.pulses().image(b), planes, 1),
                }
                let Some(neurons) = &layer.neurons else { continue };
                let plan = &self.chip.layers[l].plan;
                let mut next = self.chip.layers[l].plan.pulses(steps);
                let given = laid.maps();
                let row = plan.output.width * layer.columns.blocks() * LANES;
                let rows = (BAND / (given * row)).max(1).next_multiple_of(plan.pool.0).clamp(1, plan.output.height);
                for y in (0..plan.output.height).step_by(rows) {
                    let rows = rows.min(plan.output.height - y);
                    sums.resize(given * rows * row, 0.0);
                    let at_once = if rows == plan.output.height { layer.columns.maps_at_once() } else { 1 };
                    for (i, sums) in sums.chunks_mut(at_once * rows * row).enumerate() {
                        let maps = sums.len() / (rows * row);
                        layer.columns.sums(laid, Band { map: i * at_once, y, rows, maps }, scratch, sums);
                    }
                    let step = if given == 1 { 0 } else { rows * row };
                    let block = rows * plan.output.width * LANES;
                    neurons.scan(Sums { sums, block, step, y, rows }, 0, &mut next, &mut counts.spikes[l]);
                }
                pulses = Some(next);
            }
        });
        (pulses, counts)
    }
}
