//! What runs chips, as a user asks for it.

use super::Engine;
use super::cpu::CpuEngine;
#[cfg(feature = "gpu")]
use super::fallback::WithFallback;
#[cfg(feature = "gpu")]
use super::gpu::{AdapterKind, GpuEngine, adapters, auto_choice, explicit_choice};
#[cfg(not(feature = "gpu"))]
use crate::error::Error;
use crate::error::Result;

/// What runs the chips; results are the same bits on each.
///
/// # Examples
/// ```
/// use crosspike::Backend;
///
/// let engine = Backend::Cpu.open(|said| eprintln!("{said}"))?;
/// assert_eq!(engine.name(), "cpu");
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
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
    /// The backend's name as the command line writes it.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Cpu => "cpu",
            Backend::Gpu => "gpu",
        }
    }

    /// Opens the backend. A hardware GPU that `auto` finds but cannot open is named to `tell`, and the CPU does the
    /// work.
    ///
    /// # Errors
    /// Where a GPU is asked for and there is none, it fails, or the library was built without the feature `gpu`.
    #[cfg(feature = "gpu")]
    pub fn open(self, tell: fn(&str)) -> Result<Box<dyn Engine>> {
        let cpu = || Box::new(CpuEngine::default());
        let with_fallback = |gpu| Box::new(WithFallback::new(gpu, tell));
        Ok(match self {
            Backend::Cpu => cpu(),
            Backend::Gpu => {
                let adapter = explicit_choice()?;
                if adapter.kind == AdapterKind::Software {
                    tell(&format!(
                        "{} computes on the processor, and is made for tests: the backend cpu is faster",
                        adapter.name
                    ));
                }
                with_fallback(GpuEngine::new(&adapter)?)
            }
            Backend::Auto => match auto_choice(&adapters()).map(GpuEngine::new) {
                Some(Ok(gpu)) => with_fallback(gpu),
                Some(Err(error)) => {
                    tell(&format!("{error}; the CPU runs instead"));
                    cpu()
                }
                None => cpu(),
            },
        })
    }

    /// Opens the backend: the CPU, for this library was built without the feature `gpu`.
    ///
    /// # Errors
    /// Where a GPU is asked for.
    #[cfg(not(feature = "gpu"))]
    pub fn open(self, _: fn(&str)) -> Result<Box<dyn Engine>> {
        match self {
            Backend::Gpu => {
                Err(Error::Gpu("crosspike was built without its feature `gpu`; expected the backend cpu".into()))
            }
            Backend::Auto | Backend::Cpu => Ok(Box::new(CpuEngine::default())),
        }
    }
}
