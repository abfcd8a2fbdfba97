//! What several commands take: encodings and backends.

use clap::ValueEnum;

use crate::engine::Engine;
use crate::engine::cpu::CpuEngine;
use crate::engine::gpu::{GpuEngine, auto_choice, explicit_choice};
use crate::error::Result;
use crate::network::Encoding;

/// An encoder on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EncodingArg {
    /// Signed random spikes with rate |x|/2.
    Poisson,
    /// The pixel value itself, every step.
    Direct,
    /// Values given per step.
    Frames,
}

impl From<EncodingArg> for Encoding {
    fn from(arg: EncodingArg) -> Self {
        match arg {
            EncodingArg::Poisson => Encoding::Poisson,
            EncodingArg::Direct => Encoding::Direct,
            EncodingArg::Frames => Encoding::Frames,
        }
    }
}

/// What runs the chips.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Backend {
    /// A hardware GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// This machine's cores.
    Cpu,
    /// A graphics adapter; a software one where there is no other.
    Gpu,
}

impl Backend {
    /// Opens the backend.
    pub fn open(self) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Backend::Cpu => Box::new(CpuEngine::default()),
            Backend::Gpu => Box::new(GpuEngine::new(&explicit_choice()?)?),
            Backend::Auto => match auto_choice() {
                Some(adapter) => Box::new(GpuEngine::new(&adapter)?),
                None => Box::new(CpuEngine::default()),
            },
        })
    }
}
