//! What several commands take: encodings and backends.

use clap::ValueEnum;

use super::terminal::note;
use crate::engine::Engine;
use crate::engine::cpu::CpuEngine;
use crate::engine::fallback::WithFallback;
use crate::engine::gpu::{AdapterKind, GpuEngine, adapters, auto_choice, explicit_choice};
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
    /// As it is written.
    pub fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_string())
    }

    /// Opens the backend. A hardware GPU that `auto` finds but cannot open is named, and the CPU does the work.
    pub fn open(self) -> Result<Box<dyn Engine>> {
        let cpu = || Box::new(CpuEngine::default());
        let with_fallback = |gpu| Box::new(WithFallback::new(gpu, note));
        Ok(match self {
            Backend::Cpu => cpu(),
            Backend::Gpu => {
                let adapter = explicit_choice()?;
                if adapter.kind == AdapterKind::Software {
                    note(&format!(
                        "{} computes on the processor, and is made for tests: --backend cpu is faster",
                        adapter.name
                    ));
                }
                with_fallback(GpuEngine::new(&adapter)?)
            }
            Backend::Auto => match auto_choice(&adapters()).map(GpuEngine::new) {
                Some(Ok(gpu)) => with_fallback(gpu),
                Some(Err(error)) => {
                    note(&format!("{error}; the CPU runs instead"));
                    cpu()
                }
                None => cpu(),
            },
        })
    }
}
