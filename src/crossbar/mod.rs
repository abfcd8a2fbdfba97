//! How a layer's matrix stands on tiles ([`mapping`]), is programmed ([`arrays`]) and what its lines leave of it
//! ([`wires`], solved by [`nodal`]); what the companion SRAM array adds to
//! it ([`sram`]), within a budget ([`budget`]), and how that is stored ([`stored`], [`image`]); converters ([`adc`],
//! [`calibration`]) and the integers behind them ([`converted`]); the sums that columns give ([`columns`]): folded
//! ([`sums`]) or tile by tile ([`partials`]); and what all of it costs ([`cost`]).

pub mod adc;
pub mod arrays;
pub mod budget;
pub mod calibration;
pub mod columns;
pub mod converted;
pub mod cost;
pub mod driven;
pub mod events;
pub mod image;
pub mod laid;
pub mod mapping;
pub mod nodal;
pub mod partials;
pub mod patches;
pub mod sram;
pub mod stored;
pub mod sums;
pub mod wires;
