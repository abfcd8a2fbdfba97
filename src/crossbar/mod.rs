//! How a layer's matrix stands on tiles ([`mapping`]), what the companion SRAM array adds to it ([`sram`]) and
//! holds ([`image`]), and the
//! sums its columns give ([`sums`]).

pub mod image;
pub mod laid;
pub mod mapping;
pub mod patches;
pub mod sram;
pub mod sums;
