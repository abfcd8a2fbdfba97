//! One manufactured chip: the only way weights reach an engine.
//!
//! A chip is a pure function of profile, model, weights, seed and index. Per layer it holds what the engine needs and no
//! more: the effective matrix (with an ideal converter, cells, pairs and companion array are linear and fold into one)
//! on the grid that makes sums exact, and each step's gain and offset, which stay digital, behind the converter.

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::crossbar::mapping::{Place, place};
use crate::crossbar::sram;
use crate::device::{self, Draw};
use crate::error::{Error, Result};
use crate::network::weights::xavier;
use crate::network::{Encoding, Layer, Model, Network, Neuron};
use crate::numeric::Shape;
use crate::numeric::grid::round_to_exact_grid;
use crate::profile::{Profile, SramInit};
use crate::rng::Stream;

/// A chip with a network programmed onto it.
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    /// The layers in order; the last is the readout.
    pub layers: Vec<ProgrammedLayer>,
    /// The input's shape.
    pub input: Shape,
    /// Time steps.
    pub steps: usize,
    /// Neuron constants.
    pub neuron: Neuron,
    /// What the first layer's inputs are.
    pub encoding: Encoding,
}

/// One layer as an engine sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgrammedLayer {
    /// The plan it follows.
    pub plan: Layer,
    /// The effective matrix, `[columns, rows]`, rows in published order.
    pub weights: Vec<f32>,
    /// The weights are multiples of 2^-grid.
    pub grid: i32,
    /// The value of one integer of the input.
    pub input_unit: f32,
    /// Gain per step and channel, `[steps, columns]`; empty for the readout. Counts the input's unit in.
    pub gain: Vec<f32>,
    /// Offset per step and channel, `[steps, columns]`; empty for the readout.
    pub offset: Vec<f32>,
}

/// What a chip is made from, checked once for a whole series of chips.
#[derive(Debug)]
pub struct Blueprint<'a> {
    profile: &'a Profile,
    model: &'a Model,
    network: &'a Network,
    encoding: Encoding,
    sram: Option<Network>,
    seed: u64,
}

impl Chip {
    /// Manufactures chip `index` of the blueprint's seed.
    pub fn program(blueprint: &Blueprint, index: u64) -> Chip {
        let Blueprint { model, network, encoding, seed, .. } = *blueprint;
        let draw = Draw::chip(seed, index);
        let programmed = model.layers().into_iter().enumerate().map(|(i, plan)| {
            let input_unit = if i == 0 { encoding.unit() } else { plan.input_unit() };
            let largest_input = if i == 0 { encoding.largest_digit() } else { plan.largest_pulse };
            let mut weights = blueprint.effective_weights(i, &plan, Some(draw));
            let grid = round_to_exact_grid(&mut weights, plan.rows(), largest_input);
            let (gain, offset) = network.layers[i].norm.as_ref().map(|n| n.fold(input_unit)).unwrap_or_default();
            ProgrammedLayer { plan, weights, grid, input_unit, gain, offset }
        });
        let layers = programmed.collect();
        Chip { layers, input: model.input, steps: model.steps, neuron: model.neuron, encoding }
    }
}

impl<'a> Blueprint<'a> {
    /// Joins the parts; reads the companion array's checkpoint where the profile names one.
    pub fn new(
        profile: &'a Profile,
        model: &'a Model,
        network: &'a Network,
        encoding: Encoding,
        seed: u64,
    ) -> Result<Self> {
        let layers = model.layers();
        if network.is_hybrid() {
            for (layer, state) in layers.iter().zip(&network.layers) {
                let on_rram = place(profile, layer) == Place::Rram;
                if on_rram != state.sram.is_some() {
                    return Err(Error::Mismatch(format!(
                        "the checkpoint is a hybrid but `{0}.WR` is {1} while the profile puts `{0}` {2}; expected `rram.layers` to name the layers that have a WR",
                        layer.name,
                        if on_rram { "missing" } else { "there" },
                        if on_rram { "on RRAM" } else { "in digital logic" },
                    )));
                }
            }
        }
        let sram = match &profile.sram.init {
            SramInit::Checkpoint(file) if profile.sram.bits > 0 && !network.is_hybrid() => {
                Some(Network::from_checkpoint(model, &Checkpoint::read(Path::new(file))?)?)
            }
            _ => None,
        };
        Ok(Blueprint { profile, model, network, encoding, sram, seed })
    }

    /// What the user should know before reading results.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if self.network.is_hybrid() && self.profile.sram.bits == 0 {
            notices.push("the checkpoint is a hybrid but sram.bits = 0: only its RRAM part runs".into());
        }
        notices
    }

    fn effective_weights(&self, index: usize, plan: &Layer, draw: Option<Draw>) -> Vec<f32> {
        let state = &self.network.layers[index];
        let companion = match (&state.sram, &self.sram, &self.profile.sram.init) {
            (Some(own), ..) => CompanionSource::Given(own),
            (None, Some(other), _) => CompanionSource::Given(&other.layers[index].rram),
            (None, None, SramInit::Residual) => CompanionSource::Residual,
            (None, None, SramInit::Zeros) => CompanionSource::Made(vec![0.0; state.rram.len()]),
            (None, None, SramInit::Xavier) => {
                CompanionSource::Made(xavier(plan, self.seed, Stream::SramInit, index as u64))
            }
            (None, None, SramInit::Rram | SramInit::Checkpoint(_)) => CompanionSource::Given(&state.rram),
        };
        let source = match &companion {
            CompanionSource::Given(latent) => sram::Source::Latent(latent),
            CompanionSource::Made(latent) => sram::Source::Latent(latent),
            CompanionSource::Residual => sram::Source::Residual,
        };
        program_layer(self.profile, plan, index as u32, &state.rram, source, draw)
    }
}

enum CompanionSource<'a> {
    Given(&'a [f32]),
    Made(Vec<f32>),
    Residual,
}

/// The effective matrix `[columns, rows]` of one layer: digital layers keep their latent weights, RRAM layers are
/// quantised, varied by `draw` and joined by the companion array. Training calls this too.
pub fn program_layer(
    profile: &Profile,
    plan: &Layer,
    index: u32,
    latent: &[f32],
    companion: sram::Source,
    draw: Option<Draw>,
) -> Vec<f32> {
    if place(profile, plan) == Place::Digital {
        return latent.to_vec();
    }
    let cells = device::program(latent, plan.rows(), index, &profile.rram, draw);
    if profile.sram.bits == 0 {
        return cells.programmed;
    }
    let array = sram::program(&profile.sram, companion, &cells);
    let mut folded = cells.programmed;
    sram::fold(&mut folded, &array, profile.sram.effective_combine());
    folded
}
