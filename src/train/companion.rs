//! The companion arrays that stage `sram` starts from.

use crate::chip::Blueprint;
use crate::crossbar::site::Site;
use crate::crossbar::sram::latent_residual;
use crate::device::{self, Draw};
use crate::error::{Error, Result};
use crate::network::companion::CompanionWeights;
use crate::network::{Encoding, Model, Network};
use crate::profile::Profile;

/// Puts a companion array beside every RRAM array of a network, with the profile's initial values; a network that has
/// its own keeps them. `draw` is the chip whose residual is taken, where the profile asks for one. Gives the hash of
/// the checkpoint that the values came from, too, where it was one.
pub fn attach(
    profile: &Profile,
    model: &Model,
    mut network: Network,
    seed: u64,
    draw: Option<Draw>,
) -> Result<(Network, Option<String>)> {
    if network.is_hybrid() {
        network.form = Some(profile.sram.stated(network.form).form());
        // An error where its arrays stand elsewhere than the profile's.
        Blueprint::new(profile, model, &network, Encoding::Poisson, seed)?;
        return Ok((network, None));
    }
    let blueprint = Blueprint::new(profile, model, &network, Encoding::Poisson, seed)?;
    let one = |site: &Site| -> Result<Option<CompanionWeights>> {
        if !site.is_on_rram() {
            return Ok(None);
        }
        if !site.has_companion() {
            return Err(Error::Mismatch(format!(
                "stage `sram` trains beside every RRAM array, and `{}` has no companion array; expected sram.bits \
                 above 0",
                site.name
            )));
        }
        let index = site.index as usize;
        if let Some(companion) = blueprint.companion(index) {
            return Ok(Some(companion));
        }
        let (Some(draw), Some(shift)) = (draw, site.sram.shift) else {
            return Err(Error::Mismatch(
                "sram.init = \"residual\" is what one chip's cells miss; training it needs `train.chip`, that chip, \
                 and `sram.shift`"
                    .into(),
            ));
        };
        if site.rram.selects() {
            return Err(Error::Mismatch(
                "rram.program.verify_share: which cells are verified follows from inputs that are counted in training \
                 alone, so one chip's residual is not known before; expected 1, or another sram.init"
                    .into(),
            ));
        }
        let latent = &network.layers[index].rram;
        let cells = device::program(latent, site.matrix(), Some(draw), None)?;
        Ok(Some(CompanionWeights { latent: latent_residual(&cells, shift), kept: None }))
    };
    let companions: Vec<_> = blueprint.plan().sites().map(one).collect::<Result<_>>()?;
    let hash = blueprint.companion_hash().map(String::from);
    network.layers.iter_mut().zip(companions).for_each(|(layer, companion)| layer.sram = companion);
    network.form = Some(profile.sram.form());
    Ok((network, hash))
}
