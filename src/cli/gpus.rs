//! `crosspike gpus`.

use super::say;
use crate::engine::gpu::{adapters, auto_choice};
use crate::error::Result;

/// List graphics adapters and what `--backend auto` would take.
#[derive(clap::Args)]
#[command(after_help = "WGPU_BACKEND and WGPU_ADAPTER_NAME (a part of the name) narrow the list.")]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args) -> Result<()> {
    let adapters = adapters();
    if adapters.is_empty() {
        say("no graphics adapter found (Debian's mesa-vulkan-drivers has a software one, for tests)")?;
    }
    for adapter in &adapters {
        let megabytes = adapter.buffer_bytes >> 20;
        let (name, backend, kind, driver) = (&adapter.name, &adapter.backend, adapter.kind, &adapter.driver);
        say(&format!("{name}: {kind}, {backend}, {driver}, buffers up to {megabytes} MiB"))?;
    }
    say(&match auto_choice(&adapters) {
        Some(adapter) => format!("auto takes: gpu, {}", adapter.name),
        None => "auto takes: cpu (no hardware GPU)".into(),
    })
}
