//! What a kernel is told: uniforms, written once for both languages, and constants.

use bytemuck::{Pod, Zeroable};

use crate::crossbar::noise::POOL_BYTES;
use crate::network::code::DIGIT_BITS;
use crate::network::lif::PRODUCT;

/// Threads of a workgroup, in every kernel.
pub const WORKGROUP: u32 = 64;
/// Channels of a word of pulses, and of a vector of sums: small integers in a byte each, floats side by side.
pub const LANES: usize = 4;
/// Pixels of the largest pooling window whose neurons one thread scans.
pub const MOST_WINDOW: u32 = 4;
/// A chip has at most this many steps: counts are gathered in workgroup memory.
pub const MOST_STEPS: u32 = 1024;

/// A struct of scalars, and the same in WGSL.
macro_rules! uniform {
    (@value u32, $value:expr) => { Some(format!("{}u", $value)) };
    (@value i32, $value:expr) => { Some(format!("{}i", $value)) };
    (@value f32, $value:expr) => { $value.is_finite().then(|| format!("{:?}f", $value)) };
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $scalar:ident,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Pod, Zeroable)]
        pub struct $name { $($(#[$field_doc])* pub $field: $scalar,)* }

        impl $name {
            const WGSL: &str = concat!(
                "struct ", stringify!($name), " {\n",
                $("    ", stringify!($field), ": ", stringify!($scalar), ",\n",)*
                "}\n"
            );

            /// The text of this value in WGSL; none where a number is not finite, which WGSL cannot write.
            #[allow(dead_code, reason = "what differs from submission to submission is no constant")]
            fn value(&self) -> Option<String> {
                let values = [$(uniform!(@value $scalar, self.$field),)*].into_iter().collect::<Option<Vec<_>>>()?;
                Some(format!("{}({})", stringify!($name), values.join(", ")))
            }
        }
    };
}

uniform! {
    /// A layer of some chips: lives as long as they are loaded.
    Layer {
        /// Its number, from 0.
        index: u32,
        /// 1 where it reads the chip's input, which is the same for all chips.
        reads_input: u32,
        /// The layer whose drives are counted as its neurons send, and 1 where there is one.
        next_index: u32,
        counts_next: u32,
        /// 1 where its neurons take a current that several make up.
        joined: u32,
        /// 1 where the readout's sums are wanted of each step by itself.
        by_step: u32,
        /// The value of a pulse that joins a current.
        skip_unit: f32,
        /// 1 where a pool takes the largest pulse, or the largest of shares.
        is_max: u32,
        /// Rows and columns of the window that pools a layer's share of a current, from here on; 0 where none does.
        before_y: u32,
        before_x: u32,
        before_stride_y: u32,
        before_stride_x: u32,
        before_padding_y: u32,
        before_padding_x: u32,
        /// The value of one pulse of a window's sum.
        before_share: f32,
        /// The map that it gives.
        before_height: u32,
        before_width: u32,
        /// The place of channels that stand side by side with others: the first, how many, and the words of a pixel
        /// that they come from.
        first_channel: u32,
        part_channels: u32,
        from_words: u32,
        /// Layers of a chip that have neurons.
        layers: u32,
        /// Chips.
        chips: u32,
        /// Words of an input pixel; of a fully connected layer, of the whole input.
        words: u32,
        /// Digit planes of the inputs.
        planes: u32,
        /// Digit planes of the next layer's inputs.
        next_planes: u32,
        /// Words of an output pixel.
        column_words: u32,
        /// The first word of the outputs in this part of its weights.
        first_word: u32,
        /// Words of the outputs in this part of its weights.
        part_words: u32,
        /// Channels of the chip's input.
        channels: u32,
        /// Pixels of the chip's input.
        input_pixels: u32,
        /// Rows of the input map; 1 of a fully connected layer.
        input_height: u32,
        /// Columns of the input map; 1 of a fully connected layer.
        input_width: u32,
        /// Rows of the output map; 1 of a fully connected layer.
        height: u32,
        /// Columns of the output map; 1 of a fully connected layer.
        width: u32,
        /// 1 of a fully connected layer, whose rows are its inputs by channel and pixel.
        flat: u32,
        /// Rows and columns of the window, from here on: positions.
        kernel_y: u32,
        kernel_x: u32,
        /// Pixels from one place to the next.
        stride_y: u32,
        stride_x: u32,
        /// The rim of zeros.
        padding_y: u32,
        padding_x: u32,
        /// Pixels from one position to the next.
        dilation_y: u32,
        dilation_x: u32,
        /// Time steps.
        steps: u32,
        /// Rows of the pooling window behind it.
        window_height: u32,
        /// Columns of the pooling window behind it.
        window_width: u32,
        /// Rows of the window that a thread scans.
        scan_height: u32,
        /// Columns of the window that a thread scans.
        scan_width: u32,
        /// The neurons' leak.
        leak: f32,
        /// The neurons' threshold.
        threshold: f32,
        /// 1 where neurons are general ones: src/network/dynamics.rs, from here on. Factor of the current.
        general: u32,
        input_share: f32,
        /// Leak of the synaptic current.
        synaptic_leak: f32,
        /// Rise of the threshold, and leak of the trace of spikes.
        adaptation: f32,
        adaptation_leak: f32,
        /// The share of the potential that a spike takes away.
        taken: f32,
        /// The value that a spike sets it to, and whether it does.
        reset_value: f32,
        is_set: u32,
        /// 1 where it is reset in the next step.
        next: u32,
        /// 1 where the threshold fires where it is reached.
        reached: u32,
        /// Steps of rest after a spike.
        refractory: f32,
        /// Where constants differ, the first vector of them among the norms, and their places: all pixels, or 1; else
        /// 0.
        own_from: u32,
        own_places: u32,
        /// 1 where neurons are in fixed point, from here on.
        fixed: u32,
        /// 1 where products are rounded down.
        floors: u32,
        /// 1 where potentials wrap around.
        wraps: u32,
        /// Units of the membrane in 1.
        scale: f32,
        /// One of them.
        membrane_unit: f32,
        /// One over what a wrapped potential moves by.
        inverse_turn: f32,
        /// The least potential.
        lowest: f32,
        /// The greatest.
        highest: f32,
        /// Rows of the matrix.
        rows: u32,
        /// Kernel positions, or pixels of a fully connected layer's input.
        positions: u32,
        /// Words of an input pixel's channels.
        channel_words: u32,
        /// Rows and columns of the next layer's window, from here on, as above: positions; 0 where the layer is fully
        /// connected.
        next_kernel_y: u32,
        next_kernel_x: u32,
        next_stride_y: u32,
        next_stride_x: u32,
        next_padding_y: u32,
        next_padding_x: u32,
        next_dilation_y: u32,
        next_dilation_x: u32,
        /// Rows of the next layer's output map.
        next_height: u32,
        /// Columns of it.
        next_width: u32,
        /// 1 where inputs drive the lines as pulses.
        as_pulses: u32,
        /// 1 where they drive them at voltages that their binary digits make up.
        as_levels: u32,
        /// The share of each of those digits, from here on.
        level_0: f32,
        level_1: f32,
        level_2: f32,
        level_3: f32,
        /// Arrays of a chip: one, or one a step where cells are read afresh.
        reads: u32,
        /// 1 where they have ideal converters.
        exact: u32,
        /// Behind converters, from here on: rows that are driven and converted together.
        rows_at_once: u32,
        /// Partial sums of a column.
        partial_sums: u32,
        /// Vectors of a partial sum's converters for each word of columns: gain, offset, and the levels at which codes
        /// begin, if any.
        converter_words: u32,
        /// Vectors of normal numbers of each chip, behind all chips' arrays, that conversions add to their sums; 0
        /// without noise.
        noise_words: u32,
        /// 1 where factors of the normal numbers stand behind them, one a code.
        noise_by_code: u32,
        /// The magnitude that sums are held to before they are converted.
        limit: f32,
        /// Vectors of a chip's arrays for each word of columns.
        chip_words: u32,
        /// Binary digits of the inputs, all planes together.
        bits: u32,
        /// Slices of the cells.
        slices: u32,
        /// Vectors of a slice for each word of columns.
        slice_words: u32,
        /// 2 where there are unit columns to subtract.
        sides: u32,
        /// 1 where there is a companion array.
        has_companion: u32,
        /// Sums of the companion array's products are within this and one less than its negative.
        most_sum: i32,
        /// What leaves the shifter is within this and one less than its negative.
        most_shifted: i32,
        /// The adder's total is within this and one less than its negative.
        most: i32,
    }
}

uniform! {
    /// A submission.
    Run {
        /// Images.
        images: u32,
        /// Steps of the first layer's inputs: 1 where every step sends the same.
        first_steps: u32,
        /// The Poisson key's first word.
        key_low: u32,
        /// The Poisson key's second word.
        key_high: u32,
        /// The last steps whose readout is kept.
        kept_steps: u32,
        /// Counters of an image; 0 where all images share them.
        image_counters: u32,
        /// Zero, which no compiler may know.
        fence: u32,
    }
}

/// The head of every shader, made for one layer or for any.
pub fn prelude(layer: Option<&Layer>) -> String {
    let constant = layer.and_then(Layer::value).map(|value| format!("const layer = {value};\n"));
    let layer = constant.unwrap_or("@group(0) @binding(0) var<uniform> layer: Layer;\n".into());
    let constants = [
        ("WORKGROUP", WORKGROUP),
        ("MOST_STEPS", MOST_STEPS),
        ("MOST_WINDOW", MOST_WINDOW),
        ("DIGIT_BITS", DIGIT_BITS),
        ("PRODUCT", PRODUCT as u32),
        // Vectors of a pool of noise, behind which factors by code stand.
        ("POOL_WORDS", (POOL_BYTES / 16) as u32),
    ];
    let constants = constants.map(|(name, value)| format!("const {name} = {value}u;\n"));
    constants.concat() + Layer::WGSL + Run::WGSL + &layer
}
