//! The floor plan: layers and what stands around them as parts of the chip's area, to scale, each with its tiles,
//! darker the more of their cells are in use.

use serde_json::{Map, Value};

use super::figure::Figure;
use super::svg::{Colour, LETTER, Sheet, Svg, escape};
use crate::crossbar::mapping::LayerMap;
use crate::crossbar::site::Site;
use crate::network::{Encoding, Model};
use crate::plan::ChipPlan;
use crate::profile::Profile;
use crate::system::Architecture;

/// Pixels around the plan.
const MARGIN: f64 = 8.0;
/// A plan's height as a share of its width, on wide and on narrow sheets.
const HEIGHT: [f64; 2] = [0.42, 0.85];
/// Pixels of a block's label, and of the smallest block that has room for one.
const LABEL: f64 = 18.0;
const LABELLED: [f64; 2] = [54.0, 36.0];
/// Tiles are not drawn above this many.
const MANY: usize = 20_000;

/// A part of the chip: a layer, or everything that stands around all of them.
struct FloorBlock<'a> {
    name: String,
    /// The sentence about it in the list below the plan.
    words: String,
    /// Square micrometre, or tiles where the profile has no areas.
    area: f64,
    layer: Option<(&'a Site, &'a LayerMap)>,
}

/// The parts of one chip, the largest first.
struct FloorPlan<'a> {
    blocks: Vec<FloorBlock<'a>>,
    /// The area of all of them.
    whole: f64,
    /// Whether areas are known; else each tile counts as much as another.
    has_areas: bool,
}

/// The floor plan of what a result was made on, from its origin; `swept` tells that points differ in it. None where
/// that names no single model and profile, or has too many tiles to draw.
pub(super) fn figure(origin: &Map<String, Value>, swept: bool) -> Option<Figure> {
    let configuration = &origin.get("configuration")?;
    let model: Model = serde_json::from_value(configuration.get("model")?.clone()).ok()?;
    let profile: Profile = serde_json::from_value(configuration.get("profile")?.clone()).ok()?;
    let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).ok()?;
    let maps = plan.maps();
    let tiles = maps.iter().map(|map| map.tiles).sum::<usize>();
    if tiles == 0 || tiles > MANY {
        return None;
    }
    let floor = FloorPlan::of(&plan, &maps);
    let largest = &floor.blocks[0];
    let what = if largest.layer.is_some() { &largest.name } else { "what stands around the layers" };
    let mut caption = format!(
        "Floor plan, {}: {what} takes {}. Where there is room, the rectangles of a layer are its tiles, the stronger \
         the colour the more of their {} x {} cells are in use.",
        if floor.has_areas { "areas to scale" } else { "by tiles, for the profile has no areas" },
        floor.share(largest),
        profile.tile.rows,
        profile.tile.cols,
    );
    if profile.system.ensemble > 1 {
        caption += &format!(" It is one of {} chips that answer together.", profile.system.ensemble);
    }
    if swept {
        caption += " Keys that were swept are as in the profile.";
    }
    let listed = floor.blocks.iter().filter(|block| block.area > 0.0 || block.layer.is_some());
    let list: String = listed.map(|block| format!("<li>{}</li>\n", escape(&floor.said(block)))).collect();
    let list = format!("<ul class=\"front\">\n{list}</ul>\n");
    Some(Figure::of("floor", |sheet| floor.draw(sheet), caption).with(list))
}

impl<'a> FloorPlan<'a> {
    /// The parts of a chip whose layers have these maps; all copies of a layer are one part.
    fn of(plan: &'a ChipPlan, maps: &'a [LayerMap]) -> Self {
        let areas = Architecture::of(plan).areas();
        let known = areas.total_mm2().map(|mm2| mm2 * 1e6);
        let area = |layer: usize, map: &LayerMap| known.map_or(map.tiles as f64, |_| areas.layers[layer]);
        let block = |(layer, (site, map)): (usize, (&'a Site, &'a LayerMap))| {
            let [head, below] = words(site, map);
            let (name, words) = (map.layer.clone(), format!("{head}, {below}"));
            FloorBlock { name, words, area: area(layer, map), layer: Some((site, map)) }
        };
        let mut blocks: Vec<FloorBlock> = plan.sites().zip(maps).enumerate().map(block).collect();
        let beside = known.map_or(0.0, |whole| whole - areas.layers.iter().sum::<f64>());
        // Sums of the same areas in another order differ by their rounding.
        if beside > 1e-9 * known.unwrap_or(0.0) {
            let words = "buffer, routers and control around the layers".into();
            blocks.push(FloorBlock { name: "around".into(), words, area: beside, layer: None });
        }
        blocks.sort_by(|a, b| b.area.total_cmp(&a.area));
        let whole = blocks.iter().map(|block| block.area).sum();
        FloorPlan { blocks, whole, has_areas: known.is_some() }
    }

    /// A part's share of the chip.
    fn share(&self, block: &FloorBlock) -> String {
        let of = if self.has_areas { "area" } else { "tiles" };
        format!("{:.1} % of the {of}", 100.0 * block.area / self.whole)
    }

    /// A part, its area and its share.
    fn said(&self, block: &FloorBlock) -> String {
        let FloorBlock { words, area, .. } = block;
        match (*area > 0.0, self.has_areas) {
            (false, _) => words.clone(),
            (true, true) => format!("{words}: {:.3} mm², {}", area * 1e-6, self.share(block)),
            (true, false) => format!("{words}: {}", self.share(block)),
        }
    }

    fn draw(&self, sheet: Sheet) -> String {
        let inner = [sheet.width() - 2.0 * MARGIN, sheet.width() * HEIGHT[usize::from(sheet.is_narrow())]];
        let mut svg = Svg::new(sheet, 2.0 * MARGIN + inner[1]);
        let there: Vec<&FloorBlock> = self.blocks.iter().filter(|block| block.area > 0.0).collect();
        let areas: Vec<f64> = there.iter().map(|block| block.area).collect();
        svg.outline([MARGIN, MARGIN], inner, 2.0);
        for (block, frame) in there.iter().zip(squarified(&areas, [MARGIN, MARGIN, inner[0], inner[1]])) {
            svg.titled(&self.said(block), |svg| draw_block(svg, block, frame, &self.share(block)));
        }
        svg.finish_as("floor", "Floor plan", &self.said(&self.blocks[0]))
    }
}

/// A block with its tiles, and its name and share where there is room.
fn draw_block(svg: &mut Svg, block: &FloorBlock, [x, y, width, height]: [f64; 4], share: &str) {
    let [x, y, width, height] = [x + 2.0, y + 2.0, (width - 4.0).max(0.5), (height - 4.0).max(0.5)];
    let is_labelled = width >= LABELLED[0] && height >= LABELLED[1];
    let head = if is_labelled { LABEL } else { 0.0 };
    svg.outline([x, y], [width, height], 1.0);
    if is_labelled {
        let long = format!("{}: {share}", block.name);
        let fits = |text: &str| text.chars().count() as f64 * LETTER < width - 6.0;
        if let Some(text) = [&long, &block.name].into_iter().find(|text| fits(text)) {
            svg.text([x + 5.0, y + 13.5], "start", Colour::Text, text, "");
        }
    }
    let Some((site, map)) = block.layer else { return };
    let (across, down) = (width - 4.0, height - head - 4.0);
    let [rows, columns] = splits(map);
    let size = [across / columns as f64, down / rows as f64];
    if size.iter().any(|side| *side < 0.5) {
        return;
    }
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        let at = [x + 2.0 + column as f64 * size[0], y + head + 2.0 + row as f64 * size[1]];
        let gap = |side: f64| side - (side * 0.15).min(1.5);
        svg.tile(at, size.map(gap), used(site, map, row, column));
    }
}

/// A frame (left, top, width, height) cut into parts of these shares, the largest first, as square as can be: rows of
/// parts along the shorter side, each as long as makes its worst part no thinner (Bruls, Huizing & van Wijk 2000).
fn squarified(shares: &[f64], frame: [f64; 4]) -> Vec<[f64; 4]> {
    let whole: f64 = shares.iter().sum();
    let [mut left, mut top, mut width, mut height] = frame;
    let areas: Vec<f64> = shares.iter().map(|share| share / whole * width * height).collect();
    let mut parts = Vec::new();
    while parts.len() < areas.len() {
        let (rest, side) = (&areas[parts.len()..], width.min(height));
        let thinnest = |row: &[f64]| {
            let depth = row.iter().sum::<f64>() / side;
            row.iter().map(|area| (area / depth / depth).max(depth * depth / area)).fold(0.0, f64::max)
        };
        let is_better = |n: &usize| thinnest(&rest[..n + 1]) > thinnest(&rest[..*n]);
        let row = &rest[..(1..rest.len()).find(is_better).unwrap_or(rest.len())];
        let depth = row.iter().sum::<f64>() / side;
        let mut along = 0.0;
        for area in row {
            let length = area / depth;
            parts.push(match width >= height {
                true => [left, top + along, depth, length],
                false => [left + along, top, length, depth],
            });
            along += length;
        }
        if width >= height {
            (left, width) = (left + depth, (width - depth).max(1e-9));
        } else {
            (top, height) = (top + depth, (height - depth).max(1e-9));
        }
    }
    parts
}

/// Rows and columns of tiles; those of groups stand side by side, as many as a square has.
fn splits(map: &LayerMap) -> [usize; 2] {
    let columns = map.tiles.isqrt().max(1);
    if map.groups > 1 { [map.tiles.div_ceil(columns), columns] } else { [map.row_splits, map.column_splits] }
}

/// A layer's matrix, and the use of its tiles.
fn words(site: &Site, map: &LayerMap) -> [String; 2] {
    if !site.is_on_rram() {
        return [format!("{}: {} x {} weights", map.layer, map.rows, map.columns), "in digital logic".into()];
    }
    let mut below = format!("{:.0} % of cells in use", 100.0 * map.utilisation.unwrap_or(0.0));
    if map.adcs > 0 {
        below += &format!(", {} converters", map.adcs);
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
        let drawn = figure(&origin(json!({ "model": model, "profile": profile })), false).unwrap().html();
        // The outlines of the chip and of its five layers, for wide and for narrow screens.
        assert_eq!(drawn.matches("<rect").count(), 2 * (tiles + 6), "{drawn}");
        assert!(drawn.contains("fc1: 1568 x 256 weights, 3 x 4 tiles") && drawn.contains("96 converters"), "{drawn}");
        assert!(drawn.contains("fc1 takes 57.8 % of the area"), "one layer has most of the area: {drawn}");
        assert!(figure(&origin(json!({ "model": model })), false).is_none());
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

    #[test]
    fn parts_have_their_shares_of_the_frame_and_do_not_overlap() {
        let shares = [0.6, 0.2, 0.1, 0.06, 0.04];
        let parts = squarified(&shares, [10.0, 20.0, 300.0, 100.0]);
        for (share, [left, top, width, height]) in shares.iter().zip(&parts) {
            assert!((width * height - share * 30_000.0).abs() < 1e-6, "{share}: {width} x {height}");
            assert!(*left >= 10.0 && *top >= 20.0 && left + width < 310.001 && top + height < 120.001, "{parts:?}");
        }
        let overlap = |a: &[f64; 4], b: &[f64; 4]| {
            let along = |i: usize| (a[i] + a[i + 2]).min(b[i] + b[i + 2]) - a[i].max(b[i]);
            along(0) > 1e-6 && along(1) > 1e-6
        };
        let pairs = (0..parts.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        assert!(pairs.into_iter().all(|(a, b)| !overlap(&parts[a], &parts[b])), "{parts:?}");
    }
}
