//! One manufactured chip: the only way weights reach an engine.
//!
//! A chip is a pure function of profile, model, weights, calibration, seed and index. Per layer it holds what the
//! engine needs and no more: the effective matrix on the grid that makes sums exact, or its tiles behind converters
//! ([`Programmed`]), and each step's gain and offset, which stay digital, behind the converter.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::crossbar::arrays::Arrays;
use crate::crossbar::calibration::Calibration;
use crate::crossbar::kept::{KeptCells, RramSide, Shelf};
use crate::crossbar::programmed::Programmed;
use crate::crossbar::reading::Reading;
use crate::crossbar::site::Site;
use crate::crossbar::{budget, sram, trim};
use crate::device::Draw;
use crate::device::code::slices;
use crate::effect::{self, Beside, Idle};
use crate::error::{Error, Result};
use crate::network::companion::CompanionWeights;
use crate::network::varied::Varied;
use crate::network::weights::{Loaded, xavier};
use crate::network::{Graph, InputCode, LayerKind, Model, Network};
use crate::numeric::Shape;
use crate::plan::{ChipPlan, LayerPlan};
use crate::profile::{Profile, Scheme, Sram, SramInit, TileInputs};
use crate::rng::Stream;
use crate::system::Architecture;

/// A chip with a network programmed onto it.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let profile = Profile::named("rram_4bit", &[])?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let chip = session.program(7)?;
/// assert_eq!(chip, session.program(7)?); // Chip 7 of a seed is the same one whenever it is made.
/// assert_ne!(chip, session.program(8)?);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Chip {
    /// The layers in order; the last is the readout.
    pub layers: Vec<ProgrammedLayer>,
    /// How they lead to one another.
    pub graph: Arc<Graph>,
    /// The input's shape.
    pub input: Shape,
    /// Time steps.
    pub steps: usize,
    /// What the first layer's inputs are.
    pub code: InputCode,
    /// How inputs drive word lines.
    pub inputs: TileInputs,
    /// Bytes that its companion arrays hold.
    pub sram_bytes: usize,
    /// Pulses that programmed its cells, where conductances are modelled.
    pub write_pulses: u64,
}

/// One layer as an engine sees it.
#[derive(Clone, Debug)]
pub struct ProgrammedLayer {
    /// The plan it follows.
    pub plan: Arc<LayerPlan>,
    /// Its arrays.
    pub arrays: Programmed,
    /// Gain per step and channel, `[steps, columns]`; empty for the readout. Counts the input's unit in.
    pub gain: Vec<f32>,
    /// Offset per step and channel, `[steps, columns]`; of the readout its bias, `[columns]`, or nothing.
    pub offset: Vec<f32>,
    /// The constants of its neurons, where they differ.
    pub varied: Option<Arc<Varied>>,
    /// Elements that its companion array stores.
    pub sram_elements: usize,
}

/// Layers are equal where they do the same: where their weights stand does not count.
impl PartialEq for ProgrammedLayer {
    fn eq(&self, other: &Self) -> bool {
        let does = |layer: &Self| {
            (layer.plan.layer.clone(), layer.plan.site.drive, layer.plan.input_unit, layer.sram_elements)
        };
        let norms = |layer: &Self| [layer.gain.clone(), layer.offset.clone()];
        does(self) == does(other)
            && norms(self) == norms(other)
            && self.arrays == other.arrays
            && self.varied == other.varied
    }
}

/// The remark on converters beside companion arrays, for networks that were trained without these.
const COARSE: &str = "adc.step: companion arrays are added to codes by shifting, so steps are powers of two, up to \
                      twice as coarse as ranges ask; that alone may cost points of accuracy (adc.step = \
                      \"power_of_two\" without the arrays says how many)";

/// The remark on companion arrays that are copies of the RRAM's, for networks that were trained without these.
const COPIED: &str = "sram.init = \"rram\": a companion array that was not trained is a copy of the RRAM's quantised \
                      weights, and each has half of every sum; it is meant to be trained (train.stage = \"sram\"), \
                      and \"residual\" corrects a chip without training";

/// What a chip is made from, checked once for a whole series of chips.
#[derive(Debug)]
pub struct Blueprint<'a> {
    plan: ChipPlan,
    model: Cow<'a, Model>,
    network: Cow<'a, Network>,
    sram: Option<(Network, String)>,
    seed: u64,
    idle: Idle,
    remarks: Vec<String>,
    calibration: Option<Calibration>,
    /// The cells of its chips that earlier series left, and later ones find.
    shelf: Option<Arc<Shelf>>,
}

impl Chip {
    /// Manufactures chip `index` of the blueprint's seed; an error if a layer's weights are beyond what can be held.
    pub fn program(blueprint: &Blueprint, index: u64) -> Result<Chip> {
        Self::read_by(blueprint, blueprint.draw(index)?)
    }

    /// Programs a chip as it was read at an earlier time, where every step reads its cells anew.
    pub fn read_before(blueprint: &Blueprint, index: u64) -> Result<Chip> {
        Self::read_by(blueprint, blueprint.draw(index)?.read_before())
    }

    /// Whether every step reads its cells anew.
    pub fn reads_vary(&self) -> bool {
        self.layers.iter().any(|layer| layer.arrays.each().len() > 1)
    }

    fn read_by(blueprint: &Blueprint, draw: Draw) -> Result<Chip> {
        Self::of(blueprint, &blueprint.plan, blueprint.all_arrays(Some(draw))?, Some(draw))
    }

    /// The chip without variation, of its arrays: behind ideal converters, or those of the full range.
    pub(crate) fn nominal(blueprint: &Blueprint, arrays: &[Arrays], converters: bool) -> Result<Chip> {
        let mut profile = blueprint.profile().clone();
        if !converters {
            profile.adc.bits = 0;
        }
        Self::of(blueprint, &blueprint.plan.on(&profile)?, arrays.to_vec(), None)
    }

    fn of(blueprint: &Blueprint, plan: &ChipPlan, mut arrays: Vec<Arrays>, draw: Option<Draw>) -> Result<Chip> {
        let calibration = blueprint.calibration.as_ref();
        let ChipPlan { layers, graph, profile, code, .. } = plan;
        budget::keep_to(&profile.sram, layers.iter().map(|layer| &layer.site), &mut arrays);
        let sram_bytes = arrays.iter().map(Arrays::sram_bytes).sum();
        let write_pulses = arrays.iter().map(|arrays| arrays.cells.pulses).sum();
        let programmed = layers.iter().zip(arrays).enumerate().map(|(i, (plan, arrays))| {
            let converters = calibration.map_or(&[][..], |calibration| &calibration.layers[i]);
            let reading = Reading { converters, draw, steps: blueprint.steps() };
            let (sram_elements, trims) = (arrays.sram_elements(), arrays.offsets(&plan.site));
            let arrays = Programmed::new(&plan.site, &arrays, reading)?;
            let layer = &graph.layers[i];
            let arrays = if layer.groups > 1 { arrays.spread(&|weights| layer.spread(weights)) } else { arrays };
            let state = &blueprint.network.layers[i];
            let (gain, offset) = match plan.kind != LayerKind::Readout {
                true => {
                    let (gain, mut offset) = state.fold(plan.input_unit, blueprint.steps(), plan)?;
                    trims.iter().for_each(|trims| trim::join(trims, &gain, &mut offset));
                    plan.lif.norms(gain, offset)
                }
                false => {
                    let mut bias = state.bias.clone().unwrap_or_default();
                    if let Some(trims) = trims {
                        bias.resize(trims.len(), 0.0);
                        trim::join(&trims, &vec![plan.input_unit; trims.len()], &mut bias);
                    }
                    (vec![], bias)
                }
            };
            let varied = plan.varied(&state.constants, &profile.neuron)?;
            Ok(ProgrammedLayer { plan: plan.clone(), arrays, gain, offset, varied, sram_elements })
        });
        Ok(Chip {
            layers: programmed.collect::<Result<_>>()?,
            graph: plan.graph.clone(),
            input: plan.input(),
            steps: plan.steps(),
            code: *code,
            inputs: profile.tile.inputs,
            sram_bytes,
            write_pulses,
        })
    }
}

impl<'a> Blueprint<'a> {
    /// Joins the parts; reads the companion array's checkpoint where the profile names one. An
    /// [`Encoding`](crate::network::Encoding) stands for the widest inputs that it can have.
    pub fn new(
        profile: &Profile,
        model: impl Into<Cow<'a, Model>>,
        network: impl Into<Cow<'a, Network>>,
        inputs: impl Into<InputCode>,
        seed: u64,
    ) -> Result<Self> {
        let (model, network, inputs) = (model.into(), network.into(), inputs.into());
        let beside = Beside { model: Some(&model), inputs: Some(inputs), hybrid: network.is_hybrid() };
        let plan = ChipPlan::new(profile, &model, inputs)?;
        let (idle, mut remarks) = (effect::idle(profile, beside), profile.doubts());
        if network.is_hybrid() && !profile.has_companions() {
            remarks.push("the checkpoint is a hybrid but sram.bits = 0: only its RRAM part runs".to_owned());
        }
        // Codes of slices meet by shifting as well.
        let coarsens =
            |site: &Site| site.converts() && site.has_companion() && site.adc.step.is_none() && slices(&site.rram) == 1;
        if !network.is_hybrid() && plan.sites().any(coarsens) {
            remarks.push(COARSE.to_owned());
        }
        if !network.is_hybrid() && plan.sites().any(|site| site.has_companion() && site.sram.init == SramInit::Rram) {
            remarks.push(COPIED.to_owned());
        }
        let budget_mm2 = plan.profile.system.area_mm2;
        if budget_mm2 > 0.0 && Architecture::of(&plan).schedule().copies.iter().all(|copies| *copies < 2) {
            remarks.push(format!(
                "system.area_mm2 = {budget_mm2} leaves no room for a copy of any layer: each stands once"
            ));
        }
        let loaded = plan.layers[plan.loaded()].iter().filter(|layer| layer.site.is_on_rram());
        let loaded: Vec<String> = loaded.map(|layer| format!("`{}`", layer.name)).collect();
        if !loaded.is_empty() {
            let cost = &plan.profile.cost;
            let is_free = cost.any() && cost.energy_pj.offchip_byte.is_none() && cost.time_ns.offchip_byte.is_none();
            let free = if is_free {
                ", at no cost: cost.energy_pj.offchip_byte and cost.time_ns.offchip_byte are missing"
            } else {
                ""
            };
            let tiles = plan.profile.system.tiles;
            remarks.push(format!(
                "system.tiles = {tiles}: the weights of {} come from outside for each image{free}",
                loaded.join(", ")
            ));
        }
        if plan.layers.iter().any(|layer| layer.from == 0 && layer.site.converts()) && inputs.is_fixed_point() {
            remarks.push(format!(
                "the network's inputs are real numbers in fixed point: {} binary digits; tile.input_bits gives them a \
                 converter (DAC)",
                inputs.bits
            ));
        }
        let plan = if network.is_hybrid() { hybrid(plan, &network)? } else { plan };
        let format = &plan.profile.neuron;
        let constants = plan.layers.iter().zip(&network.layers);
        constants.clone().try_for_each(|(layer, state)| layer.varied(&state.constants, format).map(|_| ()))?;
        let profile = &plan.profile;
        let sram = match &profile.sram.init {
            SramInit::Checkpoint(file) if profile.has_companions() && !network.is_hybrid() => {
                let Loaded { network, hash, notices, .. } = Network::read(&model, Path::new(file))?;
                remarks.extend(notices.into_iter().map(|notice| format!("sram.init: {notice}")));
                Some((network, hash))
            }
            _ => None,
        };
        Ok(Blueprint { plan, model, network, sram, seed, idle, remarks, calibration: None, shelf: None })
    }

    /// The blueprint of chips whose converters have these ranges, and whose rows these reads and inputs; cells that
    /// were kept before had other ones.
    pub fn calibrated(self, calibration: Calibration) -> Self {
        let shelf = self.shelf.filter(|_| calibration.reads.is_empty() && calibration.inputs.is_empty());
        let plan = self.plan.counted(&calibration);
        Blueprint { calibration: Some(calibration), plan, shelf, ..self }
    }

    /// This blueprint with cells that are kept for others, and taken from them where they have the same ones.
    pub fn keeping(self, kept: &KeptCells) -> Self {
        let layers = self.plan.sites().zip(&self.network.layers).map(|(site, state)| (site, &state.rram[..]));
        let shelf = kept.shelf(RramSide::of(layers));
        Blueprint { shelf: Some(shelf), ..self }
    }

    /// The blueprint with more that the user should know.
    pub fn remarked(mut self, remarks: impl Iterator<Item = String>) -> Self {
        for remark in remarks {
            if !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
        self
    }

    /// The ranges that its converters were given.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// Profile and model, resolved.
    pub fn plan(&self) -> &ChipPlan {
        &self.plan
    }

    /// The hardware in force.
    pub fn profile(&self) -> &Profile {
        &self.plan.profile
    }

    /// What the first layer's inputs are.
    pub fn inputs(&self) -> InputCode {
        self.plan.code
    }

    /// The network's shape.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Keys that were set and have no effect here.
    pub fn idle(&self) -> &Idle {
        &self.idle
    }

    /// Why a key has no effect here, whether it is set or not; none where it has one.
    pub fn why(&self, key: &str) -> Option<&'static str> {
        effect::why(self.profile(), self.beside(), key)
    }

    fn beside(&self) -> Beside<'_> {
        Beside { model: Some(&self.model), inputs: Some(self.inputs()), hybrid: self.network.is_hybrid() }
    }

    /// What else the user should know before reading results.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// All that the user should know before reading results.
    pub fn notices(&self) -> Vec<String> {
        [effect::sentences(&self.idle), self.remarks.clone()].concat()
    }

    /// What determines its chips and what they do, beside the network's tensors: no key without an effect, and no path.
    pub fn identity(&self) -> Value {
        self.identity_on(self.profile().clone())
    }

    fn identity_on(&self, mut profile: Profile) -> Value {
        let Blueprint { model, seed, .. } = self;
        let inputs = self.inputs();
        profile.amend(|_, sram| {
            if let SramInit::Checkpoint(file) = &mut sram.init {
                file.clear();
            }
        });
        json!({
            "profile": effect::effective(&profile, self.beside()),
            "model": effect::effective_model(model),
            "inputs": inputs,
            "seed": seed,
            "sram_network": self.sram.as_ref().map(|(network, _)| network.hash()),
        })
    }

    /// All that determines the calibration of its chips, beside the network's tensors and the training images: what
    /// they have in common. Residuals that are `silent`, since the nominal chip misses nothing, count by the layers
    /// that have one alone.
    pub fn profiled_identity(&self, silent: bool) -> Value {
        let mut common = self.profile().without_variation();
        if silent && self.has_residuals_alone() {
            common.amend(|_, sram| {
                let Sram { bits, scheme, combine, .. } = *sram;
                let trim_bits = 2 * u32::from(sram.wants_inputs());
                let init = SramInit::Residual;
                *sram = Sram { bits: 2 * bits.min(1), scheme, combine, init, trim_bits, ..Sram::default() };
            });
        }
        // Variation decides too what is counted, and the nominal chip has none.
        let counted: Vec<bool> = self.plan.sites().map(Site::counts_inputs).collect();
        json!({ "silent": silent, "counted": counted, "common": self.identity_on(common) })
    }

    /// Whether its companion arrays are residuals in whole numbers that have nothing to correct on the nominal chip:
    /// converters there are the same whatever such an array is.
    pub fn is_silent(&self) -> Result<bool> {
        let misses = |index: usize| -> Result<bool> {
            let cells = self.arrays(index, None)?.cells;
            Ok(sram::missing(&cells).iter().any(|missing| *missing != 0.0))
        };
        let with_array = (0..self.plan.layers.len()).filter(|index| self.plan.layers[*index].site.has_companion());
        let missing = with_array.map(misses).collect::<Result<Vec<bool>>>()?;
        Ok(self.has_residuals_alone() && !missing.contains(&true))
    }

    /// Whether every companion array that there is is a residual in whole numbers.
    fn has_residuals_alone(&self) -> bool {
        let profile = self.profile();
        let is_whole = |sram: &Sram| sram.bits == 0 || sram.effective_scheme() == Scheme::Integer;
        !profile.has_companions()
            || !self.network.is_hybrid()
                && profile.sram.init == SramInit::Residual
                && !profile.any(|_, sram| !is_whole(sram))
    }

    /// The hash of the checkpoint that the companion array's weights come from, where the profile names one.
    pub fn companion_hash(&self) -> Option<&str> {
        self.sram.as_ref().map(|(_, hash)| hash.as_str())
    }

    /// Whether chips differ: without variation on any layer all are the same one.
    pub fn varies(&self) -> bool {
        self.plan.varies()
    }

    /// The chips' time steps.
    pub fn steps(&self) -> usize {
        self.model.steps
    }

    /// A layer's companion array before it is quantised; none for the residual, which every chip makes of its own
    /// read-back.
    pub fn companion(&self, index: usize) -> Option<CompanionWeights> {
        let state = &self.network.layers[index];
        let all = |latent: Vec<f32>| Some(CompanionWeights { latent, kept: None });
        match (&state.sram, &self.sram, &self.profile().sram.init) {
            (Some(own), ..) => Some(own.clone()),
            (None, Some((other, _)), _) => all(other.layers[index].rram.clone()),
            (None, None, SramInit::Residual) => None,
            (None, None, SramInit::Zeros) => all(vec![0.0; state.rram.len()]),
            (None, None, SramInit::Xavier) => {
                all(xavier(&self.plan.graph.layers[index], self.seed, Stream::SramInit, index as u64))
            }
            (None, None, SramInit::Rram | SramInit::Checkpoint(_)) => all(state.rram.clone()),
        }
    }

    /// Cells of its RRAM layers and their weights as bytes: what a companion array's size is compared with.
    pub fn rram_bytes(&self) -> f64 {
        let on_rram = self.plan.sites().filter(|site| site.is_on_rram());
        let of_chip: f64 = on_rram.map(|site| site.weights() as f64 * f64::from(site.weight_bits()) / 8.0).sum();
        of_chip * self.profile().system.ensemble as f64
    }

    /// The draws of chip `index`; an error where chips cannot be programmed yet.
    pub(crate) fn draw(&self, index: u64) -> Result<Draw> {
        if self.profile().wants_calibration() && self.calibration.is_none() {
            return Err(Error::Mismatch(
                "adc.range = \"calibrated\", rram.disturb, rram.program.verify_share, sram.trim_bits, sram.rank and \
                 sram.budget_by = \"output\" need what was profiled on training images; expected a calibration"
                    .into(),
            ));
        }
        Ok(Draw::chip(self.seed, index))
    }

    /// The arrays of all layers; without a draw, cells hold their targets.
    pub(crate) fn all_arrays(&self, draw: Option<Draw>) -> Result<Vec<Arrays>> {
        (0..self.plan.layers.len()).map(|index| self.arrays(index, draw)).collect()
    }

    fn arrays(&self, index: usize, draw: Option<Draw>) -> Result<Arrays> {
        let site = &self.plan.layers[index].site;
        let companion = if site.has_companion() { self.companion(index) } else { None };
        let source = companion.as_ref().map_or(sram::CompanionSource::Residual, sram::CompanionSource::of);
        let program = || Arrays::program_cells(site, &self.network.layers[index].rram, draw, None);
        let cells = match self.shelf.as_ref().filter(|_| site.is_on_rram()) {
            Some(shelf) => shelf.cells(site.index, draw, program)?,
            None => Arc::new(program()?),
        };
        Ok(Arrays::beside(site, cells, source))
    }
}

/// The plan of a hybrid network: how its arrays were trained is in force where the profile leaves it open, and how they
/// begin is not.
fn hybrid(plan: ChipPlan, network: &Network) -> Result<ChipPlan> {
    let mut profile = plan.profile.clone();
    profile.amend(|_, sram| {
        sram.init = SramInit::default();
        (sram.budget_bytes, sram.rank) = (None, 0);
        *sram = sram.stated(network.form);
    });
    for (site, state) in plan.sites().zip(&network.layers) {
        if site.is_on_rram() != state.sram.is_some() {
            return Err(Error::Mismatch(format!(
                "the checkpoint is a hybrid but `{0}.WR` is {1} while the profile puts `{0}` {2}; expected \
                 `rram.layers` to name the layers that have a WR",
                site.name,
                if site.is_on_rram() { "missing" } else { "there" },
                if site.is_on_rram() { "on RRAM" } else { "in digital logic" },
            )));
        }
    }
    plan.on(&profile)
}
