//! How a layer's matrix stands on tiles ([`mapping`]) and is programmed ([`arrays`]), what the companion SRAM array adds to
//! it ([`sram`]), within a budget ([`budget`]), how it is stored ([`stored`], [`image`]), and the sums that columns give
//! ([`sums`]).

pub mod arrays;
pub mod budget;
pub mod image;
pub mod laid;
pub mod mapping;
pub mod patches;
pub mod sram;
pub mod stored;
pub mod sums;
