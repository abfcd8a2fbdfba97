//! The buffers that images run through, kept from batch to batch and from chip to chip; and how many images a
//! submission takes, chips a load, and layers a piece of it.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use wgpu::{Buffer, BufferUsages};

use super::context::Context;
use super::limits::Limits;
use super::model::{
    constant_bytes, fits_floats, is_unfolded, noise_bytes, norm_bytes, planes, pools_apart, row_words, weight_bytes,
};
use super::packed::column_words;
use super::route::{KernelRoute, Op};
use super::settings::{LANES, Run};
use super::stamps::stamp_bytes;
use crate::chip::Chip;
use crate::error::Result;
use crate::network::Drive;
use crate::network::graph::Population;
use crate::profile::TileInputs;

/// A buffer is given more than this many bytes only where a single image needs them.
const BUFFER_BYTES: u64 = 256 << 20;
/// Weights of chips that are loaded together, above one chip: the host holds them twice, for the next are programmed.
const WEIGHT_BYTES: u64 = 256 << 20;
/// Chips that are loaded together: what a stopped run loses.
const CHIPS: u64 = 16;
/// Images of a submission.
const IMAGES: u64 = 1 << 15;
/// Multiplications of ideal columns in the time of one behind converters, or of cells read afresh, in tiles: 1.7 to 3.0
/// on an H100 (VGG5 and VGG9, docs/performance.md).
const IN_TILES: u64 = 3;
/// Multiplications of ideal columns in the time of one behind converters where a thread takes a pixel by itself: 3.4 on
/// an H200 and 4 to 9 on Mesa's software driver at a quarter of rows with a pulse, and more of them take longer, for
/// the others are skipped.
const BY_THREAD: u64 = 12;

/// The 32-bit words that an image takes on all chips of a load.
#[derive(Clone, Debug)]
pub struct Sizes {
    /// Its index and values.
    image: usize,
    /// The largest layer's inputs or spikes, over all steps.
    pulses: usize,
    /// The largest layer's sums, over all steps.
    sums: usize,
    /// The largest current that several make up, over all steps.
    currents: usize,
    /// Words of the readout after one step.
    pub readout: usize,
    /// Event counters of an image, or of all together.
    pub counts: usize,
    /// Images of a submission, at most.
    pub images: usize,
    /// Chips that are best loaded together.
    pub chips: usize,
    /// The time of each layer for an image on all chips, in multiplications of blocks of columns.
    work: Vec<u64>,
}

impl Sizes {
    /// What `chips` chips like this one take; an error if one image is too much for a buffer.
    pub fn new(chip: &Chip, chips: usize, limits: &Limits) -> Result<Self> {
        let input = 1 + chip.input.len();
        let mut sizes = Sizes {
            image: input,
            pulses: 0,
            sums: 0,
            currents: 0,
            readout: 0,
            counts: 0,
            images: 0,
            chips: 0,
            work: vec![],
        };
        let (mut conversions, mut drives_a_step, mut weights, mut largest) = (0u64, 0u64, 0, 0);
        for (l, layer) in chip.layers.iter().enumerate() {
            let plan = &layer.plan;
            let input = plan.input.height * plan.input.width * plan.input.channels.div_ceil(LANES);
            let output = plan.output.height * plan.output.width * column_words(plan);
            let sums = chip.steps * output * LANES;
            limits.check(&plan.name, "the sums of one image over all steps", 4 * sums as u64)?;
            let inputs = chip.steps * input * planes(chip, l);
            limits.check(&plan.name, "the pulses of one image over all steps", 4 * inputs as u64)?;
            sizes.pulses = sizes.pulses.max(inputs).max(chip.steps * output);
            sizes.sums = sizes.sums.max(sums);
            let target = chip.graph.target(l).and_then(|node| chip.graph.nodes[node].population());
            if target.is_some_and(Population::joins) {
                sizes.currents = sizes.currents.max(sums);
            }
            sizes.readout = column_words(plan) * LANES;
            let bytes = weight_bytes(layer, column_words(plan)) + noise_bytes(layer);
            weights += bytes;
            largest = largest.max(bytes).max(norm_bytes(chip, plan) + constant_bytes(layer));
            let Drive { bits, largest: pulse, planes, .. } = plan.site.drive;
            let times = if chip.inputs == TileInputs::Pulses { u64::from(pulse * planes) } else { u64::from(bits) };
            let fan = plan.unrolling().window.positions() as u64;
            drives_a_step = drives_a_step.max(plan.input.len() as u64 * times * fan);
            let mut drives = 1;
            if let Some(converted) = layer.arrays.converted() {
                let sides = converted.slices.iter().map(|slice| 1 + slice.reference.iter().len()).sum::<usize>();
                drives = (sides + converted.companion.iter().len()) * plan.site.drive.bits as usize;
                conversions = conversions.max((sums * plan.site.partial_sums() * drives) as u64);
            }
            let price = match (is_unfolded(layer), limits.is_card && fits_floats(layer)) {
                (false, _) => 1,
                (true, true) => IN_TILES,
                (true, false) => BY_THREAD,
            };
            sizes.work.push((sums * row_words(plan) * LANES * drives) as u64 * price);
        }
        for node in &chip.graph.nodes[1..] {
            let map = node.map.height * node.map.width * node.map.channels.div_ceil(LANES);
            let words = chip.steps * map * Drive::pulses(node.largest).planes as usize;
            limits.check(&node.name, "the pulses of one image over all steps", 4 * words as u64)?;
            sizes.pulses = sizes.pulses.max(words);
        }
        limits.check("input", "the values of one image", 4 * input as u64)?;
        // Beside the buffers of a chain, those of signals that live at once share what these may take.
        let route = KernelRoute::of(chip, |l| pools_apart(&chip.layers[l].plan))?;
        let more = (route.pulses + route.currents).div_ceil(4).max(1) as u64;
        let image_bytes = more * 4 * sizes.sums.max(sizes.pulses).max(input) as u64;
        let most_bytes = limits.buffer_bytes.min(BUFFER_BYTES);
        let in_time = limits.multiplications / sizes.work.iter().sum::<u64>().max(1);
        let together = (WEIGHT_BYTES / weights.max(1))
            .min(limits.buffer_bytes / largest)
            .min(most_bytes / image_bytes)
            .min(in_time);
        sizes.chips = together.clamp(1, CHIPS) as usize;
        let at_once = (most_bytes / image_bytes).min(in_time);
        // Clipped sums and the drives of a step are counted in 32 bits.
        let counted = conversions.max(drives_a_step).max(1);
        let at_once = at_once.min(u64::from(u32::MAX) / counted * chips as u64);
        sizes.images = (at_once / chips as u64).clamp(1, IMAGES) as usize;
        for size in [&mut sizes.pulses, &mut sizes.sums, &mut sizes.currents, &mut sizes.readout] {
            *size *= chips;
        }
        sizes.work.iter_mut().for_each(|work| *work *= chips as u64);
        sizes.counts = (1 + chips * (2 * chip.layers.len() - 1)) * chip.steps + 2 * chips * chip.layers.len();
        Ok(sizes)
    }

    /// The operations of each piece in which so many images go to the device: as many as are done in time, or one
    /// layer's.
    pub fn pieces(&self, ops: &[Op], images: usize, limits: &Limits) -> Vec<Range<usize>> {
        let mut pieces: Vec<Range<usize>> = vec![];
        let mut work = 0;
        for (number, op) in ops.iter().enumerate() {
            let own = if let Op::Sums { layer, .. } = op { self.work[*layer] * images as u64 } else { 0 };
            work += own;
            match pieces.last_mut().filter(|_| work <= limits.multiplications || own == 0) {
                Some(piece) => piece.end = number + 1,
                None => {
                    pieces.push(number..number + 1);
                    work = own;
                }
            }
        }
        pieces
    }

    /// The most images of a submission whose results are kept like this.
    pub fn images_keeping(&self, kept: KeptSteps) -> usize {
        let bytes = 4 * (kept.steps * self.readout + if kept.by_image { self.counts } else { 0 }) as u64;
        self.images.min((BUFFER_BYTES / bytes.max(1)).max(1) as usize)
    }

    /// Counters of a submission of `images` images.
    pub fn counters(&self, images: usize, kept: KeptSteps) -> usize {
        self.counts * if kept.by_image { images } else { 1 }
    }

    /// Bytes of all buffers of `images` images.
    fn bytes(&self, images: usize, kept: KeptSteps) -> [u64; 8] {
        let (readout, counters) = (kept.steps * self.readout, self.counters(images, kept));
        let results = images * readout + counters;
        let words = [self.image, self.pulses, self.sums, self.currents, readout].map(|words| words * images);
        [words[0], words[1], words[2], words[3], words[4], counters, results, images].map(|words| 4 * words as u64)
    }
}

/// The results of an image that are copied to the host.
#[derive(Clone, Copy, Debug)]
pub struct KeptSteps {
    /// The last steps whose readout is copied.
    pub steps: usize,
    /// Whether the image's own counts of events are copied.
    pub by_image: bool,
}

/// Buffers that nobody uses, kept for whoever runs next.
pub type Spare = Mutex<Option<Buffers>>;

/// What images run through.
pub struct Buffers {
    bytes: [u64; 8],
    /// The submission's settings.
    pub run: Buffer,
    /// Indices and values of the images.
    pub values: Buffer,
    /// Pulses that nodes send: as many buffers as a route has pulses alive at a time; the first begins with the input.
    pub pulses: Vec<Buffer>,
    /// A layer's sums.
    pub sums: Buffer,
    /// Currents that several make up, as many at a time as a route has.
    pub currents: Vec<Buffer>,
    /// Events: the input's pulses, by steps; spikes of chips and spiking layers, by steps; drives of chips and layers,
    /// by steps; what was clipped and what saturated, of chips and layers. So for all images together or for each, but
    /// what was clipped and what saturated of all, at the first one's.
    pub counts: Buffer,
    /// Indices of the images in their data set.
    pub indices: Buffer,
    /// Sums of the readout.
    pub readout: Buffer,
    /// What comes back.
    pub staging: Buffer,
}

impl Buffers {
    /// Buffers for up to `images` images, the spare ones where they are large enough.
    pub fn take(
        (context, spare): (&Context, &Spare),
        (sizes, route): (&Sizes, &KernelRoute),
        images: usize,
        kept: KeptSteps,
    ) -> Self {
        let mut bytes = sizes.bytes(images, kept);
        if context.times.is_some() {
            // The time stamps of kernels come behind the results.
            bytes[6] += stamp_bytes(route.ops.len() + 1);
        }
        let spare = spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let fits = |spare: &Buffers| {
            spare.bytes.iter().zip(&bytes).all(|(have, need)| have >= need)
                && spare.pulses.len() >= route.pulses
                && spare.currents.len() >= route.currents
        };
        if let Some(spare) = spare.filter(fits) {
            return spare;
        }
        let uniform = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let [values, pulses, sums, currents, readout, counts, results, indices] = bytes;
        Buffers {
            bytes,
            run: context.buffer("run", size_of::<Run>() as u64, uniform),
            values: context.buffer("values", values, storage),
            pulses: (0..route.pulses).map(|_| context.buffer("pulses", pulses, storage)).collect(),
            sums: context.buffer("sums", sums, storage),
            currents: (0..route.currents).map(|_| context.buffer("currents", currents, storage)).collect(),
            counts: context.buffer("counts", counts, storage),
            indices: context.buffer("indices", indices, storage),
            readout: context.buffer("readout", readout, storage),
            staging: context.buffer("staging", results, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        }
    }

    /// Keeps them for whoever runs next.
    pub fn give_back(self, spare: &Spare) {
        *spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::chip::Blueprint;
    use crate::config::Document;
    use crate::network::{Encoding, Model, Network};
    use crate::profile::Profile;

    #[test]
    fn the_drives_of_a_step_fit_their_counters() {
        let images = |kernel: usize| {
            let text = format!(
                "name = \"m\"\nsteps = 1\nclasses = 2\ninput = {{ channels = 1, height = 64, width = 64 }}\n\
                 layers = [{{ conv = 64 }}, {{ conv = {{ channels = 1, kernel = {kernel} }} }}, {{ pool = \"global\" \
                 }}]"
            );
            let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text).unwrap()).unwrap();
            let (network, profile) = (Network::xavier(&model, 1), Profile::ideal(&[]).unwrap());
            let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 1).unwrap();
            let limits =
                Limits { buffer_bytes: 1 << 40, workgroups: 65535, multiplications: u64::MAX, is_card: false, full: 0 };
            Sizes::new(&Chip::program(&blueprint, 0).unwrap(), 1, &limits).unwrap().images as u64
        };
        let most = |kernel: u64| (1 << 32) / (64 * 64 * 64 * kernel * kernel);
        assert!(images(31) <= most(31) && images(31) > most(31) / 2, "{} of {}", images(31), most(31));
        assert!(images(3) > images(31));
    }
}
