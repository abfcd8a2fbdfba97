//! Profiles a network: training images run on the nominal chip, behind ideal converters. Every partial sum that a
//! converter would see is counted, and each layer then takes the range that suits its sums best
//! ([`crate::crossbar::adc`]); so is every pulse on a word line, where reads disturb cells.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::evaluate::read_batch;
use crate::chip::{Blueprint, Chip, ProgrammedLayer};
use crate::crossbar::adc::{Converter, Histogram};
use crate::crossbar::arrays::Arrays;
use crate::crossbar::calibration::{Calibration, RowInput};
use crate::crossbar::converted::ConverterRange;
use crate::data::{Dataset, epoch_order};
use crate::error::{Error, Result};
use crate::forward::driven::{Driven, Driving, Set};
use crate::forward::laid::{Band, Laid};
use crate::forward::partials::Partials;
use crate::forward::ready::Ready;
use crate::forward::stepping::Stepping;
use crate::forward::walk::{Given, Signal, Signals, Taken, Walker, walk};
use crate::forward::ways::Kernel;
use crate::monitor::interruptible;
use crate::network::{Encoder, Inputs, LayerKind, Model};
use crate::plan::LayerPlan;
use crate::profile::{Profile, TileInputs};

/// The epoch that order and Poisson draws are keyed by: neither the test's, 0, nor one that a training reaches, nor
/// that of adapted norms.
const EPOCH: u64 = u64::MAX - 1;

/// The blueprint with the ranges and counts that it asks for, from as many training images as its profile says, taken
/// at random by `seed`; `training` opens them, where they are needed.
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

/// The blueprint with the ranges that some images of a set give, by index.
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
            "adc.calibration_images = {wanted}, and `{}` has {images} training images; expected at most so many: --set \
             adc.calibration_images={images}",
            training.spec()
        )));
    }
    Ok(())
}

/// The ranges of a blueprint's converters, and the reads of its rows.
fn calibrate(blueprint: &Blueprint, training: &Dataset, images: &[usize], seed: u64) -> Result<Calibration> {
    let (profile, model) = (blueprint.profile(), blueprint.model());
    check(profile, model, training, images.len())?;
    let encoder = Encoder::new(blueprint.inputs(), model.input, seed, EPOCH);
    let order = epoch_order(images.len(), seed, EPOCH, true);
    let chosen: Vec<usize> =
        order.into_iter().take(profile.adc.calibration_images).map(|place| images[place]).collect();
    let (batch, _) = read_batch(training, &chosen, None)?;
    batch.check(blueprint.inputs())?;
    interruptible(|| profiled(blueprint, &Inputs::new(encoder, batch, model.steps)))
}

/// Profiles a network on some inputs.
fn profiled(blueprint: &Blueprint, inputs: &Inputs) -> Result<Calibration> {
    let arrays = blueprint.all_arrays(None)?;
    let [ideal, converting] = [false, true].map(|converters| Chip::nominal(blueprint, &arrays, converters));
    let (ideal, converting) = (ideal?, converting?);
    let wants_ranges = blueprint.profile().wants_ranges();
    let sensors = converting.layers.iter().zip(&arrays).map(|(layer, arrays)| Sensors {
        sums: wants_ranges.then(|| Sensor::new(layer, arrays)).flatten(),
        reads: layer.plan.site.counts_reads().then(|| Counter::new(&layer.plan, false)),
        inputs: layer.plan.site.counts_inputs().then(|| Counter::new(&layer.plan, true)),
    });
    let sensors = sensors.collect();
    // The cells are not needed any more.
    drop((arrays, converting));
    let ready = Ready::new(&ideal, Kernel::default());
    let mut sensing = Sensing { ready, sensors, images: inputs.batch.len(), stepping: BTreeMap::new() };
    let (graph, mut signals) = (&ideal.graph, Signals::of(&ideal.graph, Signal::of(inputs)));
    walk(&mut sensing, graph, 1..graph.nodes.len(), &mut signals)?;
    let readout = graph.readout();
    if sensing.sensors[readout].any() {
        let columns = &sensing.ready.layers[readout].columns;
        sensing.sensors[readout].see(&signals.at(graph.layers[readout].from).lay_out_all(columns));
    }
    let sensors = &sensing.sensors;
    let converters = |sensors: &Sensors| sensors.sums.as_ref().map_or(vec![], Sensor::converters);
    let reads = |sensors: &Sensors| sensors.reads.as_ref().map_or(vec![], |counter| counter.per_image(ideal.steps));
    let inputs = |sensors: &Sensors| sensors.inputs.as_ref().map_or(vec![], Counter::inputs);
    let [counts_reads, counts_inputs] =
        [Sensors::counts_reads, Sensors::counts_inputs].map(|any| sensors.iter().any(any));
    Ok(Calibration {
        layers: sensors.iter().map(converters).collect(),
        reads: if counts_reads { sensors.iter().map(reads).collect() } else { vec![] },
        inputs: if counts_inputs { sensors.iter().map(inputs).collect() } else { vec![] },
    })
}

/// A walk on which sensors count partial sums and pulses on word lines.
struct Sensing<'a> {
    ready: Ready<'a>,
    /// The sensors of each layer.
    sensors: Vec<Sensors>,
    images: usize,
    /// The populations that run step by step.
    stepping: BTreeMap<usize, Stepping<'a>>,
}

impl<'a> Walker<'a> for Sensing<'_> {
    fn fire(&mut self, node: usize, taken: Taken<'a>) -> Result<Given> {
        let see = |l: usize, laid: &Laid| self.sensors[l].see(laid);
        Ok(Given::of_images(self.ready.fire(node, &taken, self.images, see), |_, _| {}))
    }

    fn enter(&mut self, node: usize, taken: Taken<'a>) -> Result<()> {
        let see = |l: usize, laid: &Laid| self.sensors[l].see(laid);
        let stepping = self.ready.enter(node, &taken, self.images, see);
        self.stepping.insert(node, stepping);
        Ok(())
    }

    fn step(&mut self, node: usize, t: usize, taken: Taken<'a>) -> Result<Given> {
        let see = |l: usize, laid: &Laid| self.sensors[l].see(laid);
        let stepping = self.stepping.get_mut(&node).expect("a population steps that was entered");
        Ok(Given::of_images(self.ready.step(node, t, stepping, &taken, see), |_, _| {}))
    }

    fn sizes(&self) -> (usize, usize) {
        (self.images, self.ready.chip.steps)
    }
}

/// The sensors of a layer.
struct Sensors {
    sums: Option<Sensor>,
    reads: Option<Counter>,
    inputs: Option<Counter>,
}

impl Sensors {
    fn any(&self) -> bool {
        self.sums.is_some() || self.counts_reads() || self.counts_inputs()
    }

    fn counts_reads(&self) -> bool {
        self.reads.is_some()
    }

    fn counts_inputs(&self) -> bool {
        self.inputs.is_some()
    }

    /// Counts what some inputs give: of a convolution an image's, on the thread that has it, of a fully connected layer
    /// a batch's.
    fn see(&self, laid: &Laid) {
        self.sums.iter().for_each(|sensor| sensor.see(laid));
        self.reads.iter().chain(&self.inputs).for_each(|counter| counter.see(laid));
    }
}

/// A counter of the pulses on a layer's word lines, or of its inputs.
struct Counter {
    plan: Arc<LayerPlan>,
    driving: Driving,
    /// Whether inputs are counted as whole numbers with their sign, and their squares, in place of pulses.
    is_of_inputs: bool,
    counted: Mutex<Counted>,
}

/// Sums over some maps and their pixels.
#[derive(Default)]
struct Counted {
    /// Pulses on each row, or its inputs.
    rows: Vec<f64>,
    /// The squares of each row's inputs, which no float may hold exactly.
    squares: Vec<u128>,
    maps: usize,
}

impl Counter {
    fn new(plan: &Arc<LayerPlan>, is_of_inputs: bool) -> Self {
        // The rows stand on one tile, each at a place of its own.
        let inputs = if is_of_inputs { TileInputs::Pulses } else { plan.site.tile.inputs };
        let driving = Driving::new(plan, (plan.rows(), 1), (inputs, false));
        Counter { plan: plan.clone(), driving, is_of_inputs, counted: Mutex::default() }
    }

    fn see(&self, laid: &Laid) {
        if self.plan.kind == LayerKind::Conv {
            return self.count(laid, 0..laid.maps());
        }
        // Whole numbers add up to the same in any order.
        let group = laid.maps().div_ceil(rayon::current_num_threads());
        let groups = (0..laid.maps()).into_par_iter().step_by(group.max(1));
        groups.for_each(|first| self.count(laid, first..laid.maps().min(first + group)));
    }

    /// Counts some maps.
    fn count(&self, laid: &Laid, maps: Range<usize>) {
        let rows = self.plan.rows();
        let mut counts = Counted { rows: vec![0.0; rows], squares: vec![0; rows], maps: maps.len() };
        let mut driven = Driven::default();
        for map in maps {
            let (band, width) = match self.plan.kind {
                LayerKind::Conv => {
                    let output = self.plan.output;
                    (Band { map, y: 0, rows: output.height, maps: 1 }, output.width)
                }
                _ => (Band { map: 0, y: map, rows: 1, maps: 1 }, 1),
            };
            for at in (0..band.rows).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let pixel = |plane: u32, driven: &mut Driven| self.driving.find(laid, band, at, plane, driven);
                if self.is_of_inputs {
                    self.count_inputs(pixel, &mut driven, &mut counts);
                } else {
                    self.count_pulses(pixel, &mut driven, &mut counts);
                }
            }
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let Counted { rows: all, squares, maps } = &mut *counted;
        all.resize(rows, 0.0);
        all.iter_mut().zip(counts.rows).for_each(|(all, more)| *all += more);
        squares.resize(rows, 0);
        squares.iter_mut().zip(counts.squares).for_each(|(all, more)| *all += more);
        *maps += counts.maps;
    }

    /// Counts the pulses of a pixel, of which the first argument finds a plane.
    fn count_pulses(&self, find: impl Fn(u32, &mut Driven), driven: &mut Driven, counts: &mut Counted) {
        for plane in 0..self.driving.drive.planes {
            find(plane, driven);
            for (set, _) in self.driving.sets(plane).filter(|(set, _)| !matches!(set, Set::Levels)) {
                let events = self.driving.of(driven, set, 0);
                for (i, row) in events.places.iter().enumerate() {
                    // A binary digit is one pulse, of either sign.
                    let pulses =
                        if matches!(set, Set::Pulses) { events.pulses.map_or(1.0, |of| of[i].abs()) } else { 1.0 };
                    counts.rows[*row as usize] += f64::from(pulses);
                }
            }
        }
    }

    /// Counts the inputs of a pixel and their squares, of which the first argument finds a plane.
    fn count_inputs(&self, find: impl Fn(u32, &mut Driven), driven: &mut Driven, counts: &mut Counted) {
        let drive = self.driving.drive;
        let mut count = |row: u32, input: f64| {
            counts.rows[row as usize] += input;
            counts.squares[row as usize] += u128::from((input.abs() as u64).pow(2));
        };
        let mut each = |plane: u32, count: &mut dyn FnMut(u32, f64)| {
            find(plane, driven);
            let (events, value) = (self.driving.of(driven, Set::Pulses, 0), f64::from(plane * drive.plane_bits));
            let pulses = |i: usize| f64::from(events.pulses.map_or(1.0, |of| of[i])) * libm::exp2(value);
            (0..).zip(events.places).for_each(|(i, row)| count(*row, pulses(i)));
        };
        if drive.planes == 1 {
            return each(0, &mut count);
        }
        // Digits of all planes together, row by row.
        let mut inputs: BTreeMap<u32, f64> = BTreeMap::new();
        (0..drive.planes).for_each(|plane| each(plane, &mut |row, part| *inputs.entry(row).or_default() += part));
        inputs.into_iter().for_each(|(row, input)| count(row, input));
    }

    /// Reads of each row in an image of so many steps: a map is that of a step, or stands for every one.
    fn per_image(&self, steps: usize) -> Vec<f64> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.rows.iter().map(|pulses| pulses / counted.maps.max(1) as f64 * steps as f64).collect()
    }

    /// The inputs of each row in a step, at a pixel.
    fn inputs(&self) -> Vec<RowInput> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let pixels = match self.plan.kind {
            LayerKind::Conv => self.plan.output.height * self.plan.output.width,
            _ => 1,
        };
        let count = (counted.maps * pixels).max(1) as f64;
        let both = counted.rows.iter().zip(&counted.squares);
        both.map(|(sum, squares)| RowInput { mean: sum / count, square: *squares as f64 / count }).collect()
    }
}

/// What counts a layer's partial sums.
struct Sensor {
    plan: Arc<LayerPlan>,
    partials: Partials,
    wanted: ConverterRange,
    slices: usize,
    /// One a slice.
    histograms: Mutex<Vec<Histogram>>,
}

impl Sensor {
    /// The sensor of a layer behind converters.
    fn new(ProgrammedLayer { plan, arrays: programmed, .. }: &ProgrammedLayer, arrays: &Arrays) -> Option<Sensor> {
        let converted = programmed.converted()?;
        let wanted = ConverterRange::of(&plan.site, arrays);
        let (partials, histograms) = (Partials::new(plan, converted, Kernel::Events), Mutex::default());
        let mut sensor = Sensor { plan: plan.clone(), partials, wanted, slices: converted.slices.len(), histograms };
        sensor.histograms = Mutex::new(sensor.none());
        Some(sensor)
    }

    /// Histograms with nothing in them.
    fn none(&self) -> Vec<Histogram> {
        vec![Histogram::new(self.wanted.reached, self.wanted.full); self.slices]
    }

    fn see(&self, laid: &Laid) {
        let count = |maps: Range<usize>| {
            let mut counted = self.none();
            for map in maps {
                let band = match self.plan.kind {
                    LayerKind::Conv => Band { map, y: 0, rows: self.plan.output.height, maps: 1 },
                    _ => Band { map: 0, y: map, rows: 1, maps: 1 },
                };
                self.partials.profile(laid, band, self.plan.columns(), &mut counted);
            }
            let mut histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
            histograms.iter_mut().zip(&counted).for_each(|(all, more)| all.join(more));
        };
        let maps = laid.maps();
        if self.plan.kind == LayerKind::Conv {
            // Its thread holds the space that it is laid out in: helping others it might want that a second time.
            return count(0..maps);
        }
        let group = maps.div_ceil(rayon::current_num_threads());
        (0..maps).into_par_iter().step_by(group).for_each(|first| count(first..maps.min(first + group)));
    }

    /// The converters of its slices.
    fn converters(&self) -> Vec<Converter> {
        let histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        histograms.iter().map(|histogram| histogram.converter(self.wanted.resolution)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::config::Document;
    use crate::network::{Encoding, InputCode, Network};
    use crate::numeric::Shape;

    /// The inputs of the first layer's rows, in values, on images of two channels that are 1 and −0.5 everywhere.
    fn inputs_of_rows(layers: &str) -> Vec<RowInput> {
        let text = format!(
            "name = \"m\"\nsteps = 2\nclasses = 2\ninput = {{ channels = 2, height = 4, width = 4 }}\nlayers = {layers}"
        );
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap();
        let keys = ["rram.weight_bits=4", "rram.layers=all", "sram.trim_bits=8", "adc.calibration_images=3"];
        let profile = Profile::ideal(&keys.map(String::from)).unwrap();
        let image = [vec![1.0; 16], vec![-0.5; 16]].concat();
        let shape = Shape { channels: 2, height: 4, width: 4 };
        let data = Dataset::of_values("constant", shape, None, image.repeat(3), None).unwrap();
        let code = InputCode::of(Encoding::Direct, data.range(), 0).unwrap();
        assert!(code.planes() > 1 && code.signed, "digits of several planes, with a sign");
        let network = Network::xavier(&model, 1);
        let blueprint = Blueprint::new(&profile, &model, &network, code, 1).unwrap();
        let blueprint = with_ranges(blueprint, 1, || Ok(&data)).unwrap();
        let unit = f64::from(code.unit);
        let counted = &blueprint.calibration().unwrap().inputs[0];
        let value = |input: &RowInput| RowInput { mean: input.mean * unit, square: input.square * unit * unit };
        counted.iter().map(value).collect()
    }

    #[test]
    fn inputs_are_counted_with_sign_and_square_as_often_as_windows_hold_them() {
        // A window of 3 x 3 around each of 4 x 4 pixels has a corner on the map 9 times of 16, an edge 12 times.
        let along = [3.0 / 4.0, 1.0, 3.0 / 4.0];
        for layers in ["[{ conv = 4 }]", "[{ conv = { channels = 4, groups = 2 } }]"] {
            let found = inputs_of_rows(layers);
            assert_eq!(found.len(), 18, "{layers}");
            for (row, RowInput { mean, square }) in found.into_iter().enumerate() {
                let share = along[row % 9 / 3] * along[row % 3];
                let value = if row < 9 { 1.0 } else { -0.5 };
                assert!((mean - value * share).abs() < 1e-9, "{layers}, row {row}: {mean}");
                assert!((square - value * value * share).abs() < 1e-9, "{layers}, row {row}: {square}");
            }
        }
        let whole = inputs_of_rows("[{ fc = 3 }]");
        assert!(whole.iter().zip(0..).all(|(input, row)| {
            let value = if row < 16 { 1.0 } else { -0.5 };
            (input.mean - value).abs() < 1e-9 && input.variance().abs() < 1e-9
        }));
    }
}
