//! `crosspike gpus`.

use serde_json::json;

use super::said::Said;
use crate::engine::gpu::{AdapterInfo, adapters, auto_choice};
use crate::error::Result;

/// List graphics adapters and what `--backend auto` would take.
#[derive(clap::Args)]
#[command(after_help = "WGPU_BACKEND and WGPU_ADAPTER_NAME (a part of the name) narrow the list.")]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args) -> Result<Said> {
    let adapters = adapters();
    let mut text = vec![];
    if adapters.is_empty() {
        text.push("no graphics adapter found (Debian's mesa-vulkan-drivers has a software one, for tests)".to_string());
    }
    for adapter in &adapters {
        let megabytes = adapter.buffer_bytes >> 20;
        let (name, backend, kind, driver) = (&adapter.name, &adapter.backend, adapter.kind, &adapter.driver);
        text.push(format!("{name}: {kind}, {backend}, {driver}, buffers up to {megabytes} MiB"));
    }
    let auto = auto_choice(&adapters).map(|adapter| &adapter.name);
    text.push(match auto {
        Some(name) => format!("auto takes: gpu, {name}"),
        None => "auto takes: cpu (no hardware GPU)".into(),
    });
    let to_json = |adapter: &AdapterInfo| {
        json!({
            "name": adapter.name,
            "backend": adapter.backend,
            "kind": adapter.kind.to_string(),
            "driver": adapter.driver,
            "buffer_bytes": adapter.buffer_bytes,
        })
    };
    let listed = json!({ "adapters": adapters.iter().map(to_json).collect::<Vec<_>>(), "auto": auto });
    Ok(Said::new(text.join("\n"), listed))
}
