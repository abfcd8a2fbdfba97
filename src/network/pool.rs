//! Pools: windows over maps of pulses, whose counts are added up, or of which the largest is taken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::Pair;
use crate::numeric::Shape;
use crate::numeric::unrolling::Window;

/// More pixels than this in a window are taken for a mistake.
const MOST_PIXELS: usize = 1 << 12;

/// A pool as a model file writes it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a window such as 2 or [1, 2], \"global\", or a table with `window`, `stride`, `padding`, \
                 `kind`"
)]
pub(super) enum Pool {
    /// A window that moves by its own size.
    Window(WindowExtent),
    /// A window of its own.
    Table(PoolTable),
}

/// A window's extent: of rows and columns, or the whole map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a window such as 2 or [1, 2], or \"global\"")]
pub(super) enum WindowExtent {
    Pixels(Pair),
    Named(Global),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Global {
    Global,
}

/// A pool with a window of its own. Pairs are of rows and columns; a number stands for both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Table")]
pub(super) struct PoolTable {
    /// Pixels of the window, or `"global"`, the whole map.
    window: WindowExtent,
    /// Pixels from one place of the window to the next; absent: those of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    stride: Option<Pair>,
    /// Rim of zeros around the map; absent: none. An average counts its pixels, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    padding: Option<Pair>,
    /// The operation on a window's pulses; absent: `"average"`.
    #[serde(default, skip_serializing_if = "crate::config::is_default")]
    kind: PoolKind,
}

/// The operation on a window's pulses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// Their sum, whose unit is one over the window's pixels.
    #[default]
    Average,
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

/// A pool over a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// How its window moves.
    pub window: Window,
    /// The operation on the window's pulses.
    pub kind: PoolKind,
}

impl Pool {
    /// The pool over a map; of one whose window has columns alone, a number is of columns. An error is of a key behind
    /// the pool's.
    pub fn over(&self, one_dimensional: bool, map: Shape) -> Result<Pooling, (&'static str, String)> {
        let (key, table) = match *self {
            Pool::Window(window) => ("", PoolTable { window, stride: None, padding: None, kind: PoolKind::default() }),
            Pool::Table(table) => (".window", table),
        };
        let kernel = match table.window {
            WindowExtent::Pixels(pair) => pair.along(one_dimensional, 1),
            WindowExtent::Named(Global::Global) => [map.height, map.width],
        };
        let stride = table.stride.map_or(kernel, |stride| stride.along(one_dimensional, 1));
        let padding = table.padding.map_or([0; 2], |padding| padding.along(one_dimensional, 0));
        let [h, w] = kernel;
        if h == 0 || w == 0 || h > map.height + 2 * padding[0] || w > map.width + 2 * padding[1] {
            return Err((key, format!("a window of {h} x {w} does not fit a map of {map}")));
        }
        if h * w > MOST_PIXELS {
            return Err((key, format!("a window of {h} x {w} pixels, expected at most {MOST_PIXELS}")));
        }
        if stride.iter().any(|n| !(1..=4096).contains(n)) {
            return Err((".stride", "expected 1 to 4096 pixels".into()));
        }
        if padding.iter().zip(kernel).any(|(padding, kernel)| *padding > kernel / 2) {
            return Err((".padding", format!("expected at most half of the window of {h} x {w} pixels")));
        }
        Ok(Pooling { window: Window { kernel, stride, padding, dilation: [1; 2] }, kind: table.kind })
    }
}

impl Pooling {
    /// The window's size, where it averages windows that lie side by side: what neurons do as they fire.
    pub fn side_by_side(&self) -> Option<(usize, usize)> {
        let Window { kernel, stride, padding, .. } = self.window;
        let is = self.kind == PoolKind::Average && stride == kernel && padding == [0; 2];
        is.then_some((kernel[0], kernel[1]))
    }

    /// The map that it gives of another, into which its window fits.
    pub fn output(&self, map: Shape) -> Shape {
        let [height, width] = self.window.output(map.height, map.width).unwrap_or_default();
        Shape { height, width, ..map }
    }

    /// The value of one pulse of a window's sum, in units of one pulse of its inputs.
    pub fn share(&self) -> f32 {
        if self.kind == PoolKind::Average { 1.0 / self.window.positions() as f32 } else { 1.0 }
    }

    /// The largest pulse that it gives, of pulses up to `largest`.
    pub fn largest(&self, largest: u32) -> u32 {
        let pixels = self.window.positions() as u32;
        if self.kind == PoolKind::Max { largest } else { largest.saturating_mul(pixels) }
    }

    /// How many of its pulses make 1, where it is given pulses of which `divisor` do.
    pub fn divisor(&self, divisor: u32) -> u32 {
        let pixels = self.window.positions() as u32;
        if self.kind == PoolKind::Average { divisor.saturating_mul(pixels) } else { divisor }
    }
}

/// Calls `pair(output pixel, input pixel)` for every pixel of every window, window by window, rows first.
pub fn for_windows(pooling: &Pooling, input: Shape, output: Shape, mut pair: impl FnMut(usize, usize)) {
    let window = pooling.window;
    for (y, x) in (0..output.height).flat_map(|y| (0..output.width).map(move |x| (y, x))) {
        for (ky, kx) in (0..window.kernel[0]).flat_map(|ky| (0..window.kernel[1]).map(move |kx| (ky, kx))) {
            let (row, column) = (window.pixel(0, y, ky, input.height), window.pixel(1, x, kx, input.width));
            if let (Some(row), Some(column)) = (row, column) {
                pair(y * output.width + x, row * input.width + column);
            }
        }
    }
}
