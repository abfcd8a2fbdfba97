//! The kernels, composed: constants and structs from Rust, what all kernels share, what this one needs, and itself.

use super::limits::Limits;
use super::settings::{Layer, WORKGROUP, prelude};
use super::tiling::Tiling;
use bytemuck::Zeroable;

/// Pixels that a thread of [`ShaderKernel::Skipping`] takes.
const THREAD_PIXELS: u32 = 8;

/// A compute kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShaderKernel {
    /// Poisson spikes from images.
    Encode,
    /// Column sums that skip rows without a pulse, in tiles of so many words of columns: for drivers that compute on
    /// the processor.
    Skipping(u32),
    /// Column sums of all rows: for graphics cards.
    Product(Tiling),
    /// Columns behind converters, or of cells read afresh, a pixel a thread, skipping rows without a pulse.
    Converted,
    /// Columns behind converters, or of cells read afresh, of all rows in tiles: for graphics cards.
    Columns(Tiling),
    /// Neurons over all steps, and small pooling windows.
    Neurons,
    /// A pool over any window.
    Pool,
    /// Drives of rows.
    Drives,
    /// A layer's sums as the beginning of a current.
    First,
    /// A layer's sums added to a current.
    Join,
    /// Pulses added to a current.
    Skip,
    /// Others' currents added to a current.
    Lend,
    /// Pulses added to pulses.
    Add,
    /// Channels side by side.
    Part,
    /// The readout's sum over steps.
    Readout,
    /// A copy, which shows what memory gives.
    Copied,
    /// Multiplications, which show what arithmetic gives.
    Multiplied,
    /// Philox alone, for a test.
    KnownAnswers,
}

/// Workgroups that every device takes in the third dimension of a dispatch.
const MOST_DEPTH: usize = 65535;
/// Multiplications of each sum of a thread of [`ShaderKernel::Multiplied`].
pub const MULTIPLIED: u32 = 4096;

impl ShaderKernel {
    /// The kernel for column sums of so many words of columns and so many pixels on so many chips: no wider than the
    /// columns are, for tiles have to be full.
    pub fn sums(limits: &Limits, words: usize, pixels: usize, chips: usize) -> ShaderKernel {
        let across = match words {
            0..=4 => 4,
            5..=8 => 8,
            _ => 16,
        };
        if !limits.is_card {
            return ShaderKernel::Skipping(across);
        }
        let large = ShaderKernel::Product([Tiling::NARROW, Tiling::HALF, Tiling::WIDE][across as usize / 8]);
        if large.groups(words, pixels, chips) < limits.full { ShaderKernel::Product(Tiling::FEW) } else { large }
    }

    /// The kernel for so many words of columns and so many pixels on so many chips, or reads of them, that are behind
    /// converters or read afresh: tiles, where they may be and where there is work enough for a card.
    pub fn unfolded(limits: &Limits, may_tile: bool, words: usize, pixels: usize, chips: usize) -> ShaderKernel {
        let tiles = ShaderKernel::Columns(match words {
            0..=4 => Tiling::NARROW,
            5..=8 => Tiling::HALF,
            _ => Tiling::CODES,
        });
        let is_enough = tiles.groups(words, pixels, chips) >= limits.full;
        let fits = chips * words.div_ceil(tiles.tile().0) <= MOST_DEPTH;
        if limits.is_card && may_tile && is_enough && fits { tiles } else { ShaderKernel::Converted }
    }

    /// The workgroups that it takes.
    fn groups(self, words: usize, pixels: usize, chips: usize) -> usize {
        let (tile_words, tile_pixels) = self.tile();
        pixels.div_ceil(tile_pixels) * words.div_ceil(tile_words) * chips
    }

    /// Words of columns and pixels of a workgroup of column sums.
    pub fn tile(self) -> (usize, usize) {
        match self {
            ShaderKernel::Skipping(across) => (across as usize, (WORKGROUP / across * THREAD_PIXELS) as usize),
            ShaderKernel::Product(tiling) | ShaderKernel::Columns(tiling) => (tiling.words(), tiling.pixels()),
            _ => (1, WORKGROUP as usize),
        }
    }

    /// The constants that a card's shader is made with: all that a layer says, where loops and branches go by it; none
    /// elsewhere.
    pub fn constants(self, layer: &Layer) -> Option<Layer> {
        match self {
            ShaderKernel::Neurons | ShaderKernel::Converted | ShaderKernel::Columns(_) => Some(*layer),
            ShaderKernel::Product(_) => Some(Layer {
                reads_input: layer.reads_input,
                planes: layer.planes,
                words: layer.words,
                column_words: layer.column_words,
                first_word: layer.first_word,
                part_words: layer.part_words,
                input_height: layer.input_height,
                input_width: layer.input_width,
                height: layer.height,
                width: layer.width,
                kernel_y: layer.kernel_y,
                kernel_x: layer.kernel_x,
                stride_y: layer.stride_y,
                stride_x: layer.stride_x,
                padding_y: layer.padding_y,
                padding_x: layer.padding_x,
                dilation_y: layer.dilation_y,
                dilation_x: layer.dilation_x,
                steps: layer.steps,
                ..Layer::zeroed()
            }),
            _ => None,
        }
    }

    /// Whether its indices are proven to lie within its workgroup's memory, so that it runs without checks of them.
    pub fn is_proven(self) -> bool {
        matches!(self, ShaderKernel::Product(_) | ShaderKernel::Columns(_))
    }

    /// The whole shader, for one layer or for any; its entry point is `main`.
    pub fn source(self, layer: Option<&Layer>) -> String {
        let philox = include_str!("../../../shaders/philox.wgsl");
        let conversion = include_str!("../../../shaders/conversion.wgsl");
        let first = |first: u32| format!("const FIRST = {first}u;\n") + include_str!("../../../shaders/join.wgsl");
        let own = match self {
            ShaderKernel::Encode => [philox, include_str!("../../../shaders/encode.wgsl")].concat(),
            ShaderKernel::Skipping(across) => {
                let constants = format!("const ACROSS = {across}u;\nconst PIXELS = {THREAD_PIXELS}u;\n");
                constants + include_str!("../../../shaders/crossbar.wgsl")
            }
            ShaderKernel::Product(tiling) => tiling.source(include_str!("../../../shaders/product.wgsl")),
            ShaderKernel::Columns(tiling) => {
                conversion.to_string() + &tiling.source(include_str!("../../../shaders/columns.wgsl"))
            }
            ShaderKernel::Converted => [conversion, include_str!("../../../shaders/converted.wgsl")].concat(),
            ShaderKernel::Neurons => include_str!("../../../shaders/neurons.wgsl").into(),
            ShaderKernel::Pool => include_str!("../../../shaders/pool.wgsl").into(),
            ShaderKernel::Drives => include_str!("../../../shaders/drives.wgsl").into(),
            ShaderKernel::First => first(1),
            ShaderKernel::Join => first(0),
            ShaderKernel::Skip => include_str!("../../../shaders/skip.wgsl").into(),
            ShaderKernel::Lend => include_str!("../../../shaders/lend.wgsl").into(),
            ShaderKernel::Add => include_str!("../../../shaders/add.wgsl").into(),
            ShaderKernel::Part => include_str!("../../../shaders/part.wgsl").into(),
            ShaderKernel::Readout => include_str!("../../../shaders/readout.wgsl").into(),
            ShaderKernel::Copied => include_str!("../../../shaders/copied.wgsl").into(),
            ShaderKernel::Multiplied => {
                format!("const MULTIPLIED = {MULTIPLIED}u;\n") + include_str!("../../../shaders/multiplied.wgsl")
            }
            ShaderKernel::KnownAnswers => [philox, include_str!("../../../shaders/known_answers.wgsl")].concat(),
        };
        prelude(layer) + include_str!("../../../shaders/common.wgsl") + &own
    }
}

#[cfg(test)]
mod tests {
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::*;

    #[test]
    fn every_composition_is_valid() {
        let tilings = [Tiling::ALL.map(ShaderKernel::Product), Tiling::ALL.map(ShaderKernel::Columns)].concat();
        let skipping = [4, 8, 16].map(ShaderKernel::Skipping);
        let others = [
            ShaderKernel::Encode,
            ShaderKernel::Converted,
            ShaderKernel::Neurons,
            ShaderKernel::Pool,
            ShaderKernel::Drives,
            ShaderKernel::First,
            ShaderKernel::Join,
            ShaderKernel::Skip,
            ShaderKernel::Lend,
            ShaderKernel::Add,
            ShaderKernel::Part,
            ShaderKernel::Readout,
            ShaderKernel::Copied,
            ShaderKernel::Multiplied,
            ShaderKernel::KnownAnswers,
        ];
        for kernel in [&tilings[..], &skipping, &others].into_iter().flatten() {
            let source = kernel.source(None);
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|e| panic!("{kernel:?}: {}", e.emit_to_string(&source)));
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{kernel:?}: {}", e.emit_to_string(&source)));
            assert_eq!(module.entry_points.len(), 1);
        }
    }
}
