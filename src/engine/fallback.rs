//! A GPU that goes on without its device: what a lost device leaves undone, and what kernels do not do of a chip, runs
//! on the CPU, with the same bits.
//!
//! Drivers give devices up: after seconds of work, when another program crashes them, when a laptop sleeps. A batch
//! that ran is kept; the batch that did not, and all after it, run on the CPU.

use std::sync::OnceLock;
use std::time::Duration;

use super::cpu::CpuEngine;
use super::gpu::{GpuEngine, refusal};
use super::{Engine, Keep, LoadedChips, Outcome};
use crate::chip::Chip;
use crate::error::{Error, Result};
use crate::network::Inputs;

/// A GPU, and the CPU behind it.
pub struct WithFallback {
    gpu: GpuEngine,
    cpu: CpuEngine,
    lost: OnceLock<()>,
    refused: OnceLock<()>,
    tell: fn(&str),
}

impl WithFallback {
    /// This GPU; where its device is lost, `tell` is told so, once.
    pub fn new(gpu: GpuEngine, tell: fn(&str)) -> Self {
        WithFallback { gpu, cpu: CpuEngine::default(), lost: OnceLock::new(), refused: OnceLock::new(), tell }
    }

    /// Loses the device, for a test.
    #[doc(hidden)]
    pub fn lose(&self) {
        self.gpu.lose();
    }

    /// The engine that works.
    fn working(&self) -> &dyn Engine {
        if self.lost.get().is_some() { &self.cpu } else { &self.gpu }
    }

    /// The result that the GPU gave, or its error; none where its device is lost.
    fn unless_lost<T>(&self, given: Result<T>) -> Result<Option<T>> {
        match given {
            Err(error @ Error::Lost(_)) => {
                self.lost.get_or_init(|| (self.tell)(&format!("{error}; the CPU goes on with the same result")));
                Ok(None)
            }
            given => given.map(Some),
        }
    }
}

impl Engine for WithFallback {
    /// The GPU's, until it is lost or gives its work to the CPU.
    fn name(&self) -> String {
        if self.refused.get().is_some() { self.cpu.name() } else { self.working().name() }
    }

    fn chips_at_once(&self, chip: &Chip) -> usize {
        self.working().chips_at_once(chip)
    }

    fn time_kernels(&mut self) -> bool {
        self.gpu.time_kernels()
    }

    fn kernel_times(&self) -> Vec<(String, Duration)> {
        self.gpu.kernel_times()
    }

    fn load<'a>(&'a self, chips: &'a [Chip]) -> Result<Box<dyn LoadedChips + 'a>> {
        let refused = chips.first().and_then(|chip| refusal(&chip.graph)).filter(|_| self.lost.get().is_none());
        if let Some(reason) = refused {
            self.refused.get_or_init(|| (self.tell)(&format!("{reason}, which the GPU does not run; the CPU does")));
            return self.cpu.load(chips);
        }
        match self.unless_lost(self.working().load(chips))? {
            Some(loaded) => Ok(Box::new(ChipsWithFallback { engine: self, chips, loaded })),
            None => self.cpu.load(chips),
        }
    }
}

/// Chips on the GPU, until it is lost.
struct ChipsWithFallback<'a> {
    engine: &'a WithFallback,
    chips: &'a [Chip],
    loaded: Box<dyn LoadedChips + 'a>,
}

impl LoadedChips for ChipsWithFallback<'_> {
    fn run_keeping(&mut self, inputs: &Inputs, keep: Keep) -> Result<Vec<Outcome>> {
        let given = self.loaded.run_keeping(inputs, keep);
        if let Some(outcomes) = self.engine.unless_lost(given)? {
            return Ok(outcomes);
        }
        self.loaded = self.engine.cpu.load(self.chips)?;
        self.loaded.run_keeping(inputs, keep)
    }
}
