//! crosspike simulates hybrid RRAM + SRAM in-memory-computing chips that run spiking neural networks: from cells, tiles
//! and a companion SRAM described in TOML to the accuracy of a thousand manufactured chips.
//!
//! # From files to accuracy
//!
//! A [`Profile`] is the hardware, a [`Model`] the network's shape, a [`Network`] its weights, and a [`Dataset`] what is
//! sent into it. A [`Session`] joins them, and programs and runs as many chips as it is asked for:
//!
//! ```
//! use crosspike::{Dataset, Model, Network, Options, Profile, Session, Split};
//!
//! # fn main() -> crosspike::Result<()> {
//! let profile = Profile::named("rram_4bit", &["rram.variation.scale=2".into()])?;
//! let model = Model::named("digits", &[])?;
//! let network = Network::xavier(&model, 1); // or Network::read(&model, "checkpoint.safetensors".as_ref())?
//! let data = Dataset::open("digits", "".as_ref(), Split::Test)?.limit(50);
//! let session = Session::open(&profile, model, network, &data, Options::default())?;
//! session.evaluate(&data, 0..3, |chip, result| {
//!     println!("chip {chip}: {} % of {} images", result.accuracy, data.len());
//!     Ok(())
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! | what is to be done | begins at |
//! |---|---|
//! | look at a chip: conductances, faults, residuals, tiles | [`Session::survey`] |
//! | train, adapt, prune | [`Training`] |
//! | sweep settings over many chips | [`Sweep`] |
//! | a pipeline of trainings and what each wins back | [`Recipe`] |
//! | what each key wins or costs, layer by layer | [`Sensitivity`] |
//! | the cheapest chip that keeps to an accuracy | [`Search`] |
//! | solve one tile with resistive lines | [`solve_tile`] |
//! | fit a profile to measured devices | [`Fit`] |
//! | networks of other simulators | [`nir_import`] |
//!
//! The same chip is the same bits on any backend, thread count, shard or resume; an error names file, line, key, value
//! and what was expected; what is not modelled is refused, and `docs/hardware.md` says it effect by effect.
//!
//! # Features
//!
//! `cli` (the command line, [`main`]), `gpu` (graphics adapters) and `parquet` (tables in that format) are in by
//! default, and the library does without each of them.
//!
//! # The house
//!
//! Rooms are private; this is for those who build on them. Lower floors know nothing of higher ones.
//!
//! | floor | rooms |
//! |---|---|
//! | commands | `cli`: a file a command; parse, call the library, print |
//! | results | `study`: sweeps, pipelines, points, trials, tables, exports · `report`: the HTML page |
//! | backward | `train`: surrogate-gradient BPTT · `attack`: images perturbed by the gradient through a chip, and its accuracy on them |
//! | way in | `session`: files joined to chips that run |
//! | inference | `engine`: on the CPU and the GPU, evaluation, calibration |
//! | forward | `forward`: the CPU's execution, operands, products, converters, neurons: one walk for inference, calibration and training |
//! | chip | `plan`: profile and model resolved, layer by layer · `chip`: programs a plan · `system`: what layers on a chip take of time, energy and area · `survey`: a chip to look at · `programmer`: weights onto arrays, for other frameworks · `effect`: which keys change anything |
//! | crossbar | `crossbar`: tiles, lines, converters, companion SRAM: hardware and nothing else |
//! | parts | `device`: one cell's physics · `fit`: a profile's cells from measured devices · [`profile`]: the hardware's TOML · `network`: a graph of matrices, neurons, pools and joins; norms, encoders · `nir`: networks of other simulators · `checkpoint`: weights in and out · `data`: data sets |
//! | ground | `kernels`: products by instruction set · `rng` · `numeric` · `shipped`: files within the binary · `config`: TOML that knows its places · `output`, `atomic`, `target`, `announced`, `lock`: files that are written, each whole and over no other · `hdf5` · `monitor` · `memory` · `process` · `error` |
//!
//! `shaders/*.wgsl` holds the GPU's kernels, one a file. Data flows one way:
//!
//! ```text
//! profile.toml ─► Profile ─┐
//! model.toml  ─► Model ────┼─► Chip::program(blueprint, index) ─► Engine (cpu | gpu) ─► Outcome ─► study ─► report
//! weights     ─► Network ──┘          ▲                                    (logits, counts)
//! data set    ─► Batches ─► Trainer ──┘  (programs with the same code)
//! ```
//!
//! - **The same chip everywhere.** Every draw is Philox4x32-10 of a key and a counter (`rng`): chip `c` of seed `s` is
//!   the same chip on any backend, thread count, shard or resume.
//! - **Sums are exact.** Programming rounds weights to a grid on which every column sum is exact in f32
//!   (`numeric::grid`): any order of adding, any kernel, any device gives the same bits. Training's products are sums
//!   of integers too (`train::gradient`): a run ends in the same network on any processor.
//! - **One truth for physics.** Training, inference and sweeps program through `crossbar::arrays::Arrays::program`.
//! - **No silent no-op.** A setting that this version cannot honour is an error with file, line and key.

#![allow(rustdoc::private_intra_doc_links)]
// Tests may go through long lists of cases.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]
// Tests and benchmarks use more of the rooms than the library does: see the feature `internals`.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unused_imports))]

/// The README, whose Rust is compiled as the other examples are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod announced;
mod atomic;
#[cfg(not(feature = "internals"))]
mod attack;
#[cfg(feature = "internals")]
pub mod attack;
#[cfg(not(feature = "internals"))]
mod checkpoint;
#[cfg(feature = "internals")]
pub mod checkpoint;
#[cfg(not(feature = "internals"))]
mod chip;
#[cfg(feature = "internals")]
pub mod chip;
#[cfg(feature = "cli")]
mod cli;
#[cfg(not(feature = "internals"))]
mod config;
#[cfg(feature = "internals")]
pub mod config;
#[cfg(not(feature = "internals"))]
mod crossbar;
#[cfg(feature = "internals")]
pub mod crossbar;
#[cfg(not(feature = "internals"))]
mod data;
#[cfg(feature = "internals")]
pub mod data;
#[cfg(not(feature = "internals"))]
mod device;
#[cfg(feature = "internals")]
pub mod device;
#[cfg(not(feature = "internals"))]
mod effect;
#[cfg(feature = "internals")]
pub mod effect;
#[cfg(not(feature = "internals"))]
mod engine;
#[cfg(feature = "internals")]
pub mod engine;
#[cfg(not(feature = "internals"))]
mod error;
#[cfg(feature = "internals")]
pub mod error;
#[cfg(not(feature = "internals"))]
mod fit;
#[cfg(feature = "internals")]
pub mod fit;
#[cfg(not(feature = "internals"))]
mod forward;
#[cfg(feature = "internals")]
pub mod forward;
mod hdf5;
#[cfg(not(feature = "internals"))]
mod kernels;
#[cfg(feature = "internals")]
pub mod kernels;
#[cfg(not(feature = "internals"))]
mod lock;
#[cfg(feature = "internals")]
pub mod lock;
#[cfg(not(feature = "internals"))]
mod memory;
#[cfg(feature = "internals")]
pub mod memory;
#[cfg(not(feature = "internals"))]
mod monitor;
#[cfg(feature = "internals")]
pub mod monitor;
#[cfg(not(feature = "internals"))]
mod network;
#[cfg(feature = "internals")]
pub mod network;
#[cfg(not(feature = "internals"))]
mod nir;
#[cfg(feature = "internals")]
pub mod nir;
#[cfg(not(feature = "internals"))]
mod numeric;
#[cfg(feature = "internals")]
pub mod numeric;
#[cfg(not(feature = "internals"))]
mod output;
#[cfg(feature = "internals")]
pub mod output;
#[cfg(not(feature = "internals"))]
mod plan;
#[cfg(feature = "internals")]
pub mod plan;
pub mod profile;
#[cfg(not(feature = "internals"))]
mod programmer;
#[cfg(feature = "internals")]
pub mod programmer;
#[cfg(not(feature = "internals"))]
mod report;
#[cfg(feature = "internals")]
pub mod report;
#[cfg(not(feature = "internals"))]
mod rng;
#[cfg(feature = "internals")]
pub mod rng;
#[cfg(not(feature = "internals"))]
mod session;
#[cfg(feature = "internals")]
pub mod session;
mod shipped;
#[cfg(not(feature = "internals"))]
mod study;
#[cfg(feature = "internals")]
pub mod study;
#[cfg(not(feature = "internals"))]
mod survey;
#[cfg(feature = "internals")]
pub mod survey;
#[cfg(not(feature = "internals"))]
mod system;
#[cfg(feature = "internals")]
pub mod system;
mod target;
#[cfg(not(feature = "internals"))]
mod train;
#[cfg(feature = "internals")]
pub mod train;

pub use checkpoint::{Checkpoint, Tensor, Values};
pub use chip::Chip;
#[cfg(feature = "cli")]
pub use cli::{main, run};
pub use config::{Document, Overrides};
pub use crossbar::adc::Converter;
pub use crossbar::relaxation::Conduction;
pub use crossbar::site::Place;
pub use crossbar::sram::Companion;
pub use crossbar::tile::{Solver, TOLERANCE as TILE_TOLERANCE, solve as solve_tile};
pub use crossbar::wires::Line;
pub use data::{Dataset, Split};
pub use device::cell::Devices;
pub use device::survey::{Faulty, Survey};
pub use engine::backend::Backend;
pub use engine::chip_result::ChipResult;
pub use engine::{Counts, Engine};
pub use error::{Error, Result};
pub use fit::laws::{Fitted, Law};
pub use fit::measured::{Measured, Measurement};
pub use fit::time::Aged;
pub use fit::{Fit, Repeated};
pub use monitor::{Monitor, Silent, go_on, interruptible, stop};
pub use network::name_table::read_table as read_names;
pub use network::neuron::{Fires, ResetAt};
pub use network::placing::{Placed, place as place_state_dict};
pub use network::readout::ReadoutKind;
pub use network::shipped::{MODELS, document as model_document};
pub use network::weights::Loaded;
pub use network::{Encoding, Model, Network};
pub use nir::discrete::Discretisation;
pub use nir::export::export as nir_export;
pub use nir::import::{Imported, import as nir_import};
pub use nir::options::{NirOptions, Reset};
pub use numeric::Shape;
pub use profile::Profile;
pub use programmer::{Onto, Programmer};
pub use report::fitted::fitted as draw_fit;
pub use report::{PAGE as REPORT_PAGE, write as write_report};
pub use session::{Options, Session};
pub use study::cell::TableValue;
pub use study::frame::{Cells, Column, Frame};
pub use study::point::{ChipRow, ComponentPart, LayerPart, Parts, Point};
pub use study::recipe::{OWN_KEYS as RECIPE_KEYS, Recipe, RecipeOutlook};
pub use study::search::{OWN_KEYS as SEARCH_KEYS, Search, SearchAnswer};
pub use study::sensitivity::{OWN_KEYS as SENSITIVITY_KEYS, Sensitivity};
pub use study::sweep::{OWN_KEYS as SWEEP_KEYS, Shard, Sweep, There};
pub use study::table::Table;
pub use survey::{LayerSurvey, TileSurvey};
pub use system::Spent;
pub use train::job::{Job as Training, OWN_KEYS as TRAINING_KEYS, Tested, Trained};
pub use train::outlook::Outlook as TrainingOutlook;
pub use train::{CHECKPOINT as CHECKPOINT_FILE, MODEL as MODEL_FILE};
