//! The graphics adapters of this machine, and which one a backend takes.

use std::sync::OnceLock;

use wgpu::{Backends, DeviceType, Instance, InstanceDescriptor};

use crate::error::{Error, Result};

/// What an adapter is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// A graphics card with memory of its own.
    Discrete,
    /// Graphics that share the processor's memory.
    Integrated,
    /// A share of a host's graphics card.
    Virtual,
    /// The driver does not say.
    Unknown,
    /// A driver that computes on the processor: for tests, not for work.
    Software,
}

impl AdapterKind {
    /// Whether it is known to be more than the processor.
    pub fn is_hardware(self) -> bool {
        self < AdapterKind::Unknown
    }
}

impl std::fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            AdapterKind::Discrete => "discrete",
            AdapterKind::Integrated => "integrated",
            AdapterKind::Virtual => "virtual",
            AdapterKind::Unknown => "unknown",
            AdapterKind::Software => "software",
        })
    }
}

/// A graphics adapter under one of its interfaces.
#[derive(Clone, Debug)]
pub struct AdapterInfo {
    /// Its name, as the driver gives it.
    pub name: String,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// What it is.
    pub kind: AdapterKind,
    /// The driver with its version.
    pub driver: String,
    /// The largest buffer a kernel can be given, in bytes. Batches that need larger ones are split.
    pub buffer_bytes: u64,
    pub(super) adapter: wgpu::Adapter,
}

impl AdapterInfo {
    fn new(adapter: wgpu::Adapter) -> Self {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => AdapterKind::Discrete,
            DeviceType::IntegratedGpu => AdapterKind::Integrated,
            DeviceType::VirtualGpu => AdapterKind::Virtual,
            DeviceType::Other => AdapterKind::Unknown,
            DeviceType::Cpu => AdapterKind::Software,
        };
        AdapterInfo {
            name: info.name,
            backend: info.backend.to_string(),
            kind,
            driver: [info.driver, info.driver_info].join(" ").trim().to_string(),
            buffer_bytes: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
            adapter,
        }
    }
}

/// All adapters, best first. None where there is no graphics driver at all.
///
/// `WGPU_BACKEND` and `WGPU_ADAPTER_NAME` (a part of the name, in any case) narrow the list.
pub fn adapters() -> Vec<AdapterInfo> {
    if Instance::enabled_backend_features().is_empty() {
        return Vec::new();
    }
    // Drivers open only so many in a process: NVIDIA's some thirty, and its calls then find no adapter, or never
    // return.
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    let instance = INSTANCE.get_or_init(|| Instance::new(InstanceDescriptor::new_without_display_handle_from_env()));
    let found = pollster::block_on(instance.enumerate_adapters(Backends::all()));
    let mut adapters: Vec<_> = found.into_iter().map(AdapterInfo::new).collect();
    if let Ok(wanted) = std::env::var("WGPU_ADAPTER_NAME") {
        adapters.retain(|a| a.name.to_lowercase().contains(&wanted.to_lowercase()));
    }
    adapters.sort_by_key(|a| a.kind);
    adapters
}

/// The adapter of [`adapters`] that `--backend auto` takes: the best that is hardware, or none, which means the CPU
/// engine.
pub fn auto_choice(adapters: &[AdapterInfo]) -> Option<&AdapterInfo> {
    adapters.iter().find(|a| a.kind.is_hardware())
}

/// The adapter that `--backend gpu` takes: the best there is, a software driver where there is no other.
pub fn explicit_choice() -> Result<AdapterInfo> {
    adapters().into_iter().next().ok_or_else(|| {
        Error::Gpu(
            "no adapter found; install a graphics driver (Debian's `mesa-vulkan-drivers` has a software one) or use \
             `--backend cpu`"
                .into(),
        )
    })
}
