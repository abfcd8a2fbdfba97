//! The CPU's execution: a layer's inputs as operands of its product ([`patches`], [`laid`]), the sums that its columns
//! give ([`columns`]), folded ([`sums`] of [`integers`], by the fastest of several [`ways`], squares of pixels
//! transformed by [`winograd`]) or tile by tile behind converters ([`partials`], [`conversion`], bent ones by
//! [`code_table`], of what drives their lines, [`driven`]; of many pixels at once, [`cut`] at tiles, [`tiled`]), event
//! by event where that is faster ([`events`]); currents that several layers make up ([`join`]), the neurons that scan
//! them ([`neurons`]), and what becomes of their [`pulses`]. A chip is made [`ready`], each [`layer`] of it, and a
//! batch walks through its nodes ([`walk`]).

pub mod code_table;
pub mod columns;
pub mod conversion;
pub mod currents;
pub mod cut;
pub mod driven;
pub mod events;
pub mod integers;
pub mod join;
pub mod laid;
pub mod layer;
pub mod neurons;
pub mod partials;
pub mod patches;
pub mod pulses;
pub mod ready;
pub mod stepping;
pub mod sums;
pub mod tiled;
pub mod walk;
pub mod ways;
pub mod winograd;
