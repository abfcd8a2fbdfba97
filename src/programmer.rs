//! Weights onto a chip's arrays, a layer at a time, for training in another framework: the same code as a chip's, and
//! the same bits.

use crate::chip::Blueprint;
use crate::crossbar::arrays::Arrays;
use crate::crossbar::programmed::Programmed;
use crate::crossbar::reading::Reading;
use crate::crossbar::sram;
use crate::crossbar::wires::LineLoss;
use crate::device::Draw;
use crate::error::{Error, Result};
use crate::network::{InputCode, Model};
use crate::plan::ChipPlan;
use crate::profile::Profile;

/// Which arrays weights are programmed onto.
///
/// # Examples
/// ```
/// use crosspike::{Encoding, Model, Onto, Profile, Programmer};
///
/// let (model, profile) = (Model::named("digits", &[])?, Profile::named("rram_4bit", &[])?);
/// let programmer = Programmer::new(&profile, &model, Encoding::Poisson, 1)?;
/// let seen = |onto| programmer.program("conv1", &[0.5; 144], onto);
/// assert_eq!(seen(Onto::Nominal)?, [0.5; 144]); // A half is one of the 16 levels.
/// assert_ne!(seen(Onto::Chip(7))?, seen(Onto::Chip(8))?);
/// assert_ne!(seen(Onto::Pass(1))?, seen(Onto::Pass(2))?);
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// Cells that land on their targets.
    Nominal,
    /// Manufactured chip of this index.
    Chip(u64),
    /// The fresh draw of a training pass.
    Pass(u64),
}

/// A model's layers on the RRAM arrays of a profile.
///
/// # Examples
/// ```
/// use crosspike::{Encoding, Model, Network, Onto, Profile, Programmer};
///
/// let (model, profile) = (Model::named("digits", &[])?, Profile::named("rram_4bit", &[])?);
/// let programmer = Programmer::new(&profile, &model, Encoding::Poisson, 1)?;
/// let latent = &Network::xavier(&model, 1).layers[0].rram;
/// let seen = programmer.program("conv1", latent, Onto::Chip(7))?; // what chip 7 of seed 1 multiplies by
/// assert_eq!(seen.len(), latent.len());
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Debug)]
pub struct Programmer {
    plan: ChipPlan,
    seed: u64,
}

impl Programmer {
    /// Makes a programmer for a model whose inputs are like this. The companion array is left out, as in `crosspike
    /// train`'s stage `rram`.
    ///
    /// # Errors
    /// Where profile and model do not fit together, and where sums pass converters or cells are read afresh every step:
    /// a matrix of weights does not say what these do.
    pub fn new(profile: &Profile, model: &Model, inputs: impl Into<InputCode>, seed: u64) -> Result<Self> {
        if profile.converts() {
            return Err(Error::Usage(
                "adc.bits: what converters make of sums is not in a layer's weights; expected 0, and converters at \
                 evaluation"
                    .into(),
            ));
        }
        if profile.any(|rram, _| rram.read.varies()) {
            return Err(Error::Usage(
                "rram.read: reads that vary from step to step are not in a layer's weights; expected none, and reads \
                 at evaluation"
                    .into(),
            ));
        }
        if profile.any(|rram, _| rram.disturb.any()) {
            return Err(Error::Usage(
                "rram.disturb: what reads take follows from a network's spikes, which a layer's weights do not say; \
                 expected no images, and a life of reads at evaluation"
                    .into(),
            ));
        }
        if profile.any(|rram, _| rram.selects()) {
            return Err(Error::Usage(
                "rram.program.verify_share: which cells count follows from the inputs of a network's rows, which a \
                 layer's weights do not say; expected 1"
                    .into(),
            ));
        }
        let mut profile = profile.clone();
        profile.amend(|_, sram| (sram.bits, sram.trim_bits) = (0, 0));
        Ok(Programmer { plan: ChipPlan::new(&profile, model, inputs)?, seed })
    }

    /// Makes a programmer for what a session's chips are made from.
    ///
    /// # Errors
    /// Those of [`Programmer::new`].
    pub fn of(blueprint: &Blueprint, seed: u64) -> Result<Self> {
        Self::new(blueprint.profile(), blueprint.model(), blueprint.inputs(), seed)
    }

    /// The layers' names, in order, with their columns and rows.
    pub fn layers(&self) -> impl Iterator<Item = (&str, [usize; 2])> {
        self.plan.sites().map(|site| (site.name.as_str(), [site.columns, site.rows]))
    }

    /// The weights `[columns, rows]` that a layer multiplies by once these are programmed.
    ///
    /// # Errors
    /// Where there is no such layer, weights are not as many as it has, one is not finite, or they are beyond what can
    /// be held.
    pub fn program(&self, layer: &str, weights: &[f32], onto: Onto) -> Result<Vec<f32>> {
        let Some(site) = self.plan.sites().find(|site| site.name == layer) else {
            let known: Vec<&str> = self.layers().map(|(name, _)| name).collect();
            return Err(Error::Usage(format!("`{layer}` is no layer; expected one of {}", known.join(", "))));
        };
        if weights.len() != site.columns * site.rows {
            return Err(Error::Mismatch(format!(
                "`{layer}`: {} weights; expected {} columns of {} rows",
                weights.len(),
                site.columns,
                site.rows
            )));
        }
        if let Some(place) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(Error::Mismatch(format!(
                "`{layer}`: weight {place} is {}; expected finite ones",
                weights[place]
            )));
        }
        let draw = match onto {
            Onto::Nominal => None,
            Onto::Chip(index) => Some(Draw::chip(self.seed, index)),
            Onto::Pass(number) => Some(Draw::training_pass(self.seed, number)),
        };
        // A pass takes the nominal chip's loss on lines in place of every tile's own, as training does.
        let loss = if let Onto::Pass(_) = onto { LineLoss::of(site, weights)? } else { None };
        let arrays = Arrays::program(site, weights, sram::CompanionSource::Residual, draw, loss.as_ref())?;
        let reading = Reading { converters: &[], draw, steps: self.plan.steps() };
        Ok(Programmed::new(site, &arrays, reading)?.effective().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chip::Chip;
    use crate::network::{Encoding, Network};

    #[test]
    fn programmed_weights_are_those_of_the_chip() {
        let model = Model::named("digits", &[]).unwrap();
        let network = Network::xavier(&model, 2);
        for name in ["rram_4bit", "ideal", "pcm_joshi_2020"] {
            let profile = Profile::named(name, &["rram.read={}".into()]).unwrap();
            let blueprint = Blueprint::new(&profile, &model, &network, Encoding::Poisson, 5).unwrap();
            let programmer = Programmer::of(&blueprint, 5).unwrap();
            let chip = Chip::program(&blueprint, 3).unwrap();
            for (layer, state) in chip.layers.iter().zip(&network.layers) {
                let found = programmer.program(&layer.plan.name, &state.rram, Onto::Chip(3)).unwrap();
                assert_eq!(layer.arrays.effective(), found, "{name}: {}", layer.plan.name);
                let fresh = |pass| programmer.program(&layer.plan.name, &state.rram, Onto::Pass(pass)).unwrap();
                assert_eq!(fresh(1), fresh(1));
                assert_eq!(fresh(1) == fresh(2), !layer.plan.site.varies(), "{name}: {}", layer.plan.name);
            }
            let refused =
                |layer, weights: &[f32]| programmer.program(layer, weights, Onto::Nominal).unwrap_err().to_string();
            assert!(refused("conv9", &[]).contains("`conv9` is no layer; expected one of conv1"));
            assert!(refused("conv1", &[1.0]).contains("`conv1`: 1 weights"));
            let mut weights = network.layers[0].rram.clone();
            weights[3] = f32::NAN;
            assert!(refused("conv1", &weights).contains("weight 3 is NaN"));
        }
    }

    #[test]
    fn what_weights_do_not_say_is_refused() {
        let model = Model::named("digits", &[]).unwrap();
        let life = "rram.read.pulse_ns=10; rram.disturb.time_s=1; rram.disturb.exponent=0.1; rram.disturb.images=5";
        let some = "rram.variation.kind=gaussian; rram.variation.sigma=0.2; rram.program.tolerance_us=1; \
                    rram.program.verify_share=0.5";
        for (key, expected) in [
            ("adc.bits=6", "adc.bits"),
            ("rram.read.sigma=0.1", "rram.read"),
            (life, "rram.disturb"),
            (some, "rram.program.verify_share"),
        ] {
            let cells = ["rram.model=cell", "rram.weight_bits=4", "rram.cell.g_max_us=50"];
            let keys: Vec<String> = cells.into_iter().chain(key.split("; ")).map(String::from).collect();
            let profile = Profile::ideal(&keys).unwrap();
            let error = Programmer::new(&profile, &model, Encoding::Poisson, 1).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
