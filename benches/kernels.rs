//! The CPU's kernels one by one, on one thread, each with its roofline. `cargo bench --bench kernels [-- FILTER]`

mod common;
mod roofline;

use std::path::Path;

use common::{criterion, number, word};
use criterion::Criterion;
use crosspike::chip::{Blueprint, Chip};
use crosspike::forward::laid::{Band, Laid};
use crosspike::forward::neurons::{Neurons, Sums};
use crosspike::forward::patches::Patches;
use crosspike::forward::sums::{Scratch, WeightMatrix};
use crosspike::forward::ways::Kernel;
use crosspike::kernels::digits::{Digits, LANES, MOST_DIGITS, ROWS_AT_ONCE, RUN_BYTES, digits_of};
use crosspike::kernels::transpose::transpose;
use crosspike::kernels::{Buffer, Instructions};
use crosspike::network::pulses::Pulses;
use crosspike::network::{Batch, Encoder, Encoding, Input, Inputs, Layer, LayerKind, Model, Network, Neuron, NormKind};
use crosspike::numeric::Shape;
use crosspike::numeric::grid::round_to_exact_grid;
use crosspike::numeric::unrolling::{Unrolling, Window};
use crosspike::plan::LayerPlan;
use crosspike::profile::Profile;
use crosspike::train::gradient::inputs::{self, Transposed};
use crosspike::train::gradient::weights::{Gradient, InputSignal};
use crosspike::train::gradient::{Currents, Precision};
use roofline::{Arithmetic, Roofline, Work};

/// Time steps of the published networks.
const STEPS: usize = 20;

/// A convolution of the networks in `models/`: input and output channels, width of the map, digits of a weight.
struct Shaped(usize, usize, usize, usize);

const SHAPES: [Shaped; 5] = [
    Shaped(64, 64, 32, 3),
    Shaped(64, 128, 16, 2),
    Shaped(128, 128, 16, 3),
    Shaped(256, 256, 8, 3),
    Shaped(32, 32, 14, 3),
];

impl Shaped {
    fn name(&self) -> String {
        let Shaped(from, to, side, _) = self;
        format!("conv {from} to {to}, {side}x{side}")
    }

    fn layer(&self) -> Layer {
        let &Shaped(from, to, side, _) = self;
        let input = Shape { channels: from, height: side, width: side };
        let output = Shape { channels: to, ..input };
        Layer {
            name: "conv".into(),
            kind: LayerKind::Conv,
            input,
            from: 1,
            delayed: false,
            leads: true,
            groups: 1,
            window: Window::same(3),
            one_dimensional: false,
            neuron: Neuron::default(),
            norm: NormKind::Bntt,
            has_bias: false,
            output,
            before: None,
            pool: (1, 1),
            largest_pulse: 1,
            divisor: 1,
        }
    }

    /// Operations of its sums over one map.
    fn useful(&self) -> f64 {
        let Shaped(from, to, side, _) = self;
        (2 * side * side * 9 * from * to) as f64
    }
}

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started");
    pool.install(|| {
        let mut criterion = criterion(20, 0.5);
        let mut roofline = Roofline::new();
        products(&mut criterion, &mut roofline);
        sums(&mut criterion, &mut roofline);
        network(&mut criterion, &mut roofline);
        gradients(&mut criterion, &mut roofline);
        criterion.final_summary();
    });
}

/// The product of bytes and digits over one map, by every instruction set.
fn products(criterion: &mut Criterion, roofline: &mut Roofline) {
    let mut group = criterion.benchmark_group("product");
    for shape in &SHAPES {
        let Shaped(from, to, side, digits) = *shape;
        let patches =
            Patches::new(Unrolling::of(Shape { channels: from, height: side, width: side }, Window::same(3)), from);
        let (runs, run) = patches.runs();
        let mut right = Digits::zeros(digits, to, runs, run);
        right.fill(|block, run, first, rows| {
            for (i, lanes) in rows.iter_mut().enumerate() {
                let row = ((block * 3 + run) * 1024 + first + i) * LANES;
                *lanes = std::array::from_fn(|lane| word(1, row + lane) as i32 >> (8 * (MOST_DIGITS - digits) + 1));
            }
        });
        let mut bytes = Buffer::<u8>::zeros(patches.bytes(1));
        bytes.iter_mut().enumerate().for_each(|(i, byte)| *byte = 1 + (i % 3) as u8);
        let mut begins = Vec::new();
        let left = patches.left(&bytes, (0, 1), 0, side, &mut begins);
        let padded = left.rows.next_multiple_of(ROWS_AT_ONCE);
        let mut out = Buffer::<i32>::zeros(right.tiles() * padded * LANES);
        for &set in Instructions::available() {
            // The readable reference takes its time: one shape says how much.
            if set == Instructions::Portable && side != 14 {
                continue;
            }
            let (rows, run) = match set {
                Instructions::Amx => (padded, run.next_multiple_of(RUN_BYTES)),
                _ => (left.rows, run.next_multiple_of(4)),
            };
            let operand = runs * run.next_multiple_of(RUN_BYTES) * right.tiles() * LANES;
            let work = Work {
                useful: shape.useful(),
                executed: (2 * rows * runs * run * right.tiles() * LANES) as f64,
                bytes: (bytes.len() + operand + 4 * out.len()) as f64,
                arithmetic: Arithmetic::Bytes(set),
            };
            let name = format!("{}, {digits} digits, {set:?}", shape.name());
            roofline.measure(&mut group, &name, work, || right.product(set, left, (0, 0), false, &mut out));
        }
    }
    group.finish();
    roofline.print("product of bytes and digits, one map");
}

/// Spikes of a map at a rate.
fn spikes(layer: &Layer, maps: usize, rate: f32) -> (Pulses, usize) {
    let pixels = layer.input.height * layer.input.width;
    let mut pulses = Pulses::new(maps, pixels, layer.input.channels, 1);
    let mut active = 0;
    for place in 0..maps * pixels * pulses.blocks {
        let counts = std::array::from_fn(|lane| u16::from(number(3, place * LANES + lane).abs() < rate));
        active += counts.iter().map(|count| usize::from(*count)).sum::<usize>();
        pulses.put(place / pulses.blocks / pixels, place / pulses.blocks % pixels, place % pulses.blocks, &counts);
    }
    (pulses, active)
}

/// Column sums of one map, from laid-out spikes to f32: event by event at several rates, dense, and from tables.
fn sums(criterion: &mut Criterion, roofline: &mut Roofline) {
    let mut group = criterion.benchmark_group("sums");
    for shape in [&SHAPES[0], &SHAPES[3], &SHAPES[4]] {
        let layer = shape.layer();
        let mut weights: Vec<f32> = (0..layer.rows() * layer.columns()).map(|i| 0.2 * number(4, i)).collect();
        let grid = round_to_exact_grid(&mut weights, layer.rows(), 1).expect("the weights are finite");
        let mut scratch = Scratch::default();
        let mut out = vec![0.0; layer.output.len()];
        let band = Band { map: 0, y: 0, rows: layer.output.height, maps: 1 };
        let others = [Kernel::Dense(Instructions::best()), Kernel::LookUp];
        let events = [1, 3, 10, 30].map(|percent| (Kernel::Events, percent));
        for (kernel, percent) in events.into_iter().chain(others.map(|kernel| (kernel, 10))) {
            let matrix = WeightMatrix::new(&layer, &weights, grid, Input::Pulses, kernel);
            let (pulses, active) = spikes(&layer, 1, percent as f32 / 100.0);
            let mut laid = Laid::default();
            laid.pulses(&matrix.patches, &pulses, 0, 1);
            let (name, executed, arithmetic): (String, _, _) = match kernel {
                // Every spike is read by nine pixels, less at the border.
                Kernel::Events => ("by events".into(), 2 * 9 * active * layer.columns(), Arithmetic::Lanes),
                // One addition for each group of inputs that a table holds.
                Kernel::LookUp => {
                    ("from tables".into(), layer.rows().div_ceil(4) * layer.output.len(), Arithmetic::Lanes)
                }
                _ => {
                    let largest = weights.iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
                    let digits = digits_of((largest * 2f32.powi(grid)) as i32);
                    let (runs, run) = matrix.patches.runs();
                    let rows = (layer.output.height * matrix.patches.row()).next_multiple_of(ROWS_AT_ONCE);
                    let bytes = rows * runs * run.next_multiple_of(RUN_BYTES);
                    let set = Instructions::best();
                    ("dense".into(), 2 * bytes * digits * matrix.blocks() * LANES, Arithmetic::Bytes(set))
                }
            };
            let work = Work {
                useful: shape.useful(),
                executed: executed as f64,
                bytes: (laid.planes[0].len() + 4 * weights.len() + 4 * out.len()) as f64,
                arithmetic,
            };
            let name = format!("{}, {percent} % active, {name}", shape.name());
            roofline.measure(&mut group, &name, work, || matrix.sums(&laid, band, &mut scratch, &mut out));
        }
    }
    group.finish();
    roofline.print("column sums, one map");
}

/// What stands between the products: spikes laid out and turned, neurons, encoding; and the programming of a chip.
fn network(criterion: &mut Criterion, roofline: &mut Roofline) {
    let mut group = criterion.benchmark_group("network");
    let layer = Layer { pool: (2, 2), ..SHAPES[0].layer() };
    let patches = Patches::of(&layer, false);
    let (pulses, _) = spikes(&layer, STEPS, 0.1);
    let mut laid = Laid::default();
    laid.pulses(&patches, &pulses, 0, STEPS);
    let moved = (pulses.bytes() + laid.planes[0].len()) as f64;
    let only_moved = |bytes: f64| Work { useful: 0.0, executed: 0.0, bytes, arithmetic: Arithmetic::Lanes };
    roofline.measure(&mut group, "spikes laid out, 64 channels, 32x32, 20 steps", only_moved(moved), || {
        laid.pulses(&patches, &pulses, 0, STEPS);
    });

    let map = patches.map();
    let stride = map.next_multiple_of(16) + 16;
    let mut turned = Buffer::<u8>::zeros(64 * stride);
    let work = only_moved((2 * map * 64) as f64);
    roofline.measure(&mut group, "spikes turned, 64 channels, 33x33", work, || {
        transpose(&laid.planes[0], 64, (map, 64), &mut turned, |channel| channel * stride);
    });

    // As many rows as the engine takes at once.
    let rows = 4;
    let values = STEPS * rows * 32 * 64;
    let sums: Vec<f32> = (0..values).map(|i| 2.0 * number(5, i)).collect();
    let norms = vec![[[1.0; LANES]; 2]; STEPS * 64 / LANES];
    let plan = LayerPlan::new(&Profile::default(), layer.clone(), 1, None);
    let neurons = Neurons::new(&plan, norms, None);
    let mut out = layer.pulses(STEPS);
    let mut fired = vec![0; STEPS];
    let sums = Sums { sums: &sums, block: rows * 32 * LANES, step: rows * 32 * 64, y: 0, rows };
    let work = Work {
        useful: 6.0 * values as f64,
        executed: 6.0 * values as f64,
        bytes: (4 * values + values / 4) as f64,
        arithmetic: Arithmetic::Lanes,
    };
    roofline.measure(&mut group, "neurons and pool, 64 channels, 4x32, 20 steps", work, || {
        neurons.scan(sums, 0, &mut out, &mut fired);
    });

    let model = Model::read(Path::new("models/vgg9.toml"), &[]).expect("the model is there");
    let images = 16;
    let batch = Batch {
        values: (0..images * model.input.len()).map(|i| 2.0 * number(6, i)).collect(),
        indices: (0..images as u32).collect(),
    };
    let draws = (images * model.input.len() * STEPS) as f64;
    // A Philox block, ten rounds of eight operations, serves four pixels; each compares on its own.
    let operations = draws * (80.0 / 4.0 + 5.0);
    let work = Work {
        useful: operations,
        executed: operations,
        bytes: draws + 4.0 * batch.values.len() as f64,
        arithmetic: Arithmetic::Lanes,
    };
    let encoder = Encoder::new(Encoding::Poisson, model.input, 1, 0);
    roofline.measure(&mut group, "Poisson encoding, 16 images of 3x32x32, 20 steps", work, || {
        Inputs::new(encoder, batch.clone(), STEPS).pulses().all().len()
    });

    let network = Network::xavier(&model, 1);
    let profile = Profile::read(Path::new("hw_profiles/rram_4bit.toml"), &[]).expect("the profile is there");
    let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).expect("they fit together");
    let weights: usize = network.layers.iter().map(|layer| layer.rram.len()).sum();
    roofline.measure(&mut group, "a VGG9 chip programmed, 4 bit, varied", only_moved(8.0 * weights as f64), || {
        Chip::program(&blueprint, 0).expect("the weights are finite")
    });
    group.finish();
    roofline.print("between the products");
}

/// The two products of training's backward pass, over one map or as many as one product takes.
/// How finely gradients are rounded.
const PRECISION: Precision = Precision::Two;

fn gradients(criterion: &mut Criterion, roofline: &mut Roofline) {
    let mut group = criterion.benchmark_group("gradients");
    for shape in &SHAPES {
        let layer = shape.layer();
        let (inputs, outputs) = (layer.input.channels, layer.output.channels);
        let (pulses, _) = spikes(&layer, STEPS, 0.1);
        let source = InputSignal::Pulses(&pulses);
        let mut gradient = Gradient::new(&layer, source, STEPS, PRECISION);
        let (maps, rows) = gradient.at_once();
        let mut currents = Currents::default();
        let blocks = outputs.div_ceil(LANES);
        currents.reshape(blocks, rows);
        let unit = |i: usize| (number(7, i) * PRECISION.largest()) as i32;
        for (i, lanes) in currents.units.iter_mut().enumerate() {
            *lanes = std::array::from_fn(|lane| unit(i * LANES + lane));
        }
        let tiles = PRECISION.digits() * blocks;
        let padded = inputs.next_multiple_of(ROWS_AT_ONCE);
        let set = Instructions::best();
        let work = Work {
            useful: shape.useful() * maps as f64,
            executed: (2 * 9 * padded * rows.next_multiple_of(RUN_BYTES) * tiles * LANES) as f64,
            bytes: (64 * currents.units.len() + pulses.bytes() * maps / STEPS + 2 * 9 * tiles * padded * 64) as f64,
            arithmetic: Arithmetic::Bytes(set),
        };
        let name = format!("∂W, {}, {maps} at once", shape.name());
        roofline.measure(&mut group, &name, work, || gradient.add(source, 0, 0, &currents));

        let weights: Vec<f32> = (0..layer.rows() * outputs).map(|i| 0.2 * number(8, i)).collect();
        let transposed = Transposed::new(&layer, &weights, PRECISION);
        let patches =
            Patches::new(Unrolling::of(Shape { channels: outputs, ..layer.output }, Window::same(3)), outputs);
        let mut scratch = inputs::TransposedScratch::default();
        let mut out = vec![0.0; layer.input.len()];
        let rows = (layer.output.height * patches.row()).next_multiple_of(ROWS_AT_ONCE);
        let (runs, run) = patches.runs();
        let columns = transposed.blocks() * LANES;
        // Of the four pairs of digits, the three that count.
        let pairs = 3;
        let work = Work {
            useful: shape.useful(),
            executed: (2 * pairs * rows * runs * run.next_multiple_of(RUN_BYTES) * columns) as f64,
            bytes: (4 * patches.map() * outputs + PRECISION.digits() * weights.len() + 4 * out.len()) as f64,
            arithmetic: Arithmetic::Bytes(set),
        };
        let name = format!("∂inputs, {}", shape.name());
        let map = (0, patches.map());
        roofline.measure(&mut group, &name, work, || transposed.product(&currents, map, 1.0, &mut scratch, &mut out));
    }
    group.finish();
    roofline.print("training's products");
}
