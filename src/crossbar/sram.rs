//! The companion SRAM array (IEEE TCAD 2022, doi 10.1109/TCAD.2022.3197516): exact digital weights W_S beside the
//! varying RRAM weights W_R. A column's sum is `W_R·s + 2^shift·W_S·s`; `average` halves it (both arrays hold a whole
//! network, thresholds unchanged), `sum` does not (the array corrects).
//!
//! With an ideal converter everything is linear, so both arrays fold into one effective matrix.

use super::low_rank::LowRank;
use crate::device::ProgrammedCells;
use crate::device::quantise::quantise;
use crate::network::companion::CompanionWeights;
use crate::profile::{Combine, Scheme, Sram};

/// Where the array's weights come from.
#[derive(Clone, Copy, Debug)]
pub enum CompanionSource<'a> {
    /// Latent weights, to be quantised; and which elements are there, where some are not.
    Latent(&'a [f32], Option<&'a [bool]>),
    /// What the chip's own read-back misses of its targets, in closed form.
    Residual,
}

impl<'a> CompanionSource<'a> {
    /// Given weights.
    pub fn of(companion: &'a CompanionWeights) -> Self {
        CompanionSource::Latent(&companion.latent, companion.kept.as_deref())
    }
}

/// A programmed companion array.
///
/// # Examples
/// ```
/// # use crosspike::{Dataset, Model, Network, Options, Split};
/// use crosspike::{Profile, Session};
///
/// let keys = ["sram.bits=2", "sram.init=residual", "sram.shift=-2"].map(String::from);
/// let profile = Profile::named("rram_4bit", &keys)?;
/// # let (model, data) = (Model::named("digits", &[])?, Dataset::open("digits", "".as_ref(), Split::Test)?.limit(20));
/// # let network = Network::xavier(&model, 1);
/// let session = Session::open(&profile, model, network, &data, Options::default())?;
/// let layer = &session.survey(0)?[0];
/// let companion = layer.companion.as_ref().expect("it stands beside each layer on RRAM");
/// let steps = [-2, -1, 0, 1].map(|code| code as f32 / 2.0); // The weights of 2 bits.
/// assert!(companion.shift == -2 && companion.weights.iter().all(|weight| steps.contains(weight)));
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Companion {
    /// Quantised weights, `[columns, rows]`.
    pub weights: Vec<f32>,
    /// The shift in force.
    pub shift: i32,
    /// The branch of low rank beside it, where there is one.
    pub low_rank: Option<LowRank>,
}

/// Shifts tried where none is given for a residual.
const SHIFTS: std::ops::RangeInclusive<i32> = -10..=4;

/// Programs the array of one layer, whose cells, and a branch of low rank if there is one, miss so much of their
/// targets.
pub fn program(sram: &Sram, source: CompanionSource, missing: &[f32]) -> Companion {
    let scheme = sram.effective_scheme();
    match source {
        CompanionSource::Latent(latent, kept) => {
            let mut weights = quantised(sram, latent, kept);
            prune(&mut weights, latent, sram.threshold);
            Companion { weights, shift: sram.shift.unwrap_or(0), low_rank: None }
        }
        CompanionSource::Residual => {
            let mut companion = match sram.shift {
                Some(shift) => residual(scheme, sram.bits, missing, shift),
                None => best_residual(scheme, sram.bits, missing),
            };
            prune(&mut companion.weights, missing, sram.threshold);
            companion
        }
    }
}

/// Leaves out what stands for a value that is not above a share of the layer's largest.
fn prune(weights: &mut [f32], values: &[f32], threshold: f64) {
    if threshold > 0.0 {
        let keep = above(values, threshold as f32);
        weights.iter_mut().zip(values).filter(|(_, value)| !keep(value)).for_each(|(w, _)| *w = 0.0);
    }
}

/// Whether an element stays: |w| > threshold·max|w| of its layer (IEEE TCAD 2022, doi 10.1109/TCAD.2022.3197516).
pub fn above(layer: &[f32], threshold: f32) -> impl Fn(&f32) -> bool + use<> {
    let bar = threshold * crate::numeric::largest(layer);
    move |w| w.abs() > bar
}

/// Quantised weights, 0 where an element is not there.
pub fn quantised(sram: &Sram, latent: &[f32], kept: Option<&[bool]>) -> Vec<f32> {
    let mut weights = quantise(sram.effective_scheme(), sram.bits, latent);
    if let Some(kept) = kept {
        weights.iter_mut().zip(kept).filter(|(_, kept)| !**kept).for_each(|(w, _)| *w = 0.0);
    }
    weights
}

/// `q − w_p`: what a chip's cells miss of their targets.
pub fn missing(cells: &ProgrammedCells) -> Vec<f32> {
    cells.target.iter().zip(&cells.programmed).map(|(q, w)| q - w).collect()
}

/// `(q − w_p)/2^shift`: the residual before it is quantised.
pub fn latent_residual(cells: &ProgrammedCells, shift: i32) -> Vec<f32> {
    scaled(&missing(cells), shift)
}

fn scaled(missing: &[f32], shift: i32) -> Vec<f32> {
    let scale = libm::exp2f(-shift as f32);
    missing.iter().map(|r| r * scale).collect()
}

/// `W_S = integer((q − w_p)/2^shift)`.
fn residual(scheme: Scheme, bits: u32, missing: &[f32], shift: i32) -> Companion {
    let scaled = scaled(missing, shift);
    Companion { weights: quantise(scheme, bits, &scaled), shift, low_rank: None }
}

/// The residual at the shift that leaves the least squared error; the finest of equals, and 0 where nothing is missing.
fn best_residual(scheme: Scheme, bits: u32, missing: &[f32]) -> Companion {
    let left = |candidate: &Companion| -> f64 {
        let scale = libm::exp2f(candidate.shift as f32);
        missing.iter().zip(&candidate.weights).map(|(r, w)| f64::from(r - w * scale).powi(2)).sum()
    };
    if missing.iter().all(|r| *r == 0.0) {
        return residual(scheme, bits, missing, 0);
    }
    let mut best = residual(scheme, bits, missing, *SHIFTS.start());
    let mut least = left(&best);
    for shift in SHIFTS.skip(1) {
        let candidate = residual(scheme, bits, missing, shift);
        let error = left(&candidate);
        if error < least {
            (best, least) = (candidate, error);
        }
    }
    best
}

impl Combine {
    /// What the sum of both arrays is multiplied by.
    pub fn share(self) -> f64 {
        if self == Combine::Average { 0.5 } else { 1.0 }
    }
}

/// The effective matrix of both arrays, in place of the RRAM's.
pub fn fold(rram: &mut [f32], companion: &Companion, combine: Combine) {
    let (scale, share) = (libm::exp2(f64::from(companion.shift)), combine.share());
    let branch = companion.low_rank.as_ref().map(|branch| &branch.product[..]);
    for (i, (w, s)) in rram.iter_mut().zip(&companion.weights).enumerate() {
        let of_branch = branch.map_or(0.0, |product| f64::from(product[i]));
        *w = (share * (f64::from(*w) + scale * f64::from(*s) + of_branch)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sram(shift: Option<i32>) -> Sram {
        Sram { bits: 3, shift, init: crate::profile::SramInit::Residual, ..Sram::default() }
    }

    #[test]
    fn a_residual_brings_the_weights_back_to_within_half_a_step() {
        let cells = ProgrammedCells::holding(vec![0.5, -0.25, 0.75, 1.0], vec![0.4, -0.45, 0.75, 0.2]);
        let companion = program(&sram(Some(0)), CompanionSource::Residual, &missing(&cells));
        assert_eq!(companion.weights, [0.0, 0.25, 0.0, 0.75]);
        let mut folded = cells.programmed.clone();
        fold(&mut folded, &companion, Combine::Sum);
        for (w, q) in folded.iter().zip(&cells.target) {
            assert!((w - q).abs() <= 0.125, "{w} for {q}");
        }
    }

    #[test]
    fn without_a_shift_the_residual_chooses_the_one_that_fits_the_spread() {
        let target = vec![0.0; 64];
        let exact = ProgrammedCells::holding(target.clone(), target.clone());
        let nothing = program(&sram(None), CompanionSource::Residual, &missing(&exact));
        assert!(nothing.shift == 0 && nothing.weights.iter().all(|w| *w == 0.0), "nothing is missing");
        for spread in [0.01f32, 0.1, 0.6] {
            let programmed: Vec<f32> = (0..64).map(|i| spread * (i as f32 / 31.5 - 1.0)).collect();
            let cells = ProgrammedCells::holding(target.clone(), programmed);
            let error = |shift| {
                let mut folded = cells.programmed.clone();
                let companion = program(&sram(shift), CompanionSource::Residual, &missing(&cells));
                fold(&mut folded, &companion, Combine::Sum);
                folded.iter().map(|w| w * w).sum::<f32>()
            };
            let chosen = error(None);
            assert!((-6..=2).all(|s| chosen <= error(Some(s)) * 1.0001), "spread {spread}");
        }
    }

    #[test]
    fn pruning_leaves_out_what_is_small_beside_the_layers_largest() {
        let latent = [0.1, -0.4, 0.8, -0.39, 0.0];
        let trained = Sram { bits: 4, threshold: 0.5, ..Sram::default() };
        let source = CompanionSource::Latent(&latent, Some(&[true, true, true, true, true]));
        let cells = ProgrammedCells::holding(vec![0.0; 5], vec![0.1, -0.4, 0.8, -0.39, 0.0]);
        let whole = quantised(&trained, &latent, None);
        assert_eq!(
            program(&trained, source, &missing(&cells)).weights,
            [0.0, 0.0, whole[2], 0.0, 0.0],
            "0.4 is not above half of 0.8"
        );
        let residual = |threshold| {
            program(&Sram { threshold, ..sram(Some(0)) }, CompanionSource::Residual, &missing(&cells)).weights
        };
        assert_eq!(residual(0.0), [0.0, 0.5, -0.75, 0.5, 0.0]);
        assert_eq!(residual(0.5), [0.0, 0.0, -0.75, 0.0, 0.0]);
    }

    #[test]
    fn shift_and_average_scale_the_sum() {
        let companion = Companion { weights: vec![0.5], shift: 2, low_rank: None };
        for (combine, expected) in [(Combine::Average, 1.5), (Combine::Sum, 3.0)] {
            let mut w = [1.0];
            fold(&mut w, &companion, combine);
            assert_eq!(w, [expected]);
        }
    }
}
