//! What lives as long as the batches are of one size: the buffers that images run through, and how many images a
//! submission takes.

use wgpu::{Buffer, BufferUsages};

use super::context::{Context, Limits};
use super::settings::Run;
use crate::chip::Chip;
use crate::error::Result;

/// A buffer is given more than this many bytes only where a single image needs them.
const BUFFER_BYTES: u64 = 256 << 20;
/// Multiplications of a submission, above one image: drivers give up on a device that is busy for seconds.
const MULTIPLICATIONS: u64 = 1 << 35;
/// Images of a submission.
const IMAGES: u64 = 1 << 15;

/// The 32-bit words that an image of a chip takes.
pub struct Sizes {
    /// Its index and values.
    image: usize,
    /// The largest layer's inputs or spikes, over all steps.
    pulses: usize,
    /// The largest layer's sums, over all steps.
    sums: usize,
    /// Classes.
    classes: usize,
    /// All event counters.
    counts: usize,
    /// Images of a submission, at most.
    pub images: usize,
}

impl Sizes {
    pub fn new(chip: &Chip, limits: &Limits) -> Result<Self> {
        let mut sizes = Sizes { image: 1 + chip.input.len(), pulses: 0, sums: 0, classes: 0, counts: 0, images: 0 };
        let mut multiplications = 0;
        for layer in &chip.layers {
            let plan = &layer.plan;
            let sums = chip.steps * plan.output.len();
            let pulses = sums.max(chip.steps * plan.input.len());
            limits.check(&plan.name, "the pulses of one image over all steps", 4 * pulses as u64)?;
            sizes.pulses = sizes.pulses.max(pulses);
            sizes.sums = sizes.sums.max(sums);
            sizes.classes = plan.columns();
            multiplications += (sums * plan.rows()) as u64;
        }
        sizes.counts = chip.layers.len() * chip.steps;
        let image_bytes = 4 * sizes.pulses.max(sizes.image) as u64;
        limits.check("input", "the values of one image", image_bytes)?;
        let by_memory = limits.buffer_bytes.min(BUFFER_BYTES) / image_bytes;
        sizes.images = by_memory.min(MULTIPLICATIONS / multiplications.max(1)).clamp(1, IMAGES) as usize;
        Ok(sizes)
    }
}

/// Buffers for up to `images` images at once.
pub struct Buffers {
    /// Images they hold.
    pub images: usize,
    /// The submission's settings.
    pub run: Buffer,
    /// Indices and values of the images.
    pub values: Buffer,
    /// A layer's inputs in one, its spikes in the other.
    pub pulses: [Buffer; 2],
    /// A layer's sums.
    pub sums: Buffer,
    /// Events: input and layers, by steps.
    pub counts: Buffer,
    /// Sums of the readout.
    pub readout: Buffer,
    /// What comes back.
    pub staging: Buffer,
}

impl Buffers {
    pub fn new(context: &Context, sizes: &Sizes, images: usize) -> Self {
        let uniform = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
        let make = |label, words: usize| context.buffer(label, 4 * words as u64, storage);
        let results = 4 * (images * sizes.classes + sizes.counts) as u64;
        Buffers {
            images,
            run: context.buffer("run", size_of::<Run>() as u64, uniform),
            values: make("values", images * sizes.image),
            pulses: ["pulses", "spikes"].map(|label| make(label, images * sizes.pulses)),
            sums: make("sums", images * sizes.sums),
            counts: make("counts", sizes.counts),
            readout: make("readout", images * sizes.classes),
            staging: context.buffer("staging", results, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
        }
    }
}
