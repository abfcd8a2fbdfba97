//! What several commands take: encodings.

use clap::ValueEnum;

use crate::network::Encoding;

/// An encoder on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EncodingArg {
    /// Signed random spikes with rate |x|/2.
    Poisson,
    /// The pixel value itself, every step.
    Direct,
    /// Values given per step.
    Frames,
}

impl From<EncodingArg> for Encoding {
    fn from(arg: EncodingArg) -> Self {
        match arg {
            EncodingArg::Poisson => Encoding::Poisson,
            EncodingArg::Direct => Encoding::Direct,
            EncodingArg::Frames => Encoding::Frames,
        }
    }
}
