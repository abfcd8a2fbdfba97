//! The native engine: any model, any batch, on all cores.

use rayon::prelude::*;

use super::{Counts, Engine, Keep, LoadedChips, Logits, Outcome, check_steps};
use crate::chip::Chip;
use crate::error::Result;
use crate::forward::layer::Layer;
use crate::forward::sums::Kernel;
use crate::forward::walk::{Signal, Walker, walk};
use crate::kernels::digits::LANES;
use crate::network::Inputs;
use crate::network::pulses::Pulses;

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
        let load = |chip: &'a Chip| CpuChip { chip, layers: Layer::all(chip, self.kernel) };
        Ok(Box::new(CpuChips(chips.iter().map(load).collect())))
    }
}

struct CpuChips<'a>(Vec<CpuChip<'a>>);

impl LoadedChips for CpuChips<'_> {
    fn run_keeping(&mut self, inputs: &Inputs, keep: Keep) -> Result<Vec<Outcome>> {
        check_steps(self.0.iter().map(|loaded| loaded.chip), inputs)?;
        self.0.iter().map(|chip| chip.run(inputs, keep)).collect()
    }
}

struct CpuChip<'a> {
    chip: &'a Chip,
    layers: Vec<Layer<'a>>,
}

impl CpuChip<'_> {
    fn run(&self, inputs: &Inputs, keep: Keep) -> Result<Outcome> {
        let chip = self.chip;
        let (images, steps, spiking) = (inputs.batch.len(), chip.steps, chip.layers.len() - 1);
        // A run that was given up has left some.
        self.layers.iter().for_each(|layer| _ = layer.columns.take_tally());
        let mut logits = Logits::new(keep, chip, images);
        if images == 0 {
            return Ok(logits.close(keep, Counts::new(spiking, steps), vec![]));
        }
        let (mut run, signal) = Run::convolved(self, inputs)?;
        let signal = walk(&mut run, chip.convolutions()..spiking, signal)?;
        run.read_out(&signal, &mut logits);
        let mut counts = Counts::new(spiking, steps);
        run.events.iter().for_each(|image| counts.add(image));
        (counts.clipped, counts.saturated) = self.layers.iter().map(|layer| layer.columns.take_tally()).unzip();
        counts.repeat_first(chip, inputs);
        Ok(logits.close(keep, counts, run.events))
    }
}

/// A run of some images on a chip.
struct Run<'a> {
    chip: &'a CpuChip<'a>,
    /// Events of each image.
    events: Vec<Counts>,
}

impl<'a> Run<'a> {
    /// Nothing ran yet of images from the first to below the second.
    fn new(chip: &'a CpuChip, inputs: &Inputs, images: (usize, usize), none: &Counts) -> Self {
        let events = (images.0..images.1).map(|b| Counts { input: inputs.sent(b), ..none.clone() });
        Run { chip, events: events.collect() }
    }

    /// Takes each image through all convolutions by itself: what goes from one to the next stays in the cache.
    fn convolved<'i>(chip: &'a CpuChip, inputs: &'i Inputs) -> Result<(Self, Signal<'i>)> {
        let Chip { layers, steps, .. } = chip.chip;
        let (all, convolutions) = (Signal::of(inputs), chip.chip.convolutions());
        let none = Counts::new(layers.len() - 1, *steps).until(*steps);
        if convolutions == 0 {
            return Ok((Run::new(chip, inputs, (0, inputs.batch.len()), &none), all));
        }
        // All images' drives are counted together, before each goes its own way.
        inputs.drives(0, &layers[0].plan, chip.chip.inputs);
        let one = |b: usize| -> Result<(Counts, Signal)> {
            let mut run = Run::new(chip, inputs, (b, b + 1), &none);
            let signal = walk(&mut run, 0..convolutions, Signal::Encoded { inputs, images: (b, b + 1) })?;
            Ok((run.events.swap_remove(0), signal))
        };
        let images = (0..inputs.batch.len()).into_par_iter().map(one).collect::<Result<Vec<_>>>()?;
        let (events, signals) = images.into_iter().unzip();
        Ok((Run { chip, events }, Signal::joined(signals)))
    }

    /// Counts how often the signal drives the rows of layer `l`.
    fn count_drives(&mut self, l: usize, signal: &Signal) {
        let (layer, chip) = (&self.chip.layers[l], self.chip.chip);
        for (b, events) in self.events.iter_mut().enumerate() {
            events.drives[l] = match signal {
                Signal::Encoded { inputs, images } => inputs.drives(images.0 + b, &chip.layers[l].plan, chip.inputs),
                Signal::Pulses(pulses) => layer.drives(pulses, b),
            };
        }
    }

    /// Runs the readout, the last layer.
    fn read_out(&mut self, signal: &Signal, logits: &mut Logits) {
        let l = self.chip.layers.len() - 1;
        self.count_drives(l, signal);
        let columns = &self.chip.layers[l].columns;
        let laid = signal.lay_out_all(columns);
        let sums = columns.connect(&laid);
        let (images, steps) = (self.events.len(), self.chip.chip.steps);
        let (given, classes) = (laid.maps() / images, self.chip.chip.layers[l].plan.columns());
        for (b, c) in (0..images).flat_map(|b| (0..classes).map(move |c| (b, c))) {
            let mut sum = 0.0;
            for t in 0..steps {
                sum += sums[((c / LANES * images + b) * given + t.min(given - 1)) * LANES + c % LANES];
                logits.put(t, b, c, sum);
            }
        }
    }
}

impl<'a> Walker<'a> for Run<'_> {
    fn spiking(&mut self, l: usize, signal: Signal<'a>) -> Result<Pulses> {
        self.count_drives(l, &signal);
        let fired = self.chip.layers[l].fire(&signal, self.events.len(), |_| {});
        let pulses = fired.into_iter().zip(&mut self.events).map(|((pulses, fired), events)| {
            events.spikes[l] = fired;
            pulses
        });
        Ok(Pulses::concatenate(pulses).expect("a batch has an image"))
    }
}

/// `(1/T)·Σ_t W·s_t` from the sum over T steps counted in pulses of `unit`.
pub(crate) fn mean_readout(sum: f32, unit: f32, steps: usize) -> f32 {
    sum * unit / steps as f32
}
