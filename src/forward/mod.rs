//! The CPU's execution: a layer's inputs as operands of its product ([`patches`], [`laid`]), the sums that its columns give
//! ([`columns`]), folded ([`sums`]) or tile by tile behind converters ([`partials`], of what drives their lines, [`driven`]), event by
//! event where that is faster ([`events`]), and the neurons behind them ([`neurons`]): together a layer
//! ([`layer`]), one of those that a batch walks through ([`walk`]).

pub mod columns;
pub mod driven;
pub mod events;
pub mod laid;
pub mod layer;
pub mod neurons;
pub mod partials;
pub mod patches;
pub mod sums;
pub mod walk;
