//! The one way forward of a batch: inference, calibration and training each do their own at a layer, and the walk takes what the
//! layer's neurons send to the next.

use std::ops::Range;
use std::sync::Arc;

use super::columns::Columns;
use super::laid::Laid;
use crate::error::Result;
use crate::network::Inputs;
use crate::network::pulses::Pulses;

/// The inputs of a layer over some images.
#[derive(Clone)]
pub enum Signal<'a> {
    /// The network's input.
    Encoded {
        /// All images, encoded.
        inputs: &'a Inputs,
        /// The first image that is meant, and the end of those that are.
        images: (usize, usize),
    },
    /// Pulses of the layer before, `[images·steps]` maps.
    Pulses(Arc<Pulses>),
}

/// The work that is done at each layer on the way.
pub trait Walker<'a> {
    /// Runs layer `l` and its neurons on a signal; gives the pulses that they send, `[images·steps]` maps.
    fn spiking(&mut self, l: usize, signal: Signal<'a>) -> Result<Pulses>;
}

/// Takes a signal through some layers with neurons; gives what the last of them sends.
pub fn walk<'a>(walker: &mut impl Walker<'a>, layers: Range<usize>, signal: Signal<'a>) -> Result<Signal<'a>> {
    layers.into_iter().try_fold(signal, |signal, l| Ok(Signal::Pulses(Arc::new(walker.spiking(l, signal)?))))
}

impl<'a> Signal<'a> {
    /// The network's input of all images, encoded now: threads that wait for it may take up work of their own.
    pub fn of(inputs: &'a Inputs) -> Self {
        inputs.pulses();
        Signal::Encoded { inputs, images: (0, inputs.batch.len()) }
    }

    /// Pulses of images, each by itself so far.
    pub fn joined(signals: Vec<Signal<'a>>) -> Self {
        let pulses = signals.into_iter().filter_map(|signal| match signal {
            Signal::Pulses(pulses) => Some(Arc::unwrap_or_clone(pulses)),
            Signal::Encoded { .. } => None,
        });
        Signal::Pulses(Arc::new(
            Pulses::concatenate(pulses).expect("a batch has an image, and it went through a layer"),
        ))
    }

    /// Lays out an image's maps; one where every step has the same.
    pub fn lay_out(&self, columns: &Columns, image: usize, steps: usize, laid: &mut Laid) {
        match self {
            Signal::Pulses(pulses) => laid.pulses(columns.patches(), pulses, image * steps, steps),
            Signal::Encoded { inputs, images } => {
                let planes = inputs.encoder.code.planes() as usize;
                columns.lay_out(laid, inputs.pulses().image(images.0 + image), planes, 1);
            }
        }
    }

    /// Lays out the maps of all images.
    pub fn lay_out_all(&self, columns: &Columns) -> Laid {
        let mut laid = Laid::default();
        match self {
            Signal::Pulses(pulses) => laid.pulses(columns.patches(), pulses, 0, pulses.maps()),
            Signal::Encoded { inputs, images } => {
                let planes = inputs.encoder.code.planes() as usize;
                columns.lay_out(&mut laid, inputs.pulses().images(*images), planes, images.1 - images.0);
            }
        }
        laid
    }
}
