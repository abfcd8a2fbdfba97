//! A chip as a system: its layers on tiles, what moves between them, how long they take and what that costs.
//!
//! An [`Architecture`] is a network's plan with all that follows from it alone: the copies of layers and the time of
//! each ([`schedule`]), the ways of pulses from layer to layer ([`traffic`]), the area ([`area`]). With what images did
//! on a chip, an [`Activity`], it gives their energy and time ([`energy`]) and the figures that benchmarks compare
//! ([`workload`]). Two figures of others stand beside: a full tile's efficiency ([`tile`]) and SpikeSim's dense
//! estimate ([`spikesim`]).
//!
//! Not counted: layers in digital logic, the encoder, writing, what fills the input's buffer from outside, and what the
//! profile leaves out. All copies of a layer are taken to hold the same weights.

mod architecture;
pub mod area;
mod energy;
mod events;
pub mod schedule;
pub mod spikesim;
pub mod tile;
mod traffic;
pub mod workload;

pub use architecture::{Activity, Architecture};
pub use area::Areas;
pub use energy::{MeanSpent, Spent};
pub use schedule::LayerSchedule;
pub use workload::Workload;
