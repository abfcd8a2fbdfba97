//! The floor plan: every tile of every layer to scale with each other, darker the more of its cells are in use.

use serde_json::{Map, Value};

use super::figure::Figure;
use super::svg::{Colour, Svg};
use crate::crossbar::mapping::LayerMap;
use crate::crossbar::site::Site;
use crate::network::{Encoding, Model};
use crate::plan::ChipPlan;
use crate::profile::Profile;
use crate::system::area::area;

const WIDTH: f64 = 920.0;
/// Where tiles begin, from the left.
const LEFT: f64 = 330.0;
/// Pixels of a tile and its gap, at most and at least.
const TILE: [f64; 2] = [18.0, 3.0];
/// Tiles are drawn smaller above this many, and not at all far above it.
const MANY: usize = 20_000;

/// The floor plan of what a result was made on, from its origin; none where that names no single model and profile, or
/// too many tiles to draw.
pub(super) fn figure(origin: &Map<String, Value>) -> Option<Figure> {
    let configuration = &origin.get("configuration")?;
    let model: Model = serde_json::from_value(configuration.get("model")?.clone()).ok()?;
    let profile: Profile = serde_json::from_value(configuration.get("profile")?.clone()).ok()?;
    let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).ok()?;
    let maps = plan.maps();
    let (tiles, widest) =
        (maps.iter().map(|map| map.tiles).sum::<usize>(), maps.iter().map(|map| splits(map)[1]).max()?);
    if tiles == 0 || tiles > MANY {
        return None;
    }
    let size = ((WIDTH - LEFT - 20.0) / widest as f64).min(4000.0 / tiles as f64).clamp(TILE[1], TILE[0]);
    let heights: Vec<f64> = maps.iter().map(|map| (splits(map)[0] as f64 * size + 12.0).max(42.0)).collect();
    let description = format!(
        "{tiles} tiles of {} word lines by {} bit lines in {} layers",
        profile.tile.rows,
        profile.tile.cols,
        plan.sites().filter(|site| site.is_on_rram()).count()
    );
    let draw = |ink| {
        let mut svg = Svg::new(ink, WIDTH, heights.iter().sum::<f64>() + 8.0);
        let mut top = 8.0;
        for ((site, map), height) in plan.sites().zip(&maps).zip(&heights) {
            let [head, below] = words(&plan.profile, site, map);
            svg.text([10.0, top + 13.0], "start", Colour::Text, &head, "");
            svg.text([10.0, top + 30.0], "start", Colour::Muted, &below, "");
            let [rows, columns] = splits(map);
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let at = [LEFT + column as f64 * size, top + row as f64 * size];
                svg.tile(at, size - (size * 0.15).min(1.5), used(site, map, row, column));
            }
            top += height;
        }
        svg.finish_as("floor", "Floor plan", &description)
    };
    let caption = "Floor plan: tiles of each layer, the stronger the colour the more of their cells are in use.";
    Some(Figure::of("floor", draw, caption))
}

/// Rows and columns of tiles; those of groups stand side by side, as many as a square has.
fn splits(map: &LayerMap) -> [usize; 2] {
    let columns = map.tiles.isqrt().max(1);
    if map.groups > 1 { [map.tiles.div_ceil(columns), columns] } else { [map.row_splits, map.column_splits] }
}

/// What is said of a layer.
fn words(profile: &Profile, site: &Site, map: &LayerMap) -> [String; 2] {
    if !site.is_on_rram() {
        return [format!("{}: {} x {} weights", map.layer, map.rows, map.columns), "in digital logic".into()];
    }
    let mut below = format!("{:.0} % of cells in use", 100.0 * map.utilisation.unwrap_or(0.0));
    if map.adcs > 0 {
        below += &format!(", {} converters", map.adcs);
    }
    let um2: f64 = area(profile, site, map).values().sum();
    if um2 > 0.0 {
        below += &format!(", {:.2} mm²", um2 * 1e-6);
    }
    let tiles = format!("{} x {} tiles", map.row_splits, map.column_splits);
    if map.groups > 1 {
        let own =
            format!("{}: {} groups of {} x {} weights", map.layer, map.groups, site.rows, site.columns / site.groups);
        return [format!("{own}, {} tiles", map.tiles), below];
    }
    [format!("{}: {} x {} weights, {tiles}", map.layer, map.rows, map.columns), below]
}

/// The share of a tile's cells that are in use.
fn used(site: &Site, map: &LayerMap, row: usize, column: usize) -> f64 {
    if map.groups > 1 {
        // The last tiles of a square that is not filled are none.
        let is_there = row * splits(map)[1] + column < map.tiles;
        return if is_there { map.utilisation.unwrap_or(0.0) } else { 0.0 };
    }
    let part = |whole: usize, size: usize, at: usize| (whole - at * size).min(size) as f64 / size as f64;
    let (per_tile, tile) = (site.on_tiles().per_tile, site.tile);
    let lines = part(map.columns, per_tile, column) * (per_tile * map.lines_per_column) as f64;
    let units = (map.unit_lines / map.column_splits) as f64;
    part(map.rows, tile.rows, row) * (lines + units) / tile.cols as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn every_tile_is_drawn_and_a_result_without_a_chip_has_none() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let model = Model::read(&root.join("models/fashion.toml"), &[]).unwrap();
        let profile = Profile::read(&root.join("hw_profiles/spikesim_65nm.toml"), &[]).unwrap();
        let tiles: usize =
            ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap().maps().iter().map(|map| map.tiles).sum();
        let origin = |configuration| Map::from_iter([("configuration".to_string(), configuration)]);
        let drawn = figure(&origin(json!({ "model": model, "profile": profile }))).unwrap().html();
        assert_eq!(drawn.matches("<rect").count(), tiles, "{drawn}");
        assert!(drawn.contains("fc1: 1568 x 256 weights, 3 x 4 tiles") && drawn.contains("96 converters"), "{drawn}");
        assert!(figure(&origin(json!({ "model": model }))).is_none());
    }

    #[test]
    fn a_tile_is_as_full_as_its_share_of_weights() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let model = Model::read(&root.join("models/fashion.toml"), &[]).unwrap();
        let profile = Profile::read(&root.join("hw_profiles/spikesim_65nm.toml"), &[]).unwrap();
        let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap();
        for (site, map) in plan.sites().zip(&plan.maps()).filter(|(site, _)| site.is_on_rram()) {
            let at = (0..map.row_splits).flat_map(|row| (0..map.column_splits).map(move |column| (row, column)));
            let mean = at.map(|(row, column)| used(site, map, row, column)).sum::<f64>() / map.tiles as f64;
            assert!((mean - map.utilisation.unwrap()).abs() < 1e-9, "{}: {mean} of {:?}", map.layer, map.utilisation);
        }
    }
}
