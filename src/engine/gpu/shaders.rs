//! The kernels, composed: constants and structs from Rust, what all kernels share, what this one needs, and itself.

use super::settings::prelude;
use crate::network::encode::PLANES;

/// A compute kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Poisson spikes from images.
    Encode,
    /// Column sums of inputs of one plane: spikes, or spikes summed by a pool.
    Spikes,
    /// Column sums of fixed-point inputs, by digit planes.
    Digits,
    /// Neurons over all steps.
    Neurons,
    /// Sums over pooling windows.
    Pool,
    /// The readout's sum over steps.
    Readout,
    /// Philox alone, for a test.
    KnownAnswers,
}

impl Kernel {
    /// All of them, in the order of their numbers.
    pub const ALL: [Kernel; 7] = [
        Kernel::Encode,
        Kernel::Spikes,
        Kernel::Digits,
        Kernel::Neurons,
        Kernel::Pool,
        Kernel::Readout,
        Kernel::KnownAnswers,
    ];

    /// The whole shader; its entry point is `main`.
    pub fn source(self) -> String {
        let philox = include_str!("../../../shaders/philox.wgsl");
        let parts: &[&str] = match self {
            Kernel::Encode => &[philox, include_str!("../../../shaders/encode.wgsl")],
            Kernel::Spikes | Kernel::Digits => &[include_str!("../../../shaders/crossbar.wgsl")],
            Kernel::Neurons => &[include_str!("../../../shaders/neurons.wgsl")],
            Kernel::Pool => &[include_str!("../../../shaders/pool.wgsl")],
            Kernel::Readout => &[include_str!("../../../shaders/readout.wgsl")],
            Kernel::KnownAnswers => &[philox, include_str!("../../../shaders/known_answers.wgsl")],
        };
        let planes = if self == Kernel::Digits { PLANES } else { 1 };
        prelude(planes) + include_str!("../../../shaders/common.wgsl") + &parts.concat()
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
