//! The native engine: any model, any batch, on all cores.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Counts, Engine, Keep, LoadedChips, Logits, Outcome, check_steps};
use crate::chip::Chip;
use crate::error::Result;
use crate::forward::ready::Ready;
use crate::forward::stepping::Stepping;
use crate::forward::walk::{Fired, Given, Signal, Signals, Taken, Walker, walk};
use crate::forward::ways::Kernel;
use crate::kernels::digits::LANES;
use crate::network::Inputs;
use crate::network::graph::Population;

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
        Ok(Box::new(CpuChips(chips.iter().map(|chip| Ready::new(chip, self.kernel)).collect())))
    }
}

struct CpuChips<'a>(Vec<Ready<'a>>);

impl LoadedChips for CpuChips<'_> {
    fn run_keeping(&mut self, inputs: &Inputs, keep: Keep) -> Result<Vec<Outcome>> {
        check_steps(self.0.iter().map(|ready| ready.chip), inputs)?;
        self.0.iter().map(|ready| run(ready, inputs, keep)).collect()
    }
}

fn run(ready: &Ready, inputs: &Inputs, keep: Keep) -> Result<Outcome> {
    let chip = ready.chip;
    let (images, spiking) = (inputs.batch.len(), chip.layers.len() - 1);
    // An interrupted run may have left counts of clipped and saturated sums.
    ready.layers.iter().for_each(|layer| _ = layer.columns.take_tally());
    let mut logits = Logits::new(keep, chip, images);
    if images == 0 {
        return Ok(logits.close(keep, Counts::new(spiking, chip.steps), vec![]));
    }
    let (mut run, mut signals) = CpuRun::by_image(ready, inputs)?;
    walk(&mut run, &chip.graph, chip.graph.by_image()..chip.graph.nodes.len(), &mut signals)?;
    run.read_out(&signals.at(chip.graph.layers[spiking].from), &mut logits);
    let mut counts = Counts::new(spiking, chip.steps);
    run.events.iter().for_each(|image| counts.add(image));
    (counts.clipped, counts.saturated) = ready.layers.iter().map(|layer| layer.columns.take_tally()).unzip();
    counts.repeat_static(chip, inputs);
    Ok(logits.close(keep, counts, run.events))
}

/// A run of some images on a chip.
struct CpuRun<'a> {
    ready: &'a Ready<'a>,
    /// Events of each image.
    events: Vec<Counts>,
    /// The populations that run step by step.
    stepping: BTreeMap<usize, Stepping<'a>>,
}

impl<'a> CpuRun<'a> {
    /// Nothing ran yet of images from the first to below the second.
    fn new(ready: &'a Ready, inputs: &Inputs, images: (usize, usize), none: &Counts) -> Self {
        let events = (images.0..images.1).map(|b| Counts { input: inputs.sent(b), ..none.clone() });
        CpuRun { ready, events: events.collect(), stepping: BTreeMap::new() }
    }

    /// Takes each image through the first nodes by itself: what goes from one to the next stays in the cache.
    fn by_image<'i>(ready: &'a Ready, inputs: &'i Inputs) -> Result<(Self, Signals<'i>)> {
        let Chip { layers, graph, steps, .. } = ready.chip;
        let (all, nodes) = (Signal::of(inputs), graph.by_image());
        let none = Counts::new(layers.len() - 1, *steps).until(*steps);
        if nodes <= 1 {
            return Ok((CpuRun::new(ready, inputs, (0, inputs.batch.len()), &none), Signals::of(graph, all)));
        }
        // All images' drives are counted together, before each goes its own way.
        for layer in layers.iter().filter(|layer| layer.plan.from == 0) {
            inputs.drives(0, &layer.plan, ready.chip.inputs);
        }
        let one = |b: usize| -> Result<(Counts, Signals)> {
            let mut run = CpuRun::new(ready, inputs, (b, b + 1), &none);
            let mut signals = Signals::of(graph, Signal::Encoded { inputs, images: (b, b + 1) });
            walk(&mut run, graph, 1..nodes, &mut signals)?;
            Ok((run.events.swap_remove(0), signals))
        };
        let images = (0..inputs.batch.len()).into_par_iter().map(one).collect::<Result<Vec<_>>>()?;
        let (events, signals) = images.into_iter().unzip();
        Ok((CpuRun { ready, events, stepping: BTreeMap::new() }, Signals::of_batch(signals, all)))
    }

    /// Counts how often signals drive the rows of the layers that take them, from step `first` on.
    fn count_drives(&mut self, layers: &[(usize, Signal)], first: usize, steps: usize) {
        let chip = self.ready.chip;
        for (l, signal) in layers {
            let layer = &self.ready.layers[*l];
            for (b, events) in self.events.iter_mut().enumerate() {
                let drives = match signal {
                    Signal::Encoded { inputs, images } => inputs.drives(images.0 + b, layer.plan, chip.inputs),
                    Signal::Pulses { pulses, .. } => layer.drives(pulses, b * steps..(b + 1) * steps),
                };
                events.drives[*l][first..first + steps].copy_from_slice(&drives);
            }
        }
    }

    /// Counts what neurons at a node fired from step `first` on, and joins what they send.
    fn together(&mut self, node: usize, first: usize, fired: Vec<Fired>) -> Given {
        let leader = self.ready.chip.graph.nodes[node].population().map_or(0, Population::leader);
        Given::of_images(fired, |image, spikes| {
            self.events[image].spikes[leader][first..first + spikes.len()].copy_from_slice(&spikes);
        })
    }

    /// Runs the readout, the last layer.
    fn read_out(&mut self, signal: &Signal, logits: &mut Logits) {
        let (l, steps) = (self.ready.layers.len() - 1, self.ready.chip.steps);
        self.count_drives(&[(l, signal.clone())], 0, steps);
        let columns = &self.ready.layers[l].columns;
        let laid = signal.lay_out_all(columns);
        let sums = columns.connect(&laid);
        let images = self.events.len();
        let (given, classes) = (laid.maps() / images, self.ready.layers[l].plan.columns());
        for (b, c) in (0..images).flat_map(|b| (0..classes).map(move |c| (b, c))) {
            for t in 0..steps {
                logits.put(t, b, c, sums[((c / LANES * images + b) * given + t.min(given - 1)) * LANES + c % LANES]);
            }
        }
    }
}

impl<'a> Walker<'a> for CpuRun<'_> {
    fn fire(&mut self, node: usize, taken: Taken<'a>) -> Result<Given> {
        self.count_drives(&taken.layers, 0, self.ready.chip.steps);
        let fired = self.ready.fire(node, &taken, self.events.len(), |_, _| {});
        Ok(self.together(node, 0, fired))
    }

    fn enter(&mut self, node: usize, taken: Taken<'a>) -> Result<()> {
        self.count_drives(&taken.layers, 0, self.ready.chip.steps);
        let stepping = self.ready.enter(node, &taken, self.events.len(), |_, _| {});
        self.stepping.insert(node, stepping);
        Ok(())
    }

    fn step(&mut self, node: usize, t: usize, taken: Taken<'a>) -> Result<Given> {
        self.count_drives(&taken.layers, t, 1);
        let stepping = self.stepping.get_mut(&node).expect("a population steps that was entered");
        let fired = self.ready.step(node, t, stepping, &taken, |_, _| {});
        Ok(self.together(node, t, fired))
    }

    fn sizes(&self) -> (usize, usize) {
        (self.events.len(), self.ready.chip.steps)
    }
}
