//! The kernels, composed: constants and structs from Rust, what all kernels share, what this one needs, and itself.

use super::settings::{THREAD_PIXELS, WORKGROUP, prelude};

/// A compute kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Poisson spikes from images.
    Encode,
    /// Column sums in tiles of 16 columns by 128 pixels.
    Sums16,
    /// Column sums in tiles of 32 columns by 64 pixels.
    Sums32,
    /// Column sums in tiles of 64 columns by 32 pixels.
    Sums64,
    /// Columns behind converters.
    Converted,
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
    /// Philox alone, for a test.
    KnownAnswers,
}

impl Kernel {
    /// All of them, in the order of their numbers.
    pub const ALL: [Kernel; 16] = [
        Kernel::Encode,
        Kernel::Sums16,
        Kernel::Sums32,
        Kernel::Sums64,
        Kernel::Converted,
        Kernel::Neurons,
        Kernel::Pool,
        Kernel::Drives,
        Kernel::First,
        Kernel::Join,
        Kernel::Skip,
        Kernel::Lend,
        Kernel::Add,
        Kernel::Part,
        Kernel::Readout,
        Kernel::KnownAnswers,
    ];

    /// The kernel for column sums of so many words of columns: no wider than they are, for tiles have to be full.
    pub fn sums(words: usize) -> Kernel {
        match words {
            0..=4 => Kernel::Sums16,
            5..=8 => Kernel::Sums32,
            _ => Kernel::Sums64,
        }
    }

    /// Words of columns of a workgroup of column sums.
    pub fn across(self) -> u32 {
        match self {
            Kernel::Sums16 => 4,
            Kernel::Sums32 => 8,
            _ => 16,
        }
    }

    /// Pixels of a workgroup of column sums: eight a thread.
    pub fn pixels(self) -> usize {
        (WORKGROUP / self.across() * THREAD_PIXELS) as usize
    }

    /// The whole shader; its entry point is `main`.
    pub fn source(self) -> String {
        let philox = include_str!("../../../shaders/philox.wgsl");
        let parts: &[&str] = match self {
            Kernel::Encode => &[philox, include_str!("../../../shaders/encode.wgsl")],
            Kernel::Sums16 | Kernel::Sums32 | Kernel::Sums64 => &[include_str!("../../../shaders/crossbar.wgsl")],
            Kernel::Converted => &[include_str!("../../../shaders/converted.wgsl")],
            Kernel::Neurons => &[include_str!("../../../shaders/neurons.wgsl")],
            Kernel::Pool => &[include_str!("../../../shaders/pool.wgsl")],
            Kernel::Drives => &[include_str!("../../../shaders/drives.wgsl")],
            Kernel::First => &["const FIRST = 1u;\n", include_str!("../../../shaders/join.wgsl")],
            Kernel::Join => &["const FIRST = 0u;\n", include_str!("../../../shaders/join.wgsl")],
            Kernel::Skip => &[include_str!("../../../shaders/skip.wgsl")],
            Kernel::Lend => &[include_str!("../../../shaders/lend.wgsl")],
            Kernel::Add => &[include_str!("../../../shaders/add.wgsl")],
            Kernel::Part => &[include_str!("../../../shaders/part.wgsl")],
            Kernel::Readout => &[include_str!("../../../shaders/readout.wgsl")],
            Kernel::KnownAnswers => &[philox, include_str!("../../../shaders/known_answers.wgsl")],
        };
        prelude(self.across()) + include_str!("../../../shaders/common.wgsl") + &parts.concat()
    }
}

#[cfg(test)]
mod tests {
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::*;

    #[test]
    fn every_composition_is_valid() {
        for (number, kernel) in Kernel::ALL.into_iter().enumerate() {
            assert_eq!(kernel as usize, number);
            let source = kernel.source();
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|e| panic!("{kernel:?}: {}", e.emit_to_string(&source)));
            Validator::new(ValidationFlags::all(), Capabilities::empty())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{kernel:?}: {}", e.emit_to_string(&source)));
            assert_eq!(module.entry_points.len(), 1);
        }
    }
}
