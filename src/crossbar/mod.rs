//! A layer's matrix on its hardware ([`site`]): how it stands on tiles ([`mapping`]), is programmed ([`arrays`]) and
//! what its lines leave of it ([`wires`], solved by [`nodal`], or by iteration in [`relaxation`]), and which cells are
//! kept ([`kept`]); what the companion SRAM array adds to it ([`sram`]) and a branch of low rank beside it
//! ([`low_rank`]), within a budget ([`budget`]) that goes to the largest deviations or where it wins most at the output
//! ([`spend`], [`signal`]), how that is stored ([`stored`], [`image`]), and gains and offsets of columns ([`trim`]);
//! converters ([`adc`], [`calibration`]) and the integers behind them ([`converted`]); and what of all that an engine
//! sees ([`programmed`], read with [`reading`]).

pub mod adc;
pub mod arrays;
pub mod budget;
pub mod calibration;
pub mod converted;
mod elimination;
pub mod image;
pub mod kept;
pub mod low_rank;
pub mod mapping;
pub mod nodal;
pub mod noise;
pub mod programmed;
pub mod reading;
pub mod relaxation;
pub mod signal;
pub mod site;
pub mod spend;
pub mod sram;
pub mod stored;
pub mod tile;
pub mod transitions;
pub mod trim;
pub mod wires;
