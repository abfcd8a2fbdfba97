//! What a kernel is told: uniforms, written once for both languages, and constants.

use bytemuck::{Pod, Zeroable};

use crate::network::encode::DIGIT_BITS;

/// Threads of a workgroup, in every kernel.
pub const WORKGROUP: u32 = 64;
/// Columns a thread sums at once.
pub const COLUMNS: u32 = 8;
/// A chip has at most this many steps: counts are gathered in workgroup memory.
pub const MOST_STEPS: u32 = 1024;

/// A struct of scalars, and the same in WGSL.
macro_rules! uniform {
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
        }
    };
}

uniform! {
    /// A layer: lives as long as the chip's buffers.
    Layer {
        /// Its number, from 0.
        index: u32,
        /// The first column of this part of its weights.
        first_column: u32,
        /// Output channels.
        columns: u32,
        /// Input channels; of a fully connected layer all its inputs.
        channels: u32,
        /// Rows of the input and output map.
        height: u32,
        /// Columns of the input and output map.
        width: u32,
        /// Kernel width.
        kernel: u32,
        /// Time steps.
        steps: u32,
        /// Rows of the pooling window behind it.
        window_height: u32,
        /// Columns of the pooling window behind it.
        window_width: u32,
        /// The neurons' leak.
        leak: f32,
        /// The neurons' threshold.
        threshold: f32,
        /// Zero, which no compiler may know.
        fence: u32,
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
    }
}

/// The head of every shader, for inputs of `planes` digit planes.
pub fn prelude(planes: u32) -> String {
    let constants = [
        ("WORKGROUP", WORKGROUP),
        ("COLUMNS", COLUMNS),
        ("MOST_STEPS", MOST_STEPS),
        ("DIGIT_BITS", DIGIT_BITS),
        ("PLANES", planes),
    ];
    let constants = constants.map(|(name, value)| format!("const {name} = {value}u;\n"));
    constants.concat() + Layer::WGSL + Run::WGSL
}
