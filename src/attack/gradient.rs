//! ∂loss/∂image on a programmed chip: backpropagation through time down to the pixels.
//!
//! Forward as the chip runs, on its weights, gains and offsets; backward by the default surrogate of training
//! (`∂spike/∂v = 0.3·max(0, 1 − |v|)`, the reset outside the gradient), through the first layer's transposed matrix to
//! the encoded pulses, and through the encoder: a direct input is the pixel at every step, ∂s/∂x = 1; a Poisson input
//! `sign(x)·[2r ≤ |x|]` has the mean x/2 up to |x| = 2 and ±1 beyond, so straight through it ∂s/∂x = ½ or 0.
//!
//! ∂loss/∂currents are rounded as in training, to the finer of its precisions, 23 bits of the largest that they can be
//! in the layer, here image by image: an image's gradient is the same bits in any batch and on any number of threads.

use std::sync::Arc;

use ndarray::Array2;

use crate::chip::{Chip, ProgrammedLayer};
use crate::error::{Error, Result};
use crate::forward::neurons::{Lanes, norms};
use crate::forward::walk::{Signal, Signals, walk};
use crate::forward::ways::Kernel;
use crate::kernels::digits::LANES;
use crate::network::varied::Varied;
use crate::network::{Encoding, Graph, Inputs};
use crate::plan::LayerPlan;
use crate::train::gradient::Precision;
use crate::train::graph::{Forward, RunLayers};
use crate::train::layer::LayerPass;
use crate::train::operands::Operands;
use crate::train::readout::{Loss, LossKind, ReadoutPass};
use crate::train::surrogate::Surrogate;

/// A chip as an attacker sees it who knows everything of it.
pub struct WhiteBox<'a> {
    chip: &'a Chip,
    operands: Vec<Operands>,
}

/// What a pass over a batch gives.
#[derive(Clone, Debug, PartialEq)]
pub struct InputGradient {
    /// Sum of the images' cross-entropies.
    pub loss: f64,
    /// `[images, classes]`: the chip's own.
    pub logits: Array2<f32>,
    /// ∂loss/∂x of the normalised images, `[images, channels, rows, columns]`.
    pub values: Vec<f32>,
}

/// An error unless inputs of this kind have a gradient.
pub fn check_encoding(encoding: Encoding) -> Result<()> {
    match encoding {
        Encoding::Frames => Err(Error::Usage(
            "an attack changes the pixels in front of an encoder; `frames` are the spikes themselves, given per step: \
             expected encoding `poisson` or `direct`"
                .into(),
        )),
        Encoding::Poisson | Encoding::Direct => Ok(()),
    }
}

impl<'a> WhiteBox<'a> {
    /// Makes a chip's matrices ready for products in both directions.
    pub fn new(chip: &'a Chip) -> Result<Self> {
        check_encoding(chip.code.encoding)?;
        LossKind::Logits.check(chip.graph.reading)?;
        let operands =
            |layer: &ProgrammedLayer| Operands::new(&layer.plan, &layer.arrays, Kernel::Auto, (true, Precision::Three));
        Ok(WhiteBox { chip, operands: chip.layers.iter().map(operands).collect() })
    }

    /// The chip.
    pub fn chip(&self) -> &'a Chip {
        self.chip
    }

    /// The gradient at the images of `inputs`, under their encoder's draw.
    ///
    /// # Panics
    /// If there is no image, or inputs, labels and chip do not fit together.
    pub fn gradient(&self, inputs: &Inputs, labels: &[u32]) -> Result<InputGradient> {
        let Chip { layers, steps, code, .. } = self.chip;
        let sizes = (inputs.batch.len(), *steps);
        assert!(sizes == (labels.len(), inputs.steps) && sizes.0 > 0, "{sizes:?} images and steps");
        assert!(inputs.encoder.code == *code && inputs.encoder.shape == self.chip.input, "other inputs");
        let graph = &*self.chip.graph;
        let (mut forward, mut signals) = (Forward::new(self, sizes, true), Signals::of(graph, Signal::of(inputs)));
        let last = layers.len() - 1;
        walk(&mut forward, graph, 1..graph.nodes.len(), &mut signals)?;
        let signal = signals.at(graph.layers[last].from);
        let (kind, surrogate) = (LossKind::Logits, Surrogate::default());
        let loss = Loss { labels, divisor: 1.0, kind, smoothing: 0.0, rates: [1.0, 0.0], surrogate };
        let bias = Some(&layers[last].offset[..]).filter(|bias| !bias.is_empty());
        let of_readout = (&*layers[last].plan, graph.reading, layers[last].varied.clone());
        let readout = ReadoutPass::run(of_readout, &self.operands[last], bias, &signal, *steps, &loss);
        let gradient = readout.backward_to_inputs();
        let reached = forward
            .back(gradient, (Surrogate::default(), 0.0), &|_| None, |_, layer, values| layer.backward_folded(values));
        let values = reached.inputs.iter().enumerate().flat_map(|(b, pulses)| self.through_encoder(inputs, b, pulses));
        Ok(InputGradient { loss: readout.loss, values: values.collect(), logits: readout.logits })
    }

    /// ∂loss/∂x of image `b` from ∂loss/∂pulses `[steps, blocks, pixels, 16]`.
    fn through_encoder(&self, inputs: &Inputs, b: usize, pulses: &[f32]) -> Vec<f32> {
        let shape = self.chip.input;
        let pixels = shape.height * shape.width;
        let step = shape.channels.div_ceil(LANES) * pixels * LANES;
        let slope = |x: f32| match self.chip.code.encoding {
            // Pulses count in units.
            Encoding::Direct | Encoding::Frames => 1.0 / self.chip.code.unit,
            Encoding::Poisson if x.abs() <= 2.0 => 0.5,
            Encoding::Poisson => 0.0,
        };
        let value = |(i, x): (usize, &f32)| {
            let (channel, pixel) = (i / pixels, i % pixels);
            let at = (channel / LANES * pixels + pixel) * LANES + channel % LANES;
            let sum: f32 = pulses.chunks(step).map(|pulses| pulses[at]).sum();
            slope(*x) * sum
        };
        inputs.batch.image(b).iter().enumerate().map(value).collect()
    }
}

impl<'a> RunLayers<'a> for &'a WhiteBox<'_> {
    fn graph(&self) -> &'a Graph {
        &self.chip.graph
    }

    fn of(&self, l: usize) -> (&'a LayerPlan, &'a Operands) {
        (&self.chip.layers[l].plan, &self.operands[l])
    }

    fn forward(&mut self, l: usize, sizes: (usize, usize), signal: Signal<'a>) -> Result<LayerPass<'a>> {
        let (layer, (plan, operands)) = (&self.chip.layers[l], self.of(l));
        Ok(LayerPass::forward_folded(plan, sizes, operands, (&layer.gain, &layer.offset), signal))
    }

    fn varied(&self, l: usize) -> Option<Arc<Varied>> {
        self.chip.layers[l].varied.clone()
    }

    fn stepped(&self, l: usize) -> Result<Vec<[Lanes; 2]>> {
        let layer = &self.chip.layers[l];
        Ok(norms(layer.plan.columns(), &layer.gain, &layer.offset))
    }
}
