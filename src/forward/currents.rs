//! How a batch's currents stand in memory: `[steps, blocks, pixels, 16 channels]`, an image each.
//!
//! Sixteen channels of a pixel fill a vector register, and whatever differs from channel to channel but not from pixel
//! to pixel stays in registers while the pixels stream by. Images come and go one by one: what one leaves behind is
//! soon taken by another, so that a batch needs little more memory than what it keeps.

use crate::kernels::digits::LANES;
use crate::network::Layer;
use crate::numeric::Shape;

/// Values of a batch, image by image.
pub type Images = Vec<Vec<f32>>;

/// The numbers of each.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Images of the batch.
    pub images: usize,
    /// Time steps.
    pub steps: usize,
    /// Blocks of 16 channels.
    pub blocks: usize,
    /// Channels.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
}

impl Geometry {
    /// The geometry of a layer's columns.
    pub fn of(plan: &Layer, images: usize, steps: usize) -> Self {
        Self::of_map(plan.output, images, steps)
    }

    /// The geometry of a map.
    pub fn of_map(Shape { channels, height, width }: Shape, images: usize, steps: usize) -> Self {
        Geometry { images, steps, blocks: channels.div_ceil(LANES), channels, height, width }
    }

    /// The geometry of what a layer's neurons send behind the pool.
    pub fn pooled(plan: &Layer, images: usize, steps: usize) -> Self {
        Self::of_map(plan.pooled(), images, steps)
    }

    /// Pixels of a map.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Values from block to block.
    pub fn block(&self) -> usize {
        self.pixels() * LANES
    }

    /// Values from step to step.
    pub fn step(&self) -> usize {
        self.blocks * self.block()
    }

    /// Values from image to image.
    pub fn image(&self) -> usize {
        self.steps * self.step()
    }

    /// Values that one mean is taken over.
    pub fn normalised(&self) -> usize {
        self.images * self.pixels()
    }
}
