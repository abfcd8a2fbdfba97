//! crosspike simulates hybrid RRAM + SRAM in-memory-computing chips that run spiking neural networks: from cells, tiles
//! and a companion SRAM described in TOML to the accuracy of a thousand manufactured chips.
//!
//! # The one way data flows
//!
//! ```text
//! profile.toml ─► Profile ─┐
//! model.toml  ─► Model ────┼─► Chip::program(blueprint, index) ─► Engine (cpu | gpu) ─► Outcome ─► study ─► report
//! weights     ─► Network ──┘          ▲                                    (logits, counts)
//! data set    ─► Batches ─► Trainer ──┘  (programs with the same code)
//! ```
//!
//! # The house
//!
//! Lower floors know nothing of higher ones.
//!
//! | floor | rooms |
//! |---|---|
//! | commands | [`cli`]: a file a command; parse, call the library, print |
//! | results | [`study`]: sweeps, pipelines, points, trials, tables, exports · [`report`]: the HTML page |
//! | backward | [`train`]: surrogate-gradient BPTT · [`attack`]: images perturbed by the gradient through a chip, and its accuracy on them |
//! | inference | [`engine`]: on the CPU and the GPU, evaluation, calibration |
//! | forward | [`forward`]: the CPU's execution, operands, products, converters, neurons: one walk for inference, calibration and training |
//! | chip | [`plan`]: profile and model resolved, layer by layer · [`chip`]: programs a plan · [`effect`]: which keys change anything |
//! | crossbar | [`crossbar`]: tiles, lines, converters, companion SRAM, what it costs: hardware and nothing else |
//! | parts | [`device`]: one cell's physics · [`profile`]: the hardware's TOML · [`network`]: a graph of matrices, neurons, pools and joins; norms, encoders · [`nir`]: networks of other simulators · [`checkpoint`]: weights in and out · [`data`]: data sets |
//! | ground | [`kernels`]: products by instruction set · [`rng`] · [`numeric`] · [`config`] · [`output`] · [`monitor`] · [`memory`] · [`lock`] · [`error`] |
//!
//! `shaders/*.wgsl` holds the GPU's kernels, one a file.
//!
//! # What holds everywhere
//!
//! - **The same chip everywhere.** Every draw is Philox4x32-10 of a key and a counter ([`rng`]): chip `c` of seed `s` is
//!   the same chip on any backend, thread count, shard or resume.
//! - **Sums are exact.** Programming rounds weights to a grid on which every column sum is exact in f32
//!   ([`numeric::grid`]): any order of adding, any kernel, any device gives the same bits. Training's products are sums of
//!   integers too ([`train::gradient`]): a run ends in the same network on any processor.
//! - **One truth for physics.** Training, inference and sweeps program through [`crossbar::arrays::Arrays::program`].
//! - **No silent no-op.** A setting that this version cannot honour is an error with file, line and key.
//!
//! # What is modelled, and what is not
//!
//! Quantised RRAM weights with statistical programming variation, or cells with conductances, their faults and what time does to
//! them ([`device::cell`]); tile partition, lines with resistance ([`crossbar::wires`]), converters at every tile's bit lines with
//! full or calibrated ranges ([`crossbar::adc`]), the companion SRAM array with shift and combination, in integers behind
//! converters ([`crossbar::converted`]), its training beside frozen RRAM and its pruning, graphs of spiking neurons with skips and recurrence ([`network::graph`]), in floats or
//! fixed point ([`network::lif`]), norms
//! adapted to a chip ([`train::adapt`]), early exit ([`engine::exit`]), adversarial images ([`attack`]).
//! Not modelled: see `docs/hardware.md`, effect by effect.

mod announced;
mod atomic;
pub mod attack;
pub mod checkpoint;
pub mod chip;
pub mod cli;
pub mod config;
pub mod crossbar;
pub mod data;
pub mod device;
pub mod effect;
pub mod engine;
pub mod error;
pub mod forward;
mod hdf5;
pub mod kernels;
pub mod lock;
pub mod memory;
pub mod monitor;
pub mod network;
pub mod nir;
pub mod numeric;
pub mod output;
pub mod plan;
pub mod profile;
pub mod report;
pub mod rng;
pub mod study;
mod target;
pub mod train;
