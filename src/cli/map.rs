//! `crosspike map`.

use std::path::PathBuf;

use serde_json::json;

use super::say;
use crate::atomic;
use crate::config::Overrides;
use crate::crossbar::mapping::{LayerMap, map};
use crate::error::Result;
use crate::network::Model;
use crate::output::{canonical, origin};
use crate::profile::Profile;

/// Show how a model stands on tiles: tiles a layer, splits, utilisation.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  crosspike map --model models/vgg9.toml --profile hw_profiles/rram_4bit.toml --set tile.rows=256"
)]
pub struct Args {
    /// The model file.
    #[arg(long)]
    model: PathBuf,
    /// The hardware profile.
    #[arg(long)]
    profile: PathBuf,
    /// Override a key of the profile (tile.rows=64) or the model (model.steps=8).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the plan as JSON to this file, replacing it.
    #[arg(long, value_name = "F.json")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let overrides = Overrides::sort(&args.set, &[])?;
    let model = Model::read(&args.model, &overrides.model)?;
    let profile = Profile::read(&args.profile, &overrides.profile)?;
    let layers = map(&model, &profile);
    let tiles: usize = layers.iter().map(|l| l.tiles).sum();
    let weights: usize = layers.iter().map(|l| l.rows * l.columns).sum();
    if let Some(path) = &args.json {
        let origin = origin("map", json!({ "model": model, "profile": profile }));
        let plan = json!({ "layers": layers, "tiles": tiles, "weights": weights, "origin": origin });
        atomic::write(path, canonical(&plan).as_bytes())?;
    }
    let tile = profile.tile;
    let mut text = format!("{} on tiles of {} word lines x {} bit lines\n\n", model.name, tile.rows, tile.cols);
    text += "layer      place     rows   columns  lines   splits    tiles     used SRAM bytes\n";
    text += &layers.iter().map(line).collect::<String>();
    text += &format!("\n{tiles} tiles, {weights} weights");
    say(&text)
}

fn line(layer: &LayerMap) -> String {
    let place = serde_json::to_value(layer.place).ok().and_then(|v| v.as_str().map(String::from)).unwrap_or_default();
    let splits = if layer.tiles == 0 { "–".into() } else { format!("{}x{}", layer.row_splits, layer.column_splits) };
    let lines = if layer.tiles == 0 { "–".into() } else { (layer.columns * layer.lines_per_column).to_string() };
    let used = layer.utilisation.map_or("–".into(), |u| format!("{:.1} %", 100.0 * u));
    format!(
        "{:<10} {place:<8} {:>5} {:>8} {lines:>6}   {splits:<8} {:>6} {used:>8} {:>10}\n",
        layer.layer, layer.rows, layer.columns, layer.tiles, layer.sram_bytes
    )
}
