//! The residual under a budget: where a chip's companion arrays may take only so many bytes, the largest deviations of
//! all layers are corrected and the others are left.
//!
//! Elements are ranked by |q − w_p|, the largest first; of equals (there are many where cells are limited at the
//! largest target) the first in the order of layers and places. As many of them keep their code as fit, each array in
//! its smallest form ([`super::stored`]). Codes that are 0 cost nothing in a sparse form and are not ranked.

use super::arrays::Arrays;
use super::mapping::LayerMap;
use super::site::Site;
use super::spend::spend;
use super::stored::Form;
use crate::profile::{BudgetBy, Sram};

/// An element with a code: its deviation, layer and place.
type Ranked = (f32, u32, u32);

/// Keeps the companion arrays of a chip to the bytes that its profile gives them, if any: what trims, branches of low
/// rank and tables of moved lines take of them goes first.
pub fn keep_to<'a>(sram: &Sram, sites: impl Iterator<Item = &'a Site> + Clone, arrays: &mut [Arrays]) {
    let Some(budget) = sram.budget_bytes else { return };
    let left = budget.saturating_sub(sites.clone().map(Site::fixed_bytes).sum());
    if sram.budget_by == BudgetBy::Output { spend(sites, arrays, left) } else { fit(arrays, left) }
}

/// Cuts the bytes that layers' companion arrays have room for to a budget: a memory of so many bytes stands on a chip,
/// whatever each layer takes of it there, and is counted with each layer in proportion to its whole array. What is
/// stored whole goes first.
pub fn share_out<'a>(budget_bytes: usize, sites: impl Iterator<Item = &'a Site>, maps: &mut [LayerMap]) {
    let fixed: Vec<usize> = sites.map(Site::fixed_bytes).collect();
    let left = budget_bytes.saturating_sub(fixed.iter().sum());
    let all: usize = maps.iter().zip(&fixed).map(|(map, fixed)| map.sram_bytes - fixed).sum();
    if all <= left {
        return;
    }
    let (mut whole, mut shared) = (0u128, 0);
    for (map, fixed) in maps.iter_mut().zip(fixed) {
        whole += (map.sram_bytes - fixed) as u128;
        let up_to = (whole * left as u128 / all as u128) as usize;
        map.sram_bytes = fixed + up_to - shared;
        shared = up_to;
    }
}

/// Leaves out the smallest deviations until all companion arrays fit.
pub fn fit(arrays: &mut [Arrays], budget_bytes: usize) {
    let ranked = ranked(arrays);
    let bytes = |kept: usize| -> usize {
        let mut there = vec![0; arrays.len()];
        ranked[..kept].iter().for_each(|(_, layer, _)| there[*layer as usize] += 1);
        let layer = |(arrays, there): (&Arrays, usize)| {
            let elements = arrays.companion.as_ref().map_or(0, |companion| companion.weights.len());
            Form::smallest(elements, there, arrays.code).1
        };
        arrays.iter().zip(there).map(layer).sum()
    };
    // More elements never take fewer bytes; none take none.
    let (mut fits, mut too_many) = (0, ranked.len() + 1);
    while too_many - fits > 1 {
        let middle = fits + (too_many - fits) / 2;
        if bytes(middle) <= budget_bytes { fits = middle } else { too_many = middle }
    }
    for (_, layer, place) in &ranked[fits..] {
        if let Some(companion) = &mut arrays[*layer as usize].companion {
            companion.weights[*place as usize] = 0.0;
        }
    }
}

/// The elements whose code is not 0, in the order in which they are kept.
fn ranked(arrays: &[Arrays]) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = Vec::new();
    for (layer, arrays) in arrays.iter().enumerate() {
        let Some(companion) = &arrays.companion else { continue };
        let missing = arrays.missing();
        let there = companion.weights.iter().zip(missing).enumerate().filter(|(_, (code, _))| **code != 0.0);
        ranked.extend(there.map(|(place, (_, missing))| (missing.abs(), layer as u32, place as u32)));
    }
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::crossbar::site::Site;
    use crate::crossbar::sram::CompanionSource;
    use crate::device::Draw;
    use crate::network::{Encoding, Model};
    use crate::plan::ChipPlan;
    use crate::profile::Profile;
    use std::path::Path;

    #[test]
    fn the_budget_is_used_up_to_an_element_and_keeps_the_largest() {
        let text = "name = \"m\"\nsteps = 1\nclasses = 4\ninput = {channels = 4, height = 4, width = 4}\n\
                    layers = [{conv=16}, {conv=16}]";
        let model = Model::from_document(&Document::parse_text(Path::new("m.toml"), text.into()).unwrap()).unwrap();
        // So much variation that most cells stand at their limit: deviations are equal by the hundred.
        let keys = ["rram.weight_bits=2", "rram.variation.kind=gaussian", "rram.variation.sigma=9", "sram.bits=3"];
        let keys = [&keys[..], &["sram.init=residual", "sram.shift=0"]].concat().into_iter().map(String::from);
        let profile = Profile::ideal(&keys.collect::<Vec<_>>()).unwrap();
        let plan = ChipPlan::new(&profile, &model, Encoding::Poisson).unwrap();
        let programmed = |budget: usize| {
            let one = |site: &Site| {
                let latent: Vec<f32> = (0..site.weights()).map(|w| (w as f32 * 0.7).sin()).collect();
                Arrays::program(site, &latent, CompanionSource::Residual, Some(Draw::chip(1, 0)), None).unwrap()
            };
            let mut arrays: Vec<Arrays> = plan.sites().take(2).map(one).collect();
            fit(&mut arrays, budget);
            arrays
        };
        let whole = programmed(usize::MAX);
        for budget in [0, 10, 100, 300, 700] {
            let arrays = programmed(budget);
            let bytes: usize = arrays.iter().map(Arrays::sram_bytes).sum();
            assert!(bytes <= budget && bytes + 3 >= budget, "{bytes} of {budget}");
            let deviation = |kept: bool| {
                let there = arrays.iter().zip(&whole).flat_map(|(arrays, whole)| {
                    let codes = |arrays: &Arrays| arrays.companion.as_ref().unwrap().weights.clone();
                    let cells = arrays.cells.target.clone().into_iter().zip(arrays.cells.programmed.clone());
                    codes(arrays).into_iter().zip(codes(whole)).zip(cells).collect::<Vec<_>>()
                });
                let ranked = there.filter(move |((code, whole), _)| *whole != 0.0 && (*code != 0.0) == kept);
                ranked.map(|(_, (q, w))| (q - w).abs()).collect::<Vec<f32>>()
            };
            let least = deviation(true).into_iter().fold(f32::INFINITY, f32::min);
            assert!(deviation(false).into_iter().all(|left| left <= least), "{budget}");
        }
    }
}
