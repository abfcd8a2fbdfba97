//! Studies: many chips at many points, a store that a kill cannot harm, and the tables that come of it.

pub mod export;
pub mod quickstart;
pub mod recipe;
pub mod space;
pub mod store;
pub mod sweep;
pub mod table;
pub mod trial;
