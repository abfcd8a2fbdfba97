//! The network: its shape ([`model`]), a [`graph`] of matrices, populations of neurons ([`neuron`]), pools and joins;
//! its latent weights, norms and biases ([`weights`], under the [`names`] that checkpoints have); and how inputs become
//! spikes ([`encode`], [`inputs`]) or other integers ([`code`]).
//!
//! As published (BNTT, arXiv:2010.01729): `u ← λ·u + BN_t(W·s)`, a spike iff `u > θ`, then `u ← u − θ`; the readout
//! integrates without leak: `logits = (1/T)·Σ_t W·s_t`.

pub mod code;
pub mod companion;
pub mod constants;
mod convolution;
pub mod drive;
pub mod dynamics;
pub mod encode;
mod entries;
pub mod graph;
pub mod inputs;
mod item;
pub mod layer;
pub mod lif;
pub mod looks;
mod matrix;
pub mod model;
mod module_names;
pub mod name_table;
pub mod names;
pub mod neuron;
pub mod placing;
pub mod pool;
pub mod pulses;
pub mod readout;
mod resolve;
pub mod shipped;
pub mod varied;
pub mod weights;

pub use code::InputCode;
pub use drive::{Drive, Input};
pub use encode::{Batch, Encoder, Encoding};
pub use graph::Graph;
pub use inputs::Inputs;
pub use layer::{Layer, LayerKind, NormKind};
pub use lif::Lif;
pub use model::Model;
pub use neuron::Neuron;
pub use weights::Network;
