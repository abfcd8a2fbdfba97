//! The portable engine: the CPU engine's arithmetic as compute kernels, on Vulkan, Metal or Direct3D 12.
//!
//! # Theory
//!
//! Column sums are exact ([`crate::numeric::grid`]), Poisson draws are comparisons of integers, and the neurons'
//! products are rounded before they are added to, as on the CPU. So a device that rounds
//! single additions and multiplications as IEEE 754 asks, as Vulkan and Direct3D promise, gives the CPU's bits. (What is
//! left is denormal numbers, which a device may flush to zero: a spike may then differ only where |u/θ − 1| < 1e-5.)
//!
//! # Practice
//!
//! Four kinds of things by lifetime: the `context` (device and pipelines) with the engine, the `model` (weights) with
//! the loaded chip, the `buffers` until a batch needs larger ones, the `settings` of a run. A submission takes as many
//! images as the device's limits allow through all layers and steps; only readout sums and event counts come back.
//! Every kernel (`shaders/*.wgsl`, composed by `shaders`) reads one buffer and writes another, so all share one layout,
//! and images alternate between pulses and sums.

mod adapter;
mod buffers;
mod context;
mod model;
mod probe;
mod run;
mod settings;
mod shaders;

pub use adapter::{AdapterInfo, AdapterKind, adapters, auto_choice, explicit_choice};
pub use run::GpuChip;

use super::{Engine, LoadedChip};
use crate::chip::Chip;
use crate::error::Result;
use context::Context;

/// Runs chips on a graphics adapter.
pub struct GpuEngine {
    name: String,
    context: Context,
}

impl GpuEngine {
    /// Opens an adapter: [`auto_choice`], [`explicit_choice`] or any of [`adapters`].
    pub fn new(adapter: &AdapterInfo) -> Result<Self> {
        let name = format!("gpu: {} ({}, {})", adapter.name, adapter.backend, adapter.driver);
        Ok(GpuEngine { name, context: Context::new(adapter)? })
    }

    /// The same with smaller limits, for tests: bytes of a buffer, and workgroups in one dimension.
    #[doc(hidden)]
    pub fn limited(mut self, buffer_bytes: u64, workgroups: u32) -> Self {
        self.context.limits = context::Limits { buffer_bytes, workgroups };
        self
    }

    /// Brings a chip onto the device.
    pub fn load_chip<'a>(&'a self, chip: &'a Chip) -> Result<GpuChip<'a>> {
        GpuChip::new(&self.context, chip)
    }
}

impl Engine for GpuEngine {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn load<'a>(&'a self, chip: &'a Chip) -> Result<Box<dyn LoadedChip + 'a>> {
        Ok(Box::new(self.load_chip(chip)?))
    }
}
