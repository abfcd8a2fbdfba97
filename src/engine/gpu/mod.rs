//! The portable engine: the CPU engine's arithmetic as compute kernels, on Vulkan, Metal or Direct3D 12.
//!
//! # Theory
//!
//! Column sums are exact ([`crate::numeric::grid`]), Poisson draws are comparisons of integers, and the neurons'
//! products are rounded before they are added to, as on the CPU. So a device that rounds single additions and
//! multiplications as IEEE 754 asks, as Vulkan and Direct3D promise, gives the CPU's bits. (What is left is denormal
//! numbers, which a device may flush to zero: a spike may then differ only where |u/θ − 1| < 1e-5.)
//!
//! # Practice
//!
//! Four kinds of things by lifetime: the `context` (device and pipelines) with the engine, the `model` (weights,
//! `packed`) with the loaded chips, the `buffers` until a batch needs larger ones, the `settings` of a run. A
//! submission takes as many images as the device's limits allow through all layers and steps of all chips of a load;
//! only readout sums and event counts come back. Every kernel (`shaders/*.wgsl`, composed by `shaders`) reads one
//! buffer and writes another, so all share one layout, and images go from pulses to sums and to pulses again, by a
//! `route` through the chip's graph.
//! Pulses are packed, four channels a word. Column sums have two kinds of kernels: on a card they take all rows, in
//! tiles (`tiling`), and shaders are made for a layer; on a driver that computes on the processor they skip rows
//! without a pulse, and one shader serves all layers. `stamps` time kernels by the adapter's clock, and `ceilings`
//! measure what it gives at most.

mod adapter;
mod buffers;
mod ceilings;
mod context;
mod limits;
mod model;
mod packed;
mod probe;
mod route;
mod run;
mod settings;
mod shaders;
mod stamps;
mod tiling;
mod times;

pub use adapter::{AdapterInfo, AdapterKind, adapters, auto_choice, explicit_choice};
pub use ceilings::Ceilings;
pub use route::refusal;
use run::ChipGroups;
pub use run::GpuChips;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Engine, LoadedChips};
use crate::chip::Chip;
use crate::error::Result;
use buffers::{Sizes, Spare};
use context::Context;
use limits::Limits;
use times::KernelTimes;

/// Runs chips on a graphics adapter.
pub struct GpuEngine {
    name: String,
    context: Context,
    spare: Spare,
}

impl GpuEngine {
    /// Opens an adapter: [`auto_choice`], [`explicit_choice`] or any of [`adapters`].
    pub fn new(adapter: &AdapterInfo) -> Result<Self> {
        let name = format!("gpu: {} ({}, {})", adapter.name, adapter.backend, adapter.driver);
        Ok(GpuEngine { name, context: Context::new(adapter)?, spare: Spare::default() })
    }

    /// This engine with smaller limits, for tests: bytes of a buffer, and workgroups in one dimension.
    #[doc(hidden)]
    pub fn limited(mut self, buffer_bytes: u64, workgroups: u32) -> Self {
        self.context.limits = Limits { buffer_bytes, workgroups, ..self.context.limits };
        self
    }

    /// The multiplications that the device is given at a time.
    #[doc(hidden)]
    pub fn hurried(mut self, multiplications: u64) -> Self {
        self.context.limits.multiplications = multiplications;
        self
    }

    /// This engine with the kernels of a graphics card, or those of a driver that computes on the processor, and with
    /// shaders made for a layer or for any, for tests. The card is one that any work keeps busy, so that kernels for
    /// much of it run on little.
    #[doc(hidden)]
    pub fn posing_as_card(mut self, is_card: bool, has_constants: bool) -> Self {
        self.context.limits = Limits { is_card, full: 0, ..self.context.limits };
        self.context.has_constants = has_constants;
        self
    }

    /// This engine as if so many workgroups kept its adapter busy, for tests.
    #[doc(hidden)]
    pub fn busy_with(mut self, workgroups: usize) -> Self {
        self.context.limits.full = workgroups;
        self
    }

    /// Brings chips onto the device together, whether or not so many are best.
    #[doc(hidden)]
    pub fn load_together<'a>(&'a self, chips: &'a [Chip]) -> Result<GpuChips<'a>> {
        GpuChips::new((&self.context, &self.spare), chips)
    }
}

impl Engine for GpuEngine {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn chips_at_once(&self, chip: &Chip) -> usize {
        Sizes::new(chip, 1, &self.context.limits).map_or(1, |sizes| sizes.chips)
    }

    fn time_kernels(&mut self) -> bool {
        let has_clock = self.context.stamps(2).is_some();
        self.context.times = has_clock.then(Mutex::default);
        // The buffers that are kept have no room for stamps.
        self.spare = Spare::default();
        has_clock
    }

    fn kernel_times(&self) -> Vec<(String, Duration)> {
        let take =
            |times: &Mutex<KernelTimes>| std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner)).0;
        self.context.times.as_ref().map_or(vec![], take)
    }

    fn load<'a>(&'a self, chips: &'a [Chip]) -> Result<Box<dyn LoadedChips + 'a>> {
        let at_once = chips.first().map_or(1, |chip| self.chips_at_once(chip));
        let groups = chips.chunks(at_once).map(|chips| self.load_together(chips)).collect::<Result<_>>()?;
        Ok(Box::new(ChipGroups(groups)))
    }
}
