//! Profiles converters' ranges: training images run on the nominal chip, behind ideal converters, and every partial sum that
//! a converter would see is counted; each layer then takes the range that suits its sums best ([`crate::crossbar::adc`]).

use std::borrow::Borrow;

use rayon::prelude::*;

use super::cpu;
use super::evaluate::read_batch;
use crate::chip::{Blueprint, Chip, ProgrammedLayer};
use crate::crossbar::adc::Histogram;
use crate::crossbar::calibration::Calibration;
use crate::crossbar::converted::Wanted;
use crate::crossbar::laid::Laid;
use crate::crossbar::partials::Partials;
use crate::crossbar::sums::{Band, Input, Kernel, Scratch};
use crate::data::{Dataset, epoch_order};
use crate::error::{Error, Result};
use crate::kernels::digits::LANES;
use crate::monitor::interruptible;
use crate::network::neurons::Sums;
use crate::network::{Encoder, Inputs, LayerKind, Model};
use crate::profile::Profile;

/// The epoch that order and Poisson draws are keyed by: neither the test's, 0, nor one that a training reaches, nor that of
/// adapted norms.
const EPOCH: u64 = u64::MAX - 1;

/// The blueprint with the ranges that it asks for, from as many training images as its profile says, taken at random by
/// `seed`; `training` opens them, where they are needed.
///
/// # Errors
/// Those of `training`, and where the set has too few images or does not fit the model.
pub fn with_ranges<T: Borrow<Dataset>>(
    blueprint: Blueprint<'_>,
    seed: u64,
    training: impl FnOnce() -> Result<T>,
) -> Result<Blueprint<'_>> {
    if !blueprint.profile().wants_calibration() {
        return Ok(blueprint);
    }
    let training = training()?;
    let all = 0..training.borrow().len();
    with_ranges_of(blueprint, seed, training.borrow(), &all.collect::<Vec<_>>())
}

/// The same from some images of a set, by index.
pub fn with_ranges_of<'a>(
    blueprint: Blueprint<'a>,
    seed: u64,
    training: &Dataset,
    images: &[usize],
) -> Result<Blueprint<'a>> {
    if !blueprint.profile().wants_calibration() {
        return Ok(blueprint);
    }
    let calibration = calibrate(&blueprint, training, images, seed)?;
    Ok(blueprint.calibrated(calibration))
}

/// An error where a training set does not fit a model, or so many images of it are fewer than a profile asks for.
pub fn check(profile: &Profile, model: &Model, training: &Dataset, images: usize) -> Result<()> {
    super::evaluate::check_fit(training, model)?;
    let wanted = profile.adc.calibration_images;
    if wanted > images {
        return Err(Error::Mismatch(format!(
            "adc.calibration_images = {wanted}, and `{}` has {images} training images; expected at most so many",
            training.spec()
        )));
    }
    Ok(())
}

/// The ranges of a blueprint's converters.
fn calibrate(blueprint: &Blueprint, training: &Dataset, images: &[usize], seed: u64) -> Result<Calibration> {
    let (profile, model) = (blueprint.profile(), blueprint.model());
    check(profile, model, training, images.len())?;
    let encoder = Encoder::new(blueprint.inputs(), model.input, seed, EPOCH);
    let order = epoch_order(images.len(), seed, EPOCH, true);
    let chosen: Vec<usize> =
        order.into_iter().take(profile.adc.calibration_images).map(|place| images[place]).collect();
    let (batch, _) = read_batch(training, &chosen, None)?;
    batch.check(blueprint.inputs())?;
    interruptible(|| ranges(blueprint, &Inputs::new(encoder, batch, model.steps)))
}

/// The ranges for some inputs.
fn ranges(blueprint: &Blueprint, inputs: &Inputs) -> Result<Calibration> {
    let (ideal, converting) = (Chip::nominal(blueprint, false)?, Chip::nominal(blueprint, true)?);
    let sensors: Vec<Option<Sensor>> =
        (0..ideal.layers.len()).map(|l| Sensor::new(blueprint, &converting, l)).collect::<Result<_>>()?;
    let layers: Vec<cpu::Layer> =
        (0..ideal.layers.len()).map(|l| cpu::Layer::new(&ideal, l, Kernel::default())).collect();
    // Encoded now: threads that wait for it may take up work of their own.
    inputs.pulses();
    let empty = || sensors.iter().map(|sensor| sensor.as_ref().map_or(vec![], Sensor::histograms)).collect::<Vec<_>>();
    let counted = (0..inputs.batch.len())
        .into_par_iter()
        .fold(empty, |mut histograms, image| {
            count(&ideal, &layers, &sensors, inputs, image, &mut histograms);
            histograms
        })
        .reduce(empty, |mut all, more| {
            let pairs = all.iter_mut().flatten().zip(more.iter().flatten());
            pairs.for_each(|(all, more)| all.join(more));
            all
        });
    let converters = |(sensor, counted): (&Option<Sensor>, &Vec<Histogram>)| {
        let resolution = sensor.as_ref().map(|sensor| sensor.wanted.resolution);
        resolution
            .map_or(vec![], |resolution| counted.iter().map(|histogram| histogram.converter(resolution)).collect())
    };
    Ok(Calibration { layers: sensors.iter().zip(&counted).map(converters).collect() })
}

/// What counts a layer's partial sums.
struct Sensor {
    partials: Partials,
    wanted: Wanted,
    slices: usize,
}

impl Sensor {
    /// Of a layer behind converters.
    fn new(blueprint: &Blueprint, chip: &Chip, index: usize) -> Result<Option<Sensor>> {
        let ProgrammedLayer { plan, arrays, drive, .. } = &chip.layers[index];
        let Some(converted) = arrays.converted() else { return Ok(None) };
        let input = if index == 0 { Input::Encoded } else { Input::Pulses };
        Ok(Some(Sensor {
            partials: Partials::new(plan, converted, input, *drive),
            wanted: Wanted::of(blueprint.profile(), plan, &blueprint.arrays(index, plan, None)?, *drive),
            slices: converted.slices.len(),
        }))
    }

    /// One a slice, nothing counted.
    fn histograms(&self) -> Vec<Histogram> {
        vec![Histogram::new(self.wanted.reached, self.wanted.full); self.slices]
    }
}

/// Runs an image through all layers and counts what the sensors see.
fn count(
    chip: &Chip,
    layers: &[cpu::Layer],
    sensors: &[Option<Sensor>],
    inputs: &Inputs,
    image: usize,
    histograms: &mut [Vec<Histogram>],
) {
    let (mut laid, mut scratch) = (Laid::default(), Scratch::default());
    let mut pulses = None;
    for (l, layer) in layers.iter().enumerate() {
        let plan = &chip.layers[l].plan;
        let patches = layer.columns.patches();
        match &pulses {
            Some(pulses) => laid.pulses(patches, pulses, 0, chip.steps),
            None => laid.encoded(patches, inputs.pulses().image(image), inputs.encoder.code.planes() as usize),
        }
        let maps = laid.maps();
        let convolves = plan.kind == LayerKind::Conv;
        if let Some(sensor) = &sensors[l] {
            let band = |map| match convolves {
                true => Band { map, y: 0, rows: plan.output.height, maps: 1 },
                false => Band { map: 0, y: map, rows: 1, maps: 1 },
            };
            (0..maps).for_each(|map| sensor.partials.profile(&laid, band(map), plan.columns(), &mut histograms[l]));
        }
        let Some(neurons) = &layer.neurons else { break };
        let pixels = plan.output.height * plan.output.width;
        let (sums, block, step) = if convolves {
            let mut sums = vec![0.0; maps * layer.columns.blocks() * pixels * LANES];
            for (map, sums) in sums.chunks_mut(layer.columns.blocks() * pixels * LANES).enumerate() {
                let band = Band { map, y: 0, rows: plan.output.height, maps: 1 };
                layer.columns.sums(&laid, band, &mut scratch, sums);
            }
            (sums, pixels * LANES, layer.columns.blocks() * pixels * LANES)
        } else {
            (layer.columns.connect(&laid), maps * LANES, LANES)
        };
        let sums = Sums { sums: &sums, block, step: if maps == 1 { 0 } else { step }, y: 0, rows: plan.output.height };
        let mut next = plan.pulses(chip.steps);
        neurons.scan(sums, 0, &mut next, &mut vec![0; chip.steps]);
        pulses = Some(next);
    }
}
