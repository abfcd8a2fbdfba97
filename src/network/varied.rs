//! Neurons whose constants differ, as the arithmetic of a chip's periphery holds them: blocks of channels, place by
//! place.

use super::constants::{Constant, Constants, Extent};
use super::dynamics::Dynamics;
use super::lif::Lif;
use super::neuron::Neuron;
use crate::error::{Error, Result};
use crate::kernels::digits::LANES;
use crate::numeric::Shape;
use crate::profile::NeuronFormat;

/// The constants of a block of channels at a place, as the arithmetic of the neurons holds them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LaneConstants {
    /// Leak λ.
    pub leak: [f32; LANES],
    /// Threshold θ.
    pub threshold: [f32; LANES],
    /// Factor of the current: 1, or 1 − λ.
    pub input: [f32; LANES],
    /// Leak α of the synaptic current.
    pub synaptic_leak: [f32; LANES],
    /// Rise β of the threshold.
    pub adaptation: [f32; LANES],
    /// Leak ρ of the trace of spikes.
    pub adaptation_leak: [f32; LANES],
    /// The share of the potential that a spike takes away.
    pub taken: [f32; LANES],
}

/// Neurons' constants, `[blocks, places]`: a place is a pixel, or stands for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Varied {
    /// Pixels of a block, or 1.
    pub places: usize,
    /// The constants.
    pub lanes: Vec<LaneConstants>,
    /// What all neurons share.
    pub common: Dynamics,
    /// Whether the current is multiplied by 1 − λ.
    pub scales_input: bool,
    /// Whether training moves any of them.
    pub learns: bool,
}

impl LaneConstants {
    /// A neuron's leak and threshold, and the rest, which takes what all share from `common`.
    #[inline(always)]
    pub fn at(&self, o: usize, common: &Dynamics) -> ((f32, f32), Dynamics) {
        let dynamics = Dynamics {
            input: self.input[o],
            synaptic_leak: self.synaptic_leak[o],
            adaptation: self.adaptation[o],
            adaptation_leak: self.adaptation_leak[o],
            taken: self.taken[o],
            ..*common
        };
        ((self.leak[o], self.threshold[o]), dynamics)
    }

    /// Constants of no neuron, which never fires.
    const NONE: LaneConstants = LaneConstants {
        leak: [0.0; LANES],
        threshold: [1.0; LANES],
        input: [1.0; LANES],
        synaptic_leak: [0.0; LANES],
        adaptation: [0.0; LANES],
        adaptation_leak: [0.0; LANES],
        taken: [0.0; LANES],
    };
}

impl Varied {
    /// The constants of neurons on a map, with a checkpoint's values, in an arithmetic; none where no constant is a
    /// tensor.
    ///
    /// # Errors
    /// Where the arithmetic does not hold the threshold of a neuron that fires.
    pub fn of(
        neuron: Neuron,
        map: Shape,
        values: &Constants,
        (format, fires): (&NeuronFormat, bool),
    ) -> Result<Option<Self>> {
        let learns = neuron.constants().any(|(.., is_learned)| is_learned);
        let extents: Vec<(Constant, Extent)> = neuron.constants().map(|(c, extent, _)| (c, extent)).collect();
        if extents.is_empty() {
            return Ok(None);
        }
        let by_pixel = extents.iter().any(|(_, extent)| *extent == Extent::Neuron);
        let places = if by_pixel { map.height * map.width } else { 1 };
        let mut lanes = vec![LaneConstants::NONE; map.channels.div_ceil(LANES) * places];
        let mut common = Dynamics::of(neuron);
        for (channel, place) in (0..map.channels).flat_map(|channel| (0..places).map(move |place| (channel, place))) {
            let mut one = neuron;
            for (constant, extent) in &extents {
                one.set(*constant, values[constant][extent.at(map, channel, place)]);
            }
            if fires {
                let within = |error| Error::Mismatch(format!("neuron {place} of channel {channel}: {error}"));
                Lif::check_threshold(one, format).map_err(within)?;
            }
            let Lif { leak, threshold, general, .. } = Lif::of(one, format);
            let Some(dynamics) = general else { continue };
            let (to, o) = (&mut lanes[channel / LANES * places + place], channel % LANES);
            to.leak[o] = leak;
            to.threshold[o] = threshold;
            to.input[o] = dynamics.input;
            to.synaptic_leak[o] = dynamics.synaptic_leak;
            to.adaptation[o] = dynamics.adaptation;
            to.adaptation_leak[o] = dynamics.adaptation_leak;
            to.taken[o] = dynamics.taken;
            common = dynamics;
        }
        Ok(Some(Varied { places, lanes, common, scales_input: neuron.scaled_input, learns }))
    }

    /// Sums of values of each neuron, `[blocks, places]`, over those that share a constant.
    pub fn shared(&self, extent: Extent, map: Shape, values: impl Fn(usize, usize) -> f64) -> Vec<f32> {
        let mut sums = vec![0.0f64; extent.count(map)];
        for (channel, place) in (0..map.channels).flat_map(|c| (0..self.places).map(move |place| (c, place))) {
            sums[extent.at(map, channel, place)] += values(channel / LANES * self.places + place, channel % LANES);
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// The constants of one neuron that stands in a row, by itself.
    pub fn alone(&self, neuron: usize) -> Self {
        let (lanes, o) = (&self.lanes[self.index(neuron / LANES, 0)], neuron % LANES);
        let LaneConstants { leak, threshold, input, synaptic_leak, adaptation, adaptation_leak, taken } = *lanes;
        let alone = LaneConstants {
            leak: [leak[o]; LANES],
            threshold: [threshold[o]; LANES],
            input: [input[o]; LANES],
            synaptic_leak: [synaptic_leak[o]; LANES],
            adaptation: [adaptation[o]; LANES],
            adaptation_leak: [adaptation_leak[o]; LANES],
            taken: [taken[o]; LANES],
        };
        Varied { places: 1, lanes: vec![alone], ..*self }
    }

    /// The number of a block's constants at a pixel.
    #[inline(always)]
    pub fn index(&self, block: usize, pixel: usize) -> usize {
        block * self.places + if self.places == 1 { 0 } else { pixel }
    }

    /// The constants of a neuron that stands in a row.
    pub fn in_row(&self, neuron: usize) -> ((f32, f32), Dynamics) {
        self.lanes[self.index(neuron / LANES, 0)].at(neuron % LANES, &self.common)
    }
}
