//! A layer's matrix on its hardware ([`site`]): how it stands on tiles ([`mapping`]), is programmed ([`arrays`]) and what its lines
//! leave of it ([`wires`], solved by [`nodal`], or by iteration in [`relaxation`]), and which cells are kept ([`kept`]); what the companion SRAM array adds to it
//! ([`sram`]), within a budget ([`budget`]), and how that is stored ([`stored`], [`image`]); converters ([`adc`], [`calibration`]) and the integers behind them
//! ([`converted`]); and what of all that an engine sees ([`programmed`], read with [`reading`]).

pub mod adc;
pub mod arrays;
pub mod budget;
pub mod calibration;
pub mod converted;
pub mod image;
pub mod kept;
pub mod mapping;
pub mod nodal;
pub mod noise;
pub mod programmed;
pub mod reading;
pub mod relaxation;
pub mod site;
pub mod spend;
pub mod sram;
pub mod stored;
pub mod tile;
pub mod transitions;
pub mod trim;
pub mod wires;
